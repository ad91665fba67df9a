//! What the guard of the consensus port is told: see [`MeshLink::say`](crate::mesh_link::MeshLink::say).
//!
//! Members are known by where the configuration says that they listen, since they send from there too.
//! Whoever is isolated is so until another configuration says otherwise.

use std::collections::BTreeMap;

use consensus::{Configuration, Member, NodeId, Status};
use exchange::{MeshPeer, MeshReplica};

use super::genesis;
use crate::mesh_link::MeshLink;

/// `MeshReplica::state` of a replica that follows its primary, and of one that wants another.
const STATE_FOLLOWS: u64 = 1;
const STATE_CHANGES_VIEW: u64 = 2;

/// What this node holds against another, counted since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Misdeeds {
    /// Messages whose signature did not hold.
    pub bad_signatures: u64,
    /// Pairs of messages that contradict each other.
    pub contradictions: u64,
    /// Votes that came after the decision, and other messages of another time.
    pub late_votes: u64,
}

/// Has the port guarded from the start, by the members that the cluster began with: those that there
/// are now are known only once this node has caught up. Members that are not safe are told of elsewhere.
pub(crate) fn begin(consensus: &config::Consensus, link: &MeshLink) {
    if consensus.members.is_empty() {
        return;
    }
    if let Ok(genesis) = genesis(consensus) {
        // This node among them: nobody sends from its own address.
        let members = genesis.members().map(|member| peer(&genesis, member));
        link.say(Some((members.collect(), Vec::new())));
    }
}

/// All other members as peers, and what each of `statuses` said of itself as replicas.
#[must_use]
pub fn known(
    configuration: &Configuration,
    own: NodeId,
    statuses: &[(NodeId, Status)],
    misdeeds: &BTreeMap<NodeId, Misdeeds>,
) -> (Vec<MeshPeer>, Vec<MeshReplica>) {
    let others = configuration.members().filter(|member| member.id() != own);
    let peers = others.map(|member| peer(configuration, member));
    let replicas = statuses.iter().map(|(id, status)| {
        let misdeeds = misdeeds.get(id).copied().unwrap_or_default();
        MeshReplica {
            node_id: id.0,
            view: status.view.0,
            sequence: status.executed.0,
            state: if status.is_changing {
                STATE_CHANGES_VIEW
            } else {
                STATE_FOLLOWS
            },
            bad_signatures: misdeeds.bad_signatures,
            contradictions: misdeeds.contradictions,
            late_votes: misdeeds.late_votes,
        }
    });
    (peers.collect(), replicas.collect())
}

fn peer(configuration: &Configuration, member: &Member) -> MeshPeer {
    let is_isolated = configuration.is_isolated(member.id());
    MeshPeer {
        node_id: member.id().0,
        endpoint: member.address,
        isolated_until_ms: if is_isolated { u64::MAX } else { 0 },
    }
}

#[cfg(test)]
mod tests {
    use consensus::{Epoch, PublicKey, Role, Sequence, View};

    use super::*;

    fn member(number: u8) -> Member {
        Member {
            key: PublicKey([number; 32]),
            role: Role::Authority,
            address: ([192, 0, 2, number], 4853).into(),
        }
    }

    fn id(number: u8) -> NodeId {
        member(number).id()
    }

    #[test]
    fn all_other_members_are_peers_and_the_isolated_are_so_without_an_end() {
        let members = (1..=4).map(member).collect();
        let configuration = Configuration::new(Epoch(0), members, 4, 3).unwrap();
        let leaders = vec![id(1), id(2), id(3)];
        let configuration = configuration.with_leaders(leaders, vec![id(4)]).unwrap();
        let (mut peers, replicas) = known(&configuration, id(1), &[], &BTreeMap::new());
        peers.sort_unstable_by_key(|peer| peer.endpoint);
        let expected =
            [(2, 0), (3, 0), (4, u64::MAX)].map(|(number, isolated_until_ms)| MeshPeer {
                node_id: id(number).0,
                endpoint: member(number).address,
                isolated_until_ms,
            });
        assert_eq!(peers, expected);
        assert!(replicas.is_empty());
    }

    #[test]
    fn replicas_are_shown_with_what_is_held_against_them() {
        let configuration =
            Configuration::new(Epoch(0), (1..=4).map(member).collect(), 4, 3).unwrap();
        let status = |is_changing| Status {
            epoch: Epoch(0),
            view: View(3),
            executed: Sequence(9),
            stable: Sequence(8),
            is_changing,
        };
        let misdeeds = Misdeeds {
            bad_signatures: 1,
            contradictions: 2,
            late_votes: 3,
        };
        let held = BTreeMap::from([(id(2), misdeeds)]);
        let statuses = [(id(2), status(false)), (id(3), status(true))];
        let (_, replicas) = known(&configuration, id(1), &statuses, &held);
        let states: Vec<_> = replicas.iter().map(|replica| replica.state).collect();
        assert_eq!(states, [STATE_FOLLOWS, STATE_CHANGES_VIEW]);
        assert_eq!((replicas[0].view, replicas[0].sequence), (3, 9));
        assert_eq!(replicas[0].contradictions, 2);
        assert_eq!(replicas[1].bad_signatures, 0);
    }
}
