//! [`CrashFiles`]: files that stop after a number of operations, and of which a cut of power takes what was not synced.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use ctlog::Files;

/// All files of a node, and how many operations are left.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    now: BTreeMap<String, Vec<u8>>,
    durable: BTreeMap<String, Vec<u8>>,
    left: Option<u64>,
    pub(crate) operations: u64,
}

/// A folder on it.
#[derive(Debug, Clone)]
pub(crate) struct CrashFiles {
    pub(crate) disk: Arc<Mutex<Disk>>,
    folder: &'static str,
}

/// Numbers that look random, and are the same each time.
#[derive(Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        // Steele, Lea, Flood: SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }
}

impl Disk {
    /// From now on so many operations succeed; without a number, all.
    pub(crate) fn set_left(&mut self, left: Option<u64>) {
        self.left = left;
        self.operations = 0;
    }

    fn spend(&mut self) -> io::Result<()> {
        self.operations += 1;
        match &mut self.left {
            Some(0) => Err(io::Error::other("power is cut")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// What a cut of power leaves: of each file that was not synced the old one, the new one, or a part of it.
    pub(crate) fn cut_power(&mut self, dice: &mut Dice) {
        let paths: Vec<_> = self
            .now
            .keys()
            .chain(self.durable.keys())
            .cloned()
            .collect();
        for path in paths {
            let (now, durable) = (self.now.get(&path), self.durable.get(&path));
            if now == durable {
                continue;
            }
            let left = match (dice.roll(3), now) {
                (0, _) => durable.cloned(),
                (1, Some(now)) => {
                    let kept = dice.roll(now.len() as u64 + 1);
                    Some(now[..usize::try_from(kept).unwrap()].to_vec())
                }
                (_, now) => now.cloned(),
            };
            match left {
                Some(left) => self.durable.insert(path, left),
                None => self.durable.remove(&path),
            };
        }
        self.now = self.durable.clone();
        self.set_left(None);
    }

    /// All files of a folder, as readers see them.
    pub(crate) fn files(&self, folder: &str) -> BTreeMap<String, Vec<u8>> {
        let of_folder = |(path, bytes): (&String, &Vec<u8>)| {
            let path = path.strip_prefix(folder)?.strip_prefix('/')?;
            Some((path.to_owned(), bytes.clone()))
        };
        self.now.iter().filter_map(of_folder).collect()
    }

    /// Removes a file, as an operator might.
    pub(crate) fn lose(&mut self, path: &str) {
        self.now.remove(path);
        self.durable.remove(path);
    }
}

impl CrashFiles {
    /// The public folder and that of the state, on one disk.
    pub(crate) fn pair() -> [Self; 2] {
        let disk = Arc::<Mutex<Disk>>::default();
        ["public", "state"].map(|folder| Self {
            disk: Arc::clone(&disk),
            folder,
        })
    }

    fn path(&self, path: &str) -> String {
        format!("{}/{path}", self.folder)
    }
}

impl Files for CrashFiles {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.disk.lock().unwrap().now.get(&self.path(path)).cloned())
    }

    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let disk = &mut *self.disk.lock().unwrap();
        disk.spend()?;
        disk.now.insert(self.path(path), bytes.to_vec());
        Ok(())
    }

    fn replace(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let disk = &mut *self.disk.lock().unwrap();
        disk.spend()?;
        let path = self.path(path);
        disk.now.insert(path.clone(), bytes.to_vec());
        disk.durable.insert(path, bytes.to_vec());
        disk.spend() // The power may go before the caller hears of it.
    }

    fn overwrite(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let disk = &mut *self.disk.lock().unwrap();
        let path = self.path(path);
        if let Err(cut) = disk.spend() {
            // In the middle of it: half of the new bytes lie before the rest of the old.
            if let Some(old) = disk.durable.get(&path).cloned() {
                let half = bytes.len() / 2;
                let torn = [&bytes[..half], old.get(half..).unwrap_or_default()].concat();
                disk.now.insert(path.clone(), torn.clone());
                disk.durable.insert(path, torn);
            }
            return Err(cut);
        }
        disk.now.insert(path.clone(), bytes.to_vec());
        disk.durable.insert(path, bytes.to_vec());
        disk.spend() // The power may go before the caller hears of it.
    }

    fn sync(&self, paths: &[String]) -> io::Result<()> {
        let disk = &mut *self.disk.lock().unwrap();
        for path in paths {
            disk.spend()?;
            let path = self.path(path);
            let bytes = disk.now.get(&path).ok_or(io::ErrorKind::NotFound)?.clone();
            disk.durable.insert(path, bytes);
        }
        Ok(())
    }

    fn remove_folder(&self, path: &str) -> io::Result<()> {
        let disk = &mut *self.disk.lock().unwrap();
        disk.spend()?;
        let folder = format!("{}/", self.path(path));
        disk.now.retain(|path, _| !path.starts_with(&folder));
        Ok(())
    }
}
