//! [`Known`]: what this node has heard from the ledger about the log, as far as submissions and readers need it.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use ct::{Hash, KeyName, Roots};
use ctlog::Validators;
use ctlog::http::Agreed;
use ledger::CtNews;
use tokio::sync::watch;

/// Issuers of which every node has the certificate, and what readers are told.
#[derive(Debug)]
pub(super) struct Known {
    log: KeyName,
    issuers: RwLock<BTreeSet<[u8; 32]>>,
    agreed: watch::Sender<Arc<Agreed>>,
}

impl Known {
    /// With the roots of this node's configuration.
    pub(super) fn new(log: KeyName, roots: Arc<Roots>) -> Self {
        let agreed = Agreed {
            roots,
            ..Agreed::default()
        };
        Self {
            log,
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
                let validators = Validators::new(&self.log, &keys, validators.quorum);
                self.agreed.send_modify(|agreed| {
                    *agreed = Arc::new(Agreed {
                        roots: Arc::clone(&agreed.roots),
                        validators: Arc::new(validators),
                    });
                });
            }
            _ => {}
        }
    }
}
