//! What the operator wants some names, clients and addresses to be answered with, beside what is
//! resolved.

mod any;
mod dns64;
mod prefix;
mod rebinding;

pub use any::minimal_any;
pub use dns64::{Dns64, Nat64Prefix, Nat64PrefixError};
pub use prefix::{Prefix, PrefixError, PrefixMap};
pub use rebinding::Rebinding;
