//! The shell around `cert_validator`: certificates that programs on this host are shown become chains,
//! nexus-control judges them, and verdicts go back to where connections are held.
//!
//! It never judges a certificate itself, opens no connection but to control's unix socket, and changes no
//! packet. Start at [`process::run`]; [`docket::Docket`] decides what a verdict means for whom.

#![forbid(unsafe_code)]

pub mod process;

pub mod chain;
pub mod docket;
pub mod stream;
pub mod verdict;

pub mod judge;
pub mod libraries;
pub mod page;
pub mod tally;

mod bench;
mod claims;
mod nudge;
mod reader;
