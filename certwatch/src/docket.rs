//! [`Docket`]: which certificates are being judged, and who waits for that.
//!
//! Connections to the same server at the same time make one question.

use std::collections::BTreeMap;

use bpf_redirect::cert_validator::Fingerprint;

use crate::chain::{Chain, Witness};
use crate::judge::Question;

/// Questions that are open at the same time at most.
pub const CASES_MAX: usize = 256;
/// Connections that wait for one of them at most.
pub const WITNESSES_MAX: usize = 1024;

/// A certificate and the name that it is judged for.
pub type Case = (Fingerprint, Option<String>);

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
            witness,
        } = chain;
        let host = witness.host.clone();
        let case = (fingerprint, host.clone());
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
        self.cases.insert(case, vec![witness]);
        Opening::Ask(Question {
            fingerprint,
            certificates,
            host,
        })
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
    fn same_certificate_and_name_is_asked_once_and_all_who_wait_are_told() {
        let mut docket = Docket::default();
        let (a, b) = (chain(1, Some("a")), chain(1, Some("b")));
        let case = (a.fingerprint, a.witness.host.clone());
        let Opening::Ask(question) = docket.open(a.clone()) else {
            panic!("not asked");
        };
        assert_eq!((question.fingerprint, &question.host), (case.0, &case.1));
        assert_eq!(docket.open(a.clone()), Opening::Joined);
        assert!(matches!(docket.open(b), Opening::Ask(_)));
        assert_eq!(docket.close(&case).len(), 2);
        assert!(docket.close(&case).is_empty());
        assert!(matches!(docket.open(a), Opening::Ask(_)));
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
