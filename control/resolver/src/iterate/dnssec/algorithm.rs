//! The signature algorithms of DNSSEC that are validated (RFC 8624 §3.1).

use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519,
    RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
    RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY, RsaParameters, RsaPublicKeyComponents,
    UnparsedPublicKey, VerificationAlgorithm,
};

/// An algorithm by its number (IANA, DNS Security Algorithm Numbers).
///
/// RSA/MD5, DSA and GOST must not be validated any more, and Ed448 is not supported: a zone that is
/// signed with these alone counts as unsigned (RFC 4035 §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Algorithm {
    /// 5, and 7, which only says that the zone may use NSEC3.
    RsaSha1,
    /// 8 (RFC 5702).
    RsaSha256,
    /// 10 (RFC 5702).
    RsaSha512,
    /// 13 (RFC 6605).
    EcdsaP256Sha256,
    /// 14 (RFC 6605).
    EcdsaP384Sha384,
    /// 15 (RFC 8080).
    Ed25519,
}

impl Algorithm {
    pub(super) fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            5 | 7 => Self::RsaSha1,
            8 => Self::RsaSha256,
            10 => Self::RsaSha512,
            13 => Self::EcdsaP256Sha256,
            14 => Self::EcdsaP384Sha384,
            15 => Self::Ed25519,
            _ => return None,
        })
    }

    /// Whether `signature` is one of `message` by the public key, as DNSKEY and RRSIG have them.
    pub(super) fn verify(self, public_key: &[u8], message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::RsaSha1 => verify_rsa(
                &RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
                public_key,
                message,
                signature,
            ),
            Self::RsaSha256 => verify_rsa(
                &RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
                public_key,
                message,
                signature,
            ),
            Self::RsaSha512 => verify_rsa(
                &RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
                public_key,
                message,
                signature,
            ),
            Self::EcdsaP256Sha256 => {
                verify_ecdsa(&ECDSA_P256_SHA256_FIXED, public_key, message, signature)
            }
            Self::EcdsaP384Sha384 => {
                verify_ecdsa(&ECDSA_P384_SHA384_FIXED, public_key, message, signature)
            }
            Self::Ed25519 => UnparsedPublicKey::new(&ED25519, public_key)
                .verify(message, signature)
                .is_ok(),
        }
    }
}

fn verify_rsa(
    parameters: &RsaParameters,
    public_key: &[u8],
    message: &[u8],
    signature: &[u8],
) -> bool {
    let Some((exponent, modulus)) = split_rsa(public_key) else {
        return false;
    };
    let key = RsaPublicKeyComponents {
        n: modulus,
        e: exponent,
    };
    key.verify(parameters, message, signature).is_ok()
}

/// Exponent and modulus, without the zeros that some signers put in front (RFC 3110 §2).
fn split_rsa(public_key: &[u8]) -> Option<(&[u8], &[u8])> {
    let (exponent_bytes, rest) = match public_key {
        [0, high, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        [length, rest @ ..] => (usize::from(*length), rest),
        [] => return None,
    };
    let (exponent, modulus) = rest.split_at_checked(exponent_bytes)?;
    Some((without_zeros(exponent), without_zeros(modulus)))
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or(&[])
}

/// DNSKEY has the point without the byte that says "uncompressed" (RFC 6605 §4).
fn verify_ecdsa(
    algorithm: &'static dyn VerificationAlgorithm,
    public_key: &[u8],
    message: &[u8],
    signature: &[u8],
) -> bool {
    let point = [&[4], public_key].concat();
    UnparsedPublicKey::new(algorithm, point)
        .verify(message, signature)
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rsa_exponent_has_a_short_and_a_long_length() {
        assert_eq!(
            split_rsa(&[3, 1, 0, 1, 0, 0xaa, 0xbb]),
            Some((&[1, 0, 1][..], &[0xaa, 0xbb][..]))
        );
        assert_eq!(
            split_rsa(&[0, 0, 1, 3, 0xcc]),
            Some((&[3][..], &[0xcc][..]))
        );
        assert_eq!(split_rsa(&[9, 1, 0, 1]), None);
        assert_eq!(split_rsa(&[]), None);
    }

    #[test]
    fn arbitrary_keys_and_signatures_never_panic() {
        bolero::check!()
            .with_type::<(u8, Vec<u8>, Vec<u8>)>()
            .with_iterations(5_000)
            .for_each(|(number, key, signature)| {
                if let Some(algorithm) = Algorithm::from_number(number % 16) {
                    assert!(!algorithm.verify(key, b"message", signature));
                }
            });
    }
}
