//! [`RecordSet`]: the records of one owner and type, as the replicated form of a zone holds them.

use std::sync::Arc;

use super::codec::to_u16;

/// TTL and data of the records of one owner and type. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordSet {
    ttl: u32,
    count: usize,
    /// Data in canonical order (RFC 4034 §6.3), each with its length in two bytes in front.
    bytes: Arc<[u8]>,
}

impl RecordSet {
    /// Of data in canonical order without repetition.
    pub(super) fn from_sorted<'d>(ttl: u32, sorted: impl IntoIterator<Item = &'d [u8]>) -> Self {
        let (mut bytes, mut count) = (Vec::new(), 0);
        for data in sorted {
            push(data, &mut bytes);
            count += 1;
        }
        Self {
            ttl,
            count,
            bytes: bytes.into(),
        }
    }

    /// Seconds, the same for all records (RFC 2181 §5.2).
    #[must_use]
    pub fn ttl(&self) -> u32 {
        self.ttl
    }

    /// Number of records, at least one.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "no set is empty")]
    pub fn len(&self) -> usize {
        self.count
    }

    /// All data in canonical order, each with its length in two bytes in front: equal sets, equal bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The data of each record in canonical order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> + Clone {
        let mut rest = &*self.bytes;
        std::iter::from_fn(move || {
            let (length, after) = rest.split_first_chunk()?;
            let (data, after) = after.split_at_checked(u16::from_be_bytes(*length).into())?;
            rest = after;
            Some(data)
        })
    }

    pub(super) fn contains(&self, data: &[u8]) -> bool {
        self.iter().any(|own| own == data)
    }

    pub(super) fn with_ttl(&self, ttl: u32) -> Self {
        Self {
            ttl,
            ..self.clone()
        }
    }

    /// The set with one record more, if it is not there yet.
    pub(super) fn with(&self, data: &[u8]) -> Self {
        if self.contains(data) {
            return self.clone();
        }
        let mut bytes = Vec::with_capacity(self.bytes.len() + 2 + data.len());
        let mut pending = Some(data);
        for own in self.iter() {
            if own > data
                && let Some(data) = pending.take()
            {
                push(data, &mut bytes);
            }
            push(own, &mut bytes);
        }
        if let Some(data) = pending {
            push(data, &mut bytes);
        }
        Self {
            ttl: self.ttl,
            count: self.count + 1,
            bytes: bytes.into(),
        }
    }

    /// The set without those records; `None` if nothing is left.
    pub(super) fn retain(&self, keep: impl Fn(&[u8]) -> bool) -> Option<Self> {
        let kept = Self::from_sorted(self.ttl, self.iter().filter(|data| keep(data)));
        (kept.count > 0).then_some(kept)
    }

    /// What is here and not there: another TTL makes another record of each. `None` if that is nothing.
    pub(super) fn without(&self, other: Option<&Self>) -> Option<Self> {
        let Some(other) = other.filter(|other| other.ttl == self.ttl) else {
            return Some(self.clone());
        };
        // Both ascend: one walk through each.
        let mut theirs = other.iter().peekable();
        let left = self.iter().filter(|data| {
            while theirs.next_if(|their| their < data).is_some() {}
            theirs.peek() != Some(data)
        });
        let left = Self::from_sorted(self.ttl, left);
        (left.count > 0).then_some(left)
    }

    /// Bytes in a message with the owners as pointers.
    pub(super) fn message_bytes(&self) -> usize {
        self.bytes.len() + self.count * super::data::RECORD_HEADER_BYTES
    }
}

fn push(data: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&to_u16(data.len()).to_be_bytes());
    out.extend_from_slice(data);
}
