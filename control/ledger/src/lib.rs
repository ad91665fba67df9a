//! The state that the nodes keep in agreement: zones, validated answers, members and their standing, applications.
//!
//! Pure and deterministic: the same commands in the same order give the same state, replies and root on every node. Time is the
//! batch's; there are no floats, clocks, hash seeds or randomness. Start at [`Ledger`], which consensus runs, and [`Command`],
//! which nodes send; rules and where they are tested: `docs/ledger.md`.

#![forbid(unsafe_code)]

mod ledger;
mod state;

mod command;
mod ct_command;
mod import;
mod outcome;

mod answer;
mod application;
mod parameters;
mod report;

mod answers;
mod ct_log;
mod members;
mod validate;
mod zones;

mod assess;
mod isolation;
mod reputation;
mod score;
mod standing;

mod codec;
mod snapshot;
mod tree;

pub use answer::{
    ANSWER_BYTES_MAX, AnswerBundle, AnswerItem, AnswerVote, BUNDLE_ITEMS_MAX, Opinion, Question,
    Security, ValidatedAnswers, Verdict,
};
pub use answers::{ANSWER_TTL_SECONDS_MAX, ANSWERS_MAX, Answer};
pub use application::{
    APPLICATION_BYTES_MAX, APPLICATION_REPLY_BYTES_MAX, APPLICATIONS_MAX, Application,
    Applications, NAME_BYTES_MAX,
};
pub use assess::{Assessment, Indicator};
pub use command::{COMMANDS_MAX, Change, Command, Commands, CreateMode};
pub use ct_command::{
    CT_CERTIFICATE_BYTES_MAX, CT_CHAIN_MAX, CT_ENTRIES_MAX, CtCosignerKey, CtShard, CtSubmission,
};
pub use ct_log::{
    CT_ISSUERS_BYTES_MAX, CT_ISSUERS_MAX, CT_RECENT_ENTRIES, CT_REFRESH_MS, CT_SHARDS_MAX, CtNews,
    CtShardState, CtValidators,
};
pub use import::{ImportError, commands_of};
pub use ledger::{Ledger, checks_of};
pub use members::{PROPOSALS_MAX, PROPOSALS_PER_NODE_MAX, Proposal, RETIRED_MAX};
pub use outcome::{CtPlace, CtRefusal, Outcome, Outcomes, Reason};
pub use parameters::Parameters;
pub use report::{Event, Measurement, Report};
pub use score::Score;
pub use standing::{
    Cause, Class, Isolation, MARKS_MAX, Mark, PLACES_MAX, REPORTERS_MAX, SAMPLES_MAX,
};
pub use validate::ANSWER_AGE_MS_MAX;
pub use zones::{
    ZONE_CHANGES_MAX, ZONES_BYTES_MAX, ZONES_MAX, ZoneChange, ZoneChangeKind, ZoneChanges,
};
