//! Certificate Transparency as values and rules: Merkle trees and tiles, log entries, timestamps and tree heads, signed notes
//! and checkpoints, and which certificates a log accepts (RFC 6962 and the C2SP texts `static-ct-api`, `tlog-tiles`,
//! `tlog-checkpoint`, `tlog-cosignature`, `signed-note`).
//!
//! Pure: no clock, file, socket or randomness. Time and tiles are arguments, signatures are checked by algorithms that the
//! caller brings, and nothing here holds a private key. Start at [`LogEntry`] for what is logged and at [`Hash`] for trees.

#![forbid(unsafe_code)]

mod add_checkpoint;
mod base64;
mod checkpoint;
mod chrome_policy;
pub mod cosignature;
mod ct_extensions;
mod data_tile;
mod entry;
mod hash;
mod head;
mod log_key;
mod log_list;
mod note;
mod proof;
mod rfc3339;
mod sct;
mod tile;
mod tile_reader;
mod tiled_tree;
mod tls;
mod tree;
mod verifier_key;
mod witness_policy;

pub use add_checkpoint::{
    AddCheckpoint, AddCheckpointError, PROOF_LINES_MAX, WitnessError, Witnessed,
};
pub use base64::Base64;
pub use checkpoint::{Checkpoint, CheckpointError};
pub use chrome_policy::{CheckedSct, ChromePolicy, ChromeRule, ChromeVerdict, Delivery};
pub use ct_extensions::{CtExtensions, CtExtensionsError};
pub use data_tile::{DataTileError, read_data_tile};
pub use entry::{CHAIN_MAX, EntryError, EntryKind, LogEntry, SignedEntry, TimestampedEntry};
pub use hash::Hash;
pub use head::{
    GetSthReply, HeadError, SignedTreeHead, TREE_HEAD_SIGNATURE, TreeHead, tree_head_key_id,
};
pub use log_key::{
    Algorithms, DigitallySigned, KeyError, LogKey, LogSignatureError, SignatureAlgorithm,
};
pub use log_list::{
    LOG_LIST_AGE_MAX_MS, Log, LogAddress, LogError, LogList, LogListError, LogState, LogStateKind,
    RefusedLog,
};
pub use note::{
    KEY_NAME_BYTES_MAX, KeyName, NOTE_BYTES_MAX, NOTE_SIGNATURES_MAX, Note, NoteError,
    NoteSignature, key_id,
};
pub use proof::{
    HashSource, ProofError, ProveError, RangeError, prove_consistency, prove_inclusion, root,
    verify_consistency, verify_inclusion,
};
pub use sct::{AddChainReply, Sct, SctError, encode_sct_list, split_sct_list};
pub use tile::{
    TILE_LEVELS, TILE_WIDTH, TREE_SIZE_MAX, TileId, TileKind, TilePathError, tiles_of_growth,
};
pub use tile_reader::{TileReadError, TileReader, TilesNeeded};
pub use tiled_tree::{TiledTree, TreeFull};
pub use tls::Truncated;
pub use tree::{Frontier, FrontierError};
pub use verifier_key::{KeyKind, NoteSignatureError, VerifierKey, VerifierKeyError};
pub use witness_policy::{
    Cosigner, Endpoint, POLICY_LINES_MAX, PolicyError, PolicyProblem, UnmetError, WitnessPolicy,
};
