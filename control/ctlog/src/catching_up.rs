//! [`CatchingUp`]: what a shard fetches, and what consensus says meanwhile.

use std::collections::VecDeque;

use ct::{EntryKind, Hash, LogEntry, TreeHead};

use crate::catch_up::{Fetching, Target};
use crate::decided::Appended;

/// Entries that wait at most. Beyond, they are fetched from others as well.
const QUEUE_ENTRIES_MAX: usize = 1 << 14;

/// Bytes of their certificates and chains at most.
const QUEUE_BYTES_MAX: usize = 64 << 20;

/// A shard that does not have what was decided.
#[derive(Debug)]
pub(crate) struct CatchingUp {
    /// What is fetched now.
    pub(crate) target: Target,
    /// What is fetched after it: what lies between has not been kept.
    pub(crate) next: Option<Target>,
    /// What goes on from the last target, in order.
    pub(crate) queue: VecDeque<Queued>,
    queued_entries: usize,
    queued_bytes: usize,
    /// The queue was too long. It begins anew with the next head.
    pub(crate) is_lost: bool,
    /// Dropped to end it.
    _fetching: Fetching,
}

/// What waits.
#[derive(Debug)]
pub(crate) enum Queued {
    Appended(Appended),
    Head(TreeHead),
}

impl CatchingUp {
    pub(crate) fn new(target: Target, queue: VecDeque<Queued>, fetching: Fetching) -> Self {
        let appended = || {
            queue.iter().filter_map(|queued| match queued {
                Queued::Appended(appended) => Some(appended),
                Queued::Head(_) => None,
            })
        };
        Self {
            target,
            next: None,
            queued_entries: appended().map(|appended| appended.entries.len()).sum(),
            queued_bytes: appended().map(bytes_of).sum(),
            queue,
            is_lost: false,
            _fetching: fetching,
        }
    }

    pub(crate) fn on_appended(&mut self, appended: Appended) {
        if self.is_lost {
            return;
        }
        self.queued_entries += appended.entries.len();
        self.queued_bytes += bytes_of(&appended);
        self.queue.push_back(Queued::Appended(appended));
        let count = self.queued_entries.max(self.queue.len());
        if count > QUEUE_ENTRIES_MAX || self.queued_bytes > QUEUE_BYTES_MAX {
            self.clear();
            self.next = None;
            self.is_lost = true;
        }
    }

    pub(crate) fn on_head(&mut self, head: TreeHead) {
        if self.is_lost {
            self.is_lost = false;
            self.next = Some(Target::of(&head));
        }
        self.queue.push_back(Queued::Head(head));
    }

    /// A state was taken over that is ahead of all that was decided here.
    pub(crate) fn on_restored(&mut self, target: Target) {
        let furthest = self.next.unwrap_or(self.target);
        if target.size > furthest.size {
            self.clear();
            self.is_lost = false;
            self.next = Some(target);
        }
    }

    fn clear(&mut self) {
        self.queue.clear();
        self.queued_entries = 0;
        self.queued_bytes = 0;
    }
}

/// What entries hold in memory, in bytes.
fn bytes_of(appended: &Appended) -> usize {
    let bytes = |entry: &LogEntry| {
        let kind = match &entry.kind {
            EntryKind::Certificate(der) => der.len(),
            EntryKind::Precertificate { tbs, submitted, .. } => tbs.len() + submitted.len(),
        };
        kind + entry.chain.len() * Hash::BYTES
    };
    appended.entries.iter().map(bytes).sum()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn appended(first_index: u64, count: usize) -> Appended {
        appended_of(first_index, count, b"certificate")
    }

    fn appended_of(first_index: u64, count: usize, der: &[u8]) -> Appended {
        let entry = LogEntry {
            kind: EntryKind::Certificate(Arc::from(der)),
            chain: Arc::new([]),
        };
        Appended {
            shard: Arc::from("s"),
            first_index,
            timestamp_ms: 1,
            entries: vec![entry; count],
        }
    }

    #[test]
    fn few_entries_that_are_large_fill_the_queue_too() {
        let root = Hash([1; 32]);
        let target = Target { size: 5, root };
        let mut catching_up = CatchingUp::new(target, VecDeque::new(), Fetching::default());
        let large = vec![0; 1 << 16];
        for batch in 0..16 {
            assert!(!catching_up.is_lost, "{batch}");
            catching_up.on_appended(appended_of(5 + 64 * batch, 64, &large));
        }
        assert!(!catching_up.is_lost);
        catching_up.on_appended(appended(5 + 64 * 16, 1));
        assert!(catching_up.is_lost);
        assert!(catching_up.queue.is_empty());
    }

    #[test]
    fn queue_that_grows_too_long_begins_anew_at_the_next_head() {
        let root = Hash([1; 32]);
        let target = Target { size: 5, root };
        let mut catching_up = CatchingUp::new(target, VecDeque::new(), Fetching::default());
        catching_up.on_appended(appended(5, QUEUE_ENTRIES_MAX));
        assert_eq!(catching_up.queue.len(), 1);
        let size = 5 + QUEUE_ENTRIES_MAX as u64;
        catching_up.on_appended(appended(size, 1));
        catching_up.on_appended(appended(size + 1, 1));
        assert!(catching_up.is_lost);
        assert!(catching_up.queue.is_empty());
        let head = TreeHead {
            size: size + 2,
            root,
            timestamp_ms: 1,
        };
        catching_up.on_head(head);
        assert_eq!(catching_up.next, Some(Target::of(&head)));
        catching_up.on_appended(appended(size + 2, 1));
        assert!(!catching_up.is_lost);
        assert_eq!(catching_up.queue.len(), 2);
        let further = Target {
            size: size + 9,
            root,
        };
        catching_up.on_restored(further);
        catching_up.on_restored(target);
        assert_eq!(catching_up.next, Some(further));
        assert!(catching_up.queue.is_empty());
    }
}
