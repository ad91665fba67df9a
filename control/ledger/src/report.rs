//! What nodes say of each other.

use consensus::{DecodeError, NodeId, Reader, Wire, Writer};

use crate::answer::byte;

/// Something that a node did, as others saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Event {
    /// It took part in agreeing on a batch.
    Consensus = 1,
    /// Something bore its name and a signature that does not hold.
    InvalidSignature = 2,
    /// Its batch had a time that clocks contradict.
    TimingViolation = 3,
    /// It said one thing here and another there.
    Contradiction = 4,
    /// It could not be reached.
    Partition = 5,
}

impl Event {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Consensus,
        Self::InvalidSignature,
        Self::TimingViolation,
        Self::Contradiction,
        Self::Partition,
    ];

    /// What one of them does to a score, in millionths.
    #[must_use]
    pub const fn weight(self) -> i32 {
        match self {
            Self::Consensus => 10_000,
            Self::InvalidSignature => -100_000,
            Self::TimingViolation => -50_000,
            Self::Contradiction => -150_000,
            Self::Partition => -20_000,
        }
    }

    /// How many of them count in one window, so that neither a busy minute nor a bad one is all that counts.
    #[must_use]
    pub const fn count_max(self) -> u32 {
        match self {
            Self::Consensus => 10,
            Self::InvalidSignature => 3,
            Self::TimingViolation | Self::Partition => 5,
            Self::Contradiction => 2,
        }
    }
}

byte!(Event, "event": Consensus, InvalidSignature, TimingViolation, Contradiction, Partition);

/// What a node saw another do within one window of the ledger's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// Who did it.
    pub subject: NodeId,
    /// What.
    pub event: Event,
    /// How often.
    pub count: u32,
    /// The window: time divided by [`crate::Parameters::window_ms`].
    pub window: u64,
}

/// What a node measured of another within one window. For assessments alone: no score follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Measurement {
    /// The window.
    pub window: u64,
    /// Median time from a proposal to its vote, microseconds.
    pub latency_us: u32,
    /// Batches on which it should have voted.
    pub votes_expected: u32,
    /// Those on which its vote came.
    pub votes_seen: u32,
    /// Signatures of its that were checked.
    pub signatures_checked: u32,
    /// Those that did not hold.
    pub signatures_failed: u32,
    /// Part of the window in which it could be reached, in millionths.
    pub up_micros: u32,
}

impl Wire for Report {
    fn write(&self, out: &mut Writer) {
        self.subject.write(out);
        self.event.write(out);
        out.u32(self.count);
        out.u64(self.window);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            subject: NodeId::read(from)?,
            event: Event::read(from)?,
            count: from.u32()?,
            window: from.u64()?,
        })
    }
}

impl Wire for Measurement {
    fn write(&self, out: &mut Writer) {
        out.u64(self.window);
        for number in [
            self.latency_us,
            self.votes_expected,
            self.votes_seen,
            self.signatures_checked,
            self.signatures_failed,
            self.up_micros,
        ] {
            out.u32(number);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            window: from.u64()?,
            latency_us: from.u32()?,
            votes_expected: from.u32()?,
            votes_seen: from.u32()?,
            signatures_checked: from.u32()?,
            signatures_failed: from.u32()?,
            up_micros: from.u32()?,
        })
    }
}
