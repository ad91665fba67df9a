//! Notes, checkpoints and tree heads: the examples of the C2SP texts, and `signed_note` and `static_ct_api`.

#![expect(clippy::unwrap_used, reason = "a helper that fails must fail the test")]

mod support;

use ct::{
    Checkpoint, CheckpointError, GetSthReply, Hash, HeadError, KEY_NAME_BYTES_MAX, KeyKind,
    KeyName, LogSignatureError, NOTE_SIGNATURES_MAX, Note, NoteError, NoteSignature,
    NoteSignatureError, SignedTreeHead, TreeHead, VerifierKey, VerifierKeyError, tree_head_key_id,
};
use data_encoding::BASE64;
use ed25519_dalek::Signer as _;
use p256::elliptic_curve::rand_core::OsRng;
use proptest::prelude::*;
use support::{ALGORITHMS, cosign, log_key, log_signer, name, sign, witness_signer};

/// Of signed-note.
const POEM: &str = "Ognuno sta solo sul cuor della terra
trafitto da un raggio di sole:

ed è subito sera.

— quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=
";

/// Of tlog-cosignature.
const SOFA: &str = "example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==
";

/// A key whose public half Go's note package gives as its example.
const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

fn plain_key(seed: u8, text: &str) -> VerifierKey {
    let key = witness_signer(seed).verifying_key().to_bytes();
    VerifierKey::new(name(text), KeyKind::Plain, key)
}

/// A note with this text, signed by a plain key.
fn signed(seed: u8, signer: &str, text: &str) -> Note {
    let line = NoteSignature {
        name: name(signer),
        key_id: plain_key(seed, signer).id(),
        signature: witness_signer(seed).sign(text.as_bytes()).to_vec(),
    };
    Note::new(text.to_owned(), vec![line]).unwrap()
}

fn sth(origin: &str, seed: u8, size: u64) -> (SignedTreeHead, Note) {
    let head = TreeHead {
        size,
        root: Hash::of(&size.to_be_bytes()),
        timestamp_ms: 1_700_000_000_000,
    };
    let signer = log_signer(seed);
    let signature = sign(&signer, &head.signed_input());
    let signed = SignedTreeHead { head, signature };
    let note = signed.to_note(&name(origin), &log_key(&signer).id());
    (signed, note)
}

#[test]
fn examples_of_the_specifications_are_read_and_written_alike() {
    let poem = Note::parse(POEM.as_bytes()).unwrap();
    assert!(poem.text().ends_with("\n\ned è subito sera.\n"));
    assert_eq!(poem.signatures()[0].key_id, 0x367b_a04b);
    assert_eq!(poem.to_string(), POEM);
    let sofa = Note::parse(SOFA.as_bytes()).unwrap();
    assert_eq!(sofa.to_string(), SOFA);
    let checkpoint = Checkpoint::parse(sofa.text()).unwrap();
    assert_eq!(checkpoint.origin(), "example.com/behind-the-sofa");
    assert_eq!(checkpoint.size(), 20_852_163);
    assert_eq!(checkpoint.to_text(), sofa.text());
    let cosignature = &sofa.signatures()[1];
    let time: [u8; 8] = cosignature.signature[..8].try_into().unwrap();
    assert_eq!(u64::from_be_bytes(time), 1_679_315_147);
    assert_eq!(cosignature.signature.len(), 8 + 64);
}

#[test]
fn bytes_that_are_no_note_say_why() {
    let line = |name: &str, bytes: &[u8]| format!("— {name} {}\n", BASE64.encode(bytes));
    let good = line("a", &[1, 2, 3, 4, 5]);
    let bad = NoteError::SignatureLine { line: 0 };
    let cases = [
        (String::new(), NoteError::Unsigned),
        ("text\n".to_owned(), NoteError::Unsigned),
        ("text\n\n".to_owned(), NoteError::Unsigned),
        (format!("text\n{good}"), NoteError::Unsigned),
        (format!("text\n\n{}", good.trim_end()), NoteError::Unsigned),
        (format!("text\n\n\n{}", "x\n"), bad),
        (format!("text\n\n{good}\n"), NoteError::Unsigned),
        (format!("te\rxt\n\n{good}"), NoteError::Text { offset: 2 }),
        (format!("text\n\n{}", line("", &[0; 5])), bad),
        (format!("text\n\n{}", line("a+b", &[0; 5])), bad),
        (format!("text\n\n{}", line("a\u{a0}b", &[0; 5])), bad),
        (format!("text\n\n{}", line("a", &[0; 4])), bad),
        (format!("text\n\n{}", good.replace('—', "-")), bad),
        (format!("text\n\n{}", good.replace('=', "")), bad),
        (format!("text\n\n{}", good.replace("BAU=", "BAV=")), bad),
        (
            format!("text\n\n{good}x\n"),
            NoteError::SignatureLine { line: 1 },
        ),
        (
            format!("text\n\n{}", good.repeat(NOTE_SIGNATURES_MAX + 1)),
            NoteError::Signatures,
        ),
        (
            "x".repeat(1 << 20) + "\n\n" + &good,
            NoteError::Length {
                found: (1 << 20) + 2 + good.len(),
            },
        ),
    ];
    for (text, error) in cases {
        assert_eq!(Note::parse(text.as_bytes()), Err(error), "{text:.80}");
    }
    assert_eq!(
        Note::parse(b"a\xff\n\n"),
        Err(NoteError::Text { offset: 1 })
    );
    let many = format!("text\n\n{}", good.repeat(NOTE_SIGNATURES_MAX));
    assert!(Note::parse(many.as_bytes()).is_ok());
    let empty_text = format!("\n\n{good}");
    assert_eq!(Note::parse(empty_text.as_bytes()).unwrap().text(), "\n");
}

#[test]
fn note_is_made_only_of_text_and_replaces_signatures_of_the_same_key() {
    let note = |text: &str| Note::new(text.to_owned(), Vec::new());
    assert_eq!(note("text"), Err(NoteError::Unsigned));
    assert_eq!(note("a\tb\n"), Err(NoteError::Text { offset: 1 }));
    let mut note = signed(1, "one", "text\n");
    let line = NoteSignature {
        signature: vec![1],
        ..note.signatures()[0].clone()
    };
    note.sign(line.clone()).unwrap();
    assert_eq!(note.signatures(), std::slice::from_ref(&line));
    for key_id in 1..NOTE_SIGNATURES_MAX {
        let key_id = u32::try_from(key_id).unwrap();
        note.sign(NoteSignature {
            key_id,
            ..line.clone()
        })
        .unwrap();
    }
    let other = NoteSignature {
        name: name("two"),
        ..line
    };
    assert_eq!(note.sign(other), Err(NoteError::Signatures));
}

#[test]
fn notes_that_signed_note_signs_are_verified_and_the_other_way() {
    let (secret, public) = signed_note::generate_key(&mut OsRng, "example.com/log");
    let key = VerifierKey::parse(&public).unwrap();
    assert_eq!(key.to_string(), public);
    let mut theirs = signed_note::Note::new("text\n\nmore\n".as_bytes(), &[]).unwrap();
    let signer = signed_note::StandardSigner::new(&secret).unwrap();
    theirs.add_sigs(&[&signer]).unwrap();
    let note = Note::parse(&theirs.to_bytes()).unwrap();
    assert_eq!(key.verify(&note, ALGORITHMS), Ok(None));
    assert_eq!(note.to_string().as_bytes(), theirs.to_bytes());

    let ours = signed(1, "example.com/log", "text\n");
    let key = plain_key(1, "example.com/log");
    let verifier = signed_note::StandardVerifier::new(&key.to_string()).unwrap();
    let theirs = signed_note::Note::from_bytes(ours.to_string().as_bytes()).unwrap();
    let known = signed_note::VerifierList::new(vec![Box::new(verifier)]);
    assert_eq!(theirs.verify(&known).unwrap().0.len(), 1);
}

#[test]
fn each_fault_of_a_signature_has_its_error() {
    let note = signed(1, "one", "text\n");
    let verify = |key: &VerifierKey, note: &Note| key.verify(note, ALGORITHMS);
    assert_eq!(verify(&plain_key(1, "one"), &note), Ok(None));
    let unsigned = Err(NoteSignatureError::Unsigned);
    assert_eq!(verify(&plain_key(1, "two"), &note), unsigned);
    assert_eq!(verify(&plain_key(2, "one"), &note), unsigned);
    let invalid = Err(NoteSignatureError::Signature(LogSignatureError::Invalid));
    let other = Note::new("other\n".to_owned(), note.signatures().to_vec()).unwrap();
    assert_eq!(verify(&plain_key(1, "one"), &other), invalid);

    let cosigner = witness_signer(3).verifying_key().to_bytes();
    let cosigner = VerifierKey::new(name("w"), KeyKind::Cosignature, cosigner);
    let mut note = note;
    cosign(&witness_signer(3), "w", 1_679_315_147, &mut note);
    assert_eq!(verify(&cosigner, &note), Ok(Some(1_679_315_147)));
    let line = note.signatures()[1].clone();
    let with = |bytes: &[u8]| {
        let line = NoteSignature {
            signature: bytes.to_vec(),
            ..line.clone()
        };
        Note::new("text\n".to_owned(), vec![line]).unwrap()
    };
    let mut later = line.signature.clone();
    later[7] ^= 1;
    assert_eq!(verify(&cosigner, &with(&later)), invalid);
    assert_eq!(verify(&cosigner, &with(&line.signature[..71])), invalid);
    later[0] = 0x80;
    let time = u64::from_be_bytes(later[..8].try_into().unwrap());
    let error = Err(NoteSignatureError::Time(time));
    assert_eq!(verify(&cosigner, &with(&later)), error);
    let short = verify(&cosigner, &with(&line.signature[..7]));
    assert!(matches!(short, Err(NoteSignatureError::Truncated(_))));
}

#[test]
fn key_that_is_none_says_why() {
    assert_eq!(VerifierKey::parse(PETER).unwrap().to_string(), PETER);
    let uppercase = PETER.replace("c74f20a3", "C74F20A3");
    assert!(VerifierKey::parse(&uppercase).is_ok());
    let with = |bytes: &[u8]| format!("n+00000000+{}", BASE64.encode(bytes));
    let cases = [
        ("", VerifierKeyError::Malformed),
        ("name", VerifierKeyError::Malformed),
        ("name+00000000", VerifierKeyError::Malformed),
        ("+00000000+AQ==", VerifierKeyError::Malformed),
        ("na me+00000000+AQ==", VerifierKeyError::Malformed),
        ("name+0000000+AQ==", VerifierKeyError::Malformed),
        ("name++0000000+AQ==", VerifierKeyError::Malformed),
        ("name+0000000g+AQ==", VerifierKeyError::Malformed),
        ("name+00000000+", VerifierKeyError::Malformed),
        ("name+00000000+!", VerifierKeyError::Malformed),
        (&with(&[5; 33]), VerifierKeyError::Kind(5)),
        (&with(&[1; 32]), VerifierKeyError::Length { found: 31 }),
        (
            &PETER.replace("c74f20a3", "c74f20a4"),
            VerifierKeyError::Id {
                expected: 0xc74f_20a3,
                found: 0xc74f_20a4,
            },
        ),
    ];
    for (line, error) in cases {
        assert_eq!(VerifierKey::parse(line), Err(error), "{line}");
    }
    assert_eq!(KeyName::new("a\nb"), None);
    assert!(KeyName::new(&"a".repeat(KEY_NAME_BYTES_MAX)).is_some());
    assert_eq!(KeyName::new(&"a".repeat(KEY_NAME_BYTES_MAX + 1)), None);
}

#[test]
fn text_that_is_no_checkpoint_says_why() {
    let root = BASE64.encode(&[7; 32]);
    let cases = [
        (String::new(), CheckpointError::Lines),
        ("\n".to_owned(), CheckpointError::Lines),
        (format!("o\n1\n{root}"), CheckpointError::Lines),
        ("o\n1\n".to_owned(), CheckpointError::Lines),
        (format!("\n1\n{root}\n"), CheckpointError::Empty { line: 0 }),
        (
            format!("o\n1\n{root}\n\n"),
            CheckpointError::Empty { line: 3 },
        ),
        (
            format!("o\n1\n{root}\na\n\nb\n"),
            CheckpointError::Empty { line: 4 },
        ),
        (format!("o\n01\n{root}\n"), CheckpointError::Size),
        (format!("o\n+1\n{root}\n"), CheckpointError::Size),
        (format!("o\n\n{root}\n"), CheckpointError::Size),
        (
            format!("o\n18446744073709551616\n{root}\n"),
            CheckpointError::Size,
        ),
        ("o\n1\nAAAA\n".to_owned(), CheckpointError::Root),
        (
            format!("o\n1\n{}\n", root.trim_end_matches('=')),
            CheckpointError::Root,
        ),
    ];
    for (text, error) in cases {
        assert_eq!(Checkpoint::parse(&text), Err(error), "{text}");
        assert!(
            tlog_tiles::Checkpoint::from_bytes(text.as_bytes()).is_err(),
            "{text}"
        );
    }
    let text = format!("o\n0\n{root}\none\ntwo\n");
    let checkpoint = Checkpoint::parse(&text).unwrap();
    assert_eq!(checkpoint.extension_lines(), ["one", "two"]);
    assert_eq!(checkpoint.to_text(), text);
    let theirs = tlog_tiles::Checkpoint::from_bytes(text.as_bytes()).unwrap();
    assert_eq!(theirs.to_bytes(), text.as_bytes());
}

#[test]
fn checkpoint_and_tree_head_are_one_signature() {
    let (head, note) = sth("example.com/2026h1", 1, 70_000);
    let (origin, key) = (name("example.com/2026h1"), log_key(&log_signer(1)));
    assert_eq!(head.verify(&key, ALGORITHMS), Ok(()));
    let read = SignedTreeHead::from_note(&note, &origin, &key, ALGORITHMS).unwrap();
    assert_eq!(read, head);
    let reply = GetSthReply::from(&head);
    let json = serde_json::to_value(&reply).unwrap();
    let fields: Vec<_> = json.as_object().unwrap().keys().collect();
    let expected = [
        "sha256_root_hash",
        "timestamp",
        "tree_head_signature",
        "tree_size",
    ];
    assert_eq!(fields, expected);
    assert_eq!(SignedTreeHead::try_from(&reply), Ok(head));
    let mut reply = reply;
    reply.sha256_root_hash.0.pop();
    let error = SignedTreeHead::try_from(&reply);
    assert_eq!(error, Err(HeadError::Root { found: 31 }));
}

#[test]
fn checkpoints_of_static_ct_api_are_verified_and_the_other_way() {
    let origin = "example.com/2026h1";
    let (log, witness) = (log_signer(1), witness_signer(2));
    let root = tlog_tiles::Hash(Hash::of(b"root").0);
    let tree = static_ct_api::TreeWithTimestamp::new(300, root, 1_700_000_000_000);
    let bytes = tree.sign(origin, &log, &witness, &mut OsRng).unwrap();
    let note = Note::parse(&bytes).unwrap();
    assert_eq!(note.signatures().len(), 4, "two are of unknown keys");
    let head = SignedTreeHead::from_note(&note, &name(origin), &log_key(&log), ALGORITHMS);
    let head = head.unwrap().head;
    assert_eq!((head.size, head.root), (300, Hash::of(b"root")));
    assert_eq!(head.timestamp_ms, 1_700_000_000_000);
    assert_eq!(plain_key(2, origin).verify(&note, ALGORITHMS), Ok(None));

    let (_, mut ours) = sth(origin, 1, 70_000);
    let by_witness = signed(2, origin, ours.text()).signatures()[0].clone();
    ours.sign(by_witness).unwrap();
    let (checkpoint, time) = static_ct_api::open_checkpoint(
        origin,
        log.verifying_key(),
        &witness.verifying_key(),
        u64::MAX,
        ours.to_string().as_bytes(),
    )
    .unwrap();
    assert_eq!((checkpoint.size(), time), (70_000, 1_700_000_000_000));
}

#[test]
fn each_fault_of_a_checkpoint_has_its_error() {
    let (_, note) = sth("log", 1, 5);
    let key = log_key(&log_signer(1));
    let open = |note: &Note, origin: &str| {
        SignedTreeHead::from_note(note, &name(origin), &key, ALGORITHMS).map(|_| ())
    };
    let with_text = |text: &str| Note::new(text.to_owned(), note.signatures().to_vec()).unwrap();
    let with_bytes = |signature: &[u8]| {
        let line = NoteSignature {
            signature: signature.to_vec(),
            ..note.signatures()[0].clone()
        };
        Note::new(note.text().to_owned(), vec![line]).unwrap()
    };
    let error = open(&with_text("no checkpoint\n"), "log");
    assert_eq!(error, Err(HeadError::Checkpoint(CheckpointError::Lines)));
    let found = "log".to_owned();
    assert_eq!(open(&note, "other"), Err(HeadError::Origin { found }));
    let extended = with_text(&format!("{}more\n", note.text()));
    assert_eq!(open(&extended, "log"), Err(HeadError::Extensions));
    let (_, foreign) = sth("log", 2, 5);
    assert_eq!(open(&foreign, "log"), Err(HeadError::Unsigned));
    let invalid = Err(HeadError::Signature(LogSignatureError::Invalid));
    assert_eq!(
        open(&with_text(&note.text().replace("\n5\n", "\n6\n")), "log"),
        invalid
    );
    let bytes = &note.signatures()[0].signature;
    let mut later = bytes.clone();
    later[7] ^= 1;
    assert_eq!(open(&with_bytes(&later), "log"), invalid);
    let longer = [bytes.as_slice(), &[0]].concat();
    let trailing = HeadError::Signature(LogSignatureError::Trailing { left: 1 });
    assert_eq!(open(&with_bytes(&longer), "log"), Err(trailing));
    for length in 1..bytes.len() {
        let error = open(&with_bytes(&bytes[..length]), "log").unwrap_err();
        let truncated = matches!(
            error,
            HeadError::Truncated(_) | HeadError::Signature(LogSignatureError::Truncated(_))
        );
        assert!(truncated, "length={length}: {error}");
    }
    assert_eq!(
        note.signatures()[0].key_id,
        tree_head_key_id(&name("log"), &key.id())
    );
}

proptest! {
    #[test]
    fn any_text_becomes_a_note_or_is_refused_as_signed_note_does(
        text in "[ -~\n—è\t]{0,80}", tail in prop_oneof![Just(""), Just("\n\n— a AAAAAAA=\n")],
    ) {
        let whole = format!("{text}{tail}");
        let ours = Note::parse(whole.as_bytes());
        let theirs = signed_note::Note::from_bytes(whole.as_bytes());
        prop_assert_eq!(ours.is_ok(), theirs.is_ok());
        if let (Ok(ours), Ok(theirs)) = (ours, theirs) {
            prop_assert_eq!(ours.text().as_bytes(), theirs.text());
            prop_assert_eq!(ours.to_string(), whole);
        }
    }
}
