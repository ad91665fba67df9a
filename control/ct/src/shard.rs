//! [`Shards`]: which log takes a certificate, by the end of its validity. A log that has no more to take retires as a whole.

use std::collections::BTreeSet;

use crate::time::unix_midnight;

/// Octets of a shard's name at most: it is a step of a path and part of an origin.
pub const SHARD_NAME_BYTES_MAX: usize = 63;

/// One log and the certificates it takes: those whose NotAfter is in `[start, end)`, in seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    /// Of `a`–`z`, `0`–`9` and `-`.
    pub name: String,
    /// The first second that belongs to it.
    pub start: i64,
    /// The first second that does not any more.
    pub end: i64,
}

/// Why windows are no table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShardsError {
    /// There is no window.
    #[error("no shards")]
    Empty,
    /// A name that does not fit in a path.
    #[error("shard {name:?}: a name has 1 to {SHARD_NAME_BYTES_MAX} of a-z, 0-9 and -")]
    Name {
        /// The name.
        name: String,
    },
    /// Two shards of one name.
    #[error("shard {name} twice")]
    Repeated {
        /// The name.
        name: String,
    },
    /// A window that ends before it begins.
    #[error("shard {name} takes nothing")]
    EmptyWindow {
        /// Of the shard.
        name: String,
    },
    /// A window that does not begin where the one before it ends.
    #[error("shard {name} begins at {start}, the one before it ends at {end}")]
    NotAdjacent {
        /// Of the later shard.
        name: String,
        /// Of the later shard.
        start: i64,
        /// Of the earlier shard.
        end: i64,
    },
}

/// A certificate that no shard takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("valid to {not_after}, shards take from {start} to before {end}")]
pub struct OutsideShards {
    /// Of the certificate.
    pub not_after: i64,
    /// Of the first shard.
    pub start: i64,
    /// Of the last shard.
    pub end: i64,
}

/// Windows in order, without gap or overlap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shards(Vec<Shard>);

impl Shards {
    /// Takes windows in the order of time.
    ///
    /// # Errors
    /// If there is none, one is empty, they leave a gap or overlap, or a name does not fit or comes twice.
    pub fn new(shards: Vec<Shard>) -> Result<Self, ShardsError> {
        let mut end = shards.first().ok_or(ShardsError::Empty)?.start;
        let mut names = BTreeSet::new();
        for shard in &shards {
            let name = shard.name.clone();
            if !is_name(&name) {
                return Err(ShardsError::Name { name });
            }
            if shard.start >= shard.end {
                return Err(ShardsError::EmptyWindow { name });
            }
            if shard.start != end {
                let start = shard.start;
                return Err(ShardsError::NotAdjacent { name, start, end });
            }
            end = shard.end;
            if !names.insert(&shard.name) {
                return Err(ShardsError::Repeated { name });
            }
        }
        Ok(Self(shards))
    }

    /// `count` half years from the beginning of a year, with the usual names: `nexus2026h1`, `nexus2026h2`, `nexus2027h1`.
    ///
    /// # Errors
    /// If the prefix does not fit in a name, or the count is zero.
    pub fn half_years(prefix: &str, first_year: u16, count: u16) -> Result<Self, ShardsError> {
        let begin = |half: u16| {
            let year = first_year.saturating_add(half / 2);
            (
                year,
                unix_midnight(year, if half.is_multiple_of(2) { 1 } else { 7 }, 1),
            )
        };
        let shards = (0..count).map(|half| {
            let (year, start) = begin(half);
            Shard {
                name: format!("{prefix}{year}h{}", half % 2 + 1),
                start,
                end: begin(half.saturating_add(1)).1,
            }
        });
        Self::new(shards.collect())
    }

    /// In the order of time.
    pub fn iter(&self) -> impl Iterator<Item = &Shard> {
        self.0.iter()
    }

    /// The shard that takes a certificate which is valid to `not_after`, in seconds since 1970.
    ///
    /// # Errors
    /// If it ends before the first window or after the last.
    pub fn of(&self, not_after: i64) -> Result<&Shard, OutsideShards> {
        let index = self.0.partition_point(|shard| shard.end <= not_after);
        let shard = self.0.get(index);
        shard
            .filter(|shard| shard.start <= not_after)
            .ok_or(OutsideShards {
                not_after,
                start: self.0.first().map_or(0, |first| first.start),
                end: self.0.last().map_or(0, |last| last.end),
            })
    }
}

fn is_name(name: &str) -> bool {
    let fits = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    (1..=SHARD_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shard(name: &str, start: i64, end: i64) -> Shard {
        Shard {
            name: name.to_owned(),
            start,
            end,
        }
    }

    #[test]
    fn window_takes_its_first_second_and_not_its_end() {
        let shards = Shards::new(vec![shard("a", -5, 10), shard("b", 10, 20)]).unwrap();
        let name = |not_after| shards.of(not_after).map(|shard| shard.name.as_str());
        assert_eq!(name(-5), Ok("a"));
        assert_eq!(name(9), Ok("a"));
        assert_eq!(name(10), Ok("b"));
        assert_eq!(name(19), Ok("b"));
        for not_after in [i64::MIN, -6, 20, i64::MAX] {
            let outside = OutsideShards {
                not_after,
                start: -5,
                end: 20,
            };
            assert_eq!(shards.of(not_after), Err(outside));
        }
    }

    #[test]
    fn windows_with_gap_overlap_or_bad_name_are_no_table() {
        let name = |text: &str| text.to_owned();
        for (shards, error) in [
            (vec![], ShardsError::Empty),
            (vec![shard("", 0, 1)], ShardsError::Name { name: name("") }),
            (
                vec![shard("a/b", 0, 1)],
                ShardsError::Name { name: name("a/b") },
            ),
            (
                vec![shard(&"a".repeat(64), 0, 1)],
                ShardsError::Name {
                    name: "a".repeat(64),
                },
            ),
            (
                vec![shard("a", 1, 1)],
                ShardsError::EmptyWindow { name: name("a") },
            ),
            (
                vec![shard("a", 0, 1), shard("a", 1, 2)],
                ShardsError::Repeated { name: name("a") },
            ),
            (
                vec![shard("a", 0, 2), shard("b", 3, 4)],
                ShardsError::NotAdjacent {
                    name: name("b"),
                    start: 3,
                    end: 2,
                },
            ),
            (
                vec![shard("a", 0, 2), shard("b", 1, 4)],
                ShardsError::NotAdjacent {
                    name: name("b"),
                    start: 1,
                    end: 2,
                },
            ),
        ] {
            assert_eq!(Shards::new(shards), Err(error));
        }
    }

    #[test]
    fn half_years_are_named_as_other_logs_name_theirs() {
        let shards = Shards::half_years("nexus", 2026, 3).unwrap();
        let expected = [
            shard("nexus2026h1", 1_767_225_600, 1_782_864_000),
            shard("nexus2026h2", 1_782_864_000, 1_798_761_600),
            shard("nexus2027h1", 1_798_761_600, 1_814_400_000),
        ];
        assert!(shards.iter().eq(&expected));
        assert_eq!(
            Shards::half_years("nexus", 2026, 0),
            Err(ShardsError::Empty)
        );
    }

    proptest! {
        #[test]
        fn exactly_one_window_takes_what_lies_between_the_ends(
            lengths in proptest::collection::vec(1_i64..1000, 1..20),
            first in -5000_i64..5000,
            not_after in -6000_i64..20_000,
        ) {
            let mut start = first;
            let windows = lengths.iter().enumerate().map(|(index, length)| {
                let window = shard(&index.to_string(), start, start + length);
                start += length;
                window
            });
            let shards = Shards::new(windows.collect()).unwrap();
            let takers: Vec<_> = shards
                .iter()
                .filter(|shard| (shard.start..shard.end).contains(&not_after))
                .collect();
            prop_assert_eq!(shards.of(not_after).ok(), takers.first().copied());
            prop_assert_eq!(takers.len(), usize::from((first..start).contains(&not_after)));
        }
    }
}
