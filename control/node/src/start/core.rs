//! The engine at the start, with what it must have before the first question: the policy and the copy of
//! the root zone.

use std::sync::Arc;

use config::Config;
use hickory_proto::rr::Name;
use tokio::runtime::Runtime;

use super::{StartError, engine, policy_keys, runtime};
use crate::admin::CopyPurpose;
use crate::copied::{CopiedZones, Prepared};
use crate::engine::{Engine, EngineHandle};
use crate::front::FrontSender;
use crate::local_root::{self, LocalRootKeeper};
use crate::policy::{self, PolicyError};
use crate::policy_service::{Loaded, PolicyService, Started};
use crate::transfer_key;

/// The engine with its policy and its copy of the root zone, and who keeps these.
pub(super) struct Core {
    pub(super) runtime: Runtime,
    pub(super) engine: Engine,
    pub(super) handle: EngineHandle,
    pub(super) copied: CopiedZones,
    pub(super) local_root: Option<LocalRootKeeper>,
    pub(super) policy: (PolicyService, Started),
    pub(super) policy_digest: u64,
}

impl Core {
    pub(super) fn new(config: &Config, front: &FrontSender) -> Result<Self, StartError> {
        let runtime = runtime()?;
        let (mut engine, handle) = engine(config, front.clone(), &runtime)?;
        let copied = CopiedZones::default();
        let local_root = begin_local_root(config, &mut engine, &handle, &copied)?;
        let (keys, data_dir) = (policy_keys()?, &config.node.data_dir);
        let loaded = Loaded::read(config, keys, data_dir, &[]).map_err(StartError::Policy)?;
        policy::log(&loaded.notes);
        let policy_digest = loaded.digest();
        let (fresh, started) = loaded.start(&copied);
        engine.change_policy(|policy| *policy = fresh);
        let (front, data_dir) = (front.clone(), data_dir.clone());
        let service = PolicyService::new(handle.clone(), front, keys, data_dir, copied.clone());
        Ok(Self {
            runtime,
            engine,
            handle,
            copied,
            local_root,
            policy: (service, started),
            policy_digest,
        })
    }
}

/// Puts the copy of the root zone in service; gives who keeps it, if it comes from other servers.
fn begin_local_root(
    config: &Config,
    engine: &mut Engine,
    handle: &EngineHandle,
    copied: &CopiedZones,
) -> Result<Option<LocalRootKeeper>, StartError> {
    let Some(from) = &config.resolver.local_root else {
        return Ok(None);
    };
    if let Some(file) = &from.file {
        let read = local_root::read(file);
        // Said in the log; the root servers know the same.
        let _ = engine.with(|resolver, now_ms| local_root::install(resolver, now_ms, file, read));
        return Ok(None);
    }
    let purpose = CopyPurpose::LocalRoot;
    let root = Name::root();
    let key = from.tsig.as_ref().map(transfer_key::read).transpose();
    let key = key.map_err(|remark| StartError::Policy(PolicyError::File(remark)))?;
    let data_dir = &config.node.data_dir;
    let prepared = Prepared::read(purpose, root, &from.primaries, key, data_dir);
    copied.set(purpose, &[Arc::clone(&prepared.copied)]);
    let mut keeper = LocalRootKeeper::new(handle.clone(), prepared);
    keeper.restore(engine);
    Ok(Some(keeper))
}
