//! A root, an authority below it, logs, and what they make of a server's certificate.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "tests, benches and examples each take what they need"
)]

use std::cell::Cell;

use ct::{
    Certificate, ChromePolicy, CtExtensions, LogList, Precertificate, Sct, SignedEntry,
    encode_sct_list,
};
use pki::{Anchors, Code, Context, Evidence, Judgement, Request, StepName, StepResult, validate};
use rcgen::{CertificateParams, CustomExtension, date_time_ymd};

use crate::pki::{Authority, element, extension, leaf, poison, sct_list};
use crate::support::list::{LISTED_MS, list, log_id};
use crate::support::{log_signer, sign};

/// A month after the logs were listed, within the validity of [`World::leaf`].
pub const NOW_MS: u64 = LISTED_MS + 30 * 86_400_000;
pub const NOW: i64 = NOW_MS.cast_signed() / 1_000;

pub struct World {
    pub root: Authority,
    pub issuer: Authority,
    pub anchors: Anchors,
    pub logs: LogList,
}

impl World {
    pub fn new() -> Self {
        Self::below(Authority::root("root"), "issuer")
    }

    pub fn below(root: Authority, issuer: &str) -> Self {
        let issuer = root.authority(issuer);
        let mut anchors = Anchors::default();
        anchors.add(&root.der, true).unwrap();
        let logs = list();
        Self {
            root,
            issuer,
            anchors,
            logs,
        }
    }

    /// Twelve weeks from the day on which the logs were listed.
    pub fn leaf() -> CertificateParams {
        let mut params = leaf();
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(2026, 3, 25);
        params
    }

    /// With timestamps of logs of two operators.
    pub fn issue_logged(&self, params: &CertificateParams) -> Vec<u8> {
        self.issue_with(params, |entry| {
            [1, 3].map(|seed| sct(seed, LISTED_MS, entry)).to_vec()
        })
    }

    pub fn issue_with(
        &self,
        params: &CertificateParams,
        scts: impl Fn(&SignedEntry<'_>) -> Vec<Sct>,
    ) -> Vec<u8> {
        let with = |extension: CustomExtension| {
            let mut params = params.clone();
            params.custom_extensions.push(extension);
            self.issuer.issue(&params)
        };
        let submitted = with(poison());
        let submitted = Certificate::parse(&submitted).unwrap();
        let issuer = Certificate::parse(&self.issuer.der).unwrap();
        let logged = Precertificate::from_submission(&submitted, &[issuer]).unwrap();
        let entry = SignedEntry::Precertificate {
            issuer_key_hash: logged.issuer_key_hash,
            tbs: &logged.tbs,
        };
        with(sct_list(&encode_sct_list(&scts(&entry)).unwrap()))
    }

    pub fn request(&self, leaf: Vec<u8>) -> Request {
        Request {
            chain: vec![leaf, self.issuer.der.clone()],
            host: Some("example.com".to_owned()),
            ..Request::default()
        }
    }

    pub fn good(&self) -> Request {
        self.request(self.issue_logged(&Self::leaf()))
    }

    pub fn judge(&self, request: &Request, evidence: &Evidence) -> Judgement {
        self.judge_at(request, evidence, NOW_MS)
    }

    pub fn judge_at(&self, request: &Request, evidence: &Evidence, now_ms: u64) -> Judgement {
        let ticks = Cell::new(0_u64);
        let clock_ns = || {
            ticks.set(ticks.get() + 1_000);
            ticks.get()
        };
        let context = Context {
            anchors: &self.anchors,
            logs: Some(&self.logs),
            policy: ChromePolicy::default(),
            now_ms,
            clock_ns: &clock_ns,
            evidence,
        };
        validate(request, &context)
    }

    /// The step that fails, or whose result is unknown, and its code.
    pub fn fault(&self, request: &Request) -> Option<(StepName, Code)> {
        fault(&self.judge(request, &Evidence::default()))
    }
}

/// The first step that decides the verdict, and its code, which must be the verdict's.
pub fn fault(judgement: &Judgement) -> Option<(StepName, Code)> {
    let verdict = &judgement.verdict;
    let steps = &verdict.steps;
    let of = |result| steps.iter().find(move |step| step.result == result);
    let step = of(StepResult::Failed).or_else(|| of(StepResult::Unknown))?;
    assert_eq!(step.reason, verdict.reason);
    Some((step.step, step.reason.as_ref()?.code))
}

/// Result and code of a step.
pub fn step(judgement: &Judgement, name: StepName) -> (StepResult, Option<Code>) {
    let step = judgement.verdict.step(name).unwrap();
    (step.result, step.reason.as_ref().map(|reason| reason.code))
}

/// The promise of the log with the key of this seed.
pub fn sct(seed: u8, timestamp_ms: u64, entry: &SignedEntry<'_>) -> Sct {
    let extensions = CtExtensions::of_index(u64::from(seed)).unwrap();
    let message = Sct::signed_input(entry, timestamp_ms, &extensions).unwrap();
    Sct {
        log_id: log_id(seed),
        timestamp_ms,
        extensions,
        signature: sign(&log_signer(seed), &message),
    }
}

/// Authority information access with these URLs.
pub fn information(ocsp: &[&str], issuers: &[&str]) -> CustomExtension {
    let entry = |method: u8, url: &str| {
        let oid = element(6, &[&[0x2b, 6, 1, 5, 5, 7, 0x30, method]]);
        element(0x30, &[&oid, &element(0x86, &[url.as_bytes()])])
    };
    let ocsp = ocsp.iter().map(|url| entry(1, url));
    let issuers = issuers.iter().map(|url| entry(2, url));
    let entries: Vec<u8> = ocsp.chain(issuers).flatten().collect();
    let id = [1, 3, 6, 1, 5, 5, 7, 1, 1];
    extension(&id, false, &element(0x30, &[&entries]))
}
