//! Cosignatures of checkpoints by witnesses (C2SP tlog-cosignature, the Ed25519 form `cosignature/v1`).

use crate::note::{KeyName, NoteSignature};
use crate::verifier_key::{KeyKind, VerifierKey};

/// The bytes that a cosigner signs of a checkpoint, at `time_s` seconds since 1970: `text` is the note's, with its last
/// newline.
#[must_use]
pub fn message(text: &str, time_s: u64) -> Vec<u8> {
    format!("cosignature/v1\ntime {time_s}\n{text}").into_bytes()
}

/// The signature line of a cosigner that signed [`message`].
#[must_use]
pub fn signature_line(
    name: &KeyName,
    key: &[u8; 32],
    time_s: u64,
    signature: &[u8; 64],
) -> NoteSignature {
    let cosigner = VerifierKey::new(name.clone(), KeyKind::Cosignature, *key);
    NoteSignature {
        key_id: cosigner.id(),
        signature: [time_s.to_be_bytes().as_slice(), signature].concat(),
        name: name.clone(),
    }
}
