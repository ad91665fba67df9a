//! Contents of a zone as a master file: absolute names, one record a line, nothing to include.

use std::fmt::Write as _;

use resolver::zone::{DisplayName, RecordSet, ZoneContents, rdata_to_text, type_to_text};

use crate::zone_file::{self, Remark};

const TYPE_SOA: u16 = 6;

/// Reads a zone's file, with what it includes, into one text.
///
/// # Errors
/// The first fault.
pub fn read(zone: &config::Zone) -> Result<String, Remark> {
    let read = zone_file::read(zone)?;
    Ok(write(&ZoneContents::from_zone(&read.zone)))
}

/// The SOA record first, as people and AXFR have it; then the rest of the zone's own name.
pub(crate) fn write(contents: &ZoneContents) -> String {
    let mut text = String::new();
    let apex = contents.apex();
    let place = |owner: &[u8], rtype| match (owner == apex, rtype) {
        (true, TYPE_SOA) => 0,
        (true, _) => 1,
        (false, _) => 2,
    };
    for wanted in 0..3 {
        let sets = contents.sets();
        sets.filter(|(owner, rtype, _)| place(owner, *rtype) == wanted)
            .for_each(|(owner, rtype, set)| write_set(owner, rtype, set, &mut text));
    }
    text
}

fn write_set(owner: &[u8], rtype: u16, set: &RecordSet, out: &mut String) {
    let (owner, ttl, word) = (DisplayName(owner), set.ttl(), type_to_text(rtype));
    for data in set.iter() {
        let data = rdata_to_text(rtype, data);
        let _ = writeln!(out, "{owner} {ttl} IN {word} {data}"); // Strings take everything.
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use resolver::zone::Zone;

    #[test]
    fn contents_come_back_from_their_text() {
        let source = "\
$TTL 60
@ SOA ns host 7 3600 600 86400 60
@ NS ns
a\\.b\\032c TXT \"x;y\" \"\\\"\" \"\"
*.w MX 10 ns
ns A 192.0.2.1
odd TYPE65280 \\# 2 0102
";
        let apex = b"\x07example\0";
        let read = |text: &str| {
            let mut refuse = |_: &str, _: &str| Err(String::new());
            let (zone, _) = Zone::read(apex, text.as_bytes(), "zone", &mut refuse).unwrap();
            ZoneContents::from_zone(&zone)
        };
        let contents = read(source);
        let text = write(&contents);
        assert!(text.starts_with("example. 60 IN SOA "), "{text}");
        assert!(read(&text) == contents);
    }
}
