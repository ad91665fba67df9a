//! What must survive a crash, so that a replica never contradicts itself.

use alloc::sync::Arc;

use crate::batch::Batch;
use crate::codec::{DecodeError, Reader, Wire, Writer};
use crate::identity::{Epoch, View};
use crate::transfer::Transition;
use crate::view_change::{NewView, PreparedCertificate};
use crate::vote::{CheckpointBody, CheckpointCertificate, SignedVote};

/// One entry of the durable log. Replayed in order by [`crate::Replica::recover`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A batch that later records speak of by digest.
    Batch(Arc<Batch>),
    /// A proposal accepted. Before the prepare (or one's own pre-prepare) leaves.
    Accepted(SignedVote),
    /// A certificate. Before the commit leaves.
    Prepared(PreparedCertificate),
    /// A view wanted. Before the VIEW-CHANGE leaves: after it there is no vote in an earlier view.
    ViewWanted(Epoch, View),
    /// A view entered. Before any vote in it.
    ViewEntered(Arc<NewView>),
    /// A checkpoint that is stable and whose state this replica has had.
    Stable(CheckpointCertificate, CheckpointBody),
    /// The end of an epoch.
    Transition(Transition),
}

impl Record {
    /// The epoch whose promise or beginning it is.
    pub(crate) fn epoch(&self) -> Option<Epoch> {
        match self {
            Self::Accepted(signed) => Some(signed.vote.epoch),
            Self::Prepared(certificate) => certificate.subject().map(|vote| vote.epoch),
            Self::ViewWanted(epoch, _) => Some(*epoch),
            Self::ViewEntered(new) => Some(new.epoch),
            Self::Transition(transition) => Some(transition.body.configuration.epoch()),
            Self::Batch(_) | Self::Stable(..) => None,
        }
    }
}

impl Wire for Record {
    fn write(&self, out: &mut Writer) {
        match self {
            Self::Batch(batch) => {
                out.u8(1);
                batch.write(out);
            }
            Self::Accepted(signed) => {
                out.u8(2);
                signed.write(out);
            }
            Self::Prepared(certificate) => {
                out.u8(3);
                certificate.write(out);
            }
            Self::ViewWanted(epoch, view) => {
                out.u8(4);
                epoch.write(out);
                view.write(out);
            }
            Self::ViewEntered(new) => {
                out.u8(5);
                new.write(out);
            }
            Self::Stable(certificate, body) => {
                out.u8(6);
                certificate.write(out);
                body.write(out);
            }
            Self::Transition(transition) => {
                out.u8(7);
                transition.write(out);
            }
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let offset = from.offset();
        Ok(match from.u8()? {
            1 => Self::Batch(Arc::new(Batch::read(from)?)),
            2 => Self::Accepted(SignedVote::read(from)?),
            3 => Self::Prepared(PreparedCertificate::read(from)?),
            4 => Self::ViewWanted(Epoch::read(from)?, View::read(from)?),
            5 => Self::ViewEntered(Arc::new(NewView::read(from)?)),
            6 => Self::Stable(
                CheckpointCertificate::read(from)?,
                CheckpointBody::read(from)?,
            ),
            7 => Self::Transition(Transition::read(from)?),
            value => {
                return Err(DecodeError::Unknown {
                    what: "kind of record",
                    value: value.into(),
                    offset,
                });
            }
        })
    }
}
