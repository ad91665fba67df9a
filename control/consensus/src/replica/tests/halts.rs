//! Who must not halt: decisions and beginnings of views that contradict each other, and may.

use super::*;
use crate::view_change::PrePrepared;
use crate::vote::CommitCertificate;

/// The votes and views of four voters, in the order in which they lead, for what only a liar would say.
struct Forge {
    bus: Bus,
    leaders: [NodeId; 4],
    /// Of sequences 1 and 2.
    batches: [Batch; 2],
}

impl Forge {
    fn new() -> Self {
        let bus = Bus::new(&FOUR);
        let leaders = [0, 1, 2, 3].map(|view| bus.genesis.primary(View(view)));
        let batches = [1, 2].map(|lane: u8| {
            let key = &bus.nodes[&leaders[0]].key;
            let command = [lane].as_slice().into();
            Batch {
                time_ms: bus.now.unix_ms + u64::from(lane),
                requests: vec![Request::sign(
                    bus.genesis.cluster(),
                    key,
                    lane.into(),
                    1,
                    command,
                )],
            }
        });
        Self {
            bus,
            leaders,
            batches,
        }
    }

    fn key(&self, voter: usize) -> Key {
        self.bus.nodes[&self.leaders[voter]].key
    }

    /// A voter's commit to the first batch at sequence 1.
    fn commit(&self, voter: usize, view: View) -> SignedVote {
        let vote = Vote {
            phase: Phase::Commit,
            epoch: Epoch(0),
            view,
            sequence: Sequence(1),
            digest: self.batches[0].digest(),
        };
        vote.sign(self.bus.genesis.cluster(), &self.key(voter))
    }

    /// View 1 as its primary may begin it with the words of the first three voters, two of whom have accepted
    /// the second batch in view 0 and one alone the first: the null batch, and the second.
    fn view_without_the_first(&self) -> NewView {
        let accepted: [&[usize]; 3] = [&[1, 2], &[], &[2]];
        let changes = accepted.iter().enumerate().map(|(voter, sequences)| {
            let reports = sequences.iter().map(|sequence| PrePrepared {
                sequence: Sequence(*sequence as u64),
                view: View(0),
                digest: self.batches[sequence - 1].digest(),
            });
            let change = ViewChange {
                epoch: Epoch(0),
                view: View(1),
                stable: CheckpointCertificate::default(),
                prepared: Vec::new(),
                pre_prepared: reports.collect(),
                signer: self.leaders[voter],
                signature: Signature([0; 64]),
            };
            change.sign(self.bus.genesis.cluster(), &self.key(voter))
        });
        let mut changes: Vec<_> = changes.collect();
        changes.sort_by_key(|change| change.signer);
        let genesis = &self.bus.genesis;
        let new = NewView::make(View(1), changes, genesis, genesis.cluster(), &self.key(1));
        let digests: Vec<_> = new
            .proposals
            .iter()
            .map(|signed| signed.vote.digest)
            .collect();
        assert_eq!(digests, [Batch::null().digest(), self.batches[1].digest()]);
        new
    }

    fn tell(&mut self, from: usize, to: usize, message: Message) {
        let (from, to) = (self.leaders[from], self.leaders[to]);
        let message = Message::decode(&message.encode(from)).unwrap();
        self.bus
            .step(to, Input::Message(from, Verified::vouch(message)));
    }
}

#[test]
fn primary_that_begins_its_view_in_two_ways_halts_nobody_who_heard_of_the_decision_first() {
    let mut forge = Forge::new();
    let last = forge.leaders[3];
    // The three others have begun view 1 with the first batch and decided it.
    for voter in 0..3 {
        let commit = forge.commit(voter, View(1));
        forge.tell(voter, 3, Message::Vote(commit));
    }
    // The last one is shown another beginning.
    let other = forge.view_without_the_first();
    forge.tell(1, 3, Message::NewView(Arc::new(other)));
    assert_eq!(forge.bus.halted, []);
    assert_eq!(forge.bus.replica(last).summary().view, View(1));
    // It consents only to the second, of which nothing else is decided, and executes what was.
    for batch in forge.batches.clone() {
        forge.tell(0, 3, Message::BatchData(Arc::new(batch)));
    }
    let said = forge.bus.queue.iter().filter(|(from, ..)| *from == last);
    let votes = said.filter_map(|(_, _, bytes)| match Message::decode(bytes).unwrap() {
        Message::Vote(signed) => Some(signed.vote.sequence),
        _ => None,
    });
    let votes: BTreeSet<_> = votes.collect();
    assert_eq!(votes, [Sequence(2)].into());
    assert_eq!(forge.bus.commands(last), [[1]]);
    assert_eq!(forge.bus.halted, []);
}

#[test]
fn restart_with_a_view_older_than_the_decision_does_not_halt() {
    let mut forge = Forge::new();
    let last = forge.leaders[3];
    let votes = (0..3).map(|voter| forge.commit(voter, View(2)));
    let mut votes: Vec<_> = votes.collect();
    votes.sort_by_key(|signed| signed.signer);
    let older = Record::ViewEntered(Arc::new(forge.view_without_the_first()));
    let decided = HistoryItem::Batch {
        batch: Arc::new(forge.batches[0].clone()),
        certificate: CommitCertificate { votes },
    };
    forge.bus.stop(last);
    let disk = &mut forge.bus.nodes.get_mut(&last).unwrap().disk;
    disk.records.push(older);
    disk.history.push(decided);
    forge.bus.start(last);
    assert_eq!(forge.bus.halted, []);
    assert_eq!(forge.bus.commands(last), [[1]]);
    assert_eq!(forge.bus.replica(last).summary().view, View(1));
}
