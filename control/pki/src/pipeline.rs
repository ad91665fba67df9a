//! [`validate`]: all steps in their order, and the verdict of them.

use ct::{Certificate, CertificateError, DerError, Oid, Role};
use rustls_pki_types::ServerName;

use crate::constraints::{self, Group};
use crate::dane::{self, Plan};
use crate::path::{self, Path};
use crate::reason::{Code, NotPassed};
use crate::request::{
    CHAIN_BYTES_MAX, CHAIN_CERTIFICATES_MAX, Context, Purpose, Request, STAPLED_BYTES_MAX, Used,
    Wanted,
};
use crate::verdict::{Status, Step, StepName, StepResult, Verdict};
use crate::{inclusion, revocation, timestamps};

/// Seconds for which a verdict of valid may be used again at most: logs and authorities may lose their trust meanwhile.
pub const VALID_SECS_MAX: u64 = 86_400;
/// Seconds for which a verdict of invalid may be used again: what is wrong can be put right.
pub const INVALID_SECS: u64 = 3_600;
/// Seconds for which a verdict of unknown may be used again.
pub const UNKNOWN_SECS: u64 = 60;

/// A verdict, and what would make it a better one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// By what is known.
    pub verdict: Verdict,
    /// What to fetch, put into [`crate::Evidence`], and judge again with. Empty: nothing would help.
    pub wanted: Vec<Wanted>,
    /// What of that is worth keeping for other verdicts.
    pub used: Used,
}

/// Judges a chain by what is known now. Steps that need what an earlier one did not find are skipped.
#[must_use]
pub fn validate(request: &Request, context: &Context<'_>) -> Judgement {
    let started_ns = (context.clock_ns)();
    let mut run = Run {
        request,
        context,
        steps: Vec::with_capacity(11),
        wanted: Vec::new(),
        used: Used::default(),
        until: i64::MAX,
    };
    let chain = run.step(StepName::Parse, |_| parse(request));
    run.judge(chain.as_deref().unwrap_or_default());
    run.finish(started_ns)
}

struct Run<'r> {
    request: &'r Request,
    context: &'r Context<'r>,
    steps: Vec<Step>,
    wanted: Vec<Wanted>,
    used: Used,
    /// Seconds since 1970 until which all that passed holds.
    until: i64,
}

impl<'r> Run<'r> {
    fn step<T>(
        &mut self,
        step: StepName,
        check: impl FnOnce(&mut Self) -> Result<T, NotPassed>,
    ) -> Option<T> {
        let started_ns = (self.context.clock_ns)();
        let outcome = check(self);
        let micros = (self.context.clock_ns)().saturating_sub(started_ns) / 1_000;
        let (result, reason, value) = match outcome {
            Ok(value) => (StepResult::Passed, None, Some(value)),
            Err(NotPassed { result, reason }) => (result, Some(reason), None),
        };
        self.steps.push(Step {
            step,
            result,
            reason,
            micros,
        });
        value
    }

    fn judge(&mut self, chain: &[Certificate<'r>]) {
        let (request, context) = (self.request, self.context);
        let plan = dane::plan(request, chain, context, &mut self.wanted);
        let is_own = matches!(plan, Plan::EndEntity);
        let leaf = chain.first();
        let path = self.step(StepName::Path, |run| {
            run.reach(leaf, is_own)?;
            path::find(
                chain,
                &plan.ends(),
                request.purpose,
                context,
                &mut run.wanted,
            )
        });
        let path = path.as_ref();
        let fetched = context.evidence.issuers.iter();
        let used = fetched.filter(|(_, der)| path.is_some_and(|path| path.has(der)));
        self.used.issuers.extend(used.map(|(url, _)| url.clone()));
        self.step(StepName::Validity, |run| {
            let leaf = run.reach(leaf, is_own)?;
            run.check_validity(leaf, path)
        });
        self.step(StepName::Host, |run| {
            let leaf = run.reach(leaf, is_own)?;
            check_host(request, leaf, plan.base_domain(context))
        });
        self.step(StepName::Constraints, |run| {
            let leaf = run.reach(leaf, is_own)?;
            run.check_findings(leaf, path, Group::Constraints)
        });
        self.step(StepName::Strength, |run| match (leaf, is_own) {
            // A certificate that the domain vouches for may be signed anyhow, but its key must not be guessed.
            (Some(leaf), true) => {
                let key = [(leaf, Role::Root)].into_iter();
                constraints::check(key, Group::Strength, false, request.purpose)
            }
            _ => {
                let leaf = run.reach(leaf, false)?;
                run.check_findings(leaf, path, Group::Strength)
            }
        });
        self.judge_logs_and_revocation(leaf, path, is_own);
        self.step(StepName::Dane, |run| {
            run.reach(leaf, false)?;
            plan.check(path, context)?;
            run.until = run.until.min(dane::until(context));
            Ok(())
        });
    }

    fn judge_logs_and_revocation(
        &mut self,
        leaf: Option<&Certificate<'r>>,
        path: Option<&Path<'r>>,
        is_own: bool,
    ) {
        let (request, context) = (self.request, self.context);
        let mut promises = Vec::new();
        self.step(StepName::Scts, |run| {
            run.reach(leaf, is_own)?;
            let path = path.ok_or(NotPassed::skipped(Code::NotReached))?;
            let links = path.leaf_and_issuer();
            let (leaf, issuer) = links.ok_or(NotPassed::skipped(Code::NotReached))?;
            if !path.is_public || request.purpose == Purpose::Client {
                return Err(NotPassed::skipped(Code::NotPublic));
            }
            timestamps::check(request, leaf, issuer, context, &mut promises)
        });
        self.step(StepName::Inclusion, |run| {
            run.reach(leaf, is_own)?;
            inclusion::check(&promises, context, &mut run.wanted)
        });
        self.step(StepName::Revocation, |run| {
            run.reach(leaf, is_own)?;
            let path = path.ok_or(NotPassed::skipped(Code::NotReached))?;
            let until =
                revocation::check(request, path, context, (&mut run.wanted, &mut run.used))?;
            run.until = run.until.min(until);
            Ok(())
        });
        self.step(StepName::Staple, |run| {
            run.reach(leaf, is_own)?;
            let path = path.ok_or(NotPassed::skipped(Code::NotReached))?;
            revocation::check_staple(request, path, context)
        });
    }

    /// The certificate to judge, unless there is none or DANE has replaced the step.
    fn reach<'l>(
        &self,
        leaf: Option<&'l Certificate<'r>>,
        is_own: bool,
    ) -> Result<&'l Certificate<'r>, NotPassed> {
        match leaf {
            Some(_) if is_own => Err(NotPassed::skipped(Code::ReplacedByDane)),
            Some(leaf) => Ok(leaf),
            None => Err(NotPassed::skipped(Code::NotReached)),
        }
    }

    /// RFC 5280 §4.1.2.5: both ends belong to it.
    fn check_validity(
        &mut self,
        leaf: &Certificate<'_>,
        path: Option<&Path<'_>>,
    ) -> Result<(), NotPassed> {
        let now = self.context.now_secs();
        let authorities = path.map(Path::authorities).unwrap_or_default();
        for (index, certificate) in [leaf].into_iter().chain(authorities).enumerate() {
            let validity = certificate.validity();
            let (early, late) = (now < validity.not_before, now > validity.not_after);
            let code = match (early, late, index) {
                (false, false, _) => {
                    self.until = self.until.min(validity.not_after);
                    continue;
                }
                (_, _, 1..) => Code::AuthorityExpired,
                (true, ..) => Code::NotYetValid,
                (false, true, 0) => Code::Expired,
            };
            let detail = format!(
                "certificate {index} from {} to {}, and now is {now}",
                validity.not_before, validity.not_after
            );
            return Err(NotPassed::failed(code, detail));
        }
        Ok(())
    }

    fn check_findings(
        &self,
        leaf: &Certificate<'_>,
        path: Option<&Path<'_>>,
        group: Group,
    ) -> Result<(), NotPassed> {
        let purpose = self.request.purpose;
        match path {
            Some(path) => {
                constraints::check(constraints::roles(path), group, path.is_public, purpose)
            }
            None => {
                let alone = [(leaf, Role::EndEntity)].into_iter();
                constraints::check(alone, group, true, purpose)
            }
        }
    }

    fn finish(self, started_ns: u64) -> Judgement {
        let of_result = |result| self.steps.iter().find(move |step| step.result == result);
        let (status, decisive) = match of_result(StepResult::Failed) {
            Some(step) => (Status::Invalid, Some(step)),
            None => match of_result(StepResult::Unknown) {
                Some(step) => (Status::Unknown, Some(step)),
                None => (Status::Valid, None),
            },
        };
        let now_secs = self.context.now_ms / 1_000;
        let good_until_unix_secs = match status {
            Status::Valid => {
                let until = u64::try_from(self.until).unwrap_or_default();
                until.min(now_secs.saturating_add(VALID_SECS_MAX))
            }
            Status::Invalid => now_secs.saturating_add(INVALID_SECS),
            Status::Unknown => now_secs.saturating_add(UNKNOWN_SECS),
        };
        let leaf = self.request.chain.first();
        let failed = &self.context.evidence.failed;
        let mut wanted = self.wanted;
        wanted.retain(|item| !failed.contains(item));
        let verdict = Verdict {
            fingerprint: leaf
                .map(|der| ct::Hash::of(der).to_string())
                .unwrap_or_default(),
            status,
            reason: decisive.and_then(|step| step.reason.clone()),
            host: self.request.host.clone(),
            good_until_unix_secs,
            total_micros: (self.context.clock_ns)().saturating_sub(started_ns) / 1_000,
            steps: self.steps,
        };
        Judgement {
            verdict,
            wanted,
            used: self.used,
        }
    }
}

fn parse(request: &Request) -> Result<Vec<Certificate<'_>>, NotPassed> {
    let count = request.chain.len();
    if count == 0 {
        return Err(NotPassed::failed(Code::EmptyChain, ""));
    }
    if count > CHAIN_CERTIFICATES_MAX {
        let detail = format!("{count}, at most {CHAIN_CERTIFICATES_MAX} are read");
        return Err(NotPassed::failed(Code::TooManyCertificates, detail));
    }
    let bytes: usize = request.chain.iter().map(Vec::len).sum();
    let stapled = [&request.ocsp, &request.sct_list];
    let mut stapled = stapled.into_iter().flatten().map(Vec::len);
    if bytes > CHAIN_BYTES_MAX || stapled.any(|bytes| bytes > STAPLED_BYTES_MAX) {
        let detail = format!("{bytes} octets of certificates, at most {CHAIN_BYTES_MAX} are read");
        return Err(NotPassed::failed(Code::TooManyBytes, detail));
    }
    let certificates = request.chain.iter().enumerate().map(|(index, der)| {
        let certificate = Certificate::parse(der).map_err(|error| {
            let code = match &error {
                CertificateError::Der(DerError::Truncated { .. }) => Code::Truncated,
                CertificateError::DuplicateExtension { .. } => Code::DuplicateExtension,
                _ => Code::Malformed,
            };
            NotPassed::failed(code, format!("certificate {index}: {error}"))
        })?;
        // RFC 6962 §3.1: a poison, wherever it stands, says that this is no certificate to be used.
        if certificate.extension(Oid::POISON).is_some() {
            return Err(NotPassed::failed(
                Code::Poison,
                format!("certificate {index}"),
            ));
        }
        Ok(certificate)
    });
    certificates.collect()
}

/// RFC 9525 §6: by the alternative names. RFC 7671 §7: the base domain of the TLSA records will do, where secure aliases of the
/// host lead to it.
fn check_host(
    request: &Request,
    leaf: &Certificate<'_>,
    base_domain: Option<&str>,
) -> Result<(), NotPassed> {
    let Some(host) = &request.host else {
        return Err(NotPassed::skipped(Code::NoHost));
    };
    let name = ServerName::try_from(host.as_str())
        .map_err(|error| NotPassed::failed(Code::BadHost, error))?;
    let base_domain = base_domain.and_then(|domain| ServerName::try_from(domain).ok());
    for name in [name].into_iter().chain(base_domain) {
        let covers = leaf.covers_host(&name);
        if covers.map_err(|error| NotPassed::failed(Code::Malformed, error))? {
            return Ok(());
        }
    }
    Err(NotPassed::failed(Code::HostMismatch, host))
}
