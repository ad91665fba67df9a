//! Empties the ring buffer: pieces become chains there and then, and only these travel on.

use std::cell::RefCell;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bpf_redirect::cert_validator::{Events, Fingerprint, Record, RecordError, Records, Status};
use crossbeam_channel::Sender;

use crate::chain::{Chain, Chains, Witness, witness_of};
use crate::process::{Message, monotonic_ns};
use crate::stream::{Outcome, Streams};
use crate::tally::Tally;

/// One round when nothing comes: how soon a stop is noticed.
const ROUND: Duration = Duration::from_millis(100);
/// One round while something is half there.
const ROUND_WAITING: Duration = Duration::from_millis(5);

/// What the rest of the process hears of.
#[derive(Debug)]
pub(crate) enum Sight {
    /// A chain.
    Chain(Box<Chain>),
    /// A leaf whose verdict was in the map.
    Known {
        fingerprint: Fingerprint,
        status: Status,
        reason: u8,
        witness: Witness,
    },
    /// A connection was read off the wire to no avail: it has no certificate, or one too long.
    /// `seen_ns` is a moment at which it was, in nanoseconds of CLOCK_MONOTONIC.
    Nothing { cookie: u64, seen_ns: u64 },
}

/// What is half there.
#[derive(Debug, Default)]
struct Assembly {
    chains: Chains,
    streams: Streams,
    is_gated: bool,
}

impl Assembly {
    fn take(&mut self, bytes: &[u8]) -> Result<Option<Sight>, RecordError> {
        Ok(match Record::parse(bytes)? {
            Record::Certificate(piece) => match piece.known {
                Some((status, reason)) => Some(Sight::Known {
                    fingerprint: piece.fingerprint,
                    status,
                    reason,
                    witness: witness_of(&piece),
                }),
                None => self.chains.take(&piece).map(Box::new).map(Sight::Chain),
            },
            Record::Segment(piece) => match self.streams.take(&piece, self.is_gated) {
                Outcome::Unfinished => None,
                Outcome::Shown(chain) => Some(Sight::Chain(chain)),
                Outcome::None => Some(Sight::Nothing {
                    cookie: piece.cookie,
                    seen_ns: piece.seen_ns,
                }),
            },
        })
    }

    fn expire(&mut self, now_ns: u64) -> Vec<Sight> {
        let chains = self.chains.expire(now_ns).into_iter();
        let chains = chains.map(|chain| Sight::Chain(Box::new(chain)));
        let over = self.streams.expire(now_ns).into_iter();
        let nothing = over.map(|(cookie, seen_ns)| Sight::Nothing { cookie, seen_ns });
        chains.chain(nothing).collect()
    }
}

/// Reads until `stop`. Whom `sights` has no room for goes without a verdict, and is counted.
pub(crate) fn run(
    events: &Events,
    is_gated: bool,
    sights: &Sender<Message>,
    tally: &Tally,
    stop: &AtomicBool,
) -> io::Result<()> {
    let assembly = RefCell::new(Assembly {
        is_gated,
        ..Assembly::default()
    });
    let send = |sight| {
        if sights.try_send(Message::Sight(sight)).is_err() {
            tally.add(|tally| &tally.dropped);
        }
    };
    let records = Records::open(events, |bytes| match assembly.borrow_mut().take(bytes) {
        Ok(sight) => sight.into_iter().for_each(send),
        Err(error) => {
            tracing::debug!(%error, "unreadable record");
            tally.add(|tally| &tally.unreadable);
        }
    })?;
    let mut dropped = 0;
    while !stop.load(Ordering::Relaxed) {
        let is_waiting = assembly.borrow().chains.is_waiting();
        records.poll(if is_waiting { ROUND_WAITING } else { ROUND })?;
        let mut assembly = assembly.borrow_mut();
        assembly.expire(monotonic_ns()).into_iter().for_each(send);
        let now_dropped = assembly.chains.dropped() + assembly.streams.dropped();
        tally
            .dropped
            .fetch_add(now_dropped - dropped, Ordering::Relaxed);
        dropped = now_dropped;
    }
    Ok(())
}
