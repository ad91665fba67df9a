//! What waits to be sent to one peer, by class. Full, it lets go of what matters least.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use consensus::MessageKind;
use tokio::sync::Notify;

/// Most bytes that wait for one peer: two of the longest messages.
pub(super) const QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most messages that wait for one peer.
pub(super) const QUEUE_MESSAGES_MAX: usize = 16 * 1024;

/// What must not wait for what. The first matters most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// Small and repeated by the replica when lost: datagrams.
    Vote,
    /// What the order waits for.
    Order,
    /// For those who are behind.
    Transfer,
    /// Outside of the order.
    Application,
}

impl Class {
    /// From the most important on.
    pub(super) const ALL: [Self; 4] = [Self::Vote, Self::Order, Self::Transfer, Self::Application];
    /// Those with a stream each.
    pub(super) const STREAMS: [Self; 3] = [Self::Order, Self::Transfer, Self::Application];

    /// Of a message.
    pub(super) fn of(kind: MessageKind, bytes: usize, datagram_bytes_max: usize) -> Self {
        match kind {
            MessageKind::Prepare
            | MessageKind::Commit
            | MessageKind::Checkpoint
            | MessageKind::Status
            | MessageKind::ReadIndex
            | MessageKind::ReadIndexReply => match bytes <= datagram_bytes_max {
                true => Self::Vote,
                false => Self::Order,
            },
            MessageKind::PrePrepare
            | MessageKind::ViewChange
            | MessageKind::NewView
            | MessageKind::Request
            | MessageKind::FetchBatch
            | MessageKind::BatchData => Self::Order,
            MessageKind::FetchLog
            | MessageKind::Log
            | MessageKind::SnapshotOffer
            | MessageKind::FetchChunk
            | MessageKind::Chunk => Self::Transfer,
            MessageKind::Application => Self::Application,
        }
    }
}

/// A message as it travels.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub(super) kind: MessageKind,
    pub(super) bytes: Bytes,
}

/// What waits for one peer. Closed while there is no connection: then nothing waits.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    ready: [Notify; Class::ALL.len()],
}

#[derive(Debug, Default)]
struct Waiting {
    is_open: bool,
    classes: [VecDeque<Outgoing>; Class::ALL.len()],
    bytes: usize,
    messages: usize,
}

impl Waiting {
    fn pop(&mut self, class: Class) -> Option<Outgoing> {
        let outgoing = self.classes.get_mut(class as usize)?.pop_front()?;
        self.bytes -= outgoing.bytes.len();
        self.messages -= 1;
        Some(outgoing)
    }

    /// The oldest of those that matter least.
    fn pop_least(&mut self) -> Option<Outgoing> {
        Class::ALL
            .into_iter()
            .rev()
            .find_map(|class| self.pop(class))
    }
}

impl Queue {
    /// Adds a message; says how many were dropped for it, itself perhaps among them.
    pub(super) fn push(&self, class: Class, outgoing: Outgoing) -> u64 {
        let mut waiting = self.lock();
        if !waiting.is_open {
            return 1;
        }
        waiting.bytes += outgoing.bytes.len();
        waiting.messages += 1;
        if let Some(own) = waiting.classes.get_mut(class as usize) {
            own.push_back(outgoing);
        }
        let mut dropped = 0;
        while waiting.bytes > QUEUE_BYTES_MAX || waiting.messages > QUEUE_MESSAGES_MAX {
            if waiting.pop_least().is_none() {
                break;
            }
            dropped += 1;
        }
        drop(waiting);
        if let Some(ready) = self.ready.get(class as usize) {
            ready.notify_one();
        }
        dropped
    }

    /// The next of a class, for the one who sends that class.
    pub(super) async fn next(&self, class: Class) -> Outgoing {
        loop {
            if let Some(outgoing) = self.lock().pop(class) {
                return outgoing;
            }
            match self.ready.get(class as usize) {
                Some(ready) => ready.notified().await,
                None => std::future::pending().await,
            }
        }
    }

    /// Begins empty.
    pub(super) fn open(&self) {
        *self.lock() = Waiting {
            is_open: true,
            ..Waiting::default()
        };
    }

    /// Lets go of all, and of all that comes.
    pub(super) fn close(&self) {
        *self.lock() = Waiting::default();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(kind: MessageKind, bytes: usize) -> Outgoing {
        let bytes = Bytes::from(vec![0; bytes]);
        Outgoing { kind, bytes }
    }

    fn kinds(queue: &Queue, class: Class) -> Vec<MessageKind> {
        let mut waiting = queue.lock();
        std::iter::from_fn(|| waiting.pop(class))
            .map(|outgoing| outgoing.kind)
            .collect()
    }

    #[test]
    fn full_queue_lets_go_of_the_oldest_of_the_lowest_class() {
        let queue = Queue::default();
        queue.open();
        let half = QUEUE_BYTES_MAX / 2;
        assert_eq!(
            queue.push(Class::Transfer, outgoing(MessageKind::Log, half)),
            0
        );
        assert_eq!(
            queue.push(Class::Transfer, outgoing(MessageKind::Chunk, half)),
            0
        );
        assert_eq!(
            queue.push(Class::Vote, outgoing(MessageKind::Commit, 100)),
            1
        );
        assert_eq!(kinds(&queue, Class::Transfer), [MessageKind::Chunk]);
        assert_eq!(kinds(&queue, Class::Vote), [MessageKind::Commit]);
    }

    #[test]
    fn message_that_matters_least_is_itself_dropped() {
        let queue = Queue::default();
        queue.open();
        for _ in 0..QUEUE_MESSAGES_MAX {
            assert_eq!(
                queue.push(Class::Order, outgoing(MessageKind::Request, 1)),
                0
            );
        }
        assert_eq!(
            queue.push(Class::Transfer, outgoing(MessageKind::Log, 1)),
            1
        );
        assert!(kinds(&queue, Class::Transfer).is_empty());
        assert_eq!(
            queue.push(Class::Order, outgoing(MessageKind::Request, 1)),
            1
        );
        assert_eq!(kinds(&queue, Class::Order).len(), QUEUE_MESSAGES_MAX);
    }

    #[test]
    fn closed_queue_keeps_nothing() {
        let queue = Queue::default();
        assert_eq!(queue.push(Class::Vote, outgoing(MessageKind::Commit, 1)), 1);
        queue.open();
        assert_eq!(queue.push(Class::Vote, outgoing(MessageKind::Commit, 1)), 0);
        queue.close();
        assert!(kinds(&queue, Class::Vote).is_empty());
    }

    #[test]
    fn vote_that_fits_no_datagram_goes_with_the_order() {
        assert_eq!(Class::of(MessageKind::Commit, 144, 1100), Class::Vote);
        assert_eq!(Class::of(MessageKind::Commit, 1101, 1100), Class::Order);
    }
}
