//! `resolver.validation`, `resolver.validation_zones`, `ct.validation`: what the nodes of a cluster agree on.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Config;
use crate::cert_watch::Enforce;
use crate::error::Problem;

/// Zones of one list at most.
const ZONES_MAX: usize = 10_000;

/// Whether an answer, or a verdict, waits for the agreement of other nodes. Answers proven by DNSSEC never do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Validation {
    /// No other node is asked.
    #[default]
    Off,
    /// The client has it at once; if other nodes disagree, this node forgets it.
    Optimistic,
    /// The client waits for a quorum, and gets SERVFAIL without one.
    Quorum,
}

/// How much addresses may differ between nodes at different places. All else never may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Vantage {
    /// Not at all.
    #[default]
    Exact,
    /// Each lies in the network (/24 or /48) of one that the other node finds.
    Network,
    /// As `network`; or the aliases of both end in the same name, as those of content networks do.
    Alias,
}

/// A zone whose names have a setting of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ValidationZone {
    /// The zone, with all below it. The longest counts.
    #[serde(deserialize_with = "crate::zone::name")]
    pub zone: String,
    /// Whether its answers wait.
    pub validation: Validation,
    /// How much its addresses may differ.
    #[serde(default)]
    pub vantage: Vantage,
}

/// What no key alone can say.
pub(crate) fn check(config: &Config) -> Result<(), Problem> {
    let resolver = &config.resolver;
    check_zones("resolver.validation_zones", &resolver.validation_zones)?;
    for (index, view) in resolver.views.iter().enumerate() {
        if let Some(zones) = &view.validation_zones {
            check_zones(&format!("resolver.views[{index}].validation_zones"), zones)?;
        }
    }
    check_hold(config)?;
    match first_in_use(config) {
        Some(key) if config.consensus.members.is_empty() => {
            let message = "there is nobody to agree with; expected consensus.members, or off";
            Err(Problem::new(key, message))
        }
        _ => Ok(()),
    }
}

/// A connection that is let go before nodes have agreed on its certificate is never blocked for it.
fn check_hold(config: &Config) -> Result<(), Problem> {
    let (hold_ms, timeout_ms) = (config.ct.watch.hold_ms, config.consensus.answer_timeout_ms);
    let waits = config.ct.validation == Validation::Quorum && config.ct.enforce == Enforce::Block;
    if !waits || hold_ms > timeout_ms {
        return Ok(());
    }
    let message = format!(
        "{hold_ms}; with ct.validation quorum expected more than consensus.answer_timeout_ms, {timeout_ms}"
    );
    Err(Problem::new("ct.watch.hold_ms", message))
}

/// The first key by which something is agreed on.
fn first_in_use(config: &Config) -> Option<String> {
    let resolver = &config.resolver;
    let of = |key: &str, validation: Option<Validation>, zones: &[ValidationZone]| {
        if validation.is_some_and(|validation| validation != Validation::Off) {
            return Some(format!("{key}.validation"));
        }
        let index = zones
            .iter()
            .position(|zone| zone.validation != Validation::Off);
        index.map(|index| format!("{key}.validation_zones[{index}]"))
    };
    let views = resolver.views.iter().enumerate();
    of(
        "resolver",
        Some(resolver.validation),
        &resolver.validation_zones,
    )
    .or_else(|| {
        let mut views = views.filter_map(|(index, view)| {
            let zones = view.validation_zones.as_deref().unwrap_or_default();
            of(&format!("resolver.views[{index}]"), view.validation, zones)
        });
        views.next()
    })
    .or_else(|| of("ct", Some(config.ct.validation), &[]))
}

fn check_zones(key: &str, zones: &[ValidationZone]) -> Result<(), Problem> {
    let count = zones.len();
    if count > ZONES_MAX {
        let message = format!("{count} zones; expected at most {ZONES_MAX}");
        return Err(Problem::new(key, message));
    }
    let mut seen = BTreeSet::new();
    for (index, zone) in zones.iter().enumerate() {
        if !seen.insert(&zone.zone) {
            return Err(Problem::new(
                format!("{key}[{index}].zone"),
                format!("{} is listed twice; expected it once", zone.zone),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const MEMBERS: &str = "consensus: {members: [{key: \
        0000000000000000000000000000000000000000000000000000000000000001, address: '192.0.2.1:4853'}]}";

    #[test]
    fn answers_are_agreed_on_only_with_others_and_zones_are_listed_once() {
        let parse = |resolver: &str, rest: &str| {
            Config::parse(
                &format!("resolver: {{{resolver}}}\n{rest}\n"),
                Path::new("f"),
            )
        };
        let zones = "validation_zones: [{zone: Example, validation: optimistic, vantage: alias}]";
        for (text, key) in [
            ("validation: quorum", "resolver.validation"),
            (zones, "resolver.validation_zones[0]"),
            (
                "views: [{clients: [any], validation: optimistic}]",
                "resolver.views[0].validation",
            ),
        ] {
            let error = parse(text, "").unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
            parse(text, MEMBERS).unwrap();
        }
        let judged = Config::parse("ct: {validation: quorum}\n", Path::new("f"));
        let error = judged.unwrap_err().to_string();
        assert!(error.contains("ct.validation"), "{error}");
        let blocking = |hold_ms| {
            let ct = format!(
                "ct: {{validation: quorum, enforce: block, watch: {{hold_ms: {hold_ms}}}}}"
            );
            Config::parse(&format!("{ct}\n{MEMBERS}\n"), Path::new("f"))
        };
        let error = blocking(2_000).unwrap_err().to_string();
        assert!(error.contains("ct.watch.hold_ms"), "{error}");
        blocking(2_001).unwrap();
        parse("validation: off", "").unwrap();
        let config = parse(zones, MEMBERS).unwrap();
        let zone = &config.resolver.validation_zones[0];
        assert_eq!((&*zone.zone, zone.vantage), ("example.", Vantage::Alias));
        let twice = "validation_zones: [{zone: a, validation: off}, {zone: A., validation: off}]";
        let error = parse(twice, MEMBERS).unwrap_err().to_string();
        assert!(error.contains("listed twice"), "{error}");
    }
}
