//! The command line's unix socket: reads requests, lets [`Control`] carry them out.

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};

use crate::admin::{Failure, FailureCode, LineError, Lines, REQUEST_BYTES_MAX, Reply, Request};
use crate::control::Control;

/// Command lines served at the same time; further ones wait.
const CLIENTS_MAX: usize = 64;
/// Owner and group may connect.
const MODE: u32 = 0o660;
/// Bytes read at once.
const READ_BYTES: usize = 4096;

/// The bound socket; its file goes with it.
#[derive(Debug)]
pub(crate) struct AdminServer {
    listener: std::os::unix::net::UnixListener,
    path: PathBuf,
}

impl AdminServer {
    /// Opens the socket, over the file of a control that died.
    ///
    /// # Errors
    /// The kernel's; `AddrInUse` if another control answers there.
    pub(crate) fn bind(path: &Path) -> io::Result<Self> {
        remove_stale(path)?;
        let listener = std::os::unix::net::UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(MODE))?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            path: path.to_owned(),
        })
    }

    /// Serves until `stop` changes.
    pub(crate) async fn run(
        self,
        control: Control,
        mut stop: watch::Receiver<bool>,
    ) -> io::Result<()> {
        let listener = UnixListener::from_std(self.listener.try_clone()?)?;
        let places = Arc::new(Semaphore::new(CLIENTS_MAX));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return Ok(());
            };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stop.changed() => return Ok(()),
            };
            match accepted {
                Ok((stream, _)) => {
                    let (control, mut stop) = (control.clone(), stop.clone());
                    tokio::spawn(async move {
                        tokio::select! {
                            result = serve(stream, control) => {
                                if let Err(error) = result {
                                    tracing::debug!(%error, "admin connection ended");
                                }
                            }
                            _ = stop.changed() => {}
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "accept on the admin socket");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
        }
    }
}

impl Drop for AdminServer {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn remove_stale(path: &Path) -> io::Result<()> {
    let Ok(metadata) = std::fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !metadata.file_type().is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "a file that is no socket is there",
        ));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another nexus-control answers there",
        )),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        Err(error) => Err(error),
    }
}

async fn serve(mut stream: UnixStream, control: Control) -> io::Result<()> {
    let mut lines = Lines::new(REQUEST_BYTES_MAX);
    let mut chunk = [0; READ_BYTES];
    loop {
        let line = match lines.next_line() {
            Ok(Some(line)) => line,
            Ok(None) => match stream.read(&mut chunk).await? {
                0 => return Ok(()),
                bytes => {
                    lines.push(&chunk[..bytes]);
                    continue;
                }
            },
            // The stream cannot be followed past it: say so and hang up.
            Err(error) => return send(&mut stream, refusal(&error)).await,
        };
        let reply = match Request::decode(&line) {
            Ok(request) => control.carry_out(request).await.into(),
            Err(error) => refusal(&error),
        };
        send(&mut stream, reply).await?;
    }
}

fn refusal(error: &LineError) -> Reply {
    Reply::Error(Failure::new(FailureCode::BadRequest, error.to_string()))
}

async fn send(stream: &mut UnixStream, reply: Reply) -> io::Result<()> {
    // A reply may be long: it is written down beside the runtime's only thread.
    let line = tokio::task::spawn_blocking(move || encode(&reply)).await??;
    stream.write_all(&line).await
}

fn encode(reply: &Reply) -> io::Result<Vec<u8>> {
    let line = reply.encode().or_else(|error| {
        let failure = Failure::new(FailureCode::Internal, error.to_string());
        Reply::Error(failure).encode()
    });
    line.map_err(io::Error::other)
}
