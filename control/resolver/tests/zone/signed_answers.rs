//! Answers of pre-signed zones: signatures and proofs of absence with NSEC and NSEC3, opt-out included.

use resolver::zone::Zone;

use crate::support::{NSEC, NSEC3, OPTOUT, Reply, ask, ask_signed, read};

/// Owners and types of a section without signatures.
fn sets(section: &[String]) -> Vec<String> {
    let words = |line: &String| {
        line.splitn(4, ' ')
            .map(str::to_owned)
            .collect::<Vec<String>>()
    };
    let mut sets: Vec<String> = section
        .iter()
        .map(words)
        .filter(|words| words[2] != "RRSIG")
        .map(|words| format!("{} {}", words[0], words[2]))
        .collect();
    sets.dedup();
    sets
}

/// Every set of answer and authority has a signature, but for NS of a delegation and synthesized CNAME.
fn assert_signed(reply: &Reply) {
    for section in [&reply.answer, &reply.authority] {
        for set in sets(section) {
            let (owner, rtype) = set.split_once(' ').expect("two words");
            let signature = format!(" RRSIG {rtype} ");
            let covered = section
                .iter()
                .any(|line| line.starts_with(&format!("{owner} ")) && line.contains(&signature));
            let cut = rtype == "NS" && reply.answer.is_empty();
            assert!(covered || cut, "{set} has no signature in {section:?}");
        }
    }
}

fn signed(zone: &Zone, name: &str, qtype: &str) -> Reply {
    let reply = ask_signed(zone, name, qtype);
    assert_signed(&reply);
    reply
}

/// The hashes (first labels) of NSEC3 records in the authority section.
fn nsec3_count(reply: &Reply) -> usize {
    sets(&reply.authority)
        .iter()
        .filter(|set| set.ends_with(" NSEC3"))
        .count()
}

#[test]
fn signatures_and_proofs_come_only_with_do() {
    for text in [NSEC, NSEC3, OPTOUT] {
        let zone = read(text);
        assert!(zone.is_signed());
        for (name, qtype) in [
            ("www.example.", "A"),
            ("nowhere.example.", "A"),
            ("www.example.", "TXT"),
            ("x.signed.example.", "A"),
            ("x.wild.example.", "A"),
            ("alias.example.", "A"),
        ] {
            let reply = ask(&zone, name, qtype);
            for line in reply
                .answer
                .iter()
                .chain(&reply.authority)
                .chain(&reply.additional)
            {
                let rtype = line.split(' ').nth(2).expect("a type");
                assert!(!["RRSIG", "NSEC", "NSEC3", "DS"].contains(&rtype), "{line}");
            }
        }
    }
}

#[test]
fn answer_has_signatures_over_each_set() {
    let reply = signed(&read(NSEC), "alias.example.", "A");
    assert_eq!(
        sets(&reply.answer),
        ["alias.example. CNAME", "www.example. A"]
    );
    assert_eq!(reply.answer.len(), 5);
    assert!(reply.authority.is_empty());
}

#[test]
fn additional_addresses_have_signatures_and_glue_has_none() {
    let zone = read(NSEC);
    let signed = ask_signed(&zone, "example.", "NS");
    assert_eq!(
        signed
            .additional
            .iter()
            .filter(|line| line.contains(" RRSIG "))
            .count(),
        2
    );
    let glue = ask_signed(&zone, "x.signed.example.", "A");
    assert_eq!(glue.additional.len(), 2);
    assert!(!glue.additional.iter().any(|line| line.contains(" RRSIG ")));
}

#[test]
fn signatures_asked_for_are_all_given() {
    let reply = ask(&read(NSEC), "www.example.", "RRSIG");
    assert_eq!(reply.answer.len(), 3, "A, AAAA, NSEC: {:?}", reply.answer);
    assert!(reply.answer.iter().all(|line| line.contains(" RRSIG ")));
    let absent = ask(&read(crate::support::PLAIN), "www.example.", "RRSIG");
    assert_eq!(
        (absent.rcode, absent.answer.len(), absent.authority.len()),
        (0, 0, 1)
    );
}

#[test]
fn nsec_of_a_name_can_be_asked_for() {
    let reply = ask(&read(NSEC), "www.example.", "NSEC");
    assert_eq!(
        reply.answer,
        ["www.example. 300 NSEC example. A AAAA RRSIG NSEC"]
    );
}

#[test]
fn signature_of_the_negative_soa_has_its_ttl() {
    let reply = ask_signed(&read(NSEC), "nowhere.example.", "A");
    let soa: Vec<&String> = reply
        .authority
        .iter()
        .filter(|line| line.contains(" SOA "))
        .collect();
    assert_eq!(soa.len(), 2);
    assert!(
        soa.iter().all(|line| line.starts_with("example. 300 ")),
        "{soa:?}"
    );
}

#[test]
fn nsec_name_error_covers_the_name_and_the_wildcard() {
    let reply = signed(&read(NSEC), "nowhere.example.", "A");
    assert_eq!(reply.rcode, 3);
    // The name falls after www.new, the wildcard `*` after the apex (and `\000zero`).
    assert_eq!(
        sets(&reply.authority),
        [
            "\\000zero.example. NSEC",
            "example. SOA",
            "www.new.example. NSEC"
        ]
    );
}

#[test]
fn nsec_name_error_with_one_record_for_both_has_it_once() {
    let reply = signed(&read(NSEC), "!.example.", "A");
    assert_eq!(reply.rcode, 3);
    assert_eq!(
        sets(&reply.authority),
        ["\\000zero.example. NSEC", "example. SOA"]
    );
}

#[test]
fn nsec_name_error_below_a_name_covers_the_wildcard_there() {
    let reply = signed(&read(NSEC), "x.host.wild.example.", "A");
    assert_eq!(reply.rcode, 3);
    assert_eq!(
        sets(&reply.authority),
        ["example. SOA", "host.wild.example. NSEC"]
    );
}

#[test]
fn nsec_no_data_matches_the_name() {
    let reply = signed(&read(NSEC), "www.example.", "TXT");
    assert_eq!(
        sets(&reply.authority),
        ["example. SOA", "www.example. NSEC"]
    );
}

#[test]
fn nsec_no_data_of_an_empty_non_terminal_spans_it() {
    let reply = signed(&read(NSEC), "deep.example.", "A");
    assert_eq!(reply.rcode, 0);
    let spans = reply
        .authority
        .iter()
        .any(|line| line.contains(" NSEC mail.deep.example. "));
    assert!(spans, "{:?}", reply.authority);
}

#[test]
fn nsec_wildcard_answer_proves_that_the_name_is_absent() {
    let reply = signed(&read(NSEC), "x.wild.example.", "A");
    assert_eq!(sets(&reply.answer), ["x.wild.example. A"]);
    assert_eq!(sets(&reply.authority), ["host.wild.example. NSEC"]);
    let labels = reply
        .answer
        .iter()
        .find(|line| line.contains(" RRSIG A "))
        .expect("a signature");
    assert_eq!(
        labels.split(' ').nth(5),
        Some("2"),
        "the label count tells the wildcard (RFC 4034 §3.1.3)"
    );
}

#[test]
fn nsec_wildcard_no_data_proves_name_and_type() {
    let reply = signed(&read(NSEC), "x.wild.example.", "AAAA");
    assert_eq!(
        sets(&reply.authority),
        [
            "*.wild.example. NSEC",
            "example. SOA",
            "host.wild.example. NSEC"
        ]
    );
}

#[test]
fn nsec_wildcard_alias_is_proved_on_the_way() {
    let reply = signed(&read(NSEC), "x.wild-alias.example.", "A");
    assert_eq!(
        sets(&reply.answer),
        ["www.example. A", "x.wild-alias.example. CNAME"]
    );
    assert_eq!(sets(&reply.authority), ["*.wild-alias.example. NSEC"]);
}

#[test]
fn nsec_signed_delegation_has_ds_and_no_proof() {
    let reply = signed(&read(NSEC), "x.signed.example.", "A");
    assert_eq!(
        sets(&reply.authority),
        ["signed.example. DS", "signed.example. NS"]
    );
}

#[test]
fn nsec_unsigned_delegation_proves_that_ds_is_absent() {
    let reply = signed(&read(NSEC), "x.unsigned.example.", "A");
    assert_eq!(
        sets(&reply.authority),
        ["unsigned.example. NSEC", "unsigned.example. NS"]
    );
    let ds = signed(&read(NSEC), "unsigned.example.", "DS");
    assert_eq!(
        sets(&ds.authority),
        ["example. SOA", "unsigned.example. NSEC"]
    );
}

#[test]
fn dname_has_its_signature_and_the_synthesized_cname_none() {
    let reply = ask_signed(&read(NSEC), "www.old.example.", "A");
    assert_eq!(
        sets(&reply.answer),
        [
            "old.example. DNAME",
            "www.new.example. A",
            "www.old.example. CNAME"
        ]
    );
    let signatures: Vec<&str> = reply
        .answer
        .iter()
        .filter(|line| line.contains(" RRSIG "))
        .map(|line| line.split(' ').next().unwrap_or(""))
        .collect();
    assert_eq!(signatures, ["old.example.", "www.new.example."]);
}

#[test]
fn nsec3_name_error_proves_encloser_next_closer_and_wildcard() {
    for text in [NSEC3, OPTOUT] {
        let reply = signed(&read(text), "a.b.nowhere.example.", "A");
        assert_eq!(reply.rcode, 3);
        assert_eq!(nsec3_count(&reply), 3, "{:?}", reply.authority);
        let apex = reply
            .authority
            .iter()
            .any(|line| line.contains(" NSEC3 1 ") && line.contains(" SOA "));
        assert!(apex, "the apex is the closest encloser");
    }
}

#[test]
fn nsec3_no_data_matches_the_name() {
    let reply = signed(&read(NSEC3), "www.example.", "TXT");
    assert_eq!(nsec3_count(&reply), 1);
    assert!(
        reply
            .authority
            .iter()
            .any(|line| line.contains(" NSEC3 1 0 0 - ") && line.ends_with(" A AAAA RRSIG"))
    );
}

#[test]
fn nsec3_no_data_of_an_empty_non_terminal_matches_it() {
    let reply = signed(&read(NSEC3), "gap.between.example.", "A");
    assert_eq!((reply.rcode, nsec3_count(&reply)), (0, 1));
    let empty = reply
        .authority
        .iter()
        .find(|line| line.contains(" NSEC3 1 "))
        .expect("a record");
    assert_eq!(empty.split(' ').count(), 8, "no types: {empty}");
}

#[test]
fn nsec3_wildcard_answer_covers_the_next_closer_name() {
    let reply = signed(&read(NSEC3), "a.b.wild.example.", "A");
    assert_eq!(sets(&reply.answer), ["a.b.wild.example. A"]);
    assert_eq!(nsec3_count(&reply), 1);
}

#[test]
fn nsec3_wildcard_no_data_proves_encloser_next_closer_and_wildcard() {
    let reply = signed(&read(NSEC3), "a.b.wild.example.", "AAAA");
    assert_eq!((reply.rcode, nsec3_count(&reply)), (0, 3));
    assert!(
        reply
            .authority
            .iter()
            .any(|line| line.ends_with(" A TXT RRSIG")),
        "the wildcard's types"
    );
}

#[test]
fn nsec3_signed_delegation_has_ds_and_no_proof() {
    let reply = signed(&read(NSEC3), "x.signed.example.", "A");
    assert_eq!(
        sets(&reply.authority),
        ["signed.example. DS", "signed.example. NS"]
    );
}

#[test]
fn nsec3_unsigned_delegation_matches_the_delegation() {
    let reply = signed(&read(NSEC3), "x.unsigned.example.", "A");
    assert_eq!(nsec3_count(&reply), 1);
    assert!(
        reply
            .authority
            .iter()
            .any(|line| line.contains(" NSEC3 ") && line.ends_with(" NS"))
    );
}

#[test]
fn opt_out_delegation_proves_the_encloser_and_covers_the_delegation() {
    let reply = signed(&read(OPTOUT), "x.unsigned.example.", "A");
    assert_eq!(nsec3_count(&reply), 2);
    assert!(reply.authority.iter().all(|line| !line.contains(" NSEC3 ")
        || line.contains(" NSEC3 1 1 5 aabbccdd ")
        || line.contains(" RRSIG ")));
}

#[test]
fn opt_out_ds_query_proves_the_encloser_and_covers_the_delegation() {
    let reply = signed(&read(OPTOUT), "unsigned.example.", "DS");
    assert_eq!((reply.rcode, reply.aa, nsec3_count(&reply)), (0, true, 2));
}

#[test]
fn opt_out_empty_non_terminal_is_proved_by_its_closest_encloser() {
    // `under.ent` exists only because of an insecure delegation below it; no NSEC3 record matches it.
    let reply = signed(&read(OPTOUT), "under.ent.example.", "A");
    assert_eq!(reply.rcode, 0);
    assert!((1..=2).contains(&nsec3_count(&reply)));
}

#[test]
fn nsec3_owner_cannot_be_asked_for() {
    // RFC 5155 §7.2.8.
    let owner = NSEC3
        .lines()
        .find(|line| line.contains(" NSEC3 1 "))
        .and_then(|line| line.split(' ').next())
        .expect("a record");
    let reply = signed(&read(NSEC3), owner, "NSEC3");
    assert_eq!((reply.rcode, nsec3_count(&reply) > 0), (3, true));
}

#[test]
fn nsec3_parameters_are_answered_like_data() {
    let reply = signed(&read(OPTOUT), "example.", "NSEC3PARAM");
    assert!(
        reply
            .answer
            .contains(&"example. 0 NSEC3PARAM 1 0 5 aabbccdd".to_owned()),
        "{:?}",
        reply.answer
    );
}

#[test]
fn mixed_case_question_hashes_as_lower_case() {
    let zone = read(NSEC3);
    let lower = ask_signed(&zone, "nowhere.example.", "A");
    let upper = ask_signed(&zone, "NoWhere.EXAMPLE.", "A");
    assert_eq!(lower.authority, upper.authority);
}
