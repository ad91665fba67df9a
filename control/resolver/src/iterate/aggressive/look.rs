//! What the proven denials of one zone say of a name: the records that speak of it, and their judgement.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;

use super::super::dnssec::{
    Denial, Effort, HASH_BYTES, Nsec, Nsec3, Proof, SignedDenials, hash_nsec3,
};
use super::super::lookup::Look;
use super::super::name::WireName;
use super::super::reply::Alias;
use super::super::rrset::{RrSet, Security, may_stand_beside_cname};
use super::zone::{Chain, HASHES_MAX, Key, Zone, wildcard_key};

/// The records that speak of one name, for [`SignedDenials`] to judge.
struct Gathered {
    denials: Vec<RrSet>,
    /// The name, or its ancestor whose absence is the name's.
    subject: WireName,
    /// Whether one stands at the name itself.
    at: bool,
    /// The wildcard that would make the name, if one is known to exist.
    wildcard: Option<WireName>,
}

impl Gathered {
    /// Adds a record, unless it is there.
    fn with(mut self, set: RrSet) -> Self {
        if !self.denials.contains(&set) {
            self.denials.push(set);
        }
        self
    }
}

impl Zone {
    /// What the denials say of a name and type.
    pub(super) fn look(
        &mut self,
        now_ms: u64,
        apex: &WireName,
        name: &WireName,
        rtype: RecordType,
    ) -> Option<Look> {
        let mut effort = Effort::new(0, 0, HASHES_MAX);
        let gathered = match &self.chain {
            Chain::Nsec => self.gather_nsec(now_ms, name),
            Chain::Nsec3 { .. } => self.gather_nsec3(now_ms, apex, name, &mut effort),
        };
        self.answer(now_ms, &gathered?, (apex, name, rtype), effort)
    }

    fn gather_nsec(&mut self, now_ms: u64, name: &WireName) -> Option<Gathered> {
        let key = self.before_name(name)?.0.clone();
        let set = self.take(now_ms, &key)?;
        let nsec = Nsec::parse(&set)?;
        let at = set.owner == *name;
        if !at && !nsec.covers(name) {
            return None;
        }
        let mut gathered = Gathered {
            denials: Vec::with_capacity(2),
            subject: name.clone(),
            at,
            wildcard: None,
        };
        if !at && !nsec.shows_empty(name) {
            let wildcard = nsec.closest_encloser(name).wildcard_below();
            if let Some(wildcard) = wildcard {
                let below = self.before_name(&wildcard)?.0.clone();
                let denial = self.take(now_ms, &below)?;
                gathered.wildcard = Some(wildcard).filter(|wildcard| denial.owner == *wildcard);
                if below != key {
                    gathered.denials.push(denial);
                }
            }
        }
        gathered.denials.push(set);
        Some(gathered)
    }

    /// From the apex down to the first name that is known not to exist: nothing below it does either,
    /// so that a name of many labels costs no more hashes than a short one (RFC 5155 §8.3 goes up,
    /// which comes to the same).
    fn gather_nsec3(
        &mut self,
        now_ms: u64,
        apex: &WireName,
        name: &WireName,
        effort: &mut Effort,
    ) -> Option<Gathered> {
        let Chain::Nsec3 { salt, iterations } = &self.chain else {
            return None;
        };
        let (salt, iterations) = (salt.clone(), *iterations);
        let mut hash =
            |name: &WireName| hash_nsec3(name.as_bytes(), &salt, iterations, effort).ok();
        let mut encloser: Option<(WireName, RrSet)> = None;
        for labels in apex.label_count()..=name.label_count() {
            let next_closer = name.last_labels(labels);
            let own = hash(&next_closer)?;
            if let Some(set) = self.take(now_ms, &Key::Hash(own)) {
                encloser = Some((next_closer, set));
                continue;
            }
            let Some(covering) = self.take_covering(now_ms, apex, own) else {
                encloser = None; // It may exist: then it is the encloser, and not known.
                continue;
            };
            let (encloser, set) = encloser?;
            let wildcard = encloser.wildcard_below()?;
            let below = hash(&wildcard)?;
            let exists = self.take(now_ms, &Key::Hash(below));
            let gathered = Gathered {
                subject: next_closer,
                at: false,
                wildcard: exists.is_some().then_some(wildcard),
                denials: vec![set],
            };
            let about_wildcard = exists.or_else(|| self.take_covering(now_ms, apex, below))?;
            return Some(gathered.with(covering).with(about_wildcard));
        }
        encloser.map(|(subject, set)| Gathered {
            subject,
            at: true,
            wildcard: None,
            denials: vec![set],
        })
    }

    /// The NSEC3 that covers a hash.
    fn take_covering(
        &mut self,
        now_ms: u64,
        apex: &WireName,
        hash: [u8; HASH_BYTES],
    ) -> Option<RrSet> {
        let key = self.before_hash(hash)?.0.clone();
        let set = self.take(now_ms, &key)?;
        let covers = Nsec3::parse(apex, &set).is_some_and(|nsec3| nsec3.covers(&hash));
        covers.then_some(set)
    }

    /// Lets the records prove what they can.
    fn answer(
        &mut self,
        now_ms: u64,
        gathered: &Gathered,
        (apex, name, rtype): (&WireName, &WireName, RecordType),
        mut effort: Effort,
    ) -> Option<Look> {
        let sets: Vec<&RrSet> = gathered.denials.iter().collect();
        let signed = SignedDenials::new(apex, &sets);
        let mut proves = |denial| {
            signed
                .prove(denial, &mut effort)
                .is_ok_and(|proof| proof == Proof::Secure)
        };
        let subject = &gathered.subject;
        let exists = gathered.at || gathered.wildcard.is_some();
        let rcode = if !exists && proves(Denial::Name(subject)) {
            Some(ResponseCode::NXDomain)
        } else if rtype != RecordType::ANY && proves(Denial::Type(subject, rtype)) {
            Some(ResponseCode::NoError)
        } else {
            None
        };
        let Some(rcode) = rcode else {
            let wildcard = gathered.wildcard.as_ref()?;
            let labels = wildcard.label_count() - 1;
            let data = self.wildcard_data(now_ms, wildcard, rtype)?;
            return proves(Denial::Closer(subject, labels))
                .then(|| expanded(data, name, rtype, &gathered.denials))?;
        };
        let soa = self.soa.as_ref().map(|soa| soa.aged(now_ms))?;
        let ttls_secs = gathered.denials.iter().map(|set| set.ttl_secs);
        let ttl_secs = ttls_secs.fold(soa.ttl_secs, u32::min);
        let proof = std::iter::once(soa).chain(gathered.denials.iter().cloned());
        (ttl_secs > 0).then(|| Look::Denied {
            rcode,
            proof: proof.collect(),
            security: Security::Secure,
            ttl_secs,
            stale: false,
        })
    }

    /// Data of a wildcard for a type: its own, or the alias that stands for all.
    fn wildcard_data(
        &mut self,
        now_ms: u64,
        wildcard: &WireName,
        rtype: RecordType,
    ) -> Option<RrSet> {
        let mut take = |rtype| self.take(now_ms, &wildcard_key(wildcard, rtype));
        if rtype == RecordType::ANY {
            return None; // Which types there are is not known.
        }
        let own = take(rtype);
        let alias = || take(RecordType::CNAME).filter(|_| !may_stand_beside_cname(rtype));
        own.or_else(alias)
    }
}

/// Data of a wildcard as those of the name that it stands in for.
fn expanded(data: RrSet, name: &WireName, rtype: RecordType, denials: &[RrSet]) -> Option<Look> {
    let ttl_secs = denials
        .iter()
        .map(|set| set.ttl_secs)
        .fold(data.ttl_secs, u32::min);
    let set = RrSet {
        owner: name.clone(),
        ttl_secs,
        ..data
    };
    let proof = denials.to_vec();
    if set.rtype == rtype {
        return Some(Look::Data {
            sets: vec![set],
            proof,
            stale: false,
        });
    }
    let target = set.targets().next()?;
    Some(Look::Alias {
        alias: Box::new(Ok(Alias {
            set,
            synthesised: None,
            target,
            proof,
        })),
        stale: false,
    })
}
