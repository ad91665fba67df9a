//! [`ShardLog`]: one shard in the thread of the log: what is decided goes to the store, heads are cosigned and published.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use ct::{Frontier, KeyName, Note, SignedTreeHead, TimestampedEntry, TreeHead, VerifierKey};
use tokio::sync::watch;

use crate::ballots::{Ballots, Cosigned, Taken, checkpoint_text};
use crate::catch_up::{Fetching, Found, Peers, Target};
use crate::catching_up::{CatchingUp, Queued};
use crate::cosigner::Cosigner;
use crate::decided::Appended;
use crate::error::{LogError, of_files};
use crate::files::Files;
use crate::issuers::Issuers;
use crate::metrics::{Metrics, State};
use crate::outside::Mesh;
use crate::published::Published;
use crate::reader::Shared;
use crate::remembered::Remembered;
use crate::signer::{CommitCertificate, SignedHead, SignerError};
use crate::store::{AppendError, Store, StoreSync};
use crate::validators::Validators;

/// How long a head waits for a quorum until the own cosignature is sent again: the mesh may have lost it.
const RESEND: Duration = Duration::from_millis(500);

/// How often a cosignature of a head that is published is sent again to those who seem to lack it.
const REPLIES_MAX: u32 = 8;

/// How long a search for issuers rests when it did not find all.
const ISSUER_REST: Duration = Duration::from_secs(1);

/// What all shards of the thread have in common.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) cosigner: Cosigner,
    /// Those in force, for the threads that fetch as well.
    pub(crate) validators: watch::Sender<Arc<Validators>>,
    /// Name of the log.
    pub(crate) log: KeyName,
    pub(crate) mesh: Arc<dyn Mesh>,
    pub(crate) runtime: tokio::runtime::Handle,
    pub(crate) issuers: Issuers,
    pub(crate) metrics: Metrics,
    pub(crate) state: Arc<dyn Files>,
    pub(crate) publish_gap: Duration,
    pub(crate) folder_gap: Duration,
    pub(crate) found: Sender<Found>,
}

impl Common {
    /// The validators in force.
    pub(crate) fn validators(&self) -> Arc<Validators> {
        Arc::clone(&self.validators.borrow())
    }
}

/// A shard, and what it waits for.
#[derive(Debug)]
pub(crate) struct ShardLog {
    name: Arc<str>,
    store: Store,
    publisher: watch::Sender<Option<Arc<Published>>>,
    mode: Mode,
    /// What this node has cosigned.
    cosigned: Remembered,
    /// Heads that wait for the cosigner, and when they were decided.
    due: Vec<(TreeHead, Instant)>,
    ballots: Ballots,
    /// The last head that had a quorum, published here or not.
    done: Done,
    /// The own cosignature that was sent last, when, and how often since.
    sent: Option<Sent>,
    issuers: IssuerSearch,
    folder: Folder,
    /// Validators that have cosigned another tree.
    forkers: BTreeSet<VerifierKey>,
}

/// What other web servers read of a shard, beside its full tiles. Clients of this node have it out of memory, sooner: a head costs
/// three files that are soon to go again, and while many have gone, new ones are slow to make (ext4 keeps their inodes for a while).
#[derive(Debug, Default)]
struct Folder {
    /// Shown, and not yet in the folder.
    waiting: Option<SignedHead>,
    written: Option<Instant>,
}

#[derive(Debug)]
enum Mode {
    Following,
    /// Entries were missed: the next head says what to fetch.
    Lost,
    CatchingUp(CatchingUp),
    /// The tree is not that of consensus. A person has to look.
    Halted,
}

#[derive(Debug, Default)]
struct Done {
    head: Option<TreeHead>,
    at: Option<Instant>,
    /// Who is known to have cosigned it.
    by: BTreeSet<VerifierKey>,
}

#[derive(Debug)]
struct Sent {
    note: Vec<u8>,
    head: TreeHead,
    at: Instant,
    replies: u32,
}

#[derive(Debug, Default)]
struct IssuerSearch {
    is_running: bool,
    rests_until: Option<Instant>,
}

impl ShardLog {
    /// A shard as its store has it. Shows the last head again, if the tree has got so far.
    pub(crate) fn new(
        store: Store,
        publisher: watch::Sender<Option<Arc<Published>>>,
        cosigned: Remembered,
        common: &Common,
    ) -> Result<Self, LogError> {
        let mut shard = Self {
            name: Arc::from(store.shared().spec.window.name.as_str()),
            store,
            publisher,
            mode: Mode::Following,
            cosigned,
            due: Vec::new(),
            ballots: Ballots::default(),
            done: Done::default(),
            sent: None,
            issuers: IssuerSearch::default(),
            folder: Folder::default(),
            forkers: BTreeSet::new(),
        };
        common.metrics.set_state(&shard.name, State::Following);
        shard.show_last_again(common)?; // It may halt.
        shard.tell(common);
        Ok(shard)
    }

    fn shared(&self) -> &Arc<Shared> {
        self.store.shared()
    }

    pub(crate) fn origin(&self) -> &str {
        self.shared().spec.origin.as_str()
    }

    /// Counts what was done.
    fn tell(&mut self, common: &Common) {
        common.metrics.set_tree_size(&self.name, self.store.size());
        let written = self.store.take_written();
        common.metrics.on_written(&self.name, written);
    }

    pub(crate) fn on_appended(
        &mut self,
        appended: Appended,
        common: &Common,
    ) -> Result<(), LogError> {
        match &mut self.mode {
            Mode::Halted | Mode::Lost => Ok(()),
            Mode::CatchingUp(catching_up) => {
                catching_up.on_appended(appended);
                Ok(())
            }
            Mode::Following if appended.first_index > self.store.size() => {
                self.lose(appended.first_index, common);
                Ok(())
            }
            Mode::Following => {
                let Appended {
                    first_index,
                    timestamp_ms,
                    entries,
                    ..
                } = &appended;
                let issuers = &common.issuers;
                match self
                    .store
                    .append(*first_index, *timestamp_ms, entries, issuers)
                {
                    Ok(()) => Ok(()),
                    Err(AppendError::Log(error)) => Err(error),
                    Err(error @ AppendError::Entry { .. }) => {
                        self.halt(&error.to_string(), common);
                        Ok(())
                    }
                }
            }
        }
    }

    pub(crate) fn on_head(&mut self, head: TreeHead, common: &Common) -> Result<(), LogError> {
        let size = self.store.size();
        match &mut self.mode {
            Mode::Halted => Ok(()),
            Mode::CatchingUp(catching_up) => {
                catching_up.on_head(head);
                Ok(())
            }
            Mode::Lost | Mode::Following if head.size > size => {
                let queue = VecDeque::from([Queued::Head(head)]);
                self.catch_up(Target::of(&head), queue, common)
            }
            Mode::Lost => Ok(()),
            // Comes again after a start; the tree has got further, and so have the others.
            Mode::Following if head.size < size => Ok(()),
            Mode::Following if head.root != self.store.root() => {
                let (own, decided) = (self.store.root(), head.root);
                let reason = format!("root of {size} leaves is {own}, decided was {decided}");
                self.halt(&reason, common);
                Ok(())
            }
            Mode::Following => self.on_own_head(head, common),
        }
    }

    /// A head of the tree as it is here.
    fn on_own_head(&mut self, head: TreeHead, common: &Common) -> Result<(), LogError> {
        let signer = self.shared().signer.as_ref();
        let signed = signer.and_then(|signer| signer.last());
        let known = self.cosigned.last().into_iter().chain(&signed);
        if known.map(|head| head.size).max() >= Some(head.size) {
            // It comes again: before a crash it may have been shown, here or elsewhere.
            self.store.mend_partial_tiles(head.size)?;
            self.show_last_again(common)?;
        }
        match self.cosigned.check_size(&head) {
            Ok(()) => {
                let now = Instant::now();
                self.due.push((head, now));
                self.ballots.on_head(head, now);
            }
            Err(conflict @ crate::HeadConflict::Size { .. }) => {
                tracing::debug!(shard = %self.name, %conflict, "head comes again");
            }
            Err(conflict) => {
                common.metrics.on_head_refused(&self.name, "fork");
                self.halt(&conflict.to_string(), common);
            }
        }
        Ok(())
    }

    pub(crate) fn on_restored(
        &mut self,
        frontier: &Frontier,
        common: &Common,
    ) -> Result<(), LogError> {
        let target = Target {
            size: frontier.size(),
            root: frontier.root(),
        };
        if target.size < self.store.size() {
            return Ok(());
        }
        if target.size == self.store.size() {
            let own = self.store.root();
            if target.root != own {
                let reason = format!("root is {own}, the state of consensus has {}", target.root);
                self.halt(&reason, common);
            } else if matches!(self.mode, Mode::Lost) {
                self.follow(VecDeque::new(), common)?;
            }
            return Ok(());
        }
        match &mut self.mode {
            Mode::Halted => Ok(()),
            Mode::CatchingUp(catching_up) => {
                catching_up.on_restored(target);
                Ok(())
            }
            Mode::Lost | Mode::Following => self.catch_up(target, VecDeque::new(), common),
        }
    }

    /// Entries of others, which have been checked.
    pub(crate) fn on_found(
        &mut self,
        first_index: u64,
        entries: &[TimestampedEntry],
        common: &Common,
    ) -> Result<(), LogError> {
        let Mode::CatchingUp(catching_up) = &mut self.mode else {
            return Ok(());
        };
        let target = catching_up.target;
        let size = self.store.size();
        for (index, entry) in (first_index..)
            .zip(entries)
            .skip_while(|(index, _)| *index < size)
        {
            self.store.push(index, entry, &common.issuers)?;
        }
        if self.store.size() < target.size {
            return Ok(());
        }
        if self.store.root() != target.root {
            let own = self.store.root();
            self.halt(
                &format!("root after catching up is {own}, not {}", target.root),
                common,
            );
            return Ok(());
        }
        let next = catching_up.next.take();
        let is_lost = catching_up.is_lost;
        let queue = std::mem::take(&mut catching_up.queue);
        match next {
            Some(next) if next.size > target.size => self.catch_up(next, queue, common),
            _ if is_lost => {
                self.lose(target.size, common);
                Ok(())
            }
            _ => self.follow(queue, common),
        }
    }

    /// Goes on with what has come meanwhile.
    fn follow(&mut self, queue: VecDeque<Queued>, common: &Common) -> Result<(), LogError> {
        tracing::info!(shard = %self.name, size = self.store.size(), "caught up");
        self.mode = Mode::Following;
        common.metrics.set_state(&self.name, State::Following);
        self.show_last_again(common)?;
        for queued in queue {
            match queued {
                Queued::Appended(appended) => self.on_appended(appended, common)?,
                Queued::Head(head) => self.on_head(head, common)?,
            }
        }
        Ok(())
    }

    fn catch_up(
        &mut self,
        target: Target,
        queue: VecDeque<Queued>,
        common: &Common,
    ) -> Result<(), LogError> {
        let from = self.store.size();
        tracing::info!(shard = %self.name, from, to = target.size, "catching up");
        let fetching = Fetching::start(self.peers(common), from, target);
        let fetching = fetching.map_err(of_files("thread to catch up"))?;
        self.mode = Mode::CatchingUp(CatchingUp::new(target, queue, fetching));
        common.metrics.set_state(&self.name, State::CatchingUp);
        Ok(())
    }

    /// Entries are missing, and it is not known of which tree: the next head says it.
    fn lose(&mut self, seen: u64, common: &Common) {
        tracing::warn!(shard = %self.name, size = self.store.size(), seen, "entries are missing");
        self.mode = Mode::Lost;
        common.metrics.set_state(&self.name, State::CatchingUp);
    }

    fn peers(&self, common: &Common) -> Peers {
        Peers {
            log: common.log.clone(),
            shard: Arc::clone(&self.name),
            validators: common.validators.subscribe(),
            mesh: Arc::clone(&common.mesh),
            runtime: common.runtime.clone(),
            metrics: common.metrics.clone(),
            found: common.found.clone(),
        }
    }

    fn halt(&mut self, reason: &str, common: &Common) {
        tracing::error!(shard = %self.name, reason, "shard is halted: it is not the tree that was decided");
        common.metrics.on_head_refused(&self.name, "diverged");
        common.metrics.set_state(&self.name, State::Halted);
        self.mode = Mode::Halted;
        self.due.clear();
        self.ballots = Ballots::default();
        self.sent = None;
        self.folder.waiting = None; // Its tiles would be of another tree.
    }

    /// Cosigns all heads that are due. Only the newest is written down before: one that comes before it in the same order
    /// contradicts neither it nor what was signed before.
    fn cosign_due(&mut self, now: Instant, common: &Common) -> Result<(), LogError> {
        let due = std::mem::take(&mut self.due);
        let own = common.cosigner.verifier();
        let Some((newest, _)) = due.last() else {
            return Ok(());
        };
        if !common.validators().keys().contains(own) {
            return Ok(());
        }
        let path = format!("{}/cosigned", self.name);
        let remembered = self.cosigned.remember(&*common.state, newest);
        remembered.map_err(of_files(&path))?;
        for (head, decided) in due {
            let text = checkpoint_text(&self.shared().spec.origin, &head);
            let time_s = head.timestamp_ms / 1000;
            let line = common.cosigner.cosign(&text, time_s);
            let note = Note::new(text, vec![line.clone()]).expect("a checkpoint is a note's text");
            let note = note.to_string().into_bytes();
            common.mesh.broadcast(note.clone());
            let seconds = decided.elapsed().as_secs_f64();
            common.metrics.on_head_cosigned(&self.name, seconds);
            let said = Cosigned {
                size: head.size,
                root: head.root,
                time_s,
                line,
            };
            self.on_cosigned((own, said), now, common);
            self.sent = Some(Sent {
                note,
                head,
                at: now,
                replies: 0,
            });
        }
        Ok(())
    }

    /// What a validator has said of this shard, its signature checked.
    pub(crate) fn on_cosigned(
        &mut self,
        (key, said): (&VerifierKey, Cosigned),
        now: Instant,
        common: &Common,
    ) {
        if matches!(self.mode, Mode::Halted) {
            return;
        }
        let done = self.done.head;
        let of_done = done.filter(|head| said.is_of(head));
        let taken = self.ballots.on_cosigned(key, said, done.as_ref());
        common.metrics.on_cosignature(taken);
        // Once each: a liar has many.
        if taken == Taken::Fork && self.forkers.insert(key.clone()) {
            tracing::error!(shard = %self.name, cosigner = %key.name(), "cosignature of another tree");
        }
        // Who says it once more lacks a quorum: perhaps for want of what this node has said.
        let is_repeated = of_done.is_some() && !self.done.by.insert(key.clone());
        let is_own = key == common.cosigner.verifier();
        if let Some(sent) = self.sent.as_mut().filter(|_| is_repeated && !is_own) {
            let is_due = now.saturating_duration_since(sent.at) >= RESEND;
            if is_due && sent.replies < REPLIES_MAX && Some(sent.head) == done {
                sent.replies += 1;
                sent.at = now;
                common.mesh.broadcast(sent.note.clone());
            }
        }
    }

    pub(crate) fn on_validators(&mut self, validators: &Validators) {
        self.ballots.on_validators(validators);
    }

    /// Publishes the newest head with a quorum, if it is time, and does what else waits. Says when to come again.
    pub(crate) fn settle(
        &mut self,
        now: Instant,
        common: &Common,
    ) -> Result<Option<Instant>, LogError> {
        self.cosign_due(now, common)?;
        let issuers_due = self.search_issuers(now, common)?;
        let publish_due = self.publish(now, common)?;
        let resend_due = self.resend(now, common);
        let folder_due = self.write_folder(now, common.folder_gap)?;
        self.store.remove_leftovers(now)?;
        self.tell(common);
        let leftovers_due = self.store.leftovers_due();
        let due = [
            issuers_due,
            publish_due,
            resend_due,
            folder_due,
            leftovers_due,
        ];
        Ok(due.into_iter().flatten().min())
    }

    fn publish(&mut self, now: Instant, common: &Common) -> Result<Option<Instant>, LogError> {
        let Some((certificate, decided)) = self.ballots.newest_with_quorum(&common.validators())
        else {
            return Ok(None);
        };
        let head = certificate.head;
        if self.shared().signer.is_some() {
            let due = self.done.at.map(|at| at + common.publish_gap);
            if let Some(due) = due.filter(|due| *due > now) {
                return Ok(Some(due));
            }
            if !self.store.missing_issuers(&common.issuers)?.is_empty() {
                return Ok(None); // They are looked for; others publish meanwhile.
            }
            self.sign_and_show(&certificate, now, common)?;
            common.metrics.on_quorum(decided.elapsed().as_secs_f64());
        }
        self.ballots.forget_through(&head);
        let validators = common.validators();
        let keys = validators.keys().iter();
        let has_signed = |key: &&VerifierKey| {
            let mut lines = certificate.cosignatures.iter();
            lines.any(|line| line.name == *key.name())
        };
        self.done = Done {
            head: Some(head),
            at: Some(now),
            by: keys.filter(has_signed).cloned().collect(),
        };
        Ok(None)
    }

    fn sign_and_show(
        &mut self,
        certificate: &CommitCertificate,
        now: Instant,
        common: &Common,
    ) -> Result<(), LogError> {
        let shared = Arc::clone(self.shared());
        let Some(signer) = &shared.signer else {
            return Ok(());
        };
        match signer.sign_head(certificate) {
            Ok(signed) => self.show(signed, now, common),
            Err(SignerError::Files(error)) => Err(of_files("memory of the signer")(error)),
            Err(error) => {
                tracing::error!(shard = %self.name, %error, "signer refuses a head");
                common.metrics.on_head_refused(&self.name, "signer");
                Ok(())
            }
        }
    }

    /// Puts a head into the folder, unless the last one came there a moment ago, and releases what waits for it. Its tiles are in
    /// memory or on disk.
    fn show(&mut self, signed: SignedHead, now: Instant, common: &Common) -> Result<(), LogError> {
        self.folder.waiting = Some(signed.clone());
        self.write_folder(now, common.folder_gap)?;
        self.publisher.send_replace(Some(Arc::new(Published {
            signed: signed.signed.clone(),
            checkpoint: signed.note.to_string().into_bytes().into(),
        })));
        common.metrics.on_published(&self.name, &signed.signed.head);
        Ok(())
    }

    /// Puts the newest head into the folder, if it is time: tiles first, so that who reads the checkpoint finds them. Says when it
    /// will be time.
    fn write_folder(&mut self, now: Instant, gap: Duration) -> Result<Option<Instant>, LogError> {
        let due = self.folder.written.map(|at| at + gap);
        if self.folder.waiting.is_none() || due > Some(now) {
            return Ok(due.filter(|_| self.folder.waiting.is_some()));
        }
        let Some(signed) = self.folder.waiting.take() else {
            return Ok(None);
        };
        self.store.write_partial_tiles(signed.signed.head.size)?;
        let path = self.shared().path("checkpoint");
        let checkpoint = signed.note.to_string();
        let written = self.shared().public.write(&path, checkpoint.as_bytes());
        written.map_err(of_files(&path))?;
        self.folder.written = Some(now);
        Ok(None)
    }

    /// After a start: shows the head that was signed last, as soon as the tree has its leaves again. Without the key, which may
    /// have been destroyed when the shard was closed, that is the checkpoint on disk.
    fn show_last_again(&mut self, common: &Common) -> Result<(), LogError> {
        if self.publisher.borrow().is_some() {
            return Ok(());
        }
        let shared = Arc::clone(self.shared());
        let shown = self.shown()?;
        let last = shared.signer.as_ref().and_then(|signer| signer.last());
        let Some(head) = last.or(shown.as_ref().map(|shown| shown.signed.head)) else {
            return Ok(());
        };
        if head.size > self.store.size() {
            return Ok(());
        }
        if shared.root(head.size)? != head.root {
            self.halt("what was signed is no beginning of the own tree", common);
            return Ok(());
        }
        let shown = shown.filter(|shown| shown.signed.head == head);
        let sign = || shared.signer.as_ref()?.sign_last();
        match shown.or_else(sign) {
            Some(signed) => self.show(signed, Instant::now(), common),
            None => Ok(()),
        }
    }

    /// The checkpoint on disk, if the log has signed it: it has cosignatures.
    fn shown(&self) -> Result<Option<SignedHead>, LogError> {
        let shared = self.shared();
        let Some(bytes) = shared.read("checkpoint")? else {
            return Ok(None);
        };
        let Ok(note) = Note::parse(&bytes) else {
            return Ok(None);
        };
        let (origin, key) = (&shared.spec.origin, &shared.spec.key);
        let signed = SignedTreeHead::from_note(&note, origin, key, webpki::ALL_VERIFICATION_ALGS);
        Ok(signed.ok().map(|signed| SignedHead { signed, note }))
    }

    /// Sends the own cosignature of the newest head again, if it has no quorum for long.
    fn resend(&mut self, now: Instant, common: &Common) -> Option<Instant> {
        let newest = *self.ballots.newest()?;
        let sent = self.sent.as_mut().filter(|sent| sent.head == newest)?;
        let due = sent.at + RESEND * (1 << sent.replies.min(5));
        if due <= now {
            sent.at = now;
            sent.replies += 1;
            common.mesh.broadcast(sent.note.clone());
        }
        Some(sent.at + RESEND * (1 << sent.replies.min(5)))
    }

    fn search_issuers(
        &mut self,
        now: Instant,
        common: &Common,
    ) -> Result<Option<Instant>, LogError> {
        if self.issuers.is_running {
            return Ok(None);
        }
        if let Some(until) = self.issuers.rests_until.filter(|until| *until > now) {
            return Ok(Some(until));
        }
        let mut missing = self.store.missing_issuers(&common.issuers)?;
        if missing.is_empty() {
            self.issuers.rests_until = None;
            return Ok(None);
        }
        missing.truncate(256);
        self.issuers.is_running = true;
        self.peers(common).find_issuers(missing);
        Ok(None)
    }

    /// The search for issuers is over; what it found is kept.
    pub(crate) fn on_issuers_searched(&mut self) {
        self.issuers.is_running = false;
        self.issuers.rests_until = Some(Instant::now() + ISSUER_REST);
    }

    /// What makes all that it has durable. None for a tree that was not decided: the next start goes on from the last that was.
    pub(crate) fn begin_sync(&mut self, common: &Common) -> Option<StoreSync> {
        if matches!(self.mode, Mode::Halted) {
            return None;
        }
        let sync = self.store.begin_sync();
        self.tell(common);
        Some(sync)
    }

    /// Writes index and folder, before the end.
    pub(crate) fn finish(&mut self) -> Result<(), LogError> {
        self.write_folder(Instant::now(), Duration::ZERO)?;
        self.store.flush_index()
    }

    /// Feeds an index that is behind. False: it is not.
    pub(crate) fn feed_index(&self) -> Result<bool, LogError> {
        self.store.feed_index()
    }
}
