//! Keeps names outside from leading browsers inside: addresses of the operator's own networks are
//! taken out of answers that come from the Internet (DNS rebinding).

use hickory_proto::rr::{Name, Record};

use super::addresses::{addresses, take_out};
use super::prefix::Prefix;
use crate::iterate::{Outcome, extended_error};

/// Which addresses no name outside may have.
#[derive(Clone, Debug, Default)]
pub struct Rebinding {
    /// The networks.
    pub private_addresses: Vec<Prefix>,
    /// Zones whose names, with all below them, may have such addresses.
    pub private_domains: Vec<Name>,
}

impl Rebinding {
    /// Takes such addresses, and the SVCB and HTTPS records that hint at them, out of an answer; true if there were any. What is left is no longer what
    /// was signed, so it has no AD.
    pub fn filter(&self, outcome: &mut Outcome) -> bool {
        let mut has_changed = false;
        for section in [&mut outcome.answers, &mut outcome.additional] {
            has_changed |= take_out(section, |record| self.is_unwanted(record));
        }
        if has_changed {
            outcome.authentic = false;
            let text = "addresses of private networks were taken out".to_owned();
            outcome.add_extended_error(extended_error::FILTERED, text);
        }
        has_changed
    }

    fn is_unwanted(&self, record: &Record) -> bool {
        let is_private = |address| {
            let mut networks = self.private_addresses.iter();
            networks.any(|network| network.contains(address))
        };
        let is_allowed = |zone: &Name| zone.zone_of(&record.name);
        addresses(record).any(is_private) && !self.private_domains.iter().any(is_allowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::op::ResponseCode;
    use hickory_proto::rr::rdata::{A, AAAA, CNAME};
    use hickory_proto::rr::{RData, RecordType};

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn rebinding() -> Rebinding {
        let network = |text: &str, bits| Prefix::new(text.parse().unwrap(), bits).unwrap();
        Rebinding {
            private_addresses: vec![network("10.0.0.0", 8), network("fd00::", 8)],
            private_domains: vec![name("corp.example.")],
        }
    }

    fn outcome(records: Vec<(&str, RData)>) -> Outcome {
        let mut outcome = Outcome::empty(ResponseCode::NoError);
        outcome.authentic = true;
        for (owner, data) in records {
            outcome
                .answers
                .push(Record::from_rdata(name(owner), 60, data));
        }
        outcome
    }

    #[test]
    fn private_addresses_are_taken_out_of_foreign_answers_and_others_stay() {
        let mut answer = outcome(vec![
            (
                "www.evil.example.",
                RData::CNAME(CNAME(name("x.evil.example."))),
            ),
            ("x.evil.example.", RData::A(A::new(10, 0, 0, 1))),
            ("x.evil.example.", RData::A(A::new(192, 0, 2, 1))),
            (
                "x.evil.example.",
                RData::AAAA(AAAA("fd00::1".parse().unwrap())),
            ),
            (
                "x.evil.example.",
                RData::AAAA(AAAA("::ffff:10.0.0.1".parse().unwrap())),
            ),
        ]);
        assert!(rebinding().filter(&mut answer));
        assert_eq!(answer.answers.len(), 2);
        assert!(!answer.authentic);
        assert_eq!(answer.extended_errors[0].0, extended_error::FILTERED);
    }

    #[test]
    fn own_domains_may_have_private_addresses() {
        let mut answer = outcome(vec![("www.CORP.example.", RData::A(A::new(10, 0, 0, 1)))]);
        assert!(!rebinding().filter(&mut answer));
        assert!(answer.authentic && answer.answers.len() == 1);
        let mut near = outcome(vec![("notcorp.example.", RData::A(A::new(10, 0, 0, 1)))]);
        assert!(rebinding().filter(&mut near));
    }

    #[test]
    fn services_that_hint_at_private_addresses_are_taken_out() {
        let service = |text| RData::try_from_str(RecordType::HTTPS, text).unwrap();
        let mut answer = outcome(vec![
            ("evil.example.", service("1 . ipv4hint=192.0.2.1,10.0.0.1")),
            ("evil.example.", service("2 . ipv6hint=fd00::1")),
            ("evil.example.", service("3 . ipv4hint=192.0.2.1")),
        ]);
        assert!(rebinding().filter(&mut answer));
        assert_eq!(answer.answers.len(), 1);
        assert!(!answer.authentic);
        let hint = service("1 . ipv4hint=10.0.0.1");
        assert!(!rebinding().filter(&mut outcome(vec![("www.corp.example.", hint)])));
    }
}
