//! A disk of one node: a log whose records count once they are durable, effects that wait for them,
//! history and a snapshot; and what is left of it all after a crash.

use std::collections::{BTreeMap, VecDeque};

use consensus::{
    CheckpointBody, CheckpointCertificate, Configuration, Effect, HistoryItem, Record, Recovered,
    Sequence, Wire,
};

use crate::machine::{Entry, hash};
use crate::random::Random;

/// Items that stay in history behind the last snapshot.
const HISTORY_KEPT: u64 = 6;

type Snapshot = (CheckpointCertificate, CheckpointBody, Vec<u8>);

/// What waits to become durable.
#[derive(Debug)]
enum Write {
    Record(Vec<u8>),
    Install(Box<Snapshot>, Vec<Record>),
}

/// What clients and judges may see of a state from some time on.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Publication {
    /// What was executed since the publication before.
    pub(crate) entries: Vec<Entry>,
    /// The registers.
    pub(crate) values: BTreeMap<u8, u64>,
    /// How many of the ledger's news belong to it.
    pub(crate) news: usize,
}

/// What happens next.
#[derive(Debug, PartialEq)]
pub(crate) enum Done {
    /// The disk has done something of its own.
    Own,
    /// A batch is in history.
    Appended(HistoryItem),
    /// A snapshot of this is kept.
    Kept(CheckpointBody),
    /// A state is in service.
    Published(Publication),
    /// An effect that is the world's.
    Effect(Box<Effect>),
}

/// What waits for a write. A stable checkpoint is three steps, between which power may go.
#[derive(Debug)]
enum Task {
    Effect(Effect),
    Publish(Publication),
    ReplaceLog(Vec<Record>),
    StoreSnapshot(CheckpointCertificate, CheckpointBody),
}

/// The disk.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    log: Vec<(u64, Vec<u8>)>,
    writes: VecDeque<(u64, Write)>,
    /// Of the last write asked for, and of the last that is durable.
    asked: u64,
    durable: u64,
    syncing: Option<u64>,
    /// Tasks, and the write that must be durable before.
    waiting: VecDeque<(u64, Task)>,
    history: Vec<HistoryItem>,
    history_durable: usize,
    pending: Option<(CheckpointBody, Vec<u8>)>,
    snapshot: Option<Snapshot>,
}

impl Disk {
    /// Takes an effect over, to be given back by [`Disk::next`] when it may happen.
    pub(crate) fn push(&mut self, effect: Effect) {
        match effect {
            Effect::Persist(record) => {
                self.asked += 1;
                let write = Write::Record(record.to_bytes());
                self.writes.push_back((self.asked, write));
            }
            Effect::Install {
                certificate,
                body,
                snapshot,
                records,
            } => {
                self.asked += 1;
                let snapshot = Box::new((certificate, body, snapshot));
                let write = Write::Install(snapshot, records);
                self.writes.push_back((self.asked, write));
            }
            Effect::Stable {
                certificate,
                body,
                records,
            } => {
                let steps = [
                    Task::Effect(Effect::SyncHistory),
                    Task::ReplaceLog(records),
                    Task::StoreSnapshot(certificate, body),
                ];
                let needs = self.asked;
                self.waiting.extend(steps.map(|step| (needs, step)));
            }
            other => self.waiting.push_back((self.asked, Task::Effect(other))),
        }
    }

    /// Gives a state back by [`Disk::next`] when all records so far, and so many more that it rests on,
    /// are durable.
    pub(crate) fn publish(&mut self, publication: Publication, more: u64) {
        let task = Task::Publish(publication);
        self.waiting.push_back((self.asked + more, task));
    }

    /// Whether nothing waits for it, so that the judges have seen all that the node has done.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The next that may happen. `early`: although it should wait.
    pub(crate) fn next(&mut self, early: bool) -> Option<Done> {
        let (needs, _) = self.waiting.front()?;
        if *needs > self.durable && !early {
            return None;
        }
        let (needs, task) = self.waiting.pop_front()?;
        match task {
            Task::Effect(Effect::Append(item)) => {
                self.history.push(item.clone());
                return Some(Done::Appended(item));
            }
            Task::Effect(Effect::SyncHistory) => self.history_durable = self.history.len(),
            Task::Effect(Effect::Snapshot(body, bytes)) => {
                self.pending = Some((body.clone(), bytes));
                return Some(Done::Kept(body));
            }
            Task::Publish(publication) => return Some(Done::Published(publication)),
            Task::Effect(effect) => return Some(Done::Effect(Box::new(effect))),
            Task::ReplaceLog(records) => {
                let later = self.log.iter().filter(|(at, _)| *at > needs).cloned();
                let kept = records.iter().map(|record| (needs, record.to_bytes()));
                self.log = kept.chain(later).collect();
            }
            Task::StoreSnapshot(certificate, body) => self.store_snapshot(certificate, body),
        }
        Some(Done::Own)
    }

    fn store_snapshot(&mut self, certificate: CheckpointCertificate, body: CheckpointBody) {
        let pending = self.pending.take_if(|(of, _)| *of == body);
        if let Some((body, bytes)) = pending {
            let begin = Sequence(body.sequence.0.saturating_sub(HISTORY_KEPT));
            let unsure = self.history.len() - self.history_durable;
            self.history.retain(|item| item.sequence() > begin);
            self.history_durable = self.history.len().saturating_sub(unsure);
            self.snapshot = Some((certificate, body, bytes));
        }
    }

    /// Whether something should be made durable and nothing is on its way.
    pub(crate) fn begin_sync(&mut self) -> bool {
        let is_due = self.syncing.is_none() && self.asked > self.durable;
        if is_due {
            // A snapshot that replaces everything is written alone: what stands before it comes before.
            let first = self.writes.front().map(|(at, _)| *at);
            self.syncing = Some(match self.first_install() {
                Some(at) if Some(at) == first => at,
                Some(at) => at - 1,
                None => self.asked,
            });
        }
        is_due
    }

    fn first_install(&self) -> Option<u64> {
        let is_install = |(_, write): &&(u64, Write)| matches!(write, Write::Install(..));
        self.writes.iter().find(is_install).map(|(at, _)| *at)
    }

    /// What was on its way is durable. History is not: only [`Effect::SyncHistory`] makes it so.
    pub(crate) fn end_sync(&mut self) {
        let Some(until) = self.syncing.take() else {
            return;
        };
        self.durable = until;
        while let Some((at, write)) = self.writes.pop_front_if(|(at, _)| *at <= until) {
            match write {
                Write::Record(bytes) => self.log.push((at, bytes)),
                Write::Install(snapshot, records) => {
                    self.snapshot = Some(*snapshot);
                    self.history.clear();
                    self.history_durable = 0;
                    self.pending = None;
                    self.log = records.iter().map(|r| (at, r.to_bytes())).collect();
                }
            }
        }
    }

    /// Power is gone. If `torn`, a part of what was on its way is there, cut or flipped somewhere.
    pub(crate) fn crash(&mut self, torn: bool, random: &mut Random) {
        self.lose_history(random);
        let survivors = if torn {
            self.torn_tail(random)
        } else {
            Vec::new()
        };
        if torn && let Some((at, Write::Install(_, records))) = self.writes.front() {
            // The log is replaced before the snapshot is stored.
            if random.chance(50) {
                self.log = records.iter().map(|r| (*at, r.to_bytes())).collect();
            }
        }
        self.writes.clear();
        self.waiting.clear();
        self.pending = None;
        self.syncing = None;
        self.asked += 1;
        self.durable = self.asked;
        let at = self.asked;
        self.log
            .extend(survivors.into_iter().map(|bytes| (at, bytes)));
    }

    /// Of what history got since it was durable, a beginning is left.
    fn lose_history(&mut self, random: &mut Random) {
        let unsure = self.history.len() - self.history_durable;
        let left = self.history_durable + random.index(unsure + 1);
        self.history.truncate(left);
        self.history_durable = left;
    }

    /// The records of the tail whose checksums hold, up to the first that does not.
    fn torn_tail(&self, random: &mut Random) -> Vec<Vec<u8>> {
        let mut bytes = Vec::new();
        for (_, write) in &self.writes {
            let Write::Record(record) = write else { break };
            bytes.extend_from_slice(&(record.len() as u64).to_be_bytes());
            bytes.extend_from_slice(&hash(record).to_be_bytes());
            bytes.extend_from_slice(record);
        }
        bytes.truncate(random.index(bytes.len() + 1));
        if random.chance(30) {
            let at = random.index(bytes.len());
            bytes
                .iter_mut()
                .skip(at)
                .take(1)
                .for_each(|byte| *byte ^= 0x10);
        }
        let (mut rest, mut records) = (bytes.as_slice(), Vec::new());
        while let Some((head, body)) = rest.split_first_chunk::<16>() {
            let (length, sum) = head.split_at(8);
            let number = |part: &[u8]| part.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
            let length = usize::try_from(number(length)).unwrap_or(usize::MAX);
            let Some(record) = body.get(..length).filter(|r| hash(r) == number(sum)) else {
                break;
            };
            records.push(record.to_vec());
            rest = &body[length..];
        }
        records
    }

    /// Nothing was ever written.
    pub(crate) fn wipe(&mut self) {
        *self = Self::default();
    }

    /// Forgets what was promised, but not what was committed.
    pub(crate) fn forget_log(&mut self) {
        let is_promise = |bytes: &[u8]| {
            matches!(
                Record::from_bytes(bytes),
                Ok(Record::Accepted(_) | Record::Prepared(_) | Record::ViewWanted(..))
            )
        };
        self.log.retain(|(_, bytes)| !is_promise(bytes));
    }

    /// What a node starts from.
    pub(crate) fn recover(&self, genesis: Configuration) -> Recovered {
        let begin = self
            .snapshot
            .as_ref()
            .map_or(Sequence(0), |(_, body, _)| body.sequence);
        let records = self.log.iter().map(|(_, bytes)| Record::from_bytes(bytes));
        Recovered {
            genesis,
            snapshot: self.snapshot.clone(),
            history: self
                .history
                .iter()
                .filter(|item| item.sequence() > begin)
                .cloned()
                .collect(),
            records: records
                .map(|record| record.expect("its checksum held"))
                .collect(),
        }
    }

    /// The last snapshot.
    pub(crate) fn snapshot(&self) -> Option<&Snapshot> {
        self.snapshot.as_ref()
    }

    /// History that follows a sequence, in parts of about so many bytes. `None` if it begins later.
    pub(crate) fn history_after(
        &self,
        after: Sequence,
        bytes_max: usize,
    ) -> Option<Vec<HistoryItem>> {
        let is_batch = |item: &&HistoryItem| matches!(item, HistoryItem::Batch { .. });
        let first = self
            .history
            .iter()
            .find(is_batch)
            .map(HistoryItem::sequence);
        let snapshot = self
            .snapshot
            .as_ref()
            .map_or(Sequence(0), |(_, body, _)| body.sequence);
        if first.unwrap_or(snapshot.next()) > after.next() {
            return None;
        }
        let mut bytes = 0;
        let is_behind = |item: &&HistoryItem| match item {
            HistoryItem::Batch { .. } => item.sequence() <= after,
            HistoryItem::Checkpoint(..) => item.sequence() < after,
        };
        let follows = self.history.iter().skip_while(is_behind);
        let fits = follows.take_while(|item| {
            let had = bytes;
            bytes += item.to_bytes().len();
            had < bytes_max
        });
        Some(fits.cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use consensus::{Digest, Epoch, View};

    use super::*;

    fn record(view: u64) -> Effect {
        Effect::Persist(Record::ViewWanted(Epoch(0), View(view)))
    }

    fn views(disk: &Disk) -> Vec<u64> {
        let view = |(_, bytes): &(u64, Vec<u8>)| match Record::from_bytes(bytes) {
            Ok(Record::ViewWanted(_, view)) => view.0,
            other => panic!("{other:?}"),
        };
        disk.log.iter().map(view).collect()
    }

    #[test]
    fn effect_behind_a_record_waits_until_that_record_is_durable() {
        let mut disk = Disk::default();
        disk.push(Effect::ReadReady(1));
        disk.push(record(1));
        disk.push(Effect::ReadReady(2));
        let ready = |token| Some(Done::Effect(Box::new(Effect::ReadReady(token))));
        assert_eq!(disk.next(false), ready(1));
        assert_eq!(disk.next(false), None);
        assert!(disk.begin_sync());
        disk.push(record(2));
        disk.push(Effect::ReadReady(3));
        disk.end_sync();
        assert_eq!(disk.next(false), ready(2));
        assert_eq!(disk.next(false), None);
    }

    #[test]
    fn state_is_published_behind_the_records_that_it_rests_on() {
        let mut disk = Disk::default();
        disk.push(record(1));
        disk.publish(Publication::default(), 1);
        disk.push(record(2));
        disk.begin_sync();
        disk.end_sync();
        assert_eq!(
            disk.next(false),
            Some(Done::Published(Publication::default()))
        );
        disk.publish(Publication::default(), 1);
        assert_eq!(disk.next(false), None);
        disk.push(record(3));
        disk.begin_sync();
        disk.end_sync();
        assert_eq!(
            disk.next(false),
            Some(Done::Published(Publication::default()))
        );
    }

    fn checkpoint() -> Effect {
        let body = CheckpointBody {
            sequence: Sequence(4),
            state_root: Digest([0; 32]),
            clients_root: Digest([0; 32]),
            time_ms: 0,
            boundary: None,
            configuration: configuration(),
        };
        Effect::Append(HistoryItem::Checkpoint(
            CheckpointCertificate::default(),
            Box::new(body),
        ))
    }

    fn configuration() -> Configuration {
        let plan = crate::Plan::draw(1, &[], None);
        let keys: Vec<_> = (0..4).map(|node| crate::Key::new(1, node)).collect();
        let members = keys.iter().enumerate();
        let members = members.map(|(node, key)| crate::world::member(&plan, key, node));
        Configuration::new(Epoch(0), members.collect(), 10, 2).expect("four members are safe")
    }

    #[test]
    fn history_survives_a_crash_from_its_sync_on() {
        let mut lengths = std::collections::BTreeSet::new();
        for seed in 0..50 {
            let mut random = Random::new(seed, "disk");
            let mut disk = Disk::default();
            disk.push(checkpoint());
            disk.push(Effect::SyncHistory);
            disk.push(checkpoint());
            while disk.next(false).is_some() {}
            disk.push(record(1));
            disk.begin_sync();
            disk.end_sync();
            disk.crash(false, &mut random);
            lengths.insert(disk.history.len());
        }
        assert!(lengths.into_iter().eq([1, 2]));
    }

    #[test]
    fn crash_keeps_what_was_durable_and_of_the_rest_a_beginning_at_most() {
        for seed in 0..200 {
            let mut random = Random::new(seed, "disk");
            let mut disk = Disk::default();
            (0..3).for_each(|view| disk.push(record(view)));
            disk.begin_sync();
            disk.end_sync();
            (3..8).for_each(|view| disk.push(record(view)));
            disk.crash(seed % 2 == 0, &mut random);
            let left = views(&disk);
            assert!(left.len() >= 3, "seed {seed}: {left:?}");
            assert!(
                left.iter().copied().eq(0..left.len() as u64),
                "seed {seed}: {left:?}"
            );
            disk.push(record(9));
            disk.begin_sync();
            disk.end_sync();
            assert_eq!(views(&disk).last(), Some(&9));
        }
    }
}
