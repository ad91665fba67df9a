//! Which zone a question belongs to, and indices that stay.

use std::sync::Arc;

use resolver::zone::{Zone, ZoneSet};

use crate::support::wire_name;

const A: u16 = 1;
const DS: u16 = 43;

fn zone(name: &str) -> Arc<Zone> {
    let text = "@ 60 SOA ns.elsewhere. h.elsewhere. 1 2 3 4 5\n@ 60 NS ns.elsewhere.\n";
    let (zone, _) = Zone::read(&wire_name(name), text.as_bytes(), name, &mut |_, _| {
        Err(String::new())
    })
    .expect("a zone");
    Arc::new(zone)
}

fn set(names: &[&str]) -> ZoneSet {
    let mut set = ZoneSet::new();
    for name in names {
        set.insert(zone(name));
    }
    set
}

fn found(set: &ZoneSet, qname: &str, qtype: u16) -> Option<u32> {
    set.find(&wire_name(qname), qtype).map(|(index, _)| index)
}

#[test]
fn zone_with_the_longest_matching_name_is_found() {
    let set = set(&["example.", "sub.example.", "a.b.c.example.", "test."]);
    let cases = [
        ("example.", Some(1)),
        ("www.example.", Some(1)),
        ("sub.example.", Some(2)),
        ("x.y.sub.example.", Some(2)),
        ("b.c.example.", Some(1)),
        ("a.b.c.example.", Some(3)),
        ("z.a.b.c.example.", Some(3)),
        ("xsub.example.", Some(1)),
        ("a.test.", Some(4)),
        (".", None),
        ("other.", None),
        ("xexample.", None),
    ];
    for (qname, index) in cases {
        assert_eq!(found(&set, qname, A), index, "{qname}");
    }
}

#[test]
fn root_zone_takes_what_no_other_does() {
    let set = set(&["example.", "."]);
    assert_eq!(found(&set, "other.", A), Some(2));
    assert_eq!(found(&set, ".", A), Some(2));
    assert_eq!(found(&set, "www.example.", A), Some(1));
}

#[test]
fn ds_of_a_zone_is_asked_of_the_zone_above() {
    let set = set(&["example.", "sub.example.", "."]);
    assert_eq!(found(&set, "sub.example.", DS), Some(1));
    assert_eq!(found(&set, "www.sub.example.", DS), Some(2));
    assert_eq!(found(&set, "example.", DS), Some(3));
    assert_eq!(found(&set, ".", DS), Some(3));
    assert_eq!(found(&set, "sub.example.", A), Some(2));
}

#[test]
fn ds_of_a_zone_without_one_above_is_asked_of_itself() {
    assert_eq!(found(&set(&["example."]), "example.", DS), Some(1));
}

#[test]
fn index_of_a_zone_stays_over_reloads_and_removals_of_others() {
    let mut set = set(&["a.", "b.", "c."]);
    let change = set.insert(zone("b."));
    assert_eq!(
        (change.index, change.enclosing, change.previous.is_some()),
        (2, 0, true)
    );
    let removed = set.remove(&wire_name("a.")).expect("a zone");
    assert_eq!((removed.index, removed.previous.is_some()), (1, true));
    assert_eq!(
        (
            found(&set, "a.", A),
            found(&set, "b.", A),
            found(&set, "c.", A)
        ),
        (None, Some(2), Some(3))
    );
    assert_eq!(
        set.insert(zone("d.")).index,
        1,
        "a free index is taken again"
    );
    assert_eq!(set.insert(zone("e.")).index, 4);
    assert!(set.remove(&wire_name("a.")).is_none());
    let order: Vec<u32> = set.iter().map(|(index, _)| index).collect();
    assert_eq!(order, [2, 3, 1, 4]);
}

#[test]
fn change_names_the_zone_that_answered_before() {
    let mut set = set(&["example."]);
    assert_eq!(set.insert(zone("sub.example.")).enclosing, 1);
    assert_eq!(set.insert(zone("deep.sub.example.")).enclosing, 2);
    assert_eq!(
        set.remove(&wire_name("sub.example."))
            .expect("a zone")
            .enclosing,
        1
    );
    assert_eq!(
        set.remove(&wire_name("example."))
            .expect("a zone")
            .enclosing,
        0
    );
    assert_eq!(found(&set, "x.deep.sub.example.", A), Some(3));
    assert_eq!(found(&set, "x.sub.example.", A), None);
}

#[test]
fn copy_of_a_set_is_not_changed_by_changes_to_the_other() {
    let before = set(&["a."]);
    let mut after = before.clone();
    after.insert(zone("b."));
    assert_eq!((before.len(), after.len()), (1, 2));
    assert!(before.get(&wire_name("b.")).is_none());
    assert!(
        after.by_index(2).is_some() && after.by_index(0).is_none() && after.by_index(3).is_none()
    );
    assert!(ZoneSet::new().is_empty());
}
