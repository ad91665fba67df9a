//! [`Docket`]: which certificates are being judged, and who waits for that.
//!
//! Connections that are shown the same chain at the same time make one question. The leaf alone would not
//! do: who shows another one's leaf with junk behind it must not decide for others.

use std::collections::BTreeMap;

use bpf_redirect::cert_validator::Fingerprint;

use crate::chain::{Chain, Witness};
use crate::judge::Question;

/// Questions that are open at the same time at most.
pub const CASES_MAX: usize = 256;
/// Connections that wait for one of them at most.
pub const WITNESSES_MAX: usize = 1024;

/// What is judged.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Case {
    /// SHA-256 of the leaf.
    pub fingerprint: Fingerprint,
    /// SHA-256 of the whole chain.
    pub chain: Fingerprint,
    /// The name that it is judged for.
    pub host: Option<String>,
}

/// What became of a chain.
#[derive(Debug, PartialEq, Eq)]
pub enum Opening {
    /// Ask this.
    Ask(Question),
    /// It has been asked.
    Joined,
    /// There is no room: the connection goes without a verdict.
    Full(Witness),
}

/// Open questions.
#[derive(Debug, Default)]
pub struct Docket {
    cases: BTreeMap<Case, Vec<Witness>>,
}

impl Docket {
    /// Takes a chain that has no verdict yet.
    pub fn open(&mut self, chain: Chain) -> Opening {
        let Chain {
            certificates,
            fingerprint,
            digest,
            witness,
        } = chain;
        let case = Case {
            fingerprint,
            chain: digest,
            host: witness.host.clone(),
        };
        if let Some(witnesses) = self.cases.get_mut(&case) {
            if witnesses.len() >= WITNESSES_MAX {
                return Opening::Full(witness);
            }
            witnesses.push(witness);
            return Opening::Joined;
        }
        if self.cases.len() >= CASES_MAX {
            return Opening::Full(witness);
        }
        self.cases.insert(case.clone(), vec![witness]);
        Opening::Ask(Question { case, certificates })
    }

    /// Who is held since before a moment of CLOCK_MONOTONIC, each told once: they are held no longer.
    /// Their questions stay open.
    pub fn overdue(&mut self, before_ns: u64) -> Vec<Witness> {
        let mut overdue = Vec::new();
        for witness in self.cases.values_mut().flatten() {
            if witness.is_held && witness.seen_ns < before_ns {
                overdue.push(witness.clone());
                witness.is_held = false;
            }
        }
        overdue
    }

    /// Whether anything is asked.
    pub fn is_waiting(&self) -> bool {
        !self.cases.is_empty()
    }

    /// Who waited for a question that is answered now.
    pub fn close(&mut self, case: &Case) -> Vec<Witness> {
        self.cases.remove(case).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(leaf: u32, host: Option<&str>) -> Chain {
        let witness = Witness {
            host: host.map(str::to_owned),
            ..Witness::default()
        };
        Chain::new(vec![leaf.to_be_bytes().to_vec()], witness).unwrap()
    }

    #[test]
    fn same_chain_and_name_is_asked_once_and_all_who_wait_are_told() {
        let mut docket = Docket::default();
        let (a, b) = (chain(1, Some("a")), chain(1, Some("b")));
        let Opening::Ask(Question { case, .. }) = docket.open(a.clone()) else {
            panic!("not asked");
        };
        assert_eq!(
            (case.fingerprint, &*case.host.clone().unwrap()),
            (a.fingerprint, "a")
        );
        assert_eq!(docket.open(a.clone()), Opening::Joined);
        assert!(matches!(docket.open(b), Opening::Ask(_)));
        assert_eq!(docket.close(&case).len(), 2);
        assert!(docket.close(&case).is_empty());
        assert!(matches!(docket.open(a), Opening::Ask(_)));
    }

    #[test]
    fn leaf_with_something_else_behind_it_is_a_question_of_its_own() {
        let mut docket = Docket::default();
        let honest = chain(1, None);
        let mut certificates = honest.certificates.clone();
        certificates.push(b"j".to_vec());
        let spoilt = Chain::new(certificates, Witness::default()).unwrap();
        assert_eq!(spoilt.fingerprint, honest.fingerprint);
        let Opening::Ask(Question { case, .. }) = docket.open(spoilt) else {
            panic!("not asked");
        };
        assert!(matches!(docket.open(honest), Opening::Ask(_)));
        assert_eq!(docket.close(&case).len(), 1);
    }

    #[test]
    fn who_is_held_too_long_is_told_once_and_hears_the_answer_all_the_same() {
        let mut docket = Docket::default();
        let mut chain = chain(1, None);
        let case = Case {
            fingerprint: chain.fingerprint,
            chain: chain.digest,
            host: None,
        };
        for (seen_ns, is_held) in [(5, true), (5, false), (9, true)] {
            chain.witness = Witness {
                seen_ns,
                is_held,
                ..Witness::default()
            };
            docket.open(chain.clone());
        }
        assert!(docket.overdue(5).is_empty());
        let overdue = docket.overdue(6);
        assert_eq!((overdue.len(), overdue[0].is_held), (1, true));
        assert!(docket.overdue(6).is_empty());
        assert_eq!(docket.overdue(10).len(), 1);
        assert!(docket.is_waiting());
        assert_eq!(docket.close(&case).len(), 3);
        assert!(!docket.is_waiting());
    }

    #[test]
    fn further_questions_and_witnesses_find_no_room() {
        let mut docket = Docket::default();
        for leaf in 0..CASES_MAX {
            let opening = docket.open(chain(u32::try_from(leaf).unwrap(), None));
            assert!(matches!(opening, Opening::Ask(_)));
        }
        assert!(matches!(
            docket.open(chain(u32::MAX, None)),
            Opening::Full(_)
        ));
        for _ in 1..WITNESSES_MAX {
            assert_eq!(docket.open(chain(0, None)), Opening::Joined);
        }
        assert!(matches!(docket.open(chain(0, None)), Opening::Full(_)));
    }
}
