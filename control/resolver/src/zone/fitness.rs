//! What a zone must not become: the rules of [`super::Zone::build`] for one owner, without building the zone.

use super::check_set::may_stand_beside_cname;
use super::encode::RRSET_BYTES_MAX;
use super::name::is_at_or_below;
use super::record_set::RecordSet;
use super::types::rtype;

/// Why records cannot stand in a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unfit {
    /// RFC 2181 §10.1.
    #[error("a CNAME record beside others")]
    CnameNotAlone,
    /// RFC 2181 §10.1 and RFC 6672 §2.4.
    #[error("a second CNAME, DNAME or SOA record")]
    SingleRepeated,
    /// RFC 6672 §2.3.
    #[error("a DNAME record beside NS records below the apex")]
    DnameWithNs,
    /// RFC 4592 §4.2 and §4.4.
    #[error("NS or DNAME at a wildcard")]
    WildcardDelegation,
    /// A SOA record below the apex.
    #[error("a SOA record below the apex")]
    SoaBelowApex,
    /// No SOA or no NS record at the apex (RFC 1035 §5.2).
    #[error("an apex without SOA or NS records")]
    Apex,
    /// More than one message holds.
    #[error("a set of more than {RRSET_BYTES_MAX} bytes")]
    SetBytes,
    /// More than we keep.
    #[error("a zone of too many bytes")]
    ZoneBytes,
    /// The zone is signed elsewhere, and the change would break its signatures.
    #[error("the zone is signed elsewhere")]
    Signed,
    /// Signatures and denials of existence are not for updates to make.
    #[error("a record that belongs to who signs the zone")]
    SignersType,
}

/// Checks all sets of one owner, ordered by type.
pub(super) fn check_owner(
    apex: &[u8],
    owner: &[u8],
    sets: &[(u16, RecordSet)],
) -> Result<(), Unfit> {
    let has = |wanted| sets.iter().any(|(rtype, _)| *rtype == wanted);
    if owner == apex && !(has(rtype::SOA) && has(rtype::NS)) {
        return Err(Unfit::Apex);
    }
    for (rtype, set) in sets {
        match *rtype {
            rtype::SOA if owner != apex => return Err(Unfit::SoaBelowApex),
            rtype::CNAME if !sets.iter().all(|(rtype, _)| has_place(*rtype)) => {
                return Err(Unfit::CnameNotAlone);
            }
            rtype::NS | rtype::DNAME if owner.starts_with(b"\x01*") => {
                return Err(Unfit::WildcardDelegation);
            }
            rtype::DNAME if owner != apex && has(rtype::NS) => return Err(Unfit::DnameWithNs),
            _ => {}
        }
        if is_single(*rtype) && set.len() > 1 {
            return Err(Unfit::SingleRepeated);
        }
        if set.message_bytes() + signature_bytes(sets, *rtype) > RRSET_BYTES_MAX {
            return Err(Unfit::SetBytes);
        }
    }
    Ok(())
}

/// Types of which a name has one record at most.
pub(super) fn is_single(rtype: u16) -> bool {
    matches!(rtype, rtype::CNAME | rtype::DNAME | rtype::SOA)
}

/// Beside a CNAME record, with its signature.
pub(super) fn has_place(rtype: u16) -> bool {
    may_stand_beside_cname(rtype) || rtype == rtype::RRSIG
}

/// Made by who signs the zone: no update brings them.
pub(super) fn is_signers(rtype: u16) -> bool {
    matches!(
        rtype,
        rtype::RRSIG | rtype::NSEC | rtype::NSEC3 | rtype::NSEC3PARAM | rtype::NXT | rtype::SIG
    )
}

pub(super) fn is_inside(apex: &[u8], owner: &[u8]) -> bool {
    is_at_or_below(owner, apex)
}

fn signature_bytes(sets: &[(u16, RecordSet)], covered: u16) -> usize {
    let signatures = sets.iter().find(|(rtype, _)| *rtype == rtype::RRSIG);
    let covers = |data: &&[u8]| data.starts_with(&covered.to_be_bytes());
    let data = signatures
        .into_iter()
        .flat_map(|(_, set)| set.iter().filter(covers));
    data.map(|data| data.len() + super::data::RECORD_HEADER_BYTES + 2)
        .sum()
}
