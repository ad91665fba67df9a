//! [`WitnessPolicy`]: whose signatures a checkpoint needs, as a file that clients take (C2SP tlog-policy).

use core::fmt;
use std::collections::BTreeSet;

use thiserror::Error;

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::note::Note;
use crate::signature::Algorithms;
use crate::verifier_key::{KeyKind, NoteSignatureError, VerifierKey, VerifierKeyError};

/// Logs, witnesses and groups of a policy that is read, each.
pub const POLICY_LINES_MAX: usize = 256;

/// A log, or a witness, and where it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Key of its signatures.
    pub key: VerifierKey,
    /// For a witness, the submission prefix of tlog-witness.
    pub url: Option<String>,
}

/// The logs that are accepted and the quorum of witnesses that must have cosigned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessPolicy {
    logs: Vec<Endpoint>,
    /// In the order of their lines, so that a group names only what is before it.
    members: Vec<(String, Member)>,
    /// None for `quorum none`.
    quorum: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Member {
    Witness(Endpoint),
    /// At least `threshold` of these places in [`WitnessPolicy::members`].
    Group {
        threshold: usize,
        places: Vec<usize>,
    },
}

/// Why a text is no policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("line {line}: {problem}")]
pub struct PolicyError {
    /// From 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: PolicyProblem,
}

/// What can be wrong with a line of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PolicyProblem {
    /// It begins with another word, or has too few or too many.
    #[error("not a line of a policy")]
    Malformed,
    /// A control character other than tab.
    #[error("control character")]
    Control,
    /// A key that is none.
    #[error(transparent)]
    Key(#[from] VerifierKeyError),
    /// A witness whose key makes no cosignatures.
    #[error("key of a witness makes no cosignatures")]
    KeyKind,
    /// A name or key that an earlier line has.
    #[error("defined before")]
    Duplicate,
    /// A name that no earlier line defines, or `none` in a group.
    #[error("not defined before")]
    Undefined,
    /// Twice in groups.
    #[error("member of two groups")]
    MemberTwice,
    /// A threshold below 1 or above the number of members.
    #[error("threshold is not 1 to the number of members")]
    Threshold,
    /// No quorum line, or two.
    #[error("not one quorum line")]
    Quorum,
    /// More than [`POLICY_LINES_MAX`].
    #[error("more than {POLICY_LINES_MAX} logs, witnesses or groups")]
    TooMany,
}

/// Why a note does not meet a policy.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UnmetError {
    /// It is no checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A signature that names a key of the policy, and is not its.
    #[error("signature of {name}: {error}")]
    Signature {
        /// Name of the key.
        name: String,
        /// What is wrong with it.
        error: NoteSignatureError,
    },
    /// Of no log of the policy, or not signed by it.
    #[error("no signature of a log for {origin}")]
    Log {
        /// The log it names.
        origin: String,
    },
    /// Too few witnesses have cosigned.
    #[error("no quorum: cosigned by {cosigners:?}")]
    Quorum {
        /// Those that have, by their names in the policy.
        cosigners: Vec<String>,
    },
}

/// A witness that has cosigned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosigner<'a> {
    /// Its name in the policy.
    pub name: &'a str,
    /// When it did, in seconds since 1970.
    pub time_s: u64,
}

impl WitnessPolicy {
    /// Of some logs and of one group, `validators`, of which `threshold` must have cosigned.
    ///
    /// # Errors
    ///
    /// If the same could not be read from a file.
    pub fn of_group(
        logs: &[Endpoint],
        witnesses: &[(String, Endpoint)],
        threshold: usize,
    ) -> Result<Self, PolicyError> {
        let mut text = String::new();
        for log in logs {
            text += &format!("log {log}\n");
        }
        let mut group = format!("group validators {threshold}");
        for (name, witness) in witnesses {
            text += &format!("witness {name} {witness}\n");
            group += &format!(" {name}");
        }
        Self::parse(&format!("{text}{group}\nquorum validators\n"))
    }

    /// Reads a policy file.
    ///
    /// # Errors
    ///
    /// If it is none. A name or URL that is not UTF-8, which the format would allow, is for the caller to refuse.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let mut policy = Self {
            logs: Vec::new(),
            members: Vec::new(),
            quorum: None,
        };
        let mut quorum_lines = 0;
        let mut grouped = BTreeSet::new();
        // Not `lines`, which would take a carriage return for a part of the newline.
        for (line, content) in (1..).zip(text.split('\n')) {
            policy
                .read_line(content, &mut grouped, &mut quorum_lines)
                .map_err(|problem| PolicyError { line, problem })?;
        }
        if quorum_lines == 1 {
            return Ok(policy);
        }
        Err(PolicyError {
            line: text.lines().count(),
            problem: PolicyProblem::Quorum,
        })
    }

    fn read_line(
        &mut self,
        line: &str,
        grouped: &mut BTreeSet<usize>,
        quorum_lines: &mut u32,
    ) -> Result<(), PolicyProblem> {
        if line
            .bytes()
            .any(|byte| (byte < b' ' && byte != b'\t') || byte == 0x7f)
        {
            return Err(PolicyProblem::Control);
        }
        let words = line.split([' ', '\t']).filter(|word| !word.is_empty());
        let words: Vec<&str> = words.collect();
        match *words.as_slice() {
            [] => {}
            [first, ..] if first.starts_with('#') => {}
            ["log", key] => self.add_log(key, None)?,
            ["log", key, url] => self.add_log(key, Some(url))?,
            ["witness", name, key] => self.add_witness(name, key, None)?,
            ["witness", name, key, url] => self.add_witness(name, key, Some(url))?,
            ["group", name, threshold, ref members @ ..] => {
                let group = self.read_group(threshold, members, grouped)?;
                self.add_member(name, group)?;
            }
            ["quorum", name] => {
                *quorum_lines += 1;
                if *quorum_lines > 1 {
                    return Err(PolicyProblem::Quorum);
                }
                self.quorum = match name {
                    "none" => None,
                    _ => Some(self.place(name)?),
                };
            }
            _ => return Err(PolicyProblem::Malformed),
        }
        Ok(())
    }

    fn add_log(&mut self, key: &str, url: Option<&str>) -> Result<(), PolicyProblem> {
        let key = VerifierKey::parse(key)?;
        if self.logs.iter().any(|log| log.key.key() == key.key()) {
            return Err(PolicyProblem::Duplicate);
        }
        if self.logs.len() == POLICY_LINES_MAX {
            return Err(PolicyProblem::TooMany);
        }
        let url = url.map(str::to_owned);
        self.logs.push(Endpoint { key, url });
        Ok(())
    }

    fn add_witness(
        &mut self,
        name: &str,
        key: &str,
        url: Option<&str>,
    ) -> Result<(), PolicyProblem> {
        let key = VerifierKey::parse(key)?;
        if key.kind() != KeyKind::Cosignature {
            return Err(PolicyProblem::KeyKind);
        }
        let same_key = |(_, witness): (&String, &Endpoint)| witness.key.key() == key.key();
        if self.witnesses().any(same_key) {
            return Err(PolicyProblem::Duplicate);
        }
        let url = url.map(str::to_owned);
        self.add_member(name, Member::Witness(Endpoint { key, url }))
    }

    fn add_member(&mut self, name: &str, member: Member) -> Result<(), PolicyProblem> {
        if name == "none" || self.place(name).is_ok() {
            return Err(PolicyProblem::Duplicate);
        }
        if self.members.len() == POLICY_LINES_MAX {
            return Err(PolicyProblem::TooMany);
        }
        self.members.push((name.to_owned(), member));
        Ok(())
    }

    fn read_group(
        &self,
        threshold: &str,
        members: &[&str],
        grouped: &mut BTreeSet<usize>,
    ) -> Result<Member, PolicyProblem> {
        let threshold = match threshold {
            "any" => 1,
            "all" => members.len(),
            number => number.parse().map_err(|_| PolicyProblem::Threshold)?,
        };
        if threshold == 0 || threshold > members.len() {
            return Err(PolicyProblem::Threshold);
        }
        let mut places = Vec::with_capacity(members.len());
        for name in members {
            let place = self.place(name)?;
            if !grouped.insert(place) {
                return Err(PolicyProblem::MemberTwice);
            }
            places.push(place);
        }
        Ok(Member::Group { threshold, places })
    }

    fn place(&self, name: &str) -> Result<usize, PolicyProblem> {
        let place = self.members.iter().position(|(known, _)| known == name);
        place.ok_or(PolicyProblem::Undefined)
    }

    /// Logs that it accepts.
    #[must_use]
    pub fn logs(&self) -> &[Endpoint] {
        &self.logs
    }

    /// Witnesses that it knows, with their names.
    pub fn witnesses(&self) -> impl Iterator<Item = (&String, &Endpoint)> {
        self.members
            .iter()
            .filter_map(|(name, member)| match member {
                Member::Witness(witness) => Some((name, witness)),
                Member::Group { .. } => None,
            })
    }

    /// Checks that one of its logs signed the checkpoint, and a quorum of its witnesses.
    ///
    /// # Errors
    ///
    /// If not, or if a signature that names one of its keys does not verify.
    pub fn check(
        &self,
        note: &Note,
        algorithms: &Algorithms<'_>,
    ) -> Result<Vec<Cosigner<'_>>, UnmetError> {
        let checkpoint = Checkpoint::parse(note.text())?;
        let origin = checkpoint.origin();
        let of_origin = |log: &&Endpoint| log.key.name().as_str() == origin;
        let mut is_signed = false;
        for log in self.logs.iter().filter(of_origin) {
            is_signed |= verify(&log.key, note, algorithms)?.is_some();
        }
        if !is_signed {
            let origin = origin.to_owned();
            return Err(UnmetError::Log { origin });
        }
        self.check_quorum(note, algorithms)
    }

    /// Checks that a quorum of its witnesses cosigned the checkpoint, and gives those that have. That the log signed it is
    /// left to the caller: for instance by the key of its timestamps ([`crate::SignedTreeHead::from_note`]).
    ///
    /// # Errors
    ///
    /// If not, or if a cosignature that names one of its witnesses does not verify.
    pub fn check_quorum(
        &self,
        note: &Note,
        algorithms: &Algorithms<'_>,
    ) -> Result<Vec<Cosigner<'_>>, UnmetError> {
        let mut cosigners = Vec::new();
        let mut met: Vec<bool> = Vec::with_capacity(self.members.len());
        for (name, member) in &self.members {
            met.push(match member {
                Member::Witness(witness) => {
                    let time_s = verify(&witness.key, note, algorithms)?.flatten();
                    cosigners.extend(time_s.map(|time_s| Cosigner { name, time_s }));
                    time_s.is_some()
                }
                Member::Group { threshold, places } => {
                    let is_met = |place: &&usize| met.get(**place).copied().unwrap_or(false);
                    places.iter().filter(is_met).count() >= *threshold
                }
            });
        }
        let quorum = self.quorum.map(|place| met.get(place).copied());
        if quorum.is_none_or(|met| met == Some(true)) {
            return Ok(cosigners);
        }
        let names = cosigners.iter().map(|cosigner| cosigner.name.to_owned());
        Err(UnmetError::Quorum {
            cosigners: names.collect(),
        })
    }
}

/// What the key signed: None if nothing, and the time of a cosignature.
fn verify(
    key: &VerifierKey,
    note: &Note,
    algorithms: &Algorithms<'_>,
) -> Result<Option<Option<u64>>, UnmetError> {
    match key.verify(note, algorithms) {
        Ok(time_s) => Ok(Some(time_s)),
        Err(NoteSignatureError::Unsigned) => Ok(None),
        Err(error) => Err(UnmetError::Signature {
            name: key.name().to_string(),
            error,
        }),
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.key)?;
        match &self.url {
            Some(url) => write!(out, " {url}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for WitnessPolicy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for log in &self.logs {
            writeln!(out, "log {log}")?;
        }
        let name = |place: &usize| self.members.get(*place).map_or("none", |(name, _)| name);
        for (own_name, member) in &self.members {
            match member {
                Member::Witness(witness) => writeln!(out, "witness {own_name} {witness}")?,
                Member::Group { threshold, places } => {
                    write!(out, "group {own_name} {threshold}")?;
                    for place in places {
                        write!(out, " {}", name(place))?;
                    }
                    writeln!(out)?;
                }
            }
        }
        writeln!(out, "quorum {}", self.quorum.as_ref().map_or("none", name))
    }
}
