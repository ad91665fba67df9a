//! ANY answered with one record (RFC 8482 §4.2): the type is a tool of attackers, and what a cache
//! happens to hold is no answer to it.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::HINFO;
use hickory_proto::rr::{RData, Record, RecordType};

use crate::iterate::{Outcome, Question};

/// TTL of the record, in seconds: long, so that nobody asks again soon.
const TTL_SECS: u32 = 3_789;

/// The one record, for a question of type ANY.
#[must_use]
pub fn minimal_any(question: &Question) -> Option<Outcome> {
    if question.qtype != RecordType::ANY {
        return None;
    }
    let mut outcome = Outcome::empty(ResponseCode::NoError);
    let data = RData::HINFO(HINFO::new("RFC8482".to_owned(), String::new()));
    outcome.answers = vec![Record::from_rdata(question.qname.clone(), TTL_SECS, data)];
    outcome.ttl_secs = TTL_SECS;
    Some(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::rr::Name;

    #[test]
    fn any_is_answered_with_one_hinfo_and_other_types_are_not() {
        let name = Name::from_ascii("www.example.").unwrap();
        let outcome = minimal_any(&Question::new(name.clone(), RecordType::ANY)).unwrap();
        assert_eq!(outcome.answers.len(), 1);
        assert_eq!(
            outcome.answers[0].to_string(),
            "www.example. 3789 IN HINFO RFC8482 "
        );
        assert!(minimal_any(&Question::new(name, RecordType::HINFO)).is_none());
    }
}
