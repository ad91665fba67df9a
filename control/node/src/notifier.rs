//! Tells secondaries that a zone has changed (RFC 1996), again and again until they have heard it or
//! are given up.
//!
//! One task a zone and secondary, while there is something to tell. Changes that come meanwhile make
//! one notice of the latest.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use resolver::zone::{DisplayName, TsigKey, TsigSession, Zone};
use tokio::net::UdpSocket;
use tokio::runtime::Handle;
use tokio::time::timeout;
use wire::flag;

use crate::clock;
use crate::counters::Counters;
use crate::zones::ServedZone;

/// Secondaries that are being told, counted for each zone; a zone that changes when there are more tells
/// those left over nothing, and they ask by themselves when the zone's SOA record says.
const NOTICES_MAX: usize = 4_096;
/// Times that a notice is sent (RFC 1996 §3.6 leaves it to us), and how long the first answer may take: each
/// next one twice as long, a minute in all.
const ATTEMPTS_MAX: u32 = 6;
const ANSWER_WAIT: Duration = Duration::from_secs(1);
/// Between two notices to one secondary about one zone.
const NOTICE_GAP: Duration = Duration::from_millis(500);
/// Longest answer that is looked at, in bytes.
const ANSWER_BYTES_MAX: usize = 1_232;

const TYPE_SOA: u16 = 6;
const CLASS_IN: u16 = 1;
/// Opcode NOTIFY with AA.
const FLAGS: u16 = 4 << 11 | flag::AA;

/// A zone and one of its secondaries.
type Place = (Box<[u8]>, SocketAddr);

/// What is to be told.
#[derive(Clone, Debug)]
struct Notice {
    /// Everything behind the id.
    rest: Arc<[u8]>,
    serial: u32,
    key: Option<Arc<TsigKey>>,
}

/// What is being told to whom. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Notifier {
    runtime: Handle,
    counters: Arc<Counters>,
    /// Addresses that we serve on: secondaries know us by them.
    own: Arc<[IpAddr]>,
    latest: Arc<Mutex<BTreeMap<Place, Notice>>>,
}

impl Notifier {
    pub(crate) fn new(runtime: Handle, counters: Arc<Counters>, own: &[SocketAddr]) -> Self {
        Self {
            runtime,
            counters,
            own: own.iter().map(SocketAddr::ip).collect(),
            latest: Arc::default(),
        }
    }

    /// Has all secondaries of a zone told that it has changed.
    pub(crate) fn tell(&self, served: &ServedZone) {
        let access = &served.access;
        if access.notify.is_empty() {
            return;
        }
        let notice = Notice {
            rest: rest_of(&served.zone).into(),
            serial: served.zone.serial(),
            key: access.notify_key.clone(),
        };
        let mut latest = self.latest();
        for secondary in &access.notify {
            let place: Place = (served.zone.apex().into(), *secondary);
            if latest.len() >= NOTICES_MAX && !latest.contains_key(&place) {
                self.counters.notices_failed.increment();
                continue;
            }
            let is_told = latest.insert(place.clone(), notice.clone()).is_some();
            if !is_told {
                self.runtime.spawn(self.clone().tell_latest(place));
            }
        }
    }

    /// Tells the latest until there is nothing newer.
    async fn tell_latest(self, place: Place) {
        loop {
            let notice = self.latest().get(&place).cloned();
            let Some(notice) = notice else { return };
            let (zone, secondary) = (DisplayName(&place.0).to_string(), place.1);
            let serial = notice.serial;
            match self.tell_one(&place, &notice).await {
                Ok(true) => {
                    tracing::debug!(%zone, %secondary, serial, "secondary notified");
                    self.counters.notices_confirmed.increment();
                }
                Ok(false) => {} // There is something newer to tell.
                Err(reason) => {
                    tracing::warn!(%zone, %secondary, serial, %reason, "secondary not notified");
                    self.counters.notices_failed.increment();
                }
            }
            tokio::time::sleep(NOTICE_GAP).await;
            let mut latest = self.latest();
            if !is_newer_there(&latest, &place, &notice) {
                latest.remove(&place);
                return;
            }
        }
    }

    /// Sends one notice until it is confirmed, or out of date (false).
    async fn tell_one(&self, place: &Place, notice: &Notice) -> Result<bool, String> {
        let mut wait = ANSWER_WAIT;
        let mut reason = String::new();
        for _ in 0..ATTEMPTS_MAX {
            match timeout(wait, exchange(self.source(place.1), place.1, notice)).await {
                Ok(Ok(0)) => return Ok(true),
                // It has heard us.
                Ok(Ok(code)) => return Err(format!("it answers with response code {code}")),
                Ok(Err(error)) => {
                    reason = error.to_string();
                    tokio::time::sleep(wait).await;
                }
                Err(_) => "no answer".clone_into(&mut reason),
            }
            if is_newer_there(&self.latest(), place, notice) {
                return Ok(false);
            }
            wait *= 2;
        }
        Err(reason)
    }

    /// An address of ours that a secondary may know; any, if we serve on all.
    fn source(&self, secondary: SocketAddr) -> IpAddr {
        let reaches = |own: &&IpAddr| {
            own.is_ipv4() == secondary.is_ipv4()
                && own.is_loopback() == secondary.ip().is_loopback()
        };
        let any: IpAddr = match secondary {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        self.own.iter().find(reaches).copied().unwrap_or(any)
    }

    fn latest(&self) -> MutexGuard<'_, BTreeMap<Place, Notice>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_newer_there(latest: &BTreeMap<Place, Notice>, place: &Place, told: &Notice) -> bool {
    let now = latest.get(place);
    now.is_some_and(|now| now.serial != told.serial)
}

/// Sends a notice and waits for its answer; the response code.
async fn exchange(own: IpAddr, secondary: SocketAddr, notice: &Notice) -> std::io::Result<u8> {
    let socket = UdpSocket::bind((own, 0)).await?;
    socket.connect(secondary).await?;
    let id = random_id()?;
    let mut message = [&id[..], &notice.rest].concat();
    let sign = |key| TsigSession::sign(key, &mut message, clock::unix_secs());
    let mut session = notice.key.as_deref().map(sign);
    socket.send(&message).await?;
    let mut buffer = [0; ANSWER_BYTES_MAX];
    loop {
        let bytes = socket.recv(&mut buffer).await?;
        let answer = buffer.get(..bytes).unwrap_or_default();
        if !is_answer(answer, id) {
            continue;
        }
        if let Some(session) = &mut session {
            let checked = session.check(answer, clock::unix_secs());
            checked.map_err(std::io::Error::other)?;
        }
        return Ok(answer.get(3).map_or(0, |byte| byte & 0xf));
    }
}

fn is_answer(message: &[u8], id: [u8; 2]) -> bool {
    let head = message.first_chunk::<4>();
    head.is_some_and(|&[id_high, id_low, flags, _]| {
        [id_high, id_low] == id && flags & 0xf8 == 0x80 | 4 << 3
    })
}

/// The message without its id: the zone, and its SOA record as a hint (RFC 1996 §3.7).
fn rest_of(zone: &Zone) -> Vec<u8> {
    let soa = zone.rdata(zone.apex(), TYPE_SOA).next().unwrap_or_default();
    let mut out = Vec::new();
    for word in [FLAGS, 1, 1, 0, 0] {
        out.extend_from_slice(&word.to_be_bytes());
    }
    for _ in 0..2 {
        out.extend_from_slice(zone.apex());
        out.extend_from_slice(&TYPE_SOA.to_be_bytes());
        out.extend_from_slice(&CLASS_IN.to_be_bytes());
    }
    out.extend_from_slice(&[0; 4]); // A hint need not be kept.
    out.extend_from_slice(&u16::try_from(soa.len()).unwrap_or(0).to_be_bytes());
    out.extend_from_slice(soa);
    out
}

fn random_id() -> std::io::Result<[u8; 2]> {
    let mut id = [0; 2];
    rustix::rand::getrandom(&mut id[..], rustix::rand::GetRandomFlags::empty())?;
    Ok(id)
}

#[cfg(test)]
#[path = "notifier_tests.rs"]
mod tests;
