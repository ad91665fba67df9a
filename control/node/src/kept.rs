//! Resolved answers in wire form, kept by the front thread for clients of the kernel's sockets and
//! for punts: a hit here costs neither the way to the engine nor composing.
//!
//! The memory of a worker ([`cache::Cache`]) in control's hands. Never holds what an own zone or
//! the policy for one client made.

use cache::{Cache, ENTRY_BYTES_MAX, Entry, EntryMeta, Generations, Hasher, Key, Lookup};
use wire::UDP_PAYLOAD_BYTES_MAX;
use wire::answer::{Age, write_answer};
use wire::query::Query;

use crate::clock;
use crate::punts::is_under;
use crate::question::Finished;
use crate::responder::RESOLVED;

/// The last part of an answer's life, one in so many: the engine answers then, and may fetch the
/// answer anew before it ends.
const LAST_PART: u32 = 10;

/// Some 600,000 answers, a read of memory each. Workers miss our sign of life after half a second.
const WALK_BYTES_MAX: usize = 64 << 20;

/// The answers.
#[derive(Debug)]
pub(crate) struct Kept {
    cache: Cache,
    hasher: Hasher,
    /// Times that something was forgotten: what was asked before may be outdated when it comes.
    epoch: u32,
    /// Times that everything was: older entries are dead.
    generation: u32,
    /// Insertions before that.
    insertions_before: u64,
    /// Largest memory that is walked, in bytes.
    walk_bytes_max: usize,
    entry: Box<[u8; ENTRY_BYTES_MAX]>,
}

impl Kept {
    /// Room for `bytes`; `keys` must be random and secret.
    pub(crate) fn new(bytes: usize, keys: (u64, u64)) -> Self {
        let mut cache = Cache::with_bytes(bytes);
        cache.set_stale_secs_max(0); // Stale answers are the resolver's to give.
        Self {
            cache,
            hasher: Hasher::new(keys.0, keys.1),
            epoch: 0,
            generation: 0,
            walk_bytes_max: WALK_BYTES_MAX,
            insertions_before: 0,
            entry: Box::new([0; ENTRY_BYTES_MAX]),
        }
    }

    /// To be noted with a question, and shown with its answer.
    pub(crate) fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Writes the answer over the query at the front of `buffer`, if it is here. Gives its length.
    pub(crate) fn answer(&mut self, query: &Query, buffer: &mut [u8]) -> Option<usize> {
        let key = self.hasher.key(query);
        let slot = self.cache.locate(key.hash);
        let generations = OneGeneration(self.generation);
        let found = self.cache.get(slot, &key, clock::now_secs(), &generations);
        let Lookup::Fresh(entry, age_secs) = found else {
            return None;
        };
        if entry.ttl() - age_secs < entry.ttl() / LAST_PART {
            return None;
        }
        let limit = query.response_limit(UDP_PAYLOAD_BYTES_MAX);
        let age = Age::Fresh(age_secs);
        Some(write_answer(buffer, query, &entry.answer(), age, limit))
    }

    /// Keeps a resolved answer, if it is good for others too.
    pub(crate) fn keep(&mut self, finished: &Finished) {
        let asked = &finished.asked;
        // The engine says of a failure that it is remembered, and counts it.
        let rcode = finished.resolved.message.get(3).map(|flags| flags & 0x0f);
        let is_failure = rcode.map(u16::from) == Some(wire::rcode::SERVFAIL);
        if !finished.is_for_all() || is_failure || asked.epoch != self.epoch {
            return;
        }
        let key = self.hasher.key(&asked.query);
        let meta = EntryMeta {
            stored_at: clock::now_secs(),
            ttl: finished.resolved.ttl_secs,
            zone: RESOLVED,
            generation: self.generation,
        };
        if let Some(entry) = encode(&finished.resolved.message, &key, &meta, &mut self.entry) {
            self.cache.insert(&entry);
        }
    }

    /// Forgets a name (with all below it if true), or everything; gives how many answers, of
    /// everything at most so many.
    ///
    /// Everything takes no time, whatever there is, since each reload may want it: dead entries give way
    /// as others come. For a name all entries are walked; of a large memory all are forgotten instead,
    /// for the engine still has what the answers were made of, and queries must not wait so long.
    pub(crate) fn forget(&mut self, name: Option<(&[u8], bool)>) -> usize {
        self.epoch = self.epoch.wrapping_add(1);
        let generation = self.generation;
        let may_walk = self.cache.statistics().bytes_max <= self.walk_bytes_max;
        if let Some((qname, subtree)) = name.filter(|_| may_walk) {
            return self.cache.remove_where(|entry| {
                entry.generation() == generation && is_under(entry.qname(), qname, subtree)
            });
        }
        self.generation = generation.wrapping_add(1);
        let statistics = self.cache.statistics();
        let since = statistics.insertions - self.insertions_before;
        self.insertions_before = statistics.insertions;
        statistics
            .entries
            .min(usize::try_from(since).unwrap_or(usize::MAX))
    }
}

/// The generation of all entries that live.
struct OneGeneration(u32);

impl Generations for OneGeneration {
    fn generation(&self, _: u32) -> u32 {
        self.0
    }
}

/// The entry of a message. `None` for what does not fit one (long, for EDNS sizes above ours).
pub(crate) fn encode<'a>(
    message: &[u8],
    key: &Key<'_>,
    meta: &EntryMeta,
    out: &'a mut [u8; ENTRY_BYTES_MAX],
) -> Option<Entry<'a>> {
    let bytes = cache::encode(message, key, meta, &mut out[..]).ok()?;
    Entry::parse(out.get(..bytes)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::question::{Asked, Origin, Resolved};
    use hickory_proto::op::{Message, MessageType, OpCode, Query as Question};
    use hickory_proto::rr::rdata::A;
    use hickory_proto::rr::{Name, RData, Record, RecordType};
    use tokio::sync::mpsc;

    const QUERY: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03WWW\x07example\0\0\x01\0\x01";

    fn finished(ttl_secs: u32, epoch: u32) -> Finished {
        let name = Name::from_ascii("www.example.").unwrap();
        let mut message = Message::new(0, MessageType::Response, OpCode::Query);
        message.add_query(Question::query(name.clone(), RecordType::A));
        let address = RData::A(A::new(192, 0, 2, 1));
        message.add_answer(Record::from_rdata(name, ttl_secs, address));
        let asked = Asked {
            query: Query::parse(QUERY).unwrap(),
            client: None,
            message: QUERY.into(),
            alias: None,
            cache_only: false,
            trace: false,
            is_own_word: false,
            signer: None,
            generation: 0,
            epoch,
            tapped: None,
            origin: Origin::Channel(mpsc::channel(1).0),
        };
        let resolved = Resolved {
            message: message.to_vec().unwrap(),
            ttl_secs,
            extended_errors: Vec::new(),
            extension: None,
            from_cache: false,
            subnet_scope: None,
            trace: Vec::new(),
        };
        Finished { asked, resolved }
    }

    fn answer(kept: &mut Kept) -> Option<Message> {
        let mut buffer = [0; 1232];
        buffer[..QUERY.len()].copy_from_slice(QUERY);
        let bytes = kept.answer(&Query::parse(QUERY).unwrap(), &mut buffer)?;
        Some(Message::from_vec(&buffer[..bytes]).unwrap())
    }

    #[test]
    fn what_is_kept_answers_with_the_id_and_the_letters_of_each_query() {
        let mut kept = Kept::new(1 << 20, (1, 2));
        assert!(answer(&mut kept).is_none());
        kept.keep(&finished(300, 0));
        let answer = answer(&mut kept).unwrap();
        assert_eq!((answer.metadata.id, answer.answers.len()), (0x1234, 1));
        assert_eq!(answer.queries[0].name().to_string(), "WWW.example.");
    }

    #[test]
    fn what_was_asked_before_something_was_forgotten_is_not_kept() {
        let mut kept = Kept::new(1 << 20, (1, 2));
        let other = b"\x05other\0";
        assert_eq!(kept.forget(Some((other, true))), 0);
        kept.keep(&finished(300, 0));
        assert!(answer(&mut kept).is_none());
        kept.keep(&finished(300, kept.epoch()));
        assert!(answer(&mut kept).is_some());
        assert_eq!(kept.forget(None), 1);
        // No walk: what is dead lies there until somebody comes by.
        assert_eq!(kept.cache.statistics().entries, 1);
        assert_eq!(kept.forget(None), 0);
        assert_eq!(kept.forget(Some((&[0], true))), 0);
        assert!(answer(&mut kept).is_none());
        kept.keep(&finished(300, kept.epoch()));
        assert!(answer(&mut kept).is_some());
        assert_eq!(kept.forget(Some((&[0], true))), 1);
        assert!(answer(&mut kept).is_none());
    }

    #[test]
    fn a_memory_too_large_to_be_walked_forgets_everything_for_a_name() {
        for (walk_bytes_max, stays) in [(1 << 20, true), ((1 << 20) - 4096, false)] {
            let mut kept = Kept::new(1 << 20, (1, 2));
            kept.walk_bytes_max = walk_bytes_max;
            kept.keep(&finished(300, 0));
            let forgotten = kept.forget(Some((b"\x05other\0", true)));
            assert_eq!(forgotten, usize::from(!stays));
            assert_eq!(answer(&mut kept).is_some(), stays);
        }
    }

    #[test]
    fn answers_that_are_not_for_all_are_not_kept() {
        let mut kept = Kept::new(1 << 20, (1, 2));
        kept.keep(&finished(0, 0));
        let mut from_cache = finished(300, 0);
        from_cache.asked.cache_only = true;
        kept.keep(&from_cache);
        assert!(answer(&mut kept).is_none());
    }

    #[test]
    fn the_engine_is_asked_in_the_last_part_of_an_answers_life() {
        let mut kept = Kept::new(1 << 20, (1, 2));
        let finished = finished(300, 0);
        let key = kept.hasher.key(&finished.asked.query);
        for (age_secs, is_given) in [(269, true), (271, false), (300, false)] {
            let meta = EntryMeta {
                stored_at: clock::now_secs().saturating_sub(age_secs),
                ttl: 300,
                zone: RESOLVED,
                generation: 0,
            };
            let entry = encode(&finished.resolved.message, &key, &meta, &mut kept.entry).unwrap();
            kept.cache.insert(&entry);
            assert_eq!(answer(&mut kept).is_some(), is_given, "{age_secs}");
        }
    }
}
