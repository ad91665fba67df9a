//! What the ledger knows of each member and why, in words, for `nexus peers`.

use consensus::{Member, NodeId, Signer as _};
use ledger::{Cause, Class, Event, Indicator, Ledger, Mark, Score};

use super::Mesh;
use super::asked::role_word;
use super::status::number;
use crate::admin::{Failure, FailureCode, PeerAssessment, PeerDetail, PeerEvent, PeerIndicator};
use crate::clock;

impl Mesh {
    /// What is known of all members.
    pub(super) async fn assessments(&self) -> Result<Vec<PeerAssessment>, Failure> {
        let own = self.0.identity.id();
        let read = move |ledger: &Ledger| {
            let members = ledger.members();
            members
                .filter_map(|member| assess(ledger, own, member))
                .collect()
        };
        self.look(read).await
    }

    /// What is known of one member, whose id begins so, and the events behind its score.
    pub(super) async fn assessment(&self, prefix: &str) -> Result<PeerDetail, Failure> {
        let own = self.0.identity.id();
        let prefix = prefix.to_ascii_lowercase();
        let read = move |ledger: &Ledger| {
            let member = find(ledger, &prefix)?;
            let assessment = assess(ledger, own, member);
            let unknown = || Failure::new(FailureCode::NotFound, "nothing is known of it");
            Ok(PeerDetail {
                assessment: assessment.ok_or_else(unknown)?,
                events: ledger.explain(member.id()).iter().map(event).collect(),
                now_ms: 1000 * clock::unix_secs(),
            })
        };
        self.look(read).await?
    }
}

/// The only member whose id begins so.
pub(super) fn find<'l>(ledger: &'l Ledger, prefix: &str) -> Result<&'l Member, Failure> {
    let mut found = ledger
        .members()
        .filter(|member| member.id().to_string().starts_with(prefix));
    match (found.next(), found.next()) {
        (Some(member), None) if !prefix.is_empty() => Ok(member),
        (None, _) => Err(Failure::new(
            FailureCode::NotFound,
            format!("no member has an id that begins with `{prefix}`"),
        )),
        _ => Err(Failure::new(
            FailureCode::BadRequest,
            format!("several members have an id that begins with `{prefix}`: give more of it"),
        )),
    }
}

fn assess(ledger: &Ledger, own: NodeId, member: &Member) -> Option<PeerAssessment> {
    let id = member.id();
    let known = ledger.assess(id)?;
    Some(PeerAssessment {
        node: id.to_string(),
        is_self: id == own,
        role: role_word(member.role).to_owned(),
        address: member.address,
        score: number(known.score),
        average: number(known.average),
        trust: number(ledger.trust_of_all(id)),
        class: match known.class {
            Class::Sound => "sound",
            Class::Poor => "poor",
        }
        .to_owned(),
        isolated_until_ms: known.isolation.map(|isolation| isolation.until_ms),
        shut_out: ledger.shut_out().contains(&id),
        latency_us: known.latency_us,
        participation: known.participation.map(number),
        uptime: known.uptime.map(number),
        signatures: known.signatures.map(number),
        accuracy: known.accuracy.map(number),
        confidence: number(known.confidence),
        indicators: known.indicators.into_iter().map(indicator).collect(),
    })
}

fn percent(share: Score) -> String {
    format!("{:.1} %", 100.0 * number(share))
}

fn indicator(indicator: Indicator) -> PeerIndicator {
    let (kind, text) = match indicator {
        Indicator::Slow {
            latency_us,
            usual_us,
        } => (
            "slow",
            format!("its votes take {latency_us} us, those of others {usual_us} us"),
        ),
        Indicator::Absent(share) => ("absent", format!("votes on {} of batches", percent(share))),
        Indicator::BadSignatures(share) => (
            "bad_signatures",
            format!("{} of its signatures hold", percent(share)),
        ),
        Indicator::Unreachable(share) => (
            "unreachable",
            format!("could be reached {} of the time", percent(share)),
        ),
        Indicator::Deviant(share) => (
            "deviant",
            format!("agreed with the quorum on {} of answers", percent(share)),
        ),
        Indicator::Contradicted(sequence) => (
            "contradicted",
            format!(
                "its own signatures contradict each other at batch {}",
                sequence.0
            ),
        ),
        Indicator::Poor(score) => (
            "poor",
            format!(
                "leads behind the others, with a score of {:.2}",
                number(score)
            ),
        ),
        Indicator::Unsure(confidence) => (
            "unsure",
            format!("few report of it: confidence {:.2}", number(confidence)),
        ),
    };
    PeerIndicator {
        kind: kind.to_owned(),
        text,
    }
}

fn event(mark: &Mark) -> PeerEvent {
    let (kind, text) = match mark.cause {
        Cause::Reported(Event::Consensus) => ("consensus", "took part in agreeing".to_owned()),
        Cause::Reported(Event::InvalidSignature) => {
            ("invalid_signature", "a signature did not hold".to_owned())
        }
        Cause::Reported(Event::TimingViolation) => (
            "timing_violation",
            "proposed a time that clocks contradict".to_owned(),
        ),
        Cause::Reported(Event::Contradiction) => (
            "contradiction",
            "said one thing here and another there".to_owned(),
        ),
        Cause::Reported(Event::Partition) => ("partition", "could not be reached".to_owned()),
        Cause::Evidence(sequence) => (
            "evidence",
            format!(
                "two signatures of its own contradict each other at batch {}",
                sequence.0
            ),
        ),
        Cause::RefusedAnswers => ("refused_answers", "others refused its answers".to_owned()),
        Cause::Isolated(_) => ("isolated", "isolated".to_owned()),
        Cause::Released => ("released", "isolation is over, on probation".to_owned()),
        Cause::Lifted => ("lifted", "operators ended its isolation".to_owned()),
    };
    PeerEvent {
        time_ms: mark.time_ms,
        kind: kind.to_owned(),
        text,
        count: mark.count,
        change: mark.change as f64 / f64::from(Score::MAX.micros()),
        score: number(mark.score),
        reporters: mark.reporters.iter().map(ToString::to_string).collect(),
    }
}
