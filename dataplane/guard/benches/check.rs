//! What a query with a cookie costs more than one without, and what the limit costs a response.
//! `cargo bench -p guard`

#![expect(clippy::unwrap_used, reason = "a bench stops at the first surprise")]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use guard::{Cookies, Limits, Prefixes, ResponseKind, ResponseLimiter, Secrets, Standing};
use wire::query::Query;

const UNIX_SECS: u32 = 1_800_000_000;
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// A query for the root's A record with a COOKIE option.
fn message(cookie: &[u8]) -> Vec<u8> {
    let mut message =
        b"\0\x01\x01\0\0\x01\0\0\0\0\0\x01\0\0\x01\0\x01\0\0\x29\x04\xd0\0\0\0\0".to_vec();
    let length = u16::try_from(cookie.len()).unwrap();
    message.extend((length + 4).to_be_bytes());
    message.extend([0, 10]);
    message.extend(length.to_be_bytes());
    message.extend(cookie);
    message
}

fn check_cookie(c: &mut Criterion) {
    let cookies = Cookies::new(Secrets {
        current: [7; 16],
        previous: None,
    });
    let first = message(b"client-c");
    let mut query = Query::parse(&first).unwrap();
    cookies.check(&mut query, &first, CLIENT, UNIX_SECS);
    let learned = query.edns.unwrap().checked_cookie.unwrap().server;
    let shown = message(&[b"client-c".as_slice(), &learned].concat());

    let mut group = c.benchmark_group("cookie");
    group.throughput(Throughput::Elements(1));
    for (name, message, expected) in [
        ("client_only", first, Standing::ClientOnly),
        ("valid", shown, Standing::Valid),
    ] {
        let mut query = Query::parse(&message).unwrap();
        group.bench_function(name, |b| {
            b.iter(|| {
                let query = black_box(&mut query);
                let standing = cookies.check(query, black_box(&message), CLIENT, UNIX_SECS);
                assert_eq!(standing, expected);
            });
        });
    }
}

fn permit_response(c: &mut Criterion) {
    let limits = Limits {
        per_second: 1_000,
        slip: 2,
        prefixes: Prefixes {
            ipv4_bits: 24,
            ipv6_bits: 56,
        },
        table_entries: 65_536,
    };
    let mut limiter = ResponseLimiter::new(&limits, 7);
    let mut group = c.benchmark_group("permit");
    group.throughput(Throughput::Elements(1));
    let mut host = 0_u32;
    group.bench_function("any_network", |b| {
        b.iter(|| {
            host = host.wrapping_add(0x9e37_79b9); // Over the whole table.
            let client = IpAddr::V4(Ipv4Addr::from(host));
            black_box(limiter.permit(client, ResponseKind::Answer, 1_000))
        });
    });
}

criterion_group!(benches, check_cookie, permit_response);
criterion_main!(benches);
