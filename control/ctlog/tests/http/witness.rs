//! This node as witness of a log that a test signs for, and outside witnesses of this log, over loopback: honest ones and others.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Request, StatusCode};
use axum::routing::post;
use ct::{
    AddCheckpoint, Checkpoint, Frontier, Hash, HashSource, KeyKind, KeyName, Note, NoteSignature,
    VerifierKey, prove_consistency,
};
use ctlog::http::{Limits, router, serve};
use ctlog::witness::{
    AskError, HttpClient, LogVerifier, OutsideLog, OutsideWitness, Outsiders, Witness,
    WitnessOpenError, WitnessRefusal,
};
use ctlog::{Files, LocalFiles};
use ed25519_zebra::{SigningKey, VerificationKeyBytes};
use prometheus_client::registry::Registry;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use webpki::ALL_VERIFICATION_ALGS;

use crate::asking::{Bench, ORIGIN, Reply, ask, run};

const OTHER: &str = "other.example/log";
const NOW_S: u64 = 1_800_000_000;

fn name(text: &str) -> KeyName {
    KeyName::new(text).unwrap()
}

fn secret(seed: u8) -> SigningKey {
    SigningKey::from([seed; 32])
}

fn verifier(seed: u8, kind: KeyKind) -> VerifierKey {
    let key = VerificationKeyBytes::from(&secret(seed));
    VerifierKey::new(name(OTHER), kind, key.into())
}

/// Leaves of a log that a test signs for; those of another `branch` differ from the third on.
fn leaves(size: u64, branch: u8) -> Vec<Hash> {
    let leaf = |index: u64| {
        let branch = if index < 2 { 0 } else { branch };
        Hash::leaf(&[&[branch][..], &index.to_be_bytes()].concat())
    };
    (0..size).map(leaf).collect()
}

struct Leaves(Vec<Hash>);

impl HashSource for Leaves {
    type Error = ();

    fn hash(&mut self, level: u8, index: u64) -> Result<Hash, ()> {
        let all = self.0.iter().skip(usize::try_from(index << level).unwrap());
        let mut tree = Frontier::default();
        all.take(1 << level)
            .for_each(|leaf| tree.push(*leaf, |_, _, _| {}));
        Ok(tree.root())
    }
}

/// A note of the log, signed by the key of a seed.
fn note(size: u64, branch: u8, seed: u8) -> Note {
    let mut tree = Frontier::default();
    for leaf in leaves(size, branch) {
        tree.push(leaf, |_, _, _| {});
    }
    let text = Checkpoint::new(&name(OTHER), size, tree.root()).to_text();
    let key = verifier(seed, KeyKind::Plain);
    let signature = <[u8; 64]>::from(secret(seed).sign(text.as_bytes())).to_vec();
    let (key_id, name) = (key.id(), key.name().clone());
    let line = NoteSignature {
        name,
        key_id,
        signature,
    };
    Note::new(text, vec![line]).unwrap()
}

/// A request that goes on from `old`, of the same branch.
pub(crate) fn request(old: u64, size: u64, branch: u8) -> String {
    let proof = prove_consistency(&mut Leaves(leaves(size, branch)), old, size).unwrap();
    let request = AddCheckpoint::new(old, proof, note(size, branch, 1)).unwrap();
    request.to_string()
}

pub(crate) fn witness(files: Arc<dyn Files>) -> Witness {
    let keys = vec![LogVerifier::Note(verifier(1, KeyKind::Plain))];
    let origin = name(OTHER);
    let logs = vec![OutsideLog { origin, keys }];
    Witness::open(&name("witness.example"), "n1", files, logs).unwrap()
}

pub(crate) fn files(folder: &tempfile::TempDir) -> Arc<dyn Files> {
    Arc::new(LocalFiles::new(folder.path().join("witness"), 0o600))
}

#[test]
fn each_request_gets_the_status_of_the_text() {
    run(async {
        let bench = Bench::new().await;
        let witness = Arc::new(witness(files(&bench.folder)));
        let faces = bench.log.faces(bench.log.orders.clone(), Limits::default());
        let router = router(Arc::new(faces.with_witness(Arc::clone(&witness))));
        let post = async |body: String| {
            let request = Request::post("/witness/add-checkpoint");
            ask(&router, request, Body::from(body)).await
        };
        let status = async |body: String| post(body).await.status.as_u16();
        let cosigned = |reply: &Reply, size: u64| {
            assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
            let line = reply.text().strip_suffix('\n').unwrap();
            let line = NoteSignature::parse(line).unwrap();
            let note = Note::new(note(size, 0, 1).text().to_owned(), vec![line]).unwrap();
            let time_s = witness.verifier().verify(&note, ALL_VERIFICATION_ALGS);
            assert!(time_s.unwrap().is_some());
        };
        assert_eq!(status("no request".to_owned()).await, 400);
        cosigned(&post(request(0, 3, 0)).await, 3);
        cosigned(&post(request(3, 3, 0)).await, 3); // The same again gets a new time.
        assert_eq!(
            status(request(3, 3, 1)).await,
            409,
            "another root of the same size"
        );
        let stale = post(request(2, 5, 0)).await;
        assert_eq!((stale.status.as_u16(), stale.text()), (409, "3\n"));
        assert_eq!(stale.headers["content-type"], "text/x.tlog.size");
        assert_eq!(status(request(3, 5, 1)).await, 422, "a fork has no proof");
        let backwards = request(3, 5, 0).replace("old 3\n", "old 6\n");
        assert_eq!(status(backwards).await, 400);
        let unknown = request(3, 5, 0).replace(OTHER, "unknown.example");
        assert_eq!(status(unknown).await, 404);
        let proof = prove_consistency(&mut Leaves(leaves(5, 0)), 3, 5).unwrap();
        let unsigned = AddCheckpoint::new(3, proof, note(5, 0, 2)).unwrap();
        assert_eq!(status(unsigned.to_string()).await, 403);
        cosigned(&post(request(3, 5, 0)).await, 5);
        bench.log.stop();
    });
}

#[test]
fn witness_knows_after_a_start_what_it_has_cosigned() {
    let folder = tempfile::tempdir().unwrap();
    let before = witness(files(&folder));
    before
        .add_checkpoint(request(0, 3, 0).as_bytes(), NOW_S)
        .unwrap();
    let again = witness(files(&folder));
    assert_eq!(again.verifier(), before.verifier());
    let fork = again.add_checkpoint(request(0, 4, 1).as_bytes(), NOW_S);
    assert!(matches!(fork, Err(WitnessRefusal::Inconsistent(_))));
    again
        .add_checkpoint(request(3, 4, 0).as_bytes(), NOW_S)
        .unwrap();

    for slot in 0..2 {
        let path = format!("witness/witnessed/{}.{slot}", Hash::of(OTHER.as_bytes()));
        std::fs::write(folder.path().join(path), b"damaged").unwrap();
    }
    let keys = Vec::new();
    let origin = name(OTHER);
    let logs = vec![OutsideLog { origin, keys }];
    let damaged = Witness::open(&name("witness.example"), "n1", files(&folder), logs);
    assert!(matches!(damaged, Err(WitnessOpenError::Memory { .. })));
}

/// A disk on which something happens before a head is written.
#[derive(Debug)]
struct Disk(LocalFiles, fn() -> io::Result<()>);

impl Files for Disk {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        self.0.read(path)
    }

    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.0.write(path, bytes)
    }

    fn replace(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.0.replace(path, bytes)
    }

    fn overwrite(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        if path.starts_with("witnessed/") {
            self.1()?;
        }
        self.0.overwrite(path, bytes)
    }

    fn sync(&self, paths: &[String]) -> io::Result<()> {
        self.0.sync(paths)
    }

    fn remove_folder(&self, path: &str) -> io::Result<()> {
        self.0.remove_folder(path)
    }
}

fn disk(folder: &tempfile::TempDir, before: fn() -> io::Result<()>) -> Arc<dyn Files> {
    let files = LocalFiles::new(folder.path().join("witness"), 0o600);
    Arc::new(Disk(files, before))
}

#[test]
fn what_cannot_be_remembered_is_not_cosigned() {
    let folder = tempfile::tempdir().unwrap();
    let witness = witness(disk(&folder, || Err(io::ErrorKind::StorageFull.into())));
    let refused = witness.add_checkpoint(request(0, 3, 0).as_bytes(), NOW_S);
    assert!(matches!(refused, Err(WitnessRefusal::Files(_))));
}

#[test]
fn of_forks_that_come_at_the_same_time_one_is_cosigned() {
    // All come while the first is being written.
    let slow = || {
        std::thread::sleep(Duration::from_millis(100));
        Ok(())
    };
    let folder = tempfile::tempdir().unwrap();
    let witness = witness(disk(&folder, slow));
    let barrier = Barrier::new(4);
    let cosigned = std::thread::scope(|scope| {
        let start = |branch: u8| {
            let (witness, barrier) = (&witness, &barrier);
            scope.spawn(move || {
                let body = request(0, 3 + u64::from(branch % 2), branch);
                barrier.wait();
                witness.add_checkpoint(body.as_bytes(), NOW_S).is_ok()
            })
        };
        let threads: Vec<_> = (0..4).map(start).collect();
        let results = threads.into_iter().map(|thread| thread.join().unwrap());
        results.filter(|is_cosigned| *is_cosigned).count()
    });
    assert_eq!(cosigned, 1);
}

fn plain_client() -> HttpClient {
    let tls =
        rustls::ClientConfig::builder().with_root_certificates(rustls::RootCertStore::empty());
    HttpClient::new(tls.with_no_client_auth())
}

/// A witness of the log of `bench`, on loopback.
async fn start_witness(bench: &Bench) -> (SocketAddr, Arc<Witness>) {
    let key = bench
        .log
        .handle
        .reader("2026h2")
        .unwrap()
        .spec()
        .key
        .clone();
    let origin = name(&format!("{ORIGIN}/2026h2"));
    let keys = vec![LogVerifier::Ct(key)];
    let logs = vec![OutsideLog { origin, keys }];
    let witness = Witness::open(&name("witness.example"), "n1", files(&bench.folder), logs);
    let witness = Arc::new(witness.unwrap());
    let faces = bench.log.faces(bench.log.orders.clone(), Limits::default());
    let faces = faces.with_witness(Arc::clone(&witness));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, Arc::new(faces), std::future::pending()));
    (address, witness)
}

#[test]
fn heads_are_cosigned_from_whatever_size_the_witness_has() {
    run(async {
        let bench = Bench::new().await;
        let (address, witness) = start_witness(&bench).await;
        let outside = OutsideWitness {
            key: witness.verifier().clone(),
            url: format!("http://{address}/witness/"),
        };
        let reader = bench.log.handle.reader("2026h2").unwrap();
        let client = plain_client();
        let mut witnessed = 0;
        let mut filled = 0;
        for size in [3, 300] {
            bench.fill_from(filled, size).await;
            filled = size;
            let head = reader.published().unwrap();
            let line = outside.ask(reader, &client, &head, &mut witnessed).await;
            assert_eq!(witnessed, size);
            let mut note = Note::parse(&head.checkpoint).unwrap();
            note.sign(line.unwrap()).unwrap();
            let time_s = witness.verifier().verify(&note, ALL_VERIFICATION_ALGS);
            assert!(time_s.unwrap().is_some());
        }
        bench.fill_from(300, 301).await;
        let head = reader.published().unwrap();
        witnessed = 17; // Another node has sent to it meanwhile.
        outside
            .ask(reader, &client, &head, &mut witnessed)
            .await
            .unwrap();
        assert_eq!(witnessed, 301);
        bench.log.stop();
    });
}

#[test]
fn newest_head_that_outside_witnesses_cosign_is_shown_with_their_lines() {
    run(async {
        let bench = Bench::new().await;
        let (address, witness) = start_witness(&bench).await;
        let outside = |key: &VerifierKey, step: &str| OutsideWitness {
            key: key.clone(),
            url: format!("http://{address}/{step}"),
        };
        // One of them is not there.
        let away = verifier(1, KeyKind::Cosignature);
        let witnesses = vec![
            outside(&away, "nothing"),
            outside(witness.verifier(), "witness"),
        ];
        let outsiders = Outsiders::new(witnesses, plain_client());
        let faces = bench.log.faces(bench.log.orders.clone(), Limits::default());
        let router = router(Arc::new(faces.with_outsiders(outsiders.clone())));
        let get = async || {
            let request = Request::get("/2026h2/witnessed-checkpoint");
            ask(&router, request, Body::empty()).await
        };
        assert_eq!(get().await.status, StatusCode::NOT_FOUND);
        let reader = bench.log.handle.reader("2026h2").unwrap().clone();
        let followed = tokio::spawn(outsiders.clone().follow(reader.clone()));
        bench.fill(3).await;
        let reply = loop {
            let reply = get().await;
            if reply.status == StatusCode::OK {
                break reply;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        let note = Note::parse(&reply.body).unwrap();
        witness
            .verifier()
            .verify(&note, ALL_VERIFICATION_ALGS)
            .unwrap();
        let (origin, key) = (&reader.spec().origin, &reader.spec().key);
        ct::SignedTreeHead::from_note(&note, origin, key, ALL_VERIFICATION_ALGS).unwrap();
        let mut registry = Registry::default();
        registry.register_collector(Box::new(outsiders));
        // The other one's failure is counted a moment later.
        loop {
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
            let row = |witness: &VerifierKey, result: &str| {
                let witness = witness.name();
                let labels = format!("witness=\"{witness}\",result=\"{result}\"");
                format!("nexus_ct_witness_requests_total{{{labels}}} 1")
            };
            if [row(&away, "failed"), row(witness.verifier(), "cosigned")]
                .iter()
                .all(|row| text.contains(row))
            {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        followed.abort();
        bench.log.stop();
    });
}

#[test]
fn witness_that_lies_is_not_believed() {
    run(async {
        let bench = Bench::new().await;
        bench.fill(3).await;
        let reader = bench.log.handle.reader("2026h2").unwrap();
        let head = reader.published().unwrap();
        let text = Note::parse(&head.checkpoint).unwrap().text().to_owned();
        let cosign = |seed: u8, text: &str| {
            let message = ct::cosignature::message(text, NOW_S);
            let signature = secret(seed).sign(&message).into();
            let key = *verifier(1, KeyKind::Cosignature).key();
            let line = ct::cosignature::signature_line(&name(OTHER), &key, NOW_S, &signature);
            format!("{line}\n")
        };
        let good = cosign(1, &text);
        let size = |size: &str| ("text/x.tlog.size", size.to_owned());
        let plain = |text: &str| ("text/plain", text.to_owned());
        let conflict = "status 409 Conflict: ";
        for (status, (kind, body), expected) in [
            (200, plain(&good), "cosigned"),
            (200, plain(&cosign(2, &text)), "does not verify"),
            (200, plain(&cosign(1, "other\n")), "does not verify"),
            (
                200,
                plain(&good.replace(OTHER, "else")),
                "no signature by this key",
            ),
            (200, plain(good.trim()), "no signature line"),
            (200, plain(""), "no signature line"),
            (200, plain(&"x".repeat(70_000)), "reply not read"),
            (409, size("0\n"), conflict), // The size that it was sent: a fork.
            (409, size("2"), conflict),
            (409, plain("2\n"), conflict),
            (
                409,
                size("4\n"),
                "has cosigned 4 leaves, and 3 are published here",
            ),
            (403, plain("no"), "status 403 Forbidden: no"),
        ] {
            let (url, served) = start_liar(status, kind, body.clone()).await;
            let key = verifier(1, KeyKind::Cosignature);
            let outside = OutsideWitness { key, url };
            let result = outside.ask(reader, &plain_client(), &head, &mut 0).await;
            let result = result.map_or_else(|error| error.to_string(), |_| "cosigned".to_owned());
            assert!(
                result.contains(expected),
                "{status} {kind} {body:.80}: {result}"
            );
            served.abort();
        }
        bench.log.stop();
    });
}

/// Says the same to everybody.
async fn start_liar(
    status: u16,
    kind: &'static str,
    body: String,
) -> (String, JoinHandle<io::Result<()>>) {
    let status = StatusCode::from_u16(status).unwrap();
    let reply = async move || (status, [(CONTENT_TYPE, kind)], body);
    let liar = axum::Router::new().route("/add-checkpoint", post(reply));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let served = tokio::spawn(async { axum::serve(listener, liar).await });
    (url, served)
}

#[test]
fn witness_behind_tls_is_asked_if_its_certificate_is_believed() {
    run(async {
        let bench = Bench::new().await;
        bench.fill(1).await;
        let names = ["localhost".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let certificate = CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).unwrap();
        let key = made.signing_key.serialize_pem();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let tls = rustls::ServerConfig::builder().with_no_client_auth();
        let tls = tls
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    continue; // The client did not believe.
                };
                let _ = stream.read(&mut [0; 4096]).await;
                let reply = b"HTTP/1.1 418 I'm a teapot\r\ncontent-length: 3\r\n\r\ntea";
                let _ = stream.write_all(reply).await;
            }
        });
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate).unwrap();
        let tls = rustls::ClientConfig::builder().with_root_certificates(roots);
        let believing = HttpClient::new(tls.with_no_client_auth());
        let reader = bench.log.handle.reader("2026h2").unwrap();
        let head = reader.published().unwrap();
        let outside = OutsideWitness {
            key: verifier(1, KeyKind::Cosignature),
            url: format!("https://localhost:{port}"),
        };
        let reply = outside.ask(reader, &believing, &head, &mut 0).await;
        assert!(matches!(reply, Err(AskError::Refused { text, .. }) if text == "tea"));
        let reply = outside.ask(reader, &plain_client(), &head, &mut 0).await;
        assert!(matches!(reply, Err(AskError::Post(_))), "{reply:?}");
        bench.log.stop();
    });
}
