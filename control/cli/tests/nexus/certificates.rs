//! `nexus ct validate`: by control if it runs, else by the program itself, with the same verdict.

use std::net::Ipv4Addr;

use cli::exit::Exit;
use node::admin::{Request, Response};
use pki::{Code, Reason, Status, Step, StepName, StepResult, Verdict};

use crate::openssl::Authority;
use crate::support::{Fake, Place};

/// A certificate's authority, and a place without control that trusts it.
fn place() -> (Authority, Place) {
    let authority = Authority::start(Ipv4Addr::LOCALHOST);
    let place = Place::new();
    let path = |name| authority.path(name).display().to_string();
    let text = format!(
        "api: {{socket: {}}}\n\
         ct: {{trust_anchors: {}, private_anchors: {}, revocation: {{refuse: []}}}}\n",
        place.control().display(),
        path("other.pem"),
        path("root.pem")
    );
    place.write("nexus.yaml", &text);
    authority.openssl("x509 -in leaf.pem -outform DER -out leaf.der");
    (authority, place)
}

#[test]
fn without_control_the_program_judges_and_its_status_says_how() {
    let (authority, place) = place();
    let (leaf, list) = (authority.path("leaf.der"), authority.path("list.pem"));
    let (leaf, list) = (leaf.to_str().unwrap(), list.to_str().unwrap());
    let run = |more: &[&str]| {
        let first = ["ct", "validate", leaf, "--host", "www.example.com"];
        let (exit, text) = place.run(&[&first[..], more].concat());
        (exit.unwrap(), text)
    };
    let (exit, text) = run(&[]);
    assert_eq!(exit, Exit::Success, "{text}");
    assert!(
        text.starts_with("valid for www.example.com\nSHA-256 "),
        "{text}"
    );
    assert!(text.contains("\nrevocation   passed"), "{text}");
    assert_eq!(authority.asked(), ["issuer.der", "ocsp"]);

    let (exit, text) = run(&["--no-fetch"]);
    assert_eq!(exit, Exit::Failure, "{text}");
    assert!(
        text.starts_with("invalid for www.example.com: root_not_accepted: "),
        "{text}"
    );
    assert_eq!(authority.asked(), [""; 0]);

    authority.openssl("x509 -in leaf.pem -out chain.pem");
    let both = ["leaf.pem", "issuer.pem"].map(|name| std::fs::read(authority.path(name)).unwrap());
    let chain = place.path("chain.pem");
    std::fs::write(&chain, both.concat()).unwrap();
    let validate = ["ct", "validate", chain.to_str().unwrap(), "--offline"];
    let (exit, text) = place.run(&validate);
    assert_eq!(exit.unwrap(), Exit::Unknown);
    assert!(text.starts_with("unknown: no_revocation_data: "), "{text}");
    let (exit, _) = place.run(&[&validate[..], &["--crl", list]].concat());
    assert_eq!(exit.unwrap(), Exit::Success);
    authority.set_revoked(true);
    authority.make_list();
    let (exit, text) = place.run(&[&validate[..], &["--crl", list, "--json"]].concat());
    assert_eq!(exit.unwrap(), Exit::Failure);
    let verdict: Verdict = serde_json::from_str(&text).unwrap();
    assert_eq!(verdict.reason.unwrap().code, Code::Revoked);
}

#[test]
fn file_that_is_no_chain_or_no_list_is_wrong_input() {
    let (authority, place) = place();
    let nothing = place.write("nothing.pem", "nothing");
    let nothing = nothing.to_str().unwrap();
    let leaf = authority.path("leaf.pem");
    let leaf = leaf.to_str().unwrap();
    for arguments in [
        &["ct", "validate", nothing][..],
        &["ct", "validate", leaf, "--crl", nothing],
        &["ct", "validate", leaf, "--crl", leaf],
    ] {
        let error = place.run(arguments).0.unwrap_err();
        assert_eq!(Exit::of(&error), Exit::Usage, "{error:#}");
    }
    let roots = ["ct", "validate", leaf, "--roots", nothing];
    let error = place.run(&roots).0.unwrap_err();
    assert_eq!(Exit::of(&error), Exit::Failure, "{error:#}");
}

#[test]
fn control_is_asked_if_it_runs_and_nothing_else_is_wanted_of_the_program() {
    let (authority, _) = place();
    let leaf = authority.path("leaf.pem");
    let leaf = leaf.to_str().unwrap();
    let reason = Some(Reason {
        code: Code::Expired,
        detail: "a\u{1b}b".to_owned(),
    });
    let verdict = Verdict {
        fingerprint: "00ff".to_owned(),
        status: Status::Invalid,
        reason: reason.clone(),
        host: None,
        good_until_unix_secs: 0,
        total_micros: 1_234,
        steps: vec![Step {
            step: StepName::Validity,
            result: StepResult::Failed,
            reason,
            micros: 7,
        }],
    };
    let fake = Fake::new(vec![Response::CertificateVerdict(Box::new(verdict)).into()]);
    let (exit, text) = fake.output(&["ct", "validate", leaf, "--port", "443"]);
    assert_eq!(exit, Exit::Failure);
    let expected = "invalid: expired: a\\u{1b}b\n\
                    SHA-256 00ff, judged in 1,234 us, holds for 0 s\n\
                    STEP      RESULT  US  REASON\n\
                    validity  failed   7  expired: a\\u{1b}b\n";
    assert_eq!(text, expected);
    let requests = fake.requests();
    let [Request::CertificateValidate(chain)] = &requests[..] else {
        panic!("{requests:?}");
    };
    assert_eq!((chain.chain.len(), chain.port), (1, Some(443)));
    let root = authority.path("root.pem");
    let offline = [
        "ct",
        "validate",
        leaf,
        "--offline",
        "--roots",
        root.to_str().unwrap(),
    ];
    assert!(fake.run(&offline).0.is_ok());
    assert_eq!(fake.requests().len(), 1);
}
