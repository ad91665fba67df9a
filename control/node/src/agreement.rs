//! Agreement on resolved answers and on certificates, in front of the order: what this node found goes to all voters,
//! who look for themselves and say what they think, once a bundle; with a quorum's word it goes into the order.
//!
//! [`Rounds`](rounds::Rounds) proposes, [`Ballots`](ballots::Ballots) votes; both are told the time and touch
//! nothing. [`service`] gives them a thread of their own. Neither resolver nor judge waits for any of it.
//! Start at [`start`]; what holds and where it is tested: `docs/validation.md`.

mod ballots;
mod claim;
mod extension;
mod mesh_cluster;
mod message;
#[cfg(test)]
mod ordered_tests;
mod rounds;
mod service;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;
use std::time::Duration;

use resolver::agreement::Key;

use crate::certs::Judge;
use crate::counters::Counters;
use crate::engine::EngineHandle;

pub(crate) use ballots::{CertificateInquiry, Found, Inquiry};
pub(crate) use claim::{Claim, request_digest};
pub(crate) use extension::{Extension, certificate_hash};
pub(crate) use mesh_cluster::MeshCluster;
pub(crate) use service::{
    AgreementHandle, Channel, Cluster, Judging, Ordered, Resolving, Setup, start,
};

/// The ends of resolver and judge, with which the mesh begins agreement.
#[derive(Debug)]
pub(crate) struct Answers {
    /// Both ends of the way to the thread.
    pub channel: Channel,
    /// The resolver.
    pub engine: EngineHandle,
    /// The judge of certificates.
    pub judge: Judge,
    /// What clients are told of this node.
    pub extension: Extension,
    /// How long somebody waits for a proposal.
    pub timeout: Duration,
    /// Counts.
    pub counters: Arc<Counters>,
}

/// An answer, or a [`Claim`], that this node found and wants the others' word on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proposal {
    /// To what.
    pub key: Key,
    /// Of the answer.
    pub digest: [u8; 32],
    /// The answer or claim as it travels.
    pub records: Arc<[u8]>,
    /// Seconds for which it may be kept.
    pub ttl_secs: u32,
}

/// What came of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A quorum agrees, and that is committed.
    Agreed,
    /// More voters disagree than may be faulty.
    Refused,
    /// Too few said anything in time.
    Undecided,
}

/// A proposal with its verdict.
pub(crate) type Decided = (Arc<Proposal>, Verdict);
