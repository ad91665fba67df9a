//! What goes into a course and what comes out.

use std::net::IpAddr;
use std::sync::Arc;

use crate::iterate::{Outcome, Question};

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// Unknown for the command line.
    pub address: Option<IpAddr>,
    /// Whether by TCP.
    pub is_tcp: bool,
}

/// What is to be done with a question.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Resolve this, and come back with the outcome.
    Resolve(Question),
    /// Give this. Its TTL is 0 if others may not get it.
    Answer(Box<Outcome>),
    /// Say nothing.
    Drop,
    /// Say TC and nothing else, so that the client comes by TCP.
    Truncate,
}

/// Which part of the policy has changed an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Local data and zones.
    Local,
    /// A special-use name.
    Special,
    /// A policy zone.
    Rpz,
    /// A list of blocked names.
    BlockList,
    /// ANY.
    Any,
    /// DNS64.
    Dns64,
    /// Rebinding protection.
    Rebinding,
}

impl Kind {
    /// A word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Special => "special",
            Self::Rpz => "rpz",
            Self::BlockList => "block_list",
            Self::Any => "any",
            Self::Dns64 => "dns64",
            Self::Rebinding => "rebinding",
        }
    }
}

/// A part of the policy that had something to say of a question.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hit {
    /// By what.
    pub kind: Kind,
    /// The policy zone or list.
    pub list: Option<Arc<str>>,
    /// Whether it has made, changed or withheld the answer. Not so a zone that only counts, nor a rule
    /// that lets through.
    pub acts: bool,
}
