//! Wakes the front thread, and costs a system call only if it sleeps.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering, fence};

use exchange::Doorbell;
use rustix::io::Errno;

/// A bell with a flag that says whether anybody would hear it.
#[derive(Debug)]
pub(crate) struct Bell {
    event: Doorbell,
    sleeping: AtomicBool,
}

impl Bell {
    pub(crate) fn new() -> Result<Self, Errno> {
        Ok(Self {
            event: Doorbell::new()?,
            sleeping: AtomicBool::new(false),
        })
    }

    /// After putting something where the sleeper looks.
    pub(crate) fn ring(&self) {
        // Pairs with the fence in `prepare_sleep`: either the sleeper sees what was put there
        // before, or this sees that it sleeps.
        fence(Ordering::SeqCst);
        if self.sleeping.load(Ordering::Relaxed) && self.sleeping.swap(false, Ordering::Relaxed) {
            self.event.kick();
        }
    }

    /// Announces sleep. The caller looks once more for work after this, then blocks.
    pub(crate) fn prepare_sleep(&self) {
        self.sleeping.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// After waking, for whatever reason.
    pub(crate) fn wake(&self) {
        if !self.sleeping.swap(false, Ordering::Relaxed) {
            self.event.drain();
        }
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rings(bell: &Bell) -> usize {
        bell.event.drain()
    }

    #[test]
    fn only_a_sleeper_is_rung_and_only_once() {
        let bell = Bell::new().unwrap();
        bell.ring();
        assert_eq!(rings(&bell), 0);
        bell.prepare_sleep();
        bell.ring();
        bell.ring();
        assert_eq!(rings(&bell), 1);
    }

    #[test]
    fn a_ring_that_was_heard_does_not_wake_again() {
        let bell = Bell::new().unwrap();
        bell.prepare_sleep();
        bell.ring();
        bell.wake();
        assert_eq!(rings(&bell), 0);
        bell.prepare_sleep();
        bell.wake();
        bell.ring();
        assert_eq!(rings(&bell), 0);
    }
}
