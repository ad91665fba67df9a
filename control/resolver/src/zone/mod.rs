//! Authoritative zones: from master files to complete wire responses.
//!
//! [`read_zone_file`] turns text into [`Records`], [`Zone::build`] checks them and lays them out for answering,
//! [`Zone::answer`] writes responses, [`ZoneSet`] finds the zone of a question, [`Transfer`] sends a zone out,
//! [`Receiver`] takes one in. [`ZoneContents`] is what nodes agree on and [`Update`] what changes it.
//! Never reads a file, a clock or a socket.

mod error;
mod file;
mod records;

mod answer;
mod beside;
mod build;
mod check_set;
mod compose;
mod data;
mod denial;
mod encode;
mod notes;
mod nsec3;
mod resolve;
mod set;
mod transfer;

mod delta;
mod expand;
mod receive;
mod tsig;
mod tsig_serve;

mod apply;
mod codec;
mod contents;
mod fitness;
mod journal;
mod record_set;
mod snapshot;
mod update;
mod update_codec;

mod tree;

mod name;
mod types;

mod check;
mod date;
mod gateway;
mod identity;
mod location;
mod prefixes;
mod radix;
mod read;
mod scanner;
mod show;
mod svcb;
mod words;

pub use answer::{Kind, Outcome};
pub use apply::{Applied, SetChange};
pub use codec::CodecError;
pub use contents::{CONTENTS_BYTES_MAX, ZoneContents};
pub use data::{Counts, Zone};
pub use delta::DeltaError;
pub use error::{Note, Place, Problem, Remark, ZoneError};
pub use file::{INCLUDE_DEPTH_MAX, Loader, read_zone_file};
pub use fitness::Unfit;
pub use journal::{JOURNAL_BYTES_MAX, JOURNAL_RECORDS_MAX, JOURNAL_STEPS_MAX, Journal};
pub use name::{DisplayName, LABEL_BYTES_MAX, NAME_BYTES_MAX, NameBuffer};
pub use nsec3::NSEC3_ITERATIONS_MAX;
pub(crate) use nsec3::{HASH_BYTES, hash_name};
pub use receive::{
    Carrier, Delta, ReceiveError, ReceiveLimits, Received, Receiver, Wanted, is_newer,
};
pub use record_set::RecordSet;
pub use records::{Record, Records};
pub use set::{Change, ZoneSet};
pub use show::rdata_to_text;
pub use transfer::Transfer;
pub use tsig::{TsigAlgorithm, TsigError, TsigKey, TsigSession};
pub use tsig_serve::{TSIG_BYTES_MAX, TsigKeys, TsigRefusal, TsigSigner};
pub use types::{type_from_text, type_to_text};
pub use update::{Prerequisite, Step, Update, UpdateError};
pub use update_codec::UPDATE_BYTES_MAX;
