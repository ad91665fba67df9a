//! [`Log`]: the thread that owns all shards of a node, and [`LogHandle`], by which others reach it.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvError, Sender};
use ct::{Checkpoint, Note, VerifierKey};
use tokio::sync::watch;

use crate::ballots::Cosigned;
use crate::catch_up::Found;
use crate::cosigner::{Cosigner, KeyProver};
use crate::decided::Decided;
use crate::error::{LogError, of_files};
use crate::files::{Files, LocalFiles};
use crate::index::Index;
use crate::issuers::Issuers;
use crate::metrics::{Metrics, Refused};
use crate::notes::{Notes, WaitingNote};
use crate::reader::{ShardReader, Shared, Stopped};
use crate::remembered::Remembered;
use crate::settings::{Settings, ShardSettings};
use crate::shard_log::{Common, ShardLog};
use crate::signer::{FileSigner, Signer};
use crate::store::{Store, load_edge};
use crate::sync::{SyncJob, SyncThread};
use crate::validators::Validators;

/// Calls of [`LogHandle::decide`] that wait; who calls more often waits too.
const DECISIONS_MAX: usize = 64;

/// Batches of entries of others that wait.
const FOUND_MAX: usize = 4;

/// Of a note of a cosigner: a checkpoint, and a signature or some.
const COSIGNED_BYTES_MAX: usize = 16 << 10;

/// What is taken in one round before what follows from it is done.
const ROUND_MAX: usize = 64;

/// The log is looked at so often if nothing happens.
const IDLE: Duration = Duration::from_secs(1);

/// The log of one node.
#[derive(Debug)]
pub struct Log {
    shards: BTreeMap<Arc<str>, ShardLog>,
    common: Common,
    syncs: Sender<SyncJob>,
    inbox: Inbox,
}

#[derive(Debug)]
struct Inbox {
    commands: Receiver<Command>,
    cosigned: Receiver<WaitingNote>,
    found: Receiver<Found>,
    failed: Receiver<LogError>,
}

#[derive(Debug)]
enum Command {
    Decide(Vec<Decided>),
    /// Answered when all that was decided before is durable.
    Sync(Sender<()>),
    Stop,
}

/// The way to the log. A clone reaches the same.
#[derive(Debug, Clone)]
pub struct LogHandle {
    commands: Sender<Command>,
    cosigned: Notes,
    readers: Arc<BTreeMap<Arc<str>, ShardReader>>,
    cosigner: VerifierKey,
    prover: KeyProver,
    metrics: Metrics,
}

impl Log {
    /// Opens the shards in folders of this machine, and begins.
    ///
    /// # Errors
    /// If a key or file cannot be used, or no thread can be had.
    pub fn start(
        settings: &Settings,
    ) -> Result<(LogHandle, JoinHandle<Result<(), LogError>>), LogError> {
        let public = LocalFiles::new(settings.folder.clone(), 0o644);
        let state = LocalFiles::new(settings.state_folder.clone(), 0o600);
        Self::start_with(settings, Arc::new(public), Arc::new(state))
    }

    /// The same with files elsewhere. Only the indices are in `settings.state_folder` all the same.
    ///
    /// # Errors
    /// If a key or file cannot be used, or no thread can be had.
    pub fn start_with(
        settings: &Settings,
        public: Arc<dyn Files>,
        state: Arc<dyn Files>,
    ) -> Result<(LogHandle, JoinHandle<Result<(), LogError>>), LogError> {
        let (log, handle, sync_thread) = Self::make(settings, public, state)?;
        let thread = std::thread::Builder::new().name("ct-log".to_owned());
        let thread = thread.spawn(move || {
            let ended = log.run();
            if let Err(panic) = sync_thread.join() {
                std::panic::resume_unwind(panic);
            }
            if let Err(error) = &ended {
                tracing::error!(%error, "the log has stopped");
            }
            ended
        });
        Ok((handle, thread.map_err(of_files("thread of the log"))?))
    }

    /// Opens the shards and leaves the rest to the caller, who takes [`Self::turn`]s in place of the thread: in a simulation,
    /// which has a clock of its own.
    ///
    /// # Errors
    /// If a key or file cannot be used, or no thread can be had for syncs.
    pub fn open(
        settings: &Settings,
        public: Arc<dyn Files>,
        state: Arc<dyn Files>,
    ) -> Result<(Self, LogHandle), LogError> {
        let (log, handle, _) = Self::make(settings, public, state)?;
        Ok((log, handle))
    }

    /// The log, the way to it, and the thread of its syncs, which ends after it.
    fn make(
        settings: &Settings,
        public: Arc<dyn Files>,
        state: Arc<dyn Files>,
    ) -> Result<(Self, LogHandle, JoinHandle<()>), LogError> {
        let cosigner = Cosigner::load_or_create(&settings.name, &settings.node, &*state)?;
        let (verifier, prover) = (cosigner.verifier().clone(), cosigner.prover());
        let metrics = Metrics::default();
        let (commands, commands_in) = crossbeam_channel::bounded(DECISIONS_MAX);
        let (cosigned, cosigned_in) = Notes::channel();
        let (found, found_in) = crossbeam_channel::bounded(FOUND_MAX);
        let common = Common {
            cosigner,
            validators: watch::Sender::new(Arc::default()),
            log: settings.name.clone(),
            mesh: Arc::clone(&settings.mesh),
            runtime: settings.runtime.clone(),
            issuers: Issuers::new(Arc::clone(&state)),
            metrics: metrics.clone(),
            state,
            publish_gap: settings.publish_gap,
            folder_gap: settings.folder_gap,
            found,
        };
        let (mut shards, mut readers) = (BTreeMap::new(), BTreeMap::new());
        for shard in &settings.shards {
            let (log, reader) = open_shard(settings, shard, &public, &common)?;
            let name: Arc<str> = Arc::from(shard.spec.window.name.as_str());
            shards.insert(Arc::clone(&name), log);
            readers.insert(name, reader);
        }
        let SyncThread {
            jobs: syncs,
            failed,
            thread: sync_thread,
        } = SyncThread::start(metrics.clone())?;
        let inbox = Inbox {
            commands: commands_in,
            cosigned: cosigned_in,
            found: found_in,
            failed,
        };
        let log = Self {
            shards,
            common,
            syncs,
            inbox,
        };
        let handle = LogHandle {
            commands,
            cosigned,
            readers: Arc::new(readers),
            cosigner: verifier,
            prover,
            metrics,
        };
        Ok((log, handle, sync_thread))
    }

    /// Takes what has come, and does what follows from it at this moment; says how long nothing else needs to be done. Moments
    /// do not go back, and may be ahead of the clock.
    ///
    /// # Errors
    /// As the thread would have ended.
    pub fn turn(&mut self, now: Instant) -> Result<Duration, LogError> {
        self.take_more(now)?;
        self.settle(now)
    }

    fn run(mut self) -> Result<(), LogError> {
        let mut wait = Duration::ZERO;
        loop {
            crossbeam_channel::select_biased! {
                recv(self.inbox.commands) -> command => match command {
                    Ok(command) => {
                        if !self.on_command(command)? {
                            return self.end();
                        }
                    }
                    Err(_) => return Ok(()),
                },
                recv(self.inbox.failed) -> failed => return Err(why_sync_failed(failed)),
                recv(self.inbox.cosigned) -> waiting => {
                    if let Ok(waiting) = waiting {
                        self.on_cosigned(&waiting, Instant::now());
                    }
                },
                recv(self.inbox.found) -> found => {
                    if let Ok(found) = found {
                        self.on_found(found)?;
                    }
                },
                default(wait) => {}
            }
            if !self.take_more(Instant::now())? {
                return self.end();
            }
            let now = Instant::now();
            wait = self.settle(now)?.saturating_sub(now.elapsed());
        }
    }

    /// What has come meanwhile, so that one write serves all heads of a round. False: the log is to stop.
    fn take_more(&mut self, now: Instant) -> Result<bool, LogError> {
        for _ in 0..ROUND_MAX {
            let Ok(command) = self.inbox.commands.try_recv() else {
                break;
            };
            if !self.on_command(command)? {
                return Ok(false);
            }
        }
        for _ in 0..ROUND_MAX {
            let Ok(waiting) = self.inbox.cosigned.try_recv() else {
                break;
            };
            self.on_cosigned(&waiting, now);
        }
        if let Ok(found) = self.inbox.found.try_recv() {
            self.on_found(found)?;
        }
        Ok(true)
    }

    /// Does what follows from what has come, and says how long nothing else needs to be done.
    fn settle(&mut self, now: Instant) -> Result<Duration, LogError> {
        let mut due = now + IDLE;
        let mut is_behind = false;
        for shard in self.shards.values_mut() {
            let shard_due = shard.settle(now, &self.common)?;
            due = due.min(shard_due.unwrap_or(due));
            is_behind |= shard.feed_index()?; // Also under load: submissions wait for it.
        }
        if is_behind {
            return Ok(Duration::ZERO);
        }
        Ok(due.saturating_duration_since(now))
    }

    /// False: the log is to stop.
    fn on_command(&mut self, command: Command) -> Result<bool, LogError> {
        match command {
            Command::Decide(decided) => {
                for decided in decided {
                    self.on_decided(decided)?;
                }
                Ok(true)
            }
            Command::Sync(done) => match self.begin_sync(done) {
                true => Ok(true),
                false => Err(why_sync_failed(self.inbox.failed.recv())),
            },
            Command::Stop => Ok(false),
        }
    }

    fn on_decided(&mut self, decided: Decided) -> Result<(), LogError> {
        let common = &mut self.common;
        match decided {
            Decided::Issuers(certificates) => {
                let mut certificates = certificates.iter();
                certificates.try_for_each(|certificate| common.issuers.keep(certificate))
            }
            Decided::Appended(appended) => {
                let name = Arc::clone(&appended.shard);
                self.of_shard(&name, |shard, common| shard.on_appended(appended, common))
            }
            Decided::Head { shard, head } => {
                self.of_shard(&shard, |shard, common| shard.on_head(head, common))
            }
            Decided::Restored {
                shard,
                frontier,
                timestamp_ms: _,
            } => self.of_shard(&shard, |shard, common| shard.on_restored(&frontier, common)),
            Decided::Validators {
                keys,
                quorum,
                faults_max,
            } => {
                let validators = Validators::new(&common.log, &keys, quorum, faults_max);
                for shard in self.shards.values_mut() {
                    shard.on_validators(&validators);
                }
                common.validators.send_replace(Arc::new(validators));
                Ok(())
            }
        }
    }

    /// What is said of one shard.
    fn of_shard(
        &mut self,
        name: &str,
        act: impl FnOnce(&mut ShardLog, &Common) -> Result<(), LogError>,
    ) -> Result<(), LogError> {
        match self.shards.get_mut(name) {
            Some(shard) => act(shard, &self.common),
            None => {
                tracing::warn!(
                    shard = name,
                    "decided for a shard that this node does not have"
                );
                Ok(())
            }
        }
    }

    fn on_found(&mut self, found: Found) -> Result<(), LogError> {
        match found {
            Found::Entries {
                shard,
                first_index,
                entries,
            } => self.of_shard(&shard, |shard, common| {
                shard.on_found(first_index, &entries, common)
            }),
            Found::Issuers {
                shard,
                certificates,
            } => {
                for certificate in certificates {
                    self.common.issuers.keep(&certificate)?;
                }
                self.of_shard(&shard, |shard, _| {
                    shard.on_issuers_searched();
                    Ok(())
                })
            }
        }
    }

    /// Outside input: counts whatever it is.
    fn on_cosigned(&mut self, waiting: &WaitingNote, now: Instant) {
        if let Err(refused) = self.take_cosigned(&waiting.note, now) {
            tracing::debug!(from = waiting.from, ?refused, "cosigned note");
            self.common.metrics.on_cosignature_refused(refused);
        }
    }

    fn take_cosigned(&mut self, note: &[u8], now: Instant) -> Result<(), Refused> {
        if note.len() > COSIGNED_BYTES_MAX {
            return Err(Refused::Malformed);
        }
        let note = Note::parse(note).map_err(|_| Refused::Malformed)?;
        let checkpoint = Checkpoint::parse(note.text()).map_err(|_| Refused::Malformed)?;
        if !checkpoint.extension_lines().is_empty() {
            return Err(Refused::Malformed);
        }
        let mut shards = self.shards.values_mut();
        let shard = shards.find(|shard| shard.origin() == checkpoint.origin());
        let shard = shard.ok_or(Refused::UnknownShard)?;
        let mut is_known = false;
        for key in self.common.validators().keys() {
            let by_key =
                |line: &&ct::NoteSignature| line.key_id == key.id() && line.name == *key.name();
            let Some(line) = note.signatures().iter().find(by_key) else {
                continue;
            };
            let time_s = key.verify(&note, webpki::ALL_VERIFICATION_ALGS);
            let time_s = time_s.ok().flatten().ok_or(Refused::Signature)?;
            is_known = true;
            let said = Cosigned {
                size: checkpoint.size(),
                root: checkpoint.root(),
                time_s,
                line: line.clone(),
            };
            shard.on_cosigned((key, said), now, &self.common);
        }
        is_known.then_some(()).ok_or(Refused::UnknownKey)
    }

    /// Has all that was decided until now made durable. False: the thread that does so has failed.
    fn begin_sync(&mut self, done: Sender<()>) -> bool {
        let shards = self.shards.values_mut();
        let job = SyncJob {
            shards: shards
                .filter_map(|shard| shard.begin_sync(&self.common))
                .collect(),
            // After the shards: what their edges name is in it.
            issuers: self.common.issuers.begin_sync(),
            done,
        };
        self.syncs.send(job).is_ok()
    }

    /// The last sync, and what makes the next start short.
    fn end(mut self) -> Result<(), LogError> {
        let (done, wait) = crossbeam_channel::bounded(1);
        if !self.begin_sync(done) || wait.recv().is_err() {
            return Err(why_sync_failed(self.inbox.failed.recv()));
        }
        let mut shards = self.shards.values_mut();
        shards.try_for_each(ShardLog::finish)
    }
}

/// Why the thread that syncs has ended.
fn why_sync_failed(failed: Result<LogError, RecvError>) -> LogError {
    failed.unwrap_or_else(|_| of_files("thread to sync")(io::ErrorKind::Other.into()))
}

/// The shard as its files have it.
fn open_shard(
    settings: &Settings,
    shard: &ShardSettings,
    public: &Arc<dyn Files>,
    common: &Common,
) -> Result<(ShardLog, ShardReader), LogError> {
    let name = shard.spec.window.name.clone();
    let state = &common.state;
    let signer = match &shard.key_file {
        Some(path) => {
            let signer = FileSigner::load(&shard.spec, path, Arc::clone(state))?;
            Some(Arc::new(signer) as Arc<dyn Signer>)
        }
        None => None,
    };
    let folder = settings.state_folder.join(&name);
    std::fs::create_dir_all(&folder).map_err(of_files(&name))?;
    let (edge, timestamp_ms) = load_edge(&**state, &name)?;
    let (publisher, published) = watch::channel(None);
    let shared = Arc::new(Shared {
        spec: shard.spec.clone(),
        public: Arc::clone(public),
        edge: Mutex::new(edge),
        index: Arc::new(Index::open(&folder.join("index.redb"))?),
        published,
        signer,
    });
    let reader = ShardReader::new(Arc::clone(&shared));
    let cosigned = Remembered::load(&**state, format!("{name}/cosigned"));
    let cosigned = cosigned.map_err(|error| LogError::Memory { shard: name, error })?;
    let store = Store::new(
        shared,
        Arc::clone(state),
        timestamp_ms,
        settings.partial_keep,
    )?;
    Ok((ShardLog::new(store, publisher, cosigned, common)?, reader))
}

impl LogHandle {
    /// What consensus has decided, in its order. Waits if the log is behind.
    ///
    /// # Errors
    /// If the log has ended.
    pub fn decide(&self, decided: Vec<Decided>) -> Result<(), Stopped> {
        let sent = self.commands.send(Command::Decide(decided));
        sent.map_err(|_| Stopped)
    }

    /// A note that came over the mesh ([`crate::Mesh::broadcast`]). `from`: who sent it, of whom only so many may wait.
    pub fn on_cosigned(&self, from: &str, note: &[u8]) {
        if note.len() > COSIGNED_BYTES_MAX {
            self.metrics.on_cosignature_refused(Refused::Malformed);
            return;
        }
        if !self.cosigned.push(from, note) {
            self.metrics.on_cosignature_refused(Refused::Busy);
        }
    }

    /// Makes all that was decided before durable, and returns when it is. Consensus may forget it then.
    ///
    /// # Errors
    /// If the log has ended, of this or before: then it may not.
    pub fn sync(&self) -> Result<(), Stopped> {
        self.begin_sync()?.recv().map_err(|_| Stopped)
    }

    /// The same without waiting: a message comes when it is durable, none if the log ends before.
    ///
    /// # Errors
    /// If the log has ended.
    pub fn begin_sync(&self) -> Result<Receiver<()>, Stopped> {
        let (done, wait) = crossbeam_channel::bounded(1);
        let sent = self.commands.send(Command::Sync(done));
        sent.map(|()| wait).map_err(|_| Stopped)
    }

    /// Makes all durable and ends the thread; see its handle.
    pub fn stop(&self) {
        let _ = self.commands.send(Command::Stop); // It may have ended before.
    }

    /// A shard, as clients read it.
    #[must_use]
    pub fn reader(&self, shard: &str) -> Option<&ShardReader> {
        self.readers.get(shard)
    }

    /// All shards, by name.
    pub fn readers(&self) -> impl Iterator<Item = (&Arc<str>, &ShardReader)> {
        self.readers.iter()
    }

    /// A signature by the cosigner's key, to show that it is this node's. The statement must be nothing that a cosigner signs:
    /// no message that begins with `cosignature/`.
    #[must_use]
    pub fn prove_key(&self, statement: &[u8]) -> [u8; 64] {
        self.prover.prove(statement)
    }

    /// Name and key of this node's cosigner.
    #[must_use]
    pub fn cosigner(&self) -> &VerifierKey {
        &self.cosigner
    }

    /// What is counted; a collector for a registry.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}

impl From<Stopped> for io::Error {
    fn from(stopped: Stopped) -> Self {
        Self::other(stopped)
    }
}
