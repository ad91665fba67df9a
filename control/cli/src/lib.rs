//! `nexus`, the command line: asks both planes and prints what they say.
//!
//! Each command is a struct in a file of its own under [`command`], with a `run` that writes to
//! any writer, so that tests read what a user would. Nothing here holds state or changes a
//! process except through the admin socket of [`client`].
//!
//! Start at [`options::Cli`].

#![forbid(unsafe_code)]

pub mod options;

pub mod command;

pub mod chain_file;
pub mod client;
pub mod exit;
pub mod log_client;
pub mod observe;
pub mod print;
pub mod rates;
