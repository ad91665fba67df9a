//! Size: what is left out, when TC is set, and what the outcome tells the caller.

use resolver::zone::Kind;

use crate::support::{NSEC3, PLAIN, ask, ask_signed, ask_with, read, small};

#[test]
fn answer_that_does_not_fit_is_truncated_to_the_question() {
    let zone = read(PLAIN);
    let whole = ask(&zone, "www.example.", "A");
    for limit in 0..whole.message.len() {
        let reply = ask_with(&zone, "www.example.", "A", false, limit);
        assert_eq!(
            (reply.tc, reply.aa, reply.rcode, reply.kind()),
            (true, true, 0, Kind::Truncated),
            "limit {limit}"
        );
        assert!(reply.answer.is_empty());
        assert_eq!(reply.outcome.total_bytes, 12 + 17);
    }
    let exact = ask_with(&zone, "www.example.", "A", false, whole.message.len());
    assert_eq!((exact.tc, exact.answer.len()), (false, 2));
}

#[test]
fn addresses_beside_the_answer_are_left_out_set_by_set_without_truncation() {
    let zone = read(PLAIN);
    let whole = ask(&zone, "mx-two.example.", "MX");
    let mut counts = Vec::new();
    for limit in whole.outcome.required_bytes..=whole.outcome.total_bytes {
        let reply = ask_with(&zone, "mx-two.example.", "MX", false, limit);
        assert_eq!((reply.tc, reply.answer.len()), (false, 2), "limit {limit}");
        counts.push(reply.additional.len());
    }
    counts.dedup();
    assert_eq!(counts, [0, 1, 2]);
}

#[test]
fn every_limit_gives_a_whole_message_with_every_kind_of_answer() {
    let zone = read(NSEC3);
    for (name, qtype) in [
        ("nowhere.example.", "A"),
        ("x.wild-alias.example.", "A"),
        ("x.signed.example.", "A"),
        ("example.", "NS"),
    ] {
        let total = ask_signed(&zone, name, qtype).outcome.total_bytes;
        for limit in 12..total + 2 {
            let reply = ask_with(&zone, name, qtype, true, limit);
            assert_eq!(reply.tc, reply.kind() == Kind::Truncated);
        }
    }
}

#[test]
fn message_of_more_than_16_kib_has_pointers_only_where_they_reach() {
    let records: String = (0..1400)
        .map(|i| format!("big 60 MX {i} host{i}.some.where\n"))
        .collect();
    let hosts: String = (1300..1310)
        .map(|i| format!("host{i}.some.where 60 A 192.0.2.1\n"))
        .collect();
    let zone = small(&format!("{records}{hosts}"));
    let reply = ask(&zone, "big.example.", "MX");
    assert_eq!((reply.answer.len(), reply.additional.len()), (1400, 10));
    assert!(reply.message.len() > 0x4000);
    let truncated = ask_with(&zone, "big.example.", "MX", false, 1232);
    assert!(truncated.tc);
}

#[test]
fn many_hosts_beside_an_answer_are_bounded() {
    let records: String = (0..200)
        .map(|i| format!("big 60 MX {i} h{i}\nh{i} 60 A 192.0.2.1\n"))
        .collect();
    let reply = ask(&small(&records), "big.example.", "MX");
    assert_eq!(reply.answer.len(), 200);
    assert!((1..200).contains(&reply.additional.len()));
}

#[test]
fn required_bytes_end_where_the_plain_additional_records_begin() {
    let reply = ask(&read(PLAIN), "example.", "NS");
    assert_eq!(reply.outcome.required_bytes, 12 + 13 + 18 + 27);
    assert_eq!(reply.outcome.required_additional, 0);
    assert_eq!(reply.outcome.counts, [2, 0, 2]);
}
