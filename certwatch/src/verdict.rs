//! [`Verdict`]: what control thinks of a certificate, and what of it `cert_status_map` can hold.
//!
//! The wire form is control's `certificate_verdict`; fields that are not needed here are ignored.

use bpf_redirect::cert_validator::{CertStatus, Fingerprint, HOSTS, Status, host_hash};
use data_encoding::HEXLOWER;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

/// How long a verdict stays in the map at most, in seconds, so that control is asked again.
pub const STATUS_SECS_MAX: u64 = 3600;

/// Steps of a judgement by the number that stands for them in the map: control's names, in its order.
/// 0 is for a reason that none of these is.
const STEPS: [&str; 12] = [
    "other",
    "parse",
    "path",
    "validity",
    "host",
    "constraints",
    "strength",
    "scts",
    "inclusion",
    "revocation",
    "staple",
    "dane",
];
/// Steps that judge the leaf alone, once there is a path.
const STEPS_OF_LEAF: [&str; 2] = ["scts", "inclusion"];
/// Steps that judge every certificate of the path: their reasons say which one it was.
const STEPS_OF_PATH: [&str; 4] = ["validity", "constraints", "strength", "revocation"];
/// How the reasons of these begin, behind their code, when it was the leaf.
const LEAF: &str = "certificate 0";

/// Control's reply, without its envelope.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Verdict {
    /// SHA-256 of the leaf, in hexadecimal.
    pub fingerprint: String,
    /// All steps together.
    pub status: StatusName,
    /// Why it is not valid.
    #[serde(default)]
    pub reason: Option<String>,
    /// Until when it holds, in seconds since 1970.
    pub good_until_unix_secs: u64,
    /// What led there.
    #[serde(default)]
    pub steps: Vec<Step>,
}

/// `valid`, `invalid` or `unknown`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StatusName {
    /// No step failed.
    Valid,
    /// A step failed.
    Invalid,
    /// Something could not be found out.
    Unknown,
}

/// A step of the judgement.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Step {
    /// Its name.
    pub step: String,
    /// `passed`, `failed`, `skipped` or `unknown`.
    pub result: String,
    /// Why it did not pass: a code, a colon, and a text.
    #[serde(default)]
    pub reason: Option<String>,
}

/// The clocks, read once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clocks {
    /// Seconds since 1970.
    pub unix_secs: u64,
    /// Nanoseconds of CLOCK_BOOTTIME.
    pub boot_ns: u64,
}

impl Verdict {
    /// Whether it is about this leaf.
    pub fn is_of(&self, leaf: &Fingerprint) -> bool {
        self.fingerprint
            .eq_ignore_ascii_case(&HEXLOWER.encode(leaf))
    }

    /// For the map and for flows.
    pub fn status(&self) -> Status {
        match self.status {
            StatusName::Valid => Status::Valid,
            StatusName::Invalid => Status::Invalid,
            StatusName::Unknown => Status::Unknown,
        }
    }

    /// The value for `cert_status_map`, given the one that is there. `None` if it holds no longer, or if
    /// it does not hold for every connection with the same leaf: the name may be at fault, or what else the
    /// peer has shown, which anybody can choose who knows the leaf.
    pub fn to_map(
        &self,
        host: Option<&str>,
        before: Option<CertStatus>,
        now: Clocks,
    ) -> Option<CertStatus> {
        let left_secs = self.good_until_unix_secs.checked_sub(now.unix_secs)?;
        let left_secs = left_secs.min(STATUS_SECS_MAX);
        let fault = self.fault_of_leaf();
        let is_of_leaf = match self.status {
            StatusName::Valid => true,
            StatusName::Invalid => fault.is_some(),
            StatusName::Unknown => false,
        };
        if left_secs == 0 || !is_of_leaf {
            return None;
        }
        let status = self.status();
        let mut hosts = [0; HOSTS];
        if status == Status::Valid {
            let before = before.filter(|before| is_fresh(before, Status::Valid, now.boot_ns));
            hosts = with_host(before.map_or(hosts, |before| before.hosts), host);
        }
        Some(CertStatus {
            status: status as u8,
            reason: fault.map_or(0, reason_number),
            unused: [0; 6],
            good_until_unix_secs: now.unix_secs + left_secs,
            checked_at_unix_secs: now.unix_secs,
            good_until_boot_ns: now.boot_ns.saturating_add(left_secs * 1_000_000_000),
            hosts,
        })
    }

    /// The first step that found something wrong with the leaf itself. Without a path nothing is certain:
    /// who has no path may be judged by rules that are not meant for it.
    fn fault_of_leaf(&self) -> Option<&str> {
        let mut steps = self.steps.iter();
        let has_path = |step: &Step| step.step == "path" && step.result == "passed";
        if !steps.clone().any(has_path) {
            return None;
        }
        let fault = steps.find(|step| step.result == "failed" && step.is_about_leaf());
        fault.map(|step| &*step.step)
    }
}

impl Step {
    fn is_about_leaf(&self) -> bool {
        let name = &*self.step;
        let detail = self.reason.as_deref().and_then(|reason| {
            let (_, detail) = reason.split_once(": ")?;
            detail.strip_prefix(LEAF)
        });
        // Not "certificate 01" and its like.
        let names_leaf = detail.is_some_and(|rest| rest.starts_with([':', ' ']));
        STEPS_OF_LEAF.contains(&name) || STEPS_OF_PATH.contains(&name) && names_leaf
    }
}

/// The number that stands for a step in the map.
fn reason_number(step: &str) -> u8 {
    let number = (0..).zip(STEPS).find(|(_, name)| *name == step);
    number.map_or(0, |(number, _)| number)
}

/// The name of the step that a number of the map stands for.
pub fn reason_name(number: u8) -> &'static str {
    STEPS.get(usize::from(number)).unwrap_or(&STEPS[0])
}

/// What the map says of a leaf for a name, if that still holds: as the program in the kernel has it.
pub fn known_status(status: &CertStatus, host: Option<&str>, boot_ns: u64) -> Option<Status> {
    if is_fresh(status, Status::Invalid, boot_ns) {
        return Some(Status::Invalid);
    }
    let knows = |host: &str| status.hosts.contains(&hash(host));
    (is_fresh(status, Status::Valid, boot_ns) && host.is_none_or(knows)).then_some(Status::Valid)
}

fn is_fresh(status: &CertStatus, wanted: Status, boot_ns: u64) -> bool {
    status.status == wanted as u8 && status.good_until_boot_ns > boot_ns
}

/// The names with one more in front; the last one makes way.
fn with_host(mut hosts: [u64; HOSTS], host: Option<&str>) -> [u64; HOSTS] {
    let Some(host) = host.map(hash) else {
        return hosts;
    };
    let place = hosts.iter().position(|known| *known == host);
    let end = place.unwrap_or(HOSTS - 1);
    if let Some(part) = hosts.get_mut(..=end) {
        part.rotate_right(1);
    }
    hosts[0] = host;
    hosts
}

fn hash(host: &str) -> u64 {
    host_hash(&Sha256::digest(host.as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Clocks = Clocks {
        unix_secs: 1_000_000,
        boot_ns: 5_000_000_000,
    };

    /// With a path, unless that is among what failed; each failure with its reason.
    fn verdict(status: StatusName, failed: &[(&str, &str)]) -> Verdict {
        let step = |name: &str, result: &str, reason: Option<&str>| Step {
            step: name.to_owned(),
            result: result.to_owned(),
            reason: reason.map(str::to_owned),
        };
        let names = ["parse", "path"].into_iter();
        let passed = names.filter(|name| failed.iter().all(|(failed, _)| failed != name));
        let passed = passed.map(|name| step(name, "passed", None));
        let failed = failed
            .iter()
            .map(|(name, reason)| step(name, "failed", Some(reason)));
        Verdict {
            fingerprint: "ab".repeat(32),
            status,
            reason: None,
            good_until_unix_secs: NOW.unix_secs + 10,
            steps: passed.chain(failed).collect(),
        }
    }

    #[test]
    fn invalid_is_of_the_certificate_only_if_the_leaf_itself_is_at_fault() {
        let expired = (
            "validity",
            "expired: certificate 0 from 1 to 2, and now is 3",
        );
        for (failed, name) in [
            (&[("host", "host_mismatch: a")][..], None),
            (&[("dane", "tlsa_mismatch")], None),
            (&[expired], Some("validity")),
            (
                &[("host", "host_mismatch: a"), ("scts", "no_scts")],
                Some("scts"),
            ),
            (&[("inclusion", "proof_failed: x")], Some("inclusion")),
            (
                &[("strength", "weak_key: certificate 0: short")],
                Some("strength"),
            ),
            (
                &[("revocation", "revoked: certificate 0: at 5")],
                Some("revocation"),
            ),
            // What the peer has chosen to show beside it.
            (&[("parse", "malformed: certificate 1: junk")], None),
            (&[("parse", "malformed: certificate 0: junk")], None),
            (&[("path", "bad_signature")], None),
            (&[("path", "root_not_accepted: x"), expired], None),
            (
                &[("validity", "authority_expired: certificate 1 from 1 to 2")],
                None,
            ),
            (&[("strength", "weak_key: certificate 01: short")], None),
            (&[("revocation", "revoked: certificate 1: at 5")], None),
            (&[("revocation", "revoked: at 5")], None),
            (&[("newer_step", "wrong: certificate 0: x")], None),
            (&[], None),
        ] {
            let value = verdict(StatusName::Invalid, failed).to_map(Some("a"), None, NOW);
            let value = value.map(|value| reason_name(value.reason));
            assert_eq!(value, name, "{failed:?}");
        }
        let replaced = Step {
            step: "path".to_owned(),
            result: "skipped".to_owned(),
            reason: Some("replaced_by_dane".to_owned()),
        };
        let mut by_dane = verdict(StatusName::Invalid, &[expired]);
        by_dane.steps[1] = replaced;
        assert_eq!(by_dane.to_map(Some("a"), None, NOW), None);
    }

    #[test]
    fn verdict_holds_until_its_end_and_never_longer_than_the_bound() {
        let mut verdict = verdict(StatusName::Valid, &[]);
        let value = verdict.to_map(None, None, NOW).unwrap();
        assert_eq!(value.good_until_unix_secs, NOW.unix_secs + 10);
        assert_eq!(value.good_until_boot_ns, 15_000_000_000);
        verdict.good_until_unix_secs = u64::MAX;
        let value = verdict.to_map(None, None, NOW).unwrap();
        assert_eq!(value.good_until_unix_secs, NOW.unix_secs + STATUS_SECS_MAX);
        for over in [0, NOW.unix_secs] {
            verdict.good_until_unix_secs = over;
            assert_eq!(verdict.to_map(None, None, NOW), None);
        }
    }

    #[test]
    fn names_gather_while_it_holds_and_the_oldest_makes_way() {
        let valid = verdict(StatusName::Valid, &[]);
        let mut value = None;
        for host in ["a", "b", "c", "b", "d"] {
            value = valid.to_map(Some(host), value, NOW);
        }
        let hosts = ["d", "b", "c", "a"].map(hash);
        assert_eq!(value.unwrap().hosts, hosts);
        value = valid.to_map(Some("e"), value, NOW);
        let known = |host, boot_ns| known_status(&value.unwrap(), Some(host), boot_ns);
        assert_eq!(known("a", NOW.boot_ns), None);
        assert_eq!(known("b", NOW.boot_ns), Some(Status::Valid));
        let end = value.unwrap().good_until_boot_ns;
        assert_eq!(known("b", end), None);
        let later = Clocks {
            boot_ns: end,
            ..NOW
        };
        let value = valid.to_map(Some("f"), value, later).unwrap();
        assert_eq!(value.hosts, [hash("f"), 0, 0, 0]);
    }

    #[test]
    fn invalid_certificate_is_so_for_every_name_and_unknown_leaves_what_is_known() {
        let invalid = verdict(StatusName::Invalid, &[("scts", "no_scts")]);
        let invalid = invalid.to_map(Some("a"), None, NOW);
        for host in [Some("a"), Some("b"), None] {
            let known = known_status(&invalid.unwrap(), host, NOW.boot_ns);
            assert_eq!(known, Some(Status::Invalid));
        }
        let unknown = verdict(StatusName::Unknown, &[]);
        assert_eq!(unknown.to_map(None, invalid, NOW), None);
    }
}
