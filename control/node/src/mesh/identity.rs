//! Who this node is: an Ed25519 key, and the id that follows from it.

use std::fmt;

use aws_lc_rs::hmac;
use consensus::{NodeId, PublicKey, Signature, Signer};
use ed25519_zebra::{SigningKey, VerificationKeyBytes};

use super::key_file::{self, KeyError};

/// This node's key. Whoever has its file is this node.
#[derive(Clone)]
pub struct Identity {
    key: SigningKey,
    public: PublicKey,
    id: NodeId,
}

impl Identity {
    /// The key of `node.key_file`, which is made if there is none.
    ///
    /// # Errors
    /// Why the file cannot be used or made, with its name and what to do.
    pub fn load_or_create(node: &config::Node) -> Result<Self, KeyError> {
        let path = node.data_dir.join(&node.key_file);
        Ok(Self::from_seed(key_file::load_or_create(&path)?))
    }

    /// The identity of a secret (RFC 8032 §5.1.5).
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let key = SigningKey::from(seed);
        let public = PublicKey(VerificationKeyBytes::from(&key).into());
        let id = NodeId::of(&public);
        Self { key, public, id }
    }

    /// Its public half.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.public
    }

    /// The secret as TLS libraries take it (RFC 8410 §7).
    pub(super) fn to_pkcs8(&self) -> Vec<u8> {
        key_file::to_der(self.key.as_ref())
    }

    /// A secret for one purpose, the same after each restart.
    pub(super) fn derive(&self, purpose: &[u8]) -> [u8; 32] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.key.as_ref());
        let tag = hmac::sign(&key, purpose);
        tag.as_ref().try_into().unwrap_or([0; 32]) // An HMAC with SHA-256 has 32 bytes.
    }
}

impl Signer for Identity {
    fn id(&self) -> NodeId {
        self.id
    }

    fn sign(&self, preimage: &[u8]) -> Signature {
        Signature(self.key.sign(preimage).into())
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Identity({})", self.id) // Never the secret.
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::HEXLOWER;

    #[test]
    fn keys_and_signatures_are_those_of_rfc_8032() {
        // RFC 8032 §7.1, test 2.
        let seed =
            HEXLOWER.decode(b"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
        let identity = Identity::from_seed(seed.unwrap().try_into().unwrap());
        assert_eq!(
            identity.public_key().to_string(),
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
        );
        assert_eq!(
            identity.sign(&[0x72]).to_string(),
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        );
        assert_eq!(identity.id(), NodeId::of(&identity.public_key()));
    }

    #[test]
    fn secret_is_not_printed_and_differs_by_purpose() {
        let identity = Identity::from_seed([7; 32]);
        let text = format!("{identity:?}");
        assert_eq!(text, format!("Identity({})", identity.id()));
        assert_ne!(identity.derive(b"one"), identity.derive(b"two"));
        assert_eq!(identity.derive(b"one"), identity.derive(b"one"));
    }
}
