//! A sequence lock over atomic words: one writer, readers that never block and never wait long.
//!
//! The number is odd while a write is under way, or for ever after if the writer was killed; the
//! next write repairs that.

use crate::sync::{AtomicU64, Ordering, fence};

/// How often a reader tries before it calls the value absent.
pub(crate) const ATTEMPTS_MAX: usize = 3;

/// Runs `copy`, which reads the guarded words, until it ran undisturbed; None if it never did.
/// Relaxed loads and fences only, so that it also works on memory mapped read-only.
pub(crate) fn read<R>(sequence: &AtomicU64, mut copy: impl FnMut() -> R) -> Option<R> {
    for _ in 0..ATTEMPTS_MAX {
        let before = sequence.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        if before & 1 == 1 {
            core::hint::spin_loop();
            continue;
        }
        let result = copy();
        fence(Ordering::Acquire);
        if sequence.load(Ordering::Relaxed) == before {
            return Some(result);
        }
    }
    None
}

/// Runs `change`, which writes the guarded words. One writer at a time. `torn` tells `change` that
/// an earlier writer was killed half-way, so that nothing in the words is to be believed.
pub(crate) fn write(sequence: &AtomicU64, change: impl FnOnce(bool)) {
    let before = sequence.load(Ordering::Relaxed);
    let odd = before | 1;
    sequence.store(odd, Ordering::Relaxed);
    // Whoever sees one of the words below sees the odd number too.
    fence(Ordering::Release);
    change(before == odd);
    sequence.store(odd.wrapping_add(1), Ordering::Release);
}
