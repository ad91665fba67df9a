//! The configuration part of a scenario: options of unbound.conf that have a counterpart here, and
//! a block `nexus:` for what that file cannot say.

use std::net::{IpAddr, SocketAddr};

use hickory_proto::rr::Name;
use resolver::iterate::{
    Config, Forward, Limits, QnameMinimisation, Stub, Validation, read_anchors,
};
use resolver::policy::Policy;

use crate::lines::{Fault, Line, Text};
use crate::policy::PolicyOptions;
use crate::record::read_name;

/// When signatures are checked unless the scenario says otherwise: in January 2027.
const UNIX_SECS: u64 = 1_800_000_000;
/// Runs of each scenario, each with another seed: the choice of servers is random.
const SEEDS: u64 = 8;

/// Everything that a scenario chooses.
pub(crate) struct Settings {
    pub(crate) config: Config,
    pub(crate) policy: Policy,
    /// Time of day at the start, in Unix seconds.
    pub(crate) unix_secs: u64,
    pub(crate) seeds: u64,
    /// `minimal-responses: no`: expected answers may name servers and their addresses, which are
    /// never given here.
    pub(crate) expects_extras: bool,
}

/// Which block an option stands in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    Server,
    Forward,
    Stub,
    Rpz,
    Nexus,
}

impl Settings {
    fn new() -> Self {
        // What differs from our defaults is what Unbound's scenarios take for granted.
        let config = Config {
            root_hints: Vec::new(),
            use_ipv6: true,
            stale_max_secs: 0,
            prefetch: false,
            case_randomisation: false,
            ..Config::default()
        };
        Self {
            config,
            policy: Policy::default(),
            unix_secs: UNIX_SECS,
            seeds: SEEDS,
            expects_extras: false,
        }
    }

    /// Reads up to `CONFIG_END`; a scenario without that has no configuration.
    pub(crate) fn parse(text: &mut Text) -> Result<Self, Fault> {
        let mut settings = Self::new();
        let mut policy = PolicyOptions::default();
        let mut block = Block::Server;
        let mut names: Vec<(Block, Name, Line)> = Vec::new();
        while let Some(line) = text.next() {
            match line.words()[..] {
                ["CONFIG_END"] => break,
                ["SCENARIO_BEGIN", ..] => {
                    text.go_back();
                    break;
                }
                _ => {}
            }
            let Some((key, value)) = option(&line)? else {
                continue;
            };
            match (key.as_str(), value.as_str()) {
                ("server", "") => block = Block::Server,
                ("nexus", "") => block = Block::Nexus,
                ("forward-zone", "") => block = Block::Forward,
                ("stub-zone", "") => block = Block::Stub,
                ("rpz", "") => block = Block::Rpz,
                ("name", _) if matches!(block, Block::Forward | Block::Stub | Block::Rpz) => {
                    let zone = read_name(&line.place, &value)?;
                    if block == Block::Forward {
                        settings.config.forward.push(Forward {
                            zone: zone.clone(),
                            servers: Vec::new(),
                            fallback: false,
                        });
                    } else if block == Block::Stub && !zone.is_root() {
                        settings.config.stub.push(Stub {
                            zone: zone.clone(),
                            servers: Vec::new(),
                            prime: false,
                        });
                    }
                    names.push((block, zone, line));
                }
                _ => match block {
                    Block::Server if policy.take(&line, &key, &value)? => {}
                    Block::Rpz => match (key.as_str(), names.last()) {
                        ("zonefile", Some((Block::Rpz, apex, _))) => {
                            policy.read_rpz(&line, apex, &value, text)?;
                        }
                        _ => return Err(line.fault("`rpz:` has `name:`, then `zonefile:`")),
                    },
                    Block::Server => settings.server(&line, &key, &value, text)?,
                    Block::Nexus => settings.nexus(&line, &key, &value)?,
                    Block::Forward => settings.forward(&line, &key, &value)?,
                    Block::Stub => match names.last() {
                        Some((Block::Stub, zone, _)) => settings.stub(&line, &key, &value, zone)?,
                        _ => return Err(line.fault("`name:` must come first")),
                    },
                },
            }
        }
        settings.policy = policy.into_policy();
        Ok(settings)
    }

    fn validation(&mut self) -> &mut Validation {
        self.config.validation.get_or_insert_with(|| Validation {
            anchors: Vec::new(),
            negative: Vec::new(),
        })
    }

    fn server(&mut self, line: &Line, key: &str, value: &str, text: &Text) -> Result<(), Fault> {
        let config = &mut self.config;
        match key {
            "do-ip4" => config.use_ipv4 = yes(line, value)?,
            "do-ip6" => config.use_ipv6 = yes(line, value)?,
            "do-not-query-localhost" => config.ask_loopback = !yes(line, value)?,
            "use-caps-for-id" => config.case_randomisation = yes(line, value)?,
            "edns-buffer-size" => config.edns_payload_bytes = number(line, value)?,
            "cache-min-ttl" => config.ttl_min_secs = number(line, value)?,
            "cache-max-ttl" => config.ttl_max_secs = number(line, value)?,
            "cache-max-negative-ttl" => config.negative_ttl_max_secs = number(line, value)?,
            "serve-expired" => {
                config.stale_max_secs = if yes(line, value)? { 86_400 } else { 0 };
            }
            "serve-expired-ttl" => config.stale_max_secs = number(line, value)?,
            "serve-expired-client-timeout" => {
                config.stale_client_timeout_ms = number(line, value)?;
            }
            "serve-expired-reply-ttl" => config.stale_ttl_secs = number(line, value)?,
            "aggressive-nsec" => config.aggressive_nsec = yes(line, value)?,
            "prefetch" => config.prefetch = yes(line, value)?,
            "qname-minimisation" => {
                config.qname_minimisation = if yes(line, value)? {
                    QnameMinimisation::Relaxed
                } else {
                    QnameMinimisation::Off
                };
            }
            "qname-minimisation-strict" => {
                if yes(line, value)? {
                    config.qname_minimisation = QnameMinimisation::Strict;
                }
            }
            "trust-anchor" => {
                let anchors = read_anchors(format!("{value}\n").as_bytes(), "")
                    .map_err(|error| line.fault(error.problem.to_string()))?;
                if anchors.is_empty() {
                    return Err(line.fault("this is neither DS nor DNSKEY"));
                }
                self.validation().anchors.extend(anchors);
            }
            "trust-anchor-file" => {
                let file = (text.load)(value).map_err(|error| line.fault(error))?;
                let anchors = read_anchors(file.as_bytes(), value)
                    .map_err(|error| line.fault(error.to_string()))?;
                self.validation().anchors.extend(anchors);
            }
            "domain-insecure" => {
                let zone = read_name(&line.place, value)?;
                self.validation().negative.push(zone);
            }
            "minimal-responses" => self.expects_extras = !yes(line, value)?,
            "val-override-date" => self.unix_secs = date(line, value)?,
            _ => return settled(line, key, value),
        }
        Ok(())
    }

    fn forward(&mut self, line: &Line, key: &str, value: &str) -> Result<(), Fault> {
        let Some(forward) = self.config.forward.last_mut() else {
            return Err(line.fault("`name:` must come first"));
        };
        match key {
            "forward-addr" => forward.servers.push(server(line, value)?),
            "forward-first" => forward.fallback = yes(line, value)?,
            _ => return Err(line.fault(format!("`{key}` has no counterpart here"))),
        }
        Ok(())
    }

    /// An option of a stub zone; for the root it is about the hints, which are always primed.
    fn stub(&mut self, line: &Line, key: &str, value: &str, zone: &Name) -> Result<(), Fault> {
        let own = self.config.stub.last_mut().filter(|_| !zone.is_root());
        match (key, own) {
            ("stub-addr", Some(stub)) => stub.servers.push(server(line, value)?),
            ("stub-addr", None) => {
                let address: IpAddr = server(line, value)?.ip();
                let name = Name::from_ascii("hint.invalid.").unwrap_or_default();
                self.config.root_hints.push((name, vec![address]));
            }
            ("stub-prime", Some(stub)) => stub.prime = yes(line, value)?,
            ("stub-prime" | "stub-first", None) => {}
            ("stub-first", Some(_)) if !yes(line, value)? => {}
            ("stub-first", Some(_)) => {
                return Err(line.fault("a stub never leads to the tree here"));
            }
            _ => return Err(line.fault(format!("`{key}` has no counterpart here"))),
        }
        Ok(())
    }

    fn nexus(&mut self, line: &Line, key: &str, value: &str) -> Result<(), Fault> {
        match key {
            "seeds" => self.seeds = number::<u64>(line, value)?.clamp(1, 1_000),
            "cache-bytes-max" => self.config.cache_bytes_max = number(line, value)?,
            "trust-anchor-roll-over" => self.config.trust_anchor_roll_over = yes(line, value)?,
            "stale-max-secs" => self.config.stale_max_secs = number(line, value)?,
            "upstream-cookies" => self.config.upstream_cookies = yes(line, value)?,
            _ => return limit(&mut self.config.limits, line, key, value),
        }
        Ok(())
    }
}

fn limit(limits: &mut Limits, line: &Line, key: &str, value: &str) -> Result<(), Fault> {
    match key {
        "tickets-max" => limits.tickets_max = number(line, value)?,
        "tasks-max" => limits.tasks_max = number(line, value)?,
        "exchanges-max" => limits.exchanges_max = number(line, value)?,
        "servers-max" => limits.servers_max = number(line, value)?,
        "failures-max" => limits.failures_max = number(line, value)?,
        "wall-ms-max" => limits.wall_ms_max = number(line, value)?,
        "sends-max" => limits.sends_max = number(line, value)?,
        "subqueries-max" => limits.subqueries_max = number(line, value)?,
        "subqueries-zone-max" => limits.subqueries_zone_max = number(line, value)?,
        "depth-max" => limits.depth_max = number(line, value)?,
        "aliases-max" => limits.aliases_max = number(line, value)?,
        "referrals-max" => limits.referrals_max = number(line, value)?,
        "nameservers-max" => limits.nameservers_max = number(line, value)?,
        "addresses-max" => limits.addresses_max = number(line, value)?,
        "subqueries-parallel-max" => limits.subqueries_parallel_max = number(line, value)?,
        "attempts-max" => limits.attempts_max = number(line, value)?,
        "mismatches-max" => limits.mismatches_max = number(line, value)?,
        "rrset-records-max" => limits.rrset_records_max = number(line, value)?,
        "signatures-max" => limits.signatures_max = number(line, value)?,
        "bad-signatures-max" => limits.bad_signatures_max = number(line, value)?,
        "hashes-max" => limits.hashes_max = number(line, value)?,
        "zones-max" => limits.zones_max = number(line, value)?,
        _ => return Err(line.fault(format!("`nexus:` has no `{key}`"))),
    }
    Ok(())
}

/// Options without a counterpart. Those that only tune count for nothing; those that change what a
/// client sees may only ask for what happens here anyway.
fn settled(line: &Line, key: &str, value: &str) -> Result<(), Fault> {
    const TUNING: [&str; 19] = [
        "access-control",
        "fake-sha1",
        "infra-host-ttl",
        "key-cache-size",
        "log-queries",
        "log-replies",
        "log-servfail",
        "msg-cache-size",
        "num-threads",
        "outbound-msg-retry",
        "root-key-sentinel",
        "rrset-cache-size",
        "rrset-roundrobin",
        "target-fetch-policy",
        "trust-anchor-signaling",
        "val-log-level",
        "val-sig-skew-max",
        "val-sig-skew-min",
        "verbosity",
    ];
    const ALWAYS: [(&str, &str); 11] = [
        ("disable-dnssec-lame-check", "no"),
        ("ede", "yes"),
        ("ede-serve-expired", "yes"),
        ("harden-algo-downgrade", "no"),
        ("harden-dnssec-stripped", "yes"),
        ("harden-glue", "yes"),
        ("harden-large-queries", "yes"),
        ("harden-referral-path", "no"),
        ("harden-short-bufsize", "yes"),
        ("ignore-cd-flag", "no"),
        ("prefetch-key", "no"),
    ];
    if TUNING.contains(&key) || (key == "module-config" && value.ends_with("iterator")) {
        return Ok(());
    }
    match ALWAYS.iter().find(|(name, _)| *name == key) {
        Some((_, always)) if *always == value => Ok(()),
        Some((_, always)) => Err(line.fault(format!("`{key}` is always `{always}` here"))),
        None => Err(line.fault(format!("`{key}: {value}` has no counterpart here"))),
    }
}

/// `key: value`, without quotes and comment (`#` or `;`).
fn option(line: &Line) -> Result<Option<(String, String)>, Fault> {
    let mut bare = String::new();
    let mut quoted = false;
    for char in line.raw.chars() {
        match char {
            '"' => quoted = !quoted,
            '#' | ';' if !quoted => break,
            _ => bare.push(char),
        }
    }
    if quoted {
        return Err(line.fault("a quotation mark is missing"));
    }
    let bare = bare.trim();
    if bare.is_empty() {
        return Ok(None);
    }
    let (key, value) = bare
        .split_once(':')
        .ok_or_else(|| line.fault("an option is `key: value`"))?;
    Ok(Some((key.trim().to_owned(), value.trim().to_owned())))
}

pub(crate) fn yes(line: &Line, value: &str) -> Result<bool, Fault> {
    match value {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(line.fault("yes or no was expected")),
    }
}

fn number<N: std::str::FromStr>(line: &Line, value: &str) -> Result<N, Fault> {
    value
        .parse()
        .map_err(|_| line.fault(format!("`{value}` is no number that fits")))
}

/// `address[@port]`.
fn server(line: &Line, value: &str) -> Result<SocketAddr, Fault> {
    let (address, port) = value.split_once('@').unwrap_or((value, "53"));
    let address: IpAddr = address
        .parse()
        .map_err(|_| line.fault(format!("`{address}` is no IP address")))?;
    Ok(SocketAddr::new(address, number(line, port)?))
}

/// `YYYYMMDDHHMMSS`, or Unix seconds.
fn date(line: &Line, value: &str) -> Result<u64, Fault> {
    if value.len() != 14 {
        return number(line, value);
    }
    let part = |from: usize, to: usize| {
        let digits = value.get(from..to).unwrap_or_default();
        number::<u64>(line, digits)
    };
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return Err(line.fault("a date is YYYYMMDDHHMMSS, from 1970 on"));
    }
    // Years that begin in March, so that a leap day is the last of its year.
    let (shifted_year, shifted_month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = shifted_year / 4 - shifted_year / 100 + shifted_year / 400;
    let days = 365 * shifted_year + leap_days + (153 * shifted_month + 2) / 5 + day - 1 - 719_468;
    Ok(days * 86_400 + part(8, 10)? * 3_600 + part(10, 12)? * 60 + part(12, 14)?)
}
