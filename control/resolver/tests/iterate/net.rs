//! A simulated internet: scripted servers, delays, losses, and a clock that the test owns.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;
use resolver::iterate::{
    Config, Effect, Input, Outcome, Question, Resolver, Transport, TransportError,
};

use crate::authority::{Zone, lower, name, respond};

/// A query as a server sees it.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) server: IpAddr,
    pub(crate) transport: Transport,
    pub(crate) message: Message,
    pub(crate) raw: Vec<u8>,
    /// Lower-case name, with the final dot.
    pub(crate) qname: String,
    pub(crate) qtype: RecordType,
}

/// What a server does with a query.
pub(crate) enum Action {
    /// Answers from its zones.
    Serve,
    /// Sends these bytes.
    Raw(Vec<u8>),
    /// Sends this message.
    Message(Box<Message>),
    /// Sends several messages, each from an address, all at once.
    Many(Vec<(SocketAddr, Vec<u8>)>),
    /// Nothing comes back.
    Silence,
    /// The network says no.
    Fail(TransportError),
}

type Behaviour = Box<dyn FnMut(&Request, &[Zone]) -> Action>;

struct Server {
    zones: Vec<Zone>,
    delay_ms: u64,
    behaviour: Behaviour,
}

enum Event {
    Reply {
        exchange: u64,
        from: SocketAddr,
        message: Vec<u8>,
    },
    Failed {
        exchange: u64,
        reason: TransportError,
    },
}

/// Servers, clock, resolver and everything in flight.
pub(crate) struct Net {
    pub(crate) now_ms: u64,
    pub(crate) resolver: Resolver,
    servers: BTreeMap<IpAddr, Server>,
    events: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    open: BTreeSet<u64>,
    waiting: BTreeSet<u64>,
    done: BTreeMap<u64, (u64, Outcome)>,
    next_ticket: u64,
    /// Every query that left, in order.
    pub(crate) log: Vec<Request>,
}

pub(crate) fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) const ROOT: &str = "198.51.100.1";
pub(crate) const COM: &str = "198.51.100.10";
pub(crate) const NET: &str = "198.51.100.20";
pub(crate) const EXAMPLE_1: &str = "192.0.2.1";
pub(crate) const EXAMPLE_2: &str = "192.0.2.2";
pub(crate) const EXAMPLE_NET: &str = "192.0.2.50";

/// The configuration of the tests: one root server, IPv4 alone.
pub(crate) fn config() -> Config {
    Config {
        root_hints: vec![(name("a.root."), vec![address(ROOT)])],
        use_ipv6: false,
        ..Config::default()
    }
}

impl Net {
    /// A root, `com.`, `net.`, `example.com.` on two servers, `example.net.` on one.
    pub(crate) fn new() -> Self {
        Self::with(config())
    }

    pub(crate) fn with(config: Config) -> Self {
        let mut net = Self::empty(config);
        net.zone(
            ROOT,
            ".",
            "@ NS a.root.
             a.root. A 198.51.100.1
             com NS ns.com.
             ns.com A 198.51.100.10
             net NS ns.net.
             ns.net A 198.51.100.20",
        );
        net.zone(
            COM,
            "com.",
            "@ NS ns
             ns A 198.51.100.10
             example NS ns1.example
             example NS ns2.example
             ns1.example A 192.0.2.1
             ns2.example A 192.0.2.2",
        );
        net.zone(
            NET,
            "net.",
            "@ NS ns
             ns A 198.51.100.20
             example NS ns1.example
             ns1.example A 192.0.2.50",
        );
        for server in [EXAMPLE_1, EXAMPLE_2] {
            net.zone(
                server,
                "example.com.",
                "@ NS ns1
                 @ NS ns2
                 ns1 A 192.0.2.1
                 ns2 A 192.0.2.2
                 www 600 A 203.0.113.1
                 www 600 A 203.0.113.2
                 www AAAA 2001:db8::1
                 alias CNAME www
                 far CNAME www.example.net.
                 a.b.c.deep A 203.0.113.9
                 *.wild TXT \"wild\"",
            );
        }
        net.zone(
            EXAMPLE_NET,
            "example.net.",
            "@ NS ns1
             ns1 A 192.0.2.50
             www A 203.0.113.80
             back CNAME alias.example.com.",
        );
        net
    }

    /// A root that delegates `example.net.` and nothing else: quick to make.
    pub(crate) fn small(config: Config) -> Self {
        let mut net = Self::empty(config);
        net.zone(
            ROOT,
            ".",
            "@ NS a.root.
             a.root. A 198.51.100.1
             example.net. NS ns1.example.net.
             ns1.example.net. A 192.0.2.50",
        );
        net
    }

    pub(crate) fn empty(config: Config) -> Self {
        Self {
            now_ms: 1_000_000,
            resolver: Resolver::new(config, [42; 32]),
            servers: BTreeMap::new(),
            events: BTreeMap::new(),
            sequence: 0,
            open: BTreeSet::new(),
            waiting: BTreeSet::new(),
            done: BTreeMap::new(),
            next_ticket: 0,
            log: Vec::new(),
        }
    }

    /// Puts a zone on a server.
    pub(crate) fn zone(&mut self, server: &str, origin: &str, text: &str) {
        let mut zone = Zone::new(origin);
        zone.add(text);
        self.server(server).zones.push(zone);
    }

    /// Changes a zone of a server.
    pub(crate) fn edit(&mut self, server: &str, origin: &str, change: impl FnOnce(&mut Zone)) {
        let origin = name(origin);
        let zones = &mut self.server(server).zones;
        change(zones.iter_mut().find(|zone| zone.origin == origin).unwrap());
    }

    /// Adds lines to a zone of a server.
    pub(crate) fn add(&mut self, server: &str, origin: &str, text: &str) {
        self.edit(server, origin, |zone| zone.add(text));
    }

    /// Adds lines to both servers of `example.com.`.
    pub(crate) fn add_example(&mut self, text: &str) {
        self.add(EXAMPLE_1, "example.com.", text);
        self.add(EXAMPLE_2, "example.com.", text);
    }

    pub(crate) fn delay(&mut self, server: &str, delay_ms: u64) {
        self.server(server).delay_ms = delay_ms;
    }

    /// Lets a closure decide what a server does.
    pub(crate) fn behave(
        &mut self,
        server: &str,
        behaviour: impl FnMut(&Request, &[Zone]) -> Action + 'static,
    ) {
        self.server(server).behaviour = Box::new(behaviour);
    }

    pub(crate) fn silence(&mut self, server: &str) {
        self.behave(server, |_, _| Action::Silence);
    }

    pub(crate) fn heal(&mut self, server: &str) {
        self.behave(server, |_, _| Action::Serve);
    }

    /// Answers everything with a code alone.
    pub(crate) fn refuse(&mut self, server: &str, rcode: ResponseCode) {
        self.behave(server, move |request, zones| {
            let mut reply = respond(zones, &request.message);
            (reply.answers, reply.authorities, reply.additionals) =
                (Vec::new(), Vec::new(), Vec::new());
            reply.metadata.authoritative = false;
            reply.metadata.response_code = rcode;
            Action::Message(Box::new(reply))
        });
    }

    fn server(&mut self, server: &str) -> &mut Server {
        let behaviour = || -> Behaviour { Box::new(|_, _| Action::Serve) };
        self.servers
            .entry(address(server))
            .or_insert_with(|| Server {
                zones: Vec::new(),
                delay_ms: 10,
                behaviour: behaviour(),
            })
    }

    /// Asks and runs until the answer.
    pub(crate) fn ask(&mut self, qname: &str, qtype: RecordType) -> Outcome {
        self.ask_question(Question::new(name(qname), qtype))
    }

    pub(crate) fn ask_question(&mut self, question: Question) -> Outcome {
        let ticket = self.begin(question);
        self.run();
        self.take(ticket)
    }

    /// Asks and gives the ticket.
    pub(crate) fn begin(&mut self, question: Question) -> u64 {
        self.next_ticket += 1;
        let ticket = self.next_ticket;
        self.waiting.insert(ticket);
        self.step(Input::Ask { ticket, question });
        ticket
    }

    pub(crate) fn begin_plain(&mut self, qname: &str, qtype: RecordType) -> u64 {
        self.begin(Question::new(name(qname), qtype))
    }

    pub(crate) fn take(&mut self, ticket: u64) -> Outcome {
        self.done
            .remove(&ticket)
            .unwrap_or_else(|| panic!("question {ticket} was not answered"))
            .1
    }

    /// Milliseconds at which a question was answered.
    pub(crate) fn done_at(&self, ticket: u64) -> Option<u64> {
        self.done.get(&ticket).map(|(at_ms, _)| *at_ms)
    }

    /// Runs until nothing is under way.
    pub(crate) fn run(&mut self) {
        while self.advance(u64::MAX) {}
        assert!(
            self.waiting.is_empty(),
            "questions without an answer: {:?}",
            self.waiting
        );
        assert!(
            self.open.is_empty(),
            "exchanges that nobody ended: {:?}",
            self.open
        );
        let statistics = self.resolver.statistics();
        assert_eq!(
            (statistics.tasks, statistics.exchanges, statistics.tickets),
            (0, 0, 0)
        );
    }

    /// Lets time pass, handling what happens meanwhile.
    pub(crate) fn pass(&mut self, ms: u64) {
        let until_ms = self.now_ms + ms;
        while self.advance(until_ms) {}
        self.now_ms = until_ms;
    }

    /// Handles the next event not after `until_ms`; false if there is none.
    fn advance(&mut self, until_ms: u64) -> bool {
        let event_ms = self.events.first_key_value().map(|(key, _)| key.0);
        let tick_ms = self.resolver.next_deadline();
        let Some(next_ms) = event_ms
            .into_iter()
            .chain(tick_ms)
            .min()
            .filter(|ms| *ms <= until_ms)
        else {
            return false;
        };
        self.now_ms = self.now_ms.max(next_ms);
        if event_ms == Some(next_ms) {
            match self.events.pop_first().unwrap().1 {
                Event::Reply {
                    exchange,
                    from,
                    message,
                } => {
                    self.step(Input::Reply {
                        exchange,
                        from,
                        message: &message,
                    });
                }
                Event::Failed { exchange, reason } => {
                    if self.open.remove(&exchange) {
                        self.step(Input::Failed { exchange, reason });
                    }
                }
            }
        } else {
            self.step(Input::Tick);
        }
        true
    }

    /// Gives the resolver an input and performs its effects.
    pub(crate) fn step(&mut self, input: Input<'_>) {
        let mut effects = Vec::new();
        self.resolver.step(self.now_ms, input, &mut effects);
        for effect in effects {
            match effect {
                Effect::Send {
                    exchange,
                    server,
                    transport,
                    message,
                    timeout_ms,
                } => {
                    assert!(timeout_ms > 0);
                    assert!(
                        self.open.insert(exchange),
                        "exchange {exchange} was used twice"
                    );
                    self.deliver(exchange, server, transport, message);
                }
                Effect::Cancel { exchange } => {
                    assert!(
                        self.open.remove(&exchange),
                        "exchange {exchange} was not open"
                    );
                }
                Effect::Done { ticket, outcome } => {
                    assert!(
                        self.waiting.remove(&ticket),
                        "question {ticket} was answered twice"
                    );
                    self.done.insert(ticket, (self.now_ms, outcome));
                }
            }
        }
    }

    fn deliver(&mut self, exchange: u64, to: SocketAddr, transport: Transport, raw: Vec<u8>) {
        let message = Message::from_vec(&raw).unwrap();
        let question = &message.queries[0];
        let request = Request {
            server: to.ip(),
            transport,
            qname: lower(question.name()),
            qtype: question.query_type(),
            message: message.clone(),
            raw,
        };
        self.log.push(request.clone());
        let Some(server) = self.servers.get_mut(&to.ip()) else {
            return;
        };
        let delay_ms = server.delay_ms * if transport == Transport::Tcp { 2 } else { 1 };
        let mut events = Vec::new();
        let mut reply = |from, message| {
            events.push(Event::Reply {
                exchange,
                from,
                message,
            })
        };
        match (server.behaviour)(&request, &server.zones) {
            Action::Serve => reply(to, encode(&respond(&server.zones, &message), &request)),
            Action::Raw(bytes) => reply(to, bytes),
            Action::Message(message) => reply(to, encode(&message, &request)),
            Action::Many(messages) => messages
                .into_iter()
                .for_each(|(from, bytes)| reply(from, bytes)),
            Action::Silence => {}
            Action::Fail(reason) => events.push(Event::Failed { exchange, reason }),
        }
        for event in events {
            self.sequence += 1;
            self.events
                .insert((self.now_ms + delay_ms, self.sequence), event);
        }
    }

    /// Queries that a server received since the start.
    pub(crate) fn queries_to(&self, server: &str) -> usize {
        self.log
            .iter()
            .filter(|request| request.server == address(server))
            .count()
    }

    /// Names and types asked of a server, in order.
    pub(crate) fn asked(&self, server: &str) -> Vec<String> {
        let own = self
            .log
            .iter()
            .filter(|request| request.server == address(server));
        own.map(|request| format!("{} {}", request.qname, request.qtype))
            .collect()
    }
}

/// Encodes a reply, cut to what the query allows over UDP (TC, RFC 2181 §9).
pub(crate) fn encode(reply: &Message, request: &Request) -> Vec<u8> {
    let bytes = reply.to_vec().unwrap();
    let limit = request
        .message
        .edns
        .as_ref()
        .map_or(512, |edns| usize::from(edns.max_payload()));
    if request.transport == Transport::Tcp || bytes.len() <= limit {
        return bytes;
    }
    let mut cut = reply.clone();
    (cut.answers, cut.authorities, cut.additionals) = (Vec::new(), Vec::new(), Vec::new());
    cut.metadata.truncation = true;
    cut.to_vec().unwrap()
}

/// Records of a section as text, sorted: `owner ttl class type rdata`.
pub(crate) fn lines(records: &[hickory_proto::rr::Record]) -> Vec<String> {
    let mut lines: Vec<String> = records.iter().map(ToString::to_string).collect();
    lines.sort();
    lines
}

/// Addresses in the answer, sorted.
pub(crate) fn addresses(outcome: &Outcome) -> Vec<String> {
    let mut addresses: Vec<String> = outcome
        .answers
        .iter()
        .filter_map(|record| record.data.ip_addr())
        .map(|ip| ip.to_string())
        .collect();
    addresses.sort();
    addresses
}

/// Every INFO-CODE.
pub(crate) fn codes(outcome: &Outcome) -> Vec<u16> {
    let errors = outcome.extended_errors.iter();
    errors.map(|(code, _)| *code).collect()
}

/// INFO-CODE of the first extended error.
pub(crate) fn code(outcome: &Outcome) -> Option<u16> {
    outcome.extended_errors.first().map(|(code, _)| *code)
}
