//! CLOCK_MONOTONIC, the one clock that both planes and the resolver count by, and the time of day.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Milliseconds of CLOCK_MONOTONIC.
#[must_use]
pub(crate) fn now_ms() -> u64 {
    now_ns() / 1_000_000
}

/// Microseconds of CLOCK_MONOTONIC.
#[must_use]
pub(crate) fn now_us() -> u64 {
    now_ns() / 1_000
}

/// Whole seconds of CLOCK_MONOTONIC, as cache entries count them.
#[must_use]
pub(crate) fn now_secs() -> u32 {
    // 136 years of uptime.
    u32::try_from(now_ms() / 1_000).unwrap_or(u32::MAX)
}

/// Seconds of the time of day, as signatures count them.
#[must_use]
pub(crate) fn unix_secs() -> u64 {
    u64::try_from(clock_gettime(ClockId::Realtime).tv_sec).unwrap_or(0)
}

/// Seconds and nanoseconds of the time of day.
#[must_use]
pub(crate) fn unix_time() -> (u64, u32) {
    let now = clock_gettime(ClockId::Realtime);
    let secs = u64::try_from(now.tv_sec).unwrap_or(0);
    (secs, u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// As [`unix_time`], so many microseconds ago.
#[must_use]
pub(crate) fn unix_time_before(age_us: u64) -> (u64, u32) {
    let (secs, nanos) = unix_time();
    let now = Duration::new(secs, nanos);
    let then = now.saturating_sub(Duration::from_micros(age_us));
    (then.as_secs(), then.subsec_nanos())
}

/// Nanoseconds of CLOCK_MONOTONIC.
#[must_use]
pub(crate) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let secs = u64::try_from(now.tv_sec).unwrap_or(0);
    secs * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}
