//! What `ct::assess` finds wrong with the certificates of a path, each finding in its step and under its code.

use ct::{Certificate, Finding, Role, assess};

use crate::path::Path;
use crate::reason::{Code, NotPassed};
use crate::request::Purpose;

/// Which step a finding belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    /// What certificates may be used for, and their form.
    Constraints,
    /// Keys and signatures.
    Strength,
}

/// Certificates with their places in the chain.
pub(crate) fn roles<'p, 'a>(
    path: &'p Path<'a>,
) -> impl Iterator<Item = (&'p Certificate<'a>, Role)> {
    let leaf = path.certificates.first();
    let leaf = leaf.map(|leaf| (leaf, Role::EndEntity));
    let authorities = path.authorities().iter().map(|ca| (ca, Role::Authority));
    let root = path.anchor().map(|root| (root, Role::Root));
    leaf.into_iter().chain(authorities).chain(root)
}

/// Fails with the first finding of the group. Of certificates of private authorities only what RFC 5280 demands counts.
pub(crate) fn check<'p, 'a: 'p>(
    certificates: impl Iterator<Item = (&'p Certificate<'a>, Role)>,
    group: Group,
    is_public: bool,
    purpose: Purpose,
) -> Result<(), NotPassed> {
    for (index, (certificate, role)) in certificates.enumerate() {
        for finding in assess(certificate, role) {
            let place = place(&finding);
            let is_for_servers = matches!(finding, Finding::NotForServers | Finding::NoName);
            let counts = (is_public || !place.only_public)
                && (purpose == Purpose::Server || !is_for_servers);
            if place.group == group && counts {
                let detail = format!("certificate {index}: {finding}");
                return Err(NotPassed::failed(place.code, detail));
            }
        }
    }
    Ok(())
}

struct Place {
    group: Group,
    code: Code,
    /// Whether it is a rule for public authorities only.
    only_public: bool,
}

fn place(finding: &Finding) -> Place {
    use Group::{Constraints, Strength};
    let (group, code, only_public) = match finding {
        Finding::RsaBits { .. } | Finding::RsaExponent | Finding::KeyAlgorithm { .. } => {
            (Strength, Code::WeakKey, false)
        }
        Finding::BrokenHash { .. } => (Strength, Code::BrokenHash, false),
        Finding::SignatureAlgorithm { .. } => (Strength, Code::UnsupportedAlgorithm, false),
        Finding::Lifetime { .. } => (Constraints, Code::Lifetime, true),
        Finding::Serial | Finding::NoName | Finding::WideWildcard { .. } => {
            (Constraints, Code::BaselineRequirements, true)
        }
        Finding::NotForServers => (Constraints, Code::WrongPurpose, true),
        Finding::NotAuthority => (Constraints, Code::NotAuthority, true),
        Finding::NotForSigning => (Constraints, Code::WrongUsage, false),
        Finding::NeverValid => (Constraints, Code::Expired, false),
        Finding::Authority => (Constraints, Code::AuthorityAsLeaf, false),
        Finding::UnknownCritical { .. } => (Constraints, Code::UnknownCritical, false),
        Finding::Malformed(_) => (Constraints, Code::Malformed, false),
    };
    Place {
        group,
        code,
        only_public,
    }
}
