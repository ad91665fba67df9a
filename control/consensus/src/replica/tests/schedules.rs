//! Schedules, each from a review, with which the replica once failed: what random runs hardly find.

use alloc::boxed::Box;

use super::*;
use crate::batch::Batch;
use crate::transfer::Status;
use crate::view_change::{PrePrepared, ViewChange};
use crate::vote::{Phase, Vote};

/// Voters of these roles; the first leads first, and so on. Gives ids in that order.
fn led(roles: &[Role]) -> (Bus, Vec<NodeId>) {
    let numbers = 1..=u8::try_from(roles.len()).unwrap();
    let ids: Vec<NodeId> = numbers
        .map(|number| NodeId::of(&PublicKey([number; 32])))
        .collect();
    let genesis = configuration(roles).with_leaders(ids.clone(), Vec::new());
    (Bus::with(genesis.unwrap(), Params::default()), ids)
}

fn is_late(message: &Message) -> bool {
    matches!(message, Message::Checkpoint(..))
}

fn is_of_view_change(message: &Message) -> bool {
    matches!(message, Message::ViewChange(_))
}

/// What a liar says, with its key.
impl Bus {
    fn tell(&mut self, from: NodeId, to: NodeId, message: Message) {
        self.step(to, Input::Message(from, Verified::vouch(message)));
    }

    fn sign(&self, liar: NodeId, phase: Phase, sequence: u64, digest: Digest) -> SignedVote {
        let vote = Vote {
            phase,
            epoch: Epoch(0),
            view: View(0),
            sequence: Sequence(sequence),
            digest,
        };
        vote.sign(self.genesis.cluster(), &self.nodes[&liar].key)
    }

    fn proposal(&self, liar: NodeId, sequence: u64, batch: &Batch) -> Message {
        let signed = self.sign(liar, Phase::PrePrepare, sequence, batch.digest());
        Message::PrePrepare(signed, Arc::new(batch.clone()))
    }

    /// A VIEW-CHANGE that reports these: sequence, view, digest.
    fn wish(&self, liar: NodeId, view: u64, reports: &[(u64, u64, Digest)]) -> Message {
        let reports = reports.iter().map(|(sequence, view, digest)| PrePrepared {
            sequence: Sequence(*sequence),
            view: View(*view),
            digest: *digest,
        });
        let change = ViewChange {
            epoch: Epoch(0),
            view: View(view),
            stable: CheckpointCertificate::default(),
            prepared: Vec::new(),
            pre_prepared: reports.collect(),
            signer: liar,
            signature: Signature([0; 64]),
        };
        let change = change.sign(self.genesis.cluster(), &self.nodes[&liar].key);
        Message::ViewChange(Box::new(change))
    }

    fn batch(&self, client: NodeId, command: &[u8], time_ms: u64) -> Batch {
        let key = self.nodes[&client].key;
        let request = Request::sign(self.genesis.cluster(), &key, 0, 77, command.into());
        Batch {
            time_ms,
            requests: vec![request],
        }
    }

    /// The digest that a node holds to be decided at a place.
    fn decided(&self, id: NodeId, place: u64) -> Option<Digest> {
        let mut history = self.nodes[&id].disk.history.iter();
        history.find_map(|item| match item {
            HistoryItem::Batch { certificate, .. } if item.sequence() == Sequence(place) => {
                certificate.subject().map(|vote| vote.digest)
            }
            _ => None,
        })
    }

    fn leaders_become(&mut self, asker: NodeId, leaders: &[NodeId], isolated: &[NodeId]) {
        let wanted = self
            .genesis
            .clone()
            .with_leaders(leaders.to_vec(), isolated.to_vec());
        self.request(asker, 9, &[MEMBERS, &wanted.unwrap().to_bytes()].concat());
    }
}

#[test]
fn witness_that_leads_proposes_nothing_behind_an_end_of_the_epoch_that_it_does_not_know() {
    let (mut bus, ids) = led(&[Role::Witness, Role::Authority, Role::Authority]);
    let [witness, a, b] = ids[..] else { panic!() };
    bus.lose = |bus, from, _, message| {
        is_late(message) || (from == bus.genesis.leaders()[2] && is_of_view_change(message))
    };
    bus.leaders_become(a, &[a, b, witness], &[]);
    bus.run(3);
    for lane in 0..20 {
        bus.request(a, lane, b"load");
        bus.run(3);
    }
    bus.run(4_000);
    bus.lose = |_, _, _, _| false;
    bus.run(5_000);
    bus.request(a, 30, b"later");
    bus.run(2_000);
    let last = bus.replica(a).summary().executed;
    assert!(bus.replica(a).summary().epoch == Epoch(1) && last > Sequence(5));
    for place in 1..=last.0 {
        let decided = [witness, a, b].map(|id| bus.decided(id, place));
        assert!(
            decided
                .iter()
                .flatten()
                .all(|digest| Some(*digest) == decided[1]),
            "{place}"
        );
    }
}

#[test]
fn witness_consents_to_nothing_behind_an_end_of_the_epoch_that_it_does_not_know() {
    let roles = [
        Role::Authority,
        Role::Authority,
        Role::Authority,
        Role::Witness,
    ];
    let (mut bus, ids) = led(&roles);
    let [liar, a, c, witness] = ids[..] else {
        panic!()
    };
    bus.stop(liar);
    let wanted = bus
        .genesis
        .clone()
        .with_leaders(vec![a, c, witness, liar], Vec::new());
    let wanted = [MEMBERS, &wanted.unwrap().to_bytes()].concat();
    let batches = [bus.batch(a, &wanted, bus.now.unix_ms), Batch::null()];
    for (sequence, batch) in (1..).zip(&batches) {
        for to in [a, c, witness] {
            bus.tell(liar, to, bus.proposal(liar, sequence, batch));
        }
    }
    bus.run(100);
    assert_eq!(bus.replica(a).boundary, Some(Sequence(4)));
    let behind = bus.batch(liar, b"behind", bus.now.unix_ms);
    bus.tell(liar, witness, bus.proposal(liar, 5, &behind));
    let slot = bus.replica(witness).slots.get(&Sequence(5));
    assert!(slot.is_none_or(|slot| slot.proposal.is_none()));
    bus.lose = |bus, from, _, message| {
        is_late(message) || (from == bus.genesis.leaders()[2] && is_of_view_change(message))
    };
    bus.tell(liar, a, bus.wish(liar, 1, &[(5, 0, behind.digest())]));
    bus.run(4_000);
    bus.lose = |_, _, _, _| false;
    bus.run(2_000);
    for id in [a, c] {
        bus.request(id, 3, b"later");
    }
    bus.run(5_000);
    assert!(bus.decided(a, 5).is_some());
    assert_eq!(bus.decided(a, 5), bus.decided(witness, 5));
}

#[test]
fn witness_that_is_a_batch_ahead_is_no_reason_for_patience_with_a_dead_primary() {
    let roles = [
        Role::Authority,
        Role::Authority,
        Role::Authority,
        Role::Witness,
    ];
    let (mut bus, ids) = led(&roles);
    let [primary, a, c, witness] = ids[..] else {
        panic!()
    };
    bus.stop(primary); // What it says is said here.
    let batch = bus.batch(a, b"one", bus.now.unix_ms);
    // The proposal to one of them, and the commit to another, are lost.
    for to in [a, witness] {
        bus.tell(primary, to, bus.proposal(primary, 1, &batch));
    }
    bus.run(50);
    let commit = bus.sign(primary, Phase::Commit, 1, batch.digest());
    bus.tell(primary, witness, Message::Vote(commit));
    bus.run(5);
    assert_eq!(bus.replica(witness).summary().executed, Sequence(1));
    assert_eq!(bus.replica(a).summary().executed, Sequence(0));
    for to in [a, c, witness] {
        let executed = Sequence(1);
        let status = Status {
            executed,
            ..Status::default()
        };
        bus.tell(primary, to, Message::Status(status));
    }
    bus.request(a, 1, b"two");
    bus.request(c, 1, b"three");
    bus.run(20_000);
    assert_eq!(bus.commands(a).len(), 3);
}

/// View 0: the proposal reaches one alone. View 1 begins with it, which is late at another. View 2 begins without it,
/// and puts something else in its place. View 3 begins with it again.
#[test]
fn batch_that_a_later_view_may_come_back_to_is_kept() {
    let (mut bus, ids) = led(&FOUR);
    let [liar, a, b, c] = ids[..] else { panic!() };
    bus.stop(liar);
    let lost = bus.batch(liar, b"lost", bus.now.unix_ms);
    let digest = lost.digest();
    bus.lose = |_, _, _, _| true;
    bus.tell(liar, a, bus.proposal(liar, 1, &lost));
    bus.run(1_100);
    bus.lose = |_, _, _, message| !is_of_view_change(message);
    bus.cut_off.insert(c);
    let wish = bus.wish(liar, 1, &[(1, 0, digest)]);
    bus.tell(liar, a, wish.clone());
    bus.tell(liar, b, wish);
    bus.run(150);
    assert_eq!(bus.replica(a).summary().view, View(1));
    let entered = bus.nodes[&a]
        .disk
        .records
        .iter()
        .rev()
        .find_map(|record| match record {
            Record::ViewEntered(new) => Some(Arc::clone(new)),
            _ => None,
        });
    let first = entered.unwrap();
    assert_eq!(first.proposals[0].vote.digest, digest);
    bus.lose = |_, _, _, _| true;
    while bus.replica(b).summary().view < View(2) {
        bus.run(10);
    }
    bus.lose = |_, _, _, message| {
        !matches!(
            message,
            Message::ViewChange(_) | Message::NewView(_) | Message::PrePrepare(..)
        )
    };
    let wish = bus.wish(liar, 2, &[]);
    bus.tell(liar, a, wish.clone());
    bus.tell(liar, b, wish);
    bus.run(150);
    bus.request(b, 0, b"other");
    bus.run(5);
    let other = bus.replica(a).slots[&Sequence(1)].proposal.unwrap().vote;
    assert!(other.view == View(2) && other.digest != digest);
    bus.lose = |_, _, _, _| true;
    bus.stop(a);
    bus.start(a);
    bus.tell(a, c, Message::NewView(first));
    bus.cut_off = BTreeSet::from([b]);
    bus.lose = |_, _, _, message| !is_of_view_change(message);
    bus.tell(liar, c, bus.wish(liar, 3, &[(1, 1, digest)]));
    while bus.replica(c).summary().view < View(3) || bus.replica(c).summary().is_changing {
        bus.run(10);
        assert!(bus.replica(c).summary().view <= View(3));
    }
    // From here on all is well but for the liar.
    bus.lose = |_, _, _, _| false;
    bus.cut_off.clear();
    for id in [a, b, c] {
        bus.request(id, 5, b"after");
    }
    bus.run(60_000);
    for id in [a, b, c] {
        assert!(
            bus.commands(id).contains(&b"after".to_vec()),
            "{:?}",
            bus.replica(id).summary()
        );
    }
}

#[test]
fn wrong_clock_that_got_into_the_order_stops_nobody_once_it_is_set_right() {
    let (mut bus, ids) = led(&FOUR);
    let [liar, a, b, early] = ids[..] else {
        panic!()
    };
    bus.write_many(&[a], 3);
    bus.run(100);
    bus.stop(liar);
    bus.ahead_ms.insert(early, 3_600_000);
    let next = bus.replica(early).summary().executed.next();
    let batch = bus.batch(liar, b"early", bus.now.unix_ms + 3_600_000);
    bus.tell(liar, early, bus.proposal(liar, next.0, &batch));
    bus.tell(liar, a, bus.wish(liar, 1, &[(next.0, 0, batch.digest())]));
    bus.request(a, 1, b"two");
    bus.run(10_000);
    let time_ms = bus.replica(a).summary().time_ms;
    assert!(
        time_ms >= bus.now.unix_ms + 3_000_000,
        "the batch is in the order"
    );
    bus.ahead_ms.clear();
    for number in 0..100_u32 {
        let id = bus.request(b, number % 8, &number.to_be_bytes());
        let until = bus.now.monotonic_us + 2_000_000;
        while !bus.nodes[&b].executed.contains(&id) && bus.now.monotonic_us < until {
            bus.run(5);
        }
        assert!(
            bus.nodes[&b].executed.contains(&id),
            "{number}: {:?}",
            bus.replica(b).summary()
        );
    }
    assert!(
        bus.replica(a).summary().time_ms > time_ms,
        "time rises all the same"
    );
}

#[test]
fn request_of_a_node_that_is_shut_out_is_waited_for_by_nobody() {
    for leaders_count in [2, 3] {
        let (mut bus, ids) = led(&FOUR);
        let [_, a, x, isolated] = ids[..] else {
            panic!()
        };
        bus.write_many(&ids, 2);
        bus.run(100);
        bus.leaders_become(a, &ids[..leaders_count], &[isolated]);
        // One hears of a request in the old epoch; what it passes on comes to the primary in the new one.
        bus.lose = |_, _, _, message| matches!(message, Message::Request(_));
        let key = bus.nodes[&isolated].key;
        let late = Request::sign(
            bus.genesis.cluster(),
            &key,
            3,
            u64::MAX,
            b"late".as_slice().into(),
        );
        assert_eq!(bus.replica(x).summary().epoch, Epoch(0));
        bus.tell(isolated, x, Message::Request(late));
        bus.run(20);
        bus.lose = |_, _, _, _| false;
        bus.run(30_000);
        let summary = bus.replica(x).summary();
        assert_eq!(
            (summary.epoch, summary.view, summary.pending),
            (Epoch(1), View(0), 0)
        );
    }
}

#[test]
fn helper_that_claims_a_huge_snapshot_or_sends_crumbs_loses_its_turn() {
    let params = Params {
        snapshot_interval: 1,
        snapshot_wear_percent: 0,
        ..Params::default()
    };
    let mut bus = Bus::with(configuration(&FOUR), params);
    let ids = bus.ids();
    let [liar, a, b, behind] = ids[..] else {
        panic!()
    };
    bus.cut_off.insert(behind);
    bus.write_many(&[a, b], 30);
    bus.run(1_000);
    let (certificate, body, _) = bus.nodes[&liar].disk.snapshot.clone().unwrap();
    bus.stop(liar);
    bus.lose = |_, _, to, _| to != NodeId(0);
    for other in [a, b] {
        let executed = bus.replica(other).summary().executed;
        let status = Status {
            executed,
            ..Status::default()
        };
        bus.tell(other, behind, Message::Status(status));
    }
    for (bytes_count, chunk) in [(1 << 30, None), (2 * CHUNK_BYTES_MAX as u64, Some(vec![0]))] {
        bus.nodes
            .get_mut(&behind)
            .unwrap()
            .replica
            .as_mut()
            .unwrap()
            .transfer = None;
        let executed = Sequence(1_000_000);
        let status = Status {
            executed,
            ..Status::default()
        };
        bus.tell(liar, behind, Message::Status(status));
        let helper = |bus: &Bus| bus.replica(behind).transfer.as_ref().map(Transfer::helper);
        assert_eq!(helper(&bus), Some(liar));
        let offer = SnapshotOffer {
            transitions: Vec::new(),
            certificate: certificate.clone(),
            body: body.clone(),
            bytes_count,
        };
        bus.tell(liar, behind, Message::SnapshotOffer(Box::new(offer)));
        if let Some(bytes) = chunk {
            let sequence = body.sequence;
            bus.tell(
                liar,
                behind,
                Message::Chunk {
                    sequence,
                    index: 0,
                    bytes,
                },
            );
        }
        let transfer = bus.replica(behind).transfer.clone();
        assert!(transfer.is_some_and(|transfer| !transfer.has_snapshot()));
    }
    bus.lose = |_, _, _, _| false;
    bus.cut_off.clear();
    bus.run(3_000);
    assert_eq!(bus.commands(behind), bus.commands(a));
}

#[test]
fn node_that_has_started_again_knows_the_keys_of_former_members() {
    let (mut bus, ids) = led(&FOUR);
    bus.known = Some(
        ids.iter()
            .map(|id| (*id, ids.iter().copied().collect()))
            .collect(),
    );
    bus.write_many(&ids, 5);
    bus.add(PublicKey([5; 32]));
    bus.add(PublicKey([6; 32]));
    for last in [5, 6] {
        let members = [1, 2, 3, last].map(|number| member(number, Role::Authority));
        let wanted = Configuration::new(Epoch(0), members.into(), 4, 3).unwrap();
        bus.request(ids[0], 9, &[MEMBERS, &wanted.to_bytes()].concat());
        bus.run(3_000);
    }
    let members = [1, 2, 3, 6].map(|number| NodeId::of(&PublicKey([number; 32])));
    let primary = bus.replica(members[0]).primary();
    members.iter().for_each(|id| bus.stop(*id));
    let others: Vec<NodeId> = members.into_iter().filter(|id| *id != primary).collect();
    others.iter().for_each(|id| bus.start(*id));
    bus.unknown = 0;
    // The view that must change begins at the checkpoint that a former member has signed.
    let id = bus.request(others[0], 3, b"after");
    bus.run(20_000);
    let summary = bus.replica(others[0]).summary();
    assert!(
        bus.nodes[&others[0]].executed.contains(&id),
        "{} {summary:?}",
        bus.unknown
    );
    assert_eq!(bus.unknown, 0);
}
