//! Cookies and the limit on responses.

use config::Networks;
use exchange::Reply;
use guard::{Cookies, Limits};
use worker::gate::Gate;

use super::{Bench, CLIENT, SECRETS, no_limit, query, rcode, response, with_cookie, with_options};

impl Bench {
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
