//! A copy of the root zone here, which answers what would go to the root servers (RFC 8806).
//!
//! What it says is read, cached and validated as if a root server had said it. A copy that turns out
//! bogus is passed over for the question, and one past its time for all.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use wire::query::Query;

use super::exchange::Exchange;
use super::message::Transport;
use super::place::Place;
use super::query::{self, Options};
use super::reply::{Meaning, Reading, View};
use super::resolver::Resolver;
use super::response::{Header, Response};
use super::task::Task;
use super::trace::TraceKind;
use super::walk::Ending;
use crate::zone::{Kind, Zone};

/// Stands for the copy among the servers that a task avoids: no server has this address.
const HERE: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);
/// Longest answer, in bytes, as over TCP.
const ANSWER_BYTES_MAX: usize = 65_535;
const SOA: u16 = 6;

/// Why a zone is no copy of the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocalRootError {
    /// Its apex is another name.
    #[error("is no root zone; expected one whose apex is `.`")]
    Apex,
    /// Its SOA lets it live no longer.
    #[error("is {age_secs} s old; its SOA lets it live for {expire_secs} s")]
    Expired {
        /// Age given, in seconds.
        age_secs: u64,
        /// EXPIRE of the SOA, in seconds.
        expire_secs: u32,
    },
}

/// The copy, and until when it may be used (RFC 1035 §3.3.13).
#[derive(Debug)]
pub(super) struct LocalRoot {
    zone: Arc<Zone>,
    until_ms: u64,
}

impl Resolver {
    /// Answers from this copy of the root zone, whose data are `age_secs` old, instead of asking the
    /// root servers; `None` asks them again. Gives the seconds for which it will be used.
    ///
    /// # Errors
    /// [`LocalRootError`] if it is of no use; what was in use before stays.
    pub fn set_local_root(
        &mut self,
        now_ms: u64,
        copy: Option<(Arc<Zone>, u64)>,
    ) -> Result<u64, LocalRootError> {
        let Some((zone, age_secs)) = copy else {
            self.local_root = None;
            return Ok(0);
        };
        if zone.apex() != [0] {
            return Err(LocalRootError::Apex);
        }
        let expire_secs = expire_secs(&zone);
        let left_secs = u64::from(expire_secs).saturating_sub(age_secs);
        if left_secs == 0 {
            return Err(LocalRootError::Expired {
                age_secs,
                expire_secs,
            });
        }
        let until_ms = now_ms.saturating_add(left_secs * 1_000);
        self.local_root = Some(LocalRoot { zone, until_ms });
        Ok(left_secs)
    }

    /// The data of the copy in use are the newest now: it may be used as long as new ones. One that is
    /// past its time comes back.
    pub fn renew_local_root(&mut self, now_ms: u64) {
        if let Some(copy) = &mut self.local_root {
            let left_secs = u64::from(expire_secs(&copy.zone));
            copy.until_ms = now_ms.saturating_add(left_secs * 1_000);
        }
    }

    /// Whether the copy takes the place of the root servers for a task.
    pub(super) fn is_root_here(&self, now_ms: u64, task: &Task) -> bool {
        let copy = self.local_root.as_ref();
        copy.is_some_and(|copy| now_ms < copy.until_ms) && !task.avoided.contains(&HERE)
    }

    /// The root, without servers to ask.
    pub(super) fn locate_here() -> Place {
        let mut place = Place::new(super::name::WireName::root());
        place.here = true;
        place
    }

    /// Goes on with what the copy says; gives the task's ending, if that ends it.
    pub(super) fn ask_here(&mut self, now_ms: u64, task: &mut Task) -> Option<Ending> {
        let place = task.place.as_ref().expect("located before it is asked");
        let view = self.view(task, place);
        let Some((response, reading)) = self.read_here(&view) else {
            return self.leave_here(task);
        };
        let (meaning, rcode) = (reading.meaning.label(), response.rcode);
        let kind = || TraceKind::LocalRoot {
            qname: view.qname.to_name(),
            qtype: view.qtype,
            rcode,
            meaning,
        };
        task.note(now_ms, self.config.limits.trace_events_max, kind);
        if matches!(reading.meaning, Meaning::Lame(_) | Meaning::Failure(_)) {
            return self.leave_here(task);
        }
        self.counters.local_root_answers += 1;
        let exchange = self.exchange_here(now_ms, view);
        self.record(now_ms, &exchange, &reading);
        if !matches!(reading.meaning, Meaning::Referral { .. }) {
            task.source = Some(HERE);
        }
        self.follow(now_ms, task, &exchange, &reading)
    }

    /// What the copy says, read as a reply is.
    fn read_here(&mut self, view: &View) -> Option<(Response, Reading)> {
        let copy = self.local_root.as_ref()?;
        let options = Options {
            recursion_desired: false,
            checking_disabled: false,
            edns_payload_bytes: Some(self.config.edns_payload_bytes),
            randomise_case: false,
            cookie: None,
            subnet: None,
        };
        let asked = query::write(&view.qname, view.qtype, options, &mut self.random);
        let query = Query::parse(&asked.message).ok()?;
        let mut message = asked.message;
        message.resize(ANSWER_BYTES_MAX, 0);
        let outcome = copy.zone.answer(&query, &mut message, ANSWER_BYTES_MAX);
        if matches!(outcome.kind, Kind::Truncated | Kind::Refused) {
            return None;
        }
        message.truncate(outcome.total_bytes);
        let header = Header::parse(&message).ok()?;
        let signatures_are_data = view.qtype == hickory_proto::rr::RecordType::RRSIG;
        let records_max = self.config.limits.rrset_records_max;
        let response = Response::parse(&header, &message, signatures_are_data, records_max).ok()?;
        let aliases_max = usize::from(self.config.limits.aliases_max).max(1);
        let reading = Reading::new(&response, view, aliases_max);
        Some((response, reading))
    }

    /// The copy is of no use to this task: it asks the root servers.
    fn leave_here(&self, task: &mut Task) -> Option<Ending> {
        task.avoided.push(HERE);
        task.place = None;
        None
    }

    /// The exchange that was saved.
    fn exchange_here(&self, now_ms: u64, view: View) -> Exchange {
        Exchange {
            view,
            tasks: Vec::new(),
            server: HERE,
            transport: Transport::Tcp,
            id: 0,
            question: Box::default(),
            sent_ms: now_ms,
            deadline_ms: now_ms,
            delegated_until_ms: u64::MAX,
            is_proven: true,
            edns: true,
            cookie: None,
            subnet_scope: 0,
            mismatches: 0,
        }
    }
}

/// EXPIRE: the last field but one of the SOA.
fn expire_secs(zone: &Zone) -> u32 {
    let soa = zone.rdata(zone.apex(), SOA).next().unwrap_or(&[]);
    let tail = soa.last_chunk::<8>();
    tail.map_or(0, |tail| {
        u32::from_be_bytes([tail[0], tail[1], tail[2], tail[3]])
    })
}
