//! Forwarding and iteration against a simulated internet: scripted servers, simulated time.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot build its scenario has failed"
)]
#![allow(
    clippy::cast_possible_truncation,
    reason = "tests build small messages by hand"
)]

mod aggressive;
mod answers;
mod authority;
mod caching;
mod delegations;
mod dumping;
mod forgeries;
mod forwarding;
mod hostile;
mod limits;
mod minimising;
mod net;
mod prefetching;
mod schedules;
mod snapshot;
mod stale;
mod transports;
mod validation;
