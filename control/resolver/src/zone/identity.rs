//! The host identity in HIP records: tag, key and its algorithm (RFC 8005 §5). Names of rendezvous servers follow it.

use super::error::Fault;
use super::radix::{read_base64, read_hex, write_base64, write_hex};
use super::words::Words;

/// Length of the tag, algorithm, length of the key.
const HEADER_BYTES: usize = 4;

/// Appends an identity written as algorithm, tag in hexadecimal and key in base64, one word each (RFC 8005 §6).
pub(super) fn read_identity(words: &mut Words<'_, '_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let algorithm: u8 = words.number("an algorithm's number up to 255")?;
    let (mut tag, mut key) = (Vec::new(), Vec::new());
    let tag_token = words.take("a host identity tag in hexadecimal")?;
    read_hex(&[*tag_token], &mut tag)?;
    let key_token = words.take("a public key in base64")?;
    read_base64(&[*key_token], &mut key)?;
    let tag_bytes = u8::try_from(tag.len()).ok().filter(|&bytes| bytes > 0);
    let tag_bytes = tag_bytes.ok_or_else(|| tag_token.unexpected("1 to 255 bytes"))?;
    let key_bytes = u16::try_from(key.len()).ok().filter(|&bytes| bytes > 0);
    let key_bytes = key_bytes.ok_or_else(|| key_token.unexpected("1 to 65535 bytes"))?;
    out.extend_from_slice(&[tag_bytes, algorithm]);
    out.extend_from_slice(&key_bytes.to_be_bytes());
    out.extend(tag);
    out.extend(key);
    Ok(())
}

/// How many bytes an identity takes.
pub(super) fn identity_bytes(rest: &[u8]) -> Result<usize, &'static str> {
    match rest {
        [0, ..] | [_, _, 0, 0, ..] => Err("a tag and a key of one byte or more"),
        [tag_bytes, _, high, low, ..] => {
            let key_bytes = u16::from_be_bytes([*high, *low]);
            Ok(HEADER_BYTES + usize::from(*tag_bytes) + usize::from(key_bytes))
        }
        _ => Err("the lengths of tag and key"),
    }
}

/// Writes an identity as text.
pub(super) fn write_identity(value: &[u8], out: &mut String) {
    if let [tag_bytes, algorithm, _, _, rest @ ..] = value {
        let (tag, key) = rest
            .split_at_checked(usize::from(*tag_bytes))
            .unwrap_or((rest, &[]));
        out.push_str(&format!("{algorithm} "));
        write_hex(tag, out);
        out.push(' ');
        write_base64(key, out);
    }
}
