//! [`Outcome`]: what became of a command. The reply to a request is a list of them, one for each command in their order.

use consensus::{DecodeError, Reader, Wire, Writer};

use crate::answer::{BUNDLE_ITEMS_MAX, Verdict, byte};
use crate::application::APPLICATION_REPLY_BYTES_MAX;
use crate::codec::unknown;
use crate::command::COMMANDS_MAX;

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
    /// The number of the first entry; the others follow it.
    CtEntries(u64),
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
}

byte!(Reason, "reason": NotMember, NotVoter, Isolated, NoSuchNode, OwnSubject, WrongTime, TooMany, NotSafe, NotProposer, UsedKey, OtherKind);

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
            Self::CtEntries(first) => {
                out.u8(3);
                out.u64(*first);
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
            3 => Self::CtEntries(from.u64()?),
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
