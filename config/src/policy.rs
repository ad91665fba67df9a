//! What `resolver` says some names, clients and addresses are to be answered with.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::error::Problem;
use crate::{Networks, Tsig, Upstream, Validation, ValidationZone};

/// A local zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LocalZone {
    /// Its apex. Kept in lower case with the final dot.
    #[serde(deserialize_with = "crate::zone::name")]
    pub name: String,
    /// What becomes of its names.
    pub action: LocalAction,
}

/// What becomes of the names of a local zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LocalAction {
    /// Local data are given, and nothing else exists.
    Static,
    /// Names with local data are answered from them; the others are resolved.
    Transparent,
    /// The data of the apex are those of every name below.
    Redirect,
    /// REFUSED.
    Refuse,
    /// No answer.
    Drop,
    /// Every name exists and has nothing.
    Nodata,
    /// No name exists.
    Nxdomain,
}

/// A list of blocked names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BlockList {
    /// The file, relative to the folder of the configuration file.
    pub file: PathBuf,
    /// What answers and metrics call it; left out: the file's name.
    #[serde(default)]
    pub name: Option<String>,
    /// How it is written.
    #[serde(default)]
    pub form: ListForm,
    /// What clients get.
    #[serde(default, deserialize_with = "block_answer")]
    pub answer: BlockAnswer,
}

impl BlockList {
    /// What answers and metrics call it.
    #[must_use]
    pub fn title(&self) -> String {
        let file_name = || {
            let name = self.file.file_name().unwrap_or_default();
            name.to_string_lossy().into_owned()
        };
        self.name.clone().unwrap_or_else(file_name)
    }
}

/// How a list of blocked names is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ListForm {
    /// Each line says itself which it is.
    #[default]
    Auto,
    /// `0.0.0.0 name name`
    Hosts,
    /// `name`, `*.name` or `||name^`
    Domains,
}

/// What clients get for a blocked name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BlockAnswer {
    /// The name does not exist.
    #[default]
    Nxdomain,
    /// It has no data.
    Nodata,
    /// REFUSED.
    Refused,
    /// The addresses 0.0.0.0 and ::.
    #[serde(rename = "null")]
    Null,
}

/// To YAML the bare word `null` is no word but nothing.
fn block_answer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BlockAnswer, D::Error> {
    let answer = Option::deserialize(deserializer)?;
    Ok(answer.unwrap_or(BlockAnswer::Null))
}

/// A response policy zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rpz {
    /// Its apex. Kept in lower case with the final dot.
    #[serde(deserialize_with = "crate::zone::name")]
    pub zone: String,
    /// Zone file, relative to the folder of the configuration file. Either this or `primaries`.
    #[serde(default, deserialize_with = "crate::zone::optional_file")]
    pub file: Option<PathBuf>,
    /// Servers that the zone is copied from (AXFR, IXFR): addresses, with or without port. The first
    /// that answers counts. Either these or `file`.
    #[serde(default)]
    pub primaries: Vec<Upstream>,
    /// The key by which transfers are signed.
    #[serde(default)]
    pub tsig: Option<Tsig>,
    /// What to do instead of what its rules say.
    #[serde(default, rename = "override")]
    pub policy: RpzOverride,
    /// Where its names lead with `override: cname`.
    #[serde(default, deserialize_with = "crate::zone::optional_name")]
    pub cname: Option<String>,
}

/// What to do instead of what the rules of a policy zone say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RpzOverride {
    /// What they say.
    #[default]
    Given,
    /// Nothing: they are only counted.
    Disabled,
    /// Let through, past all later zones and lists.
    Passthru,
    /// No answer.
    Drop,
    /// The name does not exist.
    Nxdomain,
    /// It has no data.
    Nodata,
    /// Have clients come by TCP.
    TcpOnly,
    /// An alias for the name under `cname`.
    Cname,
}

/// IPv6 addresses made of IPv4 addresses (RFC 6147).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Dns64 {
    /// Where they lie: networks of 32, 40, 48, 56, 64 or 96 bits, as 64:ff9b::/96. Empty: off.
    pub prefixes: Networks,
    /// IPv6 addresses that count as absent.
    pub exclude: Networks,
}

impl Default for Dns64 {
    fn default() -> Self {
        let mut exclude = Networks::default();
        // RFC 6147 §5.1.4.
        let added = exclude.add("::ffff:0:0/96");
        added.unwrap_or_else(|error| unreachable!("a network of ours: {error}"));
        Self {
            prefixes: Networks::default(),
            exclude,
        }
    }
}

/// Addresses of the operator's own that no name outside may have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rebinding {
    /// Taken out of what was resolved: networks, `private`, `loopback`. Empty: off.
    pub private_addresses: Networks,
    /// Zones that may have such addresses, with all below them.
    #[serde(deserialize_with = "crate::zone::names")]
    pub private_domains: Vec<String>,
}

/// What questions of type ANY get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Any {
    /// One record, of type HINFO (RFC 8482 §4.2).
    #[default]
    Minimal,
    /// What is known.
    Full,
}

/// Other rules for the clients of some networks. What is left out is as for everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct View {
    /// Who is in it. Of views whose networks lie in each other, the longest network counts.
    pub clients: Networks,
    /// Records, as in zone files.
    pub local_data: Option<Vec<String>>,
    /// Local zones.
    pub local_zones: Option<Vec<LocalZone>>,
    /// Lists of blocked names.
    pub block_lists: Option<Vec<BlockList>>,
    /// Names that no list blocks, with all below them.
    #[serde(deserialize_with = "crate::zone::optional_names")]
    pub allow_names: Option<Vec<String>>,
    /// Response policy zones by name, out of those of `resolver.rpz`, in order.
    #[serde(deserialize_with = "crate::zone::optional_names")]
    pub rpz: Option<Vec<String>>,
    /// IPv6 addresses made of IPv4 addresses.
    pub dns64: Option<Dns64>,
    /// Addresses that no name outside may have.
    pub rebinding: Option<Rebinding>,
    /// What questions of type ANY get.
    pub any: Option<Any>,
    /// Whether answers wait for the agreement of other nodes.
    pub validation: Option<Validation>,
    /// Zones of which that is said otherwise.
    pub validation_zones: Option<Vec<ValidationZone>>,
}

/// Clients that may have what was resolved for others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SharedClients {
    /// Who may have names resolved.
    pub allow: Networks,
    /// Who is in a view: what others get is not for them, nor theirs for others.
    pub views: Networks,
}

impl SharedClients {
    /// Whether a client is one of them.
    #[must_use]
    pub fn contain(&self, client: std::net::IpAddr) -> bool {
        self.allow.contain(client) && !self.views.contain(client)
    }
}

impl crate::Resolver {
    /// Clients that may have what was resolved for others.
    #[must_use]
    pub fn shared_clients(&self) -> SharedClients {
        SharedClients {
            allow: self.allow.clone(),
            views: self
                .views
                .iter()
                .flat_map(|view| view.clients.as_slice())
                .copied()
                .collect(),
        }
    }

    /// The checks of policy that one key alone cannot make.
    pub(crate) fn check_policy(&self) -> Result<(), Problem> {
        for (index, rpz) in self.rpz.iter().enumerate() {
            let key = |name: &str| format!("resolver.rpz[{index}].{name}");
            if self
                .rpz
                .iter()
                .take(index)
                .any(|other| other.zone == rpz.zone)
            {
                let message = format!("{} is listed twice; expected it once", rpz.zone);
                return Err(Problem::new(key("zone"), message));
            }
            crate::route::check_source(
                &format!("resolver.rpz[{index}]"),
                rpz.file.as_deref(),
                &rpz.primaries,
                rpz.tsig.as_ref(),
            )?;
            if (rpz.policy == RpzOverride::Cname) != rpz.cname.is_some() {
                let message = "expected `cname` with `override: cname`, and with no other";
                return Err(Problem::new(key("zone"), message));
            }
        }
        self.dns64.check("resolver.dns64.prefixes")?;
        for (index, view) in self.views.iter().enumerate() {
            let key = |name: &str| format!("resolver.views[{index}].{name}");
            if view.clients.as_slice().is_empty() {
                let message = "expected at least one network";
                return Err(Problem::new(format!("resolver.views[{index}]"), message));
            }
            let known = |name: &&String| self.rpz.iter().all(|rpz| rpz.zone != **name);
            if let Some(name) = view.rpz.iter().flatten().find(known) {
                let message = format!("{name} is none of resolver.rpz; expected one of them");
                return Err(Problem::new(key("rpz"), message));
            }
            if let Some(dns64) = &view.dns64 {
                dns64.check(&key("dns64"))?;
            }
        }
        Ok(())
    }

    /// Makes the names of policy files relative to a folder.
    pub(crate) fn resolve_policy_relative_to(&mut self, folder: &Path) {
        let views = self
            .views
            .iter_mut()
            .filter_map(|view| view.block_lists.as_mut());
        let lists = self.block_lists.iter_mut().chain(views.flatten());
        let files = lists.map(|list| &mut list.file);
        let zones = self.rpz.iter_mut().flat_map(|rpz| {
            let secret = rpz.tsig.as_mut().map(|tsig| &mut tsig.secret_file);
            rpz.file.as_mut().into_iter().chain(secret)
        });
        for file in files.chain(zones) {
            *file = folder.join(&*file);
        }
    }
}

impl Dns64 {
    /// RFC 6052 §2.2.
    fn check(&self, key: &str) -> Result<(), Problem> {
        let is_good = |network: &&crate::Network| {
            let zero_octet = match network.address() {
                std::net::IpAddr::V4(_) => return false,
                std::net::IpAddr::V6(address) => address.octets().get(8).copied(),
            };
            matches!(network.prefix_bits(), 32 | 40 | 48 | 56 | 64 | 96) && zero_octet == Some(0)
        };
        match self
            .prefixes
            .as_slice()
            .iter()
            .find(|network| !is_good(network))
        {
            None => Ok(()),
            Some(network) => Err(Problem::new(
                key,
                format!(
                    "{network} carries no IPv4 addresses; expected an IPv6 network of 32, 40, 48, \
                     56, 64 or 96 bits, of which those from 64 to 71 are zero"
                ),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::Config;

    fn parse(resolver: &str) -> Result<crate::Resolver, String> {
        let text = format!("resolver: {{{resolver}}}");
        let config = Config::parse(&text, Path::new("nexus.yaml"));
        config
            .map(|config| config.resolver)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn every_part_is_read() {
        let resolver = parse(
            "local_zones: [{name: Home.example, action: static}], \
             block_lists: [{file: lists/ads.txt, answer: null}, {file: x, name: mine, form: hosts}], \
             rpz: [{zone: RPZ.example, file: rpz.zone, override: cname, cname: garden.example}, \
             {zone: b.example, primaries: [192.0.2.1, '[2001:db8::1]:5353']}], \
             dns64: {prefixes: ['64:ff9b::/96', '2001:db8::/32']}, any: full, \
             views: [{clients: [10.0.0.0/8], rpz: [rpz.example.], local_data: []}]",
        )
        .unwrap();
        assert_eq!(resolver.local_zones[0].name, "home.example.");
        assert_eq!(resolver.block_lists[0].title(), "ads.txt");
        assert_eq!(resolver.block_lists[0].answer, BlockAnswer::Null);
        assert_eq!(resolver.block_lists[1].title(), "mine");
        assert_eq!(resolver.rpz[0].cname.as_deref(), Some("garden.example."));
        assert!(resolver.rpz[0].primaries.is_empty());
        let copied = &resolver.rpz[1];
        assert_eq!(copied.file, None);
        assert_eq!(copied.primaries[0].0, "192.0.2.1:53".parse().unwrap());
        assert_eq!(copied.primaries[1].0, "[2001:db8::1]:5353".parse().unwrap());
        assert_eq!(
            resolver.views[0].rpz.as_deref(),
            Some(&["rpz.example.".to_owned()][..])
        );
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let shared = resolver.shared_clients();
        assert!(shared.contain(address("192.168.0.1")));
        assert!(!shared.contain(address("10.1.2.3")) && !shared.contain(address("8.8.8.8")));
    }

    #[test]
    fn parts_that_do_not_fit_each_other_are_refused() {
        for (text, expected) in [
            (
                "rpz: [{zone: a, file: x}, {zone: A., file: y}]",
                "listed twice",
            ),
            ("rpz: [{zone: a}]", "either `file` or `primaries`"),
            (
                "rpz: [{zone: a, file: x, primaries: [192.0.2.1]}]",
                "either `file` or `primaries`",
            ),
            (
                "rpz: [{zone: a, file: x, tsig: {name: k, secret_file: s}}]",
                "`tsig` with `primaries` alone",
            ),
            (
                "rpz: [{zone: a, primaries: [192.0.2.1], tsig: {name: k, secret_file: s, algorithm: hmac-md5}}]",
                "hmac-sha256",
            ),
            ("rpz: [{zone: a, file: ''}]", "is empty"),
            ("rpz: [{zone: a, primaries: [ns.example]}]", "ns.example"),
            ("local_root: {}", "either `file` or `primaries`"),
            (
                "local_root: {file: x, primaries: [192.0.2.1]}",
                "either `file` or `primaries`",
            ),
            (
                "rpz: [{zone: a, file: x, override: cname}]",
                "expected `cname`",
            ),
            ("rpz: [{zone: a, file: x, cname: b}]", "expected `cname`"),
            (
                "dns64: {prefixes: ['2001:db8::/80']}",
                "carries no IPv4 addresses",
            ),
            (
                "dns64: {prefixes: [10.0.0.0/8]}",
                "carries no IPv4 addresses",
            ),
            (
                "dns64: {prefixes: ['2001:db8:0:0:100::/96']}",
                "carries no IPv4 addresses",
            ),
            ("views: [{clients: []}]", "at least one network"),
            (
                "views: [{clients: [any], rpz: [a]}]",
                "none of resolver.rpz",
            ),
            (
                "views: [{clients: [any], dns64: {prefixes: [any]}}]",
                "resolver.views[0].dns64",
            ),
            ("local_zones: [{name: a, action: nothing}]", "static"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn files_are_relative_to_the_folder_of_the_configuration() {
        let mut resolver = parse(
            "block_lists: [{file: a}], rpz: [{zone: z, file: b}, \
             {zone: y, primaries: [192.0.2.1], tsig: {name: k, secret_file: s}}], \
             views: [{clients: [any], block_lists: [{file: /c}]}]",
        )
        .unwrap();
        resolver.resolve_policy_relative_to(Path::new("/etc/nexus"));
        assert_eq!(resolver.block_lists[0].file, Path::new("/etc/nexus/a"));
        assert_eq!(
            resolver.rpz[0].file.as_deref(),
            Some(Path::new("/etc/nexus/b"))
        );
        let tsig = resolver.rpz[1].tsig.as_ref().unwrap();
        assert_eq!(tsig.secret_file, Path::new("/etc/nexus/s"));
        assert_eq!(
            (&*tsig.name, tsig.algorithm),
            ("k.", crate::TsigAlgorithm::HmacSha256)
        );
        let lists = resolver.views[0].block_lists.as_ref().unwrap();
        assert_eq!(lists[0].file, Path::new("/c"));
    }
}
