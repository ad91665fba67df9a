//! Proofs by NSEC3 (RFC 5155 §8, RFC 9276 §3.2).

use hickory_proto::rr::RecordType;

use super::super::name::WireName;
use super::super::rrset::RrSet;
use super::bitmap::Bitmap;
use super::denial::{Cut, Proof, lacks};
use super::{Effort, Fault};
use crate::zone::{HASH_BYTES, NSEC3_ITERATIONS_MAX, hash_name};

const ALGORITHM_SHA1: u8 = 1;
const FLAG_OPT_OUT: u8 = 1;
/// Base 32 with extended hex (RFC 4648 §7): five bits a character.
const LABEL_BYTES: usize = HASH_BYTES * 8 / 5;

type Hash = [u8; HASH_BYTES];

/// One NSEC3 record of a zone.
#[derive(Debug)]
pub(in crate::iterate) struct Nsec3<'a> {
    hash: Hash,
    next: Hash,
    opt_out: bool,
    iterations: u16,
    salt: &'a [u8],
    types: Bitmap<'a>,
}

impl<'a> Nsec3<'a> {
    /// The only record of an NSEC3 RRset of `zone`; `None` for other algorithms and flags, which
    /// must be ignored (RFC 5155 §8.1 and §8.2).
    pub(in crate::iterate) fn parse(zone: &WireName, set: &'a RrSet) -> Option<Self> {
        let (label, parent) = set.owner.split_first_label()?;
        let hash = read_base32hex(label).filter(|_| parent == zone.as_bytes())?;
        let rdata = set.content.data.iter().next()?;
        let (&[algorithm, flags, high, low, salt_bytes], rest) = rdata.split_first_chunk()?;
        let (salt, rest) = rest.split_at_checked(usize::from(salt_bytes))?;
        let (&hash_bytes, rest) = rest.split_first()?;
        let (next, types) = rest.split_at_checked(usize::from(hash_bytes))?;
        if algorithm != ALGORITHM_SHA1 || flags & !FLAG_OPT_OUT != 0 {
            return None;
        }
        Some(Self {
            hash,
            next: next.try_into().ok()?,
            opt_out: flags & FLAG_OPT_OUT != 0,
            iterations: u16::from_be_bytes([high, low]),
            salt,
            types: Bitmap::new(types),
        })
    }

    /// The hash of its owner.
    pub(in crate::iterate) fn hash(&self) -> &Hash {
        &self.hash
    }

    /// The next hash of the zone.
    pub(in crate::iterate) fn next(&self) -> &Hash {
        &self.next
    }

    /// Whether unsigned delegations may lie between the two.
    pub(in crate::iterate) fn is_opt_out(&self) -> bool {
        self.opt_out
    }

    /// Whether it asks for more iterations than are done for it.
    pub(in crate::iterate) fn is_too_costly(&self) -> bool {
        self.iterations > NSEC3_ITERATIONS_MAX
    }

    /// Salt and iterations.
    pub(in crate::iterate) fn parameters(&self) -> (&'a [u8], u16) {
        (self.salt, self.iterations)
    }

    /// Whether a hash lies between the two.
    pub(in crate::iterate) fn covers(&self, hash: &Hash) -> bool {
        if self.hash < self.next {
            self.hash < *hash && *hash < self.next
        } else {
            *hash != self.hash && (self.hash < *hash || *hash < self.next)
        }
    }
}

/// Whether this is an NSEC3 RRset with more iterations than are done for any zone.
pub(in crate::iterate) fn asks_too_many_iterations(set: &RrSet) -> bool {
    let asked = |rdata: &[u8]| match rdata {
        [_, _, high, low, ..] => u16::from_be_bytes([*high, *low]),
        _ => 0,
    };
    let mut rdatas = set.content.data.iter();
    set.rtype == RecordType::NSEC3 && rdatas.any(|rdata| asked(rdata) > NSEC3_ITERATIONS_MAX)
}

/// The hash of a name, charged.
pub(in crate::iterate) fn hash_nsec3(
    name: &[u8],
    salt: &[u8],
    iterations: u16,
    effort: &mut Effort,
) -> Result<Hash, Fault> {
    effort.hash_name()?;
    Ok(hash_name(name, salt, iterations))
}

fn read_base32hex(label: &[u8]) -> Option<Hash> {
    if label.len() != LABEL_BYTES {
        return None;
    }
    let mut hash = Hash::default();
    for (block, characters) in hash.chunks_mut(5).zip(label.chunks(8)) {
        let mut bits = 0_u64;
        for character in characters {
            let value = match character {
                b'0'..=b'9' => character - b'0',
                b'a'..=b'v' => character - b'a' + 10,
                _ => return None,
            };
            bits = bits << 5 | u64::from(value);
        }
        block.copy_from_slice(bits.to_be_bytes().get(3..)?);
    }
    Some(hash)
}

/// The NSEC3 records of one zone in one answer, all of one hash, salt and count of iterations.
#[derive(Debug, Default)]
pub(super) struct Nsec3s<'a>(Vec<Nsec3<'a>>);

impl<'a> Nsec3s<'a> {
    /// Keeps those that agree with the first (RFC 5155 §8.2).
    pub(super) fn new(mut all: Vec<Nsec3<'a>>) -> Self {
        if let Some((iterations, salt)) = all.first().map(|nsec3| (nsec3.iterations, nsec3.salt)) {
            all.retain(|nsec3| nsec3.iterations == iterations && nsec3.salt == salt);
        }
        Self(all)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the zone asks for more iterations than are done for it; then it counts as unsigned.
    pub(super) fn is_too_costly(&self) -> bool {
        self.0
            .first()
            .is_some_and(|nsec3| nsec3.iterations > NSEC3_ITERATIONS_MAX)
    }

    fn hash(&self, name: &[u8], effort: &mut Effort) -> Result<Hash, Fault> {
        let first = self.0.first().ok_or(Fault::Unproven)?;
        hash_nsec3(name, first.salt, first.iterations, effort)
    }

    fn at(&self, hash: &Hash) -> Option<&Nsec3<'a>> {
        self.0.iter().find(|nsec3| nsec3.hash == *hash)
    }

    fn covering(&self, hash: &Hash) -> Option<&Nsec3<'a>> {
        self.0.iter().find(|nsec3| nsec3.covers(hash))
    }

    /// RFC 5155 §8.3: the closest ancestor that exists, and the NSEC3 that covers the name one label
    /// below it on the way to `name`, which does not exist itself.
    fn closest_encloser(
        &self,
        zone: &WireName,
        name: &WireName,
        effort: &mut Effort,
    ) -> Result<(WireName, &Nsec3<'a>), Fault> {
        let mut next_closer = None;
        let in_zone = name
            .suffixes()
            .take_while(|suffix| suffix.len() >= zone.as_bytes().len());
        for suffix in in_zone {
            let hash = self.hash(suffix, effort)?;
            let Some(encloser) = self.at(&hash) else {
                next_closer = Some(hash);
                continue;
            };
            if encloser.types.is_delegation() || encloser.types.has(RecordType::DNAME) {
                break;
            }
            let covering = next_closer.and_then(|hash| self.covering(&hash));
            let name = WireName::parse(suffix);
            return name.zip(covering).ok_or(Fault::Unproven);
        }
        Err(Fault::Unproven)
    }

    fn wildcard_hash(&self, encloser: &WireName, effort: &mut Effort) -> Result<Hash, Fault> {
        let wildcard = encloser.wildcard_below().ok_or(Fault::Unproven)?;
        self.hash(wildcard.as_bytes(), effort)
    }

    /// RFC 5155 §8.4.
    pub(super) fn no_name(
        &self,
        zone: &WireName,
        name: &WireName,
        effort: &mut Effort,
    ) -> Result<Proof, Fault> {
        let (encloser, covering) = self.closest_encloser(zone, name, effort)?;
        let wildcard = self.wildcard_hash(&encloser, effort)?;
        self.covering(&wildcard).ok_or(Fault::Unproven)?;
        Ok(Proof::unless_opt_out(covering.opt_out))
    }

    /// RFC 5155 §8.5 to §8.7.
    pub(super) fn no_data(
        &self,
        zone: &WireName,
        name: &WireName,
        rtype: RecordType,
        effort: &mut Effort,
    ) -> Result<Proof, Fault> {
        if let Some(nsec3) = self.at(&self.hash(name.as_bytes(), effort)?) {
            return lacks(name, nsec3.types, rtype);
        }
        let (encloser, covering) = self.closest_encloser(zone, name, effort)?;
        let wildcard = self.wildcard_hash(&encloser, effort)?;
        match self.at(&wildcard) {
            Some(nsec3) => lacks(name, nsec3.types, rtype)
                .map(|proof| proof.min(Proof::unless_opt_out(covering.opt_out))),
            // An unsigned delegation, or a name that exists only because of one below it.
            None if covering.opt_out => Ok(Proof::Insecure),
            None => Err(Fault::Unproven),
        }
    }

    /// RFC 5155 §8.8.
    pub(super) fn no_closer(
        &self,
        name: &WireName,
        labels: usize,
        effort: &mut Effort,
    ) -> Result<Proof, Fault> {
        let next_closer = self.hash(name.last_labels(labels + 1).as_bytes(), effort)?;
        let covering = self.covering(&next_closer).ok_or(Fault::Unproven)?;
        Ok(Proof::unless_opt_out(covering.opt_out))
    }

    /// What an answer without DS says of a cut at the name (RFC 5155 §8.6 and §8.9).
    pub(super) fn cut(
        &self,
        zone: &WireName,
        name: &WireName,
        effort: &mut Effort,
    ) -> Result<Cut, Fault> {
        if let Some(nsec3) = self.at(&self.hash(name.as_bytes(), effort)?) {
            return Cut::of(nsec3.types);
        }
        let (_, covering) = self.closest_encloser(zone, name, effort)?;
        Ok(if covering.opt_out {
            Cut::Unsigned
        } else {
            Cut::None
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_read_as_rfc_5155_writes_them() {
        let label = b"0p9mhaveqvm6t7vbl5lop2u3t2rp3tom";
        let expected = hash_name(b"\x07example\0", &[0xaa, 0xbb, 0xcc, 0xdd], 12);
        assert_eq!(read_base32hex(label), Some(expected));
        assert_eq!(read_base32hex(&label[1..]), None);
        assert_eq!(read_base32hex(b"0p9mhaveqvm6t7vbl5lop2u3t2rp3toz"), None);
    }
}
