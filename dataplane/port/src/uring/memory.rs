//! The buffers of one ring, and the provided-buffer ring that hands them to the kernel.
//!
//! A [`Buffer`] is a move-only token: who holds it owns its bytes. Tokens that the kernel holds
//! are turned into indices and back in one place each.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

/// Bytes of a buffer: io_uring's header, the sender, control data, and the message.
pub(super) const BUFFER_BYTES: usize = 2048;
/// Buffers that the kernel receives into; a power of two.
pub(super) const RECEIVE_BUFFERS: u16 = 1024;
/// Buffers for replies from the control plane.
pub(super) const SEND_BUFFERS: u16 = 256;
/// All buffers; an index below [`RECEIVE_BUFFERS`] belongs to the provided ring.
pub(super) const BUFFERS: u16 = RECEIVE_BUFFERS + SEND_BUFFERS;

const RING_BYTES: usize = RECEIVE_BUFFERS as usize * size_of::<BufRingEntry>();
const MAPPING_BYTES: usize = RING_BYTES + BUFFERS as usize * BUFFER_BYTES;

const _: () = assert!(RECEIVE_BUFFERS.is_power_of_two());
const _: () = assert!(RING_BYTES.is_multiple_of(4096));

/// One buffer, owned. Neither `Copy` nor `Clone` on purpose.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Buffer(u16);

impl Buffer {
    /// Its number, below [`BUFFERS`].
    pub(super) fn index(&self) -> u16 {
        self.0
    }

    /// Does it go back to the provided ring, or to the pool of send buffers?
    pub(super) fn is_provided(&self) -> bool {
        self.0 < RECEIVE_BUFFERS
    }
}

/// The mapping that holds the provided ring and all buffers.
#[derive(Debug)]
pub(super) struct Memory {
    base: NonNull<u8>,
    /// Our copy of the ring's tail; the kernel only reads it.
    tail: u16,
}

impl Memory {
    /// Maps the memory and returns it with the tokens of all its buffers.
    pub(super) fn map() -> io::Result<(Self, Vec<Buffer>)> {
        // JUSTIFICATION: the ring must be page-aligned memory that the kernel reads.
        // SAFETY: an anonymous mapping at an address of the kernel's choice touches nothing else.
        let base = unsafe {
            mmap_anonymous(
                std::ptr::null_mut(),
                MAPPING_BYTES,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE,
            )
        }?;
        let base = NonNull::new(base.cast()).ok_or_else(|| io::Error::other("mapped at null"))?;
        Ok((Self { base, tail: 0 }, (0..BUFFERS).map(Buffer).collect()))
    }

    /// Address of the provided ring.
    pub(super) fn ring_address(&self) -> u64 {
        self.base.as_ptr() as u64
    }

    /// The token of a buffer that the kernel filled or finished sending.
    ///
    /// # Safety
    ///
    /// The kernel returned exactly this index just now, and held the buffer until then.
    pub(super) unsafe fn returned(&self, index: u16) -> Option<Buffer> {
        (index < BUFFERS).then_some(Buffer(index))
    }

    /// Adds a buffer to the provided ring; visible to the kernel after [`Memory::publish`].
    pub(super) fn provide(&mut self, buffer: Buffer) {
        assert!(buffer.is_provided());
        let address = self.address(&buffer) as u64;
        let slot = usize::from(self.tail & (RECEIVE_BUFFERS - 1));
        // JUSTIFICATION: the kernel defines this shared array.
        // SAFETY: `slot < RECEIVE_BUFFERS` is inside the ring at the start of the mapping. The ring
        // has room for every buffer, so the kernel has consumed this slot before. Fields are
        // set one by one, since the tail lies in a reserved field of slot 0.
        let entry = unsafe { &mut *self.base.as_ptr().cast::<BufRingEntry>().add(slot) };
        entry.set_addr(address);
        entry.set_len(u32::try_from(BUFFER_BYTES).unwrap_or(u32::MAX));
        entry.set_bid(buffer.index());
        self.tail = self.tail.wrapping_add(1);
    }

    /// Lets the kernel see all provided buffers.
    pub(super) fn publish(&self) {
        // JUSTIFICATION: the kernel defines where the tail is.
        // SAFETY: the pointer is the ring's first entry, page-aligned and mapped; the tail is
        // two bytes, aligned, and read by the kernel alone.
        let tail = unsafe {
            let tail = BufRingEntry::tail(self.base.as_ptr().cast());
            AtomicU16::from_ptr(tail.cast_mut())
        };
        tail.store(self.tail, Ordering::Release);
    }

    /// Where the buffer starts.
    pub(super) fn address(&self, buffer: &Buffer) -> *mut u8 {
        let offset = RING_BYTES + usize::from(buffer.index()) * BUFFER_BYTES;
        // SAFETY: `index < BUFFERS`, so the offset lies inside the mapping.
        unsafe { self.base.as_ptr().add(offset) }
    }

    /// The buffer's bytes.
    pub(super) fn bytes<'a>(&'a self, buffer: &'a Buffer) -> &'a [u8; BUFFER_BYTES] {
        // SAFETY: inside the mapping, initialised (anonymous memory is zero); the token proves
        // that the kernel does not write it, and `&Buffer` excludes a writer here.
        unsafe { &*self.address(buffer).cast() }
    }

    /// The buffer's bytes, to write.
    pub(super) fn bytes_mut<'a>(&'a self, buffer: &'a mut Buffer) -> &'a mut [u8; BUFFER_BYTES] {
        // SAFETY: as in `bytes`; `&mut Buffer` excludes any other reference to this chunk.
        unsafe { &mut *self.address(buffer).cast() }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: mapped in `map` with this length; the ring that reads it is dropped before,
        // by the order of fields in the port.
        let _ = unsafe { munmap(self.base.as_ptr().cast(), MAPPING_BYTES) };
    }
}
