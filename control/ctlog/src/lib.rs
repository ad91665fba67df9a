//! The Certificate Transparency log of a cluster: what consensus has decided becomes tiles on this node's disk, heads that a
//! quorum of validators has cosigned, and replies to those who submit and read.
//!
//! Consensus alone orders entries ([`Decided`]); this crate never decides what is in the log. Everything that it keeps on
//! disk but the signers' memory follows from what was decided, and can be made again from it.

#![forbid(unsafe_code)]

mod decided;
mod outside;
mod spec;

pub use decided::{Appended, Decided};
pub use outside::{Mesh, Sequenced, Sequencer, SubmitError, Submitted};
pub use spec::ShardSpec;
