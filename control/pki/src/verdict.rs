//! [`Verdict`]: what is thought of a certificate, step by step, in a form that other programs read.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::reason::{Code, Reason};

/// What a chain, judged for a host, came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// SHA-256 of the first certificate in lower-case hexadecimal; empty if there is none.
    pub fingerprint: String,
    /// All steps together.
    pub status: Status,
    /// Of the first step that failed, else of the first whose result is unknown.
    pub reason: Option<Reason>,
    /// As it was asked for.
    pub host: Option<String>,
    /// Seconds since 1970 until which the verdict may be used again.
    pub good_until_unix_secs: u64,
    /// Microseconds that all of it took, without any fetching.
    pub total_micros: u64,
    /// In the order of [`StepName`], each once.
    pub steps: Vec<Step>,
}

/// All steps together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// No step failed, and none that matters is unknown.
    Valid,
    /// A step failed.
    Invalid,
    /// No step failed, but something could not be found out.
    Unknown,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Which.
    pub step: StepName,
    /// How it ended.
    pub result: StepResult,
    /// Why it did not pass.
    pub reason: Option<Reason>,
    /// Microseconds that it took.
    pub micros: u64,
}

/// The steps, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepName {
    /// All are certificates (RFC 5280 §4.1), and not too many.
    Parse,
    /// They lead to a trust anchor (RFC 5280 §6).
    Path,
    /// The time is within their validity (RFC 5280 §4.1.2.5).
    Validity,
    /// The certificate is one for the host (RFC 9525 §6).
    Host,
    /// What each may be used for, and for how long (RFC 5280 §4.2, Baseline Requirements).
    Constraints,
    /// Keys and signatures are strong enough (Baseline Requirements 6.1.5 and 7.1.3).
    Strength,
    /// Logs have promised to show it (RFC 6962 §3.3, Chrome's policy).
    Scts,
    /// A log does show it (RFC 6962 §2.1.1).
    Inclusion,
    /// Nobody has revoked it (RFC 6960, RFC 5280 §5).
    Revocation,
    /// Its server has stapled the response that it demands (RFC 7633).
    Staple,
    /// The host's domain allows it (RFC 6698, RFC 7671).
    Dane,
    /// Other nodes of the cluster find the same; only there if they were asked.
    Agreement,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepResult {
    /// All is well.
    Passed,
    /// Something is wrong.
    Failed,
    /// There was nothing to judge.
    Skipped,
    /// It could not be found out.
    Unknown,
}

impl Verdict {
    /// The step with this name.
    #[must_use]
    pub fn step(&self, name: StepName) -> Option<&Step> {
        self.steps.iter().find(|step| step.step == name)
    }

    /// Other nodes find the same; so many microseconds were waited for them.
    #[must_use]
    pub fn confirmed(mut self, micros: u64) -> Self {
        self.push_agreement(StepResult::Passed, None, micros);
        self
    }

    /// Other nodes do not bear it out, so that nothing is known, whatever this node has found: its steps stay.
    #[must_use]
    pub fn doubted(mut self, code: Code, micros: u64, good_until_unix_secs: u64) -> Self {
        let detail = format!("this node found it {}", self.status);
        let reason = Reason { code, detail };
        self.status = Status::Unknown;
        self.good_until_unix_secs = good_until_unix_secs.min(self.good_until_unix_secs);
        self.reason = Some(reason.clone());
        self.push_agreement(StepResult::Unknown, Some(reason), micros);
        self
    }

    /// Whether other nodes find something else.
    #[must_use]
    pub fn is_disputed(&self) -> bool {
        let step = self.step(StepName::Agreement);
        let reason = step.and_then(|step| step.reason.as_ref());
        reason.is_some_and(|reason| reason.code == Code::NodesDisagree)
    }

    fn push_agreement(&mut self, result: StepResult, reason: Option<Reason>, micros: u64) {
        self.steps.push(Step {
            step: StepName::Agreement,
            result,
            reason,
            micros,
        });
    }
}

impl fmt::Display for Status {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Valid => "valid",
            Self::Invalid => "invalid",
            Self::Unknown => "unknown",
        })
    }
}

impl fmt::Display for StepName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Self::Parse => "parse",
            Self::Path => "path",
            Self::Validity => "validity",
            Self::Host => "host",
            Self::Constraints => "constraints",
            Self::Strength => "strength",
            Self::Scts => "scts",
            Self::Inclusion => "inclusion",
            Self::Revocation => "revocation",
            Self::Staple => "staple",
            Self::Dane => "dane",
            Self::Agreement => "agreement",
        })
    }
}

impl fmt::Display for StepResult {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Unknown => "unknown",
        })
    }
}
