//! The OPT record of a query (RFC 6891).

use super::QueryError;
use crate::code;
use crate::cursor::{Options, Record};

/// Bytes of a client cookie; a server cookie of 8 to 32 bytes may follow (RFC 7873 §4).
pub const CLIENT_COOKIE_BYTES: usize = 8;

/// Bytes of the server cookies that we send (RFC 9018 §4).
pub const SERVER_COOKIE_BYTES: usize = 16;

/// Bytes of the COOKIE option in a response.
pub(crate) const COOKIE_BYTES: usize = CLIENT_COOKIE_BYTES + SERVER_COOKIE_BYTES;

/// The DO bit in the TTL field of OPT (RFC 3225 §3).
const DNSSEC_OK: u32 = 0x8000;

/// What the OPT record of a query says. Padding (RFC 7830) is passed over: responses leave
/// unencrypted, where padding hides nothing and amplifies (§6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edns {
    /// Largest UDP payload that the client takes, as it says, in bytes.
    pub udp_payload_bytes: u16,
    /// EDNS version; always 0 in a parsed query.
    pub version: u8,
    /// DO bit.
    pub dnssec_ok: bool,
    /// First 8 bytes of the COOKIE option (RFC 7873).
    pub client_cookie: Option<[u8; 8]>,
    /// Offset of the server cookie from the start of the message; see [`Edns::server_cookie`].
    pub server_cookie_start: u16,
    /// Length of the server cookie: 0 if there is none, else 8 to 32 bytes.
    pub server_cookie_bytes: u8,
    /// What came of a check of the cookies; `None` in a query as parsed. After a check every response
    /// carries a COOKIE option.
    pub checked_cookie: Option<CheckedCookie>,
    /// An ECS option was present (RFC 7871); it is not read.
    pub client_subnet: bool,
    /// Data of the Nexus extension, option 65053. Another length than 16 bytes belongs to some
    /// other local experiment and is passed over.
    pub nexus: Option<[u8; 16]>,
}

/// The outcome of checking a query's cookies (RFC 7873 §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckedCookie {
    /// What the response carries behind the client's own cookie.
    pub server: [u8; SERVER_COOKIE_BYTES],
    /// The query showed a server cookie of ours: its source address is not forged.
    pub is_valid: bool,
}

impl Edns {
    /// Data of the COOKIE option that the response carries, if the cookies were checked.
    #[inline]
    pub(crate) fn response_cookie(&self) -> Option<[u8; COOKIE_BYTES]> {
        let (client, checked) = (self.client_cookie?, self.checked_cookie?);
        let mut data = [0; COOKIE_BYTES];
        let (first, second) = data.split_at_mut(CLIENT_COOKIE_BYTES);
        first.copy_from_slice(&client);
        second.copy_from_slice(&checked.server);
        Some(data)
    }

    /// The server cookie inside the message that this was parsed from (RFC 7873 §4).
    #[must_use]
    pub fn server_cookie<'a>(&self, message: &'a [u8]) -> Option<&'a [u8]> {
        let start = usize::from(self.server_cookie_start);
        let cookie = message.get(start..start + usize::from(self.server_cookie_bytes))?;
        (!cookie.is_empty()).then_some(cookie)
    }

    pub(crate) fn parse(record: &Record<'_>) -> Result<Self, QueryError> {
        if !record.is_root {
            return Err(QueryError::OptOwner);
        }
        let [_, version, _, _] = record.ttl.to_be_bytes();
        if version > 0 {
            // Before the options, whose form only this version's definition knows.
            return Err(QueryError::BadVersion(version));
        }
        let mut edns = Self {
            udp_payload_bytes: record.class,
            version,
            dnssec_ok: record.ttl & DNSSEC_OK != 0,
            ..Self::default()
        };
        for option in Options::new(record.rdata) {
            let (code, offset, data) = option.map_err(|_| QueryError::OptMalformed)?;
            match code {
                code::OPTION_COOKIE => edns.set_cookie(record.rdata_offset + offset, data)?,
                code::OPTION_CLIENT_SUBNET => edns.client_subnet = true,
                code::OPTION_NEXUS => edns.nexus = data.try_into().ok(),
                _ => {}
            }
        }
        Ok(edns)
    }

    /// RFC 7873 §5.2: the first COOKIE option counts, further ones are passed over; 8 bytes, or
    /// 16 to 40, are well-formed.
    fn set_cookie(&mut self, offset: usize, data: &[u8]) -> Result<(), QueryError> {
        let malformed = QueryError::CookieLength(u16::try_from(data.len()).unwrap_or(u16::MAX));
        let (client, server) = data
            .split_first_chunk::<CLIENT_COOKIE_BYTES>()
            .ok_or(malformed)?;
        if !matches!(server.len(), 0 | 8..=32) {
            return Err(malformed);
        }
        if self.client_cookie.is_none() {
            let start = offset + CLIENT_COOKIE_BYTES;
            self.client_cookie = Some(*client);
            self.server_cookie_start = u16::try_from(start).map_err(|_| malformed)?;
            self.server_cookie_bytes = u8::try_from(server.len()).map_err(|_| malformed)?;
        }
        Ok(())
    }
}
