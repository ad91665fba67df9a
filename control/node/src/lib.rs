//! The library half of `nexus-control`; `nexus` shares its admin protocol.

pub mod admin;
