//! The mesh: who this node is, and how it talks to the other nodes of its cluster.
//!
//! Nothing here decides: [`consensus`] does. Start at [`Identity`] for the key.

mod genesis;
pub use genesis::genesis;

mod identity;
mod key_file;
pub use identity::Identity;
pub use key_file::KeyError;
