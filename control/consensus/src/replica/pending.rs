//! Requests that are known and not yet executed.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::batch::{Request, RequestId};
use crate::identity::NodeId;

/// One request.
#[derive(Debug, Clone)]
struct Waiting {
    request: Request,
    /// Rises with each arrival: first come, first proposed.
    order: u64,
    /// Since when it waits for the present primary.
    since_us: u64,
    /// When it was sent last.
    sent_us: u64,
    /// Whether it is in a proposal of this view.
    is_proposed: bool,
}

/// By client and lane: a lane has one request at a time, so that this is bounded.
#[derive(Debug, Clone, Default)]
pub(super) struct Pending {
    waiting: BTreeMap<(NodeId, u32), Waiting>,
    arrivals: u64,
}

impl Pending {
    /// Keeps a request unless it or a later one of its lane is there. Says whether it is new.
    pub(super) fn insert(&mut self, request: Request, now_us: u64) -> bool {
        let key = (request.id.client, request.id.lane);
        let known = self.waiting.get(&key);
        if known.is_some_and(|known| known.request.id.timestamp >= request.id.timestamp) {
            return false;
        }
        self.arrivals += 1;
        let waiting = Waiting {
            request,
            order: self.arrivals,
            since_us: now_us,
            sent_us: now_us,
            is_proposed: false,
        };
        self.waiting.insert(key, waiting);
        true
    }

    /// It, or a later one of its lane, was executed.
    pub(super) fn remove(&mut self, id: RequestId) {
        let key = (id.client, id.lane);
        let known = self.waiting.get(&key);
        if known.is_some_and(|known| known.request.id.timestamp <= id.timestamp) {
            self.waiting.remove(&key);
        }
    }

    pub(super) fn retain(&mut self, keep: impl Fn(RequestId) -> bool) {
        self.waiting.retain(|_, waiting| keep(waiting.request.id));
    }

    pub(super) fn mark_proposed(&mut self, id: RequestId) {
        if let Some(waiting) = self.waiting.get_mut(&(id.client, id.lane)) {
            waiting.is_proposed |= waiting.request.id == id;
        }
    }

    /// A new primary: every wait begins anew.
    pub(super) fn restart(&mut self, now_us: u64) {
        for waiting in self.waiting.values_mut() {
            waiting.since_us = now_us;
            waiting.is_proposed = false;
        }
    }

    /// Requests to propose, first come first, up to both bounds; at least one if there is any.
    pub(super) fn next_batch(&self, requests_max: usize, bytes_max: usize) -> Vec<Request> {
        let mut bytes = 0;
        let mut chosen = Vec::new();
        for request in self.ready().into_iter().take(requests_max) {
            bytes += request.bytes_count();
            if bytes > bytes_max && !chosen.is_empty() {
                break;
            }
            chosen.push(request.clone());
        }
        chosen
    }

    fn ready(&self) -> Vec<&Request> {
        let mut ready: Vec<_> = self.waiting.values().filter(|w| !w.is_proposed).collect();
        ready.sort_unstable_by_key(|waiting| waiting.order);
        ready.into_iter().map(|waiting| &waiting.request).collect()
    }

    /// Requests not yet proposed, and since when the first of them waits.
    pub(super) fn unproposed(&self) -> (usize, Option<u64>) {
        let unproposed = self.waiting.values().filter(|waiting| !waiting.is_proposed);
        (
            unproposed.clone().count(),
            unproposed.map(|waiting| waiting.since_us).min(),
        )
    }

    /// Since when the longest waits.
    pub(super) fn oldest_us(&self) -> Option<u64> {
        self.waiting.values().map(|waiting| waiting.since_us).min()
    }

    /// Requests, of one client or of all, that were last sent before `before_us`; they count as sent now.
    pub(super) fn take_due(
        &mut self,
        client: Option<NodeId>,
        before_us: u64,
        now_us: u64,
    ) -> Vec<Request> {
        let mut due = Vec::new();
        for waiting in self.waiting.values_mut() {
            let is_meant = client.is_none_or(|client| waiting.request.id.client == client);
            if is_meant && waiting.sent_us <= before_us {
                waiting.sent_us = now_us;
                due.push(waiting.request.clone());
            }
        }
        due
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}
