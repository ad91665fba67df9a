//! The RRset cache as bytes, to live on after a restart.
//!
//! Encoding goes in slices of about [`SLICE_BYTES`], so that whoever drives the resolver can let it
//! answer between two; what changes meanwhile may be there twice or not at all, which does no harm.
//! What is read back is outside input. Its checksum tells of accidents and not of intent: nothing of
//! it counts as judged, so that validation holds all of it to the keys of its zones again before a
//! client gets it, and no TTL is longer than one that a server may give.
//!
//! Layout, integers big-endian: `MAGIC`, version (2), Unix time (8), names, 0, count of names (8),
//! SHA-256 of all before it. A name: length (1), wire form, count of entries (1), entries. An entry:
//! type (2), unchecked (1), kind (1), trust (1), Unix time of expiry (8), data, signatures, count of
//! proof sets (1), each with name, type (2), TTL (4), data, signatures. Data and signatures: length
//! (4), then for each record its length (2) and its bytes.

use std::sync::Arc;

use hickory_proto::rr::RecordType;
use ring::digest::{Context, SHA256, SHA256_OUTPUT_LEN};

use super::cache::{Kind, NXDOMAIN, Saved};
use super::message::Trust;
use super::name::WireName;
use super::resolver::Resolver;
use super::rrset::{Content, Rdatas, RrSet, Security};

const MAGIC: &[u8; 8] = b"NXCACHE\n";
const VERSION: u16 = 1;
/// In the place of a name's length, which is at most 255 and never 0.
const END: u8 = 0;
/// A slice ends with the name that makes it as long as this.
const SLICE_BYTES: usize = 256 << 10;
/// Names looked at for one slice, with or without anything to save.
const SLICE_NAMES_MAX: usize = 2_048;
/// Records of proof that go with one entry at most; replies have fewer.
const PROOF_SETS_MAX: usize = 64;
const HEADER_BYTES: usize = MAGIC.len() + 2 + 8;
const TRAILER_BYTES: usize = 1 + 8 + SHA256_OUTPUT_LEN;

/// Why a saved cache cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// It is something else.
    #[error("this is no saved cache")]
    Magic,
    /// Another version wrote it.
    #[error("its format has version {found}, expected {VERSION}")]
    Version {
        /// What it says.
        found: u16,
    },
    /// It was cut short or changed since it was written.
    #[error("its checksum does not fit its {bytes} bytes")]
    Checksum {
        /// Length of the whole.
        bytes: usize,
    },
    /// It was written in the future: one of the clocks is wrong, and so would be every TTL.
    #[error("it was saved at Unix time {saved_secs}, which is in the future")]
    Clock {
        /// When it was saved.
        saved_secs: u64,
    },
    /// It is not what we write.
    #[error("what begins before offset {offset} is no cache entry")]
    Entry {
        /// Where reading stopped.
        offset: usize,
    },
}

/// A cache being saved: how far it is.
#[derive(Debug)]
pub struct Saver {
    cursor: usize,
    names: u64,
    has_begun: bool,
    digest: Digest,
}

struct Digest(Context);

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Digest")
    }
}

impl Default for Saver {
    fn default() -> Self {
        Self {
            cursor: 0,
            names: 0,
            has_begun: false,
            digest: Digest(Context::new(&SHA256)),
        }
    }
}

impl Saver {
    /// Names saved so far.
    #[must_use]
    pub fn names(&self) -> u64 {
        self.names
    }
}

impl Resolver {
    /// Appends the next slice of what the cache holds within its TTL. False: that was the last.
    /// `unix_secs` is the time of day at `now_ms`.
    pub fn save(&self, now_ms: u64, unix_secs: u64, saver: &mut Saver, out: &mut Vec<u8>) -> bool {
        let from = out.len();
        if !std::mem::replace(&mut saver.has_begun, true) {
            out.extend_from_slice(MAGIC);
            out.extend_from_slice(&VERSION.to_be_bytes());
            out.extend_from_slice(&unix_secs.to_be_bytes());
        }
        let mut looked = 0;
        let mut more = true;
        while more && looked < SLICE_NAMES_MAX && out.len() - from < SLICE_BYTES {
            looked += 1;
            more = self.cache.visit(&mut saver.cursor, |name, entries| {
                saver.names += u64::from(write_name(now_ms, unix_secs, name, entries, out));
            });
        }
        if !more {
            out.push(END);
            out.extend_from_slice(&saver.names.to_be_bytes());
        }
        saver.digest.0.update(out.get(from..).unwrap_or_default());
        if !more {
            let digest = saver.digest.0.clone().finish();
            out.extend_from_slice(digest.as_ref());
        }
        more
    }

    /// Takes back what was saved, as far as it is still within its TTL; gives the number of RRsets
    /// and denials. What a server has said since is not replaced by what is less trusted.
    ///
    /// # Errors
    /// If it is not whole, or not ours; then nothing of it is kept.
    pub fn restore(
        &mut self,
        now_ms: u64,
        unix_secs: u64,
        saved: &[u8],
    ) -> Result<usize, SnapshotError> {
        // Once to see that all of it can be read, then again to keep it.
        read(saved, unix_secs, |_, _, _| {})?;
        let mut count = 0;
        read(saved, unix_secs, |name, expires_secs, entry| {
            let left_secs = expires_secs.saturating_sub(unix_secs);
            let kept = self.cache.restore(now_ms, name, left_secs, entry);
            count += usize::from(kept);
        })?;
        Ok(count)
    }
}

/// Writes one name; false if there is nothing to save of it.
fn write_name(
    now_ms: u64,
    unix_secs: u64,
    name: &WireName,
    entries: impl Iterator<Item = (u64, Saved)>,
    out: &mut Vec<u8>,
) -> bool {
    let begin = out.len();
    push_name(name, out);
    let count_at = out.len();
    out.push(0);
    let mut count = 0_u8;
    for (expires_ms, entry) in entries {
        let left_secs = expires_ms.saturating_sub(now_ms) / 1000;
        let proofs = u8::try_from(entry.proof.len()).unwrap_or(u8::MAX);
        if left_secs == 0 || usize::from(proofs) > PROOF_SETS_MAX || count == u8::MAX {
            continue;
        }
        count += 1;
        out.extend_from_slice(&u16::from(entry.rtype).to_be_bytes());
        out.extend_from_slice(&[
            u8::from(entry.unchecked),
            code(&KINDS, entry.kind),
            code(&TRUSTS, entry.trust),
        ]);
        out.extend_from_slice(&(unix_secs + left_secs).to_be_bytes());
        push_content(&entry.content, out);
        out.push(proofs);
        for set in entry.proof.iter() {
            push_name(&set.owner, out);
            out.extend_from_slice(&u16::from(set.rtype).to_be_bytes());
            out.extend_from_slice(&set.ttl_secs.to_be_bytes());
            push_content(&set.content, out);
        }
    }
    if count == 0 {
        out.truncate(begin);
        return false;
    }
    if let Some(place) = out.get_mut(count_at) {
        *place = count;
    }
    true
}

fn push_name(name: &WireName, out: &mut Vec<u8>) {
    // A name has at most 255 bytes.
    out.push(u8::try_from(name.as_bytes().len()).expect("a name fits its length byte"));
    out.extend_from_slice(name.as_bytes());
}

fn push_content(content: &Content, out: &mut Vec<u8>) {
    for rdatas in [&content.data, &content.signatures] {
        let length = u32::try_from(rdatas.as_bytes().len()).expect("an RRset fits a message");
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(rdatas.as_bytes());
    }
}

/// Hands each entry to `take`, with its name and its Unix time of expiry.
fn read(
    saved: &[u8],
    unix_secs: u64,
    mut take: impl FnMut(&WireName, u64, Saved),
) -> Result<(), SnapshotError> {
    let bytes = saved.len();
    let header = saved.get(..HEADER_BYTES).ok_or(SnapshotError::Magic)?;
    if !header.starts_with(MAGIC) {
        return Err(SnapshotError::Magic);
    }
    let mut reader = Reader {
        bytes: saved,
        offset: MAGIC.len(),
    };
    let (Some(found), Some(saved_secs)) = (reader.u16(), reader.u64()) else {
        return Err(SnapshotError::Magic);
    };
    if found != VERSION {
        return Err(SnapshotError::Version { found });
    }
    let body = bytes
        .checked_sub(TRAILER_BYTES)
        .and_then(|_| saved.split_at_checked(bytes - SHA256_OUTPUT_LEN));
    let (body, checksum) = body.ok_or(SnapshotError::Checksum { bytes })?;
    if ring::digest::digest(&SHA256, body).as_ref() != checksum {
        return Err(SnapshotError::Checksum { bytes });
    }
    if saved_secs > unix_secs {
        return Err(SnapshotError::Clock { saved_secs });
    }
    reader.bytes = body;
    let mut names = 0_u64;
    let whole = loop {
        match reader.name() {
            Some(None) => break reader.u64() == Some(names) && reader.offset == body.len(),
            Some(Some(name)) => {
                names += 1;
                if read_name(&mut reader, &name, &mut take).is_none() {
                    break false;
                }
            }
            None => break false,
        }
    };
    let offset = reader.offset;
    whole.then_some(()).ok_or(SnapshotError::Entry { offset })
}

fn read_name(
    reader: &mut Reader<'_>,
    name: &WireName,
    take: &mut impl FnMut(&WireName, u64, Saved),
) -> Option<()> {
    for _ in 0..reader.u8()? {
        let rtype = RecordType::from(reader.u16()?);
        let unchecked = match reader.u8()? {
            0 => false,
            1 => true,
            _ => return None,
        };
        let kind = *KINDS.get(usize::from(reader.u8()?))?;
        let trust = *TRUSTS.get(usize::from(reader.u8()?))?;
        let expires_secs = reader.u64()?;
        let content = reader.content()?;
        let is_empty = content.data.iter().next().is_none();
        // NXDOMAIN has a type of its own, and denials have no data.
        if (kind == Kind::NxDomain) != (rtype == NXDOMAIN) || (kind == Kind::Data) == is_empty {
            return None;
        }
        let mut proof = Vec::new();
        for _ in 0..reader.u8()? {
            proof.push(RrSet {
                owner: reader.name()??,
                rtype: RecordType::from(reader.u16()?),
                ttl_secs: reader.u32()?,
                security: Security::Unchecked,
                content: Arc::new(reader.content()?),
            });
        }
        let entry = Saved {
            rtype,
            unchecked,
            kind,
            trust,
            content: Arc::new(content),
            proof: proof.into(),
        };
        take(name, expires_secs, entry);
    }
    Some(())
}

/// Kinds and trusts by their numbers in a file; another order is another version.
const KINDS: [Kind; 3] = [Kind::Data, Kind::NoData, Kind::NxDomain];
const TRUSTS: [Trust; 5] = [
    Trust::Additional,
    Trust::Referral,
    Trust::Answer,
    Trust::AuthoritativeAuthority,
    Trust::AuthoritativeAnswer,
];

fn code<T: PartialEq>(all: &[T], value: T) -> u8 {
    let place = all.iter().position(|one| *one == value);
    place
        .and_then(|place| u8::try_from(place).ok())
        .expect("every value has a place")
}

struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let end = self.offset.checked_add(count)?;
        let taken = self.bytes.get(self.offset..end)?;
        self.offset = end;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// A name; inside, `None` is the end of all names.
    fn name(&mut self) -> Option<Option<WireName>> {
        let length = usize::from(self.u8()?);
        if length == usize::from(END) {
            return Some(None);
        }
        let bytes = self.take(length)?;
        let name = WireName::parse(bytes)?;
        (name.as_bytes() == bytes).then_some(Some(name))
    }

    fn content(&mut self) -> Option<Content> {
        let mut rdatas = || {
            let length = usize::try_from(self.u32()?).ok()?;
            Rdatas::from_bytes(self.take(length)?)
        };
        Some(Content {
            data: rdatas()?,
            signatures: rdatas()?,
        })
    }
}
