//! Signatures by shared secrets (RFC 8945) on what clients ask and get.

use resolver::zone::{Transfer, TsigKeys, TsigRefusal, TsigSigner};
use wire::UDP_PAYLOAD_BYTES_MAX;
use wire::answer::write_error;
use wire::query::Query;

use crate::clock;
use crate::counters::Counters;
use crate::gate::cut;
use crate::responder::Via;

/// Longest message over TCP, in bytes.
const MESSAGE_BYTES_MAX: usize = 65_535;

/// Checks the signature of a request; `None` if it has none.
///
/// # Errors
/// What to answer instead of carrying it out.
pub(crate) fn check(
    keys: &TsigKeys,
    message: &[u8],
    counters: &Counters,
) -> Result<Option<TsigSigner>, TsigRefusal> {
    let checked = keys.check(message, clock::unix_secs());
    match &checked {
        Ok(Some(_)) => counters.signatures_valid.increment(),
        Ok(None) => {}
        Err(_) => counters.signatures_refused.increment(),
    }
    checked
}

/// Refuses a request for its signature, in place. Returns the length of the answer.
pub(crate) fn write_refusal(
    buffer: &mut [u8],
    query_bytes: usize,
    query: Option<&Query>,
    refusal: &TsigRefusal,
) -> usize {
    let bytes = write_error(buffer, query_bytes, query, refusal.rcode(), None);
    let mut message = buffer[..bytes].to_vec();
    refusal.append(&mut message, clock::unix_secs());
    put_back(&message, buffer).unwrap_or(bytes)
}

/// Signs the answer of `bytes` at the front of `buffer`; one that has no room for a signature is cut
/// (RFC 8945 §5.3). Returns its length.
pub(crate) fn sign(
    signer: &TsigSigner,
    buffer: &mut [u8],
    bytes: usize,
    query: Option<&Query>,
    via: Via,
) -> usize {
    let limit = match (via, query) {
        (Via::Udp, Some(query)) => query.response_limit(UDP_PAYLOAD_BYTES_MAX).into(),
        (Via::Udp, None) => usize::from(UDP_PAYLOAD_BYTES_MAX),
        (Via::Tcp, _) => MESSAGE_BYTES_MAX,
    };
    let room = limit
        .min(buffer.len())
        .saturating_sub(signer.signature_bytes());
    let bytes = match query {
        Some(query) if bytes > room => cut(buffer, query),
        _ => bytes,
    };
    let mut message = buffer[..bytes].to_vec();
    signer.clone().sign(&mut message, clock::unix_secs());
    put_back(&message, buffer).unwrap_or(bytes)
}

fn put_back(message: &[u8], buffer: &mut [u8]) -> Option<usize> {
    buffer.get_mut(..message.len())?.copy_from_slice(message);
    Some(message.len())
}

/// The messages of a transfer, each signed if the query was.
#[derive(Debug)]
pub(crate) struct SignedTransfer {
    transfer: Transfer,
    signer: Option<TsigSigner>,
}

impl SignedTransfer {
    pub(crate) fn new(mut transfer: Transfer, signer: Option<TsigSigner>) -> Self {
        if let Some(signer) = &signer {
            transfer.reserve(signer.signature_bytes());
        }
        Self { transfer, signer }
    }

    /// Whether it is an IXFR and not the whole zone.
    pub(crate) fn is_incremental(&self) -> bool {
        self.transfer.is_incremental()
    }
}

impl Iterator for SignedTransfer {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let mut message = self.transfer.next()?;
        if let Some(signer) = &mut self.signer {
            if message.len() + signer.signature_bytes() <= MESSAGE_BYTES_MAX {
                signer.sign(&mut message, clock::unix_secs());
            } else {
                // A record that fills a message alone.
                signer.leave_unsigned(&message);
            }
        }
        Some(message)
    }
}
