//! RRSIG: which zone signed an RRset, and whether the signature holds (RFC 4035 §5.3).

use super::super::name::WireName;
use super::super::rrset::RrSet;
use super::canonical::lower_names;
use super::key::Key;
use super::{Effort, Fault};

/// Signatures of one RRset that are looked at; more are a way to make work.
const SIGNATURES_MAX: usize = 8;
/// Keys of one tag and algorithm that are tried: tags collide by accident in pairs at most.
const COLLISIONS_MAX: usize = 4;
/// RRSIG RDATA before the signer's name.
const FIXED_BYTES: usize = 18;

/// An RRSIG without the type that it covers, which grouping has used.
struct Rrsig<'a> {
    algorithm: u8,
    labels: u8,
    original_ttl_secs: u32,
    expiration: u32,
    inception: u32,
    tag: u16,
    signer: WireName,
    /// Everything before the signer.
    fixed: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Rrsig<'a> {
    fn parse(rdata: &'a [u8]) -> Option<Self> {
        let (fixed, rest) = rdata.split_at_checked(FIXED_BYTES)?;
        let signer = WireName::parse(rest)?;
        let signature = rest.get(signer.as_bytes().len()..)?;
        let &[
            _,
            _,
            algorithm,
            labels,
            t0,
            t1,
            t2,
            t3,
            e0,
            e1,
            e2,
            e3,
            i0,
            i1,
            i2,
            i3,
            k0,
            k1,
        ] = fixed
        else {
            return None;
        };
        Some(Self {
            algorithm,
            labels,
            original_ttl_secs: u32::from_be_bytes([t0, t1, t2, t3]),
            expiration: u32::from_be_bytes([e0, e1, e2, e3]),
            inception: u32::from_be_bytes([i0, i1, i2, i3]),
            tag: u16::from_be_bytes([k0, k1]),
            signer,
            fixed,
            signature,
        })
    }

    /// RFC 4034 §3.1.5: times are serial numbers.
    fn check_time(&self, now: u32) -> Result<(), Fault> {
        if is_before(self.expiration, self.inception) {
            Err(Fault::Backwards)
        } else if is_before(now, self.inception) {
            Err(Fault::NotYet)
        } else if is_before(self.expiration, now) {
            Err(Fault::Expired)
        } else {
            Ok(())
        }
    }
}

/// RFC 1982: whether `left` lies before `right`, at most 68 years.
fn is_before(left: u32, right: u32) -> bool {
    left != right && right.wrapping_sub(left) < 1 << 31
}

/// What a signature that holds says of its RRset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::iterate) struct Verified {
    /// Labels of the closest encloser, if a wildcard there made the RRset. Then it must be proven
    /// that nothing closer exists.
    pub(in crate::iterate) wildcard: Option<usize>,
    /// Seconds for which the RRset may be kept (RFC 4035 §5.3.3).
    pub(in crate::iterate) ttl_max_secs: u32,
    /// The TTL that its zone gives the RRset.
    pub(in crate::iterate) original_ttl_secs: u32,
    /// Seconds until the signature expires.
    pub(in crate::iterate) left_secs: u32,
}

/// The zones in whose names the RRset is signed; each once, at most as many as are verified.
pub(in crate::iterate) fn signers(set: &RrSet) -> Vec<WireName> {
    let signatures = set.content.signatures.iter().filter_map(Rrsig::parse);
    let mut signers = Vec::new();
    for signature in signatures.take(SIGNATURES_MAX) {
        if !signers.contains(&signature.signer) {
            signers.push(signature.signer);
        }
    }
    signers
}

/// Checks the signatures of an RRset against the keys of `zone`, until one holds. `now` is Unix
/// time modulo 2^32. The error is that of the signature that came closest.
pub(in crate::iterate) fn verify(
    set: &RrSet,
    zone: &WireName,
    keys: &[Key],
    now: u32,
    effort: &mut Effort,
) -> Result<Verified, Fault> {
    let mut fault = Fault::Unsigned;
    let signatures = set.content.signatures.iter().filter_map(Rrsig::parse);
    for signature in signatures.take(SIGNATURES_MAX) {
        match verify_one(set, &signature, zone, keys, now, effort) {
            Err(Fault::Effort) => return Err(Fault::Effort),
            Err(other) => fault = fault.max(other),
            Ok(verified) => return Ok(verified),
        }
    }
    Err(fault)
}

/// Whether the period of every signature over an RRset has begun and is not over.
pub(in crate::iterate) fn is_in_time(set: &RrSet, now: u32) -> bool {
    let mut signatures = set.content.signatures.iter().filter_map(Rrsig::parse);
    signatures.all(|signature| signature.check_time(now).is_ok())
}

/// Whether a key that claims to be revoked has itself signed the RRset that it stands in. It signs
/// nothing else any more, and nobody else can revoke it (RFC 5011 §2.1).
pub(in crate::iterate) fn confirms_revocation(
    set: &RrSet,
    zone: &WireName,
    key: &Key,
    now: u32,
    effort: &mut Effort,
) -> Result<bool, Fault> {
    let signatures = set.content.signatures.iter().filter_map(Rrsig::parse);
    for signature in signatures.take(SIGNATURES_MAX) {
        let is_own = (key.tag, key.algorithm) == (signature.tag, signature.algorithm)
            && signature.signer == *zone
            && set.owner == *zone
            && usize::from(signature.labels) == zone.label_count();
        if !is_own || signature.check_time(now).is_err() {
            continue;
        }
        let holds = || key.verify(&signed_data(set, &signature), signature.signature);
        if key.has_known_algorithm() && effort.check_signature(holds)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn verify_one(
    set: &RrSet,
    signature: &Rrsig<'_>,
    zone: &WireName,
    keys: &[Key],
    now: u32,
    effort: &mut Effort,
) -> Result<Verified, Fault> {
    if signature.signer != *zone || !set.owner.is_within(zone) {
        return Err(Fault::Signer);
    }
    let labels = usize::from(signature.labels);
    let owner_labels = set.owner.signed_labels();
    if labels > owner_labels {
        return Err(Fault::Forged);
    }
    signature.check_time(now)?;
    let mut fault = Fault::NoKey;
    let mut message = None;
    let fitting = keys
        .iter()
        .filter(|key| (key.tag, key.algorithm) == (signature.tag, signature.algorithm));
    for key in fitting.take(COLLISIONS_MAX) {
        if !key.is_zone_key() {
            fault = fault.max(Fault::NoZoneKey);
            continue;
        }
        let holds = || {
            let message = message.get_or_insert_with(|| signed_data(set, signature));
            key.verify(message, signature.signature)
        };
        // What cannot be checked costs nothing.
        if key.has_known_algorithm() && effort.check_signature(holds)? {
            let left_secs = signature.expiration.wrapping_sub(now);
            return Ok(Verified {
                wildcard: (labels < owner_labels).then_some(labels),
                ttl_max_secs: signature.original_ttl_secs.min(left_secs),
                original_ttl_secs: signature.original_ttl_secs,
                left_secs,
            });
        }
        fault = fault.max(Fault::Forged);
    }
    Err(fault)
}

/// What was signed (RFC 4035 §5.3.2).
fn signed_data(set: &RrSet, signature: &Rrsig<'_>) -> Vec<u8> {
    let mut message = signature.fixed.to_vec();
    message.extend_from_slice(signature.signer.as_bytes());
    let labels = usize::from(signature.labels);
    let wildcard = if labels < set.owner.signed_labels() {
        set.owner.last_labels(labels).wildcard_below()
    } else {
        None
    };
    let owner = wildcard.as_ref().unwrap_or(&set.owner);
    let mut rdatas: Vec<Vec<u8>> = set
        .content
        .data
        .iter()
        .map(|rdata| lower_names(set.rtype, rdata))
        .collect();
    rdatas.sort_unstable();
    rdatas.dedup();
    for rdata in rdatas {
        message.extend_from_slice(owner.as_bytes());
        message.extend_from_slice(&u16::from(set.rtype).to_be_bytes());
        message.extend_from_slice(&1_u16.to_be_bytes()); // Class IN.
        message.extend_from_slice(&signature.original_ttl_secs.to_be_bytes());
        let length = u16::try_from(rdata.len()).expect("RDATA fits its length field");
        message.extend_from_slice(&length.to_be_bytes());
        message.extend_from_slice(&rdata);
    }
    message
}
