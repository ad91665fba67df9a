//! Queries, answers and frames, written out from the RFCs. Shares no code with the data plane.

pub(crate) const QR: u16 = 0x8000;
pub(crate) const AA: u16 = 0x0400;
pub(crate) const RD: u16 = 0x0100;
pub(crate) const RA: u16 = 0x0080;
pub(crate) const OPCODE_STATUS: u16 = 2 << 11;
pub(crate) const TTL_SECS: u32 = 3600;

const OPCODE: u16 = 0x7800;
const HEADER_BYTES: usize = 12;
const SERVER_PORT: u16 = 53;
const SERVER_UDP_BYTES: u16 = 1232;
const FRAME_BYTES_MIN: usize = 60;
const CLIENT_HOPS: u8 = 61;
const SERVER_HOPS: u8 = 64;
const CLIENT_V4: [u8; 4] = [192, 0, 2, 2];
const SERVER_V4: [u8; 4] = [192, 0, 2, 1];
const CLIENT_V6: [u8; 16] = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
const SERVER_V6: [u8; 16] = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

/// How client and server talk, above their hardware addresses.
#[derive(Clone, Copy)]
pub(crate) struct Ends {
    pub(crate) tag: Option<[u8; 4]>,
    pub(crate) is_ipv6: bool,
    pub(crate) client_port: u16,
}

impl Default for Ends {
    fn default() -> Self {
        Self {
            tag: None,
            is_ipv6: false,
            client_port: 40_000,
        }
    }
}

impl Ends {
    /// The client's frame, padded as a NIC pads it.
    pub(crate) fn query_frame(&self, from: [u8; 6], to: [u8; 6], message: &[u8]) -> Vec<u8> {
        let ports = [self.client_port, SERVER_PORT];
        let mut frame = if self.is_ipv6 {
            self.ethernet(
                from,
                to,
                &ipv6([CLIENT_V6, SERVER_V6], ports, CLIENT_HOPS, message),
            )
        } else {
            self.ethernet(
                from,
                to,
                &ipv4([CLIENT_V4, SERVER_V4], ports, CLIENT_HOPS, message),
            )
        };
        frame.resize(frame.len().max(FRAME_BYTES_MIN), 0);
        frame
    }

    /// The server's frame, which its NIC may leave short.
    pub(crate) fn answer_frame(&self, from: [u8; 6], to: [u8; 6], message: &[u8]) -> Vec<u8> {
        let ports = [SERVER_PORT, self.client_port];
        if self.is_ipv6 {
            self.ethernet(
                from,
                to,
                &ipv6([SERVER_V6, CLIENT_V6], ports, SERVER_HOPS, message),
            )
        } else {
            self.ethernet(
                from,
                to,
                &ipv4([SERVER_V4, CLIENT_V4], ports, SERVER_HOPS, message),
            )
        }
    }

    fn ethernet(&self, from: [u8; 6], to: [u8; 6], packet: &[u8]) -> Vec<u8> {
        let ethertype: u16 = if self.is_ipv6 { 0x86dd } else { 0x0800 };
        let mut frame = [to, from].concat();
        frame.extend(self.tag.iter().flatten());
        frame.extend(ethertype.to_be_bytes());
        frame.extend(packet);
        frame
    }
}

/// RFC 791: no options, no identification, DF. The UDP checksum is 0, which means none.
fn ipv4(addresses: [[u8; 4]; 2], ports: [u16; 2], hops: u8, message: &[u8]) -> Vec<u8> {
    let [high, low] = length(20 + 8 + message.len());
    let mut packet = vec![0x45, 0, high, low, 0, 0, 0x40, 0, hops, 17, 0, 0];
    packet.extend(addresses.as_flattened());
    let sum = checksum(&packet);
    packet[10..12].copy_from_slice(&sum);
    packet.extend(udp(ports, message));
    packet
}

/// RFC 8200, with the UDP checksum that it demands.
fn ipv6(addresses: [[u8; 16]; 2], ports: [u16; 2], hops: u8, message: &[u8]) -> Vec<u8> {
    let mut udp = udp(ports, message);
    let udp_length = length(udp.len());
    let pseudo = [
        addresses.as_flattened(),
        &[0, 0],
        &udp_length,
        &[0, 0, 0, 17],
        &udp,
    ]
    .concat();
    let sum = checksum(&pseudo);
    udp[6..8].copy_from_slice(if sum == [0, 0] { &[0xff, 0xff] } else { &sum });
    let [high, low] = udp_length;
    let header = [0x60, 0, 0, 0, high, low, 17, hops];
    [&header, addresses.as_flattened(), &udp].concat()
}

fn udp([from, to]: [u16; 2], message: &[u8]) -> Vec<u8> {
    let words = [
        from.to_be_bytes(),
        to.to_be_bytes(),
        length(8 + message.len()),
        [0, 0],
    ];
    [words.as_flattened(), message].concat()
}

fn length(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes)
        .expect("a message of this probe")
        .to_be_bytes()
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let word = |pair: &[u8]| {
        u64::from(u16::from_be_bytes([
            pair[0],
            pair.get(1).copied().unwrap_or(0),
        ]))
    };
    let mut sum: u64 = bytes.chunks(2).map(word).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!u16::try_from(sum).expect("folded")).to_be_bytes()
}

/// A query for the A records of a name in wire form, with OPT if there is a size for it.
pub(crate) fn query(id: u16, flags: u16, name: &[u8], udp_bytes: Option<u16>) -> Vec<u8> {
    let mut message = header(id, flags, [1, 0, 0, u16::from(udp_bytes.is_some())]);
    message.extend(name);
    message.extend([0, 1, 0, 1]);
    message.extend(udp_bytes.into_iter().flat_map(opt));
    message
}

/// The only answer to a query: 203.0.113.53.
pub(crate) fn answer(query: &[u8], flags: u16, ttl_secs: u32) -> Vec<u8> {
    let (id, query_flags, question, has_opt) = dissect(query);
    let counts = [1, 1, 0, u16::from(has_opt)];
    let mut message = header(id, flags | query_flags & RD, counts);
    message.extend(question);
    message.extend([0xc0, 12, 0, 1, 0, 1]);
    message.extend(ttl_secs.to_be_bytes());
    message.extend([0, 4, 203, 0, 113, 53]);
    message.extend(has_opt.then(|| opt(SERVER_UDP_BYTES)).into_iter().flatten());
    message
}

/// Nothing but a code, with the question. No query here that gets one has an OPT.
pub(crate) fn error(query: &[u8], code: u16) -> Vec<u8> {
    let (id, flags, question, _) = dissect(query);
    let mut message = header(id, QR | flags & (OPCODE | RD) | code, [1, 0, 0, 0]);
    message.extend(question);
    message
}

/// The DNS message of a frame from port 53, by the UDP length.
pub(crate) fn message_of(frame: &[u8]) -> Option<&[u8]> {
    let tag_bytes = if frame.get(12..14)? == [0x81, 0x00] {
        4
    } else {
        0
    };
    let (ethertype, packet) = frame.get(12 + tag_bytes..)?.split_at_checked(2)?;
    let (protocol, udp) = match ethertype {
        [0x08, 0x00] => (*packet.get(9)?, packet.get(20..)?),
        [0x86, 0xdd] => (*packet.get(6)?, packet.get(40..)?),
        _ => return None,
    };
    let [port_high, port_low, _, _, high, low, _, _] = *udp.first_chunk::<8>()?;
    let is_dns = protocol == 17 && u16::from_be_bytes([port_high, port_low]) == SERVER_PORT;
    let bytes = usize::from(u16::from_be_bytes([high, low]));
    udp.get(8..bytes).filter(|_| is_dns)
}

/// The TTL of the first answer.
pub(crate) fn ttl_of(message: &[u8]) -> Option<u32> {
    let start = question_end(message)? + 6;
    message
        .get(start..)?
        .first_chunk()
        .map(|bytes| u32::from_be_bytes(*bytes))
}

/// RFC 6891: root, OPT, size, no flags, no options.
fn opt(udp_bytes: u16) -> [u8; 11] {
    let [high, low] = udp_bytes.to_be_bytes();
    [0, 0, 41, high, low, 0, 0, 0, 0, 0, 0]
}

fn header(id: u16, flags: u16, counts: [u16; 4]) -> Vec<u8> {
    let words = [id, flags].into_iter().chain(counts);
    words.flat_map(u16::to_be_bytes).collect()
}

/// Id, flags, question, and whether something follows it.
fn dissect(query: &[u8]) -> (u16, u16, &[u8], bool) {
    let word = |at: usize| u16::from_be_bytes([query[at], query[at + 1]]);
    let end = question_end(query).expect("a query of this probe");
    (
        word(0),
        word(2),
        &query[HEADER_BYTES..end],
        query.len() > end,
    )
}

fn question_end(message: &[u8]) -> Option<usize> {
    let name = message.get(HEADER_BYTES..)?;
    let root = name.iter().position(|byte| *byte == 0)?;
    Some(HEADER_BYTES + root + 1 + 4)
}
