//! Delivering alerts to the webhook, one after the other.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper::Uri;
use tokio::sync::watch;

use crate::alert_file::KeptAlert;
use crate::book::Book;
use crate::client::{Client, Post};
use crate::following::wall_ms;
use crate::webhook::{Outcome, sign};

/// Bytes of the file with the queue's place: a number and a newline.
const PLACE_BYTES_MAX: usize = 32;

/// The way to one receiver.
pub(crate) struct Delivering {
    pub(crate) uri: Uri,
    pub(crate) secret: Vec<u8>,
    pub(crate) place_path: PathBuf,
    pub(crate) book: Arc<Book>,
    pub(crate) client: Client,
}

/// Number of the first alert that was not delivered; the first of all if that is not known, since twice is better than never.
pub(crate) fn read_place(path: &std::path::Path) -> u64 {
    let bytes = match durable::read(path, PLACE_BYTES_MAX) {
        Ok(bytes) => bytes.unwrap_or_default(),
        Err(error) => {
            tracing::warn!(%error, "the place of the webhook cannot be read: from the first alert");
            return 1;
        }
    };
    let text = String::from_utf8_lossy(&bytes);
    text.trim_end().parse().unwrap_or(1)
}

impl Delivering {
    /// Delivers until `stop` changes.
    pub(crate) async fn run(self, mut stop: watch::Receiver<bool>) {
        loop {
            let wait = async {
                match self.book.next_delivery() {
                    None => self.book.saved.notified().await,
                    Some(alert) => {
                        if let Some(wait) = self.deliver(alert).await {
                            tokio::time::sleep(wait).await;
                        }
                    }
                }
            };
            tokio::select! {
                () = wait => {}
                _ = stop.changed() => return,
            }
        }
    }

    /// The time to wait, if it is to be sent again.
    async fn deliver(&self, alert: KeptAlert) -> Option<Duration> {
        let timestamp_s = wall_ms() / 1_000;
        let post = Post {
            uri: self.uri.clone(),
            signature: sign(&self.secret, timestamp_s, alert.line.as_bytes()),
            body: alert.line,
            alert_id: alert.id,
            timestamp_s,
        };
        let (outcome, failure) = match self.client.post(&post).await {
            Ok(Outcome::Delivered) => (Outcome::Delivered, None),
            Ok(outcome) => (outcome, Some(format!("{outcome:?}"))),
            Err(error) => {
                let retry_after_ms = None;
                (Outcome::Failed { retry_after_ms }, Some(error.to_string()))
            }
        };
        if let Some(failure) = &failure {
            tracing::warn!(
                sequence = alert.sequence,
                failure,
                "an alert is not delivered"
            );
        }
        match self.book.on_delivery(outcome, failure) {
            Err(wait_ms) => Some(Duration::from_millis(wait_ms)),
            Ok(place) => {
                let written = durable::replace(&self.place_path, format!("{place}\n").as_bytes());
                if let Err(error) = written {
                    tracing::error!(%error, "the place of the webhook cannot be written");
                }
                None
            }
        }
    }
}
