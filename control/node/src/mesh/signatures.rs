//! Ed25519 in batches, by ZIP 215: what a batch accepts is exactly what is accepted one by one, so
//! that no two nodes disagree on a certificate, however its signatures were crafted.

use aws_lc_rs::digest;
use chacha20::ChaCha20Rng;
use chacha20::rand_core::SeedableRng as _;
use consensus::{NodeId, PublicKey, SignatureCheck};
use ed25519_zebra::{Signature, VerificationKeyBytes, batch};

use super::seen::Fingerprint;

/// Signatures in one batch at most: beyond it nothing gets faster.
pub(super) const BATCH_MAX: usize = 512;

/// A signature that is to be checked.
#[derive(Clone)]
pub(super) struct Check {
    pub(super) fingerprint: Fingerprint,
    item: batch::Item,
}

impl Check {
    pub(super) fn new(key: &PublicKey, check: &SignatureCheck) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&key.0);
        context.update(&check.signature.0);
        context.update(&check.preimage);
        let fingerprint = context.finish();
        let key = VerificationKeyBytes::from(key.0);
        let signature = Signature::from_bytes(&check.signature.0);
        Self {
            fingerprint: fingerprint.as_ref().try_into().unwrap_or([0; 32]), // SHA-256 has 32 bytes.
            item: batch::Item::from((key, signature, &check.preimage)),
        }
    }

    /// Every check of a message.
    ///
    /// # Errors
    /// A signer whose key nobody knows.
    pub(super) fn all(
        checks: &[SignatureCheck],
        key: impl Fn(NodeId) -> Option<PublicKey>,
    ) -> Result<Vec<Self>, NodeId> {
        let known = checks.iter().map(|check| {
            let key = key(check.signer).ok_or(check.signer)?;
            Ok(Self::new(&key, check))
        });
        known.collect()
    }
}

/// Whether all of them hold.
pub(super) fn hold<'c>(checks: impl Iterator<Item = &'c Check>, random: &mut ChaCha20Rng) -> bool {
    let mut checks = checks.peekable();
    while checks.peek().is_some() {
        let mut verifier = batch::Verifier::new();
        checks
            .by_ref()
            .take(BATCH_MAX)
            .for_each(|check| verifier.queue(check.item.clone()));
        if verifier.verify(&mut *random).is_err() {
            return false;
        }
    }
    true
}

/// Random numbers that no peer can guess: else it could craft a batch of bad signatures that holds.
///
/// # Errors
/// The kernel has none.
pub(super) fn random() -> std::io::Result<ChaCha20Rng> {
    let mut seed = [0; 32];
    let flags = rustix::rand::GetRandomFlags::empty();
    if rustix::rand::getrandom(&mut seed[..], flags)? != seed.len() {
        return Err(std::io::Error::other(
            "the kernel gave too few random bytes",
        ));
    }
    Ok(ChaCha20Rng::from_seed(seed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::Identity;
    use consensus::Signer as _;

    fn check(number: u8, preimage: &[u8]) -> Check {
        let identity = Identity::from_seed([number; 32]);
        let check = SignatureCheck {
            signer: identity.id(),
            signature: identity.sign(preimage),
            preimage: preimage.into(),
        };
        Check::new(&identity.public_key(), &check)
    }

    #[test]
    fn one_bad_signature_among_many_is_found_wherever_it_stands() {
        let mut random = random().unwrap();
        let good: Vec<_> = (0..2 * BATCH_MAX)
            .map(|index| check(1, &index.to_be_bytes()))
            .collect();
        assert!(hold(good.iter(), &mut random));
        for index in [0, BATCH_MAX - 1, BATCH_MAX, 2 * BATCH_MAX - 1] {
            let mut bad = good.clone();
            let key = Identity::from_seed([1; 32]).public_key();
            let signature = Identity::from_seed([2; 32]).sign(b"x");
            let signer = NodeId(0);
            let preimage = b"x".into();
            let forged = SignatureCheck {
                signer,
                signature,
                preimage,
            };
            bad[index] = Check::new(&key, &forged);
            assert!(!hold(bad.iter(), &mut random), "index={index}");
        }
    }

    /// Keys and R of small order: single and batch verifiers of other rules part ways here
    /// (ZIP 215; "It's 255:19AM", de Valence 2020).
    #[test]
    fn signatures_of_small_order_are_judged_alike_alone_and_in_company() {
        let small: [[u8; 32]; 4] = [
            [0; 32], // Of order 4.
            {
                let mut one = [0; 32];
                one[0] = 1; // The neutral element.
                one
            },
            {
                let mut encoded = [0xff; 32];
                encoded[0] = 0xec; // Of order 2.
                encoded[31] = 0x7f;
                encoded
            },
            {
                let mut encoded = [0xff; 32];
                encoded[0] = 0xee; // The neutral element, not canonical.
                encoded[31] = 0x7f;
                encoded
            },
        ];
        let mut random = random().unwrap();
        let company: Vec<_> = (0..20u8).map(|number| check(number, b"x")).collect();
        for key in small {
            for r in small {
                let mut signature = [0; 64];
                signature[..32].copy_from_slice(&r);
                let check = SignatureCheck {
                    signer: NodeId(0),
                    signature: consensus::Signature(signature),
                    preimage: b"crafted".into(),
                };
                let crafted = Check::new(&PublicKey(key), &check);
                let alone = crafted.item.clone().verify_single().is_ok();
                let all = || company.iter().chain([&crafted]);
                for _ in 0..8 {
                    assert_eq!(hold(all(), &mut random), alone);
                    assert_eq!(hold([&crafted].into_iter(), &mut random), alone);
                }
            }
        }
    }
}
