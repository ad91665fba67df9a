//! Timestamps that logs gave for a precertificate, judged in the final certificate.

use ct::{
    Certificate, ChromePolicy, ChromeRule, CtExtensions, DerError, EMBEDDED_SCTS_MAX,
    EmbeddedSctError, EmbeddedScts, EmbeddedSctsError, LogList, LogSignatureError, Precertificate,
    PrecertificateError, Sct, SctError, SctRules, SignedEntry, Standing, Truncated,
    encode_sct_list,
};
use rcgen::{CertificateParams, CustomExtension, date_time_ymd};

use crate::pki::{Authority, SCT_LIST, extension, leaf_with, poison, sct_list};
use crate::support::list::{LISTED_MS, list, log_id};
use crate::support::{ALGORITHMS, log_signer, sign};

/// Before log 5 was retired.
const RETIRED_MS: u64 = 1_735_689_600_000;
const NOW_MS: u64 = LISTED_MS + 1;
const TOO_FEW: Result<(), ChromeRule> = Err(ChromeRule::TooFewLogs {
    required: 2,
    found: 1,
});

/// An authority, and what logs sign before it issues.
struct Issuance {
    authority: Authority,
    /// 2026-06-01 to 2026-09-01, or longer.
    params: fn(CustomExtension) -> CertificateParams,
    logged: Precertificate,
}

fn ninety_days(extension: CustomExtension) -> CertificateParams {
    let mut params = leaf_with([extension]);
    params.not_after = date_time_ymd(2026, 9, 1);
    params
}

fn half_a_year(extension: CustomExtension) -> CertificateParams {
    leaf_with([extension])
}

impl Issuance {
    fn begin(params: fn(CustomExtension) -> CertificateParams) -> Self {
        let authority = Authority::root("issuer");
        let submitted = authority.issue(&params(poison()));
        let logged = logged(&[&submitted, &authority.der]);
        Self {
            authority,
            params,
            logged,
        }
    }

    /// The promise of the log with the key of this seed.
    fn sct(&self, seed: u8, timestamp_ms: u64) -> Sct {
        let entry = SignedEntry::Precertificate {
            issuer_key_hash: self.logged.issuer_key_hash,
            tbs: &self.logged.tbs,
        };
        let extensions = CtExtensions::of_index(u64::from(seed)).unwrap();
        let message = Sct::signed_input(&entry, timestamp_ms, &extensions).unwrap();
        Sct {
            log_id: log_id(seed),
            timestamp_ms,
            extensions,
            signature: sign(&log_signer(seed), &message),
        }
    }

    fn scts(&self, seeds: &[u8], timestamp_ms: u64) -> Vec<Sct> {
        let scts = seeds.iter().map(|seed| self.sct(*seed, timestamp_ms));
        scts.collect()
    }

    fn issue(&self, extension: CustomExtension) -> Vec<u8> {
        self.authority.issue(&(self.params)(extension))
    }

    fn judge<'l>(&self, logs: &'l LogList, scts: &[Sct]) -> EmbeddedScts<'l> {
        let certificate = self.issue(sct_list(&encode_sct_list(scts).unwrap()));
        check(logs, &certificate, &self.authority.der).unwrap()
    }

    fn refuse(&self, extension: CustomExtension) -> EmbeddedSctsError {
        check(&list(), &self.issue(extension), &self.authority.der).unwrap_err()
    }
}

fn logged(chain: &[&[u8]]) -> Precertificate {
    let chain: Vec<_> = chain.iter().map(|der| Certificate::parse(der)).collect();
    let chain: Vec<_> = chain.into_iter().map(Result::unwrap).collect();
    Precertificate::from_submission(&chain[0], &chain[1..]).unwrap()
}

fn check<'l>(
    logs: &'l LogList,
    certificate: &[u8],
    issuer: &[u8],
) -> Result<EmbeddedScts<'l>, EmbeddedSctsError> {
    let rules = SctRules {
        logs,
        policy: ChromePolicy::default(),
        algorithms: ALGORITHMS,
        now_ms: NOW_MS,
    };
    let certificate = Certificate::parse(certificate).unwrap();
    rules.check_embedded(&certificate, &Certificate::parse(issuer).unwrap())
}

fn standings(judged: &EmbeddedScts<'_>) -> Vec<Standing> {
    let scts = judged.scts.iter().map(|sct| sct.as_ref().unwrap());
    scts.map(|sct| sct.standing(NOW_MS)).collect()
}

#[test]
fn timestamps_of_the_precertificate_hold_in_the_final_certificate() {
    let (logs, issuance) = (list(), Issuance::begin(ninety_days));
    let scts = [issuance.sct(1, LISTED_MS), issuance.sct(3, NOW_MS)];
    let judged = issuance.judge(&logs, &scts);
    assert_eq!(judged.policy, Ok(()));
    assert_eq!(standings(&judged), [Standing::Current; 2]);
    for (judged, sct) in judged.scts.iter().zip(&scts) {
        let judged = judged.as_ref().unwrap();
        assert_eq!(judged.log.key.id(), sct.log_id);
        assert_eq!(judged.timestamp_ms, sct.timestamp_ms);
    }
}

#[test]
fn timestamps_hold_where_a_signing_certificate_signed_the_precertificate() {
    let root = Authority::root("root");
    let authority = root.authority("issuer");
    let signing = authority.precertificate_signing();
    let submitted = signing.issue(&ninety_days(poison()));
    let issuance = Issuance {
        logged: logged(&[&submitted, &signing.der, &authority.der, &root.der]),
        params: ninety_days,
        authority,
    };
    let logs = list();
    let judged = issuance.judge(&logs, &issuance.scts(&[1, 3], LISTED_MS));
    assert_eq!((standings(&judged).len(), judged.policy), (2, Ok(())));
}

#[test]
fn timestamp_that_does_not_hold_is_named_and_neither_counts_nor_spoils() {
    let (logs, issuance) = (list(), Issuance::begin(ninety_days));
    let good = || issuance.sct(4, LISTED_MS);
    let refused = |error| EmbeddedSctError::Refused {
        log_id: log_id(4),
        error,
    };
    let invalid = refused(SctError::Signature(LogSignatureError::Invalid));
    let of_another_log = Sct {
        log_id: log_id(4),
        ..issuance.sct(2, LISTED_MS)
    };
    let of_another_certificate = Issuance::begin(ninety_days).sct(4, LISTED_MS);
    let mut later = good();
    later.timestamp_ms += 1;
    let mut of_another_index = good();
    of_another_index.extensions = CtExtensions::of_index(5).unwrap();
    let mut damaged = good();
    damaged.signature = of_another_log.signature.clone();
    let future = SctError::Future {
        timestamp_ms: NOW_MS + 1,
        now_ms: NOW_MS,
    };
    let unknown = EmbeddedSctError::UnknownLog(log_id(9));
    let cases = [
        (of_another_log, invalid),
        (of_another_certificate, invalid),
        (later, invalid),
        (of_another_index, invalid),
        (damaged, invalid),
        (issuance.sct(4, NOW_MS + 1), refused(future)),
        (issuance.sct(9, LISTED_MS), unknown),
    ];
    for (bad, expected) in cases {
        let scts = [
            issuance.sct(1, LISTED_MS),
            bad.clone(),
            issuance.sct(3, LISTED_MS),
        ];
        let judged = issuance.judge(&logs, &scts);
        let errors: Vec<_> = judged.scts.iter().map(|sct| sct.as_ref().err()).collect();
        assert_eq!(errors, [None, Some(&expected), None]);
        assert_eq!(judged.policy, Ok(()), "{expected}");
        let judged = issuance.judge(&logs, &[issuance.sct(1, LISTED_MS), bad]);
        assert_eq!(judged.policy, TOO_FEW, "{expected}");
    }
}

#[test]
fn timestamp_of_another_version_or_form_is_passed_over() {
    let (logs, issuance) = (list(), Issuance::begin(ninety_days));
    let scts = issuance.scts(&[1, 3], LISTED_MS);
    let whole = encode_sct_list(&scts).unwrap();
    // Behind the lengths of the list and of its first timestamp: version, log, time, length of extensions.
    let mut version = whole.clone();
    version[4] = 1;
    let mut length = whole;
    length[4 + 1 + 32 + 8] = 0xff;
    let truncated = Truncated {
        offset: 43,
        needed: 0xff08,
        left: scts[0].encode().len() - 43,
    };
    for (octets, expected) in [
        (version, SctError::Version(1)),
        (length, SctError::Truncated(truncated)),
    ] {
        let certificate = issuance.issue(sct_list(&octets));
        let judged = check(&logs, &certificate, &issuance.authority.der).unwrap();
        let errors: Vec<_> = judged.scts.iter().map(|sct| sct.as_ref().err()).collect();
        let expected = EmbeddedSctError::Malformed(expected);
        assert_eq!(errors, [Some(&expected), None]);
        assert_eq!(judged.policy, TOO_FEW);
    }
}

#[test]
fn state_of_the_log_decides_what_a_timestamp_is_worth() {
    use Standing::{BeforeRetirement, Current, Worthless};
    let (logs, issuance) = (list(), Issuance::begin(ninety_days));
    let no_current = || Err(ChromeRule::NoCurrentLog);
    for (seeds, timestamp_ms, expected, policy) in [
        ([1, 5], RETIRED_MS - 1, [Current, BeforeRetirement], Ok(())),
        ([1, 5], RETIRED_MS, [Current, Worthless], TOO_FEW),
        ([6, 7], LISTED_MS, [Worthless; 2], no_current()),
        ([5, 5], RETIRED_MS - 1, [BeforeRetirement; 2], no_current()),
    ] {
        let judged = issuance.judge(&logs, &issuance.scts(&seeds, timestamp_ms));
        assert_eq!(standings(&judged), expected, "{seeds:?}");
        assert_eq!(judged.policy, policy, "{seeds:?}");
    }
}

#[test]
fn lifetime_is_that_of_the_certificate() {
    let (logs, issuance) = (list(), Issuance::begin(half_a_year));
    let policy = |seeds: &[u8]| {
        let judged = issuance.judge(&logs, &issuance.scts(seeds, LISTED_MS));
        judged.policy
    };
    let too_few = ChromeRule::TooFewLogs {
        required: 3,
        found: 2,
    };
    assert_eq!(policy(&[1, 3]), Err(too_few));
    assert_eq!(policy(&[1, 2, 3]), Ok(()));
}

#[test]
fn certificate_without_a_list_of_timestamps_is_refused() {
    let issuance = Issuance::begin(ninety_days);
    let other = extension(&[1, 3, 6, 1, 4, 1, 99, 1], false, &[5, 0]);
    let certificate = EmbeddedSctsError::Certificate;
    assert_eq!(
        issuance.refuse(other),
        certificate(PrecertificateError::NoTimestamps)
    );
    assert_eq!(
        issuance.refuse(poison()),
        certificate(PrecertificateError::Poisoned)
    );
    let bare = encode_sct_list(&issuance.scts(&[1, 3], LISTED_MS)).unwrap();
    let error = issuance.refuse(extension(&SCT_LIST, false, &bare));
    assert!(
        matches!(
            error,
            EmbeddedSctsError::Certificate(PrecertificateError::Der(DerError::Tag { .. }))
        ),
        "{error}"
    );
    let list = |octets: &[u8]| issuance.refuse(sct_list(octets));
    let truncated = Truncated {
        offset: 2,
        needed: bare.len() - 2,
        left: bare.len() - 3,
    };
    assert_eq!(
        list(&bare[..bare.len() - 1]),
        EmbeddedSctsError::List(SctError::Truncated(truncated))
    );
    assert_eq!(
        list(&[&bare[..], &[0]].concat()),
        EmbeddedSctsError::List(SctError::Trailing { left: 1 })
    );
    assert_eq!(list(&[0, 0]), EmbeddedSctsError::List(SctError::Empty));
}

#[test]
fn issuer_must_be_the_one_whose_name_and_key_were_logged() {
    let (logs, issuance) = (list(), Issuance::begin(ninety_days));
    let scts = issuance.scts(&[1, 3], LISTED_MS);
    let certificate = issuance.issue(sct_list(&encode_sct_list(&scts).unwrap()));
    let stranger = Authority::root("another name");
    let expected = EmbeddedSctsError::Certificate(PrecertificateError::WrongIssuer);
    let error = check(&logs, &certificate, &stranger.der).unwrap_err();
    assert_eq!(error, expected);
    let namesake = Authority::root("issuer");
    let judged = check(&logs, &certificate, &namesake.der).unwrap();
    assert!(judged.scts.iter().all(Result::is_err));
    assert_eq!(judged.policy, Err(ChromeRule::Absent));
}

#[test]
fn more_timestamps_than_the_most_are_not_checked() {
    let (logs, issuance) = (list(), Issuance::begin(ninety_days));
    let seeds = [1, 3].repeat(EMBEDDED_SCTS_MAX / 2);
    let mut scts = issuance.scts(&seeds, LISTED_MS);
    assert_eq!(issuance.judge(&logs, &scts).policy, Ok(()));
    scts.push(issuance.sct(2, LISTED_MS));
    let found = scts.len();
    let error = issuance.refuse(sct_list(&encode_sct_list(&scts).unwrap()));
    assert_eq!(error, EmbeddedSctsError::TooMany { found });
}

#[test]
fn no_octet_of_the_certificate_changes_without_a_timestamp_that_no_longer_holds() {
    let (logs, issuance) = (list(), Issuance::begin(ninety_days));
    let octets = encode_sct_list(&issuance.scts(&[1, 3], LISTED_MS)).unwrap();
    let whole = issuance.issue(sct_list(&octets));
    let signature = {
        let certificate = Certificate::parse(&whole).unwrap();
        certificate.der().len() - certificate.signature().len()
    };
    let list = whole.windows(octets.len()).position(|part| part == octets);
    let list = list.unwrap()..list.unwrap() + octets.len();
    let issuer = Certificate::parse(&issuance.authority.der).unwrap();
    let rules = SctRules {
        logs: &logs,
        policy: ChromePolicy::default(),
        algorithms: ALGORITHMS,
        now_ms: u64::MAX,
    };
    for place in 0..signature {
        let mut bytes = whole.clone();
        bytes[place] ^= 1;
        let Ok(certificate) = Certificate::parse(&bytes) else {
            continue;
        };
        let Ok(judged) = rules.check_embedded(&certificate, &issuer) else {
            continue;
        };
        let holding = judged.scts.iter().flatten().count();
        let expected = usize::from(list.contains(&place));
        assert!(holding <= expected, "place={place}");
        assert!(judged.policy.is_err(), "place={place}");
    }
}
