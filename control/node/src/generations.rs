//! Which state of which zone the workers' answers come from, told by generation numbers.
//!
//! A small file beside the command line's socket remembers over a restart what a dataplane was
//! told, so that a control that comes back with the same zones kills no answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use exchange::{BumpError, DataplaneStatus, GenerationsWriter};
use serde::{Deserialize, Serialize};

use crate::generations_file::{Content, GenerationsFile};
use crate::responder::RESOLVED;
use crate::zones::{ServedZone, ZoneTable};

/// Zones by number.
pub(crate) type Zones = BTreeMap<u32, Told>;

/// What the dataplane was told of a zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Told {
    name: String,
    digest: u64,
    /// There are names in it that are resolved.
    delegates: bool,
}

impl Told {
    fn facts(&self) -> (&str, u64, bool) {
        (&self.name, self.digest, self.delegates)
    }
}

/// What there is to tell of a zone.
fn facts(zone: &ServedZone) -> (&str, u64, bool) {
    (&zone.name, zone.digest, zone.delegates())
}

/// What the dataplane was told.
#[derive(Debug)]
pub(crate) struct Published {
    file: GenerationsFile,
    /// Digest of the policy that resolved answers were made under.
    policy: u64,
    dataplane: (u32, u64),
    zones: Option<Arc<Zones>>,
}

impl Published {
    /// Nobody was told anything; this policy is in service.
    pub(crate) fn new(file: GenerationsFile, policy: u64) -> Self {
        Self {
            file,
            policy,
            dataplane: (0, 0),
            zones: None,
        }
    }

    /// A dataplane came: one that we know keeps its answers of zones that did not change.
    pub(crate) fn on_attached(
        &mut self,
        dataplane: &DataplaneStatus,
        zones: &ZoneTable,
        generations: &mut GenerationsWriter,
    ) {
        self.dataplane = (dataplane.pid, dataplane.started_ms);
        self.zones = self
            .file
            .read()
            .filter(|content| (content.pid, content.started_ms) == self.dataplane)
            .filter(|content| content.policy == self.policy)
            .map(|content| Arc::new(content.zones));
        self.on_changed(zones, generations);
    }

    /// A policy is in service: what was resolved under another one before is dead.
    pub(crate) fn on_policy(&mut self, policy: u64, generations: Option<&mut GenerationsWriter>) {
        if self.policy == policy {
            return;
        }
        self.policy = policy;
        let Some(generations) = generations else {
            return; // A dataplane that comes is told everything.
        };
        self.file.remove();
        match (generations.bump(RESOLVED), &self.zones) {
            (Ok(_), Some(zones)) => self.remember(Arc::clone(zones)),
            (Ok(_), None) => {}
            (Err(error), _) => tracing::debug!(%error, "the dataplane is another's"),
        }
    }

    fn remember(&self, zones: Arc<Zones>) {
        let (pid, started_ms) = self.dataplane;
        self.file.write(Content {
            pid,
            started_ms,
            zones,
            policy: self.policy,
        });
    }

    /// Raises the generations of what changed since the last time.
    pub(crate) fn on_changed(&mut self, zones: &ZoneTable, generations: &mut GenerationsWriter) {
        let is_told = |before: &Arc<Zones>| {
            let told = before.iter().map(|(number, told)| (*number, told.facts()));
            told.eq(zones.iter().map(|zone| (zone.number, facts(zone))))
        };
        if self.zones.as_ref().is_some_and(is_told) {
            return;
        }
        let told = |zone: &ServedZone| Told {
            name: zone.name.clone(),
            digest: zone.digest,
            delegates: zone.delegates(),
        };
        let now = zones.iter().map(|zone| (zone.number, told(zone)));
        let now: Arc<Zones> = Arc::new(now.collect());
        // Should we be killed in between, the next control must not trust what the file says.
        self.file.remove();
        let result = match &self.zones {
            Some(before) if same_names(before, &now) => {
                stale(before, &now).try_for_each(|number| generations.bump(number).map(drop))
            }
            // Which names are ours has changed: resolved answers may be wrong too.
            _ => bump_all(generations),
        };
        match result {
            Ok(()) => {
                self.remember(Arc::clone(&now));
                self.zones = Some(now);
            }
            // The front thread learns of it by the connection.
            Err(BumpError::Superseded) => {}
            Err(error @ BumpError::Zone { .. }) => {
                tracing::error!(%error, "more zones than the dataplane can tell apart: raise dataplane.zones_max and restart it");
                self.zones = None;
            }
        }
    }
}

/// Makes every answer dead.
pub(crate) fn bump_all(generations: &mut GenerationsWriter) -> Result<(), BumpError> {
    generations.bump_zones()?;
    generations.bump(RESOLVED).map(drop)
}

/// Numbers of the zones that changed; before them that of resolved data, if one of them delegates or
/// did: a name that was below a delegation may be the zone's own now.
fn stale(before: &Zones, now: &Zones) -> impl Iterator<Item = u32> {
    let changed = now.iter().filter_map(|(number, zone)| {
        let old = before.get(number).filter(|old| *old != zone)?;
        Some((*number, old.delegates || zone.delegates))
    });
    let resolved = changed.clone().any(|(_, delegates)| delegates);
    let resolved = resolved.then_some(RESOLVED);
    resolved
        .into_iter()
        .chain(changed.map(|(number, _)| number))
}

fn same_names(before: &Zones, now: &Zones) -> bool {
    fn names(zones: &Zones) -> impl Iterator<Item = (u32, &str)> {
        zones.iter().map(|(number, told)| (*number, &*told.name))
    }
    names(before).eq(names(now))
}
