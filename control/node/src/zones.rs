//! The zones in service: read from their files, replaced whole, found by name.
//!
//! Readers hold a snapshot; a reload builds the next one beside it. A file that cannot be used
//! leaves the data of the time before in service.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use config::Networks;
use resolver::zone::{Zone, ZoneSet};

use crate::admin::{ZoneReloaded, ZoneStatus};
use crate::clock;
use crate::counters::Counters;
use crate::zone_file::{self, Remark};

/// Remarks on one zone that are logged one by one.
const REMARKS_LOGGED_MAX: usize = 10;

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
    /// Who may copy it.
    pub allow_transfer: Networks,
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
    fn find_name(&self, name: &str) -> Option<&ServedZone> {
        self.find_apex(&zone_file::wire_name(name)?)
    }

    /// All of them, by number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &ServedZone> {
        self.served.values()
    }

    fn insert(&mut self, mut served: ServedZone) {
        served.number = self.set.insert(Arc::clone(&served.zone)).index;
        self.served.insert(served.number, served);
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
    table: SharedTable,
    /// Held for a whole reload, so that two of them come one after the other. Never taken on the
    /// control runtime: reading files takes its time.
    reloading: Mutex<()>,
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
        counters: Arc<Counters>,
    ) -> Result<Self, ZoneLoadError> {
        let zones = Self {
            table: Arc::default(),
            reloading: Mutex::default(),
            ledger: Mutex::default(),
            counters,
        };
        let reloaded = zones.reconfigure(configured);
        match reloaded
            .zones
            .into_iter()
            .find_map(|result| Some((result.name, result.error?)))
        {
            Some((name, message)) => Err(ZoneLoadError { name, message }),
            None => Ok(zones),
        }
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
        Some(self.replace(&reloading, configured, only))
    }

    /// Serves the zones of a new configuration: reads all files, drops zones that are gone.
    pub(crate) fn reconfigure(&self, configured: Vec<config::Zone>) -> Reloaded {
        let configured = configured.into_iter().map(|zone| (zone.name.clone(), zone));
        let configured = Arc::new(configured.collect());
        self.replace(&lock(&self.reloading), configured, None)
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }

    /// Builds the next snapshot; of `only`, if given, the others stay as they are.
    fn replace(
        &self,
        _reloading: &MutexGuard<'_, ()>,
        configured: Arc<Configured>,
        only: Option<&str>,
    ) -> Reloaded {
        let before = self.table.load_full();
        let mut next = ZoneTable::clone(&before);
        let mut reloaded = Reloaded::default();
        let gone = before
            .iter()
            .filter(|served| !configured.contains_key(&served.name));
        for served in gone {
            next.remove(served);
            reloaded.note(Some(served), None);
            reloaded.zones.push(ZoneReloaded {
                name: served.name.clone(),
                serial_before: Some(served.zone.serial()),
                serial: None,
                changed: true,
                error: None,
            });
        }
        for zone in configured
            .values()
            .filter(|zone| only.is_none_or(|only| only == zone.name))
        {
            let old = before.find_name(&zone.name);
            let (served, result) = self.reread(zone, old);
            reloaded.note(old, served.as_ref());
            served.into_iter().for_each(|served| next.insert(served));
            reloaded.zones.push(result);
        }
        self.ledger().note(configured, &reloaded.zones);
        self.counters.zones.set(next.served.len() as u64);
        self.table.store(Arc::new(next));
        reloaded
    }

    /// Reads one zone. What is served afterwards, and what to say about it.
    fn reread(
        &self,
        zone: &config::Zone,
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
                    allow_transfer: zone.allow_transfer.clone(),
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

    /// Every configured zone, sorted by name. `generation` looks a zone's number up.
    pub(crate) fn status(&self, generation: impl Fn(u32) -> u32) -> Vec<ZoneStatus> {
        let ledger = self.ledger();
        let table = self.table.load_full();
        let now_ms = clock::now_ms();
        ledger
            .configured
            .values()
            .map(|zone| {
                let served = table.find_name(&zone.name);
                ZoneStatus {
                    name: zone.name.clone(),
                    file: zone.file.display().to_string(),
                    serial: served.map(|served| served.zone.serial()),
                    records: served.map_or(0, |served| served.zone.counts().records as u64),
                    generation: served.map_or(0, |served| generation(served.number)),
                    signed: served.is_some_and(|served| served.zone.is_signed()),
                    loaded_secs_ago: served
                        .map_or(0, |served| now_ms.saturating_sub(served.loaded_ms) / 1_000),
                    error: ledger.errors.get(&zone.name).cloned(),
                }
            })
            .collect()
    }
}

impl Ledger {
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
mod tests {
    use super::*;

    const ZONE: &str = "@ 60 SOA ns.test. host.test. 7 3600 600 86400 60\n@ 60 NS ns.test.\n";

    #[test]
    fn many_zones_are_listed_by_name_and_stay_apart_when_some_go() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("zone");
        std::fs::write(&file, ZONE).unwrap();
        let zone = |index: u32| config::Zone {
            name: format!("z{index}.test."),
            file: file.clone(),
            allow_transfer: Networks::default(),
        };
        let zones = Zones::load((0..5_000).map(zone).collect(), Arc::default()).unwrap();
        let reloaded = zones.reconfigure((2_500..5_000).chain([9_000]).map(zone).collect());
        assert_eq!(reloaded.redrawn.len(), 2_501);
        let status = zones.status(|number| number);
        assert_eq!(status.len(), 2_501);
        assert!(status.is_sorted_by(|one, next| one.name < next.name));
        let numbers: std::collections::BTreeSet<_> =
            status.iter().map(|zone| zone.generation).collect();
        assert_eq!(numbers.len(), status.len());
        assert!(status.iter().all(|zone| zone.serial == Some(7)));
    }
}
