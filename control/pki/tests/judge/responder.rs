//! An OCSP responder that says whatever a test wants it to.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "tests and benches each take what they need"
)]

use ct::Certificate;
use rcgen::{ExtendedKeyUsagePurpose, KeyPair, SigningKey};

use crate::pki::{Authority, element, leaf};
use crate::world::NOW;

/// Whose key signs, and how the responder is named.
pub struct Responder {
    key: KeyPair,
    /// Its certificate.
    der: Vec<u8>,
    pub is_named_by_key: bool,
    /// Certificates that come along.
    pub certificates: Vec<Vec<u8>>,
}

pub struct Answer {
    pub status: Status,
    pub this_update: i64,
    pub next_update: Option<i64>,
    pub nonce: Option<Vec<u8>>,
    pub sct_list: Option<Vec<u8>>,
    pub critical: bool,
}

#[derive(Clone, Copy)]
pub enum Status {
    Good,
    Revoked,
    Unknown,
}

impl Answer {
    pub fn good() -> Self {
        Self {
            status: Status::Good,
            this_update: NOW - 3_600,
            next_update: Some(NOW + 3_600),
            nonce: None,
            sct_list: None,
            critical: false,
        }
    }
}

impl Responder {
    /// The issuer itself.
    pub fn of(issuer: &Authority) -> Self {
        let key = KeyPair::try_from(issuer.key.serialize_der()).unwrap();
        Self {
            key,
            der: issuer.der.clone(),
            is_named_by_key: false,
            certificates: Vec::new(),
        }
    }

    /// One to whom `issuer` has delegated, for this purpose and until then.
    pub fn delegated(
        issuer: &Authority,
        purpose: ExtendedKeyUsagePurpose,
        is_current: bool,
    ) -> Self {
        let mut params = leaf();
        params.not_before = rcgen::date_time_ymd(2025, 1, 1);
        params.not_after = rcgen::date_time_ymd(if is_current { 2027 } else { 2026 }, 1, 1);
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().unwrap();
        let signer = rcgen::Issuer::from_params(&issuer.params, &issuer.key);
        let der = params.signed_by(&key, &signer).unwrap().der().to_vec();
        Self {
            key,
            der: der.clone(),
            is_named_by_key: true,
            certificates: vec![der],
        }
    }

    /// An OCSPResponse about a certificate.
    pub fn answer(&self, certificate: &[u8], issuer: &[u8], answer: &Answer) -> Vec<u8> {
        let own = Certificate::parse(&self.der).unwrap();
        let responder = if self.is_named_by_key {
            let hash = sha1_of(own.public_key().octets);
            element(0xa2, &[&element(4, &[&hash])])
        } else {
            element(0xa1, &[own.subject()])
        };
        let certificate = Certificate::parse(certificate).unwrap();
        let issuer = Certificate::parse(issuer).unwrap();
        let id = ::pki::ocsp::cert_id(&certificate, &issuer);
        let single = element(
            0x30,
            &[
                &id,
                &match answer.status {
                    Status::Good => vec![0x80, 0],
                    Status::Revoked => element(0xa1, &[&time(NOW - 60), &[0xa0, 3, 10, 1, 1]]),
                    Status::Unknown => vec![0x82, 0],
                },
                &time(answer.this_update),
                &optional(0xa0, answer.next_update.map(time)),
                &optional(0xa1, single_extensions(answer)),
            ],
        );
        let nonce = answer.nonce.as_ref().map(|nonce| {
            let id = element(6, &[&[0x2b, 6, 1, 5, 5, 7, 0x30, 1, 2]]);
            let value = element(4, &[&element(4, &[nonce])]);
            element(0x30, &[&element(0x30, &[&id, &value])])
        });
        let tbs = element(
            0x30,
            &[
                &responder,
                &time(NOW),
                &element(0x30, &[&single]),
                &optional(0xa1, nonce),
            ],
        );
        let signature = self.key.sign(&tbs).unwrap();
        let algorithm: &[u8] = if self.key.algorithm() == &rcgen::PKCS_RSA_SHA256 {
            &[
                0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11, 5, 0,
            ]
        } else {
            &[0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2] // ECDSA with SHA-256.
        };
        let certificates = self.certificates.concat();
        let certificates = (!certificates.is_empty()).then(|| element(0x30, &[&certificates]));
        let basic = element(
            0x30,
            &[
                &tbs,
                algorithm,
                &element(3, &[&[0], &signature]),
                &optional(0xa0, certificates),
            ],
        );
        let basic_type = element(6, &[&[0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1]]);
        let bytes = element(0x30, &[&basic_type, &element(4, &[&basic])]);
        element(0x30, &[&[10, 1, 0], &element(0xa0, &[&bytes])])
    }
}

fn single_extensions(answer: &Answer) -> Option<Vec<u8>> {
    let scts = answer.sct_list.as_ref().map(|list| {
        let id = element(6, &[&[0x2b, 6, 1, 4, 1, 0xd6, 0x79, 2, 4, 5]]);
        element(0x30, &[&id, &element(4, &[&element(4, &[list])])])
    });
    let critical = answer.critical.then(|| {
        let id = element(6, &[&[0x2b, 1]]);
        element(0x30, &[&id, &[1, 1, 0xff], &[4, 2, 5, 0]])
    });
    let all = [scts, critical].into_iter().flatten().collect::<Vec<_>>();
    (!all.is_empty()).then(|| element(0x30, &[&all.concat()]))
}

fn optional(tag: u8, contents: Option<Vec<u8>>) -> Vec<u8> {
    contents.map_or_else(Vec::new, |contents| element(tag, &[&contents]))
}

/// GeneralizedTime.
pub fn time(unix_secs: i64) -> Vec<u8> {
    let (days, rest) = (unix_secs.div_euclid(86_400), unix_secs.rem_euclid(86_400));
    let year = (1970..2100)
        .rfind(|year| ct::unix_midnight(*year, 1, 1) <= days * 86_400)
        .unwrap();
    let month = (1..=12)
        .rfind(|month| ct::unix_midnight(year, *month, 1) <= days * 86_400)
        .unwrap();
    let day = days - ct::unix_midnight(year, month, 1) / 86_400 + 1;
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    let text = format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}Z");
    element(0x18, &[text.as_bytes()])
}

fn sha1_of(bytes: &[u8]) -> Vec<u8> {
    use sha1::Digest as _;
    sha1::Sha1::digest(bytes).to_vec()
}
