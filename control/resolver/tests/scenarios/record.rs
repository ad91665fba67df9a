//! Records, names and types out of scenario lines.

use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{DNSClass, Name, Record, RecordType};
use hickory_proto::serialize::binary::BinEncodable;
use resolver::zone::{read_zone_file, type_from_text};

use crate::lines::{Fault, Line, Place};

/// An absolute name; a missing final dot is added.
pub(crate) fn read_name(place: &Place, text: &str) -> Result<Name, Fault> {
    let mut name = Name::from_ascii(text)
        .map_err(|error| place.fault(format!("`{text}` is no domain name: {error}")))?;
    name.set_fqdn(true);
    Ok(name)
}

/// The name in wire form, lower-case.
pub(crate) fn wire_name(name: &Name) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name {
        bytes.push(u8::try_from(label.len()).unwrap_or(0));
        bytes.extend(label.to_ascii_lowercase());
    }
    bytes.push(0);
    bytes
}

pub(crate) fn read_type(place: &Place, text: &str) -> Result<RecordType, Fault> {
    let number = match text {
        "ANY" => Some(255),
        "AXFR" => Some(252),
        "IXFR" => Some(251),
        "MAILA" => Some(254),
        "TKEY" => Some(249),
        _ => type_from_text(text),
    };
    number
        .map(RecordType::from)
        .ok_or_else(|| place.fault(format!("`{text}` is no type")))
}

/// `name [class] type`; class and type may stand in any order, as in Unbound.
pub(crate) fn read_question(line: &Line) -> Result<Query, Fault> {
    let (name, class, rtype) = match line.words()[..] {
        [name, class @ ("IN" | "CH" | "HS" | "ANY"), rtype] => (name, class, rtype),
        [name, rtype, class @ ("IN" | "CH" | "HS")] => (name, class, rtype),
        [name, rtype] => (name, "IN", rtype),
        _ => return Err(line.fault("a question is `name class type`")),
    };
    let qtype = read_type(&line.place, rtype)?;
    let mut query = Query::query(read_name(&line.place, name)?, qtype);
    query.set_query_class(match class {
        "CH" => DNSClass::CH,
        "HS" => DNSClass::HS,
        "ANY" => DNSClass::ANY,
        _ => DNSClass::IN,
    });
    Ok(query)
}

/// Reads the lines of a section. `head` sets `$ORIGIN` and `$TTL` and is one line.
pub(crate) fn read_records(head: &Head, lines: &[Line]) -> Result<Vec<Record>, Fault> {
    let Some(first) = lines.first() else {
        return Ok(Vec::new());
    };
    let body: Vec<&str> = lines.iter().map(|line| line.raw.trim()).collect();
    let text = format!("$TTL {}\n{}\n", head.ttl_secs, body.join("\n"));
    let mut loader = |_: &str, path: &str| Err(format!("{path} is not read from here"));
    let records = read_zone_file(text.as_bytes(), "", &wire_name(&head.origin), &mut loader)
        .map_err(|error| {
            // The line of `$TTL` is not the file's.
            let index = usize::try_from(error.place.line)
                .unwrap_or(0)
                .saturating_sub(2);
            let place = &lines.get(index).unwrap_or(first).place;
            place.fault(error.problem.to_string())
        })?;
    let record = |record: resolver::zone::Record<'_>| {
        let mut message = vec![0, 0, 0x80, 0, 0, 0, 0, 1, 0, 0, 0, 0];
        message.extend(record.owner);
        message.extend(record.rtype.to_be_bytes());
        message.extend([0, 1]);
        message.extend(record.ttl.to_be_bytes());
        message.extend(u16::try_from(record.data.len()).unwrap_or(0).to_be_bytes());
        message.extend(record.data);
        Message::from_vec(&message)
            .ok()
            .and_then(|mut message| message.answers.pop())
            .ok_or_else(|| first.fault("a record of this section cannot be written"))
    };
    records.iter().map(record).collect()
}

/// What `$ORIGIN` and `$TTL` have set.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) origin: Name,
    pub(crate) ttl_secs: u32,
}

impl Head {
    pub(crate) fn new() -> Self {
        Self {
            origin: Name::root(),
            ttl_secs: 3600,
        }
    }

    /// Takes a directive; false if the line is none.
    pub(crate) fn take(&mut self, line: &Line) -> Result<bool, Fault> {
        match line.words()[..] {
            ["$ORIGIN", origin] => self.origin = read_name(&line.place, origin)?,
            ["$TTL", ttl] => {
                self.ttl_secs = ttl
                    .parse()
                    .map_err(|_| line.fault("$TTL takes a number of seconds"))?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// The message as bytes.
pub(crate) fn encode(message: &Message) -> Vec<u8> {
    message.to_bytes().unwrap_or_default()
}
