//! The bell between the planes: an eventfd, rung only when the other side sleeps.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{Errno, read, write};

/// A non-blocking eventfd. Poll it for reading; clones ring the same bell.
#[derive(Debug)]
pub struct EventFd(OwnedFd);

impl EventFd {
    /// Makes a new one. Errors are the kernel's (descriptor limit, memory).
    pub fn new() -> Result<Self, Errno> {
        eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map(Self)
    }

    /// Wakes whoever polls it. A full counter (EAGAIN) already means awake, so nothing can fail
    /// that the caller could mend.
    pub fn kick(&self) {
        let _ = write(&self.0, &1_u64.to_ne_bytes());
    }

    /// Resets it after a wake-up; returns the kicks since the last time.
    pub fn drain(&self) -> u64 {
        let mut count = [0; 8];
        match read(&self.0, &mut count) {
            Ok(8) => u64::from_ne_bytes(count),
            _ => 0,
        }
    }

    /// Another descriptor of the same bell.
    pub fn try_clone(&self) -> Result<Self, Errno> {
        rustix::io::fcntl_dupfd_cloexec(&self.0, 0).map(Self)
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<OwnedFd> for EventFd {
    /// Takes a descriptor that came by hand-over. What it really is does not matter to memory
    /// safety: reads and writes of eight bytes that fail are ignored.
    fn from(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }
}

/// The two bells of one worker.
#[derive(Debug)]
pub struct WorkerEvents {
    /// Worker rings, control polls: there are punts.
    pub punt: EventFd,
    /// Control rings, worker polls: there are replies.
    pub reply: EventFd,
}

impl WorkerEvents {
    /// Makes both.
    pub fn new() -> Result<Self, Errno> {
        Ok(Self {
            punt: EventFd::new()?,
            reply: EventFd::new()?,
        })
    }

    /// Other descriptors of the same bells.
    pub fn try_clone(&self) -> Result<Self, Errno> {
        Ok(Self {
            punt: self.punt.try_clone()?,
            reply: self.reply.try_clone()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kicks_through_a_clone_are_counted_once_drained() {
        let event = EventFd::new().unwrap();
        assert_eq!(event.drain(), 0);
        event.kick();
        event.try_clone().unwrap().kick();
        assert_eq!(event.drain(), 2);
        assert_eq!(event.drain(), 0);
    }
}
