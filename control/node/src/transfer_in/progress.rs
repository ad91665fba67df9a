//! What primaries have said of a zone: written while it is copied, read by whoever shows it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock;

/// How the copying of a zone goes on.
#[derive(Debug, Default)]
pub struct Progress {
    /// Unix time in seconds; 0: never.
    confirmed: AtomicU64,
    failures: AtomicU64,
    error: Mutex<Option<String>>,
}

impl Progress {
    pub(super) fn confirm(&self, age: Duration) {
        let then = clock::unix_secs().saturating_sub(age.as_secs());
        self.confirmed.store(then, Ordering::Relaxed);
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(super) fn fail(&self, error: String) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    /// Unix time in seconds at which a primary has last confirmed or sent the zone.
    pub fn confirmed(&self) -> Option<u64> {
        let secs = self.confirmed.load(Ordering::Relaxed);
        (secs > 0).then_some(secs)
    }

    /// Questions to a primary that gave nothing.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// The last of them, unless another primary has answered since.
    pub fn error(&self) -> Option<String> {
        let error = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        error.clone()
    }
}
