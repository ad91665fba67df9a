//! Where each thing that is wanted comes from: what is kept, the network, or this node's resolver.

use std::sync::Arc;
use std::time::Duration;

use ct::Hash;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData};
use pki::crl::{Crl, CrlError};
use pki::ocsp::{OcspError, OcspResponse, encode_request};
use pki::tlsa::{TLSA_RECORDS_MAX, Tlsa, TlsaRecord, owner};
use pki::{Evidence, FetchedOcsp, Inclusion, STAPLED_BYTES_MAX, Wanted};
use rustix::rand::{GetRandomFlags, getrandom};

use super::fetcher::{FetchError, Fetcher};
use super::inclusion::{ProofError, prove};
use super::{Inner, Setting};
use crate::admin::{Failure, FailureCode};
use crate::clock;

/// Octets of a revocation list at most. The largest of public authorities have some ten million.
const LIST_BYTES_MAX: usize = 15 << 20;
/// Octets of an issuer's certificate at most.
const ISSUER_BYTES_MAX: usize = 32 << 10;
/// Octets of a nonce that is sent (RFC 9654 §2.1 advises 32).
const NONCE_BYTES: usize = 32;

/// Something that was wanted.
pub(super) enum Found {
    Issuer(String, Vec<u8>),
    Ocsp(Vec<u8>, FetchedOcsp),
    Crl(String, Arc<Crl>),
    Tlsa(Tlsa),
    Inclusion((Hash, Hash), Inclusion),
}

/// Why it is not to be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum Missing {
    #[error("fetching is off")]
    Off,
    #[error("nobody to ask")]
    Nobody,
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Issuer(#[from] ct::CertificateError),
    #[error(transparent)]
    Proof(#[from] ProofError),
    #[error(transparent)]
    Ocsp(#[from] OcspError),
    #[error(transparent)]
    Crl(#[from] CrlError),
    #[error("no randomness: {0}")]
    Random(#[from] rustix::io::Errno),
    #[error(transparent)]
    Lookup(#[from] Failure),
    #[error("no answer: {0}")]
    Answer(String),
}

impl Found {
    pub(super) fn put(self, evidence: &mut Evidence) {
        match self {
            Self::Issuer(url, der) => _ = evidence.issuers.insert(url, der),
            Self::Ocsp(cert_id, fetched) => _ = evidence.ocsp.insert(cert_id, fetched),
            Self::Crl(url, list) => _ = evidence.crls.insert(url, list),
            Self::Tlsa(tlsa) => evidence.tlsa = Some(tlsa),
            Self::Inclusion(key, inclusion) => _ = evidence.inclusion.insert(key, inclusion),
        }
    }
}

/// Finds one thing.
pub(super) async fn find(
    judge: &Inner,
    setting: &Setting,
    wanted: &Wanted,
) -> Result<Found, Missing> {
    match wanted {
        Wanted::Issuer { url } => {
            let der = issuer(judge, setting, url).await?;
            Ok(Found::Issuer(url.clone(), der))
        }
        Wanted::Ocsp { url, cert_id } => {
            let fetched = response(judge, setting, url, cert_id).await?;
            Ok(Found::Ocsp(cert_id.clone(), fetched))
        }
        Wanted::Crl { url } => {
            let list = list(judge, setting, url).await?;
            Ok(Found::Crl(url.clone(), list))
        }
        Wanted::Tlsa { host, port } => {
            // This node's own resolver, whose word on DNSSEC counts (RFC 6698 §4.1).
            let lookups = &judge.names.as_ref().ok_or(Missing::Nobody)?.lookups;
            let resolve = |name: String, record_type| async move {
                let message = lookups.resolve(&name, record_type).await?;
                read(&message)
            };
            // All of them together take no longer than any of them may.
            let patience = Duration::from_millis(lookups.question_ms.into());
            let found = tlsa(host, *port, clock::unix_secs(), resolve);
            Ok(Found::Tlsa(in_time(patience, found).await?))
        }
        Wanted::Inclusion { log, leaf, index } => {
            let inclusion = inclusion(setting, log, leaf, *index).await?;
            Ok(Found::Inclusion((*log, *leaf), inclusion))
        }
    }
}

impl Setting {
    fn fetcher(&self) -> Result<&Fetcher, Missing> {
        self.fetcher.as_ref().ok_or(Missing::Off)
    }
}

/// RFC 5280 §4.2.2.1: one certificate in DER.
async fn issuer(judge: &Inner, setting: &Setting, url: &String) -> Result<Vec<u8>, Missing> {
    if let Some(kept) = judge.stores.issuer(url) {
        return Ok(kept);
    }
    let der = setting.fetcher()?.get(url, ISSUER_BYTES_MAX).await?;
    ct::Certificate::parse(&der)?;
    Ok(der)
}

/// RFC 6960 appendix A.1. A refusal is as good as no answer.
async fn response(
    judge: &Inner,
    setting: &Setting,
    url: &str,
    cert_id: &Vec<u8>,
) -> Result<FetchedOcsp, Missing> {
    if let Some(kept) = judge.stores.response(cert_id) {
        return Ok(kept);
    }
    let fetcher = setting.fetcher()?;
    let mut nonce = vec![0; NONCE_BYTES];
    getrandom(&mut nonce[..], GetRandomFlags::empty())?;
    let request = encode_request(cert_id, Some(&nonce));
    let kind = "application/ocsp-request";
    let response = fetcher.post(url, kind, request, STAPLED_BYTES_MAX).await?;
    OcspResponse::parse(&response)?;
    let nonce = Some(nonce);
    Ok(FetchedOcsp { response, nonce })
}

async fn list(judge: &Inner, setting: &Setting, url: &String) -> Result<Arc<Crl>, Missing> {
    if let Some(kept) = judge.stores.list(url) {
        return Ok(kept);
    }
    let der = setting.fetcher()?.get(url, LIST_BYTES_MAX).await?;
    let parsed = crate::control::apart(move || Crl::parse(der)).await?;
    Ok(Arc::new(parsed?))
}

async fn inclusion(
    setting: &Setting,
    log: &Hash,
    leaf: &Hash,
    index: Option<u64>,
) -> Result<Inclusion, Missing> {
    let fetcher = setting.log_fetcher.as_ref().ok_or(Missing::Off)?;
    let materials = setting.materials.as_ref().map_err(|_| Missing::Nobody)?;
    let logs = materials.logs.as_ref().ok_or(Missing::Nobody)?;
    let log = logs.get(log).ok_or(Missing::Nobody)?;
    Ok(prove(fetcher, log, leaf, index).await?)
}

/// What is found by then.
async fn in_time<T>(
    patience: Duration,
    found: impl Future<Output = Result<T, Missing>>,
) -> Result<T, Missing> {
    match tokio::time::timeout(patience, found).await {
        Ok(found) => found,
        Err(_) => Err(Failure::new(FailureCode::Timeout, "no answers in time").into()),
    }
}

/// RFC 7671 §7: where secure aliases of the host lead, and only if there are no records, at the host itself.
async fn tlsa<R: Future<Output = Result<Message, Missing>>>(
    host: &str,
    port: u16,
    now: u64,
    resolve: impl Fn(String, &'static str) -> R,
) -> Result<Tlsa, Missing> {
    // The aliases of a host are those of its addresses, of whichever kind.
    let addresses = resolve(host.to_owned(), "A").await?;
    if let Some((target, ttl_secs)) = secure_alias(&addresses) {
        let records = resolve(owner(&target, port), "TLSA").await?;
        let records = read_tlsa(&records, now);
        if records.is_secure && !records.records.is_empty() {
            return Ok(Tlsa {
                until: records.until.min(end(now, ttl_secs)),
                base_domain: Some(target),
                ..records
            });
        }
    }
    let records = resolve(owner(host, port), "TLSA").await?;
    Ok(read_tlsa(&records, now))
}

/// An answer, unless it cannot be had or is bogus, which does not say that there are no records.
fn read(message: &[u8]) -> Result<Message, Missing> {
    let message = Message::from_vec(message).map_err(|error| Missing::Answer(error.to_string()))?;
    match message.metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => Ok(message),
        other => Err(Missing::Answer(other.to_string())),
    }
}

/// Where the aliases of the name that was asked for end, without final dot, and for how many seconds. Each of them is secure if
/// the answer is.
fn secure_alias(message: &Message) -> Option<(String, u32)> {
    let asked = message.queries.first()?.name();
    let alias = |name: &Name| {
        let mut answers = message.answers.iter();
        answers.find_map(|record| match &record.data {
            RData::CNAME(target) if record.name == *name => Some((&target.0, record.ttl)),
            _ => None,
        })
    };
    let (mut name, mut ttl_secs) = (asked, u32::MAX);
    for _ in 0..message.answers.len() {
        let Some((target, ttl)) = alias(name) else {
            break;
        };
        (name, ttl_secs) = (target, ttl_secs.min(ttl));
    }
    if !message.metadata.authentic_data || name == asked {
        return None;
    }
    let text = name.to_ascii();
    let text = text.strip_suffix('.').unwrap_or(&text);
    Some((text.to_owned(), ttl_secs))
}

fn end(now: u64, ttl_secs: u32) -> i64 {
    let end = i64::try_from(now.saturating_add(u64::from(ttl_secs)));
    end.unwrap_or(i64::MAX)
}

fn read_tlsa(message: &Message, now: u64) -> Tlsa {
    let mut ttl_secs = u32::MAX;
    let mut records = Vec::new();
    for record in message.answers.iter().take(TLSA_RECORDS_MAX) {
        if let RData::TLSA(tlsa) = &record.data {
            ttl_secs = ttl_secs.min(record.ttl);
            records.push(TlsaRecord {
                usage: tlsa.cert_usage.into(),
                selector: tlsa.selector.into(),
                matching: tlsa.matching.into(),
                data: tlsa.cert_data.clone(),
            });
        }
    }
    Tlsa {
        is_secure: message.metadata.authentic_data,
        until: end(now, ttl_secs),
        base_domain: None,
        records,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::ready;

    use hickory_proto::op::Query;
    use hickory_proto::rr::rdata::tlsa::{CertUsage, Matching, Selector};
    use hickory_proto::rr::rdata::{CNAME, TLSA};
    use hickory_proto::rr::{Record, RecordType};

    use super::*;

    const NOW: u64 = 1_000;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn record() -> TlsaRecord {
        TlsaRecord::parse(&[&[3, 1, 1][..], &[7; 32]].concat()).unwrap()
    }

    /// A resolver that knows these aliases, and records at these owners; each is secure unless it is in `insecure`.
    struct Names {
        aliases: &'static [(&'static str, &'static str)],
        records: &'static [&'static str],
        insecure: &'static [&'static str],
        /// Names of which no answer comes.
        dead: &'static [&'static str],
        asked: RefCell<Vec<String>>,
    }

    impl Names {
        fn answer(&self, asked: &str, record_type: &str) -> Result<Message, Missing> {
            self.asked
                .borrow_mut()
                .push(format!("{asked} {record_type}"));
            let mut message = Message::query();
            message.add_query(Query::query(name(&format!("{asked}.")), RecordType::A));
            // Not in the order of the chain, which is no rule.
            for (from, to) in self.aliases.iter().rev() {
                let data = RData::CNAME(CNAME(name(to)));
                message.add_answer(Record::from_rdata(name(from), 60, data));
            }
            if self.records.contains(&asked) {
                let data = TLSA::new(
                    CertUsage::DaneEe,
                    Selector::Spki,
                    Matching::Sha256,
                    vec![7; 32],
                );
                let owner = name(&format!("{asked}."));
                message.add_answer(Record::from_rdata(owner, 300, RData::TLSA(data)));
            }
            message.metadata.authentic_data = !self.insecure.contains(&asked);
            if self.dead.contains(&asked) {
                message.metadata.response_code = ResponseCode::ServFail;
            }
            read(&message.to_vec().unwrap())
        }

        async fn find(&self) -> Result<Tlsa, Missing> {
            self.asked.borrow_mut().clear();
            let resolve = |asked: String, record_type| ready(self.answer(&asked, record_type));
            tlsa("www.example.com", 443, NOW, resolve).await
        }
    }

    /// Records at the host and where its aliases lead, all secure.
    fn names() -> Names {
        Names {
            aliases: &[
                ("WWW.example.com.", "a.example.net."),
                ("a.example.net.", "b.example.org."),
            ],
            records: &[TARGET, HOST],
            insecure: &[],
            dead: &[],
            asked: RefCell::default(),
        }
    }

    const HOST: &str = "_443._tcp.www.example.com";
    const TARGET: &str = "_443._tcp.b.example.org";
    const ALIASES: &str = "www.example.com A";
    const AT_TARGET: &str = "_443._tcp.b.example.org TLSA";
    const AT_HOST: &str = "_443._tcp.www.example.com TLSA";

    async fn expect(change: fn(&mut Names), expected: &Tlsa, asked: &[&str]) {
        let mut names = names();
        change(&mut names);
        assert_eq!(names.find().await.unwrap(), *expected);
        assert_eq!(*names.asked.borrow(), asked);
    }

    #[tokio::test]
    async fn records_are_looked_for_where_secure_aliases_lead_and_then_at_the_host() {
        let at_target = Tlsa {
            is_secure: true,
            until: 1_060,
            base_domain: Some("b.example.org".to_owned()),
            records: vec![record()],
        };
        let at_host = Tlsa {
            until: 1_300,
            base_domain: None,
            ..at_target.clone()
        };
        expect(|_| {}, &at_target, &[ALIASES, AT_TARGET]).await;
        // No records there, or none that count.
        let both = &[ALIASES, AT_TARGET, AT_HOST];
        expect(|names| names.records = &[HOST], &at_host, both).await;
        expect(|names| names.insecure = &[TARGET], &at_host, both).await;
        // One alias that is not secure, and anybody may have led us there.
        let host = &[ALIASES, AT_HOST];
        let insecure: fn(&mut Names) = |names| names.insecure = &["www.example.com"];
        expect(insecure, &at_host, host).await;
        expect(|names| names.aliases = &[], &at_host, host).await;
        // No resolver gives a loop away; nor does one make this search endless.
        let in_a_loop: fn(&mut Names) = |names| {
            names.aliases = &[("www.example.com.", "b."), ("b.", "www.example.com.")];
        };
        expect(in_a_loop, &at_host, host).await;
        // RFC 6698 §4.1: whoever keeps an answer back must not choose which records count.
        for dead in [&["www.example.com"], &[TARGET]] {
            let names = Names { dead, ..names() };
            assert!(matches!(names.find().await, Err(Missing::Answer(_))));
            assert!(!names.asked.borrow().contains(&AT_HOST.to_owned()));
        }
    }

    #[tokio::test]
    async fn look_ups_have_one_time_together() {
        let names = names();
        for slow in [ALIASES, AT_TARGET] {
            let resolve = |asked: String, record_type: &'static str| {
                let answer = names.answer(&asked, record_type);
                let is_slow = slow == format!("{asked} {record_type}");
                async move {
                    match is_slow {
                        true => std::future::pending().await,
                        false => answer,
                    }
                }
            };
            let found = tlsa("www.example.com", 443, NOW, resolve);
            let found = in_time(Duration::from_millis(1), found).await;
            assert!(matches!(found, Err(Missing::Lookup(_))), "{slow}");
        }
    }

    #[test]
    fn records_are_those_of_the_answer_and_secure_if_it_says_so() {
        for insecure in [&[][..], &[HOST]] {
            let names = Names {
                aliases: &[],
                insecure,
                ..names()
            };
            let message = names.answer(HOST, "TLSA").unwrap();
            let tlsa = read_tlsa(&message, NOW);
            assert_eq!((tlsa.is_secure, tlsa.until), (insecure.is_empty(), 1_300));
            assert_eq!(tlsa.records, [record()]);
        }
        let mut none = Message::query();
        none.metadata.response_code = ResponseCode::NXDomain;
        let none = read(&none.to_vec().unwrap()).unwrap();
        assert!(read_tlsa(&none, NOW).records.is_empty());
        assert!(read(b"nothing").is_err());
    }
}
