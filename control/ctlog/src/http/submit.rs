//! `add-chain` and `add-pre-chain` (RFC 6962 §4.1, §4.2): from a chain to its timestamp.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use ct::{
    AcceptedChain, AddChainReply, Base64, ChainRules, LogEntry, Roots, Submission, submission_key,
};
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};
use webpki::ALL_VERIFICATION_ALGS;

use super::clients::ClientAddress;
use super::faces::{Faces, has};
use super::listing::rfc3339;
use super::query::Asked;
use super::refusal::{Refusal, blocking, json};
use crate::{Sequenced, ShardReader, SubmitError, Submitted};

#[derive(Deserialize)]
struct AddChain {
    chain: Vec<Base64>,
}

/// RFC 6962 §4.1.
pub(super) async fn add_chain(
    State(faces): State<Arc<Faces>>,
    ClientAddress(client): ClientAddress,
    asked: Asked,
    body: Body,
) -> Result<Response, Refusal> {
    add(&faces, client, asked.named, Submission::Certificate, body).await
}

/// RFC 6962 §4.2.
pub(super) async fn add_pre_chain(
    State(faces): State<Arc<Faces>>,
    ClientAddress(client): ClientAddress,
    asked: Asked,
    body: Body,
) -> Result<Response, Refusal> {
    add(
        &faces,
        client,
        asked.named,
        Submission::Precertificate,
        body,
    )
    .await
}

async fn add(
    faces: &Arc<Faces>,
    client: IpAddr,
    named: Option<ShardReader>,
    submission: Submission,
    body: Body,
) -> Result<Response, Refusal> {
    let place = faces.places.take(client)?;
    let body = read_body(body, faces.limits.body_bytes_max).await?;
    let faces = Arc::clone(faces);
    // What a client has begun goes on when it leaves, and holds its place as long.
    let added = tokio::spawn(async move {
        let added = add_body(&faces, named, submission, body).await;
        drop(place);
        added
    });
    added
        .await
        .unwrap_or_else(|error| Err(Refusal::failed(error)))
}

async fn add_body(
    faces: &Arc<Faces>,
    named: Option<ShardReader>,
    submission: Submission,
    body: Bytes,
) -> Result<Response, Refusal> {
    let rules = Arc::clone(faces);
    let (face, accepted, known) = blocking(move || {
        let accepted = check(&rules, submission, &body)?;
        let (face, known) = choose(&rules, named, &accepted)?;
        if !face.can_sign() {
            // Better now than when the entry is ordered: no head will ever be published here.
            return Err(Refusal::busy(
                "this node has no key of the shard: ask another",
            ));
        }
        Ok((face, accepted, known))
    })
    .await?;
    let AcceptedChain { entry, issuers, .. } = accepted;
    let deadline = Instant::now() + faces.limits.submission_timeout;
    let place = match known {
        Some(place) => place,
        None => order(faces, &face, &entry, issuers, deadline).await?,
    };
    wait_until_published(&face, place.index, deadline).await?;
    blocking(move || {
        let sct = face.sct_for(place, &entry);
        Ok(json(&AddChainReply::from(&sct.map_err(Refusal::failed)?)))
    })
    .await
}

/// The bytes of a body that is not too long.
pub(super) async fn read_body(body: Body, bytes_max: usize) -> Result<Bytes, Refusal> {
    let collected = axum::body::to_bytes(body, bytes_max).await;
    collected.map_err(|error| {
        let reason = format_args!("the body does not end within {bytes_max} bytes: {error}");
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, reason)
    })
}

/// What of the body is to be logged.
fn check(faces: &Faces, submission: Submission, body: &[u8]) -> Result<AcceptedChain, Refusal> {
    let AddChain { chain } = serde_json::from_slice(body).map_err(|error| {
        Refusal::bad_request(format_args!(
            "the body is not {{\"chain\":[…]}} with certificates in base64: {error}"
        ))
    })?;
    let chain: Vec<Vec<u8>> = chain.into_iter().map(|Base64(der)| der).collect();
    let roots: Arc<Roots> = Arc::clone(&faces.agreed.borrow().roots);
    let rules = ChainRules {
        roots: &roots,
        algorithms: ALL_VERIFICATION_ALGS,
        certificates_max: faces.limits.certificates_max,
        bytes_max: faces.limits.body_bytes_max,
    };
    rules
        .check(submission, &chain)
        .map_err(Refusal::bad_request)
}

/// The shard that takes a certificate, which is to be the one that was named, and the place that it has there already. What a
/// closed shard has promised, it promises still.
fn choose(
    faces: &Faces,
    named: Option<ShardReader>,
    accepted: &AcceptedChain,
) -> Result<(ShardReader, Option<Sequenced>), Refusal> {
    let key = submission_key(&accepted.entry.kind);
    let open = faces.shard_of(accepted.not_after);
    let asked = match (&named, &open) {
        (Some(face), _) | (None, Some(face)) => std::slice::from_ref(face),
        (None, None) => faces.shards.as_slice(),
    };
    for face in asked.iter().filter(|face| has(face, accepted.not_after)) {
        let known = face.find_submission(&key).map_err(Refusal::unread)?;
        if known.is_some() || !faces.is_closed(face) {
            return Ok((face.clone(), known));
        }
    }
    let until = rfc3339(accepted.not_after);
    Err(Refusal::bad_request(match open {
        Some(right) => format!(
            "the certificate is valid to {until}: shard {} takes it, at {}",
            right.spec().window.name,
            faces.url(&right)
        ),
        None => format!("the certificate is valid to {until}, and no shard of this log takes that"),
    }))
}

/// Has consensus give an entry its place.
async fn order(
    faces: &Faces,
    face: &ShardReader,
    entry: &LogEntry,
    issuers: Vec<Arc<[u8]>>,
    deadline: Instant,
) -> Result<Sequenced, Refusal> {
    let entry = entry.clone();
    let shard: Arc<str> = face.spec().window.name.as_str().into();
    let submitted = faces.sequencer.submit(shard, Submitted { entry, issuers });
    match timeout_at(deadline, submitted).await {
        Ok(Ok(place)) => Ok(place),
        Ok(Err(error @ SubmitError::Refused(_))) => Err(Refusal::bad_request(error)),
        Ok(Err(error @ (SubmitError::Busy | SubmitError::Unavailable(_)))) => {
            Err(Refusal::busy(error))
        }
        Err(_) => Err(Refusal::busy("the cluster has not ordered it in time")),
    }
}

/// Until a head covers the entry: no client gets a promise that is not kept already.
async fn wait_until_published(
    face: &ShardReader,
    index: u64,
    deadline: Instant,
) -> Result<(), Refusal> {
    let mut heads = face.watch();
    let covering = heads.wait_for(|published| {
        let size = published.as_ref().map_or(0, |newest| newest.size());
        index < size
    });
    match timeout_at(deadline, covering).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) => Err(Refusal::busy("the log stops")),
        Err(_) => Err(Refusal::busy(
            "ordered, but no head that covers it was published in time",
        )),
    }
}
