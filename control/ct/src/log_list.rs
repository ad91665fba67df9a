//! [`LogList`]: the logs that a browser knows (Chrome's `log_list.json`, version 3), found by their ids.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use crate::base64::Base64;
use crate::hash::Hash;
use crate::log_key::{KeyError, LogKey};
use crate::note::KeyName;
use crate::rfc3339::parse_rfc3339_ms;

/// Age at which Chrome no longer enforces with a list: ten weeks, in milliseconds.
pub const LOG_LIST_AGE_MAX_MS: u64 = 70 * 24 * 3_600 * 1_000;

/// Known logs by id, and what in the list could not be used.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogList {
    timestamp_ms: Option<u64>,
    logs: BTreeMap<Hash, Log>,
    refused: Vec<RefusedLog>,
}

/// One log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Key of its signatures.
    pub key: LogKey,
    /// Name for people.
    pub description: String,
    /// Who operates it now.
    pub operator: String,
    /// Who did before, with the time at which each stopped, in milliseconds since 1970, earliest first.
    pub previous_operators: Vec<(u64, String)>,
    /// Where and how it is read.
    pub address: LogAddress,
    /// Maximum merge delay, in seconds.
    pub mmd_s: u64,
    /// What the browser thinks of it. Lists of all logs do not say of each.
    pub state: Option<LogState>,
    /// The certificates it takes expire in this interval: from the first, before the second, in milliseconds since 1970.
    pub temporal_interval_ms: Option<(u64, u64)>,
}

/// The API of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogAddress {
    /// RFC 6962.
    Rfc6962 {
        /// Before `ct/v1/`.
        url: String,
    },
    /// static-ct-api.
    Tiled {
        /// Before `ct/v1/add-chain`.
        submission_url: String,
        /// Before `checkpoint` and `tile/`.
        monitoring_url: String,
    },
}

/// A log's state, and since when it is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogState {
    /// Which.
    pub kind: LogStateKind,
    /// In milliseconds since 1970.
    pub since_ms: u64,
}

/// States of Chrome's log lifecycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogStateKind {
    /// Asked for, not yet accepted.
    Pending,
    /// Accepted.
    Qualified,
    /// Accepted, and known to every browser that enforces.
    Usable,
    /// Gives no more timestamps.
    ReadOnly,
    /// No longer trusted for new timestamps.
    Retired,
    /// Not trusted.
    Rejected,
}

/// A log that was left out, because one that cannot be used must not spoil the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedLog {
    /// Its operator.
    pub operator: String,
    /// Its place among the operator's logs, tiled ones last, from 0.
    pub index: usize,
    /// What is wrong with it.
    pub reason: LogError,
}

/// Why a log cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LogError {
    /// A field is missing or of another type: what serde says.
    #[error("{0}")]
    Field(String),
    /// The key is none of a log.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The id is not the hash of the key.
    #[error("log id is not the hash of its key {0}")]
    Id(Hash),
    /// Another log of the list has the same key.
    #[error("log {0} twice")]
    Duplicate(Hash),
    /// A time that is none.
    #[error("not a time: {0}")]
    Time(String),
    /// In no state, or in several.
    #[error("{0} states")]
    States(usize),
}

/// Why a text is no log list.
#[derive(Debug, Error)]
#[error("not a log list: {0}")]
pub struct LogListError(#[from] serde_json::Error);

impl LogList {
    /// Reads a list.
    ///
    /// # Errors
    ///
    /// If it is no JSON, or has no operators. Logs that cannot be used are left out: see [`Self::refused`].
    pub fn parse(json: &[u8]) -> Result<Self, LogListError> {
        let file: ListFile = serde_json::from_slice(json)?;
        let mut list = Self {
            timestamp_ms: file
                .log_list_timestamp
                .as_deref()
                .and_then(parse_rfc3339_ms),
            ..Self::default()
        };
        for operator in file.operators {
            let logs = operator.logs.into_iter().map(|log| (log, false));
            let tiled = operator.tiled_logs.into_iter().map(|log| (log, true));
            for (index, (log, is_tiled)) in logs.chain(tiled).enumerate() {
                if let Err(reason) = list.add(&operator.name, log, is_tiled) {
                    let operator = operator.name.clone();
                    list.refused.push(RefusedLog {
                        operator,
                        index,
                        reason,
                    });
                }
            }
        }
        Ok(list)
    }

    fn add(&mut self, operator: &str, log: Value, is_tiled: bool) -> Result<(), LogError> {
        let field = |error: serde_json::Error| LogError::Field(error.to_string());
        let address = if is_tiled {
            let tiled: TiledFile = Deserialize::deserialize(&log).map_err(field)?;
            LogAddress::Tiled {
                submission_url: tiled.submission_url,
                monitoring_url: tiled.monitoring_url,
            }
        } else {
            let plain: PlainFile = Deserialize::deserialize(&log).map_err(field)?;
            LogAddress::Rfc6962 { url: plain.url }
        };
        let file: LogFile = serde_json::from_value(log).map_err(field)?;
        let log = file.into_log(operator, address)?;
        let id = log.key.id();
        if self.logs.contains_key(&id) {
            return Err(LogError::Duplicate(id));
        }
        self.logs.insert(id, log);
        Ok(())
    }

    /// The log with this id.
    #[must_use]
    pub fn get(&self, id: &Hash) -> Option<&Log> {
        self.logs.get(id)
    }

    /// All of them, by id.
    pub fn logs(&self) -> impl Iterator<Item = &Log> {
        self.logs.values()
    }

    /// Those that were left out.
    #[must_use]
    pub fn refused(&self) -> &[RefusedLog] {
        &self.refused
    }

    /// When it was made, in milliseconds since 1970, if it says so.
    #[must_use]
    pub fn timestamp_ms(&self) -> Option<u64> {
        self.timestamp_ms
    }

    /// Whether it is younger than ten weeks. With an older one Chrome does not enforce: newer logs would be unknown.
    #[must_use]
    pub fn is_timely(&self, now_ms: u64) -> bool {
        let age_ms = self.timestamp_ms.map(|made| now_ms.saturating_sub(made));
        age_ms.is_some_and(|age| age < LOG_LIST_AGE_MAX_MS)
    }
}

impl LogAddress {
    /// First line of the log's checkpoints: its submission prefix without scheme and trailing slashes (static-ct-api,
    /// "Checkpoints"). None if that is no name.
    #[must_use]
    pub fn origin(&self) -> Option<KeyName> {
        let (Self::Rfc6962 { url }
        | Self::Tiled {
            submission_url: url,
            ..
        }) = self;
        let (_, origin) = url.split_once("://")?;
        KeyName::new(origin.trim_end_matches('/'))
    }
}

impl Log {
    /// Who operated it at that time, in milliseconds since 1970.
    #[must_use]
    pub fn operator_at(&self, time_ms: u64) -> &str {
        let mut previous = self.previous_operators.iter();
        let then = previous.find(|(end_ms, _)| time_ms < *end_ms);
        then.map_or(&self.operator, |(_, name)| name)
    }
}

#[derive(Deserialize)]
struct ListFile {
    log_list_timestamp: Option<String>,
    operators: Vec<OperatorFile>,
}

#[derive(Deserialize)]
struct OperatorFile {
    name: String,
    #[serde(default)]
    logs: Vec<Value>,
    #[serde(default)]
    tiled_logs: Vec<Value>,
}

#[derive(Deserialize)]
struct PlainFile {
    url: String,
}

#[derive(Deserialize)]
struct TiledFile {
    submission_url: String,
    monitoring_url: String,
}

#[derive(Deserialize)]
struct LogFile {
    #[serde(default)]
    description: String,
    log_id: Base64,
    key: Base64,
    mmd: u64,
    state: Option<BTreeMap<String, StateFile>>,
    temporal_interval: Option<IntervalFile>,
    #[serde(default)]
    previous_operators: Vec<PreviousOperatorFile>,
}

#[derive(Deserialize)]
struct StateFile {
    timestamp: String,
}

#[derive(Deserialize)]
struct IntervalFile {
    start_inclusive: String,
    end_exclusive: String,
}

#[derive(Deserialize)]
struct PreviousOperatorFile {
    name: String,
    end_time: String,
}

impl LogFile {
    fn into_log(self, operator: &str, address: LogAddress) -> Result<Log, LogError> {
        let key = LogKey::new(&self.key.0)?;
        if key.id().0.as_slice() != self.log_id.0 {
            return Err(LogError::Id(key.id()));
        }
        let temporal_interval_ms = match self.temporal_interval {
            Some(interval) => Some((
                time_ms(&interval.start_inclusive)?,
                time_ms(&interval.end_exclusive)?,
            )),
            None => None,
        };
        let mut previous_operators = Vec::with_capacity(self.previous_operators.len());
        for previous in self.previous_operators {
            previous_operators.push((time_ms(&previous.end_time)?, previous.name));
        }
        previous_operators.sort();
        Ok(Log {
            key,
            description: self.description,
            operator: operator.to_owned(),
            previous_operators,
            address,
            mmd_s: self.mmd,
            state: self.state.map(read_state).transpose()?,
            temporal_interval_ms,
        })
    }
}

fn read_state(states: BTreeMap<String, StateFile>) -> Result<LogState, LogError> {
    let count = states.len();
    let mut states = states.into_iter();
    let (Some((name, state)), None) = (states.next(), states.next()) else {
        return Err(LogError::States(count));
    };
    let kind = LogStateKind::deserialize(Value::String(name));
    Ok(LogState {
        kind: kind.map_err(|error| LogError::Field(error.to_string()))?,
        since_ms: time_ms(&state.timestamp)?,
    })
}

fn time_ms(text: &str) -> Result<u64, LogError> {
    parse_rfc3339_ms(text).ok_or_else(|| LogError::Time(text.to_owned()))
}
