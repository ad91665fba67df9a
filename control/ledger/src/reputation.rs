//! How scores change: by reports that more nodes than may be faulty make alike, by evidence, and by time.
//!
//! Scores count no votes. They order leaders and isolate; what is decided with them is decided by all alike, here. The rules and
//! their reasons: docs/ledger.md, "Reputation".

use std::collections::BTreeMap;

use consensus::{DecodeError, Evidence, MEMBERS_MAX, NodeId, Reader, Wire, Writer};

use crate::codec::{read_map, write_map};
use crate::outcome::{Outcome, Reason};
use crate::report::{Event, Measurement, Report};
use crate::score::{DECAY_STEP_MS, Score};
use crate::standing::{Cause, Habit, Mark};
use crate::state::{Key, State};

/// Most tallies: of this window and the last, each member, each event.
pub(crate) const TALLIES_MAX: usize = 2 * MEMBERS_MAX * Event::ALL.len();

/// By how much a score stays above the threshold of isolation for what is no proof of a lie. Who is silent, say,
/// must be let in when it is back.
const DOUBT_MARGIN: i64 = 50_000;

/// What reports are about that must agree. By window first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TallyKey {
    window: u64,
    subject: NodeId,
    event: Event,
}

/// What nodes reported alike.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    /// By reporter.
    counts: BTreeMap<NodeId, u32>,
    /// How many have counted already.
    applied: u32,
}

impl State {
    /// The window of the ledger's time.
    pub(crate) fn window(&self) -> u64 {
        self.time_ms / self.parameters.window_ms
    }

    fn check_about(&self, client: NodeId, subject: NodeId, window: u64) -> Result<(), Reason> {
        self.check_voter(client)?;
        if client == subject {
            return Err(Reason::OwnSubject);
        }
        if !self.members.contains_key(&subject) {
            return Err(Reason::NoSuchNode);
        }
        // The last window's reports arrive in this one.
        let now = self.window();
        match window == now || window.saturating_add(1) == now {
            true => Ok(()),
            false => Err(Reason::WrongTime),
        }
    }

    /// Takes a report. Of `f + 1` reporters one at least is honest: what counts is the count that so many reach.
    pub(crate) fn report(&mut self, client: NodeId, report: Report) -> Result<Outcome, Reason> {
        self.check_about(client, report.subject, report.window)?;
        let key = TallyKey {
            window: report.window,
            subject: report.subject,
            event: report.event,
        };
        let count = report.count.min(report.event.count_max());
        let tally = self.tallies.get(&key);
        let is_known = tally.is_some_and(|tally| tally.counts.contains_key(&client));
        if count == 0 || is_known {
            return Ok(Outcome::Known);
        }
        let tally = self.tallies.entry(key).or_default();
        tally.counts.insert(client, count);
        self.dirty.insert(Key::Tally(key));
        let change = i64::from(report.event.weight()) * i64::from(count);
        self.trust_changed(client, report.subject, change);

        let (wanted, counts) = (self.faults_max() + 1, self.counts_of(key));
        let Some((_, agreed)) = counts.get(wanted - 1) else {
            return Ok(Outcome::Pending {
                supporters: u32::try_from(counts.len()).unwrap_or(u32::MAX),
                wanted: u32::try_from(wanted).unwrap_or(u32::MAX),
            });
        };
        let tally = self.tallies.entry(key).or_default();
        let more = agreed.saturating_sub(tally.applied);
        tally.applied += more;
        if more > 0 {
            let reporters = counts.iter().map(|(reporter, _)| *reporter).collect();
            self.count_event(report, more, reporters);
        }
        Ok(Outcome::Done)
    }

    /// What those who are heard have counted, the highest first.
    fn counts_of(&self, key: TallyKey) -> Vec<(NodeId, u32)> {
        let Some(tally) = self.tallies.get(&key) else {
            return Vec::new();
        };
        let heard = self.heard(tally.counts.keys());
        let count_of = |id| (id, tally.counts.get(&id).copied().unwrap_or(0));
        let mut counts: Vec<_> = heard.map(count_of).collect();
        counts.sort_by_key(|(id, count)| (std::cmp::Reverse(*count), *id));
        counts
    }

    /// Enough reporters have seen it so often.
    fn count_event(&mut self, report: Report, count: u32, reporters: Vec<NodeId>) {
        let (subject, event) = (report.subject, report.event);
        let change = i64::from(event.weight()) * i64::from(count);
        let change = match (event, self.standings.get_mut(&subject)) {
            (Event::Partition, _) => self.no_further_than(self.doubt_floor(), subject, change),
            (Event::Contradiction, Some(standing)) => match standing.contradict(report.window) {
                Habit::Mistake => self.no_further_than(self.mistake_floor(), subject, change),
                Habit::Kept => change,
            },
            // It takes part, but said what is not so a while ago.
            (Event::Consensus, Some(standing)) if !standing.earns_in(report.window) => 0,
            _ => change,
        };
        self.mark(subject, Cause::Reported(event), count, change, reporters);
    }

    /// Where a score stays for what is no lie, or not surely one.
    pub(crate) fn doubt_floor(&self) -> Score {
        self.parameters.isolation_below.plus(DOUBT_MARGIN)
    }

    /// Where it stays for a single contradiction, whatever it was lowered by before: a mistake isolates nobody, unless the
    /// threshold is so high that it would isolate who had done neither good nor harm.
    fn mistake_floor(&self) -> Score {
        let after_one = Score::NEUTRAL.plus(Event::Contradiction.weight().into());
        self.doubt_floor().min(after_one)
    }

    /// As much of a change as leaves a score at a floor, or where it is below.
    pub(crate) fn no_further_than(&self, floor: Score, subject: NodeId, change: i64) -> i64 {
        let standing = self.standings.get(&subject);
        let score = standing.map_or(floor, |standing| standing.score);
        let room = i64::from(score.micros()) - i64::from(floor.micros());
        change.max(-room.max(0))
    }

    /// Changes a score, keeps why, and isolates whose score is too low now.
    pub(crate) fn mark(
        &mut self,
        subject: NodeId,
        cause: Cause,
        count: u32,
        change: i64,
        reporters: Vec<NodeId>,
    ) {
        let Some(standing) = self.standings.get_mut(&subject) else {
            return;
        };
        standing.mark(Mark {
            time_ms: self.time_ms,
            cause,
            count,
            change,
            score: standing.score,
            reporters,
        });
        let is_low = standing.score < self.parameters.isolation_below;
        let is_isolated = standing.isolation.is_some();
        self.dirty.insert(Key::Standing(subject));
        if is_low && !is_isolated {
            self.isolate(subject, false);
        }
    }

    /// Takes evidence, which counts at once: its two signatures have been checked.
    pub(crate) fn evidence(&mut self, evidence: &Evidence) -> Result<Outcome, Reason> {
        let (culprit, window) = (evidence.culprit(), self.window());
        let standing = self.standings.get_mut(&culprit);
        let standing = standing.ok_or(Reason::NoSuchNode)?;
        if !standing.is_new(evidence) {
            return Ok(Outcome::Known);
        }
        standing.contradict(window);
        let cause = Cause::Evidence(evidence.vote().vote.sequence);
        let change = i64::from(Event::Contradiction.weight());
        self.mark(culprit, cause, 1, change, Vec::new());
        self.isolate(culprit, true);
        Ok(Outcome::Done)
    }

    /// Takes a measurement.
    pub(crate) fn measure(
        &mut self,
        client: NodeId,
        subject: NodeId,
        measurement: Measurement,
    ) -> Result<Outcome, Reason> {
        self.check_about(client, subject, measurement.window)?;
        let standing = self.standings.get_mut(&subject);
        let is_new = standing
            .ok_or(Reason::NoSuchNode)?
            .measure(client, measurement);
        if is_new {
            self.dirty.insert(Key::Standing(subject));
        }
        Ok(if is_new {
            Outcome::Done
        } else {
            Outcome::Known
        })
    }

    fn trust_changed(&mut self, reporter: NodeId, subject: NodeId, change: i64) {
        let subjects = self.trust.entry(reporter).or_default();
        let trust = subjects.entry(subject).or_insert(Score::NEUTRAL);
        *trust = trust.plus(change);
        self.dirty.insert(Key::Trust(reporter));
    }

    /// Scores and trust go back toward neutral, in steps of the ledger's time.
    pub(crate) fn decay(&mut self, before_ms: u64) {
        let steps = (self.time_ms / DECAY_STEP_MS).saturating_sub(before_ms / DECAY_STEP_MS);
        if steps == 0 {
            return;
        }
        for (node, standing) in &mut self.standings {
            let score = standing.score.decayed(steps);
            let class = standing.class.with(score);
            if (score, class) != (standing.score, standing.class) {
                (standing.score, standing.class) = (score, class);
                self.dirty.insert(Key::Standing(*node));
            }
        }
        for (reporter, subjects) in &mut self.trust {
            subjects.retain(|_, trust| {
                *trust = trust.decayed(steps);
                *trust != Score::NEUTRAL
            });
            self.dirty.insert(Key::Trust(*reporter));
        }
        self.trust.retain(|_, subjects| !subjects.is_empty());
    }

    /// Drops tallies of windows whose reports come no more.
    pub(crate) fn expire_tallies(&mut self) {
        let oldest = self.window().saturating_sub(1);
        while let Some((key, _)) = self.tallies.first_key_value()
            && key.window < oldest
            && let Some((key, _)) = self.tallies.pop_first()
        {
            self.dirty.insert(Key::Tally(key));
        }
    }

    /// Drops what was reported of a node and what it reported.
    pub(crate) fn forget_tallies(&mut self, node: NodeId) {
        let dirty = &mut self.dirty;
        self.tallies.retain(|key, tally| {
            let is_touched = tally.counts.remove(&node).is_some() || key.subject == node;
            if is_touched {
                dirty.insert(Key::Tally(*key));
            }
            key.subject != node
        });
    }
}

impl Wire for TallyKey {
    fn write(&self, out: &mut Writer) {
        out.u64(self.window);
        self.subject.write(out);
        self.event.write(out);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            window: from.u64()?,
            subject: NodeId::read(from)?,
            event: Event::read(from)?,
        })
    }
}

/// A number in a map of the byte form.
#[derive(PartialEq, Eq)]
struct Count(u32);

impl Wire for Count {
    fn write(&self, out: &mut Writer) {
        out.u32(self.0);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self(from.u32()?))
    }
}

impl Wire for Tally {
    fn write(&self, out: &mut Writer) {
        let counts = self.counts.iter().map(|(id, count)| (*id, Count(*count)));
        write_map(&counts.collect(), out);
        out.u32(self.applied);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let counts = read_map::<NodeId, Count>(from, "reports", MEMBERS_MAX)?;
        Ok(Self {
            counts: counts
                .into_iter()
                .map(|(id, count)| (id, count.0))
                .collect(),
            applied: from.u32()?,
        })
    }
}
