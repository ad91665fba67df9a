//! Who holds what: parts of a region within this process, and control's right to write.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64 as LocalU64, Ordering as LocalOrdering};

use crate::layout::ControlBlock;
use crate::mapped::Mapped;
use crate::sync::Ordering;

/// Why a side of the region was not handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// Somebody in this process holds it.
    #[error("already taken in this process")]
    Taken,
    /// Worker sides belong to the creator, control's side to an attached control, none to
    /// observers.
    #[error("not for this kind of attachment")]
    Role,
    /// No such worker.
    #[error("worker {worker} where there are {workers}")]
    Worker {
        /// Worker asked for.
        worker: u32,
        /// Workers of the region.
        workers: u32,
    },
}

/// Whether this control is still the one that may write.
#[derive(Clone, Debug)]
pub(crate) struct Tenure {
    control: Mapped<ControlBlock>,
    epoch: u64,
}

impl Tenure {
    pub(crate) fn new(control: Mapped<ControlBlock>, epoch: u64) -> Self {
        Self { control, epoch }
    }

    /// Different for each control, never 0.
    pub(crate) fn token(&self) -> u64 {
        self.epoch.max(1)
    }

    #[inline]
    pub(crate) fn holds(&self) -> bool {
        self.control.epoch.0.load(Ordering::Relaxed) == self.epoch
    }
}

/// What this process has handed out of a region.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    workers: LocalU64,
    sides: LocalU64,
}

/// What can be taken.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    /// A worker's side.
    Worker(u32),
    /// Control's side.
    Control,
    /// The dataplane's status.
    Status,
    /// What the dataplane says of the guard.
    Guard,
}

/// One thing taken; given back on drop.
#[derive(Debug)]
pub(crate) struct Claim {
    claims: Arc<Claims>,
    part: Part,
}

impl Claims {
    fn word(&self, part: Part) -> (&LocalU64, u64) {
        match part {
            Part::Worker(worker) => (&self.workers, 1 << worker),
            Part::Control => (&self.sides, 1),
            Part::Status => (&self.sides, 2),
            Part::Guard => (&self.sides, 4),
        }
    }

    pub(crate) fn take(claims: &Arc<Self>, part: Part) -> Result<Arc<Claim>, ClaimError> {
        let (word, bit) = claims.word(part);
        if word.fetch_or(bit, LocalOrdering::Acquire) & bit != 0 {
            return Err(ClaimError::Taken);
        }
        Ok(Arc::new(Claim {
            claims: Arc::clone(claims),
            part,
        }))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let (word, bit) = self.claims.word(self.part);
        word.fetch_and(!bit, LocalOrdering::Release);
    }
}
