//! Why data are bogus, for RFC 8914 and for people.

use super::super::message::extended_error;

/// What is wrong with a signature, a key or a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::iterate) enum Fault {
    /// No signature at all, in a zone that signs.
    Unsigned,
    /// None of the zone's keys has the tag and algorithm that the signature names.
    NoKey,
    /// The only keys that fit do not have the zone key flag (RFC 4034 §2.1.1).
    NoZoneKey,
    /// The DNSKEY RRset holds no key that a DS or trust anchor names.
    NoAnchoredKey,
    /// The signature claims another zone than the one that the data belong to.
    Signer,
    /// The period of every signature is over.
    Expired,
    /// The period of every signature has not begun.
    NotYet,
    /// Expiration lies before inception.
    Backwards,
    /// No signature holds under the keys that it names.
    Forged,
    /// The absence of a name, type or closer match is not proven.
    Unproven,
    /// The answer asks for more work than an answer may cost.
    Effort,
}

impl Fault {
    /// INFO-CODE of RFC 8914.
    pub(in crate::iterate) fn code(self) -> u16 {
        match self {
            Self::Unsigned => extended_error::RRSIGS_MISSING,
            Self::NoKey | Self::NoAnchoredKey => extended_error::DNSKEY_MISSING,
            Self::NoZoneKey => extended_error::NO_ZONE_KEY,
            Self::Expired => extended_error::SIGNATURE_EXPIRED,
            Self::Backwards => extended_error::SIGNATURE_EXPIRED_BEFORE_VALID,
            Self::NotYet => extended_error::SIGNATURE_NOT_YET_VALID,
            Self::Unproven => extended_error::NSEC_MISSING,
            Self::Signer | Self::Forged | Self::Effort => extended_error::DNSSEC_BOGUS,
        }
    }

    /// What is said of the data, after their name.
    pub(in crate::iterate) fn text(self) -> &'static str {
        match self {
            Self::Unsigned => "no signature, though its zone is signed",
            Self::NoKey => "no key of its zone has made its signature",
            Self::NoZoneKey => "signed with a key that is no zone key",
            Self::NoAnchoredKey => "no key that the parent's DS or a trust anchor names",
            Self::Signer => "signed in the name of another zone",
            Self::Expired => "its signature has expired",
            Self::NotYet => "its signature is not valid yet",
            Self::Backwards => "its signature expires before it becomes valid",
            Self::Forged => "its signature does not hold",
            Self::Unproven => "its absence is not proven",
            Self::Effort => "too many keys, signatures or hashes to check",
        }
    }
}
