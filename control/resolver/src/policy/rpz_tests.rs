//! Rules of one policy zone.

use super::*;
use hickory_proto::rr::RecordType;

const ZONE: &str = "\
$TTL 120
@ SOA ns. host. 1 3600 600 86400 60
@ NS ns.
missing.example CNAME .
empty.example CNAME *.
*.wild.example CNAME .
*.a.wild.example CNAME rpz-passthru.
exact.wild.example CNAME rpz-drop.
slow.example CNAME rpz-tcp-only.
data.example A 192.0.2.1
data.example A 192.0.2.2
data.example TXT \"blocked\"
garden.example CNAME *.garden.example.net.
24.0.2.0.192.rpz-ip CNAME .
32.7.2.0.192.rpz-ip CNAME rpz-passthru.
8.0.0.0.10.rpz-client-ip CNAME rpz-drop.
32.1.2.0.192.rpz-nsip CNAME .
*.bad.example.rpz-nsdname CNAME *.
99.rpz-nsip CNAME .
";

fn zone(policy: Override) -> RpzZone {
    let apex = Name::from_ascii("rpz.test.").unwrap();
    let mut loader = |_: &str, _: &str| Err(String::new());
    let read = RpzZone::read(&apex, policy, ZONE.as_bytes(), "rpz.zone", &mut loader);
    let (zone, remarks) = read.unwrap();
    assert_eq!(remarks.len(), 1);
    assert_eq!(remarks[0].place.line, 19);
    zone
}

fn wire(text: &str) -> Key {
    key(&Name::from_ascii(text).unwrap())
}

fn find(zone: &RpzZone, text: &str) -> Option<Action> {
    zone.find_name(&wire(text)).map(|found| found.action)
}

#[test]
fn the_records_of_a_name_say_what_becomes_of_it() {
    let zone = zone(Override::Given);
    assert_eq!(zone.len(), 13);
    for (name, expected) in [
        ("missing.example.", Some(Action::NxDomain)),
        ("x.missing.example.", None),
        ("empty.example.", Some(Action::NoData)),
        ("slow.example.", Some(Action::TcpOnly)),
        ("wild.example.", None),
        ("x.y.wild.example.", Some(Action::NxDomain)),
        ("x.a.wild.example.", Some(Action::PassThru)),
        ("exact.wild.example.", Some(Action::Drop)),
        ("www.example.", None),
    ] {
        assert_eq!(find(&zone, name), expected, "{name}");
    }
    let Some(Action::Data(records)) = find(&zone, "data.example.") else {
        panic!("no data")
    };
    assert_eq!((records.len(), records[0].ttl), (3, 120));
}

#[test]
fn the_longest_network_of_all_addresses_counts() {
    let zone = zone(Override::Given);
    let record = |text: &str| {
        let data = RData::try_from_str(RecordType::A, text).unwrap();
        Record::from_rdata(Name::root(), 60, data)
    };
    let find = |texts: &[&str]| {
        let records: Vec<_> = texts.iter().map(|text| record(text)).collect();
        zone.find_answer(&records).map(|found| found.action)
    };
    assert_eq!(find(&["192.0.2.1"]), Some(Action::NxDomain));
    assert_eq!(find(&["192.0.2.1", "192.0.2.7"]), Some(Action::PassThru));
    assert_eq!(find(&["198.51.100.1"]), None);
    let client = |text: &str| zone.find_client(Some(text.parse().unwrap()));
    assert_eq!(client("10.1.2.3").unwrap().action, Action::Drop);
    assert_eq!(client("192.0.2.1"), None);
    assert_eq!(zone.find_client(None), None);
}

#[test]
fn servers_set_rules_off_by_name_before_address() {
    let zone = zone(Override::Given);
    let find = |names: &[&str], addresses: &[&str]| {
        let servers = Servers {
            names: names.iter().map(|text| wire(text)).collect(),
            addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
        };
        zone.find_servers(&servers).map(|found| found.action)
    };
    let good = "ns.good.example.";
    assert_eq!(find(&[good], &["192.0.2.1"]), Some(Action::NxDomain));
    assert_eq!(
        find(&[good, "ns.bad.example."], &["192.0.2.1"]),
        Some(Action::NoData)
    );
    assert_eq!(find(&[good], &["192.0.2.2"]), None);
}

#[test]
fn an_override_acts_where_a_rule_would() {
    let garden = Name::from_ascii("garden.").unwrap();
    for (policy, expected) in [
        (Override::PassThru, Action::PassThru),
        (Override::Drop, Action::Drop),
        (Override::NxDomain, Action::NxDomain),
        (Override::NoData, Action::NoData),
        (Override::TcpOnly, Action::TcpOnly),
    ] {
        assert_eq!(find(&zone(policy), "data.example."), Some(expected));
    }
    let zone = zone(Override::Cname(garden.clone()));
    let Some(Action::Data(records)) = find(&zone, "missing.example.") else {
        panic!("no alias")
    };
    let qname = Name::from_ascii("missing.example.").unwrap();
    let (target, ttl_secs) = alias_of(&records).unwrap();
    assert_eq!((expand(target, &qname), ttl_secs), (Some(garden), 120));
    assert_eq!(find(&zone, "www.example."), None);
}

#[test]
fn a_wildcard_alias_takes_the_whole_name_along() {
    let zone = zone(Override::Given);
    let qname = Name::from_ascii("garden.example.").unwrap();
    let Some(Action::Data(records)) = find(&zone, "garden.example.") else {
        panic!("no alias")
    };
    let (alias, _) = alias_of(&records).unwrap();
    let target = expand(alias, &qname).unwrap();
    assert_eq!(target.to_string(), "garden.example.garden.example.net.");
    let long = format!("{}example.", "a23456789.".repeat(24));
    let long = Name::from_ascii(long).unwrap();
    assert_eq!(expand(alias, &long), None);
}

#[test]
fn records_come_and_go_one_by_one() {
    let mut zone = zone(Override::Given);
    let (owner, count) = (wire("data.example.rpz.test."), zone.len());
    zone.remove(&owner, 1, &[192, 0, 2, 1]).unwrap();
    let Some(Action::Data(records)) = find(&zone, "data.example.") else {
        panic!("no data")
    };
    assert_eq!(records.len(), 2);
    zone.remove(&owner, 1, &[192, 0, 2, 2]).unwrap();
    zone.remove(&owner, 16, b"\x07blocked").unwrap();
    assert_eq!(
        (find(&zone, "data.example."), zone.len()),
        (None, count - 1)
    );
    zone.add(&owner, 5, 60, b"\0").unwrap();
    assert_eq!(find(&zone, "data.example."), Some(Action::NxDomain));
    zone.remove(&owner, 5, b"\x01*\0").unwrap();
    assert_eq!(zone.len(), count, "another record than there is");
    for (gone, owner) in ["24.0.2.0.192.rpz-ip", "32.1.2.0.192.rpz-nsip"]
        .iter()
        .enumerate()
    {
        let network = wire(&format!("{owner}.rpz.test."));
        zone.remove(&network, 5, b"\0").unwrap();
        assert_eq!(zone.len(), count - 1 - gone);
    }
    assert!(zone.remove(&wire("x.example."), 5, b"\0").is_err());
}

#[test]
fn denials_last_as_long_as_rule_and_soa_allow() {
    let zone = zone(Override::Given);
    let (soa, ttl_secs) = zone.soa(120);
    assert_eq!((soa.unwrap().ttl, ttl_secs), (60, 60));
    assert_eq!(zone.soa(5).1, 5);
}

#[test]
fn any_text_is_a_zone_or_is_refused() {
    bolero::check!()
        .with_iterations(3_000)
        .for_each(|bytes: &[u8]| {
            let apex = Name::from_ascii("rpz.test.").unwrap();
            let mut loader = |_: &str, _: &str| Err(String::new());
            let _ = RpzZone::read(&apex, Override::Given, bytes, "rpz", &mut loader);
        });
}
