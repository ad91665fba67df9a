//! Typed views of the mapping. The only place that turns an address into a reference.

use core::fmt;
use core::ops::Deref;
use core::ptr::NonNull;
use std::any::Any;
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::sync::{AtomicU32, AtomicU64};

/// What may be laid over shared memory.
///
/// # Safety
/// The type consists of atomics alone (and padding), is `repr(C)` or `repr(transparent)`, and
/// every bit pattern is a valid value, so that no write of another process can break it.
pub(crate) unsafe trait Shareable: Sync + 'static {}

// SAFETY: one atomic word, valid for every bit pattern.
unsafe impl Shareable for AtomicU64 {}
// SAFETY: as above.
unsafe impl Shareable for AtomicU32 {}

/// A shared mapping of the region; unmapped on drop.
pub(crate) struct Mapping {
    base: NonNull<u8>,
    bytes: usize,
}

// JUSTIFICATION: a raw pointer is neither Send nor Sync by itself.
// SAFETY: the mapping belongs to the process, not to a thread, and is reached through `Shareable`
// types only, which are Sync.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `bytes` of `memory`, which must be sealed against shrinking.
    pub(crate) fn new(memory: impl AsFd, bytes: usize, writable: bool) -> Result<Self, Errno> {
        let mut protection = ProtFlags::READ;
        if writable {
            protection |= ProtFlags::WRITE;
        }
        // JUSTIFICATION: there is no safe call that maps memory shared between processes.
        // SAFETY: the kernel chooses the address, so no existing mapping is replaced.
        let base = unsafe {
            mmap(
                core::ptr::null_mut(),
                bytes,
                protection,
                MapFlags::SHARED,
                memory.as_fd(),
                0,
            )?
        };
        let base = NonNull::new(base.cast::<u8>()).ok_or(Errno::NOMEM)?;
        Ok(Self { base, bytes })
    }

    /// The value of type `T` at `offset`. Panics where the layout is wrong, which is our mistake:
    /// offsets come from [`Layout`](crate::layout::Layout), never from the memory.
    pub(crate) fn value<T: Shareable>(&self, offset: usize) -> &T {
        &self.slice::<T>(offset, 1)[0]
    }

    /// `count` values of type `T` from `offset` on. Panics as [`Mapping::value`] does.
    pub(crate) fn slice<T: Shareable>(&self, offset: usize, count: usize) -> &[T] {
        let bytes = count
            .checked_mul(size_of::<T>())
            .expect("the layout fits the address space");
        let end = offset
            .checked_add(bytes)
            .expect("the layout fits the address space");
        assert!(end <= self.bytes);
        assert!(offset.is_multiple_of(align_of::<T>()));
        assert!(align_of::<T>() <= 4096);
        // JUSTIFICATION: other processes write this memory; only atomics may cover it.
        // SAFETY: the range lies inside the mapping (first assert), which lives as long as `self`
        // and is sealed against shrinking; the base is page-aligned, so the address is aligned
        // (second and third assert); `Shareable` types are valid for every bit pattern and are
        // changed by atomics only.
        unsafe { core::slice::from_raw_parts(self.base.as_ptr().add(offset).cast::<T>(), count) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // JUSTIFICATION: there is no safe call that unmaps.
        // SAFETY: `base` and `bytes` are what mmap returned, and every reference into the mapping
        // is held behind an `Arc` of it, so none is left.
        let result = unsafe { munmap(self.base.as_ptr().cast(), self.bytes) };
        debug_assert!(result.is_ok());
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Mapping")
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

/// A reference into something that it keeps alive: the mapping, or plain memory in models.
pub(crate) struct Mapped<T: ?Sized + 'static> {
    pointer: NonNull<T>,
    _owner: Arc<dyn Any + Send + Sync>,
}

impl<T: ?Sized + 'static> Mapped<T> {
    /// Borrows a part of `owner` for as long as the result lives.
    pub(crate) fn project<O: Any + Send + Sync>(
        owner: &Arc<O>,
        part: impl FnOnce(&O) -> &T,
    ) -> Self {
        Self {
            pointer: NonNull::from(part(owner)),
            _owner: Arc::clone(owner) as _,
        }
    }

    /// Borrows a part of this part.
    pub(crate) fn part<U: ?Sized>(&self, part: impl FnOnce(&T) -> &U) -> Mapped<U> {
        Mapped {
            pointer: NonNull::from(part(self)),
            _owner: Arc::clone(&self._owner),
        }
    }
}

impl<T: ?Sized + 'static> Deref for Mapped<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // JUSTIFICATION: a reference beside its owner cannot be expressed with lifetimes.
        // SAFETY: `project` and `part` made the pointer from a shared reference into `_owner`,
        // which lies behind an `Arc`, hence does not move, is never borrowed mutably, and lives as
        // long as `self`.
        unsafe { self.pointer.as_ref() }
    }
}

impl<T: ?Sized + 'static> Clone for Mapped<T> {
    fn clone(&self) -> Self {
        Self {
            pointer: self.pointer,
            _owner: Arc::clone(&self._owner),
        }
    }
}

// JUSTIFICATION: a raw pointer is neither Send nor Sync by itself.
// SAFETY: only `&T` is ever handed out, so T: Sync is enough for both; the owner is Send and Sync.
unsafe impl<T: ?Sized + Sync + 'static> Send for Mapped<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Sync + 'static> Sync for Mapped<T> {}

impl<T: ?Sized + 'static> fmt::Debug for Mapped<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Mapped").finish_non_exhaustive()
    }
}
