//! [`Judge`]: who knows whether a certificate is good. [`Control`] is the one there is: nexus-control,
//! asked over its admin socket by one JSON object a line.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use bpf_redirect::cert_validator::Fingerprint;
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use crate::docket::Case;
use crate::verdict::Verdict;

/// For one answer: control may have to fetch what tells of revocations.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest reply that is read, in bytes.
const REPLY_BYTES_MAX: u64 = 1 << 20;

/// Something to be judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// What it is about.
    pub case: Case,
    /// DER, leaf first.
    pub certificates: Vec<Vec<u8>>,
}

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// The socket.
    #[error("nexus-control does not answer: {0}")]
    Unreachable(#[from] std::io::Error),
    /// What came is no reply of the admin protocol, or one to another question.
    #[error("nexus-control answered something else: {0}")]
    Unreadable(String),
    /// It says no.
    #[error("nexus-control refused: {0}")]
    Refused(String),
}

/// Judges certificates, one at a time.
pub trait Judge: Send {
    /// The verdict on a chain. May take seconds.
    fn judge(&mut self, question: &Question) -> Result<Verdict, JudgeError>;
}

/// nexus-control behind its unix socket. The connection is kept.
#[derive(Debug)]
pub struct Control {
    socket: PathBuf,
    connection: Option<BufReader<UnixStream>>,
}

#[derive(Serialize)]
struct Request<'a> {
    request: &'static str,
    chain: Vec<String>,
    host: Option<&'a str>,
    /// Not known: a socket's cookie does not tell.
    port: Option<u16>,
}

/// Control's envelope: `{"ok":{"kind":"certificate_verdict",…}}` or `{"error":{…}}`.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reply {
    Ok(Response),
    Error(Failure),
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Response {
    CertificateVerdict(Verdict),
}

#[derive(Deserialize)]
struct Failure {
    message: String,
}

impl Control {
    /// Control at this socket. Nothing is opened yet.
    pub fn new(socket: PathBuf) -> Self {
        Self {
            socket,
            connection: None,
        }
    }

    /// Writes a line and reads one.
    fn exchange(&mut self, line: &[u8]) -> std::io::Result<Vec<u8>> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            empty => {
                let stream = UnixStream::connect(&self.socket)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                empty.insert(BufReader::new(stream))
            }
        };
        connection.get_mut().write_all(line)?;
        let mut reply = Vec::new();
        connection
            .take(REPLY_BYTES_MAX)
            .read_until(b'\n', &mut reply)?;
        if reply.pop() != Some(b'\n') {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(reply)
    }
}

impl Judge for Control {
    fn judge(&mut self, question: &Question) -> Result<Verdict, JudgeError> {
        let line = question.to_line();
        let was_open = self.connection.is_some();
        let mut reply = self.exchange(&line);
        if let Err(error) = &reply {
            self.connection = None;
            // A kept connection ends with a control that was restarted; a new one deserves a try.
            let timed_out = error.kind() == std::io::ErrorKind::WouldBlock;
            if was_open && !timed_out {
                reply = self.exchange(&line);
            }
        }
        let verdict = reply
            .map_err(JudgeError::Unreachable)
            .and_then(|reply| read(&reply, &question.case.fingerprint));
        if !matches!(verdict, Ok(_) | Err(JudgeError::Refused(_))) {
            self.connection = None; // A reply that comes late must not meet the next question.
        }
        verdict
    }
}

impl Question {
    /// `{"request":"certificate_validate",…}` and a newline.
    fn to_line(&self) -> Vec<u8> {
        let chain = self.certificates.iter().map(|der| BASE64.encode(der));
        let request = Request {
            request: "certificate_validate",
            chain: chain.collect(),
            host: self.case.host.as_deref(),
            port: None,
        };
        // Text and numbers alone: this cannot fail, and an empty line would be refused.
        let mut line = serde_json::to_vec(&request).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

/// Reads a reply line to a question about this leaf.
fn read(line: &[u8], leaf: &Fingerprint) -> Result<Verdict, JudgeError> {
    match serde_json::from_slice(line) {
        Ok(Reply::Ok(Response::CertificateVerdict(verdict))) if verdict.is_of(leaf) => Ok(verdict),
        Ok(Reply::Ok(_)) => Err(JudgeError::Unreadable(
            "a verdict on another leaf".to_owned(),
        )),
        Ok(Reply::Error(failure)) => Err(JudgeError::Refused(failure.message)),
        Err(error) => Err(JudgeError::Unreadable(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::verdict::StatusName;

    const LEAF: Fingerprint = [0xab; 32];

    fn question() -> Question {
        Question {
            case: Case {
                fingerprint: LEAF,
                chain: [0; 32],
                host: Some("a.example".to_owned()),
            },
            certificates: vec![b"leaf".to_vec(), b"ca".to_vec()],
        }
    }

    fn verdict_line(leaf: &str) -> String {
        format!(
            r#"{{"ok":{{"kind":"certificate_verdict","fingerprint":"{leaf}","status":"invalid","reason":"expired: ended 5 s ago","host":null,"good_until_unix_secs":7,"total_micros":3,"steps":[{{"step":"validity","result":"failed","reason":"expired","micros":1}}]}}}}"#
        )
    }

    /// Answers a line each with these, and hangs up after each `None`.
    fn serve(
        replies: Vec<Option<String>>,
    ) -> (
        Control,
        std::thread::JoinHandle<Vec<String>>,
        tempfile::TempDir,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let server = std::thread::spawn(move || {
            let mut asked = Vec::new();
            let mut replies = replies.into_iter().peekable();
            while replies.peek().is_some() {
                let (mut stream, _) = listener.accept().unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                for reply in replies.by_ref() {
                    let Some(reply) = reply else { break };
                    let Some(Ok(line)) = lines.next() else { break };
                    asked.push(line);
                    stream.write_all(format!("{reply}\n").as_bytes()).unwrap();
                }
            }
            asked
        });
        (Control::new(path), server, folder)
    }

    #[test]
    fn question_and_verdict_have_the_form_of_the_admin_protocol() {
        let leaf = "AB".repeat(32);
        let (mut control, server, _folder) = serve(vec![Some(verdict_line(&leaf))]);
        let verdict = control.judge(&question()).unwrap();
        assert_eq!(verdict.status, StatusName::Invalid);
        assert_eq!(verdict.reason.as_deref(), Some("expired: ended 5 s ago"));
        let expected = r#"{"request":"certificate_validate","chain":["bGVhZg==","Y2E="],"host":"a.example","port":null}"#;
        assert_eq!(server.join().unwrap(), [expected]);
    }

    #[test]
    fn control_that_was_restarted_is_asked_again() {
        let line = verdict_line(&"ab".repeat(32));
        let replies = vec![Some(line.clone()), None, Some(line)];
        let (mut control, server, _folder) = serve(replies);
        for _ in 0..2 {
            control.judge(&question()).unwrap();
        }
        assert_eq!(server.join().unwrap().len(), 2);
    }

    #[test]
    fn replies_that_are_no_verdict_on_this_leaf_have_their_own_errors() {
        let refusal = r#"{"error":{"code":"bad_request","message":"no such request"}}"#;
        for (reply, expected) in [
            (refusal, "refused: no such request"),
            (&verdict_line("cd"), "another leaf"),
            (r#"{"ok":{"kind":"status"}}"#, "answered something else"),
            ("garbage", "answered something else"),
        ] {
            let (mut control, server, _folder) = serve(vec![Some(reply.to_owned())]);
            let error = control.judge(&question()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            server.join().unwrap();
        }
        let mut control = Control::new("/nonexistent/control.sock".into());
        let error = control.judge(&question()).unwrap_err();
        assert!(matches!(error, JudgeError::Unreachable(_)), "{error}");
    }

    #[test]
    fn any_line_is_a_verdict_or_an_error() {
        bolero::check!()
            .with_type::<Vec<u8>>()
            .for_each(|line| assert!(read(line, &LEAF).is_err()));
    }
}
