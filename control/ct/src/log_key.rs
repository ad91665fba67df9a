//! [`LogKey`] and [`DigitallySigned`]: signatures of logs, checked by algorithms that the caller brings.

use core::fmt;

use rustls_pki_types::{AlgorithmIdentifier, SignatureVerificationAlgorithm, alg_id};
use thiserror::Error;

use crate::certificate::PublicKey;
use crate::der::DerError;
use crate::hash::Hash;
use crate::signature::Algorithms;
use crate::tls::{Reader, Sink as _, Truncated};

/// A public key of a log, and the id that is its hash (RFC 6962 §3.2).
#[derive(Clone, PartialEq, Eq)]
pub struct LogKey {
    id: Hash,
    spki: Vec<u8>,
    algorithm: AlgorithmIdentifier,
    /// Where in `spki` the key itself begins: it ends with it.
    key_offset: usize,
}

/// `digitally-signed` of RFC 5246 §4.7: algorithms and signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigitallySigned {
    algorithm: SignatureAlgorithm,
    signature: Vec<u8>,
}

/// The two that logs may use (RFC 6962 §2.1.4), both over SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureAlgorithm {
    /// On P-256, in DER.
    Ecdsa,
    /// PKCS #1 v1.5, of at least 2048 bits.
    Rsa,
}

/// Why bytes are no key of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeyError {
    /// Not a SubjectPublicKeyInfo in DER.
    #[error(transparent)]
    Malformed(#[from] DerError),
    /// Neither ECDSA on P-256 nor RSA.
    #[error("key is neither on P-256 nor RSA")]
    Algorithm,
}

/// Why a signature does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LogSignatureError {
    /// It ends too soon.
    #[error(transparent)]
    Truncated(#[from] Truncated),
    /// Something follows it.
    #[error("{left} bytes follow the signature")]
    Trailing {
        /// Bytes too many.
        left: usize,
    },
    /// Not of an algorithm that logs may use: numbers of RFC 5246 §7.4.1.4.1.
    #[error("hash algorithm {hash} with signature algorithm {signature}")]
    Algorithm {
        /// 4 is SHA-256.
        hash: u8,
        /// 1 is RSA, 3 ECDSA.
        signature: u8,
    },
    /// Of another algorithm than the key.
    #[error("signature of another algorithm than the key's")]
    OtherAlgorithm,
    /// The caller brought no code for it.
    #[error("no implementation of the key's algorithm")]
    NotImplemented,
    /// It is not of these bytes by this key.
    #[error("signature does not verify")]
    Invalid,
}

impl LogKey {
    /// Reads a SubjectPublicKeyInfo.
    ///
    /// # Errors
    ///
    /// If it is none, or of an algorithm that logs may not use.
    pub fn new(spki: &[u8]) -> Result<Self, KeyError> {
        let key = PublicKey::parse(spki)?;
        let known = [alg_id::ECDSA_P256, alg_id::RSA_ENCRYPTION];
        let known = known.into_iter().find(|id| id.as_ref() == key.algorithm);
        Ok(Self {
            id: Hash::of(spki),
            spki: spki.to_vec(),
            algorithm: known.ok_or(KeyError::Algorithm)?,
            key_offset: spki.len() - key.octets.len(),
        })
    }

    /// SHA-256 of the key: the log's id.
    #[must_use]
    pub fn id(&self) -> Hash {
        self.id
    }

    /// DER of its SubjectPublicKeyInfo.
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// Checks a signature of `message`.
    ///
    /// # Errors
    ///
    /// If it is not by this key, or `algorithms` has none for it.
    pub fn verify(
        &self,
        message: &[u8],
        signed: &DigitallySigned,
        algorithms: &Algorithms<'_>,
    ) -> Result<(), LogSignatureError> {
        let (key_algorithm, signature_algorithm) = match signed.algorithm {
            SignatureAlgorithm::Ecdsa => (alg_id::ECDSA_P256, alg_id::ECDSA_SHA256),
            SignatureAlgorithm::Rsa => (alg_id::RSA_ENCRYPTION, alg_id::RSA_PKCS1_SHA256),
        };
        if key_algorithm != self.algorithm {
            return Err(LogSignatureError::OtherAlgorithm);
        }
        let key = self.spki.get(self.key_offset..).unwrap_or_default();
        verify(
            algorithms,
            (key_algorithm, signature_algorithm),
            key,
            message,
            &signed.signature,
        )
    }
}

impl fmt::Debug for LogKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "LogKey({})", self.id)
    }
}

impl DigitallySigned {
    /// An ECDSA signature of SHA-256 in DER. None if it has more than 2^16 - 1 bytes.
    #[must_use]
    pub fn ecdsa(signature: Vec<u8>) -> Option<Self> {
        u16::try_from(signature.len()).ok()?;
        let algorithm = SignatureAlgorithm::Ecdsa;
        Some(Self {
            algorithm,
            signature,
        })
    }

    /// Its algorithm.
    #[must_use]
    pub fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    /// Two bytes of algorithms, then the signature with its length.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let algorithm = match self.algorithm {
            SignatureAlgorithm::Ecdsa => 3,
            SignatureAlgorithm::Rsa => 1,
        };
        let mut out = vec![4, algorithm];
        out.put_opaque16(&self.signature);
        out
    }

    /// Reads what [`Self::encode`] writes.
    ///
    /// # Errors
    ///
    /// If that is not all, or the algorithms are none of a log.
    pub fn decode(bytes: &[u8]) -> Result<Self, LogSignatureError> {
        let mut reader = Reader::new(bytes);
        let signed = Self::read(&mut reader)?;
        match reader.left() {
            0 => Ok(signed),
            left => Err(LogSignatureError::Trailing { left }),
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, LogSignatureError> {
        let algorithm = match (reader.u8()?, reader.u8()?) {
            (4, 3) => SignatureAlgorithm::Ecdsa,
            (4, 1) => SignatureAlgorithm::Rsa,
            (hash, signature) => return Err(LogSignatureError::Algorithm { hash, signature }),
        };
        Ok(Self {
            algorithm,
            signature: reader.opaque16()?.to_vec(),
        })
    }
}

/// Checks a signature with the caller's code for (key, signature) of these algorithms.
pub(crate) fn verify(
    algorithms: &Algorithms<'_>,
    (key_algorithm, signature_algorithm): (AlgorithmIdentifier, AlgorithmIdentifier),
    key: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<(), LogSignatureError> {
    let fits = |candidate: &&&dyn SignatureVerificationAlgorithm| {
        candidate.public_key_alg_id() == key_algorithm
            && candidate.signature_alg_id() == signature_algorithm
    };
    let algorithm = algorithms.iter().find(fits);
    let algorithm = algorithm.ok_or(LogSignatureError::NotImplemented)?;
    let result = algorithm.verify_signature(key, message, signature);
    result.map_err(|_| LogSignatureError::Invalid)
}
