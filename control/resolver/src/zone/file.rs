//! Reads master files (RFC 1035 §5, RFC 2308 §4, RFC 3597 §5) into [`Records`].
//!
//! Opens no file itself: the text comes from the caller, included files from the caller's loader.

use std::sync::Arc;

use super::error::{Fault, Problem, ZoneError, quote_word};
use super::name::NameBuffer;
use super::read::read_rdata;
use super::records::{Records, Source};
use super::scanner::{Entry, Scanner, Token};
use super::types::{CLASS_IN, class_from_text, is_meta, rtype, type_from_text, type_to_text};
use super::words::{TTL_SECONDS_MAX, Words, read_seconds};

/// Most files that may be open inside each other by `$INCLUDE`.
pub const INCLUDE_DEPTH_MAX: usize = 8;

/// Gives the text of an included file: first the including file as it was named, then the path as written after `$INCLUDE`.
/// The error says why not, for the operator.
pub type Loader<'l> = dyn FnMut(&str, &str) -> Result<Vec<u8>, String> + 'l;

/// Reads a whole master file. `file` is its name for errors; `origin` is the wire name that relative names start out relative
/// to, usually the zone's.
///
/// # Errors
/// The first fault, with file, line and column.
///
/// # Panics
/// When `origin` is no uncompressed wire name.
pub fn read_zone_file(
    text: &[u8],
    file: &str,
    origin: &[u8],
    loader: &mut Loader<'_>,
) -> Result<Records, ZoneError> {
    let origin = NameBuffer::from_wire(origin).expect("the origin is a wire name");
    let mut reader = Reader {
        records: Records::new(),
        data: Vec::new(),
        origin,
        owner: None,
        ttl_default: None,
        ttl_stated: None,
        depth: 0,
        loader,
    };
    reader.read_file(text, &Arc::from(file))?;
    Ok(reader.records)
}

/// What carries over from one entry to the next.
struct Reader<'l, 'f> {
    records: Records,
    /// Data of the record being read.
    data: Vec<u8>,
    origin: NameBuffer,
    /// Owner of the record before, lower-case or not.
    owner: Option<NameBuffer>,
    /// From `$TTL`.
    ttl_default: Option<u32>,
    /// Last TTL that a record stated (RFC 1035 §5.1), used where there is no `$TTL`.
    ttl_stated: Option<u32>,
    depth: usize,
    loader: &'l mut Loader<'f>,
}

impl Reader<'_, '_> {
    fn read_file(&mut self, text: &[u8], file: &Arc<str>) -> Result<(), ZoneError> {
        let file_index = self.records.add_file(Arc::clone(file));
        let mut scanner = Scanner::new(text);
        let mut tokens = Vec::new();
        loop {
            let entry = scanner
                .next_entry(&mut tokens)
                .map_err(|fault| fault.in_file(file))?;
            let (Some(entry), Some(first)) = (entry, tokens.first()) else {
                return Ok(());
            };
            if first.quoted || first.raw.first() != Some(&b'$') {
                self.read_record(&tokens, entry, file_index)
                    .map_err(|fault| fault.in_file(file))?;
            } else {
                self.read_directive(&tokens, entry, file)?;
            }
        }
    }

    fn read_directive(
        &mut self,
        tokens: &[Token<'_>],
        entry: Entry,
        file: &Arc<str>,
    ) -> Result<(), ZoneError> {
        let origin = self.origin;
        let mut words = Words::new(tokens, entry, Some(&origin));
        let include = self
            .read_simple_directive(&mut words)
            .map_err(|fault| fault.in_file(file))?;
        match include {
            Some(include) => self.include(&include, file),
            None => Ok(()),
        }
    }

    /// Carries out `$ORIGIN` and `$TTL`; returns what `$INCLUDE` asks for.
    fn read_simple_directive(
        &mut self,
        words: &mut Words<'_, '_>,
    ) -> Result<Option<Include>, Fault> {
        let directive = words.take("a directive")?;
        let is = |name: &[u8]| directive.raw.eq_ignore_ascii_case(name);
        if is(b"$ORIGIN") {
            self.origin = words.name("a domain name")?;
            words.finish()?;
        } else if is(b"$TTL") {
            self.ttl_default = Some(read_ttl(words.take(TTL_EXPECTED)?)?);
            words.finish()?;
        } else if is(b"$INCLUDE") {
            let token = words.take("the name of a file")?;
            let (line, column) = (token.line, token.column);
            let path = String::from_utf8(token.raw.to_vec())
                .map_err(|_| token.unexpected("the name of a file"))?;
            let origin = if words.peek().is_some() {
                words.name("a domain name")?
            } else {
                self.origin
            };
            words.finish()?;
            return Ok(Some(Include {
                path,
                origin,
                line,
                column,
            }));
        } else {
            return Err(directive.fault(Problem::Directive {
                found: quote_word(directive.raw),
            }));
        }
        Ok(None)
    }

    /// Reads an included file; origin and owner afterwards are what they were before (RFC 1035 §5.1).
    fn include(&mut self, include: &Include, file: &Arc<str>) -> Result<(), ZoneError> {
        let fault = |problem| {
            Fault {
                line: include.line,
                column: include.column,
                problem,
            }
            .in_file(file)
        };
        if self.depth + 1 >= INCLUDE_DEPTH_MAX {
            return Err(fault(Problem::IncludeDepth {
                max: INCLUDE_DEPTH_MAX,
            }));
        }
        let path = include.path.clone();
        let text = (self.loader)(file, &path)
            .map_err(|reason| fault(Problem::Include { path, reason }))?;
        let (origin, owner) = (self.origin, self.owner);
        self.origin = include.origin;
        self.depth += 1;
        self.read_file(&text, &Arc::from(include.path.as_str()))?;
        self.depth -= 1;
        (self.origin, self.owner) = (origin, owner);
        Ok(())
    }

    fn read_record(
        &mut self,
        tokens: &[Token<'_>],
        entry: Entry,
        file_index: u32,
    ) -> Result<(), Fault> {
        let origin = self.origin;
        let mut words = Words::new(tokens, entry, Some(&origin));
        let (line, column) = tokens
            .first()
            .map_or((0, 0), |token| (token.line, token.column));
        if !entry.blank_owner {
            self.owner = Some(words.name("an owner name")?);
        }
        let owner = self.owner.ok_or(Fault {
            line,
            column,
            problem: Problem::OwnerMissing,
        })?;
        let (rtype, ttl) = read_type_and_ttl(&mut words)?;
        self.data.clear();
        read_rdata(rtype.number, &mut words, &mut self.data)?;
        let ttl = ttl
            .or(self.ttl_default)
            .or(self.ttl_stated)
            .or_else(|| self.minimum_of_soa(rtype.number));
        let ttl = ttl.ok_or(Fault {
            line: rtype.line,
            column: rtype.column,
            problem: Problem::TtlMissing,
        })?;
        self.ttl_stated = Some(ttl);
        let source = Source {
            file_index,
            line,
            column,
        };
        self.records
            .append(owner.as_bytes(), rtype.number, ttl, &self.data, source);
        Ok(())
    }

    /// A SOA record without any TTL takes its own MINIMUM, and so do the records after it, as everybody's loader does.
    fn minimum_of_soa(&self, rtype: u16) -> Option<u32> {
        let minimum = self
            .data
            .last_chunk::<4>()
            .filter(|_| rtype == rtype::SOA)?;
        Some(u32::from_be_bytes(*minimum).min(TTL_SECONDS_MAX))
    }
}

struct Include {
    path: String,
    origin: NameBuffer,
    line: u32,
    column: u32,
}

/// A type with the place where it stands.
struct TypeWord {
    number: u16,
    line: u32,
    column: u32,
}

const TTL_EXPECTED: &str = "a TTL from 0 to 2147483647 seconds, or a time such as 1h30m";

/// `[TTL] [class] type` or `[class] [TTL] type` (RFC 1035 §5.1).
fn read_type_and_ttl(words: &mut Words<'_, '_>) -> Result<(TypeWord, Option<u32>), Fault> {
    let (mut ttl, mut class) = (None, None);
    loop {
        let token = words.take("a type")?;
        let word = token.word().ok_or_else(|| token.unexpected("a type"))?;
        if ttl.is_none() && word.starts_with(|first: char| first.is_ascii_digit()) {
            ttl = Some(read_ttl(token)?);
        } else if let Some(number) = class_from_text(word).filter(|_| class.is_none()) {
            if number != CLASS_IN {
                return Err(token.fault(Problem::Class {
                    found: quote_word(token.raw),
                }));
            }
            class = Some(number);
        } else {
            let unknown = || {
                token.fault(Problem::TypeUnknown {
                    found: quote_word(token.raw),
                })
            };
            let number = type_from_text(word).ok_or_else(unknown)?;
            if is_meta(number) {
                return Err(token.fault(Problem::TypeMeta {
                    found: type_to_text(number),
                }));
            }
            return Ok((
                TypeWord {
                    number,
                    line: token.line,
                    column: token.column,
                },
                ttl,
            ));
        }
    }
}

fn read_ttl(token: &Token<'_>) -> Result<u32, Fault> {
    let seconds = token
        .word()
        .and_then(read_seconds)
        .filter(|&seconds| seconds <= TTL_SECONDS_MAX);
    seconds.ok_or_else(|| token.unexpected(TTL_EXPECTED))
}
