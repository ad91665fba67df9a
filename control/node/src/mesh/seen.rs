//! Signatures that were found to hold of late, so that none is checked twice in a row: a request
//! comes alone, then in its batch; a vote comes alone, then in a certificate.

use std::collections::{HashSet, VecDeque};

/// Most signatures remembered; 96 bytes each, about.
const SEEN_MAX: usize = 32 * 1024;

/// SHA-256 over key, signature and what is signed.
pub(super) type Fingerprint = [u8; 32];

/// The newest.
#[derive(Debug, Default)]
pub(super) struct Seen {
    known: HashSet<Fingerprint>,
    order: VecDeque<Fingerprint>,
}

impl Seen {
    pub(super) fn contains(&self, fingerprint: &Fingerprint) -> bool {
        self.known.contains(fingerprint)
    }

    pub(super) fn insert(&mut self, fingerprint: Fingerprint) {
        if self.known.insert(fingerprint) {
            self.order.push_back(fingerprint);
            if self.order.len() > SEEN_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.known.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oldest_are_forgotten_when_it_is_full() {
        let mut seen = Seen::default();
        let fingerprint = |number: usize| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            bytes
        };
        for number in 0..=SEEN_MAX {
            seen.insert(fingerprint(number));
            seen.insert(fingerprint(number));
        }
        assert!(!seen.contains(&fingerprint(0)));
        assert!(seen.contains(&fingerprint(1)));
        assert_eq!((seen.known.len(), seen.order.len()), (SEEN_MAX, SEEN_MAX));
    }
}
