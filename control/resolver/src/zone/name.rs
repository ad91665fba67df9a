//! Names in wire form: length-prefixed labels, the root label last (RFC 1035 §3.1).
//!
//! Owner names inside this module tree are lower-case; names inside record data keep what their type's canonical form says.
//! Never follows a compression pointer: names in zones have none.

#[cfg(test)]
use std::cmp::Ordering;
use std::fmt;

pub(super) use wire::name::is_at_or_below;

/// Longest name in bytes, root label included (RFC 1035 §2.3.4).
pub const NAME_BYTES_MAX: usize = 255;

/// Longest label in bytes (RFC 1035 §2.3.4).
pub const LABEL_BYTES_MAX: usize = 63;

/// Most labels a name can have, root label not counted.
pub(super) const LABELS_MAX: usize = 127;

/// The wire form of the root.
pub(super) const ROOT: &[u8] = &[0];

/// A name of at most 255 bytes without allocation.
#[derive(Clone, Copy)]
pub struct NameBuffer {
    bytes: [u8; NAME_BYTES_MAX],
    length: u8,
}

impl NameBuffer {
    /// An empty buffer, which is no name yet.
    pub(super) const fn new() -> Self {
        Self {
            bytes: [0; NAME_BYTES_MAX],
            length: 0,
        }
    }

    /// A copy of `name` when that is a valid uncompressed wire name, else `None`.
    pub fn from_wire(name: &[u8]) -> Option<Self> {
        if name_end(name)? != name.len() {
            return None;
        }
        let mut buffer = Self::new();
        buffer.extend(name).then_some(buffer)
    }

    /// The name in wire form, root label included.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// Appends bytes; false, and nothing changed, when they do not fit in 255.
    pub(super) fn extend(&mut self, bytes: &[u8]) -> bool {
        let start = usize::from(self.length);
        let Some(room) = self.bytes.get_mut(start..start + bytes.len()) else {
            return false;
        };
        room.copy_from_slice(bytes);
        self.length = u8::try_from(start + bytes.len()).unwrap_or(u8::MAX);
        true
    }

    /// Lower-cases ASCII letters. Length bytes are below 64 and so are never letters.
    pub(super) fn make_lowercase(&mut self) {
        self.bytes[..usize::from(self.length)].make_ascii_lowercase();
    }
}

impl fmt::Debug for NameBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        DisplayName(self.as_bytes()).fmt(f)
    }
}

impl PartialEq for NameBuffer {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for NameBuffer {}

/// Shows a wire name in presentation form with a final dot, `\DDD` and `\.` where needed (RFC 1035 §5.1).
#[derive(Debug, Clone, Copy)]
pub struct DisplayName<'a>(pub &'a [u8]);

impl fmt::Display for DisplayName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == ROOT {
            return f.write_str(".");
        }
        for label in labels(self.0) {
            for &byte in label {
                match byte {
                    b'.' | b'\\' | b'"' | b'(' | b')' | b';' | b'@' | b'$' => {
                        write!(f, "\\{}", char::from(byte))?
                    }
                    0x21..=0x7e => write!(f, "{}", char::from(byte))?,
                    _ => write!(f, "\\{byte:03}")?,
                }
            }
            f.write_str(".")?;
        }
        Ok(())
    }
}

/// Labels from left to right, root label left out; ends early where the bytes are no name.
pub(super) fn labels(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = name;
    std::iter::from_fn(move || {
        let (&length, after) = rest.split_first()?;
        if length == 0 || usize::from(length) > LABEL_BYTES_MAX {
            return None;
        }
        let (label, after) = after.split_at_checked(usize::from(length))?;
        rest = after;
        Some(label)
    })
}

/// Offset just past the name at the start of `bytes`; `None` when that is no uncompressed name of at most 255 bytes.
pub(super) fn name_end(bytes: &[u8]) -> Option<usize> {
    let mut offset = 0;
    loop {
        let length = usize::from(*bytes.get(offset)?);
        offset += 1 + length;
        if length > LABEL_BYTES_MAX || offset > NAME_BYTES_MAX {
            return None;
        }
        if length == 0 {
            return Some(offset);
        }
    }
}

/// Where each label of a name starts, from left to right, root label not counted.
pub(super) struct LabelStarts {
    starts: [u8; LABELS_MAX],
    count: u8,
}

impl LabelStarts {
    /// Reads a valid wire name; of anything else, the labels before the fault.
    pub(super) fn of(name: &[u8]) -> Self {
        let mut starts = [0; LABELS_MAX];
        let mut count = 0_u8;
        let mut offset = 0_u8;
        while let Some(&length) = name.get(usize::from(offset)) {
            let next = offset.checked_add(1 + length.min(0x40));
            let (Some(slot), Some(next), 1..=63) =
                (starts.get_mut(usize::from(count)), next, length)
            else {
                break;
            };
            *slot = offset;
            count += 1;
            offset = next;
        }
        Self { starts, count }
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        self.starts.get(..usize::from(self.count)).unwrap_or(&[])
    }
}

/// The label whose length byte is at `start`; empty where there is none.
pub(super) fn label_at(name: &[u8], start: u8) -> &[u8] {
    let start = usize::from(start);
    let length = name.get(start).map_or(0, |&length| usize::from(length));
    name.get(start + 1..start + 1 + length).unwrap_or(&[])
}

/// Number of labels, root label not counted.
pub(super) fn label_count(name: &[u8]) -> usize {
    labels(name).count()
}

/// The oracle for keys of names: canonical order (RFC 4034 §6.1): labels compared from the right, as lower-case bytes, an absent label first.
#[cfg(test)]
pub(super) fn canonical_cmp(left: &[u8], right: &[u8]) -> Ordering {
    let (left_starts, right_starts) = (LabelStarts::of(left), LabelStarts::of(right));
    let mut left_labels = left_starts.as_slice().iter().rev();
    let mut right_labels = right_starts.as_slice().iter().rev();
    loop {
        match (left_labels.next(), right_labels.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(&l), Some(&r)) => match label_at(left, l).cmp(label_at(right, r)) {
                Ordering::Equal => {}
                unequal => return unequal,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_rfc_4034_section_6_1_are_in_canonical_order() {
        let order: [&[u8]; 9] = [
            b"\x07example\0",
            b"\x01a\x07example\0",
            b"\x08yljkjljk\x01a\x07example\0",
            b"\x01z\x01a\x07example\0",
            b"\x04zabc\x01a\x07example\0",
            b"\x01z\x07example\0",
            b"\x01\x01\x01z\x07example\0",
            b"\x01*\x01z\x07example\0",
            b"\x01\xc8\x01z\x07example\0",
        ];
        for (i, left) in order.iter().enumerate() {
            for (j, right) in order.iter().enumerate() {
                assert_eq!(canonical_cmp(left, right), i.cmp(&j), "{i} {j}");
            }
        }
    }

    #[test]
    fn suffix_inside_a_label_is_not_an_ancestor() {
        assert!(is_at_or_below(b"\x03www\x03com\0", b"\x03com\0"));
        assert!(is_at_or_below(b"\x03com\0", b"\x03com\0"));
        assert!(is_at_or_below(b"\x03com\0", b"\0"));
        assert!(!is_at_or_below(b"\x05a\x03com\0", b"\x03com\0"));
        assert!(!is_at_or_below(b"\0", b"\x03com\0"));
    }

    #[test]
    fn name_is_shown_with_escapes_that_read_back() {
        assert_eq!(DisplayName(b"\0").to_string(), ".");
        assert_eq!(
            DisplayName(b"\x04a.\\\xff\x03com\0").to_string(),
            "a\\.\\\\\\255.com."
        );
    }

    #[test]
    fn wire_name_that_is_cut_or_too_long_is_refused() {
        assert!(NameBuffer::from_wire(b"\x03www\x03com\0").is_some());
        assert!(NameBuffer::from_wire(b"\x03www\x03com").is_none());
        assert!(NameBuffer::from_wire(b"\x03www\0\0").is_none());
        assert!(NameBuffer::from_wire(b"\xc0\x0c").is_none());
        let mut long = [b"\x3f".as_slice(), &[b'a'; 63]].concat().repeat(4);
        long.push(0);
        assert_eq!(long.len(), 257);
        assert!(NameBuffer::from_wire(&long).is_none());
    }
}
