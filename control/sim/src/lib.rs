//! A whole cluster of [`consensus::Replica`]s with network, disks, clocks, clients and liars in one
//! thread, from one seed; and judges who look on at every step.
//!
//! [`Plan::draw`] says what goes wrong, [`run`] carries it out, [`Report`] says how it went. The same
//! plan always gives the same run. [`linear::check`] judges histories of real clusters, too.

#![forbid(unsafe_code)]

pub mod linear;

mod fault;
mod report;
mod shrink;
mod world;

mod driver;
mod post;
mod process;
mod steps;

mod log;

mod bounds;
mod oracle;

mod clock;
mod disk;
mod liar;
mod network;

mod keys;
mod machine;
mod random;
mod state;

pub use fault::{Fault, Kind, Lie, Plan, Turn};
pub use keys::{Key, Registry};
pub use machine::{Change, Command, Entry, Registers};
pub use random::Random;
pub use report::{LogReport, Report};
pub use shrink::shrink;
pub use world::{Options, Sabotage, run};
