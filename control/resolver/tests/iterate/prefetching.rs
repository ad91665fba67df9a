//! Names in use are resolved anew in the last tenth of their life; nobody waits for that.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType::{A, AAAA, TXT};
use resolver::iterate::{Config, Input, Question};

use crate::authority::name;
use crate::net::{EXAMPLE_1, EXAMPLE_2, Net, addresses, config};
use crate::validation::{self, with_cd};

fn prefetches(net: &Net) -> u64 {
    net.resolver.statistics().prefetches
}

/// `www.example.com.` has 600 seconds; at its end something else is there.
fn warm() -> Net {
    let mut net = Net::new();
    net.ask("www.example.com.", A);
    net
}

#[test]
fn answer_in_its_last_tenth_is_given_at_once_and_refreshed_beside() {
    let mut net = warm();
    net.pass(545_000);
    let before = net.log.len();
    net.add_example("www 600 A 203.0.113.3");
    let outcome = net.ask("www.example.com.", A);
    assert_eq!(addresses(&outcome).len(), 2, "as it was");
    assert!(outcome.ttl_secs <= 55);
    assert_eq!((net.log.len() - before, prefetches(&net)), (1, 1));
    let outcome = net.ask("www.example.com.", A);
    assert_eq!(addresses(&outcome).len(), 3);
    assert!(outcome.ttl_secs > 590);
    net.pass(500_000);
    net.ask("www.example.com.", A);
    assert_eq!((net.log.len() - before, prefetches(&net)), (1, 1));
}

#[test]
fn answer_before_its_last_tenth_and_one_that_nobody_wants_are_left() {
    let mut net = warm();
    net.pass(530_000);
    let before = net.log.len();
    net.ask("www.example.com.", A);
    net.pass(69_000);
    assert_eq!((net.log.len(), prefetches(&net)), (before, 0));
}

#[test]
fn refreshing_is_done_once_however_many_ask() {
    let mut net = warm();
    net.pass(545_000);
    let before = net.log.len();
    for _ in 0..20 {
        let ticket = net.begin_plain("www.example.com.", A);
        assert_eq!(net.done_at(ticket), Some(net.now_ms));
        net.take(ticket);
    }
    net.run();
    assert_eq!((net.log.len() - before, prefetches(&net)), (1, 1));
}

#[test]
fn each_part_of_a_chain_is_refreshed_when_its_own_time_comes() {
    let mut net = Net::new();
    net.add_example("hop 100000 CNAME end\nend 100 A 203.0.113.7");
    net.ask("hop.example.com.", A);
    net.pass(95_000);
    let before = net.log.len();
    net.ask("hop.example.com.", A);
    let asked: Vec<&str> = net.log[before..]
        .iter()
        .map(|request| request.qname.as_str())
        .collect();
    assert_eq!(asked, ["end.example.com."]);
    net.pass(80_000);
    assert!(net.ask("hop.example.com.", A).ttl_secs > 10);
    assert_eq!(net.log.len(), before + 1);
}

#[test]
fn denials_are_refreshed_as_well() {
    let mut net = Net::new();
    let first = net.ask("nothing.example.com.", A);
    assert_eq!(first.rcode, ResponseCode::NXDomain);
    net.pass(u64::from(first.ttl_secs) * 950);
    let outcome = net.ask("nothing.example.com.", A);
    assert_eq!(
        (outcome.rcode, prefetches(&net)),
        (ResponseCode::NXDomain, 1)
    );
    assert_eq!(net.ask("nothing.example.com.", A).ttl_secs, first.ttl_secs);
}

#[test]
fn short_lives_are_not_worth_it() {
    let mut net = Net::new();
    net.add_example("short 9 A 203.0.113.7");
    net.ask("short.example.com.", A);
    net.pass(8_500);
    net.ask("short.example.com.", A);
    assert_eq!(prefetches(&net), 0);
}

#[test]
fn without_prefetch_names_expire() {
    let mut net = Net::with(Config {
        prefetch: false,
        ..config()
    });
    net.ask("www.example.com.", A);
    net.pass(545_000);
    net.ask("www.example.com.", A);
    assert_eq!(prefetches(&net), 0);
}

#[test]
fn a_failure_to_refresh_is_not_repeated_at_once_and_hurts_nobody() {
    let mut net = warm();
    net.pass(545_000);
    for server in [EXAMPLE_1, EXAMPLE_2] {
        net.refuse(server, ResponseCode::ServFail);
    }
    let before = net.log.len();
    for _ in 0..5 {
        assert_eq!(addresses(&net.ask("www.example.com.", A)).len(), 2);
    }
    assert_eq!(prefetches(&net), 1);
    assert!(net.log.len() - before < 20);
    net.heal(EXAMPLE_1);
    net.pass(6_000);
    net.ask("www.example.com.", A);
    assert_eq!(prefetches(&net), 2);
    assert!(net.ask("www.example.com.", A).ttl_secs > 590);
}

#[test]
fn who_asks_for_more_meanwhile_joins_and_who_comes_after_expiry_waits() {
    let mut net = warm();
    for server in [EXAMPLE_1, EXAMPLE_2] {
        net.delay(server, 300);
    }
    net.pass(599_900);
    let first = net.begin_plain("www.example.com.", A);
    assert!(net.done_at(first).is_some());
    net.pass(200);
    let second = net.begin_plain("www.example.com.", A);
    assert_eq!(net.done_at(second), None);
    let before = net.log.len();
    net.run();
    assert!(net.take(second).ttl_secs > 590);
    assert_eq!(net.log.len(), before, "it joined");
    net.take(first);
}

#[test]
fn only_so_many_names_are_refreshed_at_once() {
    let mut net = Net::new();
    let mut text = String::new();
    for number in 0..600 {
        text += &format!("many{number} 100 TXT x\n");
    }
    net.add_example(&text);
    for number in 0..600 {
        net.ask(&format!("many{number}.example.com."), TXT);
    }
    net.pass(93_000 - net.now_ms % 1_000);
    let tickets: Vec<u64> = (0..600)
        .map(|number| net.begin_plain(&format!("many{number}.example.com."), TXT))
        .collect();
    let statistics = net.resolver.statistics();
    assert!(statistics.prefetches <= 256, "{}", statistics.prefetches);
    assert!(statistics.prefetches > 100);
    net.run();
    tickets
        .into_iter()
        .for_each(|ticket| drop(net.take(ticket)));
}

#[test]
fn who_answers_from_a_copy_has_the_original_refreshed() {
    let mut net = warm();
    let refresh = |net: &mut Net, qname: &str| {
        let question = Question::new(name(qname), A);
        net.step(Input::Refresh { question });
        net.run();
    };
    let before = net.log.len();
    net.pass(530_000);
    refresh(&mut net, "www.example.com.");
    refresh(&mut net, "unknown.example.com.");
    assert_eq!(
        (net.log.len(), prefetches(&net)),
        (before, 0),
        "too early, and not cached"
    );
    net.pass(20_000);
    refresh(&mut net, "www.example.com.");
    refresh(&mut net, "www.example.com.");
    assert_eq!((net.log.len(), prefetches(&net)), (before + 1, 1));
    let statistics = net.resolver.statistics();
    assert_eq!((statistics.questions, statistics.cache_hits), (1, 0));
    assert!(net.ask("www.example.com.", A).ttl_secs > 590);
}

#[test]
fn proven_data_are_replaced_by_proven_data() {
    let mut net = validation::net();
    net.ask("www.good.test.", A);
    net.pass(545_000);
    let before = net.log.len();
    let outcome = net.ask("www.good.test.", A);
    assert!(outcome.authentic && outcome.ttl_secs <= 55);
    assert!(net.log.len() > before);
    let outcome = net.ask("www.good.test.", A);
    assert!(
        outcome.authentic && outcome.ttl_secs > 500,
        "{}",
        outcome.ttl_secs
    );
}

#[test]
fn checking_clients_refresh_nothing() {
    let mut net = validation::net();
    net.ask("www.good.test.", A);
    net.pass(545_000);
    net.ask_question(with_cd("www.good.test.", A));
    assert_eq!(prefetches(&net), 0);
    let question = Question::new(name("www.good.test."), AAAA);
    assert!(net.ask_question(question).answers.is_empty());
}
