//! All zones of a server, and which of them a question belongs to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::data::Zone;
use super::name::{LabelStarts, is_at_or_below, label_count};
use super::types::rtype;

/// Zones by name. Cheap enough to clone for a change beside readers: zones are shared.
#[derive(Debug, Clone, Default)]
pub struct ZoneSet {
    by_apex: BTreeMap<Arc<[u8]>, u32>,
    /// The zone with index `i` stands at `i - 1`.
    zones: Vec<Option<Arc<Zone>>>,
    /// Indices of removed zones, to be given out again.
    free: BTreeSet<u32>,
    /// Most labels that an apex has, or had: looking for it anew at each removal would cost more than a few look-ups in vain.
    labels_max: usize,
}

/// What a change to a [`ZoneSet`] touched. Answers made before under `index` and under `enclosing` are void.
#[derive(Debug, Clone)]
pub struct Change {
    /// Index of the zone, 1 or more. It stays the same while the zone is there; that of a removed zone is given out again.
    pub index: u32,
    /// Index of the zone that answers, or answered, these names when this zone is not there; 0 if none does.
    pub enclosing: u32,
    /// The zone that was there before.
    pub previous: Option<Arc<Zone>>,
}

impl ZoneSet {
    /// No zones.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a zone, or replaces the one of the same name, which keeps its index.
    ///
    /// # Panics
    /// With 2³² zones.
    pub fn insert(&mut self, zone: Arc<Zone>) -> Change {
        let enclosing = self.enclosing(zone.apex());
        let known = self.by_apex.get(zone.apex()).copied();
        let index = known.or_else(|| self.free.pop_first()).unwrap_or_else(|| {
            self.zones.push(None);
            u32::try_from(self.zones.len()).expect("fewer than 2³² zones")
        });
        self.labels_max = self.labels_max.max(label_count(zone.apex()));
        self.by_apex.insert(Arc::from(zone.apex()), index);
        let previous = self.zones[index as usize - 1].replace(zone);
        Change {
            index,
            enclosing,
            previous,
        }
    }

    /// Removes the zone of this name (wire form, lower-case), if there is one.
    pub fn remove(&mut self, apex: &[u8]) -> Option<Change> {
        let index = self.by_apex.remove(apex)?;
        let previous = self
            .zones
            .get_mut(index as usize - 1)
            .and_then(Option::take);
        self.free.insert(index);
        Some(Change {
            index,
            enclosing: self.enclosing(apex),
            previous,
        })
    }

    /// The zone that answers for `qname` (wire form, lower-case) and its index: the one with the longest matching name. DS at the
    /// apex of a zone belongs to the zone above, if that is here too (RFC 4035 §3.1.4.1).
    #[inline]
    pub fn find(&self, qname: &[u8], qtype: u16) -> Option<(u32, &Arc<Zone>)> {
        let found = self.longest_match(qname, 0)?;
        if qtype == rtype::DS && found.1.apex() == qname {
            return self.longest_match(qname, 1).or(Some(found));
        }
        Some(found)
    }

    /// The zone of this name (wire form, lower-case) and its index.
    pub fn get(&self, apex: &[u8]) -> Option<(u32, &Arc<Zone>)> {
        let index = *self.by_apex.get(apex)?;
        Some((index, self.by_index(index)?))
    }

    /// The zone with this index.
    pub fn by_index(&self, index: u32) -> Option<&Arc<Zone>> {
        self.zones.get((index as usize).checked_sub(1)?)?.as_ref()
    }

    /// Index and zone, ordered by the bytes of the name.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Arc<Zone>)> {
        self.by_apex
            .values()
            .filter_map(|&index| Some((index, self.by_index(index)?)))
    }

    /// Number of zones.
    pub fn len(&self) -> usize {
        self.by_apex.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_apex.is_empty()
    }

    /// The longest match that has at least `skipped` labels fewer than `qname`.
    #[inline]
    fn longest_match(&self, qname: &[u8], skipped: usize) -> Option<(u32, &Arc<Zone>)> {
        let starts = LabelStarts::of(qname);
        let starts = starts.as_slice();
        let first = starts.len().saturating_sub(self.labels_max).max(skipped);
        let root = qname
            .len()
            .checked_sub(1)
            .filter(|_| skipped <= starts.len());
        let below = starts.iter().skip(first).map(|&start| usize::from(start));
        below
            .chain(root)
            .find_map(|start| self.get(qname.get(start..)?))
    }

    fn enclosing(&self, apex: &[u8]) -> u32 {
        let found = self
            .longest_match(apex, 1)
            .filter(|(_, zone)| is_at_or_below(apex, zone.apex()));
        found.map_or(0, |(index, _)| index)
    }
}
