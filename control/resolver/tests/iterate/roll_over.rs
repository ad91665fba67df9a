//! Trust anchors through changes of keys (RFC 5011), with real signatures and months of faked time.

use std::cell::RefCell;
use std::rc::Rc;

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::NULL;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use resolver::iterate::{AnchorState, Config, TrustAnchor, TrustEvent, Validation, read_anchors};
use resolver::zone::rdata_to_text;
use ring::signature::{Ed25519KeyPair, KeyPair};

use crate::net::{Action, Net, ROOT, config};

const START_SECS: u64 = 1_800_000_000;
const DAY_MS: u64 = 86_400_000;
const HOUR_MS: u64 = 3_600_000;
/// The zone is asked for its keys each day: half of this.
const KEYS_TTL_SECS: u32 = 2 * 86_400;
const SIGNED_SECS: u64 = 400 * 86_400;

const KSK: u16 = 257;
const ZSK: u16 = 256;
const REVOKED: u16 = 0x80;

/// A key pair of the root by number, and the flags that its DNSKEY has.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Pair(u8, u16);

const OLD: Pair = Pair(1, KSK);
const OLD_REVOKED: Pair = Pair(1, KSK | REVOKED);
const NEW: Pair = Pair(2, KSK);
const OTHER: Pair = Pair(3, KSK);
const ZONE: Pair = Pair(9, ZSK);

impl Pair {
    fn sign(self, message: &[u8]) -> Vec<u8> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[self.0; 32]).unwrap();
        pair.sign(message).as_ref().to_vec()
    }

    fn dnskey(self) -> Vec<u8> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[self.0; 32]).unwrap();
        [
            &self.1.to_be_bytes(),
            &[3, 15][..],
            pair.public_key().as_ref(),
        ]
        .concat()
    }

    /// RFC 4034 appendix B.
    fn tag(self) -> u16 {
        let words = self.dnskey();
        let sum: u32 = words
            .chunks(2)
            .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]))
            .sum();
        (sum + (sum >> 16)) as u16
    }

    fn anchor(self) -> TrustAnchor {
        let line = format!(". IN DNSKEY {}\n", rdata_to_text(48, &self.dnskey()));
        read_anchors(line.as_bytes(), "anchors").unwrap().remove(0)
    }
}

/// An RRset of the root with a signature by each pair.
fn signed(rtype: u16, ttl_secs: u32, mut rdatas: Vec<Vec<u8>>, pairs: &[Pair]) -> Vec<Record> {
    rdatas.sort();
    let record = |rtype: u16, rdata: &[u8]| {
        let code = RecordType::from(rtype);
        let rdata = NULL::with(rdata.to_vec());
        Record::from_rdata(Name::root(), ttl_secs, RData::Unknown { code, rdata })
    };
    let mut records: Vec<Record> = rdatas.iter().map(|rdata| record(rtype, rdata)).collect();
    for pair in pairs {
        let (from, to) = (START_SECS - 86_400, START_SECS + SIGNED_SECS);
        let mut rrsig = [&rtype.to_be_bytes()[..], &[15, 0], &ttl_secs.to_be_bytes()].concat();
        rrsig.extend((to as u32).to_be_bytes());
        rrsig.extend((from as u32).to_be_bytes());
        rrsig.extend(pair.tag().to_be_bytes());
        rrsig.push(0); // Signer: the root.
        let mut message = rrsig.clone();
        for rdata in &rdatas {
            message.push(0);
            message.extend(rtype.to_be_bytes());
            message.extend(1_u16.to_be_bytes());
            message.extend(ttl_secs.to_be_bytes());
            message.extend((rdata.len() as u16).to_be_bytes());
            message.extend(rdata);
        }
        rrsig.extend(pair.sign(&message));
        records.push(record(46, &rrsig));
    }
    records
}

/// What the root publishes, and with what it signs that.
#[derive(Clone, Default)]
struct Keys {
    published: Vec<Pair>,
    signing: Vec<Pair>,
    silent: bool,
}

struct World {
    net: Net,
    keys: Rc<RefCell<Keys>>,
}

fn rolling(anchors: &[Pair]) -> Config {
    Config {
        validation: Some(Validation {
            anchors: anchors.iter().map(|pair| pair.anchor()).collect(),
            negative: Vec::new(),
        }),
        trust_anchor_roll_over: true,
        ..config()
    }
}

impl World {
    fn new(anchors: &[Pair]) -> Self {
        Self::at(0, anchors, Rc::default(), None)
    }

    /// A resolver that starts after `days`, perhaps with what another one kept.
    fn at(days: u64, anchors: &[Pair], keys: Rc<RefCell<Keys>>, state: Option<&str>) -> Self {
        let mut net = Net::empty(rolling(anchors));
        net.zone(ROOT, ".", "@ NS a.root.\n a.root. A 198.51.100.1");
        net.resolver
            .set_time(net.now_ms, START_SECS + days * 86_400);
        if let Some(state) = state {
            net.resolver
                .restore_trust_anchors(net.now_ms, state)
                .unwrap();
        }
        let shown = Rc::clone(&keys);
        net.behave(ROOT, move |request, _| {
            let keys = shown.borrow();
            let answers = match (request.qname.as_str(), request.qtype) {
                _ if keys.silent => return Action::Silence,
                (".", RecordType::DNSKEY) => {
                    let mut published = keys.published.clone();
                    published.push(ZONE);
                    let rdatas = published.iter().map(|pair| pair.dnskey()).collect();
                    signed(48, KEYS_TTL_SECS, rdatas, &keys.signing)
                }
                // Never cached, so that each question is validated.
                (".", RecordType::TXT) => signed(16, 0, vec![b"\x04text".to_vec()], &[ZONE]),
                _ => return Action::Serve,
            };
            let mut reply = Message::new(
                request.message.metadata.id,
                MessageType::Response,
                OpCode::Query,
            );
            reply.metadata.authoritative = true;
            reply.add_query(request.message.queries[0].clone());
            reply.insert_answers(answers);
            Action::Message(Box::new(reply))
        });
        Self { net, keys }
    }

    /// Goes on for `days` with these keys.
    fn publish(&mut self, published: &[Pair], signing: &[Pair], days: u64) {
        *self.keys.borrow_mut() = Keys {
            published: published.to_vec(),
            signing: signing.to_vec(),
            silent: false,
        };
        self.net.pass(days * DAY_MS);
    }

    /// What is known of a key; the tag is that without the REVOKE bit.
    fn state(&self, pair: Pair) -> Option<AnchorState> {
        let all = self.net.resolver.trust_anchors(self.net.now_ms);
        let mut own = all.iter().filter(|status| status.key_tag == pair.tag());
        let state = own.next().map(|status| status.state);
        assert!(own.next().is_none(), "{all:?}");
        state
    }

    /// Whether a record of the root is believed now.
    fn is_trusted(&mut self) -> bool {
        let ticket = self.net.begin_plain(".", RecordType::TXT);
        self.net.pass(20_000);
        let outcome = self.net.take(ticket);
        assert_eq!(
            outcome.authentic,
            outcome.rcode == ResponseCode::NoError,
            "{outcome:?}"
        );
        outcome.authentic
    }

    fn failures(&mut self) -> usize {
        let events = self.net.resolver.take_trust_events();
        let failed = |event: &&TrustEvent| matches!(event, TrustEvent::RefreshFailed { .. });
        events.iter().filter(failed).count()
    }

    fn key_questions(&self) -> usize {
        let questions = self.net.log.iter();
        questions
            .filter(|request| request.qtype == RecordType::DNSKEY)
            .count()
    }
}

#[test]
fn new_key_is_trusted_once_it_was_seen_for_thirty_days_and_not_before() {
    for (days, trusted) in [(29, false), (31, true)] {
        let mut world = World::new(&[OLD]);
        world.publish(&[OLD], &[OLD], 2);
        assert_eq!(
            (world.state(OLD), world.state(NEW)),
            (Some(AnchorState::Valid), None)
        );
        assert!(world.is_trusted());
        world.publish(&[OLD, NEW], &[OLD], days + 1);
        let expected = if trusted {
            AnchorState::Valid
        } else {
            AnchorState::AddPend
        };
        assert_eq!(world.state(NEW), Some(expected), "{days}");
        world.publish(&[NEW], &[NEW], 3);
        assert_eq!(world.is_trusted(), trusted, "{days}");
        if trusted {
            assert_eq!(world.state(OLD), Some(AnchorState::Missing));
            world.publish(&[OLD, NEW], &[OLD], 3);
            assert_eq!(world.state(OLD), Some(AnchorState::Valid), "it is back");
            assert!(world.is_trusted());
        }
    }
}

#[test]
fn new_key_that_goes_away_in_its_hold_down_starts_again() {
    let mut world = World::new(&[OLD]);
    world.publish(&[OLD, NEW], &[OLD], 25);
    assert_eq!(world.state(NEW), Some(AnchorState::AddPend));
    world.publish(&[OLD], &[OLD], 2);
    assert_eq!(world.state(NEW), None);
    world.publish(&[OLD, NEW], &[OLD], 28);
    assert_eq!(
        world.state(NEW),
        Some(AnchorState::AddPend),
        "55 days after it was seen first"
    );
    world.publish(&[OLD, NEW], &[OLD], 4);
    assert_eq!(world.state(NEW), Some(AnchorState::Valid));
}

#[test]
fn keys_that_nothing_trusted_has_signed_are_not_even_noted() {
    let mut world = World::new(&[OLD]);
    world.publish(&[OLD], &[OLD], 1);
    world.failures();
    for signing in [&[OTHER][..], &[ZONE], &[]] {
        world.publish(&[OLD, OTHER], signing, 40);
        assert_eq!(world.state(OTHER), None);
        assert_eq!(
            world.state(OLD),
            Some(AnchorState::Valid),
            "nothing holds, nothing changes"
        );
        assert!(world.failures() > 30, "asked again and again");
    }
    world.publish(&[OLD], &[OLD], 2);
    assert!(world.is_trusted());
}

#[test]
fn key_that_revokes_itself_is_trusted_no_more_and_removed_after_thirty_days() {
    let mut world = World::new(&[OLD, NEW]);
    world.publish(&[OLD, NEW], &[OLD], 2);
    world.publish(&[OLD_REVOKED, NEW], &[OLD_REVOKED, NEW], 2);
    assert_eq!(world.state(OLD), Some(AnchorState::Revoked));
    assert_eq!(world.state(NEW), Some(AnchorState::Valid));
    assert!(world.is_trusted());
    // Whoever has stolen it has no use of it.
    world.publish(&[OLD, OTHER], &[OLD, OTHER], 3);
    assert!(!world.is_trusted());
    assert_eq!(world.state(OTHER), None);
    world.publish(&[NEW], &[NEW], 33);
    assert_eq!(world.state(OLD), Some(AnchorState::Removed));
    world.publish(&[OLD, NEW], &[NEW], 60);
    assert_eq!(world.state(OLD), Some(AnchorState::Removed), "never again");
}

#[test]
fn revocation_without_a_signature_of_the_key_itself_is_none() {
    let mut world = World::new(&[OLD, NEW]);
    world.publish(&[OLD, NEW], &[OLD], 2);
    world.publish(&[OLD_REVOKED, NEW], &[NEW], 2);
    assert_eq!(world.state(OLD), Some(AnchorState::Missing));
    world.publish(&[OLD, NEW], &[OLD], 3);
    assert_eq!(world.state(OLD), Some(AnchorState::Valid));
    assert!(world.is_trusted());
}

#[test]
fn last_anchor_is_never_given_up() {
    let mut world = World::new(&[OLD]);
    world.publish(&[OLD], &[OLD], 2);
    world.publish(&[OLD_REVOKED, NEW], &[OLD_REVOKED, NEW], 40);
    assert_eq!(world.state(OLD), Some(AnchorState::Valid));
    assert_eq!(world.state(NEW), None);
    assert!(!world.is_trusted(), "the zone does not become unsigned");
}

#[test]
fn zone_is_asked_at_once_then_after_half_the_ttl_and_hourly_when_it_fails() {
    let mut world = World::new(&[OLD]);
    world.publish(&[OLD], &[OLD], 0);
    world.net.pass(1_000);
    assert_eq!(world.key_questions(), 1);
    world.net.pass(DAY_MS - 10_000);
    assert_eq!(world.key_questions(), 1);
    world.net.pass(10_000);
    assert_eq!(world.key_questions(), 2);
    // A tenth of the TTL: 4.8 hours.
    world.keys.borrow_mut().silent = true;
    world.failures();
    world.net.pass(DAY_MS + 20_000);
    assert_eq!(world.failures(), 1);
    world.net.pass(4 * HOUR_MS);
    assert_eq!(world.failures(), 0);
    world.net.pass(HOUR_MS);
    assert_eq!(world.failures(), 1);
    world.keys.borrow_mut().silent = false;
    world.net.pass(5 * HOUR_MS);
    assert!(world.is_trusted());
}

#[test]
fn hold_down_goes_on_after_a_restart() {
    let mut world = World::new(&[OLD]);
    world.publish(&[OLD, NEW], &[OLD], 20);
    world.net.pass(HOUR_MS);
    let state = world.net.resolver.trust_anchor_state(world.net.now_ms);
    let mut next = World::at(20, &[OLD], Rc::clone(&world.keys), Some(&state));
    let kept = next.net.resolver.trust_anchor_state(next.net.now_ms);
    assert_eq!(kept, state, "nothing is lost and nothing is added");
    assert_eq!(next.state(NEW), Some(AnchorState::AddPend));
    next.net.pass(DAY_MS / 2);
    assert_eq!(next.key_questions(), 0, "it is not due yet");
    next.publish(&[OLD, NEW], &[OLD], 12);
    assert_eq!(next.state(NEW), Some(AnchorState::Valid));
    // And the state counts, not the configuration, when only the new key is left.
    let state = next.net.resolver.trust_anchor_state(next.net.now_ms);
    let mut last = World::at(33, &[OLD], Rc::clone(&next.keys), Some(&state));
    last.publish(&[NEW], &[NEW], 1);
    assert!(last.is_trusted());
}

#[test]
fn other_configured_anchors_hold_after_a_restart_but_for_what_was_revoked() {
    let mut world = World::new(&[OLD, NEW]);
    world.publish(&[OLD, NEW, OTHER], &[OLD], 2);
    world.publish(&[OLD_REVOKED, NEW, OTHER], &[OLD_REVOKED, NEW], 2);
    let state = world.net.resolver.trust_anchor_state(world.net.now_ms);
    let next = World::at(4, &[OLD, OTHER], Rc::clone(&world.keys), Some(&state));
    assert_eq!(next.state(OTHER), Some(AnchorState::Valid));
    assert_eq!(next.state(OLD), Some(AnchorState::Revoked));
    assert_eq!(next.state(NEW), None);
}

#[test]
fn state_that_cannot_be_read_is_an_error_with_its_line_and_changes_nothing() {
    let mut world = World::new(&[OLD]);
    let resolver = &mut world.net.resolver;
    let key = rdata_to_text(48, &OLD.dnskey());
    for (text, line) in [
        ("; comment\nvalid 0 0 DNSKEY 257 3 15 AAAA\n".to_owned(), 2),
        ("zone . 0\n".to_owned(), 1),
        ("zone . 0 0\nzone . 0 0\n".to_owned(), 2),
        ("zone . 0 0\nconfigured 1 2\n".to_owned(), 2),
        (format!("zone . 0 0\nvalidated 0 0 DNSKEY {key}\n"), 2),
        (format!("zone . 0 0\nrevoked 1 2 DNSKEY {key}\n"), 2),
        (format!("zone . 0 0\nvalid 1 DNSKEY {key}\n"), 2),
    ] {
        let error = resolver.restore_trust_anchors(0, &text).unwrap_err();
        assert_eq!(error.line, line, "{text}");
    }
    assert_eq!(world.state(OLD), Some(AnchorState::Valid));
}

#[test]
fn anchors_that_do_not_roll_over_are_shown_and_nobody_is_asked() {
    let mut net = Net::empty(Config {
        trust_anchor_roll_over: false,
        ..rolling(&[OLD])
    });
    net.run();
    assert!(net.log.is_empty());
    let shown = net.resolver.trust_anchors(net.now_ms);
    assert_eq!(shown.len(), 1);
    assert_eq!((shown[0].since_secs, shown[0].refresh_secs), (None, None));
}
