//! Byte forms that several parts of the state share. Maps are written by key and read only so, so that a state has one form.

use std::collections::BTreeMap;
use std::sync::Arc;

use consensus::{DecodeError, Reader, Wire, Writer};
use resolver::zone::NameBuffer;

/// A number that stands for nothing.
pub(crate) fn unknown<T>(
    what: &'static str,
    value: impl Into<u64>,
    offset: usize,
) -> Result<T, DecodeError> {
    let value = value.into();
    Err(DecodeError::Unknown {
        what,
        value,
        offset,
    })
}

/// A count, then key and value of each entry, ascending.
pub(crate) fn write_map<K: Wire, V: Wire>(map: &BTreeMap<K, V>, out: &mut Writer) {
    // Every map of the state has a bound far below.
    out.u32(u32::try_from(map.len()).unwrap_or(u32::MAX));
    for (key, value) in map {
        key.write(out);
        value.write(out);
    }
}

/// What [`write_map`] wrote.
pub(crate) fn read_map<K: Wire + Ord, V: Wire>(
    from: &mut Reader<'_>,
    what: &'static str,
    max: usize,
) -> Result<BTreeMap<K, V>, DecodeError> {
    let mut map = BTreeMap::new();
    for _ in 0..from.count(what, max)? {
        let key = K::read(from)?;
        if map.last_key_value().is_some_and(|(last, _)| *last >= key) {
            return Err(DecodeError::Order { what });
        }
        let value = V::read(from)?;
        map.insert(key, value);
    }
    Ok(map)
}

/// A name in wire form, lower-case: it says itself where it ends.
pub(crate) fn read_name(from: &mut Reader<'_>) -> Result<Arc<[u8]>, DecodeError> {
    let (offset, mut ahead, mut length) = (from.offset(), from.clone(), 0);
    loop {
        let label = ahead.u8()?;
        ahead.take(label.into())?;
        length += 1 + usize::from(label);
        if label == 0 {
            break;
        }
    }
    let name = from.take(length)?;
    let is_name = NameBuffer::from_wire(name).is_some();
    if !is_name || name.iter().any(u8::is_ascii_uppercase) {
        return unknown("name of this many bytes", length as u64, offset);
    }
    Ok(name.into())
}
