//! [`Ballots`]: heads of a shard that wait for a quorum, and the cosignatures that have come for them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use ct::{Checkpoint, Hash, KeyName, NoteSignature, TreeHead, VerifierKey};

use crate::signer::CommitCertificate;
use crate::validators::Validators;

/// Heads that wait at most; the oldest gives way.
const HEADS_MAX: usize = 1024;

/// Cosignatures of one validator for heads that this node does not know yet, at most; the oldest gives way.
const EARLY_MAX: usize = 64;

/// In the order in which the heads were decided.
#[derive(Debug, Default)]
pub(crate) struct Ballots {
    heads: VecDeque<Ballot>,
    early: BTreeMap<VerifierKey, VecDeque<Cosigned>>,
}

/// A head, and who has cosigned it.
#[derive(Debug)]
struct Ballot {
    head: TreeHead,
    decided: Instant,
    lines: BTreeMap<VerifierKey, NoteSignature>,
}

/// What a validator has said, its signature checked.
#[derive(Debug, Clone)]
pub(crate) struct Cosigned {
    pub(crate) size: u64,
    pub(crate) root: Hash,
    pub(crate) time_s: u64,
    pub(crate) line: NoteSignature,
}

/// What became of a cosignature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It counts for a head.
    Counted,
    /// The head may be decided later.
    Early,
    /// It was there already.
    Duplicate,
    /// Of a head that is published, or older.
    Late,
    /// Of another tree than the one that was decided: the validator lies, or this node does not know what it does.
    Fork,
}

impl Cosigned {
    /// Whether it is of this head, at its second.
    pub(crate) fn is_of(&self, head: &TreeHead) -> bool {
        let same_second = self.time_s == head.timestamp_ms / 1000;
        self.size == head.size && self.root == head.root && same_second
    }
}

impl Ballots {
    /// A head was decided at this moment.
    pub(crate) fn on_head(&mut self, head: TreeHead, decided: Instant) {
        let mut lines = BTreeMap::new();
        for (key, said) in &mut self.early {
            if let Some(said) = said.iter().find(|said| said.is_of(&head)) {
                lines.insert(key.clone(), said.line.clone());
            }
            // Others have not got so far behind that what they said before could still be of use.
            said.retain(|said| said.time_s >= head.timestamp_ms / 1000);
        }
        if self.heads.len() == HEADS_MAX {
            self.heads.pop_front();
        }
        self.heads.push_back(Ballot {
            head,
            decided,
            lines,
        });
    }

    /// Takes what a validator has said. `shown` is the last head that is done with.
    pub(crate) fn on_cosigned(
        &mut self,
        key: &VerifierKey,
        said: Cosigned,
        shown: Option<&TreeHead>,
    ) -> Taken {
        let of_shown = shown.filter(|shown| shown.size == said.size);
        let mut of_size = self.heads.iter().map(|ballot| &ballot.head).chain(of_shown);
        if of_size.any(|head| head.size == said.size && head.root != said.root) {
            return Taken::Fork;
        }
        let mut taken = None;
        for ballot in self
            .heads
            .iter_mut()
            .filter(|ballot| said.is_of(&ballot.head))
        {
            let before = ballot.lines.insert(key.clone(), said.line.clone());
            let is_new = before.is_none() || taken == Some(Taken::Counted);
            taken = Some(if is_new {
                Taken::Counted
            } else {
                Taken::Duplicate
            });
        }
        taken.unwrap_or_else(|| self.on_unknown_head(key, said, shown))
    }

    fn on_unknown_head(
        &mut self,
        key: &VerifierKey,
        said: Cosigned,
        shown: Option<&TreeHead>,
    ) -> Taken {
        let newest = self.heads.back().map(|ballot| &ballot.head).or(shown);
        let is_late = |newest: &TreeHead| {
            said.size < newest.size
                || said.time_s < newest.timestamp_ms / 1000
                || said.is_of(newest)
        };
        if newest.is_some_and(is_late) {
            return Taken::Late;
        }
        let early = self.early.entry(key.clone()).or_default();
        if early.iter().any(|before| before.line == said.line) {
            return Taken::Duplicate;
        }
        if early.len() == EARLY_MAX {
            early.pop_front();
        }
        early.push_back(said);
        Taken::Early
    }

    /// The newest head that a quorum of those in force has cosigned, and when it was decided.
    pub(crate) fn newest_with_quorum(
        &self,
        validators: &Arc<Validators>,
    ) -> Option<(CommitCertificate, Instant)> {
        let quorum = validators.quorum().max(1);
        self.heads.iter().rev().find_map(|ballot| {
            let keys = validators.keys().iter();
            let lines: Vec<_> = keys
                .filter_map(|key| ballot.lines.get(key))
                .cloned()
                .collect();
            let certificate = CommitCertificate {
                head: ballot.head,
                validators: Arc::clone(validators),
                cosignatures: lines,
            };
            (certificate.cosignatures.len() >= quorum).then_some((certificate, ballot.decided))
        })
    }

    /// The newest head that waits.
    pub(crate) fn newest(&self) -> Option<&TreeHead> {
        self.heads.back().map(|ballot| &ballot.head)
    }

    /// Forgets heads up to this one.
    pub(crate) fn forget_through(&mut self, head: &TreeHead) {
        self.heads
            .retain(|ballot| ballot.head.timestamp_ms > head.timestamp_ms);
    }

    /// Only what those in force have said is kept.
    pub(crate) fn on_validators(&mut self, validators: &Validators) {
        self.early.retain(|key, _| validators.keys().contains(key));
    }
}

/// The text of a head's checkpoint.
pub(crate) fn checkpoint_text(origin: &KeyName, head: &TreeHead) -> String {
    Checkpoint::new(origin, head.size, head.root).to_text()
}

#[cfg(test)]
mod tests {
    use ct::KeyKind;

    use super::*;

    fn name(node: u8) -> String {
        format!("v{node}")
    }

    fn key(node: u8) -> VerifierKey {
        let log = KeyName::new("log").unwrap();
        let name = crate::validators::cosigner_name(&log, &name(node));
        VerifierKey::new(name.unwrap(), KeyKind::Cosignature, [node; 32])
    }

    fn validators() -> Arc<Validators> {
        let keys: Vec<_> = (1..=4).map(|node| (name(node), [node; 32])).collect();
        Arc::new(Validators::new(&KeyName::new("log").unwrap(), &keys, 3, 1))
    }

    fn head(size: u64, root: u8, time_s: u64) -> TreeHead {
        TreeHead {
            size,
            root: Hash([root; 32]),
            timestamp_ms: time_s * 1000 + 7,
        }
    }

    /// What it says of this head; the signature was checked before.
    fn said(node: u8, head: &TreeHead) -> Cosigned {
        Cosigned {
            size: head.size,
            root: head.root,
            time_s: head.timestamp_ms / 1000,
            line: NoteSignature {
                name: key(node).name().clone(),
                key_id: key(node).id(),
                signature: format!("{node} {head:?}").into_bytes(),
            },
        }
    }

    fn quorum(ballots: &Ballots) -> Option<TreeHead> {
        let newest = ballots.newest_with_quorum(&validators());
        newest.map(|(certificate, _)| certificate.head)
    }

    #[test]
    fn cosignatures_count_whether_they_come_before_the_head_or_after_it() {
        let mut ballots = Ballots::default();
        let (first, second) = (head(5, 1, 1), head(9, 2, 2));
        let take = |ballots: &mut Ballots, node, head| {
            ballots.on_cosigned(&key(node), said(node, head), None)
        };
        assert_eq!(take(&mut ballots, 1, &first), Taken::Early);
        assert_eq!(take(&mut ballots, 1, &first), Taken::Duplicate);
        assert_eq!(take(&mut ballots, 1, &second), Taken::Early);
        assert_eq!(take(&mut ballots, 2, &second), Taken::Early);
        ballots.on_head(first, Instant::now());
        assert_eq!(take(&mut ballots, 2, &first), Taken::Counted);
        assert_eq!(take(&mut ballots, 2, &first), Taken::Duplicate);
        assert_eq!(quorum(&ballots), None, "two of four");
        assert_eq!(take(&mut ballots, 3, &first), Taken::Counted);
        assert_eq!(quorum(&ballots), Some(first));
        ballots.on_head(second, Instant::now());
        assert_eq!(take(&mut ballots, 4, &second), Taken::Counted);
        assert_eq!(quorum(&ballots), Some(second), "the newest wins");
        ballots.forget_through(&second);
        assert_eq!(ballots.newest(), None);
    }

    #[test]
    fn other_root_other_second_and_old_heads_count_for_nothing() {
        let mut ballots = Ballots::default();
        let (shown, known) = (head(5, 1, 1), head(9, 2, 2));
        ballots.on_head(known, Instant::now());
        for (said_of, taken) in [
            (head(9, 3, 2), Taken::Fork),
            (head(5, 3, 1), Taken::Fork),
            (head(9, 2, 1), Taken::Late),
            (head(4, 2, 1), Taken::Late),
            (shown, Taken::Late),
            (head(9, 2, 3), Taken::Early),
        ] {
            let found = ballots.on_cosigned(&key(1), said(1, &said_of), Some(&shown));
            assert_eq!(found, taken, "{said_of:?}");
        }
        assert_eq!(ballots.heads[0].lines.len(), 0);
        // An idle log has the same tree again, at another time.
        ballots.on_head(head(9, 2, 3), Instant::now());
        assert_eq!(ballots.heads[1].lines.len(), 1);
    }

    #[test]
    fn only_cosignatures_of_those_in_force_count_and_no_more_wait_than_may() {
        let mut ballots = Ballots::default();
        let first = head(5, 1, 1);
        ballots.on_head(first, Instant::now());
        for node in [1, 2, 5] {
            ballots.on_cosigned(&key(node), said(node, &first), None);
        }
        assert_eq!(quorum(&ballots), None);
        for size in 0..2 * EARLY_MAX as u64 {
            let later = head(10 + size, 1, 2);
            assert_eq!(
                ballots.on_cosigned(&key(5), said(5, &later), None),
                Taken::Early
            );
        }
        assert_eq!(ballots.early[&key(5)].len(), EARLY_MAX);
        ballots.on_validators(&validators());
        assert!(ballots.early.is_empty());
        for time_s in 2..2 + 2 * HEADS_MAX as u64 {
            ballots.on_head(head(5, 1, time_s), Instant::now());
        }
        assert_eq!(ballots.heads.len(), HEADS_MAX);
    }
}
