//! Whether a certificate is signed by a key. The algorithms are the caller's.

use rustls_pki_types::SignatureVerificationAlgorithm;

use crate::certificate::{Certificate, PublicKey};
use crate::oid::Oid;

/// The algorithms that a caller can check: for instance those of `rustls-webpki`.
pub type Algorithms<'a> = [&'a dyn SignatureVerificationAlgorithm];

/// Why a signature does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// None of the caller's algorithms has this identifier and parameters.
    #[error("signature algorithm {algorithm} is unknown, or has parameters that are")]
    UnknownAlgorithm {
        /// Of the signature.
        algorithm: String,
    },
    /// No known signature by this algorithm is made with a key of this kind.
    #[error("signature algorithm {algorithm} does not go with a key of {key}")]
    OtherKey {
        /// Of the signature.
        algorithm: String,
        /// Algorithm of the key.
        key: String,
    },
    /// The key did not sign this, or is weaker than the algorithm takes.
    #[error("the signature does not hold")]
    Invalid,
}

/// Octets that somebody signed, in the form that certificates, revocation lists and OCSP responses share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signed<'a> {
    /// What was signed.
    pub message: &'a [u8],
    /// AlgorithmIdentifier without its header.
    pub algorithm: &'a [u8],
    /// The signature's octets.
    pub signature: &'a [u8],
}

impl Signed<'_> {
    /// Checks the signature by a key.
    ///
    /// # Errors
    /// If it does not hold, or cannot be checked.
    pub fn verify(
        &self,
        key: PublicKey<'_>,
        algorithms: &Algorithms<'_>,
    ) -> Result<(), SignatureError> {
        let name = |contents| {
            Oid::of_algorithm(contents)
                .map_or_else(|error| error.to_string(), |oid| oid.to_string())
        };
        let mut error = SignatureError::UnknownAlgorithm {
            algorithm: name(self.algorithm),
        };
        let known = algorithms
            .iter()
            .filter(|algorithm| algorithm.signature_alg_id().as_ref() == self.algorithm);
        for algorithm in known {
            if algorithm.public_key_alg_id().as_ref() != key.algorithm {
                error = SignatureError::OtherKey {
                    algorithm: name(self.algorithm),
                    key: name(key.algorithm),
                };
                continue;
            }
            // Algorithm and key are chosen: another entry for both could only be the same again.
            return algorithm
                .verify_signature(key.octets, self.message, self.signature)
                .map_err(|_| SignatureError::Invalid);
        }
        Err(error)
    }
}

/// Checks the signature of a certificate by its issuer's key.
///
/// # Errors
/// If it does not hold, or cannot be checked.
pub fn verify_signature(
    certificate: &Certificate<'_>,
    key: PublicKey<'_>,
    algorithms: &Algorithms<'_>,
) -> Result<(), SignatureError> {
    let signed = Signed {
        message: certificate.tbs(),
        algorithm: certificate.signature_algorithm(),
        signature: certificate.signature(),
    };
    signed.verify(key, algorithms)
}
