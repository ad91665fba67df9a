//! Rings through the region: both directions, limits, restarts, and indices that lie.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]
#![allow(
    clippy::cast_possible_truncation,
    reason = "small numbers that the tests choose"
)]

mod common;

use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;

use common::{punt, small};
use exchange::{
    AttachError, Attachment, COUNTERS, ClaimError, HEADERS_BYTES_MAX, MESSAGE_BYTES_MAX, Mode,
    Punt, PushError, REASON_BYTES_MAX, Region, RegionConfig, Reply, ReplyMeta, SlotError,
    Transport,
};

/// Offsets of the shared indices: block of worker 0, after its heartbeat.
const PUNT_TAIL: u64 = 4096 + 128;
const PUNT_HEAD: u64 = PUNT_TAIL + 128;
const PUNT_SLEEPING: u64 = PUNT_HEAD + 128;
const REPLY_TAIL: u64 = PUNT_TAIL + 384;
const REPLY_HEAD: u64 = REPLY_TAIL + 128;
/// First slot of the punt ring.
const PUNT_SLOTS: u64 = 2 * 4096;
const CAPACITY: u64 = 4;

const META: ReplyMeta = ReplyMeta {
    zone: 9,
    generation: 8,
    stored_at: 7,
    ttl: 6,
    key_flags: 5,
};

fn memory(region: &Region) -> File {
    File::from(region.memory().try_clone_to_owned().unwrap())
}

fn word(memory: &File, offset: u64) -> u64 {
    let mut word = [0; 8];
    memory.read_exact_at(&mut word, offset).unwrap();
    u64::from_le_bytes(word)
}

fn set_word(memory: &File, offset: u64, value: u64) {
    memory.write_all_at(&value.to_le_bytes(), offset).unwrap();
}

fn number(punt: Punt<'_>) -> u8 {
    punt.message[0]
}

#[test]
fn punt_arrives_as_it_was_pushed_with_the_longest_message_and_template() {
    let region = Region::create(&small()).unwrap();
    let mut side = region.worker(0).unwrap();
    let mut control = region.attach_control().unwrap().control(1).unwrap();
    let message: Vec<u8> = (0..MESSAGE_BYTES_MAX)
        .map(|byte| (byte % 251) as u8)
        .collect();
    let headers: Vec<u8> = (0..HEADERS_BYTES_MAX)
        .map(|byte| byte as u8 ^ 0x5a)
        .collect();
    let scoped = SocketAddr::V6(std::net::SocketAddrV6::new(
        "fe80::1".parse().unwrap(),
        9,
        0,
        3,
    ));
    for client in [
        "192.0.2.7:4000".parse().unwrap(),
        "[2001:db8::1]:53".parse().unwrap(),
        scoped,
    ] {
        for (headers, message, transport, ecn) in [
            (&headers[..], &message[..], Transport::Udp, 0),
            (&[], &[7], Transport::Refresh, 0),
            (&headers[..9], &[], Transport::Udp, 0),
            (&headers[..], &message[..1472], Transport::Mesh, 3),
        ] {
            let punt = Punt {
                transport,
                client,
                local: "[::ffff:192.0.2.53]:53".parse().unwrap(),
                ecn,
                received_us: u64::MAX - 1,
                headers,
                message,
            };
            side.punts.push(&punt).unwrap();
            assert!(control.punts[0].pop().is_none(), "staged is not published");
            let _ = side.punts.publish();
            let local = if client == scoped {
                // One scope for both addresses.
                let v6 =
                    std::net::SocketAddrV6::new("::ffff:192.0.2.53".parse().unwrap(), 53, 0, 3);
                SocketAddr::V6(v6)
            } else {
                punt.local
            };
            assert_eq!(control.punts[0].pop(), Some(Ok(Punt { local, ..punt })));
            assert!(control.punts[0].pop().is_none());
        }
    }
}

#[test]
fn every_kind_of_reply_arrives_as_it_was_pushed() {
    let region = Region::create(&small()).unwrap();
    let mut side = region.worker(0).unwrap();
    let mut control = region.attach_control().unwrap().control(1).unwrap();
    let message = [3; MESSAGE_BYTES_MAX];
    let headers = [4; HEADERS_BYTES_MAX];
    let qname = b"\x01a\x00";
    for reply in [
        Reply::Answer {
            headers: &headers,
            message: &message,
            meta: META,
        },
        Reply::AnswerUncached {
            headers: &headers[..42],
            message: &message[..100],
        },
        Reply::Mesh {
            headers: &headers,
            message: &message[..1472],
        },
        Reply::Fill {
            message: &message[..1232],
            meta: META,
        },
        Reply::Flush {
            qname,
            subtree: false,
        },
        Reply::Flush {
            qname,
            subtree: true,
        },
    ] {
        control.replies[0].push(&reply).unwrap();
        let _ = control.replies[0].publish();
        assert_eq!(side.replies.pop(), Some(Ok(reply)));
    }
    assert!(side.replies.pop().is_none());
}

#[test]
fn message_or_template_too_long_is_refused_and_nothing_is_staged() {
    let region = Region::create(&small()).unwrap();
    let mut side = region.worker(0).unwrap();
    let mut control = region.attach_control().unwrap().control(1).unwrap();
    let (bytes, bytes_max) = (MESSAGE_BYTES_MAX + 1, MESSAGE_BYTES_MAX);
    let long = PushError::TooLong { bytes, bytes_max };
    assert_eq!(
        side.punts.push(&punt(&[0; MESSAGE_BYTES_MAX + 1], &[])),
        Err(long)
    );
    let (bytes, bytes_max) = (HEADERS_BYTES_MAX + 1, HEADERS_BYTES_MAX);
    let long = PushError::TooLong { bytes, bytes_max };
    assert_eq!(
        side.punts.push(&punt(&[], &[0; HEADERS_BYTES_MAX + 1])),
        Err(long)
    );
    let reply = Reply::AnswerUncached {
        headers: &[0; HEADERS_BYTES_MAX + 1],
        message: &[],
    };
    assert_eq!(control.replies[0].push(&reply), Err(long));
    assert!(!side.punts.publish());
    assert!(control.punts[0].pop().is_none());
}

#[test]
fn full_ring_refuses_and_takes_again_after_a_pop() {
    let region = Region::create(&small()).unwrap();
    let mut side = region.worker(0).unwrap();
    let mut control = region.attach_control().unwrap().control(1).unwrap();
    for round in 0..3 * CAPACITY as u8 {
        while side.punts.push(&punt(&[round], &[])).is_ok() {}
        assert_eq!(side.punts.push(&punt(&[round], &[])), Err(PushError::Full));
        let _ = side.punts.publish();
        assert!(control.punts[0].pop().unwrap().is_ok());
    }
}

#[test]
fn kick_is_asked_for_once_a_sleep_and_once_by_a_new_producer() {
    let region = Region::create(&small()).unwrap();
    let mut side = region.worker(0).unwrap();
    let mut control = region.attach_control().unwrap().control(1).unwrap();
    let consumer = &mut control.punts[0];
    let mut push = || {
        side.punts.push(&punt(&[1], &[])).unwrap();
        side.punts.publish()
    };
    assert!(push(), "the producer before may have died before its kick");
    assert!(!push());
    assert!(!consumer.prepare_sleep(), "there is something to pop");
    while consumer.pop().is_some() {}
    assert!(consumer.prepare_sleep());
    assert!(push());
    assert!(!push());
    consumer.wake();
    while consumer.pop().is_some() {}
    assert!(consumer.prepare_sleep());
    consumer.wake();
    assert!(!push());
}

#[test]
fn new_control_resumes_where_the_one_before_left_off() {
    let region = Region::create(&small()).unwrap();
    let mut side = region.worker(0).unwrap();
    for value in 0..3 {
        side.punts.push(&punt(&[value], &[])).unwrap();
    }
    let _ = side.punts.publish();
    let mut before = region.attach_control().unwrap().control(1).unwrap();
    assert_eq!(before.punts[0].pop().unwrap().map(number), Ok(0));
    let staged = Reply::AnswerUncached {
        headers: &[],
        message: &[1],
    };
    before.replies[0].push(&staged).unwrap();
    // Killed here: what it staged was never published.
    core::mem::forget(before);

    let mut after = region.attach_control().unwrap().control(2).unwrap();
    assert_eq!(after.punts[0].pop().unwrap().map(number), Ok(1));
    assert_eq!(after.punts[0].pop().unwrap().map(number), Ok(2));
    let reply = Reply::AnswerUncached {
        headers: &[2],
        message: &[3],
    };
    after.replies[0].push(&reply).unwrap();
    assert!(after.replies[0].publish());
    assert_eq!(side.replies.pop(), Some(Ok(reply)));
    assert!(side.replies.pop().is_none());
}

#[test]
fn superseded_control_can_neither_push_nor_publish() {
    let region = Region::create(&small()).unwrap();
    let mut side = region.worker(0).unwrap();
    let mut before = region.attach_control().unwrap().control(1).unwrap();
    let reply = Reply::AnswerUncached {
        headers: &[],
        message: &[1],
    };
    before.replies[0].push(&reply).unwrap();
    let after = region.attach_control().unwrap();
    assert!(!before.replies[0].publish());
    assert_eq!(before.replies[0].push(&reply), Err(PushError::Superseded));
    assert!(side.replies.pop().is_none());
    drop(after);
}

#[test]
fn superseded_control_takes_neither_punts_nor_the_kicks_of_its_successor() {
    let region = Region::create(&small()).unwrap();
    let mut side = region.worker(0).unwrap();
    let mut push = || {
        side.punts.push(&punt(&[1], &[])).unwrap();
        side.punts.publish()
    };
    let mut before = region.attach_control().unwrap().control(1).unwrap();
    assert!(push());
    assert!(before.punts[0].pop().is_some());
    assert!(before.punts[0].prepare_sleep());
    let mut after = region.attach_control().unwrap().control(2).unwrap();
    assert!(after.punts[0].prepare_sleep());
    before.punts[0].wake();
    assert!(push(), "the announcement still stands");
    assert!(before.punts[0].pop().is_none());
    assert!(
        before.punts[0].prepare_sleep(),
        "nothing to do but to see that it is over"
    );
    assert!(after.punts[0].pop().is_some());
}

#[test]
fn consumer_asleep_beside_a_full_ring_is_kicked() {
    let region = Region::create(&small()).unwrap();
    let mut side = region.worker(0).unwrap();
    while side.punts.push(&punt(&[1], &[])).is_ok() {}
    assert!(side.punts.publish());
    assert!(!side.punts.publish());
    // As a consumer does that was stopped before it blocked and resumed after it was replaced.
    set_word(&memory(&region), PUNT_SLEEPING, 1);
    assert_eq!(side.punts.push(&punt(&[1], &[])), Err(PushError::Full));
    assert!(side.punts.publish());
    assert!(!side.punts.publish());
}

#[test]
fn each_side_is_handed_out_once_and_to_its_role_alone() {
    let region = Region::create(&small()).unwrap();
    let control = region.attach_control().unwrap();
    let memory = region
        .memory_read_only()
        .unwrap()
        .try_clone_to_owned()
        .unwrap();
    let observer = Region::attach(memory, Attachment::Observer).unwrap();

    let side = region.worker(0).unwrap();
    assert_eq!(region.clone().worker(0).unwrap_err(), ClaimError::Taken);
    let missing = ClaimError::Worker {
        worker: 1,
        workers: 1,
    };
    assert_eq!(region.worker(1).unwrap_err(), missing);
    assert_eq!(region.control(0).unwrap_err(), ClaimError::Role);
    assert_eq!(control.worker(0).unwrap_err(), ClaimError::Role);
    assert_eq!(control.grant_control().unwrap_err(), ClaimError::Role);
    let held = control.control(0).unwrap();
    assert_eq!(control.control(0).unwrap_err(), ClaimError::Taken);
    assert_eq!(observer.worker(0).unwrap_err(), ClaimError::Role);
    assert_eq!(observer.control(0).unwrap_err(), ClaimError::Role);
    assert_eq!(observer.status_writer(0).unwrap_err(), ClaimError::Role);

    // Any part keeps the whole taken.
    let counters = side.counters;
    drop((side.punts, side.replies, side.latency, side.heartbeat));
    assert_eq!(region.worker(0).unwrap_err(), ClaimError::Taken);
    drop((counters, held));
    assert!(region.worker(0).is_ok());
    assert!(control.control(0).is_ok());
}

#[test]
fn producer_index_out_of_range_is_an_error_and_then_the_ring_works() {
    let region = Region::create(&small()).unwrap();
    let mut side = region.worker(0).unwrap();
    let mut control = region.attach_control().unwrap().control(1).unwrap();
    let memory = memory(&region);
    for lie in [CAPACITY + 1, u64::MAX, 1 << 63, 1 << 32] {
        set_word(
            &memory,
            PUNT_TAIL,
            word(&memory, PUNT_HEAD).wrapping_add(lie),
        );
        assert_eq!(
            control.punts[0].pop(),
            Some(Err(SlotError::Index)),
            "{lie:#x}"
        );
        assert!(control.punts[0].pop().is_none());
        // The producer's index is private; publishing puts it right, and the consumer follows,
        // at the cost of one more error or of slots seen before.
        let mut last = None;
        for value in [100, 101] {
            // The first may be refused, while the consumer's index follows the lie.
            let pushed = side.punts.push(&punt(&[value], &[]));
            assert!(value == 100 || pushed.is_ok(), "{lie:#x}");
            let _ = side.punts.publish();
            while let Some(popped) = control.punts[0].pop() {
                last = Some(popped.map(number));
            }
        }
        assert_eq!(last, Some(Ok(101)), "{lie:#x}");
    }
}

#[test]
fn producer_index_a_little_ahead_delivers_no_stale_slot() {
    let region = Region::create(&small()).unwrap();
    let mut side = region.worker(0).unwrap();
    let mut control = region.attach_control().unwrap().control(1).unwrap();
    for value in 0..CAPACITY as u8 {
        side.punts.push(&punt(&[value], &[])).unwrap();
    }
    let _ = side.punts.publish();
    for value in 0..CAPACITY as u8 {
        assert_eq!(control.punts[0].pop().unwrap().map(number), Ok(value));
    }
    set_word(&memory(&region), PUNT_TAIL, 2 * CAPACITY);
    for _ in 0..CAPACITY {
        assert_eq!(control.punts[0].pop(), Some(Err(SlotError::Sequence)));
    }
    assert!(control.punts[0].pop().is_none());
}

#[test]
fn consumer_index_out_of_range_is_an_error_until_the_consumer_pops() {
    let region = Region::create(&small()).unwrap();
    let mut side = region.worker(0).unwrap();
    let mut control = region.attach_control().unwrap().control(1).unwrap();
    let memory = memory(&region);
    while side.punts.push(&punt(&[1], &[])).is_ok() {}
    let _ = side.punts.publish();
    for lie in [1, 1 << 63, u64::MAX - CAPACITY] {
        set_word(
            &memory,
            PUNT_HEAD,
            word(&memory, PUNT_TAIL).wrapping_add(lie),
        );
        assert_eq!(
            side.punts.push(&punt(&[1], &[])),
            Err(PushError::Index),
            "{lie:#x}"
        );
    }
    // With nothing to pop too, the consumer puts its index right.
    while control.punts[0].pop().is_some() {}
    set_word(&memory, PUNT_HEAD, 1 << 40);
    assert!(control.punts[0].pop().is_none());
    assert_eq!(word(&memory, PUNT_HEAD), CAPACITY);
    side.punts.push(&punt(&[1], &[])).unwrap();
}

#[test]
fn indices_that_make_no_sense_on_attach_empty_the_rings_and_they_work() {
    let region = Region::create(&small()).unwrap();
    let mut side = region.worker(0).unwrap();
    let memory = memory(&region);
    for offset in [PUNT_TAIL, PUNT_HEAD, REPLY_TAIL, REPLY_HEAD] {
        set_word(&memory, offset, 0x1234_5678_9abc_def0 ^ (offset << 40));
        let mut control = region.attach_control().unwrap().control(1).unwrap();
        let reply = Reply::AnswerUncached {
            headers: &[],
            message: &[1],
        };
        let mut arrived = (false, false);
        // Each side adopts at most one wrong index before both agree again.
        for _ in 0..4 {
            let _ = side.punts.push(&punt(&[2], &[]));
            let _ = side.punts.publish();
            arrived.0 |= matches!(control.punts[0].pop(), Some(Ok(punt)) if number(punt) == 2);
            let _ = control.replies[0].push(&reply);
            let _ = control.replies[0].publish();
            arrived.1 |= side.replies.pop() == Some(Ok(reply));
        }
        assert_eq!(arrived, (true, true), "offset {offset}");
    }
}

#[test]
fn slot_with_a_length_beyond_it_is_an_error_and_the_next_is_read() {
    let region = Region::create(&small()).unwrap();
    let mut side = region.worker(0).unwrap();
    let mut control = region.attach_control().unwrap().control(1).unwrap();
    for value in 0..2 {
        side.punts.push(&punt(&[value], &[])).unwrap();
    }
    let _ = side.punts.publish();
    // Message length of slot 0, behind the sequence and the template's length.
    memory(&region)
        .write_all_at(&u16::MAX.to_le_bytes(), PUNT_SLOTS + 8 + 2)
        .unwrap();
    let (bytes, bytes_max) = (usize::from(u16::MAX), MESSAGE_BYTES_MAX);
    assert_eq!(
        control.punts[0].pop(),
        Some(Err(SlotError::Length { bytes, bytes_max }))
    );
    assert_eq!(control.punts[0].pop().unwrap().map(number), Ok(1));
}

#[test]
fn parsers_of_slots_read_any_bytes() {
    bolero::check!()
        .with_iterations(20_000)
        .for_each(|slot: &[u8]| {
            if let Ok(punt) = Punt::parse(slot) {
                assert!(punt.headers.len() <= HEADERS_BYTES_MAX);
                assert!(punt.message.len() <= MESSAGE_BYTES_MAX);
            }
            let _ = Reply::parse(slot);
        });
}

#[test]
fn slots_with_plausible_heads_are_parsed_within_their_lengths() {
    bolero::check!()
        .with_type::<([u8; 4], u8, u8)>()
        .with_iterations(20_000)
        .for_each(|(lengths, kind, flags)| {
            let mut slot = vec![0; 2040];
            // Lengths that often fit: at most 127 and 2047.
            let [h, _, m0, m1] = *lengths;
            slot[..6].copy_from_slice(&[h & 0x7f, 0, m0, m1 & 7, kind & 7, flags & 7]);
            let (headers, message) = (
                usize::from(h & 0x7f),
                usize::from(u16::from_le_bytes([m0, m1 & 7])),
            );
            let fits = headers <= HEADERS_BYTES_MAX && message <= MESSAGE_BYTES_MAX;
            match Punt::parse(&slot) {
                Ok(punt) => {
                    assert!(fits);
                    assert_eq!((punt.headers.len(), punt.message.len()), (headers, message));
                }
                Err(SlotError::Length { .. }) => assert!(!fits),
                Err(error) => assert!(matches!(error, SlotError::Kind(_)), "{error}"),
            }
            let reply = Reply::parse(&slot);
            assert_eq!(matches!(reply, Err(SlotError::Length { .. })), !fits);
        });
}

#[test]
fn status_counters_latency_and_heartbeats_are_read_by_an_observer() {
    let region = Region::create(&RegionConfig {
        workers: 2,
        ..small()
    })
    .unwrap();
    let memory = region
        .memory_read_only()
        .unwrap()
        .try_clone_to_owned()
        .unwrap();
    let observer = Region::attach(memory, Attachment::Observer).unwrap();
    assert_eq!(observer.control_heartbeat_ms(), 0);

    let mut status = region.status_writer(77).unwrap();
    let long = "é".repeat(REASON_BYTES_MAX);
    status.set(Mode::Copy, &long);
    let seen = observer.dataplane_status().unwrap();
    assert_eq!((seen.pid, seen.started_ms), (std::process::id(), 77));
    assert_eq!(
        (seen.mode, seen.reason.as_str()),
        (Mode::Copy, &long[..REASON_BYTES_MAX])
    );

    let mut side = region.worker(1).unwrap();
    side.counters.queries.add(40);
    side.counters.queries.add(2);
    side.counters.cache_bytes.set(9);
    side.latency.record(1000, 3);
    side.heartbeat.beat(123);
    assert_eq!(
        observer.counters(0).unwrap(),
        exchange::CounterValues::default()
    );
    let values = observer.counters(1).unwrap();
    assert_eq!((values.queries, values.cache_bytes), (42, 9));
    let rows: Vec<_> = values.rows().filter(|(_, value)| *value != 0).collect();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0].0.metric, "nexus_queries_total");
    let latency = observer.latency(1).unwrap();
    assert_eq!((latency.packets(), latency.sum_ns), (3, 3000));
    assert_eq!(latency.quantile_ns(0.5), Some(1023));
    assert_eq!(observer.worker_heartbeat_ms(1), Ok(123));

    let control = region.attach_control().unwrap();
    let held = control.control(500).unwrap();
    held.heartbeat.beat(600);
    let seen = observer.control_status();
    assert_eq!(
        (seen.epoch, seen.started_ms, seen.heartbeat_ms),
        (1, 500, 600)
    );
    assert_eq!(seen.pid, std::process::id());
}

#[test]
fn rows_of_one_metric_differ_in_labels_and_agree_in_the_rest() {
    for (index, row) in COUNTERS.iter().enumerate() {
        assert!(row.metric.starts_with("nexus_"), "{}", row.field);
        let is_total = row.metric.ends_with("_total");
        assert_eq!(
            is_total,
            row.kind == exchange::CounterKind::Counter,
            "{}",
            row.field
        );
        for other in COUNTERS
            .iter()
            .skip(index + 1)
            .filter(|other| other.metric == row.metric)
        {
            assert_ne!(
                row.labels, other.labels,
                "{} and {}",
                row.field, other.field
            );
            assert_eq!(
                (row.help, row.kind),
                (other.help, other.kind),
                "{}",
                row.field
            );
        }
    }
}

#[test]
fn memory_that_is_no_region_is_refused_with_the_reason() {
    let region = Region::create(&small()).unwrap();
    let attach = |region: &Region| {
        let memory = region.memory().try_clone_to_owned().unwrap();
        Region::attach(memory, Attachment::Control { epoch: 1 })
    };
    assert!(attach(&region).is_ok());
    let memory = memory(&region);
    // Version, fingerprint, announced size, number of workers.
    for (offset, value) in [
        (8, 99),
        (16, 99),
        (24, 4096),
        (32, 2),
        (32, 0),
        (40, 3),
        (48, 1 << 40),
    ] {
        let good = word(&memory, offset);
        set_word(&memory, offset, value);
        let error = attach(&region).unwrap_err();
        match offset {
            8 | 16 => assert!(
                matches!(error, AttachError::Version { found: 99, .. }),
                "{error}"
            ),
            24 => assert!(
                matches!(error, AttachError::Size { found: 4096, .. }),
                "{error}"
            ),
            32 if value == 2 => assert!(matches!(error, AttachError::Size { .. }), "{error}"),
            _ => assert!(matches!(error, AttachError::Config(_)), "{error}"),
        }
        set_word(&memory, offset, good);
    }
    set_word(&memory, 0, 0);
    assert!(matches!(attach(&region), Err(AttachError::Magic)));

    let unsealed = tempfile::tempfile().unwrap();
    let error = Region::attach(unsealed.into(), Attachment::Observer).unwrap_err();
    assert!(
        matches!(error, AttachError::Kernel { .. } | AttachError::Unsealed),
        "{error}"
    );
}

#[test]
fn memory_cannot_be_cut_grown_or_mapped_writable_by_an_observer() {
    let region = Region::create(&small()).unwrap();
    let file = memory(&region);
    let bytes = file.metadata().unwrap().len();
    assert!(file.set_len(bytes - 4096).is_err());
    assert!(file.set_len(bytes + 4096).is_err());

    let read_only = || {
        region
            .memory_read_only()
            .unwrap()
            .try_clone_to_owned()
            .unwrap()
    };
    let error = Region::attach(read_only(), Attachment::Control { epoch: 1 }).unwrap_err();
    assert!(
        matches!(
            error,
            AttachError::Kernel {
                operation: "mmap",
                ..
            }
        ),
        "{error}"
    );
    assert!(File::from(read_only()).write_at(&[1], 0).is_err());
}

#[test]
fn numbers_out_of_range_are_refused_by_create() {
    let error = Region::create(&RegionConfig {
        workers: 65,
        ..small()
    })
    .unwrap_err();
    assert_eq!(error.to_string(), "workers is 65: expected 1 to 64");
}
