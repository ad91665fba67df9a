//! DNSSEC over RRsets as the cache holds them: keys, signatures and proofs of absence.
//!
//! Decides and never asks: who fetches the keys, and from where trust starts, is the business of
//! [`super::validate`]. Every loop over what a zone chose (keys, signatures, hashes) is charged to
//! an [`Effort`], so that no zone buys much work with one answer (KeyTrap, CVE-2023-50387 and
//! CVE-2023-50868).

mod algorithm;
mod bitmap;
mod canonical;
mod denial;
mod effort;
mod fault;
mod key;
mod nsec;
mod nsec3;
mod signature;
#[cfg(test)]
mod tests;

pub(super) use crate::zone::HASH_BYTES;
pub(super) use canonical::canonical_key;
pub(super) use denial::{Cut, Denial, Proof, SignedDenials};
pub(super) use effort::Effort;
pub(super) use fault::Fault;
pub(super) use key::{Ds, Key, parse_all};
pub(super) use nsec::Nsec;
pub(super) use nsec3::{Nsec3, asks_too_many_iterations, hash_nsec3};
pub(super) use signature::{Verified, confirms_revocation, is_in_time, signers, verify};
