//! What control says of the mesh arrives as it was said, within bounds, and from one control alone.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use std::fs::File;
use std::os::unix::fs::FileExt;

use common::small;
use exchange::{
    ClaimError, GuardReport, GuardedPeer, MESH_PEERS_MAX, Mesh, MeshPeer, MeshReplica, Region,
};

fn peer(node_id: u64, endpoint: &str) -> MeshPeer {
    MeshPeer {
        node_id,
        endpoint: endpoint.parse().unwrap(),
        isolated_until_ms: node_id / 2,
    }
}

fn mesh() -> Mesh {
    Mesh {
        guarded: true,
        by_rings: true,
        peers: vec![
            peer(u64::MAX, "192.0.2.1:4853"),
            peer(2, "[2001:db8::1]:65535"),
        ],
        replicas: vec![MeshReplica {
            node_id: 2,
            view: 3,
            sequence: 4,
            state: 5,
            bad_signatures: 6,
            contradictions: 7,
            late_votes: 8,
        }],
    }
}

#[test]
fn mesh_reads_as_it_was_written_and_its_version_moves_with_each_write() {
    let region = Region::create(&small()).unwrap();
    assert_eq!(region.mesh(), Some(Mesh::default()));
    let control_region = region.attach_control().unwrap();
    let mut control = control_region.control(1).unwrap();
    for said in [mesh(), Mesh::default(), mesh()] {
        let before = region.mesh_version();
        control.mesh.write(&said);
        assert_ne!(region.mesh_version(), before);
        assert_eq!(region.mesh(), Some(said));
    }
}

#[test]
fn more_peers_than_fit_are_left_out() {
    let region = Region::create(&small()).unwrap();
    let control_region = region.attach_control().unwrap();
    let mut control = control_region.control(1).unwrap();
    let mut many = mesh();
    many.peers = vec![peer(9, "192.0.2.1:1"); MESH_PEERS_MAX + 5];
    many.replicas = vec![MeshReplica::default(); MESH_PEERS_MAX + 5];
    control.mesh.write(&many);
    let read = region.mesh().unwrap();
    assert_eq!(
        (read.peers.len(), read.replicas.len()),
        (MESH_PEERS_MAX, MESH_PEERS_MAX)
    );
}

#[test]
fn control_that_was_replaced_says_nothing_more() {
    let region = Region::create(&small()).unwrap();
    let first_region = region.attach_control().unwrap();
    let mut first = first_region.control(1).unwrap();
    let second_region = region.attach_control().unwrap();
    let mut second = second_region.control(2).unwrap();
    second.mesh.write(&mesh());
    first.mesh.write(&Mesh::default());
    assert_eq!(region.mesh(), Some(mesh()));
}

#[test]
fn write_that_was_cut_short_is_read_by_nobody_until_the_next_one_repairs_it() {
    let region = Region::create(&small()).unwrap();
    let control_region = region.attach_control().unwrap();
    let mut control = control_region.control(1).unwrap();
    control.mesh.write(&mesh());
    // The sequence number is the first word of the block.
    let memory = File::from(region.memory().try_clone_to_owned().unwrap());
    let version = region.mesh_version();
    let bytes = memory.metadata().unwrap().len();
    let words = (0..bytes / 8).rev().map(|word| word * 8);
    let word_at = |offset| {
        let mut word = [0; 8];
        memory.read_exact_at(&mut word, offset).unwrap();
        u64::from_le_bytes(word)
    };
    let block = words
        .filter(|offset| offset.is_multiple_of(4096))
        .find(|offset| word_at(*offset) == version)
        .unwrap();
    memory
        .write_all_at(&(version + 1).to_le_bytes(), block)
        .unwrap();
    assert_eq!(region.mesh(), None);
    control.mesh.write(&mesh());
    assert_eq!(region.mesh(), Some(mesh()));
}

#[test]
fn guards_report_reads_as_it_was_written_and_only_the_creator_writes_it() {
    let region = Region::create(&small()).unwrap();
    let control_region = region.attach_control().unwrap();
    assert_eq!(control_region.guard_writer().unwrap_err(), ClaimError::Role);
    let mut writer = region.guard_writer().unwrap();
    assert_eq!(region.guard_writer().unwrap_err(), ClaimError::Taken);
    let report = GuardReport {
        active: true,
        outcomes: [1, 2, 3, 4, 5, 6, 7, 8],
        peers: vec![
            GuardedPeer {
                node_id: 1,
                packets: 2,
                bytes: 3,
                dropped_shape: 4,
                dropped_rate: 5,
                dropped_isolated: 6,
            };
            2
        ],
    };
    writer.write(&report);
    assert_eq!(control_region.guard_report(), Some(report));
}
