//! The names of a zone as a tree in canonical order, and the walk from the apex to a name (RFC 1034 §4.3.2, RFC 4592).
//!
//! Node 0 is the apex; a node's descendants follow it directly, so that a name's predecessor is a matter of indices.

use std::cmp::Ordering;

use siphasher::sip::SipHasher13;

use super::name::{LabelStarts, label_at};

/// No node.
pub(super) const NONE: u32 = u32::MAX;

/// The apex.
pub(super) const APEX: u32 = 0;

/// Longest run of occupied slots before another seed is tried; far above what chance gives at half load.
const PROBES_MAX: usize = 256;

/// Seeds to try. Whoever could make names collide under all of them would break SipHash.
const SEEDS_MAX: u64 = 8;

/// What stands at a name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct NodeFlags(u8);

impl NodeFlags {
    /// NS below the apex: authority ends here.
    pub(super) const CUT: Self = Self(1);
    /// A DNAME record: names below are redirected.
    pub(super) const DNAME: Self = Self(2);
    /// Below a cut or DNAME: never answered from.
    pub(super) const HIDDEN: Self = Self(4);

    pub(super) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) fn set(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// One name of the zone, with or without records.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    /// The wire name inside the zone's bytes.
    pub(super) name_start: u32,
    pub(super) name_bytes: u8,
    pub(super) flags: NodeFlags,
    pub(super) rrsets_count: u16,
    pub(super) rrsets_start: u32,
    pub(super) parent: u32,
    /// Index after the last descendant.
    pub(super) subtree_end: u32,
    pub(super) children_start: u32,
    pub(super) children_count: u32,
    /// The child `*`, if any (RFC 4592 §2.1.1).
    pub(super) wildcard: u32,
    /// NSEC: the node at or before this one that has an NSEC record. NSEC3: the entry that matches this name. [`NONE`] if none.
    pub(super) denial: u32,
}

/// Where a walk ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// The name exists, with or without records.
    Exact(u32),
    /// The name is at or below a delegation.
    Cut(u32),
    /// The name is below a DNAME.
    Dname(u32),
    /// The name does not exist; this is the longest ancestor that does (RFC 4592 §3.3.1).
    Missing(u32),
}

/// All names, with an index to step from a node to its child in one probe.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) nodes: Box<[Node]>,
    children: Box<[u32]>,
    slots: Box<[u32]>,
    seed: u64,
}

impl Tree {
    /// Completes nodes that stand in canonical order and know their names and parents: children, subtrees, wildcards, index.
    pub(super) fn new(mut nodes: Vec<Node>, bytes: &[u8]) -> Self {
        let children = link_children(&mut nodes, bytes);
        let (slots, seed) = index_nodes(&nodes, bytes);
        Self {
            nodes: nodes.into(),
            children,
            slots,
            seed,
        }
    }

    #[inline]
    pub(super) fn node(&self, index: u32) -> &Node {
        &self.nodes[index as usize]
    }

    /// The child of `parent` with this lower-case label.
    #[inline]
    pub(super) fn child(&self, bytes: &[u8], parent: u32, label: &[u8]) -> Option<u32> {
        let mask = self.slots.len() - 1;
        let mut slot = hash_slot(self.seed, parent, label, mask);
        loop {
            let index = self.slots[slot];
            if index == NONE {
                return None;
            }
            let node = self.node(index);
            if node.parent == parent && node_label(node, bytes) == label {
                return Some(index);
            }
            slot = (slot + 1) & mask;
        }
    }

    /// Walks from the apex to `name`, which lies at or below it. `past_cut` lets the walk end at a delegation as if it were none:
    /// DS belongs to the parent (RFC 4035 §3.1.4.1).
    #[inline]
    pub(super) fn find(&self, bytes: &[u8], name: &[u8], past_cut: bool) -> Found {
        let apex_bytes = self.node(APEX).name_bytes;
        let starts = LabelStarts::of(name);
        let below = starts.as_slice();
        let below = &below[..below
            .partition_point(|&start| usize::from(start) + usize::from(apex_bytes) < name.len())];
        let mut node = APEX;
        for (left, &start) in below.iter().enumerate().rev() {
            if self.node(node).flags.has(NodeFlags::DNAME) {
                return Found::Dname(node);
            }
            let Some(child) = self.child(bytes, node, label_at(name, start)) else {
                return Found::Missing(node);
            };
            node = child;
            if self.node(node).flags.has(NodeFlags::CUT) && !(past_cut && left == 0) {
                return Found::Cut(node);
            }
        }
        Found::Exact(node)
    }

    /// The node of a name wherever it stands, hidden or not.
    pub(super) fn find_any(&self, bytes: &[u8], name: &[u8]) -> Option<u32> {
        let starts = LabelStarts::of(name);
        let apex_bytes = usize::from(self.node(APEX).name_bytes);
        let below = starts
            .as_slice()
            .iter()
            .rev()
            .filter(|&&start| usize::from(start) + apex_bytes < name.len());
        let mut node = APEX;
        for &start in below {
            node = self.child(bytes, node, label_at(name, start))?;
        }
        Some(node)
    }

    /// The last existing name before the child `label` of `parent`, which does not exist, in canonical order.
    pub(super) fn predecessor(&self, bytes: &[u8], parent: u32, label: &[u8]) -> u32 {
        let node = self.node(parent);
        let start = node.children_start as usize;
        let children = &self.children[start..start + node.children_count as usize];
        let before = children.partition_point(|&child| {
            node_label(self.node(child), bytes).cmp(label) == Ordering::Less
        });
        match before.checked_sub(1).map(|index| children[index]) {
            Some(child) => self.node(child).subtree_end - 1,
            None => parent,
        }
    }

    /// Bytes that the tree takes.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.nodes) + size_of_val(&*self.children) + size_of_val(&*self.slots)
    }
}

/// The name of a node.
#[inline]
pub(super) fn node_name<'b>(node: &Node, bytes: &'b [u8]) -> &'b [u8] {
    let start = node.name_start as usize;
    &bytes[start..start + usize::from(node.name_bytes)]
}

/// The first label of a node's name; empty for the root.
#[inline]
fn node_label<'b>(node: &Node, bytes: &'b [u8]) -> &'b [u8] {
    let start = node.name_start as usize;
    &bytes[start + 1..start + 1 + usize::from(bytes[start])]
}

fn link_children(nodes: &mut [Node], bytes: &[u8]) -> Box<[u32]> {
    for node in nodes.iter_mut() {
        (node.children_count, node.wildcard) = (0, NONE);
    }
    for index in (1..nodes.len()).rev() {
        let (parent, end) = (nodes[index].parent as usize, nodes[index].subtree_end);
        let is_wildcard = node_label(&nodes[index], bytes) == b"*";
        let parent = &mut nodes[parent];
        parent.children_count += 1;
        parent.subtree_end = parent.subtree_end.max(end);
        if is_wildcard {
            parent.wildcard = to_u32(index);
        }
    }
    let mut start = 0;
    for node in nodes.iter_mut() {
        node.children_start = start;
        start += node.children_count;
    }
    let mut next: Vec<u32> = nodes.iter().map(|node| node.children_start).collect();
    let mut children = vec![NONE; nodes.len() - 1];
    for (index, node) in nodes.iter().enumerate().skip(1) {
        let slot = &mut next[node.parent as usize];
        children[*slot as usize] = to_u32(index);
        *slot += 1;
    }
    children.into()
}

fn index_nodes(nodes: &[Node], bytes: &[u8]) -> (Box<[u32]>, u64) {
    let slots_count = (nodes.len() * 2).next_power_of_two();
    let mut slots = vec![NONE; slots_count];
    for seed in 0..SEEDS_MAX {
        slots.fill(NONE);
        if fill_slots(&mut slots, nodes, bytes, seed) <= PROBES_MAX || seed + 1 == SEEDS_MAX {
            return (slots.into(), seed);
        }
    }
    unreachable!("the last seed is always taken")
}

/// Enters all nodes but the apex; returns the most probes that one of them took.
fn fill_slots(slots: &mut [u32], nodes: &[Node], bytes: &[u8], seed: u64) -> usize {
    let mask = slots.len() - 1;
    let mut probes_max = 0;
    for (index, node) in nodes.iter().enumerate().skip(1) {
        let mut slot = hash_slot(seed, node.parent, node_label(node, bytes), mask);
        let mut probes = 1;
        while slots[slot] != NONE {
            slot = (slot + 1) & mask;
            probes += 1;
        }
        slots[slot] = to_u32(index);
        probes_max = probes_max.max(probes);
    }
    probes_max
}

#[inline]
fn hash_slot(seed: u64, parent: u32, label: &[u8], mask: usize) -> usize {
    let hash = SipHasher13::new_with_keys(seed, u64::from(parent)).hash(label);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the mask keeps low bits alone"
    )]
    let low = hash as usize;
    low & mask
}

/// Node counts are held below [`NONE`] when the zone is built.
fn to_u32(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(NONE)
}
