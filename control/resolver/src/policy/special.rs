//! Special-use names (RFC 6761): answered here, since asking for them outside would leak what is
//! meant to stay inside, and nobody there knows.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::rr::rdata::{A, AAAA, PTR};
use hickory_proto::rr::{Name, RData, Record};

use super::local::{LocalAction, LocalData};

/// TTL of addresses of `localhost.` and of its reverse names, in seconds.
const TTL_SECS: u32 = 10_800;

/// Names under which nothing exists, and where that is said.
const MISSING: &[&str] = &[
    "invalid.",   // RFC 6761 §6.4.
    "test.",      // RFC 6761 §6.2.
    "onion.",     // RFC 7686 §2.
    "local.",     // RFC 6762 §22.1: never asked by unicast.
    "alt.",       // RFC 9476 §3.
    "home.arpa.", // RFC 8375 §4.
];

/// Reverse zones that are served locally (RFC 6303 §4, RFC 7793), beside those with a number.
const REVERSE: &[&str] = &[
    "0.in-addr.arpa.",
    "10.in-addr.arpa.",
    "127.in-addr.arpa.",
    "254.169.in-addr.arpa.",
    "168.192.in-addr.arpa.",
    "2.0.192.in-addr.arpa.",
    "100.51.198.in-addr.arpa.",
    "113.0.203.in-addr.arpa.",
    "255.255.255.255.in-addr.arpa.",
    "d.f.ip6.arpa.",
    "8.e.f.ip6.arpa.",
    "9.e.f.ip6.arpa.",
    "a.e.f.ip6.arpa.",
    "b.e.f.ip6.arpa.",
    "8.b.d.0.1.0.0.2.ip6.arpa.",
];

/// The reverse zones of addresses that mean nothing outside (RFC 6303 §4, RFC 7793).
pub fn reverse_zones() -> impl Iterator<Item = String> {
    let fixed = REVERSE.iter().map(|text| (*text).to_owned());
    let private = (16..32).map(|octet| format!("{octet}.172.in-addr.arpa."));
    let shared = (64..128).map(|octet| format!("{octet}.100.in-addr.arpa."));
    fixed.chain(private).chain(shared)
}

impl LocalData {
    /// Adds the built-in zones beneath those of the operator, except those that `except` names, and
    /// the parts of them that it names.
    pub fn add_special_names(&mut self, except: &[Name]) {
        let is_excepted = |zone: &Name| except.iter().any(|name| name.zone_of(zone));
        let missing = MISSING.iter().map(|text| (*text).to_owned());
        for text in missing.chain(reverse_zones()) {
            let zone = Name::from_ascii(&text).unwrap_or_default();
            if !is_excepted(&zone) {
                self.add_special(&zone, LocalAction::Static);
            }
        }
        // Discovery of designated resolvers (RFC 9462 §6.4): none is designated.
        let designated = Name::from_ascii("resolver.arpa.").unwrap_or_default();
        if !is_excepted(&designated) {
            self.add_special(&designated, LocalAction::NoData);
        }
        self.add_localhost(&is_excepted);
        for name in except {
            self.add_special(name, LocalAction::Transparent);
        }
    }

    /// `localhost.` and all below are this host (RFC 6761 §6.3), and this host is `localhost.`.
    fn add_localhost(&mut self, is_excepted: &impl Fn(&Name) -> bool) {
        let localhost = Name::from_ascii("localhost.").unwrap_or_default();
        if !is_excepted(&localhost) {
            self.add_special(&localhost, LocalAction::Redirect);
            for data in [
                RData::A(A(Ipv4Addr::LOCALHOST)),
                RData::AAAA(AAAA(Ipv6Addr::LOCALHOST)),
            ] {
                self.add_record(Record::from_rdata(localhost.clone(), TTL_SECS, data));
            }
        }
        let unspecified = Name::from(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        if !is_excepted(&unspecified) {
            self.add_special(&unspecified, LocalAction::Static);
        }
        let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        for address in loopback {
            let name = Name::from(address);
            if is_excepted(&name) {
                continue;
            }
            if address.is_ipv6() {
                self.add_special(&name, LocalAction::Static);
            }
            let data = RData::PTR(PTR(localhost.clone()));
            self.add_record(Record::from_rdata(name, TTL_SECS, data));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iterate::Question;
    use crate::policy::local::LocalAnswer;
    use hickory_proto::op::ResponseCode;
    use hickory_proto::rr::RecordType;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn rcode(local: &LocalData, qname: &str, qtype: RecordType) -> Option<(ResponseCode, usize)> {
        match local.find(&Question::new(name(qname), qtype))? {
            (LocalAnswer::Answer(outcome), _) => Some((outcome.rcode, outcome.answers.len())),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_special_name_is_answered_as_its_rfc_says() {
        let mut local = LocalData::default();
        local.add_special_names(&[]);
        let missing = Some((ResponseCode::NXDomain, 0));
        let empty = Some((ResponseCode::NoError, 0));
        let one = Some((ResponseCode::NoError, 1));
        for (qname, qtype, expected) in [
            ("localhost.", RecordType::A, one),
            ("a.b.LOCALHOST.", RecordType::AAAA, one),
            ("localhost.", RecordType::MX, empty),
            ("1.0.0.127.in-addr.arpa.", RecordType::PTR, one),
            ("2.0.0.127.in-addr.arpa.", RecordType::PTR, missing),
            ("x.test.", RecordType::A, missing),
            ("invalid.", RecordType::A, empty),
            ("x.invalid.", RecordType::A, missing),
            ("x.onion.", RecordType::A, missing),
            ("printer.local.", RecordType::A, missing),
            ("x.alt.", RecordType::A, missing),
            ("x.home.arpa.", RecordType::A, missing),
            ("_dns.resolver.arpa.", RecordType::SVCB, empty),
            ("1.1.168.192.in-addr.arpa.", RecordType::PTR, missing),
            ("1.1.31.172.in-addr.arpa.", RecordType::PTR, missing),
            ("1.1.32.172.in-addr.arpa.", RecordType::PTR, None),
            ("1.1.127.100.in-addr.arpa.", RecordType::PTR, missing),
            ("1.1.128.100.in-addr.arpa.", RecordType::PTR, None),
            ("x.d.f.ip6.arpa.", RecordType::PTR, missing),
            ("1.1.1.1.in-addr.arpa.", RecordType::PTR, None),
            ("www.example.", RecordType::A, None),
            // The proof that it is delegated unsigned is outside.
            ("home.arpa.", RecordType::DS, None),
        ] {
            assert_eq!(rcode(&local, qname, qtype), expected, "{qname} {qtype}");
        }
        let loopback = Name::from(IpAddr::V6(Ipv6Addr::LOCALHOST)).to_string();
        assert_eq!(rcode(&local, &loopback, RecordType::PTR), one);
    }

    #[test]
    fn exceptions_and_zones_of_the_operator_come_first() {
        let mut local = LocalData::default();
        local.add_zone(&name("10.in-addr.arpa."), LocalAction::Refuse);
        local.read("printer.home.arpa. A 192.0.2.9").unwrap();
        local.add_special_names(&[name("test."), name("1.168.192.in-addr.arpa.")]);
        assert_eq!(rcode(&local, "x.test.", RecordType::A), None);
        let reverse = |qname| rcode(&local, qname, RecordType::PTR);
        assert_eq!(reverse("7.1.168.192.in-addr.arpa."), None);
        let missing = Some((ResponseCode::NXDomain, 0));
        assert_eq!(reverse("7.2.168.192.in-addr.arpa."), missing);
        let refused = Some((ResponseCode::Refused, 0));
        assert_eq!(reverse("1.0.0.10.in-addr.arpa."), refused);
        let printer = rcode(&local, "printer.home.arpa.", RecordType::A);
        assert_eq!(printer, Some((ResponseCode::NoError, 1)));
    }
}
