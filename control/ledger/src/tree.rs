//! [`Tree`]: one digest for a map, whose upkeep costs what changed and whose value does not depend on the order of changes.
//!
//! A Merkle tree over hash buckets. An entry's place is SHA-256 of its key; the bits of places lead down; a subtree of at most
//! [`BUCKET_ENTRIES_MAX`] entries is one bucket, ordered by place. So the entries alone give the shape, and the shape the digest.
//!
//! Why no sum of hashes: addition of hashes modulo 2^256 falls to Wagner's generalised birthday attack, and anybody who may
//! add records to a zone picks summands. Here two maps with one digest give a collision of SHA-256 (docs/ledger.md, "Digest").

use consensus::Digest;

/// Most entries of a bucket. A bucket is hashed whole, so few; each costs a level less, so not one.
const BUCKET_ENTRIES_MAX: usize = 8;

/// In front of what is hashed, so that no bucket can be taken for an inner node.
const BUCKET: u8 = 0;
const INNER: u8 = 1;

/// The digest of a map from keys to values.
#[derive(Debug)]
pub(crate) struct Tree {
    top: Node,
}

#[derive(Debug)]
enum Node {
    /// Place and digest of the value, ascending by place.
    Bucket(Vec<(Digest, Digest)>, Option<Digest>),
    Inner(Box<Inner>),
}

#[derive(Debug)]
struct Inner {
    /// By the next bit of the place.
    children: [Node; 2],
    /// Entries below.
    count: usize,
    /// `None` if something below has changed since.
    digest: Option<Digest>,
}

impl Tree {
    /// Of no entries.
    pub(crate) fn new() -> Self {
        Self {
            top: Node::Bucket(Vec::new(), None),
        }
    }

    /// Sets or takes away the value of a key.
    pub(crate) fn set(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.top.set(0, Digest::of(key), value.map(Digest::of));
    }

    /// The digest of all entries.
    pub(crate) fn root(&mut self) -> Digest {
        self.top.digest()
    }
}

impl Node {
    fn count(&self) -> usize {
        match self {
            Self::Bucket(entries, _) => entries.len(),
            Self::Inner(inner) => inner.count,
        }
    }

    /// The depth is at most the bits of a place, and about log2 of the entries unless somebody has
    /// spent 2^k hashes for k levels more.
    fn set(&mut self, depth: usize, place: Digest, value: Option<Digest>) {
        match self {
            Self::Bucket(entries, digest) => {
                *digest = None;
                match (entries.binary_search_by_key(&place, |(at, _)| *at), value) {
                    (Ok(index), Some(value)) => {
                        entries.splice(index..=index, [(place, value)]);
                    }
                    (Ok(index), None) => drop(entries.remove(index)),
                    (Err(index), Some(value)) => entries.insert(index, (place, value)),
                    (Err(_), None) => {}
                }
                if entries.len() > BUCKET_ENTRIES_MAX {
                    *self = Self::split(std::mem::take(entries), depth);
                }
            }
            Self::Inner(inner) => {
                let [left, right] = &mut inner.children;
                let (child, other) = if bit(&place, depth) {
                    (right, left)
                } else {
                    (left, right)
                };
                child.set(depth + 1, place, value);
                inner.count = child.count() + other.count();
                inner.digest = None;
                if inner.count <= BUCKET_ENTRIES_MAX {
                    let mut entries = Vec::new();
                    self.take(&mut entries);
                    *self = Self::Bucket(entries, None);
                }
            }
        }
    }

    fn split(mut entries: Vec<(Digest, Digest)>, depth: usize) -> Self {
        if entries.len() <= BUCKET_ENTRIES_MAX {
            return Self::Bucket(entries, None);
        }
        let count = entries.len();
        let border = entries.partition_point(|(place, _)| !bit(place, depth));
        let right = entries.split_off(border);
        let children = [entries, right].map(|half| Self::split(half, depth + 1));
        Self::Inner(Box::new(Inner {
            children,
            count,
            digest: None,
        }))
    }

    /// Moves all entries out, ascending by place.
    fn take(&mut self, out: &mut Vec<(Digest, Digest)>) {
        match self {
            Self::Bucket(entries, _) => out.append(entries),
            Self::Inner(inner) => inner.children.iter_mut().for_each(|child| child.take(out)),
        }
    }

    fn digest(&mut self) -> Digest {
        match self {
            Self::Bucket(entries, digest) => {
                *digest.get_or_insert_with(|| digest_of_bucket(entries.iter()))
            }
            Self::Inner(inner) => {
                let [left, right] = &mut inner.children;
                *inner.digest.get_or_insert_with(|| {
                    let (left, right) = (left.digest(), right.digest());
                    Digest::of(&[&[INNER][..], &left.0, &right.0].concat())
                })
            }
        }
    }
}

fn digest_of_bucket<'e>(entries: impl Iterator<Item = &'e (Digest, Digest)>) -> Digest {
    let mut bytes = Vec::with_capacity(1 + BUCKET_ENTRIES_MAX * 64);
    bytes.push(BUCKET);
    for (place, value) in entries {
        bytes.extend_from_slice(&place.0);
        bytes.extend_from_slice(&value.0);
    }
    Digest::of(&bytes)
}

/// A bit of a place, the highest first; 0 behind its end, where nothing comes: places differ.
fn bit(place: &Digest, depth: usize) -> bool {
    let byte = place.0.get(depth / 8).copied().unwrap_or(0);
    byte >> (7 - depth % 8) & 1 == 1
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// The definition, without upkeep.
    fn naive(entries: &[(Digest, Digest)], depth: usize) -> Digest {
        if entries.len() <= BUCKET_ENTRIES_MAX {
            return digest_of_bucket(entries.iter());
        }
        let of = |wanted| {
            let half = entries
                .iter()
                .filter(|(place, _)| bit(place, depth) == wanted);
            naive(&half.copied().collect::<Vec<_>>(), depth + 1)
        };
        Digest::of(&[&[INNER][..], &of(false).0, &of(true).0].concat())
    }

    proptest! {
        #[test]
        fn root_follows_from_the_entries_alone_whatever_led_to_them(
            steps in prop::collection::vec((0_u16..300, prop::option::weighted(0.6, 0_u8..4)), 0..600),
            looks in prop::collection::vec(0_usize..600, 0..4),
        ) {
            let mut tree = Tree::new();
            let mut map = BTreeMap::new();
            for (index, (key, value)) in steps.iter().enumerate() {
                let key = key.to_be_bytes();
                tree.set(&key, value.map(|value| [value]).as_ref().map(|value| &value[..]));
                match value {
                    Some(value) => drop(map.insert(Digest::of(&key), Digest::of(&[*value]))),
                    None => drop(map.remove(&Digest::of(&key))),
                }
                if looks.contains(&index) {
                    tree.root();
                }
            }
            let entries: Vec<_> = map.into_iter().collect();
            prop_assert_eq!(tree.root(), naive(&entries, 0));
        }
    }

    #[test]
    fn places_that_share_many_bits_get_a_deep_tree_and_come_apart() {
        let mut tree = Tree::new();
        let place = |last: u8| {
            let mut bytes = [0xaa; 32];
            bytes[31] = last;
            Digest(bytes)
        };
        for last in 0..=255 {
            tree.top.set(0, place(last), Some(Digest::of(&[last])));
        }
        let entries: Vec<_> = (0..=255)
            .map(|last| (place(last), Digest::of(&[last])))
            .collect();
        assert_eq!(tree.root(), naive(&entries, 0));
        for last in 3..=255 {
            tree.top.set(0, place(last), None);
        }
        assert!(matches!(&tree.top, Node::Bucket(entries, _) if entries.len() == 3));
        assert_eq!(tree.root(), naive(&entries[..3], 0));
    }
}
