//! Has the kernel send now what a connection was kept from sending.
//!
//! TCP takes a segment that the gate has dropped for one that found no room, and tries again after 200 ms.
//! Taking off a cork that is not there (`TCP_CORK`, tcp(7)) makes it try at once and changes nothing
//! else. For that the program's socket is borrowed (`pidfd_getfd`, which takes CAP_SYS_PTRACE).

use std::fs;
use std::os::fd::AsFd as _;

use rustix::io::Errno;
use rustix::net::sockopt::{set_tcp_cork, socket_cookie, tcp_cork};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

/// Descriptors of a program that are looked at, at most: it costs about a microsecond each.
const DESCRIPTORS_MAX: i32 = 4096;

/// Finds the socket with this cookie among those of a process, and has it send. False if it is not
/// there, or corked on purpose.
pub(crate) fn nudge(pid: u32, cookie: u64) -> Result<bool, Errno> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or(Errno::SRCH)?;
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    // One after the other: the list in /proc/PID/fd is for the program's own user alone.
    for number in 0..descriptors(pid).min(DESCRIPTORS_MAX) {
        let socket = match pidfd_getfd(process.as_fd(), number, PidfdGetfdFlags::empty()) {
            Ok(socket) => socket,
            Err(Errno::BADF) => continue,
            Err(error) => return Err(error),
        };
        if socket_cookie(&socket) == Ok(cookie) {
            let may = !tcp_cork(&socket)?;
            if may {
                set_tcp_cork(&socket, false)?;
            }
            return Ok(may);
        }
    }
    Ok(false)
}

/// For how many descriptors a process has places (`FDSize` of proc_pid_status(5)).
fn descriptors(pid: Pid) -> i32 {
    let path = format!("/proc/{}/status", pid.as_raw_pid());
    let status = fs::read_to_string(path).unwrap_or_default();
    let places = status
        .lines()
        .find_map(|line| line.strip_prefix("FDSize:")?.trim().parse().ok());
    places.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn socket_is_found_by_its_cookie_and_a_corked_one_left_alone() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let cookie = socket_cookie(&stream).unwrap();
        assert_eq!(nudge(std::process::id(), cookie), Ok(true));
        set_tcp_cork(&stream, true).unwrap();
        assert_eq!(nudge(std::process::id(), cookie), Ok(false));
        drop(stream);
        assert_eq!(nudge(std::process::id(), cookie), Ok(false));
        assert_eq!(nudge(0, cookie), Err(Errno::SRCH));
    }
}
