//! [`Claim`]: what a node says of a certificate, as an item among the answers of a bundle. The question of such an item is
//! the digest of all that was asked, in a class that DNS leaves to private use: no domain name is like it.

use std::fmt::Write as _;
use std::sync::Arc;

use consensus::{DecodeError, Reader, Writer};
use ct::Hash;
use pki::{CHAIN_BYTES_MAX, CHAIN_CERTIFICATES_MAX, Purpose, Request, STAPLED_BYTES_MAX, Status};
use resolver::agreement::Key;

use super::Proposal;

/// CERT (RFC 4398).
const TYPE: u16 = 37;
/// The first one for private use (RFC 6895 §3.2).
const CLASS: u16 = 0xFF00;
/// So that no other digest can be taken for that of a claim.
const TAG: &[u8] = b"nexus certificate 1\0";
const HOST_BYTES_MAX: usize = 255;
/// A chain that takes more with all beside it is judged without others, whose bundles have no room for it.
const CLAIM_BYTES_MAX: usize = 48 * 1024;
/// Seconds for which the ledger keeps a claim at most: as an account of what was decided; nobody is given it instead of a round, and
/// answers are to have the room.
pub(super) const CLAIM_TTL_SECS_MAX: u32 = 300;

/// A certificate is valid, or it is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    /// All that was asked.
    pub(crate) request: Arc<Request>,
    /// What it came to; unknown is nothing to claim.
    pub(crate) status: Status,
}

/// Whether this is the question of a claim.
pub(crate) fn is_claim(key: &Key) -> bool {
    key.qclass == CLASS
}

/// Of all that is asked. No two requests have the same.
pub(crate) fn request_digest(request: &Request) -> Hash {
    Hash::of(&request_bytes(request))
}

impl Claim {
    /// To be proposed, for so many seconds. `None` if it claims nothing, has no room in a bundle, or could not be read by others,
    /// who would take it for a lie.
    pub(crate) fn proposal(&self, ttl_secs: u32) -> Option<Proposal> {
        let mut records = vec![status_byte(self.status)?];
        records.extend(request_bytes(&self.request));
        let can_be_read = records.len() <= CLAIM_BYTES_MAX && Self::decode(&records).is_ok();
        can_be_read.then(|| Proposal {
            key: self.key(),
            digest: self.digest(),
            records: records.into(),
            ttl_secs: ttl_secs.min(CLAIM_TTL_SECS_MAX),
        })
    }

    /// The question of the item.
    pub(crate) fn key(&self) -> Key {
        let Hash(digest) = request_digest(&self.request);
        let mut name = Vec::with_capacity(67);
        for half in digest.chunks_exact(16) {
            let mut label = String::with_capacity(32);
            for byte in half {
                let _ = write!(label, "{byte:02x}"); // A string has room.
            }
            name.push(32);
            name.extend_from_slice(label.as_bytes());
        }
        name.push(0);
        Key {
            name: name.into(),
            qtype: TYPE,
            qclass: CLASS,
        }
    }

    /// What a quorum signs, if it agrees.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut bytes = TAG.to_vec();
        bytes.extend(request_digest(&self.request).0);
        bytes.extend(status_byte(self.status));
        Hash::of(&bytes).0
    }

    /// Reads the records of an item.
    ///
    /// # Errors
    /// They are no claim.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut from = Reader::new(bytes);
        let status = match from.u8()? {
            1 => Status::Valid,
            2 => Status::Invalid,
            value => return Err(unknown("status of a certificate", value.into(), 0)),
        };
        let request = Arc::new(read_request(&mut from)?);
        from.finish()?;
        Ok(Self { request, status })
    }
}

fn status_byte(status: Status) -> Option<u8> {
    match status {
        Status::Valid => Some(1),
        Status::Invalid => Some(2),
        Status::Unknown => None,
    }
}

/// Each part has its length before it, so that no two requests are the same bytes.
fn request_bytes(request: &Request) -> Vec<u8> {
    let mut out = Writer::default();
    out.u8(match request.purpose {
        Purpose::Server => 1,
        Purpose::Client => 2,
    });
    let count = u32::try_from(request.chain.len()).unwrap_or(u32::MAX);
    out.u32(count);
    request.chain.iter().for_each(|der| out.block(der));
    let port = request.port.map(u16::to_be_bytes);
    let parts = [
        request.host.as_deref().map(str::as_bytes),
        port.as_ref().map(<[u8; 2]>::as_slice),
        request.ocsp.as_deref(),
        request.sct_list.as_deref(),
    ];
    for part in parts {
        out.u8(u8::from(part.is_some()));
        part.into_iter().for_each(|part| out.block(part));
    }
    out.into_bytes()
}

fn read_request(from: &mut Reader<'_>) -> Result<Request, DecodeError> {
    let offset = from.offset();
    let purpose = match from.u8()? {
        1 => Purpose::Server,
        2 => Purpose::Client,
        value => return Err(unknown("purpose of a certificate", value.into(), offset)),
    };
    let count = from.count("certificates", CHAIN_CERTIFICATES_MAX)?;
    let chain = (0..count).map(|_| {
        let der = from.block("bytes of a certificate", CHAIN_BYTES_MAX)?;
        Ok(der.to_vec())
    });
    let chain = chain.collect::<Result<_, DecodeError>>()?;
    let offset = from.offset();
    let host = read_part(from, "bytes of a host", HOST_BYTES_MAX)?.map(String::from_utf8);
    let host = host.transpose();
    let host = host.map_err(|_| unknown("host that is no text at byte", offset as u64, offset))?;
    let offset = from.offset();
    let port = read_part(from, "bytes of a port", 2)?;
    let port = port.map(|port| <[u8; 2]>::try_from(port).map(u16::from_be_bytes));
    let port = port.transpose();
    let port = port.map_err(|part| unknown("port of bytes", part.len() as u64, offset))?;
    Ok(Request {
        chain,
        host,
        port,
        ocsp: read_part(from, "bytes of an OCSP response", STAPLED_BYTES_MAX)?,
        sct_list: read_part(from, "bytes of timestamps", STAPLED_BYTES_MAX)?,
        purpose,
    })
}

fn read_part(
    from: &mut Reader<'_>,
    what: &'static str,
    max: usize,
) -> Result<Option<Vec<u8>>, DecodeError> {
    match from.flag()? {
        true => Ok(Some(from.block(what, max)?.to_vec())),
        false => Ok(None),
    }
}

fn unknown(what: &'static str, value: u64, offset: usize) -> DecodeError {
    DecodeError::Unknown {
        what,
        value,
        offset,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn requests() -> Vec<Request> {
        let request = |change: fn(&mut Request)| {
            let mut request = Request {
                chain: vec![vec![1], vec![2]],
                host: Some("a".into()),
                ..Request::default()
            };
            change(&mut request);
            request
        };
        vec![
            request(|_| {}),
            request(|r| r.chain = vec![vec![1, 2]]),
            request(|r| r.chain = vec![vec![2], vec![1]]),
            request(|r| r.chain = vec![]),
            request(|r| r.host = None),
            request(|r| r.host = Some(String::new())),
            request(|r| r.port = Some(443)),
            request(|r| r.ocsp = Some(vec![])),
            request(|r| r.sct_list = Some(vec![])),
            request(|r| r.purpose = Purpose::Client),
        ]
    }

    #[test]
    fn claims_that_differ_in_anything_have_other_digests_and_come_back_as_they_were() {
        let (mut keys, mut digests) = (BTreeSet::new(), BTreeSet::new());
        for request in requests().into_iter().map(Arc::new) {
            for status in [Status::Valid, Status::Invalid] {
                let claim = Claim {
                    request: Arc::clone(&request),
                    status,
                };
                let proposal = claim.proposal(60).unwrap();
                assert!(is_claim(&proposal.key));
                assert_eq!(Claim::decode(&proposal.records).unwrap(), claim);
                assert!(digests.insert(proposal.digest));
                keys.insert(proposal.key);
            }
        }
        assert_eq!(keys.len(), requests().len());
    }

    #[test]
    fn what_nobody_knows_or_has_room_for_is_not_claimed() {
        let proposal = |status, request| {
            let request = Arc::new(request);
            Claim { request, status }.proposal(60)
        };
        assert!(proposal(Status::Unknown, Request::default()).is_none());
        let with = |bytes, host: usize| Request {
            chain: vec![vec![0; bytes]],
            host: Some("a".repeat(host)),
            ..Request::default()
        };
        assert!(proposal(Status::Valid, with(CLAIM_BYTES_MAX, 1)).is_none());
        assert!(proposal(Status::Valid, with(1, HOST_BYTES_MAX + 1)).is_none());
        let many = |count| Request {
            chain: vec![vec![1]; count],
            ..Request::default()
        };
        assert!(proposal(Status::Invalid, many(CHAIN_CERTIFICATES_MAX)).is_some());
        assert!(proposal(Status::Invalid, many(CHAIN_CERTIFICATES_MAX + 1)).is_none());
        assert!(proposal(Status::Valid, with(CLAIM_BYTES_MAX - 300, HOST_BYTES_MAX)).is_some());
    }

    #[test]
    fn whatever_the_bytes_are_they_are_one_claim_or_none() {
        bolero::check!().for_each(|bytes: &[u8]| {
            if let Ok(claim) = Claim::decode(bytes) {
                let mut again = vec![status_byte(claim.status).unwrap()];
                again.extend(request_bytes(&claim.request));
                assert_eq!(again, bytes);
            }
        });
    }
}
