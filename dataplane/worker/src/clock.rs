//! The one clock of the dataplane: CLOCK_MONOTONIC, which both planes read alike.

use rustix::time::{ClockId, clock_gettime};

/// A reading of CLOCK_MONOTONIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now {
    /// Nanoseconds since an arbitrary start.
    pub nanoseconds: u64,
}

impl Now {
    /// Reads the clock: no system call on machines with a vDSO.
    pub fn read() -> Self {
        let time = clock_gettime(ClockId::Monotonic);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or(0);
        Self {
            nanoseconds: seconds * 1_000_000_000 + nanoseconds,
        }
    }

    /// How far Unix time is ahead of this clock, in seconds modulo 2^32, at about the moment of this
    /// reading. No system call on machines with a vDSO either.
    pub fn unix_ahead_secs(self) -> u32 {
        let unix_secs = clock_gettime(ClockId::Realtime).tv_sec;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "modulo 2^32"
        )]
        let unix_secs = unix_secs as u32;
        unix_secs.wrapping_sub(self.seconds())
    }

    /// Whole milliseconds, as heartbeats carry them.
    pub fn milliseconds(self) -> u64 {
        self.nanoseconds / 1_000_000
    }

    /// Whole seconds, as cache entries carry them.
    pub fn seconds(self) -> u32 {
        u32::try_from(self.nanoseconds / 1_000_000_000).unwrap_or(u32::MAX)
    }
}
