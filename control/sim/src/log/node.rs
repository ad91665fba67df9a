//! [`NodeLog`]: the real log of one process, whose thread, files, mesh and clock are the simulation's.

use std::collections::VecDeque;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use consensus::NodeId;
use ct::TreeHead;
use ctlog::{Decided, Files as _, Log, LogError, LogHandle, Mesh, Published, ShardReader};
use data_encoding::HEXLOWER;
use ledger::CtNews;

use super::files::MemoryFiles;
use super::setting::{SHARD, Setting};
use crate::random::Random;

/// How a head may have been refused that no honest node should have been asked to sign.
const REFUSALS: [&str; 3] = ["fork", "diverged", "signer"];

/// What the log wants sent.
#[derive(Debug, Default)]
struct Outbox(Mutex<Vec<Vec<u8>>>);

impl Mesh for Outbox {
    fn broadcast(&self, note: Vec<u8>) {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        notes.push(note);
    }

    // Every node sees every entry: there is nothing to fetch.
    fn fetch(
        &self,
        _: Arc<str>,
        _: String,
    ) -> Pin<Box<dyn Future<Output = Option<Vec<u8>>> + Send>> {
        Box::pin(ready(None))
    }

    fn fetch_from_each(
        &self,
        _: Arc<str>,
        _: String,
    ) -> Pin<Box<dyn Future<Output = Vec<(String, Vec<u8>)>> + Send>> {
        Box::pin(ready(Vec::new()))
    }
}

/// The log of a process, and its files, which outlive it.
#[derive(Debug)]
pub(crate) struct NodeLog {
    id: NodeId,
    /// Of the process, for its folder.
    name: String,
    public: MemoryFiles,
    state: MemoryFiles,
    outbox: Arc<Outbox>,
    running: Option<(Log, LogHandle)>,
    /// What the ledger has said, and may rest on records that are not durable.
    news: VecDeque<CtNews>,
    /// When it is looked at next, if that is known.
    pub(crate) due_us: Option<u64>,
    /// The last head that was decided.
    head: Option<TreeHead>,
    /// A certificate that must be logged before the run ends, and whether it is.
    pub(crate) last: Option<Arc<[u8]>>,
    pub(crate) is_last_placed: bool,
}

impl NodeLog {
    /// With the cosigner's key of this node, on a disk that has nothing else.
    pub(crate) fn new(setting: &Setting, id: NodeId, name: String) -> Self {
        let state = MemoryFiles::default();
        let seed = HEXLOWER.encode(&setting.cosigner_seed(id));
        state
            .replace("cosigner.key", seed.as_bytes())
            .expect("memory takes everything");
        Self {
            id,
            name,
            public: MemoryFiles::default(),
            state,
            outbox: Arc::default(),
            running: None,
            news: VecDeque::new(),
            due_us: None,
            head: None,
            last: None,
            is_last_placed: false,
        }
    }

    /// Starts from what the files have.
    pub(crate) fn boot(&mut self, setting: &Setting) -> Result<(), LogError> {
        let mesh: Arc<dyn Mesh> = Arc::<Outbox>::clone(&self.outbox);
        let settings = setting.settings(&self.name, self.id, mesh);
        let (public, state) = (self.public.clone(), self.state.clone());
        self.running = Some(Log::open(&settings, Arc::new(public), Arc::new(state))?);
        Ok(())
    }

    /// Power is gone.
    pub(crate) fn crash(&mut self, random: &mut Random) {
        self.running = None;
        self.news.clear();
        self.due_us = None;
        self.head = None;
        self.take_notes();
        self.public.cut_power(random);
        self.state.cut_power(random);
    }

    /// Forgets what its keys have signed: what must never be.
    pub(crate) fn forget_heads(&mut self) {
        for memory in ["cosigned.", "signed."] {
            self.state.lose(&format!("{SHARD}/{memory}"));
        }
    }

    /// Keeps news until they may be told. How many these are.
    pub(crate) fn keep(&mut self, news: Vec<CtNews>) -> usize {
        let count = news.len();
        self.news.extend(news);
        count
    }

    /// The first of the news that are kept.
    pub(crate) fn take_news(&mut self, count: usize) -> Vec<CtNews> {
        self.news.drain(..count.min(self.news.len())).collect()
    }

    /// Tells the log what was decided.
    pub(crate) fn decide(&mut self, news: Vec<CtNews>) {
        for item in &news {
            match item {
                CtNews::Head { head, .. } => self.head = Some(*head),
                CtNews::Appended { entries, .. } => {
                    let is_last = |entry: &ct::LogEntry| match &entry.kind {
                        ct::EntryKind::Certificate(der) => Some(der) == self.last.as_ref(),
                        ct::EntryKind::Precertificate { .. } => false,
                    };
                    self.is_last_placed |= entries.iter().any(is_last);
                }
                _ => {}
            }
        }
        if let Some((_, handle)) = &self.running {
            let decided = news.into_iter().filter_map(Decided::of).collect();
            // It is not running only when it has failed, which its turn has said.
            let _ = handle.decide(decided);
        }
    }

    /// A note of another node.
    pub(crate) fn hear(&self, from: NodeId, note: &[u8]) {
        if let Some((_, handle)) = &self.running {
            handle.on_cosigned(&from.to_string(), note);
        }
    }

    /// Does what there is to do, and says how long it may rest.
    pub(crate) fn turn(&mut self, now: Instant) -> Result<Option<Duration>, LogError> {
        let running = self.running.as_mut();
        running.map(|(log, _)| log.turn(now)).transpose()
    }

    /// Makes durable what it has, as before a snapshot of consensus. False: it cannot.
    pub(crate) fn sync(&mut self, now: Instant) -> bool {
        let Some((log, handle)) = &mut self.running else {
            return true;
        };
        let synced = handle.begin_sync();
        synced.is_ok_and(|synced| log.turn(now).is_ok() && synced.recv().is_ok())
    }

    /// What it wants sent.
    pub(crate) fn take_notes(&self) -> Vec<Vec<u8>> {
        let mut notes = self.outbox.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *notes)
    }

    pub(crate) fn reader(&self) -> Option<&ShardReader> {
        let (_, handle) = self.running.as_ref()?;
        handle.reader(SHARD)
    }

    pub(crate) fn published(&self) -> Option<Arc<Published>> {
        self.reader()?.published()
    }

    /// Whether it shows the newest tree, with its own certificate in it if it has asked for one.
    pub(crate) fn is_done(&self) -> bool {
        let shown = self.published().map(|published| published.signed.head);
        self.last.is_some() && self.is_last_placed && shown == self.head
    }

    /// In words, why it is not.
    pub(crate) fn describe(&self) -> String {
        let shown = self.published().map(|published| published.signed.head.size);
        let decided = self.head.map(|head| head.size);
        format!(
            "shown {shown:?} of {decided:?} entries, own placed: {}",
            self.is_last_placed
        )
    }

    /// What of others' cosignatures became of this sort, since it started.
    pub(crate) fn counted(&self, result: &'static str) -> u64 {
        let running = self.running.as_ref();
        running.map_or(0, |(_, handle)| handle.metrics().cosignatures(result))
    }

    /// A head that it refused, and should not have been asked to sign.
    pub(crate) fn refusal(&self) -> Option<&'static str> {
        let (_, handle) = self.running.as_ref()?;
        let is_counted = |kind: &&'static str| handle.metrics().heads_refused(SHARD, kind) > 0;
        REFUSALS.into_iter().find(is_counted)
    }
}
