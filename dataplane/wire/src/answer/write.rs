//! Writes an answer over its query.

#![expect(
    clippy::indexing_slicing,
    reason = "the capacity is asserted and every length kept below it"
)]

use super::{ANSWER_FLAGS, Age, Answer, Opt, STALE_TTL_SECS};
use crate::query::Query;
use crate::{HEADER_BYTES, flag, rcode};

/// INFO-CODE "Stale Answer" (RFC 8914 §4.4).
const EXTENDED_ERROR_STALE: u16 = 3;
/// INFO-CODE "Stale NXDOMAIN Answer" (RFC 8914 §4.20).
const EXTENDED_ERROR_STALE_NXDOMAIN: u16 = 19;

/// Writes `answer` over `query` in place and returns the length of the message in bytes.
///
/// `message` starts with the query and is the whole capacity; the answer never exceeds `limit`
/// (see [`Query::response_limit`]). What does not fit is left out: first the additional records
/// that are not required, then everything, with TC set. Id and question stay as the client wrote
/// them. OPT is sent if and only if the query had one (RFC 6891 §7), with the cookie that a check
/// has left in the query; AD only to a client that showed it understands it (RFC 6840 §5.7).
///
/// # Panics
/// If `message` is shorter than the query: our own mistake.
#[inline]
pub fn write_answer(
    message: &mut [u8],
    query: &Query,
    answer: &Answer<'_>,
    age: Age,
    limit: u16,
) -> usize {
    let question_end = usize::from(query.question_end);
    assert!(question_end <= message.len());
    let capacity = message.len().min(usize::from(limit)).max(question_end);
    let mut opt = opt(query, answer, age);
    let mut opt_bytes = opt.as_ref().map_or(0, Opt::bytes);
    if question_end + opt_bytes > capacity {
        (opt, opt_bytes) = (None, 0); // Only with a limit below 512, which no client can ask for.
    }
    let room = capacity - question_end - opt_bytes;
    let required = answer.body.get(..usize::from(answer.required_bytes));
    let mut flags = answer_flags(query, answer);
    let (body, mut counts) = match required {
        _ if answer.body.len() <= room => (answer.body, answer.counts),
        Some(required) if required.len() <= room => {
            (required, [answer.counts[0], answer.counts[1], 0])
        }
        _ => {
            flags |= flag::TC;
            (&[][..], [0; 3])
        }
    };
    let body_end = question_end + body.len();
    let out = &mut message[question_end..body_end];
    out.copy_from_slice(body);
    write_ttls(out, body, answer.ttl_offsets, age);
    if let Some(opt) = opt {
        counts[2] = counts[2].saturating_add(1);
        opt.write(&mut message[body_end..body_end + opt_bytes]);
    }
    write_header(message, flags, 1, counts);
    body_end + opt_bytes
}

/// The OPT record to send, if the query had one.
#[inline]
fn opt<'a>(query: &Query, answer: &Answer<'a>, age: Age) -> Option<Opt<'a>> {
    let edns = query.edns.as_ref()?;
    Some(Opt {
        rcode_high: answer.rcode_high,
        dnssec_ok: edns.dnssec_ok,
        extended_error: match age {
            Age::Fresh(_) => answer.extended_error,
            Age::Stale if answer.flags & flag::RCODE == rcode::NXDOMAIN => {
                Some(EXTENDED_ERROR_STALE_NXDOMAIN)
            }
            Age::Stale => Some(EXTENDED_ERROR_STALE),
        },
        extended_text: match age {
            Age::Fresh(_) => answer.extended_text,
            Age::Stale => &[],
        },
        nexus: answer.nexus.filter(|_| edns.nexus.is_some()),
        cookie: edns.response_cookie(),
    })
}

#[inline]
fn answer_flags(query: &Query, answer: &Answer<'_>) -> u16 {
    let mut flags = flag::QR | (query.flags & (flag::RD | flag::CD)) | answer.flags & ANSWER_FLAGS;
    if !query.authentic_data() && !query.dnssec_ok() {
        flags &= !flag::AD;
    }
    if answer.rcode_high != 0 && query.edns.is_none() {
        // Without OPT the low bits alone would mean another code (BADVERS would be NOERROR).
        flags = flags & !flag::RCODE | rcode::SERVFAIL;
    }
    flags
}

/// Ages the TTLs. They are read from `body`, not from the fresh copy in `out`, so that no load
/// waits for the copy. Offsets outside of `out` belong to records that were left out.
#[inline]
fn write_ttls(out: &mut [u8], body: &[u8], ttl_offsets: &[u8], age: Age) {
    let (pairs, _) = ttl_offsets.as_chunks::<2>();
    for pair in pairs {
        let offset = usize::from(u16::from_le_bytes(*pair));
        let stored = body.get(offset..).and_then(<[u8]>::first_chunk::<4>);
        let field = out.get_mut(offset..).and_then(<[u8]>::first_chunk_mut::<4>);
        if let (Some(stored), Some(field)) = (stored, field) {
            let ttl_secs = match age {
                Age::Fresh(age_secs) => u32::from_be_bytes(*stored).saturating_sub(age_secs),
                Age::Stale => STALE_TTL_SECS,
            };
            *field = ttl_secs.to_be_bytes();
        }
    }
}

/// Everything of the header but the id.
#[inline]
pub(crate) fn write_header(message: &mut [u8], flags: u16, question_count: u16, counts: [u16; 3]) {
    let [a, b] = flags.to_be_bytes();
    let [c, d] = question_count.to_be_bytes();
    let [[e, f], [g, h], [i, j]] = counts.map(u16::to_be_bytes);
    // One piece, so that what reads it next (a checksum, a copy) does not wait for five stores.
    message[2..HEADER_BYTES].copy_from_slice(&[a, b, c, d, e, f, g, h, i, j]);
}
