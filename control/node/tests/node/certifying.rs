//! Certificates of an authority of OpenSSL, judged by the running control with what it fetches.

use ct::Base64;
use node::admin::{CertificateChain, FailureCode, Reply, Request, Response};
use pki::{Code, Status, StepName, StepResult, Verdict};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::common::{Node, ZONE, own_address};
use crate::openssl::Authority;

/// A control that trusts the authority as its operator's own, and may ask on loopback.
fn trusting(authority: &Authority, more: &str) -> Node {
    let path = |name| authority.path(name).display().to_string();
    Node::start(&format!(
        "zones: [{{name: example.com., file: example.com.zone}}]\n\
         ct: {{trust_anchors: {}, private_anchors: {}{more}}}\n",
        path("other.pem"),
        path("root.pem"),
    ))
}

const ANYWHERE: &str = ", revocation: {refuse: []}";

fn chain(authority: &Authority, names: &[&str]) -> CertificateChain {
    let der = names.iter().map(|name| {
        let der = CertificateDer::from_pem_file(authority.path(name));
        der.unwrap().to_vec()
    });
    CertificateChain {
        chain: der.map(Base64).collect(),
        host: Some("www.example.com".to_owned()),
        ..CertificateChain::default()
    }
}

fn judge(node: &Node, chain: &CertificateChain) -> Verdict {
    match node.admin_ok(&Request::CertificateValidate(chain.clone())) {
        Response::CertificateVerdict(verdict) => *verdict,
        other => panic!("{other:?}"),
    }
}

fn step(verdict: &Verdict, name: StepName) -> (StepResult, Option<Code>) {
    let step = verdict.step(name).unwrap();
    (step.result, step.reason.as_ref().map(|reason| reason.code))
}

fn code(verdict: &Verdict) -> Option<Code> {
    verdict.reason.as_ref().map(|reason| reason.code)
}

#[test]
fn issuer_and_response_are_fetched_once_and_verdicts_are_kept() {
    let authority = Authority::start(own_address());
    let node = trusting(&authority, ANYWHERE);
    let mut chain = chain(&authority, &["leaf.pem"]);
    let verdict = judge(&node, &chain);
    assert_eq!(verdict.status, Status::Valid, "{verdict:?}");
    let passed = (StepResult::Passed, None);
    assert_eq!(step(&verdict, StepName::Revocation), passed);
    assert_eq!(authority.asked(), ["issuer.der", "ocsp"]);
    assert_eq!(judge(&node, &chain), verdict);
    // Another host is another question, to which the same response is an answer.
    chain.host = Some("elsewhere.example".to_owned());
    let verdict = judge(&node, &chain);
    assert_eq!(code(&verdict), Some(Code::HostMismatch));
    assert_eq!(step(&verdict, StepName::Revocation), passed);
    assert_eq!(authority.asked(), [""; 0]);
    for (status, count) in [("valid", 2), ("invalid", 1), ("unknown", 0)] {
        let metric = format!("nexus_control_certificates_total{{status=\"{status}\"}}");
        assert_eq!(node.metric(&metric), Some(count), "{status}");
    }
}

#[test]
fn certificate_that_was_taken_back_is_found_by_response_or_list() {
    let authority = Authority::start(own_address());
    let chain = chain(&authority, &["leaf.pem", "issuer.pem"]);
    authority.refuse(&["ocsp"]);
    let node = trusting(&authority, ANYWHERE);
    assert_eq!(judge(&node, &chain).status, Status::Valid);
    assert_eq!(authority.asked(), ["ocsp", "list.crl"]);
    drop(node);
    authority.set_revoked(true);
    authority.make_list();
    for refused in [&["ocsp"][..], &[]] {
        authority.refuse(refused);
        let verdict = judge(&trusting(&authority, ANYWHERE), &chain);
        assert_eq!(code(&verdict), Some(Code::Revoked), "{verdict:?}");
    }
    authority.refuse(&["ocsp", "list.crl"]);
    let verdict = judge(&trusting(&authority, ANYWHERE), &chain);
    assert_eq!(verdict.status, Status::Unknown);
    assert_eq!(code(&verdict), Some(Code::NoRevocationData));
}

#[test]
fn nothing_is_asked_where_or_when_the_operator_refuses() {
    let authority = Authority::start(own_address());
    let chain = chain(&authority, &["leaf.pem", "issuer.pem"]);
    for setting in ["", ", revocation: {fetch: false, refuse: []}"] {
        let verdict = judge(&trusting(&authority, setting), &chain);
        assert_eq!(code(&verdict), Some(Code::NoRevocationData));
    }
    assert_eq!(authority.asked(), [""; 0]);
}

#[test]
fn records_of_the_host_are_looked_up_and_count_only_if_secure() {
    let authority = Authority::start(own_address());
    let node = trusting(&authority, ANYWHERE);
    let mut chain = chain(&authority, &["leaf.pem", "issuer.pem"]);
    chain.port = Some(443);
    let verdict = judge(&node, &chain);
    let skipped = |code| (StepResult::Skipped, Some(code));
    assert_eq!(step(&verdict, StepName::Dane), skipped(Code::NoTlsa));
    let record = format!("_8443._tcp.www TLSA 3 1 1 {}\n", "00".repeat(32));
    node.write(
        "example.com.zone",
        &ZONE.replace("www A", &(record + "www A")),
    );
    node.admin_ok(&Request::Reload {});
    chain.port = Some(8443);
    let verdict = judge(&node, &chain);
    assert_eq!(step(&verdict, StepName::Dane), skipped(Code::InsecureTlsa));
    assert_eq!(verdict.status, Status::Valid);
}

#[test]
fn records_that_cannot_be_had_leave_it_open_whether_the_domain_agrees() {
    let authority = Authority::start(own_address());
    let gone = std::net::SocketAddr::from((own_address(), 5300));
    let path = |name| authority.path(name).display().to_string();
    let node = Node::start(&format!(
        "ct: {{trust_anchors: {}, private_anchors: {}{ANYWHERE}}}\n\
         resolver, forward: [\"{gone}\"], timeouts: {{question_ms: 2000}}\n",
        path("other.pem"),
        path("root.pem"),
    ));
    let mut chain = chain(&authority, &["leaf.pem", "issuer.pem"]);
    assert_eq!(judge(&node, &chain).status, Status::Valid);
    chain.port = Some(443);
    let verdict = judge(&node, &chain);
    assert_eq!(verdict.status, Status::Unknown, "{verdict:?}");
    assert_eq!(code(&verdict), Some(Code::TlsaNotFetched));
}

#[test]
fn authorities_are_read_again_at_a_reload_and_bad_ones_are_not_taken() {
    let authority = Authority::start(own_address());
    let node = trusting(&authority, ANYWHERE);
    let chain = chain(&authority, &["leaf.pem", "issuer.pem"]);
    assert_eq!(judge(&node, &chain).status, Status::Valid);
    let root = std::fs::read(authority.path("root.pem")).unwrap();
    let reload = |text: &[u8]| {
        std::fs::write(authority.path("root.pem"), text).unwrap();
        match node.admin_ok(&Request::Reload {}) {
            Response::ZonesReloaded { warnings, .. } => warnings,
            other => panic!("{other:?}"),
        }
    };
    let warnings = reload(b"nothing");
    assert!(
        warnings[0].contains("root.pem: no certificate in it"),
        "{warnings:?}"
    );
    assert_eq!(judge(&node, &chain).status, Status::Valid);
    let other = std::fs::read(authority.path("other.pem")).unwrap();
    assert!(reload(&other).is_empty());
    assert_eq!(code(&judge(&node, &chain)), Some(Code::RootNotAccepted));
    assert!(reload(&root).is_empty());
    assert_eq!(judge(&node, &chain).status, Status::Valid);
}

#[test]
fn control_without_authorities_serves_names_and_refuses_to_judge() {
    let authority = Authority::start(own_address());
    let node = Node::start("ct: {trust_anchors: '{dir}/none.pem'}\n");
    let chain = chain(&authority, &["leaf.pem"]);
    match node.admin(&Request::CertificateValidate(chain.clone())) {
        Reply::Error(failure) => {
            assert_eq!(failure.code, FailureCode::Unavailable);
            assert!(failure.message.contains("none.pem"), "{failure}");
        }
        Reply::Ok(other) => panic!("{other:?}"),
    }
    let mut bad = chain;
    bad.lists = vec![Base64(b"none".to_vec())];
    match node.admin(&Request::CertificateValidate(bad)) {
        Reply::Error(failure) => assert_eq!(failure.code, FailureCode::BadRequest),
        Reply::Ok(other) => panic!("{other:?}"),
    }
}
