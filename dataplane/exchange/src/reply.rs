//! Replies: what control has for a worker to send, to remember, or to forget.

use std::sync::Arc;

use crate::claim::{Claim, Tenure};
use crate::mapped::Mapped;
use crate::punt::{
    BODY_BYTES, Fields, MESSAGE_BYTES_MAX, TEMPLATE_WORDS, array, check_push, copy_out, slice,
};
use crate::ring::{Consumer, Producer, PushError, RingIndices, SLOT_WORDS, SlotError};
use crate::sync::AtomicU64;
use crate::words;

const FIELD_WORDS: usize = 4;
const FIELD_BYTES: usize = FIELD_WORDS * 8;
const MESSAGE_WORD: usize = FIELD_WORDS + TEMPLATE_WORDS;
const MESSAGE_BYTE: usize = MESSAGE_WORD * 8;

const _: () = assert!(MESSAGE_BYTE + MESSAGE_BYTES_MAX <= BODY_BYTES);

const KIND_ANSWER: u8 = 1;
const KIND_ANSWER_UNCACHED: u8 = 2;
const KIND_FILL: u8 = 3;
const KIND_FLUSH: u8 = 4;
const KIND_MESH: u8 = 5;
const FLAG_SUBTREE: u8 = 1;

/// How a message is to be kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplyMeta {
    /// Zone it came from; 0 for recursive data.
    pub zone: u32,
    /// Generation of that zone when control made the message.
    pub generation: u32,
    /// When its TTLs were right, seconds of CLOCK_MONOTONIC.
    pub stored_at: u32,
    /// Seconds from `stored_at` that it may be served.
    pub ttl: u32,
    /// Flags of the key it answers: bit 0 RD, bit 1 CD, bit 2 DO.
    pub key_flags: u8,
}

/// One message from control to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// Send this to the client that the template names, and keep it.
    Answer {
        /// The template that came with the punt.
        headers: &'a [u8],
        /// A full DNS message, ready to send, OPT last.
        message: &'a [u8],
        /// How to keep it.
        meta: ReplyMeta,
    },
    /// Send this and forget it.
    AnswerUncached {
        /// The template that came with the punt.
        headers: &'a [u8],
        /// A full DNS message, ready to send.
        message: &'a [u8],
    },
    /// Keep this; nobody waits for it.
    Fill {
        /// A full DNS message, OPT last.
        message: &'a [u8],
        /// How to keep it.
        meta: ReplyMeta,
    },
    /// Send this to another node. What it holds is none of the worker's business.
    Mesh {
        /// The template of a datagram that came from there.
        headers: &'a [u8],
        /// The payload of one datagram.
        message: &'a [u8],
    },
    /// Forget what is kept for a name.
    Flush {
        /// The name, uncompressed lower-case wire form with the root byte.
        qname: &'a [u8],
        /// Everything below it too.
        subtree: bool,
    },
}

impl<'a> Reply<'a> {
    /// Reads the bytes of a slot after its sequence number. They may hold anything; the message
    /// and the template are not looked into.
    pub fn parse(slot: &'a [u8]) -> Result<Self, SlotError> {
        let fields = Fields::parse(slot)?;
        let Some(fixed) = slot.first_chunk::<FIELD_BYTES>() else {
            return Err(SlotError::Length {
                bytes: FIELD_BYTES,
                bytes_max: slot.len(),
            });
        };
        let headers = slice(slot, FIELD_BYTES, fields.headers_bytes)?;
        let message = slice(slot, MESSAGE_BYTE, fields.message_bytes)?;
        let meta = ReplyMeta {
            zone: u32::from_le_bytes(array(fixed, 8)),
            generation: u32::from_le_bytes(array(fixed, 12)),
            stored_at: u32::from_le_bytes(array(fixed, 16)),
            ttl: u32::from_le_bytes(array(fixed, 20)),
            key_flags: fields.flags,
        };
        match (fields.kind, fields.flags) {
            (KIND_ANSWER, _) => Ok(Self::Answer {
                headers,
                message,
                meta,
            }),
            (KIND_ANSWER_UNCACHED, _) => Ok(Self::AnswerUncached { headers, message }),
            (KIND_FILL, _) => Ok(Self::Fill { message, meta }),
            (KIND_MESH, _) => Ok(Self::Mesh { headers, message }),
            (KIND_FLUSH, 0) => Ok(Self::Flush {
                qname: message,
                subtree: false,
            }),
            (KIND_FLUSH, FLAG_SUBTREE) => Ok(Self::Flush {
                qname: message,
                subtree: true,
            }),
            (kind, _) => Err(SlotError::Kind(kind)),
        }
    }

    fn parts(&self) -> (u8, u8, &'a [u8], &'a [u8], ReplyMeta) {
        let none = ReplyMeta::default();
        match *self {
            Self::Answer {
                headers,
                message,
                meta,
            } => (KIND_ANSWER, meta.key_flags, headers, message, meta),
            Self::AnswerUncached { headers, message } => {
                (KIND_ANSWER_UNCACHED, 0, headers, message, none)
            }
            Self::Mesh { headers, message } => (KIND_MESH, 0, headers, message, none),
            Self::Fill { message, meta } => (KIND_FILL, meta.key_flags, &[], message, meta),
            Self::Flush { qname, subtree } => (
                KIND_FLUSH,
                if subtree { FLAG_SUBTREE } else { 0 },
                &[],
                qname,
                none,
            ),
        }
    }

    fn write(&self, body: &[AtomicU64]) {
        let (kind, flags, headers, message, meta) = self.parts();
        let (headers_bytes, message_bytes) = (headers.len(), message.len());
        let mut fields = [0; FIELD_BYTES];
        let parts = Fields {
            headers_bytes,
            message_bytes,
            kind,
            flags,
        };
        fields[..8].copy_from_slice(&parts.encode());
        fields[8..12].copy_from_slice(&meta.zone.to_le_bytes());
        fields[12..16].copy_from_slice(&meta.generation.to_le_bytes());
        fields[16..20].copy_from_slice(&meta.stored_at.to_le_bytes());
        fields[20..24].copy_from_slice(&meta.ttl.to_le_bytes());
        words::store(body, &fields);
        words::store(&body[FIELD_WORDS..MESSAGE_WORD], headers);
        words::store(&body[MESSAGE_WORD..], message);
    }
}

/// Control's end of a worker's reply ring.
#[derive(Debug)]
pub struct ReplyProducer {
    ring: Producer<SLOT_WORDS>,
    tenure: Tenure,
    _claim: Arc<Claim>,
}

impl ReplyProducer {
    pub(crate) fn new(
        indices: Mapped<RingIndices>,
        words: Mapped<[AtomicU64]>,
        tenure: Tenure,
        claim: Arc<Claim>,
    ) -> Self {
        Self {
            ring: Producer::new(indices, words),
            tenure,
            _claim: claim,
        }
    }

    /// Copies one reply into the ring. The worker sees it after [`ReplyProducer::publish`].
    pub fn push(&mut self, reply: &Reply<'_>) -> Result<(), PushError> {
        if !self.tenure.holds() {
            return Err(PushError::Superseded);
        }
        let (_, _, headers, message, _) = reply.parts();
        check_push(headers, message)?;
        self.ring.stage(|body| reply.write(body))
    }

    /// Makes everything pushed visible, once a batch. True: the worker sleeps, ring its bell.
    /// Does nothing once another control has taken over.
    #[must_use = "a sleeping consumer must be kicked"]
    pub fn publish(&mut self) -> bool {
        self.tenure.holds() && self.ring.publish()
    }
}

/// The worker's end of its reply ring.
#[derive(Debug)]
pub struct ReplyConsumer {
    ring: Consumer<SLOT_WORDS>,
    scratch: Box<[u8; BODY_BYTES]>,
    _claim: Arc<Claim>,
}

impl ReplyConsumer {
    pub(crate) fn new(
        indices: Mapped<RingIndices>,
        words: Mapped<[AtomicU64]>,
        claim: Arc<Claim>,
    ) -> Self {
        let scratch = Box::new([0; BODY_BYTES]);
        Self {
            ring: Consumer::new(indices, words, 1),
            scratch,
            _claim: claim,
        }
    }

    /// Takes the oldest reply; None when the ring is empty. It is copied out and counts as
    /// consumed on return. A hostile control can keep the ring full for ever: bound your batch.
    pub fn pop(&mut self) -> Option<Result<Reply<'_>, SlotError>> {
        let scratch = &mut self.scratch;
        let copied = self.ring.pop(|body| copy_out(body, FIELD_WORDS, scratch))?;
        Some(copied.and_then(|()| Reply::parse(&self.scratch[..])))
    }

    /// Before blocking on the reply bell. True: the ring is empty and the next publication
    /// kicks; block now. False: do not block, pop.
    #[must_use = "blocking when this is false loses a wake-up"]
    pub fn prepare_sleep(&mut self) -> bool {
        self.ring.prepare_sleep()
    }

    /// After waking, for whatever reason: no more kicks, please.
    pub fn wake(&mut self) {
        self.ring.wake();
    }
}
