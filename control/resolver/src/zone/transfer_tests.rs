//! Tests of what is sent out, held against what takes transfers in.

use super::*;
use crate::zone::{
    Carrier, Delta, ReceiveLimits, Received, Receiver, Step, Update, Wanted, ZoneContents,
};

const APEX: &[u8] = b"\x07example\0";
const FIRST: u32 = u32::MAX - 2;

/// Versions of a zone with so many hosts, each with one more change, and the journal between them.
fn versions(hosts: u32, changes: u32) -> (Vec<ZoneContents>, Journal) {
    let mut text =
        format!("@ 60 SOA ns host {FIRST} 3600 600 86400 60\n@ 60 NS ns\nns 60 A 192.0.2.1\n");
    for host in 0..hosts {
        text.push_str(&format!("h{host} 60 A 192.0.2.1\n"));
    }
    let zone = Zone::read(
        APEX,
        text.as_bytes(),
        "zone",
        &mut |_, _| Err(String::new()),
    );
    let mut contents = ZoneContents::from_zone(&zone.unwrap().0);
    let mut journal = Journal::default();
    let mut all = vec![contents.clone()];
    for change in 0..changes {
        let mut update = Update::new(crate::zone::NameBuffer::from_wire(APEX).unwrap());
        let owner: Arc<[u8]> = b"\x02h0\x07example\0".as_slice().into();
        update.steps.push(Step::Add {
            owner,
            rtype: 1,
            ttl: 60 + change / 2,
            data: change.to_be_bytes().into(),
        });
        let applied = contents.apply(&update).unwrap();
        journal.push(applied.delta());
        all.push(contents.clone());
    }
    (all, journal)
}

/// What a secondary makes of the response to its IXFR query.
fn receive(
    from: u32,
    carrier: Carrier,
    respond: impl FnOnce(&Query, &[u8]) -> Vec<Vec<u8>>,
) -> Received {
    let limits = ReceiveLimits::default();
    let wanted = Wanted::Since(from);
    let mut receiver = Receiver::new(APEX, 7, wanted, carrier, limits, "test").unwrap();
    let message = receiver.query();
    let query = Query::parse(&message).unwrap();
    let mut received = None;
    for message in respond(&query, &message) {
        assert!(received.is_none(), "nothing behind the end");
        received = receiver.on_message(&message).unwrap();
    }
    received.expect("a whole transfer")
}

fn since(version: &ZoneContents, journal: &Journal, from: u32) -> Received {
    let zone = Arc::new(version.build().unwrap().0);
    receive(from, Carrier::Tcp, |query, message| {
        Transfer::since(zone, journal, from, query, message).collect()
    })
}

#[test]
fn a_secondary_gets_from_any_version_to_the_last_by_steps() {
    let (versions, journal) = versions(3_000, 40);
    let last = versions.last().unwrap();
    for version in &versions[..40] {
        let received = since(last, &journal, version.serial());
        let Received::Deltas { serial, deltas } = received else {
            panic!("expected steps: {received:?}");
        };
        assert_eq!(serial, last.serial());
        let records = Delta::apply_all(&version.to_records(), &deltas).unwrap();
        let zone = Zone::build(APEX, &records).unwrap().0;
        assert_eq!(ZoneContents::from_zone(&zone), *last);
    }
}

#[test]
fn a_version_that_is_not_known_or_too_many_steps_give_the_whole_zone() {
    let (versions, journal) = versions(20, 40);
    let last = versions.last().unwrap();
    for from in [FIRST - 1, FIRST] {
        let received = since(last, &journal, from);
        let Received::Whole { serial, records } = received else {
            panic!("expected all: {received:?}");
        };
        assert_eq!(
            (serial, records.len()),
            (last.serial(), last.records_count())
        );
    }
}

#[test]
fn over_udp_steps_come_in_one_message_or_not_at_all() {
    let (versions, journal) = versions(3_000, 40);
    let (last, near) = (versions.last().unwrap(), versions[39].serial());
    let zone = Arc::new(last.build().unwrap().0);
    let received = receive(near, Carrier::Udp, |query, message| {
        let transfer = Transfer::since(Arc::clone(&zone), &journal, near, query, message);
        assert!(transfer.is_incremental());
        let message = transfer.into_single(1232).unwrap();
        assert!(message.len() <= 1232);
        vec![message]
    });
    assert!(matches!(received, Received::Deltas { ref deltas, .. } if deltas.len() == 1));
    receive(FIRST, Carrier::Tcp, |query, message| {
        let transfer = Transfer::since(Arc::clone(&zone), &journal, FIRST, query, message);
        assert_eq!(transfer.into_single(1232), None);
        let transfer = Transfer::since(zone, &journal, FIRST, query, message);
        transfer.collect()
    });
}
