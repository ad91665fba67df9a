//! Which certificates are understood, taken and found wanting, and what of them is logged.

#![allow(
    clippy::unwrap_used,
    reason = "a certificate that cannot be made must fail the test"
)]

mod certificate;
mod chain;
mod damage;
mod embedded;
mod oracle;
mod pki;
mod precert;
mod strength;
#[path = "../support/mod.rs"]
mod support;
