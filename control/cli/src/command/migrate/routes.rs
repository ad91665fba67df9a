//! `forward-zone:`, `stub-zone:` and `auth-zone:`.

use config::{ForwardZone, LocalRoot, StubZone, Upstream};

use super::mapper::Mapper;
use super::options;
use super::report::Verdict;
use super::source::Clause;

/// Bounds of the keys.
const SERVERS_MAX: usize = 32;
const ROUTES_MAX: usize = 10_000;
/// Special names that Unbound leaves to a forwarder, which may well know `corp.local.`
const FORWARDED_NAMES: [&str; 2] = ["local.", "alt."];

impl Mapper {
    pub(super) fn zone(&mut self, clause: &Clause) -> Verdict {
        let name = match options::name(clause.last("name").unwrap_or_default()) {
            Ok(name) => name,
            Err(verdict) => return verdict,
        };
        let done = match clause.kind.as_str() {
            "forward-zone" => self.forward(clause, name),
            "stub-zone" => self.stub(clause, name),
            _ if name == "." && clause.last("for-downstream") == Some("no") => {
                Ok(self.local_root(clause))
            }
            _ => Ok(self.auth_zone(clause, name)),
        };
        done.unwrap_or_else(|verdict| verdict)
    }

    fn forward(&mut self, clause: &Clause, zone: String) -> Result<Verdict, Verdict> {
        let servers = self.servers(clause, &zone, "forward")?;
        let fallback = clause.last("forward-first") == Some("yes");
        if zone == "." {
            let except = &mut self.config.resolver.special_names_except;
            except.extend(FORWARDED_NAMES.map(str::to_owned));
        }
        if zone == "." && !fallback {
            self.config.resolver.forward = servers;
            self.routes.insert(zone);
            return Ok(Verdict::taken("resolver.forward"));
        }
        self.routes.insert(zone.clone());
        self.config.resolver.forward_zones.push(ForwardZone {
            zone,
            servers,
            fallback,
        });
        Ok(Verdict::taken("resolver.forward_zones"))
    }

    fn stub(&mut self, clause: &Clause, zone: String) -> Result<Verdict, Verdict> {
        let servers = self.servers(clause, &zone, "stub")?;
        self.routes.insert(zone.clone());
        self.config.resolver.stub_zones.push(StubZone {
            zone,
            servers,
            prime: clause.last("stub-prime") == Some("yes"),
        });
        if clause.last("stub-first") == Some("yes") {
            return Err(Verdict::lost(
                "taken over without stub-first: when its servers fail, so do answers",
            ));
        }
        Ok(Verdict::taken("resolver.stub_zones"))
    }

    /// The addresses of a route; `kind` begins its options.
    fn servers(&self, clause: &Clause, zone: &str, kind: &str) -> Result<Vec<Upstream>, Verdict> {
        let option = |name: &str| format!("{kind}-{name}");
        if clause.last(&option("tls-upstream")) == Some("yes") {
            return Err(Verdict::lost("servers are asked over UDP and TCP, not TLS"));
        }
        if let Some(host) = clause.last(&option("host")) {
            return Err(Verdict::lost(format!(
                "write the addresses of {host} as {kind}-addr"
            )));
        }
        if self.routes.contains(zone) || self.routes.len() >= ROUTES_MAX {
            return Err(Verdict::lost(format!(
                "expected one route a zone, and at most {ROUTES_MAX}"
            )));
        }
        let mut servers = Vec::new();
        for setting in clause.all(&option("addr")) {
            match upstream(setting.value()) {
                Ok(server) if servers.contains(&server) => {}
                Ok(server) => servers.push(server),
                Err(why) => return Err(Verdict::lost(format!("`{}`: {why}", setting.value()))),
            }
        }
        match servers.len() {
            0 => Err(Verdict::lost(format!("no {kind}-addr"))),
            count if count > SERVERS_MAX => Err(Verdict::lost(format!(
                "{count} addresses; expected at most {SERVERS_MAX}"
            ))),
            _ => Ok(servers),
        }
    }

    /// The servers that a zone is copied from, as far as they are addresses and take no TLS; and what is
    /// left out.
    pub(super) fn primaries(&self, clause: &Clause) -> (Vec<Upstream>, Option<String>) {
        let (mut taken, mut left_out) = (Vec::new(), Vec::new());
        for setting in clause.all("primary").chain(clause.all("master")) {
            let text = setting.value();
            match upstream(text) {
                Ok(server) if !text.contains('#') && taken.len() < SERVERS_MAX => {
                    if !taken.contains(&server) {
                        taken.push(server);
                    }
                }
                _ => left_out.push(text.to_owned()),
            }
        }
        let urls = clause.all("url").map(|setting| setting.value().to_owned());
        left_out.extend(urls);
        let note = format!("left out of its primaries: {}", left_out.join(", "));
        (taken, (!left_out.is_empty()).then_some(note))
    }

    /// `auth-zone:` for the root that clients do not see (RFC 8806). Without it the root servers are
    /// asked, who say the same: nothing is lost.
    fn local_root(&mut self, clause: &Clause) -> Verdict {
        if clause.last("for-upstream") == Some("no") {
            return Verdict::default("neither clients nor the resolver see it");
        }
        let (primaries, left_out) = self.primaries(clause);
        if !primaries.is_empty() {
            self.config.resolver.local_root = Some(LocalRoot {
                file: None,
                primaries,
                tsig: None,
            });
            return Verdict::taken("resolver.local_root").noting(left_out);
        }
        let Some(file) = clause.last("zonefile").filter(|file| !file.is_empty()) else {
            return Verdict::no_effect(
                "a copy of the root comes from a file or from addresses; the root servers are asked",
            );
        };
        let file = self.path(file);
        if let Err(remark) = node::zone_file::read(&node::local_root::zone_entry(&file)) {
            return Verdict::no_effect(format!("{remark}; the root servers are asked"));
        }
        self.config.resolver.local_root = Some(LocalRoot {
            file: Some(file),
            primaries: Vec::new(),
            tsig: None,
        });
        let mut sources = clause.all("primary").chain(clause.all("url"));
        let note = "fetching the file anew is a timer's work; once it is too old, the root servers are asked";
        let note = sources.next().map(|_| note.to_owned());
        Verdict::taken("resolver.local_root").noting(note)
    }

    /// `auth-zone:` with a file of its own is a zone of ours.
    fn auth_zone(&mut self, clause: &Clause, name: String) -> Verdict {
        let mut sources = clause.all("primary").chain(clause.all("url"));
        if sources.next().is_some() {
            return Verdict::lost("zones come from files alone, not from other servers");
        }
        if clause.last("for-downstream") == Some("no") {
            return Verdict::lost("zones answer clients, and not the resolver alone");
        }
        let Some(file) = clause.last("zonefile").filter(|file| !file.is_empty()) else {
            return Verdict::lost("expected a zonefile");
        };
        if self.config.zones.iter().any(|zone| zone.name == name) {
            return Verdict::lost("a second zone of that name");
        }
        let file = self.path(file);
        self.config.zones.push(config::Zone {
            name,
            file: Some(file),
            ..config::Zone::default()
        });
        Verdict::taken("zones")
    }
}

/// `192.0.2.1@5353#dns.example`; the name is for TLS.
pub(super) fn upstream(text: &str) -> Result<Upstream, &'static str> {
    let text = text.split_once('#').map_or(text, |(text, _)| text);
    match text.split_once('@') {
        None => text.parse(),
        Some((address, port)) if address.contains(':') => format!("[{address}]:{port}").parse(),
        Some((address, port)) => format!("{address}:{port}").parse(),
    }
}
