//! A cut of power at every operation on the disk: what was shown stays true, and what comes again leads to the same files.

#![expect(clippy::unwrap_used, reason = "a helper that fails must fail the test")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ct::{Hash, Note, SignedTreeHead, TileId, TiledTree, TimestampedEntry, TreeHead};
use ctlog::{Decided, Files, Sequenced};
use support::files::{CrashFiles, Dice, Disk};
use support::{Consensus, Hub, NAME, Node, SHARD, all_issuers, spec, wait_until};

const ALGORITHMS: &ct::Algorithms<'static> = webpki::ALL_VERIFICATION_ALGS;

/// Three validators that cosign all that is decided, and always answer.
struct Others {
    keys: Vec<(String, ed25519_dalek::SigningKey)>,
}

impl Others {
    fn new() -> Self {
        let key = |(seed, name): (u8, &str)| {
            let key = ed25519_dalek::SigningKey::from_bytes(&[seed; 32]);
            (name.to_owned(), key)
        };
        let keys = [(1, "b"), (2, "c"), (3, "d")].map(key).into();
        Self { keys }
    }

    fn validators(&self, node: &Node) -> Decided {
        let own = (node.name.clone(), *node.handle.cosigner().key());
        let others = self.keys.iter();
        let others = others.map(|(name, key)| (name.clone(), key.verifying_key().to_bytes()));
        Decided::Validators {
            keys: others.chain([own]).collect(),
            quorum: 3,
            faults_max: 1,
        }
    }

    /// Two of them cosign the head; the last one says that there is another.
    fn cosign(&self, node: &Node, head: &TreeHead) {
        for (name, key) in &self.keys {
            let root = if name == "d" {
                Hash([4; 32])
            } else {
                head.root
            };
            let text = ct::Checkpoint::new(&spec().origin, head.size, root).to_text();
            let time_s = head.timestamp_ms / 1000;
            let message = ct::cosignature::message(&text, time_s);
            let signature = ed25519_dalek::Signer::sign(key, &message).to_bytes();
            let cosigner = ct::KeyName::new(&format!("{NAME}/{name}")).unwrap();
            let public = key.verifying_key().to_bytes();
            let line = ct::cosignature::signature_line(&cosigner, &public, time_s, &signature);
            let note = Note::new(text, vec![line]).unwrap().to_string();
            node.handle.on_cosigned(name, note.as_bytes());
        }
    }
}

/// What the world has seen of the node, before and after the crash.
#[derive(Default)]
struct Seen {
    heads: BTreeMap<u64, TreeHead>,
    scts: BTreeSet<u64>,
}

impl Seen {
    fn look(&mut self, node: &Node, consensus: &Consensus) {
        let Some(published) = node.reader().published() else {
            return;
        };
        let head = published.signed.head;
        assert!(
            consensus.heads.contains(&head),
            "a head that was not decided"
        );
        let before = *self.heads.entry(head.size).or_insert(head);
        assert_eq!(before.root, head.root, "two roots of one size");
        let Some(index) = head.size.checked_sub(1) else {
            return;
        };
        let entry = &consensus.entries[usize::try_from(index).unwrap()];
        let place = Sequenced {
            index,
            timestamp_ms: entry.timestamp_ms(),
        };
        if node.reader().sct_for(place, entry.entry()).is_ok() {
            self.scts.insert(index);
        }
    }
}

/// What a reader may see at any moment: all tiles of the checkpoint are there and right.
fn check_visible(disk: &Disk, consensus: &Consensus) -> Option<u64> {
    let files = disk.files(&format!("public/{SHARD}"));
    let note = Note::parse(files.get("checkpoint")?).unwrap();
    let spec = spec();
    let signed = SignedTreeHead::from_note(&note, &spec.origin, &spec.key, ALGORITHMS).unwrap();
    let size = signed.head.size;
    let (_, tiles) = tree(&consensus.entries[..usize::try_from(size).unwrap()]);
    for (tile, bytes) in tiles {
        let found = files
            .get(&tile.to_string())
            .or_else(|| files.get(&tile.full().to_string()));
        let found = found.unwrap_or_else(|| panic!("{tile} of {size} is not there"));
        assert!(found.starts_with(&bytes), "{tile} of {size}");
    }
    for fingerprint in consensus.entries[..usize::try_from(size).unwrap()]
        .iter()
        .flat_map(|entry| entry.entry().chain.iter())
    {
        let issuer = files.get(&format!("issuer/{fingerprint}")).unwrap();
        assert_eq!(Hash::of(issuer), *fingerprint);
    }
    Some(size)
}

/// Root and all tiles of the tree of these entries, the partial ones of this size only.
fn tree(entries: &[TimestampedEntry]) -> (Hash, BTreeMap<TileId, Vec<u8>>) {
    let mut tree = TiledTree::new();
    let mut tiles = BTreeMap::new();
    for entry in entries {
        let leaf = entry.leaf_hash();
        let kept = |tile, bytes: &[u8]| drop(tiles.insert(tile, bytes.to_vec()));
        tree.push(leaf, kept).unwrap();
    }
    tiles.extend(
        tree.partial_tiles()
            .map(|(tile, bytes)| (tile, bytes.to_vec())),
    );
    for (place, entries) in (0..).zip(entries.chunks(256)) {
        let width = u16::try_from(entries.len()).unwrap();
        let tile = TileId::new(ct::TileKind::Data, place, width).unwrap();
        let mut bytes = Vec::new();
        entries
            .iter()
            .for_each(|entry| entry.write_tile_leaf(&mut bytes));
        tiles.insert(tile, bytes);
    }
    (tree.root(), tiles)
}

/// Every tile on the disk, whichever head it was for, is that of the tree.
fn check_all_tiles(disk: &Disk, consensus: &Consensus) {
    let files = disk.files(&format!("public/{SHARD}"));
    for (path, bytes) in files.iter().filter(|(path, _)| path.starts_with("tile/")) {
        let tile = TileId::parse(path).unwrap();
        let level = match tile.kind() {
            ct::TileKind::Hashes(level) => u32::from(level),
            ct::TileKind::Data => 0,
        };
        let leaves = (tile.index() * 256 + u64::from(tile.width())) << (8 * level);
        let entries = &consensus.entries[..usize::try_from(leaves).unwrap()];
        let (_, tiles) = tree(entries);
        assert_eq!(tiles.get(&tile), Some(bytes), "{path}");
    }
}

/// Sizes of batches, and whether consensus makes a snapshot after them.
const SCRIPT: [(u64, bool); 10] = [
    (3, false),
    (0, false),
    (5, true),
    (260, false),
    (4, false),
    (0, true),
    (250, false),
    (2, false),
    (9, true),
    (1, false),
];

struct Run {
    others: Others,
    hub: Arc<Hub>,
    folder: tempfile::TempDir,
    files: [CrashFiles; 2],
    consensus: Consensus,
    /// What comes again after a crash, beginning with the state of the last snapshot.
    again: Vec<Decided>,
    /// Steps of the script that are decided.
    step: usize,
    seen: Seen,
    /// How far the folder may be behind what is shown.
    folder_gap: Duration,
}

impl Run {
    fn new(folder_gap: Duration) -> Self {
        let consensus = Consensus::default();
        Self {
            others: Others::new(),
            hub: Hub::new(),
            folder: tempfile::tempdir().unwrap(),
            files: CrashFiles::pair(),
            again: vec![consensus.restored(), all_issuers()],
            consensus,
            step: 0,
            seen: Seen::default(),
            folder_gap,
        }
    }

    fn disk(&self) -> Arc<Mutex<Disk>> {
        Arc::clone(&self.files[0].disk)
    }

    fn start(&self) -> Option<Node> {
        let files = self
            .files
            .clone()
            .map(|files| Arc::new(files) as Arc<dyn Files>);
        let folder = self.folder.path();
        let node = Node::start_with(&self.hub, "a", folder, files, self.folder_gap).ok()?;
        let begin = [self.others.validators(&node)];
        let begin = begin.into_iter().chain(self.again.clone());
        node.handle.decide(begin.collect()).ok()?;
        Some(node)
    }

    /// Decides the rest of the script. False: the node has ended before.
    fn go_on(&mut self, node: &Node) -> bool {
        self.others.cosign(node, &self.last_head());
        while let Some((count, is_snapshot)) = SCRIPT.get(self.step) {
            let batch = self.consensus.batch(*count);
            self.step += 1;
            // Consensus has it durable before the log hears of it.
            self.again.extend(batch.clone());
            if node.handle.decide(batch).is_err() {
                return false;
            }
            let head = self.consensus.head();
            self.others.cosign(node, &head);
            let is_shown = || {
                let published = node.reader().published();
                published.is_some_and(|published| published.signed.head == head)
            };
            assert!(wait_until(|| is_shown() || !node.is_running()));
            self.seen.look(node, &self.consensus);
            check_visible(&self.disk().lock().unwrap(), &self.consensus);
            if *is_snapshot {
                if node.handle.sync().is_err() {
                    return false;
                }
                self.again = vec![self.consensus.restored()];
            }
        }
        true
    }

    /// Nothing was said before the disk knew of it.
    fn check_memory(&self) {
        let files = self.disk().lock().unwrap().files(&format!("state/{SHARD}"));
        // The newer of two files; a cut in the middle of a write has damaged it, and nothing was signed then.
        let size = |bytes: &Vec<u8>| {
            let (whole, checksum) = bytes.split_last_chunk().unwrap();
            let is_whole = crc32fast::hash(whole) == u32::from_be_bytes(*checksum);
            is_whole.then(|| u64::from_be_bytes(bytes[8..16].try_into().unwrap()))
        };
        let remembered = |name: &str| {
            let slots = [0, 1].map(|slot| files.get(&format!("{name}.{slot}")));
            slots.into_iter().flatten().filter_map(size).max()
        };
        assert!(self.seen.heads.keys().max().copied() <= remembered("signed"));
        let notes = self.hub.notes.lock().unwrap();
        let size = |note: &[u8]| {
            let note = Note::parse(note).unwrap();
            ct::Checkpoint::parse(note.text()).unwrap().size()
        };
        let said = notes.iter().map(|(_, note)| size(note)).max();
        assert!(said <= remembered("cosigned"));
    }

    fn last_head(&self) -> TreeHead {
        let empty = TreeHead {
            size: 0,
            root: Hash::of(&[]),
            timestamp_ms: 0,
        };
        self.consensus.heads.last().copied().unwrap_or(empty)
    }
}

/// Runs the script with so many operations, then, after a cut of power, to its end. Gives how many operations it had.
fn run(left: Option<u64>, seed: u64, folder_gap: Duration) -> u64 {
    let mut run = Run::new(folder_gap);
    let disk = run.disk();
    disk.lock().unwrap().set_left(left);
    let mut operations = 0;
    if let Some(node) = run.start() {
        let has_ended = !run.go_on(&node);
        assert!(left.is_some() || !has_ended);
        run.seen.look(&node, &run.consensus);
        node.end().err();
        operations = disk.lock().unwrap().operations;
    }
    // Readers may have seen this until the power went.
    check_visible(&disk.lock().unwrap(), &run.consensus);
    disk.lock().unwrap().cut_power(&mut Dice(seed));
    run.check_memory();

    let node = run.start().unwrap();
    assert!(run.go_on(&node), "no cut, no end");
    // An idle log gets a new head from time to time.
    run.again.extend(run.consensus.batch(0));
    let head = run.consensus.head();
    let batch = vec![Decided::Head {
        shard: SHARD.into(),
        head,
    }];
    node.handle.decide(batch).unwrap();
    run.others.cosign(&node, &head);
    node.wait_for(&head);
    run.seen.look(&node, &run.consensus);
    for index in &run.seen.scts {
        let entry = &run.consensus.entries[usize::try_from(*index).unwrap()];
        // The index may be behind, and is fed when nothing else is to be done.
        let is_found = || matches!(node.reader().find_leaf(&entry.leaf_hash()), Ok(Some(found)) if found == *index);
        assert!(wait_until(is_found), "{index}");
        let at = node.reader().entries(*index..index + 1).unwrap();
        assert_eq!(at, std::slice::from_ref(entry));
    }
    node.handle.sync().unwrap();
    let shown = || check_visible(&disk.lock().unwrap(), &run.consensus);
    assert!(wait_until(|| shown() == Some(head.size)));
    check_all_tiles(&disk.lock().unwrap(), &run.consensus);
    node.end().unwrap();
    let mut said = BTreeMap::new();
    for (_, note) in &*run.hub.notes.lock().unwrap() {
        let note = Note::parse(note).unwrap();
        let checkpoint = ct::Checkpoint::parse(note.text()).unwrap();
        let root = *said.entry(checkpoint.size()).or_insert(checkpoint.root());
        assert_eq!(
            root,
            checkpoint.root(),
            "two roots of one size were cosigned"
        );
    }
    operations
}

#[test]
fn cut_of_power_at_every_operation_loses_nothing_that_was_shown() {
    let operations = run(None, 0, Duration::ZERO);
    assert!(operations > 60, "{operations}");
    // Each waits for the disk most of its time.
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let left = next.fetch_add(1, Ordering::Relaxed);
                    if left >= operations {
                        break;
                    }
                    // The folder is written before a head is shown, or some heads later.
                    for folder_gap in [0, 5].map(Duration::from_millis) {
                        run(Some(left), left, folder_gap);
                    }
                }
            });
        }
    });
}
