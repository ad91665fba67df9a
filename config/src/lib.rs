//! The one YAML file of both processes: keys, defaults, errors with file, line and key.
//!
//! Every key has a default and none is needed to start. An unknown key or a value out of range is
//! an error that says where it stands and what was expected. This crate reads that file and, when
//! asked, a secret that it names, and touches nothing else: no socket, no interface, no zone file.
//!
//! Start at [`Config::load`].

#![forbid(unsafe_code)]

mod api;
mod cert_watch;
mod client_subnet;
mod consensus;
mod consensus_guard;
mod cookies;
mod ct;
mod ct_copy;
mod ct_monitor;
mod ct_shard;
mod ct_witness;
mod dataplane;
mod dnstap;
mod document;
mod error;
mod network;
mod number;
mod path;
mod policy;
mod resolver;
mod response_limit;
mod route;
mod size;
mod stale;
mod tsig;
mod validation;
mod zone;

pub use api::Api;
pub use cert_watch::{Enforce, Watch, WatchLibraries, WithoutVerdict};
pub use client_subnet::ClientSubnet;
pub use consensus::{Consensus, Member, MemberKey, MemberRole};
pub use consensus_guard::ConsensusGuard;
pub use cookies::{CookieSecret, CookieSecrets, Cookies, SECRET_BYTES, SecretError};
pub use ct::{Ct, Revocation};
pub use ct_copy::{CtCopy, CtCopyKey};
pub use ct_monitor::{
    CtFrom, CtLogKind, CtMonitor, CtMonitorLog, CtWatch, CtWebhook, WEBHOOK_SECRET_BYTES_MIN,
};
pub use ct_shard::{CtShard, Day, LogPublicKey};
pub use ct_witness::{CtWitness, CtWitnessedLog};
pub use dataplane::{BusyPoll, Cores, Dataplane, Mode, Ports, PuntLimit, Queues, Xdp};
pub use dnstap::{Dnstap, DnstapMessage};
pub use document::{CONFIG_BYTES_MAX, Config, DEFAULT_PATH, Node, json_schema};
pub use error::ConfigError;
pub use network::{Network, NetworkError, Networks};
pub use policy::{
    Any, BlockAnswer, BlockList, Dns64, ListForm, LocalAction, LocalZone, Rebinding, Rpz,
    RpzOverride, SharedClients, View,
};
pub use resolver::{Dnssec, QnameMinimisation, Resolver, Source, Tcp, Timeouts, Ttl, Upstream};
pub use response_limit::ResponseRateLimit;
pub use route::{ForwardZone, LocalRoot, StubZone};
pub use stale::Stale;
pub use tsig::{Tsig, TsigAlgorithm};
pub use validation::{Validation, ValidationZone, Vantage};
pub use zone::Zone;
