//! The cluster's Certificate Transparency log at this node: what ties [`ctlog`] to the mesh.
//!
//! What the ledger decides goes to the log ([`LogNews`]), what the log says to its peers goes by the mesh (`files.rs`),
//! submissions become commands (`sequencer.rs`), and what the configuration wants is asked of the members (`agree.rs`).
//! Readers are served on a thread of their own. Start at [`Setup::read`], then [`Setup::begin`].

mod agree;
mod call;
mod copies;
mod files;
mod known;
mod message;
mod outsiders;
mod sequencer;
mod status;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use config::Config;
use consensus::{ClusterId, Digest, NodeId};
use ct::{Hash, KeyName, LogKey, Roots, Shard, unix_midnight};
use ctlog::copy::{Copies, Place};
use ctlog::http::{Faces, Limits, Operator, Scheme};
use ctlog::witness::{OutsideLog, OutsideWitness, Outsiders, Witness};
use ctlog::{
    Decided, Log, LogError, LogHandle, Settings, ShardReader, ShardSettings, ShardSpec, Stopped,
};
use ledger::{CtCosignerKey, CtNews, CtShard};
use tokio::runtime::Runtime;
use tokio::sync::watch;

pub(crate) use self::files::LogMessages;

use self::agree::Wishes;
use self::files::{PeerFiles, PeerLogs};
use self::known::Known;
use self::sequencer::LedgerSequencer;
use crate::mesh::{Mesh, Network};

/// For the readers of this node to be answered, when we end.
const FAREWELL: Duration = Duration::from_secs(1);

/// Why a node cannot run its log. Each is for the operator to mend.
#[derive(Debug, thiserror::Error)]
pub enum LogSetupError {
    /// A file of the configuration cannot be used.
    #[error("{key}: {path}: {message}")]
    File {
        /// Of the configuration.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A value of the configuration cannot be used.
    #[error("{key}: {message}")]
    Value {
        /// Of the configuration.
        key: String,
        /// What is wrong with it.
        message: String,
    },
    /// Its address cannot be listened on.
    #[error("cannot listen on {address} (ct.listen): {error}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// Its files or keys cannot be used.
    #[error("certificate log: {0}")]
    Log(#[from] LogError),
    /// The system has no thread for it.
    #[error("certificate log: {0}")]
    Resources(#[from] io::Error),
}

/// A shard as this node's configuration has it.
#[derive(Debug)]
pub(crate) struct ShardWish {
    settings: ShardSettings,
    agreed: CtShard,
    log_id: Hash,
    start: config::Day,
    end: config::Day,
    is_closed: bool,
}

/// What a node needs for its part in the log, read and checked.
#[derive(Debug)]
pub(crate) struct Setup {
    name: KeyName,
    shards: Vec<ShardWish>,
    roots: Arc<Roots>,
    folder: PathBuf,
    publish_gap: Duration,
    folder_gap: Duration,
    refresh: Duration,
    listener: Option<std::net::TcpListener>,
    reach: Reach,
    witnesses: Vec<OutsideWitness>,
    witnessed_logs: Vec<OutsideLog>,
    copies: Vec<Place>,
}

/// How clients come, and whom they may complain to.
#[derive(Debug, Clone)]
struct Reach {
    scheme: Scheme,
    proxies: Vec<IpAddr>,
    email: Vec<String>,
    /// A head that is older shows that this node has no quorum: clients had better ask another.
    head_age_max: Duration,
}

/// At least what clients are promised.
const HEAD_AGE_MAX: Duration = Duration::from_secs(60);

impl Setup {
    /// Reads what the configuration names, and takes the address. `None`: this node has no part in a log.
    ///
    /// # Errors
    /// What the operator has to mend.
    pub(crate) fn read(config: &Config) -> Result<Option<Self>, LogSetupError> {
        let from = &config.ct;
        let (Some(log_id), Some(roots)) = (&from.log_id, &from.roots) else {
            return Ok(None);
        };
        let shards = from.shards.iter().enumerate();
        let shards = shards.map(|(index, shard)| read_shard(log_id, index, shard));
        Ok(Some(Self {
            name: key_name("ct.log_id", log_id)?,
            shards: shards.collect::<Result<_, _>>()?,
            roots: Arc::new(read_roots(roots)?),
            folder: config.node.data_dir.join(&from.folder),
            publish_gap: Duration::from_millis(from.publish_interval_ms.into()),
            folder_gap: Duration::from_millis(from.folder_interval_ms.into()),
            refresh: Duration::from_secs(from.refresh_secs.into()),
            listener: from.listen.map(listen).transpose()?,
            reach: Reach {
                scheme: match from.https {
                    true => Scheme::Https,
                    false => Scheme::Http,
                },
                proxies: from.proxies.clone(),
                email: from.email.clone(),
                head_age_max: HEAD_AGE_MAX
                    .max(Duration::from_secs(u64::from(from.refresh_secs) * 3)),
            },
            witnesses: outsiders::read_witnesses(&from.witnesses)?,
            witnessed_logs: outsiders::read_logs(&from.witnessed_logs)?,
            copies: copies::read(&from.copies)?,
        }))
    }

    /// Opens the log and takes the ways to and from its peers.
    ///
    /// # Errors
    /// Its files or keys cannot be used.
    pub(crate) fn begin(
        self,
        (cluster, node): (ClusterId, NodeId),
        network: &Arc<Network>,
    ) -> Result<Begun, LogSetupError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let files = Arc::new(PeerFiles::new(Arc::clone(network)));
        let shards = self.shards.iter().map(|shard| shard.settings.clone());
        let settings = Settings {
            name: self.name.clone(),
            node: node.to_string(),
            shards: shards.collect(),
            folder: self.folder.join("public"),
            state_folder: self.folder.join("state"),
            publish_gap: self.publish_gap,
            folder_gap: self.folder_gap,
            // Who reads the folder has as long as who reads this node.
            partial_keep: Settings::PARTIAL_KEEP + self.folder_gap,
            mesh: Arc::new(PeerLogs(Arc::clone(&files))),
            runtime: runtime.handle().clone(),
        };
        let (witness, outsiders) = (self.open_witness(&node.to_string())?, self.outsiders()?);
        let (handle, log_thread) = Log::start(&settings)?;
        let own: Vec<_> = self
            .shards
            .iter()
            .map(|shard| shard.agreed.clone())
            .collect();
        let known = Known::new(self.name.clone(), Arc::clone(&self.roots), &own);
        let known = Arc::new(known);
        let (messages, peers_thread) = files.start(&handle)?;
        let copies = Copies::new(self.copies, readers_of(&handle));
        let wishes = Wishes {
            node,
            cosigner: CtCosignerKey {
                key: *handle.cosigner().key(),
                proof: handle.prove_key(&CtCosignerKey::statement(cluster, node)),
            },
            roots: Digest(self.roots.digest().0),
            shards: self.shards,
            refresh: self.refresh,
        };
        Ok(Begun {
            news: LogNews {
                handle: handle.clone(),
                known: Arc::clone(&known),
            },
            handle,
            known,
            wishes: Arc::new(wishes),
            roots: self.roots,
            name: self.name,
            listener: self.listener,
            reach: self.reach,
            witness,
            outsiders,
            copies,
            runtime,
            messages,
            log_thread,
            peers_thread,
        })
    }
}

fn read_shard(
    log_id: &str,
    index: usize,
    shard: &config::CtShard,
) -> Result<ShardWish, LogSetupError> {
    let bad = |key: &str, error: &dyn fmt::Display| LogSetupError::Value {
        key: format!("ct.shards[{index}].{key}"),
        message: error.to_string(),
    };
    let second_of = |day: config::Day| unix_midnight(day.year, day.month, day.day);
    let window = Shard {
        name: shard.name.clone(),
        start: second_of(shard.start),
        end: second_of(shard.end),
    };
    let origin = format!("{log_id}/{}", shard.name);
    let key = LogKey::new(&shard.public_key.0).map_err(|error| bad("public_key", &error))?;
    let agreed = CtShard {
        name: shard.name.as_str().into(),
        origin: origin.as_str().into(),
        start: window.start,
        end: window.end,
        spki: shard.public_key.0.as_slice().into(),
    };
    let spec = ShardSpec {
        window,
        origin: key_name("ct.log_id", &origin)?,
        key,
    };
    Ok(ShardWish {
        agreed,
        log_id: spec.key.id(),
        settings: ShardSettings {
            spec,
            key_file: shard.key_file.clone(),
        },
        start: shard.start,
        end: shard.end,
        is_closed: shard.closed,
    })
}

fn key_name(key: &str, text: &str) -> Result<KeyName, LogSetupError> {
    KeyName::new(text).ok_or_else(|| LogSetupError::Value {
        key: key.to_owned(),
        message: format!("`{text}` cannot be the name of a key in a signed note"),
    })
}

fn read_roots(path: &std::path::Path) -> Result<Roots, LogSetupError> {
    let bad = |message: String| LogSetupError::File {
        key: "ct.roots",
        path: path.to_owned(),
        message,
    };
    let text = std::fs::read(path).map_err(|error| bad(error.to_string()))?;
    match Roots::from_pem(&text) {
        Ok(roots) if roots.count() == 0 => Err(bad("expected certificates in PEM".to_owned())),
        Ok(roots) => Ok(roots),
        Err(error) => Err(bad(error.to_string())),
    }
}

fn listen(address: SocketAddr) -> Result<std::net::TcpListener, LogSetupError> {
    let listener = std::net::TcpListener::bind(address);
    let listener = listener.and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    listener.map_err(|error| LogSetupError::Listen { address, error })
}

/// Takes what the ledger says to the log. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct LogNews {
    handle: LogHandle,
    known: Arc<Known>,
}

impl LogNews {
    /// In the ledger's order, from one thread. Waits if the log is far behind.
    pub(crate) fn say(&self, news: Vec<CtNews>) {
        news.iter().for_each(|news| self.known.hear(news));
        let decided = news.into_iter().filter_map(Decided::of);
        let concerns_us = |decided: &Decided| {
            !shard_of(decided).is_some_and(|shard| self.known.is_contradicted(shard))
        };
        let decided: Vec<_> = decided.filter(concerns_us).collect();
        if let Err(Stopped) = self.handle.decide(decided) {
            // What is decided comes again after a start.
            self.known.note_stopped();
        }
    }

    /// Makes durable all that was said.
    ///
    /// # Errors
    /// The log has stopped; the cluster's history must be kept for it.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.handle.sync().map_err(io::Error::from)
    }
}

fn shard_of(decided: &Decided) -> Option<&str> {
    match decided {
        Decided::Appended(appended) => Some(&appended.shard),
        Decided::Head { shard, .. } | Decided::Restored { shard, .. } => Some(shard),
        Decided::Issuers(_) | Decided::Validators { .. } => None,
    }
}

/// A log that hears and keeps, and serves nobody yet.
pub(crate) struct Begun {
    pub(crate) news: LogNews,
    pub(crate) messages: LogMessages,
    handle: LogHandle,
    known: Arc<Known>,
    wishes: Arc<Wishes>,
    roots: Arc<Roots>,
    name: KeyName,
    listener: Option<std::net::TcpListener>,
    reach: Reach,
    witness: Option<Arc<Witness>>,
    outsiders: Option<Outsiders>,
    copies: Copies,
    runtime: Runtime,
    log_thread: JoinHandle<Result<(), LogError>>,
    peers_thread: JoinHandle<()>,
}

impl Begun {
    /// Takes submissions, and serves readers.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub(crate) fn serve(self, mesh: &Mesh) -> Result<(LogService, LogThreads), LogSetupError> {
        let runtime = self.runtime;
        let sequencer = LedgerSequencer::start(
            mesh.clone(),
            runtime.handle(),
            self.known.clone(),
            &self.roots,
        );
        let faces = faces(
            (&self.handle, &self.known),
            (self.name.clone(), self.reach),
            sequencer,
            (self.witness, self.outsiders.clone()),
        );
        let service = LogService {
            handle: self.handle.clone(),
            faces: Arc::clone(&faces),
            wishes: Arc::clone(&self.wishes),
            name: self.name,
            outsiders: self.outsiders.clone(),
            copies: self.copies.clone(),
            known: self.known,
        };
        let readers = readers_of(&self.handle);
        let outsiders = self.outsiders;
        let (stop, mut stopped) = watch::channel(false);
        let copy_thread = copies::start(self.copies, stopped.clone())?;
        let (wishes, mesh, listener) = (self.wishes, mesh.clone(), self.listener);
        let serve_thread = thread::Builder::new()
            .name("ct-serve".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::spawn(Arc::clone(&wishes).pursue(mesh.clone()));
                    tokio::spawn(wishes.refresh(mesh));
                    for (outsiders, reader) in outsiders.iter().cycle().zip(readers) {
                        tokio::spawn(outsiders.clone().follow(reader));
                    }
                    let stopping = stopped.clone();
                    let serving = listener.map(|listener| serve(listener, faces, stopping));
                    let serving = serving.map(tokio::spawn);
                    let _ = stopped.changed().await;
                    if let Some(serving) = serving {
                        let _ = tokio::time::timeout(FAREWELL, serving).await;
                    }
                });
            })?;
        let threads = LogThreads {
            handle: self.handle,
            messages: self.messages,
            stop,
            log: self.log_thread,
            others: vec![self.peers_thread, serve_thread, copy_thread],
        };
        Ok((service, threads))
    }
}

fn readers_of(handle: &LogHandle) -> Vec<ShardReader> {
    let readers = handle.readers().map(|(_, reader)| reader.clone());
    readers.collect()
}

/// What clients see.
fn faces(
    (handle, known): (&LogHandle, &Known),
    (name, reach): (KeyName, Reach),
    sequencer: LedgerSequencer,
    (witness, outsiders): (Option<Arc<Witness>>, Option<Outsiders>),
) -> Arc<Faces> {
    let operator = Operator {
        name: name.as_str().to_owned(),
        email: reach.email,
    };
    let sequencer = Arc::new(sequencer);
    let limits = Limits {
        proxies: reach.proxies,
        head_age_max: reach.head_age_max,
        ..Limits::default()
    };
    let faces = Faces::new(readers_of(handle), known.agreed(), sequencer, operator);
    let mut faces = faces.with_scheme(reach.scheme).with_limits(limits);
    if let Some(witness) = witness {
        faces = faces.with_witness(witness);
    }
    if let Some(outsiders) = outsiders {
        faces = faces.with_outsiders(outsiders);
    }
    Arc::new(faces)
}

async fn serve(
    listener: std::net::TcpListener,
    faces: Arc<Faces>,
    mut stopped: watch::Receiver<bool>,
) {
    let served = async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let stop = async move {
            let _ = stopped.changed().await; // Its sender is gone: the same.
        };
        ctlog::http::serve(listener, faces, stop).await
    };
    if let Err(error) = served.await {
        tracing::error!(%error, "certificate log: no longer served");
    }
}

/// What the rest of the node may ask of the log.
#[derive(Clone, Debug)]
pub(crate) struct LogService {
    handle: LogHandle,
    faces: Arc<Faces>,
    wishes: Arc<Wishes>,
    name: KeyName,
    outsiders: Option<Outsiders>,
    copies: Copies,
    known: Arc<Known>,
}

/// Its threads.
#[derive(Debug)]
pub(crate) struct LogThreads {
    handle: LogHandle,
    messages: LogMessages,
    stop: watch::Sender<bool>,
    log: JoinHandle<Result<(), LogError>>,
    others: Vec<JoinHandle<()>>,
}

impl LogThreads {
    /// Ends them; what was decided is durable then. After the mesh's, from which news come.
    pub(crate) fn stop(self) {
        // First the log: it fetches by the runtime that serves.
        self.handle.stop();
        // What it says was logged when it happened.
        let mut is_sound = self.log.join().is_ok();
        self.messages.stop();
        let _ = self.stop.send(true);
        for thread in self.others {
            is_sound &= thread.join().is_ok();
        }
        if !is_sound {
            tracing::error!("certificate log: a thread has panicked");
        }
    }
}
