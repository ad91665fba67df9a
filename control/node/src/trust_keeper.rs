//! Keeps over a restart what is known of trust anchors, and says what happens to them.
//!
//! Two files in `node.data_dir`: the state of the anchors that roll over (RFC 5011), written after
//! each refresh, and the negative anchors that were added at run time (RFC 7646), written when one
//! is added or removed. A file that cannot be read is moved aside; a folder that cannot be written
//! costs a warning: the resolver goes on from memory.

use std::path::{Path, PathBuf};

use hickory_proto::rr::Name;
use resolver::iterate::{NegativeAnchor, TrustEvent};
use serde::{Deserialize, Serialize};
use tokio::sync::{oneshot, watch};

use crate::clock;
use crate::control::wire_name_of;
use crate::engine::Engine;
use crate::front::{self, FrontSender};

const ANCHORS_FILE: &str = "trust-anchors.state";
/// Longest file that is read, in bytes.
const FILE_BYTES_MAX: usize = 4 << 20;
const NEGATIVE_FILE: &str = "negative-trust-anchors.json";
/// What the file of negative anchors says of itself.
const ABOUT: &str = "negative trust anchors added with `nexus nta add`; until is in Unix seconds";
/// Longest life of a negative anchor, in seconds: a week (RFC 7646 wants them to end).
pub(crate) const NEGATIVE_SECS_MAX: u64 = 7 * 86_400;

/// The file of negative anchors.
#[derive(Debug, Serialize, Deserialize)]
struct NegativeFile {
    #[serde(default)]
    about: String,
    anchors: Vec<KeptNegative>,
}

#[derive(Debug, Serialize, Deserialize)]
struct KeptNegative {
    zone: String,
    until: u64,
    #[serde(default)]
    reason: String,
}

/// Where the two files are.
#[derive(Debug)]
pub(crate) struct TrustFiles {
    anchors: PathBuf,
    negative: PathBuf,
    /// Held while negative anchors change, in the resolver and here.
    pub(crate) changes: tokio::sync::Mutex<()>,
}

impl TrustFiles {
    pub(crate) fn new(data_dir: &Path) -> Self {
        Self {
            anchors: data_dir.join(ANCHORS_FILE),
            negative: data_dir.join(NEGATIVE_FILE),
            changes: tokio::sync::Mutex::default(),
        }
    }

    /// Gives the engine what was kept.
    pub(crate) fn restore(&self, engine: &mut Engine, rolls_over: bool) {
        if rolls_over {
            use_file(&self.anchors, |text| {
                let restored =
                    engine.with(|resolver, now_ms| resolver.restore_trust_anchors(now_ms, text));
                for zone in restored.map_err(|error| error.to_string())? {
                    tracing::info!(%zone, "other trust anchors are configured: starting from these");
                }
                Ok(())
            });
        }
        use_file(&self.negative, |text| {
            let now_secs = clock::unix_secs();
            for (zone, until, reason) in read_negative(text)? {
                // A clock that was set back must not make it longer than it could have been.
                let left_secs = until.saturating_sub(now_secs).min(NEGATIVE_SECS_MAX);
                if left_secs == 0 {
                    continue;
                }
                let added = engine.with(|resolver, now_ms| {
                    resolver.add_negative_anchor(now_ms, &zone, left_secs, reason)
                });
                match added {
                    Ok(_) => tracing::info!(%zone, left_secs, "negative trust anchor restored"),
                    Err(error) => tracing::warn!(%zone, %error, "negative trust anchor dropped"),
                }
            }
            Ok(())
        });
    }

    /// Keeps the negative anchors that were added at run time. Blocks.
    ///
    /// # Errors
    /// The file, and what the kernel said.
    pub(crate) fn keep_negative(&self, all: &[NegativeAnchor]) -> Result<(), String> {
        let now_secs = clock::unix_secs();
        let added = all.iter().filter_map(|anchor| {
            Some(KeptNegative {
                zone: anchor.zone.to_ascii(),
                until: now_secs + anchor.left_secs?,
                reason: anchor.reason.clone(),
            })
        });
        let file = NegativeFile {
            about: ABOUT.to_owned(),
            anchors: added.collect(),
        };
        let text = serde_json::to_string_pretty(&file).map_err(|error| error.to_string())?;
        durable::replace(&self.negative, (text + "\n").as_bytes())
            .map_err(|error| format!("{} cannot be written: {error}", self.negative.display()))
    }
}

/// Reads a file, if there is one, and moves it aside if nothing can be made of it.
fn use_file(path: &Path, take: impl FnOnce(&str) -> Result<(), String>) {
    let file = path.display();
    let text = match durable::read_text(path, FILE_BYTES_MAX) {
        Ok(None) => return,
        Ok(Some(text)) => Ok(text),
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = text.and_then(|text| take(&text)) {
        match durable::set_aside(path) {
            Ok(aside) => {
                let aside = aside.display();
                tracing::warn!(%file, %aside, "cannot be used and is moved aside: {error}");
            }
            Err(failed) => tracing::warn!(%file, "cannot be used: {error}; nor moved: {failed}"),
        }
    }
}

fn read_negative(text: &str) -> Result<Vec<(Name, u64, String)>, String> {
    let file: NegativeFile = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let read = |kept: KeptNegative| {
        let name = Name::from_ascii(&kept.zone);
        let mut zone = name.map_err(|error| format!("zone `{}`: {error}", kept.zone))?;
        zone.set_fqdn(true);
        Ok((zone, kept.until, kept.reason))
    };
    file.anchors.into_iter().map(read).collect()
}

/// The engine's end: says what happened, and passes the state on to be written.
#[derive(Debug)]
pub(crate) struct TrustKeeper {
    state: watch::Sender<String>,
}

impl TrustKeeper {
    /// The engine's end, and the work of writing, which runs until that is dropped. The state is
    /// written once at the start, so that a folder that cannot be written is known at once.
    pub(crate) fn new(files: &TrustFiles, state: String) -> (Self, TrustWriter) {
        let (sender, mut states) = watch::channel(state);
        states.mark_changed();
        let writer = TrustWriter {
            path: files.anchors.clone(),
            states,
        };
        (Self { state: sender }, writer)
    }

    /// Says what happened; `state` gives the anchors' state after it.
    pub(crate) fn on_events(
        &self,
        events: Vec<TrustEvent>,
        state: impl FnOnce() -> String,
        front: &FrontSender,
    ) {
        let mut anchors_changed = false;
        for event in events {
            match event {
                TrustEvent::AnchorChanged {
                    zone,
                    key_tag,
                    algorithm,
                    state,
                } => {
                    anchors_changed = true;
                    let state = state.map_or("forgotten", |state| state.word());
                    tracing::info!(%zone, key_tag, algorithm, state, "trust anchor");
                }
                TrustEvent::AnchorsRefreshed { zone } => {
                    anchors_changed = true;
                    tracing::debug!(%zone, "trust anchors seen");
                }
                TrustEvent::RefreshFailed { zone, reason } => {
                    tracing::warn!(%zone, "the keys of a trust anchor cannot be seen: {reason}");
                }
                TrustEvent::NegativeEnded { zone } => {
                    tracing::info!(%zone, "negative trust anchor ended");
                    forget(&zone, front);
                }
            }
        }
        if anchors_changed {
            self.state.send_replace(state());
        }
    }
}

/// Has the workers forget what they know at and below a zone.
fn forget(zone: &Name, front: &FrontSender) {
    let (done, _) = oneshot::channel();
    let name = Some((wire_name_of(zone), true));
    if front.request(front::Request::Flush { name, done }).is_err() {
        tracing::warn!(%zone, "workers keep unchecked answers until these expire: flush the cache");
    }
}

/// Writes each state of the anchors to its file, the last one if they come faster than that goes.
#[derive(Debug)]
pub(crate) struct TrustWriter {
    path: PathBuf,
    states: watch::Receiver<String>,
}

impl TrustWriter {
    pub(crate) async fn run(mut self) {
        let mut failed = false;
        while self.states.changed().await.is_ok() {
            let (path, text) = (self.path.clone(), self.states.borrow_and_update().clone());
            let written =
                tokio::task::spawn_blocking(move || durable::replace(&path, text.as_bytes())).await;
            let error = match written {
                Ok(Ok(())) => {
                    failed = false;
                    continue;
                }
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            };
            // Once is enough until it works again.
            if !std::mem::replace(&mut failed, true) {
                let file = self.path.display();
                tracing::warn!(
                    %file,
                    "cannot be written: {error}; trust anchors roll over in memory alone, and a new \
                     key's hold-down starts again after a restart"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negative_anchors_come_back_and_those_of_the_configuration_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let files = TrustFiles::new(folder.path());
        let anchor = |zone: &str, left_secs| NegativeAnchor {
            zone: Name::from_ascii(zone).unwrap(),
            left_secs,
            reason: "keys \"lost\"".to_owned(),
        };
        let all = [anchor("a.example.", Some(60)), anchor("b.example.", None)];
        files.keep_negative(&all).unwrap();
        let text = durable::read_text(&files.negative, FILE_BYTES_MAX)
            .unwrap()
            .unwrap();
        let read = read_negative(&text).unwrap();
        assert_eq!(read.len(), 1);
        assert_eq!((&read[0].0, &*read[0].2), (&all[0].zone, "keys \"lost\""));
        let left_secs = read[0].1 - clock::unix_secs();
        assert!((58..=60).contains(&left_secs), "{left_secs}");
    }

    #[test]
    fn a_file_that_cannot_be_used_is_moved_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        std::fs::write(&path, "{").unwrap();
        use_file(&path, |text| read_negative(text).map(drop));
        assert!(!path.exists() && folder.path().join("state.broken").exists());
    }

    #[test]
    fn texts_from_nowhere_are_refused_or_read() {
        bolero::check!()
            .with_type::<(String, String, u64)>()
            .with_iterations(2_000)
            .for_each(|(text, zone, until)| {
                let _ = read_negative(text);
                let zone = serde_json::to_string(zone).unwrap();
                let text = format!("{{\"anchors\": [{{\"zone\": {zone}, \"until\": {until}}}]}}");
                let _ = read_negative(&text);
            });
    }
}
