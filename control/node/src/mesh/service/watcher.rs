//! What this node sees of the others, told to the ledger: contradictions at once, the rest once a window.
//!
//! A report moves a score only if more nodes than may be faulty say the same (docs/ledger.md), so each
//! node says what it saw and no more.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use consensus::{Configuration, NodeId, Observation, Wire};
use crossbeam_channel::{Receiver, RecvTimeoutError};
use ledger::{Command, Event as Seen, Measurement, Report};

use crate::mesh::driver::{Event, MeshHandle};
use crate::mesh::guard::{self, Misdeeds};
use crate::mesh::network::Network;
use crate::mesh_link::MeshLink;

/// How often connections are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Latencies kept of a peer in one window, the first ones.
const LATENCIES_MAX: usize = 1024;
/// Looks without a connection, one after the other, that make a partition.
const PARTITION_LOOKS: u32 = 5;

/// Watches from events and connections.
pub(super) struct Watcher {
    own: NodeId,
    handle: MeshHandle,
    network: Arc<Network>,
    window_ms: u64,
    link: MeshLink,
    configuration: Option<Configuration>,
    misdeeds: BTreeMap<NodeId, Misdeeds>,
    peers: BTreeMap<NodeId, Tally>,
    window: u64,
    accepted: Option<Instant>,
    accepted_count: u32,
    looks_count: u32,
}

/// What one peer did in this window.
#[derive(Default)]
struct Tally {
    votes_count: u32,
    latencies_us: Vec<u32>,
    timing_count: u32,
    looks_up: u32,
    looks_down: u32,
    partitions_count: u32,
    /// Totals of the connection when the window began.
    bad_signatures_before: u64,
    received_before: u64,
}

impl Watcher {
    pub(super) fn new(
        own: NodeId,
        handle: MeshHandle,
        network: Arc<Network>,
        link: MeshLink,
        window_ms: u64,
    ) -> Self {
        Self {
            own,
            handle,
            network,
            window_ms,
            link,
            configuration: None,
            misdeeds: BTreeMap::new(),
            peers: BTreeMap::new(),
            window: 0,
            accepted: None,
            accepted_count: 0,
            looks_count: 0,
        }
    }

    /// Starts the thread. It ends when the sender of its events is gone.
    pub(super) fn start(mut self, events: Receiver<Event>) -> io::Result<JoinHandle<()>> {
        let run = move || {
            let mut next = Instant::now() + LOOK_INTERVAL;
            loop {
                match events.recv_deadline(next) {
                    Ok(event) => self.on_event(event),
                    Err(RecvTimeoutError::Timeout) => {
                        next += LOOK_INTERVAL;
                        self.look();
                    }
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            }
        };
        thread::Builder::new()
            .name("mesh-watcher".to_owned())
            .spawn(run)
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Configured(configuration) => {
                let others = configuration.voters().filter(|id| *id != self.own);
                let others: Vec<NodeId> = others.collect();
                self.peers.retain(|id, _| others.contains(id));
                others.into_iter().for_each(|id| {
                    self.peers.entry(id).or_default();
                });
                self.configuration = Some(configuration);
                self.tell_guard();
            }
            Event::Evidence(evidence) => {
                tracing::warn!(node = %evidence.culprit(), "a node has contradicted itself");
                let misdeeds = self.misdeeds.entry(evidence.culprit()).or_default();
                misdeeds.contradictions += 1;
                self.say(&Command::Evidence(Box::new(evidence)));
            }
            Event::Observed(observation) => self.on_observation(observation),
            Event::Halted(reason) => tracing::error!(reason, "consensus has stopped at this node"),
            // Counted by the network, which is asked once a second.
            Event::Network(_) | Event::Message(..) => {}
        }
    }

    fn on_observation(&mut self, observation: Observation) {
        match observation {
            Observation::Accepted(_) => {
                self.accepted = Some(Instant::now());
                self.accepted_count += 1;
                // The proposal is the primary's vote.
                let primary = self.handle.standing().summary.primary;
                if let Some(tally) = self.peers.get_mut(&primary) {
                    tally.votes_count += 1;
                }
            }
            Observation::Voted(node) => {
                let since = self.accepted;
                if let Some(tally) = self.peers.get_mut(&node) {
                    tally.votes_count += 1;
                    let latency = since.map(|since| since.elapsed().as_micros());
                    let latency = latency.and_then(|latency| u32::try_from(latency).ok());
                    if tally.latencies_us.len() < LATENCIES_MAX {
                        tally.latencies_us.extend(latency);
                    }
                }
            }
            Observation::Stale(node) if self.peers.contains_key(&node) => {
                self.misdeeds.entry(node).or_default().late_votes += 1;
            }
            Observation::TimingViolation(node) => {
                if let Some(tally) = self.peers.get_mut(&node) {
                    tally.timing_count += 1;
                }
            }
            _ => {}
        }
    }

    /// Once a second: connections, and whether the window is over.
    fn look(&mut self) {
        self.looks_count += 1;
        for status in self.network.peers() {
            let misdeeds = self.misdeeds.entry(status.id).or_default();
            misdeeds.bad_signatures = status.bad_signatures;
            let Some(tally) = self.peers.get_mut(&status.id) else {
                continue;
            };
            if status.is_connected {
                tally.looks_up += 1;
                tally.looks_down = 0;
            } else {
                tally.looks_down += 1;
                tally.partitions_count += u32::from(tally.looks_down == PARTITION_LOOKS);
            }
        }
        self.tell_guard();
        // The ledger's time stands still while nothing is ordered, and this node's clock may be wrong: the later
        // of the two begins a window, and the ledger refuses a report that is not of its own time.
        let window = self.handle.standing().summary.time_ms / self.window_ms;
        if window != self.window {
            self.report();
            self.window = window;
        }
    }

    /// Who the peers are and what is held against them, for the guard of the consensus port.
    fn tell_guard(&self) {
        if let Some(configuration) = &self.configuration {
            let standing = self.handle.standing();
            let known = guard::known(configuration, self.own, &standing.members, &self.misdeeds);
            self.link.say(Some(known));
        }
    }

    fn report(&mut self) {
        let is_first = self.window == 0;
        let (window, expected, looks) = (self.window, self.accepted_count, self.looks_count);
        (self.accepted_count, self.looks_count) = (0, 0);
        let statuses = self.network.peers();
        let mut words = Vec::new();
        for (node, tally) in &mut self.peers {
            let status = statuses.iter().find(|status| status.id == *node);
            let totals = status.map(|status| (status.bad_signatures, status.received));
            let (bad, received) = totals.unwrap_or_default();
            let failed = bad.saturating_sub(tally.bad_signatures_before);
            let checked = received.saturating_sub(tally.received_before);
            let seen = Tally {
                bad_signatures_before: bad,
                received_before: received,
                ..Tally::default()
            };
            let seen = std::mem::replace(tally, seen);
            words.extend(seen.words(*node, window, expected, looks, (checked, failed)));
        }
        // What was seen before the first window began has no window.
        if !is_first {
            words.iter().for_each(|word| self.say(word));
        }
    }

    /// Without waiting: what is lost is said anew in the next window, or was not that important.
    fn say(&self, command: &Command) {
        if let Err(error) = self.handle.start_submit(command.to_bytes()) {
            tracing::debug!(%error, "a report is not passed on");
        }
    }
}

impl Tally {
    fn words(
        mut self,
        subject: NodeId,
        window: u64,
        expected: u32,
        looks: u32,
        (checked, failed): (u64, u64),
    ) -> Vec<Command> {
        let failed = u32::try_from(failed).unwrap_or(u32::MAX);
        let counts = [
            (Seen::Consensus, self.votes_count),
            (Seen::InvalidSignature, failed),
            (Seen::TimingViolation, self.timing_count),
            (Seen::Partition, self.partitions_count),
        ];
        let seen = counts.into_iter().filter(|(_, count)| *count > 0);
        let mut words: Vec<Command> = seen
            .map(|(event, count)| {
                Command::Report(Report {
                    subject,
                    event,
                    count,
                    window,
                })
            })
            .collect();
        self.latencies_us.sort_unstable();
        let median = self.latencies_us.get(self.latencies_us.len() / 2);
        let up = u64::from(self.looks_up) * 1_000_000 / u64::from(looks.max(1));
        let measurement = Measurement {
            window,
            latency_us: median.copied().unwrap_or(0),
            votes_expected: expected,
            votes_seen: self.votes_count.min(expected),
            signatures_checked: u32::try_from(checked).unwrap_or(u32::MAX),
            signatures_failed: failed,
            up_micros: u32::try_from(up.min(1_000_000)).unwrap_or(0),
        };
        words.push(Command::Measure(subject, measurement));
        words
    }
}
