//! Authoritative zones: from master files to complete wire responses.
//!
//! Never reads a file, a clock or a socket.
