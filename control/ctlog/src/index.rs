//! [`Index`]: where in a shard a submission or a leaf is. It follows from the tiles and is made again from them, so nothing is lost
//! with it; keys are cut to 16 bytes, so whoever finds a place has to look there.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use ct::Hash;
use redb::{Database, Durability, ReadableDatabase as _, ReadableTable as _, TableDefinition};

/// First bytes of a hash.
type Key = [u8; 16];

type Table = TableDefinition<'static, Key, u64>;

/// By [`ct::submission_key`].
const SUBMISSIONS: Table = TableDefinition::new("submissions");
/// By leaf hash.
const LEAVES: Table = TableDefinition::new("leaves");
/// How many entries of the shard are in it, by nothing.
const SIZE: TableDefinition<'static, (), u64> = TableDefinition::new("size");

/// Entries that are held in memory before they are written. The more at once, the fewer pages of the trees are written for
/// each.
pub(crate) const RECENT_MAX: usize = 1 << 16;

/// Bytes of pages that are held in memory, for each shard.
const CACHE_BYTES: usize = 32 << 20;

/// Both directions of a shard.
#[derive(Debug)]
pub(crate) struct Index {
    database: Database,
    recent: Mutex<Recent>,
}

/// What is not written yet. In the order of the tables.
#[derive(Debug, Default)]
struct Recent {
    submissions: BTreeMap<Key, u64>,
    leaves: BTreeMap<Key, u64>,
    size: u64,
}

/// What the database said, boxed: it is large.
#[derive(Debug, thiserror::Error)]
#[error("index: {0}")]
pub struct IndexError(Box<redb::Error>);

impl<E: Into<redb::Error>> From<E> for IndexError {
    fn from(error: E) -> Self {
        Self(Box::new(error.into()))
    }
}

impl Index {
    /// Opens the file, or makes it. One that is damaged is thrown away. It may know more than the tiles after a crash: what
    /// comes again then is the same.
    ///
    /// # Errors
    /// If it can be neither opened nor made.
    pub(crate) fn open(path: &Path) -> Result<Self, IndexError> {
        match Self::open_file(path) {
            Ok(index) => return Ok(index),
            Err(error) => tracing::warn!(path = %path.display(), %error, "index is made anew"),
        }
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(redb::Error::Io(error).into())
            }
            _ => Self::open_file(path),
        }
    }

    fn open_file(path: &Path) -> Result<Self, IndexError> {
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create(path)?;
        let write = database.begin_write()?;
        write.open_table(SUBMISSIONS)?;
        write.open_table(LEAVES)?;
        let size = write.open_table(SIZE)?.get(())?.map(|size| size.value());
        write.commit()?;
        let recent = Recent {
            size: size.unwrap_or(0),
            ..Recent::default()
        };
        Ok(Self {
            database,
            recent: Mutex::new(recent),
        })
    }

    fn recent(&self) -> std::sync::MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many entries are in it: all before this place.
    pub(crate) fn size(&self) -> u64 {
        self.recent().size
    }

    /// Takes the next entry, or one that it has. True: so many wait that [`Self::write`] is due.
    pub(crate) fn insert(&self, index: u64, submission: &Hash, leaf: &Hash) -> bool {
        let recent = &mut *self.recent();
        if index < recent.size {
            return false;
        }
        assert_eq!(index, recent.size, "entries come in their order");
        // A submission that is there already keeps its first place, which is that of its timestamp.
        recent.submissions.entry(key(submission)).or_insert(index);
        recent.leaves.insert(key(leaf), index);
        recent.size += 1;
        recent.leaves.len() >= RECENT_MAX
    }

    /// Writes what is in memory only.
    ///
    /// # Errors
    /// If the database cannot: the index must be opened anew then.
    pub(crate) fn write(&self, durability: Durability) -> Result<(), IndexError> {
        let mut write = self.database.begin_write()?;
        write.set_durability(durability)?;
        if matches!(durability, Durability::Immediate) {
            // Else opening after a crash reads the whole file.
            write.set_quick_repair(true);
        }
        {
            let recent = &*self.recent();
            let mut submissions = write.open_table(SUBMISSIONS)?;
            for (key, index) in &recent.submissions {
                submissions.insert(key, index)?;
            }
            let mut leaves = write.open_table(LEAVES)?;
            for (key, index) in &recent.leaves {
                leaves.insert(key, index)?;
            }
            write.open_table(SIZE)?.insert((), recent.size)?;
        }
        write.commit()?;
        // Only this thread inserts: nothing has come meanwhile.
        let recent = &mut *self.recent();
        recent.submissions.clear();
        recent.leaves.clear();
        Ok(())
    }

    /// Where a submission may be, by its key ([`ct::submission_key`]).
    pub(crate) fn find_submission(&self, submission: &Hash) -> Result<Option<u64>, IndexError> {
        let key = key(submission);
        let recent = self.recent().submissions.get(&key).copied();
        recent.map_or_else(|| self.find(SUBMISSIONS, &key), |index| Ok(Some(index)))
    }

    /// Where a leaf may be, by its hash.
    pub(crate) fn find_leaf(&self, leaf: &Hash) -> Result<Option<u64>, IndexError> {
        let key = key(leaf);
        let recent = self.recent().leaves.get(&key).copied();
        recent.map_or_else(|| self.find(LEAVES, &key), |index| Ok(Some(index)))
    }

    fn find(&self, table: Table, key: &Key) -> Result<Option<u64>, IndexError> {
        let table = self.database.begin_read()?.open_table(table)?;
        Ok(table.get(key)?.map(|index| index.value()))
    }
}

fn key(hash: &Hash) -> Key {
    let [key @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = hash.0;
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(number: u64) -> Hash {
        Hash::of(&number.to_be_bytes())
    }

    fn fill(index: &Index, until: u64) {
        for number in index.size()..until {
            index.insert(number, &hash(number), &Hash::leaf(&number.to_be_bytes()));
        }
    }

    fn assert_has(index: &Index, size: u64) {
        assert_eq!(index.size(), size);
        for number in 0..size {
            let leaf = Hash::leaf(&number.to_be_bytes());
            assert_eq!(index.find_submission(&hash(number)).unwrap(), Some(number));
            assert_eq!(index.find_leaf(&leaf).unwrap(), Some(number));
        }
        assert_eq!(index.find_submission(&hash(size)).unwrap(), None);
        assert_eq!(index.find_leaf(&hash(0)).unwrap(), None);
    }

    #[test]
    fn entries_are_found_before_and_after_they_are_written_and_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index.redb");
        let index = Index::open(&path).unwrap();
        fill(&index, 100);
        assert_has(&index, 100);
        index.write(Durability::None).unwrap();
        assert_has(&index, 100);
        fill(&index, 300);
        assert_has(&index, 300);
        index.write(Durability::Immediate).unwrap();
        drop(index);
        assert_has(&Index::open(&path).unwrap(), 300);
    }

    #[test]
    fn damaged_index_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index.redb");
        std::fs::write(&path, b"no database").unwrap();
        assert_eq!(Index::open(&path).unwrap().size(), 0);
    }

    #[test]
    fn submission_that_comes_twice_keeps_its_first_place() {
        let folder = tempfile::tempdir().unwrap();
        let index = Index::open(&folder.path().join("index.redb")).unwrap();
        index.insert(0, &hash(1), &hash(2));
        index.insert(1, &hash(1), &hash(3));
        index.insert(1, &hash(4), &hash(5));
        assert_eq!(index.find_submission(&hash(4)).unwrap(), None);
        assert_eq!(index.find_submission(&hash(1)).unwrap(), Some(0));
        assert_eq!(index.find_leaf(&hash(3)).unwrap(), Some(1));
    }
}
