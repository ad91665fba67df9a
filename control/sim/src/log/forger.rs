//! [`Forger`]: what a lying validator says of the log. It has its own cosigner's key, what others have said, and nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;

use consensus::NodeId;
use ct::{Checkpoint, Hash, KeyName, Note, NoteSignature, VerifierKey, cosignature};
use ed25519_zebra::SigningKey;

use super::setting::Setting;
use crate::random::Random;

/// How often, in a hundred, something else leaves than its own log says.
const BENT_PERCENT: u64 = 60;
/// Heads of more leaves, or of later seconds, are nobody's but liars'.
const SIZE_MAX: u64 = 1 << 40;
const TIME_S_MAX: u64 = 1 << 40;
/// Notes and heads that it remembers.
const OLD_MAX: usize = 64;

/// A liar's part that deals with the log.
#[derive(Debug)]
pub(crate) struct Forger {
    key: SigningKey,
    verifier: VerifierKey,
    origin: KeyName,
    random: Random,
    /// Roots by sizes, as others have said them.
    heads: BTreeMap<u64, (Hash, u64)>,
    old: Vec<Arc<[u8]>>,
    /// Signatures of others.
    lines: Vec<NoteSignature>,
    pub(crate) told: u64,
}

/// What is said of a tree.
#[derive(Debug, Clone, Copy)]
struct Said {
    size: u64,
    root: Hash,
    time_s: u64,
}

impl Forger {
    pub(crate) fn new(setting: &Setting, node: NodeId, random: Random) -> Self {
        Self {
            key: SigningKey::from(setting.cosigner_seed(node)),
            verifier: setting.cosigner(node),
            origin: setting.spec.origin.clone(),
            random,
            heads: BTreeMap::new(),
            old: Vec::new(),
            lines: Vec::new(),
            told: 0,
        }
    }

    /// Hears a note, or says one.
    pub(crate) fn remember(&mut self, bytes: &Arc<[u8]>) {
        let Ok(note) = Note::parse(bytes) else {
            return;
        };
        let Ok(checkpoint) = Checkpoint::parse(note.text()) else {
            return;
        };
        for line in note.signatures() {
            let time_s = line.signature.first_chunk().copied();
            let time_s = time_s.map_or(0, u64::from_be_bytes);
            // What other liars say of the far future is of no use.
            if checkpoint.size() < SIZE_MAX && time_s < TIME_S_MAX {
                self.heads
                    .insert(checkpoint.size(), (checkpoint.root(), time_s));
            }
            if line.name != *self.verifier.name() {
                keep(&mut self.lines, line.clone(), &mut self.random);
            }
        }
        keep(&mut self.old, Arc::clone(bytes), &mut self.random);
    }

    /// What leaves for one node instead of what its own log says. Another gets something else.
    pub(crate) fn bend(&mut self, note: &Arc<[u8]>) -> Vec<Arc<[u8]>> {
        if !self.random.chance(BENT_PERCENT) {
            return vec![Arc::clone(note)];
        }
        let mut all = Vec::new();
        for _ in 0..self.random.below(3) {
            all.extend(self.invent());
        }
        // What is true may come as well, before or behind.
        if self.random.chance(50) {
            let at = self.random.index(all.len() + 1);
            all.insert(at, Arc::clone(note));
        }
        all
    }

    /// Something that its log did not say.
    pub(crate) fn invent(&mut self) -> Option<Arc<[u8]>> {
        let last = self.heads.last_key_value();
        let (&size, &(root, time_s)) = last?;
        let newest = Said { size, root, time_s };
        let said = match self.random.below(8) {
            // Another tree of the newest size, and the same for all liars.
            0 | 1 => Said {
                root: forked(size),
                ..newest
            },
            // Trees that nobody has decided yet.
            2 => self.ahead(newest),
            // The past, as it was not.
            3 => self.past(),
            // The right tree at another time.
            4 => Said {
                time_s: (time_s + self.random.below(5)).saturating_sub(2),
                ..newest
            },
            // The past, as it was: signed anew, or as somebody has said it.
            5 => {
                let (&size, &(root, time_s)) = self.pick_head()?;
                Said { size, root, time_s }
            }
            6 => return self.repeat(),
            _ => return Some(self.garbage()),
        };
        self.told += 1;
        Some(self.signed(said))
    }

    fn pick_head(&mut self) -> Option<(&u64, &(Hash, u64))> {
        let at = self.random.index(self.heads.len());
        self.heads.iter().nth(at)
    }

    fn ahead(&mut self, newest: Said) -> Said {
        let size = newest.size + self.random.between(1, 4);
        let far = self.random.chance(20);
        Said {
            size: if far { u64::MAX } else { size },
            root: if self.random.chance(50) {
                forked(size)
            } else {
                newest.root
            },
            time_s: newest.time_s + self.random.below(3),
        }
    }

    fn past(&mut self) -> Said {
        let (size, time_s) = match self.pick_head() {
            Some((&size, &(_, time_s))) => (size, time_s),
            None => (0, 0),
        };
        Said {
            size,
            root: forked(size),
            time_s,
        }
    }

    /// The note, with its own signature, one in another's name, somebody's that is of another head, or all of them.
    fn signed(&mut self, said: Said) -> Arc<[u8]> {
        let Said { size, root, time_s } = said;
        let text = Checkpoint::new(&self.origin, size, root).to_text();
        let signature = self.key.sign(&cosignature::message(&text, time_s));
        let line = |name, key| cosignature::signature_line(name, key, time_s, &signature.into());
        let own = line(self.verifier.name(), self.verifier.key());
        let mut lines = Vec::new();
        match self.random.below(5) {
            0 if !self.lines.is_empty() => {
                let other = self.random.pick(&self.lines);
                lines.push(NoteSignature {
                    signature: own.signature.clone(),
                    ..other.clone()
                });
            }
            1 => lines.clone_from(&self.lines),
            2 => {
                let other = self.random.bits().to_be_bytes().repeat(4);
                let other = other.try_into().unwrap_or([0; 32]);
                lines.push(line(self.verifier.name(), &other));
            }
            _ => {}
        }
        if lines.is_empty() || self.random.chance(30) {
            lines.push(own);
        }
        lines.truncate(8);
        let note = Note::new(text, lines);
        note.map_or_else(
            |_| self.garbage(),
            |note| note.to_string().into_bytes().into(),
        )
    }

    fn repeat(&mut self) -> Option<Arc<[u8]>> {
        self.told += 1;
        (!self.old.is_empty()).then(|| Arc::clone(self.random.pick(&self.old)))
    }

    fn garbage(&mut self) -> Arc<[u8]> {
        self.told += 1;
        let mut bytes = self.old.first().map_or(Vec::new(), |note| note.to_vec());
        let at = self.random.index(bytes.len());
        match self.random.below(3) {
            0 => bytes.truncate(at),
            1 => bytes.resize(20_000, b'\n'),
            _ => bytes
                .iter_mut()
                .skip(at)
                .take(1)
                .for_each(|byte| *byte ^= 1),
        }
        bytes.into()
    }
}

/// The root of a tree that was never decided.
fn forked(size: u64) -> Hash {
    Hash::of(&size.to_be_bytes())
}

fn keep<T>(all: &mut Vec<T>, one: T, random: &mut Random) {
    if all.len() < OLD_MAX {
        all.push(one);
    } else {
        let at = random.index(OLD_MAX);
        all[at] = one;
    }
}
