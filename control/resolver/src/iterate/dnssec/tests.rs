//! Zones that dnssec-signzone has signed: what exists verifies, what does not is denied, and
//! nothing that exists can be denied with any of their records.

use std::collections::BTreeSet;
use std::sync::Arc;

use hickory_proto::rr::{Name, RecordType};

use super::signature::Verified;
use super::*;
use crate::iterate::group::{Item, group};
use crate::iterate::name::WireName;
use crate::iterate::rrset::{Content, Rdatas, RrSet, Security};

const NSEC: &str = include_str!("../../../tests/zone/data/nsec.zone");
const NSEC3: &str = include_str!("../../../tests/zone/data/nsec3.zone");
const OPTOUT: &str = include_str!("../../../tests/zone/data/optout.zone");
const ALL: [&str; 3] = [NSEC, NSEC3, OPTOUT];
/// Within the period of their signatures: 2024-01-01 to 2037-12-31.
const NOW: u32 = 1_800_000_000;
const EXPIRATION: u32 = 2_145_830_400;
const INCEPTION: u32 = 1_704_067_200;

fn name(text: &str) -> WireName {
    WireName::from_name(&Name::from_ascii(text).unwrap())
}

fn effort() -> Effort {
    Effort::new(1000, 1000, 1000)
}

struct Signed {
    apex: WireName,
    sets: Vec<RrSet>,
    keys: Vec<Key>,
}

impl Signed {
    fn read(text: &str) -> Self {
        let apex = name("example.");
        let mut loader = |_: &str, _: &str| Err(String::new());
        let file = text.as_bytes();
        let records = crate::zone::read_zone_file(file, "f", apex.as_bytes(), &mut loader).unwrap();
        let items = records.iter().map(|record| Item {
            owner: WireName::parse(record.owner).unwrap(),
            rtype: RecordType::from(record.rtype),
            ttl_secs: record.ttl,
            rdata: record.data.into(),
        });
        let sets = group(items.collect(), false, 512).unwrap();
        let is_apex_keys = |set: &&RrSet| set.rtype == RecordType::DNSKEY;
        let keys = parse_all(sets.iter().find(is_apex_keys).unwrap(), Key::parse);
        Self { apex, sets, keys }
    }

    fn set(&self, owner: &str, rtype: RecordType) -> &RrSet {
        let owner = name(owner);
        let mut sets = self.sets.iter();
        sets.find(|set| set.owner == owner && set.rtype == rtype)
            .unwrap()
    }

    fn verify(&self, set: &RrSet, now: u32) -> Result<Verified, Fault> {
        verify(set, &self.apex, &self.keys, now, &mut effort())
    }

    fn delegations(&self) -> impl Iterator<Item = &WireName> {
        let cuts = self
            .sets
            .iter()
            .filter(|set| set.rtype == RecordType::NS && set.owner != self.apex);
        cuts.map(|set| &set.owner)
    }

    /// Below a delegation: another zone's.
    fn is_foreign(&self, owner: &WireName) -> bool {
        self.delegations().any(|cut| owner.is_below(cut))
    }

    /// Owners of data, and names that exist because of them.
    fn existing(&self) -> BTreeSet<WireName> {
        let is_data = |set: &&RrSet| set.rtype != RecordType::NSEC3 && !self.is_foreign(&set.owner);
        let mut names = BTreeSet::new();
        for set in self.sets.iter().filter(is_data) {
            let within = set.owner.suffixes().filter_map(WireName::parse);
            names.extend(within.filter(|name| name.is_within(&self.apex)));
        }
        names
    }

    fn types_at(&self, owner: &WireName) -> Vec<RecordType> {
        let own = self.sets.iter().filter(|set| set.owner == *owner);
        own.map(|set| set.rtype).collect()
    }

    /// Every NSEC or NSEC3 record of the zone: more than any answer has.
    fn denials(&self) -> SignedDenials<'_> {
        let is_denial = |set: &&RrSet| matches!(set.rtype, RecordType::NSEC | RecordType::NSEC3);
        let sets: Vec<&RrSet> = self.sets.iter().filter(is_denial).collect();
        SignedDenials::new(&self.apex, &sets)
    }

    fn prove(&self, denial: Denial<'_>) -> Result<Proof, Fault> {
        self.denials().prove(denial, &mut effort())
    }
}

fn with_content(set: &RrSet, data: Vec<Vec<u8>>, signatures: Vec<Vec<u8>>) -> RrSet {
    let content = Content {
        data: Rdatas::new(data.iter().map(Vec::as_slice)),
        signatures: Rdatas::new(signatures.iter().map(Vec::as_slice)),
    };
    RrSet {
        content: Arc::new(content),
        ..set.clone()
    }
}

fn parts(set: &RrSet) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let copy = |rdatas: &Rdatas| rdatas.iter().map(<[u8]>::to_vec).collect();
    (copy(&set.content.data), copy(&set.content.signatures))
}

#[test]
fn every_signed_set_of_a_zone_verifies_and_only_cuts_and_glue_are_unsigned() {
    for text in ALL {
        let zone = Signed::read(text);
        let mut verified = 0;
        for set in &zone.sets {
            let unsigned = zone.is_foreign(&set.owner)
                || zone.delegations().any(|cut| *cut == set.owner) && !is_of_parent(set.rtype);
            match zone.verify(set, NOW) {
                Ok(of) => {
                    assert_eq!(of.wildcard, None, "{}", set.owner);
                    assert_eq!(of.ttl_max_secs, set.ttl_secs);
                    verified += 1;
                }
                Err(fault) => assert!(unsigned && fault == Fault::Unsigned, "{}", set.owner),
            }
        }
        assert!(verified > 100);
    }
}

/// What the parent signs at a cut.
fn is_of_parent(rtype: RecordType) -> bool {
    matches!(rtype, RecordType::DS | RecordType::NSEC)
}

#[test]
fn any_changed_byte_breaks_the_signature() {
    let zone = Signed::read(NSEC);
    let set = zone.set("mx-two.example.", RecordType::MX);
    assert!(zone.verify(set, NOW).is_ok());
    let (data, signatures) = parts(set);
    for at in 0..data[1].len() {
        let mut changed = data.clone();
        changed[1][at] ^= 1;
        let result = zone.verify(&with_content(set, changed, signatures.clone()), NOW);
        assert_eq!(result, Err(Fault::Forged), "data byte {at}");
    }
    // The covered type is what joins them, and not looked at again.
    for at in 2..signatures[0].len() {
        let mut changed = signatures.clone();
        changed[0][at] ^= 1;
        let result = zone.verify(&with_content(set, data.clone(), changed), NOW);
        assert!(result.is_err(), "signature byte {at}");
    }
    let fewer = with_content(set, data[..1].to_vec(), signatures.clone());
    assert_eq!(zone.verify(&fewer, NOW), Err(Fault::Forged));
    let other_owner = RrSet {
        owner: name("mx-tvo.example."),
        ..set.clone()
    };
    assert_eq!(zone.verify(&other_owner, NOW), Err(Fault::Forged));
}

#[test]
fn order_case_and_duplicates_of_data_do_not_matter() {
    let zone = Signed::read(NSEC);
    let set = zone.set("mx-two.example.", RecordType::MX);
    let (mut data, signatures) = parts(set);
    data.reverse();
    data.push(data[0].to_ascii_uppercase());
    data[1].make_ascii_uppercase();
    assert!(
        zone.verify(&with_content(set, data, signatures), NOW)
            .is_ok()
    );
}

#[test]
fn signature_holds_from_inception_to_expiration_and_ends_the_ttl() {
    let zone = Signed::read(NSEC);
    let set = zone.set("www.example.", RecordType::A);
    assert_eq!(zone.verify(set, INCEPTION - 1), Err(Fault::NotYet));
    assert!(zone.verify(set, INCEPTION).is_ok());
    let last = zone.verify(set, EXPIRATION - 10).unwrap();
    assert_eq!(last.ttl_max_secs, 10);
    assert!(zone.verify(set, EXPIRATION).is_ok());
    assert_eq!(zone.verify(set, EXPIRATION + 1), Err(Fault::Expired));
}

#[test]
fn keys_and_signers_of_other_zones_are_of_no_use() {
    let zone = Signed::read(NSEC);
    let set = zone.set("www.example.", RecordType::A);
    let below = name("www.example.");
    let result = verify(set, &below, &zone.keys, NOW, &mut effort());
    assert_eq!(result, Err(Fault::Signer));
    assert_eq!(signers(set), std::slice::from_ref(&zone.apex));
    let ksk_only = &zone.keys[1..];
    let result = verify(set, &zone.apex, ksk_only, NOW, &mut effort());
    assert_eq!(result, Err(Fault::NoKey));
    let result = verify(set, &zone.apex, &zone.keys, NOW, &mut Effort::new(0, 0, 0));
    assert_eq!(result, Err(Fault::Effort));
}

/// `set` with so many signatures that do not hold before its own.
fn behind_bad_signatures(set: &RrSet, bad: usize) -> RrSet {
    let (data, signatures) = parts(set);
    let mut broken = signatures[0].clone();
    *broken.last_mut().unwrap() ^= 1;
    let mut all = vec![broken; bad];
    all.extend(signatures);
    with_content(set, data, all)
}

#[test]
fn checks_that_fail_have_a_bound_of_their_own_after_which_nothing_is_checked() {
    let zone = Signed::read(NSEC);
    let set = zone.set("www.example.", RecordType::A);
    let mut effort = Effort::new(1000, 5, 0);
    let mut verify = |bad| {
        let set = behind_bad_signatures(set, bad);
        super::verify(&set, &zone.apex, &zone.keys, NOW, &mut effort).map(drop)
    };
    for _ in 0..20 {
        assert_eq!(verify(0), Ok(()), "checks that hold are not counted");
    }
    assert_eq!(verify(4), Ok(()));
    assert_eq!(verify(4), Err(Fault::Effort));
    assert_eq!(verify(0), Err(Fault::Effort));
}

#[test]
fn signatures_of_unknown_algorithms_cost_nothing() {
    let zone = Signed::read(NSEC);
    let set = zone.set("www.example.", RecordType::A);
    let (data, mut signatures) = parts(set);
    let mut rdata = zone.keys[0].rdata().to_vec();
    rdata[3] = 16; // Ed448.
    let unknown = Key::parse(&rdata).unwrap();
    let mut signature = signatures[0].clone();
    signature[2] = 16;
    signature[16..18].copy_from_slice(&unknown.tag_and_algorithm().0.to_be_bytes());
    signatures.insert(0, signature);
    let set = with_content(set, data, signatures);
    let keys = [&[unknown][..], &zone.keys].concat();
    let result = verify(&set, &zone.apex, &keys, NOW, &mut Effort::new(1, 1, 0));
    assert!(result.is_ok(), "{result:?}");
}

#[test]
fn wildcard_answers_verify_and_say_that_they_are_such() {
    for text in ALL {
        let zone = Signed::read(text);
        let wildcard = zone.set("*.wild.example.", RecordType::A);
        let expanded = |owner: &str| RrSet {
            owner: name(owner),
            ..wildcard.clone()
        };
        assert_eq!(zone.verify(wildcard, NOW).unwrap().wildcard, None);
        for owner in [
            "nothing.wild.example.",
            "a.b.wild.example.",
            "*.b.wild.example.",
        ] {
            let verified = zone.verify(&expanded(owner), NOW).unwrap();
            assert_eq!(verified.wildcard, Some(2), "{owner}");
            let closer = zone.prove(Denial::Closer(&name(owner), 2));
            assert!(closer.is_ok(), "{owner} {closer:?}");
        }
        // Names that exist, or lie below one that does, are not made by the wildcard.
        for owner in [
            "host.wild.example.",
            "x.host.wild.example.",
            "ent.wild.example.",
        ] {
            assert!(zone.verify(&expanded(owner), NOW).is_ok());
            let closer = zone.prove(Denial::Closer(&name(owner), 2));
            assert_eq!(closer, Err(Fault::Unproven), "{owner}");
        }
    }
}

const ABSENT: [&str; 9] = [
    "nowhere.example.",
    "a.b.c.example.",
    "zzz.example.",
    "x.www.example.",
    "x.gap.between.example.",
    "do.t.example.",
    "*.example.",
    "0.example.",
    "aliasa.example.",
];

#[test]
fn names_that_do_not_exist_are_denied() {
    for (text, expected) in [(NSEC, Proof::Secure), (NSEC3, Proof::Secure)] {
        let zone = Signed::read(text);
        for absent in ABSENT {
            let absent = name(absent);
            assert_eq!(zone.prove(Denial::Name(&absent)), Ok(expected), "{absent}");
        }
    }
    let zone = Signed::read(OPTOUT);
    for absent in ABSENT {
        let absent = name(absent);
        assert!(zone.prove(Denial::Name(&absent)).is_ok(), "{absent}");
    }
}

#[test]
fn nothing_that_exists_or_that_a_wildcard_makes_can_be_denied() {
    for text in ALL {
        let zone = Signed::read(text);
        let existing = zone.existing();
        assert!(existing.len() > 60);
        for owner in &existing {
            // Opt-out leaves unsigned delegations open, and what exists for them alone.
            let is_cut = zone.delegations().any(|cut| cut == owner);
            let open = text == OPTOUT && (is_cut || zone.types_at(owner).is_empty());
            let result = zone.prove(Denial::Name(owner));
            assert!(
                result == Err(Fault::Unproven) || (open && result == Ok(Proof::Insecure)),
                "{owner} {result:?}"
            );
        }
        for made in ["x.wild.example.", "x.y.wild-mx.example."] {
            let made = name(made);
            assert_eq!(
                zone.prove(Denial::Name(&made)),
                Err(Fault::Unproven),
                "{made}"
            );
        }
        // Another zone's names, and what a DNAME redirects.
        for hidden in ["x.signed.example.", "x.old.example.", "ns.signed.example."] {
            let hidden = name(hidden);
            assert_eq!(
                zone.prove(Denial::Name(&hidden)),
                Err(Fault::Unproven),
                "{hidden}"
            );
        }
    }
}

#[test]
fn absent_types_are_denied_and_present_ones_are_not() {
    for text in ALL {
        let zone = Signed::read(text);
        for set in &zone.sets {
            let is_cut = zone.delegations().any(|cut| *cut == set.owner);
            if set.rtype == RecordType::NSEC3 || is_cut || zone.is_foreign(&set.owner) {
                continue;
            }
            let present = zone.prove(Denial::Type(&set.owner, set.rtype));
            assert_eq!(present, Err(Fault::Unproven), "{} {}", set.owner, set.rtype);
            let absent = zone.prove(Denial::Type(&set.owner, RecordType::SSHFP));
            let has_alias = zone.types_at(&set.owner).contains(&RecordType::CNAME);
            let expected = if has_alias {
                Err(Fault::Unproven)
            } else {
                Ok(Proof::Secure)
            };
            assert_eq!(absent, expected, "{} SSHFP", set.owner);
        }
        for (owner, rtype) in [
            ("between.example.", RecordType::A),
            ("gap.between.example.", RecordType::A),
            ("x.wild.example.", RecordType::AAAA),
            ("unsigned.example.", RecordType::DS),
        ] {
            let owner = name(owner);
            let result = zone.prove(Denial::Type(&owner, rtype));
            assert!(result.is_ok(), "{owner} {rtype} {result:?}");
        }
        // The parent's record at a cut says nothing of the child's types.
        let cut = name("signed.example.");
        let result = zone.prove(Denial::Type(&cut, RecordType::A));
        assert_eq!(result, Err(Fault::Unproven));
        let wild = name("x.wild.example.");
        let result = zone.prove(Denial::Type(&wild, RecordType::TXT));
        assert_eq!(result, Err(Fault::Unproven));
    }
}

#[test]
fn cuts_are_told_from_names_without_one() {
    for text in ALL {
        let zone = Signed::read(text);
        let cut = |owner: &str| zone.denials().cut(&name(owner), &mut effort());
        assert_eq!(cut("unsigned.example."), Ok(Cut::Unsigned));
        assert_eq!(cut("delegated.under.ent.example."), Ok(Cut::Unsigned));
        assert_eq!(cut("signed.example."), Err(Fault::Unproven), "it has DS");
        assert_eq!(cut("example."), Err(Fault::Unproven), "the child's side");
        assert_eq!(cut("www.example."), Ok(Cut::None));
        assert_eq!(cut("between.example."), Ok(Cut::None));
        let expected = if text == OPTOUT {
            Cut::Unsigned
        } else {
            Cut::None
        };
        let absent = cut("nowhere.example.").unwrap();
        assert!(absent == expected || absent == Cut::None, "{absent:?}");
    }
}

#[test]
fn too_many_iterations_prove_nothing_and_cost_nothing() {
    let zone = Signed::read(NSEC3);
    let costly: Vec<RrSet> = zone
        .sets
        .iter()
        .filter(|set| set.rtype == RecordType::NSEC3)
        .map(|set| {
            let (mut data, signatures) = parts(set);
            data[0][2..4].copy_from_slice(&151_u16.to_be_bytes());
            with_content(set, data, signatures)
        })
        .collect();
    let denials = SignedDenials::new(&zone.apex, &costly.iter().collect::<Vec<_>>());
    let absent = name("nowhere.example.");
    let result = denials.prove(Denial::Name(&absent), &mut Effort::new(0, 0, 0));
    assert_eq!(result, Ok(Proof::Insecure), "RFC 9276 §3.2");
    let cut = denials.cut(&absent, &mut Effort::new(0, 0, 0));
    assert_eq!(cut, Ok(Cut::TooCostly));
}

#[test]
fn proofs_cost_hashes_and_end_when_none_are_left() {
    let zone = Signed::read(NSEC3);
    let deep = name(&format!("{}example.", "a.".repeat(60)));
    let result = zone
        .denials()
        .prove(Denial::Name(&deep), &mut Effort::new(0, 0, 20));
    assert_eq!(result, Err(Fault::Effort));
    assert_eq!(zone.prove(Denial::Name(&deep)), Ok(Proof::Secure));
}

#[test]
fn records_of_any_content_neither_panic_nor_verify() {
    let zone = Signed::read(NSEC3);
    bolero::check!()
        .with_type::<(Vec<u8>, Vec<u8>, bool)>()
        .with_iterations(3_000)
        .for_each(|(data, signature, is_nsec3)| {
            let (owner, rtype) = if *is_nsec3 {
                (
                    "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom.example.",
                    RecordType::NSEC3,
                )
            } else {
                ("b.example.", RecordType::NSEC)
            };
            let set = RrSet {
                owner: name(owner),
                rtype,
                ttl_secs: 60,
                security: Security::Unchecked,
                content: Arc::new(Content {
                    data: Rdatas::new([data.as_slice()]),
                    signatures: Rdatas::new([signature.as_slice()]),
                }),
            };
            assert!(zone.verify(&set, NOW).is_err());
            let denials = SignedDenials::new(&zone.apex, std::slice::from_ref(&&set));
            let absent = name("c.d.example.");
            for denial in [
                Denial::Name(&absent),
                Denial::Type(&absent, RecordType::A),
                Denial::Closer(&absent, 1),
            ] {
                let _ = denials.prove(denial, &mut effort());
            }
            let _ = denials.cut(&absent, &mut effort());
        });
}
