//! Which zones this node lets its cluster put into service.
//!
//! Any voter may have a zone created, and one may lie. What a zone of the cluster may not do by itself is to take
//! the place of the names that this node resolves or serves from its own files.

use std::collections::BTreeMap;

/// Why a zone of the cluster is not served here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unserved {
    /// The configuration has a file serve under that name.
    #[error("the configuration has a zone of that name that is not agreed")]
    FromFile,
    /// Its names are those of a zone of a file.
    #[error(
        "it lies below {0}, which is served from a file: name it in `consensus.zones_below`, or in `zones` with `agreed: true`"
    )]
    BelowFile(String),
    /// The root or a name of one label.
    #[error(
        "it would take the place of a top-level domain: name it in `zones` with `agreed: true`"
    )]
    TopLevel,
    /// There is a list, and it is not on it.
    #[error("`consensus.zones_below` does not name it")]
    NotListed,
}

/// Whether a zone of this name (lower case, with the final dot) may be served, by the zones of the configuration and
/// the names of `consensus.zones_below`, if there are any.
pub(crate) fn admit(
    name: &str,
    configured: &BTreeMap<String, config::Zone>,
    below: Option<&[String]>,
) -> Result<(), Unserved> {
    match configured.get(name) {
        Some(zone) if zone.agreed => return Ok(()),
        Some(_) => return Err(Unserved::FromFile),
        None => {}
    }
    if let Some(below) = below {
        let is_listed = |listed: &String| ancestors(name).any(|name| name == listed);
        return below
            .iter()
            .any(is_listed)
            .then_some(())
            .ok_or(Unserved::NotListed);
    }
    let is_of_a_file = |name: &&str| configured.get(*name).is_some_and(|zone| !zone.agreed);
    match ancestors(name).find(is_of_a_file) {
        Some(file) => Err(Unserved::BelowFile(file.to_owned())),
        None if ancestors(name).count() <= 2 => Err(Unserved::TopLevel),
        None => Ok(()),
    }
}

/// The name, and those above it up to the root. A dot behind a backslash that is not itself escaped is one of a
/// label (RFC 1035 §5.1).
fn ancestors(name: &str) -> impl Iterator<Item = &str> {
    let first = (name != ".").then_some(name);
    let ends_label = |dot: &usize| {
        let before = name[..*dot].bytes().rev();
        before.take_while(|byte| *byte == b'\\').count() % 2 == 0
    };
    let dots = name.match_indices('.').map(|(dot, _)| dot);
    let above = dots.filter(ends_label).map(|dot| match &name[dot + 1..] {
        "" => ".",
        rest => rest,
    });
    first.into_iter().chain(above)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(name: &str, below: Option<&[&str]>) -> Result<(), Unserved> {
        let zone = |name: &str, agreed| {
            let zone = config::Zone {
                name: name.to_owned(),
                agreed,
                ..config::Zone::default()
            };
            (name.to_owned(), zone)
        };
        let configured = [
            zone("agreed.", true),
            zone("corp.example.", false),
            zone("child.corp.example.", true),
        ];
        let below = below.map(|names| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        });
        admit(name, &configured.into(), below.as_deref())
    }

    #[test]
    fn zone_takes_the_place_of_nothing_by_itself() {
        assert_eq!(admitted("example.net.", None), Ok(()));
        assert_eq!(admitted("agreed.", None), Ok(()));
        assert_eq!(admitted("child.corp.example.", None), Ok(()));
        assert_eq!(admitted(".", None), Err(Unserved::TopLevel));
        assert_eq!(admitted("com.", None), Err(Unserved::TopLevel));
        assert_eq!(admitted("a\\.com.", None), Err(Unserved::TopLevel));
        assert_eq!(admitted("a\\\\.com.", None), Ok(()));
        assert_eq!(admitted("corp.example.", None), Err(Unserved::FromFile));
        let file = Unserved::BelowFile("corp.example.".to_owned());
        assert_eq!(admitted("www.corp.example.", None), Err(file));
        assert_eq!(admitted("example.", Some(&["example."])), Ok(()));
    }

    #[test]
    fn list_admits_what_is_on_it_and_below_and_nothing_else() {
        let below: Option<&[&str]> = Some(&["example.net.", "corp.example."]);
        assert_eq!(admitted("example.net.", below), Ok(()));
        assert_eq!(admitted("a.b.example.net.", below), Ok(()));
        assert_eq!(admitted("www.corp.example.", below), Ok(()));
        assert_eq!(admitted("agreed.", below), Ok(()));
        assert_eq!(admitted("corp.example.", below), Err(Unserved::FromFile));
        for other in [
            "example.org.",
            "net.",
            ".",
            "myexample.net.",
            "x\\.example.net.",
        ] {
            assert_eq!(admitted(other, below), Err(Unserved::NotListed), "{other}");
        }
        assert_eq!(admitted("com.", Some(&["."])), Ok(()));
    }
}
