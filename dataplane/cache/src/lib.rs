//! The answer cache of one worker: bounded in bytes, keyed by a keyed hash, aged by the caller's
//! clock, and hard to flush by names that are asked once.
//!
//! Never allocates after [`Cache::with_bytes`], never reads a clock. [`Key`] says what an answer
//! depends on, [`Entry`] is how an answer lies in this cache and in the table that the planes
//! share, [`Cache`] finds and replaces entries.
#![no_std]
#![forbid(unsafe_code)]
#![warn(clippy::indexing_slicing)] // Outside bytes are never indexed; the exceptions say why.

extern crate alloc;
#[cfg(test)]
extern crate std;

mod key;

mod entry;

mod lookup;

mod store;

mod index;

mod ring;

pub use entry::{
    ENTRY_BYTES_MAX, ENTRY_HEADER_BYTES, Entry, EntryError, EntryMeta, RECORDS_MAX, encode,
};
pub use key::{Hasher, Key};
pub use lookup::{Freshness, Generations, Lookup, STALE_SECS_MAX};
pub use store::{CACHE_BYTES_MAX, CACHE_BYTES_MIN, Cache, Slot, Statistics};
