//! The same by the protocol of S3, against a server that others have written.

use std::path::Path as Folder;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ctlog::copy::{CopyError, Place, S3Error, S3Settings, ShardCopy, check_endpoint, open_s3};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, UpdateVersion};
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::support::SHARD;
use super::support::outsider::Outsider;
use super::{Lab, PREFIX, Update as _};

const BUCKET: &str = "logs";
const ACCESS: &str = "writer";
const SECRET: &str = "open/sesame+";

/// Serves the buckets in a folder until the handle is aborted, and says where.
async fn serve(folder: &Folder) -> (String, JoinHandle<()>) {
    std::fs::create_dir_all(folder.join(BUCKET)).unwrap();
    let mut service = S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder).unwrap());
    service.set_auth(SimpleAuth::from_single(ACCESS, SECRET));
    let service = service.build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service.clone();
            tokio::spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                // The client may leave in the middle.
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    (endpoint, serving)
}

/// Replies the same to all requests, each on a connection of its own and after a while, and notes how they begin.
async fn reply(reply: &'static str, after: Duration) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let begun: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = Arc::clone(&begun);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            let mut lines = Vec::new();
            while lines.last().is_none_or(|line| line != "\r\n") {
                let mut line = String::new();
                stream.read_line(&mut line).await.unwrap();
                lines.push(line);
            }
            noted.lock().unwrap().push(lines.swap_remove(0));
            tokio::time::sleep(after).await;
            // Who asked may have left.
            let _ = stream.write_all(reply.as_bytes()).await;
        }
    });
    (endpoint, begun)
}

fn open(endpoint: &str, secret: &str) -> Arc<dyn ObjectStore> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let settings = S3Settings {
        bucket: BUCKET.to_owned(),
        endpoint: Some(endpoint.to_owned()),
        region: "lab".to_owned(),
        access_key: ACCESS.to_owned(),
        secret_key: secret.to_owned(),
    };
    assert!(!format!("{settings:?}").contains(secret));
    open_s3(settings, tls).unwrap()
}

fn copy(lab: &Lab, store: Arc<dyn ObjectStore>) -> ShardCopy {
    let interval = Duration::from_secs(1);
    let place = Place::new("s3://logs/ct/copy".to_owned(), store, PREFIX, interval);
    ShardCopy::new(Arc::new(place), lab.node.reader().clone())
}

#[tokio::test]
async fn server_of_s3_has_the_tree_after_each_update_and_a_restart() {
    let mut lab = Lab::new();
    let folder = tempfile::tempdir().unwrap();
    let (endpoint, serving) = serve(folder.path()).await;
    let note_key = lab.node.reader().note_key().unwrap();
    let outsider = Outsider::new(&folder.path().join(BUCKET).join(PREFIX).join(SHARD));
    for count in [300, 0, 300] {
        let head = lab.publish(count);
        // A new process each time.
        let mut copy = copy(&lab, open(&endpoint, SECRET));
        copy.update(&head).await.unwrap();
        outsider.check_all(&note_key, &lab.consensus.entries);
    }
    serving.abort();
    lab.node.stop();
}

#[tokio::test]
async fn server_of_s3_refuses_who_replaces_another_version_than_it_has_read() {
    let folder = tempfile::tempdir().unwrap();
    let (endpoint, serving) = serve(folder.path()).await;
    let store = open(&endpoint, SECRET);
    let path = Path::from("a/checkpoint");
    let put = |text: &'static str, mode: PutMode| {
        let options = PutOptions::from(mode);
        store.put_opts(&path, text.into(), options)
    };
    let first = put("one", PutMode::Create).await.unwrap();
    let version = UpdateVersion {
        e_tag: first.e_tag,
        version: first.version,
    };
    let error = put("two", PutMode::Create).await.unwrap_err();
    assert!(matches!(error, Error::AlreadyExists { .. }), "{error}");
    put("three", PutMode::Update(version.clone()))
        .await
        .unwrap();
    let error = put("four", PutMode::Update(version)).await.unwrap_err();
    assert!(matches!(error, Error::Precondition { .. }), "{error}");
    let found = store.get(&path).await.unwrap().bytes().await.unwrap();
    assert_eq!(found, "three");
    store.delete(&path).await.unwrap();
    let error = store.get(&path).await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
    serving.abort();
}

#[tokio::test]
async fn wrong_secret_and_closed_store_are_failures_that_show_no_secret() {
    let mut lab = Lab::new();
    let head = lab.publish(3);
    let folder = tempfile::tempdir().unwrap();
    let (endpoint, serving) = serve(folder.path()).await;
    let wrong = copy(&lab, open(&endpoint, "closed sesame"))
        .update(&head)
        .await;
    let wrong = wrong.unwrap_err();
    assert!(matches!(wrong, CopyError::Store { .. }), "{wrong}");
    assert!(
        wrong.to_string().contains("SignatureDoesNotMatch"),
        "{wrong}"
    );
    serving.abort();
    let _ = serving.await; // Cancelled: the socket is closed.
    let closed = copy(&lab, open(&endpoint, SECRET)).update(&head).await;
    let closed = closed.unwrap_err();
    assert!(matches!(closed, CopyError::Store { .. }), "{closed}");
    for error in [wrong, closed] {
        assert!(!error.to_string().contains("sesame"), "{error}");
    }
    assert!(!folder.path().join(BUCKET).join(PREFIX).exists());
    lab.node.stop();
}

/// Of a bulk delete, the client takes the reply for granted.
#[tokio::test]
async fn objects_are_deleted_one_by_one_whatever_the_store_replies() {
    let (endpoint, begun) = reply(
        "HTTP/1.1 200 OK\r\ncontent-length: 15\r\nconnection: close\r\n\r\n<DeleteResult/>",
        Duration::ZERO,
    )
    .await;
    let store = open(&endpoint, SECRET);
    store.delete(&Path::from("a/b")).await.unwrap();
    assert_eq!(*begun.lock().unwrap(), ["DELETE /logs/a/b HTTP/1.1\r\n"]);
}

#[tokio::test(start_paused = true)]
async fn reply_may_take_as_long_as_the_copy_has_patience() {
    let (endpoint, begun) = reply(
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\netag: \"e\"\r\nlast-modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
         connection: close\r\n\r\nabc",
        Duration::from_secs(50),
    )
    .await;
    let store = open(&endpoint, SECRET);
    let found = store.get(&Path::from("a/b")).await.unwrap();
    assert_eq!(found.bytes().await.unwrap(), "abc");
    assert_eq!(begun.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn page_of_a_store_is_cut_in_the_error() {
    let mut lab = Lab::new();
    let head = lab.publish(3);
    let page = format!(
        "HTTP/1.1 403 Forbidden\r\ncontent-length: 9000\r\nconnection: close\r\n\r\n{}",
        "\u{e4}".repeat(4_500)
    );
    let (endpoint, _) = reply(page.leak(), Duration::ZERO).await;
    let error = copy(&lab, open(&endpoint, SECRET)).update(&head).await;
    let text = error.unwrap_err().to_string();
    assert!(text.contains("403"), "{text}");
    assert!(text.len() < 700, "{} bytes: {text}", text.len());
    lab.node.stop();
}

#[test]
fn endpoint_that_cannot_be_signed_for_is_an_error() {
    for (endpoint, region) in [
        (Some("http://store:99999"), "lab"),
        (Some("http://10.0.0.999:9000"), "lab"),
        (Some("http://[::1"), "lab"),
        (Some("http://"), "lab"),
        (Some("ftp://store"), "lab"),
        (Some("store:9000"), "lab"),
        (Some("http://me@store"), "lab"),
        (Some("http://store?a"), "lab"),
        (Some("http://store#a"), "lab"),
        (None, "xn--a"),
    ] {
        let checked = check_endpoint(endpoint, region);
        assert!(
            matches!(checked, Err(S3Error::Endpoint(_))),
            "{endpoint:?} {region}"
        );
    }
    for endpoint in ["http://store:9000", "https://[::1]:9/", "https://a.b/c"] {
        check_endpoint(Some(endpoint), "lab").unwrap();
    }
    check_endpoint(None, "eu-central-1").unwrap();
}
