//! What benches measure: a chain as public authorities issue it, with all that is needed to judge it.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "bench and example each take what they need"
)]

use ct::{Certificate, ChromePolicy, Hash, LogList};
use pki::ocsp::cert_id;
use pki::{
    Anchors, Context, Evidence, FetchedOcsp, Inclusion, Request, Status, Verdict, Wanted, validate,
};
use rcgen::SignatureAlgorithm;

use crate::pki::{Authority, authority};
use crate::responder::{Answer, Responder};
use crate::world::{NOW_MS, World, information};

/// Anchors beside the one that counts: as many as systems have.
const OTHER_ANCHORS: usize = 150;
/// Leaves of the log's tree.
const TREE_SIZE: u64 = 1_000_000;

pub struct Sample {
    anchors: Anchors,
    logs: LogList,
    request: Request,
    evidence: Evidence,
}

impl Sample {
    /// Root and authority sign with this algorithm, and so do those beside them.
    pub fn new(algorithm: &'static SignatureAlgorithm) -> Self {
        let root = Authority::root_by("root", algorithm);
        let mut world = World::below(root, "issuer");
        world.issuer = world.root.authority_by(authority("issuer"), algorithm);
        let mut anchors = Anchors::default();
        for index in 0..OTHER_ANCHORS {
            let other = Authority::root(&format!("other {index}"));
            anchors.add(&other.der, true).unwrap();
        }
        anchors.add(&world.root.der, true).unwrap();
        let mut params = World::leaf();
        let urls = information(&["http://ocsp.example/"], &[]);
        params.custom_extensions.push(urls);
        let request = world.request(world.issue_logged(&params));
        let mut sample = Self {
            anchors,
            logs: world.logs,
            evidence: evidence(&request, &world.issuer),
            request,
        };
        let wanted = sample.validate().wanted;
        for wanted in wanted {
            let Wanted::Inclusion { log, leaf, .. } = wanted else {
                continue;
            };
            sample
                .evidence
                .inclusion
                .insert((log, leaf), proof_of(leaf));
        }
        assert_eq!(sample.judge().status, Status::Valid);
        sample
    }

    pub fn judge(&self) -> Verdict {
        self.validate().verdict
    }

    fn validate(&self) -> pki::Judgement {
        let begun = std::time::Instant::now();
        let clock_ns = || u64::try_from(begun.elapsed().as_nanos()).unwrap();
        let context = Context {
            anchors: &self.anchors,
            logs: Some(&self.logs),
            policy: ChromePolicy::default(),
            now_ms: NOW_MS,
            clock_ns: &clock_ns,
            evidence: &self.evidence,
        };
        validate(&self.request, &context)
    }

    /// Leaf, its place, size of the tree, proof and root.
    pub fn proof(&self) -> (Hash, u64, u64, Vec<Hash>, Hash) {
        let (key, inclusion) = self.evidence.inclusion.first_key_value().unwrap();
        match inclusion.clone() {
            Inclusion::Proof {
                size,
                root,
                index,
                path,
            } => (key.1, index, size, path, root),
            other => panic!("{other:?}"),
        }
    }
}

fn evidence(request: &Request, authority: &Authority) -> Evidence {
    let certificate = Certificate::parse(&request.chain[0]).unwrap();
    let issuer = Certificate::parse(&request.chain[1]).unwrap();
    let responder = Responder::of(authority);
    let response = responder.answer(&request.chain[0], &request.chain[1], &Answer::good());
    let mut evidence = Evidence::default();
    let nonce = None;
    let fetched = FetchedOcsp { response, nonce };
    evidence
        .ocsp
        .insert(cert_id(&certificate, &issuer), fetched);
    evidence
}

/// Of the last leaf of a tree in which all others are the same.
fn proof_of(leaf: Hash) -> Inclusion {
    struct Same(Vec<Hash>, Hash);
    impl ct::HashSource for Same {
        type Error = core::convert::Infallible;

        fn hash(&mut self, level: u8, index: u64) -> Result<Hash, Self::Error> {
            let is_last = (index + 1) << level == TREE_SIZE;
            if !is_last {
                return Ok(self.0[usize::from(level)]);
            }
            let below = self.0[..usize::from(level)].iter();
            Ok(below.fold(self.1, |right, left| Hash::node(left, &right)))
        }
    }
    let mut levels = vec![Hash::leaf(b"other")];
    for level in 0..40 {
        levels.push(Hash::node(&levels[level], &levels[level]));
    }
    let mut tree = Same(levels, leaf);
    let Ok(root) = ct::root(&mut tree, TREE_SIZE);
    let index = TREE_SIZE - 1;
    Inclusion::Proof {
        size: TREE_SIZE,
        root,
        index,
        path: ct::prove_inclusion(&mut tree, index, TREE_SIZE).unwrap(),
    }
}
