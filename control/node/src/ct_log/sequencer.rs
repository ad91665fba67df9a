//! [`LedgerSequencer`]: submissions of this node's clients on their way into the ledger, several in one command.
//!
//! A head is cosigned for each batch that changes a shard, so entries gather for a moment first.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use consensus::Digest;
use ct::{Hash, Roots};
use ctlog::{Sequenced, Sequencer, SubmitError, Submitted};
use ledger::{
    CT_CERTIFICATE_BYTES_MAX, CT_ENTRIES_MAX, Command, CtPlace, CtRefusal, CtSubmission, Outcome,
    Reason,
};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::known::Known;
use crate::mesh::Mesh;
use crate::mesh::driver;

/// Submissions that wait at most.
const WAITING_MAX: usize = 4096;
/// Commands are at least so far apart: what comes meanwhile gathers for the next one. The first after a pause goes at once.
const GATHER: Duration = Duration::from_millis(15);
/// Bytes of certificates in a command, more or less: with the last submission it stays below what a command may have.
const BYTES_MAX: usize = 64 << 10;
/// Most bytes of a submission: with what was gathered before it a command stays below [`driver::WISH_BYTES_MAX`].
const SUBMISSION_BYTES_MAX: usize = driver::WISH_BYTES_MAX - BYTES_MAX - (32 << 10);

/// A submission and who waits for its place.
struct Waiting {
    shard: Arc<str>,
    entry: Submitted,
    client: oneshot::Sender<Result<Sequenced, SubmitError>>,
}

/// Orders entries by the mesh.
pub(super) struct LedgerSequencer {
    known: Arc<Known>,
    sender: mpsc::Sender<Waiting>,
}

impl LedgerSequencer {
    /// Begins to gather submissions, which are checked against these roots.
    pub(super) fn start(mesh: Mesh, runtime: &Handle, known: Arc<Known>, roots: &Roots) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let gatherer = Gatherer {
            mesh,
            known: Arc::clone(&known),
            roots: Digest(roots.digest().0),
        };
        runtime.spawn(gatherer.run(receiver));
        Self { known, sender }
    }
}

impl Sequencer for LedgerSequencer {
    fn submit(
        &self,
        shard: Arc<str>,
        entry: Submitted,
    ) -> Pin<Box<dyn Future<Output = Result<Sequenced, SubmitError>> + Send>> {
        if let Some(refusal) = self.refuse(&shard, &entry) {
            return Box::pin(async { Err(refusal) });
        }
        let (client, place) = oneshot::channel();
        let waiting = Waiting {
            shard,
            entry,
            client,
        };
        let sent = self.sender.try_send(waiting);
        Box::pin(async move {
            if sent.is_err() {
                return Err(SubmitError::Busy);
            }
            place.await.unwrap_or_else(|_| Err(stopping()))
        })
    }
}

impl LedgerSequencer {
    /// What the ledger could not even read would spoil what else is in the same command.
    fn refuse(&self, shard: &str, entry: &Submitted) -> Option<SubmitError> {
        if self.known.is_contradicted(shard) {
            let text = "the members have agreed on another shard of this name";
            return Some(SubmitError::Unavailable(text.to_owned()));
        }
        let kind = &entry.entry.kind;
        let (ct::EntryKind::Certificate(der)
        | ct::EntryKind::Precertificate { submitted: der, .. }) = kind;
        let inner = match kind {
            ct::EntryKind::Certificate(_) => None,
            ct::EntryKind::Precertificate { tbs, .. } => Some(tbs),
        };
        let all = entry.issuers.iter().chain([der]).chain(inner);
        let longest = all.map(|der| der.len()).max();
        let too_long = |bytes: &usize| *bytes > CT_CERTIFICATE_BYTES_MAX;
        if let Some(bytes) = longest.filter(too_long) {
            let text = format!(
                "a certificate of {bytes} bytes; at most {CT_CERTIFICATE_BYTES_MAX} are taken"
            );
            return Some(SubmitError::Refused(text));
        }
        let bytes = bytes_of(entry);
        (bytes > SUBMISSION_BYTES_MAX).then(|| {
            let text =
                format!("a chain of {bytes} bytes; at most {SUBMISSION_BYTES_MAX} are taken");
            SubmitError::Refused(text)
        })
    }
}

fn stopping() -> SubmitError {
    SubmitError::Unavailable("this node is stopping".to_owned())
}

/// Puts submissions into commands.
struct Gatherer {
    mesh: Mesh,
    known: Arc<Known>,
    roots: Digest,
}

impl Gatherer {
    /// Until nobody submits any more.
    async fn run(self, mut receiver: mpsc::Receiver<Waiting>) {
        let mut next_due = Instant::now();
        while let Some(first) = receiver.recv().await {
            let until = next_due.max(Instant::now());
            next_due = until + GATHER;
            let mut bytes = bytes_of(&first.entry);
            let mut all = vec![first];
            while all.len() < CT_ENTRIES_MAX && bytes < BYTES_MAX {
                let Ok(Some(next)) = timeout_at(until, receiver.recv()).await else {
                    break;
                };
                bytes += bytes_of(&next.entry);
                all.push(next);
            }
            let mut by_shard = BTreeMap::<_, Vec<_>>::new();
            for waiting in all {
                let shard = Arc::clone(&waiting.shard);
                by_shard.entry(shard).or_default().push(waiting);
            }
            for (shard, waiting) in by_shard {
                let (mesh, command) = (self.mesh.clone(), self.command(shard, &waiting));
                tokio::spawn(async move {
                    let outcome = mesh.submit(&command).await;
                    tell(waiting, outcome);
                });
            }
        }
    }

    /// With the issuers that this node has not seen in the ledger.
    fn command(&self, shard: Arc<str>, waiting: &[Waiting]) -> Command {
        let mut issuers = BTreeMap::new();
        for der in waiting.iter().flat_map(|waiting| &waiting.entry.issuers) {
            let id = Hash::of(der).0;
            if !self.known.has_issuer(&id) {
                issuers.insert(id, Arc::clone(der));
            }
        }
        let entries = waiting.iter().map(|waiting| waiting.entry.entry.clone());
        Command::CtEntries(CtSubmission {
            shard,
            roots: self.roots,
            issuers: issuers.into_values().collect(),
            entries: entries.collect(),
        })
    }
}

/// What it takes in a command, more or less: of a precertificate the inner part comes beside it.
fn bytes_of(entry: &Submitted) -> usize {
    let (ct::EntryKind::Certificate(der) | ct::EntryKind::Precertificate { submitted: der, .. }) =
        &entry.entry.kind;
    let issuers = entry.issuers.iter().map(|der| der.len());
    2 * der.len() + issuers.sum::<usize>()
}

/// Each its own place, or all the same refusal.
fn tell(waiting: Vec<Waiting>, outcome: Result<Outcome, driver::SubmitError>) {
    let places = match outcome {
        Ok(Outcome::CtEntries(places)) if places.len() == waiting.len() => places,
        other => {
            let error = refusal(other);
            for waiting in waiting {
                let _ = waiting.client.send(Err(error.clone())); // It may have given up.
            }
            return;
        }
    };
    for (waiting, place) in waiting.into_iter().zip(places) {
        let _ = waiting.client.send(match place {
            CtPlace::Placed {
                index,
                timestamp_ms,
                ..
            } => Ok(Sequenced {
                index,
                timestamp_ms,
            }),
            CtPlace::Refused(refusal) => Err(SubmitError::Refused(
                match refusal {
                    CtRefusal::Malformed => "the certificate cannot be read",
                    CtRefusal::OtherShard => "it ends outside of the shard's window",
                    CtRefusal::UnknownIssuer => "the log has no room for a new issuer",
                    CtRefusal::Full => "the shard is full",
                }
                .to_owned(),
            )),
        });
    }
}

fn refusal(outcome: Result<Outcome, driver::SubmitError>) -> SubmitError {
    let text = match outcome {
        Err(driver::SubmitError::Busy) => return SubmitError::Busy,
        Err(error) => return SubmitError::Unavailable(error.to_string()),
        Ok(Outcome::Refused(Reason::ShardClosed)) => {
            return SubmitError::Refused("the shard takes nothing any more".to_owned());
        }
        Ok(Outcome::Refused(Reason::NoSuchShard)) => {
            "the members have not agreed on this shard yet".to_owned()
        }
        Ok(Outcome::Refused(Reason::OtherRoots)) => {
            "the members have not agreed on this node's ct.roots".to_owned()
        }
        Ok(outcome) => format!("the ledger says {outcome:?}"),
    };
    SubmitError::Unavailable(text)
}

impl fmt::Debug for LedgerSequencer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("sequencer of the ledger")
    }
}
