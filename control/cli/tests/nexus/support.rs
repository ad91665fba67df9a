//! A scripted admin server on a temporary socket, and commands run against it into a buffer.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use clap::Parser;
use cli::exit::Exit;
use cli::options::Cli;
use node::admin::{Failure, FailureCode, Lines, REQUEST_BYTES_MAX, Reply, Request, Response};
use tempfile::TempDir;

/// What the server writes for one request.
pub(crate) enum Line {
    Reply(Reply),
    Bytes(Vec<u8>),
}

impl From<Response> for Line {
    fn from(response: Response) -> Self {
        Self::Reply(Reply::Ok(response))
    }
}

pub(crate) fn refusal(code: FailureCode, message: &str) -> Line {
    Line::Reply(Reply::Error(Failure::new(code, message)))
}

/// Where both planes would have their sockets, and a configuration that says so.
pub(crate) struct Place {
    folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self {
            folder: TempDir::new().unwrap(),
        };
        let text = format!(
            "api: {{socket: {}}}\ndataplane: {{socket: {}, interface: eth1}}\n",
            place.control().display(),
            place.dataplane().display()
        );
        place.write("nexus.yaml", &text);
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn control(&self) -> PathBuf {
        self.path("control.sock")
    }

    pub(crate) fn dataplane(&self) -> PathBuf {
        self.path("dataplane.sock")
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path("nexus.yaml")
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Runs `nexus` with these arguments into a buffer.
    pub(crate) fn run(&self, arguments: &[&str]) -> (anyhow::Result<Exit>, String) {
        let config = self.config();
        let program = ["nexus", "--config", config.to_str().unwrap()];
        let cli = Cli::try_parse_from(program.iter().chain(arguments)).unwrap();
        let mut out = Vec::new();
        let exit = cli.run(&mut out);
        (exit, String::from_utf8(out).unwrap())
    }
}

/// Answers each request with the next line of its script, over as many connections as come.
pub(crate) struct Fake {
    place: Place,
    requests: Arc<Mutex<Vec<Request>>>,
    server: Option<JoinHandle<()>>,
}

impl Fake {
    pub(crate) fn new(script: Vec<Line>) -> Self {
        let place = Place::new();
        let listener = UnixListener::bind(place.control()).unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let server = thread::spawn(move || {
            let mut script = script.into_iter();
            for stream in listener.incoming() {
                if !serve(&stream.unwrap(), &mut script, &seen) {
                    return;
                }
            }
        });
        Self {
            place,
            requests,
            server: Some(server),
        }
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> (anyhow::Result<Exit>, String) {
        self.place.run(arguments)
    }

    /// Runs a command that must not fail to run.
    pub(crate) fn output(&self, arguments: &[&str]) -> (Exit, String) {
        let (exit, text) = self.run(arguments);
        (exit.unwrap(), text)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.place.config()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        hang_up(&self.place.control());
        if let Some(server) = self.server.take()
            && server.join().is_err()
            && !thread::panicking()
        {
            panic!("the fake server failed");
        }
    }
}

/// Tells the server to end: a line that is no request.
fn hang_up(path: &Path) {
    if let Ok(mut stream) = UnixStream::connect(path) {
        let _ = stream.write_all(b"stop\n"); // It may have ended already.
    }
}

/// Serves one connection; false when the server shall end.
fn serve(
    mut stream: &UnixStream,
    script: &mut impl Iterator<Item = Line>,
    seen: &Mutex<Vec<Request>>,
) -> bool {
    let mut lines = Lines::new(REQUEST_BYTES_MAX);
    let mut chunk = [0; 1024];
    loop {
        while let Some(line) = lines.next_line().unwrap() {
            let Ok(request) = Request::decode(&line) else {
                return false;
            };
            seen.lock().unwrap().push(request);
            // A script at its end hangs up without a reply.
            let bytes = match script.next() {
                Some(Line::Reply(reply)) => reply.encode().unwrap(),
                Some(Line::Bytes(bytes)) => {
                    stream.write_all(&bytes).unwrap();
                    return true;
                }
                None => return true,
            };
            stream.write_all(&bytes).unwrap();
        }
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return true,
            Ok(count) => lines.push(&chunk[..count]),
        }
    }
}
