//! Tests of the whole: four nodes in one process, their threads, real signatures and a real ledger's judgement.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};
use std::time::Duration;

use consensus::{Configuration, Epoch, Member, NodeId, Role, Signer as _};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use ledger::{Opinion, ValidatedAnswers};
use pki::{Request, Status};
use resolver::agreement::{Answer, Vantage};
use resolver::iterate::{Outcome, Question};

use super::*;
use crate::counters::Counters;
use crate::mesh::Identity;

/// Nothing here takes this long; a test that waits for it has failed.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn identities(count: u8) -> Vec<Identity> {
    (1..=count)
        .map(|number| Identity::from_seed([number; 32]))
        .collect()
}

pub(super) fn configuration(identities: &[Identity]) -> Configuration {
    let members = identities
        .iter()
        .zip(1u8..)
        .map(|(identity, number)| Member {
            key: identity.public_key(),
            role: Role::Authority,
            address: ([127, 0, 0, number], 4853).into(),
        });
    Configuration::new(Epoch(0), members.collect(), 100, 3).unwrap()
}

fn question(number: u8) -> Question {
    let letter = char::from(b'a' + number);
    let name = Name::from_ascii(format!("{letter}.example.")).unwrap();
    Question::new(name, RecordType::A)
}

pub(super) fn key(number: u8) -> Key {
    Key::of(&question(number))
}

/// Its last byte is in the address; with the highest bit it is in another network.
pub(super) fn answer(number: u8, last: u8) -> Answer {
    let question = question(number);
    let data = RData::A(A::new(192, 0, 2 + (last >> 7), last));
    let mut outcome = Outcome::empty(ResponseCode::NoError);
    outcome.answers = vec![Record::from_rdata(question.qname.clone(), 60, data)];
    Answer::of(&question, &outcome).unwrap()
}

pub(super) fn proposal(number: u8) -> Proposal {
    of(number, 1)
}

pub(super) fn of(number: u8, last: u8) -> Proposal {
    let (key, answer) = (key(number), answer(number, last));
    Proposal {
        digest: answer.digest(&key),
        key,
        records: answer.encode().into(),
        ttl_secs: 60,
    }
}

/// Carries messages between the threads; the order decides at once, as a ledger with these voters would.
#[derive(Debug)]
struct Hub {
    configuration: Configuration,
    own: NodeId,
    nodes: Arc<OnceLock<BTreeMap<NodeId, AgreementHandle>>>,
    contradictions: Arc<Mutex<Vec<(NodeId, NodeId)>>>,
    orders: Arc<Mutex<Vec<ValidatedAnswers>>>,
}

impl Cluster for Hub {
    fn send(&self, to: NodeId, bytes: Vec<u8>) {
        if let Some(node) = self.nodes.get().unwrap().get(&to) {
            node.on_message(self.own, bytes);
        }
    }

    fn broadcast(&self, bytes: Vec<u8>) {
        for to in self.nodes.get().unwrap().keys() {
            if *to != self.own {
                self.send(*to, bytes.clone());
            }
        }
    }

    fn order(&self, answers: ValidatedAnswers, done: Ordered) {
        let verdict = |index: usize| {
            let votes = answers.votes.iter();
            let agree = votes.filter(|vote| vote.opinions[index] == Opinion::Agree);
            match agree.count() + 1 >= self.configuration.quorum() {
                true => ledger::Verdict::Validated,
                false => ledger::Verdict::Undecided,
            }
        };
        let verdicts = (0..answers.bundle.items.len()).map(verdict).collect();
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        orders.push(answers);
        done.tell(Some(verdicts));
    }

    fn on_contradiction(&self, subject: NodeId) {
        self.contradictions
            .lock()
            .unwrap()
            .push((self.own, subject));
    }
}

/// A resolver that finds the same for every name, a judge that finds the same of every certificate (the one with 1 that it
/// is valid, all others that it is not), and has the thread's verdicts.
#[derive(Clone)]
pub(super) struct Fake {
    handle: AgreementHandle,
    last: Option<u8>,
    decided: mpsc::Sender<Decided>,
}

impl Fake {
    pub(super) fn new(
        handle: AgreementHandle,
        last: Option<u8>,
        decided: mpsc::Sender<Decided>,
    ) -> Self {
        Self {
            handle,
            last,
            decided,
        }
    }
}

impl Resolving for Fake {
    fn inquire(&self, inquiries: Vec<Inquiry>) {
        for inquiry in inquiries {
            let number = inquiry.key.name[1] - b'a';
            let found = Found {
                answer: self.last.map(|last| answer(number, last)),
                is_secure: false,
                vantage: Vantage::Exact,
            };
            self.handle.found(inquiry.token, found);
        }
    }

    fn decided(&self, decided: Vec<Decided>) {
        for decided in decided {
            let _ = self.decided.send(decided);
        }
    }
}

impl Judging for Fake {
    fn inquire(&self, inquiries: Vec<CertificateInquiry>) {
        for inquiry in inquiries {
            let status = self.last.map(|last| match last {
                1 => Status::Valid,
                _ => Status::Invalid,
            });
            self.handle.judged(inquiry.token, status);
        }
    }

    fn decided(&self, decided: Vec<Decided>) {
        Resolving::decided(self, decided);
    }
}

/// Nodes in one process that agree with each other.
pub(crate) struct Cluster4 {
    ids: Vec<NodeId>,
    pub(crate) handles: Vec<AgreementHandle>,
    contradictions: Arc<Mutex<Vec<(NodeId, NodeId)>>>,
    orders: Arc<Mutex<Vec<ValidatedAnswers>>>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

/// Four of them, each with the resolver and the judge that `ends` gives it by its number.
pub(crate) fn cluster(
    mut ends: impl FnMut(usize, AgreementHandle) -> (Box<dyn Resolving>, Box<dyn Judging>),
) -> Cluster4 {
    let identities = identities(4);
    let configuration = configuration(&identities);
    let nodes = Arc::<OnceLock<BTreeMap<_, _>>>::default();
    let mut cluster = Cluster4 {
        ids: identities.iter().map(Identity::id).collect(),
        handles: Vec::new(),
        contradictions: Arc::default(),
        orders: Arc::default(),
        threads: Vec::new(),
    };
    for (number, identity) in identities.into_iter().enumerate() {
        let counters = Arc::<Counters>::default();
        let channel = Channel::new(Arc::clone(&counters));
        let handle = channel.handle.clone();
        let hub = Hub {
            configuration: configuration.clone(),
            own: identity.id(),
            nodes: Arc::clone(&nodes),
            contradictions: Arc::clone(&cluster.contradictions),
            orders: Arc::clone(&cluster.orders),
        };
        let (resolving, judging) = ends(number, handle.clone());
        let setup = Setup {
            signer: identity,
            cluster_id: configuration.cluster(),
            configuration: configuration.clone(),
            cluster: Arc::new(hub),
            resolving,
            judging,
            timeout: Duration::from_secs(2),
            counters,
        };
        cluster.threads.push(start(channel, setup).unwrap());
        cluster.handles.push(handle);
    }
    let all = cluster
        .ids
        .iter()
        .copied()
        .zip(cluster.handles.iter().cloned());
    nodes.set(all.collect()).unwrap();
    cluster
}

impl Cluster4 {
    pub(crate) fn stop(self) {
        self.handles.iter().for_each(AgreementHandle::stop);
        for thread in self.threads {
            thread.join().unwrap();
        }
    }
}

struct Cast {
    nodes: Cluster4,
    decided: Vec<mpsc::Receiver<Decided>>,
}

/// Four nodes, each of which finds an address with this last byte, or nothing; of certificates as [`Fake`] does.
fn cast(lasts: [Option<u8>; 4]) -> Cast {
    let mut decided = Vec::new();
    let nodes = cluster(|number, handle| {
        let (sender, receiver) = mpsc::channel();
        decided.push(receiver);
        let fake = Fake::new(handle, lasts[number], sender);
        (Box::new(fake.clone()), Box::new(fake))
    });
    Cast { nodes, decided }
}

impl Cast {
    fn verdict(&self, node: usize) -> Verdict {
        self.decided[node].recv_timeout(PATIENCE).unwrap().1
    }

    fn propose(&self, node: usize, proposal: Proposal) {
        assert!(self.nodes.handles[node].propose(proposal));
    }
}

/// That the certificate with this number is valid, or is not.
pub(super) fn claim(number: u8, status: Status) -> Proposal {
    let request = Arc::new(Request {
        chain: vec![vec![number]],
        ..Request::default()
    });
    Claim { request, status }.proposal(60).unwrap()
}

#[test]
fn three_that_find_the_same_agree_whatever_the_fourth_says() {
    let cast = cast([Some(1), Some(1), Some(1), Some(66)]);
    for number in 0..10 {
        cast.propose(0, proposal(number));
    }
    for _ in 0..10 {
        assert_eq!(cast.verdict(0), Verdict::Agreed);
    }
    // Each vote in the order bears a signature that holds.
    let orders = cast.nodes.orders.lock().unwrap();
    let cluster = configuration(&identities(4)).cluster();
    for answers in &*orders {
        let bundle = answers.bundle.digest();
        for vote in &answers.votes {
            let check = vote.check(cluster, bundle);
            let signer = identities(4).into_iter().find(|id| id.id() == vote.signer);
            assert_eq!(signer.unwrap().sign(&check.preimage), check.signature);
        }
    }
    drop(orders);
    cast.nodes.stop();
}

#[test]
fn who_lies_is_outvoted_and_remarked() {
    let cast = cast([Some(1), Some(1), Some(1), Some(66)]);
    cast.propose(3, of(0, 66));
    assert_eq!(cast.verdict(3), Verdict::Refused);
    assert!(cast.nodes.orders.lock().unwrap().is_empty());
    let liar = cast.nodes.ids[3];
    let remarks = cast.nodes.contradictions.lock().unwrap().clone();
    assert!(remarks.len() >= 2, "{remarks:?}");
    assert!(remarks.iter().all(|(_, subject)| *subject == liar));
    cast.nodes.stop();
}

#[test]
fn nodes_agree_on_certificates_and_one_that_finds_otherwise_is_refused_but_not_remarked() {
    let cast = cast([Some(1), Some(1), Some(1), Some(66)]);
    // One bundle with an answer and with claims: each comes back to whoever wants to know.
    cast.propose(0, proposal(0));
    for number in 0..3 {
        cast.propose(0, claim(number, Status::Valid));
    }
    for _ in 0..4 {
        assert_eq!(cast.verdict(0), Verdict::Agreed);
    }
    cast.propose(3, claim(0, Status::Invalid));
    assert_eq!(cast.verdict(3), Verdict::Refused);
    let remarks = cast.nodes.contradictions.lock().unwrap().clone();
    let other = cast.nodes.ids[3];
    assert!(
        remarks.iter().all(|(_, subject)| *subject != other),
        "{remarks:?}"
    );
    cast.nodes.stop();
}

#[test]
fn without_others_answers_nothing_is_decided_and_nobody_waits_for_ever() {
    let cast = cast([Some(1), Some(1), None, None]);
    cast.propose(0, proposal(0));
    assert_eq!(cast.verdict(0), Verdict::Undecided);
    assert!(cast.nodes.contradictions.lock().unwrap().is_empty());
    cast.nodes.stop();
}

#[test]
fn vote_with_a_signature_that_does_not_hold_is_dropped() {
    let identities = identities(4);
    let configuration = configuration(&identities);
    let counters = Arc::<Counters>::default();
    let channel = Channel::new(Arc::clone(&counters));
    let handle = channel.handle.clone();
    let (decision, decided) = mpsc::channel();
    let fake = Fake::new(handle.clone(), None, decision);
    let (carried, sent) = mpsc::channel();
    let setup = Setup {
        signer: identities[0].clone(),
        cluster_id: configuration.cluster(),
        configuration: configuration.clone(),
        cluster: Arc::new(Wire(Mutex::new(carried))),
        resolving: Box::new(fake.clone()),
        judging: Box::new(fake),
        timeout: Duration::from_millis(200),
        counters: Arc::clone(&counters),
    };
    let thread = start(channel, setup).unwrap();
    handle.configure(configuration.clone());
    handle.propose(proposal(0));
    let bytes: Vec<u8> = sent.recv_timeout(PATIENCE).unwrap();
    let Ok(message::Message::Bundle(bundle)) = message::Message::decode(&bytes) else {
        panic!("{bytes:?}")
    };
    for identity in &identities[1..] {
        let cluster = configuration.cluster();
        let mut vote =
            ledger::AnswerVote::sign(cluster, identity, bundle.digest(), vec![Opinion::Agree]);
        vote.opinions[0] = Opinion::Disagree;
        let vote = message::Message::Vote(bundle.digest(), vote);
        handle.on_message(identity.id(), vote.encode());
    }
    handle.on_message(identities[1].id(), vec![9]);
    assert_eq!(
        decided.recv_timeout(PATIENCE).unwrap().1,
        Verdict::Undecided
    );
    assert_eq!(counters.validation_drops_signature.get(), 3);
    assert_eq!(counters.validation_drops_malformed.get(), 1);
    handle.stop();
    thread.join().unwrap();
}

/// Sends to the test.
#[derive(Debug)]
struct Wire(Mutex<mpsc::Sender<Vec<u8>>>);

impl Cluster for Wire {
    fn send(&self, _: NodeId, bytes: Vec<u8>) {
        self.broadcast(bytes);
    }

    fn broadcast(&self, bytes: Vec<u8>) {
        let _ = self.0.lock().unwrap().send(bytes);
    }

    fn order(&self, _: ValidatedAnswers, done: Ordered) {
        drop(done); // Nobody knows what becomes of it.
    }

    fn on_contradiction(&self, _: NodeId) {}
}

#[test]
fn member_that_floods_fills_neither_memory_nor_the_way_of_others() {
    let counters = Arc::<Counters>::default();
    let channel = Channel::new(Arc::clone(&counters)); // Nobody takes anything out of it.
    let (liar, other) = (NodeId(1), NodeId(2));
    let is_dropped = |from, bytes: usize| {
        let before = counters.validation_drops_overload.get();
        channel.handle.on_message(from, vec![0; bytes]);
        counters.validation_drops_overload.get() > before
    };
    let long = message::MESSAGE_BYTES_MAX;
    let taken = (0..).take_while(|_| !is_dropped(liar, long)).count();
    assert_eq!(taken * long, 4 << 20);
    assert!(is_dropped(liar, 0));
    assert!(!is_dropped(other, long));
    let small = (0..).take_while(|_| !is_dropped(NodeId(3), 1)).count();
    assert_eq!(small, 512);
    assert_eq!(counters.validation_drops_malformed.get(), 0);
    channel.handle.on_message(other, vec![0; long + 1]);
    assert_eq!(counters.validation_drops_malformed.get(), 1);
}
