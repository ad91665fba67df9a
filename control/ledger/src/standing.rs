//! [`Standing`]: what the ledger holds of one member: its score, why it is so, isolation, and what others measured.

use std::collections::{BTreeMap, BTreeSet};

use consensus::{
    DecodeError, Epoch, Evidence, MEMBERS_MAX, NodeId, Phase, Reader, Sequence, View, Wire, Writer,
};

use crate::answer::byte;
use crate::codec::{read_map, unknown, write_map};
use crate::report::{Event, Measurement};
use crate::score::Score;

/// Most marks that are kept of a node, the newest.
pub const MARKS_MAX: usize = 32;
/// Most reporters that a mark names.
pub const REPORTERS_MAX: usize = 8;
/// Most samples of a node's latency that are kept, the newest.
pub const SAMPLES_MAX: usize = 64;
/// Most places of a node's contradictions that are kept, the highest.
pub const PLACES_MAX: usize = 64;

/// Windows after a contradiction in which a node earns nothing, so that one that contradicts again within them only loses.
const FORFEIT_WINDOWS: u64 = 10;

/// How a node stands, coarsely. Between the two thresholds it stays what it was, so that the order of
/// leaders does not flap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Class {
    /// Leads in its turn.
    Sound = 1,
    /// Leads behind all sound ones.
    Poor = 2,
}

byte!(Class, "class": Sound, Poor);

/// Below this a sound node becomes poor.
const POOR_BELOW: Score = Score::from_micros(350_000);
/// From this on a poor node becomes sound.
const SOUND_FROM: Score = Score::from_micros(450_000);

impl Class {
    pub(crate) fn with(self, score: Score) -> Self {
        match self {
            Self::Sound if score < POOR_BELOW => Self::Poor,
            Self::Poor if score >= SOUND_FROM => Self::Sound,
            same => same,
        }
    }
}

/// Why a score changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// More nodes than may be faulty saw it.
    Reported(Event),
    /// Its own signatures contradict each other, at this place in the order.
    Evidence(Sequence),
    /// Others refused answers of its.
    RefusedAnswers,
    /// It was isolated until this time.
    Isolated(u64),
    /// Its isolation ended with time.
    Released,
    /// Operators ended its isolation.
    Lifted,
}

/// One of the events behind a score.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The ledger's time, milliseconds since 1970.
    pub time_ms: u64,
    /// What happened.
    pub cause: Cause,
    /// How often.
    pub count: u32,
    /// What it did to the score, in millionths.
    pub change: i64,
    /// The score after.
    pub score: Score,
    /// Some of those who reported it.
    pub reporters: Vec<NodeId>,
}

/// A node is shut out for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Isolation {
    /// Since when, milliseconds since 1970.
    pub since_ms: u64,
    /// Until when.
    pub until_ms: u64,
    /// Whether its own signatures prove its fault.
    pub by_evidence: bool,
    /// The score with which it was isolated.
    pub score: Score,
}

/// Whether a node contradicts for the first time in a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Habit {
    /// It does: anybody may be wrong once.
    Mistake,
    /// It did not long ago, too.
    Kept,
}

/// Windows, from the first to the last, in which a node earns nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Forfeit {
    first: u64,
    last: u64,
}

/// A place in the order of which evidence speaks. By sequence first.
pub(crate) type Place = (Sequence, Epoch, View, Phase);

/// What the ledger holds of one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) score: Score,
    pub(crate) average: Score,
    pub(crate) class: Class,
    pub(crate) isolation: Option<Isolation>,
    /// For what it said, taking part does it no good in these windows.
    pub(crate) forfeit: Option<Forfeit>,
    /// Oldest first.
    pub(crate) marks: Vec<Mark>,
    /// Where it has contradicted itself.
    pub(crate) places: BTreeSet<Place>,
    /// Evidence of places up to this sequence is too old: it was counted, or atoned for.
    pub(crate) places_after: Sequence,
    /// Answers on which a quorum agreed and it had an opinion.
    pub(crate) answers_judged: u64,
    /// Those on which it agreed.
    pub(crate) answers_agreed: u64,
    /// The last of each node.
    pub(crate) measurements: BTreeMap<NodeId, Measurement>,
    /// Latencies and who measured them, oldest first.
    pub(crate) samples: Vec<(NodeId, u32)>,
}

impl Standing {
    /// Of a member that comes after a sequence.
    pub(crate) fn new(places_after: Sequence) -> Self {
        Self {
            score: Score::NEUTRAL,
            average: Score::NEUTRAL,
            class: Class::Sound,
            isolation: None,
            forfeit: None,
            marks: Vec::new(),
            places: BTreeSet::new(),
            places_after,
            answers_judged: 0,
            answers_agreed: 0,
            measurements: BTreeMap::new(),
            samples: Vec::new(),
        }
    }

    /// Changes the score and keeps why.
    pub(crate) fn mark(&mut self, mut mark: Mark) {
        let before = self.score;
        self.score = before.plus(mark.change);
        self.average = self.average.averaged(self.score);
        self.class = self.class.with(self.score);
        mark.change = i64::from(self.score.micros()) - i64::from(before.micros());
        mark.score = self.score;
        mark.reporters.truncate(REPORTERS_MAX);
        push(&mut self.marks, mark, MARKS_MAX);
    }

    /// It said what is not so in this window. What it earns by taking part is forfeit from then on for a while.
    pub(crate) fn contradict(&mut self, window: u64) -> Habit {
        let last = window.saturating_add(FORFEIT_WINDOWS);
        let forfeit = match self.forfeit {
            Some(before) if before.last >= window => Forfeit {
                first: before.first.min(window),
                last: before.last.max(last),
            },
            _ => Forfeit {
                first: window,
                last,
            },
        };
        self.forfeit = Some(forfeit);
        // Nodes whose windows change a moment apart report the same thing in two.
        match window <= forfeit.first.saturating_add(1) {
            true => Habit::Mistake,
            false => Habit::Kept,
        }
    }

    /// Whether taking part in this window does it any good.
    pub(crate) fn earns_in(&self, window: u64) -> bool {
        let forfeit = self.forfeit;
        forfeit.is_none_or(|forfeit| !(forfeit.first..=forfeit.last).contains(&window))
    }

    /// Whether this evidence is new; then it is known from now on.
    pub(crate) fn is_new(&mut self, evidence: &Evidence) -> bool {
        let vote = evidence.vote().vote;
        let is_old = vote.sequence <= self.places_after;
        let place = (vote.sequence, vote.epoch, vote.view, vote.phase);
        if is_old || !self.places.insert(place) {
            return false;
        }
        if self.places.len() > PLACES_MAX
            && let Some((sequence, ..)) = self.places.pop_first()
        {
            self.places_after = sequence;
        }
        true
    }

    /// Contradictions up to this sequence are atoned for.
    pub(crate) fn forgive(&mut self, sequence: Sequence) {
        self.places_after = self.places_after.max(sequence);
        self.places.retain(|(at, ..)| *at > sequence);
    }

    /// Takes a measurement. False if there is one of that window, or a later, of the same node.
    pub(crate) fn measure(&mut self, reporter: NodeId, measurement: Measurement) -> bool {
        let last = self.measurements.get(&reporter);
        if last.is_some_and(|last| last.window >= measurement.window) {
            return false;
        }
        if measurement.votes_seen > 0 {
            let sample = (reporter, measurement.latency_us);
            push(&mut self.samples, sample, SAMPLES_MAX);
        }
        self.measurements.insert(reporter, measurement);
        true
    }
}

/// Appends; the first goes if there are too many.
fn push<T>(list: &mut Vec<T>, value: T, max: usize) {
    if list.len() >= max {
        list.remove(0);
    }
    list.push(value);
}

impl Wire for Cause {
    fn write(&self, out: &mut Writer) {
        match self {
            Self::Reported(event) => {
                out.u8(1);
                event.write(out);
            }
            Self::Evidence(sequence) => {
                out.u8(2);
                sequence.write(out);
            }
            Self::RefusedAnswers => out.u8(3),
            Self::Isolated(until_ms) => {
                out.u8(4);
                out.u64(*until_ms);
            }
            Self::Released => out.u8(5),
            Self::Lifted => out.u8(6),
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let offset = from.offset();
        Ok(match from.u8()? {
            1 => Self::Reported(Event::read(from)?),
            2 => Self::Evidence(Sequence::read(from)?),
            3 => Self::RefusedAnswers,
            4 => Self::Isolated(from.u64()?),
            5 => Self::Released,
            6 => Self::Lifted,
            value => return unknown("cause", value, offset),
        })
    }
}

impl Wire for Mark {
    fn write(&self, out: &mut Writer) {
        out.u64(self.time_ms);
        self.cause.write(out);
        out.u32(self.count);
        out.u64(self.change.cast_unsigned());
        self.score.write(out);
        out.list(&self.reporters);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            time_ms: from.u64()?,
            cause: Cause::read(from)?,
            count: from.u32()?,
            change: from.u64()?.cast_signed(),
            score: Score::read(from)?,
            reporters: from.list("reporters", REPORTERS_MAX)?,
        })
    }
}

impl Wire for Isolation {
    fn write(&self, out: &mut Writer) {
        out.u64(self.since_ms);
        out.u64(self.until_ms);
        out.u8(u8::from(self.by_evidence));
        self.score.write(out);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            since_ms: from.u64()?,
            until_ms: from.u64()?,
            by_evidence: from.flag()?,
            score: Score::read(from)?,
        })
    }
}

impl Wire for Forfeit {
    fn write(&self, out: &mut Writer) {
        out.u64(self.first);
        out.u64(self.last);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            first: from.u64()?,
            last: from.u64()?,
        })
    }
}

/// A place in the byte form.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct PlaceForm(Place);

impl Wire for PlaceForm {
    fn write(&self, out: &mut Writer) {
        let (sequence, epoch, view, phase) = &self.0;
        sequence.write(out);
        epoch.write(out);
        view.write(out);
        phase.write(out);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self((
            Sequence::read(from)?,
            Epoch::read(from)?,
            View::read(from)?,
            Phase::read(from)?,
        )))
    }
}

/// A sample in the byte form.
struct SampleForm(NodeId, u32);

impl Wire for SampleForm {
    fn write(&self, out: &mut Writer) {
        self.0.write(out);
        out.u32(self.1);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self(NodeId::read(from)?, from.u32()?))
    }
}

impl Wire for Standing {
    fn write(&self, out: &mut Writer) {
        self.score.write(out);
        self.average.write(out);
        self.class.write(out);
        out.option(self.isolation.as_ref());
        out.option(self.forfeit.as_ref());
        out.list(&self.marks);
        let places: Vec<_> = self.places.iter().map(|place| PlaceForm(*place)).collect();
        out.list(&places);
        self.places_after.write(out);
        out.u64(self.answers_judged);
        out.u64(self.answers_agreed);
        write_map(&self.measurements, out);
        let samples = self.samples.iter().map(|(node, us)| SampleForm(*node, *us));
        out.list(&samples.collect::<Vec<_>>());
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (score, average) = (Score::read(from)?, Score::read(from)?);
        let class = Class::read(from)?;
        let (isolation, forfeit) = (from.option()?, from.option()?);
        let marks = from.list("marks", MARKS_MAX)?;
        let places: Vec<PlaceForm> = from.list("places", PLACES_MAX)?;
        if !places.is_sorted_by(|one, next| one < next) {
            return Err(DecodeError::Order { what: "places" });
        }
        let places_after = Sequence::read(from)?;
        let (answers_judged, answers_agreed) = (from.u64()?, from.u64()?);
        let measurements = read_map(from, "measurements", MEMBERS_MAX)?;
        let samples: Vec<SampleForm> = from.list("samples", SAMPLES_MAX)?;
        Ok(Self {
            score,
            average,
            class,
            isolation,
            forfeit,
            marks,
            places: places.into_iter().map(|PlaceForm(place)| place).collect(),
            places_after,
            answers_judged,
            answers_agreed,
            measurements,
            samples: samples
                .into_iter()
                .map(|SampleForm(node, us)| (node, us))
                .collect(),
        })
    }
}
