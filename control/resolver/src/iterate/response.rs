//! Reads the messages of other servers. Every byte is hostile until it has passed here.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{DNSClass, Name, RData, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder, Restrict};

use super::group::{Item, group};
use super::name::{WireName, write_labels};
use super::rrset::RrSet;

const HEADER_BYTES: usize = 12;

/// Why a message cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ResponseError {
    #[error("the message ends inside a field at offset {offset}")]
    Truncated { offset: usize },
    #[error("the name at offset {offset} is not valid")]
    Name { offset: usize },
    #[error("the {rtype} record at offset {offset} has invalid data")]
    Rdata { rtype: RecordType, offset: usize },
    #[error("a second OPT record at offset {offset}")]
    OptDuplicate { offset: usize },
    #[error("more than {records_max} records in one RRset")]
    RrSetSize { records_max: usize },
}

/// The first twelve bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) id: u16,
    pub(super) is_response: bool,
    pub(super) opcode: u8,
    pub(super) authoritative: bool,
    pub(super) truncated: bool,
    pub(super) recursion_available: bool,
    rcode_low: u8,
    /// Questions, answers, authority, additional.
    counts: [u16; 4],
}

impl Header {
    pub(super) fn parse(message: &[u8]) -> Result<Self, ResponseError> {
        let offset = message.len();
        let words = message
            .first_chunk::<HEADER_BYTES>()
            .ok_or(ResponseError::Truncated { offset })?;
        let word = |at: usize| u16::from_be_bytes([words[2 * at], words[2 * at + 1]]);
        let [high, low] = word(1).to_be_bytes();
        Ok(Self {
            id: word(0),
            is_response: high & 0x80 != 0,
            opcode: (high >> 3) & 0x0f,
            authoritative: high & 0x04 != 0,
            truncated: high & 0x02 != 0,
            recursion_available: low & 0x80 != 0,
            rcode_low: low & 0x0f,
            counts: [word(2), word(3), word(4), word(5)],
        })
    }

    /// The low four bits alone, for messages whose OPT was not read.
    pub(super) fn rcode(&self) -> ResponseCode {
        ResponseCode::from_low(self.rcode_low)
    }

    /// Whether the code says something of the name, and not of the query or the server.
    pub(super) fn denies(&self) -> bool {
        matches!(
            self.rcode(),
            ResponseCode::NoError | ResponseCode::NXDomain | ResponseCode::YXDomain
        )
    }
}

/// How the question of a reply compares with the one that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Echo {
    /// Equal to the last bit.
    Exact,
    /// Equal but for the case of letters.
    OtherCase,
    /// There is none, as some servers do when they could not read the query.
    Absent,
    /// Something else.
    Other,
}

impl Echo {
    /// `question` is QNAME, QTYPE and QCLASS as they were sent.
    pub(super) fn compare(header: &Header, message: &[u8], question: &[u8]) -> Self {
        let echoed = message.get(HEADER_BYTES..HEADER_BYTES + question.len());
        match (header.counts[0], echoed) {
            (0, _) => Self::Absent,
            (1, Some(echoed)) if echoed == question => Self::Exact,
            // Type and class differ in case only if they differ at all by one bit: compare those exactly.
            (1, Some(echoed))
                if echoed.eq_ignore_ascii_case(question)
                    && echoed.last_chunk::<4>() == question.last_chunk::<4>() =>
            {
                Self::OtherCase
            }
            _ => Self::Other,
        }
    }
}

/// A reply, read to its end.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) authoritative: bool,
    pub(super) recursion_available: bool,
    pub(super) rcode: ResponseCode,
    pub(super) answers: Vec<RrSet>,
    pub(super) authority: Vec<RrSet>,
    pub(super) additional: Vec<RrSet>,
}

impl Response {
    /// A message of which nothing but the header is looked at.
    pub(super) fn bare(header: &Header) -> Self {
        Self {
            authoritative: false,
            recursion_available: header.recursion_available,
            rcode: header.rcode(),
            answers: Vec::new(),
            authority: Vec::new(),
            additional: Vec::new(),
        }
    }

    /// Reads a whole message whose header and question were found right. Records of a class other
    /// than IN are dropped.
    pub(super) fn parse(
        header: &Header,
        message: &[u8],
        signatures_are_data: bool,
        records_max: usize,
    ) -> Result<Self, ResponseError> {
        let mut reader = Reader {
            message,
            offset: HEADER_BYTES,
            opt: None,
        };
        for _ in 0..header.counts[0] {
            reader.name()?;
            reader.take(4)?;
        }
        let mut section = |count: u16| -> Result<Vec<RrSet>, ResponseError> {
            let mut items = Vec::new();
            for _ in 0..count {
                items.extend(reader.record()?);
            }
            group(items, signatures_are_data, records_max)
        };
        let (answers, authority, additional) = (
            section(header.counts[1])?,
            section(header.counts[2])?,
            section(header.counts[3])?,
        );
        let rcode_high = reader.opt.map_or(0, |[high, ..]| high);
        Ok(Self {
            authoritative: header.authoritative,
            recursion_available: header.recursion_available,
            rcode: ResponseCode::from(rcode_high, header.rcode_low),
            answers,
            authority,
            additional,
        })
    }
}

struct Reader<'a> {
    message: &'a [u8],
    offset: usize,
    /// TTL field of the OPT record: extended RCODE, version, flags.
    opt: Option<[u8; 4]>,
}

impl Reader<'_> {
    fn take(&mut self, count: usize) -> Result<&[u8], ResponseError> {
        let error = ResponseError::Truncated {
            offset: self.offset,
        };
        let end = self.offset.checked_add(count).ok_or(error)?;
        let bytes = self.message.get(self.offset..end).ok_or(error)?;
        self.offset = end;
        Ok(bytes)
    }

    fn u16(&mut self) -> Result<u16, ResponseError> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn name(&mut self) -> Result<Name, ResponseError> {
        let error = ResponseError::Name {
            offset: self.offset,
        };
        let start = u16::try_from(self.offset).map_err(|_| error)?;
        if self.offset >= self.message.len() {
            return Err(ResponseError::Truncated {
                offset: self.offset,
            });
        }
        let mut decoder = BinDecoder::new(self.message).clone(start);
        let name = Name::read(&mut decoder).map_err(|_| error)?;
        self.offset = decoder.index();
        Ok(name)
    }

    /// One record; `None` for OPT, which is noted, and for what is of no use.
    fn record(&mut self) -> Result<Option<Item>, ResponseError> {
        let start = self.offset;
        let owner = self.name()?;
        let rtype = RecordType::from(self.u16()?);
        let class = DNSClass::from(self.u16()?);
        let ttl = self.take(4)?;
        let ttl = [ttl[0], ttl[1], ttl[2], ttl[3]];
        let length = usize::from(self.u16()?);
        let rdata_start = self.offset;
        self.take(length)?;
        let end = self.offset;
        if rtype == RecordType::OPT {
            if self.opt.replace(ttl).is_some() {
                return Err(ResponseError::OptDuplicate { offset: start });
            }
            return Ok(None);
        }
        if class != DNSClass::IN || is_meta(rtype) {
            return Ok(None);
        }
        let rdata = self.rdata(rtype, rdata_start, end)?;
        // RFC 2181 §8: a TTL with the top bit set is zero.
        let ttl_secs = Some(u32::from_be_bytes(ttl))
            .filter(|ttl| ttl >> 31 == 0)
            .unwrap_or(0);
        Ok(Some(Item {
            owner: WireName::from_name(&owner),
            rtype,
            ttl_secs,
            rdata,
        }))
    }

    /// The RDATA without compression. Types whose names may be compressed (RFC 3597 §4) are copied
    /// name by name; of the others, those that the resolver or its clients must be able to read
    /// are checked.
    fn rdata(
        &mut self,
        rtype: RecordType,
        start: usize,
        end: usize,
    ) -> Result<Box<[u8]>, ResponseError> {
        let error = ResponseError::Rdata {
            rtype,
            offset: start,
        };
        let raw = self.message.get(start..end).ok_or(error)?;
        let Some(shape) = Shape::of(rtype) else {
            return if is_valid(rtype, raw) {
                Ok(raw.into())
            } else {
                Err(error)
            };
        };
        let mut out = Vec::with_capacity(raw.len() + 32);
        self.offset = start;
        out.extend_from_slice(self.take(shape.bytes_before).map_err(|_| error)?);
        for _ in 0..shape.strings {
            let length = self.take(1).map_err(|_| error)?[0];
            out.push(length);
            out.extend_from_slice(self.take(usize::from(length)).map_err(|_| error)?);
        }
        for _ in 0..shape.names {
            let name = self.name().map_err(|_| error)?;
            write_labels(&name, &mut out);
        }
        out.extend_from_slice(self.take(shape.bytes_after).map_err(|_| error)?);
        if self.offset != end {
            return Err(error);
        }
        Ok(out.into())
    }
}

/// The fields of RDATA that holds names which may be compressed.
pub(super) struct Shape {
    pub(super) bytes_before: usize,
    pub(super) strings: usize,
    pub(super) names: usize,
    bytes_after: usize,
}

impl Shape {
    pub(super) fn of(rtype: RecordType) -> Option<Self> {
        let (bytes_before, strings, names, bytes_after) = match u16::from(rtype) {
            // NS, MD, MF, CNAME, MB, MG, MR, PTR, DNAME.
            2..=5 | 7..=9 | 12 | 39 => (0, 0, 1, 0),
            6 => (0, 0, 2, 20),                // SOA.
            14 | 17 => (0, 0, 2, 0),           // MINFO, RP.
            15 | 18 | 21 | 36 => (2, 0, 1, 0), // MX, AFSDB, RT, KX.
            26 => (2, 0, 2, 0),                // PX.
            33 => (6, 0, 1, 0),                // SRV.
            35 => (4, 3, 1, 0),                // NAPTR.
            _ => return None,
        };
        Some(Self {
            bytes_before,
            strings,
            names,
            bytes_after,
        })
    }
}

/// Types that are only ever asked for or only ever sign a message.
fn is_meta(rtype: RecordType) -> bool {
    matches!(u16::from(rtype), 0 | 249..=255)
}

/// Whether clients can be given this RDATA. Types that hickory-proto is stricter about than their
/// RFCs, or does not know, are passed on unread.
fn is_valid(rtype: RecordType, rdata: &[u8]) -> bool {
    match rtype {
        RecordType::A => rdata.len() == 4,
        RecordType::AAAA => rdata.len() == 16,
        RecordType::RRSIG => rdata.len() > 18,
        RecordType::TXT | RecordType::HINFO => {
            let Ok(length @ 1..) = u16::try_from(rdata.len()) else {
                return false;
            };
            let mut decoder = BinDecoder::new(rdata);
            RData::read(&mut decoder, rtype, Restrict::new(length)).is_ok()
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
    use hickory_proto::rr::Record;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn record(owner: &str, rtype: RecordType, rdata: &str) -> Record {
        Record::from_rdata(name(owner), 300, RData::try_from_str(rtype, rdata).unwrap())
    }

    /// A reply with every kind of compressed name.
    fn reply() -> Message {
        let mut message = Message::new(0x1234, MessageType::Response, OpCode::Query);
        message.metadata.authoritative = true;
        message.add_query(Query::query(name("www.Example.com."), RecordType::A));
        message.answers = vec![
            record("www.example.com.", RecordType::CNAME, "Mail.example.com."),
            record("mail.example.com.", RecordType::A, "192.0.2.1"),
            record("mail.example.com.", RecordType::MX, "10 mail.example.com."),
            record("mail.example.com.", RecordType::TXT, "one two"),
            record(
                "mail.example.com.",
                RecordType::SRV,
                "1 2 3 mail.example.com.",
            ),
        ];
        message.authorities = vec![
            record("example.com.", RecordType::NS, "ns.example.com."),
            record(
                "example.com.",
                RecordType::SOA,
                "ns.example.com. host.example.com. 1 2 3 4 5",
            ),
        ];
        message.additionals = vec![record("ns.example.com.", RecordType::AAAA, "2001:db8::1")];
        message.set_edns(Edns::new());
        message
    }

    fn parse(message: &[u8]) -> Result<Response, ResponseError> {
        Response::parse(&Header::parse(message)?, message, false, 512)
    }

    fn records(response: &Response) -> Vec<Record> {
        let mut records = Vec::new();
        let sets = response
            .answers
            .iter()
            .chain(&response.authority)
            .chain(&response.additional);
        sets.for_each(|set| set.write_records(true, &mut records));
        records
    }

    #[test]
    fn records_come_out_as_hickory_proto_reads_them() {
        let bytes = reply().to_vec().unwrap();
        let oracle = Message::from_vec(&bytes).unwrap();
        let expected: Vec<Record> = oracle.all_sections().cloned().collect();
        let response = parse(&bytes).unwrap();
        assert_eq!(records(&response), expected);
        assert!(response.authoritative);
    }

    #[test]
    fn reply_cut_at_every_byte_is_an_error_and_never_panics() {
        let bytes = reply().to_vec().unwrap();
        for length in 0..bytes.len() {
            assert!(parse(&bytes[..length]).is_err(), "length={length}");
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_what_is_read_can_be_written() {
        bolero::check!()
            .with_iterations(20_000)
            .for_each(|bytes: &[u8]| {
                if let Ok(response) = parse(bytes) {
                    let mut message = reply();
                    message.answers = records(&response);
                    let _ = message.to_vec();
                }
            });
    }

    #[test]
    fn damaged_reply_is_read_as_hickory_proto_reads_it_or_refused() {
        let original = reply().to_vec().unwrap();
        bolero::check!()
            .with_type::<[(u16, u8); 2]>()
            .with_iterations(5_000)
            .for_each(|damage| {
                let mut bytes = original.clone();
                for (at, value) in damage {
                    let at = usize::from(*at) % bytes.len();
                    bytes[at] = *value;
                }
                let (Ok(response), Ok(oracle)) = (parse(&bytes), Message::from_vec(&bytes)) else {
                    return;
                };
                // Other classes, meta types, duplicates and lone signatures are dropped here.
                let ours = records(&response);
                assert!(ours.len() <= oracle.all_sections().count());
                for record in ours {
                    assert!(oracle.all_sections().any(|other| other.name == record.name
                        && other.record_type() == record.record_type()));
                }
            });
    }

    #[test]
    fn extended_code_is_joined_from_header_and_opt() {
        let mut message = reply();
        message.metadata.response_code = ResponseCode::BADVERS;
        assert_eq!(
            u16::from(parse(&message.to_vec().unwrap()).unwrap().rcode),
            16
        );
    }

    #[test]
    fn second_opt_record_is_an_error() {
        let mut bytes = reply().to_vec().unwrap();
        bytes.extend_from_slice(&[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
        bytes[11] += 1;
        assert!(matches!(
            parse(&bytes),
            Err(ResponseError::OptDuplicate { .. })
        ));
    }

    #[test]
    fn records_of_other_classes_are_dropped() {
        let mut message = reply();
        message
            .answers
            .iter_mut()
            .for_each(|record| record.dns_class = DNSClass::CH);
        assert!(
            parse(&message.to_vec().unwrap())
                .unwrap()
                .answers
                .is_empty()
        );
    }

    #[test]
    fn ttl_with_the_top_bit_set_is_zero_and_the_smallest_of_a_set_holds() {
        let mut message = reply();
        let ttls = [0x8000_0000, 50, 40];
        let records = ttls.map(|ttl| {
            let mut record = record("a.example.com.", RecordType::A, "192.0.2.1");
            record.ttl = ttl;
            record
        });
        message.answers = vec![records[0].clone()];
        assert_eq!(
            parse(&message.to_vec().unwrap()).unwrap().answers[0].ttl_secs,
            0
        );
        message.answers = records[1..].to_vec();
        let sets = parse(&message.to_vec().unwrap()).unwrap().answers;
        assert_eq!(
            (
                sets.len(),
                sets[0].ttl_secs,
                sets[0].content.data.iter().count()
            ),
            (1, 40, 1)
        );
    }

    #[test]
    fn question_is_compared_to_the_last_bit_and_type_exactly() {
        let bytes = reply().to_vec().unwrap();
        let header = Header::parse(&bytes).unwrap();
        let sent = &bytes[12..12 + 17 + 4];
        assert_eq!(Echo::compare(&header, &bytes, sent), Echo::Exact);
        assert_eq!(
            Echo::compare(&header, &bytes, &sent.to_ascii_lowercase()),
            Echo::OtherCase
        );
        // A type may look like a letter: 0x41 and 0x61 are not the same type.
        let mut typed = bytes.clone();
        typed[12 + 17 + 1] = 0x41;
        let mut other = typed[12..12 + 17 + 4].to_vec();
        other[17 + 1] = 0x61;
        assert_eq!(Echo::compare(&header, &typed, &other), Echo::Other);
        assert_eq!(Echo::compare(&header, &bytes[..20], sent), Echo::Other);
    }
}
