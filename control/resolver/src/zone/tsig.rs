//! Transfers signed with a shared secret (RFC 8945): the query, and the messages of its response.
//!
//! Start at [`TsigSession::sign`]; the side of the server is `tsig_serve.rs`. Never reads a clock: who calls says the time.

use std::fmt;

use ring::hmac;
use wire::HEADER_BYTES;

use super::codec::to_u16;
use super::expand::expand_name;
use super::name::NameBuffer;
use super::radix::read_base64;
use super::scanner::Token;

const TYPE_TSIG: u16 = 250;
const CLASS_ANY: u16 = 255;
/// Seconds by which clocks may differ (RFC 8945 §10).
pub(super) const FUDGE_SECS: u16 = 300;
/// Messages in a row without a signature (RFC 8945 §5.3.1).
const UNSIGNED_MAX: usize = 99;
/// Length of id, flags and counts up to ARCOUNT, in bytes.
const ARCOUNT: usize = 10;

/// By which messages are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TsigAlgorithm {
    /// HMAC with SHA-256.
    HmacSha256,
    /// HMAC with SHA-384.
    HmacSha384,
    /// HMAC with SHA-512.
    HmacSha512,
}

impl TsigAlgorithm {
    pub(super) fn name(self) -> &'static [u8] {
        match self {
            Self::HmacSha256 => b"\x0bhmac-sha256\0",
            Self::HmacSha384 => b"\x0bhmac-sha384\0",
            Self::HmacSha512 => b"\x0bhmac-sha512\0",
        }
    }
}

/// A shared secret.
#[derive(Clone, PartialEq)]
pub struct TsigKey {
    pub(super) name: NameBuffer,
    pub(super) algorithm: TsigAlgorithm,
    secret: Vec<u8>,
}

impl fmt::Debug for TsigKey {
    /// Keeps the secret out of logs.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("TsigKey").field(&self.name).finish()
    }
}

impl TsigKey {
    /// A key with this name (wire form) and secret (base64).
    ///
    /// # Errors
    /// What was expected.
    pub fn new(name: &[u8], algorithm: TsigAlgorithm, secret: &str) -> Result<Self, &'static str> {
        let mut name = NameBuffer::from_wire(name).ok_or("expected a name in wire form")?;
        name.make_lowercase();
        let word = Token {
            raw: secret.as_bytes(),
            quoted: false,
            joined: false,
            line: 0,
            column: 0,
        };
        let mut bytes = Vec::new();
        let read = read_base64(&[word], &mut bytes);
        if read.is_err() || bytes.is_empty() {
            return Err("expected a secret in base64 with padding, and nothing else");
        }
        Ok(Self {
            name,
            algorithm,
            secret: bytes,
        })
    }

    /// Its name in wire form, lower-case.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        self.name.as_bytes()
    }

    pub(super) fn hmac(&self) -> hmac::Key {
        let algorithm = match self.algorithm {
            TsigAlgorithm::HmacSha256 => hmac::HMAC_SHA256,
            TsigAlgorithm::HmacSha384 => hmac::HMAC_SHA384,
            TsigAlgorithm::HmacSha512 => hmac::HMAC_SHA512,
        };
        hmac::Key::new(algorithm, &self.secret)
    }

    /// What is signed beside a message (RFC 8945 §4.3.3).
    pub(super) fn variables(&self, times: &Times, error: u16, other: &[u8]) -> Vec<u8> {
        let mut out = self.name.as_bytes().to_vec();
        out.extend_from_slice(&CLASS_ANY.to_be_bytes());
        out.extend_from_slice(&[0; 4]); // TTL.
        out.extend_from_slice(self.algorithm.name());
        times.write(&mut out);
        out.extend_from_slice(&error.to_be_bytes());
        out.extend_from_slice(&to_u16(other.len()).to_be_bytes());
        out.extend_from_slice(other);
        out
    }
}

/// Why a message cannot be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TsigError {
    /// It is cut, or the signature is not its last record.
    #[error("a signed message is malformed at byte {offset}")]
    Malformed {
        /// Where.
        offset: usize,
    },
    /// It has no signature, but must have one.
    #[error("a message has no signature (response code {rcode}); expected one by our key")]
    Unsigned {
        /// What it says.
        rcode: u8,
    },
    /// The signature is by another key or algorithm.
    #[error("a message is signed by another key or algorithm than ours")]
    Key,
    /// The signature does not hold.
    #[error("the signature of a message does not hold")]
    Bad,
    /// It was signed at another time than now.
    #[error("a message was signed {differ_secs} s from now; compare the clocks")]
    Time {
        /// How far from now.
        differ_secs: u64,
    },
    /// The primary says that our signature is of no use: BADSIG (16), BADKEY (17), BADTIME (18), BADTRUNC (22).
    #[error(
        "the primary refuses our signature with code {code} (16: secret, 17: name or algorithm of the key, 18: clock)"
    )]
    Refused {
        /// Its code.
        code: u16,
    },
}

/// When something was signed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) unix_secs: u64,
    pub(super) fudge_secs: u16,
}

impl Times {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let [_, _, secs @ ..] = self.unix_secs.to_be_bytes();
        out.extend_from_slice(&secs);
        out.extend_from_slice(&self.fudge_secs.to_be_bytes());
    }
}

/// A query that was signed, and what of its response was checked.
#[derive(Debug)]
pub struct TsigSession<'k> {
    key: &'k TsigKey,
    /// Of the last message that was signed.
    mac: Vec<u8>,
    /// Messages since.
    pending: Vec<u8>,
    unsigned: usize,
    /// The response has not begun.
    is_first: bool,
}

impl<'k> TsigSession<'k> {
    /// Signs a query that has no signature; it must have a whole header.
    pub fn sign(key: &'k TsigKey, query: &mut Vec<u8>, unix_secs: u64) -> Self {
        let times = Times {
            unix_secs,
            fudge_secs: FUDGE_SECS,
        };
        let signed = [&query[..], &key.variables(&times, 0, &[])].concat();
        let mac = hmac::sign(&key.hmac(), &signed).as_ref().to_vec();
        append(query, key, &times, &mac);
        Self {
            key,
            mac,
            pending: Vec::new(),
            unsigned: 0,
            is_first: true,
        }
    }

    /// Checks the next message of the response.
    ///
    /// # Errors
    /// Why it cannot be trusted, nor what came before it since the last signature.
    pub fn check(&mut self, message: &[u8], unix_secs: u64) -> Result<(), TsigError> {
        let Some(found) = find(message)? else {
            self.unsigned += 1;
            if self.is_first || self.unsigned > UNSIGNED_MAX {
                return Err(unsigned(message));
            }
            self.pending.extend_from_slice(message);
            return Ok(());
        };
        if found.error != 0 {
            return Err(TsigError::Refused { code: found.error });
        }
        if found.name != self.key.name || found.algorithm.as_bytes() != self.key.algorithm.name() {
            return Err(TsigError::Key);
        }
        let mut signed = to_u16(self.mac.len()).to_be_bytes().to_vec();
        signed.extend_from_slice(&self.mac);
        signed.append(&mut self.pending);
        strip(message, &found, &mut signed)?;
        if self.is_first {
            let variables = self.key.variables(&found.times, found.error, found.other);
            signed.extend_from_slice(&variables);
        } else {
            found.times.write(&mut signed); // RFC 8945 §5.3.1.
        }
        hmac::verify(&self.key.hmac(), &signed, found.mac).map_err(|_| TsigError::Bad)?;
        let differ_secs = unix_secs.abs_diff(found.times.unix_secs);
        if differ_secs > found.times.fudge_secs.into() {
            return Err(TsigError::Time { differ_secs });
        }
        self.mac = found.mac.to_vec();
        (self.unsigned, self.is_first) = (0, false);
        Ok(())
    }

    /// The message that was checked last is to be the last of all, which must have a signature.
    ///
    /// # Errors
    /// If it has none.
    pub fn finish(&self) -> Result<(), TsigError> {
        match self.is_first || self.unsigned > 0 {
            true => Err(TsigError::Unsigned { rcode: 0 }),
            false => Ok(()),
        }
    }
}

fn unsigned(message: &[u8]) -> TsigError {
    let rcode = message.get(3).map_or(0, |byte| byte & 0xf);
    TsigError::Unsigned { rcode }
}

/// The signature of a message.
pub(super) struct Found<'m> {
    /// Where its record begins.
    start: usize,
    pub(super) name: NameBuffer,
    pub(super) algorithm: NameBuffer,
    pub(super) times: Times,
    pub(super) mac: &'m [u8],
    original_id: u16,
    pub(super) error: u16,
    pub(super) other: &'m [u8],
}

/// The signature of a message, if it has one.
pub(super) fn find(message: &[u8]) -> Result<Option<Found<'_>>, TsigError> {
    let count = |at| u16_at(message, at).map(usize::from);
    let (questions, additional) = (count(4)?, count(ARCOUNT)?);
    let records = count(6)? + count(8)? + additional;
    let mut offset = HEADER_BYTES;
    for _ in 0..questions {
        offset = skip_name(message, offset)? + 4;
    }
    for index in 1..=records {
        let (start, at) = (offset, skip_name(message, offset)?);
        let (rtype, bytes) = (u16_at(message, at)?, u16_at(message, at + 8)?);
        let data = at + 10;
        offset = data + usize::from(bytes);
        if offset > message.len() {
            return Err(TsigError::Malformed { offset: at });
        }
        if rtype != TYPE_TSIG {
            continue;
        }
        // RFC 8945 §5.1: one, and the last.
        if index != records || additional == 0 {
            return Err(TsigError::Malformed { offset: start });
        }
        return read(message, start, data, offset).map(Some);
    }
    Ok(None)
}

/// Reads the record that begins at `start` and has data from `data` to `end`.
fn read(message: &[u8], start: usize, data: usize, end: usize) -> Result<Found<'_>, TsigError> {
    let fault = |offset| TsigError::Malformed { offset };
    let (mut name, _) = expand_name(message, start).map_err(|_| fault(start))?;
    name.make_lowercase();
    let (mut algorithm, at) = expand_name(message, data).map_err(|_| fault(data))?;
    algorithm.make_lowercase();
    let word = |at| u16_at(message, at).map(u64::from);
    let unix_secs = word(at)? << 32 | word(at + 2)? << 16 | word(at + 4)?;
    let fudge_secs = u16_at(message, at + 6)?;
    let mac_end = at + 10 + usize::from(u16_at(message, at + 8)?);
    let mac = message.get(at + 10..mac_end).ok_or(fault(at))?;
    let (original_id, error) = (u16_at(message, mac_end)?, u16_at(message, mac_end + 2)?);
    let other_end = mac_end + 6 + usize::from(u16_at(message, mac_end + 4)?);
    let other = message.get(mac_end + 6..other_end).ok_or(fault(mac_end))?;
    if other_end != end {
        return Err(fault(other_end));
    }
    Ok(Found {
        start,
        name,
        algorithm,
        times: Times {
            unix_secs,
            fudge_secs,
        },
        mac,
        original_id,
        error,
        other,
    })
}

/// Appends the message as it was before it was signed.
pub(super) fn strip(message: &[u8], found: &Found<'_>, out: &mut Vec<u8>) -> Result<(), TsigError> {
    let additional = u16_at(message, ARCOUNT)?.wrapping_sub(1);
    let fault = TsigError::Malformed { offset: 0 };
    let flags_and_counts = message.get(2..ARCOUNT).ok_or(fault)?;
    let rest = message.get(HEADER_BYTES..found.start).ok_or(fault)?;
    out.extend_from_slice(&found.original_id.to_be_bytes());
    out.extend_from_slice(flags_and_counts);
    out.extend_from_slice(&additional.to_be_bytes());
    out.extend_from_slice(rest);
    Ok(())
}

/// What stands in the record of a signature beside names and times.
#[derive(Clone, Copy, Default)]
pub(super) struct Signature<'s> {
    pub(super) mac: &'s [u8],
    pub(super) error: u16,
    pub(super) other: &'s [u8],
}

/// Appends a signature to a message.
fn append(message: &mut Vec<u8>, key: &TsigKey, times: &Times, mac: &[u8]) {
    let names = (key.name.as_bytes(), key.algorithm.name());
    let signature = Signature {
        mac,
        ..Signature::default()
    };
    append_record(message, names, times, signature);
}

/// Appends the record of a signature by the key of this name and algorithm.
pub(super) fn append_record(
    message: &mut Vec<u8>,
    (name, algorithm): (&[u8], &[u8]),
    times: &Times,
    signature: Signature<'_>,
) {
    let id = u16_at(message, 0).unwrap_or(0);
    let additional = u16_at(message, ARCOUNT).unwrap_or(0).wrapping_add(1);
    if let Some(count) = message.get_mut(ARCOUNT..HEADER_BYTES) {
        count.copy_from_slice(&additional.to_be_bytes());
    }
    let word = |out: &mut Vec<u8>, value: u16| out.extend_from_slice(&value.to_be_bytes());
    let mut data = algorithm.to_vec();
    times.write(&mut data);
    word(&mut data, to_u16(signature.mac.len()));
    data.extend_from_slice(signature.mac);
    for value in [id, signature.error, to_u16(signature.other.len())] {
        word(&mut data, value);
    }
    data.extend_from_slice(signature.other);
    message.extend_from_slice(name);
    for value in [TYPE_TSIG, CLASS_ANY, 0, 0, to_u16(data.len())] {
        word(message, value);
    }
    message.extend_from_slice(&data);
}

fn skip_name(message: &[u8], offset: usize) -> Result<usize, TsigError> {
    let mut at = offset;
    loop {
        match message.get(at) {
            Some(0) => return Ok(at + 1),
            Some(length @ 1..=63) => at += 1 + usize::from(*length),
            Some(0xc0..) => return Ok(at + 2),
            _ => return Err(TsigError::Malformed { offset }),
        }
    }
}

fn u16_at(message: &[u8], offset: usize) -> Result<u16, TsigError> {
    let bytes = message.get(offset..).and_then(<[u8]>::first_chunk);
    bytes
        .map(|bytes| u16::from_be_bytes(*bytes))
        .ok_or(TsigError::Malformed { offset })
}

#[cfg(test)]
#[path = "tsig_tests.rs"]
mod tests;
