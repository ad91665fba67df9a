//! Entries: what a message must look like to count, and the message that stands there.

use hickory_proto::op::Query;
use hickory_proto::rr::{RData, Record, RecordType};
use wire::flag;

use crate::lines::{Fault, Line, Place, Text};
use crate::record::{Head, read_question, read_records};

/// What `MATCH` may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Match {
    Opcode,
    Qtype,
    Qname,
    Subdomain,
    /// Header, DO, question and all sections.
    All,
    Ttl,
    /// The answer section in the order given.
    Ordered,
    Flags,
    Rcode,
    Question,
    Answer,
    Authority,
    Additional,
    DnssecOk,
    NoEdns,
    /// The query's name has the case that the entry gives it.
    Case,
    Udp,
    Tcp,
    /// The query's COOKIE option has so many bytes; 0: there is none.
    CookieBytes(usize),
    /// The server's part of the query's cookie is that of the entry.
    ServerCookie,
    /// An extended error of this code, of any (`None`).
    ExtendedError(Option<u16>),
    NoExtendedError,
}

impl Match {
    fn read(line: &Line, word: &str) -> Result<Self, Fault> {
        Ok(match word {
            "opcode" => Self::Opcode,
            "qtype" => Self::Qtype,
            "qname" => Self::Qname,
            "subdomain" => Self::Subdomain,
            "all" | "all_noedns" => Self::All,
            "ttl" => Self::Ttl,
            "ordered" => Self::Ordered,
            "flags" => Self::Flags,
            "rcode" => Self::Rcode,
            "question" => Self::Question,
            "answer" => Self::Answer,
            "authority" => Self::Authority,
            "additional" => Self::Additional,
            "DO" => Self::DnssecOk,
            "noedns" => Self::NoEdns,
            "case" => Self::Case,
            "UDP" => Self::Udp,
            "TCP" => Self::Tcp,
            "ede=any" => Self::ExtendedError(None),
            "ede=none" => Self::NoExtendedError,
            "server_cookie" => Self::ServerCookie,
            _ if word.starts_with("cookie=") => Self::CookieBytes(
                word.get(7..)
                    .and_then(|bytes| bytes.parse().ok())
                    .ok_or_else(|| line.fault("`cookie=` takes a number of bytes"))?,
            ),
            _ => {
                let code = word.strip_prefix("ede=").and_then(|code| code.parse().ok());
                Self::ExtendedError(Some(
                    code.ok_or_else(|| line.fault(format!("MATCH knows no `{word}`")))?,
                ))
            }
        })
    }
}

/// What becomes of a packet before it leaves.
#[derive(Clone, Debug, Default)]
pub(crate) struct Adjust {
    pub(crate) copy_id: bool,
    pub(crate) copy_query: bool,
    /// The client's part of a cookie is that of the query.
    pub(crate) copy_client_cookie: bool,
    /// Nothing leaves at all.
    pub(crate) do_not_answer: bool,
    /// It leaves so much later.
    pub(crate) sleep_secs: u64,
    /// It seems to come from this address.
    pub(crate) from: Option<std::net::IpAddr>,
}

/// A message as an entry gives it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Packet {
    /// The second header word without opcode and RCODE.
    pub(crate) flags: u16,
    pub(crate) opcode: u8,
    pub(crate) rcode: u16,
    pub(crate) edns: bool,
    pub(crate) dnssec_ok: bool,
    /// EDNS options: code and data.
    pub(crate) options: Vec<(u16, Vec<u8>)>,
    pub(crate) questions: Vec<Query>,
    pub(crate) answer: Vec<Record>,
    pub(crate) authority: Vec<Record>,
    pub(crate) additional: Vec<Record>,
    /// These bytes instead of all else.
    pub(crate) hex: Option<Vec<u8>>,
    pub(crate) adjust: Adjust,
}

impl Packet {
    /// Takes out of an answer what minimal responses lack: name servers and additional data.
    pub(crate) fn drop_extras(&mut self) {
        self.additional.clear();
        if !self.answer.is_empty() {
            self.authority.retain(|record| match &record.data {
                RData::NS(_) => false,
                // A signature begins with the type that it covers (RFC 4034 §3.1).
                RData::Unknown { code, rdata } => {
                    *code != RecordType::RRSIG || !rdata.anything.starts_with(&[0, 2])
                }
                _ => true,
            });
        }
    }

    fn reply(&mut self, line: &Line, word: &str) -> Result<(), Fault> {
        match word {
            "QR" => self.flags |= flag::QR,
            "AA" => self.flags |= flag::AA,
            "TC" => self.flags |= flag::TC,
            "RD" => self.flags |= flag::RD,
            "RA" => self.flags |= flag::RA,
            "AD" => self.flags |= flag::AD,
            "CD" => self.flags |= flag::CD,
            "DO" => (self.edns, self.dnssec_ok) = (true, true),
            "EDNS" => self.edns = true,
            "QUERY" | "IQUERY" | "STATUS" | "NOTIFY" | "UPDATE" => {
                self.opcode = match word {
                    "QUERY" => 0,
                    "IQUERY" => 1,
                    "STATUS" => 2,
                    "NOTIFY" => 4,
                    _ => 5,
                }
            }
            _ => {
                self.rcode =
                    rcode(word).ok_or_else(|| line.fault(format!("REPLY knows no `{word}`")))?;
                self.edns |= self.rcode > 15;
            }
        }
        Ok(())
    }
}

fn rcode(word: &str) -> Option<u16> {
    Some(match word {
        "NOERROR" => 0,
        "FORMERR" => 1,
        "SERVFAIL" => 2,
        "NXDOMAIN" => 3,
        "NOTIMPL" | "NOTIMP" => 4,
        "REFUSED" => 5,
        "YXDOMAIN" => 6,
        "YXRRSET" => 7,
        "NXRRSET" => 8,
        "NOTAUTH" => 9,
        "NOTZONE" => 10,
        "BADVERS" => 16,
        "BADCOOKIE" => 23,
        _ => return None,
    })
}

/// One entry: what it wants, and the packets that it holds (one at least).
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) place: Place,
    pub(crate) matches: Vec<Match>,
    pub(crate) packets: Vec<Packet>,
}

impl Entry {
    /// Reads behind `ENTRY_BEGIN`, whose line this is.
    pub(crate) fn parse(text: &mut Text, begin: &Line, head: &mut Head) -> Result<Self, Fault> {
        let mut entry = Self {
            place: begin.place.clone(),
            matches: Vec::new(),
            packets: Vec::new(),
        };
        let mut packet = Packet::default();
        loop {
            let line = text.expect("ENTRY_END")?;
            if head.take(&line)? {
                continue;
            }
            match line.words().as_slice() {
                ["ENTRY_END"] => {
                    entry.packets.push(packet);
                    return Ok(entry);
                }
                ["MATCH", words @ ..] => {
                    for word in words {
                        entry.matches.push(Match::read(&line, word)?);
                    }
                }
                ["ADJUST", words @ ..] => {
                    for word in words {
                        adjust(&mut packet.adjust, &line, word)?;
                    }
                }
                ["REPLY", words @ ..] => {
                    for word in words {
                        packet.reply(&line, word)?;
                    }
                }
                ["SECTION", section] => read_section(text, &line, section, head, &mut packet)?,
                ["EXTRA_PACKET"] => {
                    // It is adjusted as the one before, until it says otherwise.
                    let next = Packet {
                        adjust: packet.adjust.clone(),
                        ..Packet::default()
                    };
                    entry.packets.push(std::mem::replace(&mut packet, next));
                    if entry.packets.len() > PACKETS_MAX {
                        return Err(line.fault("too many packets in one entry"));
                    }
                }
                ["HEX_ANSWER_BEGIN"] => packet.hex = Some(read_hex(text, "HEX_ANSWER_END")?),
                ["HEX_EDNSDATA_BEGIN"] => {
                    let bytes = read_hex(text, "HEX_EDNSDATA_END")?;
                    let options = read_options(&bytes);
                    packet.options =
                        options.ok_or_else(|| line.fault("these are no whole EDNS options"))?;
                    packet.edns = true;
                }
                words => {
                    let found = words.join(" ");
                    let text = format!("`{found}` does not belong into an entry");
                    return Err(line.fault(text));
                }
            }
        }
    }

    pub(crate) fn wants(&self, what: Match) -> bool {
        self.matches.contains(&what)
    }

    /// The packet that stands for the message of the entry.
    pub(crate) fn packet(&self) -> &Packet {
        &self.packets[0]
    }
}

/// Packets of one entry.
const PACKETS_MAX: usize = 64;

fn adjust(adjust: &mut Adjust, line: &Line, word: &str) -> Result<(), Fault> {
    let bad = || line.fault(format!("ADJUST knows no `{word}`"));
    match word.split_once('=') {
        Some(("sleep" | "packet_sleep", secs)) => {
            let secs = secs.parse().ok().filter(|secs| *secs <= 1_000_000);
            adjust.sleep_secs = secs.ok_or_else(bad)?;
        }
        Some(("from", address)) => {
            adjust.from = Some(address.parse().map_err(|_| bad())?);
        }
        Some(("copy_id", "no")) => adjust.copy_id = false,
        Some(("copy_query", "no")) => adjust.copy_query = false,
        Some(_) => return Err(bad()),
        None => match word {
            "copy_id" => adjust.copy_id = true,
            "copy_query" => adjust.copy_query = true,
            "copy_client_cookie" => adjust.copy_client_cookie = true,
            "do_not_answer" => adjust.do_not_answer = true,
            _ => return Err(bad()),
        },
    }
    Ok(())
}

const KEYWORDS: [&str; 9] = [
    "ENTRY_END",
    "SECTION",
    "EXTRA_PACKET",
    "HEX_ANSWER_BEGIN",
    "HEX_EDNSDATA_BEGIN",
    "MATCH",
    "ADJUST",
    "REPLY",
    "ENTRY_BEGIN",
];

fn read_section(
    text: &mut Text,
    begin: &Line,
    section: &str,
    head: &Head,
    packet: &mut Packet,
) -> Result<(), Fault> {
    let mut lines = Vec::new();
    while let Some(line) = text.next() {
        if line
            .words()
            .first()
            .is_some_and(|word| KEYWORDS.contains(word))
        {
            text.go_back();
            break;
        }
        lines.push(line);
    }
    match section {
        "QUESTION" => {
            packet.questions = lines.iter().map(read_question).collect::<Result<_, _>>()?;
        }
        "ANSWER" => packet.answer.extend(read_records(head, &lines)?),
        "AUTHORITY" => packet.authority.extend(read_records(head, &lines)?),
        "ADDITIONAL" => packet.additional.extend(read_records(head, &lines)?),
        _ => return Err(begin.fault(format!("there is no section `{section}`"))),
    }
    Ok(())
}

/// Options as they stand in an OPT record (RFC 6891 §6.1.2).
fn read_options(mut bytes: &[u8]) -> Option<Vec<(u16, Vec<u8>)>> {
    let mut options = Vec::new();
    while let [code_high, code_low, high, low, rest @ ..] = bytes {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (data, rest) = rest.split_at_checked(length)?;
        options.push((u16::from_be_bytes([*code_high, *code_low]), data.to_vec()));
        bytes = rest;
    }
    bytes.is_empty().then_some(options)
}

fn read_hex(text: &mut Text, end: &str) -> Result<Vec<u8>, Fault> {
    let mut digits = Vec::new();
    loop {
        let line = text.expect(end)?;
        if line.words() == [end] {
            return Ok(digits
                .chunks(2)
                .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
                .collect());
        }
        for digit in line.words().concat().chars() {
            let value = digit
                .to_digit(16)
                .and_then(|value| u8::try_from(value).ok());
            digits.push(value.ok_or_else(|| line.fault("hexadecimal digits were expected"))?);
        }
    }
}
