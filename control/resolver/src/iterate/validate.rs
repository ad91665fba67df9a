//! Holds what was found to the keys of its zone, from a trust anchor down (RFC 4035 §5).
//!
//! A task that has found something is judged before it ends. Judging walks from the closest zone
//! of which something is known towards the signer, label by label: at each, the parent's DS says
//! whether a zone begins there and which key it has. What is not known is looked up by
//! sub-resolutions; the task waits and is judged anew.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;

use super::cache::{Grade, Kind, Want};
use super::dnssec::{
    Cut, Denial, Ds, Effort, Fault, Key, Proof, SignedDenials, asks_too_many_iterations, parse_all,
    signers, verify,
};
use super::explain::Insecurity;
use super::failures::Failure;
use super::lookup::{Denied, Resolution};
use super::name::WireName;
use super::resolver::Resolver;
use super::rrset::{RrSet, Security};
use super::task::{Task, TaskKey};
use super::trace::TraceKind;
use super::trust::{BOGUS_SECS, Trust};
use super::walk::Ending;

/// Times that a task starts anew because a server gave bogus data.
const RESTARTS_MAX: usize = 2;
/// Lookups of DS and DNSKEY for one task.
const LOOKUPS_MAX: usize = 64;
/// For how long the proof that a zone is unsigned is kept at least, in seconds.
const INSECURE_SECS_MIN: u32 = 1;

/// A lookup of DS or DNSKEY on behalf of a task.
#[derive(Debug)]
pub(super) struct TrustLookup {
    pub(super) key: TaskKey,
    pub(super) ending: Ending,
    /// The server that answered it.
    pub(super) source: Option<SocketAddr>,
}

/// Why judging stops before it is done.
enum Stop {
    /// A sub-resolution must end first.
    Wait,
    /// These data are bogus; other servers may have better ones.
    Bogus(Failure),
    /// The chain of trust is broken, or cannot be followed.
    Chain(Failure),
}

/// A zone and the keys that sign it.
type Signers = (WireName, Arc<[Key]>);

impl Resolver {
    /// Whether what this task finds is to be judged.
    fn validates(&self, task: &Task) -> bool {
        self.trust.is_some() && !task.key.checking_disabled
    }

    /// Whether a client may get what the cache holds: for those that do not check themselves, it
    /// must have been judged.
    pub(super) fn may_give(&self, key: &TaskKey, found: &Resolution) -> bool {
        self.trust.is_none() || key.checking_disabled || found.security() != Security::Unchecked
    }

    /// Keeps what a task found until it is judged; gives the ending if nothing is to be judged.
    pub(super) fn hold_for_judgement(&self, task: &mut Task, ending: Ending) -> Option<Ending> {
        match ending {
            Ok(found) if self.validates(task) && found.security() == Security::Unchecked => {
                task.found = Some(Box::new(found));
                None
            }
            ending => Some(ending),
        }
    }

    /// Unix time modulo 2^32, as signatures count it.
    pub(super) fn unix_secs(&self, now_ms: u64) -> u32 {
        let secs = self.unix_offset_secs.wrapping_add_unsigned(now_ms / 1000);
        u32::try_from(secs.rem_euclid(1 << 32)).unwrap_or(0)
    }

    /// Judges what a task has found. `None`: it waits, or starts anew to ask other servers.
    pub(super) fn judge(
        &mut self,
        now_ms: u64,
        task: &mut Task,
        mut found: Box<Resolution>,
    ) -> Option<Ending> {
        match self.judge_all(now_ms, task, &mut found) {
            Ok(()) => {
                match found.security() {
                    Security::Secure => self.counters.secure += 1,
                    _ => self.counters.insecure += 1,
                }
                Some(Ok(*found))
            }
            Err(Stop::Wait) => {
                task.found = Some(found);
                None
            }
            Err(Stop::Bogus(failure)) => self.on_bogus(now_ms, task, &found, failure),
            Err(Stop::Chain(failure)) => {
                self.counters.bogus += u64::from(failure.lasting);
                Some(Err(failure))
            }
        }
    }

    fn judge_all(
        &mut self,
        now_ms: u64,
        task: &mut Task,
        found: &mut Resolution,
    ) -> Result<(), Stop> {
        for index in 0..found.answers.len() {
            let Some(set) = found.answers.get(index).cloned() else {
                break;
            };
            if set.security != Security::Unchecked {
                continue;
            }
            let grade = self.judge_set(now_ms, task, &set, &found.authority)?;
            self.cache.grade(now_ms, &set, &grade);
            if let Some(set) = found.answers.get_mut(index) {
                set.security = grade.security;
                set.ttl_secs = set.ttl_secs.min(grade.secs_max);
                found.ttl_secs = found.ttl_secs.min(set.ttl_secs);
            }
            found.note_proven(grade.proof.as_deref().unwrap_or(&[]));
        }
        let unchecked = |denied: &Denied| denied.security == Security::Unchecked;
        if let Some(mut denied) = found.denied.clone().filter(unchecked) {
            let grade = self.judge_denial(now_ms, task, &denied.name, found)?;
            denied.security = grade.security;
            found.ttl_secs = found.ttl_secs.min(grade.secs_max);
            let rtype = (found.rcode != ResponseCode::NXDomain).then_some(task.key.rtype);
            self.cache
                .grade_denial(now_ms, &denied.name, rtype, &found.authority, &grade);
            found.note_proven(grade.proof.as_deref().unwrap_or(&[]));
            found.denied = Some(denied);
        }
        found.drop_unproven();
        Ok(())
    }

    /// One RRset of an answer.
    fn judge_set(
        &mut self,
        now_ms: u64,
        task: &mut Task,
        set: &RrSet,
        proofs: &[RrSet],
    ) -> Result<Grade, Stop> {
        if set.rtype == RecordType::RRSIG {
            return Ok(Grade::insecure()); // Nothing signs signatures (RFC 4035 §2.2).
        }
        // An alias that stands in the place of DS is the parent's word, as DS would be.
        let is_above = task.key.rtype == RecordType::DS && task.key.name == set.owner;
        let side_of = if is_above { RecordType::DS } else { set.rtype };
        let lowest = side(&set.owner, side_of);
        let target = self.target(&lowest, signer(set));
        let Some((zone, keys)) = self.keys_of(now_ms, task, &target)? else {
            return Ok(Grade::insecure());
        };
        let now = self.unix_secs(now_ms);
        let effort = &mut self.tasks.work(task.work).effort;
        let about = |fault: Fault| Stop::Bogus(bogus(&set.owner, set.rtype, fault));
        let verified = verify(set, &zone, &keys, now, effort).map_err(about)?;
        let Some(labels) = verified.wildcard else {
            self.aggressive.note_exists(&zone, &set.owner);
            return Ok(Grade {
                security: Security::Secure,
                secs_max: verified.ttl_max_secs,
                proof: Some(Vec::new()),
            });
        };
        let (signed, secs_max) =
            verified_denials(&zone, &keys, proofs, now, effort).map_err(about)?;
        let records: Vec<&RrSet> = signed.iter().collect();
        let denials = SignedDenials::new(&zone, &records);
        let proof = denials.prove(Denial::Closer(&set.owner, labels), effort);
        let proof = proof.map_err(about)?;
        let secs_max = verified.ttl_max_secs.min(secs_max);
        if proof == Proof::Secure {
            let wildcard = Some((set, labels));
            self.learn(now_ms, (&zone, secs_max), &records, wildcard);
        }
        Ok(Grade {
            security: proof.into(),
            secs_max,
            proof: Some(signed),
        })
    }

    /// NXDOMAIN or NODATA for `name`.
    fn judge_denial(
        &mut self,
        now_ms: u64,
        task: &mut Task,
        name: &WireName,
        found: &Resolution,
    ) -> Result<Grade, Stop> {
        let rtype = task.key.rtype;
        let is_proof = |set: &&RrSet| set.rtype != RecordType::SOA;
        let proofs = found.authority.iter().filter(is_proof);
        let lowest = side(name, rtype);
        let signer = proofs
            .chain(&found.authority)
            .find_map(|set| signer(set).filter(|signer| lowest.is_within(signer)));
        let target = self.target(&lowest, signer);
        let Some((zone, keys)) = self.keys_of(now_ms, task, &target)? else {
            return Ok(Grade::insecure());
        };
        let now = self.unix_secs(now_ms);
        let effort = &mut self.tasks.work(task.work).effort;
        let about = |fault: Fault| Stop::Bogus(bogus(name, rtype, fault));
        let (mut soas, mut secs_max) = (Vec::new(), u32::MAX);
        let is_soa = |set: &&RrSet| set.rtype == RecordType::SOA;
        for soa in found.authority.iter().filter(is_soa) {
            let verified = verify(soa, &zone, &keys, now, effort).map_err(about)?;
            secs_max = secs_max.min(verified.ttl_max_secs);
            soas.push(secure(soa));
        }
        let (mut signed, denials_secs_max) =
            verified_denials(&zone, &keys, &found.authority, now, effort).map_err(about)?;
        let secs_max = secs_max.min(denials_secs_max);
        let records: Vec<&RrSet> = signed.iter().collect();
        let denials = SignedDenials::new(&zone, &records);
        let denial = if found.rcode == ResponseCode::NXDomain {
            Denial::Name(name)
        } else {
            Denial::Type(name, rtype)
        };
        let proof = denials.prove(denial, effort).map_err(about)?;
        signed.extend(soas);
        if proof == Proof::Secure {
            let records: Vec<&RrSet> = signed.iter().collect();
            self.learn(now_ms, (&zone, secs_max), &records, None);
            if found.rcode == ResponseCode::NXDomain {
                self.aggressive.forget_zone(name);
            }
        }
        Ok(Grade {
            security: proof.into(),
            secs_max,
            proof: Some(signed),
        })
    }

    /// Where the chain of trust has to lead: to the zone that claims to have signed, if that lies
    /// below what is configured for the name itself. A claim from above would evade that.
    fn target(&self, name: &WireName, signer: Option<WireName>) -> WireName {
        let configured = self.trust.as_ref().and_then(|tree| tree.configured(name));
        let below = |signer: &WireName| configured.is_some_and(|zone| signer.is_within_bytes(zone));
        signer.filter(below).unwrap_or_else(|| name.clone())
    }

    /// The zone that a name belongs to and its keys; `None` if nothing vouches for it.
    fn keys_of(
        &mut self,
        now_ms: u64,
        task: &mut Task,
        name: &WireName,
    ) -> Result<Option<Signers>, Stop> {
        match self.trust_of(now_ms, task, name)? {
            (zone, Trust::Secure(keys)) => Ok(Some((zone, keys))),
            (_, Trust::Insecure(_)) => Ok(None),
            (_, Trust::Bogus(failure)) => Err(Stop::Chain(failure)),
        }
    }

    /// The zone that a name belongs to, as far as the chain of trust reaches, and what is known of it.
    fn trust_of(
        &mut self,
        now_ms: u64,
        task: &mut Task,
        name: &WireName,
    ) -> Result<(WireName, Trust), Stop> {
        let Some(tree) = self.trust.as_mut().filter(|tree| !tree.is_exempt(name)) else {
            return Ok((WireName::root(), Trust::Insecure(None)));
        };
        let (mut zone, mut trust) = match tree.closest(now_ms, name) {
            Some(known) => known,
            None => {
                let anchor = tree.closest_anchor(name).unwrap_or_else(WireName::root);
                let named = tree.anchor(&anchor).unwrap_or(&[]).to_vec();
                let trust = self.enter(now_ms, task, &anchor, &named, u32::MAX)?;
                (anchor, trust)
            }
        };
        // Whether no referral of this zone leads down, so that not all labels are searched at each.
        let mut searched = false;
        for labels in zone.label_count() + 1..=name.label_count() {
            let Trust::Secure(keys) = &trust else { break };
            let keys = Arc::clone(keys);
            if labels <= zone.label_count() {
                continue; // A referral led further down.
            }
            let parent = (&zone, &keys);
            let labels_max = if searched { labels } else { name.label_count() };
            let range = labels..=labels_max;
            if let Some(below) = self.step_by_referral(now_ms, task, parent, name, range)? {
                if let Some(below) = below {
                    (zone, trust, searched) = (below.0, below.1, false);
                }
                continue;
            }
            searched = true;
            let child = name.last_labels(labels);
            if let Some(below) = self.descend(now_ms, task, parent, &child)? {
                (zone, trust, searched) = (child, below, false);
            }
        }
        Ok((zone, trust))
    }

    /// Where the referrals that the zone has sent lead to, with so many labels of the name: the zone
    /// signs DS, or that there is none, for its own children alone, so that no cut is between.
    /// Between may be empty non-terminals, for which a zone with opt-out need not have any proof
    /// (RFC 5155 §7.1). The inner `None`: no zone begins at the first of these labels.
    fn step_by_referral(
        &mut self,
        now_ms: u64,
        task: &mut Task,
        parent: (&WireName, &Arc<[Key]>),
        name: &WireName,
        range: RangeInclusive<usize>,
    ) -> Result<Option<Option<(WireName, Trust)>>, Stop> {
        let first = *range.start();
        for labels in range {
            let child = name.last_labels(labels);
            let trust = match self.referral(now_ms, task, parent, &child) {
                Some((Found::Ds(named), secs)) => {
                    Some(self.enter(now_ms, task, &child, &named, secs)?)
                }
                Some((Found::Cut(cut), secs)) => self.unsigned(now_ms, &child, cut, secs),
                None => continue,
            };
            if trust.is_some() || labels == first {
                return Ok(Some(trust.map(|trust| (child, trust))));
            }
        }
        Ok(None)
    }

    /// One label down, by asking: the zone that begins there, if one does.
    fn descend(
        &mut self,
        now_ms: u64,
        task: &mut Task,
        parent: (&WireName, &Arc<[Key]>),
        child: &WireName,
    ) -> Result<Option<Trust>, Stop> {
        let key = TaskKey {
            name: child.clone(),
            rtype: RecordType::DS,
            checking_disabled: false,
            subnet: None,
        };
        let found = self.look_up(now_ms, task, key)?.map_err(Stop::Chain)?;
        if let Some(alias) = found.answers.iter().find(|set| set.rtype != RecordType::DS) {
            // What is an alias is no cut; unsigned ones are only found where nothing is signed.
            let cut = if alias.security == Security::Insecure {
                Cut::Unsigned
            } else {
                Cut::None
            };
            return Ok(self.unsigned(now_ms, child, cut, found.ttl_secs));
        }
        if let Some(set) = found.answers.first() {
            if set.security != Security::Secure {
                return Ok(self.unsigned(now_ms, child, Cut::Unsigned, set.ttl_secs));
            }
            let named = parse_all(set, Ds::parse);
            return self
                .enter(now_ms, task, child, &named, set.ttl_secs)
                .map(Some);
        }
        let denial = found.denied.as_ref().map(|denied| denied.security);
        let cut = if denial == Some(Security::Secure) {
            let effort = &mut self.tasks.work(task.work).effort;
            let cut = SignedDenials::new(parent.0, &proven(&found.authority)).cut(child, effort);
            match cut {
                Err(fault @ Fault::Effort) => {
                    return Err(Stop::Chain(bogus(child, RecordType::DS, fault)));
                }
                // A denial that holds in another way, as by a wildcard.
                cut => cut.unwrap_or(Cut::None),
            }
        } else if proven(&found.authority)
            .iter()
            .any(|set| asks_too_many_iterations(set))
        {
            Cut::TooCostly
        } else {
            Cut::Unsigned
        };
        Ok(self.unsigned(now_ms, child, cut, found.ttl_secs))
    }

    fn unsigned(&mut self, now_ms: u64, child: &WireName, cut: Cut, secs: u32) -> Option<Trust> {
        let why = match cut {
            Cut::None => return None,
            Cut::Unsigned => None,
            Cut::TooCostly => Some(Insecurity::Iterations),
        };
        Some(self.settle_insecure(now_ms, child, why, secs))
    }

    fn settle_insecure(
        &mut self,
        now_ms: u64,
        zone: &WireName,
        why: Option<Insecurity>,
        secs: u32,
    ) -> Trust {
        self.aggressive.forget_zone(zone);
        let trust = Trust::Insecure(why);
        if let Some(tree) = &mut self.trust {
            let secs = secs.max(INSECURE_SECS_MIN);
            tree.insert(now_ms, zone.clone(), trust.clone(), secs);
        }
        trust
    }

    /// What a referral said of the DS of a zone, if its signatures hold. Saves a question a cut.
    fn referral(
        &mut self,
        now_ms: u64,
        task: &Task,
        (parent, keys): (&WireName, &Arc<[Key]>),
        child: &WireName,
    ) -> Option<(Found, u32)> {
        let want = Want::HELPERS;
        let found = self
            .cache
            .find(now_ms, child.as_bytes(), RecordType::DS, want)?;
        let now = self.unix_secs(now_ms);
        let effort = &mut self.tasks.work(task.work).effort;
        let is_graded = found.security == Security::Secure;
        if found.kind == Kind::Data {
            let set = found.set(child.clone());
            if is_graded {
                return Some((Found::Ds(parse_all(&set, Ds::parse)), found.ttl_secs));
            }
            let verified = verify(&set, parent, keys, now, effort).ok()?;
            let secs = verified.ttl_max_secs.min(found.ttl_secs);
            return Some((Found::Ds(parse_all(&set, Ds::parse)), secs));
        }
        let mut proof = found.proof();
        if !is_graded {
            proof = verified_denials(parent, keys, &proof, now, effort).ok()?.0;
        }
        let cut = SignedDenials::new(parent, &proven(&proof))
            .cut(child, effort)
            .ok()?;
        Some((Found::Cut(cut), found.ttl_secs))
    }

    /// Fetches the keys of a zone and holds them to the digests that its parent or an anchor gives.
    fn enter(
        &mut self,
        now_ms: u64,
        task: &mut Task,
        zone: &WireName,
        named: &[Ds],
        secs: u32,
    ) -> Result<Trust, Stop> {
        if !named.iter().any(Ds::is_supported) {
            // Signed in a way that is not known here: as good as unsigned (RFC 4035 §5.2).
            let why = if named.iter().any(Ds::has_known_algorithm) {
                Insecurity::Digest
            } else {
                Insecurity::Algorithm
            };
            // Without any DS nothing claims that it is signed.
            let why = Some(why).filter(|_| !named.is_empty());
            return Ok(self.settle_insecure(now_ms, zone, why, secs));
        }
        let key = TaskKey {
            name: zone.clone(),
            rtype: RecordType::DNSKEY,
            checking_disabled: true,
            subnet: None,
        };
        let found = self.look_up(now_ms, task, key.clone())?;
        let now = self.unix_secs(now_ms);
        let effort = &mut self.tasks.work(task.work).effort;
        let (trust, secs) = match found {
            Ok(found) => match anchored_keys(&found, zone, named, now, effort) {
                Ok((keys, ttl_secs)) => (Trust::Secure(keys), secs.min(ttl_secs)),
                Err(fault) => {
                    self.cache.remove(zone, RecordType::DNSKEY);
                    let failure = bogus(zone, RecordType::DNSKEY, fault);
                    if fault == Fault::Effort {
                        return Err(Stop::Chain(failure)); // It says nothing of the zone.
                    }
                    self.look_elsewhere(now_ms, task, &key, &failure)?;
                    (Trust::Bogus(failure), BOGUS_SECS)
                }
            },
            // It says nothing of the zone.
            Err(failure) if !failure.lasting => return Err(Stop::Chain(failure)),
            Err(failure) => (Trust::Bogus(failure), 1),
        };
        if matches!(trust, Trust::Bogus(_)) {
            self.aggressive.forget_zone(zone);
        }
        if let Some(tree) = &mut self.trust {
            tree.insert(now_ms, zone.clone(), trust.clone(), secs);
        }
        Ok(trust)
    }

    /// Looks keys that are wrong up again, from another server, if there are tries left.
    fn look_elsewhere(
        &mut self,
        now_ms: u64,
        task: &mut Task,
        key: &TaskKey,
        failure: &Failure,
    ) -> Result<(), Stop> {
        let known = task.lookups.iter().position(|lookup| lookup.key == *key);
        let source = known.and_then(|at| task.lookups.swap_remove(at).source);
        let Some(source) = source.filter(|_| task.avoided.len() < RESTARTS_MAX) else {
            return Ok(());
        };
        task.avoided.push(source);
        task.bogus = Some(failure.clone());
        match self.look_up(now_ms, task, key.clone())? {
            Err(failure) if !failure.lasting => Err(Stop::Chain(failure)),
            _ => Ok(()),
        }
    }

    /// The outcome of a sub-resolution for this task, begun if it has not been.
    fn look_up(&mut self, now_ms: u64, task: &mut Task, key: TaskKey) -> Result<Ending, Stop> {
        if let Some(known) = task.lookups.iter().find(|lookup| lookup.key == key) {
            return Ok(known.ending.clone());
        }
        if let Some((failure, _)) = self.failures.find(now_ms, &key) {
            return Ok(Err(failure.clone()));
        }
        if key == task.key || task.lookups.len() >= LOOKUPS_MAX {
            let text = format!("the chain of trust of {} is too long", task.key.name);
            return Ok(Err(self.limited(text)));
        }
        let existing = self.tasks.find(&key);
        if existing.is_none() && !self.has_place() {
            let failure = self.limited("too many questions wait".to_owned());
            // Ours, and over soon: it is no resolution failure (RFC 9520 §2).
            return Ok(Err(Failure {
                lasting: false,
                ..failure
            }));
        }
        let kind = || TraceKind::Subquery {
            name: key.name.to_name(),
            rtype: key.rtype,
        };
        task.note(now_ms, self.config.limits.trace_events_max, kind);
        let id = existing.unwrap_or_else(|| {
            self.counters.subqueries += 1;
            let id = self.spawn(key, task.work, task.depth + 1);
            if let Some(sub) = self.tasks.get_mut(id) {
                sub.avoided.clone_from(&task.avoided);
            }
            id
        });
        self.wait_for(task, id, None);
        Err(Stop::Wait)
    }

    /// Bogus data leave the cache, and other servers are asked before the client is told.
    fn on_bogus(
        &mut self,
        now_ms: u64,
        task: &mut Task,
        found: &Resolution,
        failure: Failure,
    ) -> Option<Ending> {
        for set in &found.answers {
            if set.security == Security::Unchecked {
                self.cache.discard(set);
            }
        }
        let denied = found.denied.as_ref();
        if let Some(denied) = denied.filter(|denied| denied.security == Security::Unchecked) {
            let rtype = (found.rcode != ResponseCode::NXDomain).then_some(task.key.rtype);
            self.cache
                .discard_denial(&denied.name, rtype, &found.authority);
        }
        self.counters.bogus += 1;
        let reason = failure.text.clone();
        let kind = || TraceKind::Bogus { reason };
        task.note(now_ms, self.config.limits.trace_events_max, kind);
        task.avoided.extend(source_of_bogus(task, found));
        task.source = None;
        // What is spent is spent: the reply of another server could not be checked either.
        let is_spent = !failure.lasting;
        if task.restarts == RESTARTS_MAX || is_spent {
            return Some(Err(Failure {
                lasting: failure.lasting || task.depth == 0,
                ..failure
            }));
        }
        task.restarts += 1;
        task.bogus = Some(failure);
        task.restart();
        None
    }
}

/// The server that gave what is bogus: the first set that did not hold, or the denial at the end.
/// Without one it came from the cache, and what is fresh may be better.
fn source_of_bogus(task: &Task, found: &Resolution) -> Option<SocketAddr> {
    let mut answers = found.answers.iter();
    let set = answers.find(|set| set.security == Security::Unchecked);
    match set.filter(|set| set.owner != task.sname) {
        Some(alias) => {
            let mut sources = task.alias_sources.iter();
            sources
                .find(|(owner, _)| *owner == alias.owner)
                .map(|(_, server)| *server)
        }
        None => task.source,
    }
}

/// The zone that claims to have signed an RRset: only one at or above it can have, and of several
/// the closest, for those above may have been added to mislead.
fn signer(set: &RrSet) -> Option<WireName> {
    let lowest = side(&set.owner, set.rtype);
    signers(set)
        .into_iter()
        .filter(|signer| lowest.is_within(signer))
        .max_by_key(|signer| signer.as_bytes().len())
}

/// What is known of a cut without asking.
enum Found {
    Ds(Vec<Ds>),
    Cut(Cut),
}

/// The name whose zone must vouch for a type: at a cut, DS is the parent's (RFC 4035 §3.1.4.1).
fn side(name: &WireName, rtype: RecordType) -> WireName {
    let above = (rtype == RecordType::DS).then(|| name.parent()).flatten();
    above.unwrap_or_else(|| name.clone())
}

pub(super) fn bogus(name: &WireName, rtype: RecordType, fault: Fault) -> Failure {
    Failure {
        code: fault.code(),
        text: format!("{name} {rtype}: {}", fault.text()),
        lasting: fault != Fault::Effort,
    }
}

/// An RRset whose signature holds.
fn secure(set: &RrSet) -> RrSet {
    RrSet {
        security: Security::Secure,
        ..set.clone()
    }
}

/// Those RRsets whose signatures were found to hold; no other proves anything (RFC 4035 §5.4).
pub(super) fn proven(sets: &[RrSet]) -> Vec<&RrSet> {
    let holds = |set: &&RrSet| set.security == Security::Secure;
    sets.iter().filter(holds).collect()
}

/// Those NSEC and NSEC3 RRsets whose signatures hold, and for how many seconds all of them may be
/// kept. Others are left out: what they would have proven then is not.
fn verified_denials(
    zone: &WireName,
    keys: &[Key],
    sets: &[RrSet],
    now: u32,
    effort: &mut Effort,
) -> Result<(Vec<RrSet>, u32), Fault> {
    let (mut signed, mut secs_max) = (Vec::new(), u32::MAX);
    for set in sets {
        if !matches!(set.rtype, RecordType::NSEC | RecordType::NSEC3) {
            continue;
        }
        match verify(set, zone, keys, now, effort) {
            // A denial that a wildcard made denies nothing.
            Ok(verified) if verified.wildcard.is_none() => {
                signed.push(secure(set));
                secs_max = secs_max.min(verified.ttl_max_secs);
            }
            Ok(_) => {}
            Err(Fault::Effort) => return Err(Fault::Effort),
            Err(_) => {}
        }
    }
    Ok((signed, secs_max))
}

/// The keys of a zone, if one that a DS names has signed them all.
fn anchored_keys(
    found: &Resolution,
    zone: &WireName,
    named: &[Ds],
    now: u32,
    effort: &mut Effort,
) -> Result<(Arc<[Key]>, u32), Fault> {
    let own = |set: &&RrSet| set.rtype == RecordType::DNSKEY && set.owner == *zone;
    let set = found.answers.iter().find(own).ok_or(Fault::NoAnchoredKey)?;
    let keys = parse_all(set, Key::parse);
    let anchored: Vec<Key> = keys
        .iter()
        .filter(|key| Ds::name_one(named, zone, key))
        .cloned()
        .collect();
    if anchored.is_empty() {
        return Err(Fault::NoAnchoredKey);
    }
    let verified = verify(set, zone, &anchored, now, effort)?;
    Ok((keys.into(), set.ttl_secs.min(verified.ttl_max_secs)))
}

impl From<Proof> for Security {
    fn from(proof: Proof) -> Self {
        match proof {
            Proof::Secure => Self::Secure,
            Proof::Insecure => Self::Insecure,
        }
    }
}
