//! `add-checkpoint` of tlog-witness: this node as a witness of other logs.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use ct::{NOTE_BYTES_MAX, WitnessError};

use super::faces::{Faces, now_s};
use super::refusal::{Refusal, blocking};
use super::submit::read_body;
use crate::witness::{Witness, WitnessRefusal};

/// A note, and a proof before it.
const BODY_BYTES_MAX: usize = NOTE_BYTES_MAX + (8 << 10);

/// `/witness/add-checkpoint`.
pub(super) async fn add_checkpoint(
    State(faces): State<Arc<Faces>>,
    body: Body,
) -> Result<Response, Refusal> {
    let Some(witness) = faces.witness.clone() else {
        return Err(Refusal::not_found("this node is no witness"));
    };
    let body = read_body(body, BODY_BYTES_MAX).await?;
    blocking(move || Ok(reply(&witness, &body))).await
}

fn reply(witness: &Witness, body: &[u8]) -> Response {
    let now_s = u64::try_from(now_s()).unwrap_or(0);
    let refusal = match witness.add_checkpoint(body, now_s) {
        Ok(line) => return text("text/plain; charset=utf-8", line).into_response(),
        Err(refusal) => refusal,
    };
    let status = match &refusal {
        WitnessRefusal::Malformed(_)
        | WitnessRefusal::Inconsistent(WitnessError::Backwards { .. }) => StatusCode::BAD_REQUEST,
        WitnessRefusal::UnknownLog { .. } => StatusCode::NOT_FOUND,
        WitnessRefusal::Unsigned { .. } => StatusCode::FORBIDDEN,
        WitnessRefusal::Inconsistent(WitnessError::Stale { witnessed, .. }) => {
            let size = text("text/x.tlog.size", format!("{witnessed}\n"));
            return (StatusCode::CONFLICT, size).into_response();
        }
        WitnessRefusal::Inconsistent(WitnessError::Fork { .. }) => {
            tracing::warn!(%refusal, "a log has forked");
            StatusCode::CONFLICT
        }
        WitnessRefusal::Inconsistent(WitnessError::Proof(_)) => StatusCode::UNPROCESSABLE_ENTITY,
        WitnessRefusal::Files(error) => return Refusal::failed(error).into_response(),
    };
    Refusal::new(status, refusal).into_response()
}

fn text(kind: &'static str, contents: String) -> impl IntoResponse {
    ([(CONTENT_TYPE, HeaderValue::from_static(kind))], contents)
}
