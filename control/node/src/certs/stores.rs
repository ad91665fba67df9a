//! [`Stores`]: what was fetched and judged, for as long as it holds.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ct::Hash;
use pki::crl::Crl;
use pki::ocsp::OcspResponse;
use pki::{Evidence, FetchedOcsp, Used, Verdict};

use super::shelf::Shelf;
use crate::clock;

/// Some 20,000 verdicts.
const VERDICT_BYTES_MAX: usize = 32 << 20;
/// Half as many findings.
const FINDING_BYTES_MAX: usize = VERDICT_BYTES_MAX / 2;
const RESPONSE_BYTES_MAX: usize = 16 << 20;
const LIST_BYTES_MAX: usize = 128 << 20;
const ISSUER_BYTES_MAX: usize = 4 << 20;
/// What a verdict takes with its reasons, about.
const VERDICT_BYTES: usize = 1_600;
/// A certificate does not change under its URL; all the same it is fetched once a day.
const ISSUER_SECS: u64 = 86_400;
/// Revocation data are fetched again after this time, however long they would hold.
const REVOCATION_SECS_MAX: u64 = 12 * 3_600;

/// All of it.
#[derive(Debug)]
pub(super) struct Stores(Mutex<Shelves>);

#[derive(Debug)]
struct Shelves {
    verdicts: Shelf<Hash, Verdict>,
    /// What this node has found by itself, for the agreement of nodes: no verdict until they agree.
    findings: Shelf<Hash, Finding>,
    responses: Shelf<Vec<u8>, FetchedOcsp>,
    lists: Shelf<String, Arc<Crl>>,
    issuers: Shelf<String, Vec<u8>>,
}

/// What this node has found by itself.
#[derive(Clone, Debug)]
struct Finding {
    verdict: Verdict,
    used: Used,
}

impl Default for Stores {
    fn default() -> Self {
        Self(Mutex::new(Shelves {
            verdicts: Shelf::new(VERDICT_BYTES_MAX),
            findings: Shelf::new(FINDING_BYTES_MAX),
            responses: Shelf::new(RESPONSE_BYTES_MAX),
            lists: Shelf::new(LIST_BYTES_MAX),
            issuers: Shelf::new(ISSUER_BYTES_MAX),
        }))
    }
}

impl Stores {
    fn shelves(&self) -> MutexGuard<'_, Shelves> {
        // A shelf is whole between any two of its methods.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn verdict(&self, key: &Hash) -> Option<Verdict> {
        self.shelves().verdicts.get(key, clock::unix_secs())
    }

    pub(super) fn finding(&self, key: &Hash) -> Option<Verdict> {
        let found = self.shelves().findings.get(key, clock::unix_secs());
        found.map(|found| found.verdict)
    }

    /// Forgets a finding that other nodes do not share, with what it rests on: they may have heard of something newer.
    pub(super) fn forget_finding(&self, key: &Hash) {
        let shelves = &mut *self.shelves();
        let Some(Finding { used, .. }) = shelves.findings.get(key, 0) else {
            return;
        };
        shelves.findings.remove(key);
        used.issuers
            .iter()
            .for_each(|url| shelves.issuers.remove(url));
        used.ocsp.iter().for_each(|id| shelves.responses.remove(id));
        used.crls.iter().for_each(|url| shelves.lists.remove(url));
    }

    pub(super) fn forget_verdicts(&self) {
        let mut shelves = self.shelves();
        shelves.verdicts.clear();
        shelves.findings.clear();
    }

    pub(super) fn response(&self, cert_id: &Vec<u8>) -> Option<FetchedOcsp> {
        self.shelves().responses.get(cert_id, clock::unix_secs())
    }

    pub(super) fn list(&self, url: &String) -> Option<Arc<Crl>> {
        self.shelves().lists.get(url, clock::unix_secs())
    }

    pub(super) fn issuer(&self, url: &String) -> Option<Vec<u8>> {
        self.shelves().issuers.get(url, clock::unix_secs())
    }

    /// Unless what it was judged by is no longer in service, which is asked while nobody can forget verdicts.
    pub(super) fn keep_verdict(
        &self,
        key: Hash,
        verdict: &Verdict,
        is_current: impl FnOnce() -> bool,
    ) {
        let verdicts = &mut self.shelves().verdicts;
        if is_current() {
            let until = verdict.good_until_unix_secs;
            verdicts.put(key, verdict.clone(), VERDICT_BYTES, until);
        }
    }

    /// The same of a finding, with what it rests on.
    pub(super) fn keep_finding(
        &self,
        key: Hash,
        verdict: &Verdict,
        used: Used,
        is_current: impl FnOnce() -> bool,
    ) {
        let findings = &mut self.shelves().findings;
        if is_current() {
            let (until, verdict) = (verdict.good_until_unix_secs, verdict.clone());
            findings.put(key, Finding { verdict, used }, VERDICT_BYTES, until);
        }
    }

    /// Keeps what a verdict rests on. All else that came over plain HTTP may be anybody's: it is fetched again.
    pub(super) fn keep_evidence(&self, evidence: Evidence, used: &Used) {
        let shelves = &mut *self.shelves();
        let issuers = evidence.issuers.into_iter();
        for (url, der) in issuers.filter(|(url, _)| used.issuers.contains(url)) {
            let (bytes, until) = (der.len(), clock::unix_secs() + ISSUER_SECS);
            shelves.issuers.put(url, der, bytes, until);
        }
        let responses = evidence.ocsp.into_iter();
        for (cert_id, fetched) in responses.filter(|(id, _)| used.ocsp.contains(id)) {
            let until = OcspResponse::parse(&fetched.response).ok();
            let until = until.and_then(|response| response.until());
            let bytes = cert_id.len() + fetched.response.len();
            let until = bounded(until.unwrap_or_default());
            shelves.responses.put(cert_id, fetched, bytes, until);
        }
        let lists = evidence.crls.into_iter();
        for (url, list) in lists.filter(|(url, _)| used.crls.contains(url)) {
            let (bytes, until) = (list.bytes(), bounded(list.until()));
            shelves.lists.put(url, list, bytes, until);
        }
    }
}

fn bounded(until: i64) -> u64 {
    let until = u64::try_from(until).unwrap_or_default();
    until.min(clock::unix_secs() + REVOCATION_SECS_MAX)
}

#[cfg(test)]
mod tests {
    use pki::Status;

    use super::*;

    #[test]
    fn only_what_a_verdict_rests_on_is_kept() {
        let der = vec![0x30, 0];
        let fetched = || FetchedOcsp {
            response: b"anybody's".to_vec(),
            nonce: None,
        };
        let evidence = Evidence {
            issuers: ["used", "other"]
                .map(|url| (url.to_owned(), der.clone()))
                .into(),
            ocsp: [(vec![1], fetched())].into(),
            ..Evidence::default()
        };
        let used = Used {
            issuers: ["used".to_owned()].into(),
            ..Used::default()
        };
        let stores = Stores::default();
        stores.keep_evidence(evidence, &used);
        assert_eq!(stores.issuer(&"used".to_owned()), Some(der));
        assert_eq!(stores.issuer(&"other".to_owned()), None);
        assert!(stores.shelves().responses.get(&vec![1], 0).is_none());
    }

    #[test]
    fn finding_that_others_do_not_share_goes_with_what_it_rests_on() {
        let stores = Stores::default();
        let verdict = Verdict {
            fingerprint: String::new(),
            status: Status::Valid,
            reason: None,
            host: None,
            good_until_unix_secs: u64::MAX,
            total_micros: 0,
            steps: Vec::new(),
        };
        let [one, other] = [1, 2].map(|number| Hash([number; 32]));
        for (key, url) in [(one, "one"), (other, "other")] {
            let url = url.to_owned();
            let evidence = Evidence {
                issuers: [(url.clone(), vec![1])].into(),
                ..Evidence::default()
            };
            let used = Used {
                issuers: [url].into(),
                ..Used::default()
            };
            stores.keep_evidence(evidence, &used);
            stores.keep_finding(key, &verdict, used, || true);
        }
        stores.keep_finding(Hash([3; 32]), &verdict, Used::default(), || false);
        stores.forget_finding(&one);
        stores.forget_finding(&Hash([3; 32]));
        let has = |key| stores.finding(&key).is_some();
        assert_eq!([one, other, Hash([3; 32])].map(has), [false, true, false]);
        assert_eq!(stores.issuer(&"one".to_owned()), None);
        assert!(stores.issuer(&"other".to_owned()).is_some());
        stores.forget_verdicts();
        assert!(!has(other));
    }
}
