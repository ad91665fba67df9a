//! [`Zones`]: zones by agreement, each changed whole or not at all (RFC 2136), and what changed since the node last looked.

use std::collections::BTreeMap;
use std::sync::Arc;

use resolver::zone::{Applied, Delta, Step, Update, ZoneContents};
use wire::rcode;

use crate::command::CreateMode;
use crate::outcome::Outcome;
use crate::state::{Key, State};

/// Most zones.
pub const ZONES_MAX: usize = 10_000;
/// About as many bytes as all zones together may take.
pub const ZONES_BYTES_MAX: usize = 1 << 30;
/// Most changes that wait for the node; with more it is told [`ZoneChanges::All`].
pub const ZONE_CHANGES_MAX: usize = 65_536;

/// Done (RFC 1035 §4.1.1).
const NOERROR: u16 = 0;

/// What the node has not seen yet. No part of the state.
#[derive(Debug)]
pub enum ZoneChanges {
    /// Every change, oldest first.
    Steps(Vec<ZoneChange>),
    /// Another state has come, or too much has happened: what there is now is all that can be told.
    All,
}

/// A change of one zone.
#[derive(Debug)]
pub struct ZoneChange {
    /// Which zone: its name in wire form, lower-case.
    pub apex: Arc<[u8]>,
    /// What happened to it.
    pub kind: ZoneChangeKind,
    /// Its serial after that; 0 if it is gone.
    pub serial: u32,
}

/// What happened to a zone.
#[derive(Debug)]
pub enum ZoneChangeKind {
    /// It is new.
    Created,
    /// One step, as an IXFR has it.
    Updated(Delta),
    /// It is gone.
    Deleted,
}

/// All zones.
#[derive(Debug, Clone, Default)]
pub(crate) struct Zones {
    zones: BTreeMap<Arc<[u8]>, ZoneContents>,
    bytes: usize,
}

impl Zones {
    pub(crate) fn get(&self, apex: &[u8]) -> Option<&ZoneContents> {
        self.zones.get(apex)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &ZoneContents> {
        self.zones.values()
    }

    pub(crate) fn len(&self) -> usize {
        self.zones.len()
    }

    /// Every set of every zone.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> {
        let zones = self.zones.iter();
        zones.flat_map(|(apex, contents)| keys_of(apex, contents))
    }

    pub(crate) fn insert(&mut self, contents: ZoneContents) {
        self.bytes += contents.bytes();
        let old = self.zones.insert(contents.apex().into(), contents);
        self.bytes -= old.map_or(0, |old| old.bytes());
    }

    fn is_full(&self) -> bool {
        self.bytes >= ZONES_BYTES_MAX
    }

    /// Changes one zone and keeps count of its bytes.
    fn change<T>(&mut self, apex: &[u8], act: impl FnOnce(&mut ZoneContents) -> T) -> Option<T> {
        let contents = self.zones.get_mut(apex)?;
        self.bytes -= contents.bytes();
        let done = act(contents);
        self.bytes += contents.bytes();
        Some(done)
    }
}

fn keys_of(apex: &Arc<[u8]>, contents: &ZoneContents) -> impl Iterator<Item = Key> {
    let sets = contents.sets();
    sets.map(move |(owner, rtype, _)| Key::Set(Arc::clone(apex), owner.into(), rtype))
}

impl State {
    pub(crate) fn create_zone(
        &mut self,
        contents: &ZoneContents,
        mode: CreateMode,
        changes: &mut ZoneChanges,
    ) -> Outcome {
        let apex: Arc<[u8]> = contents.apex().into();
        let serial = self.zones.get(&apex).map(ZoneContents::serial);
        match (serial, mode) {
            (Some(serial), CreateMode::New) => refused(rcode::YXDOMAIN, serial),
            (Some(serial), CreateMode::IfAbsent) => refused(NOERROR, serial),
            _ if self.zones.is_full() => refused(rcode::REFUSED, serial.unwrap_or(0)),
            (Some(_), CreateMode::Replace) => {
                let replaced = self.zones.change(&apex, |zone| zone.replace(contents));
                match replaced {
                    Some(Ok(applied)) => self.applied(&apex, &applied, changes),
                    _ => refused(rcode::REFUSED, serial.unwrap_or(0)),
                }
            }
            (None, _) if self.zones.len() >= ZONES_MAX => refused(rcode::REFUSED, 0),
            (None, _) => {
                self.dirty.extend(keys_of(&apex, contents));
                self.zones.insert(contents.clone());
                let serial = contents.serial();
                changes.push(&apex, ZoneChangeKind::Created, serial);
                Outcome::Zone {
                    rcode: NOERROR,
                    serial,
                }
            }
        }
    }

    pub(crate) fn update_zone(&mut self, update: &Update, changes: &mut ZoneChanges) -> Outcome {
        let apex: Arc<[u8]> = update.zone().into();
        let Some(serial) = self.zones.get(&apex).map(ZoneContents::serial) else {
            return refused(rcode::NOTAUTH, 0);
        };
        let adds = |step: &Step| matches!(step, Step::Add { .. });
        if self.zones.is_full() && update.steps().iter().any(adds) {
            return refused(rcode::REFUSED, serial);
        }
        match self.zones.change(&apex, |zone| zone.apply(update)) {
            Some(Ok(applied)) => self.applied(&apex, &applied, changes),
            Some(Err(error)) => refused(error.rcode(), serial),
            None => refused(rcode::NOTAUTH, 0),
        }
    }

    fn applied(
        &mut self,
        apex: &Arc<[u8]>,
        applied: &Applied,
        changes: &mut ZoneChanges,
    ) -> Outcome {
        for change in &applied.changes {
            let owner = Arc::clone(&change.owner);
            let key = Key::Set(Arc::clone(apex), owner, change.rtype);
            self.dirty.insert(key);
        }
        if applied.is_changed() {
            let kind = ZoneChangeKind::Updated(applied.delta());
            changes.push(apex, kind, applied.to);
        }
        Outcome::Zone {
            rcode: NOERROR,
            serial: applied.to,
        }
    }

    pub(crate) fn delete_zone(&mut self, apex: &Arc<[u8]>, changes: &mut ZoneChanges) -> Outcome {
        let Some(contents) = self.zones.zones.remove(apex) else {
            return refused(rcode::NOTAUTH, 0);
        };
        self.zones.bytes -= contents.bytes();
        self.dirty.extend(keys_of(apex, &contents));
        changes.push(apex, ZoneChangeKind::Deleted, 0);
        refused(NOERROR, 0)
    }
}

fn refused(rcode: u16, serial: u32) -> Outcome {
    Outcome::Zone { rcode, serial }
}

impl ZoneChanges {
    fn push(&mut self, apex: &Arc<[u8]>, kind: ZoneChangeKind, serial: u32) {
        match self {
            Self::Steps(steps) if steps.len() < ZONE_CHANGES_MAX => {
                let apex = Arc::clone(apex);
                steps.push(ZoneChange { apex, kind, serial });
            }
            _ => *self = Self::All,
        }
    }
}
