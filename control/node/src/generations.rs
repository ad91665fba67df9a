//! Which state of which zone the workers' answers come from, told by generation numbers.
//!
//! A small file beside the command line's socket remembers over a restart what a dataplane was
//! told, so that a control that comes back with the same zones kills no answer.

use std::collections::BTreeMap;
use std::path::PathBuf;

use exchange::{BumpError, DataplaneStatus, GenerationsWriter};
use serde::{Deserialize, Serialize};

use crate::responder::RESOLVED;
use crate::zones::{ServedZone, ZoneTable};

/// Zones by number.
type Zones = BTreeMap<u32, Told>;

/// What the dataplane was told of a zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    name: String,
    digest: u64,
    /// There are names in it that are resolved.
    delegates: bool,
}

/// The file. Losing it costs cached answers, never correctness.
#[derive(Clone, Debug)]
pub(crate) struct State {
    path: PathBuf,
    /// Of the policy that resolved answers were made under.
    policy: u64,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    /// Of the dataplane: no other has these two.
    pid: u32,
    started_ms: u64,
    zones: Zones,
    /// Digest of the policy.
    #[serde(default)]
    policy: u64,
}

impl State {
    pub(crate) fn new(path: PathBuf, policy: u64) -> Self {
        Self { path, policy }
    }

    fn read(&self) -> Option<Content> {
        serde_json::from_slice(&std::fs::read(&self.path).ok()?).ok()
    }

    fn write(&self, content: &Content) {
        let written = serde_json::to_vec(content)
            .map_err(std::io::Error::from)
            .and_then(|text| {
                let beside = self.path.with_extension("new");
                std::fs::write(&beside, text)?;
                std::fs::rename(&beside, &self.path)
            });
        if let Err(error) = written {
            tracing::debug!(path = %self.path.display(), %error, "cannot remember the zones' generations");
        }
    }

    fn remove(&self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// What the dataplane was told.
#[derive(Debug)]
pub(crate) struct Published {
    state: State,
    dataplane: (u32, u64),
    zones: Option<Zones>,
}

impl Published {
    pub(crate) fn new(state: State) -> Self {
        Self {
            state,
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
            .state
            .read()
            .filter(|content| (content.pid, content.started_ms) == self.dataplane)
            .filter(|content| content.policy == self.state.policy)
            .map(|content| content.zones);
        self.on_changed(zones, generations);
    }

    /// A policy is in service: what was resolved under another one before is dead.
    pub(crate) fn on_policy(&mut self, policy: u64, generations: Option<&mut GenerationsWriter>) {
        if self.state.policy == policy {
            return;
        }
        self.state.policy = policy;
        let Some(generations) = generations else {
            return; // A dataplane that comes is told everything.
        };
        self.state.remove();
        match (generations.bump(RESOLVED), &self.zones) {
            (Ok(_), Some(zones)) => self.remember(zones.clone()),
            (Ok(_), None) => {}
            (Err(error), _) => tracing::debug!(%error, "the dataplane is another's"),
        }
    }

    fn remember(&self, zones: Zones) {
        let (pid, started_ms) = self.dataplane;
        self.state.write(&Content {
            pid,
            started_ms,
            zones,
            policy: self.state.policy,
        });
    }

    /// Raises the generations of what changed since the last time.
    pub(crate) fn on_changed(&mut self, zones: &ZoneTable, generations: &mut GenerationsWriter) {
        let told = |zone: &ServedZone| Told {
            name: zone.name.clone(),
            digest: zone.digest,
            delegates: zone.delegates(),
        };
        let now: Zones = zones.iter().map(|zone| (zone.number, told(zone))).collect();
        if self.zones.as_ref() == Some(&now) {
            return;
        }
        // Should we be killed in between, the next control must not trust what the file says.
        self.state.remove();
        let result = match &self.zones {
            Some(before) if same_names(before, &now) => {
                stale(before, &now).try_for_each(|number| generations.bump(number).map(drop))
            }
            // Which names are ours has changed: resolved answers may be wrong too.
            _ => bump_all(generations),
        };
        match result {
            Ok(()) => {
                self.remember(now.clone());
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
    let names = |zones: &Zones| -> Vec<_> {
        zones
            .iter()
            .map(|(number, told)| (*number, told.name.clone()))
            .collect()
    };
    names(before) == names(now)
}
