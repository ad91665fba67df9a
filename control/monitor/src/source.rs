//! [`LogSource`]: a log that is followed, and [`Fetch`]: what is asked of it.

use ct::{Hash, LogAddress, LogKey, TileId};
use data_encoding::BASE64;

/// Bytes of a reply with entries: a data tile, or get-entries in JSON.
pub const ENTRIES_BYTES_MAX: usize = 32 << 20;

/// Bytes of any other reply: heads, proofs, tiles of hashes.
pub const REPLY_BYTES_MAX: usize = 1 << 20;

/// A log, and how it is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSource {
    /// For people.
    pub name: String,
    /// Key of its signatures.
    pub key: LogKey,
    /// Where and how it is read.
    pub address: LogAddress,
    /// Where to begin, if it was never followed before.
    pub start: Start,
    /// Time between two questions for its head, in milliseconds.
    pub poll_ms: u64,
    /// Whether a head that says that it stays fresh for longer (RFC 9111 §4.2) lengthens that time: for logs of others. Our own
    /// say so to caches, and would have us be a second late.
    pub heeds_freshness: bool,
}

/// Where a log that was never followed begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// Behind the entries that it has at the first look.
    #[default]
    Now,
    /// At its first entry.
    Beginning,
}

/// One GET.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetch {
    /// The signed head: get-sth, or the checkpoint.
    Head,
    /// RFC 6962 §4.6: entries from `first`, at most up to `end`, which is not one of them.
    Entries {
        /// Index of the first.
        first: u64,
        /// Index behind the last.
        end: u64,
    },
    /// static-ct-api: a tile of hashes or of entries.
    Tile(TileId),
    /// RFC 6962 §4.4: that the tree of `new` leaves begins with that of `old`.
    Consistency {
        /// Leaves of the older tree.
        old: u64,
        /// Leaves of the newer tree.
        new: u64,
    },
    /// RFC 6962 §4.5: where in the tree of `size` leaves this one is.
    Inclusion {
        /// Hash of the leaf.
        leaf: Hash,
        /// Leaves of the tree.
        size: u64,
    },
}

impl Fetch {
    /// Where it is asked.
    #[must_use]
    pub fn url(&self, address: &LogAddress) -> String {
        let (LogAddress::Rfc6962 { url }
        | LogAddress::Tiled {
            monitoring_url: url,
            ..
        }) = address;
        let base = url.trim_end_matches('/');
        match self {
            Self::Head if matches!(address, LogAddress::Tiled { .. }) => {
                format!("{base}/checkpoint")
            }
            Self::Head => format!("{base}/ct/v1/get-sth"),
            Self::Tile(tile) => format!("{base}/{tile}"),
            Self::Entries { first, end } => {
                let last = end.saturating_sub(1);
                format!("{base}/ct/v1/get-entries?start={first}&end={last}")
            }
            Self::Consistency { old, new } => {
                format!("{base}/ct/v1/get-sth-consistency?first={old}&second={new}")
            }
            Self::Inclusion { leaf, size } => {
                let hash = escape(&BASE64.encode(&leaf.0));
                format!("{base}/ct/v1/get-proof-by-hash?hash={hash}&tree_size={size}")
            }
        }
    }

    /// Longest reply that is read, in bytes.
    #[must_use]
    pub fn bytes_max(&self) -> usize {
        let has_entries = match self {
            Self::Tile(tile) => tile.kind() == ct::TileKind::Data,
            other => matches!(other, Self::Entries { .. }),
        };
        if has_entries {
            ENTRIES_BYTES_MAX
        } else {
            REPLY_BYTES_MAX
        }
    }
}

/// The three characters of base64 that mean something else in a query (RFC 3986 §3.4).
fn escape(base64: &str) -> String {
    base64
        .replace('+', "%2B")
        .replace('/', "%2F")
        .replace('=', "%3D")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_those_of_the_two_apis_whatever_slash_the_base_ends_in() {
        let leaf = Hash([0xfb; 32]);
        for slash in ["", "/"] {
            let plain = LogAddress::Rfc6962 {
                url: format!("https://log.example/a{slash}"),
            };
            let tiled = LogAddress::Tiled {
                submission_url: "https://submit.example/a".to_owned(),
                monitoring_url: format!("https://read.example/a{slash}"),
            };
            let tile = TileId::parse("tile/data/x001/000.p/7").unwrap();
            let hash = "%2B%2Fv7".to_owned() + &"%2B%2Fv7".repeat(9) + "%2B%2Fs%3D";
            for (address, fetch, url) in [
                (&plain, Fetch::Head, "log.example/a/ct/v1/get-sth"),
                (&tiled, Fetch::Head, "read.example/a/checkpoint"),
                (
                    &tiled,
                    Fetch::Tile(tile),
                    "read.example/a/tile/data/x001/000.p/7",
                ),
                (
                    &plain,
                    Fetch::Entries { first: 5, end: 9 },
                    "log.example/a/ct/v1/get-entries?start=5&end=8",
                ),
                (
                    &plain,
                    Fetch::Consistency { old: 5, new: 9 },
                    "log.example/a/ct/v1/get-sth-consistency?first=5&second=9",
                ),
                (
                    &plain,
                    Fetch::Inclusion { leaf, size: 9 },
                    &format!("log.example/a/ct/v1/get-proof-by-hash?hash={hash}&tree_size=9"),
                ),
            ] {
                assert_eq!(fetch.url(address), format!("https://{url}"));
            }
        }
    }
}
