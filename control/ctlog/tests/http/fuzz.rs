//! Whatever is sent, there is a reply: none is a failure of ours, and each refusal has its reason.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, Uri};
use ctlog::http::{Limits, router};

use crate::asking::{Bench, Reply, ask, runtime};

const CALLS: [&str; 16] = [
    "/2026h2/checkpoint",
    "/2026h2/policy",
    "/2026h2/tile/",
    "/2026h2/tile/0/",
    "/2026h2/tile/data/",
    "/2026h2/issuer/",
    "/2026h2/ct/v1/add-chain",
    "/2026h2/ct/v1/add-pre-chain",
    "/2026h2/ct/v1/get-sth-consistency?first=",
    "/2026h2/ct/v1/get-proof-by-hash?tree_size=1&hash=",
    "/2026h2/ct/v1/get-entries?start=0&end=",
    "/2026h2/ct/v1/get-entries?end=",
    "/2026h2/ct/v1/get-entry-and-proof?leaf_index=",
    "/api/v1/ct/get-sth?shard=",
    "/witness/add-checkpoint",
    "/",
];

fn check(what: &str, reply: &Reply) {
    let status = reply.status;
    assert!(status.as_u16() < 500, "{what}: {reply:?}");
    if status != StatusCode::OK && status != StatusCode::CONFLICT {
        assert!(!reply.reason().is_empty(), "{what}");
    }
}

/// A log of two entries that is a witness of another log.
async fn with_witness() -> (Bench, Router) {
    let bench = Bench::new().await;
    bench.fill(2).await;
    let witness = crate::witness::witness(crate::witness::files(&bench.folder));
    let faces = bench.log.faces(bench.log.orders.clone(), Limits::default());
    let router = router(Arc::new(faces.with_witness(Arc::new(witness))));
    (bench, router)
}

#[test]
fn any_path_query_and_body_has_a_reply() {
    let runtime = runtime();
    let (bench, router) = runtime.block_on(with_witness());
    let shared = AssertUnwindSafe((&router, &runtime)); // A panic ends the test.
    bolero::check!()
        .with_type()
        .with_iterations(3_000)
        .for_each(|(call, rest, body): &(u8, String, Vec<u8>)| {
            let (router, runtime) = *shared;
            let call = CALLS[usize::from(*call) % CALLS.len()];
            let escaped: String = form_urlencoded::byte_serialize(rest.as_bytes()).collect();
            let short: String = rest.chars().filter(|c| c.is_ascii_graphic()).collect();
            for rest in [escaped, short] {
                let Ok(uri) = format!("{call}{rest}").parse::<Uri>() else {
                    continue;
                };
                for method in [Method::GET, Method::POST] {
                    let request = Request::builder().method(method).uri(uri.clone());
                    let reply = ask(router, request, Body::from(body.clone()));
                    check(&uri.to_string(), &runtime.block_on(reply));
                }
            }
        });
    bench.log.stop();
}

#[test]
fn damaged_submission_is_refused_or_taken_and_never_breaks() {
    let runtime = runtime();
    let bench = runtime.block_on(Bench::new());
    let der = bench.root.issue(&crate::pki::leaf());
    let shared = AssertUnwindSafe((&bench, &runtime, &der));
    bolero::check!()
        .with_type()
        .with_iterations(1_000)
        .for_each(|damage: &Vec<(u16, u8)>| {
            let (bench, runtime, der) = *shared;
            let mut der = der.clone();
            for (place, value) in damage {
                let place = usize::from(*place) % der.len();
                der[place] ^= value;
            }
            let body = crate::asking::chain_json(&[&der]);
            for call in ["add-chain", "add-pre-chain"] {
                let path = format!("/2026h2/ct/v1/{call}");
                let reply = runtime.block_on(bench.post(&path, body.clone()));
                check(call, &reply);
            }
        });
    bench.log.stop();
}

#[test]
fn damaged_checkpoint_is_refused_or_cosigned_and_never_breaks() {
    let runtime = runtime();
    let (bench, router) = runtime.block_on(with_witness());
    let whole = crate::witness::request(0, 3, 0).into_bytes();
    let shared = AssertUnwindSafe((&router, &runtime, &whole));
    bolero::check!()
        .with_type()
        .with_iterations(1_000)
        .for_each(|(damage, cut): &(Vec<(u16, u8)>, u16)| {
            let (router, runtime, whole) = *shared;
            let mut body = whole.clone();
            for (place, value) in damage {
                let place = usize::from(*place) % body.len();
                body[place] ^= value;
            }
            body.truncate(body.len() - usize::from(*cut) % 8);
            let request = Request::post("/witness/add-checkpoint");
            let reply = ask(router, request, Body::from(body));
            check("add-checkpoint", &runtime.block_on(reply));
        });
    bench.log.stop();
}
