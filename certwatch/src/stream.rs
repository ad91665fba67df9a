//! [`Streams`]: what came over TCP becomes Certificate messages of TLS 1.2 and older.
//!
//! A stream begins with a ServerHello and ends with the Certificate behind it, with anything that
//! cannot be one, or with its budget. Segments may come twice, overlap, or out of order; of two that
//! differ in the same place the first counts, as in the kernel. The kernel says where a stream begins: what
//! is still on its way here of one that has ended is no further one.

use std::collections::BTreeMap;
use std::ops::Range;

use bpf_redirect::cert_validator::{STREAM_BYTES_MAX, SegmentPiece};

use crate::chain::{CERTIFICATES_MAX, Chain, Witness};

/// Streams at the same time at most; a further one drops the oldest.
pub const STREAMS_MAX: usize = 1024;
/// How long a stream may take, in nanoseconds: a server that is slower is not waited for.
pub const PATIENCE_NS: u64 = 10_000_000_000;

const HANDSHAKE: u8 = 22;
const SERVER_HELLO: u8 = 2;
const CERTIFICATE: u8 = 11;
/// RFC 8446 §5.1; what TLS 1.2 adds for compression never happens.
const RECORD_BYTES_MAX: usize = 16384;

/// What came of a segment.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// More is needed, or it belongs to a stream that has ended.
    Unfinished,
    /// These were shown.
    Shown(Box<Chain>),
    /// There will be no certificate: another session is resumed, or it is not TLS.
    None,
}

/// Beginnings of connections, by the cookies of their sockets.
#[derive(Debug, Default)]
pub struct Streams {
    streams: BTreeMap<u64, Stream>,
    dropped: u64,
}

#[derive(Debug)]
struct Stream {
    first_sequence: u32,
    began_ns: u64,
    bytes: Vec<u8>,
    /// Parts of `bytes` that have come: apart from each other, in order.
    come: Vec<Range<usize>>,
}

impl Streams {
    /// Takes a segment. `is_gated` says whether the flow waits for a verdict when it has a certificate.
    pub fn take(&mut self, piece: &SegmentPiece<'_>, is_gated: bool) -> Outcome {
        if piece.begins {
            self.streams.insert(piece.cookie, Stream::new(piece));
        }
        let Some(stream) = self.streams.get_mut(&piece.cookie) else {
            return Outcome::Unfinished;
        };
        stream.put(piece.sequence, piece.data);
        let outcome = match find_certificates(stream.beginning()) {
            Found::Unfinished if stream.beginning().len() < STREAM_BYTES_MAX => Outcome::Unfinished,
            Found::Unfinished | Found::None => Outcome::None,
            Found::Certificates(certificates) => {
                let witness = Witness {
                    cookie: Some(piece.cookie),
                    seen_ns: piece.seen_ns,
                    is_held: is_gated,
                    ..Witness::default()
                };
                let chain = Chain::new(certificates, witness);
                chain.map_or(Outcome::None, |chain| Outcome::Shown(Box::new(chain)))
            }
        };
        if outcome == Outcome::Unfinished {
            self.forget_oldest();
        } else {
            self.streams.remove(&piece.cookie);
        }
        outcome
    }

    /// Forgets streams whose time is over at `now_ns` of CLOCK_MONOTONIC, and tells their cookies and when
    /// they began.
    pub fn expire(&mut self, now_ns: u64) -> Vec<(u64, u64)> {
        let is_over = |_: &u64, stream: &mut Stream| now_ns > stream.began_ns + PATIENCE_NS;
        let over = self.streams.extract_if(.., is_over);
        let over: Vec<_> = over
            .map(|(cookie, stream)| (cookie, stream.began_ns))
            .collect();
        self.dropped += over.len() as u64;
        over
    }

    /// How many were given up.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn forget_oldest(&mut self) {
        if self.streams.len() <= STREAMS_MAX {
            return;
        }
        let oldest = self
            .streams
            .iter()
            .min_by_key(|(_, stream)| stream.began_ns);
        if let Some(cookie) = oldest.map(|(cookie, _)| *cookie) {
            self.streams.remove(&cookie);
            self.dropped += 1;
        }
    }
}

impl Stream {
    /// Without any bytes yet.
    fn new(first: &SegmentPiece<'_>) -> Self {
        Self {
            first_sequence: first.sequence,
            began_ns: first.seen_ns,
            bytes: Vec::new(),
            come: Vec::new(),
        }
    }

    /// Puts data in their place; what lies in front of the beginning or behind the bound is left out.
    fn put(&mut self, sequence: u32, data: &[u8]) {
        // Sequence numbers wrap (RFC 9293 §3.4): half of the circle lies in front.
        let start = sequence.wrapping_sub(self.first_sequence) as usize;
        if start >= STREAM_BYTES_MAX {
            return;
        }
        let end = (start + data.len()).min(STREAM_BYTES_MAX);
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        let mut free = start;
        let mut gaps = Vec::new();
        for come in &self.come {
            if come.start > free {
                gaps.push(free..come.start.min(end));
            }
            free = free.max(come.end);
            if free >= end {
                break;
            }
        }
        gaps.push(free..end);
        for gap in gaps.into_iter().filter(|gap| gap.start < gap.end) {
            let from = gap.start - start..gap.end - start;
            if let (Some(to), Some(from)) = (self.bytes.get_mut(gap.clone()), data.get(from)) {
                to.copy_from_slice(from);
                self.come.push(gap);
            }
        }
        self.come.sort_unstable_by_key(|come| come.start);
        self.come.dedup_by(|next, before| {
            let touches = next.start == before.end;
            if touches {
                before.end = next.end;
            }
            touches
        });
    }

    /// All bytes up to the first gap.
    fn beginning(&self) -> &[u8] {
        let first = self.come.first().filter(|come| come.start == 0);
        let bytes = first.and_then(|come| self.bytes.get(come.clone()));
        bytes.unwrap_or_default()
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Found {
    Unfinished,
    None,
    Certificates(Vec<Vec<u8>>),
}

/// The certificates of the message behind the ServerHello (RFC 5246 §7.3), if there is one.
fn find_certificates(bytes: &[u8]) -> Found {
    let Some(messages) = handshake_of(bytes) else {
        return Found::None;
    };
    let mut rest = &messages[..];
    for wanted in [SERVER_HELLO, CERTIFICATE] {
        match rest.first() {
            None => return Found::Unfinished,
            Some(kind) if *kind != wanted => return Found::None,
            Some(_) => {}
        }
        let Some((body, behind)) = rest.get(1..).and_then(split_vector) else {
            return Found::Unfinished;
        };
        if wanted == CERTIFICATE {
            return certificates_of(body).map_or(Found::None, Found::Certificates);
        }
        rest = behind;
    }
    Found::None
}

/// The handshake messages of the records at the beginning; a record may be cut by the end. `None`
/// if it does not begin with handshake records. Other records end them.
fn handshake_of(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut messages = Vec::new();
    while let Some((&[kind, major, _, high, low], rest)) = bytes.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([high, low]));
        if kind != HANDSHAKE || major != 3 || length == 0 || length > RECORD_BYTES_MAX {
            if messages.is_empty() {
                return None;
            }
            messages.push(0); // HelloRequest, which ends the search.
            break;
        }
        let (fragment, behind) = rest.split_at(length.min(rest.len()));
        messages.extend_from_slice(fragment);
        bytes = behind;
    }
    Some(messages)
}

/// `certificate_list` of RFC 5246 §7.4.2; `None` if it contradicts itself or is empty.
fn certificates_of(body: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (mut list, behind) = split_vector(body)?;
    let mut certificates = Vec::new();
    while !list.is_empty() && certificates.len() < CERTIFICATES_MAX {
        let (certificate, rest) = split_vector(list)?;
        certificates.push(certificate.to_vec());
        list = rest;
    }
    (behind.is_empty() && !certificates.is_empty()).then_some(certificates)
}

/// A vector with a length of 24 bits in front, and what follows it.
fn split_vector(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&[high, middle, low], rest) = bytes.split_first_chunk()?;
    let length = u32::from_be_bytes([0, high, middle, low]) as usize;
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests;
