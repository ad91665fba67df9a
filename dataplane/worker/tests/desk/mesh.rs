//! Datagrams of other nodes, which are for control.

use exchange::{Reply, Transport};

use super::support::{MESH_ECN, MESH_PORT};
use super::{Bench, CLIENT, query};

#[test]
fn datagrams_of_other_nodes_go_to_control_untouched_and_queries_beside_them_are_answered() {
    let mut bench = Bench::with_limit(1, 1, 8);
    let question = query(1, "www.example");
    bench.learn(&question, 300);
    let before = bench.tally;
    // One that is a well-formed query too.
    let datagrams = [&[0xc3; 1472][..], &question, &[]];
    for datagram in datagrams {
        bench.port.ask("192.0.2.7:4853", datagram);
        bench.port.ask(CLIENT, &question);
    }
    let sent = bench.round();
    assert_eq!(sent.len(), 3);
    assert!(sent.iter().all(|(port, _)| *port != MESH_PORT));
    for datagram in datagrams {
        let punt = bench.control.punts[0].pop().unwrap().unwrap();
        assert_eq!((punt.transport, punt.ecn), (Transport::Mesh, MESH_ECN));
        assert_eq!(punt.client, "192.0.2.7:4853".parse().unwrap());
        assert_eq!(punt.headers, MESH_PORT.to_be_bytes());
        assert_eq!(punt.message, datagram);
    }
    assert_eq!(bench.tally.mesh_received, 3);
    assert_eq!(bench.tally.punts, before.punts);
    assert_eq!(bench.tally.queries, before.queries + 3);
}

#[test]
fn datagrams_of_other_nodes_that_control_cannot_take_are_dropped_and_counted() {
    let mut bench = Bench::with_limit(0, 1, 4);
    for _ in 0..6 {
        bench.port.ask("192.0.2.7:4853", b"quic");
    }
    bench.port.ask("192.0.2.7:4853", &[0; 1905]);
    assert_eq!(bench.round(), vec![]);
    let tally = bench.tally;
    assert_eq!((tally.mesh_received, tally.drops_mesh_full), (4, 2));
    assert_eq!(tally.drops_oversize, 1);
    bench.control_alive = false;
    bench.port.ask("192.0.2.7:4853", b"quic");
    assert_eq!(bench.round(), vec![]);
    assert_eq!(bench.tally.drops_mesh_unheard, 1);
}

#[test]
fn datagram_for_another_node_leaves_as_it_is() {
    let mut bench = Bench::new();
    let headers = &MESH_PORT.to_be_bytes()[..];
    for message in [&[0xc3; 1472][..], &[]] {
        let sent = bench.reply(&Reply::Mesh { headers, message });
        assert_eq!(sent, [(MESH_PORT, message.to_vec())]);
    }
    bench.reply(&Reply::Mesh {
        headers: b"wrong",
        message: b"quic",
    });
    let tally = bench.tally;
    assert_eq!((tally.mesh_sent, tally.drops_reply_invalid), (2, 1));
    assert_eq!(tally.answers_control, 0);
}
