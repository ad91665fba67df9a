//! What a log spends on a submission before it is ordered: reading, cutting, and all with the signatures.

#[path = "../tests/certificates/pki.rs"]
mod pki;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ct::{Certificate, Precertificate, Submission, submission_key};
use pki::{Authority, leaf_with, poison};

fn submission(c: &mut Criterion) {
    let mut group = c.benchmark_group("submission");
    group.throughput(Throughput::Elements(1));
    for (name, algorithm) in [
        ("p256", &rcgen::PKCS_ECDSA_P256_SHA256),
        ("rsa2048", &rcgen::PKCS_RSA_SHA256),
    ] {
        let root = Authority::root_by("root", algorithm);
        let issuer = root.authority_by(pki::authority("issuer"), algorithm);
        let roots = pki::roots(&[&root]);
        let chain = [issuer.issue(&leaf_with([poison()])), issuer.der];
        let checked = || pki::check(&roots, Submission::Precertificate, black_box(&chain));
        assert!(checked().is_ok());
        group.bench_function(format!("check/{name}"), |b| b.iter(checked));

        let read = || Certificate::parse(black_box(&chain[0]));
        group.bench_function(format!("parse/{name}"), |b| b.iter(read));
        let [first, above] = chain.each_ref().map(|der| Certificate::parse(der));
        let (first, above) = first
            .and_then(|first| Ok((first, above?)))
            .expect("both were just made");
        let above = [above];
        let cut = || {
            let logged = Precertificate::from_submission(black_box(&first), &above)?;
            Ok::<_, ct::PrecertificateError>(submission_key(
                &logged.into_entry(chain[0].as_slice().into()),
            ))
        };
        assert!(cut().is_ok());
        group.bench_function(format!("cut_and_key/{name}"), |b| b.iter(cut));
    }
    group.finish();
}

criterion_group!(benches, submission);
criterion_main!(benches);
