//! The shared memory from the other side: a scripted dataplane with one worker.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use exchange::handover::SharedSocket;
use exchange::{Reply, Transport};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RecordType};
use node::admin::{Request, Response};

use crate::common::{Node, ZONE, data, query, rcode, wait_until, with_edns};
use crate::dataplane::{Dataplane, LONG_AGO_MS, SLOTS, both};
use crate::resolving::Upstream;
use crate::trusting;

const ZONES: &str = "zones: [{name: example.com., file: example.com.zone}]";
#[test]
fn a_punt_of_a_zone_comes_back_ready_to_send_and_to_keep() {
    let (_node, mut dataplane) = both(ZONES);
    let question = with_edns(query("wWw.example.com.", RecordType::A), 4096);
    let returned = dataplane.ask(&question);
    assert_eq!(data(&returned.message), ["192.0.2.1"]);
    assert_eq!(returned.message.queries, question.queries);
    assert!(returned.message.edns.is_some());
    let meta = returned.meta.unwrap();
    assert_eq!(
        (meta.zone, meta.generation, meta.key_flags),
        (1, dataplane.generation(1), 1)
    );
    assert!(dataplane.table_has(&question));
}

#[test]
fn what_does_not_exist_is_kept_by_the_worker_but_not_in_the_table() {
    let (_node, mut dataplane) = both(ZONES);
    for (question, code) in [
        (
            query("no.example.com.", RecordType::A),
            ResponseCode::NXDomain,
        ),
        (
            query("www.example.com.", RecordType::AAAA),
            ResponseCode::NoError,
        ),
    ] {
        let returned = dataplane.ask(&question);
        assert_eq!(rcode(&returned.message), code);
        assert_eq!(returned.meta.unwrap().zone, 1);
        assert!(!dataplane.table_has(&question));
    }
}

#[test]
fn a_copy_of_a_query_that_the_worker_has_answered_is_counted_and_not_answered() {
    let upstream = Upstream::start();
    let (node, mut dataplane) = both(&format!("{ZONES}\n{}", upstream.forward()));
    let known = query("www.example.com.", RecordType::A);
    for message in [
        known.to_vec().unwrap(),
        query("unknown.example.net.", RecordType::A)
            .to_vec()
            .unwrap(),
        b"nonsense".to_vec(),
    ] {
        dataplane.push_as(Transport::Refresh, Ipv4Addr::LOCALHOST, &message);
    }
    // What comes back is the answer to the question behind them.
    let question = query("ns.example.com.", RecordType::A);
    assert_eq!(data(&dataplane.ask(&question).message), ["192.0.2.53"]);
    assert_eq!(node.metric("nexus_control_refreshes_total"), Some(3));
    let punted = node.metric("nexus_control_queries_total{transport=\"punt\"}");
    assert_eq!(punted, Some(1));
    assert!(
        upstream.is_quiet(),
        "nothing in its cache is about to expire"
    );
}

#[test]
fn what_depends_on_the_client_or_is_cut_is_not_kept() {
    let (_node, mut dataplane) = both(&format!("{ZONES}\nresolver, allow: []"));
    let questions = [
        query("www.example.net.", RecordType::A),
        query("out.example.com.", RecordType::A),
        query("a.sub.example.com.", RecordType::A),
        query("big.example.com.", RecordType::TXT),
    ];
    for question in &questions {
        let returned = dataplane.ask(question);
        assert!(returned.meta.is_none(), "{returned:?}");
        assert!(!dataplane.table_has(question));
    }
}

#[test]
fn resolved_data_behind_an_own_alias_is_kept_for_nobody() {
    let upstream = Upstream::start();
    let (_node, mut dataplane) = both(&format!(
        "{ZONES}\n{}\nresolver, allow: [127.0.0.1/32]",
        upstream.forward()
    ));
    let question = query("out.example.com.", RecordType::A);
    let bytes = question.to_vec().unwrap();
    dataplane.push(&bytes);
    upstream.next().answer_a([198, 51, 100, 1]);
    let allowed = dataplane.returned();
    assert_eq!(data(&allowed.message), ["www.example.net.", "198.51.100.1"]);
    assert!(allowed.meta.is_none(), "{allowed:?}");
    // Whatever is to be put into the table has been, once the next punt is answered.
    dataplane.push_from(Ipv4Addr::new(127, 0, 0, 2), &bytes);
    let stranger = dataplane.returned();
    assert_eq!(data(&stranger.message), ["www.example.net."]);
    assert!(!dataplane.table_has(&question));
}

#[test]
fn what_two_own_zones_answer_together_is_not_kept() {
    let mut node = Node::new(
        "zones: [{name: example.com., file: example.com.zone}, {name: example.net., file: example.net.zone}]",
    );
    node.write(
        "example.net.zone",
        &ZONE.replace("example.com.", "example.net."),
    );
    let mut dataplane = Dataplane::start(&node.path("dataplane.sock"), Vec::new());
    node.spawn();
    dataplane.wait_for_control();
    let question = query("out.example.com.", RecordType::A);
    let returned = dataplane.ask(&question);
    assert_eq!(data(&returned.message), ["www.example.net.", "192.0.2.1"]);
    assert!(returned.meta.is_none() && !dataplane.table_has(&question));
}

#[test]
fn one_client_of_a_worker_takes_an_eighth_of_all_places_and_the_others_are_served() {
    let upstream = Upstream::start();
    let (_node, mut dataplane) = both(&format!(
        "{}\nresolver, questions_max: 8",
        upstream.forward()
    ));
    let [held, refused] =
        ["one.example.net.", "two.example.net."].map(|name| query(name, RecordType::A));
    dataplane.push(&held.to_vec().unwrap());
    let heard = upstream.next();
    let answer = dataplane.ask(&refused);
    assert_eq!(rcode(&answer.message), ResponseCode::ServFail);
    assert!(answer.meta.is_none());
    dataplane.push_from(Ipv4Addr::new(127, 0, 0, 2), &refused.to_vec().unwrap());
    upstream.next().answer_a([198, 51, 100, 2]);
    assert_eq!(data(&dataplane.returned().message), ["198.51.100.2"]);
    heard.answer_a([198, 51, 100, 1]);
    assert_eq!(data(&dataplane.returned().message), ["198.51.100.1"]);
}

#[test]
fn a_resolved_answer_is_kept_as_resolved_data() {
    let upstream = Upstream::start();
    let (_node, mut dataplane) = both(&upstream.forward());
    let question = with_edns(query("www.example.net.", RecordType::A), 1232);
    dataplane.push(&question.to_vec().unwrap());
    upstream.next().answer_a([198, 51, 100, 1]);
    let returned = dataplane.returned();
    assert_eq!(data(&returned.message), ["198.51.100.1"]);
    let meta = returned.meta.unwrap();
    assert_eq!((meta.zone, meta.generation), (0, dataplane.generation(0)));
    assert!((1..=300).contains(&meta.ttl));
    // The reply is pushed first, then the table is written.
    wait_until("the table has it", || dataplane.table_has(&question));
}

#[test]
fn malformed_punts_get_an_error_or_silence_and_never_harm() {
    let (_node, mut dataplane) = both(ZONES);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let good = query("www.example.com.", RecordType::A);
    let bytes = good.to_vec().unwrap();
    for round in 0..2_000_usize {
        let mut message = bytes.clone();
        for _ in 0..=round % 4 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let at = usize::try_from(state >> 33).unwrap() % message.len();
            message[at] = state.to_le_bytes()[7];
        }
        message.truncate(message.len() - round % 3 * 7);
        dataplane.push(&message);
        // A good one behind: whatever the bad one got, this one is answered.
        dataplane.push(&bytes);
        while dataplane.next(|reply| match reply {
            Reply::Answer { message, .. } => message.len() != bytes.len() + 16,
            _ => true,
        }) {}
    }
}

#[test]
fn a_reload_makes_every_older_answer_of_the_zone_dead() {
    let (node, mut dataplane) = both(ZONES);
    let question = query("www.example.com.", RecordType::A);
    let before = dataplane.ask(&question).meta.unwrap();
    assert!(dataplane.table_has(&question));
    node.write(
        "example.com.zone",
        &ZONE.replace("192.0.2.1\n", "192.0.2.2\n"),
    );
    node.admin_ok(&Request::Reload {});
    wait_until("the generation is raised", || {
        dataplane.generation(1) != before.generation
    });
    assert!(!dataplane.table_has(&question));
    let after = dataplane.ask(&question);
    assert_eq!(data(&after.message), ["192.0.2.2"]);
    assert_eq!(after.meta.unwrap().generation, dataplane.generation(1));
    // Nothing changed: nothing dies.
    let generation = dataplane.generation(1);
    node.admin_ok(&Request::Reload {});
    dataplane.ask(&question);
    assert_eq!(dataplane.generation(1), generation);
}

#[test]
fn a_zone_that_stops_delegating_makes_resolved_answers_dead_too() {
    let upstream = Upstream::start();
    let (node, mut dataplane) = both(&format!("{ZONES}\n{}", upstream.forward()));
    let question = query("a.sub.example.com.", RecordType::A);
    dataplane.push(&question.to_vec().unwrap());
    upstream.next().answer_a([198, 51, 100, 1]);
    assert_eq!(dataplane.returned().meta.unwrap().zone, 0);
    wait_until("the table has it", || dataplane.table_has(&question));
    let zone = ZONE.replace("sub NS ns.sub\n", "a.sub A 192.0.2.55\n");
    node.write("example.com.zone", &zone);
    node.admin_ok(&Request::Reload {});
    assert!(!dataplane.table_has(&question));
    let after = dataplane.ask(&question);
    assert_eq!(data(&after.message), ["192.0.2.55"]);
    // From now on it delegates nothing, and resolved answers outlive its changes.
    let resolved = dataplane.generation(0);
    node.write(
        "example.com.zone",
        &zone.replace("192.0.2.55", "192.0.2.56"),
    );
    node.admin_ok(&Request::Reload {});
    assert_eq!(data(&dataplane.ask(&question).message), ["192.0.2.56"]);
    assert_eq!(dataplane.generation(0), resolved);
}

#[test]
fn a_new_zone_makes_resolved_answers_dead_too() {
    let (node, mut dataplane) = both(ZONES);
    let before = (dataplane.generation(0), dataplane.generation(1));
    node.write(
        "example.net.zone",
        &ZONE.replace("example.com.", "example.net."),
    );
    node.configure(
        "zones: [{name: example.com., file: example.com.zone}, {name: example.net., file: example.net.zone}]",
    );
    node.admin_ok(&Request::Reload {});
    wait_until("both generations are raised", || {
        dataplane.generation(0) != before.0 && dataplane.generation(1) != before.1
    });
    let question = query("www.example.net.", RecordType::A);
    assert_eq!(dataplane.ask(&question).meta.unwrap().zone, 2);
}

#[test]
fn a_control_that_was_killed_comes_back_and_kills_no_answer_of_a_zone_that_is_the_same() {
    let (mut node, mut dataplane) = both(ZONES);
    let question = query("www.example.com.", RecordType::A);
    let before = dataplane.ask(&question).meta.unwrap();
    let told = node.path("control.zones");
    wait_until("what the dataplane was told is written", || told.exists());
    node.kill();
    dataplane.push(&question.to_vec().unwrap());
    node.spawn();
    dataplane.wait_for_control();
    // What waited in the ring is answered.
    assert_eq!(data(&dataplane.returned().message), ["192.0.2.1"]);
    assert_eq!(dataplane.generation(1), before.generation);
    assert!(dataplane.table_has(&question));
    // With another zone file it is another matter.
    node.kill();
    node.write(
        "example.com.zone",
        &ZONE.replace("192.0.2.1\n", "192.0.2.2\n"),
    );
    node.spawn();
    dataplane.wait_for_control();
    assert_eq!(data(&dataplane.ask(&question).message), ["192.0.2.2"]);
    assert_ne!(dataplane.generation(1), before.generation);
}

#[test]
fn a_new_dataplane_is_found_without_a_manual_step() {
    let (node, dataplane) = both(ZONES);
    drop(dataplane);
    let path = node.path("dataplane.sock");
    let mut second = Dataplane::start(&path, Vec::new());
    second.wait_for_control();
    assert_eq!(
        data(
            &second
                .ask(&query("www.example.com.", RecordType::A))
                .message
        ),
        ["192.0.2.1"]
    );
    let Response::Status(status) = node.admin_ok(&Request::Status {}) else {
        panic!()
    };
    assert_eq!(status.dataplane.unwrap().mode, "copy");
    // The kernel's sockets are served all the while.
    assert_eq!(
        data(&node.ask(&query("www.example.com.", RecordType::A))),
        ["192.0.2.1"]
    );
}

#[test]
fn a_control_that_lost_its_place_leaves_it_to_the_other() {
    let (first, dataplane) = both(ZONES);
    let mut second = Node::new(ZONES);
    let text = std::fs::read_to_string(second.path("nexus.yaml")).unwrap();
    let own = second.path("dataplane.sock").display().to_string();
    second.write(
        "nexus.yaml",
        &text.replace(&own, &first.path("dataplane.sock").display().to_string()),
    );
    second.spawn();
    dataplane.wait_for_control();
    let epoch = dataplane.region.control_status().epoch;
    // Many of the first one's attempts later, the second still holds the memory.
    let (mut beats, mut last) = (0, 0);
    wait_until("the second beats", || {
        let beat = dataplane.region.control_heartbeat_ms();
        beats += u32::from(beat != last);
        last = beat;
        beats >= 10
    });
    assert_eq!(dataplane.region.control_status().epoch, epoch);
    wait_until("the second says who it is", || {
        dataplane.region.control_status().pid == second.pid()
    });
    // When the second is gone, the first takes over again.
    second.kill();
    dataplane.wait_for_control();
    wait_until("the first says who it is", || {
        dataplane.region.control_status().pid == first.pid()
    });
}

#[test]
fn a_worker_that_takes_no_replies_for_a_while_holds_up_nobody_else_and_loses_none() {
    let (node, mut dataplane) = both(ZONES);
    let question = query("www.example.com.", RecordType::A);
    let bytes = question.to_vec().unwrap();
    // As many as both rings hold: the replies of the first half fill one, the rest wait.
    for _ in 0..SLOTS * 2 {
        dataplane.push(&bytes);
    }
    assert_eq!(data(&node.ask(&question)), ["192.0.2.1"]);
    for _ in 0..SLOTS * 2 {
        dataplane.returned();
    }
    assert_eq!(
        node.metric("nexus_control_drops_total{reason=\"reply_ring\"}"),
        Some(0)
    );
    assert_eq!(data(&dataplane.ask(&question).message), ["192.0.2.1"]);
}

#[test]
fn a_flush_empties_the_table_and_reaches_the_worker() {
    let (node, mut dataplane) = both(ZONES);
    let question = query("www.example.com.", RecordType::A);
    dataplane.ask(&question);
    let Response::CachePage(page) = node.admin_ok(&Request::CacheDump {
        name: None,
        cursor: 0,
    }) else {
        panic!()
    };
    assert_eq!(page.entries.len(), 1);
    let entry = &page.entries[0];
    assert_eq!(
        (entry.name.as_str(), entry.record_type.as_str()),
        ("www.example.com.", "A")
    );
    assert_eq!(
        (entry.zone, entry.dead, entry.flags.as_slice()),
        (1, false, &["rd".to_owned()][..])
    );
    let flush = Request::CacheFlush {
        name: Some("Example.COM".into()),
        subtree: true,
    };
    assert!(matches!(
        node.admin_ok(&flush),
        Response::CacheFlushed {
            entries: 1,
            records: 0
        }
    ));
    let (qname, subtree) = dataplane.next(|reply| match reply {
        Reply::Flush { qname, subtree } => (qname.to_vec(), *subtree),
        _ => panic!("{reply:?}"),
    });
    assert_eq!(
        (qname.as_slice(), subtree),
        (&b"\x07example\x03com\0"[..], true)
    );
    assert!(!dataplane.table_has(&question));
}

#[test]
fn negative_trust_anchors_empty_the_table_and_reach_the_worker_when_they_begin_and_when_they_end() {
    let (node, mut dataplane) = both(&trusting::sections(".", ""));
    let question = with_edns(query("www.example.net.", RecordType::A), 1232);
    let first = dataplane.ask(&question);
    assert_eq!(rcode(&first.message), ResponseCode::ServFail);
    assert!(dataplane.table_has(&question));
    let add = Request::NegativeAnchorAdd {
        zone: "Example.NET".to_owned(),
        lifetime_secs: 2,
        reason: String::new(),
    };
    node.admin_ok(&add);
    let flushed = |reply: &Reply<'_>| match reply {
        Reply::Flush { qname, subtree } => (qname.to_vec(), *subtree),
        _ => panic!("{reply:?}"),
    };
    let expected = (b"\x07example\x03net\0".to_vec(), true);
    assert_eq!(dataplane.next(flushed), expected);
    assert!(!dataplane.table_has(&question));
    let answer = dataplane.ask(&question);
    assert_eq!(rcode(&answer.message), ResponseCode::NoError);
    assert!(!answer.message.metadata.authentic_data);
    assert_eq!(dataplane.next(flushed), expected, "its end");
    assert!(!dataplane.table_has(&question));
    let last = dataplane.ask(&question);
    assert_eq!(rcode(&last.message), ResponseCode::ServFail);
}

#[test]
fn a_flush_that_cannot_reach_the_worker_makes_every_answer_dead() {
    let (node, dataplane) = both(ZONES);
    let flush = Request::CacheFlush {
        name: Some("www.example.com".into()),
        subtree: false,
    };
    let before = [0, 1].map(|zone| dataplane.generation(zone));
    let mut flushes = 0;
    // The worker takes nothing: first the ring fills, then what waits for it.
    while dataplane.generation(0) == before[0] {
        node.admin_ok(&flush);
        flushes += 1;
        assert!(flushes < 10_000);
    }
    assert!(flushes > SLOTS);
    assert_ne!(dataplane.generation(1), before[1]);
}

#[test]
fn a_dump_of_many_pages_shows_each_entry_once() {
    let (node, mut dataplane) = both(ZONES);
    let mut names = Vec::new();
    for index in 0..300 {
        let name = format!("n{index}.wild.example.com.");
        dataplane.ask(&query(&name, RecordType::A));
        names.push(name);
    }
    let (mut seen, mut cursor) = (Vec::new(), 0);
    loop {
        let Response::CachePage(page) = node.admin_ok(&Request::CacheDump { name: None, cursor })
        else {
            panic!()
        };
        seen.extend(page.entries.into_iter().map(|entry| entry.name));
        match page.next_cursor {
            Some(next) => cursor = next,
            None => break,
        }
    }
    names.retain(|name| dataplane.table_has(&query(name, RecordType::A)));
    names.sort();
    seen.sort();
    assert_eq!(seen, names);
}

/// A UDP socket as a socket-mode dataplane makes it.
fn shared(address: SocketAddr) -> SharedSocket {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.bind(&address.into()).unwrap();
    SharedSocket {
        worker: 0,
        address,
        socket: socket.into(),
    }
}

#[test]
fn a_shared_socket_is_read_only_while_its_worker_is_silent() {
    let mut node = Node::new(&format!("{ZONES}\ndataplane, mode: socket"));
    let ours = shared(node.dns());
    let worker_socket = UdpSocket::from(ours.socket.try_clone().unwrap());
    worker_socket.set_nonblocking(true).unwrap();
    let dataplane = Dataplane::start(&node.path("dataplane.sock"), vec![ours]);
    node.spawn();
    dataplane.wait_for_control();
    wait_until("control attaches", || {
        node.metric("nexus_control_attached") == Some(1)
    });
    let question = query("www.example.com.", RecordType::A);
    let bytes = question.to_vec().unwrap();
    let client = UdpSocket::bind((node.address, 0)).unwrap();
    client.send_to(&bytes, node.dns()).unwrap();
    // The worker lives: what comes is the worker's to take.
    let mut buffer = [0; 512];
    wait_until("the worker has it", || {
        worker_socket.recv_from(&mut buffer).is_ok()
    });
    assert_eq!(buffer[..bytes.len()], bytes);
    assert_eq!(node.metric("nexus_control_serving_udp"), Some(0));
    // It falls silent: control answers. Then it is gone, and control still answers.
    dataplane.worker.heartbeat.beat(LONG_AGO_MS);
    assert_eq!(data(&node.ask(&question)), ["192.0.2.1"]);
    drop(worker_socket);
    drop(dataplane);
    assert_eq!(data(&node.ask(&question)), ["192.0.2.1"]);
}

#[test]
fn own_sockets_give_way_to_those_of_a_dataplane_in_socket_mode() {
    let node = Node::start(ZONES);
    let bytes = query("www.example.com.", RecordType::A).to_vec().unwrap();
    assert_eq!(
        data(&node.ask(&query("www.example.com.", RecordType::A))),
        ["192.0.2.1"]
    );
    let ours = shared(node.dns());
    let worker_socket = UdpSocket::from(ours.socket.try_clone().unwrap());
    worker_socket.set_nonblocking(true).unwrap();
    let dataplane = Dataplane::start(&node.path("dataplane.sock"), vec![ours]);
    dataplane.wait_for_control();
    wait_until("control stops reading", || {
        node.metric("nexus_control_serving_udp") == Some(0)
    });
    // From many ports, so that some would be hashed to a socket of control's.
    for _ in 0..32 {
        let client = UdpSocket::bind((node.address, 0)).unwrap();
        client.send_to(&bytes, node.dns()).unwrap();
        wait_until("the worker has it", || {
            worker_socket.recv_from(&mut [0; 512]).is_ok()
        });
    }
}

#[test]
fn without_a_dataplane_socket_mode_serves_after_a_while() {
    let mut node = Node::new(&format!("{ZONES}\ndataplane, mode: socket"));
    node.spawn();
    wait_until("control reads UDP", || {
        node.metric("nexus_control_serving_udp") == Some(1)
    });
    assert_eq!(
        data(&node.ask(&query("www.example.com.", RecordType::A))),
        ["192.0.2.1"]
    );
}

#[test]
fn the_bytes_of_an_answer_are_those_that_the_kernel_path_sends() {
    let (node, mut dataplane) = both(ZONES);
    for name in ["www.example.com.", "no.example.com.", "a.sub.example.com."] {
        let mut question = with_edns(query(name, RecordType::A), 1232);
        question.metadata.recursion_desired = false;
        let name = Name::from_ascii(name).unwrap();
        let punted = dataplane.ask(&question);
        assert_eq!(punted.message, node.ask(&question), "{name}");
        assert!(punted.bytes.len() <= 1232);
    }
}
