//! Where everything lies in the region, computed from five numbers and never read back from it.
//!
//! ```text
//! 0      Header          numbers, hash keys, cookie secrets
//! 1024   StatusBlock     written by the dataplane
//! 2048   ControlBlock    written by control (epoch: by the dataplane)
//! 4096   WorkerBlock     one page a worker: heartbeat, ring indices, counters, histogram
//! …      punt slots      workers × punt_slots × 2 KiB
//! …      reply slots     workers × reply_slots × 2 KiB
//! …      answer table    table_buckets × 2 KiB
//! …      generations     zones_max × 4 bytes
//! …      MeshBlock       written by control, on a page boundary
//! …      GuardBlock      written by the dataplane
//! ```

use crate::counters::{COUNTERS, Counters};
use crate::histogram::Histogram;
use crate::mapped::Shareable;
use crate::mesh::{GuardBlock, MeshBlock};
use crate::ring::{Line, RingIndices, SLOT_BYTES, SLOT_WORDS};
use crate::sync::AtomicU64;

/// Workers of one region.
pub const WORKERS_MAX: u32 = 64;
/// Bytes of the text that explains the mode.
pub const REASON_BYTES_MAX: usize = 256;
/// Slots of one ring.
const SLOTS_MAX: u32 = 1 << 16;
/// Buckets of the answer table: 2 GiB.
const TABLE_BUCKETS_MAX: u32 = 1 << 20;
/// Zones with a generation of their own.
const ZONES_MAX: u32 = 1 << 20;

/// Bytes of one bucket of the answer table.
pub(crate) const BUCKET_BYTES: usize = 2048;
/// 64-bit words of one bucket.
pub(crate) const BUCKET_WORDS: usize = BUCKET_BYTES / 8;

const PAGE_BYTES: u64 = 4096;
const STATUS_OFFSET: usize = 1024;
const CONTROL_OFFSET: usize = 2048;
const WORKERS_OFFSET: u64 = PAGE_BYTES;
const MESH_BYTES: u64 = (size_of::<MeshBlock>() as u64).next_multiple_of(PAGE_BYTES);
const GUARD_BYTES: u64 = (size_of::<GuardBlock>() as u64).next_multiple_of(PAGE_BYTES);

/// First word of a region: "nexusmem" in memory.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"nexusmem");
/// Raised with every change of meaning that the fingerprint does not see.
pub(crate) const LAYOUT_VERSION: u64 = 3;
/// Changes with the names and order of the counters and with the size of every block.
pub(crate) const LAYOUT_FINGERPRINT: u64 = fingerprint();

/// How much of everything. Wrong numbers are refused by [`Region::create`](crate::Region::create).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegionConfig {
    /// Workers, 1 to [`WORKERS_MAX`].
    pub workers: u32,
    /// Slots of each punt ring: a power of two, 2 to 65536.
    pub punt_slots: u32,
    /// Slots of each reply ring: a power of two, 2 to 65536.
    pub reply_slots: u32,
    /// Buckets of the answer table, 2 KiB each: a power of two up to 1048576.
    pub table_buckets: u32,
    /// Zones with a generation, zone 0 (recursive data) included: 1 to 1048576.
    pub zones_max: u32,
}

impl Default for RegionConfig {
    /// One worker, 1024 slots a ring, a table of 16 MiB, 65536 zones.
    fn default() -> Self {
        Self {
            workers: 1,
            punt_slots: 1024,
            reply_slots: 1024,
            table_buckets: 8192,
            zones_max: 65536,
        }
    }
}

/// A number of [`RegionConfig`] outside its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}: expected {expected}")]
pub struct ConfigError {
    /// Field of [`RegionConfig`].
    pub field: &'static str,
    /// What it holds.
    pub value: u64,
    /// What it may hold.
    pub expected: &'static str,
}

/// The head of the region, written once by its creator.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) magic: AtomicU64,
    pub(crate) version: AtomicU64,
    pub(crate) fingerprint: AtomicU64,
    pub(crate) region_bytes: AtomicU64,
    pub(crate) workers: AtomicU64,
    pub(crate) punt_slots: AtomicU64,
    pub(crate) reply_slots: AtomicU64,
    pub(crate) table_buckets: AtomicU64,
    pub(crate) zones_max: AtomicU64,
    pub(crate) hash_keys: [AtomicU64; 2],
    pub(crate) cookie_secret: [AtomicU64; 2],
    /// Means something only if the next word is not 0.
    pub(crate) cookie_secret_previous: [AtomicU64; 2],
    pub(crate) has_cookie_secret_previous: AtomicU64,
}

/// What the dataplane says about itself, behind a sequence lock.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct StatusBlock {
    pub(crate) sequence: AtomicU64,
    pub(crate) pid: AtomicU64,
    pub(crate) started_ms: AtomicU64,
    pub(crate) mode: AtomicU64,
    pub(crate) reason_bytes: AtomicU64,
    pub(crate) reason: [AtomicU64; REASON_BYTES_MAX / 8],
}

/// What control says about itself.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct ControlBlock {
    /// Number of the control that may write; the dataplane raises it with each hand-over.
    pub(crate) epoch: Line,
    pub(crate) heartbeat_ms: Line,
    pub(crate) pid: AtomicU64,
    pub(crate) started_ms: AtomicU64,
    /// One more than the bucket of the answer table being written; 0 for none.
    pub(crate) table_writing: AtomicU64,
}

/// Everything of one worker but its slots.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct WorkerBlock {
    pub(crate) heartbeat_ms: Line,
    pub(crate) punt: RingIndices,
    pub(crate) reply: RingIndices,
    pub(crate) counters: Counters,
    pub(crate) latency: Histogram,
}

const _: () = assert!(size_of::<Header>() == 128);
const _: () = assert!(size_of::<Header>() <= STATUS_OFFSET);
const _: () = assert!(size_of::<StatusBlock>() == 296);
const _: () = assert!(STATUS_OFFSET + size_of::<StatusBlock>() <= CONTROL_OFFSET);
const _: () = assert!(size_of::<ControlBlock>() == 384);
const _: () = assert!((CONTROL_OFFSET + size_of::<ControlBlock>()) as u64 <= PAGE_BYTES);
const _: () = assert!(size_of::<WorkerBlock>() == 2432);
const _: () = assert!(size_of::<WorkerBlock>() as u64 <= PAGE_BYTES);
const _: () = assert!(size_of::<MeshBlock>() == 12320);
const _: () = assert!(size_of::<GuardBlock>() == 6232);
const _: () = assert!(SLOT_BYTES == SLOT_WORDS * 8);

// SAFETY: atomics and padding only, repr(C).
unsafe impl Shareable for Header {}
// SAFETY: as above.
unsafe impl Shareable for StatusBlock {}
// SAFETY: as above.
unsafe impl Shareable for ControlBlock {}
// SAFETY: as above.
unsafe impl Shareable for WorkerBlock {}

/// Offsets of everything, for numbers that were found good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    config: RegionConfig,
    punts: u64,
    replies: u64,
    table: u64,
    generations: u64,
    mesh: u64,
    bytes: u64,
}

impl Layout {
    pub(crate) fn new(config: &RegionConfig) -> Result<Self, ConfigError> {
        const SLOTS: &str = "a power of two from 2 to 65536";
        check(config.workers, 1, WORKERS_MAX, false, "workers", "1 to 64")?;
        check(config.punt_slots, 2, SLOTS_MAX, true, "punt_slots", SLOTS)?;
        check(config.reply_slots, 2, SLOTS_MAX, true, "reply_slots", SLOTS)?;
        let buckets = "a power of two from 1 to 1048576";
        check(
            config.table_buckets,
            1,
            TABLE_BUCKETS_MAX,
            true,
            "table_buckets",
            buckets,
        )?;
        check(
            config.zones_max,
            1,
            ZONES_MAX,
            false,
            "zones_max",
            "1 to 1048576",
        )?;
        // At most 2^6 × 2^16 × 2^11 × 2 + 2^31 + 2^22 bytes: far from overflow.
        let workers = u64::from(config.workers);
        let punts = WORKERS_OFFSET + workers * PAGE_BYTES;
        let slot_bytes = SLOT_BYTES as u64;
        let replies = punts + workers * u64::from(config.punt_slots) * slot_bytes;
        let table = replies + workers * u64::from(config.reply_slots) * slot_bytes;
        let generations = table + u64::from(config.table_buckets) * BUCKET_BYTES as u64;
        let mesh = (generations + u64::from(config.zones_max) * 4).next_multiple_of(PAGE_BYTES);
        let bytes = mesh + MESH_BYTES + GUARD_BYTES;
        Ok(Self {
            config: *config,
            punts,
            replies,
            table,
            generations,
            mesh,
            bytes,
        })
    }

    pub(crate) fn config(&self) -> &RegionConfig {
        &self.config
    }

    pub(crate) fn bytes(&self) -> usize {
        offset(self.bytes)
    }

    pub(crate) fn status(&self) -> usize {
        STATUS_OFFSET
    }

    pub(crate) fn control(&self) -> usize {
        CONTROL_OFFSET
    }

    /// Offset of a worker's block; `worker` was checked against the configuration.
    pub(crate) fn worker(&self, worker: u32) -> usize {
        assert!(worker < self.config.workers);
        offset(WORKERS_OFFSET + u64::from(worker) * PAGE_BYTES)
    }

    /// Offset and number of words of a worker's punt slots.
    pub(crate) fn punt_words(&self, worker: u32) -> (usize, usize) {
        assert!(worker < self.config.workers);
        let ring_bytes = u64::from(self.config.punt_slots) * SLOT_BYTES as u64;
        (
            offset(self.punts + u64::from(worker) * ring_bytes),
            offset(ring_bytes / 8),
        )
    }

    /// Offset and number of words of a worker's reply slots.
    pub(crate) fn reply_words(&self, worker: u32) -> (usize, usize) {
        assert!(worker < self.config.workers);
        let ring_bytes = u64::from(self.config.reply_slots) * SLOT_BYTES as u64;
        (
            offset(self.replies + u64::from(worker) * ring_bytes),
            offset(ring_bytes / 8),
        )
    }

    /// Offset and number of words of the answer table.
    pub(crate) fn table_words(&self) -> (usize, usize) {
        (
            offset(self.table),
            offset(u64::from(self.config.table_buckets)) * BUCKET_WORDS,
        )
    }

    pub(crate) fn mesh(&self) -> usize {
        offset(self.mesh)
    }

    pub(crate) fn guard(&self) -> usize {
        offset(self.mesh + MESH_BYTES)
    }

    /// Offset and number of the zone generations.
    pub(crate) fn generations(&self) -> (usize, usize) {
        (
            offset(self.generations),
            offset(u64::from(self.config.zones_max)),
        )
    }
}

fn check(
    value: u32,
    min: u32,
    max: u32,
    power_of_two: bool,
    field: &'static str,
    expected: &'static str,
) -> Result<(), ConfigError> {
    if value < min || value > max || (power_of_two && !value.is_power_of_two()) {
        return Err(ConfigError {
            field,
            value: u64::from(value),
            expected,
        });
    }
    Ok(())
}

fn offset(value: u64) -> usize {
    usize::try_from(value).expect("64-bit processors only")
}

/// FNV-1a over everything that both sides must agree on.
const fn fingerprint() -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut row = 0;
    while row < COUNTERS.len() {
        let name = COUNTERS[row].field.as_bytes();
        let mut index = 0;
        while index < name.len() {
            hash = (hash ^ name[index] as u64).wrapping_mul(0x0100_0000_01b3);
            index += 1;
        }
        hash = hash.wrapping_mul(0x0100_0000_01b3);
        row += 1;
    }
    let sizes = [
        size_of::<Header>(),
        size_of::<StatusBlock>(),
        size_of::<ControlBlock>(),
        size_of::<WorkerBlock>(),
        size_of::<MeshBlock>(),
        size_of::<GuardBlock>(),
        SLOT_BYTES,
        BUCKET_BYTES,
    ];
    let mut index = 0;
    while index < sizes.len() {
        hash = (hash ^ sizes[index] as u64).wrapping_mul(0x0100_0000_01b3);
        index += 1;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_region_of_one_worker_is_about_20_mib() {
        let layout = Layout::new(&RegionConfig::default()).unwrap();
        let mesh = 8192 + (4 << 20) + (16 << 20) + (256 << 10);
        assert_eq!(layout.mesh(), mesh);
        assert_eq!(layout.generations().0 + layout.generations().1 * 4, mesh);
        assert_eq!(layout.bytes(), mesh + 6 * 4096);
    }

    #[test]
    fn parts_of_the_largest_region_follow_each_other_without_overlap() {
        let config = RegionConfig {
            workers: WORKERS_MAX,
            punt_slots: SLOTS_MAX,
            reply_slots: SLOTS_MAX,
            table_buckets: TABLE_BUCKETS_MAX,
            zones_max: ZONES_MAX,
        };
        let layout = Layout::new(&config).unwrap();
        let last = WORKERS_MAX - 1;
        assert_eq!(layout.worker(last) + 4096, layout.punt_words(0).0);
        let (punts, words) = layout.punt_words(last);
        assert_eq!(punts + words * 8, layout.reply_words(0).0);
        let (replies, words) = layout.reply_words(last);
        assert_eq!(replies + words * 8, layout.table_words().0);
        let (table, words) = layout.table_words();
        assert_eq!(table + words * 8, layout.generations().0);
        let (generations, count) = layout.generations();
        assert_eq!(generations + count * 4, layout.mesh());
        assert!(layout.mesh() + size_of::<MeshBlock>() <= layout.guard());
        assert!(layout.guard() + size_of::<GuardBlock>() <= layout.bytes());
    }

    #[test]
    fn each_number_out_of_range_is_refused_by_its_name() {
        let good = RegionConfig::default();
        let bad = [
            ("workers", RegionConfig { workers: 0, ..good }),
            (
                "workers",
                RegionConfig {
                    workers: 65,
                    ..good
                },
            ),
            (
                "punt_slots",
                RegionConfig {
                    punt_slots: 1000,
                    ..good
                },
            ),
            (
                "reply_slots",
                RegionConfig {
                    reply_slots: 1 << 17,
                    ..good
                },
            ),
            (
                "table_buckets",
                RegionConfig {
                    table_buckets: 0,
                    ..good
                },
            ),
            (
                "zones_max",
                RegionConfig {
                    zones_max: (1 << 20) + 1,
                    ..good
                },
            ),
        ];
        for (field, config) in bad {
            assert_eq!(Layout::new(&config).unwrap_err().field, field);
        }
    }
}
