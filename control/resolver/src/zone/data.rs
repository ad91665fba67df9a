//! [`Zone`]: all records of one zone, laid out so that an answer is a walk and a few copies.

use std::fmt;

use super::file::{Loader, read_zone_file};
use super::name::DisplayName;
use super::nsec3::HASH_BYTES;
use super::records::Records;
use super::tree::{APEX, Node, Tree, node_name};
use super::types::{Field, Names, fields_of, rtype};
use super::{Note, ZoneError};

/// TYPE, CLASS, TTL and RDLENGTH: what stands between an owner and its data.
pub(super) const RECORD_HEADER_BYTES: usize = 10;

/// One zone, immutable. Build anew to change it; share it in an `Arc`.
pub struct Zone {
    /// Names and encoded records.
    pub(super) bytes: Box<[u8]>,
    pub(super) tree: Tree,
    /// By node, then by type.
    pub(super) rrsets: Box<[Rrset]>,
    pub(super) denial: Denial,
    /// Ordered by hash.
    pub(super) nsec3: Box<[Nsec3Entry]>,
    /// NSEC3 records of other chains: transferred, never used.
    pub(super) nsec3_other: Box<[Nsec3Entry]>,
    /// SOA with the TTL of negative answers (RFC 2308 §3).
    pub(super) negative_soa: Rrset,
    pub(super) serial: u32,
    pub(super) counts: Counts,
}

/// What a zone holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Names with records.
    pub names: usize,
    /// Sets of records with one owner and type, signatures not counted.
    pub rrsets: usize,
    /// Records, signatures included.
    pub records: usize,
    /// Names below the apex that have NS records.
    pub delegations: usize,
    /// Bytes of memory.
    pub memory_bytes: usize,
}

/// How a zone proves that something is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denial {
    Unsigned,
    Nsec,
    Nsec3 { salt: Span, iterations: u16 },
}

/// A range of the zone's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) bytes: u32,
}

/// One NSEC3 record with its signatures.
#[derive(Debug, Clone, Copy)]
pub(super) struct Nsec3Entry {
    pub(super) hash: [u8; HASH_BYTES],
    pub(super) name: Span,
    pub(super) rrset: Rrset,
}

/// Records of one owner and type, each encoded as [`RECORD_HEADER_BYTES`] and data; behind them their signatures, likewise.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rrset {
    pub(super) rtype: u16,
    pub(super) shape: Shape,
    /// 0 where signatures stand alone.
    pub(super) records_count: u16,
    pub(super) signatures_count: u16,
    pub(super) ttl: u32,
    pub(super) records: Span,
    pub(super) signatures: Span,
}

/// How data is laid out for name compression: a prefix, then this many compressible names, then the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) prefix_bytes: u8,
    pub(super) names_count: u8,
}

impl Shape {
    pub(super) const OPAQUE: Self = Self {
        prefix_bytes: 0,
        names_count: 0,
    };

    pub(super) fn of(rtype: u16) -> Self {
        let fields = fields_of(rtype).unwrap_or(&[]);
        let is_name = |field: &&Field| **field == Field::Name(Names::Compressed);
        let prefix_bytes = if fields.first() == Some(&Field::U16) {
            2
        } else {
            0
        };
        let names = fields
            .iter()
            .skip(usize::from(prefix_bytes / 2))
            .take_while(is_name)
            .count();
        match u8::try_from(names) {
            Ok(names_count @ 1..) => Self {
                prefix_bytes,
                names_count,
            },
            _ => Self::OPAQUE,
        }
    }
}

impl Zone {
    /// Reads a master file and builds the zone `apex` (wire form, lower-case) from it. See [`read_zone_file`] and [`Zone::build`].
    ///
    /// # Errors
    /// The first fault of the text, or the first thing that makes the zone unfit to serve.
    pub fn read(
        apex: &[u8],
        text: &[u8],
        file: &str,
        loader: &mut Loader<'_>,
    ) -> Result<(Self, Vec<Note>), ZoneError> {
        let records: Records = read_zone_file(text, file, apex, loader)?;
        Self::build(apex, &records)
    }

    /// Name of the zone in wire form, lower-case.
    pub fn apex(&self) -> &[u8] {
        node_name(self.tree.node(APEX), &self.bytes)
    }

    /// Serial number of the SOA record.
    pub fn serial(&self) -> u32 {
        self.serial
    }

    /// What the zone holds.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether the zone can prove absence to a client that sets DO.
    pub fn is_signed(&self) -> bool {
        self.denial != Denial::Unsigned
    }

    /// The data of all records of one owner (wire form, lower-case) and type, in canonical order; hidden names included.
    pub fn rdata(&self, owner: &[u8], rtype: u16) -> impl Iterator<Item = &[u8]> {
        let node = super::name::is_at_or_below(owner, self.apex())
            .then(|| self.tree.find_any(&self.bytes, owner));
        let rrset = node
            .flatten()
            .and_then(|node| self.rrset(self.tree.node(node), rtype))
            .copied();
        let records = rrset.map_or(&[][..], |rrset| self.span(rrset.records));
        EncodedRecords(records).filter_map(|record| record.get(RECORD_HEADER_BYTES..))
    }

    #[inline]
    pub(super) fn span(&self, span: Span) -> &[u8] {
        &self.bytes[span.start as usize..span.start as usize + span.bytes as usize]
    }

    #[inline]
    pub(super) fn name_of(&self, node: u32) -> &[u8] {
        node_name(self.tree.node(node), &self.bytes)
    }

    /// All sets of a node, ordered by type, among them sets of signatures alone.
    #[inline]
    pub(super) fn rrsets_of(&self, node: &Node) -> &[Rrset] {
        let start = node.rrsets_start as usize;
        &self.rrsets[start..start + usize::from(node.rrsets_count)]
    }

    /// The records of a type, if there are any.
    #[inline]
    pub(super) fn rrset(&self, node: &Node, rtype: u16) -> Option<&Rrset> {
        self.rrsets_of(node)
            .iter()
            .find(|rrset| rrset.rtype == rtype && rrset.records_count > 0)
    }

    /// The SOA set of the apex; the build has seen to it that there is one.
    pub(super) fn soa(&self) -> &Rrset {
        self.rrset(self.tree.node(APEX), rtype::SOA)
            .unwrap_or(&self.negative_soa)
    }
}

impl std::hash::Hash for Zone {
    /// Equal records, equal hash.
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.bytes.hash(state);
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let apex = DisplayName(self.apex()).to_string();
        f.debug_struct("Zone")
            .field("apex", &apex)
            .field("serial", &self.serial)
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

/// Walks encoded records: each item is header and data of one.
#[derive(Debug, Clone)]
pub(super) struct EncodedRecords<'z>(pub(super) &'z [u8]);

impl<'z> Iterator for EncodedRecords<'z> {
    type Item = &'z [u8];

    #[inline]
    fn next(&mut self) -> Option<&'z [u8]> {
        let &[high, low] = self
            .0
            .get(RECORD_HEADER_BYTES - 2..RECORD_HEADER_BYTES)?
            .first_chunk::<2>()?;
        let bytes = RECORD_HEADER_BYTES + usize::from(u16::from_be_bytes([high, low]));
        let (record, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_rfc_1035_are_compressed_and_obsolete_and_later_ones_are_not() {
        let shape = |prefix_bytes, names_count| Shape {
            prefix_bytes,
            names_count,
        };
        let cases = [
            (rtype::NS, shape(0, 1)),
            (rtype::CNAME, shape(0, 1)),
            (rtype::SOA, shape(0, 2)),
            (12, shape(0, 1)),
            (rtype::MX, shape(2, 1)),
            (3, Shape::OPAQUE),
            (14, Shape::OPAQUE),
            (rtype::SRV, Shape::OPAQUE),
            (rtype::DNAME, Shape::OPAQUE),
            (rtype::RRSIG, Shape::OPAQUE),
            (rtype::DNSKEY, Shape::OPAQUE),
            (rtype::A, Shape::OPAQUE),
            (107, Shape::OPAQUE),
        ];
        for (rtype, expected) in cases {
            assert_eq!(Shape::of(rtype), expected, "{rtype}");
        }
    }
}
