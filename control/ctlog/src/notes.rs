//! [`Notes`]: cosigned notes of peers on their way to the thread of the log. Each peer has a share of the places, so that none
//! keeps out what the others say.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam_channel::{Receiver, Sender};

/// Notes of one peer that wait at most. More are thrown away: what they say comes with the next head, or is sent again.
const OF_PEER_MAX: usize = 256;

/// Notes of all peers that wait at most: a share for each node of the largest cluster, which has 64.
const ALL_MAX: usize = 64 * OF_PEER_MAX;

/// How many notes of each peer wait.
type Counts = BTreeMap<String, usize>;

/// The end that takes notes. A clone shares the places.
#[derive(Debug, Clone)]
pub(crate) struct Notes {
    sender: Sender<WaitingNote>,
    counts: Arc<Mutex<Counts>>,
}

/// A note that waits. Its place is free when this is dropped.
#[derive(Debug)]
pub(crate) struct WaitingNote {
    pub(crate) from: String,
    pub(crate) note: Vec<u8>,
    counts: Arc<Mutex<Counts>>,
}

impl Notes {
    /// Both ends.
    pub(crate) fn channel() -> (Self, Receiver<WaitingNote>) {
        let (sender, receiver) = crossbeam_channel::bounded(ALL_MAX);
        let counts = Arc::default();
        (Self { sender, counts }, receiver)
    }

    /// Has a note wait. False: too many do, or the log has ended.
    pub(crate) fn push(&self, from: &str, note: &[u8]) -> bool {
        let mut counts = lock(&self.counts);
        let count = counts.entry(from.to_owned()).or_default();
        if *count == OF_PEER_MAX {
            return false;
        }
        *count += 1;
        drop(counts);
        let waiting = WaitingNote {
            from: from.to_owned(),
            note: note.to_vec(),
            counts: Arc::clone(&self.counts),
        };
        self.sender.try_send(waiting).is_ok()
    }
}

impl Drop for WaitingNote {
    fn drop(&mut self) {
        let mut counts = lock(&self.counts);
        if let Some(count) = counts.get_mut(&self.from) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.from);
            }
        }
    }
}

fn lock(counts: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peer_that_says_much_keeps_out_no_other() {
        let (notes, taken) = Notes::channel();
        // Far more liars than any cluster bears.
        for liar in 0..32 {
            let said = (0..2 * OF_PEER_MAX).filter(|_| notes.push(&format!("liar{liar}"), b"x"));
            assert_eq!(said.count(), OF_PEER_MAX);
        }
        assert!(notes.push("honest", b"note"));
        assert!(!notes.push("liar0", b"x"));
        drop(taken.recv().unwrap());
        assert!(notes.push("liar0", b"x"), "the place is free again");
        while let Ok(note) = taken.try_recv() {
            drop(note);
        }
        assert!(lock(&notes.counts).is_empty());
    }
}
