//! Who runs: heartbeats of control and workers, and what the dataplane says about itself.

use std::sync::Arc;

use crate::claim::Claim;
use crate::layout::{ControlBlock, REASON_BYTES_MAX, StatusBlock};
use crate::mapped::Mapped;
use crate::seqlock;
use crate::sync::{AtomicU64, Ordering};
use crate::words;

/// How packets reach the workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    /// Not decided yet.
    #[default]
    Starting = 0,
    /// AF_XDP, the NIC writes into our memory.
    ZeroCopy = 1,
    /// AF_XDP, the kernel copies.
    Copy = 2,
    /// UDP sockets through io_uring.
    Socket = 3,
}

impl Mode {
    /// The word used in the configuration, the log and the metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::ZeroCopy => "zero-copy",
            Self::Copy => "copy",
            Self::Socket => "socket",
        }
    }

    fn from_word(word: u64) -> Self {
        match word {
            1 => Self::ZeroCopy,
            2 => Self::Copy,
            3 => Self::Socket,
            _ => Self::Starting,
        }
    }
}

/// What the dataplane says about itself. Times are milliseconds of CLOCK_MONOTONIC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataplaneStatus {
    /// Process id in the dataplane's own namespace.
    pub pid: u32,
    /// When it started.
    pub started_ms: u64,
    /// The mode in use.
    pub mode: Mode,
    /// Why this mode, in words; cut to [`REASON_BYTES_MAX`] bytes.
    pub reason: String,
}

/// What the last control said about itself. Times are milliseconds of CLOCK_MONOTONIC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ControlStatus {
    /// Controls that were ever given this region; 0 means none.
    pub epoch: u64,
    /// Process id in control's own namespace.
    pub pid: u32,
    /// When it attached.
    pub started_ms: u64,
    /// Its last sign of life.
    pub heartbeat_ms: u64,
}

/// A sign of life, written by its owner alone.
#[derive(Debug)]
pub struct Heartbeat {
    word: Mapped<AtomicU64>,
    _claim: Arc<Claim>,
}

impl Heartbeat {
    pub(crate) fn new(word: Mapped<AtomicU64>, claim: Arc<Claim>) -> Self {
        Self {
            word,
            _claim: claim,
        }
    }

    /// Says "alive at `now_ms`" (milliseconds of CLOCK_MONOTONIC).
    #[inline]
    pub fn beat(&self, now_ms: u64) {
        self.word.store(now_ms, Ordering::Relaxed);
    }
}

/// Publishes [`DataplaneStatus`].
#[derive(Debug)]
pub struct StatusWriter {
    block: Mapped<StatusBlock>,
    pid: u32,
    started_ms: u64,
    _claim: Arc<Claim>,
}

impl StatusWriter {
    pub(crate) fn new(block: Mapped<StatusBlock>, started_ms: u64, claim: Arc<Claim>) -> Self {
        let writer = Self {
            block,
            pid: std::process::id(),
            started_ms,
            _claim: claim,
        };
        writer.write(Mode::Starting, "");
        writer
    }

    /// Says which mode is in use and why. Cuts `reason` to [`REASON_BYTES_MAX`] bytes.
    pub fn set(&mut self, mode: Mode, reason: &str) {
        self.write(mode, reason);
    }

    fn write(&self, mode: Mode, reason: &str) {
        let block = &*self.block;
        let reason = reason
            .get(..reason.floor_char_boundary(REASON_BYTES_MAX))
            .unwrap_or("");
        seqlock::write(&block.sequence, |_| {
            block.pid.store(u64::from(self.pid), Ordering::Relaxed);
            block.started_ms.store(self.started_ms, Ordering::Relaxed);
            block.mode.store(mode as u64, Ordering::Relaxed);
            block
                .reason_bytes
                .store(reason.len() as u64, Ordering::Relaxed);
            words::store(&block.reason, reason.as_bytes());
        });
    }
}

/// Reads the dataplane's status; None while it is being written or was left half-written.
pub(crate) fn read_dataplane(block: &StatusBlock) -> Option<DataplaneStatus> {
    seqlock::read(&block.sequence, || {
        let mut reason = [0; REASON_BYTES_MAX];
        words::load(&block.reason, &mut reason);
        let reason_bytes = usize::try_from(block.reason_bytes.load(Ordering::Relaxed));
        let reason = reason.get(..reason_bytes.unwrap_or(0)).unwrap_or(&[]);
        DataplaneStatus {
            pid: u32::try_from(block.pid.load(Ordering::Relaxed)).unwrap_or(0),
            started_ms: block.started_ms.load(Ordering::Relaxed),
            mode: Mode::from_word(block.mode.load(Ordering::Relaxed)),
            reason: String::from_utf8_lossy(reason).into_owned(),
        }
    })
}

/// Reads control's status; single words, so that there is nothing to tear.
pub(crate) fn read_control(block: &ControlBlock) -> ControlStatus {
    ControlStatus {
        epoch: block.epoch.0.load(Ordering::Relaxed),
        pid: u32::try_from(block.pid.load(Ordering::Relaxed)).unwrap_or(0),
        started_ms: block.started_ms.load(Ordering::Relaxed),
        heartbeat_ms: block.heartbeat_ms.0.load(Ordering::Relaxed),
    }
}
