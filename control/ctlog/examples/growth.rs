//! What an entry costs a log of 10^4 to 10^7 entries: CPU, bytes on disk, and the time until its head is published.
//!
//! `growth [--largest N] [--entry-bytes N] [--folder F] [--json FILE]`: one node with the shard's key and a quorum of one. Entries come at
//! each measured size in batches of 25, each with a head, as at 1000 a second and 25 ms between heads; between measured
//! sizes, without heads. Consensus makes a snapshot every 10 000 entries.

#![expect(clippy::unwrap_used, reason = "a measurement that fails must end")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ct::{
    CtExtensions, EntryKind, Frontier, Hash, KeyName, LogEntry, LogKey, Shard, TimestampedEntry,
    TreeHead, verify_inclusion,
};
use ctlog::{
    Appended, Decided, Log, LogHandle, Mesh, Sequenced, Settings, ShardSettings, ShardSpec,
};
use p256::pkcs8::{EncodePrivateKey as _, EncodePublicKey as _};

const SHARD: &str = "growth";

/// Entries of a measured window, and between two snapshots.
const WINDOW: u64 = 10_000;

/// Entries of a batch with a head.
const BATCH: u64 = 25;

/// Nobody else.
#[derive(Debug)]
struct Alone;

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl Mesh for Alone {
    fn broadcast(&self, _note: Vec<u8>) {}

    fn fetch(&self, _shard: Arc<str>, _path: String) -> Boxed<Option<Vec<u8>>> {
        Box::pin(std::future::ready(None))
    }

    fn fetch_from_each(&self, _shard: Arc<str>, _path: String) -> Boxed<Vec<(String, Vec<u8>)>> {
        Box::pin(std::future::ready(Vec::new()))
    }
}

struct Arguments {
    largest: u64,
    entry_bytes: usize,
    folder: Option<PathBuf>,
    json: Option<PathBuf>,
}

impl Arguments {
    fn parse() -> Self {
        let mut parsed = Self {
            largest: 1_000_000,
            entry_bytes: 1_500,
            folder: None,
            json: None,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let value = arguments.next().unwrap();
            match name.as_str() {
                "--largest" => parsed.largest = value.parse().unwrap(),
                "--entry-bytes" => parsed.entry_bytes = value.parse().unwrap(),
                "--folder" => parsed.folder = Some(value.into()),
                "--json" => parsed.json = Some(value.into()),
                _ => panic!("unknown argument {name}"),
            }
        }
        parsed
    }
}

/// What the process has used until now.
struct Usage {
    cpu: Duration,
    /// Bytes that went, or go, to the disk.
    disk: u64,
}

impl Usage {
    fn now() -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap();
        let stat = read("/proc/self/stat");
        let fields: Vec<_> = stat
            .rsplit(')')
            .next()
            .unwrap()
            .split_whitespace()
            .collect();
        let ticks: u64 = [11, 12]
            .iter()
            .map(|at| fields[*at].parse::<u64>().unwrap())
            .sum();
        let io = read("/proc/self/io");
        let value = |name: &str| {
            let line = io.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().parse::<u64>().unwrap()
        };
        Self {
            cpu: Duration::from_millis(ticks * 10),
            disk: value("write_bytes:").saturating_sub(value("cancelled_write_bytes:")),
        }
    }
}

/// Orders entries alone, and waits for the log.
struct Feed {
    handle: LogHandle,
    frontier: Frontier,
    timestamp_ms: u64,
    entry_bytes: usize,
}

impl Feed {
    fn entry(&self, index: u64) -> LogEntry {
        // Like DER, it does not compress.
        let mut der = Vec::with_capacity(self.entry_bytes + 32);
        let mut block = Hash::of(&index.to_be_bytes());
        while der.len() < self.entry_bytes {
            der.extend_from_slice(&block.0);
            block = Hash::of(&block.0);
        }
        der.truncate(self.entry_bytes);
        LogEntry {
            kind: EntryKind::Certificate(der.into()),
            chain: Arc::new([]),
        }
    }

    fn append(&mut self, count: u64) {
        self.timestamp_ms += 25;
        let first_index = self.frontier.size();
        let entries: Vec<_> = (first_index..first_index + count)
            .map(|index| self.entry(index))
            .collect();
        for (index, entry) in (first_index..).zip(&entries) {
            let extensions = CtExtensions::of_index(index).unwrap();
            let entry = TimestampedEntry::new(entry.clone(), self.timestamp_ms, extensions);
            self.frontier.push(entry.unwrap().leaf_hash(), |_, _, _| {});
        }
        let appended = Decided::Appended(Appended {
            shard: SHARD.into(),
            first_index,
            timestamp_ms: self.timestamp_ms,
            entries,
        });
        self.handle.decide(vec![appended]).unwrap();
    }

    /// Has a head, and waits until it is published.
    fn publish(&self) -> Duration {
        let head = TreeHead {
            size: self.frontier.size(),
            root: self.frontier.root(),
            timestamp_ms: self.timestamp_ms,
        };
        let begun = Instant::now();
        let shard = SHARD.into();
        self.handle
            .decide(vec![Decided::Head { shard, head }])
            .unwrap();
        let reader = self.handle.reader(SHARD).unwrap();
        loop {
            let published = reader.published();
            if published.is_some_and(|published| published.signed.head == head) {
                return begun.elapsed();
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Without heads, up to a size.
    fn fill(&mut self, size: u64) {
        while self.frontier.size() < size {
            let until_sync = WINDOW - self.frontier.size() % WINDOW;
            self.append(until_sync.min(size - self.frontier.size()).min(1_000));
            if self.frontier.size().is_multiple_of(WINDOW) {
                self.handle.sync().unwrap();
            }
        }
    }
}

/// One line of the table. Costs are those of an entry.
struct Row {
    size: u64,
    /// Of those that came since the last row, without heads: the index is written rarely, and mostly then.
    fill_cpu_us: f64,
    fill_disk_bytes: f64,
    cpu_us: f64,
    disk_bytes: f64,
    tile_bytes: f64,
    partial_bytes: f64,
    publish_ms: [f64; 2],
    sync_ms: f64,
    lookup_us: f64,
    proof_us: f64,
    sct_us: f64,
}

impl Row {
    fn to_json(&self, entry_bytes: usize) -> serde_json::Value {
        serde_json::json!({
            "entries": self.size,
            "entry_bytes": entry_bytes,
            "fill_cpu_us": self.fill_cpu_us,
            "fill_disk_bytes": self.fill_disk_bytes,
            "cpu_us": self.cpu_us,
            "disk_bytes": self.disk_bytes,
            "tile_bytes": self.tile_bytes,
            "partial_tile_bytes": self.partial_bytes,
            "publish_ms_p50": self.publish_ms[0],
            "publish_ms_p99": self.publish_ms[1],
            "sync_ms": self.sync_ms,
            "lookup_us": self.lookup_us,
            "proof_us": self.proof_us,
            "sct_us": self.sct_us,
        })
    }
}

/// Fills the log up to the window before `size`, and measures the window.
fn measure(feed: &mut Feed, size: u64) -> Row {
    let filled = size - WINDOW - feed.frontier.size();
    let filling = Usage::now();
    feed.fill(size - WINDOW);
    let written = |feed: &Feed, kind| feed.handle.metrics().bytes_written(SHARD, kind);
    let kinds = ["tiles", "partial_tiles"];
    let [tiles, partial] = kinds.map(|kind| written(feed, kind));
    let before = Usage::now();
    let mut latencies = Vec::new();
    for _ in 0..WINDOW / BATCH {
        feed.append(BATCH);
        latencies.push(feed.publish());
    }
    let syncing = Instant::now();
    feed.handle.sync().unwrap();
    let sync_ms = syncing.elapsed().as_secs_f64() * 1e3;
    let cpu = Usage::now().cpu;
    // What is removed before the kernel writes it costs no disk.
    std::thread::sleep(Settings::PARTIAL_KEEP + Duration::from_secs(15));
    let after = Usage::now();
    latencies.sort_unstable();
    let entries = WINDOW as f64;
    let at = |share: usize| latencies[latencies.len() * share / 100].as_secs_f64() * 1e3;
    let [tiles_after, partial_after] = kinds.map(|kind| written(feed, kind));
    let size = feed.frontier.size();
    let [lookup_us, proof_us, sct_us] = measure_reads(feed, size);
    let of_filled = |sum: f64| {
        if filled == 0 {
            0.0
        } else {
            sum / filled as f64
        }
    };
    Row {
        size,
        fill_cpu_us: of_filled((before.cpu - filling.cpu).as_secs_f64() * 1e6),
        fill_disk_bytes: of_filled((before.disk - filling.disk) as f64),
        cpu_us: (cpu - before.cpu).as_secs_f64() * 1e6 / entries,
        disk_bytes: (after.disk - before.disk) as f64 / entries,
        tile_bytes: (tiles_after - tiles) as f64 / entries,
        partial_bytes: (partial_after - partial) as f64 / entries,
        publish_ms: [at(50), at(99)],
        sync_ms,
        lookup_us,
        proof_us,
        sct_us,
    }
}

/// Mean microseconds of a look-up by leaf hash, an inclusion proof, and an SCT.
fn measure_reads(feed: &Feed, size: u64) -> [f64; 3] {
    const READS: u64 = 1_000;
    let reader = feed.handle.reader(SHARD).unwrap();
    let root = feed.frontier.root();
    let mut spent = [Duration::ZERO; 3];
    for step in 0..READS {
        let index = (step * 2_654_435_761) % size;
        let entry = reader.entries(index..index + 1).unwrap().remove(0);
        let leaf = entry.leaf_hash();
        let place = Sequenced {
            index,
            timestamp_ms: entry.timestamp_ms(),
        };
        let begun = Instant::now();
        assert_eq!(reader.find_leaf(&leaf).unwrap(), Some(index));
        spent[0] += begun.elapsed();
        let begun = Instant::now();
        let proof = reader.prove_inclusion(index, size).unwrap();
        spent[1] += begun.elapsed();
        verify_inclusion(&leaf, index, size, &proof, &root).unwrap();
        let begun = Instant::now();
        reader.sct_for(place, entry.entry()).unwrap();
        spent[2] += begun.elapsed();
    }
    spent.map(|spent| spent.as_secs_f64() * 1e6 / READS as f64)
}

fn start(folder: &Path, runtime: &tokio::runtime::Runtime) -> LogHandle {
    let secret = p256::SecretKey::from_slice(&[7; 32]).unwrap();
    let key_file = folder.join("key");
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(&key_file, secret.to_pkcs8_der().unwrap().as_bytes()).unwrap();
    let spki = secret.public_key().to_public_key_der().unwrap();
    let name = KeyName::new("log.example/growth").unwrap();
    let spec = ShardSpec {
        window: Shard {
            name: SHARD.to_owned(),
            start: 0,
            end: i64::MAX,
        },
        origin: name.clone(),
        key: LogKey::new(spki.as_bytes()).unwrap(),
    };
    let settings = Settings {
        name,
        node: "a".to_owned(),
        shards: vec![ShardSettings {
            spec,
            key_file: Some(key_file),
        }],
        folder: folder.join("public"),
        state_folder: folder.join("state"),
        publish_gap: Duration::ZERO,
        folder_gap: Settings::FOLDER_GAP,
        partial_keep: Settings::PARTIAL_KEEP,
        mesh: Arc::new(Alone),
        runtime: runtime.handle().clone(),
    };
    let (handle, _) = Log::start(&settings).unwrap();
    let keys = vec![("a".to_owned(), *handle.cosigner().key())];
    handle
        .decide(vec![Decided::Validators {
            keys,
            quorum: 1,
            faults_max: 0,
        }])
        .unwrap();
    handle
}

fn main() {
    let arguments = Arguments::parse();
    let temporary = tempfile::tempdir().unwrap();
    let folder = arguments.folder.as_deref().unwrap_or(temporary.path());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let mut feed = Feed {
        handle: start(folder, &runtime),
        frontier: Frontier::default(),
        timestamp_ms: 1_700_000_000_000,
        entry_bytes: arguments.entry_bytes,
    };
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{:>9} {:>8} {:>8} {:>8} {:>9} {:>9} {:>9} {:>8} {:>8} {:>8} {:>9} {:>9} {:>8}",
        "entries",
        "fill us",
        "fill B",
        "CPU us",
        "disk B",
        "tiles B",
        "partial B",
        "p50 ms",
        "p99 ms",
        "sync ms",
        "lookup us",
        "proof us",
        "SCT us"
    )
    .unwrap();
    let mut rows = Vec::new();
    let mut size = 10_000;
    while size <= arguments.largest {
        let row = measure(&mut feed, size);
        writeln!(
            out,
            "{:>9} {:>8.1} {:>8.0} {:>8.1} {:>9.0} {:>9.0} {:>9.0} {:>8.2} {:>8.2} {:>8.1} {:>9.1} {:>9.1} {:>8.1}",
            row.size, row.fill_cpu_us, row.fill_disk_bytes, row.cpu_us,
            row.disk_bytes,
            row.tile_bytes,
            row.partial_bytes,
            row.publish_ms[0],
            row.publish_ms[1],
            row.sync_ms,
            row.lookup_us,
            row.proof_us,
            row.sct_us
        )
        .unwrap();
        rows.push(row.to_json(arguments.entry_bytes));
        size *= 10;
    }
    feed.handle.stop();
    if let Some(path) = arguments.json {
        let text = serde_json::to_string_pretty(&rows).unwrap();
        std::fs::write(path, text + "\n").unwrap();
    }
}
