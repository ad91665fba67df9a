//! The life of one batch: parse all, look all up, answer or punt.
//!
//! Two passes, so that the memory latencies of a batch overlap: the first parses every packet,
//! hashes its key and touches its line of the index; the second compares and writes. A miss goes
//! to control and is forgotten here. Start with [`Desk::answer`].

use cache::{Cache, Hasher, Key, Lookup, Slot};
use exchange::{EntryBuffer, Generations, Punt, PuntProducer, PushError, TableReader, Transport};
use port::{BATCH_PACKETS_MAX, HEADERS_BYTES_MAX, Port};
use wire::answer::{Age, write_answer, write_error};
use wire::query::Query;
use wire::{UDP_PAYLOAD_BYTES_MAX, rcode};

use crate::clock::Now;
use crate::limiter::Limiter;
use crate::tally::Tally;

/// Extended DNS Error "Not Ready" (RFC 8914 §4.15): control is away.
const EDE_NOT_READY: u16 = 14;

/// Where a parsed query of the batch is looked up.
#[derive(Debug)]
struct Pending {
    index: usize,
    query: Query,
    hash: u64,
    slot: Slot,
}

/// Everything a worker answers from.
#[derive(Debug)]
pub struct Desk {
    /// This worker's own answers.
    pub cache: Cache,
    /// Hash keys that all caches of the node share.
    pub hasher: Hasher,
    /// Answers that all workers share.
    pub table: TableReader,
    /// Which answers of a zone are still true.
    pub generations: Generations,
    /// The way to control.
    pub punts: PuntProducer,
    /// Misses a client may have.
    pub limiter: Limiter,
    pending: Vec<Pending>,
    scratch: Box<EntryBuffer>,
    /// How long after its TTL an answer may be served while control is silent, seconds.
    stale_secs_max: u32,
}

/// What the batch may count on.
#[derive(Clone, Copy, Debug)]
pub struct Situation {
    /// When the batch was received.
    pub now: Now,
    /// Control's heartbeat is fresh.
    pub control_alive: bool,
}

impl Desk {
    /// Allocates what a batch needs, once.
    pub fn new(
        cache: Cache,
        hasher: Hasher,
        table: TableReader,
        generations: Generations,
        punts: PuntProducer,
        limiter: Limiter,
        stale_secs_max: u32,
    ) -> Self {
        Self {
            stale_secs_max,
            cache,
            hasher,
            table,
            generations,
            punts,
            limiter,
            pending: Vec::with_capacity(BATCH_PACKETS_MAX),
            scratch: Box::new([0; cache::ENTRY_BYTES_MAX]),
        }
    }

    /// Answers the port's batch of `count` packets as far as memory allows and punts the rest.
    pub fn answer<P: Port>(
        &mut self,
        port: &mut P,
        count: usize,
        situation: Situation,
        tally: &mut Tally,
    ) {
        for index in 0..count {
            self.parse(port, index, tally);
        }
        let mut pending = std::mem::take(&mut self.pending);
        for item in &mut pending {
            self.cache.touch(&mut item.slot, item.hash);
        }
        for item in pending.drain(..) {
            self.look_up(port, &item, situation, tally);
        }
        self.pending = pending;
    }

    /// First pass: a packet becomes a pending query, an error response, or a counted drop.
    fn parse<P: Port>(&mut self, port: &mut P, index: usize, tally: &mut Tally) {
        tally.packets_received += 1;
        if port.open(index).is_err() {
            tally.drops_frame += 1;
            return;
        }
        tally.receive_bytes += port.packet_bytes(index) as u64;
        let message = port.message(index);
        match Query::parse(message) {
            Ok(query) => {
                tally.queries += 1;
                let hash = self.hasher.key(&query).hash;
                let slot = self.cache.locate(hash);
                self.pending.push(Pending {
                    index,
                    query,
                    hash,
                    slot,
                });
            }
            Err(error) => {
                let query_bytes = message.len();
                if let Some(code) = tally.refuse(error) {
                    port.reply(index, |room| {
                        write_error(room, query_bytes, None, code, None)
                    });
                }
            }
        }
    }

    /// Second pass: own cache, shared table, control.
    fn look_up<P: Port>(
        &mut self,
        port: &mut P,
        item: &Pending,
        situation: Situation,
        tally: &mut Tally,
    ) {
        let Pending { index, query, .. } = item;
        if query.signed {
            // A signature covers the exact bytes of its answer, so no cache can give one.
            self.punt(port, item, situation, tally);
            return;
        }
        let key = Key {
            hash: item.hash,
            qname: query.qname(),
            qtype: query.qtype,
            qclass: query.qclass,
            flags: query.key_flags(),
        };
        let now = situation.now.seconds();
        let limit = query.response_limit(UDP_PAYLOAD_BYTES_MAX);
        let own = self.cache.get(item.slot, &key, now, &self.generations);
        if let Lookup::Fresh(entry, age) = own {
            tally.answers_cache += 1;
            port.reply(*index, |room| {
                write_answer(room, query, &entry.answer(), Age::Fresh(age), limit)
            });
            return;
        }
        let stale_own = matches!(own, Lookup::Stale(_));
        let shared = self.table.get(
            &key,
            now,
            &self.generations,
            self.stale_secs_max,
            &mut self.scratch,
        );
        if let Lookup::Fresh(entry, age) = shared {
            tally.answers_table += 1;
            port.reply(*index, |room| {
                write_answer(room, query, &entry.answer(), Age::Fresh(age), limit)
            });
            tally.cache_insertions += 1;
            self.cache.insert(&entry);
            return;
        }
        if !situation.control_alive {
            let stale = match shared {
                Lookup::Stale(entry) => Some(entry),
                _ if stale_own => match self.cache.get(item.slot, &key, now, &self.generations) {
                    Lookup::Stale(entry) => Some(entry),
                    _ => None,
                },
                _ => None,
            };
            if let Some(entry) = stale {
                tally.answers_stale += 1;
                port.reply(*index, |room| {
                    write_answer(room, query, &entry.answer(), Age::Stale, limit)
                });
                return;
            }
        }
        self.punt(port, item, situation, tally);
    }

    /// Hands the query to control, or says SERVFAIL while there is none.
    fn punt<P: Port>(
        &mut self,
        port: &mut P,
        item: &Pending,
        situation: Situation,
        tally: &mut Tally,
    ) {
        let Pending { index, query, .. } = item;
        if !situation.control_alive {
            tally.errors_servfail += 1;
            let query_bytes = port.message(*index).len();
            port.reply(*index, |room| {
                write_error(
                    room,
                    query_bytes,
                    Some(query),
                    rcode::SERVFAIL,
                    Some(EDE_NOT_READY),
                )
            });
            return;
        }
        let source = port.source(*index);
        if !self
            .limiter
            .allow(source.client.ip(), situation.now.milliseconds())
        {
            tally.drops_punt_limited += 1;
            return;
        }
        let mut headers = [0; HEADERS_BYTES_MAX];
        let headers_bytes = port.reply_headers(*index, &mut headers);
        let punt = Punt {
            transport: Transport::Udp,
            client: source.client,
            local: source.local,
            received_us: situation.now.nanoseconds / 1000,
            headers: headers.get(..headers_bytes).unwrap_or(&[]),
            message: port.message(*index),
        };
        match self.punts.push(&punt) {
            Ok(()) => tally.punts += 1,
            Err(PushError::TooLong { .. }) => tally.drops_oversize += 1,
            Err(_) => tally.drops_punt_full += 1,
        }
    }
}
