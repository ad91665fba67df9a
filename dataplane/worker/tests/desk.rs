//! What a worker does with a batch, without a NIC and without a clock: hits, misses, errors, what
//! control sends, and what happens while control is silent.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

#[path = "desk/extension.rs"]
mod extension;
#[path = "desk/gate.rs"]
mod gate;
#[path = "desk/mesh.rs"]
mod mesh;

use std::net::SocketAddr;

use cache::{Cache, Hasher};
use config::{Networks, SharedClients};
use exchange::{ControlSide, Region, RegionConfig, Reply, ReplyMeta, Transport};
use guard::{Cookies, Limits, Prefixes, Secrets};
use support::MemoryPort;
use worker::batch::{Desk, Situation, Sources};
use worker::clock::Now;
use worker::gate::Gate;
use worker::limiter::Limiter;
use worker::refresh::Refreshes;
use worker::replies::Replies;
use worker::samples::Samples;
use worker::tally::Tally;

const SECOND: u64 = 1_000_000_000;
const CLIENT: &str = "198.51.100.7:4000";
const STALE_SECS: u32 = 600;

struct Bench {
    desk: Desk,
    replies: Replies,
    port: MemoryPort,
    control: ControlSide,
    tally: Tally,
    now: Now,
    control_alive: bool,
}

const SECRETS: Secrets = Secrets {
    current: [7; 16],
    previous: None,
};
/// Unix time at the start of each test's clock.
const UNIX_SECS: u32 = 1_800_000_000;

fn no_limit() -> Limits {
    Limits {
        per_second: 0,
        slip: 0,
        prefixes: Prefixes {
            ipv4_bits: 24,
            ipv6_bits: 56,
        },
        table_entries: 1024,
    }
}

impl Bench {
    fn new() -> Self {
        Self::with_limit(0, 1, 64)
    }

    fn with_limit(rate: u32, burst: u32, punt_slots: u32) -> Self {
        let config = RegionConfig {
            workers: 1,
            punt_slots,
            reply_slots: 64,
            table_buckets: 64,
            zones_max: 8,
        };
        let region = Region::create(&config).unwrap();
        let control = region.attach_control().unwrap().control(0).unwrap();
        let side = region.worker(0).unwrap();
        let (k0, k1) = region.hash_keys();
        let mut cache = Cache::with_bytes(1 << 20);
        cache.set_stale_secs_max(STALE_SECS);
        let desk = Desk::new(Sources {
            refreshes: Refreshes::default(),
            samples: Samples::new(0),
            cache,
            hasher: Hasher::new(k0, k1),
            table: region.table(),
            generations: region.generations(),
            punts: side.punts,
            limiter: Limiter::new(rate, burst, 1),
            gate: Gate::new(
                Some(Cookies::new(SECRETS)),
                false,
                &no_limit(),
                Networks::default(),
                1,
            ),
            stale_secs_max: STALE_SECS,
            allow: SharedClients {
                allow: Networks::local(),
                views: ["10.9.0.0/16".parse().unwrap()].into_iter().collect(),
            },
        });
        Self {
            desk,
            replies: Replies::new(side.replies),
            port: MemoryPort::new(),
            control,
            tally: Tally::default(),
            now: Now {
                nanoseconds: 1000 * SECOND,
            },
            control_alive: true,
        }
    }

    fn situation(&self) -> Situation {
        Situation {
            now: self.now,
            unix_secs: UNIX_SECS + self.now.seconds() - 1000,
            control_alive: self.control_alive,
        }
    }

    /// One round of the worker; returns what it sent.
    fn round(&mut self) -> Vec<(u16, Vec<u8>)> {
        use port::Port as _;
        let count = self.port.receive().unwrap();
        let situation = self.situation();
        self.desk
            .answer(&mut self.port, count, situation, &mut self.tally);
        let _ = self.desk.sources.punts.publish();
        let sources = &mut self.desk.sources;
        self.replies.take(
            &mut self.port,
            &mut sources.cache,
            &sources.hasher,
            &mut self.tally,
        );
        self.port.flush().unwrap();
        std::mem::take(&mut self.port.outgoing)
    }

    fn ask(&mut self, query: &[u8]) -> Vec<(u16, Vec<u8>)> {
        self.port.ask(CLIENT, query);
        self.round()
    }

    /// What control sees next, as (headers, message).
    fn punted(&mut self) -> Option<(Vec<u8>, Vec<u8>)> {
        let punt = self.control.punts[0].pop()?.unwrap();
        Some((punt.headers.to_vec(), punt.message.to_vec()))
    }

    fn reply(&mut self, reply: &Reply<'_>) -> Vec<(u16, Vec<u8>)> {
        self.control.replies[0].push(reply).unwrap();
        let _ = self.control.replies[0].publish();
        self.round()
    }

    /// Asks, has control answer with a TTL, and expects the client to get that.
    fn learn(&mut self, query: &[u8], ttl: u32) {
        assert_eq!(self.ask(query), vec![]);
        let (headers, message) = self.punted().unwrap();
        let message = response(&message, ttl);
        let meta = self.meta(ttl, 1);
        let sent = self.reply(&Reply::Answer {
            headers: &headers,
            message: &message,
            meta,
        });
        assert_eq!(sent, vec![(4000, message)]);
    }

    fn meta(&self, ttl: u32, key_flags: u8) -> ReplyMeta {
        let stored_at = self.now.seconds();
        ReplyMeta {
            zone: 3,
            generation: 0,
            stored_at,
            ttl,
            key_flags,
        }
    }

    fn pass(&mut self, seconds: u64) {
        self.now.nanoseconds += seconds * SECOND;
    }
}

/// A query with RD for an A record.
fn query(id: u16, name: &str) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend(b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00");
    for label in name.split('.').filter(|label| !label.is_empty()) {
        message.push(u8::try_from(label.len()).unwrap());
        message.extend(label.as_bytes());
    }
    message.extend(b"\x00\x00\x01\x00\x01");
    message
}

/// The answer to such a query: one A record.
fn response(query: &[u8], ttl: u32) -> Vec<u8> {
    let mut message = query.to_vec();
    message[2] |= 0x84;
    message[7] = 1;
    message.extend(b"\xc0\x0c\x00\x01\x00\x01");
    message.extend(ttl.to_be_bytes());
    message.extend(b"\x00\x04\xc0\x00\x02\x63");
    message
}

/// TTL of the only record.
fn ttl(message: &[u8]) -> u32 {
    let at = message.len() - 10;
    u32::from_be_bytes(message[at..at + 4].try_into().unwrap())
}

fn rcode(message: &[u8]) -> u8 {
    message[3] & 15
}

#[test]
fn miss_goes_to_control_once_and_its_answer_to_the_client() {
    let mut bench = Bench::new();
    bench.learn(&query(1, "www.example"), 300);
    assert_eq!(bench.punted(), None);
    assert_eq!(bench.tally.punts, 1);
    assert_eq!(bench.tally.answers_control, 1);
}

#[test]
fn known_name_is_answered_with_the_clients_id_and_case_and_an_aged_ttl() {
    let mut bench = Bench::new();
    bench.learn(&query(1, "www.example"), 300);
    bench.pass(100);
    let sent = bench.ask(&query(0xbeef, "wWw.ExAmPlE"));
    assert_eq!(sent.len(), 1);
    let expected = response(&query(0xbeef, "wWw.ExAmPlE"), 200);
    assert_eq!(sent[0], (4000, expected));
    assert_eq!(bench.tally.answers_cache, 1);
    assert_eq!(bench.punted(), None);
}

#[test]
fn answer_of_another_type_or_flag_is_not_given() {
    let mut bench = Bench::new();
    bench.learn(&query(1, "www.example"), 300);
    let mut aaaa = query(2, "www.example");
    let at = aaaa.len() - 3;
    aaaa[at] = 28;
    assert_eq!(bench.ask(&aaaa), vec![]);
    let mut without_rd = query(3, "www.example");
    without_rd[2] = 0;
    assert_eq!(bench.ask(&without_rd), vec![]);
    assert_eq!(bench.tally.punts, 3);
}

#[test]
fn expired_name_goes_to_control_again() {
    let mut bench = Bench::new();
    bench.learn(&query(1, "www.example"), 300);
    bench.pass(300);
    assert_eq!(bench.ask(&query(2, "www.example")), vec![]);
    assert!(bench.punted().is_some());
}

#[test]
fn generation_bump_kills_every_older_answer_at_once() {
    let mut bench = Bench::new();
    bench.learn(&query(1, "www.example"), 300);
    bench.control.generations.bump(3).unwrap();
    assert_eq!(bench.ask(&query(2, "www.example")), vec![]);
    assert!(bench.punted().is_some());
}

#[test]
fn silent_control_means_stale_answers_for_known_names_and_servfail_for_others() {
    let mut bench = Bench::new();
    bench.learn(&query(1, "www.example"), 300);
    bench.pass(400);
    bench.control_alive = false;
    let sent = bench.ask(&query(2, "www.example"));
    assert_eq!(
        (rcode(&sent[0].1), ttl(&sent[0].1)),
        (0, 30),
        "RFC 8767: TTL 30"
    );
    assert_eq!(bench.tally.answers_stale, 1);
    let sent = bench.ask(&query(3, "other.example"));
    assert_eq!(rcode(&sent[0].1), 2);
    bench.pass(u64::from(STALE_SECS));
    let sent = bench.ask(&query(4, "www.example"));
    assert_eq!(rcode(&sent[0].1), 2, "stale answers end too");
    assert_eq!(bench.tally.errors_servfail, 2);
    assert_eq!(bench.punted(), None);
}

#[test]
fn fresh_answers_do_not_depend_on_control() {
    let mut bench = Bench::new();
    bench.learn(&query(1, "www.example"), 300);
    bench.control_alive = false;
    let sent = bench.ask(&query(2, "www.example"));
    assert_eq!(ttl(&sent[0].1), 300);
}

#[test]
fn answer_in_the_shared_table_is_given_and_remembered() {
    let mut bench = Bench::new();
    let asked = query(1, "shared.example");
    let message = response(&asked, 60);
    let parsed = wire::query::Query::parse(&asked).unwrap();
    let key = bench.desk.sources.hasher.key(&parsed);
    let meta = cache::EntryMeta {
        stored_at: 1000,
        ttl: 60,
        zone: 3,
        generation: 0,
    };
    let mut entry = [0; cache::ENTRY_BYTES_MAX];
    let length = cache::encode(&message, &key, &meta, &mut entry).unwrap();
    let entry = cache::Entry::parse(&entry[..length]).unwrap();
    bench.control.table.insert(&entry, 1000).unwrap();

    assert_eq!(bench.ask(&asked), vec![(4000, message.clone())]);
    assert_eq!(
        (bench.tally.answers_table, bench.tally.answers_cache),
        (1, 0)
    );
    assert_eq!(bench.ask(&asked), vec![(4000, message)]);
    assert_eq!(
        (bench.tally.answers_table, bench.tally.answers_cache),
        (1, 1)
    );
}

#[test]
fn resolved_data_are_given_to_allowed_clients_and_others_are_left_to_control() {
    let mut bench = Bench::new();
    let asked = query(1, "resolved.example");
    let message = response(&asked, 60);
    let meta = ReplyMeta {
        zone: 0,
        ..bench.meta(60, 1)
    };
    let fill = Reply::Fill {
        message: &message,
        meta,
    };
    bench.reply(&fill);
    bench.port.ask("10.1.2.3:77", &asked);
    assert_eq!(bench.round(), vec![(77, message)]);
    // The second is allowed, but in a view.
    for other in ["198.51.100.7:77", "10.9.2.3:77"] {
        bench.port.ask(other, &asked);
        assert_eq!(bench.round(), vec![]);
        assert!(bench.punted().is_some(), "{other}");
    }
    bench.pass(100);
    bench.control_alive = false;
    for (client, code) in [("10.1.2.3:77", 0), ("198.51.100.7:77", 2)] {
        bench.port.ask(client, &asked);
        assert_eq!(rcode(&bench.round()[0].1), code, "{client}, past the TTL");
    }
}

#[test]
fn uncached_answer_is_sent_and_forgotten() {
    let mut bench = Bench::new();
    let asked = query(1, "secret.example");
    assert_eq!(bench.ask(&asked), vec![]);
    let (headers, message) = bench.punted().unwrap();
    let message = response(&message, 60);
    let sent = bench.reply(&Reply::AnswerUncached {
        headers: &headers,
        message: &message,
    });
    assert_eq!(sent.len(), 1);
    assert_eq!(bench.ask(&asked), vec![]);
    assert_eq!(bench.tally.punts, 2);
}

#[test]
fn fill_is_remembered_and_flush_forgets_a_name_or_all_below() {
    let mut bench = Bench::new();
    for name in ["a.example", "b.example", "b.example.org"] {
        let message = response(&query(9, name), 60);
        let meta = bench.meta(60, 1);
        assert_eq!(
            bench.reply(&Reply::Fill {
                message: &message,
                meta
            }),
            vec![]
        );
        assert_eq!(bench.ask(&query(1, name)).len(), 1, "{name}");
    }
    bench.reply(&Reply::Flush {
        qname: b"\x01a\x07example\0",
        subtree: false,
    });
    assert_eq!(bench.ask(&query(1, "a.example")).len(), 0);
    assert_eq!(bench.ask(&query(1, "b.example")).len(), 1);
    bench.reply(&Reply::Flush {
        qname: b"\x07example\0",
        subtree: true,
    });
    assert_eq!(bench.ask(&query(1, "b.example")).len(), 0);
    assert_eq!(bench.ask(&query(1, "b.example.org")).len(), 1);
}

#[test]
fn malformed_queries_get_their_rcode_and_responses_get_silence() {
    let mut bench = Bench::new();
    let good = query(7, "www.example");
    let with = |at: usize, value: u8| {
        let mut message = good.clone();
        message[at] = value;
        message
    };
    assert_eq!(bench.ask(&with(2, 0x81)), vec![], "QR=1");
    assert_eq!(bench.ask(&good[..11]), vec![], "no whole header");
    assert_eq!(rcode(&bench.ask(&with(2, 0x11))[0].1), 4, "opcode STATUS");
    assert_eq!(
        rcode(&bench.ask(&with(5, 2))[0].1),
        1,
        "two questions (RFC 9619)"
    );
    assert_eq!(
        rcode(&bench.ask(&with(12, 0xc0))[0].1),
        1,
        "compressed question"
    );
    let mut trailing = good.clone();
    trailing.push(0);
    assert_eq!(
        rcode(&bench.ask(&trailing)[0].1),
        1,
        "bytes after the last record"
    );
    let tally = bench.tally;
    assert_eq!((tally.drops_response, tally.drops_short), (1, 1));
    assert_eq!((tally.errors_notimp, tally.errors_formerr), (1, 3));
    assert_eq!(bench.punted(), None);
}

#[test]
fn a_notify_or_an_update_goes_to_control_and_is_not_implemented_without() {
    // OPCODE 4 and AA (RFC 1996), OPCODE 5 (RFC 2136).
    for flags in [0x24, 0x28] {
        let mut bench = Bench::new();
        let mut message = query(7, "rpz.example");
        message[2] = flags;
        assert_eq!(bench.ask(&message), vec![]);
        assert_eq!(bench.punted().unwrap().1, message);
        bench.control_alive = false;
        assert_eq!(rcode(&bench.ask(&message)[0].1), 4);
        assert_eq!(bench.punted(), None);
        assert_eq!((bench.tally.punts, bench.tally.errors_notimp), (1, 1));
    }
}

#[test]
fn signed_query_is_never_answered_from_a_cache() {
    let mut bench = Bench::new();
    bench.learn(&query(1, "www.example"), 300);
    let mut signed = query(2, "www.example");
    signed[11] = 1;
    signed.extend(b"\x00\x00\xfa\x00\xff\x00\x00\x00\x00\x00\x00"); // TSIG, empty.
    assert_eq!(bench.ask(&signed), vec![]);
    assert!(bench.punted().is_some());
}

#[test]
fn full_ring_drops_and_counts_and_a_limited_client_does_not_take_it_all() {
    let mut bench = Bench::with_limit(0, 1, 4);
    for id in 0..10 {
        bench.port.ask(CLIENT, &query(id, "x.example"));
    }
    bench.round();
    assert_eq!((bench.tally.punts, bench.tally.drops_punt_full), (4, 6));

    let mut bench = Bench::with_limit(1, 3, 64);
    for id in 0..10 {
        bench.port.ask(CLIENT, &query(id, "x.example"));
    }
    bench.port.ask("203.0.113.9:53", &query(1, "y.example"));
    bench.round();
    assert_eq!((bench.tally.punts, bench.tally.drops_punt_limited), (4, 7));
}

#[test]
fn message_too_long_for_a_punt_is_dropped_and_counted() {
    let mut bench = Bench::new();
    let mut long = query(1, "www.example");
    long[11] = 1;
    long.extend(b"\x00\x00\x29\x10\x00\x00\x00\x00\x00");
    let padding = 3000_u16;
    long.extend((padding + 4).to_be_bytes());
    long.extend(b"\x00\x0c");
    long.extend(padding.to_be_bytes());
    long.extend(vec![0; usize::from(padding)]);
    assert_eq!(bench.ask(&long), vec![]);
    assert_eq!(bench.tally.drops_oversize, 1);
    assert_eq!(bench.punted(), None);
}

#[test]
fn replies_that_make_no_sense_are_counted_and_do_no_harm() {
    let mut bench = Bench::new();
    let message = response(&query(1, "www.example"), 60);
    let meta = bench.meta(60, 1);
    let sent = bench.reply(&Reply::Answer {
        headers: b"wrong",
        message: &message,
        meta,
    });
    assert_eq!(sent, vec![]);
    bench.reply(&Reply::Fill {
        message: &message[..20],
        meta,
    });
    bench.port.frames = 0;
    bench.reply(&Reply::AnswerUncached {
        headers: b"\x0f\xa0",
        message: &message,
    });
    assert_eq!(bench.tally.drops_reply_invalid, 2);
    assert_eq!(bench.tally.drops_tx_full, 1);
}

/// Resolved data, for whom all may ask here.
fn fill(bench: &mut Bench, zone: u32, ttl: u32) -> Vec<u8> {
    let asked = query(1, "resolved.example");
    let meta = ReplyMeta {
        zone,
        ..bench.meta(ttl, 1)
    };
    let message = response(&asked, ttl);
    bench.reply(&Reply::Fill {
        message: &message,
        meta,
    });
    asked
}

/// Asks as a client that may have resolved data; it must be answered. Gives the copy that control
/// got, if it did.
fn hit(bench: &mut Bench, asked: &[u8]) -> Option<Vec<u8>> {
    bench.port.ask("10.1.2.3:77", asked);
    assert_eq!(bench.round().len(), 1);
    let punt = bench.control.punts[0].pop()?.unwrap();
    assert_eq!(
        (punt.transport, punt.headers),
        (Transport::Refresh, &[][..])
    );
    Some(punt.message.to_vec())
}

#[test]
fn control_hears_once_of_an_answer_in_use_that_will_soon_expire() {
    let mut bench = Bench::new();
    let asked = fill(&mut bench, 0, 100);
    bench.pass(90);
    assert_eq!(hit(&mut bench, &asked), None, "ten seconds are left");
    bench.pass(1);
    assert_eq!(hit(&mut bench, &asked), Some(asked.clone()));
    bench.pass(1);
    assert_eq!(hit(&mut bench, &asked), None, "once");
    assert_eq!((bench.tally.punts, bench.tally.answers_cache), (0, 3));
    let asked = fill(&mut bench, 0, 100);
    bench.pass(95);
    assert!(
        hit(&mut bench, &asked).is_some(),
        "its successor is another"
    );
}

/// What control sees next for the query log.
fn logged(bench: &mut Bench) -> Option<(Transport, SocketAddr, Vec<u8>)> {
    let punt = bench.control.punts[0].pop()?.unwrap();
    Some((punt.transport, punt.client, punt.message.to_vec()))
}

#[test]
fn one_answered_query_in_so_many_is_reported_with_its_response() {
    let mut bench = Bench::new();
    let question = query(1, "www.example.");
    bench.learn(&question, 300);
    bench.desk.sources.samples = Samples::new(3);
    for _ in 0..2 {
        bench.ask(&question);
        assert_eq!(logged(&mut bench), None);
    }
    let sent = bench.ask(&question);
    let client = CLIENT.parse().unwrap();
    let expected = [
        (Transport::AnsweredQuery, client, question.clone()),
        (Transport::Response, client, sent[0].1.clone()),
    ];
    assert_eq!([logged(&mut bench), logged(&mut bench)], expected.map(Some));
    assert_eq!(logged(&mut bench), None);
    assert_eq!((bench.tally.answers_cache, bench.tally.punts), (3, 1));
}

#[test]
fn samples_are_bounded_in_time_and_not_kept_for_a_control_that_is_away() {
    let mut bench = Bench::new();
    let question = query(1, "www.example.");
    bench.learn(&question, 300);
    bench.desk.sources.samples = Samples::new(1);
    for _ in 0..10 {
        bench.port.ask(CLIENT, &question);
    }
    assert_eq!(bench.round().len(), 10);
    let count = std::iter::from_fn(|| logged(&mut bench)).count();
    assert_eq!((count, bench.tally.samples_dropped), (2 * 8, 2));
    bench.pass(1);
    bench.control_alive = false;
    assert_eq!(bench.ask(&question).len(), 1);
    assert_eq!((logged(&mut bench), bench.tally.samples_dropped), (None, 3));
}

#[test]
fn control_does_not_hear_of_zones_and_short_lives_nor_when_it_is_away() {
    let mut bench = Bench::new();
    let asked = fill(&mut bench, 3, 100);
    bench.pass(95);
    assert_eq!(
        hit(&mut bench, &asked),
        None,
        "zones do not expire upstream"
    );
    let asked = fill(&mut bench, 0, 9);
    bench.pass(8);
    assert_eq!(hit(&mut bench, &asked), None);
    let asked = fill(&mut bench, 0, 100);
    bench.pass(95);
    bench.control_alive = false;
    assert_eq!(hit(&mut bench, &asked), None);
}

#[test]
fn hits_misses_errors_and_fills_allocate_nothing() {
    use port::Port as _;
    let mut bench = Bench::new();
    bench.learn(&query(1, "www.example"), 300);
    let expiring = fill(&mut bench, 0, 100);
    bench.pass(95);
    let (known, unknown) = (query(2, "www.example"), query(3, "other.example"));
    let malformed = &known[..known.len() - 1];
    let limits = Limits {
        per_second: 1_000,
        ..no_limit()
    };
    let cookies = Some(Cookies::new(SECRETS));
    bench.desk.sources.gate = Gate::new(cookies, false, &limits, Networks::default(), 1);
    let with_cookie = with_cookie(query(2, "www.example"), &[7; 24]);
    let messages = [&known, &unknown, malformed, with_cookie.as_slice()];
    bench.port.ask("10.1.2.3:77", &expiring);
    for message in messages.into_iter().cycle().take(62) {
        bench.port.ask(CLIENT, message);
    }
    bench.port.ask("192.0.2.7:4853", b"from another node");
    let fill = Reply::Fill {
        message: &response(&unknown, 60),
        meta: bench.meta(60, 1),
    };
    bench.control.replies[0].push(&fill).unwrap();
    let _ = bench.control.replies[0].publish();
    let count = bench.port.receive().unwrap();
    let situation = bench.situation();
    let allocations = allocation_counter::measure(|| {
        let (desk, tally) = (&mut bench.desk, &mut bench.tally);
        desk.answer(&mut bench.port, count, situation, tally);
        let sources = &mut desk.sources;
        let _ = sources.punts.publish();
        let (cache, hasher) = (&mut sources.cache, &sources.hasher);
        bench.replies.take(&mut bench.port, cache, hasher, tally);
    });
    assert_eq!(allocations.count_total, 0);
    let tally = bench.tally;
    assert_eq!((tally.answers_cache, tally.errors_formerr), (1 + 31, 15));
    assert_eq!((tally.punts, tally.replies), (1 + 16, 3));
    assert_eq!((tally.cookies_invalid, tally.mesh_received), (15, 1));
    let mut next = || bench.control.punts[0].pop().unwrap().unwrap().transport;
    assert_eq!([next(), next()], [Transport::Mesh, Transport::Refresh]);
}

/// The message with an OPT record of these options.
fn with_options(mut message: Vec<u8>, options: &[u8]) -> Vec<u8> {
    message[11] = 1;
    message.extend(b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00");
    message.extend(u16::try_from(options.len()).unwrap().to_be_bytes());
    message.extend(options);
    message
}

fn with_cookie(message: Vec<u8>, cookie: &[u8]) -> Vec<u8> {
    let mut option = b"\x00\x0a\x00".to_vec();
    option.push(u8::try_from(cookie.len()).unwrap());
    option.extend(cookie);
    with_options(message, &option)
}

#[test]
fn clients_with_other_cookies_and_padding_share_one_answer() {
    let mut bench = Bench::new();
    bench.learn(&query(1, "www.example"), 300);
    let cookies = [
        b"\x00\x0a\x00\x08cookie-1".as_slice(),
        b"\x00\x0a\x00\x08cookie-2\x00\x0c\x00\x04\0\0\0\0",
        b"",
    ];
    let padded = with_options(query(9, "www.example"), b"\x00\x0c\x00\x04\0\0\0\0");
    let plain = with_options(query(9, "www.example"), b"");
    assert_eq!(
        bench.ask(&padded),
        bench.ask(&plain),
        "never padded (RFC 7830 §6)"
    );
    for (id, options) in (2..).zip(cookies) {
        assert_eq!(
            bench
                .ask(&with_options(query(id, "www.example"), options))
                .len(),
            1
        );
    }
    assert_eq!(bench.tally.answers_cache, 2 + 3);
    assert_eq!(bench.punted(), None);
}

#[test]
fn arbitrary_replies_from_control_never_panic() {
    bolero::check!()
        .with_iterations(5_000)
        .with_type::<(Vec<u8>, Vec<u8>, ([u32; 4], u8), u8)>()
        .for_each(|(headers, message, (numbers, key_flags), kind)| {
            let mut bench = Bench::new();
            let [zone, generation, stored_at, ttl] = *numbers;
            let meta = ReplyMeta {
                zone,
                generation,
                stored_at,
                ttl,
                key_flags: *key_flags,
            };
            let reply = match kind % 5 {
                0 => Reply::Answer {
                    headers,
                    message,
                    meta,
                },
                1 => Reply::AnswerUncached { headers, message },
                2 => Reply::Fill { message, meta },
                3 => Reply::Mesh { headers, message },
                _ => Reply::Flush {
                    qname: message,
                    subtree: headers.is_empty(),
                },
            };
            // What the ring itself refuses never comes here.
            if bench.control.replies[0].push(&reply).is_ok() {
                let _ = bench.control.replies[0].publish();
                bench.round();
                bench.ask(&query(1, "www.example"));
            }
        });
}

#[test]
fn arbitrary_messages_never_panic_and_never_amplify_a_response() {
    bolero::check!()
        .with_iterations(2_000)
        .with_type::<Vec<Vec<u8>>>()
        .for_each(|messages| {
            let mut bench = Bench::new();
            bench.control_alive = false;
            for message in messages {
                bench.port.ask(CLIENT, message);
            }
            let sent = bench.round();
            let responses = messages
                .iter()
                .take(64)
                .filter(|m| m.get(2).is_some_and(|b| b & 0x80 != 0));
            assert!(sent.len() + responses.count() <= messages.len().min(64));
        });
}
