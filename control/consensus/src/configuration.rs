//! Who takes part in an epoch, who leads, and how many must agree.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::codec::{DecodeError, Reader, Wire, Writer};
use crate::identity::{ClusterId, Digest, Epoch, NodeId, PublicKey, Sequence, View};

/// Most members of a cluster, those without a vote included.
pub const MEMBERS_MAX: usize = 128;

/// Most batches between two checkpoints.
const CHECKPOINT_INTERVAL_MAX: u32 = 10_000;
/// Bytes of a vote with its signature: phase, epoch, view, sequence, digest, signer, signature.
const SIGNED_VOTE_BYTES: u64 = 1 + 8 + 8 + 8 + 32 + 8 + 64;
/// Most bytes of votes in a NEW-VIEW: half of a message, whose other half the rest has.
const VIEW_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Most batches on their way at once.
const PIPELINE_DEPTH_MAX: u32 = 100;

/// Most faulty voters that `voters_count` voters withstand: the largest f with n ≥ 3f + 1.
#[must_use]
pub const fn faults_max(voters_count: usize) -> usize {
    voters_count.saturating_sub(1) / 3
}

/// Voters that make a quorum: ⌈(n + f + 1) / 2⌉, so that two quorums share an honest voter. The only
/// place where this is computed.
#[must_use]
pub const fn quorum(voters_count: usize) -> usize {
    (voters_count + faults_max(voters_count) + 1).div_ceil(2)
}

/// What a member does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Role {
    /// Votes and holds all state.
    Authority = 1,
    /// Votes and holds all state; meant for nodes that resolve for clients.
    Resolver = 2,
    /// Votes on the order and holds no state. Signs a checkpoint that f + 1 holders of state have signed.
    Witness = 3,
    /// Follows without a vote and holds all state.
    Edge = 4,
}

impl Role {
    /// Whether it counts toward quorums.
    #[must_use]
    pub const fn votes(self) -> bool {
        !matches!(self, Self::Edge)
    }

    /// Whether it applies batches to a state.
    #[must_use]
    pub const fn holds_state(self) -> bool {
        !matches!(self, Self::Witness)
    }
}

/// One node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its key; its id follows from it.
    pub key: PublicKey,
    /// What it does.
    pub role: Role,
    /// Where it listens to other nodes.
    pub address: SocketAddr,
}

impl Member {
    /// The id of its key.
    #[must_use]
    pub fn id(&self) -> NodeId {
        NodeId::of(&self.key)
    }
}

/// The members of one epoch and the numbers that all of them must share. Part of the replicated state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    epoch: Epoch,
    /// By id.
    members: Vec<(NodeId, Member)>,
    leaders: Vec<NodeId>,
    isolated: Vec<NodeId>,
    checkpoint_interval: u32,
    pipeline_depth: u32,
    foundation: Digest,
}

/// Why a configuration would not be safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConfigurationError {
    /// There are no voters, or too many members.
    #[error(
        "{voters} voters among {members} members; at least 1 voter and at most {MEMBERS_MAX} members are allowed"
    )]
    Count {
        /// Voters.
        voters: usize,
        /// All members.
        members: usize,
    },
    /// Two members have one key.
    #[error("node {0} is there twice")]
    Twice(NodeId),
    /// Someone leads or is isolated who has no vote.
    #[error("node {0} has no vote")]
    NoVote(NodeId),
    /// Fewer leaders than could be faulty, and one more.
    #[error("{leaders} leaders; at least {wanted} are needed, so that one of them is honest")]
    Leaders {
        /// How many.
        leaders: usize,
        /// How many it takes.
        wanted: usize,
    },
    /// So many isolated voters that the others are no quorum.
    #[error("{isolated} of {voters} voters isolated; at most {max} leave a quorum")]
    Isolated {
        /// How many.
        isolated: usize,
        /// All voters.
        voters: usize,
        /// How many may be.
        max: usize,
    },
    /// What a change of view must say about all open sequences does not fit in a message.
    #[error(
        "checkpoint_interval {interval} is too long for {voters} voters: a change of view would not fit in a message"
    )]
    Interval {
        /// Batches between checkpoints.
        interval: u32,
        /// Voters.
        voters: usize,
    },
    /// So many witnesses that a quorum might have no honest holder of state.
    #[error("{witnesses} witnesses among {voters} voters; at most {max} are safe")]
    Witnesses {
        /// Voters without state.
        witnesses: usize,
        /// All voters.
        voters: usize,
        /// Most witnesses.
        max: usize,
    },
    /// A number is out of its range.
    #[error("{what} is {value}; expected 1 to {max}")]
    Range {
        /// Which number.
        what: &'static str,
        /// What it is.
        value: u32,
        /// Its largest value.
        max: u32,
    },
}

impl Configuration {
    /// A configuration in which all voters lead in turn, ordered by id, and nobody is isolated.
    ///
    /// # Errors
    /// It would not be safe.
    pub fn new(
        epoch: Epoch,
        members: Vec<Member>,
        checkpoint_interval: u32,
        pipeline_depth: u32,
    ) -> Result<Self, ConfigurationError> {
        let mut members: Vec<_> = members.into_iter().map(|m| (m.id(), m)).collect();
        members.sort_by_key(|(id, _)| *id);
        let voters = members.iter().filter(|(_, member)| member.role.votes());
        let leaders = voters.map(|(id, _)| *id).collect();
        let configuration = Self {
            epoch,
            members,
            leaders,
            isolated: Vec::new(),
            checkpoint_interval,
            pipeline_depth,
            foundation: Digest([0; 32]),
        };
        configuration.check()?;
        Ok(configuration)
    }

    /// The same of a cluster that begins with something else beside its members, too: the state machine's first
    /// state, say. Nodes that differ in it are of different clusters.
    #[must_use]
    pub fn founded_on(self, foundation: Digest) -> Self {
        Self { foundation, ..self }
    }

    /// What all epochs of the cluster share, with other members; all voters lead, nobody is isolated.
    ///
    /// # Errors
    /// It would not be safe.
    pub fn with_members(&self, members: Vec<Member>) -> Result<Self, ConfigurationError> {
        let (interval, depth) = (self.checkpoint_interval, self.pipeline_depth);
        let next = Self::new(self.epoch, members, interval, depth)?;
        Ok(next.founded_on(self.foundation))
    }

    /// The same members with other leaders, in the order in which they lead, and others isolated.
    ///
    /// # Errors
    /// It would not be safe.
    pub fn with_leaders(
        mut self,
        leaders: Vec<NodeId>,
        mut isolated: Vec<NodeId>,
    ) -> Result<Self, ConfigurationError> {
        isolated.sort_unstable();
        isolated.dedup();
        self.leaders = leaders;
        self.isolated = isolated;
        self.check()?;
        Ok(self)
    }

    /// The same for the epoch after this.
    #[must_use]
    pub fn into_next_epoch(mut self) -> Self {
        self.epoch = Epoch(self.epoch.0.saturating_add(1));
        self
    }

    /// Whether both say the same, whatever their epochs.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        self.clone().at(other.epoch) == *other
    }

    pub(crate) fn at(mut self, epoch: Epoch) -> Self {
        self.epoch = epoch;
        self
    }

    fn check(&self) -> Result<(), ConfigurationError> {
        for ((one, _), (next, _)) in self.members.iter().zip(self.members.iter().skip(1)) {
            if one == next {
                return Err(ConfigurationError::Twice(*one));
            }
        }
        let (voters, members) = (self.voters_count(), self.members.len());
        if voters == 0 || members > MEMBERS_MAX {
            return Err(ConfigurationError::Count { voters, members });
        }
        let mut seen = Vec::new();
        for id in self.leaders.iter().chain(&self.isolated) {
            if !self.is_voter(*id) {
                return Err(ConfigurationError::NoVote(*id));
            }
            if seen.contains(id) {
                return Err(ConfigurationError::Twice(*id));
            }
            seen.push(*id);
        }
        let (leaders, wanted) = (self.leaders.len(), self.faults_max() + 1);
        if leaders < wanted {
            return Err(ConfigurationError::Leaders { leaders, wanted });
        }
        let (isolated, max) = (self.isolated.len(), voters - self.quorum());
        if isolated > max {
            return Err(ConfigurationError::Isolated {
                isolated,
                voters,
                max,
            });
        }
        // A NEW-VIEW has a quorum of VIEW-CHANGEs with a quorum of votes for each sequence of the window.
        let votes = self.window() * (self.quorum() * self.quorum()) as u64;
        if votes * SIGNED_VOTE_BYTES > VIEW_BYTES_MAX {
            return Err(ConfigurationError::Interval {
                interval: self.checkpoint_interval,
                voters,
            });
        }
        let is_witness = |member: &&Member| member.role == Role::Witness;
        let witnesses = self.members().filter(is_witness).count();
        // A quorum less the faulty and the witnesses must leave one honest holder of state, and the
        // honest holders must be enough for a checkpoint: f + 1 (docs/consensus.md, "Witnesses").
        let max = self.quorum().saturating_sub(self.faults_max() + 1);
        let max = max.min(voters.saturating_sub(2 * self.faults_max() + 1));
        if witnesses > max {
            return Err(ConfigurationError::Witnesses {
                witnesses,
                voters,
                max,
            });
        }
        for (what, value, max) in [
            (
                "checkpoint_interval",
                self.checkpoint_interval,
                CHECKPOINT_INTERVAL_MAX,
            ),
            ("pipeline_depth", self.pipeline_depth, PIPELINE_DEPTH_MAX),
        ] {
            if value == 0 || value > max {
                return Err(ConfigurationError::Range { what, value, max });
            }
        }
        Ok(())
    }

    /// Its number.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// All members, by id.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().map(|(_, member)| member)
    }

    /// The ids of all members, ascending.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> {
        self.members.iter().map(|(id, _)| *id)
    }

    /// The ids of all voters, ascending.
    pub fn voters(&self) -> impl Iterator<Item = NodeId> {
        let voters = self
            .members
            .iter()
            .filter(|(_, member)| member.role.votes());
        voters.map(|(id, _)| *id)
    }

    /// The member of this id.
    #[must_use]
    pub fn member(&self, id: NodeId) -> Option<&Member> {
        let index = self.members.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        self.members.get(index).map(|(_, member)| member)
    }

    /// Whether this node counts toward quorums. The isolated do: only their traffic is dropped.
    #[must_use]
    pub fn is_voter(&self, id: NodeId) -> bool {
        self.member(id).is_some_and(|member| member.role.votes())
    }

    /// Whether this node votes and holds state.
    #[must_use]
    pub fn is_holder(&self, id: NodeId) -> bool {
        self.member(id)
            .is_some_and(|member| member.role.votes() && member.role.holds_state())
    }

    /// Whether a committed decision shuts this node out.
    #[must_use]
    pub fn is_isolated(&self, id: NodeId) -> bool {
        self.isolated.binary_search(&id).is_ok()
    }

    /// Nodes that are shut out, ascending.
    #[must_use]
    pub fn isolated(&self) -> &[NodeId] {
        &self.isolated
    }

    /// Nodes that lead, in their order.
    #[must_use]
    pub fn leaders(&self) -> &[NodeId] {
        &self.leaders
    }

    /// n: how many vote.
    #[must_use]
    pub fn voters_count(&self) -> usize {
        self.voters().count()
    }

    /// f: how many of them may be faulty.
    #[must_use]
    pub fn faults_max(&self) -> usize {
        faults_max(self.voters_count())
    }

    /// Voters that make a quorum. See [`quorum`].
    #[must_use]
    pub fn quorum(&self) -> usize {
        quorum(self.voters_count())
    }

    /// Who leads a view.
    #[must_use]
    pub fn primary(&self, view: View) -> NodeId {
        let count = u64::try_from(self.leaders.len()).unwrap_or(1).max(1);
        let index = usize::try_from(view.0 % count).unwrap_or(0);
        // `check` has seen at least one leader.
        self.leaders.get(index).copied().unwrap_or(NodeId(0))
    }

    /// K: batches between two checkpoints.
    #[must_use]
    pub fn checkpoint_interval(&self) -> u64 {
        self.checkpoint_interval.into()
    }

    /// Whether there is a checkpoint after this sequence.
    #[must_use]
    pub fn has_checkpoint(&self, sequence: Sequence) -> bool {
        sequence.0.is_multiple_of(self.checkpoint_interval())
    }

    /// Batches that may be on their way at once.
    #[must_use]
    pub fn pipeline_depth(&self) -> u64 {
        self.pipeline_depth.into()
    }

    /// L: how far above the last stable checkpoint replicas take part (PBFT §4.2, watermarks).
    #[must_use]
    pub fn window(&self) -> u64 {
        2 * self.checkpoint_interval() + self.pipeline_depth()
    }

    /// SHA-256 of the byte form.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.to_bytes())
    }

    /// The cluster that begins with this configuration.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        ClusterId(self.digest())
    }
}

impl Wire for Configuration {
    fn write(&self, out: &mut Writer) {
        self.epoch.write(out);
        let members: Vec<_> = self.members().cloned().collect();
        out.list(&members);
        out.list(&self.leaders);
        out.list(&self.isolated);
        out.u32(self.checkpoint_interval);
        out.u32(self.pipeline_depth);
        self.foundation.write(out);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let epoch = Epoch::read(from)?;
        let members: Vec<Member> = from.list("members", MEMBERS_MAX)?;
        let members: Vec<_> = members.into_iter().map(|m| (m.id(), m)).collect();
        let configuration = Self {
            epoch,
            members,
            leaders: from.list("leaders", MEMBERS_MAX)?,
            isolated: from.list("isolated nodes", MEMBERS_MAX)?,
            checkpoint_interval: from.u32()?,
            pipeline_depth: from.u32()?,
            foundation: Digest::read(from)?,
        };
        let in_order = configuration.members.is_sorted_by_key(|(id, _)| *id)
            && configuration.isolated.is_sorted();
        if !in_order {
            return Err(DecodeError::Order { what: "members" });
        }
        configuration.check().map_err(|_| DecodeError::Unknown {
            what: "configuration that is not safe, of epoch",
            value: epoch.0,
            offset: from.offset(),
        })?;
        Ok(configuration)
    }
}

impl Wire for Member {
    fn write(&self, out: &mut Writer) {
        self.key.write(out);
        out.u8(self.role as u8);
        match self.address.ip() {
            IpAddr::V4(address) => {
                out.u8(4);
                out.bytes(&address.octets());
            }
            IpAddr::V6(address) => {
                out.u8(6);
                out.bytes(&address.octets());
            }
        }
        out.u16(self.address.port());
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let key = PublicKey::read(from)?;
        let offset = from.offset();
        let role = match from.u8()? {
            1 => Role::Authority,
            2 => Role::Resolver,
            3 => Role::Witness,
            4 => Role::Edge,
            value => {
                return Err(DecodeError::Unknown {
                    what: "role",
                    value: value.into(),
                    offset,
                });
            }
        };
        let offset = from.offset();
        let ip = match from.u8()? {
            4 => IpAddr::V4(Ipv4Addr::from(from.array::<4>()?)),
            6 => IpAddr::V6(Ipv6Addr::from(from.array::<16>()?)),
            value => {
                return Err(DecodeError::Unknown {
                    what: "address family",
                    value: value.into(),
                    offset,
                });
            }
        };
        let address = SocketAddr::new(ip, from.u16()?);
        Ok(Self { key, role, address })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_quorums_share_an_honest_voter_and_the_honest_make_one() {
        for n in 1..=MEMBERS_MAX {
            let (f, q) = (faults_max(n), quorum(n));
            assert!(n > 3 * f, "n={n}");
            assert!(n - f >= q, "n={n}: the honest alone must make a quorum");
            assert!(2 * q > n + f, "n={n}: two quorums share more than f");
        }
        assert_eq!([1, 2, 3, 4, 5, 6, 7].map(quorum), [1, 2, 2, 3, 4, 4, 5]);
    }
}
