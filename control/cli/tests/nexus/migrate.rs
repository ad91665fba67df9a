//! `nexus migrate`: what an `unbound.conf` becomes, and what is said about the rest.

use std::path::Path;

use cli::exit::Exit;
use config::{Config, Dnssec, DnstapMessage, QnameMinimisation, Source};
use serde_json::Value;

use crate::support::Place;

const KSK: &str =
    ". IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D";

const EVERYTHING: &str = r#"server:
  interface: 192.0.2.53@5353 # the only one
  interface: "2001:db8::53@5353"
  port: 5353
  access-control: 10.0.0.0/8 allow
  access-control: 10.1.0.0/16 refuse
  access-control: 127.0.0.0/8 deny
  rrset-cache-size: 256m
  msg-cache-size: 64m
  cache-max-ttl: 3600
  cache-min-ttl: 60
  num-threads: 2
  num-queries-per-thread: 4096
  incoming-num-tcp: 50
  qname-minimisation-strict: yes
  use-caps-for-id: no
  root-hints: named.root
  trust-anchor: "{KSK}"
  domain-insecure: Broken.example
  val-override-date: 20270115080000
  answer-cookie: yes
  cookie-secret: 000102030405060708090a0b0c0d0e0f
  ip-ratelimit: 100
  hide-version: yes
  identity: ns1
forward-zone:
  name: "."
  forward-addr: 192.0.2.1
  forward-addr: 2001:db8::1@54#dns.example
"#;

/// Migrates this text; the exit status, the report and what the new file says.
pub(crate) fn migrate(place: &Place, text: &str) -> (Exit, Vec<Value>, Config) {
    let source = place.write("unbound.conf", text);
    let output = place.path("new.yaml");
    let arguments = [
        "migrate",
        source.to_str().unwrap(),
        "--output",
        output.to_str().unwrap(),
        "--force",
        "--json",
    ];
    let (exit, report) = place.run(&arguments);
    let exit = exit.unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    let entries = report["entries"].as_array().unwrap().clone();
    let (check, findings) = place.run(&["check", output.to_str().unwrap()]);
    assert_eq!(check.unwrap(), Exit::Success, "{findings}");
    (exit, entries, Config::load(&output).unwrap())
}

pub(crate) fn entry<'e>(entries: &'e [Value], option: &str) -> &'e Value {
    let mut found = entries.iter().filter(|entry| entry["option"] == option);
    found
        .next()
        .unwrap_or_else(|| panic!("{option}: {entries:?}"))
}

#[test]
fn a_resolver_with_equivalents_for_everything_is_taken_over_whole() {
    let place = Place::new();
    place.write("named.root", ". NS a.\na. A 192.0.2.1\n");
    let text = EVERYTHING.replace("{KSK}", KSK);
    let (exit, entries, config) = migrate(&place, &text);
    let lost: Vec<_> = entries.iter().filter(|e| e["outcome"] == "lost").collect();
    assert!(lost.is_empty(), "{lost:?}");
    assert_eq!(exit, Exit::Success);
    let resolver = &config.resolver;
    let listen: Vec<_> = resolver.listen.iter().map(ToString::to_string).collect();
    assert_eq!(listen, ["192.0.2.53", "2001:db8::53"]);
    assert_eq!(config.dataplane.ports.dns, 5353);
    for (client, is_allowed) in [
        ("10.0.0.1", true),
        ("10.1.0.1", false),
        ("10.2.0.0", true),
        ("127.0.0.1", false),
        ("192.168.0.1", false),
        ("::1", true),
    ] {
        assert_eq!(
            resolver.allow.contain(client.parse().unwrap()),
            is_allowed,
            "{client}"
        );
    }
    assert_eq!(
        (resolver.cache_bytes, resolver.message_cache_bytes),
        (256 << 20, 64 << 20)
    );
    assert_eq!((resolver.ttl.min_secs, resolver.ttl.max_secs), (60, 3600));
    assert_eq!(
        (resolver.questions_max, resolver.tcp.connections_max),
        (8192, 100)
    );
    assert_eq!(resolver.qname_minimisation, QnameMinimisation::Strict);
    assert!(!resolver.case_randomisation);
    assert_eq!(resolver.root_hints, Source::File(place.path("named.root")));
    assert_eq!(
        resolver.trust_anchors,
        Source::File(place.path("trust-anchors.zone"))
    );
    assert_eq!(resolver.negative_trust_anchors, ["broken.example."]);
    assert_eq!(resolver.validation_time, Some(1_800_000_000));
    assert!(resolver.cookies.secrets().unwrap().is_some());
    assert_eq!(config.dataplane.response_rate_limit.per_second, 100);
    assert_eq!(
        (resolver.identity.as_deref(), resolver.version.as_deref()),
        (Some("ns1"), Some(""))
    );
    let forward: Vec<_> = resolver.forward.iter().map(ToString::to_string).collect();
    assert_eq!(forward, ["192.0.2.1:53", "[2001:db8::1]:54"]);
}

#[test]
fn what_changes_answers_or_access_fails_and_the_rest_does_not() {
    let place = Place::new();
    let harmless = "server:\n verbosity: 1\n so-rcvbuf: 4m\n do-udp: yes\nremote-control:\n control-enable: yes\n";
    let (exit, entries, _) = migrate(&place, harmless);
    assert_eq!(exit, Exit::Success, "{entries:?}");
    assert_eq!(entry(&entries, "verbosity")["outcome"], "no-effect");
    assert_eq!(entry(&entries, "do-udp")["outcome"], "default");
    for (text, option) in [
        ("server:\n local-zone: ads.example block_a", "local-zone"),
        ("server:\n tls-service-key: key.pem", "tls-service-key"),
        ("server:\n do-udp: no", "do-udp"),
        ("server:\n interface: eth0", "interface"),
        (
            "server:\n interface: 192.0.2.1\n interface: 192.0.2.1@853",
            "interface",
        ),
        (
            "server:\n access-control: 10.0.0.0/8 allow_cookie",
            "access-control",
        ),
        (
            "server:\n access-control: 10.0.0.0/33 allow",
            "access-control",
        ),
        (
            "server:\n module-config: \"python validator iterator\"",
            "module-config",
        ),
        ("server:\n invented-tomorrow: yes", "invented-tomorrow"),
        ("server:\n root-hints: absent", "root-hints"),
        ("server:\n trust-anchor-file: absent", "trust-anchor-file"),
        ("server:\n trust-anchor: 'nonsense'", "trust-anchor"),
        (
            "forward-zone:\n name: .\n forward-addr: 192.0.2.1@853\n forward-tls-upstream: yes",
            "forward-zone",
        ),
        (
            "forward-zone:\n name: example.com\n forward-host: ns.example",
            "forward-zone",
        ),
        (
            "stub-zone:\n name: example.com\n stub-addr: 192.0.2.1\n stub-first: yes",
            "stub-zone",
        ),
        (
            "auth-zone:\n name: example.com\n primary: 192.0.2.1\n zonefile: x",
            "auth-zone",
        ),
        ("rpz:\n name: rpz.example\n zonefile: x", "rpz"),
        (
            "server:\n access-control-view: 10.0.0.0/8 absent",
            "access-control-view",
        ),
    ] {
        let (exit, entries, _) = migrate(&place, text);
        assert_eq!(exit, Exit::Failure, "{text}");
        let lost = entries.iter().find(|entry| entry["outcome"] == "lost");
        assert_eq!(lost.unwrap()["option"], option, "{text}");
    }
}

#[test]
fn without_options_the_access_and_addresses_are_those_of_unbound() {
    let place = Place::new();
    let (exit, _, config) = migrate(&place, "server:\n");
    assert_eq!(exit, Exit::Success);
    assert_eq!(
        config.resolver.listen,
        [
            "127.0.0.1".parse::<std::net::IpAddr>().unwrap(),
            "::1".parse().unwrap()
        ]
    );
    assert!(config.resolver.allow.contain("127.0.0.1".parse().unwrap()));
    assert!(!config.resolver.allow.contain("10.0.0.1".parse().unwrap()));
    assert_eq!(
        config.resolver.dnssec,
        Dnssec::Off,
        "no anchor, no validation"
    );
    let (_, _, config) = migrate(&place, "server:\n do-ip6: no\n interface-automatic: yes\n");
    assert_eq!(
        config.resolver.listen,
        ["0.0.0.0".parse::<std::net::IpAddr>().unwrap()]
    );
}

#[test]
fn without_the_validator_nothing_is_validated_whatever_the_anchors() {
    let place = Place::new();
    let text = format!("server:\n module-config: iterator\n trust-anchor: \"{KSK}\"\n");
    let (exit, entries, config) = migrate(&place, &text);
    assert_eq!((exit, config.resolver.dnssec), (Exit::Success, Dnssec::Off));
    assert_eq!(entry(&entries, "trust-anchor")["outcome"], "default");
}

#[test]
fn followed_anchors_are_taken_over_as_far_as_unbound_trusts_them() {
    let place = Place::new();
    let (trusted, pending) = (
        ". 172800 IN DNSKEY 257 3 8 AwEAAaz/tAm8yTn4Mfeh5eyI96WSVexTBAvkMgJzkKTOiW1vkIbzxeF3+/4RgWOq7HrxRixHlFlExOLAJr5emLvN7SWXgnLh4+B5xQlNVz8Og8kvArMtNROxVQuCaSnIDdD5LKyWbRd2n9WGe2R8PzgCmr3EgVLrjyBxWezF0jLHwVN8efS3rCj/EWgvIWgb9tarpVUDK/b58Da+sqqls3eNbuv7pr+eoZG+SrDK6nWeL3c6H5Apxz7LjVc1uTIdsIXxuOLYA4/ilBmSVIzuDWfdRUfhHdY6+cn8HFRm+2hM8AnXGXws9555KrUB5qihylGa8subX2Nn6UwNR1AkUTV74bU= ;{id = 20326 (ksk), size = 2048b} ;;state=2 [  VALID  ] ;;count=0",
        ". 172800 IN DNSKEY 257 3 8 AwEAAa96jeuknZlaeSrvyAJj6ZHv28hhOKkx3rLGXVaC6rXTsDc449/cidltpkyGwCJNnOAlFNKF2jBosZBU5eeHspaQWOmOElZsjICMQMC3aeHbGiShvZsx4wMYSjH8e7Vrhbu6irwCzVBApESjbUdpWWmEnhathWu1jo+siFUiRAAxm9qyJNg/wOZqqzL/dL/q8PkcRU5oUKEpUge71M3ej2/7CPqpdVwuMoTvoB+ZOT4YeGyxMvHmbrxlFzGOHOijtzN+u1TQNatX2XBuzZNQ1K+s2CXkPIZo7s6JgZyvaBevYtxPvYLw4z9mR7K2vaF18UYH9Z9GNUUeayffKC73PYc= ;{id = 38696 (ksk), size = 2048b} ;;state=1 [ ADDPEND ] ;;count=3",
    );
    place.write(
        "root.key",
        &format!("; autotrust trust anchor file\n;;id: . 1\n{trusted}\n{pending}\n"),
    );
    let (exit, _, config) = migrate(&place, "server:\n auto-trust-anchor-file: root.key\n");
    assert_eq!(exit, Exit::Success);
    let Source::File(file) = &config.resolver.trust_anchors else {
        panic!("no file of anchors");
    };
    assert_eq!(node::anchors::read_anchor_file(file).unwrap().len(), 1);
}

#[test]
fn files_are_included_by_name_and_by_pattern_relative_to_the_file() {
    let place = Place::new();
    std::fs::create_dir(place.path("sub[1]")).unwrap();
    place.write("sub[1]/more.conf", "port: 5300\ninclude: deeper.conf\n");
    place.write("sub[1]/deeper.conf", "cache-max-ttl: 60\n");
    place.write("a.conf", "server:\n hide-version: yes\n");
    let text = "server:\n include: 'sub[1]/more.conf'\n hide-identity: yes\ninclude-toplevel: \"*a.conf\"\n";
    // A name with brackets is a pattern, which matches `sub1`; the folder of an including file is none.
    let (_, _, config) = migrate(&place, text);
    assert_eq!(config.dataplane.ports.dns, 53);
    place.write("sub[1]/main.conf", "server:\n include: \"more*\"\n");
    let text = "include: \"sub?1?/main.conf\"\ninclude-toplevel: \"*a.conf\"\n";
    let (_, _, config) = migrate(&place, text);
    assert_eq!(config.dataplane.ports.dns, 5300);
    assert_eq!(config.resolver.ttl.max_secs, 60);
    assert_eq!(config.resolver.version.as_deref(), Some(""));
}

#[test]
fn zones_with_a_file_become_zones() {
    let place = Place::new();
    place.write(
        "example.zone",
        "@ 300 IN SOA ns hostmaster 7 3600 600 86400 60\n@ 300 IN NS ns\nns 300 IN A 192.0.2.53\n",
    );
    let (exit, _, config) = migrate(
        &place,
        "auth-zone:\n name: example.com\n zonefile: example.zone\n",
    );
    assert_eq!(exit, Exit::Success);
    assert_eq!(config.zones[0].name, "example.com.");
}

#[test]
fn a_broken_source_writes_nothing_and_says_where() {
    let place = Place::new();
    for (text, expected) in [
        (
            "server:\n port 53\n",
            "unbound.conf:2: found `port`; expected a keyword",
        ),
        (
            "port: 53\n",
            "unbound.conf:1: `port:` stands before any clause",
        ),
        ("include: absent.conf\n", "unbound.conf:1"),
        ("server:\n include: unbound.conf\n", "unbound.conf:2"),
    ] {
        let source = place.write("unbound.conf", text);
        let output = place.path("new.yaml");
        let (exit, _) = place.run(&[
            "migrate",
            source.to_str().unwrap(),
            "--output",
            output.to_str().unwrap(),
        ]);
        let error = format!("{:#}", exit.unwrap_err());
        assert!(error.contains(expected), "{text}: {error}");
        assert!(!output.exists());
    }
}

#[test]
fn existing_file_is_replaced_only_by_force_and_the_report_is_for_people() {
    let place = Place::new();
    let source = place.write(
        "unbound.conf",
        "server:\n dns64-ignore-aaaa: a.example\n dns64-ignore-aaaa: b.example\n",
    );
    let output = place.write("new.yaml", "kept");
    let arguments = [
        "migrate",
        source.to_str().unwrap(),
        "--output",
        output.to_str().unwrap(),
    ];
    let (exit, _) = place.run(&arguments);
    assert!(exit.unwrap_err().to_string().contains("--force"));
    assert_eq!(std::fs::read_to_string(&output).unwrap(), "kept");
    let (exit, report) = place.run(&[&arguments[..], &["--force"]].concat());
    assert_eq!(exit.unwrap(), Exit::Failure);
    assert!(
        report.starts_with("Not taken over, and clients will see the difference:\n"),
        "{report}"
    );
    assert!(
        report.contains("unbound.conf:2: dns64-ignore-aaaa: a.example and 1 more ("),
        "{report}"
    );
    assert!(report.contains("new.yaml is written\n"), "{report}");
    assert!(Config::load(Path::new(&output)).is_ok());
}

#[test]
fn query_log_over_a_socket_is_taken_over_with_what_it_logs() {
    let place = Place::new();
    let text = "dnstap:
  dnstap-enable: yes
  dnstap-socket-path: /run/tap.sock
  dnstap-sample-rate: 10
  dnstap-send-identity: yes
  dnstap-identity: ns1
  dnstap-log-client-query-messages: yes
  dnstap-log-resolver-query-messages: yes
  dnstap-log-forwarder-query-messages: yes
";
    let (exit, entries, config) = migrate(&place, text);
    assert_eq!(exit, Exit::Success, "{entries:?}");
    let dnstap = config.dnstap;
    assert_eq!(dnstap.socket.as_deref(), Some(Path::new("/run/tap.sock")));
    assert_eq!(dnstap.sample, 10);
    let messages = [DnstapMessage::ClientQuery, DnstapMessage::ResolverQuery];
    assert_eq!(dnstap.messages, messages);
    assert_eq!(dnstap.identity.as_deref(), Some("ns1"));
    assert_eq!(dnstap.version.as_deref(), Some(""), "not sent");
    let (_, entries, config) = migrate(&place, &text.replace("enable: yes", "enable: no"));
    assert_eq!(entry(&entries, "dnstap")["outcome"], "default");
    assert_eq!(config.dnstap.socket, None);
}

#[test]
fn expired_answers_and_fetching_ahead_are_taken_over() {
    let place = Place::new();
    let text = "server:
  serve-expired: yes
  serve-expired-ttl: 3600
  serve-expired-reply-ttl: 10
  serve-expired-client-timeout: 0
  prefetch: no
  aggressive-nsec: no
";
    let (exit, entries, config) = migrate(&place, text);
    assert_eq!(exit, Exit::Success, "{entries:?}");
    let (resolver, stale) = (&config.resolver, config.resolver.stale);
    assert_eq!(
        (stale.max_secs, stale.ttl_secs, stale.client_timeout_ms),
        (3600, 10, 1)
    );
    assert!(!resolver.prefetch && !resolver.aggressive_nsec);
    let (_, _, config) = migrate(
        &place,
        "server:\n serve-expired: no\n serve-expired-ttl: 60\n",
    );
    assert_eq!(config.resolver.stale.max_secs, 0);
}
