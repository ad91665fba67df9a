//! The state machine of RFC 5011 without signatures, and texts of its state from nowhere.

use super::*;
use crate::iterate::rollover_text::{read_state, write_state};

/// A key of Ed25519 with this number in the place of its data.
fn key(number: u8) -> Key {
    Key::parse(&[&[1, 1, 3, 15], &[number; 32][..]].concat()).unwrap()
}

fn seen(present: &[u8], revoked: &[u8]) -> Seen {
    Seen {
        present: present.iter().copied().map(key).collect(),
        revoked: revoked.iter().copied().map(key).collect(),
        original_ttl_secs: 86_400,
        left_secs: 86_400,
    }
}

fn point(numbers: &[u8]) -> Point {
    let ds = |number: &u8| Ds::of(&WireName::root(), &key(*number));
    Point::new(numbers.iter().map(ds).collect())
}

fn states(point: &Point) -> Vec<AnchorState> {
    point.keys.iter().map(|tracked| tracked.state).collect()
}

#[test]
fn intervals_are_those_of_rfc_5011() {
    let at = |ttl, left| {
        let seen = Seen {
            original_ttl_secs: ttl,
            left_secs: left,
            ..seen(&[], &[])
        };
        let retry = interval_secs(&seen, 10, DAY_SECS);
        (Point::refresh_after_secs(&seen), retry)
    };
    assert_eq!(at(172_800, 1_000_000), (86_400, 17_280));
    assert_eq!(
        at(172_800, 20_000),
        (10_000, 3_600),
        "the signature ends first"
    );
    assert_eq!(at(60, 60), (3_600, 3_600));
    assert_eq!(at(u32::MAX, u32::MAX), (15 * 86_400, 86_400));
}

#[test]
fn hold_down_is_as_long_as_the_ttl_if_that_is_longer() {
    let mut point = point(&[1]);
    let mut long = seen(&[1, 2], &[]);
    long.original_ttl_secs = 40 * 86_400;
    point.see(&WireName::root(), &long, 1_000);
    for (days, expected) in [(31, AnchorState::AddPend), (40, AnchorState::Valid)] {
        point.see(&WireName::root(), &long, 1_000 + days * DAY_SECS);
        assert_eq!(states(&point), [AnchorState::Valid, expected], "{days}");
    }
}

#[test]
fn digests_of_one_key_become_one_key() {
    let mut point = point(&[1, 1, 2]);
    let changes = point.see(&WireName::root(), &seen(&[1], &[]), 5);
    assert_eq!(states(&point), [AnchorState::Valid, AnchorState::Missing]);
    assert_eq!(changes.len(), 1, "{changes:?}");
}

#[test]
fn last_trusted_key_cannot_be_revoked() {
    let mut point = point(&[1, 2]);
    let both = seen(&[3], &[1, 2]);
    point.see(&WireName::root(), &both, 5);
    assert!(point.keys.iter().take(2).all(Tracked::is_trusted));
    point.see(&WireName::root(), &seen(&[1], &[2]), 6);
    assert_eq!(states(&point), [AnchorState::Valid, AnchorState::Revoked]);
}

#[test]
fn a_zone_that_adds_key_after_key_costs_no_more_than_the_bound() {
    let mut point = point(&[1]);
    let many: Vec<u8> = (1..=200).collect();
    point.see(&WireName::root(), &seen(&many, &[]), 5);
    assert_eq!(point.keys.len(), KEYS_MAX);
}

#[test]
fn keys_without_sep_flag_or_of_unknown_algorithms_are_not_followed() {
    let mut point = point(&[1]);
    let mut seen = seen(&[1], &[]);
    for head in [[1, 0, 3, 15], [0, 1, 3, 15], [1, 1, 2, 15], [1, 1, 3, 99]] {
        let rdata = [&head[..], &[7; 32]].concat();
        seen.present.push(Key::parse(&rdata).unwrap());
    }
    point.see(&WireName::root(), &seen, 5);
    assert_eq!(point.keys.len(), 1);
}

#[test]
fn texts_from_nowhere_are_refused_or_read_and_what_was_read_is_written_again() {
    let mut roll_over = RollOver::default();
    let mut root = point(&[1, 2]);
    root.see(&WireName::root(), &seen(&[1, 3], &[]), 1_000);
    roll_over.points.insert(WireName::root(), root);
    let good = write_state(&roll_over, 0, 1_000);
    let again = read_state(&good, 0, 1_000).unwrap();
    assert_eq!(write_state(&again, 0, 1_000), good);
    bolero::check!()
        .with_type::<(usize, u8, Vec<u8>)>()
        .with_iterations(2_000)
        .for_each(|(at, byte, tail)| {
            let mut bytes = good.clone().into_bytes();
            let at = at % bytes.len();
            bytes[at] = *byte;
            bytes.extend(tail);
            let text = String::from_utf8_lossy(&bytes);
            if let Ok(read) = read_state(&text, 0, 1_000) {
                let written = write_state(&read, 0, 1_000);
                assert!(read_state(&written, 0, 1_000).is_ok(), "{written}");
            }
        });
}
