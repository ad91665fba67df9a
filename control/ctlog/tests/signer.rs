//! The key of a shard: which files have it, and what it refuses to sign.

#![expect(clippy::unwrap_used, reason = "a helper that fails must fail the test")]

mod support;

use std::io;
use std::path::Path;
use std::sync::Arc;

use ct::{Checkpoint, Hash, KeyName, LogKey, NoteSignature, TreeHead};
use ctlog::{
    CommitCertificate, FileSigner, Files, HeadConflict, LocalFiles, ShardKeyError, ShardSpec,
    Signer, SignerError, Validators,
};
use support::files::{CrashFiles, Dice};
use support::{NAME, ORIGIN, SHARD, spec, write_key};

const ALGORITHMS: &ct::Algorithms<'static> = webpki::ALL_VERIFICATION_ALGS;

/// What `openssl ecparam -name prime256v1 -genkey` writes.
const SEC1_PEM: &str = "-----BEGIN EC PARAMETERS-----
BggqhkjOPQMBBw==
-----END EC PARAMETERS-----
-----BEGIN EC PRIVATE KEY-----
MHcCAQEEINE0vkja+tbPCf9U3SyeNaCvadRMtCuQKSaY4zgCMp2soAoGCCqGSM49
AwEHoUQDQgAEpzS9/MMnEF/cIrbRW1PYDpFysw7i20Qwv49BE3Yq535MCASquQRQ
SdQ3ANhFW2Q5wFtoXfDDwGspg7Gz5yEUyw==
-----END EC PRIVATE KEY-----
";

/// The same key as `openssl pkcs8 -topk8 -nocrypt` writes it.
const PKCS8_PEM: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg0TS+SNr61s8J/1Td
LJ41oK9p1Ey0K5ApJpjjOAIynayhRANCAASnNL38wycQX9wittFbU9gOkXKzDuLb
RDC/j0ETdirnfkwIBKq5BFBJ1DcA2EVbZDnAW2hd8MPAaymDsbPnIRTL
-----END PRIVATE KEY-----
";

/// Its public half by `openssl ec -pubout -outform DER`, in base64.
const PUBLIC: &[u8] = b"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEpzS9/MMnEF/cIrbRW1PYDpFysw7i20Qwv49BE3Yq535MCASquQRQSdQ3ANhFW2Q5wFtoXfDDwGspg7Gz5yEUyw==";

fn of_openssl() -> ShardSpec {
    let spki = data_encoding::BASE64.decode(PUBLIC).unwrap();
    ShardSpec {
        key: LogKey::new(&spki).unwrap(),
        ..spec()
    }
}

/// Base64 of a PEM block.
fn der(pem: &str) -> Vec<u8> {
    let block = pem.rsplit("-----BEGIN ").next().unwrap();
    let lines = block
        .lines()
        .skip(1)
        .take_while(|line| !line.starts_with('-'));
    let base64: String = lines.collect();
    data_encoding::BASE64.decode(base64.as_bytes()).unwrap()
}

fn load(spec: &ShardSpec, folder: &Path, key: &[u8]) -> Result<FileSigner, ShardKeyError> {
    let path = folder.join("key");
    std::fs::write(&path, key).unwrap();
    let state = LocalFiles::new(folder.join("state"), 0o600);
    FileSigner::load(spec, &path, Arc::new(state))
}

fn validator(seed: u8) -> ed25519_dalek::SigningKey {
    ed25519_dalek::SigningKey::from_bytes(&[seed; 32])
}

/// Four of them, `v1` to `v4`.
fn validators() -> Arc<Validators> {
    let key = |seed: u8| {
        (
            format!("v{seed}"),
            validator(seed).verifying_key().to_bytes(),
        )
    };
    let keys: Vec<_> = (1..=4).map(key).collect();
    Arc::new(Validators::new(&KeyName::new(NAME).unwrap(), &keys, 3, 1))
}

fn cosign(seed: u8, head: &TreeHead) -> NoteSignature {
    let text = Checkpoint::new(&KeyName::new(ORIGIN).unwrap(), head.size, head.root).to_text();
    let time_s = head.timestamp_ms / 1000;
    let message = ct::cosignature::message(&text, time_s);
    let signature = ed25519_dalek::Signer::sign(&validator(seed), &message).to_bytes();
    let name = KeyName::new(&format!("{NAME}/v{seed}")).unwrap();
    let key = validator(seed).verifying_key().to_bytes();
    ct::cosignature::signature_line(&name, &key, time_s, &signature)
}

fn head(size: u64, root: u8, timestamp_ms: u64) -> TreeHead {
    TreeHead {
        size,
        root: Hash([root; 32]),
        timestamp_ms,
    }
}

fn certificate(head: TreeHead, cosigners: &[u8]) -> CommitCertificate {
    CommitCertificate {
        head,
        validators: validators(),
        cosignatures: cosigners.iter().map(|seed| cosign(*seed, &head)).collect(),
    }
}

#[test]
fn keys_are_read_in_each_form_that_openssl_writes() {
    let folder = tempfile::tempdir().unwrap();
    let spec = of_openssl();
    let forms = [
        SEC1_PEM.as_bytes().to_vec(),
        PKCS8_PEM.as_bytes().to_vec(),
        der(SEC1_PEM),
        der(PKCS8_PEM),
    ];
    let mut note_keys = Vec::new();
    for form in forms {
        let signer = load(&spec, folder.path(), &form).unwrap();
        let signed = signer
            .sign_head(&certificate(head(5, 1, 5_000), &[1, 2, 4]))
            .unwrap();
        signed.signed.verify(&spec.key, ALGORITHMS).unwrap();
        assert_eq!(signer.note_key().verify(&signed.note, ALGORITHMS), Ok(None));
        note_keys.push(signer.note_key());
    }
    assert!(note_keys.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(note_keys[0].name().as_str(), ORIGIN);
}

#[test]
fn file_that_has_another_key_or_none_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let other = load(&spec(), folder.path(), SEC1_PEM.as_bytes()).unwrap_err();
    assert!(matches!(other, ShardKeyError::Other { .. }), "{other}");
    for key in [
        &b""[..],
        b"-----BEGIN PRIVATE KEY-----",
        &[0xff; 200],
        &der(SEC1_PEM)[1..],
    ] {
        let malformed = load(&of_openssl(), folder.path(), key).unwrap_err();
        assert!(
            matches!(malformed, ShardKeyError::Malformed { .. }),
            "{malformed}"
        );
    }
    let state = Arc::new(LocalFiles::new(folder.path().to_owned(), 0o600));
    let missing = FileSigner::load(&spec(), &folder.path().join("none"), state).unwrap_err();
    assert!(matches!(missing, ShardKeyError::Read { .. }), "{missing}");
    std::fs::create_dir_all(folder.path().join("state").join(SHARD)).unwrap();
    std::fs::write(
        folder.path().join("state").join(SHARD).join("signed.0"),
        b"?",
    )
    .unwrap();
    let unknown = load(&of_openssl(), folder.path(), PKCS8_PEM.as_bytes()).unwrap_err();
    assert!(matches!(unknown, ShardKeyError::Memory { .. }), "{unknown}");
}

#[test]
fn head_is_signed_only_with_cosignatures_of_a_quorum_of_those_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let key = write_key(folder.path());
    let state = Arc::new(LocalFiles::new(folder.path().join("state"), 0o600));
    let signer = FileSigner::load(&spec(), &key, state).unwrap();
    let good = head(5, 1, 5_000);
    let with = |cosignatures: Vec<NoteSignature>| CommitCertificate {
        cosignatures,
        ..certificate(good, &[])
    };
    let other_root = cosign(3, &head(5, 2, 5_000));
    let other_second = cosign(3, &head(5, 1, 6_000));
    let of_stranger = cosign(9, &good);
    let mut under_other_name = cosign(9, &good);
    under_other_name.name = cosign(3, &good).name;
    under_other_name.key_id = cosign(3, &good).key_id;
    let two = || vec![cosign(1, &good), cosign(2, &good)];
    let mut cases = vec![vec![], two(), [two(), two()].concat()];
    for bad in [other_root, other_second, of_stranger, under_other_name] {
        cases.push([two(), vec![bad]].concat());
    }
    for cosignatures in cases {
        let refused = signer.sign_head(&with(cosignatures)).unwrap_err();
        assert!(
            matches!(refused, SignerError::NoQuorum { size: 5 }),
            "{refused}"
        );
    }
    let nobody = CommitCertificate {
        validators: Arc::default(),
        ..certificate(good, &[1, 2, 3, 4])
    };
    let refused = signer.sign_head(&nobody).unwrap_err();
    assert!(matches!(refused, SignerError::NoQuorum { .. }), "{refused}");
    assert_eq!(signer.last(), None);
    let entry = &support_entry();
    let refused = signer.sign_sct(0, entry).unwrap_err();
    assert!(matches!(
        refused,
        SignerError::Uncovered { index: 0, size: 0 }
    ));

    signer.sign_head(&certificate(good, &[4, 2, 1])).unwrap();
    signer.sign_sct(4, entry).unwrap();
    let refused = signer.sign_sct(5, entry).unwrap_err();
    assert!(matches!(
        refused,
        SignerError::Uncovered { index: 5, size: 5 }
    ));
}

fn support_entry() -> ct::TimestampedEntry {
    let extensions = ct::CtExtensions::of_index(4).unwrap();
    ct::TimestampedEntry::new(support::entry(4), 4_000, extensions).unwrap()
}

#[test]
fn head_that_goes_back_or_says_something_else_is_refused_also_after_a_start() {
    let folder = tempfile::tempdir().unwrap();
    let key = write_key(folder.path());
    let start = || {
        let state = Arc::new(LocalFiles::new(folder.path().join("state"), 0o600));
        FileSigner::load(&spec(), &key, state).unwrap()
    };
    let sign = |signer: &FileSigner, head| signer.sign_head(&certificate(head, &[1, 2, 3]));
    let first = sign(&start(), head(5, 1, 5_500)).unwrap();
    for signer in [start(), start()] {
        let conflict = |head| match sign(&signer, head).unwrap_err() {
            SignerError::Conflict(conflict) => conflict,
            other => panic!("{other}"),
        };
        let (size, last) = (4, 5);
        assert_eq!(
            conflict(head(4, 9, 9_000)),
            HeadConflict::Size { size, last }
        );
        assert!(matches!(
            conflict(head(5, 9, 9_000)),
            HeadConflict::Root { .. }
        ));
        for late in [head(5, 1, 5_499), head(6, 2, 5_500), head(6, 2, 5_000)] {
            assert!(matches!(conflict(late), HeadConflict::Time { .. }));
        }
        assert_eq!(
            sign(&signer, head(5, 1, 5_500)).unwrap(),
            first,
            "the same once more"
        );
        assert_eq!(signer.sign_last().unwrap().signed, first.signed);
    }
    sign(&start(), head(5, 1, 5_501)).unwrap();
    sign(&start(), head(7, 3, 5_502)).unwrap();
    assert_eq!(start().last(), Some(head(7, 3, 5_502)));
}

#[test]
fn nothing_is_signed_that_the_disk_does_not_remember() {
    let folder = tempfile::tempdir().unwrap();
    let key = write_key(folder.path());
    for left in 0..2 {
        let [_, state] = CrashFiles::pair();
        let disk = Arc::clone(&state.disk);
        let state: Arc<dyn Files> = Arc::new(state);
        let signer = FileSigner::load(&spec(), &key, Arc::clone(&state)).unwrap();
        disk.lock().unwrap().set_left(Some(left));
        let refused = signer.sign_head(&certificate(head(5, 1, 5_000), &[1, 2, 3]));
        let Err(SignerError::Files(error)) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(error.kind(), io::ErrorKind::Other);
        disk.lock().unwrap().cut_power(&mut Dice(left));
        let signer = FileSigner::load(&spec(), &key, state).unwrap();
        let other = signer.sign_head(&certificate(head(5, 2, 5_000), &[1, 2, 3]));
        assert_eq!(
            other.is_ok(),
            left == 0,
            "what was remembered binds, signed or not"
        );
    }
}
