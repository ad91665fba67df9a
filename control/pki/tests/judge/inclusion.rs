//! Proofs that a log shows what it promised to.

use std::convert::Infallible;

use ct::{Hash, TileId, TileKind, TiledTree, prove_inclusion};
use pki::{Code, Evidence, Inclusion, Status, StepName, StepResult, Wanted};

use crate::support::{Naive, leaves, naive_root};
use crate::world::{World, fault, step};

/// A tree of 300 leaves, of which the wanted one is number 7, and whose proof that is for.
fn wanted(world: &World, request: &pki::Request) -> (Hash, Hash, Vec<Hash>) {
    let judgement = world.judge(request, &Evidence::default());
    let wanted = judgement.wanted.iter().find_map(|wanted| match wanted {
        Wanted::Inclusion {
            log,
            leaf,
            index: Some(1),
        } => Some((*log, *leaf)),
        _ => None,
    });
    let (log, leaf) = wanted.unwrap();
    let mut tree = leaves(300);
    tree[7] = leaf;
    (log, leaf, tree)
}

fn judge(
    world: &World,
    request: &pki::Request,
    log: Hash,
    leaf: Hash,
    inclusion: Inclusion,
) -> pki::Judgement {
    let mut evidence = Evidence::default();
    evidence.inclusion.insert((log, leaf), inclusion);
    world.judge(request, &evidence)
}

#[test]
fn proof_of_a_promised_leaf_passes_and_a_spoilt_one_says_nothing() {
    let world = World::new();
    let request = world.good();
    let (log, leaf, tree) = wanted(&world, &request);
    let path = prove_inclusion(&mut Naive(&tree), 7, 300).unwrap();
    let proof = |index| Inclusion::Proof {
        size: 300,
        root: naive_root(&tree),
        index,
        path: path.clone(),
    };
    let judgement = judge(&world, &request, log, leaf, proof(7));
    assert_eq!(
        step(&judgement, StepName::Inclusion),
        (StepResult::Passed, None)
    );
    assert!(judgement.wanted.is_empty());
    let judgement = judge(&world, &request, log, leaf, proof(8));
    assert_eq!(
        fault(&judgement),
        Some((StepName::Inclusion, Code::ProofFailed))
    );
    // Anybody on the way may have spoilt it: no reason to call the certificate invalid, nor not to ask the other log.
    assert_eq!(judgement.verdict.status, Status::Unknown);
    assert_eq!(judgement.wanted.len(), 1);
    let mut evidence = Evidence::default();
    evidence.inclusion.insert((log, leaf), proof(8));
    for wanted in judgement.wanted {
        let Wanted::Inclusion { log, leaf, .. } = wanted else {
            panic!("{wanted:?}");
        };
        let whole = Inclusion::Proof {
            size: 1,
            root: leaf,
            index: 0,
            path: vec![],
        };
        evidence.inclusion.insert((log, leaf), whole);
    }
    let judgement = world.judge(&request, &evidence);
    assert_eq!(
        step(&judgement, StepName::Inclusion),
        (StepResult::Passed, None)
    );
}

#[test]
fn tiles_give_the_proof_and_a_tampered_one_is_found() {
    let world = World::new();
    let request = world.good();
    let (log, leaf, tree) = wanted(&world, &request);
    let mut tiled = TiledTree::new();
    let mut full = std::collections::BTreeMap::new();
    for hash in &tree {
        tiled
            .push(*hash, |id, tile| _ = full.insert(id, tile.to_vec()))
            .unwrap();
    }
    let fetch = |id: TileId| -> Result<Vec<u8>, Infallible> {
        let hashes = |hashes: &[Hash]| hashes.iter().flat_map(|hash| hash.0).collect();
        Ok(match (id.kind(), id.index(), full.get(&id)) {
            (_, _, Some(tile)) => tile.clone(),
            (TileKind::Hashes(0), 1, _) => hashes(&tree[256..]),
            _ => hashes(&[naive_root(&tree[..256])]),
        })
    };
    let root = naive_root(&tree);
    let Ok(inclusion) = Inclusion::from_tiles(300, root, 7, fetch);
    let judgement = judge(&world, &request, log, leaf, inclusion);
    assert_eq!(
        step(&judgement, StepName::Inclusion),
        (StepResult::Passed, None)
    );

    let tampered = |id: TileId| -> Result<Vec<u8>, Infallible> {
        let mut tile = fetch(id)?;
        if (id.kind(), id.index()) == (TileKind::Hashes(0), 0) {
            tile[0] ^= 1;
        }
        Ok(tile)
    };
    let Ok(inclusion) = Inclusion::from_tiles(300, root, 7, tampered);
    let judgement = judge(&world, &request, log, leaf, inclusion);
    assert_eq!(
        fault(&judgement),
        Some((StepName::Inclusion, Code::TamperedTile))
    );
    assert_eq!(judgement.verdict.status, Status::Unknown);
    // A leaf that came after the tree that is known is not yet proven, and that is no fault.
    let Ok(inclusion) = Inclusion::from_tiles(300, root, 300, fetch);
    let judgement = judge(&world, &request, log, leaf, inclusion);
    assert_eq!(fault(&judgement), None);
    assert_eq!(judgement.wanted.len(), 1, "of the other log only");
    let failure = Inclusion::from_tiles(300, root, 7, |_| Err::<Vec<u8>, _>("not there"));
    assert_eq!(failure, Err("not there"));
}
