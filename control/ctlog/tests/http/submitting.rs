//! Submissions: timestamps that hold, and each reason for which there is none.

use std::future::{Future, pending, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use ct::{AddChainReply, Sct, Shard, SignedEntry, Submission};
use ctlog::http::Limits;
use ctlog::{Sequenced, Sequencer, SubmitError, Submitted};
use p256::elliptic_curve::sec1::ToEncodedPoint as _;
use p256::pkcs8::DecodePublicKey as _;
use rcgen::date_time_ymd;
use webpki::ALL_VERIFICATION_ALGS;

use crate::asking::{Bench, Reply, chain_json, run, shards};
use crate::pki::{self, Authority, leaf, leaf_with, poison};

fn sct(reply: &Reply) -> Sct {
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let reply: AddChainReply = serde_json::from_value(reply.json()).unwrap();
    Sct::try_from(&reply).unwrap()
}

/// Says the same to everybody, or nothing.
#[derive(Debug)]
pub(crate) struct Fixed(pub(crate) Option<Result<Sequenced, SubmitError>>);

impl Sequencer for Fixed {
    fn submit(
        &self,
        _: Arc<str>,
        _: Submitted,
    ) -> Pin<Box<dyn Future<Output = Result<Sequenced, SubmitError>> + Send>> {
        match self.0.clone() {
            Some(result) => Box::pin(ready(result)),
            None => Box::pin(pending()),
        }
    }
}

#[test]
fn timestamp_holds_for_others_and_is_the_same_each_time() {
    run(async {
        let bench = Bench::new().await;
        let der = bench.root.issue(&leaf());
        let chain = [&*der, &*bench.root.der];
        let reply = bench.submit(Submission::Certificate, &chain).await;
        let first = sct(&reply);
        let spec = bench.log.handle.reader("2026h2").unwrap().spec().clone();
        let entry = SignedEntry::Certificate(&der);
        first
            .verify(&entry, &spec.key, ALL_VERIFICATION_ALGS, u64::MAX)
            .unwrap();
        assert_eq!(first.extensions.leaf_index(), Some(0));
        let key = p256::PublicKey::from_public_key_der(spec.key.spki()).unwrap();
        let point = key.to_encoded_point(false);
        let log = sct::Log {
            description: "",
            url: "",
            operated_by: "",
            key: point.as_bytes(),
            id: spec.key.id().0,
            max_merge_delay: 0,
        };
        sct::verify_sct(&der, &first.encode(), u64::MAX, &[&log]).unwrap();

        let again = bench.submit(Submission::Certificate, &chain[..1]).await;
        assert_eq!(again.body, reply.body);
        // By the original path, which finds the shard by itself, and from a node that knows nothing.
        let alias = bench.post("/api/v1/ct/add-chain", chain_json(&chain)).await;
        assert_eq!(alias.body, reply.body);
        let size = bench.json("/2026h2/ct/v1/get-sth").await["tree_size"].clone();
        assert_eq!(size, 1);
        bench.log.stop();
    });
}

#[test]
fn precertificate_gets_the_timestamp_of_its_final_certificate() {
    run(async {
        let bench = Bench::new().await;
        let der = bench.root.issue(&leaf_with([poison()]));
        let reply = bench.submit(Submission::Precertificate, &[&der]).await;
        let sct = sct(&reply);
        let roots = Arc::clone(&bench.log.agreed.borrow().roots);
        let accepted = pki::check(&roots, Submission::Precertificate, &[der]).unwrap();
        let key = bench
            .log
            .handle
            .reader("2026h2")
            .unwrap()
            .spec()
            .key
            .clone();
        sct.verify(
            &accepted.entry.signed(),
            &key,
            ALL_VERIFICATION_ALGS,
            u64::MAX,
        )
        .unwrap();
        bench.log.stop();
    });
}

/// A log that takes little, and a certificate below its root.
async fn strict() -> (Bench, Vec<u8>) {
    let limits = Limits {
        body_bytes_max: 8 << 10,
        certificates_max: 3,
        ..Limits::default()
    };
    let bench = Bench::with(limits, |log| log.orders.clone()).await;
    let der = bench.root.issue(&leaf());
    (bench, der)
}

/// That a submission is refused, and nothing is logged.
async fn refuse(bench: &Bench, path: &str, body: String, status: u16, expected: &str) {
    let reply = bench.post(path, body).await;
    let text = reply.text();
    assert_eq!(reply.status.as_u16(), status, "{expected}: {text}");
    assert!(reply.reason().contains(expected), "{expected}: {text}");
    let size = bench.json("/2026h2/ct/v1/get-sth").await["tree_size"].clone();
    assert_eq!(size, 0, "{expected}");
}

#[test]
fn chain_that_is_not_taken_is_refused_with_its_fault() {
    run(async {
        let (bench, der) = strict().await;
        let until = |year, month| {
            let mut params = leaf();
            params.not_after = date_time_ymd(year, month, 3);
            bench.root.issue(&params)
        };
        let (next, beyond) = (until(2027, 2), until(2028, 2));
        let poisoned = bench.root.issue(&leaf_with([poison()]));
        let stranger = Authority::root("stranger").issue(&leaf());
        let mut damaged = der.clone();
        *damaged.last_mut().unwrap() ^= 1;
        let der = &*der;
        let chains: [(&[&[u8]], &str); 9] = [
            (&[], "the chain is empty"),
            (&[b"no certificate"], "certificate 0:"),
            (&[&stranger], "below no accepted root"),
            (&[&damaged], "certificate 0: "),
            (&[der, der], "certificate 1 is certificate 0 again"),
            (&[der; 4], "4 certificates, at most 3 are taken"),
            (&[&poisoned], "poison"),
            (
                &[&next],
                "shard 2027h1 takes it, at http://log.example/2027h1/",
            ),
            (&[&beyond], "valid to 2028-02-03T00:00:00Z, and no shard"),
        ];
        for (chain, expected) in chains {
            let body = chain_json(chain);
            refuse(&bench, "/2026h2/ct/v1/add-chain", body, 400, expected).await;
        }
        let path = "/2026h2/ct/v1/add-pre-chain";
        refuse(&bench, path, chain_json(&[der]), 400, "poison").await;
        let path = "/2025h1/ct/v1/add-chain";
        refuse(&bench, path, chain_json(&[der]), 404, "no shard \"2025h1\"").await;
        bench.log.stop();
    });
}

#[test]
fn body_that_is_no_chain_is_refused() {
    run(async {
        let (bench, _) = strict().await;
        let long = "x".repeat(9 << 10);
        for (body, status, expected) in [
            ("", 400, "the body is not {\"chain\":[…]}"),
            ("{}", 400, "missing field `chain`"),
            ("{\"chain\":[\"AA\"]}", 400, "invalid length"),
            (&long, 413, "8192 bytes"),
        ] {
            let path = "/2026h2/ct/v1/add-chain";
            refuse(&bench, path, body.to_owned(), status, expected).await;
        }
        bench.log.stop();
    });
}

#[test]
fn what_the_cluster_does_not_order_gets_no_timestamp() {
    let unavailable = SubmitError::Unavailable("no quorum".to_owned());
    let refused = SubmitError::Refused("its shard has retired".to_owned());
    let nowhere = Sequenced {
        index: 5,
        timestamp_ms: 1,
    };
    for (result, status, expected) in [
        (None, 503, "not ordered it in time"),
        (
            Some(Err(SubmitError::Busy)),
            503,
            "too many submissions wait",
        ),
        (Some(Err(unavailable)), 503, "no quorum"),
        (Some(Err(refused)), 400, "its shard has retired"),
        (Some(Ok(nowhere)), 503, "no head that covers it"),
    ] {
        run(async {
            let limits = Limits {
                submission_timeout: Duration::from_millis(50),
                ..Limits::default()
            };
            let bench = Bench::with(limits, |_| Arc::new(Fixed(result.clone()))).await;
            let der = bench.root.issue(&leaf());
            let reply = bench.submit(Submission::Certificate, &[&der]).await;
            assert_eq!(reply.status.as_u16(), status, "{}", reply.text());
            assert!(reply.reason().contains(expected), "{}", reply.reason());
            assert_eq!(reply.headers.contains_key("retry-after"), status == 503);
            bench.log.stop();
        });
    }
}

#[test]
fn node_without_the_key_of_a_shard_orders_nothing_for_it() {
    run(async {
        let bench = Bench::new().await;
        let mut params = leaf();
        params.not_after = date_time_ymd(2027, 8, 3);
        let der = bench.root.issue(&params);
        let reply = bench
            .post("/api/v1/ct/add-chain", chain_json(&[&der]))
            .await;
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(reply.reason().contains("no key of the shard"));
        let head = bench.get("/keyless/checkpoint").await;
        assert_eq!(head.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(head.headers.contains_key("retry-after"));
        bench.log.stop();
    });
}

#[test]
fn client_with_too_many_in_flight_is_told_to_wait() {
    run(async {
        let limits = Limits {
            submissions_of_client_max: 1,
            submission_timeout: Duration::from_millis(500),
            ..Limits::default()
        };
        let bench = Bench::with(limits, |_| Arc::new(Fixed(None))).await;
        let der = bench.root.issue(&leaf());
        let chain = [&*der];
        let first = bench.submit(Submission::Certificate, &chain);
        let second = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            bench.submit(Submission::Certificate, &chain).await
        };
        // The client of the first one leaves, and what it has begun goes on.
        let reply = tokio::select! {
            reply = first => reply,
            reply = second => reply,
        };
        assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
        assert!(reply.headers.contains_key("retry-after"));
        let third = bench.submit(Submission::Certificate, &chain).await;
        assert_eq!(third.status, StatusCode::TOO_MANY_REQUESTS);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let fourth = bench.submit(Submission::Certificate, &chain).await;
        assert_eq!(fourth.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(fourth.reason().contains("not ordered it in time"));
        bench.log.stop();
    });
}

#[test]
fn closed_shard_keeps_its_promises_and_another_takes_what_is_new() {
    run(async {
        let [before, ..] = shards();
        let after = Shard {
            name: "2026h2b".to_owned(),
            ..before.clone()
        };
        let shards = [before, after];
        let bench = Bench::with_shards(&shards, Limits::default(), |log| log.orders.clone()).await;
        let old = chain_json(&[&bench.root.issue(&leaf())]);
        let new = chain_json(&[&bench.root.issue(&leaf())]);
        let promised = bench.post("/2026h2/ct/v1/add-chain", old.clone()).await;
        sct(&promised);
        let close = |names: &[&str]| {
            bench.log.agreed.send_modify(|agreed| {
                Arc::make_mut(agreed).closed = names.iter().map(|name| Arc::from(*name)).collect();
            });
        };
        close(&["2026h2"]);
        let again = bench.post("/2026h2/ct/v1/add-chain", old.clone()).await;
        assert_eq!(again.body, promised.body);
        let refused = bench.post("/2026h2/ct/v1/add-chain", new.clone()).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        let expected = "shard 2026h2b takes it, at http://log.example/2026h2b/";
        assert!(refused.reason().contains(expected), "{}", refused.reason());
        let taken = bench.post("/api/v1/ct/add-chain", new.clone()).await;
        let key = &bench.log.handle.reader("2026h2b").unwrap().spec().key;
        assert_eq!(sct(&taken).log_id, key.id());
        let today = bench.json("/api/v1/ct/get-sth").await["tree_size"].clone();
        assert_eq!(today, 1, "that of the shard that is open");
        let size = bench.json("/2026h2/ct/v1/get-sth").await["tree_size"].clone();
        assert_eq!(size, 1, "nothing new is in the closed one");

        close(&["2026h2", "2026h2b"]);
        let again = bench.post("/api/v1/ct/add-chain", old).await;
        assert_eq!(again.body, promised.body);
        let third = chain_json(&[&bench.root.issue(&leaf())]);
        for path in ["/2026h2b/ct/v1/add-chain", "/api/v1/ct/add-chain"] {
            let refused = bench.post(path, third.clone()).await;
            assert_eq!(refused.status, StatusCode::BAD_REQUEST);
            assert!(refused.reason().contains("no shard of this log takes that"));
        }
        bench.log.stop();
    });
}
