//! Control's side of the shared memory: punts in, replies and table entries out.

use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use cache::{ENTRY_BYTES_MAX, EntryMeta, Hasher, Key};
use config::DnstapMessage;
use exchange::handover::{Attached, Connection, SharedSocket};
use exchange::{
    ClaimError, ControlSide, Doorbell, GenerationsWriter, Heartbeat, PuntConsumer, Region,
    ReplyMeta, TableWriter, WorkerEvents,
};
use guard::Permission;
use tokio::sync::oneshot;
use wire::UDP_PAYLOAD_BYTES_MAX;
use wire::name::is_at_or_below;
use wire::query::Query;

use crate::counters::Counters;
use crate::dnstap::{Tap, Tapped};
use crate::engine::EngineHandle;
use crate::finish::Finisher;
use crate::flushing::{Flushes, Target};
use crate::front::{BATCH_MAX, FrontOrigin};
use crate::gate::cut;
use crate::generations::{Published, bump_all};
use crate::kept::encode;
use crate::mesh_link::{MeshLink, Telling};
use crate::outbound::{Outbound, Outgoing, Template};
use crate::question::{Finished, Origin};
use crate::responder::{Keep, RESOLVED, Responder, Verdict, Via};
use crate::zones::ZoneTable;

/// Room for the largest query of a punt and for the answer.
const BUFFER_BYTES: usize = exchange::MESSAGE_BYTES_MAX;
const _: () = assert!(BUFFER_BYTES >= UDP_PAYLOAD_BYTES_MAX as usize);
/// Punts that waited longer are from before we came: their clients have asked again.
const PUNT_AGE_US_MAX: u64 = 5_000_000;

/// A worker that has been silent for so long is sent no datagrams for other nodes, in milliseconds.
const WORKER_SILENT_MS: u64 = 300;

/// Between two looks at the connection, each a system call, in milliseconds. Heartbeats go with it.
const TEND_MS: u64 = 10;

/// The worker and its template.
#[derive(Debug)]
pub(crate) struct PuntOrigin {
    /// Number of the attachment: an answer for memory that is gone goes nowhere.
    attachment: u64,
    worker: usize,
    template: Template,
}

/// The dataplane that we are attached to, if any.
#[derive(Debug)]
pub(crate) struct Punts {
    attachment: Option<Attachment>,
    attachments: u64,
    mesh: MeshLink,
    engine: EngineHandle,
    counters: Arc<Counters>,
    published: Published,
    /// When the connection is looked at again, and the present second, by the round's clock.
    tend_at_ms: u64,
    now_secs: u32,
    buffer: Box<[u8; BUFFER_BYTES]>,
    entry: Box<[u8; ENTRY_BYTES_MAX]>,
    finisher: Finisher,
    flushes: Flushes,
}

#[derive(Debug)]
struct Attachment {
    number: u64,
    epoch: u64,
    region: Region,
    /// By worker.
    punts: Vec<PuntConsumer>,
    /// Bells of the punt rings, by worker.
    bells: Vec<Doorbell>,
    /// By worker.
    outbound: Vec<Outbound>,
    table: TableWriter,
    generations: GenerationsWriter,
    mesh: Telling,
    heartbeat: Heartbeat,
    connection: Connection,
    hasher: Hasher,
}

impl Punts {
    /// Not attached. `published` remembers over a restart which zones the dataplane was told of.
    pub(crate) fn new(
        engine: EngineHandle,
        counters: Arc<Counters>,
        published: Published,
        mesh: MeshLink,
    ) -> Self {
        Self {
            attachment: None,
            attachments: 0,
            mesh,
            engine,
            counters,
            published,
            tend_at_ms: 0,
            now_secs: 0,
            buffer: Box::new([0; BUFFER_BYTES]),
            entry: Box::new([0; ENTRY_BYTES_MAX]),
            finisher: Finisher::default(),
            flushes: Flushes::default(),
        }
    }

    /// Takes over the memory. Returns the sockets that came with it.
    ///
    /// # Errors
    /// If this process holds it already.
    pub(crate) fn attach(
        &mut self,
        attached: Attached,
        zones: &ZoneTable,
        now_ms: u64,
    ) -> Result<Vec<SharedSocket>, ClaimError> {
        self.attachment = None;
        let Attached {
            region,
            events,
            sockets,
            connection,
        } = attached;
        let ControlSide {
            punts,
            replies,
            table,
            mut generations,
            mesh,
            heartbeat,
        } = region.control(now_ms)?;
        let status = region.dataplane_status().unwrap_or_default();
        self.published.on_attached(&status, zones, &mut generations);
        self.attachments += 1;
        let (k0, k1) = region.hash_keys();
        tracing::info!(
            pid = status.pid,
            mode = status.mode.name(),
            reason = status.reason,
            workers = region.workers(),
            sockets = sockets.len(),
            "attached to the dataplane"
        );
        let (bells, reply_bells): (Vec<_>, Vec<_>) = events
            .into_iter()
            .map(|WorkerEvents { punt, reply }| (punt, reply))
            .unzip();
        let outbound = replies.into_iter().zip(reply_bells);
        self.attachment = Some(Attachment {
            number: self.attachments,
            epoch: region.control_status().epoch,
            region,
            punts,
            bells,
            outbound: outbound
                .map(|(replies, bell)| Outbound::new(replies, bell))
                .collect(),
            table,
            generations,
            mesh: Telling::begin(&self.mesh, mesh),
            heartbeat,
            connection,
            hasher: Hasher::new(k0, k1),
        });
        self.flushes.restart();
        self.counters.attachments.increment();
        self.counters.attached.set(1);
        Ok(sockets)
    }

    /// The memory, if attached.
    pub(crate) fn region(&self) -> Option<&Region> {
        self.attachment
            .as_ref()
            .map(|attachment| &attachment.region)
    }

    /// Sign of life. `Some` if the dataplane was lost just now: with its memory, if another
    /// control has taken our place there.
    pub(crate) fn tend(&mut self, now_ms: u64) -> Option<Option<Region>> {
        self.now_secs = u32::try_from(now_ms / 1_000).unwrap_or(u32::MAX);
        let attachment = self.attachment.as_mut()?;
        if now_ms < self.tend_at_ms {
            return None;
        }
        self.tend_at_ms = now_ms + TEND_MS;
        if attachment.connection.is_open() {
            attachment.heartbeat.beat(now_ms);
            attachment.mesh.go_on();
            for worker in 0..attachment.region.workers() {
                let heard_ms = attachment.region.worker_heartbeat_ms(worker);
                if now_ms.saturating_sub(heard_ms.unwrap_or(0)) > WORKER_SILENT_MS {
                    self.mesh.rings().forget_worker(worker as usize);
                }
            }
            return None;
        }
        let superseded = attachment.region.control_status().epoch != attachment.epoch;
        if superseded {
            tracing::error!("another nexus-control has taken over the dataplane");
        } else {
            tracing::warn!("the dataplane is gone");
        }
        let region = self.attachment.take().map(|attachment| attachment.region);
        self.counters.attached.set(0);
        self.mesh.rings().forget_routes();
        Some(region.filter(|_| superseded))
    }

    /// Answers a batch of punts from every worker.
    pub(crate) fn serve(&mut self, responder: &mut Responder, now_ms: u64) -> usize {
        let workers = self
            .attachment
            .as_ref()
            .map_or(0, |attachment| attachment.punts.len());
        let mut count = 0;
        for worker in 0..workers {
            if !self.has_room(worker) {
                continue;
            }
            let mut taken = 0;
            while taken < BATCH_MAX && self.serve_one(worker, responder, now_ms) {
                taken += 1;
            }
            count += taken;
        }
        if count > 0 {
            self.publish();
        }
        count
    }

    /// Passes on a batch of datagrams for other nodes.
    pub(crate) fn send_mesh(&mut self) -> usize {
        let mut count = 0;
        while count < BATCH_MAX
            && let Some(outgoing) = self.mesh.rings().next_outgoing()
        {
            count += 1;
            let mut workers = self.attachment.iter_mut();
            let outbound =
                workers.find_map(|attachment| attachment.outbound.get_mut(outgoing.worker));
            let sent = outbound.is_some_and(|outbound| {
                let (template, message) = (&outgoing.template, &*outgoing.payload);
                outbound.send(Outgoing::Mesh { template, message }).is_ok()
            });
            if !sent {
                self.counters.mesh_drops_ring.increment();
            }
        }
        count
    }

    /// Whether the worker takes replies: if not, its punts stay where they are.
    fn has_room(&mut self, worker: usize) -> bool {
        let attachment = self.attachment.as_mut();
        attachment.is_some_and(|attachment| attachment.outbound[worker].has_room())
    }

    /// Takes one punt of `worker`. False if there was none.
    fn serve_one(&mut self, worker: usize, responder: &mut Responder, now_ms: u64) -> bool {
        let Some(attachment) = &mut self.attachment else {
            return false;
        };
        let punt = match attachment.punts[worker].pop() {
            None => return false,
            Some(Ok(punt)) => punt,
            Some(Err(error)) => {
                tracing::debug!(worker, %error, "a punt that does not parse");
                self.counters.drops_slot.increment();
                return true;
            }
        };
        if punt.transport == exchange::Transport::Mesh {
            self.mesh.rings().receive(worker, &punt, now_ms);
            return true;
        }
        if punt.transport != exchange::Transport::Udp {
            take_copy(&punt, responder.tap(), &self.engine, &self.counters);
            return true;
        }
        self.counters.queries_punt.increment();
        if is_late(&punt, now_ms) {
            self.counters.drops_late.increment();
            return true;
        }
        let (client, bytes) = (punt.client.ip(), punt.message.len());
        self.buffer[..bytes].copy_from_slice(punt.message);
        let template = Template::new(punt.headers);
        let tapped = responder
            .tap()
            .client_query(punt.client, Via::Udp, punt.message);
        match responder.respond(&mut self.buffer[..], bytes, client, Via::Udp) {
            Verdict::Silent => {}
            Verdict::Answer { bytes, keep } => {
                let origin = (worker, &template);
                self.answer(origin, client, (bytes, keep), tapped.as_ref(), responder);
            }
            Verdict::Resolve(resolve) => {
                let number = attachment.number;
                let origin = PuntOrigin {
                    attachment: number,
                    worker,
                    template,
                };
                let origin = Origin::Front(FrontOrigin::Punt(origin));
                let asked = resolve.into_asked(&self.buffer[..bytes], origin, tapped);
                if let Err(overloaded) = self.engine.ask(asked) {
                    let query = &overloaded.0.query;
                    let bytes = responder.overloaded(&mut self.buffer[..], bytes, query);
                    let bytes = overloaded.0.sign(&mut self.buffer[..], bytes, Via::Udp);
                    let permission = responder.permit(&self.buffer[..bytes], &overloaded.0);
                    if permission != Permission::Drop {
                        self.log(responder, tapped.as_ref(), bytes);
                        self.reply(worker, &template, bytes, None);
                    }
                }
            }
            Verdict::Update(submission) => {
                let number = attachment.number;
                let origin = PuntOrigin {
                    attachment: number,
                    worker,
                    template,
                };
                responder.submit(*submission, FrontOrigin::Punt(origin));
            }
            Verdict::Transfer(_) => unreachable!("zones are transferred over TCP only"),
        }
        true
    }

    /// Sends the answer at the front of the buffer as far as this client may have it, and keeps it for all.
    fn answer(
        &mut self,
        (worker, template): (usize, &Template),
        client: IpAddr,
        (bytes, keep): (usize, Option<Keep>),
        tapped: Option<&Tapped>,
        responder: &mut Responder,
    ) {
        let permission = responder.permit_answer(&self.buffer[..bytes], client);
        if permission == Permission::Send {
            self.log(responder, tapped, bytes);
        }
        // What this client does not get is still of use to others.
        let reply =
            permission != Permission::Send || self.reply(worker, template, bytes, keep.as_ref());
        if let (true, Some(keep), Some(query)) =
            (reply, keep.filter(|keep| keep.table), responder.query())
        {
            self.insert(Source::Buffer(bytes), &keep, query);
        }
        if let (Permission::Slip, Some(query)) = (permission, responder.query()) {
            let bytes = self.reply_cut(worker, template, query);
            self.log(responder, tapped, bytes);
        }
    }

    /// Sends an answer of the engine, and keeps it for all workers.
    pub(crate) fn deliver(
        &mut self,
        origin: &PuntOrigin,
        finished: &Finished,
        responder: &mut Responder,
    ) {
        let attachment = self.attachment.as_ref().map(|attachment| attachment.number);
        if attachment != Some(origin.attachment) {
            self.counters.drops_late.increment();
            return;
        }
        let written = self
            .finisher
            .write(finished, &mut self.buffer[..], Via::Udp);
        let (asked, resolved) = (&finished.asked, &finished.resolved);
        let keep = finished.is_for_all().then(|| Keep {
            zone: RESOLVED,
            generation: asked.generation,
            ttl_secs: resolved.ttl_secs,
            key_flags: asked.query.key_flags(),
            table: true,
        });
        // A worker keeps what it is sent: not what was cut to fit this client, or is signed for it.
        let whole = keep.filter(|_| written.whole && asked.signer.is_none());
        let bytes = asked.sign(&mut self.buffer[..], written.bytes, Via::Udp);
        let (worker, template) = (origin.worker, &origin.template);
        let sent = match responder.permit(&self.buffer[..bytes], asked) {
            Permission::Send => {
                self.reply(worker, template, bytes, whole.as_ref());
                bytes
            }
            Permission::Slip => self.reply_cut(worker, template, &asked.query),
            Permission::Drop => 0,
        };
        self.log(responder, asked.tapped.as_ref(), sent);
        self.counters.answers_resolver.increment();
        if let Some(keep) = keep {
            self.insert(Source::Message(&resolved.message), &keep, &asked.query);
        }
    }

    /// Sends the answer to an update.
    pub(crate) fn deliver_ready(&mut self, origin: &PuntOrigin, message: &[u8]) {
        let attachment = self.attachment.as_ref().map(|attachment| attachment.number);
        let room = self.buffer.get_mut(..message.len());
        match room.filter(|_| attachment == Some(origin.attachment)) {
            Some(room) => {
                room.copy_from_slice(message);
                self.reply(origin.worker, &origin.template, message.len(), None);
            }
            None => self.counters.drops_late.increment(),
        }
    }

    /// Gives what is sent to the query log.
    fn log(&self, responder: &Responder, tapped: Option<&Tapped>, bytes: usize) {
        if bytes > 0 {
            let response = &self.buffer[..bytes];
            responder.tap().client_response(tapped, response);
        }
    }

    /// Sends TC in place of the response at the front of the buffer; its bytes.
    fn reply_cut(&mut self, worker: usize, template: &Template, query: &Query) -> usize {
        let bytes = cut(&mut self.buffer[..], query);
        self.reply(worker, template, bytes, None);
        bytes
    }

    /// Puts the message at the front of the buffer into a worker's reply ring. False if there is
    /// no room.
    fn reply(
        &mut self,
        worker: usize,
        template: &Template,
        bytes: usize,
        keep: Option<&Keep>,
    ) -> bool {
        let Some(attachment) = &mut self.attachment else {
            return false;
        };
        let message = &self.buffer[..bytes];
        let meta = keep.map(|keep| keep.reply_meta(self.now_secs));
        let sent = attachment.outbound[worker].send(Outgoing::Answer {
            template,
            message,
            meta,
        });
        if sent.is_err() {
            self.counters.drops_reply_ring.increment();
        }
        sent.is_ok()
    }

    /// Puts an answer into the shared table.
    fn insert(&mut self, source: Source<'_>, keep: &Keep, query: &wire::query::Query) {
        let Some(attachment) = &mut self.attachment else {
            return;
        };
        let message = match source {
            Source::Buffer(bytes) => &self.buffer[..bytes],
            Source::Message(message) => message,
        };
        let key: Key<'_> = attachment.hasher.key(query);
        let meta = keep.entry_meta(self.now_secs);
        if let Some(entry) = encode(message, &key, &meta, &mut self.entry)
            && attachment.table.insert(&entry, self.now_secs).is_ok()
        {
            self.counters.table_insertions.increment();
        }
    }

    /// Shows the workers what they were sent.
    pub(crate) fn publish(&mut self) {
        let Some(attachment) = &mut self.attachment else {
            return;
        };
        attachment.outbound.iter_mut().for_each(Outbound::publish);
    }

    /// Tells the workers of zones that changed: one store each, and every older answer is dead.
    pub(crate) fn on_zones_changed(&mut self, zones: &ZoneTable) {
        if let Some(attachment) = &mut self.attachment {
            self.published
                .on_changed(zones, &mut attachment.generations);
        }
    }

    /// Tells the workers if another policy is in service: every answer of the one before is dead.
    pub(crate) fn on_policy(&mut self, digest: u64) {
        let attachment = self.attachment.as_mut();
        let generations = attachment.map(|attachment| &mut attachment.generations);
        self.published.on_policy(digest, generations);
    }

    /// Forgets a name (with all below it if true), or everything, in the table and in every worker.
    /// When that is done, tells how many answers left the table, with those that left elsewhere.
    pub(crate) fn flush(&mut self, target: Target, elsewhere: u64, done: oneshot::Sender<u64>) {
        let Err(flush) = self.flushes.add(target, elsewhere, done) else {
            return;
        };
        if let Some(attachment) = &mut self.attachment
            && bump_all(&mut attachment.generations).is_ok()
        {
            tracing::warn!("too many flushes at once: all answers are dead");
        }
        flush.end();
    }

    /// A piece of what is to be forgotten. Returns how much there was to do.
    pub(crate) fn go_on_flushing(&mut self) -> usize {
        if self.flushes.is_empty() {
            return 0;
        }
        let Some(attachment) = &mut self.attachment else {
            self.flushes.end_all();
            return 1;
        };
        // The workers when the table is through: else they would find there what they forgot.
        if let Some(flush) = self.flushes.go_on(&mut attachment.table) {
            let (qname, subtree) = flush.target();
            let mut outbound = attachment.outbound.iter_mut();
            let lost =
                outbound.any(|outbound| outbound.send(Outgoing::Flush { qname, subtree }).is_err());
            // One load a hit tells a worker that takes no messages. It costs all answers, of every
            // worker.
            if lost && bump_all(&mut attachment.generations).is_ok() {
                tracing::warn!(
                    "a flush finds no room on its way to a worker: all answers are dead"
                );
            }
            flush.end();
        }
        1
    }

    /// Announces sleep to every worker whose punts we would take. False: there is work.
    pub(crate) fn prepare_sleep(&mut self) -> bool {
        let Some(attachment) = &mut self.attachment else {
            return self.mesh.rings().is_idle();
        };
        let mut workers = attachment.punts.iter_mut().zip(&attachment.outbound);
        self.mesh.rings().is_idle()
            && workers.all(|(punts, outbound)| outbound.is_held_up() || punts.prepare_sleep())
    }

    /// Whether a worker has no room for replies. It does not ring when it has room again.
    pub(crate) fn is_held_up(&self) -> bool {
        let mut attachment = self.attachment.iter();
        attachment.any(|attachment| attachment.outbound.iter().any(Outbound::is_held_up))
    }

    /// After waking.
    pub(crate) fn wake(&mut self) {
        let Some(attachment) = &mut self.attachment else {
            return;
        };
        for (punts, bell) in attachment.punts.iter_mut().zip(&attachment.bells) {
            punts.wake();
            bell.drain();
        }
    }

    /// What to wait for.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.attachment.iter().flat_map(|attachment| {
            let bells = attachment.bells.iter().map(Doorbell::as_fd);
            bells.chain(std::iter::once(attachment.connection.as_fd()))
        })
    }

    /// Lets go in order: what was pushed is shown.
    pub(crate) fn leave(&mut self) {
        self.publish();
        self.attachment = None;
        self.counters.attached.set(0);
    }
}

/// Where a message to keep lies.
enum Source<'a> {
    /// At the front of the buffer.
    Buffer(usize),
    Message(&'a [u8]),
}

impl Keep {
    fn reply_meta(&self, now_secs: u32) -> ReplyMeta {
        ReplyMeta {
            zone: self.zone,
            generation: self.generation,
            stored_at: now_secs,
            ttl: self.ttl_secs,
            key_flags: self.key_flags,
        }
    }

    fn entry_meta(&self, now_secs: u32) -> EntryMeta {
        EntryMeta {
            stored_at: now_secs,
            ttl: self.ttl_secs,
            zone: self.zone,
            generation: self.generation,
        }
    }
}

/// Whether `name` is `parent`, or below it if `subtree`. Both in wire form, lower case.
pub(crate) fn is_under(name: &[u8], parent: &[u8], subtree: bool) -> bool {
    if subtree {
        is_at_or_below(name, parent)
    } else {
        name == parent
    }
}

fn is_late(punt: &exchange::Punt<'_>, now_ms: u64) -> bool {
    let now_us = now_ms.saturating_mul(1_000);
    now_us.saturating_sub(punt.received_us) > PUNT_AGE_US_MAX
}

/// A worker tells of a query that it answers itself.
fn take_copy(punt: &exchange::Punt<'_>, tap: &Tap, engine: &EngineHandle, counters: &Counters) {
    let kind = match punt.transport {
        exchange::Transport::Udp | exchange::Transport::Mesh => return,
        exchange::Transport::Refresh => {
            counters.refreshes.increment();
            let mut query = Query::empty();
            if query.parse_into(punt.message).is_ok() {
                engine.refresh(Box::new(query));
            }
            return;
        }
        exchange::Transport::AnsweredQuery => DnstapMessage::ClientQuery,
        exchange::Transport::Response => DnstapMessage::ClientResponse,
    };
    counters.samples.increment();
    tap.answered_by_worker(kind, punt);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_name_and_with_subtree_what_is_below_it_match() {
        let (name, parent) = (b"\x03www\x07example\0", b"\x07example\0");
        assert!(is_under(name, name, false));
        assert!(!is_under(name, parent, false));
        assert!(is_under(name, parent, true));
    }
}
