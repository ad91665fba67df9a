//! Authorities and certificates, made anew by rcgen, and a pen for octets that it would not write.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "tests and benches each take what they need, and must fail when that cannot be had"
)]

use std::sync::LazyLock;

use ct::{AcceptedChain, ChainError, ChainRules, Roots, Submission};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SerialNumber, SignatureAlgorithm, date_time_ymd,
};
use webpki::ALL_VERIFICATION_ALGS;

pub const POISON: [u64; 10] = [1, 3, 6, 1, 4, 1, 11129, 2, 4, 3];
pub const SCT_LIST: [u64; 10] = [1, 3, 6, 1, 4, 1, 11129, 2, 4, 2];
pub const PRECERTIFICATE_SIGNING: [u64; 10] = [1, 3, 6, 1, 4, 1, 11129, 2, 4, 4];
pub const NULL: [u8; 2] = [5, 0];
/// 2026-12-01, the end of what [`leaf`] makes.
pub const NOT_AFTER: i64 = 1_796_083_200;

/// Whoever can issue.
pub struct Authority {
    pub params: CertificateParams,
    pub key: KeyPair,
    pub der: Vec<u8>,
}

impl Authority {
    pub fn root(name: &str) -> Self {
        Self::root_by(name, &rcgen::PKCS_ECDSA_P256_SHA256)
    }

    pub fn root_by(name: &str, algorithm: &'static SignatureAlgorithm) -> Self {
        let (params, key) = (authority(name), KeyPair::generate_for(algorithm).unwrap());
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Self { params, key, der }
    }

    /// An authority below this one.
    pub fn authority(&self, name: &str) -> Self {
        self.authority_by(authority(name), &rcgen::PKCS_ECDSA_P256_SHA256)
    }

    pub fn authority_by(
        &self,
        params: CertificateParams,
        algorithm: &'static SignatureAlgorithm,
    ) -> Self {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let der = params
            .signed_by(&key, &self.issuer())
            .unwrap()
            .der()
            .to_vec();
        Self { params, key, der }
    }

    /// RFC 6962 §3.1: a precertificate signing certificate below this authority.
    pub fn precertificate_signing(&self) -> Self {
        let mut params = authority("precertificate signing");
        let purpose = ExtendedKeyUsagePurpose::Other(PRECERTIFICATE_SIGNING.to_vec());
        params.extended_key_usages = vec![purpose];
        self.authority_by(params, &rcgen::PKCS_ECDSA_P256_SHA256)
    }

    pub fn issue(&self, params: &CertificateParams) -> Vec<u8> {
        params
            .signed_by(&*LEAF_KEY, &self.issuer())
            .unwrap()
            .der()
            .to_vec()
    }

    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }
}

/// One key for all that do not issue.
static LEAF_KEY: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate().unwrap());

pub fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    params
}

/// A server's certificate as authorities issue them.
pub fn leaf() -> CertificateParams {
    let names = ["example.com", "*.example.org", "192.0.2.1", "2001:db8::1"];
    let mut params = CertificateParams::new(names.map(String::from)).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, "example.com");
    params.not_before = date_time_ymd(2026, 6, 1);
    params.not_after = date_time_ymd(2026, 12, 1);
    params.serial_number = Some(SerialNumber::from_slice(&[7; 16]));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params
}

pub fn leaf_with(extensions: impl IntoIterator<Item = CustomExtension>) -> CertificateParams {
    let mut params = leaf();
    params.custom_extensions.extend(extensions);
    params
}

pub fn extension(id: &[u64], is_critical: bool, value: &[u8]) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(id, value.to_vec());
    extension.set_criticality(is_critical);
    extension
}

pub fn poison() -> CustomExtension {
    extension(&POISON, true, &NULL)
}

/// A list whose octets are `list`: what is in it is of no matter here.
pub fn sct_list(list: &[u8]) -> CustomExtension {
    extension(&SCT_LIST, false, &element(0x04, &[list]))
}

/// One element of DER.
pub fn element(tag: u8, contents: &[&[u8]]) -> Vec<u8> {
    let contents = contents.concat();
    let length = contents.len();
    let octets = u16::try_from(length).unwrap().to_be_bytes();
    let header = match length {
        0..0x80 => vec![tag, octets[1]],
        0x80..0x100 => vec![tag, 0x81, octets[1]],
        _ => vec![tag, 0x82, octets[0], octets[1]],
    };
    [header, contents].concat()
}

/// Writes `to` over the occurrences of `from`, and says how many there were.
pub fn overwrite(bytes: &mut [u8], from: &[u8], to: &[u8]) -> usize {
    assert_eq!(from.len(), to.len());
    let places: Vec<usize> = (0..=bytes.len() - from.len())
        .filter(|place| bytes[*place..].starts_with(from))
        .collect();
    for place in &places {
        bytes[*place..place + to.len()].copy_from_slice(to);
    }
    places.len()
}

pub fn roots(authorities: &[&Authority]) -> Roots {
    let mut roots = Roots::default();
    for authority in authorities {
        roots.insert(&authority.der).unwrap();
    }
    roots
}

pub fn pem(der: &[u8]) -> String {
    let lines = der
        .chunks(48)
        .map(|line| data_encoding::BASE64.encode(line));
    let body = lines.collect::<Vec<_>>().join("\n");
    format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
}

/// What a log with these roots decides.
pub fn check<B: AsRef<[u8]>>(
    roots: &Roots,
    submission: Submission,
    chain: &[B],
) -> Result<AcceptedChain, ChainError> {
    let rules = ChainRules {
        roots,
        algorithms: ALL_VERIFICATION_ALGS,
        certificates_max: 10,
        bytes_max: 64 * 1024,
    };
    rules.check(submission, chain)
}
