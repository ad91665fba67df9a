//! What control spends on one question: from the cache, and with one message to a server.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hickory_proto::rr::{Name, RecordType};
use resolver::iterate::{Config, Effect, Input, Question, Resolver};

const ROOT: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));

fn name(text: &str) -> Name {
    Name::from_ascii(text).expect("a name in a bench is valid")
}

fn resolver() -> Resolver {
    let root_hints = vec![(name("a.root."), vec![ROOT])];
    let config = Config {
        root_hints,
        use_ipv6: false,
        ..Config::default()
    };
    Resolver::new(config, [1; 32])
}

/// What the root (a referral to `zone.` at 192.0.2.1) and the zone's server (two addresses) say.
fn reply(query: &[u8], is_root: bool) -> Vec<u8> {
    let question_end = query.len() - 11; // The OPT record of every query.
    let mut bytes = query[..question_end].to_vec();
    let flags_and_counts: [u8; 10] = if is_root {
        [0x80, 0, 0, 1, 0, 0, 0, 1, 0, 1]
    } else {
        [0x84, 0, 0, 1, 0, 2, 0, 0, 0, 0]
    };
    bytes[2..12].copy_from_slice(&flags_and_counts);
    if is_root {
        bytes.extend_from_slice(b"\x04zone\0\0\x02\0\x01\0\x01\0\0\0\x09\x02ns\x04zone\0");
        bytes.extend_from_slice(b"\x02ns\x04zone\0\0\x01\0\x01\0\x01\0\0\0\x04\xc0\0\x02\x01");
    } else {
        for last in [1, 2] {
            bytes.extend_from_slice(b"\xc0\x0c\0\x01\0\x01\0\0\x01\0\0\x04\xcb\0\x71");
            bytes.push(last);
        }
    }
    bytes
}

/// Asks, and plays every server until the answer is there.
fn resolve(resolver: &mut Resolver, effects: &mut Vec<Effect>, question: Question) {
    resolver.step(
        1_000,
        Input::Ask {
            ticket: 1,
            question,
        },
        effects,
    );
    while let Some(effect) = effects.pop() {
        if let Effect::Send {
            exchange,
            server,
            message,
            ..
        } = effect
        {
            let message = reply(&message, server.ip() == ROOT);
            let input = Input::Reply {
                exchange,
                from: server,
                message: &message,
            };
            resolver.step(1_000, input, effects);
        }
    }
}

fn ask(c: &mut Criterion) {
    let mut group = c.benchmark_group("ask");
    group.throughput(Throughput::Elements(1));
    let question = Question::new(name("www.zone."), RecordType::A);
    let (mut resolver, mut effects) = (resolver(), Vec::new());
    resolve(&mut resolver, &mut effects, question.clone());

    group.bench_function("lookup of two cached addresses", |b| {
        b.iter(|| resolver.lookup_cache(1_000, black_box(&question)).is_some());
    });
    group.bench_function("step with two cached addresses", |b| {
        b.iter(|| {
            let question = black_box(&question).clone();
            resolver.step(
                1_000,
                Input::Ask {
                    ticket: 1,
                    question,
                },
                &mut effects,
            );
            effects.clear();
        });
    });
    let mut number = 0_u64;
    group.bench_function("new name, one query and its reply", |b| {
        b.iter(|| {
            number += 1;
            let question = Question::new(name(&format!("n{number}.zone.")), RecordType::A);
            resolve(&mut resolver, &mut effects, question);
        });
    });
    group.finish();
}

criterion_group!(benches, ask);
criterion_main!(benches);
