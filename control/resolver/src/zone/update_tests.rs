//! Tests of updates: messages, compact form, and what they do to a zone.

use std::collections::BTreeMap;

use super::*;
use crate::zone::{Applied, CodecError, Delta, Records, Zone, ZoneContents, type_from_text};

const APEX: &[u8] = b"\x07example\0";

fn zone(text: &str) -> ZoneContents {
    let read = Zone::read(
        APEX,
        text.as_bytes(),
        "zone",
        &mut |_, _| Err(String::new()),
    );
    ZoneContents::from_zone(&read.unwrap().0)
}

fn plain() -> ZoneContents {
    zone(
        "@ 60 SOA ns host 7 3600 600 86400 60\n@ 60 NS ns\nns 60 A 192.0.2.1\n\
         www 60 A 192.0.2.2\nwww 60 A 192.0.2.3\nalias 60 CNAME www\ntext 60 TXT a\n",
    )
}

/// A record of a message: section (1: prerequisite, 2: update), owner, class, type, TTL, data.
type Entry<'a> = (u8, &'a str, u16, &'a str, u32, &'a [u8]);

fn wire(name: &str) -> Vec<u8> {
    let labels = name.split('.').filter(|label| !label.is_empty());
    let mut out: Vec<u8> = labels
        .flat_map(|label| [&[u8::try_from(label.len()).unwrap()], label.as_bytes()].concat())
        .collect();
    out.push(0);
    out
}

fn message(entries: &[Entry<'_>]) -> Vec<u8> {
    let count = |wanted| {
        let count = entries.iter().filter(|entry| entry.0 == wanted).count();
        u16::try_from(count).unwrap().to_be_bytes()
    };
    let mut out = vec![0, 1, 0x28, 0, 0, 1];
    out.extend([count(1), count(2), [0, 0]].concat());
    out.extend_from_slice(APEX);
    out.extend_from_slice(&[0, 6, 0, 1]);
    for wanted in [1, 2] {
        for (section, owner, class, rtype, ttl, data) in entries {
            if *section != wanted {
                continue;
            }
            out.extend(wire(owner));
            out.extend(type_from_text(rtype).unwrap().to_be_bytes());
            out.extend(class.to_be_bytes());
            out.extend(ttl.to_be_bytes());
            out.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
            out.extend_from_slice(data);
        }
    }
    out
}

/// Applies, and holds what comes out against a build of the whole zone, the delta and the compact form.
fn apply(contents: &mut ZoneContents, entries: &[Entry<'_>]) -> Result<Applied, u16> {
    let parsed = Update::parse(&message(entries));
    let update = parsed.map_err(|error| error.rcode())?;
    let bytes = update.encode().unwrap();
    assert_eq!(Update::decode(&bytes), Ok(update.clone()));
    let before = contents.clone();
    let applied = match contents.apply(&update) {
        Ok(applied) => applied,
        Err(error) => {
            assert_eq!(*contents, before, "all or nothing");
            return Err(error.rcode());
        }
    };
    let (built, _) = contents.build().unwrap();
    assert_eq!(ZoneContents::from_zone(&built), *contents);
    assert_eq!(
        (applied.from, applied.to),
        (before.serial(), contents.serial())
    );
    assert_eq!(built.serial(), applied.to);
    if applied.is_changed() {
        let mut copy = before.clone();
        copy.follow(&applied.delta()).unwrap();
        assert_eq!(copy, *contents);
        let after = Delta::apply_all(&before.to_records(), &[applied.delta()]).unwrap();
        assert_eq!(texts(&after), texts(&contents.to_records()));
    } else {
        assert_eq!(before, *contents);
    }
    assert_eq!(
        recounted(contents),
        (contents.records_count(), contents.bytes())
    );
    Ok(applied)
}

fn recounted(contents: &ZoneContents) -> (usize, usize) {
    let decoded = ZoneContents::decode(&contents.encode()).unwrap();
    assert_eq!(decoded, *contents);
    (decoded.records_count(), decoded.bytes())
}

fn texts(records: &Records) -> BTreeMap<(Vec<u8>, u16, Vec<u8>), u32> {
    let of = |record: crate::zone::Record<'_>| {
        let key = (record.owner.to_vec(), record.rtype, record.data.to_vec());
        (key, record.ttl)
    };
    records.iter().map(of).collect()
}

fn data(contents: &ZoneContents, owner: &str, rtype: &str) -> Vec<Vec<u8>> {
    let set = contents.set(&wire(owner), type_from_text(rtype).unwrap());
    set.map_or(Vec::new(), |set| set.iter().map(<[u8]>::to_vec).collect())
}

fn soa(serial: u32) -> Vec<u8> {
    let mut out = [wire("ns.example."), wire("host.example.")].concat();
    for number in [serial, 3600, 600, 86400, 60] {
        out.extend(number.to_be_bytes());
    }
    out
}

const ADDRESS: &[u8] = &[192, 0, 2, 9];

#[test]
fn records_that_come_and_go_move_the_serial_by_one() {
    let mut contents = plain();
    let applied = apply(
        &mut contents,
        &[
            (2, "new.EXAMPLE.", CLASS_IN, "A", 300, ADDRESS),
            (2, "www.example.", CLASS_NONE, "A", 0, &[192, 0, 2, 2]),
            (2, "text.example.", CLASS_ANY, "TXT", 0, &[]),
            (2, "alias.example.", CLASS_ANY, "ANY", 0, &[]),
        ],
    );
    let applied = applied.unwrap();
    assert_eq!((applied.from, applied.to), (7, 8));
    assert_eq!(applied.changes.len(), 5, "with the SOA record");
    assert_eq!(data(&contents, "new.example.", "A"), [ADDRESS]);
    assert_eq!(data(&contents, "www.example.", "A"), [[192, 0, 2, 3]]);
    assert!(data(&contents, "text.example.", "TXT").is_empty());
    assert!(data(&contents, "alias.example.", "CNAME").is_empty());
}

#[test]
fn an_update_that_in_the_end_changes_nothing_leaves_the_serial_alone() {
    let mut contents = plain();
    let cases: [&[Entry<'_>]; 4] = [
        &[],
        &[(2, "www.example.", CLASS_IN, "A", 60, &[192, 0, 2, 2])],
        &[(2, "none.example.", CLASS_ANY, "ANY", 0, &[])],
        &[
            (2, "new.example.", CLASS_IN, "A", 60, ADDRESS),
            (2, "new.example.", CLASS_ANY, "A", 0, &[]),
        ],
    ];
    for entries in cases {
        let applied = apply(&mut contents, entries).unwrap();
        assert!(!applied.is_changed());
        assert_eq!(applied.to, 7);
    }
}

#[test]
fn a_serial_that_the_update_sets_counts_if_it_is_newer_by_rfc_1982() {
    for (own, set, expected) in [
        (7, 100, 100),
        (7, 7, 8),
        (7, 6, 8),
        (u32::MAX, 5, 5),
        (u32::MAX, u32::MAX - 1, 1),
        (7, 8 + (1 << 31), 8),
    ] {
        let mut contents = zone(&format!(
            "@ 60 SOA ns host {own} 3600 600 86400 60\n@ 60 NS ns\n"
        ));
        let applied = apply(
            &mut contents,
            &[
                (2, "example.", CLASS_IN, "SOA", 60, &soa(set)),
                (2, "new.example.", CLASS_IN, "A", 60, ADDRESS),
            ],
        );
        assert_eq!(applied.unwrap().to, expected, "{own} {set}");
    }
}

#[test]
fn soa_and_the_last_name_server_of_the_apex_stay() {
    let mut contents = plain();
    let ns = wire("ns.example.");
    for entry in [
        (2, "example.", CLASS_ANY, "SOA", 0, &[][..]),
        (2, "example.", CLASS_ANY, "NS", 0, &[]),
        (2, "example.", CLASS_ANY, "ANY", 0, &[]),
        (2, "example.", CLASS_NONE, "NS", 0, &ns),
        (2, "example.", CLASS_NONE, "SOA", 0, &soa(7)),
        (2, "sub.example.", CLASS_IN, "SOA", 60, &soa(99)),
    ] {
        assert!(!apply(&mut contents, &[entry]).unwrap().is_changed());
    }
    let other = wire("ns2.example.");
    let swap = [
        (2, "example.", CLASS_IN, "NS", 60, &*other),
        (2, "example.", CLASS_NONE, "NS", 0, &*ns),
    ];
    apply(&mut contents, &swap).unwrap();
    assert_eq!(data(&contents, "example.", "NS"), [other]);
}

#[test]
fn an_alias_and_other_records_keep_out_of_each_others_way() {
    let mut contents = plain();
    let target = wire("ns.example.");
    let applied = apply(
        &mut contents,
        &[
            (2, "www.example.", CLASS_IN, "CNAME", 60, &target),
            (2, "alias.example.", CLASS_IN, "A", 60, ADDRESS),
        ],
    );
    assert!(!applied.unwrap().is_changed());
    // Another alias takes the place of the first.
    apply(
        &mut contents,
        &[(2, "alias.example.", CLASS_IN, "CNAME", 60, &target)],
    )
    .unwrap();
    assert_eq!(data(&contents, "alias.example.", "CNAME"), [target]);
}

#[test]
fn what_a_zone_must_not_become_is_refused_whole() {
    let mut contents = plain();
    let name = wire("ns.example.");
    let signature = [&[0, 1, 8, 2][..], &[0; 14], APEX, &[1]].concat();
    let large: Vec<Vec<u8>> = (0..=u8::MAX)
        .map(|index| [&[255][..], &[index; 255]].concat())
        .collect();
    let too_large: Vec<Entry<'_>> = large
        .iter()
        .map(|data| (2, "big.example.", CLASS_IN, "TXT", 60, &**data))
        .collect();
    assert_eq!(apply(&mut contents, &too_large[..240]).map(|a| a.to), Ok(8));
    for entries in [
        &too_large[..],
        &[(2, "*.example.", CLASS_IN, "NS", 60, &name)],
        &[(2, "*.example.", CLASS_IN, "DNAME", 60, &name)],
        &[
            (2, "new.example.", CLASS_IN, "A", 60, ADDRESS),
            (2, "sub.example.", CLASS_IN, "NS", 60, &name),
            (2, "sub.example.", CLASS_IN, "DNAME", 60, &name),
        ],
        &[(2, "www.example.", CLASS_IN, "RRSIG", 60, &signature)],
        &[(2, "www.example.", CLASS_IN, "NSEC", 60, &[0, 0, 1, 64])],
    ] {
        assert_eq!(apply(&mut contents, entries), Err(rcode::REFUSED));
    }
}

#[test]
fn compressed_update_that_no_command_has_room_for_is_refused() {
    let long = [
        "a".repeat(63),
        "b".repeat(63),
        "c".repeat(63),
        "example.".to_owned(),
    ]
    .join(".");
    let first: Entry<'_> = (2, &long, CLASS_IN, "A", 60, ADDRESS);
    let compressed = |count: u16| {
        let mut out = message(&[first]);
        let owner = HEADER_BYTES + APEX.len() + 4;
        let pointer = 0xc000 | u16::try_from(owner).unwrap();
        for number in 1..count {
            out.extend(pointer.to_be_bytes());
            out.extend_from_slice(&[0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0]);
            out.extend(number.to_be_bytes());
        }
        out[8..10].copy_from_slice(&count.to_be_bytes());
        out
    };
    let fits = Update::parse(&compressed(2_000)).unwrap();
    assert_eq!(Update::decode(&fits.encode().unwrap()), Ok(fits));
    let large = compressed(3_000);
    assert!(large.len() < 50_000);
    assert_eq!(Update::parse(&large), Err(UpdateError::TooLarge));
}

#[test]
fn a_record_that_comes_gives_its_ttl_to_its_set() {
    let mut contents = plain();
    let applied = apply(
        &mut contents,
        &[(2, "www.example.", CLASS_IN, "A", 5, &[192, 0, 2, 2])],
    );
    assert!(applied.unwrap().is_changed());
    let set = contents.set(&wire("www.example."), 1).unwrap();
    assert_eq!((set.ttl(), set.len()), (5, 2));
    // RFC 2181 §8.
    apply(
        &mut contents,
        &[(2, "new.example.", CLASS_IN, "A", 1 << 31, ADDRESS)],
    )
    .unwrap();
    assert_eq!(contents.set(&wire("new.example."), 1).unwrap().ttl(), 0);
}

#[test]
fn well_known_services_of_one_address_and_protocol_replace_each_other() {
    let mut contents = plain();
    let service = |protocol, bits| [192, 0, 2, 1, protocol, bits];
    for data in [service(6, 1), service(17, 1), service(6, 2)] {
        apply(
            &mut contents,
            &[(2, "ns.example.", CLASS_IN, "WKS", 60, &data)],
        )
        .unwrap();
    }
    assert_eq!(
        data(&contents, "ns.example.", "WKS"),
        [service(6, 2), service(17, 1)]
    );
}

#[test]
fn prerequisites_are_held_as_rfc_2136_says() {
    let (one, two, three) = (
        &[192, 0, 2, 2][..],
        &[192, 0, 2, 3][..],
        &[192, 0, 2, 4][..],
    );
    let in_ = CLASS_IN;
    let cases: &[(&[Entry<'_>], u16)] = &[
        (&[(1, "www.example.", CLASS_ANY, "ANY", 0, &[])], 0),
        (
            &[(1, "none.example.", CLASS_ANY, "ANY", 0, &[])],
            rcode::NXDOMAIN,
        ),
        (&[(1, "www.example.", CLASS_ANY, "A", 0, &[])], 0),
        (
            &[(1, "www.example.", CLASS_ANY, "TXT", 0, &[])],
            rcode::NXRRSET,
        ),
        (&[(1, "none.example.", CLASS_NONE, "ANY", 0, &[])], 0),
        (
            &[(1, "www.example.", CLASS_NONE, "ANY", 0, &[])],
            rcode::YXDOMAIN,
        ),
        (&[(1, "www.example.", CLASS_NONE, "TXT", 0, &[])], 0),
        (
            &[(1, "www.example.", CLASS_NONE, "A", 0, &[])],
            rcode::YXRRSET,
        ),
        (
            &[
                (1, "www.example.", in_, "A", 0, two),
                (1, "www.example.", in_, "A", 0, one),
            ],
            0,
        ),
        (&[(1, "www.example.", in_, "A", 0, one)], rcode::NXRRSET),
        (
            &[
                (1, "www.example.", in_, "A", 0, one),
                (1, "www.example.", in_, "A", 0, two),
                (1, "www.example.", in_, "A", 0, three),
            ],
            rcode::NXRRSET,
        ),
    ];
    hold(cases);
}

#[test]
fn prerequisites_that_no_message_can_have_fail() {
    let (in_, one) = (CLASS_IN, &[192, 0, 2, 2][..]);
    let cases: &[(&[Entry<'_>], u16)] = &[
        (&[(1, "www.other.", CLASS_ANY, "A", 0, &[])], rcode::NOTZONE),
        (
            &[(1, "www.example.", CLASS_ANY, "A", 1, &[])],
            rcode::FORMERR,
        ),
        (
            &[(1, "www.example.", CLASS_ANY, "A", 0, one)],
            rcode::FORMERR,
        ),
        (
            &[(1, "www.example.", CLASS_NONE, "A", 0, one)],
            rcode::FORMERR,
        ),
        (&[(1, "www.example.", in_, "ANY", 0, one)], rcode::FORMERR),
        (&[(1, "www.example.", in_, "A", 0, &[1])], rcode::FORMERR),
        (&[(1, "www.example.", 3, "A", 0, one)], rcode::FORMERR),
        (
            &[(1, "www.example.", CLASS_ANY, "AXFR", 0, &[])],
            rcode::FORMERR,
        ),
    ];
    hold(cases);
}

/// Each list of prerequisites, before a step that could be taken, and its response code.
fn hold(cases: &[(&[Entry<'_>], u16)]) {
    for (index, (prerequisites, expected)) in cases.iter().enumerate() {
        let mut contents = plain();
        let step = (2, "new.example.", CLASS_IN, "A", 60, ADDRESS);
        let entries = [prerequisites, &[step][..]].concat();
        let code = apply(&mut contents, &entries).err().unwrap_or(0);
        assert_eq!(code, *expected, "case {index}");
    }
}

#[test]
fn steps_that_say_nothing_or_lie_outside_fail_before_any_is_taken() {
    for (entry, expected) in [
        (
            (2, "www.other.", CLASS_IN, "A", 60, ADDRESS),
            rcode::NOTZONE,
        ),
        (
            (2, "www.example.", CLASS_IN, "ANY", 60, ADDRESS),
            rcode::FORMERR,
        ),
        (
            (2, "www.example.", CLASS_IN, "AXFR", 60, ADDRESS),
            rcode::FORMERR,
        ),
        (
            (2, "www.example.", CLASS_IN, "A", 60, &[1, 2]),
            rcode::FORMERR,
        ),
        ((2, "www.example.", CLASS_ANY, "A", 1, &[]), rcode::FORMERR),
        (
            (2, "www.example.", CLASS_ANY, "A", 0, ADDRESS),
            rcode::FORMERR,
        ),
        (
            (2, "www.example.", CLASS_ANY, "MAILB", 0, &[]),
            rcode::FORMERR,
        ),
        (
            (2, "www.example.", CLASS_NONE, "A", 1, ADDRESS),
            rcode::FORMERR,
        ),
        (
            (2, "www.example.", CLASS_NONE, "ANY", 0, &[]),
            rcode::FORMERR,
        ),
        ((2, "www.example.", 3, "A", 0, ADDRESS), rcode::FORMERR),
    ] {
        let good = (2, "new.example.", CLASS_IN, "A", 60, ADDRESS);
        let result = apply(&mut plain(), &[good, entry]);
        assert_eq!(result, Err(expected), "{entry:?}");
    }
}

#[test]
fn only_the_zone_itself_and_class_in_are_asked_for() {
    let good = message(&[]);
    assert_eq!(Update::read_zone(&good).unwrap().as_bytes(), APEX);
    let mut other = good.clone();
    other[14] = b'E' + 1;
    let update = Update::parse(&other).unwrap();
    assert_eq!(plain().apply(&update), Err(UpdateError::NotAuthoritative));
    let end = good.len();
    for (at, byte, expected) in [
        (2, 0xa8, rcode::FORMERR),
        (2, 0, rcode::FORMERR),
        (5, 2, rcode::FORMERR),
        (end - 3, 1, rcode::FORMERR),
        (end - 1, 3, rcode::NOTAUTH),
    ] {
        let mut bad = good.clone();
        bad[at] = byte;
        let code = Update::parse(&bad).map_err(|error| error.rcode());
        assert_eq!(code, Err(expected), "byte {at}");
    }
}

#[test]
fn a_zone_that_is_signed_elsewhere_takes_no_update() {
    let text = include_str!("../../tests/zone/data/nsec.zone");
    let mut contents = zone(text);
    assert!(contents.is_signed());
    assert_eq!(recounted(&contents).0, contents.records_count());
    let entry = (2, "new.example.", CLASS_IN, "A", 60, ADDRESS);
    assert_eq!(apply(&mut contents, &[entry]), Err(rcode::REFUSED));
    let nsec3 = zone(include_str!("../../tests/zone/data/nsec3.zone"));
    let (again, _) = nsec3.build().unwrap();
    assert_eq!(ZoneContents::from_zone(&again), nsec3);
}

#[test]
fn a_replaced_zone_has_the_new_records_and_a_newer_serial() {
    for (serial, expected) in [(9, 9), (7, 8), (3, 8)] {
        let mut contents = plain();
        let next = zone(&format!(
            "@ 60 SOA ns host {serial} 3600 600 86400 60\n@ 60 NS ns\nwww 60 A 192.0.2.2\n"
        ));
        let before = contents.to_records();
        let applied = contents.replace(&next).unwrap();
        assert_eq!((applied.from, applied.to), (7, expected));
        assert_eq!(contents.records_count(), 3);
        let after = Delta::apply_all(&before, &[applied.delta()]).unwrap();
        assert_eq!(texts(&after), texts(&contents.to_records()));
        assert_eq!(contents.serial(), expected);
        let same = contents.clone();
        assert!(!contents.replace(&same).unwrap().is_changed());
    }
}

#[test]
fn contents_written_otherwise_than_we_do_are_refused() {
    let contents = plain();
    let good = contents.encode();
    for length in 0..good.len() {
        assert!(ZoneContents::decode(&good[..length]).is_err(), "{length}");
    }
    let longer = [&good[..], &[0]].concat();
    let offset = good.len();
    assert_eq!(
        ZoneContents::decode(&longer),
        Err(CodecError::Trailing { offset })
    );
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        if let Ok(other) = ZoneContents::decode(&bad) {
            assert_eq!(other.encode(), bad, "byte {at}");
        }
    }
}

#[test]
fn no_bytes_make_the_parsers_panic_and_what_they_take_has_one_form() {
    let good = message(&[
        (1, "www.example.", CLASS_IN, "A", 0, ADDRESS),
        (1, "www.example.", CLASS_ANY, "ANY", 0, &[]),
        (2, "new.example.", CLASS_IN, "A", 60, ADDRESS),
        (2, "www.example.", CLASS_NONE, "A", 0, ADDRESS),
        (2, "text.example.", CLASS_ANY, "ANY", 0, &[]),
    ]);
    let encoded = Update::parse(&good).unwrap().encode().unwrap();
    let (snapshot, zone) = (plain().encode(), plain());
    let changed = |good: &[u8], bytes: &[u8]| -> Vec<u8> {
        let mut changed = good.to_vec();
        for (place, byte) in changed.iter_mut().rev().zip(bytes) {
            *place ^= byte;
        }
        changed
    };
    bolero::check!().for_each(|bytes: &[u8]| {
        for message in [bytes.to_vec(), changed(&good, bytes)] {
            if let Ok(update) = Update::parse(&message) {
                let _ = zone.clone().apply(&update);
                let encoded = update.encode().unwrap();
                assert_eq!(Update::decode(&encoded), Ok(update));
            }
        }
        for compact in [bytes.to_vec(), changed(&encoded, bytes)] {
            if let Ok(update) = Update::decode(&compact) {
                let _ = zone.clone().apply(&update);
                assert_eq!(update.encode().unwrap(), compact);
            }
        }
        for written in [bytes.to_vec(), changed(&snapshot, bytes)] {
            if let Ok(contents) = ZoneContents::decode(&written) {
                assert_eq!(contents.encode(), written);
            }
        }
    });
}
