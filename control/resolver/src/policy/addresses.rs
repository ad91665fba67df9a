//! The addresses that records lead clients to, and how records are taken out of an answer.

use std::net::IpAddr;

use hickory_proto::rr::rdata::HTTPS;
use hickory_proto::rr::rdata::svcb::{SVCB, SvcParamValue};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::names::suffixes;

/// Keys of the parameters that hold addresses (RFC 9460 §14.3.2).
const IPV4HINT: u16 = 4;
const IPV6HINT: u16 = 6;

/// All addresses of a record: that of A and AAAA, and the hints of SVCB and HTTPS, to which clients may
/// connect without another question (RFC 9460 §7.3).
pub(super) fn addresses(record: &Record) -> impl Iterator<Item = IpAddr> {
    let (one, hints) = match &record.data {
        RData::A(address) => (Some(IpAddr::V4(address.0)), Vec::new()),
        RData::AAAA(address) => (Some(IpAddr::V6(address.0)), Vec::new()),
        RData::SVCB(service) | RData::HTTPS(HTTPS(service)) => (None, hints(service)),
        // Out of order, for one. Not every client is so strict.
        RData::Unknown {
            code: RecordType::SVCB | RecordType::HTTPS,
            rdata,
        } => (None, opaque_hints(&rdata.anything)),
        _ => (None, Vec::new()),
    };
    one.into_iter().chain(hints)
}

fn hints(service: &SVCB) -> Vec<IpAddr> {
    let values = service.svc_params.iter().map(|(_, value)| value);
    let mut found = Vec::new();
    for value in values {
        match value {
            SvcParamValue::Ipv4Hint(hints) => {
                found.extend(hints.0.iter().map(|address| IpAddr::V4(address.0)));
            }
            SvcParamValue::Ipv6Hint(hints) => {
                found.extend(hints.0.iter().map(|address| IpAddr::V6(address.0)));
            }
            _ => {}
        }
    }
    found
}

/// The hints in RDATA of SVCB or HTTPS (RFC 9460 §2.2), as far as it can be read.
fn opaque_hints(rdata: &[u8]) -> Vec<IpAddr> {
    let target = rdata.get(2..).unwrap_or_default(); // After the priority.
    let end = suffixes(target).last().unwrap_or_default();
    let mut rest = match end {
        [0, parameters @ ..] => parameters,
        _ => &[],
    };
    let mut found = Vec::new();
    while let Some(([key @ .., high, low], after)) = rest.split_first_chunk::<4>() {
        let bytes = usize::from(u16::from_be_bytes([*high, *low]));
        let Some((value, after)) = after.split_at_checked(bytes) else {
            break;
        };
        match u16::from_be_bytes(*key) {
            IPV4HINT => found.extend(all::<4>(value)),
            IPV6HINT => found.extend(all::<16>(value)),
            _ => {}
        }
        rest = after;
    }
    found
}

/// The addresses of `N` bytes each that lie behind each other.
fn all<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = IpAddr>
where
    IpAddr: From<[u8; N]>,
{
    let (addresses, _) = bytes.as_chunks::<N>();
    addresses.iter().copied().map(IpAddr::from)
}

/// Takes records out, and the signatures over their RRsets, which fit what is left no more. True if
/// there were any.
pub(super) fn take_out(section: &mut Vec<Record>, is_unwanted: impl Fn(&Record) -> bool) -> bool {
    let gone: Vec<(Name, RecordType)> = section
        .iter()
        .filter(|record| is_unwanted(record))
        .map(|record| (record.name.clone(), record.record_type()))
        .collect();
    if gone.is_empty() {
        return false;
    }
    section.retain(|record| {
        let over = |(owner, rtype): &(Name, RecordType)| {
            covered(record) == Some(*rtype) && *owner == record.name
        };
        !is_unwanted(record) && !gone.iter().any(over)
    });
    true
}

/// The type that a signature is over.
fn covered(record: &Record) -> Option<RecordType> {
    let RData::Unknown {
        code: RecordType::RRSIG,
        rdata,
    } = &record.data
    else {
        return None;
    };
    let rtype = rdata.anything.first_chunk::<2>()?;
    Some(RecordType::from(u16::from_be_bytes(*rtype)))
}

#[cfg(test)]
mod tests {
    use super::super::names::record;
    use super::*;

    const PARAMETERS: &[u8] = b"\0\x01\0\0\0\x04\0\x08\x0a\0\0\x01\xc0\0\x02\x01\
        \0\x06\0\x10\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01";

    fn found(rtype: u16, rdata: &[u8]) -> Vec<String> {
        let record = record(Name::root(), rtype, 60, rdata);
        addresses(&record)
            .map(|address| address.to_string())
            .collect()
    }

    #[test]
    fn hints_are_addresses_whether_or_not_the_record_is_well_formed() {
        let expected = ["10.0.0.1", "192.0.2.1", "fd00::1"];
        let ordered = [
            b"\0\x01\x03www\0".as_slice(),
            &PARAMETERS[..0],
            &PARAMETERS[4..],
        ]
        .concat();
        let doubled = [b"\0\x01\x03www\0\0\x07\0\x01x".as_slice(), &PARAMETERS[4..]].concat();
        for (rdata, is_read) in [(ordered, true), (doubled, false)] {
            for rtype in [RecordType::SVCB, RecordType::HTTPS] {
                let record = record(Name::root(), rtype.into(), 60, &rdata);
                assert_eq!(!matches!(record.data, RData::Unknown { .. }), is_read);
                assert_eq!(found(rtype.into(), &rdata), expected, "{rtype}");
            }
        }
        assert_eq!(found(1, &[192, 0, 2, 7]), ["192.0.2.7"]);
        assert!(found(16, b"\x01x").is_empty());
        // Cut short: what is whole counts.
        let cut = [b"\0\x01\0\0\x07\0\x01x".as_slice(), &PARAMETERS[4..30]].concat();
        assert_eq!(found(65, &cut), expected[..2]);
    }

    #[test]
    fn signatures_leave_with_the_records_that_they_cover_and_others_stay() {
        let signature = |rtype: u8| record(Name::root(), 46, 60, &[0, rtype, 13, 0]);
        let mut section = vec![
            record(Name::root(), 1, 60, &[192, 0, 2, 1]),
            record(Name::root(), 1, 60, &[192, 0, 2, 2]),
            record(Name::root(), 16, 60, b"\x01x"),
            signature(1),
            signature(16),
        ];
        let is_unwanted = |record: &Record| {
            found(1, &[192, 0, 2, 1])
                == addresses(record)
                    .map(|address| address.to_string())
                    .collect::<Vec<_>>()
        };
        assert!(take_out(&mut section, is_unwanted));
        assert_eq!(section.len(), 3);
        assert_eq!(covered(&section[2]), Some(RecordType::TXT));
        assert!(!take_out(&mut section, is_unwanted));
    }

    #[test]
    fn any_rdata_has_hints_or_none() {
        bolero::check!()
            .with_iterations(10_000)
            .for_each(|rdata: &[u8]| {
                let count = opaque_hints(rdata).len();
                assert!(count * 4 <= rdata.len());
            });
    }
}
