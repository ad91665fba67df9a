//! Where this node and the others stand, for `nexus cluster status`.

use std::collections::BTreeMap;

use consensus::{Member, NodeId, Signer as _, Status, quorum};
use ledger::{Isolation, Ledger, Score};

use super::Mesh;
use super::asked::role_word;
use crate::admin::{ClusterStatus, Failure, MemberStatus, MemberWord, PhaseStatus, StoreStatus};
use crate::clock;
use crate::mesh::PeerStatus;
use crate::mesh::driver::{PhaseSummary, Standing};

/// What the ledger says of the members.
struct Book {
    members: Vec<(Member, Option<Score>, Option<Isolation>)>,
    shut_out: Vec<NodeId>,
}

impl Book {
    fn read(ledger: &Ledger) -> Self {
        let members = ledger.members().map(|member| {
            let known = ledger.assess(member.id());
            let isolation = known.as_ref().and_then(|known| known.isolation);
            (member.clone(), known.map(|known| known.score), isolation)
        });
        Self {
            members: members.collect(),
            shut_out: ledger.shut_out(),
        }
    }
}

impl Mesh {
    /// Where this node and the others stand.
    pub(super) async fn cluster_status(&self) -> Result<ClusterStatus, Failure> {
        let book = self.look(Book::read).await?;
        let running = self.part()?;
        let standing = running.handle.standing();
        let own = self.0.identity.id();
        let members = members(own, &book, &running.network.peers(), &standing);
        let voters = book
            .members
            .iter()
            .filter(|(member, ..)| member.role.votes());
        let voters = voters.count();
        let takes_part = standing.failure.is_none();
        let votes = |status: &&MemberStatus| {
            let heard = if status.is_self {
                takes_part
            } else {
                status.connected
            };
            heard && !status.shut_out
        };
        let is_voter = |status: &&MemberStatus| {
            let mut all = book.members.iter();
            all.any(|(member, ..)| member.role.votes() && member.id().to_string() == status.node)
        };
        let answering = members.iter().filter(is_voter).filter(votes).count();
        let summary = &standing.summary;
        let role = book.members.iter().find(|(member, ..)| member.id() == own);
        let role = role.map(|(member, ..)| role_word(member.role).to_owned());
        let mut status = ClusterStatus {
            node: own.to_string(),
            role,
            cluster: self.0.genesis.cluster().to_string(),
            epoch: summary.epoch.0,
            view: summary.view.0,
            is_changing: summary.is_changing,
            primary: summary.primary.to_string(),
            executed: summary.executed.0,
            stable: summary.stable.0,
            highest_claimed: summary.highest_claimed.0,
            lag: standing.lag(),
            is_catching_up: summary.is_catching_up,
            pending: summary.pending as u64,
            lanes_busy: standing.lanes_busy as u64,
            waiting: standing.waiting as u64,
            store: StoreStatus {
                history: standing.history.map(|(first, last)| (first.0, last.0)),
                history_bytes: standing.history_bytes,
                snapshot: standing.snapshot.map(|sequence| sequence.0),
            },
            failure: standing.failure.clone(),
            voters: voters as u64,
            quorum: quorum(voters) as u64,
            answering: answering as u64,
            problems: Vec::new(),
            members,
            phases: running.handle.phases().iter().map(phase).collect(),
            now_ms: 1000 * clock::unix_secs(),
        };
        status.problems = problems(&status);
        Ok(status)
    }
}

/// What is wrong, in words.
fn problems(status: &ClusterStatus) -> Vec<String> {
    let mut problems = Vec::new();
    if let Some(reason) = &status.failure {
        problems.push(format!("this node takes no part any more: {reason}"));
    }
    if status.role.is_none() {
        let text = "this node is no member: propose it at the members (nexus cluster propose add)";
        problems.push(text.to_owned());
    }
    let (answering, voters, wanted) = (status.answering, status.voters, status.quorum);
    if answering < wanted {
        let answer = if answering == 1 { "answers" } else { "answer" };
        let voters = format!("{answering} of {voters} voters {answer}");
        problems.push(format!(
            "{voters}; {wanted} are needed: nothing is committed"
        ));
    }
    problems
}

fn members(
    own: NodeId,
    book: &Book,
    peers: &[PeerStatus],
    standing: &Standing,
) -> Vec<MemberStatus> {
    let said: BTreeMap<NodeId, Status> = standing.members.iter().copied().collect();
    let highest = standing.summary.highest_claimed.0;
    let all = book.members.iter().map(|(member, score, isolation)| {
        let id = member.id();
        let peer = peers.iter().find(|peer| peer.id == id);
        let word = if id == own {
            Some(own_word(standing))
        } else {
            said.get(&id).map(|said| word(said, highest))
        };
        MemberStatus {
            node: id.to_string(),
            is_self: id == own,
            role: role_word(member.role).to_owned(),
            address: member.address,
            connected: id == own || peer.is_some_and(|peer| peer.is_connected),
            round_trip_us: peer.and_then(|peer| peer.round_trip_us),
            said: word,
            score: score.map(number),
            isolated_until_ms: isolation.map(|isolation| isolation.until_ms),
            shut_out: book.shut_out.contains(&id),
        }
    });
    all.collect()
}

fn own_word(standing: &Standing) -> MemberWord {
    let summary = &standing.summary;
    MemberWord {
        epoch: summary.epoch.0,
        view: summary.view.0,
        is_changing: summary.is_changing,
        executed: summary.executed.0,
        stable: summary.stable.0,
        lag: standing.lag(),
    }
}

fn word(said: &Status, highest: u64) -> MemberWord {
    MemberWord {
        epoch: said.epoch.0,
        view: said.view.0,
        is_changing: said.is_changing,
        executed: said.executed.0,
        stable: said.stable.0,
        lag: highest.saturating_sub(said.executed.0),
    }
}

fn phase(summary: &PhaseSummary) -> PhaseStatus {
    PhaseStatus {
        phase: summary.phase.to_owned(),
        path: summary.path.map(str::to_owned),
        count: summary.count,
        median_us: summary.median_us,
        p99_us: summary.p99_us,
        max_us: summary.max_us,
    }
}

/// From 0 to 1.
pub(super) fn number(score: Score) -> f64 {
    f64::from(score.micros()) / f64::from(Score::MAX.micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(answering: u64) -> ClusterStatus {
        ClusterStatus {
            node: "1".to_owned(),
            role: Some("authority".to_owned()),
            cluster: String::new(),
            epoch: 0,
            view: 0,
            is_changing: false,
            primary: "1".to_owned(),
            executed: 0,
            stable: 0,
            highest_claimed: 0,
            lag: 0,
            is_catching_up: false,
            pending: 0,
            lanes_busy: 0,
            waiting: 0,
            store: StoreStatus::default(),
            failure: None,
            voters: 4,
            quorum: 3,
            answering,
            problems: Vec::new(),
            members: Vec::new(),
            phases: Vec::new(),
            now_ms: 0,
        }
    }

    #[test]
    fn missing_quorum_is_said_in_words() {
        assert_eq!(problems(&status(3)), Vec::<String>::new());
        let said = problems(&status(2));
        let expected = "2 of 4 voters answer; 3 are needed: nothing is committed";
        assert_eq!(said, [expected]);
    }

    #[test]
    fn stranger_that_cannot_write_has_two_problems() {
        let mut status = status(4);
        status.role = None;
        status.failure = Some("no space left".to_owned());
        assert_eq!(problems(&status).len(), 2);
    }
}
