//! Queries that left, and what the servers of a scenario say to them.

use std::net::{IpAddr, SocketAddr};

use hickory_proto::op::Message;
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use resolver::iterate::Transport;

use crate::entry::{Entry, Match};
use crate::packet::answer_from;
use crate::scenario::Scenario;

/// Code of the COOKIE option (RFC 7873 §4).
pub(crate) const COOKIE: u16 = 10;
/// Bytes of the client's part of a cookie, which comes first (RFC 7873 §4.1).
pub(crate) const CLIENT_COOKIE_BYTES: usize = 8;

/// A query as it left.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) at_ms: u64,
    pub(crate) to: SocketAddr,
    pub(crate) transport: Transport,
    pub(crate) message: Message,
    pub(crate) raw: Vec<u8>,
}

impl Sent {
    /// The data of its COOKIE option.
    pub(crate) fn cookie(&self) -> Option<Vec<u8>> {
        let options = self.message.edns.as_ref()?.options();
        match options.get(EdnsCode::from(COOKIE))? {
            EdnsOption::Unknown(_, data) => Some(data.clone()),
            _ => None,
        }
    }
}

impl std::fmt::Display for Sent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let transport = match self.transport {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
        };
        write!(f, "{:>8} ms  {transport} {}", self.at_ms, self.to.ip())?;
        for query in &self.message.queries {
            write!(f, "  {} {}", query.name(), query.query_type())?;
        }
        let header = &self.message.metadata;
        let edns = self.message.edns.as_ref();
        let flags = [
            (header.recursion_desired, "RD"),
            (header.checking_disabled, "CD"),
            (edns.is_some_and(|edns| edns.flags().dnssec_ok), "DO"),
            (edns.is_none(), "noedns"),
        ];
        for (_, flag) in flags.iter().filter(|(is_set, _)| *is_set) {
            write!(f, " {flag}")?;
        }
        Ok(())
    }
}

/// One message on its way back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) from: SocketAddr,
    pub(crate) after_ms: u64,
    pub(crate) bytes: Vec<u8>,
}

impl Entry {
    /// Whether a query is what the entry wants.
    pub(crate) fn fits(&self, sent: &Sent) -> bool {
        let (packet, message) = (self.packet(), &sent.message);
        let asked = message.queries.first();
        let own = packet.questions.first();
        let (Some(asked), Some(own)) = (asked, own.or(asked)) else {
            return false;
        };
        let edns = message.edns.as_ref();
        self.matches.iter().all(|wanted| match wanted {
            Match::Opcode => u8::from(message.metadata.op_code) == packet.opcode,
            Match::Qtype => asked.query_type() == own.query_type(),
            Match::Qname => asked.name() == own.name(),
            Match::Subdomain => own.name().zone_of(asked.name()),
            Match::Question => asked == own,
            Match::Case => asked.name().eq_case(own.name()),
            Match::Flags => {
                let bit = |bit: u16| packet.flags & bit != 0;
                message.metadata.recursion_desired == bit(wire::flag::RD)
                    && message.metadata.checking_disabled == bit(wire::flag::CD)
            }
            Match::DnssecOk => edns.is_some_and(|edns| edns.flags().dnssec_ok),
            Match::NoEdns => edns.is_none(),
            Match::Udp => sent.transport == Transport::Udp,
            Match::Tcp => sent.transport == Transport::Tcp,
            Match::CookieBytes(bytes) => sent.cookie().map_or(0, |data| data.len()) == *bytes,
            Match::ServerCookie => {
                let own = packet.options.iter().find(|(code, _)| *code == COOKIE);
                let asked = sent.cookie();
                let server_part =
                    |data: &'_ [u8]| data.get(CLIENT_COOKIE_BYTES..).map(<[u8]>::to_vec);
                own.is_some_and(|(_, own)| {
                    asked.is_some_and(|asked| server_part(&asked) == server_part(own))
                })
            }
            _ => false,
        })
    }

    /// What the entry answers to a query.
    pub(crate) fn replies(&self, sent: &Sent) -> Vec<Reply> {
        let sending = self
            .packets
            .iter()
            .filter(|packet| !packet.adjust.do_not_answer);
        sending
            .map(|packet| Reply {
                from: match packet.adjust.from {
                    Some(address) => SocketAddr::new(address, sent.to.port()),
                    None => sent.to,
                },
                after_ms: packet.adjust.sleep_secs * 1000,
                bytes: packet.answer(sent),
            })
            .collect()
    }
}

impl Scenario {
    /// What comes back for a query in a step: of all entries the first that fits, else the zones of
    /// the server. `None`: nobody says anything.
    pub(crate) fn replies(&self, step: u64, sent: &Sent) -> Option<Vec<Reply>> {
        let of_server = |address: IpAddr| {
            self.ranges.iter().filter(move |range| {
                (range.from..=range.to).contains(&step)
                    && (range.addresses.is_empty() || range.addresses.contains(&address))
            })
        };
        let address = sent.to.ip();
        let mut entries = of_server(address).flat_map(|range| &range.entries);
        if let Some(entry) = entries.find(|entry| entry.fits(sent)) {
            return Some(entry.replies(sent));
        }
        let zones = || of_server(address).flat_map(|range| &range.zones);
        zones().next()?;
        Some(vec![Reply {
            from: sent.to,
            after_ms: 0,
            bytes: answer_from(zones(), sent),
        }])
    }
}
