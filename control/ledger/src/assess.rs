//! What is known of a node, and how sure that is: for people and for tools. Nothing is decided by it.
//!
//! Figures of others are medians over those who report, so that fewer than half of them cannot move a figure far.

use consensus::NodeId;

use crate::report::Measurement;
use crate::score::Score;
use crate::standing::{Cause, Class, Isolation, Mark};
use crate::state::State;

/// Samples from which on more of them add no confidence.
const SAMPLES_WANTED: u64 = 16;
/// A latency is odd if it lies this many deviations above the usual, in thousandths: three standard
/// deviations of a normal distribution, of which the median of deviations is 1 / 1.4826.
const OUTLIER_THOUSANDTHS: u64 = 3 * 1483;
/// A difference that is never odd, microseconds.
const LATENCY_SLACK_US: u64 = 1000;
/// Shares below which an indicator is set.
const SHARE_EXPECTED: Score = Score::from_micros(900_000);
/// The same for signatures, of which none should fail.
const SIGNATURES_EXPECTED: Score = Score::from_micros(999_000);
/// Confidence below which the rest should be taken with care.
const CONFIDENCE_EXPECTED: Score = Score::from_micros(300_000);

/// What is known of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assessment {
    /// Which.
    pub node: NodeId,
    /// Its score now.
    pub score: Score,
    /// The long-term average of its scores.
    pub average: Score,
    /// How it stands, coarsely.
    pub class: Class,
    /// Whether and until when it is isolated. Whether it is shut out, too: [`crate::Ledger::shut_out`].
    pub isolation: Option<Isolation>,
    /// Median latency of its votes, microseconds.
    pub latency_us: Option<u32>,
    /// Share of batches on which it voted.
    pub participation: Option<Score>,
    /// Share of its signatures that held.
    pub signatures: Option<Score>,
    /// Share of time in which it could be reached.
    pub uptime: Option<Score>,
    /// Share of answers on which it agreed with a quorum.
    pub accuracy: Option<Score>,
    /// How sure all of this is: how many report, and how often.
    pub confidence: Score,
    /// What stands out.
    pub indicators: Vec<Indicator>,
}

/// Something that stands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Indicator {
    /// Its votes come far later than others'.
    Slow {
        /// Its median, microseconds.
        latency_us: u32,
        /// The median of all members.
        usual_us: u32,
    },
    /// It votes too seldom.
    Absent(Score),
    /// Signatures of its fail.
    BadSignatures(Score),
    /// It is often out of reach.
    Unreachable(Score),
    /// It often disagrees with a quorum about answers.
    Deviant(Score),
    /// Its own signatures contradict each other, at this place in the order.
    Contradicted(consensus::Sequence),
    /// It leads behind the others.
    Poor(Score),
    /// Few report of it.
    Unsure(Score),
}

impl State {
    /// What is known of a member.
    pub(crate) fn assess(&self, node: NodeId) -> Option<Assessment> {
        let standing = self.standings.get(&node)?;
        let share = |part: fn(&Measurement) -> (u32, u32)| {
            let shares = standing.measurements.values().filter_map(|measured| {
                let (part, of) = part(measured);
                share_of(part.into(), of.into())
            });
            median(shares.collect())
        };
        let mut assessment = Assessment {
            node,
            score: standing.score,
            average: standing.average,
            class: standing.class,
            isolation: standing.isolation,
            latency_us: self.latency_us(node),
            participation: share(|m| (m.votes_seen, m.votes_expected)),
            signatures: share(|m| {
                let held = m.signatures_checked.saturating_sub(m.signatures_failed);
                (held, m.signatures_checked)
            }),
            uptime: share(|m| (m.up_micros, Score::MAX.micros())),
            accuracy: share_of(standing.answers_agreed, standing.answers_judged),
            confidence: self.confidence(node),
            indicators: Vec::new(),
        };
        assessment.indicators = self.indicators(&assessment, &standing.marks);
        Some(assessment)
    }

    fn indicators(&self, known: &Assessment, marks: &[Mark]) -> Vec<Indicator> {
        let low = |share: Option<Score>, expected| share.filter(|share| *share < expected);
        let evidence = marks.iter().rev().find_map(|mark| match mark.cause {
            Cause::Evidence(sequence) => Some(sequence),
            _ => None,
        });
        let poor = (known.class == Class::Poor).then_some(known.score);
        let confidence = Some(known.confidence);
        let all = [
            self.slowness(known.latency_us),
            low(known.participation, SHARE_EXPECTED).map(Indicator::Absent),
            low(known.signatures, SIGNATURES_EXPECTED).map(Indicator::BadSignatures),
            low(known.uptime, SHARE_EXPECTED).map(Indicator::Unreachable),
            low(known.accuracy, SHARE_EXPECTED).map(Indicator::Deviant),
            evidence.map(Indicator::Contradicted),
            poor.map(Indicator::Poor),
            low(confidence, CONFIDENCE_EXPECTED).map(Indicator::Unsure),
        ];
        all.into_iter().flatten().collect()
    }

    /// Median of the samples of a node's latency.
    fn latency_us(&self, node: NodeId) -> Option<u32> {
        let samples = self.standings.get(&node)?.samples.iter();
        median(samples.map(|(_, latency_us)| *latency_us).collect())
    }

    /// Whether a latency is odd among those of all members, by median and median of deviations: neither moves far for a few
    /// nodes that are slow or lied about.
    fn slowness(&self, latency_us: Option<u32>) -> Option<Indicator> {
        let latency_us = latency_us?;
        let all = self.standings.keys().filter_map(|id| self.latency_us(*id));
        let all: Vec<u32> = all.collect();
        let usual_us = median(all.clone())?;
        let deviations = all.iter().map(|one| one.abs_diff(usual_us));
        let deviation = u64::from(median(deviations.collect())?);
        let most = (deviation * OUTLIER_THOUSANDTHS / 1000).max(LATENCY_SLACK_US);
        let is_odd = u64::from(latency_us.saturating_sub(usual_us)) > most;
        is_odd.then_some(Indicator::Slow {
            latency_us,
            usual_us,
        })
    }

    /// The share of voters that report of a node, times how many of the samples wanted there are.
    fn confidence(&self, node: NodeId) -> Score {
        let Some(standing) = self.standings.get(&node) else {
            return Score::from_micros(0);
        };
        let others = self.voters().filter(|voter| *voter != node).count();
        let reporters = standing.measurements.keys();
        let reporters = reporters.filter(|id| self.is_voter(**id)).count();
        let reporters = share_of(reporters as u64, others as u64);
        let samples = (standing.samples.len() as u64).min(SAMPLES_WANTED);
        let samples = share_of(samples, SAMPLES_WANTED);
        let micros = |share: Option<Score>| u64::from(share.map_or(0, Score::micros));
        let product = micros(reporters) * micros(samples) / u64::from(Score::MAX.micros());
        Score::from_micros(u32::try_from(product).unwrap_or(0))
    }

    /// Trust of one node in another, as its reports say.
    pub(crate) fn trust(&self, reporter: NodeId, subject: NodeId) -> Score {
        let subjects = self.trust.get(&reporter);
        let trust = subjects.and_then(|subjects| subjects.get(&subject));
        trust.copied().unwrap_or(Score::NEUTRAL)
    }

    /// What the other voters together think of a node, each as far as it is in good standing itself.
    pub(crate) fn trust_of_all(&self, subject: NodeId) -> Score {
        let voters: Vec<NodeId> = self.voters().collect();
        let (mut sum, mut weights) = (0_u64, 0_u64);
        for reporter in self.heard(&voters).filter(|voter| *voter != subject) {
            let standing = self.standings.get(&reporter);
            let weight = u64::from(standing.map_or(0, |standing| standing.score.micros()));
            sum += weight * u64::from(self.trust(reporter, subject).micros());
            weights += weight;
        }
        let mean = sum.checked_div(weights).map(u32::try_from);
        mean.and_then(Result::ok)
            .map_or(Score::NEUTRAL, Score::from_micros)
    }

    /// Voters that are not shut out, whose score and whose trust by the others reach a minimum.
    pub(crate) fn trusted(&self, minimum: Score) -> Vec<NodeId> {
        let voters: Vec<NodeId> = self.voters().collect();
        let is_trusted = |node: &NodeId| {
            let standing = self.standings.get(node);
            standing.is_some_and(|standing| standing.score >= minimum)
                && self.trust_of_all(*node) >= minimum
        };
        self.heard(&voters).filter(is_trusted).collect()
    }
}

/// A part of a whole; `None` of nothing.
fn share_of(part: u64, of: u64) -> Option<Score> {
    let micros = u128::from(part.min(of)) * u128::from(Score::MAX.micros());
    let share = micros.checked_div(of.into())?;
    u32::try_from(share).ok().map(Score::from_micros)
}

/// The middle one, the lower of two.
fn median<T: Ord + Copy>(mut values: Vec<T>) -> Option<T> {
    values.sort_unstable();
    let middle = values.len().checked_sub(1)? / 2;
    values.get(middle).copied()
}
