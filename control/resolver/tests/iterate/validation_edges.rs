//! Validation where something else goes wrong: no room, no effort left, forged denials, data past their TTL.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType::{A, DNSKEY, DS};
use resolver::iterate::extended_error;

use crate::net::config;
use crate::validation::{
    TEST, assert_answer, assert_bogus, is_denial, net, net_with, tamper, validating, with_cd,
};

const PLAIN: &str = "198.51.100.3";

#[test]
fn lack_of_room_for_lookups_says_nothing_of_a_zone_and_is_not_remembered() {
    let mut config = validating(&[]);
    config.limits.tasks_max = 8;
    config.limits.wall_ms_max = 1_000;
    let mut net = net_with(config);
    net.ask_question(with_cd("www.plain.", A));
    net.silence(PLAIN);
    for number in 0..7 {
        net.begin(with_cd(&format!("n{number}.plain."), A));
    }
    let ticket = net.begin_plain("www.good.test.", A);
    net.pass(200);
    let outcome = net.take(ticket);
    assert_eq!(outcome.rcode, ResponseCode::ServFail);
    let text = &outcome.extended_errors[0].1;
    assert!(text.contains("too many questions"), "{text}");
    net.run();
    assert!(net.log.iter().all(|request| request.qtype != DNSKEY));
    assert_answer(&net.ask("www.good.test.", A), true);
    assert_answer(&net.ask("www.nsec3.test.", A), true);
}

#[test]
fn a_cut_that_cannot_be_judged_for_lack_of_effort_is_neither_there_nor_absent() {
    let mut config = validating(&[]);
    config.limits.hashes_max = 1;
    let mut net = net_with(config);
    tamper(&mut net, TEST, |message, request| {
        if request.qtype != DS {
            message.authorities.retain(|record| !is_denial(record));
        }
    });
    let outcome = net.ask("www.unsigned.test.", A);
    assert_bogus(&outcome, extended_error::DNSSEC_BOGUS);
    let text = &outcome.extended_errors[0].1;
    assert!(text.contains("too many"), "{text}");
    // The denial of DS is judged and cached by now: less is left to do.
    assert_answer(&net.ask("www.unsigned.test.", A), false);
}
