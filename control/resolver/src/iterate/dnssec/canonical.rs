//! Canonical order and form of names and data (RFC 4034 §6, RFC 6840 §5.1).

use std::cmp::Ordering;

use hickory_proto::rr::RecordType;

use super::super::response::Shape;

/// Compares lower-case wire names label by label from the root (RFC 4034 §6.1).
pub(super) fn compare_names(left: &[u8], right: &[u8]) -> Ordering {
    let (left, right) = (labels(left), labels(right));
    left.iter().rev().cmp(right.iter().rev())
}

/// Bytes that stand among those of other lower-case wire names as [`compare_names`] orders the names:
/// labels from the root, each ended by a byte that is less than any in a label.
pub(in crate::iterate) fn canonical_key(name: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(name.len());
    for label in labels(name).into_iter().rev() {
        for &byte in label {
            match byte {
                0 | 1 => key.extend([1, byte + 1]),
                _ => key.push(byte),
            }
        }
        key.push(0);
    }
    key
}

fn labels(mut name: &[u8]) -> Vec<&[u8]> {
    let mut labels = Vec::new();
    while let Some((&length, rest)) = name.split_first()
        && length > 0
        && let Some((label, tail)) = rest.split_at_checked(usize::from(length))
    {
        labels.push(label);
        name = tail;
    }
    labels
}

/// The RDATA with names in lower case where RFC 4034 §6.2 item 3 says so; uncompressed already.
/// RDATA that does not have the shape of its type stays as it is: nothing signed it so.
pub(super) fn lower_names(rtype: RecordType, rdata: &[u8]) -> Vec<u8> {
    let mut canonical = rdata.to_vec();
    let (bytes_before, strings, names) = match (u16::from(rtype), Shape::of(rtype)) {
        (24 | 46, _) => (18, 0, 1), // SIG, RRSIG.
        (_, Some(shape)) => (shape.bytes_before, shape.strings, shape.names),
        (_, None) => return canonical,
    };
    let mut at = bytes_before;
    for _ in 0..strings {
        let Some(&length) = canonical.get(at) else {
            return rdata.to_vec();
        };
        at += 1 + usize::from(length);
    }
    for _ in 0..names {
        while let Some(&length) = canonical.get(at) {
            let end = at + 1 + usize::from(length);
            let Some(label) = canonical.get_mut(at + 1..end) else {
                return rdata.to_vec();
            };
            label.make_ascii_lowercase();
            at = end;
            if length == 0 {
                break;
            }
        }
    }
    canonical
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iterate::name::WireName;

    #[test]
    fn names_stand_in_the_order_of_rfc_4034() {
        let ordered: [&[u8]; 9] = [
            b"\x07example\0",
            b"\x01a\x07example\0",
            b"\x08yljkjljk\x01a\x07example\0",
            b"\x01Z\x01a\x07example\0",
            b"\x04zABC\x01a\x07EXAMPLE\0",
            b"\x01z\x07example\0",
            b"\x01\x01\x01z\x07example\0",
            b"\x01*\x01z\x07example\0",
            b"\x01\xc8\x01z\x07example\0",
        ];
        let wire = ordered.map(|name| WireName::parse(name).unwrap());
        for (index, left) in wire.iter().enumerate() {
            for (other, right) in wire.iter().enumerate() {
                assert_eq!(
                    compare_names(left.as_bytes(), right.as_bytes()),
                    index.cmp(&other),
                    "{left} {right}"
                );
                let keys = (
                    canonical_key(left.as_bytes()),
                    canonical_key(right.as_bytes()),
                );
                assert_eq!(keys.0.cmp(&keys.1), index.cmp(&other), "{left} {right}");
            }
        }
    }

    #[test]
    fn keys_order_names_as_their_comparison_does() {
        bolero::check!()
            .with_type::<(Vec<Vec<u8>>, Vec<Vec<u8>>)>()
            .for_each(|(left, right)| {
                let wire = |labels: &[Vec<u8>]| {
                    let mut wire = Vec::new();
                    for label in labels.iter().take(4).filter(|label| !label.is_empty()) {
                        let label = label.get(..6).unwrap_or(label);
                        wire.push(u8::try_from(label.len()).unwrap());
                        wire.extend_from_slice(label);
                    }
                    wire.push(0);
                    WireName::parse(&wire).unwrap()
                };
                let (left, right) = (wire(left), wire(right));
                assert_eq!(
                    canonical_key(left.as_bytes()).cmp(&canonical_key(right.as_bytes())),
                    compare_names(left.as_bytes(), right.as_bytes()),
                );
            });
    }

    #[test]
    fn names_in_data_become_lower_case_and_other_bytes_stay() {
        let mx = b"\x41\x42\x04MaIl\x07Example\0";
        assert_eq!(
            lower_names(RecordType::MX, mx),
            b"\x41\x42\x04mail\x07example\0"
        );
        let naptr = b"\0\x01\0\x02\x01U\x07E2U+SIP\x03!A!\x01X\0";
        assert_eq!(
            lower_names(RecordType::NAPTR, naptr),
            b"\0\x01\0\x02\x01U\x07E2U+SIP\x03!A!\x01x\0"
        );
        // RFC 6840 §5.1: not the next name of NSEC.
        assert_eq!(
            lower_names(RecordType::NSEC, b"\x01A\0\0\x01\x40"),
            b"\x01A\0\0\x01\x40"
        );
        assert_eq!(lower_names(RecordType::TXT, b"\x01A"), b"\x01A");
    }

    #[test]
    fn data_that_ends_inside_a_name_stays_as_it_is() {
        assert_eq!(lower_names(RecordType::NS, b"\x05Ab"), b"\x05Ab");
        assert_eq!(lower_names(RecordType::NAPTR, b"\0\0\0\0"), b"\0\0\0\0");
    }
}
