//! Lists of names that are not answered, in the form of hosts files or with one name a line.
//!
//! Eight bytes a name, however long: a list keeps keyed hashes, sorted. Two names of a million have
//! the same hash with a probability of 3 in a hundred million, and nobody who does not know the keys
//! can choose them so.

use std::hash::Hasher;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::{A, AAAA};
use hickory_proto::rr::{RData, Record, RecordType};
use siphasher::sip::SipHasher13;

use super::names::suffixes;
use crate::iterate::{Outcome, Question, extended_error};
use crate::zone::{LABEL_BYTES_MAX, NAME_BYTES_MAX};

/// TTL of the answers, in seconds: a name may leave the list.
const TTL_SECS: u32 = 300;
/// Lines that are shown to people one by one if they cannot be read.
const REMARKS_MAX: usize = 10;

/// How a list is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListForm {
    /// Each line says itself which it is.
    #[default]
    Auto,
    /// `0.0.0.0 name name…`
    Hosts,
    /// `name`, `*.name` or `||name^`
    Domains,
}

/// What clients get for a name on a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BlockAnswer {
    /// The name does not exist.
    #[default]
    NxDomain,
    /// It has no data.
    NoData,
    /// REFUSED.
    Refused,
    /// 0.0.0.0 and `::`; no data of other types.
    Null,
}

/// A line that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListRemark {
    /// Counted from 1.
    pub line: usize,
    /// What was found, and what was expected.
    pub message: String,
}

/// What came of reading a list.
#[derive(Debug)]
pub struct ListRead {
    /// The list.
    pub list: BlockList,
    /// The first of the lines that were left out.
    pub remarks: Vec<ListRemark>,
    /// How many were.
    pub left_out: usize,
}

/// A list of names, each with all below it.
#[derive(Clone, Debug)]
pub struct BlockList {
    name: Arc<str>,
    answer: BlockAnswer,
    keys: (u64, u64),
    /// Sorted.
    hashes: Box<[u64]>,
}

impl BlockList {
    /// Reads a list. `keys` must be random and secret. What is no line of a list is left out and
    /// remarked upon, since lists are made by others and one bad line must not open all doors.
    #[must_use]
    pub fn read(
        name: &str,
        text: &str,
        form: ListForm,
        answer: BlockAnswer,
        keys: (u64, u64),
    ) -> ListRead {
        let (mut hashes, mut remarks, mut left_out) = (Vec::new(), Vec::new(), 0);
        let mut buffer = Vec::with_capacity(NAME_BYTES_MAX);
        for (index, line) in text.lines().enumerate() {
            let result = read_line(line, form, &mut |name| {
                write_key(name, &mut buffer)
                    .ok_or_else(|| format!("`{}` is no domain name", short(name)))?;
                hashes.push(hash(keys, &buffer));
                Ok(())
            });
            if let Err(message) = result {
                left_out += 1;
                if remarks.len() < REMARKS_MAX {
                    let line = index + 1;
                    remarks.push(ListRemark { line, message });
                }
            }
        }
        hashes.sort_unstable();
        hashes.dedup();
        let list = Self {
            name: name.into(),
            answer,
            keys,
            hashes: hashes.into(),
        };
        ListRead {
            list,
            remarks,
            left_out,
        }
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// How many names are on it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Whether a name (its key), or one above it, is on the list.
    pub(super) fn covers(&self, name: &[u8]) -> bool {
        let mut names = suffixes(name).filter(|name| name.len() > 1);
        names.any(|name| self.hashes.binary_search(&hash(self.keys, name)).is_ok())
    }

    /// The answer for a name on the list.
    pub(super) fn answer(&self, question: &Question) -> Outcome {
        let rcode = match self.answer {
            BlockAnswer::NxDomain => ResponseCode::NXDomain,
            BlockAnswer::NoData | BlockAnswer::Null => ResponseCode::NoError,
            BlockAnswer::Refused => ResponseCode::Refused,
        };
        let mut outcome = Outcome::empty(rcode);
        let address = match question.qtype {
            RecordType::A => Some(RData::A(A(Ipv4Addr::UNSPECIFIED))),
            RecordType::AAAA => Some(RData::AAAA(AAAA(Ipv6Addr::UNSPECIFIED))),
            _ => None,
        };
        if let Some(address) = address.filter(|_| self.answer == BlockAnswer::Null) {
            let owner = question.qname.clone();
            let record = Record::from_rdata(owner, TTL_SECS, address);
            outcome.answers.push(record);
        }
        outcome.ttl_secs = TTL_SECS;
        outcome.add_extended_error(extended_error::BLOCKED, self.name.to_string());
        outcome
    }
}

fn hash((key_0, key_1): (u64, u64), name: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(key_0, key_1);
    hasher.write(name);
    hasher.finish()
}

/// Hands each name of a line to `add`. Names of one label in a hosts file are the machine's own, as
/// `localhost`.
fn read_line(
    line: &str,
    form: ListForm,
    add: &mut impl FnMut(&str) -> Result<(), String>,
) -> Result<(), String> {
    let line = line.trim_start_matches('\u{feff}').trim_start();
    if line.starts_with(['!', '[']) {
        return Ok(()); // Comment and title of lists for browsers.
    }
    let content = line.split('#').next().unwrap_or_default();
    let mut words = content.split_whitespace();
    let Some(first) = words.next() else {
        return Ok(());
    };
    let rest: Vec<_> = words.collect();
    let address = first.split('%').next().unwrap_or(first);
    let is_address = address.parse::<IpAddr>().is_ok();
    let is_hosts = match form {
        ListForm::Auto => is_address && !rest.is_empty(),
        ListForm::Hosts => true,
        ListForm::Domains => false,
    };
    if is_hosts {
        if !is_address || rest.is_empty() {
            return Err(format!(
                "`{}`: expected an address and names",
                short(content.trim_end())
            ));
        }
        let is_foreign = |name: &&str| name.contains('.') && name.parse::<IpAddr>().is_err();
        let machine = "localhost.localdomain";
        let mut names = rest.into_iter().filter(is_foreign);
        return names.try_for_each(|name| if name == machine { Ok(()) } else { add(name) });
    }
    let name = first
        .strip_prefix("||")
        .map_or(first, |name| name.trim_end_matches('^'));
    let name = name.strip_prefix("*.").unwrap_or(name);
    if !rest.is_empty() || is_address {
        return Err(format!(
            "`{}`: expected one domain name",
            short(content.trim_end())
        ));
    }
    add(name)
}

/// Writes the key of a name of letters, digits, `-` and `_`.
fn write_key(name: &str, out: &mut Vec<u8>) -> Option<()> {
    out.clear();
    for label in name.strip_suffix('.').unwrap_or(name).split('.') {
        let is_good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if !(1..=LABEL_BYTES_MAX).contains(&label.len()) || !label.bytes().all(is_good) {
            return None;
        }
        out.push(u8::try_from(label.len()).ok()?);
        out.extend(label.bytes().map(|byte| byte.to_ascii_lowercase()));
    }
    out.push(0);
    (out.len() <= NAME_BYTES_MAX).then_some(())
}

/// As much of a text as fits an error.
fn short(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::names::key;
    use hickory_proto::rr::Name;

    fn read(text: &str, form: ListForm) -> ListRead {
        BlockList::read("ads", text, form, BlockAnswer::NxDomain, (1, 2))
    }

    fn covers(list: &BlockList, name: &str) -> bool {
        list.covers(&key(&Name::from_ascii(name).unwrap()))
    }

    #[test]
    fn a_hosts_file_blocks_its_names_and_not_the_machine() {
        let text = "# comment\n127.0.0.1 localhost localhost.localdomain\n::1 ip6-localhost\n\
                    fe80::1%lo0 localhost\n0.0.0.0 0.0.0.0\n\
                    0.0.0.0 Ads.example tracker.example.net # two\n\r\n";
        for form in [ListForm::Auto, ListForm::Hosts] {
            let read = read(text, form);
            assert_eq!((read.left_out, read.list.len()), (0, 2));
            assert!(covers(&read.list, "ads.example."));
            assert!(covers(&read.list, "x.Tracker.example.net."));
            for other in ["example.net.", "localhost.", "localhost.localdomain.", "."] {
                assert!(!covers(&read.list, other), "{other}");
            }
        }
    }

    #[test]
    fn a_list_of_domains_blocks_them_and_all_below() {
        let text = "! title\n[Adblock Plus]\nads.example\n*.cdn.example.\n||pop.example^\n";
        let read = read(text, ListForm::Auto);
        assert_eq!((read.left_out, read.list.len()), (0, 3));
        for name in ["ads.example.", "a.b.cdn.example.", "pop.example."] {
            assert!(covers(&read.list, name), "{name}");
        }
        assert!(!covers(&read.list, "badads.example."));
    }

    #[test]
    fn lines_that_are_none_are_left_out_with_their_number() {
        let read = read(
            "good.example\nb\u{e4}d.example\na b\n||x.example^$third-party\n192.0.2.1\n@@||y.example^",
            ListForm::Domains,
        );
        assert_eq!((read.list.len(), read.left_out), (1, 5));
        assert_eq!(read.remarks[0].line, 2);
        assert!(read.remarks[1].message.contains("expected one domain name"));
    }

    #[test]
    fn answers_say_which_list_it_was() {
        for (answer, rcode, records) in [
            (BlockAnswer::NxDomain, ResponseCode::NXDomain, 0),
            (BlockAnswer::NoData, ResponseCode::NoError, 0),
            (BlockAnswer::Refused, ResponseCode::Refused, 0),
            (BlockAnswer::Null, ResponseCode::NoError, 1),
        ] {
            let list = BlockList::read("ads", "x.example", ListForm::Auto, answer, (1, 2)).list;
            let name = Name::from_ascii("x.example.").unwrap();
            let outcome = list.answer(&Question::new(name.clone(), RecordType::A));
            assert_eq!((outcome.rcode, outcome.answers.len()), (rcode, records));
            assert_eq!(outcome.extended_errors, [(15, "ads".to_owned())]);
            let other = list.answer(&Question::new(name, RecordType::MX));
            assert!(other.answers.is_empty());
        }
    }

    #[test]
    fn any_text_is_read() {
        bolero::check!()
            .with_iterations(5_000)
            .for_each(|bytes: &[u8]| {
                let text = String::from_utf8_lossy(bytes);
                for form in [ListForm::Auto, ListForm::Hosts, ListForm::Domains] {
                    let read = read(&text, form);
                    assert!(read.remarks.len() <= read.left_out.min(REMARKS_MAX));
                    assert!(read.list.hashes.is_sorted());
                }
            });
    }
}
