//! Tests of the store on real files: cuts, flipped bits, and a disk that fails at each operation.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use consensus::{
    Batch, CheckpointBody, CheckpointCertificate, ClusterId, CommitCertificate, Configuration,
    Digest, Epoch, HistoryItem, Member, NodeId, Phase, PublicKey, Record, Request, RequestId, Role,
    Sequence, Signature, SignedVote, View, Vote,
};
use tempfile::TempDir;

use super::frame::{FileHeader, FileKind, put_frame};
use super::*;

mod durability;
mod faults;
mod history;
mod log;
mod snapshots;

pub(crate) fn owner() -> Owner {
    Owner {
        cluster: ClusterId(Digest([7; 32])),
        node: NodeId(9),
    }
}

fn vote(phase: Phase, sequence: u64) -> SignedVote {
    let vote = Vote {
        phase,
        epoch: Epoch(0),
        view: View(0),
        sequence: Sequence(sequence),
        digest: Digest([sequence.to_le_bytes()[0]; 32]),
    };
    SignedVote {
        vote,
        signer: NodeId(1),
        signature: Signature([3; 64]),
    }
}

fn record(sequence: u64) -> Record {
    Record::Accepted(vote(Phase::Prepare, sequence))
}

fn records(range: std::ops::Range<u64>) -> Vec<Record> {
    range.map(record).collect()
}

fn batch_of(bytes: usize) -> Arc<Batch> {
    let request = Request {
        id: RequestId {
            client: NodeId(1),
            lane: 0,
            timestamp: 1,
        },
        command: vec![5; bytes].into(),
        signature: Signature([4; 64]),
    };
    Arc::new(Batch {
        time_ms: 1,
        requests: vec![request],
    })
}

fn item(sequence: u64, bytes: usize) -> HistoryItem {
    HistoryItem::Batch {
        batch: batch_of(bytes),
        certificate: CommitCertificate {
            votes: vec![vote(Phase::Commit, sequence)],
        },
    }
}

fn checkpoint(sequence: u64) -> (CheckpointCertificate, CheckpointBody) {
    let members = (1..=4).map(|number| Member {
        key: PublicKey([number; 32]),
        role: Role::Authority,
        address: ([127, 0, 0, 1], 4853).into(),
    });
    let body = CheckpointBody {
        sequence: Sequence(sequence),
        state_root: Digest([1; 32]),
        clients_root: Digest([2; 32]),
        time_ms: 5,
        boundary: None,
        configuration: Configuration::new(Epoch(0), members.collect(), 100, 3).unwrap(),
    };
    let certificate = CheckpointCertificate {
        votes: vec![vote(Phase::Checkpoint, sequence)],
    };
    (certificate, body)
}

/// A disk that fails from a given operation on, counted over all kinds.
#[derive(Debug)]
pub(crate) struct FailingDisk {
    left: AtomicI64,
    /// Whether the write that fails writes half of its bytes first.
    is_partial: bool,
}

impl FailingDisk {
    pub(crate) fn after(operations: i64, is_partial: bool) -> Arc<Self> {
        Arc::new(Self {
            left: AtomicI64::new(operations),
            is_partial,
        })
    }

    /// From now on, so many operations succeed.
    pub(crate) fn set_left(&self, operations: i64) {
        self.left.store(operations, Ordering::SeqCst);
    }

    fn is_over(&self) -> bool {
        self.left.fetch_sub(1, Ordering::SeqCst) <= 0
    }

    fn pass(&self) -> io::Result<()> {
        if self.is_over() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

impl Disk for FailingDisk {
    fn create(&self, path: &Path) -> io::Result<File> {
        self.pass()?;
        RealDisk.create(path)
    }

    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
        if self.is_over() {
            if self.is_partial {
                RealDisk.write_at(file, &bytes[..bytes.len() / 2], offset)?;
            }
            return Err(io::ErrorKind::StorageFull.into());
        }
        RealDisk.write_at(file, bytes, offset)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.pass()?;
        RealDisk.sync(file)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.pass()?;
        RealDisk.rename(from, to)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.pass()?;
        RealDisk.sync_folder(folder)
    }
}

/// A disk that writes three bytes at a time.
#[derive(Debug)]
struct SlowDisk;

impl Disk for SlowDisk {
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
        RealDisk.write_at(file, &bytes[..bytes.len().min(3)], offset)
    }
}

fn open(folder: &Path) -> Result<(Store, Vec<Record>), StoreError> {
    Store::open(
        Arc::new(RealDisk),
        folder,
        owner(),
        HistoryLimits::default(),
    )
}

#[test]
fn store_that_is_open_is_refused_to_others_and_given_back_when_closed() {
    let folder = TempDir::new().unwrap();
    let first = open(folder.path()).unwrap();
    assert!(matches!(open(folder.path()), Err(StoreError::Busy { .. })));
    drop(first);
    open(folder.path()).unwrap();
}

#[test]
fn files_of_another_node_or_cluster_are_refused() {
    let folder = TempDir::new().unwrap();
    drop(open(folder.path()).unwrap());
    let open_as = |owner| {
        Store::open(
            Arc::new(RealDisk),
            folder.path(),
            owner,
            HistoryLimits::default(),
        )
    };
    let node = Owner {
        node: NodeId(10),
        ..owner()
    };
    let error = open_as(node).unwrap_err();
    assert!(matches!(error, StoreError::Foreign { what: "node", .. }));
    let cluster = Owner {
        cluster: ClusterId(Digest([8; 32])),
        ..owner()
    };
    let error = open_as(cluster).unwrap_err();
    assert!(matches!(
        error,
        StoreError::Foreign {
            what: "cluster",
            ..
        }
    ));
}

#[test]
fn log_that_is_gone_while_history_is_there_is_refused() {
    let folder = TempDir::new().unwrap();
    let (store, _) = open(folder.path()).unwrap();
    store.history.append(&item(1, 10)).unwrap();
    drop(store);
    std::fs::remove_file(folder.path().join("log")).unwrap();
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::Missing { .. }));
    assert!(error.to_string().contains("replace-key"), "{error}");
}

/// A whole file with one frame that means nothing to this version.
fn unknown_file(kind: FileKind) -> Vec<u8> {
    let header = FileHeader::new(kind, owner()).unwrap();
    let mut bytes = header.to_bytes();
    let offset = bytes.len() as u64;
    put_frame(&mut bytes, header.salt, offset, &[0xff; 40]);
    bytes
}

#[test]
fn whole_bytes_that_this_version_cannot_read_are_refused_and_left_as_they_are() {
    for (name, kind) in [
        ("log", FileKind::Log),
        ("history-0000000001", FileKind::History),
        ("snapshot-00000000000000000100", FileKind::Snapshot),
    ] {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join(name);
        let bytes = unknown_file(kind);
        std::fs::write(&path, &bytes).unwrap();
        let error = open(folder.path()).unwrap_err();
        assert!(matches!(error, StoreError::Unreadable { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("Start the version that wrote it"), "{text}");
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "{name}");
        // A later form of the file itself.
        let mut bytes = bytes;
        bytes[7] += 1;
        let checksum = crc32fast::hash(&bytes[..64]);
        bytes[64..68].copy_from_slice(&checksum.to_be_bytes());
        std::fs::write(&path, &bytes).unwrap();
        let error = open(folder.path()).unwrap_err();
        let is_version = matches!(
            error,
            StoreError::Foreign {
                what: "version",
                ..
            }
        );
        assert!(is_version, "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "{name}");
    }
}

#[test]
fn file_that_was_not_finished_is_removed() {
    let folder = TempDir::new().unwrap();
    drop(open(folder.path()).unwrap());
    let unfinished = folder.path().join("snapshot-00000000000000000100.new");
    std::fs::write(&unfinished, "half").unwrap();
    drop(open(folder.path()).unwrap());
    assert!(!unfinished.exists());
}
