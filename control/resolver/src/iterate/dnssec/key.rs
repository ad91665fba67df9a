//! DNSKEY and DS (RFC 4034 §2 and §5).

use ring::digest;

use super::super::name::WireName;
use super::super::rrset::RrSet;
use super::algorithm::Algorithm;

const FLAG_ZONE: u16 = 0x0100;
const FLAG_REVOKED: u16 = 0x0080;
const FLAG_SECURE_ENTRY_POINT: u16 = 0x0001;
const PROTOCOL_DNSSEC: u8 = 3;
const DIGEST_SHA256: u8 = 2;
/// SHA-1, SHA-256 and SHA-384 (IANA, DS RR Type Digest Algorithms).
const DIGEST_TYPES: [u8; 3] = [1, 2, 4];

/// One DNSKEY of a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::iterate) struct Key {
    flags: u16,
    protocol: u8,
    /// Number of the algorithm.
    pub(super) algorithm: u8,
    /// RFC 4034 appendix B.
    pub(super) tag: u16,
    rdata: Box<[u8]>,
}

impl Key {
    /// Reads RDATA; `None` if it is too short.
    pub(in crate::iterate) fn parse(rdata: &[u8]) -> Option<Self> {
        let &[high, low, protocol, algorithm, ..] = rdata else {
            return None;
        };
        Some(Self {
            flags: u16::from_be_bytes([high, low]),
            protocol,
            algorithm,
            tag: tag(rdata),
            rdata: rdata.into(),
        })
    }

    /// How DS records and signatures refer to it.
    pub(in crate::iterate) fn tag_and_algorithm(&self) -> (u16, u8) {
        (self.tag, self.algorithm)
    }

    /// Whether it may sign RRsets of its zone (RFC 4034 §2.1.1 and §2.1.2; RFC 5011 §2.1 for the
    /// revoked, which sign nothing but their own revocation).
    pub(super) fn is_zone_key(&self) -> bool {
        self.flags & FLAG_ZONE != 0
            && self.flags & FLAG_REVOKED == 0
            && self.protocol == PROTOCOL_DNSSEC
    }

    /// Whether it may become a trust anchor: a zone key with the SEP flag (RFC 5011 §2.2), of an
    /// algorithm that is known here.
    pub(in crate::iterate) fn may_be_anchor(&self) -> bool {
        self.is_zone_key()
            && self.flags & FLAG_SECURE_ENTRY_POINT != 0
            && self.has_known_algorithm()
    }

    /// Whether it claims to be revoked; it is once it has signed that itself (RFC 5011 §2.1).
    pub(in crate::iterate) fn has_revoke_bit(&self) -> bool {
        self.flags & FLAG_REVOKED != 0
    }

    /// The same key as it was before it was revoked: the bit counts in its tag and digest.
    pub(in crate::iterate) fn before_revocation(&self) -> Self {
        let mut rdata = self.rdata.clone();
        if let Some(low) = rdata.get_mut(1) {
            *low &= !FLAG_REVOKED.to_be_bytes()[1];
        }
        Self {
            flags: self.flags & !FLAG_REVOKED,
            tag: tag(&rdata),
            rdata,
            ..*self
        }
    }

    /// RDATA, as it was read.
    pub(in crate::iterate) fn rdata(&self) -> &[u8] {
        &self.rdata
    }

    /// Whether signatures of it can be checked here.
    pub(super) fn has_known_algorithm(&self) -> bool {
        Algorithm::from_number(self.algorithm).is_some()
    }

    /// Whether this key made the signature.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let public_key = self.rdata.get(4..).unwrap_or(&[]);
        Algorithm::from_number(self.algorithm)
            .is_some_and(|algorithm| algorithm.verify(public_key, message, signature))
    }
}

/// The key tag; not unique (RFC 4034 appendix B).
fn tag(rdata: &[u8]) -> u16 {
    let words = rdata.chunks(2).map(|pair| match pair {
        [high, low] => u32::from(u16::from_be_bytes([*high, *low])),
        [high, ..] => u32::from(*high) << 8,
        [] => 0,
    });
    let sum = words.fold(0_u32, u32::wrapping_add);
    let [_, _, high, low] = sum.wrapping_add(sum >> 16).to_be_bytes();
    u16::from_be_bytes([high, low])
}

/// How a parent, or a trust anchor, names a key of a zone: by a digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::iterate) struct Ds {
    tag: u16,
    algorithm: u8,
    digest_type: u8,
    digest: Box<[u8]>,
}

impl Ds {
    /// Reads RDATA; `None` if it is too short.
    pub(in crate::iterate) fn parse(rdata: &[u8]) -> Option<Self> {
        let (&[high, low, algorithm, digest_type], digest) = rdata.split_first_chunk()?;
        Some(Self {
            tag: u16::from_be_bytes([high, low]),
            algorithm,
            digest_type,
            digest: digest.into(),
        })
    }

    /// Whether the algorithm of the key is known here.
    pub(in crate::iterate) fn has_known_algorithm(&self) -> bool {
        Algorithm::from_number(self.algorithm).is_some()
    }

    /// Whether both the algorithm of the key and that of the digest are known here. A zone whose
    /// every DS is unknown counts as unsigned (RFC 4035 §5.2, RFC 6840 §5.2).
    pub(in crate::iterate) fn is_supported(&self) -> bool {
        self.has_known_algorithm() && self.digest_algorithm().is_some()
    }

    /// The one that names this key of `zone` by a SHA-256 digest.
    pub(in crate::iterate) fn of(zone: &WireName, key: &Key) -> Self {
        Self {
            tag: key.tag,
            algorithm: key.algorithm,
            digest_type: DIGEST_SHA256,
            digest: digest_of(&digest::SHA256, zone, key).as_ref().into(),
        }
    }

    /// Tag and algorithm of the key that it names.
    pub(in crate::iterate) fn tag_and_algorithm(&self) -> (u16, u8) {
        (self.tag, self.algorithm)
    }

    /// RDATA.
    pub(in crate::iterate) fn to_rdata(&self) -> Vec<u8> {
        let mut rdata = self.tag.to_be_bytes().to_vec();
        rdata.extend([self.algorithm, self.digest_type]);
        rdata.extend_from_slice(&self.digest);
        rdata
    }

    /// Whether it names this key of `zone`.
    pub(in crate::iterate) fn names(&self, zone: &WireName, key: &Key) -> bool {
        let algorithm = self.digest_algorithm().filter(|_| self.is_about(key));
        algorithm.is_some_and(|algorithm| digest_of(algorithm, zone, key).as_ref() == &*self.digest)
    }

    /// Whether it may name this key, by all but the digest.
    fn is_about(&self, key: &Key) -> bool {
        (self.tag, self.algorithm) == (key.tag, key.algorithm) && key.is_zone_key()
    }

    /// SHA-1 counts only where nothing stronger does, see [`strongest`].
    fn digest_algorithm(&self) -> Option<&'static digest::Algorithm> {
        match self.digest_type {
            1 => Some(&digest::SHA1_FOR_LEGACY_USE_ONLY),
            2 => Some(&digest::SHA256),
            4 => Some(&digest::SHA384),
            _ => None,
        }
    }
}

impl Ds {
    /// Whether one of these names this key of `zone`; see [`strongest`].
    pub(in crate::iterate) fn name_one(named: &[Self], zone: &WireName, key: &Key) -> bool {
        DIGEST_TYPES.into_iter().any(|digest_type| {
            let mut about = strongest(named)
                .filter(|ds| ds.digest_type == digest_type && ds.is_about(key))
                .peekable();
            let algorithm = about.peek().and_then(|ds| ds.digest_algorithm());
            // One digest a type, not one a record: many DS of one tag would make much work.
            algorithm.is_some_and(|algorithm| {
                let digest = digest_of(algorithm, zone, key);
                about.any(|ds| digest.as_ref() == &*ds.digest)
            })
        })
    }
}

/// The digest of a key (RFC 4034 §5.1.4).
fn digest_of(algorithm: &'static digest::Algorithm, zone: &WireName, key: &Key) -> digest::Digest {
    let mut context = digest::Context::new(algorithm);
    context.update(zone.as_bytes());
    context.update(&key.rdata);
    context.finish()
}

/// The DS records that count: supported, and without SHA-1 digests if there are others
/// (RFC 4509 §3).
fn strongest(all: &[Ds]) -> impl Iterator<Item = &Ds> {
    let stronger = all
        .iter()
        .any(|ds| ds.is_supported() && ds.digest_type != 1);
    all.iter()
        .filter(move |ds| ds.is_supported() && !(stronger && ds.digest_type == 1))
}

/// Reads every record of a DNSKEY or DS RRset that can be read.
pub(in crate::iterate) fn parse_all<T>(set: &RrSet, parse: fn(&[u8]) -> Option<T>) -> Vec<T> {
    set.content.data.iter().filter_map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::rr::Name;

    /// RFC 4034 §5.4: a key, and the DS that names it.
    const EXAMPLE: &str = "dskey.example.com. 86400 IN DNSKEY 256 3 5 ( AQOeiiR0GOMYkDshWoSKz9Xz fwJr1AYtsmx3TGkJaNXVbfi/ 2pHm822aJ5iI9BMzNXxeYCmZ DRD99WYwYqUSdjMmmAphXdvx egXd/M5+X7OrzKBaMbCVdFLU Uh6DhweJBjEVv5f2wwjM9Xzc nOf+EPbtG9DMBmADjFDc2w/r ljwvFw== )\ndskey.example.com. 86400 IN DS 60485 5 1 2BB183AF5F22588179A53B0A98631FAD1A292118\n";

    fn example() -> (Key, Ds) {
        let mut loader = |_: &str, _: &str| Err(String::new());
        let records = crate::zone::read_zone_file(EXAMPLE.as_bytes(), "f", &[0], &mut loader);
        let records = records.unwrap();
        let rdata: Vec<&[u8]> = records.iter().map(|record| record.data).collect();
        (Key::parse(rdata[0]).unwrap(), Ds::parse(rdata[1]).unwrap())
    }

    fn key() -> Key {
        example().0
    }

    #[test]
    fn ds_of_rfc_4034_names_its_key_and_no_other() {
        let zone = WireName::from_name(&Name::from_ascii("dskey.example.com.").unwrap());
        let (key, ds) = example();
        assert_eq!(key.tag, 60485);
        let all = [ds];
        assert!(Ds::name_one(&all, &zone, &key));
        let other = WireName::from_name(&Name::from_ascii("example.com.").unwrap());
        assert!(!Ds::name_one(&all, &other, &key));
        let no_zone_key = Key { flags: 0, ..key };
        assert!(!Ds::name_one(&all, &zone, &no_zone_key));
    }

    #[test]
    fn sha_1_digest_counts_only_where_it_stands_alone() {
        let ds = |digest_type| Ds {
            tag: 1,
            algorithm: 13,
            digest_type,
            digest: Box::default(),
        };
        let counted = |types: &[u8]| -> Vec<u8> {
            let all: Vec<Ds> = types.iter().copied().map(ds).collect();
            strongest(&all).map(|ds| ds.digest_type).collect()
        };
        assert_eq!(counted(&[1]), [1]);
        assert_eq!(counted(&[1, 2]), [2]);
        assert_eq!(counted(&[1, 4, 99]), [4]);
        assert_eq!(counted(&[1, 99]), [1], "an unknown digest is not stronger");
        assert!(counted(&[3, 99]).is_empty());
    }

    #[test]
    fn revoked_keys_sign_nothing() {
        let key = key();
        assert!(key.is_zone_key());
        assert!(
            !Key {
                flags: 0x0180,
                ..key.clone()
            }
            .is_zone_key()
        );
        assert!(!Key { protocol: 2, ..key }.is_zone_key());
    }

    #[test]
    fn data_cut_at_every_byte_are_refused_or_read() {
        for length in 0..4 {
            assert_eq!(Key::parse(&[1, 0, 3, 5][..length]), None);
            assert_eq!(Ds::parse(&[1, 0, 3, 5][..length]), None);
        }
    }
}
