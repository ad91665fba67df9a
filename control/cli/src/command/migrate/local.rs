//! `local-zone`, `local-data` and `local-data-ptr`, of `server:` and of views.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use config::{LocalAction, LocalZone};

use super::options;
use super::report::{Report, Verdict};
use super::source::Setting;

/// What local options come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Local {
    pub(super) zones: Vec<LocalZone>,
    pub(super) data: Vec<Datum>,
    /// Zones that are `always_null`.
    pub(super) nulls: BTreeSet<String>,
    /// Built-in zones that are switched off.
    pub(super) except: Vec<String>,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Datum {
    /// In lower case with the final dot.
    pub(super) owner: String,
    pub(super) text: String,
}

/// Whose options they are, for the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Server,
    View,
}

pub(super) fn is_local(option: &str) -> bool {
    ["local-zone", "local-data", "local-data-ptr"].contains(&option)
}

impl Local {
    /// Takes over all of these settings, which are local options.
    pub(super) fn take(settings: &[Setting], place: Place, report: &mut Report) -> Self {
        let types = types(settings);
        let data: Vec<_> = settings
            .iter()
            .map(|setting| match setting.option.as_str() {
                "local-zone" => None,
                _ => Some(datum(setting)),
            })
            .collect();
        let owners = data.iter().flatten().flatten();
        let filled: BTreeSet<_> = owners
            .filter_map(|datum| nearest(&types, &datum.owner))
            .map(|(zone, _)| zone.to_owned())
            .collect();
        let mut local = Self::default();
        let mut seen = BTreeSet::new();
        for (setting, datum) in settings.iter().zip(data) {
            let verdict = match datum {
                None => local.zone(setting, place, &mut seen, &filled),
                Some(Err(verdict)) => verdict,
                Some(Ok(datum)) => match nearest(&types, &datum.owner) {
                    Some((_, kind @ ("always_transparent" | "always_null"))) => {
                        Verdict::default(format!("without effect in a zone that is {kind}"))
                    }
                    _ => {
                        local.data.push(datum);
                        Verdict::taken(place.key("resolver.local_data"))
                    }
                },
            };
            report.add(setting, verdict);
        }
        local.open_refused(&types, &mut seen);
        local
    }

    /// Zones of their own for records in zones that are refused or dropped, which would hide them.
    fn open_refused(&mut self, types: &BTreeMap<String, &str>, seen: &mut BTreeSet<String>) {
        for datum in &self.data {
            let kind = nearest(types, &datum.owner).map(|(_, kind)| kind);
            if matches!(kind, Some("refuse" | "deny" | "inform_deny"))
                && let Ok(name) = options::name(&datum.owner)
                && !types.contains_key(&name)
                && seen.insert(name.clone())
            {
                self.zones.push(LocalZone {
                    name,
                    action: LocalAction::Static,
                });
            }
        }
    }

    fn zone(
        &mut self,
        setting: &Setting,
        place: Place,
        seen: &mut BTreeSet<String>,
        filled: &BTreeSet<String>,
    ) -> Verdict {
        let name = match options::name(setting.value()) {
            Ok(name) => name,
            Err(verdict) => return verdict,
        };
        let kind = kind(setting);
        if kind == "nodefault" && place == Place::Server {
            self.except.push(name);
            return Verdict::taken("resolver.special_names_except");
        }
        let has_data = filled.contains(&name);
        let (action, note) = match action(kind, has_data) {
            Ok(found) => found,
            Err(why) => return Verdict::lost(why),
        };
        if !seen.insert(name.clone()) {
            return Verdict::default("the first zone of that name counts");
        }
        if kind == "always_null" {
            self.nulls.insert(name.clone());
            for data in ["A 0.0.0.0", "AAAA ::"] {
                self.data.push(Datum {
                    owner: name.clone(),
                    text: format!("{name} {data}"),
                });
            }
        }
        self.zones.push(LocalZone { name, action });
        match note {
            Note::Lost(why) => Verdict::lost(why),
            Note::None => Verdict::taken(place.key("resolver.local_zones")),
            Note::Unlogged => Verdict::taken(place.key("resolver.local_zones"))
                .noting(Some("queries are not logged".to_owned())),
        }
    }

    /// The records as the configuration has them.
    pub(super) fn texts(&self) -> Vec<String> {
        self.data.iter().map(|datum| datum.text.clone()).collect()
    }

    /// These before those of `global`, as `view-first` has it: what a zone here leaves open, or none
    /// covers, is asked there.
    pub(super) fn before(mut self, global: &Self) -> Self {
        let own = actions(&self.zones);
        let is_open = |name: &str| {
            nearest(&own, name).is_none_or(|(_, action)| action == LocalAction::Transparent)
        };
        let mut zones: Vec<_> = global.zones.clone();
        zones.retain(|zone| is_open(&zone.name));
        let own_owners: BTreeSet<_> = self.data.iter().map(|datum| &*datum.owner).collect();
        let mut data = global.data.clone();
        data.retain(|datum| is_open(&datum.owner) && !own_owners.contains(&*datum.owner));
        let behind = actions(&zones);
        // An open zone here must not hide a zone there.
        let is_needed = |zone: &LocalZone| {
            zone.action != LocalAction::Transparent || nearest(&behind, &zone.name).is_none()
        };
        let mut all: Vec<_> = self
            .zones
            .iter()
            .filter(|zone| is_needed(zone))
            .cloned()
            .collect();
        // Nor may one there hide a record here.
        for owner in own_owners {
            let hidden =
                |(_, action)| !matches!(action, LocalAction::Static | LocalAction::Transparent);
            if is_open(owner)
                && nearest(&behind, owner).is_some_and(hidden)
                && let Ok(name) = options::name(owner)
            {
                zones.retain(|zone| zone.name != name);
                all.push(LocalZone {
                    name,
                    action: LocalAction::Transparent,
                });
            }
        }
        all.append(&mut zones);
        self.zones = all;
        self.data.append(&mut data);
        self
    }
}

impl Place {
    fn key(self, server: &'static str) -> &'static str {
        match self {
            Self::Server => server,
            Self::View => "resolver.views",
        }
    }
}

enum Note {
    None,
    Unlogged,
    Lost(&'static str),
}

/// Our action for a type of Unbound's; `has_data` if records lie in the zone.
fn action(kind: &str, has_data: bool) -> Result<(LocalAction, Note), &'static str> {
    let found = match kind {
        // Without data not even the apex exists.
        "static" if has_data => (LocalAction::Static, Note::None),
        "static" | "always_nxdomain" => (LocalAction::Nxdomain, Note::None),
        "transparent" | "always_transparent" => (LocalAction::Transparent, Note::None),
        "inform" => (LocalAction::Transparent, Note::Unlogged),
        "typetransparent" if has_data => (
            LocalAction::Transparent,
            Note::Lost(
                "taken over as transparent: names with local data have no data of other types",
            ),
        ),
        "typetransparent" => (LocalAction::Transparent, Note::None),
        "redirect" | "always_null" => (LocalAction::Redirect, Note::None),
        "inform_redirect" => (LocalAction::Redirect, Note::Unlogged),
        "always_nodata" => (LocalAction::Nodata, Note::None),
        "refuse" if has_data => (
            LocalAction::Refuse,
            Note::Lost(
                "taken over with zones for its local data: what else is asked of their names is denied, not refused",
            ),
        ),
        "refuse" | "always_refuse" => (LocalAction::Refuse, Note::None),
        "deny" | "inform_deny" if has_data => (
            LocalAction::Drop,
            Note::Lost(
                "taken over with zones for its local data: what else is asked of their names is denied, not dropped",
            ),
        ),
        "inform_deny" => (LocalAction::Drop, Note::Unlogged),
        "deny" | "always_deny" => (LocalAction::Drop, Note::None),
        "nodefault" => return Err("special names are switched off for all clients alike"),
        "noview" => return Err("what a zone of a view leaves open is not asked outside of it"),
        "block_a" => return Err("no zone blocks one type of records alone"),
        "ipset" => return Err("answers are not written into sets of the kernel"),
        _ => return Err("expected a type such as static or transparent"),
    };
    Ok(found)
}

/// The second word.
fn kind(setting: &Setting) -> &str {
    setting.values.get(1).map_or("", String::as_str)
}

/// The types of zones by name; the first counts.
fn types(settings: &[Setting]) -> BTreeMap<String, &str> {
    let mut types = BTreeMap::new();
    for setting in settings
        .iter()
        .filter(|setting| setting.option == "local-zone")
    {
        if kind(setting) != "nodefault" {
            types
                .entry(absolute(setting.value()))
                .or_insert(kind(setting));
        }
    }
    types
}

fn actions(zones: &[LocalZone]) -> BTreeMap<String, LocalAction> {
    let zones = zones.iter();
    zones.map(|zone| (zone.name.clone(), zone.action)).collect()
}

/// The longest zone that holds a name.
fn nearest<'z, T: Copy>(zones: &'z BTreeMap<String, T>, name: &str) -> Option<(&'z str, T)> {
    let mut above = suffixes(name);
    let (zone, value) = above.find_map(|name| zones.get_key_value(name))?;
    Some((zone, *value))
}

/// A name and those above it, up to the root.
pub(super) fn suffixes(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(name), |name| match name.split_once('.')? {
        (_, "") if *name == "." => None,
        (_, "") => Some("."),
        (_, above) => Some(above),
    })
}

/// A name in lower case with the final dot.
fn absolute(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    match name.ends_with('.') {
        true => name,
        false => name + ".",
    }
}

/// The record that a setting says, if it can be read.
fn datum(setting: &Setting) -> Result<Datum, Verdict> {
    let text = match setting.option.as_str() {
        "local-data-ptr" => pointer(setting.value())?,
        _ => setting.value().to_owned(),
    };
    let owner = text.split_whitespace().next().unwrap_or_default();
    let owner = absolute(owner);
    let alone = config::Resolver {
        local_data: vec![text.clone()],
        special_names: false,
        ..config::Resolver::default()
    };
    match node::policy::load(&alone, &[], (0, 0)) {
        Ok(_) => Ok(Datum { owner, text }),
        Err(node::policy::PolicyError::Key { message, .. }) => Err(Verdict::lost(message)),
        Err(error) => Err(Verdict::lost(error.to_string())),
    }
}

/// `192.0.2.1 [TTL] host.example` as a PTR record.
fn pointer(text: &str) -> Result<String, Verdict> {
    let words: Vec<_> = text.split_whitespace().collect();
    let (address, ttl, host) = match *words.as_slice() {
        [address, host] => (address, "", host),
        [address, ttl, host] => (address, ttl, host),
        _ => return Err(Verdict::lost("expected an address and a name")),
    };
    let address: IpAddr = address
        .parse()
        .map_err(|_| Verdict::lost("expected an address and a name"))?;
    Ok(format!("{} {ttl} PTR {host}", reverse(address)).replace("  ", " "))
}

/// RFC 1035 §3.5, RFC 3596 §2.5.
fn reverse(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa.")
        }
        IpAddr::V6(v6) => {
            let octets = v6.octets().into_iter().rev();
            let nibbles = octets.map(|octet| format!("{:x}.{:x}.", octet & 15, octet >> 4));
            nibbles.collect::<String>() + "ip6.arpa."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longest_zone_holds_a_name_and_the_root_holds_all() {
        let mut zones = BTreeMap::from([("b.c.".to_owned(), 1)]);
        assert_eq!(nearest(&zones, "a.b.c."), Some(("b.c.", 1)));
        assert_eq!(nearest(&zones, "ab.c."), None);
        zones.insert(".".to_owned(), 0);
        assert_eq!(nearest(&zones, "ab.c."), Some((".", 0)));
        assert_eq!(nearest(&zones, "."), Some((".", 0)));
    }

    #[test]
    fn any_name_has_an_end() {
        let zones = BTreeMap::from([(".".to_owned(), ())]);
        bolero::check!()
            .with_iterations(5_000)
            .for_each(|bytes: &[u8]| {
                let name = absolute(&String::from_utf8_lossy(bytes));
                assert_eq!(nearest(&zones, &name).map(|(zone, ())| zone), Some("."));
            });
    }

    /// Words that fit, and some that do not.
    const WORDS: [&str; 20] = [
        "a.",
        "b.a.",
        "c.b.a",
        ".",
        "x.10.in-addr.arpa.",
        "ä.",
        "static",
        "redirect",
        "refuse",
        "transparent",
        "always_null",
        "always_transparent",
        "nodefault",
        "a. A 192.0.2.1",
        "b.a. AAAA ::1",
        "c.b.a.\tTXT \"\u{7f}\u{85}\u{2028}\u{feff}\u{0}\"",
        "*.a. CNAME b.",
        "a. A",
        "192.0.2.1 a.",
        "::1 5 b.a.",
    ];

    fn settings(bytes: &[u8]) -> Vec<Setting> {
        let word = |byte: &u8| WORDS[usize::from(*byte) % WORDS.len()].to_owned();
        let options = ["local-zone", "local-data", "local-data-ptr"];
        let settings = bytes.chunks_exact(3).zip(1..).map(|(chunk, line)| Setting {
            file: std::sync::Arc::from(std::path::Path::new("unbound.conf")),
            line,
            option: options[usize::from(chunk[0]) % 3].to_owned(),
            values: chunk[1..].iter().map(word).collect(),
        });
        settings.collect()
    }

    #[test]
    fn any_local_options_make_a_configuration_that_is_read_back_and_used() {
        bolero::check!()
            .with_iterations(500)
            .with_type::<(Vec<u8>, Vec<u8>)>()
            .for_each(|(global, view)| {
                let mut report = Report::default();
                let (global, view) = (settings(global), settings(view));
                let global = Local::take(&global, Place::Server, &mut report);
                let view = Local::take(&view, Place::View, &mut report).before(&global);
                let mut config = config::Config::default();
                let mut clients = config::Networks::default();
                clients.add("10.0.0.0/8").unwrap();
                config.resolver.views.push(config::View {
                    clients,
                    local_data: Some(view.texts()),
                    local_zones: Some(view.zones),
                    ..config::View::default()
                });
                config.resolver.local_data = global.texts();
                config.resolver.local_zones = global.zones;
                config.resolver.special_names_except = global.except;
                let text = crate::command::migrate::yaml::to_yaml(&config).unwrap();
                let read = config::Config::parse(&text, std::path::Path::new("nexus.yaml"));
                assert_eq!(
                    read.unwrap_or_else(|error| panic!("{error}\n{text}")),
                    config
                );
                node::policy::load(&config.resolver, &[], (0, 0)).unwrap();
            });
    }
}
