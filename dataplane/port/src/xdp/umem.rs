//! Umem frames as move-only tokens and the four rings that pass them to the kernel and back.
//!
//! Whoever holds a [`Frame`] owns its chunk: the kernel got every other chunk by a token that was
//! moved into a ring here. Nothing here looks at a frame's contents.

use xsk_rs::umem::frame::FrameDesc;
use xsk_rs::{CompQueue, FillQueue, RxQueue, TxQueue, Umem};

/// Frames moved by one ring operation at most.
const MOVE_FRAMES_MAX: usize = 64;

/// One chunk of the umem, owned. Neither `Copy` nor `Clone` on purpose.
#[derive(Debug)]
pub(super) struct Frame {
    descriptor: FrameDesc,
}

impl Frame {
    /// Bytes as received, or as last written by [`Frames::write`].
    pub(super) fn bytes_count(&self) -> usize {
        self.descriptor.lengths().data()
    }
}

/// The umem, its rings, and the pool of frames that belong to user space.
#[derive(Debug)]
pub(super) struct Frames {
    umem: Umem,
    fill: FillQueue,
    completion: CompQueue,
    receive: RxQueue,
    transmit: TxQueue,
    /// Frames that no ring holds. Never grows past `frames_max`: allocated once.
    free: Vec<Frame>,
    frames_max: usize,
    in_fill: usize,
    in_transmit: usize,
    scratch: [FrameDesc; MOVE_FRAMES_MAX],
}

impl Frames {
    /// Takes all of a new umem's frames.
    ///
    /// # Safety
    ///
    /// `descriptors` are all frames of `umem`, each once; the four queues belong to one socket on
    /// that umem, and no other code moves frames over them.
    pub(super) unsafe fn new(
        umem: Umem,
        descriptors: Vec<FrameDesc>,
        (fill, completion): (FillQueue, CompQueue),
        (receive, transmit): (RxQueue, TxQueue),
    ) -> Self {
        let free: Vec<Frame> = descriptors
            .into_iter()
            .map(|descriptor| Frame { descriptor })
            .collect();
        let frames_max = free.len();
        let scratch = [FrameDesc::default(); MOVE_FRAMES_MAX];
        Self {
            umem,
            fill,
            completion,
            receive,
            transmit,
            free,
            frames_max,
            in_fill: 0,
            in_transmit: 0,
            scratch,
        }
    }

    /// A frame to write a reply into that has no query.
    pub(super) fn take_free(&mut self) -> Option<Frame> {
        self.free.pop()
    }

    /// Gives a frame back.
    pub(super) fn recycle(&mut self, frame: Frame) {
        self.free.push(frame);
    }

    /// Frames outside the kernel and outside this pool are `held` by the caller; the rest must
    /// add up (packet path rule 6).
    pub(super) fn lost(&self, held: usize) -> usize {
        let known = self.free.len() + self.in_fill + self.in_transmit + held;
        self.frames_max.saturating_sub(known)
    }

    /// Moves free frames to the fill ring until it holds `level`, keeping `reserve` for replies.
    pub(super) fn refill(&mut self, level: usize, reserve: usize) {
        while self.in_fill < level && self.free.len() > reserve {
            let wanted = (level - self.in_fill)
                .min(self.free.len() - reserve)
                .min(MOVE_FRAMES_MAX);
            let first = self.free.len() - wanted;
            for (slot, frame) in self.scratch.iter_mut().zip(&self.free[first..]) {
                *slot = frame.descriptor;
            }
            // JUSTIFICATION: xsk-rs leaves the ownership of frames to its caller.
            // SAFETY: the descriptors come from tokens owned by `free`, which are dropped right
            // below when the ring took them, so that no token of these frames remains.
            let moved = unsafe { self.fill.produce(&self.scratch[..wanted]) };
            self.free.truncate(self.free.len() - moved);
            self.in_fill += moved;
            if moved == 0 {
                return; // The kernel has not yet taken what the ring holds.
            }
        }
    }

    /// Takes received frames, at most `frames_max`; returns how many.
    pub(super) fn receive(&mut self, frames_max: usize, mut take: impl FnMut(Frame)) -> usize {
        let wanted = frames_max.min(MOVE_FRAMES_MAX);
        // JUSTIFICATION: xsk-rs leaves the ownership of frames to its caller.
        // SAFETY: scratch descriptors are overwritten with frames of this umem, which the kernel
        // gives up with this call; exactly one token is made for each.
        let count = unsafe { self.receive.consume(&mut self.scratch[..wanted]) };
        self.in_fill = self.in_fill.saturating_sub(count);
        for descriptor in &self.scratch[..count] {
            take(Frame {
                descriptor: *descriptor,
            });
        }
        count
    }

    /// Takes back what the kernel has sent.
    pub(super) fn reap(&mut self) {
        while self.in_transmit > 0 {
            // JUSTIFICATION: as in `receive`.
            // SAFETY: as in `receive`; a completed frame is no longer read by the kernel.
            let count = unsafe { self.completion.consume(&mut self.scratch) };
            for descriptor in &self.scratch[..count] {
                self.free.push(Frame {
                    descriptor: *descriptor,
                });
            }
            self.in_transmit = self.in_transmit.saturating_sub(count);
            if count < MOVE_FRAMES_MAX {
                return;
            }
        }
    }

    /// Moves frames from the front of `queue` to the transmit ring, as many as fit; returns how many.
    pub(super) fn transmit(&mut self, queue: &mut Vec<Frame>) -> usize {
        let mut total = 0;
        while total < queue.len() {
            let wanted = (queue.len() - total).min(MOVE_FRAMES_MAX);
            let room = self
                .transmit
                .nb_free(u32::try_from(wanted).unwrap_or(u32::MAX)) as usize;
            let wanted = wanted.min(room);
            if wanted == 0 {
                break;
            }
            for (slot, frame) in self.scratch.iter_mut().zip(&queue[total..]) {
                *slot = frame.descriptor;
            }
            // JUSTIFICATION: xsk-rs leaves the ownership of frames to its caller.
            // SAFETY: the descriptors come from tokens in `queue`, dropped by the drain below.
            let moved = unsafe { self.transmit.produce(&self.scratch[..wanted]) };
            total += moved;
            if moved < wanted {
                break;
            }
        }
        queue.drain(..total);
        self.in_transmit += total;
        total
    }

    /// Frames given to the transmit ring and not yet reaped.
    pub(super) fn in_transmit(&self) -> usize {
        self.in_transmit
    }

    /// Frames on the transmit ring that the kernel has not taken yet.
    pub(super) fn unsent(&mut self, ring_frames: u32) -> u32 {
        ring_frames.saturating_sub(self.transmit.nb_free_exact())
    }

    /// Wakes the kernel to send, where it asks for that.
    pub(super) fn kick(&mut self) -> std::io::Result<()> {
        if self.transmit.needs_wakeup() {
            self.transmit.wakeup()
        } else {
            Ok(())
        }
    }

    /// Wakes the kernel to look at the fill ring, where it asks for that (zero-copy drivers).
    pub(super) fn kick_fill(&mut self) -> std::io::Result<()> {
        if self.fill.needs_wakeup() {
            self.fill.wakeup(self.receive.fd_mut(), 0)?;
        }
        Ok(())
    }

    /// The socket.
    pub(super) fn socket(&self) -> &xsk_rs::socket::Fd {
        self.receive.fd()
    }

    /// The received bytes.
    #[inline]
    pub(super) fn bytes<'a>(&'a self, frame: &'a Frame) -> &'a [u8] {
        // JUSTIFICATION: xsk-rs can't know who owns a frame.
        // SAFETY: the token proves that the kernel does not hold the frame; it belongs to this
        // umem, and `&Frame` excludes a writer.
        unsafe { self.umem.data(&frame.descriptor) }.contents()
    }

    /// Lets `write` change the whole room from the frame's first packet byte to the end of its
    /// chunk; what it returns becomes the frame's length.
    #[inline]
    pub(super) fn write(&self, frame: &mut Frame, write: impl FnOnce(&mut [u8]) -> usize) {
        // JUSTIFICATION: xsk-rs can't know who owns a frame.
        // SAFETY: the token proves that the kernel does not hold the frame; `&mut Frame` excludes
        // any other reader or writer.
        let mut data = unsafe { self.umem.data_mut(&mut frame.descriptor) };
        let room = data.cursor().buf_len();
        data.cursor().set_pos(room);
        let length = write(data.contents_mut());
        data.cursor().set_pos(length);
    }
}
