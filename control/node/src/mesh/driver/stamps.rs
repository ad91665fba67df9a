//! Timestamps of lanes: they rise, whatever the wall clock does, across restarts too.

use std::io;
use std::path::{Path, PathBuf};

/// Longest file that is read, in bytes: it has one number.
const FILE_BYTES_MAX: usize = 64;
/// Timestamps are promised to the disk so far ahead, in microseconds. Short, because a node whose
/// disk is lost is not heard until its clock has passed what it had used.
const AHEAD_US: u64 = 10_000_000;

/// Gives out timestamps. Those above `ceiling` have never been used.
#[derive(Debug)]
pub(super) struct Stamps {
    path: PathBuf,
    last: u64,
    ceiling: u64,
}

impl Stamps {
    /// Goes on where the life before may have ended.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        let path = folder.join("lanes");
        let text = durable::read_text(&path, FILE_BYTES_MAX)?;
        let ceiling = text.as_deref().unwrap_or("0").trim();
        let ceiling = ceiling.parse().map_err(|_| {
            let text = format!("{}: expected one number, found {ceiling:?}", path.display());
            io::Error::other(text)
        })?;
        Ok(Self {
            path,
            last: ceiling,
            ceiling,
        })
    }

    /// The next one.
    pub(super) fn next(&mut self, unix_us: u64) -> io::Result<u64> {
        let stamp = unix_us.max(self.last.saturating_add(1));
        if stamp >= self.ceiling {
            let ceiling = stamp.saturating_add(AHEAD_US);
            durable::replace(&self.path, format!("{ceiling}\n").as_bytes())?;
            self.ceiling = ceiling;
        }
        self.last = stamp;
        Ok(stamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_rise_though_the_clock_goes_back_and_the_node_restarts() {
        let folder = tempfile::tempdir().unwrap();
        let mut last = 0;
        for unix_us in [5_000_000_000, 5_000_000_001, 4_000_000_000, 1, 900_000_000] {
            let mut stamps = Stamps::open(folder.path()).unwrap();
            for _ in 0..3 {
                let next = stamps.next(unix_us).unwrap();
                assert!(next > last, "{next} after {last}");
                last = next;
            }
        }
        let far = last + 1_000_000_000;
        assert_eq!(
            Stamps::open(folder.path()).unwrap().next(far).unwrap(),
            far,
            "the wall clock where it is later"
        );
    }

    #[test]
    fn file_that_holds_no_number_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("lanes"), "soon").unwrap();
        assert!(Stamps::open(folder.path()).is_err());
    }
}
