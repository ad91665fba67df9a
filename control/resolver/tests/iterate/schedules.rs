//! Random servers, random networks, random times: every question is answered once, within bounds.

use std::cell::RefCell;
use std::rc::Rc;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{CNAME, NS};
use hickory_proto::rr::{RData, Record, RecordType};
use resolver::iterate::{
    Config, Forward, Input, Limits, QnameMinimisation, Question, Transport, TransportError,
};

use crate::authority::{Zone, name, respond};
use crate::net::{
    Action, COM, EXAMPLE_1, EXAMPLE_2, EXAMPLE_NET, NET, Net, ROOT, Request, address, config,
};

/// SplitMix64: enough chance for tests, from a seed that a failure prints.
#[derive(Clone)]
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(count).unwrap()).unwrap()
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }
}

const SERVERS: [&str; 6] = [ROOT, COM, NET, EXAMPLE_1, EXAMPLE_2, EXAMPLE_NET];
const NAMES: [&str; 14] = [
    "www.example.com.",
    "alias.example.com.",
    "far.example.com.",
    "a.b.c.deep.example.com.",
    "nothing.example.com.",
    "x.wild.example.com.",
    "www.example.net.",
    "back.example.net.",
    "www.glueless.com.",
    "www.left.com.",
    "www.right.net.",
    "loop.example.net.",
    ".",
    "www.nowhere.",
];

/// What a server does with one query, at random; `trouble` in a hundred times something bad.
fn misbehave(chance: &mut Chance, trouble: usize, request: &Request, zones: &[Zone]) -> Action {
    if chance.below(100) >= trouble {
        return Action::Serve;
    }
    let mut reply = respond(zones, &request.message);
    match chance.below(3) {
        0 => damage(chance, request, &reply),
        1 => {
            distort(chance, request, &mut reply);
            Action::Message(Box::new(reply))
        }
        _ => {
            mislead(chance, request, &mut reply);
            Action::Message(Box::new(reply))
        }
    }
}

/// Nothing, an error, or bytes that are no reply.
fn damage(chance: &mut Chance, request: &Request, reply: &Message) -> Action {
    let mut bytes = reply.to_vec().unwrap();
    match chance.below(5) {
        0 => return Action::Silence,
        1 => {
            let reasons = [
                TransportError::Timeout,
                TransportError::Refused,
                TransportError::Unreachable,
                TransportError::Closed,
                TransportError::Resources,
            ];
            return Action::Fail(chance.pick(&reasons));
        }
        2 => {
            let from = std::net::SocketAddr::new(request.server, 53);
            let mut wrong = bytes.clone();
            wrong[1] ^= 0x40;
            return Action::Many(vec![(from, wrong), (from, bytes.clone()), (from, bytes)]);
        }
        3 => {
            for _ in 0..=chance.below(4) {
                let at = chance.below(bytes.len());
                bytes[at] = chance.next().to_le_bytes()[0];
            }
        }
        _ => bytes.truncate(chance.below(bytes.len())),
    }
    Action::Raw(bytes)
}

/// A well-formed reply with the wrong flags, code or sections.
fn distort(chance: &mut Chance, request: &Request, reply: &mut Message) {
    match chance.below(5) {
        0 => reply.metadata.truncation = request.transport == Transport::Udp || chance.one_in(2),
        1 => {
            let rcodes = [
                ResponseCode::ServFail,
                ResponseCode::Refused,
                ResponseCode::FormErr,
                ResponseCode::NotImp,
                ResponseCode::NXDomain,
                ResponseCode::YXDomain,
            ];
            reply.metadata.response_code = chance.pick(&rcodes);
        }
        2 => (reply.answers, reply.authorities) = (Vec::new(), Vec::new()),
        3 => reply.metadata.authoritative = !reply.metadata.authoritative,
        _ => {
            let lower = reply.queries[0].name().to_lowercase();
            reply.queries[0].set_name(lower);
        }
    }
}

/// A reply that leads somewhere else.
fn mislead(chance: &mut Chance, request: &Request, reply: &mut Message) {
    let owner = request.message.queries[0].name().clone();
    let target = name(chance.pick(&NAMES));
    match chance.below(3) {
        0 => {
            let labels = chance.below(usize::from(owner.num_labels()) + 1);
            let cut = owner.trim_to(labels);
            reply.authorities = vec![Record::from_rdata(cut, 60, RData::NS(NS(target)))];
            reply.answers.clear();
        }
        1 => {
            let alias = RData::CNAME(CNAME(target));
            reply.answers = vec![Record::from_rdata(owner, 60, alias)];
        }
        _ => {
            let server = RData::A(chance.pick(&SERVERS).parse().unwrap());
            reply
                .additionals
                .push(Record::from_rdata(target, 60, server));
        }
    }
}

fn random_net(seed: u64) -> (Net, Rc<RefCell<Chance>>) {
    let chance = Rc::new(RefCell::new(Chance(seed)));
    let mut draw = chance.borrow_mut();
    let mode = draw.pick(&[
        QnameMinimisation::Off,
        QnameMinimisation::Relaxed,
        QnameMinimisation::Strict,
    ]);
    let mut limits = Limits::default();
    if draw.one_in(3) {
        limits = Limits {
            tickets_max: 8,
            tasks_max: 6,
            exchanges_max: 4,
            servers_max: 3,
            failures_max: 3,
            sends_max: 12,
            subqueries_max: 4,
            ..limits
        };
    }
    let mut forward = Vec::new();
    if draw.one_in(4) {
        let servers = vec![std::net::SocketAddr::new(address(EXAMPLE_NET), 53)];
        forward.push(Forward {
            zone: name("example.net."),
            servers,
            fallback: draw.one_in(2),
        });
    }
    let cache_bytes_max = draw.pick(&[0, 2_000, 20_000, 1 << 20]);
    let config = Config {
        qname_minimisation: mode,
        limits,
        forward,
        cache_bytes_max,
        ..config()
    };
    let mut net = Net::with(config);
    net.add(
        COM,
        "com.",
        "glueless NS ns1.example.net.\n left NS ns.right.net.",
    );
    net.add(NET, "net.", "right NS ns.left.com.");
    net.zone(EXAMPLE_NET, "glueless.com.", "www A 203.0.113.30");
    net.add(
        EXAMPLE_NET,
        "example.net.",
        "loop CNAME loop2\n loop2 CNAME loop",
    );
    let trouble = draw.pick(&[0, 10, 40, 80, 100]);
    for server in SERVERS {
        let chance = Rc::clone(&chance);
        net.delay(server, draw.next() % 600);
        net.behave(server, move |request, zones| {
            misbehave(&mut chance.borrow_mut(), trouble, request, zones)
        });
    }
    drop(draw);
    (net, chance)
}

/// Plays one schedule; every assertion of the simulated internet holds at each step.
fn play(seed: u64) {
    let (mut net, chance) = random_net(seed);
    let mut tickets = Vec::new();
    for _ in 0..40 {
        let mut draw = chance.borrow_mut().clone();
        chance.borrow_mut().next();
        let qtype = draw.pick(&[
            RecordType::A,
            RecordType::AAAA,
            RecordType::TXT,
            RecordType::NS,
            RecordType::DS,
            RecordType::ANY,
            RecordType::CNAME,
        ]);
        let question = Question {
            dnssec_ok: draw.one_in(2),
            checking_disabled: draw.one_in(4),
            trace: draw.one_in(4),
            ..Question::new(name(draw.pick(&NAMES)), qtype)
        };
        tickets.push((net.now_ms, net.begin(question)));
        match draw.below(8) {
            0 => net.step(Input::Tick),
            1 => {
                // An input for an exchange that may or may not exist: the shell never sends it, but
                // a late packet does.
                let from = std::net::SocketAddr::new(address(ROOT), 53);
                net.step(Input::Reply {
                    exchange: 1_000_000,
                    from,
                    message: &[0; 40],
                });
            }
            2 => net.pass(draw.next() % 20_000),
            _ => net.pass(draw.next() % 300),
        }
        let statistics = net.resolver.statistics();
        assert!(statistics.tasks <= 16_384 && statistics.exchanges <= 8_192);
    }
    net.run();
    for (asked_ms, ticket) in tickets {
        let done_ms = net
            .done_at(ticket)
            .unwrap_or_else(|| panic!("seed {seed}: question {ticket}"));
        assert!(
            done_ms - asked_ms <= 5_000,
            "seed {seed}: question {ticket} took {} ms",
            done_ms - asked_ms
        );
        net.take(ticket);
    }
    // Each question pays for at most `sends_max` messages; so does each priming.
    assert!(
        net.log.len() <= 100 * 100,
        "seed {seed}: {} messages",
        net.log.len()
    );
}

/// Seeds of one run; `ITERATE_SEEDS=10000 cargo test` plays more.
fn seeds() -> u64 {
    std::env::var("ITERATE_SEEDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(300)
}

#[test]
fn every_question_is_answered_once_whatever_servers_and_network_do() {
    for seed in 0..seeds() {
        let result = std::panic::catch_unwind(|| play(seed));
        assert!(result.is_ok(), "the schedule of seed {seed} failed");
    }
}

#[test]
fn same_schedule_gives_the_same_messages() {
    for seed in [3, 14, 159] {
        let messages = || {
            let (mut net, _) = random_net(seed);
            for qname in NAMES {
                net.begin_plain(qname, RecordType::A);
            }
            net.run();
            net.log
                .iter()
                .map(|request| request.raw.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(messages(), messages(), "seed {seed}");
    }
}
