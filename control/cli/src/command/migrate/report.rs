//! What became of each option.

use std::io::{self, Write};
use std::path::PathBuf;

use serde::Serialize;

use super::source::Setting;
use crate::print;

/// What became of one option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Outcome {
    /// It stands in the new file.
    TakenOver,
    /// Nexus does that without being told.
    Default,
    /// Nexus has nothing like it, and clients get the same answers without it.
    NoEffect,
    /// Nexus has nothing like it, and some client gets another answer or none.
    Lost,
}

/// [`Outcome`] with its reason, before it is known where the option stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) outcome: Outcome,
    pub(super) key: Option<&'static str>,
    pub(super) note: Option<String>,
}

impl Verdict {
    pub(super) fn taken(key: &'static str) -> Self {
        Self {
            outcome: Outcome::TakenOver,
            key: Some(key),
            note: None,
        }
    }

    pub(super) fn default(note: impl Into<String>) -> Self {
        Self::of(Outcome::Default, note)
    }

    pub(super) fn no_effect(note: impl Into<String>) -> Self {
        Self::of(Outcome::NoEffect, note)
    }

    pub(super) fn lost(note: impl Into<String>) -> Self {
        Self::of(Outcome::Lost, note)
    }

    pub(super) fn noting(mut self, note: Option<String>) -> Self {
        self.note = note.or(self.note);
        self
    }

    pub(super) fn of(outcome: Outcome, note: impl Into<String>) -> Self {
        Self {
            outcome,
            key: None,
            note: Some(note.into()),
        }
    }
}

/// What became of an option at its first place, and how often the same became of it elsewhere.
#[derive(Debug, Serialize)]
pub(super) struct Entry {
    pub(super) file: PathBuf,
    pub(super) line: u32,
    pub(super) option: String,
    pub(super) value: String,
    pub(super) outcome: Outcome,
    /// The key of the new file.
    pub(super) key: Option<&'static str>,
    pub(super) note: Option<String>,
    pub(super) count: u64,
}

/// Everything that became of a file.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    /// Files written.
    pub(super) written: Vec<String>,
    pub(super) entries: Vec<Entry>,
    /// What no single option brought about.
    pub(super) notes: Vec<String>,
}

impl Report {
    /// Adds what became of a setting. A long list of one option is one entry.
    pub(super) fn add(&mut self, setting: &Setting, verdict: Verdict) {
        let last = self.entries.last_mut().filter(|entry| {
            entry.option == setting.option
                && entry.outcome == verdict.outcome
                && entry.key == verdict.key
                && entry.note == verdict.note
        });
        if let Some(entry) = last {
            entry.count += 1;
            return;
        }
        self.entries.push(Entry {
            file: setting.file.to_path_buf(),
            line: setting.line,
            option: setting.option.clone(),
            value: setting.values.join(" "),
            outcome: verdict.outcome,
            key: verdict.key,
            note: verdict.note,
            count: 1,
        });
    }

    /// Whether some client would see a difference.
    pub(super) fn has_losses(&self) -> bool {
        let mut entries = self.entries.iter();
        entries.any(|entry| entry.outcome == Outcome::Lost)
    }

    /// Writes it for a person: the worst first.
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let parts = [
            (
                Outcome::Lost,
                "Not taken over, and clients will see the difference",
            ),
            (
                Outcome::NoEffect,
                "Not taken over, without effect on answers or access",
            ),
            (Outcome::TakenOver, "Taken over"),
            (Outcome::Default, "Is so without being told"),
        ];
        for (outcome, title) in parts {
            let mut entries = self
                .entries
                .iter()
                .filter(|entry| entry.outcome == outcome)
                .peekable();
            if entries.peek().is_some() {
                writeln!(out, "{title}:")?;
            }
            for entry in entries {
                write_entry(out, entry)?;
            }
        }
        for note in &self.notes {
            writeln!(out, "{note}")?;
        }
        for file in &self.written {
            writeln!(out, "{file} is written")?;
        }
        Ok(())
    }
}

fn write_entry(out: &mut impl Write, entry: &Entry) -> io::Result<()> {
    let value: String = entry.value.chars().take(60).collect();
    write!(
        out,
        "  {}:{}: {}: {}",
        print::clean(&entry.file.display().to_string()),
        entry.line,
        print::clean(&entry.option),
        print::clean(&value)
    )?;
    if value.len() < entry.value.len() {
        write!(out, "…")?;
    }
    if entry.count > 1 {
        write!(out, " and {} more", print::thousands(entry.count - 1))?;
    }
    if let Some(key) = entry.key {
        write!(out, " → {key}")?;
    }
    if let Some(note) = &entry.note {
        write!(out, " ({})", print::clean(note))?;
    }
    writeln!(out)
}
