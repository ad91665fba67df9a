//! Which chains are judged how, and by which code what is wrong with them is named.

#![allow(
    clippy::unwrap_used,
    reason = "a certificate that cannot be made must fail the test"
)]

mod dane;
mod good;
mod inclusion;
mod lists;
mod negative;
mod ocsp;
mod openssl;
#[path = "../../../ct/tests/certificates/pki.rs"]
mod pki;
mod responder;
#[path = "../../../ct/tests/support/mod.rs"]
mod support;
mod timestamps;
mod world;
