//! What a scenario wants answered in another way than resolved: local data, policy zones and more.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use hickory_proto::rr::Name;
use resolver::policy::{
    Dns64, LocalAction, LocalData, Nat64Prefix, Override, Policy, Prefix, Rebinding, RpzZone, Rules,
};

use crate::config::yes;
use crate::lines::{Fault, Line, Text};
use crate::record::read_name;

/// Options about policy, as they are read.
#[derive(Default)]
pub(crate) struct PolicyOptions {
    local: LocalData,
    rebinding: Rebinding,
    dns64: Vec<Nat64Prefix>,
    minimal_any: bool,
    rpz: Vec<RpzZone>,
}

impl PolicyOptions {
    /// Takes an option of `server:`; false if it is about something else.
    pub(crate) fn take(&mut self, line: &Line, key: &str, value: &str) -> Result<bool, Fault> {
        match key {
            "local-data" => self.local.read(value).map_err(|text| line.fault(text))?,
            "local-zone" => {
                let (zone, action) = value
                    .split_once(char::is_whitespace)
                    .ok_or_else(|| line.fault("`local-zone` is a zone and what becomes of it"))?;
                let zone = read_name(&line.place, zone)?;
                self.local
                    .add_zone(&zone, local_action(line, action.trim())?);
            }
            "private-address" => self.rebinding.private_addresses.push(prefix(line, value)?),
            "private-domain" => {
                let zone = read_name(&line.place, value)?;
                self.rebinding.private_domains.push(zone);
            }
            "dns64-prefix" => self.dns64.push(nat64(line, value)?),
            "deny-any" => self.minimal_any = yes(line, value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Reads a policy zone (`zonefile:` of a block `rpz:`). A record that is no rule is a mistake.
    pub(crate) fn read_rpz(
        &mut self,
        line: &Line,
        apex: &Name,
        path: &str,
        text: &Text,
    ) -> Result<(), Fault> {
        let body = (text.load)(path).map_err(|error| line.fault(error))?;
        let mut loader = |_: &str, path: &str| Err(format!("{path} is not read from here"));
        let read = RpzZone::read(apex, Override::Given, body.as_bytes(), path, &mut loader);
        let (zone, remarks) = read.map_err(|error| line.fault(error.problem.to_string()))?;
        if let Some(remark) = remarks.first() {
            return Err(line.fault(remark.error.to_string()));
        }
        self.rpz.push(zone);
        Ok(())
    }

    /// All of them, for every client.
    pub(crate) fn into_policy(self) -> Policy {
        let rules = Rules {
            local: Arc::new(self.local),
            rpz: (0..self.rpz.len()).collect(),
            dns64: (!self.dns64.is_empty()).then(|| {
                Arc::new(Dns64 {
                    prefixes: self.dns64,
                    exclude: mapped().into_iter().collect(),
                })
            }),
            rebinding: (!self.rebinding.private_addresses.is_empty())
                .then(|| Arc::new(self.rebinding)),
            minimal_any: self.minimal_any,
            ..Rules::default()
        };
        Policy::new(self.rpz, rules)
    }
}

fn local_action(line: &Line, word: &str) -> Result<LocalAction, Fault> {
    Ok(match word {
        "static" => LocalAction::Static,
        "transparent" => LocalAction::Transparent,
        "redirect" => LocalAction::Redirect,
        "refuse" => LocalAction::Refuse,
        "deny" => LocalAction::Drop,
        "always_nodata" => LocalAction::NoData,
        "always_nxdomain" => LocalAction::NxDomain,
        _ => return Err(line.fault(format!("a local zone cannot be `{word}`"))),
    })
}

/// IPv6 addresses that stand for IPv4 addresses; they count as absent (RFC 6147 §5.1.4).
fn mapped() -> Option<Prefix> {
    Prefix::new(Ipv4Addr::UNSPECIFIED.to_ipv6_mapped().into(), 96).ok()
}

/// `network/bits`.
fn network(line: &Line, value: &str) -> Result<(IpAddr, u8), Fault> {
    let parts = value.split_once('/');
    let parsed =
        parts.and_then(|(address, bits)| Some((address.parse().ok()?, bits.parse().ok()?)));
    parsed.ok_or_else(|| line.fault(format!("`{value}` is no network such as 10.0.0.0/8")))
}

fn prefix(line: &Line, value: &str) -> Result<Prefix, Fault> {
    let (address, bits) = network(line, value)?;
    Prefix::new(address, bits).map_err(|error| line.fault(error.to_string()))
}

fn nat64(line: &Line, value: &str) -> Result<Nat64Prefix, Fault> {
    let (IpAddr::V6(address), bits) = network(line, value)? else {
        return Err(line.fault("`dns64-prefix` is an IPv6 network"));
    };
    Nat64Prefix::new(address, bits).map_err(|error| line.fault(error.to_string()))
}
