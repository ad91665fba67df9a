//! Timestamps: what we verify, the crate `sct` verifies, and what `static_ct_api` signs, we verify.

#![expect(clippy::unwrap_used, reason = "a helper that fails must fail the test")]

mod support;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use ct::{
    AddChainReply, CtExtensions, DerError, DigitallySigned, KeyError, LogKey, LogSignatureError,
    Sct, SctError, SignedEntry, encode_sct_list, split_sct_list,
};
use proptest::prelude::*;
use support::{ALGORITHMS, entry, log_key, log_signer, sign, spki};

const TIME_MS: u64 = 1_700_000_000_000;

/// A timestamp of this entry by the log with this key.
fn stamp(seed: u8, entry: &SignedEntry<'_>, extensions: CtExtensions) -> Sct {
    let signer = log_signer(seed);
    let message = Sct::signed_input(entry, TIME_MS, &extensions).unwrap();
    Sct {
        log_id: log_key(&signer).id(),
        timestamp_ms: TIME_MS,
        extensions,
        signature: sign(&signer, &message),
    }
}

fn certificate_sct() -> Sct {
    stamp(1, &CERTIFICATE, CtExtensions::of_index(70_000).unwrap())
}

const CERTIFICATE: SignedEntry<'static> = SignedEntry::Certificate(b"certificate");

fn verify(sct: &Sct, entry: &SignedEntry<'_>, seed: u8, now_ms: u64) -> Result<(), SctError> {
    sct.verify(entry, &log_key(&log_signer(seed)), ALGORITHMS, now_ms)
}

/// What the crate `sct` says.
fn oracle(bytes: &[u8], certificate: &[u8], seed: u8, now_ms: u64) -> Result<usize, sct::Error> {
    let signer = log_signer(seed);
    let point = signer.verifying_key().to_encoded_point(false);
    let log = sct::Log {
        description: "",
        url: "",
        operated_by: "",
        key: point.as_bytes(),
        id: log_key(&signer).id().0,
        max_merge_delay: 0,
    };
    sct::verify_sct(certificate, bytes, now_ms, &[&log])
}

#[test]
fn timestamp_of_ours_is_one_for_the_crate_sct() {
    let sct = certificate_sct();
    assert_eq!(verify(&sct, &CERTIFICATE, 1, TIME_MS), Ok(()));
    assert_eq!(oracle(&sct.encode(), b"certificate", 1, TIME_MS), Ok(0));
    assert_eq!(Sct::decode(&sct.encode()), Ok(sct));
}

#[test]
fn timestamps_of_static_ct_api_are_verified_and_ours_are_the_same() {
    for index in [0, 1, 3, 1 << 39] {
        let entry = entry(index, TIME_MS);
        let mut theirs = static_ct_api::LogEntry {
            leaf_index: index,
            timestamp: TIME_MS,
            ..Default::default()
        };
        match entry.entry().signed() {
            SignedEntry::Certificate(der) => theirs.certificate = der.to_vec(),
            SignedEntry::Precertificate {
                issuer_key_hash,
                tbs,
            } => {
                theirs.is_precert = true;
                theirs.issuer_key_hash = issuer_key_hash.0;
                theirs.certificate = tbs.to_vec();
            }
        }
        let reply = static_ct_api::signed_certificate_timestamp(&log_signer(1), &theirs);
        let json = serde_json::to_string(&reply).unwrap();
        let reply: AddChainReply = serde_json::from_str(&json).unwrap();
        let sct = Sct::try_from(&reply).unwrap();
        assert_eq!(verify(&sct, &entry.entry().signed(), 1, TIME_MS), Ok(()));
        // RFC 6979: the same key, message and moment give the same signature.
        let ours = stamp(1, &entry.entry().signed(), entry.extensions().clone());
        assert_eq!(ours, sct);
        assert_eq!(AddChainReply::from(&ours), reply);
    }
}

#[test]
fn reply_has_the_field_names_of_the_rfc() {
    let sct = stamp(1, &CERTIFICATE, CtExtensions::none());
    let json = serde_json::to_value(AddChainReply::from(&sct)).unwrap();
    let fields: Vec<_> = json.as_object().unwrap().keys().collect();
    assert_eq!(
        fields,
        ["extensions", "id", "sct_version", "signature", "timestamp"]
    );
    assert_eq!(json["sct_version"], 0);
    assert_eq!(json["extensions"], "");
    let mut reply = AddChainReply::from(&sct);
    reply.sct_version = 1;
    assert_eq!(Sct::try_from(&reply), Err(SctError::Version(1)));
    let mut reply = AddChainReply::from(&sct);
    reply.id.0.push(0);
    assert_eq!(Sct::try_from(&reply), Err(SctError::Trailing { left: 1 }));
    reply.id.0.truncate(31);
    assert!(matches!(Sct::try_from(&reply), Err(SctError::Truncated(_))));
}

#[test]
fn each_fault_of_a_timestamp_has_its_error() {
    let sct = certificate_sct();
    let invalid = Err(SctError::Signature(LogSignatureError::Invalid));
    let other = SignedEntry::Certificate(b"certificatf");
    assert_eq!(verify(&sct, &other, 1, TIME_MS), invalid);
    let result = verify(&sct, &CERTIFICATE, 2, TIME_MS);
    assert!(matches!(result, Err(SctError::OtherLog { .. })));
    assert_eq!(
        verify(&sct, &CERTIFICATE, 1, TIME_MS - 1),
        Err(SctError::Future {
            timestamp_ms: TIME_MS,
            now_ms: TIME_MS - 1
        })
    );
    let later = Sct {
        timestamp_ms: TIME_MS + 1,
        ..sct.clone()
    };
    assert_eq!(verify(&later, &CERTIFICATE, 1, u64::MAX), invalid);
    let without = Sct {
        extensions: CtExtensions::none(),
        ..sct.clone()
    };
    assert_eq!(verify(&without, &CERTIFICATE, 1, TIME_MS), invalid);
    let key = log_key(&log_signer(1));
    assert_eq!(
        sct.verify(&CERTIFICATE, &key, &[], TIME_MS),
        Err(SctError::Signature(LogSignatureError::NotImplemented))
    );
    let huge = vec![0; 1 << 24];
    let result = verify(&sct, &SignedEntry::Certificate(&huge), 1, TIME_MS);
    assert!(matches!(result, Err(SctError::Entry(_))));
}

#[test]
fn encoding_with_a_fault_is_refused() {
    let bytes = certificate_sct().encode();
    for length in 0..bytes.len() {
        assert!(Sct::decode(&bytes[..length]).is_err(), "length={length}");
        assert!(oracle(&bytes[..length], b"certificate", 1, TIME_MS).is_err());
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert_eq!(Sct::decode(&longer), Err(SctError::Trailing { left: 1 }));
    let with = |place: usize, value: u8| {
        let mut bytes = bytes.clone();
        bytes[place] = value;
        Sct::decode(&bytes).unwrap_err()
    };
    assert_eq!(with(0, 1), SctError::Version(1));
    let algorithms_at = 1 + 32 + 8 + 2 + 8;
    for (place, hash, signature) in [(0, 5, 3), (0, 0, 3), (1, 4, 2), (1, 4, 7)] {
        let value = if place == 0 { hash } else { signature };
        let error = LogSignatureError::Algorithm { hash, signature };
        assert_eq!(
            with(algorithms_at + place, value),
            SctError::Signature(error)
        );
    }
}

#[test]
fn rsa_signature_is_verified_and_not_with_the_other_algorithm() {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let public = pair.public_key().as_der().unwrap();
    let key = LogKey::new(public.as_ref()).unwrap();
    let message = Sct::signed_input(&CERTIFICATE, TIME_MS, &CtExtensions::none()).unwrap();
    let mut signature = vec![0; pair.public_modulus_len()];
    let random = aws_lc_rs::rand::SystemRandom::new();
    pair.sign(&RSA_PKCS1_SHA256, &random, &message, &mut signature)
        .unwrap();
    let length = u16::try_from(signature.len()).unwrap().to_be_bytes();
    let encoded = [&[4, 1], length.as_slice(), &signature].concat();
    let sct = Sct {
        log_id: key.id(),
        timestamp_ms: TIME_MS,
        extensions: CtExtensions::none(),
        signature: DigitallySigned::decode(&encoded).unwrap(),
    };
    assert_eq!(sct.signature.encode(), encoded);
    assert_eq!(sct.verify(&CERTIFICATE, &key, ALGORITHMS, TIME_MS), Ok(()));
    let ecdsa = Sct {
        signature: certificate_sct().signature,
        ..sct
    };
    assert_eq!(
        ecdsa.verify(&CERTIFICATE, &key, ALGORITHMS, TIME_MS),
        Err(SctError::Signature(LogSignatureError::OtherAlgorithm))
    );
}

#[test]
fn key_that_is_none_of_a_log_is_refused() {
    let whole = spki(&log_signer(1));
    for length in 0..whole.len() {
        let result = LogKey::new(&whole[..length]);
        assert!(
            matches!(result, Err(KeyError::Malformed(_))),
            "length={length}"
        );
    }
    let longer = [whole.as_slice(), &[0]].concat();
    let trailing = DerError::Trailing {
        offset: whole.len(),
        octets: 1,
    };
    assert_eq!(LogKey::new(&longer), Err(KeyError::Malformed(trailing)));
    let ed25519 = [
        &[0x30, 42, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 33, 0],
        [7; 32].as_slice(),
    ]
    .concat();
    assert_eq!(LogKey::new(&ed25519), Err(KeyError::Algorithm));
    // The length of the outer sequence in two bytes, where one would do.
    let long_form = [&[0x30, 0x81, 89], &whole[2..]].concat();
    let length = DerError::Length {
        offset: 1,
        first: 0x81,
    };
    assert_eq!(LogKey::new(&long_form), Err(KeyError::Malformed(length)));
}

#[test]
fn list_keeps_the_good_beside_the_bad() {
    let (one, two) = (
        certificate_sct(),
        stamp(2, &CERTIFICATE, CtExtensions::none()),
    );
    let list = encode_sct_list(&[one.clone(), two.clone()]).unwrap();
    let split = split_sct_list(&list).unwrap();
    let read: Vec<_> = split.iter().map(|bytes| Sct::decode(bytes)).collect();
    assert_eq!(read, [Ok(one), Ok(two.clone())]);

    let mut unknown = list.clone();
    unknown[4] = 9;
    let split = split_sct_list(&unknown).unwrap();
    let read: Vec<_> = split.iter().map(|bytes| Sct::decode(bytes)).collect();
    assert_eq!(read, [Err(SctError::Version(9)), Ok(two.clone())]);

    for length in 0..list.len() {
        let result = split_sct_list(&list[..length]);
        assert!(
            matches!(result, Err(SctError::Truncated(_))),
            "length={length}"
        );
    }
    let longer = [list.as_slice(), &[0]].concat();
    assert_eq!(split_sct_list(&longer), Err(SctError::Trailing { left: 1 }));
    assert_eq!(split_sct_list(&[0, 0]), Err(SctError::Empty));
    assert_eq!(split_sct_list(&[0, 2, 0, 0]), Err(SctError::Empty));
    assert_eq!(encode_sct_list(&[]), None);
    assert_eq!(encode_sct_list(&vec![two; 600]), None);
}

proptest! {
    #[test]
    fn timestamp_with_any_bit_flipped_does_not_hold(place: prop::sample::Index, bit in 0u8..8) {
        let mut bytes = certificate_sct().encode();
        let place = place.index(bytes.len());
        bytes[place] ^= 1 << bit;
        let ours = Sct::decode(&bytes).and_then(|sct| verify(&sct, &CERTIFICATE, 1, u64::MAX));
        let theirs = oracle(&bytes, b"certificate", 1, u64::MAX);
        prop_assert!(ours.is_err());
        prop_assert!(theirs.is_err());
    }
}
