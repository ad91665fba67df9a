//! Finds answers outside: forwarding and iterative resolution as a state machine.
//!
//! [`Resolver::step`] takes a question, a reply, a failure or the passing of time and appends what
//! the shell must do: send a message, cancel an exchange, give an answer. It holds the RRset
//! cache, what is known of every server, and the state of every open resolution, all bounded. It
//! never reads a clock, opens a socket, starts a thread or draws system randomness. Start at
//! [`Resolver`], then `task.rs` (one resolution) and `reply.rs` (what a reply means).

mod aggressive;
mod anchors;
mod ask;
mod bounded;
mod cache;
mod config;
mod cookie;
mod cookie_exchange;
mod dnssec;
mod doubt;
mod dump;
mod exchange;
mod explain;
mod failures;
mod finish;
mod follow;
mod group;
mod hints;
mod local_root;
mod lookup;
mod manage;
mod message;
mod minimise;
mod name;
mod parked;
mod place;
mod prefetch;
mod proven;
mod query;
mod random;
mod refresh;
mod reply;
mod resolver;
mod response;
mod rollover;
mod rollover_text;
mod route;
mod rrset;
mod send;
mod servers;
mod snapshot;
mod stale;
mod statistics;
mod subnet;
mod task;
mod trace;
mod trust;
mod validate;
mod walk;

pub use anchors::{read_anchors, root_anchors};
pub use config::{
    ClientSubnet, Config, Forward, Limits, QnameMinimisation, Stub, TrustAnchor, Validation,
};
pub use hints::root_hints;
pub use local_root::LocalRootError;
pub use manage::{AnchorStatus, TrustEvent};
pub use message::{
    CacheLine, CacheOrigin, EXTENDED_ERRORS_MAX, Effect, Input, Outcome, Question, QuestionError,
    Transport, TransportError, Trust, extended_error,
};
pub use resolver::{Forwarder, Resolver};
pub use rollover::AnchorState;
pub use rollover_text::AnchorFileError;
pub use rrset::Security;
pub use snapshot::{Saver, SnapshotError};
pub use statistics::{ROUND_TRIP_BOUNDS_MS, RoundTrips, Statistics};
pub use subnet::{Subnet, SubnetError};
pub use trace::{TraceEvent, TraceKind};
pub use trust::{NegativeAnchor, NegativeAnchorError};
