//! Following one log: carries out what its [`Follower`] says, by HTTP and on the disk.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::book::Book;
use crate::client::Client;
use crate::follower::{Body, Event, FetchError, Follower, PARALLEL_FETCHES_MAX, Step};
use crate::source::{Fetch, LogSource};
use crate::state::{LogState, STATE_BYTES_MAX, StateError};

/// One log with its place in the book.
pub(crate) struct Following {
    pub(crate) log: usize,
    pub(crate) follower: Follower,
    pub(crate) state_path: PathBuf,
    pub(crate) book: Arc<Book>,
    pub(crate) client: Client,
}

/// Milliseconds since 1970.
pub(crate) fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

/// The state of a log on the disk; none if it was never followed.
///
/// # Errors
/// If it cannot be used: then the log must not be followed anew, as it would be believed anew.
pub(crate) fn read_state(
    source: &LogSource,
    path: &std::path::Path,
) -> Result<Option<LogState>, StateError> {
    let malformed = |error: &dyn std::fmt::Display| StateError::Malformed(error.to_string());
    let text = durable::read_text(path, STATE_BYTES_MAX).map_err(|error| malformed(&error))?;
    let Some(text) = text else { return Ok(None) };
    LogState::parse(source, &text).map(Some)
}

impl Following {
    fn source(&self) -> &LogSource {
        self.follower.source()
    }

    /// Follows until `stop` changes.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let start = Instant::now();
        let elapsed = || u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut events = Vec::new();
        loop {
            match self.follower.step(elapsed()) {
                Step::Wait { until_ms } => {
                    let wait = Duration::from_millis(until_ms.saturating_sub(elapsed()));
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        _ = stop.changed() => return,
                    }
                }
                Step::Fetch(fetches) => {
                    let replies = tokio::select! {
                        replies = self.fetch(&fetches) => replies,
                        _ = stop.changed() => return,
                    };
                    self.count(&replies);
                    self.follower.on_replies(elapsed(), replies, &mut events);
                    self.carry_out(&mut events);
                }
            }
        }
    }

    /// All at once, in their order.
    async fn fetch(&self, fetches: &[Fetch]) -> Vec<Result<Body, FetchError>> {
        if let [one] = fetches {
            let url = one.url(&self.source().address);
            return vec![self.client.get(&url, one.bytes_max()).await];
        }
        let mut replies: Vec<_> = fetches.iter().map(|_| Err(FetchError::Missing)).collect();
        let mut running = JoinSet::new();
        let mut waiting = fetches.iter().enumerate();
        loop {
            while running.len() < PARALLEL_FETCHES_MAX
                && let Some((place, fetch)) = waiting.next()
            {
                let (client, url) = (self.client.clone(), fetch.url(&self.source().address));
                let bytes_max = fetch.bytes_max();
                running.spawn(async move { (place, client.get(&url, bytes_max).await) });
            }
            match running.join_next().await {
                None => return replies,
                Some(Ok((place, reply))) => {
                    if let Some(slot) = replies.get_mut(place) {
                        *slot = reply;
                    }
                }
                Some(Err(error)) => tracing::error!(%error, "a fetch has panicked"),
            }
        }
    }

    fn count(&self, replies: &[Result<Body, FetchError>]) {
        let bodies = replies.iter().flatten();
        let bytes: u64 = bodies.map(|body| body.bytes.len() as u64).sum();
        self.book.with_log(self.log, |status| {
            status.fetches += replies.len() as u64;
            status.fetched_bytes += bytes;
        });
    }

    fn carry_out(&self, events: &mut Vec<Event>) {
        let (book, log) = (&self.book, (self.log, self.source()));
        for event in events.drain(..) {
            match event {
                Event::Head(head) => book.with_log(self.log, |status| {
                    status.head_timestamp_ms = Some(head.timestamp_ms);
                    status.replied_ms = Some(wall_ms());
                }),
                Event::Entries { first, entries } => {
                    book.on_entries(log, first, &entries, wall_ms());
                }
                Event::State(state) => {
                    // Alerts first. If they cannot be kept, a restart reads their entries again.
                    if book.save() {
                        self.keep(&state);
                    }
                    book.with_log(self.log, |status| {
                        (status.size, status.read) = (state.head.head.size, state.frontier.size());
                    });
                }
                Event::Alarm(alarm) => {
                    book.on_alarm(log, &alarm, wall_ms());
                    book.save();
                }
                Event::Failed(error) => {
                    tracing::debug!(log = self.source().name, %error, "a fetch failed");
                    book.with_log(self.log, |status| {
                        status.failures += 1;
                        status.last_failure = Some(error.to_string());
                    });
                }
            }
        }
        let failures = self.follower.failures();
        book.with_log(self.log, |status| {
            status.failures_in_a_row = failures.into();
            if failures == 0 {
                status.last_failure = None;
            }
        });
    }

    fn keep(&self, state: &LogState) {
        let text = state.to_text(self.source());
        if let Err(error) = durable::replace(&self.state_path, text.as_bytes()) {
            tracing::error!(log = self.source().name, %error, "the state of a log cannot be written");
        }
    }
}
