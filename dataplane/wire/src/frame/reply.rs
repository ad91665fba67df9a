//! Headers of replies: turned around in place, or kept as a template for later.

#![expect(
    clippy::indexing_slicing,
    reason = "lengths are checked or asserted before anything is written"
)]

use super::checksum;
use super::{
    Datagram, FrameError, HEADERS_BYTES_MAX, IPV4_BYTES, IPV6_BYTES, IpVersion, PROTOCOL_UDP,
    UDP_BYTES, array_at, parse_link,
};

/// Hop limit of everything sent (RFC 1700, still the default of Linux).
const HOPS: u8 = 64;

/// Makes a reply of the frame that carried the query: swaps MAC addresses, IP addresses and
/// ports, sets lengths, hop limit 64 and checksums. IPv4: DF, identification 0, UDP checksum 0
/// (RFC 768). IPv6: UDP checksum (RFC 8200 §8.1). Returns the length of the frame in bytes; the
/// caller has written `payload_bytes` at `datagram.payload().start`.
///
/// # Panics
/// If `frame` is not the parsed one, or is shorter than headers and payload: our own mistake.
#[inline]
pub fn turn_around(frame: &mut [u8], datagram: &Datagram, payload_bytes: usize) -> usize {
    let payload_start = datagram.payload().start;
    assert!(payload_bytes <= payload_bytes_max(datagram.version));
    assert!(payload_start + payload_bytes <= frame.len());
    swap(frame, datagram);
    complete(frame, datagram, payload_bytes)
}

/// Writes the headers of the reply to `frame`, already swapped, lengths and checksums still
/// open, and returns their length in bytes. [`assemble`] completes them.
///
/// # Panics
/// If `frame` is not the parsed one: our own mistake.
pub fn write_reply_headers(
    frame: &[u8],
    datagram: &Datagram,
    out: &mut [u8; HEADERS_BYTES_MAX],
) -> usize {
    let headers_bytes = datagram.payload().start;
    out[..headers_bytes].copy_from_slice(&frame[..headers_bytes]);
    swap(out, datagram);
    headers_bytes
}

/// Puts reply headers and a message into `frame`, completes lengths and checksums, and returns
/// the length of the frame in bytes.
///
/// # Errors
/// [`FrameError::ReplyHeaders`] if the headers, which come back from another process, are not
/// such as [`write_reply_headers`] writes; [`FrameError::ReplyLength`] if the reply does not fit.
pub fn assemble(frame: &mut [u8], headers: &[u8], message: &[u8]) -> Result<usize, FrameError> {
    let datagram = parse_reply_headers(headers).ok_or(FrameError::ReplyHeaders)?;
    if message.len() > payload_bytes_max(datagram.version) {
        return Err(FrameError::ReplyLength);
    }
    let (headers_out, payload_out) = frame
        .split_at_mut_checked(headers.len())
        .ok_or(FrameError::ReplyLength)?;
    let payload_out = payload_out
        .get_mut(..message.len())
        .ok_or(FrameError::ReplyLength)?;
    headers_out.copy_from_slice(headers);
    payload_out.copy_from_slice(message);
    Ok(complete(frame, &datagram, message.len()))
}

/// Largest UDP payload that the length fields can carry.
#[inline]
fn payload_bytes_max(version: IpVersion) -> usize {
    let network_bytes = match version {
        IpVersion::V4 => version.header_bytes(), // The total length counts the header too.
        IpVersion::V6 => 0,
    };
    usize::from(u16::MAX) - network_bytes - UDP_BYTES
}

/// Describes reply headers, which end where the payload begins.
fn parse_reply_headers(headers: &[u8]) -> Option<Datagram> {
    let (network_start, version) = parse_link(headers).ok()?;
    let datagram = Datagram {
        network_start,
        payload_bytes: 0,
        version,
    };
    if headers.len() != datagram.payload().start {
        return None;
    }
    let packet = headers.get(usize::from(network_start)..)?;
    let is_udp = match version {
        IpVersion::V4 => *packet.first()? == 0x45 && *packet.get(9)? == PROTOCOL_UDP,
        IpVersion::V6 => *packet.first()? >> 4 == 6 && *packet.get(6)? == PROTOCOL_UDP,
    };
    is_udp.then_some(datagram)
}

/// Swaps source and destination of link, network and transport.
#[inline]
fn swap(frame: &mut [u8], datagram: &Datagram) {
    let network = usize::from(datagram.network_start);
    swap_neighbours::<6>(frame, 0);
    match datagram.version {
        IpVersion::V4 => swap_neighbours::<4>(frame, network + 12),
        IpVersion::V6 => swap_neighbours::<16>(frame, network + 8),
    }
    swap_neighbours::<2>(frame, datagram.transport_start());
}

/// Swaps the `N` bytes at `offset` with the `N` bytes behind them.
#[inline]
fn swap_neighbours<const N: usize>(frame: &mut [u8], offset: usize) {
    let pair = &mut frame[offset..offset + 2 * N];
    let (first, second) = (array_at::<N>(pair, 0), array_at::<N>(pair, N));
    pair[..N].copy_from_slice(&second);
    pair[N..].copy_from_slice(&first);
}

/// Sets every field that does not say who talks to whom. Lengths were checked by the callers.
#[inline]
fn complete(frame: &mut [u8], datagram: &Datagram, payload_bytes: usize) -> usize {
    let network = usize::from(datagram.network_start);
    let frame_bytes = datagram.payload().start + payload_bytes;
    let packet = &mut frame[network..frame_bytes];
    let udp_length = length_field(UDP_BYTES + payload_bytes);
    match datagram.version {
        IpVersion::V4 => complete_ipv4(packet, udp_length),
        IpVersion::V6 => complete_ipv6(packet, udp_length),
    }
    frame_bytes
}

#[inline]
fn complete_ipv4(packet: &mut [u8], [udp_high, udp_low]: [u8; 2]) {
    let [high, low] = length_field(packet.len());
    let Some(headers) = packet.first_chunk_mut::<{ IPV4_BYTES + UDP_BYTES }>() else {
        return;
    };
    // Version and header length, service, length, identification, DF.
    let [a, b, c, d, e, f, g, h] = [0x45, 0, high, low, 0, 0, 0x40, 0];
    // Summed from registers: reading back what was just stored in pieces would stall.
    let mut sum = checksum::add_word(0, u64::from_le_bytes([a, b, c, d, e, f, g, h]));
    sum = checksum::add_word(
        sum,
        u64::from_le_bytes([HOPS, PROTOCOL_UDP, 0, 0, 0, 0, 0, 0]),
    );
    sum = checksum::add_word(sum, u64::from_le_bytes(array_at(headers, 12)));
    let [i, j] = checksum::finish(sum);
    headers[..12].copy_from_slice(&[a, b, c, d, e, f, g, h, HOPS, PROTOCOL_UDP, i, j]);
    // UDP length, and UDP checksum 0, which means "none" over IPv4 (RFC 768).
    headers[IPV4_BYTES + 4..].copy_from_slice(&[udp_high, udp_low, 0, 0]);
}

#[inline]
fn complete_ipv6(packet: &mut [u8], [udp_high, udp_low]: [u8; 2]) {
    packet[..8].copy_from_slice(&[0x60, 0, 0, 0, udp_high, udp_low, PROTOCOL_UDP, HOPS]);
    packet[IPV6_BYTES + 4..IPV6_BYTES + UDP_BYTES].copy_from_slice(&[udp_high, udp_low, 0, 0]);
    // Pseudo-header (RFC 8200 §8.1): addresses, length, next header; then the datagram.
    let pseudo = u64::from_le_bytes([udp_high, udp_low, 0, PROTOCOL_UDP, 0, 0, 0, 0]);
    let sum = checksum::add(checksum::add_word(0, pseudo), &packet[8..]);
    let sum = match checksum::finish(sum) {
        [0, 0] => [0xff, 0xff], // 0 would mean "no checksum", which IPv6 forbids.
        sum => sum,
    };
    packet[IPV6_BYTES + 6..IPV6_BYTES + UDP_BYTES].copy_from_slice(&sum);
}

#[inline]
fn length_field(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes).unwrap_or(u16::MAX).to_be_bytes()
}
