//! What is done for nodes that do not know all members yet.

use consensus::{
    CheckpointBody, CheckpointCertificate, Configuration, Digest, Epoch, HistoryItem, Member,
    Phase, Role, Sequence, Signature, SignedVote, SnapshotOffer, Transition, View, Vote,
};

use super::*;

fn item(signer: u64) -> HistoryItem {
    HistoryItem::Checkpoint(certificate(signer), Box::new(body(PublicKey([7; 32]))))
}

fn certificate(signer: u64) -> CheckpointCertificate {
    let vote = Vote {
        phase: Phase::Checkpoint,
        epoch: Epoch(0),
        view: View(0),
        sequence: Sequence(1),
        digest: Digest([0; 32]),
    };
    let signed = SignedVote {
        vote,
        signer: NodeId(signer),
        signature: Signature([0; 64]),
    };
    CheckpointCertificate {
        votes: vec![signed],
    }
}

/// Of a checkpoint behind which the node of this key is the only member.
fn body(key: PublicKey) -> CheckpointBody {
    let member = Member {
        key,
        role: Role::Authority,
        address: ([127, 0, 0, 1], 1).into(),
    };
    CheckpointBody {
        sequence: Sequence(1),
        state_root: Digest([0; 32]),
        clients_root: Digest([0; 32]),
        time_ms: 0,
        boundary: None,
        configuration: Configuration::new(Epoch(1), vec![member], 10, 3).unwrap(),
    }
}

fn known(id: NodeId) -> Option<PublicKey> {
    (id.0 < 10).then_some(PublicKey([1; 32]))
}

#[test]
fn log_is_cut_before_the_first_signer_whom_nobody_knows() {
    let log = |signers: &[u64]| Message::Log(signers.iter().map(|id| item(*id)).collect());
    assert_eq!(keys_within(log(&[1, 2, 10, 3]), known).0, log(&[1, 2]));
    assert_eq!(keys_within(log(&[1, 2]), known).0, log(&[1, 2]));
    assert_eq!(keys_within(log(&[10, 2]), known).0, log(&[10, 2]));
    assert_eq!(keys_within(log(&[]), known).0, log(&[]));
}

#[test]
fn snapshot_brings_the_keys_of_the_members_on_the_way_to_it() {
    let key = PublicKey([7; 32]);
    let body = body(key);
    let transition = Transition {
        certificate: certificate(1),
        body: body.clone(),
    };
    let offer = SnapshotOffer {
        transitions: vec![transition.clone(), transition],
        certificate: certificate(NodeId::of(&key).0),
        body,
        bytes_count: 0,
    };
    let offer = Message::SnapshotOffer(Box::new(offer));
    assert_eq!(keys_within(offer.clone(), known), (offer, vec![key]));
}

#[test]
fn part_of_the_way_to_a_snapshot_is_checked_though_its_end_cannot_be() {
    let (before, behind) = (PublicKey([7; 32]), PublicKey([8; 32]));
    // Whose members sign the first change, itself not signed again; then one by strangers.
    let transitions = [
        (CheckpointCertificate::default(), before),
        (certificate(NodeId::of(&before).0), behind),
        (certificate(99), behind),
    ]
    .map(|(certificate, key)| Transition {
        certificate,
        body: body(key),
    });
    let offer = SnapshotOffer {
        transitions: transitions.to_vec(),
        certificate: certificate(100),
        body: body(behind),
        bytes_count: 0,
    };
    let (message, keys) = keys_within(Message::SnapshotOffer(Box::new(offer.clone())), known);
    let expected = SnapshotOffer {
        transitions: transitions[..2].to_vec(),
        certificate: CheckpointCertificate::default(),
        ..offer
    };
    assert_eq!(message, Message::SnapshotOffer(Box::new(expected)));
    let keys: std::collections::BTreeSet<_> = keys.into_iter().collect();
    assert_eq!(keys, [before, behind].into());
}
