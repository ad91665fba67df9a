//! `dnstap:` with a unix socket.

use config::{Dnstap, DnstapMessage};

use super::mapper::Mapper;
use super::report::Verdict;
use super::source::Clause;

/// Which option turns which message on. Forwarders are asked like other servers here.
const MESSAGES: [(&str, DnstapMessage); 6] = [
    (
        "dnstap-log-client-query-messages",
        DnstapMessage::ClientQuery,
    ),
    (
        "dnstap-log-client-response-messages",
        DnstapMessage::ClientResponse,
    ),
    (
        "dnstap-log-resolver-query-messages",
        DnstapMessage::ResolverQuery,
    ),
    (
        "dnstap-log-resolver-response-messages",
        DnstapMessage::ResolverResponse,
    ),
    (
        "dnstap-log-forwarder-query-messages",
        DnstapMessage::ResolverQuery,
    ),
    (
        "dnstap-log-forwarder-response-messages",
        DnstapMessage::ResolverResponse,
    ),
];

/// Largest value of `dnstap.sample`.
const SAMPLE_MAX: u32 = 1_000_000;

impl Mapper {
    pub(super) fn dnstap(&mut self, clause: &Clause) -> Verdict {
        let is_on = |option: &str| clause.last(option) == Some("yes");
        let socket = clause
            .last("dnstap-socket-path")
            .filter(|path| !path.is_empty());
        if !is_on("dnstap-enable") {
            return Verdict::default("it is off");
        }
        let is_local = clause.last("dnstap-ip").is_none_or(str::is_empty);
        let Some(socket) = socket.filter(|_| is_local) else {
            return Verdict::no_effect(
                "no query log over TCP or TLS; expected a dnstap-socket-path",
            );
        };
        let mut messages = Vec::new();
        for (option, message) in MESSAGES {
            if is_on(option) && !messages.contains(&message) {
                messages.push(message);
            }
        }
        let text = |switch: &str, option: &str| match is_on(switch) {
            true => clause
                .last(option)
                .filter(|text| !text.is_empty())
                .map(str::to_owned),
            false => Some(String::new()),
        };
        let sample = clause
            .last("dnstap-sample-rate")
            .and_then(|rate| rate.parse().ok());
        let sample = sample.unwrap_or(1).clamp(1, SAMPLE_MAX);
        self.config.dnstap = Dnstap {
            socket: Some(self.path(socket)),
            file: None,
            sample,
            worker_sample: sample,
            messages,
            identity: text("dnstap-send-identity", "dnstap-identity"),
            version: text("dnstap-send-version", "dnstap-version"),
        };
        let note =
            "of what workers answer from memory, at most 8000 a second and worker are logged";
        Verdict::taken("dnstap").noting(Some(note.to_owned()))
    }
}
