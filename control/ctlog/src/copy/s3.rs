//! [`open_s3`]: a bucket of a store that speaks S3, by the one TLS and HTTP stack of this process.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use axum::http::Uri;
use http_body_util::{BodyExt as _, Limited};
use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody,
    HttpResponse, HttpResponseBody, HttpService,
};
use object_store::{ClientOptions, ObjectStore, RetryConfig};
use url::Url;

use crate::outgoing::{self, Outgoing};

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
    #[error("endpoint `{0}` is no URL of http or https that has a host and at most port and path")]
    Endpoint(String),
    /// What the client of the store does not take.
    #[error(transparent)]
    Client(#[from] object_store::Error),
}

/// Checks where a store is, as strictly as what signs requests to it, which takes a URL for granted.
///
/// # Errors
/// If it is no URL of a server; or, where none is given, the region makes no name of one.
pub fn check_endpoint(endpoint: Option<&str>, region: &str) -> Result<(), S3Error> {
    let of_region = || format!("https://s3.{region}.amazonaws.com");
    let endpoint = endpoint.map_or_else(of_region, str::to_owned);
    let is_of_server = |url: Url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && (url.username(), url.password()) == ("", None)
            && (url.query(), url.fragment()) == (None, None)
    };
    // The client reads it by both crates.
    let is_sound = Url::parse(&endpoint).is_ok_and(is_of_server) && endpoint.parse::<Uri>().is_ok();
    match is_sound {
        true => Ok(()),
        false => Err(S3Error::Endpoint(endpoint)),
    }
}

/// The bucket. Nothing is asked of the store yet; only it is ever connected to. Who asks sets the time that it may take.
///
/// # Errors
/// If the endpoint is no URL, or the client does not take something else.
pub fn open_s3(
    settings: S3Settings,
    tls: rustls::ClientConfig,
) -> Result<Arc<dyn ObjectStore>, S3Error> {
    check_endpoint(settings.endpoint.as_deref(), &settings.region)?;
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
        // It takes for granted that the reply to a bulk delete names each object.
        .with_disable_bulk_delete(true)
        .with_allow_http(true)
        .with_retry(retry)
        .with_http_connector(Transport(outgoing::client(tls)));
    if let Some(endpoint) = settings.endpoint {
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
        let body = body
            .map_err(|error| HttpError::new(HttpErrorKind::Decode, std::io::Error::other(error)))?;
        let body = HttpResponseBody::from(body.to_bytes());
        Ok(HttpResponse::from_parts(head, body))
    }
}
