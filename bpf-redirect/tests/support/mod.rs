//! What the privileged tests share: frames, sockets, and network namespaces of their own.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::Command;

use bpf_redirect::{DnsFilter, LoadError};
use rustix::net::{AddressFamily, SocketType, socket};
use rustix::thread::{UnshareFlags, unshare_unsafe};

pub(crate) const SERVED_PORT: u16 = 53;
pub(crate) const LOCAL_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub(crate) const LOCAL_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

/// Says on the real stderr, which the test harness does not swallow, that a test did not run.
pub(crate) fn skip(why: impl std::fmt::Display) {
    let line = format!("skipped: {why}\n");
    let _ = io::stderr().write_all(line.as_bytes());
}

/// The loaded program, or nothing where this process may not load one.
pub(crate) fn load() -> Option<DnsFilter> {
    match DnsFilter::load() {
        Ok(filter) => Some(filter),
        Err(error @ LoadError::PermissionDenied) => {
            skip(error);
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// A program that redirects what arrives on queue 0 for [`SERVED_PORT`] and the local addresses,
/// and the socket in its map, which leaves the map when it is dropped.
pub(crate) fn load_ready() -> Option<(DnsFilter, OwnedFd)> {
    let mut filter = load()?;
    filter.serve_port(SERVED_PORT).unwrap();
    filter
        .set_addresses(&[IpAddr::V4(LOCAL_V4), IpAddr::V6(LOCAL_V6)])
        .unwrap();
    let socket = xsk();
    filter.set_socket(0, socket.as_fd()).unwrap();
    filter.deadlines().cell(0).extend_until(u64::MAX);
    Some((filter, socket))
}

/// An AF_XDP socket that is bound to no queue: trial runs decide redirects, and do not do them.
pub(crate) fn xsk() -> OwnedFd {
    socket(AddressFamily::XDP, SocketType::RAW, None).unwrap()
}

/// Runs `body` on a thread in network and mount namespaces of its own, with sysfs to match. They
/// disappear with the thread and its children, whatever becomes of `body`.
pub(crate) fn in_namespace<T: Send>(body: impl FnOnce() -> T + Send) -> Option<T> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // SAFETY: unsharing the network and the mounts invalidates no memory or descriptors.
            let unshared = unsafe { unshare_unsafe(UnshareFlags::NEWNET | UnshareFlags::NEWNS) };
            if let Err(error) = unshared {
                skip(format_args!("no namespaces: {error}"));
                return None;
            }
            run("mount --make-rprivate /");
            run("mount -t sysfs sysfs /sys");
            run("ip link set lo up");
            Some(body())
        });
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Runs a command, split at spaces, in the namespaces of the calling thread.
pub(crate) fn run(command: &str) {
    let mut words = command.split(' ');
    let program = words.next().unwrap();
    let output = Command::new(program).args(words).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {stderr}");
}

/// Builds frames; every part can be made wrong on its own.
#[derive(Clone)]
pub(crate) struct Frame {
    pub(crate) ethernet: Vec<u8>,
    pub(crate) tags: Vec<[u8; 4]>,
    pub(crate) ethertype: u16,
    pub(crate) ip: Vec<u8>,
    pub(crate) udp: Vec<u8>,
    pub(crate) rest: Vec<u8>,
}

/// Where things lie in an IPv4 or IPv6 header without options.
pub(crate) mod at {
    pub(crate) const V4_TOTAL_BYTES: usize = 2;
    pub(crate) const V4_FRAGMENT: usize = 6;
    pub(crate) const V4_PROTOCOL: usize = 9;
    pub(crate) const V4_SOURCE: usize = 12;
    pub(crate) const V4_DESTINATION: usize = 16;
    pub(crate) const V6_PAYLOAD_BYTES: usize = 4;
    pub(crate) const V6_NEXT_HEADER: usize = 6;
    pub(crate) const V6_SOURCE: usize = 8;
    pub(crate) const V6_DESTINATION: usize = 24;
    pub(crate) const UDP_SOURCE: usize = 0;
    pub(crate) const UDP_DESTINATION: usize = 2;
    pub(crate) const UDP_BYTES: usize = 4;
}

const PAYLOAD: [u8; 29] = *b"\x12\x34\x01\x00\x00\x01\0\0\0\0\0\0\x07example\x03com\0\0\x01\0\x01";
const MACS: [u8; 12] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];

impl Frame {
    /// A query over IPv4 from 198.51.100.7 to [`LOCAL_V4`].
    pub(crate) fn v4() -> Self {
        let mut ip = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0, 198, 51, 100, 7];
        ip.extend(LOCAL_V4.octets());
        Self::query(0x0800, ip).set_ip(at::V4_TOTAL_BYTES, 20 + 8 + 29)
    }

    /// A query over IPv6 from 2001:db8::7 to [`LOCAL_V6`].
    pub(crate) fn v6() -> Self {
        let mut ip = vec![0x60, 0, 0, 0, 0, 0, 17, 64];
        ip.extend(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7).octets());
        ip.extend(LOCAL_V6.octets());
        Self::query(0x86dd, ip).set_ip(at::V6_PAYLOAD_BYTES, 8 + 29)
    }

    /// A query to any address.
    pub(crate) fn to(address: IpAddr) -> Self {
        let (mut frame, octets) = match address {
            IpAddr::V4(address) => (Self::v4(), address.octets().to_vec()),
            IpAddr::V6(address) => (Self::v6(), address.octets().to_vec()),
        };
        let start = frame.ip.len() - octets.len();
        frame.ip[start..].copy_from_slice(&octets);
        frame
    }

    fn query(ethertype: u16, ip: Vec<u8>) -> Self {
        let mut udp = vec![0x30, 0x39, 0, 53, 0, 0, 0, 0];
        udp[at::UDP_BYTES + 1] = 8 + 29;
        let (ethernet, rest) = (MACS.to_vec(), PAYLOAD.to_vec());
        Self {
            ethernet,
            tags: Vec::new(),
            ethertype,
            ip,
            udp,
            rest,
        }
    }

    /// Puts a tag with the EtherType `tpid` before those that are there.
    pub(crate) fn tagged(mut self, tpid: u16) -> Self {
        let [high, low] = tpid.to_be_bytes();
        self.tags.insert(0, [high, low, 0, 42]);
        self
    }

    pub(crate) fn set_ip(mut self, offset: usize, value: u16) -> Self {
        self.ip[offset..offset + 2].copy_from_slice(&value.to_be_bytes());
        self
    }

    pub(crate) fn set_ip_byte(mut self, offset: usize, value: u8) -> Self {
        self.ip[offset] = value;
        self
    }

    pub(crate) fn set_udp(mut self, offset: usize, value: u16) -> Self {
        self.udp[offset..offset + 2].copy_from_slice(&value.to_be_bytes());
        self
    }

    /// Puts `bytes` between the IP header and UDP, and has the IP length say so.
    pub(crate) fn insert_after_ip(mut self, bytes: &[u8]) -> Self {
        let offset = if self.ip[0] >> 4 == 4 {
            at::V4_TOTAL_BYTES
        } else {
            at::V6_PAYLOAD_BYTES
        };
        let length = u16::from_be_bytes([self.ip[offset], self.ip[offset + 1]]);
        self = self.set_ip(offset, length + u16::try_from(bytes.len()).unwrap());
        self.ip.extend(bytes);
        self
    }

    /// The same headers before another payload, all lengths right.
    pub(crate) fn with_payload(mut self, payload: &[u8]) -> Self {
        let bytes = u16::try_from(8 + payload.len()).unwrap();
        self.rest = payload.to_vec();
        self = self.set_udp(at::UDP_BYTES, bytes);
        if self.ip[0] >> 4 == 4 {
            self.set_ip(at::V4_TOTAL_BYTES, 20 + bytes)
        } else {
            self.set_ip(at::V6_PAYLOAD_BYTES, bytes)
        }
    }

    /// Appends bytes that no length counts.
    pub(crate) fn padded(mut self, bytes: usize) -> Self {
        self.rest.resize(self.rest.len() + bytes, 0);
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.ethernet.clone();
        bytes.extend(self.tags.iter().flatten());
        bytes.extend(self.ethertype.to_be_bytes());
        for part in [&self.ip, &self.udp, &self.rest] {
            bytes.extend(part);
        }
        bytes
    }
}
