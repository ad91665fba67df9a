//! Changes of members, of parameters, and the lifting of isolations: what f + 1 voters must ask for alike.
//!
//! Whoever asks first opens a proposal; the others ask for the same and so support it. It is made by whoever completes the
//! count, within [`crate::Parameters::proposal_ms`] of the ledger's time, else it is forgotten.

use std::collections::{BTreeMap, BTreeSet};

use consensus::{DecodeError, Digest, MEMBERS_MAX, Member, NodeId, Reader, Wire, Writer};

use crate::command::Change;
use crate::ct_log::CtFeed;
use crate::outcome::{Outcome, Reason};
use crate::standing::{Cause, Standing};
use crate::state::{Key, State};

/// Most proposals that one node may have opened and that still wait.
pub const PROPOSALS_PER_NODE_MAX: usize = 8;
/// Most proposals that wait.
pub const PROPOSALS_MAX: usize = MEMBERS_MAX * PROPOSALS_PER_NODE_MAX;

/// Most keys of members that are gone. Each takes f + 1 voters' agreement, so that only a cluster that changes a member
/// every hour for seven years comes this far; then nobody leaves any more, for to forget a key would be worse.
pub const RETIRED_MAX: usize = 65_536;

/// A change that waits for support.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// What is asked for.
    pub change: Change,
    /// Who asked first.
    pub opener: NodeId,
    /// When, milliseconds since 1970.
    pub opened_ms: u64,
    /// Who have asked, ascending.
    pub supporters: BTreeSet<NodeId>,
}

impl State {
    /// Asks for a change, or supports it.
    pub(crate) fn propose(
        &mut self,
        client: NodeId,
        change: &Change,
        ct_feed: &mut CtFeed,
    ) -> Result<Outcome, Reason> {
        self.check_voter(client)?;
        if *change == Change::Lift(client) {
            return Err(Reason::OwnSubject);
        }
        let members = self.members_after(change)?;
        let key = Digest::of(&change.to_bytes());
        if !self.proposals.contains_key(&key) {
            self.open(client, key, change)?;
        }
        let Some(proposal) = self.proposals.get_mut(&key) else {
            return Err(Reason::TooMany);
        };
        proposal.supporters.insert(client);
        self.dirty.insert(Key::Proposal(key));
        let supporters = self.proposals.get(&key).map(|open| &open.supporters);
        let count = self.heard(supporters.into_iter().flatten()).count();
        let wanted = self.faults_max() + 1;
        if count < wanted {
            return Ok(Outcome::Pending {
                supporters: u32::try_from(count).unwrap_or(u32::MAX),
                wanted: u32::try_from(wanted).unwrap_or(u32::MAX),
            });
        }
        self.proposals.remove(&key);
        self.make(change, members, ct_feed);
        Ok(Outcome::Done)
    }

    fn open(&mut self, client: NodeId, key: Digest, change: &Change) -> Result<(), Reason> {
        let own = self.proposals.values().filter(|p| p.opener == client);
        let is_full = self.proposals.len() >= PROPOSALS_MAX;
        if own.count() >= PROPOSALS_PER_NODE_MAX || is_full {
            return Err(Reason::TooMany);
        }
        let proposal = Proposal {
            change: change.clone(),
            opener: client,
            opened_ms: self.time_ms,
            supporters: BTreeSet::new(),
        };
        self.proposals.insert(key, proposal);
        Ok(())
    }

    /// The members with a change made, if that is safe and changes anything at all.
    fn members_after(&self, change: &Change) -> Result<BTreeMap<NodeId, Member>, Reason> {
        let mut members = self.members.clone();
        match change {
            Change::Add(member) => {
                self.check_unused(member.id())?;
                if members.insert(member.id(), member.clone()).is_some() {
                    return Err(Reason::NotSafe);
                }
            }
            Change::Remove(node) => {
                members.remove(node).ok_or(Reason::NoSuchNode)?;
                self.check_retirable()?;
            }
            Change::ReplaceKey { node, key } => {
                let old = members.remove(node).ok_or(Reason::NoSuchNode)?;
                let new = Member { key: *key, ..old };
                self.check_unused(new.id())?;
                self.check_retirable()?;
                if new.id() == *node || members.insert(new.id(), new).is_some() {
                    return Err(Reason::NotSafe);
                }
            }
            Change::Alter(member) => {
                let old = members.insert(member.id(), member.clone());
                let old = old.ok_or(Reason::NoSuchNode)?;
                if old == *member {
                    return Err(Reason::NotSafe);
                }
                // Consensus would not follow, nor any change after it: the node has, or lacks, the state.
                if old.role.holds_state() != member.role.holds_state() {
                    return Err(Reason::OtherKind);
                }
            }
            Change::Lift(node) => {
                let standing = self.standings.get(node);
                let isolation = standing.and_then(|standing| standing.isolation);
                isolation.ok_or(Reason::NoSuchNode)?;
            }
            Change::Parameters(parameters) if *parameters == self.parameters => {
                return Err(Reason::NotSafe);
            }
            Change::Parameters(_) => {}
            Change::CtOpen(shard) => self.check_ct_shard(shard)?,
            Change::CtClose(name) => self.check_ct_close(name)?,
            Change::CtRoots(roots) if self.ct.roots == Some(*roots) => return Err(Reason::NotSafe),
            Change::CtRoots(_) => {}
        }
        let all = members.values().cloned().collect();
        match self.genesis.with_members(all) {
            Ok(_) => Ok(members),
            Err(_) => Err(Reason::NotSafe),
        }
    }

    /// Consensus forgets what it has executed for a node when that is no member any more. Were its key a member's again,
    /// each of its old requests would be executed again by whoever kept it.
    fn check_unused(&self, node: NodeId) -> Result<(), Reason> {
        match self.retired.contains(&node) {
            true => Err(Reason::UsedKey),
            false => Ok(()),
        }
    }

    /// Whether one more member may go and be remembered.
    fn check_retirable(&self) -> Result<(), Reason> {
        match self.retired.len() < RETIRED_MAX {
            true => Ok(()),
            false => Err(Reason::TooMany),
        }
    }

    fn make(&mut self, change: &Change, members: BTreeMap<NodeId, Member>, ct_feed: &mut CtFeed) {
        match change {
            Change::Add(member) => {
                // Evidence from before is of another time: who lets a node in again lets bygones be bygones.
                let standing = Standing::new(self.sequence);
                self.standings.insert(member.id(), standing);
                self.dirty.insert(Key::Standing(member.id()));
            }
            Change::Remove(node) => {
                self.standings.remove(node);
                self.forget(*node);
            }
            Change::ReplaceKey { node, key } => {
                let (new, standing) = (NodeId::of(key), self.standings.remove(node));
                self.standings
                    .extend(standing.map(|standing| (new, standing)));
                self.dirty.insert(Key::Standing(new));
                self.forget(*node);
            }
            Change::Alter(_) => {}
            Change::Lift(node) => self.end_isolation(*node, Cause::Lifted),
            Change::Parameters(parameters) => {
                // Windows may have other lengths now.
                let tallies = std::mem::take(&mut self.tallies);
                self.dirty.extend(tallies.into_keys().map(Key::Tally));
                for (node, standing) in &mut self.standings {
                    standing.forfeit = None;
                    self.dirty.insert(Key::Standing(*node));
                }
                self.parameters = *parameters;
                self.dirty.insert(Key::Parameters);
            }
            Change::CtOpen(shard) => self.open_ct_shard(shard, ct_feed),
            Change::CtClose(name) => self.close_ct_shard(name, ct_feed),
            Change::CtRoots(roots) => self.accept_ct_roots(*roots, ct_feed),
        }
        self.members = members;
        self.dirty.insert(Key::Members);
    }

    /// Drops what is kept by the id of a node that is gone, so that bounds by members hold however many come and go. Only that
    /// it was there stays.
    fn forget(&mut self, node: NodeId) {
        self.retired.insert(node);
        self.dirty.extend([
            Key::Retired(node),
            Key::Standing(node),
            Key::Trust(node),
            Key::CtCosigner(node),
        ]);
        self.ct.cosigners.remove(&node);
        self.trust.remove(&node);
        self.forget_tallies(node);
        for (key, proposal) in &mut self.proposals {
            if proposal.supporters.remove(&node) {
                self.dirty.insert(Key::Proposal(*key));
            }
        }
        for (reporter, subjects) in &mut self.trust {
            if subjects.remove(&node).is_some() {
                self.dirty.insert(Key::Trust(*reporter));
            }
        }
        for (subject, standing) in &mut self.standings {
            if standing.measurements.remove(&node).is_some() {
                self.dirty.insert(Key::Standing(*subject));
            }
        }
    }

    pub(crate) fn expire_proposals(&mut self) {
        let (now_ms, lasts_ms) = (self.time_ms, self.parameters.proposal_ms);
        let dirty = &mut self.dirty;
        self.proposals.retain(|key, proposal| {
            let stays = now_ms.saturating_sub(proposal.opened_ms) < lasts_ms;
            if !stays {
                dirty.insert(Key::Proposal(*key));
            }
            stays
        });
    }
}

impl Wire for Proposal {
    fn write(&self, out: &mut Writer) {
        self.change.write(out);
        self.opener.write(out);
        out.u64(self.opened_ms);
        out.list(&self.supporters.iter().copied().collect::<Vec<_>>());
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let change = Change::read(from)?;
        let (opener, opened_ms) = (NodeId::read(from)?, from.u64()?);
        let supporters: Vec<NodeId> = from.list("supporters", MEMBERS_MAX)?;
        if !supporters.is_sorted_by(|one, next| one < next) {
            return Err(DecodeError::Order { what: "supporters" });
        }
        Ok(Self {
            change,
            opener,
            opened_ms,
            supporters: supporters.into_iter().collect(),
        })
    }
}
