//! The way from a certificate to a trust anchor (RFC 5280 §6), found by `rustls-webpki` in whatever order the chain has.

use ct::Certificate;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, Error, KeyUsage};

use crate::reason::{Code, NotPassed};
use crate::request::{Context, Purpose, Wanted};

/// URLs of a certificate at most, from which its issuer is wanted. Who wrote them is not known before there is a path.
const ISSUER_URLS_MAX: usize = 3;

/// Certificates each of which is issued by the next; the last one is the anchor's.
#[derive(Debug)]
pub(crate) struct Path<'a> {
    pub(crate) certificates: Vec<Certificate<'a>>,
    /// Whether the anchor is a public authority.
    pub(crate) is_public: bool,
}

impl<'a> Path<'a> {
    pub(crate) fn leaf_and_issuer(&self) -> Option<(&Certificate<'a>, &Certificate<'a>)> {
        match self.certificates.as_slice() {
            [leaf, issuer, ..] => Some((leaf, issuer)),
            _ => None,
        }
    }

    /// Each certificate below the anchor with its issuer.
    pub(crate) fn links(&self) -> impl Iterator<Item = (&Certificate<'a>, &Certificate<'a>)> {
        let above = self.certificates.iter().skip(1);
        self.certificates.iter().zip(above)
    }

    /// Those between leaf and anchor.
    pub(crate) fn authorities(&self) -> &[Certificate<'a>] {
        match self.certificates.as_slice() {
            [_, authorities @ .., _] => authorities,
            _ => &[],
        }
    }

    /// Whether the certificate with this DER is one of them.
    pub(crate) fn has(&self, der: &[u8]) -> bool {
        self.certificates.iter().any(|one| one.der() == der)
    }

    pub(crate) fn anchor(&self) -> Option<&Certificate<'a>> {
        self.certificates.get(1..)?.last()
    }
}

/// Where a path may end.
pub(crate) enum Ends<'a> {
    /// At what the operator trusts.
    Anchors,
    /// At these certificates, which the host's domain trusts (RFC 7671 §5.2).
    Asserted(Vec<&'a [u8]>),
}

/// What was found, as places in the lists that were searched.
struct Found {
    authorities: Vec<usize>,
    anchor: usize,
}

/// Finds a path. If an issuer is missing, where it may be had is wanted.
pub(crate) fn find<'a>(
    chain: &[Certificate<'a>],
    ends: &Ends<'a>,
    purpose: Purpose,
    context: &Context<'a>,
    wanted: &mut Vec<Wanted>,
) -> Result<Path<'a>, NotPassed> {
    let (leaf, above) = chain
        .split_first()
        .ok_or_else(|| NotPassed::failed(Code::EmptyChain, ""))?;
    let fetched = context.evidence.issuers.values().map(Vec::as_slice);
    let above: Vec<&'a [u8]> = above.iter().map(Certificate::der).chain(fetched).collect();
    let asserted;
    let anchors = match ends {
        Ends::Anchors => context.anchors.anchors(),
        Ends::Asserted(ders) => {
            asserted = assert_anchors(ders)?;
            asserted.as_slice()
        }
    };
    let found = search(leaf, &above, anchors, purpose, context.now_secs()).map_err(|error| {
        if error == Error::UnknownIssuer {
            return missing_issuer(chain, anchors, context, wanted);
        }
        explain(&error, leaf)
    })?;
    let (anchor, is_public) = match ends {
        Ends::Anchors => {
            let origin = context.anchors.origin(found.anchor);
            (
                origin.map(|origin| origin.der.as_slice()),
                origin.is_some_and(|o| o.is_public),
            )
        }
        Ends::Asserted(ders) => (ders.get(found.anchor).copied(), false),
    };
    let authorities = found
        .authorities
        .iter()
        .filter_map(|at| above.get(*at).copied());
    let mut certificates = vec![leaf.clone()];
    for der in authorities.chain(anchor) {
        certificates.push(
            Certificate::parse(der).map_err(|error| NotPassed::failed(Code::Malformed, error))?,
        );
    }
    Ok(Path {
        certificates,
        is_public,
    })
}

fn assert_anchors(ders: &[&[u8]]) -> Result<Vec<TrustAnchor<'static>>, NotPassed> {
    let anchors = ders.iter().map(|der| {
        let der = CertificateDer::from(*der);
        webpki::anchor_from_trusted_cert(&der).map(|anchor| anchor.to_owned())
    });
    let anchors: Result<_, _> = anchors.collect();
    anchors.map_err(|error| NotPassed::failed(Code::Malformed, error))
}

fn search(
    leaf: &Certificate<'_>,
    above: &[&[u8]],
    anchors: &[TrustAnchor<'_>],
    purpose: Purpose,
    now: i64,
) -> Result<Found, Error> {
    let der = CertificateDer::from(leaf.der());
    let end_entity = EndEntityCert::try_from(&der)?;
    let intermediates: Vec<_> = above.iter().map(|der| CertificateDer::from(*der)).collect();
    let usage = match purpose {
        Purpose::Server => KeyUsage::server_auth(),
        Purpose::Client => KeyUsage::client_auth(),
    };
    // At a time of the leaf's validity, so that one that has expired still has a path or has none: whether the leaf and
    // those above are valid now is a step of its own.
    let validity = leaf.validity();
    let at = now.min(validity.not_after).max(validity.not_before);
    let at = u64::try_from(at).unwrap_or_default();
    let time = UnixTime::since_unix_epoch(core::time::Duration::from_secs(at));
    let path = end_entity.verify_for_usage(
        ALL_VERIFICATION_ALGS,
        anchors,
        &intermediates,
        time,
        usage,
        None,
        None,
    )?;
    let place = |der: CertificateDer<'_>| above.iter().position(|above| *above == der.as_ref());
    let authorities = path.intermediate_certificates();
    let authorities = authorities.filter_map(|authority| place(authority.der()));
    let authorities = authorities.collect();
    let anchor = anchors.iter().position(|anchor| anchor == path.anchor());
    Ok(Found {
        authorities,
        anchor: anchor.ok_or(Error::UnknownIssuer)?,
    })
}

/// Walks up by names to where the chain breaks.
fn missing_issuer(
    chain: &[Certificate<'_>],
    anchors: &[TrustAnchor<'_>],
    context: &Context<'_>,
    wanted: &mut Vec<Wanted>,
) -> NotPassed {
    let issuers = &context.evidence.issuers;
    let fetched = issuers.values();
    let fetched = fetched.filter_map(|der| Certificate::parse(der).ok());
    let all: Vec<Certificate<'_>> = chain.iter().cloned().chain(fetched).collect();
    let mut at = 0;
    for _ in 0..all.len() {
        let Some(certificate) = all.get(at) else {
            break;
        };
        let next = all.iter().position(|other| {
            other.subject() == certificate.issuer() && other.der() != certificate.der()
        });
        match next {
            Some(next) => at = next,
            None => break,
        }
    }
    let Some(top) = all.get(at) else {
        return NotPassed::failed(Code::EmptyChain, "");
    };
    let is_self_issued = top.is_self_issued();
    if !is_self_issued && !is_of_an_anchor(top, anchors) {
        let information = top.authority_information().unwrap_or_default();
        let urls = information.issuer_urls.into_iter().take(ISSUER_URLS_MAX);
        let urls = urls.filter(|url| !issuers.contains_key(*url));
        wanted.extend(urls.map(|url| Wanted::Issuer { url: url.into() }));
    }
    // Others stand in the chain, but none of them is the issuer of the first.
    if at == 0 && chain.len() > 1 && !is_self_issued {
        return NotPassed::failed(Code::WrongIssuer, "the first certificate's is not there");
    }
    let detail = format!("the chain ends with {}", top.fingerprint());
    NotPassed::failed(Code::RootNotAccepted, detail)
}

fn is_of_an_anchor(top: &Certificate<'_>, anchors: &[TrustAnchor<'_>]) -> bool {
    let issuer = ct::der::Reader::new(top.issuer()).any();
    let issuer = issuer.map(|name| name.contents).unwrap_or_default();
    let mut anchors = anchors.iter();
    anchors.any(|anchor| anchor.subject.as_ref() == issuer)
}

fn explain(error: &Error, leaf: &Certificate<'_>) -> NotPassed {
    let is_authority = leaf.basic_constraints().ok().flatten();
    let is_authority = is_authority.unwrap_or_default().is_ca;
    let code = match error {
        Error::InvalidSignatureForPublicKey | Error::SignatureAlgorithmMismatch => {
            Code::BadSignature
        }
        Error::CertExpired { .. } | Error::CertNotValidYet { .. } => Code::AuthorityExpired,
        Error::InvalidCertValidity => Code::Expired,
        Error::NameConstraintViolation => Code::NameConstraints,
        Error::PathLenConstraintViolated => Code::PathLength,
        Error::CaUsedAsEndEntity if is_authority => Code::AuthorityAsLeaf,
        Error::CaUsedAsEndEntity | Error::EndEntityUsedAsCa => Code::NotAuthority,
        Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension => Code::WrongPurpose,
        Error::UnsupportedCriticalExtension => Code::UnknownCritical,
        Error::UnsupportedSignatureAlgorithmContext(_)
        | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => Code::UnsupportedAlgorithm,
        Error::MaximumNameConstraintComparisonsExceeded
        | Error::MaximumPathBuildCallsExceeded
        | Error::MaximumPathDepthExceeded
        | Error::MaximumSignatureChecksExceeded => Code::PathTooComplex,
        _ => Code::Malformed,
    };
    NotPassed::failed(code, error)
}
