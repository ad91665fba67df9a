//! Domain names as keys: lower-case, uncompressed wire form, where every ancestor is a suffix.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use hickory_proto::rr::Name;
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

/// Longest name on the wire, in bytes, root label included (RFC 1035 §2.3.4).
pub(super) const NAME_BYTES_MAX: usize = 255;

/// A valid name in lower-case wire form, root byte included. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct WireName(Arc<[u8]>);

impl WireName {
    pub(super) fn root() -> Self {
        Self(Arc::from([0].as_slice()))
    }

    /// The same name; whether it is marked absolute does not matter.
    pub(super) fn from_name(name: &Name) -> Self {
        let mut wire = Vec::with_capacity(name.len() + 1);
        write_labels(name, &mut wire);
        wire.make_ascii_lowercase();
        Self(wire.into())
    }

    /// Reads an uncompressed name at the start of `bytes`, as RDATA in the cache has it.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut length = 0;
        loop {
            let label = usize::from(*bytes.get(length)?);
            length += 1 + label;
            if label > 63 || length > NAME_BYTES_MAX {
                return None;
            }
            if label == 0 {
                return Some(Self(bytes.get(..length)?.to_ascii_lowercase().into()));
            }
        }
    }

    pub(super) fn to_name(&self) -> Name {
        Name::read(&mut BinDecoder::new(&self.0)).expect("a WireName is a valid name")
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn is_root(&self) -> bool {
        self.0.len() == 1
    }

    /// Labels without the root.
    pub(super) fn label_count(&self) -> usize {
        self.suffixes().count() - 1
    }

    /// This name and its ancestors, the root last.
    pub(super) fn suffixes(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = Some(&*self.0);
        std::iter::from_fn(move || {
            let current = rest?;
            rest = parent(current);
            Some(current)
        })
    }

    /// The name one label up; `None` for the root.
    pub(super) fn parent(&self) -> Option<Self> {
        parent(&self.0).map(|suffix| Self(suffix.into()))
    }

    /// The last `count` labels; the whole name if it has fewer.
    pub(super) fn last_labels(&self, count: usize) -> Self {
        let skip = self.label_count().saturating_sub(count);
        self.suffixes()
            .nth(skip)
            .map_or_else(Self::root, |suffix| Self(suffix.into()))
    }

    /// Whether this name is `zone` or lies below it.
    pub(super) fn is_within(&self, zone: &Self) -> bool {
        is_within(&self.0, &zone.0)
    }

    /// Whether this name lies below `zone`.
    pub(super) fn is_below(&self, zone: &Self) -> bool {
        self.0.len() > zone.0.len() && self.is_within(zone)
    }

    /// Whether an ancestor, or the name itself, is `suffix`, a name in wire form.
    pub(super) fn is_within_bytes(&self, suffix: &[u8]) -> bool {
        is_within(&self.0, suffix)
    }

    /// Whether the first label is `*`.
    pub(super) fn is_wildcard(&self) -> bool {
        self.0.starts_with(b"\x01*")
    }

    /// Labels as a signature counts those of an owner: without root and leading `*` (RFC 4034 §3.1.3).
    pub(super) fn signed_labels(&self) -> usize {
        self.label_count() - usize::from(self.is_wildcard())
    }

    /// `*` below this name; `None` if that is too long.
    pub(super) fn wildcard_below(&self) -> Option<Self> {
        let wire = [b"\x01*", &*self.0].concat();
        (wire.len() <= NAME_BYTES_MAX).then(|| Self(wire.into()))
    }

    /// The first label, without its length, and the name above it; `None` for the root.
    pub(super) fn split_first_label(&self) -> Option<(&[u8], &[u8])> {
        let (&length, rest) = self.0.split_first().filter(|(length, _)| **length > 0)?;
        rest.split_at_checked(usize::from(length))
    }

    /// Puts `target` in the place of `owner`, an ancestor (RFC 6672 §2.2); `None` if that is too long.
    pub(super) fn substitute(&self, owner: &Self, target: &Self) -> Option<Self> {
        let prefix = self.0.get(..self.0.len().checked_sub(owner.0.len())?)?;
        if prefix.len() + target.0.len() > NAME_BYTES_MAX {
            return None;
        }
        Some(Self([prefix, &target.0].concat().into()))
    }
}

impl Borrow<[u8]> for WireName {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for WireName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_name().to_ascii())
    }
}

impl fmt::Debug for WireName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Appends the uncompressed wire form, case kept.
pub(super) fn write_labels(name: &Name, out: &mut Vec<u8>) {
    for label in name {
        // Labels of a `Name` have at most 63 bytes.
        out.push(u8::try_from(label.len()).expect("a label fits its length byte"));
        out.extend_from_slice(label);
    }
    out.push(0);
}

fn parent(name: &[u8]) -> Option<&[u8]> {
    match name.first() {
        None | Some(0) => None,
        Some(&length) => name.get(1 + usize::from(length)..),
    }
}

fn is_within(name: &[u8], zone: &[u8]) -> bool {
    let mut rest = Some(name);
    while let Some(current) = rest {
        if current.len() <= zone.len() {
            return current == zone;
        }
        rest = parent(current);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> WireName {
        WireName::from_name(&Name::from_ascii(text).unwrap())
    }

    #[test]
    fn names_that_differ_in_case_or_final_dot_are_equal() {
        assert_eq!(name("WWW.Example.com"), name("www.example.COM."));
    }

    #[test]
    fn name_is_within_itself_and_its_ancestors_only() {
        let www = name("www.example.com.");
        assert!(www.is_within(&www));
        assert!(www.is_within(&name("com.")));
        assert!(www.is_within(&WireName::root()));
        assert!(
            !www.is_within(&name("ample.com.")),
            "suffix of bytes, not of labels"
        );
        assert!(!name("com.").is_within(&www));
        assert!(!www.is_below(&www));
        assert!(www.is_below(&name("example.com.")));
    }

    #[test]
    fn label_byte_that_looks_like_a_length_is_not_a_boundary() {
        // The label is "\003com", whose bytes end like the name "com.".
        let odd = WireName::parse(b"\x04\x03com\x00").unwrap();
        assert!(!odd.is_within(&name("com.")));
    }

    #[test]
    fn last_labels_keep_the_end_of_the_name() {
        let www = name("a.b.c.");
        assert_eq!(www.last_labels(0), WireName::root());
        assert_eq!(www.last_labels(2), name("b.c."));
        assert_eq!(www.last_labels(9), www);
        assert_eq!(www.label_count(), 3);
    }

    #[test]
    fn substitution_replaces_the_ancestor_and_refuses_names_that_grow_too_long() {
        let target = name("new.example.");
        assert_eq!(
            name("a.old.").substitute(&name("old."), &target),
            Some(name("a.new.example."))
        );
        let long = name(&format!("{0}.{0}.{0}.x.", "a".repeat(63)));
        let longer = name(&format!("{0}.y.", "b".repeat(63)));
        assert_eq!(long.substitute(&name("x."), &longer), None);
    }

    #[test]
    fn bytes_that_are_no_name_are_refused() {
        assert_eq!(WireName::parse(b""), None);
        assert_eq!(WireName::parse(b"\x03ab"), None);
        assert_eq!(WireName::parse(b"\xc0\x0c"), None);
        assert_eq!(WireName::parse(&[1, b'a'].repeat(200)), None);
    }
}
