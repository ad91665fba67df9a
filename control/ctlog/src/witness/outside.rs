//! [`OutsideWitness`]: has our checkpoints cosigned by somebody who is not of the cluster.

use axum::http::StatusCode;
use ct::{
    AddCheckpoint, AddCheckpointError, Note, NoteError, NoteSignature, NoteSignatureError,
    VerifierKey,
};
use webpki::ALL_VERIFICATION_ALGS;

use super::client::{HttpClient, PostError, Reply};
use crate::{Published, ReaderProveError, ShardReader};

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
    /// Has one head cosigned, and gives the line for its note, which has been checked. `witnessed` is the size that the witness
    /// is believed to have cosigned last.
    ///
    /// # Errors
    ///
    /// If it does not.
    pub async fn ask(
        &self,
        shard: &ShardReader,
        client: &HttpClient,
        head: &Published,
        witnessed: &mut u64,
    ) -> Result<NoteSignature, AskError> {
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
                let line = self.cosignature(head, &reply)?;
                *witnessed = size;
                return Ok(line);
            }
            match named_size(&reply) {
                // The same size again means that it has another root there: a fork, which no other request mends.
                Some(named) if named != old => *witnessed = named,
                _ => return Err(refused(&reply)),
            }
        }
        Err(AskError::Restless)
    }

    /// The line of a reply that is this witness's. Lines by other keys are passed over (tlog-witness).
    fn cosignature(&self, head: &Published, reply: &Reply) -> Result<NoteSignature, AskError> {
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
        // A key of the plain kind names no time, and makes no cosignatures.
        let time_s = self.key.verify(&note, ALL_VERIFICATION_ALGS)?;
        time_s.ok_or(NoteSignatureError::Unsigned)?;
        Ok(line)
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
