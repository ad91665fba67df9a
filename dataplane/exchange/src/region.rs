//! The region: one sealed memfd, made by the dataplane, attached by control and by observers.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64 as LocalU64, Ordering as LocalOrdering};

use guard::{Secret, Secrets};
use rustix::fs::{MemfdFlags, Mode as FileMode, OFlags, SealFlags};
use rustix::io::Errno;

use crate::claim::{ClaimError, Claims, Part, Tenure};
use crate::counters::{self, CounterValues, CountersWriter};
use crate::generations::{Generations, GenerationsWriter};
use crate::histogram::{HistogramValues, HistogramWriter};
use crate::layout::{
    ConfigError, ControlBlock, Header, LAYOUT_FINGERPRINT, LAYOUT_VERSION, Layout, MAGIC,
    RegionConfig, StatusBlock, WorkerBlock,
};
use crate::mapped::{Mapped, Mapping, Shareable};
use crate::mesh::{self, GuardBlock, GuardReport, GuardWriter, Mesh, MeshBlock, MeshWriter};
use crate::punt::{PuntConsumer, PuntProducer};
use crate::reply::{ReplyConsumer, ReplyProducer};
use crate::status::{self, ControlStatus, DataplaneStatus, Heartbeat, StatusWriter};
use crate::sync::Ordering;
use crate::table::{TableReader, TableWriter};

/// Why a region could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// A number out of range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The kernel refused: what, and why.
    #[error("{operation} failed: {error}")]
    Kernel {
        /// What was asked of it.
        operation: &'static str,
        /// Its answer.
        error: Errno,
    },
}

/// Why a descriptor is not a region that we can use.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The kernel refused: what, and why.
    #[error("{operation} failed: {error}")]
    Kernel {
        /// What was asked of it.
        operation: &'static str,
        /// Its answer.
        error: Errno,
    },
    /// It could be cut short under us.
    #[error("the memory is not sealed against shrinking")]
    Unsealed,
    /// Not a region at all.
    #[error("the memory does not begin with the magic word")]
    Magic,
    /// Made by another version of this program.
    #[error("layout version {found:#x} where this program has {expected:#x}")]
    Version {
        /// What the header says.
        found: u64,
        /// What it should say.
        expected: u64,
    },
    /// The file and what its header announces differ in size.
    #[error("{found} bytes of memory where the header's numbers need {expected}")]
    Size {
        /// Bytes of the file.
        found: u64,
        /// Bytes needed.
        expected: u64,
    },
    /// The header's numbers are out of range.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// How a region is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// Read and write, as the control that the dataplane numbered `epoch`.
    Control {
        /// From [`Region::grant_control`], sent with the hand-over.
        epoch: u64,
    },
    /// Read only.
    Observer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Creator,
    Attached(Attachment),
}

/// A mapped region. Clones share the mapping.
#[derive(Clone, Debug)]
pub struct Region(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    mapping: Arc<Mapping>,
    layout: Layout,
    role: Role,
    memory: OwnedFd,
    /// A second, read-only open of the memory, for observers; the creator's alone.
    memory_read_only: Option<OwnedFd>,
    keys: Keys,
    claims: Arc<Claims>,
    epochs: LocalU64,
}

impl Region {
    /// Makes the memory: zeroed, sealed in size, readable and writable by this user alone, with
    /// fresh random hash keys and cookie secret. Pages are allocated as they are touched.
    pub fn create(config: &RegionConfig) -> Result<Self, CreateError> {
        Self::create_with_secrets(config, None)
    }

    /// The same with given cookie secrets, those of an anycast set; `None` for a random one.
    pub fn create_with_secrets(
        config: &RegionConfig,
        secrets: Option<Secrets>,
    ) -> Result<Self, CreateError> {
        let layout = Layout::new(config)?;
        let memory = create_memory(layout.bytes() as u64)?;
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&memory));
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let read_only = rustix::fs::open(path, flags, FileMode::empty()).map_err(|error| {
            CreateError::Kernel {
                operation: "open /proc/self/fd",
                error,
            }
        })?;
        let mapping =
            Mapping::new(&memory, layout.bytes(), true).map_err(|error| CreateError::Kernel {
                operation: "mmap",
                error,
            })?;
        let keys = Keys {
            hash: words(&random()?),
            cookie_secrets: match secrets {
                Some(secrets) => secrets,
                None => Secrets {
                    current: random()?,
                    previous: None,
                },
            },
        };
        write_header(mapping.value(0), &layout, &keys);
        Ok(Self(Arc::new(Inner {
            mapping: Arc::new(mapping),
            layout,
            role: Role::Creator,
            memory,
            memory_read_only: Some(read_only),
            keys,
            claims: Arc::default(),
            epochs: LocalU64::new(0),
        })))
    }

    /// Maps a region that came by hand-over, after checking that it is one. The numbers of its
    /// header are read once, here.
    pub fn attach(memory: OwnedFd, attachment: Attachment) -> Result<Self, AttachError> {
        let kernel = |operation| move |error| AttachError::Kernel { operation, error };
        let seals = rustix::fs::fcntl_get_seals(&memory).map_err(kernel("F_GET_SEALS"))?;
        if !seals.contains(SealFlags::SHRINK) {
            return Err(AttachError::Unsealed);
        }
        let found = rustix::fs::fstat(&memory).map_err(kernel("fstat"))?.st_size;
        let found = u64::try_from(found).unwrap_or(0);
        let header_bytes = size_of::<Header>() as u64;
        if found < header_bytes {
            return Err(AttachError::Size {
                found,
                expected: header_bytes,
            });
        }
        let probe = Mapping::new(&memory, size_of::<Header>(), false).map_err(kernel("mmap"))?;
        let (layout, keys) = read_header(probe.value(0))?;
        let expected = layout.bytes() as u64;
        if found != expected {
            return Err(AttachError::Size { found, expected });
        }
        let writable = attachment != Attachment::Observer;
        let mapping = Mapping::new(&memory, layout.bytes(), writable).map_err(kernel("mmap"))?;
        Ok(Self(Arc::new(Inner {
            mapping: Arc::new(mapping),
            layout,
            role: Role::Attached(attachment),
            memory,
            memory_read_only: None,
            keys,
            claims: Arc::default(),
            epochs: LocalU64::new(0),
        })))
    }

    /// Numbers a new control and thereby takes the right to write from the one before. The
    /// creator's alone; [`handover::Server`](crate::handover::Server) calls it.
    pub fn grant_control(&self) -> Result<u64, ClaimError> {
        if self.0.role != Role::Creator {
            return Err(ClaimError::Role);
        }
        // The control before may have scribbled over it.
        write_header(self.0.mapping.value(0), &self.0.layout, &self.0.keys);
        let epoch = self.0.epochs.fetch_add(1, LocalOrdering::Relaxed) + 1;
        self.control_block().epoch.0.store(epoch, Ordering::Release);
        Ok(epoch)
    }

    /// The same memory attached as control within this process: for tests, and for both planes in
    /// one process.
    pub fn attach_control(&self) -> Result<Self, AttachError> {
        let operation = "grant_control";
        let epoch = self.grant_control().map_err(|_| AttachError::Kernel {
            operation,
            error: Errno::PERM,
        })?;
        let memory = rustix::io::fcntl_dupfd_cloexec(&self.0.memory, 0).map_err(|error| {
            AttachError::Kernel {
                operation: "dup",
                error,
            }
        })?;
        Self::attach(memory, Attachment::Control { epoch })
    }

    /// Everything that worker `worker` writes or consumes. The creator's; once at a time.
    pub fn worker(&self, worker: u32) -> Result<WorkerSide, ClaimError> {
        if self.0.role != Role::Creator {
            return Err(ClaimError::Role);
        }
        let block = self.worker_block(worker)?;
        let claim = Claims::take(&self.0.claims, Part::Worker(worker))?;
        let layout = &self.0.layout;
        Ok(WorkerSide {
            punts: PuntProducer::new(
                block.part(|block| &block.punt),
                self.slice(layout.punt_words(worker)),
                Arc::clone(&claim),
            ),
            replies: ReplyConsumer::new(
                block.part(|block| &block.reply),
                self.slice(layout.reply_words(worker)),
                Arc::clone(&claim),
            ),
            counters: CountersWriter::new(block.part(|block| &block.counters), Arc::clone(&claim)),
            latency: HistogramWriter::new(block.part(|block| &block.latency), Arc::clone(&claim)),
            heartbeat: Heartbeat::new(block.part(|block| &block.heartbeat_ms.0), claim),
        })
    }

    /// Everything that control writes or consumes, taken up where the control before left off.
    /// Once at a time; `now_ms` (CLOCK_MONOTONIC) is its start and first heartbeat.
    pub fn control(&self, now_ms: u64) -> Result<ControlSide, ClaimError> {
        let Role::Attached(Attachment::Control { epoch }) = self.0.role else {
            return Err(ClaimError::Role);
        };
        let claim = Claims::take(&self.0.claims, Part::Control)?;
        let block = self.control_block();
        let tenure = Tenure::new(block.clone(), epoch);
        let layout = &self.0.layout;
        let (mut punts, mut replies) = (Vec::new(), Vec::new());
        for worker in 0..self.workers() {
            let worker_block = self.worker_block(worker)?;
            punts.push(PuntConsumer::new(
                worker_block.part(|block| &block.punt),
                self.slice(layout.punt_words(worker)),
                tenure.clone(),
                Arc::clone(&claim),
            ));
            replies.push(ReplyProducer::new(
                worker_block.part(|block| &block.reply),
                self.slice(layout.reply_words(worker)),
                tenure.clone(),
                Arc::clone(&claim),
            ));
        }
        block
            .pid
            .store(u64::from(std::process::id()), Ordering::Relaxed);
        block.started_ms.store(now_ms, Ordering::Relaxed);
        let heartbeat = Heartbeat::new(block.part(|block| &block.heartbeat_ms.0), claim.clone());
        heartbeat.beat(now_ms);
        let table = TableWriter::new(
            self.slice(layout.table_words()),
            self.generations(),
            block,
            tenure.clone(),
            Arc::clone(&claim),
        );
        let words = self.slice(layout.generations());
        let generations = GenerationsWriter::new(words, tenure.clone(), Arc::clone(&claim));
        let mesh = MeshWriter::new(self.value(layout.mesh()), tenure, claim);
        Ok(ControlSide {
            punts,
            replies,
            table,
            generations,
            mesh,
            heartbeat,
        })
    }

    /// What publishes mode and reason. The creator's; once at a time. `started_ms` is
    /// CLOCK_MONOTONIC at the start of the process.
    pub fn status_writer(&self, started_ms: u64) -> Result<StatusWriter, ClaimError> {
        if self.0.role != Role::Creator {
            return Err(ClaimError::Role);
        }
        let claim = Claims::take(&self.0.claims, Part::Status)?;
        Ok(StatusWriter::new(
            self.value(self.0.layout.status()),
            started_ms,
            claim,
        ))
    }

    /// What says what the guard of the consensus port does. The creator's; once at a time.
    pub fn guard_writer(&self) -> Result<GuardWriter, ClaimError> {
        if self.0.role != Role::Creator {
            return Err(ClaimError::Role);
        }
        let claim = Claims::take(&self.0.claims, Part::Guard)?;
        Ok(GuardWriter::new(self.value(self.0.layout.guard()), claim))
    }

    /// What control says of the mesh; None while it is saying something else, or for ever if it
    /// died doing so.
    #[must_use]
    pub fn mesh(&self) -> Option<Mesh> {
        mesh::read_mesh(&self.value::<MeshBlock>(self.0.layout.mesh()))
    }

    /// A number that changes whenever [`Region::mesh`] may have changed.
    #[must_use]
    pub fn mesh_version(&self) -> u64 {
        mesh::mesh_version(&self.value::<MeshBlock>(self.0.layout.mesh()))
    }

    /// What the guard of the consensus port has done; None while it is being said.
    #[must_use]
    pub fn guard_report(&self) -> Option<GuardReport> {
        mesh::read_guard(&self.value::<GuardBlock>(self.0.layout.guard()))
    }

    /// The answer table for reading; any number of them.
    #[must_use]
    pub fn table(&self) -> TableReader {
        TableReader::new(self.slice(self.0.layout.table_words()))
    }

    /// Generations for reading; any number of them.
    #[must_use]
    pub fn generations(&self) -> Generations {
        Generations::new(self.slice(self.0.layout.generations()))
    }

    /// The numbers the region was made with.
    #[must_use]
    pub fn config(&self) -> &RegionConfig {
        self.0.layout.config()
    }

    /// Workers of the region.
    #[must_use]
    pub fn workers(&self) -> u32 {
        self.0.layout.config().workers
    }

    /// Keys of the hash that finds entries in caches and in the answer table.
    #[must_use]
    pub fn hash_keys(&self) -> (u64, u64) {
        self.0.keys.hash
    }

    /// Secrets of server cookies, so that both planes take each other's.
    #[must_use]
    pub fn cookie_secrets(&self) -> Secrets {
        self.0.keys.cookie_secrets
    }

    /// Counters of one worker, at about this moment.
    pub fn counters(&self, worker: u32) -> Result<CounterValues, ClaimError> {
        Ok(counters::read(&self.worker_block(worker)?.counters))
    }

    /// Latencies of one worker, at about this moment.
    pub fn latency(&self, worker: u32) -> Result<HistogramValues, ClaimError> {
        Ok(HistogramValues::read(&self.worker_block(worker)?.latency))
    }

    /// Last sign of life of one worker, milliseconds of CLOCK_MONOTONIC; 0 for none yet.
    pub fn worker_heartbeat_ms(&self, worker: u32) -> Result<u64, ClaimError> {
        Ok(self
            .worker_block(worker)?
            .heartbeat_ms
            .0
            .load(Ordering::Relaxed))
    }

    /// Last sign of life of control, milliseconds of CLOCK_MONOTONIC; 0 for none yet.
    #[must_use]
    pub fn control_heartbeat_ms(&self) -> u64 {
        self.control_block().heartbeat_ms.0.load(Ordering::Relaxed)
    }

    /// What the dataplane says about itself; None while it is saying something else.
    #[must_use]
    pub fn dataplane_status(&self) -> Option<DataplaneStatus> {
        status::read_dataplane(&self.value::<StatusBlock>(self.0.layout.status()))
    }

    /// What the last control said about itself.
    #[must_use]
    pub fn control_status(&self) -> ControlStatus {
        status::read_control(&self.control_block())
    }

    /// The memory, as this process holds it.
    #[must_use]
    pub fn memory(&self) -> BorrowedFd<'_> {
        self.0.memory.as_fd()
    }

    /// A descriptor of the memory that cannot be mapped writable; the creator's alone has one.
    #[must_use]
    pub fn memory_read_only(&self) -> Option<BorrowedFd<'_>> {
        self.0.memory_read_only.as_ref().map(AsFd::as_fd)
    }

    fn worker_block(&self, worker: u32) -> Result<Mapped<WorkerBlock>, ClaimError> {
        let workers = self.workers();
        if worker >= workers {
            return Err(ClaimError::Worker { worker, workers });
        }
        Ok(self.value(self.0.layout.worker(worker)))
    }

    fn control_block(&self) -> Mapped<ControlBlock> {
        self.value(self.0.layout.control())
    }

    fn value<T: Shareable>(&self, offset: usize) -> Mapped<T> {
        Mapped::project(&self.0.mapping, |mapping| mapping.value(offset))
    }

    fn slice<T: Shareable>(&self, (offset, count): (usize, usize)) -> Mapped<[T]> {
        Mapped::project(&self.0.mapping, |mapping| mapping.slice(offset, count))
    }
}

/// What one worker owns. Parts may be moved apart; the worker can be taken again when all of them
/// are gone.
#[derive(Debug)]
pub struct WorkerSide {
    /// To control.
    pub punts: PuntProducer,
    /// From control.
    pub replies: ReplyConsumer,
    /// Its counters.
    pub counters: CountersWriter,
    /// Its latency histogram.
    pub latency: HistogramWriter,
    /// Its sign of life.
    pub heartbeat: Heartbeat,
}

/// What control owns. Parts may be moved apart; the side can be taken again when all are gone.
#[derive(Debug)]
pub struct ControlSide {
    /// From each worker, by its number.
    pub punts: Vec<PuntConsumer>,
    /// To each worker, by its number.
    pub replies: Vec<ReplyProducer>,
    /// Writes the answer table.
    pub table: TableWriter,
    /// Raises zone generations.
    pub generations: GenerationsWriter,
    /// Says who is in the mesh.
    pub mesh: MeshWriter,
    /// Control's sign of life.
    pub heartbeat: Heartbeat,
}

fn create_memory(bytes: u64) -> Result<OwnedFd, CreateError> {
    let kernel = |operation| move |error| CreateError::Kernel { operation, error };
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Linux before 6.3 does not know MFD_NOEXEC_SEAL; later ones may insist on it.
    let memory = rustix::fs::memfd_create("nexus", flags | MemfdFlags::NOEXEC_SEAL)
        .or_else(|_| rustix::fs::memfd_create("nexus", flags))
        .map_err(kernel("memfd_create"))?;
    // So that an observer of another user cannot open its descriptor again for writing.
    rustix::fs::fchmod(&memory, FileMode::RUSR | FileMode::WUSR).map_err(kernel("fchmod"))?;
    rustix::fs::ftruncate(&memory, bytes).map_err(kernel("ftruncate"))?;
    let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&memory, seals).map_err(kernel("F_ADD_SEALS"))?;
    Ok(memory)
}

/// What both planes must have alike.
#[derive(Clone, Copy)]
struct Keys {
    hash: (u64, u64),
    cookie_secrets: Secrets,
}

impl core::fmt::Debug for Keys {
    /// Keeps the keys out of logs.
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str("Keys(..)")
    }
}

fn random() -> Result<Secret, CreateError> {
    let failed = |error| CreateError::Kernel {
        operation: "getrandom",
        error,
    };
    let mut random = Secret::default();
    let filled = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
        .map_err(failed)?;
    if filled == random.len() {
        Ok(random)
    } else {
        Err(failed(Errno::IO))
    }
}

/// Sixteen bytes as they lie in two words.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the two halves of 128 bits"
)]
fn words(bytes: &Secret) -> (u64, u64) {
    let both = u128::from_le_bytes(*bytes);
    (both as u64, (both >> 64) as u64)
}

fn bytes((low, high): (u64, u64)) -> Secret {
    (u128::from(low) | u128::from(high) << 64).to_le_bytes()
}

fn write_header(header: &Header, layout: &Layout, keys: &Keys) {
    let config = layout.config();
    let Secrets { current, previous } = keys.cookie_secrets;
    let current = words(&current);
    let (previous, has_previous) = match &previous {
        Some(previous) => (words(previous), 1),
        None => ((0, 0), 0),
    };
    let numbers = [
        (&header.version, LAYOUT_VERSION),
        (&header.fingerprint, LAYOUT_FINGERPRINT),
        (&header.region_bytes, layout.bytes() as u64),
        (&header.workers, u64::from(config.workers)),
        (&header.punt_slots, u64::from(config.punt_slots)),
        (&header.reply_slots, u64::from(config.reply_slots)),
        (&header.table_buckets, u64::from(config.table_buckets)),
        (&header.zones_max, u64::from(config.zones_max)),
        (&header.hash_keys[0], keys.hash.0),
        (&header.hash_keys[1], keys.hash.1),
        (&header.cookie_secret[0], current.0),
        (&header.cookie_secret[1], current.1),
        (&header.cookie_secret_previous[0], previous.0),
        (&header.cookie_secret_previous[1], previous.1),
        (&header.has_cookie_secret_previous, has_previous),
    ];
    for (word, value) in numbers {
        word.store(value, Ordering::Relaxed);
    }
    header.magic.store(MAGIC, Ordering::Release);
}

fn read_header(header: &Header) -> Result<(Layout, Keys), AttachError> {
    // Relaxed loads: the probe is mapped read-only. The descriptor came after the header.
    let read = |word: &crate::sync::AtomicU64| word.load(Ordering::Relaxed);
    if read(&header.magic) != MAGIC {
        return Err(AttachError::Magic);
    }
    for (word, expected) in [
        (&header.version, LAYOUT_VERSION),
        (&header.fingerprint, LAYOUT_FINGERPRINT),
    ] {
        let found = read(word);
        if found != expected {
            return Err(AttachError::Version { found, expected });
        }
    }
    // A number beyond 32 bits is out of every range; so is u32::MAX.
    let number = |word| u32::try_from(read(word)).unwrap_or(u32::MAX);
    let layout = Layout::new(&RegionConfig {
        workers: number(&header.workers),
        punt_slots: number(&header.punt_slots),
        reply_slots: number(&header.reply_slots),
        table_buckets: number(&header.table_buckets),
        zones_max: number(&header.zones_max),
    })?;
    let (found, expected) = (read(&header.region_bytes), layout.bytes() as u64);
    if found != expected {
        return Err(AttachError::Size { found, expected });
    }
    let pair = |[first, second]: &[crate::sync::AtomicU64; 2]| (read(first), read(second));
    let has_previous = read(&header.has_cookie_secret_previous) != 0;
    let keys = Keys {
        hash: pair(&header.hash_keys),
        cookie_secrets: Secrets {
            current: bytes(pair(&header.cookie_secret)),
            previous: has_previous.then(|| bytes(pair(&header.cookie_secret_previous))),
        },
    };
    Ok((layout, keys))
}
