//! [`Outsiders`]: the outside witnesses of a log, and the newest checkpoints that they have cosigned.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ct::{Note, NoteSignature};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::client::HttpClient;
use super::outside::{AskError, OutsideWitness};
use crate::{Published, ShardReader};

/// Between two checkpoints of a shard that go to the witnesses, and first after a failure.
const INTERVAL: Duration = Duration::from_secs(5);
/// Longest after failures.
const INTERVAL_MAX: Duration = Duration::from_secs(300);

/// Witnesses, how to reach them, and what has come of it. Clones share that. Register one as a collector.
#[derive(Debug, Clone)]
pub struct Outsiders {
    witnesses: Arc<[OutsideWitness]>,
    client: HttpClient,
    /// By shard: the newest checkpoint that one of them has cosigned.
    newest: Arc<Mutex<BTreeMap<String, Note>>>,
    results: Family<[(&'static str, String); 2], Counter>,
}

/// A witness, as far as one shard goes.
#[derive(Debug)]
struct Asked {
    witness: OutsideWitness,
    /// The size it is believed to have cosigned last.
    witnessed: u64,
    /// Not before, after a failure.
    due: Instant,
    /// After the next failure.
    pause: Duration,
    /// Text of the checkpoint that it has cosigned.
    has: Option<Arc<Published>>,
}

impl Outsiders {
    /// These, by this client.
    #[must_use]
    pub fn new(witnesses: Vec<OutsideWitness>, client: HttpClient) -> Self {
        Self {
            witnesses: witnesses.into(),
            client,
            newest: Arc::default(),
            results: Family::default(),
        }
    }

    /// The newest checkpoint of a shard that any of them has cosigned, with the lines of all that have, below those that it was
    /// published with. A newer one is published, but for a quiet log.
    #[must_use]
    pub fn newest(&self, shard: &str) -> Option<String> {
        self.lock().get(shard).map(Note::to_string)
    }

    /// Sends the newest head of a shard to all of them, and again the newest when the interval has passed. Ends when the log
    /// does.
    pub async fn follow(self, shard: ShardReader) {
        let now = Instant::now();
        let asked = |witness: &OutsideWitness| Asked {
            witness: witness.clone(),
            witnessed: 0,
            due: now,
            pause: INTERVAL,
            has: None,
        };
        let mut witnesses: Vec<Asked> = self.witnesses.iter().map(asked).collect();
        let mut heads = shard.watch();
        loop {
            let has_leaves = |head: &Option<Arc<Published>>| {
                let head = head.as_ref();
                head.is_some_and(|head| head.size() > 0)
            };
            let head = match heads.wait_for(has_leaves).await {
                Ok(head) => head.clone(),
                Err(_) => return,
            };
            let Some(head) = head else { return };
            witnesses = self.ask_all(&shard, &head, witnesses).await;
            tokio::time::sleep(INTERVAL).await;
            let all_have = |asked: &Asked| asked.has.as_ref().is_some_and(|has| **has == *head);
            if witnesses.iter().all(all_have) && heads.changed().await.is_err() {
                return;
            }
        }
    }

    /// One head to all that are due and have not cosigned it.
    async fn ask_all(
        &self,
        shard: &ShardReader,
        head: &Arc<Published>,
        witnesses: Vec<Asked>,
    ) -> Vec<Asked> {
        let mut done = Vec::with_capacity(witnesses.len());
        let mut asking = JoinSet::new();
        for mut asked in witnesses {
            let has_it = asked.has.as_ref().is_some_and(|has| **has == **head);
            if has_it || Instant::now() < asked.due {
                done.push(asked);
                continue;
            }
            let (shard, client, head) = (shard.clone(), self.client.clone(), Arc::clone(head));
            asking.spawn(async move {
                let Asked {
                    witness, witnessed, ..
                } = &mut asked;
                let result = witness.ask(&shard, &client, &head, witnessed).await;
                (asked, result)
            });
        }
        while let Some(ended) = asking.join_next().await {
            let Ok((mut asked, result)) = ended else {
                continue; // Only when the runtime ends.
            };
            self.on_result(shard, head, &mut asked, result);
            done.push(asked);
        }
        done
    }

    fn on_result(
        &self,
        shard: &ShardReader,
        head: &Arc<Published>,
        asked: &mut Asked,
        result: Result<NoteSignature, AskError>,
    ) {
        let (shard, witness) = (&shard.spec().window.name, asked.witness.key.name());
        let result = result.and_then(|line| Ok(self.keep(shard, head, line)?));
        let word = if result.is_ok() { "cosigned" } else { "failed" };
        let labels = [
            ("witness", witness.to_string()),
            ("result", word.to_owned()),
        ];
        self.results.get_or_create(&labels).inc();
        match result {
            Ok(()) => {
                asked.has = Some(Arc::clone(head));
                asked.pause = INTERVAL;
            }
            Err(error) => {
                tracing::warn!(%witness, shard, %error, "an outside witness has not cosigned");
                asked.due = Instant::now() + asked.pause;
                asked.pause = (asked.pause * 2).min(INTERVAL_MAX);
            }
        }
    }

    /// Adds a line to the newest checkpoint, or makes the one that it is of the newest.
    fn keep(
        &self,
        shard: &str,
        head: &Published,
        line: NoteSignature,
    ) -> Result<(), ct::NoteError> {
        let published = Note::parse(&head.checkpoint)?;
        let mut newest = self.lock();
        match newest.get_mut(shard) {
            // Of an idle log a younger head has the same text.
            Some(note) if note.text() == published.text() => note.sign(line),
            _ => {
                let mut note = published;
                note.sign(line)?;
                newest.insert(shard.to_owned(), note);
                Ok(())
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Note>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Outsiders {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let (name, help) = (
            "nexus_ct_witness_requests",
            "Checkpoints that were sent to outside witnesses, by witness and result.",
        );
        let kind = self.results.metric_type();
        let out = encoder.encode_descriptor(name, help, None, kind)?;
        self.results.encode(out)
    }
}
