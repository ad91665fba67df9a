//! Who is answered, and how often: server cookies that prove an address ([`Cookies`]), token buckets
//! of client networks ([`Buckets`]), and a limit on the responses that each gets
//! ([`ResponseLimiter`]).
//!
//! Both planes use it, each with its own tables. Allocates only when a table is made, never reads a
//! clock, has no randomness: time and keys are the caller's.
#![no_std]
#![forbid(unsafe_code)]
#![warn(clippy::indexing_slicing)] // Outside bytes are never indexed; the exceptions say why.

extern crate alloc;
#[cfg(test)]
extern crate std;

mod cookies;

mod buckets;

mod response_limiter;

pub use buckets::{BUCKETS_MAX, Buckets, Client, Prefixes};
pub use cookies::{Cookies, Secret, Secrets, Standing};
pub use response_limiter::{Limits, Permission, ResponseKind, ResponseLimiter};
