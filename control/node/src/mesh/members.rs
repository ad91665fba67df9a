//! Whom this node knows: the members in force, and the keys of those who were members before.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use consensus::{Configuration, NodeId, PublicKey, Role};

/// Former members whose keys are kept, so that old certificates can still be checked.
const FORMER_MAX: usize = 1024;

/// The members of one configuration, and former ones.
#[derive(Debug)]
pub(super) struct Members {
    own: NodeId,
    members: BTreeMap<NodeId, Known>,
    former: VecDeque<(NodeId, PublicKey)>,
}

/// A member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) key: PublicKey,
    pub(super) role: Role,
    pub(super) address: SocketAddr,
    is_isolated: bool,
}

impl Members {
    pub(super) fn new(own: NodeId, configuration: &Configuration) -> Self {
        let members = configuration.members().map(|member| {
            let id = member.id();
            let known = Known {
                key: member.key,
                role: member.role,
                address: member.address,
                is_isolated: configuration.is_isolated(id),
            };
            (id, known)
        });
        Self {
            own,
            members: members.collect(),
            former: VecDeque::new(),
        }
    }

    /// Those of another configuration, these remembered.
    pub(super) fn followed_by(&self, configuration: &Configuration) -> Self {
        let mut next = Self::new(self.own, configuration);
        let gone = self.members.iter().map(|(id, known)| (*id, known.key));
        let known = self.former.iter().copied().chain(gone);
        next.set_former(known);
        next
    }

    /// These, and former ones beside those known.
    pub(super) fn remembering(&self, keys: &[PublicKey]) -> Self {
        let mut next = Self {
            own: self.own,
            members: self.members.clone(),
            former: VecDeque::new(),
        };
        let named = keys.iter().map(|key| (NodeId::of(key), *key));
        let is_new =
            |(id, _): &(NodeId, PublicKey)| self.former.iter().all(|(known, _)| known != id);
        next.set_former(named.filter(is_new).chain(self.former.iter().copied()));
        next
    }

    /// The last of these that are no members.
    fn set_former(&mut self, known: impl Iterator<Item = (NodeId, PublicKey)>) {
        self.former = known
            .filter(|(id, _)| !self.members.contains_key(id))
            .collect();
        let surplus = self.former.len().saturating_sub(FORMER_MAX);
        self.former.drain(..surplus);
    }

    /// Everybody with whom this node talks.
    pub(super) fn peers(&self) -> impl Iterator<Item = (NodeId, &Known)> {
        let others = self.members.iter().filter(|(id, _)| **id != self.own);
        others
            .filter(|(_, known)| !known.is_isolated)
            .map(|(id, known)| (*id, known))
    }

    /// One of them.
    pub(super) fn peer(&self, id: NodeId) -> Option<&Known> {
        let known = self.members.get(&id)?;
        (id != self.own && !known.is_isolated).then_some(known)
    }

    /// Whether a committed decision shuts this node out.
    pub(super) fn is_isolated(&self, id: NodeId) -> bool {
        self.members.get(&id).is_some_and(|known| known.is_isolated)
    }

    /// What this node does; one that is no member yet follows.
    pub(super) fn own_role(&self) -> Role {
        let own = self.members.get(&self.own);
        own.map_or(Role::Edge, |known| known.role)
    }

    /// The key of a member or former member, this node and the isolated among them.
    pub(super) fn key(&self, id: NodeId) -> Option<PublicKey> {
        let former = || self.former.iter().find(|(former, _)| *former == id);
        match self.members.get(&id) {
            Some(known) => Some(known.key),
            None => former().map(|(_, key)| *key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consensus::{Epoch, Member};

    fn configuration(numbers: &[u8]) -> Configuration {
        let members = numbers.iter().map(|number| Member {
            key: PublicKey([*number; 32]),
            role: Role::Authority,
            address: ([127, 0, 0, *number], 1).into(),
        });
        Configuration::new(Epoch(0), members.collect(), 10, 3).unwrap()
    }

    fn id(number: u8) -> NodeId {
        NodeId::of(&PublicKey([number; 32]))
    }

    #[test]
    fn keys_of_former_members_are_kept_and_they_are_no_peers() {
        let members = Members::new(id(1), &configuration(&[1, 2, 3, 4]));
        let members = members.followed_by(&configuration(&[1, 3, 4, 5]));
        assert_eq!(members.key(id(2)), Some(PublicKey([2; 32])));
        assert!(members.peer(id(2)).is_none());
        assert_eq!(members.peers().count(), 3);
        let members = members.followed_by(&configuration(&[1, 2, 3, 4, 5]));
        assert!(members.peer(id(2)).is_some());
        assert!(members.former.is_empty());
    }

    #[test]
    fn former_members_that_are_named_are_known_and_no_peers() {
        let members = Members::new(id(1), &configuration(&[1, 2, 3, 4]));
        let members = members.remembering(&[3, 7, 8].map(|number| PublicKey([number; 32])));
        assert_eq!(members.former.len(), 2);
        assert_eq!(members.key(id(7)), Some(PublicKey([7; 32])));
        assert!(members.peer(id(7)).is_none() && members.peer(id(3)).is_some());
        let members = members.followed_by(&configuration(&[1, 2, 3, 5]));
        assert!(members.key(id(4)).is_some() && members.key(id(8)).is_some());
    }

    #[test]
    fn isolated_member_is_known_and_no_peer() {
        let configuration = configuration(&[1, 2, 3, 4]);
        let leaders = [1, 2, 3].map(id).to_vec();
        let configuration = configuration.with_leaders(leaders, vec![id(4)]).unwrap();
        let members = Members::new(id(1), &configuration);
        assert!(members.peer(id(4)).is_none() && members.is_isolated(id(4)));
        assert!(members.key(id(4)).is_some());
        assert!(members.peer(id(1)).is_none(), "nobody talks to himself");
    }

    #[test]
    fn former_members_are_bounded() {
        let mut members = Members::new(id(1), &configuration(&[1]));
        members.former = (0..5000)
            .map(|number| (NodeId(number), PublicKey([9; 32])))
            .collect();
        let members = members.followed_by(&configuration(&[2]));
        assert_eq!(members.former.len(), FORMER_MAX);
        assert!(members.key(id(1)).is_some(), "the newest are kept");
    }
}
