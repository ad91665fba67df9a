//! The cache lives on over a restart, as far as what was saved is whole, ours, and holds when it is
//! judged anew.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType::{A, AAAA, TXT};
use resolver::iterate::{Config, Saver, SnapshotError};

use crate::net::{Net, addresses, config};
use crate::validation::{self, NOW_SECS};

fn saved(net: &Net, unix_secs: u64) -> Vec<u8> {
    let (mut saver, mut out) = (Saver::default(), Vec::new());
    while net
        .resolver
        .save(net.now_ms, unix_secs, &mut saver, &mut out)
    {}
    out
}

/// With a checksum that fits.
fn sealed(body: &[u8]) -> Vec<u8> {
    let digest = ring::digest::digest(&ring::digest::SHA256, body);
    [body, digest.as_ref()].concat()
}

fn restore(net: &mut Net, unix_secs: u64, bytes: &[u8]) -> Result<usize, SnapshotError> {
    net.resolver.restore(net.now_ms, unix_secs, bytes)
}

const QUESTIONS: [(&str, hickory_proto::rr::RecordType); 4] = [
    ("www.example.com.", A),
    ("far.example.com.", A),
    ("nothing.example.com.", A),
    ("www.example.com.", TXT),
];

#[test]
fn what_was_known_is_known_again_with_what_is_left_of_its_ttl() {
    let mut before = Net::new();
    let first: Vec<_> = QUESTIONS
        .map(|(qname, qtype)| before.ask(qname, qtype))
        .into();
    before.pass(100_000);
    let bytes = saved(&before, NOW_SECS);
    let mut after = Net::new();
    after.now_ms = 5_000;
    assert!(restore(&mut after, NOW_SECS + 20, &bytes).is_ok_and(|count| count > 8));
    for ((qname, qtype), first) in QUESTIONS.into_iter().zip(first) {
        let outcome = after.ask(qname, qtype);
        assert_eq!(
            (outcome.rcode, addresses(&outcome)),
            (first.rcode, addresses(&first))
        );
        let aged = first.ttl_secs - 120;
        assert!((aged - 2..=aged).contains(&outcome.ttl_secs), "{qname}");
    }
    assert!(after.log.is_empty(), "{:?}", after.log.last());
    // Delegations are known as well.
    after.ask("www.example.com.", AAAA);
    assert_eq!(after.log.len(), 1);
}

#[test]
fn what_has_expired_meanwhile_is_left_out() {
    let mut before = Net::new();
    before.ask("www.example.com.", A);
    let bytes = saved(&before, NOW_SECS);
    let mut after = Net::new();
    assert_eq!(restore(&mut after, NOW_SECS + 10_000_000, &bytes), Ok(0));
    after.ask("www.example.com.", A);
    assert!(!after.log.is_empty());
}

#[test]
fn no_ttl_in_a_file_is_longer_than_one_that_a_server_may_give() {
    let mut before = Net::new();
    before.add_example("long 80000 A 203.0.113.7");
    before.ask("long.example.com.", A);
    let mut after = Net::with(Config {
        ttl_max_secs: 60,
        ..config()
    });
    let bytes = saved(&before, NOW_SECS);
    restore(&mut after, NOW_SECS, &bytes).unwrap();
    assert_eq!(after.ask("long.example.com.", A).ttl_secs, 60);
}

#[test]
fn restored_data_are_judged_before_a_client_gets_them() {
    let mut before = validation::net();
    for (qname, qtype) in [
        ("www.good.test.", A),
        ("nothing.nsec3.test.", A),
        ("www.unsigned.test.", A),
    ] {
        before.ask(qname, qtype);
    }
    let bytes = saved(&before, NOW_SECS);
    let mut after = validation::net();
    restore(&mut after, NOW_SECS, &bytes).unwrap();
    assert!(after.ask("www.good.test.", A).authentic);
    assert!(after.ask("nothing.nsec3.test.", A).authentic);
    let unsigned = after.ask("www.unsigned.test.", A);
    assert!(!unsigned.authentic && !unsigned.answers.is_empty());
    assert!(
        after.log.is_empty(),
        "keys were saved too: {:?}",
        after.log.last()
    );
    assert!(after.resolver.statistics().secure >= 2);
}

#[test]
fn data_that_were_changed_in_the_file_do_not_reach_a_client() {
    let mut before = validation::net();
    before.ask("www.good.test.", A);
    let mut bytes = saved(&before, NOW_SECS);
    bytes.truncate(bytes.len() - 32);
    let places: Vec<usize> = bytes
        .windows(4)
        .enumerate()
        .filter(|(_, window)| *window == [203, 0, 113, 1])
        .map(|(at, _)| at)
        .collect();
    assert!(!places.is_empty());
    places.into_iter().for_each(|at| bytes[at + 3] = 66);
    let mut after = validation::net();
    restore(&mut after, NOW_SECS, &sealed(&bytes)).unwrap();
    let outcome = after.ask("www.good.test.", A);
    assert_eq!(addresses(&outcome), ["203.0.113.1", "203.0.113.2"]);
    assert!(outcome.authentic && !after.log.is_empty(), "asked anew");
}

#[test]
fn every_change_is_noticed_and_leaves_the_cache_cold() {
    let mut before = Net::new();
    before.ask("www.example.com.", A);
    let bytes = saved(&before, NOW_SECS);
    let mut after = Net::new();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(
            restore(&mut after, NOW_SECS, &changed).is_err(),
            "byte {at}"
        );
        assert!(
            restore(&mut after, NOW_SECS, &bytes[..at]).is_err(),
            "cut at {at}"
        );
    }
    assert_eq!(after.resolver.statistics().cache_entries, 0);
    assert_eq!(
        after.ask("www.example.com.", A).rcode,
        ResponseCode::NoError
    );
}

#[test]
fn what_cannot_be_used_says_why() {
    let mut net = Net::new();
    net.ask("www.example.com.", A);
    let bytes = saved(&net, NOW_SECS);
    let mut other = bytes.clone();
    other[9] = 7;
    let body = &bytes[..bytes.len() - 32];
    let mut counted = body.to_vec();
    *counted.last_mut().unwrap() += 1;
    let length = bytes.len();
    for (bytes, unix_secs, expected) in [
        (b"something else".to_vec(), NOW_SECS, SnapshotError::Magic),
        (Vec::new(), NOW_SECS, SnapshotError::Magic),
        (other, NOW_SECS, SnapshotError::Version { found: 7 }),
        (
            bytes[..length - 1].to_vec(),
            NOW_SECS,
            SnapshotError::Checksum { bytes: length - 1 },
        ),
        (
            bytes.clone(),
            NOW_SECS - 1,
            SnapshotError::Clock {
                saved_secs: NOW_SECS,
            },
        ),
        (
            sealed(&counted),
            NOW_SECS,
            SnapshotError::Entry {
                offset: length - 32,
            },
        ),
    ] {
        let error = restore(&mut net, unix_secs, &bytes).unwrap_err();
        assert_eq!(error, expected);
        assert!(!error.to_string().is_empty());
    }
}

#[test]
fn a_large_cache_is_saved_in_slices_between_which_it_may_change() {
    let mut before = Net::new();
    let mut text = String::new();
    for number in 0..1_500 {
        text += &format!("t{number} 3000 TXT {}\n", "x".repeat(250));
    }
    before.add_example(&text);
    for number in 0..1_500 {
        before.ask(&format!("t{number}.example.com."), TXT);
    }
    let (mut saver, mut bytes, mut slices) = (Saver::default(), Vec::new(), 0);
    loop {
        let from = bytes.len();
        let more = before
            .resolver
            .save(before.now_ms, NOW_SECS, &mut saver, &mut bytes);
        assert!(bytes.len() - from < 300_000);
        slices += 1;
        if !more {
            break;
        }
        before.resolver.flush(None);
        before.ask("www.example.com.", A);
    }
    assert!(slices > 1);
    let mut after = Net::new();
    let count = restore(&mut after, NOW_SECS, &bytes).unwrap();
    assert!(count > 500 && saver.names() > 500, "{count}");
}

#[test]
fn an_empty_cache_is_a_whole_file() {
    let bytes = saved(&Net::new(), NOW_SECS);
    assert_eq!(restore(&mut Net::new(), NOW_SECS, &bytes), Ok(0));
}

#[test]
fn no_bytes_make_restoring_panic() {
    let mut warm = Net::new();
    for (qname, qtype) in QUESTIONS {
        warm.ask(qname, qtype);
    }
    let whole = saved(&warm, NOW_SECS);
    let body = whole[..whole.len() - 32].to_vec();
    bolero::check!()
        .with_type::<(Vec<u8>, Vec<(u16, u8)>)>()
        .for_each(|(random, changes)| {
            let mut net = Net::new();
            let _ = restore(&mut net, NOW_SECS, random);
            let header = &body[..18];
            let _ = restore(&mut net, NOW_SECS, &sealed(&[header, random].concat()));
            let mut changed = body.clone();
            for (at, byte) in changes.iter().take(8) {
                let at = usize::from(*at) % changed.len();
                changed[at] = *byte;
            }
            if restore(&mut net, NOW_SECS, &sealed(&changed)).is_ok() {
                for (qname, qtype) in QUESTIONS {
                    net.ask(qname, qtype); // Whatever came of it can be lived with.
                }
            }
        });
}
