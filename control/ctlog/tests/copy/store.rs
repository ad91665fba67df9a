//! [`FaultyStore`]: a store in memory that fails, hangs or loses its reply at a chosen operation, and knows what was asked of it.

use std::fmt;
use std::path::Path as Folder;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt as _, PutMode, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result,
};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It fails, and nothing has happened.
    Fails,
    /// It has happened, and who asked is told that it failed.
    ReplyIsLost,
    /// Nothing happens, and nobody is told.
    Hangs,
    /// It writes nothing, whatever the condition, and reads.
    RefusesPuts,
}

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Operation {
    Get(String),
    Put(String),
    Delete(String),
}

/// Called before an object is written.
type Hook = Box<dyn FnMut(&InMemory, &Path) + Send>;

/// Clones are the same store.
#[derive(Default, Clone)]
pub(crate) struct FaultyStore {
    pub(crate) inner: Arc<InMemory>,
    asked: Arc<Mutex<Vec<Operation>>>,
    /// From this operation on, counted from 0.
    fault: Arc<Mutex<Option<(usize, Fault)>>>,
    hook: Arc<Mutex<Option<Hook>>>,
    ignores_conditions: Arc<AtomicBool>,
}

impl FaultyStore {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn fail_from(&self, operation: usize, fault: Fault) {
        *self.fault.lock().unwrap() = Some((operation, fault));
    }

    pub(crate) fn mend(&self) {
        *self.fault.lock().unwrap() = None;
    }

    /// `hook` runs before each object is written.
    pub(crate) fn before_puts(&self, hook: impl FnMut(&InMemory, &Path) + Send + 'static) {
        *self.hook.lock().unwrap() = Some(Box::new(hook));
    }

    /// It writes as if there were no conditions.
    pub(crate) fn ignore_conditions(&self) {
        self.ignores_conditions.store(true, Ordering::Relaxed);
    }

    /// What was asked since the last call.
    pub(crate) fn take_asked(&self) -> Vec<Operation> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    pub(crate) fn asked_count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    /// All paths below a prefix.
    pub(crate) async fn paths(&self) -> Vec<String> {
        let objects = self
            .inner
            .list(None)
            .map_ok(|meta| meta.location.to_string());
        objects.try_collect().await.unwrap()
    }

    pub(crate) async fn bytes(&self, path: &str) -> Vec<u8> {
        let found = self.inner.get(&Path::from(path)).await.unwrap();
        found.bytes().await.unwrap().to_vec()
    }

    pub(crate) async fn write(&self, path: &str, bytes: &[u8]) {
        let bytes = bytes.to_vec();
        self.inner
            .put(&Path::from(path), bytes.into())
            .await
            .unwrap();
    }

    /// All that is there, by path.
    pub(crate) async fn objects(&self) -> Vec<(String, Vec<u8>)> {
        let mut objects = Vec::new();
        for path in self.paths().await {
            let bytes = self.bytes(&path).await;
            objects.push((path, bytes));
        }
        objects
    }

    pub(crate) async fn restore(&self, objects: &[(String, Vec<u8>)]) {
        for (path, bytes) in objects {
            self.write(path, bytes).await;
        }
    }

    pub(crate) async fn clear(&self) {
        for path in self.paths().await {
            self.inner.delete(&Path::from(path)).await.unwrap();
        }
    }

    /// Writes what is below a prefix to a folder, for readers of folders.
    pub(crate) async fn dump(&self, prefix: &str, folder: &Folder) {
        for path in self.paths().await {
            let file = path.strip_prefix(prefix).unwrap().trim_start_matches('/');
            let file = folder.join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, self.bytes(&path).await).unwrap();
        }
    }

    /// Notes an operation, and says what goes wrong with it.
    fn ask(&self, operation: Operation) -> Option<Fault> {
        let mut asked = self.asked.lock().unwrap();
        let number = asked.len();
        asked.push(operation);
        let (from, fault) = (*self.fault.lock().unwrap())?;
        (number >= from).then_some(fault)
    }

    async fn perform<T>(
        &self,
        operation: Operation,
        act: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let failed = Error::Generic {
            store: "faulty",
            source: "out of order".into(),
        };
        let refused = match &operation {
            Operation::Put(path) => Some(Error::Precondition {
                path: path.clone(),
                source: "whatever it is".into(),
            }),
            Operation::Get(_) | Operation::Delete(_) => None,
        };
        match self.ask(operation) {
            None => act.await,
            Some(Fault::Fails) => Err(failed),
            Some(Fault::ReplyIsLost) => act.await.and(Err(failed)),
            Some(Fault::RefusesPuts) => match refused {
                Some(refused) => Err(refused),
                None => act.await,
            },
            Some(Fault::Hangs) => std::future::pending().await,
        }
    }
}

impl fmt::Debug for FaultyStore {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("FaultyStore")
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, out)
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(
        &self,
        path: &Path,
        payload: PutPayload,
        mut options: PutOptions,
    ) -> Result<PutResult> {
        if self.ignores_conditions.load(Ordering::Relaxed) {
            options.mode = PutMode::Overwrite;
        }
        let operation = Operation::Put(path.to_string());
        let put = async {
            if let Some(hook) = &mut *self.hook.lock().unwrap() {
                hook(&self.inner, path);
            }
            self.inner.put_opts(path, payload, options).await
        };
        self.perform(operation, put).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let operation = Operation::Get(path.to_string());
        let get = self.inner.get_opts(path, options);
        self.perform(operation, get).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let paths: Vec<Result<Path>> = futures_util::FutureExt::now_or_never(paths.collect())
            .expect("they are known when they are asked for");
        let asked = self.clone();
        let delete = move |path: Result<Path>| {
            let store = asked.clone();
            async move {
                let path = path?;
                let deleted = store.inner.delete(&path);
                let operation = Operation::Delete(path.to_string());
                store.perform(operation, deleted).await.map(|()| path)
            }
        };
        futures_util::stream::iter(paths).then(delete).boxed()
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        unreachable!("objects are small")
    }

    fn list(&self, _: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        unreachable!("a copy does not list")
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        unreachable!("a copy does not list")
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        unreachable!("a copy has all from the log")
    }
}
