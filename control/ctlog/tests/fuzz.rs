//! Notes of other nodes: whatever they are, the log goes on, and counts only what a validator has signed.

mod support;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use ctlog::Files;
use support::files::CrashFiles;
use support::{Consensus, Hub, NAME, Node, spec};

#[test]
fn any_bytes_as_a_cosigned_note_are_counted_and_change_nothing() {
    let hub = Hub::new();
    let folder = tempfile::tempdir().unwrap();
    let files = CrashFiles::pair().map(|files| Arc::new(files) as Arc<dyn Files>);
    let node = Node::start_with(&hub, "a", folder.path(), files, Duration::ZERO).unwrap();
    let other = ed25519_dalek::SigningKey::from_bytes(&[2; 32]);
    let key = other.verifying_key().to_bytes();
    let keys = vec![
        ("a".to_owned(), *node.handle.cosigner().key()),
        ("b".to_owned(), key),
    ];
    let mut consensus = Consensus::default();
    let validators = ctlog::Decided::Validators {
        keys,
        quorum: 2,
        faults_max: 0,
    };
    node.handle
        .decide(vec![validators, support::all_issuers()])
        .unwrap();
    node.handle.decide(consensus.batch(5)).unwrap();
    let head = consensus.head();
    let text = ct::Checkpoint::new(&spec().origin, head.size, head.root).to_text();
    let time_s = head.timestamp_ms / 1000;
    let message = ct::cosignature::message(&text, time_s);
    let signature = ed25519_dalek::Signer::sign(&other, &message).to_bytes();
    let name = ct::KeyName::new(&format!("{NAME}/b")).unwrap();
    let line = ct::cosignature::signature_line(&name, &key, time_s, &signature);
    let whole = ct::Note::new(text, vec![line])
        .unwrap()
        .to_string()
        .into_bytes();
    let hear = AssertUnwindSafe(|note: &[u8]| node.handle.on_cosigned("b", note));
    bolero::check!().for_each(|noise: &[u8]| {
        (*hear)(noise);
        let mut damaged = whole.clone();
        for pair in noise.chunks_exact(2) {
            let place = usize::from(pair[0]) * 7 % damaged.len();
            damaged[place] ^= pair[1];
        }
        if damaged != whole {
            (*hear)(&damaged);
        }
    });
    node.handle.sync().unwrap();
    assert!(
        node.reader().published().is_none(),
        "one of two is no quorum"
    );
    let is_counted = || {
        node.handle.on_cosigned("b", &whole);
        let published = node.reader().published();
        published.is_some_and(|published| published.signed.head == head)
    };
    assert!(
        support::wait_until(is_counted),
        "and what is whole is heard"
    );
}
