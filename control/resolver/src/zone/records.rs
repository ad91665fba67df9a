//! Records in wire form on their way from a file or a transfer into a [`super::Zone`].

use std::sync::Arc;

use super::check::{check_rdata, make_canonical};
use super::error::{Place, Problem};
use super::name::name_end;
use super::read::RDATA_BYTES_MAX;
use super::types::{is_meta, type_to_text};
use super::words::TTL_SECONDS_MAX;

/// Records in the order they came, not yet held against each other. One arena holds all names and data.
#[derive(Debug, Default)]
pub struct Records {
    bytes: Vec<u8>,
    entries: Vec<RecordEntry>,
    files: Vec<Arc<str>>,
}

#[derive(Debug, Clone, Copy)]
struct RecordEntry {
    owner_start: usize,
    data_start: usize,
    owner_bytes: u8,
    data_bytes: u16,
    rtype: u16,
    ttl: u32,
    source: Source,
}

/// Where a record stands in a file: cheap to keep with every record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source {
    pub(super) file_index: u32,
    pub(super) line: u32,
    pub(super) column: u32,
}

/// One record of class IN.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Owner in wire form, lower-case.
    pub owner: &'a [u8],
    /// Number of the type.
    pub rtype: u16,
    /// Seconds.
    pub ttl: u32,
    /// Data in wire form without compression.
    pub data: &'a [u8],
    pub(super) source: Source,
}

impl Records {
    /// No records yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a record that comes from elsewhere than a file, such as a transfer or a replicated change. The owner may have any
    /// case. `origin` names where it comes from, for errors. A TTL with its highest bit set becomes 0 (RFC 2181 §8).
    ///
    /// # Errors
    /// The owner is no name, the type is none of data, or the data has not the form of its type.
    pub fn push(
        &mut self,
        owner: &[u8],
        rtype: u16,
        ttl: u32,
        data: &[u8],
        origin: &Arc<str>,
    ) -> Result<(), Problem> {
        if name_end(owner) != Some(owner.len()) {
            return Err(Problem::Unexpected {
                found: "an owner".to_owned(),
                expected: "a name in wire form",
            });
        }
        if is_meta(rtype) {
            return Err(Problem::TypeMeta {
                found: type_to_text(rtype),
            });
        }
        if data.len() > RDATA_BYTES_MAX {
            return Err(Problem::DataLength { bytes: data.len() });
        }
        check_rdata(rtype, data).map_err(|fault| Problem::DataForm {
            rtype: type_to_text(rtype),
            offset: fault.offset,
            expected: fault.expected,
        })?;
        let file_index = match self.files.last() {
            Some(last) if last == origin => self.files.len() - 1,
            _ => {
                self.files.push(Arc::clone(origin));
                self.files.len() - 1
            }
        };
        let file_index = u32::try_from(file_index).unwrap_or(u32::MAX);
        let ttl = if ttl > TTL_SECONDS_MAX { 0 } else { ttl };
        self.append(
            owner,
            rtype,
            ttl,
            data,
            Source {
                file_index,
                line: 0,
                column: 0,
            },
        );
        Ok(())
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of names and data.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The records in the order they came.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Record<'_>> {
        self.entries.iter().map(|entry| self.view(entry))
    }

    pub(super) fn get(&self, index: usize) -> Option<Record<'_>> {
        self.entries.get(index).map(|entry| self.view(entry))
    }

    /// The place of a record, with the file's name.
    pub fn place(&self, record: &Record<'_>) -> Place {
        self.place_of(record.source)
    }

    /// The place that stands for all of the records.
    pub(super) fn place_of_whole(&self) -> Place {
        self.place_of(Source {
            file_index: 0,
            line: 0,
            column: 0,
        })
    }

    pub(super) fn add_file(&mut self, name: Arc<str>) -> u32 {
        self.files.push(name);
        u32::try_from(self.files.len() - 1).unwrap_or(u32::MAX)
    }

    /// Adds a record that has been checked: the owner is a name, the data has the form of its type.
    pub(super) fn append(
        &mut self,
        owner: &[u8],
        rtype: u16,
        ttl: u32,
        data: &[u8],
        source: Source,
    ) {
        let mut owner_start = self.bytes.len();
        match self.entries.last() {
            // Records of one owner usually stand together; its name is kept once.
            Some(last) if self.owner_of(last).eq_ignore_ascii_case(owner) => {
                owner_start = last.owner_start
            }
            _ => {
                self.bytes.extend_from_slice(owner);
                self.bytes[owner_start..].make_ascii_lowercase();
            }
        }
        let data_start = self.bytes.len();
        self.bytes.extend_from_slice(data);
        make_canonical(rtype, &mut self.bytes[data_start..]);
        let owner_bytes = u8::try_from(owner.len());
        let data_bytes = u16::try_from(data.len());
        let (Ok(owner_bytes), Ok(data_bytes)) = (owner_bytes, data_bytes) else {
            unreachable!("the caller has checked the owner and the data");
        };
        self.entries.push(RecordEntry {
            owner_start,
            data_start,
            owner_bytes,
            data_bytes,
            rtype,
            ttl,
            source,
        });
    }

    fn owner_of(&self, entry: &RecordEntry) -> &[u8] {
        &self.bytes[entry.owner_start..entry.owner_start + usize::from(entry.owner_bytes)]
    }

    fn view(&self, entry: &RecordEntry) -> Record<'_> {
        Record {
            owner: self.owner_of(entry),
            rtype: entry.rtype,
            ttl: entry.ttl,
            data: &self.bytes[entry.data_start..entry.data_start + usize::from(entry.data_bytes)],
            source: entry.source,
        }
    }

    fn place_of(&self, source: Source) -> Place {
        let file = usize::try_from(source.file_index)
            .ok()
            .and_then(|index| self.files.get(index));
        let file = file.map_or_else(|| Arc::from("zone"), Arc::clone);
        Place {
            file,
            line: source.line,
            column: source.column,
        }
    }
}
