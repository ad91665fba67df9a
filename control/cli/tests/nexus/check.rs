//! `nexus check`: every mistake with its place, exit status 2 when there is one.

use cli::exit::Exit;
use serde_json::Value;

use crate::support::Place;

const ZONE: &str = "\
$ORIGIN example.com.
$TTL 300
@    IN SOA ns hostmaster 7 3600 600 86400 60
@    IN NS  ns
ns   IN A   192.0.2.53
www  IN A   192.0.2.1
";

fn check(place: &Place, arguments: &[&str]) -> (Exit, String) {
    let file = place.path("checked.yaml");
    let (exit, text) = place.run(&[&["check", file.to_str().unwrap()], arguments].concat());
    let folder = format!("{}/", place.path("").display()).replace("//", "/");
    (exit.unwrap(), text.replace(&folder, ""))
}

fn place(configuration: &str) -> Place {
    let place = Place::new();
    place.write("checked.yaml", configuration);
    place
}

#[test]
fn good_configuration_and_zone_say_what_would_be_served() {
    let place = place("zones:\n- {name: Example.com, file: example.zone}\n");
    place.write("example.zone", ZONE);
    let (exit, text) = check(&place, &[]);
    assert_eq!(exit, Exit::Success);
    let expected = "\
zone example.com. is good: serial 7, 4 records
checked.yaml is good
";
    assert_eq!(text, expected);
}

#[test]
fn faults_of_the_policy_are_found_with_their_places() {
    let place = place(
        "resolver:\n  rpz: [{zone: rpz.example, file: rpz.zone}]\n  block_lists: [{file: ads.txt}]\n",
    );
    place.write("ads.txt", "ads.example\nb d\n");
    place.write("rpz.zone", "@ 60 SOA . . 1 1 1 1 1\n1.rpz-ip 60 CNAME .\n");
    let (exit, text) = check(&place, &[]);
    assert_eq!(exit, Exit::Success);
    assert!(
        text.contains("ads.txt:2:1: `b d`: expected one domain name"),
        "{text}"
    );
    assert!(text.contains("rpz.zone:2:1: expected a network"), "{text}");
    place.write("rpz.zone", "@ 60 SOA . . 1 1 1 1 1\nx 60 CNAME\n");
    let (exit, text) = check(&place, &[]);
    assert_eq!(exit, Exit::Usage);
    assert!(text.contains("rpz.zone:2:"), "{text}");
    place.write("checked.yaml", "resolver: {local_data: [x]}\n");
    let (exit, text) = check(&place, &[]);
    assert_eq!(exit, Exit::Usage);
    assert!(
        text.starts_with("checked.yaml: resolver.local_data[0]: `x`"),
        "{text}"
    );
}

#[test]
fn secrets_of_transfers_are_read_and_not_shown() {
    let tsig = |file| format!("tsig: {{name: k, secret_file: {file}}}");
    let place = place(&format!(
        "resolver:\n  rpz: [{{zone: rpz.example, primaries: [192.0.2.1], {}}}]\n  \
         local_root: {{primaries: [192.0.2.1], {}}}\n",
        tsig("good"),
        tsig("bad")
    ));
    place.write("good", "c2VjcmV0\n");
    place.write("bad", "hush!\n");
    let (exit, text) = check(&place, &[]);
    assert_eq!(exit, Exit::Usage);
    let expected = "bad: expected a secret in base64";
    assert!(
        text.starts_with(expected) && !text.contains("hush"),
        "{text}"
    );
    assert!(text.ends_with("\n1 mistake\n"), "{text}");
}

#[test]
fn keys_of_object_stores_are_read_and_not_shown() {
    let key = "0123456789abcdef".repeat(4);
    let copy = "{url: 's3://logs/ct', access_key_file: id, secret_key_file: secret}";
    let place = place(&format!(
        "consensus: {{members: [{{key: {key}, address: '192.0.2.1:4853'}}]}}\n\
         ct: {{log_id: ct.example.org, roots: roots.pem, copies: [{copy}]}}\n"
    ));
    place.write("id", "writer\n");
    let (_, text) = check(&place, &[]);
    assert!(
        text.contains("secret: ct.copies: cannot be opened"),
        "{text}"
    );
    place.write("secret", "two words\n");
    let (exit, text) = check(&place, &[]);
    assert_eq!(exit, Exit::Usage);
    assert!(
        text.contains("secret: ct.copies: expected one word"),
        "{text}"
    );
    assert!(!text.contains("two words"), "{text}");
    place.write("secret", "word\n");
    let (_, text) = check(&place, &[]);
    assert!(!text.contains("ct.copies"), "{text}");
}

#[test]
fn endpoint_of_an_object_store_is_read_as_when_it_is_used() {
    let key = "0123456789abcdef".repeat(4);
    let files = "access_key_file: id, secret_key_file: id";
    let copy = |endpoint: &str| format!("{{url: 's3://logs', endpoint: '{endpoint}', {files}}}");
    let copies = [copy("http://store:9000"), copy("http://store:99999")].join(", ");
    let place = place(&format!(
        "consensus: {{members: [{{key: {key}, address: '192.0.2.1:4853'}}]}}\n\
         ct: {{log_id: ct.example.org, roots: roots.pem, copies: [{copies}]}}\n"
    ));
    place.write("id", "writer\n");
    let (exit, text) = check(&place, &[]);
    assert_eq!(exit, Exit::Usage);
    assert!(
        text.contains("checked.yaml: ct.copies[1]: endpoint `http://store:99999` is no URL"),
        "{text}"
    );
    assert!(!text.contains("ct.copies[0]"), "{text}");
}

#[test]
fn unknown_key_is_found_with_line_and_column() {
    let place = place("dataplane:\n  mode: auto\n  interfcae: eth1\n");
    let (exit, text) = check(&place, &[]);
    assert_eq!(exit, Exit::Usage);
    assert!(
        text.starts_with("checked.yaml:3:3: dataplane.interfcae: "),
        "{text}"
    );
    assert!(text.ends_with("\n1 mistake\n"), "{text}");
}

#[test]
fn faults_of_every_zone_file_are_found_in_one_run() {
    let place = place(
        "zones:\n\
         - {name: example.com., file: example.zone}\n\
         - {name: example.net., file: sub/net.zone}\n\
         - {name: example.org., file: absent.zone}\n",
    );
    let broken = ZONE.replace("192.0.2.1\n", "192.0.2.256\n");
    place.write("example.zone", &broken);
    std::fs::create_dir(place.path("sub")).unwrap();
    place.write("sub/net.zone", "$INCLUDE net.include\n");
    place.write("sub/net.include", "@ 300 IN AAAAA 1\n");
    let (exit, text) = check(&place, &[]);
    assert_eq!(exit, Exit::Usage);
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].starts_with("example.zone:6:13: found `192.0.2.256`"),
        "{text}"
    );
    assert!(
        lines[1].starts_with("sub/net.include:1:10: unknown type `AAAAA`"),
        "{text}"
    );
    assert!(
        lines[2].starts_with("absent.zone: cannot be opened: No such file"),
        "{text}"
    );
    assert_eq!(lines[3], "3 mistakes");
}

#[test]
fn root_hints_that_control_would_refuse_are_mistakes() {
    let place = place("resolver: {root_hints: named.root}\n");
    let (exit, text) = check(&place, &[]);
    assert_eq!(exit, Exit::Usage);
    assert!(text.starts_with("named.root: cannot be read: "), "{text}");
    place.write("named.root", ". NS a.\na. A none\n");
    let (exit, text) = check(&place, &[]);
    assert_eq!(exit, Exit::Usage);
    assert_eq!(text, "named.root:2: expected an IPv4 address\n1 mistake\n");
    place.write("named.root", ". NS a.\na. A 192.0.2.1\n");
    assert_eq!(check(&place, &[]).0, Exit::Success);
}

#[test]
fn cookie_secrets_that_no_plane_would_take_are_mistakes() {
    let place = place("resolver: {cookies: {secret: new.secret, previous_secret: old.secret}}\n");
    place.write("new.secret", "000102030405060708090a0b0c0d0e0f\n");
    let (exit, text) = check(&place, &[]);
    assert_eq!(exit, Exit::Usage);
    assert!(text.starts_with("old.secret: cannot be opened: "), "{text}");
    place.write("old.secret", "00\n");
    let (exit, text) = check(&place, &[]);
    assert_eq!(exit, Exit::Usage);
    assert_eq!(
        text,
        "old.secret: expected 32 hexadecimal digits\n1 mistake\n"
    );
    place.write("old.secret", "000102030405060708090a0b0c0d0eff\n");
    assert_eq!(check(&place, &[]).0, Exit::Success);
}

#[test]
fn notes_do_not_fail_the_check() {
    let place = place("zones:\n- {name: example.com., file: example.zone}\n");
    place.write("example.zone", &format!("{ZONE}www IN A 192.0.2.1\n"));
    let (exit, text) = check(&place, &[]);
    assert_eq!(exit, Exit::Success);
    assert!(text.starts_with("example.zone:7:1: "), "{text}");
    assert!(text.lines().next().unwrap().ends_with("(note)"), "{text}");
}

#[test]
fn findings_as_json_carry_file_line_column_and_key() {
    let place = place("api: {listen: nowhere}\n");
    let (exit, text) = check(&place, &["--json"]);
    assert_eq!(exit, Exit::Usage);
    let findings: Value = serde_json::from_str(&text).unwrap();
    let mistake = &findings["mistakes"][0];
    assert_eq!(mistake["file"], "checked.yaml");
    assert_eq!(mistake["line"], 1);
    assert_eq!(mistake["key"], "api.listen");
    assert_eq!(findings["zones"], Value::Array(vec![]));
}

#[test]
fn faults_of_the_monitor_name_their_keys() {
    let log = "{kind: rfc6962, url: 'https://a.example', key: QUJD}";
    let place = place(&format!("ct: {{monitor: {{logs: [{log}]}}}}\n"));
    let (exit, text) = check(&place, &[]);
    assert_eq!(exit, Exit::Usage);
    assert!(text.contains("ct.monitor.logs[0].key"), "{text}");
}
