//! What a verdict costs: a full chain with two timestamps and revocation data at hand, and the proof of inclusion alone.

#![allow(clippy::unwrap_used, reason = "a sample that cannot be made must fail")]

#[path = "../../ct/tests/certificates/pki.rs"]
mod pki;
#[path = "../tests/judge/responder.rs"]
mod responder;
#[path = "../tests/judge/sample.rs"]
mod sample;
#[path = "../../ct/tests/support/mod.rs"]
mod support;
#[path = "../tests/judge/world.rs"]
mod world;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use sample::Sample;

fn chain(c: &mut Criterion) {
    let mut group = c.benchmark_group("validate");
    for (name, algorithm) in [
        ("p256", &rcgen::PKCS_ECDSA_P256_SHA256),
        ("rsa2048", &rcgen::PKCS_RSA_SHA256),
    ] {
        let sample = Sample::new(algorithm);
        group.bench_function(format!("chain, two timestamps, OCSP/{name}"), |b| {
            b.iter(|| black_box(sample.judge()));
        });
    }
    let sample = Sample::new(&rcgen::PKCS_ECDSA_P256_SHA256);
    let (leaf, index, size, path, root) = sample.proof();
    group.bench_function("proof of inclusion among 10^6", |b| {
        b.iter(|| ct::verify_inclusion(&leaf, index, size, black_box(&path), &root));
    });
    group.finish();
}

criterion_group!(benches, chain);
criterion_main!(benches);
