//! Commands about zones: what they do, what the client and the node are told.

mod common;

use common::*;
use ledger::{
    Applications, Command, CreateMode, ImportError, Outcome, ZoneChange, ZoneChangeKind,
    ZoneChanges, commands_of,
};

const NOERROR: u16 = 0;
const YXDOMAIN: u16 = 6;
const NXRRSET: u16 = 8;
const NOTAUTH: u16 = 9;

fn steps(cluster: &mut Cluster) -> Vec<ZoneChange> {
    match cluster.ledger.take_changes() {
        ZoneChanges::Steps(steps) => steps,
        ZoneChanges::All => panic!("all"),
    }
}

fn outcome(rcode: u16, serial: u32) -> Outcome {
    Outcome::Zone { rcode, serial }
}

#[test]
fn zone_is_created_once_and_its_modes_say_what_happens_then() {
    let mut cluster = Cluster::of(4);
    let node = cluster.ids[0];
    let new = create(plain(), CreateMode::New);
    assert_eq!(cluster.one(node, new.clone()), outcome(NOERROR, 7));
    assert_eq!(cluster.one(node, new), outcome(YXDOMAIN, 7));
    let again = create(plain(), CreateMode::IfAbsent);
    assert_eq!(cluster.one(node, again), outcome(NOERROR, 7));
    let other = zone_at(
        APEX,
        "@ 60 SOA ns host 3 3600 600 86400 60\n@ 60 NS ns\nns 60 A 192.0.2.9\n",
    );
    let replace = create(other, CreateMode::Replace);
    assert_eq!(cluster.one(node, replace), outcome(NOERROR, 8));
    assert!(
        cluster
            .ledger
            .zone(APEX)
            .unwrap()
            .set(b"\x03www\x07example\0", A)
            .is_none()
    );

    let steps = steps(&mut cluster);
    let kinds: Vec<_> = steps.iter().map(|step| (&step.kind, step.serial)).collect();
    assert!(matches!(kinds[0], (ZoneChangeKind::Created, 7)));
    assert!(
        matches!(kinds[1], (ZoneChangeKind::Updated(delta), 8) if (delta.from, delta.to) == (7, 8))
    );
    assert_eq!(kinds.len(), 2);
}

#[test]
fn update_raises_the_serial_and_shows_the_node_one_step() {
    let mut cluster = Cluster::of(4);
    let node = cluster.ids[1];
    cluster.one(node, create(plain(), CreateMode::New));
    steps(&mut cluster);
    assert_eq!(cluster.one(node, add("new", 5)), outcome(NOERROR, 8));
    assert_eq!(
        cluster.one(node, add("new", 5)),
        outcome(NOERROR, 8),
        "nothing new"
    );
    let steps = steps(&mut cluster);
    assert_eq!(steps.len(), 1);
    assert_eq!((&*steps[0].apex, steps[0].serial), (APEX, 8));
    let ZoneChangeKind::Updated(delta) = &steps[0].kind else {
        panic!("{steps:?}");
    };
    assert_eq!((delta.deleted.len(), delta.added.len()), (1, 2));
}

#[test]
fn update_whose_prerequisite_fails_changes_nothing_and_those_beside_it_go_on() {
    let mut cluster = Cluster::of(4);
    let node = cluster.ids[0];
    cluster.one(node, create(plain(), CreateMode::New));
    let root = cluster.root(Applications::default());
    let refused = update(&[
        (true, "nobody", ANY, A, 0, &[]),
        (false, "new", IN, A, 60, &[192, 0, 2, 1]),
    ]);
    assert_eq!(cluster.one(node, refused.clone()), outcome(NXRRSET, 7));
    assert!(
        cluster
            .ledger
            .zone(APEX)
            .unwrap()
            .set(b"\x03new\x07example\0", A)
            .is_none()
    );
    let met = update(&[
        (true, "www", ANY, A, 0, &[]),
        (false, "www", NONE, A, 0, &[192, 0, 2, 2]),
        (false, "new", IN, A, 60, &[192, 0, 2, 1]),
    ]);
    let outcomes = cluster.all(node, vec![refused, met]);
    assert_eq!(outcomes, [outcome(NXRRSET, 7), outcome(NOERROR, 8)]);
    assert_ne!(cluster.root(Applications::default()), root);
}

#[test]
fn deleted_zone_is_gone_for_clients_and_node() {
    let mut cluster = Cluster::of(4);
    let node = cluster.ids[0];
    let delete = Command::ZoneDelete(APEX.into());
    assert_eq!(cluster.one(node, delete.clone()), outcome(NOTAUTH, 0));
    cluster.one(node, create(plain(), CreateMode::New));
    steps(&mut cluster);
    assert_eq!(cluster.one(node, delete), outcome(NOERROR, 0));
    assert!(cluster.ledger.zone(APEX).is_none());
    assert_eq!(cluster.one(node, add("new", 5)), outcome(NOTAUTH, 0));
    let steps = steps(&mut cluster);
    assert!(matches!(
        steps[..],
        [ZoneChange {
            kind: ZoneChangeKind::Deleted,
            serial: 0,
            ..
        }]
    ));
}

#[test]
fn root_covers_each_set_and_returns_when_a_change_is_undone() {
    let mut cluster = Cluster::of(4);
    let node = cluster.ids[0];
    cluster.one(node, create(plain(), CreateMode::New));
    // The clock is a part of the state: roots of one moment are compared.
    let roots = |commands: Vec<Command>| {
        let mut cluster = Cluster::of(4);
        let all = [vec![create(plain(), CreateMode::New)], commands].concat();
        cluster.all(node, all);
        cluster.root(Applications::default())
    };
    let before = roots(vec![]);
    let set = |ttl, last| update(&[(false, "www", IN, A, ttl, &[192, 0, 2, last])]);
    assert_ne!(roots(vec![set(60, 3)]), before);
    assert_ne!(roots(vec![set(61, 2)]), roots(vec![set(60, 2)]));
    let gone = vec![Command::ZoneDelete(APEX.into())];
    let again = [gone.clone(), vec![create(plain(), CreateMode::New)]].concat();
    assert_ne!(roots(gone), before);
    assert_eq!(roots(again), before);
    assert_eq!(
        roots(vec![add("one", 1), add("two", 2)]),
        roots(vec![add("two", 2), add("one", 1)]),
    );
}

#[test]
fn node_is_told_to_look_at_everything_after_another_state_has_come() {
    use consensus::StateMachine;

    let mut cluster = Cluster::of(4);
    let node = cluster.ids[0];
    cluster.one(node, create(plain(), CreateMode::New));
    let snapshot = cluster.ledger.snapshot();
    cluster.ledger.restore(&snapshot).unwrap();
    assert!(matches!(cluster.ledger.take_changes(), ZoneChanges::All));
    assert!(steps(&mut cluster).is_empty());
}

fn large() -> resolver::zone::ZoneContents {
    let mut text =
        "@ 60 SOA ns host 4294967294 3600 600 86400 60\n@ 60 NS ns\n@ 60 MX 10 ns\n".to_owned();
    for number in 0..15_000 {
        let last = number % 200;
        text += &format!(
            "host{number} 60 A 192.0.2.7
host{number} 50 A 192.0.2.{last}
"
        );
    }
    zone_at(APEX, &text)
}

#[test]
fn zone_too_large_for_one_command_comes_in_parts_though_two_nodes_bring_it() {
    let mut cluster = Cluster::of(4);
    let contents = large();
    let commands = commands_of(&contents, CreateMode::IfAbsent).unwrap();
    assert!(commands.len() > 10);
    let (one, other) = (cluster.ids[0], cluster.ids[1]);
    for command in &commands {
        assert!(matches!(
            cluster.one(one, command.clone()),
            Outcome::Zone { rcode: 0, .. }
        ));
        assert!(matches!(
            cluster.one(other, command.clone()),
            Outcome::Zone { .. }
        ));
    }
    let came = cluster.ledger.zone(APEX).unwrap();
    // The serial wrapped, and left 0 out.
    let updates = u32::try_from(commands.len()).unwrap() - 1;
    assert_eq!(came.serial(), updates - 1);
    let others = |contents: &resolver::zone::ZoneContents| -> Vec<_> {
        let sets = contents.sets().filter(|(_, rtype, _)| *rtype != 6);
        sets.map(|(owner, rtype, set)| (owner.to_vec(), rtype, set.clone()))
            .collect()
    };
    assert!(others(came) == others(&contents));
    for command in commands.iter().skip(1) {
        assert!(matches!(
            cluster.one(other, command.clone()),
            Outcome::Zone { rcode: NXRRSET, .. }
        ));
    }
}

#[test]
fn large_zone_never_replaces_one_part_by_part_and_a_small_one_needs_no_parts() {
    assert_eq!(
        commands_of(&large(), CreateMode::Replace),
        Err(ImportError::Replace)
    );
    let commands = commands_of(&plain(), CreateMode::Replace).unwrap();
    assert_eq!(commands, [create(plain(), CreateMode::Replace)]);
}
