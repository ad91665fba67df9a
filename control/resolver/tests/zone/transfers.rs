//! Zone transfer out: order, completeness, sizes.

use std::collections::BTreeSet;
use std::sync::Arc;

use hickory_proto::op::Message;
use resolver::zone::{DisplayName, Transfer, Zone, rdata_to_text, read_zone_file, type_to_text};
use wire::query::Query;

use crate::support::{EXAMPLE, NSEC, NSEC3, OPTOUT, PLAIN, lines, query_bytes, read, small};

fn transfer(zone: Zone) -> Vec<Vec<u8>> {
    let message = query_bytes(EXAMPLE, 252, false);
    let query = Query::parse(&message).expect("a query");
    Transfer::new(Arc::new(zone), &query, &message).collect()
}

/// All records in the order they came.
fn records(messages: &[Vec<u8>]) -> Vec<String> {
    let parsed = messages
        .iter()
        .map(|message| Message::from_vec(message).expect("a message"));
    parsed
        .flat_map(|message| {
            message
                .answers
                .iter()
                .flat_map(|record| lines(std::slice::from_ref(record)))
                .collect::<Vec<_>>()
        })
        .collect()
}

fn of_file(text: &str) -> BTreeSet<String> {
    let mut loader = |_: &str, _: &str| Err(String::new());
    let records = read_zone_file(text.as_bytes(), "f", EXAMPLE, &mut loader).expect("a file");
    let line = |record: resolver::zone::Record<'_>| {
        let data = rdata_to_text(record.rtype, record.data);
        format!(
            "{} {} {} {data}",
            DisplayName(record.owner),
            record.ttl,
            type_to_text(record.rtype)
        )
    };
    records.iter().map(line).collect()
}

#[test]
fn transfer_has_every_record_once_between_two_soa_records() {
    for text in [PLAIN, NSEC, NSEC3, OPTOUT] {
        let sent = records(&transfer(read(text)));
        let is_soa = |line: &String| line.contains(" SOA ") && !line.contains(" RRSIG ");
        assert!(is_soa(&sent[0]) && is_soa(&sent[sent.len() - 1]));
        assert_eq!(sent.iter().filter(|line| is_soa(line)).count(), 2);
        let expected = of_file(text);
        assert_eq!(sent.len(), expected.len() + 1, "each once");
        assert_eq!(sent.into_iter().collect::<BTreeSet<String>>(), expected);
    }
}

#[test]
fn messages_have_id_authority_and_the_question_first_alone() {
    let records: String = (0..3000)
        .map(|i| format!("host{i}.some.where 60 MX 1 mail{i}.some.where\n"))
        .collect();
    let messages = transfer(small(&records));
    assert!(messages.len() > 3);
    for (index, message) in messages.iter().enumerate() {
        assert_eq!(message[..2], [0x12, 0x34]);
        assert_eq!(message[2..4], [0x85, 0x00], "QR, AA, RD");
        assert_eq!(message[4..6], [0, u8::from(index == 0)]);
        assert!(message.len() <= 16_384);
        assert_eq!(message[8..12], [0; 4], "nothing behind the answer section");
    }
    let whole: usize = messages.iter().map(Vec::len).sum();
    assert!(
        whole / 3000 < 40,
        "{} bytes a record: names are compressed",
        whole / 3000
    );
    assert_eq!(self::records(&messages).len(), 3003);
}

#[test]
fn record_that_is_larger_than_the_usual_message_makes_a_larger_one() {
    let big = format!(
        "big 60 TXT{}\n",
        format!(" {}", "x".repeat(255)).repeat(250)
    );
    let messages = transfer(small(&format!("a 60 A 192.0.2.1\n{big}z 60 A 192.0.2.2\n")));
    assert_eq!(messages.len(), 2);
    assert!(messages[1].len() > 64_000);
    assert_eq!(records(&messages).len(), 6);
}

#[test]
fn set_may_be_spread_over_messages() {
    let records: String = (0..1800)
        .map(|i| format!("big 60 TXT \"{i:0>20}\"\n"))
        .collect();
    let messages = transfer(small(&records));
    assert!(messages.len() > 2);
    assert_eq!(self::records(&messages).len(), 1803);
}

#[test]
fn chain_of_nsec3_records_not_in_use_is_transferred_too() {
    let text =
        "2t7b4g4vsa5smi47k61mv5bv1a22bojr 60 NSEC3 1 0 0 - 2t7b4g4vsa5smi47k61mv5bv1a22bojr A\n";
    let sent = records(&transfer(small(text)));
    assert_eq!(
        sent.iter().filter(|line| line.contains(" NSEC3 ")).count(),
        1
    );
}

#[test]
fn transfer_outlives_the_zone_set_that_it_came_from() {
    let zone = Arc::new(read(PLAIN));
    let message = query_bytes(EXAMPLE, 252, false);
    let query = Query::parse(&message).expect("a query");
    let transfer = Transfer::new(Arc::clone(&zone), &query, &message);
    drop(zone);
    assert_eq!(records(&transfer.collect::<Vec<_>>()).len(), 70);
}
