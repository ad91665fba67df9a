//! Notes on a built zone: name servers without address, records that point at aliases.

use super::data::{EncodedRecords, RECORD_HEADER_BYTES, Rrset, Zone};
use super::error::{Note, Place, Remark, show};
use super::name::is_at_or_below;
use super::records::Records;
use super::tree::{APEX, NodeFlags};
use super::types::{rtype, type_to_text};

/// Most notes that are kept: nobody reads more, and a zone may have millions of records.
const NOTES_MAX: usize = 1_000;

/// Notes up to [`NOTES_MAX`].
#[derive(Debug, Default)]
pub(super) struct NoteList(Vec<Note>);

impl NoteList {
    pub(super) fn push(&mut self, place: Place, remark: Remark) {
        if self.0.len() < NOTES_MAX {
            self.0.push(Note { place, remark });
        }
    }

    fn is_full(&self) -> bool {
        self.0.len() >= NOTES_MAX
    }

    pub(super) fn into_vec(self) -> Vec<Note> {
        self.0
    }
}

/// Looks at where NS, MX and SRV records point. `rrset_records` has a record's index for each set.
pub(super) fn note_targets(
    zone: &Zone,
    records: &Records,
    rrset_records: &[usize],
    notes: &mut NoteList,
) {
    for (index, node) in (0_u32..).zip(&zone.tree.nodes) {
        if node.flags.has(NodeFlags::HIDDEN) || notes.is_full() {
            continue;
        }
        let start = node.rrsets_start as usize;
        for (rrset, &record_index) in zone
            .rrsets_of(node)
            .iter()
            .zip(rrset_records.get(start..).unwrap_or(&[]))
        {
            let place = records
                .get(record_index)
                .map_or_else(|| records.place_of_whole(), |record| records.place(&record));
            for record in EncodedRecords(zone.span(rrset.records)) {
                if let Some(remark) = target_of(rrset.rtype, record)
                    .and_then(|target| judge(zone, index, rrset, target))
                {
                    notes.push(place.clone(), remark);
                }
            }
        }
    }
}

/// The name whose address a client will ask for next, of NS, MX and SRV records. `record` is header and data.
#[inline]
pub(super) fn target_of(rtype: u16, record: &[u8]) -> Option<&[u8]> {
    let skipped = match rtype {
        rtype::NS => 0,
        rtype::MX => 2,
        rtype::SRV => 6,
        _ => return None,
    };
    record.get(RECORD_HEADER_BYTES + skipped..)
}

fn judge(zone: &Zone, owner: u32, rrset: &Rrset, target: &[u8]) -> Option<Remark> {
    if !is_at_or_below(target, zone.apex()) {
        return None;
    }
    let owner_name = zone.name_of(owner);
    let node = zone
        .tree
        .find_any(&zone.bytes, target)
        .map(|index| zone.tree.node(index));
    let has = |rtype: u16| node.is_some_and(|node| zone.rrset(node, rtype).is_some());
    if has(rtype::CNAME) {
        let rtype = type_to_text(rrset.rtype);
        return Some(Remark::TargetIsCname {
            owner: show(owner_name),
            rtype,
            target: show(target),
        });
    }
    if rrset.rtype != rtype::NS || has(rtype::A) || has(rtype::AAAA) {
        return None;
    }
    // Below another delegation the address is that zone's business; a wildcard may give one too.
    let below_own_cut = owner != APEX && is_at_or_below(target, owner_name);
    let answered_here = match zone.tree.find(&zone.bytes, target, false) {
        super::tree::Found::Exact(_) => true,
        super::tree::Found::Missing(encloser) => {
            zone.tree.node(encloser).wildcard == super::tree::NONE
        }
        super::tree::Found::Cut(_) | super::tree::Found::Dname(_) => false,
    };
    let missing = below_own_cut || answered_here;
    missing.then(|| Remark::GlueMissing {
        owner: show(owner_name),
        server: show(target),
    })
}
