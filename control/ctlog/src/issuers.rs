//! [`Issuers`]: the certificates above logged ones, kept once for all shards, and copied to a shard when an entry names them.

use std::collections::BTreeSet;
use std::sync::Arc;

use ct::Hash;

use crate::error::{LogError, of_files};
use crate::files::Files;

/// Fingerprints that are remembered as written; beyond, files are looked at again.
const KNOWN_MAX: usize = 1 << 16;

/// In the folder of what is not public.
#[derive(Debug)]
pub(crate) struct Issuers {
    state: Arc<dyn Files>,
    known: BTreeSet<Hash>,
    unsynced: Vec<String>,
}

impl Issuers {
    pub(crate) fn new(state: Arc<dyn Files>) -> Self {
        Self {
            state,
            known: BTreeSet::new(),
            unsynced: Vec::new(),
        }
    }

    /// Keeps a certificate, which is known by its hash whoever sends it.
    pub(crate) fn keep(&mut self, certificate: &[u8]) -> Result<(), LogError> {
        let fingerprint = Hash::of(certificate);
        if remember(&mut self.known, fingerprint) {
            let path = path(&fingerprint);
            let written = self.state.write(&path, certificate);
            written.map_err(of_files(&path))?;
            self.unsynced.push(path);
        }
        Ok(())
    }

    /// The certificate with this hash.
    pub(crate) fn get(&self, fingerprint: &Hash) -> Result<Option<Vec<u8>>, LogError> {
        let path = path(fingerprint);
        let read = self.state.read(&path).map_err(of_files(&path))?;
        // A crash may have left a part of it.
        Ok(read.filter(|certificate| Hash::of(certificate) == *fingerprint))
    }

    /// What makes all that it has durable.
    pub(crate) fn begin_sync(&mut self) -> IssuersSync {
        IssuersSync {
            state: Arc::clone(&self.state),
            paths: std::mem::take(&mut self.unsynced),
        }
    }
}

/// For a thread that makes them durable while others go on.
#[derive(Debug)]
pub(crate) struct IssuersSync {
    state: Arc<dyn Files>,
    paths: Vec<String>,
}

impl IssuersSync {
    pub(crate) fn run(&self) -> Result<(), LogError> {
        let synced = self.state.sync(&self.paths);
        synced.map_err(of_files("issuers"))
    }
}

/// Whether it was not remembered yet.
pub(crate) fn remember(known: &mut BTreeSet<Hash>, fingerprint: Hash) -> bool {
    if known.len() == KNOWN_MAX {
        known.clear();
    }
    known.insert(fingerprint)
}

fn path(fingerprint: &Hash) -> String {
    format!("issuer/{fingerprint}")
}
