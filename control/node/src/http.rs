//! `/metrics` and `/health` over HTTP, for a bounded number of clients that do not dawdle.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, Sleep};

use crate::control::Control;

/// OpenMetrics, which Prometheus reads.
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Connections at the same time; further ones wait in the kernel.
const CONNECTIONS_MAX: usize = 64;
/// For a whole request, from the opening of the connection or the answer before.
const PATIENCE: Duration = Duration::from_secs(10);

/// Serves until `stop` changes.
pub(crate) async fn serve(
    listener: TcpListener,
    control: Control,
    mut stop: watch::Receiver<bool>,
) {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/health", get(health))
        .with_state(control);
    let stopped = async move {
        let _ = stop.changed().await;
    };
    let served = axum::serve(Bounded::new(listener, CONNECTIONS_MAX, PATIENCE), router)
        .with_graceful_shutdown(stopped)
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "metrics are no longer served");
    }
}

/// Accepts while there is a place.
struct Bounded {
    listener: TcpListener,
    places: Arc<Semaphore>,
    patience: Duration,
}

impl Bounded {
    fn new(listener: TcpListener, connections_max: usize, patience: Duration) -> Self {
        Self {
            listener,
            places: Arc::new(Semaphore::new(connections_max)),
            patience,
        }
    }
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.unwrap_or_else(|_| unreachable!("nobody closes it"));
        let (stream, client) = Listener::accept(&mut self.listener).await;
        let connection = Connection {
            stream,
            patience: self.patience,
            deadline: Box::pin(tokio::time::sleep(self.patience)),
            _place: place,
        };
        (connection, client)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A client that asks, or takes what it asked for, within its patience. Only an answer prolongs it:
/// a request that comes byte by byte does not.
struct Connection {
    stream: TcpStream,
    patience: Duration,
    deadline: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    /// An error once the deadline has passed; until then, wakes the task when it does.
    fn wait<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        ready!(self.deadline.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Pending => self.wait(context),
            read => read,
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(context, bytes) {
            Poll::Pending => self.wait(context),
            written => {
                let deadline = Instant::now() + self.patience;
                self.deadline.as_mut().reset(deadline);
                written
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

async fn metrics(State(control): State<Control>) -> impl IntoResponse {
    ([(CONTENT_TYPE, METRICS_TYPE)], control.metrics().await)
}

/// 200 while the front thread makes its rounds, 503 otherwise.
async fn health(State(control): State<Control>) -> impl IntoResponse {
    use axum::http::StatusCode;
    if control.is_healthy() {
        (StatusCode::OK, "ok\n")
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "the front thread is silent\n",
        )
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[test]
    fn a_client_that_asks_nothing_gives_its_place_to_the_next() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let bounded = Bounded::new(listener, 1, Duration::from_millis(50));
            let router = Router::new().route("/", get(|| async { "well" }));
            tokio::spawn(async { axum::serve(bounded, router).await });
            let mut slow = TcpStream::connect(address).await.unwrap();
            slow.write_all(b"GET / HT").await.unwrap();
            let mut next = TcpStream::connect(address).await.unwrap();
            let request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
            next.write_all(request).await.unwrap();
            // Ends by itself: after its answer it is as idle as the other was before.
            let mut answer = String::new();
            next.read_to_string(&mut answer).await.unwrap();
            assert!(
                answer.starts_with("HTTP/1.1 200") && answer.ends_with("well"),
                "{answer}"
            );
            assert_eq!(slow.read(&mut [0; 64]).await.unwrap(), 0);
        });
    }
}
