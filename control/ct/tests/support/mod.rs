//! What several tests need: bytes from hexadecimal, and RFC 6962's recursive definitions as they are written.

#![allow(dead_code, reason = "each test uses a part")]
#![expect(clippy::unwrap_used, reason = "a helper that fails must fail the test")]

pub(crate) mod list;

use std::convert::Infallible;

use ct::{Hash, HashSource};

/// Bytes of hexadecimal digits.
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap()
}

/// Hash of hexadecimal digits.
pub(crate) fn hash(text: &str) -> Hash {
    Hash(unhex(text).try_into().unwrap())
}

/// Leaf hashes of `size` different leaves.
pub(crate) fn leaves(size: u64) -> Vec<Hash> {
    (0..size)
        .map(|index| Hash::leaf(&index.to_be_bytes()))
        .collect()
}

/// MTH of RFC 6962 §2.1.
pub(crate) fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::of(&[]),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            Hash::node(&naive_root(left), &naive_root(right))
        }
    }
}

/// PATH of RFC 6962 §2.1.1.
pub(crate) fn naive_path(index: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() < 2 {
        return Vec::new();
    }
    let middle = leaves.len().next_power_of_two() / 2;
    let (left, right) = leaves.split_at(middle);
    if index < middle {
        [naive_path(index, left), vec![naive_root(right)]].concat()
    } else {
        [naive_path(index - middle, right), vec![naive_root(left)]].concat()
    }
}

/// SUBPROOF of RFC 6962 §2.1.2; PROOF is SUBPROOF with `known`.
pub(crate) fn naive_consistency(old: usize, leaves: &[Hash], known: bool) -> Vec<Hash> {
    if old == leaves.len() {
        let root = vec![naive_root(leaves)];
        return if known { Vec::new() } else { root };
    }
    let middle = leaves.len().next_power_of_two() / 2;
    let (left, right) = leaves.split_at(middle);
    if old <= middle {
        let inner = naive_consistency(old, left, known);
        [inner, vec![naive_root(right)]].concat()
    } else {
        let inner = naive_consistency(old - middle, right, false);
        [inner, vec![naive_root(left)]].concat()
    }
}

/// All leaf hashes as a source: what it is asked for, it computes.
pub(crate) struct Naive<'a>(pub(crate) &'a [Hash]);

impl HashSource for Naive<'_> {
    type Error = Infallible;

    fn hash(&mut self, level: u8, index: u64) -> Result<Hash, Infallible> {
        let start = usize::try_from(index << level).unwrap();
        Ok(naive_root(&self.0[start..start + (1 << level)]))
    }
}

/// What the caller of this crate brings: the algorithms of webpki.
pub(crate) const ALGORITHMS: &ct::Algorithms<'static> = webpki::ALL_VERIFICATION_ALGS;

/// Key of a log, from one byte, so that tests repeat.
pub(crate) fn log_signer(seed: u8) -> p256::ecdsa::SigningKey {
    p256::ecdsa::SigningKey::from_slice(&[seed; 32]).unwrap()
}

/// DER of its public half.
pub(crate) fn spki(signer: &p256::ecdsa::SigningKey) -> Vec<u8> {
    use p256::pkcs8::EncodePublicKey as _;
    let der = signer.verifying_key().to_public_key_der().unwrap();
    der.as_bytes().to_vec()
}

/// The public half.
pub(crate) fn log_key(signer: &p256::ecdsa::SigningKey) -> ct::LogKey {
    ct::LogKey::new(&spki(signer)).unwrap()
}

/// A log's signature.
pub(crate) fn sign(signer: &p256::ecdsa::SigningKey, message: &[u8]) -> ct::DigitallySigned {
    use p256::ecdsa::signature::Signer as _;
    let signature: p256::ecdsa::Signature = signer.sign(message);
    ct::DigitallySigned::ecdsa(signature.to_der().as_bytes().to_vec()).unwrap()
}

/// A witness's key, from one byte.
pub(crate) fn witness_signer(seed: u8) -> ed25519_dalek::SigningKey {
    ed25519_dalek::SigningKey::from_bytes(&[seed; 32])
}

/// A key name.
pub(crate) fn name(text: &str) -> ct::KeyName {
    ct::KeyName::new(text).unwrap()
}

/// The cosignature of a note by this witness.
pub(crate) fn cosign(
    signer: &ed25519_dalek::SigningKey,
    witness: &str,
    time_s: u64,
    note: &mut ct::Note,
) {
    use ed25519_dalek::Signer as _;
    let signature = signer.sign(&ct::cosignature::message(note.text(), time_s));
    let key = signer.verifying_key().to_bytes();
    let line = ct::cosignature::signature_line(&name(witness), &key, time_s, &signature.to_bytes());
    note.sign(line).unwrap();
}

/// A flipped or missing byte of something that was whole: more of it gets past the first checks than of random bytes.
pub(crate) fn damage(whole: &[u8], noise: &[u8]) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    for pair in noise.chunks_exact(3) {
        let [high, low, value] = *pair else { continue };
        let place = usize::from(u16::from_be_bytes([high, low]));
        match bytes.len().checked_sub(1) {
            Some(last) if value == 0 => bytes.truncate(place.min(last)),
            Some(last) => bytes[place % (last + 1)] ^= value,
            None => {}
        }
    }
    bytes
}

/// Entries of both kinds.
pub(crate) fn entry(index: u64, timestamp_ms: u64) -> ct::TimestampedEntry {
    let der = |what: &str| format!("{what} {index}").into_bytes().into();
    let kind = if index.is_multiple_of(3) {
        ct::EntryKind::Precertificate {
            issuer_key_hash: Hash::of(&index.to_be_bytes()),
            tbs: der("tbs"),
            submitted: der("precertificate"),
        }
    } else {
        ct::EntryKind::Certificate(der("certificate"))
    };
    let chain = (0..index % 4).map(|issuer| Hash::of(&issuer.to_be_bytes()));
    let chain = chain.collect();
    let extensions = ct::CtExtensions::of_index(index).unwrap();
    ct::TimestampedEntry::new(ct::LogEntry { kind, chain }, timestamp_ms, extensions).unwrap()
}

/// A data tile of such entries.
pub(crate) fn data_tile(tile: ct::TileId) -> Vec<u8> {
    let mut bytes = Vec::new();
    for place in 0..u64::from(tile.width()) {
        entry(tile.index() * 256 + place, 1_700_000_000_000 + place).write_tile_leaf(&mut bytes);
    }
    bytes
}
