//! [`Index`]: where in a shard a submission or a leaf is. It follows from the tiles and is made again from them, so nothing is lost
//! with it; keys are cut to 16 bytes, so whoever finds a place has to look there.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

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
/// each; after a crash so many are read from the tiles again.
const RECENT_MAX: usize = 1 << 17;

/// Bytes of pages that are held in memory, for each shard.
const CACHE_BYTES: usize = 32 << 20;

/// Both directions of a shard.
#[derive(Debug)]
pub(crate) struct Index {
    database: Database,
    recent: Mutex<Recent>,
}

/// What is not in the database yet.
#[derive(Debug, Default)]
struct Recent {
    /// What has come since the last write began.
    new: Places,
    /// What is being written.
    writing: Option<Arc<Places>>,
    writer: Option<JoinHandle<Result<(), IndexError>>>,
}

impl Recent {
    /// All that is new, which is being written from now on.
    fn begin_write(&mut self) -> Arc<Places> {
        let size = self.new.size;
        let places = Places {
            size,
            ..Places::default()
        };
        let places = Arc::new(std::mem::replace(&mut self.new, places));
        self.writing = Some(Arc::clone(&places));
        places
    }
}

/// In the order of the tables, so that each page is written once.
#[derive(Debug, Default)]
struct Places {
    submissions: BTreeMap<Key, u64>,
    leaves: BTreeMap<Key, u64>,
    /// How many entries there are with those in the database.
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
        let mut write = database.begin_write()?;
        write.set_durability(Durability::None)?; // Empty tables are worth no wait.
        write.open_table(SUBMISSIONS)?;
        write.open_table(LEAVES)?;
        let size = write.open_table(SIZE)?.get(())?.map(|size| size.value());
        write.commit()?;
        let mut recent = Recent::default();
        recent.new.size = size.unwrap_or(0);
        Ok(Self {
            database,
            recent: Mutex::new(recent),
        })
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many entries are in it: all before this place.
    pub(crate) fn size(&self) -> u64 {
        self.recent().new.size
    }

    /// Takes the next entry, or one that it has. True: so many wait that [`Self::write_behind`] is due.
    pub(crate) fn insert(&self, index: u64, submission: &Hash, leaf: &Hash) -> bool {
        let new = &mut self.recent().new;
        if index < new.size {
            return false;
        }
        assert_eq!(index, new.size, "entries come in their order");
        new.submissions.entry(key(submission)).or_insert(index);
        new.leaves.entry(key(leaf)).or_insert(index);
        new.size += 1;
        new.leaves.len() >= RECENT_MAX
    }

    /// Has a thread of its own write what is in memory. Waits only if the last one is far behind.
    ///
    /// # Errors
    /// If the last one failed.
    pub(crate) fn write_behind(self: &Arc<Self>) -> Result<(), IndexError> {
        let mut recent = self.recent();
        let is_far_behind = recent.new.leaves.len() >= 2 * RECENT_MAX;
        let writer = recent
            .writer
            .take_if(|writer| writer.is_finished() || is_far_behind);
        if recent.writer.is_some() {
            return Ok(());
        }
        drop(recent); // The writer needs it to end.
        wait_for(writer)?;
        let index = Arc::clone(self);
        let thread = std::thread::Builder::new().name("ct-index".to_owned());
        let thread = thread.spawn(move || index.write());
        self.recent().writer = Some(thread.map_err(redb::Error::Io)?);
        Ok(())
    }

    /// Writes all that is in memory, and waits until it is durable.
    ///
    /// # Errors
    /// If it cannot.
    pub(crate) fn flush(&self) -> Result<(), IndexError> {
        let writer = self.recent().writer.take();
        wait_for(writer)?;
        self.write()
    }

    /// Writes what is in memory. One at a time: the callers see to it.
    fn write(&self) -> Result<(), IndexError> {
        let places = self.recent().begin_write();
        self.write_places(&places)?;
        self.recent().writing = None;
        Ok(())
    }

    fn write_places(&self, places: &Places) -> Result<(), IndexError> {
        let mut write = self.database.begin_write()?;
        write.set_quick_repair(true); // Else opening after a crash reads the whole file.
        for (table, places) in [(SUBMISSIONS, &places.submissions), (LEAVES, &places.leaves)] {
            let mut table = write.open_table(table)?;
            for (key, index) in places {
                let before = table.insert(key, index)?.map(|before| before.value());
                if let Some(first) = before.filter(|before| before < index) {
                    table.insert(key, first)?; // What was logged twice keeps its first place.
                }
            }
        }
        write.open_table(SIZE)?.insert((), places.size)?;
        Ok(write.commit()?)
    }

    /// Where a submission may be first, by its key ([`ct::submission_key`]).
    pub(crate) fn find_submission(&self, submission: &Hash) -> Result<Option<u64>, IndexError> {
        self.find(SUBMISSIONS, submission, |places| &places.submissions)
    }

    /// Where a leaf may be, by its hash.
    pub(crate) fn find_leaf(&self, leaf: &Hash) -> Result<Option<u64>, IndexError> {
        self.find(LEAVES, leaf, |places| &places.leaves)
    }

    fn find(
        &self,
        table: Table,
        hash: &Hash,
        of: impl Fn(&Places) -> &BTreeMap<Key, u64>,
    ) -> Result<Option<u64>, IndexError> {
        let key = key(hash);
        let recent = self.recent();
        let places = std::iter::once(&recent.new).chain(recent.writing.as_deref());
        let places = places.filter_map(|places| of(places).get(&key).copied());
        let found = places.min();
        drop(recent);
        let table = self.database.begin_read()?.open_table(table)?;
        let written = table.get(key)?.map(|index| index.value());
        Ok(found.into_iter().chain(written).min())
    }
}

/// What a writer that was begun says.
fn wait_for(writer: Option<JoinHandle<Result<(), IndexError>>>) -> Result<(), IndexError> {
    match writer.map(JoinHandle::join) {
        None => Ok(()),
        Some(Ok(written)) => written,
        Some(Err(panic)) => std::panic::resume_unwind(panic),
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
    fn entries_are_found_before_while_and_after_they_are_written_and_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index.redb");
        let index = Arc::new(Index::open(&path).unwrap());
        fill(&index, 100);
        assert_has(&index, 100);
        index.write_behind().unwrap();
        fill(&index, 200);
        assert_has(&index, 200);
        index.write_behind().unwrap(); // Of what the first has left, or nothing.
        fill(&index, 300);
        assert_has(&index, 300);
        index.flush().unwrap();
        assert_has(&index, 300);
        assert!(index.recent().new.leaves.is_empty());
        drop(index);
        let index = Index::open(&path).unwrap();
        assert_has(&index, 300);
        // What comes again is known.
        index.insert(299, &hash(400), &hash(401));
        assert_has(&index, 300);
    }

    #[test]
    fn write_is_due_when_much_is_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let index = Arc::new(Index::open(&folder.path().join("index.redb")).unwrap());
        let size = RECENT_MAX as u64;
        fill(&index, size - 1);
        assert!(index.insert(size - 1, &hash(size - 1), &hash(size)));
        index.write_behind().unwrap();
        fill(&index, size + 1);
        assert_eq!(index.find_submission(&hash(size)).unwrap(), Some(size));
        assert_eq!(index.find_submission(&hash(0)).unwrap(), Some(0));
    }

    #[test]
    fn what_comes_twice_keeps_its_first_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index.redb");
        let index = Arc::new(Index::open(&path).unwrap());
        let first = || index.find_submission(&hash(0)).unwrap();
        for (place, is_written) in [(0, false), (1, true), (2, false), (3, true), (4, true)] {
            index.insert(place, &hash(0), &hash(place + 10));
            assert_eq!(first(), Some(0), "{place}");
            if is_written {
                index.flush().unwrap();
            }
            assert_eq!(first(), Some(0), "{place}, written: {is_written}");
        }
    }

    #[test]
    fn damaged_index_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index.redb");
        std::fs::write(&path, b"no database").unwrap();
        assert_eq!(Index::open(&path).unwrap().size(), 0);
    }
}
