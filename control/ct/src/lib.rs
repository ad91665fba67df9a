//! Certificate Transparency as values and rules: Merkle trees and tiles, log entries, timestamps and tree heads, signed notes
//! and checkpoints, and which certificates a log accepts (RFC 6962 and the C2SP texts `static-ct-api`, `tlog-tiles`,
//! `tlog-checkpoint`, `tlog-cosignature`, `signed-note`).
//!
//! Pure: no clock, file, socket or randomness. Time and tiles are arguments, signatures are checked by algorithms that the
//! caller brings, and nothing here holds a private key. Start at [`LogEntry`] for what is logged, at [`Hash`](struct@Hash) for
//! trees, at [`ChainRules::check`] for what a log takes and at [`SctRules::check_embedded`] for what a client believes.

#![forbid(unsafe_code)]

mod base64;
pub mod der;
mod hash;
mod oid;
mod time;
mod tls;

mod ct_extensions;
mod data_tile;
mod entry;
mod proof;
mod tile;
mod tile_reader;
mod tiled_tree;
mod tree;

mod add_checkpoint;
mod checkpoint;
pub mod cosignature;
mod head;
mod log_key;
mod note;
mod sct;
mod signature;
mod verifier_key;
mod witness_policy;

mod certificate;
mod distinguished_name;
mod extension;
mod host;
mod precert;
mod strength;

mod chain;
mod roots;
mod shard;
mod submission;

mod chrome_policy;
mod embedded_scts;
mod log_list;
mod rfc3339;

pub use add_checkpoint::{
    AddCheckpoint, AddCheckpointError, PROOF_LINES_MAX, WitnessError, Witnessed,
};
pub use base64::Base64;
pub use certificate::{Certificate, CertificateError, EXTENSIONS_MAX, PublicKey, Validity};
pub use chain::{AcceptedChain, ChainError, ChainRules, Submission};
pub use checkpoint::{Checkpoint, CheckpointError};
pub use chrome_policy::{CheckedSct, ChromePolicy, ChromeRule, ChromeVerdict, Delivery, Standing};
pub use ct_extensions::{CtExtensions, CtExtensionsError};
pub use data_tile::{DataTileError, read_data_tile, read_data_tile_prefix};
pub use der::DerError;
pub use distinguished_name::NameAttribute;
pub use embedded_scts::{
    EMBEDDED_SCTS_MAX, EmbeddedSctError, EmbeddedScts, EmbeddedSctsError, SctRules,
};
pub use entry::{CHAIN_MAX, EntryError, EntryKind, LogEntry, SignedEntry, TimestampedEntry};
pub use extension::{AlternativeName, AuthorityInformation, BasicConstraints, Extension, KeyUsage};
pub use hash::Hash;
pub use head::{
    GetSthReply, HeadError, SignedTreeHead, TREE_HEAD_SIGNATURE, TreeHead, tree_head_key_id,
};
pub use log_key::{DigitallySigned, KeyError, LogKey, LogSignatureError, SignatureAlgorithm};
pub use log_list::{
    LOG_LIST_AGE_MAX_MS, Log, LogAddress, LogError, LogList, LogListError, LogState, LogStateKind,
    RefusedLog,
};
pub use note::{
    KEY_NAME_BYTES_MAX, KeyName, NOTE_BYTES_MAX, NOTE_SIGNATURES_MAX, Note, NoteError,
    NoteSignature, key_id,
};
pub use oid::Oid;
pub use precert::{Precertificate, PrecertificateError, is_precertificate};
pub use proof::{
    HashSource, ProofError, ProveError, RangeError, prove_consistency, prove_inclusion, root,
    verify_consistency, verify_inclusion,
};
pub use roots::{ROOTS_MAX, ROOTS_OF_A_NAME_MAX, Roots, RootsError};
pub use sct::{AddChainReply, Sct, SctError, encode_sct_list, split_sct_list};
pub use shard::{OutsideShards, SHARD_NAME_BYTES_MAX, Shard, Shards, ShardsError};
pub use signature::{Algorithms, SignatureError, Signed, verify_signature};
pub use strength::{
    Finding, LIFETIME_RULES, LifetimeRule, RSA_BITS_MIN, Role, SERIAL_BYTES_MAX, assess,
};
pub use submission::submission_key;
pub use tile::{
    TILE_LEVELS, TILE_WIDTH, TREE_SIZE_MAX, TileId, TileKind, TilePathError, tiles_of_growth,
};
pub use tile_reader::{TileReadError, TileReader, TilesNeeded};
pub use tiled_tree::{TiledTree, TreeFull};
pub use time::{DAY_SECONDS, read_time, unix_midnight};
pub use tls::Truncated;
pub use tree::{Frontier, FrontierError};
pub use verifier_key::{KeyKind, NoteSignatureError, VerifierKey, VerifierKeyError};
pub use witness_policy::{
    Cosigner, Endpoint, POLICY_LINES_MAX, PolicyError, PolicyProblem, UnmetError, WitnessPolicy,
};
