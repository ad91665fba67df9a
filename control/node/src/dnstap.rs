//! The query log: messages of dnstap (<https://dnstap.info>) about what clients and servers were told.
//!
//! A [`Tap`] costs one branch where it is off. It encodes and queues, and never waits: what finds no room is
//! dropped and counted. `dnstap_writer.rs` takes the frames away.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use config::DnstapMessage;
use prost::Message as _;
use resolver::iterate::Transport;
use tokio::sync::mpsc;

use crate::clock;
use crate::counters::Counters;
use crate::responder::Via;

/// Frames and bytes that wait for the reader.
const FRAMES_MAX: usize = 8_192;
const BYTES_MAX: usize = 16 << 20;

/// `Dnstap.Type` MESSAGE.
const TYPE_MESSAGE: i32 = 1;
/// `SocketFamily` and `SocketProtocol`.
const FAMILY_INET: i32 = 1;
const FAMILY_INET6: i32 = 2;
const PROTOCOL_UDP: i32 = 1;
const PROTOCOL_TCP: i32 = 2;

/// `Dnstap` of dnstap.proto.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Dnstap {
    #[prost(bytes = "vec", optional, tag = "1")]
    pub(crate) identity: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub(crate) version: Option<Vec<u8>>,
    #[prost(message, optional, tag = "14")]
    pub(crate) message: Option<Message>,
    #[prost(int32, required, tag = "15")]
    pub(crate) kind: i32,
}

/// `Message` of dnstap.proto; fields that we never set are left out.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Message {
    #[prost(int32, required, tag = "1")]
    pub(crate) kind: i32,
    #[prost(int32, optional, tag = "2")]
    pub(crate) socket_family: Option<i32>,
    #[prost(int32, optional, tag = "3")]
    pub(crate) socket_protocol: Option<i32>,
    #[prost(bytes = "vec", optional, tag = "4")]
    pub(crate) query_address: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "5")]
    pub(crate) response_address: Option<Vec<u8>>,
    #[prost(uint32, optional, tag = "6")]
    pub(crate) query_port: Option<u32>,
    #[prost(uint32, optional, tag = "7")]
    pub(crate) response_port: Option<u32>,
    #[prost(uint64, optional, tag = "8")]
    pub(crate) query_time_sec: Option<u64>,
    #[prost(fixed32, optional, tag = "9")]
    pub(crate) query_time_nsec: Option<u32>,
    #[prost(bytes = "vec", optional, tag = "10")]
    pub(crate) query_message: Option<Vec<u8>>,
    #[prost(uint64, optional, tag = "12")]
    pub(crate) response_time_sec: Option<u64>,
    #[prost(fixed32, optional, tag = "13")]
    pub(crate) response_time_nsec: Option<u32>,
    #[prost(bytes = "vec", optional, tag = "14")]
    pub(crate) response_message: Option<Vec<u8>>,
}

/// `Message.Type`.
fn type_of(message: DnstapMessage) -> i32 {
    match message {
        DnstapMessage::ResolverQuery => 3,
        DnstapMessage::ResolverResponse => 4,
        DnstapMessage::ClientQuery => 5,
        DnstapMessage::ClientResponse => 6,
    }
}

/// Where messages go to be logged, from any thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tap(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    frames: mpsc::Sender<Vec<u8>>,
    queued_bytes: Arc<AtomicUsize>,
    counters: Arc<Counters>,
    messages: Vec<DnstapMessage>,
    /// One in so many queries.
    sample: u32,
    /// Queries of clients and of ours, each counted alone: they come in turns, and one count would choose of
    /// one side alone.
    client_turn: AtomicU32,
    resolver_turn: AtomicU32,
    identity: Option<Vec<u8>>,
    version: Option<Vec<u8>>,
}

/// A query that was chosen: its response is logged, too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tapped {
    peer: SocketAddr,
    via: Via,
    secs: u64,
    nanos: u32,
}

/// The frames that wait.
#[derive(Debug)]
pub(crate) struct Frames {
    frames: mpsc::Receiver<Vec<u8>>,
    queued_bytes: Arc<AtomicUsize>,
}

impl Frames {
    /// Takes frames into `out`, at most `count`; none at the end.
    pub(crate) async fn take(&mut self, out: &mut Vec<Vec<u8>>, count: usize) -> usize {
        let taken = self.frames.recv_many(out, count).await;
        let bytes: usize = out.iter().map(Vec::len).sum();
        self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
        taken
    }

    /// Takes what waits now, without waiting.
    pub(crate) fn take_rest(&mut self, out: &mut Vec<Vec<u8>>) {
        while let Ok(frame) = self.frames.try_recv() {
            self.queued_bytes.fetch_sub(frame.len(), Ordering::Relaxed);
            out.push(frame);
        }
    }
}

impl Tap {
    /// A tap with the texts to go with each message, and the frames that come out of it.
    pub(crate) fn new(
        config: &config::Dnstap,
        identity: String,
        version: String,
        counters: &Arc<Counters>,
    ) -> (Self, Frames) {
        let (sender, frames) = mpsc::channel(FRAMES_MAX);
        let queued_bytes = Arc::new(AtomicUsize::new(0));
        let text = |text: String| Some(text.into_bytes()).filter(|text| !text.is_empty());
        let inner = Inner {
            frames: sender,
            queued_bytes: Arc::clone(&queued_bytes),
            counters: Arc::clone(counters),
            messages: config.messages.clone(),
            sample: config.sample,
            client_turn: AtomicU32::new(0),
            resolver_turn: AtomicU32::new(0),
            identity: text(identity),
            version: text(version),
        };
        let frames = Frames {
            frames,
            queued_bytes,
        };
        (Self(Some(Arc::new(inner))), frames)
    }

    /// A client's query has come. `Some` if it was chosen.
    #[inline]
    pub(crate) fn client_query(
        &self,
        client: SocketAddr,
        via: Via,
        query: &[u8],
    ) -> Option<Tapped> {
        let inner = self.0.as_deref()?;
        let kinds = [DnstapMessage::ClientQuery, DnstapMessage::ClientResponse];
        inner.query(kinds, &inner.client_turn, (client, via), query)
    }

    /// The client's query is answered with this.
    #[inline]
    pub(crate) fn client_response(&self, tapped: Option<&Tapped>, response: &[u8]) {
        if let (Some(inner), Some(tapped)) = (self.0.as_deref(), tapped) {
            inner.response(DnstapMessage::ClientResponse, tapped, response);
        }
    }

    /// A worker reports one side of a query that it has answered out of its caches; it has chosen already.
    pub(crate) fn answered_by_worker(&self, kind: DnstapMessage, punt: &exchange::Punt<'_>) {
        let Some(inner) = self.0.as_deref() else {
            return;
        };
        let age_us = clock::now_us().saturating_sub(punt.received_us);
        let (secs, nanos) = clock::unix_time_before(age_us);
        let tapped = Tapped {
            peer: punt.client,
            via: Via::Udp,
            secs,
            nanos,
        };
        let mut message = tapped.message(kind);
        if kind == DnstapMessage::ClientQuery {
            message.query_message = Some(punt.message.to_vec());
        } else {
            // Within the batch that it came in.
            (message.response_time_sec, message.response_time_nsec) = (Some(secs), Some(nanos));
            message.response_message = Some(punt.message.to_vec());
        }
        inner.send(kind, message);
    }

    /// A server is asked. `Some` if that was chosen.
    pub(crate) fn resolver_query(
        &self,
        server: SocketAddr,
        transport: Transport,
        query: &[u8],
    ) -> Option<Tapped> {
        let inner = self.0.as_deref()?;
        let via = match transport {
            Transport::Udp => Via::Udp,
            Transport::Tcp => Via::Tcp,
        };
        let kinds = [
            DnstapMessage::ResolverQuery,
            DnstapMessage::ResolverResponse,
        ];
        inner.query(kinds, &inner.resolver_turn, (server, via), query)
    }

    /// A server has sent this.
    pub(crate) fn resolver_response(&self, tapped: Option<&Tapped>, response: &[u8]) {
        if let (Some(inner), Some(tapped)) = (self.0.as_deref(), tapped) {
            inner.response(DnstapMessage::ResolverResponse, tapped, response);
        }
    }
}

impl Inner {
    /// `kinds` are those of the query and of its response.
    fn query(
        &self,
        kinds: [DnstapMessage; 2],
        turn: &AtomicU32,
        (peer, via): (SocketAddr, Via),
        query: &[u8],
    ) -> Option<Tapped> {
        if !kinds.iter().any(|kind| self.messages.contains(kind)) {
            return None;
        }
        if self.sample > 1 {
            let turn = turn.fetch_add(1, Ordering::Relaxed);
            if !turn.is_multiple_of(self.sample) {
                return None;
            }
        }
        let (secs, nanos) = clock::unix_time();
        let tapped = Tapped {
            peer,
            via,
            secs,
            nanos,
        };
        let [kind, _] = kinds;
        let mut message = tapped.message(kind);
        message.query_message = Some(query.to_vec());
        self.send(kind, message);
        Some(tapped)
    }

    fn response(&self, kind: DnstapMessage, tapped: &Tapped, response: &[u8]) {
        let mut message = tapped.message(kind);
        let (secs, nanos) = clock::unix_time();
        message.response_time_sec = Some(secs);
        message.response_time_nsec = Some(nanos);
        message.response_message = Some(response.to_vec());
        self.send(kind, message);
    }

    fn send(&self, kind: DnstapMessage, message: Message) {
        if !self.messages.contains(&kind) {
            return;
        }
        let dnstap = Dnstap {
            identity: self.identity.clone(),
            version: self.version.clone(),
            message: Some(message),
            kind: TYPE_MESSAGE,
        };
        let frame = dnstap.encode_to_vec();
        let bytes = frame.len();
        // Several threads may go over it together, each by one frame.
        let has_room = self.queued_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes <= BYTES_MAX;
        if !has_room || self.frames.try_send(frame).is_err() {
            self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.counters.dnstap_dropped_frames.increment();
        }
    }
}

impl Tapped {
    /// A message about this query, without its bytes.
    fn message(&self, kind: DnstapMessage) -> Message {
        let (family, address) = match self.peer.ip().to_canonical() {
            IpAddr::V4(v4) => (FAMILY_INET, v4.octets().to_vec()),
            IpAddr::V6(v6) => (FAMILY_INET6, v6.octets().to_vec()),
        };
        let protocol = match self.via {
            Via::Udp => PROTOCOL_UDP,
            Via::Tcp => PROTOCOL_TCP,
        };
        let mut message = Message {
            kind: type_of(kind),
            socket_family: Some(family),
            socket_protocol: Some(protocol),
            query_time_sec: Some(self.secs),
            query_time_nsec: Some(self.nanos),
            ..Message::default()
        };
        let port = Some(u32::from(self.peer.port()));
        match kind {
            // The client is who asks; towards servers it is the server whose address is known.
            DnstapMessage::ClientQuery | DnstapMessage::ClientResponse => {
                (message.query_address, message.query_port) = (Some(address), port);
            }
            DnstapMessage::ResolverQuery | DnstapMessage::ResolverResponse => {
                (message.response_address, message.response_port) = (Some(address), port);
            }
        }
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tap(config: &config::Dnstap) -> (Tap, Frames, Arc<Counters>) {
        let counters = Arc::default();
        let (tap, frames) = Tap::new(config, "ns1".into(), String::new(), &counters);
        (tap, frames, counters)
    }

    fn decoded(frames: &mut Frames) -> Vec<Dnstap> {
        let mut out = Vec::new();
        frames.take_rest(&mut out);
        out.iter()
            .map(|frame| Dnstap::decode(&frame[..]).unwrap())
            .collect()
    }

    fn client() -> SocketAddr {
        "192.0.2.1:4711".parse().unwrap()
    }

    #[test]
    fn query_and_response_are_chosen_together_one_in_so_many() {
        let config = config::Dnstap {
            sample: 3,
            ..config::Dnstap::default()
        };
        let (tap, mut frames, _) = tap(&config);
        for number in 0..9 {
            let tapped = tap.client_query(client(), Via::Udp, &[number]);
            assert_eq!(tapped.is_some(), number % 3 == 0);
            tap.client_response(tapped.as_ref(), &[number, 1]);
        }
        let messages: Vec<_> = decoded(&mut frames)
            .into_iter()
            .filter_map(|d| d.message)
            .collect();
        let kinds: Vec<_> = messages.iter().map(|message| message.kind).collect();
        assert_eq!(kinds, [5, 6, 5, 6, 5, 6]);
        assert_eq!(messages[2].query_message, Some(vec![3]));
        assert_eq!(messages[3].response_message, Some(vec![3, 1]));
        assert_eq!(messages[3].query_time_nsec, messages[2].query_time_nsec);
    }

    #[test]
    fn clients_and_servers_that_take_turns_are_both_chosen() {
        let config = config::Dnstap {
            sample: 2,
            ..config::Dnstap::default()
        };
        let (tap, mut frames, _) = tap(&config);
        for _ in 0..4 {
            tap.client_query(client(), Via::Udp, b"q");
            tap.resolver_query(client(), Transport::Udp, b"q");
        }
        let messages = decoded(&mut frames).into_iter().filter_map(|d| d.message);
        let kinds: Vec<_> = messages.map(|message| message.kind).collect();
        assert_eq!(kinds, [5, 3, 5, 3]);
    }

    #[test]
    fn only_the_kinds_that_are_wanted_are_sent() {
        let config = config::Dnstap {
            messages: vec![DnstapMessage::ResolverResponse],
            ..config::Dnstap::default()
        };
        let (tap, mut frames, _) = tap(&config);
        let tapped = tap.client_query(client(), Via::Udp, b"q");
        tap.client_response(tapped.as_ref(), b"r");
        let tapped = tap.resolver_query(client(), Transport::Tcp, b"q");
        tap.resolver_response(tapped.as_ref(), b"r");
        let messages = decoded(&mut frames);
        assert_eq!(messages.len(), 1);
        assert_eq!(messages[0].identity.as_deref(), Some(&b"ns1"[..]));
        let message = messages[0].message.as_ref().unwrap();
        assert_eq!(
            (message.kind, message.socket_protocol),
            (4, Some(PROTOCOL_TCP))
        );
        assert_eq!(
            message.response_address.as_deref(),
            Some(&[192, 0, 2, 1][..])
        );
        assert_eq!(
            (message.response_port, message.query_port),
            (Some(4711), None)
        );
    }

    #[test]
    fn what_finds_no_room_is_dropped_and_counted_by_frames_and_by_bytes() {
        let (few, mut frames, counters) = tap(&config::Dnstap::default());
        for _ in 0..FRAMES_MAX + 5 {
            few.client_query(client(), Via::Udp, b"q");
        }
        assert_eq!(counters.dnstap_dropped_frames.get(), 5);
        assert_eq!(decoded(&mut frames).len(), FRAMES_MAX);
        assert_eq!(frames.queued_bytes.load(Ordering::Relaxed), 0);
        let large = vec![0; 65_535];
        for _ in 0..300 {
            few.client_query(client(), Via::Tcp, &large);
        }
        assert!(counters.dnstap_dropped_frames.get() > 5 + 40);
        assert!(decoded(&mut frames).len() * large.len() <= BYTES_MAX);
    }

    #[test]
    fn a_tap_that_is_off_chooses_nothing() {
        assert!(
            Tap::default()
                .client_query(client(), Via::Udp, b"q")
                .is_none()
        );
    }
}
