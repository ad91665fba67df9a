//! The copy of the root zone, from its file into the resolver (RFC 8806).

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use resolver::iterate::Resolver;
use resolver::zone::{Records, Zone};
use tokio::sync::mpsc;

use crate::control::apart;
use crate::copied::{Copied, Prepared};
use crate::engine::{Engine, EngineHandle};
use crate::transfer_in::Update;
use crate::zone_file::{self, Remark};

/// A copy of the root zone, and how old its file is in seconds.
pub(crate) struct Copy {
    zone: Arc<Zone>,
    age_secs: u64,
}

/// What a zone entry for the copy at `file` would be; `nexus check` reads it so.
#[must_use]
pub fn zone_entry(file: &Path) -> config::Zone {
    config::Zone {
        name: ".".to_owned(),
        file: Some(file.to_owned()),
        ..config::Zone::default()
    }
}

/// Reads the file. A time of modification that lies ahead counts as now.
///
/// # Errors
/// Its first fault.
pub(crate) fn read(file: &Path) -> Result<Copy, Remark> {
    let read = zone_file::read(&zone_entry(file))?;
    let modified = std::fs::metadata(file).and_then(|metadata| metadata.modified());
    let modified = modified.map_err(|error| Remark {
        file: file.to_owned(),
        position: None,
        message: format!("has no time of modification: {error}"),
    })?;
    let age = SystemTime::now().duration_since(modified);
    Ok(Copy {
        zone: Arc::new(read.zone),
        age_secs: age.map_or(0, |age| age.as_secs()),
    })
}

/// Takes what was read into service, or says why the root servers, or an older copy, go on. None of
/// this stops anybody: the root servers know the same. An error is in the log already.
pub(crate) fn install(
    resolver: &mut Resolver,
    now_ms: u64,
    file: &Path,
    read: Result<Copy, Remark>,
) -> Result<(), String> {
    let refuse = |why: String| {
        tracing::error!("{why}: the local root zone is not taken");
        Err(format!("{why}: the local root zone is not taken"))
    };
    let copy = match read {
        Ok(copy) => copy,
        Err(remark) => return refuse(remark.to_string()),
    };
    let serial = copy.zone.serial();
    let file = file.display();
    match resolver.set_local_root(now_ms, Some((copy.zone, copy.age_secs))) {
        Ok(left_secs) => {
            tracing::info!(%file, serial, left_secs, "local root zone in service");
            Ok(())
        }
        Err(error) => refuse(format!("{file} {error}")),
    }
}

/// Keeps a copy of the root zone that comes from other servers in service.
#[derive(Debug)]
pub(crate) struct LocalRootKeeper {
    engine: EngineHandle,
    prepared: Prepared,
}

impl LocalRootKeeper {
    pub(crate) fn new(engine: EngineHandle, prepared: Prepared) -> Self {
        Self { engine, prepared }
    }

    /// Puts what the disk had in service, before the start.
    pub(crate) fn restore(&mut self, engine: &mut Engine) {
        let Some(records) = self.prepared.records.take() else {
            return;
        };
        let copied = &self.prepared.copied;
        let zone = match build(&records) {
            Ok(zone) => zone,
            Err(error) => {
                tracing::error!(%error, "the local root zone on the disk is not taken");
                return copied.clear();
            }
        };
        // How long it lives, its transfer knows.
        let age_secs = copied.age_secs();
        let set =
            engine.with(|resolver, now_ms| resolver.set_local_root(now_ms, Some((zone, age_secs))));
        if let Err(error) = set {
            tracing::warn!("the local root zone on the disk {error}: it is not taken");
            copied.clear();
        }
    }

    /// Runs until the runtime ends.
    pub(crate) async fn run(self) {
        let Self { engine, prepared } = self;
        let copied = prepared.copied;
        let (sender, mut updates) = mpsc::channel(1);
        let mut serving = Serving {
            engine,
            is_newest: copied.serial().is_some(),
            copied,
            zone: None,
        };
        let taking = async {
            while let Some(update) = updates.recv().await {
                serving.take(update).await;
            }
        };
        tokio::join!(prepared.transfer.run(sender), taking);
    }
}

/// What is in service of a root zone that is copied.
struct Serving {
    engine: EngineHandle,
    copied: Arc<Copied>,
    /// Held, so that the engine does not spend its time on freeing it.
    zone: Option<Arc<Zone>>,
    /// It is what primaries sent last: a version that cannot be used leaves the older one.
    is_newest: bool,
}

impl Serving {
    /// Takes what has become of the zone into service.
    async fn take(&mut self, update: Update) {
        let old = match update {
            Update::Version {
                serial, records, ..
            } => match self.put(serial, records).await {
                Ok(old) => {
                    self.is_newest = true;
                    tracing::info!(serial, "local root zone in service");
                    old
                }
                Err(error) => {
                    self.is_newest = false;
                    return tracing::error!(serial, %error, "the local root zone is not taken");
                }
            },
            Update::Confirmed if self.is_newest => {
                let renewed = |resolver: &mut Resolver, now_ms| resolver.renew_local_root(now_ms);
                self.engine.with(renewed).await;
                return;
            }
            Update::Confirmed => return,
            Update::Expired => {
                let gone = |resolver: &mut Resolver, now_ms| resolver.set_local_root(now_ms, None);
                self.engine.with(gone).await;
                self.copied.clear();
                tracing::warn!("the local root zone has expired: the root servers are asked");
                self.zone.take()
            }
        };
        let _ = apart(move || drop(old)).await; // It was freed, or the runtime ends.
    }

    /// Gives the version before.
    async fn put(
        &mut self,
        serial: u32,
        records: Arc<Records>,
    ) -> Result<Option<Arc<Zone>>, String> {
        let count = records.len();
        let built = apart(move || build(&records)).await;
        let zone = built.map_err(|failure| failure.to_string())??;
        let copy = Some((Arc::clone(&zone), 0));
        let set = |resolver: &mut Resolver, now_ms| resolver.set_local_root(now_ms, copy);
        match self.engine.with(set).await {
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(format!("it {error}")),
            None => return Err("the resolver is stopping".to_owned()),
        }
        self.copied.set(serial, count);
        Ok(self.zone.replace(zone))
    }
}

fn build(records: &Records) -> Result<Arc<Zone>, String> {
    match Zone::build(&[0], records) {
        Ok((zone, _)) => Ok(Arc::new(zone)),
        Err(error) => Err(error.to_string()),
    }
}
