//! Finds functions in a shared library: where a probe goes, and where the library's code lies.
//!
//! Reads 64-bit little-endian ELF (System V ABI, chapters 4 and 5) and its dynamic symbols, which
//! stripped libraries keep. A file may be anything: what does not fit is an error.

use std::fs::File;
use std::io::{self, Read as _};
use std::ops::Range;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// Longest file that is read, in bytes; libcrypto has about 5 MB. Below it, so that distances in it fit
/// the cookie of a probe.
const LIBRARY_BYTES_MAX: u64 = 64 << 20;
/// 64 bits, little-endian.
const MAGIC: &[u8; 6] = b"\x7fELF\x02\x01";
const PROGRAM_HEADER_BYTES: usize = 56;
const SECTION_HEADER_BYTES: usize = 64;
const SYMBOL_BYTES: usize = 24;
const SEGMENT_LOAD: u32 = 1;
const SEGMENT_EXECUTABLE: u32 = 1;
const SECTION_DYNAMIC_SYMBOLS: u32 = 11;

/// A file in which no function can be found.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// It could not be read.
    #[error("{0}")]
    Unreadable(#[from] io::Error),
    /// Longer than any copy of OpenSSL.
    #[error("{bytes} bytes, more than a library has")]
    TooLong {
        /// Its length.
        bytes: u64,
    },
    /// No 64-bit little-endian ELF file with dynamic symbols, or one that contradicts itself.
    #[error("not a 64-bit ELF file with dynamic symbols")]
    NotElf,
}

/// A shared library, as far as probes need it.
#[derive(Debug)]
pub(super) struct Library {
    bytes: Vec<u8>,
    /// Addresses of executable segments, and what to take off an address for its place in the file.
    text: Vec<(Range<u64>, u64)>,
    symbols: Range<usize>,
    names: Range<usize>,
}

/// A function of a library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Function {
    /// Place in the file.
    pub(super) offset: usize,
    /// How far in front of it the executable segment that it lies in begins, in bytes.
    pub(super) text_before: u32,
    /// Bytes of that segment.
    pub(super) text_bytes: u32,
}

impl Library {
    /// Reads the file at `path`, which may be anybody's: nothing is waited for, and nothing long is read.
    pub(super) fn read(path: &Path) -> Result<Self, LibraryError> {
        // A FIFO would be waited for.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from)?;
        let mut file = File::from(file);
        let metadata = file.metadata()?;
        let mut bytes = Vec::new();
        if metadata.is_file() {
            let magic = MAGIC.len() as u64;
            file.by_ref().take(magic).read_to_end(&mut bytes)?;
        }
        if bytes != MAGIC {
            return Err(LibraryError::NotElf);
        }
        if metadata.len() > LIBRARY_BYTES_MAX {
            let bytes = metadata.len();
            return Err(LibraryError::TooLong { bytes });
        }
        file.take(LIBRARY_BYTES_MAX).read_to_end(&mut bytes)?;
        Self::parse(bytes).ok_or(LibraryError::NotElf)
    }

    fn parse(bytes: Vec<u8>) -> Option<Self> {
        if !bytes.starts_with(MAGIC) {
            return None;
        }
        let segments = table(&bytes, (32, 54, 56), PROGRAM_HEADER_BYTES)?;
        let mut text = Vec::new();
        for segment in segments.chunks_exact(PROGRAM_HEADER_BYTES) {
            let is_text = u32_at(segment, 4)? & SEGMENT_EXECUTABLE != 0;
            if u32_at(segment, 0)? == SEGMENT_LOAD && is_text {
                let (offset, start) = (u64_at(segment, 8)?, u64_at(segment, 16)?);
                let end = start.checked_add(u64_at(segment, 40)?)?;
                text.push((start..end, start.checked_sub(offset)?));
            }
        }
        let sections = table(&bytes, (40, 58, 60), SECTION_HEADER_BYTES)?;
        let mut sections = sections.chunks_exact(SECTION_HEADER_BYTES);
        let kind = |section: &[u8]| u32_at(section, 4);
        let symbols = sections
            .clone()
            .find(|section| kind(section) == Some(SECTION_DYNAMIC_SYMBOLS))?;
        let names = sections.nth(usize::try_from(u32_at(symbols, 40)?).ok()?)?;
        let (symbols, names) = (extent(symbols)?, extent(names)?);
        bytes.get(symbols.clone())?;
        bytes.get(names.clone())?;
        Some(Self {
            bytes,
            text,
            symbols,
            names,
        })
    }

    /// The function with this name, if the library defines one.
    pub(super) fn function(&self, name: &str) -> Option<Function> {
        let symbols = self.bytes.get(self.symbols.clone())?;
        let names = self.bytes.get(self.names.clone())?;
        let address = symbols.chunks_exact(SYMBOL_BYTES).find_map(|symbol| {
            let own = names.get(usize::try_from(u32_at(symbol, 0)?).ok()?..)?;
            let is_named = own.strip_prefix(name.as_bytes())?.first() == Some(&0);
            u64_at(symbol, 8).filter(|address| is_named && *address != 0)
        })?;
        let (text, bias) = self.text.iter().find(|(text, _)| text.contains(&address))?;
        Some(Function {
            offset: usize::try_from(address - bias).ok()?,
            text_before: u32::try_from(address - text.start)
                .ok()
                .filter(|bytes| u64::from(*bytes) < LIBRARY_BYTES_MAX)?,
            text_bytes: u32::try_from(text.end - text.start).ok()?,
        })
    }
}

/// A table of headers: where its offset, the size of an entry and their number stand.
fn table(bytes: &[u8], at: (usize, usize, usize), entry_bytes: usize) -> Option<&[u8]> {
    let start = usize::try_from(u64_at(bytes, at.0)?).ok()?;
    if usize::from(u16_at(bytes, at.1)?) != entry_bytes {
        return None;
    }
    let count = usize::from(u16_at(bytes, at.2)?);
    bytes.get(start..start.checked_add(count * entry_bytes)?)
}

/// Where a section lies in the file.
fn extent(section: &[u8]) -> Option<Range<usize>> {
    let start = usize::try_from(u64_at(section, 24)?).ok()?;
    let bytes = usize::try_from(u64_at(section, 32)?).ok()?;
    Some(start..start.checked_add(bytes)?)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn function_of_this_very_program_lies_in_its_code_and_missing_ones_are_none() {
        // The C library is a shared library with dynamic symbols, wherever it lies.
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let path = maps.split_whitespace().find(|word| {
            let name = word.rsplit('/').next().unwrap_or_default();
            name.starts_with("libc.so") || name.starts_with("libc-") || name.starts_with("ld-musl")
        });
        let library = Library::read(Path::new(path.unwrap())).unwrap();
        let function = library.function("getenv").unwrap();
        assert!(function.text_before < function.text_bytes);
        assert!(function.offset < library.bytes.len());
        for name in ["", "getenvx", "geten", "d2i_X509"] {
            assert_eq!(library.function(name), None, "{name}");
        }
    }

    #[test]
    fn file_of_anybody_is_neither_waited_for_nor_read_when_it_is_long() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("libssl.so.3");
        let status = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(status.unwrap().success());
        assert!(matches!(Library::read(&path), Err(LibraryError::NotElf)));
        // Sparse: to read them would take memory alone.
        for (name, magic) in [("other", &b"text"[..]), ("library", MAGIC)] {
            let path = folder.path().join(name);
            std::fs::write(&path, magic).unwrap();
            let file = File::options().write(true).open(&path).unwrap();
            file.set_len(LIBRARY_BYTES_MAX + 1).unwrap();
            let error = Library::read(&path).unwrap_err();
            let is_too_long =
                matches!(error, LibraryError::TooLong { bytes } if bytes > LIBRARY_BYTES_MAX);
            assert_eq!(is_too_long, magic == MAGIC, "{error}");
        }
    }

    #[test]
    fn any_bytes_are_a_library_or_none() {
        bolero::check!()
            .with_type::<(Vec<u8>, bool)>()
            .for_each(|(bytes, has_magic)| {
                let magic: &[u8] = if *has_magic { b"\x7fELF\x02\x01" } else { b"" };
                if let Some(library) = Library::parse([magic, bytes].concat()) {
                    library.function("getenv");
                }
            });
    }
}
