//! What is wrong with a configuration file, and where.

use std::path::{Path, PathBuf};

use crate::path::{Position, key_at, mapping_at, position_of};

/// One mistake in a configuration file: `file:line:column: key: message`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.render())]
pub struct ConfigError {
    /// The file as it was named.
    pub file: PathBuf,
    /// Line and column of the mistake, counted from 1, where there is one.
    pub position: Option<(u64, u64)>,
    /// The key, as in `dataplane.ports.dns` or `zones[1].file`, where there is one.
    pub key: Option<String>,
    /// What is wrong and what was expected.
    pub message: String,
}

/// A mistake named by key; its position is looked up in the text afterwards.
#[derive(Debug)]
pub(crate) struct Problem {
    key: String,
    message: String,
}

impl Problem {
    pub(crate) fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            message: message.into(),
        }
    }
}

impl ConfigError {
    pub(crate) fn of_file(file: &Path, message: String) -> Self {
        Self {
            file: file.to_owned(),
            position: None,
            key: None,
            message,
        }
    }

    pub(crate) fn of_problem(file: &Path, text: &str, problem: Problem) -> Self {
        let position = position_of(text, &problem.key).map(|at| (at.line, at.column));
        Self {
            file: file.to_owned(),
            position,
            key: Some(problem.key),
            message: problem.message,
        }
    }

    pub(crate) fn of_yaml(file: &Path, text: &str, error: &serde_saphyr::Error) -> Self {
        let at = error
            .location()
            .map(|location| Position {
                line: location.line(),
                column: location.column(),
            })
            .filter(|at| at.line > 0);
        let missing = matches!(error, serde_saphyr::Error::SerdeMissingField { .. });
        let rendered = error.render();
        let message = match at {
            // The location has its own place in front.
            Some(at) => rendered
                .strip_suffix(&format!(" at line {}, column {}", at.line, at.column))
                .unwrap_or(&rendered)
                .to_owned(),
            None => rendered,
        };
        Self {
            file: file.to_owned(),
            position: at.map(|at| (at.line, at.column)),
            key: at.and_then(|at| {
                if missing {
                    mapping_at(text, at)
                } else {
                    key_at(text, at)
                }
            }),
            message,
        }
    }

    fn render(&self) -> String {
        let mut out = self.file.display().to_string();
        if let Some((line, column)) = self.position {
            out.push_str(&format!(":{line}:{column}"));
        }
        if let Some(key) = &self.key {
            out.push_str(&format!(": {key}"));
        }
        out.push_str(": ");
        out.push_str(&self.message);
        out
    }
}
