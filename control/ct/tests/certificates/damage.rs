//! Octets of strangers: whatever they are, reading them ends with a value or an error, and what is cut fits together again.

use std::panic::AssertUnwindSafe;
use std::sync::LazyLock;

use ct::{
    Certificate, CertificateError, ChainError, DerError, Hash, Oid, Precertificate, Role, Roots,
    Submission, assess, is_precertificate,
};
use proptest::prelude::*;
use rustls_pki_types::ServerName;
use x509_cert::der::Decode as _;

use crate::pki::{self, Authority, check, leaf_with, poison, roots, sct_list};
use crate::support::damage;

/// Precertificate, signing certificate, issuer, root, final certificate.
struct Samples {
    ders: Vec<Vec<u8>>,
    roots: Roots,
}

static SAMPLES: LazyLock<Samples> = LazyLock::new(|| {
    let root = Authority::root("root");
    let issuer = root.authority("issuer");
    let signing = issuer.precertificate_signing();
    let pre = signing.issue(&leaf_with([poison()]));
    let issued = issuer.issue(&leaf_with([sct_list(&[1; 100])]));
    Samples {
        roots: roots(&[&root]),
        ders: vec![pre, signing.der, issuer.der, root.der, issued],
    }
});

/// Asks a certificate everything.
fn exhaust(bytes: &[u8]) {
    let Ok(certificate) = Certificate::parse(bytes) else {
        return;
    };
    assert_eq!(certificate.der(), bytes);
    let _ = certificate.alternative_names();
    let _ = certificate.authority_information();
    let _ = certificate.policies();
    let _ = certificate.issuer_text();
    let _ = certificate.subject_attributes();
    let _ = certificate.authority_key_identifier();
    let _ = certificate.subject_key_identifier();
    let _ = certificate.revocation_list_urls();
    let _ = certificate.basic_constraints();
    let _ = certificate.key_usage();
    let _ = certificate.purposes();
    let _ = certificate.must_staple();
    let _ = certificate.sct_list();
    let _ = certificate.covers_host(&ServerName::try_from("www.example.org").unwrap());
    let said: Vec<String> = [Role::EndEntity, Role::Authority, Role::Root]
        .iter()
        .flat_map(|role| assess(&certificate, *role))
        .map(|finding| finding.to_string())
        .collect();
    assert!(said.iter().all(|finding| !finding.is_empty()));
    splice(&certificate);
}

/// What is logged is the signed part with one extension less; put back, it is the signed part.
fn splice(certificate: &Certificate<'_>) {
    let (pre, removed) = match is_precertificate(certificate) {
        Ok(true) => (true, Oid::POISON),
        Ok(false) if certificate.extension(Oid::SCT_LIST).is_some() => (false, Oid::SCT_LIST),
        _ => return,
    };
    let above = Certificate::parse(&SAMPLES.ders[2]).unwrap();
    let logged = match pre {
        true => Precertificate::from_submission(certificate, std::slice::from_ref(&above)),
        false => Precertificate::from_final(certificate, &above),
    };
    let Ok(logged) = logged else { return };
    let algorithm = pki::element(0x30, &[certificate.signature_algorithm()]);
    let signature = pki::element(3, &[&[0], certificate.signature()]);
    let again = pki::element(0x30, &[&logged.tbs, &algorithm, &signature]);
    let again = Certificate::parse(&again).unwrap();
    assert!(again.extension(removed).is_none());
    let kept = certificate
        .extensions()
        .iter()
        .filter(|extension| extension.id != removed);
    let parts = |(id, is_critical, value)| (id, is_critical, value);
    let kept: Vec<_> = kept
        .map(|kept| parts((kept.id, kept.is_critical, kept.value)))
        .collect();
    let have: Vec<_> = again
        .extensions()
        .iter()
        .map(|have| parts((have.id, have.is_critical, have.value)))
        .collect();
    assert_eq!(have, kept);
    assert_eq!(again.issuer(), certificate.issuer());
    assert_eq!(again.subject(), certificate.subject());
    assert_eq!(again.public_key(), certificate.public_key());
    assert_eq!(again.validity(), certificate.validity());
    assert_eq!(again.serial(), certificate.serial());
    let shorter = certificate.tbs().len() - logged.tbs.len();
    assert!(
        shorter >= 18,
        "the extension and at most two octets of each of three headers"
    );
}

#[test]
fn any_octets_as_a_certificate_are_refused_or_answer_everything() {
    bolero::check!().for_each(|noise: &[u8]| {
        let (choice, rest) = noise.split_first().unwrap_or((&0, &[]));
        let sample = &SAMPLES.ders[usize::from(*choice) % SAMPLES.ders.len()];
        exhaust(&damage(sample, rest));
        exhaust(noise);
    });
}

#[test]
fn certificate_with_any_octet_changed_is_refused_or_answers_everything() {
    for sample in &SAMPLES.ders {
        for place in 0..sample.len() {
            for bit in [0x01, 0x20, 0x80] {
                let mut bytes = sample.clone();
                bytes[place] ^= bit;
                exhaust(&bytes);
            }
        }
    }
}

#[test]
fn any_octets_as_a_chain_are_refused_unless_they_are_the_chain() {
    let samples = AssertUnwindSafe(&*SAMPLES);
    let whole = &samples.ders[..3];
    let expected = check(&samples.roots, Submission::Precertificate, whole).unwrap();
    bolero::check!().for_each(|noise: &[u8]| {
        let (choice, rest) = noise.split_first().unwrap_or((&0, &[]));
        let mut chain = whole.to_vec();
        let index = usize::from(*choice) % 3;
        chain[index] = damage(&chain[index], rest);
        match check(&samples.roots, Submission::Precertificate, &chain) {
            Ok(accepted) if chain == whole => assert_eq!(accepted, expected),
            // All but the signatures is signed, and another signature is not found by chance.
            Ok(_) => panic!("a damaged chain was taken: {chain:x?}"),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
        let octets: Vec<&[u8]> = noise.chunks(200).collect();
        assert!(check(&samples.roots, Submission::Certificate, &octets).is_err());
    });
}

#[test]
fn any_octets_as_roots_are_refused_or_make_a_set() {
    bolero::check!().for_each(|noise: &[u8]| {
        let text = pki::pem(&damage(&SAMPLES.ders[3], noise));
        for text in [text.as_bytes(), noise] {
            if let Ok(roots) = Roots::from_pem(text) {
                assert!(
                    roots
                        .iter()
                        .all(|(fingerprint, der)| *fingerprint == Hash::of(der))
                );
            }
        }
    });
}

#[test]
fn what_is_refused_another_reader_refuses_but_for_named_rules() {
    for sample in &SAMPLES.ders {
        for place in 0..sample.len() {
            for value in [0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0x86, 0xff] {
                let mut bytes = sample.clone();
                bytes[place] ^= value;
                let Err(error) = Certificate::parse(&bytes) else {
                    continue; // Laxer where logs are.
                };
                let is_rule_of_its_own = matches!(
                    error,
                    CertificateError::UnequalAlgorithms { .. }
                        | CertificateError::DuplicateExtension { .. }
                        // Keys and signatures are whole octets; identifiers have no octet too many (X.690 §8.19.2).
                        | CertificateError::Der(DerError::Value {
                            expected: "BIT STRING of whole octets" | "OBJECT IDENTIFIER",
                            ..
                        })
                );
                let theirs = x509_cert::Certificate::from_der(&bytes);
                assert!(
                    is_rule_of_its_own || theirs.is_err(),
                    "{error} place={place} value={value}"
                );
            }
        }
    }
}

proptest! {
    #[test]
    fn list_of_timestamps_of_any_length_is_cut_out_whole(list in proptest::collection::vec(any::<u8>(), 0..3000)) {
        static ISSUER: LazyLock<Authority> = LazyLock::new(|| Authority::root("issuer"));
        let ders = [ISSUER.issue(&leaf_with([poison()])), ISSUER.issue(&leaf_with([sct_list(&list)]))];
        let above = Certificate::parse(&ISSUER.der).unwrap();
        let [pre, issued] = ders.each_ref().map(|der| Certificate::parse(der).unwrap());
        let logged = Precertificate::from_submission(&pre, std::slice::from_ref(&above));
        prop_assert_eq!(logged, Precertificate::from_final(&issued, &above));
        prop_assert_eq!(issued.sct_list(), Ok(Some(&list[..])));
    }
}

#[test]
fn errors_of_a_chain_say_which_certificate_it_is() {
    let mut chain = SAMPLES.ders[..3].to_vec();
    chain[2].truncate(10);
    let error = check(&SAMPLES.roots, Submission::Precertificate, &chain).unwrap_err();
    assert!(matches!(error, ChainError::Certificate { index: 2, .. }));
    assert!(
        error.to_string().starts_with("certificate 2: at "),
        "{error}"
    );
}
