//! [`SctRules::check_embedded`]: whether the timestamps in a certificate hold, and whether they suffice (RFC 6962 §3.3, Chrome's
//! policy).
//!
//! Of the chain nothing is checked but that the issuer's name and key are those that the logs signed: whether the certificate
//! is valid at all is for the caller to see to first.

use thiserror::Error;

use crate::certificate::Certificate;
use crate::chrome_policy::{CheckedSct, ChromePolicy, ChromeRule, Delivery};
use crate::entry::SignedEntry;
use crate::hash::Hash;
use crate::log_list::LogList;
use crate::precert::{Precertificate, PrecertificateError};
use crate::sct::{Sct, SctError, split_sct_list};
use crate::signature::Algorithms;

/// Timestamps in one certificate at most: each costs a signature check. Public authorities embed two to five.
pub const EMBEDDED_SCTS_MAX: usize = 32;

/// By what timestamps are judged.
#[derive(Debug, Clone, Copy)]
pub struct SctRules<'r> {
    /// The logs that are known. Whether the list is young enough to be enforced is for the caller to see to:
    /// [`LogList::is_timely`].
    pub logs: &'r LogList,
    /// How many timestamps, of which logs.
    pub policy: ChromePolicy,
    /// What checks the logs' signatures.
    pub algorithms: &'r Algorithms<'r>,
    /// The time of the check, in milliseconds since 1970.
    pub now_ms: u64,
}

/// What the timestamps in a certificate come to.
#[derive(Debug, Clone)]
pub struct EmbeddedScts<'r> {
    /// Each of them, in the order of the certificate's list. What a log that holds is worth, [`CheckedSct::standing`] says.
    pub scts: Vec<Result<CheckedSct<'r>, EmbeddedSctError>>,
    /// All of them by the policy. A timestamp that does not hold counts for nothing and spoils nothing.
    pub policy: Result<(), ChromeRule>,
}

/// Why a timestamp does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EmbeddedSctError {
    /// Not a timestamp, or of another version.
    #[error("malformed timestamp: {0}")]
    Malformed(SctError),
    /// Of a log that is not in the list.
    #[error("log {0} is unknown")]
    UnknownLog(Hash),
    /// Not the promise of this log for this certificate, or of the future.
    #[error("timestamp of log {log_id}: {error}")]
    Refused {
        /// Whose it says it is.
        log_id: Hash,
        /// What is wrong.
        error: SctError,
    },
}

/// Why there are no timestamps to judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EmbeddedSctsError {
    /// Not a final certificate with timestamps, or not its issuer.
    #[error(transparent)]
    Certificate(#[from] PrecertificateError),
    /// What is embedded is no list of timestamps.
    #[error("malformed list of timestamps: {0}")]
    List(SctError),
    /// More than [`EMBEDDED_SCTS_MAX`].
    #[error("{found} timestamps, more than {EMBEDDED_SCTS_MAX}")]
    TooMany {
        /// How many.
        found: usize,
    },
}

impl<'r> SctRules<'r> {
    /// Judges the timestamps in `certificate`, which `issuer` has issued.
    ///
    /// # Errors
    ///
    /// If it has none, too many, or something else in their place, or names another issuer.
    pub fn check_embedded(
        &self,
        certificate: &Certificate<'_>,
        issuer: &Certificate<'_>,
    ) -> Result<EmbeddedScts<'r>, EmbeddedSctsError> {
        let logged = Precertificate::from_final(certificate, issuer)?;
        let list = certificate.sct_list().map_err(PrecertificateError::from)?;
        let list = list.ok_or(PrecertificateError::NoTimestamps)?;
        let list = split_sct_list(list).map_err(EmbeddedSctsError::List)?;
        let found = list.len();
        if found > EMBEDDED_SCTS_MAX {
            return Err(EmbeddedSctsError::TooMany { found });
        }
        let entry = SignedEntry::Precertificate {
            issuer_key_hash: logged.issuer_key_hash,
            tbs: &logged.tbs,
        };
        let scts = list
            .into_iter()
            .map(|sct| self.check(sct, &entry, Delivery::Embedded));
        let scts: Vec<_> = scts.collect();

        let holding: Vec<_> = scts.iter().flatten().copied().collect();
        let validity = certificate.validity();
        let lifetime_s = validity.not_after - validity.not_before;
        // A certificate that ends before it begins is valid never, however many timestamps it has.
        let lifetime_s = u64::try_from(lifetime_s).unwrap_or_default();
        let policy = self.policy.judge(&holding, lifetime_s, self.now_ms);
        Ok(EmbeddedScts {
            scts,
            policy: policy.embedded,
        })
    }

    /// Checks one timestamp, which came in this way, of this entry.
    ///
    /// # Errors
    ///
    /// If it does not hold.
    pub fn check(
        &self,
        bytes: &[u8],
        entry: &SignedEntry<'_>,
        delivery: Delivery,
    ) -> Result<CheckedSct<'r>, EmbeddedSctError> {
        let sct = Sct::decode(bytes).map_err(EmbeddedSctError::Malformed)?;
        let log_id = sct.log_id;
        let log = self.logs.get(&log_id);
        let log = log.ok_or(EmbeddedSctError::UnknownLog(log_id))?;
        sct.verify(entry, &log.key, self.algorithms, self.now_ms)
            .map_err(|error| EmbeddedSctError::Refused { log_id, error })?;
        Ok(CheckedSct {
            log,
            timestamp_ms: sct.timestamp_ms,
            delivery,
        })
    }
}
