//! Models that loom runs through every interleaving the memory model allows.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p exchange --release loom`
//!
//! Loom lets no load see a later store, so nothing here can miss the Release of the consumer's
//! index, which keeps a slot from being rewritten while it is read.

use std::sync::Arc;

use loom::sync::Notify;
use loom::thread;

use crate::mapped::Mapped;
use crate::ring::{Consumer, Line, Producer, PushError, RingIndices};
use crate::seqlock;
use crate::sync::{AtomicU64, Ordering};

/// Sequence and one word of payload.
const WORDS: usize = 2;
const CAPACITY: usize = 2;

/// Exhaustive where that ends in seconds, else over all schedules with this many preemptions.
fn model(preemptions: Option<usize>, body: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.check(body);
}

struct Ring {
    indices: RingIndices,
    words: Vec<AtomicU64>,
}

fn ring() -> (Producer<WORDS>, Consumer<WORDS>) {
    let line = || Line(AtomicU64::new(0));
    let ring = Arc::new(Ring {
        indices: RingIndices {
            tail: line(),
            head: line(),
            sleeping: line(),
        },
        words: (0..CAPACITY * WORDS)
            .map(|_| AtomicU64::new(u64::MAX))
            .collect(),
    });
    let indices = Mapped::project(&ring, |ring| &ring.indices);
    let words = Mapped::project(&ring, |ring| &ring.words[..]);
    let producer = Producer::new(indices.clone(), words.clone());
    (producer, Consumer::new(indices, words, 1))
}

fn pop(consumer: &mut Consumer<WORDS>) -> Option<u64> {
    consumer
        .pop(|body| Ok(body[0].load(Ordering::Relaxed)))
        .map(|slot| slot.expect("an honest producer writes no invalid slot"))
}

/// A slot is reused only after it was read, and read only after it was written.
#[test]
fn loom_ring_delivers_every_value_once_and_in_order() {
    const VALUES: u64 = CAPACITY as u64 + 1;
    model(None, || {
        let (mut producer, mut consumer) = ring();
        let pushing = thread::spawn(move || {
            for value in 0..VALUES {
                loop {
                    match producer.stage(|body| body[0].store(value, Ordering::Relaxed)) {
                        Ok(()) => break,
                        Err(error) => assert_eq!(error, PushError::Full),
                    }
                    thread::yield_now();
                }
                let _ = producer.publish();
            }
        });
        for expected in 0..VALUES {
            let value = loop {
                match pop(&mut consumer) {
                    Some(value) => break value,
                    None => thread::yield_now(),
                }
            };
            assert_eq!(value, expected);
        }
        assert_eq!(pop(&mut consumer), None);
        pushing.join().unwrap();
    });
}

/// Staged slots are invisible until published, then all visible.
#[test]
fn loom_batch_appears_as_a_whole() {
    model(None, || {
        let (mut producer, mut consumer) = ring();
        let pushing = thread::spawn(move || {
            for value in [7, 8] {
                producer
                    .stage(|body| body[0].store(value, Ordering::Relaxed))
                    .unwrap();
            }
            let _ = producer.publish();
        });
        if let Some(first) = pop(&mut consumer) {
            assert_eq!((first, pop(&mut consumer)), (7, Some(8)));
        }
        pushing.join().unwrap();
    });
}

/// The consumer blocks only where a kick follows: a lost one would leave the model deadlocked.
/// `wakes` times it wakes by itself and announces sleep again, while the producer may be clearing
/// the first announcement.
fn sleep_and_be_woken(values: u64, wakes: usize) {
    let (mut producer, mut consumer) = ring();
    // The kick that a new producer owes would hide what this model looks for.
    assert!(
        producer
            .stage(|body| body[0].store(0, Ordering::Relaxed))
            .is_ok()
    );
    assert!(producer.publish());
    assert_eq!(pop(&mut consumer), Some(0));

    let bell = Arc::new(Notify::new());
    let rung = Arc::clone(&bell);
    let pushing = thread::spawn(move || {
        for value in 1..=values {
            producer
                .stage(|body| body[0].store(value, Ordering::Relaxed))
                .expect("fewer values than slots");
            if producer.publish() {
                rung.notify();
            }
        }
    });
    let mut wakes_left = wakes;
    for expected in 1..=values {
        let value = loop {
            if let Some(value) = pop(&mut consumer) {
                break value;
            }
            if consumer.prepare_sleep() {
                match wakes_left.checked_sub(1) {
                    Some(left) => wakes_left = left,
                    None => bell.wait(),
                }
            }
            consumer.wake();
        };
        assert_eq!(value, expected);
    }
    pushing.join().expect("the producer ends");
}

#[test]
fn loom_sleeper_loses_no_wake_up() {
    model(None, || sleep_and_be_woken(1, 0));
    model(Some(4), || sleep_and_be_woken(2, 0));
}

#[test]
fn loom_sleeper_that_woke_by_itself_loses_no_wake_up() {
    model(None, || sleep_and_be_woken(1, 1));
    model(Some(3), || sleep_and_be_woken(2, 1));
}

struct Guarded {
    sequence: AtomicU64,
    words: [AtomicU64; 2],
}

/// Whatever a reader gets was written together.
fn read_while_written(values: u64) {
    let guarded = Arc::new(Guarded {
        sequence: AtomicU64::new(0),
        words: [AtomicU64::new(0), AtomicU64::new(0)],
    });
    let written = Arc::clone(&guarded);
    let writing = thread::spawn(move || {
        for value in 1..=values {
            seqlock::write(&written.sequence, |torn| {
                assert!(!torn);
                for word in &written.words {
                    word.store(value, Ordering::Relaxed);
                }
            });
        }
    });
    let read = seqlock::read(&guarded.sequence, || {
        [&guarded.words[0], &guarded.words[1]].map(|word| word.load(Ordering::Relaxed))
    });
    if let Some([first, second]) = read {
        assert_eq!(first, second);
    }
    writing.join().expect("the writer ends");
    let last = seqlock::read(&guarded.sequence, || {
        guarded.words[1].load(Ordering::Relaxed)
    });
    assert_eq!(last, Some(values));
}

#[test]
fn loom_seqlock_never_shows_a_torn_value() {
    model(None, || read_while_written(1));
    model(Some(3), || read_while_written(2));
}

/// A number left odd by a killed writer hides the words until the next write.
#[test]
fn loom_seqlock_left_odd_is_absent_until_written_again() {
    model(None, || {
        let guarded = Arc::new(Guarded {
            sequence: AtomicU64::new(1),
            words: [AtomicU64::new(9), AtomicU64::new(0)],
        });
        let written = Arc::clone(&guarded);
        let writing = thread::spawn(move || {
            seqlock::write(&written.sequence, |torn| {
                assert!(torn);
                for word in &written.words {
                    word.store(3, Ordering::Relaxed);
                }
            });
        });
        let read = seqlock::read(&guarded.sequence, || {
            [&guarded.words[0], &guarded.words[1]].map(|word| word.load(Ordering::Relaxed))
        });
        assert!(matches!(read, None | Some([3, 3])), "{read:?}");
        writing.join().unwrap();
    });
}
