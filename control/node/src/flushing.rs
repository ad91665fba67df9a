//! Flushes under way: the shared table is walked in pieces, so that queries and the dataplane's
//! watch over control do not wait for gigabytes.

use std::collections::VecDeque;

use exchange::TableWriter;
use tokio::sync::oneshot;

use crate::punts::is_under;

/// Buckets in one piece: half a MiB, some tenths of a millisecond.
const BUCKETS_MAX: usize = 256;
/// Flushes that wait. Whoever has more gets all answers killed at once.
const FLUSHES_MAX: usize = 64;

/// What is to be forgotten: a name in wire form (with all below it if true), or everything.
pub(crate) type Target = Option<(Vec<u8>, bool)>;

/// One of them.
#[derive(Debug)]
pub(crate) struct Flush {
    target: Target,
    done: oneshot::Sender<u64>,
    /// The next bucket.
    at: usize,
    removed: u64,
}

impl Flush {
    /// The name, and whether all below it is meant too.
    pub(crate) fn target(&self) -> (&[u8], bool) {
        let target = self.target.as_ref();
        target.map_or((&[0], true), |(qname, subtree)| (qname, *subtree))
    }

    /// Says how many answers are gone.
    pub(crate) fn end(self) {
        let _ = self.done.send(self.removed); // Nobody waits any more: no harm.
    }
}

/// Those that wait, the first of them under way.
#[derive(Debug, Default)]
pub(crate) struct Flushes(VecDeque<Flush>);

impl Flushes {
    /// Adds one that has removed so many answers elsewhere.
    ///
    /// # Errors
    /// Gives it back if too many wait already.
    pub(crate) fn add(
        &mut self,
        target: Target,
        removed: u64,
        done: oneshot::Sender<u64>,
    ) -> Result<(), Flush> {
        let flush = Flush {
            target,
            done,
            at: 0,
            removed,
        };
        if self.0.len() >= FLUSHES_MAX {
            return Err(flush);
        }
        self.0.push_back(flush);
        Ok(())
    }

    /// Another table is there.
    pub(crate) fn restart(&mut self) {
        for flush in &mut self.0 {
            flush.at = 0;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// No table is there.
    pub(crate) fn end_all(&mut self) {
        self.0.drain(..).for_each(Flush::end);
    }

    /// Walks another piece; gives the flush if the table is through. The workers are to forget then.
    pub(crate) fn go_on(&mut self, table: &mut TableWriter) -> Option<Flush> {
        let flush = self.0.front_mut()?;
        let (qname, subtree) = flush.target();
        let walked = table.remove_where(flush.at, BUCKETS_MAX, |entry| {
            is_under(entry.qname(), qname, subtree)
        });
        // An error: the table is another control's.
        let (removed, next) = walked.unwrap_or_default();
        flush.removed += removed as u64;
        match next {
            Some(next) => {
                flush.at = next;
                None
            }
            None => self.0.pop_front(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kept::encode;
    use cache::{ENTRY_BYTES_MAX, EntryMeta, Hasher};
    use hickory_proto::op::{Message, MessageType, OpCode, Query as Question};
    use hickory_proto::rr::{Name, RecordType};
    use wire::query::Query;

    const NAMES: u32 = 500;

    /// Puts answers for `x0.example.` and so on into the table.
    fn fill(table: &mut TableWriter) {
        let hasher = Hasher::new(1, 2);
        let meta = EntryMeta {
            stored_at: 1,
            ttl: 600,
            zone: 0,
            generation: 0,
        };
        for number in 0..NAMES {
            let name = Name::from_ascii(format!("x{number}.example.")).unwrap();
            let mut message = Message::new(0, MessageType::Query, OpCode::Query);
            message.add_query(Question::query(name, RecordType::A));
            let query = Query::parse(&message.to_vec().unwrap()).unwrap();
            message.metadata.message_type = MessageType::Response;
            let response = message.to_vec().unwrap();
            let mut out = [0; ENTRY_BYTES_MAX];
            let entry = encode(&response, &hasher.key(&query), &meta, &mut out).unwrap();
            table.insert(&entry, 1).unwrap();
        }
    }

    #[test]
    fn a_large_table_is_walked_in_pieces_and_the_end_is_told() {
        let config = exchange::RegionConfig {
            table_buckets: 1024,
            ..exchange::RegionConfig::default()
        };
        let region = exchange::Region::create(&config).unwrap();
        let control = region.attach_control().unwrap();
        let mut table = control.control(0).unwrap().table;
        fill(&mut table);
        let mut flushes = Flushes::default();
        let (done, mut told) = oneshot::channel();
        let example = Some((b"\x07example\0".to_vec(), true));
        flushes.add(example, 3, done).unwrap();
        for _ in 0..3 {
            assert!(flushes.go_on(&mut table).is_none());
            assert!(told.try_recv().is_err());
        }
        // Another table is begun anew; this one has a quarter left.
        flushes.restart();
        let mut through = None;
        for piece in 0..4 {
            assert!(through.is_none(), "{piece}");
            through = flushes.go_on(&mut table);
        }
        let flush = through.unwrap();
        assert_eq!(flush.target(), (&b"\x07example\0"[..], true));
        flush.end();
        assert_eq!(told.try_recv(), Ok(u64::from(NAMES) + 3));
        assert!(flushes.is_empty());
    }

    #[test]
    fn flushes_are_bounded_and_end_where_no_table_is() {
        let mut flushes = Flushes::default();
        let mut told = Vec::new();
        for number in 0..=FLUSHES_MAX as u64 {
            let (done, end) = oneshot::channel();
            told.push(end);
            if let Err(flush) = flushes.add(None, number, done) {
                assert_eq!(flush.target(), (&[0][..], true));
                flush.end();
            }
        }
        assert_eq!(told[FLUSHES_MAX].try_recv(), Ok(FLUSHES_MAX as u64));
        assert!(told[0].try_recv().is_err());
        flushes.end_all();
        assert_eq!(told[1].try_recv(), Ok(1));
    }
}
