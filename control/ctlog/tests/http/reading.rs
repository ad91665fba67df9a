//! Checkpoints, tiles, entries and proofs as `static_ct_api`, `tlog_tiles` and RFC 6962 read them.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::http::{Request, StatusCode};
use ct::{
    Base64, Frontier, GetSthReply, Hash, LogList, SignedTreeHead, Submission, TileId, TileKind,
    TimestampedEntry, TreeHead, WitnessPolicy, verify_consistency, verify_inclusion,
};
use ctlog::http::Agreed;
use data_encoding::BASE64;
use p256::pkcs8::DecodePublicKey as _;
use static_ct_api::TileIterator;
use webpki::ALL_VERIFICATION_ALGS;

use crate::asking::{Bench, ORIGIN, ask, bytes, run};
use crate::pki;

/// More than a tile, and an odd number.
const SIZE: u64 = 301;

fn hashes(value: &serde_json::Value) -> Vec<Hash> {
    let hashes = value.as_array().unwrap().iter();
    hashes
        .map(|hash| Hash(bytes(hash).try_into().unwrap()))
        .collect()
}

fn url(hash: &Hash) -> String {
    form_urlencoded::byte_serialize(BASE64.encode(&hash.0).as_bytes()).collect()
}

async fn head(bench: &Bench) -> TreeHead {
    let reply: GetSthReply =
        serde_json::from_value(bench.json("/2026h2/ct/v1/get-sth").await).unwrap();
    let signed = SignedTreeHead::try_from(&reply).unwrap();
    let key = bench
        .log
        .handle
        .reader("2026h2")
        .unwrap()
        .spec()
        .key
        .clone();
    signed.verify(&key, ALL_VERIFICATION_ALGS).unwrap();
    signed.head
}

#[test]
fn checkpoint_and_tiles_are_those_of_other_readers() {
    run(async {
        let bench = Bench::new().await;
        bench.fill(SIZE).await;
        let reply = bench.get("/2026h2/checkpoint").await;
        assert_eq!(reply.headers["content-type"], "text/plain; charset=utf-8");
        assert_eq!(reply.headers["cache-control"], "public, max-age=1");
        let reader = bench.log.handle.reader("2026h2").unwrap();
        let spki = reader.spec().key.spki();
        let key = p256::ecdsa::VerifyingKey::from_public_key_der(spki).unwrap();
        let note_key = reader.note_key().unwrap();
        let note_key = ed25519_dalek::VerifyingKey::from_bytes(note_key.key()).unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let now_ms = u64::try_from(now.as_millis()).unwrap() + 60_000;
        let origin = format!("{ORIGIN}/2026h2");
        let opened =
            static_ct_api::open_checkpoint(&origin, &key, &note_key, now_ms, &reply.body).unwrap();
        assert_eq!(opened.0.size(), SIZE);

        let mut leaves = Vec::new();
        for (path, width) in [("tile/data/000", 256), ("tile/data/001.p/45", 45)] {
            let reply = bench.get(&format!("/2026h2/{path}")).await;
            assert_eq!(reply.status, StatusCode::OK, "{path}");
            for entry in TileIterator::new(reply.body, width) {
                leaves.push(tlog_tiles::record_hash(&entry.unwrap().merkle_tree_leaf()));
            }
        }
        let row: Vec<u8> = leaves.iter().flat_map(|leaf| leaf.0).collect();
        let first = bench.get("/2026h2/tile/0/000").await;
        let second = bench.get("/2026h2/tile/0/001.p/45").await;
        assert_eq!([first.body, second.body].concat(), row);
        for reply in ["tile/0/000", "tile/1/000.p/1", "tile/0/001.p/45"] {
            let reply = bench.get(&format!("/2026h2/{reply}")).await;
            assert_eq!(reply.headers["content-type"], "application/octet-stream");
            let caching = &reply.headers["cache-control"];
            assert_eq!(caching, "public, max-age=31536000, immutable");
        }
        let tree = bench.get("/2026h2/tile/1/000.p/1").await.body;
        let mut full = ct::TiledTree::new();
        for leaf in &leaves {
            full.push(Hash(leaf.0), |tile, _| {
                assert_eq!(tile.kind(), TileKind::Hashes(0));
            })
            .unwrap();
        }
        assert_eq!(full.root().0, opened.0.hash().0);
        assert_eq!(tree.len(), 32);
        bench.log.stop();
    });
}

#[test]
fn partial_tile_is_cut_from_the_full_one() {
    run(async {
        let bench = Bench::new().await;
        bench.fill(256).await;
        let full = bench.get("/2026h2/tile/0/000").await.body;
        let cut = bench.get("/2026h2/tile/0/000.p/7").await.body;
        assert_eq!(cut, full[..7 * 32]);
        let cut = bench.get("/2026h2/tile/data/000.p/7").await.body;
        let tile = TileId::new(TileKind::Data, 0, 7).unwrap();
        assert_eq!(ct::read_data_tile(tile, &cut).unwrap().len(), 7);
        bench.log.stop();
    });
}

#[test]
fn every_entry_comes_with_its_chain_and_is_proved_in_every_tree() {
    run(async {
        let bench = Bench::new().await;
        bench.fill(SIZE).await;
        let head = head(&bench).await;
        assert_eq!(head.size, SIZE);
        // As many as the tile of the first has, and then the rest.
        for (start, end, count) in [(0, 1000, 256), (250, 260, 6), (256, 999, 45), (300, 300, 1)] {
            let path = format!("/2026h2/ct/v1/get-entries?start={start}&end={end}");
            let entries = bench.json(&path).await["entries"].take();
            assert_eq!(entries.as_array().unwrap().len(), count, "{path}");
        }
        let (mut tree, mut leaves) = (Frontier::default(), Vec::new());
        let mut roots = vec![tree.root()];
        for index in 0..SIZE {
            let path = format!("/2026h2/ct/v1/get-entries?start={index}&end={index}");
            let entry = bench.json(&path).await["entries"][0].take();
            let (leaf, extra) = (bytes(&entry["leaf_input"]), bytes(&entry["extra_data"]));
            let (read, chain) = TimestampedEntry::from_get_entries(&leaf, &extra).unwrap();
            assert_eq!(read.extensions().leaf_index(), Some(index));
            assert_eq!(chain, [&*bench.root.der]);
            tree.push(Hash::leaf(&leaf), |_, _, _| {});
            roots.push(tree.root());
            leaves.push(entry);
        }
        assert_eq!(tree.root(), head.root);
        let root = |size: u64| roots[usize::try_from(size).unwrap()];
        let sizes = [1, 2, 3, 255, 256, 257, 300, SIZE];
        for (place, new) in sizes.into_iter().enumerate() {
            let index = new - 1;
            for size in [new, SIZE] {
                let entry = &leaves[usize::try_from(index).unwrap()];
                check_inclusion(&bench, entry, (index, size), root(size)).await;
            }
            for old in &sizes[..place] {
                let path = format!("/2026h2/ct/v1/get-sth-consistency?first={old}&second={new}");
                let proof = hashes(&bench.json(&path).await["consistency"]);
                verify_consistency(*old, new, &proof, &root(*old), &root(new)).unwrap();
                let theirs = oracle(&proof);
                let (old_root, new_root) = (tlog_hash(root(*old)), tlog_hash(root(new)));
                tlog_tiles::check_tree(&theirs, new, new_root, *old, old_root).unwrap();
            }
        }
        bench.log.stop();
    });
}

/// Both calls that prove an entry, in the tree of this size.
async fn check_inclusion(
    bench: &Bench,
    entry: &serde_json::Value,
    (index, size): (u64, u64),
    root: Hash,
) {
    let leaf = Hash::leaf(&bytes(&entry["leaf_input"]));
    let query = format!("hash={}&tree_size={size}", url(&leaf));
    let path = format!("/2026h2/ct/v1/get-proof-by-hash?{query}");
    let reply = bench.json(&path).await;
    assert_eq!(reply["leaf_index"], index);
    let proof = hashes(&reply["audit_path"]);
    verify_inclusion(&leaf, index, size, &proof, &root).unwrap();
    let theirs = oracle(&proof);
    tlog_tiles::check_record(&theirs, size, tlog_hash(root), index, tlog_hash(leaf)).unwrap();
    let query = format!("leaf_index={index}&tree_size={size}");
    let path = format!("/2026h2/ct/v1/get-entry-and-proof?{query}");
    let other = bench.json(&path).await;
    assert_eq!(other["audit_path"], reply["audit_path"]);
    for field in ["leaf_input", "extra_data"] {
        assert_eq!(other[field], entry[field]);
    }
}

fn tlog_hash(hash: Hash) -> tlog_tiles::Hash {
    tlog_tiles::Hash(hash.0)
}

fn oracle(proof: &[Hash]) -> Vec<tlog_tiles::Hash> {
    proof.iter().map(|hash| tlog_hash(*hash)).collect()
}

#[test]
fn plus_sign_of_a_hash_may_come_as_it_is() {
    run(async {
        let bench = Bench::new().await;
        bench.fill(40).await;
        let path = "/2026h2/ct/v1/get-entries?start=0&end=39";
        let entries = bench.json(path).await["entries"].take();
        let leaves = entries.as_array().unwrap().iter();
        let hashes = leaves.map(|entry| BASE64.encode(&Hash::leaf(&bytes(&entry["leaf_input"])).0));
        let hash = hashes.into_iter().find(|hash| hash.contains('+')).unwrap();
        for hash in [hash.replace('+', "%2B"), hash] {
            let path = format!("/2026h2/ct/v1/get-proof-by-hash?hash={hash}&tree_size=40");
            bench.json(&path).await;
        }
        bench.log.stop();
    });
}

#[test]
fn checkpoint_that_a_client_has_is_not_sent_again() {
    run(async {
        let bench = Bench::new().await;
        bench.fill(1).await;
        let reply = bench.get("/2026h2/checkpoint").await;
        let tag = reply.headers["etag"].clone();
        let with = |tags: &str| Request::get("/2026h2/checkpoint").header("if-none-match", tags);
        let tag = tag.to_str().unwrap();
        for (tags, status) in [
            (tag.to_owned(), StatusCode::NOT_MODIFIED),
            (format!("\"other\", W/{tag}"), StatusCode::NOT_MODIFIED),
            ("*".to_owned(), StatusCode::NOT_MODIFIED),
            ("\"other\"".to_owned(), StatusCode::OK),
        ] {
            let reply = ask(&bench.router, with(&tags), Body::empty()).await;
            assert_eq!(reply.status, status, "{tags}");
            assert_eq!(reply.body.is_empty(), status == StatusCode::NOT_MODIFIED);
        }
        let head = Request::head("/2026h2/checkpoint");
        let head = ask(&bench.router, head, Body::empty()).await;
        assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0));
        let length = reply.body.len().to_string();
        assert_eq!(head.headers["content-length"], length.as_str());
        bench.log.stop();
    });
}

#[test]
fn issuer_is_the_certificate_of_its_name() {
    run(async {
        let bench = Bench::new().await;
        bench.fill(1).await;
        let path = format!("/2026h2/issuer/{}", Hash::of(&bench.root.der));
        let reply = bench.get(&path).await;
        assert_eq!(reply.headers["content-type"], "application/pkix-cert");
        assert_eq!(reply.body, bench.root.der);
        bench.log.stop();
    });
}

/// In a log of three entries. UNKNOWN is a hash that none of them has.
const WRONG: &[(u16, &str)] = &[
    (404, "/2026h2/nothing"),
    (404, "/2025h1/checkpoint"),
    (404, "/2025h1/ct/v1/get-roots"),
    (404, "/api/v1/ct/get-sth?shard=2025h1"),
    (404, "/2026h2/tile/0/000"),
    (404, "/2026h2/tile/0/000.p/4"),
    (404, "/2026h2/tile/0/000.p/0"),
    (404, "/2026h2/tile/0/001.p/1"),
    (404, "/2026h2/tile/1/000.p/1"),
    (404, "/2026h2/tile/6/000"),
    (404, "/2026h2/tile/data/x000/000"),
    (404, "/2026h2/tile/0/000%2Ep/9"),
    (404, "/2026h2/issuer/00"),
    (
        404,
        "/2026h2/issuer/0000000000000000000000000000000000000000000000000000000000000000",
    ),
    (
        404,
        "/2026h2/issuer/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    ),
    (
        404,
        "/2026h2/ct/v1/get-proof-by-hash?hash=UNKNOWN&tree_size=3",
    ),
    (
        400,
        "/2026h2/ct/v1/get-proof-by-hash?hash=UNKNOWN&tree_size=4",
    ),
    (400, "/2026h2/ct/v1/get-proof-by-hash?hash=UNKNOWN"),
    (400, "/2026h2/ct/v1/get-proof-by-hash?hash=AAAA&tree_size=3"),
    (400, "/2026h2/ct/v1/get-proof-by-hash?hash=%ff&tree_size=3"),
    (400, "/2026h2/ct/v1/get-sth-consistency?first=3&second=2"),
    (400, "/2026h2/ct/v1/get-sth-consistency?first=0&second=4"),
    (400, "/2026h2/ct/v1/get-sth-consistency?first=-1&second=3"),
    (400, "/2026h2/ct/v1/get-sth-consistency?second=3"),
    (400, "/2026h2/ct/v1/get-entries?start=3&end=3"),
    (400, "/2026h2/ct/v1/get-entries?start=2&end=1"),
    (400, "/2026h2/ct/v1/get-entries?start=+1&end=2"),
    (
        400,
        "/2026h2/ct/v1/get-entries?start=0&end=18446744073709551616",
    ),
    (
        400,
        "/2026h2/ct/v1/get-entry-and-proof?leaf_index=3&tree_size=3",
    ),
    (
        400,
        "/2026h2/ct/v1/get-entry-and-proof?leaf_index=0&tree_size=0",
    ),
    (
        400,
        "/2026h2/ct/v1/get-entry-and-proof?leaf_index=0&tree_size=4",
    ),
    (405, "/2026h2/ct/v1/add-chain"),
];

#[test]
fn what_is_not_there_is_not_found_and_what_is_wrong_is_told() {
    run(async {
        let bench = Bench::new().await;
        bench.fill(3).await;
        let unknown = url(&Hash::of(b"unknown"));
        for (status, path) in WRONG {
            let path = path.replace("UNKNOWN", &unknown);
            let path = &path;
            let reply = bench.get(path).await;
            assert_eq!(reply.status.as_u16(), *status, "{path}: {}", reply.text());
            assert!(!reply.reason().is_empty());
            assert_eq!(reply.headers["cache-control"], "no-store", "{path}");
        }
        let end = "/2026h2/ct/v1/get-entries?start=0&end=18446744073709551615";
        let entries = bench.json(end).await["entries"].take();
        assert_eq!(entries.as_array().unwrap().len(), 3);
        let empty = "/2026h2/ct/v1/get-sth-consistency?first=0&second=3";
        let proof = bench.json(empty).await["consistency"].take();
        assert_eq!(proof.as_array().unwrap().len(), 0);
        bench.log.stop();
    });
}

#[test]
fn original_paths_are_those_of_todays_shard_or_of_one_that_is_named() {
    run(async {
        let bench = Bench::new().await;
        bench.fill(2).await;
        let size = async |path: &str| bench.json(path).await["tree_size"].clone();
        assert_eq!(size("/api/v1/ct/get-sth?shard=2026h2").await, 2);
        assert_eq!(size("/api/v1/ct/get-sth?shard=2027h1").await, 0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let now_s = i64::try_from(now.as_secs()).unwrap();
        // Of these windows the last stands in for a time that none has.
        let is_first =
            crate::asking::shards()[0].end > now_s && crate::asking::shards()[0].start <= now_s;
        let expected = if is_first { 2 } else { 0 };
        assert_eq!(size("/api/v1/ct/get-sth").await, expected);
        for call in [
            "get-sth-consistency?first=1&second=2&",
            "get-entries?start=0&end=1&",
            "get-roots?",
            "get-entry-and-proof?leaf_index=0&tree_size=2&",
        ] {
            let alias = bench.json(&format!("/api/v1/ct/{call}shard=2026h2")).await;
            assert_eq!(alias, bench.json(&format!("/2026h2/ct/v1/{call}")).await);
        }
        bench.log.stop();
    });
}

#[test]
fn roots_are_those_that_are_agreed_on_at_the_moment() {
    run(async {
        let bench = Bench::new().await;
        let listed = async || {
            let reply = bench.json("/api/v1/ct/get-roots").await;
            let roots = reply["certificates"].clone();
            serde_json::from_value::<Vec<Base64>>(roots).unwrap()
        };
        for _ in 0..2 {
            assert_eq!(listed().await, [Base64(bench.root.der.clone())]);
        }
        let other = pki::Authority::root("other");
        bench.log.agreed.send_modify(|agreed| {
            let mut changed = Agreed::clone(agreed);
            changed.roots = Arc::new(pki::roots(&[&other]));
            *agreed = Arc::new(changed);
        });
        assert_eq!(listed().await, [Base64(other.der)]);
        bench.log.stop();
    });
}

#[test]
fn log_lists_and_policies_are_read_by_who_goes_by_them() {
    run(async {
        let bench = Bench::new().await;
        bench.fill(1).await;
        let list = bench.get("/log-list.json").await;
        let list = LogList::parse(&list.body).unwrap();
        assert_eq!(list.refused(), []);
        assert!(list.is_timely(list.timestamp_ms().unwrap()));
        for (name, reader) in bench.log.handle.readers() {
            let spec = reader.spec();
            let log = list.get(&spec.key.id()).unwrap();
            assert_eq!(log.address.origin().as_ref(), Some(&spec.origin));
            let ms = |seconds: i64| u64::try_from(seconds * 1000).unwrap();
            let interval = (ms(spec.window.start), ms(spec.window.end));
            assert_eq!(log.temporal_interval_ms, Some(interval));
            let index = bench.get("/").await;
            let line = index.text().lines().find(|line| line.contains(&**name));
            assert!(line.unwrap().contains(&BASE64.encode(&spec.key.id().0)));
        }
        let policy = bench.get("/2026h2/policy").await;
        let policy = WitnessPolicy::parse(policy.text()).unwrap();
        let checkpoint = bench.get("/2026h2/checkpoint").await;
        let note = ct::Note::parse(&checkpoint.body).unwrap();
        let cosigners = policy.check(&note, ALL_VERIFICATION_ALGS).unwrap();
        let names: Vec<_> = cosigners.iter().map(|cosigner| cosigner.name).collect();
        assert_eq!(names, ["n1"]);
        bench.log.stop();
    });
}

#[test]
fn head_that_is_too_old_is_shown_of_a_closed_shard_only() {
    run(async {
        let limits = ctlog::http::Limits {
            head_age_max: std::time::Duration::from_millis(1),
            ..ctlog::http::Limits::default()
        };
        let bench = Bench::with(limits, |log| log.orders.clone()).await;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        let heads = ["/2026h2/checkpoint", "/2026h2/ct/v1/get-sth"];
        for path in heads {
            let reply = bench.get(path).await;
            assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
            assert!(reply.reason().contains("newest head of this node is"));
        }
        // What it has is as good as ever.
        bench
            .json("/2026h2/ct/v1/get-sth-consistency?first=0&second=0")
            .await;
        bench.log.agreed.send_modify(|agreed| {
            std::sync::Arc::make_mut(agreed).closed = ["2026h2".into()].into();
        });
        for path in heads {
            assert_eq!(bench.get(path).await.status, StatusCode::OK, "{path}");
        }
        bench.log.stop();
    });
}

#[test]
fn entries_that_are_large_come_in_several_replies() {
    run(async {
        let bench = Bench::new().await;
        let large = pki::extension(&[1, 3, 6, 1, 4, 1, 1], false, &[0; 60_000]);
        for number in 0..20_u64 {
            let mut params = pki::leaf_with([large.clone()]);
            params.serial_number = Some(number.into());
            let der = bench.root.issue(&params);
            let reply = bench.submit(Submission::Certificate, &[&der]).await;
            assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        }
        let (mut next, mut replies) = (0, 0);
        while next < 20 {
            let path = format!("/2026h2/ct/v1/get-entries?start={next}&end=19");
            let reply = bench.get(&path).await;
            assert!(reply.body.len() < 3 << 19, "{}", reply.body.len());
            for entry in reply.json()["entries"].as_array().unwrap() {
                let (leaf, extra) = (bytes(&entry["leaf_input"]), bytes(&entry["extra_data"]));
                let (read, _) = TimestampedEntry::from_get_entries(&leaf, &extra).unwrap();
                assert_eq!(read.extensions().leaf_index(), Some(next));
                next += 1;
            }
            replies += 1;
        }
        assert_eq!(replies, 2);
        bench.log.stop();
    });
}

#[test]
fn calls_are_counted_by_status() {
    use prometheus_client::registry::Registry;
    run(async {
        let bench = Bench::new().await;
        let faces = bench
            .log
            .faces(bench.log.orders.clone(), ctlog::http::Limits::default());
        let mut registry = Registry::default();
        registry.register_collector(Box::new(faces.meter()));
        let router = ctlog::http::router(std::sync::Arc::new(faces));
        bench.fill(1).await;
        for path in [
            "/2026h2/checkpoint",
            "/2026h2/tile/0/000",
            "/2026h2/tile/0/000",
        ] {
            ask(&router, Request::get(path), Body::empty()).await;
        }
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "nexus_ct_http_requests_total{call=\"checkpoint\",status=\"200\"} 1",
            "nexus_ct_http_requests_total{call=\"tile\",status=\"404\"} 2",
            "nexus_ct_http_request_seconds_count{call=\"tile\"} 2",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        bench.log.stop();
    });
}
