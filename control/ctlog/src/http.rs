//! What clients of the log see over HTTP: `static-ct-api` and RFC 6962 for each shard, and what stands beside them.
//!
//! Reads come from what is published ([`crate::ShardReader`]), submissions go to the [`crate::Sequencer`] and get their timestamp once a
//! published head covers them. Nothing here decides what is in the log. TLS is left to a reverse proxy. Start at [`router`].

mod clients;
mod faces;
mod listing;
mod meter;
mod query;
mod refusal;
mod rfc6962;
mod server;
mod static_ct;
mod submit;
mod witness;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};

pub use faces::{Agreed, Faces, Limits, Operator, Scheme};
pub use meter::Meter;
pub use server::{Bounded, Client, serve};

use meter::Call;
use refusal::Refusal;

/// All paths of the log.
///
/// | path | what |
/// |---|---|
/// | `/<shard>/checkpoint`, `tile/…`, `issuer/…` | static-ct-api |
/// | `/<shard>/ct/v1/…` | RFC 6962 §4 |
/// | `/api/v1/ct/…?shard=` | the same; without `shard`, that of today, and for a submission the one that takes it |
/// | `/<shard>/policy` | whose cosignatures a checkpoint needs (tlog-policy) |
/// | `/<shard>/witnessed-checkpoint` | the newest checkpoint that an outside witness has cosigned |
/// | `/witness/add-checkpoint` | tlog-witness, if this node is a witness of other logs |
/// | `/`, `/log-list.json` | the shards, for people and in Chrome's form |
pub fn router(faces: Arc<Faces>) -> Router {
    let mut router = Router::new();
    for (path, call, method) in routes() {
        let state = (Arc::clone(&faces), call);
        let measured = method.layer(middleware::from_fn_with_state(state, measure));
        router = router.route(&path, measured);
    }
    router
        .fallback(no_such_path)
        .method_not_allowed_fallback(wrong_method)
        .with_state(faces)
}

fn routes() -> Vec<(String, Call, MethodRouter<Arc<Faces>>)> {
    let mut routes: Vec<_> = [
        ("/", Call::Index, get(listing::index)),
        ("/log-list.json", Call::LogList, get(listing::log_list)),
        ("/{shard}/policy", Call::Policy, get(listing::policy)),
        (
            "/{shard}/checkpoint",
            Call::Checkpoint,
            get(static_ct::checkpoint),
        ),
        (
            "/{shard}/witnessed-checkpoint",
            Call::WitnessedCheckpoint,
            get(static_ct::witnessed_checkpoint),
        ),
        ("/{shard}/tile/{*tile}", Call::Tile, get(static_ct::tile)),
        (
            "/{shard}/issuer/{fingerprint}",
            Call::Issuer,
            get(static_ct::issuer),
        ),
        (
            "/witness/add-checkpoint",
            Call::AddCheckpoint,
            post(witness::add_checkpoint),
        ),
    ]
    .into_iter()
    .map(|(path, call, method)| (path.to_owned(), call, method))
    .collect();
    for (call, method) in [
        (Call::AddChain, post(submit::add_chain)),
        (Call::AddPreChain, post(submit::add_pre_chain)),
        (Call::GetSth, get(rfc6962::get_sth)),
        (Call::GetSthConsistency, get(rfc6962::get_sth_consistency)),
        (Call::GetProofByHash, get(rfc6962::get_proof_by_hash)),
        (Call::GetEntries, get(rfc6962::get_entries)),
        (Call::GetRoots, get(rfc6962::get_roots)),
        (Call::GetEntryAndProof, get(rfc6962::get_entry_and_proof)),
    ] {
        let name = call.name();
        routes.push((format!("/{{shard}}/ct/v1/{name}"), call, method.clone()));
        routes.push((format!("/api/v1/ct/{name}"), call, method));
    }
    routes
}

/// Counts and times one kind of call.
async fn measure(
    State((faces, call)): State<(Arc<Faces>, Call)>,
    request: Request,
    next: Next,
) -> Response {
    let began = std::time::Instant::now();
    let response = next.run(request).await;
    faces.meter.record(call, response.status(), began.elapsed());
    response
}

async fn no_such_path(uri: Uri) -> Refusal {
    Refusal::not_found(format_args!("nothing is at {}", uri.path()))
}

async fn wrong_method() -> Refusal {
    Refusal::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "not the method of this call",
    )
}
