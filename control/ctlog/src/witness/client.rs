//! [`HttpClient`]: requests to witnesses, whose replies are bounded in time and size.

use std::fmt;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};

use crate::outgoing::{self, Outgoing, chain};

/// For a whole request.
const PATIENCE: Duration = Duration::from_secs(10);
/// Of a reply: signature lines.
const REPLY_BYTES_MAX: usize = 64 << 10;

/// A client with its connections. Clones share them.
#[derive(Clone)]
pub struct HttpClient(Outgoing<Full<Bytes>>);

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// Not a URL.
    #[error("not a URL: {0}")]
    Url(String),
    /// The other side cannot be reached, or breaks off.
    #[error("no reply: {0}")]
    Network(String),
    /// The reply breaks off, or is too long.
    #[error("reply not read: {0}")]
    Body(String),
    /// Nothing came in time.
    #[error("no reply within {} seconds", PATIENCE.as_secs())]
    Timeout,
}

/// Status, kind and contents.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) content_type: String,
    pub(super) body: Bytes,
}

impl HttpClient {
    /// That believes the servers this configuration believes.
    #[must_use]
    pub fn new(tls: rustls::ClientConfig) -> Self {
        Self(outgoing::client(tls))
    }

    pub(super) async fn post(&self, url: &str, body: String) -> Result<Reply, PostError> {
        let request = Request::post(url).body(Full::from(body));
        let request = request.map_err(|_| PostError::Url(url.to_owned()))?;
        let exchange = async {
            let sent = self.0.request(request).await;
            let reply = sent.map_err(|error| PostError::Network(chain(&error)))?;
            let (head, body) = reply.into_parts();
            let body = Limited::new(body, REPLY_BYTES_MAX).collect().await;
            let body = body.map_err(|error| PostError::Body(error.to_string()))?;
            let kind = head.headers.get(CONTENT_TYPE);
            let kind = kind.and_then(|kind| kind.to_str().ok());
            Ok(Reply {
                status: head.status,
                content_type: kind.unwrap_or_default().to_owned(),
                body: body.to_bytes(),
            })
        };
        let reply = tokio::time::timeout(PATIENCE, exchange).await;
        reply.unwrap_or(Err(PostError::Timeout))
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("HttpClient")
    }
}
