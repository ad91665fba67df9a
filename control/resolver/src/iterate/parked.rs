//! Resolutions that wait for room at a server: one that never answered, or does no longer, may not
//! take the places of those that do.
//!
//! Each queue is woken by the end of an exchange, as far as that made room; and by the clock, should
//! nobody have used the room.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use super::bounded::HashKeys;
use super::resolver::Resolver;
use super::servers::Room;
use super::task::Task;

/// Messages in flight to a server that has not answered since it last failed: enough to find out
/// whether it lives.
const EXCHANGES_UNPROVEN_MAX: usize = 16;
/// Part of all messages in flight that one server may have at most.
const SERVER_SHARE: usize = 8;
/// Part of all messages in flight that go to servers that have not answered, at most.
const UNPROVEN_SHARE: usize = 2;
/// Resolutions woken by one event, so that no step takes long.
const WAKES_MAX: usize = 256;
/// Time until all queues are looked through, in milliseconds.
const LOOK_MS: u64 = 100;

/// The queues, oldest first. Resolutions that ended meanwhile are skipped when their turn comes.
/// Servers take turns, however many wait for each.
pub(super) struct Parked {
    by_server: HashMap<SocketAddr, Queue, HashKeys>,
    /// Servers that may not be asked anything, since others like them have taken all room.
    unasked: VecDeque<SocketAddr>,
    /// When all queues are looked through; `None` while nobody waits.
    pub(super) look_at_ms: Option<u64>,
}

/// Those who wait for one server.
#[derive(Default)]
struct Queue {
    tasks: VecDeque<u64>,
    /// Whether the server stands in `unasked`.
    is_unasked: bool,
}

impl Parked {
    pub(super) fn new(keys: HashKeys) -> Self {
        Self {
            by_server: HashMap::with_hasher(keys),
            unasked: VecDeque::new(),
            look_at_ms: None,
        }
    }
}

impl Resolver {
    /// How many messages may be in flight now. Forwarders are the operator's choice and have no
    /// share while they answer.
    pub(super) fn room(&self, is_forward: bool) -> Room {
        let all = self.config.limits.exchanges_max;
        let share = |part: usize| (all / part).max(1);
        let any = self.exchanges.len() < all;
        Room {
            proven: if !any {
                0
            } else if is_forward {
                all
            } else {
                share(SERVER_SHARE)
            },
            unproven: if any && self.exchanges.unproven() < share(UNPROVEN_SHARE) {
                // What a forwarder does not answer says little of other names.
                if is_forward {
                    share(SERVER_SHARE)
                } else {
                    EXCHANGES_UNPROVEN_MAX
                }
            } else {
                0
            },
        }
    }

    /// Lets a task wait for room at a server.
    pub(super) fn park(&mut self, now_ms: u64, task: &mut Task, server: SocketAddr) {
        task.is_parked = true;
        self.counters.parked += 1;
        let parked = &mut self.parked;
        let queue = parked.by_server.entry(server).or_default();
        if !queue.is_unasked && self.servers.in_flight(server) == 0 {
            queue.is_unasked = true;
            parked.unasked.push_back(server);
        }
        queue.tasks.push_back(task.id);
        parked.look_at_ms.get_or_insert(now_ms + LOOK_MS);
    }

    /// An exchange with a server has ended: those that waited for its place go on. They fail at
    /// once if the server is down.
    pub(super) fn wake_parked(&mut self, server: SocketAddr) {
        if self.parked.look_at_ms.is_none() {
            return;
        }
        self.wake_at(server);
        while let Some(server) = self.parked.unasked.pop_front() {
            if let Some(queue) = self.parked.by_server.get_mut(&server) {
                queue.is_unasked = false;
            }
            if self.wake_at(server) {
                break;
            }
        }
    }

    /// Looks through all queues.
    pub(super) fn look_through_parked(&mut self, now_ms: u64) {
        if self.parked.look_at_ms.is_none_or(|at_ms| now_ms < at_ms) {
            return;
        }
        let servers: Vec<SocketAddr> = self.parked.by_server.keys().copied().collect();
        for server in servers {
            if self.servers.in_flight(server) == 0 || self.servers.is_proven(server) {
                self.wake_at(server);
            }
        }
        let is_empty = self.parked.by_server.is_empty();
        self.parked.look_at_ms = (!is_empty).then_some(now_ms + LOOK_MS);
    }

    /// Lets those go on that wait for a server: one if it is not known to live or to be down, at least
    /// for some of them. False if nobody waits.
    fn wake_at(&mut self, server: SocketAddr) -> bool {
        let Some(mut queue) = self.parked.by_server.remove(&server) else {
            return false;
        };
        let is_known = self.servers.is_proven(server) || self.servers.is_down(server);
        let mut left = if is_known { WAKES_MAX } else { 1 };
        while left > 0
            && let Some(id) = queue.tasks.pop_front()
        {
            if let Some(task) = self.tasks.get_mut(id).filter(|task| task.is_parked) {
                task.is_parked = false;
                self.queue(id);
                left -= 1;
            }
        }
        if !queue.tasks.is_empty() {
            self.parked.by_server.insert(server, queue);
        }
        true
    }
}
