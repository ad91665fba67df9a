//! Clients in another language, which share no code with the log, against a log on loopback.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use ct::{Roots, Shard, unix_midnight};
use ctlog::http::{Limits, serve};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::asking::run;
use crate::lone::Lone;

/// The one block of a PEM file.
pub(crate) fn der_of(pem: &[u8]) -> Vec<u8> {
    let text = str::from_utf8(pem).unwrap();
    let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    data_encoding::BASE64.decode(body.as_bytes()).unwrap()
}

/// A module of the laboratory, with its output.
fn python(module: &str, arguments: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut command = Command::new("python3");
    command.current_dir(root).args(["-m", module]);
    let output = command.args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{module}: {out}{error}");
    out
}

#[test]
fn clients_that_know_one_api_submit_and_believe_what_they_read() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let authority = folder.path().join("authority");
        let authority = authority.to_str().unwrap();
        let make = [
            "",
            "--key",
            "",
            "--make-authority",
            "--authority",
            authority,
        ];
        python("tests.lab.ct_rfc6962", &make);
        let root = std::fs::read(Path::new(authority).join("root.pem")).unwrap();
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
        let faces = log.faces(log.orders.clone(), Limits::default());
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(serve(listener, Arc::new(faces), async {
            let _ = stopped.await;
        }));
        let url = format!("http://{origin}/lab");
        let key = folder.path().join("lab.pem");
        let key = key.to_str().unwrap().to_owned();
        let authority = authority.to_owned();
        let state = folder
            .path()
            .join("state.json")
            .to_str()
            .unwrap()
            .to_owned();
        let policy = folder.path().join("policy").to_str().unwrap().to_owned();
        let clients = tokio::task::spawn_blocking(move || {
            let fetch = "import sys, urllib.request as r; sys.stdout.write(r.urlopen(sys.argv[1]).read().decode())";
            let text = Command::new("python3")
                .args(["-c", fetch, &format!("{url}/policy")])
                .output()
                .unwrap();
            std::fs::write(&policy, text.stdout).unwrap();
            let common = [
                &url,
                "--key",
                &key,
                "--authority",
                &authority,
                "--state",
                &state,
            ];
            for round in 0..2 {
                let out = python("tests.lab.ct_rfc6962", &common);
                assert!(out.contains("\"submitted\": 4"), "{round}: {out}");
                let with_policy = [&common[..], &["--policy", &policy]].concat();
                let out = python("tests.lab.ct_static", &with_policy);
                assert!(out.contains("\"n1\""), "{round}: {out}");
            }
        });
        clients.await.unwrap();
        stop.send(()).unwrap();
        served.await.unwrap().unwrap();
        log.stop();
    });
}
