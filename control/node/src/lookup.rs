//! `nexus lookup`: one question on the way that a client's takes, with the answer in words.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use hickory_proto::op::{Message, Query as Question};
use hickory_proto::rr::{Record, RecordType};
use resolver::iterate::{TraceEvent, TraceKind, Transport};
use resolver::zone::{type_from_text, type_to_text};
use tokio::sync::mpsc;
use wire::flag;

use crate::admin::{Failure, FailureCode, Lookup, LookupSource, RecordText, TraceStep};
use crate::clock;
use crate::control::{internal, parse_name};
use crate::engine::EngineHandle;
use crate::finish::Finisher;
use crate::question::{Finished, Origin};
use crate::responder::{Responders, Verdict, Via};
use crate::routes::Forwarded;
use crate::table_page::rcode_text;

const TYPE_IXFR: u16 = 251;
const TYPE_AXFR: u16 = 252;
/// EXTENDED-ERROR (RFC 8914 §2).
const OPTION_EXTENDED_ERROR: u16 = 15;
/// Longer than the resolver itself takes.
const GRACE: Duration = Duration::from_secs(2);

/// Asks questions for the command line.
#[derive(Clone, Debug)]
pub(crate) struct Lookups {
    /// With a policy that lets the command line ask anything.
    pub(crate) responders: Responders,
    pub(crate) engine: EngineHandle,
    pub(crate) question_ms: u32,
    /// Which names go to other resolvers.
    pub(crate) forwarded: Forwarded,
}

impl Lookups {
    /// Resolves one question.
    pub(crate) async fn look_up(
        &self,
        name: &str,
        record_type: &str,
        trace: bool,
    ) -> Result<Lookup, Failure> {
        let started_us = clock::now_us();
        let (message, source, steps) = self.answer(name, record_type, false).await?;
        let steps = if trace { steps.as_slice() } else { &[] };
        describe(&message, source, started_us, steps)
    }

    /// The answer to one question in wire form, for somebody whom only what DNSSEC proves tells anything: other nodes are not asked.
    pub(crate) async fn resolve(&self, name: &str, record_type: &str) -> Result<Vec<u8>, Failure> {
        let (message, ..) = self.answer(name, record_type, true).await?;
        Ok(message)
    }

    async fn answer(
        &self,
        name: &str,
        record_type: &str,
        is_own_word: bool,
    ) -> Result<(Vec<u8>, LookupSource, Vec<TraceEvent>), Failure> {
        let query = query(name, record_type)?;
        let mut buffer = vec![0; usize::from(u16::MAX)];
        buffer[..query.len()].copy_from_slice(&query);
        let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let (bytes, source, steps) =
            match self
                .responders
                .responder()
                .respond(&mut buffer, query.len(), client, Via::Tcp)
            {
                Verdict::Answer { bytes, .. } => (bytes, LookupSource::Zone, Vec::new()),
                Verdict::Resolve(resolve) => {
                    let (channel, finished) = mpsc::channel(1);
                    let mut asked = resolve.into_asked(&query, Origin::Channel(channel), None);
                    (asked.client, asked.trace) = (None, true);
                    asked.is_own_word = is_own_word;
                    let finished = self.ask(asked, finished).await?;
                    if finished.resolved.message.is_empty() {
                        let message = "the policy has such questions dropped";
                        return Err(Failure::new(FailureCode::Timeout, message));
                    }
                    let written = Finisher::default().write(&finished, &mut buffer, Via::Tcp);
                    let source = self.source(&finished);
                    (written.bytes, source, finished.resolved.trace)
                }
                Verdict::Silent | Verdict::Transfer(_) | Verdict::Update(_) => {
                    let message = format!("{record_type} cannot be looked up");
                    return Err(Failure::new(FailureCode::BadRequest, message));
                }
            };
        buffer.truncate(bytes);
        Ok((buffer, source, steps))
    }

    async fn ask(
        &self,
        asked: Box<crate::question::Asked>,
        mut finished: mpsc::Receiver<Box<Finished>>,
    ) -> Result<Box<Finished>, Failure> {
        self.engine.ask(asked).map_err(|_| {
            Failure::new(FailureCode::Unavailable, "too many questions wait already")
        })?;
        let wait = Duration::from_millis(u64::from(self.question_ms)) + GRACE;
        match tokio::time::timeout(wait, finished.recv()).await {
            Ok(Some(finished)) => Ok(finished),
            Ok(None) => Err(Failure::new(
                FailureCode::Unavailable,
                "the resolver is stopping",
            )),
            Err(_) => Err(Failure::new(FailureCode::Timeout, "no answer in time")),
        }
    }

    fn source(&self, finished: &Finished) -> LookupSource {
        let is_policy = |event: &TraceEvent| matches!(event.kind, TraceKind::Policy { .. });
        // Where something was resolved as well, that says more.
        if finished.resolved.trace.iter().all(is_policy) && !finished.resolved.trace.is_empty() {
            return LookupSource::Policy;
        }
        let qname = finished.asked.query.qname().to_ascii_lowercase();
        match (finished.resolved.from_cache, self.forwarded.holds(&qname)) {
            (true, _) => LookupSource::Cache,
            (false, true) => LookupSource::Forward,
            (false, false) => LookupSource::Recurse,
        }
    }
}

fn query(name: &str, record_type: &str) -> Result<Vec<u8>, Failure> {
    let name = parse_name(name)?;
    let transfer = |rtype: &u16| matches!(*rtype, TYPE_IXFR | TYPE_AXFR);
    let rtype = type_from_text(record_type)
        .filter(|rtype| !transfer(rtype))
        .ok_or_else(|| {
            Failure::new(
                FailureCode::BadRequest,
                format!("`{record_type}` is no record type; expected one such as AAAA or TYPE65"),
            )
        })?;
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    // RFC 6840 §5.7: else no answer says that it is secure.
    message.metadata.authentic_data = true;
    message.add_query(Question::query(name, RecordType::from(rtype)));
    message.set_edns(hickory_proto::op::Edns::new());
    message.to_vec().map_err(|error| internal(&error))
}

fn describe(
    message: &[u8],
    source: LookupSource,
    started_us: u64,
    trace: &[TraceEvent],
) -> Result<Lookup, Failure> {
    let answer = Message::from_vec(message).map_err(|error| internal(&error))?;
    let flags = message
        .get(2..4)
        .map_or(0, |bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
    let names = [
        (flag::QR, "qr"),
        (flag::AA, "aa"),
        (flag::TC, "tc"),
        (flag::RD, "rd"),
        (flag::RA, "ra"),
        (flag::AD, "ad"),
        (flag::CD, "cd"),
    ];
    let extended_errors = extended_errors(&answer);
    let records = |records: &[Record]| records.iter().map(record_text).collect();
    Ok(Lookup {
        rcode: rcode_text(u16::from(answer.metadata.response_code)),
        flags: names
            .iter()
            .filter(|(bit, _)| flags & bit != 0)
            .map(|(_, name)| (*name).to_owned())
            .collect(),
        extended_error: extended_errors.first().copied(),
        extended_errors,
        source,
        elapsed_us: clock::now_us().saturating_sub(started_us),
        answer: records(&answer.answers),
        authority: records(&answer.authorities),
        additional: records(&answer.additionals),
        trace: trace.iter().map(|event| step(event, started_us)).collect(),
    })
}

fn extended_errors(answer: &Message) -> Vec<u16> {
    use hickory_proto::rr::rdata::opt::EdnsOption;
    let options = answer.edns.iter().flat_map(|edns| &edns.options().options);
    let code = |(_, option): &(_, EdnsOption)| match option {
        EdnsOption::Unknown(OPTION_EXTENDED_ERROR, data) => {
            data.first_chunk().map(|code| u16::from_be_bytes(*code))
        }
        _ => None,
    };
    options.filter_map(code).collect()
}

pub(crate) fn record_text(record: &Record) -> RecordText {
    RecordText {
        name: record.name.to_ascii(),
        ttl_secs: record.ttl,
        class: record.dns_class.to_string(),
        record_type: type_to_text(record.record_type().into()),
        data: record.data.to_string(),
    }
}

fn step(event: &TraceEvent, started_us: u64) -> TraceStep {
    let indent = "  ".repeat(usize::from(event.depth));
    let text = match &event.kind {
        TraceKind::CacheHit { name, rtype } => format!("cache {name} {rtype}"),
        TraceKind::Proven { name, rtype } => format!("proven {name} {rtype}"),
        TraceKind::Zone {
            zone,
            addresses,
            unresolved,
            forward,
        } => {
            let kind = if *forward { "forwarders of" } else { "zone" };
            format!("{kind} {zone}: {addresses} addresses, {unresolved} names without one")
        }
        TraceKind::Send {
            server,
            transport,
            qname,
            qtype,
        } => {
            let by = match transport {
                Transport::Udp => "udp",
                Transport::Tcp => "tcp",
            };
            format!("query {server} {by} {qname} {qtype}")
        }
        TraceKind::Reply {
            server,
            rcode,
            meaning,
            rtt_ms,
        } => {
            format!(
                "reply {server} {} {meaning} after {rtt_ms} ms",
                rcode_text(u16::from(*rcode))
            )
        }
        TraceKind::LocalRoot {
            qname,
            qtype,
            rcode,
            meaning,
        } => {
            let rcode = rcode_text(u16::from(*rcode));
            format!("local root {qname} {qtype}: {rcode} {meaning}")
        }
        TraceKind::Failed { server, reason } => format!("failed {server}: {reason}"),
        TraceKind::Again { server, reason } => format!("again {server}: {reason}"),
        TraceKind::Alias { from, to } => format!("alias {from} to {to}"),
        TraceKind::Subquery { name, rtype } => format!("first {name} {rtype}"),
        TraceKind::Bogus { reason } => format!("bogus {reason}"),
        TraceKind::Policy { kind, list } => {
            let list = list.as_deref().map(|list| format!(" {list}"));
            format!("policy {kind}{}", list.unwrap_or_default())
        }
        TraceKind::Finished { rcode, reason } => {
            let reason = reason
                .as_deref()
                .map(|reason| format!(": {reason}"))
                .unwrap_or_default();
            format!("finished {}{reason}", rcode_text(u16::from(*rcode)))
        }
    };
    TraceStep {
        at_us: (event.at_ms * 1_000).saturating_sub(started_us),
        text: indent + &text,
    }
}
