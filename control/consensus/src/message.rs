//! Messages between nodes: one header, one signature where there is one, one payload.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::batch::{Batch, Request};
use crate::codec::{DecodeError, Reader, Wire, Writer};
use crate::header::{HEADER_BYTES, Header, MessageKind};
use crate::identity::{ClusterId, Digest, Epoch, NodeId, Sequence, Signature, View};
use crate::transfer::{CHUNK_BYTES_MAX, HistoryItem, LOG_ITEMS_MAX, SnapshotOffer, Status};
use crate::verified::SignatureCheck;
use crate::view_change::{NewView, ViewChange};
use crate::vote::{CheckpointBody, Phase, SignedVote, Vote};

/// Most bytes of a message, header included.
pub const MESSAGE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Most bytes of an application's message.
const APPLICATION_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What nodes say to each other. Messages without a signature are believed as far as their
/// connection is, and no further than they can do no harm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A proposal and its batch.
    PrePrepare(SignedVote, Arc<Batch>),
    /// A prepare or a commit.
    Vote(SignedVote),
    /// The digest of a state, and what it covers.
    Checkpoint(SignedVote, Box<CheckpointBody>),
    /// A wish for another primary.
    ViewChange(Box<ViewChange>),
    /// A new primary's proof.
    NewView(Arc<NewView>),
    /// A client's request, for the primary.
    Request(Request),
    /// Asks for a batch.
    FetchBatch(Digest),
    /// A batch.
    BatchData(Arc<Batch>),
    /// How far the sender is.
    Status(Status),
    /// Asks for what follows this sequence.
    FetchLog {
        /// The asker's epoch, or a later one whose beginning it has proof of.
        epoch: Epoch,
        /// The last one that the asker has.
        after: Sequence,
    },
    /// What follows.
    Log(Vec<HistoryItem>),
    /// What follows begins with a snapshot.
    SnapshotOffer(Box<SnapshotOffer>),
    /// Asks for a part of a snapshot.
    FetchChunk {
        /// The snapshot's checkpoint.
        sequence: Sequence,
        /// Number of the part, from 0.
        index: u32,
    },
    /// A part of a snapshot.
    Chunk {
        /// The snapshot's checkpoint.
        sequence: Sequence,
        /// Number of the part, from 0.
        index: u32,
        /// The part.
        bytes: Vec<u8>,
    },
    /// Asks for the highest sequence that the receiver has consented to.
    ReadIndex {
        /// Comes back.
        nonce: u64,
    },
    /// The highest sequence that the sender has consented to.
    ReadIndexReply {
        /// As asked.
        nonce: u64,
        /// In which epoch the sender is.
        epoch: Epoch,
        /// Up to here everything that anyone may have committed.
        sequence: Sequence,
    },
    /// For an application, which checks it itself.
    Application(Vec<u8>),
}

/// Why a message is dropped before a replica sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Its bytes are not those of a message.
    #[error("malformed: {0}")]
    Malformed(#[from] DecodeError),
    /// Header and body disagree.
    #[error("header and body disagree on the {0}")]
    Header(&'static str),
    /// It is larger than any message may be.
    #[error("{bytes} bytes; at most {MESSAGE_BYTES_MAX} are allowed")]
    Oversized {
        /// Its bytes.
        bytes: usize,
    },
}

impl Message {
    /// The kind that stands in the header.
    #[must_use]
    pub fn kind(&self) -> MessageKind {
        match self {
            Self::PrePrepare(..) => MessageKind::PrePrepare,
            Self::Vote(signed) if signed.vote.phase == Phase::Commit => MessageKind::Commit,
            Self::Vote(_) => MessageKind::Prepare,
            Self::Checkpoint(..) => MessageKind::Checkpoint,
            Self::ViewChange(_) => MessageKind::ViewChange,
            Self::NewView(_) => MessageKind::NewView,
            Self::Request(_) => MessageKind::Request,
            Self::FetchBatch(_) => MessageKind::FetchBatch,
            Self::BatchData(_) => MessageKind::BatchData,
            Self::Status(_) => MessageKind::Status,
            Self::FetchLog { .. } => MessageKind::FetchLog,
            Self::Log(_) => MessageKind::Log,
            Self::SnapshotOffer(_) => MessageKind::SnapshotOffer,
            Self::FetchChunk { .. } => MessageKind::FetchChunk,
            Self::Chunk { .. } => MessageKind::Chunk,
            Self::ReadIndex { .. } => MessageKind::ReadIndex,
            Self::ReadIndexReply { .. } => MessageKind::ReadIndexReply,
            Self::Application(_) => MessageKind::Application,
        }
    }

    /// View and sequence for the header, and the signature that stands behind it.
    fn outline(&self) -> (View, Sequence, Option<(NodeId, Signature)>) {
        let none = (View(0), Sequence(0), None);
        match self {
            Self::PrePrepare(signed, _) | Self::Vote(signed) | Self::Checkpoint(signed, _) => (
                signed.vote.view,
                signed.vote.sequence,
                Some((signed.signer, signed.signature)),
            ),
            Self::ViewChange(change) => (
                change.view,
                change.low(),
                Some((change.signer, change.signature)),
            ),
            Self::NewView(new) => (new.view, new.low(), Some((new.signer, new.signature))),
            Self::Request(request) => (
                View(0),
                Sequence(0),
                Some((request.id.client, request.signature)),
            ),
            Self::Status(status) => (status.view, status.executed, None),
            Self::FetchLog { after, .. } => (View(0), *after, None),
            Self::FetchChunk { sequence, .. }
            | Self::Chunk { sequence, .. }
            | Self::ReadIndexReply { sequence, .. } => (View(0), *sequence, None),
            _ => none,
        }
    }

    /// The requests inside that a voter may come to prepare: a state machine may have signatures of its
    /// own in them ([`crate::StateMachine::checks`]).
    #[must_use]
    pub fn requests(&self) -> &[Request] {
        match self {
            Self::PrePrepare(_, batch) | Self::BatchData(batch) => &batch.requests,
            Self::Request(request) => core::slice::from_ref(request),
            _ => &[],
        }
    }

    /// Every signature inside but those in a request's command. An application's message has its own.
    #[must_use]
    pub fn checks(&self, cluster: ClusterId) -> Vec<SignatureCheck> {
        match self {
            Self::PrePrepare(signed, batch) => core::iter::once(signed.check(cluster))
                .chain(batch.checks(cluster))
                .collect(),
            Self::Vote(signed) | Self::Checkpoint(signed, _) => [signed.check(cluster)].into(),
            Self::ViewChange(change) => change.checks(cluster).collect(),
            Self::NewView(new) => new.checks(cluster).collect(),
            Self::Request(request) => [request.check(cluster)].into(),
            Self::BatchData(batch) => batch.checks(cluster).collect(),
            Self::Log(items) => items.iter().flat_map(|item| item.checks(cluster)).collect(),
            Self::SnapshotOffer(offer) => offer.checks(cluster).collect(),
            _ => Vec::new(),
        }
    }

    /// The message as it travels. `sender` stands in the header of messages that nobody signed.
    ///
    /// # Panics
    /// The payload is over 4 GiB; every part of a message has a bound far below.
    #[must_use]
    pub fn encode(&self, sender: NodeId) -> Vec<u8> {
        let mut payload = Writer::default();
        self.write_payload(&mut payload);
        let payload = payload.into_bytes();
        let (view, sequence, signed) = self.outline();
        let low_half = |number: u64| u32::try_from(number & 0xffff_ffff).unwrap_or(0);
        let payload_bytes = u32::try_from(payload.len());
        assert!(payload_bytes.is_ok(), "messages are bounded");
        let header = Header {
            kind: self.kind(),
            round: low_half(view.0),
            sequence: low_half(sequence.0),
            node: signed.map_or(sender, |(signer, _)| signer),
            signature_bytes: if signed.is_some() { 64 } else { 0 },
            payload_bytes: payload_bytes.unwrap_or(0),
        };
        let mut out = Writer::default();
        header.write(&mut out);
        signed
            .into_iter()
            .for_each(|(_, signature)| signature.write(&mut out));
        out.bytes(&payload);
        out.into_bytes()
    }

    /// Reads one message that the bytes hold alone.
    ///
    /// # Errors
    /// What is wrong with it. The signatures are not looked at: see [`Message::checks`].
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(MessageError::Oversized { bytes: bytes.len() });
        }
        let mut from = Reader::new(bytes);
        let header = Header::read(&mut from)?;
        let signature = match header.signature_bytes {
            0 => None,
            64 => Some(Signature::read(&mut from)?),
            _ => return Err(MessageError::Header("length of the signature")),
        };
        if usize::try_from(header.payload_bytes).ok() != Some(from.left()) {
            return Err(MessageError::Header("length of the payload"));
        }
        let message = Self::read_payload(header.kind, header.node, signature, &mut from)?;
        from.finish()?;
        let (view, sequence, signed) = message.outline();
        if signed.is_some() != signature.is_some() {
            return Err(MessageError::Header("presence of a signature"));
        }
        // The form of some bodies has signer and signature, too: they must be these.
        if signed.is_some_and(|signed| Some(signed) != signature.map(|it| (header.node, it))) {
            return Err(MessageError::Header("signer or signature"));
        }
        if u64::from(header.round) != view.0 & 0xffff_ffff
            || u64::from(header.sequence) != sequence.0 & 0xffff_ffff
        {
            return Err(MessageError::Header("round or sequence"));
        }
        Ok(message)
    }

    fn write_payload(&self, out: &mut Writer) {
        match self {
            Self::PrePrepare(signed, batch) => {
                write_place(&signed.vote, out);
                batch.write(out);
            }
            Self::Vote(signed) => write_place(&signed.vote, out),
            Self::Checkpoint(signed, body) => {
                write_place(&signed.vote, out);
                body.write(out);
            }
            Self::ViewChange(change) => change.write(out),
            Self::NewView(new) => new.write(out),
            Self::Request(request) => request.write(out),
            Self::FetchBatch(digest) => digest.write(out),
            Self::BatchData(batch) => batch.write(out),
            Self::Status(status) => status.write(out),
            Self::FetchLog { epoch, after } => {
                epoch.write(out);
                after.write(out);
            }
            Self::Log(items) => out.list(items),
            Self::SnapshotOffer(offer) => offer.write(out),
            Self::FetchChunk { sequence, index } => {
                sequence.write(out);
                out.u32(*index);
            }
            Self::Chunk {
                sequence,
                index,
                bytes,
            } => {
                sequence.write(out);
                out.u32(*index);
                out.block(bytes);
            }
            Self::ReadIndex { nonce } => out.u64(*nonce),
            Self::ReadIndexReply {
                nonce,
                epoch,
                sequence,
            } => {
                out.u64(*nonce);
                epoch.write(out);
                sequence.write(out);
            }
            Self::Application(bytes) => out.block(bytes),
        }
    }

    fn read_payload(
        kind: MessageKind,
        signer: NodeId,
        signature: Option<Signature>,
        from: &mut Reader<'_>,
    ) -> Result<Self, DecodeError> {
        let signature = signature.unwrap_or(Signature([0; 64]));
        let signed = |phase, from: &mut Reader<'_>| {
            Ok::<_, DecodeError>(SignedVote {
                vote: read_place(phase, from)?,
                signer,
                signature,
            })
        };
        Ok(match kind {
            MessageKind::PrePrepare => Self::PrePrepare(
                signed(Phase::PrePrepare, from)?,
                Arc::new(Batch::read(from)?),
            ),
            MessageKind::Prepare => Self::Vote(signed(Phase::Prepare, from)?),
            MessageKind::Commit => Self::Vote(signed(Phase::Commit, from)?),
            MessageKind::Checkpoint => Self::Checkpoint(
                signed(Phase::Checkpoint, from)?,
                Box::new(CheckpointBody::read(from)?),
            ),
            MessageKind::ViewChange => Self::ViewChange(Box::new(ViewChange::read(from)?)),
            MessageKind::NewView => Self::NewView(Arc::new(NewView::read(from)?)),
            MessageKind::Request => Self::Request(Request::read(from)?),
            MessageKind::FetchBatch => Self::FetchBatch(Digest::read(from)?),
            MessageKind::BatchData => Self::BatchData(Arc::new(Batch::read(from)?)),
            MessageKind::Status => Self::Status(Status::read(from)?),
            MessageKind::FetchLog => Self::FetchLog {
                epoch: Epoch::read(from)?,
                after: Sequence::read(from)?,
            },
            MessageKind::Log => Self::Log(from.list("items of history", LOG_ITEMS_MAX)?),
            MessageKind::SnapshotOffer => Self::SnapshotOffer(Box::new(SnapshotOffer::read(from)?)),
            MessageKind::FetchChunk => Self::FetchChunk {
                sequence: Sequence::read(from)?,
                index: from.u32()?,
            },
            MessageKind::Chunk => Self::Chunk {
                sequence: Sequence::read(from)?,
                index: from.u32()?,
                bytes: from.block("bytes of a snapshot", CHUNK_BYTES_MAX)?.into(),
            },
            MessageKind::ReadIndex => Self::ReadIndex { nonce: from.u64()? },
            MessageKind::ReadIndexReply => Self::ReadIndexReply {
                nonce: from.u64()?,
                epoch: Epoch::read(from)?,
                sequence: Sequence::read(from)?,
            },
            MessageKind::Application => Self::Application(
                from.block("bytes of an application", APPLICATION_BYTES_MAX)?
                    .into(),
            ),
        })
    }
}

/// A vote without its phase, which the header says.
fn write_place(vote: &Vote, out: &mut Writer) {
    vote.epoch.write(out);
    vote.view.write(out);
    vote.sequence.write(out);
    vote.digest.write(out);
}

fn read_place(phase: Phase, from: &mut Reader<'_>) -> Result<Vote, DecodeError> {
    Ok(Vote {
        phase,
        epoch: Epoch::read(from)?,
        view: View::read(from)?,
        sequence: Sequence::read(from)?,
        digest: Digest::read(from)?,
    })
}

/// A header alone, for those who must know how long a message is before they have it.
impl Header {
    /// Bytes of signature and payload that follow.
    #[must_use]
    pub fn following_bytes(&self) -> usize {
        let payload = usize::try_from(self.payload_bytes).unwrap_or(usize::MAX);
        payload.saturating_add(self.signature_bytes.into())
    }

    /// Reads it from the first [`HEADER_BYTES`] of a message.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self, DecodeError> {
        Self::from_bytes(bytes)
    }
}
