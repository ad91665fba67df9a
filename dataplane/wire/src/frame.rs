//! Ethernet frames that carry one UDP datagram.
//!
//! [`Datagram::parse`] accepts exactly what the `dns_filter` program redirects. [`turn_around`]
//! makes a reply of the frame it came in; [`write_reply_headers`] and [`assemble`] do the same for
//! an answer that comes later. Never trusts the frame length: short frames are padded.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::ops::Range;

mod checksum;

mod reply;

pub use reply::{assemble, turn_around, write_reply_headers};

/// Longest headers of an accepted frame: Ethernet 14, VLAN 4, IPv6 40, UDP 8 bytes.
pub const HEADERS_BYTES_MAX: usize = 66;

pub(crate) const ETHERNET_BYTES: usize = 14;
pub(crate) const VLAN_BYTES: usize = 4;
pub(crate) const IPV4_BYTES: usize = 20;
pub(crate) const IPV6_BYTES: usize = 40;
pub(crate) const UDP_BYTES: usize = 8;

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_SERVICE_VLAN: u16 = 0x88a8;
pub(crate) const PROTOCOL_UDP: u8 = 17;

/// More fragments, or an offset that is not 0 (RFC 791 §3.1).
const IPV4_FRAGMENT: u16 = 0x3fff;

/// Why a frame is not an accepted datagram, or cannot become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FrameError {
    /// The frame ends inside its headers.
    Truncated,
    /// Neither IPv4 nor IPv6.
    NotIp,
    /// More than one VLAN tag.
    VlanStacked,
    /// The version field contradicts the EtherType.
    IpVersion,
    /// The IPv4 header length is not 20 bytes.
    Ipv4Options,
    /// An IPv4 fragment.
    Fragment,
    /// An IPv6 extension header stands before the transport header.
    ExtensionHeader,
    /// Not UDP.
    NotUdp,
    /// The IP length is shorter than the headers or longer than the frame.
    IpLength,
    /// The UDP length is below 8 or above the IP payload.
    UdpLength,
    /// Reply headers that [`write_reply_headers`] cannot have written.
    ReplyHeaders,
    /// The reply does not fit into the frame or into a UDP datagram.
    ReplyLength,
}

impl FrameError {
    /// Every variant, in the order of declaration; for tables of counters.
    pub const ALL: [Self; 12] = [
        Self::Truncated,
        Self::NotIp,
        Self::VlanStacked,
        Self::IpVersion,
        Self::Ipv4Options,
        Self::Fragment,
        Self::ExtensionHeader,
        Self::NotUdp,
        Self::IpLength,
        Self::UdpLength,
        Self::ReplyHeaders,
        Self::ReplyLength,
    ];

    /// Label of the counter that this error belongs to.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Truncated => "frame_truncated",
            Self::NotIp => "frame_not_ip",
            Self::VlanStacked => "frame_vlan_stacked",
            Self::IpVersion => "frame_ip_version",
            Self::Ipv4Options => "frame_ipv4_options",
            Self::Fragment => "frame_fragment",
            Self::ExtensionHeader => "frame_extension_header",
            Self::NotUdp => "frame_not_udp",
            Self::IpLength => "frame_ip_length",
            Self::UdpLength => "frame_udp_length",
            Self::ReplyHeaders => "frame_reply_headers",
            Self::ReplyLength => "frame_reply_length",
        }
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.reason())
    }
}

impl core::error::Error for FrameError {}

/// IP version of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)] // Makes a Datagram and its Result eight bytes, which travel in one register.
pub(crate) enum IpVersion {
    V4,
    V6,
}

impl IpVersion {
    #[inline]
    pub(crate) fn header_bytes(self) -> usize {
        match self {
            Self::V4 => IPV4_BYTES,
            Self::V6 => IPV6_BYTES,
        }
    }
}

/// Where the parts of an accepted frame are. Borrows nothing: the caller keeps frame and
/// description together, and the methods panic when given another, shorter frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    pub(crate) network_start: u16,
    pub(crate) payload_bytes: u16,
    pub(crate) version: IpVersion,
}

impl Datagram {
    /// Reads the headers of one frame.
    ///
    /// # Errors
    /// [`FrameError`] for everything that `dns_filter` passes to the kernel.
    #[inline]
    pub fn parse(frame: &[u8]) -> Result<Self, FrameError> {
        let (network_start, version) = parse_link(frame)?;
        let packet = frame
            .get(usize::from(network_start)..)
            .ok_or(FrameError::Truncated)?;
        let payload_bytes = match version {
            IpVersion::V4 => parse_ipv4(packet)?,
            IpVersion::V6 => parse_ipv6(packet)?,
        };
        Ok(Self {
            network_start,
            payload_bytes,
            version,
        })
    }

    /// The UDP payload as the UDP length gives it, in bytes from the start of the frame.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> Range<usize> {
        let start = self.transport_start() + UDP_BYTES;
        start..start + usize::from(self.payload_bytes)
    }

    /// The address and port that sent the datagram.
    #[must_use]
    pub fn source(&self, frame: &[u8]) -> SocketAddr {
        self.endpoint(frame, 0)
    }

    /// The port that the datagram was sent to.
    #[inline]
    #[must_use]
    pub fn destination_port(&self, frame: &[u8]) -> u16 {
        u16::from_be_bytes(array_at::<2>(frame, self.transport_start() + 2))
    }

    /// The two bits of explicit congestion notification (RFC 3168 §5).
    #[must_use]
    pub fn ecn(&self, frame: &[u8]) -> u8 {
        let [first, second] = array_at::<2>(frame, usize::from(self.network_start));
        match self.version {
            IpVersion::V4 => second & 3,
            // Across version, traffic class and flow label (RFC 8200 §3).
            IpVersion::V6 => (u16::from_be_bytes([first, second]) >> 4 & 3) as u8,
        }
    }

    /// The address and port that the datagram was sent to.
    #[must_use]
    pub fn destination(&self, frame: &[u8]) -> SocketAddr {
        self.endpoint(frame, 1)
    }

    #[inline]
    pub(crate) fn transport_start(&self) -> usize {
        usize::from(self.network_start) + self.version.header_bytes()
    }

    /// `side` is 0 for the source and 1 for the destination.
    #[expect(clippy::indexing_slicing, reason = "another frame is our own mistake")]
    fn endpoint(&self, frame: &[u8], side: usize) -> SocketAddr {
        let packet = &frame[usize::from(self.network_start)..];
        let address: IpAddr = match self.version {
            IpVersion::V4 => Ipv4Addr::from(array_at::<4>(packet, 12 + side * 4)).into(),
            IpVersion::V6 => Ipv6Addr::from(array_at::<16>(packet, 8 + side * 16)).into(),
        };
        let port = array_at::<2>(frame, self.transport_start() + side * 2);
        SocketAddr::new(address, u16::from_be_bytes(port))
    }
}

/// The `N` bytes at `offset` of a frame whose length was checked before.
#[inline]
#[expect(clippy::indexing_slicing, reason = "another frame is our own mistake")]
pub(crate) fn array_at<const N: usize>(frame: &[u8], offset: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&frame[offset..offset + N]);
    bytes
}

/// Where the IP header starts and which version it must have.
#[inline]
pub(crate) fn parse_link(frame: &[u8]) -> Result<(u16, IpVersion), FrameError> {
    const TAGGED_BYTES: usize = ETHERNET_BYTES + VLAN_BYTES;
    let ethernet = frame
        .first_chunk::<ETHERNET_BYTES>()
        .ok_or(FrameError::Truncated)?;
    let mut ethertype = u16::from_be_bytes([ethernet[12], ethernet[13]]);
    let mut network_start = 14;
    if is_vlan(ethertype) {
        let tagged = frame
            .first_chunk::<TAGGED_BYTES>()
            .ok_or(FrameError::Truncated)?;
        ethertype = u16::from_be_bytes([tagged[16], tagged[17]]);
        network_start = 18;
        if is_vlan(ethertype) {
            return Err(FrameError::VlanStacked);
        }
    }
    match ethertype {
        ETHERTYPE_IPV4 => Ok((network_start, IpVersion::V4)),
        ETHERTYPE_IPV6 => Ok((network_start, IpVersion::V6)),
        _ => Err(FrameError::NotIp),
    }
}

#[inline]
fn is_vlan(ethertype: u16) -> bool {
    matches!(ethertype, ETHERTYPE_VLAN | ETHERTYPE_SERVICE_VLAN)
}

/// The length of the UDP payload of an IPv4 packet (RFC 791 §3.1).
#[inline]
fn parse_ipv4(packet: &[u8]) -> Result<u16, FrameError> {
    // Headers as one array: a single check of the length for all fields.
    let headers = packet
        .first_chunk::<{ IPV4_BYTES + UDP_BYTES }>()
        .ok_or(FrameError::Truncated)?;
    if headers[0] != 0x45 {
        return Err(match headers[0] >> 4 {
            4 => FrameError::Ipv4Options,
            _ => FrameError::IpVersion,
        });
    }
    if u16::from_be_bytes([headers[6], headers[7]]) & IPV4_FRAGMENT != 0 {
        return Err(FrameError::Fragment);
    }
    if headers[9] != PROTOCOL_UDP {
        return Err(FrameError::NotUdp);
    }
    let total_bytes = usize::from(u16::from_be_bytes([headers[2], headers[3]]));
    if total_bytes < IPV4_BYTES + UDP_BYTES || total_bytes > packet.len() {
        return Err(FrameError::IpLength);
    }
    udp_payload_bytes([headers[24], headers[25]], total_bytes - IPV4_BYTES)
}

/// The length of the UDP payload of an IPv6 packet (RFC 8200 §3).
#[inline]
fn parse_ipv6(packet: &[u8]) -> Result<u16, FrameError> {
    let headers = packet
        .first_chunk::<{ IPV6_BYTES + UDP_BYTES }>()
        .ok_or(FrameError::Truncated)?;
    if headers[0] >> 4 != 6 {
        return Err(FrameError::IpVersion);
    }
    if headers[6] != PROTOCOL_UDP {
        return Err(match headers[6] {
            // Extension headers (IANA registry of RFC 7045); all of them end the fast path.
            0 | 43 | 44 | 50 | 51 | 60 | 135 | 139 | 140 | 253 | 254 => FrameError::ExtensionHeader,
            _ => FrameError::NotUdp,
        });
    }
    let payload_bytes = usize::from(u16::from_be_bytes([headers[4], headers[5]]));
    if payload_bytes < UDP_BYTES || payload_bytes > packet.len() - IPV6_BYTES {
        return Err(FrameError::IpLength);
    }
    udp_payload_bytes([headers[44], headers[45]], payload_bytes)
}

/// Checks the length field of UDP (RFC 768) against the IP payload.
#[inline]
fn udp_payload_bytes(length: [u8; 2], ip_payload_bytes: usize) -> Result<u16, FrameError> {
    let udp_bytes = u16::from_be_bytes(length);
    if usize::from(udp_bytes) > ip_payload_bytes {
        return Err(FrameError::UdpLength);
    }
    udp_bytes.checked_sub(8).ok_or(FrameError::UdpLength)
}
