//! What it means that two resolvers found the same: answers in one canonical form, and how they compare.
//!
//! [`Answer::of`] takes what a resolver found; [`Answer::digest`] names it, [`Answer::supports`] compares it
//! with what another node proposes, as tolerantly as [`Vantage`] says. [`Zones`] holds which names are
//! agreed on. Never asks anybody: who carries answers between nodes is `node`'s matter.

mod answer;
mod compare;
mod zones;

pub use answer::{ANSWER_BYTES_MAX, Answer, AnswerError, Key, RECORDS_MAX};
pub use compare::Vantage;
pub use zones::{Mode, Setting, Zones};
