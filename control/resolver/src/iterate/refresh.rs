//! Asks the zones of trust anchors for their keys, so that the anchors can roll over (RFC 5011
//! §2.3), and ends negative anchors whose time is up (RFC 7646).

use std::net::SocketAddr;

use hickory_proto::rr::RecordType;

use super::dnssec::{Ds, Effort, Fault, Key, Verified, confirms_revocation, parse_all, verify};
use super::failures::Failure;
use super::lookup::Look;
use super::manage::TrustEvent;
use super::name::WireName;
use super::resolver::Resolver;
use super::rollover::{Point, Seen};
use super::rrset::RrSet;
use super::task::{Task, TaskKey, Waiter};
use super::validate::bogus;
use super::walk::Ending;

/// Servers that may give bogus keys before a refresh has failed.
const BOGUS_MAX: usize = 2;
/// Things to tell the shell that wait for it; more are lost, and only the log misses them.
const EVENTS_MAX: usize = 256;

impl Resolver {
    /// When there is something to do for the trust anchors.
    pub(super) fn trust_deadline_ms(&self) -> Option<u64> {
        let lapse_ms = self.trust.as_ref().and_then(|tree| tree.next_lapse_ms());
        let due_ms = self.roll_over.next_due_ms();
        lapse_ms.into_iter().chain(due_ms).min()
    }

    /// Does it.
    pub(super) fn tend_trust(&mut self, now_ms: u64) {
        if self.trust_deadline_ms().is_none_or(|at_ms| now_ms < at_ms) {
            return;
        }
        while let Some(zone) = self
            .trust
            .as_mut()
            .and_then(|tree| tree.take_lapsed(now_ms))
        {
            let zone = zone.to_name();
            self.flush(Some((&zone, true)));
            self.tell_shell(TrustEvent::NegativeEnded { zone });
        }
        while let Some(zone) = self.roll_over.take_due(now_ms) {
            self.ask_keys(now_ms, zone, Vec::new(), None);
        }
    }

    pub(super) fn tell_shell(&mut self, event: TrustEvent) {
        if self.trust_events.len() < EVENTS_MAX {
            self.trust_events.push(event);
        }
    }

    /// Unix time of the resolver's clock, in seconds.
    pub(super) fn unix_time_secs(&self, now_ms: u64) -> u64 {
        let secs = self.unix_offset_secs.wrapping_add_unsigned(now_ms / 1000);
        u64::try_from(secs).unwrap_or(0)
    }

    /// Begins a resolution that no client waits for and that passes the cache by: what is new in
    /// the zone is what is wanted. Servers that gave bogus keys are left out; `bogus` says what was
    /// wrong with those.
    fn ask_keys(
        &mut self,
        now_ms: u64,
        zone: WireName,
        avoided: Vec<SocketAddr>,
        bogus: Option<Failure>,
    ) {
        let key = TaskKey {
            name: zone.clone(),
            rtype: RecordType::DNSKEY,
            checking_disabled: true,
            subnet: None,
        };
        let existing = self.tasks.find(&key);
        if existing.is_none() && !self.has_place() {
            return self.on_no_keys(now_ms, &zone, "too many questions wait");
        }
        let id = existing.unwrap_or_else(|| {
            let id = self.begin(now_ms, key);
            if let Some(task) = self.tasks.get_mut(id) {
                (task.look, task.avoided, task.bogus) = (false, avoided, bogus);
            }
            id
        });
        if let Some(task) = self.tasks.get_mut(id) {
            task.waiters.push(Waiter::RollOver);
        }
    }

    /// Tells the trust anchors what a task has found, if they wait for it. Others who happen to wait
    /// for the same would have been content with what is cached: where that failed they get it, and
    /// nothing is remembered as failed.
    pub(super) fn end_refresh(&mut self, now_ms: u64, task: &mut Task, ending: Ending) -> Ending {
        let waiters = task.waiters.len();
        let is_other = |waiter: &Waiter| !matches!(waiter, Waiter::RollOver);
        task.waiters.retain(is_other);
        if task.waiters.len() == waiters {
            return ending;
        }
        self.on_anchor_keys(now_ms, task, &ending);
        let aliases_max = self.config.limits.aliases_max;
        ending.or_else(|failure| {
            let cached = self
                .cache
                .assemble(now_ms, &task.key, false, aliases_max, |_| Look::Nothing);
            cached.ok_or(failure)
        })
    }

    fn on_anchor_keys(&mut self, now_ms: u64, task: &Task, ending: &Ending) {
        let zone = &task.key.name;
        let found = match ending {
            Ok(found) => found,
            Err(failure) => return self.on_no_keys(now_ms, zone, &failure.text),
        };
        let own = |set: &&RrSet| set.rtype == RecordType::DNSKEY && set.owner == *zone;
        let Some(set) = found.answers.iter().find(own) else {
            return self.on_no_keys(now_ms, zone, "the zone has no DNSKEY");
        };
        let named = self.trust.as_ref().and_then(|tree| tree.anchor(zone));
        let mut effort = Effort::within(&self.config.limits);
        let now = self.unix_secs(now_ms);
        match read_keys(set, zone, named.unwrap_or(&[]), now, &mut effort) {
            Ok(seen) => self.on_seen(now_ms, zone, &seen),
            Err(fault) => {
                self.cache.discard(set);
                let tries_left = task.avoided.len() < BOGUS_MAX;
                let Some(source) = task.source.filter(|_| tries_left) else {
                    return self.on_no_keys(now_ms, zone, fault.text());
                };
                let avoided = [&task.avoided[..], &[source]].concat();
                let failure = bogus(zone, RecordType::DNSKEY, fault);
                self.ask_keys(now_ms, zone.clone(), avoided, Some(failure));
            }
        }
    }

    fn on_seen(&mut self, now_ms: u64, zone: &WireName, seen: &Seen) {
        let now_secs = self.unix_time_secs(now_ms);
        let (Some(tree), Some(point)) = (&mut self.trust, self.roll_over.points.get_mut(zone))
        else {
            return;
        };
        let changes = point.see(zone, seen, now_secs);
        point.due_ms = now_ms + Point::refresh_after_secs(seen) * 1000;
        let trusted = point.trusted(zone);
        if tree.anchor(zone) != Some(&trusted) {
            tree.set_anchor(zone, trusted);
        }
        let zone = zone.to_name();
        for change in changes {
            self.tell_shell(TrustEvent::AnchorChanged {
                zone: zone.clone(),
                key_tag: change.tag,
                algorithm: change.algorithm,
                state: change.state,
            });
        }
        self.tell_shell(TrustEvent::AnchorsRefreshed { zone });
    }

    fn on_no_keys(&mut self, now_ms: u64, zone: &WireName, reason: &str) {
        if let Some(point) = self.roll_over.points.get_mut(zone) {
            point.due_ms = now_ms + point.retry_secs * 1000;
        }
        self.tell_shell(TrustEvent::RefreshFailed {
            zone: zone.to_name(),
            reason: reason.to_owned(),
        });
    }
}

/// The keys of a zone, if one that is trusted has signed them all.
fn read_keys(
    set: &RrSet,
    zone: &WireName,
    named: &[Ds],
    now: u32,
    effort: &mut Effort,
) -> Result<Seen, Fault> {
    let keys = parse_all(set, Key::parse);
    let is_trusted = |key: &&Key| Ds::name_one(named, zone, key);
    let trusted: Vec<Key> = keys.iter().filter(is_trusted).cloned().collect();
    if trusted.is_empty() {
        return Err(Fault::NoAnchoredKey);
    }
    let Verified {
        original_ttl_secs,
        left_secs,
        ..
    } = verify(set, zone, &trusted, now, effort)?;
    let (mut present, mut revoked) = (Vec::new(), Vec::new());
    for key in keys {
        if !key.has_revoke_bit() {
            present.push(key);
        } else if confirms_revocation(set, zone, &key, now, effort)? {
            revoked.push(key.before_revocation());
        }
    }
    Ok(Seen {
        present,
        revoked,
        original_ttl_secs,
        left_secs,
    })
}
