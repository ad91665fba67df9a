//! Every bound, reached.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType::{self, A, TXT};
use hickory_proto::rr::{RData, Record};
use resolver::iterate::{Config, Limits, Question, TraceKind, TransportError, extended_error};

use crate::authority::{name, respond};
use crate::net::{
    Action, COM, EXAMPLE_1, EXAMPLE_2, EXAMPLE_NET, NET, Net, ROOT, address, addresses, code,
    config,
};

fn net(change: impl FnOnce(&mut Limits)) -> Net {
    let mut limits = Limits::default();
    change(&mut limits);
    Net::with(Config { limits, ..config() })
}

#[test]
fn questions_beyond_the_tickets_are_turned_away_and_not_remembered_as_failed() {
    let mut net = net(|limits| limits.tickets_max = 3);
    let tickets: Vec<u64> = (0..5)
        .map(|_| net.begin_plain("www.example.com.", A))
        .collect();
    net.run();
    let rcodes: Vec<ResponseCode> = tickets
        .into_iter()
        .map(|ticket| net.take(ticket).rcode)
        .collect();
    let expected = [ResponseCode::NoError; 3]
        .into_iter()
        .chain([ResponseCode::ServFail; 2]);
    assert_eq!(rcodes, expected.collect::<Vec<_>>());
    assert_eq!(net.resolver.statistics().rejected, 2);
    assert_eq!(net.resolver.statistics().failures_cached, 0);
}

#[test]
fn resolutions_beyond_the_tasks_are_turned_away_but_running_ones_can_be_joined() {
    let mut net = net(|limits| limits.tasks_max = 2);
    let tickets: Vec<u64> = (0..4)
        .map(|number| net.begin_plain(&format!("n{number}.example.com."), A))
        .collect();
    let joined = net.begin_plain("n0.example.com.", A);
    net.run();
    let answered = tickets
        .into_iter()
        .filter(|ticket| net.take(*ticket).rcode == ResponseCode::NXDomain)
        .count();
    assert!((1..=2).contains(&answered), "{answered}");
    assert_eq!(net.take(joined).rcode, ResponseCode::NXDomain);
}

#[test]
fn messages_in_flight_are_bounded() {
    let mut net = net(|limits| limits.exchanges_max = 4);
    net.ask("www.example.com.", A);
    let tickets: Vec<u64> = (0..10)
        .map(|number| net.begin_plain(&format!("n{number}.example.com."), A))
        .collect();
    let mut most = 0;
    while net.resolver.statistics().tickets > 0 {
        most = most.max(net.resolver.statistics().exchanges);
        net.pass(1);
    }
    assert!((1..=4).contains(&most), "{most}");
    for ticket in tickets {
        assert_eq!(net.take(ticket).rcode, ResponseCode::NXDomain);
    }
}

#[test]
fn a_server_that_was_never_heard_gets_few_messages_at_once_and_those_that_answer_more() {
    let mut net = Net::new();
    net.ask("www.example.com.", A);
    net.silence(EXAMPLE_NET);
    for number in 0..100 {
        net.begin_plain(&format!("n{number}.example.net."), A);
    }
    net.pass(100);
    let unheard = net.resolver.statistics().exchanges;
    assert!((1..=16).contains(&unheard), "{unheard}");
    for number in 0..100 {
        net.begin_plain(&format!("n{number}.example.com."), A);
    }
    assert!(net.resolver.statistics().exchanges > unheard + 80);
    net.run();
    let statistics = net.resolver.statistics();
    assert_eq!((statistics.tasks, statistics.exchanges), (0, 0));
}

#[test]
fn old_questions_give_their_place_to_new_ones_when_there_is_none() {
    let mut net = net(|limits| limits.tasks_max = 4);
    net.ask("www.example.com.", A);
    net.silence(EXAMPLE_NET);
    let dead: Vec<u64> = (0..4)
        .map(|number| net.begin_plain(&format!("n{number}.example.net."), A))
        .collect();
    net.pass(10);
    let too_early = net.begin_plain("n1.example.com.", A);
    assert_eq!(net.take(too_early).rcode, ResponseCode::ServFail);
    net.pass(300);
    let live = net.begin_plain("n2.example.com.", A);
    net.run();
    assert_eq!(net.take(live).rcode, ResponseCode::NXDomain);
    let given_up = dead
        .into_iter()
        .map(|ticket| net.take(ticket))
        .filter(|outcome| {
            let (_, text) = &outcome.extended_errors[0];
            text.contains("newer questions")
        });
    assert_eq!(given_up.count(), 1);
    assert_eq!(net.resolver.statistics().given_up, 1);
}

#[test]
fn servers_remembered_are_bounded() {
    let mut net = net(|limits| limits.servers_max = 5);
    for number in 1..40 {
        net.add(
            COM,
            "com.",
            &format!("d{number} NS ns.d{number}\n ns.d{number} A 192.0.2.{number}"),
        );
        net.ask(&format!("www.d{number}.com."), A);
    }
    assert_eq!(net.resolver.statistics().servers, 5);
}

#[test]
fn failures_remembered_are_bounded() {
    let mut net = net(|limits| limits.failures_max = 5);
    net.refuse(EXAMPLE_NET, ResponseCode::ServFail);
    for number in 0..20 {
        net.ask(&format!("n{number}.example.net."), A);
    }
    assert_eq!(net.resolver.statistics().failures_cached, 5);
}

#[test]
fn question_that_takes_too_long_is_answered_in_time() {
    let mut net = net(|limits| limits.wall_ms_max = 700);
    net.silence(EXAMPLE_NET);
    let begun_ms = net.now_ms;
    let ticket = net.begin_plain("www.example.net.", A);
    net.run();
    assert_eq!(net.done_at(ticket), Some(begun_ms + 700));
    let outcome = net.take(ticket);
    assert!(outcome.extended_errors[0].1.contains("700 ms"));
}

#[test]
fn messages_for_one_question_are_bounded() {
    let mut net = net(|limits| limits.sends_max = 7);
    for number in 1..14 {
        net.add(
            NET,
            "net.",
            &format!(
                "wide NS ns{number}.wide\n ns{number}.wide A 192.0.2.{}",
                100 + number
            ),
        );
        net.refuse(&format!("192.0.2.{}", 100 + number), ResponseCode::ServFail);
    }
    let outcome = net.ask("www.wide.net.", A);
    let primed = 1;
    assert_eq!(
        (outcome.rcode, net.log.len()),
        (ResponseCode::ServFail, 7 + primed)
    );
    assert_eq!(code(&outcome), Some(extended_error::OTHER));
    assert_eq!(net.resolver.statistics().limited, 1);
}

/// A delegation to many name servers whose addresses nobody knows, as in NXNSAttack.
fn attack(net: &mut Net, hosts: usize) {
    for number in 0..hosts {
        net.add(
            COM,
            "com.",
            &format!("attack NS victim{number}.example.net."),
        );
    }
}

#[test]
fn sub_resolutions_for_one_delegation_are_bounded() {
    let mut net = net(|limits| limits.subqueries_zone_max = 3);
    attack(&mut net, 100);
    assert_eq!(net.ask("x.attack.com.", A).rcode, ResponseCode::ServFail);
    assert_eq!(
        (
            net.queries_to(EXAMPLE_NET),
            net.resolver.statistics().subqueries
        ),
        (3, 3)
    );
}

#[test]
fn sub_resolutions_for_one_question_are_bounded() {
    let mut net = net(|limits| limits.subqueries_max = 2);
    attack(&mut net, 100);
    assert_eq!(net.ask("x.attack.com.", A).rcode, ResponseCode::ServFail);
    assert_eq!(net.resolver.statistics().subqueries, 2);
}

#[test]
fn sub_resolutions_at_once_are_bounded() {
    let mut net = net(|limits| limits.subqueries_parallel_max = 1);
    net.ask("ns1.example.net.", A);
    attack(&mut net, 10);
    net.begin_plain("x.attack.com.", A);
    let mut most = 0;
    for _ in 0..200 {
        net.pass(5);
        most = most.max(net.resolver.statistics().tasks);
    }
    net.run();
    assert_eq!(most, 2, "the question and one sub-resolution");
}

#[test]
fn limits_of_zero_still_answer_every_question() {
    let mut net = net(|limits| {
        *limits = Limits {
            tickets_max: 1,
            tasks_max: 1,
            exchanges_max: 1,
            servers_max: 0,
            failures_max: 0,
            wall_ms_max: 1_000,
            sends_max: 20,
            subqueries_max: 0,
            subqueries_zone_max: 0,
            depth_max: 0,
            aliases_max: 0,
            referrals_max: 9,
            nameservers_max: 1,
            addresses_max: 1,
            subqueries_parallel_max: 0,
            attempts_max: 1,
            mismatches_max: 0,
            rrset_records_max: 9,
            signatures_max: 0,
            bad_signatures_max: 0,
            hashes_max: 0,
            zones_max: 0,
            trace_events_max: 0,
        };
    });
    attack(&mut net, 5);
    assert_eq!(net.ask("x.attack.com.", A).rcode, ResponseCode::ServFail);
    assert_eq!(
        net.ask("alias.example.com.", A).rcode,
        ResponseCode::ServFail
    );
    assert_eq!(addresses(&net.ask("www.example.com.", A)).len(), 2);
}

#[test]
fn nxns_attack_costs_the_victim_little_and_ends_soon() {
    let mut net = Net::new();
    attack(&mut net, 1_000);
    let begun_ms = net.now_ms;
    let ticket = net.begin_plain("x.attack.com.", A);
    net.run();
    assert!(net.done_at(ticket).unwrap() < begun_ms + 1_000);
    assert!(
        net.queries_to(EXAMPLE_NET) <= 8,
        "{}",
        net.queries_to(EXAMPLE_NET)
    );
}

#[test]
fn sub_resolutions_nest_only_so_deep() {
    let mut net = net(|limits| (limits.depth_max, limits.subqueries_max) = (3, 1_000));
    // d0's server lies in d1, d1's in d2, and so on; every name of com. needs the next.
    for number in 0..20 {
        net.add(
            COM,
            "com.",
            &format!("d{number} NS ns.d{}.com.", number + 1),
        );
    }
    assert_eq!(net.ask("www.d0.com.", A).rcode, ResponseCode::ServFail);
    assert_eq!(net.resolver.statistics().subqueries, 3);
}

#[test]
fn name_that_our_limits_stopped_is_not_remembered_as_failed() {
    for (depth_max, subqueries_max) in [(3, 1_000), (9, 3)] {
        let mut net = net(|limits| {
            (limits.depth_max, limits.subqueries_max) = (depth_max, subqueries_max);
        });
        for number in 0..5 {
            net.add(
                COM,
                "com.",
                &format!("d{number} NS ns.d{}.com.", number + 1),
            );
            let zone = format!("d{number}.com.");
            net.zone("192.0.2.70", &zone, "ns A 192.0.2.70\n www A 203.0.113.5");
        }
        net.add(COM, "com.", "ns.d5 A 192.0.2.70");
        assert_eq!(net.ask("www.d0.com.", A).rcode, ResponseCode::ServFail);
        assert_eq!(
            net.resolver.statistics().failures_cached,
            1,
            "the question alone: its limits will not change"
        );
        assert_eq!(addresses(&net.ask("www.d1.com.", A)), ["203.0.113.5"]);
    }
}

#[test]
fn aliases_followed_are_bounded() {
    let mut net = net(|limits| limits.aliases_max = 4);
    for number in 0..8 {
        net.add_example(&format!("c{number} CNAME c{}", number + 1));
    }
    net.add_example("c8 A 203.0.113.8");
    assert_eq!(
        addresses(&net.ask("c4.example.com.", A)),
        ["203.0.113.8"],
        "four are allowed"
    );
    let outcome = net.ask("c3.example.com.", A);
    assert_eq!(
        (outcome.rcode, code(&outcome)),
        (ResponseCode::ServFail, Some(extended_error::OTHER))
    );
}

#[test]
fn aliases_in_a_loop_are_noticed() {
    let mut net = Net::new();
    net.add_example("loop1 CNAME loop2\n loop2 CNAME loop3.example.net.\n self CNAME self");
    net.add(
        EXAMPLE_NET,
        "example.net.",
        "loop3 CNAME loop1.example.com.",
    );
    for qname in [
        "loop1.example.com.",
        "loop2.example.com.",
        "loop3.example.net.",
        "self.example.com.",
    ] {
        let outcome = net.ask(qname, A);
        assert_eq!(outcome.rcode, ResponseCode::ServFail, "{qname}");
        assert!(outcome.extended_errors[0].1.contains("loop"), "{qname}");
    }
    assert!(net.log.len() < 30, "{}", net.log.len());
}

#[test]
fn aliases_in_a_cached_loop_are_noticed() {
    let mut net = Net::new();
    net.add_example("loop1 CNAME loop2\n loop2 CNAME loop1");
    net.ask("loop1.example.com.", A);
    net.pass(6_000);
    assert_eq!(
        net.ask("loop1.example.com.", A).rcode,
        ResponseCode::ServFail
    );
}

#[test]
fn dname_that_renames_into_itself_is_bounded() {
    let mut net = Net::new();
    net.add_example("down DNAME x.down.example.com.");
    let outcome = net.ask("a.down.example.com.", A);
    assert_eq!(outcome.rcode, ResponseCode::ServFail);
    assert!(net.log.len() < 40, "{}", net.log.len());
}

/// A server that delegates every next label to itself.
fn delegate_for_ever(net: &mut Net) {
    net.behave(EXAMPLE_NET, |request, _| {
        let mut reply = respond(&[], &request.message);
        reply.metadata.response_code = ResponseCode::NoError;
        let owner = request.message.queries[0].name().clone();
        let host = name("ns1.example.net.");
        reply.add_authority(Record::from_rdata(
            owner,
            3600,
            RData::NS(hickory_proto::rr::rdata::NS(host.clone())),
        ));
        reply.add_additional(Record::from_rdata(
            host,
            3600,
            RData::A("192.0.2.50".parse().unwrap()),
        ));
        Action::Message(Box::new(reply))
    });
}

#[test]
fn referrals_followed_are_bounded() {
    let mut net = net(|limits| limits.referrals_max = 5);
    delegate_for_ever(&mut net);
    let deep = format!("{}example.net.", "x.".repeat(60));
    let outcome = net.ask(&deep, A);
    assert_eq!(
        (outcome.rcode, code(&outcome)),
        (ResponseCode::ServFail, Some(extended_error::OTHER))
    );
    assert!(net.log.len() <= 8, "{}", net.log.len());
}

#[test]
fn nameservers_considered_are_bounded() {
    let mut net = net(|limits| limits.nameservers_max = 4);
    for number in 1..40 {
        net.add(
            COM,
            "com.",
            &format!(
                "wide NS ns{number}.wide\n ns{number}.wide A 192.0.2.{}",
                100 + number
            ),
        );
        net.refuse(&format!("192.0.2.{}", 100 + number), ResponseCode::Refused);
    }
    net.ask("www.wide.com.", A);
    let mut asked: Vec<_> = net
        .log
        .iter()
        .map(|request| request.server)
        .filter(|ip| ip.to_string().starts_with("192.0.2."))
        .collect();
    asked.sort();
    asked.dedup();
    assert_eq!(asked.len(), 4);
}

#[test]
fn addresses_considered_are_bounded() {
    let mut net = net(|limits| limits.addresses_max = 3);
    for number in 1..40 {
        net.add(
            COM,
            "com.",
            &format!(
                "wide NS ns{}.wide\n ns{}.wide A 192.0.2.{}",
                number % 8,
                number % 8,
                100 + number
            ),
        );
        net.refuse(&format!("192.0.2.{}", 100 + number), ResponseCode::Refused);
    }
    net.ask("www.wide.com.", A);
    let mut asked: Vec<_> = net
        .log
        .iter()
        .map(|request| request.server)
        .filter(|ip| ip.to_string().starts_with("192.0.2."))
        .collect();
    asked.sort();
    asked.dedup();
    assert_eq!(asked.len(), 3);
}

#[test]
fn attempts_at_one_server_are_bounded() {
    let mut net = net(|limits| limits.attempts_max = 2);
    net.silence(EXAMPLE_NET);
    net.ask("example.net.", TXT);
    assert_eq!(net.queries_to(EXAMPLE_NET), 2);
}

#[test]
fn wrong_replies_of_one_exchange_are_bounded() {
    let mut net = net(|limits| limits.mismatches_max = 2);
    let server = std::net::SocketAddr::new(address(EXAMPLE_NET), 53);
    net.behave(EXAMPLE_NET, move |request, zones| {
        let reply = respond(zones, &request.message).to_vec().unwrap();
        let mut wrong = reply.clone();
        wrong[0] ^= 1;
        Action::Many(vec![
            (server, wrong.clone()),
            (server, wrong),
            (server, reply),
        ])
    });
    assert_eq!(addresses(&net.ask("www.example.net.", A)), ["203.0.113.80"]);
    let statistics = net.resolver.statistics();
    assert_eq!((statistics.sends_tcp, statistics.replies_unknown), (1, 1));
}

#[test]
fn records_of_one_rrset_are_bounded() {
    let mut net = net(|limits| limits.rrset_records_max = 20);
    for number in 0..21 {
        net.add_example(&format!("many A 203.0.113.{number}"));
        if number < 20 {
            net.add_example(&format!("enough A 203.0.113.{number}"));
        }
    }
    assert_eq!(net.ask("enough.example.com.", A).answers.len(), 20);
    let outcome = net.ask("many.example.com.", A);
    assert_eq!(
        (outcome.rcode, code(&outcome)),
        (ResponseCode::ServFail, Some(extended_error::INVALID_DATA))
    );
}

#[test]
fn types_kept_for_one_name_are_bounded() {
    let mut net = Net::new();
    for server in [EXAMPLE_1, EXAMPLE_2] {
        net.behave(server, |request, zones| {
            let mut reply = respond(zones, &request.message);
            reply.authorities.clear();
            reply.metadata.response_code = ResponseCode::NoError;
            let owner = request.message.queries[0].name().clone();
            reply.answers = vec![Record::from_rdata(
                owner,
                3600,
                crate::authority::opaque(request.qtype, vec![1]),
            )];
            Action::Message(Box::new(reply))
        });
    }
    for number in 60_000..60_200 {
        assert_eq!(
            net.ask("types.example.com.", RecordType::Unknown(number))
                .answers
                .len(),
            1
        );
    }
    assert_eq!(
        net.resolver
            .dump(net.now_ms, &name("types.example.com."))
            .len(),
        64
    );
}

fn traced(net: &mut Net, qname: &str) -> Vec<TraceKind> {
    let outcome = net.ask_question(Question {
        trace: true,
        ..Question::new(name(qname), A)
    });
    outcome
        .trace
        .unwrap()
        .into_iter()
        .map(|event| event.kind)
        .collect()
}

#[test]
fn trace_tells_every_step_of_a_resolution() {
    let mut net = Net::new();
    net.add(COM, "com.", "other NS ns1.example.net.");
    net.zone(EXAMPLE_NET, "other.com.", "www CNAME www.example.net.");
    let events = traced(&mut net, "www.other.com.");
    let count = |wanted: fn(&TraceKind) -> bool| events.iter().filter(|kind| wanted(kind)).count();
    assert!(
        count(|kind| matches!(kind, TraceKind::Zone { .. })) >= 3,
        "{events:#?}"
    );
    assert!(count(|kind| matches!(kind, TraceKind::Send { .. })) >= 4);
    assert_eq!(count(|kind| matches!(kind, TraceKind::Subquery { .. })), 1);
    assert_eq!(count(|kind| matches!(kind, TraceKind::Alias { .. })), 1);
    assert!(matches!(
        events.last(),
        Some(TraceKind::Finished {
            rcode: ResponseCode::NoError,
            ..
        })
    ));
    assert!(matches!(
        traced(&mut net, "www.other.com.")[..],
        [TraceKind::CacheHit { .. }]
    ));
}

#[test]
fn trace_tells_what_went_wrong() {
    let mut net = Net::new();
    net.silence(EXAMPLE_1);
    net.behave(EXAMPLE_2, |_, _| Action::Fail(TransportError::Refused));
    let events = traced(&mut net, "www.example.com.");
    assert!(events.iter().any(|kind| matches!(
        kind,
        TraceKind::Failed {
            reason: TransportError::Refused,
            ..
        }
    )));
    assert!(events.iter().any(|kind| matches!(
        kind,
        TraceKind::Failed {
            reason: TransportError::Timeout,
            ..
        }
    )));
    assert!(matches!(
        events.last(),
        Some(TraceKind::Finished {
            reason: Some(_),
            ..
        })
    ));
}

#[test]
fn trace_is_bounded() {
    let mut net = net(|limits| limits.trace_events_max = 5);
    assert_eq!(traced(&mut net, "www.example.com.").len(), 5);
    assert!(net.ask("www.example.com.", A).trace.is_none());
    assert!(net.queries_to(ROOT) > 0);
}
