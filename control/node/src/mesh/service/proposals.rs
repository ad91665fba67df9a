//! Changes of members by the operator's word: made once f + 1 nodes have been asked for the same.

use config::MemberKey;
use consensus::{Member, PublicKey, Role, faults_max};
use ledger::{Change, Command, Ledger, Outcome, Proposal};

use super::Mesh;
use super::asked::{failure, role_word};
use super::peers::find;
use super::zone_wishes::refused;
use crate::admin::{Failure, FailureCode, MemberChange, ProposalStatus, Proposed};

const ROLES: [Role; 4] = [Role::Authority, Role::Resolver, Role::Witness, Role::Edge];

impl Mesh {
    /// Asks for a change in this node's name, or supports it.
    pub(super) async fn propose(&self, change: MemberChange) -> Result<Proposed, Failure> {
        let change = self.look(move |ledger| meant(ledger, change)).await??;
        let (words, _) = describe(&change);
        let submitted = self.submit(&Command::Propose(change)).await;
        let outcome = submitted.map_err(|error| failure(&error))?;
        tracing::info!(change = words, ?outcome, "proposed by the command line");
        let (done, counts) = match outcome {
            Outcome::Done => (true, None),
            Outcome::Pending { supporters, wanted } => (false, Some((supporters, wanted))),
            Outcome::Refused(reason) => return Err(refused(reason)),
            outcome => {
                let text = format!("the ledger's reply does not fit: {outcome:?}");
                return Err(Failure::new(FailureCode::Internal, text));
            }
        };
        Ok(Proposed {
            change: words,
            done,
            supporters: counts.map(|(supporters, _)| supporters),
            wanted: counts.map(|(_, wanted)| wanted),
        })
    }

    /// What waits for support.
    pub(super) async fn proposals(&self) -> Result<Vec<ProposalStatus>, Failure> {
        self.look(|ledger| {
            let proposals = ledger.proposals();
            proposals.map(|proposal| status(ledger, proposal)).collect()
        })
        .await
    }
}

fn status(ledger: &Ledger, proposal: &Proposal) -> ProposalStatus {
    let voters = ledger.members().filter(|member| member.role.votes());
    let wanted = faults_max(voters.count()) + 1;
    let age_ms = ledger.time_ms().saturating_sub(proposal.opened_ms);
    let left_ms = ledger.parameters().proposal_ms.saturating_sub(age_ms);
    let (change, command) = describe(&proposal.change);
    ProposalStatus {
        change,
        command,
        opener: proposal.opener.to_string(),
        opened_secs_ago: age_ms / 1000,
        expires_in_secs: left_ms / 1000,
        supporters: proposal
            .supporters
            .iter()
            .map(ToString::to_string)
            .collect(),
        wanted: u32::try_from(wanted).unwrap_or(u32::MAX),
    }
}

/// What somebody means who names nodes by the beginnings of their ids.
fn meant(ledger: &Ledger, change: MemberChange) -> Result<Change, Failure> {
    let member = |node: &str| find(ledger, &node.to_ascii_lowercase()).cloned();
    Ok(match change {
        MemberChange::Add { key, role, address } => Change::Add(Member {
            key: read_key(&key)?,
            role: read_role(&role)?,
            address,
        }),
        MemberChange::Remove { node } => Change::Remove(member(&node)?.id()),
        MemberChange::Alter {
            node,
            role,
            address,
        } => {
            let old = member(&node)?;
            Change::Alter(Member {
                key: old.key,
                role: role.map_or(Ok(old.role), |role| read_role(&role))?,
                address: address.unwrap_or(old.address),
            })
        }
        MemberChange::ReplaceKey { node, key } => Change::ReplaceKey {
            node: member(&node)?.id(),
            key: read_key(&key)?,
        },
        MemberChange::Lift { node } => Change::Lift(member(&node)?.id()),
    })
}

fn read_key(text: &str) -> Result<PublicKey, Failure> {
    let value = serde_json::Value::String(text.to_owned());
    let key: Result<MemberKey, _> = serde_json::from_value(value);
    key.map(|key| PublicKey(key.0))
        .map_err(|error| Failure::new(FailureCode::BadRequest, error.to_string()))
}

fn read_role(text: &str) -> Result<Role, Failure> {
    let role = ROLES.into_iter().find(|role| role_word(*role) == text);
    let unknown = || Failure::new(FailureCode::BadRequest, format!("`{text}` is no role"));
    role.ok_or_else(unknown)
}

/// In words, and as the command that asks for it.
fn describe(change: &Change) -> (String, String) {
    let (words, command) = match change {
        Change::Add(member) => {
            let (id, role) = (member.id(), role_word(member.role));
            let Member { key, address, .. } = member;
            (
                format!("add {id} ({role}, {address})"),
                format!("add {key} {address} --role {role}"),
            )
        }
        Change::Remove(node) => (format!("remove {node}"), format!("remove {node}")),
        Change::ReplaceKey { node, key } => (
            format!("replace the key of {node} by {key}"),
            format!("replace-key {node} {key}"),
        ),
        Change::Alter(member) => {
            let (id, role, address) = (member.id(), role_word(member.role), member.address);
            (
                format!("make {id} {role} at {address}"),
                format!("alter {id} --role {role} --address {address}"),
            )
        }
        Change::Lift(node) => (
            format!("end the isolation of {node}"),
            format!("lift {node}"),
        ),
        Change::Parameters(parameters) => {
            return (format!("parameters: {parameters:?}"), String::new());
        }
        // Nodes ask for these by themselves, as their configuration says.
        Change::CtOpen(shard) => return (format!("ct.shards: {}", shard.name), String::new()),
        Change::CtClose(name) => return (format!("ct.shards: {name} closed"), String::new()),
        Change::CtRoots(digest) => return (format!("ct.roots: {digest}"), String::new()),
    };
    (words, format!("nexus cluster propose {command}"))
}
