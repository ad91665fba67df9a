//! DNS answers, kept apart from the query they first belonged to.
//!
//! [`dissect`] takes a whole response apart once; [`write_answer`] puts it behind any later query
//! for the same name, type and class, in place. [`write_error`] answers what cannot be answered.

mod append;

mod dissect;

mod write;

mod error;

pub use append::{append_client_subnet, append_extended_error, append_nexus};
pub use dissect::{AnswerError, Dissected, dissect};
pub use error::write_error;
pub use write::write_answer;

use crate::query::{COOKIE_BYTES, Query};
use crate::{UDP_PAYLOAD_BYTES_MAX, code, flag};

/// Header bits of a response that an [`Answer`] keeps; the others come from the query.
pub(crate) const ANSWER_FLAGS: u16 = flag::AA | flag::TC | flag::RA | flag::AD | flag::RCODE;

/// TTL of every record of a stale answer, in seconds (RFC 8767 §5.2).
pub const STALE_TTL_SECS: u32 = 30;

/// A response without header and question, ready to be written behind another query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// AA, TC, RA, AD and the low four bits of the response code; other bits are ignored.
    pub flags: u16,
    /// High eight bits of the response code (RFC 6891 §6.1.3).
    pub rcode_high: u8,
    /// ANCOUNT, NSCOUNT, and ARCOUNT without OPT.
    pub counts: [u16; 3],
    /// Length of the prefix of `body` that must be sent whole; what follows may be left out.
    pub required_bytes: u16,
    /// INFO-CODE of an extended error (RFC 8914).
    pub extended_error: Option<u16>,
    /// What it says to people; [`EXTENDED_TEXT_BYTES_MAX`] of it are sent.
    pub extended_text: &'a [u8],
    /// Data of the Nexus extension; sent only to a query that carried the extension.
    pub nexus: Option<[u8; 16]>,
    /// Everything after the question. Compression pointers count from the start of the message:
    /// they stay true because QNAME keeps its length.
    pub body: &'a [u8],
    /// Offset of each TTL inside `body`: two bytes each, little-endian.
    pub ttl_offsets: &'a [u8],
}

/// How old an answer is when it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// Seconds since it was stored; TTLs are lowered by it.
    Fresh(u32),
    /// Past its TTL (RFC 8767): every TTL becomes [`STALE_TTL_SECS`].
    Stale,
}

/// OPT without options: root, type, class, TTL, length (RFC 6891 §6.1.2).
const OPT_BYTES: usize = 11;
/// Code and length of an option.
const OPTION_HEADER_BYTES: usize = 4;
/// INFO-CODE of an EDE.
const INFO_CODE_BYTES: usize = 2;
/// Longest text of an extended error that is sent, in bytes: it must not push records out.
pub const EXTENDED_TEXT_BYTES_MAX: usize = 160;
const NEXUS_BYTES: usize = OPTION_HEADER_BYTES + 16;

impl Answer<'_> {
    /// No records and TC: whoever really asked comes back by TCP (RFC 1035 §4.2.1).
    pub const TRUNCATED: Self = Self {
        flags: flag::TC,
        rcode_high: 0,
        counts: [0; 3],
        required_bytes: 0,
        extended_error: None,
        extended_text: &[],
        nexus: None,
        body: &[],
        ttl_offsets: &[],
    };
}

/// Bytes of the OPT record that [`write_opt`] writes: 0 for a query without one.
#[must_use]
pub fn opt_bytes(query: &Query) -> usize {
    Opt::plain(query).map_or(0, |opt| opt.bytes())
}

/// Writes the OPT record of a response without extended code or error to the front of `out`, if the
/// query had one (RFC 6891 §7), with the cookie that a check has left in the query.
///
/// # Panics
/// If `out` is shorter than [`opt_bytes`]: our own mistake.
pub fn write_opt(out: &mut [u8], query: &Query) {
    if let Some(opt) = Opt::plain(query) {
        opt.write(out);
    }
}

/// The OPT record of one response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opt<'a> {
    pub(crate) rcode_high: u8,
    pub(crate) dnssec_ok: bool,
    pub(crate) extended_error: Option<u16>,
    pub(crate) extended_text: &'a [u8],
    pub(crate) nexus: Option<[u8; 16]>,
    pub(crate) cookie: Option<[u8; COOKIE_BYTES]>,
}

impl Opt<'_> {
    fn plain(query: &Query) -> Option<Self> {
        let edns = query.edns.as_ref()?;
        Some(Self {
            rcode_high: 0,
            dnssec_ok: edns.dnssec_ok,
            extended_error: None,
            extended_text: &[],
            nexus: None,
            cookie: edns.response_cookie(),
        })
    }

    /// As much of the text as is sent.
    #[inline]
    fn text(&self) -> &[u8] {
        let bytes = self.extended_text.len().min(EXTENDED_TEXT_BYTES_MAX);
        self.extended_text.get(..bytes).unwrap_or(&[])
    }

    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        OPT_BYTES + self.rdata_bytes()
    }

    #[inline]
    fn rdata_bytes(&self) -> usize {
        let mut bytes = 0;
        if self.extended_error.is_some() {
            bytes += OPTION_HEADER_BYTES + INFO_CODE_BYTES + self.text().len();
        }
        if self.nexus.is_some() {
            bytes += NEXUS_BYTES;
        }
        if self.cookie.is_some() {
            bytes += OPTION_HEADER_BYTES + COOKIE_BYTES;
        }
        bytes
    }

    /// Writes the record to the front of `out`, which holds [`Opt::bytes`] at least.
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "the caller made room")]
    pub(crate) fn write(&self, out: &mut [u8]) {
        let [size_high, size_low] = UDP_PAYLOAD_BYTES_MAX.to_be_bytes();
        let [type_high, type_low] = code::TYPE_OPT.to_be_bytes();
        let dnssec_ok = u8::from(self.dnssec_ok) << 7;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "214 bytes of options at most"
        )]
        let rdata_bytes = self.rdata_bytes() as u8;
        out[..OPT_BYTES].copy_from_slice(&[
            0,
            type_high,
            type_low,
            size_high,
            size_low,
            self.rcode_high,
            0, // Version.
            dnssec_ok,
            0,
            0,
            rdata_bytes,
        ]);
        let mut options = &mut out[OPT_BYTES..];
        if let Some(cookie) = &self.cookie {
            let data;
            (data, options) = begin_option(options, code::OPTION_COOKIE, COOKIE_BYTES);
            data.copy_from_slice(cookie);
        }
        if let Some(info_code) = self.extended_error {
            let text = self.text();
            let data_bytes = INFO_CODE_BYTES + text.len();
            let data;
            (data, options) = begin_option(options, code::OPTION_EXTENDED_ERROR, data_bytes);
            data[..INFO_CODE_BYTES].copy_from_slice(&info_code.to_be_bytes());
            data[INFO_CODE_BYTES..].copy_from_slice(text);
        }
        if let Some(data) = &self.nexus {
            let (out, _) = begin_option(options, code::OPTION_NEXUS, data.len());
            out.copy_from_slice(data);
        }
    }
}

/// Writes the header of an option; gives the room for its data and what is left.
#[expect(clippy::indexing_slicing, reason = "the caller made room")]
fn begin_option(out: &mut [u8], option: u16, data_bytes: usize) -> (&mut [u8], &mut [u8]) {
    let (header, rest) = out.split_at_mut(OPTION_HEADER_BYTES);
    header[..2].copy_from_slice(&option.to_be_bytes());
    #[expect(clippy::cast_possible_truncation, reason = "162 at most")]
    header[2..].copy_from_slice(&(data_bytes as u16).to_be_bytes());
    rest.split_at_mut(data_bytes)
}
