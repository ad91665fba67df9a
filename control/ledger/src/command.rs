//! [`Command`]: what a member asks of the ledger, and its byte form.
//!
//! A request carries [`Commands`]: a node's front end may bundle many clients' wishes into one signed request.

use std::sync::Arc;

use consensus::{
    COMMAND_BYTES_MAX, ClusterId, DecodeError, Digest, Evidence, Member, NodeId, PublicKey,
    REPLY_BYTES_MAX, Reader, SignatureCheck, Wire, Writer,
};
use resolver::zone::{UPDATE_BYTES_MAX, Update, ZoneContents};

use crate::answer::{ValidatedAnswers, byte};
use crate::application::{APPLICATION_REPLY_BYTES_MAX, NAME_BYTES_MAX};
use crate::codec::{read_name, unknown};
use crate::ct_command::{CtCosignerKey, CtShard, CtSubmission, read_shard_name, write_shard_name};
use crate::outcome::CT_PLACE_BYTES_MAX;
use crate::parameters::Parameters;
use crate::report::{Measurement, Report};

/// What stands around an update in a command, at most.
const UPDATE_FRAME_BYTES: usize = 1024;
const _: () = assert!(UPDATE_BYTES_MAX + UPDATE_FRAME_BYTES < COMMAND_BYTES_MAX);

/// Most commands of a request.
pub const COMMANDS_MAX: usize = 1024;

/// Executed one after the other; each has its own outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commands(pub Vec<Command>);

/// One wish. Who may ask for what: docs/ledger.md, "Who may do what".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A zone comes, whole.
    ZoneCreate {
        /// Its records.
        contents: ZoneContents,
        /// What if it is there.
        mode: CreateMode,
    },
    /// A zone changes (RFC 2136), all or nothing. Larger than [`UPDATE_BYTES_MAX`] it is not well formed.
    ZoneUpdate(Box<Update>),
    /// A zone goes. Its name in wire form, lower-case.
    ZoneDelete(Arc<[u8]>),
    /// Answers on which voters have spoken.
    Answers(ValidatedAnswers),
    /// Entries for the certificate log: each gets the next place in its shard, or has one.
    CtEntries(CtSubmission),
    /// A new time for the head of this shard, if it has been idle.
    CtRefresh(Arc<str>),
    /// The key with which the sender cosigns heads of the log.
    CtCosigner(CtCosignerKey),
    /// What the sender saw another do.
    Report(Report),
    /// What the sender measured of another.
    Measure(NodeId, Measurement),
    /// Proof that a node has contradicted itself.
    Evidence(Box<Evidence>),
    /// Asks for a change, or supports one that others ask for. Made when f + 1 voters ask for the same.
    Propose(Change),
    /// For a registered application.
    Application {
        /// Its name.
        name: Box<str>,
        /// For it.
        bytes: Arc<[u8]>,
    },
}

/// What a creation does if the zone is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum CreateMode {
    /// It fails.
    New = 1,
    /// It does nothing and succeeds.
    IfAbsent = 2,
    /// Its records take the place of those; the serial rises.
    Replace = 3,
}

/// What no single node may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A member comes.
    Add(Member),
    /// A member goes.
    Remove(NodeId),
    /// A member has another key from now on, and so another id. Its standing stays.
    ReplaceKey {
        /// Which.
        node: NodeId,
        /// The new key.
        key: PublicKey,
    },
    /// The member of this key gets another role or address.
    Alter(Member),
    /// An operator's word: the node's isolation ends now.
    Lift(NodeId),
    /// Other numbers for all.
    Parameters(Parameters),
    /// The certificate log gets a shard. It stays for ever.
    CtOpen(CtShard),
    /// The shard of this name takes nothing any more.
    CtClose(Arc<str>),
    /// The certificate log accepts chains to these roots: the digest of the set.
    CtRoots(Digest),
}

impl Commands {
    /// As many bytes as the reply may have. With more than [`REPLY_BYTES_MAX`] the commands are not well formed: consensus
    /// keeps replies.
    #[must_use]
    pub fn reply_bytes_max(&self) -> usize {
        // A count and the outcomes: none but these three kinds has more than 9 bytes.
        let outcomes = self.0.iter().map(|command| match command {
            Command::Answers(answers) => 5 + answers.bundle.items.len(),
            Command::Application { .. } => 5 + APPLICATION_REPLY_BYTES_MAX,
            Command::CtEntries(submission) => 5 + CT_PLACE_BYTES_MAX * submission.entries.len(),
            _ => 9,
        });
        4 + outcomes.sum::<usize>()
    }

    /// Signatures inside that must hold: those of votes and of evidence.
    #[must_use]
    pub fn checks(&self, cluster: ClusterId) -> Vec<SignatureCheck> {
        let mut checks = Vec::new();
        for command in &self.0 {
            match command {
                Command::Answers(answers) if !answers.votes.is_empty() => {
                    let bundle = answers.bundle.digest();
                    let votes = answers.votes.iter();
                    checks.extend(votes.map(|vote| vote.check(cluster, bundle)));
                }
                Command::Evidence(evidence) => checks.extend(evidence.checks(cluster)),
                _ => {}
            }
        }
        checks
    }
}

impl Wire for Commands {
    fn write(&self, out: &mut Writer) {
        out.list(&self.0);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let commands = Self(from.list("commands", COMMANDS_MAX)?);
        match commands.reply_bytes_max() {
            count if count > REPLY_BYTES_MAX => Err(DecodeError::TooMany {
                what: "bytes of a reply",
                count,
                max: REPLY_BYTES_MAX,
            }),
            _ => Ok(commands),
        }
    }
}

byte!(CreateMode, "mode of creation": New, IfAbsent, Replace);

impl Wire for Command {
    fn write(&self, out: &mut Writer) {
        match self {
            Self::ZoneCreate { contents, mode } => {
                out.u8(1);
                mode.write(out);
                out.block(&contents.encode());
            }
            Self::ZoneUpdate(update) => {
                out.u8(2);
                // One that is too large has no byte form; nothing is what nobody takes for one.
                out.block(&update.encode().unwrap_or_default());
            }
            Self::ZoneDelete(apex) => {
                out.u8(3);
                out.bytes(apex);
            }
            Self::Answers(answers) => {
                out.u8(4);
                answers.write(out);
            }
            Self::CtEntries(submission) => {
                out.u8(5);
                submission.write(out);
            }
            Self::Report(report) => {
                out.u8(6);
                report.write(out);
            }
            Self::Measure(subject, measurement) => {
                out.u8(7);
                subject.write(out);
                measurement.write(out);
            }
            Self::Evidence(evidence) => {
                out.u8(8);
                evidence.write(out);
            }
            Self::Propose(change) => {
                out.u8(9);
                change.write(out);
            }
            Self::Application { name, bytes } => {
                out.u8(10);
                out.block(name.as_bytes());
                out.block(bytes);
            }
            Self::CtRefresh(shard) => {
                out.u8(11);
                write_shard_name(shard, out);
            }
            Self::CtCosigner(key) => {
                out.u8(12);
                key.write(out);
            }
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let offset = from.offset();
        Ok(match from.u8()? {
            1 => {
                let mode = CreateMode::read(from)?;
                let bytes = from.block("bytes of a zone", COMMAND_BYTES_MAX)?;
                match ZoneContents::decode(bytes) {
                    Ok(contents) => Self::ZoneCreate { contents, mode },
                    Err(_) => {
                        return unknown("zone of this many bytes", bytes.len() as u64, offset);
                    }
                }
            }
            2 => {
                let bytes = from.block("bytes of an update", UPDATE_BYTES_MAX)?;
                match Update::decode(bytes) {
                    Ok(update) => Self::ZoneUpdate(Box::new(update)),
                    Err(_) => {
                        return unknown("update of this many bytes", bytes.len() as u64, offset);
                    }
                }
            }
            3 => Self::ZoneDelete(read_name(from)?),
            4 => Self::Answers(ValidatedAnswers::read(from)?),
            5 => Self::CtEntries(CtSubmission::read(from)?),
            6 => Self::Report(Report::read(from)?),
            7 => Self::Measure(NodeId::read(from)?, Measurement::read(from)?),
            8 => Self::Evidence(Box::new(Evidence::read(from)?)),
            9 => Self::Propose(Change::read(from)?),
            10 => Self::Application {
                name: read_application_name(from)?,
                bytes: from
                    .block("bytes for an application", COMMAND_BYTES_MAX)?
                    .into(),
            },
            11 => Self::CtRefresh(read_shard_name(from)?),
            12 => Self::CtCosigner(CtCosignerKey::read(from)?),
            value => return unknown("command", value, offset),
        })
    }
}

/// Printable ASCII without spaces.
pub(crate) fn read_application_name(from: &mut Reader<'_>) -> Result<Box<str>, DecodeError> {
    let offset = from.offset();
    let bytes = from.block("bytes of a name", NAME_BYTES_MAX)?;
    match str::from_utf8(bytes) {
        Ok(name) if bytes.iter().all(u8::is_ascii_graphic) => Ok(name.into()),
        _ => unknown("name of this many bytes", bytes.len() as u64, offset),
    }
}

impl Wire for Change {
    fn write(&self, out: &mut Writer) {
        match self {
            Self::Add(member) => {
                out.u8(1);
                member.write(out);
            }
            Self::Remove(node) => {
                out.u8(2);
                node.write(out);
            }
            Self::ReplaceKey { node, key } => {
                out.u8(3);
                node.write(out);
                key.write(out);
            }
            Self::Alter(member) => {
                out.u8(4);
                member.write(out);
            }
            Self::Lift(node) => {
                out.u8(5);
                node.write(out);
            }
            Self::Parameters(parameters) => {
                out.u8(6);
                parameters.write(out);
            }
            Self::CtOpen(shard) => {
                out.u8(7);
                shard.write(out);
            }
            Self::CtClose(name) => {
                out.u8(8);
                write_shard_name(name, out);
            }
            Self::CtRoots(digest) => {
                out.u8(9);
                digest.write(out);
            }
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let offset = from.offset();
        Ok(match from.u8()? {
            1 => Self::Add(Member::read(from)?),
            2 => Self::Remove(NodeId::read(from)?),
            3 => Self::ReplaceKey {
                node: NodeId::read(from)?,
                key: PublicKey::read(from)?,
            },
            4 => Self::Alter(Member::read(from)?),
            5 => Self::Lift(NodeId::read(from)?),
            6 => Self::Parameters(Parameters::read(from)?),
            7 => Self::CtOpen(CtShard::read(from)?),
            8 => Self::CtClose(read_shard_name(from)?),
            9 => Self::CtRoots(Digest::read(from)?),
            value => return unknown("change", value, offset),
        })
    }
}
