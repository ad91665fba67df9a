//! What a worker does with a batch, without a NIC and without a clock: hits, misses, errors, what
//! control sends, and what happens while control is silent.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use cache::{Cache, Hasher};
use config::Networks;
use exchange::{ControlSide, Region, RegionConfig, Reply, ReplyMeta};
use guard::{Cookies, Limits, Prefixes, Secrets};
use support::MemoryPort;
use worker::batch::{Desk, Situation, Sources};
use worker::clock::Now;
use worker::gate::Gate;
use worker::limiter::Limiter;
use worker::replies::Replies;
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
            allow: Networks::local(),
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

    /// At most `per_second` responses of a kind, and each `slip`-th of the others cut.
    fn with_response_limit(per_second: u32, slip: u32, exempt: &str) -> Self {
        let mut networks = Networks::default();
        networks.add(exempt).unwrap();
        let limits = Limits {
            per_second,
            slip,
            ..no_limit()
        };
        let mut bench = Self::new();
        let cookies = Some(Cookies::new(SECRETS));
        bench.desk.sources.gate = Gate::new(cookies, false, &limits, networks, 1);
        bench
    }

    fn with_cookies(cookies: Option<Cookies>, require: bool) -> Self {
        let mut bench = Self::new();
        bench.desk.sources.gate = Gate::new(cookies, require, &no_limit(), Networks::default(), 1);
        bench
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
    bench.port.ask("198.51.100.7:77", &asked);
    assert_eq!(bench.round(), vec![]);
    assert!(bench.punted().is_some());
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
    assert_eq!(rcode(&bench.ask(&with(2, 0x29))[0].1), 4, "opcode UPDATE");
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

#[test]
fn hits_misses_errors_and_fills_allocate_nothing() {
    use port::Port as _;
    let mut bench = Bench::new();
    bench.learn(&query(1, "www.example"), 300);
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
    for message in messages.into_iter().cycle().take(64) {
        bench.port.ask(CLIENT, message);
    }
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
    assert_eq!((tally.answers_cache, tally.errors_formerr), (32, 16));
    assert_eq!((tally.punts, tally.replies), (1 + 16, 2));
    assert_eq!(tally.cookies_invalid, 16);
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

/// The 24 bytes of the COOKIE option that ends a response, if one does.
fn cookie_of(response: &[u8]) -> Option<Vec<u8>> {
    let (rest, cookie) = response.split_last_chunk::<24>()?;
    rest.ends_with(b"\x00\x0a\x00\x18").then(|| cookie.to_vec())
}

/// A query for a cookie alone (RFC 7873 §5.4).
fn without_question() -> Vec<u8> {
    b"\x00\x09\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00".to_vec()
}

fn is_truncated(message: &[u8]) -> bool {
    message[2] & 2 != 0
}

#[test]
fn hit_with_a_client_cookie_carries_a_server_cookie_that_is_taken_and_renewed() {
    let mut bench = Bench::new();
    bench.learn(&query(1, "www.example"), 30_000);
    let asked = query(2, "www.example");
    let ask = |bench: &mut Bench, cookie: &[u8]| {
        let sent = bench.ask(&with_cookie(asked.clone(), cookie));
        assert_eq!(sent[0].1[7], 1, "the answer is there");
        cookie_of(&sent[0].1).unwrap()
    };
    let first = ask(&mut bench, b"client-c");
    assert_eq!(&first[..8], b"client-c");
    let tally = |bench: &Bench| {
        let tally = &bench.tally;
        (
            tally.cookies_client_only,
            tally.cookies_invalid,
            tally.cookies_valid,
        )
    };
    assert_eq!(ask(&mut bench, &first), first, "still young");
    assert_eq!(tally(&bench), (1, 0, 1));
    bench.pass(1_801);
    let second = ask(&mut bench, &first);
    assert_ne!(second, first);
    assert_eq!(tally(&bench), (1, 0, 2));
    bench.pass(1_801);
    let third = ask(&mut bench, &first);
    assert_eq!(tally(&bench), (1, 1, 2), "an hour old");
    assert_ne!(third, second);
    assert_eq!(bench.punted(), None);

    let plain = bench.ask(&with_options(query(2, "www.example"), b""));
    assert_eq!(cookie_of(&plain[0].1), None, "only to who asks for it");
}

#[test]
fn cookie_never_gets_into_what_is_kept() {
    let mut bench = Bench::new();
    let asked = with_cookie(query(1, "www.example"), b"client-a");
    assert_eq!(bench.ask(&asked), vec![]);
    let (headers, message) = bench.punted().unwrap();
    assert_eq!(message, asked);
    // As control answers it: with a cookie that is this client's alone.
    let answer = with_cookie(response(&query(1, "www.example"), 300), &[0x99; 24]);
    let meta = bench.meta(300, 1);
    let reply = Reply::Answer {
        headers: &headers,
        message: &answer,
        meta,
    };
    assert_eq!(bench.reply(&reply), vec![(4000, answer.clone())]);
    let sent = bench.ask(&with_options(query(2, "www.example"), b""));
    assert_eq!(
        sent[0].1[12..],
        with_options(response(&query(2, "www.example"), 300), b"")[12..]
    );
    let sent = bench.ask(&with_cookie(query(2, "www.example"), b"client-b"));
    assert!(cookie_of(&sent[0].1).unwrap().starts_with(b"client-b"));
}

#[test]
fn required_cookie_is_demanded_of_clients_that_know_cookies() {
    let mut bench = Bench::with_cookies(Some(Cookies::new(SECRETS)), true);
    bench.learn(&query(1, "www.example"), 300);
    for (name, cookie) in [
        ("www.example", b"client-c".as_slice()),
        ("www.example", &[1; 24]),
        ("unknown.example", b"client-c"),
    ] {
        let sent = bench.ask(&with_cookie(query(2, name), cookie));
        let message = &sent[0].1;
        assert_eq!((rcode(message), message[7]), (23 & 15, 0));
        // Extended code 1 in OPT: 23 is 0x17.
        let opt = message.len() - 28 - 11;
        assert_eq!(message[opt + 5], 1);
        let learned = cookie_of(message).unwrap();
        let sent = bench.ask(&with_cookie(query(2, "www.example"), &learned));
        assert_eq!((rcode(&sent[0].1), sent[0].1[7]), (0, 1));
    }
    assert_eq!(bench.tally.errors_badcookie, 3);
    assert_eq!(bench.punted(), None, "nothing is looked up for a forger");
    assert_eq!(
        bench.ask(&query(3, "www.example")).len(),
        1,
        "no COOKIE option"
    );
}

#[test]
fn query_for_a_cookie_alone_gets_one() {
    let mut bench = Bench::new();
    let sent = bench.ask(&with_cookie(without_question(), b"client-c"));
    let message = &sent[0].1;
    assert_eq!(
        message[..12],
        *b"\x00\x09\x81\x00\x00\x00\x00\x00\x00\x00\x00\x01"
    );
    let learned = cookie_of(message).unwrap();
    let sent = bench.ask(&with_cookie(without_question(), &learned));
    assert_eq!(
        (rcode(&sent[0].1), cookie_of(&sent[0].1)),
        (0, Some(learned))
    );
    let sent = bench.ask(&with_cookie(without_question(), &[1; 24]));
    assert_eq!(rcode(&sent[0].1), 23 & 15);
    let sent = bench.ask(&with_options(without_question(), b""));
    assert_eq!(rcode(&sent[0].1), 1, "no question and no cookie");
    let sent = bench.ask(&with_cookie(without_question(), &[1; 9]));
    assert_eq!(rcode(&sent[0].1), 1, "RFC 7873 §5.2.2");
    assert_eq!(
        (bench.tally.answers_cookie, bench.tally.errors_formerr),
        (3, 2)
    );
}

#[test]
fn cookies_that_are_turned_off_are_ignored() {
    let mut bench = Bench::with_cookies(None, false);
    bench.learn(&query(1, "www.example"), 300);
    let sent = bench.ask(&with_cookie(query(2, "www.example"), b"client-c"));
    assert_eq!((sent[0].1[7], cookie_of(&sent[0].1)), (1, None));
    let sent = bench.ask(&with_cookie(without_question(), b"client-c"));
    assert_eq!(rcode(&sent[0].1), 1);
    assert_eq!(bench.tally.cookies_client_only, 0);
}

#[test]
fn response_over_the_limit_is_dropped_or_cut() {
    let mut bench = Bench::with_response_limit(3, 2, "203.0.113.0/24");
    bench.learn(&query(1, "www.example"), 300);
    let ask = |bench: &mut Bench, client: &str| {
        for id in 0..9 {
            bench.port.ask(client, &query(id, "www.example"));
        }
        let sent = bench.round();
        let (cut, whole): (Vec<_>, Vec<_>) = sent.iter().partition(|(_, sent)| is_truncated(sent));
        for (_, message) in cut.iter() {
            let empty = &query(u16::from(message[1]), "www.example")[4..];
            assert_eq!(message[4..], *empty, "the question and nothing else");
        }
        (whole.len(), cut.len())
    };
    assert_eq!(ask(&mut bench, "198.51.100.7:4000"), (3, 3));
    assert_eq!(ask(&mut bench, "198.51.100.99:4000"), (0, 4), "one network");
    assert_eq!(ask(&mut bench, "198.51.101.7:4000"), (3, 3), "another");
    assert_eq!(ask(&mut bench, "203.0.113.5:4000"), (9, 0), "exempt");
    let tally = bench.tally;
    assert_eq!(
        (tally.answers_slipped, tally.drops_response_limited),
        (10, 11)
    );
    assert_eq!(tally.answers_cache, 15);
    bench.pass(1);
    assert_eq!(ask(&mut bench, "198.51.100.7:4000").0, 3, "a second later");
}

#[test]
fn valid_server_cookie_lifts_the_limit_and_no_other_does() {
    let mut bench = Bench::with_response_limit(1, 1, "203.0.113.0/24");
    bench.learn(&query(1, "www.example"), 300);
    let with = |cookie: &[u8]| with_cookie(query(2, "www.example"), cookie);
    let learned = cookie_of(&bench.ask(&with(b"client-c"))[0].1).unwrap();
    for _ in 0..5 {
        let sent = bench.ask(&with(b"client-c"));
        assert!(is_truncated(&sent[0].1));
        assert!(cookie_of(&sent[0].1).is_some(), "so that it can come back");
        assert!(is_truncated(&bench.ask(&with(&[1; 24]))[0].1));
        assert!(!is_truncated(&bench.ask(&with(&learned))[0].1));
    }
}

#[test]
fn errors_have_a_limit_of_their_own_and_are_not_cut() {
    let mut bench = Bench::with_response_limit(2, 2, "203.0.113.0/24");
    bench.learn(&query(1, "www.example"), 300);
    bench.control_alive = false;
    for id in 0..3 {
        bench.port.ask(CLIENT, &query(id, "unknown.example"));
        bench.port.ask(CLIENT, &query(id, "www.example")[..20]);
        bench.port.ask(CLIENT, &query(id, "www.example"));
    }
    // In a batch malformed queries come first: 2 FORMERR, the third and 2 of 3 SERVFAIL dropped.
    let sent = bench.round();
    let of = |code| sent.iter().filter(|(_, sent)| rcode(sent) == code).count();
    assert_eq!((of(1), of(2), of(0)), (2, 2, 2));
    assert!(sent.iter().all(|(_, sent)| !is_truncated(sent)));
    let tally = bench.tally;
    assert_eq!((tally.errors_formerr, tally.errors_servfail), (2, 0));
    assert_eq!(
        (tally.answers_slipped, tally.drops_response_limited),
        (2, 3)
    );
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
            let reply = match kind % 4 {
                0 => Reply::Answer {
                    headers,
                    message,
                    meta,
                },
                1 => Reply::AnswerUncached { headers, message },
                2 => Reply::Fill { message, meta },
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
