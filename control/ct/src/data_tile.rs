//! Data tiles: the entries of a log, 256 to a tile (static-ct-api, "Log entries").

use thiserror::Error;

use crate::entry::{EntryError, TimestampedEntry};
use crate::tile::{TILE_WIDTH, TileId};
use crate::tls::Reader;

/// Why bytes are not this data tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DataTileError {
    /// One of its entries is none.
    #[error("entry {index}: {error}")]
    Entry {
        /// Its place in the log.
        index: u64,
        /// What is wrong with it.
        error: EntryError,
    },
    /// An entry that says it has another place, or does not say which.
    #[error("entry {expected} says its index is {found:?}")]
    Index {
        /// Its place in the log.
        expected: u64,
        /// The place it names.
        found: Option<u64>,
    },
    /// More than the tile's entries.
    #[error("{left} bytes follow the last entry of the tile")]
    Trailing {
        /// Bytes too many.
        left: usize,
    },
}

/// Reads the entries of a data tile, no more and no less than its width. That they are those of the tree is another
/// matter: see [`crate::TileReader::verify_leaves`].
///
/// # Errors
///
/// If they are not the entries of that tile.
pub fn read_data_tile(tile: TileId, bytes: &[u8]) -> Result<Vec<TimestampedEntry>, DataTileError> {
    let (entries, length) = read_data_tile_prefix(tile, bytes)?;
    match bytes.len() - length {
        0 => Ok(entries),
        left => Err(DataTileError::Trailing { left }),
    }
}

/// Reads the entries of a data tile from what may be a wider one of the same place, and says how many bytes they take: those
/// are the narrower tile.
///
/// # Errors
///
/// If it does not begin with the entries of that tile.
pub fn read_data_tile_prefix(
    tile: TileId,
    bytes: &[u8],
) -> Result<(Vec<TimestampedEntry>, usize), DataTileError> {
    let mut reader = Reader::new(bytes);
    let mut entries = Vec::with_capacity(usize::from(tile.width()));
    let first = tile.index() * u64::from(TILE_WIDTH);
    for index in first..first + u64::from(tile.width()) {
        let entry = TimestampedEntry::read_tile_leaf(&mut reader)
            .map_err(|error| DataTileError::Entry { index, error })?;
        let found = entry.extensions().leaf_index();
        if found != Some(index) {
            let expected = index;
            return Err(DataTileError::Index { expected, found });
        }
        entries.push(entry);
    }
    Ok((entries, bytes.len() - reader.left()))
}
