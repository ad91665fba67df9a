//! Forwarding and iteration against a simulated internet: scripted servers, simulated time.

#![allow(clippy::cast_possible_truncation, reason = "tests build small messages by hand")]
#![allow(clippy::too_many_lines, reason = "a scenario reads best in one piece")]

mod answers;
mod authority;
mod caching;
mod delegations;
mod forgeries;
mod net;
mod transports;
