//! [`Known`]: what this node has heard from the ledger about the log, as far as submissions and readers need it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use ct::{Hash, KeyName, Roots};
use ctlog::Validators;
use ctlog::http::Agreed;
use ledger::{CtNews, CtShard, CtShardState};
use tokio::sync::watch;

/// Issuers of which every node has the certificate, and what readers are told.
#[derive(Debug)]
pub(super) struct Known {
    log: KeyName,
    /// The shards of this node's configuration.
    own: BTreeMap<Arc<str>, CtShard>,
    /// Those of them of which the members have agreed on something else.
    contradicted: RwLock<BTreeSet<Arc<str>>>,
    has_stopped: AtomicBool,
    issuers: RwLock<BTreeSet<[u8; 32]>>,
    agreed: watch::Sender<Arc<Agreed>>,
}

impl Known {
    /// With roots and shards of this node's configuration.
    pub(super) fn new(log: KeyName, roots: Arc<Roots>, shards: &[CtShard]) -> Self {
        let own = shards
            .iter()
            .map(|shard| (Arc::clone(&shard.name), shard.clone()));
        let agreed = Agreed {
            roots,
            ..Agreed::default()
        };
        Self {
            log,
            own: own.collect(),
            contradicted: RwLock::default(),
            has_stopped: AtomicBool::new(false),
            issuers: RwLock::default(),
            agreed: watch::Sender::new(Arc::new(agreed)),
        }
    }

    /// For whoever serves readers.
    pub(super) fn agreed(&self) -> watch::Receiver<Arc<Agreed>> {
        self.agreed.subscribe()
    }

    pub(super) fn has_issuer(&self, id: &[u8; 32]) -> bool {
        let issuers = self.issuers.read();
        issuers.unwrap_or_else(PoisonError::into_inner).contains(id)
    }

    /// Whether the members have agreed on another shard of this name than this node's. Nothing is done for that.
    pub(super) fn is_contradicted(&self, shard: &str) -> bool {
        let contradicted = self.contradicted.read();
        contradicted
            .unwrap_or_else(PoisonError::into_inner)
            .contains(shard)
    }

    /// The log's thread has ended by itself.
    pub(super) fn note_stopped(&self) {
        if !self.has_stopped.swap(true, Ordering::Relaxed) {
            tracing::error!("certificate log: it has stopped; see above for why");
        }
    }

    pub(super) fn has_stopped(&self) -> bool {
        self.has_stopped.load(Ordering::Relaxed)
    }

    fn hear_shard(&self, state: &CtShardState) {
        let name = &state.shard.name;
        let is_ours = self.own.get(name).is_none_or(|own| *own == state.shard);
        if !is_ours {
            tracing::error!(shard = %name, "certificate log: the members have agreed on another window, origin or key: this node does nothing for it");
            let contradicted = self.contradicted.write();
            let mut contradicted = contradicted.unwrap_or_else(PoisonError::into_inner);
            contradicted.insert(Arc::clone(name));
        }
        if state.is_closed {
            self.agreed.send_modify(|agreed| {
                let mut changed = Agreed::clone(agreed);
                changed.closed.insert(Arc::clone(name));
                *agreed = Arc::new(changed);
            });
        }
    }

    /// Takes what the ledger says.
    pub(super) fn hear(&self, news: &CtNews) {
        match news {
            CtNews::Issuers(all) => {
                let issuers = self.issuers.write();
                let mut issuers = issuers.unwrap_or_else(PoisonError::into_inner);
                issuers.extend(all.iter().map(|der| Hash::of(der).0));
            }
            CtNews::Validators(validators) => {
                let keys = validators.keys.iter();
                let keys: Vec<_> = keys.map(|(node, key)| (node.to_string(), *key)).collect();
                let (quorum, faults_max) = (validators.quorum, validators.faults_max);
                let validators = Validators::new(&self.log, &keys, quorum, faults_max);
                self.agreed.send_modify(|agreed| {
                    let mut changed = Agreed::clone(agreed);
                    changed.validators = Arc::new(validators);
                    *agreed = Arc::new(changed);
                });
            }
            CtNews::Shard(state) => self.hear_shard(state),
            CtNews::Appended { .. } | CtNews::Head { .. } | CtNews::Roots(_) => {}
        }
    }
}
