//! A whole scenario: settings, what servers say and when, and the steps.

use std::net::IpAddr;

use hickory_proto::rr::Name;
use resolver::zone::Zone;

use crate::config::Settings;
use crate::entry::{Entry, Match, Packet};
use crate::lines::{Fault, Line, Place, Text};
use crate::record::{Head, read_name, wire_name};

/// Longest time that may pass in one step, in seconds: a year.
const ELAPSE_SECS_MAX: f64 = 31_536_000.0;

/// What some servers say from one step to another.
pub(crate) struct Range {
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// Empty: all servers.
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) zones: Vec<Zone>,
}

/// How many are right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Count {
    pub(crate) min: usize,
    pub(crate) max: usize,
}

/// What happens in one step.
pub(crate) enum Event {
    /// What servers say without being waited for.
    Nothing,
    Query(Entry),
    CheckAnswer(Entry),
    CheckOutQuery(Entry, Option<IpAddr>),
    Reply(Entry, Option<IpAddr>),
    /// The last query that waits (of those to this server) fails.
    Timeout(Option<IpAddr>),
    Error(Option<IpAddr>),
    TimePasses {
        ms: u64,
    },
    /// So many queries have left since the start that are such.
    CheckSent {
        count: Count,
        to: Option<IpAddr>,
        entry: Option<Entry>,
    },
    /// The cache forgets a name, or all below it too.
    Flush {
        name: Name,
        subtree: bool,
    },
}

pub(crate) struct Step {
    pub(crate) place: Place,
    pub(crate) number: u64,
    pub(crate) event: Event,
}

pub(crate) struct Scenario {
    pub(crate) settings: Settings,
    pub(crate) ranges: Vec<Range>,
    pub(crate) steps: Vec<Step>,
}

impl Scenario {
    pub(crate) fn parse(mut text: Text) -> Result<Self, Fault> {
        let settings = Settings::parse(&mut text)?;
        let mut scenario = Self {
            settings,
            ranges: Vec::new(),
            steps: Vec::new(),
        };
        let mut head = Head::new();
        let begin = text.expect("SCENARIO_BEGIN")?;
        if begin.words().first() != Some(&"SCENARIO_BEGIN") {
            return Err(begin.fault("SCENARIO_BEGIN was expected"));
        }
        loop {
            let line = text.expect("SCENARIO_END")?;
            if head.take(&line)? {
                continue;
            }
            match line.words().as_slice() {
                ["SCENARIO_END"] => return scenario.checked(&line),
                ["TITLE", ..] => {}
                ["RANGE_BEGIN", from, to] => {
                    let (from, to) = (number(&line, from)?, number(&line, to)?);
                    let range = parse_range(&mut text, from, to, &mut head)?;
                    scenario.ranges.push(range);
                }
                ["STEP", at, words @ ..] => {
                    let step = Step {
                        place: line.place.clone(),
                        number: number(&line, at)?,
                        event: parse_event(&mut text, &line, words, &mut head)?,
                    };
                    if scenario
                        .steps
                        .last()
                        .is_some_and(|last| step.number <= last.number)
                    {
                        return Err(line.fault("the numbers of steps must increase"));
                    }
                    scenario.steps.push(step);
                }
                words => {
                    let found = words.join(" ");
                    return Err(line.fault(format!("`{found}` is neither RANGE_BEGIN nor STEP")));
                }
            }
        }
    }

    /// A scenario that checks nothing is a mistake.
    fn checked(mut self, end: &Line) -> Result<Self, Fault> {
        if self.settings.expects_extras {
            for step in &mut self.steps {
                if let Event::CheckAnswer(entry) = &mut step.event {
                    entry.packets.iter_mut().for_each(Packet::drop_extras);
                }
            }
        }
        let checks = self.steps.iter().any(|step| {
            matches!(
                step.event,
                Event::CheckAnswer(_) | Event::CheckOutQuery(..) | Event::CheckSent { .. }
            )
        });
        if checks {
            Ok(self)
        } else {
            Err(end.fault("the scenario has no step that checks anything"))
        }
    }
}

fn number(line: &Line, word: &str) -> Result<u64, Fault> {
    word.parse()
        .map_err(|_| line.fault(format!("`{word}` is no number")))
}

fn address(line: &Line, word: &str) -> Result<IpAddr, Fault> {
    word.parse()
        .map_err(|_| line.fault(format!("`{word}` is no IP address")))
}

fn parse_range(text: &mut Text, from: u64, to: u64, head: &mut Head) -> Result<Range, Fault> {
    let mut range = Range {
        from,
        to,
        addresses: Vec::new(),
        entries: Vec::new(),
        zones: Vec::new(),
    };
    loop {
        let line = text.expect("RANGE_END")?;
        if head.take(&line)? {
            continue;
        }
        match line.words().as_slice() {
            ["RANGE_END"] => return Ok(range),
            ["ADDRESS", words @ ..] => {
                for word in words {
                    range.addresses.push(address(&line, word)?);
                }
            }
            ["ENTRY_BEGIN"] => {
                let entry = Entry::parse(text, &line, head)?;
                check_matches(&entry, OF_QUERIES)?;
                range.entries.push(entry);
            }
            ["ZONE_BEGIN", origin] => {
                let mut body = String::new();
                loop {
                    let next = text.next_raw();
                    let next = next.ok_or_else(|| line.fault("ZONE_END is missing"))?;
                    if next.words() == ["ZONE_END"] {
                        break;
                    }
                    body.push_str(next.raw.trim_start());
                    body.push('\n');
                }
                let body = format!("$TTL {}\n{body}", head.ttl_secs);
                range.zones.push(read_zone(&line, origin, &body, 1)?);
            }
            ["ZONE_FILE", origin, path] => {
                let body = (text.load)(path).map_err(|error| line.fault(error))?;
                range.zones.push(read_zone(&line, origin, &body, 0)?);
            }
            words => {
                let found = words.join(" ");
                let text = format!("`{found}` does not belong between RANGE_BEGIN and RANGE_END");
                return Err(line.fault(text));
            }
        }
    }
}

/// Builds a zone; `lines_before` are those of `body` that are not the author's.
fn read_zone(line: &Line, origin: &str, body: &str, lines_before: u32) -> Result<Zone, Fault> {
    let name = read_name(&line.place, origin)?;
    let mut loader = |_: &str, path: &str| Err(format!("{path} is not read from here"));
    let zone = Zone::read(&wire_name(&name), body.as_bytes(), origin, &mut loader);
    zone.map(|(zone, _)| zone).map_err(|error| {
        let at = error.place.line.saturating_sub(lines_before);
        let problem = error.problem;
        line.fault(format!("zone {origin}, its line {at}: {problem}"))
    })
}

/// What can be asked of a query that left.
const OF_QUERIES: fn(Match) -> bool = |wanted| {
    matches!(
        wanted,
        Match::Opcode
            | Match::Qtype
            | Match::Qname
            | Match::Subdomain
            | Match::Question
            | Match::Flags
            | Match::DnssecOk
            | Match::NoEdns
            | Match::Case
            | Match::Udp
            | Match::Tcp
            | Match::CookieBytes(_)
            | Match::ServerCookie
    )
};

/// What can be asked of an answer.
const OF_ANSWERS: fn(Match) -> bool = |wanted| {
    !matches!(
        wanted,
        Match::Subdomain
            | Match::NoEdns
            | Match::Case
            | Match::Udp
            | Match::Tcp
            | Match::CookieBytes(_)
            | Match::ServerCookie
    )
};

fn check_matches(entry: &Entry, may: fn(Match) -> bool) -> Result<(), Fault> {
    match entry.matches.iter().find(|wanted| !may(**wanted)) {
        Some(wanted) => Err(entry
            .place
            .fault(format!("MATCH {wanted:?} means nothing for such an entry"))),
        None if entry.matches.is_empty() => Err(entry
            .place
            .fault("the entry has no MATCH, so it would fit anything")),
        None => Ok(()),
    }
}

fn parse_event(
    text: &mut Text,
    line: &Line,
    words: &[&str],
    head: &mut Head,
) -> Result<Event, Fault> {
    let (words, to) = match words {
        [words @ .., "ADDRESS", to] => (words, Some(address(line, to)?)),
        _ => (words, None),
    };
    Ok(match words {
        ["NOTHING" | "TRAFFIC"] => Event::Nothing,
        ["TIMEOUT"] => Event::Timeout(to),
        ["ERROR"] => Event::Error(to),
        ["QUERY"] => {
            let entry = expect_entry(text, head)?;
            if entry.packet().questions.len() != 1 {
                return Err(entry.place.fault("a query has exactly one question"));
            }
            Event::Query(entry)
        }
        ["CHECK_ANSWER"] => {
            let entry = expect_entry(text, head)?;
            check_matches(&entry, OF_ANSWERS)?;
            Event::CheckAnswer(entry)
        }
        ["CHECK_OUT_QUERY"] => {
            let entry = expect_entry(text, head)?;
            check_matches(&entry, OF_QUERIES)?;
            Event::CheckOutQuery(entry, to)
        }
        ["REPLY"] => {
            let entry = expect_entry(text, head)?;
            check_matches(&entry, OF_QUERIES)?;
            Event::Reply(entry, to)
        }
        ["TIME_PASSES", "ELAPSE", secs] | ["TIME_PASSES", secs] => Event::TimePasses {
            ms: milliseconds(line, secs)?,
        },
        ["CHECK_SENT", count] => Event::CheckSent {
            count: read_count(line, count)?,
            to,
            entry: optional_entry(text, head)?,
        },
        ["FLUSH", name] => Event::Flush {
            name: read_name(&line.place, name)?,
            subtree: false,
        },
        ["FLUSH_SUBTREE", name] => Event::Flush {
            name: read_name(&line.place, name)?,
            subtree: true,
        },
        _ => return Err(line.fault(format!("there is no step `{}`", words.join(" ")))),
    })
}

fn expect_entry(text: &mut Text, head: &mut Head) -> Result<Entry, Fault> {
    let begin = text.expect("ENTRY_BEGIN")?;
    if begin.words() == ["ENTRY_BEGIN"] {
        Entry::parse(text, &begin, head)
    } else {
        Err(begin.fault("ENTRY_BEGIN was expected"))
    }
}

fn optional_entry(text: &mut Text, head: &mut Head) -> Result<Option<Entry>, Fault> {
    let Some(begin) = text.next() else {
        return Ok(None);
    };
    if begin.words() != ["ENTRY_BEGIN"] {
        text.go_back();
        return Ok(None);
    }
    let entry = Entry::parse(text, &begin, head)?;
    check_matches(&entry, OF_QUERIES)?;
    Ok(Some(entry))
}

/// Seconds with or without a fraction.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the range is checked"
)]
fn milliseconds(line: &Line, word: &str) -> Result<u64, Fault> {
    let secs = word.parse::<f64>().ok();
    let secs = secs.filter(|secs| (0.0..=ELAPSE_SECS_MAX).contains(secs));
    secs.map(|secs| (secs * 1000.0).round() as u64)
        .ok_or_else(|| line.fault("ELAPSE takes seconds, a year at most"))
}

/// `3`, `>=3` or `<=3`.
fn read_count(line: &Line, word: &str) -> Result<Count, Fault> {
    let (digits, is_min, is_max) = match (word.strip_prefix(">="), word.strip_prefix("<=")) {
        (Some(digits), _) => (digits, true, false),
        (_, Some(digits)) => (digits, false, true),
        _ => (word, true, true),
    };
    let count: usize = digits
        .parse()
        .map_err(|_| line.fault("a count is `3`, `>=3` or `<=3`"))?;
    Ok(Count {
        min: if is_min { count } else { 0 },
        max: if is_max { count } else { usize::MAX },
    })
}
