//! The replicated state of the simulation: registers whose values name the request that wrote them,
//! and the configuration that requests have asked for.

use std::collections::BTreeMap;
use std::hash::Hasher as _;
use std::sync::Arc;

use consensus::{
    ApplyContext, COMMAND_BYTES_MAX, ClusterId, Configuration, DecodeError, Digest, Member, NodeId,
    Reader, Request, RequestId, RestoreError, SignatureCheck, StateMachine, Wire, Writer,
};
use siphasher::sip::SipHasher13;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A register gets a value.
    Write {
        /// Which register.
        key: u8,
        /// Its value, which no other write has.
        value: u64,
    },
    /// The cluster gets another configuration.
    Change(Change),
    /// For the ledger beside the registers: its commands.
    Ledger(Arc<[u8]>),
}

/// How the configuration shall be another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The first leaders go to the end of the order.
    Rotate(u8),
    /// A voter is shut out and leads no more.
    Isolate(NodeId),
    /// Nobody is shut out, all voters lead.
    Release,
    /// A node joins.
    Add(Member),
    /// A node leaves.
    Remove(NodeId),
    /// A node has a new key.
    Rekey(NodeId, Member),
}

/// One request that was executed. Kept for the judges, not part of the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// How many were executed before it.
    pub index: u64,
    /// In which batch.
    pub sequence: u64,
    /// The batch's time.
    pub time_ms: u64,
    /// Whose.
    pub id: RequestId,
    /// Hash of the command.
    pub command: u64,
    /// Hash of everything so far.
    pub chain: u64,
}

/// The state.
#[derive(Debug, Clone)]
pub struct Registers {
    genesis: Configuration,
    configuration: Configuration,
    values: BTreeMap<u8, u64>,
    count: u64,
    chain: u64,
    /// Zero bytes that make a snapshot large.
    padding: usize,
    journal: Vec<Entry>,
    /// Executes wrongly from this many requests on: a broken node for the judges to find.
    pub(crate) broken_after: Option<u64>,
}

impl Registers {
    /// Nothing written yet.
    #[must_use]
    pub fn new(genesis: Configuration, padding: usize) -> Self {
        Self {
            configuration: genesis.clone(),
            genesis,
            values: BTreeMap::new(),
            count: 0,
            chain: 0,
            padding,
            journal: Vec::new(),
            broken_after: None,
        }
    }

    /// What the registers hold.
    #[must_use]
    pub fn values(&self) -> &BTreeMap<u8, u64> {
        &self.values
    }

    /// Requests executed since the beginning.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// What was executed since this value was made or restored.
    #[must_use]
    pub fn journal(&self) -> &[Entry] {
        &self.journal
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        self.configuration.write(&mut out);
        out.u64(self.count);
        out.u64(self.chain);
        out.u64(u64::try_from(self.values.len()).unwrap_or(0));
        for (key, value) in &self.values {
            out.u8(*key);
            out.u64(*value);
        }
        out.into_bytes()
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let configuration = Configuration::read(from)?;
        let mut state = Self::new(configuration, 0);
        state.count = from.u64()?;
        state.chain = from.u64()?;
        for _ in 0..from.u64()? {
            let key = from.u8()?;
            state.values.insert(key, from.u64()?);
        }
        Ok(state)
    }
}

/// The configuration after a change; as it was if the change would not be safe or changes nothing.
fn changed(configuration: &Configuration, change: &Change) -> Configuration {
    let members = |keep: Option<NodeId>, add: Option<&Member>| {
        let kept = configuration.members().filter(|m| Some(m.id()) != keep);
        kept.chain(add).cloned().collect::<Vec<_>>()
    };
    let interval = u32::try_from(configuration.checkpoint_interval()).unwrap_or(1);
    let depth = u32::try_from(configuration.pipeline_depth()).unwrap_or(1);
    let of = |members| Configuration::new(configuration.epoch(), members, interval, depth);
    let leaders = || configuration.leaders().to_vec();
    let result = match change {
        Change::Rotate(by) => {
            let mut leaders = leaders();
            let count = leaders.len().max(1);
            leaders.rotate_left(usize::from(*by) % count);
            let isolated = configuration.isolated().to_vec();
            configuration.clone().with_leaders(leaders, isolated)
        }
        Change::Isolate(id) => {
            let mut leaders = leaders();
            leaders.retain(|leader| leader != id);
            let mut isolated = configuration.isolated().to_vec();
            isolated.retain(|other| other != id);
            isolated.push(*id);
            configuration.clone().with_leaders(leaders, isolated)
        }
        Change::Release => {
            let leaders = configuration.voters().collect();
            configuration.clone().with_leaders(leaders, Vec::new())
        }
        Change::Add(member) => of(members(None, Some(member))),
        Change::Remove(id) => of(members(Some(*id), None)),
        Change::Rekey(id, member) => of(members(Some(*id), Some(member))),
    };
    result.unwrap_or_else(|_| configuration.clone())
}

impl StateMachine for Registers {
    fn fresh(&self) -> Self {
        Self {
            broken_after: self.broken_after,
            ..Self::new(self.genesis.clone(), self.padding)
        }
    }

    fn is_well_formed(&self, request: &Request) -> bool {
        Command::from_bytes(&request.command).is_ok()
    }

    fn checks(&self, _: ClusterId, _: &Request) -> Vec<SignatureCheck> {
        Vec::new()
    }

    fn apply(&mut self, context: ApplyContext, request: &Request) -> Vec<u8> {
        match Command::from_bytes(&request.command) {
            Ok(Command::Write { key, value }) => {
                self.values.insert(key, value);
            }
            Ok(Command::Change(change)) => {
                self.configuration = changed(&self.configuration, &change);
            }
            Ok(Command::Ledger(_)) => {}
            // Refused by `is_well_formed` before anybody consents.
            Err(_) => return Vec::new(),
        }
        let command = hash(&request.command);
        let mut hasher = SipHasher13::new_with_keys(self.chain, context.time_ms);
        hasher.write_u64(context.sequence.0);
        hasher.write(&request.id.to_bytes());
        hasher.write_u64(command);
        self.chain = hasher.finish();
        if self.broken_after.is_some_and(|after| self.count >= after) {
            self.chain ^= 1;
        }
        self.journal.push(Entry {
            index: self.count,
            sequence: context.sequence.0,
            time_ms: context.time_ms,
            id: request.id,
            command,
            chain: self.chain,
        });
        self.count += 1;
        self.count.to_be_bytes().to_vec()
    }

    fn root(&mut self) -> Digest {
        Digest::of(&self.encode())
    }

    fn wanted_configuration(&self, _: &Configuration) -> Configuration {
        self.configuration.clone()
    }

    fn snapshot(&self) -> Vec<u8> {
        let mut bytes = self.encode();
        bytes.resize(bytes.len() + self.padding, 0);
        bytes
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), RestoreError> {
        let mut from = Reader::new(snapshot);
        let state = Self::decode(&mut from).map_err(|_| RestoreError("not registers"))?;
        *self = Self {
            genesis: self.genesis.clone(),
            padding: self.padding,
            broken_after: self.broken_after,
            ..state
        };
        Ok(())
    }
}

/// A short name of bytes.
#[must_use]
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(bytes);
    hasher.finish()
}

impl Command {
    /// As the command of a request.
    #[must_use]
    pub fn bytes(&self) -> Arc<[u8]> {
        self.to_bytes().into()
    }
}

impl Wire for Command {
    fn write(&self, out: &mut Writer) {
        match self {
            Self::Write { key, value } => {
                out.u8(1);
                out.u8(*key);
                out.u64(*value);
            }
            Self::Change(change) => {
                out.u8(2);
                change.write(out);
            }
            Self::Ledger(commands) => {
                out.u8(3);
                out.block(commands);
            }
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let offset = from.offset();
        Ok(match from.u8()? {
            1 => Self::Write {
                key: from.u8()?,
                value: from.u64()?,
            },
            2 => Self::Change(Change::read(from)?),
            3 => Self::Ledger(
                from.block("commands of the ledger", COMMAND_BYTES_MAX)?
                    .into(),
            ),
            value => {
                return Err(DecodeError::Unknown {
                    what: "command",
                    value: value.into(),
                    offset,
                });
            }
        })
    }
}

impl Wire for Change {
    fn write(&self, out: &mut Writer) {
        match self {
            Self::Rotate(by) => {
                out.u8(1);
                out.u8(*by);
            }
            Self::Isolate(id) => {
                out.u8(2);
                id.write(out);
            }
            Self::Release => out.u8(3),
            Self::Add(member) => {
                out.u8(4);
                member.write(out);
            }
            Self::Remove(id) => {
                out.u8(5);
                id.write(out);
            }
            Self::Rekey(id, member) => {
                out.u8(6);
                id.write(out);
                member.write(out);
            }
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let offset = from.offset();
        Ok(match from.u8()? {
            1 => Self::Rotate(from.u8()?),
            2 => Self::Isolate(NodeId::read(from)?),
            3 => Self::Release,
            4 => Self::Add(Member::read(from)?),
            5 => Self::Remove(NodeId::read(from)?),
            6 => Self::Rekey(NodeId::read(from)?, Member::read(from)?),
            value => {
                return Err(DecodeError::Unknown {
                    what: "change",
                    value: value.into(),
                    offset,
                });
            }
        })
    }
}
