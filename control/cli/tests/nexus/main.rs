//! `nexus` from outside: commands into a buffer against a scripted control plane and a real shared
//! region, and the program itself.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of tests that fails must fail its test"
)]

mod support;

mod certificates;
mod check;
mod cluster;
mod commands;
mod ct_monitor;
mod key;
mod mesh_zones;
mod migrate;
mod migrate_policy;
#[path = "../../../node/tests/node/openssl.rs"]
mod openssl;
mod program;
mod status;
