//! `ct.monitor`: following logs of Certificate Transparency and watching the names in their certificates.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Problem;
use crate::number::number;
use crate::size::size;
use crate::{Ct, SecretError};

/// Bytes of a webhook's secret at least: 128 bits, if they are random.
pub const WEBHOOK_SECRET_BYTES_MIN: usize = 16;

const SECRET_FILE_BYTES_MAX: u64 = 4096;

/// Follows logs of Certificate Transparency, holds them to what they signed, and tells of certificates for watched names. Off
/// as long as neither `logs` nor `ct.ct_log_endpoints` names a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CtMonitor {
    /// Logs that are followed, with their keys.
    pub logs: Vec<CtMonitorLog>,
    /// File of known logs in Chrome's form, version 3, relative to the folder of the configuration file: in it the logs of
    /// `ct.ct_log_endpoints` are looked up by their URL.
    #[serde(deserialize_with = "crate::zone::optional_file")]
    pub log_list: Option<PathBuf>,
    /// Milliseconds between two looks at a log of `ct.ct_log_endpoints`. A log that says that its reply stays fresh for longer is left
    /// alone for as long.
    #[serde(deserialize_with = "number::<100, 3600000, _, _>")]
    #[schemars(range(min = 100, max = 3_600_000))]
    pub endpoint_poll_ms: u32,
    /// Domains that are watched.
    pub watch: Vec<CtWatch>,
    /// Where alerts are sent.
    pub webhook: Option<CtWebhook>,
    /// Folder of what was read, of alerts and of evidence; relative to `node.data_dir`.
    pub state_dir: PathBuf,
    /// Certificates of which it is known what was seen of them.
    #[serde(deserialize_with = "number::<1, 1000000, _, _>")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub certificates_max: u32,
    /// Memory for the latest alerts; their file takes at most twice as much.
    #[serde(deserialize_with = "size::<1048576, 67108864, _>")]
    pub alert_bytes: u64,
}

impl Default for CtMonitor {
    fn default() -> Self {
        Self {
            logs: Vec::new(),
            log_list: None,
            endpoint_poll_ms: 5_000,
            watch: Vec::new(),
            webhook: None,
            state_dir: "ct-monitor".into(),
            certificates_max: 16_384,
            alert_bytes: 8 << 20,
        }
    }
}

/// A log that is followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CtMonitorLog {
    /// Name for people; left out: its URL.
    #[serde(default)]
    pub name: Option<String>,
    /// By which API it is read.
    pub kind: CtLogKind,
    /// Where it is read: before `ct/v1/` or before `checkpoint`.
    pub url: String,
    /// Of kind static: where certificates are submitted, which is the name in its checkpoints. Left out: `url`.
    #[serde(default)]
    pub submission_url: Option<String>,
    /// Its public key: SubjectPublicKeyInfo in base64.
    pub key: String,
    /// Where to begin if it was never followed.
    #[serde(default)]
    pub from: CtFrom,
    /// Milliseconds between two looks, whatever its replies say about how long they stay fresh.
    #[serde(default = "poll_ms", deserialize_with = "number::<100, 3600000, _, _>")]
    #[schemars(range(min = 100, max = 3_600_000))]
    pub poll_ms: u32,
}

fn poll_ms() -> u32 {
    500
}

/// API of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CtLogKind {
    /// RFC 6962.
    Rfc6962,
    /// C2SP static-ct-api: tiles.
    Static,
}

/// Where following begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CtFrom {
    /// Behind what the log has at the first look.
    #[default]
    Now,
    /// At its first entry.
    Beginning,
}

/// A watched domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CtWatch {
    /// `example.com`: the name alone. `*.example.com`: every name below. `.example.com`: both.
    pub name: String,
    /// Whether domains that look the same are watched, too.
    #[serde(default)]
    pub homoglyphs: bool,
    /// Domains are watched, too, that are at most so many edits away.
    #[serde(default, deserialize_with = "number::<0, 2, _, _>")]
    #[schemars(range(min = 0, max = 2))]
    pub edit_distance: u8,
}

/// A receiver of alerts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CtWebhook {
    /// Where alerts are sent, by POST.
    pub url: String,
    /// File with the key of their signature, relative to the folder of the configuration file: at least 16 bytes, without space at
    /// either end.
    #[serde(deserialize_with = "crate::zone::file")]
    pub secret_file: PathBuf,
}

impl CtWebhook {
    /// The key of the signature.
    ///
    /// # Errors
    /// The file cannot be read, or is too short or too long.
    pub fn secret(&self) -> Result<Vec<u8>, SecretError> {
        let read = read_secret(&self.secret_file, WEBHOOK_SECRET_BYTES_MIN);
        read.map_err(|message| SecretError {
            path: self.secret_file.clone(),
            message,
        })
    }
}

/// What a file has between space, if it is long enough.
pub(crate) fn read_secret(path: &Path, bytes_min: usize) -> Result<Vec<u8>, String> {
    let file = File::open(path).map_err(|error| format!("cannot be opened: {error}"))?;
    let mut bytes = Vec::new();
    let read = file.take(SECRET_FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| format!("cannot be read: {error}"))?;
    let secret = bytes.trim_ascii();
    let is_long_enough = secret.len() >= bytes_min;
    if !is_long_enough || bytes.len() as u64 > SECRET_FILE_BYTES_MAX {
        return Err(format!(
            "expected {bytes_min} to {SECRET_FILE_BYTES_MAX} bytes"
        ));
    }
    Ok(secret.to_vec())
}

impl CtMonitor {
    pub(crate) fn resolve_relative_to(&mut self, folder: &Path) {
        let secret = self
            .webhook
            .as_mut()
            .map(|webhook| &mut webhook.secret_file);
        for file in self.log_list.iter_mut().chain(secret) {
            *file = folder.join(&*file);
        }
    }
}

/// The checks that one key alone cannot make.
pub(crate) fn check(ct: &Ct) -> Result<(), Problem> {
    let monitor = &ct.monitor;
    if !ct.ct_log_endpoints.is_empty() && monitor.log_list.is_none() {
        return Err(Problem::new(
            "ct.ct_log_endpoints",
            "expected ct.monitor.log_list beside it, which has the keys of logs",
        ));
    }
    crate::document::unique("ct.ct_log_endpoints", &ct.ct_log_endpoints)?;
    let endpoints = ct.ct_log_endpoints.iter().enumerate();
    for (index, url) in endpoints {
        check_url(format!("ct.ct_log_endpoints[{index}]"), url)?;
    }
    for (index, log) in monitor.logs.iter().enumerate() {
        let key = format!("ct.monitor.logs[{index}]");
        check_url(format!("{key}.url"), &log.url)?;
        if let Some(url) = &log.submission_url {
            let key = format!("{key}.submission_url");
            if log.kind == CtLogKind::Rfc6962 {
                return Err(Problem::new(key, "expected only for a log of kind static"));
            }
            check_url(key, url)?;
        }
    }
    match &monitor.webhook {
        Some(webhook) => check_url("ct.monitor.webhook.url".to_owned(), &webhook.url),
        None => Ok(()),
    }
}

pub(crate) fn check_url(key: String, url: &str) -> Result<(), Problem> {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    let is_url = rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'));
    if !is_url || url.contains(char::is_whitespace) {
        return Err(Problem::new(key, "expected a URL of http or https"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    fn parse(ct: &str) -> Result<Config, crate::ConfigError> {
        Config::parse(&format!("ct: {ct}"), Path::new("nexus.yaml"))
    }

    #[test]
    fn log_needs_kind_url_and_key_and_has_defaults_for_the_rest() {
        let log = "{kind: static, url: 'https://a.example', key: QUJD}";
        let config = parse(&format!("{{monitor: {{logs: [{log}]}}}}")).unwrap();
        let log = &config.ct.monitor.logs[0];
        assert_eq!((log.poll_ms, log.from), (500, CtFrom::Now));
        for log in [
            "{kind: static, url: 'https://a.example'}",
            "{url: 'https://a.example', key: QUJD}",
            "{kind: tiles, url: 'https://a.example', key: QUJD}",
            "{kind: rfc6962, url: 'https://a.example', key: QUJD, poll_ms: 99}",
        ] {
            assert!(
                parse(&format!("{{monitor: {{logs: [{log}]}}}}")).is_err(),
                "{log}"
            );
        }
    }

    #[test]
    fn what_contradicts_itself_names_its_key() {
        for (text, key) in [
            ("{ct_log_endpoints: ['https://a']}", "ct.ct_log_endpoints"),
            (
                "{ct_log_endpoints: ['https://a', 'https://a'], monitor: {log_list: l}}",
                "ct.ct_log_endpoints[1]",
            ),
            (
                "{ct_log_endpoints: ['ftp://a'], monitor: {log_list: l}}",
                "ct.ct_log_endpoints[0]",
            ),
            (
                "{monitor: {logs: [{kind: static, url: 'https:///a', key: a}]}}",
                "ct.monitor.logs[0].url",
            ),
            (
                "{monitor: {logs: [{kind: rfc6962, url: 'http://a', submission_url: 'http://a', key: a}]}}",
                "ct.monitor.logs[0].submission_url",
            ),
            (
                "{monitor: {webhook: {url: 'a b', secret_file: s}}}",
                "ct.monitor.webhook.url",
            ),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.key.as_deref(), Some(key), "{text}");
        }
    }

    #[test]
    fn secret_is_what_the_file_has_between_space_if_it_is_long_enough() {
        let folder = tempfile::tempdir().unwrap();
        let webhook = CtWebhook {
            url: "https://a.example".to_owned(),
            secret_file: folder.path().join("secret"),
        };
        assert!(webhook.secret().is_err());
        for (text, expected) in [
            ("0123456789abcdef\n", Some("0123456789abcdef")),
            (" 0123456789abcde \n", None),
            ("", None),
        ] {
            std::fs::write(&webhook.secret_file, text).unwrap();
            let secret = webhook.secret().ok();
            assert_eq!(secret.as_deref(), expected.map(str::as_bytes));
        }
        std::fs::write(&webhook.secret_file, "x".repeat(5_000)).unwrap();
        let error = webhook.secret().unwrap_err();
        assert!(error.to_string().contains("expected 16 to 4096 bytes"));
    }
}
