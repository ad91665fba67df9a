//! Decides what a DNS question is answered with: from zones we are authoritative for, or by asking other servers.
//!
//! Pure: no clock, socket, thread, randomness or file. The caller hands in bytes and time and carries out what comes back.
//! Start at [`zone::ZoneSet`] for authoritative data.

#![forbid(unsafe_code)]

pub mod agreement;
pub mod iterate;
pub mod policy;
pub mod zone;
