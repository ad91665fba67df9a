//! Where each thing that is wanted comes from: what is kept, the network, or this node's resolver.

use std::sync::Arc;

use ct::Hash;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RData;
use pki::crl::{Crl, CrlError};
use pki::ocsp::{OcspError, OcspResponse, encode_request};
use pki::tlsa::{TLSA_RECORDS_MAX, Tlsa, TlsaRecord};
use pki::{Evidence, FetchedOcsp, Inclusion, STAPLED_BYTES_MAX, Wanted};
use rustix::rand::{GetRandomFlags, getrandom};

use super::fetcher::{FetchError, Fetcher};
use super::inclusion::{ProofError, prove};
use super::{Inner, Setting};
use crate::admin::Failure;
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
        Wanted::Tlsa { name } => tlsa(judge, name).await.map(Found::Tlsa),
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

/// By this node's own resolver, whose word on DNSSEC counts (RFC 6698 §4.1).
async fn tlsa(judge: &Inner, name: &str) -> Result<Tlsa, Missing> {
    let names = judge.names.as_ref().ok_or(Missing::Nobody)?;
    let message = names.lookups.resolve(name, "TLSA").await?;
    read_tlsa(&message, clock::unix_secs())
}

fn read_tlsa(message: &[u8], now: u64) -> Result<Tlsa, Missing> {
    let message = Message::from_vec(message).map_err(|error| Missing::Answer(error.to_string()))?;
    let rcode = message.metadata.response_code;
    // A domain whose answers cannot be had, or are bogus, is not one without records.
    if ![ResponseCode::NoError, ResponseCode::NXDomain].contains(&rcode) {
        return Err(Missing::Answer(rcode.to_string()));
    }
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
    let until = i64::try_from(now.saturating_add(u64::from(ttl_secs)));
    Ok(Tlsa {
        is_secure: message.metadata.authentic_data,
        until: until.unwrap_or(i64::MAX),
        records,
    })
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::rdata::TLSA;
    use hickory_proto::rr::rdata::tlsa::{CertUsage, Matching, Selector};
    use hickory_proto::rr::{Name, Record};

    use super::*;

    #[test]
    fn records_are_those_of_the_answer_and_secure_if_it_says_so() {
        let mut message = Message::query();
        let (usage, selector) = (CertUsage::DaneEe, Selector::Spki);
        let data = TLSA::new(usage, selector, Matching::Sha256, vec![7; 32]);
        let name = Name::from_ascii("_443._tcp.example.com.").unwrap();
        message.add_answer(Record::from_rdata(name, 300, RData::TLSA(data)));
        for is_secure in [false, true] {
            message.metadata.authentic_data = is_secure;
            let tlsa = read_tlsa(&message.to_vec().unwrap(), 1_000).unwrap();
            assert_eq!((tlsa.is_secure, tlsa.until), (is_secure, 1_300));
            let record = TlsaRecord::parse(&[&[3, 1, 1][..], &[7; 32]].concat());
            assert_eq!(tlsa.records, [record.unwrap()]);
        }
        message.metadata.response_code = ResponseCode::ServFail;
        assert!(read_tlsa(&message.to_vec().unwrap(), 1_000).is_err());
        message.metadata.response_code = ResponseCode::NXDomain;
        message.answers.clear();
        let none = read_tlsa(&message.to_vec().unwrap(), 1_000).unwrap();
        assert!(none.records.is_empty());
    }
}
