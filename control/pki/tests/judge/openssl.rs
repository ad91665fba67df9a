//! OpenSSL as the oracle: chains that it takes or refuses, and responses that it signs.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use ct::Certificate;
use pki::ocsp::{OcspError, OcspResponse, OcspStatus, cert_id, encode_request};
use pki::{Evidence, Request, StepName, StepResult};
use rcgen::{BasicConstraints, IsCa, date_time_ymd};

use crate::pki::{Authority, authority, pem};
use crate::support::ALGORITHMS;
use crate::world::{NOW, World};

fn openssl(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let output = Command::new("openssl")
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    (output.status.success(), text)
}

/// Chains, each with what is known of its authorities.
fn cases() -> Vec<(&'static str, Request, World)> {
    let curve = &rcgen::PKCS_ECDSA_P256_SHA256;
    let mut cases = Vec::new();
    let world = World::new();
    cases.push(("good", world.good(), world));
    let world = World::new();
    let mut request = world.good();
    request.chain[1] = World::below(Authority::root("x"), "y").issuer.der;
    cases.push(("wrong issuer", request, world));
    let world = World::new();
    let mut request = world.good();
    *request.chain[0].last_mut().unwrap() ^= 1;
    cases.push(("bad signature", request, world));
    let mut world = World::new();
    let mut params = authority("issuer");
    params.is_ca = IsCa::ExplicitNoCa;
    world.issuer = world.root.authority_by(params, curve);
    cases.push(("no authority", world.good(), world));
    let mut world = World::new();
    let mut params = authority("narrow");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let narrow = world.root.authority_by(params, curve);
    world.issuer = narrow.authority("issuer");
    let mut request = world.good();
    request.chain.push(narrow.der);
    cases.push(("path length", request, world));
    let mut world = World::new();
    let mut params = authority("issuer");
    params.not_after = date_time_ymd(2026, 1, 15);
    world.issuer = world.root.authority_by(params, curve);
    cases.push(("expired authority", world.good(), world));
    let world = World::new();
    let mut params = World::leaf();
    params.not_after = date_time_ymd(2026, 1, 20);
    cases.push(("expired", world.request(world.issue_logged(&params)), world));
    let world = World::new();
    let mut params = World::leaf();
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    cases.push(("purpose", world.request(world.issue_logged(&params)), world));
    cases
}

#[test]
fn paths_are_found_and_refused_as_by_openssl() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut accepted = 0;
    for (name, request, world) in cases() {
        fs::write(folder.join("root.pem"), pem(&world.root.der)).unwrap();
        fs::write(folder.join("leaf.pem"), pem(&request.chain[0])).unwrap();
        let above: String = request.chain[1..].iter().map(|der| pem(der)).collect();
        fs::write(folder.join("above.pem"), above).unwrap();
        let now = NOW.to_string();
        let arguments = [
            "verify",
            "-attime",
            &now,
            "-purpose",
            "sslserver",
            "-CAfile",
            "root.pem",
            "-no-CApath",
            "-no-CAstore",
            "-untrusted",
            "above.pem",
            "-verify_hostname",
            "example.com",
            "leaf.pem",
        ];
        let (theirs, text) = openssl(folder, &arguments);
        let verdict = world.judge(&request, &Evidence::default()).verdict;
        let passed = |name| verdict.step(name).unwrap().result == StepResult::Passed;
        let ours = passed(StepName::Path) && passed(StepName::Validity) && passed(StepName::Host);
        assert_eq!(ours, theirs, "{name}: {text}");
        accepted += usize::from(ours);
    }
    assert_eq!(accepted, 1);
}

#[test]
fn responses_of_openssl_are_read_and_its_responder_reads_our_requests() {
    let world = World::new();
    let leaf = world.issuer.issue(&World::leaf());
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("issuer.pem"), pem(&world.issuer.der)).unwrap();
    fs::write(folder.join("issuer.key"), world.issuer.key.serialize_pem()).unwrap();
    let certificate = Certificate::parse(&leaf).unwrap();
    let issuer = Certificate::parse(&world.issuer.der).unwrap();
    let nonce = [9; 16];
    let request = encode_request(&cert_id(&certificate, &issuer), Some(&nonce));
    fs::write(folder.join("request.der"), request).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = i64::try_from(now.as_secs()).unwrap();
    let serial = "07".repeat(16);
    for (line, expected) in [
        (
            format!("V\t300101000000Z\t\t{serial}\tunknown\t/CN=x\n"),
            "good",
        ),
        (
            format!("R\t300101000000Z\t260101000000Z,keyCompromise\t{serial}\tunknown\t/CN=x\n"),
            "revoked",
        ),
        (String::new(), "unknown"),
    ] {
        fs::write(folder.join("index.txt"), line).unwrap();
        let (succeeded, text) = openssl(
            folder,
            &[
                "ocsp",
                "-index",
                "index.txt",
                "-CA",
                "issuer.pem",
                "-rsigner",
                "issuer.pem",
                "-rkey",
                "issuer.key",
                "-reqin",
                "request.der",
                "-respout",
                "response.der",
                "-ndays",
                "1",
            ],
        );
        assert!(succeeded, "{text}");
        let response = fs::read(folder.join("response.der")).unwrap();
        let response = OcspResponse::parse(&response).unwrap();
        let check =
            |nonce: &[u8]| response.check(&certificate, &issuer, Some(nonce), now, ALGORITHMS);
        let status = check(&nonce).unwrap();
        match (expected, status) {
            ("good", OcspStatus::Good { until }) => assert!(until > now + 86_000),
            ("revoked", OcspStatus::Revoked { at, reason }) => {
                assert_eq!((at, reason), (1_767_225_600, Some(1)));
            }
            ("unknown", OcspStatus::Unknown) => {}
            other => panic!("{other:?}"),
        }
        assert_eq!(check(&[8; 16]), Err(OcspError::Nonce));
    }
}
