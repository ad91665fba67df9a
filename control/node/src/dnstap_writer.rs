//! Takes the frames of the query log to their reader: over a unix socket, or into a file.
//!
//! Whatever the reader does, only this task waits for it. A reader that is gone is tried again; a file is opened
//! anew at SIGHUP, so that it can be moved away before.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::counters::Counters;
use crate::dnstap::Frames;
use crate::frame_stream::{CONTROL_BYTES_MAX, Control, parse_control, push_control, push_data};

/// What the frames are (<https://dnstap.info>).
const CONTENT_TYPE: &str = "protobuf:dnstap.Dnstap";
/// Between two attempts to reach the reader.
const RETRY: Duration = Duration::from_secs(1);
/// For a handshake, or until the reader has taken a batch.
const PATIENCE: Duration = Duration::from_secs(5);
/// For the reader's FINISH when we end.
const FAREWELL: Duration = Duration::from_millis(200);
/// What clients ask is nobody's business but the operator's.
const MODE: u32 = 0o640;
/// Frames written at once.
const BATCH_MAX: usize = 256;

/// Where the frames go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Socket(PathBuf),
    File(PathBuf),
}

/// The task that writes.
#[derive(Debug)]
pub(crate) struct DnstapWriter {
    target: Target,
    frames: Frames,
    counters: Arc<Counters>,
}

/// What is open.
enum Sink {
    Socket(UnixStream),
    File(std::fs::File),
}

/// Why writing has paused.
enum Pause {
    /// The process ends, or nobody has a tap any more.
    End,
    /// SIGHUP.
    Reopen,
    Broken(io::Error),
}

impl DnstapWriter {
    pub(crate) fn new(target: Target, frames: Frames, counters: Arc<Counters>) -> Self {
        Self {
            target,
            frames,
            counters,
        }
    }

    /// Writes until `stop` changes, and ends the stream in order.
    ///
    /// # Errors
    /// The system has no signal handler for us.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) -> io::Result<()> {
        let mut hang_up = signal(SignalKind::hangup())?;
        let mut was_told = false;
        loop {
            match self.open().await {
                Ok(mut sink) => {
                    was_told = false;
                    tracing::info!(target = ?self.target, "query log open");
                    match self.write(&mut sink, &mut hang_up, &mut stop).await {
                        Pause::End => return self.close(sink, true).await,
                        Pause::Reopen => {
                            self.close(sink, false).await?;
                            continue;
                        }
                        Pause::Broken(error) => {
                            tracing::warn!(target = ?self.target, %error, "query log interrupted");
                        }
                    }
                }
                Err(error) => {
                    if !was_told {
                        tracing::warn!(target = ?self.target, %error, "query log cannot be opened; trying again");
                    }
                    was_told = true;
                }
            }
            // After an interruption too: a reader may greet and hang up each time.
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                _ = stop.changed() => return Ok(()),
            }
        }
    }

    async fn open(&self) -> io::Result<Sink> {
        match &self.target {
            Target::Socket(path) => {
                let greeted = timeout(PATIENCE, greet(path)).await;
                Ok(Sink::Socket(greeted.map_err(|_| io::ErrorKind::TimedOut)??))
            }
            Target::File(path) => open_file(path).map(Sink::File),
        }
    }

    async fn write(
        &mut self,
        sink: &mut Sink,
        hang_up: &mut Signal,
        stop: &mut watch::Receiver<bool>,
    ) -> Pause {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        loop {
            let taken = tokio::select! {
                taken = self.frames.take(&mut batch, BATCH_MAX) => taken,
                _ = hang_up.recv() => match sink {
                    Sink::File(_) => return Pause::Reopen,
                    Sink::Socket(_) => continue,
                },
                error = gone(sink) => return Pause::Broken(error),
                _ = stop.changed() => return Pause::End,
            };
            if taken == 0 {
                return Pause::End;
            }
            if let Err(error) = self.send(sink, &mut batch).await {
                return Pause::Broken(error);
            }
        }
    }

    /// Writes a batch, which is empty after that. A batch that breaks off is lost.
    async fn send(&self, sink: &mut Sink, batch: &mut Vec<Vec<u8>>) -> io::Result<()> {
        let mut bytes = Vec::new();
        let count = batch.len() as u64;
        for frame in batch.drain(..) {
            push_data(&frame, &mut bytes);
        }
        let result = put(sink, &bytes).await;
        match result {
            Ok(()) => self.counters.dnstap_frames.add(count),
            Err(_) => self.counters.dnstap_dropped_frames.add(count),
        }
        result
    }

    /// Ends the stream; with all that waits if this is the end.
    async fn close(&mut self, mut sink: Sink, is_end: bool) -> io::Result<()> {
        let mut batch = Vec::new();
        if is_end {
            self.frames.take_rest(&mut batch);
        }
        if !batch.is_empty() && self.send(&mut sink, &mut batch).await.is_err() {
            return Ok(()); // Counted.
        }
        let mut bytes = Vec::new();
        push_control(Control::Stop, None, &mut bytes);
        if let Err(error) = put(&mut sink, &bytes).await {
            tracing::debug!(%error, "query log ends without its end");
        } else if let Sink::Socket(mut stream) = sink {
            // So that the reader has taken all of it. One that says nothing is not waited for.
            let _ = timeout(FAREWELL, control(&mut stream)).await;
        }
        Ok(())
    }
}

/// Ends when the reader of a socket does: it says nothing while we write.
async fn gone(sink: &mut Sink) -> io::Error {
    match sink {
        Sink::Socket(stream) => match stream.read_u8().await {
            Ok(_) => io::ErrorKind::InvalidData.into(),
            Err(error) => error,
        },
        Sink::File(_) => std::future::pending().await,
    }
}

async fn put(sink: &mut Sink, bytes: &[u8]) -> io::Result<()> {
    match sink {
        Sink::Socket(stream) => {
            let written = timeout(PATIENCE, stream.write_all(bytes)).await;
            written.map_err(|_| io::ErrorKind::TimedOut)?
        }
        Sink::File(file) => {
            let (mut file, bytes) = (file.try_clone()?, bytes.to_vec());
            let write = move || io::Write::write_all(&mut file, &bytes);
            let written = tokio::task::spawn_blocking(write).await;
            written.map_err(io::Error::other)?
        }
    }
}

/// READY, ACCEPT, START.
async fn greet(path: &Path) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(path).await?;
    let mut bytes = Vec::new();
    push_control(Control::Ready, Some(CONTENT_TYPE), &mut bytes);
    stream.write_all(&bytes).await?;
    let body = control(&mut stream).await?;
    let (control, types) = parse_control(&body).map_err(io::Error::other)?;
    if control != Control::Accept || !types.contains(&CONTENT_TYPE.as_bytes()) {
        let expected = format!("the reader does not accept {CONTENT_TYPE}");
        return Err(io::Error::other(expected));
    }
    bytes.clear();
    push_control(Control::Start, Some(CONTENT_TYPE), &mut bytes);
    stream.write_all(&bytes).await?;
    Ok(stream)
}

/// The body of the next frame, which must be a control frame.
async fn control(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    let escape = stream.read_u32().await?;
    let bytes = usize::try_from(stream.read_u32().await?).unwrap_or(usize::MAX);
    if escape != 0 || bytes > CONTROL_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut body = vec![0; bytes];
    stream.read_exact(&mut body).await?;
    Ok(body)
}

/// Opens a new file and begins the stream. What is there already is kept under a name with its date: a stream cannot
/// be gone on with.
fn open_file(path: &Path) -> io::Result<std::fs::File> {
    if let Ok(data) = std::fs::metadata(path)
        && data.is_file()
        && data.len() > 0
    {
        let date = data.modified()?.duration_since(std::time::UNIX_EPOCH);
        let mut aside = path.as_os_str().to_owned();
        aside.push(format!(".{}", date.unwrap_or_default().as_nanos()));
        std::fs::rename(path, aside)?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(MODE);
    let mut file = options.open(path)?;
    // The umask of a service leaves nothing to the group. Another's file is as its owner wants it.
    if file.metadata()?.is_file()
        && let Err(error) = file.set_permissions(Permissions::from_mode(MODE))
    {
        tracing::debug!(path = %path.display(), %error, "the query log keeps its mode");
    }
    let mut bytes = Vec::new();
    push_control(Control::Start, Some(CONTENT_TYPE), &mut bytes);
    io::Write::write_all(&mut file, &bytes)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_may_read_the_file_whatever_the_umask() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.tap");
        let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
        let opened = open_file(&path);
        rustix::process::umask(before);
        let mode = opened.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, MODE);
    }
}
