//! What it costs to check a proof, to make one from tiles, to append a leaf, and to check a log's signature. `cargo bench -p ct`

use std::convert::Infallible;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ct::{
    Hash, HashSource, Sct, SignedEntry, TileId, TileReader, TiledTree, prove_consistency,
    prove_inclusion, verify_consistency, verify_inclusion,
};

/// A tree of ten million leaves: proofs of 24 hashes.
const SIZE: u64 = 10_000_000;
const INDEX: u64 = 7_654_321;
const OLD: u64 = 9_876_543;

/// All leaves the same: each level has one hash, and a tree of any size is at once there.
struct Same(Vec<Hash>);

impl Same {
    fn new() -> Self {
        let mut levels = vec![Hash::leaf(b"leaf")];
        for level in 0..63 {
            levels.push(Hash::node(&levels[level], &levels[level]));
        }
        Self(levels)
    }

    /// A hash tile of this tree.
    fn tile(&self, tile: TileId) -> Vec<u8> {
        let ct::TileKind::Hashes(level) = tile.kind() else {
            panic!("{tile} holds no hashes");
        };
        let hash = self.0[8 * usize::from(level)].0;
        hash.repeat(usize::from(tile.width()))
    }
}

impl HashSource for Same {
    type Error = Infallible;

    fn hash(&mut self, level: u8, _index: u64) -> Result<Hash, Infallible> {
        Ok(self.0[usize::from(level)])
    }
}

fn proofs(c: &mut Criterion) {
    let mut tree = Same::new();
    let Ok(root) = ct::root(&mut tree, SIZE);
    let Ok(old_root) = ct::root(&mut tree, OLD);
    let inclusion = prove_inclusion(&mut tree, INDEX, SIZE).expect("a leaf of the tree");
    let consistency = prove_consistency(&mut tree, OLD, SIZE).expect("an older tree");
    let leaf = tree.0[0];
    let mut group = c.benchmark_group("proof");
    group.bench_function("check inclusion", |b| {
        b.iter(|| verify_inclusion(&leaf, INDEX, SIZE, black_box(&inclusion), &root));
    });
    group.bench_function("check consistency", |b| {
        b.iter(|| verify_consistency(OLD, SIZE, black_box(&consistency), &old_root, &root));
    });
    let fetch = |tile| Ok::<_, Infallible>(tree.tile(tile));
    group.bench_function("make inclusion from trusted tiles", |b| {
        b.iter(|| prove_inclusion(&mut TileReader::trusting(SIZE, fetch), INDEX, SIZE));
    });
    group.bench_function("make inclusion from checked tiles", |b| {
        b.iter(|| {
            let mut reader = TileReader::verifying(SIZE, root, fetch).expect("the tree's root");
            prove_inclusion(&mut reader, INDEX, SIZE)
        });
    });
}

fn append(c: &mut Criterion) {
    let mut group = c.benchmark_group("append");
    group.throughput(Throughput::Elements(1));
    group.bench_function("leaf", |b| {
        let mut tree = TiledTree::new();
        let leaf = Hash::leaf(b"leaf");
        b.iter(|| tree.push(black_box(leaf), |_, tile| _ = black_box(tile)));
    });
}

fn signatures(c: &mut Criterion) {
    use p256::ecdsa::signature::Signer as _;
    use p256::pkcs8::EncodePublicKey as _;
    let signer = p256::ecdsa::SigningKey::from_slice(&[1; 32]).expect("a key");
    let spki = signer.verifying_key().to_public_key_der().expect("a point");
    let key = ct::LogKey::new(spki.as_bytes()).expect("a key");
    let certificate = vec![7; 1_500];
    let entry = SignedEntry::Certificate(&certificate);
    let extensions = ct::CtExtensions::of_index(INDEX).expect("below 2^40");
    let message = Sct::signed_input(&entry, 1, &extensions).expect("short");
    let signature: p256::ecdsa::Signature = signer.sign(&message);
    let sct = Sct {
        log_id: key.id(),
        timestamp_ms: 1,
        extensions,
        signature: ct::DigitallySigned::ecdsa(signature.to_der().as_bytes().to_vec())
            .expect("short"),
    };
    let mut group = c.benchmark_group("timestamp");
    group.bench_function("check", |b| {
        b.iter(|| black_box(&sct).verify(&entry, &key, webpki::ALL_VERIFICATION_ALGS, 2));
    });
}

criterion_group!(benches, proofs, append, signatures);
criterion_main!(benches);
