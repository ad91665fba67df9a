//! Loss, delay, truncation, old servers: getting messages through.

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType::{A, TXT};
use resolver::iterate::{Config, Transport, TransportError, extended_error};

use crate::authority::respond;
use crate::net::{
    Action, COM, EXAMPLE_1, EXAMPLE_2, EXAMPLE_NET, NET, Net, ROOT, address, addresses, code,
    config,
};

fn both(
    net: &mut Net,
    behaviour: impl Fn(&crate::net::Request, &[crate::authority::Zone]) -> Action + Copy + 'static,
) {
    net.behave(EXAMPLE_1, behaviour);
    net.behave(EXAMPLE_2, behaviour);
}

fn tcp_queries(net: &Net) -> usize {
    net.log
        .iter()
        .filter(|request| request.transport == Transport::Tcp)
        .count()
}

#[test]
fn truncated_reply_is_fetched_by_tcp() {
    let mut net = Net::new();
    for number in 0..12 {
        net.add_example(&format!("big TXT {number}{}", "x".repeat(200)));
    }
    let outcome = net.ask("big.example.com.", TXT);
    assert_eq!(outcome.answers.len(), 12);
    assert_eq!(
        (tcp_queries(&net), net.resolver.statistics().truncated),
        (1, 1)
    );
}

#[test]
fn message_cut_in_the_middle_with_tc_is_fetched_by_tcp() {
    let mut net = Net::new();
    both(&mut net, |request, zones| {
        if request.transport == Transport::Tcp {
            return Action::Serve;
        }
        let mut bytes = respond(zones, &request.message).to_vec().unwrap();
        bytes[2] |= 2;
        bytes.truncate(bytes.len() - 20);
        Action::Raw(bytes)
    });
    assert_eq!(addresses(&net.ask("www.example.com.", A)).len(), 2);
}

#[test]
fn tcp_refused_after_truncation_leads_to_the_other_server() {
    let mut net = Net::new();
    for number in 0..12 {
        net.add_example(&format!("big TXT {number}{}", "x".repeat(200)));
    }
    net.behave(EXAMPLE_1, |request, _| match request.transport {
        Transport::Udp => Action::Serve,
        Transport::Tcp => Action::Fail(TransportError::Refused),
    });
    assert_eq!(net.ask("big.example.com.", TXT).answers.len(), 12);
}

#[test]
fn server_without_udp_is_reached_by_tcp_in_the_end() {
    let mut net = Net::new();
    both(&mut net, |request, _| match request.transport {
        Transport::Udp => Action::Silence,
        Transport::Tcp => Action::Serve,
    });
    assert_eq!(addresses(&net.ask("www.example.com.", A)).len(), 2);
    assert_eq!(addresses(&net.ask("ns1.example.com.", A)).len(), 1);
}

#[test]
fn lost_query_is_repeated() {
    let mut net = Net::new();
    let mut count = 0;
    net.behave(EXAMPLE_NET, move |_, _| {
        count += 1;
        if count < 3 {
            Action::Silence
        } else {
            Action::Serve
        }
    });
    assert_eq!(addresses(&net.ask("www.example.net.", A)), ["203.0.113.80"]);
    assert_eq!(net.queries_to(EXAMPLE_NET), 3);
}

#[test]
fn every_second_message_lost_everywhere_still_gets_there() {
    let mut net = Net::new();
    for server in [ROOT, COM, EXAMPLE_1, EXAMPLE_2] {
        let mut count = 0;
        net.behave(server, move |_, _| {
            count += 1;
            if count % 2 == 1 {
                Action::Silence
            } else {
                Action::Serve
            }
        });
    }
    assert_eq!(addresses(&net.ask("www.example.com.", A)).len(), 2);
}

#[test]
fn silent_server_is_left_for_the_other_one() {
    let mut net = Net::new();
    net.silence(EXAMPLE_1);
    for number in 0..10 {
        assert_eq!(
            net.ask(&format!("n{number}.example.com."), A).rcode,
            ResponseCode::NXDomain
        );
    }
    assert!(
        net.queries_to(EXAMPLE_1) <= 4,
        "{}",
        net.queries_to(EXAMPLE_1)
    );
}

#[test]
fn closed_port_leads_to_the_other_server_at_once() {
    let mut net = Net::new();
    net.behave(EXAMPLE_1, |_, _| Action::Fail(TransportError::Refused));
    for number in 0..4 {
        let begun_ms = net.now_ms;
        let ticket = net.begin_plain(&format!("n{number}.example.com."), A);
        net.run();
        assert!(net.done_at(ticket).unwrap() < begun_ms + 200);
    }
}

#[test]
fn faster_server_gets_most_questions() {
    let mut net = Net::new();
    net.delay(EXAMPLE_1, 300);
    for number in 0..400 {
        net.ask(&format!("n{number}.example.com."), A);
    }
    let slow = net.queries_to(EXAMPLE_1);
    assert!((1..60).contains(&slow), "{slow}");
}

#[test]
fn slow_server_is_waited_for_longer_once_its_round_trip_time_is_known() {
    let mut net = Net::new();
    net.delay(EXAMPLE_NET, 350);
    for number in 0..10 {
        assert_eq!(
            net.ask(&format!("n{number}.example.net."), A).rcode,
            ResponseCode::NXDomain
        );
    }
    assert_eq!(net.resolver.statistics().timeouts, 0);
}

#[test]
fn dead_zone_is_not_hammered_and_does_not_hurt_others() {
    let mut net = Net::new();
    net.silence(EXAMPLE_NET);
    for round in 0..200 {
        net.begin_plain(&format!("n{round}.example.net."), A);
        net.pass(50);
    }
    net.run();
    let to_dead = net.queries_to(EXAMPLE_NET);
    assert!(to_dead < 60, "{to_dead} messages for 200 questions in 10 s");
    assert_eq!(
        net.queries_to(NET),
        2,
        "its parent is asked for the way and, once, for a new one"
    );
    assert_eq!(addresses(&net.ask("www.example.com.", A)).len(), 2);
}

#[test]
fn server_that_comes_back_is_used_again() {
    let mut net = Net::new();
    net.silence(EXAMPLE_NET);
    for number in 0..20 {
        net.ask(&format!("n{number}.example.net."), A);
    }
    net.heal(EXAMPLE_NET);
    net.pass(30_000);
    assert_eq!(
        net.ask("again.example.net.", A).rcode,
        ResponseCode::NXDomain
    );
    assert_eq!(
        net.ask("and-again.example.net.", A).rcode,
        ResponseCode::NXDomain
    );
}

#[test]
fn every_server_silent_ends_in_time_with_no_reachable_authority() {
    let mut net = Net::new();
    net.silence(ROOT);
    let begun_ms = net.now_ms;
    let ticket = net.begin_plain("www.example.com.", A);
    net.run();
    assert!(net.done_at(ticket).unwrap() <= begun_ms + 5_000);
    assert_eq!(
        code(&net.take(ticket)),
        Some(extended_error::NO_REACHABLE_AUTHORITY)
    );
}

#[test]
fn unreachable_network_is_a_network_error() {
    let mut net = Net::new();
    net.behave(ROOT, |_, _| Action::Fail(TransportError::Unreachable));
    assert_eq!(
        code(&net.ask("www.example.com.", A)),
        Some(extended_error::NETWORK_ERROR)
    );
}

#[test]
fn lack_of_sockets_is_not_held_against_the_server_nor_remembered() {
    let mut net = Net::new();
    net.behave(ROOT, |_, _| Action::Fail(TransportError::Resources));
    assert_eq!(net.ask("www.example.com.", A).rcode, ResponseCode::ServFail);
    net.heal(ROOT);
    assert_eq!(
        addresses(&net.ask("www.example.com.", A)).len(),
        2,
        "at once"
    );
}

/// Answers queries with EDNS with a code, without OPT.
fn without_edns(
    rcode: ResponseCode,
    question: bool,
) -> impl Fn(&crate::net::Request, &[crate::authority::Zone]) -> Action + Copy {
    move |request, zones| {
        if request.message.edns.is_none() {
            return Action::Serve;
        }
        let mut reply = respond(zones, &request.message);
        (reply.answers, reply.authorities, reply.additionals) =
            (Vec::new(), Vec::new(), Vec::new());
        reply.edns = None;
        reply.metadata.response_code = rcode;
        if !question {
            reply.queries.clear();
        }
        Action::Message(Box::new(reply))
    }
}

#[test]
fn server_that_chokes_on_edns_is_asked_without_it_and_that_is_remembered() {
    for rcode in [ResponseCode::FormErr, ResponseCode::NotImp] {
        let mut net = Net::new();
        both(&mut net, without_edns(rcode, true));
        assert_eq!(addresses(&net.ask("www.example.com.", A)).len(), 2);
        for number in 0..10 {
            net.ask(&format!("n{number}.example.com."), A);
        }
        let fallbacks = net.resolver.statistics().edns_fallbacks;
        assert!(fallbacks <= 2, "once a server: {fallbacks}");
    }
}

#[test]
fn refusal_without_a_question_is_understood() {
    let mut net = Net::new();
    both(&mut net, without_edns(ResponseCode::FormErr, false));
    assert_eq!(addresses(&net.ask("www.example.com.", A)).len(), 2);
}

#[test]
fn refusal_without_a_question_of_a_server_without_tcp_leads_to_a_query_without_edns() {
    let mut net = Net::new();
    both(&mut net, |request, zones| match request.transport {
        Transport::Udp => without_edns(ResponseCode::FormErr, false)(request, zones),
        Transport::Tcp => Action::Fail(TransportError::Refused),
    });
    assert_eq!(addresses(&net.ask("www.example.com.", A)).len(), 2);
    for number in 0..10 {
        net.ask(&format!("n{number}.example.com."), A);
    }
    assert!(tcp_queries(&net) <= 2, "it is remembered of both");
}

#[test]
fn refusal_for_other_reasons_does_not_turn_edns_off() {
    let mut net = Net::new();
    both(&mut net, |request, zones| match request.transport {
        Transport::Udp => without_edns(ResponseCode::Refused, false)(request, zones),
        Transport::Tcp => Action::Fail(TransportError::Refused),
    });
    assert_eq!(net.ask("www.example.com.", A).rcode, ResponseCode::ServFail);
    assert!(net.log.iter().all(|request| request.message.edns.is_some()));
}

#[test]
fn bad_version_leads_to_a_query_without_edns() {
    let mut net = Net::new();
    both(&mut net, |request, zones| {
        if request.message.edns.is_none() {
            return Action::Serve;
        }
        let mut reply = respond(zones, &request.message);
        (reply.answers, reply.authorities, reply.additionals) =
            (Vec::new(), Vec::new(), Vec::new());
        reply.metadata.response_code = ResponseCode::BADVERS;
        Action::Message(Box::new(reply))
    });
    assert_eq!(addresses(&net.ask("www.example.com.", A)).len(), 2);
}

#[test]
fn server_without_edns_gets_tcp_beyond_512_bytes() {
    let mut net = Net::new();
    both(&mut net, without_edns(ResponseCode::FormErr, true));
    for number in 0..4 {
        net.add_example(&format!("mid TXT {number}{}", "x".repeat(200)));
    }
    assert_eq!(net.ask("mid.example.com.", TXT).answers.len(), 4);
    assert_eq!(tcp_queries(&net), 1);
}

#[test]
fn server_that_fails_with_and_without_edns_is_given_up() {
    let mut net = Net::new();
    net.refuse(EXAMPLE_1, ResponseCode::FormErr);
    net.refuse(EXAMPLE_2, ResponseCode::FormErr);
    assert_eq!(net.ask("www.example.com.", A).rcode, ResponseCode::ServFail);
    assert!(net.queries_to(EXAMPLE_1) <= 4);
}

#[test]
fn queries_offer_the_configured_payload_and_ask_for_signatures() {
    let mut net = Net::with(Config {
        edns_payload_bytes: 1400,
        ..config()
    });
    net.ask("www.example.com.", A);
    for request in &net.log {
        let edns = request.message.edns.as_ref().unwrap();
        assert_eq!((edns.max_payload(), edns.flags().dnssec_ok), (1400, true));
        assert!(!request.message.metadata.recursion_desired);
    }
}

#[test]
fn unreadable_reply_leads_to_the_other_server() {
    let mut net = Net::new();
    net.behave(EXAMPLE_1, |request, zones| {
        let mut bytes = respond(zones, &request.message).to_vec().unwrap();
        bytes[7] = bytes[7].wrapping_add(9); // More answers than there are.
        Action::Raw(bytes)
    });
    for number in 0..200 {
        assert_eq!(
            net.ask(&format!("n{number}.example.com."), A).rcode,
            ResponseCode::NXDomain
        );
    }
    assert!(net.resolver.statistics().malformed > 0);
}

#[test]
fn only_unreadable_replies_are_invalid_data() {
    let mut net = Net::new();
    both(&mut net, |request, zones| {
        let mut bytes = respond(zones, &request.message).to_vec().unwrap();
        bytes[7] = bytes[7].wrapping_add(9);
        Action::Raw(bytes)
    });
    assert_eq!(
        code(&net.ask("www.example.com.", A)),
        Some(extended_error::INVALID_DATA)
    );
}

#[test]
fn ports_of_servers_follow_the_configuration() {
    let mut net = Net::with(Config {
        port: 5353,
        ..config()
    });
    net.behave(ROOT, |request, zones| {
        let reply: Message = respond(zones, &request.message);
        Action::Many(vec![(
            std::net::SocketAddr::new(address(ROOT), 5353),
            reply.to_vec().unwrap(),
        )])
    });
    assert_eq!(addresses(&net.ask("www.example.com.", A)).len(), 2);
}
