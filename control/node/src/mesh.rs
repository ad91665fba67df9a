//! The mesh: who this node is, how it talks to the other nodes of its cluster, and what it must not forget.
//!
//! Nothing here decides: [`consensus`] does. Start at [`Identity`] for the key, at [`store::Store`]
//! for the disk.

mod genesis;
pub use genesis::genesis;

mod identity;
mod key_file;
pub use identity::Identity;
pub use key_file::KeyError;

pub mod store;

pub mod driver;
