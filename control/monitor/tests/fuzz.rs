//! Bytes of others and of the disk: whatever they are, reading them ends with a value or an error, and damage is not taken for
//! what was whole.

#![expect(clippy::unwrap_used, reason = "a helper that fails must fail the test")]

mod support;

use std::sync::Arc;
use std::time::SystemTime;

use ct::{CtExtensions, Hash, LogEntry, TimestampedEntry};
use monitor::{
    Body, FetchError, Follower, KnownHead, LogSource, LogState, LoggedCertificate, Match, Scratch,
    Start, WatchPattern, Watchlist, fresh_ms, read_alerts, read_consistency, read_get_entries,
    read_inclusion, retry_after_ms,
};
use support::pki::{Authority, issued};
use support::{KINDS, Kind, Log, Run};

/// Random bytes, and this sample with some of its bytes changed by them.
fn inputs(sample: &[u8], noise: &[u8]) -> [Vec<u8>; 2] {
    let mut bytes = sample.to_vec();
    for change in noise.chunks_exact(3) {
        let [high, low, value] = *change else {
            continue;
        };
        let place = usize::from(u16::from_be_bytes([high, low]));
        match bytes.len().checked_sub(1) {
            Some(last) if value == 0 => bytes.truncate(place.min(last)),
            Some(last) => bytes[place % (last + 1)] ^= value,
            None => {}
        }
    }
    [noise.to_vec(), bytes]
}

fn source_of(log: &Log) -> Arc<LogSource> {
    log.source(Start::Beginning)
}

fn read_whole(log: &Log) -> LogState {
    let source = source_of(log);
    let address = source.address.clone();
    let follower = Follower::new(source, None, 1);
    let mut run = Run::new(follower, |fetch| log.reply(&address, fetch));
    run.round();
    run.follower.state().unwrap().clone()
}

#[test]
fn json_of_a_log_is_refused_or_read() {
    let log = Log::of(Kind::Rfc6962, 40);
    let get = |path: &str| log.get(path).unwrap();
    let entries = get("ct/v1/get-entries?start=3&end=6");
    let consistency = get("ct/v1/get-sth-consistency?first=17&second=40");
    let leaf = log.entries[20].leaf_hash();
    let path = monitor::Fetch::Inclusion { leaf, size: 40 }.url(&source_of(&log).address);
    let inclusion = get(path.strip_prefix("https://read.example").unwrap());
    assert_eq!(read_get_entries(3, 7, &entries).unwrap().len(), 4);
    assert!(read_consistency(&consistency).is_ok() && read_inclusion(20, &inclusion).is_ok());
    bolero::check!().for_each(|noise: &[u8]| {
        for bytes in inputs(&entries, noise) {
            if let Ok(entries) = read_get_entries(3, 7, &bytes) {
                assert!((1..=4).contains(&entries.len()));
            }
        }
        for bytes in inputs(&consistency, noise) {
            let _ = read_consistency(&bytes);
        }
        for bytes in inputs(&inclusion, noise) {
            let _ = read_inclusion(20, &bytes);
        }
    });
}

#[test]
fn head_is_refused_or_what_the_log_signed() {
    for kind in KINDS {
        let log = Log::of(kind, 5);
        let source = source_of(&log);
        let honest = KnownHead::read(&source, log.head.clone()).unwrap();
        bolero::check!().for_each(|noise: &[u8]| {
            for bytes in inputs(&log.head, noise) {
                if let Ok(known) = KnownHead::read(&source, bytes) {
                    assert_eq!(known.head, honest.head);
                }
            }
        });
    }
}

#[test]
fn state_file_is_refused_or_what_was_written() {
    for kind in KINDS {
        let log = Log::of(kind, 150);
        let source = source_of(&log);
        let state = read_whole(&log);
        let text = state.to_text(&source);
        bolero::check!().for_each(|noise: &[u8]| {
            for bytes in inputs(text.as_bytes(), noise) {
                let damaged = String::from_utf8_lossy(&bytes);
                if let Ok(read) = LogState::parse(&source, &damaged) {
                    assert_eq!(read, state);
                }
            }
        });
    }
}

#[test]
fn alerts_file_is_read_up_to_what_is_damaged_and_beyond() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerts.jsonl");
    let mut file = monitor::AlertFile::open(&path, 0).unwrap();
    let log = Log::of(Kind::Rfc6962, 2);
    let known = read_whole(&log).head;
    for size in 3..6 {
        let alarm = monitor::Alarm {
            kind: monitor::AlarmKind::Inconsistent,
            known: known.clone(),
            seen: KnownHead::read(&source_of(&log), log.sign(size, Hash::of(b"x"))).unwrap(),
            detail: "detail".to_owned(),
        };
        let evidence = "evidence".to_owned();
        file.add(monitor::Alert::of_alarm(
            &source_of(&log),
            &alarm,
            evidence,
            5,
        ));
    }
    file.save().unwrap();
    let sample = std::fs::read(&path).unwrap();
    assert_eq!(read_alerts(&sample).len(), 3);
    bolero::check!().for_each(|noise: &[u8]| {
        for bytes in inputs(&sample, noise) {
            let alerts = read_alerts(&bytes);
            assert!(alerts.is_sorted_by(|one, next| one.sequence < next.sequence));
            let lines = bytes.split(|byte| *byte == b'\n').count();
            assert!(alerts.len() < lines);
        }
    });
}

#[test]
fn pattern_is_refused_or_read_again_as_it_was_written() {
    bolero::check!().for_each(|noise: &[u8]| {
        for bytes in inputs("*.zürich.example.com".as_bytes(), noise) {
            let text = String::from_utf8_lossy(&bytes);
            let Ok(pattern) = WatchPattern::parse(&text, true, 2) else {
                continue;
            };
            let again = WatchPattern::parse(&pattern.to_string(), true, 2);
            assert_eq!(again.as_ref(), Ok(&pattern));
            let list = Watchlist::new(vec![pattern.clone()]).unwrap();
            let mut found: Vec<Match> = Vec::new();
            let below = format!("a.{}", pattern.domain());
            for name in [pattern.domain(), &below] {
                list.find(name, &mut Scratch::default(), &mut found);
            }
            assert!(!found.is_empty(), "{pattern}");
        }
    });
}

#[test]
fn any_name_is_matched_without_panic() {
    let patterns = ["paypal.com", "*.example.co.uk", ".xn--zrich-kva.example"];
    let patterns = patterns.map(|text| WatchPattern::parse(text, true, 2).unwrap());
    let list = Watchlist::new(patterns.to_vec()).unwrap();
    let mut scratch = Scratch::default();
    bolero::check!().for_each(|noise: &[u8]| {
        for sample in [
            "*.www.paypa1.com",
            "xn--zrich-kva.example",
            "xn--a.xn--.xn---",
        ] {
            for bytes in inputs(sample.as_bytes(), noise) {
                let mut found: Vec<Match> = Vec::new();
                list.find(&String::from_utf8_lossy(&bytes), &mut scratch, &mut found);
                assert!(found.iter().all(|found| found.watch < 3));
            }
        }
    });
}

#[test]
fn entry_of_any_certificate_is_refused_or_read() {
    let der = Authority::new().issue("cn.example", &["a.example", "*.b.example"]);
    bolero::check!().for_each(|noise: &[u8]| {
        for bytes in inputs(&der, noise) {
            let kind = issued(&bytes);
            let chain = [Hash::of(b"issuer")].into();
            let entry = LogEntry { kind, chain };
            let Ok(entry) = TimestampedEntry::new(entry, 1, CtExtensions::none()) else {
                continue; // No bytes at all.
            };
            if let Ok(read) = LoggedCertificate::read(&entry) {
                assert_eq!(read.sha256, Hash::of(&bytes));
                assert!(read.names.len() <= 3);
            }
        }
    });
}

#[test]
fn headers_are_read_without_panic_or_overflow() {
    bolero::check!().for_each(|noise: &[u8]| {
        for bytes in inputs(b"public, max-age=18446744073709551615", noise) {
            let text = String::from_utf8_lossy(&bytes);
            let _ = fresh_ms(Some(&text), Some(&text));
            let _ = retry_after_ms(&text, SystemTime::UNIX_EPOCH);
        }
    });
}

/// Whatever a log replies, what is given out is of the tree that it signed, in order and once.
#[test]
fn follower_of_a_log_that_sends_noise_gives_out_the_entries_of_the_tree_and_no_others() {
    for kind in KINDS {
        let mut log = Log::of(kind, 30);
        let state = read_whole(&log);
        log.grow(400);
        let source = source_of(&log);
        bolero::check!()
            .with_type::<Vec<Vec<u8>>>()
            .for_each(|noise| {
                let address = source.address.clone();
                let mut noise = noise.iter().take(12);
                let follower = Follower::new(Arc::clone(&source), Some(state.clone()), 1);
                let mut run = Run::new(follower, |fetch| {
                    let body = log.reply(&address, fetch);
                    match noise.next() {
                        Some(noise) if noise.len() == 1 => Err(FetchError::NotFound),
                        Some(noise) => {
                            let [random, damaged] = inputs(&body?.bytes, noise);
                            let is_random = noise.first().is_some_and(|first| *first > 200);
                            let bytes = if is_random { random } else { damaged };
                            Ok(Body { bytes, fresh_ms: 0 })
                        }
                        None => body,
                    }
                });
                for _ in 0..40 {
                    run.round();
                }
                // What stands beside the leaf, as a chain does, is not of the tree.
                let leaves = |entries: &[TimestampedEntry]| -> Vec<Hash> {
                    entries.iter().map(TimestampedEntry::leaf_hash).collect()
                };
                let (places, given): (Vec<_>, Vec<_>) = run.entries().into_iter().unzip();
                assert!(places.into_iter().eq(30..430));
                assert_eq!(leaves(&given), leaves(&log.entries[30..]));
            });
    }
}
