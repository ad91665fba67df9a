//! The certificate log of a run: real logs on all voters, what they submit and say to each other, and liars among them.
//!
//! The ledger decides what is in the log, under the same consensus and faults as everything else; a node that crashes has it
//! all decided again from its history. What no run has: files fetched from others, for nobody makes snapshots here.

mod files;
mod forger;
mod judge;
mod node;
mod setting;

use std::collections::BTreeMap;
use std::sync::Arc;

use consensus::{Input, NodeId, Signer as _, Verified, Wire as _};
use ledger::{Change, Command, Commands};

pub(crate) use self::node::NodeLog;

use self::forger::Forger;
use self::judge::Judge;
use self::setting::{ROOTS, SHARD, Setting, certificate, submission};
use crate::fault::{Lie, Plan};
use crate::keys::Key;
use crate::random::Random;
use crate::world::{Event, Sabotage, World};

/// The lane of what nodes ask of the ledger.
const LOG_LANE: u32 = 62;
/// Between two wishes of a node, at least and at most.
const WISH_US: (u64, u64) = (100_000, 900_000);
/// A log is looked at no sooner than this after it was.
const TURN_US: u64 = 1_000;

/// What belongs to the log and to no node alone.
#[derive(Debug)]
pub(crate) struct LogWorld {
    setting: Setting,
    judge: Judge,
    forgers: BTreeMap<usize, Forger>,
    serial: u64,
}

impl LogWorld {
    pub(crate) fn new(plan: &Plan, keys: &[Key], quorum: usize) -> Self {
        let setting = Setting::new(plan.seed);
        let voters: Vec<_> = keys[..plan.voters].iter().map(|key| key.id()).collect();
        let forger = |node: usize| {
            let random = Random::new(plan.seed, &format!("forger {node}"));
            let lies = plan.lies(node).any(|lie| lie == Lie::Heads);
            lies.then(|| (node, Forger::new(&setting, voters[node], random)))
        };
        Self {
            forgers: (0..plan.voters).filter_map(forger).collect(),
            judge: Judge::new(&setting, &voters, quorum),
            setting,
            serial: 0,
        }
    }

    /// The log of a process of this node, with nothing in it.
    pub(crate) fn node_log(&self, key: &Key, process: usize) -> NodeLog {
        NodeLog::new(&self.setting, key.id(), process.to_string())
    }
}

impl World {
    /// The log of a process that starts.
    pub(crate) fn boot_log(&mut self, index: usize) {
        let (Some(world), Some(log)) = (&self.log, &mut self.processes[index].log) else {
            return;
        };
        if let Err(error) = log.boot(&world.setting) {
            let node = self.processes[index].node;
            self.oracle
                .fail(format!("the log of node {node} does not start: {error}"));
        }
        let process = &mut self.processes[index];
        let (life, after_us) = (process.life + 1, process.random.between(0, WISH_US.1));
        self.queue(self.now_us + after_us, Event::LogWish(index, life));
    }

    /// Power is gone.
    pub(crate) fn crash_log(&mut self, index: usize) {
        self.count_log(index);
        let forgets = self.options.sabotage == Sabotage::ForgetHeads;
        let process = &mut self.processes[index];
        if let Some(log) = &mut process.log {
            log.crash(&mut process.random);
            if forgets {
                log.forget_heads();
            }
        }
    }

    /// Counts what a log that ends has seen.
    pub(crate) fn count_log(&mut self, index: usize) {
        let process = &self.processes[index];
        if let Some(log) = process
            .log
            .as_ref()
            .filter(|_| self.is_honest(process.node))
        {
            self.report.log.forks += log.counted("fork");
            self.report.log.unknown += log.counted("unknown_key") + log.counted("bad_signature");
            self.report.log.malformed += log.counted("malformed");
        }
    }

    /// What the run has made of the log.
    pub(crate) fn finish_log(&mut self) {
        for index in 0..self.processes.len() {
            self.count_log(index);
        }
        if let Some(world) = &self.log {
            let log = &mut self.report.log;
            log.heads = world.judge.heads_count() as u64;
            log.cosigned = world.judge.notes;
            log.published = world.judge.shown;
            log.forged = world.forgers.values().map(|forger| forger.told).sum();
        }
    }

    /// News of the ledger are durable at a node.
    pub(crate) fn decide(&mut self, index: usize, count: usize) {
        let process = &mut self.processes[index];
        let (node, id) = (process.node, process.key.id());
        let (Some(world), Some(log)) = (&mut self.log, &mut process.log) else {
            return;
        };
        let news = log.take_news(count);
        if news.is_empty() {
            return;
        }
        if self.liars[node].is_none() {
            for item in &news {
                if let Err(reason) = world.judge.on_news(id, item) {
                    self.oracle.fail(reason);
                }
            }
        }
        log.decide(news);
        self.turn_log(index);
    }

    /// A log does what there is to do: what it says leaves, and what it shows is judged.
    pub(crate) fn turn_log(&mut self, index: usize) {
        let process = &mut self.processes[index];
        let (node, id, life) = (process.node, process.key.id(), process.life);
        let (Some(world), Some(log)) = (&self.log, &mut process.log) else {
            return;
        };
        let turned = log.turn(world.setting.moment(self.now_us));
        let notes = log.take_notes();
        match turned {
            Ok(None) => return,
            Ok(Some(rest)) => {
                let rest_us = u64::try_from(rest.as_micros()).unwrap_or(u64::MAX);
                let due_us = self.now_us.saturating_add(rest_us.max(TURN_US));
                if log.due_us.is_none_or(|before| due_us < before) {
                    log.due_us = Some(due_us);
                    self.queue(due_us, Event::LogTurn(index, life));
                }
            }
            Err(error) => self.oracle.fail(format!("the log of {id} ends: {error}")),
        }
        for note in notes {
            self.send_note(index, &note.into());
        }
        if self.is_honest(node) {
            self.judge_log(index, id);
        }
    }

    fn judge_log(&mut self, index: usize, id: NodeId) {
        let (Some(world), Some(log)) = (&mut self.log, &self.processes[index].log) else {
            return;
        };
        let judged = match (log.refusal(), log.published(), log.reader()) {
            (Some(kind), ..) => Err(format!("honest {id} was asked to sign a head: {kind}")),
            (None, Some(published), Some(reader)) => {
                world
                    .judge
                    .on_published(id, &published, (reader, &world.setting))
            }
            _ => Ok(()),
        };
        if let Err(reason) = judged {
            self.oracle.fail(reason);
        }
    }

    /// To all other voters; a liar says to each what it likes.
    fn send_note(&mut self, index: usize, note: &Arc<[u8]>) {
        let (node, copy) = (self.processes[index].node, self.processes[index].copy);
        if self.is_honest(node) {
            self.judge_note(node, note);
        }
        for to in (0..self.plan.voters).filter(|to| *to != node) {
            if !self.hears(index, to, copy) {
                continue;
            }
            let forger = self.log.as_mut().and_then(|log| log.forgers.get_mut(&node));
            let Some(forger) = forger else {
                self.transmit_note((node, copy), to, note);
                continue;
            };
            forger.remember(note);
            for said in forger.bend(note) {
                self.judge_note(node, &said);
                self.transmit_note((node, copy), to, &said);
            }
        }
    }

    fn judge_note(&mut self, node: usize, note: &[u8]) {
        let (id, is_honest) = (self.keys[node].id(), self.is_honest(node));
        if let Some(world) = &mut self.log
            && let Err(reason) = world.judge.on_note(id, note, is_honest)
        {
            self.oracle.fail(reason);
        }
    }

    fn transmit_note(&mut self, (from, copy): (usize, usize), to: usize, note: &Arc<[u8]>) {
        for at_us in self.network.arrivals(self.now_us, from, to) {
            let bytes = Arc::clone(note);
            self.queue(
                at_us,
                Event::Note {
                    to,
                    from,
                    copy,
                    bytes,
                },
            );
        }
    }

    /// The log of a process has rested long enough.
    pub(crate) fn on_log_due(&mut self, index: usize) {
        if let Some(log) = &mut self.processes[index].log {
            log.due_us = log.due_us.filter(|due_us| *due_us > self.now_us);
        }
        self.turn_log(index);
    }

    /// A note arrives.
    pub(crate) fn on_note(&mut self, to: usize, from: usize, copy: usize, note: &Arc<[u8]>) {
        let sender = self.keys[from].id();
        self.trace(|| format!("{from} -> {to}: NOTE {}", brief(note)));
        if let Some(world) = &mut self.log
            && let Some(forger) = world.forgers.get_mut(&to)
        {
            forger.remember(note);
        }
        for index in 0..self.processes.len() {
            if self.processes[index].node == to && self.hears(index, from, copy) {
                if let Some(log) = &self.processes[index].log {
                    log.hear(sender, note);
                }
                self.turn_log(index);
            }
        }
    }

    /// A liar says something of the log by itself.
    pub(crate) fn forge(&mut self, node: usize) {
        let forger = self.log.as_mut().and_then(|log| log.forgers.get_mut(&node));
        if let Some(note) = forger.and_then(Forger::invent) {
            let (to, copy) = (self.random.index(self.plan.voters), self.random.index(2));
            if to != node {
                self.judge_note(node, &note);
                self.transmit_note((node, copy), to, &note);
            }
        }
    }

    /// A node asks the ledger for what is missing, or has something logged.
    pub(crate) fn on_log_wish(&mut self, index: usize) {
        self.sync_log(index);
        if let Some(command) = self.log_wish(index) {
            let commands = Commands(vec![command]).to_bytes();
            let command = crate::machine::Command::Ledger(commands.into());
            let request = self.request(index, LOG_LANE, self.now_us + 1, &command);
            self.step(index, Input::Request(Verified::vouch(request)));
        }
        let process = &mut self.processes[index];
        let (low, high) = WISH_US;
        let (life, after_us) = (process.life, process.random.between(low, high));
        self.queue(self.now_us + after_us, Event::LogWish(index, life));
    }

    fn log_wish(&mut self, index: usize) -> Option<Command> {
        let (is_healed, cluster) = (self.is_healed, self.cluster);
        let process = &mut self.processes[index];
        let id = process.key.id();
        let ledger = process.replica.as_ref()?.machine().ledger()?;
        let world = self.log.as_mut()?;
        if ledger.ct_roots().is_none() {
            return Some(Command::Propose(Change::CtRoots(ROOTS)));
        }
        if ledger.ct_shards().next().is_none() {
            let shard = world.setting.shard();
            return Some(Command::Propose(Change::CtOpen(shard)));
        }
        if !ledger.ct_validators().keys.contains_key(&id) {
            let key = world.setting.cosigner_key(cluster, id);
            return Some(Command::CtCosigner(key));
        }
        let log = process.log.as_mut()?;
        if is_healed {
            let last = log.last.get_or_insert_with(|| {
                world.serial += 1;
                certificate(world.serial)
            });
            let last = [Arc::clone(last)];
            return (!log.is_last_placed).then(|| Command::CtEntries(submission(&last)));
        }
        if process.random.chance(15) {
            return Some(Command::CtRefresh(SHARD.into()));
        }
        // Some that were logged before come again.
        world.serial += process.random.below(3);
        let first = world.serial.saturating_sub(process.random.below(3));
        let certificates: Vec<_> = (first..=world.serial).map(certificate).collect();
        Some(Command::CtEntries(submission(&certificates)))
    }

    /// What is durable then comes from the files after a crash, and only the rest is decided again.
    fn sync_log(&mut self, index: usize) {
        let process = &mut self.processes[index];
        let (Some(world), Some(log)) = (&self.log, &mut process.log) else {
            return;
        };
        if process.random.chance(10) && !log.sync(world.setting.moment(self.now_us)) {
            let id = process.key.id();
            self.oracle
                .fail(format!("the log of {id} cannot be synced"));
        }
        self.turn_log(index);
    }
}

/// The checkpoint of a note in one line.
fn brief(note: &[u8]) -> String {
    let text = String::from_utf8_lossy(note);
    let lines = text.lines().filter(|line| !line.is_empty());
    lines.take(5).collect::<Vec<_>>().join(" ")
}
