//! The 24 bytes in front of every message.

use crate::codec::{DecodeError, Reader, Wire, Writer};
use crate::identity::NodeId;

/// Bytes of a [`Header`].
pub const HEADER_BYTES: usize = 24;

/// What stands in front of every message, big-endian: type u8, round u32, sequence u32, node id u64,
/// signature length u16, payload length u32, reserved u8. For tools that read along; a replica acts
/// on what is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Type of the message.
    pub kind: MessageKind,
    /// Low half of the view.
    pub round: u32,
    /// Low half of the sequence.
    pub sequence: u32,
    /// Who made the message.
    pub node: NodeId,
    /// Bytes of the signature that follows the header.
    pub signature_bytes: u16,
    /// Bytes of the payload that follows the signature.
    pub payload_bytes: u32,
}

/// Types of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum MessageKind {
    /// A primary's proposal, with its batch.
    PrePrepare = 1,
    /// A backup's consent to a proposal.
    Prepare = 2,
    /// The word that a quorum has consented.
    Commit = 3,
    /// The digest of a state.
    Checkpoint = 4,
    /// A wish for another primary.
    ViewChange = 5,
    /// A new primary's proof that it is one.
    NewView = 6,
    /// A client's request.
    Request = 7,
    /// Asks for a batch by its digest.
    FetchBatch = 8,
    /// A batch that was asked for.
    BatchData = 9,
    /// How far a replica is.
    Status = 10,
    /// Asks for committed batches.
    FetchLog = 11,
    /// Committed batches and checkpoints.
    Log = 12,
    /// Says which snapshot there is.
    SnapshotOffer = 13,
    /// Asks for a part of a snapshot.
    FetchChunk = 14,
    /// A part of a snapshot.
    Chunk = 15,
    /// Asks how far a linearizable read must wait.
    ReadIndex = 16,
    /// How far.
    ReadIndexReply = 17,
    /// A message of an application between two nodes, outside of the order.
    Application = 18,
}

impl MessageKind {
    const ALL: [Self; 18] = [
        Self::PrePrepare,
        Self::Prepare,
        Self::Commit,
        Self::Checkpoint,
        Self::ViewChange,
        Self::NewView,
        Self::Request,
        Self::FetchBatch,
        Self::BatchData,
        Self::Status,
        Self::FetchLog,
        Self::Log,
        Self::SnapshotOffer,
        Self::FetchChunk,
        Self::Chunk,
        Self::ReadIndex,
        Self::ReadIndexReply,
        Self::Application,
    ];
}

impl Wire for MessageKind {
    fn write(&self, out: &mut Writer) {
        out.u8(*self as u8);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let offset = from.offset();
        let value = from.u8()?;
        let kind = Self::ALL.into_iter().find(|kind| *kind as u8 == value);
        kind.ok_or(DecodeError::Unknown {
            what: "type of message",
            value: value.into(),
            offset,
        })
    }
}

impl Wire for Header {
    fn write(&self, out: &mut Writer) {
        self.kind.write(out);
        out.u32(self.round);
        out.u32(self.sequence);
        self.node.write(out);
        out.u16(self.signature_bytes);
        out.u32(self.payload_bytes);
        out.u8(0);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let header = Self {
            kind: MessageKind::read(from)?,
            round: from.u32()?,
            sequence: from.u32()?,
            node: NodeId::read(from)?,
            signature_bytes: from.u16()?,
            payload_bytes: from.u32()?,
        };
        let offset = from.offset();
        match from.u8()? {
            0 => Ok(header),
            value => Err(DecodeError::Unknown {
                what: "reserved byte",
                value: value.into(),
                offset,
            }),
        }
    }
}
