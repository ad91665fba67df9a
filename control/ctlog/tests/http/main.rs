//! What the log gives over HTTP: read by the readers of others, and asked for what it must refuse.

#![expect(clippy::unwrap_used, reason = "a test that cannot ask must fail")]

mod asking;
mod clients;
mod fuzz;
mod lone;
#[path = "../../../ct/tests/certificates/pki.rs"]
mod pki;
mod reading;
mod serving;
mod submitting;
mod witness;
