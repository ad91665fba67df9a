//! Frames: how bytes stand in every file of the store, so that damage is seen.
//!
//! A file begins with a [`FileHeader`]: what it is, whose it is, and a random salt. Frames follow:
//! length, checksum of the head, checksum of the payload, payload. Both checksums (CRC-32) begin
//! with salt and offset, so that bytes of an older file, of another place, or made up by a client
//! inside a payload never pass for a frame.

use std::fs::File;
use std::io;
use std::path::Path;

use consensus::{ClusterId, NodeId, Reader, Wire, Writer};
use crc32fast::Hasher;

use super::disk::{Disk, write_all};
use super::error::StoreError;

/// Bytes of a [`FileHeader`].
pub(super) const FILE_HEADER_BYTES: usize = 68;
/// Bytes in front of a payload.
pub(super) const FRAME_HEAD_BYTES: usize = 12;
/// Most bytes of a payload.
pub(super) const PAYLOAD_BYTES_MAX: usize = 64 * 1024 * 1024;
const VERSION: u8 = 1;
const MAGIC: [u8; 6] = *b"nexus\n";

/// Whose files these are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The cluster.
    pub cluster: ClusterId,
    /// The node.
    pub node: NodeId,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum FileKind {
    Log = 1,
    History = 2,
    Snapshot = 3,
}

/// The first bytes of every file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileHeader {
    pub kind: FileKind,
    pub owner: Owner,
    pub salt: u64,
    /// This many bytes were durable before the file got its name: damage there is no torn tail.
    pub sealed_bytes: u64,
}

impl FileHeader {
    /// With a fresh salt.
    pub(super) fn new(kind: FileKind, owner: Owner) -> io::Result<Self> {
        let mut salt = [0; 8];
        rustix::rand::getrandom(&mut salt, rustix::rand::GetRandomFlags::empty())?;
        Ok(Self {
            kind,
            owner,
            salt: u64::from_be_bytes(salt),
            sealed_bytes: 0,
        })
    }

    pub(super) fn to_bytes(self) -> Vec<u8> {
        let mut out = Writer::default();
        out.bytes(&MAGIC);
        out.u8(self.kind as u8);
        out.u8(VERSION);
        self.owner.cluster.write(&mut out);
        self.owner.node.write(&mut out);
        out.u64(self.salt);
        out.u64(self.sealed_bytes);
        let mut bytes = out.into_bytes();
        let checksum = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&checksum.to_be_bytes());
        bytes
    }

    /// Reads the header of a file that should be of this kind and owner.
    pub(super) fn parse(
        bytes: &[u8],
        path: &Path,
        kind: FileKind,
        owner: Owner,
    ) -> Result<Self, StoreError> {
        let damaged = || {
            let expected = format!("a header of {FILE_HEADER_BYTES} bytes with its checksum");
            StoreError::damaged(kind, path, 0, expected)
        };
        let header: &[u8; FILE_HEADER_BYTES] = bytes.first_chunk().ok_or_else(damaged)?;
        let (covered, checksum) = header.split_at(FILE_HEADER_BYTES - 4);
        if checksum != crc32fast::hash(covered).to_be_bytes() {
            return Err(damaged());
        }
        let mut from = Reader::new(covered);
        let read = |from: &mut Reader<'_>| -> Result<_, consensus::DecodeError> {
            let magic: [u8; 6] = from.array()?;
            let first = (magic, from.u8()?, from.u8()?);
            let found = Owner {
                cluster: ClusterId::read(from)?,
                node: NodeId::read(from)?,
            };
            Ok((first, found, from.u64()?, from.u64()?))
        };
        let Ok(((magic, found_kind, version), found, salt, sealed_bytes)) = read(&mut from) else {
            return Err(damaged());
        };
        if magic != MAGIC || found_kind != kind as u8 {
            return Err(damaged());
        }
        let foreign = |what, found: String, expected: String| StoreError::Foreign {
            path: path.to_owned(),
            what,
            found,
            expected,
        };
        if version != VERSION {
            let (found, expected) = (version.to_string(), VERSION.to_string());
            return Err(foreign("version", found, expected));
        }
        if found.cluster != owner.cluster {
            let (found, expected) = (found.cluster.to_string(), owner.cluster.to_string());
            return Err(foreign("cluster", found, expected));
        }
        if found.node != owner.node {
            let (found, expected) = (found.node.to_string(), owner.node.to_string());
            return Err(foreign("node", found, expected));
        }
        Ok(Self {
            kind,
            owner,
            salt,
            sealed_bytes,
        })
    }
}

/// Appends a frame that will stand at `offset` of its file.
///
/// # Panics
/// The payload is empty or too long: callers bound it.
pub(super) fn put_frame(out: &mut Vec<u8>, salt: u64, offset: u64, payload: &[u8]) {
    assert!(
        !payload.is_empty(),
        "runs of zeros must not look like frames"
    );
    assert!(payload.len() <= PAYLOAD_BYTES_MAX, "callers split");
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let payload_checksum = checksum(salt, offset, &[payload]);
    let head_checksum = head_checksum(salt, offset, length, payload_checksum);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&head_checksum.to_be_bytes());
    out.extend_from_slice(&payload_checksum.to_be_bytes());
    out.extend_from_slice(payload);
}

fn checksum(salt: u64, offset: u64, parts: &[&[u8]]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&salt.to_be_bytes());
    hasher.update(&offset.to_be_bytes());
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize()
}

fn head_checksum(salt: u64, offset: u64, length: u32, payload_checksum: u32) -> u32 {
    let parts: [&[u8]; 2] = [&length.to_be_bytes(), &payload_checksum.to_be_bytes()];
    checksum(salt, offset, &parts)
}

/// A whole frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame<'b> {
    /// Where it stands in its file.
    pub offset: u64,
    pub payload: &'b [u8],
}

/// Reads frames one after the other and stops in front of the first that is not whole.
#[derive(Debug, Clone)]
pub(super) struct Scan<'b> {
    bytes: &'b [u8],
    at: usize,
    /// Where the bytes stand in their file.
    base: u64,
    salt: u64,
}

impl<'b> Scan<'b> {
    /// Of a part of a file that begins with a frame at offset `base`.
    pub(super) fn of_part(bytes: &'b [u8], base: u64, salt: u64) -> Self {
        Self {
            bytes,
            at: 0,
            base,
            salt,
        }
    }

    /// Of all frames of a file, given all of its bytes.
    pub(super) fn of_file(bytes: &'b [u8], salt: u64) -> Self {
        let frames = bytes.get(FILE_HEADER_BYTES..).unwrap_or_default();
        Self::of_part(frames, FILE_HEADER_BYTES as u64, salt)
    }

    /// Where in the file it stands.
    pub(super) fn offset(&self) -> u64 {
        self.base + self.at as u64
    }

    /// Whether every byte belonged to a whole frame.
    pub(super) fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// Whether a whole frame begins anywhere behind this place.
    pub(super) fn is_followed(&self) -> bool {
        (self.at + 1..self.bytes.len()).any(|at| self.frame_at(at).is_some())
    }

    /// Bytes of the frame that should stand here, if its head is whole.
    pub(super) fn frame_bytes(&self) -> Option<usize> {
        Some(FRAME_HEAD_BYTES + self.head_at(self.at)?.0)
    }

    fn head_at(&self, at: usize) -> Option<(usize, u32)> {
        let head: &[u8; FRAME_HEAD_BYTES] = self.bytes.get(at..)?.first_chunk()?;
        let [length, head_sum, payload_sum] = *head.as_chunks::<4>().0.first_chunk()?;
        let length = u32::from_be_bytes(length);
        let payload_sum = u32::from_be_bytes(payload_sum);
        let count = usize::try_from(length).ok()?;
        if count == 0 || count > PAYLOAD_BYTES_MAX {
            return None;
        }
        let offset = self.base + at as u64;
        let wanted = head_checksum(self.salt, offset, length, payload_sum);
        (wanted.to_be_bytes() == head_sum).then_some((count, payload_sum))
    }

    fn frame_at(&self, at: usize) -> Option<&'b [u8]> {
        let (count, payload_sum) = self.head_at(at)?;
        let begin = at.checked_add(FRAME_HEAD_BYTES)?;
        let payload = self.bytes.get(begin..begin.checked_add(count)?)?;
        let offset = self.base + at as u64;
        (checksum(self.salt, offset, &[payload]) == payload_sum).then_some(payload)
    }
}

impl<'b> Iterator for Scan<'b> {
    type Item = Frame<'b>;

    fn next(&mut self) -> Option<Frame<'b>> {
        let payload = self.frame_at(self.at)?;
        let offset = self.offset();
        self.at += FRAME_HEAD_BYTES + payload.len();
        Some(Frame { offset, payload })
    }
}

/// Writes bytes under a temporary name, makes them durable, and gives them their name: whoever
/// opens it finds the old file or the whole new one.
pub(super) fn write_whole(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<File, StoreError> {
    let temporary = path.with_added_extension(super::TEMPORARY);
    let file = disk
        .create(&temporary)
        .map_err(StoreError::disk(&temporary, "create it"))?;
    write_all(disk, &file, bytes, 0).map_err(StoreError::disk(&temporary, "write it"))?;
    disk.sync(&file)
        .map_err(StoreError::disk(&temporary, "make it durable"))?;
    disk.rename(&temporary, path)
        .map_err(StoreError::disk(path, "replace it"))?;
    sync_folder_of(disk, path)?;
    Ok(file)
}

/// Makes a file's name durable.
pub(super) fn sync_folder_of(disk: &dyn Disk, path: &Path) -> Result<(), StoreError> {
    path.parent().map_or(Ok(()), |folder| {
        disk.sync_folder(folder)
            .map_err(StoreError::disk(folder, "make its names durable"))
    })
}
