//! [`TileId`]: which part of a log a tile holds, and its path (static-ct-api, "Merkle Tree"; tlog-tiles).

use core::fmt;

use thiserror::Error;

/// Hashes, or entries, of a full tile.
pub const TILE_WIDTH: u16 = 256;

/// Levels of hash tiles: 0 to 5 (static-ct-api).
pub const TILE_LEVELS: u8 = 6;

/// Leaves that a log can have: their index is a 40-bit number (static-ct-api, "SCT Extension").
pub const TREE_SIZE_MAX: u64 = 1 << 40;

/// Tree levels that one level of tiles spans.
pub(crate) const TILE_HEIGHT: u8 = 8;

/// What is in a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TileKind {
    /// Hashes at this level of tiles, which is tree level eight times as high.
    Hashes(u8),
    /// Entries.
    Data,
}

impl TileKind {
    /// Level of tiles. Entries stand beside their leaf hashes.
    pub(crate) fn level(self) -> u8 {
        match self {
            Self::Hashes(level) => level,
            Self::Data => 0,
        }
    }
}

/// Which tile, and how much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileId {
    kind: TileKind,
    index: u64,
    width: u16,
}

/// Why a path names no tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TilePathError {
    /// It does not begin with `tile/`.
    #[error("path does not begin with tile/")]
    Prefix,
    /// The level is neither `data` nor a digit below 6.
    #[error("level is neither data nor 0 to 5")]
    Level,
    /// The index is not written as `x001/x234/067`, without leading `x000`.
    #[error("index is not written as x001/x234/067")]
    Index,
    /// The width of a partial tile is not written as 1 to 255.
    #[error("width is not 1 to 255")]
    Width,
    /// No log has so many leaves.
    #[error("tile {index} of its level is beyond 2^40 leaves")]
    Bound {
        /// Index in the path.
        index: u64,
    },
}

impl TileId {
    /// A tile of `width` hashes or entries, 1 to 256. None if it would begin beyond 2^40 leaves.
    #[must_use]
    pub fn new(kind: TileKind, index: u64, width: u16) -> Option<Self> {
        let level = kind.level();
        let tiles_max = TREE_SIZE_MAX.checked_shr(u32::from(TILE_HEIGHT) * (u32::from(level) + 1));
        let exists = level < TILE_LEVELS
            && (1..=TILE_WIDTH).contains(&width)
            && index < tiles_max.unwrap_or(0).max(1);
        exists.then_some(Self { kind, index, width })
    }

    /// The tile at this place in a tree of `size` leaves: full or partial. None if the tree does not reach it.
    #[must_use]
    pub fn of_tree(kind: TileKind, index: u64, size: u64) -> Option<Self> {
        let hashes = hashes_at_level(size, kind.level());
        let before = index.checked_mul(u64::from(TILE_WIDTH))?;
        let width = hashes.checked_sub(before)?.min(u64::from(TILE_WIDTH));
        Self::new(kind, index, u16::try_from(width).ok()?)
    }

    /// What is in it.
    #[must_use]
    pub fn kind(self) -> TileKind {
        self.kind
    }

    /// Place among the tiles of its level, from 0.
    #[must_use]
    pub fn index(self) -> u64 {
        self.index
    }

    /// Hashes or entries in it, 1 to 256.
    #[must_use]
    pub fn width(self) -> u16 {
        self.width
    }

    /// Whether it will never grow.
    #[must_use]
    pub fn is_full(self) -> bool {
        self.width == TILE_WIDTH
    }

    /// The same tile when it is full: what stands in for a partial tile that is no longer served.
    #[must_use]
    pub fn full(self) -> Self {
        Self {
            width: TILE_WIDTH,
            ..self
        }
    }

    /// Reads `tile/<L>/<N>[.p/<W>]`. Each tile has one path.
    ///
    /// # Errors
    ///
    /// If it is not the path of a tile.
    pub fn parse(path: &str) -> Result<Self, TilePathError> {
        let rest = path.strip_prefix("tile/").ok_or(TilePathError::Prefix)?;
        let (level, rest) = rest.split_once('/').ok_or(TilePathError::Level)?;
        let kind = match level.as_bytes() {
            b"data" => TileKind::Data,
            [digit @ b'0'..=b'5'] => TileKind::Hashes(digit - b'0'),
            _ => return Err(TilePathError::Level),
        };
        let (index, width) = match rest.split_once(".p/") {
            Some((index, width)) => (index, parse_width(width)?),
            None => (rest, TILE_WIDTH),
        };
        let index = parse_index(index)?;
        Self::new(kind, index, width).ok_or(TilePathError::Bound { index })
    }
}

impl fmt::Display for TileId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TileKind::Hashes(level) => write!(out, "tile/{level}/")?,
            TileKind::Data => out.write_str("tile/data/")?,
        }
        // Indices are below 2^32: at most three groups before the last.
        for group in [1_000_000_000, 1_000_000, 1_000] {
            if self.index >= group {
                write!(out, "x{:03}/", self.index / group % 1000)?;
            }
        }
        write!(out, "{:03}", self.index % 1000)?;
        if self.is_full() {
            return Ok(());
        }
        write!(out, ".p/{}", self.width)
    }
}

/// Tiles that are new, or wider, in the tree of `new` leaves than in that of `old`: for each level of hashes and for
/// data, from left to right. Beside full tiles, the partial one that `new` ends in.
pub fn tiles_of_growth(old: u64, new: u64) -> impl Iterator<Item = TileId> {
    let hashes = (0..TILE_LEVELS).map(TileKind::Hashes);
    let kinds = hashes.chain([TileKind::Data]);
    kinds.flat_map(move |kind| {
        let before = hashes_at_level(old, kind.level());
        let after = hashes_at_level(new, kind.level());
        let width = u64::from(TILE_WIDTH);
        let changed = if before < after {
            before / width..after.div_ceil(width)
        } else {
            0..0
        };
        changed.filter_map(move |index| TileId::of_tree(kind, index, new))
    })
}

/// Hashes that a tree of `size` leaves has at a level of tiles.
pub(crate) fn hashes_at_level(size: u64, level: u8) -> u64 {
    size.checked_shr(u32::from(TILE_HEIGHT) * u32::from(level))
        .unwrap_or(0)
}

fn parse_width(text: &str) -> Result<u16, TilePathError> {
    let canonical = !text.starts_with(['0', '+']);
    let width = text.parse::<u8>().ok().filter(|_| canonical);
    width.map(u16::from).ok_or(TilePathError::Width)
}

fn parse_index(text: &str) -> Result<u64, TilePathError> {
    let (leading, last) = match text.rsplit_once('/') {
        Some((leading, last)) => (Some(leading), last),
        None => (None, text),
    };
    let mut index: u64 = 0;
    for group in leading.into_iter().flat_map(|groups| groups.split('/')) {
        let digits = group.strip_prefix('x').ok_or(TilePathError::Index)?;
        index = append_group(index, digits)?;
        if index == 0 {
            return Err(TilePathError::Index); // x000 in front is another path of the same tile.
        }
    }
    append_group(index, last)
}

fn append_group(index: u64, digits: &str) -> Result<u64, TilePathError> {
    if digits.len() != 3 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(TilePathError::Index);
    }
    let group: u64 = digits.parse().map_err(|_| TilePathError::Index)?;
    let shifted = index.checked_mul(1000).ok_or(TilePathError::Index)?;
    shifted.checked_add(group).ok_or(TilePathError::Index)
}
