//! The keys of the root zone, as IANA publishes them.

use hickory_proto::rr::Name;

use super::config::TrustAnchor;

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
