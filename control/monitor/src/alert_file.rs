//! [`AlertFile`]: the latest alerts, in memory and in a file of JSON lines. The webhook's queue is this file and a number: what
//! is behind that number was not delivered yet.

use std::collections::{HashSet, VecDeque};
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::alert::Alert;

/// Alerts of one page.
pub const PAGE_ALERTS_MAX: usize = 256;

/// Bytes of alerts of one page, if it has more than one.
const PAGE_BYTES_MAX: usize = 8 << 20;

/// Bytes of alerts that can be kept.
pub const ALERT_FILE_BYTES_MAX: usize = 64 << 20;

/// Bytes of a file that is read: what is kept twice, and a last alert.
const FILE_BYTES_MAX: usize = 2 * ALERT_FILE_BYTES_MAX + ALERT_BYTES_MAX;

/// Bytes of one alert at most: a hundred names and matches, of less than 256 bytes each, of which JSON may make six times as many.
const ALERT_BYTES_MAX: usize = 1 << 20;

/// Alerts, oldest first.
#[derive(Debug)]
pub struct AlertFile {
    path: PathBuf,
    bytes_max: usize,
    kept: VecDeque<KeptAlert>,
    /// Bytes of those that are kept.
    bytes: usize,
    ids: HashSet<String>,
    next_sequence: u64,
    /// The first that is not on the disk.
    unsaved: u64,
    /// Bytes of the file; none if a part of a line may stand at its end.
    file_bytes: Option<usize>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAlert {
    /// Its number.
    pub sequence: u64,
    /// Its id.
    pub id: String,
    /// JSON, without newline.
    pub line: Arc<str>,
}

/// Some of the alerts, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertPage {
    /// At most [`PAGE_ALERTS_MAX`].
    pub alerts: Vec<Alert>,
    /// Number to ask for next.
    pub next_cursor: u64,
    /// Whether there were more when this was read.
    pub more: bool,
}

/// Reads lines of alerts. Lines that are none, as a crash leaves one at the end, and lines out of order are passed over.
#[must_use]
pub fn read_alerts(bytes: &[u8]) -> Vec<KeptAlert> {
    let mut alerts: Vec<KeptAlert> = Vec::new();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let text = line
            .strip_suffix(b"\n")
            .and_then(|line| str::from_utf8(line).ok());
        let alert = text.and_then(|text| Some((text, serde_json::from_str::<Alert>(text).ok()?)));
        let Some((text, alert)) = alert else { continue };
        let last = alerts.last().map_or(0, |last| last.sequence);
        if alert.sequence > last && alert.sequence < u64::MAX {
            alerts.push(KeptAlert {
                sequence: alert.sequence,
                id: alert.id,
                line: text.into(),
            });
        }
    }
    alerts
}

impl AlertFile {
    /// Reads the file, or begins one. Keeps at most `bytes_max` of alerts, from 1 MiB to 64 MiB; the file may have twice that.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn open(path: &Path, bytes_max: usize) -> io::Result<Self> {
        let bytes_max = bytes_max.clamp(ALERT_BYTES_MAX, ALERT_FILE_BYTES_MAX);
        let bytes = durable::read(path, FILE_BYTES_MAX)?.unwrap_or_default();
        let is_whole = bytes.last().is_none_or(|last| *last == b'\n');
        let mut file = Self {
            path: path.to_owned(),
            bytes_max,
            kept: VecDeque::new(),
            bytes: 0,
            ids: HashSet::new(),
            next_sequence: 1,
            unsaved: 1,
            file_bytes: is_whole.then_some(bytes.len()),
        };
        for alert in read_alerts(&bytes) {
            file.next_sequence = alert.sequence + 1;
            file.keep(alert);
        }
        file.unsaved = file.next_sequence;
        Ok(file)
    }

    /// Takes an alert, unless one with its id is kept; gives its number. On the disk it is after [`Self::save`].
    pub fn add(&mut self, mut alert: Alert) -> Option<u64> {
        if self.ids.contains(&alert.id) {
            return None;
        }
        let sequence = self.next_sequence;
        alert.sequence = sequence;
        self.next_sequence += 1;
        let line = serde_json::to_string(&alert).expect("numbers and texts are JSON");
        self.keep(KeptAlert {
            sequence,
            id: alert.id,
            line: line.into(),
        });
        Some(sequence)
    }

    fn keep(&mut self, alert: KeptAlert) {
        self.bytes += alert.line.len() + 1;
        self.ids.insert(alert.id.clone());
        self.kept.push_back(alert);
        while self.bytes > self.bytes_max {
            let Some(oldest) = self.kept.pop_front() else {
                return;
            };
            self.bytes -= oldest.line.len() + 1;
            self.ids.remove(&oldest.id);
        }
    }

    /// Writes what the disk does not have. Blocks until it has it.
    ///
    /// # Errors
    /// What the system said; the next call tries again.
    pub fn save(&mut self) -> io::Result<()> {
        if self.unsaved == self.next_sequence {
            return Ok(());
        }
        let mut text = String::new();
        let unsaved = |alert: &&KeptAlert| alert.sequence >= self.unsaved;
        for alert in self.kept.iter().filter(unsaved) {
            text.push_str(&alert.line);
            text.push('\n');
        }
        let file_bytes = self.file_bytes.take();
        let fits = |bytes: &usize| bytes + text.len() <= 2 * self.bytes_max;
        let written = match file_bytes.filter(fits) {
            Some(bytes) => {
                append(&self.path, &text)?;
                bytes + text.len()
            }
            None => {
                let lines = self.kept.iter().map(|alert| format!("{}\n", alert.line));
                let whole: String = lines.collect();
                durable::replace(&self.path, whole.as_bytes())?;
                whole.len()
            }
        };
        self.file_bytes = Some(written);
        self.unsaved = self.next_sequence;
        Ok(())
    }

    /// The first alert with this number or a higher one that the disk has.
    #[must_use]
    pub fn first_saved(&self, sequence: u64) -> Option<&KeptAlert> {
        let place = self.place(sequence);
        let alert = self.kept.get(place)?;
        (alert.sequence < self.unsaved).then_some(alert)
    }

    /// Alerts from this number on.
    #[must_use]
    pub fn page(&self, cursor: u64) -> AlertPage {
        let place = self.place(cursor);
        let mut bytes = 0;
        let fits = |alert: &&KeptAlert| {
            let is_first = bytes == 0;
            bytes += alert.line.len();
            is_first || bytes <= PAGE_BYTES_MAX
        };
        let lines = self.kept.iter().skip(place).take(PAGE_ALERTS_MAX);
        let alerts: Vec<Alert> = lines
            .take_while(fits)
            .filter_map(|alert| serde_json::from_str(&alert.line).ok())
            .collect();
        let last = alerts.last().map(|alert| alert.sequence + 1);
        AlertPage {
            next_cursor: last.unwrap_or(cursor.max(1)),
            more: place + alerts.len() < self.kept.len(),
            alerts,
        }
    }

    fn place(&self, sequence: u64) -> usize {
        self.kept.partition_point(|alert| alert.sequence < sequence)
    }

    /// Number of the next alert.
    #[must_use]
    pub fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// Alerts that are kept.
    #[must_use]
    pub fn count(&self) -> usize {
        self.kept.len()
    }
}

fn append(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let is_new = !path.try_exists()?;
    let mut file = options.append(true).create(true).mode(0o640).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_data()?;
    match is_new {
        true => durable::sync_folder(path),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::{Found, FoundAlarm, FoundHead};

    fn alert(id: &str) -> Alert {
        let head = FoundHead {
            size: 1,
            root: String::new(),
            timestamp_ms: 0,
        };
        Alert {
            sequence: 0,
            id: id.to_owned(),
            time_ms: 5,
            log: "log".to_owned(),
            log_id: String::new(),
            found: Found::Log(FoundAlarm {
                alarm: crate::AlarmKind::Fork,
                detail: "x".repeat(1_000),
                known: head.clone(),
                seen: head,
                evidence: String::new(),
            }),
        }
    }

    #[test]
    fn alerts_survive_a_restart_with_their_numbers_and_come_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alerts.jsonl");
        let mut file = AlertFile::open(&path, 0).unwrap();
        assert_eq!(file.add(alert("a")), Some(1));
        assert_eq!(file.add(alert("b")), Some(2));
        assert_eq!(file.add(alert("a")), None);
        assert_eq!(file.first_saved(1), None);
        file.save().unwrap();
        assert_eq!(file.first_saved(2).unwrap().id, "b");
        assert_eq!(file.add(alert("lost")), Some(3)); // Never saved.

        let mut file = AlertFile::open(&path, 0).unwrap();
        assert_eq!((file.count(), file.next_sequence()), (2, 3));
        assert_eq!(file.add(alert("b")), None);
        assert_eq!(file.add(alert("c")), Some(3));
        file.save().unwrap();
        let page = file.page(2);
        let ids: Vec<_> = page.alerts.iter().map(|alert| alert.id.as_str()).collect();
        assert_eq!(
            (ids, page.next_cursor, page.more),
            (vec!["b", "c"], 4, false)
        );
        assert_eq!(file.page(4).alerts, []);
    }

    #[test]
    fn line_that_a_crash_cut_is_passed_over_and_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alerts.jsonl");
        let mut file = AlertFile::open(&path, 0).unwrap();
        file.add(alert("a"));
        file.save().unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        let half = bytes[..bytes.len() / 2].to_vec();
        bytes.extend(half);
        std::fs::write(&path, bytes).unwrap();
        let mut file = AlertFile::open(&path, 0).unwrap();
        assert_eq!(file.add(alert("b")), Some(2));
        file.save().unwrap();
        assert_eq!(AlertFile::open(&path, 0).unwrap().count(), 2);
    }

    #[test]
    fn file_and_memory_are_bounded_and_the_oldest_go_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alerts.jsonl");
        let mut file = AlertFile::open(&path, 0).unwrap();
        let mut longest = 0;
        for number in 0..3_000 {
            file.add(alert(&number.to_string()));
            if number % 100 == 99 {
                file.save().unwrap();
                longest = longest.max(std::fs::metadata(&path).unwrap().len());
            }
        }
        assert!(longest <= 2 << 20, "{longest}");
        let kept = file.count();
        assert!((500..1_000).contains(&kept), "{kept}");
        let oldest = file.first_saved(1).unwrap().sequence;
        assert_eq!(oldest, 3_001 - kept as u64);
        let page = file.page(1);
        assert_eq!((page.alerts.len(), page.more), (PAGE_ALERTS_MAX, true));
        assert_eq!(page.next_cursor, oldest + PAGE_ALERTS_MAX as u64);
        let again = AlertFile::open(&path, 0).unwrap();
        assert_eq!(again.first_saved(1).unwrap().sequence, oldest);
    }

    #[test]
    fn what_could_not_be_written_is_written_later() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("later/alerts.jsonl");
        let mut file = AlertFile::open(&path, 0).unwrap();
        file.add(alert("a"));
        assert!(file.save().is_err());
        assert_eq!(file.first_saved(1), None);
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        file.add(alert("b"));
        file.save().unwrap();
        assert_eq!(AlertFile::open(&path, 0).unwrap().count(), 2);
    }
}
