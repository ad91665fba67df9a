//! One pinned core: receive, answer, take what control sent, send, and sleep when idle.
//!
//! After start-up nothing here allocates, locks, logs or makes a system call for a packet; one
//! batch costs two clock readings and one wake-up of the kernel.

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bpf_redirect::DeadlineCell;
use exchange::{CountersWriter, Heartbeat, HistogramWriter, Region, WorkerEvents};
use port::{Port, PortError};

use crate::batch::{Desk, Situation};
use crate::clock::Now;
use crate::replies::Replies;
use crate::tally::Tally;

/// An idle worker looks at its rings this long before it sleeps. Sleeping costs a wake-up of some
/// ten microseconds for the next packet, spinning costs the core.
const SPIN_NS: u64 = 50_000;
/// Looks at the rings between two readings of the clock while idle.
const IDLE_LOOKS: u32 = 16;
/// Longest sleep: the heartbeat must go on.
const SLEEP_MAX: Duration = Duration::from_millis(50);
/// How often a new worker looks out for control.
const LOOKOUT: Duration = Duration::from_millis(5);
/// Batches answered after the order to stop, at most.
const LAST_ROUNDS_MAX: usize = 64;
/// How often the heartbeat and the deadline of the steering program move on.
const BEAT_NS: u64 = 10_000_000;
/// How long the steering program trusts a worker that no longer beats.
const DEADLINE_NS: u64 = 300_000_000;
/// How long a new worker leaves packets to the kernel while no control has attached.
const PATIENCE_NS: u64 = 1_000_000_000;
/// Control counts as gone when its heartbeat is older.
pub const CONTROL_SILENT_MS: u64 = 500;
/// How often gauges are copied to the shared counters.
const GAUGES_NS: u64 = 500_000_000;

/// What a worker is made of, besides its port.
#[derive(Debug)]
pub struct Parts {
    /// Caches and the way to control.
    pub desk: Desk,
    /// The way back.
    pub replies: Replies,
    /// The bells of this worker.
    pub events: WorkerEvents,
    /// Shared counters.
    pub counters: CountersWriter,
    /// Shared latency histogram: from the receipt of a batch to its sending.
    pub latency: HistogramWriter,
    /// This worker's sign of life.
    pub heartbeat: Heartbeat,
    /// For control's sign of life.
    pub region: Region,
    /// Until when the steering program may send packets here; none in socket mode.
    pub deadline: Option<DeadlineCell>,
}

/// A worker on its core.
#[derive(Debug)]
pub struct Worker<P> {
    port: P,
    parts: Parts,
    tally: Tally,
    beat_due_ns: u64,
    gauges_due_ns: u64,
    control_alive: bool,
    /// A new worker knows nothing: while control is on its way, the kernel path answers better.
    takes_packets: bool,
    patient_until_ns: u64,
    /// What makes Unix time of the batch's clock, seconds modulo 2^32: cookies carry that.
    unix_ahead_secs: u32,
}

impl<P: Port> Worker<P> {
    /// Puts a worker together and shows its first sign of life.
    pub fn new(port: P, parts: Parts) -> Self {
        let now = Now::read();
        let mut worker = Self {
            port,
            parts,
            tally: Tally::default(),
            beat_due_ns: 0,
            gauges_due_ns: 0,
            control_alive: false,
            takes_packets: false,
            patient_until_ns: now.nanoseconds + PATIENCE_NS,
            unix_ahead_secs: now.unix_ahead_secs(),
        };
        worker.beat(now);
        worker
    }

    /// Runs until `stop`, then takes the port apart in order: no more packets are steered here,
    /// what has been received is answered.
    pub fn run(mut self, stop: &AtomicBool) -> Result<(), PortError> {
        self.await_control(stop);
        let mut idle_since = Now::read();
        while !stop.load(Ordering::Relaxed) {
            if self.round()? {
                idle_since = Now::read();
                self.beat(idle_since);
                continue;
            }
            let mut busy = false;
            for _ in 0..IDLE_LOOKS {
                std::hint::spin_loop();
                busy |= self.round()?;
                if busy {
                    break;
                }
            }
            let now = Now::read();
            self.beat(now);
            if busy {
                idle_since = now;
            } else if now.nanoseconds - idle_since.nanoseconds > SPIN_NS {
                self.sleep()?;
                // A packet that woke us is answered before the next sleep, whatever the clock says.
                idle_since = Now::read();
                idle_since.nanoseconds -= SPIN_NS.min(idle_since.nanoseconds);
            }
        }
        if let Some(deadline) = &self.parts.deadline {
            deadline.extend_until(0);
        }
        // Sockets go on receiving, so that this may never run dry.
        for _ in 0..LAST_ROUNDS_MAX {
            if !self.round()? {
                break;
            }
        }
        Ok(())
    }

    /// A new worker knows nothing and asks nobody while control is on its way. The steering program
    /// leaves packets to the kernel meanwhile; those in our sockets wait.
    fn await_control(&mut self, stop: &AtomicBool) {
        while !self.takes_packets && !stop.load(Ordering::Relaxed) {
            std::thread::sleep(LOOKOUT);
            self.beat(Now::read());
        }
    }

    /// One batch and what control has sent; false when there was nothing to do.
    fn round(&mut self) -> Result<bool, PortError> {
        let count = self.port.receive()?;
        let received = if count > 0 {
            Now::read()
        } else {
            Now { nanoseconds: 0 }
        };
        if count > 0 {
            self.beat(received);
            let situation = Situation {
                now: received,
                unix_secs: received.seconds().wrapping_add(self.unix_ahead_secs),
                control_alive: self.control_alive,
            };
            self.parts
                .desk
                .answer(&mut self.port, count, situation, &mut self.tally);
            if self.parts.desk.sources.punts.publish() {
                self.parts.events.punt.kick();
            }
        }
        let sources = &mut self.parts.desk.sources;
        let replies = self.parts.replies.take(
            &mut self.port,
            &mut sources.cache,
            &sources.hasher,
            &mut self.tally,
        );
        let sent = self.port.flush()?;
        if count == 0 && replies == 0 && sent.packets == 0 {
            return Ok(false);
        }
        self.tally.packets_sent += sent.packets;
        self.tally.send_bytes += sent.bytes;
        self.tally.drops_tx_full += sent.refused;
        self.tally.publish(&self.parts.counters);
        if count > 0 {
            let latency_ns = Now::read().nanoseconds - received.nanoseconds;
            self.parts.latency.record(latency_ns, count as u64);
        }
        Ok(true)
    }

    /// Signs of life and gauges, as often as they are due.
    fn beat(&mut self, now: Now) {
        if now.nanoseconds < self.beat_due_ns {
            return;
        }
        self.beat_due_ns = now.nanoseconds + BEAT_NS;
        let now_ms = now.milliseconds();
        self.parts.heartbeat.beat(now_ms);
        // A beat in the future is none of a live control.
        let silent_ms = now_ms.abs_diff(self.parts.region.control_heartbeat_ms());
        self.control_alive = silent_ms <= CONTROL_SILENT_MS;
        self.takes_packets |= self.control_alive || now.nanoseconds >= self.patient_until_ns;
        if self.takes_packets
            && let Some(deadline) = &self.parts.deadline
        {
            deadline.extend_until(now.nanoseconds + DEADLINE_NS);
        }
        if now.nanoseconds >= self.gauges_due_ns {
            self.gauges_due_ns = now.nanoseconds + GAUGES_NS;
            self.publish_gauges();
            // The time of day may be set while we run.
            self.unix_ahead_secs = now.unix_ahead_secs();
        }
    }

    fn publish_gauges(&mut self) {
        let counters = &self.parts.counters;
        let port = self.port.statistics();
        counters.frames_lost.set(port.frames_lost);
        counters.ring_rx_dropped.set(port.receive_dropped);
        counters.rx_ring_full.set(port.receive_ring_full);
        counters.fill_ring_empty.set(port.fill_ring_empty);
        counters.tx_waiting.set(port.transmit_waiting);
        counters.tx_invalid.set(port.transmit_invalid);
        let cache = self.parts.desk.sources.cache.statistics();
        counters.cache_entries.set(cache.entries as u64);
        counters.cache_bytes.set(cache.bytes as u64);
        counters.cache_insertions.set(cache.insertions);
        counters.cache_evictions.set(cache.evictions);
    }

    fn sleep(&mut self) -> Result<(), PortError> {
        if self.parts.replies.prepare_sleep() {
            self.port
                .sleep(self.parts.events.reply.as_fd(), SLEEP_MAX)?;
            self.tally.wakeups += 1;
            self.tally.publish(&self.parts.counters);
        }
        self.parts.replies.wake();
        Ok(())
    }
}
