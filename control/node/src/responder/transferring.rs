//! Whole zones and what changed in them, for those who may copy them (RFC 5936, RFC 1995).

use std::net::IpAddr;

use hickory_proto::op::Message;
use hickory_proto::rr::RData;
use resolver::zone::{Transfer, TsigSigner, is_newer};
use wire::answer::{opt_bytes, write_error, write_opt};
use wire::query::Query;
use wire::{UDP_PAYLOAD_BYTES_MAX, rcode};

use super::{Decision, EXTENDED_ERROR_PROHIBITED, Responder, TYPE_IXFR, Via, ZoneAnswer};
use crate::zones::ServedZone;

const TYPE_SOA: u16 = 6;
/// Where ARCOUNT stands in a header.
const ARCOUNT: std::ops::Range<usize> = 10..12;

impl Responder {
    pub(super) fn decide_transfer(
        &mut self,
        query: &Query,
        buffer: &mut [u8],
        query_bytes: usize,
        (client, signer): (IpAddr, Option<&TsigSigner>),
        via: Via,
    ) -> Decision {
        let served = self.zones.load().find_apex(query.qname()).cloned();
        let may = |served: &ServedZone| served.access.allows_transfer(client, signer);
        let Some(served) = served.filter(may) else {
            self.counters.transfers_refused.increment();
            return self.refuse(query, buffer, query_bytes, Some(EXTENDED_ERROR_PROHIBITED));
        };
        let message = &buffer[..query_bytes];
        let (zone, serial) = (served.zone.clone(), served.zone.serial());
        let own = (query.qtype == TYPE_IXFR)
            .then(|| serial_of(message))
            .flatten();
        let is_current = own.is_some_and(|own| own == serial || !is_newer(serial, own));
        let transfer = || match own {
            Some(own) => Transfer::since(zone, &served.journal, own, query, message),
            None => Transfer::new(zone, query, message),
        };
        match (query.qtype, via) {
            (_, Via::Tcp) if !is_current => Decision::Transfer(Box::new(transfer())),
            // RFC 1995 §2: what fits in a datagram, or the SOA alone. That says "nothing newer" or, over
            // UDP, "come back by TCP".
            (TYPE_IXFR, _) => {
                self.counters.answers_zone.increment();
                let signature_bytes = signer.map_or(0, TsigSigner::signature_bytes);
                let limit = usize::from(query.response_limit(UDP_PAYLOAD_BYTES_MAX));
                let room = limit
                    .min(buffer.len())
                    .saturating_sub(opt_bytes(query) + signature_bytes);
                let steps = (!is_current).then(transfer);
                let steps = steps.filter(Transfer::is_incremental);
                if let Some(steps) = steps.and_then(|steps| steps.into_single(room)) {
                    let bytes = put(&steps, query, buffer);
                    return Decision::Answer { bytes, keep: None };
                }
                let mut soa = query.clone();
                soa.qtype = TYPE_SOA;
                let bytes = ZoneAnswer::write(&served, &soa, buffer, via).bytes;
                Decision::Answer { bytes, keep: None }
            }
            // RFC 5936 §4.2: AXFR is not defined over UDP.
            _ => {
                self.counters.answers_malformed.increment();
                let bytes = write_error(buffer, query_bytes, Some(query), rcode::FORMERR, None);
                Decision::Answer { bytes, keep: None }
            }
        }
    }
}

/// Puts a message into the buffer, with an OPT record if the query has one. There is room for both.
fn put(message: &[u8], query: &Query, buffer: &mut [u8]) -> usize {
    buffer[..message.len()].copy_from_slice(message);
    if query.edns.is_none() {
        return message.len();
    }
    let end = message.len() + opt_bytes(query);
    write_opt(&mut buffer[message.len()..end], query);
    buffer[ARCOUNT].copy_from_slice(&1_u16.to_be_bytes());
    end
}

/// The serial that an IXFR query names (RFC 1995 §3).
fn serial_of(message: &[u8]) -> Option<u32> {
    let message = Message::from_vec(message).ok()?;
    message
        .authorities
        .iter()
        .find_map(|record| match &record.data {
            RData::SOA(soa) => Some(soa.serial),
            _ => None,
        })
}
