//! A copy of the root zone in the place of the root servers (RFC 8806).

use std::sync::Arc;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::Name;
use hickory_proto::rr::RecordType::{A, DNSKEY, DS, NS};
use resolver::iterate::{Config, LocalRootError, QnameMinimisation, Question, TraceKind};
use resolver::zone::Zone;

use crate::authority::name;
use crate::net::Net;
use crate::validation::{self, assert_answer};

const ROOT: &str = "198.51.100.1";
const ROOT_TEXT: &str = include_str!("data/root.zone");
/// EXPIRE of that file, in seconds.
const EXPIRE_SECS: u64 = 1_209_600;

fn zone(apex: &[u8], text: &str) -> Arc<Zone> {
    let mut loader = |_: &str, path: &str| Err(format!("no {path}"));
    let read = Zone::read(apex, text.as_bytes(), "root.zone", &mut loader);
    Arc::new(read.unwrap_or_else(|error| panic!("{error}")).0)
}

/// Each name is asked for, whatever is proven already.
fn asking() -> Config {
    Config {
        aggressive_nsec: false,
        ..validation::validating(&[])
    }
}

/// The signed internet of the validation tests, with this copy.
fn net(text: &str) -> Net {
    net_with(asking(), text)
}

fn net_with(config: Config, text: &str) -> Net {
    let mut net = validation::net_with(config);
    let copy = Some((zone(&[0], text), 0));
    let left_secs = net.resolver.set_local_root(net.now_ms, copy);
    assert_eq!(left_secs, Ok(EXPIRE_SECS));
    net
}

#[test]
fn referrals_denials_and_the_roots_own_data_come_from_the_copy_and_are_proven() {
    for qname_minimisation in [
        QnameMinimisation::Off,
        QnameMinimisation::Relaxed,
        QnameMinimisation::Strict,
    ] {
        let config = Config {
            qname_minimisation,
            ..validation::validating(&[])
        };
        let mut net = net_with(config, ROOT_TEXT);
        net.silence(ROOT);
        assert_answer(&net.ask("www.good.test.", A), true);
        assert_answer(&net.ask("www.plain.", A), false);
        assert_answer(&net.ask(".", NS), true);
        assert_answer(&net.ask(".", DNSKEY), true);
        assert_answer(&net.ask("test.", DS), true);
        let missing = net.ask("a.b.missing.", A);
        assert_eq!(missing.rcode, ResponseCode::NXDomain);
        assert!(missing.authentic);
        assert_eq!(net.queries_to(ROOT), 0, "{:?}", net.asked(ROOT));
        assert!(net.resolver.statistics().local_root_answers > 3);
    }
}

#[test]
fn trace_shows_that_the_copy_answered() {
    let mut net = net(ROOT_TEXT);
    let outcome = net.ask_question(Question {
        trace: true,
        ..Question::new(name("www.plain."), A)
    });
    let mut steps = outcome.trace.iter().flatten().map(|event| &event.kind);
    let referred = steps.any(|step| match step {
        TraceKind::LocalRoot { qname, meaning, .. } => {
            *qname == name("plain.") && *meaning == "referral"
        }
        _ => false,
    });
    assert!(referred, "{:?}", outcome.trace);
}

#[test]
fn copy_that_does_not_hold_is_passed_over_for_the_root_servers() {
    let forged_ds = ROOT_TEXT.replace("17015 8 2 cb72", "17015 8 2 cb73");
    let forged_key = ROOT_TEXT.replace("DNSKEY\t257 3 13 rCF8B", "DNSKEY\t257 3 13 rCF8C");
    for text in [forged_ds, forged_key] {
        assert_ne!(text, ROOT_TEXT);
        let mut net = net(&text);
        assert_answer(&net.ask("www.good.test.", A), true);
        assert!(net.queries_to(ROOT) > 0);
        // Without the root servers nothing of it is believed.
        let mut alone = net_with(validation::validating(&[]), &text);
        alone.silence(ROOT);
        let outcome = alone.ask("www.good.test.", A);
        assert_eq!(outcome.rcode, ResponseCode::ServFail, "{outcome:?}");
    }
}

#[test]
fn copy_without_a_zone_that_there_is_makes_nobody_believe_that() {
    let kept = ROOT_TEXT.lines().filter(|line| !line.starts_with("test."));
    let text: String = kept.map(|line| format!("{line}\n")).collect();
    let mut net = net(&text);
    let outcome = net.ask("www.good.test.", A);
    assert_eq!(outcome.rcode, ResponseCode::ServFail, "{outcome:?}");
}

#[test]
fn copy_ends_with_its_soa_expire_time_counted_from_its_age() {
    let mut net = validation::net_with(asking());
    let copy = |age_secs| Some((zone(&[0], ROOT_TEXT), age_secs));
    let now_ms = net.now_ms;
    let expired = net.resolver.set_local_root(now_ms, copy(EXPIRE_SECS));
    assert!(matches!(expired, Err(LocalRootError::Expired { .. })));
    let left_secs = net.resolver.set_local_root(now_ms, copy(EXPIRE_SECS - 100));
    assert_eq!(left_secs, Ok(100));
    net.ask("missing-1.", A);
    assert_eq!(net.queries_to(ROOT), 0);
    net.pass(100_000);
    net.ask("missing-2.", A);
    assert!(net.queries_to(ROOT) > 0);
}

#[test]
fn copy_of_another_zone_is_refused_and_none_ends_the_use_of_one() {
    let mut net = net(ROOT_TEXT);
    let now_ms = net.now_ms;
    let other = zone(
        b"\x05plain\0",
        "@ 60 SOA a b 1 2 3 4 5\n@ 60 NS ns\nns 60 A 192.0.2.1\n",
    );
    let refused = net.resolver.set_local_root(now_ms, Some((other, 0)));
    assert_eq!(refused, Err(LocalRootError::Apex));
    net.ask("missing-1.", A);
    assert_eq!(net.queries_to(ROOT), 0, "what was there stays");
    net.resolver.set_local_root(now_ms, None).unwrap();
    net.ask("missing-2.", A);
    assert!(net.queries_to(ROOT) > 0);
}

#[test]
fn without_validation_the_copy_is_believed_as_a_root_server_is() {
    let mut net = net_with(crate::net::config(), ROOT_TEXT);
    net.silence(ROOT);
    let outcome = net.ask("www.good.test.", A);
    assert_eq!(outcome.rcode, ResponseCode::NoError);
    let owner: Vec<Name> = outcome
        .answers
        .iter()
        .map(|record| record.name.clone())
        .collect();
    assert_eq!(owner[0], name("www.good.test."));
}
