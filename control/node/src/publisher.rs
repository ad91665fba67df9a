//! The way of zones that the mesh has agreed on into service, for whoever keeps the ledger.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use resolver::zone::{Delta, Zone};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::admission::Unserved;
use crate::control::Control;
use crate::zones::{Reloaded, Zones};

/// After a failure to reach the front thread.
const RETRY: Duration = Duration::from_millis(100);

/// Takes versions of agreed zones into service. Cheap to clone; from any thread.
#[derive(Clone, Debug)]
pub struct ZonePublisher(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    zones: Arc<Zones>,
    control: Control,
    runtime: Handle,
    pending: Mutex<Pending>,
    in_force: watch::Sender<u64>,
}

/// What workers, caches and secondaries have to hear of. Several versions of a zone are one change.
#[derive(Debug, Default)]
struct Pending {
    changed: BTreeSet<String>,
    redrawn: BTreeSet<String>,
    last: u64,
    is_told: bool,
}

/// A version on its way to the workers.
#[derive(Debug)]
pub struct Publication {
    number: u64,
    in_force: watch::Receiver<u64>,
}

impl Publication {
    /// Waits until nobody gets older answers. False: control is stopping.
    pub async fn in_force(mut self) -> bool {
        let number = self.number;
        self.in_force.wait_for(|done| *done >= number).await.is_ok()
    }
}

impl ZonePublisher {
    pub(crate) fn new(zones: Arc<Zones>, control: Control, runtime: Handle) -> Self {
        Self(Arc::new(Inner {
            zones,
            control,
            runtime,
            pending: Mutex::default(),
            in_force: watch::Sender::new(0),
        }))
    }

    /// The agreed zones of the configuration.
    #[must_use]
    pub fn agreed_zones(&self) -> Vec<config::Zone> {
        self.0.zones.agreed()
    }

    /// Takes the next version of a zone into service: at once for who asks control, and as soon as the
    /// publication is in force for all. `steps` lead from the version in service to this one, one by one;
    /// without them, secondaries copy the whole zone.
    ///
    /// # Errors
    /// This node does not let the cluster serve it.
    pub fn publish(&self, zone: Arc<Zone>, steps: Vec<Delta>) -> Result<Publication, Unserved> {
        let reloaded = self.0.zones.publish(zone, steps)?;
        Ok(self.tell(reloaded))
    }

    /// Whether a zone of this name would be served here.
    ///
    /// # Errors
    /// Why not.
    pub fn admit(&self, name: &str) -> Result<(), Unserved> {
        self.0.zones.admit(name)
    }

    /// Serves a zone no more. `None` if it was not served.
    pub fn withdraw(&self, apex: &[u8]) -> Option<Publication> {
        let reloaded = self.0.zones.withdraw(apex)?;
        Some(self.tell(reloaded))
    }

    fn tell(&self, reloaded: Reloaded) -> Publication {
        let counters = self.0.control.counters();
        counters.zone_publications.increment();
        let in_force = self.0.in_force.subscribe();
        let mut pending = self.0.pending();
        let names = reloaded.zones.into_iter().map(|zone| zone.name);
        pending.changed.extend(names);
        pending.redrawn.extend(reloaded.redrawn);
        pending.last += 1;
        if !std::mem::replace(&mut pending.is_told, true) {
            let inner = Arc::clone(&self.0);
            self.0.runtime.spawn(async move { inner.tell_all().await });
        }
        Publication {
            number: pending.last,
            in_force,
        }
    }
}

impl Inner {
    /// Tells of everything that is pending, and of what comes meanwhile.
    async fn tell_all(&self) {
        while let Some((changed, redrawn, last)) = self.take() {
            while let Err(failure) = self.control.raise(&redrawn, &changed).await {
                tracing::error!(%failure, "agreed zones");
                tokio::time::sleep(RETRY).await;
            }
            self.in_force.send_replace(last);
        }
    }

    fn take(&self) -> Option<(BTreeSet<String>, BTreeSet<String>, u64)> {
        let mut pending = self.pending();
        if pending.changed.is_empty() {
            pending.is_told = false;
            return None;
        }
        let changed = std::mem::take(&mut pending.changed);
        let redrawn = std::mem::take(&mut pending.redrawn);
        Some((changed, redrawn, pending.last))
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
