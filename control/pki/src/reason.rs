//! [`Reason`]: why a step did not pass, as a code for programs and a text for people.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::verdict::StepResult;

/// Why a step did not pass. In JSON one text: `expired: ended 5 s ago`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// For programs.
    pub code: Code,
    /// For people; may be empty.
    pub detail: String,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)+) => {
        /// Kinds of [`Reason`]. Their texts stay as they are: other programs read them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[$doc])* $name,)+
        }

        impl Code {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// As it stands in JSON.
            #[must_use]
            pub fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }
    };
}

codes! {
    /// There is no certificate.
    EmptyChain = "empty_chain";
    /// More certificates than are read.
    TooManyCertificates = "too_many_certificates";
    /// More octets than are read.
    TooManyBytes = "too_many_bytes";
    /// A certificate ends too soon.
    Truncated = "truncated";
    /// An extension twice (RFC 5280 §4.2).
    DuplicateExtension = "duplicate_extension";
    /// Not a certificate in some other way.
    Malformed = "malformed";
    /// A precertificate where a certificate is due (RFC 6962 §3.1).
    Poison = "poison";
    /// An earlier step left nothing to judge.
    NotReached = "not_reached";
    /// The chain does not have the issuer of a certificate.
    WrongIssuer = "wrong_issuer";
    /// The chain leads to no trust anchor.
    RootNotAccepted = "root_not_accepted";
    /// The issuer has not signed this.
    BadSignature = "bad_signature";
    /// A certificate that may not issue has issued.
    NotAuthority = "not_authority";
    /// An authority's certificate in the place of a server's.
    AuthorityAsLeaf = "authority_as_leaf";
    /// More authorities than an authority above allows (RFC 5280 §4.2.1.9).
    PathLength = "path_length";
    /// A name that an authority above may not certify (RFC 5280 §4.2.1.10).
    NameConstraints = "name_constraints";
    /// The key is for other purposes (RFC 5280 §4.2.1.12).
    WrongPurpose = "wrong_purpose";
    /// The key is not for what it was used for (RFC 5280 §4.2.1.3).
    WrongUsage = "wrong_usage";
    /// A critical extension that is unknown (RFC 5280 §4.2).
    UnknownCritical = "unknown_critical";
    /// A signature by an algorithm that is not taken.
    UnsupportedAlgorithm = "unsupported_algorithm";
    /// Finding the path takes too many steps.
    PathTooComplex = "path_too_complex";
    /// The certificate's time is over.
    Expired = "expired";
    /// The certificate's time has not come.
    NotYetValid = "not_yet_valid";
    /// The time of an authority above is over, or has not come.
    AuthorityExpired = "authority_expired";
    /// No host was named.
    NoHost = "no_host";
    /// What was named is no host.
    BadHost = "bad_host";
    /// The certificate is for others.
    HostMismatch = "host_mismatch";
    /// Valid for longer than allowed.
    Lifetime = "lifetime";
    /// Serial number, names or their form are not as the Baseline Requirements have them.
    BaselineRequirements = "baseline_requirements";
    /// A key that is too short, or of an algorithm that is not taken.
    WeakKey = "weak_key";
    /// A signature over a broken hash.
    BrokenHash = "broken_hash";
    /// Timestamps are not asked for: no public authority issued this for a server.
    NotPublic = "not_public";
    /// There is no list of logs.
    NoLogList = "no_log_list";
    /// The list of logs is too old to judge by.
    OldLogList = "old_log_list";
    /// No timestamp at all.
    NoScts = "no_scts";
    /// Something that should be a timestamp, or a list of them, is none.
    MalformedSct = "malformed_sct";
    /// A timestamp of a log that is unknown.
    SctOfUnknownLog = "sct_of_unknown_log";
    /// A timestamp that its log did not sign for this certificate.
    SctSignature = "sct_signature";
    /// A timestamp of the future.
    SctFuture = "sct_future";
    /// Timestamps hold, but are too few, or of the wrong logs.
    SctPolicy = "sct_policy";
    /// There is no proof to judge.
    NoProof = "no_proof";
    /// The proof does not lead to the log's root.
    ProofFailed = "proof_failed";
    /// The log's tiles do not give its root.
    TamperedTile = "tampered_tile";
    /// The certificates name no source that says whether they are revoked.
    NoRevocationSource = "no_revocation_source";
    /// There are no data to judge by.
    NoRevocationData = "no_revocation_data";
    /// Its issuer has taken it back.
    Revoked = "revoked";
    /// The stapled OCSP response does not hold.
    BadOcspResponse = "bad_ocsp_response";
    /// The certificate does not demand a stapled response (RFC 7633).
    StapleNotDemanded = "staple_not_demanded";
    /// The certificate demands a stapled response, and what its server staples is not known: the chain came without any.
    StapleNotGiven = "staple_not_given";
    /// What replaces this step is DANE (RFC 7671 §5.1).
    ReplacedByDane = "replaced_by_dane";
    /// No TLSA records were given.
    NoTlsa = "no_tlsa";
    /// Whether there are TLSA records could not be found out (RFC 6698 §4.1).
    TlsaNotFetched = "tlsa_not_fetched";
    /// TLSA records that DNSSEC does not secure say nothing (RFC 6698 §4.1).
    InsecureTlsa = "insecure_tlsa";
    /// No TLSA record of a form that is known (RFC 7671 §4).
    UnusableTlsa = "unusable_tlsa";
    /// No TLSA record is of this chain.
    TlsaMismatch = "tlsa_mismatch";
    /// More nodes of the cluster find something else than may be faulty.
    NodesDisagree = "nodes_disagree";
    /// Too few nodes of the cluster find anything in time.
    NodesSilent = "nodes_silent";
}

impl fmt::Display for Code {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.text())
    }
}

/// A text that begins with no [`Code`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no known reason: {0}")]
pub struct UnknownReason(String);

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.detail.as_str() {
            "" => write!(out, "{}", self.code),
            detail => write!(out, "{}: {detail}", self.code),
        }
    }
}

impl FromStr for Reason {
    type Err = UnknownReason;

    fn from_str(text: &str) -> Result<Self, UnknownReason> {
        let (code, detail) = text.split_once(": ").unwrap_or((text, ""));
        let known = Code::ALL.iter().find(|known| known.text() == code);
        let code = *known.ok_or_else(|| UnknownReason(text.to_owned()))?;
        let detail = detail.to_owned();
        Ok(Self { code, detail })
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Reason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// How a step ended that did not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotPassed {
    pub(crate) result: StepResult,
    pub(crate) reason: Reason,
}

impl NotPassed {
    fn new(result: StepResult, code: Code, detail: impl ToString) -> Self {
        let detail = detail.to_string();
        let reason = Reason { code, detail };
        Self { result, reason }
    }

    pub(crate) fn failed(code: Code, detail: impl ToString) -> Self {
        Self::new(StepResult::Failed, code, detail)
    }

    pub(crate) fn unknown(code: Code, detail: impl ToString) -> Self {
        Self::new(StepResult::Unknown, code, detail)
    }

    pub(crate) fn skipped(code: Code) -> Self {
        Self::new(StepResult::Skipped, code, "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reason_is_read_as_it_was_written() {
        for code in Code::ALL {
            for detail in ["", "of log a: b"] {
                let detail = detail.to_owned();
                let reason = Reason {
                    code: *code,
                    detail,
                };
                assert_eq!(reason.to_string().parse(), Ok(reason));
            }
        }
        assert!("nothing: known".parse::<Reason>().is_err());
    }
}
