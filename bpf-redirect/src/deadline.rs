//! The promise of each worker to be alive until some moment, read by `dns_filter` on every frame.
//!
//! The cells lie in a BPF map that is mapped into this process: extending a deadline is a store.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::dns_filter::QUEUES_MAX;
use crate::mapped_array::MappedArray;

/// Words of one value of the map `worker_deadline`: `struct deadline` in `src/bpf/workers.h`.
const CELL_WORDS: usize = 8;

/// The deadlines of all queues. Cheap to clone; needs no privilege once made.
#[derive(Clone, Debug)]
pub struct Deadlines {
    mapping: Arc<MappedArray>,
}

/// The deadline of one queue, for its worker to keep.
///
/// A new filter's deadlines have all passed, so nothing is redirected before the first call.
#[derive(Debug)]
pub struct DeadlineCell {
    mapping: Arc<MappedArray>,
    index: usize,
}

impl Deadlines {
    /// Maps the cells of `map`, an array of [`QUEUES_MAX`] values of 64 bytes.
    pub(crate) fn map(map: impl AsFd) -> io::Result<Self> {
        let words = QUEUES_MAX as usize * CELL_WORDS;
        let mapping = Arc::new(MappedArray::new(map, words)?);
        Ok(Self { mapping })
    }

    /// The cell of `queue`.
    ///
    /// # Panics
    /// If `queue` is not below [`QUEUES_MAX`].
    pub fn cell(&self, queue: u32) -> DeadlineCell {
        assert!(queue < QUEUES_MAX, "queue {queue} of {QUEUES_MAX}");
        DeadlineCell {
            mapping: Arc::clone(&self.mapping),
            index: queue as usize,
        }
    }
}

impl DeadlineCell {
    /// Frames of this queue are redirected until CLOCK_MONOTONIC reaches `until_ns`.
    ///
    /// One store, no system call. The program reads a clock that advances by ticks of up to
    /// 10 ms, so a deadline must lie well beyond that.
    pub fn extend_until(&self, until_ns: u64) {
        // Relaxed: the program orders nothing else by this value.
        self.mapping.words()[self.index * CELL_WORDS].store(until_ns, Ordering::Relaxed);
    }

    /// From now on frames of this queue go to the kernel.
    pub fn expire(&self) {
        self.extend_until(0);
    }
}
