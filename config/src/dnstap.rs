//! `dnstap`: a log of queries and responses in the form of dnstap.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::number::number;

/// A log of queries and responses in the form of dnstap (<https://dnstap.info>), of what reaches control, and of samples
/// of what workers answer. Off unless a socket or a file is named. A reader that is slow or gone costs log frames and never answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Dnstap {
    /// Unix socket of a reader, to which frames are sent.
    pub socket: Option<PathBuf>,
    /// File to write, opened anew at SIGHUP. One of `socket` and `file`.
    pub file: Option<PathBuf>,
    /// One in so many queries is logged, together with its response.
    #[serde(deserialize_with = "number::<1, 1000000, _, _>")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub sample: u32,
    /// One in so many queries that workers answer from their caches is logged, too; 0: none. Not more than
    /// 8000 a second and worker.
    #[serde(deserialize_with = "number::<0, 1000000, _, _>")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub worker_sample: u32,
    /// What is logged.
    pub messages: Vec<DnstapMessage>,
    /// Text that tells this server from others; left out: that of `resolver.identity`.
    pub identity: Option<String>,
    /// Text about the program; left out: that of `resolver.version`.
    pub version: Option<String>,
}

impl Default for Dnstap {
    fn default() -> Self {
        Self {
            socket: None,
            file: None,
            sample: 1,
            worker_sample: 0,
            messages: vec![
                DnstapMessage::ClientQuery,
                DnstapMessage::ClientResponse,
                DnstapMessage::ResolverQuery,
                DnstapMessage::ResolverResponse,
            ],
            identity: None,
            version: None,
        }
    }
}

impl Dnstap {
    /// One in so many queries that a worker is to report; 0: none.
    #[must_use]
    pub fn worker_sample_in_use(&self) -> u32 {
        let is_on = self.socket.is_some() || self.file.is_some();
        if is_on { self.worker_sample } else { 0 }
    }
}

/// A kind of message to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DnstapMessage {
    /// What a client asked.
    ClientQuery,
    /// What a client was answered.
    ClientResponse,
    /// What a server was asked.
    ResolverQuery,
    /// What a server answered.
    ResolverResponse,
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::{Config, DnstapMessage};

    #[test]
    fn log_goes_to_a_socket_or_a_file_and_names_its_messages() {
        let parse = |text: &str| Config::parse(text, Path::new("nexus.yaml"));
        let config = parse("dnstap: {file: a, messages: [client-response]}").unwrap();
        assert_eq!(config.dnstap.messages, [DnstapMessage::ClientResponse]);
        let error = parse("dnstap: {socket: a, file: b}").unwrap_err();
        assert_eq!(error.key.as_deref(), Some("dnstap.file"));
        for text in ["{sample: 0}", "{messages: [auth-query]}"] {
            assert!(parse(&format!("dnstap: {text}")).is_err(), "{text}");
        }
    }
}
