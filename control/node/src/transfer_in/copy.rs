//! A transferred zone on the disk: a zone file whose date is when a primary last confirmed it.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use resolver::zone::{
    DisplayName, NameBuffer, Records, rdata_to_text, read_zone_file, type_to_text,
};

/// Longest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 30;

#[derive(Clone, Debug)]
pub(super) struct Copy {
    path: PathBuf,
    zone: NameBuffer,
}

impl Copy {
    pub(super) fn new(folder: &Path, zone: NameBuffer) -> Self {
        // Letters that mean something in paths are written as numbers, as in a zone file.
        let mut name = String::new();
        for character in DisplayName(zone.as_bytes()).to_string().chars() {
            match character {
                '/' | '\\' | '%' => {
                    let _ = write!(name, "%{:02x}", u32::from(character)); // Strings take everything.
                }
                other => name.push(other),
            }
        }
        Self {
            path: folder.join(format!("{name}zone")),
            zone,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The records, and how long ago a primary confirmed them. `None` if there is no file.
    pub(super) fn read(&self) -> Result<Option<(Records, Duration)>, String> {
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(|error| error.to_string())?,
        };
        let date = file.metadata().and_then(|data| data.modified());
        let date = date.map_err(|error| error.to_string())?;
        let mut text = Vec::new();
        file.take(FILE_BYTES_MAX)
            .read_to_end(&mut text)
            .map_err(|error| error.to_string())?;
        let mut no_include = |_: &str, _: &str| Err("nothing is included here".to_owned());
        let name = self.path.display().to_string();
        let records = read_zone_file(&text, &name, self.zone.as_bytes(), &mut no_include);
        let records = records.map_err(|error| error.to_string())?;
        // A clock that was set back makes it young rather than old: a primary is asked at once anyway.
        let age = SystemTime::now().duration_since(date).unwrap_or_default();
        Ok(Some((records, age)))
    }

    /// Replaces the file.
    pub(super) fn write(&self, records: &Records) -> io::Result<()> {
        let mut text = String::new();
        for record in records.iter() {
            let (owner, rtype) = (DisplayName(record.owner), type_to_text(record.rtype));
            let data = rdata_to_text(record.rtype, record.data);
            let _ = writeln!(text, "{owner} {} IN {rtype} {data}", record.ttl); // Strings take everything.
        }
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        durable::replace(&self.path, text.as_bytes())
    }

    /// A primary has confirmed it now.
    pub(super) fn touch(&self) -> io::Result<()> {
        let file = File::options().append(true).open(&self.path)?;
        file.set_modified(SystemTime::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_reads_as_it_was_written_and_names_make_one_file_each() {
        let folder = tempfile::tempdir().unwrap();
        let zone = NameBuffer::from_wire(b"\x04a/.b\x07example\0").unwrap();
        let copy = Copy::new(&folder.path().join("deep"), zone);
        assert!(copy.read().unwrap().is_none());
        let text =
            "@ 60 SOA ns h 7 1 2 3 4\nx 5 TXT \"a b;c\"\ny 5 TYPE4711 \\# 2 abcd\n*.z 5 MX 5 @\n";
        let mut loader = |_: &str, _: &str| Err(String::new());
        let records = read_zone_file(text.as_bytes(), "f", zone.as_bytes(), &mut loader).unwrap();
        copy.write(&records).unwrap();
        copy.touch().unwrap();
        let (read, age) = copy.read().unwrap().unwrap();
        assert!(age < Duration::from_secs(60));
        let of = |records: &Records| -> Vec<_> {
            let owned = records
                .iter()
                .map(|r| (r.owner.to_vec(), r.rtype, r.ttl, r.data.to_vec()));
            owned.collect()
        };
        assert_eq!(of(&read), of(&records));
        let files: Vec<_> = fs::read_dir(folder.path().join("deep")).unwrap().collect();
        assert_eq!(files.len(), 1);
    }
}
