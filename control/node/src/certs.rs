//! Judges certificates: [`pki`] decides, and what it wants to know is fetched here, or was before.
//!
//! [`Judge`] serves the running control and, without one, the command line. It keeps what it fetched and what it judged, each
//! for as long as it holds and within a bound. Verdicts are found by all that was asked: a chain that lacks an issuer spoils
//! nothing for one that has it.

mod agreeing;
mod fetcher;
mod inclusion;
mod materials;
mod shelf;
mod sources;
mod stores;
mod told;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use config::Validation;
use ct::{ChromePolicy, Hash};
use pki::{Code, Context, Evidence, Judgement, Request, Status, Used, Verdict, Wanted, validate};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

pub(crate) use shelf::Shelf;

pub use materials::{Materials, MaterialsError};

use crate::admin::{Failure, FailureCode};
use crate::agreement::{self, AgreementHandle, Claim, Extension, Proposal, request_digest};
use crate::clock;
use crate::control::{apart, internal};
use crate::counters::Counters;
use crate::lookup::Lookups;
use agreeing::Agreeing;
use fetcher::Fetcher;
use sources::Missing;
use stores::Stores;
use told::tell;

/// How often a chain is judged again with what was fetched: for an issuer, and for each source of each certificate.
const ROUNDS_MAX: usize = 8;
/// Chains that are judged at the same time; others wait.
const AT_ONCE_MAX: usize = 16;
/// What is fetched for one chain between two judgements at most. Strangers write certificates and what is to be fetched for them.
const FETCHES_MAX: usize = 8;
/// Of these at the same time.
const FETCHES_AT_ONCE_MAX: usize = 4;
/// What other nodes disagree on is not asked of them again for so long, in seconds.
const DISPUTED_SECS: u64 = pki::UNKNOWN_SECS;
/// The same for what too few had an answer to.
const SILENT_SECS: u64 = 1;

/// Judges certificates. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Judge(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    setting: ArcSwap<Setting>,
    stores: Stores,
    /// None without a control that resolves.
    names: Option<Names>,
    places: Semaphore,
    /// None until other nodes can be asked.
    agreeing: OnceLock<Agreeing>,
}

/// What is judged, by what.
#[derive(Clone, Debug)]
struct Case {
    setting: Arc<Setting>,
    request: Arc<Request>,
    /// None if the verdict is not for others who ask the same.
    key: Option<Hash>,
}

/// What a control has to do with the names of hosts.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    /// Looks TLSA records up.
    pub(crate) lookups: Lookups,
    /// Tells clients which certificate a host has.
    pub(crate) extension: Extension,
    /// Of verdicts, and of what was looked for.
    pub(crate) counters: Arc<Counters>,
}

/// By what is judged, all at once.
#[derive(Debug)]
struct Setting {
    /// Or why there are none.
    materials: Result<Materials, String>,
    /// Whether other nodes have a word.
    validation: Validation,
    /// Asks where certificates say.
    fetcher: Option<Fetcher>,
    /// Asks the logs that the operator lists, wherever they are.
    log_fetcher: Option<Fetcher>,
}

impl Judge {
    /// Without a control: nobody resolves TLSA records.
    #[must_use]
    pub fn new(materials: Materials, revocation: &config::Revocation) -> Self {
        let setting = Setting::new(Ok(materials), revocation, Validation::Off);
        Self::of(setting, None)
    }

    /// Of the running control. Without materials it refuses, and says why.
    pub(crate) fn with(
        materials: Result<Materials, String>,
        config: &config::Ct,
        names: Names,
    ) -> Self {
        let setting = Setting::new(materials, &config.revocation, config.validation);
        Self::of(setting, Some(names))
    }

    fn of(setting: Setting, names: Option<Names>) -> Self {
        Self(Arc::new(Inner {
            setting: ArcSwap::from_pointee(setting),
            stores: Stores::default(),
            names,
            places: Semaphore::new(AT_ONCE_MAX),
            agreeing: OnceLock::new(),
        }))
    }

    /// Other nodes can be asked from now on, and ask this one; `runtime` is where it judges for them.
    pub(crate) fn set_agreement(
        &self,
        handle: AgreementHandle,
        runtime: Handle,
        timeout: Duration,
    ) {
        let agreeing = Agreeing::new(handle, runtime, timeout);
        let _ = self.0.agreeing.set(agreeing); // Once there is a mesh, it stays.
    }

    fn agreeing(&self) -> Option<&Agreeing> {
        self.0.agreeing.get()
    }

    fn setting(&self) -> Arc<Setting> {
        self.0.setting.load_full()
    }

    /// Takes other materials into service, forgets all verdicts, and takes back what clients are told by them.
    pub(crate) fn replace(&self, materials: Materials, config: &config::Ct) {
        let setting = Setting::new(Ok(materials), &config.revocation, config.validation);
        self.0.setting.store(Arc::new(setting));
        self.0.stores.forget_verdicts();
        if let Some(Names { extension, .. }) = &self.0.names {
            extension.withdraw_certificates();
        }
    }

    /// Judges a chain, `lists` of revoked certificates being at hand. Takes as long as what must be fetched, and as other nodes
    /// if their word is waited for.
    ///
    /// # Errors
    /// If there is nothing to judge by.
    pub async fn judge(
        &self,
        request: Request,
        lists: Vec<Arc<pki::crl::Crl>>,
    ) -> Result<Verdict, Failure> {
        // Lists that were given are part of what was asked, and seldom given twice.
        let key = lists.is_empty().then(|| request_digest(&request));
        let case = Case {
            setting: self.setting(),
            request: Arc::new(request),
            key,
        };
        if let Some(verdict) = key.and_then(|key| self.0.stores.verdict(&key)) {
            self.count(&verdict);
            return Ok(verdict);
        }
        let place = self.0.places.acquire().await;
        let place = place.map_err(|closed| internal(&closed))?;
        let found = self.find(&case, lists).await?;
        drop(place);
        // Other nodes do not have the lists that were given here, and could only agree to what was found out.
        let is_theirs = case.key.is_some() && found.status != Status::Unknown;
        let validation = match is_theirs {
            true => case.setting.validation,
            false => Validation::Off,
        };
        let proposal = match validation {
            Validation::Off => None,
            _ => self.proposal(&case, &found),
        };
        let verdict = match (validation, proposal) {
            (Validation::Quorum, Some(proposal)) => self.agree(&case, proposal, found).await,
            // Else whoever makes a chain long enough would be judged by one node alone.
            (Validation::Quorum, None) => {
                let until = clock::unix_secs() + pki::UNKNOWN_SECS;
                found.doubted(Code::NodesSilent, 0, until)
            }
            (Validation::Optimistic, Some(proposal)) => {
                let early = self.agree_later(&case, proposal, found);
                self.count(&early);
                return Ok(early);
            }
            _ => found,
        };
        self.settle(&case, &verdict);
        self.count(&verdict);
        Ok(verdict)
    }

    /// Settles what this node has found until other nodes have said their word, which is asked for meanwhile, and gives it.
    fn agree_later(&self, case: &Case, proposal: Proposal, found: Verdict) -> Verdict {
        let until = |secs: u64, verdict: &Verdict| {
            verdict.good_until_unix_secs.min(clock::unix_secs() + secs)
        };
        let mut early = found.clone();
        let wait = self.agreeing().map_or(Duration::ZERO, Agreeing::timeout);
        early.good_until_unix_secs = until(wait.as_secs() + 1, &found);
        self.settle(case, &early);
        let (judge, case) = (self.clone(), case.clone());
        tokio::spawn(async move {
            let mut verdict = judge.agree(&case, proposal, found.clone()).await;
            if verdict.status == Status::Unknown && !verdict.is_disputed() {
                // Silence says nothing against what was told already, and nothing for it.
                verdict = found;
                verdict.good_until_unix_secs = until(pki::UNKNOWN_SECS, &verdict);
            }
            judge.settle(&case, &verdict);
        });
        early
    }

    /// What other nodes are to be asked. `None`: nobody can be.
    fn proposal(&self, case: &Case, verdict: &Verdict) -> Option<Proposal> {
        self.agreeing()?;
        let claim = Claim {
            request: Arc::clone(&case.request),
            status: verdict.status,
        };
        let secs = verdict
            .good_until_unix_secs
            .saturating_sub(clock::unix_secs());
        claim.proposal(u32::try_from(secs).unwrap_or(u32::MAX))
    }

    /// What a verdict is with the word of other nodes.
    async fn agree(&self, case: &Case, proposal: Proposal, verdict: Verdict) -> Verdict {
        let Some(agreeing) = self.agreeing() else {
            return verdict;
        };
        let begun_ns = clock::now_ns();
        let agreed = agreeing.agree(proposal).await;
        let micros = clock::now_ns().saturating_sub(begun_ns) / 1_000;
        let until = |secs| clock::unix_secs() + secs;
        if let Some(Names { counters, .. }) = &self.0.names {
            match agreed {
                agreement::Verdict::Agreed => counters.certificates_agreed.increment(),
                agreement::Verdict::Refused => counters.certificates_refused.increment(),
                agreement::Verdict::Undecided => counters.certificates_undecided.increment(),
            }
        }
        match agreed {
            agreement::Verdict::Agreed => verdict.confirmed(micros),
            agreement::Verdict::Refused => {
                let host = verdict.host.as_deref().unwrap_or_default();
                let (fingerprint, status) = (&verdict.fingerprint, verdict.status);
                tracing::warn!(%fingerprint, host, %status, "other nodes find otherwise of a certificate");
                if let Some(key) = &case.key {
                    self.0.stores.forget_finding(key);
                }
                verdict.doubted(Code::NodesDisagree, micros, until(DISPUTED_SECS))
            }
            agreement::Verdict::Undecided => {
                verdict.doubted(Code::NodesSilent, micros, until(SILENT_SECS))
            }
        }
    }

    /// Keeps a verdict, and tells clients of it.
    fn settle(&self, case: &Case, verdict: &Verdict) {
        let is_current = || self.is_current(&case.setting);
        if let Some(Names { extension, .. }) = &self.0.names {
            tell(extension, &case.request, verdict, is_current);
        }
        if let Some(key) = case.key {
            self.0.stores.keep_verdict(key, verdict, is_current);
        }
    }

    /// What this node finds by itself, or found a moment ago.
    async fn find(&self, case: &Case, lists: Vec<Arc<pki::crl::Crl>>) -> Result<Verdict, Failure> {
        let Case {
            setting,
            request,
            key,
        } = case;
        if let Err(reason) = &setting.materials {
            let message = format!("certificates cannot be judged: {reason}");
            return Err(Failure::new(FailureCode::Unavailable, message));
        }
        let key = key.filter(|_| self.agreeing().is_some());
        if let Some(finding) = key.and_then(|key| self.0.stores.finding(&key)) {
            return Ok(finding);
        }
        let mut evidence = Evidence {
            other_crls: lists,
            ..Evidence::default()
        };
        let (mut verdict, mut used): (Verdict, Used);
        let mut rounds = 0;
        loop {
            let judgement;
            let at_hand = (Arc::clone(setting), Arc::clone(request), evidence);
            (judgement, evidence) = apart(move || at_hand.0.judge(&at_hand.1, at_hand.2)).await?;
            (verdict, used) = (judgement.verdict, judgement.used);
            rounds += 1;
            let wanted = judgement.wanted;
            if rounds == ROUNDS_MAX || !self.fill(setting, wanted, &mut evidence).await {
                break;
            }
        }
        self.0.stores.keep_evidence(evidence, &used);
        if let Some(key) = key {
            let is_current = || self.is_current(setting);
            self.0.stores.keep_finding(key, &verdict, used, is_current);
        }
        Ok(verdict)
    }

    /// Whether this is still what is judged by.
    fn is_current(&self, setting: &Arc<Setting>) -> bool {
        Arc::ptr_eq(setting, &self.0.setting.load())
    }

    fn count(&self, verdict: &Verdict) {
        let Some(Names { counters, .. }) = &self.0.names else {
            return;
        };
        match verdict.status {
            Status::Valid => counters.certificates_valid.increment(),
            Status::Invalid => counters.certificates_invalid.increment(),
            Status::Unknown => counters.certificates_unknown.increment(),
        }
    }

    /// [`Self::judge`] for a program that does nothing else.
    ///
    /// # Errors
    /// As there, and if the system gives no runtime.
    pub fn judge_alone(
        &self,
        request: Request,
        lists: Vec<Arc<pki::crl::Crl>>,
    ) -> Result<Verdict, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.map_err(|error| internal(&error))?;
        runtime.block_on(self.judge(request, lists))
    }

    /// Fetches what is wanted; says whether to judge again.
    async fn fill(
        &self,
        setting: &Arc<Setting>,
        wanted: Vec<Wanted>,
        evidence: &mut Evidence,
    ) -> bool {
        let mut tasks = tokio::task::JoinSet::new();
        // What is left out is wanted again.
        let mut is_other = wanted.len() > FETCHES_MAX;
        let mut wanted = wanted.into_iter().take(FETCHES_MAX);
        loop {
            let free = FETCHES_AT_ONCE_MAX - tasks.len();
            for item in wanted.by_ref().take(free) {
                let (judge, setting) = (self.clone(), Arc::clone(setting));
                tasks.spawn(async move {
                    let found = sources::find(&judge.0, &setting, &item).await;
                    (item, found)
                });
            }
            let Some(done) = tasks.join_next().await else {
                return is_other;
            };
            let Ok((item, found)) = done else { continue };
            if let Some(Names { counters, .. }) = &self.0.names {
                match found {
                    Ok(_) => counters.certificate_sources_found.increment(),
                    Err(_) => counters.certificate_sources_missing.increment(),
                }
            }
            match found {
                Ok(found) => {
                    found.put(evidence);
                    is_other = true;
                }
                // Without a resolver nobody could have learned of records; with one, that they did not come counts.
                Err(Missing::Nobody) if matches!(item, Wanted::Tlsa { .. }) => {}
                Err(why) => {
                    tracing::debug!(?item, %why, "not fetched");
                    // These may have a substitute, or their lack means something.
                    is_other |= matches!(
                        item,
                        Wanted::Ocsp { .. } | Wanted::Crl { .. } | Wanted::Tlsa { .. }
                    );
                    evidence.failed.insert(item);
                }
            }
        }
    }
}

impl Setting {
    fn new(
        materials: Result<Materials, String>,
        revocation: &config::Revocation,
        validation: Validation,
    ) -> Self {
        let fetcher = |refuse: &config::Networks| {
            let new = || Fetcher::new(revocation.timeout_ms, refuse.clone());
            revocation.fetch.then(new)
        };
        Self {
            materials,
            validation,
            fetcher: fetcher(&revocation.refuse),
            log_fetcher: fetcher(&config::Networks::default()),
        }
    }

    /// Gives the evidence back, since it grows from round to round.
    fn judge(&self, request: &Request, evidence: Evidence) -> (Judgement, Evidence) {
        let none = Materials::default();
        let materials = self.materials.as_ref().unwrap_or(&none);
        let (secs, nanos) = clock::unix_time();
        let context = Context {
            anchors: &materials.anchors,
            logs: materials.logs.as_ref(),
            policy: ChromePolicy::default(),
            now_ms: secs * 1_000 + u64::from(nanos) / 1_000_000,
            clock_ns: &clock::now_ns,
            evidence: &evidence,
        };
        let judgement = validate(request, &context);
        (judgement, evidence)
    }
}

#[cfg(test)]
#[path = "certs/agreeing_tests.rs"]
mod agreeing_tests;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    /// Answers nothing; counts who is connected at the same time, and the most of it.
    async fn count_connections(
        listener: tokio::net::TcpListener,
        most: Arc<AtomicUsize>,
    ) -> std::io::Result<()> {
        let open = Arc::new(AtomicUsize::new(0));
        loop {
            let (stream, _) = listener.accept().await?;
            most.fetch_max(open.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            let open = Arc::clone(&open);
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(50)).await;
                open.fetch_sub(1, Ordering::Relaxed);
                drop(stream);
            });
        }
    }

    #[tokio::test]
    async fn what_one_chain_wants_is_fetched_by_a_few_at_a_time() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let most = Arc::new(AtomicUsize::new(0));
        let server = tokio::spawn(count_connections(listener, Arc::clone(&most)));
        let revocation = config::Revocation {
            refuse: config::Networks::default(),
            ..config::Revocation::default()
        };
        let judge = Judge::new(Materials::default(), &revocation);
        let wanted = |count| {
            let url = |at| format!("http://{address}/{at}");
            let issuers = (0..count).map(|at| Wanted::Issuer { url: url(at) });
            issuers.collect::<Vec<_>>()
        };
        let setting = judge.0.setting.load_full();
        let mut evidence = Evidence::default();
        assert!(judge.fill(&setting, wanted(900), &mut evidence).await);
        assert_eq!(evidence.failed, wanted(FETCHES_MAX).into_iter().collect());
        assert_eq!(most.load(Ordering::Relaxed), FETCHES_AT_ONCE_MAX);
        // None of those had a substitute.
        assert!(!judge.fill(&setting, wanted(1), &mut evidence).await);
        // Nobody was there to ask for records: that says nothing of the domain.
        let (host, port) = ("example.com".to_owned(), 443);
        let records = vec![Wanted::Tlsa { host, port }];
        assert!(!judge.fill(&setting, records.clone(), &mut evidence).await);
        assert!(!evidence.failed.contains(&records[0]));
        server.abort();
    }
}
