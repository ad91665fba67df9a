//! Requests of clients, and the batches in which they are ordered.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, Wire, Writer};
use crate::identity::{ClusterId, Digest, NodeId, Signature};
use crate::verified::{Domain, SignatureCheck, Signer, preimage};

/// Most bytes of a request's command.
pub const COMMAND_BYTES_MAX: usize = 512 * 1024;
/// Most requests in a batch.
pub(crate) const BATCH_REQUESTS_MAX: usize = 10_000;
/// Most bytes of a batch's requests.
pub(crate) const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Whose request. A client is a lane of a member node: a lane has one request on its way at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId {
    /// The node.
    pub client: NodeId,
    /// The lane.
    pub lane: u32,
    /// Rises with each request of the lane. Of equal ones only one is ever executed.
    pub timestamp: u64,
}

/// A command to be ordered and executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Whose.
    pub id: RequestId,
    /// For the state machine.
    pub command: Arc<[u8]>,
    /// The client's, over all of the above.
    pub signature: Signature,
}

impl Request {
    /// Makes and signs a request of one's own.
    pub fn sign(
        cluster: ClusterId,
        signer: &impl Signer,
        lane: u32,
        timestamp: u64,
        command: Arc<[u8]>,
    ) -> Self {
        let id = RequestId {
            client: signer.id(),
            lane,
            timestamp,
        };
        let signature = signer.sign(&Self::preimage(cluster, id, &command));
        Self {
            id,
            command,
            signature,
        }
    }

    fn preimage(cluster: ClusterId, id: RequestId, command: &[u8]) -> Vec<u8> {
        preimage(Domain::Request, cluster, |out| {
            id.write(out);
            out.block(command);
        })
    }

    /// What must hold before it counts.
    #[must_use]
    pub fn check(&self, cluster: ClusterId) -> SignatureCheck {
        SignatureCheck {
            signer: self.id.client,
            signature: self.signature,
            preimage: Self::preimage(cluster, self.id, &self.command),
        }
    }

    /// Bytes of the wire form.
    #[must_use]
    pub fn bytes_count(&self) -> usize {
        REQUEST_FIXED_BYTES + self.command.len()
    }
}

/// Client, lane, timestamp, length, signature.
const REQUEST_FIXED_BYTES: usize = 8 + 4 + 8 + 4 + 64;

/// Requests that are executed one after the other at one place in the order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// Chosen by the primary, milliseconds since 1970. 0 in a null batch.
    pub time_ms: u64,
    /// In their order.
    pub requests: Vec<Request>,
}

impl Batch {
    /// The batch that fills a gap after a change of view: it does nothing.
    #[must_use]
    pub fn null() -> Self {
        Self::default()
    }

    /// Whether it is the null batch.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.time_ms == 0 && self.requests.is_empty()
    }

    /// SHA-256 of the byte form: time, count, and each request with its signature, in their order.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.to_bytes())
    }

    /// What must hold before it counts.
    pub fn checks(&self, cluster: ClusterId) -> impl Iterator<Item = SignatureCheck> {
        self.requests
            .iter()
            .map(move |request| request.check(cluster))
    }
}

impl Wire for RequestId {
    fn write(&self, out: &mut Writer) {
        self.client.write(out);
        out.u32(self.lane);
        out.u64(self.timestamp);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            client: NodeId::read(from)?,
            lane: from.u32()?,
            timestamp: from.u64()?,
        })
    }
}

impl Wire for Request {
    fn write(&self, out: &mut Writer) {
        self.id.write(out);
        out.block(&self.command);
        self.signature.write(out);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            id: RequestId::read(from)?,
            command: from.block("bytes of a command", COMMAND_BYTES_MAX)?.into(),
            signature: Signature::read(from)?,
        })
    }
}

impl Wire for Batch {
    fn write(&self, out: &mut Writer) {
        out.u64(self.time_ms);
        out.list(&self.requests);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let time_ms = from.u64()?;
        let begin = from.offset();
        let requests = from.list("requests", BATCH_REQUESTS_MAX)?;
        let count = from.offset() - begin;
        if count > BATCH_BYTES_MAX {
            return Err(DecodeError::TooMany {
                what: "bytes of a batch",
                count,
                max: BATCH_BYTES_MAX,
            });
        }
        Ok(Self { time_ms, requests })
    }
}
