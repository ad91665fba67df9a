//! The policy out of the configuration and the files that it names; `nexus check` reads them here,
//! too.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::{Network, Networks};
use hickory_proto::rr::Name;
use resolver::agreement::{Mode, Setting, Vantage, Zones};
pub use resolver::policy::reverse_zones;
use resolver::policy::{
    BlockAnswer, BlockList, Dns64, ListForm, LocalAction, LocalData, NameSet, Nat64Prefix,
    Override, Policy, Prefix, Rebinding, RpzZone, Rules,
};

use crate::zone_file::{Remark, read_file};

/// A policy that was read.
#[derive(Debug)]
pub struct LoadedPolicy {
    /// The policy.
    pub policy: Policy,
    /// Of all that it came from: equal policies, equal digest.
    pub digest: u64,
    /// What does nothing, but was probably meant to.
    pub notes: Vec<Remark>,
}

/// Why a policy cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyError {
    /// A value of the configuration.
    Key {
        /// The key, as `resolver.local_data[0]`.
        key: String,
        /// What was found, and what was expected.
        message: String,
    },
    /// A file.
    File(Remark),
}

impl std::fmt::Display for PolicyError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Key { key, message } => write!(out, "{key}: {message}"),
            Self::File(remark) => remark.fmt(out),
        }
    }
}

impl std::error::Error for PolicyError {}

/// Reads the policy. `keys` must be random and secret. No special-use name hides `own_zones`, which
/// are answered with authority, nor zones with servers of their own.
///
/// # Errors
/// The first value or file that cannot be used.
pub fn load(
    from: &config::Resolver,
    own_zones: &[config::Zone],
    keys: (u64, u64),
) -> Result<LoadedPolicy, PolicyError> {
    let own = own_zones.iter().map(|zone| &zone.name);
    let forwarded = from.forward_zones.iter().map(|forward| &forward.zone);
    let stubs = from.stub_zones.iter().map(|stub| &stub.zone);
    let routes = forwarded.chain(stubs).filter(|zone| *zone != ".");
    let except = from.special_names_except.iter().chain(own).chain(routes);
    let mut loader = Loader {
        keys,
        special: from.special_names,
        except: except.map(|zone| name(zone)).collect(),
        lists: Vec::new(),
        hasher: DefaultHasher::new(),
        notes: Vec::new(),
    };
    shape(from).hash(&mut loader.hasher);
    loader.except.hash(&mut loader.hasher);
    let zones: Result<Vec<_>, _> = from.rpz.iter().map(|rpz| loader.rpz(rpz)).collect();
    let rules = Rules {
        local: loader.local("resolver", &from.local_data, &from.local_zones)?,
        rpz: (0..from.rpz.len()).collect(),
        block_lists: loader.lists(&from.block_lists)?,
        allow_names: names(&from.allow_names),
        dns64: dns64(&from.dns64),
        rebinding: rebinding(&from.rebinding),
        minimal_any: from.any == config::Any::Minimal,
        agreement: agreement(from.validation, &from.validation_zones),
    };
    let mut policy = Policy::new(zones?, rules.clone());
    for (index, view) in from.views.iter().enumerate() {
        let key = format!("resolver.views[{index}]");
        let own = loader.view(&key, view, from, &rules)?;
        policy.add_view(&prefixes(&view.clients), own);
    }
    Ok(LoadedPolicy {
        policy,
        digest: loader.hasher.finish(),
        notes: loader.notes,
    })
}

/// Remarks that are logged one by one.
const NOTES_LOGGED_MAX: usize = 20;

/// Logs what does nothing.
pub(crate) fn log(notes: &[Remark]) {
    for note in notes.iter().take(NOTES_LOGGED_MAX) {
        tracing::warn!("{note}");
    }
    if notes.len() > NOTES_LOGGED_MAX {
        let more = notes.len() - NOTES_LOGGED_MAX;
        tracing::warn!(more, "further remarks on policy files left out");
    }
}

/// Every key that the policy comes from, as text.
fn shape(from: &config::Resolver) -> String {
    format!(
        "{:?}",
        (
            (&from.local_data, &from.local_zones, from.special_names),
            (&from.block_lists, &from.allow_names, &from.rpz),
            (&from.dns64, &from.rebinding, from.any, &from.views),
            (from.validation, &from.validation_zones),
        )
    )
}

/// What is shared by all rules while they are read.
struct Loader {
    keys: (u64, u64),
    special: bool,
    except: Vec<Name>,
    /// Each is read once, however many views have it.
    lists: Vec<(config::BlockList, Arc<BlockList>)>,
    hasher: DefaultHasher,
    notes: Vec<Remark>,
}

impl Loader {
    fn view(
        &mut self,
        key: &str,
        view: &config::View,
        from: &config::Resolver,
        default: &Rules,
    ) -> Result<Rules, PolicyError> {
        let mut rules = default.clone();
        if view.local_data.is_some() || view.local_zones.is_some() {
            let data = view.local_data.as_ref().unwrap_or(&from.local_data);
            let zones = view.local_zones.as_ref().unwrap_or(&from.local_zones);
            rules.local = self.local(key, data, zones)?;
        }
        if let Some(lists) = &view.block_lists {
            rules.block_lists = self.lists(lists)?;
        }
        if let Some(zones) = &view.rpz {
            let place = |name: &String| from.rpz.iter().position(|rpz| rpz.zone == *name);
            rules.rpz = zones.iter().filter_map(place).collect();
        }
        if let Some(allowed) = &view.allow_names {
            rules.allow_names = names(allowed);
        }
        if let Some(from) = &view.dns64 {
            rules.dns64 = dns64(from);
        }
        if let Some(from) = &view.rebinding {
            rules.rebinding = rebinding(from);
        }
        if view.validation.is_some() || view.validation_zones.is_some() {
            let validation = view.validation.unwrap_or(from.validation);
            let zones = view.validation_zones.as_ref();
            rules.agreement = agreement(validation, zones.unwrap_or(&from.validation_zones));
        }
        if let Some(any) = view.any {
            rules.minimal_any = any == config::Any::Minimal;
        }
        Ok(rules)
    }

    fn local(
        &self,
        key: &str,
        data: &[String],
        zones: &[config::LocalZone],
    ) -> Result<Arc<LocalData>, PolicyError> {
        let mut local = LocalData::default();
        for zone in zones {
            local.add_zone(&name(&zone.name), action(zone.action));
        }
        for (index, text) in data.iter().enumerate() {
            local.read(text).map_err(|message| PolicyError::Key {
                key: format!("{key}.local_data[{index}]"),
                message: format!("`{text}`: {message}"),
            })?;
        }
        if self.special {
            local.add_special_names(&self.except);
        }
        Ok(Arc::new(local))
    }

    fn lists(&mut self, from: &[config::BlockList]) -> Result<Vec<Arc<BlockList>>, PolicyError> {
        from.iter().map(|list| self.list(list)).collect()
    }

    fn list(&mut self, from: &config::BlockList) -> Result<Arc<BlockList>, PolicyError> {
        if let Some((_, list)) = self.lists.iter().find(|(known, _)| known == from) {
            return Ok(Arc::clone(list));
        }
        let text = self.read(&from.file)?;
        let form = match from.form {
            config::ListForm::Auto => ListForm::Auto,
            config::ListForm::Hosts => ListForm::Hosts,
            config::ListForm::Domains => ListForm::Domains,
        };
        let answer = match from.answer {
            config::BlockAnswer::Nxdomain => BlockAnswer::NxDomain,
            config::BlockAnswer::Nodata => BlockAnswer::NoData,
            config::BlockAnswer::Refused => BlockAnswer::Refused,
            config::BlockAnswer::Null => BlockAnswer::Null,
        };
        let text = String::from_utf8_lossy(&text);
        let read = BlockList::read(&from.title(), &text, form, answer, self.keys);
        let shown = read.remarks.len();
        let notes = read.remarks.into_iter().map(|remark| Remark {
            file: from.file.clone(),
            position: u32::try_from(remark.line).ok().map(|line| (line, 1)),
            message: format!("{}; the line is left out", remark.message),
        });
        self.notes.extend(notes);
        if read.left_out > shown {
            let message = format!("{} further lines are left out", read.left_out - shown);
            self.notes.push(whole(&from.file, message));
        }
        // A page of an error in the place of a list must not open all doors.
        if read.list.is_empty() && read.left_out > 0 {
            let message = "has no line of a list of names; expected `name` or `0.0.0.0 name`";
            return Err(PolicyError::File(whole(&from.file, message.to_owned())));
        }
        let list = Arc::new(read.list);
        self.lists.push((from.clone(), Arc::clone(&list)));
        Ok(list)
    }

    /// One that is copied has no rules yet.
    fn rpz(&mut self, from: &config::Rpz) -> Result<RpzZone, PolicyError> {
        let Some(file) = &from.file else {
            return Ok(RpzZone::new(&name(&from.zone), policy_override(from)));
        };
        let text = self.read(file)?;
        let folder = file.parent().unwrap_or(Path::new("")).to_owned();
        let hasher = &mut self.hasher;
        let mut include = |_: &str, path: &str| {
            let text = read_file(&folder.join(path))?;
            text.hash(hasher);
            Ok(text)
        };
        // Named within its folder, as included files are.
        let file = file.file_name().unwrap_or_default().to_string_lossy();
        let apex = name(&from.zone);
        let read = RpzZone::read(&apex, policy_override(from), &text, &file, &mut include);
        let remark = |place: &resolver::zone::Place, message| Remark {
            file: folder.join(&*place.file),
            position: (place.line > 0).then_some((place.line, place.column)),
            message,
        };
        let (zone, remarks) = read
            .map_err(|error| PolicyError::File(remark(&error.place, error.problem.to_string())))?;
        let notes = remarks
            .iter()
            .map(|found| remark(&found.place, found.error.to_string()));
        self.notes.extend(notes);
        Ok(zone)
    }

    fn read(&mut self, file: &Path) -> Result<Vec<u8>, PolicyError> {
        let text = read_file(file).map_err(|message| PolicyError::File(whole(file, message)))?;
        text.hash(&mut self.hasher);
        Ok(text)
    }
}

fn whole(file: &Path, message: String) -> Remark {
    Remark {
        file: PathBuf::from(file),
        position: None,
        message,
    }
}

/// A name that the configuration has checked.
pub(crate) fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap_or_default()
}

fn names(texts: &[String]) -> Arc<NameSet> {
    Arc::new(texts.iter().map(|text| name(text)).collect())
}

fn prefix(network: &Network) -> Option<Prefix> {
    Prefix::new(network.address(), network.prefix_bits()).ok()
}

fn prefixes(networks: &Networks) -> Vec<Prefix> {
    networks.as_slice().iter().filter_map(prefix).collect()
}

fn dns64(from: &config::Dns64) -> Option<Arc<Dns64>> {
    let nat64 = |network: &Network| match network.address() {
        std::net::IpAddr::V6(address) => Nat64Prefix::new(address, network.prefix_bits()).ok(),
        std::net::IpAddr::V4(_) => None, // The configuration has refused it.
    };
    let prefixes: Vec<_> = from.prefixes.as_slice().iter().filter_map(nat64).collect();
    (!prefixes.is_empty()).then(|| {
        Arc::new(Dns64 {
            prefixes,
            exclude: self::prefixes(&from.exclude),
        })
    })
}

fn rebinding(from: &config::Rebinding) -> Option<Arc<Rebinding>> {
    let private_addresses = prefixes(&from.private_addresses);
    let private_domains = from.private_domains.iter().map(|text| name(text));
    (!private_addresses.is_empty()).then(|| {
        Arc::new(Rebinding {
            private_addresses,
            private_domains: private_domains.collect(),
        })
    })
}

fn agreement(validation: config::Validation, from: &[config::ValidationZone]) -> Arc<Zones> {
    let setting = |validation, vantage| Setting {
        mode: match validation {
            config::Validation::Off => Mode::Off,
            config::Validation::Optimistic => Mode::Optimistic,
            config::Validation::Quorum => Mode::Quorum,
        },
        vantage: match vantage {
            config::Vantage::Exact => Vantage::Exact,
            config::Vantage::Network => Vantage::Network,
            config::Vantage::Alias => Vantage::Alias,
        },
    };
    let mut zones = Zones::new(setting(validation, config::Vantage::Exact));
    for zone in from {
        zones.insert(&name(&zone.zone), setting(zone.validation, zone.vantage));
    }
    Arc::new(zones)
}

fn action(from: config::LocalAction) -> LocalAction {
    match from {
        config::LocalAction::Static => LocalAction::Static,
        config::LocalAction::Transparent => LocalAction::Transparent,
        config::LocalAction::Redirect => LocalAction::Redirect,
        config::LocalAction::Refuse => LocalAction::Refuse,
        config::LocalAction::Drop => LocalAction::Drop,
        config::LocalAction::Nodata => LocalAction::NoData,
        config::LocalAction::Nxdomain => LocalAction::NxDomain,
    }
}

fn policy_override(from: &config::Rpz) -> Override {
    match (from.policy, &from.cname) {
        (config::RpzOverride::Disabled, _) => Override::Disabled,
        (config::RpzOverride::Passthru, _) => Override::PassThru,
        (config::RpzOverride::Drop, _) => Override::Drop,
        (config::RpzOverride::Nxdomain, _) => Override::NxDomain,
        (config::RpzOverride::Nodata, _) => Override::NoData,
        (config::RpzOverride::TcpOnly, _) => Override::TcpOnly,
        (config::RpzOverride::Cname, Some(target)) => Override::Cname(name(target)),
        (config::RpzOverride::Given | config::RpzOverride::Cname, _) => Override::Given,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolver(keys: &str) -> config::Resolver {
        let text = format!("resolver: {{{keys}}}");
        let config = config::Config::parse(&text, Path::new("nexus.yaml"));
        config.unwrap().resolver
    }

    #[test]
    fn faults_name_the_key_or_the_file_with_the_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(path("rpz"), "@ 60 SOA . . 1 1 1 1 1\nx 60 A 300.1.1.1\n").unwrap();
        std::fs::write(path("page"), "<html>no list</html>\n").unwrap();
        for (keys, expected) in [
            (
                "local_data: [a. A 192.0.2.1, b. A x]".to_owned(),
                "resolver.local_data[1]: `b. A x`".to_owned(),
            ),
            (
                "views: [{clients: [any], local_data: [x]}]".to_owned(),
                "resolver.views[0].local_data[0]".to_owned(),
            ),
            (
                format!("rpz: [{{zone: z, file: {}}}]", path("rpz")),
                format!("{}:2:", path("rpz")),
            ),
            (
                format!("block_lists: [{{file: {}}}]", path("none")),
                format!("{}: cannot be opened", path("none")),
            ),
            (
                format!("block_lists: [{{file: {}}}]", path("page")),
                format!("{}: has no line", path("page")),
            ),
        ] {
            let error = load(&resolver(&keys), &[], (1, 2)).unwrap_err().to_string();
            assert!(error.starts_with(&expected), "{error}");
        }
    }

    #[test]
    fn the_digest_follows_keys_and_files_and_a_list_is_read_once() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("ads.txt");
        std::fs::write(&list, "ads.example\nb d\n").unwrap();
        let keys = format!("block_lists: [{{file: {}}}]", list.display());
        let views = format!("{keys}, views: [{{clients: [any], {keys}}}]");
        let read = |keys: &str| load(&resolver(keys), &[], (1, 2)).unwrap();
        let first = read(&keys);
        assert_eq!(
            (first.notes.len(), first.notes[0].position),
            (1, Some((2, 1)))
        );
        assert_eq!(first.digest, read(&keys).digest);
        let with_views = read(&views);
        assert_ne!(first.digest, with_views.digest);
        assert_eq!(with_views.notes.len(), 1);
        std::fs::write(&list, "other.example\nb d\n").unwrap();
        assert_ne!(first.digest, read(&keys).digest);
    }
}
