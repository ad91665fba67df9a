//! [`Claims`]: one connection, seen by a probe and on the wire, is judged once.
//!
//! Of both sights the probe's is the better one: it knows the program and the name. It comes later,
//! since the bytes pass the wire before they are parsed; so what was seen on the wire waits a moment.

use std::collections::{BTreeSet, VecDeque};

use crate::chain::Chain;

/// How long it waits, in nanoseconds.
const WAIT_NS: u64 = 3_000_000;
/// Connections that are remembered, and chains that wait, at most.
const CLAIMS_MAX: usize = 4096;

/// Sockets, of which the oldest is forgotten when there are too many.
#[derive(Debug, Default)]
struct Recent {
    cookies: BTreeSet<u64>,
    /// The same, oldest first.
    order: VecDeque<u64>,
}

impl Recent {
    /// Whether it was not there.
    fn insert(&mut self, cookie: u64) -> bool {
        if !self.cookies.insert(cookie) {
            return false;
        }
        self.order.push_back(cookie);
        if self.order.len() > CLAIMS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.cookies.remove(&oldest);
        }
        true
    }
}

/// Connections whose certificates a probe or the wire has shown, those that an alert was about, and chains
/// that wait.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    probed: Recent,
    wired: Recent,
    alerted: Recent,
    waiting: VecDeque<(u64, Chain)>,
}

impl Claims {
    /// A probe has seen this connection's certificate.
    pub(crate) fn claim(&mut self, cookie: u64) {
        self.waiting
            .retain(|(_, chain)| chain.witness.cookie != Some(cookie));
        self.probed.insert(cookie);
    }

    /// Whether there was no alert about this connection; from now on there was.
    pub(crate) fn is_first_alert(&mut self, cookie: Option<u64>) -> bool {
        cookie.is_none_or(|cookie| self.alerted.insert(cookie))
    }

    /// Whether a probe has seen this connection's certificate, as far as is remembered.
    pub(crate) fn is_probed(&self, cookie: u64) -> bool {
        self.probed.cookies.contains(&cookie)
    }

    /// Whether anybody has.
    pub(crate) fn has_chain(&self, cookie: u64) -> bool {
        self.is_probed(cookie) || self.wired.cookies.contains(&cookie)
    }

    /// This connection's certificate has come by the wire.
    pub(crate) fn see_on_wire(&mut self, cookie: u64) {
        self.wired.insert(cookie);
    }

    /// Takes a chain that was seen on the wire. The oldest, if there is no more room, goes on at once.
    pub(crate) fn wait(&mut self, chain: Chain, now_ns: u64) -> Option<Chain> {
        let cookie = chain.witness.cookie;
        if cookie.is_some_and(|cookie| self.is_probed(cookie)) {
            return None;
        }
        self.waiting.push_back((now_ns + WAIT_NS, chain));
        let is_full = self.waiting.len() > CLAIMS_MAX;
        let oldest = is_full.then(|| self.waiting.pop_front()).flatten();
        oldest.map(|(_, chain)| chain)
    }

    /// A chain that has waited long enough and that no probe has seen.
    pub(crate) fn due(&mut self, now_ns: u64) -> Option<Chain> {
        let (due_ns, _) = self.waiting.front()?;
        (*due_ns <= now_ns)
            .then(|| self.waiting.pop_front())?
            .map(|(_, chain)| chain)
    }

    /// Whether a chain waits.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::Witness;

    fn chain(cookie: u64) -> Chain {
        let witness = Witness {
            cookie: Some(cookie),
            ..Witness::default()
        };
        Chain::new(vec![b"leaf".to_vec()], witness).unwrap()
    }

    #[test]
    fn connection_that_a_probe_sees_before_or_after_is_not_judged_by_the_wire() {
        let mut claims = Claims::default();
        claims.claim(1);
        for cookie in [1, 2, 3] {
            assert_eq!(claims.wait(chain(cookie), 10), None);
        }
        claims.claim(2);
        assert_eq!(claims.due(9 + WAIT_NS), None);
        assert_eq!(claims.due(10 + WAIT_NS), Some(chain(3)));
        assert_eq!(claims.due(u64::MAX), None);
        assert!(!claims.is_waiting());
    }

    #[test]
    fn connection_is_worth_one_alert_and_unknown_ones_each_their_own() {
        let mut claims = Claims::default();
        let alerts = [Some(1), None, Some(1), None, Some(2)];
        let first = alerts.map(|cookie| claims.is_first_alert(cookie));
        assert_eq!(first, [true, true, false, true, true]);
    }

    #[test]
    fn connection_has_a_chain_by_either_way() {
        let mut claims = Claims::default();
        claims.claim(1);
        claims.see_on_wire(2);
        let known = [1, 2, 3].map(|cookie| (claims.is_probed(cookie), claims.has_chain(cookie)));
        assert_eq!(known, [(true, true), (false, true), (false, false)]);
    }

    #[test]
    fn no_more_is_kept_than_there_is_room_for() {
        let mut claims = Claims::default();
        for cookie in 0..=CLAIMS_MAX as u64 {
            claims.claim(cookie);
        }
        let probed = &claims.probed;
        assert_eq!(
            (probed.cookies.len(), probed.order.len()),
            (CLAIMS_MAX, CLAIMS_MAX)
        );
        assert!(!probed.cookies.contains(&0));
        let fresh = CLAIMS_MAX as u64 + 1;
        let passed: Vec<_> = (fresh..=2 * fresh)
            .filter_map(|cookie| claims.wait(chain(cookie), 0))
            .collect();
        assert_eq!(passed, [chain(fresh), chain(fresh + 1)]);
    }
}
