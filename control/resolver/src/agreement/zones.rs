//! [`Zones`]: which names nodes agree on before or after the client has its answer.

use std::collections::BTreeMap;

use hickory_proto::rr::Name;
use wire::name::suffixes;

use super::answer::wire_name;
use super::compare::Vantage;

/// Whether an answer waits for the agreement of other nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Nobody is asked.
    #[default]
    Off,
    /// It is given at once, and forgotten if others disagree.
    Optimistic,
    /// It is given when a quorum agrees, and else it is a failure.
    Quorum,
}

/// What holds for a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Setting {
    /// Whether its answers wait.
    pub mode: Mode,
    /// How much they may differ.
    pub vantage: Vantage,
}

/// Settings by zone, of which the longest counts; those of the root are for all other names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Zones {
    root: Setting,
    zones: BTreeMap<Box<[u8]>, Setting>,
}

impl Zones {
    /// The same for all names.
    #[must_use]
    pub fn new(root: Setting) -> Self {
        Self {
            root,
            zones: BTreeMap::new(),
        }
    }

    /// Gives a zone, with all below it, another setting.
    pub fn insert(&mut self, zone: &Name, setting: Setting) {
        self.zones.insert(wire_name(zone).into(), setting);
    }

    /// What holds for a name in wire form, lower case.
    #[must_use]
    pub fn find(&self, name: &[u8]) -> Setting {
        if self.zones.is_empty() {
            return self.root;
        }
        let mut found = suffixes(name).filter_map(|suffix| self.zones.get(suffix));
        found.next().copied().unwrap_or(self.root)
    }

    /// What holds for a name.
    #[must_use]
    pub fn find_name(&self, name: &Name) -> Setting {
        match self.zones.is_empty() {
            true => self.root,
            false => self.find(&wire_name(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longest_zone_counts_and_the_root_for_the_rest() {
        let name = |text| Name::from_ascii(text).unwrap();
        let setting = |mode| Setting {
            mode,
            vantage: Vantage::Alias,
        };
        let mut zones = Zones::new(Setting::default());
        assert_eq!(zones.find_name(&name("a.example.")).mode, Mode::Off);
        zones.insert(&name("Example."), setting(Mode::Quorum));
        zones.insert(&name("b.example."), setting(Mode::Optimistic));
        for (text, mode) in [
            ("EXAMPLE.", Mode::Quorum),
            ("a.example.", Mode::Quorum),
            ("B.example.", Mode::Optimistic),
            ("c.b.example.", Mode::Optimistic),
            ("ab.example.", Mode::Quorum),
            ("aexample.", Mode::Off),
            (".", Mode::Off),
        ] {
            assert_eq!(zones.find_name(&name(text)).mode, mode, "{text}");
        }
    }
}
