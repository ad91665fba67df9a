//! Copies of zones of other servers: asked for over TCP, kept up to date, kept on disk.
//!
//! [`TransferIn::run`] asks by IXFR, or by AXFR where that is refused or does not fit, as often as the zone's SOA record says
//! (RFC 1035 §3.3.13, RFC 1995, RFC 5936), and sends each new version into a channel. A plain IXFR over TCP is the question for the
//! serial, too: nobody can forge its answer from aside, and there is one message in most cases.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use resolver::zone::{
    Carrier, Delta, DisplayName, NameBuffer, ReceiveError, ReceiveLimits, Received, Receiver,
    Records, TsigError, TsigKey, TsigSession, Wanted, is_newer,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout};

use crate::clock;
use copy::Copy;
pub use progress::Progress;

mod copy;
mod progress;
mod timers;

use timers::Timers;

/// To connect, or for the next message.
const PATIENCE: Duration = Duration::from_secs(10);
/// For a whole transfer.
const TRANSFER_MAX: Duration = Duration::from_secs(900);
/// Between two rounds of questions, however many NOTIFYs come: anybody may forge one.
const WAKE_GAP: Duration = Duration::from_secs(1);

/// What became of the zone.
#[derive(Clone, Debug)]
pub enum Update {
    /// A version to serve, from a primary or from the disk.
    Version {
        /// Its serial.
        serial: u32,
        /// All records, the SOA record once.
        records: Arc<Records>,
        /// The steps from the version that was sent before, if it came in steps.
        deltas: Arc<[Delta]>,
    },
    /// A primary says that the version that was sent last is the newest.
    Confirmed,
    /// No primary has answered for as long as the SOA record allows: the zone must not be served any more.
    Expired,
}

/// One zone, and whom it is copied from.
#[derive(Debug)]
pub struct TransferIn {
    zone: NameBuffer,
    primaries: Vec<SocketAddr>,
    copy: Option<Copy>,
    limits: ReceiveLimits,
    key: Option<TsigKey>,
    wake: Arc<Notify>,
    progress: Arc<Progress>,
    /// What was sent last.
    current: Option<Version>,
    /// The disk was looked at.
    is_restored: bool,
    /// When a primary has last said that this is the newest, or sent it.
    checked: Instant,
}

/// A version of the zone.
#[derive(Clone, Debug)]
struct Version {
    serial: u32,
    timers: Timers,
    records: Arc<Records>,
}

/// Why a primary has given nothing.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Socket(#[from] io::Error),
    #[error("it took longer than {} s", .0.as_secs())]
    Slow(Duration),
    #[error("{0}")]
    Response(#[from] ReceiveError),
    #[error("{0}")]
    Signature(#[from] TsigError),
    #[error("{0}")]
    Delta(#[from] resolver::zone::DeltaError),
    #[error("the zone has no SOA record that can be read")]
    Soa,
    #[error("serial {found} is not newer than {own}")]
    Older { found: u32, own: u32 },
}

impl Failure {
    /// Whether the same primary may give the whole zone instead.
    fn asks_for_whole(&self) -> bool {
        !matches!(
            self,
            Self::Socket(_) | Self::Slow(_) | Self::Signature(_) | Self::Older { .. }
        )
    }
}

impl TransferIn {
    /// Copies `zone` (wire form) from the first of `primaries` that answers. `folder` is where the copy is kept for a restart:
    /// a file `NAME.zone`; it is made if it does not exist.
    ///
    /// # Errors
    /// `zone` is no name.
    pub fn new(
        zone: &[u8],
        primaries: Vec<SocketAddr>,
        folder: Option<PathBuf>,
        limits: ReceiveLimits,
    ) -> Result<Self, &'static str> {
        let lower = zone.to_ascii_lowercase(); // Length bytes are below 64 and so are never letters.
        let zone = NameBuffer::from_wire(&lower).ok_or("expected a name in wire form")?;
        Ok(Self {
            copy: folder.map(|folder| Copy::new(&folder, zone)),
            zone,
            primaries,
            limits,
            key: None,
            wake: Arc::new(Notify::new()),
            progress: Arc::new(Progress::default()),
            current: None,
            is_restored: false,
            checked: Instant::now(),
        })
    }

    /// Signs every question, and believes nothing that this key has not signed.
    pub fn set_key(&mut self, key: Option<TsigKey>) {
        self.key = key;
    }

    /// Wakes the copying up to ask at once, as a NOTIFY does (RFC 1996).
    #[must_use]
    pub fn waker(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }

    /// What primaries have said, as it goes on.
    #[must_use]
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Reads what is on the disk, for who needs it before the start: [`Self::run`] does not send it then.
    /// Gives its serial and records. Blocks.
    pub fn restore(&mut self) -> Option<(u32, Arc<Records>)> {
        self.is_restored = true;
        let (version, age) = read_copy(self.copy.as_ref()?)?;
        self.confirm(age);
        let given = (version.serial, Arc::clone(&version.records));
        self.current = Some(version);
        Some(given)
    }

    /// Sends what is on the disk at once, then every newer version, until the receiver is gone.
    pub async fn run(mut self, updates: mpsc::Sender<Update>) {
        if !self.is_restored {
            self.send_restored(&updates).await;
        }
        let mut failures = 0_u32;
        loop {
            let asked = Instant::now();
            let is_good = self.ask_all(&updates).await;
            failures = if is_good {
                0
            } else {
                failures.saturating_add(1)
            };
            if updates.is_closed() {
                return;
            }
            let timers = self.current.as_ref().map(|version| version.timers);
            let wait = timers::wait(timers, failures, random());
            let expires = timers.map(|timers| self.checked + timers.expire());
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.woken(asked) => {}
                () = updates.closed() => return,
                () = until(expires) => self.expire(&updates).await,
            }
        }
    }

    async fn send_restored(&mut self, updates: &mpsc::Sender<Update>) {
        let Some(copy) = self.copy.clone() else {
            return;
        };
        let read = tokio::task::spawn_blocking(move || read_copy(&copy)).await;
        if let Ok(Some((version, age))) = read {
            self.confirm(age);
            self.deliver(version, Vec::new(), updates).await;
        }
    }

    /// A primary has confirmed the newest version so long ago.
    fn confirm(&mut self, age: Duration) {
        let now = Instant::now();
        self.checked = now.checked_sub(age).unwrap_or(now);
        self.progress.confirm(age);
    }

    async fn woken(&self, asked: Instant) {
        self.wake.notified().await;
        tokio::time::sleep_until(asked + WAKE_GAP).await;
    }

    async fn expire(&mut self, updates: &mpsc::Sender<Update>) {
        self.current = None;
        tracing::warn!(zone = %self.name(), "zone has expired: no primary has answered");
        let _ = updates.send(Update::Expired).await; // The caller looks whether anybody listens.
    }

    /// Asks one primary after the other; whether one has answered. One that has less than we have is not the last to
    /// be asked, but if all have, ours stands.
    async fn ask_all(&mut self, updates: &mpsc::Sender<Update>) -> bool {
        let mut is_confirmed = false;
        for primary in self.primaries.clone() {
            match self.ask(primary).await {
                Ok(None) => {
                    self.on_confirmed(updates).await;
                    return true;
                }
                Ok(Some((version, deltas))) => {
                    self.confirm(Duration::ZERO);
                    let serial = version.serial;
                    tracing::info!(zone = %self.name(), %primary, serial, steps = deltas.len(), "zone transferred");
                    self.write(&version).await;
                    self.deliver(version, deltas, updates).await;
                    return true;
                }
                Err(error) => {
                    is_confirmed |= matches!(error, Failure::Older { .. });
                    self.progress.fail(format!("{primary}: {error}"));
                    tracing::warn!(zone = %self.name(), %primary, %error, "zone transfer failed");
                }
            }
        }
        if is_confirmed {
            self.on_confirmed(updates).await;
        }
        is_confirmed
    }

    async fn on_confirmed(&mut self, updates: &mpsc::Sender<Update>) {
        self.confirm(Duration::ZERO);
        self.touch().await;
        let _ = updates.send(Update::Confirmed).await; // The caller looks whether anybody listens.
    }

    /// What this primary has that is newer.
    async fn ask(&self, primary: SocketAddr) -> Result<Option<(Version, Vec<Delta>)>, Failure> {
        let Some(current) = &self.current else {
            return self.fetch(primary, Wanted::Whole).await;
        };
        match self.fetch(primary, Wanted::Since(current.serial)).await {
            Err(error) if error.asks_for_whole() => {
                tracing::debug!(zone = %self.name(), %primary, %error, "no IXFR; AXFR instead");
                self.fetch(primary, Wanted::Whole).await
            }
            result => result,
        }
    }

    async fn fetch(
        &self,
        primary: SocketAddr,
        wanted: Wanted,
    ) -> Result<Option<(Version, Vec<Delta>)>, Failure> {
        let [high, low, ..] = random().to_be_bytes();
        let receiver = Receiver::new(
            self.zone.as_bytes(),
            u16::from_be_bytes([high, low]),
            wanted,
            Carrier::Tcp,
            self.limits,
            &primary.to_string(),
        );
        let receiver = receiver.ok_or(Failure::Soa)?; // The name was checked when it came.
        let received = timeout(TRANSFER_MAX, talk(primary, receiver, self.key.as_ref())).await;
        let received = received.map_err(|_| Failure::Slow(TRANSFER_MAX))??;
        let (records, deltas) = match (received, &self.current) {
            (Received::UpToDate { serial }, Some(current)) if serial != current.serial => {
                return Err(Failure::Older {
                    found: serial,
                    own: current.serial,
                });
            }
            (Received::UpToDate { .. } | Received::Truncated, _) => return Ok(None),
            (Received::Whole { records, .. }, _) => (records, Vec::new()),
            (Received::Deltas { .. }, None) => return Err(Failure::Soa),
            (Received::Deltas { deltas, .. }, Some(current)) => {
                let records = Arc::clone(&current.records);
                let apply = move || (Delta::apply_all(&records, &deltas), deltas);
                let applied = tokio::task::spawn_blocking(apply).await;
                let (records, deltas) = applied.map_err(io::Error::other)?;
                (records?, deltas)
            }
        };
        let version = Version::new(records)?;
        match &self.current {
            Some(current) if current.serial == version.serial => Ok(None),
            Some(current) if !is_newer(version.serial, current.serial) => Err(Failure::Older {
                found: version.serial,
                own: current.serial,
            }),
            _ => Ok(Some((version, deltas))),
        }
    }

    async fn deliver(
        &mut self,
        version: Version,
        deltas: Vec<Delta>,
        updates: &mpsc::Sender<Update>,
    ) {
        let update = Update::Version {
            serial: version.serial,
            records: Arc::clone(&version.records),
            deltas: deltas.into(),
        };
        self.current = Some(version);
        let _ = updates.send(update).await; // The caller looks whether anybody listens.
    }

    async fn write(&self, version: &Version) {
        let Some(copy) = self.copy.clone() else {
            return;
        };
        let (file, records) = (
            copy.path().display().to_string(),
            Arc::clone(&version.records),
        );
        let written = tokio::task::spawn_blocking(move || copy.write(&records)).await;
        if let Err(error) = written.map_err(io::Error::other).flatten() {
            tracing::warn!(%file, %error, "copy of zone cannot be written");
        }
    }

    async fn touch(&self) {
        let Some(copy) = self.copy.clone() else {
            return;
        };
        let file = copy.path().display().to_string();
        let touched = tokio::task::spawn_blocking(move || copy.touch()).await;
        if let Err(error) = touched.map_err(io::Error::other).flatten() {
            tracing::warn!(%file, %error, "copy of zone cannot be dated");
        }
    }

    fn name(&self) -> String {
        DisplayName(self.zone.as_bytes()).to_string()
    }
}

impl Version {
    fn new(records: Records) -> Result<Self, Failure> {
        let (serial, timers) = timers::of(&records).ok_or(Failure::Soa)?;
        Ok(Self {
            serial,
            timers,
            records: Arc::new(records),
        })
    }
}

/// What is on the disk and may still be served, and how long ago a primary confirmed it.
fn read_copy(copy: &Copy) -> Option<(Version, Duration)> {
    let file = copy.path().display();
    let (records, age) = match copy.read() {
        Ok(read) => read?,
        Err(error) => {
            tracing::warn!(%file, %error, "copy of zone cannot be read");
            return None;
        }
    };
    match Version::new(records) {
        Ok(version) if age < version.timers.expire() => {
            tracing::info!(serial = version.serial, %file, "copy of zone read");
            Some((version, age))
        }
        Ok(_) => {
            tracing::warn!(%file, "copy of zone has expired");
            None
        }
        Err(error) => {
            tracing::warn!(%file, %error, "copy of zone cannot be used");
            None
        }
    }
}

/// One question and all messages of its answer.
async fn talk(
    primary: SocketAddr,
    mut receiver: Receiver,
    key: Option<&TsigKey>,
) -> Result<Received, Failure> {
    let mut stream = patient(TcpStream::connect(primary)).await?;
    let mut query = receiver.query();
    let sign = |key| TsigSession::sign(key, &mut query, clock::unix_secs());
    let mut session = key.map(sign);
    let bytes = u16::try_from(query.len()).map_err(io::Error::other)?;
    let framed = [&bytes.to_be_bytes()[..], &query].concat();
    patient(stream.write_all(&framed)).await?;
    let mut message = Vec::new();
    loop {
        let bytes = patient(stream.read_u16()).await?;
        message.resize(usize::from(bytes), 0);
        patient(stream.read_exact(&mut message)).await?;
        if let Some(session) = &mut session {
            session.check(&message, clock::unix_secs())?;
        }
        if let Some(received) = receiver.on_message(&message)? {
            session.map_or(Ok(()), |session| session.finish())?;
            return Ok(received);
        }
    }
}

async fn patient<T>(action: impl Future<Output = io::Result<T>>) -> Result<T, Failure> {
    let result = timeout(PATIENCE, action).await;
    Ok(result.map_err(|_| Failure::Slow(PATIENCE))??)
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// For message ids, which TCP makes hard to hit anyway, and to spread load.
fn random() -> u32 {
    let mut bytes = [0; 4];
    let flags = rustix::rand::GetRandomFlags::empty();
    match rustix::rand::getrandom(&mut bytes[..], flags) {
        Ok(_) => u32::from_be_bytes(bytes),
        Err(_) => std::process::id(), // Only the spread is worse.
    }
}
