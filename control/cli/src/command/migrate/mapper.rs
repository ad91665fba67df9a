//! From clauses to a [`Config`]: what is gathered on the way, and what is made of it in the end.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use config::Config;

use super::access::{self, Prefix};
use super::filters::Translation;
use super::lists::List;
use super::local::{Local, Place};
use super::report::{Report, Verdict};
use super::source::{Clause, Setting};
use super::table;

/// Port of DNS over HTTPS unless told otherwise.
const HTTPS_PORT: u16 = 443;
const DNS_PORT: u16 = 53;
/// A port for one of ours that would meet the DNS port.
const SPARE_PORT: u16 = 8853;

/// State of one migration. The defaults are those of Unbound where they differ from ours and matter.
#[derive(Debug)]
pub(super) struct Mapper {
    pub(super) config: Config,
    pub(super) report: Report,
    /// Folder that relative names start at.
    folder: PathBuf,
    chroot: Option<PathBuf>,
    pub(super) interfaces: Vec<Setting>,
    pub(super) access: Vec<Setting>,
    pub(super) anchors: Vec<Setting>,
    pub(super) locals: Vec<Setting>,
    pub(super) view_clients: Vec<Setting>,
    pub(super) subnets: Vec<Setting>,
    /// To be written beside the configuration.
    pub(super) lists: Vec<List>,
    pub(super) translation: Translation,
    /// Zones with servers of their own.
    pub(super) routes: BTreeSet<String>,
    pub(super) port: Option<u16>,
    pub(super) tls_port: u16,
    pub(super) is_automatic: bool,
    pub(super) has_ipv4: bool,
    pub(super) has_ipv6: bool,
    pub(super) minimises: bool,
    pub(super) is_strict: bool,
    pub(super) serves_expired: bool,
    pub(super) hides_identity: bool,
    pub(super) hides_version: bool,
    pub(super) identity: Option<String>,
    pub(super) version: Option<String>,
    pub(super) threads: u64,
    pub(super) queries: Option<u64>,
    pub(super) sockets: Option<u64>,
    pub(super) connections: Option<u64>,
    pub(super) validates: bool,
    pub(super) has_dns64: bool,
    pub(super) has_subnets: bool,
}

impl Mapper {
    /// For the file at `path`, whose clauses these are.
    pub(super) fn new(path: &Path, clauses: &[Clause]) -> Self {
        let servers = clauses
            .iter()
            .rev()
            .filter(|clause| clause.kind == "server");
        let of = |option: &str| {
            let value = servers.clone().find_map(|clause| clause.last(option));
            value.filter(|value| !value.is_empty()).map(PathBuf::from)
        };
        let (chroot, directory) = (of("chroot"), of("directory"));
        let own = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let own = own.parent().map_or_else(PathBuf::new, Path::to_owned);
        Self {
            config: Config::default(),
            report: Report::default(),
            folder: directory.map_or(own.clone(), |directory| own.join(directory)),
            chroot,
            interfaces: Vec::new(),
            access: Vec::new(),
            anchors: Vec::new(),
            locals: Vec::new(),
            view_clients: Vec::new(),
            subnets: Vec::new(),
            lists: Vec::new(),
            translation: Translation::default(),
            routes: BTreeSet::new(),
            port: None,
            tls_port: 853,
            is_automatic: false,
            has_ipv4: true,
            has_ipv6: true,
            minimises: true,
            is_strict: false,
            // An option that is not given leaves our default.
            serves_expired: true,
            hides_identity: false,
            hides_version: false,
            identity: None,
            version: None,
            threads: 1,
            queries: None,
            sockets: None,
            connections: None,
            validates: true,
            has_dns64: false,
            has_subnets: true,
        }
    }

    /// Takes over what is in the clauses, all but the trust anchors.
    pub(super) fn take(&mut self, clauses: &[Clause]) {
        for clause in clauses {
            match clause.kind.as_str() {
                "server" => {
                    for setting in &clause.settings {
                        if let Some(verdict) = self.option(setting) {
                            self.report.add(setting, verdict);
                        }
                    }
                }
                "forward-zone" | "stub-zone" | "auth-zone" => {
                    let verdict = self.zone(clause);
                    self.add_clause(clause, verdict);
                }
                "dnstap" => {
                    let verdict = self.dnstap(clause);
                    self.add_clause(clause, verdict);
                }
                "rpz" => {
                    let verdict = self.rpz(clause);
                    self.add_clause(clause, verdict);
                }
                "view" => {}
                kind => self.add_clause(clause, table::judge_clause(kind)),
            }
        }
        self.finish_scalars();
        self.finish_filters();
        self.listen();
        let locals = std::mem::take(&mut self.locals);
        let mut local = Local::take(&locals, Place::Server, &mut self.report);
        self.split_lists(&mut local);
        let members = self.take_views(clauses, &local);
        self.allow(&members);
        let resolver = &mut self.config.resolver;
        resolver.local_data = local.texts();
        resolver.local_zones = std::mem::take(&mut local.zones);
        resolver.special_names_except.append(&mut local.except);
    }

    /// The name of a file as Unbound would open it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        let path = self.folder.join(name);
        match &self.chroot {
            Some(chroot) if !path.starts_with(chroot) => {
                let inside = chroot.join(path.strip_prefix("/").unwrap_or(&path));
                if inside.exists() { inside } else { path }
            }
            _ => path,
        }
    }

    pub(super) fn add_clause(&mut self, clause: &Clause, verdict: Verdict) {
        let name = clause.last("name").unwrap_or_default();
        let setting = Setting {
            file: clause.file.clone(),
            line: clause.line,
            option: clause.kind.clone(),
            values: vec![name.to_owned()],
        };
        self.report.add(&setting, verdict);
    }

    /// `interface`, `port`, `do-ip4` and `do-ip6`.
    fn listen(&mut self) {
        let default = self.port.unwrap_or(DNS_PORT);
        let settings = std::mem::take(&mut self.interfaces);
        let parsed: Vec<_> = settings
            .iter()
            .map(|setting| interface(setting.value(), default))
            .collect();
        let ports = || parsed.iter().flatten().map(|(_, port)| *port);
        let is_dns = |port: &u16| *port != self.tls_port && *port != HTTPS_PORT;
        // One port serves all addresses: the configured one, if any address has it.
        let port = match ports().any(|port| port == default) {
            true => default,
            false => ports().find(is_dns).unwrap_or(default),
        };
        let mut addresses: Vec<IpAddr> = Vec::new();
        for (setting, parsed) in settings.iter().zip(&parsed) {
            let verdict = match parsed {
                Err(why) => Verdict::lost(*why),
                Ok((_, own)) if *own != port => Verdict::lost(format!(
                    "all addresses have one port, {port}, for UDP and TCP without TLS"
                )),
                Ok((address, _)) if !self.has_family(*address) => {
                    Verdict::default("do-ip4 or do-ip6 turns it off")
                }
                Ok((address, _)) => {
                    if !addresses.contains(address) {
                        addresses.push(*address);
                    }
                    Verdict::taken("resolver.listen")
                }
            };
            self.report.add(setting, verdict);
        }
        if addresses.is_empty() {
            // Without any interface Unbound listens to its own machine.
            let (v4, v6): ([u8; 4], u128) = match self.is_automatic {
                true => ([0; 4], 0),
                false => ([127, 0, 0, 1], 1),
            };
            let both: [IpAddr; 2] = [v4.into(), std::net::Ipv6Addr::from(v6).into()];
            addresses.extend(both.into_iter().filter(|address| self.has_family(*address)));
        }
        if !addresses.is_empty() {
            self.config.resolver.listen = addresses;
        }
        let ports = &mut self.config.dataplane.ports;
        ports.dns = port;
        for other in [&mut ports.consensus, &mut ports.doq] {
            if *other == port {
                *other = SPARE_PORT;
            }
        }
    }

    fn has_family(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(_) => self.has_ipv4,
            IpAddr::V6(_) => self.has_ipv6,
        }
    }

    /// `access-control`. The networks of views are allowed unless they have a rule of their own.
    fn allow(&mut self, members: &[Prefix]) {
        let settings = std::mem::take(&mut self.access);
        let mut rules = Vec::new();
        for setting in &settings {
            let action = setting.values.get(1).map_or("", String::as_str);
            let verdict = match setting.value().parse::<Prefix>() {
                Err(why) => Verdict::lost(why),
                Ok(prefix) if prefix.is_mapped() => {
                    Verdict::default("mapped addresses count as IPv4")
                }
                Ok(prefix) => self.rule(prefix, action, &mut rules),
            };
            self.report.add(setting, verdict);
        }
        rules.extend(members.iter().map(|prefix| (*prefix, true)));
        match access::allowed(&rules) {
            Ok(networks) => self.config.resolver.allow = networks,
            // Our own text of a network: nobody is let in by a mistake of ours.
            Err(error) => unreachable!("a prefix of ours: {error}"),
        }
    }

    fn rule(&mut self, prefix: Prefix, action: &str, rules: &mut Vec<(Prefix, bool)>) -> Verdict {
        let taken = Verdict::taken("resolver.allow");
        let (is_allowed, verdict) = match action {
            "allow" => {
                let note = "queries without RD are answered from the cache, too";
                (true, taken.noting(Some(note.to_owned())))
            }
            "allow_snoop" => (true, taken),
            "allow_setrd" => (
                true,
                Verdict::lost(
                    "taken over as allow; queries without RD are answered from the cache alone",
                ),
            ),
            "allow_cookie" => (
                true,
                Verdict::lost(
                    "taken over as allow; resolver.cookies.require asks all UDP clients that know cookies for one",
                ),
            ),
            "refuse" | "refuse_non_local" => (false, taken),
            "deny" | "deny_non_local" => {
                let note = "refused rather than left without an answer";
                (false, taken.noting(Some(note.to_owned())))
            }
            _ => return Verdict::lost("expected an action such as allow or refuse"),
        };
        rules.push((prefix, is_allowed));
        verdict
    }
}

/// `192.0.2.1@5353`, with the port that it has otherwise.
fn interface(text: &str, default: u16) -> Result<(IpAddr, u16), &'static str> {
    let (address, port) = match text.split_once('@') {
        Some((address, port)) => (
            address,
            port.parse().map_err(|_| "expected a port behind @")?,
        ),
        None => (text, default),
    };
    let address = address
        .parse()
        .map_err(|_| "expected an address; names of interfaces are not resolved")?;
    Ok((address, port))
}
