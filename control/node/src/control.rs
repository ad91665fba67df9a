//! What the command line and the metrics see and may do.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use config::Config;
use exchange::Region;
use hickory_proto::rr::Name;
use monitor::MonitorHandle;
use tokio::sync::oneshot;

use crate::access;
use crate::admin::{
    ControlStatus, DataplaneStatus, Failure, FailureCode, Request, ResolverMode, ResolverStatus,
    Response, Stats, Status, ZoneReloaded, ZoneStatus,
};
use crate::certs::Judge;
use crate::clock;
use crate::copied::CopiedZones;
use crate::counters::Counters;
use crate::ct_log::LogService;
use crate::ct_monitor::{self, Asked};
use crate::engine::EngineHandle;
use crate::front::{self, FrontSender, Unheard};
use crate::local_root;
use crate::lookup::Lookups;
use crate::mesh::Mesh;
use crate::metrics::{Snapshot, resolver_rows};
use crate::notifier::Notifier;
use crate::pending::pending_keys;
use crate::policy;
use crate::policy_service::{Loaded, PolicyService};
use crate::resolver_page;
use crate::routes::Forwarded;
use crate::table_page::page;
use crate::trust_keeper::TrustFiles;
use crate::zones::{Reloaded, Zones};

mod certificates;
mod trust;

/// The front thread makes a round at least every 50 ms; silent for longer than this, it hangs.
const FRONT_SILENT_MS: u64 = 5_000;

/// Zones that the resolver's cache is searched for one by one after a reload; with more of them it
/// forgets everything, since each costs a walk through all of it.
const FLUSHES_MAX: usize = 16;

/// What the front thread shows to everybody else.
#[derive(Debug)]
pub(crate) struct FrontState {
    /// The dataplane's memory, while attached.
    pub(crate) region: ArcSwapOption<Region>,
    /// Last round, milliseconds of CLOCK_MONOTONIC.
    pub(crate) alive_ms: AtomicU64,
}

impl FrontState {
    /// Before the first round: `now_ms` counts as one.
    pub(crate) fn new(now_ms: u64) -> Self {
        Self {
            region: ArcSwapOption::empty(),
            alive_ms: AtomicU64::new(now_ms),
        }
    }
}

/// Everything that can be asked of the running control. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Control(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) config_path: Option<PathBuf>,
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) started_ms: u64,
    pub(crate) counters: Arc<Counters>,
    pub(crate) zones: Arc<Zones>,
    pub(crate) engine: EngineHandle,
    pub(crate) front: FrontSender,
    pub(crate) state: Arc<FrontState>,
    pub(crate) lookups: Lookups,
    pub(crate) trust_files: Arc<TrustFiles>,
    pub(crate) policy: PolicyService,
    /// Zones that are copied from primaries.
    pub(crate) copied: CopiedZones,
    /// Judges certificates.
    pub(crate) judge: Judge,
    /// Tells secondaries of changes.
    pub(crate) notifier: Notifier,
    /// This node's part in its cluster, if it has one.
    pub(crate) mesh: Option<Mesh>,
    /// Who follows logs of Certificate Transparency, if there are any to follow.
    pub(crate) ct_monitor: Option<MonitorHandle>,
    /// Held during a reload: of two, the one that has read older files must not come last.
    pub(crate) reloading: tokio::sync::Mutex<()>,
}

/// What a reload has read.
struct Fresh {
    reloaded: Reloaded,
    /// Keys that wait for the next start.
    pending: Vec<String>,
    policy: Loaded,
    /// By what certificates are judged.
    ct: config::Ct,
}

impl Control {
    pub(crate) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// Carries out one request of the command line.
    pub(crate) async fn carry_out(&self, request: Request) -> Result<Response, Failure> {
        match request {
            Request::Status {} => Ok(Response::Status(Box::new(self.status().await))),
            Request::Stats {} => Ok(Response::Stats(Box::new(self.stats().await))),
            Request::Lookup {
                name,
                record_type,
                trace,
            } => {
                let lookup = self.0.lookups.look_up(&name, &record_type, trace).await?;
                Ok(Response::Lookup(Box::new(lookup)))
            }
            Request::CacheDump { name, cursor } => self.dump(name, cursor).await,
            Request::ResolverDump {
                name,
                subtree,
                cursor,
            } => self.dump_resolver(&name, subtree, cursor).await,
            Request::CacheFlush { name, subtree } => self.flush(name, subtree).await,
            Request::NegativeAnchorAdd {
                zone,
                lifetime_secs,
                reason,
            } => self.add_negative(&zone, lifetime_secs, reason).await,
            Request::NegativeAnchorRemove { zone } => self.remove_negative(&zone).await,
            Request::NegativeAnchorList {} => self.list_negative().await,
            Request::TrustAnchorList {} => self.list_trust().await,
            Request::ZoneList {} => Ok(Response::Zones {
                zones: self.zone_status().await?,
            }),
            Request::ZoneReload { name } => self.reload_zones(name).await,
            Request::Reload {} => self.reload().await,
            Request::Metrics {} => Ok(Response::Metrics {
                text: self.metrics().await,
            }),
            Request::CtStatus {} => {
                let (mesh, log) = self.log()?;
                Ok(Response::CtStatus(Box::new(log.status(mesh).await?)))
            }
            Request::CtCall { path, body } => {
                let (_, log) = self.log()?;
                Ok(Response::Ct(log.call(&path, body).await?))
            }
            Request::CertificateValidate(chain) => self.validate_certificate(chain).await,
            Request::CtMonitorStatus {} => self.ask_monitor(Asked::Status).await,
            Request::CtMonitorAlerts { cursor } => self.ask_monitor(Asked::Alerts { cursor }).await,
            Request::CtCertificates { name } => {
                self.ask_monitor(Asked::Certificates { name }).await
            }
            Request::Mesh(request) => match &self.0.mesh {
                Some(mesh) => mesh.carry_out(request).await,
                None => Err(alone()),
            },
        }
    }

    /// The certificate log, and the mesh that orders it.
    fn log(&self) -> Result<(&Mesh, &LogService), Failure> {
        let mesh = self.0.mesh.as_ref();
        mesh.and_then(|mesh| Some((mesh, mesh.log()?)))
            .ok_or_else(no_log)
    }

    async fn ask_monitor(&self, asked: Asked) -> Result<Response, Failure> {
        ct_monitor::carry_out(self.0.ct_monitor.clone(), asked).await
    }

    /// The way to the engine.
    pub(crate) fn engine(&self) -> &EngineHandle {
        &self.0.engine
    }

    /// The judge of certificates.
    pub(crate) fn judge(&self) -> &Judge {
        &self.0.judge
    }

    /// Whether the front thread makes its rounds.
    pub(crate) fn is_healthy(&self) -> bool {
        let alive_ms = self.0.state.alive_ms.load(Ordering::Relaxed);
        clock::now_ms().saturating_sub(alive_ms) < FRONT_SILENT_MS
    }

    /// Every metric in text form.
    pub(crate) async fn metrics(&self) -> String {
        let snapshot = Snapshot {
            counters: Arc::clone(&self.0.counters),
            engine: self.0.engine.statistics().await,
            region: self.region(),
            copies: self.0.copied.status(),
        };
        let mut others = match &self.0.mesh {
            Some(mesh) => mesh.collectors().await,
            None => Vec::new(),
        };
        if let Some(monitor) = self.0.ct_monitor.clone()
            && let Ok(metrics) = apart(move || monitor.metrics()).await
        {
            others.push(Box::new(metrics));
        }
        snapshot.to_text(others)
    }

    /// Reads the zones and the policy of the configuration, every file that these name and the local
    /// root again.
    pub(crate) async fn reload(&self) -> Result<Response, Failure> {
        let _alone = self.0.reloading.lock().await;
        let control = self.clone();
        let Fresh {
            reloaded,
            pending,
            policy,
            ct,
        } = apart(move || control.reload_blocking()).await??;
        let policy_changed = self.0.policy.replace(policy).await?;
        if policy_changed {
            tracing::info!("policy changed");
        }
        let warnings = [
            self.reload_local_root().await?,
            self.reload_materials(ct).await?,
        ];
        self.publish(&reloaded).await?;
        Ok(Response::ZonesReloaded {
            zones: reloaded.zones,
            pending,
            policy_changed,
            warnings: warnings.into_iter().flatten().collect(),
        })
    }

    /// Reads the file of the root zone again; gives why it is not taken. What is cached of the old one
    /// lives for its TTL.
    async fn reload_local_root(&self) -> Result<Option<String>, Failure> {
        let from = self.0.config.resolver.local_root.as_ref();
        let Some(file) = from.and_then(|from| from.file.clone()) else {
            return Ok(None);
        };
        let (file, read) = apart(move || {
            let read = local_root::read(&file);
            (file, read)
        })
        .await?;
        let engine = &self.0.engine;
        let installed =
            engine.with(move |resolver, now_ms| local_root::install(resolver, now_ms, &file, read));
        Ok(installed.await.and_then(Result::err))
    }

    fn reload_blocking(&self) -> Result<Fresh, Failure> {
        let inner = &self.0;
        let fresh = Config::load_or_default(inner.config_path.as_deref())
            .map_err(|error| Failure::new(FailureCode::Invalid, error.to_string()))?;
        let keys = access::read_keys(&fresh.tsig_keys)
            .map_err(|remark| Failure::new(FailureCode::Invalid, remark.to_string()))?;
        let read = inner.policy.read(&fresh);
        let mut policy =
            read.map_err(|error| Failure::new(FailureCode::Invalid, error.to_string()))?;
        policy::log(&policy.notes);
        let views = |config: &Config| config.resolver.shared_clients().views;
        if views(&fresh) != views(&inner.config) {
            // The dataplane still lets all others have what is kept.
            policy.policy.share_nothing();
        }
        let pending = pending_keys(&inner.config, &fresh);
        if !pending.is_empty() {
            let keys = pending.join(", ");
            tracing::warn!(
                keys,
                "changes outside of `zones` and of the policy take effect at the next start"
            );
        }
        let reloaded = inner.zones.reconfigure(fresh.zones, keys);
        log(&reloaded.zones);
        Ok(Fresh {
            reloaded,
            pending,
            policy,
            ct: fresh.ct,
        })
    }

    async fn reload_zones(&self, name: Option<String>) -> Result<Response, Failure> {
        let name = name.map(|name| absolute(&name));
        let zones = Arc::clone(&self.0.zones);
        let asked = name.clone();
        let reloaded = apart(move || zones.reload(asked.as_deref())).await?;
        let reloaded = reloaded.ok_or_else(|| {
            let name = name.unwrap_or_default();
            Failure::new(
                FailureCode::NotFound,
                format!("no zone {name} is configured"),
            )
        })?;
        log(&reloaded.zones);
        self.publish(&reloaded).await?;
        Ok(Response::ZonesReloaded {
            zones: reloaded.zones,
            pending: Vec::new(),
            policy_changed: false,
            warnings: Vec::new(),
        })
    }

    /// Makes old answers dead everywhere. The resolver forgets first, so that what it finds from
    /// its cache meanwhile dies with the generation. Generations are raised after the new data are
    /// in service, so that no answer from the old ones carries a new number. Returns when they are:
    /// whoever asks then gets new data.
    async fn publish(&self, reloaded: &Reloaded) -> Result<(), Failure> {
        let changed = reloaded.zones.iter().filter(|zone| zone.changed);
        let changed = changed.map(|zone| zone.name.clone()).collect();
        let redrawn = reloaded.redrawn.iter().cloned().collect();
        self.raise(&redrawn, &changed).await
    }

    /// The same, of zones by name; secondaries of those that changed are told then.
    pub(crate) async fn raise(
        &self,
        redrawn: &BTreeSet<String>,
        changed: &BTreeSet<String>,
    ) -> Result<(), Failure> {
        let engine = &self.0.engine;
        let names: Result<Vec<_>, _> = redrawn.iter().map(|name| parse_name(name)).collect();
        match names {
            Ok(names) if names.len() <= FLUSHES_MAX => {
                for name in names {
                    engine.flush(Some((name, true))).await;
                }
            }
            _ => {
                engine.flush(None).await;
            }
        }
        let redrawn = !redrawn.is_empty();
        let request = |done| front::Request::ZonesChanged { redrawn, done };
        tell_front(&self.0.front, request).await?;
        let zones = self.0.zones.shared().load_full();
        let changed = changed.iter().filter_map(|name| zones.find_name(name));
        changed.for_each(|served| self.0.notifier.tell(served));
        Ok(())
    }

    /// Has the secondaries of all zones told what there is.
    pub(crate) fn notify_all(&self) {
        let zones = self.0.zones.shared().load_full();
        zones.iter().for_each(|served| self.0.notifier.tell(served));
    }

    /// The zones in service.
    pub(crate) fn zones(&self) -> Arc<Zones> {
        Arc::clone(&self.0.zones)
    }

    /// What control counts.
    pub(crate) fn counters(&self) -> &Counters {
        &self.0.counters
    }

    fn region(&self) -> Option<Region> {
        self.0
            .state
            .region
            .load()
            .as_ref()
            .map(|region| Region::clone(region))
    }

    async fn zone_status(&self) -> Result<Vec<ZoneStatus>, Failure> {
        let generations = self.region().map(|region| region.generations());
        let zones = Arc::clone(&self.0.zones);
        apart(move || {
            zones.status(|number| {
                let generations = generations.as_ref();
                generations.map_or(0, |generations| generations.generation(number))
            })
        })
        .await
    }

    async fn status(&self) -> Status {
        let inner = &self.0;
        let engine = inner.engine.statistics().await;
        let now_ms = clock::now_ms();
        let mode = if Forwarded::new(&inner.config.resolver).holds_root() {
            ResolverMode::Forward
        } else {
            ResolverMode::Recurse
        };
        Status {
            control: ControlStatus {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                pid: std::process::id(),
                uptime_secs: now_ms.saturating_sub(inner.started_ms) / 1_000,
                listen: inner.listen.clone(),
                serving_udp: inner.counters.serving_udp.get() != 0,
                zones: inner.counters.zones.get(),
                resolver: ResolverStatus {
                    mode,
                    queries_in_flight: engine.questions,
                    upstreams: engine.upstreams,
                },
                copies: inner.copied.status(),
            },
            dataplane: self.region().and_then(|region| {
                let interface = inner.config.dataplane.interface.as_deref().unwrap_or("");
                DataplaneStatus::read(&region, interface, now_ms)
            }),
        }
    }

    async fn stats(&self) -> Stats {
        let now_ms = clock::now_ms();
        let mut stats = match self.region() {
            Some(region) => Stats::read(&region, now_ms),
            None => Stats {
                taken_at_ms: now_ms,
                workers: Vec::new(),
                control: BTreeMap::new(),
            },
        };
        for (row, value) in self.0.counters.rows() {
            let labels: Vec<_> = row
                .labels
                .iter()
                .map(|(name, text)| format!("{name}=\"{text}\""))
                .collect();
            let name = match labels.is_empty() {
                true => row.metric.to_owned(),
                false => format!("{}{{{}}}", row.metric, labels.join(",")),
            };
            stats.control.insert(name, value);
        }
        let engine = self.0.engine.statistics().await;
        for (metric, _, _, value) in resolver_rows(&engine) {
            stats.control.insert(metric.to_owned(), value);
        }
        stats
    }

    async fn dump(&self, name: Option<String>, cursor: u64) -> Result<Response, Failure> {
        let region = self.region().ok_or_else(unattached)?;
        let qname = name.map(|name| wire_name(&name)).transpose()?;
        // Each page is a walk through the whole table.
        let page = apart(move || page(&region, qname.as_deref(), cursor)).await?;
        Ok(Response::CachePage(page))
    }

    async fn dump_resolver(
        &self,
        name: &str,
        subtree: bool,
        cursor: u64,
    ) -> Result<Response, Failure> {
        let name = parse_name(name)?;
        let cursor = usize::try_from(cursor).unwrap_or(usize::MAX);
        let stopping = || Failure::new(FailureCode::Unavailable, "the resolver is stopping");
        let page = self.0.engine.dump(name, subtree, cursor).await;
        let (lines, next) = page.ok_or_else(stopping)?;
        // Records become text beside the runtime's only thread.
        let page = apart(move || resolver_page::describe(&lines, next)).await?;
        Ok(Response::ResolverPage(page))
    }

    async fn flush(&self, name: Option<String>, subtree: bool) -> Result<Response, Failure> {
        let parsed = name.as_deref().map(parse_name).transpose()?;
        let qname = name.as_deref().map(wire_name).transpose()?;
        // The resolver first: what it finds from now on is fresh.
        let records = self
            .0
            .engine
            .flush(parsed.map(|name| (name, subtree)))
            .await;
        let entries = self.forget(qname.map(|qname| (qname, subtree))).await?;
        tracing::info!(records, entries, "caches flushed");
        let records = records as u64;
        Ok(Response::CacheFlushed { entries, records })
    }

    /// Has the front thread and the workers forget a name in wire form (with all below it if true),
    /// or everything. Gives the answers that left the shared table.
    async fn forget(&self, name: Option<(Vec<u8>, bool)>) -> Result<u64, Failure> {
        let (done, entries) = oneshot::channel();
        let request = front::Request::Flush { name, done };
        self.0.front.insist(request).await.map_err(|Unheard| {
            let text = "the resolver's cache is flushed, but the front thread does not listen";
            Failure::new(FailureCode::Unavailable, text)
        })?;
        entries.await.map_err(|error| internal(&error))
    }
}

fn log(results: &[ZoneReloaded]) {
    for result in results {
        match &result.error {
            Some(error) => {
                tracing::error!(zone = result.name, "{error}; the old data stay in service")
            }
            None if result.serial.is_none() => {
                tracing::info!(zone = result.name, "zone no longer served")
            }
            None if result.changed => {
                tracing::info!(zone = result.name, serial = result.serial, "zone changed")
            }
            None => tracing::debug!(zone = result.name, serial = result.serial, "zone unchanged"),
        }
    }
}

/// Has the front thread make older answers dead. Returns when they are.
pub(crate) async fn tell_front(
    front: &FrontSender,
    request: impl FnOnce(oneshot::Sender<()>) -> front::Request,
) -> Result<(), Failure> {
    let (done, raised) = oneshot::channel();
    let heard = front.insist(request(done)).await;
    heard.map_err(|Unheard| {
        let text = "what is new is in service, but workers may still give older answers, since \
                    the front thread does not listen: reload again";
        Failure::new(FailureCode::Unavailable, text)
    })?;
    let _ = raised.await; // An error: the front thread stops, and so do we.
    Ok(())
}

/// Does what takes long beside the runtime's only thread, which has clients to serve.
pub(crate) async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| internal(&error))
}

/// Lower case, with the final dot.
fn absolute(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    if name.ends_with('.') {
        name
    } else {
        name + "."
    }
}

/// A name as it is typed; one without a final dot is absolute all the same.
pub(crate) fn parse_name(text: &str) -> Result<Name, Failure> {
    let mut name = Name::from_ascii(text).map_err(|error| {
        Failure::new(
            FailureCode::BadRequest,
            format!("`{text}` is no domain name: {error}"),
        )
    })?;
    name.set_fqdn(true);
    Ok(name)
}

/// Wire form, lower case.
fn wire_name(text: impl AsRef<str>) -> Result<Vec<u8>, Failure> {
    parse_name(text.as_ref()).map(|name| wire_name_of(&name))
}

/// Wire form, lower case.
pub(crate) fn wire_name_of(name: &Name) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in name.to_lowercase().iter() {
        wire.push(u8::try_from(label.len()).unwrap_or(0));
        wire.extend_from_slice(label);
    }
    wire.push(0);
    wire
}

pub(crate) fn internal(error: &dyn std::error::Error) -> Failure {
    Failure::new(FailureCode::Internal, error.to_string())
}

fn no_log() -> Failure {
    Failure::new(
        FailureCode::Unavailable,
        "this node has no part in a certificate log: ct.log_id names none",
    )
}

fn alone() -> Failure {
    let text = "this node stands alone: no consensus.members are configured";
    Failure::new(FailureCode::Unavailable, text)
}

fn unattached() -> Failure {
    Failure::new(FailureCode::Unavailable, "no dataplane is attached")
}
