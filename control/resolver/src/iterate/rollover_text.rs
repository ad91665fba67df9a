//! The state of trust anchors as text that people can read, for a file that outlives the process.
//!
//! A line `zone NAME TIME TIME` (when its keys were last seen, when they are due again), then lines
//! `configured` with a DS each, then one for each key: state, since when, until when, and the key or
//! the DS that names it.

use super::dnssec::{Ds, Key};
use super::name::WireName;
use super::rollover::{AnchorState, Named, Point, RollOver, Tracked};
use crate::zone::{rdata_to_text, read_zone_file};
use hickory_proto::rr::Name;

const DS: u16 = 43;
const DNSKEY: u16 = 48;
/// Longest time to the next refresh that is believed, in seconds: clocks are set.
const REFRESH_SECS_MAX: u64 = 15 * 86_400;
/// Lines that are read: more than anybody has anchors.
const LINES_MAX: usize = 65_536;

const HEAD: &str = "\
; Trust anchors as this resolver has followed them (RFC 5011). nexus-control writes this file.
; Times are Unix seconds. To start anew from the configured anchors, delete it while that is stopped.
";

/// Why a text is no state of trust anchors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: expected {expected}")]
pub struct AnchorFileError {
    /// Line of the text, from 1.
    pub line: usize,
    /// What should stand there.
    pub expected: &'static str,
}

pub(super) fn write_state(roll_over: &RollOver, now_ms: u64, now_secs: u64) -> String {
    use std::fmt::Write as _;
    let mut out = HEAD.to_owned();
    for (zone, point) in &roll_over.points {
        let refreshed_secs = point.refreshed_secs.unwrap_or(0);
        let refresh_secs = now_secs + point.wait_secs(now_ms);
        // Strings take everything.
        let _ = writeln!(out, "zone {zone} {refreshed_secs} {refresh_secs}");
        for ds in &point.configured {
            let _ = writeln!(out, "configured {}", rdata_to_text(DS, &ds.to_rdata()));
        }
        for tracked in &point.keys {
            let (rtype, data) = match &tracked.named {
                Named::Ds(ds) => ("DS", rdata_to_text(DS, &ds.to_rdata())),
                Named::Key(key) => ("DNSKEY", rdata_to_text(DNSKEY, key.rdata())),
            };
            let (state, since) = (tracked.state.word(), tracked.since_secs);
            let until = tracked.until_secs;
            let _ = writeln!(out, "{state} {since} {until} {rtype} {data}");
        }
    }
    out
}

/// Reads what [`write_state`] has written.
pub(super) fn read_state(
    text: &str,
    now_ms: u64,
    now_secs: u64,
) -> Result<RollOver, AnchorFileError> {
    let mut roll_over = RollOver::default();
    let mut zone: Option<WireName> = None;
    for (index, line) in text.lines().enumerate() {
        let error = |expected| AnchorFileError {
            line: index + 1,
            expected,
        };
        if index >= LINES_MAX {
            return Err(error("fewer lines"));
        }
        let mut words = line.split_ascii_whitespace();
        let first = match words.next() {
            None => continue,
            Some(word) if word.starts_with(';') => continue,
            Some(word) => word,
        };
        if first == "zone" {
            let (name, point) = read_zone(&mut words, now_ms, now_secs)
                .ok_or_else(|| error("zone, name, and two times in Unix seconds"))?;
            if roll_over.points.insert(name.clone(), point).is_some() {
                return Err(error("each zone once"));
            }
            zone = Some(name);
            continue;
        }
        let point = zone
            .as_ref()
            .and_then(|zone| roll_over.points.get_mut(zone));
        let point = point.ok_or_else(|| error("a line `zone …` first"))?;
        if first == "configured" {
            let ds = read_rdata("DS", DS, words).and_then(|rdata| Ds::parse(&rdata));
            point
                .configured
                .push(ds.ok_or_else(|| error("the data of a DS record"))?);
        } else {
            let tracked = read_key(first, &mut words)
                .ok_or_else(|| error("a state, two times in Unix seconds, and a DS or DNSKEY"))?;
            point.keys.push(tracked);
        }
    }
    for point in roll_over.points.values() {
        if !point.keys.iter().any(Tracked::is_trusted) {
            return Err(AnchorFileError {
                line: text.lines().count(),
                expected: "a key that is valid or missing for each zone",
            });
        }
    }
    Ok(roll_over)
}

fn read_zone<'a>(
    words: &mut impl Iterator<Item = &'a str>,
    now_ms: u64,
    now_secs: u64,
) -> Option<(WireName, Point)> {
    let name = Name::from_ascii(words.next()?).ok()?;
    let refreshed_secs: u64 = words.next()?.parse().ok()?;
    let refresh_secs: u64 = words.next()?.parse().ok()?;
    let wait_secs = refresh_secs.saturating_sub(now_secs).min(REFRESH_SECS_MAX);
    let mut point = Point::new(Vec::new());
    point.refreshed_secs = Some(refreshed_secs).filter(|secs| *secs != 0);
    point.due_ms = now_ms + wait_secs * 1000;
    Some((WireName::from_name(&name), point))
}

fn read_key<'a>(state: &str, words: &mut impl Iterator<Item = &'a str>) -> Option<Tracked> {
    let state = AnchorState::ALL
        .into_iter()
        .find(|known| known.word() == state)?;
    let since_secs = words.next()?.parse().ok()?;
    let until_secs = words.next()?.parse().ok()?;
    let named = match words.next()? {
        "DS" => Named::Ds(Ds::parse(&read_rdata("DS", DS, words)?)?),
        "DNSKEY" => Named::Key(Key::parse(&read_rdata("DNSKEY", DNSKEY, words)?)?),
        _ => return None,
    };
    Some(Tracked {
        named,
        state,
        since_secs,
        until_secs,
    })
}

/// Record data as zone files have them.
fn read_rdata<'a>(
    mnemonic: &str,
    rtype: u16,
    words: impl Iterator<Item = &'a str>,
) -> Option<Vec<u8>> {
    let data: Vec<&str> = words.collect();
    let line = format!(". 0 IN {mnemonic} {}\n", data.join(" "));
    let mut no_include = |_: &str, _: &str| Err(String::new());
    let records = read_zone_file(line.as_bytes(), "", &[0], &mut no_include).ok()?;
    let mut records = records.iter();
    let record = records.next().filter(|record| record.rtype == rtype)?;
    match records.next() {
        None => Some(record.data.to_vec()),
        Some(_) => None,
    }
}

impl Point {
    /// Takes over what was kept of this zone, as far as it still counts. False if the configured
    /// anchors are others than then.
    pub(super) fn restore(&mut self, zone: &WireName, saved: Self) -> bool {
        if saved.configured == self.configured {
            *self = saved;
            return true;
        }
        // Other anchors are configured: these hold. But a key that has revoked itself is never
        // trusted again (RFC 5011 §2.1), unless that left the zone without any.
        let is_out = |tracked: &Tracked| {
            matches!(tracked.state, AnchorState::Revoked | AnchorState::Removed)
        };
        let out: Vec<Tracked> = saved.keys.into_iter().filter(is_out).collect();
        let names_one = |tracked: &Tracked| match &tracked.named {
            Named::Ds(ds) => out.iter().any(|out| match &out.named {
                Named::Key(key) => ds.names(zone, key),
                Named::Ds(other) => ds == other,
            }),
            Named::Key(_) => false,
        };
        if !self.keys.iter().all(names_one) {
            self.keys.retain(|tracked| !names_one(tracked));
            self.keys.extend(out);
        }
        false
    }
}
