//! One end of a cable: whole Ethernet frames by AF_PACKET.

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::netdevice::name_to_index;

const FRAME_BYTES_MAX: usize = 2048;
const ETH_P_ALL: u16 = 3;

pub(crate) struct Link {
    socket: OwnedFd,
    /// Hardware address of this end.
    pub(crate) address: [u8; 6],
}

impl Link {
    pub(crate) fn open(interface: &str) -> io::Result<Self> {
        let protocol = i32::from(ETH_P_ALL.to_be());
        // SAFETY: plain numbers; the descriptor is checked before it is owned.
        let socket = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW, protocol) };
        check(socket)?;
        // SAFETY: the kernel made it just now, for us alone.
        let socket = unsafe { OwnedFd::from_raw_fd(socket) };
        let link = Self {
            socket,
            address: hardware_address(interface)?,
        };
        // The kernel takes VLAN tags off and tells them beside the frame, if asked to.
        link.ask_for_tags()?;
        link.bind(name_to_index(&link.socket, interface)?)?;
        Ok(link)
    }

    pub(crate) fn send(&self, frame: &[u8]) -> io::Result<()> {
        rustix::net::send(&self.socket, frame, rustix::net::SendFlags::empty())?;
        Ok(())
    }

    /// The next frame, if one comes in time; those that this end sent come too. At least an
    /// Ethernet header long.
    pub(crate) fn receive(&self, wait: Duration) -> io::Result<Option<Vec<u8>>> {
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: wait.subsec_nanos().into(),
        };
        let mut polled = [PollFd::new(&self.socket, PollFlags::IN)];
        if poll(&mut polled, Some(&timeout))? == 0 {
            return Ok(None);
        }
        let (mut frame, tag) = self.receive_message()?;
        if frame.len() < 14 {
            return Ok(None);
        }
        frame.splice(12..12, tag.into_iter().flatten());
        Ok(Some(frame))
    }

    fn ask_for_tags(&self) -> io::Result<()> {
        let on = 1_i32;
        // SAFETY: the pointer covers the length beside it and outlives the call.
        check(unsafe {
            libc::setsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_AUXDATA,
                (&raw const on).cast(),
                4,
            )
        })
    }

    fn bind(&self, interface: u32) -> io::Result<()> {
        // SAFETY: all zeroes are a `sockaddr_ll`.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = 17; // AF_PACKET
        address.sll_protocol = ETH_P_ALL.to_be();
        address.sll_ifindex = interface.cast_signed();
        // SAFETY: the pointer covers the 20 bytes of a `sockaddr_ll` and outlives the call.
        check(unsafe { libc::bind(self.socket.as_raw_fd(), (&raw const address).cast(), 20) })
    }

    /// One frame, and the tag that was taken off it.
    fn receive_message(&self) -> io::Result<(Vec<u8>, Option<[u8; 4]>)> {
        let mut frame = vec![0; FRAME_BYTES_MAX];
        let mut ancillary = [0_u64; 16];
        let mut part = libc::iovec {
            iov_base: frame.as_mut_ptr().cast(),
            iov_len: frame.len(),
        };
        // SAFETY: all zeroes are a `msghdr`.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = &mut part;
        message.msg_iovlen = 1;
        message.msg_control = ancillary.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&ancillary);
        // SAFETY: `message` points to `part` and `ancillary`, `part` to `frame`, with their sizes.
        let bytes = unsafe { libc::recvmsg(self.socket.as_raw_fd(), &mut message, 0) };
        frame.truncate(usize::try_from(bytes).map_err(|_| io::Error::last_os_error())?);
        // SAFETY: the kernel filled in `message`, and `ancillary`, aligned for headers, still lives.
        let header = unsafe { libc::CMSG_FIRSTHDR(&message).as_ref() };
        let is_auxdata = |header: &&libc::cmsghdr| {
            header.cmsg_level == libc::SOL_PACKET && header.cmsg_type == libc::PACKET_AUXDATA
        };
        let Some(header) = header.filter(is_auxdata) else {
            return Ok((frame, None));
        };
        // SAFETY: PACKET_AUXDATA is followed by a `tpacket_auxdata`, for which there was room.
        let data = unsafe {
            libc::CMSG_DATA(header)
                .cast::<libc::tpacket_auxdata>()
                .read_unaligned()
        };
        let has_tag = data.tp_status & libc::TP_STATUS_VLAN_VALID != 0;
        let [a, b] = data.tp_vlan_tpid.to_be_bytes();
        let [c, d] = data.tp_vlan_tci.to_be_bytes();
        Ok((frame, has_tag.then_some([a, b, c, d])))
    }
}

fn check(result: i32) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

fn hardware_address(interface: &str) -> io::Result<[u8; 6]> {
    let text = std::fs::read_to_string(format!("/sys/class/net/{interface}/address"))?;
    let mut address = [0; 6];
    for (byte, part) in address.iter_mut().zip(text.trim().split(':')) {
        *byte = u8::from_str_radix(part, 16).map_err(io::Error::other)?;
    }
    Ok(address)
}
