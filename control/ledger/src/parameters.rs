//! [`Parameters`]: numbers that all nodes must share. Part of the state, so that nodes that differ find out at a checkpoint.

use consensus::{DecodeError, Reader, Wire, Writer};

use crate::score::Score;

/// A day in milliseconds.
pub(crate) const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// What the members may change by agreement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    /// How long a node stays isolated, by the ledger's time. A second to 30 days.
    pub isolation_ms: u64,
    /// A node whose score falls below is isolated. At most 400,000 millionths.
    pub isolation_below: Score,
    /// How long a proposal waits for support. A second to 30 days.
    pub proposal_ms: u64,
    /// Length of the windows in which reports of different nodes must agree. A second to a day.
    pub window_ms: u64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            isolation_ms: 60 * 60 * 1000,
            isolation_below: Score::from_micros(200_000),
            proposal_ms: 60 * 60 * 1000,
            window_ms: 60 * 1000,
        }
    }
}

impl Parameters {
    /// Whether each number is in its range.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        let durations = [
            (self.isolation_ms, 30 * DAY_MS),
            (self.proposal_ms, 30 * DAY_MS),
            (self.window_ms, DAY_MS),
        ];
        // Whoever comes out of isolation stands above the threshold, and below neutral.
        let below_max = Score::from_micros(400_000);
        durations
            .iter()
            .all(|(value, max)| (1000..=*max).contains(value))
            && self.isolation_below <= below_max
    }
}

impl Wire for Parameters {
    fn write(&self, out: &mut Writer) {
        out.u64(self.isolation_ms);
        self.isolation_below.write(out);
        out.u64(self.proposal_ms);
        out.u64(self.window_ms);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let offset = from.offset();
        let parameters = Self {
            isolation_ms: from.u64()?,
            isolation_below: Score::read(from)?,
            proposal_ms: from.u64()?,
            window_ms: from.u64()?,
        };
        if parameters.is_valid() {
            return Ok(parameters);
        }
        Err(DecodeError::Unknown {
            what: "parameter out of range, in those",
            value: u64::try_from(offset).unwrap_or(u64::MAX),
            offset,
        })
    }
}
