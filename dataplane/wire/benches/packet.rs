//! What one packet costs: frame, query, answer, headers. `cargo bench -p wire`

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use wire::answer::{Age, Answer, dissect, write_answer};
use wire::frame::{Datagram, turn_around};
use wire::query::Query;

/// Header and question of `WwW.example.com A`, RD, one additional record.
const QUERY: &[u8] = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01\
    \x03WwW\x07example\x03com\x00\x00\x01\x00\x01";
/// OPT with DO and a client cookie.
const OPT: &[u8] = b"\x00\x00\x29\x04\xd0\x00\x00\x80\x00\x00\x0c\
    \x00\x0a\x00\x08\x01\x02\x03\x04\x05\x06\x07\x08";
/// `192.0.2.1`, TTL 300.
const BODY: &[u8] = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x01\x2c\x00\x04\xc0\x00\x02\x01";

const ANSWER: Answer<'static> = Answer {
    flags: 0x0400,
    rcode_high: 0,
    counts: [1, 0, 0],
    required_bytes: 16,
    extended_error: None,
    extended_text: &[],
    nexus: None,
    body: BODY,
    ttl_offsets: &[6, 0],
};

fn plain_query() -> Vec<u8> {
    let mut query = QUERY.to_vec();
    query[11] = 0;
    query
}

fn edns_query() -> Vec<u8> {
    [QUERY, OPT].concat()
}

/// The message in a frame of 2048 bytes.
fn frame(ethertype: [u8; 2], ip: &[u8], message: &[u8]) -> Vec<u8> {
    let udp_bytes = u16::try_from(8 + message.len()).expect("short message");
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    frame.extend(ethertype);
    frame.extend(ip);
    frame.extend([0xc0, 0x00, 0, 53]);
    frame.extend(udp_bytes.to_be_bytes());
    frame.extend([0, 0]);
    frame.extend(message);
    frame.resize(2048, 0);
    frame
}

fn ipv4_frame(message: &[u8]) -> Vec<u8> {
    let total = u16::try_from(28 + message.len()).expect("short message");
    let [high, low] = total.to_be_bytes();
    let ip = [
        0x45, 0, high, low, 0, 1, 0, 0, 64, 17, 0, 0, 192, 0, 2, 2, 192, 0, 2, 1,
    ];
    frame([8, 0], &ip, message)
}

fn ipv6_frame(message: &[u8]) -> Vec<u8> {
    let udp = u16::try_from(8 + message.len()).expect("short message");
    let [high, low] = udp.to_be_bytes();
    let mut ip = vec![0x60, 0, 0, 0, high, low, 17, 64];
    ip.extend([0x20; 32]);
    frame([0x86, 0xdd], &ip, message)
}

fn parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse");
    group.throughput(Throughput::Elements(1));
    let (v4, v6) = (ipv4_frame(&edns_query()), ipv6_frame(&edns_query()));
    group.bench_function("frame_ipv4", |b| b.iter(|| Datagram::parse(black_box(&v4))));
    group.bench_function("frame_ipv6", |b| b.iter(|| Datagram::parse(black_box(&v6))));
    let (plain, edns) = (plain_query(), edns_query());
    group.bench_function("query", |b| {
        b.iter(|| black_box(&Query::parse(black_box(&plain))).is_ok());
    });
    group.bench_function("query_edns_cookie", |b| {
        b.iter(|| black_box(&Query::parse(black_box(&edns))).is_ok());
    });
    group.finish();
}

fn write(c: &mut Criterion) {
    let mut group = c.benchmark_group("write");
    group.throughput(Throughput::Elements(1));
    for (name, message) in [("answer", plain_query()), ("answer_edns", edns_query())] {
        let query = Query::parse(&message).expect("well-formed");
        let mut buffer = message.clone();
        buffer.resize(2048, 0);
        group.bench_function(name, |b| {
            b.iter(|| {
                let query = black_box(&query);
                let answer = black_box(&ANSWER);
                write_answer(black_box(&mut buffer), query, answer, Age::Fresh(7), 1232)
            });
        });
    }
    for (name, mut buffer) in [
        ("turn_around_ipv4", ipv4_frame(&edns_query())),
        ("turn_around_ipv6", ipv6_frame(&edns_query())),
    ] {
        let datagram = Datagram::parse(&buffer).expect("well-formed");
        group.bench_function(name, |b| {
            b.iter(|| turn_around(black_box(&mut buffer), black_box(&datagram), 72));
        });
    }
    let mut buffer = ipv6_frame(&edns_query());
    let datagram = Datagram::parse(&buffer).expect("well-formed");
    group.bench_function("turn_around_ipv6_1232", |b| {
        b.iter(|| turn_around(black_box(&mut buffer), black_box(&datagram), 1232));
    });
    let mut response = [QUERY, BODY, OPT].concat();
    (response[2], response[7]) = (0x85, 1);
    let mut ttl_offsets = [0; 16];
    group.bench_function("dissect", |b| {
        b.iter(|| dissect(black_box(&response), &mut ttl_offsets).is_ok());
    });
    group.finish();
}

criterion_group!(benches, parse, write);
criterion_main!(benches);
