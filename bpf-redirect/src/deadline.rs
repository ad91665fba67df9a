//! The promise of each worker to be alive until some moment, read by `dns_filter` on every frame.
//!
//! The cells lie in a BPF map that is mapped into this process: extending a deadline is a store.

use std::io;
use std::mem::size_of;
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::dns_filter::QUEUES_MAX;

/// One value of the map `worker_deadline`: `struct deadline` in `src/bpf/dns_filter.h`.
#[repr(C, align(64))]
struct Slot {
    until_ns: AtomicU64,
}

const _: () = assert!(size_of::<Slot>() == 64);

const SLOTS_BYTES: usize = QUEUES_MAX as usize * size_of::<Slot>();

/// The deadlines of all queues. Cheap to clone; needs no privilege once made.
#[derive(Clone, Debug)]
pub struct Deadlines {
    mapping: Arc<Mapping>,
}

/// The deadline of one queue, for its worker to keep.
///
/// A new filter's deadlines have all passed, so nothing is redirected before the first call.
#[derive(Debug)]
pub struct DeadlineCell {
    mapping: Arc<Mapping>,
    index: usize,
}

impl Deadlines {
    /// Maps the cells of `map`, an array of [`QUEUES_MAX`] values of 64 bytes.
    pub(crate) fn map(map: impl AsFd) -> io::Result<Self> {
        let mapping = Arc::new(Mapping::new(map)?);
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
        self.mapping.slots()[self.index]
            .until_ns
            .store(until_ns, Ordering::Relaxed);
    }

    /// From now on frames of this queue go to the kernel.
    pub fn expire(&self) {
        self.extend_until(0);
    }
}

/// The map's memory. The kernel keeps it alive while it is mapped, even if the map is closed.
#[derive(Debug)]
struct Mapping {
    address: NonNull<Slot>,
}

// SAFETY: the memory is reached through `slots` alone, as atomics, and unmapped on the last drop.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(map: impl AsFd) -> io::Result<Self> {
        // JUSTIFICATION: there is no safe way to map a file.
        // SAFETY: a new mapping at an address that the kernel chooses aliases nothing. An array
        // map has the size that `slots` relies on from its creation on and never shrinks.
        let address = unsafe {
            mmap(
                std::ptr::null_mut(),
                SLOTS_BYTES,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                map,
                0,
            )
        }?;
        let address = NonNull::new(address.cast()).ok_or(io::ErrorKind::InvalidData)?;
        assert!(address.is_aligned());
        Ok(Self { address })
    }

    fn slots(&self) -> &[Slot] {
        // SAFETY: `new` mapped `SLOTS_BYTES` bytes at this aligned address, and they stay mapped
        // as long as `self` lives. Every bit pattern is a `Slot`. The kernel and other processes
        // touch them by whole aligned words, as the atomics here do.
        unsafe { std::slice::from_raw_parts(self.address.as_ptr(), QUEUES_MAX as usize) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this size; no reference from `slots` outlives `self`.
        // A failure would leave a page mapped, which harms nobody.
        let _ = unsafe { munmap(self.address.as_ptr().cast(), SLOTS_BYTES) };
    }
}
