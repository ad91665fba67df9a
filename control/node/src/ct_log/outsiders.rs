//! Who stands outside of the cluster: witnesses that are shown our heads, and logs whose heads this node cosigns.

use std::sync::Arc;

use ct::{KeyKind, KeyName, LogKey, VerifierKey};
use ctlog::LocalFiles;
use ctlog::witness::{HttpClient, LogVerifier, OutsideLog, OutsideWitness, Outsiders, Witness};
use data_encoding::BASE64;

use super::{LogSetupError, Setup};

/// The witnesses of a configuration.
pub(super) fn read_witnesses(
    witnesses: &[config::CtWitness],
) -> Result<Vec<OutsideWitness>, LogSetupError> {
    let all = witnesses.iter().enumerate().map(|(index, witness)| {
        let key = VerifierKey::parse(&witness.key).map_err(|error| error.to_string());
        let key = key.and_then(|key| match key.kind() {
            KeyKind::Cosignature => Ok(key),
            KeyKind::Plain => Err("expected a key for cosignatures (type 04)".to_owned()),
        });
        let key = key.map_err(|message| LogSetupError::Value {
            key: format!("ct.witnesses[{index}].key"),
            message,
        });
        Ok(OutsideWitness {
            key: key?,
            url: witness.url.trim_end_matches('/').to_owned(),
        })
    });
    all.collect()
}

/// The logs of a configuration that this node cosigns.
pub(super) fn read_logs(logs: &[config::CtWitnessedLog]) -> Result<Vec<OutsideLog>, LogSetupError> {
    let all = logs.iter().enumerate().map(|(index, log)| {
        let bad = |key: &str, message: String| LogSetupError::Value {
            key: format!("ct.witnessed_logs[{index}].{key}"),
            message,
        };
        let origin = KeyName::new(&log.origin);
        let origin =
            origin.ok_or_else(|| bad("origin", format!("`{}` names no log", log.origin)))?;
        let keys = log.keys.iter().map(|key| read_key(key));
        let keys = keys.collect::<Result<_, _>>();
        Ok(OutsideLog {
            origin,
            keys: keys.map_err(|message| bad("keys", message))?,
        })
    });
    all.collect()
}

fn read_key(text: &str) -> Result<LogVerifier, String> {
    if let Ok(spki) = BASE64.decode(text.as_bytes()) {
        let key = LogKey::new(&spki).map_err(|error| format!("`{text}`: {error}"));
        return key.map(LogVerifier::Ct);
    }
    let key = VerifierKey::parse(text).map_err(|error| format!("`{text}`: {error}"));
    key.map(LogVerifier::Note)
}

impl Setup {
    /// Opens the witness's key and memory; none if it has no logs.
    pub(super) fn open_witness(&self, node: &str) -> Result<Option<Arc<Witness>>, LogSetupError> {
        if self.witnessed_logs.is_empty() {
            return Ok(None);
        }
        let files = LocalFiles::new(self.folder.join("witness"), 0o600);
        let logs = self.witnessed_logs.clone();
        let prefix = super::key_name("ct.log_id", &format!("{}/witness", self.name))?;
        let witness = Witness::open(&prefix, node, Arc::new(files), logs);
        let witness = witness.map_err(|error| LogSetupError::Value {
            key: "ct.witnessed_logs".to_owned(),
            message: error.to_string(),
        })?;
        tracing::info!(key = %witness.verifier(), "certificate log: witness of others");
        Ok(Some(Arc::new(witness)))
    }

    /// Who is shown our heads; none if there is nobody.
    pub(super) fn outsiders(&self) -> Result<Option<Outsiders>, LogSetupError> {
        if self.witnesses.is_empty() {
            return Ok(None);
        }
        let tls = monitor::machine_tls().map_err(|error| LogSetupError::Value {
            key: "ct.witnesses".to_owned(),
            message: error.to_string(),
        })?;
        let client = HttpClient::new(tls);
        Ok(Some(Outsiders::new(self.witnesses.clone(), client)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn witness(key: &str) -> config::CtWitness {
        config::CtWitness {
            url: "https://witness.example/prefix/".to_owned(),
            key: key.to_owned(),
        }
    }

    #[test]
    fn witness_needs_a_key_for_cosignatures_and_the_error_says_which_has_none() {
        let name = KeyName::new("witness.example").unwrap();
        let key = |kind| VerifierKey::new(name.clone(), kind, [7; 32]).to_string();
        let good = witness(&key(KeyKind::Cosignature));
        let read = read_witnesses(std::slice::from_ref(&good)).unwrap();
        assert_eq!(read[0].url, "https://witness.example/prefix");
        for bad in [key(KeyKind::Plain), "witness.example".to_owned()] {
            let error = read_witnesses(&[good.clone(), witness(&bad)]).unwrap_err();
            let text = error.to_string();
            assert!(text.starts_with("ct.witnesses[1].key: "), "{text}");
        }
    }

    #[test]
    fn log_is_known_by_a_note_key_or_by_that_of_a_log_of_certificates() {
        let name = KeyName::new("log.example").unwrap();
        let note = VerifierKey::new(name, KeyKind::Plain, [7; 32]).to_string();
        let spki = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEmjlBwFPec/bqhpf4317FeD9W4318sEnyDT9NiXQI0Q6yQ4wjWVKE0Ub7KUj/2NGYV7YCuEHbkxJ/7Z/AUeOSgw==";
        let log = |keys: &[&str]| config::CtWitnessedLog {
            origin: "log.example".to_owned(),
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        };
        let read = read_logs(&[log(&[&note, spki])]).unwrap();
        assert!(matches!(
            read[0].keys[..],
            [LogVerifier::Note(_), LogVerifier::Ct(_)]
        ));
        let text = read_logs(&[log(&["AAAA"])]).unwrap_err().to_string();
        assert!(text.starts_with("ct.witnessed_logs[0].keys: "), "{text}");
    }
}
