//! Local data and local zones: what the operator has some names answered with, as in Unbound.
//!
//! The zone of a question is the longest configured one that holds its name; data outside of all
//! zones are as in a transparent one. The zones of special-use names are of this kind too.

use std::collections::BTreeMap;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::SOA;
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::names::{Key, key, name, record, suffixes};
use crate::iterate::{Outcome, Question, extended_error};
use crate::zone::read_zone_file;

/// TTL of data that state none, in seconds.
const TTL_SECS: u32 = 3_600;
/// TTL and MINIMUM of a SOA that is made here, in seconds.
const SOA_TTL_SECS: u32 = 10_800;

/// What becomes of the names of a local zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalAction {
    /// Data are given, and nothing else exists.
    Static,
    /// Names with data are answered from them; the others are resolved.
    Transparent,
    /// The data of the apex are those of every name below.
    Redirect,
    /// REFUSED, data or not.
    Refuse,
    /// No answer at all.
    Drop,
    /// Every name exists and has nothing.
    NoData,
    /// No name exists.
    NxDomain,
}

/// What local data say to a question.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum LocalAnswer {
    /// This.
    Answer(Box<Outcome>),
    /// The name is another name for this one.
    Alias(Box<Record>, Name),
    /// No answer at all.
    Drop,
}

#[derive(Clone, Copy, Debug)]
struct LocalZone {
    action: LocalAction,
    /// Built in, for a special-use name.
    is_special: bool,
}

/// All local zones and their data.
#[derive(Clone, Debug, Default)]
pub struct LocalData {
    zones: BTreeMap<Key, LocalZone>,
    /// By owner; without any for a name that only has names below it.
    records: BTreeMap<Key, Vec<Record>>,
}

impl LocalData {
    /// Adds a zone of the operator's.
    pub fn add_zone(&mut self, apex: &Name, action: LocalAction) {
        let is_special = false;
        self.zones
            .insert(key(apex), LocalZone { action, is_special });
    }

    /// Adds a built-in zone, unless the operator has one of this name.
    pub(super) fn add_special(&mut self, apex: &Name, action: LocalAction) {
        let is_special = true;
        let zone = LocalZone { action, is_special };
        self.zones.entry(key(apex)).or_insert(zone);
    }

    /// Adds a record.
    pub(super) fn add_record(&mut self, record: Record) {
        let owner = key(&record.name);
        for above in suffixes(&owner).skip(1) {
            self.records.entry(above.into()).or_default();
        }
        let records = self.records.entry(owner).or_default();
        if !records.contains(&record) {
            records.push(record);
        }
    }

    /// Adds what a text in the form of a zone file says: usually one record.
    ///
    /// # Errors
    /// What was found, and what was expected.
    pub fn read(&mut self, text: &str) -> Result<(), String> {
        let text = format!("$TTL {TTL_SECS}\n{text}\n");
        let mut no_include = |_: &str, path: &str| Err(format!("{path} is not read from here"));
        let records = read_zone_file(text.as_bytes(), "local_data", &[0], &mut no_include)
            .map_err(|error| error.problem.to_string())?;
        if records.is_empty() {
            return Err("expected a record such as `host.example. A 192.0.2.1`".to_owned());
        }
        for found in records.iter() {
            if let Some(owner) = name(found.owner) {
                self.add_record(record(owner, found.rtype, found.ttl, found.data));
            }
        }
        Ok(())
    }

    /// The answer to a question, and whether it is for a special-use name; `None` if it is to be
    /// resolved.
    pub(super) fn find(&self, question: &Question) -> Option<(LocalAnswer, bool)> {
        let qname = key(&question.qname);
        let zone = suffixes(&qname).find_map(|name| self.zones.get_key_value(name));
        let own = self.records.get(&qname);
        let data = own.filter(|records| !records.is_empty());
        let Some((apex, zone)) = zone else {
            return Some((self.answer(question, data?, &qname), false));
        };
        // The parent speaks of DS (RFC 4035 §3.1.4.1). Where it delegates the name without, as
        // RFC 8375 §7 and RFC 6303 §4 have it, clients that check signatures need the proof.
        if zone.is_special && question.qtype == RecordType::DS && *apex == qname {
            return None;
        }
        let negative = |rcode| {
            let mut outcome = self.negative(apex, rcode);
            if !zone.is_special {
                let name = name(apex).unwrap_or_default();
                outcome.add_extended_error(extended_error::BLOCKED, format!("local zone {name}"));
            }
            LocalAnswer::Answer(Box::new(outcome))
        };
        let answer = match (zone.action, data) {
            (LocalAction::Drop, _) => LocalAnswer::Drop,
            (LocalAction::Refuse, _) => negative(ResponseCode::Refused),
            (LocalAction::NoData, _) => negative(ResponseCode::NoError),
            (LocalAction::NxDomain, _) => negative(ResponseCode::NXDomain),
            (LocalAction::Redirect, _) => {
                let records = self.records.get(apex).map_or(&[][..], Vec::as_slice);
                self.answer(question, records, apex)
            }
            (_, Some(records)) => self.answer(question, records, apex),
            (LocalAction::Transparent, None) => return None,
            (LocalAction::Static, None) => {
                let exists = own.is_some() || *apex == qname;
                let rcode = match exists {
                    true => ResponseCode::NoError,
                    false => ResponseCode::NXDomain,
                };
                LocalAnswer::Answer(Box::new(self.negative(apex, rcode)))
            }
        };
        Some((answer, zone.is_special))
    }

    /// What the records of a name say.
    fn answer(&self, question: &Question, records: &[Record], apex: &[u8]) -> LocalAnswer {
        let at_qname = |record: &Record| {
            let mut record = record.clone();
            record.name.clone_from(&question.qname);
            record
        };
        let asked = |record: &&Record| {
            question.qtype == RecordType::ANY || record.record_type() == question.qtype
        };
        let answers: Vec<_> = records.iter().filter(asked).map(at_qname).collect();
        if answers.is_empty() {
            let alias = records.iter().find_map(|record| match &record.data {
                RData::CNAME(target) => Some((record, target.0.clone())),
                _ => None,
            });
            return match alias {
                Some((record, target)) => LocalAnswer::Alias(Box::new(at_qname(record)), target),
                None => LocalAnswer::Answer(Box::new(self.negative(apex, ResponseCode::NoError))),
            };
        }
        let mut outcome = Outcome::empty(ResponseCode::NoError);
        outcome.ttl_secs = answers.iter().map(|record| record.ttl).min().unwrap_or(0);
        outcome.answers = answers;
        LocalAnswer::Answer(Box::new(outcome))
    }

    /// A negative answer with the SOA of the zone, made here if the operator gave none (RFC 2308 §3).
    fn negative(&self, apex: &[u8], rcode: ResponseCode) -> Outcome {
        let mut outcome = Outcome::empty(rcode);
        if rcode == ResponseCode::Refused {
            return outcome; // Short, so that what is refused does not become worth asking again.
        }
        let own = self.records.get(apex).into_iter().flatten();
        let mut own = own.filter(|record| record.record_type() == RecordType::SOA);
        let soa = own.next().cloned().or_else(|| made_soa(apex));
        if let Some(mut soa) = soa {
            if let RData::SOA(data) = &soa.data {
                soa.ttl = soa.ttl.min(data.minimum);
            }
            outcome.ttl_secs = soa.ttl;
            outcome.authority.push(soa);
        }
        outcome
    }
}

fn made_soa(apex: &[u8]) -> Option<Record> {
    let server = Name::from_ascii("localhost.").ok()?;
    let mailbox = Name::from_ascii("nobody.invalid.").ok()?;
    let soa = SOA::new(server, mailbox, 1, 3_600, 1_200, 604_800, SOA_TTL_SECS);
    Some(Record::from_rdata(
        name(apex)?,
        SOA_TTL_SECS,
        RData::SOA(soa),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(local: &LocalData, qname: &str, qtype: RecordType) -> Option<LocalAnswer> {
        let question = Question::new(Name::from_ascii(qname).unwrap(), qtype);
        local.find(&question).map(|(answer, _)| answer)
    }

    /// Response code, answers, and owner of the SOA.
    fn shown(answer: Option<LocalAnswer>) -> (ResponseCode, Vec<String>, Option<String>) {
        let Some(LocalAnswer::Answer(outcome)) = answer else {
            panic!("{answer:?}")
        };
        let answers = outcome.answers.iter().map(ToString::to_string).collect();
        let soa = outcome.authority.first().map(|soa| soa.name.to_string());
        assert!(outcome.rcode == ResponseCode::Refused || outcome.ttl_secs > 0);
        (outcome.rcode, answers, soa)
    }

    fn local(action: LocalAction) -> LocalData {
        let mut local = LocalData::default();
        local.add_zone(&Name::from_ascii("Home.example.").unwrap(), action);
        for text in [
            "home.example. A 192.0.2.1",
            "a.b.home.example. 60 A 192.0.2.2",
            "alias.home.example. CNAME far.example.net.",
            "alone.example. A 192.0.2.3",
        ] {
            local.read(text).unwrap();
        }
        local
    }

    #[test]
    fn a_static_zone_answers_its_data_and_denies_the_rest_with_a_soa() {
        let local = local(LocalAction::Static);
        let ask = |qname, qtype| shown(ask(&local, qname, qtype));
        let zone = Some("home.example.".to_owned());
        let data = "A.b.HOME.example. 60 IN A 192.0.2.2".to_owned();
        let (ok, missing) = (ResponseCode::NoError, ResponseCode::NXDomain);
        assert_eq!(
            ask("A.b.HOME.example.", RecordType::A),
            (ok, vec![data], None)
        );
        let none = (ok, vec![], zone.clone());
        assert_eq!(ask("a.b.home.example.", RecordType::AAAA), none);
        // Between the apex and data: it exists (RFC 8020).
        assert_eq!(ask("b.home.example.", RecordType::A), none);
        assert_eq!(
            ask("c.home.example.", RecordType::A),
            (missing, vec![], zone)
        );
    }

    #[test]
    fn a_transparent_zone_answers_names_with_data_only() {
        let local = local(LocalAction::Transparent);
        assert_eq!(ask(&local, "c.home.example.", RecordType::A), None);
        assert_eq!(ask(&local, "b.home.example.", RecordType::A), None);
        let none = shown(ask(&local, "home.example.", RecordType::AAAA));
        assert_eq!((none.0, none.1.len()), (ResponseCode::NoError, 0));
        assert_eq!(
            shown(ask(&local, "alone.example.", RecordType::A)).1.len(),
            1
        );
        assert_eq!(ask(&local, "x.alone.example.", RecordType::A), None);
    }

    #[test]
    fn other_actions_do_as_they_are_called() {
        let of = |action, qname| ask(&local(action), qname, RecordType::A);
        let below = "x.y.home.example.";
        let redirected = shown(of(LocalAction::Redirect, below));
        assert_eq!(redirected.1, ["x.y.home.example. 3600 IN A 192.0.2.1"]);
        assert_eq!(
            of(LocalAction::Drop, "home.example."),
            Some(LocalAnswer::Drop)
        );
        for (action, rcode) in [
            (LocalAction::Refuse, ResponseCode::Refused),
            (LocalAction::NoData, ResponseCode::NoError),
            (LocalAction::NxDomain, ResponseCode::NXDomain),
        ] {
            let (found, answers, _) = shown(of(action, "home.example."));
            assert_eq!((found, answers.len()), (rcode, 0), "{action:?}");
        }
    }

    #[test]
    fn an_alias_leads_on_and_is_itself_for_who_asks_for_it() {
        let local = local(LocalAction::Static);
        let Some(LocalAnswer::Alias(record, target)) =
            ask(&local, "alias.home.example.", RecordType::A)
        else {
            panic!("no alias")
        };
        assert_eq!(record.name.to_string(), "alias.home.example.");
        assert_eq!(target.to_string(), "far.example.net.");
        let itself = shown(ask(&local, "alias.home.example.", RecordType::CNAME));
        assert_eq!(itself.1.len(), 1);
    }

    #[test]
    fn the_longest_zone_counts_and_the_operators_soa_is_given() {
        let mut local = local(LocalAction::NxDomain);
        let sub = Name::from_ascii("sub.home.example.").unwrap();
        local.add_zone(&sub, LocalAction::Static);
        local
            .read("sub.home.example. 50 SOA ns. host. 7 1 1 1 40")
            .unwrap();
        let Some(LocalAnswer::Answer(outcome)) =
            ask(&local, "x.sub.home.example.", RecordType::TXT)
        else {
            panic!("no answer")
        };
        assert_eq!(
            (outcome.rcode, outcome.ttl_secs),
            (ResponseCode::NXDomain, 40)
        );
    }

    #[test]
    fn what_is_no_record_is_refused_with_what_was_expected() {
        let mut local = LocalData::default();
        for (text, expected) in [
            ("", "expected a record"),
            ("host.example. A 300.0.0.1", "IPv4"),
            ("host.example.", "a type"),
            ("$INCLUDE x", "not read from here"),
        ] {
            let error = local.read(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn any_text_is_read_or_refused_and_every_question_has_an_end() {
        bolero::check!()
            .with_iterations(3_000)
            .for_each(|bytes: &[u8]| {
                let mut local = LocalData::default();
                let _ = local.read(&String::from_utf8_lossy(bytes));
                let _ = ask(&local, "a.example.", RecordType::A);
            });
    }
}
