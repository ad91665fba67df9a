//! `/metrics` over HTTP: one client at a time, none of whom may dawdle.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

/// For a client's request, and for taking the answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longest request that is read, in bytes.
const REQUEST_BYTES_MAX: u64 = 8192;

/// Answers clients for ever, with what `render` says at that moment.
pub fn serve(listener: &TcpListener, render: impl Fn() -> String) {
    for client in listener.incoming() {
        let answered = client.and_then(|client| answer(client, &render));
        if let Err(error) = answered {
            tracing::debug!(%error, "a client of the metrics went away");
        }
    }
}

fn answer(mut client: TcpStream, render: &impl Fn() -> String) -> io::Result<()> {
    client.set_read_timeout(Some(PATIENCE))?;
    client.set_write_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new((&client).take(REQUEST_BYTES_MAX)).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    // The rest is read, so that closing the connection does not reset it under the answer.
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let (status, body) = match request.split(' ').nth(1) {
        Some("/metrics") => ("200 OK", render()),
        _ => ("404 Not Found", "the only page is /metrics\n".to_owned()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    client.write_all(head.as_bytes())?;
    client.write_all(body.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(request: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.write_all(request.as_bytes()).unwrap();
        let (server, _) = listener.accept().unwrap();
        let answered = std::thread::spawn(move || answer(server, &|| "a 1\n".to_owned()));
        let mut reply = String::new();
        client.read_to_string(&mut reply).unwrap();
        answered.join().unwrap().unwrap();
        reply
    }

    #[test]
    fn metrics_are_the_only_page() {
        let reply = ask("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
        assert!(reply.ends_with("\r\n\r\na 1\n"), "{reply}");
        for request in ["GET / HTTP/1.1\r\n\r\n", "\r\n\r\n"] {
            assert!(ask(request).starts_with("HTTP/1.1 404 "));
        }
    }
}
