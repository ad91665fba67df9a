//! [`OutsideWitness`]: has our checkpoints cosigned by somebody who is not of the cluster.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use ct::{
    AddCheckpoint, AddCheckpointError, Note, NoteError, NoteSignature, NoteSignatureError,
    VerifierKey,
};
use webpki::ALL_VERIFICATION_ALGS;

use super::client::{HttpClient, PostError, Reply};
use crate::{Published, ReaderProveError, ShardReader};

/// Between two checkpoints of a shard that go to one witness, and first after a failure.
const INTERVAL: Duration = Duration::from_secs(5);
/// Longest after failures.
const INTERVAL_MAX: Duration = Duration::from_secs(300);
/// Requests for one checkpoint: the first, and those with the size that the witness then names. Another node of the cluster
/// may send to it at the same time.
const ATTEMPTS_MAX: usize = 3;
/// Of a refusal's text in an error.
const TEXT_BYTES_MAX: usize = 200;

/// Where a witness is, and the key of its cosignatures.
#[derive(Debug, Clone)]
pub struct OutsideWitness {
    /// Of kind [`ct::KeyKind::Cosignature`].
    pub key: VerifierKey,
    /// Submission prefix, before `/add-checkpoint`.
    pub url: String,
}

/// A cosignature that has been checked.
#[derive(Debug, Clone)]
pub struct Cosigned {
    /// Name of the shard.
    pub shard: String,
    /// The head that is cosigned. A newer one may be published meanwhile.
    pub head: Arc<Published>,
    /// Line for the note of this head.
    pub line: NoteSignature,
    /// When the witness signed, in seconds since 1970.
    pub time_s: u64,
}

/// Why a witness has not cosigned.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// It gives no reply.
    #[error(transparent)]
    Post(#[from] PostError),
    /// Our own note cannot be sent.
    #[error("our checkpoint cannot be sent: {0}")]
    Request(#[from] AddCheckpointError),
    /// Our own note is none, or too many have signed it.
    #[error("our checkpoint cannot be signed: {0}")]
    Note(#[from] NoteError),
    /// Our tree cannot be read.
    #[error("no consistency proof: {0}")]
    Proof(Box<ReaderProveError>),
    /// It says no.
    #[error("status {status}: {text}")]
    Refused {
        /// Of the reply.
        status: StatusCode,
        /// Of the reply, if it is text.
        text: String,
    },
    /// It has cosigned more than this node has published.
    #[error("the witness has cosigned {witnessed} leaves, and {size} are published here")]
    Ahead {
        /// Leaves that it has cosigned.
        witnessed: u64,
        /// Leaves of our head.
        size: u64,
    },
    /// The size it names changes each time.
    #[error("the witness names another size each time")]
    Restless,
    /// Lines that are none of a note.
    #[error("the reply is no signature line")]
    Malformed,
    /// None of the lines is a cosignature by its key.
    #[error("cosignature: {0}")]
    Cosignature(#[from] NoteSignatureError),
    /// The log has ended.
    #[error("the log has stopped")]
    Stopped,
}

impl OutsideWitness {
    /// Sends the newest head of a shard, and then each one that is newest when the interval has passed. Ends when the log does.
    pub async fn follow(
        self,
        shard: ShardReader,
        client: HttpClient,
        on_cosigned: impl Fn(Cosigned) + Send,
    ) {
        let mut heads = shard.watch();
        let mut witnessed = 0;
        let mut pause = INTERVAL;
        loop {
            let is_worth_it =
                |head: &Option<Arc<Published>>| head.as_ref().is_some_and(|head| head.size() > 0);
            let head = match heads.wait_for(is_worth_it).await {
                Ok(head) => head.clone(),
                Err(_) => return,
            };
            let Some(head) = head else { return };
            match self.ask(&shard, &client, &head, &mut witnessed).await {
                Ok(cosigned) => {
                    on_cosigned(cosigned);
                    pause = INTERVAL;
                    tokio::time::sleep(pause).await;
                    if heads.changed().await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    let (witness, shard) = (self.key.name(), &shard.spec().window.name);
                    tracing::warn!(%witness, %shard, %error, "an outside witness has not cosigned");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(INTERVAL_MAX);
                }
            }
        }
    }

    /// Has one head cosigned. `witnessed` is the size that the witness is believed to have cosigned last.
    ///
    /// # Errors
    ///
    /// If it does not.
    pub async fn ask(
        &self,
        shard: &ShardReader,
        client: &HttpClient,
        head: &Arc<Published>,
        witnessed: &mut u64,
    ) -> Result<Cosigned, AskError> {
        let size = head.size();
        let url = format!("{}/add-checkpoint", self.url.trim_end_matches('/'));
        for _ in 0..ATTEMPTS_MAX {
            let old = *witnessed;
            if old > size {
                *witnessed = 0; // It is asked again next time: its store may have been restored meanwhile.
                let witnessed = old;
                return Err(AskError::Ahead { witnessed, size });
            }
            let reader = shard.clone();
            let proof = move || reader.prove_consistency(old, size);
            let proof = tokio::task::spawn_blocking(proof).await;
            let proof = proof.map_err(|_| AskError::Stopped)?;
            let proof = proof.map_err(|error| AskError::Proof(Box::new(error)))?;
            let request = AddCheckpoint::new(old, proof, Note::parse(&head.checkpoint)?)?;
            let reply = client.post(&url, request.to_string()).await?;
            if reply.status == StatusCode::OK {
                let (line, time_s) = self.cosignature(head, &reply)?;
                *witnessed = size;
                return Ok(Cosigned {
                    shard: shard.spec().window.name.clone(),
                    head: Arc::clone(head),
                    line,
                    time_s,
                });
            }
            match named_size(&reply) {
                // The same size again means that it has another root there: a fork, which no other request mends.
                Some(named) if named != old => *witnessed = named,
                _ => return Err(refused(&reply)),
            }
        }
        Err(AskError::Restless)
    }

    /// The line of a reply that is this witness's, with its time. Lines by other keys are passed over (tlog-witness).
    fn cosignature(
        &self,
        head: &Published,
        reply: &Reply,
    ) -> Result<(NoteSignature, u64), AskError> {
        let text = str::from_utf8(&reply.body).map_err(|_| AskError::Malformed)?;
        let lines = text.strip_suffix('\n').ok_or(AskError::Malformed)?;
        let lines = lines.split('\n').map(NoteSignature::parse);
        let lines: Option<Vec<_>> = lines.collect();
        let mut lines = lines.ok_or(AskError::Malformed)?.into_iter();
        let by_it =
            |line: &NoteSignature| line.key_id == self.key.id() && line.name == *self.key.name();
        let line = lines.find(by_it).ok_or(NoteSignatureError::Unsigned)?;
        let signed = Note::parse(&head.checkpoint)?;
        let note = Note::new(signed.text().to_owned(), vec![line.clone()])?;
        let time_s = self.key.verify(&note, ALL_VERIFICATION_ALGS)?;
        // A key of the plain kind names no time, and makes no cosignatures.
        Ok((line, time_s.ok_or(NoteSignatureError::Unsigned)?))
    }
}

/// The size that a witness says it has cosigned last (tlog-witness, status 409).
fn named_size(reply: &Reply) -> Option<u64> {
    let kind = reply.content_type.split(';').next()?.trim();
    if reply.status != StatusCode::CONFLICT || kind != "text/x.tlog.size" {
        return None;
    }
    let text = str::from_utf8(&reply.body).ok()?;
    text.strip_suffix('\n')?.parse().ok()
}

fn refused(reply: &Reply) -> AskError {
    let text = reply.body.get(..TEXT_BYTES_MAX).unwrap_or(&reply.body);
    AskError::Refused {
        status: reply.status,
        text: String::from_utf8_lossy(text).trim().to_owned(),
    }
}
