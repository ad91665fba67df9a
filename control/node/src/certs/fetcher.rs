//! [`Fetcher`]: gets what certificates name, over plain HTTP, with bounds.
//!
//! The URLs are strangers': nothing is asked at addresses that the operator refuses, no redirect is followed, and no answer is
//! taken for more than it may have of octets and time. By HTTPS nothing is fetched: to trust that server, its certificate would
//! have to be judged first, which is why authorities use plain HTTP (Baseline Requirements 7.1.2.11.2) and sign what they serve.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, HOST};
use axum::http::uri::{InvalidUri, Scheme};
use axum::http::{Method, Request, StatusCode, Uri};
use bytes::Bytes;
use config::Networks;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Asks servers that strangers name.
#[derive(Debug)]
pub(super) struct Fetcher {
    patience: Duration,
    refuse: Networks,
}

/// Why nothing came.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("not a URL: {0}")]
    Url(#[from] InvalidUri),
    #[error("not plain HTTP with a host")]
    Scheme,
    #[error("{0} is an address that is not to be asked")]
    Refused(IpAddr),
    #[error("the server has no address")]
    NoAddress,
    #[error("not reached: {0}")]
    Connect(#[from] io::Error),
    #[error(transparent)]
    Request(#[from] axum::http::Error),
    #[error("no answer: {0}")]
    Exchange(#[from] hyper::Error),
    #[error("status {0}")]
    Status(StatusCode),
    #[error("more than {bytes_max} octets")]
    TooLong { bytes_max: usize },
    #[error("broken off: {0}")]
    Body(String),
    #[error("no answer in time")]
    Timeout,
}

impl Fetcher {
    pub(super) fn new(timeout_ms: u32, refuse: Networks) -> Self {
        let patience = Duration::from_millis(u64::from(timeout_ms));
        Self { patience, refuse }
    }

    pub(super) async fn get(&self, url: &str, bytes_max: usize) -> Result<Vec<u8>, FetchError> {
        self.ask(url, None, bytes_max).await
    }

    pub(super) async fn post(
        &self,
        url: &str,
        kind: &'static str,
        body: Vec<u8>,
        bytes_max: usize,
    ) -> Result<Vec<u8>, FetchError> {
        self.ask(url, Some((kind, body)), bytes_max).await
    }

    async fn ask(
        &self,
        url: &str,
        body: Option<(&'static str, Vec<u8>)>,
        bytes_max: usize,
    ) -> Result<Vec<u8>, FetchError> {
        let uri: Uri = url.parse()?;
        let host = uri.host().filter(|_| uri.scheme() == Some(&Scheme::HTTP));
        let host = host.ok_or(FetchError::Scheme)?;
        let exchanged = async {
            let stream = self.connect(host, uri.port_u16().unwrap_or(80)).await?;
            exchange(stream, request(&uri, body)?, bytes_max).await
        };
        let in_time = tokio::time::timeout(self.patience, exchanged).await;
        in_time.map_err(|_| FetchError::Timeout)?
    }

    /// To the first address that may be asked and answers. The name is looked up here, once, so that no later look-up
    /// can give another address than was checked.
    async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, FetchError> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let mut failure = FetchError::NoAddress;
        for address in tokio::net::lookup_host((host, port)).await? {
            if self.is_refused(address) {
                failure = FetchError::Refused(address.ip());
                continue;
            }
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = error.into(),
            }
        }
        Err(failure)
    }

    fn is_refused(&self, address: SocketAddr) -> bool {
        let ip = address.ip().to_canonical();
        let is_for_one = !ip.is_unspecified() && !ip.is_multicast();
        let is_broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
        !is_for_one || is_broadcast || self.refuse.contain(ip)
    }
}

fn request(
    uri: &Uri,
    body: Option<(&'static str, Vec<u8>)>,
) -> Result<Request<Full<Bytes>>, FetchError> {
    let authority = uri.authority().ok_or(FetchError::Scheme)?;
    // RFC 9112 §3.2.1: to a server itself only path and query are sent.
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::builder().uri(path);
    // RFC 9110 §4.2.4: whatever stands before the host is not sent.
    let host = authority.as_str().rsplit('@').next().unwrap_or_default();
    let request = request.header(HOST, host);
    Ok(match body {
        Some((kind, body)) => request
            .method(Method::POST)
            .header(CONTENT_TYPE, kind)
            .body(Full::from(body))?,
        None => request.body(Full::default())?,
    })
}

async fn exchange(
    stream: TcpStream,
    request: Request<Full<Bytes>>,
    bytes_max: usize,
) -> Result<Vec<u8>, FetchError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Dropped, and with it the connection, when the answer is there or the time is over.
    let mut driver = tokio::task::JoinSet::new();
    driver.spawn(connection);
    let response = sender.send_request(request).await?;
    let status = response.status();
    if status != StatusCode::OK {
        return Err(FetchError::Status(status));
    }
    let body = Limited::new(response.into_body(), bytes_max)
        .collect()
        .await;
    let body = body.map_err(|error| match error.is::<LengthLimitError>() {
        true => FetchError::TooLong { bytes_max },
        false => FetchError::Body(error.to_string()),
    })?;
    Ok(body.to_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// Serves one answer; gives the URL to ask, and what was asked.
    async fn server(answer: &'static [u8]) -> (String, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://user@{}/a?b", listener.local_addr().unwrap());
        let asked = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = vec![0; 1024];
            let count = stream.read(&mut asked).await.unwrap();
            stream.write_all(answer).await.unwrap();
            String::from_utf8_lossy(&asked[..count]).into_owned()
        });
        (url, asked)
    }

    fn fetcher(refuse: Networks) -> Fetcher {
        Fetcher::new(500, refuse)
    }

    #[tokio::test]
    async fn answer_is_taken_within_its_bounds() {
        let anywhere = fetcher(Networks::default());
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        let (url, asked) = server(whole).await;
        let answer = anywhere.post(&url, "text/plain", b"body".to_vec(), 5).await;
        assert_eq!(answer.unwrap(), b"hello");
        let asked = asked.await.unwrap();
        assert!(
            asked.starts_with("POST /a?b HTTP/1.1\r\nhost: 127.0.0.1:"),
            "{asked}"
        );
        assert!(asked.contains("content-type: text/plain\r\n"), "{asked}");
        let (url, _) = server(whole).await;
        let answer = anywhere.get(&url, 4).await;
        assert!(matches!(answer, Err(FetchError::TooLong { bytes_max: 4 })));
        let (url, _) = server(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\n\r\n").await;
        let answer = anywhere.get(&url, 4).await;
        assert!(matches!(answer, Err(FetchError::Status(StatusCode::FOUND))));
        let (url, _) = server(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe").await;
        assert!(matches!(
            anywhere.get(&url, 9).await,
            Err(FetchError::Body(_))
        ));
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", silent.local_addr().unwrap());
        assert!(matches!(
            anywhere.get(&url, 9).await,
            Err(FetchError::Timeout)
        ));
    }

    #[tokio::test]
    async fn address_that_is_refused_is_not_asked_by_whatever_name() {
        let careful = fetcher(Networks::local());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in [
            "127.0.0.1",
            "localhost",
            "[::ffff:127.0.0.1]",
            "10.0.0.1",
            "0.0.0.0",
            "169.254.169.254",
        ] {
            let answer = careful.get(&format!("http://{host}:{port}/"), 9).await;
            assert!(
                matches!(answer, Err(FetchError::Refused(_))),
                "{host}: {answer:?}"
            );
        }
        for url in [
            "https://192.0.2.1/",
            "ftp://192.0.2.1/",
            "/path",
            "http:///x",
            "",
        ] {
            let answer = careful.get(url, 9).await;
            assert!(
                matches!(answer, Err(FetchError::Scheme | FetchError::Url(_))),
                "{url}: {answer:?}"
            );
        }
        let accepted = tokio::time::timeout(Duration::from_millis(20), listener.accept()).await;
        assert!(accepted.is_err());
    }
}
