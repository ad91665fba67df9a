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

/// Connections whose certificates a probe has seen, and chains that wait for one.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    cookies: BTreeSet<u64>,
    /// The same, oldest first.
    order: VecDeque<u64>,
    waiting: VecDeque<(u64, Chain)>,
}

impl Claims {
    /// A probe has seen this connection's certificate.
    pub(crate) fn claim(&mut self, cookie: u64) {
        self.waiting
            .retain(|(_, chain)| chain.witness.cookie != Some(cookie));
        if !self.cookies.insert(cookie) {
            return;
        }
        self.order.push_back(cookie);
        if self.order.len() > CLAIMS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.cookies.remove(&oldest);
        }
    }

    /// Takes a chain that was seen on the wire. The oldest, if there is no more room, goes on at once.
    pub(crate) fn wait(&mut self, chain: Chain, now_ns: u64) -> Option<Chain> {
        let cookie = chain.witness.cookie;
        if cookie.is_some_and(|cookie| self.cookies.contains(&cookie)) {
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
    fn no_more_is_kept_than_there_is_room_for() {
        let mut claims = Claims::default();
        for cookie in 0..=CLAIMS_MAX as u64 {
            claims.claim(cookie);
        }
        assert_eq!(
            (claims.cookies.len(), claims.order.len()),
            (CLAIMS_MAX, CLAIMS_MAX)
        );
        assert!(!claims.cookies.contains(&0));
        let fresh = CLAIMS_MAX as u64 + 1;
        let passed: Vec<_> = (fresh..=2 * fresh)
            .filter_map(|cookie| claims.wait(chain(cookie), 0))
            .collect();
        assert_eq!(passed, [chain(fresh), chain(fresh + 1)]);
    }
}
