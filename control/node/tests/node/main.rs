//! The real `nexus-control` on loopback: clients, servers, operators and a dataplane, all scripted.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking, as tests do"
)]

mod common;
mod cookies;

mod copying;

mod serving;

mod transferring;

mod updating;

mod trusting;

mod certifying;
mod openssl;

mod reloading;

mod refusing_to_start;

mod resolving;
mod routing;

mod policing;
mod policy_copying;

mod caching;

mod following;

mod logging;

mod meshing;
mod monitoring;
mod observing;

mod dataplane;
mod plain;
mod punting;
