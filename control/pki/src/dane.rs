//! What the domain of the host says by TLSA records (RFC 6698, RFC 7671), before a path is looked for and after.

use std::net::IpAddr;

use ct::Certificate;

use crate::path::{Ends, Path};
use crate::reason::{Code, NotPassed};
use crate::request::{Context, Request, Wanted};

const PKIX_TA: u8 = 0;
const PKIX_EE: u8 = 1;
const DANE_TA: u8 = 2;
const DANE_EE: u8 = 3;

/// What the records mean for the other steps.
pub(crate) enum Plan<'a> {
    /// Nothing: the step is skipped.
    None(NotPassed),
    /// The certificate is the domain's own: nothing else counts (RFC 7671 §5.1).
    EndEntity,
    /// Paths end at certificates of the chain that the domain trusts (RFC 7671 §5.2).
    Asserted(Vec<&'a [u8]>),
    /// Public path validation stays, and a record must match what it finds (RFC 7671 §5.3, §5.4).
    Pkix,
}

/// Decides by the records and the chain alone.
pub(crate) fn plan<'a>(
    request: &Request,
    chain: &[Certificate<'a>],
    context: &Context<'a>,
    wanted: &mut Vec<Wanted>,
) -> Plan<'a> {
    let Some(tlsa) = &context.evidence.tlsa else {
        // An address has no domain that could say anything of it.
        let domain = request.host.as_ref();
        let domain = domain.filter(|host| host.parse::<IpAddr>().is_err());
        if let (Some(host), Some(port)) = (domain, request.port) {
            let host = host.clone();
            let records = Wanted::Tlsa { host, port };
            // RFC 6698 §4.1: an answer that is bogus or does not come is no word that there are no records. Else whoever
            // keeps it back would have the domain's own certificate replaced.
            if context.evidence.failed.contains(&records) {
                return Plan::None(NotPassed::unknown(Code::TlsaNotFetched, ""));
            }
            wanted.push(records);
        }
        return Plan::None(NotPassed::skipped(Code::NoTlsa));
    };
    if tlsa.records.is_empty() {
        return Plan::None(NotPassed::skipped(Code::NoTlsa));
    }
    if !tlsa.is_secure {
        return Plan::None(NotPassed::skipped(Code::InsecureTlsa));
    }
    let all = [PKIX_TA, PKIX_EE, DANE_TA, DANE_EE];
    if tlsa.usable(&all).next().is_none() {
        return Plan::None(NotPassed::skipped(Code::UnusableTlsa));
    }
    let Some((leaf, above)) = chain.split_first() else {
        return Plan::Pkix;
    };
    if tlsa.usable(&[DANE_EE]).any(|record| record.matches(leaf)) {
        return Plan::EndEntity;
    }
    let asserted = above.iter().filter(|authority| {
        let mut records = tlsa.usable(&[DANE_TA]);
        records.any(|record| record.matches(authority))
    });
    let mut asserted: Vec<&'a [u8]> = asserted.map(Certificate::der).collect();
    // RFC 7671 §5.2.2: a whole certificate in a record need not be in the chain.
    let whole = tlsa.usable(&[DANE_TA]);
    let whole = whole.filter(|record| (record.selector, record.matching) == (0, 0));
    asserted.extend(whole.map(|record| record.data.as_slice()));
    if asserted.is_empty() {
        return Plan::Pkix;
    }
    Plan::Asserted(asserted)
}

/// Until when the records that the step passed by may be used, in seconds since 1970.
pub(crate) fn until(context: &Context<'_>) -> i64 {
    let tlsa = context.evidence.tlsa.as_ref();
    tlsa.map_or(i64::MAX, |tlsa| tlsa.until)
}

impl<'a> Plan<'a> {
    /// What the certificate may be for beside the host: RFC 7671 §7 has it matched with the base domain of the records first.
    pub(crate) fn base_domain<'c>(&self, context: &Context<'c>) -> Option<&'c str> {
        let tlsa = context.evidence.tlsa.as_ref();
        let tlsa = tlsa.filter(|_| matches!(self, Self::Asserted(_) | Self::Pkix));
        tlsa?.base_domain.as_deref()
    }

    pub(crate) fn ends(&self) -> Ends<'a> {
        match self {
            Self::Asserted(ders) => Ends::Asserted(ders.clone()),
            _ => Ends::Anchors,
        }
    }

    /// Whether a record matches, once the path is known.
    pub(crate) fn check(
        self,
        path: Option<&Path<'_>>,
        context: &Context<'_>,
    ) -> Result<(), NotPassed> {
        let mismatch = || NotPassed::failed(Code::TlsaMismatch, "");
        match (self, path) {
            (Self::None(skipped), _) => Err(skipped),
            (Self::EndEntity, _) | (Self::Asserted(_), Some(_)) => Ok(()),
            (Self::Asserted(_) | Self::Pkix, None) => Err(mismatch()),
            (Self::Pkix, Some(path)) => {
                let tlsa = context.evidence.tlsa.as_ref();
                let mut records = tlsa
                    .into_iter()
                    .flat_map(|tlsa| tlsa.usable(&[PKIX_TA, PKIX_EE]));
                let matches = records.any(|record| {
                    let mut certificates = path.certificates.iter();
                    match record.usage {
                        PKIX_EE => certificates.next().is_some_and(|leaf| record.matches(leaf)),
                        _ => certificates
                            .skip(1)
                            .any(|authority| record.matches(authority)),
                    }
                });
                if matches { Ok(()) } else { Err(mismatch()) }
            }
        }
    }
}
