//! The bell between the planes, rung only when the other side sleeps.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, fchmod, openat};
use rustix::io::{Errno, read, write};
use rustix::pipe::{PipeFlags, pipe_with};

/// Rings that one reading takes away; what is left rings on.
const RINGS_MAX: usize = 64;

/// A pipe that holds a byte for each ring. Poll it for reading; clones ring the same bell.
///
/// Not an eventfd: whether a read or write may block is a property of the open file description,
/// and all holders of an eventfd share one, so that a hostile process could put its peer to sleep
/// for good. A pipe can be opened again, see [`reopen`](Self::reopen).
#[derive(Debug)]
pub struct Doorbell(OwnedFd);

impl Doorbell {
    /// Makes a new one. Errors are the kernel's (descriptor limit, memory, no /proc).
    pub fn new() -> Result<Self, Errno> {
        let (listener, _ringer) = pipe_with(PipeFlags::CLOEXEC)?;
        // We may be another user by the time we open it again.
        fchmod(&listener, Mode::from_raw_mode(0o666))?;
        open_again(&listener)
    }

    /// Wakes whoever polls it. A full pipe (EAGAIN) already means awake, so nothing can fail that
    /// the caller could mend.
    pub fn kick(&self) {
        let _ = write(&self.0, &[1]);
    }

    /// Resets it after a wake-up; returns the kicks since the last time, 64 at most.
    pub fn drain(&self) -> usize {
        read(&self.0, &mut [0; RINGS_MAX]).unwrap_or(0)
    }

    /// Another descriptor of the same bell, for the same process.
    pub fn try_clone(&self) -> Result<Self, Errno> {
        rustix::io::fcntl_dupfd_cloexec(&self.0, 0).map(Self)
    }

    /// The same bell for another process: nothing that it does to its descriptor changes ours.
    pub fn reopen(&self) -> Result<Self, Errno> {
        open_again(&self.0)
    }
}

/// An open file description of its own, for both directions and never blocking. Open for writing
/// too, it neither ends when the other side goes nor breaks.
fn open_again(pipe: &OwnedFd) -> Result<Doorbell, Errno> {
    let path = format!("/proc/self/fd/{}", pipe.as_raw_fd());
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    openat(CWD, path, flags, Mode::empty()).map(Doorbell)
}

impl AsFd for Doorbell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<OwnedFd> for Doorbell {
    /// Takes a descriptor that came by hand-over. What it really is does not matter to memory
    /// safety: reads and writes that fail are ignored.
    fn from(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }
}

/// The two bells of one worker.
#[derive(Debug)]
pub struct WorkerEvents {
    /// Worker rings, control polls: there are punts.
    pub punt: Doorbell,
    /// Control rings, worker polls: there are replies.
    pub reply: Doorbell,
}

impl WorkerEvents {
    /// Makes both.
    pub fn new() -> Result<Self, Errno> {
        Ok(Self {
            punt: Doorbell::new()?,
            reply: Doorbell::new()?,
        })
    }

    /// Other descriptors of the same bells, for the same process.
    pub fn try_clone(&self) -> Result<Self, Errno> {
        Ok(Self {
            punt: self.punt.try_clone()?,
            reply: self.reply.try_clone()?,
        })
    }

    /// The same bells for another process.
    pub fn reopen(&self) -> Result<Self, Errno> {
        Ok(Self {
            punt: self.punt.reopen()?,
            reply: self.reply.reopen()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kicks_through_a_clone_are_counted_once_drained() {
        let event = Doorbell::new().unwrap();
        assert_eq!(event.drain(), 0);
        event.kick();
        event.try_clone().unwrap().kick();
        assert_eq!(event.drain(), 2);
        assert_eq!(event.drain(), 0);
    }

    #[test]
    fn peer_that_fills_the_bell_and_makes_it_block_blocks_itself_alone() {
        let ours = Doorbell::new().unwrap();
        let theirs = ours.reopen().unwrap();
        while write(&theirs, &[1; 4096]).is_ok() {}
        rustix::fs::fcntl_setfl(&theirs, OFlags::RDWR).unwrap();
        ours.kick();
        while ours.drain() > 0 {}
        theirs.kick();
        assert_eq!(ours.drain(), 1);
    }
}
