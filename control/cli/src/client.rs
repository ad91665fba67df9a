//! A blocking client of the admin socket.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use node::admin::{Failure, LineError, Lines, REPLY_BYTES_MAX, Reply, Request, Response};
use socket2::{Domain, SockAddr, Socket, Type};

/// How long a command waits for one reply: longer than control may be told to try to resolve a name.
pub const REPLY_TIMEOUT: Duration = Duration::from_secs(70);
/// How long a command waits until zone files are read: there may be many, and large ones.
pub const RELOAD_TIMEOUT: Duration = Duration::from_secs(900);
/// How long `status` and `stats` wait before they take control for dead.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

const READ_BYTES: usize = 64 << 10;

/// Why control gave no reply.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens, or we may not connect.
    #[error("control does not answer on {}", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Connected, but the reply did not come.
    #[error("control accepted on {} but gave no reply", path.display())]
    Exchange {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The peer does not speak our protocol.
    #[error("{} is no admin socket", path.display())]
    Protocol {
        /// The socket.
        path: PathBuf,
        /// What is wrong with its line.
        source: LineError,
    },
    /// A reply to some other request.
    #[error("{}: the reply does not fit the request", path.display())]
    Mismatch {
        /// The socket.
        path: PathBuf,
    },
}

/// One connection to control.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    lines: Lines,
    path: PathBuf,
}

impl Client {
    /// Connects to `path`; each later wait, too, ends after `timeout`.
    ///
    /// # Errors
    /// [`ClientError::Connect`] when nobody accepts.
    pub fn connect(path: &Path, timeout: Duration) -> Result<Self, ClientError> {
        let stream = connect(path, timeout).map_err(|source| ClientError::Connect {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            stream,
            lines: Lines::new(REPLY_BYTES_MAX),
            path: path.to_owned(),
        })
    }

    /// Sends one request and waits for its reply. What control refuses is a [`Failure`].
    ///
    /// # Errors
    /// [`ClientError`] when there is no reply, [`Failure`] when the reply is a refusal.
    pub fn ask(&mut self, request: &Request) -> anyhow::Result<Response> {
        let reply = self.exchange(request)?;
        let result: Result<Response, Failure> = reply.into();
        Ok(result?)
    }

    /// Has `page` fetch and use one page after the other: it is given a cursor, 0 at first, and gives
    /// the next one.
    ///
    /// # Errors
    /// Those of `page`, and a cursor that does not advance, which would keep us here for ever.
    pub fn page_by_page(
        &mut self,
        mut page: impl FnMut(&mut Self, u64) -> anyhow::Result<Option<u64>>,
    ) -> anyhow::Result<()> {
        let mut cursor = 0;
        while let Some(next) = page(self, cursor)? {
            if next <= cursor {
                return Err(self.mismatch().into());
            }
            cursor = next;
        }
        Ok(())
    }

    /// For a reply of another kind than was asked for.
    #[must_use]
    pub fn mismatch(&self) -> ClientError {
        ClientError::Mismatch {
            path: self.path.clone(),
        }
    }

    fn exchange(&mut self, request: &Request) -> Result<Reply, ClientError> {
        let line = request.encode().map_err(|source| self.protocol(source))?;
        self.stream
            .write_all(&line)
            .map_err(|source| self.exchange_failed(source))?;
        let mut chunk = vec![0; READ_BYTES];
        loop {
            if let Some(line) = self
                .lines
                .next_line()
                .map_err(|source| self.protocol(source))?
            {
                return Reply::decode(&line).map_err(|source| self.protocol(source));
            }
            match self.stream.read(&mut chunk) {
                Ok(0) => {
                    return Err(self.exchange_failed(io::ErrorKind::UnexpectedEof.into()));
                }
                Ok(count) => self.lines.push(chunk.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.exchange_failed(error)),
            }
        }
    }

    fn protocol(&self, source: LineError) -> ClientError {
        ClientError::Protocol {
            path: self.path.clone(),
            source,
        }
    }

    fn exchange_failed(&self, source: io::Error) -> ClientError {
        // The kernel says EAGAIN; a person wants to hear that the wait was too long.
        let source = match source.kind() {
            io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
            _ => source,
        };
        ClientError::Exchange {
            path: self.path.clone(),
            source,
        }
    }
}

/// `UnixStream::connect` has no timeout, and waits for ever on a stopped server's full backlog.
fn connect(path: &Path, timeout: Duration) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_read_timeout(Some(timeout))?;
    socket.set_write_timeout(Some(timeout))?; // Bounds connect(2), too: unix(7), SO_SNDTIMEO.
    socket.connect(&SockAddr::unix(path)?)?;
    Ok(UnixStream::from(std::os::fd::OwnedFd::from(socket)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_question_may_be_configured_to_outlast_the_wait_for_its_reply() {
        let parse = |wait: Duration| {
            let text = format!(
                "resolver: {{timeouts: {{question_ms: {}}}}}",
                wait.as_millis()
            );
            config::Config::parse(&text, Path::new("nexus.yaml"))
        };
        // Control itself waits a little longer than for the resolver.
        assert!(parse(REPLY_TIMEOUT - Duration::from_secs(5)).is_err());
        assert!(parse(REPLY_TIMEOUT - Duration::from_secs(10)).is_ok());
    }
}
