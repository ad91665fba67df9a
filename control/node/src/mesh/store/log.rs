//! The durable log: what a replica must not forget, so that it never contradicts itself.
//!
//! One group of records is one frame, and no frame is begun before the one in front of it is
//! durable. So a crash can spoil the last frame alone: it is cut off, nothing that was sent depended
//! on it. A frame that is spoiled with a whole one behind it was durable once: then the log has lost
//! votes that were sent, and is refused.
//!
//! What is read at the start is not durable for that: the life before may have ended between write
//! and sync, or by a sync that failed, after which the kernel gives the pages back and never writes
//! them. So it is written anew, under the same name, before anything can rest on it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use consensus::{Reader, Record, Wire, Writer};

use super::disk::{Disk, write_all};
use super::error::StoreError;
use super::frame::{
    FILE_HEADER_BYTES, FileHeader, FileKind, Frame, Owner, Scan, put_frame, write_whole,
};

/// A group is closed when it has this many bytes; one record more may be in it.
const GROUP_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Most bytes of a record. Far above the largest, a view entered.
const RECORD_BYTES_MAX: usize = 40 * 1024 * 1024;
/// The payload of the frame that ends a log that was closed in order. Behind it, the last group is
/// no torn tail even if its bytes rot.
const CLOSED: &[u8] = &[0; 4];

/// The log, open for appending.
#[derive(Debug)]
pub struct Log {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    owner: Owner,
    file: File,
    salt: u64,
    /// Where the next frame will stand.
    end: u64,
    is_trusted: bool,
}

impl Log {
    /// Begins an empty log.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn create(disk: Arc<dyn Disk>, path: &Path, owner: Owner) -> Result<Self, StoreError> {
        Self::begin(disk, path, owner, &[])
    }

    fn begin(
        disk: Arc<dyn Disk>,
        path: &Path,
        owner: Owner,
        records: &[Record],
    ) -> Result<Self, StoreError> {
        let (file, salt, end) = write_log(&*disk, path, owner, records)?;
        Ok(Self {
            disk,
            path: path.to_owned(),
            owner,
            file,
            salt,
            end,
            is_trusted: true,
        })
    }

    /// Opens a log, reads what it holds, in order, without a torn tail, and makes that durable.
    ///
    /// # Errors
    /// It cannot be read or written, is not this node's, or has lost what was durable.
    pub fn open(
        disk: Arc<dyn Disk>,
        path: &Path,
        owner: Owner,
    ) -> Result<(Self, Vec<Record>), StoreError> {
        let bytes = std::fs::read(path).map_err(StoreError::disk(path, "read it"))?;
        let header = FileHeader::parse(&bytes, path, FileKind::Log, owner)?;
        let mut scan = Scan::of_file(&bytes, header.salt);
        let mut records = Vec::new();
        for frame in scan.by_ref() {
            read_group(frame, path, &mut records)?;
        }
        let end = scan.offset();
        let damaged = |expected: String| StoreError::damaged(FileKind::Log, path, end, expected);
        if !scan.is_at_end() {
            if end < header.sealed_bytes || scan.is_followed() {
                let expected = "a whole group of records, since what follows it was written later";
                return Err(damaged(expected.to_owned()));
            }
            tracing::warn!(
                path = %path.display(),
                offset = end,
                bytes = bytes.len() as u64 - end,
                "the last group of records was not written whole, as after a loss of power; it is cut off",
            );
        } else if end < header.sealed_bytes {
            return Err(damaged(format!("at least {} bytes", header.sealed_bytes)));
        }
        Ok((Self::begin(disk, path, owner, &records)?, records))
    }

    /// Appends records and makes them durable, all with one sync if they are no more than a group.
    ///
    /// # Errors
    /// They may or may not be durable, and nothing may be appended any more.
    pub fn append<'r>(
        &mut self,
        records: impl IntoIterator<Item = &'r Record>,
    ) -> Result<(), StoreError> {
        let mut group = Vec::new();
        for record in records {
            put_record(&mut group, record);
            if group.len() >= GROUP_BYTES_MAX {
                self.append_frame(&group)?;
                group.clear();
            }
        }
        if group.is_empty() {
            return Ok(());
        }
        self.append_frame(&group)
    }

    /// Says that nothing will be appended any more.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub fn close(mut self) -> Result<(), StoreError> {
        self.append_frame(CLOSED)
    }

    /// Replaces all records, atomically and durably.
    ///
    /// # Errors
    /// The old ones or the new ones are there, and nothing may be appended any more.
    pub fn replace(&mut self, records: &[Record]) -> Result<(), StoreError> {
        self.trust()?;
        let written = write_log(&*self.disk, &self.path, self.owner, records);
        let (file, salt, end) = written.inspect_err(|_| self.is_trusted = false)?;
        self.file = file;
        self.salt = salt;
        self.end = end;
        Ok(())
    }

    /// Bytes of the file.
    #[must_use]
    pub fn bytes_count(&self) -> u64 {
        self.end
    }

    fn trust(&self) -> Result<(), StoreError> {
        if self.is_trusted {
            return Ok(());
        }
        Err(StoreError::Distrusted {
            path: self.path.clone(),
        })
    }

    fn append_frame(&mut self, payload: &[u8]) -> Result<(), StoreError> {
        self.trust()?;
        let mut bytes = Vec::new();
        put_frame(&mut bytes, self.salt, self.end, payload);
        // Until both have succeeded, nobody knows what is there.
        self.is_trusted = false;
        write_all(&*self.disk, &self.file, &bytes, self.end)
            .map_err(StoreError::disk(&self.path, "append to it"))?;
        self.disk
            .sync(&self.file)
            .map_err(StoreError::disk(&self.path, "make it durable"))?;
        self.is_trusted = true;
        self.end += bytes.len() as u64;
        Ok(())
    }
}

fn put_record(group: &mut Vec<u8>, record: &Record) {
    let mut out = Writer::default();
    out.block(&record.to_bytes());
    group.extend_from_slice(&out.into_bytes());
}

fn read_group(frame: Frame<'_>, path: &Path, out: &mut Vec<Record>) -> Result<(), StoreError> {
    if frame.payload == CLOSED {
        return Ok(());
    }
    let unreadable = |error| StoreError::undecodable(path, frame.offset, &error);
    let mut from = Reader::new(frame.payload);
    while from.left() > 0 {
        let record = from.block("bytes of a record", RECORD_BYTES_MAX);
        let record = record.and_then(Record::from_bytes).map_err(unreadable)?;
        out.push(record);
    }
    Ok(())
}

/// Writes a whole log; gives the file, its salt and its end.
fn write_log(
    disk: &dyn Disk,
    path: &Path,
    owner: Owner,
    records: &[Record],
) -> Result<(File, u64, u64), StoreError> {
    let header = FileHeader::new(FileKind::Log, owner);
    let mut header = header.map_err(StoreError::disk(path, "draw a salt for it"))?;
    let mut bytes = vec![0; FILE_HEADER_BYTES];
    let mut group = Vec::new();
    for (index, record) in records.iter().enumerate() {
        put_record(&mut group, record);
        if group.len() >= GROUP_BYTES_MAX || index + 1 == records.len() {
            let offset = bytes.len() as u64;
            put_frame(&mut bytes, header.salt, offset, &group);
            group.clear();
        }
    }
    header.sealed_bytes = bytes.len() as u64;
    bytes.splice(..FILE_HEADER_BYTES, header.to_bytes());
    let file = write_whole(disk, path, &bytes)?;
    Ok((file, header.salt, header.sealed_bytes))
}
