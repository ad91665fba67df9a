//! Messages in flight, and which replies belong to them.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;

use super::bounded::HashKeys;
use super::cookie::SentCookie;
use super::message::Transport;
use super::reply::View;
use super::response::{Echo, Header};
use super::send::chokes_on_edns;
use super::servers::Asked;

/// One query that left.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) view: View,
    /// Tasks that wait for it; those that need the same at the same time share it.
    pub(super) tasks: Vec<u64>,
    pub(super) server: SocketAddr,
    pub(super) transport: Transport,
    pub(super) id: u16,
    /// QNAME, QTYPE and QCLASS as they were sent.
    pub(super) question: Box<[u8]>,
    pub(super) sent_ms: u64,
    pub(super) deadline_ms: u64,
    /// When the delegation ends by which the server was found.
    pub(super) delegated_until_ms: u64,
    /// Whether the server had answered since it last failed.
    pub(super) is_proven: bool,
    /// Whether the query had an OPT record.
    pub(super) edns: bool,
    /// The COOKIE option of the query, if it had one.
    pub(super) cookie: Option<SentCookie>,
    /// Bits of the network that was shown on which the reply depends.
    pub(super) subnet_scope: u8,
    /// Replies so far that did not belong to it.
    pub(super) mismatches: u16,
}

/// Why a message is no reply to an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mismatch {
    /// It came from somebody else.
    Address,
    /// It is too short, a query, or of another opcode.
    NotAReply,
    /// Its id is another.
    Id,
    /// Its question is another.
    Question,
    /// It refuses, over UDP, and has no question.
    QuestionMissing,
    /// The same, as from a server that cannot read EDNS (RFC 6891 §7).
    QueryUnread,
    /// Its question differs in upper and lower case.
    Case,
    /// Its cookie is another, or none.
    Cookie,
    /// It has no cookie, and the server gives cookies.
    CookieMissing,
}

impl Exchange {
    pub(super) fn asked(&self) -> Asked<'_> {
        Asked {
            address: self.server,
            zone: &self.view.zone,
            rtype: self.view.qtype,
        }
    }

    /// Checks everything that a forger off the path would have to guess (RFC 5452 §9.1).
    pub(super) fn check(
        &self,
        from: SocketAddr,
        message: &[u8],
    ) -> Result<(Header, Echo), Mismatch> {
        if from.port() != self.server.port()
            || from.ip().to_canonical() != self.server.ip().to_canonical()
        {
            return Err(Mismatch::Address);
        }
        let header = Header::parse(message).map_err(|_| Mismatch::NotAReply)?;
        if !header.is_response || header.opcode != 0 {
            return Err(Mismatch::NotAReply);
        }
        if header.id != self.id {
            return Err(Mismatch::Id);
        }
        match Echo::compare(&header, message, &self.question) {
            // A server that could not read the query may leave the question out of its refusal. So
            // may a forger, who then has less to guess and could turn off EDNS, or the server.
            Echo::Absent if header.denies() => Err(Mismatch::Question),
            Echo::Absent if self.transport == Transport::Udp => {
                let is_unread = self.edns && chokes_on_edns(header.rcode());
                Err(if is_unread {
                    Mismatch::QueryUnread
                } else {
                    Mismatch::QuestionMissing
                })
            }
            Echo::Other => Err(Mismatch::Question),
            Echo::OtherCase if self.transport == Transport::Udp => Err(Mismatch::Case),
            echo => Ok((header, echo)),
        }
    }
}

/// All messages in flight.
pub(super) struct Exchanges {
    by_id: HashMap<u64, Exchange, HashKeys>,
    by_view: HashMap<View, u64, HashKeys>,
    deadlines: BTreeSet<(u64, u64)>,
    next_id: u64,
    /// Those to servers that are not proven.
    unproven: usize,
}

impl Exchanges {
    pub(super) fn new(keys: HashKeys) -> Self {
        let (by_id, by_view) = (HashMap::with_hasher(keys), HashMap::with_hasher(keys));
        Self {
            by_id,
            by_view,
            deadlines: BTreeSet::new(),
            next_id: 0,
            unproven: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Messages in flight to servers that are not proven.
    pub(super) fn unproven(&self) -> usize {
        self.unproven
    }

    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut Exchange> {
        self.by_id.get_mut(&id)
    }

    /// The exchange that asks the same of the same zone; the newest, if one was not good enough for
    /// all.
    pub(super) fn find(&mut self, view: &View) -> Option<(u64, &mut Exchange)> {
        let id = *self.by_view.get(view)?;
        Some((id, self.by_id.get_mut(&id)?))
    }

    pub(super) fn insert(&mut self, exchange: Exchange) -> u64 {
        self.next_id += 1;
        self.unproven += usize::from(!exchange.is_proven);
        self.deadlines.insert((exchange.deadline_ms, self.next_id));
        self.by_view.insert(exchange.view.clone(), self.next_id);
        self.by_id.insert(self.next_id, exchange);
        self.next_id
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<Exchange> {
        let exchange = self.by_id.remove(&id)?;
        self.unproven -= usize::from(!exchange.is_proven);
        self.deadlines.remove(&(exchange.deadline_ms, id));
        if self.by_view.get(&exchange.view) == Some(&id) {
            self.by_view.remove(&exchange.view);
        }
        Some(exchange)
    }

    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.deadlines.first().map(|(deadline_ms, _)| *deadline_ms)
    }

    /// The exchange that is longest past its deadline.
    pub(super) fn overdue(&self, now_ms: u64) -> Option<u64> {
        self.deadlines
            .first()
            .filter(|(deadline_ms, _)| *deadline_ms <= now_ms)
            .map(|(_, id)| *id)
    }
}
