//! One file of history, and where in it each sequence stands.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use consensus::{HistoryItem, Sequence, Wire};

use super::disk::{Disk, write_all};
use super::error::StoreError;
use super::frame::{
    FILE_HEADER_BYTES, FRAME_HEAD_BYTES, FileHeader, FileKind, Owner, Scan, put_frame,
    sync_folder_of,
};

/// A place is remembered once in so many bytes.
const INDEX_BYTES: u64 = 64 * 1024;
/// Bytes read at once.
const READ_BYTES: u64 = 256 * 1024;

/// A file of history. Items are consecutive.
#[derive(Debug)]
pub(super) struct Segment {
    pub path: PathBuf,
    pub file: Arc<File>,
    pub salt: u64,
    /// Where the next frame will stand.
    pub end: u64,
    /// Sequences of the first and last batch. `None`: there is none.
    pub range: Option<(Sequence, Sequence)>,
    /// Requests in its batches.
    pub requests_count: u64,
    /// Sequences, and where the first item of theirs stands. Ascending, sparse.
    pub index: Vec<(Sequence, u64)>,
}

/// A part of a segment to be read, after the segment's own fields may have moved on.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub path: PathBuf,
    pub file: Arc<File>,
    pub salt: u64,
    pub begin: u64,
    pub end: u64,
}

impl Segment {
    /// Creates a segment. Its name is durable then, its header with the first sync.
    pub(super) fn create(disk: &dyn Disk, path: &Path, owner: Owner) -> Result<Self, StoreError> {
        let header = FileHeader::new(FileKind::History, owner)
            .map_err(StoreError::disk(path, "draw a salt for it"))?;
        let file = disk
            .create(path)
            .map_err(StoreError::disk(path, "create it"))?;
        write_all(disk, &file, &header.to_bytes(), 0)
            .map_err(StoreError::disk(path, "write to it"))?;
        sync_folder_of(disk, path)?;
        Ok(Self::empty(path, file, header.salt))
    }

    pub(super) fn empty(path: &Path, file: File, salt: u64) -> Self {
        Self {
            path: path.to_owned(),
            file: Arc::new(file),
            salt,
            end: FILE_HEADER_BYTES as u64,
            range: None,
            requests_count: 0,
            index: Vec::new(),
        }
    }

    /// Appends an item. It is durable after the next sync of the file.
    pub(super) fn append(&mut self, disk: &dyn Disk, item: &HistoryItem) -> Result<(), StoreError> {
        let mut bytes = Vec::new();
        put_frame(&mut bytes, self.salt, self.end, &item.to_bytes());
        write_all(disk, &self.file, &bytes, self.end)
            .map_err(StoreError::disk(&self.path, "append to it"))?;
        let offset = self.end;
        self.end += bytes.len() as u64;
        self.note(item, offset);
        Ok(())
    }

    /// Remembers an item that stands at `offset`.
    pub(super) fn note(&mut self, item: &HistoryItem, offset: u64) {
        // Checkpoints follow later than the batch they are about.
        let HistoryItem::Batch { batch, .. } = item else {
            return;
        };
        let sequence = item.sequence();
        self.requests_count += batch.requests.len() as u64;
        let last = self.index.last().map(|(_, offset)| *offset);
        if last.is_none_or(|last| offset - last >= INDEX_BYTES) {
            self.index.push((sequence, offset));
        }
        let first = self.range.map_or(sequence, |(first, _)| first);
        self.range = Some((first, sequence));
    }

    /// The part in which everything after a sequence stands.
    pub(super) fn part_after(&self, after: Sequence) -> Part {
        let before = self.index.partition_point(|(first, _)| *first <= after);
        let begin = before
            .checked_sub(1)
            .and_then(|place| self.index.get(place));
        Part {
            path: self.path.clone(),
            file: self.file.clone(),
            salt: self.salt,
            begin: begin.map_or(FILE_HEADER_BYTES as u64, |(_, offset)| *offset),
            end: self.end,
        }
    }
}

impl Part {
    /// Gives every item to `take`, in order, with the bytes it stands in, until it says `false`.
    /// `false` comes back if it did.
    pub(super) fn read(
        mut self,
        mut take: impl FnMut(HistoryItem, usize) -> bool,
    ) -> Result<bool, StoreError> {
        let mut wanted = READ_BYTES;
        while self.begin < self.end {
            let bytes = self.bytes(wanted.min(self.end - self.begin))?;
            let mut scan = Scan::of_part(&bytes, self.begin, self.salt);
            for frame in scan.by_ref() {
                let item = HistoryItem::from_bytes(frame.payload);
                let item = item
                    .map_err(|error| StoreError::undecodable(&self.path, frame.offset, &error))?;
                if !take(item, FRAME_HEAD_BYTES + frame.payload.len()) {
                    return Ok(false);
                }
            }
            let frame_bytes = scan.frame_bytes().map_or(0, |bytes| bytes as u64);
            if scan.offset() == self.begin && frame_bytes <= wanted {
                let expected = "a whole item of history".to_owned();
                let (path, offset) = (&self.path, self.begin);
                return Err(StoreError::damaged(
                    FileKind::History,
                    path,
                    offset,
                    expected,
                ));
            }
            self.begin = scan.offset();
            wanted = READ_BYTES.max(frame_bytes);
        }
        Ok(true)
    }

    fn bytes(&self, count: u64) -> Result<Vec<u8>, StoreError> {
        let mut bytes = vec![0; usize::try_from(count).unwrap_or(usize::MAX)];
        self.file
            .read_exact_at(&mut bytes, self.begin)
            .map_err(StoreError::disk(&self.path, "read it"))?;
        Ok(bytes)
    }
}
