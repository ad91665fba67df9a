//! The aliases of an answer, each of which the policy may have something to say about.

use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::iterate::{Outcome, Question};

/// The names that an answer came by.
#[derive(Debug)]
pub(super) struct Chain {
    /// The name asked for, then that of each alias; never empty.
    pub(super) names: Vec<Name>,
    /// Between each and the next.
    pub(super) aliases: Vec<Record>,
}

impl Chain {
    /// That of an answer. Who asks for aliases gets one, and nobody goes where it leads.
    pub(super) fn of(question: &Question, outcome: &Outcome) -> Self {
        let mut chain = Self {
            names: vec![question.qname.clone()],
            aliases: Vec::new(),
        };
        if matches!(question.qtype, RecordType::CNAME | RecordType::ANY) {
            return chain;
        }
        for record in &outcome.answers {
            if let RData::CNAME(target) = &record.data {
                chain.names.push(target.0.clone());
                chain.aliases.push(record.clone());
            }
        }
        chain
    }
}
