//! Exit statuses: 0 done, 1 could not be done, 2 wrong arguments or input, 3 not known.

use std::process::ExitCode;

use config::ConfigError;
use node::admin::{Failure, FailureCode};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done: status 0.
    Success,
    /// Not done, or the answer is a failure: status 1.
    Failure,
    /// Arguments or a checked file are wrong: status 2.
    Usage,
    /// What was asked cannot be found out: status 3.
    Unknown,
}

impl Exit {
    /// The status for an error.
    #[must_use]
    pub fn of(error: &anyhow::Error) -> Self {
        let refused = error.downcast_ref::<Failure>();
        let is_bad_request = refused.is_some_and(|failure| failure.code == FailureCode::BadRequest);
        if is_bad_request || error.downcast_ref::<ConfigError>().is_some() {
            return Self::Usage;
        }
        Self::Failure
    }

    /// The number that the shell sees.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Unknown => 3,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn refused_argument_is_usage_even_under_context() {
        let failure = Failure::new(FailureCode::BadRequest, "no such type");
        let error = Err::<(), _>(failure).context("lookup").unwrap_err();
        assert_eq!(Exit::of(&error), Exit::Usage);
    }

    #[test]
    fn any_other_error_is_failure() {
        let failure = Failure::new(FailureCode::NotFound, "no such zone");
        assert_eq!(Exit::of(&failure.into()), Exit::Failure);
        assert_eq!(
            Exit::of(&anyhow::anyhow!("connection refused")),
            Exit::Failure
        );
    }
}
