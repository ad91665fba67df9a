//! Requests that clients have signed with a shared secret (RFC 8945): checking them, signing what they get.
//!
//! Start at [`TsigKeys::check`]. Signatures that are cut short are not taken: no client of today sends them. Never reads a clock.

use std::collections::BTreeMap;
use std::sync::Arc;

use ring::hmac;
use wire::rcode;

use super::codec::to_u16;
use super::name::{NAME_BYTES_MAX, NameBuffer};
use super::tsig::{
    FUDGE_SECS, Found, Signature, Times, TsigError, TsigKey, append_record, find, strip,
};

/// Most bytes that a signature adds to a message: two names, times, the longest MAC, and what an error adds.
pub const TSIG_BYTES_MAX: usize = 2 * NAME_BYTES_MAX + 10 + 16 + 64 + 6;

/// Fewest bytes of a MAC that is cut short (RFC 8945 §5.2.2.1).
const MAC_BYTES_MIN: usize = 10;

const BADSIG: u16 = 16;
const BADKEY: u16 = 17;
const BADTIME: u16 = 18;
const BADTRUNC: u16 = 22;

/// The keys that clients may sign with, by name.
#[derive(Debug, Clone, Default)]
pub struct TsigKeys(BTreeMap<Box<[u8]>, Arc<TsigKey>>);

impl FromIterator<TsigKey> for TsigKeys {
    /// Of two keys of one name, the last is taken.
    fn from_iter<I: IntoIterator<Item = TsigKey>>(keys: I) -> Self {
        let keys = keys.into_iter();
        Self(keys.map(|key| (key.name().into(), Arc::new(key))).collect())
    }
}

/// A request that was signed by a key of ours: signs the response.
#[derive(Debug, Clone)]
pub struct TsigSigner {
    key: Arc<TsigKey>,
    /// Of the message before: at first, the request.
    mac: Vec<u8>,
    /// Messages since then without a signature.
    unsigned: Vec<u8>,
    /// No message of the response was signed yet.
    is_first: bool,
}

/// A request whose signature is of no use, and what its client is told.
#[derive(Debug, Clone)]
pub struct TsigRefusal {
    code: Code,
    /// As the request has them; absent if it cannot be read.
    request: Option<Box<Request>>,
}

#[derive(Debug, Clone)]
enum Code {
    /// The message, or the length of its MAC.
    Malformed,
    /// Not signed: there is nothing to sign with.
    Unsigned(u16),
    /// Signed, so that the client can believe our time.
    Time(TsigSigner),
}

#[derive(Debug, Clone)]
struct Request {
    name: NameBuffer,
    algorithm: NameBuffer,
    times: Times,
}

impl TsigRefusal {
    fn new(code: Code, found: &Found<'_>) -> Self {
        let request = Request {
            name: found.name,
            algorithm: found.algorithm,
            times: found.times,
        };
        Self {
            code,
            request: Some(Box::new(request)),
        }
    }

    fn malformed(_: TsigError) -> Self {
        Self {
            code: Code::Malformed,
            request: None,
        }
    }

    /// The response code (RFC 8945 §5.2).
    #[must_use]
    pub fn rcode(&self) -> u16 {
        match self.code {
            Code::Malformed => rcode::FORMERR,
            Code::Unsigned(_) | Code::Time(_) => rcode::NOTAUTH,
        }
    }

    /// Puts the reason behind a response, which has this response code already.
    pub fn append(&self, response: &mut Vec<u8>, unix_secs: u64) {
        let Some(request) = &self.request else { return };
        let names = (request.name.as_bytes(), request.algorithm.as_bytes());
        match &self.code {
            Code::Malformed => {}
            Code::Unsigned(error) => {
                let signature = Signature {
                    error: *error,
                    ..Signature::default()
                };
                append_record(response, names, &request.times, signature);
            }
            Code::Time(signer) => {
                let [_, _, other @ ..] = unix_secs.to_be_bytes();
                let mac = signer.mac_of(response, &request.times, BADTIME, &other);
                let signature = Signature {
                    mac: mac.as_ref(),
                    error: BADTIME,
                    other: &other,
                };
                append_record(response, names, &request.times, signature);
            }
        }
    }
}

impl TsigKeys {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key of this name (wire form, lower-case).
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&Arc<TsigKey>> {
        self.0.get(name)
    }

    /// Checks a request; `None` if it is not signed.
    ///
    /// # Errors
    /// What to tell the client, whose request must not be carried out.
    pub fn check(&self, message: &[u8], unix_secs: u64) -> Result<Option<TsigSigner>, TsigRefusal> {
        let Some(found) = find(message).map_err(TsigRefusal::malformed)? else {
            return Ok(None);
        };
        let refuse = |code| Err(TsigRefusal::new(Code::Unsigned(code), &found));
        let key = self.get(found.name.as_bytes());
        let is_its = |key: &&Arc<TsigKey>| key.algorithm.name() == found.algorithm.as_bytes();
        let Some(key) = key.filter(is_its) else {
            return refuse(BADKEY);
        };
        let hmac_key = key.hmac();
        let mac_bytes = hmac_key.algorithm().digest_algorithm().output_len();
        if found.mac.len() > mac_bytes || found.mac.len() < MAC_BYTES_MIN.max(mac_bytes / 2) {
            return Err(TsigRefusal::new(Code::Malformed, &found));
        }
        if found.mac.len() < mac_bytes {
            return refuse(BADTRUNC);
        }
        let mut signed = Vec::with_capacity(message.len());
        strip(message, &found, &mut signed).map_err(TsigRefusal::malformed)?;
        signed.extend_from_slice(&key.variables(&found.times, found.error, found.other));
        if hmac::verify(&hmac_key, &signed, found.mac).is_err() {
            return refuse(BADSIG);
        }
        let signer = TsigSigner {
            key: Arc::clone(key),
            mac: found.mac.to_vec(),
            unsigned: Vec::new(),
            is_first: true,
        };
        if unix_secs.abs_diff(found.times.unix_secs) > found.times.fudge_secs.into() {
            return Err(TsigRefusal::new(Code::Time(signer), &found));
        }
        Ok(Some(signer))
    }
}

impl TsigSigner {
    /// Name of the key in wire form, lower-case.
    #[must_use]
    pub fn key_name(&self) -> &[u8] {
        self.key.name()
    }

    /// The MAC of the request, before anything of the response was signed: no other request has it.
    #[must_use]
    pub fn mac(&self) -> &[u8] {
        &self.mac
    }

    /// Bytes that a signature adds to a message.
    #[must_use]
    pub fn signature_bytes(&self) -> usize {
        let names = self.key.name().len() + self.key.algorithm.name().len();
        // Type, class, TTL and length; times, length of the MAC, id, error, length of other data.
        names + 10 + 16 + self.mac.len()
    }

    /// Signs the next message of the response: each of a transfer, too (RFC 8945 §5.3.1).
    pub fn sign(&mut self, message: &mut Vec<u8>, unix_secs: u64) {
        let times = Times {
            unix_secs,
            fudge_secs: FUDGE_SECS,
        };
        let mac = self.mac_of(message, &times, 0, &[]);
        let signature = Signature {
            mac: mac.as_ref(),
            ..Signature::default()
        };
        let names = (self.key.name(), self.key.algorithm.name());
        append_record(message, names, &times, signature);
        self.mac = mac.as_ref().to_vec();
        self.unsigned.clear();
        self.is_first = false;
    }

    /// Passes over a message that is neither the first nor the last and has no room for a signature: that of
    /// the next covers it, too.
    pub fn leave_unsigned(&mut self, message: &[u8]) {
        self.unsigned.extend_from_slice(message);
    }

    fn mac_of(&self, message: &[u8], times: &Times, error: u16, other: &[u8]) -> hmac::Tag {
        let mut signed = to_u16(self.mac.len()).to_be_bytes().to_vec();
        signed.extend_from_slice(&self.mac);
        signed.extend_from_slice(&self.unsigned);
        signed.extend_from_slice(message);
        if self.is_first {
            signed.extend_from_slice(&self.key.variables(times, error, other));
        } else {
            times.write(&mut signed);
        }
        hmac::sign(&self.key.hmac(), &signed)
    }
}

#[cfg(test)]
#[path = "tsig_serve_tests.rs"]
mod tests;
