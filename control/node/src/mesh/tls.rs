//! TLS between nodes: 1.3 alone, X25519MLKEM768 alone, both sides with a certificate over the key
//! of a known member, and a protocol name that holds the cluster.
//!
//! A peer that is no member, of another cluster or not the one who was dialled gets nothing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use consensus::{ClusterId, NodeId, Role, Signer as _};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::aws_lc_rs::{kx_group, sign::any_eddsa_type};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureScheme,
};
use webpki::{EndEntityCert, KeyUsage};

use super::Identity;
use super::certificate::{self, LIFETIME, RENEWED_BEFORE};
use super::counters::{Counters, Refusal};
use super::members::Members;

/// Seconds between two warnings about certificates.
const WARNING_INTERVAL_SECS: u64 = 60;

/// Ed25519 is all that certificates and handshakes are signed with.
static ALGORITHMS: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[webpki::aws_lc_rs::ED25519],
    mapping: &[(SignatureScheme::ED25519, &[webpki::aws_lc_rs::ED25519])],
};

/// The two configurations of one node.
pub(super) struct Tls {
    pub(super) client: ClientConfig,
    pub(super) server: ServerConfig,
}

impl Tls {
    /// For a node of this cluster.
    ///
    /// # Errors
    /// The key cannot be used, or the clock is beyond what certificates can say.
    pub(super) fn new(
        identity: &Identity,
        cluster: ClusterId,
        members: &Arc<ArcSwap<Members>>,
        counters: &Arc<Counters>,
    ) -> Result<Self, Error> {
        let provider = Arc::new(CryptoProvider {
            kx_groups: vec![kx_group::X25519MLKEM768],
            signature_verification_algorithms: ALGORITHMS,
            ..rustls::crypto::aws_lc_rs::default_provider()
        });
        let shown = Arc::new(Shown::new(identity, members)?);
        let verifier = Arc::new(Verifier {
            members: Arc::clone(members),
            counters: Arc::clone(counters),
            warned_secs: AtomicU64::new(0),
        });
        let versions = &[&rustls::version::TLS13];
        let mut client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)?
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone())
            .with_client_cert_resolver(shown.clone());
        client.alpn_protocols = vec![protocol(cluster)];
        client.resumption = Resumption::disabled(); // Who is a member is asked each time.
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(shown);
        server.alpn_protocols = vec![protocol(cluster)];
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        Ok(Self { client, server })
    }
}

/// The name of the protocol. Nodes of different clusters have none in common.
fn protocol(cluster: ClusterId) -> Vec<u8> {
    let text = cluster.to_string();
    let digits = text.get(..16).unwrap_or(&text);
    format!("nexus-mesh/1/{digits}").into_bytes()
}

/// The certificate that this node shows, made anew when it has aged or the node's role changed.
struct Shown {
    identity: Identity,
    key: Arc<dyn SigningKey>,
    members: Arc<ArcSwap<Members>>,
    current: Mutex<(SystemTime, Role, Arc<CertifiedKey>)>,
}

impl Shown {
    fn new(identity: &Identity, members: &Arc<ArcSwap<Members>>) -> Result<Self, Error> {
        let key = any_eddsa_type(&PrivatePkcs8KeyDer::from(identity.to_pkcs8()))?;
        let (now, role) = (SystemTime::now(), members.load().own_role());
        let certified = certify(identity, &key, role, now)?;
        Ok(Self {
            identity: identity.clone(),
            key,
            members: Arc::clone(members),
            current: Mutex::new((now, role, certified)),
        })
    }

    fn get(&self, now: SystemTime) -> Arc<CertifiedKey> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let role = self.members.load().own_role();
        let age = now.duration_since(current.0); // An error when the clock was set back.
        let is_fresh = age.is_ok_and(|age| age < LIFETIME - RENEWED_BEFORE);
        if !is_fresh || current.1 != role {
            match certify(&self.identity, &self.key, role, now) {
                Ok(certified) => *current = (now, role, certified),
                Err(error) => tracing::error!("no new certificate for other nodes: {error}"),
            }
        }
        Arc::clone(&current.2)
    }
}

fn certify(
    identity: &Identity,
    key: &Arc<dyn SigningKey>,
    role: Role,
    now: SystemTime,
) -> Result<Arc<CertifiedKey>, Error> {
    let made = certificate::make(identity, role, now);
    let certificate = made.map_err(|error| Error::General(error.to_string()))?;
    let certified = CertifiedKey::new(vec![certificate], Arc::clone(key));
    Ok(Arc::new(certified))
}

impl std::fmt::Debug for Shown {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "certificate of {}", self.identity.id())
    }
}

impl ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.get(SystemTime::now()))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.get(SystemTime::now()))
    }
}

/// Whose a certificate is, by its key alone. It must have passed the handshake.
pub(super) fn owner(certificate: &CertificateDer<'_>) -> Option<NodeId> {
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    let key = certificate::from_spki(&certificate.subject_public_key_info())?;
    Some(NodeId::of(&key))
}

/// Decides whose certificates count.
#[derive(Debug)]
struct Verifier {
    members: Arc<ArcSwap<Members>>,
    counters: Arc<Counters>,
    warned_secs: AtomicU64,
}

impl Verifier {
    fn check(
        &self,
        certificate: &CertificateDer<'_>,
        usage: KeyUsage,
        wanted: Option<NodeId>,
        now: UnixTime,
    ) -> Result<(), Error> {
        let (id, result) = self.judge(certificate, usage, wanted, now);
        let Err(refusal) = result else { return Ok(()) };
        self.counters.refuse(refusal);
        if refusal == Refusal::Expired && self.may_warn(now.as_secs()) {
            let id = id.map(|id| id.to_string()).unwrap_or_default();
            tracing::warn!(
                "certificate of node {id} has ended or not begun; is a clock wrong, here or there?"
            );
        }
        Err(Error::InvalidCertificate(match refusal {
            Refusal::Expired => CertificateError::Expired,
            Refusal::BadCertificate => CertificateError::BadEncoding,
            _ => CertificateError::UnknownIssuer,
        }))
    }

    fn judge(
        &self,
        certificate: &CertificateDer<'_>,
        usage: KeyUsage,
        wanted: Option<NodeId>,
        now: UnixTime,
    ) -> (Option<NodeId>, Result<(), Refusal>) {
        let Ok(parsed) = EndEntityCert::try_from(certificate) else {
            return (None, Err(Refusal::BadCertificate));
        };
        let Some(key) = certificate::from_spki(&parsed.subject_public_key_info()) else {
            return (None, Err(Refusal::UnknownPeer));
        };
        let id = NodeId::of(&key);
        let members = self.members.load();
        let result = match members.peer(id) {
            _ if members.is_isolated(id) => Err(Refusal::Isolated),
            None => Err(Refusal::UnknownPeer),
            // An id is short: the whole key must be the member's.
            Some(known) if known.key != key => Err(Refusal::UnknownPeer),
            Some(_) if wanted.is_some_and(|wanted| wanted != id) => Err(Refusal::WrongPeer),
            Some(_) => {
                // The member's key, which the configuration names, vouches for the certificate.
                let spki = certificate::to_spki(&key);
                let anchors = [TrustAnchor {
                    subject: parsed.issuer().into(),
                    subject_public_key_info: certificate::inside(&spki).into(),
                    name_constraints: None,
                }];
                let verified =
                    parsed.verify_for_usage(ALGORITHMS.all, &anchors, &[], now, usage, None, None);
                verified.map(|_| ()).map_err(|error| match error {
                    webpki::Error::CertExpired { .. } | webpki::Error::CertNotValidYet { .. } => {
                        Refusal::Expired
                    }
                    _ => Refusal::BadCertificate,
                })
            }
        };
        (Some(id), result)
    }

    fn may_warn(&self, now_secs: u64) -> bool {
        let last = self.warned_secs.load(Ordering::Relaxed);
        let may = now_secs.abs_diff(last) >= WARNING_INTERVAL_SECS;
        if may {
            self.warned_secs.store(now_secs, Ordering::Relaxed);
        }
        may
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let ServerName::DnsName(name) = server_name else {
            return Err(Error::InvalidCertificate(CertificateError::NotValidForName));
        };
        let wanted = certificate::expected(name.as_ref());
        let wanted = wanted.ok_or(CertificateError::NotValidForName)?;
        self.check(end_entity, KeyUsage::server_auth(), Some(wanted), now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &ALGORITHMS)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ALGORITHMS.supported_schemes()
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(end_entity, KeyUsage::client_auth(), None, now)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        ServerCertVerifier::verify_tls12_signature(self, message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &ALGORITHMS)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ALGORITHMS.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consensus::{Configuration, Epoch, Member};
    use std::time::Duration;

    fn identity(number: u8) -> Identity {
        Identity::from_seed([number; 32])
    }

    fn verifier() -> Verifier {
        let members = (1..=4).map(|number| Member {
            key: identity(number).public_key(),
            role: Role::Authority,
            address: ([127, 0, 0, number], 1).into(),
        });
        let configuration = Configuration::new(Epoch(0), members.collect(), 10, 3).unwrap();
        let leaders = [1, 2].map(|number| identity(number).id()).to_vec();
        let isolated = vec![identity(4).id()];
        let configuration = configuration.with_leaders(leaders, isolated).unwrap();
        let members = Members::new(identity(1).id(), &configuration);
        Verifier {
            members: Arc::new(ArcSwap::from_pointee(members)),
            counters: Arc::default(),
            warned_secs: AtomicU64::new(0),
        }
    }

    fn judge(number: u8, wanted: Option<u8>, made: SystemTime) -> Result<(), Refusal> {
        let certificate = certificate::make(&identity(number), Role::Authority, made).unwrap();
        let wanted = wanted.map(|number| identity(number).id());
        let usage = KeyUsage::client_auth();
        verifier()
            .judge(&certificate, usage, wanted, UnixTime::now())
            .1
    }

    #[test]
    fn only_certificates_over_keys_of_members_in_their_time_count() {
        let now = SystemTime::now();
        let hour = Duration::from_hours(1);
        assert_eq!(judge(2, None, now), Ok(()));
        assert_eq!(judge(2, Some(2), now), Ok(()));
        assert_eq!(judge(2, Some(3), now), Err(Refusal::WrongPeer));
        assert_eq!(judge(9, None, now), Err(Refusal::UnknownPeer));
        assert_eq!(
            judge(1, None, now),
            Err(Refusal::UnknownPeer),
            "this node's own"
        );
        assert_eq!(judge(4, None, now), Err(Refusal::Isolated));
        assert_eq!(judge(2, None, now - LIFETIME - hour), Err(Refusal::Expired));
        assert_eq!(
            judge(2, None, now + 23 * hour),
            Ok(()),
            "a clock that is ahead"
        );
        assert_eq!(judge(2, None, now + 25 * hour), Err(Refusal::Expired));
    }

    #[test]
    fn certificate_that_another_key_signed_is_refused_at_every_byte() {
        let good = certificate::make(&identity(2), Role::Authority, SystemTime::now()).unwrap();
        let verifier = verifier();
        for index in 0..good.len() {
            let mut bytes = good.to_vec();
            bytes[index] ^= 1;
            let bad = CertificateDer::from(bytes);
            let judged = verifier.judge(&bad, KeyUsage::client_auth(), None, UnixTime::now());
            assert!(judged.1.is_err(), "index={index}");
        }
    }

    #[test]
    fn certificate_is_kept_while_fresh_and_made_anew_before_it_ends() {
        let members = verifier().members;
        let shown = Shown::new(&identity(1), &members).unwrap();
        let now = SystemTime::now();
        let first = shown.get(now);
        let day = Duration::from_hours(24);
        assert!(Arc::ptr_eq(&first, &shown.get(now + 29 * day)));
        let second = shown.get(now + 31 * day);
        assert!(!Arc::ptr_eq(&first, &second));
        assert!(Arc::ptr_eq(&second, &shown.get(now + 60 * day)));
        let third = shown.get(now);
        assert!(!Arc::ptr_eq(&second, &third), "the clock was set back");
    }

    #[test]
    fn any_bytes_are_a_certificate_that_counts_for_nobody() {
        let verifier = verifier();
        bolero::check!().for_each(|bytes: &[u8]| {
            let certificate = CertificateDer::from(bytes);
            let usage = KeyUsage::client_auth();
            let judged = verifier.judge(&certificate, usage, None, UnixTime::now());
            assert!(judged.1.is_err());
        });
    }
}
