//! What must be known about a network interface before a filter is attached to it.

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, netdevice, socket};

/// How many interfaces may be stacked on each other: a bridge over a VLAN over a bond is three.
const STACK_DEPTH_MAX: usize = 8;

/// An interface that does not exist or cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum InterfaceError {
    /// There is no interface of that name in this network namespace.
    #[error("no such interface: {interface}")]
    NotFound {
        /// The name that was asked for.
        interface: String,
    },
    /// The kernel did not answer.
    #[error("interface {interface}: {source}")]
    Io {
        /// The name that was asked for.
        interface: String,
        /// What the kernel said.
        source: io::Error,
    },
}

/// The kernel's index of `interface`.
pub fn interface_index(interface: &str) -> Result<u32, InterfaceError> {
    let ask = || {
        netdevice::name_to_index(
            socket(AddressFamily::UNIX, SocketType::DGRAM, None)?,
            interface,
        )
    };
    ask().map_err(|errno| InterfaceError::new(interface, errno.into()))
}

/// How many receive queues of `interface` are in use: the entries `queues/rx-*` of sysfs.
pub fn queue_count(interface: &str) -> Result<u32, InterfaceError> {
    let entries = entries_of(&class_folder(interface)?.join("queues"));
    let entries = entries.map_err(|source| InterfaceError::new(interface, source))?;
    let receive = entries
        .iter()
        .filter(|entry| entry.starts_with("rx-"))
        .count();
    Ok(u32::try_from(receive).unwrap_or(u32::MAX))
}

/// The unicast addresses that frames arriving by `interface` may be sent to: its own, and those
/// of interfaces stacked on it (VLANs, a bridge, a bond), since frames for them arrive here too.
/// Sorted, each once.
pub fn interface_addresses(interface: &str) -> Result<Vec<IpAddr>, InterfaceError> {
    let stack = stacked_on(interface)?;
    let mut found = BTreeSet::new();
    let each = |name: &str, address| {
        if stack.contains(name) {
            found.insert(address);
        }
    };
    for_each_address(each).map_err(|source| InterfaceError::new(interface, source))?;
    Ok(found.into_iter().collect())
}

/// Whether the driver takes VLAN tags off before an XDP program sees the frame.
///
/// Then a tagged query looks untagged, and its answer leaves without the tag, for nobody. Where
/// VLANs are served, switch it off: `ethtool -K INTERFACE rxvlan off`.
pub fn strips_vlan_tags(interface: &str) -> Result<bool, InterfaceError> {
    const ETHTOOL_GFLAGS: u32 = 0x25;
    const ETH_FLAG_RXVLAN: u32 = 1 << 8;
    let flags = ethtool_value(interface, ETHTOOL_GFLAGS);
    let flags = flags.map_err(|source| InterfaceError::new(interface, source))?;
    Ok(flags & ETH_FLAG_RXVLAN != 0)
}

impl InterfaceError {
    fn new(interface: &str, source: io::Error) -> Self {
        let interface = interface.to_owned();
        let missing = Errno::from_io_error(&source) == Some(Errno::NODEV);
        if missing || source.kind() == io::ErrorKind::NotFound {
            return Self::NotFound { interface };
        }
        Self::Io { interface, source }
    }
}

/// `interface` and everything above it.
fn stacked_on(interface: &str) -> Result<BTreeSet<String>, InterfaceError> {
    interface_index(interface)?;
    let mut stack = BTreeSet::from([interface.to_owned()]);
    let mut level = vec![interface.to_owned()];
    for _ in 0..STACK_DEPTH_MAX {
        let mut above = Vec::new();
        for name in level {
            let entries = match entries_of(&class_folder(&name)?) {
                // What stood above may have gone since it was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound && name != interface => {
                    continue;
                }
                entries => entries.map_err(|source| InterfaceError::new(&name, source))?,
            };
            let uppers = entries
                .iter()
                .filter_map(|entry| entry.strip_prefix("upper_"));
            above.extend(
                uppers
                    .filter(|upper| stack.insert((*upper).to_owned()))
                    .map(str::to_owned),
            );
        }
        level = above;
    }
    Ok(stack)
}

/// The folder of `interface` in sysfs. A name that is no single path component is no interface.
fn class_folder(interface: &str) -> Result<PathBuf, InterfaceError> {
    if interface.is_empty() || interface.contains('/') || interface.starts_with('.') {
        return Err(InterfaceError::NotFound {
            interface: interface.to_owned(),
        });
    }
    Ok(PathBuf::from("/sys/class/net").join(interface))
}

fn entries_of(folder: &std::path::Path) -> io::Result<Vec<String>> {
    fs::read_dir(folder)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect()
}

/// Asks an ethtool question whose answer is one number (`struct ethtool_value`).
fn ethtool_value(interface: &str, command: u32) -> io::Result<u32> {
    let name = interface.as_bytes();
    if name.len() >= libc::IFNAMSIZ {
        return Err(Errno::NODEV.into());
    }
    let mut question = [command, 0];
    let mut request = libc::ifreq {
        ifr_name: [0; libc::IFNAMSIZ],
        ifr_ifru: libc::__c_anonymous_ifr_ifru {
            ifru_data: question.as_mut_ptr().cast(),
        },
    };
    for (to, from) in request.ifr_name.iter_mut().zip(name) {
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    let socket = socket(AddressFamily::UNIX, SocketType::DGRAM, None)?;
    // JUSTIFICATION: neither std nor rustix has this ioctl.
    // SAFETY: `request` holds a terminated name and points to `question`, which is as large as
    // `struct ethtool_value` and, like `request`, lives until the call returns.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &mut request) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(question[1])
}

/// Calls `each` with every IP address of this network namespace and its interface's name.
fn for_each_address(mut each: impl FnMut(&str, IpAddr)) -> io::Result<()> {
    let mut list = std::ptr::null_mut();
    // JUSTIFICATION: neither std nor rustix can list addresses.
    // SAFETY: on success `list` is a list that `freeifaddrs` below frees; else it is not touched.
    if unsafe { libc::getifaddrs(&mut list) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut next = list;
    // SAFETY: `next` is null or an element of the list, which is not freed before the loop ends.
    while let Some(entry) = unsafe { next.as_ref() } {
        next = entry.ifa_next;
        // SAFETY: getifaddrs(3): a C string that lives as long as the list.
        let name = unsafe { CStr::from_ptr(entry.ifa_name) };
        // SAFETY: getifaddrs(3): null, or a socket address of the length that its family implies.
        if let Some(address) = unsafe { ip_address(entry.ifa_addr) } {
            each(&name.to_string_lossy(), address);
        }
    }
    // SAFETY: `list` came from getifaddrs and nothing refers to it any more.
    unsafe { libc::freeifaddrs(list) };
    Ok(())
}

/// # Safety
/// `address` is null, or a valid socket address of the length that its family implies.
unsafe fn ip_address(address: *const libc::sockaddr) -> Option<IpAddr> {
    // SAFETY: the caller says so.
    match i32::from(unsafe { address.as_ref() }?.sa_family) {
        libc::AF_INET => {
            // SAFETY: AF_INET implies `sockaddr_in`.
            let address = unsafe { address.cast::<libc::sockaddr_in>().read_unaligned() };
            Some(Ipv4Addr::from_bits(u32::from_be(address.sin_addr.s_addr)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: AF_INET6 implies `sockaddr_in6`.
            let address = unsafe { address.cast::<libc::sockaddr_in6>().read_unaligned() };
            Some(Ipv6Addr::from_octets(address.sin6_addr.s6_addr).into())
        }
        _ => None,
    }
}
