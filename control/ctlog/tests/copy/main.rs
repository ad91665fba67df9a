//! Copies in object stores: whatever fails and whoever else writes there, what a store shows can be verified from the store alone.

#![expect(clippy::unwrap_used, reason = "a helper that fails must fail the test")]

mod s3;
mod store;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ct::{DigitallySigned, Hash, KeyName, SignedTreeHead, TreeHead};
use ctlog::Published;
use ctlog::copy::{Copies, CopyError, Place, ShardCopy};
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
        self.node
            .handle
            .decide(self.consensus.batch(count))
            .unwrap();
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
    let before: Vec<(String, Vec<u8>)> = {
        let mut all = Vec::new();
        for path in store.paths().await {
            all.push((path.clone(), store.bytes(&path).await));
        }
        all
    };
    let second = lab.publish(300);
    store.take_asked();
    lab.copy(&store).update(&second).await.unwrap();
    let requests = store.asked_count();
    assert!(requests > 10, "{requests}");
    for fault in [Fault::Fails, Fault::ReplyIsLost, Fault::Hangs] {
        for at in 0..requests {
            for is_restarted in [false, true] {
                let store = FaultyStore::new();
                for (path, bytes) in &before {
                    store.write(path, bytes).await;
                }
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
    // One look, then steps of 64 tiles of hashes and 64 of data, the first with issuers.
    store.fail_from(1 + 7 + 128 + 20, Fault::Fails);
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
    copy.update(&lab.publish(0)).await.unwrap();
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
    store.fail_from(1, Fault::Hangs);
    let update = copy.update(&head);
    let mut update = Box::pin(update);
    assert!(update.as_mut().now_or_never().is_none());
    tokio::task::yield_now().await;
    assert!(store.asked_count() <= 17, "{}", store.asked_count());
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
