//! [`tell`]: what clients are told of a host's certificate when that was judged.

use ct::Hash;
use pki::{Request, Status, StepName, StepResult, Verdict};

use crate::agreement::Extension;
use crate::control::{parse_name, wire_name_of};

/// Has the host's answers carry its certificate if that is valid, and no longer if it is found to be invalid, or if other nodes
/// find it to be. Nothing, if what it was judged by is no longer in service.
pub(super) fn tell(
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
    match verdict.status {
        Status::Valid => {
            extension.set_certificate(name, hash, verdict.good_until_unix_secs, is_current);
        }
        Status::Invalid if is_of_the_certificate(verdict) => {
            extension.withdraw_certificate(&name, hash, is_current);
        }
        // They find it invalid if this node has found nothing wrong.
        Status::Unknown if verdict.is_disputed() && !has_failed(verdict, |_| true) => {
            extension.withdraw_certificate(&name, hash, is_current);
        }
        Status::Invalid | Status::Unknown => {}
    }
}

/// With other certificates beside it, which anybody can show, the chain of a good one can be unreadable or lead nowhere.
fn is_of_the_certificate(verdict: &Verdict) -> bool {
    has_failed(verdict, |step| {
        ![StepName::Parse, StepName::Path].contains(&step)
    })
}

fn has_failed(verdict: &Verdict, counts: impl Fn(StepName) -> bool) -> bool {
    let mut steps = verdict.steps.iter();
    steps.any(|step| step.result == StepResult::Failed && counts(step.step))
}

#[cfg(test)]
mod tests {
    use pki::{Code, Step};

    use super::*;
    use crate::clock;

    const NAME: &[u8] = b"\x03www\x07example\x00";

    fn request(leaf: u8) -> Request {
        Request {
            chain: vec![vec![leaf]],
            host: Some("www.example".to_owned()),
            ..Request::default()
        }
    }

    fn verdict(status: Status, last: StepName) -> Verdict {
        let step = Step {
            step: last,
            result: match status {
                Status::Valid => StepResult::Passed,
                Status::Invalid => StepResult::Failed,
                Status::Unknown => StepResult::Unknown,
            },
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
        let extension = Extension::default();
        let valid = verdict(Status::Valid, StepName::Host);
        let on = |leaf, verdict: &Verdict, is_current| {
            tell(&extension, &request(leaf), verdict, || is_current);
            extension.certificate_of(NAME) != 0
        };
        assert!(!on(1, &valid, false));
        assert!(on(1, &valid, true));
        extension.withdraw_certificates();
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
        let doubted = |verdict: &Verdict, code| verdict.clone().doubted(code, 1, 0);
        assert!(on(1, &doubted(&valid, Code::NodesSilent), true));
        // The others find it valid.
        assert!(on(1, &doubted(&revoked, Code::NodesDisagree), true));
        assert!(!on(1, &doubted(&valid, Code::NodesDisagree), true));
        assert!(on(1, &valid.clone().confirmed(1), true));
    }
}
