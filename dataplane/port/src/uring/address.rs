//! Layout of a received buffer, and socket addresses in the kernel's form.
//!
//! A buffer holds io_uring's `recvmsg_out` header, the sender's address, control data (the local
//! address by IP_PKTINFO or IPV6_PKTINFO) and the message. Nothing here trusts a length.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use super::memory::BUFFER_BYTES;

/// Bytes of `struct io_uring_recvmsg_out`: four u32.
const OUT_BYTES: usize = 16;
/// Room for the sender: `sockaddr_in6` has 28 bytes.
pub(super) const NAME_BYTES: usize = 32;
/// Room for one control message; in6_pktinfo needs 40.
pub(super) const CONTROL_BYTES: usize = 64;
/// Where the sender lies.
pub(super) const NAME_AT: usize = OUT_BYTES;
/// Where control data lies; aligned to 8 as `cmsghdr` demands.
pub(super) const CONTROL_AT: usize = NAME_AT + NAME_BYTES;
/// Where the message lies.
pub(super) const MESSAGE_AT: usize = CONTROL_AT + CONTROL_BYTES;

const _: () = assert!(CONTROL_AT.is_multiple_of(8) && MESSAGE_AT.is_multiple_of(8));

const CMSG_HEADER_BYTES: usize = 16;

/// What a received buffer holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Received {
    /// Sender.
    pub(super) client: SocketAddr,
    /// Address that was asked, without a port (the socket knows it), and its interface.
    pub(super) local: LocalAddress,
    /// Bytes of the message.
    pub(super) message_bytes: usize,
}

/// The address that was asked, as the kernel wants it back to answer from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LocalAddress {
    pub(super) address: IpAddr,
    /// Interface index, kept for link-local addresses alone: other replies follow the routes.
    pub(super) interface: u32,
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Reads a buffer that the kernel filled; `None` when it was cut or says nothing of its origin.
pub(super) fn parse(buffer: &[u8; BUFFER_BYTES]) -> Option<Received> {
    let name_bytes = u32_at(buffer, 0)? as usize;
    let control_bytes = u32_at(buffer, 4)? as usize;
    let message_bytes = u32_at(buffer, 8)? as usize;
    let flags = u32_at(buffer, 12)?;
    let cut = u32::try_from(libc::MSG_TRUNC | libc::MSG_CTRUNC).ok()?;
    if flags & cut != 0 || message_bytes > BUFFER_BYTES - MESSAGE_AT {
        return None;
    }
    let name = buffer.get(NAME_AT..NAME_AT + name_bytes.min(NAME_BYTES))?;
    let control = buffer.get(CONTROL_AT..CONTROL_AT + control_bytes.min(CONTROL_BYTES))?;
    Some(Received {
        client: read_name(name)?,
        local: read_control(control)?,
        message_bytes,
    })
}

/// `sockaddr_in` or `sockaddr_in6` to an address.
pub(super) fn read_name(name: &[u8]) -> Option<SocketAddr> {
    let family = i32::from(u16::from_ne_bytes(name.get(..2)?.try_into().ok()?));
    let port = u16::from_be_bytes(name.get(2..4)?.try_into().ok()?);
    match family {
        libc::AF_INET => {
            let octets: [u8; 4] = name.get(4..8)?.try_into().ok()?;
            Some(SocketAddr::V4(SocketAddrV4::new(
                Ipv4Addr::from(octets),
                port,
            )))
        }
        libc::AF_INET6 => {
            let flow = u32::from_be_bytes(name.get(4..8)?.try_into().ok()?);
            let octets: [u8; 16] = name.get(8..24)?.try_into().ok()?;
            let scope = u32_at(name, 24)?;
            Some(SocketAddr::V6(SocketAddrV6::new(
                Ipv6Addr::from(octets),
                port,
                flow,
                scope,
            )))
        }
        _ => None,
    }
}

/// Address to `sockaddr`; returns its length.
pub(super) fn write_name(address: SocketAddr, out: &mut [u8; NAME_BYTES]) -> u32 {
    out.fill(0);
    out[2..4].copy_from_slice(&address.port().to_be_bytes());
    match address {
        SocketAddr::V4(v4) => {
            out[..2].copy_from_slice(&family_bytes(libc::AF_INET));
            out[4..8].copy_from_slice(&v4.ip().octets());
            16
        }
        SocketAddr::V6(v6) => {
            out[..2].copy_from_slice(&family_bytes(libc::AF_INET6));
            out[8..24].copy_from_slice(&v6.ip().octets());
            out[24..28].copy_from_slice(&v6.scope_id().to_ne_bytes());
            28
        }
    }
}

fn family_bytes(family: i32) -> [u8; 2] {
    u16::try_from(family).unwrap_or(0).to_ne_bytes()
}

/// The local address out of the first control message.
fn read_control(control: &[u8]) -> Option<LocalAddress> {
    let level = i32::from_ne_bytes(control.get(8..12)?.try_into().ok()?);
    let kind = i32::from_ne_bytes(control.get(12..16)?.try_into().ok()?);
    let data = control.get(CMSG_HEADER_BYTES..)?;
    match (level, kind) {
        (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
            // in_pktinfo: ipi_ifindex, ipi_spec_dst (the address to answer from), ipi_addr.
            let octets: [u8; 4] = data.get(4..8)?.try_into().ok()?;
            Some(LocalAddress {
                address: IpAddr::from(octets),
                interface: 0,
            })
        }
        (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
            let octets: [u8; 16] = data.get(..16)?.try_into().ok()?;
            let address = Ipv6Addr::from(octets);
            let interface = if address.is_unicast_link_local() {
                u32_at(data, 16)?
            } else {
                0
            };
            Some(LocalAddress {
                address: IpAddr::V6(address),
                interface,
            })
        }
        _ => None,
    }
}

/// The control message that makes the kernel answer from `local`; returns its length.
pub(super) fn write_control(local: LocalAddress, out: &mut [u8; CONTROL_BYTES]) -> usize {
    out.fill(0);
    let (level, kind, data_bytes) = match local.address {
        IpAddr::V4(address) => {
            out[16..20].copy_from_slice(&local.interface.to_ne_bytes());
            out[20..24].copy_from_slice(&address.octets());
            (libc::IPPROTO_IP, libc::IP_PKTINFO, 12)
        }
        IpAddr::V6(address) => {
            out[16..32].copy_from_slice(&address.octets());
            out[32..36].copy_from_slice(&local.interface.to_ne_bytes());
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, 20)
        }
    };
    out[..8].copy_from_slice(&(CMSG_HEADER_BYTES + data_bytes).to_ne_bytes());
    out[8..12].copy_from_slice(&level.to_ne_bytes());
    out[12..16].copy_from_slice(&kind.to_ne_bytes());
    (CMSG_HEADER_BYTES + data_bytes).next_multiple_of(8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses() -> [SocketAddr; 3] {
        ["192.0.2.7:5353", "[2001:db8::7]:53", "[fe80::1%3]:4000"].map(|text| text.parse().unwrap())
    }

    #[test]
    fn written_names_read_back_equal() {
        for address in addresses() {
            let mut name = [0; NAME_BYTES];
            let length = write_name(address, &mut name) as usize;
            assert_eq!(read_name(&name[..length]), Some(address));
        }
    }

    #[test]
    fn names_cut_at_every_byte_are_refused() {
        for address in addresses() {
            let mut name = [0; NAME_BYTES];
            let length = write_name(address, &mut name) as usize;
            let needed = if address.is_ipv4() { 8 } else { length };
            for cut in 0..needed {
                assert_eq!(read_name(&name[..cut]), None, "cut={cut}");
            }
        }
    }

    #[test]
    fn written_control_reads_back_equal() {
        for (address, interface) in [("192.0.2.1", 0), ("2001:db8::1", 0), ("fe80::2", 4)] {
            let local = LocalAddress {
                address: address.parse().unwrap(),
                interface,
            };
            let mut control = [0; CONTROL_BYTES];
            let length = write_control(local, &mut control);
            assert_eq!(read_control(&control[..length]), Some(local));
        }
    }

    #[test]
    fn any_buffer_is_read_without_panic_and_inside_its_bounds() {
        bolero::check!()
            .with_iterations(20_000)
            .with_type::<Vec<u8>>()
            .for_each(|bytes| {
                let mut buffer = [0; BUFFER_BYTES];
                for (out, byte) in buffer.iter_mut().zip(bytes) {
                    *out = *byte;
                }
                if let Some(received) = parse(&buffer) {
                    assert!(MESSAGE_AT + received.message_bytes <= BUFFER_BYTES);
                }
            });
    }
}
