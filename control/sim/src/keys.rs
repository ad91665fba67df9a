//! Keys of the simulated nodes. A signature is a keyed hash: cheap, the same for the same bytes, and
//! made by nobody who does not hold the [`Key`].

use std::collections::BTreeMap;

use consensus::{NodeId, PublicKey, Signature, SignatureCheck, Signer};
use siphasher::sip128::{Hasher128, SipHasher13};

use crate::random::Random;

/// The key of one node.
#[derive(Debug, Clone)]
pub struct Key {
    id: NodeId,
    public: PublicKey,
    secret: (u64, u64),
}

impl Key {
    /// The key of the node with this number in the run of this seed.
    #[must_use]
    pub fn new(seed: u64, index: usize) -> Self {
        let mut random = Random::new(seed, &format!("key {index}"));
        let mut bytes = [0; 32];
        for part in bytes.chunks_mut(8) {
            part.copy_from_slice(&random.bits().to_be_bytes());
        }
        let public = PublicKey(bytes);
        Self {
            id: NodeId::of(&public),
            public,
            secret: (random.bits(), random.bits()),
        }
    }

    /// What others know of it.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.public
    }
}

impl Signer for Key {
    fn id(&self) -> NodeId {
        self.id
    }

    fn sign(&self, preimage: &[u8]) -> Signature {
        let mut hasher = SipHasher13::new_with_keys(self.secret.0, self.secret.1);
        std::hash::Hasher::write(&mut hasher, preimage);
        let mut bytes = [0; 64];
        bytes[..16].copy_from_slice(&hasher.finish128().as_bytes());
        Signature(bytes)
    }
}

/// All keys that there are: who checks signatures asks here.
#[derive(Debug, Default)]
pub struct Registry(BTreeMap<NodeId, Key>);

impl Registry {
    /// Makes a key known.
    pub fn insert(&mut self, key: Key) {
        self.0.insert(key.id, key);
    }

    /// Whether the signature is the signer's.
    #[must_use]
    pub fn holds(&self, check: &SignatureCheck) -> bool {
        let key = self.0.get(&check.signer);
        key.is_some_and(|key| key.sign(&check.preimage) == check.signature)
    }
}
