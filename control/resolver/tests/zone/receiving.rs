//! Zone transfer in: whole zones, steps, what is refused, and any bytes at all.

use std::collections::BTreeSet;
use std::sync::Arc;

use resolver::zone::{
    Carrier, Delta, DeltaError, DisplayName, ReceiveError, ReceiveLimits, Received, Receiver,
    Record, Records, Transfer, Wanted, Zone, is_newer, rdata_to_text, read_zone_file, type_to_text,
};
use wire::query::Query;

use crate::support::{EXAMPLE, NSEC3, PLAIN, query_bytes, read};

const ID: u16 = 0x4711;

fn receiver(wanted: Wanted, carrier: Carrier) -> Receiver {
    let limits = ReceiveLimits {
        records_max: 1_000,
        bytes_max: 1 << 20,
    };
    Receiver::new(EXAMPLE, ID, wanted, carrier, limits, "primary").expect("a name")
}

fn line(record: Record<'_>) -> String {
    let data = rdata_to_text(record.rtype, record.data);
    let (owner, rtype) = (DisplayName(record.owner), type_to_text(record.rtype));
    format!("{owner} {} {rtype} {data}", record.ttl)
}

fn records_of(text: &str) -> Records {
    let mut loader = |_: &str, _: &str| Err(String::new());
    read_zone_file(text.as_bytes(), "f", EXAMPLE, &mut loader).expect("a zone file")
}

fn lines(records: &Records) -> BTreeSet<String> {
    records.iter().map(line).collect()
}

/// A response with these records, one a line, none compressed.
fn response(wanted: Wanted, text: &str) -> Vec<u8> {
    let mut message = receiver(wanted, Carrier::Tcp).query();
    let question_end = 12 + EXAMPLE.len() + 4;
    message.truncate(question_end);
    let records = records_of(text);
    message[2] |= 0x84;
    let count = u16::try_from(records.len()).expect("few records");
    message[6..8].copy_from_slice(&count.to_be_bytes());
    message[8..10].fill(0);
    for record in records.iter() {
        message.extend_from_slice(record.owner);
        message.extend_from_slice(&record.rtype.to_be_bytes());
        message.extend_from_slice(&1_u16.to_be_bytes());
        message.extend_from_slice(&record.ttl.to_be_bytes());
        message.extend_from_slice(
            &u16::try_from(record.data.len())
                .expect("short data")
                .to_be_bytes(),
        );
        message.extend_from_slice(record.data);
    }
    message
}

fn soa(serial: u32) -> String {
    format!("@ 60 SOA ns hostmaster {serial} 3600 600 86400 60\n")
}

fn receive(wanted: Wanted, carrier: Carrier, text: &str) -> Result<Option<Received>, ReceiveError> {
    receiver(wanted, carrier).on_message(&response(wanted, text))
}

#[test]
fn what_we_send_is_what_we_receive_in_either_form() {
    for text in [PLAIN, NSEC3] {
        for wanted in [Wanted::Whole, Wanted::Since(1)] {
            let zone = Arc::new(read(text));
            let rtype = if wanted == Wanted::Whole { 252 } else { 251 };
            let mut message = query_bytes(EXAMPLE, rtype, false);
            message[..2].copy_from_slice(&ID.to_be_bytes());
            let query = Query::parse(&message).unwrap();
            let mut receiver = receiver(wanted, Carrier::Tcp);
            let mut messages = Transfer::new(Arc::clone(&zone), &query, &message);
            let received = messages.find_map(|message| receiver.on_message(&message).unwrap());
            let Some(Received::Whole { serial, records }) = received else {
                panic!("{received:?}");
            };
            assert_eq!(serial, zone.serial());
            assert_eq!(lines(&records), lines(&records_of(text)));
            assert!(Zone::build(EXAMPLE, &records).is_ok());
            assert_eq!(
                receiver.on_message(&message).unwrap_err(),
                ReceiveError::Ended
            );
        }
    }
}

#[test]
fn queries_are_those_of_the_rfcs() {
    let whole = receiver(Wanted::Whole, Carrier::Tcp).query();
    assert_eq!(Query::parse(&whole).unwrap().qtype, 252);
    let since = receiver(Wanted::Since(7), Carrier::Tcp).query();
    assert_eq!(since[8..10], [0, 1], "one authority record");
    let message = hickory_proto::op::Message::from_vec(&since).unwrap();
    let record = message.authorities.first().unwrap();
    assert!(matches!(&record.data, hickory_proto::rr::RData::SOA(soa) if soa.serial == 7));
}

#[test]
fn steps_are_chained_by_their_serials_and_lead_to_the_new_zone() {
    let text = [
        &soa(3),
        &soa(1),
        "a 60 A 192.0.2.1\n",
        &soa(2),
        "a 60 A 192.0.2.2\nb 60 A 192.0.2.3\n",
        &soa(2),
        &soa(3),
        "c 60 MX 5 a\n",
        &soa(3),
    ]
    .concat();
    let received = receive(Wanted::Since(1), Carrier::Tcp, &text).unwrap();
    let Some(Received::Deltas { serial: 3, deltas }) = received else {
        panic!("{received:?}");
    };
    let serials: Vec<_> = deltas.iter().map(|delta| (delta.from, delta.to)).collect();
    assert_eq!(serials, [(1, 2), (2, 3)]);
    let before = format!("{}@ 60 NS a\na 60 A 192.0.2.1\n", soa(1));
    let after = format!(
        "{}@ 60 NS a\na 60 A 192.0.2.2\nb 60 A 192.0.2.3\nc 60 MX 5 a\n",
        soa(3)
    );
    let applied = Delta::apply_all(&records_of(&before), &deltas).unwrap();
    assert_eq!(lines(&applied), lines(&records_of(&after)));
    let other = format!("{}@ 60 NS a\n", soa(1));
    let error = Delta::apply_all(&records_of(&other), &deltas).unwrap_err();
    assert!(matches!(error, DeltaError::Absent { to: 2, .. }), "{error}");
    let other = format!("{before}b 60 A 192.0.2.3\n");
    let error = Delta::apply_all(&records_of(&other), &deltas).unwrap_err();
    assert!(
        matches!(error, DeltaError::Present { to: 2, .. }),
        "{error}"
    );
}

#[test]
fn single_soa_says_that_nothing_is_newer_or_that_tcp_is_needed() {
    for (own, serial) in [(5, 5), (5, 4), (0, u32::MAX)] {
        let received = receive(Wanted::Since(own), Carrier::Tcp, &soa(serial)).unwrap();
        assert!(matches!(received, Some(Received::UpToDate { serial: s }) if s == serial));
    }
    let received = receive(Wanted::Since(5), Carrier::Udp, &soa(6)).unwrap();
    assert!(matches!(received, Some(Received::Truncated)));
    // Over TCP the rest comes in the next message.
    let mut receiver = receiver(Wanted::Since(5), Carrier::Tcp);
    let first = response(Wanted::Since(5), &soa(6));
    assert!(receiver.on_message(&first).unwrap().is_none());
    let rest = response(Wanted::Since(5), &(soa(5) + &soa(6) + &soa(6)));
    let received = receiver.on_message(&rest).unwrap();
    assert!(matches!(received, Some(Received::Deltas { serial: 6, .. })));
}

#[test]
fn zone_of_a_soa_alone_is_whole() {
    let text = [soa(6), soa(6)].concat();
    let received = receive(Wanted::Since(5), Carrier::Tcp, &text).unwrap();
    assert!(matches!(received, Some(Received::Whole { serial: 6, records }) if records.len() == 1));
}

#[test]
fn what_is_no_transfer_is_refused_with_the_reason() {
    let a = "a 60 A 192.0.2.1\n";
    let since = Wanted::Since(1);
    for (wanted, text, expected) in [
        (Wanted::Whole, a.to_owned(), ReceiveError::FirstRecord),
        (
            since,
            soa(3) + &soa(2),
            ReceiveError::Serial {
                found: 2,
                expected: 3,
            },
        ),
        (
            Wanted::Whole,
            soa(3) + a + &soa(4),
            ReceiveError::Serial {
                found: 4,
                expected: 3,
            },
        ),
        (
            Wanted::Whole,
            soa(3) + a + &soa(3) + a,
            ReceiveError::Trailing,
        ),
        (
            since,
            soa(3) + &soa(1) + &soa(1),
            ReceiveError::NotNewer { from: 1, to: 1 },
        ),
        (
            since,
            soa(3) + &soa(1) + &soa(2) + &soa(3),
            ReceiveError::Serial {
                found: 3,
                expected: 2,
            },
        ),
    ] {
        let error = receive(wanted, Carrier::Tcp, &text).unwrap_err();
        assert_eq!(error, expected, "{text}");
    }
    let good = response(Wanted::Whole, &[&soa(3), a, &soa(3)].concat());
    let change = |at: usize, value: u8| {
        let mut message = good.clone();
        message[at] = value;
        receiver(Wanted::Whole, Carrier::Tcp)
            .on_message(&message)
            .unwrap_err()
    };
    assert_eq!(change(0, 0), ReceiveError::Unrelated, "id");
    assert_eq!(change(2, 0), ReceiveError::Unrelated, "no response");
    assert_eq!(change(13, b'x'), ReceiveError::Unrelated, "another zone");
    assert_eq!(change(3, 5), ReceiveError::Refused { rcode: 5 });
    assert_eq!(change(2, 0x86), ReceiveError::Truncated);
}

#[test]
fn what_lies_outside_the_zone_is_passed_over() {
    let text = [&soa(3), "www.other. 60 A 192.0.2.1\n", &soa(3)].concat();
    let received = receive(Wanted::Whole, Carrier::Tcp, &text).unwrap();
    assert!(matches!(received, Some(Received::Whole { records, .. }) if records.len() == 1));
}

#[test]
fn zone_above_a_limit_is_refused() {
    let hosts: String = (0..1_000)
        .map(|n| format!("h{n} 60 A 192.0.2.1\n"))
        .collect();
    let error = receive(Wanted::Whole, Carrier::Tcp, &(soa(1) + &hosts)).unwrap_err();
    assert_eq!(
        error,
        ReceiveError::TooLarge {
            limit: 1_000,
            unit: "records"
        }
    );
    let mut receiver = receiver(Wanted::Whole, Carrier::Tcp);
    let empty = response(Wanted::Whole, "");
    let errors = (0..1 << 16).find_map(|_| receiver.on_message(&empty).err());
    assert_eq!(
        errors,
        Some(ReceiveError::TooLarge {
            limit: 1 << 20,
            unit: "bytes"
        })
    );
}

#[test]
fn serials_are_compared_around_the_circle() {
    assert!(is_newer(1, 0) && is_newer(0, u32::MAX) && is_newer(1 << 31, 1));
    assert!(!is_newer(0, 0) && !is_newer(0, 1) && !is_newer(1 << 31, 0));
}

#[test]
fn message_cut_anywhere_is_no_transfer() {
    let good = response(Wanted::Whole, &[&soa(3), "a 60 MX 5 b\n", &soa(3)].concat());
    for length in 0..good.len() {
        let result = receiver(Wanted::Whole, Carrier::Tcp).on_message(&good[..length]);
        assert!(result.is_err(), "length={length}");
    }
}

#[test]
fn any_bytes_are_received_or_refused() {
    let good = response(
        Wanted::Since(1),
        &[&soa(3), &soa(1), "a 60 MX 5 b\n", &soa(3), &soa(3)].concat(),
    );
    bolero::check!()
        .with_iterations(20_000)
        .with_type::<(Vec<(u16, u8)>, Vec<u8>, bool)>()
        .for_each(|(changes, other, is_udp)| {
            let carrier = if *is_udp { Carrier::Udp } else { Carrier::Tcp };
            let mut message = good.clone();
            for (at, value) in changes {
                let at = usize::from(*at) % message.len();
                message[at] = *value;
            }
            for message in [&message, other] {
                let mut receiver = receiver(Wanted::Since(1), carrier);
                if let Ok(Some(Received::Whole { records, .. })) = receiver.on_message(message) {
                    let _ = Zone::build(EXAMPLE, &records); // Builds or says why not.
                }
            }
        });
}
