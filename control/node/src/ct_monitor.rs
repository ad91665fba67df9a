//! The monitor of Certificate Transparency, as the configuration wants it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use config::{Config, CtFrom, CtLogKind, CtMonitorLog};
use ct::{LogAddress, LogKey, LogList};
use data_encoding::BASE64;
use monitor::{
    LogSource, Monitor, MonitorHandle, MonitorSettings, Start, WatchPattern, Watchlist,
    WebhookSettings,
};

use crate::admin::{Failure, FailureCode, Response};
use crate::control::apart;

/// Bytes of a log list. Chrome's has some 100 KiB.
const LOG_LIST_BYTES_MAX: u64 = 16 << 20;

/// What of the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {message}")]
pub struct CtMonitorError {
    /// Dotted key.
    pub key: String,
    /// What is wrong with it.
    pub message: String,
}

impl CtMonitorError {
    fn new(key: impl Into<String>, message: impl ToString) -> Self {
        Self {
            key: key.into(),
            message: message.to_string(),
        }
    }
}

/// What the monitor is to do; none if it has no log to follow.
///
/// # Errors
/// If a key, a pattern, the list of logs or the secret cannot be used.
pub fn settings(config: &Config) -> Result<Option<MonitorSettings>, CtMonitorError> {
    let (from, endpoints) = (&config.ct.monitor, &config.ct.ct_log_endpoints);
    if from.logs.is_empty() && endpoints.is_empty() {
        return Ok(None);
    }
    let mut logs = Vec::with_capacity(from.logs.len() + endpoints.len());
    for (index, log) in from.logs.iter().enumerate() {
        let key = format!("ct.monitor.logs[{index}].key");
        let source = source(log).map_err(|message| CtMonitorError::new(key, message))?;
        logs.push(Arc::new(source));
    }
    if let Some(path) = from.log_list.as_ref().filter(|_| !endpoints.is_empty()) {
        let list = read_list(path)
            .map_err(|message| CtMonitorError::new("ct.monitor.log_list", message))?;
        let known = by_url(&list);
        for (index, url) in endpoints.iter().enumerate() {
            let log = known.get(url.trim_end_matches('/'));
            let Some(log) = log else {
                let key = format!("ct.ct_log_endpoints[{index}]");
                let message = format!("{} has no log there", path.display());
                return Err(CtMonitorError::new(key, message));
            };
            logs.push(Arc::new(LogSource {
                name: match log.description.as_str() {
                    "" => url.clone(),
                    description => description.to_owned(),
                },
                key: log.key.clone(),
                address: log.address.clone(),
                start: Start::Now,
                poll_ms: from.endpoint_poll_ms.into(),
                heeds_freshness: true,
            }));
        }
    }
    let webhook = match &from.webhook {
        Some(to) => Some(WebhookSettings {
            url: to.url.clone(),
            secret: to
                .secret()
                .map_err(|error| CtMonitorError::new("ct.monitor.webhook.secret_file", error))?,
        }),
        None => None,
    };
    let count = usize::try_from(from.certificates_max).unwrap_or(usize::MAX);
    Ok(Some(MonitorSettings {
        logs,
        watchlist: watchlist(config)?,
        webhook,
        folder: config.node.data_dir.join(&from.state_dir),
        certificates_max: count,
        alert_bytes_max: usize::try_from(from.alert_bytes).unwrap_or(usize::MAX),
        seed: 0,
    }))
}

fn source(log: &CtMonitorLog) -> Result<LogSource, String> {
    let key = BASE64
        .decode(log.key.as_bytes())
        .map_err(|error| error.to_string())?;
    let key = LogKey::new(&key).map_err(|error| error.to_string())?;
    let url = log.url.clone();
    let address = match log.kind {
        CtLogKind::Rfc6962 => LogAddress::Rfc6962 { url },
        CtLogKind::Static => LogAddress::Tiled {
            submission_url: log.submission_url.clone().unwrap_or_else(|| url.clone()),
            monitoring_url: url,
        },
    };
    Ok(LogSource {
        name: log.name.clone().unwrap_or_else(|| log.url.clone()),
        key,
        address,
        start: match log.from {
            CtFrom::Now => Start::Now,
            CtFrom::Beginning => Start::Beginning,
        },
        poll_ms: log.poll_ms.into(),
        heeds_freshness: false,
    })
}

fn watchlist(config: &Config) -> Result<Watchlist, CtMonitorError> {
    let mut patterns = Vec::with_capacity(config.ct.monitor.watch.len());
    for (index, watch) in config.ct.monitor.watch.iter().enumerate() {
        let pattern = WatchPattern::parse(&watch.name, watch.homoglyphs, watch.edit_distance);
        patterns.push(
            pattern.map_err(|error| {
                CtMonitorError::new(format!("ct.monitor.watch[{index}]"), error)
            })?,
        );
    }
    Watchlist::new(patterns).map_err(|error| CtMonitorError::new("ct.monitor.watch", error))
}

fn read_list(path: &Path) -> Result<LogList, String> {
    let of_file = |message: String| format!("{}: {message}", path.display());
    let file = File::open(path).map_err(|error| of_file(error.to_string()))?;
    let mut bytes = Vec::new();
    file.take(LOG_LIST_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| of_file(error.to_string()))?;
    if bytes.len() as u64 > LOG_LIST_BYTES_MAX {
        return Err(of_file(format!("longer than {LOG_LIST_BYTES_MAX} bytes")));
    }
    LogList::parse(&bytes).map_err(|error| of_file(error.to_string()))
}

/// Logs by each of their URLs, without slash at the end.
fn by_url(list: &LogList) -> BTreeMap<&str, &ct::Log> {
    let mut known = BTreeMap::new();
    for log in list.logs() {
        let urls = match &log.address {
            LogAddress::Rfc6962 { url } => [url, url],
            LogAddress::Tiled {
                submission_url,
                monitoring_url,
            } => [submission_url, monitoring_url],
        };
        for url in urls {
            known.insert(url.trim_end_matches('/'), log);
        }
    }
    known
}

/// Starts the monitor, if there is a log to follow. `seed` spreads its waits.
///
/// # Errors
/// As [`settings`], and if its folder cannot be used.
pub(crate) fn start(config: &Config, seed: u64) -> Result<Option<Monitor>, CtMonitorError> {
    let Some(settings) = settings(config)? else {
        return Ok(None);
    };
    let folder = settings.folder.display().to_string();
    let monitor = Monitor::start(MonitorSettings { seed, ..settings });
    monitor
        .map(Some)
        .map_err(|error| CtMonitorError::new("ct.monitor", format!("{folder}: {error}")))
}

/// What is asked of the monitor.
#[derive(Debug)]
pub(crate) enum Asked {
    Status,
    Alerts { cursor: u64 },
    Certificates { name: Option<String> },
}

/// Asks the monitor, which may be writing to the disk, beside the runtime's only thread.
pub(crate) async fn carry_out(
    monitor: Option<MonitorHandle>,
    asked: Asked,
) -> Result<Response, Failure> {
    let Some(monitor) = monitor else {
        let text = "no log is followed: neither ct.monitor.logs nor ct.ct_log_endpoints has one";
        return Err(Failure::new(FailureCode::Unavailable, text));
    };
    apart(move || match asked {
        Asked::Status => Response::CtMonitorStatus(Box::new(monitor.status())),
        Asked::Alerts { cursor } => Response::CtMonitorAlerts(monitor.alerts(cursor)),
        Asked::Certificates { name } => Response::CtCertificates {
            certificates: monitor.certificates(name.as_deref()),
        },
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a log that anybody can look up: Google's Argon 2020.
    const KEY: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE6Tx2p1yKY4015NyIYvdrk36es0uAc1zA4PQ+TGRY+3ZjUTIYY9Wyu+3q/147JG4vNVKLtDWarZwVqGkg6lAYzA==";

    fn settings_of(ct: &str) -> Result<Option<MonitorSettings>, CtMonitorError> {
        let text = format!("{{node: {{data_dir: /data}}, ct: {ct}}}");
        settings(&Config::parse(&text, Path::new("nexus.yaml")).unwrap())
    }

    #[test]
    fn without_a_log_there_is_no_monitor() {
        assert!(
            settings_of("{monitor: {watch: [{name: a.example}]}}")
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn logs_watches_and_folder_are_those_of_the_configuration() {
        let log = format!(
            "{{kind: static, url: 'https://read.example/a/', submission_url: 'https://submit.example/a/', key: {KEY}, from: beginning}}"
        );
        let watch = "[{name: .example.com, homoglyphs: true, edit_distance: 1}]";
        let ct = format!("{{monitor: {{logs: [{log}], watch: {watch}}}}}");
        let settings = settings_of(&ct).unwrap().unwrap();
        assert_eq!(settings.folder, Path::new("/data/ct-monitor"));
        let [log] = settings.logs.as_slice() else {
            panic!("{settings:?}");
        };
        assert_eq!(log.address.origin().unwrap().as_str(), "submit.example/a");
        assert_eq!((log.poll_ms, log.start), (500, Start::Beginning));
        let patterns = settings.watchlist.patterns();
        assert_eq!(patterns[0].to_string(), ".example.com");
        assert_eq!(patterns[0].edit_distance(), 1);
    }

    #[test]
    fn endpoint_is_looked_up_in_the_list_by_any_of_its_urls() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list.json");
        let id = LogKey::new(&BASE64.decode(KEY.as_bytes()).unwrap())
            .unwrap()
            .id();
        let list = serde_json::json!({ "operators": [{ "name": "One", "tiled_logs": [{
            "description": "Log one", "log_id": BASE64.encode(&id.0), "key": KEY, "mmd": 60,
            "submission_url": "https://submit.example/", "monitoring_url": "https://read.example/",
        }] }] });
        std::fs::write(&path, list.to_string()).unwrap();
        let of_url = |url: &str| {
            let list = path.display();
            settings_of(&format!(
                "{{ct_log_endpoints: ['{url}'], monitor: {{log_list: {list}}}}}"
            ))
        };
        for url in ["https://read.example", "https://submit.example/"] {
            let settings = of_url(url).unwrap().unwrap();
            assert_eq!(settings.logs[0].name, "Log one");
            assert_eq!(
                (settings.logs[0].poll_ms, settings.logs[0].start),
                (5_000, Start::Now)
            );
        }
        let error = of_url("https://other.example").unwrap_err();
        assert_eq!(error.key, "ct.ct_log_endpoints[0]");
        std::fs::write(&path, "{}").unwrap();
        assert_eq!(
            of_url("https://read.example").unwrap_err().key,
            "ct.monitor.log_list"
        );
    }

    #[test]
    fn what_cannot_be_used_names_its_key() {
        let log = |key: &str| format!("{{kind: rfc6962, url: 'https://a.example', key: {key}}}");
        for (ct, key) in [
            (
                format!("{{logs: [{}]}}", log("QUJD")),
                "ct.monitor.logs[0].key",
            ),
            (
                format!("{{logs: [{}]}}", log("'?'")),
                "ct.monitor.logs[0].key",
            ),
            (
                format!("{{logs: [{}], watch: [{{name: a b}}]}}", log(KEY)),
                "ct.monitor.watch[0]",
            ),
            (
                format!(
                    "{{logs: [{}], webhook: {{url: 'http://a', secret_file: /none}}}}",
                    log(KEY)
                ),
                "ct.monitor.webhook.secret_file",
            ),
        ] {
            let error = settings_of(&format!("{{monitor: {ct}}}")).unwrap_err();
            assert_eq!(error.key, key, "{error}");
        }
    }
}
