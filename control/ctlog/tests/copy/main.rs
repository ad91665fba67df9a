//! Copies in object stores: whatever fails and whoever else writes there, what a store shows can be verified from the store alone.

#![expect(clippy::unwrap_used, reason = "a helper that fails must fail the test")]

mod s3;
mod store;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ct::{DigitallySigned, EntryKind, Hash, KeyName, SignedTreeHead, TreeHead};
use ctlog::copy::{Copies, CopyError, Place, Progress, ShardCopy};
use ctlog::{Decided, Published};
use futures_util::FutureExt as _;
use object_store::path::Path;
use object_store::{Attribute, ObjectStore, ObjectStoreExt as _};
use p256::ecdsa::signature::Signer as _;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;
use store::{Fault, FaultyStore, Operation};
use support::outsider::Outsider;
use support::{Consensus, Hub, Node, ORIGIN, SHARD, all_issuers, validators};

const PREFIX: &str = "ct/copy";

/// What is asked of a store to learn whether it heeds conditions.
const PROBE_REQUESTS: usize = 4;

/// A log of one node, and what was decided.
struct Lab {
    folder: tempfile::TempDir,
    node: Node,
    consensus: Consensus,
}

impl Lab {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let hub = Hub::new();
        let node = Node::start(&hub, "a", folder.path(), true);
        let begin = vec![validators([&node]), all_issuers()];
        node.handle.decide(begin).unwrap();
        Self {
            folder,
            node,
            consensus: Consensus::default(),
        }
    }

    /// Publishes so many entries more.
    fn publish(&mut self, count: u64) -> Arc<Published> {
        let batch = self.consensus.batch(count);
        self.decide(batch)
    }

    /// Publishes so many entries more, each with a certificate of so many bytes.
    fn publish_large(&mut self, count: u64, bytes: usize) -> Arc<Published> {
        let entries = (0..count).map(|index| {
            let mut entry = support::entry(index);
            entry.kind = EntryKind::Certificate(vec![7; bytes].into());
            entry
        });
        let batch = self.consensus.batch_of(entries.collect());
        self.decide(batch)
    }

    fn decide(&self, batch: Vec<Decided>) -> Arc<Published> {
        self.node.handle.decide(batch).unwrap();
        self.node.wait_for(&self.consensus.head());
        self.node.reader().published().unwrap()
    }

    fn copy(&self, store: &Arc<FaultyStore>) -> ShardCopy {
        ShardCopy::new(Arc::new(place(store)), self.node.reader().clone())
    }

    /// What an outsider makes of the store alone: how many entries it shows, all of which it verifies. None: no checkpoint.
    async fn check(&self, store: &FaultyStore) -> Option<u64> {
        let paths = store.paths().await;
        if !paths.contains(&checkpoint_path()) {
            return None;
        }
        let folder = tempfile::tempdir_in(self.folder.path()).unwrap();
        store.dump(PREFIX, folder.path()).await;
        let outsider = Outsider::new(&folder.path().join(SHARD));
        let note_key = self.node.reader().note_key().unwrap();
        let (size, _, _) = outsider.checkpoint(&note_key);
        let entries = &self.consensus.entries[..usize::try_from(size).unwrap()];
        outsider.check_all(&note_key, entries);
        Some(size)
    }
}

fn place(store: &Arc<FaultyStore>) -> Place {
    let store = Arc::clone(store) as Arc<dyn ObjectStore>;
    Place::new(
        "s3://logs/ct".to_owned(),
        store,
        PREFIX,
        Duration::from_millis(1),
    )
}

trait Update {
    async fn update(&mut self, head: &Published) -> Result<(), CopyError>;
}

impl Update for ShardCopy {
    /// All steps.
    async fn update(&mut self, head: &Published) -> Result<(), CopyError> {
        while self.advance(head).await? == Progress::Part {}
        Ok(())
    }
}

fn checkpoint_path() -> String {
    format!("{PREFIX}/{SHARD}/checkpoint")
}

fn puts(asked: Vec<Operation>) -> Vec<String> {
    let puts = asked.into_iter().filter_map(|operation| match operation {
        Operation::Put(path) => Some(path),
        Operation::Get(_) | Operation::Delete(_) => None,
    });
    puts.collect()
}

fn deletions(asked: Vec<Operation>) -> usize {
    let is_deletion = |operation: &Operation| matches!(operation, Operation::Delete(_));
    asked
        .iter()
        .filter(|operation| is_deletion(operation))
        .count()
}

/// A checkpoint of the shard's own key.
fn sign(size: u64, root: Hash, timestamp_ms: u64) -> Vec<u8> {
    let head = TreeHead {
        size,
        root,
        timestamp_ms,
    };
    let key = p256::ecdsa::SigningKey::from(support::secret());
    let signature: p256::ecdsa::DerSignature = key.sign(&head.signed_input());
    let signature = DigitallySigned::ecdsa(signature.as_bytes().to_vec()).unwrap();
    let spec = support::spec();
    let signed = SignedTreeHead { head, signature };
    let note = signed.to_note(&KeyName::new(ORIGIN).unwrap(), &spec.key.id());
    note.to_string().into_bytes()
}

#[tokio::test]
async fn store_alone_shows_the_tree_and_says_how_each_object_is_served() {
    let mut lab = Lab::new();
    let store = FaultyStore::new();
    let mut copy = lab.copy(&store);
    for (count, size) in [(0, 0), (300, 300), (0, 300), (212, 512), (66_000, 66_512)] {
        let head = lab.publish(count);
        copy.update(&head).await.unwrap();
        assert_eq!(lab.check(&store).await, Some(size));
        assert_eq!(store.bytes(&checkpoint_path()).await, *head.checkpoint);
        assert_eq!(copy.shown(), Some(head.signed.head));
    }
    let mut kinds = BTreeSet::new();
    for path in store.paths().await {
        let found = store.inner.get(&Path::from(path.as_str())).await.unwrap();
        let attribute = |attribute| found.attributes.get(&attribute).unwrap().as_ref();
        let (kind, caching) = (
            attribute(Attribute::ContentType),
            attribute(Attribute::CacheControl),
        );
        let folder = path.split('/').nth(3).unwrap();
        let expected = match folder {
            "checkpoint" => ("text/plain; charset=utf-8", "public, max-age=1"),
            "tile" => (
                "application/octet-stream",
                "public, max-age=31536000, immutable",
            ),
            "issuer" => (
                "application/pkix-cert",
                "public, max-age=31536000, immutable",
            ),
            other => panic!("{other}"),
        };
        assert_eq!((kind, caching), expected, "{path}");
        kinds.insert(folder.to_owned());
    }
    assert_eq!(kinds.len(), 3);
    lab.node.stop();
}

/// Before and after each request of an update: what is there is true, and what was begun is finished by the next one, in the same
/// process or another.
#[tokio::test(start_paused = true)]
async fn update_that_breaks_off_anywhere_shows_nothing_false_and_is_finished_later() {
    let mut lab = Lab::new();
    let first = lab.publish(300);
    let store = FaultyStore::new();
    lab.copy(&store).update(&first).await.unwrap();
    let before = store.objects().await;
    let second = lab.publish(300);
    store.take_asked();
    lab.copy(&store).update(&second).await.unwrap();
    let requests = store.asked_count();
    assert!(requests > 10, "{requests}");
    for fault in [Fault::Fails, Fault::ReplyIsLost, Fault::Hangs] {
        for at in 0..requests {
            for is_restarted in [false, true] {
                let store = FaultyStore::new();
                store.restore(&before).await;
                store.fail_from(at, fault);
                let mut copy = lab.copy(&store);
                // A process that ends waits for nothing.
                let second_long = Duration::from_secs(1);
                let updated = tokio::time::timeout(second_long, copy.update(&second)).await;
                assert_eq!(updated.is_err(), fault == Fault::Hangs, "{fault:?} {at}");
                assert!(!matches!(updated, Ok(Ok(()))), "{fault:?} {at}");
                let shown = lab.check(&store).await;
                let is_last = at + 1 == requests && fault == Fault::ReplyIsLost;
                assert_eq!(
                    shown,
                    Some(if is_last { 600 } else { 300 }),
                    "{fault:?} {at}"
                );
                store.mend();
                if is_restarted {
                    copy = lab.copy(&store);
                }
                copy.update(&second).await.unwrap();
                assert_eq!(lab.check(&store).await, Some(600), "{fault:?} {at}");
            }
        }
    }
    lab.node.stop();
}

#[tokio::test]
async fn copy_goes_on_after_a_restart_from_what_the_store_shows() {
    let mut lab = Lab::new();
    let store = FaultyStore::new();
    let head = lab.publish(700);
    lab.copy(&store).update(&head).await.unwrap();
    store.take_asked();
    lab.copy(&store).update(&head).await.unwrap();
    assert_eq!(store.take_asked(), [Operation::Get(checkpoint_path())]);
    let head = lab.publish(100);
    lab.copy(&store).update(&head).await.unwrap();
    let puts = puts(store.take_asked());
    assert_eq!(puts.last(), Some(&checkpoint_path()));
    let tiles: BTreeSet<_> = puts.iter().filter(|path| path.contains("/tile/")).collect();
    let expected = [
        "0/002",
        "0/003.p/32",
        "1/000.p/3",
        "data/002",
        "data/003.p/32",
    ];
    let expected = expected.map(|tile| format!("{PREFIX}/{SHARD}/tile/{tile}"));
    assert_eq!(tiles, expected.iter().collect());
    lab.node.stop();
}

#[tokio::test]
async fn failure_in_a_long_copy_sends_only_the_last_step_again() {
    let mut lab = Lab::new();
    let store = FaultyStore::new();
    // Partial tiles of upper levels are complete before the last step begins.
    let head = lab.publish(3 * 64 * 256 + 10);
    let mut copy = lab.copy(&store);
    // Whether it heeds conditions, then steps of a look, 64 tiles of hashes and 64 of data: the first with issuers, the others with
    // samples of what is there.
    store.fail_from(PROBE_REQUESTS + 1 + 7 + 128 + 3 + 20, Fault::Fails);
    assert!(copy.update(&head).await.is_err());
    store.mend();
    store.take_asked();
    copy.update(&head).await.unwrap();
    let puts = puts(store.take_asked());
    let of_first_step = |path: &&String| path.ends_with("/tile/data/063");
    assert_eq!(puts.iter().find(of_first_step), None);
    assert_eq!(lab.check(&store).await, Some(head.size()));
    lab.node.stop();
}

#[tokio::test]
async fn older_checkpoint_never_takes_the_place_of_a_newer_one() {
    let mut lab = Lab::new();
    let older = lab.publish(300);
    let newer = lab.publish(20);
    let newest = lab.publish(0);
    let store = FaultyStore::new();
    let (mut one, mut other) = (lab.copy(&store), lab.copy(&store));
    one.update(&newer).await.unwrap();
    store.take_asked();
    other.update(&older).await.unwrap();
    assert_eq!(store.take_asked(), [Operation::Get(checkpoint_path())]);
    // Of the same size, and later.
    other.update(&newest).await.unwrap();
    one.update(&newer).await.unwrap();
    assert_eq!(store.bytes(&checkpoint_path()).await, *newest.checkpoint);
    lab.node.stop();
}

/// Another node is as far as this one when both have looked, and writes first.
#[tokio::test]
async fn of_two_nodes_that_write_at_once_the_newer_head_stays() {
    for had_checkpoint in [false, true] {
        let mut lab = Lab::new();
        let first = lab.publish(300);
        let store = FaultyStore::new();
        if had_checkpoint {
            lab.copy(&store).update(&first).await.unwrap();
        }
        let older = lab.publish(20);
        let newer = lab.publish(20);
        let mut copy = lab.copy(&store);
        let bytes = newer.checkpoint.to_vec();
        store.before_puts(move |inner, path| {
            if path.as_ref() == checkpoint_path() {
                let put = inner.put(path, bytes.clone().into());
                put.now_or_never().unwrap().unwrap();
            }
        });
        copy.update(&older).await.unwrap();
        assert_eq!(store.bytes(&checkpoint_path()).await, *newer.checkpoint);
        // And it is learnt that it is there.
        copy.update(&older).await.unwrap();
        assert_eq!(copy.shown(), Some(newer.signed.head));
        lab.node.stop();
    }
}

#[tokio::test]
async fn what_is_not_this_log_is_left_alone_and_the_error_says_what_to_do() {
    let mut lab = Lab::new();
    let head = lab.publish(300);
    let store = FaultyStore::new();
    let mut other_key = sign(3, Hash([7; 32]), 1);
    let length = other_key.len();
    other_key[length - 10] ^= 1;
    for foreign in [b"hello".to_vec(), other_key, vec![b'a'; 2 << 20]] {
        store.write(&checkpoint_path(), &foreign).await;
        store.take_asked();
        let error = lab.copy(&store).update(&head).await.unwrap_err();
        assert!(matches!(error, CopyError::Foreign { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains(&checkpoint_path()), "{text}");
        assert!(text.contains("give the copy a prefix of its own"), "{text}");
        assert_eq!(store.take_asked(), [Operation::Get(checkpoint_path())]);
        assert_eq!(store.bytes(&checkpoint_path()).await, foreign);
    }
    lab.node.stop();
}

#[tokio::test]
async fn other_tree_by_the_same_key_is_a_fork_as_soon_as_this_node_is_as_far() {
    let mut lab = Lab::new();
    let head = lab.publish(300);
    let store = FaultyStore::new();
    let forked = sign(310, Hash([7; 32]), u64::MAX >> 8);
    store.write(&checkpoint_path(), &forked).await;
    let mut copy = lab.copy(&store);
    // It may be another node that is ahead.
    copy.update(&head).await.unwrap();
    let head = lab.publish(10);
    let error = copy.update(&head).await.unwrap_err();
    assert!(
        matches!(error, CopyError::Fork { size: 310, .. }),
        "{error}"
    );
    assert_eq!(store.bytes(&checkpoint_path()).await, forked);
    assert_eq!(puts(store.take_asked()), Vec::<String>::new());
    lab.node.stop();
}

#[tokio::test]
async fn store_that_was_emptied_or_put_back_is_filled_again() {
    let mut lab = Lab::new();
    let store = FaultyStore::new();
    let mut copy = lab.copy(&store);
    let first = lab.publish(300);
    copy.update(&first).await.unwrap();
    let second = lab.publish(300);
    copy.update(&second).await.unwrap();
    store.clear().await;
    copy.update(&lab.publish(0)).await.unwrap();
    assert_eq!(lab.check(&store).await, Some(600));
    // A backup from before.
    store.clear().await;
    lab.copy(&store).update(&first).await.unwrap();
    copy.update(&lab.publish(1)).await.unwrap();
    assert_eq!(lab.check(&store).await, Some(601));
    lab.node.stop();
}

/// A first copy has shown no checkpoint yet by which it could be seen that all is gone.
#[tokio::test]
async fn store_that_was_emptied_or_put_back_during_the_first_copy_is_filled_from_there() {
    let mut lab = Lab::new();
    let store = FaultyStore::new();
    let mut backup = Vec::new();
    for (count, has_backup) in [(100, false), (17_000, false), (1, true)] {
        let head = lab.publish(count);
        let mut copy = lab.copy(&store);
        // All but the checkpoint is there, or the first step.
        let puts = if head.size() < 256 { 7 + 2 } else { 7 + 128 };
        let asked = store.asked_count();
        store.fail_from(asked + 1 + PROBE_REQUESTS + puts, Fault::Fails);
        assert!(copy.update(&head).await.is_err());
        store.mend();
        store.clear().await;
        if has_backup {
            store.restore(&backup).await;
        }
        copy.update(&head).await.unwrap();
        assert_eq!(lab.check(&store).await, Some(head.size()));
        if backup.is_empty() {
            backup = store.objects().await;
        }
        store.clear().await;
    }
    lab.node.stop();
}

/// Each waits for leave to send its bytes once, or all wait for each other.
#[tokio::test(start_paused = true)]
async fn tiles_of_half_the_bytes_on_their_way_and_many_large_ones_arrive() {
    for (count, bytes) in [(256, 70 << 10), (18 * 256, 8 << 10)] {
        let mut lab = Lab::new();
        let store = FaultyStore::new();
        let head = lab.publish_large(count, bytes);
        let mut copy = lab.copy(&store);
        let updated = tokio::time::timeout(Duration::from_secs(3600), copy.update(&head)).await;
        updated.expect("it does not wait for ever").unwrap();
        assert_eq!(lab.check(&store).await, Some(count));
        lab.node.stop();
    }
}

#[tokio::test]
async fn copy_that_another_node_finishes_first_stops() {
    let mut lab = Lab::new();
    let store = FaultyStore::new();
    let head = lab.publish(2 * 64 * 256 + 10);
    let checkpoint = head.checkpoint.to_vec();
    let of_first_step = format!("{PREFIX}/{SHARD}/tile/data/063");
    store.before_puts(move |inner, path| {
        if path.as_ref() == of_first_step {
            let path = Path::from(checkpoint_path());
            let put = inner.put(&path, checkpoint.clone().into());
            put.now_or_never().unwrap().unwrap();
        }
    });
    let mut copy = lab.copy(&store);
    copy.update(&head).await.unwrap();
    let puts = puts(store.take_asked());
    let of_second_step = |path: &&String| path.ends_with("/tile/data/064");
    assert_eq!(puts.iter().find(of_second_step), None);
    assert_eq!(copy.shown(), Some(head.signed.head));
    lab.node.stop();
}

#[tokio::test]
async fn store_that_refuses_each_checkpoint_is_a_fault() {
    let mut lab = Lab::new();
    let store = FaultyStore::new();
    let mut copy = lab.copy(&store);
    copy.update(&lab.publish(300)).await.unwrap();
    store.fail_from(store.asked_count() + 1, Fault::RefusesPuts);
    let newer = lab.publish(0);
    let error = copy.update(&newer).await.unwrap_err();
    assert!(matches!(error, CopyError::Refused { .. }), "{error}");
    store.mend();
    copy.update(&newer).await.unwrap();
    assert_eq!(store.bytes(&checkpoint_path()).await, *newer.checkpoint);
    lab.node.stop();
}

#[tokio::test]
async fn older_checkpoint_that_comes_between_is_replaced_and_many_are_a_fault() {
    let mut lab = Lab::new();
    let store = FaultyStore::new();
    let mut copy = lab.copy(&store);
    copy.update(&lab.publish(300)).await.unwrap();
    for (times, is_replaced) in [(1, true), (1_000, false)] {
        let older = lab.publish(20).checkpoint.to_vec();
        let newer = lab.publish(20);
        let mut left = times;
        store.before_puts(move |inner, path| {
            if path.as_ref() == checkpoint_path() && left > 0 {
                left -= 1;
                let put = inner.put(path, older.clone().into());
                put.now_or_never().unwrap().unwrap();
            }
        });
        let updated = copy.update(&newer).await;
        if is_replaced {
            updated.unwrap();
            assert_eq!(store.bytes(&checkpoint_path()).await, *newer.checkpoint);
        } else {
            let error = updated.unwrap_err();
            assert!(matches!(error, CopyError::Refused { .. }), "{error}");
        }
    }
    lab.node.stop();
}

#[tokio::test]
async fn store_that_takes_no_notice_of_conditions_needs_a_prefix_for_each_node() {
    let mut lab = Lab::new();
    let head = lab.publish(300);
    let store = FaultyStore::new();
    store.ignore_conditions();
    let error = lab.copy(&store).update(&head).await.unwrap_err();
    assert!(matches!(error, CopyError::Unconditional { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("conditional_writes: false"), "{text}");
    assert_eq!(store.paths().await, Vec::<String>::new());
    let place = Arc::new(place(&store).without_conditions());
    let mut copy = ShardCopy::new(place, lab.node.reader().clone());
    copy.update(&head).await.unwrap();
    assert_eq!(lab.check(&store).await, Some(300));
    // Asked once in a process.
    let store = FaultyStore::new();
    let mut copy = lab.copy(&store);
    for (count, probes) in [(1, PROBE_REQUESTS), (1, 0)] {
        copy.update(&lab.publish(count)).await.unwrap();
        let of_probe = |operation: &Operation| {
            let (Operation::Get(path) | Operation::Put(path) | Operation::Delete(path)) = operation;
            path.contains("/condition-")
        };
        let asked = store.take_asked();
        let asked = asked.iter().filter(|operation| of_probe(operation));
        assert_eq!(asked.count(), probes);
    }
    lab.node.stop();
}

#[tokio::test(start_paused = true)]
async fn partial_tiles_go_when_the_full_one_is_there_for_long() {
    let mut lab = Lab::new();
    let store = FaultyStore::new();
    let mut copy = lab.copy(&store);
    let partial = format!("{PREFIX}/{SHARD}/tile/data/001.p/44");
    for count in [300, 300] {
        copy.update(&lab.publish(count)).await.unwrap();
        assert!(store.paths().await.contains(&partial));
    }
    tokio::time::advance(Duration::from_secs(601)).await;
    // A store that does not remove is not asked for the others, and again the next time.
    store.take_asked();
    store.fail_from(2, Fault::Fails);
    copy.update(&lab.publish(0)).await.unwrap();
    assert_eq!(deletions(store.take_asked()), 1);
    assert!(store.paths().await.contains(&partial));
    store.mend();
    copy.update(&lab.publish(0)).await.unwrap();
    assert_eq!(deletions(store.take_asked()), 2);
    let paths = store.paths().await;
    assert!(!paths.contains(&partial));
    // Those that the checkpoint needs, and those of levels that are not full.
    let partials = paths.iter().filter(|path| path.contains(".p/"));
    assert_eq!(partials.count(), 4);
    assert_eq!(lab.check(&store).await, Some(600));
    lab.node.stop();
}

#[tokio::test(start_paused = true)]
async fn store_that_hangs_holds_up_nothing_but_its_copy_and_few_bytes() {
    let mut lab = Lab::new();
    let store = FaultyStore::new();
    let mut copy = lab.copy(&store);
    let head = lab.publish(20_000);
    store.fail_from(1 + PROBE_REQUESTS, Fault::Hangs);
    let update = copy.update(&head);
    let mut update = Box::pin(update);
    assert!(update.as_mut().now_or_never().is_none());
    tokio::task::yield_now().await;
    let asked = store.asked_count();
    assert!(
        asked > 1 + PROBE_REQUESTS && asked <= 17 + PROBE_REQUESTS,
        "{asked}"
    );
    lab.publish(1);
    let error = update.await.unwrap_err();
    assert!(matches!(error, CopyError::Silent { .. }), "{error}");
    lab.node.stop();
}

#[tokio::test(start_paused = true)]
async fn copies_follow_the_log_through_an_outage_and_say_how_far_they_are() {
    let mut lab = Lab::new();
    let stores = [FaultyStore::new(), FaultyStore::new()];
    let places = [("one", &stores[0]), ("two", &stores[1])].map(|(name, store)| {
        let store = Arc::clone(store) as Arc<dyn ObjectStore>;
        Place::new(name.to_owned(), store, PREFIX, Duration::from_secs(5))
    });
    let copies = Copies::new(places.into(), vec![lab.node.reader().clone()]);
    let following = tokio::spawn(copies.clone().follow());
    lab.publish(300);
    let all_show = |size| {
        let copies = copies.clone();
        move || copies.status().iter().all(|copy| copy.size == Some(size))
    };
    until(all_show(300)).await;
    stores[1].fail_from(0, Fault::Fails);
    lab.publish(20);
    until(|| copies.status()[0].size == Some(320) && copies.status()[1].fault.is_some()).await;
    let [sound, failing] = &copies.status()[..] else {
        panic!("two copies");
    };
    assert_eq!((sound.lag_entries, &sound.fault), (0, &None));
    assert_eq!((failing.size, failing.lag_entries), (Some(300), 20));
    assert_eq!(failing.lag, Some(Duration::from_secs(1)));
    let mut registry = Registry::default();
    registry.register_collector(Box::new(copies.clone()));
    let mut out = String::new();
    text::encode(&mut out, &registry).unwrap();
    for line in [
        "nexus_ct_copy_size{place=\"one\",shard=\"2026h1\"} 320",
        "nexus_ct_copy_size{place=\"two\",shard=\"2026h1\"} 300",
        "nexus_ct_copy_lag_entries{place=\"two\",shard=\"2026h1\"} 20",
        "nexus_ct_copy_lag_seconds{place=\"two\",shard=\"2026h1\"} 1.0",
    ] {
        assert!(out.lines().any(|found| found == line), "{line}\n{out}");
    }
    let has_failed = |line: &str| {
        let rest = line.strip_prefix("nexus_ct_copy_failures_total{place=\"two\",");
        rest.is_some_and(|rest| rest.contains("reason=\"store\"") && !rest.ends_with(" 0"))
    };
    assert!(out.lines().any(has_failed), "{out}");
    stores[1].mend();
    until(all_show(320)).await;
    assert_eq!(copies.status()[1].fault, None);
    for store in &stores {
        assert_eq!(lab.check(store).await, Some(320));
    }
    lab.node.stop();
    following.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn long_copy_says_how_far_it_is_after_each_step() {
    let mut lab = Lab::new();
    let store = FaultyStore::new();
    store.fail_from(0, Fault::Fails);
    lab.publish(2 * 64 * 256);
    let copies = Copies::new(vec![place(&store)], vec![lab.node.reader().clone()]);
    let following = tokio::spawn(copies.clone().follow());
    until(|| copies.status()[0].fault.is_some()).await;
    store.take_asked();
    // In the middle of the second step.
    store.fail_from(PROBE_REQUESTS + 1 + 7 + 128 + 3 + 20, Fault::Hangs);
    until(|| copies.status()[0].fault.is_none()).await;
    assert_eq!(copies.status()[0].size, None);
    let mut registry = Registry::default();
    registry.register_collector(Box::new(copies.clone()));
    let mut out = String::new();
    text::encode(&mut out, &registry).unwrap();
    let bytes = out
        .lines()
        .find_map(|line| line.strip_prefix("nexus_ct_copy_bytes_total{"))
        .unwrap();
    assert!(!bytes.ends_with(" 0"), "{bytes}");
    following.abort();
    lab.node.stop();
}

/// Lets time go by until it is so.
async fn until(is_so: impl Fn() -> bool) {
    for _ in 0..10_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    panic!("it does not become so");
}
