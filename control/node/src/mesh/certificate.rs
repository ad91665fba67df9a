//! The certificate that a node shows to others: self-signed, over the node's own key.
//!
//! What makes it count is the key, which the configuration of members names. It also says what the
//! node can do, in a URI among its alternative names. It lives in memory alone and is made anew
//! long before it ends.

use std::time::{Duration, SystemTime};

use consensus::{NodeId, PublicKey, Role, Signer as _};
use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, PKCS_ED25519,
    PublicKeyData, SanType, SerialNumber, SignatureAlgorithm, SigningKey,
};
use rustls::pki_types::CertificateDer;

use super::Identity;

/// How long a certificate lasts.
pub(super) const LIFETIME: Duration = Duration::from_hours(90 * 24);
/// How much of its life is left when the next one is made.
pub(super) const RENEWED_BEFORE: Duration = Duration::from_hours(60 * 24);
/// How far it reaches back, for nodes whose clocks are behind.
const CLOCK_TOLERANCE: Duration = Duration::from_hours(24);
/// What stands in front of a key in its SubjectPublicKeyInfo (RFC 8410 §4).
const SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
/// Its tag and length.
const SPKI_OUTER_BYTES: usize = 2;

/// The SubjectPublicKeyInfo of a key.
pub(super) fn to_spki(key: &PublicKey) -> Vec<u8> {
    [&SPKI_PREFIX[..], &key.0].concat()
}

/// The key of a SubjectPublicKeyInfo, if it is one of Ed25519.
pub(super) fn from_spki(spki: &[u8]) -> Option<PublicKey> {
    let key = spki.strip_prefix(&SPKI_PREFIX)?;
    key.try_into().ok().map(PublicKey)
}

/// What is inside the outer sequence, as trust anchors have it.
pub(super) fn inside(spki: &[u8]) -> &[u8] {
    spki.get(SPKI_OUTER_BYTES..).unwrap_or_default()
}

/// What a node of this role can do.
fn capabilities(role: Role) -> &'static str {
    match role {
        Role::Authority | Role::Resolver => "DNSResolver,CTValidator,ConsensusNode,Coordinator",
        Role::Witness => "CTValidator,ConsensusNode,Coordinator",
        Role::Edge => "DNSResolver,CTValidator",
    }
}

fn word(role: Role) -> &'static str {
    match role {
        Role::Authority => "authority",
        Role::Resolver => "resolver",
        Role::Witness => "witness",
        Role::Edge => "edge",
    }
}

/// The name under which a node is dialled: TLS wants one, and it says who is expected.
pub(super) fn server_name(id: NodeId) -> String {
    format!("{id}.nexus.invalid")
}

/// Whom a name means.
pub(super) fn expected(name: &str) -> Option<NodeId> {
    let digits = name.strip_suffix(".nexus.invalid")?;
    let is_id = digits.len() == 16 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let id = u64::from_str_radix(digits, 16).ok()?;
    is_id.then_some(NodeId(id))
}

/// A certificate that holds from a day before `now`.
///
/// # Errors
/// Why none can be made: the clock is beyond what certificates can say.
pub(super) fn make(
    identity: &Identity,
    role: Role,
    now: SystemTime,
) -> Result<CertificateDer<'static>, rcgen::Error> {
    let id = identity.id();
    let uri = format!(
        "nexus-node:{id}?role={}&capabilities={}",
        word(role),
        capabilities(role)
    );
    let seconds = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let mut params = CertificateParams::new(vec![server_name(id)])?;
    params.subject_alt_names.push(SanType::URI(uri.try_into()?));
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, format!("nexus node {id}"));
    params.not_before = (now - CLOCK_TOLERANCE).into();
    params.not_after = (now + LIFETIME).into();
    params.serial_number = Some(SerialNumber::from(seconds.as_secs()));
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    Ok(params
        .self_signed(&Key(identity, identity.public_key()))?
        .into())
}

struct Key<'i>(&'i Identity, PublicKey);

impl PublicKeyData for Key<'_> {
    fn der_bytes(&self) -> &[u8] {
        &self.1.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ED25519
    }
}

impl SigningKey for Key<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(self.0.sign(message).0.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use webpki::EndEntityCert;

    #[test]
    fn certificate_says_whose_it_is_and_what_the_node_can_do() {
        let identity = Identity::from_seed([1; 32]);
        let certificate = make(&identity, Role::Witness, SystemTime::now()).unwrap();
        let parsed = EndEntityCert::try_from(&certificate).unwrap();
        let spki = parsed.subject_public_key_info();
        assert_eq!(from_spki(&spki), Some(identity.public_key()));
        assert_eq!(spki.as_ref(), to_spki(&identity.public_key()));
        let id = identity.id();
        let uri = format!(
            "nexus-node:{id}?role=witness&capabilities=CTValidator,ConsensusNode,Coordinator"
        );
        assert!(parsed.valid_uri_names().eq([uri.as_str()]));
        assert!(parsed.valid_dns_names().eq([server_name(id).as_str()]));
    }

    #[test]
    fn name_means_one_node_or_none() {
        let id = NodeId(0x0123_4567_89ab_cdef);
        assert_eq!(expected(&server_name(id)), Some(id));
        for name in [
            "",
            "nexus.invalid",
            "1.nexus.invalid",
            "+123456789abcdef.nexus.invalid",
        ] {
            assert_eq!(expected(name), None, "{name}");
        }
    }
}
