//! Clients do not wait long for servers while there is an answer past its TTL (RFC 8767 §5).

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType::A;
use resolver::iterate::{Config, Question, extended_error};

use crate::authority::name;
use crate::net::{EXAMPLE_NET, Net, addresses, code, config};
use crate::validation;

const HOST: &str = "www.example.net.";

/// Sooner than all attempts to ask one server have failed.
fn timed() -> Config {
    Config {
        stale_client_timeout_ms: 1_000,
        ..config()
    }
}

/// An hour has passed since the name was cached, and its server takes so long to answer.
fn slow(config: Config, delay_ms: u64) -> Net {
    let mut net = Net::with(config);
    net.ask(HOST, A);
    net.pass(3_601_000);
    net.edit(EXAMPLE_NET, "example.net.", |zone| {
        zone.remove(HOST, A);
        zone.add("www 3600 A 203.0.113.81");
    });
    net.delay(EXAMPLE_NET, delay_ms);
    net
}

#[test]
fn stale_answer_comes_after_the_client_timer_and_the_cache_is_refreshed_beside() {
    let early = Config {
        stale_client_timeout_ms: 300,
        ..config()
    };
    let mut net = slow(early, 1_300);
    let asked_ms = net.now_ms;
    let ticket = net.begin_plain(HOST, A);
    net.pass(299);
    assert_eq!(net.done_at(ticket), None);
    net.pass(1);
    assert_eq!(net.done_at(ticket), Some(asked_ms + 300));
    let outcome = net.take(ticket);
    assert!(outcome.stale);
    assert_eq!(addresses(&outcome), ["203.0.113.80"]);
    assert_eq!(code(&outcome), Some(extended_error::STALE_ANSWER));
    assert_eq!(
        (outcome.ttl_secs, outcome.answers[0].ttl),
        (30, 30),
        "for workers too"
    );
    assert_eq!(net.resolver.statistics().tasks, 1, "it goes on");
    net.delay(EXAMPLE_NET, 10);
    net.run();
    let before = net.log.len();
    let outcome = net.ask(HOST, A);
    assert_eq!(
        (addresses(&outcome), net.log.len()),
        (vec!["203.0.113.81".to_owned()], before)
    );
}

#[test]
fn who_comes_later_does_not_wait_for_the_whole_timer_again() {
    let mut net = slow(timed(), 100_000);
    let first = net.begin_plain(HOST, A);
    net.pass(700);
    let second = net.begin_plain(HOST, A);
    net.pass(300);
    assert_eq!(net.done_at(first), Some(net.now_ms));
    assert_eq!(net.done_at(second), Some(net.now_ms));
    let third = net.begin_plain(HOST, A);
    assert_eq!(net.done_at(third), Some(net.now_ms), "at once");
    net.run();
    for ticket in [first, second, third] {
        assert!(net.take(ticket).stale);
    }
    assert_eq!(net.resolver.statistics().tickets, 0);
}

#[test]
fn fast_servers_are_waited_for() {
    let mut net = slow(config(), 200);
    let outcome = net.ask(HOST, A);
    assert!(!outcome.stale);
    assert_eq!(addresses(&outcome), ["203.0.113.81"]);
    assert_eq!(
        net.resolver.next_deadline(),
        None,
        "no timer is left behind"
    );
}

#[test]
fn without_the_timer_or_stale_data_clients_wait_to_the_end() {
    let off = Config {
        stale_client_timeout_ms: 0,
        ..config()
    };
    let mut net = slow(off, 100_000);
    let ticket = net.begin_plain(HOST, A);
    let asked_ms = net.now_ms;
    net.run();
    assert!(
        net.done_at(ticket)
            .is_some_and(|at_ms| at_ms > asked_ms + 1_000)
    );
    assert!(net.take(ticket).stale);

    let mut net = slow(timed(), 100_000);
    let ticket = net.begin_plain("other.example.net.", A);
    net.pass(1_100);
    assert_eq!(net.done_at(ticket), None);
    net.run();
    assert_eq!(net.take(ticket).rcode, ResponseCode::ServFail);
}

#[test]
fn denials_past_their_ttl_are_given_too() {
    let mut net = Net::with(timed());
    net.ask("nothing.example.net.", A);
    net.pass(4_000_000);
    net.delay(EXAMPLE_NET, 100_000);
    let ticket = net.begin_plain("nothing.example.net.", A);
    net.pass(1_000);
    let outcome = net.take(ticket);
    assert_eq!(
        (outcome.rcode, code(&outcome)),
        (ResponseCode::NXDomain, Some(extended_error::STALE_NXDOMAIN))
    );
    net.run();
}

#[test]
fn failing_servers_are_left_alone_for_half_a_minute() {
    let mut net = slow(config(), 10);
    net.refuse(EXAMPLE_NET, ResponseCode::ServFail);
    assert!(net.ask(HOST, A).stale);
    let before = net.log.len();
    net.pass(29_000);
    assert!(net.ask(HOST, A).stale);
    assert_eq!(net.log.len(), before);
    net.heal(EXAMPLE_NET);
    net.pass(2_000);
    assert!(!net.ask(HOST, A).stale);
}

#[test]
fn time_and_ttl_of_stale_answers_are_as_configured() {
    let chosen = Config {
        stale_client_timeout_ms: 300,
        stale_ttl_secs: 7,
        ..config()
    };
    let mut net = slow(chosen, 100_000);
    let ticket = net.begin_plain(HOST, A);
    net.pass(300);
    let outcome = net.take(ticket);
    assert_eq!((outcome.ttl_secs, outcome.answers[0].ttl), (7, 7));
    net.run();
}

#[test]
fn a_trace_that_was_asked_for_comes_with_it() {
    let mut net = slow(timed(), 100_000);
    let ticket = net.begin(Question {
        trace: true,
        ..Question::new(name(HOST), A)
    });
    net.pass(1_000);
    assert!(
        net.take(ticket)
            .trace
            .is_some_and(|events| !events.is_empty())
    );
    net.run();
}

#[test]
fn unproven_data_past_their_ttl_are_not_given() {
    let mut net = validation::net();
    // A checking client brings them, so that nobody has judged them.
    net.ask_question(validation::with_cd("www.good.test.", A));
    net.pass(700_000);
    for server in [validation::GOOD_1, validation::GOOD_2] {
        net.silence(server);
    }
    let ticket = net.begin_plain("www.good.test.", A);
    net.pass(1_900);
    assert_eq!(net.done_at(ticket), None);
    net.run();
    assert_eq!(net.take(ticket).rcode, ResponseCode::ServFail);
}
