//! Which chains a log takes (RFC 6962 §3.1), as the logs in use check them: to keep out what nobody accepted has issued, not to
//! judge it.
//!
//! In order, each signed by the next, up to an accepted root, which may be left out. Validity, names, policies, purposes and key
//! usage are not looked at: a certificate that breaks their rules is what monitors want to see. Start at [`ChainRules::check`].

use std::sync::Arc;

use crate::certificate::{Certificate, CertificateError};
use crate::der::DerError;
use crate::entry::{EntryKind, LogEntry};
use crate::oid::Oid;
use crate::precert::{Precertificate, PrecertificateError, is_precertificate};
use crate::roots::Roots;
use crate::signature::{Algorithms, SignatureError, verify_signature};

/// What a chain is submitted as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submission {
    /// `add-chain`: a final certificate.
    Certificate,
    /// `add-pre-chain`: a precertificate.
    Precertificate,
}

/// What a log goes by.
#[derive(Debug, Clone, Copy)]
pub struct ChainRules<'r> {
    /// Certificates at whose top a chain may end.
    pub roots: &'r Roots,
    /// Signatures that can be checked.
    pub algorithms: &'r Algorithms<'r>,
    /// Certificates of a submitted chain at most.
    pub certificates_max: usize,
    /// Octets of a submitted chain at most.
    pub bytes_max: usize,
}

/// A chain that a log takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedChain {
    /// What is logged.
    pub entry: LogEntry,
    /// End of the first certificate's validity, in seconds since 1970: it chooses the shard.
    pub not_after: i64,
    /// Certificates above the first up to the root, which is appended if it was left out.
    pub issuers: Vec<Arc<[u8]>>,
}

/// Why a log does not take a chain. Certificates are counted from zero, the one that is logged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// There is no certificate.
    #[error("the chain is empty")]
    Empty,
    /// More certificates than the rules allow.
    #[error("{count} certificates, at most {max} are taken")]
    TooManyCertificates {
        /// In the chain.
        count: usize,
        /// By the rules.
        max: usize,
    },
    /// More octets than the rules allow.
    #[error("{bytes} octets, at most {max} are taken")]
    TooManyBytes {
        /// In the chain.
        bytes: usize,
        /// By the rules.
        max: usize,
    },
    /// Not a certificate.
    #[error("certificate {index}: {error}")]
    Certificate {
        /// Its place.
        index: usize,
        /// What is wrong.
        error: CertificateError,
    },
    /// An extension that decides about the chain is not of its syntax.
    #[error("certificate {index}: {error}")]
    Extension {
        /// Its place.
        index: usize,
        /// What is wrong.
        error: DerError,
    },
    /// The same certificate twice.
    #[error("certificate {index} is certificate {first} again")]
    Repeated {
        /// Its second place.
        index: usize,
        /// Its first place.
        first: usize,
    },
    /// The issuer is in the chain, but does not come next.
    #[error("certificate {index} is issued by certificate {issuer}, which does not come next")]
    Unordered {
        /// Its place.
        index: usize,
        /// Its issuer's place.
        issuer: usize,
    },
    /// The next certificate is of another subject than the issuer.
    #[error("certificate {index} is not issued by the next one")]
    WrongIssuer {
        /// Its place.
        index: usize,
    },
    /// An issuer that may not issue.
    #[error("certificate {index} issues, but is not of an authority")]
    NotAuthority {
        /// The issuer's place.
        index: usize,
    },
    /// RFC 5280 §4.2.1.9.
    #[error("{found} authorities below certificate {index}, which allows {allowed}")]
    PathLength {
        /// The issuer's place.
        index: usize,
        /// By its basic constraints.
        allowed: u32,
        /// Neither self-issued nor for precertificates only.
        found: usize,
    },
    /// A precertificate that issues.
    #[error("certificate {index} issues, but has a poison")]
    PoisonedIssuer {
        /// The issuer's place.
        index: usize,
    },
    /// Not what it was submitted as, or nothing that can be logged as that.
    #[error(transparent)]
    Precertificate(#[from] PrecertificateError),
    /// A signature that does not hold.
    #[error("certificate {index}: {error}")]
    Signature {
        /// Whose signature.
        index: usize,
        /// What is wrong.
        error: SignatureError,
    },
    /// The last certificate is neither an accepted root nor names one as its issuer.
    #[error("certificate {index} ends the chain below no accepted root")]
    RootNotAccepted {
        /// Its place.
        index: usize,
    },
}

impl ChainRules<'_> {
    /// Decides about a chain, and what of it is logged.
    ///
    /// # Errors
    /// With the first thing that is wrong; what costs little is looked at first, signatures last.
    pub fn check<B: AsRef<[u8]>>(
        &self,
        submission: Submission,
        submitted: &[B],
    ) -> Result<AcceptedChain, ChainError> {
        let mut chain = self.parse(submitted)?;
        let first = chain.first().ok_or(ChainError::Empty)?;
        match (submission, is_precertificate(first)?) {
            (Submission::Certificate, true) => return Err(PrecertificateError::Poisoned.into()),
            (Submission::Precertificate, false) => return Err(PrecertificateError::NoPoison.into()),
            _ => {}
        }
        check_order(&chain)?;
        let last = chain.len() - 1;
        let ends_in_root = chain
            .last()
            .is_some_and(|last| self.roots.contains(&last.fingerprint()));
        let authorities = chain
            .get(..last + usize::from(!ends_in_root))
            .unwrap_or_default();
        check_authorities(authorities)?;

        // The root's signature first: a chain below no accepted root then costs no more than that.
        if !ends_in_root {
            let root = self.root_above(last, &chain)?;
            chain.push(root);
        }
        for (index, pair) in chain.windows(2).take(last).enumerate() {
            if let [certificate, issuer] = pair {
                verify_signature(certificate, issuer.public_key(), self.algorithms)
                    .map_err(|error| ChainError::Signature { index, error })?;
            }
        }
        accept(submission, &chain)
    }

    fn parse<'a, B: AsRef<[u8]>>(
        &self,
        submitted: &'a [B],
    ) -> Result<Vec<Certificate<'a>>, ChainError> {
        let (count, max) = (submitted.len(), self.certificates_max);
        if count > max {
            return Err(ChainError::TooManyCertificates { count, max });
        }
        let bytes = submitted.iter().map(|der| der.as_ref().len()).sum();
        if bytes > self.bytes_max {
            let max = self.bytes_max;
            return Err(ChainError::TooManyBytes { bytes, max });
        }
        let certificates = submitted.iter().enumerate();
        certificates
            .map(|(index, der)| parse(index, der.as_ref()))
            .collect()
    }

    /// The accepted root that signed the last certificate.
    fn root_above<'a>(
        &'a self,
        last: usize,
        chain: &[Certificate<'_>],
    ) -> Result<Certificate<'a>, ChainError> {
        let mut failure = ChainError::RootNotAccepted { index: last };
        let Some(certificate) = chain.last() else {
            return Err(failure);
        };
        for der in self.roots.of_subject(certificate.issuer()) {
            let root = parse(last + 1, der)?;
            match verify_signature(certificate, root.public_key(), self.algorithms) {
                Ok(()) => return Ok(root),
                Err(error) => failure = ChainError::Signature { index: last, error },
            }
        }
        Err(failure)
    }
}

fn parse(index: usize, der: &[u8]) -> Result<Certificate<'_>, ChainError> {
    Certificate::parse(der).map_err(|error| ChainError::Certificate { index, error })
}

/// RFC 6962 §4.1: each certificate directly certifies the one before it.
fn check_order(chain: &[Certificate<'_>]) -> Result<(), ChainError> {
    for (index, certificate) in chain.iter().enumerate() {
        let mut earlier = chain.iter().take(index);
        if let Some(first) = earlier.position(|earlier| earlier.der() == certificate.der()) {
            return Err(ChainError::Repeated { index, first });
        }
    }
    for (index, pair) in chain.windows(2).enumerate() {
        let [certificate, next] = pair else { continue };
        if certificate.issuer() == next.subject() {
            continue;
        }
        let issuer = chain
            .iter()
            .position(|other| other.subject() == certificate.issuer());
        return Err(match issuer {
            Some(issuer) if issuer != index => ChainError::Unordered { index, issuer },
            _ => ChainError::WrongIssuer { index },
        });
    }
    Ok(())
}

/// Whether those above the first may issue. A root is not asked: only its name and key count (RFC 5280 §6.1.1).
fn check_authorities(chain: &[Certificate<'_>]) -> Result<(), ChainError> {
    let mut below = 0;
    for (index, issuer) in chain.iter().enumerate().skip(1) {
        let failed = |error| ChainError::Extension { index, error };
        if issuer.extension(Oid::POISON).is_some() {
            return Err(ChainError::PoisonedIssuer { index });
        }
        let constraints = issuer
            .basic_constraints()
            .map_err(failed)?
            .unwrap_or_default();
        if !constraints.is_ca {
            return Err(ChainError::NotAuthority { index });
        }
        match constraints.path_length {
            Some(allowed) if below > usize::try_from(allowed).unwrap_or(usize::MAX) => {
                return Err(ChainError::PathLength {
                    index,
                    allowed,
                    found: below,
                });
            }
            _ => {}
        }
        // The final certificate has no precertificate signing certificate above it, so its issuer need not allow for one.
        let counts =
            !issuer.is_self_issued() && !issuer.is_precertificate_signing().map_err(failed)?;
        below += usize::from(counts);
    }
    Ok(())
}

fn accept(submission: Submission, chain: &[Certificate<'_>]) -> Result<AcceptedChain, ChainError> {
    let (first, above) = chain.split_first().ok_or(ChainError::Empty)?;
    let submitted = Arc::from(first.der());
    let kind = match submission {
        Submission::Certificate => EntryKind::Certificate(submitted),
        Submission::Precertificate => {
            Precertificate::from_submission(first, above)?.into_entry(submitted)
        }
    };
    Ok(AcceptedChain {
        entry: LogEntry {
            kind,
            chain: above.iter().map(Certificate::fingerprint).collect(),
        },
        not_after: first.validity().not_after,
        issuers: above.iter().map(|issuer| issuer.der().into()).collect(),
    })
}
