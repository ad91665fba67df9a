//! The library half of `nexus-control`; `nexus` shares its admin protocol.

#![forbid(unsafe_code)]

pub mod admin;
