//! Zone generations: one store by control kills every older answer on every core.

use std::sync::Arc;

use crate::claim::{Claim, Tenure};
use crate::mapped::Mapped;
use crate::sync::{AtomicU32, Ordering};

/// Reads generations; any number of these, in any process.
#[derive(Clone, Debug)]
pub struct Generations(Mapped<[AtomicU32]>);

impl Generations {
    pub(crate) fn new(words: Mapped<[AtomicU32]>) -> Self {
        Self(words)
    }

    /// The generation of `zone`; 0 for a zone outside the region.
    #[inline]
    #[must_use]
    pub fn generation(&self, zone: u32) -> u32 {
        usize::try_from(zone)
            .ok()
            .and_then(|zone| self.0.get(zone))
            .map_or(0, |generation| generation.load(Ordering::Relaxed))
    }
}

impl cache::Generations for Generations {
    #[inline]
    fn generation(&self, zone: u32) -> u32 {
        Self::generation(self, zone)
    }
}

/// A generation could not be raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BumpError {
    /// No such zone.
    #[error("zone {zone} where the region has {zones_max}")]
    Zone {
        /// Zone asked for.
        zone: u32,
        /// Zones of the region.
        zones_max: usize,
    },
    /// A newer control has been given this region; this one must stop writing.
    #[error("another control process has taken over")]
    Superseded,
}

/// Raises generations; control's alone.
#[derive(Debug)]
pub struct GenerationsWriter {
    words: Mapped<[AtomicU32]>,
    tenure: Tenure,
    _claim: Arc<Claim>,
}

impl GenerationsWriter {
    pub(crate) fn new(words: Mapped<[AtomicU32]>, tenure: Tenure, claim: Arc<Claim>) -> Self {
        Self {
            words,
            tenure,
            _claim: claim,
        }
    }

    /// Makes every answer of `zone` so far dead; returns the new generation.
    pub fn bump(&mut self, zone: u32) -> Result<u32, BumpError> {
        if !self.tenure.holds() {
            return Err(BumpError::Superseded);
        }
        let zones_max = self.words.len();
        let word = usize::try_from(zone)
            .ok()
            .and_then(|zone| self.words.get(zone));
        let word = word.ok_or(BumpError::Zone { zone, zones_max })?;
        Ok(raise(word))
    }

    /// Makes every answer of every zone dead, recursive data (zone 0) excepted. A control that
    /// starts does this before it numbers its zones, since an earlier one numbered them otherwise.
    pub fn bump_zones(&mut self) -> Result<(), BumpError> {
        if !self.tenure.holds() {
            return Err(BumpError::Superseded);
        }
        for word in self.words.iter().skip(1) {
            raise(word);
        }
        Ok(())
    }
}

fn raise(word: &AtomicU32) -> u32 {
    let generation = word.load(Ordering::Relaxed).wrapping_add(1);
    // Release: whoever sees the new generation also sees what control wrote before it.
    word.store(generation, Ordering::Release);
    generation
}
