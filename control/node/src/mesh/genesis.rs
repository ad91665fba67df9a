//! The configuration with which a cluster begins, from the file that is the same on all nodes.

use config::MemberRole;
use consensus::{
    Configuration, ConfigurationError, Digest, Epoch, Member, PublicKey, Role, Wire as _,
};
use ledger::{Parameters, Score};

/// The first configuration, founded on what the ledger begins with; the cluster's id is its digest, so that nodes
/// whose files differ in it are of different clusters and do not talk.
///
/// # Errors
/// It would not be safe, or there are no members.
pub fn genesis(consensus: &config::Consensus) -> Result<Configuration, ConfigurationError> {
    let members = consensus.members.iter().map(|member| Member {
        key: PublicKey(member.key.0),
        role: role(member.role),
        address: member.address,
    });
    let configuration = Configuration::new(
        Epoch(0),
        members.collect(),
        consensus.checkpoint_interval,
        consensus.pipeline_depth,
    )?;
    let foundation = Digest::of(&parameters(consensus).to_bytes());
    Ok(configuration.founded_on(foundation))
}

/// What the ledger begins with.
pub(super) fn parameters(consensus: &config::Consensus) -> Parameters {
    Parameters {
        isolation_ms: u64::from(consensus.isolation_secs) * 1000,
        isolation_below: Score::from_micros(consensus.isolation_below_percent * 10_000),
        window_ms: u64::from(consensus.report_window_secs) * 1000,
        ..Parameters::default()
    }
}

fn role(role: MemberRole) -> Role {
    match role {
        MemberRole::Authority => Role::Authority,
        MemberRole::Resolver => Role::Resolver,
        MemberRole::Witness => Role::Witness,
        MemberRole::Edge => Role::Edge,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(roles: &[MemberRole]) -> config::Consensus {
        let members = roles
            .iter()
            .zip(1u8..)
            .map(|(role, number)| config::Member {
                key: config::MemberKey([number; 32]),
                role: *role,
                address: ([192, 0, 2, number], 4853).into(),
            });
        config::Consensus {
            members: members.collect(),
            ..config::Consensus::default()
        }
    }

    #[test]
    fn cluster_is_the_same_in_whatever_order_its_members_stand() {
        let mut file = members(&[MemberRole::Authority; 4]);
        let cluster = genesis(&file).unwrap().cluster();
        file.members.reverse();
        assert_eq!(genesis(&file).unwrap().cluster(), cluster);
        file.members[0].role = MemberRole::Resolver;
        assert_ne!(genesis(&file).unwrap().cluster(), cluster);
        file.members[0].role = MemberRole::Authority;
        assert_eq!(genesis(&file).unwrap().cluster(), cluster);
        file.isolation_secs += 1;
        assert_ne!(genesis(&file).unwrap().cluster(), cluster);
    }

    #[test]
    fn members_that_would_not_be_safe_are_refused() {
        assert!(matches!(
            genesis(&members(&[])),
            Err(ConfigurationError::Count { .. })
        ));
        assert!(matches!(
            genesis(&members(&[MemberRole::Witness; 4])),
            Err(ConfigurationError::Witnesses { .. })
        ));
    }
}
