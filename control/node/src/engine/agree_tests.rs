//! Tests of what is looked up for other nodes and of what is forgotten, with a resolver that servers of the test
//! answer.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use consensus::NodeId;
use hickory_proto::op::{Message, MessageType, OpCode};
use hickory_proto::rr::rdata::{A, NS};
use hickory_proto::rr::{RData, Record, RecordType};
use resolver::iterate::{Config, Effect, QnameMinimisation};

use super::*;
use crate::agreement::Channel;
use crate::counters::Counters;
use crate::inquiries::Inquiries;

const ROOT: [u8; 4] = [198, 51, 100, 1];
const SERVER: [u8; 4] = [192, 0, 2, 53];

fn record(owner: &str, data: RData) -> Record {
    Record::from_rdata(Name::from_ascii(owner).unwrap(), 3_600, data)
}

fn address(owner: &str, address: [u8; 4]) -> Record {
    record(owner, RData::A(A(Ipv4Addr::from(address))))
}

/// The root delegates `example.`, whose server has an address for every name.
fn reply(server: IpAddr, query: &[u8]) -> Vec<u8> {
    let query = Message::from_vec(query).unwrap();
    let mut reply = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
    let question = query.queries[0].clone();
    if server == IpAddr::from(SERVER) {
        reply.metadata.authoritative = true;
        reply.add_answer(address(&question.name().to_ascii(), [203, 0, 113, 1]));
    } else {
        let host = NS(Name::from_ascii("ns.example.").unwrap());
        reply.add_authority(record("example.", RData::NS(host)));
        reply.add_additional(address("ns.example.", SERVER));
    }
    reply.add_query(question);
    reply.to_vec().unwrap()
}

struct Bench {
    engine: Engine,
    channel: Channel,
    _inbox: crate::front::Inbox,
}

impl Bench {
    fn new() -> Self {
        let counters = Arc::<Counters>::default();
        let (front, inbox) = crate::front::inbox(&counters).unwrap();
        let config = Config {
            root_hints: vec![(Name::root(), vec![ROOT.into()])],
            qname_minimisation: QnameMinimisation::Off,
            ..Config::default()
        };
        let (mut engine, _) = Engine::new(config, [7; 32], None, 1, front).unwrap();
        let channel = Channel::new(counters);
        engine.set_agreement(channel.handle.clone(), Duration::from_secs(2));
        Self {
            engine,
            channel,
            _inbox: inbox,
        }
    }

    /// Has this resolved, past the sockets.
    fn resolve(&mut self, question: &Question) -> Outcome {
        let now_ms = clock::now_ms();
        let (resolver, mut effects) = (&mut self.engine.resolver, Vec::new());
        let question = question.clone();
        resolver.step(
            now_ms,
            Input::Ask {
                ticket: 0,
                question,
            },
            &mut effects,
        );
        while let Some(effect) = effects.pop() {
            match effect {
                Effect::Send {
                    exchange,
                    server,
                    message,
                    ..
                } => {
                    let input = Input::Reply {
                        exchange,
                        from: server,
                        message: &reply(server.ip(), &message),
                    };
                    resolver.step(now_ms, input, &mut effects);
                }
                Effect::Done { outcome, .. } => return outcome,
                Effect::Cancel { .. } => {}
            }
        }
        panic!("there is no answer")
    }
}

fn question(name: &str) -> Question {
    Question::new(Name::from_ascii(name).unwrap(), RecordType::A)
}

fn inquiry(token: u64, question: &Question) -> Inquiry {
    Inquiry {
        token,
        proposer: NodeId(1),
        key: Key::of(question),
    }
}

#[tokio::test]
async fn what_is_in_the_cache_needs_no_room() {
    let mut bench = Bench::new();
    let (known, unknown) = (question("a.example."), question("b.example."));
    let outcome = bench.resolve(&known);
    bench.engine.inquiries = Inquiries::new(0);
    bench
        .engine
        .on_inquiries(vec![inquiry(1, &known), inquiry(2, &unknown)]);
    let all: Vec<_> = std::iter::from_fn(|| bench.channel.take_found())
        .map(|(token, found)| (token, found.answer))
        .collect();
    assert_eq!(all, [(1, Answer::of(&known, &outcome)), (2, None)]);
    assert!(all[0].1.is_some());
}

#[tokio::test]
async fn question_that_is_asked_again_and_again_takes_one_place() {
    let mut bench = Bench::new();
    let slow = question("a.example.");
    bench.engine.inquiries = Inquiries::new(2);
    for token in 0..15 {
        bench.engine.on_inquiries(vec![inquiry(token, &slow)]);
    }
    assert_eq!(bench.engine.resolver.statistics().tickets, 1);
    assert!(bench.channel.take_found().is_none());
}

#[tokio::test]
async fn refused_answer_is_forgotten_with_the_delegation_that_led_to_it() {
    let mut bench = Bench::new();
    let asked = question("a.example.");
    let outcome = bench.resolve(&asked);
    let key = Key::of(&asked);
    let answer = Answer::of(&asked, &outcome).unwrap();
    let proposal = Proposal {
        digest: answer.digest(&key),
        key,
        records: answer.encode().into(),
        ttl_secs: outcome.ttl_secs,
    };
    let known = |bench: &Bench, name: &str, rtype| {
        let name = Name::from_ascii(name).unwrap();
        let now_ms = clock::now_ms();
        bench
            .engine
            .resolver
            .known_records(now_ms, &name, rtype)
            .len()
    };
    let ways = [
        ("a.example.", RecordType::A),
        ("example.", RecordType::NS),
        ("ns.example.", RecordType::A),
    ];
    for (name, rtype) in ways {
        assert_eq!(known(&bench, name, rtype), 1, "{name}");
    }
    bench
        .engine
        .on_decided(vec![(Arc::new(proposal), Verdict::Refused)]);
    for (name, rtype) in ways {
        assert_eq!(known(&bench, name, rtype), 0, "{name}");
    }
}
