//! Delivery of alerts by HTTP: the signature over each, and the queue, which is a place in the file of alerts.

use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;

use crate::alert_file::{AlertFile, KeptAlert};
use crate::backoff::Backoff;

/// Header with the time of sending, in seconds since 1970. A receiver refuses what is old.
pub const TIMESTAMP_HEADER: &str = "x-nexus-timestamp";
/// Header with the signature: `v1=` and hexadecimal digits.
pub const SIGNATURE_HEADER: &str = "x-nexus-signature";
/// Header with the alert's id, by which a receiver knows one that it has.
pub const ALERT_ID_HEADER: &str = "x-nexus-alert-id";

/// Times that a body is refused before it is given up, so that one that a receiver cannot take does not hold up all others.
pub const REFUSALS_MAX: u32 = 8;

/// HMAC-SHA256 (RFC 2104) of the timestamp, a dot and the body, as the header has it.
#[must_use]
pub fn sign(secret: &[u8], timestamp_s: u64, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let mut context = hmac::Context::with_key(&key);
    context.update(format!("{timestamp_s}.").as_bytes());
    context.update(body);
    format!("v1={}", HEXLOWER.encode(context.sign().as_ref()))
}

/// What came of sending one alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Status 2xx: the receiver has it.
    Delivered,
    /// Status 400, 413 or 422: the receiver cannot take this body.
    Refused,
    /// Anything else: the receiver is not there, busy or set up wrongly.
    Failed {
        /// How long it wants to be left alone, in milliseconds.
        retry_after_ms: Option<u64>,
    },
}

impl Outcome {
    /// By the status of the reply.
    #[must_use]
    pub fn of_status(status: u16, retry_after_ms: Option<u64>) -> Self {
        match status {
            200..=299 => Self::Delivered,
            400 | 413 | 422 => Self::Refused,
            _ => Self::Failed { retry_after_ms },
        }
    }
}

/// Which alert is sent next.
#[derive(Debug)]
pub struct WebhookQueue {
    next: u64,
    refusals: u32,
    backoff: Backoff,
    delivered: u64,
    failed: u64,
    dropped: u64,
}

impl WebhookQueue {
    /// Goes on at this alert; `seed` spreads the waits.
    #[must_use]
    pub fn new(next: u64, seed: u64) -> Self {
        Self {
            next,
            refusals: 0,
            backoff: Backoff::new(1_000, seed),
            delivered: 0,
            failed: 0,
            dropped: 0,
        }
    }

    /// The alert that is to be sent. Those that the file no longer has are counted as dropped.
    pub fn next(&mut self, alerts: &AlertFile) -> Option<KeptAlert> {
        // The file is younger than the place in it: somebody removed it.
        self.next = self.next.min(alerts.next_sequence());
        let alert = alerts.first_saved(self.next)?;
        self.dropped += alert.sequence - self.next;
        self.next = alert.sequence;
        Some(alert.clone())
    }

    /// Number of the first alert that is not delivered.
    #[must_use]
    pub fn place(&self) -> u64 {
        self.next
    }

    /// Takes what came of it; gives the time to wait before the next, in milliseconds, if that is to be the same one again.
    pub fn on_outcome(&mut self, outcome: Outcome) -> Option<u64> {
        let asked_ms = match outcome {
            Outcome::Delivered => {
                self.delivered += 1;
                self.advance();
                return None;
            }
            Outcome::Refused => {
                self.refusals += 1;
                if self.refusals == REFUSALS_MAX {
                    self.dropped += 1;
                    self.advance();
                    return None;
                }
                0
            }
            Outcome::Failed { retry_after_ms } => retry_after_ms.unwrap_or_default(),
        };
        self.failed += 1;
        let asked_ms = asked_ms.min(crate::follower::PATIENCE_MAX_MS);
        Some(self.backoff.fail().max(asked_ms))
    }

    fn advance(&mut self) {
        self.next += 1;
        self.refusals = 0;
        self.backoff.reset();
    }

    /// Alerts that a receiver has.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Attempts that failed.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed
    }

    /// Alerts that were given up, or that the file had to forget before they were delivered.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signature_is_that_of_another_implementation() {
        // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac key
        let expected = "v1=a438e398bfafc57e4396bb7fc2304422f0f768e965d073ca313cb52e22e6ad03";
        assert_eq!(sign(b"key", 1_700_000_000, b"{\"a\":1}"), expected);
        assert_ne!(sign(b"key", 1_700_000_001, b"{\"a\":1}"), expected);
        assert_ne!(sign(b"kez", 1_700_000_000, b"{\"a\":1}"), expected);
    }

    #[test]
    fn body_that_is_refused_is_given_up_and_a_dead_receiver_is_not() {
        let failed = Outcome::of_status(503, None);
        let mut queue = WebhookQueue::new(5, 1);
        for _ in 0..100 {
            assert!(queue.on_outcome(failed).is_some());
        }
        assert_eq!(queue.place(), 5);
        for _ in 1..REFUSALS_MAX {
            assert!(queue.on_outcome(Outcome::of_status(413, None)).is_some());
        }
        assert_eq!(queue.on_outcome(Outcome::of_status(413, None)), None);
        assert_eq!((queue.place(), queue.dropped()), (6, 1));
        assert_eq!(queue.on_outcome(Outcome::of_status(204, None)), None);
        assert_eq!((queue.place(), queue.delivered()), (7, 1));
        let busy = Outcome::of_status(429, Some(70_000));
        assert_eq!(queue.on_outcome(busy), Some(70_000));
    }
}
