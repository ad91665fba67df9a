//! The Certificate Transparency log of a cluster: what consensus has decided becomes tiles on this node's disk, heads that a
//! quorum of validators has cosigned, and replies to those who submit and read.
//!
//! Consensus alone orders entries ([`Decided`]); this crate never decides what is in the log. Everything that it keeps on
//! disk but the signers' memory follows from what was decided, and can be made again from it. Start at [`Log::start`], and at
//! [`ShardReader`] for what comes of it.

#![forbid(unsafe_code)]

pub mod copy;
mod decided;
pub mod http;
mod outgoing;
mod outside;
mod served;
mod spec;
pub mod witness;

mod error;
mod files;
mod remembered;

mod cosigner;
mod shard_key;
mod signer;
mod validators;

mod edge;
mod index;
mod issuers;
mod published;
mod reader;
mod store;

mod ballots;
mod catch_up;
mod catching_up;
mod metrics;
mod news;
mod notes;
mod shard_log;
mod sync;

mod log;
mod settings;

pub use cosigner::CosignerError;
pub use decided::{Appended, Decided};
pub use error::LogError;
pub use files::{Files, LocalFiles};
pub use index::IndexError;
pub use log::{Log, LogHandle};
pub use metrics::Metrics;
pub use outside::{Mesh, Sequenced, Sequencer, SubmitError, Submitted};
pub use published::Published;
pub use reader::{ReadError, ReaderProveError, SctForError, ShardReader, Stopped};
pub use remembered::{HeadConflict, MemoryError, SealError};
pub use settings::{Settings, ShardSettings};
pub use shard_key::load_or_create_shard_key;
pub use signer::{CommitCertificate, FileSigner, ShardKeyError, SignedHead, Signer, SignerError};
pub use spec::ShardSpec;
pub use validators::Validators;
