//! The dataplane's shell: pinned workers that answer from memory, and the process around them.
//!
//! Never does recursion or disk; on the packet path no allocation, lock, log, or system call per
//! packet. Start with [`process::run`] for the process and [`worker::Worker::run`] for a packet's
//! way.

#![forbid(unsafe_code)]

pub mod process;

pub mod mode;
pub mod steering;

pub mod batch;
pub mod gate;
pub mod guarding;
pub mod replies;
pub mod worker;

pub mod clock;
pub mod limiter;
pub mod refresh;
pub mod samples;
pub mod tally;
