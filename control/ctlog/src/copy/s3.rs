//! [`open_s3`]: a bucket of a store that speaks S3, by the one TLS and HTTP stack of this process.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::http::Uri;
use http_body_util::{BodyExt as _, Limited};
use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody,
    HttpResponse, HttpResponseBody, HttpService,
};
use object_store::{ClientOptions, ObjectStore, RetryConfig};

use crate::outgoing::{self, Outgoing};

/// For one attempt at a request.
const ATTEMPT: Duration = Duration::from_secs(20);
/// After a failure of the network or the store, before the copy itself rests.
const RETRIES_MAX: usize = 2;
/// Of a reply: a checkpoint, or an error in XML.
const REPLY_BYTES_MAX: usize = ct::NOTE_BYTES_MAX;

/// A bucket, and who asks.
#[derive(Clone)]
pub struct S3Settings {
    /// Its name.
    pub bucket: String,
    /// URL of the store; none: Amazon's in the region.
    pub endpoint: Option<String>,
    /// For which requests are signed.
    pub region: String,
    /// Name of the access key.
    pub access_key: String,
    /// What signs.
    pub secret_key: String,
}

impl fmt::Debug for S3Settings {
    /// Keeps secrets out of logs.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "S3Settings({}, {:?})", self.bucket, self.endpoint)
    }
}

/// Why a bucket cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum S3Error {
    /// Of the settings.
    #[error("endpoint `{0}` is no URL")]
    Endpoint(String),
    /// What the client of the store does not take.
    #[error(transparent)]
    Client(#[from] object_store::Error),
}

/// The bucket. Nothing is asked of the store yet; only it is ever connected to.
///
/// # Errors
/// If the endpoint is no URL, or the client does not take something else.
pub fn open_s3(
    settings: S3Settings,
    tls: rustls::ClientConfig,
) -> Result<Arc<dyn ObjectStore>, S3Error> {
    let retry = RetryConfig {
        max_retries: RETRIES_MAX,
        retry_timeout: super::place::PATIENCE,
        ..RetryConfig::default()
    };
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(settings.bucket)
        .with_region(settings.region)
        .with_access_key_id(settings.access_key)
        .with_secret_access_key(settings.secret_key)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_allow_http(true)
        .with_retry(retry)
        .with_http_connector(Transport(outgoing::client(tls)));
    if let Some(endpoint) = settings.endpoint {
        let is_url = endpoint
            .parse::<Uri>()
            .is_ok_and(|url| url.host().is_some());
        if !is_url {
            return Err(S3Error::Endpoint(endpoint));
        }
        builder = builder.with_endpoint(endpoint);
    }
    Ok(Arc::new(builder.build()?))
}

/// Carries what the client of the store has signed.
#[derive(Debug, Clone)]
struct Transport(Outgoing<HttpRequestBody>);

impl HttpConnector for Transport {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Transport {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let exchange = async {
            let sent = self.0.request(request).await;
            let reply = sent.map_err(|error| {
                let kind = match error.is_connect() {
                    true => HttpErrorKind::Connect,
                    false => HttpErrorKind::Request,
                };
                HttpError::new(kind, error)
            })?;
            let (head, body) = reply.into_parts();
            let body = Limited::new(body, REPLY_BYTES_MAX).collect().await;
            let body = body.map_err(|error| {
                HttpError::new(HttpErrorKind::Decode, std::io::Error::other(error))
            })?;
            let body = HttpResponseBody::from(body.to_bytes());
            Ok(HttpResponse::from_parts(head, body))
        };
        match tokio::time::timeout(ATTEMPT, exchange).await {
            Ok(replied) => replied,
            Err(elapsed) => Err(HttpError::new(HttpErrorKind::Timeout, elapsed)),
        }
    }
}
