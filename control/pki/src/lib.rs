//! Judges certificates: whether a chain leads to a trusted authority, is for the host, was logged, is not revoked, and is what
//! the host's domain allows (RFC 5280, RFC 9525, RFC 6962, RFC 6960, RFC 7671).
//!
//! Pure: no clock, file, socket or randomness. The time, trusted authorities, known logs and all that was fetched are arguments;
//! what is missing is named, for the caller to fetch and judge again. Start at [`validate`].

#![forbid(unsafe_code)]

mod pipeline;

mod reason;
mod request;
mod verdict;

mod anchors;
mod path;

mod constraints;

mod inclusion;
mod timestamps;

pub mod crl;
pub mod ocsp;
mod revocation;

mod dane;
pub mod tlsa;

pub use anchors::{Anchors, AnchorsError};
pub use inclusion::Inclusion;
pub use pipeline::{INVALID_SECS, Judgement, UNKNOWN_SECS, VALID_SECS_MAX, validate};
pub use reason::{Code, Reason, UnknownReason};
pub use request::{
    CHAIN_BYTES_MAX, CHAIN_CERTIFICATES_MAX, Context, Evidence, FetchedOcsp, Purpose, Request,
    STAPLED_BYTES_MAX, Used, Wanted,
};
pub use verdict::{Status, Step, StepName, StepResult, Verdict};
