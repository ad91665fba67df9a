//! Clients in another language, which share no code with the log, against a log on loopback: an honest one and liars.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use ct::{Roots, Shard, unix_midnight};
use ctlog::http::{Limits, router, serve};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::asking::run;
use crate::lone::Lone;

const RFC_6962: &str = "tests.lab.ct_rfc6962";
const STATIC: &str = "tests.lab.ct_static";

/// A log, and what its clients need.
struct Stand {
    folder: TempDir,
    log: Lone,
    listener: TcpListener,
    origin: String,
}

impl Stand {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = path(&folder, "authority");
        let made = python("tests.lab.certificates", &[&authority]);
        assert!(made.status.success());
        let root = std::fs::read(Path::new(&authority).join("root.pem")).unwrap();
        let roots = Roots::from_pem(&root).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = listener.local_addr().unwrap().to_string();
        let window = Shard {
            name: "lab".to_owned(),
            start: unix_midnight(2020, 1, 1),
            end: unix_midnight(2050, 1, 1),
        };
        let log = Lone::start(folder.path(), &origin, &[window], roots);
        log.wait_for_size("lab", 0).await;
        Self {
            folder,
            log,
            listener,
            origin,
        }
    }
}

fn path(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).to_str().unwrap().to_owned()
}

/// A module of the laboratory.
fn python(module: &str, arguments: &[&str]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut command = Command::new("python3");
    command.current_dir(root).args(["-m", module]);
    command.args(arguments).output().unwrap()
}

/// Status, and what it printed.
async fn client(module: &'static str, arguments: Vec<String>) -> (Option<i32>, String) {
    let run = move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = python(module, &arguments);
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

#[test]
fn clients_that_know_one_api_submit_and_believe_what_they_read() {
    run(async {
        let stand = Stand::new().await;
        let faces = stand.log.faces(stand.log.orders.clone(), Limits::default());
        let faces = Arc::new(faces);
        let policy = router(Arc::clone(&faces));
        let policy = crate::asking::ask(&policy, Request::get("/lab/policy"), Body::empty());
        let policy = policy.await;
        let file = path(&stand.folder, "policy");
        std::fs::write(&file, policy.body).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(serve(stand.listener, faces, async {
            let _ = stopped.await;
        }));
        let url = format!("http://{}/lab", stand.origin);
        let [key, authority, state] =
            ["lab.pem", "authority", "remembered"].map(|name| path(&stand.folder, name));
        let common = [
            &url,
            "--key",
            &key,
            "--authority",
            &authority,
            "--state",
            &state,
        ];
        let common = common.map(str::to_owned);
        for _ in 0..2 {
            let (status, out) = client(RFC_6962, common.to_vec()).await;
            assert_eq!(status, Some(0), "{out}");
            assert!(out.contains("\"submitted\": 4"), "{out}");
            let with_policy = [&common[..], &["--policy".to_owned(), file.clone()]].concat();
            let (status, out) = client(STATIC, with_policy).await;
            assert_eq!(status, Some(0), "{out}");
            assert!(
                out.contains("\"cosigners\": [\"n1\", \"validators\"]"),
                "{out}"
            );
        }
        stop.send(()).unwrap();
        served.await.unwrap().unwrap();
        stand.log.stop();
    });
}

/// Replaces a text in the replies to one path.
async fn lie(request: Request, next: Next, (place, from, to): (&str, &str, &str)) -> Response {
    let is_meant = request.uri().path().ends_with(place);
    let (mut head, body) = next.run(request).await.into_parts();
    let mut body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
    if is_meant {
        body = match from {
            "" => body.iter().map(|byte| byte ^ 1).collect(),
            _ => String::from_utf8(body)
                .unwrap()
                .replace(from, to)
                .into_bytes(),
        };
        head.headers.remove("content-length");
    }
    Response::from_parts(head, Body::from(body))
}

#[test]
fn clients_find_out_a_log_that_lies() {
    run(async {
        let Stand {
            folder,
            log,
            listener,
            origin,
        } = Stand::new().await;
        let served = tokio::spawn(serve(
            listener,
            Arc::new(log.faces(log.orders.clone(), Limits::default())),
            std::future::pending(),
        ));
        let [key, authority] = ["lab.pem", "authority"].map(|name| path(&folder, name));
        let arguments = |url: &str| {
            let arguments = [url, "--key", &key, "--origin", &format!("{origin}/lab")];
            arguments.map(str::to_owned).to_vec()
        };
        let submitting = ["--authority", &authority, "--count", "2"].map(str::to_owned);
        let honest = [&arguments(&format!("http://{origin}/lab"))[..], &submitting].concat();
        let (status, out) = client(STATIC, honest).await;
        assert_eq!(status, Some(0), "{out}");
        served.abort();

        for (module, lie_at, fault) in [
            (
                STATIC,
                ("/checkpoint", "\n2\n", "\n3\n"),
                "the signature does not hold",
            ),
            (STATIC, ("/checkpoint", "/lab\n", "/lob\n"), "checkpoint of"),
            (STATIC, ("/tile/data/000.p/2", "", ""), "\"fault\""),
            (STATIC, ("/tile/0/000.p/2", "", ""), "tile 0/0 is wrong"),
            (
                RFC_6962,
                ("/get-sth", "\"tree_size\":2", "\"tree_size\":1"),
                "signature does not hold",
            ),
            (
                RFC_6962,
                (
                    "/get-entries",
                    "\"leaf_input\":\"AAAA",
                    "\"leaf_input\":\"AAAB",
                ),
                "\"fault\"",
            ),
        ] {
            let faces = Arc::new(log.faces(log.orders.clone(), Limits::default()));
            let liar: Router =
                router(faces).layer(from_fn(move |request, next| lie(request, next, lie_at)));
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}/lab", listener.local_addr().unwrap());
            let served = tokio::spawn(async { axum::serve(listener, liar).await });
            let mut arguments = arguments(&url);
            if module == RFC_6962 {
                arguments.truncate(3);
            }
            let (status, out) = client(module, arguments).await;
            assert_eq!(status, Some(1), "{module} {lie_at:?}: {out}");
            assert!(out.contains(fault), "{module} {lie_at:?}: {out}");
            served.abort();
        }
        log.stop();
    });
}
