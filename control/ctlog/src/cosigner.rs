//! [`Cosigner`]: this node's own key, by which it says that it has the entries of a head and has never said otherwise.

use std::fmt;

use ct::{KeyKind, KeyName, NoteSignature, VerifierKey, cosignature};
use data_encoding::HEXLOWER;
use ed25519_zebra::{SigningKey, VerificationKeyBytes};

use crate::files::Files;
use crate::validators::cosigner_name;

/// Where its secret is.
const PATH: &str = "cosigner.key";

/// Key and name.
pub(crate) struct Cosigner {
    key: SigningKey,
    verifier: VerifierKey,
}

/// Shows that the key is this node's.
#[derive(Clone)]
pub(crate) struct KeyProver(SigningKey);

impl KeyProver {
    pub(crate) fn prove(&self, statement: &[u8]) -> [u8; 64] {
        self.0.sign(statement).into()
    }
}

impl fmt::Debug for KeyProver {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("KeyProver") // Never the secret.
    }
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum CosignerError {
    /// A name that no note can hold.
    #[error("{0:?} is no name of a cosigner")]
    Name(String),
    /// What the kernel said of its file.
    #[error("{PATH}: {0}")]
    Files(#[from] std::io::Error),
    /// The file has something else in it.
    #[error("{PATH} is not 64 hexadecimal digits")]
    Malformed,
    /// No randomness for a new one.
    #[error("the system gives no randomness for {PATH}")]
    Randomness,
}

impl Cosigner {
    /// The key of this node for this log, which is made if there is none.
    pub(crate) fn load_or_create(
        log: &KeyName,
        node: &str,
        state: &dyn Files,
    ) -> Result<Self, CosignerError> {
        let name = cosigner_name(log, node);
        let name = name.ok_or_else(|| CosignerError::Name(node.to_owned()))?;
        let seed = match state.read(PATH)? {
            Some(text) => {
                let seed = HEXLOWER.decode(text.trim_ascii());
                let seed = seed.ok().and_then(|seed| seed.try_into().ok());
                seed.ok_or(CosignerError::Malformed)?
            }
            None => {
                let mut seed = [0; 32];
                aws_lc_rs::rand::fill(&mut seed).map_err(|_| CosignerError::Randomness)?;
                state.replace(PATH, format!("{}\n", HEXLOWER.encode(&seed)).as_bytes())?;
                seed
            }
        };
        let key = SigningKey::from(seed);
        let public = VerificationKeyBytes::from(&key).into();
        let verifier = VerifierKey::new(name, KeyKind::Cosignature, public);
        Ok(Self { key, verifier })
    }

    /// Name and public half.
    pub(crate) fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// For statements about the key itself.
    pub(crate) fn prover(&self) -> KeyProver {
        KeyProver(self.key)
    }

    /// Signs the text of a checkpoint at a time, in seconds since 1970.
    pub(crate) fn cosign(&self, text: &str, time_s: u64) -> NoteSignature {
        let signature = self.key.sign(&cosignature::message(text, time_s));
        let (name, key) = (self.verifier.name(), self.verifier.key());
        cosignature::signature_line(name, key, time_s, &signature.into())
    }
}

impl fmt::Debug for Cosigner {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Cosigner({})", self.verifier) // Never the secret.
    }
}
