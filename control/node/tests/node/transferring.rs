//! Zones go out to those who may have them.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::SOA;
use hickory_proto::rr::{RData, Record, RecordType};

use crate::common::{Node, data, query, rcode, wait_until};

fn zones(acl: &str) -> String {
    format!("zones: [{{name: example.com., file: example.com.zone, allow_transfer: [{acl}]}}]")
}

#[test]
fn a_transfer_begins_and_ends_with_the_soa_and_holds_everything() {
    let node = Node::start(&zones("127.0.0.0/8"));
    for rtype in [RecordType::AXFR, RecordType::IXFR] {
        let mut tcp = node.tcp();
        tcp.send(&query("example.com.", rtype));
        let mut records = Vec::new();
        while records
            .iter()
            .filter(|rtype| **rtype == RecordType::SOA)
            .count()
            < 2
        {
            let message = tcp.receive();
            assert_eq!(rcode(&message), ResponseCode::NoError);
            records.extend(message.answers.iter().map(Record::record_type));
        }
        assert_eq!(records.len(), 10, "{rtype}");
        assert_eq!(
            (records.first(), records.last()),
            (Some(&RecordType::SOA), Some(&RecordType::SOA))
        );
        // The connection is good for more.
        assert_eq!(
            data(&tcp.ask(&query("www.example.com.", RecordType::A))),
            ["192.0.2.1"]
        );
    }
}

fn large_zone(hosts: u32) -> String {
    let mut zone =
        String::from("@ 60 SOA ns hostmaster 1 3600 600 86400 60\n@ 60 NS ns\nns 60 A 192.0.2.1\n");
    for index in 0..hosts {
        zone.push_str(&format!(
            "host{index} 60 A 198.51.{}.{}\n",
            index / 256 % 256,
            index % 256
        ));
    }
    zone
}

#[test]
fn a_large_transfer_takes_many_messages_and_none_is_lost() {
    let mut node = Node::new(&zones("127.0.0.0/8"));
    node.write("example.com.zone", &large_zone(20_000));
    node.spawn();
    let mut tcp = node.tcp();
    tcp.send(&query("example.com.", RecordType::AXFR));
    let (mut records, mut soas, mut messages) = (0, 0, 0);
    while soas < 2 {
        let message = tcp.receive();
        messages += 1;
        records += message.answers.len();
        soas += message
            .answers
            .iter()
            .filter(|record| record.record_type() == RecordType::SOA)
            .count();
    }
    assert_eq!(records, 20_004);
    assert!(messages > 10);
}

#[test]
fn a_transfer_is_refused_to_everybody_who_is_not_listed() {
    for acl in ["", "192.0.2.0/24"] {
        let node = Node::start(&zones(acl));
        let mut tcp = node.tcp();
        for (name, rtype) in [
            ("example.com.", RecordType::AXFR),
            ("example.com.", RecordType::IXFR),
            ("www.example.com.", RecordType::AXFR),
            ("example.net.", RecordType::AXFR),
        ] {
            let answer = tcp.ask(&query(name, rtype));
            assert_eq!(
                (rcode(&answer), answer.answers.len()),
                (ResponseCode::Refused, 0)
            );
        }
    }
}

#[test]
fn an_incremental_transfer_from_the_present_serial_is_the_soa_alone() {
    let node = Node::start(&zones("127.0.0.0/8"));
    let mut tcp = node.tcp();
    for (serial, records) in [(1, 1), (2, 1), (0, 10)] {
        let mut question = query("example.com.", RecordType::IXFR);
        let name = question.queries[0].name().clone();
        let soa = SOA::new(name.clone(), name.clone(), serial, 1, 1, 1, 1);
        question.add_authority(Record::from_rdata(name, 0, RData::SOA(soa)));
        assert_eq!(tcp.ask(&question).answers.len(), records, "{serial}");
    }
    let zone = "nexus_control_answers_total{source=\"zone\"}";
    assert_eq!(node.metric(zone), Some(2));
    // Counted once the last byte has left, which may be after it has come.
    let served = "nexus_control_transfers_total{outcome=\"served\"}";
    wait_until("the transfer counts", || node.metric(served) == Some(1));
}

#[test]
fn a_transfer_that_nobody_takes_to_its_end_does_not_count() {
    let mut node = Node::new(&format!(
        "{}\nresolver, tcp: {{idle_ms: 300}}",
        zones("127.0.0.0/8")
    ));
    node.write("example.com.zone", &large_zone(200_000));
    node.spawn();
    let mut tcp = node.tcp();
    tcp.send(&query("example.com.", RecordType::AXFR));
    wait_until("the node gives up", || {
        node.metric("nexus_control_tcp_timeouts_total") == Some(1)
    });
    let served = "nexus_control_transfers_total{outcome=\"served\"}";
    assert_eq!(node.metric(served), Some(0));
}

#[test]
fn over_udp_a_transfer_is_a_mistake_and_an_incremental_one_gets_the_soa() {
    let node = Node::start(&zones("127.0.0.0/8"));
    let full = node.ask(&query("example.com.", RecordType::AXFR));
    assert_eq!(rcode(&full), ResponseCode::FormErr);
    let incremental = node.ask(&query("example.com.", RecordType::IXFR));
    assert_eq!(rcode(&incremental), ResponseCode::NoError);
    assert_eq!(incremental.answers.len(), 1);
    assert_eq!(incremental.answers[0].record_type(), RecordType::SOA);
}
