//! [`serve`]: the paths of the log on a socket, for a bounded number of clients that do not dawdle.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

use super::faces::Faces;
use super::router;

/// Serves until `stop` resolves, then until the requests that have begun are answered.
///
/// # Errors
///
/// If the socket fails.
pub async fn serve(
    listener: TcpListener,
    faces: Arc<Faces>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let limits = &faces.limits;
    let listener = Bounded::new(listener, limits.connections_max, limits.patience);
    let service = router(faces).into_make_service_with_connect_info::<Client>();
    axum::serve(listener, service)
        .with_graceful_shutdown(stop)
        .await
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Client(pub SocketAddr);

impl Connected<IncomingStream<'_, Bounded>> for Client {
    fn connect_info(stream: IncomingStream<'_, Bounded>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// Accepts while there is a place.
#[derive(Debug)]
pub struct Bounded {
    listener: TcpListener,
    places: Arc<Semaphore>,
    patience: Duration,
}

impl Bounded {
    /// Of so many connections; further ones wait in the kernel. `patience` is for a whole request, from the opening of the
    /// connection or the answer before.
    #[must_use]
    pub fn new(listener: TcpListener, connections_max: usize, patience: Duration) -> Self {
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
        // A reply in two writes must not wait for the client to acknowledge the first. Else it is slower, and no worse.
        let _ = stream.set_nodelay(true);
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
#[derive(Debug)]
pub struct Connection {
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

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;
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
