//! What the shared memory costs: per message through a ring, per look-up and insertion of the
//! answer table, per record of the statistics.

use std::hint::black_box;
use std::net::SocketAddr;

use cache::{ENTRY_BYTES_MAX, Entry, EntryMeta, Hasher, Lookup};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use exchange::{Punt, Region, RegionConfig, Transport};

const BATCH: u64 = 32;
const NAMES: u32 = 50_000;

fn ring(criterion: &mut Criterion) {
    let region = Region::create(&RegionConfig::default()).expect("a region");
    let control = region.attach_control().expect("the same region");
    let mut side = region.worker(0).expect("worker 0");
    let mut control = control.control(0).expect("control's side");
    let message = [7; 40];
    let headers = [9; 42];
    let mut group = criterion.benchmark_group("ring");
    group.throughput(Throughput::Elements(BATCH));
    group.bench_function("punt_40_bytes_pushed_and_popped", |bencher| {
        bencher.iter(|| {
            for _ in 0..BATCH {
                let punt = Punt {
                    transport: Transport::Udp,
                    client: SocketAddr::from(([192, 0, 2, 1], 5353)),
                    local: SocketAddr::from(([192, 0, 2, 53], 53)),
                    ecn: 0,
                    received_us: 1,
                    headers: black_box(&headers),
                    message: black_box(&message),
                };
                side.punts.push(&punt).expect("the ring has room");
            }
            black_box(side.punts.publish());
            while let Some(punt) = control.punts[0].pop() {
                black_box(punt.expect("an honest slot"));
            }
        });
    });
    group.finish();
}

/// A response to `name` A IN with one record.
fn response(name: &[u8]) -> Vec<u8> {
    let mut message = vec![0, 0, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
    message.extend_from_slice(name);
    message.extend_from_slice(&[
        0, 1, 0, 1, 0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 0, 0, 4, 192, 0, 2, 1,
    ]);
    message
}

fn name(number: u32) -> Vec<u8> {
    let mut name = vec![7];
    name.extend_from_slice(format!("n{number:06}").as_bytes());
    name.extend_from_slice(b"\x07example\x00");
    name
}

fn table(criterion: &mut Criterion) {
    let region = Region::create(&RegionConfig::default()).expect("a region");
    let control = region.attach_control().expect("the same region");
    let mut control = control.control(0).expect("control's side");
    let (k0, k1) = region.hash_keys();
    let hasher = Hasher::new(k0, k1);
    let generations = region.generations();
    let reader = region.table();
    let names: Vec<_> = (0..NAMES).map(name).collect();
    let meta = EntryMeta {
        stored_at: 10,
        ttl: 3600,
        zone: 0,
        generation: 0,
    };
    let entries: Vec<_> = names
        .iter()
        .map(|name| {
            let key = hasher.key_of(name, 1, 1, 1);
            let mut out = [0; ENTRY_BYTES_MAX];
            let bytes = cache::encode(&response(name), &key, &meta, &mut out);
            out[..bytes.expect("a good answer")].to_vec()
        })
        .collect();

    let mut group = criterion.benchmark_group("table");
    group.throughput(Throughput::Elements(1));
    let mut next = 0;
    group.bench_function("insertion", |bencher| {
        bencher.iter(|| {
            next = (next + 1) % entries.len();
            let entry = Entry::parse(&entries[next]).expect("a good entry");
            control.table.insert(&entry, 10).expect("the only control");
        });
    });
    let mut scratch = [0; ENTRY_BYTES_MAX];
    for (what, qtype) in [("hit", 1), ("miss", 28)] {
        // Half of the names, so that few have been evicted.
        let keys: Vec<_> = names
            .iter()
            .step_by(2)
            .map(|name| hasher.key_of(name, qtype, 1, 1))
            .collect();
        let mut found = 0_u64;
        let mut sought = 0_u64;
        let mut next = 0;
        group.bench_function(what, |bencher| {
            bencher.iter(|| {
                next = (next + 1) % keys.len();
                let lookup = reader.get(&keys[next], 11, &generations, 0, &mut scratch);
                sought += 1;
                found += u64::from(!matches!(black_box(lookup), Lookup::Miss));
            });
        });
        let is_hit = what == "hit";
        assert_eq!(found * 10 > sought * 9, is_hit, "{found} of {sought} found");
    }
    group.finish();
}

fn statistics(criterion: &mut Criterion) {
    let region = Region::create(&RegionConfig::default()).expect("a region");
    let mut side = region.worker(0).expect("worker 0");
    let mut group = criterion.benchmark_group("statistics");
    group.throughput(Throughput::Elements(1));
    group.bench_function("counter", |bencher| {
        bencher.iter(|| side.counters.queries.add(black_box(1)));
    });
    let mut latency_ns = 1;
    group.bench_function("latency", |bencher| {
        bencher.iter(|| {
            latency_ns = latency_ns * 5 % 1_000_003;
            side.latency.record(black_box(latency_ns), black_box(32));
        });
    });
    group.finish();
}

criterion_group!(benches, ring, table, statistics);
criterion_main!(benches);
