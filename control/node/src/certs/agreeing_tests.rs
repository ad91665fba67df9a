//! Tests of agreement on certificates: four judges in one process, their threads, and real signatures.

use std::time::Instant;

use pki::{Anchors, Step, StepName, StepResult};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::runtime::Handle;

use super::*;
use crate::agreement::tests::{Cluster4, cluster};
use crate::agreement::{Decided, Inquiry, Resolving};

const TIMEOUT: Duration = Duration::from_secs(1);
/// Nothing here takes this long; a test that waits for it has failed.
const PATIENCE: Duration = Duration::from_secs(20);
const HOST: &str = "www.example.com";

/// No names are agreed on here.
struct NoNames;

impl Resolving for NoNames {
    fn inquire(&self, _: Vec<Inquiry>) {}

    fn decided(&self, _: Vec<Decided>) {}
}

/// An authority of the operator's own, and a leaf that it has issued.
struct Chain {
    root: Vec<u8>,
    leaf: Vec<u8>,
}

impl Chain {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).unwrap().der().to_vec();
        let issuer = Issuer::new(params, key);
        let params = CertificateParams::new(vec![HOST.to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &issuer).unwrap().der().to_vec();
        Self { root, leaf }
    }

    fn request(&self) -> Request {
        Request {
            chain: vec![self.leaf.clone()],
            host: Some(HOST.to_owned()),
            ..Request::default()
        }
    }
}

/// What a node judges by.
#[derive(Clone, Copy)]
enum By {
    /// Trusts the authority.
    Root,
    /// Trusts nobody.
    Nothing,
    /// Cannot judge.
    Unreadable,
}

struct Bench {
    chain: Chain,
    judges: Vec<Judge>,
    nodes: Cluster4,
}

impl Bench {
    fn new(validation: Validation, by: [By; 4]) -> Self {
        let chain = Chain::new();
        let materials = |by| match by {
            By::Root => {
                let mut anchors = Anchors::default();
                anchors.add(&chain.root, false).unwrap();
                Ok(Materials {
                    anchors,
                    logs: None,
                })
            }
            By::Nothing => Ok(Materials::default()),
            By::Unreadable => Err("unreadable".to_owned()),
        };
        let revocation = config::Revocation::default();
        let judge = |by| Judge::of(Setting::new(materials(by), &revocation, validation), None);
        let judges: Vec<_> = by.into_iter().map(judge).collect();
        let nodes = cluster(|number, handle| {
            let judge: Judge = judges[number].clone();
            judge.set_agreement(handle, Handle::current(), TIMEOUT);
            (Box::new(NoNames), Box::new(judge))
        });
        Self {
            chain,
            judges,
            nodes,
        }
    }

    async fn judge(&self, node: usize) -> Verdict {
        let judged = self.judges[node].judge(self.chain.request(), Vec::new());
        judged.await.unwrap()
    }
}

fn agreement(verdict: &Verdict) -> Option<(StepResult, Option<Code>)> {
    let of = |step: &Step| (step.result, step.reason.as_ref().map(|reason| reason.code));
    verdict.step(StepName::Agreement).map(of)
}

const AGREED: Option<(StepResult, Option<Code>)> = Some((StepResult::Passed, None));
const DISPUTED: Option<(StepResult, Option<Code>)> =
    Some((StepResult::Unknown, Some(Code::NodesDisagree)));
const SILENT: Option<(StepResult, Option<Code>)> =
    Some((StepResult::Unknown, Some(Code::NodesSilent)));

#[tokio::test]
async fn verdict_of_a_quorum_is_given_and_one_that_others_do_not_find_is_unknown() {
    let bench = Bench::new(
        Validation::Quorum,
        [By::Root, By::Root, By::Root, By::Nothing],
    );
    let verdict = bench.judge(0).await;
    assert_eq!(
        (verdict.status, agreement(&verdict)),
        (Status::Valid, AGREED)
    );
    assert_eq!(
        bench.judge(0).await,
        verdict,
        "kept, with the waiting that it took"
    );

    let begun = clock::unix_secs();
    let verdict = bench.judge(3).await;
    assert_eq!(
        (verdict.status, agreement(&verdict)),
        (Status::Unknown, DISPUTED)
    );
    let path = verdict.step(StepName::Path).unwrap();
    assert_eq!(
        path.result,
        StepResult::Failed,
        "what it found itself stays"
    );
    assert_eq!(
        verdict.reason.as_ref().unwrap().detail,
        "this node found it invalid"
    );
    let until = verdict.good_until_unix_secs;
    assert!((begun..=clock::unix_secs() + DISPUTED_SECS).contains(&until));
    assert_eq!(bench.judge(3).await, verdict);
    bench.nodes.stop();
}

#[tokio::test]
async fn without_a_quorum_nothing_is_known_and_it_is_soon_asked_again() {
    let bench = Bench::new(
        Validation::Quorum,
        [By::Root, By::Root, By::Unreadable, By::Unreadable],
    );
    let begun = clock::unix_secs();
    // Two who ask at the same time wait for the same round.
    let (one, other) = tokio::join!(bench.judge(0), bench.judge(0));
    for verdict in [one, other] {
        assert_eq!(
            (verdict.status, agreement(&verdict)),
            (Status::Unknown, SILENT)
        );
        let until = verdict.good_until_unix_secs;
        assert!((begun..=clock::unix_secs() + SILENT_SECS).contains(&until));
    }
    let agreeing = bench.judges[0].agreeing().unwrap();
    assert!(agreeing.is_idle(), "nobody is waited for any more");
    bench.nodes.stop();
}

#[tokio::test]
async fn optimist_says_at_once_what_it_found_and_takes_it_back() {
    let bench = Bench::new(
        Validation::Optimistic,
        [By::Root, By::Root, By::Root, By::Nothing],
    );
    let first = [bench.judge(0).await, bench.judge(3).await];
    assert_eq!(
        first.each_ref().map(|verdict| verdict.status),
        [Status::Valid, Status::Invalid]
    );
    assert_eq!(first.each_ref().map(agreement), [None, None]);
    let deadline = Instant::now() + PATIENCE;
    for (node, expected) in [(0, AGREED), (3, DISPUTED)] {
        while agreement(&bench.judge(node).await) != expected {
            assert!(
                Instant::now() < deadline,
                "node {node} never heard of the others"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    bench.nodes.stop();
}

#[tokio::test]
async fn what_others_have_not_been_given_is_not_asked_of_them() {
    let bench = Bench::new(
        Validation::Quorum,
        [By::Root, By::Nothing, By::Nothing, By::Nothing],
    );
    let own = Chain::new();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![rcgen::KeyUsagePurpose::CrlSign];
    let issuer = Issuer::new(params, key);
    let list = rcgen::CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2020, 1, 1),
        next_update: rcgen::date_time_ymd(2020, 2, 1),
        crl_number: rcgen::SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    let list = list.signed_by(&issuer).unwrap().der().to_vec();
    let list = Arc::new(pki::crl::Crl::parse(list).unwrap());
    let judged = bench.judges[0].judge(own.request(), vec![list]);
    assert_eq!(agreement(&judged.await.unwrap()), None);
    bench.nodes.stop();
}
