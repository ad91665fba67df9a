//! What the replica has no use for is dropped before its signatures are looked at.

use consensus::Horizon;

use super::*;

/// A replica that stands behind what `vote` and `every_kind` speak of, and has asked nobody.
fn later() -> Horizon {
    Horizon {
        epoch: Epoch(5),
        view: View(3),
        is_changing: false,
        stable: Sequence(100),
        high: Sequence(123),
        helper: None,
    }
}

#[test]
fn flood_of_what_is_over_or_was_not_asked_for_costs_no_signature_check() {
    const EACH: u64 = 300;
    let cluster = Cluster::new(2);
    let nodes = cluster.all();
    nodes[1].network.set_horizon(later());
    let of_use = |message: &Message| {
        matches!(
            message,
            Message::PrePrepare(..)
                | Message::ViewChange(_)
                | Message::NewView(_)
                | Message::Log(_)
                | Message::SnapshotOffer(_)
        )
    };
    let mut flood = every_kind(&cluster, &cluster.identities[0]);
    flood.retain(of_use);
    assert_eq!(flood.len(), 5);
    let telemetry = nodes[1].network.telemetry();
    for _ in 0..EACH {
        for message in &flood {
            nodes[0].network.send(cluster.id(1), message);
        }
    }
    let useless = || {
        let mut losses = telemetry.counters.losses();
        losses.find_map(|(loss, count)| (loss == Loss::Useless).then_some(count))
    };
    until(|| useless() == Some(5 * EACH));
    assert_eq!(telemetry.counters.signatures.get(), 0);
    assert_eq!(nodes[1].network.peers()[0].useless, 5 * EACH);
    assert!(nodes[1].inbound.is_empty(), "nor is it held against anyone");

    // What is of use gets through, an answer too, once it was asked for.
    let place = Vote {
        epoch: Epoch(5),
        ..vote(Phase::Commit, 101)
    };
    let id = cluster.configuration.cluster();
    let signed = place.sign(id, &cluster.identities[0]);
    let log = flood.into_iter().find(|m| matches!(m, Message::Log(_)));
    nodes[1].network.set_horizon(Horizon {
        helper: Some(cluster.id(0)),
        ..later()
    });
    for message in [Message::Vote(signed), log.unwrap()] {
        nodes[0].network.send(cluster.id(1), &message);
        assert_eq!(nodes[1].message(), (cluster.id(0), message));
    }
}

#[test]
fn who_has_missed_a_checkpoint_is_heard_now_and_then() {
    let cluster = Cluster::new(2);
    let nodes = cluster.all();
    nodes[1].network.set_horizon(later());
    let mut all = every_kind(&cluster, &cluster.identities[0]).into_iter();
    let old = all.find(|message| matches!(message, Message::Checkpoint(..)));
    let old = old.unwrap();
    let begun = std::time::Instant::now();
    let mut heard = 0;
    while heard < 3 {
        nodes[0].network.send(cluster.id(1), &old);
        std::thread::sleep(Duration::from_millis(1));
        heard += nodes[1].inbound.try_iter().count();
    }
    assert!(begun.elapsed() >= Duration::from_millis(40));
    nodes[1].lost(Loss::Useless);
}
