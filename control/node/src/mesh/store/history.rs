//! History: committed batches and stable checkpoints in order, for members that are behind.
//!
//! Files of some MiB, dropped whole from the front. It may lose its end without harm, since peers
//! have the same: what is damaged is set aside with all that follows it, and fetched again.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use consensus::{HistoryItem, Sequence, Wire};

use super::disk::Disk;
use super::error::StoreError;
use super::frame::{FRAME_HEAD_BYTES, FileHeader, FileKind, Owner, Scan, write_whole};
use super::segment::Segment;

const PREFIX: &str = "history-";

/// How much history there is.
#[derive(Debug, Clone, Copy)]
pub struct HistoryLimits {
    /// A file is closed when it has so many bytes.
    pub segment_bytes: u64,
    /// What a snapshot covers is kept while fewer requests than these would remain ...
    pub kept_requests_count: u64,
    /// ... unless more bytes than these would.
    pub kept_bytes_max: u64,
}

impl Default for HistoryLimits {
    fn default() -> Self {
        Self {
            segment_bytes: 16 << 20,
            kept_requests_count: 200_000,
            kept_bytes_max: 512 << 20,
        }
    }
}

/// All history on this node. One thread appends; any may read meanwhile.
#[derive(Debug)]
pub struct History {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    owner: Owner,
    limits: HistoryLimits,
    files: Mutex<Files>,
}

#[derive(Debug)]
struct Files {
    /// Oldest first, consecutive.
    segments: VecDeque<Segment>,
    /// The last one's, if it is not durable. All others are.
    unsynced: Option<Arc<File>>,
    next_number: u64,
    is_trusted: bool,
}

/// How an item stands to what is there.
enum Place {
    Next,
    Known,
    Gap,
}

impl History {
    /// Opens what is in the folder, setting aside what is damaged. The last file is written anew: as
    /// with the log, what can be read of it need not be durable.
    ///
    /// # Errors
    /// The folder cannot be read or written, or holds files of another cluster, node or version.
    pub fn open(
        disk: Arc<dyn Disk>,
        folder: &Path,
        owner: Owner,
        limits: HistoryLimits,
    ) -> Result<Self, StoreError> {
        let mut found = numbered(folder)?;
        found.sort_unstable();
        let mut files = Files {
            segments: VecDeque::new(),
            unsynced: None,
            next_number: found.last().map_or(1, |last| last + 1),
            is_trusted: true,
        };
        let mut rest = found.into_iter();
        let (mut last, mut last_bytes) = (None, Vec::new());
        for number in rest.by_ref() {
            let path = path_of(folder, number);
            let opened = open_segment(&*disk, &path, owner, last)?;
            let is_broken = opened.is_broken;
            if let Some(segment) = opened.segment {
                last = segment.range.map(|(_, last)| last).or(last);
                files.segments.push_back(segment);
                last_bytes = opened.bytes;
            }
            if is_broken {
                break;
            }
        }
        for number in rest {
            set_aside(&*disk, &path_of(folder, number))?;
        }
        if let Some(segment) = files.segments.back_mut() {
            segment.file = Arc::new(write_whole(&*disk, &segment.path, &last_bytes)?);
        }
        Ok(Self {
            disk,
            folder: folder.to_owned(),
            owner,
            limits,
            files: Mutex::new(files),
        })
    }

    /// Appends an item. What is known already is left as it is; an item that does not follow the
    /// last one begins history anew.
    ///
    /// # Errors
    /// It cannot be written; nothing can be appended any more.
    pub fn append(&self, item: &HistoryItem) -> Result<(), StoreError> {
        let is_full = |segment: &Segment| segment.end >= self.limits.segment_bytes;
        let needs_file = self.files().segments.back().is_none_or(is_full);
        if needs_file {
            self.sync()?;
        }
        let mut files = self.files();
        self.trust(&files)?;
        match files.place_of(item) {
            Place::Known => return Ok(()),
            Place::Next => {}
            Place::Gap => {
                tracing::info!(sequence = %item.sequence(), "history begins anew");
                files.remove_all();
            }
        }
        files.is_trusted = false;
        if files.segments.back().is_none_or(is_full) {
            let number = files.next_number;
            let path = path_of(&self.folder, number);
            let segment = Segment::create(&*self.disk, &path, self.owner)?;
            files.next_number += 1;
            files.segments.push_back(segment);
        }
        let Some(current) = files.segments.back_mut() else {
            unreachable!("one was just made");
        };
        current.append(&*self.disk, item)?;
        files.unsynced = Some(current.file.clone());
        files.is_trusted = true;
        Ok(())
    }

    /// Makes all that was appended durable.
    ///
    /// # Errors
    /// It cannot be; nothing can be appended any more.
    pub fn sync(&self) -> Result<(), StoreError> {
        let unsynced = {
            let mut files = self.files();
            self.trust(&files)?;
            files.unsynced.take()
        };
        let synced = unsynced.map_or(Ok(()), |file| self.disk.sync(&file));
        synced.map_err(|error| {
            self.files().is_trusted = false;
            StoreError::disk(&self.folder, "make history durable")(error)
        })
    }

    /// What follows a sequence, about `bytes_max` of it, at least one item if there is any.
    /// `None`: history begins later, or there is none.
    ///
    /// # Errors
    /// It cannot be read, or is damaged.
    pub fn read_after(
        &self,
        after: Sequence,
        bytes_max: usize,
        items_max: usize,
    ) -> Result<Option<Vec<HistoryItem>>, StoreError> {
        let parts: Vec<_> = {
            let files = self.files();
            if files.first().is_none_or(|first| first > after.next()) {
                return Ok(None);
            }
            let ends_later =
                |segment: &&Segment| segment.range.is_none_or(|(_, last)| last >= after);
            let later = files.segments.iter().filter(ends_later);
            later.map(|segment| segment.part_after(after)).collect()
        };
        let (mut items, mut bytes_count, mut has_begun) = (Vec::new(), 0_usize, false);
        for part in parts {
            let is_read = part.read(|item, bytes| {
                has_begun = has_begun
                    || match &item {
                        HistoryItem::Batch { .. } => item.sequence() > after,
                        HistoryItem::Checkpoint(..) => item.sequence() >= after,
                    };
                if !has_begun {
                    return true;
                }
                let is_over = items.len() >= items_max
                    || (!items.is_empty() && bytes_count.saturating_add(bytes) > bytes_max);
                if is_over {
                    return false;
                }
                bytes_count = bytes_count.saturating_add(bytes);
                items.push(item);
                true
            })?;
            if !is_read {
                break;
            }
        }
        Ok(Some(items))
    }

    /// The first and last sequence there is.
    #[must_use]
    pub fn range(&self) -> Option<(Sequence, Sequence)> {
        let files = self.files();
        Some((files.first()?, files.last()?))
    }

    /// Bytes of all files.
    #[must_use]
    pub fn bytes_count(&self) -> u64 {
        self.files()
            .segments
            .iter()
            .map(|segment| segment.end)
            .sum()
    }

    /// Drops whole files of what a snapshot after `covered` makes needless, down to what is kept
    /// for members that are a little behind.
    pub fn trim(&self, covered: Sequence) {
        let mut files = self.files();
        loop {
            let rest = files.segments.iter().skip(1);
            let (requests_count, bytes_count) = rest.fold((0, 0), |(requests, bytes), segment| {
                (requests + segment.requests_count, bytes + segment.end)
            });
            let is_enough = requests_count >= self.limits.kept_requests_count
                || bytes_count >= self.limits.kept_bytes_max;
            let is_covered = |segment: &Segment| {
                let last = segment.range.map(|(_, last)| last);
                last.is_none_or(|last| last <= covered)
            };
            if !is_enough || !files.segments.front().is_some_and(is_covered) {
                return;
            }
            files.remove_first();
        }
    }

    /// Drops everything.
    pub fn clear(&self) {
        self.files().remove_all();
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn trust(&self, files: &Files) -> Result<(), StoreError> {
        if files.is_trusted {
            return Ok(());
        }
        Err(StoreError::Distrusted {
            path: self.folder.clone(),
        })
    }
}

impl Files {
    fn first(&self) -> Option<Sequence> {
        let mut ranges = self.segments.iter().filter_map(|segment| segment.range);
        ranges.next().map(|(first, _)| first)
    }

    fn last(&self) -> Option<Sequence> {
        let mut ranges = self
            .segments
            .iter()
            .rev()
            .filter_map(|segment| segment.range);
        ranges.next().map(|(_, last)| last)
    }

    fn place_of(&self, item: &HistoryItem) -> Place {
        let Some(last) = self.last() else {
            return Place::Next;
        };
        let sequence = item.sequence();
        match item {
            HistoryItem::Batch { .. } if sequence == last.next() => Place::Next,
            HistoryItem::Checkpoint(..) if sequence <= last => Place::Next,
            _ if sequence <= last => Place::Known,
            _ => Place::Gap,
        }
    }

    fn remove_first(&mut self) {
        if let Some(segment) = self.segments.pop_front() {
            self.unsynced
                .take_if(|file| Arc::ptr_eq(file, &segment.file));
            if let Err(error) = std::fs::remove_file(&segment.path) {
                tracing::warn!(path = %segment.path.display(), %error, "history not removed");
            }
        }
    }

    fn remove_all(&mut self) {
        while !self.segments.is_empty() {
            self.remove_first();
        }
    }
}

fn path_of(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{PREFIX}{number:010}"))
}

/// Numbers of all files of history.
fn numbered(folder: &Path) -> Result<Vec<u64>, StoreError> {
    let unreadable = || StoreError::disk(folder, "list it");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable())? {
        let name = entry.map_err(unreadable())?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        found.extend(number.and_then(|digits| digits.parse::<u64>().ok()));
    }
    Ok(found)
}

struct Opened {
    segment: Option<Segment>,
    /// What is good of it.
    bytes: Vec<u8>,
    is_broken: bool,
}

/// Opens a segment whose first batch must follow `last`.
fn open_segment(
    disk: &dyn Disk,
    path: &Path,
    owner: Owner,
    mut last: Option<Sequence>,
) -> Result<Opened, StoreError> {
    let mut bytes = std::fs::read(path).map_err(StoreError::disk(path, "read it"))?;
    let header = match FileHeader::parse(&bytes, path, FileKind::History, owner) {
        Ok(header) => header,
        Err(StoreError::Damaged { .. }) => {
            remove_aside(path)?;
            set_aside(disk, path)?;
            return Ok(Opened {
                segment: None,
                bytes: Vec::new(),
                is_broken: true,
            });
        }
        Err(error) => return Err(error),
    };
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(StoreError::disk(path, "open it for writing"))?;
    let mut segment = Segment::empty(path, file, header.salt);
    let mut scan = Scan::of_file(&bytes, header.salt);
    let mut good = scan.offset();
    for frame in scan.by_ref() {
        let item = HistoryItem::from_bytes(frame.payload)
            .map_err(|error| StoreError::undecodable(path, frame.offset, &error))?;
        if let HistoryItem::Batch { .. } = item {
            if last.is_some_and(|last| item.sequence() != last.next()) {
                break;
            }
            last = Some(item.sequence());
        }
        segment.note(&item, frame.offset);
        good = frame.offset + frame_bytes(frame.payload);
    }
    segment.end = good;
    let is_broken = good < bytes.len() as u64;
    if is_broken {
        // The whole of it, for whoever wants to look.
        remove_aside(path)?;
        set_aside(disk, path)?;
        bytes.truncate(usize::try_from(good).unwrap_or(usize::MAX));
    }
    Ok(Opened {
        segment: Some(segment),
        bytes,
        is_broken,
    })
}

fn frame_bytes(payload: &[u8]) -> u64 {
    (FRAME_HEAD_BYTES + payload.len()) as u64
}

/// Removes what was set aside when damage was met before.
fn remove_aside(path: &Path) -> Result<(), StoreError> {
    let folder = path.parent().unwrap_or(path);
    super::remove(super::named(folder, PREFIX, super::ASIDE)?)
}

fn set_aside(disk: &dyn Disk, path: &Path) -> Result<(), StoreError> {
    let aside = path.with_added_extension(super::ASIDE);
    tracing::warn!(
        path = %path.display(),
        aside = %aside.display(),
        "history is damaged from here on; it is set aside and fetched from peers again",
    );
    disk.rename(path, &aside)
        .map_err(StoreError::disk(path, "set it aside"))
}
