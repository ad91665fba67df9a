//! Servers that send garbage: no panic, bounded work, and an answer for every client.

use std::net::SocketAddr;

use bolero::TypeGenerator;
use hickory_proto::op::{Message, MessageType, OpCode};
use hickory_proto::rr::{Name, Record, RecordType};
use resolver::iterate::{Config, Outcome, Question};

use crate::authority::{name, opaque, respond, wire};
use crate::net::{Action, EXAMPLE_NET, Net, Request, config};

/// Queries that one question about `example.net.` may cost, however its server behaves; the way
/// there takes a few more.
const QUERIES_MAX: usize = 100 + 4;

/// Everything that the node does with an outcome must work too.
fn use_outcome(outcome: &Outcome) {
    let mut message = Message::new(1, MessageType::Response, OpCode::Query);
    message.answers.clone_from(&outcome.answers);
    message.authorities.clone_from(&outcome.authority);
    let _ = message.to_vec();
    for record in outcome.answers.iter().chain(&outcome.authority) {
        assert!(!record.to_string().is_empty());
    }
}

/// Asks several questions whose server is scripted, and checks what they cost.
fn survive(server: impl FnMut(&Request) -> Vec<u8> + 'static, qtypes: &[RecordType]) {
    let mut net = Net::small(Config {
        cache_bytes_max: 50_000,
        ..config()
    });
    let mut server = server;
    net.behave(EXAMPLE_NET, move |request, _| Action::Raw(server(request)));
    for &qtype in qtypes {
        let before = net.log.len();
        let question = Question {
            dnssec_ok: true,
            ..Question::new(name("www.example.net."), qtype)
        };
        use_outcome(&net.ask_question(question));
        let cost = net.log.len() - before;
        assert!(cost <= QUERIES_MAX, "{cost} queries");
        assert!(net.resolver.statistics().cache_bytes <= 50_000);
    }
}

/// The header and question of a reply, with flags and counts from outside, then a tail.
fn with_tail(request: &Request, flags: u8, rcode: u8, counts: [u8; 3], tail: &[u8]) -> Vec<u8> {
    let mut bytes = request.raw[..2].to_vec();
    bytes.extend_from_slice(&[0x80 | flags & 0x07, rcode & 0x8f, 0, 1]);
    counts
        .iter()
        .for_each(|count| bytes.extend_from_slice(&[0, count / 86]));
    let question_end = 12 + wire(request.message.queries[0].name()).len() + 4;
    bytes.extend_from_slice(&request.raw[12..question_end]);
    bytes.extend_from_slice(tail);
    bytes
}

#[test]
fn arbitrary_bytes_after_a_right_question_are_survived() {
    bolero::check!()
        .with_type::<(u8, u8, [u8; 3], Vec<u8>)>()
        .with_iterations(500)
        .for_each(|(flags, rcode, counts, tail)| {
            let (flags, rcode, counts, tail) = (*flags, *rcode, *counts, tail.clone());
            survive(
                move |request| with_tail(request, flags, rcode, counts, &tail),
                &[RecordType::A, RecordType::NS],
            );
        });
}

#[test]
fn arbitrary_messages_are_survived() {
    bolero::check!()
        .with_iterations(500)
        .for_each(|message: &[u8]| {
            let message = message.to_vec();
            survive(move |_| message.clone(), &[RecordType::A]);
        });
}

#[test]
fn damaged_replies_are_survived() {
    bolero::check!()
        .with_type::<([(u16, u8); 2], u16)>()
        .with_iterations(500)
        .for_each(|(damage, length)| {
            let (damage, length) = (*damage, usize::from(*length));
            let mut zone = crate::authority::Zone::new("example.net.");
            zone.add(
                "@ NS ns1
                 ns1 A 192.0.2.50
                 www CNAME mail
                 mail MX 10 mx.example.net.
                 mail A 203.0.113.80
                 mail TXT \"some text\"
                 mail SRV 1 2 3 srv.example.net.",
            );
            let reply = move |request: &Request| {
                let mut bytes = respond(std::slice::from_ref(&zone), &request.message)
                    .to_vec()
                    .unwrap();
                // The id and the question stay, or nobody would look further.
                let fixed = 12 + wire(request.message.queries[0].name()).len() + 4;
                for (at, value) in &damage {
                    let at = fixed + usize::from(*at) % (bytes.len() - fixed).max(1);
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte = *value;
                    }
                }
                if length % 8 == 0 {
                    bytes.truncate(bytes.len().saturating_sub(length % 61));
                }
                bytes
            };
            survive(
                reply,
                &[
                    RecordType::A,
                    RecordType::MX,
                    RecordType::TXT,
                    RecordType::SRV,
                ],
            );
        });
}

/// A record as an attacker would choose it.
#[derive(Clone, Debug, TypeGenerator)]
struct Chosen {
    section: u8,
    owner: u8,
    rtype: u8,
    ttl: u32,
    target: u8,
    bytes: Vec<u8>,
}

const NAMES: [&str; 10] = [
    "www.example.net.",
    "example.net.",
    "net.",
    ".",
    "ns1.example.net.",
    "a.www.example.net.",
    "www.example.com.",
    "evil.example.net.",
    "ns1.example.com.",
    "_._.example.net.",
];

const TYPES: [u16; 27] = [
    1, 2, 5, 6, 12, 13, 15, 16, 17, 28, 33, 35, 37, 39, 43, 44, 46, 47, 48, 50, 52, 53, 61, 62, 64,
    65, 257,
];

impl Chosen {
    /// Half of them are about the question, so that the resolver looks further.
    fn record(&self, request: &Request) -> Record {
        let table = TYPES[usize::from(self.rtype) % TYPES.len()];
        let rtype = if self.rtype < 128 {
            u16::from(request.qtype)
        } else {
            table
        };
        let owner = if self.owner < 128 {
            request.qname.as_str()
        } else {
            NAMES[usize::from(self.owner) % NAMES.len()]
        };
        let target = wire(&name(NAMES[usize::from(self.target) % NAMES.len()]));
        let some: Vec<u8> = self.bytes.iter().copied().take(100).collect();
        let string = [vec![u8::try_from(some.len()).unwrap()], some.clone()].concat();
        let padded = |length: usize| [some.clone(), vec![0; length]].concat()[..length].to_vec();
        let bytes = match rtype {
            1 => [192, 0, 2, self.target % 8 + 46].to_vec(),
            2 | 5 | 12 | 39 => target,
            6 => [target.clone(), target, padded(20)].concat(),
            13 => [string.clone(), string].concat(),
            15 => [vec![0, 1], target].concat(),
            16 => string,
            17 => [target.clone(), target].concat(),
            28 => padded(16),
            33 => [vec![0; 6], target].concat(),
            35 => [vec![0; 4], string.clone(), string.clone(), string, target].concat(),
            46 => [u16::from(request.qtype).to_be_bytes().to_vec(), padded(30)].concat(),
            _ => [vec![0], some].concat(),
        };
        Record::from_rdata(
            name(owner),
            self.ttl % 100_000,
            opaque(RecordType::from(rtype), bytes),
        )
    }
}

#[test]
fn replies_of_well_formed_nonsense_are_survived() {
    let flags = |message: &mut Message, bits: u8| {
        message.metadata.authoritative = bits & 0x31 != 0;
        message.metadata.truncation = bits & 2 != 0 && bits & 64 != 0;
        message.metadata.response_code = if bits & 12 == 12 { 3.into() } else { 0.into() };
    };
    bolero::check!()
        .with_type::<(Vec<Chosen>, u8)>()
        .with_iterations(800)
        .for_each(|(chosen, bits)| {
            let (chosen, bits) = (chosen.clone(), *bits);
            let reply = move |request: &Request| {
                let mut message = respond(&[], &request.message);
                flags(&mut message, bits);
                for chosen in chosen.iter().take(8) {
                    match chosen.section % 4 {
                        0 | 3 => message.answers.push(chosen.record(request)),
                        1 => message.authorities.push(chosen.record(request)),
                        _ => message.additionals.push(chosen.record(request)),
                    }
                }
                message.to_vec().unwrap_or_default()
            };
            let qtypes = [1, 2, 5, 16, 35, 46, 65, 255].map(RecordType::from);
            survive(reply, &qtypes);
        });
}

#[test]
fn every_type_with_arbitrary_data_can_be_answered() {
    bolero::check!()
        .with_type::<(u16, Vec<u8>)>()
        .with_iterations(800)
        .for_each(|(rtype, bytes)| {
            let known = TYPES[usize::from(*rtype) % TYPES.len()];
            let rtype = if *rtype & 1 == 0 { known } else { *rtype >> 1 };
            let bytes: Vec<u8> = bytes.iter().copied().take(600).collect();
            let reply = move |request: &Request| {
                let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
                let mut tail = vec![0xc0, 12];
                tail.extend_from_slice(&rtype.to_be_bytes());
                tail.extend_from_slice(&[0, 1, 0, 0, 1, 0, length[0], length[1]]);
                tail.extend_from_slice(&bytes);
                with_tail(request, 4, 0, [1, 0, 0], &tail)
            };
            survive(reply, &[RecordType::from(rtype)]);
        });
}

#[test]
fn names_that_point_in_circles_are_survived() {
    for target in 0..64_u8 {
        survive(
            move |request| {
                let tail = [0xc0, target, 0, 1, 0, 1, 0, 0, 1, 0, 0, 4, 1, 2, 3, 4];
                with_tail(request, 4, 0, [1, 0, 0], &tail)
            },
            &[RecordType::A],
        );
    }
}

#[test]
fn message_of_the_largest_size_is_read_in_full() {
    let mut net = Net::new();
    net.behave(EXAMPLE_NET, |request, _| {
        let mut bytes = with_tail(request, 4, 0, [0; 3], &[]);
        // 4,000 additional records of two dozen names, each pointing at the question.
        let count = 4_000_u16;
        bytes[10..12].copy_from_slice(&count.to_be_bytes());
        for number in 0..count {
            let [high, low] = number.to_be_bytes();
            bytes.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 0, 0, 4, 192, 0, high, low]);
        }
        Action::Raw(bytes)
    });
    use_outcome(&net.ask("www.example.net.", RecordType::A));
}

#[test]
fn source_address_of_a_mapped_kind_is_the_same_server() {
    let mut net = Net::new();
    let mapped: SocketAddr = "[::ffff:192.0.2.50]:53".parse().unwrap();
    net.behave(EXAMPLE_NET, move |request, zones| {
        Action::Many(vec![(
            mapped,
            respond(zones, &request.message).to_vec().unwrap(),
        )])
    });
    assert_eq!(net.ask("www.example.net.", RecordType::A).answers.len(), 1);
    assert_eq!(Name::root(), name("."));
}
