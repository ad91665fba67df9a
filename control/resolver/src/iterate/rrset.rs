//! RRsets as the cache keeps them: owner, type and plain RDATA bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use hickory_proto::rr::rdata::NULL;
use hickory_proto::rr::{RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecoder, Restrict};

use super::name::WireName;

/// DNAME (RFC 6672).
pub(super) const DNAME: RecordType = RecordType::DNAME;

/// Types that a name may have beside a CNAME, so that a question for them is about the name itself
/// and is not redirected (RFC 4035 §2.5; KEY and NXT by RFC 2181 §10.1).
pub(super) fn may_stand_beside_cname(rtype: RecordType) -> bool {
    // KEY, NXT, RRSIG, NSEC.
    matches!(u16::from(rtype), 25 | 30 | 46 | 47)
}

/// RDATA of several records in one allocation: for each, its length in two bytes, then its bytes.
/// Names inside are not compressed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rdatas(Box<[u8]>);

impl Rdatas {
    pub(super) fn new<'a>(rdatas: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut bytes = Vec::new();
        for rdata in rdatas {
            let length = u16::try_from(rdata.len()).expect("RDATA fits its length field");
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(rdata);
        }
        Self(bytes.into())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &*self.0;
        std::iter::from_fn(move || {
            let (length, tail) = rest.split_first_chunk::<2>()?;
            let (rdata, tail) = tail.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            rest = tail;
            Some(rdata)
        })
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.len()
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Takes what [`as_bytes`](Self::as_bytes) gave; `None` for anything else.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let rdatas = Self(bytes.into());
        let read: usize = rdatas.iter().map(|rdata| 2 + rdata.len()).sum();
        (read == bytes.len()).then_some(rdatas)
    }
}

/// The data of an RRset and the RRSIGs that cover it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) data: Rdatas,
    pub(super) signatures: Rdatas,
}

/// What validation has found out, weakest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Security {
    /// Nothing yet.
    #[default]
    Unchecked,
    /// It is proven, or configured, that nothing vouches for it.
    Insecure,
    /// Its signatures hold; or it follows from a set whose signatures do, as the CNAME of a DNAME.
    Secure,
}

/// All records of one owner and type, of class IN. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RrSet {
    pub(super) owner: WireName,
    pub(super) rtype: RecordType,
    pub(super) ttl_secs: u32,
    pub(super) security: Security,
    pub(super) content: Arc<Content>,
}

impl RrSet {
    /// A CNAME as a DNAME implies it (RFC 6672 §3.1): with the DNAME's TTL, and unsigned.
    pub(super) fn synthesise_cname(owner: WireName, target: &WireName, ttl_secs: u32) -> Self {
        let data = Rdatas::new([target.as_bytes()]);
        let content = Arc::new(Content {
            data,
            signatures: Rdatas::default(),
        });
        Self {
            owner,
            rtype: RecordType::CNAME,
            ttl_secs,
            security: Security::Secure, // The DNAME decides for both.
            content,
        }
    }

    /// Whether both are the very same data of one reply.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.content, &other.content)
    }

    /// Names in the RDATA of NS, CNAME, DNAME or PTR.
    pub(super) fn targets(&self) -> impl Iterator<Item = WireName> {
        self.content.data.iter().filter_map(WireName::parse)
    }

    /// Addresses in the RDATA of A or AAAA.
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.content
            .data
            .iter()
            .filter_map(|rdata| match (self.rtype, rdata.len()) {
                (RecordType::A, 4) => rdata
                    .first_chunk::<4>()
                    .map(|&v4| Ipv4Addr::from(v4).into()),
                (RecordType::AAAA, 16) => rdata
                    .first_chunk::<16>()
                    .map(|&v6| Ipv6Addr::from(v6).into()),
                _ => None,
            })
    }

    /// Whether it comes of a wildcard: its signature counts fewer labels than its owner has, where
    /// the label of a wildcard itself never counts (RFC 4034 §3.1.3).
    pub(super) fn is_expanded(&self) -> bool {
        let labels = self.owner.signed_labels();
        let fewer = |count: &u8| usize::from(*count) < labels;
        let mut signatures = self.content.signatures.iter();
        signatures.any(|rdata| rdata.get(3).is_some_and(fewer))
    }

    /// The last field of an SOA: how long a negative answer holds, in seconds (RFC 2308 §4).
    pub(super) fn soa_minimum_secs(&self) -> Option<u32> {
        let rdata = self.content.data.iter().next()?;
        rdata
            .last_chunk::<4>()
            .map(|&minimum| u32::from_be_bytes(minimum))
    }

    /// Appends the records, and the signatures if they are wanted.
    pub(super) fn write_records(&self, signatures: bool, out: &mut Vec<Record>) {
        let owner = self.owner.to_name();
        let mut push = |rtype, rdata: &[u8]| {
            out.push(Record::from_rdata(
                owner.clone(),
                self.ttl_secs,
                decode(rtype, rdata),
            ));
        };
        self.content
            .data
            .iter()
            .for_each(|rdata| push(self.rtype, rdata));
        if signatures {
            self.content
                .signatures
                .iter()
                .for_each(|rdata| push(RecordType::RRSIG, rdata));
        }
    }

    /// Bytes of memory that keeping it takes, roughly.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>()
            + size_of::<Content>()
            + self.owner.as_bytes().len()
            + self.content.data.bytes()
            + self.content.signatures.bytes()
    }
}

/// Gives RDATA its type; what hickory-proto cannot read stays opaque (RFC 3597).
fn decode(rtype: RecordType, rdata: &[u8]) -> RData {
    if rdata.is_empty() {
        return RData::Unknown {
            code: rtype,
            rdata: NULL::new(),
        };
    }
    let length = u16::try_from(rdata.len()).expect("RDATA fits its length field");
    let mut decoder = BinDecoder::new(rdata);
    RData::read(&mut decoder, rtype, Restrict::new(length)).unwrap_or_else(|_| RData::Unknown {
        code: rtype,
        rdata: NULL::with(rdata.to_vec()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rdatas_come_back_in_order_and_whole() {
        let rdatas = Rdatas::new([b"one".as_slice(), b"", b"three"]);
        assert_eq!(
            rdatas.iter().collect::<Vec<_>>(),
            [b"one".as_slice(), b"", b"three"]
        );
        assert_eq!(rdatas.bytes(), 14);
    }

    #[test]
    fn set_is_expanded_if_its_signature_counts_fewer_labels_than_its_owner() {
        let set = |owner: &[u8], labels: u8| RrSet {
            security: Security::Unchecked,
            owner: WireName::parse(owner).expect("a name"),
            rtype: RecordType::CNAME,
            ttl_secs: 60,
            content: Arc::new(Content {
                data: Rdatas::default(),
                signatures: Rdatas::new([[0, 5, 13, labels].as_slice()]),
            }),
        };
        assert!(set(b"\x01x\x01a\x01b\0", 2).is_expanded());
        assert!(!set(b"\x01x\x01a\x01b\0", 3).is_expanded());
        assert!(
            !set(b"\x01*\x01a\x01b\0", 2).is_expanded(),
            "the wildcard asked for by its own name"
        );
    }

    #[test]
    fn rdata_that_its_type_cannot_read_stays_opaque() {
        assert!(matches!(
            decode(RecordType::A, &[1, 2, 3]),
            RData::Unknown { .. }
        ));
        assert!(matches!(decode(RecordType::A, &[1, 2, 3, 4]), RData::A(_)));
        assert!(matches!(
            decode(RecordType::TXT, &[]),
            RData::Unknown { .. }
        ));
    }
}
