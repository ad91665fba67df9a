//! [`State`]: everything that nodes agree on but applications, and which of it has changed since the last root.
//!
//! Its parts are changed in `members.rs`, `reputation.rs`, `validate.rs` and `zones.rs`; here is what they share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use consensus::{
    ApplyContext, Configuration, Digest, Member, NodeId, Sequence, Wire, Writer, faults_max, quorum,
};

use crate::answer::Question;
use crate::answers::Answers;
use crate::ct_log::CtLog;
use crate::members::Proposal;
use crate::outcome::Reason;
use crate::parameters::Parameters;
use crate::reputation::{Tally, TallyKey};
use crate::score::Score;
use crate::standing::Standing;
use crate::zones::Zones;

/// Trust of each reporter in each subject of its reports.
pub(crate) type Trust = BTreeMap<NodeId, BTreeMap<NodeId, Score>>;

/// Everything that nodes agree on but applications.
#[derive(Debug, Clone)]
pub(crate) struct State {
    /// With which the cluster began: its numbers hold for all later members. No part of the state.
    pub(crate) genesis: Configuration,
    pub(crate) parameters: Parameters,
    pub(crate) sequence: Sequence,
    pub(crate) time_ms: u64,
    pub(crate) members: BTreeMap<NodeId, Member>,
    /// Whose keys are not taken again: members that are gone. See `members.rs`.
    pub(crate) retired: BTreeSet<NodeId>,
    pub(crate) proposals: BTreeMap<Digest, Proposal>,
    pub(crate) standings: BTreeMap<NodeId, Standing>,
    pub(crate) trust: Trust,
    pub(crate) tallies: BTreeMap<TallyKey, Tally>,
    pub(crate) answers: Answers,
    pub(crate) ct: CtLog,
    pub(crate) zones: Zones,
    /// What may differ from what the last root covered. No part of the state.
    pub(crate) dirty: BTreeSet<Key>,
}

/// A part of the state that the root covers by itself. Its bytes are the key in the digest's map.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    Clock,
    Parameters,
    Members,
    Ct,
    Standing(NodeId),
    Trust(NodeId),
    Proposal(Digest),
    Tally(TallyKey),
    Answer(Question),
    Retired(NodeId),
    /// A shard of the certificate log.
    CtShard(Arc<str>),
    /// Places of some of its last entries: which, by their number.
    CtRecent(Arc<str>, u64),
    /// By its fingerprint.
    CtIssuer([u8; 32]),
    CtCosigner(NodeId),
    /// Apex, owner, type.
    Set(Arc<[u8]>, Arc<[u8]>, u16),
}

impl Key {
    /// One form for each key, and none is another's: a number, then fields that say where they end.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::default();
        match self {
            Self::Clock => out.u8(1),
            Self::Parameters => out.u8(2),
            Self::Members => out.u8(3),
            Self::Ct => out.u8(4),
            Self::Standing(node) => {
                out.u8(5);
                node.write(&mut out);
            }
            Self::Trust(node) => {
                out.u8(6);
                node.write(&mut out);
            }
            Self::Proposal(digest) => {
                out.u8(7);
                digest.write(&mut out);
            }
            Self::Tally(key) => {
                out.u8(8);
                key.write(&mut out);
            }
            Self::Answer(question) => {
                out.u8(9);
                question.write(&mut out);
            }
            Self::Set(apex, owner, rtype) => {
                out.u8(10);
                out.bytes(apex);
                out.bytes(owner);
                out.u16(*rtype);
            }
            // 11 is an application's.
            Self::Retired(node) => {
                out.u8(12);
                node.write(&mut out);
            }
            Self::CtShard(name) => {
                out.u8(13);
                out.block(name.as_bytes());
            }
            Self::CtRecent(name, block) => {
                out.u8(14);
                out.block(name.as_bytes());
                out.u64(*block);
            }
            Self::CtIssuer(id) => {
                out.u8(15);
                out.bytes(id);
            }
            Self::CtCosigner(node) => {
                out.u8(16);
                node.write(&mut out);
            }
        }
        out.into_bytes()
    }

    /// The key under which the digest of an application's state stands.
    pub(crate) fn of_application(name: &str) -> Vec<u8> {
        let mut out = Writer::default();
        out.u8(11);
        out.block(name.as_bytes());
        out.into_bytes()
    }
}

impl State {
    pub(crate) fn new(genesis: &Configuration, parameters: Parameters) -> Self {
        let members = genesis.members().map(|m| (m.id(), m.clone()));
        let members: BTreeMap<_, _> = members.collect();
        let standings = members.keys().map(|id| (*id, Standing::new(Sequence(0))));
        let mut state = Self {
            genesis: genesis.clone(),
            parameters,
            sequence: Sequence(0),
            time_ms: 0,
            standings: standings.collect(),
            members,
            retired: BTreeSet::new(),
            proposals: BTreeMap::new(),
            trust: Trust::new(),
            tallies: BTreeMap::new(),
            answers: Answers::default(),
            ct: CtLog::default(),
            zones: Zones::default(),
            dirty: BTreeSet::new(),
        };
        state.dirty = state.keys().collect();
        state
    }

    /// Every part of the state.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> {
        let fixed = [Key::Clock, Key::Parameters, Key::Members, Key::Ct];
        let standings = self.standings.keys().map(|node| Key::Standing(*node));
        let retired = self.retired.iter().map(|node| Key::Retired(*node));
        let trust = self.trust.keys().map(|node| Key::Trust(*node));
        let proposals = self.proposals.keys().map(|digest| Key::Proposal(*digest));
        let tallies = self.tallies.keys().map(|key| Key::Tally(*key));
        let answers = self.answers.iter();
        let answers = answers.map(|(question, _)| Key::Answer(question.clone()));
        let parts = fixed.into_iter().chain(retired).chain(standings);
        let parts = parts.chain(trust);
        let parts = parts.chain(proposals).chain(tallies).chain(answers);
        parts.chain(self.ct.keys()).chain(self.zones.keys())
    }

    /// The bytes of a part; `None` if it is not there.
    pub(crate) fn value(&self, key: &Key) -> Option<Vec<u8>> {
        let mut out = Writer::default();
        match key {
            Key::Clock => {
                self.sequence.write(&mut out);
                out.u64(self.time_ms);
            }
            Key::Parameters => self.parameters.write(&mut out),
            Key::Members => out.list(&self.members.values().cloned().collect::<Vec<_>>()),
            Key::Ct => out.option(self.ct.roots.as_ref()),
            Key::CtShard(name) => self.ct.shards.get(name)?.state.write(&mut out),
            Key::CtRecent(name, block) => {
                let mut places = self.ct.shards.get(name)?.recent.block(*block).peekable();
                places.peek()?;
                for (key, timestamp_ms) in places {
                    out.bytes(&key.0);
                    out.u64(*timestamp_ms);
                }
            }
            Key::CtIssuer(id) => self.ct.issuers.get(id)?.write(&mut out),
            Key::CtCosigner(node) => out.bytes(self.ct.cosigners.get(node)?),
            // That it is there says all.
            Key::Retired(node) => self.retired.get(node).map(|_| ())?,
            Key::Standing(node) => self.standings.get(node)?.write(&mut out),
            Key::Trust(node) => crate::codec::write_map(self.trust.get(node)?, &mut out),
            Key::Proposal(digest) => self.proposals.get(digest)?.write(&mut out),
            Key::Tally(key) => self.tallies.get(key)?.write(&mut out),
            Key::Answer(question) => self.answers.get(question)?.write(&mut out),
            Key::Set(apex, owner, rtype) => {
                let set = self.zones.get(apex)?.set(owner, *rtype)?;
                out.u32(set.ttl());
                out.block(set.as_bytes());
            }
        }
        Some(out.into_bytes())
    }

    /// The batch's time has come. Once a batch, before its first request.
    pub(crate) fn advance(&mut self, context: ApplyContext) {
        if context.sequence == self.sequence {
            return;
        }
        let before_ms = self.time_ms;
        self.sequence = context.sequence;
        self.time_ms = self.time_ms.max(context.time_ms);
        self.dirty.insert(Key::Clock);
        self.decay(before_ms);
        self.end_isolations();
        self.expire_tallies();
        self.expire_proposals();
        let expired = self.answers.expire(self.time_ms);
        self.dirty.extend(expired.into_iter().map(Key::Answer));
    }

    pub(crate) fn is_voter(&self, node: NodeId) -> bool {
        self.members
            .get(&node)
            .is_some_and(|member| member.role.votes())
    }

    /// Ids of all voters, ascending.
    pub(crate) fn voters(&self) -> impl Iterator<Item = NodeId> {
        let voters = self.members.iter().filter(|(_, m)| m.role.votes());
        voters.map(|(id, _)| *id)
    }

    /// f: how many voters may be faulty.
    pub(crate) fn faults_max(&self) -> usize {
        faults_max(self.voters().count())
    }

    /// Voters that make a quorum, by the members that the ledger has decided on.
    pub(crate) fn quorum(&self) -> usize {
        quorum(self.voters().count())
    }

    /// How many of these count when it takes more than may be faulty: voters that are not shut out.
    pub(crate) fn heard<'n>(
        &self,
        nodes: impl IntoIterator<Item = &'n NodeId>,
    ) -> impl Iterator<Item = NodeId> {
        let shut_out = self.shut_out();
        let heard = move |node: &&NodeId| self.is_voter(**node) && !shut_out.contains(node);
        nodes.into_iter().filter(heard).copied()
    }

    /// Whether a node may ask for something.
    pub(crate) fn check_client(&self, client: NodeId) -> Result<(), Reason> {
        if !self.members.contains_key(&client) {
            return Err(Reason::NotMember);
        }
        match self.shut_out().contains(&client) {
            true => Err(Reason::Isolated),
            false => Ok(()),
        }
    }

    /// Whether a node may change zones: a voter that has them.
    pub(crate) fn check_holder(&self, client: NodeId) -> Result<(), Reason> {
        let role = self.members.get(&client).map(|member| member.role);
        match role.is_some_and(|role| role.votes() && role.holds_state()) {
            true => Ok(()),
            false => Err(Reason::NotVoter),
        }
    }

    /// Whether a node may speak of others.
    pub(crate) fn check_voter(&self, client: NodeId) -> Result<(), Reason> {
        match self.is_voter(client) {
            true => Ok(()),
            false => Err(Reason::NotVoter),
        }
    }
}
