//! The life of one batch: parse all, look all up, answer or punt.
//!
//! Each step runs over the whole batch before the next, so that memory latencies overlap: frames,
//! queries, keys and their index lines, entries, and only then comparing and writing. A miss goes
//! to control and is forgotten here. Start with [`Desk::answer`].

use cache::{Cache, Entry, Hasher, Key, Lookup, Slot};
use config::SharedClients;
use exchange::{EntryBuffer, Generations, Punt, PuntProducer, PushError, TableReader, Transport};
use port::{BATCH_PACKETS_MAX, HEADERS_BYTES_MAX, Port};
use wire::answer::Age;
use wire::query::{Query, QueryError};
use wire::rcode;

use crate::clock::Now;
use crate::gate::{Failure, Gate};
use crate::limiter::Limiter;
use crate::refresh::Refreshes;
use crate::samples::Samples;
use crate::tally::Tally;

/// Extended DNS Error "Not Ready" (RFC 8914 §4.15): control is away.
const EDE_NOT_READY: u16 = 14;

/// RFC 1996 §3.3.
const OPCODE_NOTIFY: u8 = 4;
/// RFC 2136 §1.3.
const OPCODE_UPDATE: u8 = 5;

/// Where a parsed query of the batch is looked up.
#[derive(Debug)]
struct Pending {
    index: usize,
    query: Query,
    hash: u64,
    slot: Slot,
}

/// What a worker answers a batch from, and the batch's place to be worked on.
#[derive(Debug)]
pub struct Desk {
    /// What is looked into.
    pub sources: Sources,
    /// One place a packet, overwritten with each batch: a query is 300 bytes and never moved.
    pending: Box<[Pending]>,
}

/// Everything a worker answers from.
#[derive(Debug)]
pub struct Sources {
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
    /// Answers that control was told will soon expire.
    pub refreshes: Refreshes,
    /// Answers that the query log tells of.
    pub samples: Samples,
    /// Misses a client may have.
    pub limiter: Limiter,
    /// Cookies, and responses that a client network may have.
    pub gate: Gate,
    /// How long after its TTL an answer may be served while control is silent, seconds.
    pub stale_secs_max: u32,
    /// Clients that may have resolved data: what control found for one of them must not leak to
    /// others from a cache.
    pub allow: SharedClients,
}

/// What the batch may count on.
#[derive(Clone, Copy, Debug)]
pub struct Situation {
    /// When the batch was received.
    pub now: Now,
    /// Unix time then, in seconds modulo 2^32.
    pub unix_secs: u32,
    /// Control's heartbeat is fresh.
    pub control_alive: bool,
}

impl Desk {
    /// Allocates what a batch needs, once.
    pub fn new(sources: Sources) -> Self {
        let pending = || Pending {
            index: 0,
            query: Query::empty(),
            hash: 0,
            slot: sources.cache.locate(0),
        };
        let pending = (0..BATCH_PACKETS_MAX).map(|_| pending()).collect();
        Self { sources, pending }
    }

    /// Answers the port's batch of `count` packets as far as memory allows and punts the rest.
    pub fn answer<P: Port>(
        &mut self,
        port: &mut P,
        count: usize,
        situation: Situation,
        tally: &mut Tally,
    ) {
        tally.packets_received += count as u64;
        let opened = self.open(port, count, situation, tally);
        let parsed = self.parse(port, opened, situation, tally);
        let Self { sources, pending } = self;
        let pending = pending.get_mut(..parsed).unwrap_or_default();
        for item in &mut *pending {
            item.hash = sources.hasher.key(&item.query).hash;
            item.slot = sources.cache.locate(item.hash);
        }
        for item in &mut *pending {
            sources.cache.touch(&mut item.slot, item.hash);
        }
        for item in pending {
            sources.look_up(port, item, situation, tally);
        }
    }

    /// Finds the DNS messages; what has none is dropped and counted, and what other nodes sent goes
    /// to control. Returns how many there are.
    fn open<P: Port>(
        &mut self,
        port: &mut P,
        count: usize,
        situation: Situation,
        tally: &mut Tally,
    ) -> usize {
        let mut opened = 0;
        for index in 0..count {
            let Some(place) = self.pending.get_mut(opened) else {
                break; // A port never returns more than a batch.
            };
            if port.open(index).is_err() {
                tally.drops_frame += 1;
            } else if let Some(ecn) = port.mesh(index) {
                self.sources.pass_mesh(port, (index, ecn), situation, tally);
            } else {
                place.index = index;
                opened += 1;
            }
        }
        opened
    }

    /// Parses the first `opened` messages and moves the well-formed queries to the front; others
    /// get an error response or silence. Returns how many queries there are.
    fn parse<P: Port>(
        &mut self,
        port: &mut P,
        opened: usize,
        situation: Situation,
        tally: &mut Tally,
    ) -> usize {
        let mut parsed = 0;
        for position in 0..opened {
            let index = self.pending.get(position).map_or(0, |item| item.index);
            let Some(place) = self.pending.get_mut(parsed) else {
                break;
            };
            tally.receive_bytes += port.packet_bytes(index) as u64;
            match place.query.parse_into(port.message(index)) {
                Ok(()) => {
                    place.index = index;
                    parsed += 1;
                }
                // Only control knows which zones are copied, and from whom (RFC 1996), and which may be
                // changed, and by whom (RFC 2136).
                Err(QueryError::Opcode(OPCODE_NOTIFY | OPCODE_UPDATE))
                    if situation.control_alive =>
                {
                    self.sources.pass_on(port, index, situation, tally);
                }
                Err(error) => {
                    let gate = &mut self.sources.gate;
                    gate.refuse(port, index, error, situation, tally);
                }
            }
        }
        tally.queries += parsed as u64;
        parsed
    }
}

impl Sources {
    /// The own cache first, then everything else.
    fn look_up<P: Port>(
        &mut self,
        port: &mut P,
        item: &mut Pending,
        situation: Situation,
        tally: &mut Tally,
    ) {
        let Pending { index, query, .. } = item;
        if query.has_cookie() && !self.gate.admit(port, *index, query, situation, tally) {
            return;
        }
        let (item, query) = (&*item, &item.query);
        let index = item.index;
        // A signature covers the exact bytes of its answer, so no cache can give one; what the extension
        // says control alone knows, and while that is silent it may be left out.
        if query.signed || (situation.control_alive && query.has_extension()) {
            self.punt(port, item, situation, tally);
            return;
        }
        let key = Key::with_hash(query, item.hash);
        let now = situation.now.seconds();
        match self.cache.get(item.slot, &key, now, &self.generations) {
            Lookup::Fresh(entry, age_secs) if may_have(&self.allow, &entry, port, index) => {
                if Refreshes::is_due(&entry, age_secs)
                    && situation.control_alive
                    && self.refreshes.claim(
                        item.hash,
                        entry.stored_at(),
                        situation.now.milliseconds(),
                    )
                {
                    // No room is no harm.
                    let copy = (Transport::Refresh, port.message(index));
                    let _ = send_copy(&mut self.punts, port, index, copy, situation);
                }
                let (samples, punts) = (&mut self.samples, &mut self.punts);
                let is_sample = samples.begin(punts, port, index, situation, tally);
                let aged = (&entry.answer(), Age::Fresh(age_secs));
                let gate = &mut self.gate;
                if gate.answer(port, index, query, aged, situation, tally) {
                    tally.answers_cache += 1;
                }
                if is_sample {
                    Samples::end(&mut self.punts, port, index, situation, tally);
                }
            }
            _ => self.look_beyond(port, item, &key, situation, tally),
        }
    }

    /// What the own cache does not know: the shared table, stale answers while control is silent,
    /// and control.
    #[inline(never)]
    fn look_beyond<P: Port>(
        &mut self,
        port: &mut P,
        item: &Pending,
        key: &Key<'_>,
        situation: Situation,
        tally: &mut Tally,
    ) {
        let Pending { index, query, .. } = item;
        let now = situation.now.seconds();
        let (stale_max, generations) = (self.stale_secs_max, &self.generations);
        let mut scratch: EntryBuffer = [0; cache::ENTRY_BYTES_MAX];
        let shared = self
            .table
            .get(key, now, generations, stale_max, &mut scratch);
        let allow = &self.allow;
        let stale = match shared {
            Lookup::Fresh(entry, age_secs) if may_have(allow, &entry, port, *index) => {
                let (samples, punts) = (&mut self.samples, &mut self.punts);
                let is_sample = samples.begin(punts, port, *index, situation, tally);
                let aged = (&entry.answer(), Age::Fresh(age_secs));
                let gate = &mut self.gate;
                if gate.answer(port, *index, query, aged, situation, tally) {
                    tally.answers_table += 1;
                }
                if is_sample {
                    Samples::end(&mut self.punts, port, *index, situation, tally);
                }
                self.cache.insert(&entry);
                return;
            }
            _ if situation.control_alive => Lookup::Miss,
            Lookup::Stale(entry) => Lookup::Stale(entry),
            _ => self.cache.get(item.slot, key, now, generations),
        };
        if let Lookup::Stale(entry) = stale
            && may_have(allow, &entry, port, *index)
        {
            let aged = (&entry.answer(), Age::Stale);
            let gate = &mut self.gate;
            if gate.answer(port, *index, query, aged, situation, tally) {
                tally.answers_stale += 1;
            }
            return;
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
            let failure = Failure {
                rcode: rcode::SERVFAIL,
                extended_error: Some(EDE_NOT_READY),
            };
            let gate = &mut self.gate;
            if gate.fail(port, *index, Some(query), failure, situation, tally) {
                tally.errors_servfail += 1;
            }
            return;
        }
        self.pass_on(port, *index, situation, tally);
    }

    /// Hands a datagram of another node to control, untouched. The guard has limited these.
    #[cold]
    fn pass_mesh<P: Port>(
        &mut self,
        port: &mut P,
        (index, ecn): (usize, u8),
        situation: Situation,
        tally: &mut Tally,
    ) {
        tally.receive_bytes += port.packet_bytes(index) as u64;
        if !situation.control_alive {
            tally.drops_mesh_unheard += 1;
            return;
        }
        let mut headers = [0; HEADERS_BYTES_MAX];
        let headers_bytes = port.reply_headers(index, &mut headers);
        let source = port.source(index);
        let punt = Punt {
            transport: Transport::Mesh,
            client: source.client,
            local: source.local,
            ecn,
            received_us: situation.now.nanoseconds / 1000,
            headers: headers.get(..headers_bytes).unwrap_or(&[]),
            message: port.message(index),
        };
        match self.punts.push(&punt) {
            Ok(()) => tally.mesh_received += 1,
            Err(PushError::TooLong { .. }) => tally.drops_oversize += 1,
            Err(_) => tally.drops_mesh_full += 1,
        }
    }

    /// Hands a message to control.
    fn pass_on<P: Port>(
        &mut self,
        port: &mut P,
        index: usize,
        situation: Situation,
        tally: &mut Tally,
    ) {
        let source = port.source(index);
        if !self
            .limiter
            .allow(source.client.ip(), situation.now.milliseconds())
        {
            tally.drops_punt_limited += 1;
            return;
        }
        let mut headers = [0; HEADERS_BYTES_MAX];
        let headers_bytes = port.reply_headers(index, &mut headers);
        let punt = Punt {
            transport: Transport::Udp,
            client: source.client,
            local: source.local,
            ecn: 0,
            received_us: situation.now.nanoseconds / 1000,
            headers: headers.get(..headers_bytes).unwrap_or(&[]),
            message: port.message(index),
        };
        match self.punts.push(&punt) {
            Ok(()) => tally.punts += 1,
            Err(PushError::TooLong { .. }) => tally.drops_oversize += 1,
            Err(_) => tally.drops_punt_full += 1,
        }
    }
}

/// Gives control a copy of a message that it is not to answer. False if there is no room for it.
#[cold]
pub(crate) fn send_copy<P: Port>(
    punts: &mut PuntProducer,
    port: &P,
    index: usize,
    (transport, message): (Transport, &[u8]),
    situation: Situation,
) -> bool {
    let source = port.source(index);
    let copy = Punt {
        transport,
        client: source.client,
        local: source.local,
        ecn: 0,
        received_us: situation.now.nanoseconds / 1000,
        headers: &[],
        message,
    };
    punts.push(&copy).is_ok()
}

/// Zones answer everybody; resolved data (zone 0) are for the clients of `resolver.allow` that are in
/// no view. Others are left to control, which refuses them.
#[inline]
fn may_have<P: Port>(allow: &SharedClients, entry: &Entry<'_>, port: &P, index: usize) -> bool {
    entry.zone() != 0 || allow.contain(port.source(index).client.ip())
}
