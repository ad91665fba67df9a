//! DNS64 (RFC 6147): IPv6 addresses for names that have IPv4 addresses alone, in the form of
//! RFC 6052, for clients behind NAT64.
//!
//! A question for AAAA is resolved as it is. Only if that gives nothing usable are the A records asked
//! for, and the answer made of both.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::{AAAA, CNAME};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::addresses::take_out;
use super::prefix::Prefix;
use crate::iterate::{Outcome, Question, extended_error};

/// Longest time that a synthesised address is kept if nothing limits it, in seconds (RFC 6147 §5.1.7).
const TTL_SECS_MAX: u32 = 600;
/// TTL of what is made for a reverse question, in seconds.
const REVERSE_TTL_SECS: u32 = 600;
/// Lengths of a prefix, in bits (RFC 6052 §2.2).
const LENGTHS: [u8; 6] = [32, 40, 48, 56, 64, 96];
/// The octet that is zero in every address (RFC 6052 §2.2).
const ZERO_OCTET: usize = 8;

/// A prefix that addresses are embedded in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nat64Prefix {
    octets: [u8; 16],
    bytes: usize,
}

/// Why a network cannot carry IPv4 addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Nat64PrefixError {
    /// Its length is none of those.
    #[error("a prefix of {0} bits; expected 32, 40, 48, 56, 64 or 96")]
    Length(u8),
    /// Bits are set behind the prefix, or in the octet that must be zero.
    #[error("bits are set behind the prefix, or bits 64 to 71 are not zero")]
    Bits,
}

impl Nat64Prefix {
    /// The prefix that RFC 6052 §2.1 gives to all, 64:ff9b::/96.
    pub const WELL_KNOWN: Self = Self {
        octets: [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        bytes: 12,
    };

    /// The first `bits` bits of `network`.
    ///
    /// # Errors
    /// [`Nat64PrefixError`] for what RFC 6052 §2.2 does not allow.
    pub fn new(network: Ipv6Addr, bits: u8) -> Result<Self, Nat64PrefixError> {
        if !LENGTHS.contains(&bits) {
            return Err(Nat64PrefixError::Length(bits));
        }
        let (octets, bytes) = (network.octets(), usize::from(bits) / 8);
        let tail = octets.iter().skip(bytes);
        if octets.get(ZERO_OCTET) != Some(&0) || tail.copied().any(|octet| octet != 0) {
            return Err(Nat64PrefixError::Bits);
        }
        Ok(Self { octets, bytes })
    }

    /// Where the octets of the IPv4 address stand.
    fn places(self) -> impl Iterator<Item = usize> {
        (self.bytes..16).filter(|at| *at != ZERO_OCTET).take(4)
    }

    /// The address that stands for an IPv4 address.
    #[must_use]
    pub fn embed(self, address: Ipv4Addr) -> Ipv6Addr {
        let mut octets = self.octets;
        for (at, octet) in self.places().zip(address.octets()) {
            if let Some(place) = octets.get_mut(at) {
                *place = octet;
            }
        }
        octets.into()
    }

    /// The IPv4 address that an address stands for.
    #[must_use]
    pub fn extract(self, address: Ipv6Addr) -> Option<Ipv4Addr> {
        let octets = address.octets();
        let mut found = [0; 4];
        for (place, at) in found.iter_mut().zip(self.places()) {
            *place = *octets.get(at)?;
        }
        let found = Ipv4Addr::from(found);
        (self.embed(found) == address).then_some(found)
    }
}

/// How addresses are made.
#[derive(Clone, Debug)]
pub struct Dns64 {
    /// Each IPv4 address gets one in each of these.
    pub prefixes: Vec<Nat64Prefix>,
    /// AAAA records in these networks count as absent (RFC 6147 §5.1.4).
    pub exclude: Vec<Prefix>,
}

impl Dns64 {
    /// The question for IPv4 addresses that decides over the answer to a question for IPv6
    /// addresses; `None` if that answer is good as it is.
    ///
    /// Who checks signatures (DO and CD) would see that the addresses are made: gets none
    /// (RFC 6147 §5.5).
    #[must_use]
    pub fn second_question(&self, question: &Question, outcome: &Outcome) -> Option<Question> {
        let is_denied = matches!(outcome.rcode, ResponseCode::NoError)
            && !outcome.answers.iter().any(|record| self.is_usable(record));
        // Other failures are treated as an empty answer, for broken servers, and so is silence
        // (RFC 6147 §5.1.2, §5.1.3); but what does not validate is a failure (§5.5).
        let mut errors = outcome.extended_errors.iter();
        let is_bogus = errors.any(|(code, _)| extended_error::is_of_dnssec(*code));
        let is_failed = !matches!(
            outcome.rcode,
            ResponseCode::NoError | ResponseCode::NXDomain
        ) && !is_bogus;
        let asks = is_for(question) && (is_denied || is_failed);
        asks.then(|| Question {
            qtype: RecordType::A,
            ..question.clone()
        })
    }

    /// Leaves the excluded addresses out of an answer that has others, too (RFC 6147 §5.1.4).
    pub(super) fn clean(&self, question: &Question, outcome: &mut Outcome) {
        if is_for(question) {
            self.leave_out_excluded(outcome);
        }
    }

    fn leave_out_excluded(&self, outcome: &mut Outcome) {
        let is_excluded =
            |record: &Record| record.record_type() == RecordType::AAAA && !self.is_usable(record);
        if take_out(&mut outcome.answers, is_excluded) {
            outcome.authentic = false;
        }
    }

    fn is_usable(&self, record: &Record) -> bool {
        let RData::AAAA(AAAA(address)) = &record.data else {
            return false;
        };
        let address = IpAddr::V6(*address);
        !self.exclude.iter().any(|network| network.contains(address))
    }

    /// The answer to a question for IPv6 addresses: made of the outcome for IPv4 addresses if that has
    /// any, else the first, without excluded addresses.
    #[must_use]
    pub fn answer(&self, mut first: Outcome, second: Outcome) -> Outcome {
        let is_a = |record: &Record| record.record_type() == RecordType::A;
        if second.rcode != ResponseCode::NoError || !second.answers.iter().any(is_a) {
            self.leave_out_excluded(&mut first);
            return first;
        }
        let soa_secs = first
            .authority
            .iter()
            .filter(|record| record.record_type() == RecordType::SOA)
            .map(|record| record.ttl)
            .min();
        let ttl_max_secs = soa_secs.unwrap_or(TTL_SECS_MAX);
        let mut outcome = Outcome {
            // Made here: no signature of the zone covers it.
            authentic: false,
            answers: Vec::new(),
            authority: Vec::new(),
            additional: Vec::new(),
            ttl_secs: second.ttl_secs.min(ttl_max_secs).min(first.ttl_secs),
            ..second
        };
        for record in second.answers {
            match &record.data {
                RData::A(address) => {
                    let made = self.prefixes.iter().map(|prefix| {
                        let address = AAAA(prefix.embed(address.0));
                        let ttl_secs = record.ttl.min(ttl_max_secs);
                        Record::from_rdata(record.name.clone(), ttl_secs, RData::AAAA(address))
                    });
                    outcome.answers.extend(made);
                }
                RData::CNAME(_) => outcome.answers.push(record),
                _ if record.record_type() == RecordType::DNAME => outcome.answers.push(record),
                _ => {} // Signatures, which do not fit what is left.
            }
        }
        outcome
    }

    /// Where a reverse question for a made address leads (RFC 6147 §5.3.1): the name of the IPv4
    /// address, and the alias to it that stands first in the answer.
    #[must_use]
    pub fn reverse(&self, question: &Question) -> Option<(Name, Record)> {
        if question.qtype != RecordType::PTR {
            return None;
        }
        let address = reverse_address(&question.qname)?;
        let address = self
            .prefixes
            .iter()
            .find_map(|prefix| prefix.extract(address))?;
        let target = Name::from(IpAddr::V4(address));
        let alias = RData::CNAME(CNAME(target.clone()));
        let alias = Record::from_rdata(question.qname.clone(), REVERSE_TTL_SECS, alias);
        Some((target, alias))
    }
}

/// Whether an answer may be changed: not for who checks signatures (RFC 6147 §5.5).
fn is_for(question: &Question) -> bool {
    let validates = question.dnssec_ok && question.checking_disabled;
    question.qtype == RecordType::AAAA && !validates
}

/// The address of a name below `ip6.arpa.`, if it names a whole one (RFC 3596 §2.5).
fn reverse_address(name: &Name) -> Option<Ipv6Addr> {
    let mut labels = name.iter().rev();
    let mut is = |expected: &str| {
        labels
            .next()
            .is_some_and(|label| label.eq_ignore_ascii_case(expected.as_bytes()))
    };
    if !is("arpa") || !is("ip6") || labels.len() != 32 {
        return None;
    }
    let mut number = 0_u128;
    for label in labels {
        let [digit] = label else { return None };
        let digit = char::from(*digit).to_digit(16)?;
        number = number << 4 | u128::from(digit);
    }
    Some(number.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::rr::rdata::{A, SOA};

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn v6(text: &str) -> Ipv6Addr {
        text.parse().unwrap()
    }

    fn dns64() -> Dns64 {
        Dns64 {
            prefixes: vec![Nat64Prefix::WELL_KNOWN],
            exclude: vec![
                Prefix::new("::ffff:0:0".parse::<Ipv6Addr>().unwrap().into(), 96).unwrap(),
            ],
        }
    }

    fn aaaa() -> Question {
        Question::new(name("www.example."), RecordType::AAAA)
    }

    fn record(owner: &str, ttl_secs: u32, data: RData) -> Record {
        Record::from_rdata(name(owner), ttl_secs, data)
    }

    fn no_data(soa_ttl_secs: u32) -> Outcome {
        let soa = SOA::new(name("ns.example."), name("h.example."), 1, 2, 3, 4, 5);
        let mut outcome = Outcome::empty(ResponseCode::NoError);
        outcome.authority = vec![record("example.", soa_ttl_secs, RData::SOA(soa))];
        outcome.ttl_secs = soa_ttl_secs;
        outcome.authentic = true;
        outcome
    }

    fn with_a() -> Outcome {
        let mut outcome = Outcome::empty(ResponseCode::NoError);
        let alias = RData::CNAME(CNAME(name("host.example.")));
        outcome.answers = vec![
            record("www.example.", 300, alias),
            record("host.example.", 300, RData::A(A::new(192, 0, 2, 33))),
        ];
        outcome.ttl_secs = 300;
        outcome.authentic = true;
        outcome
    }

    /// The table of RFC 6052 §2.4.
    #[test]
    fn addresses_are_embedded_as_in_the_table_of_rfc_6052() {
        let address = Ipv4Addr::new(192, 0, 2, 33);
        for (network, bits, expected) in [
            ("2001:db8::", 32, "2001:db8:c000:221::"),
            ("2001:db8:100::", 40, "2001:db8:1c0:2:21::"),
            ("2001:db8:122::", 48, "2001:db8:122:c000:2:2100::"),
            ("2001:db8:122:300::", 56, "2001:db8:122:3c0:0:221::"),
            ("2001:db8:122:344::", 64, "2001:db8:122:344:c0:2:2100::"),
            ("2001:db8:122:344::", 96, "2001:db8:122:344::192.0.2.33"),
        ] {
            let prefix = Nat64Prefix::new(v6(network), bits).unwrap();
            assert_eq!(prefix.embed(address), v6(expected), "{bits}");
            assert_eq!(prefix.extract(v6(expected)), Some(address), "{bits}");
        }
        let embedded = Nat64Prefix::WELL_KNOWN.embed(address);
        assert_eq!(embedded, v6("64:ff9b::192.0.2.33"));
        assert_eq!(Nat64Prefix::WELL_KNOWN.extract(v6("2001:db8::1")), None);
    }

    #[test]
    fn prefixes_that_cannot_carry_an_address_are_refused() {
        let refused = |network, bits| Nat64Prefix::new(v6(network), bits).unwrap_err();
        assert_eq!(refused("2001:db8::", 80), Nat64PrefixError::Length(80));
        assert_eq!(refused("2001:db8::1", 96), Nat64PrefixError::Bits);
        assert_eq!(refused("2001:db8:0:0:100::", 96), Nat64PrefixError::Bits);
    }

    #[test]
    fn names_without_ipv6_get_addresses_made_of_their_ipv4_ones_and_no_ad() {
        let first = no_data(60);
        let second = dns64().second_question(&aaaa(), &first).unwrap();
        assert_eq!(second.qtype, RecordType::A);
        let answer = dns64().answer(first, with_a());
        let [alias, address] = &answer.answers[..] else {
            panic!("{answer:?}")
        };
        assert_eq!(alias.record_type(), RecordType::CNAME);
        let RData::AAAA(AAAA(made)) = address.data else {
            panic!("{address}")
        };
        assert_eq!(made, v6("64:ff9b::192.0.2.33"));
        // RFC 6147 §5.1.7: no longer than the denial of AAAA.
        assert_eq!((address.ttl, answer.ttl_secs), (60, 60));
        assert!(!answer.authentic && answer.authority.is_empty());
    }

    #[test]
    fn names_with_ipv6_and_names_that_do_not_exist_are_left_alone() {
        let mut with_aaaa = no_data(60);
        with_aaaa.answers = vec![record(
            "www.example.",
            300,
            RData::AAAA(AAAA(v6("2001:db8::1"))),
        )];
        assert_eq!(dns64().second_question(&aaaa(), &with_aaaa), None);
        let missing = Outcome::empty(ResponseCode::NXDomain);
        assert_eq!(dns64().second_question(&aaaa(), &missing), None);
        let other = Question::new(name("www.example."), RecordType::MX);
        assert_eq!(dns64().second_question(&other, &no_data(60)), None);
        // What has no IPv4 address either stays as it was.
        let answer = dns64().answer(no_data(60), no_data(60));
        assert_eq!((answer.authority.len(), answer.authentic), (1, true));
    }

    #[test]
    fn servers_that_fail_for_ipv6_are_asked_for_ipv4_but_what_is_bogus_fails() {
        for rcode in [ResponseCode::ServFail, ResponseCode::Refused] {
            let mut failed = Outcome::empty(rcode);
            let code = extended_error::NO_REACHABLE_AUTHORITY;
            failed.add_extended_error(code, String::new());
            assert!(dns64().second_question(&aaaa(), &failed).is_some());
            // Both fail: the first says so.
            assert_eq!(dns64().answer(failed.clone(), failed.clone()), failed);
            failed.add_extended_error(extended_error::SIGNATURE_EXPIRED, String::new());
            assert_eq!(dns64().second_question(&aaaa(), &failed), None);
        }
    }

    #[test]
    fn excluded_addresses_count_as_absent() {
        let mut mapped = no_data(60);
        mapped.answers = vec![record(
            "www.example.",
            300,
            RData::AAAA(AAAA(v6("::ffff:192.0.2.1"))),
        )];
        assert!(dns64().second_question(&aaaa(), &mapped).is_some());
        let answer = dns64().answer(mapped, no_data(60));
        assert!(answer.answers.is_empty() && !answer.authentic);
    }

    #[test]
    fn a_client_that_checks_signatures_itself_gets_nothing_made() {
        let checks = Question {
            dnssec_ok: true,
            checking_disabled: true,
            ..aaaa()
        };
        assert_eq!(dns64().second_question(&checks, &no_data(60)), None);
        let knows_dnssec = Question {
            dnssec_ok: true,
            ..aaaa()
        };
        assert!(
            dns64()
                .second_question(&knows_dnssec, &no_data(60))
                .is_some()
        );
    }

    #[test]
    fn a_made_address_leads_back_to_the_name_of_its_ipv4_address() {
        let reverse = |text: &str| {
            let name = Name::from(IpAddr::V6(v6(text)));
            dns64().reverse(&Question::new(name, RecordType::PTR))
        };
        let (target, alias) = reverse("64:ff9b::192.0.2.33").unwrap();
        assert_eq!(target, name("33.2.0.192.in-addr.arpa."));
        assert_eq!(alias.record_type(), RecordType::CNAME);
        assert!(reverse("2001:db8::1").is_none());
        let short = Question::new(name("b.9.f.f.4.6.0.0.ip6.arpa."), RecordType::PTR);
        assert!(dns64().reverse(&short).is_none());
    }
}
