//! One running copy of a node: replica, disk, clocks, and the clients that live on it.

use std::collections::BTreeMap;

use consensus::{Configuration, Effect, NodeId, Now, Params, Replica, Request};

use crate::clock::Clock;
use crate::disk::{Disk, Publication};
use crate::keys::Key;
use crate::log::NodeLog;
use crate::random::Random;
use crate::state::State;

/// What a client waits for.
#[derive(Debug, Clone)]
pub(crate) enum Pending {
    /// A write: its place in the history of operations.
    Write(Request, usize),
    /// A read: its token and its place.
    Read(u64, usize),
}

/// A client: one request at a time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lane {
    pub(crate) last_timestamp: u64,
    pub(crate) pending: Option<Pending>,
    pub(crate) asked_us: u64,
    /// Of the one time at which it is to be looked at.
    pub(crate) ticket: u64,
    /// The last write, after the faults, was executed.
    pub(crate) is_done: bool,
    /// It has begun the last one.
    pub(crate) is_last: bool,
}

/// A copy of a node.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) node: usize,
    /// Twins have two.
    pub(crate) copy: usize,
    pub(crate) key: Key,
    pub(crate) replica: Option<Replica<State, Key>>,
    pub(crate) disk: Disk,
    pub(crate) clock: Clock,
    /// Counts starts, so that what belonged to an earlier life is known.
    pub(crate) life: u64,
    /// A sync takes up to this, beside what it always takes.
    pub(crate) disk_us: u64,
    /// The earliest tick on its way.
    pub(crate) tick_us: Option<u64>,
    /// Effects left before it crashes, and then: how long it is down and whether its log is torn.
    pub(crate) doom: Option<(u64, u64, bool)>,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) next_token: u64,
    /// Entries of its journal that were given to the disk to be published.
    pub(crate) told: usize,
    pub(crate) told_count: u64,
    /// The registers in service: what its clients read.
    pub(crate) values: BTreeMap<u8, u64>,
    /// In runs with a certificate log, if it has a part in it.
    pub(crate) log: Option<NodeLog>,
    pub(crate) random: Random,
}

impl Process {
    /// Starts from what the disk has.
    pub(crate) fn boot(
        &mut self,
        true_us: u64,
        genesis: Configuration,
        params: Params,
        machine: State,
    ) -> Result<Vec<Effect>, String> {
        self.life += 1;
        self.clock.boot_us = true_us;
        self.clock.base_us = self.random.below(1 << 40);
        self.tick_us = None;
        self.told = 0;
        self.told_count = 0;
        self.values.clear();
        let mut effects = Vec::new();
        let recovered = self.disk.recover(genesis);
        let now = self.clock.now(true_us);
        let replica = Replica::recover(
            now,
            params,
            self.key.clone(),
            machine,
            recovered,
            &mut effects,
        );
        self.replica = Some(replica.map_err(|error| error.to_string())?);
        Ok(effects)
    }

    /// The state, if it has changed since it was last asked for.
    pub(crate) fn publication(&mut self) -> Option<Publication> {
        let news = self.replica.as_mut()?.machine_mut().take_news();
        let machine = self.replica.as_ref()?.machine().registers();
        let (journal, count) = (machine.journal(), machine.count());
        if count < self.told_count || journal.len() < self.told {
            self.told = 0;
        }
        let entries = journal.get(self.told..)?.to_vec();
        let has_changed = count != self.told_count || !entries.is_empty() || !news.is_empty();
        self.told = journal.len();
        self.told_count = count;
        has_changed.then(|| Publication {
            entries,
            values: machine.values().clone(),
            news: self.log.as_mut().map_or(0, |log| log.keep(news)),
        })
    }

    pub(crate) fn now(&self, true_us: u64) -> Now {
        self.clock.now(true_us)
    }

    /// Who leads, as it sees it.
    pub(crate) fn leader(&self) -> Option<NodeId> {
        let replica = self.replica.as_ref();
        replica.map(|replica| replica.summary().primary)
    }

    /// Whether this effect is the last that it performs.
    pub(crate) fn is_last_effect(&mut self) -> bool {
        let Some((left, ..)) = &mut self.doom else {
            return false;
        };
        let is_last = *left == 0;
        *left = left.saturating_sub(1);
        is_last
    }
}
