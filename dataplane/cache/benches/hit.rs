//! What one hit costs, without I/O: key, look-up, and the whole way from frame to frame.
//! `cargo bench -p cache`

use std::hint::black_box;

use cache::{
    Cache, ENTRY_BYTES_MAX, Entry, EntryMeta, Generations, Hasher, Key, Lookup, Slot, encode,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use wire::answer::{Age, write_answer};
use wire::frame::{Datagram, turn_around};
use wire::query::Query;

const BATCH_FRAMES: usize = 64;
const FRAME_BYTES: usize = 2048;
/// Enough names for a working set in the L2 cache, and one that leaves the caches behind.
const NAMES: [(&str, usize); 2] = [("1k_names", 1_000), ("50k_names", 50_000)];

struct Zero;

impl Generations for Zero {
    fn generation(&self, _zone: u32) -> u32 {
        0
    }
}

/// `hNNNNNN.example.com A` with RD, and OPT if wanted.
fn query(name: usize, with_opt: bool) -> Vec<u8> {
    let mut message = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07".to_vec();
    message.extend(format!("H{name:06}").bytes());
    message.extend(b"\x07Example\x03com\x00\x00\x01\x00\x01");
    if with_opt {
        message[11] = 1;
        message.extend(b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00");
    }
    message
}

fn ipv4_frame(message: &[u8]) -> Vec<u8> {
    let udp = u16::try_from(8 + message.len()).expect("short message");
    let [high, low] = (udp + 20).to_be_bytes();
    let mut frame = vec![
        2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, high, low, 0, 1, 0, 0, 64, 17, 0, 0,
        192, 0, 2, 2, 192, 0, 2, 1, 0xc0, 0, 0, 53,
    ];
    frame.extend(udp.to_be_bytes());
    frame.extend([0, 0]);
    frame.extend(message);
    frame
}

/// A cache that holds an A record for each of the first `names_count` names.
fn filled_cache(hasher: &Hasher, names_count: usize) -> Cache {
    let mut cache = Cache::with_bytes(16 << 20);
    let meta = EntryMeta {
        stored_at: 0,
        ttl: 300,
        zone: 0,
        generation: 0,
    };
    let mut bytes = [0; ENTRY_BYTES_MAX];
    for name in 0..names_count {
        let mut response = query(name, false);
        let query = Query::parse(&response).expect("well-formed");
        (response[2], response[7]) = (0x85, 1);
        response.extend(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x01\x2c\x00\x04\xc0\x00\x02\x01");
        let key = hasher.key(&query);
        encode(&response, &key, &meta, &mut bytes).expect("well-formed");
        cache.insert(&Entry::parse(&bytes).expect("just encoded"));
    }
    cache
}

/// Names in an order that no prefetcher guesses.
fn shuffled(names_count: usize) -> impl Iterator<Item = usize> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).expect("31 bits") % names_count
    })
}

fn key(c: &mut Criterion) {
    let mut group = c.benchmark_group("key");
    group.throughput(Throughput::Elements(1));
    let hasher = Hasher::new(1, 2);
    let message = query(1, false);
    let query = Query::parse(&message).expect("well-formed");
    group.bench_function("key", |b| b.iter(|| hasher.key(black_box(&query)).hash));
    group.finish();
}

fn look_up(c: &mut Criterion) {
    let mut group = c.benchmark_group("look_up");
    group.throughput(Throughput::Elements(BATCH_FRAMES as u64));
    let hasher = Hasher::new(1, 2);
    for (label, names_count) in NAMES {
        let mut cache = filled_cache(&hasher, names_count);
        let queries: Vec<Query> = shuffled(names_count)
            .take(16 * BATCH_FRAMES)
            .map(|name| Query::parse(&query(name, false)).expect("well-formed"))
            .collect();
        let keys: Vec<Key<'_>> = queries.iter().map(|query| hasher.key(query)).collect();
        let mut batches = keys.chunks_exact(BATCH_FRAMES).cycle();
        group.bench_function(label, |b| {
            b.iter(|| {
                let batch = batches.next().expect("endless");
                let mut slots = [None; BATCH_FRAMES];
                for (slot, key) in slots.iter_mut().zip(batch) {
                    *slot = Some(cache.locate(key.hash));
                }
                for (slot, key) in slots.iter_mut().flatten().zip(batch) {
                    cache.touch(slot, key.hash);
                }
                let mut hits = 0;
                for (slot, key) in slots.iter().flatten().zip(batch) {
                    let found = cache.get(*slot, key, 1, &Zero);
                    hits += usize::from(matches!(black_box(&found), Lookup::Fresh(..)));
                }
                assert!(hits > BATCH_FRAMES / 2);
            });
        });
    }
    group.finish();
}

/// One query of a batch between the passes.
struct Pending {
    datagram: Datagram,
    query: Query,
    hash: u64,
    slot: Slot,
}

/// What a worker does with a batch of hits, and nothing else. Each pass is a short loop of its
/// own, so that the loads of many packets are under way at once.
fn answer_batch(
    frames: &mut [[u8; FRAME_BYTES]],
    pending: &mut [Pending],
    hasher: &Hasher,
    cache: &mut Cache,
) -> usize {
    for (pending, frame) in pending.iter_mut().zip(frames.iter()) {
        pending.datagram = Datagram::parse(frame).expect("well-formed frame");
    }
    for (pending, frame) in pending.iter_mut().zip(frames.iter()) {
        let message = &frame[pending.datagram.payload()];
        pending.query.parse_into(message).expect("well-formed");
    }
    for pending in pending.iter_mut() {
        pending.hash = hasher.key(&pending.query).hash;
        pending.slot = cache.locate(pending.hash);
    }
    for pending in pending.iter_mut() {
        cache.touch(&mut pending.slot, pending.hash);
    }
    let mut sent_bytes = 0;
    for (pending, frame) in pending.iter().zip(frames) {
        let query = &pending.query;
        let key = Key::with_hash(query, pending.hash);
        if let Lookup::Fresh(entry, age_secs) = cache.get(pending.slot, &key, 1, &Zero) {
            let message = &mut frame[pending.datagram.payload().start..];
            let limit = query.response_limit(1232);
            let age = Age::Fresh(age_secs);
            let bytes = write_answer(message, query, &entry.answer(), age, limit);
            sent_bytes += turn_around(frame, &pending.datagram, bytes);
        }
    }
    sent_bytes
}

/// Room for a batch, made before the first packet.
fn pending(cache: &Cache) -> Vec<Pending> {
    let frame = ipv4_frame(&query(0, false));
    let datagram = Datagram::parse(&frame).expect("well-formed");
    std::iter::repeat_with(|| Pending {
        datagram,
        query: Query::empty(),
        hash: 0,
        slot: cache.locate(0),
    })
    .take(BATCH_FRAMES)
    .collect()
}

fn whole_hit(c: &mut Criterion) {
    let mut group = c.benchmark_group("whole_hit");
    group.throughput(Throughput::Elements(BATCH_FRAMES as u64));
    let hasher = Hasher::new(1, 2);
    for (label, names_count) in NAMES {
        for (edns_label, with_opt) in [("plain", false), ("edns", true)] {
            let mut cache = filled_cache(&hasher, names_count);
            // The queries of several batches; the frames are written anew for each, as a NIC does.
            let batches: Vec<Vec<Vec<u8>>> = (0..16)
                .map(|batch| {
                    shuffled(names_count)
                        .skip(batch * BATCH_FRAMES)
                        .take(BATCH_FRAMES)
                        .map(|name| ipv4_frame(&query(name, with_opt)))
                        .collect()
                })
                .collect();
            let mut batches = batches.iter().cycle();
            let mut frames = vec![[0; FRAME_BYTES]; BATCH_FRAMES];
            let mut pending = pending(&cache);
            group.bench_function(format!("{label}_{edns_label}"), |b| {
                b.iter_custom(|rounds| {
                    let mut elapsed = std::time::Duration::ZERO;
                    for _ in 0..rounds {
                        for (frame, query) in
                            frames.iter_mut().zip(batches.next().expect("endless"))
                        {
                            frame[..query.len()].copy_from_slice(query);
                        }
                        let started = std::time::Instant::now();
                        let sent = answer_batch(&mut frames, &mut pending, &hasher, &mut cache);
                        elapsed += started.elapsed();
                        assert!(sent > BATCH_FRAMES * 50);
                    }
                    elapsed
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, key, look_up, whole_hit);
criterion_main!(benches);
