//! What the tests of the crate share: frames around messages, queries and responses in bytes.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary uses another part of this module"
)]

/// Ethernet addresses of a frame from a client: ours, then the client's.
const MACS: [u8; 12] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];

/// `WwW.example.com A`, id 0x1234, RD, no EDNS.
pub const QUERY: &[u8] = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\
    \x03WwW\x07example\x03com\x00\x00\x01\x00\x01";

/// What a frame carries above Ethernet.
#[derive(Clone, Debug)]
pub struct Frame {
    /// VLAN tags: EtherType of the tag and its content.
    pub tags: Vec<(u16, u16)>,
    /// EtherType of the packet.
    pub ethertype: u16,
    /// IP header.
    pub ip: Vec<u8>,
    /// UDP length; `None` is the true one.
    pub udp_length: Option<u16>,
    /// UDP payload.
    pub payload: Vec<u8>,
    /// Padding behind the packet.
    pub padding_bytes: usize,
}

impl Frame {
    /// From 192.0.2.2 port 49152 to 192.0.2.1 port 53.
    pub fn ipv4(payload: &[u8]) -> Self {
        let [high, low] = length(28 + payload.len());
        let ip = vec![
            0x45, 0, high, low, 0x12, 0x34, 0, 0, 61, 17, 0xaa, 0xbb, 192, 0, 2, 2, 192, 0, 2, 1,
        ];
        Self::over(0x0800, ip, payload)
    }

    /// From 2001:db8::2 port 49152 to 2001:db8::1 port 53.
    pub fn ipv6(payload: &[u8]) -> Self {
        let [high, low] = length(8 + payload.len());
        let mut ip = vec![0x61, 0x23, 0x45, 0x67, high, low, 17, 61];
        for last in [2, 1] {
            ip.extend([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
        }
        Self::over(0x86dd, ip, payload)
    }

    fn over(ethertype: u16, ip: Vec<u8>, payload: &[u8]) -> Self {
        Self {
            tags: Vec::new(),
            ethertype,
            ip,
            udp_length: None,
            payload: payload.to_vec(),
            padding_bytes: 0,
        }
    }

    /// The same with one more VLAN tag, outermost first.
    pub fn tagged(mut self, ethertype: u16, content: u16) -> Self {
        self.tags.push((ethertype, content));
        self
    }

    /// The frame in bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut frame = MACS.to_vec();
        for (ethertype, content) in &self.tags {
            frame.extend(ethertype.to_be_bytes());
            frame.extend(content.to_be_bytes());
        }
        frame.extend(self.ethertype.to_be_bytes());
        frame.extend(&self.ip);
        frame.extend([0xc0, 0x00, 0, 53]);
        let [high, low] = length(8 + self.payload.len());
        let udp_length = self.udp_length.unwrap_or(u16::from_be_bytes([high, low]));
        frame.extend(udp_length.to_be_bytes());
        frame.extend([0xcc, 0xdd]);
        frame.extend(&self.payload);
        frame.resize(frame.len() + self.padding_bytes, 0);
        frame
    }
}

fn length(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes).expect("short payload").to_be_bytes()
}

/// The query with EDNS: size, flags (0x8000 is DO) and options.
pub fn edns_query(udp_payload_bytes: u16, flags: u16, options: &[u8]) -> Vec<u8> {
    let mut query = QUERY.to_vec();
    query[11] = 1;
    query.extend(opt(udp_payload_bytes, flags, options));
    query
}

/// An OPT record.
pub fn opt(udp_payload_bytes: u16, flags: u16, options: &[u8]) -> Vec<u8> {
    let mut opt = vec![0, 0, 41];
    opt.extend(udp_payload_bytes.to_be_bytes());
    opt.extend([0, 0]);
    opt.extend(flags.to_be_bytes());
    opt.extend(length(options.len()));
    opt.extend(options);
    opt
}

/// An EDNS option.
pub fn option(code: u16, data: &[u8]) -> Vec<u8> {
    let mut option = code.to_be_bytes().to_vec();
    option.extend(length(data.len()));
    option.extend(data);
    option
}

/// A record with owner in wire form.
pub fn record(owner: &[u8], rtype: u16, ttl_secs: u32, rdata: &[u8]) -> Vec<u8> {
    let mut record = owner.to_vec();
    record.extend(rtype.to_be_bytes());
    record.extend([0, 1]);
    record.extend(ttl_secs.to_be_bytes());
    record.extend(length(rdata.len()));
    record.extend(rdata);
    record
}

/// A response to [`QUERY`] with records in answer, authority and additional.
pub fn response(flags: u16, sections: [&[Vec<u8>]; 3]) -> Vec<u8> {
    let mut message = QUERY.to_vec();
    message[2..4].copy_from_slice(&(flags | 0x8000).to_be_bytes());
    for (index, section) in sections.iter().enumerate() {
        let count = u16::try_from(section.len()).expect("few records");
        message[6 + 2 * index..8 + 2 * index].copy_from_slice(&count.to_be_bytes());
        message.extend(section.concat());
    }
    message
}
