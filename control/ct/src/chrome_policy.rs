//! [`ChromePolicy`]: how many timestamps, of which logs, a certificate needs to be accepted by Chrome
//! (<https://googlechrome.github.io/CertificateTransparency/ct_policy.html>).

use std::collections::BTreeSet;

use thiserror::Error;

use crate::log_list::{Log, LogAddress, LogStateKind};

/// How a timestamp came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// In the certificate.
    Embedded,
    /// In the TLS handshake's extension (RFC 6962 §3.3.1).
    TlsExtension,
    /// In a stapled OCSP response.
    Ocsp,
}

/// A timestamp whose signature has been checked, and its log.
#[derive(Debug, Clone, Copy)]
pub struct CheckedSct<'a> {
    /// As the list has it.
    pub log: &'a Log,
    /// In milliseconds since 1970.
    pub timestamp_ms: u64,
    /// How it came.
    pub delivery: Delivery,
}

/// What a timestamp that holds is worth, by the state of its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The log is qualified, usable or read-only, or its retirement is yet to come.
    Current,
    /// The log has been retired since. In a certificate that is as old, the timestamp counts beside a current one.
    BeforeRetirement,
    /// The log was retired by then, or is trusted for nothing: pending, rejected, or of no known state.
    Worthless,
}

/// The policy for certificates issued since 15 April 2022: no older ones are valid any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChromePolicy {
    /// Whether one timestamp must be of a log with the API of RFC 6962. Chrome asked for that from version 134 on, as long as
    /// tiled logs were new, and then no longer did.
    pub rfc6962_log_required: bool,
}

/// What the policy says of a certificate. One way suffices; timestamps too many do no harm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChromeVerdict {
    /// By the timestamps in the certificate.
    pub embedded: Result<(), ChromeRule>,
    /// By those of the handshake and of OCSP.
    pub delivered: Result<(), ChromeRule>,
}

/// The rule that is not met.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ChromeRule {
    /// There are none that came this way.
    #[error("no timestamps")]
    Absent,
    /// None of a log that is qualified, usable or read-only now.
    #[error("no timestamp of a log that is qualified, usable or read-only")]
    NoCurrentLog,
    /// Of too few different logs.
    #[error("timestamps of {found} logs, where {required} are needed")]
    TooFewLogs {
        /// 3 for certificates that live longer than 180 days, else 2.
        required: usize,
        /// Logs whose timestamps count.
        found: usize,
    },
    /// All of logs of one operator.
    #[error("all timestamps of logs of {operator}")]
    OneOperator {
        /// Whose they were when they gave the timestamps.
        operator: String,
    },
    /// None of a log with the API of RFC 6962.
    #[error("no timestamp of a log with the API of RFC 6962")]
    NoRfc6962Log,
}

/// Lifetime above which a certificate needs three embedded timestamps, in seconds.
const SHORT_LIFETIME_MAX_S: u64 = 180 * 24 * 3_600;

impl CheckedSct<'_> {
    /// What it is worth at `now_ms`, in milliseconds since 1970.
    #[must_use]
    pub fn standing(&self, now_ms: u64) -> Standing {
        let Some(state) = self.log.state else {
            return Standing::Worthless;
        };
        match state.kind {
            LogStateKind::Qualified | LogStateKind::Usable | LogStateKind::ReadOnly => {
                Standing::Current
            }
            LogStateKind::Retired if now_ms < state.since_ms => Standing::Current,
            LogStateKind::Retired if self.timestamp_ms < state.since_ms => {
                Standing::BeforeRetirement
            }
            LogStateKind::Retired | LogStateKind::Pending | LogStateKind::Rejected => {
                Standing::Worthless
            }
        }
    }

    fn is_current(&self, now_ms: u64) -> bool {
        self.standing(now_ms) == Standing::Current
    }

    /// Whether it and the certificate are both older than the retirement of the log.
    fn was_before_retirement(&self, issued_ms: u64, now_ms: u64) -> bool {
        let timestamp_ms = self.timestamp_ms.max(issued_ms);
        let younger = Self {
            timestamp_ms,
            ..*self
        };
        younger.standing(now_ms) == Standing::BeforeRetirement
    }
}

impl ChromeVerdict {
    /// Whether Chrome accepts it.
    #[must_use]
    pub fn is_compliant(&self) -> bool {
        self.embedded.is_ok() || self.delivered.is_ok()
    }
}

impl ChromePolicy {
    /// Judges the timestamps of a certificate that lives `lifetime_s` seconds (notAfter less notBefore), at `now_ms`
    /// milliseconds since 1970.
    #[must_use]
    pub fn judge(&self, scts: &[CheckedSct<'_>], lifetime_s: u64, now_ms: u64) -> ChromeVerdict {
        // A log may be retired while a certificate is being issued: the earliest timestamp tells when that began.
        let current = scts.iter().filter(|sct| sct.is_current(now_ms));
        let issued_ms = current.map(|sct| sct.timestamp_ms).min();
        let is_embedded = |sct: &&CheckedSct<'_>| sct.delivery == Delivery::Embedded;
        let embedded: Vec<_> = scts.iter().filter(is_embedded).collect();
        let delivered: Vec<_> = scts.iter().filter(|sct| !is_embedded(sct)).collect();
        let embedded_required = if lifetime_s > SHORT_LIFETIME_MAX_S {
            3
        } else {
            2
        };
        ChromeVerdict {
            embedded: self.judge_group(&embedded, embedded_required, now_ms, |sct| {
                issued_ms.is_some_and(|issued| sct.was_before_retirement(issued, now_ms))
            }),
            delivered: self.judge_group(&delivered, 2, now_ms, |_| false),
        }
    }

    fn judge_group(
        &self,
        scts: &[&CheckedSct<'_>],
        required: usize,
        now_ms: u64,
        counts_though_not_current: impl Fn(&CheckedSct<'_>) -> bool,
    ) -> Result<(), ChromeRule> {
        if scts.is_empty() {
            return Err(ChromeRule::Absent);
        }
        if !scts.iter().any(|sct| sct.is_current(now_ms)) {
            return Err(ChromeRule::NoCurrentLog);
        }
        let counts =
            |sct: &&&CheckedSct<'_>| sct.is_current(now_ms) || counts_though_not_current(sct);
        let counted: Vec<_> = scts.iter().filter(counts).collect();
        let logs: BTreeSet<_> = counted.iter().map(|sct| sct.log.key.id()).collect();
        let found = logs.len();
        if found < required {
            return Err(ChromeRule::TooFewLogs { required, found });
        }
        let operators = counted
            .iter()
            .map(|sct| sct.log.operator_at(sct.timestamp_ms));
        let operators: BTreeSet<_> = operators.collect();
        if let [operator] = operators.into_iter().collect::<Vec<_>>()[..] {
            let operator = operator.to_owned();
            return Err(ChromeRule::OneOperator { operator });
        }
        let is_rfc6962 = |address: &LogAddress| matches!(address, LogAddress::Rfc6962 { .. });
        if self.rfc6962_log_required && !counted.iter().any(|sct| is_rfc6962(&sct.log.address)) {
            return Err(ChromeRule::NoRfc6962Log);
        }
        Ok(())
    }
}
