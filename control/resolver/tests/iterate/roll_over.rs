//! Trust anchors through changes of keys (RFC 5011), with real signatures and months of faked time.

use std::cell::RefCell;
use std::rc::Rc;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use resolver::iterate::{AnchorState, Config, TrustEvent, Validation};
use resolver::zone::rdata_to_text;

use crate::authority::name;
use crate::net::{Action, Net, ROOT, address, config};
use crate::signing::{
    NEW, OLD, OLD_REVOKED, OTHER, Pair, START_SECS, ZONE, answer, signed, signed_keys,
};

const DAY_MS: u64 = 86_400_000;
const HOUR_MS: u64 = 3_600_000;
/// The zone is asked for its keys each day: half of this.
const KEYS_TTL_SECS: u32 = 2 * 86_400;

/// What the root publishes, and with what it signs that.
#[derive(Clone, Default)]
struct Keys {
    published: Vec<Pair>,
    signing: Vec<Pair>,
    silent: bool,
    /// Silent when asked for keys.
    keyless: bool,
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
        ttl_max_secs: 7 * 86_400,
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
                (".", RecordType::DNSKEY) if keys.keyless => return Action::Silence,
                (".", RecordType::DNSKEY) => {
                    let published = [&keys.published[..], &[ZONE]].concat();
                    signed_keys(&published, KEYS_TTL_SECS, &keys.signing)
                }
                // Never cached, so that each question is validated.
                (".", RecordType::TXT) => signed(".", 16, 0, vec![b"\x04text".to_vec()], &[ZONE]),
                _ => return Action::Serve,
            };
            answer(request, answers)
        });
        Self { net, keys }
    }

    /// Goes on for `days` with these keys.
    fn publish(&mut self, published: &[Pair], signing: &[Pair], days: u64) {
        *self.keys.borrow_mut() = Keys {
            published: published.to_vec(),
            signing: signing.to_vec(),
            ..Keys::default()
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
fn refresh_that_fails_is_not_held_against_the_zone_whose_keys_are_cached() {
    let mut world = World::new(&[OLD]);
    world.publish(&[OLD], &[OLD], 0);
    world.net.pass(DAY_MS - 60_000);
    // No keys for anybody any more, and everything else as it was.
    world.keys.borrow_mut().keyless = true;
    world.failures();
    world.net.pass(67_000);
    assert_eq!(world.failures(), 1);
    // What follows from the keys lasts an hour, and they themselves are cached for two days.
    for _ in 0..4 {
        assert!(world.is_trusted());
        world.net.pass(3_700_000);
    }
}

#[test]
fn question_that_waits_for_a_refresh_which_fails_gets_the_cached_keys() {
    let mut world = World::new(&[OLD]);
    world.publish(&[OLD], &[OLD], 0);
    world.net.pass(DAY_MS - 60_000);
    world.keys.borrow_mut().keyless = true;
    let asked = world.key_questions();
    world.net.pass(60_200);
    assert!(
        world.key_questions() > asked,
        "it is being asked for its keys"
    );
    assert_eq!(world.failures(), 0, "and has not answered");
    assert!(world.is_trusted());
    assert_eq!(world.failures(), 1);
}

#[test]
fn another_server_is_asked_when_one_gives_bogus_keys() {
    const OTHER_ROOT: &str = "198.51.100.99";
    let mut configured = rolling(&[OLD]);
    let servers = [ROOT, OTHER_ROOT];
    configured.root_hints = vec![(name("a.root."), servers.map(address).to_vec())];
    for bad in servers {
        let mut net = Net::empty(configured.clone());
        net.resolver.set_time(net.now_ms, START_SECS);
        for server in servers {
            net.zone(
                server,
                ".",
                "@ NS a.root.\n a.root. A 198.51.100.1\n a.root. A 198.51.100.99",
            );
            let signing = if server == bad { OTHER } else { OLD };
            net.behave(server, move |request, _| match request.qtype {
                RecordType::DNSKEY => answer(request, signed_keys(&[OLD, NEW], 3_600, &[signing])),
                _ => Action::Serve,
            });
        }
        net.delay(bad, 1); // Preferred.
        net.pass(HOUR_MS * 12);
        let events = net.resolver.take_trust_events();
        let seen = events
            .iter()
            .filter(|event| matches!(event, TrustEvent::AnchorsRefreshed { .. }));
        assert!(seen.count() >= 11, "{events:?}");
        let failed = |event: &TrustEvent| matches!(event, TrustEvent::RefreshFailed { .. });
        assert!(!events.iter().any(failed), "{events:?}");
        assert!(net.queries_to(bad) > 3, "{}", net.queries_to(bad));
    }
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
    let mut next = World::at(4, &[OLD, OTHER], Rc::clone(&world.keys), None);
    let now_ms = next.net.now_ms;
    let anew = next.net.resolver.restore_trust_anchors(now_ms, &state);
    assert_eq!(anew.unwrap(), [hickory_proto::rr::Name::root()]);
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
    assert_eq!((shown[0].age_secs, shown[0].refresh_in_secs), (None, None));
}
