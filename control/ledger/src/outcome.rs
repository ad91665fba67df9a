//! [`Outcome`]: what became of a command. The reply to a request is a list of them, one for each command in their order.

use consensus::{DecodeError, Reader, Wire, Writer};

use crate::answer::{BUNDLE_ITEMS_MAX, Verdict, byte};
use crate::application::APPLICATION_REPLY_BYTES_MAX;
use crate::codec::unknown;
use crate::command::COMMANDS_MAX;
use crate::ct_command::CT_ENTRIES_MAX;

/// The reply to a request. Empty if its bytes were no commands, which honest voters never let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcomes(pub Vec<Outcome>);

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Of a command about a zone.
    Zone {
        /// For the client (RFC 2136 §2.2). 0 means that it is done.
        rcode: u16,
        /// The zone's serial now; 0 if there is no zone.
        serial: u32,
    },
    /// Of each answer.
    Answers(Vec<Verdict>),
    /// Of each entry for the certificate log.
    CtEntries(Vec<CtPlace>),
    /// It is done, or noted.
    Done,
    /// It was known before and changes nothing.
    Known,
    /// It waits for more voters.
    Pending {
        /// Who have asked so far.
        supporters: u32,
        /// How many it takes.
        wanted: u32,
    },
    /// An application's reply.
    Application(Vec<u8>),
    /// It is not done.
    Refused(Reason),
}

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Reason {
    /// The sender is no member any more, or not yet.
    NotMember = 1,
    /// The sender has no vote.
    NotVoter = 2,
    /// The sender is shut out.
    Isolated = 3,
    /// It is about a node that is no member.
    NoSuchNode = 4,
    /// It is about the sender itself.
    OwnSubject = 5,
    /// It is of another time.
    WrongTime = 6,
    /// The sender has too many that wait, or as many members have gone as can be remembered.
    TooMany = 7,
    /// The members would not be a safe configuration, or nothing would change.
    NotSafe = 8,
    /// The sender is not who proposes it.
    NotProposer = 9,
    /// The key was that of a member that is gone, and is nobody's any more: a new key is needed.
    UsedKey = 10,
    /// A node keeps its state or keeps none as long as it has its key: a new key is needed for the other.
    OtherKind = 11,
    /// The certificate log has no shard of this name.
    NoSuchShard = 12,
    /// The shard takes nothing any more.
    ShardClosed = 13,
    /// The sender accepts other roots than the cluster.
    OtherRoots = 14,
    /// The sender has not shown that the key is its own.
    NotYours = 15,
}

/// Most bytes of a [`CtPlace`].
pub(crate) const CT_PLACE_BYTES_MAX: usize = 18;

/// What became of an entry for the certificate log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CtPlace {
    /// It has its place, or had it before.
    Placed {
        /// From 0.
        index: u64,
        /// When it got it, milliseconds since 1970.
        timestamp_ms: u64,
        /// Whether it is new.
        is_new: bool,
    },
    /// It has none.
    Refused(CtRefusal),
}

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum CtRefusal {
    /// No certificate, or one that cannot be logged.
    Malformed = 1,
    /// Its validity ends outside of the shard's window.
    OtherShard = 2,
    /// A certificate of its chain is not known: it must be sent along.
    UnknownIssuer = 3,
    /// The shard can have no more entries.
    Full = 4,
}

byte!(CtRefusal, "refusal of an entry": Malformed, OtherShard, UnknownIssuer, Full);

impl Wire for CtPlace {
    fn write(&self, out: &mut Writer) {
        match self {
            Self::Placed {
                index,
                timestamp_ms,
                is_new,
            } => {
                out.u8(1);
                out.u64(*index);
                out.u64(*timestamp_ms);
                out.u8((*is_new).into());
            }
            Self::Refused(refusal) => {
                out.u8(2);
                refusal.write(out);
            }
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let offset = from.offset();
        Ok(match from.u8()? {
            1 => Self::Placed {
                index: from.u64()?,
                timestamp_ms: from.u64()?,
                is_new: from.flag()?,
            },
            2 => Self::Refused(CtRefusal::read(from)?),
            value => return unknown("place", value, offset),
        })
    }
}

byte!(Reason, "reason": NotMember, NotVoter, Isolated, NoSuchNode, OwnSubject, WrongTime, TooMany, NotSafe, NotProposer, UsedKey, OtherKind, NoSuchShard, ShardClosed, OtherRoots, NotYours);

impl Wire for Outcomes {
    fn write(&self, out: &mut Writer) {
        out.list(&self.0);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self(from.list("outcomes", COMMANDS_MAX)?))
    }
}

impl Wire for Outcome {
    fn write(&self, out: &mut Writer) {
        match self {
            Self::Zone { rcode, serial } => {
                out.u8(1);
                out.u16(*rcode);
                out.u32(*serial);
            }
            Self::Answers(verdicts) => {
                out.u8(2);
                out.list(verdicts);
            }
            Self::CtEntries(places) => {
                out.u8(3);
                out.list(places);
            }
            Self::Done => out.u8(4),
            Self::Known => out.u8(5),
            Self::Pending { supporters, wanted } => {
                out.u8(6);
                out.u32(*supporters);
                out.u32(*wanted);
            }
            Self::Application(reply) => {
                out.u8(7);
                out.block(reply);
            }
            Self::Refused(reason) => {
                out.u8(8);
                reason.write(out);
            }
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let offset = from.offset();
        Ok(match from.u8()? {
            1 => Self::Zone {
                rcode: from.u16()?,
                serial: from.u32()?,
            },
            2 => Self::Answers(from.list("verdicts", BUNDLE_ITEMS_MAX)?),
            3 => Self::CtEntries(from.list("places", CT_ENTRIES_MAX)?),
            4 => Self::Done,
            5 => Self::Known,
            6 => Self::Pending {
                supporters: from.u32()?,
                wanted: from.u32()?,
            },
            7 => Self::Application(
                from.block("bytes of a reply", APPLICATION_REPLY_BYTES_MAX)?
                    .into(),
            ),
            8 => Self::Refused(Reason::read(from)?),
            value => return unknown("outcome", value, offset),
        })
    }
}
