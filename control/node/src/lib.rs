//! `nexus-control`: answers what the workers cannot, from zones and by resolution.
//!
//! Two threads matter. The front thread (`front.rs`) owns the shared memory and the kernel UDP
//! sockets and answers from zones at once. The control runtime owns the resolver (`engine.rs`),
//! TCP, metrics and the command line's socket. `responder.rs` decides for both what becomes of a
//! query. Never touches a packet ring. Start at [`start::prepare`]; `nexus` shares [`admin`].

#![forbid(unsafe_code)]

pub mod admin;

pub mod ct_monitor;

pub mod start;

mod ct_log;
mod front;
mod gate;

mod responder;

mod kept;

mod flushing;
mod follow;

mod chaos;

pub mod certs;

mod access;
pub mod admission;
mod notifier;
pub mod publisher;
mod signing;
pub mod updates;
mod zones;

pub mod zone_file;
pub mod zone_text;

mod punts;

mod outbound;

pub mod mesh_link;
mod mesh_rings;
pub mod mesh_socket;

mod generations;
mod generations_file;

mod attach;

mod bell;

mod kernel_udp;

mod datagram;

mod question;

mod finish;

mod agreement;
mod engine;
mod inquiries;

mod saved_cache;

mod resolver_page;

mod compose;

mod upstream;
mod upstream_udp;

pub mod anchors;
pub mod hints;
pub mod local_root;
mod trust_keeper;

mod copied;
pub mod transfer_in;
pub mod transfer_key;

pub mod mesh;

mod dnstap;
mod dnstap_writer;
mod frame_stream;

mod listen_tcp;

mod outbox;

mod connections;

mod clients;

mod control;

mod admin_server;

mod pending;

pub mod policy;
mod policy_service;

mod lookup;

mod table_page;

mod http;

mod metrics;

mod counters;

mod code_counters;

mod routes;
mod service;

mod clock;
