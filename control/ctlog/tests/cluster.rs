//! Four nodes and a consensus that only counts: what they publish is what an outsider verifies, and liars change nothing.

mod support;

use std::collections::BTreeMap;

use ct::{Hash, Note, SignedTreeHead, WitnessPolicy, verify_consistency, verify_inclusion};
use ctlog::{SctForError, Sequenced};
use support::outsider::Outsider;
use support::{Consensus, Hub, Node, cluster, decide, spec, wait_until};

const ALGORITHMS: &ct::Algorithms<'static> = webpki::ALL_VERIFICATION_ALGS;

fn publishers(nodes: &[Node]) -> impl Iterator<Item = &Node> {
    nodes.iter().filter(|node| node.reader().can_sign())
}

#[test]
fn what_is_decided_is_published_and_verified_by_other_peoples_code() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::new();
    let nodes = cluster(&hub, folder.path(), 4);
    let mut consensus = Consensus::default();
    for count in [0, 1, 1, 254, 1, 3, 700, 0, 64] {
        decide(&nodes, &consensus.batch(count));
        let head = consensus.head();
        for node in publishers(&nodes) {
            node.wait_for(&head);
            let outsider = Outsider::new(&node.public());
            outsider.check_all(&node.reader().note_key().unwrap(), &consensus.entries);
        }
    }
    // Some have the head a moment before others.
    let checkpoints = || -> Vec<_> {
        let own = |node: &Node| node.reader().published().unwrap().signed.clone();
        publishers(&nodes).map(own).collect()
    };
    assert!(
        checkpoints().windows(2).all(|pair| pair[0] == pair[1]),
        "one head has one signature"
    );
    assert!(nodes[1].reader().published().is_none());
    for node in nodes {
        node.stop();
    }
}

#[test]
fn checkpoint_meets_the_policy_of_the_validators() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::new();
    let nodes = cluster(&hub, folder.path(), 4);
    let mut consensus = Consensus::default();
    decide(&nodes, &consensus.batch(5));
    nodes[0].wait_for(&consensus.head());
    let published = nodes[0].reader().published().unwrap();
    let note = Note::parse(&published.checkpoint).unwrap();
    let log = ct::Endpoint {
        key: nodes[2].reader().note_key().unwrap(),
        url: None,
    };
    let witness = |node: &Node| {
        let key = node.handle.cosigner().clone();
        (node.name.clone(), ct::Endpoint { key, url: None })
    };
    let witnesses: Vec<_> = nodes.iter().map(witness).collect();
    let policy = WitnessPolicy::of_group(&[log], &witnesses, 3).unwrap();
    let cosigners = policy.check(&note, ALGORITHMS).unwrap();
    assert!(cosigners.len() >= 3);
    let spec = spec();
    let signed = SignedTreeHead::from_note(&note, &spec.origin, &spec.key, ALGORITHMS).unwrap();
    assert_eq!(signed, published.signed);
}

#[test]
fn reader_proves_what_is_published_and_signs_for_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::new();
    let nodes = cluster(&hub, folder.path(), 4);
    let mut consensus = Consensus::default();
    for count in [100, 200, 300] {
        decide(&nodes, &consensus.batch(count));
    }
    let head = consensus.head();
    nodes[0].wait_for(&head);
    let reader = nodes[0].reader();
    for (index, entry) in (0..).zip(&consensus.entries) {
        let key = ct::submission_key(&entry.entry().kind);
        let place = Sequenced {
            index,
            timestamp_ms: entry.timestamp_ms(),
        };
        assert_eq!(reader.find_submission(&key).unwrap(), Some(place));
        let leaf = entry.leaf_hash();
        assert_eq!(reader.find_leaf(&leaf).unwrap(), Some(index));
        if index % 41 == 0 {
            let proof = reader.prove_inclusion(index, head.size).unwrap();
            verify_inclusion(&leaf, index, head.size, &proof, &head.root).unwrap();
            let sct = reader.sct_for(place, entry.entry()).unwrap();
            assert_eq!(sct.extensions.leaf_index(), Some(index));
            let (signed, now_ms) = (entry.entry().signed(), u64::MAX);
            sct.verify(&signed, &spec().key, ALGORITHMS, now_ms)
                .unwrap();
            let again = nodes[2].reader();
            nodes[2].wait_for(&head);
            assert_eq!(again.sct_for(place, entry.entry()).unwrap(), sct);
        }
    }
    let old = &consensus.heads[0];
    let proof = reader.prove_consistency(old.size, head.size).unwrap();
    verify_consistency(old.size, head.size, &proof, &old.root, &head.root).unwrap();
    assert_eq!(reader.entries(250..9999).unwrap(), consensus.entries[250..]);

    let entry = consensus.entries[5].entry();
    let timestamp_ms = consensus.entries[5].timestamp_ms();
    for (index, timestamp_ms) in [
        (6, timestamp_ms),
        (5, timestamp_ms + 1),
        (600, timestamp_ms),
    ] {
        let place = Sequenced {
            index,
            timestamp_ms,
        };
        let refused = reader.sct_for(place, entry).unwrap_err();
        assert!(matches!(refused, SctForError::Entry { .. }), "{refused}");
    }
    assert_eq!(reader.find_submission(&Hash([1; 32])).unwrap(), None);
    assert_eq!(reader.find_leaf(&Hash([1; 32])).unwrap(), None);
    let place = Sequenced {
        index: 5,
        timestamp_ms,
    };
    let refused = nodes[1].reader().sct_for(place, entry).unwrap_err();
    assert!(matches!(refused, SctForError::NoKey));
}

#[test]
fn who_waits_for_an_entry_is_woken_by_the_head_that_covers_it_and_by_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::new();
    let mut nodes = cluster(&hub, folder.path(), 4);
    let mut consensus = Consensus::default();
    let reader = nodes[0].reader().clone();
    let waits = hub.runtime().spawn(async move { reader.wait_for(9).await });
    decide(&nodes, &consensus.batch(5));
    nodes[0].wait_for(&consensus.head());
    assert!(!waits.is_finished());
    decide(&nodes, &consensus.batch(5));
    let published = hub.runtime().block_on(waits).unwrap().unwrap();
    assert_eq!(published.signed.head, consensus.head());
    let reader = nodes[0].reader().clone();
    let waits = hub
        .runtime()
        .spawn(async move { reader.wait_for(99).await });
    nodes.remove(0).stop();
    assert_eq!(hub.runtime().block_on(waits).unwrap(), Err(ctlog::Stopped));
}

#[test]
fn lost_cosignatures_are_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::new();
    let nodes = cluster(&hub, folder.path(), 4);
    let mut consensus = Consensus::default();
    // Everybody hears `b` and `c` only, and hears them late: the rest of the first notes is lost.
    let lost: std::sync::Mutex<BTreeMap<String, u32>> = Default::default();
    hub.tamper(move |from, _, note| {
        let mut lost = lost.lock().unwrap();
        let count = lost.entry(from.to_owned()).or_default();
        *count += 1;
        (*count > 1).then_some(note)
    });
    decide(&nodes, &consensus.batch(5));
    for node in publishers(&nodes) {
        node.wait_for(&consensus.head());
    }
}

#[test]
fn liar_gets_no_forked_head_counted() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::new();
    let mut nodes = cluster(&hub, folder.path(), 4);
    let mut consensus = Consensus::default();
    decide(&nodes, &consensus.batch(5));
    nodes[0].wait_for(&consensus.head());
    // `d` and `c` are deaf from now on, and `d`'s key cosigns another tree.
    let liar = nodes.pop().unwrap();
    let secret = std::fs::read_to_string(liar.folder.join("state/cosigner.key")).unwrap();
    let key = *liar.handle.cosigner().key();
    liar.stop();
    let deaf = nodes.pop().unwrap();
    deaf.stop();
    let head = {
        decide(&nodes, &consensus.batch(5));
        consensus.head()
    };
    let secret = data_encoding::HEXLOWER
        .decode(secret.trim().as_bytes())
        .unwrap();
    let secret = ed25519_dalek::SigningKey::from_bytes(&secret.try_into().unwrap());
    let cosigned = |root: Hash, name: &str, key: [u8; 32]| {
        let text = ct::Checkpoint::new(&spec().origin, head.size, root).to_text();
        let time_s = head.timestamp_ms / 1000;
        let message = ct::cosignature::message(&text, time_s);
        let signature = ed25519_dalek::Signer::sign(&secret, &message).to_bytes();
        let name = ct::KeyName::new(&format!("{}/{name}", support::NAME)).unwrap();
        let line = ct::cosignature::signature_line(&name, &key, time_s, &signature);
        Note::new(text, vec![line])
            .unwrap()
            .to_string()
            .into_bytes()
    };
    let node = &nodes[0];
    let counted = |result| node.handle.metrics().cosignatures(result);
    assert!(
        wait_until(|| counted("counted") >= 2 + 3),
        "`a` has its own and that of `b`"
    );
    for _ in 0..5 {
        node.handle
            .on_cosigned("d", &cosigned(Hash([9; 32]), "d", key));
    }
    assert!(wait_until(|| counted("fork") == 5));
    // Its key under the name of another, and a key that nobody has.
    node.handle.on_cosigned("d", &cosigned(head.root, "c", key));
    assert!(wait_until(|| counted("unknown_key") == 1));
    let mut wrong = cosigned(head.root, "d", key);
    let place = wrong.len() - 20;
    wrong[place] = if wrong[place] == b'A' { b'B' } else { b'A' };
    node.handle.on_cosigned("d", &wrong);
    assert!(wait_until(|| counted("bad_signature") == 1));
    node.handle.on_cosigned("d", b"no note");
    node.handle.on_cosigned("d", &vec![b'x'; 1 << 20]);
    assert!(wait_until(|| counted("malformed") == 2));
    let published = || node.reader().published().unwrap().signed.head;
    assert_ne!(published(), head, "two of four are no quorum");
    // What is true counts, whoever says it.
    node.handle.on_cosigned("d", &cosigned(head.root, "d", key));
    node.wait_for(&head);
    for _ in 0..2 {
        node.handle.on_cosigned("d", &cosigned(head.root, "d", key));
    }
    assert!(wait_until(|| counted("late") >= 2));
}

#[test]
fn heads_are_cosigned_once_by_each_and_never_two_of_one_size() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::new();
    let nodes = cluster(&hub, folder.path(), 4);
    let mut consensus = Consensus::default();
    for count in [5, 7, 0, 300, 1, 1, 1] {
        let batch = consensus.batch(count);
        decide(&nodes, &batch);
    }
    for node in publishers(&nodes) {
        node.wait_for(&consensus.head());
    }
    let mut said: BTreeMap<(String, u64), Hash> = BTreeMap::new();
    for (from, note) in &*hub.notes.lock().unwrap() {
        let note = Note::parse(note).unwrap();
        let checkpoint = ct::Checkpoint::parse(note.text()).unwrap();
        let place = (from.clone(), checkpoint.size());
        let root = *said.entry(place).or_insert(checkpoint.root());
        assert_eq!(root, checkpoint.root());
    }
    assert_eq!(said.len(), 4 * 6, "six sizes, each by all four");
}
