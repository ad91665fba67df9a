//! Commands about zones of the mesh against a scripted control plane.

use cli::exit::Exit;
use node::admin::{FailureCode, MeshRequest, Request, Response, ZoneChanged, ZoneText};

use crate::support::{Fake, refusal};

fn changed(before: Option<u32>, serial: Option<u32>) -> ZoneChanged {
    ZoneChanged {
        zone: "example.net.".to_owned(),
        serial_before: before,
        serial,
    }
}

/// Runs a command whose reply is that; what it prints and what it has asked.
fn run(arguments: &[&str], reply: ZoneChanged) -> (String, MeshRequest) {
    let fake = Fake::new(vec![Response::ZoneChanged(reply).into()]);
    let (exit, text) = fake.output(arguments);
    assert_eq!(exit, Exit::Success);
    match fake.requests().pop() {
        Some(Request::Mesh(request)) => (text, request),
        other => panic!("{other:?}"),
    }
}

#[test]
fn zone_is_created_from_a_file_with_all_that_it_includes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("zone");
    std::fs::write(
        &file,
        "@ 60 SOA ns host 7 1 1 1 1\n@ 60 NS ns\n$INCLUDE more\n",
    )
    .unwrap();
    std::fs::write(folder.path().join("more"), "ns 60 A 192.0.2.1\n").unwrap();
    let file = file.to_str().unwrap();
    let (text, asked) = run(
        &["zone", "create", "Example.net", file, "--replace"],
        changed(None, Some(7)),
    );
    assert_eq!(text, "example.net. created, serial 7\n");
    let expected = MeshRequest::ZoneCreate {
        zone: "Example.net".to_owned(),
        text: "example.net. 60 IN SOA ns.example.net. host.example.net. 7 1 1 1 1\n\
               example.net. 60 IN NS ns.example.net.\n\
               ns.example.net. 60 IN A 192.0.2.1\n"
            .to_owned(),
        replace: true,
    };
    assert_eq!(asked, expected);
}

#[test]
fn fault_in_a_zone_file_is_named_and_nothing_is_asked() {
    let fake = Fake::new(vec![]);
    let file = fake.config().with_file_name("zone");
    std::fs::write(&file, "@ 60 SOA ns host 7 1 1 1 1\n@ 60 A 192.0.2.256\n").unwrap();
    let (exit, _) = fake.run(&["zone", "create", "example.net", file.to_str().unwrap()]);
    let error = exit.unwrap_err();
    assert!(error.to_string().contains("zone:2:"), "{error}");
    assert_eq!(fake.requests(), []);
}

#[test]
fn record_is_added_with_the_quotes_that_the_shell_took() {
    let arguments = [
        "zone",
        "add",
        "example.net",
        "@",
        "60",
        "TXT",
        "v=spf1 -all",
    ];
    let (text, asked) = run(&arguments, changed(Some(7), Some(8)));
    assert_eq!(text, "example.net. changed, serial 7 -> 8\n");
    let expected = MeshRequest::ZoneAdd {
        zone: "example.net".to_owned(),
        owner: "@".to_owned(),
        ttl_secs: 60,
        record_type: "TXT".to_owned(),
        data: "\"v=spf1 -all\"".to_owned(),
    };
    assert_eq!(asked, expected);
}

#[test]
fn records_are_deleted_by_name_type_or_data() {
    let delete = |more: &[&str]| {
        let arguments = ["zone", "delete-records", "example.net", "www"];
        let (text, asked) = run(&[&arguments, more].concat(), changed(Some(7), Some(7)));
        assert_eq!(text, "example.net. unchanged, serial 7\n");
        match asked {
            MeshRequest::ZoneDeleteRecords {
                record_type, data, ..
            } => (record_type, data),
            other => panic!("{other:?}"),
        }
    };
    let own = |text: &str| Some(text.to_owned());
    assert_eq!(delete(&[]), (None, None));
    assert_eq!(delete(&["MX"]), (own("MX"), None));
    assert_eq!(delete(&["MX", "10", "mail"]), (own("MX"), own("10 mail")));
}

#[test]
fn removed_zone_is_said_to_be_gone() {
    let (text, _) = run(&["zone", "remove", "example.net"], changed(Some(7), None));
    assert_eq!(text, "example.net. removed\n");
}

#[test]
fn zone_is_shown_as_a_file() {
    let reply = ZoneText {
        zone: "example.net.".to_owned(),
        serial: 7,
        records: 1,
        text: "example.net. 60 IN NS ns.example.net.\n".to_owned(),
    };
    let fake = Fake::new(vec![Response::ZoneText(reply.clone()).into()]);
    let (exit, text) = fake.output(&["zone", "show", "example.net", "--linearizable"]);
    assert_eq!((exit, text), (Exit::Success, reply.text));
    let zone = "example.net".to_owned();
    let expected = Request::Mesh(MeshRequest::ZoneShow {
        zone,
        linearizable: true,
    });
    assert_eq!(fake.requests(), [expected]);
}

#[test]
fn what_is_no_record_is_a_wrong_argument() {
    let fake = Fake::new(vec![refusal(FailureCode::BadRequest, "no such type")]);
    let (exit, _) = fake.run(&["zone", "add", "example.net", "www", "60", "X", "1"]);
    assert_eq!(Exit::of(&exit.unwrap_err()), Exit::Usage);
}
