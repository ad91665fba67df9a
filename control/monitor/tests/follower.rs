//! The follower against logs that are honest, and against logs that are not.

#![expect(clippy::unwrap_used, reason = "a helper that fails must fail the test")]

mod support;

use std::sync::Arc;

use monitor::{
    AlarmKind, Body, Event, FetchError, Follower, LogSource, LogState, ReplyError, STALE_HEADS_MAX,
    Start, StateError,
};
use support::{KINDS, Kind, Log, Run, anything};

use ct::{Hash, TILE_WIDTH, TileId};

fn follow(log: &Log, start: Start) -> Run<'_> {
    let source = log.source(start);
    let address = source.address.clone();
    Run::new(Follower::new(source, None, 1), move |fetch| {
        log.reply(&address, fetch)
    })
}

/// Goes on with another log, or the same one grown.
fn again<'a>(log: &'a Log, state: &LogState) -> Run<'a> {
    let source = log.source(Start::Now);
    let address = source.address.clone();
    let follower = Follower::new(source, Some(state.clone()), 1);
    Run::new(follower, move |fetch| log.reply(&address, fetch))
}

fn state(run: &Run<'_>) -> LogState {
    run.follower.state().unwrap().clone()
}

/// The state of who has read all of a log.
fn state_of(log: &Log) -> LogState {
    state(follow(log, Start::Beginning).round())
}

fn assert_entries(run: &Run<'_>, log: &Log, first: usize) {
    let expected = (first as u64..).zip(log.entries[first..].iter().cloned());
    let (found, expected): (Vec<_>, Vec<_>) = (run.entries(), expected.collect());
    assert_eq!(found.len(), expected.len());
    assert!(found == expected);
    let state = run.follower.state().unwrap();
    assert_eq!(state.frontier.size(), log.entries.len() as u64);
    assert_eq!(state.frontier.root(), state.head.head.root);
}

#[test]
fn honest_log_of_any_size_is_read_whole_and_in_order() {
    for kind in KINDS {
        for count in [0, 1, 2, 255, 256, 257, 1_024, 1_025, 2_600] {
            let log = Log::of(kind, count);
            let mut run = follow(&log, Start::Beginning);
            run.round();
            assert_entries(&run, &log, 0);
            assert!(run.alarms().is_empty() && run.failures().is_empty());
        }
    }
}

#[test]
fn log_is_followed_from_the_first_look_on_when_asked_to() {
    for kind in KINDS {
        for count in [1, 3, 8, 255, 256, 300, 1_500] {
            let mut log = Log::of(kind, count);
            let source = log.source(Start::Now);
            let mut run = follow(&log, Start::Now);
            run.round();
            assert!(run.entries().is_empty());
            let before = state(&run);
            assert_eq!(before.frontier.size(), count);
            drop(run);
            log.grow(40);
            let mut run = again(&log, &before);
            run.round();
            assert_entries(&run, &log, usize::try_from(count).unwrap());
            assert_eq!(source.key.id(), run.follower.source().key.id());
        }
    }
}

#[test]
fn few_new_entries_cost_a_head_and_the_entries_and_no_proof() {
    for kind in KINDS {
        let mut log = Log::of(kind, 700);
        let before = state_of(&log);
        log.grow(5);
        let mut run = again(&log, &before);
        run.round();
        assert_entries(&run, &log, 700);
        assert_eq!(run.fetches.len(), 2, "{:?}", run.fetches);
    }
}

#[test]
fn nothing_new_costs_one_fetch_a_poll() {
    for kind in KINDS {
        let log = Log::of(kind, 10);
        let mut run = follow(&log, Start::Beginning);
        run.round();
        let before = run.fetches.len();
        for _ in 0..5 {
            run.round();
        }
        assert_eq!(run.fetches.len(), before + 5);
        assert_eq!(run.now_ms, 6_000);
    }
}

#[test]
fn head_that_stays_fresh_is_not_asked_for_before_if_that_is_heeded() {
    let log = Log::of(Kind::Tiled, 1);
    for (heeds_freshness, expected_ms) in [(true, 7_000), (false, 1_000)] {
        let source = LogSource {
            heeds_freshness,
            ..(*log.source(Start::Beginning)).clone()
        };
        let address = source.address.clone();
        let mut run = Run::new(Follower::new(Arc::new(source), None, 1), |fetch| {
            let fresh_ms = 7_000;
            log.reply(&address, fetch)
                .map(|body| Body { fresh_ms, ..body })
        });
        run.round();
        assert_eq!(run.now_ms, expected_ms);
    }
}

#[test]
fn log_that_returns_fewer_entries_than_asked_is_read_whole() {
    for entries_max in [1, 7, 100, 255] {
        let mut log = Log::of(Kind::Rfc6962, 0);
        log.entries_max = entries_max;
        log.grow(1_300);
        let mut run = follow(&log, Start::Beginning);
        run.round();
        assert_entries(&run, &log, 0);
    }
}

#[test]
fn reply_that_is_too_long_is_asked_for_in_smaller_parts() {
    let log = Log::of(Kind::Rfc6962, 600);
    let source = log.source(Start::Beginning);
    let address = source.address.clone();
    let mut run = Run::new(Follower::new(source, None, 1), |fetch| match fetch {
        monitor::Fetch::Entries { first, end } if end - first > 9 => Err(FetchError::TooLarge),
        fetch => log.reply(&address, fetch),
    });
    run.round();
    assert_entries(&run, &log, 0);
}

#[test]
fn full_tile_stands_in_for_a_partial_one_that_is_gone() {
    let mut log = Log::of(Kind::Tiled, 300);
    let stale = log.head.clone();
    let before = state_of(&Log::of(Kind::Tiled, 3));
    log.grow(1_000);
    log.files.retain(|path, _| !path.contains(".p/44"));
    log.head = stale;
    let mut run = again(&log, &before);
    run.round();
    assert!(run.failures().is_empty(), "{:?}", run.failures());
    assert_eq!(state(&run).frontier.size(), 300);
    let mut run = follow(&log, Start::Now);
    run.round();
    assert_eq!(state(&run).frontier.size(), 300);
}

#[test]
fn two_roots_at_one_size_are_a_fork_with_both_heads() {
    for kind in KINDS {
        let log = Log::of(kind, 20);
        let known = state_of(&log);
        let mut forked = log.clone();
        forked.head = forked.sign(20, Hash::of(b"another"));
        let mut run = again(&forked, &known);
        run.round();
        assert_eq!(run.alarms(), [AlarmKind::Fork]);
        let Some(Event::Alarm(alarm)) = run.events.last() else {
            panic!("{:?}", run.events);
        };
        assert_eq!(alarm.known.body, log.head);
        assert_eq!(alarm.seen.body, forked.head);
        let evidence = alarm.evidence(&forked.source(Start::Now));
        for head in [&log.head, &forked.head] {
            assert!(evidence.contains(&data_encoding::BASE64.encode(head)));
        }
        // What was known stays what is known.
        assert_eq!(state(&run), known);
    }
}

#[test]
fn larger_fork_is_found_whether_it_is_near_or_far() {
    for kind in KINDS {
        let log = Log::of(kind, 20);
        let known = state_of(&log);
        for more in [1, 30, 2_000] {
            let mut forked = Log::new(kind);
            for index in 0..20 {
                forked.add(anything(index, if index == 11 { "x" } else { "" }));
            }
            forked.grow(more);
            let mut run = again(&forked, &known);
            run.round();
            assert_eq!(run.alarms(), [AlarmKind::Inconsistent], "{kind:?} {more}");
            assert!(run.entries().is_empty());
            assert_eq!(state(&run), known);
            // The honest tree is followed again as soon as it is shown.
            let mut healed = log.clone();
            healed.grow(7);
            let mut run = again(&healed, &known);
            run.round();
            assert_entries(&run, &healed, 20);
        }
    }
}

#[test]
fn head_that_is_signed_later_and_smaller_is_told_of_and_what_was_read_is_kept() {
    for kind in KINDS {
        let small = Log::of(kind, 300);
        let mut log = small.clone();
        log.grow(300);
        let known = state_of(&log);
        let later_ms = known.head.head.timestamp_ms + 1;
        let mut shrunk = log.clone();
        shrunk.head = log.sign_at(300, small.root(), later_ms);
        let mut run = again(&shrunk, &known);
        run.round();
        assert_eq!(run.alarms(), [AlarmKind::WentBack]);
        assert_eq!(state(&run), known);
        drop(run);

        shrunk.head = log.sign_at(300, Hash::of(b"another"), later_ms);
        let mut run = again(&shrunk, &known);
        run.round();
        let expected = [AlarmKind::WentBack, AlarmKind::Inconsistent];
        assert_eq!(run.alarms(), expected);
        assert_eq!(state(&run), known);
    }
}

#[test]
fn old_copy_of_a_head_is_no_alarm_unless_it_stays_or_is_of_another_tree() {
    for kind in KINDS {
        let small = Log::of(kind, 300);
        let mut log = small.clone();
        log.grow(300);
        let known = state_of(&log);
        let mut stale = log.clone();
        stale.head = small.head.clone();
        let mut run = again(&stale, &known);
        for _ in 1..STALE_HEADS_MAX {
            run.round();
        }
        assert_eq!(run.alarms(), []);
        for _ in 0..3 {
            run.round();
        }
        assert_eq!(run.alarms(), [AlarmKind::WentBack]);
        assert_eq!(state(&run), known);
        drop(run);

        stale.head = log.sign(300, Hash::of(b"another"));
        let mut run = again(&stale, &known);
        run.round();
        assert_eq!(run.alarms(), [AlarmKind::Inconsistent]);
    }
}

#[test]
fn old_copies_now_and_then_are_never_an_alarm() {
    let small = Log::of(Kind::Tiled, 300);
    let mut log = small.clone();
    log.grow(300);
    let known = state_of(&log);
    let source = log.source(Start::Now);
    let address = source.address.clone();
    let mut looks = 0;
    let mut run = Run::new(Follower::new(source, Some(known), 1), |fetch| {
        let is_head = *fetch == monitor::Fetch::Head;
        looks += u32::from(is_head);
        let is_stale = is_head && looks % STALE_HEADS_MAX != 0;
        if is_stale { &small } else { &log }.reply(&address, fetch)
    });
    for _ in 0..50 {
        run.round();
    }
    assert_eq!(run.alarms(), []);
}

#[test]
fn batch_of_many_bytes_is_cut_and_what_came_is_proven_first() {
    let mut log = Log::of(Kind::Tiled, 100);
    let before = state_of(&log);
    for index in 0..1_000 {
        log.add(anything(index, &"x".repeat(15_000)));
    }
    log.publish();
    let mut run = again(&log, &before);
    run.round();
    assert_entries(&run, &log, 100);
    assert!(run.alarms().is_empty() && run.failures().is_empty());
    let is_entries = |event: &&Event| matches!(event, Event::Entries { .. });
    assert_eq!(run.events.iter().filter(is_entries).count(), 2);
    let is_proof = |fetch: &monitor::Fetch| {
        fetch
            .url(&run.follower.source().address)
            .contains("/tile/0/")
    };
    assert!(run.fetches.iter().any(is_proof));
}

#[test]
fn entries_that_are_not_of_the_tree_are_not_given_out() {
    for kind in KINDS {
        for (count, place) in [(40, 31), (3_000, 31), (3_000, 2_500)] {
            let log = Log::of(kind, count);
            let mut lying = log.clone();
            let mut other = Log::new(kind);
            for index in 0..log.entries.len() {
                other.add(anything(index, if index == place { "x" } else { "" }));
            }
            other.publish();
            let is_data = |path: &str| path.starts_with("tile/data/");
            lying.files.retain(|path, _| !is_data(path));
            let data = other.files.into_iter().filter(|(path, _)| is_data(path));
            lying.files.extend(data);
            lying.entries = other.entries;
            let mut run = follow(&lying, Start::Beginning);
            run.round();
            assert_eq!(run.alarms(), [AlarmKind::FalseEntries], "{kind:?} {count}");
            let given = run.entries();
            assert!(given.iter().all(|(index, _)| *index < place as u64));
            // The head was honest: with honest entries it goes on.
            let before = state(&run);
            let mut run = again(&log, &before);
            run.round();
            assert_entries(&run, &log, given.len());
        }
    }
}

#[test]
fn tampered_tile_of_hashes_is_no_proof() {
    let log = Log::of(Kind::Tiled, 20);
    let known = state_of(&log);
    let mut grown = log.clone();
    grown.grow(3_000);
    let honest = grown.clone();
    let tile = TileId::parse("tile/0/000").unwrap();
    grown.files.get_mut(&tile.to_string()).unwrap()[40] ^= 1;
    let mut run = again(&grown, &known);
    run.round();
    assert_eq!(run.alarms(), [AlarmKind::Inconsistent]);
    assert_eq!(state(&run), known);
    let mut run = again(&honest, &known);
    run.round();
    assert_entries(&run, &honest, 20);
}

#[test]
fn head_that_is_not_signed_by_the_log_is_refused() {
    for kind in KINDS {
        let mut log = Log::of(kind, 20);
        let known = state_of(&log);
        let honest = log.head.clone();
        for place in 0..honest.len() {
            log.head = honest.clone();
            log.head[place] ^= 1;
            let mut run = again(&log, &known);
            run.step();
            let failures = run.failures();
            // A changed name of a field or a space is no change of what is signed.
            let is_refused = matches!(failures.as_slice(), [FetchError::Reply(_)]);
            assert!(is_refused || state(&run).head.head == known.head.head);
            assert!(run.alarms().is_empty(), "{place}");
        }
        log.head = log.sign(1 << 41, Hash::of(b"x"));
        let mut run = again(&log, &known);
        run.round();
        let expected = FetchError::Reply(ReplyError::Size(1 << 41));
        assert_eq!(run.failures(), [expected]);
    }
}

#[test]
fn cut_replies_are_failures_and_are_asked_for_again() {
    for kind in KINDS {
        let mut log = Log::of(kind, 20);
        let known = state_of(&log);
        log.grow(2_000);
        let source = log.source(Start::Now);
        let address = source.address.clone();
        let mut number = 0;
        let mut run = Run::new(Follower::new(source, Some(known), 1), |fetch| {
            number += 1;
            let body = log.reply(&address, fetch)?;
            let cut = if number % 2 == 0 {
                0
            } else {
                body.bytes.len() / 2
            };
            let bytes = body.bytes[cut..].to_vec();
            Ok(Body { bytes, ..body })
        });
        for _ in 0..20 {
            run.round();
        }
        assert!(run.alarms().is_empty());
        assert!(!run.failures().is_empty());
        let waited_ms = run.now_ms;
        assert!(waited_ms > 100_000, "no back-off: {waited_ms}");
    }
}

#[test]
fn slow_log_is_left_alone_for_longer_and_longer_and_for_as_long_as_it_asks() {
    let log = Log::of(Kind::Tiled, 20);
    let source = log.source(Start::Beginning);
    let mut run = Run::new(Follower::new(source.clone(), None, 1), |_| {
        Err(FetchError::Other("time-out".to_owned()))
    });
    for _ in 0..12 {
        run.round();
    }
    assert_eq!(run.fetches.len(), 12);
    assert!(run.now_ms > 400_000 && run.now_ms < 12 * 300_000);
    assert_eq!(run.follower.failures(), 12);

    let retry_after_ms = Some(90_000);
    let mut run = Run::new(Follower::new(source, None, 1), |_| {
        Err(FetchError::Busy { retry_after_ms })
    });
    run.round();
    assert_eq!(run.now_ms, 90_000);
}

#[test]
fn crash_at_any_step_loses_no_entry_and_skips_none() {
    for kind in KINDS {
        let mut log = Log::of(kind, 150);
        let mut kept = Some(state_of(&log));
        log.grow(u64::from(TILE_WIDTH) * 9 + 3);
        let text_of = |state: &LogState| state.to_text(&log.source(Start::Now));
        let mut given = Vec::new();
        let mut crashes = 0;
        for steps in 1.. {
            let source = log.source(Start::Now);
            let address = source.address.clone();
            let follower = Follower::new(source, kept.clone(), steps);
            let mut run = Run::new(follower, |fetch| log.reply(&address, fetch));
            let is_done = (0..steps).any(|_| !run.step());
            given.extend(run.entries());
            let mut states = run.events.iter().filter_map(|event| match event {
                Event::State(state) => Some(state.clone()),
                _ => None,
            });
            // What a restart reads is what the disk has.
            if let Some(state) = states.next_back() {
                let read = LogState::parse(&log.source(Start::Now), &text_of(&state)).unwrap();
                assert_eq!(read, state);
                kept = Some(read);
            }
            if is_done {
                break;
            }
            crashes += 1;
        }
        assert!(crashes >= 3, "{crashes}");
        let expected = (150_u64..).zip(log.entries[150..].iter().cloned());
        assert!(given.into_iter().eq(expected), "{kind:?}");
    }
}

#[test]
fn state_of_another_log_or_damaged_is_refused() {
    let log = Log::of(Kind::Tiled, 150);
    let source = log.source(Start::Now);
    let text = state_of(&log).to_text(&source);
    assert!(LogState::parse(&source, &text).is_ok());
    for place in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[place] ^= 1;
        let damaged = String::from_utf8_lossy(&bytes);
        assert!(LogState::parse(&source, &damaged).is_err(), "{place}");
        assert!(LogState::parse(&source, &text[..place]).is_err(), "{place}");
    }
}

#[test]
fn state_that_says_more_was_read_than_was_signed_is_refused() {
    for kind in KINDS {
        let small = Log::of(kind, 5);
        let large = Log::of(kind, 9);
        let (few, many) = (state_of(&small), state_of(&large));
        let source = small.source(Start::Now);
        let mixed = |head: &LogState, read: &LogState| {
            let (head, frontier) = (head.head.clone(), read.frontier.clone());
            LogState::parse(&source, &LogState { head, frontier }.to_text(&source))
        };
        assert!(mixed(&many, &few).is_ok());
        let expected = StateError::Entries { size: 9 };
        assert_eq!(mixed(&few, &many), Err(expected));
        let mut other = Log::new(kind);
        (0..5).for_each(|index| other.add(anything(index, "x")));
        other.publish();
        let expected = StateError::Entries { size: 5 };
        assert_eq!(mixed(&few, &state_of(&other)), Err(expected));
    }
}

#[test]
fn log_is_not_followed_from_an_edge_that_does_not_give_its_root() {
    let mut tampered = Log::of(Kind::Tiled, 300);
    tampered.files.get_mut("tile/1/000.p/1").unwrap()[5] ^= 1;
    // The last entry is false, and so is the path from it.
    let mut lying = Log::of(Kind::Rfc6962, 300);
    let honest = lying.head.clone();
    let last = Log::of(Kind::Rfc6962, 301).entries.pop().unwrap();
    lying.entries[299] = last;
    lying.head = honest;
    for log in [tampered, lying] {
        let mut run = follow(&log, Start::Now);
        run.round();
        let expected = FetchError::Reply(ReplyError::Edge { size: 300 });
        assert_eq!(run.failures(), [expected]);
        assert!(run.follower.state().is_none());
    }
}
