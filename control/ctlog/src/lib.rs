//! The Certificate Transparency log of a cluster: what consensus has decided becomes tiles on this node's disk, heads that a
//! quorum of validators has cosigned, and replies to those who submit and read.
//!
//! Consensus alone orders entries ([`Decided`]); this crate never decides what is in the log. Everything that it keeps on
//! disk but the signers' memory follows from what was decided, and can be made again from it. Start at [`ShardReader`].

#![forbid(unsafe_code)]

mod decided;
mod outside;
mod spec;

mod files;
mod remembered;

mod cosigner;
mod signer;
mod validators;

mod edge;
mod index;
mod published;
mod reader;

pub use cosigner::CosignerError;
pub use decided::{Appended, Decided};
pub use files::{Files, LocalFiles};
pub use index::IndexError;
pub use outside::{Mesh, Sequenced, Sequencer, SubmitError, Submitted};
pub use published::Published;
pub use reader::{ReadError, ReaderProveError, SctForError, ShardReader, Stopped};
pub use remembered::{HeadConflict, MemoryError, SealError};
pub use signer::{CommitCertificate, FileSigner, ShardKeyError, SignedHead, Signer, SignerError};
pub use spec::ShardSpec;
pub use validators::Validators;
