//! Networks on loopback, with real QUIC: what comes through, and what does not.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use consensus::{
    Batch, CheckpointBody, CheckpointCertificate, CommitCertificate, Configuration, Digest, Epoch,
    HistoryItem, Member, Message, NewView, NodeId, Phase, Request, Role, Sequence, Signer as _,
    SnapshotOffer, Status, View, ViewChange, Vote,
};
use crossbeam_channel::Receiver;
use quinn::{Connection, Endpoint, Runtime as _, TokioRuntime};

use super::counters::{Counters, Loss, Refusal};
use super::members::Members;
use super::queue::Class;
use super::tls::Tls;
use super::*;

mod rings;
mod useless;

/// Beyond it a test has failed: nothing here is expected to last long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Identities in the order of their ids: each dials those behind it.
fn identities(count: u8) -> Vec<Identity> {
    let identities = (1..=count).map(|number| Identity::from_seed([number; 32]));
    let mut identities: Vec<_> = identities.collect();
    identities.sort_by_key(|identity| identity.id());
    identities
}

struct Node {
    network: Network,
    inbound: Receiver<Inbound>,
}

struct Cluster {
    identities: Vec<Identity>,
    configuration: Configuration,
    sockets: Vec<UdpSocket>,
}

fn socket() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").unwrap()
}

fn configuration(identities: &[Identity], sockets: &[UdpSocket], epoch: u64) -> Configuration {
    let members = identities
        .iter()
        .zip(sockets)
        .map(|(identity, socket)| Member {
            key: identity.public_key(),
            role: Role::Authority,
            address: socket.local_addr().unwrap(),
        });
    Configuration::new(Epoch(epoch), members.collect(), 10, 3).unwrap()
}

impl Cluster {
    fn new(count: u8) -> Self {
        let identities = identities(count);
        let sockets: Vec<_> = identities.iter().map(|_| socket()).collect();
        Self {
            configuration: configuration(&identities, &sockets, 0),
            identities,
            sockets,
        }
    }

    fn id(&self, index: usize) -> NodeId {
        self.identities[index].id()
    }

    fn start(&self, index: usize) -> Node {
        let socket = self.sockets[index].try_clone().unwrap();
        start(
            &self.identities[index],
            &self.configuration,
            &self.configuration,
            socket,
        )
    }

    /// All of them, once each has connections with all others.
    fn all(&self) -> Vec<Node> {
        let nodes: Vec<_> = (0..self.identities.len())
            .map(|index| self.start(index))
            .collect();
        for node in &nodes {
            for _ in 1..nodes.len() {
                node.wait(|inbound| matches!(inbound, Inbound::Connected(_)).then_some(()));
            }
        }
        nodes
    }
}

fn start(
    identity: &Identity,
    genesis: &Configuration,
    configuration: &Configuration,
    socket: UdpSocket,
) -> Node {
    socket.set_nonblocking(true).unwrap();
    let socket: MakeSocket = Box::new(move || TokioRuntime.wrap_udp_socket(socket));
    start_with(identity, genesis, configuration, socket)
}

fn start_with(
    identity: &Identity,
    genesis: &Configuration,
    configuration: &Configuration,
    socket: MakeSocket,
) -> Node {
    let (sender, inbound) = crossbeam_channel::bounded(1024);
    let network = Network::start(Settings {
        identity: identity.clone(),
        cluster: genesis.cluster(),
        configuration,
        socket,
        inbound: sender,
        checks_of: Box::new(|_| Vec::new()),
    });
    let network = network.unwrap();
    Node { network, inbound }
}

impl Node {
    fn wait<T>(&self, mut wanted: impl FnMut(Inbound) -> Option<T>) -> T {
        loop {
            if let Some(found) = wanted(self.inbound.recv_timeout(PATIENCE).unwrap()) {
                return found;
            }
        }
    }

    fn message(&self) -> (NodeId, Message) {
        self.wait(|inbound| match inbound {
            Inbound::Message(from, message, _) => Some((from, message.into_inner())),
            _ => None,
        })
    }

    /// Waits until this was counted.
    fn lost(&self, reason: Loss) {
        let telemetry = self.network.telemetry();
        until(|| {
            telemetry
                .counters
                .losses()
                .any(|(loss, count)| loss == reason && count > 0)
        });
    }

    fn refused(&self, reason: Refusal) {
        let telemetry = self.network.telemetry();
        until(|| {
            telemetry
                .counters
                .refusals()
                .any(|(why, count)| why == reason && count > 0)
        });
    }
}

fn until(condition: impl Fn() -> bool) {
    let began = std::time::Instant::now();
    while !condition() {
        assert!(began.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn vote(phase: Phase, sequence: u64) -> Vote {
    Vote {
        phase,
        epoch: Epoch(0),
        view: View(1),
        sequence: Sequence(sequence),
        digest: Digest([3; 32]),
    }
}

/// After so long without a message, votes are sent again.
const AGAIN: Duration = Duration::from_millis(200);

/// Whether it travels as a datagram.
fn is_vote(message: &Message) -> bool {
    Class::of(message.kind(), 0, 1) == Class::Vote
}

/// One of each kind.
fn every_kind(cluster: &Cluster, signer: &Identity) -> Vec<Message> {
    let (sequence, index) = (Sequence(1), 0);
    let mut messages = changes_of_view(cluster, signer);
    messages.extend(proofs(cluster, signer));
    messages.extend([
        Message::FetchBatch(Digest([1; 32])),
        Message::Status(Status::default()),
        Message::FetchLog {
            epoch: Epoch(0),
            after: sequence,
        },
        Message::FetchChunk { sequence, index },
        Message::Chunk {
            sequence,
            index,
            bytes: vec![1; 100_000],
        },
        Message::ReadIndex { nonce: 1 },
        Message::ReadIndexReply {
            nonce: 1,
            epoch: Epoch(0),
            sequence,
        },
        Message::Application(vec![2; 1000]),
    ]);
    messages
}

fn changes_of_view(cluster: &Cluster, signer: &Identity) -> Vec<Message> {
    let id = cluster.configuration.cluster();
    let change = ViewChange {
        epoch: Epoch(0),
        view: View(2),
        stable: CheckpointCertificate::default(),
        prepared: Vec::new(),
        pre_prepared: Vec::new(),
        signer: signer.id(),
        signature: signer.sign(b""),
    };
    let change = change.sign(id, signer);
    let mut new = NewView {
        epoch: Epoch(0),
        view: View(2),
        view_changes: vec![change.clone()],
        proposals: vec![vote(Phase::PrePrepare, 1).sign(id, signer)],
        signer: signer.id(),
        signature: signer.sign(b""),
    };
    let own = new.checks(id).next().unwrap();
    new.signature = signer.sign(&own.preimage);
    vec![
        Message::ViewChange(Box::new(change)),
        Message::NewView(Arc::new(new)),
    ]
}

fn proofs(cluster: &Cluster, signer: &Identity) -> Vec<Message> {
    let id = cluster.configuration.cluster();
    let signed = |phase| vote(phase, 1).sign(id, signer);
    let request = Request::sign(id, signer, 0, 1, Arc::from(&b"command"[..]));
    let batch = Arc::new(Batch {
        time_ms: 1,
        requests: vec![request.clone()],
    });
    let certificate = CheckpointCertificate {
        votes: vec![signed(Phase::Checkpoint)],
    };
    let body = CheckpointBody {
        sequence: Sequence(1),
        state_root: Digest([1; 32]),
        clients_root: Digest([2; 32]),
        time_ms: 1,
        boundary: None,
        configuration: cluster.configuration.clone(),
    };
    let committed = HistoryItem::Batch {
        batch: Arc::clone(&batch),
        certificate: CommitCertificate {
            votes: vec![signed(Phase::Commit)],
        },
    };
    let checkpoint = HistoryItem::Checkpoint(certificate.clone(), Box::new(body.clone()));
    vec![
        Message::PrePrepare(signed(Phase::PrePrepare), Arc::clone(&batch)),
        Message::Vote(signed(Phase::Prepare)),
        Message::Vote(signed(Phase::Commit)),
        Message::Checkpoint(signed(Phase::Checkpoint), Box::new(body.clone())),
        Message::Request(request),
        Message::BatchData(batch),
        Message::Log(vec![committed, checkpoint]),
        Message::SnapshotOffer(Box::new(SnapshotOffer {
            transitions: Vec::new(),
            certificate,
            body,
            bytes_count: 7,
        })),
    ]
}

fn metrics(node: &Node) -> String {
    let mut registry = prometheus_client::registry::Registry::default();
    registry.register_collector(Box::new(node.network.telemetry()));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    text
}

/// Six batches, each as large as one may be: 21 MiB.
fn large_log(cluster: &Cluster) -> Message {
    let id = cluster.configuration.cluster();
    let requests = (0..7).map(|number| {
        let command = Arc::from(vec![7; consensus::COMMAND_BYTES_MAX]);
        Request::sign(id, &cluster.identities[0], 0, number, command)
    });
    let batch = Batch {
        time_ms: 1,
        requests: requests.collect(),
    };
    let commit = vote(Phase::Commit, 1).sign(id, &cluster.identities[0]);
    let item = HistoryItem::Batch {
        batch: Arc::new(batch),
        certificate: CommitCertificate {
            votes: vec![commit],
        },
    };
    Message::Log(vec![item; 6])
}

#[test]
fn four_networks_exchange_every_kind_while_a_large_one_is_on_its_way() {
    let begun = std::time::Instant::now();
    let cluster = Cluster::new(4);
    let nodes = cluster.all();
    let all: Vec<_> = (0..4).map(|index| cluster.id(index)).collect();
    let large = large_log(&cluster);
    nodes[0].network.broadcast(&all, &large);
    for (index, node) in nodes.iter().enumerate() {
        for message in every_kind(&cluster, &cluster.identities[index]) {
            node.network.broadcast(&all, &message);
        }
    }
    for (index, node) in nodes.iter().enumerate() {
        let mut missing: Vec<_> = (0..4)
            .filter(|other| *other != index)
            .flat_map(|other| {
                let kinds = every_kind(&cluster, &cluster.identities[other]);
                kinds.into_iter().map(move |message| (other, message))
            })
            .map(|(other, message)| (cluster.id(other), message))
            .collect();
        if index != 0 {
            missing.push((cluster.id(0), large.clone()));
        }
        while !missing.is_empty() {
            let Ok(inbound) = node.inbound.recv_timeout(AGAIN) else {
                // Datagrams may be lost; their senders send them again, as replicas do.
                assert!(
                    begun.elapsed() < PATIENCE,
                    "node {index} misses {missing:?}"
                );
                for (other, sender) in nodes.iter().enumerate() {
                    let kinds = every_kind(&cluster, &cluster.identities[other]);
                    let votes = kinds.iter().filter(|message| is_vote(message));
                    votes.for_each(|vote| sender.network.broadcast(&all, vote));
                }
                continue;
            };
            if let Inbound::Message(from, message, _) = inbound {
                let got = (from, message.into_inner());
                match missing.iter().position(|wanted| *wanted == got) {
                    Some(place) => drop(missing.swap_remove(place)),
                    None => assert!(is_vote(&got.1), "{:?} was not sent twice", got.1.kind()),
                }
            }
        }
    }
    let text = metrics(&nodes[0]);
    for line in [
        "nexus_mesh_messages_total{direction=\"sent\",kind=\"log\"} 6",
        "nexus_mesh_messages_total{direction=\"received\",kind=\"view_change\"} 3",
        "nexus_mesh_drops_total{reason=\"queue_full\"} 0",
        &format!("nexus_mesh_connected{{peer=\"{}\"}} 1", cluster.id(1)),
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    let status = nodes[0].network.peers();
    assert_eq!(status.len(), 3);
    assert!(
        status
            .iter()
            .all(|peer| peer.is_connected && peer.connects == 1)
    );
}

#[test]
fn votes_overtake_a_large_message() {
    let cluster = Cluster::new(2);
    let nodes = cluster.all();
    let chunks: Vec<_> = (0..80)
        .map(|index| Message::Chunk {
            sequence: Sequence(1),
            index,
            bytes: vec![0; consensus::CHUNK_BYTES_MAX],
        })
        .collect();
    for chunk in &chunks {
        nodes[0].network.send(cluster.id(1), chunk);
    }
    let vote = vote(Phase::Commit, 1).sign(cluster.configuration.cluster(), &cluster.identities[0]);
    let vote = Message::Vote(vote);
    nodes[0].network.send(cluster.id(1), &vote);
    let mut before = 0;
    loop {
        match nodes[1].inbound.recv_timeout(AGAIN) {
            Ok(Inbound::Message(_, message, _)) if *message.get() == vote => break,
            // A datagram may be lost.
            seen => {
                before += usize::from(seen.is_ok());
                nodes[0].network.send(cluster.id(1), &vote);
            }
        }
    }
    assert!(
        before < chunks.len(),
        "20 MiB of a snapshot came before the vote"
    );
}

#[test]
fn what_is_not_taken_holds_its_sender_back_instead_of_filling_the_memory() {
    let cluster = Cluster::new(2);
    let nodes = cluster.all();
    let large = Message::Application(vec![0; 4_000_000]);
    let received = || nodes[1].network.peers()[0].received;
    let send = |count| (0..count).for_each(|_| nodes[0].network.send(cluster.id(1), &large));
    send(8);
    until(|| received() == 8);
    send(16);
    until(|| received() > 8);
    std::thread::sleep(Duration::from_secs(2)); // All would have come by now.
    assert!(received() <= 16, "{} wait: more than 64 MB", received());
    for _ in 0..24 {
        assert_eq!(nodes[1].message(), (cluster.id(0), large.clone()));
    }
}

#[test]
fn bad_signature_is_counted_and_the_good_beside_it_come_through_in_order() {
    let cluster = Cluster::new(2);
    let nodes = cluster.all();
    let id = cluster.configuration.cluster();
    let request = |number| {
        let command = Arc::from(&b"x"[..]);
        Request::sign(id, &cluster.identities[0], 0, number, command)
    };
    for number in 0..100 {
        let mut request = request(number);
        if number == 50 {
            request.signature.0[40] ^= 1;
        }
        nodes[0]
            .network
            .send(cluster.id(1), &Message::Request(request));
    }
    let mut bad = 0;
    for number in (0..100).filter(|number| *number != 50) {
        let (from, message) = nodes[1].wait(|inbound| match inbound {
            Inbound::BadSignature(from) => {
                assert_eq!((from, number), (cluster.id(0), 51));
                bad += 1;
                None
            }
            Inbound::Message(from, message, _) => Some((from, message.into_inner())),
            _ => None,
        });
        assert_eq!(
            (from, message),
            (cluster.id(0), Message::Request(request(number)))
        );
    }
    assert_eq!(bad, 1);
    nodes[1].lost(Loss::BadSignature);
    assert_eq!(nodes[1].network.peers()[0].bad_signatures, 1);
    // In a batch, the requests that came alone are not checked again.
    let requests = (0..50).map(request).collect();
    let batch = Message::BatchData(Arc::new(Batch {
        time_ms: 1,
        requests,
    }));
    nodes[0].network.send(cluster.id(1), &batch);
    assert_eq!(nodes[1].message().1, batch);
    assert_eq!(
        nodes[1].network.telemetry().counters.signatures_known.get(),
        50
    );
}

#[test]
fn message_signed_for_another_cluster_or_by_a_stranger_is_refused() {
    let cluster = Cluster::new(2);
    let nodes = cluster.all();
    let other = consensus::ClusterId(Digest([9; 32]));
    let stranger = Identity::from_seed([99; 32]);
    let id = cluster.configuration.cluster();
    for signed in [
        vote(Phase::Commit, 1).sign(other, &cluster.identities[0]),
        vote(Phase::Commit, 1).sign(id, &stranger),
    ] {
        nodes[0].network.send(cluster.id(1), &Message::Vote(signed));
        nodes[1].wait(|inbound| {
            let is_refused = matches!(
                inbound,
                Inbound::BadSignature(_) | Inbound::UnknownSigner(_)
            );
            is_refused.then_some(())
        });
    }
    nodes[1].lost(Loss::BadSignature);
    nodes[1].lost(Loss::UnknownSigner);
    // Who shows the signature of somebody unknown is not to blame: this node may be behind.
    assert_eq!(nodes[1].network.peers()[0].bad_signatures, 1);
}

#[test]
fn node_of_another_cluster_and_one_without_a_known_key_get_nothing() {
    let cluster = Cluster::new(2);
    let node = cluster.start(1);
    let other = Cluster::new(3); // The same keys, another first configuration.
    let alien = start(
        &cluster.identities[0],
        &other.configuration,
        &cluster.configuration,
        socket(),
    );
    node.refused(Refusal::OtherCluster);
    alien.refused(Refusal::OtherCluster);
    drop(alien);
    // It believes that it belongs: its own list names it and the node.
    let stranger = (50..).map(|number| Identity::from_seed([number; 32]));
    let stranger = stranger
        .into_iter()
        .find(|one| one.id() < cluster.id(1))
        .unwrap();
    let sockets = [socket(), cluster.sockets[1].try_clone().unwrap()];
    let believed = [stranger.clone(), cluster.identities[1].clone()];
    let believed = configuration(&believed, &sockets, 0);
    let [own, _] = sockets;
    let stranger = start(&stranger, &cluster.configuration, &believed, own);
    node.refused(Refusal::UnknownPeer);
    stranger.refused(Refusal::Handshake);
    assert!(node.inbound.is_empty() && stranger.inbound.is_empty());
}

#[test]
fn peer_that_starts_again_is_connected_again() {
    let cluster = Cluster::new(2);
    let mut nodes = cluster.all();
    for again in [1, 0, 1] {
        nodes.remove(again);
        let left = &nodes[0];
        let wait = |connected: bool| {
            left.wait(|inbound| match inbound {
                Inbound::Connected(_) => connected.then_some(()),
                Inbound::Disconnected(_) => (!connected).then_some(()),
                _ => None,
            });
        };
        wait(false);
        let before = left.network.peers()[0].drops_sent;
        left.network
            .send(cluster.id(again), &Message::ReadIndex { nonce: 1 });
        assert_eq!(left.network.peers()[0].drops_sent, before + 1);
        let started = cluster.start(again);
        wait(true);
        started.wait(|inbound| matches!(inbound, Inbound::Connected(_)).then_some(()));
        let message = Message::ReadIndex { nonce: 2 };
        left.network.send(cluster.id(again), &message);
        assert_eq!(started.message().1, message);
        nodes.insert(again, started);
    }
}

#[test]
fn member_that_goes_or_is_shut_out_is_parted_from_and_a_new_one_is_connected() {
    let cluster = Cluster::new(4);
    let nodes = cluster.all();
    let three = configuration(&cluster.identities[..3], &cluster.sockets, 1);
    nodes[0].network.set_members(&three);
    let gone = cluster.id(3);
    nodes[0]
        .wait(|inbound| matches!(inbound, Inbound::Disconnected(id) if id == gone).then_some(()));
    assert_eq!(nodes[0].network.peers().len(), 2);
    nodes[0].network.set_members(&cluster.configuration);
    nodes[0].wait(|inbound| matches!(inbound, Inbound::Connected(id) if id == gone).then_some(()));
    let leaders = [1, 2, 3].map(|index| cluster.id(index)).to_vec();
    let isolated = cluster
        .configuration
        .clone()
        .with_leaders(leaders, vec![cluster.id(0)]);
    nodes[3].network.set_members(&isolated.unwrap());
    nodes[3].refused(Refusal::Isolated);
}

/// A member that speaks QUIC and sends what it likes.
struct Liar {
    runtime: Arc<tokio::runtime::Runtime>,
    /// Ends the thread that keeps the runtime going.
    _stop: tokio::sync::oneshot::Sender<()>,
    endpoint: Endpoint,
    config: quinn::ClientConfig,
    to: (SocketAddr, NodeId),
}

impl Liar {
    fn new(cluster: &Cluster) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = Arc::new(runtime.unwrap());
        let identity = &cluster.identities[0];
        let members = Members::new(identity.id(), &cluster.configuration);
        let members = Arc::new(arc_swap::ArcSwap::from_pointee(members));
        let counters = Arc::<Counters>::default();
        let tls = Tls::new(
            identity,
            cluster.configuration.cluster(),
            &members,
            &counters,
        )
        .unwrap();
        let socket = cluster.sockets[0].try_clone().unwrap();
        socket.set_nonblocking(true).unwrap();
        let guard = runtime.enter();
        let make: MakeSocket = Box::new(move || TokioRuntime.wrap_udp_socket(socket));
        let (endpoint, config) = super::endpoint::make(identity, tls, make).unwrap();
        drop(guard);
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let driven = Arc::clone(&runtime);
        std::thread::spawn(move || driven.block_on(stopped));
        let to = (cluster.sockets[1].local_addr().unwrap(), cluster.id(1));
        Self {
            runtime,
            _stop: stop,
            endpoint,
            config,
            to,
        }
    }

    fn connect(&self) -> Connection {
        self.runtime.block_on(async {
            let name = super::certificate::server_name(self.to.1);
            let connecting = self
                .endpoint
                .connect_with(self.config.clone(), self.to.0, &name);
            let connection = connecting.unwrap().await.unwrap();
            connection.accept_uni().await.unwrap();
            connection
        })
    }

    /// Sends bytes on a stream and ends it.
    fn send(&self, connection: &Connection, bytes: &[u8]) {
        self.runtime.block_on(async {
            let mut stream = connection.open_uni().await.unwrap();
            stream.write_all(bytes).await.unwrap();
            let _ = stream.finish(); // It may be closed already.
        });
    }

    fn closed(&self, connection: &Connection) {
        self.runtime.block_on(async {
            tokio::time::timeout(PATIENCE, connection.closed())
                .await
                .unwrap()
        });
    }
}

#[test]
fn garbage_truncated_and_oversized_messages_are_counted_and_end_the_connection() {
    let good = Message::Application(vec![1; 1000]).encode(NodeId(1));
    let mut long = Message::ReadIndex { nonce: 1 }.encode(NodeId(1));
    long[19] = 0xff; // The most significant byte of the payload's length.
    for (bytes, reason) in [
        (&[0xff; 100][..], Loss::Malformed),
        (&good[..good.len() - 1], Loss::Truncated),
        (&good[..10], Loss::Truncated),
        (&long[..], Loss::Oversized),
    ] {
        let cluster = Cluster::new(2);
        let node = cluster.start(1);
        let liar = Liar::new(&cluster);
        let connection = liar.connect();
        liar.send(&connection, bytes);
        node.wait(|inbound| matches!(inbound, Inbound::Malformed(_)).then_some(()));
        node.lost(reason);
        liar.closed(&connection);
        node.wait(|inbound| matches!(inbound, Inbound::Disconnected(_)).then_some(()));
        let again = liar.runtime.block_on(async {
            let name = super::certificate::server_name(liar.to.1);
            let connecting = liar
                .endpoint
                .connect_with(liar.config.clone(), liar.to.0, &name);
            connecting.unwrap().await.unwrap().accept_uni().await
        });
        assert!(again.is_err(), "it is barred for a while");
        node.refused(Refusal::Barred);
    }
}

#[test]
fn messages_that_are_none_end_the_connection_after_a_few() {
    let cluster = Cluster::new(2);
    let node = cluster.start(1);
    let liar = Liar::new(&cluster);
    let connection = liar.connect();
    // Well framed: another node's word without its signature, and a status that is cut short.
    let foreign = Message::ReadIndex { nonce: 1 }.encode(NodeId(77));
    let mut short = Message::FetchBatch(Digest([0; 32])).encode(cluster.id(0));
    short[0] = consensus::MessageKind::Status as u8;
    let own = Message::ReadIndex { nonce: 1 }.encode(cluster.id(0));
    liar.send(&connection, &[&foreign[..], &short, &own].concat());
    assert_eq!(node.message().1, Message::ReadIndex { nonce: 1 });
    node.lost(Loss::WrongSigner);
    node.lost(Loss::Malformed);
    liar.send(&connection, &foreign.repeat(6));
    liar.closed(&connection);
}

#[test]
fn node_that_may_only_be_dialled_is_refused_when_it_dials() {
    let cluster = Cluster::new(2);
    let reversed = Cluster {
        identities: cluster.identities.iter().rev().cloned().collect(),
        configuration: cluster.configuration.clone(),
        sockets: cluster
            .sockets
            .iter()
            .rev()
            .map(|socket| socket.try_clone().unwrap())
            .collect(),
    };
    let node = reversed.start(1);
    let liar = Liar::new(&reversed);
    let failed = liar.runtime.block_on(async {
        let name = super::certificate::server_name(liar.to.1);
        let connecting = liar
            .endpoint
            .connect_with(liar.config.clone(), liar.to.0, &name);
        connecting.unwrap().await.unwrap().accept_uni().await
    });
    assert!(failed.is_err());
    node.refused(Refusal::Direction);
}

#[test]
fn votes_go_to_voters_and_announcements_to_the_rest() {
    let mut cluster = Cluster::new(3);
    let members = cluster.configuration.members().map(|member| {
        let is_edge = member.id() == cluster.id(2);
        let role = if is_edge { Role::Edge } else { Role::Authority };
        Member {
            role,
            ..member.clone()
        }
    });
    cluster.configuration = Configuration::new(Epoch(0), members.collect(), 10, 3).unwrap();
    let nodes = cluster.all();
    let (vote, word) = [1, 2]
        .map(|byte| Arc::new(Message::Application(vec![byte])))
        .into();
    driver::Outbox::broadcast(&nodes[0].network, &vote);
    driver::Outbox::announce(&nodes[0].network, &word);
    assert_eq!(nodes[1].message(), (cluster.id(0), (*vote).clone()));
    assert_eq!(nodes[2].message(), (cluster.id(0), (*word).clone()));
}
