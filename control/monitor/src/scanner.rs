//! [`Scanner`]: entries in, certificates of watched names out.

use ct::{CertificateError, TimestampedEntry};

use crate::logged::LoggedCertificate;
use crate::watchlist::{Match, Scratch, Watchlist};

/// A watchlist with the memory for one name.
#[derive(Debug, Default)]
pub struct Scanner {
    watchlist: Watchlist,
    scratch: Scratch,
    of_name: Vec<Match>,
}

/// An entry that was read, and what its names match: each name by its place, with the watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scanned {
    /// What it says.
    pub certificate: LoggedCertificate,
    /// Empty for most.
    pub matches: Vec<(usize, Match)>,
}

impl Scanner {
    /// For this list.
    #[must_use]
    pub fn new(watchlist: Watchlist) -> Self {
        Self {
            watchlist,
            ..Self::default()
        }
    }

    /// The list.
    #[must_use]
    pub fn watchlist(&self) -> &Watchlist {
        &self.watchlist
    }

    /// Reads an entry.
    ///
    /// # Errors
    /// If it is no certificate.
    pub fn scan(&mut self, entry: &TimestampedEntry) -> Result<Scanned, CertificateError> {
        let certificate = LoggedCertificate::read(entry)?;
        let mut matches = Vec::new();
        for (place, name) in certificate.names.iter().enumerate() {
            self.of_name.clear();
            self.watchlist
                .find(name, &mut self.scratch, &mut self.of_name);
            matches.extend(self.of_name.iter().map(|found| (place, *found)));
        }
        Ok(Scanned {
            certificate,
            matches,
        })
    }
}
