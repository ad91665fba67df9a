//! Names and data out of a message, without compression (RFC 1035 §4.1.4, RFC 3597 §4).

use std::ops::Range;

use wire::HEADER_BYTES;

use super::name::{LABELS_MAX, NameBuffer};
use super::types::{Field, fields_of};

/// A name or its data is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Expansion {
    pub(super) offset: usize,
}

/// The name at `offset`, as written, and where what follows it begins. Pointers must lead backwards, and to no header.
pub(super) fn expand_name(message: &[u8], offset: usize) -> Result<(NameBuffer, usize), Expansion> {
    let fault = Expansion { offset };
    let mut name = NameBuffer::new();
    // Where a pointer must lead before, and where the name ends in its own place.
    let (mut at, mut bound, mut end) = (offset, offset, None);
    // Each turn takes a label or follows a pointer, of which each leads further back: with labels in between.
    for _ in 0..2 * (LABELS_MAX + 1) {
        let length = *message.get(at).ok_or(fault)?;
        match length {
            0 => {
                let fits = name.extend(&[0]);
                return fits.then(|| (name, end.unwrap_or(at + 1))).ok_or(fault);
            }
            1..=63 => {
                let next = at + 1 + usize::from(length);
                let label = message.get(at..next).ok_or(fault)?;
                if !name.extend(label) {
                    return Err(fault);
                }
                at = next;
            }
            0xc0.. => {
                let low = *message.get(at + 1).ok_or(fault)?;
                let target = usize::from(u16::from_be_bytes([length & 0x3f, low]));
                if target >= bound || target < HEADER_BYTES {
                    return Err(fault);
                }
                end = end.or(Some(at + 2));
                (at, bound) = (target, target);
            }
            _ => return Err(fault),
        }
    }
    Err(fault)
}

/// Appends the data of a record with its names written out. Only types that RFC 3597 §4 lists may have pointers, but a name
/// has one form without them, so that all known types go through here. The rest is checked with the record.
pub(super) fn expand_rdata(
    rtype: u16,
    message: &[u8],
    span: Range<usize>,
    out: &mut Vec<u8>,
) -> Result<(), Expansion> {
    let end = span.end;
    let mut at = span.start;
    for field in fields_of(rtype).unwrap_or(&[]) {
        let bytes = match field {
            Field::U8 | Field::Algorithm => 1,
            Field::U16 | Field::Type | Field::CertificateType => 2,
            Field::U32 | Field::Seconds | Field::Time | Field::Ipv4 => 4,
            Field::Ipv6 => 16,
            Field::CharString => 1 + message.get(at).map_or(0, |&length| usize::from(length)),
            Field::Name(_) => {
                let (name, next) = expand_name(message, at)?;
                out.extend_from_slice(name.as_bytes());
                at = next;
                continue;
            }
            _ => break,
        };
        // Data that is too short is left to the check of its form.
        let next = (at + bytes).min(end);
        out.extend_from_slice(message.get(at..next).unwrap_or_default());
        at = next;
    }
    // A name that runs over the end of its record.
    if at > end {
        return Err(Expansion { offset: at });
    }
    out.extend_from_slice(message.get(at..end).unwrap_or_default());
    Ok(())
}
