//! Requests to a router, without a socket.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use ct::{Shard, Submission};
use ctlog::http::{Faces, Limits, router};
use ctlog::{Sequencer, Submitted};
use data_encoding::BASE64;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

use crate::lone::{KEYLESS, Lone};
use crate::pki::{self, Authority};

/// Before the names of shards.
pub(crate) const ORIGIN: &str = "log.example";

/// A log with an authority that it accepts.
pub(crate) struct Bench {
    pub(crate) log: Lone,
    pub(crate) root: Authority,
    pub(crate) folder: TempDir,
    pub(crate) router: Router,
}

/// A reply, read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// Runs a test that asks.
pub(crate) fn run(test: impl Future<Output = ()>) {
    runtime().block_on(test);
}

pub(crate) fn runtime() -> Runtime {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap()
}

/// Shards for what [`pki::leaf`] makes, and after it.
pub(crate) fn shards() -> [Shard; 3] {
    let midnight = ct::unix_midnight;
    let shard = |name: &str, start, end| Shard {
        name: name.to_owned(),
        start,
        end,
    };
    [
        shard("2026h2", midnight(2026, 7, 1), midnight(2027, 1, 1)),
        shard("2027h1", midnight(2027, 1, 1), midnight(2027, 7, 1)),
        shard(KEYLESS, midnight(2027, 7, 1), midnight(2028, 1, 1)),
    ]
}

impl Bench {
    /// That orders by itself.
    pub(crate) async fn new() -> Self {
        Self::with(Limits::default(), |log| log.orders.clone()).await
    }

    pub(crate) async fn with(
        limits: Limits,
        sequencer: impl Fn(&Lone) -> Arc<dyn Sequencer>,
    ) -> Self {
        Self::with_shards(&shards(), limits, sequencer).await
    }

    pub(crate) async fn with_shards(
        shards: &[Shard],
        limits: Limits,
        sequencer: impl Fn(&Lone) -> Arc<dyn Sequencer>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = Authority::root("root");
        let roots = pki::roots(&[&root]);
        let log = Lone::start(folder.path(), ORIGIN, shards, roots);
        for shard in shards.iter().filter(|shard| shard.name != KEYLESS) {
            log.wait_for_size(&shard.name, 0).await;
        }
        let faces: Faces = log.faces(sequencer(&log), limits);
        Self {
            router: router(Arc::new(faces)),
            log,
            root,
            folder,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        ask(&self.router, Request::get(path), Body::empty()).await
    }

    /// The JSON of a reply that must be one.
    pub(crate) async fn json(&self, path: &str) -> Value {
        let reply = self.get(path).await;
        assert_eq!(reply.status, StatusCode::OK, "{path}: {reply:?}");
        reply.json()
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<Body>) -> Reply {
        ask(&self.router, Request::post(path), body.into()).await
    }

    /// A chain to the shard that takes it.
    pub(crate) async fn submit(&self, submission: Submission, chain: &[&[u8]]) -> Reply {
        let call = match submission {
            Submission::Certificate => "add-chain",
            Submission::Precertificate => "add-pre-chain",
        };
        self.post(&format!("/2026h2/ct/v1/{call}"), chain_json(chain))
            .await
    }

    /// Entries without HTTP: `count` certificates below the root. Until they are published.
    pub(crate) async fn fill(&self, count: u64) {
        self.fill_from(0, count).await;
    }

    /// The same, if `first` are there.
    pub(crate) async fn fill_from(&self, first: u64, count: u64) {
        for number in first..count {
            let mut params = pki::leaf();
            params.serial_number = Some(number.into());
            let der = self.root.issue(&params);
            let accepted = pki::check(
                &self.log.agreed.borrow().roots,
                Submission::Certificate,
                &[der],
            );
            let accepted = accepted.unwrap();
            let submitted = Submitted {
                entry: accepted.entry,
                issuers: accepted.issuers,
            };
            let place = self.log.orders.submit("2026h2".into(), submitted).await;
            assert_eq!(place.unwrap().index, number);
        }
        self.log.wait_for_size("2026h2", count).await;
    }
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.headers["content-type"], "application/json");
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }

    /// The reason of a refusal, whose form is checked.
    pub(crate) fn reason(&self) -> String {
        let json = self.json();
        assert_eq!(json["success"], false, "{json}");
        assert_eq!(json.as_object().unwrap().len(), 2);
        json["error_message"].as_str().unwrap().to_owned()
    }
}

/// Body of add-chain.
pub(crate) fn chain_json(chain: &[&[u8]]) -> String {
    let chain = chain.iter().map(|der| BASE64.encode(der));
    json!({ "chain": chain.collect::<Vec<_>>() }).to_string()
}

/// The bytes of base64 in JSON.
pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    BASE64.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

pub(crate) async fn ask(
    router: &Router,
    request: axum::http::request::Builder,
    body: Body,
) -> Reply {
    let request = request.body(body).unwrap();
    let reply = router.clone().oneshot(request).await.unwrap();
    let (head, body) = reply.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    Reply {
        status: head.status,
        headers: head.headers,
        body: body.to_vec(),
    }
}
