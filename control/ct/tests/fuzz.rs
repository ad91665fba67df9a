//! Bytes of others: whatever they are, reading them ends with a value or an error, and a value has one byte form.

#![expect(clippy::unwrap_used, reason = "a helper that fails must fail the test")]

mod support;

use ct::{
    AddCheckpoint, Checkpoint, CtExtensions, Hash, KeyKind, LogKey, LogList, Note, Sct,
    SignedTreeHead, TileId, TileKind, TimestampedEntry, TreeHead, VerifierKey, WitnessPolicy,
    encode_sct_list, read_data_tile, split_sct_list,
};
use data_encoding::BASE64;
use support::{
    cosign, damage, data_tile, entry, log_key, log_signer, name, sign, spki, witness_signer,
};

const ISSUER: &[u8] = b"issuer";

/// Random bytes, and this sample with some of its bytes changed by them.
fn inputs(sample: &[u8], noise: &[u8]) -> [Vec<u8>; 2] {
    [noise.to_vec(), damage(sample, noise)]
}

fn note() -> String {
    let head = TreeHead {
        size: 70_000,
        root: Hash::of(b"root"),
        timestamp_ms: 1,
    };
    let signature = sign(&log_signer(1), &head.signed_input());
    let signed = SignedTreeHead { head, signature };
    let mut note = signed.to_note(&name("example.com/log"), &log_key(&log_signer(1)).id());
    cosign(&witness_signer(2), "witness.example", 5, &mut note);
    note.to_string()
}

fn sct() -> Sct {
    Sct {
        log_id: Hash::of(b"log"),
        timestamp_ms: 5,
        extensions: CtExtensions::of_index(7).unwrap(),
        signature: sign(&log_signer(1), b"anything"),
    }
}

#[test]
fn data_tile_is_refused_or_has_one_byte_form() {
    let tile = TileId::new(TileKind::Data, 3, 6).unwrap();
    let sample = data_tile(tile);
    bolero::check!().for_each(|noise: &[u8]| {
        for bytes in inputs(&sample, noise) {
            let Ok(entries) = read_data_tile(tile, &bytes) else {
                continue;
            };
            let mut again = Vec::new();
            for entry in &entries {
                entry.write_tile_leaf(&mut again);
            }
            assert_eq!(again, bytes);
        }
    });
}

#[test]
fn get_entries_is_refused_or_has_one_byte_form() {
    let sample = entry(3, 4);
    let (leaf, extra) = (
        sample.leaf_input(),
        sample.extra_data(|_| Some(ISSUER)).unwrap(),
    );
    bolero::check!().for_each(|noise: &[u8]| {
        for leaf in inputs(&leaf, noise) {
            if let Ok((entry, _)) = TimestampedEntry::from_get_entries(&leaf, &extra) {
                assert_eq!(entry.leaf_input(), leaf);
            }
        }
        for extra in inputs(&extra, noise) {
            if let Ok((entry, issuers)) = TimestampedEntry::from_get_entries(&leaf, &extra) {
                let find = |wanted: &Hash| {
                    let mut issuers = issuers.iter().copied();
                    issuers.find(|issuer| Hash::of(issuer) == *wanted)
                };
                assert_eq!(entry.extra_data(find).unwrap(), extra);
            }
        }
    });
}

#[test]
fn tile_path_is_refused_or_has_one_form() {
    bolero::check!().for_each(|noise: &[u8]| {
        for bytes in inputs(b"tile/0/x001/x234/067.p/112", noise) {
            let path = String::from_utf8_lossy(&bytes);
            if let Ok(tile) = TileId::parse(&path) {
                assert_eq!(tile.to_string(), path);
            }
        }
    });
}

#[test]
fn timestamp_list_is_refused_or_has_one_byte_form() {
    let sample = encode_sct_list(&[sct(), sct()]).unwrap();
    bolero::check!().for_each(|noise: &[u8]| {
        for bytes in inputs(&sample, noise) {
            let Ok(split) = split_sct_list(&bytes) else {
                continue;
            };
            let scts: Result<Vec<_>, _> = split.into_iter().map(Sct::decode).collect();
            if let Ok(scts) = scts {
                assert_eq!(encode_sct_list(&scts), Some(bytes));
            }
        }
    });
}

#[test]
fn timestamp_and_key_are_refused_or_have_one_byte_form() {
    let (sct, key) = (sct().encode(), spki(&log_signer(1)));
    bolero::check!().for_each(|noise: &[u8]| {
        for bytes in inputs(&sct, noise) {
            if let Ok(sct) = Sct::decode(&bytes) {
                assert_eq!(sct.encode(), bytes);
            }
        }
        for bytes in inputs(&key, noise) {
            if let Ok(key) = LogKey::new(&bytes) {
                assert_eq!(key.spki(), bytes);
            }
        }
    });
}

#[test]
fn note_is_refused_or_has_one_byte_form() {
    let sample = note();
    bolero::check!().for_each(|noise: &[u8]| {
        for bytes in inputs(sample.as_bytes(), noise) {
            let Ok(note) = Note::parse(&bytes) else {
                continue;
            };
            assert_eq!(note.to_string().as_bytes(), bytes);
            if let Ok(checkpoint) = Checkpoint::parse(note.text()) {
                assert_eq!(checkpoint.to_text(), note.text());
            }
        }
    });
}

#[test]
fn add_checkpoint_body_is_refused_or_has_one_byte_form() {
    let hash = BASE64.encode(&[7; 32]);
    let sample = format!("old 5\n{hash}\n{hash}\n\n{}", note());
    bolero::check!().for_each(|noise: &[u8]| {
        for bytes in inputs(sample.as_bytes(), noise) {
            if let Ok(request) = AddCheckpoint::parse(&bytes) {
                assert_eq!(request.to_string().as_bytes(), bytes);
            }
        }
    });
}

#[test]
fn policy_is_refused_or_read_again_as_it_was_written() {
    let key = witness_signer(1).verifying_key().to_bytes();
    let key = VerifierKey::new(name("w"), KeyKind::Cosignature, key);
    let sample = format!("log {key}\nwitness a {key} u\ngroup g 1 a\nquorum g\n");
    bolero::check!().for_each(|noise: &[u8]| {
        for bytes in inputs(sample.as_bytes(), noise) {
            let text = String::from_utf8_lossy(&bytes);
            if let Ok(policy) = WitnessPolicy::parse(&text) {
                assert_eq!(WitnessPolicy::parse(&policy.to_string()), Ok(policy));
            }
        }
    });
}

#[test]
fn log_list_is_refused_or_finds_each_log_by_its_id() {
    let id = log_key(&log_signer(1)).id();
    let list = serde_json::json!({
        "log_list_timestamp": "2026-01-01T00:00:00Z",
        "operators": [{ "name": "One", "logs": [{
            "log_id": BASE64.encode(&id.0), "key": BASE64.encode(&spki(&log_signer(1))),
            "url": "u", "mmd": 1,
            "state": { "usable": { "timestamp": "2026-01-01T00:00:00Z" } },
            "temporal_interval": {
                "start_inclusive": "2026-01-01T00:00:00Z",
                "end_exclusive": "2026-07-01T00:00:00+01:00",
            },
        }] }],
    });
    let sample = list.to_string();
    assert!(
        LogList::parse(sample.as_bytes())
            .unwrap()
            .get(&id)
            .is_some()
    );
    bolero::check!().for_each(|noise: &[u8]| {
        for bytes in inputs(sample.as_bytes(), noise) {
            let Ok(list) = LogList::parse(&bytes) else {
                continue;
            };
            for log in list.logs() {
                assert_eq!(list.get(&log.key.id()), Some(log));
            }
        }
    });
}
