//! The index alone, with records that nobody signed.

use std::sync::Arc;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::Name;
use hickory_proto::rr::RecordType::{self, A, AAAA, DS, NSEC, NSEC3, SOA, TXT};

use super::super::dnssec::{Effort, hash_nsec3};
use super::super::rrset::{Content, Rdatas, Security};
use super::*;

const NOW_MS: u64 = 1_000;

fn name(text: &str) -> WireName {
    WireName::from_name(&Name::from_ascii(text).unwrap())
}

fn set(owner: &str, rtype: RecordType, rdata: &[u8]) -> RrSet {
    RrSet {
        owner: name(owner),
        rtype,
        ttl_secs: 3_600,
        security: Security::Unchecked,
        content: Arc::new(Content {
            data: Rdatas::new([rdata]),
            signatures: Rdatas::default(),
        }),
    }
}

fn soa(zone: &str, minimum_secs: u32) -> RrSet {
    let mut rdata = vec![0, 0];
    rdata.extend([0; 16]);
    rdata.extend(minimum_secs.to_be_bytes());
    set(zone, SOA, &rdata)
}

/// An NSEC with these types below 256.
fn nsec(owner: &str, next: &WireName, types: &[RecordType]) -> RrSet {
    let mut bits = [0_u8; 32];
    for rtype in types.iter().map(|rtype| u16::from(*rtype)) {
        bits[usize::from(rtype / 8)] |= 0x80 >> (rtype % 8);
    }
    let rdata = [next.as_bytes(), &[0, 32], &bits].concat();
    set(owner, NSEC, &rdata)
}

fn index(bytes_max: usize) -> Aggressive {
    Aggressive::new(bytes_max, HashKeys(1, 2))
}

fn insert(index: &mut Aggressive, zone: &str, sets: &[RrSet]) {
    let zone = name(zone);
    let proven = Proven {
        zone: &zone,
        secs_max: 3_600,
    };
    index.insert(NOW_MS, proven, &sets.iter().collect::<Vec<_>>());
}

/// NXDOMAIN or NODATA, and for how long; `None` if nothing is known.
fn denied(
    index: &mut Aggressive,
    zone: &str,
    qname: &str,
    rtype: RecordType,
) -> Option<(ResponseCode, u32)> {
    match index.look(NOW_MS, &name(zone), &name(qname), rtype) {
        Look::Denied {
            rcode, ttl_secs, ..
        } => Some((rcode, ttl_secs)),
        _ => None,
    }
}

#[test]
fn a_chain_of_one_denies_all_other_names_of_its_zone() {
    let mut index = index(1 << 20);
    insert(
        &mut index,
        "a.",
        &[soa("a.", 60), nsec("a.", &name("a."), &[SOA, NSEC])],
    );
    let known = denied(&mut index, "a.", "x.a.", A);
    assert_eq!(
        known,
        Some((ResponseCode::NXDomain, 60)),
        "RFC 9077: not 3600"
    );
    assert_eq!(
        denied(&mut index, "a.", "a.", A).map(|(rcode, _)| rcode),
        Some(ResponseCode::NoError)
    );
    assert_eq!(denied(&mut index, "a.", "a.", SOA), None, "it exists");
}

#[test]
fn without_soa_nothing_is_denied() {
    let mut index = index(1 << 20);
    insert(&mut index, "a.", &[nsec("a.", &name("a."), &[SOA, NSEC])]);
    assert_eq!(denied(&mut index, "a.", "x.a.", A), None);
}

#[test]
fn records_that_cover_next_to_nothing_deny_types_and_no_other_name() {
    let mut index = index(1 << 20);
    // RFC 9824: the next name is the first that is possible below.
    let next = WireName::parse(b"\x01\0\x01x\x01a\0").unwrap();
    insert(
        &mut index,
        "a.",
        &[soa("a.", 60), nsec("x.a.", &next, &[NSEC, TXT])],
    );
    assert_eq!(
        denied(&mut index, "a.", "x.a.", AAAA).map(|(rcode, _)| rcode),
        Some(ResponseCode::NoError)
    );
    assert_eq!(denied(&mut index, "a.", "x.a.", TXT), None);
    for qname in ["w.a.", "y.a.", "b.x.a."] {
        assert_eq!(denied(&mut index, "a.", qname, A), None, "{qname}");
    }
}

#[test]
fn newer_records_replace_those_that_they_contradict() {
    let mut index = index(1 << 20);
    let apex = nsec("a.", &name("m.a."), &[SOA, NSEC]);
    let middle = nsec("m.a.", &name("a."), &[A, NSEC]);
    insert(&mut index, "a.", &[soa("a.", 60), apex, middle]);
    assert!(denied(&mut index, "a.", "f.a.", A).is_some());
    // A name has come between.
    insert(&mut index, "a.", &[nsec("g.a.", &name("m.a."), &[A, NSEC])]);
    assert_eq!(denied(&mut index, "a.", "f.a.", A), None);
    // And one has gone.
    insert(&mut index, "a.", &[nsec("a.", &name("a."), &[SOA, NSEC])]);
    assert!(
        denied(&mut index, "a.", "m.a.", A)
            .is_some_and(|(rcode, _)| rcode == ResponseCode::NXDomain)
    );
    // What was seen to exist is not denied any more.
    index.note_exists(&name("a."), &name("f.a."));
    assert_eq!(denied(&mut index, "a.", "f.a.", AAAA), None);
}

#[test]
fn a_record_that_leads_out_of_its_zone_is_not_kept() {
    let mut index = index(1 << 20);
    insert(
        &mut index,
        "b.a.",
        &[soa("b.a.", 60), nsec("b.a.", &name("z."), &[SOA, NSEC])],
    );
    assert_eq!(denied(&mut index, "b.a.", "x.b.a.", A), None);
}

/// The whole ring of NSEC3 records of a zone with these names and types.
fn ring(zone: &str, names: &[(&str, &[RecordType])], flags: u8, iterations: u8) -> Vec<RrSet> {
    let salt = [7];
    let mut hashed: Vec<_> = names
        .iter()
        .map(|(owner, types)| {
            let owner = name(owner);
            let mut effort = Effort::new(0, 0, 1);
            let hash = hash_nsec3(owner.as_bytes(), &salt, iterations.into(), &mut effort);
            (hash.unwrap(), *types)
        })
        .collect();
    hashed.sort_unstable_by_key(|(hash, _)| *hash);
    let next = hashed.iter().cycle().skip(1);
    let records = hashed.iter().zip(next).map(|((hash, types), (next, _))| {
        let digits = hash
            .iter()
            .fold(String::new(), |bits, byte| bits + &format!("{byte:08b}"));
        let label: String = digits
            .as_bytes()
            .chunks(5)
            .map(|five| {
                let value = five
                    .iter()
                    .fold(0, |value, bit| value * 2 + usize::from(bit - b'0'));
                char::from(b"0123456789abcdefghijklmnopqrstuv"[value])
            })
            .collect();
        let mut rdata = vec![1, flags, 0, iterations, 1, salt[0], 20];
        rdata.extend(next);
        rdata.extend([0, 32]);
        let mut bits = [0_u8; 32];
        for rtype in types.iter().map(|rtype| u16::from(*rtype)) {
            bits[usize::from(rtype / 8)] |= 0x80 >> (rtype % 8);
        }
        rdata.extend(bits);
        set(&format!("{label}.{zone}"), NSEC3, &rdata)
    });
    records.collect()
}

const NAMES: [(&str, &[RecordType]); 4] = [
    ("a.", &[SOA, RecordType::NS]),
    ("sub.a.", &[RecordType::NS]),
    ("old.a.", &[RecordType::DNAME]),
    ("www.a.", &[A]),
];

#[test]
fn hashed_denials_deny_names_and_types_but_nothing_below_cuts_and_dnames() {
    let mut index = index(1 << 20);
    insert(&mut index, "a.", &[soa("a.", 60)]);
    insert(&mut index, "a.", &ring("a.", &NAMES, 0, 1));
    let mut rcode = |qname, rtype| denied(&mut index, "a.", qname, rtype).map(|(rcode, _)| rcode);
    for qname in ["x.a.", "x.y.z.a.", "x.www.a."] {
        assert_eq!(rcode(qname, A), Some(ResponseCode::NXDomain), "{qname}");
    }
    assert_eq!(rcode("www.a.", TXT), Some(ResponseCode::NoError));
    assert_eq!(rcode("sub.a.", DS), Some(ResponseCode::NoError));
    for (qname, rtype) in [
        ("www.a.", A),
        ("sub.a.", A),
        ("x.sub.a.", A),
        ("x.y.sub.a.", A),
        ("x.old.a.", A),
    ] {
        assert_eq!(rcode(qname, rtype), None, "{qname} {rtype}");
    }
}

#[test]
fn hashed_denials_with_opt_out_or_too_many_iterations_are_not_kept() {
    for (flags, iterations, kept) in [(0, 150, 4), (0, 151, 0), (1, 1, 0)] {
        let mut index = index(1 << 20);
        insert(&mut index, "a.", &[soa("a.", 60)]);
        insert(&mut index, "a.", &ring("a.", &NAMES, flags, iterations));
        assert_eq!(index.insertions(), kept, "{flags} {iterations}");
    }
}

#[test]
fn denials_of_another_salt_or_kind_take_the_place_of_all_before() {
    let mut index = index(1 << 20);
    insert(&mut index, "a.", &[soa("a.", 60)]);
    insert(&mut index, "a.", &ring("a.", &NAMES, 0, 1));
    insert(&mut index, "a.", &ring("a.", &NAMES[..1], 0, 2));
    assert!(
        denied(&mut index, "a.", "www.a.", A).is_some(),
        "it has gone"
    );
    insert(&mut index, "a.", &[nsec("a.", &name("b.a."), &[SOA, NSEC])]);
    assert_eq!(
        denied(&mut index, "a.", "www.a.", A),
        None,
        "nothing is known of it"
    );
    assert!(denied(&mut index, "a.", "aa.a.", A).is_some());
}

#[test]
fn memory_is_bounded_for_one_zone_and_for_all() {
    const BYTES_MAX: usize = 200_000;
    let mut index = index(BYTES_MAX);
    let useful = nsec("a.", &name("b.a."), &[SOA, NSEC]);
    insert(&mut index, "a.", &[soa("a.", 60), useful]);
    for number in 0..5_000 {
        let owner = format!("x{number:05}.a.");
        let next = name(&format!("x{number:05}0.a."));
        insert(&mut index, "a.", &[nsec(&owner, &next, &[A, NSEC])]);
        assert!(
            denied(&mut index, "a.", "aa.a.", A).is_some(),
            "what is in use stays"
        );
    }
    assert!(index.evictions() > 1_000);
    assert!(index.bytes() <= BYTES_MAX / 4, "{}", index.bytes());
    for number in 0..2_000 {
        let zone = format!("z{number}.");
        insert(
            &mut index,
            &zone,
            &[soa(&zone, 60), nsec(&zone, &name(&zone), &[SOA, NSEC])],
        );
        assert!(index.bytes() <= BYTES_MAX);
        assert!(
            index.closest(&name("a.")).is_none() || denied(&mut index, "a.", "aa.a.", A).is_some()
        );
    }
    assert!(index.zones() > 10);
    index.flush(&WireName::root(), true);
    assert_eq!((index.zones(), index.bytes()), (0, 0));
}

#[test]
fn bytes_are_given_back_to_the_last_one() {
    let mut index = index(1 << 20);
    for number in 0..50 {
        let owner = format!("x{number}.a.");
        let next = name(&format!("x{number}0.a."));
        insert(
            &mut index,
            "a.",
            &[soa("a.", 60), nsec(&owner, &next, &[A, NSEC])],
        );
    }
    let empty = ZONE_AND_SOA_BYTES;
    assert!(index.bytes() > empty);
    index.flush(&name("a."), false);
    for number in 0..50 {
        index.flush(&name(&format!("x{number}.a.")), false);
    }
    assert_eq!(index.bytes(), empty);
    index.sweep(NOW_MS + 4_000_000);
    assert_eq!((index.zones(), index.bytes()), (0, 0));
}

/// What a zone named `a.` weighs without records.
const ZONE_AND_SOA_BYTES: usize = 1024 + 3;

#[test]
fn any_sequence_of_records_keeps_the_index_consistent() {
    bolero::check!()
        .with_type::<Vec<(u8, u8, bool, u8)>>()
        .for_each(|steps| {
            let mut index = index(20_000);
            let label = |number: u8| format!("n{:03}.a.", number % 64);
            for (first, next, delete, rtype) in steps.iter().take(64) {
                let rtype = RecordType::from(u16::from(*rtype));
                if *delete {
                    index.flush(&name(&label(*first)), first % 2 == 0);
                } else {
                    let record = nsec(&label(*first), &name(&label(*next)), &[rtype]);
                    insert(&mut index, "a.", &[soa("a.", 60), record]);
                    assert_eq!(
                        denied(&mut index, "a.", &label(*first), rtype),
                        None,
                        "the last that was said holds"
                    );
                }
                assert!(index.bytes() <= 20_000);
            }
            index.flush(&WireName::root(), true);
            assert_eq!(index.bytes(), 0);
        });
}
