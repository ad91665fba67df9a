//! Tests of whole documents: defaults, mistakes and where they are located.

use std::path::Path;

use super::*;
use crate::{Dnssec, MemberRole, Mode, PuntLimit};

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("nexus.yaml"))
}

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/nexus.yaml")
}

#[test]
fn empty_file_and_empty_sections_mean_the_defaults() {
    for text in ["", "# nothing\n", "{}", "node:\ndataplane: {}\n", "---\n"] {
        assert_eq!(parse(text).unwrap(), Config::default(), "{text:?}");
    }
}

#[test]
fn the_example_loads_and_shows_the_defaults() {
    let config = Config::load(&example()).unwrap();
    assert_eq!(config, Config::default());
}

#[test]
fn every_key_of_the_schema_is_named_in_the_example() {
    let text = std::fs::read_to_string(example()).unwrap();
    let schema = serde_json::to_value(json_schema()).unwrap();
    for_each_property(&schema, &mut |name, _| {
        assert!(
            text.contains(&format!("{name}:")),
            "{name} is missing in packaging/nexus.yaml"
        );
    });
}

#[test]
fn values_of_the_design_are_read() {
    let config = parse(
        r#"
dataplane:
  interface: eth1
  mode: zero-copy
  queues: [0, 1]
  cores: [2, 3]
  cache_bytes: 1GiB
  ports: {dns: 5353}
  punts_per_second: {rate: 0, burst: 1}
resolver:
  listen: ["127.0.0.1", "::1"]
  allow: [private, 203.0.113.0/24]
  forward: [192.0.2.1, "[2001:db8::1]:5353"]
  root_hints: named.root
  forward_zones: [{zone: Corp, servers: [192.0.2.2], fallback: true}, {zone: a.corp, servers: []}]
  stub_zones: [{zone: lab, servers: ["192.0.2.3:5300"], prime: true}]
  dnssec: validate
  version: off
zones:
- {name: Example.com, file: example.com.zone, allow_transfer: [192.0.2.7]}
consensus:
  members:
  - {key: 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff, address: 192.0.2.1:4853}
  - {key: 00112233445566778899AABBCCDDEEFF00112233445566778899aabbccddee00, role: witness, address: "[2001:db8::1]:4853"}
ct:
  log_id: ct.example.org
  roots: roots.pem
  shards:
  - {name: one2026, start: 2026-01-01, end: 2027-01-01, public_key: MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEmjlBwFPec/bqhpf4317FeD9W4318sEnyDT9NiXQI0Q6yQ4wjWVKE0Ub7KUj/2NGYV7YCuEHbkxJ/7Z/AUeOSgw==}
"#,
    )
    .unwrap();
    assert_eq!(config.dataplane.mode, Mode::ZeroCopy);
    assert_eq!(config.dataplane.queues, Queues::List(vec![0, 1]));
    assert_eq!(config.dataplane.cores, Cores::List(vec![2, 3]));
    assert_eq!(config.dataplane.cache_bytes, 1 << 30);
    assert_eq!(config.dataplane.ports.dns, 5353);
    assert_eq!(config.dataplane.ports.doq, 853);
    assert_eq!(
        config.dataplane.punts_per_second,
        PuntLimit { rate: 0, burst: 1 }
    );
    let roles = config.consensus.members.iter().map(|member| member.role);
    assert!(roles.eq([MemberRole::Authority, MemberRole::Witness]));
    assert_eq!(config.resolver.dnssec, Dnssec::Validate);
    assert_eq!(
        config.resolver.forward[0].0,
        "192.0.2.1:53".parse().unwrap()
    );
    assert_eq!(
        config.resolver.forward[1].0,
        "[2001:db8::1]:5353".parse().unwrap()
    );
    let routes = &config.resolver.forward_zones;
    assert_eq!((&*routes[0].zone, routes[0].fallback), ("corp.", true));
    assert!(routes[1].servers.is_empty());
    let stub = &config.resolver.stub_zones[0];
    assert_eq!(stub.servers[0].0, "192.0.2.3:5300".parse().unwrap());
    assert!(stub.prime);
    assert_eq!(config.ct.shards[0].end.to_string(), "2027-01-01");
    assert_eq!(config.zones[0].name, "example.com.");
    assert!(
        config.zones[0]
            .allow_transfer
            .contain("192.0.2.7".parse().unwrap())
    );
}

/// Document, line, key, and part of the message.
const MISTAKES: &[(&str, (u64, &str), &str)] = &[
    ("resolvr: {}", (1, "resolvr"), "expected one of"),
    (
        "dataplane:\n  mod: auto",
        (2, "dataplane.mod"),
        "unknown field",
    ),
    (
        "dataplane:\n  mode: fast",
        (2, "dataplane.mode"),
        "auto, zero-copy, copy, socket",
    ),
    (
        "dataplane: {ports: {dns: 70000}}",
        (1, "dataplane.ports.dns"),
        "from 1 to 65535",
    ),
    (
        "dataplane: {ports: {dns: -1}}",
        (1, "dataplane.ports.dns"),
        "from 1 to 65535",
    ),
    (
        "dataplane: {ports: {dns: www}}",
        (1, "dataplane.ports.dns"),
        "from 1 to 65535",
    ),
    (
        "dataplane: {ports: {dns: 853}}",
        (1, "dataplane.ports.doq"),
        "another port",
    ),
    (
        "dataplane: {cache_bytes: 16MB}",
        (1, "dataplane.cache_bytes"),
        "such as 16MiB",
    ),
    (
        "dataplane: {cache_bytes: 1KiB}",
        (1, "dataplane.cache_bytes"),
        "from 64KiB to 32GiB",
    ),
    (
        "dataplane:\n  queues: [0, 0]",
        (2, "dataplane.queues[1]"),
        "expected it once",
    ),
    (
        "dataplane:\n  queues: none",
        (2, "dataplane.queues"),
        "`all` or a list",
    ),
    (
        "dataplane:\n  queues: []",
        (2, "dataplane.queues"),
        "`all` or a list",
    ),
    (
        "dataplane:\n  queues: [0]\n  cores: [1, 2]",
        (3, "dataplane.cores"),
        "one core a queue",
    ),
    (
        "resolver:\n  listen: [localhost]",
        (2, "resolver.listen[0]"),
        "IP address",
    ),
    (
        "resolver:\n  listen: []",
        (2, "resolver.listen"),
        "at least one",
    ),
    (
        "resolver:\n  allow:\n  - 10.0.0.1/8",
        (3, "resolver.allow[0]"),
        "expected 10.0.0.0/8",
    ),
    (
        "resolver: {forward: [\"192.0.2.1:0\"]}",
        (1, "resolver.forward[0]"),
        "other than zero",
    ),
    (
        "resolver: {ttl: {min_secs: 9, max_secs: 5}}",
        (1, "resolver.ttl.min_secs"),
        "max_secs 5",
    ),
    (
        "zones:\n- name: a.\n",
        (2, "zones[0]"),
        "expected `file`, or `agreed: true`",
    ),
    (
        "zones:\n- {name: a, file: f, allow_update: [k]}",
        (2, "zones[0].allow_update"),
        "`agreed: true` alone",
    ),
    (
        "tsig_keys: [{name: k, secret_file: f}]\nzones:\n- {name: a, agreed: true, allow_update: [K., l]}",
        (3, "zones[0].allow_update"),
        "no key l.",
    ),
    (
        "zones:\n- {name: a, file: f, notify_key: l}",
        (2, "zones[0].notify_key"),
        "no key l.",
    ),
    (
        "zones:\n- {name: a, file: f, notify: [192.0.2.1, \"192.0.2.1:53\"]}",
        (2, "zones[0].notify[1]"),
        "twice",
    ),
    (
        "tsig_keys:\n- {name: k, secret_file: f}\n- {name: K, secret_file: g}",
        (3, "tsig_keys[1].name"),
        "twice",
    ),
    (
        "zones:\n- {name: a..b, file: f}",
        (2, "zones[0].name"),
        "such as example.com.",
    ),
    (
        "zones:\n- {name: a, file: f}\n- {name: A., file: g}",
        (3, "zones[1].name"),
        "twice",
    ),
    ("api: {listen: 8053}", (1, "api.listen"), "socket address"),
    ("api: {}\napi: {}", (2, "api"), "duplicate"),
    ("node: [", (1, "node"), ""),
    ("node: 7", (1, "node"), "expected"),
    (
        "resolver:\n  cookies: {enabled: false, require: true}",
        (2, "resolver.cookies.require"),
        "expected enabled: true",
    ),
    (
        "resolver:\n  cookies: {previous_secret: old}",
        (2, "resolver.cookies.previous_secret"),
        "a secret beside it",
    ),
    (
        "resolver:\n  forward_zones:\n  - {zone: A, servers: []}\n  - {zone: a., servers: []}",
        (4, "resolver.forward_zones[1].zone"),
        "expected one a zone",
    ),
    (
        "resolver:\n  forward_zones: [{zone: a, servers: []}]\n  stub_zones: [{zone: a, servers: [192.0.2.1]}]",
        (3, "resolver.stub_zones[0].zone"),
        "zone a. has a route already",
    ),
    (
        "resolver:\n  forward: [192.0.2.1]\n  forward_zones: [{zone: ., servers: [192.0.2.1]}]",
        (3, "resolver.forward_zones[0].zone"),
        "resolver.forward is one for the root",
    ),
    (
        "resolver:\n  forward_zones: [{zone: a, servers: [], fallback: true}]",
        (2, "resolver.forward_zones[0].fallback"),
        "expected servers",
    ),
    (
        "resolver:\n  client_subnet: {ipv4_bits: 33}",
        (2, "resolver.client_subnet.ipv4_bits"),
        "from 0 to 32",
    ),
    (
        "resolver:\n  stub_zones: [{zone: a, servers: []}]",
        (2, "resolver.stub_zones[0].servers"),
        "at least one address",
    ),
    (
        "resolver:\n  stub_zones: [{zone: a, servers: [ns1]}]",
        (2, "resolver.stub_zones[0].servers[0]"),
        "expected an address",
    ),
    (
        "dataplane:\n  response_rate_limit: {ipv6_bits: 65}",
        (2, "dataplane.response_rate_limit.ipv6_bits"),
        "from 1 to 64",
    ),
    (
        "dataplane:\n  response_rate_limit: {exempt: [10.0.0.1/8]}",
        (2, "dataplane.response_rate_limit.exempt[0]"),
        "expected 10.0.0.0/8",
    ),
    (
        "consensus:\n  members:\n  - {key: 0011, address: \"192.0.2.1:1\"}",
        (3, "consensus.members[0].key"),
        "64 hexadecimal digits",
    ),
    (
        "consensus:\n  members:\n  - {key: 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff, address: ns1}",
        (3, "consensus.members[0].address"),
        "expected one like 192.0.2.1:4853",
    ),
    (
        "consensus:\n  members:\n  - {key: 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff, address: \"0.0.0.0:1\"}",
        (3, "consensus.members[0].address"),
        "cannot be reached",
    ),
    (
        "consensus:\n  members:\n  - {key: 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff, address: \"192.0.2.1:1\"}\n  - {key: 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff, address: \"192.0.2.2:1\"}",
        (4, "consensus.members[1].key"),
        "listed twice",
    ),
    ("ct: {log_id: x}", (1, "ct.log_id"), "expected roots"),
    (
        "ct: {log_id: \"https://x/\", roots: r}",
        (1, "ct.log_id"),
        "expected a host",
    ),
    (
        "ct:\n  shards:\n  - {name: one, start: 2026-01-01, end: 2027-01-01, public_key: MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEmjlBwFPec/bqhpf4317FeD9W4318sEnyDT9NiXQI0Q6yQ4wjWVKE0Ub7KUj/2NGYV7YCuEHbkxJ/7Z/AUeOSgw==}",
        (3, "ct.shards"),
        "expected log_id",
    ),
    (
        "ct:\n  log_id: x\n  roots: r\n  shards:\n  - {name: One, start: 2026-01-01, end: 2027-01-01, public_key: MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEmjlBwFPec/bqhpf4317FeD9W4318sEnyDT9NiXQI0Q6yQ4wjWVKE0Ub7KUj/2NGYV7YCuEHbkxJ/7Z/AUeOSgw==}",
        (5, "ct.shards[0].name"),
        "of a-z, 0-9 and -",
    ),
    (
        "ct:\n  log_id: x\n  roots: r\n  shards:\n  - {name: api, start: 2026-01-01, end: 2027-01-01, public_key: MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEmjlBwFPec/bqhpf4317FeD9W4318sEnyDT9NiXQI0Q6yQ4wjWVKE0Ub7KUj/2NGYV7YCuEHbkxJ/7Z/AUeOSgw==}",
        (5, "ct.shards[0].name"),
        "another name",
    ),
    (
        "ct:\n  log_id: x\n  roots: r\n  shards:\n  - {name: one, start: 2026-01-01, end: 2026-01-01, public_key: MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEmjlBwFPec/bqhpf4317FeD9W4318sEnyDT9NiXQI0Q6yQ4wjWVKE0Ub7KUj/2NGYV7YCuEHbkxJ/7Z/AUeOSgw==}",
        (5, "ct.shards[0].end"),
        "behind start",
    ),
    (
        "ct:\n  log_id: x\n  roots: r\n  shards:\n  - {name: one, start: 2026-02-30, end: 2027-01-01, public_key: MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEmjlBwFPec/bqhpf4317FeD9W4318sEnyDT9NiXQI0Q6yQ4wjWVKE0Ub7KUj/2NGYV7YCuEHbkxJ/7Z/AUeOSgw==}",
        (5, "ct.shards[0].start"),
        "YYYY-MM-DD",
    ),
    (
        "ct:\n  log_id: x\n  roots: r\n  shards:\n  - {name: one, start: 2026-01-01, end: 2027-01-01, public_key: MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEmjlBwFPec/bqhpf4317FeD9W4318sEnyDT9NiXQI0Q6yQ4wjWVKE0Ub7KUj/2NGYV7YCuEHbkxJ/7Z/A}",
        (5, "ct.shards[0].public_key"),
        "expected base64",
    ),
    (
        "ct:\n  log_id: x\n  roots: r\n  shards:\n  - {name: one, start: 2026-01-01, end: 2027-01-01, public_key: MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEmjlBwFPec/bqhpf4317FeD9W4318sEnyDT9NiXQI0Q6yQ4wjWVKE0Ub7KUj/2NGYV7YCuEHbkxJ/7Z/AUeOSgw==}\n  - {name: one, start: 2026-01-01, end: 2027-01-01, public_key: MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEmjlBwFPec/bqhpf4317FeD9W4318sEnyDT9NiXQI0Q6yQ4wjWVKE0Ub7KUj/2NGYV7YCuEHbkxJ/7Z/AUeOSgw==}",
        (6, "ct.shards[1].name"),
        "listed twice",
    ),
    (
        "ct:\n  log_id: x\n  roots: r\n  shards:\n  - {name: one, start: 2026-01-01, end: 2027-01-01, public_key: MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEmjlBwFPec/bqhpf4317FeD9W4318sEnyDT9NiXQI0Q6yQ4wjWVKE0Ub7KUj/2NGYV7YCuEHbkxJ/7Z/AUeOSgw==}\n  - {name: two, start: 2026-01-01, end: 2027-01-01, public_key: MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEVJe4uONBO48RbMlp0WZOvSBHQ+vc6csCKKVOAAjzkGFumOsSCH/myALO/ohO7ksj+wmKeWM5FVAk/17fHcx35Q==}",
        (6, "ct.shards[1].start"),
        "overlaps that of one",
    ),
    (
        "ct:\n  log_id: x\n  roots: r\n  shards:\n  - {name: one, start: 2026-01-01, end: 2027-01-01, public_key: MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEmjlBwFPec/bqhpf4317FeD9W4318sEnyDT9NiXQI0Q6yQ4wjWVKE0Ub7KUj/2NGYV7YCuEHbkxJ/7Z/AUeOSgw==}\n  - {name: two, start: 2027-01-01, end: 2028-01-01, public_key: MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEmjlBwFPec/bqhpf4317FeD9W4318sEnyDT9NiXQI0Q6yQ4wjWVKE0Ub7KUj/2NGYV7YCuEHbkxJ/7Z/AUeOSgw==}",
        (6, "ct.shards[1].public_key"),
        "key of its own",
    ),
    (
        "ct: {listen: \"127.0.0.1:8054\"}",
        (1, "ct.listen"),
        "expected log_id",
    ),
    (
        "ct: {copies: [{url: \"s3://logs\", access_key_file: a, secret_key_file: b}]}",
        (1, "ct.copies"),
        "expected log_id",
    ),
    (
        "ct: {witnesses: [{url: witness, key: k}]}",
        (1, "ct.witnesses[0].url"),
        "expected http",
    ),
    (
        "ct: {witnessed_logs: [{origin: o, keys: []}]}",
        (1, "ct.witnessed_logs[0].keys"),
        "at least one key",
    ),
    (
        "ct:\n  witnessed_logs:\n  - {origin: o, keys: [k]}\n  - {origin: o, keys: [k]}",
        (4, "ct.witnessed_logs[1].origin"),
        "listed twice",
    ),
    ("ct:\n  enforce: kill", (2, "ct.enforce"), "expected one of"),
    (
        "ct: {watch_libraries: []}",
        (1, "ct.watch_libraries"),
        "expected `auto` or a list",
    ),
    (
        "ct: {watch_libraries: all}",
        (1, "ct.watch_libraries"),
        "expected `auto` or a list",
    ),
    (
        "ct: {watch: {hold_ms: 0}}",
        (1, "ct.watch.hold_ms"),
        "from 1 to 60000",
    ),
];

#[test]
fn each_mistake_names_file_line_column_key_and_what_was_expected() {
    for &(text, (line, key), expected) in MISTAKES {
        let error = parse(text).unwrap_err();
        assert_eq!(
            error.position.map(|(line, _)| line),
            Some(line),
            "{text:?}: {error}"
        );
        assert_eq!(error.key.as_deref(), Some(key), "{text:?}: {error}");
        let error = error.to_string();
        assert!(
            error.starts_with(&format!("nexus.yaml:{line}:")),
            "{text:?}: {error}"
        );
        assert!(error.contains(expected), "{text:?}: {error}");
        assert!(!error.contains('\n'), "{text:?}: {error}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("none.yaml");
    let error = Config::load(&missing).unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("{}: cannot be opened", missing.display())),
        "{error}"
    );
    let error = Config::load(folder.path()).unwrap_err().to_string();
    assert!(error.contains("cannot be read"), "{error}");
    let large = folder.path().join("large.yaml");
    std::fs::write(
        &large,
        vec![b'#'; usize::try_from(CONFIG_BYTES_MAX).unwrap() + 1],
    )
    .unwrap();
    let error = Config::load(&large).unwrap_err().to_string();
    assert!(error.contains("longer than"), "{error}");
}

#[test]
fn relative_files_are_relative_to_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nexus.yaml");
    std::fs::write(
        &path,
        "zones: [{name: a, file: a.zone}, {name: b, file: /b.zone}]\n\
         tsig_keys: [{name: k, secret_file: k.secret}]\n\
         resolver: {local_root: {file: root.zone}, cookies: {secret: new.secret, previous_secret: /old.secret}}",
    )
    .unwrap();
    let config = Config::load(&path).unwrap();
    let first = config.zones[0].file.as_deref();
    assert_eq!(first, Some(&*folder.path().join("a.zone")));
    assert_eq!(config.zones[1].file.as_deref(), Some(Path::new("/b.zone")));
    let secret = &config.tsig_keys[0].secret_file;
    assert_eq!(*secret, folder.path().join("k.secret"));
    let root = config.resolver.local_root.as_ref().unwrap();
    assert_eq!(root.file, Some(folder.path().join("root.zone")));
    let file = |path: PathBuf| Some(crate::CookieSecret::File(path));
    let cookies = config.resolver.cookies;
    assert_eq!(cookies.secret, file(folder.path().join("new.secret")));
    assert_eq!(cookies.previous_secret, file("/old.secret".into()));
}

#[test]
fn more_addresses_than_a_worker_can_listen_on_are_refused() {
    let listen = |count: u8| {
        let addresses: Vec<String> = (0..count).map(|host| format!("192.0.2.{host}")).collect();
        parse(&format!("resolver: {{listen: [{}]}}", addresses.join(", ")))
    };
    assert_eq!(listen(64).unwrap().resolver.listen.len(), 64);
    let error = listen(65).unwrap_err();
    assert!(error.message.contains("expected at most 64"), "{error}");
}

#[test]
fn what_is_written_reads_back() {
    let mut config = Config::default();
    config.dataplane.queues = Queues::List(vec![3]);
    config.resolver.root_hints = crate::Source::File("x".into());
    config.ct.watch_libraries = crate::WatchLibraries::List(vec!["/x".into()]);
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(parse(&text).unwrap(), config);
}

/// Run with `NEXUS_WRITE_SCHEMA=1` to write the file anew.
#[test]
fn the_committed_schema_is_the_generated_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/nexus.schema.json");
    let generated = serde_json::to_string_pretty(&json_schema()).unwrap() + "\n";
    if std::env::var_os("NEXUS_WRITE_SCHEMA").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    assert!(
        committed == generated,
        "docs/nexus.schema.json is out of date: run NEXUS_WRITE_SCHEMA=1 cargo test -p config"
    );
}

#[test]
fn the_ranges_of_the_schema_are_the_ranges_of_the_parser() {
    let schema = serde_json::to_value(json_schema()).unwrap();
    let mut checked = 0;
    for_each_number(&schema, &schema, "", &mut |path, minimum, maximum| {
        let reads = |value: i64| {
            let mut text = value.to_string();
            for key in path.split('.').rev() {
                text = format!("{{{key}: {text}}}");
            }
            // Checks between keys may still refuse it, but never with this message.
            match parse(&text) {
                Ok(_) => true,
                Err(error) => !error.message.contains("a whole number from"),
            }
        };
        assert!(reads(minimum) && reads(maximum), "{path}");
        assert!(!reads(minimum - 1) && !reads(maximum + 1), "{path}");
        checked += 1;
    });
    assert!(checked > 20, "{checked}");
}

#[test]
fn any_text_parses_or_fails_with_one_line() {
    bolero::check!()
        .with_iterations(3_000)
        .for_each(|bytes: &[u8]| {
            if let Ok(text) = std::str::from_utf8(bytes)
                && let Err(error) = parse(text)
            {
                assert!(!error.to_string().contains('\n'));
            }
        });
}

#[test]
fn a_damaged_example_parses_or_fails_with_one_line() {
    let example = std::fs::read(example()).unwrap();
    bolero::check!()
        .with_iterations(500)
        .with_type::<(u16, u8, u8)>()
        .for_each(|(at, byte, cut)| {
            let mut damaged = example.clone();
            let at = usize::from(*at) % damaged.len();
            damaged[at] = *byte & 0x7f;
            damaged.drain(at / 2..(at / 2 + usize::from(*cut)).min(at));
            if let Ok(text) = std::str::from_utf8(&damaged)
                && let Err(error) = parse(text)
            {
                assert!(!error.to_string().contains('\n'), "{error}");
            }
        });
}

type Json = serde_json::Value;

fn follow<'a>(root: &'a Json, schema: &'a Json) -> &'a Json {
    let pointer = schema["$ref"]
        .as_str()
        .or_else(|| schema["allOf"][0]["$ref"].as_str());
    match pointer {
        Some(pointer) => root.pointer(pointer.trim_start_matches('#')).unwrap(),
        None => schema,
    }
}

fn for_each_property(root: &Json, visit: &mut impl FnMut(&str, &Json)) {
    let definitions = root["$defs"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(_, schema)| schema);
    for schema in definitions.chain([root]) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            visit(name, property);
        }
    }
}

fn for_each_number(root: &Json, schema: &Json, path: &str, visit: &mut impl FnMut(&str, i64, i64)) {
    for (name, property) in follow(root, schema)["properties"]
        .as_object()
        .into_iter()
        .flatten()
    {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        if let (Some(minimum), Some(maximum)) =
            (property["minimum"].as_i64(), property["maximum"].as_i64())
        {
            visit(&path, minimum, maximum);
        }
        for_each_number(root, property, &path, visit);
    }
}
