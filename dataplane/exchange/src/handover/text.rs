//! The words of the hand-over. Both sides are strict: an unknown word is an error.
//!
//! ```text
//! > nexus-handover 1 control
//! < nexus-handover 1 granted epoch=3 descriptors=4
//! < memory
//! < punt 0
//! < reply 0
//! < socket 0 192.0.2.1:53
//! ```
//! or `nexus-handover 1 refused uid`. One line a descriptor, in the order of the descriptors.

use core::fmt;
use core::net::SocketAddr;
use core::str::FromStr;

use crate::handover::{Role, SOCKETS_MAX};
use crate::layout::WORKERS_MAX;

/// Bytes of a hello at most.
pub(super) const HELLO_BYTES_MAX: usize = 64;
/// Bytes of one line of an answer at most: `socket 63 [v6%scope]:port`.
pub(super) const LINE_BYTES_MAX: usize = 96;
/// Descriptors in one hand-over at most.
pub(super) const DESCRIPTORS_MAX: usize = 1 + 2 * WORKERS_MAX as usize + SOCKETS_MAX;

const GREETING: &str = "nexus-handover 1 ";

/// Why the dataplane says no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The user is neither root, nor the dataplane's, nor a configured one.
    #[error("this user may not attach")]
    Uid,
    /// The hello was not understood: another version, or another program.
    #[error("the hello was not understood")]
    Hello,
}

impl Refusal {
    fn word(self) -> &'static str {
        match self {
            Self::Uid => "uid",
            Self::Hello => "hello",
        }
    }
}

/// A text that is not one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Not UTF-8, or not the greeting of this version.
    #[error("not the greeting of this version")]
    Greeting,
    /// An unknown role, or a malformed header line.
    #[error("the first line does not parse")]
    Header,
    /// A descriptor's line does not parse.
    #[error("line {0} does not parse")]
    Line(usize),
    /// More than a hand-over holds.
    #[error("{0} descriptors are too many")]
    TooMany(usize),
}

/// The client's line.
pub(super) fn hello(role: Role) -> String {
    let role = match role {
        Role::Control => "control",
        Role::Observer => "observer",
    };
    format!("{GREETING}{role}\n")
}

/// Reads the client's line, with its line feed.
pub(super) fn parse_hello(line: &[u8]) -> Result<Role, TextError> {
    let line = core::str::from_utf8(line).map_err(|_| TextError::Greeting)?;
    match line.strip_prefix(GREETING).ok_or(TextError::Greeting)? {
        "control\n" => Ok(Role::Control),
        "observer\n" => Ok(Role::Observer),
        _ => Err(TextError::Header),
    }
}

/// First line of the server's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Granted { epoch: u64, descriptors: usize },
    Refused(Refusal),
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Granted { epoch, descriptors } => {
                writeln!(
                    formatter,
                    "{GREETING}granted epoch={epoch} descriptors={descriptors}"
                )
            }
            Self::Refused(refusal) => writeln!(formatter, "{GREETING}refused {}", refusal.word()),
        }
    }
}

impl FromStr for Verdict {
    type Err = TextError;

    /// Reads the line without its line feed.
    fn from_str(line: &str) -> Result<Self, TextError> {
        let verdict = line.strip_prefix(GREETING).ok_or(TextError::Greeting)?;
        match verdict {
            "refused uid" => return Ok(Self::Refused(Refusal::Uid)),
            "refused hello" => return Ok(Self::Refused(Refusal::Hello)),
            _ => {}
        }
        let numbers = verdict
            .strip_prefix("granted epoch=")
            .ok_or(TextError::Header)?;
        let (epoch, descriptors) = numbers
            .split_once(" descriptors=")
            .ok_or(TextError::Header)?;
        let epoch = epoch.parse().map_err(|_| TextError::Header)?;
        let descriptors = descriptors.parse().map_err(|_| TextError::Header)?;
        if descriptors > DESCRIPTORS_MAX {
            return Err(TextError::TooMany(descriptors));
        }
        Ok(Self::Granted { epoch, descriptors })
    }
}

/// What one descriptor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    Memory,
    Punt { worker: u32 },
    Reply { worker: u32 },
    Socket { worker: u32, address: SocketAddr },
}

impl fmt::Display for Label {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => writeln!(formatter, "memory"),
            Self::Punt { worker } => writeln!(formatter, "punt {worker}"),
            Self::Reply { worker } => writeln!(formatter, "reply {worker}"),
            Self::Socket { worker, address } => writeln!(formatter, "socket {worker} {address}"),
        }
    }
}

impl Label {
    /// Reads one line without its line feed.
    fn parse(line: &str) -> Option<Self> {
        if line == "memory" {
            return Some(Self::Memory);
        }
        let (word, rest) = line.split_once(' ')?;
        match word {
            "punt" => Some(Self::Punt {
                worker: worker(rest)?,
            }),
            "reply" => Some(Self::Reply {
                worker: worker(rest)?,
            }),
            "socket" => {
                let (number, address) = rest.split_once(' ')?;
                Some(Self::Socket {
                    worker: worker(number)?,
                    address: address.parse().ok()?,
                })
            }
            _ => None,
        }
    }
}

fn worker(text: &str) -> Option<u32> {
    text.parse().ok().filter(|worker| *worker < WORKERS_MAX)
}

/// A whole answer of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Granted { epoch: u64, labels: Vec<Label> },
    Refused(Refusal),
}

impl Answer {
    /// Reads what has come so far; None while lines are missing.
    pub(super) fn parse(text: &[u8]) -> Result<Option<Self>, TextError> {
        if text.len() > (DESCRIPTORS_MAX + 1) * LINE_BYTES_MAX {
            return Err(TextError::TooMany(text.len()));
        }
        let Some(end) = text.iter().rposition(|byte| *byte == b'\n') else {
            return Ok(None);
        };
        let complete = text.get(..end).unwrap_or(&[]);
        let complete = core::str::from_utf8(complete).map_err(|_| TextError::Greeting)?;
        let mut lines = complete.split('\n');
        let (epoch, descriptors) = match lines.next().unwrap_or("").parse()? {
            Verdict::Refused(refusal) => return Ok(Some(Self::Refused(refusal))),
            Verdict::Granted { epoch, descriptors } => (epoch, descriptors),
        };
        let mut labels = Vec::new();
        for (index, line) in lines.enumerate() {
            if index == descriptors {
                return Err(TextError::TooMany(index + 1));
            }
            labels.push(Label::parse(line).ok_or(TextError::Line(index + 1))?);
        }
        let whole = labels.len() == descriptors;
        Ok(whole.then_some(Self::Granted { epoch, labels }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(epoch: u64, labels: &[Label]) -> String {
        let descriptors = labels.len();
        let mut text = Verdict::Granted { epoch, descriptors }.to_string();
        for label in labels {
            text.push_str(&label.to_string());
        }
        text
    }

    fn labels() -> Vec<Label> {
        let worker = WORKERS_MAX - 1;
        let address = |text: &str| text.parse().unwrap();
        vec![
            Label::Memory,
            Label::Punt { worker: 0 },
            Label::Reply { worker },
            Label::Socket {
                worker,
                address: address("192.0.2.1:53"),
            },
            Label::Socket {
                worker,
                address: address("[2001:db8::1]:65535"),
            },
            Label::Socket {
                worker,
                address: address("[fe80::1234:5678:9abc:def0%4294967295]:53"),
            },
        ]
    }

    #[test]
    fn answer_reads_as_it_was_written_and_only_when_whole() {
        let text = answer(u64::MAX, &labels());
        for length in 0..text.len() {
            assert_eq!(
                Answer::parse(&text.as_bytes()[..length]),
                Ok(None),
                "length={length}"
            );
        }
        let whole = Answer::Granted {
            epoch: u64::MAX,
            labels: labels(),
        };
        assert_eq!(Answer::parse(text.as_bytes()), Ok(Some(whole)));
        for refusal in [Refusal::Uid, Refusal::Hello] {
            let text = Verdict::Refused(refusal).to_string();
            assert_eq!(
                Answer::parse(text.as_bytes()),
                Ok(Some(Answer::Refused(refusal)))
            );
        }
    }

    #[test]
    fn longest_line_fits_its_bound() {
        for label in labels() {
            assert!(label.to_string().len() <= LINE_BYTES_MAX, "{label}");
        }
        let verdict = Verdict::Granted {
            epoch: u64::MAX,
            descriptors: DESCRIPTORS_MAX,
        };
        assert!(verdict.to_string().len() <= LINE_BYTES_MAX);
        for role in [Role::Control, Role::Observer] {
            assert!(hello(role).len() <= HELLO_BYTES_MAX);
            assert_eq!(parse_hello(hello(role).as_bytes()), Ok(role));
        }
    }

    #[test]
    fn wrong_words_are_refused_by_their_line() {
        let parse = |text: &str| Answer::parse(text.as_bytes()).unwrap_err();
        assert_eq!(
            parse("nexus-handover 2 granted epoch=1 descriptors=0\n"),
            TextError::Greeting
        );
        assert_eq!(
            parse("nexus-handover 1 granted epoch=-1 descriptors=0\n"),
            TextError::Header
        );
        let many = format!(
            "nexus-handover 1 granted epoch=1 descriptors={}\n",
            usize::MAX
        );
        assert_eq!(parse(&many), TextError::TooMany(usize::MAX));
        let head = "nexus-handover 1 granted epoch=1 descriptors=2\n";
        for line in [
            "punt 64",
            "punt",
            "memory 0",
            "socket 0",
            "socket 0 1.2.3.4",
            "bell 0",
            "",
        ] {
            assert_eq!(
                parse(&format!("{head}memory\n{line}\n")),
                TextError::Line(2),
                "{line}"
            );
        }
        assert_eq!(
            parse(&format!("{head}memory\nmemory\nmemory\n")),
            TextError::TooMany(3)
        );
        assert_eq!(
            parse_hello(b"nexus-handover 1 control"),
            Err(TextError::Header)
        );
        assert_eq!(
            parse_hello(b"nexus-handover 1 root\n"),
            Err(TextError::Header)
        );
        assert_eq!(parse_hello(b"\xff"), Err(TextError::Greeting));
    }

    #[test]
    fn any_text_is_read_or_refused() {
        bolero::check!()
            .with_iterations(20_000)
            .for_each(|text: &[u8]| {
                let _ = parse_hello(text);
                let mut greeted = answer(1, &labels()).into_bytes();
                // Anything somewhere in the middle of something good.
                let at = text
                    .first()
                    .map_or(0, |byte| usize::from(*byte) % greeted.len());
                greeted.splice(
                    at..(at + text.len()).min(greeted.len()),
                    text.iter().copied(),
                );
                for text in [text, &greeted] {
                    if let Ok(Some(Answer::Granted { labels, .. })) = Answer::parse(text) {
                        assert!(labels.len() <= DESCRIPTORS_MAX);
                    }
                }
            });
    }
}
