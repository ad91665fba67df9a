//! The BPF programs, and their loaders.
//!
//! `dns_filter` steers queries for served ports and addresses to the AF_XDP socket of their
//! queue and leaves everything else to the kernel. It never answers, drops or changes a packet,
//! and it hands packets over only while a worker says that it is alive. `consensus_coord` guards the
//! consensus port behind it, by a tail call, and drops what its rules say.
//! Nothing is pinned: what is attached goes away with the process that attached it.
//!
//! `cert_validator` is no XDP program: it sees the certificates of peers in TLS handshakes on this host.
//!
//! Start at [`DnsFilter`], [`ConsensusCoord`] and [`cert_validator`]; the programs are in `src/bpf`.

mod addresses;
mod attach;
pub mod cert_validator;
mod consensus_coord;
mod deadline;
mod dns_filter;
mod interface;
mod log;
mod mapped_array;
pub mod privileges;
pub mod program;
mod verdicts;

pub use attach::{AttachError, AttachMode};
pub use consensus_coord::{
    ConsensusCoord, Outcomes, PEERS_MAX, Peer, PeerCounts, Rate, ReplicaState, Rules,
};
pub use deadline::{DeadlineCell, Deadlines};
pub use dns_filter::{DnsFilter, LoadError, MapError, QUEUES_MAX};
pub use interface::{
    InterfaceError, interface_addresses, interface_index, queue_count, strips_vlan_tags,
};
pub use program::Action;
pub use verdicts::Verdicts;
