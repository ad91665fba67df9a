//! Answers that carry nothing but a response code.

#![expect(
    clippy::indexing_slicing,
    reason = "a query longer than its buffer is our own mistake"
)]

use super::{Opt, write::write_header};
use crate::query::{Query, find_question_end, words};
use crate::{HEADER_BYTES, flag};

/// Writes an error over the query in place and returns the length of the message in bytes.
///
/// The first `query_bytes` of `message` are the query. Id, opcode, RD and CD are kept; the
/// question too, if it can be read. OPT is sent if the query is known to have one, with the cookie
/// that a check has left in it, or if the code needs one (BADVERS). Returns 0 (send nothing) if
/// there is no whole header.
///
/// # Panics
/// If `message` is shorter than `query_bytes`: our own mistake.
pub fn write_error(
    message: &mut [u8],
    query_bytes: usize,
    query: Option<&Query>,
    rcode: u16,
    extended_error: Option<u16>,
) -> usize {
    let Some(header) = message[..query_bytes].first_chunk::<HEADER_BYTES>() else {
        return 0;
    };
    let [_, query_flags, ..] = words(header);
    let question_end = match query {
        Some(query) => Some(usize::from(query.question_end)),
        None => find_question_end(&message[..query_bytes]),
    };
    let end = question_end.unwrap_or(HEADER_BYTES);
    // None also in a query for a cookie alone (RFC 7873 §5.4).
    let question_count = u16::from(end > HEADER_BYTES);
    let kept = query_flags & (flag::OPCODE | flag::RD | flag::CD);
    let flags = flag::QR | kept | rcode & flag::RCODE;

    let edns = query.and_then(|query| query.edns);
    let opt = Opt {
        rcode_high: (rcode >> 4).to_be_bytes()[1],
        dnssec_ok: edns.is_some_and(|edns| edns.dnssec_ok),
        extended_error,
        extended_text: &[],
        nexus: None,
        cookie: edns.and_then(|edns| edns.response_cookie()),
    };
    let wants_opt = edns.is_some() || opt.rcode_high != 0;
    let opt_out = message.get_mut(end..end + opt.bytes());
    let opt_bytes = match opt_out {
        Some(out) if wants_opt => {
            opt.write(out);
            opt.bytes()
        }
        _ => 0,
    };
    write_header(
        message,
        flags,
        question_count,
        [0, 0, u16::from(opt_bytes > 0)],
    );
    end + opt_bytes
}
