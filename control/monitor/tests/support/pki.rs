//! Certificates as entries, made by rcgen.

use ct::{Certificate, EntryKind, Hash};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, KeyPair, SerialNumber,
};

/// Policy of domain validation, as the value of the extension.
const DOMAIN_VALIDATED: [u8; 12] = [
    0x30, 0x0a, 0x30, 0x08, 0x06, 0x06, 0x67, 0x81, 0x0c, 0x01, 0x02, 0x01,
];

/// Issues certificates with rising serial numbers.
pub struct Authority {
    params: CertificateParams,
    key: KeyPair,
    serial: u64,
}

impl Authority {
    pub fn new() -> Self {
        Self::named("Test R1")
    }

    pub fn named(common_name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.remove(DnType::CommonName);
        params
            .distinguished_name
            .push(DnType::OrganizationName, "Test");
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self {
            params,
            key,
            serial: 1,
        }
    }

    /// Its own certificate, in PEM.
    pub fn pem(&self) -> String {
        self.params.self_signed(&self.key).unwrap().pem()
    }

    pub fn issue(&mut self, common_name: &str, names: &[&str]) -> Vec<u8> {
        let policies = DOMAIN_VALIDATED.to_vec();
        let policies = CustomExtension::from_oid_content(&[2, 5, 29, 32], policies);
        self.issue_with(common_name, names, vec![policies])
    }

    pub fn issue_with(
        &mut self,
        common_name: &str,
        names: &[&str],
        extensions: Vec<CustomExtension>,
    ) -> Vec<u8> {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        params.serial_number = Some(SerialNumber::from(self.serial));
        params.custom_extensions = extensions;
        self.serial += 1;
        let issuer = rcgen::Issuer::from_params(&self.params, &self.key);
        let issued = params.signed_by(&self.key, &issuer).unwrap();
        issued.der().to_vec()
    }
}

/// The certificate as it is logged after it was issued.
pub fn issued(der: &[u8]) -> EntryKind {
    EntryKind::Certificate(der.into())
}

/// The same as it is logged before.
pub fn before_issue(der: &[u8]) -> EntryKind {
    EntryKind::Precertificate {
        issuer_key_hash: Hash::of(b"key"),
        tbs: Certificate::parse_logged(der).unwrap().tbs().into(),
        submitted: b"the precertificate".as_slice().into(),
    }
}
