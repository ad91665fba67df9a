//! Witnesses (C2SP tlog-witness): this node as one of outside logs, and the way to outside ones for our checkpoints.
//!
//! Start at [`Witness::add_checkpoint`] for the one, at [`Outsiders::follow`] for the other.

mod client;
mod outside;
mod outsiders;
mod own;

pub use client::{HttpClient, PostError};
pub use outside::{AskError, OutsideWitness};
pub use outsiders::Outsiders;
pub use own::{LogVerifier, OutsideLog, Witness, WitnessOpenError, WitnessRefusal};
