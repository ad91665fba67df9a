//! Decisions, in the maps of the real program, which is attached to nothing.

use std::time::Duration;

use bpf_redirect::LoadError;
use bpf_redirect::cert_validator::{CertStatus, CertValidator, HOSTS, host_hash};
use sha2::{Digest as _, Sha256};

use super::*;
use crate::chain::Program;
use crate::verdict::{StatusName, Step};

const COOKIE: u64 = 7;
const NOW: Clocks = Clocks {
    unix_secs: 1_000,
    boot_ns: 1,
};

/// A bench that blocks, fails open, and has a map of its own; nothing where no program may be loaded.
fn bench() -> Option<Bench> {
    let enforcement = Enforcement::Block {
        hold: Duration::from_secs(1),
        fails_closed: false,
    };
    match CertValidator::load(enforcement) {
        Ok(validator) => {
            let maps = Arc::new(validator.maps().try_clone().unwrap());
            Some(Bench::new(enforcement, maps, Arc::default()))
        }
        Err(LoadError::PermissionDenied) => None,
        Err(error) => panic!("{error}"),
    }
}

impl Bench {
    fn know(&self, chain: &Chain, status: Status, host: Option<&str>) {
        let mut hosts = [0; HOSTS];
        hosts[0] = host.map_or(0, |host| host_hash(&Sha256::digest(host).into()));
        let status = CertStatus {
            status: status as u8,
            good_until_boot_ns: u64::MAX,
            hosts,
            ..CertStatus::default()
        };
        self.maps.set_status(&chain.fingerprint, status).unwrap();
    }

    /// Whether it is blocked, and up to when it was let go.
    fn flow(&self) -> (bool, Option<u64>) {
        let passed_ns = self.maps.passed_ns(COOKIE).unwrap();
        (self.maps.is_blocked(COOKIE).unwrap(), passed_ns)
    }
}

fn on_wire(certificates: &[&str], seen_ns: u64) -> Chain {
    let witness = Witness {
        cookie: Some(COOKIE),
        seen_ns,
        ..Witness::default()
    };
    let certificates = certificates.iter().map(|der| der.as_bytes().to_vec());
    Chain::new(certificates.collect(), witness).unwrap()
}

fn by_probe(certificates: &[&str], seen_ns: u64, host: &str) -> Chain {
    let mut chain = on_wire(certificates, seen_ns);
    chain.witness.host = Some(host.to_owned());
    chain.witness.program = Some(Program::default());
    chain
}

fn sight(chain: &Chain) -> Sight {
    Sight::Chain(Box::new(chain.clone()))
}

fn nothing(seen_ns: u64) -> Sight {
    Sight::Nothing {
        cookie: COOKIE,
        seen_ns,
    }
}

#[test]
fn nothing_behind_a_certificate_lets_no_flow_go() {
    let chain = on_wire(&["leaf"], 10);
    let Some(mut bench) = bench() else { return };
    assert!(bench.on_sight(nothing(3), NOW).is_none());
    assert_eq!(bench.flow(), (false, Some(3)));
    bench.on_sight(sight(&chain), NOW);
    bench.on_sight(nothing(20), NOW);
    assert_eq!(bench.flow(), (false, Some(3)));

    let Some(mut bench) = self::bench() else {
        return;
    };
    let probed = by_probe(&["leaf"], 10, "a");
    assert!(bench.on_sight(sight(&probed), NOW).is_some());
    bench.on_sight(nothing(20), NOW);
    assert_eq!(bench.flow(), (false, None));
}

#[test]
fn verdict_of_the_wire_does_not_let_go_what_the_probe_waits_for() {
    let Some(mut bench) = bench() else { return };
    let probed = by_probe(&["leaf"], 10, "wrong");
    bench.know(&probed, Status::Valid, Some("right"));
    assert!(bench.on_sight(sight(&probed), NOW).is_some());
    bench.on_sight(sight(&on_wire(&["leaf"], 20)), NOW);
    assert_eq!(bench.flow(), (false, None));
    // The order that is the rule: the wire first. Of what is seen later it says nothing.
    let Some(mut bench) = self::bench() else {
        return;
    };
    bench.know(&probed, Status::Valid, Some("right"));
    bench.on_sight(sight(&on_wire(&["leaf"], 5)), NOW);
    assert!(bench.on_sight(sight(&probed), NOW).is_some());
    assert_eq!(bench.flow(), (false, Some(5)));
}

#[test]
fn known_bad_certificate_blocks_by_either_way_and_for_good() {
    for by_wire in [true, false] {
        let Some(mut bench) = bench() else { return };
        let chain = on_wire(&["leaf"], 10);
        bench.know(&chain, Status::Invalid, None);
        bench.on_sight(
            if by_wire {
                sight(&chain)
            } else {
                Sight::Known {
                    fingerprint: chain.fingerprint,
                    status: Status::Invalid,
                    reason: 0,
                    witness: chain.witness.clone(),
                }
            },
            NOW,
        );
        assert_eq!(bench.flow(), (true, None));
        bench.know(&chain, Status::Valid, None);
        bench.on_sight(sight(&chain), NOW);
        assert!(bench.flow().0);
    }
}

#[test]
fn what_is_wrong_with_the_rest_of_a_chain_blocks_its_own_connection_alone() {
    let Some(mut bench) = bench() else { return };
    let spoilt = by_probe(&["leaf", "junk"], 10, "a");
    let question = bench.on_sight(sight(&spoilt), NOW).unwrap();
    let mut honest = by_probe(&["leaf", "ca"], 11, "a");
    honest.witness.cookie = Some(COOKIE + 1);
    // Shown while the other is being judged: a question of its own.
    assert!(bench.on_sight(sight(&honest), NOW).is_some());
    let verdict = Verdict {
        fingerprint: HEXLOWER.encode(&spoilt.fingerprint),
        status: StatusName::Invalid,
        reason: Some("malformed: certificate 1: junk".to_owned()),
        good_until_unix_secs: NOW.unix_secs + 3600,
        steps: vec![Step {
            step: "parse".to_owned(),
            result: "failed".to_owned(),
            reason: Some("malformed: certificate 1: junk".to_owned()),
        }],
    };
    bench.on_answer(&question.case, Ok(verdict), NOW);
    assert!(bench.flow().0);
    assert!(!bench.maps.is_blocked(COOKIE + 1).unwrap());
    assert_eq!(bench.maps.status(&spoilt.fingerprint).unwrap(), None);
}
