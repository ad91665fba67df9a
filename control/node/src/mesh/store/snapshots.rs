//! Snapshots: whole states at stable checkpoints, the last two of them.
//!
//! A snapshot gets its name when all of it is durable. Its first frame holds certificate, body and
//! length; one frame a chunk follows, so that a chunk is served, and checked, by one read.

use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use consensus::{
    CHUNK_BYTES_MAX, CheckpointBody, CheckpointCertificate, DecodeError, Reader, Sequence, Wire,
    Writer,
};

use super::disk::{Disk, write_all};
use super::error::StoreError;
use super::frame::{
    FILE_HEADER_BYTES, FRAME_HEAD_BYTES, FileHeader, FileKind, Owner, Scan, put_frame,
    sync_folder_of,
};

/// Snapshots that are kept.
const SNAPSHOTS_MAX: usize = 2;
const PREFIX: &str = "snapshot-";

/// All snapshots on this node.
#[derive(Debug)]
pub struct Snapshots {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    owner: Owner,
    /// Oldest first.
    stored: Mutex<VecDeque<Arc<StoredSnapshot>>>,
}

/// A snapshot on the disk.
#[derive(Debug)]
pub struct StoredSnapshot {
    /// Proof of its checkpoint.
    pub certificate: CheckpointCertificate,
    /// What it is on.
    pub body: CheckpointBody,
    /// Bytes of the state.
    pub bytes_count: u64,
    path: PathBuf,
    file: File,
    salt: u64,
    /// Where the first chunk stands.
    chunks_offset: u64,
}

impl Snapshots {
    /// Finds what is there. Chunks are checked when they are read.
    ///
    /// # Errors
    /// The folder cannot be read, or holds files of another cluster or node.
    pub fn open(disk: Arc<dyn Disk>, folder: &Path, owner: Owner) -> Result<Self, StoreError> {
        let unreadable = || StoreError::disk(folder, "list it");
        let mut stored = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(unreadable())? {
            let name = entry.map_err(unreadable())?.file_name();
            let digits = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
            if digits.is_none_or(|digits| digits.parse::<u64>().is_err()) {
                continue;
            }
            let path = folder.join(&name);
            match StoredSnapshot::open(&path, owner) {
                Ok(snapshot) => stored.push(Arc::new(snapshot)),
                Err(error @ StoreError::Damaged { .. }) => {
                    tracing::warn!(%error, "this snapshot is set aside");
                    set_aside(&*disk, folder, &path)?;
                }
                Err(error) => return Err(error),
            }
        }
        stored.sort_unstable_by_key(|snapshot| snapshot.body.sequence);
        Ok(Self {
            disk,
            folder: folder.to_owned(),
            owner,
            stored: Mutex::new(stored.into()),
        })
    }

    /// Stores a snapshot durably and drops all but the two latest. Whoever holds a dropped one may go
    /// on reading it.
    ///
    /// # Errors
    /// It cannot be written; those before are still there.
    pub fn store(
        &self,
        certificate: &CheckpointCertificate,
        body: &CheckpointBody,
        state: &[u8],
    ) -> Result<(), StoreError> {
        let name = format!("{PREFIX}{:020}", body.sequence.0);
        let path = self.folder.join(name);
        let snapshot = self.write(&path, certificate, body, state)?;
        let mut stored = self.stored();
        stored.retain(|other| other.body.sequence != body.sequence);
        // One that took long may come after a later one.
        let place = stored.partition_point(|other| other.body.sequence < body.sequence);
        stored.insert(place, Arc::new(snapshot));
        let excess = stored.len().saturating_sub(SNAPSHOTS_MAX);
        for old in stored.drain(..excess) {
            if let Err(error) = std::fs::remove_file(&old.path) {
                tracing::warn!(path = %old.path.display(), %error, "old snapshot not removed");
            }
        }
        Ok(())
    }

    /// Newest first.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<StoredSnapshot>> {
        self.stored().iter().rev().cloned().collect()
    }

    /// The last one.
    #[must_use]
    pub fn newest(&self) -> Option<Arc<StoredSnapshot>> {
        self.stored().back().cloned()
    }

    /// Sets aside a snapshot that turned out to be no good.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn discard(&self, sequence: Sequence) -> Result<(), StoreError> {
        let mut stored = self.stored();
        let place = stored
            .iter()
            .position(|other| other.body.sequence == sequence);
        place
            .and_then(|place| stored.remove(place))
            .map_or(Ok(()), |bad| {
                set_aside(&*self.disk, &self.folder, &bad.path)
            })
    }

    /// Up to where history is not needed, even if the newest snapshot turns out to be damaged.
    #[must_use]
    pub fn covered(&self) -> Option<Sequence> {
        let stored = self.stored();
        let is_full = stored.len() >= SNAPSHOTS_MAX;
        let oldest = stored.front().map(|snapshot| snapshot.body.sequence);
        oldest.filter(|_| is_full)
    }

    /// A part of the snapshot of this checkpoint, if it is there.
    ///
    /// # Errors
    /// It cannot be read, or is damaged.
    pub fn chunk(&self, sequence: Sequence, index: u32) -> Result<Option<Vec<u8>>, StoreError> {
        let is_wanted = |other: &&Arc<StoredSnapshot>| other.body.sequence == sequence;
        let snapshot = self.stored().iter().find(is_wanted).cloned();
        snapshot.map_or(Ok(None), |snapshot| snapshot.chunk(index))
    }

    fn stored(&self) -> MutexGuard<'_, VecDeque<Arc<StoredSnapshot>>> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(
        &self,
        path: &Path,
        certificate: &CheckpointCertificate,
        body: &CheckpointBody,
        state: &[u8],
    ) -> Result<StoredSnapshot, StoreError> {
        let temporary = path.with_added_extension(super::TEMPORARY);
        let header = FileHeader::new(FileKind::Snapshot, self.owner)
            .map_err(StoreError::disk(path, "draw a salt for it"))?;
        let file = self
            .disk
            .create(&temporary)
            .map_err(StoreError::disk(&temporary, "create it"))?;
        let write = |bytes: &[u8], offset| {
            write_all(&*self.disk, &file, bytes, offset)
                .map_err(StoreError::disk(&temporary, "write it"))
        };
        let mut bytes = header.to_bytes();
        let preamble = preamble(certificate, body, state.len());
        put_frame(&mut bytes, header.salt, FILE_HEADER_BYTES as u64, &preamble);
        write(&bytes, 0)?;
        let chunks_offset = bytes.len() as u64;
        let mut offset = chunks_offset;
        for chunk in state.chunks(CHUNK_BYTES_MAX) {
            bytes.clear();
            put_frame(&mut bytes, header.salt, offset, chunk);
            write(&bytes, offset)?;
            offset += bytes.len() as u64;
        }
        self.disk
            .sync(&file)
            .map_err(StoreError::disk(&temporary, "make it durable"))?;
        self.disk
            .rename(&temporary, path)
            .map_err(StoreError::disk(path, "name it"))?;
        sync_folder_of(&*self.disk, path)?;
        Ok(StoredSnapshot {
            certificate: certificate.clone(),
            body: body.clone(),
            bytes_count: state.len() as u64,
            path: path.to_owned(),
            file,
            salt: header.salt,
            chunks_offset,
        })
    }
}

impl StoredSnapshot {
    fn open(path: &Path, owner: Owner) -> Result<Self, StoreError> {
        let unreadable = || StoreError::disk(path, "read it");
        let file = File::open(path).map_err(unreadable())?;
        let file_bytes = file.metadata().map_err(unreadable())?.len();
        let damaged =
            |offset, expected| StoreError::damaged(FileKind::Snapshot, path, offset, expected);
        // A checkpoint's proof is far shorter.
        let count = file_bytes.min(PREAMBLE_BYTES_MAX);
        let mut bytes = vec![0; usize::try_from(count).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut bytes, 0).map_err(unreadable())?;
        let header = FileHeader::parse(&bytes, path, FileKind::Snapshot, owner)?;
        let mut scan = Scan::of_file(&bytes, header.salt);
        let Some(frame) = scan.next() else {
            return Err(damaged(scan.offset(), "a checkpoint".to_owned()));
        };
        let (certificate, body, bytes_count) = read_preamble(frame.payload)
            .map_err(|error| StoreError::undecodable(path, frame.offset, &error))?;
        let snapshot = Self {
            certificate,
            body,
            bytes_count,
            path: path.to_owned(),
            file,
            salt: header.salt,
            chunks_offset: scan.offset(),
        };
        let wanted = snapshot.end();
        if wanted != Some(file_bytes) {
            return Err(damaged(file_bytes, format!("{wanted:?} bytes")));
        }
        Ok(snapshot)
    }

    /// Why it is of no use, though it is whole.
    #[must_use]
    pub fn unreadable(&self, reason: String) -> StoreError {
        StoreError::Unreadable {
            path: self.path.clone(),
            reason,
        }
    }

    /// The whole state, checked against its checksums alone.
    ///
    /// # Errors
    /// It cannot be read, or is damaged.
    pub fn state(&self) -> Result<Vec<u8>, StoreError> {
        let mut state = Vec::new();
        for index in 0_u32.. {
            let Some(chunk) = self.chunk(index)? else {
                break;
            };
            state.extend_from_slice(&chunk);
        }
        Ok(state)
    }

    fn chunk(&self, index: u32) -> Result<Option<Vec<u8>>, StoreError> {
        let begin = u64::from(index) * CHUNK_BYTES_MAX as u64;
        if begin >= self.bytes_count {
            return Ok(None);
        }
        let count = (self.bytes_count - begin).min(CHUNK_BYTES_MAX as u64);
        let offset = self.chunks_offset + begin + u64::from(index) * FRAME_HEAD_BYTES as u64;
        let frame_bytes = usize::try_from(count).unwrap_or(0) + FRAME_HEAD_BYTES;
        let mut bytes = vec![0; frame_bytes];
        self.file
            .read_exact_at(&mut bytes, offset)
            .map_err(StoreError::disk(&self.path, "read it"))?;
        let mut scan = Scan::of_part(&bytes, offset, self.salt);
        match scan.next() {
            Some(frame) if scan.is_at_end() => Ok(Some(frame.payload.to_vec())),
            _ => {
                let expected = format!("part {index} of the snapshot, whole");
                let path = &self.path;
                Err(StoreError::damaged(
                    FileKind::Snapshot,
                    path,
                    offset,
                    expected,
                ))
            }
        }
    }

    /// Where the file should end.
    fn end(&self) -> Option<u64> {
        let chunks_count = self.bytes_count.div_ceil(CHUNK_BYTES_MAX as u64);
        let heads = chunks_count.checked_mul(FRAME_HEAD_BYTES as u64)?;
        self.chunks_offset
            .checked_add(self.bytes_count)?
            .checked_add(heads)
    }
}

/// Keeps it under a name of its own, and forgets what was set aside long ago.
fn set_aside(disk: &dyn Disk, folder: &Path, path: &Path) -> Result<(), StoreError> {
    disk.rename(path, &path.with_added_extension(super::ASIDE))
        .map_err(StoreError::disk(path, "set it aside"))?;
    let mut aside = super::named(folder, PREFIX, super::ASIDE)?;
    aside.sort_unstable();
    let excess = aside.len().saturating_sub(SNAPSHOTS_MAX);
    super::remove(aside.drain(..excess))
}

/// Most bytes in front of the first chunk.
const PREAMBLE_BYTES_MAX: u64 = 1 << 20;

fn preamble(
    certificate: &CheckpointCertificate,
    body: &CheckpointBody,
    bytes_count: usize,
) -> Vec<u8> {
    let mut out = Writer::default();
    certificate.write(&mut out);
    body.write(&mut out);
    out.u64(bytes_count as u64);
    out.into_bytes()
}

fn read_preamble(
    bytes: &[u8],
) -> Result<(CheckpointCertificate, CheckpointBody, u64), DecodeError> {
    let mut from = Reader::new(bytes);
    let certificate = CheckpointCertificate::read(&mut from)?;
    let body = CheckpointBody::read(&mut from)?;
    let bytes_count = from.u64()?;
    from.finish()?;
    Ok((certificate, body, bytes_count))
}
