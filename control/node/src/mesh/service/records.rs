//! Records as people write them, into an UPDATE: the same checks then hold for both.

use resolver::zone::{DisplayName, Records, Update, read_zone_file, type_from_text};

const CLASS_IN: u16 = 1;
const CLASS_NONE: u16 = 254;
const CLASS_ANY: u16 = 255;
const TYPE_ANY: u16 = 255;
const TYPE_SOA: u16 = 6;
/// Opcode 5 (RFC 2136 §1.3).
const UPDATE_FLAGS: u16 = 5 << 11;

/// What shall become of records of one name.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted<'t> {
    /// One comes: seconds, type, data.
    Add(u32, &'t str, &'t str),
    /// They go: of a type, with these data.
    Delete(Option<&'t str>, Option<&'t str>),
}

/// The change of one name of a zone (wire form, lower case), as an update.
///
/// # Errors
/// Why that is none, for whoever wrote it.
pub(super) fn update(apex: &[u8], owner: &str, wanted: Wanted<'_>) -> Result<Update, String> {
    let (ttl, rtype, data) = match wanted {
        Wanted::Add(ttl, rtype, data) => (ttl, Some(rtype), Some(data)),
        Wanted::Delete(rtype, data) => (0, rtype, data),
    };
    let is_addition = matches!(wanted, Wanted::Add(..));
    let mut message = header(apex);
    let mut append = |owner: &[u8], rtype: u16, class: u16, data: &[u8]| {
        message.extend_from_slice(owner);
        message.extend_from_slice(&rtype.to_be_bytes());
        message.extend_from_slice(&class.to_be_bytes());
        message.extend_from_slice(&ttl.to_be_bytes());
        // A record's data have at most 65,535 bytes.
        let length = u16::try_from(data.len()).unwrap_or(u16::MAX);
        message.extend_from_slice(&length.to_be_bytes());
        message.extend_from_slice(data);
    };
    let owner = owner_in(apex, owner);
    match (rtype, data) {
        (Some(rtype), Some(data)) => {
            let records = read(apex, &format!("{owner} {ttl} IN {rtype} {data}\n"))?;
            let class = if is_addition { CLASS_IN } else { CLASS_NONE };
            let record = records.iter().next();
            let record = record.ok_or("there is no record")?;
            append(record.owner, record.rtype, class, record.data);
        }
        (rtype, _) => {
            let number = match rtype {
                Some(text) => type_from_text(text).ok_or_else(|| format!("`{text}` is no type"))?,
                None => TYPE_ANY,
            };
            // A record of no data, for the name alone.
            let records = read(apex, &format!("{owner} 0 IN TYPE65280 \\# 0\n"))?;
            let record = records.iter().next();
            let record = record.ok_or("there is no name")?;
            append(record.owner, number, CLASS_ANY, &[]);
        }
    }
    Update::parse(&message).map_err(|error| error.to_string())
}

fn header(apex: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    for number in [0, UPDATE_FLAGS, 1, 0, 1, 0] {
        message.extend_from_slice(&number.to_be_bytes());
    }
    message.extend_from_slice(apex);
    message.extend_from_slice(&TYPE_SOA.to_be_bytes());
    message.extend_from_slice(&CLASS_IN.to_be_bytes());
    message
}

/// Reads one line of a master file.
fn read(apex: &[u8], line: &str) -> Result<Records, String> {
    let mut refuse = |_: &str, _: &str| Err("a record includes no file".to_owned());
    let records = read_zone_file(line.as_bytes(), "record", apex, &mut refuse);
    let records = records.map_err(|error| error.problem.to_string())?;
    match records.len() {
        1 => Ok(records),
        count => Err(format!("{count} records; expected one")),
    }
}

/// As in a master file, but a name that ends with the zone's has its last dot understood.
fn owner_in(apex: &[u8], owner: &str) -> String {
    let zone = DisplayName(apex).to_string();
    let zone = zone.trim_end_matches('.');
    let lower = owner.to_ascii_lowercase();
    let is_whole = lower == zone
        || lower
            .strip_suffix(zone)
            .is_some_and(|rest| rest.ends_with('.'));
    let dot = if is_whole && !zone.is_empty() {
        "."
    } else {
        ""
    };
    format!("{owner}{dot}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use resolver::zone::Step;

    const APEX: &[u8] = b"\x07example\x03net\0";
    const WWW: &[u8] = b"\x03www\x07example\x03net\0";

    #[test]
    fn record_comes_at_a_name_that_is_written_in_any_usual_way() {
        for owner in [
            "www",
            "www.example.net.",
            "WWW.example.net",
            "www.Example.net.",
        ] {
            let update = update(APEX, owner, Wanted::Add(60, "A", "192.0.2.1")).unwrap();
            let [
                Step::Add {
                    owner, ttl, data, ..
                },
            ] = update.steps()
            else {
                panic!("{update:?}");
            };
            assert_eq!((&**owner, *ttl, &**data), (WWW, 60, &[192, 0, 2, 1][..]));
        }
        for owner in ["@", "example.net", "example.net."] {
            let update = update(APEX, owner, Wanted::Delete(None, None)).unwrap();
            let [Step::DeleteName { owner }] = update.steps() else {
                panic!("{update:?}");
            };
            assert_eq!(&**owner, APEX);
        }
    }

    #[test]
    fn what_is_deleted_is_a_name_a_set_or_a_record() {
        let steps = |wanted| update(APEX, "www", wanted).unwrap().steps().to_vec();
        assert!(matches!(
            *steps(Wanted::Delete(Some("TXT"), None)),
            [Step::DeleteSet { rtype: 16, .. }]
        ));
        assert!(matches!(
            *steps(Wanted::Delete(Some("A"), Some("192.0.2.1"))),
            [Step::DeleteRecord { rtype: 1, .. }]
        ));
    }

    #[test]
    fn what_is_no_record_is_refused_in_words() {
        for (owner, rtype, data) in [
            ("www", "A", "192.0.2.256"),
            ("www", "NOTYPE", "1"),
            ("www", "A", "192.0.2.1\nftp 60 IN A 192.0.2.2"),
            ("$INCLUDE", "A", "/etc/passwd"),
            ("www.example.org.", "A", "192.0.2.1"),
            ("", "A", ""),
            (&"a".repeat(64), "A", "192.0.2.1"),
        ] {
            let error = update(APEX, owner, Wanted::Add(60, rtype, data)).unwrap_err();
            assert!(!error.is_empty());
        }
        assert!(update(APEX, "www", Wanted::Delete(Some("NOTYPE"), None)).is_err());
        assert!(update(APEX, "www.example.org.", Wanted::Delete(None, None)).is_err());
    }

    #[test]
    fn no_text_panics() {
        bolero::check!()
            .with_type::<(String, String, String)>()
            .for_each(|(owner, rtype, data)| {
                let _ = update(APEX, owner, Wanted::Add(60, rtype, data)); // Any outcome will do.
                let _ = update(APEX, owner, Wanted::Delete(Some(rtype), Some(data)));
                let _ = update(APEX, owner, Wanted::Delete(Some(rtype), None));
            });
    }
}
