//! [`Inquiries`]: what is being looked up or judged for other nodes. A subject is looked up once, whoever asks and however
//! often, and nobody's subjects keep all places.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use consensus::NodeId;

use crate::clients::Holdings;

/// What becomes of an inquiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Its subject is to be looked up.
    Begin,
    /// Its subject is being looked up already.
    Joined,
    /// There is no room.
    Full,
}

/// One subject that is being looked up.
#[derive(Debug)]
struct Lookup<S, I> {
    subject: S,
    /// For whom it began.
    holder: NodeId,
    /// The latest inquiry of each proposer: one who asks again has given up the one before.
    inquiries: BTreeMap<NodeId, I>,
}

/// Inquiries `I` about subjects `S`.
#[derive(Debug)]
pub(crate) struct Inquiries<S, I> {
    places: usize,
    lookups: HashMap<u64, Lookup<S, I>>,
    tickets: HashMap<S, u64>,
    held: Holdings<NodeId>,
}

impl<S: Clone + Eq + Hash, I> Inquiries<S, I> {
    /// At most so many subjects at the same time.
    pub(crate) fn new(places: usize) -> Self {
        Self {
            places,
            lookups: HashMap::new(),
            tickets: HashMap::new(),
            held: Holdings::default(),
        }
    }

    /// Takes one; `ticket` is new. No proposer gets more places than it leaves free, so that those who ask for
    /// too much, however many they are, leave some to everybody else.
    pub(crate) fn admit(
        &mut self,
        ticket: u64,
        subject: S,
        proposer: NodeId,
        inquiry: I,
    ) -> Admission {
        let under_way = self.tickets.get(&subject);
        if let Some(lookup) = under_way.and_then(|ticket| self.lookups.get_mut(ticket)) {
            lookup.inquiries.insert(proposer, inquiry);
            return Admission::Joined;
        }
        let free = self.places.saturating_sub(self.lookups.len());
        if self.held.of(proposer) >= free {
            return Admission::Full;
        }
        self.held.take(proposer);
        self.tickets.insert(subject.clone(), ticket);
        let lookup = Lookup {
            subject,
            holder: proposer,
            inquiries: BTreeMap::from([(proposer, inquiry)]),
        };
        self.lookups.insert(ticket, lookup);
        Admission::Begin
    }

    /// A subject was looked up: who wants to know.
    pub(crate) fn finish(&mut self, ticket: u64) -> Option<(S, Vec<I>)> {
        let lookup = self.lookups.remove(&ticket)?;
        self.held.give_back(lookup.holder);
        self.tickets.remove(&lookup.subject);
        Some((lookup.subject, lookup.inquiries.into_values().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACES: usize = 60;

    /// Of numbers, by tokens, which serve as tickets.
    type Numbers = Inquiries<u64, u64>;

    fn admit(inquiries: &mut Numbers, proposer: u64, number: u64, token: u64) -> Admission {
        inquiries.admit(token, number, NodeId(proposer), token)
    }

    /// How many places this proposer gets with subjects that nobody has asked for.
    fn fill(inquiries: &mut Numbers, proposer: u64, next: &mut u64) -> usize {
        let is_taken = |_: &usize| {
            *next += 1;
            admit(inquiries, proposer, *next, *next) == Admission::Begin
        };
        (0..).take_while(is_taken).count()
    }

    #[test]
    fn subject_is_looked_up_once_however_often_and_by_whomever_it_is_asked() {
        let mut inquiries = Inquiries::new(PLACES);
        assert_eq!(admit(&mut inquiries, 1, 7, 0), Admission::Begin);
        for token in 1..15 {
            assert_eq!(admit(&mut inquiries, 1, 7, token), Admission::Joined);
        }
        assert_eq!(admit(&mut inquiries, 2, 7, 15), Admission::Joined);
        assert_eq!(inquiries.finish(0), Some((7, vec![14, 15])));
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
