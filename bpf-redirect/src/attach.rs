//! Attaches a program to an interface by a `bpf_link` with an explicit mode.
//!
//! The link is never pinned: the kernel detaches the program when the last descriptor closes,
//! at the latest when the process ends, however it ends.

use std::fmt;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use libbpf_rs::libbpf_sys;
use rustix::io::Errno;

use crate::interface::{InterfaceError, interface_index};
use crate::program::check;

/// Where on the receive path the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachMode {
    /// In the driver, before the kernel has a socket buffer (`XDP_FLAGS_DRV_MODE`).
    Native,
    /// After the driver, on a socket buffer: any driver, and slower (`XDP_FLAGS_SKB_MODE`).
    Generic,
}

/// Why a program could not be attached. Nothing is attached then.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The interface does not exist, or could not be looked up.
    #[error(transparent)]
    Interface(#[from] InterfaceError),
    /// The driver of the interface cannot run XDP programs (EOPNOTSUPP).
    #[error("the driver of {interface} does not support XDP in {mode} mode")]
    Unsupported {
        /// Name of the interface.
        interface: String,
        /// The mode that was asked for.
        mode: AttachMode,
    },
    /// Another program is attached, in this mode or in the other one (EBUSY, EEXIST).
    #[error("another XDP program is attached to {interface}")]
    Occupied {
        /// Name of the interface.
        interface: String,
    },
    /// The kernel wants a capability for it (EPERM). Linux 6.18 wants none from whoever holds the
    /// loaded program; `LoadError::PermissionDenied` comes first.
    #[error("no permission to attach an XDP program to {interface} (CAP_NET_ADMIN)")]
    PermissionDenied {
        /// Name of the interface.
        interface: String,
    },
    /// The MTU is larger than the driver can handle with XDP (ERANGE).
    #[error("the MTU of {interface} (of a veth: of its peer) is too large for XDP in {mode} mode")]
    MtuTooLarge {
        /// Name of the interface.
        interface: String,
        /// The mode that was asked for.
        mode: AttachMode,
    },
    /// The driver refused for a reason of its own; the kernel log may say more.
    #[error("{interface} refused the XDP program in {mode} mode: {source}")]
    Refused {
        /// Name of the interface.
        interface: String,
        /// The mode that was asked for.
        mode: AttachMode,
        /// What `BPF_LINK_CREATE` returned.
        source: io::Error,
    },
}

/// A program attached to an interface. Dropping it detaches the program.
#[derive(Debug)]
pub(crate) struct XdpLink {
    _link: OwnedFd,
    pub(crate) mode: AttachMode,
}

impl XdpLink {
    pub(crate) fn attach(
        program: BorrowedFd<'_>,
        interface: &str,
        mode: AttachMode,
    ) -> Result<Self, AttachError> {
        let index = interface_index(interface)?;
        let link = create(program, index, mode)
            .map_err(|error| AttachError::from_create(error, interface, mode))?;
        Ok(Self { _link: link, mode })
    }
}

impl AttachError {
    fn from_create(error: io::Error, interface: &str, mode: AttachMode) -> Self {
        let interface = interface.to_owned();
        match Errno::from_io_error(&error) {
            // The interface went away after its index was looked up.
            Some(Errno::NODEV) => InterfaceError::NotFound { interface }.into(),
            Some(Errno::OPNOTSUPP) => Self::Unsupported { interface, mode },
            Some(Errno::BUSY | Errno::EXIST) => Self::Occupied { interface },
            Some(Errno::PERM | Errno::ACCESS) => Self::PermissionDenied { interface },
            Some(Errno::RANGE) => Self::MtuTooLarge { interface, mode },
            _ => Self::Refused {
                interface,
                mode,
                source: error,
            },
        }
    }
}

fn create(program: BorrowedFd<'_>, interface_index: u32, mode: AttachMode) -> io::Result<OwnedFd> {
    let index = i32::try_from(interface_index).map_err(|_| Errno::NODEV)?;
    let options = libbpf_sys::bpf_link_create_opts {
        sz: size_of::<libbpf_sys::bpf_link_create_opts>() as u64,
        flags: match mode {
            AttachMode::Native => libbpf_sys::XDP_FLAGS_DRV_MODE,
            AttachMode::Generic => libbpf_sys::XDP_FLAGS_SKB_MODE,
        },
        ..Default::default()
    };
    // JUSTIFICATION: libbpf-rs attaches without flags, and the kernel then quietly takes generic
    // mode where the driver has no native one.
    // SAFETY: `options` carries its size, is zeroed but for the flags, and outlives the call.
    let link = check(unsafe {
        libbpf_sys::bpf_link_create(program.as_raw_fd(), index, libbpf_sys::BPF_XDP, &options)
    })?;
    // SAFETY: `check` passed, so the kernel made `link` just now, for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(link) })
}

impl fmt::Display for AttachMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Generic => "generic",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_errno_of_link_creation_has_its_own_error() {
        let message = |errno: Errno| {
            AttachError::from_create(errno.into(), "eth1", AttachMode::Native).to_string()
        };
        assert_eq!(message(Errno::NODEV), "no such interface: eth1");
        assert!(message(Errno::OPNOTSUPP).ends_with("does not support XDP in native mode"));
        for errno in [Errno::BUSY, Errno::EXIST] {
            assert_eq!(message(errno), "another XDP program is attached to eth1");
        }
        assert!(message(Errno::PERM).starts_with("no permission to attach"));
        assert!(message(Errno::RANGE).starts_with("the MTU of eth1"));
        assert!(message(Errno::NOSPC).starts_with("eth1 refused the XDP program in native mode"));
    }
}
