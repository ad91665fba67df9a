//! Builds a [`Zone`]: orders records, makes empty non-terminals (RFC 4592 §2.2.2), groups sets, and refuses what cannot be served.

use super::check_set::{self, Group};
use super::data::{Counts, Nsec3Entry, Rrset, Zone};
use super::denial::choose_denial;
use super::error::{Note, Place, Problem, Remark, ZoneError, show};
use super::name::{is_at_or_below, label_count, labels};
use super::notes::{NoteList, note_targets};
use super::nsec3::HASH_BYTES;
use super::radix::decode_base32hex;
use super::records::{Record, Records};
use super::tree::{NONE, Node, NodeFlags, Tree};
use super::types::{rtype, type_to_text};

impl Zone {
    /// Builds the zone `apex` (wire form, lower-case). The notes tell what is served but probably not meant.
    ///
    /// # Errors
    /// The first thing that makes the zone unfit to serve, with the place of its record.
    pub fn build(apex: &[u8], records: &Records) -> Result<(Self, Vec<Note>), ZoneError> {
        let mut builder = Builder::new(apex, records);
        let order = builder.order_records()?;
        builder.add_nodes(&order)?;
        builder.check_apex()?;
        builder.finish()
    }
}

/// A zone on its way.
pub(super) struct Builder<'r> {
    pub(super) apex: &'r [u8],
    pub(super) records: &'r Records,
    pub(super) bytes: Vec<u8>,
    pub(super) nodes: Vec<Node>,
    pub(super) rrsets: Vec<Rrset>,
    /// For each set, the record that errors and notes about it point at.
    pub(super) rrset_records: Vec<usize>,
    pub(super) nsec3: Vec<Nsec3Entry>,
    pub(super) nsec3_other: Vec<Nsec3Entry>,
    pub(super) notes: NoteList,
    counts: Counts,
}

/// Records of one owner: the key that orders owners, and the records' indices.
struct OwnerRun {
    key_start: usize,
    key_end: usize,
    first: usize,
    end: usize,
}

/// Owners in canonical order.
struct Order {
    keys: Vec<u8>,
    runs: Vec<OwnerRun>,
}

impl Order {
    fn key(&self, run: &OwnerRun) -> &[u8] {
        &self.keys[run.key_start..run.key_end]
    }
}

impl<'r> Builder<'r> {
    fn new(apex: &'r [u8], records: &'r Records) -> Self {
        Self {
            apex,
            records,
            bytes: Vec::new(),
            nodes: Vec::new(),
            rrsets: Vec::new(),
            rrset_records: Vec::new(),
            nsec3: Vec::new(),
            nsec3_other: Vec::new(),
            notes: NoteList::default(),
            counts: Counts::default(),
        }
    }

    pub(super) fn place(&self, index: usize) -> Place {
        self.records.get(index).map_or_else(
            || self.records.place_of_whole(),
            |record| self.records.place(&record),
        )
    }

    pub(super) fn error_at(&self, index: usize, problem: Problem) -> ZoneError {
        ZoneError {
            place: self.place(index),
            problem,
        }
    }

    pub(super) fn whole_error(&self, problem: Problem) -> ZoneError {
        ZoneError {
            place: self.records.place_of_whole(),
            problem,
        }
    }

    /// Gathers runs of records with one owner and brings them into canonical order; runs of the same owner stay in file order.
    fn order_records(&self) -> Result<Order, ZoneError> {
        let mut order = Order {
            keys: Vec::new(),
            runs: Vec::new(),
        };
        let mut last_owner: &[u8] = &[];
        for (index, record) in self.records.iter().enumerate() {
            if !order.runs.is_empty() && record.owner == last_owner {
                if let Some(run) = order.runs.last_mut() {
                    run.end = index + 1;
                }
                continue;
            }
            if !is_at_or_below(record.owner, self.apex) {
                let (owner, apex) = (show(record.owner), show(self.apex));
                return Err(self.error_at(index, Problem::OutOfZone { owner, apex }));
            }
            last_owner = record.owner;
            let key_start = order.keys.len();
            push_key(record.owner, &mut order.keys);
            order.runs.push(OwnerRun {
                key_start,
                key_end: order.keys.len(),
                first: index,
                end: index + 1,
            });
        }
        let mut runs = std::mem::take(&mut order.runs);
        runs.sort_by(|left, right| {
            order
                .key(left)
                .cmp(order.key(right))
                .then(left.first.cmp(&right.first))
        });
        order.runs = runs;
        Ok(order)
    }

    fn add_nodes(&mut self, order: &Order) -> Result<(), ZoneError> {
        let mut groups = Vec::new();
        for owner_runs in order
            .runs
            .chunk_by(|left, right| order.key(left) == order.key(right))
        {
            let indices = || owner_runs.iter().flat_map(|run| run.first..run.end);
            let Some(owner) = indices()
                .next()
                .and_then(|index| self.records.get(index))
                .map(|record| record.owner)
            else {
                continue;
            };
            self.group_records(indices(), &mut groups)?;
            let has_data = groups.iter().any(|group| group.rtype != rtype::NSEC3);
            if has_data || owner == self.apex {
                self.add_node(owner)?;
            }
            check_set::check_owner(self, owner, &groups)?;
            for group in &groups {
                self.add_group(owner, group)?;
            }
            if has_data {
                self.counts.names += 1;
            }
        }
        Ok(())
    }

    /// Groups the records of one owner by type, signatures with what they cover; drops repeated records.
    fn group_records(
        &mut self,
        indices: impl Iterator<Item = usize>,
        groups: &mut Vec<Group<'r>>,
    ) -> Result<(), ZoneError> {
        groups.clear();
        let mut items: Vec<(u16, bool, &'r [u8], usize)> = Vec::new();
        for index in indices {
            let Some(record) = self.records.get(index) else {
                continue;
            };
            let record: Record<'r> = record;
            match record.data.first_chunk::<2>() {
                Some(covered) if record.rtype == rtype::RRSIG => {
                    items.push((u16::from_be_bytes(*covered), true, record.data, index));
                }
                _ => items.push((record.rtype, false, record.data, index)),
            }
        }
        items.sort_unstable();
        for item in items.chunk_by(|left, right| left.0 == right.0) {
            let mut group = Group::new(item.first().map_or(0, |first| first.0));
            for &(rtype, is_signature, data, index) in item {
                let list = if is_signature {
                    &mut group.signatures
                } else {
                    &mut group.records
                };
                if list.last().is_some_and(|&(last, _)| last == data) {
                    let owner = self
                        .records
                        .get(index)
                        .map_or_else(String::new, |record| show(record.owner));
                    let rtype = type_to_text(if is_signature { rtype::RRSIG } else { rtype });
                    self.notes
                        .push(self.place(index), Remark::Repeated { owner, rtype });
                } else {
                    list.push((data, index));
                }
            }
            group.settle_ttl(self);
            groups.push(group);
        }
        Ok(())
    }

    /// Adds the node of `owner` and those of its ancestors that have none yet. Owners come in canonical order.
    fn add_node(&mut self, owner: &[u8]) -> Result<(), ZoneError> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(owner);
        if self.nodes.is_empty() {
            // The apex has a node even when it has no records, so that the fault can be named later.
            let skipped = owner.len() - self.apex.len();
            self.push_node(start + skipped, self.apex.len(), NONE)?;
        }
        let mut parent = to_u32(self.nodes.len() - 1);
        while !is_at_or_below(owner, self.node_name(parent)) {
            parent = self.nodes[parent as usize].parent;
        }
        let missing = label_count(owner) - label_count(self.node_name(parent));
        for level in (0..missing).rev() {
            let skipped: usize = labels(owner).take(level).map(|label| label.len() + 1).sum();
            self.push_node(start + skipped, owner.len() - skipped, parent)?;
            parent = to_u32(self.nodes.len() - 1);
        }
        Ok(())
    }

    fn push_node(&mut self, start: usize, bytes: usize, parent: u32) -> Result<(), ZoneError> {
        let index = u32::try_from(self.nodes.len())
            .ok()
            .filter(|&index| index < NONE - 1);
        let name_start = u32::try_from(start).ok();
        let (Some(index), Some(name_start)) = (index, name_start) else {
            return Err(self.whole_error(Problem::ZoneBytes));
        };
        let mut flags = NodeFlags::default();
        if let Some(above) = self.nodes.get(parent as usize) {
            let hides = above.flags.has(NodeFlags::CUT) || above.flags.has(NodeFlags::DNAME);
            if hides || above.flags.has(NodeFlags::HIDDEN) {
                flags.set(NodeFlags::HIDDEN);
            }
        }
        self.nodes.push(Node {
            name_start,
            name_bytes: u8::try_from(bytes).unwrap_or(u8::MAX),
            flags,
            rrsets_count: 0,
            rrsets_start: to_u32(self.rrsets.len()),
            parent,
            subtree_end: index + 1,
            children_start: 0,
            children_count: 0,
            wildcard: NONE,
            denial: NONE,
        });
        Ok(())
    }

    fn node_name(&self, index: u32) -> &[u8] {
        super::tree::node_name(&self.nodes[index as usize], &self.bytes)
    }

    /// Encodes one set and hangs it to the node added last, or into the list of NSEC3 records.
    fn add_group(&mut self, owner: &[u8], group: &Group<'r>) -> Result<(), ZoneError> {
        let rrset = self.encode_group(owner, group)?;
        self.counts.records += group.records.len() + group.signatures.len();
        self.counts.rrsets += usize::from(!group.records.is_empty());
        if group.rtype == rtype::NSEC3 {
            return self.add_nsec3(owner, group, rrset);
        }
        let is_apex = self.nodes.len() == 1;
        let Some(node) = self.nodes.last_mut() else {
            return Ok(());
        };
        if !group.records.is_empty() {
            match group.rtype {
                rtype::NS if !is_apex => {
                    node.flags.set(NodeFlags::CUT);
                    self.counts.delegations += usize::from(!node.flags.has(NodeFlags::HIDDEN));
                }
                rtype::DNAME => node.flags.set(NodeFlags::DNAME),
                _ => {}
            }
        }
        if node.rrsets_count == 0 {
            node.rrsets_start = to_u32(self.rrsets.len());
        }
        node.rrsets_count = node.rrsets_count.saturating_add(1);
        self.rrsets.push(rrset);
        self.rrset_records.push(group.first_index());
        Ok(())
    }

    /// NSEC3 records live beside the tree: their owners are no names that can be asked for (RFC 5155 §7.2.8).
    fn add_nsec3(
        &mut self,
        owner: &[u8],
        group: &Group<'r>,
        rrset: Rrset,
    ) -> Result<(), ZoneError> {
        let mut hash = Vec::new();
        let decoded = labels(owner)
            .next()
            .map(|label| decode_base32hex(label, &mut hash));
        let below_apex = label_count(owner) == label_count(self.apex) + 1;
        let hash = <[u8; HASH_BYTES]>::try_from(hash.as_slice()).ok();
        let hash = hash.filter(|_| below_apex && decoded == Some(Ok(())));
        let Some(hash) = hash else {
            return Err(self.error_at(
                group.first_index(),
                Problem::Nsec3Owner { owner: show(owner) },
            ));
        };
        let start = self.bytes.len();
        self.bytes.extend_from_slice(owner);
        let name = self.span_from(start)?;
        self.nsec3.push(Nsec3Entry { hash, name, rrset });
        Ok(())
    }

    /// One SOA and at least one NS at the apex (RFC 1035 §5.2); the count of SOA records is checked with its owner.
    fn check_apex(&self) -> Result<(), ZoneError> {
        let apex = || show(self.apex);
        let rrsets = self.nodes.first().map_or(&[][..], |node| {
            let start = node.rrsets_start as usize;
            &self.rrsets[start..start + usize::from(node.rrsets_count)]
        });
        let has = |rtype| {
            rrsets
                .iter()
                .any(|rrset: &Rrset| rrset.rtype == rtype && rrset.records_count > 0)
        };
        if !has(rtype::SOA) {
            return Err(self.whole_error(Problem::SoaMissing { apex: apex() }));
        }
        if !has(rtype::NS) {
            return Err(self.whole_error(Problem::NsMissing { apex: apex() }));
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(Zone, Vec<Note>), ZoneError> {
        let (negative_soa, serial) = self.encode_negative_soa()?;
        let denial = choose_denial(&mut self)?;
        let nodes = std::mem::take(&mut self.nodes);
        let tree = Tree::new(nodes, &self.bytes);
        self.nsec3.sort_unstable_by_key(|entry| entry.hash);
        let mut zone = Zone {
            bytes: std::mem::take(&mut self.bytes).into(),
            tree,
            rrsets: std::mem::take(&mut self.rrsets).into(),
            denial,
            nsec3: std::mem::take(&mut self.nsec3).into(),
            nsec3_other: std::mem::take(&mut self.nsec3_other).into(),
            negative_soa,
            serial,
            counts: self.counts,
        };
        zone.counts.memory_bytes = zone.bytes.len()
            + zone.tree.memory_bytes()
            + size_of_val(&*zone.rrsets)
            + size_of_val(&*zone.nsec3)
            + size_of_val(&*zone.nsec3_other)
            + size_of::<Zone>();
        zone.link_denial();
        note_targets(&zone, self.records, &self.rrset_records, &mut self.notes);
        Ok((zone, self.notes.into_vec()))
    }
}

/// Appends a key whose byte order is the canonical order of names (RFC 4034 §6.1): labels from the right, each with a terminator
/// that is below every label byte. 0 is the terminator, so 0 and 1 inside labels become 1 1 and 1 2.
fn push_key(name: &[u8], keys: &mut Vec<u8>) {
    let starts = super::name::LabelStarts::of(name);
    for &start in starts.as_slice().iter().rev() {
        for &byte in super::name::label_at(name, start) {
            match byte {
                0 | 1 => keys.extend_from_slice(&[1, byte + 1]),
                _ => keys.push(byte),
            }
        }
        keys.push(0);
    }
}

/// Counts are held below 2³² where nodes are added.
fn to_u32(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(NONE)
}

#[cfg(test)]
mod tests {
    use super::super::name::canonical_cmp;
    use super::*;

    #[test]
    fn keys_order_names_canonically_with_any_bytes() {
        let label_bytes = [0_u8, 1, 2, b'*', b'a', 255];
        let mut names: Vec<Vec<u8>> = vec![b"\0".to_vec()];
        for &a in &label_bytes {
            names.push(vec![1, a, 0]);
            for &b in &label_bytes {
                names.push(vec![2, a, b, 0]);
                names.push(vec![1, a, 1, b, 0]);
            }
        }
        let key = |name: &[u8]| {
            let mut key = Vec::new();
            push_key(name, &mut key);
            key
        };
        for left in &names {
            for right in &names {
                assert_eq!(
                    key(left).cmp(&key(right)),
                    canonical_cmp(left, right),
                    "{left:?} {right:?}"
                );
            }
        }
    }
}
