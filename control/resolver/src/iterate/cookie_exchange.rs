//! Cookies of exchanges: which queries carry one, and what their replies' do.

use std::net::SocketAddr;

use super::cookie::{BADCOOKIE, ReceivedCookie, ReplyOpt, SentCookie};
use super::exchange::{Exchange, Mismatch};
use super::message::{Effect, Transport};
use super::place::{Again, Candidate};
use super::resolver::Resolver;
use super::response::Header;
use super::servers::Standing;

impl Exchange {
    /// Holds the cookie of a reply to that of the query (RFC 7873 §5.3). Over TCP nobody off the path
    /// can forge it.
    pub(super) fn check_cookie(&self, message: &[u8]) -> Result<Option<ReplyOpt>, Mismatch> {
        let Some(sent) = &self.cookie else {
            return Ok(None);
        };
        let opt = ReplyOpt::find(message);
        match opt.cookie {
            _ if self.transport == Transport::Tcp => Ok(Some(opt)),
            ReceivedCookie::Present(client, _) if client == sent.client => Ok(Some(opt)),
            ReceivedCookie::Present(..) | ReceivedCookie::Malformed => Err(Mismatch::Cookie),
            ReceivedCookie::Absent if sent.server.is_some() => Err(Mismatch::CookieMissing),
            ReceivedCookie::Absent => Ok(Some(opt)),
        }
    }
}

impl Resolver {
    /// The cookie for a query to a server, if it is to have one.
    pub(super) fn cookie_for(
        &self,
        now_ms: u64,
        candidate: &Candidate,
        standing: Standing,
    ) -> Option<SentCookie> {
        if !self.config.upstream_cookies || standing.without_cookies {
            return None;
        }
        let client = self.client_cookies.of(candidate.address.ip());
        let server = self.servers.cookie(now_ms, candidate.address, client);
        // A server that gives cookies is not one that loses queries with them.
        let leaves_out = candidate.without_cookie && server.is_none();
        (!leaves_out).then_some(SentCookie { client, server })
    }

    /// Takes what a reply says of cookies. True if its exchange has ended with that, since the server
    /// wants another cookie.
    pub(super) fn take_cookie(
        &mut self,
        now_ms: u64,
        id: u64,
        (header, opt): (&Header, ReplyOpt),
        effects: &mut Vec<Effect>,
    ) -> bool {
        let Some(exchange) = self.exchanges.get_mut(id) else {
            return false;
        };
        let (server, transport, sent_ms) = (exchange.server, exchange.transport, exchange.sent_ms);
        let Some(sent) = exchange.cookie else {
            return false;
        };
        match opt.cookie {
            ReceivedCookie::Present(client, Some(cookie)) if client == sent.client => {
                self.servers.note_cookie(now_ms, server, (client, cookie));
            }
            // It came over TCP: the server does not give cookies any more.
            ReceivedCookie::Absent if sent.server.is_some() => self.servers.forget_cookie(server),
            _ => {}
        }
        let rcode = u16::from(opt.rcode_high) << 4 | u16::from(header.rcode()) & 0x0f;
        if rcode != BADCOOKIE || transport == Transport::Tcp {
            return false;
        }
        self.counters.replies += 1;
        self.counters.bad_cookies += 1;
        let rtt_ms = u32::try_from(now_ms.saturating_sub(sent_ms)).unwrap_or(u32::MAX);
        self.servers.on_reply(exchange.asked(), Some(rtt_ms));
        self.ask_again(now_ms, id, Again::BadCookie, effects);
        true
    }

    /// A query with a cookie was not understood: the next goes without, but with EDNS. What the server
    /// gave before is of no use then.
    pub(super) fn on_cookie_not_understood(
        &mut self,
        now_ms: u64,
        id: u64,
        server: SocketAddr,
        effects: &mut Vec<Effect>,
    ) {
        self.counters.cookie_fallbacks += 1;
        self.servers.forget_cookie(server);
        self.ask_again(now_ms, id, Again::WithoutCookie, effects);
    }
}
