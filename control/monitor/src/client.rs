//! [`Client`]: bounded GET and POST over HTTP/1.1, plain or by TLS with the roots of the machine.

use std::io::{self, Read as _};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::header::{
    ACCEPT_ENCODING, AGE, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName,
    RETRY_AFTER, USER_AGENT,
};
use hyper::{Method, Request, Response, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};

use crate::follower::{Body, FetchError};
use crate::hints::{fresh_ms, retry_after_ms};
use crate::webhook::{ALERT_ID_HEADER, Outcome, SIGNATURE_HEADER, TIMESTAMP_HEADER};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// For a whole exchange. 32 MiB in it are 4.5 Mbit/s.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(60);

/// Connections without use stay open so long: a poll finds the last one's.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);

const AGENT: &str = concat!("nexus-ct-monitor/", env!("CARGO_PKG_VERSION"));

/// TLS that believes the servers that this machine believes; without any roots, none.
///
/// # Errors
/// If TLS cannot be set up.
pub fn machine_tls() -> Result<ClientConfig, rustls::Error> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a trusted root of the machine cannot be read");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// A client for all logs and the webhook.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    inner: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// An alert on its way.
#[derive(Debug, Clone)]
pub(crate) struct Post {
    pub(crate) uri: Uri,
    pub(crate) body: Arc<str>,
    pub(crate) alert_id: String,
    pub(crate) timestamp_s: u64,
    pub(crate) signature: String,
}

impl Client {
    /// With the roots that the machine trusts. Without any, plain HTTP alone works, and each attempt by TLS says why it does not.
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub(crate) fn new() -> Result<Self, rustls::Error> {
        let tls = machine_tls()?;
        let mut plain = HttpConnector::new();
        plain.enforce_http(false);
        plain.set_connect_timeout(Some(CONNECT_TIMEOUT));
        plain.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(plain);
        let inner = legacy::Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_timer(TokioTimer::new())
            .build(connector);
        Ok(Self { inner })
    }

    /// Fetches at most `bytes_max` bytes, compressed or not.
    pub(crate) async fn get(&self, url: &str, bytes_max: usize) -> Result<Body, FetchError> {
        let request = Request::builder()
            .uri(url)
            .header(USER_AGENT, AGENT)
            .header(ACCEPT_ENCODING, "gzip")
            .body(Full::default())
            .map_err(other)?;
        let exchange = async {
            let response = self.inner.request(request).await.map_err(other)?;
            check_status(&response)?;
            let (head, body) = response.into_parts();
            let bytes = Limited::new(body, bytes_max).collect().await;
            let bytes = bytes.map_err(|error| match error.downcast::<LengthLimitError>() {
                Ok(_) => FetchError::TooLarge,
                Err(error) => other(error),
            })?;
            read_body(&head.headers, bytes.to_bytes(), bytes_max)
        };
        let result = tokio::time::timeout(EXCHANGE_TIMEOUT, exchange).await;
        result.unwrap_or_else(|_| Err(timed_out()))
    }

    /// Sends an alert. What the receiver replies beside the status is not read.
    pub(crate) async fn post(&self, post: &Post) -> Result<Outcome, FetchError> {
        let body = Bytes::copy_from_slice(post.body.as_bytes());
        let request = Request::builder()
            .method(Method::POST)
            .uri(&post.uri)
            .header(USER_AGENT, AGENT)
            .header(CONTENT_TYPE, "application/json")
            .header(TIMESTAMP_HEADER, post.timestamp_s)
            .header(SIGNATURE_HEADER, &post.signature)
            .header(ALERT_ID_HEADER, &post.alert_id)
            .body(Full::new(body))
            .map_err(other)?;
        let exchange = tokio::time::timeout(EXCHANGE_TIMEOUT, self.inner.request(request));
        let response = exchange.await.map_err(|_| timed_out())?.map_err(other)?;
        let retry_after_ms = retry_after(response.headers());
        Ok(Outcome::of_status(
            response.status().as_u16(),
            retry_after_ms,
        ))
    }
}

fn check_status<T>(response: &Response<T>) -> Result<(), FetchError> {
    match response.status().as_u16() {
        200 => Ok(()),
        404 | 410 => Err(FetchError::NotFound),
        413 => Err(FetchError::TooLarge),
        429 | 503 => Err(FetchError::Busy {
            retry_after_ms: retry_after(response.headers()),
        }),
        _ => Err(FetchError::Other(format!("status {}", response.status()))),
    }
}

fn retry_after(headers: &HeaderMap) -> Option<u64> {
    let value = text(headers, &RETRY_AFTER)?;
    retry_after_ms(value, SystemTime::now())
}

/// Takes the content encoding off (static-ct-api lets data tiles have one whether it was asked for or not).
fn read_body(headers: &HeaderMap, bytes: Bytes, bytes_max: usize) -> Result<Body, FetchError> {
    let bytes = match text(headers, &CONTENT_ENCODING) {
        None | Some("identity") => bytes.into(),
        Some("gzip" | "x-gzip") => gunzip(&bytes, bytes_max)?,
        Some(unknown) => {
            return Err(FetchError::Other(format!("content encoding {unknown:?}")));
        }
    };
    let fresh_ms = fresh_ms(text(headers, &CACHE_CONTROL), text(headers, &AGE));
    Ok(Body { bytes, fresh_ms })
}

fn gunzip(bytes: &[u8], bytes_max: usize) -> Result<Vec<u8>, FetchError> {
    let mut plain = Vec::new();
    let mut reader = MultiGzDecoder::new(bytes).take(bytes_max as u64 + 1);
    reader.read_to_end(&mut plain).map_err(other::<io::Error>)?;
    if plain.len() > bytes_max {
        return Err(FetchError::TooLarge);
    }
    Ok(plain)
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// With all causes: the first alone says "client error (Connect)".
fn other<E: Into<Box<dyn std::error::Error + Send + Sync>>>(error: E) -> FetchError {
    let error = error.into();
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    FetchError::Other(line)
}

fn timed_out() -> FetchError {
    FetchError::Other(format!("no reply within {} s", EXCHANGE_TIMEOUT.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write as _;

    #[test]
    fn compressed_reply_is_bounded_by_what_it_becomes() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&[0; 100_000]).unwrap();
        let small = encoder.finish().unwrap();
        assert!(small.len() < 1_000);
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, "gzip".parse().unwrap());
        headers.insert(CACHE_CONTROL, "max-age=3".parse().unwrap());
        let read = |bytes_max| read_body(&headers, small.clone().into(), bytes_max);
        let body = read(100_000).unwrap();
        assert_eq!((body.bytes.len(), body.fresh_ms), (100_000, 3_000));
        assert_eq!(read(99_999), Err(FetchError::TooLarge));
        let cut = read_body(&headers, small[..50].to_vec().into(), 100_000);
        assert!(matches!(cut, Err(FetchError::Other(_))));
        headers.insert(CONTENT_ENCODING, "br".parse().unwrap());
        assert!(read_body(&headers, Bytes::new(), 9).is_err());
    }
}
