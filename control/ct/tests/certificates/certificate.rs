//! What is read of a certificate, compared with `x509-cert` and `webpki`.

use ct::{
    AlternativeName, BasicConstraints, Certificate, CertificateError, DerError, EXTENSIONS_MAX,
    Hash, KeyUsage, Oid,
};
use rcgen::{CrlDistributionPoint, CustomExtension, ExtendedKeyUsagePurpose, IsCa};
use rustls_pki_types::{CertificateDer, ServerName};
use webpki::EndEntityCert;
use x509_cert::der::{Decode as _, Encode as _};

use crate::pki::{
    self, Authority, element, extension, leaf, leaf_with, overwrite, poison, sct_list,
};

const AUTHORITY_INFORMATION: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 1, 1];
const TLS_FEATURE: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 1, 24];

#[test]
fn fields_are_those_that_another_reader_finds() {
    for algorithm in [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ED25519,
        &rcgen::PKCS_RSA_SHA256,
    ] {
        let authority = Authority::root_by("root", algorithm);
        let der = authority.issue(&leaf());
        let ours = Certificate::parse(&der).unwrap();
        let theirs = x509_cert::Certificate::from_der(&der).unwrap();
        let tbs = theirs.tbs_certificate();
        assert_eq!(ours.der(), der);
        assert_eq!(ours.fingerprint(), Hash::of(&der));
        assert_eq!(ours.tbs(), tbs.to_der().unwrap());
        assert_eq!(ours.serial(), tbs.serial_number().as_bytes());
        assert_eq!(ours.issuer(), tbs.issuer().to_der().unwrap());
        assert_eq!(ours.subject(), tbs.subject().to_der().unwrap());
        assert_eq!(ours.signature(), theirs.signature().raw_bytes());
        let spki = tbs.subject_public_key_info();
        assert_eq!(ours.public_key().spki, spki.to_der().unwrap());
        assert_eq!(
            ours.public_key().octets,
            spki.subject_public_key.raw_bytes()
        );
        assert_eq!(ours.public_key().hash(), Hash::of(ours.public_key().spki));
        let identifier = element(0x30, &[ours.signature_algorithm()]);
        assert_eq!(identifier, theirs.signature_algorithm().to_der().unwrap());
        let seconds = |time: x509_cert::time::Time| time.to_unix_duration().as_secs();
        let validity = ours.validity();
        assert_eq!(validity.not_after, pki::NOT_AFTER);
        assert_eq!(
            u64::try_from(validity.not_before),
            Ok(seconds(tbs.validity().not_before))
        );
        assert_eq!(
            u64::try_from(validity.not_after),
            Ok(seconds(tbs.validity().not_after))
        );
        let list = tbs.extensions().unwrap();
        assert_eq!(ours.extensions().len(), list.len());
        for (ours, theirs) in ours.extensions().iter().zip(list) {
            assert_eq!(ours.id.to_string(), theirs.extn_id.to_string());
            assert_eq!(ours.is_critical, theirs.critical);
            assert_eq!(ours.value, theirs.extn_value.as_bytes());
        }
    }
}

#[test]
fn extensions_say_what_they_were_made_to_say() {
    let uri = |text: &str| element(0x86, &[text.as_bytes()]);
    let access = |method: u8, location: &[u8]| {
        let id = element(0x06, &[&[0x2b, 6, 1, 5, 5, 7, 0x30, method]]);
        element(0x30, &[&id, location])
    };
    let information = element(
        0x30,
        &[
            &access(1, &uri("http://ocsp.example")),
            &access(2, &uri("http://ca.example/a.cer")),
            &access(5, &uri("http://other.example")),
            &access(2, &element(0xa4, &[&[0x30, 0]])), // A directory name.
            &access(2, &uri("http://ca.example/b.cer")),
        ],
    );
    let features = element(0x30, &[&[2, 1, 5]]);
    let mut params = leaf_with([
        extension(&AUTHORITY_INFORMATION, false, &information),
        extension(&TLS_FEATURE, false, &features),
        sct_list(b"list"),
    ]);
    params.crl_distribution_points = vec![CrlDistributionPoint {
        uris: vec!["http://crl.example/1".into(), "http://crl.example/2".into()],
    }];
    let root = Authority::root("root");
    let der = root.issue(&params);
    let certificate = Certificate::parse(&der).unwrap();

    let names = certificate.alternative_names().unwrap().unwrap();
    let expected = [
        AlternativeName::Dns("example.com"),
        AlternativeName::Dns("*.example.org"),
        AlternativeName::Ip("192.0.2.1".parse().unwrap()),
        AlternativeName::Ip("2001:db8::1".parse().unwrap()),
    ];
    assert_eq!(names, expected);
    let information = certificate.authority_information().unwrap();
    assert_eq!(information.ocsp_urls, ["http://ocsp.example"]);
    assert_eq!(
        information.issuer_urls,
        ["http://ca.example/a.cer", "http://ca.example/b.cer"]
    );
    let urls = certificate.revocation_list_urls().unwrap();
    assert_eq!(urls, ["http://crl.example/1", "http://crl.example/2"]);
    assert_eq!(certificate.tls_features(), Ok(vec![5]));
    assert_eq!(certificate.must_staple(), Ok(true));
    assert_eq!(certificate.sct_list(), Ok(Some(&b"list"[..])));
    assert_eq!(certificate.purposes(), Ok(Some(vec![Oid::PURPOSE_SERVER])));
    assert_eq!(
        certificate.key_usage(),
        Ok(Some(KeyUsage(KeyUsage::DIGITAL_SIGNATURE)))
    );
    assert_eq!(certificate.basic_constraints(), Ok(None));
    assert!(!certificate.is_self_issued());

    let above = Certificate::parse(&root.der).unwrap();
    assert!(above.is_self_issued());
    let identifier = root.params.key_identifier(&root.key);
    assert_eq!(
        certificate.authority_key_identifier(),
        Ok(Some(&identifier[..]))
    );
    assert_eq!(above.subject_key_identifier(), Ok(Some(&identifier[..])));
    let usage = KeyUsage(KeyUsage::CERTIFICATE_SIGNING | KeyUsage::CRL_SIGNING);
    assert_eq!(above.key_usage(), Ok(Some(usage)));
    let constraints = BasicConstraints {
        is_ca: true,
        path_length: None,
    };
    assert_eq!(above.basic_constraints(), Ok(Some(constraints)));
    assert_eq!(above.must_staple(), Ok(false));
    assert_eq!(above.sct_list(), Ok(None));
}

#[test]
fn constraints_and_precertificate_signing_are_read() {
    let root = Authority::root("root");
    let mut params = pki::authority("limited");
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Constrained(200));
    let limited = root.authority_by(params, &rcgen::PKCS_ED25519);
    let limited = Certificate::parse(&limited.der).unwrap();
    let expected = BasicConstraints {
        is_ca: true,
        path_length: Some(200),
    };
    assert_eq!(limited.basic_constraints(), Ok(Some(expected)));
    assert_eq!(limited.is_precertificate_signing(), Ok(false));
    let signing = root.precertificate_signing();
    let signing = Certificate::parse(&signing.der).unwrap();
    assert_eq!(signing.is_precertificate_signing(), Ok(true));
}

#[test]
fn extension_that_is_not_of_its_syntax_is_an_error_only_for_who_asks() {
    let garbage = extension(&TLS_FEATURE, false, &[0x30, 0x05, 0x01]);
    let der = Authority::root("root").issue(&leaf_with([garbage]));
    let certificate = Certificate::parse(&der).unwrap();
    let place = der
        .windows(3)
        .position(|window| window == [0x30, 0x05, 0x01])
        .unwrap();
    let expected = DerError::Truncated {
        offset: place + 2,
        needed: 5,
        left: 1,
    };
    assert_eq!(
        certificate.must_staple(),
        Err(expected),
        "the offset is that in the certificate"
    );
    assert!(certificate.alternative_names().is_ok());
}

#[test]
fn duplicate_extension_is_named() {
    let twice = [poison(), poison()];
    let der = Authority::root("root").issue(&leaf_with(twice));
    let id = Oid::POISON.to_string();
    let expected = CertificateError::DuplicateExtension { id };
    assert_eq!(Certificate::parse(&der), Err(expected));
}

#[test]
fn extensions_are_bounded() {
    let many = |count: usize| -> Vec<CustomExtension> {
        let ids = 0..u64::try_from(count).unwrap();
        ids.map(|id| extension(&[1, 3, 6, 1, 4, 1, 99, id], false, &pki::NULL))
            .collect()
    };
    let root = Authority::root("root");
    let own = Certificate::parse(&root.issue(&leaf()))
        .unwrap()
        .extensions()
        .len();
    let most = root.issue(&leaf_with(many(EXTENSIONS_MAX - own)));
    assert_eq!(
        Certificate::parse(&most).unwrap().extensions().len(),
        EXTENSIONS_MAX
    );
    let more = root.issue(&leaf_with(many(EXTENSIONS_MAX - own + 1)));
    assert_eq!(
        Certificate::parse(&more),
        Err(CertificateError::TooManyExtensions)
    );
    // Whoever looks for names in what a log took must not miss them for that, nor because something stands there twice.
    let twice = root.issue(&leaf_with([many(1), many(900)].concat()));
    let logged = Certificate::parse_logged(&twice).unwrap();
    for read in [Certificate::parse_tbs(logged.tbs()).unwrap(), logged] {
        assert_eq!(read.extensions().len(), own + 901);
    }
}

#[test]
fn unequal_algorithm_identifiers_are_named() {
    let mut der = Authority::root_by("root", &rcgen::PKCS_ECDSA_P384_SHA384).issue(&leaf());
    let place = der
        .windows(8)
        .rposition(|window| window == [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3])
        .unwrap();
    der[place + 7] = 2;
    let expected = CertificateError::UnequalAlgorithms {
        inner: Oid::ECDSA_SHA384.to_string(),
        outer: Oid::ECDSA_SHA256.to_string(),
    };
    assert_eq!(Certificate::parse(&der), Err(expected));
    assert!(Certificate::parse_logged(&der).is_ok());
}

#[test]
fn certificate_cut_at_every_byte_is_truncated_and_longer_by_one_has_too_much() {
    let mut der = Authority::root("root").issue(&leaf_with([poison()]));
    for length in 0..der.len() {
        let result = Certificate::parse(&der[..length]);
        let is_truncated = matches!(
            result,
            Err(CertificateError::Der(DerError::Truncated { .. }))
        );
        assert!(is_truncated, "length={length} {result:?}");
    }
    der.push(0);
    let result = Certificate::parse(&der);
    assert!(matches!(
        result,
        Err(CertificateError::Der(DerError::Trailing { octets: 1, .. }))
    ));
}

#[test]
fn what_logs_have_taken_although_it_breaks_a_rule_is_read() {
    let root = Authority::root("root");
    // A serial number that is negative.
    let mut der = root.issue(&leaf());
    assert_eq!(overwrite(&mut der, &[2, 16, 7, 7], &[2, 16, 0xf7, 7]), 1);
    assert_eq!(Certificate::parse(&der).unwrap().serial()[0], 0xf7);
    // FALSE where DER leaves it out, and no certificate without the strict form of TRUE.
    let mut der = root.issue(&leaf_with([extension(&TLS_FEATURE, true, &pki::NULL)]));
    assert_eq!(
        overwrite(&mut der, &[1, 24, 1, 1, 0xff], &[1, 24, 1, 1, 0]),
        1
    );
    let certificate = Certificate::parse(&der).unwrap();
    assert!(!certificate.extension(Oid::TLS_FEATURE).unwrap().is_critical);
    assert_eq!(overwrite(&mut der, &[1, 24, 1, 1, 0], &[1, 24, 1, 1, 1]), 1);
    let result = Certificate::parse(&der);
    assert!(matches!(
        result,
        Err(CertificateError::Der(DerError::Value {
            expected: "BOOLEAN",
            ..
        }))
    ));
}

#[test]
fn empty_list_of_extensions_is_refused() {
    let mut params = leaf();
    params.subject_alt_names.clear();
    params.key_usages.clear();
    params.extended_key_usages.clear();
    params.use_authority_key_identifier_extension = false;
    params.is_ca = IsCa::NoCa;
    params.custom_extensions = vec![extension(&TLS_FEATURE, false, &pki::NULL)];
    let der = Authority::root("root").issue(&params);
    let certificate = Certificate::parse(&der).unwrap();
    assert_eq!(certificate.extensions().len(), 1);
    let tbs = certificate.tbs();
    let list = element(
        0xa3,
        &[&element(
            0x30,
            &[&element(
                0x30,
                &[
                    &element(6, &[&[0x2b, 6, 1, 5, 5, 7, 1, 24]]),
                    &element(4, &[&pki::NULL]),
                ],
            )],
        )],
    );
    let head = tbs.strip_suffix(&list[..]).unwrap();
    let with = |list: &[u8]| {
        let tbs = element(0x30, &[&head[3..], list]);
        let algorithm = element(0x30, &[certificate.signature_algorithm()]);
        element(
            0x30,
            &[
                &tbs,
                &algorithm,
                &element(3, &[&[0], certificate.signature()]),
            ],
        )
    };
    assert_eq!(with(&list), der);
    let empty = with(&element(0xa3, &[&element(0x30, &[])]));
    assert_eq!(
        Certificate::parse(&empty),
        Err(CertificateError::NoExtension)
    );
    let none = with(&[]);
    assert_eq!(Certificate::parse(&none).unwrap().extensions(), &[]);
}

#[test]
fn host_is_covered_where_webpki_says_so() {
    let mut params = leaf();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let der = Authority::root("root").issue(&params);
    let certificate = Certificate::parse(&der).unwrap();
    let der = CertificateDer::from(der.as_slice());
    let theirs = EndEntityCert::try_from(&der).unwrap();
    for (host, expected) in [
        ("example.com", true),
        ("EXAMPLE.com", true),
        ("www.example.com", false),
        ("www.example.org", true),
        ("Www.Example.Org", true),
        ("a.www.example.org", false),
        ("example.org", false),
        ("192.0.2.1", true),
        ("192.0.2.2", false),
        ("2001:db8::1", true),
        ("::ffff:192.0.2.1", false),
    ] {
        let name = ServerName::try_from(host).unwrap();
        assert_eq!(certificate.covers_host(&name), Ok(expected), "{host}");
        assert_eq!(
            theirs.verify_is_valid_for_subject_name(&name).is_ok(),
            expected,
            "{host}"
        );
    }
}

#[test]
fn common_name_is_no_name_of_a_host() {
    let mut params = leaf();
    params.subject_alt_names.clear();
    let der = Authority::root("root").issue(&params);
    let host = ServerName::try_from("example.com").unwrap();
    assert_eq!(
        Certificate::parse(&der).unwrap().covers_host(&host),
        Ok(false)
    );
}

#[test]
fn signed_part_alone_says_what_the_certificate_says() {
    let der = Authority::root("root").issue(&leaf());
    let whole = Certificate::parse(&der).unwrap();
    let part = Certificate::parse_tbs(whole.tbs()).unwrap();
    assert_eq!((part.der(), part.tbs()), (whole.tbs(), whole.tbs()));
    assert_eq!(part.signature(), b"");
    assert_eq!(part.serial(), whole.serial());
    assert_eq!(part.validity(), whole.validity());
    assert_eq!(part.alternative_names(), whole.alternative_names());
    assert_eq!(part.issuer_text(), Ok("CN=root".to_owned()));
    let subject = part.subject_attributes().unwrap();
    let common_name = |read: &ct::NameAttribute<'_>| read.id == Oid::COMMON_NAME;
    let names: Vec<_> = subject.iter().filter(|read| common_name(read)).collect();
    assert_eq!(names.last().unwrap().text, "example.com");
    assert!(Certificate::parse(whole.tbs()).is_err());
    assert!(Certificate::parse_tbs(&der).is_err());
}

#[test]
fn policies_are_read_without_their_qualifiers() {
    let oid = |last: &[u8]| element(0x06, &[&[0x67, 0x81, 0x0c, 0x01], last]);
    let qualifiers = element(0x30, &[]);
    let domain = element(0x30, &[&oid(&[2, 1]), &qualifiers]);
    let extended = element(0x30, &[&oid(&[1])]);
    let value = element(0x30, &[&domain, &extended]);
    let policies = extension(&[2, 5, 29, 32], false, &value);
    let authority = Authority::root("root");
    let der = authority.issue(&leaf_with([policies]));
    let expected = vec![
        Oid::POLICY_DOMAIN_VALIDATION,
        Oid::POLICY_EXTENDED_VALIDATION,
    ];
    let certificate = Certificate::parse(&der).unwrap();
    assert_eq!(certificate.policies(), Ok(expected));
    let der = authority.issue(&leaf());
    assert_eq!(Certificate::parse(&der).unwrap().policies(), Ok(Vec::new()));
}
