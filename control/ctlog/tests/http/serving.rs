//! The server on a socket: whose requests they are, and its end.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ctlog::http::{Limits, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::asking::{Bench, chain_json, run};
use crate::pki::leaf;
use crate::submitting::Fixed;

/// Submits as a proxy does for a client, and leaves the reply.
async fn submit(address: SocketAddr, client: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let request = format!(
        "POST /2026h2/ct/v1/add-chain HTTP/1.1\r\nhost: x\r\nx-forwarded-for: {client}\r\n\
         connection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

async fn reply(mut stream: TcpStream) -> String {
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    reply
}

#[test]
fn clients_behind_a_proxy_are_told_apart_and_served_to_the_end() {
    run(async {
        let limits = Limits {
            submissions_of_client_max: 1,
            submission_timeout: Duration::from_millis(500),
            proxies: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
            ..Limits::default()
        };
        let bench = Bench::new().await;
        let body = chain_json(&[&bench.root.issue(&leaf())]);
        // Nothing is ever ordered: each waits until its time is over.
        let faces = bench.log.faces(Arc::new(Fixed(None)), limits);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(serve(listener, Arc::new(faces), async {
            let _ = stopped.await;
        }));
        let first = submit(address, "192.0.2.1", &body).await;
        let second = submit(address, "192.0.2.2", &body).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let third = submit(address, "192.0.2.1", &body).await;
        let third = timeout(Duration::from_millis(200), reply(third)).await;
        assert!(third.unwrap().starts_with("HTTP/1.1 429 "));
        stop.send(()).unwrap();
        for waiting in [first, second] {
            let reply = reply(waiting).await;
            assert!(reply.starts_with("HTTP/1.1 503 "), "{reply}");
            assert!(reply.contains("has not ordered it in time"), "{reply}");
        }
        served.await.unwrap().unwrap();
        bench.log.stop();
    });
}
