//! Whether a certificate of the path has been taken back: by the stapled response, by one that was fetched, or by a list.

use core::fmt::Display;

use ct::{Certificate, DerError};
use webpki::ALL_VERIFICATION_ALGS;

use crate::crl::{CrlRefusal, CrlStatus};
use crate::ocsp::{OcspError, OcspResponse, OcspStatus, cert_id};
use crate::path::Path;
use crate::reason::{Code, NotPassed};
use crate::request::{Context, Request, Used, Wanted};

/// What is known of one certificate.
enum Known {
    /// Not revoked until then, in seconds since 1970.
    Good(i64),
    /// It names no source.
    NoSource,
    /// No source says anything now, and why.
    Nothing(String),
}

/// Checks each certificate below the anchor. Says until when the result holds, and which of what was fetched it is by.
///
/// # Errors
/// If one is revoked, or of one nothing can be found out; what would help is then wanted.
pub(crate) fn check(
    request: &Request,
    path: &Path<'_>,
    context: &Context<'_>,
    (wanted, used): (&mut Vec<Wanted>, &mut Used),
) -> Result<i64, NotPassed> {
    let mut until = i64::MAX;
    let mut has_source = false;
    let mut nothing = None;
    for (index, (certificate, issuer)) in path.links().enumerate() {
        let stapled = (index == 0).then_some(request.ocsp.as_deref()).flatten();
        let link = Link {
            index,
            certificate,
            issuer,
            context,
        };
        match link.check(stapled, wanted, used)? {
            Known::Good(good) => {
                has_source = true;
                until = until.min(good);
            }
            Known::NoSource => {}
            Known::Nothing(why) => {
                has_source = true;
                nothing.get_or_insert(format!("certificate {index}: {why}"));
            }
        }
    }
    match nothing {
        Some(why) => Err(NotPassed::unknown(Code::NoRevocationData, why)),
        None if !has_source => Err(NotPassed::skipped(Code::NoRevocationSource)),
        None => Ok(until),
    }
}

/// RFC 7633 §4: a certificate that demands a stapled response is not to be used without. Only a handshake shows what its
/// server staples, so that nothing can be said of a chain that came without any response.
///
/// # Errors
/// Unless the response is demanded, there, and says that the certificate is good. One that holds only from later on is of a clock
/// that is ahead of this one: nothing is known.
pub(crate) fn check_staple(
    request: &Request,
    path: &Path<'_>,
    context: &Context<'_>,
) -> Result<(), NotPassed> {
    let (certificate, issuer) = path
        .leaf_and_issuer()
        .ok_or(NotPassed::skipped(Code::NotReached))?;
    let is_demanded = certificate.must_staple();
    let is_demanded = is_demanded.map_err(|error| NotPassed::failed(Code::Malformed, error))?;
    if !is_demanded {
        return Err(NotPassed::skipped(Code::StapleNotDemanded));
    }
    let response = request.ocsp.as_deref();
    let response = response.ok_or(NotPassed::skipped(Code::StapleNotGiven))?;
    let link = Link {
        index: 0,
        certificate,
        issuer,
        context,
    };
    let bad = |why: &dyn Display| NotPassed::failed(Code::BadOcspResponse, why);
    match link.ask(response, None) {
        Ok(OcspStatus::Good { .. }) => Ok(()),
        Ok(status) => Err(bad(&link.judge(status)?)),
        Err(early @ OcspError::NotYet { .. }) => {
            Err(NotPassed::unknown(Code::NoRevocationData, early))
        }
        Err(error) => Err(bad(&error)),
    }
}

struct Link<'l, 'a> {
    /// Of the certificate in the path, from 0.
    index: usize,
    certificate: &'l Certificate<'a>,
    issuer: &'l Certificate<'a>,
    context: &'l Context<'l>,
}

impl Link<'_, '_> {
    fn check(
        &self,
        stapled: Option<&[u8]>,
        wanted: &mut Vec<Wanted>,
        used: &mut Used,
    ) -> Result<Known, NotPassed> {
        let mut why = None;
        let mut note = |reason: String| _ = why.get_or_insert(reason);
        // Before all else: whoever has put it on a list means it, whatever a response still says.
        let listed = self.check_lists(used, &mut note)?;
        if let Some(response) = stapled {
            match self.ask(response, None) {
                Ok(OcspStatus::Good { until }) => return Ok(Known::Good(until)),
                Ok(status) => note(self.judge(status)?),
                Err(error) if says_nothing(&error) => note(error.to_string()),
                // RFC 6066 §8: a stapled response that is not satisfactory ends the handshake. What is fetched over
                // plain HTTP anybody on the way may spoil: that is no word of the server's.
                Err(error) => return Err(NotPassed::failed(Code::BadOcspResponse, error)),
            }
        }
        let cert_id = cert_id(self.certificate, self.issuer);
        if let Some(fetched) = self.context.evidence.ocsp.get(&cert_id) {
            let answer = self.ask(&fetched.response, fetched.nonce.as_deref());
            if let Ok(OcspStatus::Good { .. } | OcspStatus::Revoked { .. }) = answer {
                used.ocsp.insert(cert_id.clone());
            }
            match answer {
                Ok(OcspStatus::Good { until }) => return Ok(Known::Good(until)),
                Ok(status) => note(self.judge(status)?),
                Err(error) => note(error.to_string()),
            }
        }
        if let Some(until) = listed {
            return Ok(Known::Good(until));
        }
        let has_source = self.want(cert_id, wanted);
        let has_source = has_source.map_err(|error| NotPassed::failed(Code::Malformed, error))?;
        Ok(match why {
            Some(why) => Known::Nothing(why),
            None if has_source => Known::Nothing("no response and no list".to_owned()),
            None => Known::NoSource,
        })
    }

    fn ask(&self, response: &[u8], nonce: Option<&[u8]>) -> Result<OcspStatus, OcspError> {
        let now = self.context.now_secs();
        OcspResponse::parse(response)?.check(
            self.certificate,
            self.issuer,
            nonce,
            now,
            ALL_VERIFICATION_ALGS,
        )
    }

    /// A certificate that is not good: revoked, or why nothing is known.
    fn judge(&self, status: OcspStatus) -> Result<String, NotPassed> {
        match status {
            OcspStatus::Revoked { at, reason } => {
                let reason = reason.map(|reason| format!(", reason {reason}"));
                let reason = reason.unwrap_or_default();
                let detail = format!("certificate {}: at {at}{reason}", self.index);
                Err(NotPassed::failed(Code::Revoked, detail))
            }
            OcspStatus::Good { .. } | OcspStatus::Unknown => {
                Ok("the responder does not know it".to_owned())
            }
        }
    }

    fn check_lists(
        &self,
        used: &mut Used,
        note: &mut impl FnMut(String),
    ) -> Result<Option<i64>, NotPassed> {
        let evidence = self.context.evidence;
        let urls = self.certificate.revocation_list_urls();
        let urls = urls.unwrap_or_default();
        let named = urls
            .iter()
            .filter_map(|url| evidence.crls.get_key_value(*url));
        let named = named.map(|(url, list)| (Some(url), list));
        let others = evidence.other_crls.iter().map(|list| (None, list));
        let mut good = None;
        for (url, list) in named.chain(others) {
            let now = self.context.now_secs();
            let status = list.check(self.certificate, self.issuer, now);
            if status.is_ok() {
                used.crls.extend(url.cloned());
            }
            match status {
                Ok(CrlStatus::Good { until }) => good = good.max(Some(until)),
                Ok(CrlStatus::Revoked { at }) => {
                    let detail = format!("certificate {}: at {at}", self.index);
                    return Err(NotPassed::failed(Code::Revoked, detail));
                }
                // Not every list at hand is meant for every certificate of the path.
                Err(CrlRefusal::OtherIssuer | CrlRefusal::OutOfScope) => {}
                Err(refusal) => note(refusal.to_string()),
            }
        }
        Ok(good)
    }

    /// The next source that has not failed: responders first, because their answers are short. Says whether there is any.
    fn want(&self, cert_id: Vec<u8>, wanted: &mut Vec<Wanted>) -> Result<bool, DerError> {
        let responders = self.certificate.authority_information()?.ocsp_urls;
        let lists = self.certificate.revocation_list_urls()?;
        let has_source = !responders.is_empty() || !lists.is_empty();
        let evidence = self.context.evidence;
        let responders = responders.into_iter().map(|url| Wanted::Ocsp {
            url: url.to_owned(),
            cert_id: cert_id.clone(),
        });
        let lists = lists.into_iter().map(|url| Wanted::Crl {
            url: url.to_owned(),
        });
        let mut sources = responders.chain(lists);
        wanted.extend(sources.find(|source| match source {
            Wanted::Ocsp { cert_id, .. } if evidence.ocsp.contains_key(cert_id) => false,
            Wanted::Crl { url } if evidence.crls.contains_key(url) => false,
            _ => !evidence.failed.contains(source),
        }));
        Ok(has_source)
    }
}

/// Whether a response lacks information rather than being wrong.
fn says_nothing(error: &OcspError) -> bool {
    matches!(
        error,
        OcspError::Unsuccessful(_) | OcspError::Stale { .. } | OcspError::NotYet { .. }
    )
}
