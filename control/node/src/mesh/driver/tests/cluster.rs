//! What a cluster of drivers must do: agree, come back, catch up, and say when a disk is full.

use super::*;

#[test]
fn change_is_in_service_where_it_was_asked_for_before_the_reply_and_then_everywhere() {
    let cluster = Cluster::started(4);
    for number in 0..20 {
        let index = usize::try_from(number).unwrap() % 4;
        let reply = cluster.add(index, number).unwrap();
        assert_eq!(reply.bytes, [1]);
        assert!(cluster.node(index).service.has(number));
    }
    cluster.has_everywhere(0..20);
    let again = cluster.add(0, 7).unwrap();
    assert_eq!(again.bytes, [0]);
    let phases = cluster.handle(0).phases();
    for wanted in ["committed", "executed", "durable", "client", "log sync"] {
        assert!(phases.iter().any(|one| one.phase == wanted), "{wanted}");
    }
}

#[test]
fn node_alone_agrees_with_itself() {
    let mut cluster = Cluster::started(1);
    for number in 0..5 {
        cluster.add(0, number).unwrap();
    }
    cluster.stop(0);
    cluster.start(0);
    cluster.has_everywhere(0..5);
    cluster.add(0, 5).unwrap();
}

#[test]
fn wishes_that_come_together_share_requests_and_each_has_its_reply() {
    let cluster = Cluster::started(4);
    let handle = cluster.handle(1);
    let receivers: Vec<_> = (0..2_000_u64)
        .map(|number| handle.start_submit(number.to_be_bytes().to_vec()))
        .collect();
    for receiver in receivers {
        let reply = receiver.unwrap().blocking_recv().unwrap().unwrap();
        assert_eq!(reply.bytes, [1]);
    }
    let served = cluster.node(1).service.numbers();
    assert_eq!(served.added.len(), 2_000);
    assert!(served.requests < 1_000, "{} requests", served.requests);
}

#[test]
fn nothing_acknowledged_is_lost_when_all_stop_and_come_back() {
    let mut cluster = Cluster::new(4, 10);
    for round in 0..3_u64 {
        (0..4).for_each(|index| cluster.start(index));
        cluster.has_everywhere(0..round * 35);
        for number in round * 35..(round + 1) * 35 {
            cluster
                .add(usize::try_from(number % 4).unwrap(), number)
                .unwrap();
        }
        (0..4).for_each(|index| cluster.stop(index));
    }
    (0..4).for_each(|index| cluster.start(index));
    cluster.has_everywhere(0..105);
}

#[test]
fn three_of_four_go_on_and_the_fourth_catches_up() {
    let mut cluster = Cluster::started(4);
    cluster.add(0, 0).unwrap();
    cluster.stop(3);
    for number in 1..150 {
        cluster
            .add(usize::try_from(number % 3).unwrap(), number)
            .unwrap();
    }
    cluster.start(3);
    cluster.has_everywhere(0..150);
    cluster.add(3, 150).unwrap();
}

#[test]
fn node_that_is_far_behind_gets_a_snapshot_and_starts_from_it_again() {
    fall_far_behind_and_catch_up(Cluster::new(4, 5));
}

/// One of four nodes is away until the others have no history left that it could use.
pub(super) fn fall_far_behind_and_catch_up(mut cluster: Cluster) {
    cluster.params.snapshot_interval = 2;
    cluster.limits.history = HistoryLimits {
        segment_bytes: 4_000,
        kept_requests_count: 10,
        kept_bytes_max: 1 << 20,
    };
    (0..4).for_each(|index| cluster.start(index));
    cluster.add(0, 0).unwrap();
    cluster.stop(3);
    for number in 1..150 {
        cluster
            .add(usize::try_from(number % 3).unwrap(), number)
            .unwrap();
    }
    wait_until(|| {
        let history = cluster.handle(0).standing().history;
        history.is_some_and(|(first, _)| first > Sequence(20))
    });
    cluster.start(3);
    cluster.has_everywhere(0..150);
    // A snapshot and what follows it, not history from the beginning.
    wait_until(|| {
        let history = cluster.handle(3).standing().history;
        history.is_none_or(|(first, _)| first > Sequence(2))
    });
    cluster.stop(3);
    cluster.start(3);
    cluster.add(3, 150).unwrap();
    cluster.has_everywhere(0..151);
}

#[test]
fn damaged_newest_snapshot_costs_nothing() {
    let mut cluster = Cluster::new(4, 5);
    cluster.params.snapshot_interval = 2;
    (0..4).for_each(|index| cluster.start(index));
    let snapshot = |cluster: &Cluster| cluster.handle(2).standing().snapshot;
    for number in 0..60 {
        cluster.add(2, number).unwrap();
    }
    wait_until(|| snapshot(&cluster) >= Some(Sequence(50)));
    cluster.stop(2);
    let newest = std::fs::read_dir(cluster.folder(2)).unwrap();
    let newest = newest
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_str().unwrap().contains("snapshot-"))
        .max()
        .unwrap();
    let mut bytes = std::fs::read(&newest).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&newest, bytes).unwrap();
    cluster.start(2);
    cluster.has_everywhere(0..60);
    cluster.add(2, 60).unwrap();
}

#[test]
fn snapshots_that_are_whole_but_of_no_use_are_refused_and_left_as_they_are() {
    let mut cluster = Cluster::new(4, 5);
    cluster.params.snapshot_interval = 2;
    (0..4).for_each(|index| cluster.start(index));
    for number in 0..60 {
        cluster.add(2, number).unwrap();
    }
    wait_until(|| cluster.handle(2).standing().snapshot >= Some(Sequence(50)));
    cluster.stop(2);
    let owner = Owner {
        cluster: cluster.genesis.cluster(),
        node: cluster.identities[2].id(),
    };
    let snapshots = Snapshots::open(Arc::new(RealDisk), cluster.folder(2), owner).unwrap();
    let [newest, older] = &snapshots.all()[..] else {
        panic!("not two snapshots");
    };
    let path = |sequence: Sequence| {
        let name = format!("snapshot-{:020}", sequence.0);
        cluster.folder(2).join(name)
    };
    let (newest_path, older_path) = (path(newest.body.sequence), path(older.body.sequence));
    let sound = std::fs::read(&older_path).unwrap();
    for stored in [newest, older] {
        let stored = snapshots.store(&stored.certificate, &stored.body, b"another form");
        stored.unwrap();
    }
    let error = super::start(cluster.setup(2, Arc::new(RealDisk))).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("Start the version that wrote it"), "{text}");
    assert!(newest_path.exists(), "{text}");
    assert!(older_path.exists(), "{text}");
    std::fs::write(&older_path, sound).unwrap();
    cluster.start(2);
    cluster.has_everywhere(0..60);
    assert!(newest_path.with_extension("aside").exists());
}

#[test]
fn damaged_log_is_refused_and_a_node_without_one_fetches_all_from_its_peers() {
    let mut cluster = Cluster::started(4);
    for number in 0..30 {
        cluster.add(0, number).unwrap();
    }
    cluster.stop(2);
    let path = cluster.folder(2).join("log");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let error = super::start(cluster.setup(2, Arc::new(RealDisk))).unwrap_err();
    assert!(matches!(
        error,
        StartError::Store(StoreError::Damaged { .. })
    ));
    // The message says to take a new key, too; the state comes in the same way.
    cluster.folders[2] = TempDir::new().unwrap();
    cluster.start(2);
    cluster.has_everywhere(0..30);
}

#[test]
fn wish_that_the_machine_does_not_know_is_told_so_at_once_and_blocks_no_lane() {
    let mut cluster = Cluster::new(4, 10);
    (0..4).for_each(|index| cluster.start(index));
    for number in 0..100 {
        let reply = cluster.handle(1).start_submit(vec![1, 2, 3]).unwrap();
        assert_eq!(reply.blocking_recv().unwrap(), Err(SubmitError::Malformed));
        cluster.add(1, number).unwrap();
    }
}

#[test]
fn full_disk_stops_one_node_with_a_word_and_the_others_go_on() {
    let mut cluster = Cluster::new(4, 10);
    let disk = FailingDisk::after(i64::MAX, true);
    (0..3).for_each(|index| cluster.start(index));
    cluster.start_on(3, disk.clone());
    for number in 0..20 {
        cluster.add(3, number).unwrap();
    }
    disk.set_left(0);
    let outcome = cluster.add(3, 20);
    assert!(
        matches!(outcome, Err(SubmitError::Stopped(_))),
        "{outcome:?}"
    );
    let handle = cluster.handle(3);
    wait_until(|| handle.standing().failure.is_some());
    let failure = handle.standing().failure.clone().unwrap();
    assert!(failure.contains("no storage space"), "{failure}");
    wait_until(|| lock(&cluster.node(3).service.halted).is_some());
    for number in 21..40 {
        cluster.add(0, number).unwrap();
    }
    // Room was made and the node started again.
    cluster.stop(3);
    cluster.start(3);
    cluster.has_everywhere(0..20);
    cluster.has_everywhere(21..40);
    cluster.add(3, 40).unwrap();
}

#[test]
fn crash_at_any_operation_of_the_disk_loses_nothing_acknowledged() {
    for operations in (5..60).step_by(7) {
        let mut cluster = Cluster::new(4, 5);
        cluster.params.snapshot_interval = 1;
        let disk = FailingDisk::after(operations, operations % 2 == 0);
        (0..3).for_each(|index| cluster.start(index));
        let setup = cluster.setup(3, disk);
        let service = setup.hooks.clone();
        if let Ok(driver) = super::start(setup) {
            cluster.nodes[3] = Some(Node { driver, service });
        }
        for number in 0..40 {
            cluster
                .add(usize::try_from(number % 3).unwrap(), number)
                .unwrap();
        }
        if cluster.nodes[3].is_some() {
            cluster.stop(3);
        }
        cluster.start(3);
        cluster.has_everywhere(0..40);
    }
}

#[test]
fn read_behind_its_barrier_sees_what_was_acknowledged_elsewhere() {
    let cluster = Cluster::started(4);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    for number in 0..30 {
        cluster.add(0, number).unwrap();
        runtime.block_on(cluster.handle(2).read_barrier()).unwrap();
        assert!(cluster.node(2).service.has(number), "{number}");
    }
}

#[test]
fn two_of_four_commit_nothing_and_say_that_it_may_still_be() {
    let mut cluster = Cluster::new(4, 100);
    cluster.limits.request_timeout = Duration::from_millis(300);
    cluster.start(0);
    cluster.start(1);
    let outcome = cluster.add(0, 1);
    assert!(
        matches!(outcome, Err(SubmitError::Timeout(_))),
        "{outcome:?}"
    );
    assert!(!cluster.node(0).service.has(1));
    cluster.start(2);
    cluster.start(3);
    wait_until(|| cluster.add(0, 2).is_ok());
}

#[test]
fn metrics_of_a_node_are_exported() {
    let cluster = Cluster::started(4);
    cluster.add(0, 1).unwrap();
    let mut registry = prometheus_client::registry::Registry::default();
    registry.register_collector(Box::new(cluster.handle(0)));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    for wanted in [
        "nexus_consensus_stopped 0",
        "nexus_consensus_log_sync_seconds_count",
        "nexus_consensus_requests_total 1",
        "nexus_consensus_client_seconds_bucket{le=\"",
    ] {
        assert!(text.contains(wanted), "{wanted}\n{text}");
    }
}

#[test]
fn report_of_a_node_says_where_it_and_its_peers_stand() {
    let cluster = Cluster::started(4);
    cluster.add(1, 1).unwrap();
    wait_until(|| {
        let report = cluster.handle(1).report();
        report.executed == 1 && report.members.iter().any(|member| member.executed == 1)
    });
    let report = serde_json::to_value(cluster.handle(1).report()).unwrap();
    assert_eq!(report["node"], cluster.identities[1].id().to_string());
    assert_eq!(report["is_voter"], true);
    assert_eq!(report["failure"], serde_json::Value::Null);
    assert_eq!(report["history"], serde_json::json!([1, 1]));
    let phases = report["phases"].as_array().unwrap();
    assert!(phases.iter().any(|one| one["phase"] == "client"));
}
