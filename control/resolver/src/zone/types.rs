//! The types of records: number, name, and the fields that their data is made of.
//!
//! One table drives reading from text, checking wire form and showing as text; a new type is a new line here.

use Field::{
    Algorithm, Base32Counted, Base64, Base64OrNone, CertificateType, CharString, CharStrings,
    Eui48, Eui64, Gateway, Hex, HexCounted, Identity, Ipv4, Ipv6, Location, Locator, Name,
    NameList, Octets, Parameters, Prefixes, Relay, Seconds, Tag, Time, Type, Types, U8, U16, U32,
};
use Names::{Compressed, Kept, Lowered};

/// One field of a record's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    U8,
    U16,
    U32,
    /// A u32 that may be written with units: `1h30m`.
    Seconds,
    Ipv4,
    Ipv6,
    Name(Names),
    /// Names up to the end, kept as written.
    NameList,
    /// A string of at most 255 bytes with its length in front (RFC 1035 §3.3).
    CharString,
    /// One or more of them up to the end.
    CharStrings,
    /// One string up to the end without length: CAA value, URI target.
    Octets,
    /// Letters and digits with a length in front (RFC 8659 §4.1).
    Tag,
    /// Hexadecimal up to the end, in one or more words.
    Hex,
    /// Hexadecimal in one word, `-` for none, length in front (NSEC3 salt).
    HexCounted,
    /// Base32 with the extended hex alphabet in one word, length in front (NSEC3 next hash).
    Base32Counted,
    /// Base64 up to the end, in one or more words.
    Base64,
    /// The same, or nothing.
    Base64OrNone,
    /// The type that a signature covers.
    Type,
    /// A bitmap of types up to the end (RFC 4034 §4.1.2).
    Types,
    /// A DNSSEC algorithm, number or mnemonic.
    Algorithm,
    /// A CERT type, number or mnemonic (RFC 4398 §2.1).
    CertificateType,
    /// Seconds since 1970, or `YYYYMMDDHHmmSS` (RFC 4034 §3.2).
    Time,
    Eui48,
    Eui64,
    /// 64 bits as four groups of hexadecimal (RFC 6742).
    Locator,
    /// The whole data of LOC (RFC 1876).
    Location,
    /// Type, algorithm and gateway of IPSECKEY (RFC 4025 §2).
    Gateway,
    /// Discovery bit, type and relay of AMTRELAY (RFC 8777 §4).
    Relay,
    /// Address prefixes up to the end (RFC 3123).
    Prefixes,
    /// A host identity (RFC 8005).
    Identity,
    /// `key=value` pairs up to the end (RFC 9460).
    Parameters,
}

/// What happens to a name inside record data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    /// Lower-cased as RFC 4034 §6.2 says, and compressed in messages: the types of RFC 1035 (RFC 3597 §4), but for the obsolete
    /// ones, which readers today need not know.
    Compressed,
    /// Lower-cased, never compressed.
    Lowered,
    /// Kept as written, never compressed.
    Kept,
}

/// One type with the fields of its data. Without fields the type has only the generic text form.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) rtype: u16,
    pub(super) mnemonic: &'static str,
    pub(super) fields: &'static [Field],
}

/// Numbers of the types that are treated on their own.
pub(super) mod rtype {
    pub(in super::super) const A: u16 = 1;
    pub(in super::super) const NS: u16 = 2;
    pub(in super::super) const CNAME: u16 = 5;
    pub(in super::super) const SOA: u16 = 6;
    pub(in super::super) const MX: u16 = 15;
    pub(in super::super) const AAAA: u16 = 28;
    pub(in super::super) const NXT: u16 = 30;
    pub(in super::super) const SRV: u16 = 33;
    pub(in super::super) const SIG: u16 = 24;
    pub(in super::super) const KEY: u16 = 25;
    pub(in super::super) const WKS: u16 = 11;
    pub(in super::super) const DNAME: u16 = 39;
    pub(in super::super) const OPT: u16 = 41;
    pub(in super::super) const DS: u16 = 43;
    pub(in super::super) const RRSIG: u16 = 46;
    pub(in super::super) const NSEC: u16 = 47;
    pub(in super::super) const DNSKEY: u16 = 48;
    pub(in super::super) const NSEC3: u16 = 50;
    pub(in super::super) const NSEC3PARAM: u16 = 51;
    pub(in super::super) const SVCB: u16 = 64;
    pub(in super::super) const HTTPS: u16 = 65;
    pub(in super::super) const NXNAME: u16 = 128;
    pub(in super::super) const TKEY: u16 = 249;
    pub(in super::super) const TSIG: u16 = 250;
    pub(in super::super) const IXFR: u16 = 251;
    pub(in super::super) const AXFR: u16 = 252;
    pub(in super::super) const MAILB: u16 = 253;
    pub(in super::super) const MAILA: u16 = 254;
    pub(in super::super) const ANY: u16 = 255;
}

/// Class IN, the only one that is served.
pub(super) const CLASS_IN: u16 = 1;

const fn layout(rtype: u16, mnemonic: &'static str, fields: &'static [Field]) -> Layout {
    Layout {
        rtype,
        mnemonic,
        fields,
    }
}

/// Ordered by number; a test holds that.
static LAYOUTS: &[Layout] = &[
    layout(1, "A", &[Ipv4]),
    layout(2, "NS", &[Name(Compressed)]),
    layout(3, "MD", &[Name(Lowered)]),
    layout(4, "MF", &[Name(Lowered)]),
    layout(5, "CNAME", &[Name(Compressed)]),
    layout(
        6,
        "SOA",
        &[
            Name(Compressed),
            Name(Compressed),
            U32,
            Seconds,
            Seconds,
            Seconds,
            Seconds,
        ],
    ),
    layout(7, "MB", &[Name(Lowered)]),
    layout(8, "MG", &[Name(Lowered)]),
    layout(9, "MR", &[Name(Lowered)]),
    layout(10, "NULL", &[]),
    layout(11, "WKS", &[]),
    layout(12, "PTR", &[Name(Compressed)]),
    layout(13, "HINFO", &[CharString, CharString]),
    layout(14, "MINFO", &[Name(Lowered), Name(Lowered)]),
    layout(15, "MX", &[U16, Name(Compressed)]),
    layout(16, "TXT", &[CharStrings]),
    layout(17, "RP", &[Name(Lowered), Name(Lowered)]),
    layout(18, "AFSDB", &[U16, Name(Lowered)]),
    layout(19, "X25", &[CharString]),
    layout(20, "ISDN", &[CharStrings]),
    layout(21, "RT", &[U16, Name(Lowered)]),
    layout(22, "NSAP", &[]),
    layout(23, "NSAP-PTR", &[]),
    layout(
        24,
        "SIG",
        &[
            Type,
            Algorithm,
            U8,
            U32,
            Time,
            Time,
            U16,
            Name(Lowered),
            Base64,
        ],
    ),
    layout(25, "KEY", &[U16, U8, Algorithm, Base64]),
    layout(26, "PX", &[U16, Name(Lowered), Name(Lowered)]),
    layout(27, "GPOS", &[CharString, CharString, CharString]),
    layout(28, "AAAA", &[Ipv6]),
    layout(29, "LOC", &[Location]),
    layout(30, "NXT", &[]),
    layout(31, "EID", &[]),
    layout(32, "NIMLOC", &[]),
    layout(33, "SRV", &[U16, U16, U16, Name(Lowered)]),
    layout(34, "ATMA", &[]),
    layout(
        35,
        "NAPTR",
        &[U16, U16, CharString, CharString, CharString, Name(Lowered)],
    ),
    layout(36, "KX", &[U16, Name(Lowered)]),
    layout(37, "CERT", &[CertificateType, U16, Algorithm, Base64]),
    layout(38, "A6", &[]),
    layout(39, "DNAME", &[Name(Lowered)]),
    layout(40, "SINK", &[]),
    layout(42, "APL", &[Prefixes]),
    layout(43, "DS", &[U16, Algorithm, U8, Hex]),
    layout(44, "SSHFP", &[U8, U8, Hex]),
    layout(45, "IPSECKEY", &[U8, Gateway, Base64OrNone]),
    layout(
        46,
        "RRSIG",
        &[
            Type,
            Algorithm,
            U8,
            U32,
            Time,
            Time,
            U16,
            Name(Lowered),
            Base64,
        ],
    ),
    layout(47, "NSEC", &[Name(Kept), Types]),
    layout(48, "DNSKEY", &[U16, U8, Algorithm, Base64]),
    layout(49, "DHCID", &[Base64]),
    layout(
        50,
        "NSEC3",
        &[U8, U8, U16, HexCounted, Base32Counted, Types],
    ),
    layout(51, "NSEC3PARAM", &[U8, U8, U16, HexCounted]),
    layout(52, "TLSA", &[U8, U8, U8, Hex]),
    layout(53, "SMIMEA", &[U8, U8, U8, Hex]),
    layout(55, "HIP", &[Identity, NameList]),
    layout(56, "NINFO", &[]),
    layout(57, "RKEY", &[]),
    layout(58, "TALINK", &[]),
    layout(59, "CDS", &[U16, Algorithm, U8, Hex]),
    layout(60, "CDNSKEY", &[U16, U8, Algorithm, Base64]),
    layout(61, "OPENPGPKEY", &[Base64]),
    layout(62, "CSYNC", &[U32, U16, Types]),
    layout(63, "ZONEMD", &[U32, U8, U8, Hex]),
    layout(64, "SVCB", &[U16, Name(Kept), Parameters]),
    layout(65, "HTTPS", &[U16, Name(Kept), Parameters]),
    layout(66, "DSYNC", &[]),
    layout(99, "SPF", &[CharStrings]),
    layout(100, "UINFO", &[]),
    layout(101, "UID", &[]),
    layout(102, "GID", &[]),
    layout(103, "UNSPEC", &[]),
    layout(104, "NID", &[U16, Locator]),
    layout(105, "L32", &[U16, Ipv4]),
    layout(106, "L64", &[U16, Locator]),
    layout(107, "LP", &[U16, Name(Kept)]),
    layout(108, "EUI48", &[Eui48]),
    layout(109, "EUI64", &[Eui64]),
    layout(256, "URI", &[U16, U16, Octets]),
    layout(257, "CAA", &[U8, Tag, Octets]),
    layout(258, "AVC", &[CharStrings]),
    layout(259, "DOA", &[]),
    layout(260, "AMTRELAY", &[U8, Relay]),
    layout(261, "RESINFO", &[CharStrings]),
    layout(262, "WALLET", &[CharStrings]),
    layout(32768, "TA", &[U16, Algorithm, U8, Hex]),
    layout(32769, "DLV", &[U16, Algorithm, U8, Hex]),
];

/// Names of types that stand in queries, messages and bitmaps alone (RFC 6895 §3.1).
static META: &[(u16, &str)] = &[
    (rtype::NXNAME, "NXNAME"),
    (rtype::OPT, "OPT"),
    (rtype::TKEY, "TKEY"),
    (rtype::TSIG, "TSIG"),
    (rtype::IXFR, "IXFR"),
    (rtype::AXFR, "AXFR"),
    (rtype::MAILB, "MAILB"),
    (rtype::MAILA, "MAILA"),
    (rtype::ANY, "ANY"),
];

/// The fields of a type's data; `None` when the type is not in the table or has only the generic form.
pub(super) fn fields_of(rtype: u16) -> Option<&'static [Field]> {
    let index = LAYOUTS
        .binary_search_by_key(&rtype, |layout| layout.rtype)
        .ok()?;
    LAYOUTS
        .get(index)
        .map(|layout| layout.fields)
        .filter(|fields| !fields.is_empty())
}

/// Number of a type from its name or from `TYPE` and a number (RFC 3597 §5), in any case.
pub fn type_from_text(text: &str) -> Option<u16> {
    let layout = LAYOUTS
        .iter()
        .find(|layout| layout.mnemonic.eq_ignore_ascii_case(text));
    let meta = META
        .iter()
        .find(|(_, mnemonic)| mnemonic.eq_ignore_ascii_case(text));
    layout
        .map(|layout| layout.rtype)
        .or(meta.map(|&(rtype, _)| rtype))
        .or_else(|| number_after(text, "TYPE"))
}

/// Name of a type, or `TYPE` and its number.
pub fn type_to_text(rtype: u16) -> String {
    let layout = LAYOUTS
        .binary_search_by_key(&rtype, |layout| layout.rtype)
        .ok()
        .and_then(|index| LAYOUTS.get(index));
    let meta = META.iter().find(|&&(number, _)| number == rtype);
    match (layout, meta) {
        (Some(layout), _) => layout.mnemonic.to_owned(),
        (None, Some((_, mnemonic))) => (*mnemonic).to_owned(),
        (None, None) => format!("TYPE{rtype}"),
    }
}

/// Number of a class from its name or from `CLASS` and a number, in any case.
pub(super) fn class_from_text(text: &str) -> Option<u16> {
    [("IN", CLASS_IN), ("CS", 2), ("CH", 3), ("HS", 4)]
        .iter()
        .find(|(mnemonic, _)| mnemonic.eq_ignore_ascii_case(text))
        .map(|&(_, class)| class)
        .or_else(|| number_after(text, "CLASS"))
}

/// Whether a type may not stand in a zone: 0, OPT, and the block of meta types and query types (RFC 6895 §3.1).
pub(super) fn is_meta(rtype: u16) -> bool {
    matches!(rtype, 0 | rtype::OPT | 128..=255)
}

fn number_after(text: &str, prefix: &str) -> Option<u16> {
    let (head, digits) = text.split_at_checked(prefix.len())?;
    let well_formed =
        head.eq_ignore_ascii_case(prefix) && digits.bytes().all(|byte| byte.is_ascii_digit());
    well_formed.then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_ordered_by_number_so_that_it_can_be_searched() {
        assert!(LAYOUTS.is_sorted_by(|left, right| left.rtype < right.rtype));
    }

    #[test]
    fn every_type_is_found_by_its_name_and_by_its_number() {
        for layout in LAYOUTS {
            assert_eq!(type_from_text(layout.mnemonic), Some(layout.rtype));
            assert_eq!(
                type_from_text(&layout.mnemonic.to_lowercase()),
                Some(layout.rtype)
            );
            assert_eq!(
                type_from_text(&format!("type{}", layout.rtype)),
                Some(layout.rtype)
            );
            assert_eq!(type_to_text(layout.rtype), layout.mnemonic);
        }
        assert_eq!(type_to_text(4711), "TYPE4711");
        assert_eq!(type_from_text("any"), Some(255));
    }

    #[test]
    fn number_that_does_not_fit_or_has_a_sign_is_no_type() {
        for text in [
            "TYPE65536",
            "TYPE",
            "TYPE+1",
            "TYPE-1",
            "TYPE1x",
            "A1",
            "",
            "TYP",
        ] {
            assert_eq!(type_from_text(text), None, "{text}");
        }
    }

    #[test]
    fn fields_that_run_to_the_end_stand_last() {
        for layout in LAYOUTS {
            for field in layout.fields.iter().rev().skip(1) {
                let open = matches!(
                    field,
                    CharStrings
                        | NameList
                        | Octets
                        | Hex
                        | Base64
                        | Base64OrNone
                        | Types
                        | Location
                        | Prefixes
                        | Parameters
                );
                assert!(!open, "{}", layout.mnemonic);
            }
        }
    }
}
