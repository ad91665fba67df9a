//! When to ask a primary again: the numbers of a SOA record (RFC 1035 §3.3.13), within bounds.

use std::time::Duration;

use resolver::zone::Records;

const SOA: u16 = 6;
/// Refresh and retry in seconds: nobody may make us ask all the time, nor forget to ask.
const REFRESH_SECS: (u32, u32) = (30, 86_400);
const RETRY_SECS: (u32, u32) = (10, 3_600);
/// An expiry below two refreshes would let the zone come and go.
const EXPIRE_SECS_MAX: u32 = 14 * 86_400;
/// The first waits while there is no data: doubled each time.
const FIRST_SECS: u64 = 2;
const FIRST_DOUBLINGS_MAX: u32 = 7;

/// Refresh, retry and expiry of a zone, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timers {
    refresh: u32,
    retry: u32,
    expire: u32,
}

impl Timers {
    /// How long a version may be served after a primary has last confirmed it.
    #[must_use]
    pub(super) fn expire(&self) -> Duration {
        let least = REFRESH_SECS
            .0
            .saturating_add(self.refresh.saturating_mul(2));
        let expire = self.expire.min(EXPIRE_SECS_MAX).max(least);
        Duration::from_secs(expire.into())
    }
}

/// Serial and timers of the zone with these records.
pub(super) fn of(records: &Records) -> Option<(u32, Timers)> {
    let soa = records.iter().find(|record| record.rtype == SOA)?;
    let numbers = soa.data.get(soa.data.len().checked_sub(20)?..)?;
    let mut numbers = numbers
        .chunks_exact(4)
        .filter_map(|bytes| bytes.first_chunk().map(|bytes| u32::from_be_bytes(*bytes)));
    let serial = numbers.next()?;
    let (refresh, retry, expire) = (numbers.next()?, numbers.next()?, numbers.next()?);
    Some((
        serial,
        Timers {
            refresh: refresh.clamp(REFRESH_SECS.0, REFRESH_SECS.1),
            retry: retry.clamp(RETRY_SECS.0, RETRY_SECS.1),
            expire,
        },
    ))
}

/// How long to wait before the next question, after this many failures in a row. Up to a tenth less than asked for, by `random`,
/// so that secondaries do not come together.
pub(super) fn wait(timers: Option<Timers>, failures: u32, random: u32) -> Duration {
    let secs = match (timers, failures) {
        (Some(timers), 0) => timers.refresh.into(),
        (Some(timers), _) => timers.retry.min(timers.refresh).into(),
        (None, failures) => FIRST_SECS << failures.saturating_sub(1).min(FIRST_DOUBLINGS_MAX),
    };
    let full_ms = secs * 1_000;
    Duration::from_millis(full_ms - full_ms / 10 * u64::from(random % 1_000) / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use resolver::zone::read_zone_file;

    fn records(soa: &str) -> Records {
        let mut loader = |_: &str, _: &str| Err(String::new());
        read_zone_file(soa.as_bytes(), "f", b"\0", &mut loader).unwrap()
    }

    #[test]
    fn timers_come_from_the_soa_record_and_stay_in_their_bounds() {
        let (serial, timers) = of(&records("@ 60 SOA ns h 7 3600 600 86400 60")).unwrap();
        assert_eq!(serial, 7);
        assert_eq!(wait(Some(timers), 0, 0), Duration::from_secs(3_600));
        assert_eq!(wait(Some(timers), 1, 0), Duration::from_secs(600));
        assert_eq!(timers.expire(), Duration::from_secs(86_400));
        let (_, hasty) = of(&records("@ 60 SOA ns h 7 0 0 0 60")).unwrap();
        assert_eq!(wait(Some(hasty), 0, 0), Duration::from_secs(30));
        assert_eq!(wait(Some(hasty), 9, 0), Duration::from_secs(10));
        assert_eq!(hasty.expire(), Duration::from_secs(90));
        let largest = format!("@ 60 SOA ns h 7 {0} {0} {0} 60", i32::MAX);
        let (_, lazy) = of(&records(&largest)).unwrap();
        assert_eq!(wait(Some(lazy), 0, 0), Duration::from_secs(86_400));
        assert_eq!(lazy.expire(), Duration::from_secs(14 * 86_400));
        assert_eq!(of(&records("@ 60 A 192.0.2.1")), None);
    }

    #[test]
    fn waits_differ_by_a_tenth_and_grow_while_there_is_nothing() {
        let (_, timers) = of(&records("@ 60 SOA ns h 7 3600 600 86400 60")).unwrap();
        let shortest = wait(Some(timers), 0, 999);
        assert!(shortest > Duration::from_secs(3_240) && shortest < Duration::from_secs(3_245));
        let waits: Vec<_> = (1..12)
            .map(|count| wait(None, count, 0).as_secs())
            .collect();
        assert_eq!(waits, [2, 4, 8, 16, 32, 64, 128, 256, 256, 256, 256]);
    }
}
