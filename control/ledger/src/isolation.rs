//! Who is shut out, who leads: the configuration that the state asks for.
//!
//! Isolated nodes still count in n; only their traffic is dropped. No more than f are shut out at once, or what is left could not
//! make a quorum: when more should be, the worst are.

use std::cmp::Reverse;

use consensus::{Configuration, NodeId};

use crate::assess::Indicator;
use crate::standing::{Cause, Class, Isolation};
use crate::state::{Key, State};

/// By how much a node that comes out of isolation stands above its threshold at least, in millionths.
const PROBATION_MARGIN: i64 = 100_000;

/// What is left of the patience with a leader that is not sound. Not less: who is asked to lead must be able to.
const PATIENCE_PERCENT_MIN: u32 = 50;

impl State {
    /// Isolates a node from now on, or longer. An edge node has no vote to take away; its isolation counts in no configuration.
    pub(crate) fn isolate(&mut self, node: NodeId, by_evidence: bool) {
        let Some(standing) = self.standings.get_mut(&node) else {
            return;
        };
        let before = standing.isolation;
        let until_ms = self.time_ms.saturating_add(self.parameters.isolation_ms);
        standing.isolation = Some(Isolation {
            since_ms: before.map_or(self.time_ms, |before| before.since_ms),
            until_ms,
            by_evidence: by_evidence || before.is_some_and(|before| before.by_evidence),
            score: standing.score,
        });
        self.dirty.insert(Key::Standing(node));
        if before.is_none() {
            self.mark(node, Cause::Isolated(until_ms), 1, 0, Vec::new());
        }
    }

    /// Ends those whose time is over.
    pub(crate) fn end_isolations(&mut self) {
        let ends = |isolation: Isolation| isolation.until_ms <= self.time_ms;
        let standings = self.standings.iter();
        let over = standings.filter(|(_, standing)| standing.isolation.is_some_and(ends));
        let over: Vec<_> = over.map(|(node, _)| *node).collect();
        over.into_iter()
            .for_each(|node| self.end_isolation(node, Cause::Released));
    }

    /// Lets a node in again, on probation.
    pub(crate) fn end_isolation(&mut self, node: NodeId, cause: Cause) {
        let Some(standing) = self.standings.get_mut(&node) else {
            return;
        };
        standing.isolation = None;
        standing.forgive(self.sequence);
        let least = self.parameters.isolation_below.plus(PROBATION_MARGIN);
        let change = i64::from(least.micros()) - i64::from(standing.score.micros());
        self.mark(node, cause, 1, change.max(0), Vec::new());
    }

    /// The voters that are shut out: of those isolated the worst, by what was so when they were isolated, so that the choice
    /// does not change with every score.
    pub(crate) fn shut_out(&self) -> Vec<NodeId> {
        let isolated = self.standings.iter().filter_map(|(node, standing)| {
            let isolation = standing.isolation?;
            let rank = (Reverse(isolation.by_evidence), isolation.score, *node);
            self.is_voter(*node).then_some(rank)
        });
        let mut isolated: Vec<_> = isolated.collect();
        if isolated.is_empty() {
            return Vec::new();
        }
        isolated.sort_unstable();
        isolated.truncate(self.faults_max());
        isolated.into_iter().map(|(.., node)| node).collect()
    }

    /// The voters that are not shut out: sound ones first, then by id.
    fn leaders(&self, shut_out: &[NodeId]) -> Vec<NodeId> {
        let class = |node| {
            let standing = self.standings.get(&node);
            standing.map_or(Class::Sound, |standing| standing.class)
        };
        let voters = self.voters().filter(|node| !shut_out.contains(node));
        let mut leaders: Vec<_> = voters.map(|node| (class(node), node)).collect();
        leaders.sort_unstable();
        leaders.into_iter().map(|(_, node)| node).collect()
    }

    /// See [`crate::Ledger::is_fast_path_promising`].
    pub(crate) fn is_fast_path_promising(&self) -> bool {
        let is_sound = |node| {
            let known = self.assess(node);
            known.is_some_and(|known| {
                let is_silent = known
                    .indicators
                    .iter()
                    .any(|one| matches!(one, Indicator::Absent(_) | Indicator::Unreachable(_)));
                known.class == Class::Sound && !is_silent
            })
        };
        self.shut_out().is_empty() && self.voters().all(is_sound)
    }

    /// See [`crate::Ledger::patience_percent`].
    pub(crate) fn patience_percent(&self, leader: NodeId) -> u32 {
        let standing = self.standings.get(&leader);
        match standing.map(|standing| standing.class) {
            Some(Class::Sound) => 100,
            _ => PATIENCE_PERCENT_MIN,
        }
    }

    /// See [`consensus::StateMachine::wanted_configuration`].
    pub(crate) fn wanted_configuration(&self, current: &Configuration) -> Configuration {
        let shut_out = self.shut_out();
        let wanted = current.with_members(self.members.values().cloned().collect());
        let wanted =
            wanted.and_then(|wanted| wanted.with_leaders(self.leaders(&shut_out), shut_out));
        // Each change of members has been held to the rules of configurations before it was made.
        wanted.unwrap_or_else(|_| current.clone())
    }
}
