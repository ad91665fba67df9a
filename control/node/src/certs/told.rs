//! [`Told`]: of which hosts clients are told the certificate, so that it can be taken back.

use std::sync::{Mutex, MutexGuard, PoisonError};

use ct::Hash;
use pki::{Request, Status, StepName, StepResult, Verdict};

use super::shelf::Shelf;
use crate::agreement::Extension;
use crate::clock;
use crate::control::{parse_name, wire_name_of};

/// Some 60,000 names, like the extension itself.
const NAME_BYTES_MAX: usize = 8 << 20;
/// What a name takes beside its octets, about.
const NAME_BYTES: usize = 120;

/// First octets of the fingerprint by name in wire form, as the [`Extension`] has them.
#[derive(Debug)]
pub(super) struct Told(Mutex<Shelf<Vec<u8>, u32>>);

impl Default for Told {
    fn default() -> Self {
        Self(Mutex::new(Shelf::new(NAME_BYTES_MAX)))
    }
}

impl Told {
    fn names(&self) -> MutexGuard<'_, Shelf<Vec<u8>, u32>> {
        // A shelf is whole between any two of its methods.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the host's answers carry its certificate if that is valid, and no longer if it is found to be invalid. Nothing, if
    /// what it was judged by is no longer in service, which is asked while nobody can take all back.
    pub(super) fn on_verdict(
        &self,
        extension: &Extension,
        request: &Request,
        verdict: &Verdict,
        is_current: impl FnOnce() -> bool,
    ) {
        let (Some(host), Some(leaf)) = (&request.host, request.chain.first()) else {
            return;
        };
        let Ok(name) = parse_name(host).map(|name| wire_name_of(&name)) else {
            return;
        };
        let Hash([a, b, c, d, ..]) = Hash::of(leaf);
        let hash = u32::from_be_bytes([a, b, c, d]);
        let mut names = self.names();
        if !is_current() {
            return;
        }
        match verdict.status {
            Status::Valid => {
                let (bytes, until) = (NAME_BYTES + name.len(), verdict.good_until_unix_secs);
                names.put(name.clone(), hash, bytes, until);
                extension.set_certificate(name, hash, until);
            }
            Status::Invalid if is_of_the_certificate(verdict) => {
                if names.get(&name, clock::unix_secs()) == Some(hash) {
                    names.remove(&name);
                    withdraw(extension, name);
                }
            }
            Status::Invalid | Status::Unknown => {}
        }
    }

    /// Takes all back.
    pub(super) fn withdraw_all(&self, extension: &Extension) {
        let mut names = self.names();
        for name in names.keys() {
            withdraw(extension, name.clone());
        }
        names.clear();
    }
}

/// With other certificates beside it, which anybody can show, the chain of a good one can be unreadable or lead nowhere.
fn is_of_the_certificate(verdict: &Verdict) -> bool {
    let mut failed = verdict
        .steps
        .iter()
        .filter(|step| step.result == StepResult::Failed);
    failed.any(|step| ![StepName::Parse, StepName::Path].contains(&step.step))
}

/// 0 stands for none, and its time is over.
fn withdraw(extension: &Extension, name: Vec<u8>) {
    extension.set_certificate(name, 0, 0);
}

#[cfg(test)]
mod tests {
    use pki::Step;

    use super::*;

    const NAME: &[u8] = b"\x03www\x07example\x00";

    fn request(leaf: u8) -> Request {
        Request {
            chain: vec![vec![leaf]],
            host: Some("www.example".to_owned()),
            ..Request::default()
        }
    }

    fn verdict(status: Status, failed: StepName) -> Verdict {
        let step = Step {
            step: failed,
            result: StepResult::Failed,
            reason: None,
            micros: 0,
        };
        Verdict {
            fingerprint: String::new(),
            status,
            reason: None,
            host: None,
            good_until_unix_secs: clock::unix_secs() + 60,
            total_micros: 0,
            steps: vec![step],
        }
    }

    #[test]
    fn certificate_is_told_until_all_are_taken_back_or_it_is_found_invalid() {
        let (told, extension) = (Told::default(), Extension::default());
        let valid = verdict(Status::Valid, StepName::Host);
        let on = |leaf, verdict: &Verdict, is_current| {
            told.on_verdict(&extension, &request(leaf), verdict, || is_current);
            extension.certificate_of(NAME) != 0
        };
        assert!(!on(1, &valid, false));
        assert!(on(1, &valid, true));
        told.withdraw_all(&extension);
        assert_eq!(extension.certificate_of(NAME), 0);

        assert!(on(1, &valid, true));
        let revoked = verdict(Status::Invalid, StepName::Revocation);
        // Of another certificate, by other materials, or because of what stood beside it.
        assert!(on(2, &revoked, true));
        assert!(on(1, &revoked, false));
        for chain in [StepName::Parse, StepName::Path] {
            assert!(on(1, &verdict(Status::Invalid, chain), true));
        }
        assert!(on(1, &verdict(Status::Unknown, StepName::Dane), true));
        assert!(!on(1, &revoked, true));
        assert!(on(1, &valid, true));
    }
}
