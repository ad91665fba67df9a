//! Trust anchors: the keys of the root zone as IANA publishes them, or those of a zone file.

use hickory_proto::rr::Name;
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

use super::config::TrustAnchor;
use super::dnssec::{Ds, Key};
use super::name::WireName;
use crate::zone::{ZoneError, read_zone_file};

const DS: u16 = 43;
const DNSKEY: u16 = 48;

/// Key tag and SHA-256 digest of KSK-2017 and KSK-2024, both RSA/SHA-256
/// (<https://www.iana.org/dnssec/files>).
const ROOT: [(u16, [u8; 32]); 2] = [
    (
        20326,
        [
            0xe0, 0x6d, 0x44, 0xb8, 0x0b, 0x8f, 0x1d, 0x39, 0xa9, 0x5c, 0x0b, 0x0d, 0x7c, 0x65,
            0xd0, 0x84, 0x58, 0xe8, 0x80, 0x40, 0x9b, 0xbc, 0x68, 0x34, 0x57, 0x10, 0x42, 0x37,
            0xc7, 0xf8, 0xec, 0x8d,
        ],
    ),
    (
        38696,
        [
            0x68, 0x3d, 0x2d, 0x0a, 0xcb, 0x8c, 0x9b, 0x71, 0x2a, 0x19, 0x48, 0xb2, 0x7f, 0x74,
            0x12, 0x19, 0x29, 0x8d, 0x0a, 0x45, 0x0d, 0x61, 0x2c, 0x48, 0x3a, 0xf4, 0x44, 0xa4,
            0xc0, 0xfb, 0x2b, 0x16,
        ],
    ),
];
const RSA_SHA256: u8 = 8;
const DIGEST_SHA256: u8 = 2;

/// Reads DS and DNSKEY records out of the text of a zone file; what else is there does not count.
/// `name` is the file's, for errors.
///
/// # Errors
/// That of the first line that is no record. A file without anchors gives none.
pub fn read_anchors(text: &[u8], name: &str) -> Result<Vec<TrustAnchor>, ZoneError> {
    let mut no_include = |_: &str, path: &str| Err(format!("{path} is not read from here"));
    // Files of anchors have no TTLs. The line that gives one is not the file's.
    let text = [b"$TTL 0\n", text].concat();
    let records = read_zone_file(&text, name, &[0], &mut no_include).map_err(|mut error| {
        error.place.line = error.place.line.saturating_sub(1);
        error
    })?;
    let anchor = |record: crate::zone::Record<'_>| {
        let ds = match record.rtype {
            DS => record.data.to_vec(),
            DNSKEY => digest_of(record.owner, record.data)?,
            _ => return None,
        };
        let zone = Name::read(&mut BinDecoder::new(record.owner)).ok()?;
        Some(TrustAnchor { zone, ds })
    };
    Ok(records.iter().filter_map(anchor).collect())
}

/// The DS that names a DNSKEY (RFC 4034 §5.1.4).
fn digest_of(owner: &[u8], rdata: &[u8]) -> Option<Vec<u8>> {
    let (owner, key) = (WireName::parse(owner)?, Key::parse(rdata)?);
    Some(Ds::of(&owner, &key).to_rdata())
}

/// Trust anchors of the root zone.
#[must_use]
pub fn root_anchors() -> Vec<TrustAnchor> {
    let anchor = |(tag, digest): &(u16, [u8; 32])| {
        let mut ds = tag.to_be_bytes().to_vec();
        ds.extend([RSA_SHA256, DIGEST_SHA256]);
        ds.extend(digest);
        TrustAnchor {
            zone: Name::root(),
            ds,
        }
    };
    ROOT.iter().map(anchor).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_and_its_ds_are_the_same_anchor() {
        // RFC 4034 §5.4, with the digest that RFC 4509 §2.3 gives.
        let key = "dskey.example.com. 86400 IN DNSKEY 256 3 5 ( AQOeiiR0GOMYkDshWoSKz9Xz fwJr1AYtsmx3TGkJaNXVbfi/ 2pHm822aJ5iI9BMzNXxeYCmZ DRD99WYwYqUSdjMmmAphXdvx egXd/M5+X7OrzKBaMbCVdFLU Uh6DhweJBjEVv5f2wwjM9Xzc nOf+EPbtG9DMBmADjFDc2w/r ljwvFw== )\n";
        let ds = "dskey.example.com. 86400 IN DS 60485 5 2 ( D4B7D520E7BB5F0F67674A0C CEB1E3E0614B93C4F9E99B83 83F6A1E4469DA50A )\n";
        let by_key = read_anchors(key.as_bytes(), "f").unwrap();
        assert_eq!(by_key, read_anchors(ds.as_bytes(), "f").unwrap());
        assert_eq!(by_key.len(), 1);
    }

    #[test]
    fn a_line_that_is_no_record_is_an_error_and_other_records_are_passed_over() {
        let error = read_anchors(b"; comment\n. IN DS 1 2\n", "f").unwrap_err();
        assert_eq!(error.place.line, 2);
        let none = read_anchors(b". 60 IN NS a.root.\n", "f").unwrap();
        assert_eq!(none, []);
    }
}
