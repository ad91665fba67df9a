//! Reads the cache as a resolver does: exact data, aliases, denials, and chains of them.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;

use super::cache::{Cache, Found, Kind, NXDOMAIN, Want};
use super::name::WireName;
use super::reply::{Alias, substitute};
use super::rrset::{DNAME, RrSet, Security, may_stand_beside_cname};
use super::task::TaskKey;

/// What the cache says of one name and type.
#[derive(Debug)]
pub(super) enum Look {
    /// Data; several RRsets for ANY.
    Data {
        sets: Vec<RrSet>,
        proof: Vec<RrSet>,
        stale: bool,
    },
    /// NXDOMAIN, or NODATA as `NoError`.
    Denied {
        rcode: ResponseCode,
        proof: Vec<RrSet>,
        security: Security,
        ttl_secs: u32,
        stale: bool,
    },
    /// CNAME of the name or DNAME of an ancestor; the error is a DNAME that makes it too long.
    Alias {
        alias: Box<Result<Alias, Alias>>,
        stale: bool,
    },
    /// Nothing.
    Nothing,
}

/// The aliases on the way to an answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Chain {
    answers: Vec<RrSet>,
    /// What proves that wildcards may stand in for names of the chain.
    proof: Vec<RrSet>,
}

impl Chain {
    /// Adds an alias; gives the name that it leads to.
    pub(super) fn push(&mut self, alias: Alias) -> WireName {
        self.answers.push(alias.set);
        self.answers.extend(alias.synthesised);
        self.proof.extend(alias.proof);
        alias.target
    }
}

/// That a name does not exist, or has no data of the type.
#[derive(Clone, Debug)]
pub(super) struct Denied {
    pub(super) name: WireName,
    pub(super) security: Security,
}

/// A complete answer.
#[derive(Clone, Debug)]
pub(super) struct Resolution {
    pub(super) rcode: ResponseCode,
    pub(super) answers: Vec<RrSet>,
    pub(super) authority: Vec<RrSet>,
    /// What is denied at the end of the chain, if anything is.
    pub(super) denied: Option<Denied>,
    /// For how long the whole may be kept, in seconds.
    pub(super) ttl_secs: u32,
    pub(super) stale: bool,
}

impl Resolution {
    /// Data at the end of a chain.
    pub(super) fn data(mut chain: Chain, sets: Vec<RrSet>, proof: Vec<RrSet>, stale: bool) -> Self {
        chain.answers.extend(sets);
        Self::new(ResponseCode::NoError, chain, proof, None, u32::MAX, stale)
    }

    /// An alias at the end of a chain that is itself what was asked for.
    pub(super) fn alias(mut chain: Chain, alias: Alias, stale: bool) -> Self {
        chain.push(alias);
        Self::data(chain, Vec::new(), Vec::new(), stale)
    }

    /// A denial at the end of a chain, good for `ttl_secs`.
    pub(super) fn denied(
        rcode: ResponseCode,
        chain: Chain,
        denied: Denied,
        mut proof: Vec<RrSet>,
        ttl_secs: u32,
        stale: bool,
    ) -> Self {
        proof
            .iter_mut()
            .for_each(|set| set.ttl_secs = set.ttl_secs.min(ttl_secs));
        Self::new(rcode, chain, proof, Some(denied), ttl_secs, stale)
    }

    /// A DNAME at the end of a chain that makes the name too long (YXDOMAIN, RFC 6672 §2.2).
    pub(super) fn too_long(mut chain: Chain, dname: Alias, stale: bool) -> Self {
        chain.push(dname);
        let rcode = ResponseCode::YXDomain;
        Self::new(rcode, chain, Vec::new(), None, u32::MAX, stale)
    }

    fn new(
        rcode: ResponseCode,
        chain: Chain,
        mut authority: Vec<RrSet>,
        denied: Option<Denied>,
        ttl_max_secs: u32,
        stale: bool,
    ) -> Self {
        for set in chain.proof {
            let same = |other: &RrSet| other.owner == set.owner && other.rtype == set.rtype;
            if !authority.iter().any(same) {
                authority.push(set);
            }
        }
        let sets = chain.answers.iter().chain(&authority);
        let ttls_secs = sets.map(|set| set.ttl_secs);
        Self {
            rcode,
            ttl_secs: ttls_secs.fold(ttl_max_secs, u32::min),
            denied,
            answers: chain.answers,
            authority,
            stale,
        }
    }
}

impl Resolution {
    /// The weakest of what validation found out of each part.
    pub(super) fn security(&self) -> Security {
        let denial = self.denied.as_ref().map(|denied| denied.security);
        let answers = self.answers.iter().map(|set| set.security);
        answers.chain(denial).min().unwrap_or_default()
    }
}

impl Resolution {
    /// Bytes of memory that keeping it takes, roughly.
    pub(super) fn bytes(&self) -> usize {
        let sets = self.answers.iter().chain(&self.authority);
        sets.map(RrSet::bytes).sum()
    }

    /// Notes which records of the authority section hold.
    pub(super) fn note_proven(&mut self, proven: &[RrSet]) {
        for set in &mut self.authority {
            if proven.iter().any(|held| held.is_same_as(set)) {
                set.security = Security::Secure;
            }
        }
    }

    /// Drops from a secure resolution what came with it and does not hold: AD says that all of the
    /// answer and authority sections is authentic (RFC 4035 §3.2.3).
    pub(super) fn drop_unproven(&mut self) {
        if self.security() == Security::Secure {
            self.authority
                .retain(|set| set.security == Security::Secure);
        }
    }
}

impl Cache {
    /// Looks one name and type up (RFC 1034 §4.3.2, for a cache).
    pub(super) fn look(
        &mut self,
        now_ms: u64,
        name: &WireName,
        qtype: RecordType,
        want: Want,
    ) -> Look {
        if qtype == RecordType::ANY {
            let found = self.find_all(now_ms, name.as_bytes(), want);
            if !found.is_empty() {
                let stale = found.iter().any(|found| found.stale);
                let sets = found.iter().map(|found| found.set(name.clone())).collect();
                let mut proof: Vec<RrSet> = Vec::new();
                for set in found.iter().flat_map(Found::proof) {
                    let same = |known: &RrSet| {
                        (&known.owner, &known.content) == (&set.owner, &set.content)
                    };
                    if !proof.iter().any(same) {
                        proof.push(set);
                    }
                }
                return Look::Data { sets, proof, stale };
            }
        }
        let exact = self.find(now_ms, name.as_bytes(), qtype, want);
        if let Some(found) = exact.as_ref().filter(|found| found.kind == Kind::Data) {
            let sets = vec![found.set(name.clone())];
            return Look::Data {
                sets,
                proof: found.proof(),
                stale: found.stale,
            };
        }
        if !matches!(qtype, RecordType::CNAME | RecordType::ANY)
            && !may_stand_beside_cname(qtype)
            && let Some(found) = self.find(now_ms, name.as_bytes(), RecordType::CNAME, want)
            && found.kind == Kind::Data
        {
            let set = found.set(name.clone());
            let target = set.targets().next();
            if let Some(target) = target {
                let alias = Box::new(Ok(Alias {
                    set,
                    synthesised: None,
                    target,
                    proof: found.proof(),
                }));
                return Look::Alias {
                    alias,
                    stale: found.stale,
                };
            }
        }
        if let Some(found) = exact {
            let (rcode, proof) = (ResponseCode::NoError, found.proof());
            return Look::Denied {
                rcode,
                proof,
                security: found.security,
                ttl_secs: found.ttl_secs,
                stale: found.stale,
            };
        }
        if let Some(found) = self.find(now_ms, name.as_bytes(), NXDOMAIN, want) {
            let (rcode, proof) = (ResponseCode::NXDomain, found.proof());
            return Look::Denied {
                rcode,
                proof,
                security: found.security,
                ttl_secs: found.ttl_secs,
                stale: found.stale,
            };
        }
        self.look_above(now_ms, name, want)
    }

    /// The DNAME of the closest ancestor that has one.
    fn look_above(&mut self, now_ms: u64, name: &WireName, want: Want) -> Look {
        for ancestor in name.suffixes().skip(1) {
            let Some(found) = self.find(now_ms, ancestor, DNAME, want) else {
                continue;
            };
            if let (Kind::Data, Some(owner)) = (found.kind, WireName::parse(ancestor)) {
                let alias = Box::new(substitute(name, found.set(owner)));
                return Look::Alias {
                    alias,
                    stale: found.stale,
                };
            }
        }
        Look::Nothing
    }

    /// Answers a question if the cache holds the whole chain; `beyond` is looked at for the names of
    /// which it holds nothing.
    pub(super) fn assemble(
        &mut self,
        now_ms: u64,
        key: &TaskKey,
        stale: bool,
        aliases_max: u8,
        mut beyond: impl FnMut(&WireName) -> Look,
    ) -> Option<Resolution> {
        let want = Want {
            helpers: false,
            unchecked: key.checking_disabled,
            stale,
        };
        let (mut name, mut chain, mut any_stale) = (key.name.clone(), Chain::default(), false);
        for _ in 0..=aliases_max {
            let look = match self.look(now_ms, &name, key.rtype, want) {
                Look::Nothing => beyond(&name),
                look => look,
            };
            match look {
                Look::Data { sets, proof, stale } => {
                    return Some(Resolution::data(chain, sets, proof, stale || any_stale));
                }
                Look::Denied {
                    rcode,
                    proof,
                    security,
                    ttl_secs,
                    stale,
                } => {
                    let (denied, stale) = (Denied { name, security }, stale || any_stale);
                    return Some(Resolution::denied(
                        rcode, chain, denied, proof, ttl_secs, stale,
                    ));
                }
                Look::Alias { alias, stale } => {
                    any_stale |= stale;
                    match *alias {
                        Ok(alias) if alias.answers(key.rtype) => {
                            return Some(Resolution::alias(chain, alias, any_stale));
                        }
                        Ok(alias) => name = chain.push(alias),
                        Err(too_long) => {
                            return Some(Resolution::too_long(chain, too_long, any_stale));
                        }
                    }
                }
                Look::Nothing => return None,
            }
        }
        None
    }
}
