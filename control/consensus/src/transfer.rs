//! How a replica that is behind catches up: committed batches, or a snapshot and what follows it.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::batch::Batch;
use crate::codec::{DecodeError, Reader, Wire, Writer};
use crate::identity::{ClusterId, Epoch, Sequence, View};
use crate::verified::SignatureCheck;
use crate::vote::{CheckpointBody, CheckpointCertificate, CommitCertificate};

/// About as many bytes of history as one message carries; one item more than fits is never held back.
pub const LOG_BYTES_MAX: usize = 1024 * 1024;
/// Most items in one message.
pub(crate) const LOG_ITEMS_MAX: usize = 4096;
/// Bytes of a part of a snapshot; the last may be shorter.
pub const CHUNK_BYTES_MAX: usize = 256 * 1024;
/// Most changes of epoch that one message brings proof of. There are fewer where they fill [`LOG_BYTES_MAX`]; who needs
/// more asks again, from the last one on.
pub(crate) const TRANSITIONS_MAX: usize = 1024;

/// How far a replica is. Sent now and then to all, and to followers whenever it gets further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Status {
    /// Its epoch.
    pub epoch: Epoch,
    /// Its view, or the one it wants.
    pub view: View,
    /// Last sequence executed.
    pub executed: Sequence,
    /// Last stable checkpoint.
    pub stable: Sequence,
    /// Whether it wants a view that has not begun.
    pub is_changing: bool,
}

/// One step of the order, with its proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HistoryItem {
    /// A committed batch.
    Batch {
        /// The batch. Shared: it may be large.
        batch: Arc<Batch>,
        /// The proof, which says the sequence.
        certificate: CommitCertificate,
    },
    /// A stable checkpoint, and what it is on.
    Checkpoint(CheckpointCertificate, Box<CheckpointBody>),
}

impl HistoryItem {
    /// The sequence that it is about; for a checkpoint the one before it.
    #[must_use]
    pub fn sequence(&self) -> Sequence {
        match self {
            Self::Batch { certificate, .. } => certificate
                .subject()
                .map_or(Sequence(0), |vote| vote.sequence),
            Self::Checkpoint(certificate, _) => certificate.subject().0,
        }
    }

    /// What must hold before it counts. A batch is covered by its digest: whoever committed it has
    /// seen its requests' signatures.
    pub fn checks(&self, cluster: ClusterId) -> impl Iterator<Item = SignatureCheck> {
        let votes = match self {
            Self::Batch { certificate, .. } => &certificate.votes,
            Self::Checkpoint(certificate, _) => &certificate.votes,
        };
        votes.iter().map(move |signed| signed.check(cluster))
    }
}

/// The last checkpoint of an epoch: proof of the configuration that follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// The old epoch's word.
    pub certificate: CheckpointCertificate,
    /// What it is on.
    pub body: CheckpointBody,
}

/// Which snapshot a replica has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotOffer {
    /// Changes of epoch that the asker has not proven yet, as many as a message carries. They need not lead to the
    /// checkpoint. The first may be the one before, without votes: it names those who signed the next.
    pub transitions: Vec<Transition>,
    /// The checkpoint of the snapshot.
    pub certificate: CheckpointCertificate,
    /// What it is on.
    pub body: CheckpointBody,
    /// Bytes of the snapshot.
    pub bytes_count: u64,
}

impl SnapshotOffer {
    /// What must hold before it counts.
    pub fn checks(&self, cluster: ClusterId) -> impl Iterator<Item = SignatureCheck> {
        let transitions = self
            .transitions
            .iter()
            .map(|transition| &transition.certificate);
        let all = transitions.chain(core::iter::once(&self.certificate));
        all.flat_map(move |certificate| certificate.checks(cluster))
    }
}

impl Wire for Status {
    fn write(&self, out: &mut Writer) {
        self.epoch.write(out);
        self.view.write(out);
        self.executed.write(out);
        self.stable.write(out);
        out.u8(u8::from(self.is_changing));
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            epoch: Epoch::read(from)?,
            view: View::read(from)?,
            executed: Sequence::read(from)?,
            stable: Sequence::read(from)?,
            is_changing: from.flag()?,
        })
    }
}

impl Wire for HistoryItem {
    fn write(&self, out: &mut Writer) {
        match self {
            Self::Batch { batch, certificate } => {
                out.u8(1);
                certificate.write(out);
                batch.write(out);
            }
            Self::Checkpoint(certificate, body) => {
                out.u8(2);
                certificate.write(out);
                body.write(out);
            }
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let offset = from.offset();
        Ok(match from.u8()? {
            1 => Self::Batch {
                certificate: CommitCertificate::read(from)?,
                batch: Arc::new(Batch::read(from)?),
            },
            2 => Self::Checkpoint(
                CheckpointCertificate::read(from)?,
                Box::new(CheckpointBody::read(from)?),
            ),
            value => {
                return Err(DecodeError::Unknown {
                    what: "kind of history",
                    value: value.into(),
                    offset,
                });
            }
        })
    }
}

impl Wire for Transition {
    fn write(&self, out: &mut Writer) {
        self.certificate.write(out);
        self.body.write(out);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            certificate: CheckpointCertificate::read(from)?,
            body: CheckpointBody::read(from)?,
        })
    }
}

impl Wire for SnapshotOffer {
    fn write(&self, out: &mut Writer) {
        out.list(&self.transitions);
        self.certificate.write(out);
        self.body.write(out);
        out.u64(self.bytes_count);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            transitions: from.list("transitions", TRANSITIONS_MAX)?,
            certificate: CheckpointCertificate::read(from)?,
            body: CheckpointBody::read(from)?,
            bytes_count: from.u64()?,
        })
    }
}
