//! Entries a core against ten thousand watched domains: reading and matching one entry, and matching one name.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ct::{CtExtensions, EntryKind, LogEntry, TimestampedEntry};
use monitor::{Match, Scanner, Scratch, WatchPattern, Watchlist};

const WATCHES: usize = 10_000;

/// Domains of about the length of real ones, no two alike.
fn domain(number: usize) -> String {
    let syllables = [
        "ba", "cer", "di", "fon", "gu", "lat", "mi", "nor", "pu", "sel",
    ];
    let digits = [number / 1_000, number / 100, number / 10, number];
    let label: String = digits.map(|digit| syllables[digit % 10]).concat();
    format!("{label}.com")
}

fn watchlist(homoglyphs: bool, edit_distance: u8) -> Watchlist {
    let patterns = (0..WATCHES).map(|number| {
        let text = format!(".{}", domain(number));
        WatchPattern::parse(&text, homoglyphs, edit_distance).expect("a domain")
    });
    Watchlist::new(patterns.collect()).expect("fewer than the bound")
}

/// An entry with four names, none of them watched.
fn entry() -> TimestampedEntry {
    let names = ["www", "api", "mail", "*"].map(|host| format!("{host}.some-shop.example"));
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(names.to_vec()).expect("names");
    let certificate = params.self_signed(&key).expect("signed");
    let kind = EntryKind::Certificate(certificate.der().to_vec().into());
    let chain = [ct::Hash::of(b"issuer")].into();
    TimestampedEntry::new(LogEntry { kind, chain }, 1, CtExtensions::none()).expect("short")
}

fn watch(c: &mut Criterion) {
    let entry = entry();
    let names = [
        "www.some-shop.com",
        "api.cafeteria-berlin.com",
        "*.bacerdi.com",
    ];
    for (name, homoglyphs, distance) in [
        ("names", false, 0),
        ("looks", true, 0),
        ("looks_and_1_edit", true, 1),
        ("looks_and_2_edits", true, 2),
    ] {
        let mut scanner = Scanner::new(watchlist(homoglyphs, distance));
        let mut group = c.benchmark_group("watch_10000");
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("entry/{name}"), |b| {
            b.iter(|| {
                scanner
                    .scan(black_box(&entry))
                    .map(|scanned| scanned.matches.len())
            });
        });
        group.throughput(Throughput::Elements(names.len() as u64));
        let mut scratch = Scratch::default();
        let mut found: Vec<Match> = Vec::new();
        group.bench_function(format!("name/{name}"), |b| {
            b.iter(|| {
                found.clear();
                for name in names {
                    let list = scanner.watchlist();
                    list.find(black_box(name), &mut scratch, &mut found);
                }
                found.len()
            });
        });
        group.finish();
    }
    c.bench_function("leaf_hash", |b| b.iter(|| black_box(&entry).leaf_hash()));
}

criterion_group!(benches, watch);
criterion_main!(benches);
