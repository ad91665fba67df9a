//! From what the ledger says of zones to what is served: one thread builds and publishes versions.
//!
//! It keeps copies of the zones and follows them step by step. Building a zone takes time that grows
//! with it, so all steps that wait go into one version. Whoever has changed a zone is answered when
//! the version with the change is in force ([`ZoneNews::wait`]).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded};
use ledger::{Ledger, ZoneChange, ZoneChangeKind, ZoneChanges};
use resolver::zone::{Delta, DisplayName, ZoneContents};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::publisher::ZonePublisher;

/// What waits for the keeper; whoever says more waits, too.
const NEWS_MAX: usize = 4096;

/// What the ledger says, in the order in which it says it.
#[derive(Debug)]
pub(super) enum News {
    /// A zone that is new.
    Created(ZoneContents),
    /// A step of a zone.
    Step(Arc<[u8]>, Delta),
    /// A zone that is gone.
    Deleted(Arc<[u8]>),
    /// All zones there are.
    All(Vec<ZoneContents>),
}

impl News {
    /// What has happened in the ledger since it was last asked. Quick: contents are copied only of
    /// zones that are new.
    pub(super) fn of(ledger: &mut Ledger) -> Vec<Self> {
        let steps = match ledger.take_changes() {
            ZoneChanges::Steps(steps) => steps,
            ZoneChanges::All => return vec![Self::All(ledger.zones().cloned().collect())],
        };
        let news = steps.into_iter().filter_map(|change| {
            let ZoneChange { apex, kind, .. } = change;
            Some(match kind {
                // The copy may hold later steps: they do not fit then, and are passed over by serial.
                ZoneChangeKind::Created => Self::Created(ledger.zone(&apex)?.clone()),
                ZoneChangeKind::Updated(delta) => Self::Step(apex, delta),
                ZoneChangeKind::Deleted => Self::Deleted(apex),
            })
        });
        news.collect()
    }
}

/// The way to the keeper, and how far it is. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct ZoneNews {
    /// `None` ends the keeper.
    sender: Sender<Option<(u64, Vec<News>)>>,
    said: Arc<AtomicU64>,
    in_force: watch::Receiver<u64>,
}

impl ZoneNews {
    /// Tells the keeper. From one thread only, so that numbers come in order.
    pub(super) fn say(&self, news: Vec<News>) {
        let number = self.said.load(Ordering::Relaxed) + 1;
        if self.sender.send(Some((number, news))).is_ok() {
            self.said.store(number, Ordering::Release);
        }
    }

    /// Ends the keeper, behind all that was said.
    pub(super) fn stop(&self) {
        let _ = self.sender.send(None); // It has ended.
    }

    /// Waits until all that was said before is in force. False: the keeper has ended.
    pub(super) async fn wait(&self) -> bool {
        let number = self.said.load(Ordering::Acquire);
        let mut in_force = self.in_force.clone();
        in_force.wait_for(|done| *done >= number).await.is_ok()
    }
}

/// Starts the thread, which ends at [`ZoneNews::stop`].
///
/// # Errors
/// The system has no thread for it.
pub(super) fn start(
    publisher: ZonePublisher,
    runtime: Handle,
) -> io::Result<(ZoneNews, JoinHandle<()>)> {
    let (sender, receiver) = bounded(NEWS_MAX);
    let (done, in_force) = watch::channel(0);
    let keeper = Keeper {
        publisher,
        runtime,
        copies: BTreeMap::new(),
        steps: BTreeMap::new(),
        gone: BTreeSet::new(),
        unserved: BTreeSet::new(),
    };
    let thread = thread::Builder::new()
        .name("mesh-zones".to_owned())
        .spawn(move || keeper.run(&receiver, &done))?;
    let news = ZoneNews {
        sender,
        said: Arc::default(),
        in_force,
    };
    Ok((news, thread))
}

struct Keeper {
    publisher: ZonePublisher,
    runtime: Handle,
    copies: BTreeMap<Arc<[u8]>, ZoneContents>,
    /// Zones to be built, with the steps since they were; none if they came whole.
    steps: BTreeMap<Arc<[u8]>, Option<Vec<Delta>>>,
    gone: BTreeSet<Arc<[u8]>>,
    /// Zones that are not served here, of which the log speaks once.
    unserved: BTreeSet<Arc<[u8]>>,
}

impl Keeper {
    fn run(mut self, receiver: &Receiver<Option<(u64, Vec<News>)>>, done: &watch::Sender<u64>) {
        while let Ok(Some((mut last, news))) = receiver.recv() {
            let mut is_last = false;
            news.into_iter().for_each(|news| self.take(news));
            for next in receiver.try_iter() {
                let Some((number, news)) = next else {
                    is_last = true;
                    break;
                };
                news.into_iter().for_each(|news| self.take(news));
                last = number;
            }
            self.publish();
            done.send_replace(last);
            if is_last {
                break;
            }
        }
    }

    fn take(&mut self, news: News) {
        match news {
            News::Created(contents) => self.put(contents),
            News::Step(apex, delta) => self.step(&apex, delta),
            News::Deleted(apex) => {
                self.copies.remove(&apex);
                self.steps.remove(&apex);
                self.unserved.remove(&apex);
                self.gone.insert(apex);
            }
            News::All(all) => {
                let old = std::mem::take(&mut self.copies);
                self.steps.clear();
                self.gone.extend(old.into_keys());
                all.into_iter().for_each(|contents| self.put(contents));
            }
        }
    }

    fn put(&mut self, contents: ZoneContents) {
        let apex: Arc<[u8]> = contents.apex().into();
        self.gone.remove(&apex);
        self.steps.insert(Arc::clone(&apex), None);
        self.copies.insert(apex, contents);
    }

    fn step(&mut self, apex: &Arc<[u8]>, delta: Delta) {
        let Some(copy) = self.copies.get_mut(apex) else {
            return;
        };
        if copy.serial() != delta.from {
            return; // The copy was taken after this step.
        }
        if let Err(error) = copy.follow(&delta) {
            // Only a fault of ours: the ledger made this step on equal contents.
            tracing::error!(zone = %DisplayName(apex), %error, "a step does not fit to the zone in service");
            return;
        }
        let steps = self.steps.entry(Arc::clone(apex));
        if let Some(steps) = steps.or_insert(Some(Vec::new())) {
            steps.push(delta);
        }
    }

    fn publish(&mut self) {
        let mut publications = Vec::new();
        for apex in std::mem::take(&mut self.gone) {
            publications.extend(self.publisher.withdraw(&apex));
        }
        for (apex, steps) in std::mem::take(&mut self.steps) {
            let Some(copy) = self.copies.get(&apex) else {
                continue;
            };
            let name = DisplayName(&apex).to_string();
            if let Err(reason) = self.publisher.admit(&name) {
                if self.unserved.insert(Arc::clone(&apex)) {
                    tracing::warn!(zone = name, %reason, "a zone of the cluster is not served here");
                }
                continue;
            }
            let zone = match copy.build() {
                Ok((zone, _)) => Arc::new(zone),
                Err(error) => {
                    tracing::error!(zone = %DisplayName(&apex), %error, "the agreed version cannot be served");
                    continue;
                }
            };
            match self.publisher.publish(zone, steps.unwrap_or_default()) {
                Ok(publication) => publications.push(publication),
                // The configuration has changed in this moment: the next change finds out.
                Err(reason) => tracing::debug!(zone = name, %reason, "not served"),
            }
        }
        self.runtime.block_on(async {
            for publication in publications {
                publication.in_force().await;
            }
        });
    }
}
