//! RRsets of the root that a test signs on the spot, with Ed25519.

use hickory_proto::op::{Message, MessageType, OpCode};
use hickory_proto::rr::rdata::NULL;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use resolver::iterate::{TrustAnchor, read_anchors};
use resolver::zone::rdata_to_text;
use ring::signature::{Ed25519KeyPair, KeyPair};

use crate::authority::{name, wire};
use crate::net::{Action, Request};

/// Signatures hold from a day before this, in Unix seconds.
pub(crate) const START_SECS: u64 = 1_800_000_000;
/// And for so long after it.
const SIGNED_SECS: u64 = 400 * 86_400;

const KSK: u16 = 257;
const ZSK: u16 = 256;
const REVOKED: u16 = 0x80;

/// A key pair of the root by number, and the flags that its DNSKEY has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pair(u8, u16);

pub(crate) const OLD: Pair = Pair(1, KSK);
pub(crate) const OLD_REVOKED: Pair = Pair(1, KSK | REVOKED);
pub(crate) const NEW: Pair = Pair(2, KSK);
pub(crate) const OTHER: Pair = Pair(3, KSK);
pub(crate) const ZONE: Pair = Pair(9, ZSK);

impl Pair {
    fn pair(self) -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[self.0; 32]).unwrap()
    }

    pub(crate) fn dnskey(self) -> Vec<u8> {
        let pair = self.pair();
        let public = pair.public_key().as_ref();
        [&self.1.to_be_bytes(), &[3, 15][..], public].concat()
    }

    /// RFC 4034 appendix B.
    pub(crate) fn tag(self) -> u16 {
        let rdata = self.dnskey();
        let words = rdata.chunks(2);
        let words = words.map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
        let sum: u32 = words.sum();
        (sum + (sum >> 16)) as u16
    }

    pub(crate) fn anchor(self) -> TrustAnchor {
        let line = format!(". IN DNSKEY {}\n", rdata_to_text(48, &self.dnskey()));
        read_anchors(line.as_bytes(), "anchors").unwrap().remove(0)
    }
}

fn record(owner: &Name, rtype: u16, ttl_secs: u32, rdata: &[u8]) -> Record {
    let code = RecordType::from(rtype);
    let rdata = NULL::with(rdata.to_vec());
    Record::from_rdata(owner.clone(), ttl_secs, RData::Unknown { code, rdata })
}

/// An RRset of the root, with a signature by each pair.
pub(crate) fn signed(
    owner: &str,
    rtype: u16,
    ttl_secs: u32,
    mut rdatas: Vec<Vec<u8>>,
    pairs: &[Pair],
) -> Vec<Record> {
    rdatas.sort();
    let owner = name(owner);
    let records = rdatas.iter();
    let mut records: Vec<Record> = records
        .map(|rdata| record(&owner, rtype, ttl_secs, rdata))
        .collect();
    for pair in pairs {
        let (from, to) = (START_SECS - 86_400, START_SECS + SIGNED_SECS);
        let mut rrsig = [&rtype.to_be_bytes()[..], &[15, owner.num_labels()]].concat();
        rrsig.extend(ttl_secs.to_be_bytes());
        rrsig.extend((to as u32).to_be_bytes());
        rrsig.extend((from as u32).to_be_bytes());
        rrsig.extend(pair.tag().to_be_bytes());
        rrsig.push(0); // Signer: the root.
        let mut message = rrsig.clone();
        for rdata in &rdatas {
            message.extend(wire(&owner));
            message.extend(rtype.to_be_bytes());
            message.extend(1_u16.to_be_bytes());
            message.extend(ttl_secs.to_be_bytes());
            message.extend((rdata.len() as u16).to_be_bytes());
            message.extend(rdata);
        }
        rrsig.extend(pair.pair().sign(&message).as_ref());
        records.push(record(&owner, 46, ttl_secs, &rrsig));
    }
    records
}

/// The DNSKEY RRset of the root.
pub(crate) fn signed_keys(keys: &[Pair], ttl_secs: u32, pairs: &[Pair]) -> Vec<Record> {
    let rdatas = keys.iter().map(|pair| pair.dnskey()).collect();
    signed(".", 48, ttl_secs, rdatas, pairs)
}

/// A reply with AA and these sections.
pub(crate) fn reply(request: &Request, answers: Vec<Record>, authorities: Vec<Record>) -> Message {
    let id = request.message.metadata.id;
    let mut reply = Message::new(id, MessageType::Response, OpCode::Query);
    reply.metadata.authoritative = true;
    reply.add_query(request.message.queries[0].clone());
    reply.insert_answers(answers);
    reply.insert_authorities(authorities);
    reply
}

/// As what a server does.
pub(crate) fn answer(request: &Request, answers: Vec<Record>) -> Action {
    Action::Message(Box::new(reply(request, answers, Vec::new())))
}
