//! Local zones that do nothing but block, as lists of names: thousands of them have no place in a
//! configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use config::{BlockAnswer, BlockList, ListForm, LocalAction, LocalZone};

use super::local::{Local, suffixes};
use super::mapper::Mapper;

/// Fewer stay in the configuration, where people see them.
const LISTED_MIN: usize = 1_000;

/// A list and the name of its file.
#[derive(Debug)]
pub(super) struct List {
    pub(super) file: &'static str,
    names: BTreeSet<String>,
}

const ANSWERS: [(BlockAnswer, &str); 4] = [
    (BlockAnswer::Nxdomain, "blocked-nxdomain.txt"),
    (BlockAnswer::Nodata, "blocked-nodata.txt"),
    (BlockAnswer::Refused, "blocked-refused.txt"),
    (BlockAnswer::Null, "blocked-null.txt"),
];

impl Mapper {
    /// Moves blocking zones of `server:` into lists. Policy zones come before lists but after local
    /// zones, so with any of them nothing is moved.
    pub(super) fn split_lists(&mut self, local: &mut Local) {
        if !self.config.resolver.rpz.is_empty() {
            return;
        }
        let movable = movable(local);
        for (answer, file) in ANSWERS {
            let names: BTreeSet<_> = movable
                .iter()
                .filter(|(_, own)| **own == answer)
                .map(|(name, _)| name.clone())
                .collect();
            if names.len() < LISTED_MIN {
                continue;
            }
            local.zones.retain(|zone| !names.contains(&zone.name));
            local.data.retain(|datum| !names.contains(&datum.owner));
            self.config.resolver.block_lists.push(BlockList {
                file: file.into(),
                name: None,
                form: ListForm::Domains,
                answer,
            });
            let note = format!(
                "{} zones that only block are in {file}; an alias to one of them is blocked, too",
                names.len()
            );
            self.report.notes.push(note);
            self.lists.push(List { file, names });
        }
    }

    /// Writes the lists into `folder`.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(super) fn write_lists(&mut self, folder: &Path) -> std::io::Result<()> {
        for list in &self.lists {
            let file = folder.join(list.file);
            let text: String = list.names.iter().flat_map(|name| [name, "\n"]).collect();
            std::fs::write(&file, text)?;
            self.report.written.push(file.display().to_string());
        }
        Ok(())
    }
}

/// The zones for which a list gives the same answers: there, the first list counts rather than the
/// longest name, and local zones and data come before all lists.
fn movable(local: &Local) -> BTreeMap<String, BlockAnswer> {
    let mut candidates = BTreeMap::new();
    let mut others = BTreeMap::new();
    for zone in &local.zones {
        match answer(local, zone) {
            Some(answer) => {
                candidates.insert(&*zone.name, answer);
            }
            None => {
                others.insert(&*zone.name, zone.action);
            }
        }
    }
    let mut barred = BTreeSet::new();
    for datum in &local.data {
        if !local.nulls.contains(&datum.owner) {
            barred.extend(suffixes(&datum.owner));
        }
    }
    barred.extend(others.keys().flat_map(|name| suffixes(name)));
    for (name, answer) in &candidates {
        for above in suffixes(name).skip(1) {
            if candidates.get(above).is_some_and(|other| other != answer) {
                barred.extend([*name, above]);
            }
        }
        let mut around = suffixes(name).filter_map(|above| others.get(above));
        if around.any(|action| *action != LocalAction::Transparent) {
            barred.insert(name);
        }
    }
    candidates
        .into_iter()
        .filter(|(name, _)| *name != "." && !barred.contains(name))
        .map(|(name, answer)| (name.to_owned(), answer))
        .collect()
}

fn answer(local: &Local, zone: &LocalZone) -> Option<BlockAnswer> {
    match zone.action {
        LocalAction::Nxdomain => Some(BlockAnswer::Nxdomain),
        LocalAction::Nodata => Some(BlockAnswer::Nodata),
        LocalAction::Refuse => Some(BlockAnswer::Refused),
        LocalAction::Redirect if local.nulls.contains(&zone.name) => Some(BlockAnswer::Null),
        _ => None,
    }
}
