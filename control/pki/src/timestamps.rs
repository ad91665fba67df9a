//! Timestamps of logs, by whichever way they came: embedded, by the handshake, or by OCSP (RFC 6962 §3.3), judged by Chrome's
//! policy.

use ct::{
    Certificate, CheckedSct, ChromeRule, Delivery, EMBEDDED_SCTS_MAX, EmbeddedSctError, Hash,
    LogSignatureError, Precertificate, Sct, SctError, SctRules, SignedEntry, split_sct_list,
};
use webpki::ALL_VERIFICATION_ALGS;

use crate::ocsp::OcspResponse;
use crate::reason::{Code, NotPassed};
use crate::request::{Context, Request};

/// What a log promised to show, by a timestamp that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Promise {
    /// Its id.
    pub(crate) log: Hash,
    /// Hash of the leaf.
    pub(crate) leaf: Hash,
    /// Place in the log, if the timestamp tells.
    pub(crate) index: Option<u64>,
}

/// Timestamps that hold, and the first thing that was wrong with one that does not.
struct Collected<'l> {
    rules: SctRules<'l>,
    scts: Vec<CheckedSct<'l>>,
    promises: Vec<Promise>,
    failure: Option<NotPassed>,
}

/// Checks all timestamps. Those that hold are promises, whatever the policy thinks of their number.
pub(crate) fn check(
    request: &Request,
    certificate: &Certificate<'_>,
    issuer: &Certificate<'_>,
    context: &Context<'_>,
    promises: &mut Vec<Promise>,
) -> Result<(), NotPassed> {
    let logs = context.logs;
    let logs = logs.ok_or_else(|| NotPassed::unknown(Code::NoLogList, ""))?;
    let mut collected = Collected {
        rules: SctRules {
            logs,
            policy: context.policy,
            algorithms: ALL_VERIFICATION_ALGS,
            now_ms: context.now_ms,
        },
        scts: Vec::new(),
        promises: Vec::new(),
        failure: None,
    };
    collected.add_embedded(certificate, issuer);
    let entry = SignedEntry::Certificate(certificate.der());
    if let Some(list) = &request.sct_list {
        collected.add(list, &entry, Delivery::TlsExtension);
    }
    let stapled = request.ocsp.as_deref();
    let stapled = stapled.and_then(|der| OcspResponse::parse(der).ok());
    if let Some(list) = stapled.and_then(|response| response.sct_list(certificate, issuer)) {
        collected.add(list, &entry, Delivery::Ocsp);
    }
    promises.clone_from(&collected.promises);
    collected.judge(certificate)?;
    // Chrome does not enforce either with a list that old: logs may have been added and retired since.
    if !logs.is_timely(context.now_ms) {
        return Err(NotPassed::unknown(Code::OldLogList, ""));
    }
    Ok(())
}

impl<'l> Collected<'l> {
    fn add_embedded(&mut self, certificate: &Certificate<'_>, issuer: &Certificate<'_>) {
        let list = match certificate.sct_list() {
            Ok(Some(list)) => list,
            Ok(None) => return,
            Err(error) => return self.fail(NotPassed::failed(Code::MalformedSct, error)),
        };
        match Precertificate::from_final(certificate, issuer) {
            Ok(logged) => {
                let entry = SignedEntry::Precertificate {
                    issuer_key_hash: logged.issuer_key_hash,
                    tbs: &logged.tbs,
                };
                self.add(list, &entry, Delivery::Embedded);
            }
            Err(error) => self.fail(NotPassed::failed(Code::MalformedSct, error)),
        }
    }

    fn add(&mut self, list: &[u8], entry: &SignedEntry<'_>, delivery: Delivery) {
        let scts = match split_sct_list(list) {
            Ok(scts) if scts.len() > EMBEDDED_SCTS_MAX => {
                let detail = format!("{} timestamps, more than {EMBEDDED_SCTS_MAX}", scts.len());
                return self.fail(NotPassed::failed(Code::MalformedSct, detail));
            }
            Ok(scts) => scts,
            Err(error) => return self.fail(NotPassed::failed(Code::MalformedSct, error)),
        };
        for bytes in scts {
            match self.rules.check(bytes, entry, delivery) {
                Ok(sct) => {
                    self.scts.push(sct);
                    self.promises.extend(promise(bytes, entry));
                }
                Err(error) => self.fail(NotPassed::failed(code(&error), error)),
            }
        }
    }

    fn fail(&mut self, failure: NotPassed) {
        self.failure.get_or_insert(failure);
    }

    /// A timestamp that does not hold spoils nothing if the others suffice, and else is the likely cause.
    fn judge(self, certificate: &Certificate<'_>) -> Result<(), NotPassed> {
        let validity = certificate.validity();
        let lifetime_s = validity.not_after.saturating_sub(validity.not_before);
        let lifetime_s = u64::try_from(lifetime_s).unwrap_or_default();
        let (policy, now_ms) = (self.rules.policy, self.rules.now_ms);
        let verdict = policy.judge(&self.scts, lifetime_s, now_ms);
        if verdict.is_compliant() {
            return Ok(());
        }
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        // The way by which something came is the way that is meant.
        let rules = [verdict.embedded, verdict.delivered];
        let mut rules = rules.into_iter().filter_map(Result::err);
        let rule = rules.find(|rule| *rule != ChromeRule::Absent);
        Err(match rule {
            Some(rule) => NotPassed::failed(Code::SctPolicy, rule),
            None => NotPassed::failed(Code::NoScts, ""),
        })
    }
}

fn promise(bytes: &[u8], entry: &SignedEntry<'_>) -> Option<Promise> {
    let sct = Sct::decode(bytes).ok()?;
    // RFC 6962 §3.2 and §3.4: what is signed and the leaf have the same bytes.
    let leaf = Sct::signed_input(entry, sct.timestamp_ms, &sct.extensions).ok()?;
    Some(Promise {
        log: sct.log_id,
        leaf: Hash::leaf(&leaf),
        index: sct.extensions.leaf_index(),
    })
}

fn code(error: &EmbeddedSctError) -> Code {
    match error {
        EmbeddedSctError::UnknownLog(_) => Code::SctOfUnknownLog,
        EmbeddedSctError::Refused {
            error: SctError::Future { .. },
            ..
        } => Code::SctFuture,
        EmbeddedSctError::Refused {
            error:
                SctError::Signature(LogSignatureError::Invalid | LogSignatureError::OtherAlgorithm),
            ..
        } => Code::SctSignature,
        EmbeddedSctError::Malformed(_) | EmbeddedSctError::Refused { .. } => Code::MalformedSct,
    }
}
