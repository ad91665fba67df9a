//! [`Score`]: standing in fixed point, so that every processor computes the same. There are no floats in this crate.

use consensus::{DecodeError, Reader, Wire, Writer};

/// Millionths: 0 is the worst, 1,000,000 the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Score(pub(crate) u32);

/// Steps in which scores decay, milliseconds of the ledger's time.
pub(crate) const DECAY_STEP_MS: u64 = 60_000;

/// What is left of a deviation after one step, in 2^-32: a half after 360 steps, which are 6 hours.
const DECAY_FACTOR: u64 = 4_286_705_684;

impl Score {
    /// Where everybody begins and what time leads back to.
    pub const NEUTRAL: Self = Self(500_000);
    /// The best.
    pub const MAX: Self = Self(1_000_000);

    /// Of millionths; more than a million is the best.
    #[must_use]
    pub const fn from_micros(micros: u32) -> Self {
        if micros > Self::MAX.0 {
            Self::MAX
        } else {
            Self(micros)
        }
    }

    /// Millionths.
    #[must_use]
    pub const fn micros(self) -> u32 {
        self.0
    }

    /// Changed, and held between worst and best.
    pub(crate) fn plus(self, change: i64) -> Self {
        let sum = i64::from(self.0).saturating_add(change);
        let clamped = sum.clamp(0, i64::from(Self::MAX.0));
        Self(u32::try_from(clamped).unwrap_or(0))
    }

    /// After so many steps of decay toward neutral.
    pub(crate) fn decayed(self, steps: u64) -> Self {
        let deviation = u64::from(self.0.abs_diff(Self::NEUTRAL.0));
        let left = (deviation * power(DECAY_FACTOR, steps)) >> 32;
        let left = i64::try_from(left).unwrap_or(0);
        Self::NEUTRAL.plus(if self < Self::NEUTRAL { -left } else { left })
    }

    /// The long-term average with one value more: 95 parts old, 5 parts new.
    pub(crate) fn averaged(self, with: Self) -> Self {
        Self((self.0 * 95 + with.0 * 5) / 100)
    }
}

/// A power of a factor in 2^-32, rounded down at each multiplication.
fn power(mut factor: u64, mut exponent: u64) -> u64 {
    let mut result = 1_u64 << 32;
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = multiply(result, factor);
        }
        factor = multiply(factor, factor);
        exponent >>= 1;
    }
    result
}

/// Both are at most 1, which is 2^32, so the product is, too.
fn multiply(one: u64, other: u64) -> u64 {
    u64::try_from((u128::from(one) * u128::from(other)) >> 32).unwrap_or(0)
}

impl Wire for Score {
    fn write(&self, out: &mut Writer) {
        out.u32(self.0);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let offset = from.offset();
        match from.u32()? {
            micros if micros <= Self::MAX.0 => Ok(Self(micros)),
            micros => Err(DecodeError::Unknown {
                what: "score",
                value: micros.into(),
                offset,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_hours_halve_a_deviation_on_either_side_and_days_end_it() {
        for (score, after) in [(1_000_000, 750_000), (0, 250_000), (500_000, 500_000)] {
            let micros = Score(score).decayed(360).micros();
            assert!(micros.abs_diff(after) <= 1, "{score}: {micros}");
            assert_eq!(Score(score).decayed(60 * 24 * 30), Score::NEUTRAL);
            assert_eq!(Score(score).decayed(u64::MAX), Score::NEUTRAL);
            assert_eq!(Score(score).decayed(0), Score(score));
        }
    }

    #[test]
    fn change_stops_at_worst_and_best_and_average_moves_by_a_twentieth() {
        assert_eq!(Score(30_000).plus(-150_000), Score(0));
        assert_eq!(Score(999_999).plus(i64::MAX), Score::MAX);
        assert_eq!(Score(500_000).averaged(Score(700_000)), Score(510_000));
    }
}
