//! Says of an insecure answer why it is that, where its zone is signed and this resolver cannot
//! check it (RFC 8914 §4.2 and §4.3, RFC 9276 §3.2).

use hickory_proto::rr::RecordType;

use super::dnssec::asks_too_many_iterations;
use super::lookup::Resolution;
use super::message::{Outcome, extended_error};
use super::name::WireName;
use super::resolver::Resolver;
use super::rrset::{RrSet, Security};
use super::validate::proven;

/// Why a signed zone counts as unsigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Insecurity {
    /// No DS names a key of an algorithm that is known here.
    Algorithm,
    /// No DS has a digest that is known here.
    Digest,
    /// The proof that it is unsigned costs more NSEC3 iterations than are done.
    Iterations,
}

impl Insecurity {
    /// INFO-CODE of RFC 8914.
    fn code(self) -> u16 {
        match self {
            Self::Algorithm => extended_error::UNSUPPORTED_DNSKEY_ALGORITHM,
            Self::Digest => extended_error::UNSUPPORTED_DS_DIGEST,
            Self::Iterations => extended_error::UNSUPPORTED_NSEC3_ITERATIONS,
        }
    }

    fn text(self, zone: &WireName) -> String {
        match self {
            Self::Algorithm => format!("{zone} is signed with unsupported algorithms only"),
            Self::Digest => format!("the DS of {zone} have unsupported digests only"),
            Self::Iterations => format!("{zone}: too many NSEC3 iterations to prove its DS"),
        }
    }
}

impl Resolver {
    /// Adds the reasons to the outcome of an insecure resolution. What is known of a zone lasts an
    /// hour at most: an answer that was cached before comes without.
    pub(super) fn explain(&self, now_ms: u64, found: &Resolution, outcome: &mut Outcome) {
        if found.security() != Security::Insecure {
            return;
        }
        let insecure = |set: &&RrSet| set.security == Security::Insecure;
        let answers = found.answers.iter().filter(insecure);
        let names = answers.map(|set| (&set.owner, set.rtype));
        let denied = found.denied.as_ref();
        let denied = denied.filter(|denied| denied.security == Security::Insecure);
        // Of a name that is denied the type does not matter: DS of an unsigned zone is its parent's.
        let denied = denied.map(|denied| (&denied.name, RecordType::ANY));
        for (name, rtype) in names.chain(denied) {
            let above = (rtype == RecordType::DS).then(|| name.parent()).flatten();
            let name = above.as_ref().unwrap_or(name);
            let tree = self.trust.as_ref();
            if let Some((zone, why)) = tree.and_then(|tree| tree.insecurity(now_ms, name)) {
                outcome.add_extended_error(why.code(), why.text(&zone));
            }
        }
        let proof = proven(&found.authority);
        if proof.iter().any(|set| asks_too_many_iterations(set)) {
            let text = "too many NSEC3 iterations to prove it".to_owned();
            outcome.add_extended_error(extended_error::UNSUPPORTED_NSEC3_ITERATIONS, text);
        }
    }
}
