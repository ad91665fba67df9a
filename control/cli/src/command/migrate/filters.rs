//! Options of `server:` about addresses in answers and towards servers: DNS64, rebinding, ANY, client
//! subnets, and the built-in zones for local networks.

use config::{Any, Networks};

use super::access::Prefix;
use super::mapper::Mapper;
use super::options::{self, Said};
use super::report::Verdict;
use super::source::Setting;

/// RFC 6052 §2.1.
const WELL_KNOWN_PREFIX: &str = "64:ff9b::/96";

/// What of DNS64 was said.
#[derive(Debug, Default)]
pub(super) struct Translation {
    settings: Vec<Setting>,
}

impl Mapper {
    /// Takes such an option over; `None` if it is none of these.
    pub(super) fn filter(&mut self, setting: &Setting) -> Option<Option<Verdict>> {
        let verdict = match setting.option.as_str() {
            "dns64-prefix" | "dns64-synthall" => {
                self.translation.settings.push(setting.clone());
                return Some(None);
            }
            "send-client-subnet"
            | "client-subnet-zone"
            | "max-client-subnet-ipv4"
            | "max-client-subnet-ipv6" => {
                self.subnets.push(setting.clone());
                return Some(None);
            }
            "private-address" => self.private_address(setting),
            "private-domain" => options::name(setting.value()).map(|name| {
                self.config.resolver.rebinding.private_domains.push(name);
                Verdict::taken("resolver.rebinding.private_domains")
            }),
            "deny-any" => options::flag(setting).map(|on| match on {
                true => Verdict::default("one HINFO record (RFC 8482) rather than none"),
                false => {
                    self.config.resolver.any = Any::Full;
                    Verdict::taken("resolver.any")
                }
            }),
            "unblock-lan-zones" => options::flag(setting).map(|on| match on {
                true => {
                    let except = &mut self.config.resolver.special_names_except;
                    except.extend(lan_zones());
                    Verdict::taken("resolver.special_names_except")
                }
                false => Verdict::default("reverse names of local networks are answered here"),
            }),
            "insecure-lan-zones" => options::flag(setting).map(|on| match on {
                true => {
                    let anchors = &mut self.config.resolver.negative_trust_anchors;
                    anchors.extend(lan_zones());
                    Verdict::taken("resolver.negative_trust_anchors")
                }
                false => Verdict::default("the default"),
            }),
            _ => return None,
        };
        Some(Some(verdict.unwrap_or_else(|verdict| verdict)))
    }

    fn private_address(&mut self, setting: &Setting) -> Said<Verdict> {
        let prefix: Prefix = setting.value().parse().map_err(Verdict::lost)?;
        let networks = &mut self.config.resolver.rebinding.private_addresses;
        networks
            .add(&prefix.to_string())
            .map_err(|error| Verdict::lost(error.to_string()))?;
        Ok(Verdict::taken("resolver.rebinding.private_addresses"))
    }

    /// What depends on the modules. Both parts do nothing without theirs.
    pub(super) fn finish_filters(&mut self) {
        let settings = std::mem::take(&mut self.translation.settings);
        let mut networks = Networks::default();
        let well_known = networks.add(WELL_KNOWN_PREFIX);
        well_known.unwrap_or_else(|error| unreachable!("a network of ours: {error}"));
        if self.has_dns64 {
            self.config.resolver.dns64.prefixes = networks;
        }
        for setting in &settings {
            let verdict = match self.has_dns64 {
                false => Verdict::default("without the dns64 module it has no effect"),
                true => self.dns64(setting).unwrap_or_else(|verdict| verdict),
            };
            self.report.add(setting, verdict);
        }
        for setting in &std::mem::take(&mut self.subnets) {
            let verdict = match self.has_subnets {
                false => Verdict::default("without the subnetcache module it has no effect"),
                true => self.subnet(setting).unwrap_or_else(|verdict| verdict),
            };
            self.report.add(setting, verdict);
        }
    }

    fn dns64(&mut self, setting: &Setting) -> Said<Verdict> {
        let dns64 = &mut self.config.resolver.dns64;
        if setting.option == "dns64-synthall" {
            if options::flag(setting)? {
                // All addresses of their own count as absent.
                let added = dns64.exclude.add("::/0");
                added.map_err(|error| Verdict::lost(error.to_string()))?;
                return Ok(Verdict::taken("resolver.dns64.exclude"));
            }
            return Ok(Verdict::default("the default"));
        }
        let prefix: Prefix = setting.value().parse().map_err(Verdict::lost)?;
        if !prefix.carries_ipv4() {
            return Err(Verdict::lost(
                "expected an IPv6 network of 32, 40, 48, 56, 64 or 96 bits; 64:ff9b::/96 is used",
            ));
        }
        let mut networks = Networks::default();
        networks
            .add(&prefix.to_string())
            .map_err(|error| Verdict::lost(error.to_string()))?;
        dns64.prefixes = networks;
        Ok(Verdict::taken("resolver.dns64.prefixes"))
    }

    fn subnet(&mut self, setting: &Setting) -> Said<Verdict> {
        let subnet = &mut self.config.resolver.client_subnet;
        match setting.option.as_str() {
            "client-subnet-zone" => {
                subnet.zones.push(options::name(setting.value())?);
                Ok(Verdict::taken("resolver.client_subnet.zones"))
            }
            "max-client-subnet-ipv4" => {
                let bits = options::number(setting, (0, 32))?;
                subnet.ipv4_bits = u8::try_from(bits).unwrap_or(32);
                Ok(Verdict::taken("resolver.client_subnet.ipv4_bits"))
            }
            "max-client-subnet-ipv6" => {
                let bits = options::number(setting, (0, 128))?;
                subnet.ipv6_bits = u8::try_from(bits).unwrap_or(128);
                Ok(Verdict::taken("resolver.client_subnet.ipv6_bits"))
            }
            _ => Err(Verdict::lost(
                "servers that see client subnets are told by zone; name their zones in resolver.client_subnet.zones",
            )),
        }
    }
}

/// The reverse zones that `unblock-lan-zones` and `insecure-lan-zones` are about (RFC 6303 §4, RFC 7793).
fn lan_zones() -> impl Iterator<Item = String> {
    node::policy::reverse_zones().filter(|zone| zone != "127.in-addr.arpa.")
}
