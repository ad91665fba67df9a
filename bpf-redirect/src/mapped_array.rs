//! The values of a BPF array map, mapped into this process as atomic words.

use std::io;
use std::mem::size_of;
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// The map's memory. The kernel keeps it alive while it is mapped, even if the map is closed.
#[derive(Debug)]
pub(crate) struct MappedArray {
    address: NonNull<AtomicU64>,
    words: usize,
}

// SAFETY: the memory is reached through `words` alone, as atomics, and unmapped on the last drop.
unsafe impl Send for MappedArray {}
// SAFETY: as above.
unsafe impl Sync for MappedArray {}

impl MappedArray {
    /// Maps `map`, an array with BPF_F_MMAPABLE whose values are `words` words together.
    pub(crate) fn new(map: impl AsFd, words: usize) -> io::Result<Self> {
        // JUSTIFICATION: there is no safe way to map a file.
        // SAFETY: a new mapping at an address that the kernel chooses aliases nothing. An array
        // map has its size from its creation on and never shrinks; the kernel refuses to map more.
        let address = unsafe {
            mmap(
                std::ptr::null_mut(),
                words * size_of::<AtomicU64>(),
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                map,
                0,
            )
        }?;
        let address = NonNull::new(address.cast()).ok_or(io::ErrorKind::InvalidData)?;
        assert!(address.is_aligned());
        Ok(Self { address, words })
    }

    pub(crate) fn words(&self) -> &[AtomicU64] {
        // SAFETY: `new` mapped that many words at this aligned address, and they stay mapped as
        // long as `self` lives. Every bit pattern is an `AtomicU64`. The kernel and other processes
        // touch them by whole aligned words, as the atomics here do.
        unsafe { std::slice::from_raw_parts(self.address.as_ptr(), self.words) }
    }
}

impl Drop for MappedArray {
    fn drop(&mut self) {
        let bytes = self.words * size_of::<AtomicU64>();
        // SAFETY: mapped by `new` with this size; no reference from `words` outlives `self`.
        // A failure would leave a page mapped, which harms nobody.
        let _ = unsafe { munmap(self.address.as_ptr().cast(), bytes) };
    }
}
