//! [`Refusal`]: why a client does not get what it asked for, in the form that clients of logs expect.

use std::fmt::Display;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::ReadError;

/// When to try again, in seconds.
const RETRY_AFTER_S: u32 = 1;

/// A status and the reason.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    reason: String,
}

#[derive(Serialize)]
struct Reply<'a> {
    error_message: &'a str,
    success: bool,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, reason: impl Display) -> Self {
        let reason = reason.to_string();
        Self { status, reason }
    }

    /// The request is wrong, and will be when it comes again.
    pub(super) fn bad_request(reason: impl Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, reason)
    }

    /// Nothing of this name.
    pub(super) fn not_found(reason: impl Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, reason)
    }

    /// It may go better later.
    pub(super) fn busy(reason: impl Display) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, reason)
    }

    /// Something of ours failed, which the log tells and the client need not know.
    pub(super) fn failed(error: impl Display) -> Self {
        tracing::error!(%error, "a call of the log's API failed");
        Self::busy("something of this node failed: it is told in its log")
    }

    /// Something cannot be read, or not yet.
    pub(super) fn unread(error: ReadError) -> Self {
        match error {
            ReadError::IndexBehind { .. } => Self::busy(error),
            error => Self::failed(error),
        }
    }

    fn may_come_again(&self) -> bool {
        matches!(
            self.status,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
        )
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let reply = Reply {
            error_message: &self.reason,
            success: false,
        };
        let mut response = (self.status, json(&reply)).into_response();
        let headers = response.headers_mut();
        // What is not there may come: no cache may keep that it was not.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.may_come_again() {
            headers.insert(RETRY_AFTER, RETRY_AFTER_S.into());
        }
        response
    }
}

/// A reply in JSON.
pub(super) fn json(value: &impl Serialize) -> Response {
    written_json(json_text(value))
}

/// The text of it.
pub(super) fn json_text(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default() // Names are strings, and nothing of it can fail.
}

/// A reply whose text is there.
pub(super) fn written_json(text: impl Into<Body>) -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(CONTENT_TYPE, json)], text.into()).into_response()
}

/// Runs what may wait for a disk, or computes for long, where it holds up nobody.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Refusal::failed(error)),
    }
}
