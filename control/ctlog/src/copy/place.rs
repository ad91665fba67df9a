//! [`Place`]: a prefix in an object store, and what a copy does there.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use object_store::path::Path;
use object_store::{
    Attribute, Attributes, Error, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions,
    UpdateVersion,
};
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};

use super::CopyError;
use crate::outgoing::chain;
use crate::served::Served;

/// For one request and its reply.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes of all objects that are on their way to a store.
const BYTES_MAX: u32 = 32 << 20;

/// Of what a store says of a failure, which may be a page.
const ERROR_BYTES_MAX: usize = 512;

/// A version that no object has.
const NO_VERSION: &str = "\"00000000000000000000000000000000\"";

/// Where copies of shards are, each in a folder of its own.
pub struct Place {
    name: String,
    store: Arc<dyn ObjectStore>,
    prefix: String,
    interval: Duration,
    is_conditional: bool,
    /// Name of an object that no other node and no earlier process has written.
    probe: String,
    /// The store writes on condition.
    probed: OnceCell<()>,
    /// A permit is a byte.
    budget: Arc<Semaphore>,
}

/// A small object.
pub(super) struct Found {
    pub(super) bytes: Vec<u8>,
    pub(super) version: UpdateVersion,
}

/// What becomes of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Replaced {
    Done,
    /// Another node was there before.
    Overtaken,
}

impl Place {
    /// `name` is for people, and has no secrets. A shard gets a new checkpoint at most once in `interval`.
    #[must_use]
    pub fn new(
        name: String,
        store: Arc<dyn ObjectStore>,
        prefix: &str,
        interval: Duration,
    ) -> Self {
        Self {
            name,
            store,
            prefix: prefix.to_owned(),
            interval,
            is_conditional: true,
            probe: format!("condition-{:016x}", RandomState::new().hash_one(())),
            probed: OnceCell::new(),
            budget: Arc::new(Semaphore::new(BYTES_MAX as usize)),
        }
    }

    /// Of a store that cannot write on condition: only one node may write there.
    #[must_use]
    pub fn without_conditions(mut self) -> Self {
        self.is_conditional = false;
        self
    }

    /// For people.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn interval(&self) -> Duration {
        self.interval
    }

    /// A file of a shard, as an object.
    pub(super) fn path(&self, shard: &str, file: &str) -> Path {
        Path::from(format!("{}/{shard}/{file}", self.prefix))
    }

    /// An object of at most so many bytes. `None`: there is none.
    pub(super) async fn get(
        &self,
        path: &Path,
        bytes_max: u64,
    ) -> Result<Option<Found>, CopyError> {
        let read = async {
            let found = self.store.get(path).await?;
            if found.meta.size > bytes_max {
                return Ok(Err(found.meta.size));
            }
            let version = UpdateVersion {
                e_tag: found.meta.e_tag.clone(),
                version: found.meta.version.clone(),
            };
            let bytes = found.bytes().await?.to_vec();
            Ok(Ok(Found { bytes, version }))
        };
        match in_time(read).await {
            Ok(Ok(found)) => Ok(Some(found)),
            Ok(Err(size)) => Err(CopyError::Foreign {
                path: path.to_string(),
                reason: format!("it has {size} bytes"),
            }),
            Err(Failed::Store(Error::NotFound { .. })) => Ok(None),
            Err(failed) => Err(failed.at(path)),
        }
    }

    /// Whether there is such an object.
    pub(super) async fn has(&self, path: &Path) -> Result<bool, CopyError> {
        match in_time(self.store.head(path)).await {
            Ok(_) => Ok(true),
            Err(Failed::Store(Error::NotFound { .. })) => Ok(false),
            Err(failed) => Err(failed.at(path)),
        }
    }

    /// Finds out, once, whether the store heeds conditions. Some do not, and say nothing: an older checkpoint could then take
    /// the place of a newer one.
    pub(super) async fn check_conditions(&self) -> Result<(), CopyError> {
        if self.is_conditional {
            self.probed.get_or_try_init(|| self.probe()).await?;
        }
        Ok(())
    }

    async fn probe(&self) -> Result<(), CopyError> {
        let path = Path::from(format!("{}/{}", self.prefix, self.probe));
        let write = |before| self.replace(&path, b"probe".to_vec(), Served::CHECKPOINT, before);
        // Either way it is there now: it may have been since an attempt that broke off.
        write(None).await?;
        let other = UpdateVersion {
            e_tag: Some(NO_VERSION.to_owned()),
            version: None,
        };
        let mut heeds = true;
        for before in [None, Some(other)] {
            heeds &= write(before).await? == Replaced::Overtaken;
        }
        if let Err(error) = self.remove(&path).await {
            tracing::debug!(%error, "an object that was written to learn about the store stays there");
        }
        let path = path.to_string();
        heeds.then_some(()).ok_or(CopyError::Unconditional { path })
    }

    /// Waits until so many bytes more may be on their way, as long as the permit is held.
    pub(super) async fn admit(&self, bytes: usize) -> OwnedSemaphorePermit {
        let wanted = u32::try_from(bytes).unwrap_or(BYTES_MAX).min(BYTES_MAX);
        let permit = Arc::clone(&self.budget).acquire_many_owned(wanted).await;
        permit.unwrap_or_else(|_| unreachable!("nobody closes it"))
    }

    /// Writes an object that stays as it is, for whose bytes there is a permit.
    pub(super) async fn put(
        &self,
        path: &Path,
        bytes: Vec<u8>,
        served: Served,
        admitted: OwnedSemaphorePermit,
    ) -> Result<(), CopyError> {
        let options = options(served, PutMode::Overwrite);
        let put = self.store.put_opts(path, bytes.into(), options);
        let put = in_time(put).await;
        drop(admitted);
        put.map(drop).map_err(|failed| failed.at(path))
    }

    /// Writes an object in place of this version of it; of none, if there was none.
    pub(super) async fn replace(
        &self,
        path: &Path,
        bytes: Vec<u8>,
        served: Served,
        before: Option<UpdateVersion>,
    ) -> Result<Replaced, CopyError> {
        let mode = match before {
            _ if !self.is_conditional => PutMode::Overwrite,
            Some(version) => PutMode::Update(version),
            None => PutMode::Create,
        };
        let put = self
            .store
            .put_opts(path, bytes.into(), options(served, mode));
        match in_time(put).await {
            Ok(_) => Ok(Replaced::Done),
            Err(Failed::Store(Error::Precondition { .. } | Error::AlreadyExists { .. })) => {
                Ok(Replaced::Overtaken)
            }
            Err(failed) => Err(failed.at(path)),
        }
    }

    /// Removes an object, if it is there.
    pub(super) async fn remove(&self, path: &Path) -> Result<(), CopyError> {
        match in_time(self.store.delete(path)).await {
            Ok(()) | Err(Failed::Store(Error::NotFound { .. })) => Ok(()),
            Err(failed) => Err(failed.at(path)),
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Place({})", self.name)
    }
}

/// Why a request came to nothing.
enum Failed {
    Store(Error),
    Silent,
}

impl Failed {
    fn at(&self, path: &Path) -> CopyError {
        let path = path.to_string();
        match self {
            Self::Store(error) => CopyError::Store {
                path,
                error: cut(chain(error)),
            },
            Self::Silent => CopyError::Silent { path },
        }
    }
}

fn cut(mut text: String) -> String {
    if text.len() > ERROR_BYTES_MAX {
        text.truncate(text.floor_char_boundary(ERROR_BYTES_MAX));
        text.push('…');
    }
    text
}

async fn in_time<T>(request: impl Future<Output = object_store::Result<T>>) -> Result<T, Failed> {
    match tokio::time::timeout(PATIENCE, request).await {
        Ok(replied) => replied.map_err(Failed::Store),
        Err(_) => Err(Failed::Silent),
    }
}

fn options(served: Served, mode: PutMode) -> PutOptions {
    let attributes = Attributes::from_iter([
        (Attribute::ContentType, served.content_type),
        (Attribute::CacheControl, served.cache_control),
    ]);
    PutOptions {
        mode,
        attributes,
        ..PutOptions::default()
    }
}
