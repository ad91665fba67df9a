//! Witnesses: requests, decisions, and policies that say which cosignatures suffice.

#![expect(clippy::unwrap_used, reason = "a helper that fails must fail the test")]

mod support;

use ct::{
    AddCheckpoint, AddCheckpointError, Endpoint, Hash, KeyKind, Note, NoteError, POLICY_LINES_MAX,
    PROOF_LINES_MAX, PolicyProblem, ProofError, SignedTreeHead, TreeHead, UnmetError, VerifierKey,
    VerifierKeyError, WitnessError, WitnessPolicy, Witnessed, prove_consistency,
};
use support::{
    ALGORITHMS, Naive, cosign, leaves, log_key, log_signer, naive_root, name, sign, witness_signer,
};

/// Of tlog-witness.
const REQUEST: &str = "old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=

example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=
";

/// A checkpoint over the first `size` of the test's leaves.
fn checkpoint(size: usize, root: Hash) -> Note {
    let head = TreeHead {
        size: size as u64,
        root,
        timestamp_ms: 1,
    };
    let signature = sign(&log_signer(1), &head.signed_input());
    let log_id = log_key(&log_signer(1)).id();
    SignedTreeHead { head, signature }.to_note(&name("log"), &log_id)
}

fn root(size: usize) -> Hash {
    naive_root(&leaves(size as u64))
}

fn request(old: usize, new: usize) -> AddCheckpoint {
    let all = leaves(new as u64);
    let proof = prove_consistency(&mut Naive(&all), old as u64, new as u64).unwrap();
    AddCheckpoint::new(old as u64, proof, checkpoint(new, root(new))).unwrap()
}

fn witnessed(size: usize) -> Option<Witnessed> {
    Some(Witnessed {
        size: size as u64,
        root: root(size),
    })
}

#[test]
fn request_of_the_specification_is_read_and_written_alike() {
    let request = AddCheckpoint::parse(REQUEST.as_bytes()).unwrap();
    assert_eq!(request.to_string(), REQUEST);
    assert_eq!(request.checkpoint().size(), 20_852_163);
    assert_eq!(request.note().signatures().len(), 2);
    let ours = self::request(3, 9);
    assert_eq!(AddCheckpoint::parse(ours.to_string().as_bytes()), Ok(ours));
}

#[test]
fn body_that_is_no_request_says_why() {
    let with = |from: &str, to: &str| REQUEST.replacen(from, to, 1);
    let line = "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n";
    let cases = [
        (String::new(), AddCheckpointError::OldSize),
        (with("old ", "new "), AddCheckpointError::OldSize),
        (with("20852014", "020852014"), AddCheckpointError::OldSize),
        (with("20852014", ""), AddCheckpointError::OldSize),
        (
            with("PlRN", "PlR"),
            AddCheckpointError::ProofLine { line: 0 },
        ),
        (
            with("jrJZDmY8", "AAAA"),
            AddCheckpointError::ProofLine { line: 1 },
        ),
        ("old 1\n".to_owned(), AddCheckpointError::NoCheckpoint),
        (format!("old 1\n{line}"), AddCheckpointError::NoCheckpoint),
        (
            with(line, &line.repeat(PROOF_LINES_MAX - 2)),
            AddCheckpointError::ProofLines,
        ),
        (
            "old 1\n\n".to_owned(),
            AddCheckpointError::Note(NoteError::Unsigned),
        ),
        (
            with("20852163\n", ""),
            AddCheckpointError::Checkpoint(ct::CheckpointError::Lines),
        ),
    ];
    for (body, error) in cases {
        assert_eq!(
            AddCheckpoint::parse(body.as_bytes()),
            Err(error),
            "{body:.60}"
        );
    }
    let longest = with(line, &line.repeat(PROOF_LINES_MAX - 3));
    assert!(AddCheckpoint::parse(longest.as_bytes()).is_ok());
    let too_long = vec![Hash::of(b""); PROOF_LINES_MAX + 1];
    assert_eq!(
        AddCheckpoint::new(1, too_long, checkpoint(2, root(2))),
        Err(AddCheckpointError::ProofLines)
    );
}

#[test]
fn witness_accepts_only_what_continues_its_last_checkpoint() {
    assert_eq!(request(0, 5).verify(None), Ok(()));
    assert_eq!(request(5, 9).verify(witnessed(5)), Ok(()));
    assert_eq!(request(9, 9).verify(witnessed(9)), Ok(()));
    let stale = WitnessError::Stale {
        witnessed: 6,
        old: 5,
    };
    assert_eq!(request(5, 9).verify(witnessed(6)), Err(stale));
    let stale = WitnessError::Stale {
        witnessed: 0,
        old: 5,
    };
    assert_eq!(request(5, 9).verify(None), Err(stale));

    let smaller = AddCheckpoint::new(9, Vec::new(), checkpoint(5, root(5))).unwrap();
    let backwards = WitnessError::Backwards { old: 9, new: 5 };
    assert_eq!(smaller.verify(witnessed(9)), Err(backwards));
    let other = Hash::of(b"other");
    let fork = AddCheckpoint::new(9, Vec::new(), checkpoint(9, other)).unwrap();
    assert_eq!(
        fork.verify(witnessed(9)),
        Err(WitnessError::Fork {
            size: 9,
            witnessed: root(9),
            found: other
        })
    );
    let all = leaves(9);
    let proof = prove_consistency(&mut Naive(&all), 5, 9).unwrap();
    let forged = AddCheckpoint::new(5, proof, checkpoint(9, other)).unwrap();
    let result = forged.verify(witnessed(5));
    assert!(matches!(
        result,
        Err(WitnessError::Proof(ProofError::Root { .. }))
    ));
    let unproven = AddCheckpoint::new(0, vec![other], checkpoint(9, root(9))).unwrap();
    let result = unproven.verify(None);
    assert!(matches!(
        result,
        Err(WitnessError::Proof(ProofError::Length { found: 1 }))
    ));
}

fn witness_key(seed: u8, kind: KeyKind) -> VerifierKey {
    let key = witness_signer(seed).verifying_key().to_bytes();
    VerifierKey::new(name(&format!("w{seed}")), kind, key)
}

fn endpoint(key: VerifierKey) -> Endpoint {
    Endpoint { key, url: None }
}

/// Four validators, of which three must have cosigned.
fn three_of_four() -> WitnessPolicy {
    let witnesses = (1..=4).map(|seed| {
        let key = witness_key(seed, KeyKind::Cosignature);
        (format!("validator{seed}"), endpoint(key))
    });
    let witnesses: Vec<_> = witnesses.collect();
    let log = witness_signer(9).verifying_key().to_bytes();
    let log = VerifierKey::new(name("log"), KeyKind::Cosignature, log);
    WitnessPolicy::of_group(&[endpoint(log)], &witnesses, 3).unwrap()
}

fn cosigned(seeds: &[u8]) -> Note {
    let mut note = checkpoint(9, root(9));
    for seed in seeds {
        let time_s = 1_700_000_000 + u64::from(*seed);
        cosign(
            &witness_signer(*seed),
            &format!("w{seed}"),
            time_s,
            &mut note,
        );
    }
    note
}

#[test]
fn quorum_of_cosigners_is_needed_and_named() {
    let policy = three_of_four();
    let found = policy
        .check_quorum(&cosigned(&[4, 1, 2]), ALGORITHMS)
        .unwrap();
    let found: Vec<_> = found
        .iter()
        .map(|cosigner| (cosigner.name, cosigner.time_s))
        .collect();
    let expected = [
        ("validator1", 1_700_000_001),
        ("validator2", 1_700_000_002),
        ("validator4", 1_700_000_004),
    ];
    assert_eq!(found, expected);
    let error = policy
        .check_quorum(&cosigned(&[1, 3]), ALGORITHMS)
        .unwrap_err();
    let cosigners = vec!["validator1".to_owned(), "validator3".to_owned()];
    assert_eq!(error, UnmetError::Quorum { cosigners });
    // The same one again, and one that nobody knows, do not help.
    let error = policy.check_quorum(&cosigned(&[1, 1, 3, 7]), ALGORITHMS);
    assert!(matches!(error, Err(UnmetError::Quorum { .. })));
}

#[test]
fn log_must_have_signed_and_no_signature_of_a_known_key_may_be_wrong() {
    let policy = three_of_four();
    let mut note = cosigned(&[1, 2, 3]);
    let origin = "log".to_owned();
    let unsigned = policy.check(&note, ALGORITHMS);
    assert_eq!(unsigned, Err(UnmetError::Log { origin }));
    cosign(&witness_signer(9), "log", 5, &mut note);
    assert_eq!(policy.check(&note, ALGORITHMS).unwrap().len(), 3);

    // Of another checkpoint.
    let mut lines = note.signatures().to_vec();
    let mut other = checkpoint(8, root(8));
    cosign(&witness_signer(4), "w4", 5, &mut other);
    lines.push(other.signatures()[1].clone());
    let mixed = Note::new(note.text().to_owned(), lines).unwrap();
    let error = policy.check(&mixed, ALGORITHMS).unwrap_err();
    let wrong = matches!(error, UnmetError::Signature { ref name, .. } if name == "w4");
    assert!(wrong, "{error}");
    let no_checkpoint = Note::new("text\n".to_owned(), Vec::new()).unwrap();
    let error = policy.check(&no_checkpoint, ALGORITHMS);
    assert!(matches!(error, Err(UnmetError::Checkpoint(_))));
}

#[test]
fn policy_of_two_levels_is_evaluated_from_below() {
    let witness = |seed| {
        format!(
            "witness x{seed} {}",
            witness_key(seed, KeyKind::Cosignature)
        )
    };
    let text = [
        "# Two operators.".to_owned(),
        witness(1),
        witness(2),
        witness(3),
        "  group X\t2 x1  x2 x3 ".to_owned(),
        String::new(),
        witness(4) + " https://witness.example/",
        witness(5),
        "group Y any x4 x5".to_owned(),
        "group both all X Y".to_owned(),
        "quorum both".to_owned(),
    ];
    let policy = WitnessPolicy::parse(&text.join("\n")).unwrap();
    let is_met = |seeds: &[u8]| policy.check_quorum(&cosigned(seeds), ALGORITHMS).is_ok();
    assert!(is_met(&[1, 3, 5]));
    assert!(is_met(&[1, 2, 3, 4, 5]));
    assert!(!is_met(&[1, 2, 3]));
    assert!(!is_met(&[1, 4, 5]));
    assert!(!is_met(&[]));
    let written = policy.to_string();
    assert_eq!(WitnessPolicy::parse(&written), Ok(policy.clone()));
    assert!(written.contains("https://witness.example/"));
    assert_eq!(policy.witnesses().count(), 5);

    let none = WitnessPolicy::parse("quorum none\n").unwrap();
    assert_eq!(
        none.check_quorum(&cosigned(&[]), ALGORITHMS),
        Ok(Vec::new())
    );
    assert_eq!(none.to_string(), "quorum none\n");
    let one = format!("{}\nquorum x1\n", witness(1));
    let one = WitnessPolicy::parse(&one).unwrap();
    assert!(one.check_quorum(&cosigned(&[1]), ALGORITHMS).is_ok());
    assert!(one.check_quorum(&cosigned(&[2]), ALGORITHMS).is_err());
}

/// Policies, the line of each that is none, and why.
fn refuse(cases: &[(String, usize, PolicyProblem)]) {
    for (text, line, problem) in cases {
        let error = WitnessPolicy::parse(text).unwrap_err();
        assert_eq!((error.line, error.problem), (*line, *problem), "{text}");
    }
}

#[test]
fn line_that_is_none_of_a_policy_says_why() {
    let key = witness_key(1, KeyKind::Cosignature);
    let other = witness_key(2, KeyKind::Cosignature);
    let plain = witness_key(1, KeyKind::Plain);
    let (malformed, duplicate) = (PolicyProblem::Malformed, PolicyProblem::Duplicate);
    let no_key = PolicyProblem::Key(VerifierKeyError::Malformed);
    let quorum = PolicyProblem::Quorum;
    refuse(&[
        (format!("witness a {key}\nwitness\n"), 2, malformed),
        ("quorum none extra\n".to_owned(), 1, malformed),
        ("# a\u{1}\n".to_owned(), 1, PolicyProblem::Control),
        ("quorum none\r\n".to_owned(), 1, PolicyProblem::Control),
        ("log key\n".to_owned(), 1, no_key),
        (format!("witness a {plain}\n"), 1, PolicyProblem::KeyKind),
        (format!("witness a {key}\nwitness b {key}\n"), 2, duplicate),
        (
            format!("witness a {key}\nwitness a {other}\n"),
            2,
            duplicate,
        ),
        (format!("log {key}\nlog {plain}\n"), 2, duplicate),
        (format!("witness none {key}\n"), 1, duplicate),
        (format!("log {key}\n"), 1, quorum),
        ("quorum none\nquorum none\n".to_owned(), 2, quorum),
    ]);
}

#[test]
fn group_that_is_none_says_why() {
    let witness = format!("witness a {}\n", witness_key(1, KeyKind::Cosignature));
    let (undefined, twice) = (PolicyProblem::Undefined, PolicyProblem::MemberTwice);
    let threshold = PolicyProblem::Threshold;
    refuse(&[
        ("group g any a\n".to_owned(), 1, undefined),
        ("group g any none\n".to_owned(), 1, undefined),
        ("quorum g\n".to_owned(), 1, undefined),
        (format!("{witness}group g any a a\n"), 2, twice),
        (format!("{witness}group g any a\ngroup h any a\n"), 3, twice),
        (format!("{witness}group g 2 a\n"), 2, threshold),
        (format!("{witness}group g 0 a\n"), 2, threshold),
        (format!("{witness}group g x a\n"), 2, threshold),
        ("group g all\n".to_owned(), 1, threshold),
    ]);
    let many: String = (0..=POLICY_LINES_MAX)
        .map(|seed| {
            let key = VerifierKey::new(
                name("w"),
                KeyKind::Cosignature,
                Hash::of(&seed.to_be_bytes()).0,
            );
            format!("witness w{seed} {key}\n")
        })
        .collect();
    refuse(&[(many, POLICY_LINES_MAX + 1, PolicyProblem::TooMany)]);
}
