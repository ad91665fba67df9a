//! Socket options that neither the standard library nor xsk-rs sets.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Sets an integer socket option.
pub(crate) fn set(fd: BorrowedFd<'_>, level: i32, name: i32, value: i32) -> io::Result<()> {
    #[expect(clippy::cast_possible_truncation, reason = "the size of an i32 is 4")]
    let length = size_of::<i32>() as libc::socklen_t;
    // JUSTIFICATION: no safe wrapper knows these options.
    // SAFETY: the pointer and the length describe `value`, which outlives the call; the
    // descriptor is open as long as `fd` is borrowed.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            length,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Reads an integer socket option.
pub(crate) fn get(fd: BorrowedFd<'_>, level: i32, name: i32) -> io::Result<i32> {
    let mut value: i32 = 0;
    #[expect(clippy::cast_possible_truncation, reason = "the size of an i32 is 4")]
    let mut length = size_of::<i32>() as libc::socklen_t;
    // JUSTIFICATION: no safe wrapper knows these options.
    // SAFETY: pointer and length describe `value` and `length`, both alive and exclusive here.
    let result = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            level,
            name,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    if result == 0 {
        Ok(value)
    } else {
        Err(io::Error::last_os_error())
    }
}
