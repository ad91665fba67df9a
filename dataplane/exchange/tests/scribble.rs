//! One thread writes random bytes all over the region while both sides work: nothing panics,
//! nothing hangs, and when it stops everything works again.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use cache::{ENTRY_BYTES_MAX, Entry, EntryMeta, Hasher, Lookup};
use common::{Random, SMALL_GENERATIONS_OFFSET, entry, name, punt, small};
use exchange::{
    Attachment, ControlSide, MESH_PEERS_MAX, Mesh, MeshPeer, Region, Reply, WorkerSide,
};

const SEED: u64 = 0x5eed;
const ROUNDS: u32 = 15_000;
/// `ControlBlock::epoch`: spared, since a wrong one rightly stops control's writing for good.
const EPOCH_OFFSET: u64 = 2048;
const NOW: u32 = 1000;
/// Messages that either side takes in one round.
const BATCH_MAX: usize = 8;
/// Magic, version and the numbers of the layout.
const HEADER_BYTES: usize = 128;

/// Writes a few random bytes at a random place, most often where indices and heads of slots and
/// buckets are; now and then a small number, which may be plausible there.
fn scribble(memory: &File, bytes: u64, random: &mut Random) {
    let offset = match random.below(4) {
        0 => random.below(4096),
        1 => 4096 + random.below(1024),
        2 => 8192 + random.below((bytes - 8192) / 2048) * 2048 + random.below(128),
        _ => random.below(bytes - 8),
    } & !7;
    if offset == EPOCH_OFFSET {
        return;
    }
    let word = match random.below(3) {
        0 => random.below(16),
        1 => random.below(2048) << 16,
        _ => random.next(),
    };
    memory
        .write_all_at(&word.to_le_bytes(), offset.min(bytes - 8))
        .unwrap();
}

/// Counts what got through, so that the test shows that something did.
#[derive(Debug, Default)]
struct Through {
    punts: u64,
    replies: u64,
    entries: u64,
    errors: u64,
}

fn work(side: &mut WorkerSide, control: &mut ControlSide, region: &Region, through: &mut Through) {
    let (k0, k1) = region.hash_keys();
    let hasher = Hasher::new(k0, k1);
    let generations = region.generations();
    let table = region.table();
    let mut scratch = [0; ENTRY_BYTES_MAX];
    for round in 0..ROUNDS {
        let message = round.to_le_bytes();
        through.errors += u64::from(side.punts.push(&punt(&message, &message)).is_err());
        let _ = side.punts.publish();
        for _ in 0..BATCH_MAX {
            match control.punts[0].pop() {
                None => break,
                Some(Ok(_)) => through.punts += 1,
                Some(Err(_)) => through.errors += 1,
            }
        }
        let reply = Reply::AnswerUncached {
            headers: &message,
            message: &message,
        };
        through.errors += u64::from(control.replies[0].push(&reply).is_err());
        let _ = control.replies[0].publish();
        for _ in 0..BATCH_MAX {
            match side.replies.pop() {
                None => break,
                Some(Ok(_)) => through.replies += 1,
                Some(Err(_)) => through.errors += 1,
            }
        }
        if side.replies.prepare_sleep() {
            side.replies.wake();
        }

        let number = round % 40;
        let zone = round % 20;
        let generation = generations.generation(zone);
        let meta = EntryMeta {
            stored_at: NOW,
            ttl: 60,
            zone,
            generation,
        };
        let bytes = entry(&hasher, number, meta, 20);
        let _ = control.table.insert(&Entry::parse(&bytes).unwrap(), NOW);
        let _ = control.generations.bump(zone);
        let sought = name(number);
        let key = hasher.key_of(&sought, 16, 1, 1);
        match table.get(&key, NOW, &generations, 60, &mut scratch) {
            Lookup::Fresh(entry, _) | Lookup::Stale(entry) => {
                assert_eq!(entry.key(), key);
                through.entries += 1;
            }
            Lookup::Miss => {}
        }
        control.mesh.write(&mesh(u64::from(round)));
        observe(region, round);
        side.counters.queries.add(1);
        side.latency.record(u64::from(round), 1);
        side.heartbeat.beat(u64::from(round));
    }
}

fn observe(region: &Region, round: u32) {
    if !round.is_multiple_of(64) {
        return;
    }
    let _ = region.dataplane_status();
    let _ = region.control_status();
    if let Some(mesh) = region.mesh() {
        assert!(mesh.peers.len() <= MESH_PEERS_MAX);
        assert!(mesh.replicas.len() <= MESH_PEERS_MAX);
    }
    if let Some(report) = region.guard_report() {
        assert!(report.peers.len() <= MESH_PEERS_MAX);
    }
    let _ = region.counters(0).unwrap();
    let _ = region.latency(0).unwrap().quantile_ns(0.99);
    region
        .table()
        .for_each(|entry| assert!(entry.as_bytes().len() <= ENTRY_BYTES_MAX));
    assert_eq!(region.workers(), 1);
}

fn mesh(node_id: u64) -> Mesh {
    let peer = MeshPeer {
        node_id,
        endpoint: ([192, 0, 2, 1], 4853).into(),
        isolated_until_ms: 0,
    };
    Mesh {
        guarded: true,
        peers: vec![peer; 3],
        ..Mesh::default()
    }
}

/// A message gets through each ring, and an entry through the table, within a few tries.
fn assert_everything_works(side: &mut WorkerSide, region: &Region) {
    let control_region = region.attach_control().unwrap();
    let mut control = control_region.control(0).unwrap();
    let mut arrived = (false, false);
    let reply = Reply::AnswerUncached {
        headers: b"headers",
        message: b"reply",
    };
    for _ in 0..16 {
        let _ = side.punts.push(&punt(b"punt", b"headers"));
        let _ = side.punts.publish();
        while let Some(popped) = control.punts[0].pop() {
            arrived.0 |= popped.is_ok_and(|punt| punt.message == b"punt");
        }
        let _ = control.replies[0].push(&reply);
        let _ = control.replies[0].publish();
        while let Some(popped) = side.replies.pop() {
            arrived.1 |= popped == Ok(reply);
        }
    }
    assert_eq!(arrived, (true, true));
    control.mesh.write(&mesh(7));
    assert_eq!(region.mesh(), Some(mesh(7)));

    let (k0, k1) = region.hash_keys();
    let hasher = Hasher::new(k0, k1);
    let generation = region.generations().generation(1);
    let meta = EntryMeta {
        stored_at: NOW,
        ttl: 60,
        zone: 1,
        generation,
    };
    for number in 0..40 {
        let bytes = entry(&hasher, number, meta, 20);
        control
            .table
            .insert(&Entry::parse(&bytes).unwrap(), NOW)
            .unwrap();
        let sought = name(number);
        let key = hasher.key_of(&sought, 16, 1, 1);
        let mut scratch = [0; ENTRY_BYTES_MAX];
        let found = region
            .table()
            .get(&key, NOW, &region.generations(), 0, &mut scratch);
        assert!(matches!(found, Lookup::Fresh(_, 0)), "{number}");
    }
}

#[test]
fn random_bytes_all_over_the_region_break_nothing_for_good() {
    println!("seed {SEED:#x}");
    let region = Region::create(&small()).unwrap();
    let control_region = region.attach_control().unwrap();
    let mut side = region.worker(0).unwrap();
    let mut control = control_region.control(0).unwrap();

    let memory = File::from(region.memory().try_clone_to_owned().unwrap());
    let bytes = memory.metadata().unwrap().len();
    assert!(bytes > SMALL_GENERATIONS_OFFSET);

    let (stop, scribbles) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let scribbler = std::thread::spawn({
        let (stop, scribbles, memory) = (
            Arc::clone(&stop),
            Arc::clone(&scribbles),
            memory.try_clone().unwrap(),
        );
        move || {
            let mut random = Random(SEED);
            while !stop.load(Ordering::Relaxed) {
                scribble(&memory, bytes, &mut random);
                scribbles.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    while scribbles.load(Ordering::Relaxed) == 0 {
        assert!(!scribbler.is_finished());
        std::thread::yield_now();
    }
    let mut through = Through::default();
    work(&mut side, &mut control, &region, &mut through);
    stop.store(true, Ordering::Relaxed);
    scribbler.join().unwrap();
    println!(
        "{through:?} under {} scribbles",
        scribbles.load(Ordering::Relaxed)
    );
    assert!(through.punts > 0);
    assert!(through.replies > 0);
    assert!(through.entries > 0);
    assert!(through.errors > 0);

    drop((control, control_region));
    assert_everything_works(&mut side, &region);
}

#[test]
fn header_of_any_numbers_is_attached_to_or_refused_and_never_panics() {
    let region = Region::create(&small()).unwrap();
    let memory = File::from(region.memory().try_clone_to_owned().unwrap());
    let mut good = [0; HEADER_BYTES];
    memory.read_exact_at(&mut good, 0).unwrap();
    bolero::check!()
        .with_type::<[(u8, u64); 2]>()
        .with_iterations(2_000)
        .for_each(|words| {
            memory.write_all_at(&good, 0).unwrap();
            for (at, value) in words {
                let offset = u64::from(*at) * 8 % HEADER_BYTES as u64;
                memory.write_all_at(&value.to_le_bytes(), offset).unwrap();
            }
            let copy = region.memory().try_clone_to_owned().unwrap();
            if let Ok(attached) = Region::attach(copy, Attachment::Observer) {
                assert_eq!(attached.workers(), region.workers());
            }
        });
}
