//! [`Judge`]: what must hold of all heads of the log, whatever liars say of it.

use std::collections::{BTreeMap, BTreeSet};

use consensus::NodeId;
use ct::{
    Algorithms, Checkpoint, Hash, Note, SignedTreeHead, TreeHead, VerifierKey, verify_consistency,
};
use ctlog::{Published, ShardReader};
use ledger::CtNews;

use super::setting::Setting;

const ALGORITHMS: &Algorithms<'static> = webpki::ALL_VERIFICATION_ALGS;

/// A tree at a second: what a cosignature is of.
type Place = (u64, Hash, u64);

/// Sees what honest nodes decide, cosign and publish, and what liars cosign.
#[derive(Debug)]
pub(crate) struct Judge {
    keys: BTreeMap<NodeId, VerifierKey>,
    /// How many cosignatures let a head be signed.
    quorum: usize,
    /// What an honest node has executed.
    decided: BTreeMap<u64, Hash>,
    heads: BTreeSet<Place>,
    /// Valid cosignatures of everybody.
    votes: BTreeMap<Place, BTreeSet<NodeId>>,
    /// What each honest node has cosigned and published last, across crashes.
    cosigned: BTreeMap<NodeId, (u64, Hash)>,
    published: BTreeMap<NodeId, TreeHead>,
    newest: Option<TreeHead>,
    pub(crate) notes: u64,
    pub(crate) shown: u64,
}

impl Judge {
    pub(crate) fn new(setting: &Setting, voters: &[NodeId], quorum: usize) -> Self {
        let key = |node: &NodeId| (*node, setting.cosigner(*node));
        Self {
            keys: voters.iter().map(key).collect(),
            quorum,
            decided: BTreeMap::new(),
            heads: BTreeSet::new(),
            votes: BTreeMap::new(),
            cosigned: BTreeMap::new(),
            published: BTreeMap::new(),
            newest: None,
            notes: 0,
            shown: 0,
        }
    }

    /// Trees that were decided.
    pub(crate) fn heads_count(&self) -> usize {
        self.heads.len()
    }

    /// An honest node has executed this.
    pub(crate) fn on_news(&mut self, node: NodeId, news: &CtNews) -> Result<(), String> {
        let CtNews::Head { head, .. } = news else {
            return Ok(());
        };
        let first = *self.decided.entry(head.size).or_insert(head.root);
        if first != head.root {
            return Err(format!(
                "{node} decided another tree of {} entries",
                head.size
            ));
        }
        self.heads.insert(place_of(head));
        Ok(())
    }

    /// A node sends this to others.
    pub(crate) fn on_note(
        &mut self,
        node: NodeId,
        bytes: &[u8],
        is_honest: bool,
    ) -> Result<(), String> {
        let read = Note::parse(bytes).ok();
        let read = read.and_then(|note| Some((Checkpoint::parse(note.text()).ok()?, note)));
        let Some((checkpoint, note)) = read else {
            return match is_honest {
                true => Err(format!("honest {node} sends what is no checkpoint")),
                false => Ok(()),
            };
        };
        let (size, root) = (checkpoint.size(), checkpoint.root());
        for (signer, key) in &self.keys {
            if let Ok(Some(time_s)) = key.verify(&note, ALGORITHMS) {
                let place = (size, root, time_s);
                let votes = self.votes.entry(place).or_default();
                votes.insert(*signer);
                if votes.len() >= self.quorum && !self.heads.contains(&place) {
                    return Err(format!(
                        "a quorum has cosigned a forked head: {size} entries, {root}"
                    ));
                }
            }
        }
        match is_honest {
            true => self.on_honest_note(node, (size, root)),
            false => Ok(()),
        }
    }

    /// Whoever cosigns has executed; never two trees of one size, nor one that goes back.
    fn on_honest_note(&mut self, node: NodeId, said: (u64, Hash)) -> Result<(), String> {
        self.notes += 1;
        let (size, root) = said;
        let before = self.cosigned.insert(node, said);
        if self.decided.get(&size) != Some(&root) {
            return Err(format!(
                "honest {node} cosigns {size} entries, {root}: never decided"
            ));
        }
        match before {
            Some((last, _)) if size < last => Err(format!(
                "honest {node} cosigns {size} entries, and had cosigned {last}"
            )),
            Some((last, other)) if size == last && root != other => {
                Err(format!("honest {node} cosigns two trees of {size} entries"))
            }
            _ => Ok(()),
        }
    }

    /// An honest node shows this to clients.
    pub(crate) fn on_published(
        &mut self,
        node: NodeId,
        published: &Published,
        (reader, setting): (&ShardReader, &Setting),
    ) -> Result<(), String> {
        let head = published.signed.head;
        let before = self.published.insert(node, head);
        if before == Some(head) {
            return Ok(());
        }
        self.shown += 1;
        let spec = &setting.spec;
        let note = Note::parse(&published.checkpoint).map_err(|error| error.to_string())?;
        let signed = SignedTreeHead::from_note(&note, &spec.origin, &spec.key, ALGORITHMS);
        if signed.as_ref() != Ok(&published.signed) {
            return Err(format!("{node} shows a checkpoint that is not signed"));
        }
        let place = place_of(&head);
        let votes = self.votes.get(&place).map_or(0, BTreeSet::len);
        if !self.heads.contains(&place) || votes < self.quorum {
            return Err(format!(
                "{node} publishes {} entries, {}, which {votes} have cosigned",
                head.size, head.root
            ));
        }
        let verified = self.keys.values().map(|key| key.verify(&note, ALGORITHMS));
        let counts = verified.filter(|signed| *signed == Ok(Some(place.2)));
        if counts.count() < self.quorum {
            return Err(format!("{node} shows a checkpoint without a quorum"));
        }
        if before.is_some_and(|before| head.size < before.size) {
            return Err(format!("{node} takes back what it has published"));
        }
        self.check_consistency(node, head, reader)
    }

    /// The newest head of all and this one are of the same tree, as its tiles show.
    fn check_consistency(
        &mut self,
        node: NodeId,
        head: TreeHead,
        reader: &ShardReader,
    ) -> Result<(), String> {
        let newest = self.newest.unwrap_or(head);
        if newest.size <= head.size {
            self.newest = Some(head);
            let proof = reader.prove_consistency(newest.size, head.size);
            let proof = proof.map_err(|error| format!("{node} proves nothing: {error}"))?;
            let holds =
                verify_consistency(newest.size, head.size, &proof, &newest.root, &head.root);
            holds.map_err(|error| format!("{node} publishes another tree: {error}"))?;
        }
        Ok(())
    }
}

fn place_of(head: &TreeHead) -> Place {
    (head.size, head.root, head.timestamp_ms / 1000)
}
