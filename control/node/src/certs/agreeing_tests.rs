//! Tests of agreement on certificates: four judges in one process, their threads, and real signatures.

use std::time::Instant;

use pki::{Anchors, Step, StepName, StepResult};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
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

/// An authority, issued by another or by itself.
fn authority(above: Option<&Issuer<'_, KeyPair>>) -> (Issuer<'static, KeyPair>, Vec<u8>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let name = if above.is_some() { "Middle" } else { "Root" };
    params.distinguished_name.push(DnType::CommonName, name);
    let certificate = match above {
        Some(issuer) => params.signed_by(&key, issuer),
        None => params.self_signed(&key),
    };
    let der = certificate.unwrap().der().to_vec();
    (Issuer::new(params, key), der)
}

fn leaf(issuer: &Issuer<'_, KeyPair>, extensions: Vec<CustomExtension>) -> Vec<u8> {
    let mut params = CertificateParams::new(vec![HOST.to_owned()]).unwrap();
    params.custom_extensions = extensions;
    let key = KeyPair::generate().unwrap();
    params.signed_by(&key, issuer).unwrap().der().to_vec()
}

impl Chain {
    fn new() -> Self {
        let (issuer, root) = authority(None);
        let leaf = leaf(&issuer, Vec::new());
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
        Self::of(Chain::new(), validation, by)
    }

    fn of(chain: Chain, validation: Validation, by: [By; 4]) -> Self {
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
        let revocation = config::Revocation {
            refuse: config::Networks::default(),
            ..config::Revocation::default()
        };
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

/// An authority of an authority that waits so long before it gives its issuer's certificate away, and a leaf that names it.
async fn slow_issuer(delay: Duration) -> Chain {
    let (issuer, root) = authority(None);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (middle, der) = authority(Some(&issuer));
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let der = der.clone();
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 1024]).await;
                tokio::time::sleep(delay).await;
                let length = der.len();
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
                let _ = stream.write_all(&[head.as_bytes(), &der].concat()).await;
            });
        }
    });
    // AuthorityInfoAccess (RFC 5280 §4.2.2.1) with one caIssuers.
    let url = format!("http://{address}/issuer");
    let of = |tag, parts: &[&[u8]]| {
        let contents = parts.concat();
        [&[tag, u8::try_from(contents.len()).unwrap()], &*contents].concat()
    };
    let method = of(6, &[&[0x2b, 6, 1, 5, 5, 7, 0x30, 2]]);
    let access = of(0x30, &[&of(0x30, &[&method, &of(0x86, &[url.as_bytes()])])]);
    let access = CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], access);
    let leaf = leaf(&middle, vec![access]);
    Chain { root, leaf }
}

#[tokio::test]
async fn what_others_find_too_late_for_one_vote_is_there_for_the_next() {
    // Longer than a vote waits, and longer than anybody waits for the word of others.
    for delay in [300, 1_300].map(Duration::from_millis) {
        let bench = Bench::of(slow_issuer(delay).await, Validation::Quorum, [By::Root; 4]);
        let deadline = Instant::now() + PATIENCE;
        let mut verdict = bench.judge(0).await;
        while agreement(&verdict) != AGREED {
            assert_eq!(agreement(&verdict), SILENT, "{verdict:?}");
            assert!(delay > TIMEOUT && Instant::now() < deadline, "{delay:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
            verdict = bench.judge(0).await;
        }
        assert_eq!(verdict.status, Status::Valid);
        bench.nodes.stop();
    }
}

#[tokio::test]
async fn chains_that_hang_keep_nobody_elses_from_being_judged() {
    let bench = Bench::new(Validation::Quorum, [By::Root; 4]);
    // More of them than anybody has places for, all claimed by the last node.
    let hanging = slow_issuer(Duration::from_secs(3_600)).await;
    for number in 0..100 {
        let mut request = hanging.request();
        request.host = Some(format!("n{number}.example"));
        let request = Arc::new(request);
        let claim = Claim {
            request,
            status: Status::Valid,
        };
        assert!(bench.nodes.handles[3].propose(claim.proposal(60).unwrap()));
    }
    let verdict = bench.judge(0).await;
    assert_eq!(agreement(&verdict), AGREED);
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
async fn chain_that_others_have_no_room_for_is_not_judged_by_one_node_alone() {
    for (validation, expected) in [(Validation::Quorum, SILENT), (Validation::Optimistic, None)] {
        let bench = Bench::new(validation, [By::Root; 4]);
        let mut request = bench.chain.request();
        request.chain.extend(vec![vec![0; 4_096]; 13]);
        let verdict = bench.judges[0].judge(request, Vec::new()).await.unwrap();
        assert_eq!(agreement(&verdict), expected);
        bench.nodes.stop();
    }
}

#[tokio::test]
async fn what_others_have_not_been_given_is_not_asked_of_them() {
    let bench = Bench::new(
        Validation::Quorum,
        [By::Root, By::Nothing, By::Nothing, By::Nothing],
    );
    let own = Chain::new();
    let (issuer, _) = authority(None);
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
