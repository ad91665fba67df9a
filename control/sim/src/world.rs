//! The world of one run: everything happens in one thread, in the order of one queue.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use consensus::{
    ClusterId, Configuration, Epoch, Member, Params, Role, Signer as _, StateMachine as _,
};

use crate::clock::Clock;
use crate::disk::Disk;
use crate::fault::{Fault, Lie, Plan};
use crate::keys::{Key, Registry};
use crate::liar::Liar;
use crate::log::{LogWorld, NodeLog};
use crate::machine::Registers;
use crate::network::Network;
use crate::oracle::Oracle;
use crate::process::{Lane, Process};
use crate::random::Random;
use crate::report::Report;
use crate::state::State;

/// Within this, after the faults have ended, everything must be executed everywhere.
const LIVENESS_US: u64 = 120_000_000;
/// More events than any run needs: then something spins.
const EVENTS_MAX: u64 = 1_000_000;
/// How often liars act by themselves, and how often it is looked at whether all is done.
pub(crate) const LIAR_US: u64 = 80_000;
const PROBE_US: u64 = 50_000;

/// A rule that is broken on purpose, to see that the judges notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sabotage {
    /// None.
    #[default]
    None,
    /// Nothing waits for the disk.
    SendBeforeDurable,
    /// After a crash votes and locks are gone.
    ForgetPromises,
    /// Who wants another view says nothing of what was prepared or accepted before.
    HideLocks,
    /// No signature is checked.
    TrustSignatures,
    /// One node executes wrongly.
    BrokenMachine,
    /// After a crash the keys of the certificate log have forgotten what they signed.
    ForgetHeads,
}

/// How a run is carried out.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Which rule is broken.
    pub sabotage: Sabotage,
    /// Whether a trace is written.
    pub trace: bool,
}

#[derive(Debug)]
pub(crate) enum Event {
    Boot(usize),
    Deliver {
        to: usize,
        from: usize,
        copy: usize,
        bytes: Arc<[u8]>,
    },
    Synced(usize, u64),
    Tick(usize, u64),
    Client(usize, usize, u64),
    Begin(usize),
    End(usize),
    Liar(usize),
    /// The log of a process is looked at; the node asks for something to be logged.
    LogTurn(usize, u64),
    LogWish(usize, u64),
    /// What a log says to another.
    Note {
        to: usize,
        from: usize,
        copy: usize,
        bytes: Arc<[u8]>,
    },
    Heal,
    Probe,
}

/// An event and its time. Of one time, the one queued first comes first.
#[derive(Debug)]
struct Queued(u64, u64, Event);

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}

impl Eq for Queued {}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Queued {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

/// The world.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) options: Options,
    pub(crate) now_us: u64,
    pub(crate) is_healed: bool,
    events: BinaryHeap<Reverse<Queued>>,
    queued: u64,
    pub(crate) cluster: ClusterId,
    pub(crate) genesis: Configuration,
    pub(crate) params: Params,
    pub(crate) keys: Vec<Key>,
    pub(crate) registry: Registry,
    pub(crate) liars: Vec<Option<Liar>>,
    pub(crate) processes: Vec<Process>,
    pub(crate) network: Network,
    pub(crate) oracle: Oracle,
    /// In runs with a certificate log.
    pub(crate) log: Option<LogWorld>,
    pub(crate) random: Random,
    /// Bit i: node i deals with the first copy of Twins, else with the second; or with both.
    pub(crate) twin_sides: u64,
    pub(crate) twin_both: u64,
    pub(crate) report: Report,
}

/// The member that a node is.
pub(crate) fn member(plan: &Plan, key: &Key, node: usize) -> Member {
    let port = u16::try_from(4853 + node).unwrap_or(0);
    let is_witness = plan.has_witness && node + 1 == plan.voters;
    let is_edge = plan.has_edge && node == plan.voters;
    let role = match (is_witness, is_edge) {
        (true, _) => Role::Witness,
        (_, true) => Role::Edge,
        _ if node.is_multiple_of(2) => Role::Authority,
        _ => Role::Resolver,
    };
    Member {
        key: key.public(),
        role,
        address: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port),
    }
}

/// Carries a run out and says how it went.
#[must_use]
pub fn run(plan: &Plan, options: Options) -> Report {
    let mut world = World::new(plan, options);
    world.start();
    world.run();
    world.finish()
}

impl World {
    fn new(plan: &Plan, options: Options) -> Self {
        let keys: Vec<_> = (0..plan.nodes())
            .map(|node| Key::new(plan.seed, node))
            .collect();
        let members = (0..plan.members()).map(|node| member(plan, &keys[node], node));
        let genesis = Configuration::new(
            Epoch(0),
            members.collect(),
            plan.checkpoint_interval,
            plan.pipeline_depth,
        );
        let genesis = genesis.expect("a plan's members are safe");
        let cluster = genesis.cluster();
        let mut registry = Registry::default();
        keys.iter().for_each(|key| registry.insert(key.clone()));
        let liars: Vec<_> = (0..plan.nodes())
            .map(|node| {
                let lies: Vec<_> = plan.lies(node).collect();
                let random = Random::new(plan.seed, &format!("liar {node}"));
                (!lies.is_empty()).then(|| Liar::new(keys[node].clone(), cluster, lies, random))
            })
            .collect();
        let is_honest = |node: &usize| liars[*node].is_none();
        let honest = (0..plan.nodes())
            .filter(is_honest)
            .map(|node| keys[node].id());
        let log = plan
            .has_log
            .then(|| LogWorld::new(plan, &keys, genesis.quorum()));
        Self {
            log,
            oracle: Oracle::new(honest),
            params: Params {
                batch_requests_max: plan.batch_requests_max,
                batch_bytes_max: 4096,
                batch_timeout_us: plan.batch_timeout_us,
                round_timeout_us: plan.round_timeout_us,
                view_change_timeout_us: plan.view_change_timeout_us,
                fast_path: plan.fast_path,
                clock_skew_max_ms: plan.clock_skew_max_ms,
                snapshot_interval: plan.snapshot_interval,
                snapshot_wear_percent: plan.snapshot_wear_percent,
            },
            network: Network::new(plan),
            random: Random::new(plan.seed, "world"),
            report: Report::new(plan),
            plan: plan.clone(),
            options,
            now_us: 0,
            is_healed: false,
            events: BinaryHeap::new(),
            queued: 0,
            cluster,
            genesis,
            keys,
            registry,
            liars,
            processes: Vec::new(),
            twin_sides: 0b0101_0101,
            twin_both: 0,
        }
    }

    fn start(&mut self) {
        for node in 0..self.plan.nodes() {
            let is_twins = self.liars[node]
                .as_ref()
                .is_some_and(|liar| liar.does(Lie::Twins));
            let copies = if is_twins { 2 } else { 1 };
            for copy in 0..copies {
                let label = format!("process {node} {copy}");
                let number = self.processes.len();
                let has_log = node < self.plan.voters;
                let log = self.log.as_ref().filter(|_| has_log);
                let log = log.map(|log| log.node_log(&self.keys[node], number));
                self.processes.push(Process {
                    node,
                    copy,
                    key: self.keys[node].clone(),
                    replica: None,
                    disk: Disk::default(),
                    clock: Clock::default(),
                    life: 0,
                    disk_us: 0,
                    tick_us: None,
                    doom: None,
                    lanes: vec![Lane::default(); self.plan.lanes as usize],
                    next_token: 0,
                    told: 0,
                    told_count: 0,
                    values: BTreeMap::new(),
                    log,
                    random: Random::new(self.plan.seed, &label),
                });
                if node < self.plan.members() {
                    let process = self.processes.len() - 1;
                    let at_us = self.random.below(5_000);
                    self.queue(at_us, Event::Boot(process));
                }
            }
            if self.liars[node].is_some() {
                self.queue(LIAR_US, Event::Liar(node));
            }
        }
        for index in 0..self.plan.faults.len() {
            let fault = self.plan.faults[index];
            let (begin_us, end_us) = match fault {
                Fault::Crash { at_us, .. } | Fault::Change { at_us, .. } => (at_us, None),
                Fault::SlowDisk {
                    begin_us, end_us, ..
                }
                | Fault::ClockJump {
                    begin_us, end_us, ..
                } => (begin_us, Some(end_us)),
                _ => (0, None),
            };
            self.queue(begin_us, Event::Begin(index));
            end_us
                .into_iter()
                .for_each(|end_us| self.queue(end_us, Event::End(index)));
        }
        self.queue(self.plan.heal_us, Event::Heal);
        self.queue(PROBE_US, Event::Probe);
    }

    fn run(&mut self) {
        let end_us = self.plan.heal_us + LIVENESS_US;
        while let Some(Reverse(Queued(at_us, _, event))) = self.events.pop() {
            self.now_us = at_us;
            self.report.events += 1;
            if self.report.events > EVENTS_MAX {
                let state = self.describe();
                self.oracle
                    .fail(format!("{EVENTS_MAX} events: something spins:\n{state}"));
            }
            if at_us > end_us {
                let state = self.describe();
                self.oracle
                    .fail(format!("no progress after the faults ended:\n{state}"));
            }
            let is_done = matches!(event, Event::Probe) && self.is_done();
            if is_done || self.oracle.violation().is_some() {
                break;
            }
            self.on_event(event);
        }
    }

    fn finish(mut self) -> Report {
        self.oracle.finish();
        self.finish_log();
        self.report.simulated_us = self.now_us;
        self.report.batches = self.oracle.committed_count();
        self.report.requests = self.oracle.executed_count();
        self.report.operations = self.oracle.history.len();
        self.report.violation = self.oracle.violation().map(str::to_owned);
        self.report.lies = self.liars.iter().flatten().map(|liar| liar.told).sum();
        self.report.count_network(&self.network);
        self.report
    }

    pub(crate) fn queue(&mut self, at_us: u64, event: Event) {
        self.queued += 1;
        self.events.push(Reverse(Queued(at_us, self.queued, event)));
    }

    /// A line for who reads along.
    pub(crate) fn trace(&mut self, line: impl FnOnce() -> String) {
        if self.options.trace {
            let at = self.now_us;
            let line = format!("{:>4}.{:06} {}", at / 1_000_000, at % 1_000_000, line());
            self.report.trace.push(line);
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Boot(process) => self.boot(process),
            Event::Deliver {
                to,
                from,
                copy,
                bytes,
            } => self.deliver(to, from, copy, &bytes),
            Event::Synced(process, life) => {
                if self.is_alive(process, life) {
                    self.processes[process].disk.end_sync();
                    self.release(process);
                }
            }
            Event::Tick(process, life) => {
                if self.is_alive(process, life) {
                    self.tick(process);
                }
            }
            Event::Client(process, lane, ticket) => {
                let state = &self.processes[process];
                if state.replica.is_some() && state.lanes[lane].ticket == ticket {
                    self.on_client(process, lane);
                }
            }
            Event::Begin(fault) => self.begin(self.plan.faults[fault]),
            Event::End(fault) => self.end(self.plan.faults[fault]),
            Event::Liar(node) => self.lie(node),
            Event::LogTurn(process, life) => {
                if self.is_alive(process, life) {
                    self.on_log_due(process);
                }
            }
            Event::LogWish(process, life) => {
                if self.is_alive(process, life) {
                    self.on_log_wish(process);
                }
            }
            Event::Note {
                to,
                from,
                copy,
                bytes,
            } => self.on_note(to, from, copy, &bytes),
            Event::Heal => self.heal(),
            Event::Probe => self.queue(self.now_us + PROBE_US, Event::Probe),
        }
    }

    pub(crate) fn is_alive(&self, process: usize, life: u64) -> bool {
        let process = &self.processes[process];
        process.replica.is_some() && process.life == life
    }

    pub(crate) fn is_honest(&self, node: usize) -> bool {
        self.liars[node].is_none()
    }

    fn boot(&mut self, index: usize) {
        if self.processes[index].replica.is_some() {
            return;
        }
        let node = self.processes[index].node;
        let mut machine = Registers::new(self.genesis.clone(), self.plan.padding);
        if self.options.sabotage == Sabotage::BrokenMachine && node == 0 {
            machine.broken_after = Some(5);
        }
        let machine = State::new(machine, &self.genesis, self.plan.has_log);
        self.boot_log(index);
        let (now_us, genesis, params) = (self.now_us, self.genesis.clone(), self.params.clone());
        self.trace(|| format!("{node} starts"));
        let process = &mut self.processes[index];
        match process.boot(now_us, genesis, params, machine) {
            Ok(effects) => {
                self.perform(index, effects);
                self.start_clients(index);
            }
            Err(error) => self
                .oracle
                .fail(format!("node {node} does not start: {error}")),
        }
    }

    /// Whether, after the faults, all that honest clients want is executed everywhere, and was judged.
    fn is_done(&mut self) -> bool {
        if !self.is_healed {
            return false;
        }
        let targets = self.targets();
        let most = targets.iter().map(|index| self.executed(*index)).max();
        targets.iter().all(|index| {
            let process = &self.processes[*index];
            Some(self.executed(*index)) == most
                && process.disk.is_idle()
                && process.lanes.iter().all(|lane| lane.is_done)
                && self.is_configured(*index)
                && process.log.as_ref().is_none_or(NodeLog::is_done)
        })
    }

    /// Whether the configuration that its state asks for is in force: also where nobody asks for
    /// anything more.
    fn is_configured(&self, index: usize) -> bool {
        self.processes[index]
            .replica
            .as_ref()
            .is_some_and(|replica| {
                let current = replica.configuration();
                let member = current.member(replica.summary().id);
                let holds = member.is_some_and(|member| member.role.holds_state());
                !holds
                    || replica
                        .machine()
                        .wanted_configuration(current)
                        .is_like(current)
            })
    }

    fn executed(&self, index: usize) -> u64 {
        let replica = self.processes[index].replica.as_ref();
        replica.map_or(0, |replica| replica.summary().executed.0)
    }

    /// Honest members of the newest configuration that are not shut out.
    pub(crate) fn targets(&self) -> Vec<usize> {
        let honest = |index: &usize| self.is_honest(self.processes[*index].node);
        let all = (0..self.processes.len()).filter(honest);
        let newest = all
            .clone()
            .filter_map(|index| self.processes[index].replica.as_ref())
            .map(|replica| replica.configuration())
            .max_by_key(|configuration| configuration.epoch());
        let Some(newest) = newest else {
            return all.collect();
        };
        all.filter(|index| {
            let id = self.processes[*index].key.id();
            newest.member(id).is_some() && !newest.is_isolated(id)
        })
        .collect()
    }

    fn describe(&self) -> String {
        let mut text = String::new();
        for process in &self.processes {
            let summary = process.replica.as_ref().map(|replica| replica.summary());
            let waiting = process.lanes.iter().filter(|lane| !lane.is_done).count();
            let honest = self.is_honest(process.node);
            text += &format!(
                "  node {} ({}) copy {} honest={honest} clients waiting={waiting}: {summary:?}{}\n",
                process.node,
                process.key.id(),
                process.copy,
                process
                    .log
                    .as_ref()
                    .map_or(String::new(), NodeLog::describe),
            );
        }
        text
    }
}
