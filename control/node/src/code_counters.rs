//! Counts by a code that has too many values for a field each.

use crate::counters::Counter;

/// Codes below this are counted each for itself: all that IANA has given out, and more.
const CODES: usize = 64;

/// A counter for each code; the rest share one.
#[derive(Debug)]
pub(crate) struct CodeCounters {
    each: [Counter; CODES],
    others: Counter,
}

impl Default for CodeCounters {
    fn default() -> Self {
        Self {
            each: std::array::from_fn(|_| Counter::default()),
            others: Counter::default(),
        }
    }
}

impl CodeCounters {
    /// Adds one.
    pub(crate) fn count(&self, code: u16) {
        let counter = self.each.get(usize::from(code));
        counter.unwrap_or(&self.others).increment();
    }

    /// The codes that were counted, as labels, with their values.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (String, u64)> {
        let each = self.each.iter().enumerate();
        let each = each.map(|(code, counter)| (code.to_string(), counter.get()));
        let others = ("other".to_owned(), self.others.get());
        each.chain([others]).filter(|(_, value)| *value > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_were_never_seen_have_no_row_and_large_ones_share_one() {
        let counters = CodeCounters::default();
        assert_eq!(counters.rows().count(), 0);
        for code in [6, 6, 63, 64, u16::MAX] {
            counters.count(code);
        }
        let rows: Vec<_> = counters.rows().collect();
        let expected =
            [("6", 2), ("63", 1), ("other", 2)].map(|(code, count)| (code.into(), count));
        assert_eq!(rows, expected);
    }
}
