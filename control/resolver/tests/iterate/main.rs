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
mod cookies;
mod delegations;
mod dumping;
mod explaining;
mod flood;
mod forgeries;
mod forwarding;
mod health;
mod hostile;
mod limits;
mod local_root;
mod minimising;
mod negative_anchors;
mod net;
mod policing;
mod prefetching;
mod roll_over;
mod routes;
mod schedules;
mod signing;
mod snapshot;
mod stale;
mod subnets;
mod transports;
mod validation;
mod validation_edges;
