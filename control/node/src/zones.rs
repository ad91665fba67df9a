//! The zones in service: read from their files, replaced whole, found by name.
//!
//! Readers hold a snapshot; a reload builds the next one beside it. A file that cannot be used
//! leaves the data of the time before in service. Zones that the mesh agrees on come from elsewhere,
//! by [`Zones::publish`].

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use resolver::zone::{Delta, DisplayName, Journal, TsigKeys, Zone, ZoneSet};

use wire::name::is_at_or_below;

use crate::access::Access;
use crate::admin::{ZoneReloaded, ZoneStatus};
use crate::admission::{self, Unserved};
use crate::clock;
use crate::counters::Counters;
use crate::zone_file::{self, Remark};

/// Remarks on one zone that are logged one by one.
const REMARKS_LOGGED_MAX: usize = 10;

/// Shown in place of the file of a zone that the mesh agrees on.
const BY_AGREEMENT: &str = "(agreed)";

/// One zone with what control knows about it.
#[derive(Clone, Debug)]
pub(crate) struct ServedZone {
    /// Number in the dataplane's memory, from 1.
    pub number: u32,
    /// Apex in presentation form, lower case.
    pub name: String,
    /// The data.
    pub zone: Arc<Zone>,
    /// Of the text that the data came from.
    pub digest: u64,
    /// The latest steps of an agreed zone.
    pub journal: Arc<Journal>,
    /// Who may copy and change it.
    pub access: Arc<Access>,
    /// Whether it comes from the mesh, configured or not.
    pub is_agreed: bool,
    /// When the data were read, milliseconds of CLOCK_MONOTONIC.
    pub loaded_ms: u64,
}

impl ServedZone {
    /// Whether there are names in it that others answer for.
    pub(crate) fn delegates(&self) -> bool {
        self.zone.counts().delegations > 0
    }
}

/// A snapshot of all zones.
#[derive(Clone, Debug, Default)]
pub(crate) struct ZoneTable {
    set: ZoneSet,
    /// By number.
    served: BTreeMap<u32, ServedZone>,
    /// Agreed zones of the configuration, in service or not, by apex.
    agreed: Arc<BTreeMap<Vec<u8>, Arc<Access>>>,
    /// Those of them that are not in service.
    awaited: Arc<BTreeSet<Vec<u8>>>,
    /// Keys that clients may sign with.
    keys: Arc<TsigKeys>,
}

/// Where the latest snapshot is found. Holds no other one.
pub(crate) type SharedTable = Arc<ArcSwap<ZoneTable>>;

/// One thread's way to the snapshot, without a lock or a shared count a query. Holds the one that it
/// saw last: only for those who keep asking.
pub(crate) type CachedTable = arc_swap::Cache<SharedTable, Arc<ZoneTable>>;

impl ZoneTable {
    /// The zone that answers for `qname` (wire form, lower case).
    #[must_use]
    pub(crate) fn find(&self, qname: &[u8], qtype: u16) -> Option<&ServedZone> {
        self.served.get(&self.set.find(qname, qtype)?.0)
    }

    /// The zone of exactly this apex (wire form, lower case).
    #[must_use]
    pub(crate) fn find_apex(&self, apex: &[u8]) -> Option<&ServedZone> {
        self.served.get(&self.set.get(apex)?.0)
    }

    /// The zone of this name, as the configuration gives it.
    pub(crate) fn find_name(&self, name: &str) -> Option<&ServedZone> {
        self.find_apex(&zone_file::wire_name(name)?)
    }

    /// Who may do what with the agreed zone of exactly this apex (wire form, lower case).
    #[must_use]
    pub(crate) fn find_agreed(&self, apex: &[u8]) -> Option<&Arc<Access>> {
        self.agreed.get(apex)
    }

    /// Whether there is a zone that somebody may change.
    #[must_use]
    pub(crate) fn takes_updates(&self) -> bool {
        self.agreed.values().any(|access| access.takes_updates())
    }

    /// Keys that clients may sign with.
    #[must_use]
    pub(crate) fn keys(&self) -> &Arc<TsigKeys> {
        &self.keys
    }

    /// All of them, by number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &ServedZone> {
        self.served.values()
    }

    fn insert(&mut self, mut served: ServedZone) {
        served.number = self.set.insert(Arc::clone(&served.zone)).index;
        self.served.insert(served.number, served);
    }

    /// Whether `qname` (wire form, lower case) lies in an agreed zone that is not in service, rather than in
    /// `found`: nobody else may answer for it.
    #[must_use]
    pub(crate) fn is_awaited(&self, qname: &[u8], found: Option<&ServedZone>) -> bool {
        if self.awaited.is_empty() {
            return false;
        }
        let mut longer = self
            .awaited
            .iter()
            .filter(|apex| found.is_none_or(|found| apex.len() > found.zone.apex().len()));
        longer.any(|apex| is_at_or_below(qname, apex))
    }

    /// The next snapshot is whole.
    fn settle(&mut self) {
        let apexes = self.agreed.keys();
        let awaited = apexes.filter(|apex| self.set.get(apex).is_none());
        self.awaited = Arc::new(awaited.cloned().collect());
    }

    fn set_agreed(&mut self, agreed: BTreeMap<Vec<u8>, Arc<Access>>) {
        for served in self.served.values_mut() {
            match agreed.get(served.zone.apex()) {
                Some(access) => served.access = Arc::clone(access),
                None if served.is_agreed => served.access = Arc::default(),
                None => {}
            }
        }
        self.agreed = Arc::new(agreed);
    }

    fn remove(&mut self, served: &ServedZone) {
        self.set.remove(served.zone.apex());
        self.served.remove(&served.number);
    }
}

/// A zone file that cannot be used: `file:line:column: …`, or why it cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("zone {name}: {message}")]
pub(crate) struct ZoneLoadError {
    /// Apex of the zone.
    pub name: String,
    /// File, line, column and what was expected.
    pub message: String,
}

/// What came of reading zones again.
#[derive(Debug, Default)]
pub(crate) struct Reloaded {
    /// Zone by zone.
    pub zones: Vec<ZoneReloaded>,
    /// Apexes of zones under which other names than before are ours to answer, so that what was
    /// resolved there may be wrong now.
    pub redrawn: Vec<String>,
}

impl Reloaded {
    /// Takes a zone out of service.
    fn drop(&mut self, table: &mut ZoneTable, served: &ServedZone) {
        table.remove(served);
        self.note(Some(served), None);
        self.zones.push(ZoneReloaded {
            name: served.name.clone(),
            serial_before: Some(served.zone.serial()),
            serial: None,
            changed: true,
            error: None,
        });
    }

    fn note(&mut self, before: Option<&ServedZone>, now: Option<&ServedZone>) {
        let is_redrawn = match (before, now) {
            // What is below a delegation is resolved, for those who want it.
            (Some(before), Some(now)) => {
                before.digest != now.digest && (before.delegates() || now.delegates())
            }
            (before, now) => before.is_some() || now.is_some(),
        };
        let name = before.or(now).filter(|_| is_redrawn);
        self.redrawn.extend(name.map(|zone| zone.name.clone()));
    }
}

/// Zones of the configuration by name.
type Configured = BTreeMap<String, config::Zone>;

/// What the last attempt on each zone came to.
#[derive(Debug, Default)]
struct Ledger {
    configured: Arc<Configured>,
    errors: BTreeMap<String, String>,
}

/// The zones and their files.
#[derive(Debug)]
pub(crate) struct Zones {
    /// `consensus.zones_below`.
    below: Option<Vec<String>>,
    table: SharedTable,
    /// Held for a whole reload, so that two of them come one after the other. Never taken on the
    /// control runtime: reading files takes its time.
    reloading: Mutex<()>,
    /// Held for moments, while the next snapshot is made from the last.
    swapping: Mutex<()>,
    /// Held for moments.
    ledger: Mutex<Ledger>,
    counters: Arc<Counters>,
}

impl Zones {
    /// Reads every zone.
    ///
    /// # Errors
    /// The first zone that cannot be served.
    pub(crate) fn load(
        configured: Vec<config::Zone>,
        keys: TsigKeys,
        counters: Arc<Counters>,
    ) -> Result<Self, ZoneLoadError> {
        let zones = Self {
            below: None,
            table: Arc::default(),
            reloading: Mutex::default(),
            swapping: Mutex::default(),
            ledger: Mutex::default(),
            counters,
        };
        let reloaded = zones.reconfigure(configured, keys);
        match reloaded
            .zones
            .into_iter()
            .find_map(|result| Some((result.name, result.error?)))
        {
            Some((name, message)) => Err(ZoneLoadError { name, message }),
            None => Ok(zones),
        }
    }

    /// Lets the cluster put only these zones and what is below them into service, beside configured ones.
    #[must_use]
    pub(crate) fn limited_to(self, below: Option<Vec<String>>) -> Self {
        Self { below, ..self }
    }

    /// Where readers find the snapshot.
    #[must_use]
    pub(crate) fn shared(&self) -> SharedTable {
        Arc::clone(&self.table)
    }

    /// Reads the files of the zones that are configured, all or one of them, again.
    /// `None` if there is no such zone.
    pub(crate) fn reload(&self, only: Option<&str>) -> Option<Reloaded> {
        let reloading = lock(&self.reloading);
        let configured = Arc::clone(&self.ledger().configured);
        if only.is_some_and(|only| !configured.contains_key(only)) {
            return None;
        }
        let keys = Arc::clone(&self.table.load().keys);
        Some(self.replace(&reloading, configured, keys, only))
    }

    /// Serves the zones of a new configuration: reads all files, drops zones that are gone.
    pub(crate) fn reconfigure(&self, configured: Vec<config::Zone>, keys: TsigKeys) -> Reloaded {
        let configured = configured.into_iter().map(|zone| (zone.name.clone(), zone));
        let configured = Arc::new(configured.collect());
        self.replace(&lock(&self.reloading), configured, Arc::new(keys), None)
    }

    /// The agreed zones of the configuration.
    pub(crate) fn agreed(&self) -> Vec<config::Zone> {
        let configured = Arc::clone(&self.ledger().configured);
        let agreed = configured.values().filter(|zone| zone.agreed);
        agreed.cloned().collect()
    }

    /// Takes the next version of an agreed zone into service, with the steps that lead to it from the
    /// one in service; without them, secondaries copy all of it. One that is not configured may neither be
    /// copied nor changed by clients.
    ///
    /// # Errors
    /// This node does not let the cluster serve it.
    pub(crate) fn publish(&self, zone: Arc<Zone>, steps: Vec<Delta>) -> Result<Reloaded, Unserved> {
        let mut hasher = DefaultHasher::new();
        zone.hash(&mut hasher);
        let digest = hasher.finish();
        let _swapping = lock(&self.swapping);
        let before = self.table.load_full();
        let name = DisplayName(zone.apex()).to_string();
        self.admit(&name)?;
        let access = before.find_agreed(zone.apex()).cloned();
        let old = before.find_apex(zone.apex());
        let mut journal = old.map_or_else(Journal::default, |old| Journal::clone(&old.journal));
        if steps.first().map(|step| step.from) != old.map(|old| old.zone.serial()) {
            journal = Journal::default();
        }
        let result = ZoneReloaded {
            name,
            serial_before: old.map(|old| old.zone.serial()),
            serial: Some(zone.serial()),
            changed: old.is_none_or(|old| old.digest != digest),
            error: None,
        };
        steps.into_iter().for_each(|step| journal.push(step));
        let served = ServedZone {
            number: 0,
            name: result.name.clone(),
            zone,
            digest,
            journal: Arc::new(journal),
            access: access.unwrap_or_default(),
            is_agreed: true,
            loaded_ms: clock::now_ms(),
        };
        let mut reloaded = Reloaded::default();
        reloaded.note(old, Some(&served));
        reloaded.zones.push(result);
        let mut next = ZoneTable::clone(&before);
        next.insert(served);
        self.store(next);
        Ok(reloaded)
    }

    /// Whether the cluster may put a zone of this name into service here.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn admit(&self, name: &str) -> Result<(), Unserved> {
        let configured = Arc::clone(&self.ledger().configured);
        admission::admit(name, &configured, self.below.as_deref())
    }

    /// Serves an agreed zone no more. `None` if it was not served.
    pub(crate) fn withdraw(&self, apex: &[u8]) -> Option<Reloaded> {
        let _swapping = lock(&self.swapping);
        let before = self.table.load_full();
        let old = before.find_apex(apex)?;
        if self.ledger().is_of_a_file(&old.name) {
            return None;
        }
        let mut next = ZoneTable::clone(&before);
        let mut reloaded = Reloaded::default();
        reloaded.drop(&mut next, old);
        self.store(next);
        Some(reloaded)
    }

    fn store(&self, mut next: ZoneTable) {
        next.settle();
        self.counters.zones.set(next.served.len() as u64);
        self.table.store(Arc::new(next));
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }

    /// Builds the next snapshot; of `only`, if given, the others stay as they are.
    fn replace(
        &self,
        _reloading: &MutexGuard<'_, ()>,
        configured: Arc<Configured>,
        keys: Arc<TsigKeys>,
        only: Option<&str>,
    ) -> Reloaded {
        let before = self.table.load_full();
        let wanted = configured
            .values()
            .filter(|zone| !zone.agreed && only.is_none_or(|only| only == zone.name));
        // While this goes on, agreed zones may change, but no others.
        let read = wanted.map(|zone| {
            let old = before.find_name(&zone.name);
            (old, self.reread(zone, &keys, old))
        });
        let read: Vec<_> = read.collect();
        let _swapping = lock(&self.swapping);
        let current = self.table.load_full();
        let mut next = ZoneTable::clone(&current);
        let mut reloaded = Reloaded::default();
        let gone = current
            .iter()
            .filter(|served| !served.is_agreed && !configured.contains_key(&served.name));
        for served in gone {
            reloaded.drop(&mut next, served);
        }
        for (old, (served, result)) in read {
            reloaded.note(old, served.as_ref());
            served.into_iter().for_each(|served| next.insert(served));
            reloaded.zones.push(result);
        }
        let agreed = configured.values().filter(|zone| zone.agreed);
        let agreed = agreed.filter_map(|zone| {
            let access = Arc::new(Access::new(zone, &keys));
            Some((zone_file::wire_name(&zone.name)?, access))
        });
        next.set_agreed(agreed.collect());
        next.keys = keys;
        self.ledger().note(configured, &reloaded.zones);
        self.store(next);
        reloaded
    }

    /// Reads one zone. What is served afterwards, and what to say about it.
    fn reread(
        &self,
        zone: &config::Zone,
        keys: &TsigKeys,
        old: Option<&ServedZone>,
    ) -> (Option<ServedZone>, ZoneReloaded) {
        let mut result = ZoneReloaded {
            name: zone.name.clone(),
            serial_before: old.map(|served| served.zone.serial()),
            serial: None,
            changed: false,
            error: None,
        };
        let served = match read(zone) {
            Ok((data, digest)) => {
                let same = old.filter(|old| old.digest == digest);
                result.changed = same.is_none();
                match same {
                    Some(_) => self.counters.reloads_unchanged.increment(),
                    None => self.counters.reloads.increment(),
                }
                Some(ServedZone {
                    number: 0,
                    name: zone.name.clone(),
                    zone: same.map_or(Arc::new(data), |same| Arc::clone(&same.zone)),
                    digest,
                    journal: Arc::default(),
                    access: Arc::new(Access::new(zone, keys)),
                    is_agreed: false,
                    loaded_ms: clock::now_ms(),
                })
            }
            Err(message) => {
                self.counters.reloads_failed.increment();
                result.error = Some(message);
                old.cloned()
            }
        };
        result.serial = served.as_ref().map(|served| served.zone.serial());
        (served, result)
    }

    /// Every zone that is configured or agreed on, sorted by name. `generation` looks a zone's number up.
    pub(crate) fn status(&self, generation: impl Fn(u32) -> u32) -> Vec<ZoneStatus> {
        let ledger = self.ledger();
        let table = self.table.load_full();
        let now_ms = clock::now_ms();
        let describe = |name: &str, zone: Option<&config::Zone>, served: Option<&ServedZone>| {
            let file = zone.filter(|zone| !zone.agreed);
            let file = file.and_then(|zone| zone.file.as_ref());
            let age = |served: &ServedZone| now_ms.saturating_sub(served.loaded_ms) / 1_000;
            ZoneStatus {
                name: name.to_owned(),
                file: file.map_or(BY_AGREEMENT.to_owned(), |file| file.display().to_string()),
                serial: served.map(|served| served.zone.serial()),
                records: served.map_or(0, |served| served.zone.counts().records as u64),
                generation: served.map_or(0, |served| generation(served.number)),
                signed: served.is_some_and(|served| served.zone.is_signed()),
                loaded_secs_ago: served.map_or(0, age),
                error: ledger.errors.get(name).cloned(),
            }
        };
        let configured = ledger.configured.iter();
        let configured =
            configured.map(|(name, zone)| describe(name, Some(zone), table.find_name(name)));
        let others = table.iter();
        let others = others.filter(|served| !ledger.configured.contains_key(&served.name));
        let others = others.map(|served| describe(&served.name, None, Some(served)));
        let mut all: Vec<_> = configured.chain(others).collect();
        all.sort_by(|one, next| one.name.cmp(&next.name));
        all
    }
}

impl Ledger {
    /// Whether the configuration has a file serve under this name.
    fn is_of_a_file(&self, name: &str) -> bool {
        let configured = self.configured.get(name);
        configured.is_some_and(|zone| !zone.agreed)
    }

    fn note(&mut self, configured: Arc<Configured>, results: &[ZoneReloaded]) {
        for result in results {
            match &result.error {
                Some(error) => self.errors.insert(result.name.clone(), error.clone()),
                None => self.errors.remove(&result.name),
            };
        }
        self.errors.retain(|name, _| configured.contains_key(name));
        self.configured = configured;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads one zone and logs what is odd about it. The error names file, line and column.
fn read(zone: &config::Zone) -> Result<(Zone, u64), String> {
    let read = zone_file::read(zone).map_err(|remark| remark.to_string())?;
    log(&zone.name, &read.remarks);
    Ok((read.zone, read.digest))
}

fn log(name: &str, remarks: &[Remark]) {
    for remark in remarks.iter().take(REMARKS_LOGGED_MAX) {
        tracing::warn!(zone = name, "{remark}");
    }
    if remarks.len() > REMARKS_LOGGED_MAX {
        tracing::warn!(
            zone = name,
            more = remarks.len() - REMARKS_LOGGED_MAX,
            "further remarks left out"
        );
    }
}

#[cfg(test)]
#[path = "zones_tests.rs"]
mod tests;
