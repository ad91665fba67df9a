//! [`Horizon`]: what a replica can still use, told from a message's epoch, view and place alone.
//!
//! Signatures are what a message costs, so whoever checks them asks here first. It is a filter and never a judge: the
//! replica decides anew. What is behind stays behind, since a replica never goes back; what is ahead is let through with
//! room to spare, as the replica may have got further by the time it sees the message. Votes that are dropped for it are
//! sent again, and a replica that is far behind learns where the others are from their [`crate::Status`], which nobody signs.

use crate::identity::{Epoch, NodeId, Sequence, View};
use crate::message::Message;

/// Where a replica stands, as far as it decides what it can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Horizon {
    /// Its epoch.
    pub epoch: Epoch,
    /// Its view, or the one it wants.
    pub view: View,
    /// Whether that view has not begun.
    pub is_changing: bool,
    /// Last stable checkpoint: the low watermark.
    pub stable: Sequence,
    /// The high watermark.
    pub high: Sequence,
    /// Whom it has asked for history or a snapshot.
    pub helper: Option<NodeId>,
}

/// Of how much use a message can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Some.
    Some,
    /// None but to show that its sender lacks something that this replica has and gives once a round: a few are enough.
    Plea,
    /// None.
    None,
}

impl Horizon {
    /// Of how much use a message of this peer can be.
    #[must_use]
    pub fn use_of(&self, from: NodeId, message: &Message) -> Use {
        let is_useful = match message {
            Message::PrePrepare(signed, _) | Message::Vote(signed) => {
                self.has_place(signed.vote.epoch, signed.vote.sequence)
            }
            Message::Checkpoint(signed, _) => {
                let vote = signed.vote;
                let is_over = vote.epoch < self.epoch || vote.sequence <= self.stable;
                return match (self.has_place(vote.epoch, vote.sequence), is_over) {
                    (true, _) => Use::Some,
                    // Its sender has not heard that it is stable.
                    (false, true) => Use::Plea,
                    (false, false) => Use::None,
                };
            }
            // Who wants a view that has begun is shown it for its `Status`.
            Message::ViewChange(change) => self.has_yet_to_begin(change.epoch, change.view),
            Message::NewView(new) => self.has_yet_to_begin(new.epoch, new.view),
            Message::Log(_) | Message::SnapshotOffer(_) => self.helper == Some(from),
            _ => true,
        };
        match is_useful {
            true => Use::Some,
            false => Use::None,
        }
    }

    /// Whether it is in this epoch, or in the next one, which may have begun by then.
    fn is_near(&self, epoch: Epoch) -> bool {
        (self.epoch.0..=self.epoch.0.saturating_add(1)).contains(&epoch.0)
    }

    /// Whether a place in the order is within the watermarks, or less than a window above.
    fn has_place(&self, epoch: Epoch, sequence: Sequence) -> bool {
        let window = self.high.0.saturating_sub(self.stable.0);
        self.is_near(epoch) && sequence > self.stable && sequence <= self.high.plus(window)
    }

    fn has_yet_to_begin(&self, epoch: Epoch, view: View) -> bool {
        let is_later = view > self.view || (view == self.view && self.is_changing);
        self.is_near(epoch) && (epoch > self.epoch || is_later)
    }
}

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;
    use alloc::sync::Arc;
    use alloc::vec::Vec;

    use super::*;
    use crate::configuration::{Configuration, Member, Role};
    use crate::identity::{Digest, PublicKey, Signature};
    use crate::view_change::{NewView, ViewChange};
    use crate::vote::{CheckpointBody, CheckpointCertificate, Phase, SignedVote, Vote};

    const PEER: NodeId = NodeId(7);
    const HERE: Horizon = Horizon {
        epoch: Epoch(5),
        view: View(3),
        is_changing: false,
        stable: Sequence(100),
        high: Sequence(120),
        helper: Some(PEER),
    };

    fn signed(phase: Phase, epoch: u64, sequence: u64) -> SignedVote {
        SignedVote {
            vote: Vote {
                phase,
                epoch: Epoch(epoch),
                view: View(0),
                sequence: Sequence(sequence),
                digest: Digest([0; 32]),
            },
            signer: PEER,
            signature: Signature([0; 64]),
        }
    }

    fn checkpoint(epoch: u64, sequence: u64) -> Message {
        let member = Member {
            key: PublicKey([1; 32]),
            role: Role::Authority,
            address: ([127, 0, 0, 1], 1).into(),
        };
        let body = CheckpointBody {
            sequence: Sequence(sequence),
            state_root: Digest([0; 32]),
            clients_root: Digest([0; 32]),
            time_ms: 0,
            boundary: None,
            configuration: Configuration::new(Epoch(epoch), [member].into(), 10, 3).unwrap(),
        };
        let signed = signed(Phase::Checkpoint, epoch, sequence);
        Message::Checkpoint(signed, Box::new(body))
    }

    #[test]
    fn votes_are_of_use_from_the_low_watermark_to_a_window_above_the_high_one() {
        for (epoch, sequence, expected) in [
            (4, 110, Use::None),
            (5, 100, Use::None),
            (5, 101, Use::Some),
            (5, 140, Use::Some),
            (5, 141, Use::None),
            (6, 110, Use::Some),
            (6, 100, Use::None),
            (7, 110, Use::None),
            (u64::MAX, u64::MAX, Use::None),
        ] {
            let vote = Message::Vote(signed(Phase::Commit, epoch, sequence));
            assert_eq!(HERE.use_of(PEER, &vote), expected, "{epoch} {sequence}");
        }
    }

    #[test]
    fn old_checkpoint_is_a_plea_and_one_from_nowhere_nothing() {
        for (epoch, sequence, expected) in [
            (5, 110, Use::Some),
            (5, 100, Use::Plea),
            (3, 60, Use::Plea),
            (3, 110, Use::Plea),
            (5, 150, Use::None),
            (7, 110, Use::None),
        ] {
            let message = checkpoint(epoch, sequence);
            assert_eq!(HERE.use_of(PEER, &message), expected, "{epoch} {sequence}");
        }
    }

    #[test]
    fn view_that_has_begun_is_of_no_use_and_any_later_one_is() {
        let waiting = Horizon {
            is_changing: true,
            ..HERE
        };
        for (horizon, epoch, view, expected) in [
            (HERE, 5, 3, Use::None),
            (HERE, 5, 2, Use::None),
            (HERE, 5, 4, Use::Some),
            (HERE, 5, u64::MAX, Use::Some),
            (waiting, 5, 3, Use::Some),
            (waiting, 5, 2, Use::None),
            (HERE, 6, 1, Use::Some),
            (HERE, 4, 9, Use::None),
            (HERE, 7, 9, Use::None),
        ] {
            let (epoch, view) = (Epoch(epoch), View(view));
            let change = ViewChange {
                epoch,
                view,
                stable: CheckpointCertificate::default(),
                prepared: Vec::new(),
                pre_prepared: Vec::new(),
                signer: PEER,
                signature: Signature([0; 64]),
            };
            let new = NewView {
                epoch,
                view,
                view_changes: Vec::new(),
                proposals: Vec::new(),
                signer: PEER,
                signature: Signature([0; 64]),
            };
            let change = Message::ViewChange(Box::new(change));
            let new = Message::NewView(Arc::new(new));
            for message in [change, new] {
                assert_eq!(horizon.use_of(PEER, &message), expected, "{message:?}");
            }
        }
    }

    #[test]
    fn history_is_of_use_from_whom_it_was_asked() {
        let log = Message::Log(Vec::new());
        assert_eq!(HERE.use_of(PEER, &log), Use::Some);
        assert_eq!(HERE.use_of(NodeId(8), &log), Use::None);
        let alone = Horizon {
            helper: None,
            ..HERE
        };
        assert_eq!(alone.use_of(PEER, &log), Use::None);
    }
}
