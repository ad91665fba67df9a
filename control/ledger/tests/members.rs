//! Changes of members: what one node cannot do alone.

mod common;

use common::*;
use consensus::{NodeId, PublicKey, Role, StateMachine as _};
use ledger::{
    Applications, Change, Class, Command, CreateMode, Event, Outcome, PROPOSALS_PER_NODE_MAX,
    Parameters, RETIRED_MAX, Reason, Score,
};

const PENDING: Outcome = Outcome::Pending {
    supporters: 1,
    wanted: 2,
};

#[test]
fn member_comes_when_more_voters_ask_for_it_than_may_be_faulty() {
    let mut cluster = Cluster::of(4);
    let change = Change::Add(member(9, Role::Edge));
    assert_eq!(cluster.propose(0, &change), PENDING);
    assert_eq!(cluster.propose(0, &change), PENDING, "one node counts once");
    assert!(cluster.wanted().is_like(&cluster.genesis));
    assert_eq!(cluster.ledger.proposals().count(), 1);
    assert_eq!(cluster.propose(1, &change), Outcome::Done);
    let id = member(9, Role::Edge).id();
    assert!(cluster.wanted().member(id).is_some());
    assert_eq!(cluster.ledger.proposals().count(), 0);
    cluster.root(Applications::default());

    // An edge node changes neither zones nor members, and speaks of nobody.
    let zone = create(plain(), CreateMode::New);
    assert_eq!(cluster.one(id, zone), Outcome::Refused(Reason::NotVoter));
    let remove = Command::Propose(Change::Remove(id));
    assert_eq!(cluster.one(id, remove), Outcome::Refused(Reason::NotVoter));
}

#[test]
fn member_that_the_clusters_numbers_leave_no_room_for_is_refused() {
    let mut cluster = Cluster::of(37);
    let asked = |cluster: &mut Cluster, change: &Change| {
        let outcomes = (0..13).map(|node| cluster.propose(node, change));
        outcomes.last().unwrap()
    };
    let voter = Change::Add(member(99, Role::Authority));
    assert_eq!(
        asked(&mut cluster, &voter),
        Outcome::Refused(Reason::NotSafe)
    );
    // With batches of a hundred to a checkpoint; an edge costs nothing.
    let edge = Change::Add(member(99, Role::Edge));
    assert_eq!(asked(&mut cluster, &edge), Outcome::Done);
    assert!(
        cluster
            .wanted()
            .member(member(99, Role::Edge).id())
            .is_some()
    );
}

#[test]
fn different_wishes_do_not_add_up() {
    let mut cluster = Cluster::of(4);
    assert_eq!(
        cluster.propose(0, &Change::Add(member(8, Role::Edge))),
        PENDING
    );
    assert_eq!(
        cluster.propose(1, &Change::Add(member(9, Role::Edge))),
        PENDING
    );
    assert!(cluster.wanted().is_like(&cluster.genesis));
}

#[test]
fn proposal_is_forgotten_when_its_time_is_over() {
    let mut cluster = Cluster::of(4);
    let change = Change::Add(member(9, Role::Resolver));
    cluster.propose(0, &change);
    cluster.wait(HOUR_MS);
    assert_eq!(cluster.ledger.proposals().count(), 0);
    assert_eq!(cluster.propose(1, &change), PENDING);
    cluster.root(Applications::default());
}

#[test]
fn one_node_cannot_fill_the_table_of_proposals() {
    let mut cluster = Cluster::of(4);
    for number in 0..PROPOSALS_PER_NODE_MAX {
        let number = 100 + u8::try_from(number).unwrap();
        assert_eq!(
            cluster.propose(0, &Change::Add(member(number, Role::Edge))),
            PENDING
        );
    }
    let more = Change::Add(member(99, Role::Edge));
    assert_eq!(cluster.propose(0, &more), Outcome::Refused(Reason::TooMany));
    assert_eq!(cluster.propose(1, &more), PENDING);
    assert_eq!(
        cluster.propose(0, &more),
        Outcome::Done,
        "support is no proposal"
    );
}

#[test]
fn change_that_is_unsafe_or_none_is_refused() {
    let mut cluster = Cluster::of(4);
    let own = cluster.ids[0];
    let stranger = member(9, Role::Edge);
    let known = (1..=4)
        .map(|n| member(n, Role::Authority))
        .find(|m| m.id() == own)
        .unwrap();
    for (change, reason) in [
        (Change::Add(known.clone()), Reason::NotSafe),
        (Change::Alter(known.clone()), Reason::NotSafe),
        (Change::Alter(stranger.clone()), Reason::NoSuchNode),
        (Change::Remove(stranger.id()), Reason::NoSuchNode),
        (
            Change::ReplaceKey {
                node: own,
                key: known.key,
            },
            Reason::NotSafe,
        ),
        (Change::Parameters(Parameters::default()), Reason::NotSafe),
        (Change::Lift(own), Reason::OwnSubject),
        (Change::Lift(cluster.ids[1]), Reason::NoSuchNode),
    ] {
        assert_eq!(
            cluster.propose(0, &change),
            Outcome::Refused(reason),
            "{change:?}"
        );
    }
    // A third witness, among seven, would be one too many.
    let witnesses = [8, 9, 10].map(|number| Change::Add(member(number, Role::Witness)));
    assert!(agree(&mut cluster, &witnesses[0]));
    assert!(agree(&mut cluster, &witnesses[1]));
    assert_eq!(
        cluster.propose(0, &witnesses[2]),
        Outcome::Refused(Reason::NotSafe)
    );
}

/// Two voters ask for a change; whether it is made.
fn agree(cluster: &mut Cluster, change: &Change) -> bool {
    cluster.propose(0, change) == PENDING && cluster.propose(1, change) == Outcome::Done
}

#[test]
fn key_of_a_member_that_is_gone_is_never_taken_again_in_any_role() {
    let mut cluster = Cluster::of(4);
    let used = Outcome::Refused(Reason::UsedKey);
    let edge = member(9, Role::Edge);
    assert!(agree(&mut cluster, &Change::Add(edge.clone())));
    assert!(agree(&mut cluster, &Change::Remove(edge.id())));
    for role in [Role::Edge, Role::Authority, Role::Witness] {
        assert_eq!(cluster.propose(0, &Change::Add(member(9, role))), used);
    }
    // Nor by the way of another member's new key, nor that member's own old one.
    let node = cluster.ids[3];
    let to = |node, key| Change::ReplaceKey { node, key };
    assert_eq!(cluster.propose(0, &to(node, edge.key)), used);
    let old = cluster.ledger.members().find(|m| m.id() == node).unwrap();
    let (old, new) = (old.key, PublicKey([77; 32]));
    assert!(agree(&mut cluster, &to(node, new)));
    assert_eq!(cluster.propose(0, &to(NodeId::of(&new), old)), used);
    cluster.root(Applications::default());

    // The root covers it: a state that has forgotten is another one.
    let mut other = Cluster::of(4);
    assert!(agree(&mut other, &Change::Add(edge.clone())));
    let before = other.ledger.root();
    assert!(agree(&mut other, &Change::Remove(edge.id())));
    assert_ne!(other.ledger.root(), before);
    let snapshot = cluster.ledger.snapshot();
    cluster.ledger.restore(&snapshot).unwrap();
    assert_eq!(cluster.propose(0, &Change::Add(edge)), used);
}

#[test]
fn witness_becomes_a_holder_of_state_under_a_new_key_alone() {
    let mut cluster = Cluster::of(4);
    let witness = member(9, Role::Witness);
    assert!(agree(&mut cluster, &Change::Add(witness.clone())));
    let kind = Outcome::Refused(Reason::OtherKind);
    assert_eq!(
        cluster.propose(0, &Change::Alter(member(9, Role::Authority))),
        kind
    );
    let own = cluster.ids[0];
    let own = cluster.ledger.members().find(|m| m.id() == own).unwrap();
    let own = consensus::Member {
        role: Role::Witness,
        ..own.clone()
    };
    assert_eq!(cluster.propose(1, &Change::Alter(own)), kind);
    assert!(agree(&mut cluster, &Change::Remove(witness.id())));
    let holder = consensus::Member {
        key: PublicKey([10; 32]),
        role: Role::Authority,
        ..witness
    };
    assert!(agree(&mut cluster, &Change::Add(holder.clone())));
    assert!(cluster.wanted().is_holder(holder.id()));
}

#[test]
fn as_many_keys_are_remembered_as_members_may_go_and_then_none_goes() {
    let mut cluster = Cluster::of(1);
    let only = cluster.ids[0];
    let mut changes = (0..RETIRED_MAX + 1).flat_map(|number| {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&(number as u64).to_be_bytes());
        let edge = consensus::Member {
            key: PublicKey(key),
            ..member(9, Role::Edge)
        };
        let id = edge.id();
        [Change::Add(edge), Change::Remove(id)].map(Command::Propose)
    });
    let mut refused = Vec::new();
    loop {
        let some: Vec<_> = changes.by_ref().take(1024).collect();
        if some.is_empty() {
            break;
        }
        let outcomes = cluster.all(only, some);
        refused.extend(outcomes.into_iter().filter(|o| *o != Outcome::Done));
    }
    assert_eq!(refused, [Outcome::Refused(Reason::TooMany)]);
    cluster.root(Applications::default());
}

#[test]
fn new_key_keeps_the_standing_and_the_old_one_is_nobody() {
    let mut cluster = Cluster::of(4);
    let old = cluster.ids[3];
    for reporter in [0, 1] {
        cluster.report(reporter, 3, Event::InvalidSignature, 1);
        cluster.measure(3, reporter, 100);
    }
    let key = PublicKey([77; 32]);
    let change = Change::ReplaceKey { node: old, key };
    cluster.propose(0, &change);
    assert_eq!(
        cluster.propose(3, &change),
        Outcome::Done,
        "its own wish counts"
    );
    let new = NodeId::of(&key);
    assert_eq!(cluster.ledger.score(new), Some(Score::from_micros(400_000)));
    assert_eq!(cluster.ledger.explain(new).len(), 1);
    assert_eq!(cluster.ledger.score(old), None);
    let zone = create(plain(), CreateMode::New);
    assert_eq!(cluster.one(old, zone), Outcome::Refused(Reason::NotMember));
    cluster.root(Applications::default());
}

#[test]
fn word_of_a_node_that_is_gone_counts_no_more() {
    let mut cluster = Cluster::of(5);
    let change = Change::Add(member(9, Role::Edge));
    cluster.propose(0, &change);
    cluster.report(0, 4, Event::TimingViolation, 1);
    cluster.report(1, 0, Event::TimingViolation, 1);
    cluster.root(Applications::default());
    let remove = Change::Remove(cluster.ids[0]);
    cluster.propose(1, &remove);
    assert_eq!(cluster.propose(2, &remove), Outcome::Done);
    assert_eq!(cluster.propose(3, &change), PENDING);
    cluster.root(Applications::default());
    assert_eq!(
        cluster.report(1, 4, Event::TimingViolation, 1),
        PENDING,
        "nor do its reports"
    );
    assert_eq!(cluster.micros(4), 500_000);
}

#[test]
fn parameters_change_like_members_do() {
    let mut cluster = Cluster::of(4);
    let parameters = Parameters {
        isolation_ms: 5000,
        ..Parameters::default()
    };
    let change = Change::Parameters(parameters);
    cluster.propose(0, &change);
    assert_eq!(*cluster.ledger.parameters(), Parameters::default());
    cluster.propose(2, &change);
    assert_eq!(*cluster.ledger.parameters(), parameters);
    let culprit = cluster.ids[1];
    let evidence = evidence(&cluster.genesis, culprit, 1000);
    cluster.one(cluster.ids[0], Command::Evidence(Box::new(evidence)));
    assert_eq!(cluster.ledger.shut_out(), [culprit]);
    cluster.wait(5000);
    assert!(cluster.ledger.shut_out().is_empty());
    assert_eq!(cluster.ledger.assess(culprit).unwrap().class, Class::Sound);
}
