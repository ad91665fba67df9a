//! The policy in service: what the configuration says, and the newest versions of policy zones that
//! are copied from elsewhere.
//!
//! Every change goes to the engine first and then, with a new digest, to the front thread, which makes
//! answers from before dead. One change at a time.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::Config;
use hickory_proto::rr::Name;
use resolver::policy::{Override, Policy, RpzRemark, RpzZone};
use resolver::zone::{Delta, Records};
use tokio::sync::{Mutex, mpsc};
use tokio::task::AbortHandle;

use crate::admin::{CopyPurpose, Failure, FailureCode};
use crate::control::{apart, tell_front};
use crate::copied::{Copied, CopiedZones, Prepared};
use crate::engine::EngineHandle;
use crate::front::{self, FrontSender};
use crate::policy::{self, PolicyError};
use crate::transfer_in::Update;
use crate::transfer_key;
use crate::zone_file::Remark;

/// Records of steps that the engine applies itself, while questions wait: some milliseconds. With more
/// of them the zone is built anew beside it.
const STEP_RECORDS_MAX: usize = 4096;

/// A policy that was read and is not in service yet.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) policy: Policy,
    /// Of the configuration and its files.
    configured: u64,
    /// Copied zones whose version in service stays.
    kept: Vec<Arc<Copied>>,
    /// Copied zones that are new, with what the disk has of them.
    fresh: Vec<Prepared>,
    /// What does nothing, but was probably meant to.
    pub(crate) notes: Vec<Remark>,
}

impl Loaded {
    /// Reads what the configuration names, and copies on the disk of zones that are not `running`.
    /// Blocks.
    ///
    /// # Errors
    /// The first value or file that cannot be used. A copy that cannot be is no error.
    pub(crate) fn read(
        config: &Config,
        keys: (u64, u64),
        data_dir: &Path,
        running: &[Arc<Copied>],
    ) -> Result<Self, PolicyError> {
        let from = &config.resolver;
        let loaded = policy::load(from, &config.zones, keys)?;
        let mut all = Self {
            policy: loaded.policy,
            configured: loaded.digest,
            kept: Vec::new(),
            fresh: Vec::new(),
            notes: loaded.notes,
        };
        for rpz in from.rpz.iter().filter(|rpz| !rpz.primaries.is_empty()) {
            let name = policy::name(&rpz.zone);
            let purpose = CopyPurpose::PolicyZone;
            let secret = rpz.tsig.as_ref().map(transfer_key::read).transpose();
            let secret = secret.map_err(PolicyError::File)?;
            let primaries = &rpz.primaries;
            let same = |copied: &&Arc<Copied>| copied.is(&name, primaries, secret.as_ref());
            match running.iter().find(same) {
                Some(copied) => all.kept.push(Arc::clone(copied)),
                None => all.add(Prepared::read(purpose, name, primaries, secret, data_dir)),
            }
        }
        Ok(all)
    }

    fn add(&mut self, prepared: Prepared) {
        let name = prepared.copied.name();
        match (&prepared.records, self.policy.rpz_zone_mut(&key(name))) {
            (Some(records), Some(zone)) => {
                let (built, remarks) = build(name, records);
                put(zone, built);
                self.notes.extend(remarks);
            }
            _ => {
                tracing::warn!(zone = %name, "policy zone has no rules until it is transferred");
            }
        }
        self.fresh.push(prepared);
    }

    /// What tells this policy from others.
    pub(crate) fn digest(&self) -> u64 {
        digest(self.configured, versions(&self.copied()))
    }

    fn copied(&self) -> Vec<Arc<Copied>> {
        let fresh = self.fresh.iter().map(|prepared| &prepared.copied);
        self.kept.iter().chain(fresh).cloned().collect()
    }
}

/// Keeps the policy in service. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct PolicyService(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    engine: EngineHandle,
    front: FrontSender,
    keys: (u64, u64),
    data_dir: PathBuf,
    zones: CopiedZones,
    /// Held while the policy changes.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Digest of what the configuration says.
    configured: u64,
    tasks: Vec<Task>,
}

/// The copying of a zone, until dropped.
#[derive(Debug)]
struct Task {
    copied: Arc<Copied>,
    task: AbortHandle,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl PolicyService {
    /// `keys` are those of the hashes in lists of names.
    pub(crate) fn new(
        engine: EngineHandle,
        front: FrontSender,
        keys: (u64, u64),
        data_dir: PathBuf,
        zones: CopiedZones,
    ) -> Self {
        Self(Arc::new(Inner {
            engine,
            front,
            keys,
            data_dir,
            zones,
            state: Mutex::default(),
        }))
    }

    /// Reads the policy of a configuration. Blocks.
    ///
    /// # Errors
    /// As [`Loaded::read`].
    pub(crate) fn read(&self, config: &Config) -> Result<Loaded, PolicyError> {
        let inner = &*self.0;
        let running = inner.zones.of(CopyPurpose::PolicyZone);
        Loaded::read(config, inner.keys, &inner.data_dir, &running)
    }

    /// Goes on from the policy of the start, which the engine has already. On the runtime.
    pub(crate) async fn begin(&self, started: Started) {
        let mut state = self.0.state.lock().await;
        state.configured = started.configured;
        let tasks = started.fresh.into_iter();
        state.tasks = tasks.map(|prepared| self.spawn(prepared)).collect();
    }

    /// Takes a policy into service; whether it differs from the one before.
    ///
    /// # Errors
    /// The engine is gone, or the front thread does not listen.
    pub(crate) async fn replace(&self, loaded: Loaded) -> Result<bool, Failure> {
        let copied = loaded.copied();
        let mut state = self.0.state.lock().await;
        let before = self.digest(&state);
        // Under the lock none of them is half-way.
        let is_kept = |task: &Task| {
            loaded
                .kept
                .iter()
                .any(|kept| Arc::ptr_eq(kept, &task.copied))
        };
        state.tasks.retain(is_kept);
        let names: Vec<_> = loaded.kept.iter().map(|kept| key(kept.name())).collect();
        let mut fresh = loaded.policy;
        let changed = self.0.engine.change_policy(move |policy| {
            for name in names {
                if let (Some(old), Some(new)) =
                    (policy.rpz_zone_mut(&name), fresh.rpz_zone_mut(&name))
                {
                    let empty = RpzZone::new(&Name::root(), Override::Given);
                    put(new, std::mem::replace(old, empty));
                }
            }
            std::mem::replace(policy, fresh)
        });
        let old = changed
            .await
            .ok_or_else(|| Failure::new(FailureCode::Unavailable, "the resolver is stopping"))?;
        apart(move || drop(old)).await?; // Millions of rules take long, and questions wait here.
        state.configured = loaded.configured;
        self.0.zones.set(CopyPurpose::PolicyZone, &copied);
        let tasks = loaded.fresh.into_iter();
        state
            .tasks
            .extend(tasks.map(|prepared| self.spawn(prepared)));
        let now = self.digest(&state);
        self.tell(now).await?;
        Ok(now != before)
    }

    fn spawn(&self, prepared: Prepared) -> Task {
        let (service, copied) = (self.clone(), Arc::clone(&prepared.copied));
        let (sender, mut updates) = mpsc::channel(1);
        let own = Arc::clone(&copied);
        let taking = async move {
            while let Some(update) = updates.recv().await {
                if let Err(failure) = service.take(&own, update).await {
                    tracing::error!(zone = %own.name(), %failure, "policy zone");
                }
            }
        };
        // One task, so that both end at once.
        let copying = prepared.transfer.run(sender);
        let task = tokio::spawn(async move { tokio::join!(copying, taking) });
        Task {
            copied,
            task: task.abort_handle(),
        }
    }

    /// Takes what has become of a copied zone into service.
    async fn take(&self, copied: &Copied, update: Update) -> Result<(), Failure> {
        match update {
            Update::Confirmed => Ok(()),
            Update::Expired => {
                let empty = RpzZone::new(copied.name(), Override::Given);
                self.change_zone(copied, Change::Whole(Box::new(empty)), None)
                    .await?;
                tracing::warn!(zone = %copied.name(), "policy zone has expired: its rules do nothing");
                Ok(())
            }
            Update::Version {
                serial,
                records,
                deltas,
            } => {
                let version = Some((serial, records.len()));
                let change = if self.can_step(copied, &deltas) {
                    Change::Steps(deltas)
                } else {
                    let name = copied.name().clone();
                    let (zone, notes) = apart(move || build(&name, &records)).await?;
                    policy::log(&notes);
                    Change::Whole(Box::new(zone))
                };
                self.change_zone(copied, change, version).await?;
                tracing::info!(zone = %copied.name(), serial, "policy zone in service");
                Ok(())
            }
        }
    }

    /// Whether the steps lead from the version in service, and are few.
    fn can_step(&self, copied: &Copied, deltas: &[Delta]) -> bool {
        let records = |delta: &Delta| delta.deleted.len() + delta.added.len();
        let first = deltas.first();
        first.is_some_and(|first| copied.serial() == Some(first.from))
            && deltas.iter().map(records).sum::<usize>() <= STEP_RECORDS_MAX
    }

    async fn change_zone(
        &self,
        copied: &Copied,
        change: Change,
        version: Option<(u32, usize)>,
    ) -> Result<(), Failure> {
        let name = key(copied.name());
        let state = self.0.state.lock().await;
        let changed = self.0.engine.change_policy(move |policy| {
            let zone = policy.rpz_zone_mut(&name)?;
            Some(match change {
                Change::Whole(fresh) => (Some(put(zone, *fresh)), Vec::new()),
                Change::Steps(deltas) => (None, zone.apply(&deltas)),
            })
        });
        let Some(Some((old, remarks))) = changed.await else {
            let text = "the resolver is stopping, or has no such zone";
            return Err(Failure::new(FailureCode::Unavailable, text));
        };
        let serial = version.map(|(serial, _)| serial);
        let zones = self.0.zones.of(CopyPurpose::PolicyZone);
        let zones = zones
            .iter()
            .map(|other| match std::ptr::eq(&**other, copied) {
                true => (key(other.name()), serial),
                false => (key(other.name()), other.serial()),
            });
        self.tell(digest(state.configured, zones)).await?;
        // Shown when no older answer is given any more.
        match version {
            Some((serial, records)) => copied.set(serial, records),
            None => copied.clear(),
        }
        drop(state);
        policy::log(&as_notes(copied.name(), &remarks));
        apart(move || drop(old)).await
    }

    fn digest(&self, state: &State) -> u64 {
        let zones = self.0.zones.of(CopyPurpose::PolicyZone);
        digest(state.configured, versions(&zones))
    }

    async fn tell(&self, digest: u64) -> Result<(), Failure> {
        let request = |done| front::Request::PolicyInService { digest, done };
        tell_front(&self.0.front, request).await
    }
}

/// What [`PolicyService::begin`] goes on from.
#[derive(Debug)]
pub(crate) struct Started {
    configured: u64,
    fresh: Vec<Prepared>,
}

impl Loaded {
    /// The policy, for the engine to start with, and what goes on from there.
    pub(crate) fn start(self, zones: &CopiedZones) -> (Policy, Started) {
        zones.set(CopyPurpose::PolicyZone, &self.copied());
        let started = Started {
            configured: self.configured,
            fresh: self.fresh,
        };
        (self.policy, started)
    }
}

/// How a copied zone gets its next version.
enum Change {
    Whole(Box<RpzZone>),
    Steps(Arc<[Delta]>),
}

/// Replaces a zone by another version of it, to do what the configuration says of it.
fn put(place: &mut RpzZone, mut version: RpzZone) -> RpzZone {
    version.set_policy(place.policy().clone());
    std::mem::replace(place, version)
}

fn build(name: &Name, records: &Records) -> (RpzZone, Vec<Remark>) {
    let (zone, remarks) = RpzZone::from_records(name, Override::Given, records);
    let notes = as_notes(name, &remarks);
    (zone, notes)
}

fn as_notes(name: &Name, remarks: &[RpzRemark]) -> Vec<Remark> {
    let note = |remark: &RpzRemark| Remark {
        file: PathBuf::from(format!("{name} from {}", remark.place.file)),
        position: (remark.place.line > 0).then_some((remark.place.line, remark.place.column)),
        message: remark.error.to_string(),
    };
    remarks.iter().map(note).collect()
}

/// How the policy calls a zone.
fn key(name: &Name) -> String {
    name.to_lowercase().to_string()
}

fn versions(zones: &[Arc<Copied>]) -> impl Iterator<Item = (String, Option<u32>)> {
    zones
        .iter()
        .map(|copied| (key(copied.name()), copied.serial()))
}

/// Of what the configuration says and the serials of copied zones.
fn digest(configured: u64, versions: impl Iterator<Item = (String, Option<u32>)>) -> u64 {
    let mut versions: Vec<_> = versions.collect();
    if versions.is_empty() {
        return configured;
    }
    versions.sort();
    let mut hasher = DefaultHasher::new();
    (configured, versions).hash(&mut hasher);
    hasher.finish()
}
