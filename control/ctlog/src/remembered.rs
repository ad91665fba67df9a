//! [`Remembered`]: the head that a key has signed last, on disk before the signature is made, so that no crash lets it sign
//! another one in its place.

use std::io;

use ct::{Hash, TreeHead};

use crate::files::Files;

/// One head, in two files of its own that are written by turns: a write that a crash has cut leaves the head before, and
/// for the one that it cut nothing was signed.
#[derive(Debug)]
pub(crate) struct Remembered {
    path: String,
    last: Option<TreeHead>,
    /// What was remembered with it.
    attached: Vec<u8>,
    /// Which of the files comes next.
    next: usize,
    /// Bytes of the files.
    lengths: [usize; 2],
}

/// Why a head must not be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeadConflict {
    /// It has fewer leaves than the last one.
    #[error("head of {size} leaves goes back behind {last}")]
    Size {
        /// Of this head.
        size: u64,
        /// Of the last one.
        last: u64,
    },
    /// It has the size of the last one and another root.
    #[error("head of {size} leaves has root {root}, and was signed with {last}")]
    Root {
        /// Of both.
        size: u64,
        /// Of this head.
        root: Hash,
        /// Of the last one.
        last: Hash,
    },
    /// It is older than the last one, or says something else at the same time.
    #[error("head of time {timestamp_ms} does not follow that of {last}")]
    Time {
        /// Of this head, in milliseconds since 1970.
        timestamp_ms: u64,
        /// Of the last one.
        last: u64,
    },
}

/// Why a file does not say what was signed last. Without it the key must not be used.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// What the kernel said.
    #[error(transparent)]
    Files(#[from] io::Error),
    /// Not what was written.
    #[error("damaged: {0}")]
    Damaged(#[from] SealError),
}

/// Why bytes are no state of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Too short, or of another kind.
    #[error("not a file of this kind")]
    Kind,
    /// The checksum is of other bytes.
    #[error("checksum does not match")]
    Checksum,
    /// It has another length than its contents.
    #[error("contents of {found} bytes do not fit")]
    Length {
        /// Bytes of the contents.
        found: usize,
    },
}

/// What a file of [`Remembered`] begins with.
const KIND: [u8; 8] = *b"cthead 1";
/// Contents with something attached are filled up to a multiple of this, so that most are of the same length.
const BLOCK_BYTES: usize = 4096;

impl Remembered {
    /// Reads the files. None at all are those of a key that has signed nothing. What was read need not be durable, if the
    /// process was killed before it had heard so; when this returns it is, in the other file.
    pub(crate) fn load(files: &dyn Files, path: String) -> Result<Self, MemoryError> {
        let mut memory = Self {
            path,
            last: None,
            attached: Vec::new(),
            next: 0,
            lengths: [0; 2],
        };
        let mut damage = None;
        for (slot, length) in memory.lengths.iter_mut().enumerate() {
            let Some(bytes) = files.read(&slot_path(&memory.path, slot))? else {
                continue;
            };
            *length = bytes.len();
            match (unseal(KIND, &bytes).and_then(decode), &memory.last) {
                (Err(error), _) => damage = Some(error),
                (Ok((head, _)), Some(before)) if !follows(&head, before) => {}
                (Ok((head, attached)), _) => {
                    (memory.last, memory.next) = (Some(head), 1 - slot);
                    memory.attached = attached.to_vec();
                }
            }
        }
        match (memory.last, damage) {
            (None, Some(error)) => return Err(error.into()),
            (None, None) => {}
            (Some(last), _) => {
                let attached = std::mem::take(&mut memory.attached);
                memory.write(files, &last, attached)?;
            }
        }
        Ok(memory)
    }

    /// What was remembered with the last head.
    pub(crate) fn attached(&self) -> &[u8] {
        &self.attached
    }

    /// The last head.
    pub(crate) fn last(&self) -> Option<&TreeHead> {
        self.last.as_ref()
    }

    /// Whether it goes on from the last head in size, with the same root if in nothing else.
    pub(crate) fn check_size(&self, head: &TreeHead) -> Result<(), HeadConflict> {
        let Some(last) = &self.last else {
            return Ok(());
        };
        if head.size < last.size {
            return Err(HeadConflict::Size {
                size: head.size,
                last: last.size,
            });
        }
        if head.size == last.size && head.root != last.root {
            return Err(HeadConflict::Root {
                size: head.size,
                root: head.root,
                last: last.root,
            });
        }
        Ok(())
    }

    /// Whether it also goes on in time, unless it is the same head.
    pub(crate) fn check_time(&self, head: &TreeHead) -> Result<(), HeadConflict> {
        let is_later = |last: &TreeHead| head.timestamp_ms > last.timestamp_ms || head == last;
        match &self.last {
            Some(last) if !is_later(last) => Err(HeadConflict::Time {
                timestamp_ms: head.timestamp_ms,
                last: last.timestamp_ms,
            }),
            _ => Ok(()),
        }
    }

    /// Remembers a head that was checked. It may be signed when this returns. Writes nothing if size and root are remembered.
    pub(crate) fn remember(&mut self, files: &dyn Files, head: &TreeHead) -> io::Result<()> {
        let same = |last: &TreeHead| last.size == head.size && last.root == head.root;
        match self.last.as_ref().is_some_and(same) {
            true => Ok(()),
            false => self.write(files, head, Vec::new()),
        }
    }

    /// The same of a head with its time, and of what belongs to it. Writes nothing if the head is remembered.
    pub(crate) fn remember_with(
        &mut self,
        files: &dyn Files,
        head: &TreeHead,
        attached: Vec<u8>,
    ) -> io::Result<()> {
        match self.last.as_ref() == Some(head) {
            true => Ok(()),
            false => self.write(files, head, attached),
        }
    }

    fn write(&mut self, files: &dyn Files, head: &TreeHead, attached: Vec<u8>) -> io::Result<()> {
        let path = slot_path(&self.path, self.next);
        let bytes = seal(KIND, &encode(head, &attached));
        match self.lengths[self.next] {
            length if length != 0 && length != bytes.len() => files.replace(&path, &bytes)?,
            _ => files.overwrite(&path, &bytes)?,
        }
        self.lengths[self.next] = bytes.len();
        (self.last, self.attached) = (Some(*head), attached);
        self.next = 1 - self.next;
        Ok(())
    }
}

fn slot_path(path: &str, slot: usize) -> String {
    format!("{path}.{slot}")
}

/// The head alone, or head, length, what is attached, and zeros.
fn encode(head: &TreeHead, attached: &[u8]) -> Vec<u8> {
    let mut contents = encode_head(head).to_vec();
    if !attached.is_empty() {
        let length = u32::try_from(attached.len()).expect("a note of some signatures");
        contents.extend_from_slice(&length.to_be_bytes());
        contents.extend_from_slice(attached);
        contents.resize(contents.len().next_multiple_of(BLOCK_BYTES), 0);
    }
    contents
}

fn decode(contents: &[u8]) -> Result<(TreeHead, &[u8]), SealError> {
    let found = contents.len();
    let length = SealError::Length { found };
    let (head, rest) = contents.split_at_checked(HEAD_BYTES).ok_or(length)?;
    let head = decode_head(head)?;
    if rest.is_empty() {
        return Ok((head, rest));
    }
    let (bytes, rest) = rest.split_first_chunk().ok_or(length)?;
    let bytes = usize::try_from(u32::from_be_bytes(*bytes)).unwrap_or(usize::MAX);
    Ok((head, rest.get(..bytes).ok_or(length)?))
}

/// Whether a head was remembered after another.
fn follows(head: &TreeHead, before: &TreeHead) -> bool {
    (head.size, head.timestamp_ms) > (before.size, before.timestamp_ms)
}

/// Kind, contents and checksum.
pub(crate) fn seal(kind: [u8; 8], contents: &[u8]) -> Vec<u8> {
    let mut bytes = kind.to_vec();
    bytes.extend_from_slice(contents);
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
    bytes
}

/// The contents of what was sealed.
pub(crate) fn unseal(kind: [u8; 8], bytes: &[u8]) -> Result<&[u8], SealError> {
    let (whole, checksum) = bytes.split_last_chunk().ok_or(SealError::Kind)?;
    let contents = whole.strip_prefix(&kind).ok_or(SealError::Kind)?;
    if crc32fast::hash(whole) != u32::from_be_bytes(*checksum) {
        return Err(SealError::Checksum);
    }
    Ok(contents)
}

/// Bytes of [`encode_head`].
pub(crate) const HEAD_BYTES: usize = 48;

pub(crate) fn encode_head(head: &TreeHead) -> [u8; HEAD_BYTES] {
    let mut bytes = [0; HEAD_BYTES];
    bytes[..8].copy_from_slice(&head.size.to_be_bytes());
    bytes[8..16].copy_from_slice(&head.timestamp_ms.to_be_bytes());
    bytes[16..].copy_from_slice(&head.root.0);
    bytes
}

pub(crate) fn decode_head(bytes: &[u8]) -> Result<TreeHead, SealError> {
    let found = bytes.len();
    let length = SealError::Length { found };
    let (size, rest) = bytes.split_first_chunk().ok_or(length)?;
    let (timestamp_ms, root) = rest.split_first_chunk().ok_or(length)?;
    Ok(TreeHead {
        size: u64::from_be_bytes(*size),
        root: Hash(root.try_into().map_err(|_| length)?),
        timestamp_ms: u64::from_be_bytes(*timestamp_ms),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::LocalFiles;

    fn head(size: u64, root: u8, timestamp_ms: u64) -> TreeHead {
        TreeHead {
            size,
            root: Hash([root; 32]),
            timestamp_ms,
        }
    }

    #[test]
    fn what_was_remembered_is_there_after_a_start_and_nothing_else_passes() {
        let folder = tempfile::tempdir().unwrap();
        let files = LocalFiles::new(folder.path().to_owned(), 0o600);
        let load = || Remembered::load(&files, "signed".to_owned()).unwrap();
        assert_eq!(load().last(), None);
        load().remember(&files, &head(5, 1, 100)).unwrap();
        let memory = load();
        assert_eq!(memory.last(), Some(&head(5, 1, 100)));
        let (size, last) = (4, 5);
        let back = Err(HeadConflict::Size { size, last });
        assert_eq!(memory.check_size(&head(4, 1, 200)), back);
        let fork = memory.check_size(&head(5, 2, 200)).unwrap_err();
        assert!(matches!(fork, HeadConflict::Root { size: 5, .. }));
        for same_or_later in [head(5, 1, 100), head(5, 1, 101), head(6, 2, 101)] {
            memory.check_size(&same_or_later).unwrap();
            memory.check_time(&same_or_later).unwrap();
        }
        for not_later in [head(6, 2, 100), head(6, 2, 99), head(5, 1, 99)] {
            memory.check_size(&not_later).unwrap();
            assert!(memory.check_time(&not_later).is_err());
        }
    }

    #[test]
    fn write_that_a_crash_has_cut_leaves_the_head_before_and_damage_of_both_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let files = LocalFiles::new(folder.path().to_owned(), 0o600);
        let load = || Remembered::load(&files, "signed".to_owned());
        let mut memory = load().unwrap();
        for size in 5..8 {
            memory.remember(&files, &head(size, 1, 100)).unwrap();
        }
        let whole = seal(KIND, &encode_head(&head(7, 1, 100)));
        let older = seal(KIND, &encode_head(&head(6, 1, 100)));
        let [newest, before] = ["signed.0", "signed.1"];
        let both = || [newest, before].map(|path| files.read(path).unwrap().unwrap());
        assert_eq!(both(), [whole.clone(), older.clone()]);
        assert_eq!(load().unwrap().last(), Some(&head(7, 1, 100)));
        // What was read may be in the memory of the kernel only: it is made durable in the other file.
        assert_eq!(both(), [whole.clone(), whole.clone()]);
        for place in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[place] ^= 1;
            for cut in [&damaged[..], &whole[..place]] {
                files.write(newest, cut).unwrap();
                files.write(before, &older).unwrap();
                let mut memory = load().unwrap();
                assert_eq!(memory.last(), Some(&head(6, 1, 100)));
                // Where it was damaged, the head before is durable; what comes next is written beside it.
                memory.remember(&files, &head(9, 1, 101)).unwrap();
                assert_eq!(files.read(newest).unwrap().unwrap(), older);
                assert_eq!(load().unwrap().last(), Some(&head(9, 1, 101)));
            }
        }
        files.write(newest, b"").unwrap();
        files.write(before, &whole[1..]).unwrap();
        assert!(load().is_err());
        for (bytes, found) in [(HEAD_BYTES - 1, 47), (HEAD_BYTES + 1, 49)] {
            let other = seal(KIND, &vec![0; bytes]);
            let error = decode(unseal(KIND, &other).unwrap()).unwrap_err();
            assert_eq!(error, SealError::Length { found });
        }
    }

    #[test]
    fn what_is_attached_is_there_after_a_start_whatever_its_length() {
        let folder = tempfile::tempdir().unwrap();
        let files = LocalFiles::new(folder.path().to_owned(), 0o600);
        let load = || Remembered::load(&files, "signed".to_owned()).unwrap();
        for (size, bytes) in (5..).zip([0, 1, 4_000, 4_096, 100, 9_000, 0]) {
            let attached = vec![7; bytes];
            let mut memory = load();
            let (at, later) = (head(size, 1, 100), head(size, 1, 101));
            memory.remember_with(&files, &at, attached.clone()).unwrap();
            memory
                .remember_with(&files, &at, b"other".to_vec())
                .unwrap();
            assert_eq!(
                (load().last(), load().attached()),
                (Some(&at), &attached[..])
            );
            memory = load();
            memory
                .remember_with(&files, &later, attached.clone())
                .unwrap();
            assert_eq!(
                (load().last(), load().attached()),
                (Some(&later), &attached[..])
            );
        }
    }
}
