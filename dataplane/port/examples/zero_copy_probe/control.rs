//! Stands in for control: answers every query that the workers hand over with one A record.

use std::path::Path;
use std::time::{Duration, Instant};

use exchange::handover::{Attached, Role, connect};
use exchange::{ControlSide, Reply, ReplyMeta};

use crate::Result;
use crate::packet::{AA, QR, RA, TTL_SECS, answer};

const CONNECT_WAIT_MAX: Duration = Duration::from_secs(10);

pub(crate) struct Control {
    attached: Attached,
    side: ControlSide,
    since: Instant,
    /// Queries answered so far.
    pub(crate) served: u64,
}

impl Control {
    pub(crate) fn attach(socket: &Path) -> Result<Self> {
        let attached = connect(socket, Role::Control, CONNECT_WAIT_MAX)?;
        let side = attached.region.control(now_ms())?;
        Ok(Self {
            attached,
            side,
            since: Instant::now(),
            served: 0,
        })
    }

    /// The mode that the dataplane says it runs in.
    pub(crate) fn mode(&self) -> &'static str {
        let status = self.attached.region.dataplane_status();
        status.map_or("unknown", |status| status.mode.name())
    }

    /// No answer of ours is older.
    pub(crate) fn attached_for(&self) -> Duration {
        self.since.elapsed()
    }

    /// One sign of life, and answers to what has been handed over.
    pub(crate) fn serve(&mut self) -> Result<()> {
        let now_ms = now_ms();
        self.side.heartbeat.beat(now_ms);
        let workers = self.side.punts.iter_mut().zip(&mut self.side.replies);
        for ((punts, replies), events) in workers.zip(&self.attached.events) {
            while let Some(punt) = punts.pop() {
                let punt = punt?;
                let message = answer(punt.message, QR | AA | RA, TTL_SECS);
                let meta = ReplyMeta {
                    stored_at: u32::try_from(now_ms / 1000)?,
                    ttl: TTL_SECS,
                    key_flags: key_flags(punt.message),
                    ..ReplyMeta::default()
                };
                replies.push(&Reply::Answer {
                    headers: punt.headers,
                    message: &message,
                    meta,
                })?;
                self.served += 1;
            }
            if replies.publish() {
                events.reply.kick();
            }
        }
        Ok(())
    }
}

/// Bit 0 RD, bit 1 CD, bit 2 DO, as the cache's keys have them. No query here sets CD or DO.
fn key_flags(query: &[u8]) -> u8 {
    query.get(2).map_or(0, |flags| flags & 1)
}

fn now_ms() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec.unsigned_abs() * 1000 + now.tv_nsec.unsigned_abs() / 1_000_000
}
