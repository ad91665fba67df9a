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
    /// Which of the files comes next.
    next: u8,
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

impl Remembered {
    /// Reads the files. None at all are those of a key that has signed nothing. What was read need not be durable, if the
    /// process was killed before it had heard so; when this returns it is, in the other file.
    pub(crate) fn load(files: &dyn Files, path: String) -> Result<Self, MemoryError> {
        let (mut last, mut next, mut damage) = (None, 0, None);
        for slot in 0..2 {
            let Some(bytes) = files.read(&slot_path(&path, slot))? else {
                continue;
            };
            let head = unseal(KIND, &bytes).and_then(decode_head);
            match (head, &last) {
                (Err(error), _) => damage = Some(error),
                (Ok(head), Some(before)) if !follows(&head, before) => {}
                (Ok(head), _) => (last, next) = (Some(head), 1 - slot),
            }
        }
        if let (None, Some(error)) = (&last, damage) {
            return Err(error.into());
        }
        let mut memory = Self { path, last, next };
        if let Some(last) = last {
            memory.write(files, &last)?;
        }
        Ok(memory)
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

    /// Remembers a head that was checked. It may be signed when this returns. Writes nothing if size and root are remembered
    /// and `is_time_kept` is not wanted.
    pub(crate) fn remember(
        &mut self,
        files: &dyn Files,
        head: &TreeHead,
        is_time_kept: bool,
    ) -> io::Result<()> {
        let same = |last: &TreeHead| {
            last.size == head.size && last.root == head.root && (!is_time_kept || last == head)
        };
        if self.last.as_ref().is_some_and(same) {
            return Ok(());
        }
        self.write(files, head)
    }

    fn write(&mut self, files: &dyn Files, head: &TreeHead) -> io::Result<()> {
        let path = slot_path(&self.path, self.next);
        files.overwrite(&path, &seal(KIND, &encode_head(head)))?;
        self.last = Some(*head);
        self.next = 1 - self.next;
        Ok(())
    }
}

fn slot_path(path: &str, slot: u8) -> String {
    format!("{path}.{slot}")
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
        load().remember(&files, &head(5, 1, 100), true).unwrap();
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
            memory.remember(&files, &head(size, 1, 100), true).unwrap();
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
                memory.remember(&files, &head(9, 1, 101), true).unwrap();
                assert_eq!(files.read(newest).unwrap().unwrap(), older);
                assert_eq!(load().unwrap().last(), Some(&head(9, 1, 101)));
            }
        }
        files.write(newest, b"").unwrap();
        files.write(before, &whole[1..]).unwrap();
        assert!(load().is_err());
        let longer = seal(KIND, &[0; HEAD_BYTES + 1]);
        let error = decode_head(unseal(KIND, &longer).unwrap()).unwrap_err();
        assert_eq!(error, SealError::Length { found: 49 });
    }
}
