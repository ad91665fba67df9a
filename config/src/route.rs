//! `resolver.forward_zones`, `resolver.stub_zones`, `resolver.local_root`: what is asked elsewhere than
//! the tree says.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Problem;
use crate::{Resolver, Tsig, Upstream};

/// Routes of one kind at most.
const ROUTES_MAX: usize = 10_000;
/// Servers of one route at most; the resolver considers no more of one zone.
const SERVERS_MAX: usize = 32;

/// A zone whose names are asked of other resolvers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ForwardZone {
    /// The zone, with all below it.
    #[serde(deserialize_with = "crate::zone::name")]
    pub zone: String,
    /// Resolvers: addresses, with or without port. Empty: names of this zone are resolved from the
    /// root, an exception to what stands above it.
    pub servers: Vec<Upstream>,
    /// Whether names are resolved from the root when every server fails.
    #[serde(default)]
    pub fallback: bool,
}

/// A zone whose authoritative servers are known here, whatever the tree says of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StubZone {
    /// The zone, with all below it; delegations inside are followed.
    #[serde(deserialize_with = "crate::zone::name")]
    pub zone: String,
    /// Its authoritative servers: addresses, with or without port.
    pub servers: Vec<Upstream>,
    /// Whether these are asked for the zone's NS RRset, which is used from then on.
    #[serde(default)]
    pub prime: bool,
}

/// A copy of the root zone here, which answers what would go to the root servers (RFC 8806).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LocalRoot {
    /// Zone file of the root, relative to the folder of the configuration file. Read again at each
    /// reload; of no use once its time of modification is longer ago than its SOA lets it live. Either
    /// this or `primaries`.
    #[serde(default, deserialize_with = "crate::zone::optional_file")]
    pub file: Option<PathBuf>,
    /// Servers that the root zone is copied from (AXFR, IXFR): addresses, with or without port. The
    /// first that answers counts. Either these or `file`.
    #[serde(default)]
    pub primaries: Vec<Upstream>,
    /// The key by which transfers are signed.
    #[serde(default)]
    pub tsig: Option<Tsig>,
}

/// A zone comes from one place: a file, or servers.
pub(crate) fn check_source(
    key: &str,
    file: Option<&Path>,
    primaries: &[Upstream],
    tsig: Option<&Tsig>,
) -> Result<(), Problem> {
    if file.is_some() && tsig.is_some() {
        let message = "nothing is signed in a file; expected `tsig` with `primaries` alone";
        return Err(Problem::new(format!("{key}.tsig"), message));
    }
    if file.is_some() != primaries.is_empty() {
        let message = "expected either `file` or `primaries` with at least one address";
        return Err(Problem::new(key, message));
    }
    let count = primaries.len();
    if count > SERVERS_MAX {
        return Err(Problem::new(
            format!("{key}.primaries"),
            format!("{count} addresses; expected at most {SERVERS_MAX}"),
        ));
    }
    Ok(())
}

/// What several routes must not do to each other.
pub(crate) fn check(resolver: &Resolver) -> Result<(), Problem> {
    let mut zones = BTreeSet::new();
    if !resolver.forward.is_empty() {
        zones.insert(".");
    }
    let forward = resolver.forward_zones.iter();
    let forward = forward.map(|route| (&*route.zone, route.servers.len()));
    check_kind("resolver.forward_zones", forward, &mut zones)?;
    let stub = resolver.stub_zones.iter();
    let stub = stub.map(|route| (&*route.zone, route.servers.len()));
    check_kind("resolver.stub_zones", stub, &mut zones)?;
    if let Some(copy) = &resolver.local_root {
        check_source(
            "resolver.local_root",
            copy.file.as_deref(),
            &copy.primaries,
            copy.tsig.as_ref(),
        )?;
    }
    for (index, route) in resolver.forward_zones.iter().enumerate() {
        if route.fallback && route.servers.is_empty() {
            return Err(Problem::new(
                format!("resolver.forward_zones[{index}].fallback"),
                "without servers nothing can fail; expected servers, or no fallback",
            ));
        }
    }
    for (index, route) in resolver.stub_zones.iter().enumerate() {
        if route.servers.is_empty() {
            return Err(Problem::new(
                format!("resolver.stub_zones[{index}].servers"),
                "expected at least one address",
            ));
        }
    }
    Ok(())
}

fn check_kind<'a>(
    key: &str,
    routes: impl ExactSizeIterator<Item = (&'a str, usize)>,
    zones: &mut BTreeSet<&'a str>,
) -> Result<(), Problem> {
    let count = routes.len();
    if count > ROUTES_MAX {
        let message = format!("{count} zones; expected at most {ROUTES_MAX}");
        return Err(Problem::new(key, message));
    }
    for (index, (zone, servers)) in routes.enumerate() {
        if !zones.insert(zone) {
            let also = if zone == "." {
                " (resolver.forward is one for the root)"
            } else {
                ""
            };
            return Err(Problem::new(
                format!("{key}[{index}].zone"),
                format!("zone {zone} has a route already{also}; expected one a zone"),
            ));
        }
        if servers > SERVERS_MAX {
            return Err(Problem::new(
                format!("{key}[{index}].servers"),
                format!("{servers} addresses; expected at most {SERVERS_MAX}"),
            ));
        }
    }
    Ok(())
}
