//! What the operator wants some names, clients and addresses to be answered with, beside what is
//! resolved.
//!
//! [`Policy::begin`] takes a client's question and says what to do; what was resolved goes into
//! [`Policy::go_on`], until there is an answer. Never reads a file, a clock or a socket.

mod addresses;
mod any;
mod blocklist;
mod chain;
mod course;
mod dns64;
mod local;
mod names;
mod prefix;
mod rebinding;
mod rpz;
mod rpz_transfer;
mod rpz_trigger;
mod rules;
mod servers;
mod special;
mod step;

pub use any::minimal_any;
pub use blocklist::{BlockAnswer, BlockList, ListForm, ListRead, ListRemark};
pub use course::Course;
pub use dns64::{Dns64, Nat64Prefix, Nat64PrefixError};
pub use local::{LocalAction, LocalData};
pub use names::NameSet;
pub use prefix::{Prefix, PrefixError, PrefixMap};
pub use rebinding::Rebinding;
pub use rpz::{Override, RpzRemark, RpzZone};
pub use rpz_trigger::TriggerError;
pub use rules::{Policy, Rules};
pub use servers::Known;
pub use special::reverse_zones;
pub use step::{Client, Hit, Kind, Step};
