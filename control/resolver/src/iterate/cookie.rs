//! DNS cookies towards servers (RFC 7873 §5): what a forger off the path would have to guess as well.

use std::hash::Hasher;
use std::net::IpAddr;

use siphasher::sip::SipHasher24;
use wire::HEADER_BYTES;

use super::random::Random;

/// COOKIE (RFC 7873 §4).
const OPTION_COOKIE: u16 = 10;
const OPT: u16 = 41;
const CLIENT_BYTES: usize = 8;
const SERVER_BYTES_MIN: usize = 8;
const SERVER_BYTES_MAX: usize = 32;

/// BADCOOKIE.
pub(super) const BADCOOKIE: u16 = 23;

/// What proves to us that a reply answers a query of ours.
pub(super) type ClientCookie = [u8; CLIENT_BYTES];

/// What proves to a server that we receive what is sent to our address.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct ServerCookie {
    bytes: [u8; SERVER_BYTES_MAX],
    length: u8,
}

impl ServerCookie {
    fn new(from: &[u8]) -> Option<Self> {
        let mut bytes = [0; SERVER_BYTES_MAX];
        bytes.get_mut(..from.len())?.copy_from_slice(from);
        let length = u8::try_from(from.len()).ok()?;
        (from.len() >= SERVER_BYTES_MIN).then_some(Self { bytes, length })
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or(&[])
    }
}

impl std::fmt::Debug for ServerCookie {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_bytes().fmt(f)
    }
}

/// Client cookies by server address (RFC 9018 §3): servers cannot tell by them that they are asked by
/// the same client. They change with the secret alone, so that a server's answer to them stays good.
#[derive(Debug)]
pub(super) struct ClientCookies(u64, u64);

impl ClientCookies {
    /// Draws a new secret.
    pub(super) fn new(random: &mut Random) -> Self {
        Self(random.next_u64(), random.next_u64())
    }

    pub(super) fn of(&self, server: IpAddr) -> ClientCookie {
        let mut hasher = SipHasher24::new_with_keys(self.0, self.1);
        match server.to_canonical() {
            IpAddr::V4(address) => hasher.write(&address.octets()),
            IpAddr::V6(address) => hasher.write(&address.octets()),
        }
        hasher.finish().to_le_bytes()
    }
}

/// The COOKIE option of one query.
#[derive(Clone, Copy, Debug)]
pub(super) struct SentCookie {
    pub(super) client: ClientCookie,
    /// What the server gave; it will give one again.
    pub(super) server: Option<ServerCookie>,
}

impl SentCookie {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let server = self.server.as_ref().map_or(&[][..], ServerCookie::as_bytes);
        out.extend_from_slice(&OPTION_COOKIE.to_be_bytes());
        // Both parts have 40 bytes at most.
        let length = u16::try_from(CLIENT_BYTES + server.len()).unwrap_or(u16::MAX);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&self.client);
        out.extend_from_slice(server);
    }
}

/// What a reply has of cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReceivedCookie {
    /// No COOKIE option, no OPT record, or nothing that can be read.
    Absent,
    /// A COOKIE option of a length that none has.
    Malformed,
    /// The client's, and the server's, which a server may leave out of an error.
    Present(ClientCookie, Option<ServerCookie>),
}

/// What the OPT record of a reply says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ReplyOpt {
    /// The upper eight bits of RCODE.
    pub(super) rcode_high: u8,
    pub(super) cookie: ReceivedCookie,
}

impl ReplyOpt {
    const NONE: Self = Self {
        rcode_high: 0,
        cookie: ReceivedCookie::Absent,
    };

    /// Reads the OPT record, and of the others nothing. The first COOKIE option counts.
    pub(super) fn find(message: &[u8]) -> Self {
        let Some((rcode_high, options)) = find_opt(message) else {
            return Self::NONE;
        };
        let cookie = match find_option(options, OPTION_COOKIE) {
            None => ReceivedCookie::Absent,
            Some(data) => parse_cookie(data).unwrap_or(ReceivedCookie::Malformed),
        };
        Self { rcode_high, cookie }
    }
}

/// The upper bits of RCODE and the options of the OPT record.
pub(super) fn find_opt(message: &[u8]) -> Option<(u8, &[u8])> {
    let counts = message.get(4..HEADER_BYTES)?;
    let mut counts = counts.chunks_exact(2).map(u16_of);
    let mut rest = message.get(HEADER_BYTES..)?;
    for _ in 0..counts.next()? {
        rest = after_name(rest)?.get(4..)?;
    }
    let records: u32 = counts.map(u32::from).sum();
    for _ in 0..records {
        let (fields, behind) = after_name(rest)?.split_at_checked(10)?;
        let (rdata, next) = behind.split_at_checked(usize::from(u16_of(fields.get(8..)?)))?;
        if u16_of(fields) == OPT {
            return Some((*fields.get(4)?, rdata));
        }
        rest = next;
    }
    None
}

/// The data of the first option of this code.
pub(super) fn find_option(mut options: &[u8], code: u16) -> Option<&[u8]> {
    loop {
        let (head, behind) = options.split_at_checked(4)?;
        let length = usize::from(u16_of(head.get(2..)?));
        let (data, next) = behind.split_at_checked(length)?;
        if u16_of(head) == code {
            return Some(data);
        }
        options = next;
    }
}

/// 8 bytes, or 16 to 40 (RFC 7873 §5.2.2).
fn parse_cookie(data: &[u8]) -> Option<ReceivedCookie> {
    let (client, server) = data.split_first_chunk::<CLIENT_BYTES>()?;
    let server = match server {
        [] => None,
        server => Some(ServerCookie::new(server)?),
    };
    Some(ReceivedCookie::Present(*client, server))
}

/// The first two bytes; zero if there are fewer.
fn u16_of(bytes: &[u8]) -> u16 {
    bytes
        .first_chunk()
        .map_or(0, |bytes| u16::from_be_bytes(*bytes))
}

/// What follows a name, which may end in a pointer.
fn after_name(mut bytes: &[u8]) -> Option<&[u8]> {
    loop {
        let (&length, rest) = bytes.split_first()?;
        match length {
            0 => return Some(rest),
            0xc0.. => return rest.get(1..),
            _ => bytes = rest.get(usize::from(length)..)?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reply without question whose OPT record holds these options.
    fn reply(options: &[u8]) -> Vec<u8> {
        let mut message = vec![0, 1, 0x80, 7, 0, 1, 0, 1, 0, 0, 0, 1];
        message.extend(b"\x01a\0\0\x01\0\x01");
        message.extend(b"\xc0\x0c\0\x01\0\x01\0\0\0\x05\0\x04\xc0\0\x02\x01");
        message.extend(b"\0\0\x29\x04\xd0\x01\0\x80\0");
        message.extend(u16::try_from(options.len()).unwrap().to_be_bytes());
        message.extend(options);
        message
    }

    fn option(code: u8, data: &[u8]) -> Vec<u8> {
        let mut option = vec![0, code, 0, u8::try_from(data.len()).unwrap()];
        option.extend(data);
        option
    }

    #[test]
    fn cookie_is_found_behind_other_records_and_options_by_its_length() {
        for length in 0..=48_usize {
            let data: Vec<u8> = (0..48).take(length).collect();
            let options = [option(3, b"name"), option(10, &data)].concat();
            let found = ReplyOpt::find(&reply(&options));
            assert_eq!(found.rcode_high, 1);
            let expected = match length {
                8 | 16..=40 => ReceivedCookie::Present(
                    [0, 1, 2, 3, 4, 5, 6, 7],
                    ServerCookie::new(data.get(8..).unwrap()),
                ),
                _ => ReceivedCookie::Malformed,
            };
            assert_eq!(found.cookie, expected, "length={length}");
        }
        assert_eq!(ReplyOpt::find(&reply(&[])).cookie, ReceivedCookie::Absent);
    }

    #[test]
    fn what_is_written_is_found() {
        let server = ServerCookie::new(&[9; 16]);
        let client = [1; 8];
        let mut options = Vec::new();
        SentCookie { client, server }.write(&mut options);
        let found = ReplyOpt::find(&reply(&options)).cookie;
        assert_eq!(found, ReceivedCookie::Present(client, server));
    }

    #[test]
    fn reply_cut_at_every_byte_has_no_cookie() {
        let whole = reply(&option(10, &[7; 24]));
        for length in 0..whole.len() {
            assert_eq!(ReplyOpt::find(&whole[..length]), ReplyOpt::NONE, "{length}");
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic() {
        bolero::check!()
            .with_iterations(20_000)
            .for_each(|bytes: &[u8]| {
                ReplyOpt::find(bytes);
                ReplyOpt::find(&reply(bytes.get(..bytes.len().min(512)).unwrap()));
            });
    }

    #[test]
    fn client_cookies_differ_by_server_and_secret_and_nothing_else() {
        let cookies = ClientCookies::new(&mut Random::new([1; 32]));
        let [a, b, mapped] = ["192.0.2.1", "192.0.2.2", "::ffff:192.0.2.1"]
            .map(|address| cookies.of(address.parse().unwrap()));
        assert_eq!(a, mapped);
        assert_ne!(a, b);
        let others = ClientCookies::new(&mut Random::new([2; 32]));
        assert_ne!(a, others.of("192.0.2.1".parse().unwrap()));
    }
}
