//! A node that ends and begins again, or that has missed what was decided: it has the same tree, and says nothing else.

#![expect(clippy::unwrap_used, reason = "a helper that fails must fail the test")]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ct::{Frontier, Hash, Note, TreeHead};
use ctlog::{Appended, Decided};
use support::outsider::Outsider;
use support::{Consensus, Hub, Node, SHARD, all_issuers, cluster, decide, validators, wait_until};

fn start_again(hub: &Arc<Hub>, name: &str, folder: &Path, others: &[Node]) -> Node {
    let node = Node::start(hub, name, folder, true);
    let begin = vec![validators(others.iter().chain([&node]))];
    node.handle.decide(begin).unwrap();
    node
}

fn check(node: &Node, consensus: &Consensus) {
    let outsider = Outsider::new(&node.public());
    outsider.check_all(&node.reader().note_key().unwrap(), &consensus.entries);
}

#[test]
fn node_that_was_stopped_shows_its_last_head_at_once_with_all_cosignatures() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::new();
    let mut nodes = cluster(&hub, folder.path(), 4);
    let mut consensus = Consensus::default();
    for count in [300, 20] {
        decide(&nodes, &consensus.batch(count));
        nodes[0].wait_for(&consensus.head());
    }
    let before = nodes[0].reader().published().unwrap();
    nodes.remove(0).stop();
    let node = start_again(&hub, "a", folder.path(), &nodes);
    assert_eq!(node.reader().published().unwrap(), before);
    node.handle.decide(vec![consensus.restored()]).unwrap();
    check(&node, &consensus);
    nodes.push(node);
    decide(&nodes, &consensus.batch(300));
    nodes[3].wait_for(&consensus.head());
    check(&nodes[3], &consensus);
}

#[test]
fn folder_for_other_web_servers_may_be_behind_but_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (hub, hour) = (Hub::new(), Duration::from_secs(3_600));
    let start = || {
        let node = Node::start_with_lazy_folder(&hub, folder.path(), hour);
        node.handle
            .decide(vec![validators([&node]), all_issuers()])
            .unwrap();
        node
    };
    let node = start();
    let mut consensus = Consensus::default();
    let show = |node: &Node, decided: &[Decided], head: &TreeHead| {
        node.handle.decide(decided.to_vec()).unwrap();
        node.wait_for(head);
    };
    show(&node, &consensus.batch(250), &consensus.head());
    check(&node, &consensus);
    let early = consensus.entries.clone();
    // The second one stays out of the folder, but for the full tile; clients of the node have it.
    show(&node, &consensus.batch(260), &consensus.head());
    let reader = node.reader();
    assert_eq!(reader.entries(0..600).unwrap(), consensus.entries);
    let note_key = reader.note_key().unwrap();
    let outsider = Outsider::new(&node.public());
    outsider.check_all(&note_key, &early);
    let before = reader.published().unwrap();
    // It is killed: the next start shows what was shown, and has it in the folder.
    let sync = node.handle.sync();
    sync.unwrap();
    node.end().unwrap();
    outsider.check_all(&note_key, &early);
    let node = start();
    assert_eq!(node.reader().published().unwrap(), before);
    outsider.check_all(&note_key, &consensus.entries);
    // It is stopped: the folder has all.
    show(&node, &consensus.batch(20), &consensus.head());
    node.stop();
    outsider.check_all(&note_key, &consensus.entries);
}

#[test]
fn checkpoint_that_was_lost_is_signed_again_and_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::new();
    let mut nodes = cluster(&hub, folder.path(), 4);
    let mut consensus = Consensus::default();
    decide(&nodes, &consensus.batch(20));
    nodes[0].wait_for(&consensus.head());
    let before = nodes[0].reader().published().unwrap();
    let node = nodes.remove(0);
    let checkpoint = node.public().join("checkpoint");
    node.stop();
    std::fs::write(checkpoint, &before.checkpoint[..20]).unwrap();
    let node = start_again(&hub, "a", folder.path(), &nodes);
    let after = node.reader().published().unwrap();
    assert_eq!(after, before, "with all its cosignatures");
    check(&node, &consensus);
}

#[test]
fn node_whose_key_was_destroyed_serves_the_checkpoint_that_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::new();
    let mut nodes = cluster(&hub, folder.path(), 4);
    let mut consensus = Consensus::default();
    decide(&nodes, &consensus.batch(300));
    nodes[0].wait_for(&consensus.head());
    let before = nodes[0].reader().published().unwrap();
    let [keyed, keyless] = [nodes.remove(0), nodes.remove(0)];
    let checkpoint = keyed.public().join("checkpoint");
    let other = keyless.public().join("checkpoint");
    for node in [keyed, keyless] {
        node.stop();
    }
    let node = Node::start(&hub, "a", folder.path(), false);
    assert_eq!(node.reader().published().unwrap(), before);
    let tile = ct::TileId::parse("tile/data/001.p/44").unwrap();
    assert!(node.reader().tile(tile).unwrap().is_some());
    assert!(!node.reader().can_sign());
    node.stop();
    // Not one that is damaged, nor one whose tree this node does not have.
    let bytes = std::fs::read(&checkpoint).unwrap();
    std::fs::write(&checkpoint, bytes.to_ascii_lowercase()).unwrap();
    let node = Node::start(&hub, "a", folder.path(), false);
    assert!(node.reader().published().is_none());
    node.stop();
    let shard = folder.path().join("b/state").join(SHARD);
    std::fs::remove_file(shard.join("edge")).unwrap();
    std::fs::write(&other, &bytes).unwrap();
    let node = Node::start(&hub, "b", folder.path(), false);
    assert!(node.reader().published().is_none());
    // Until it has caught up, without another head.
    let begin = vec![
        validators(nodes.iter().chain([&node])),
        all_issuers(),
        consensus.restored(),
    ];
    node.handle.decide(begin).unwrap();
    assert!(wait_until(|| node.reader().published().is_some()));
    assert_eq!(node.reader().published().unwrap(), before);
}

#[test]
fn checkpoint_of_another_tree_halts_the_shard_from_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let [mut consensus, mut other] = [Consensus::default(), Consensus::default()];
    let _ = other.batch(0); // What comes next has another time.
    let checkpoints = [&mut consensus, &mut other].map(|consensus| {
        let hub = Hub::new();
        let nodes = cluster(&hub, folder.path(), 4);
        decide(&nodes, &consensus.batch(10));
        nodes[0].wait_for(&consensus.head());
        let checkpoint = nodes[0].reader().published().unwrap().checkpoint.clone();
        for node in nodes {
            node.stop();
        }
        let before = folder.path().join("a");
        std::fs::rename(
            before,
            folder.path().join(consensus.heads.len().to_string()),
        )
        .unwrap();
        for name in ["b", "c", "d"] {
            std::fs::remove_dir_all(folder.path().join(name)).unwrap();
        }
        checkpoint
    });
    let public = folder.path().join("1/public").join(SHARD);
    std::fs::write(public.join("checkpoint"), &checkpoints[1]).unwrap();
    let node = Node::start(&Hub::new(), "1", folder.path(), false);
    assert!(node.reader().published().is_none());
    assert_eq!(node.handle.metrics().heads_refused(SHARD, "diverged"), 1);
    let mut registry = prometheus_client::registry::Registry::default();
    registry.register_collector(Box::new(node.handle.metrics().clone()));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    let halted = format!("nexus_ct_shard_state{{shard=\"{SHARD}\",kind=\"halted\"}} 1");
    assert!(text.contains(&halted), "{text}");
}

#[test]
fn node_that_gets_the_key_later_publishes_the_next_head_of_the_same_tree() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::new();
    let mut nodes = cluster(&hub, folder.path(), 4);
    let mut consensus = Consensus::default();
    decide(&nodes, &consensus.batch(300));
    nodes[0].wait_for(&consensus.head());
    nodes.remove(1).stop();
    let node = start_again(&hub, "b", folder.path(), &nodes);
    node.handle.decide(vec![consensus.restored()]).unwrap();
    assert!(node.reader().published().is_none());
    nodes.push(node);
    decide(&nodes, &consensus.batch(0));
    nodes[3].wait_for(&consensus.head());
    check(&nodes[3], &consensus);
}

#[test]
fn what_comes_again_after_a_kill_is_neither_appended_twice_nor_cosigned_backwards() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::new();
    let mut nodes = cluster(&hub, folder.path(), 4);
    let mut consensus = Consensus::default();
    decide(&nodes, &consensus.batch(10));
    nodes[0].handle.sync().unwrap();
    let mut again = Vec::new();
    for count in [20, 300, 7] {
        let batch = consensus.batch(count);
        decide(&nodes, &batch);
        nodes[0].wait_for(&consensus.head());
        again.extend(batch);
    }
    let before = nodes[0].reader().published().unwrap();
    nodes.remove(0).end().unwrap();
    hub.notes.lock().unwrap().clear();
    let node = start_again(&hub, "a", folder.path(), &nodes);
    assert!(
        node.reader().published().is_none(),
        "the tree is that of the last sync"
    );
    node.handle.decide(again).unwrap();
    node.wait_for(&before.signed.head);
    assert_eq!(node.reader().published().unwrap(), before);
    let sizes: Vec<_> = {
        let notes = hub.notes.lock().unwrap();
        let own = notes.iter().filter(|(from, _)| from == "a");
        let size = |note: &[u8]| {
            let note = Note::parse(note).unwrap();
            ct::Checkpoint::parse(note.text()).unwrap().size()
        };
        own.map(|(_, note)| size(note)).collect()
    };
    assert!(
        sizes.iter().all(|size| *size == consensus.size()),
        "{sizes:?}"
    );
    check(&node, &consensus);
    nodes.push(node);
    decide(&nodes, &consensus.batch(3));
    nodes[3].wait_for(&consensus.head());
    check(&nodes[3], &consensus);
}

#[test]
fn index_that_was_lost_is_made_again_from_the_tiles() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::new();
    let mut nodes = cluster(&hub, folder.path(), 4);
    let mut consensus = Consensus::default();
    decide(&nodes, &consensus.batch(700));
    nodes[0].wait_for(&consensus.head());
    let node = nodes.remove(0);
    let index = node.folder.join("state").join(SHARD).join("index.redb");
    node.stop();
    std::fs::remove_file(index).unwrap();
    let node = start_again(&hub, "a", folder.path(), &nodes);
    let reader = node.reader();
    for (index, entry) in (0..).zip(&consensus.entries) {
        let leaf = entry.leaf_hash();
        let is_found = || matches!(reader.find_leaf(&leaf), Ok(Some(found)) if found == index);
        assert!(wait_until(is_found), "{index}");
        let key = ct::submission_key(&entry.entry().kind);
        let place = reader.find_submission(&key).unwrap().unwrap();
        assert_eq!(
            (place.index, place.timestamp_ms),
            (index, entry.timestamp_ms())
        );
    }
    nodes.push(node);
    decide(&nodes, &consensus.batch(10));
    nodes[3].wait_for(&consensus.head());
    let leaf = consensus.entries[709].leaf_hash();
    assert!(wait_until(|| matches!(
        nodes[3].reader().find_leaf(&leaf),
        Ok(Some(709))
    )));
}

#[test]
fn partial_tiles_go_when_the_full_one_has_been_there_for_a_while() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::new();
    let nodes = cluster(&hub, folder.path(), 4);
    let mut consensus = Consensus::default();
    decide(&nodes, &consensus.batch(20));
    nodes[0].wait_for(&consensus.head());
    let partial =
        ["tile/0/000.p/20", "tile/data/000.p/20"].map(|path| nodes[0].public().join(path));
    assert!(partial.iter().all(|path| path.exists()));
    decide(&nodes, &consensus.batch(256));
    assert!(wait_until(|| !partial.iter().any(|path| path.exists())));
    nodes[0].wait_for(&consensus.head());
    check(&nodes[0], &consensus);
    // What is gone is cut from the full one.
    let tile = ct::TileId::parse("tile/data/000.p/20").unwrap();
    let bytes = nodes[0].reader().tile(tile).unwrap().unwrap();
    assert_eq!(
        ct::read_data_tile(tile, &bytes).unwrap(),
        consensus.entries[..20]
    );
    let beyond = ct::TileId::parse("tile/data/001.p/21").unwrap();
    assert_eq!(nodes[0].reader().tile(beyond).unwrap(), None);
}

#[test]
fn node_without_anything_fetches_all_and_believes_no_liar() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::new();
    let mut nodes = cluster(&hub, folder.path(), 4);
    let late = nodes.remove(0);
    let mut consensus = Consensus::default();
    for count in [100, 5000, 700, 50] {
        decide(&nodes, &consensus.batch(count));
        nodes[1].wait_for(&consensus.head());
    }
    // `c` lies about everything, in all the ways that have the right length and in one that has not.
    let turn = std::sync::atomic::AtomicUsize::new(0);
    hub.tamper(move |from, what, mut bytes| {
        let turn = turn.fetch_add(1, Ordering::Relaxed);
        if from == "c" && what != "note" {
            let place = turn.wrapping_mul(7919) % bytes.len();
            bytes[place] ^= 1;
            bytes.truncate(bytes.len() - turn % 2);
        }
        Some(bytes)
    });
    late.handle.decide(vec![consensus.restored()]).unwrap();
    // What is decided meanwhile waits.
    nodes.push(late);
    for count in [3, 0, 300] {
        decide(&nodes, &consensus.batch(count));
    }
    let late = &nodes[3];
    late.wait_for(&consensus.head());
    check(late, &consensus);
    let leaf = consensus.entries[4321].leaf_hash();
    assert!(wait_until(|| matches!(
        late.reader().find_leaf(&leaf),
        Ok(Some(4321))
    )));
}

#[test]
fn issuers_that_were_never_said_are_fetched_before_anything_is_published() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::new();
    let nodes: Vec<_> = ["a", "b", "c", "d"]
        .map(|name| Node::start(&hub, name, folder.path(), true))
        .into();
    let has_issuers = Arc::new(AtomicBool::new(false));
    let are_there = Arc::clone(&has_issuers);
    hub.tamper(move |_, what, bytes| {
        let is_issuer = what.starts_with("issuer/");
        (!is_issuer || are_there.load(Ordering::Relaxed)).then_some(bytes)
    });
    let mut consensus = Consensus::default();
    decide(&nodes, &[validators(&nodes)]);
    decide(&nodes[1..], &[all_issuers()]);
    decide(&nodes, &consensus.batch(20));
    nodes[1].wait_for(&consensus.head());
    assert!(nodes[0].reader().published().is_none());
    has_issuers.store(true, Ordering::Relaxed);
    nodes[0].wait_for(&consensus.head());
    check(&nodes[0], &consensus);
}

#[test]
fn entries_that_were_missed_are_fetched_up_to_the_next_head() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::new();
    let nodes = cluster(&hub, folder.path(), 4);
    let mut consensus = Consensus::default();
    decide(&nodes, &consensus.batch(10));
    decide(&nodes[1..], &consensus.batch(300));
    for count in [10, 10] {
        decide(&nodes, &consensus.batch(count));
    }
    nodes[0].wait_for(&consensus.head());
    check(&nodes[0], &consensus);
}

#[test]
fn state_that_the_log_has_already_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::new();
    let nodes = cluster(&hub, folder.path(), 4);
    let mut consensus = Consensus::default();
    decide(&nodes, &consensus.batch(10));
    let older = consensus.restored();
    decide(&nodes, &consensus.batch(10));
    decide(&nodes, &[older, consensus.restored()]);
    decide(&nodes, &consensus.batch(10));
    nodes[0].wait_for(&consensus.head());
    check(&nodes[0], &consensus);
}

#[test]
fn node_whose_tree_is_not_the_decided_one_cosigns_and_publishes_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::new();
    let nodes = cluster(&hub, folder.path(), 4);
    let mut consensus = Consensus::default();
    decide(&nodes, &consensus.batch(10));
    nodes[0].wait_for(&consensus.head());
    let size_and_notes = || {
        let notes = hub.notes.lock().unwrap();
        let own = notes.iter().filter(|(from, _)| from == "a").count();
        (nodes[0].reader().published().unwrap().size(), own)
    };
    let before = size_and_notes();
    // Another entry at a place: what only a fault of this node can bring about.
    let batch = consensus.batch(10);
    let other = batch.iter().cloned().map(|decided| match decided {
        Decided::Appended(appended) => Decided::Appended(Appended {
            timestamp_ms: appended.timestamp_ms + 1,
            ..appended
        }),
        other => other,
    });
    nodes[0].handle.decide(other.collect()).unwrap();
    decide(&nodes[1..], &batch);
    nodes[2].wait_for(&consensus.head());
    let refused = || nodes[0].handle.metrics().heads_refused(SHARD, "diverged");
    assert!(wait_until(|| refused() == 1));
    decide(&nodes, &consensus.batch(10));
    nodes[2].wait_for(&consensus.head());
    nodes[0].handle.sync().unwrap();
    assert_eq!(size_and_notes(), before);
}

#[test]
fn state_of_another_tree_halts_the_shard() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::new();
    let nodes = cluster(&hub, folder.path(), 4);
    let mut consensus = Consensus::default();
    decide(&nodes, &consensus.batch(1));
    let restored = Decided::Restored {
        shard: SHARD.into(),
        frontier: Frontier::new(1, vec![Hash([1; 32])]).unwrap(),
        timestamp_ms: 1,
    };
    nodes[0].handle.decide(vec![restored]).unwrap();
    let refused = || nodes[0].handle.metrics().heads_refused(SHARD, "diverged");
    assert!(wait_until(|| refused() == 1));
}

#[test]
fn head_of_another_root_at_a_size_that_was_cosigned_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::new();
    let mut nodes = cluster(&hub, folder.path(), 4);
    let mut consensus = Consensus::default();
    decide(&nodes, &consensus.batch(10));
    nodes[0].wait_for(&consensus.head());
    // The node loses its tree, and is told another one of the same size.
    let node = nodes.remove(0);
    let state = node.folder.join("state").join(SHARD);
    let public = node.public();
    node.end().unwrap();
    std::fs::remove_dir_all(public).unwrap();
    assert!(!state.join("edge").exists());
    let node = start_again(&hub, "a", folder.path(), &nodes);
    let mut other = Consensus::default();
    let _ = other.batch(0);
    let forked = other.batch(10);
    hub.notes.lock().unwrap().clear();
    node.handle.decide(forked).unwrap();
    let refused = |reason| node.handle.metrics().heads_refused(SHARD, reason);
    assert!(wait_until(|| refused("diverged") >= 1));
    let is_said = |head: TreeHead| {
        let notes = hub.notes.lock().unwrap();
        let text = ct::Checkpoint::new(&support::spec().origin, head.size, head.root).to_text();
        notes
            .iter()
            .any(|(_, note)| note.starts_with(text.as_bytes()))
    };
    assert!(!is_said(other.head()));
}

#[test]
fn log_ends_while_it_catches_up_and_nobody_answers() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::new();
    let mut nodes = cluster(&hub, folder.path(), 4);
    let late = nodes.remove(0);
    let mut consensus = Consensus::default();
    decide(&nodes, &consensus.batch(300));
    nodes[1].wait_for(&consensus.head());
    let asked = Arc::new(AtomicBool::new(false));
    let is_asked = Arc::clone(&asked);
    hub.tamper(move |_, what, bytes| {
        is_asked.fetch_or(what != "note", Ordering::Relaxed);
        (what == "note").then_some(bytes)
    });
    late.handle.decide(vec![consensus.restored()]).unwrap();
    assert!(wait_until(|| asked.load(Ordering::Relaxed)));
    late.stop();
    // And what it has is enough for the next start.
    hub.tamper(|_, _, bytes| Some(bytes));
    let node = start_again(&hub, "a", folder.path(), &nodes);
    node.handle
        .decide(vec![all_issuers(), consensus.restored()])
        .unwrap();
    assert!(wait_until(|| node
        .reader()
        .file_for_peer("tile/0/000")
        .unwrap()
        .is_some()));
}
