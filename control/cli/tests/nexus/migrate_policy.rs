//! `nexus migrate`: local data, views, policy zones, routes, and what becomes of addresses.

use cli::exit::Exit;
use config::{Any, Config, LocalAction, Networks, RpzOverride};
use serde_json::Value;

use crate::migrate::{entry, migrate};
use crate::support::Place;

/// What is lost, as `option value`.
fn lost(entries: &[Value]) -> Vec<String> {
    let lost = entries.iter().filter(|entry| entry["outcome"] == "lost");
    lost.map(|entry| format!("{} {}", entry["option"], entry["value"]).replace('"', ""))
        .collect()
}

/// Migrates a text of which nothing is lost.
fn whole(place: &Place, text: &str) -> (Vec<Value>, Config) {
    let (exit, entries, config) = migrate(place, text);
    assert_eq!(lost(&entries), [""; 0], "{text}");
    assert_eq!(exit, Exit::Success);
    (entries, config)
}

fn actions(zones: &[config::LocalZone]) -> Vec<(&str, LocalAction)> {
    zones
        .iter()
        .map(|zone| (&*zone.name, zone.action))
        .collect()
}

fn texts(networks: &Networks) -> Vec<String> {
    networks
        .as_slice()
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn local_zones_get_the_action_that_does_the_same() {
    let place = Place::new();
    let text = "server:
  local-zone: Filled.example. static
  local-data: 'a.filled.example. 60 IN A 192.0.2.1'
  local-zone: empty.example static
  local-zone: open.example transparent
  local-zone: types.example typetransparent
  local-zone: watched.example inform
  local-zone: turned.example redirect
  local-data: 'turned.example TXT \"a b\"'
  local-zone: refused.example refuse
  local-zone: silent.example always_deny
  local-zone: gone.example always_nxdomain
  local-zone: gone.example static
  local-zone: void.example always_nodata
  local-zone: null.example always_null
  local-data: 'x.null.example A 192.0.2.1'
  local-data-ptr: '192.0.2.3 7200 host.example'
  local-data-ptr: '2001:db8::1 host.example'
  local-zone: 10.in-addr.arpa nodefault
";
    let (entries, config) = whole(&place, text);
    use LocalAction::{Drop, Nodata, Nxdomain, Redirect, Refuse, Static, Transparent};
    let resolver = &config.resolver;
    assert_eq!(
        actions(&resolver.local_zones),
        [
            ("filled.example.", Static),
            ("empty.example.", Nxdomain),
            ("open.example.", Transparent),
            ("types.example.", Transparent),
            ("watched.example.", Transparent),
            ("turned.example.", Redirect),
            ("refused.example.", Refuse),
            ("silent.example.", Drop),
            ("gone.example.", Nxdomain),
            ("void.example.", Nodata),
            ("null.example.", Redirect),
        ]
    );
    let reverse = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.";
    assert_eq!(
        resolver.local_data,
        [
            "a.filled.example. 60 IN A 192.0.2.1",
            "turned.example TXT \"a b\"",
            "null.example. A 0.0.0.0",
            "null.example. AAAA ::",
            "3.2.0.192.in-addr.arpa. 7200 PTR host.example",
            &format!("{reverse} PTR host.example"),
        ]
    );
    assert_eq!(resolver.special_names_except, ["10.in-addr.arpa."]);
    assert!(entries.iter().any(|entry| {
        entry["value"] == "x.null.example A 192.0.2.1" && entry["outcome"] == "default"
    }));
}

#[test]
fn local_zones_and_data_without_a_counterpart_are_lost_with_the_reason() {
    let place = Place::new();
    let text = "server:
  local-zone: a.example refuse
  local-data: 'x.a.example A 192.0.2.1'
  local-zone: b.example deny
  local-data: 'x.b.example A 192.0.2.1'
  local-zone: c.example typetransparent
  local-data: 'x.c.example A 192.0.2.1'
  local-zone: d.example block_a
  local-zone: e.example invented
  local-data: 'f.example A nonsense'
  local-data-ptr: 'host.example 192.0.2.1'
  local-zone: 'ä.example' static
";
    let (exit, entries, config) = migrate(&place, text);
    assert_eq!(exit, Exit::Failure);
    assert_eq!(
        lost(&entries),
        [
            "local-zone a.example refuse",
            "local-zone b.example deny",
            "local-zone c.example typetransparent",
            "local-zone d.example block_a",
            "local-zone e.example invented",
            "local-data f.example A nonsense",
            "local-data-ptr host.example 192.0.2.1",
            "local-zone ä.example static",
        ]
    );
    use LocalAction::{Drop, Refuse, Static, Transparent};
    assert_eq!(
        actions(&config.resolver.local_zones),
        [
            ("a.example.", Refuse),
            ("b.example.", Drop),
            ("c.example.", Transparent),
            ("x.a.example.", Static),
            ("x.b.example.", Static),
        ]
    );
    assert_eq!(config.resolver.local_data.len(), 3);
}

#[test]
fn views_have_the_networks_whose_longest_rule_names_them() {
    let place = Place::new();
    let text = "server:
  access-control: 10.0.0.0/8 refuse
  access-control: 10.1.0.0/16 allow
  access-control-view: 10.0.0.0/8 inside
  access-control-view: 192.0.2.0/24 inside
  access-control-view: 192.0.2.0/25 other
  local-data: 'everywhere.example A 192.0.2.1'
view:
  name: inside
  local-zone: inside.example static
  local-data: 'a.inside.example A 10.0.0.1'
view:
  name: other
view:
  name: nobody
  local-zone: nobody.example static
";
    let (entries, config) = whole(&place, text);
    let resolver = &config.resolver;
    let [inside, other] = resolver.views.as_slice() else {
        panic!("{:?}", resolver.views)
    };
    let clients = texts(&inside.clients);
    assert!(
        clients.contains(&"192.0.2.128/25".to_owned()),
        "{clients:?}"
    );
    let is_inside = |address: &str| inside.clients.contain(address.parse().unwrap());
    assert!(is_inside("10.0.0.1") && is_inside("10.2.0.1"));
    assert!(!is_inside("10.1.0.1"), "a rule without view");
    assert!(!is_inside("192.0.2.1"));
    assert_eq!(texts(&other.clients), ["192.0.2.0/25"]);
    let zones = inside.local_zones.as_deref().unwrap();
    assert_eq!(actions(zones), [("inside.example.", LocalAction::Static)]);
    let data = inside.local_data.as_deref().unwrap();
    assert_eq!(data, ["a.inside.example A 10.0.0.1"]);
    assert_eq!(
        other.local_data.as_deref(),
        Some(&[][..]),
        "nothing of the others'"
    );
    let is_allowed = |address: &str| resolver.allow.contain(address.parse().unwrap());
    assert!(is_allowed("192.0.2.1") && !is_allowed("10.0.0.1"));
    let mut nobody = entries.iter().filter(|entry| entry["value"] == "nobody");
    assert_eq!(nobody.next_back().unwrap()["outcome"], "default");
}

#[test]
fn view_first_asks_for_everybody_what_the_view_leaves_open() {
    let place = Place::new();
    let text = "server:
  access-control-view: 10.0.0.0/8 inside
  local-zone: closed.example static
  local-data: 'a.closed.example A 192.0.2.1'
  local-zone: mine.example redirect
  local-data: 'mine.example A 192.0.2.2'
  local-data: 'below.own.example A 192.0.2.3'
  local-data: 'both.example A 192.0.2.4'
view:
  name: inside
  view-first: yes
  local-zone: own.example static
  local-zone: closed.example transparent
  local-data: 'x.mine.example A 10.0.0.1'
  local-data: 'both.example A 10.0.0.2'
  response-ip: 192.0.2.0/24 deny
";
    let (exit, entries, config) = migrate(&place, text);
    assert_eq!(exit, Exit::Failure);
    assert_eq!(lost(&entries), ["response-ip 192.0.2.0/24 deny"]);
    let view = &config.resolver.views[0];
    use LocalAction::{Nxdomain, Redirect, Static, Transparent};
    assert_eq!(
        actions(view.local_zones.as_deref().unwrap()),
        [
            ("own.example.", Nxdomain),
            ("x.mine.example.", Transparent),
            ("closed.example.", Static),
            ("mine.example.", Redirect),
        ]
    );
    assert_eq!(
        view.local_data.as_deref().unwrap(),
        [
            "x.mine.example A 10.0.0.1",
            "both.example A 10.0.0.2",
            "a.closed.example A 192.0.2.1",
            "mine.example A 192.0.2.2",
        ]
    );
}

#[test]
fn policy_zones_with_a_file_are_taken_over_in_their_order() {
    let place = Place::new();
    let zone = "$TTL 60\n@ SOA ns. h. 1 60 60 60 60\n@ NS ns.\nads.example CNAME .\n";
    place.write("a.rpz", zone);
    place.write("b.rpz", zone);
    let text = "rpz:
  name: a.rpz
  zonefile: a.rpz
rpz:
  name: B.rpz
  zonefile: b.rpz
  rpz-action-override: cname
  rpz-cname-override: garden.example
";
    let (_, config) = whole(&place, text);
    let [a, b] = config.resolver.rpz.as_slice() else {
        panic!("{:?}", config.resolver.rpz)
    };
    assert_eq!((&*a.zone, &a.file), ("a.rpz.", &Some(place.path("a.rpz"))));
    assert_eq!(a.policy, RpzOverride::Given);
    assert_eq!(b.policy, RpzOverride::Cname);
    assert_eq!(b.cname.as_deref(), Some("garden.example."));
    let copied =
        "rpz:\n name: a\n zonefile: absent\n primary: 192.0.2.1\n primary: 2001:db8::1@5353";
    let (_, config) = whole(&place, copied);
    let zone = &config.resolver.rpz[0];
    assert_eq!(zone.file, None);
    let primaries: Vec<_> = zone.primaries.iter().map(ToString::to_string).collect();
    assert_eq!(primaries, ["192.0.2.1:53", "[2001:db8::1]:5353"]);
    for (text, count) in [
        ("rpz:\n name: a\n zonefile: absent", 0),
        ("rpz:\n name: a\n url: http://x.example/rpz", 0),
        ("rpz:\n name: a\n zonefile: a.rpz\n tags: t", 0),
        ("rpz:\n name: a\n primary: ns.example", 0),
        ("rpz:\n name: a\n primary: 192.0.2.1#tls.example", 0),
        ("rpz:\n name: a\n zonefile: a.rpz\n primary: ns.example", 1),
        (
            "rpz:\n name: a\n primary: 192.0.2.1\n primary: ns.example",
            1,
        ),
        (
            "rpz:\n name: a\n zonefile: a.rpz\n rpz-action-override: x",
            0,
        ),
    ] {
        let (exit, entries, config) = migrate(&place, text);
        assert_eq!(exit, Exit::Failure, "{text}");
        assert_eq!(lost(&entries), ["rpz a"], "{text}");
        assert_eq!(config.resolver.rpz.len(), count, "{text}");
    }
}

#[test]
fn forward_and_stub_zones_become_routes() {
    let place = Place::new();
    let text = "forward-zone:
  name: Corp.example
  forward-addr: 192.0.2.1@5353
  forward-addr: 2001:db8::1@53#dns.example
forward-zone:
  name: .
  forward-addr: 192.0.2.2
  forward-first: yes
stub-zone:
  name: 10.in-addr.arpa
  stub-addr: 10.0.0.1
  stub-addr: 10.0.0.1
  stub-prime: yes
";
    let (_, config) = whole(&place, text);
    let resolver = &config.resolver;
    assert!(resolver.forward.is_empty());
    assert_eq!(resolver.special_names_except, ["local.", "alt."]);
    let shown = |servers: &[config::Upstream]| -> Vec<String> {
        servers.iter().map(ToString::to_string).collect()
    };
    let [corp, root] = resolver.forward_zones.as_slice() else {
        panic!("{:?}", resolver.forward_zones)
    };
    assert_eq!((&*corp.zone, corp.fallback), ("corp.example.", false));
    assert_eq!(shown(&corp.servers), ["192.0.2.1:5353", "[2001:db8::1]:53"]);
    assert_eq!((&*root.zone, root.fallback), (".", true));
    let stub = &resolver.stub_zones[0];
    assert_eq!((&*stub.zone, stub.prime), ("10.in-addr.arpa.", true));
    assert_eq!(shown(&stub.servers), ["10.0.0.1:53"]);
    for (text, routes) in [
        (
            "forward-zone:\n name: a\n forward-addr: 192.0.2.1\n forward-tls-upstream: yes",
            0,
        ),
        ("forward-zone:\n name: a", 0),
        ("stub-zone:\n name: a\n stub-host: ns.example", 0),
        (
            "stub-zone:\n name: a\n stub-addr: 192.0.2.1\n stub-first: yes",
            1,
        ),
        (
            "forward-zone:\n name: a\n forward-addr: 192.0.2.1\nstub-zone:\n name: a\n stub-addr: 192.0.2.2",
            1,
        ),
    ] {
        let (exit, _, config) = migrate(&place, text);
        assert_eq!(exit, Exit::Failure, "{text}");
        let resolver = &config.resolver;
        let count = resolver.forward_zones.len() + resolver.stub_zones.len();
        assert_eq!(count, routes, "{text}");
    }
}

#[test]
fn copy_of_the_root_for_the_resolver_alone_is_a_local_root() {
    let place = Place::new();
    place.write(
        "root.zone",
        ". 60 SOA a. b. 1 60 60 60 60\n. 60 NS a.\na. 60 A 192.0.2.1\n",
    );
    let text = "auth-zone:
  name: .
  url: https://root.example/root.zone
  for-downstream: no
  for-upstream: yes
  zonefile: root.zone
";
    let (entries, config) = whole(&place, text);
    let root = config.resolver.local_root.as_ref().unwrap();
    assert_eq!(root.file, Some(place.path("root.zone")));
    assert!(config.zones.is_empty());
    assert_eq!(entry(&entries, "auth-zone")["key"], "resolver.local_root");
    let (entries, config) = whole(&place, &text.replace("root.zone", "absent"));
    assert_eq!(entry(&entries, "auth-zone")["outcome"], "no-effect");
    assert_eq!(config.resolver.local_root, None);
    let copied = text.replace("url: https://root.example/root.zone", "primary: 192.0.2.1");
    let (_, config) = whole(&place, &copied);
    let root = config.resolver.local_root.unwrap();
    assert_eq!((root.file, root.primaries.len()), (None, 1));
    let (_, config) = whole(&place, &text.replace("upstream: yes", "upstream: no"));
    assert_eq!(config.resolver.local_root, None);
}

#[test]
fn addresses_are_made_and_kept_out_as_before() {
    let place = Place::new();
    let text = "server:
  module-config: 'dns64 respip validator iterator'
  private-address: 10.1.2.3/8
  private-address: ::ffff:0:0/96
  private-domain: corp.example
  deny-any: no
  unblock-lan-zones: yes
  insecure-lan-zones: yes
";
    let (_, config) = whole(&place, text);
    let resolver = &config.resolver;
    assert_eq!(texts(&resolver.dns64.prefixes), ["64:ff9b::/96"]);
    let rebinding = &resolver.rebinding;
    assert_eq!(texts(&rebinding.private_addresses)[0], "10.0.0.0/8");
    assert_eq!(rebinding.private_domains, ["corp.example."]);
    assert_eq!(resolver.any, Any::Full);
    let private = "31.172.in-addr.arpa.".to_owned();
    assert!(resolver.special_names_except.contains(&private));
    assert!(resolver.negative_trust_anchors.contains(&private));
    let text = "server:
  module-config: 'dns64 iterator'
  dns64-prefix: 2001:db8:64::/48
  dns64-synthall: yes
  deny-any: yes
";
    let (_, config) = whole(&place, text);
    let dns64 = &config.resolver.dns64;
    assert_eq!(texts(&dns64.prefixes), ["2001:db8:64::/48"]);
    assert!(dns64.exclude.contain("2001:db8::1".parse().unwrap()));
    assert_eq!(config.resolver.any, Any::Minimal);
    let (_, config) = whole(&place, &text.replace("dns64 iterator", "iterator"));
    assert!(config.resolver.dns64.prefixes.as_slice().is_empty());
    for prefix in ["2001:db8::/80", "10.0.0.0/8", "2001:db8:0:0:100::/96", "x"] {
        let text = text.replace("2001:db8:64::/48", prefix);
        let (_, entries, config) = migrate(&place, &text);
        assert_eq!(lost(&entries), [format!("dns64-prefix {prefix}")]);
        assert_eq!(texts(&config.resolver.dns64.prefixes), ["64:ff9b::/96"]);
    }
}

#[test]
fn client_subnets_are_shown_to_the_servers_of_the_same_zones() {
    let place = Place::new();
    let text = "server:
  client-subnet-zone: cdn.example
  max-client-subnet-ipv4: 20
  max-client-subnet-ipv6: 48
";
    let (_, config) = whole(&place, text);
    let subnet = &config.resolver.client_subnet;
    assert_eq!(subnet.zones, ["cdn.example."]);
    assert_eq!((subnet.ipv4_bits, subnet.ipv6_bits), (20, 48));
    let without = format!("{text}  module-config: iterator\n  send-client-subnet: 192.0.2.1\n");
    let (_, config) = whole(&place, &without);
    assert!(config.resolver.client_subnet.zones.is_empty());
    let (_, entries, _) = migrate(&place, &format!("{text}  send-client-subnet: 192.0.2.1\n"));
    assert_eq!(lost(&entries), ["send-client-subnet 192.0.2.1"]);
}

#[test]
fn thousands_of_blocking_zones_become_lists_that_block_the_same() {
    let place = Place::new();
    let zones = |count: u32, kind: &str| -> String {
        let zone = |index| format!("  local-zone: {kind}{index}.example {kind}\n");
        (0..count).map(zone).collect()
    };
    let mut text = "server:\n  access-control-view: 10.0.0.0/8 inside\n".to_owned();
    text += &zones(1_500, "always_nxdomain");
    text += &zones(1_500, "always_null");
    text += &zones(10, "always_refuse");
    // What is not blocked like all the rest has to stay.
    text += "  local-zone: open.always_nxdomain0.example transparent
  local-data: 'a.always_nxdomain1.example A 192.0.2.1'
  local-zone: other.always_nxdomain2.example always_nodata
  local-zone: other.always_nxdomain3.example always_null
  local-zone: closed.org static
  local-data: 'a.closed.org A 192.0.2.1'
  local-zone: x.closed.org always_nxdomain
";
    text += "view:\n  name: inside\n  local-zone: own.example always_nxdomain\n";
    let (_, config) = whole(&place, &text);
    let resolver = &config.resolver;
    let [nxdomain, null] = resolver.block_lists.as_slice() else {
        panic!("{:?}", resolver.block_lists)
    };
    assert_eq!(nxdomain.file, place.path("blocked-nxdomain.txt"));
    assert_eq!(null.file, place.path("blocked-null.txt"));
    assert_eq!(null.answer, config::BlockAnswer::Null);
    let listed = |list: &config::BlockList| -> Vec<String> {
        let text = std::fs::read_to_string(&list.file).unwrap();
        text.lines().map(str::to_owned).collect()
    };
    let names = listed(nxdomain);
    assert!(names.contains(&"always_nxdomain4.example.".to_owned()));
    let kept: Vec<_> = resolver
        .local_zones
        .iter()
        .map(|zone| &*zone.name)
        .collect();
    for name in [
        "always_nxdomain0.example.",
        "always_nxdomain1.example.",
        "always_nxdomain2.example.",
        "always_nxdomain3.example.",
        "other.always_nxdomain3.example.",
        "x.closed.org.",
        "always_refuse0.example.",
    ] {
        assert!(kept.contains(&name), "{name}");
        assert!(!names.contains(&name.to_owned()), "{name}");
    }
    assert_eq!((names.len(), listed(null).len()), (1_496, 1_500));
    assert!(kept.len() < 25);
    assert_eq!(
        resolver.local_data.len(),
        4,
        "and two for the null zone that stays"
    );
    let view = &resolver.views[0];
    assert_eq!(view.block_lists.as_deref(), Some(&[][..]));
}
