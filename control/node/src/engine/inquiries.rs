//! [`Inquiries`]: what is being looked up for other nodes. A question is looked up once, whoever asks and however
//! often, and nobody's questions keep all places.

use std::collections::{BTreeMap, HashMap};

use consensus::NodeId;
use resolver::agreement::Key;
use resolver::iterate::Question;

use crate::agreement::Inquiry;
use crate::clients::Holdings;

/// What becomes of an inquiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It is to be looked up.
    Begin,
    /// Its question is being looked up already.
    Joined,
    /// There is no room.
    Full,
}

/// One question that is being looked up.
#[derive(Debug)]
struct Lookup {
    question: Question,
    /// For whom it began.
    holder: NodeId,
    /// The latest inquiry of each proposer: one who asks again has given up the one before.
    inquiries: BTreeMap<NodeId, Inquiry>,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Inquiries {
    places: usize,
    lookups: HashMap<u64, Lookup>,
    tickets: HashMap<Key, u64>,
    held: Holdings<NodeId>,
}

impl Inquiries {
    /// At most so many questions at the same time.
    pub(super) fn new(places: usize) -> Self {
        Self {
            places,
            lookups: HashMap::new(),
            tickets: HashMap::new(),
            held: Holdings::default(),
        }
    }

    /// Takes one. No proposer gets more places than it leaves free, so that those who ask for
    /// too much, however many they are, leave some to everybody else.
    pub(super) fn admit(
        &mut self,
        ticket: u64,
        inquiry: &Inquiry,
        question: &Question,
    ) -> Admission {
        let proposer = inquiry.proposer;
        let under_way = self.tickets.get(&inquiry.key);
        if let Some(lookup) = under_way.and_then(|ticket| self.lookups.get_mut(ticket)) {
            lookup.inquiries.insert(proposer, inquiry.clone());
            return Admission::Joined;
        }
        let free = self.places.saturating_sub(self.lookups.len());
        if self.held.of(proposer) >= free {
            return Admission::Full;
        }
        self.held.take(proposer);
        self.tickets.insert(inquiry.key.clone(), ticket);
        let lookup = Lookup {
            question: question.clone(),
            holder: proposer,
            inquiries: BTreeMap::from([(proposer, inquiry.clone())]),
        };
        self.lookups.insert(ticket, lookup);
        Admission::Begin
    }

    /// A question was looked up: who wants to know.
    pub(super) fn finish(&mut self, ticket: u64) -> Option<(Question, Vec<Inquiry>)> {
        let lookup = self.lookups.remove(&ticket)?;
        self.held.give_back(lookup.holder);
        let inquiries: Vec<_> = lookup.inquiries.into_values().collect();
        inquiries.iter().for_each(|inquiry| {
            self.tickets.remove(&inquiry.key);
        });
        Some((lookup.question, inquiries))
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::{Name, RecordType};

    use super::*;

    const PLACES: usize = 60;

    fn question(number: u64) -> Question {
        let name = Name::from_ascii(format!("n{number}.example.")).unwrap();
        Question::new(name, RecordType::A)
    }

    fn admit(inquiries: &mut Inquiries, proposer: u64, number: u64, token: u64) -> Admission {
        let question = question(number);
        let inquiry = Inquiry {
            token,
            proposer: NodeId(proposer),
            key: Key::of(&question),
        };
        inquiries.admit(token, &inquiry, &question)
    }

    /// How many places this proposer gets with questions that nobody has asked.
    fn fill(inquiries: &mut Inquiries, proposer: u64, next: &mut u64) -> usize {
        let is_taken = |_: &usize| {
            *next += 1;
            admit(inquiries, proposer, *next, *next) == Admission::Begin
        };
        (0..).take_while(is_taken).count()
    }

    #[test]
    fn question_is_looked_up_once_however_often_and_by_whomever_it_is_asked() {
        let mut inquiries = Inquiries::new(PLACES);
        assert_eq!(admit(&mut inquiries, 1, 7, 0), Admission::Begin);
        for token in 1..15 {
            assert_eq!(admit(&mut inquiries, 1, 7, token), Admission::Joined);
        }
        assert_eq!(admit(&mut inquiries, 2, 7, 15), Admission::Joined);
        let (asked, who) = inquiries.finish(0).unwrap();
        assert_eq!(asked, question(7));
        let tokens: Vec<_> = who.iter().map(|inquiry| inquiry.token).collect();
        assert_eq!(tokens, [14, 15]);
        assert!(inquiries.finish(0).is_none());
        assert_eq!(admit(&mut inquiries, 2, 7, 16), Admission::Begin, "anew");
    }

    #[test]
    fn who_asks_for_too_much_leaves_places_to_everybody_else() {
        let (mut inquiries, mut next) = (Inquiries::new(PLACES), 0);
        assert_eq!(fill(&mut inquiries, 1, &mut next), PLACES / 2);
        assert_eq!(fill(&mut inquiries, 2, &mut next), PLACES / 4);
        // Two that ask for more whenever there is room share two thirds.
        for ticket in 1..=30 {
            inquiries.finish(ticket).unwrap();
            fill(&mut inquiries, 2, &mut next);
            fill(&mut inquiries, 1, &mut next);
        }
        let held = [1, 2].map(|proposer| inquiries.held.of(NodeId(proposer)));
        assert!(
            held.iter().all(|held| held.abs_diff(PLACES / 3) <= 1),
            "{held:?}"
        );
        assert_eq!(fill(&mut inquiries, 3, &mut next), PLACES / 6);
    }
}
