//! What a model is about, and what its four voters may say.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use consensus::{
    Batch, ClusterId, Configuration, Digest, Epoch, Member, Message, NewView, NodeId, Phase,
    PrePrepared, PreparedCertificate, Request, Role, Sequence, Signature, SignedVote, Signer as _,
    View, ViewChange, Vote,
};
use sim::{Command, Key, Sabotage};

pub(crate) const BEGIN_UNIX_MS: u64 = 1_700_000_000_000;
/// The one place in the order.
pub(crate) const PLACE: Sequence = Sequence(1);
/// The request that waits at every honest node.
pub(crate) const WAITING: u64 = 3;
/// Sentences that a set has room for, beside two bits for what needs none.
const SENTENCES_MAX: usize = 126;

/// A set of sentences.
pub(crate) type Sentences = u128;

/// What the liar may say of view 0 when it wants view 1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish {
    /// Which batch it says it has accepted.
    pub(crate) accepted: Option<u64>,
    /// Of which batch it shows a certificate, once there is one.
    pub(crate) certified: Option<u64>,
}

/// What the model is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    /// Which view the liar leads: 0 or 1.
    pub(crate) liar: usize,
    pub(crate) fast_path: bool,
    /// Which batches the liar may propose to which honest node, in the view that it leads.
    pub(crate) proposals: [&'static [u64]; 3],
    /// What it may say when it wants view 1: one of these, or several.
    pub(crate) wishes: &'static [Wish],
    /// Which honest node may crash once.
    pub(crate) crashes: Option<usize>,
    /// Which rule the honest break.
    pub(crate) sabotage: Sabotage,
}

/// What a voter may say, to some or to all.
#[derive(Debug)]
pub(crate) struct Sentence {
    pub(crate) from: usize,
    /// Bit i: voter i may hear it.
    to: u8,
    pub(crate) message: Message,
    /// Of a lie: what must have been said before, one of these. None of what an honest node says.
    pub(crate) needs: Option<Vec<Sentences>>,
}

/// All that can be said, as far as it is known.
pub(crate) struct Speech {
    pub(crate) genesis: Configuration,
    pub(crate) cluster: ClusterId,
    /// In the order in which they lead.
    pub(crate) keys: Vec<Key>,
    pub(crate) setting: Setting,
    pub(crate) sentences: Vec<Sentence>,
    names: BTreeMap<(usize, u8, Vec<u8>), usize>,
}

impl Speech {
    pub(crate) fn new(setting: Setting) -> Self {
        let mut keys: Vec<_> = (0..4).map(|index| Key::new(7, index)).collect();
        let member = |key: &Key| Member {
            key: key.public(),
            role: Role::Authority,
            address: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 4853),
        };
        let all = keys.iter().map(member).collect();
        let genesis = Configuration::new(Epoch(0), all, 100, 1).unwrap();
        keys.sort_by_key(|key| genesis.leaders().iter().position(|id| *id == key.id()));
        let mut speech = Self {
            cluster: genesis.cluster(),
            genesis,
            keys,
            setting,
            sentences: Vec::new(),
            names: BTreeMap::new(),
        };
        speech.propose();
        speech
    }

    /// The voter that an honest node is.
    pub(crate) fn voter(&self, honest: usize) -> usize {
        honest + usize::from(honest >= self.setting.liar)
    }

    pub(crate) fn id(&self, voter: usize) -> NodeId {
        self.keys[voter].id()
    }

    /// All voters that are honest.
    fn all(&self) -> u8 {
        0b1111 & !(1 << self.setting.liar)
    }

    pub(crate) fn request(&self, value: u64) -> Request {
        let command = Command::Write { key: 0, value }.bytes();
        let lane = u32::try_from(value).unwrap();
        Request::sign(
            self.cluster,
            &self.keys[self.setting.liar],
            lane,
            1,
            command,
        )
    }

    fn batch(&self, which: u64) -> Batch {
        Batch {
            time_ms: BEGIN_UNIX_MS,
            requests: vec![self.request(which)],
        }
    }

    /// What a batch is called: by its request's number. One whose time is not the liar's is an honest
    /// primary's, which knew of another.
    pub(crate) fn label(&self, digest: Digest) -> &'static str {
        let later = Batch {
            time_ms: BEGIN_UNIX_MS + 1,
            ..self.batch(WAITING)
        };
        let known = [
            (self.batch(1), "1"),
            (self.batch(2), "2"),
            (self.batch(WAITING), "3"),
            (later, "3 later"),
        ];
        let known = known.iter().find(|(batch, _)| batch.digest() == digest);
        known.map_or("?", |(_, label)| label)
    }

    fn vote(&self, voter: usize, phase: Phase, view: u64, digest: Digest) -> SignedVote {
        let vote = Vote {
            phase,
            epoch: Epoch(0),
            view: View(view),
            sequence: PLACE,
            digest,
        };
        vote.sign(self.cluster, &self.keys[voter])
    }

    /// What an honest voter says: a wish to the next primary alone, since the others lose their
    /// patience by themselves; all else to all.
    pub(crate) fn say(&mut self, voter: usize, message: &Message) -> Sentences {
        let to = match message {
            Message::ViewChange(_) => 0b10,
            _ => 0b1111,
        };
        self.sentence(voter, to, message, None)
    }

    fn lie(&mut self, to: u8, message: &Message, needs: Sentences) {
        self.sentence(self.setting.liar, to, message, Some(needs));
    }

    fn sentence(
        &mut self,
        from: usize,
        to: u8,
        message: &Message,
        needs: Option<Sentences>,
    ) -> Sentences {
        let next = self.sentences.len();
        let name = (from, to & !(1 << from), self.content(from, message));
        let number = *self.names.entry(name).or_insert(next);
        if number == next {
            assert!(next < SENTENCES_MAX, "too many sentences");
            self.sentences.push(Sentence {
                from,
                to: to & !(1 << from),
                message: message.clone(),
                needs: needs.map(|_| Vec::new()),
            });
        }
        if let (Some(needs), Some(known)) = (needs, &mut self.sentences[number].needs)
            && !known.iter().any(|known| known & needs == *known)
        {
            known.retain(|known| known & needs != needs);
            known.push(needs);
        }
        1 << number
    }

    /// What matters to who hears it: not which votes prove a certificate, nor which wishes a view.
    fn content(&self, from: usize, message: &Message) -> Vec<u8> {
        match message {
            Message::ViewChange(change) => {
                let prepared: Vec<_> = change.prepared.iter().map(|p| p.subject()).collect();
                format!("{} {prepared:?} {:?}", change.view, change.pre_prepared).into_bytes()
            }
            Message::NewView(new) => {
                let proposals: Vec<_> = new.proposals.iter().map(|signed| signed.vote).collect();
                format!("{} {proposals:?}", new.view).into_bytes()
            }
            _ => message.encode(self.id(from)),
        }
    }

    pub(crate) fn hears(&self, voter: usize, sentence: usize) -> bool {
        self.sentences[sentence].to >> voter & 1 == 1
    }

    /// What a voter may have to hear before anything comes of it: one sentence, or two or three that add up to
    /// a quorum or, of wishes, to more than f.
    pub(crate) fn bundles(&self, voter: usize) -> Vec<Vec<usize>> {
        let heard = (0..self.sentences.len()).filter(|number| self.hears(voter, *number));
        let heard: Vec<_> = heard.collect();
        let mut groups: BTreeMap<Option<(View, bool, Digest)>, Vec<usize>> = BTreeMap::new();
        for number in &heard {
            let subject = match &self.sentences[*number].message {
                Message::Vote(signed) | Message::PrePrepare(signed, _) => {
                    let vote = signed.vote;
                    Some((vote.view, vote.phase == Phase::Commit, vote.digest))
                }
                Message::ViewChange(_) => None,
                _ => continue,
            };
            groups.entry(subject).or_default().push(*number);
        }
        let mut bundles: Vec<_> = heard.into_iter().map(|number| vec![number]).collect();
        for group in groups.values() {
            let mut last: Vec<_> = group.iter().map(|number| vec![*number]).collect();
            for _ in 1..self.genesis.quorum() {
                let longer = last.iter().flat_map(|bundle| {
                    let more = group.iter().filter(|number| {
                        let from = self.sentences[**number].from;
                        bundle.last().is_some_and(|last| last < number)
                            && bundle
                                .iter()
                                .all(|known| self.sentences[*known].from != from)
                    });
                    more.map(|number| [bundle.as_slice(), &[*number]].concat())
                });
                last = longer.collect();
                bundles.extend(last.iter().cloned());
            }
        }
        bundles
    }

    /// The liar's proposals in the view that it leads. A later view's need that it has begun with nothing.
    fn propose(&mut self) {
        let liar = self.setting.liar;
        let view = u64::from(liar == 1);
        for (honest, batches) in self.setting.proposals.into_iter().enumerate() {
            for which in batches {
                let batch = self.batch(*which);
                let signed = self.vote(liar, Phase::PrePrepare, view, batch.digest());
                let to = 1 << self.voter(honest);
                self.lie(to, &Message::PrePrepare(signed, batch.into()), 0);
            }
        }
    }

    /// All that the liar may say about what has been said so far.
    pub(crate) fn invent(&mut self) {
        let proposals: Vec<_> = self.proposals();
        for (needs, vote, batch) in &proposals {
            if let Some(batch) = batch {
                let message = Message::BatchData(Arc::clone(batch));
                self.lie(self.all(), &message, *needs);
            }
            self.vote_for(*vote, *needs);
        }
        let wishes = self.wishes();
        if self.setting.liar == 0 {
            for (change, needs) in wishes {
                self.lie(0b10, &Message::ViewChange(Box::new(change)), needs);
            }
        } else {
            self.begin_views(&wishes);
        }
    }

    /// What was proposed so far, with the batch if it is part of it.
    fn proposals(&self) -> Vec<(Sentences, Vote, Option<Arc<Batch>>)> {
        let mut found = Vec::new();
        for (number, sentence) in self.sentences.iter().enumerate() {
            let needs = match sentence.needs {
                None => 1 << number,
                Some(_) => 0,
            };
            match &sentence.message {
                Message::PrePrepare(signed, batch) => {
                    found.push((needs, signed.vote, Some(Arc::clone(batch))));
                }
                Message::NewView(new) => {
                    let first = new.proposals.first();
                    found.extend(first.map(|signed| (needs, signed.vote, None)));
                }
                _ => {}
            }
        }
        found
    }

    /// The liar's votes for a proposal. On the fast path commits get lost: everybody's consent decides.
    fn vote_for(&mut self, proposal: Vote, needs: Sentences) {
        let (liar, view) = (self.setting.liar, proposal.view.0);
        if view != liar as u64 {
            let prepare = self.vote(liar, Phase::Prepare, view, proposal.digest);
            self.lie(self.all(), &Message::Vote(prepare), needs);
        }
        if !self.setting.fast_path {
            let commit = self.vote(liar, Phase::Commit, view, proposal.digest);
            self.lie(self.all(), &Message::Vote(commit), needs);
        }
    }

    /// The certificates of a batch in view 0 that the liar can show, and what each needs.
    fn certificates(&self, digest: Digest) -> Vec<(PreparedCertificate, Sentences)> {
        let phase = |voter| match voter {
            0 => Phase::PrePrepare,
            _ => Phase::Prepare,
        };
        let said = |voter: usize| {
            let own = self.vote(voter, phase(voter), 0, digest);
            if voter == self.setting.liar {
                return Some((own, 0));
            }
            let number = self.sentences.iter().position(|sentence| {
                sentence.needs.is_none()
                    && match &sentence.message {
                        Message::PrePrepare(signed, _) | Message::Vote(signed) => *signed == own,
                        _ => false,
                    }
            });
            number.map(|number| (own, 1 << number))
        };
        let Some(first) = said(0) else {
            return Vec::new();
        };
        let others: Vec<_> = (1..4).filter_map(said).collect();
        let mut found = Vec::new();
        for (place, one) in others.iter().enumerate() {
            for other in &others[place + 1..] {
                let mut votes = vec![first.0, one.0, other.0];
                votes.sort_by_key(|signed| signed.signer);
                found.push((PreparedCertificate { votes }, first.1 | one.1 | other.1));
            }
        }
        found
    }

    /// The liar's wishes for view 1, and what each needs.
    fn wishes(&self) -> Vec<(ViewChange, Sentences)> {
        let mut found = Vec::new();
        for wish in self.setting.wishes {
            let accepted = wish.accepted.map(|which| PrePrepared {
                sequence: PLACE,
                view: View(0),
                digest: self.batch(which).digest(),
            });
            let proofs: Vec<_> = match wish.certified {
                None => vec![(None, 0)],
                Some(which) => {
                    let proofs = self.certificates(self.batch(which).digest()).into_iter();
                    proofs.map(|(proof, needs)| (Some(proof), needs)).collect()
                }
            };
            for (proof, needs) in proofs {
                let change = ViewChange {
                    epoch: Epoch(0),
                    view: View(1),
                    stable: Default::default(),
                    prepared: proof.into_iter().collect(),
                    pre_prepared: accepted.into_iter().collect(),
                    signer: NodeId(0),
                    signature: Signature([0; 64]),
                };
                let change = change.sign(self.cluster, &self.keys[self.setting.liar]);
                found.push((change, needs));
            }
        }
        found
    }

    /// Every beginning of view 1 that the liar can show: any quorum of wishes, its own among them or not.
    fn begin_views(&mut self, own: &[(ViewChange, Sentences)]) {
        let mut choices: Vec<(Vec<ViewChange>, Sentences)> = vec![(Vec::new(), 0)];
        for voter in 0..4 {
            let options: Vec<_> = if voter == self.setting.liar {
                own.to_vec()
            } else {
                self.said_wishes(voter)
            };
            let with = |choice: &(Vec<ViewChange>, Sentences)| {
                let (changes, needs) = choice.clone();
                let more = options.iter().map(move |(change, also)| {
                    let mut changes = changes.clone();
                    changes.push(change.clone());
                    (changes, needs | also)
                });
                more.collect::<Vec<_>>()
            };
            let more: Vec<_> = choices.iter().flat_map(with).collect();
            choices.extend(more);
        }
        choices.retain(|(changes, _)| changes.len() >= self.genesis.quorum());
        let digests: Vec<_> = self
            .proposals()
            .iter()
            .map(|(_, vote, _)| vote.digest)
            .collect();
        for (mut changes, needs) in choices {
            changes.sort_by_key(|change| change.signer);
            if let Some(new) = self.begin_view(changes, &digests) {
                self.lie(self.all(), &Message::NewView(Arc::new(new)), needs);
            }
        }
    }

    fn said_wishes(&self, voter: usize) -> Vec<(ViewChange, Sentences)> {
        let said = self.sentences.iter().enumerate();
        let wishes = said.filter_map(|(number, sentence)| match &sentence.message {
            Message::ViewChange(change) if sentence.from == voter => {
                Some(((**change).clone(), 1 << number))
            }
            _ => None,
        });
        wishes.collect()
    }

    /// NEW-VIEW with these wishes: the one whose proposals a backup believes.
    fn begin_view(&self, view_changes: Vec<ViewChange>, digests: &[Digest]) -> Option<NewView> {
        let liar = self.setting.liar;
        let mut new = NewView {
            epoch: Epoch(0),
            view: View(1),
            view_changes,
            proposals: Vec::new(),
            signer: self.id(liar),
            signature: Signature([0; 64]),
        };
        let options = digests.iter().map(|digest| Some(*digest)).chain([None]);
        for first in options {
            let first = first.map(|digest| self.vote(liar, Phase::PrePrepare, 1, digest));
            new.proposals = first.into_iter().collect();
            if new.is_valid(&self.genesis, Sequence(0)) {
                let preimage = new.checks(self.cluster).next().unwrap().preimage;
                new.signature = self.keys[liar].sign(&preimage);
                return Some(new);
            }
        }
        None
    }
}
