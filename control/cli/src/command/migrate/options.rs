//! The options of `server:` that are a value of one key.

use config::{Config, Dnssec, QnameMinimisation, Source};

use super::date;
use super::local;
use super::mapper::Mapper;
use super::report::{Outcome, Verdict};
use super::source::Setting;
use super::table;

/// What a setting must say; shown when it says something else.
pub(super) type Said<T> = Result<T, Verdict>;

/// What of Unbound's modules is done here.
const MODULES: [&str; 5] = ["validator", "iterator", "respip", "dns64", "subnetcache"];

/// Sizes of caches: bounds of the keys.
const CACHE_BYTES: (u64, u64) = (64 << 10, 64 << 30);
const MESSAGE_CACHE_BYTES: (u64, u64) = (64 << 10, 16 << 30);

/// An option that is a number, and the key that has it.
struct Number {
    option: &'static str,
    key: &'static str,
    /// Bounds of the key.
    range: (u64, u64),
    field: fn(&mut Config) -> &mut u32,
    note: Option<&'static str>,
}

const NUMBERS: [Number; 9] = [
    Number {
        option: "serve-expired-ttl",
        key: "resolver.stale.max_secs",
        range: (1, 604_800),
        field: |c| &mut c.resolver.stale.max_secs,
        note: None,
    },
    Number {
        option: "serve-expired-reply-ttl",
        key: "resolver.stale.ttl_secs",
        range: (1, 30),
        field: |c| &mut c.resolver.stale.ttl_secs,
        note: None,
    },
    // 0 means at once there, and only after failures here.
    Number {
        option: "serve-expired-client-timeout",
        key: "resolver.stale.client_timeout_ms",
        range: (1, 10_000),
        field: |c| &mut c.resolver.stale.client_timeout_ms,
        note: None,
    },
    Number {
        option: "cache-max-ttl",
        key: "resolver.ttl.max_secs",
        range: (1, 604_800),
        field: |c| &mut c.resolver.ttl.max_secs,
        note: None,
    },
    Number {
        option: "cache-min-ttl",
        key: "resolver.ttl.min_secs",
        range: (0, 3_600),
        field: |c| &mut c.resolver.ttl.min_secs,
        note: None,
    },
    Number {
        option: "cache-max-negative-ttl",
        key: "resolver.ttl.negative_max_secs",
        range: (0, 86_400),
        field: |c| &mut c.resolver.ttl.negative_max_secs,
        note: None,
    },
    Number {
        option: "tcp-idle-timeout",
        key: "resolver.tcp.idle_ms",
        range: (100, 600_000),
        field: |c| &mut c.resolver.tcp.idle_ms,
        note: None,
    },
    Number {
        option: "ip-ratelimit",
        key: "dataplane.response_rate_limit.per_second",
        range: (0, 10_000_000),
        field: |c| &mut c.dataplane.response_rate_limit.per_second,
        note: Some("counts responses of each kind, over UDP"),
    },
    Number {
        option: "ip-ratelimit-factor",
        key: "dataplane.response_rate_limit.slip",
        range: (0, 100),
        field: |c| &mut c.dataplane.response_rate_limit.slip,
        note: Some("these are sent truncated rather than answered"),
    },
];

/// An amount of memory with a key of its own.
struct Size {
    option: &'static str,
    key: &'static str,
    range: (u64, u64),
    field: fn(&mut Config) -> &mut u64,
}

const SIZES: [Size; 2] = [
    Size {
        option: "rrset-cache-size",
        key: "resolver.cache_bytes",
        range: CACHE_BYTES,
        field: |c| &mut c.resolver.cache_bytes,
    },
    Size {
        option: "msg-cache-size",
        key: "resolver.message_cache_bytes",
        range: MESSAGE_CACHE_BYTES,
        field: |c| &mut c.resolver.message_cache_bytes,
    },
];

/// A switch with a key of its own.
struct Flag {
    option: &'static str,
    key: &'static str,
    field: fn(&mut Config) -> &mut bool,
}

const FLAGS: [Flag; 4] = [
    Flag {
        option: "use-caps-for-id",
        key: "resolver.case_randomisation",
        field: |c| &mut c.resolver.case_randomisation,
    },
    Flag {
        option: "prefetch",
        key: "resolver.prefetch",
        field: |c| &mut c.resolver.prefetch,
    },
    Flag {
        option: "aggressive-nsec",
        key: "resolver.aggressive_nsec",
        field: |c| &mut c.resolver.aggressive_nsec,
    },
    Flag {
        option: "answer-cookie",
        key: "resolver.cookies.enabled",
        field: |c| &mut c.resolver.cookies.enabled,
    },
];

impl Mapper {
    /// Takes one option of `server:` over, or says why not. Options that depend on each other are
    /// remembered for [`Mapper::finish`].
    pub(super) fn option(&mut self, setting: &Setting) -> Option<Verdict> {
        self.remembered(setting)
            .or_else(|| self.filter(setting))
            .unwrap_or_else(|| Some(self.scalar(setting).unwrap_or_else(|verdict| verdict)))
    }

    fn scalar(&mut self, setting: &Setting) -> Said<Verdict> {
        let numbers = NUMBERS
            .iter()
            .find(|number| number.option == setting.option);
        if let Some(number) = numbers {
            return self.number(setting, number);
        }
        if let Some(from) = SIZES.iter().find(|from| from.option == setting.option) {
            let (bytes, note) = within(bytes(setting)?, from.range);
            return Ok(self.set(from.key, from.field, bytes).noting(note));
        }
        if let Some(from) = FLAGS.iter().find(|from| from.option == setting.option) {
            return Ok(self.set(from.key, from.field, flag(setting)?));
        }
        match setting.option.as_str() {
            "cookie-secret" => self.cookie_secret(setting),
            "root-hints" => {
                let path = self.path(setting.value());
                node::hints::read_hints(&path).map_err(|error| {
                    Verdict::lost(format!("{}: {}", path.display(), error.message))
                })?;
                let key = "resolver.root_hints";
                Ok(self.set(key, |c| &mut c.resolver.root_hints, Source::File(path)))
            }
            "val-override-date" => self.override_date(setting),
            "domain-insecure" => self.domain_insecure(setting),
            _ => Ok(table::judge(setting)),
        }
    }

    /// Options of which several make one key.
    fn remembered(&mut self, setting: &Setting) -> Option<Option<Verdict>> {
        let kept = match setting.option.as_str() {
            "interface" => {
                self.interfaces.push(setting.clone());
                return Some(None);
            }
            "access-control" => {
                self.access.push(setting.clone());
                return Some(None);
            }
            "auto-trust-anchor-file" | "trust-anchor-file" | "trust-anchor" => {
                self.anchors.push(setting.clone());
                return Some(None);
            }
            option if local::is_local(option) => {
                self.locals.push(setting.clone());
                return Some(None);
            }
            "access-control-view" => {
                self.view_clients.push(setting.clone());
                return Some(None);
            }
            "port" => number(setting, (1, 65_535)).map(|port| {
                self.port = u16::try_from(port).ok();
            }),
            "tls-port" => number(setting, (1, 65_535)).map(|port| {
                self.tls_port = u16::try_from(port).unwrap_or(0);
            }),
            "interface-automatic" => flag(setting).map(|on| self.is_automatic = on),
            "do-ip4" => flag(setting).map(|on| self.has_ipv4 = on),
            "do-ip6" => flag(setting).map(|on| self.has_ipv6 = on),
            "qname-minimisation" => flag(setting).map(|on| self.minimises = on),
            "qname-minimisation-strict" => flag(setting).map(|on| self.is_strict = on),
            "serve-expired" => flag(setting).map(|on| self.serves_expired = on),
            "hide-identity" => flag(setting).map(|on| self.hides_identity = on),
            "hide-version" => flag(setting).map(|on| self.hides_version = on),
            "identity" => {
                self.identity = Some(setting.value().to_owned());
                Ok(())
            }
            "version" => {
                self.version = Some(setting.value().to_owned());
                Ok(())
            }
            "num-threads" => number(setting, (1, 1_024)).map(|count| self.threads = count),
            "num-queries-per-thread" => {
                number(setting, (1, 1 << 20)).map(|count| self.queries = Some(count))
            }
            "outgoing-range" => {
                number(setting, (1, 1 << 20)).map(|count| self.sockets = Some(count))
            }
            "incoming-num-tcp" => {
                number(setting, (0, 1 << 20)).map(|count| self.connections = Some(count))
            }
            "module-config" => return Some(Some(self.modules(setting.value()))),
            _ => return None,
        };
        Some(Some(match kept {
            Ok(()) if setting.option == "num-threads" => {
                Verdict::default("limits of a thread are multiplied by it")
            }
            Ok(()) => Verdict::taken(key_of(&setting.option)),
            Err(verdict) => verdict,
        }))
    }

    /// What the remembered options make together.
    pub(super) fn finish_scalars(&mut self) {
        let resolver = &mut self.config.resolver;
        resolver.qname_minimisation = match (self.minimises, self.is_strict) {
            (false, _) => QnameMinimisation::Off,
            (true, false) => QnameMinimisation::Relaxed,
            (true, true) => QnameMinimisation::Strict,
        };
        let hidden = Some(String::new());
        let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        resolver.identity = if self.hides_identity {
            hidden.clone()
        } else {
            text(&self.identity)
        };
        resolver.version = if self.hides_version {
            hidden
        } else {
            text(&self.version)
        };
        let all = |count: Option<u64>, max: u64| {
            let all = count?.saturating_mul(self.threads).clamp(1, max);
            u32::try_from(all).ok()
        };
        if let Some(count) = all(self.queries, 1_000_000) {
            resolver.questions_max = count;
        }
        if let Some(count) = all(self.sockets, 65_535) {
            resolver.upstream_sockets_max = count;
        }
        if let Some(count) = all(self.connections, 100_000) {
            let tcp = &mut resolver.tcp;
            tcp.connections_max = count;
            tcp.connections_per_client_max = tcp.connections_per_client_max.min(count);
        }
        if !self.serves_expired {
            resolver.stale.max_secs = 0;
        }
        let ttl = &mut resolver.ttl;
        ttl.min_secs = ttl.min_secs.min(ttl.max_secs);
        let limit = &mut self.config.dataplane.response_rate_limit;
        if limit.per_second > 0 {
            // Unbound counts by address; an IPv6 client has a /64 at least.
            (limit.ipv4_bits, limit.ipv6_bits) = (32, 64);
        }
        if !self.validates {
            self.config.resolver.dnssec = Dnssec::Off;
        }
    }

    fn modules(&mut self, value: &str) -> Verdict {
        let mut modules = value.split_whitespace();
        self.validates = modules.clone().any(|module| module == "validator");
        self.has_dns64 = modules.clone().any(|module| module == "dns64");
        self.has_subnets = modules.clone().any(|module| module == "subnetcache");
        let unknown = modules.find(|module| !MODULES.contains(module));
        match unknown {
            Some(module) => Verdict::lost(format!("no module `{module}`")),
            None => Verdict::taken("resolver.dnssec"),
        }
    }

    fn cookie_secret(&mut self, setting: &Setting) -> Said<Verdict> {
        let text = serde_json::Value::String(setting.value().to_owned());
        match serde_json::from_value(text) {
            Ok(secret @ config::CookieSecret::Given(_)) => {
                self.config.resolver.cookies.secret = Some(secret);
                Ok(Verdict::taken("resolver.cookies.secret"))
            }
            _ => Err(Verdict::lost("expected 32 hexadecimal digits")),
        }
    }

    fn override_date(&mut self, setting: &Setting) -> Said<Verdict> {
        match setting.value() {
            "" | "0" => Ok(Verdict::default("the clock's time")),
            "-1" => Err(Verdict::lost("the time of signatures is always checked")),
            text => {
                let seconds = date::to_unix(text).ok_or_else(|| {
                    Verdict::lost("expected a date such as 20270115080000, in UTC")
                })?;
                let key = "resolver.validation_time";
                Ok(self.set(key, |c| &mut c.resolver.validation_time, Some(seconds)))
            }
        }
    }

    fn domain_insecure(&mut self, setting: &Setting) -> Said<Verdict> {
        let name = name(setting.value())?;
        self.config.resolver.negative_trust_anchors.push(name);
        Ok(Verdict::taken("resolver.negative_trust_anchors"))
    }

    fn number(&mut self, setting: &Setting, known: &Number) -> Said<Verdict> {
        let (value, note) = within(number(setting, (0, u64::MAX))?, known.range);
        let value = u32::try_from(value).unwrap_or(u32::MAX);
        let verdict = self.set(known.key, known.field, value);
        let is_taken = verdict.outcome == Outcome::TakenOver;
        let note = note.or(known.note.filter(|_| is_taken).map(str::to_owned));
        Ok(verdict.noting(note))
    }

    fn set<T: PartialEq>(
        &mut self,
        key: &'static str,
        field: impl Fn(&mut Config) -> &mut T,
        value: T,
    ) -> Verdict {
        let is_default = *field(&mut Config::default()) == value;
        *field(&mut self.config) = value;
        match is_default {
            true => Verdict::default("the default"),
            false => Verdict::taken(key),
        }
    }
}

/// The keys that remembered options go into.
fn key_of(option: &str) -> &'static str {
    match option {
        "port" | "tls-port" => "dataplane.ports.dns",
        "qname-minimisation" | "qname-minimisation-strict" => "resolver.qname_minimisation",
        "hide-identity" | "identity" => "resolver.identity",
        "hide-version" | "version" => "resolver.version",
        "num-queries-per-thread" => "resolver.questions_max",
        "outgoing-range" => "resolver.upstream_sockets_max",
        "serve-expired" => "resolver.stale.max_secs",
        "incoming-num-tcp" => "resolver.tcp.connections_max",
        _ => "resolver.listen",
    }
}

/// A name of a zone as the configuration takes it.
pub(super) fn name(text: &str) -> Said<String> {
    let zone = serde_json::json!({ "name": text, "file": "-" });
    serde_json::from_value(zone)
        .map(|zone: config::Zone| zone.name)
        .map_err(|_| Verdict::lost("expected a domain name of letters, digits, - and _"))
}

pub(super) fn flag(setting: &Setting) -> Said<bool> {
    match setting.value() {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(Verdict::lost("expected yes or no")),
    }
}

pub(super) fn number(setting: &Setting, (min, max): (u64, u64)) -> Said<u64> {
    let number = setting.value().parse().ok();
    number
        .filter(|number| (min..=max).contains(number))
        .ok_or_else(|| Verdict::lost(format!("expected a number from {min} to {max}")))
}

/// `4m`: bytes, or thousands of them as powers of 1024.
fn bytes(setting: &Setting) -> Said<u64> {
    let text = setting.value().to_ascii_lowercase();
    let text = text.strip_suffix('b').unwrap_or(&text);
    let (digits, factor) = match text.strip_suffix(['k', 'm', 'g']) {
        Some(digits) if text.ends_with('k') => (digits, 1 << 10),
        Some(digits) if text.ends_with('m') => (digits, 1 << 20),
        Some(digits) => (digits, 1 << 30),
        None => (text, 1_u64),
    };
    let count = digits.trim().parse::<u64>().ok();
    count
        .and_then(|count| count.checked_mul(factor))
        .ok_or_else(|| Verdict::lost("expected a size such as 4m"))
}

/// A value brought into the range of its key, and a note when it was outside.
fn within(value: u64, (min, max): (u64, u64)) -> (u64, Option<String>) {
    let inside = value.clamp(min, max);
    let note = (inside != value).then(|| format!("{value} is outside; {inside} is written"));
    (inside, note)
}
