//! What can be wrong with a zone, and where.

use std::fmt;
use std::sync::Arc;

use super::name::DisplayName;

/// Longest piece of the file's own text that an error repeats, in bytes.
const QUOTED_BYTES_MAX: usize = 64;

/// A place in a zone file. Line 0 means the file as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file as the caller named it, or as `$INCLUDE` did.
    pub file: Arc<str>,
    /// Counted from 1.
    pub line: u32,
    /// In bytes from the start of the line, counted from 1.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.file),
            line => write!(f, "{}:{line}:{}", self.file, self.column),
        }
    }
}

/// Why a zone is not loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct ZoneError {
    /// Where the fault is.
    pub place: Place,
    /// What the fault is.
    pub problem: Problem,
}

/// Something that is served all the same but which the operator probably did not mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The record that the note is about.
    pub place: Place,
    /// What was noticed.
    pub remark: Remark,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.remark)
    }
}

/// The fault itself; names are in presentation form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// One word is not what the syntax needs there.
    #[error("found `{found}`, expected {expected}")]
    Unexpected {
        /// The word as written.
        found: String,
        /// What may stand there.
        expected: &'static str,
    },
    /// The entry ends too early.
    #[error("the entry ends here, expected {expected}")]
    Missing {
        /// What should have followed.
        expected: &'static str,
    },
    /// The entry goes on after its last field.
    #[error("found `{found}`, expected the end of the entry")]
    Extra {
        /// The word as written.
        found: String,
    },
    /// A quoted string without its closing quote.
    #[error(
        "quoted string without an end, expected `\"` before the line ends, or inside parentheses before the file does"
    )]
    QuoteOpen,
    /// `(` without `)`.
    #[error("parenthesis without an end, expected `)` before the end of the file")]
    ParenthesisOpen,
    /// `)` without `(`.
    #[error("found `)`, expected `(` before it")]
    ParenthesisClose,
    /// A backslash not followed by a character or three digits up to 255.
    #[error("bad escape, expected `\\` and a character, or `\\` and three digits up to 255")]
    Escape,
    /// RFC 1035 §2.3.4.
    #[error("name of more than 255 bytes, expected at most 255")]
    NameLength,
    /// RFC 1035 §2.3.4.
    #[error("label of more than 63 bytes, expected at most 63")]
    LabelLength,
    /// Two dots together, or a dot in front.
    #[error("empty label, expected a character before the dot")]
    LabelEmpty,
    /// A relative name before any `$ORIGIN`.
    #[error("relative name `{found}` without an origin, expected a final dot or `$ORIGIN` before")]
    OriginMissing {
        /// The word as written.
        found: String,
    },
    /// A blank owner before any record.
    #[error("no owner name, expected one since no record stands before this")]
    OwnerMissing,
    /// Neither `$TTL` nor a TTL before.
    #[error("no TTL, expected one here or `$TTL` before")]
    TtlMissing,
    /// Only class IN is served.
    #[error("class {found}, expected IN")]
    Class {
        /// The word as written.
        found: String,
    },
    /// Not a type we know by name.
    #[error("unknown type `{found}`, expected a type such as A, or TYPE and a number")]
    TypeUnknown {
        /// The word as written.
        found: String,
    },
    /// A type that never stands in a zone.
    #[error("{found} is a type for queries or messages alone, expected a type of data")]
    TypeMeta {
        /// The word as written.
        found: String,
    },
    /// A type that has no text form of its own here.
    #[error("{found} has no text form here, expected `\\#`, a length and hexadecimal (RFC 3597)")]
    TypeGenericOnly {
        /// The word as written.
        found: String,
    },
    /// A line starting with `$` that we do not know.
    #[error("unknown directive `{found}`, expected $ORIGIN, $TTL or $INCLUDE")]
    Directive {
        /// The word as written.
        found: String,
    },
    /// The caller could not load an included file.
    #[error("`{path}` is not included: {reason}")]
    Include {
        /// As written.
        path: String,
        /// As the caller's loader said.
        reason: String,
    },
    /// Files that include files, too deep or in a circle.
    #[error(
        "more than {max} files inside each other, expected fewer (a file that includes itself?)"
    )]
    IncludeDepth {
        /// The bound.
        max: usize,
    },
    /// Data of more than 65535 bytes.
    #[error("record data of {bytes} bytes, expected at most 65535")]
    DataLength {
        /// Length of the data.
        bytes: usize,
    },
    /// `\#` data whose stated and actual lengths differ.
    #[error("data of {actual} bytes, expected {stated} as stated after `\\#`")]
    GenericLength {
        /// The number after `\#`.
        stated: usize,
        /// Bytes that follow.
        actual: usize,
    },
    /// Data in wire form that does not fit its type.
    #[error(
        "data that is not in the form of a {rtype} record: {expected} expected at byte {offset}"
    )]
    DataForm {
        /// Name of the type.
        rtype: String,
        /// Where in the data.
        offset: usize,
        /// What should be there.
        expected: &'static str,
    },
    /// An owner outside of the zone.
    #[error("{owner} is outside of the zone, expected a name at or below {apex}")]
    OutOfZone {
        /// Owner of the record.
        owner: String,
        /// Name of the zone.
        apex: String,
    },
    /// Not exactly one SOA.
    #[error("no SOA record, expected one at {apex}")]
    SoaMissing {
        /// Name of the zone.
        apex: String,
    },
    /// RFC 1035 §5.2.
    #[error("second SOA record, expected one")]
    SoaDuplicate,
    /// A SOA elsewhere than at the apex.
    #[error("SOA record at {owner}, expected one at {apex} alone")]
    SoaBelowApex {
        /// Owner of the record.
        owner: String,
        /// Name of the zone.
        apex: String,
    },
    /// RFC 1035 §5.2: the apex needs name servers.
    #[error("no NS record at {apex}, expected one or more")]
    NsMissing {
        /// Name of the zone.
        apex: String,
    },
    /// RFC 2181 §10.1, RFC 4034 §3 and §4.
    #[error("{owner} has a CNAME record and a {other} record, expected the CNAME alone")]
    CnameNotAlone {
        /// Owner of both.
        owner: String,
        /// The other type.
        other: String,
    },
    /// RFC 2181 §10.1 and RFC 6672 §2.4: one record a name.
    #[error("second {rtype} record at {owner}, expected one")]
    SingleRepeated {
        /// CNAME or DNAME.
        rtype: &'static str,
        /// Owner of both.
        owner: String,
    },
    /// RFC 6672 §2.3: DNAME and NS stand together at the apex alone.
    #[error("{owner} has a DNAME record and an NS record, expected one of them below the apex")]
    DnameWithNs {
        /// Owner of both.
        owner: String,
    },
    /// RFC 4592 §4.2 and §4.4 leave these undefined or advise against them.
    #[error("{rtype} record at the wildcard {owner}, expected none")]
    WildcardDelegation {
        /// NS or DNAME.
        rtype: &'static str,
        /// Owner of the record.
        owner: String,
    },
    /// RFC 9276 §3.2: hashing more often only costs.
    #[error("NSEC3 with {iterations} iterations, expected at most {max}")]
    Nsec3Iterations {
        /// As in the record.
        iterations: u16,
        /// The bound.
        max: u16,
    },
    /// RFC 5155 §3: the owner's first label is a hash.
    #[error("NSEC3 record at {owner}, expected 32 base32 digits and the zone's name")]
    Nsec3Owner {
        /// Owner of the record.
        owner: String,
    },
    /// More than a message holds.
    #[error(
        "{rtype} records of {owner} take {bytes} bytes, expected at most {max}, which one message holds"
    )]
    RrsetBytes {
        /// Owner of the set.
        owner: String,
        /// Type of the set.
        rtype: String,
        /// Encoded size with signatures.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// Offsets inside a zone are 32 bits wide.
    #[error("zone of more than 4 GiB, expected less")]
    ZoneBytes,
}

/// What a [`Note`] says; names are in presentation form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Remark {
    /// RFC 2181 §5.2: all records of a set have one TTL; the least is taken.
    #[error(
        "{owner} {rtype} records with TTL {seconds} and {other_seconds}; the smaller is taken for all"
    )]
    TtlDiffers {
        /// Owner of the set.
        owner: String,
        /// Type of the set.
        rtype: String,
        /// The TTL taken.
        seconds: u32,
        /// The other TTL.
        other_seconds: u32,
    },
    /// The same record twice; one is kept (RFC 2181 §5).
    #[error("{owner} {rtype} record repeated; one is kept")]
    Repeated {
        /// Owner of the record.
        owner: String,
        /// Type of the record.
        rtype: String,
    },
    /// A name server inside the zone or delegation without an address.
    #[error("name server {server} of {owner} has no address in the zone")]
    GlueMissing {
        /// Owner of the NS record.
        owner: String,
        /// The name server.
        server: String,
    },
    /// RFC 2181 §10.3: NS and MX point at names with addresses.
    #[error("{rtype} record of {owner} points at {target}, which is a CNAME")]
    TargetIsCname {
        /// Owner of the record.
        owner: String,
        /// NS, MX or SRV.
        rtype: String,
        /// Where it points.
        target: String,
    },
    /// A name that no answer can show, since a delegation or DNAME stands above it.
    #[error("{owner} is hidden by the {rtype} record of {above}")]
    Hidden {
        /// Owner of the hidden record.
        owner: String,
        /// NS or DNAME.
        rtype: &'static str,
        /// Owner of that record.
        above: String,
    },
    /// A signature over records that are not there.
    #[error("{owner} has an RRSIG for {rtype} but no such records")]
    SignatureAlone {
        /// Owner of the signature.
        owner: String,
        /// Type that it covers.
        rtype: String,
    },
    /// NSEC3 records that no NSEC3PARAM at the apex describes (RFC 5155 §4).
    #[error(
        "NSEC3 records without an NSEC3PARAM of the same parameters at the apex; they are not used"
    )]
    Nsec3Unused,
    /// A signed zone that cannot prove that a name is absent.
    #[error("DNSKEY at the apex but no usable NSEC or NSEC3 chain; absent names have no proof")]
    DenialMissing,
}

/// A fault before it is known in which file: line and column, then what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) line: u32,
    pub(super) column: u32,
    pub(super) problem: Problem,
}

impl Fault {
    pub(super) fn in_file(self, file: &Arc<str>) -> ZoneError {
        let place = Place {
            file: Arc::clone(file),
            line: self.line,
            column: self.column,
        };
        ZoneError {
            place,
            problem: self.problem,
        }
    }
}

/// A word of the file for use in an error: printable, and not longer than a line of a terminal.
pub(super) fn quote_word(raw: &[u8]) -> String {
    let shown = raw.get(..QUOTED_BYTES_MAX).unwrap_or(raw);
    let mut text = String::with_capacity(shown.len());
    for &byte in shown {
        match byte {
            0x20..=0x7e => text.push(char::from(byte)),
            _ => text.push_str(&format!("\\{byte:03}")),
        }
    }
    if shown.len() < raw.len() {
        text.push('…');
    }
    text
}

/// A name for use in an error or note.
pub(super) fn show(name: &[u8]) -> String {
    DisplayName(name).to_string()
}
