//! What an authoritative answer costs: one question a benchmark, each written whole into a message.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use resolver::zone::{Zone, ZoneSet};
use wire::query::Query;

const EXAMPLE: &[u8] = b"\x07example\0";
const PLAIN: &str = include_str!("../tests/zone/data/plain.zone");
const NSEC: &str = include_str!("../tests/zone/data/nsec.zone");
const NSEC3: &str = include_str!("../tests/zone/data/nsec3.zone");

/// Names in the large zone.
const HOSTS: usize = 1_000_000;

fn read(text: &str) -> Zone {
    let read = Zone::read(EXAMPLE, text.as_bytes(), "zone", &mut |_, _| {
        Err(String::new())
    });
    read.expect("a zone without faults").0
}

fn query(labels: &[&str], qtype: u16, dnssec_ok: bool) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(dnssec_ok)];
    for label in labels {
        message.push(u8::try_from(label.len()).expect("a label"));
        message.extend_from_slice(label.as_bytes());
    }
    message.extend_from_slice(EXAMPLE);
    message.extend_from_slice(&qtype.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    if dnssec_ok {
        message.extend_from_slice(&[0, 0, 41, 16, 0, 0, 0, 0x80, 0, 0, 0]);
    }
    message
}

fn answer(c: &mut Criterion) {
    let zones = [
        ("plain", read(PLAIN), false),
        ("nsec", read(NSEC), true),
        ("nsec3", read(NSEC3), true),
    ];
    let questions: [(&str, &[&str], u16); 7] = [
        ("address", &["www"], 1),
        ("no_data", &["www"], 16),
        ("name_error", &["nowhere"], 1),
        ("alias_chain_of_four", &["chain1"], 1),
        ("wildcard", &["x", "wild"], 1),
        ("referral", &["host", "signed"], 1),
        ("mail_with_addresses", &["mx-two"], 15),
    ];
    for (zone_name, zone, dnssec_ok) in &zones {
        let mut group = c.benchmark_group(format!("answer/{zone_name}"));
        group.throughput(Throughput::Elements(1));
        for (name, labels, qtype) in questions {
            let message = query(labels, qtype, *dnssec_ok);
            let parsed = Query::parse(&message).expect("a query");
            let mut buffer = [0; 4096];
            buffer[..message.len()].copy_from_slice(&message);
            group.bench_function(name, |b| {
                b.iter(|| zone.answer(black_box(&parsed), &mut buffer, 1232))
            });
        }
        group.finish();
    }
}

/// One million names: each question is for another, so that memory counts too.
fn answer_from_large_zone(c: &mut Criterion) {
    let mut text = String::from("@ 60 SOA ns h 1 2 3 4 5\n@ 60 NS ns\nns 60 A 192.0.2.1\n");
    for host in 0..HOSTS {
        text.push_str(&format!("host{host} 60 A 192.0.2.1\n"));
    }
    let mut set = ZoneSet::new();
    set.insert(std::sync::Arc::new(read(&text)));
    drop(text);
    let mut group = c.benchmark_group("answer/million_names");
    group.throughput(Throughput::Elements(1));
    for (name, prefix) in [("address", "host"), ("name_error", "none")] {
        let queries: Vec<(Vec<u8>, Query)> = (0..65_536_usize)
            .map(|index| {
                let message = query(&[&format!("{prefix}{}", index * 7_919 % HOSTS)], 1, false);
                let parsed = Query::parse(&message).expect("a query");
                (message, parsed)
            })
            .collect();
        let mut next = queries.iter().cycle();
        let mut buffer = [0; 4096];
        group.bench_function(name, |b| {
            b.iter(|| {
                let (message, parsed) = next.next().expect("a cycle without end");
                buffer[..message.len()].copy_from_slice(message);
                let (_, zone) = set.find(parsed.qname(), parsed.qtype).expect("the zone");
                zone.answer(parsed, &mut buffer, 1232)
            });
        });
    }
    group.finish();
}

fn read_file(c: &mut Criterion) {
    let mut text = String::from("@ 60 SOA ns h 1 2 3 4 5\n@ 60 NS ns\nns 60 A 192.0.2.1\n");
    for host in 0..10_000 {
        text.push_str(&format!(
            "host{host} 60 A 192.0.2.1\n 60 TXT \"some text here\"\n"
        ));
    }
    let mut group = c.benchmark_group("read");
    group.throughput(Throughput::Elements(20_003));
    group.sample_size(20);
    group.bench_function("20003_records", |b| b.iter(|| read(black_box(&text))));
    group.finish();
}

criterion_group!(benches, answer, answer_from_large_zone, read_file);
criterion_main!(benches);
