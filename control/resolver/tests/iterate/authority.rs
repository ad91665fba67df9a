//! An authoritative server for tests: small text zones, answered by RFC 1034 §4.3.2.

use std::collections::BTreeMap;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{CNAME, NS, NULL};
use hickory_proto::rr::{Name, RData, Record, RecordType};

pub(crate) fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

/// Text of a name in lower case.
pub(crate) fn lower(name: &Name) -> String {
    name.to_lowercase().to_ascii()
}

/// One zone: records by owner and type.
#[derive(Clone)]
pub(crate) struct Zone {
    pub(crate) origin: Name,
    records: BTreeMap<(String, u16), Vec<Record>>,
}

impl Zone {
    /// A zone with an SOA (serial 1, minimum 300) and nothing else.
    pub(crate) fn new(origin: &str) -> Self {
        let mut zone = Self {
            origin: name(origin),
            records: BTreeMap::new(),
        };
        zone.add("@ SOA ns.invalid. host.invalid. 1 2 3 4 300");
        zone
    }

    /// Adds lines of `owner [ttl] type rdata`; `@` and relative names as in zone files. RDATA of types
    /// that hickory-proto cannot write is `\# hex`; of DNAME, a name. A second SOA replaces the first.
    pub(crate) fn add(&mut self, text: &str) {
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let record = self.record(line);
            let (owner, rtype) = (lower(&record.name), u16::from(record.record_type()));
            let set = self.records.entry((owner, rtype)).or_default();
            if rtype == 6 {
                set.clear();
            }
            set.push(record);
        }
    }

    /// Removes an RRset.
    pub(crate) fn remove(&mut self, owner: &str, rtype: RecordType) {
        self.records.remove(&(lower(&name(owner)), rtype.into()));
    }

    /// An RRset; empty if there is none.
    pub(crate) fn records(&self, owner: &Name, rtype: RecordType) -> Vec<Record> {
        self.get(owner, rtype).cloned().unwrap_or_default()
    }

    fn record(&self, line: &str) -> Record {
        let mut words = line.split_whitespace().peekable();
        let owner = self.absolute(words.next().unwrap());
        let ttl = words.peek().and_then(|word| word.parse().ok());
        if ttl.is_some() {
            words.next();
        }
        let rtype: RecordType = words
            .next()
            .unwrap()
            .parse()
            .unwrap_or_else(|_| panic!("{line}"));
        let words: Vec<&str> = words.collect();
        let data = if words.first() == Some(&"\\#") {
            opaque(rtype, unhex(&words[1..].concat()))
        } else if rtype == RecordType::DNAME {
            opaque(rtype, wire(&self.absolute(words[0])))
        } else {
            match rtype {
                RecordType::NS => RData::NS(NS(self.absolute(words[0]))),
                RecordType::CNAME => RData::CNAME(CNAME(self.absolute(words[0]))),
                _ => RData::try_from_str(rtype, &words.join(" "))
                    .unwrap_or_else(|error| panic!("{line}: {error}")),
            }
        };
        Record::from_rdata(owner, ttl.unwrap_or(3600), data)
    }

    fn absolute(&self, text: &str) -> Name {
        match text {
            "@" => self.origin.clone(),
            _ if text.ends_with('.') => name(text),
            _ => name(text).append_domain(&self.origin).unwrap(),
        }
    }

    fn get(&self, owner: &Name, rtype: RecordType) -> Option<&Vec<Record>> {
        self.records.get(&(lower(owner), rtype.into()))
    }

    fn exists(&self, owner: &Name) -> bool {
        let text = lower(owner);
        let below = format!(".{text}");
        self.records
            .keys()
            .any(|(other, _)| *other == text || other.ends_with(&below))
    }

    /// Answers into `reply`; `dnssec_ok` adds the RRSIGs that the zone has.
    fn answer(&self, qname: &Name, qtype: RecordType, dnssec_ok: bool, reply: &mut Message) {
        reply.metadata.authoritative = true;
        let depth = usize::from(qname.num_labels()) + usize::from(qname.is_wildcard());
        for labels in usize::from(self.origin.num_labels()) + 1..=depth {
            let ancestor = qname.trim_to(labels);
            let parent_side = qtype == RecordType::DS && labels == depth;
            if let Some(cut) = self.get(&ancestor, RecordType::NS).filter(|_| !parent_side) {
                reply.metadata.authoritative = !reply.answers.is_empty();
                reply.authorities.extend(cut.iter().cloned());
                reply.additionals.extend(self.glue(cut));
                return;
            }
            if let Some(dname) = self
                .get(&ancestor, RecordType::DNAME)
                .filter(|_| labels < depth)
            {
                let RData::Unknown { rdata, .. } = &dname[0].data else {
                    unreachable!()
                };
                let target = unwire(&rdata.anything);
                reply.answers.extend(dname.iter().cloned());
                let prefix = Name::from_labels(qname.iter().take(depth - labels)).unwrap();
                let Ok(target) = prefix.append_domain(&target) else {
                    reply.metadata.response_code = ResponseCode::YXDomain;
                    return;
                };
                let cname = RData::CNAME(CNAME(target.clone()));
                reply
                    .answers
                    .push(Record::from_rdata(qname.clone(), dname[0].ttl, cname));
                return self.chase(&target, qtype, dnssec_ok, reply);
            }
        }
        let owner = if self.exists(qname) {
            qname.clone()
        } else {
            self.wildcard(qname)
        };
        if qtype == RecordType::ANY {
            let text = lower(&owner);
            let sets = self.records.iter().filter(|((other, _), _)| *other == text);
            reply
                .answers
                .extend(sets.flat_map(|(_, set)| set.iter().cloned()));
        } else if let Some(set) = self.get(&owner, qtype) {
            self.push(qname, set, dnssec_ok, reply);
        } else if let Some(set) = self.get(&owner, RecordType::CNAME) {
            self.push(qname, set, dnssec_ok, reply);
            let RData::CNAME(target) = &set[0].data else {
                unreachable!()
            };
            return self.chase(&target.0.clone(), qtype, dnssec_ok, reply);
        }
        if !reply.answers.iter().any(|record| record.name == *qname) {
            if !self.exists(&owner) {
                reply.metadata.response_code = ResponseCode::NXDomain;
            }
            let soa = self.get(&self.origin, RecordType::SOA).unwrap();
            reply.authorities.extend(soa.iter().cloned());
            if dnssec_ok {
                let nsec = self.get(qname, RecordType::NSEC).into_iter().flatten();
                reply.authorities.extend(nsec.cloned());
            }
        } else if let Some(own) = self.get(&self.origin, RecordType::NS) {
            reply.authorities.extend(own.iter().cloned());
            reply.additionals.extend(self.glue(own));
        }
    }

    fn chase(&self, target: &Name, qtype: RecordType, dnssec_ok: bool, reply: &mut Message) {
        let seen = reply.answers.iter().any(|record| record.name == *target);
        if self.origin.zone_of(target) && !seen && reply.answers.len() < 32 {
            self.answer(target, qtype, dnssec_ok, reply);
        }
    }

    fn push(&self, qname: &Name, set: &[Record], dnssec_ok: bool, reply: &mut Message) {
        let rtype = u16::from(set[0].record_type());
        let owner = set[0].name.clone();
        let signatures = self.get(&owner, RecordType::RRSIG).into_iter().flatten();
        let covering = signatures.filter(|record| match &record.data {
            RData::Unknown { rdata, .. } => rdata.anything.starts_with(&rtype.to_be_bytes()),
            _ => false,
        });
        let all = set.iter().chain(covering.filter(|_| dnssec_ok)).cloned();
        reply.answers.extend(all.map(|mut record| {
            record.name = qname.clone();
            record
        }));
    }

    fn wildcard(&self, qname: &Name) -> Name {
        let mut encloser = qname.base_name();
        while !self.exists(&encloser) && !encloser.is_root() {
            encloser = encloser.base_name();
        }
        encloser.prepend_label("*").unwrap()
    }

    fn glue(&self, nameservers: &[Record]) -> Vec<Record> {
        let hosts = nameservers.iter().filter_map(|record| match &record.data {
            RData::NS(host) => Some(host.0.clone()),
            _ => None,
        });
        let sets = hosts.flat_map(|host| {
            [RecordType::A, RecordType::AAAA].map(|rtype| self.records(&host, rtype))
        });
        sets.flatten().collect()
    }
}

/// Answers a query from the zone closest to its name; REFUSED without one.
pub(crate) fn respond(zones: &[Zone], query: &Message) -> Message {
    let mut reply = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
    reply.add_queries(query.queries.iter().cloned());
    let dnssec_ok = query
        .edns
        .as_ref()
        .is_some_and(|edns| edns.flags().dnssec_ok);
    if query.edns.is_some() {
        reply.set_edns(Edns::new());
    }
    let question = &query.queries[0];
    let (qname, qtype) = (question.name(), question.query_type());
    let holds = |zone: &&Zone| {
        zone.origin.zone_of(qname)
            && !(qtype == RecordType::DS && zone.origin == *qname && !qname.is_root())
    };
    match zones
        .iter()
        .filter(holds)
        .max_by_key(|zone| zone.origin.num_labels())
    {
        Some(zone) => zone.answer(qname, qtype, dnssec_ok, &mut reply),
        None => reply.metadata.response_code = ResponseCode::Refused,
    }
    reply
}

pub(crate) fn opaque(rtype: RecordType, bytes: Vec<u8>) -> RData {
    RData::Unknown {
        code: rtype,
        rdata: NULL::with(bytes),
    }
}

pub(crate) fn wire(name: &Name) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend_from_slice(label);
    }
    bytes.push(0);
    bytes
}

fn unwire(mut bytes: &[u8]) -> Name {
    let mut labels = Vec::new();
    while bytes[0] != 0 {
        let (label, rest) = bytes[1..].split_at(usize::from(bytes[0]));
        labels.push(label);
        bytes = rest;
    }
    let mut name = Name::from_labels(labels).unwrap();
    name.set_fqdn(true);
    name
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}
