//! Questions on their whole way through the policy.

use std::net::IpAddr;

use super::super::prefix::Prefix;
use super::super::rpz::Override as RpzOverride;
use super::super::{
    BlockAnswer, BlockList, Dns64, ListForm, LocalAction, LocalData, Nat64Prefix, Rebinding,
};
use super::*;

const UDP: Client = Client {
    address: Some(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1))),
    is_tcp: false,
};
const TCP: Client = Client {
    is_tcp: true,
    ..UDP
};

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn question(qname: &str, qtype: RecordType) -> Question {
    Question::new(name(qname), qtype)
}

fn zone(apex: &str, policy: RpzOverride, text: &str) -> RpzZone {
    let text = format!("$TTL 120\n@ SOA ns. host. 1 3600 600 86400 60\n{text}");
    let mut loader = |_: &str, _: &str| Err(String::new());
    let read = RpzZone::read(&name(apex), policy, text.as_bytes(), "rpz", &mut loader);
    let (zone, remarks) = read.unwrap();
    assert!(remarks.is_empty());
    zone
}

/// A policy of these zones, in order.
fn rpz(zones: &[&str]) -> Policy {
    let zones: Vec<_> = zones
        .iter()
        .enumerate()
        .map(|(index, text)| zone(&format!("rpz{index}."), RpzOverride::Given, text))
        .collect();
    let rules = Rules {
        rpz: (0..zones.len()).collect(),
        ..Rules::default()
    };
    Policy::new(zones, rules)
}

fn records(lines: &[&str]) -> Vec<Record> {
    let read = |line: &&str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let rtype: RecordType = words[1].parse().unwrap();
        Record::from_rdata(
            name(words[0]),
            300,
            RData::try_from_str(rtype, words[2]).unwrap(),
        )
    };
    lines.iter().map(read).collect()
}

fn resolved(lines: &[&str]) -> Outcome {
    let mut outcome = Outcome::empty(ResponseCode::NoError);
    (outcome.answers, outcome.ttl_secs) = (records(lines), 300);
    outcome.authentic = true;
    outcome
}

/// Asks, and gives `outcomes` one by one for what is to be resolved.
fn run(
    policy: &Policy,
    client: Client,
    asked: Question,
    outcomes: Vec<Outcome>,
) -> (Step, Vec<Hit>) {
    let (mut course, mut step) = policy.begin(client, asked, 0);
    for outcome in outcomes {
        assert!(matches!(step, Step::Resolve(_)), "{step:?}");
        step = policy.go_on(&mut course, outcome, &known);
    }
    let hits = course.take_hits();
    (step, hits)
}

/// What the cache of these tests has: the delegation of one zone.
fn known(name: &Name, rtype: RecordType) -> Vec<Record> {
    let records = records(&[
        "hosted.example. NS ns1.bad.example.",
        "ns1.bad.example. A 203.0.113.53",
    ]);
    let is_asked = |record: &Record| record.name == *name && record.record_type() == rtype;
    records.into_iter().filter(is_asked).collect()
}

fn answer(step: Step) -> Outcome {
    match step {
        Step::Answer(outcome) => *outcome,
        other => panic!("{other:?}"),
    }
}

fn texts(outcome: &Outcome) -> Vec<String> {
    outcome.answers.iter().map(ToString::to_string).collect()
}

fn is_resolved(step: &Step, qname: &str) -> bool {
    matches!(step, Step::Resolve(question) if question.qname == name(qname))
}

#[test]
fn a_policy_without_rules_changes_nothing() {
    let policy = Policy::new(Vec::new(), Rules::default());
    let found = resolved(&["www.example. A 192.0.2.1"]);
    let (step, hits) = run(
        &policy,
        UDP,
        question("www.example.", RecordType::A),
        vec![found.clone()],
    );
    assert_eq!((answer(step), hits.len()), (found, 0));
}

#[test]
fn the_first_zone_wins_even_if_it_has_to_see_the_answer() {
    let policy = rpz(&[
        "32.1.2.0.192.rpz-ip A 203.0.113.1",
        "www.example CNAME .\nother.example CNAME .",
    ]);
    let ask = || question("www.example.", RecordType::A);
    let found = resolved(&["www.example. A 192.0.2.1"]);
    let (step, hits) = run(&policy, UDP, ask(), vec![found]);
    let outcome = answer(step);
    assert_eq!(texts(&outcome), ["www.example. 120 IN A 203.0.113.1"]);
    assert_eq!(
        outcome.extended_errors,
        [(extended_error::FORGED_ANSWER, "rpz0.".to_owned())]
    );
    assert_eq!(hits[0].list.as_deref(), Some("rpz0."));
    let found = resolved(&["www.example. A 192.0.2.2"]);
    let outcome = answer(run(&policy, UDP, ask(), vec![found]).0);
    assert_eq!(
        (outcome.rcode, outcome.ttl_secs),
        (ResponseCode::NXDomain, 60)
    );
    assert_eq!(
        outcome.extended_errors,
        [(extended_error::BLOCKED, "rpz1.".to_owned())]
    );
    assert_eq!(outcome.additional[0].record_type(), RecordType::SOA);
    // Where no zone before has to see the answer, nothing is asked outside.
    let policy = rpz(&["www.example CNAME .", "32.1.2.0.192.rpz-ip A 203.0.113.1"]);
    assert!(matches!(
        run(&policy, UDP, ask(), vec![]).0,
        Step::Answer(_)
    ));
}

#[test]
fn a_name_that_passes_one_zone_passes_all_later_ones_and_the_lists() {
    let mut policy = rpz(&["good.example CNAME rpz-passthru.", "*.example CNAME ."]);
    let list = BlockList::read(
        "ads",
        "example",
        ListForm::Auto,
        BlockAnswer::NxDomain,
        (1, 2),
    )
    .list;
    policy = Policy::new(
        policy.rpz,
        Rules {
            rpz: vec![0, 1],
            block_lists: vec![Arc::new(list)],
            ..Rules::default()
        },
    );
    let found = resolved(&["good.example. A 192.0.2.1"]);
    let (step, _) = run(
        &policy,
        UDP,
        question("good.example.", RecordType::A),
        vec![found.clone()],
    );
    assert_eq!(answer(step), found);
    let (step, _) = run(
        &policy,
        UDP,
        question("bad.example.", RecordType::A),
        vec![],
    );
    assert_eq!(answer(step).rcode, ResponseCode::NXDomain);
}

#[test]
fn within_a_zone_the_client_comes_before_the_name_and_the_name_before_the_answer() {
    let policy = rpz(&[
        "32.1.100.51.198.rpz-client-ip CNAME rpz-drop.\nwww.example CNAME *.\n32.1.2.0.192.rpz-ip CNAME .",
    ]);
    let ask = || question("www.example.", RecordType::A);
    assert_eq!(run(&policy, UDP, ask(), vec![]).0, Step::Drop);
    let other = Client {
        address: Some(Ipv4Addr::LOCALHOST.into()),
        ..UDP
    };
    let outcome = answer(run(&policy, other, ask(), vec![]).0);
    assert_eq!(outcome.rcode, ResponseCode::NoError);
    // Others may not get it: it depends on the client.
    assert_eq!(outcome.ttl_secs, 0);
    let found = resolved(&["x.example. A 192.0.2.1"]);
    let (step, _) = run(
        &policy,
        other,
        question("x.example.", RecordType::A),
        vec![found],
    );
    assert_eq!(answer(step).rcode, ResponseCode::NXDomain);
}

#[test]
fn tcp_only_truncates_datagrams_and_lets_connections_through() {
    let policy = rpz(&["www.example CNAME rpz-tcp-only."]);
    let ask = || question("www.example.", RecordType::A);
    assert_eq!(run(&policy, UDP, ask(), vec![]).0, Step::Truncate);
    let found = resolved(&["www.example. A 192.0.2.1"]);
    let (step, hits) = run(&policy, TCP, ask(), vec![found.clone()]);
    assert_eq!((answer(step), hits.len(), hits[0].acts), (found, 1, false));
}

#[test]
fn names_behind_aliases_are_judged_too_and_the_way_to_them_stays() {
    let policy = rpz(&["bad.example A 203.0.113.1\nslow.example CNAME rpz-tcp-only."]);
    let found = resolved(&[
        "www.example. CNAME bad.example.",
        "bad.example. A 192.0.2.1",
    ]);
    let outcome = answer(
        run(
            &policy,
            UDP,
            question("www.example.", RecordType::A),
            vec![found],
        )
        .0,
    );
    assert_eq!(
        texts(&outcome),
        [
            "www.example. 300 IN CNAME bad.example.",
            "bad.example. 120 IN A 203.0.113.1"
        ]
    );
    assert!(!outcome.authentic);
    let found = resolved(&[
        "www.example. CNAME slow.example.",
        "slow.example. A 192.0.2.1",
    ]);
    let (step, _) = run(
        &policy,
        TCP,
        question("www.example.", RecordType::A),
        vec![found.clone()],
    );
    assert_eq!(answer(step), found);
    // Who asks for the alias itself goes nowhere.
    let alias = resolved(&["www.example. CNAME bad.example."]);
    let asked = question("www.example.", RecordType::CNAME);
    let (step, _) = run(&policy, UDP, asked, vec![alias.clone()]);
    assert_eq!(answer(step), alias);
}

#[test]
fn an_alias_of_a_zone_is_resolved_without_the_zones() {
    let policy = rpz(&["*.example CNAME *.garden.example."]);
    let (mut course, step) = policy.begin(UDP, question("bad.example.", RecordType::A), 0);
    assert!(is_resolved(&step, "bad.example.garden.example."));
    let found = resolved(&["bad.example.garden.example. A 203.0.113.1"]);
    let outcome = answer(policy.go_on(&mut course, found, &known));
    assert_eq!(outcome.answers.len(), 2);
    assert_eq!(
        texts(&outcome)[0],
        "bad.example. 120 IN CNAME bad.example.garden.example."
    );
    assert_eq!(outcome.ttl_secs, 120);
    assert_eq!(outcome.extended_errors[0].0, extended_error::FORGED_ANSWER);
    // Who asks for the alias gets it as it is followed.
    for qtype in [RecordType::CNAME, RecordType::ANY] {
        let (step, _) = run(&policy, UDP, question("bad.example.", qtype), vec![]);
        assert_eq!(
            texts(&answer(step)),
            ["bad.example. 120 IN CNAME bad.example.garden.example."]
        );
    }
}

#[test]
fn a_disabled_zone_is_counted_and_does_nothing() {
    let zones = vec![zone("rpz.", RpzOverride::Disabled, "www.example CNAME .")];
    let policy = Policy::new(
        zones,
        Rules {
            rpz: vec![0],
            ..Rules::default()
        },
    );
    let found = resolved(&["www.example. A 192.0.2.1"]);
    let (step, hits) = run(
        &policy,
        UDP,
        question("www.example.", RecordType::A),
        vec![found.clone()],
    );
    assert_eq!((answer(step), hits.len(), hits[0].acts), (found, 1, false));
}

#[test]
fn a_disabled_zone_that_would_see_the_answer_makes_nothing_else_wait_for_it() {
    let rules = "*.example CNAME rpz-passthru.\n32.1.2.0.192.rpz-ip CNAME .";
    let zones = vec![
        zone("rpz0.", RpzOverride::Disabled, rules),
        zone("rpz1.", RpzOverride::Given, "bad.example CNAME ."),
    ];
    let list = BlockList::read(
        "ads",
        "ads.example",
        ListForm::Auto,
        BlockAnswer::NxDomain,
        (1, 2),
    )
    .list;
    let policy = Policy::new(
        zones,
        Rules {
            rpz: vec![0, 1],
            block_lists: vec![Arc::new(list)],
            ..Rules::default()
        },
    );
    for qname in ["bad.example.", "ads.example."] {
        let (step, hits) = run(&policy, UDP, question(qname, RecordType::A), vec![]);
        assert_eq!(answer(step).rcode, ResponseCode::NXDomain, "{qname}");
        let acts: Vec<_> = hits.iter().map(|hit| hit.acts).collect();
        assert_eq!(acts, [false, true], "{qname}");
    }
    // What was resolved is counted all the same.
    let found = resolved(&["www.net. A 192.0.2.1"]);
    let asked = question("www.net.", RecordType::A);
    let (step, hits) = run(&policy, UDP, asked, vec![found.clone()]);
    assert_eq!((answer(step), hits.len()), (found, 1));
}

/// Draft §5.1 comes before §5.2, and that before §5.4.
#[test]
fn the_first_name_of_a_chain_wins_over_the_first_zone_and_that_over_the_kind_of_trigger() {
    let found = || resolved(&["www.x. CNAME evil.y.", "evil.y. A 192.0.2.1"]);
    let ask = || question("www.x.", RecordType::A);
    for unrelated in ["", "\n32.9.9.9.9.rpz-ip CNAME ."] {
        let first = format!("evil.y CNAME rpz-passthru.{unrelated}");
        let policy = rpz(&[&first, "www.x CNAME ."]);
        let waits = !unrelated.is_empty();
        let outcomes = waits.then(found).into_iter().collect();
        let (step, hits) = run(&policy, UDP, ask(), outcomes);
        let outcome = answer(step);
        assert_eq!(outcome.rcode, ResponseCode::NXDomain, "{unrelated}");
        assert!(outcome.answers.is_empty());
        assert_eq!(hits.len(), 1);
        assert_eq!(hits[0].list.as_deref(), Some("rpz1."));
    }
    // A server of the first name before the name behind the alias, in one zone.
    let policy = rpz(&["evil.y A 203.0.113.1\nns1.bad.example.rpz-nsdname CNAME *."]);
    let found = resolved(&["www.hosted.example. CNAME evil.y.", "evil.y. A 192.0.2.1"]);
    let asked = question("www.hosted.example.", RecordType::A);
    assert!(texts(&answer(run(&policy, UDP, asked, vec![found]).0)).is_empty());
    // Addresses are those of the last name, and come behind what any zone says of names before.
    let policy = rpz(&["32.1.2.0.192.rpz-ip CNAME rpz-drop.", "www.x A 203.0.113.1"]);
    let found = resolved(&["www.x. CNAME evil.y.", "evil.y. A 192.0.2.1"]);
    let outcome = answer(run(&policy, UDP, ask(), vec![found]).0);
    assert_eq!(texts(&outcome), ["www.x. 120 IN A 203.0.113.1"]);
}

#[test]
fn an_alias_of_a_name_for_itself_lets_it_through() {
    let own_alias = "good.example CNAME Good.example.\n*.example CNAME www.example.";
    let policy = rpz(&[own_alias, "*.example CNAME ."]);
    for qname in ["good.example.", "www.example."] {
        let found = resolved(&[&format!("{qname} A 192.0.2.1")]);
        let asked = question(qname, RecordType::A);
        let (step, hits) = run(&policy, UDP, asked, vec![found.clone()]);
        assert_eq!((answer(step), hits.len()), (found, 1), "{qname}");
        assert!(!hits[0].acts);
    }
    let policy = rpz(&["ns1.bad.example.rpz-nsdname CNAME ns1.bad.example."]);
    let found = resolved(&["www.hosted.example. A 192.0.2.1"]);
    let asked = question("www.hosted.example.", RecordType::A);
    let (step, _) = run(&policy, UDP, asked, vec![found.clone()]);
    assert_eq!(answer(step), found);
}

#[test]
fn hints_of_services_are_addresses_of_the_answer() {
    let policy = rpz(&["32.1.2.0.192.rpz-ip CNAME ."]);
    let mut found = resolved(&[]);
    for (hint, rcode) in [
        ("192.0.2.1", ResponseCode::NXDomain),
        ("192.0.2.2", ResponseCode::NoError),
    ] {
        let text = format!("1 . ipv4hint={hint}");
        let data = RData::try_from_str(RecordType::HTTPS, &text).unwrap();
        found.answers = vec![Record::from_rdata(name("www.example."), 60, data)];
        let asked = question("www.example.", RecordType::HTTPS);
        let (step, _) = run(&policy, UDP, asked, vec![found.clone()]);
        assert_eq!(answer(step).rcode, rcode, "{hint}");
    }
}

#[test]
fn lists_block_names_and_aliases_to_them_but_not_what_is_allowed() {
    let list = BlockList::read(
        "ads",
        "ads.example",
        ListForm::Auto,
        BlockAnswer::NxDomain,
        (1, 2),
    )
    .list;
    let policy = Policy::new(
        Vec::new(),
        Rules {
            block_lists: vec![Arc::new(list)],
            allow_names: Arc::new([name("good.ads.example.")].into_iter().collect()),
            ..Rules::default()
        },
    );
    let (step, hits) = run(
        &policy,
        UDP,
        question("x.ads.example.", RecordType::A),
        vec![],
    );
    assert_eq!(answer(step).rcode, ResponseCode::NXDomain);
    assert_eq!(
        hits,
        [Hit {
            kind: Kind::BlockList,
            list: Some("ads".into()),
            acts: true,
        }]
    );
    let found = resolved(&["good.ads.example. A 192.0.2.1"]);
    let (step, _) = run(
        &policy,
        UDP,
        question("good.ads.example.", RecordType::A),
        vec![found],
    );
    assert_eq!(answer(step).answers.len(), 1);
    let found = resolved(&[
        "www.example. CNAME t.ads.example.",
        "t.ads.example. A 192.0.2.1",
    ]);
    let outcome = answer(
        run(
            &policy,
            UDP,
            question("www.example.", RecordType::A),
            vec![found],
        )
        .0,
    );
    assert_eq!(
        (outcome.rcode, outcome.answers.len()),
        (ResponseCode::NXDomain, 1)
    );
}

#[test]
fn local_aliases_lead_through_local_data_and_out_and_circles_end() {
    let mut local = LocalData::default();
    for text in [
        "a.example. CNAME b.example.",
        "b.example. CNAME far.example.net.",
        "c.example. CNAME d.example.",
        "d.example. CNAME c.example.",
    ] {
        local.read(text).unwrap();
    }
    local.add_zone(&name("gone.example."), LocalAction::Drop);
    let policy = Policy::new(
        Vec::new(),
        Rules {
            local: Arc::new(local),
            ..Rules::default()
        },
    );
    let (mut course, step) = policy.begin(UDP, question("a.example.", RecordType::A), 0);
    assert!(is_resolved(&step, "far.example.net."));
    let found = resolved(&["far.example.net. A 192.0.2.1"]);
    assert_eq!(
        answer(policy.go_on(&mut course, found, &known))
            .answers
            .len(),
        3
    );
    let (step, _) = run(&policy, UDP, question("c.example.", RecordType::A), vec![]);
    assert_eq!(answer(step).rcode, ResponseCode::ServFail);
    let (step, _) = run(
        &policy,
        UDP,
        question("x.gone.example.", RecordType::A),
        vec![],
    );
    assert_eq!(step, Step::Drop);
}

fn with_dns64() -> Policy {
    let dns64 = Dns64 {
        prefixes: vec![Nat64Prefix::WELL_KNOWN],
        exclude: vec![Prefix::new("::ffff:0:0".parse().unwrap(), 96).unwrap()],
    };
    Policy::new(
        Vec::new(),
        Rules {
            dns64: Some(Arc::new(dns64)),
            ..Rules::default()
        },
    )
}

#[test]
fn dns64_asks_for_ipv4_addresses_where_there_are_no_others() {
    let policy = with_dns64();
    let (mut course, step) = policy.begin(UDP, question("www.example.", RecordType::AAAA), 0);
    assert!(is_resolved(&step, "www.example."));
    let step = policy.go_on(&mut course, resolved(&[]), &known);
    assert!(matches!(&step, Step::Resolve(second) if second.qtype == RecordType::A));
    let outcome =
        answer(policy.go_on(&mut course, resolved(&["www.example. A 192.0.2.1"]), &known));
    assert_eq!(
        texts(&outcome),
        ["www.example. 300 IN AAAA 64:ff9b::c000:201"]
    );
    assert_eq!(
        course.take_hits(),
        [Hit {
            kind: Kind::Dns64,
            list: None,
            acts: true,
        }]
    );
}

#[test]
fn dns64_leaves_excluded_addresses_out_beside_others_but_not_for_who_validates() {
    let policy = with_dns64();
    let found = resolved(&[
        "www.example. AAAA 2001:db8::1",
        "www.example. AAAA ::ffff:10.0.0.1",
    ]);
    let asked = question("www.example.", RecordType::AAAA);
    let outcome = answer(run(&policy, UDP, asked.clone(), vec![found.clone()]).0);
    assert_eq!(texts(&outcome), ["www.example. 300 IN AAAA 2001:db8::1"]);
    assert!(!outcome.authentic);
    let validates = Question {
        dnssec_ok: true,
        checking_disabled: true,
        ..asked
    };
    let (step, _) = run(&policy, UDP, validates, vec![found.clone()]);
    assert_eq!(answer(step), found);
}

#[test]
fn ipv4_addresses_are_no_answer_where_dns64_was_taken_away_in_between() {
    let policy = with_dns64();
    let asked = question("www.example.", RecordType::AAAA);
    let (mut course, _) = policy.begin(UDP, asked, 0);
    let first = resolved(&[]);
    let step = policy.go_on(&mut course, first.clone(), &known);
    assert!(matches!(&step, Step::Resolve(second) if second.qtype == RecordType::A));
    let found = resolved(&["www.example. A 192.0.2.1"]);
    for policy in [Policy::default(), Policy::new(Vec::new(), Rules::default())] {
        let mut course = course.clone();
        let step = policy.go_on(&mut course, found.clone(), &known);
        assert_eq!(answer(step), first);
    }
}

#[test]
fn dns64_knows_its_own_names() {
    let policy = with_dns64();
    let ask = |qtype| answer(run(&policy, UDP, question("ipv4only.arpa.", qtype), vec![]).0);
    assert_eq!(ask(RecordType::A).answers.len(), 2);
    assert_eq!(
        texts(&ask(RecordType::AAAA)),
        [
            "ipv4only.arpa. 600 IN AAAA 64:ff9b::c000:aa",
            "ipv4only.arpa. 600 IN AAAA 64:ff9b::c000:ab",
        ]
    );
    let reverse = Name::from("64:ff9b::192.0.2.1".parse::<IpAddr>().unwrap());
    let (_, step) = policy.begin(UDP, Question::new(reverse, RecordType::PTR), 0);
    assert!(is_resolved(&step, "1.2.0.192.in-addr.arpa."));
    let plain = Policy::new(Vec::new(), Rules::default());
    let (_, step) = plain.begin(UDP, question("ipv4only.arpa.", RecordType::AAAA), 0);
    assert!(is_resolved(&step, "ipv4only.arpa."));
}

#[test]
fn private_addresses_are_taken_out_of_what_was_resolved() {
    let network = Prefix::new("10.0.0.0".parse().unwrap(), 8).unwrap();
    let rebinding = Rebinding {
        private_addresses: vec![network],
        private_domains: vec![],
    };
    let policy = Policy::new(
        Vec::new(),
        Rules {
            rebinding: Some(Arc::new(rebinding)),
            ..Rules::default()
        },
    );
    let found = resolved(&["www.example. A 10.0.0.1"]);
    let (step, hits) = run(
        &policy,
        UDP,
        question("www.example.", RecordType::A),
        vec![found],
    );
    assert_eq!(
        (answer(step).answers.len(), hits[0].kind),
        (0, Kind::Rebinding)
    );
}

#[test]
fn a_view_has_its_own_rules_and_its_answers_are_nobody_elses() {
    let mut policy = Policy::new(
        Vec::new(),
        Rules {
            minimal_any: true,
            ..Rules::default()
        },
    );
    let mut local = LocalData::default();
    local.read("www.example. A 192.0.2.9").unwrap();
    let network = Prefix::new("198.51.100.0".parse().unwrap(), 24).unwrap();
    policy.add_view(
        &[network],
        Rules {
            local: Arc::new(local),
            ..Rules::default()
        },
    );
    let ask = || question("www.example.", RecordType::A);
    let outcome = answer(run(&policy, UDP, ask(), vec![]).0);
    assert_eq!((outcome.answers.len(), outcome.ttl_secs), (1, 0));
    let nobody = Client {
        address: None,
        is_tcp: true,
    };
    assert!(matches!(
        run(&policy, nobody, ask(), vec![]).0,
        Step::Resolve(_)
    ));
    let any = || question("www.example.", RecordType::ANY);
    assert_eq!(
        answer(run(&policy, nobody, any(), vec![]).0).ttl_secs,
        3_789
    );
}

#[test]
fn what_the_policy_says_stands_in_the_trace() {
    let policy = rpz(&["www.example CNAME ."]);
    let asked = Question {
        trace: true,
        ..question("www.example.", RecordType::A)
    };
    let (_, step) = policy.begin(UDP, asked, 7);
    let trace = answer(step).trace.unwrap();
    let expected = TraceKind::Policy {
        kind: "rpz",
        list: Some("rpz0.".to_owned()),
    };
    assert_eq!((trace[0].at_ms, &trace[0].kind), (7, &expected));
}

#[test]
fn a_zone_that_changes_at_run_time_acts_at_once() {
    let mut policy = rpz(&["www.example CNAME ."]);
    let owner = key(&name("www.example.rpz0."));
    policy
        .rpz_zone_mut("rpz0.")
        .unwrap()
        .remove(&owner, 5, &[0])
        .unwrap();
    let (step, _) = run(
        &policy,
        UDP,
        question("www.example.", RecordType::A),
        vec![],
    );
    assert!(matches!(step, Step::Resolve(_)));
    assert!(policy.rpz_zone_mut("other.").is_none());
}

#[test]
fn names_of_a_zone_are_judged_by_its_servers() {
    for trigger in ["ns1.bad.example.rpz-nsdname", "32.53.113.0.203.rpz-nsip"] {
        let policy = rpz(&[&format!("{trigger} CNAME .")]);
        for (qname, rcode) in [
            ("www.hosted.example.", ResponseCode::NXDomain),
            ("www.other.example.", ResponseCode::NoError),
        ] {
            let found = resolved(&[&format!("{qname} A 192.0.2.1")]);
            let (step, _) = run(&policy, UDP, question(qname, RecordType::A), vec![found]);
            assert_eq!(answer(step).rcode, rcode, "{trigger} {qname}");
        }
        // An alias into the zone is judged, too, and stays.
        let found = resolved(&[
            "www.other.example. CNAME www.hosted.example.",
            "www.hosted.example. A 192.0.2.1",
        ]);
        let asked = question("www.other.example.", RecordType::A);
        let outcome = answer(run(&policy, UDP, asked, vec![found]).0);
        assert_eq!(
            (outcome.rcode, outcome.answers.len()),
            (ResponseCode::NXDomain, 1)
        );
    }
}
