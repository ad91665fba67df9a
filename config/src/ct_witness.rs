//! `ct.witnesses` and `ct.witnessed_logs`: who outside of the cluster cosigns our heads, and whose heads we cosign.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Problem;

/// A witness outside of the cluster, which is shown our heads (C2SP tlog-witness).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CtWitness {
    /// Submission prefix: what stands before /add-checkpoint.
    pub url: String,
    /// Its key for cosignatures, as witnesses give it: name+id+base64.
    pub key: String,
}

/// A log outside of the cluster whose heads this node cosigns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CtWitnessedLog {
    /// First line of its checkpoints.
    pub origin: String,
    /// Its keys, one of which must have signed: name+id+base64, or base64 of a SubjectPublicKeyInfo for a log of
    /// certificates.
    pub keys: Vec<String>,
}

/// What one key alone cannot say. Keys are read where they are used.
pub(crate) fn check(witnesses: &[CtWitness], logs: &[CtWitnessedLog]) -> Result<(), Problem> {
    for (index, witness) in witnesses.iter().enumerate() {
        let is_url = ["http://", "https://"]
            .iter()
            .any(|scheme| witness.url.starts_with(scheme));
        if !is_url {
            let message = format!("`{}`: expected http:// or https://", witness.url);
            return Err(Problem::new(format!("ct.witnesses[{index}].url"), message));
        }
    }
    for (index, log) in logs.iter().enumerate() {
        let key = |key: &str| format!("ct.witnessed_logs[{index}].{key}");
        if log.keys.is_empty() {
            return Err(Problem::new(key("keys"), "expected at least one key"));
        }
        if logs[..index].iter().any(|other| other.origin == log.origin) {
            let message = format!("{} is listed twice; expected one entry a log", log.origin);
            return Err(Problem::new(key("origin"), message));
        }
    }
    Ok(())
}
