//! The resolver's caches for people: one page at a time.

use resolver::iterate::{CacheLine, CacheOrigin, Security, Trust};
use resolver::zone::type_to_text;

use crate::admin::{RecordText, ResolverEntry, ResolverPage};
use crate::lookup::record_text;
use crate::table_page::rcode_text;

/// A page as the protocol carries it.
pub(crate) fn describe(lines: &[CacheLine], next: Option<usize>) -> ResolverPage {
    ResolverPage {
        entries: lines.iter().map(entry).collect(),
        next_cursor: next.map(|next| next as u64),
    }
}

fn entry(line: &CacheLine) -> ResolverEntry {
    let records: Vec<RecordText> = line.records.iter().map(record_text).collect();
    ResolverEntry {
        name: line.name.to_ascii(),
        record_type: type_to_text(line.rtype.into()),
        origin: origin(line.origin).to_owned(),
        rcode: rcode_text(line.rcode.into()),
        negative: line.negative,
        trust: trust(line).to_owned(),
        security: security(line).to_owned(),
        ttl_secs: line.ttl_secs,
        reason: line.reason.clone(),
        records,
    }
}

fn origin(origin: CacheOrigin) -> &'static str {
    match origin {
        CacheOrigin::Answer => "answer",
        CacheOrigin::Helper => "helper",
        CacheOrigin::Delegation => "delegation",
        CacheOrigin::Failure => "failure",
        CacheOrigin::Proven => "proven",
    }
}

fn trust(line: &CacheLine) -> &'static str {
    if line.origin == CacheOrigin::Failure {
        return "";
    }
    match line.trust {
        Trust::Additional => "additional",
        Trust::Referral => "referral",
        Trust::Answer => "answer",
        Trust::AuthoritativeAuthority => "auth-authority",
        Trust::AuthoritativeAnswer => "auth-answer",
    }
}

fn security(line: &CacheLine) -> &'static str {
    match line.security {
        _ if line.origin == CacheOrigin::Failure => "",
        Security::Unchecked => "unchecked",
        Security::Insecure => "insecure",
        Security::Secure => "secure",
    }
}
