//! All memory that the two planes share: one memfd, and its hand-over by unix socket.
//!
//! [`Region`] makes or attaches it and hands out what each side owns: [`WorkerSide`] to a worker,
//! [`ControlSide`] to control. Everything is reached by atomics; every index and length that the
//! other side wrote is validated, so that a hostile or crashed peer causes neither a panic nor an
//! access out of bounds. Nothing here reads a clock, logs, or allocates after start-up; no system
//! call but the ring of a bell.
#![cfg_attr(
    loom,
    allow(
        dead_code,
        unused_imports,
        reason = "models reach the ring and the sequence lock alone"
    )
)]

#[cfg(not(loom))]
mod claim;
#[cfg(not(loom))]
mod counters;
#[cfg(not(loom))]
mod event;
#[cfg(not(loom))]
mod generations;
#[cfg(not(loom))]
pub mod handover;
#[cfg(not(loom))]
mod histogram;
#[cfg(not(loom))]
mod layout;
#[cfg(all(test, loom))]
mod loom_models;
mod mapped;
#[cfg(not(loom))]
mod mesh;
#[cfg(not(loom))]
mod punt;
#[cfg(not(loom))]
mod region;
#[cfg(not(loom))]
mod reply;
mod ring;
mod seqlock;
#[cfg(not(loom))]
mod status;
mod sync;
#[cfg(not(loom))]
mod table;
mod words;

#[cfg(not(loom))]
pub use claim::ClaimError;
#[cfg(not(loom))]
pub use counters::{
    COUNTERS, Counter, CounterDescription, CounterKind, CounterValues, Counters, CountersWriter,
};
#[cfg(not(loom))]
pub use event::{Doorbell, WorkerEvents};
#[cfg(not(loom))]
pub use generations::{BumpError, Generations, GenerationsWriter};
#[cfg(not(loom))]
pub use histogram::{HistogramValues, HistogramWriter, LATENCY_BUCKETS, bucket_end_ns};
#[cfg(not(loom))]
pub use layout::{ConfigError, REASON_BYTES_MAX, RegionConfig, WORKERS_MAX};
#[cfg(not(loom))]
pub use mesh::{
    GUARD_OUTCOME_NAMES, GUARD_OUTCOMES, GuardReport, GuardWriter, GuardedPeer, MESH_PEERS_MAX,
    Mesh, MeshPeer, MeshReplica, MeshWriter,
};
#[cfg(not(loom))]
pub use punt::{HEADERS_BYTES_MAX, MESSAGE_BYTES_MAX, Punt, PuntConsumer, PuntProducer, Transport};
#[cfg(not(loom))]
pub use region::{AttachError, Attachment, ControlSide, CreateError, Region, WorkerSide};
#[cfg(not(loom))]
pub use reply::{Reply, ReplyConsumer, ReplyMeta, ReplyProducer};
pub use ring::{PushError, SLOT_BYTES, SlotError};
#[cfg(not(loom))]
pub use status::{ControlStatus, DataplaneStatus, Heartbeat, Mode, StatusWriter};
#[cfg(not(loom))]
pub use table::{
    BUCKET_ENTRIES_MAX, EntryBuffer, Superseded, TableReader, TableStatistics, TableWriter,
};
