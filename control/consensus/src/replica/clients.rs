//! What was executed last for whom: part of the replicated state, so that a request that comes twice
//! is executed once on every node (PBFT §4.1).

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use crate::batch::RequestId;
use crate::codec::{DecodeError, Reader, Wire, Writer};
use crate::configuration::{Configuration, MEMBERS_MAX};
use crate::identity::{Digest, NodeId};

/// Lanes of a client.
pub(crate) const LANES_MAX: u32 = 64;
/// Most bytes of a reply. A state machine must never give more.
pub const REPLY_BYTES_MAX: usize = 64 * 1024;
const ENTRIES_MAX: usize = MEMBERS_MAX * LANES_MAX as usize;

/// By client and lane.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ClientTable {
    last: BTreeMap<(NodeId, u32), Last>,
}

/// A timestamp and its reply.
type Last = (u64, Arc<[u8]>);

/// What the table says of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It has not been executed.
    New,
    /// It was the lane's last one.
    Executed(Arc<[u8]>),
    /// A later one of its lane was executed.
    Superseded,
}

impl ClientTable {
    pub(super) fn look_up(&self, id: RequestId) -> Known {
        match self.last.get(&(id.client, id.lane)) {
            Some((last, reply)) if *last == id.timestamp => Known::Executed(Arc::clone(reply)),
            Some((last, _)) if *last > id.timestamp => Known::Superseded,
            _ => Known::New,
        }
    }

    pub(super) fn note(&mut self, id: RequestId, reply: Arc<[u8]>) {
        assert!(id.lane < LANES_MAX);
        self.last
            .insert((id.client, id.lane), (id.timestamp, reply));
    }

    /// Forgets those who are no members any more.
    pub(super) fn retain_members(&mut self, configuration: &Configuration) {
        self.last
            .retain(|(client, _), _| configuration.member(*client).is_some());
    }

    pub(super) fn root(&self) -> Digest {
        let mut out = Writer::default();
        for ((client, lane), (timestamp, reply)) in &self.last {
            client.write(&mut out);
            out.u32(*lane);
            out.u64(*timestamp);
            Digest::of(reply).write(&mut out);
        }
        Digest::of(&out.into_bytes())
    }
}

impl Wire for ClientTable {
    fn write(&self, out: &mut Writer) {
        out.u32(u32::try_from(self.last.len()).unwrap_or(u32::MAX));
        for ((client, lane), (timestamp, reply)) in &self.last {
            client.write(out);
            out.u32(*lane);
            out.u64(*timestamp);
            out.block(reply);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut table = Self::default();
        for _ in 0..from.count("clients", ENTRIES_MAX)? {
            let key = (NodeId::read(from)?, from.u32()?);
            let value = (
                from.u64()?,
                from.block("bytes of a reply", REPLY_BYTES_MAX)?.into(),
            );
            let last = table.last.last_key_value();
            if last.is_some_and(|(last, _)| *last >= key) {
                return Err(DecodeError::Order { what: "clients" });
            }
            table.last.insert(key, value);
        }
        Ok(table)
    }
}
