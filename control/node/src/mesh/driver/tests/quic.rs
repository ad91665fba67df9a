//! The same over real QUIC on loopback.

use super::*;

#[test]
fn four_nodes_commit_lose_one_and_have_it_back_over_quic() {
    let mut cluster = Cluster::over_quic(4, 10);
    (0..4).for_each(|index| cluster.start(index));
    for number in 0..20 {
        cluster
            .add(usize::try_from(number % 4).unwrap(), number)
            .unwrap();
    }
    cluster.has_everywhere(0..20);
    cluster.stop(3);
    for number in 20..80 {
        cluster
            .add(usize::try_from(number % 3).unwrap(), number)
            .unwrap();
    }
    cluster.start(3);
    cluster.has_everywhere(0..80);
    cluster.add(3, 80).unwrap();
}

/// What of it is answered to the one who asked passes those who check signatures, and the old messages of others do not.
#[test]
fn node_that_is_far_behind_gets_a_snapshot_over_quic() {
    cluster::fall_far_behind_and_catch_up(Cluster::over_quic(4, 5));
}

#[test]
fn nothing_acknowledged_is_lost_when_all_stop_and_come_back_over_quic() {
    let mut cluster = Cluster::over_quic(4, 10);
    for round in 0..2_u64 {
        (0..4).for_each(|index| cluster.start(index));
        for number in round * 25..(round + 1) * 25 {
            cluster
                .add(usize::try_from(number % 4).unwrap(), number)
                .unwrap();
        }
        (0..4).for_each(|index| cluster.stop(index));
    }
    (0..4).for_each(|index| cluster.start(index));
    cluster.has_everywhere(0..50);
}

#[test]
fn node_whose_disk_is_full_leaves_the_others_to_go_on_over_quic() {
    let mut cluster = Cluster::over_quic(4, 10);
    let disk = FailingDisk::after(i64::MAX, false);
    cluster.start_on(0, disk.clone());
    (1..4).for_each(|index| cluster.start(index));
    cluster.add(0, 0).unwrap();
    disk.set_left(0);
    let outcome = cluster.add(0, 1);
    assert!(
        matches!(outcome, Err(SubmitError::Stopped(_))),
        "{outcome:?}"
    );
    // Whoever led: another does now, if it was this one.
    for number in 2..20 {
        cluster.add(1, number).unwrap();
    }
}
