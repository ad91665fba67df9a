//! [`Application`]: state of others that is kept in agreement beside the ledger's own, under a registered name.

use std::collections::BTreeMap;
use std::fmt;

use consensus::{ApplyContext, Digest, NodeId, RestoreError};

/// Most bytes of an application's name.
pub const NAME_BYTES_MAX: usize = 32;
/// Most bytes of an application's reply; what is longer is cut.
pub const APPLICATION_REPLY_BYTES_MAX: usize = 1024;
/// Most applications.
pub const APPLICATIONS_MAX: usize = 32;
/// Most bytes of an application's snapshot.
pub const APPLICATION_BYTES_MAX: usize = 1 << 30;

/// A deterministic state, as [`consensus::StateMachine`] describes it. All nodes, witnesses too, must have registered the same.
pub trait Application: fmt::Debug + Send + Sync {
    /// Whether bytes are a command. Must not depend on the state.
    fn is_well_formed(&self, command: &[u8]) -> bool;

    /// Executes a command of a member and returns a short reply.
    fn apply(&mut self, context: ApplyContext, client: NodeId, command: &[u8]) -> Vec<u8>;

    /// Digest of the state. Called at checkpoints.
    fn root(&mut self) -> Digest;

    /// The whole state.
    fn snapshot(&self) -> Vec<u8>;

    /// The same before its first command.
    fn fresh(&self) -> Box<dyn Application>;

    /// Replaces the whole state. Called on a fresh one, which is dropped if this fails.
    ///
    /// # Errors
    /// The bytes are no state.
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), RestoreError>;
}

/// Applications by name.
#[derive(Debug, Default)]
pub struct Applications(pub(crate) BTreeMap<Box<str>, Box<dyn Application>>);

impl Applications {
    /// Registers one. False, and nothing done, if the name is taken, empty, too long or no printable ASCII, or there are too many.
    pub fn register(&mut self, name: &str, application: Box<dyn Application>) -> bool {
        let is_name = (1..=NAME_BYTES_MAX).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_name || self.0.len() >= APPLICATIONS_MAX || self.0.contains_key(name) {
            return false;
        }
        self.0.insert(name.into(), application);
        true
    }

    /// The one of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&dyn Application> {
        self.0.get(name).map(|application| &**application)
    }

    /// The same before their first commands.
    pub(crate) fn fresh(&self) -> Self {
        let all = self.0.iter();
        let fresh = all.map(|(name, application)| (name.clone(), application.fresh()));
        Self(fresh.collect())
    }
}
