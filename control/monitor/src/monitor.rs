//! [`Monitor`]: a thread that follows all logs and delivers alerts, until it is stopped.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use hyper::Uri;
use thiserror::Error;
use tokio::runtime;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::alert_file::AlertPage;
use crate::book::{Book, BookSettings};
use crate::certificates::CertificateUsage;
use crate::client::Client;
use crate::delivering::{Delivering, read_place};
use crate::follower::Follower;
use crate::following::{Following, read_state};
use crate::metrics::MonitorMetrics;
use crate::source::{Fetch, LogSource};
use crate::status::{LogStatus, MonitorStatus};
use crate::watchlist::Watchlist;
use crate::webhook::WebhookQueue;

/// What a monitor does.
#[derive(Debug)]
pub struct MonitorSettings {
    /// Logs to follow, each once.
    pub logs: Vec<Arc<LogSource>>,
    /// Domains to watch.
    pub watchlist: Watchlist,
    /// Where alerts are delivered, if anywhere.
    pub webhook: Option<WebhookSettings>,
    /// Folder for states, alerts and evidence; made if it is not there.
    pub folder: PathBuf,
    /// Certificates in the table.
    pub certificates_max: usize,
    /// Bytes of alerts that are kept.
    pub alert_bytes_max: usize,
    /// Spreads waits between nodes.
    pub seed: u64,
}

/// A receiver of alerts.
#[derive(Clone)]
pub struct WebhookSettings {
    /// Where alerts are sent.
    pub url: String,
    /// Key of the signature.
    pub secret: Vec<u8>,
}

impl std::fmt::Debug for WebhookSettings {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("WebhookSettings(…)") // Both may be secrets.
    }
}

/// Why a monitor does not start.
#[derive(Debug, Error)]
pub enum MonitorError {
    /// The same log, or the same name, twice: two followers would share one state, or one metric.
    #[error("log {0} twice: a key and a name are those of one log")]
    Duplicate(String),
    /// Not a URL with a host.
    #[error("the webhook's URL has no host")]
    Url,
    /// A folder or file cannot be used, or there is no thread.
    #[error("{0}")]
    System(#[from] io::Error),
    /// TLS cannot be set up.
    #[error("{0}")]
    Tls(#[from] rustls::Error),
}

/// A running monitor. Anybody may ask it; dropping it does not stop it.
#[derive(Debug, Clone)]
pub struct MonitorHandle {
    book: Arc<Book>,
}

/// Its thread.
#[derive(Debug)]
pub struct Monitor {
    handle: MonitorHandle,
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl Monitor {
    /// Starts it. A log whose state cannot be used is not followed, and its status says so.
    ///
    /// # Errors
    /// If settings contradict each other, or the system does not let it.
    pub fn start(settings: MonitorSettings) -> Result<Self, MonitorError> {
        let folder = settings.folder;
        let (mut ids, mut names) = (BTreeSet::new(), BTreeSet::new());
        let is_known =
            |log: &&Arc<LogSource>| !ids.insert(log.key.id()) || !names.insert(log.name.clone());
        if let Some(twice) = settings.logs.iter().find(is_known) {
            return Err(MonitorError::Duplicate(twice.name.clone()));
        }
        std::fs::create_dir_all(&folder)?;
        let client = Client::new()?;
        let (statuses, followers) = followers(settings.logs, &folder, settings.seed);
        let place_path = folder.join("webhook.place");
        let webhook = match settings.webhook {
            Some(to) => Some((receiver(&to.url)?, to.secret)),
            None => None,
        };
        let queue = webhook.as_ref().map(|((_, host), _)| {
            let place = read_place(&place_path);
            (host.clone(), WebhookQueue::new(place, settings.seed))
        });
        let book = Arc::new(Book::open(BookSettings {
            watchlist: settings.watchlist,
            certificates_max: settings.certificates_max,
            alert_bytes_max: settings.alert_bytes_max,
            folder: &folder,
            logs: statuses,
            webhook: queue,
        })?);
        let followings = followers
            .into_iter()
            .map(|(log, follower, state_path)| Following {
                log,
                follower,
                state_path,
                book: Arc::clone(&book),
                client: client.clone(),
            });
        let followings: Vec<_> = followings.collect();
        let delivering = webhook.map(|((uri, _), secret)| Delivering {
            uri,
            secret,
            place_path,
            book: Arc::clone(&book),
            client,
        });
        Ok(run(MonitorHandle { book }, followings, delivering)?)
    }

    /// The way to ask it.
    #[must_use]
    pub fn handle(&self) -> MonitorHandle {
        self.handle.clone()
    }

    /// Stops it, and waits until it has. What it was about to fetch, it fetches after the next start.
    pub fn stop(self) {
        let _ = self.stop.send(true); // Nobody listens if it has ended by itself.
        if self.thread.join().is_err() {
            tracing::error!("the monitor's thread has panicked");
        }
    }
}

/// A thread of its own: entries are hashed and parsed, and files synced, while nothing else waits for it.
fn run(
    handle: MonitorHandle,
    followings: Vec<Following>,
    delivering: Option<Delivering>,
) -> io::Result<Monitor> {
    let (stop, stopped) = watch::channel(false);
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let work = async move {
        let mut tasks = JoinSet::new();
        for following in followings {
            tasks.spawn(following.run(stopped.clone()));
        }
        if let Some(delivering) = delivering {
            tasks.spawn(delivering.run(stopped.clone()));
        }
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a task of the monitor has panicked");
            }
        }
    };
    let thread = std::thread::Builder::new()
        .name("nexus-ct-monitor".to_owned())
        .spawn(move || {
            runtime.block_on(work);
            // A look-up of a host that hangs must not hold up the end.
            runtime.shutdown_background();
        })?;
    Ok(Monitor {
        handle,
        stop,
        thread,
    })
}

impl MonitorHandle {
    /// What it says about itself.
    #[must_use]
    pub fn status(&self) -> MonitorStatus {
        self.book.status()
    }

    /// Alerts from this number on.
    #[must_use]
    pub fn alerts(&self, cursor: u64) -> AlertPage {
        self.book.page(cursor)
    }

    /// Certificates seen for a name or below it, latest first; for all names without one.
    #[must_use]
    pub fn certificates(&self, name: Option<&str>) -> Vec<CertificateUsage> {
        self.book.certificates(name)
    }

    /// Its metrics of this moment.
    #[must_use]
    pub fn metrics(&self) -> MonitorMetrics {
        MonitorMetrics(self.status())
    }
}

/// The status of each log, and those that can be followed: place, follower, and file of the state.
fn followers(
    logs: Vec<Arc<LogSource>>,
    folder: &Path,
    seed: u64,
) -> (Vec<LogStatus>, Vec<(usize, Follower, PathBuf)>) {
    let mut statuses = Vec::with_capacity(logs.len());
    let mut followers = Vec::new();
    for (log, source) in logs.into_iter().enumerate() {
        let state_path = folder.join(format!("{}.state", source.key.id()));
        let mut status = status_of(&source);
        match read_state(&source, &state_path) {
            Err(error) => {
                let name = &source.name;
                tracing::error!(log = name, %error, "a log is not followed: its state cannot be used");
                status.stopped = Some(error.to_string());
            }
            Ok(state) => {
                if let Some(state) = &state {
                    (status.size, status.read) = (state.head.head.size, state.frontier.size());
                }
                let follower = Follower::new(source, state, seed ^ log as u64);
                followers.push((log, follower, state_path));
            }
        }
        statuses.push(status);
    }
    (statuses, followers)
}

fn status_of(source: &LogSource) -> LogStatus {
    LogStatus {
        name: source.name.clone(),
        log_id: source.key.id().to_string(),
        url: Fetch::Head.url(&source.address),
        ..LogStatus::default()
    }
}

/// The receiver, and its host alone.
fn receiver(url: &str) -> Result<(Uri, String), MonitorError> {
    let uri: Uri = url.parse().map_err(|_| MonitorError::Url)?;
    let host = uri.host().ok_or(MonitorError::Url)?.to_owned();
    Ok((uri, host))
}
