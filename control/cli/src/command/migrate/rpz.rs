//! `rpz:` with a file or primaries.

use config::{Resolver, Rpz, RpzOverride};

use super::mapper::Mapper;
use super::options;
use super::report::Verdict;
use super::source::Clause;

impl Mapper {
    pub(super) fn rpz(&mut self, clause: &Clause) -> Verdict {
        match self.policy_zone(clause) {
            Ok(verdict) | Err(verdict) => verdict,
        }
    }

    fn policy_zone(&mut self, clause: &Clause) -> Result<Verdict, Verdict> {
        let zone = options::name(clause.last("name").unwrap_or_default())?;
        if clause.all("tags").next().is_some() {
            return Err(Verdict::lost(
                "no tags; resolver.views can give it to some clients",
            ));
        }
        if self.config.resolver.rpz.iter().any(|rpz| rpz.zone == zone) {
            return Err(Verdict::lost("a second policy zone of that name"));
        }
        let (primaries, left_out) = self.primaries(clause);
        // With primaries the file is where Unbound keeps what it has copied.
        let file = clause.last("zonefile").filter(|file| !file.is_empty());
        let file = file.filter(|_| primaries.is_empty());
        if primaries.is_empty() && file.is_none() {
            return Err(Verdict::lost(match left_out {
                Some(_) => "expected a zonefile, or primaries that are addresses and take no TLS",
                None => "expected a zonefile or primaries",
            }));
        }
        let policy = match clause.last("rpz-action-override") {
            None => RpzOverride::Given,
            Some("disabled") => RpzOverride::Disabled,
            Some("passthru") => RpzOverride::Passthru,
            Some("drop") => RpzOverride::Drop,
            Some("nxdomain") => RpzOverride::Nxdomain,
            Some("nodata") => RpzOverride::Nodata,
            Some("cname") => RpzOverride::Cname,
            Some(other) => return Err(Verdict::lost(format!("no rpz-action-override `{other}`"))),
        };
        let cname = match policy {
            RpzOverride::Cname => {
                let target = clause.last("rpz-cname-override").unwrap_or_default();
                Some(options::name(target)?)
            }
            _ => None,
        };
        let rpz = Rpz {
            zone,
            file: file.map(|file| self.path(file)),
            primaries,
            tsig: None,
            policy,
            cname,
        };
        let alone = Resolver {
            rpz: vec![rpz.clone()],
            ..Resolver::default()
        };
        node::policy::load(&alone, &[], (0, 0))
            .map_err(|error| Verdict::lost(error.to_string()))?;
        self.config.resolver.rpz.push(rpz);
        match (left_out, file) {
            (None, _) => Ok(Verdict::taken("resolver.rpz")),
            (Some(_), Some(_)) => Err(Verdict::lost(
                "taken over from its file as it is now; changes at its primaries are not fetched",
            )),
            (Some(note), None) => Err(Verdict::lost(format!("taken over, but {note}"))),
        }
    }
}
