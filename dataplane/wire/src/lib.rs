//! Frames and DNS messages over byte slices: read once, answered in place.
//!
//! Never allocates, never reads a clock, never panics on outside bytes. A datagram goes through
//! [`frame::Datagram::parse`], [`query::Query::parse`], [`answer::write_answer`] and
//! [`frame::turn_around`]; an answer from the control plane enters by [`answer::dissect`].
#![no_std]
#![forbid(unsafe_code)]
#![warn(clippy::indexing_slicing)] // Outside bytes are never indexed; the exceptions say why.

#[cfg(test)]
extern crate std;

pub mod frame;

pub mod query;

pub mod answer;

pub mod name;

mod cursor;

/// Largest UDP payload that Nexus announces in OPT and sends (DNS flag day 2020), in bytes.
pub const UDP_PAYLOAD_BYTES_MAX: u16 = 1232;

/// Length of a DNS message header, in bytes (RFC 1035 §4.1.1).
pub const HEADER_BYTES: usize = 12;

/// Largest name in wire form, root byte included, in bytes (RFC 1035 §2.3.4).
pub const QNAME_BYTES_MAX: usize = 255;

/// Bits of the second header word (RFC 1035 §4.1.1, RFC 4035 §3.1.6, §3.2).
pub mod flag {
    /// Query (0) or response (1).
    pub const QR: u16 = 0x8000;
    /// The four bits of OPCODE.
    pub const OPCODE: u16 = 0x7800;
    /// Authoritative answer.
    pub const AA: u16 = 0x0400;
    /// Truncated.
    pub const TC: u16 = 0x0200;
    /// Recursion desired.
    pub const RD: u16 = 0x0100;
    /// Recursion available.
    pub const RA: u16 = 0x0080;
    /// Authentic data.
    pub const AD: u16 = 0x0020;
    /// Checking disabled.
    pub const CD: u16 = 0x0010;
    /// The four low bits of the response code.
    pub const RCODE: u16 = 0x000f;
}

/// Response codes that we write.
pub mod rcode {
    /// The query cannot be read (RFC 1035 §4.1.1).
    pub const FORMERR: u16 = 1;
    /// The server failed (RFC 1035 §4.1.1).
    pub const SERVFAIL: u16 = 2;
    /// The name does not exist (RFC 1035 §4.1.1).
    pub const NXDOMAIN: u16 = 3;
    /// The opcode is not implemented (RFC 1035 §4.1.1).
    pub const NOTIMP: u16 = 4;
    /// Refused by policy (RFC 1035 §4.1.1).
    pub const REFUSED: u16 = 5;
    /// A name is there that should not be (RFC 2136 §2.2).
    pub const YXDOMAIN: u16 = 6;
    /// Records are there that should not be (RFC 2136 §2.2).
    pub const YXRRSET: u16 = 7;
    /// Records that should be there are not (RFC 2136 §2.2).
    pub const NXRRSET: u16 = 8;
    /// Not an authority for the zone (RFC 2136 §2.2), or not authorised (RFC 8945 §5.2).
    pub const NOTAUTH: u16 = 9;
    /// A name is not inside of the zone (RFC 2136 §2.2).
    pub const NOTZONE: u16 = 10;
    /// The EDNS version is not implemented (RFC 6891 §9).
    pub const BADVERS: u16 = 16;
    /// The server cookie is missing or wrong (RFC 7873 §8).
    pub const BADCOOKIE: u16 = 23;
}

/// Record types and option codes that the parsers know by number.
pub(crate) mod code {
    pub(crate) const TYPE_NS: u16 = 2;
    pub(crate) const TYPE_SOA: u16 = 6;
    pub(crate) const TYPE_SIG: u16 = 24;
    pub(crate) const TYPE_OPT: u16 = 41;
    pub(crate) const TYPE_TSIG: u16 = 250;
    /// RFC 7871.
    pub(crate) const OPTION_CLIENT_SUBNET: u16 = 8;
    /// RFC 7873.
    pub(crate) const OPTION_COOKIE: u16 = 10;
    /// RFC 8914.
    pub(crate) const OPTION_EXTENDED_ERROR: u16 = 15;
    /// The Nexus extension, in the range for local use (RFC 6891 §9).
    pub(crate) const OPTION_NEXUS: u16 = 65053;
}
