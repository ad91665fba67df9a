//! [`Watchlist`]: whether a name of a certificate is of interest, found by a few look-ups however many domains are watched.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::edit::{EDIT_VARIANTS_MAX, EditIndex, EditScratch};
use crate::look::Look;
use crate::pattern::{DOMAIN_CHARACTERS_MAX, Scope, WatchPattern};

/// Domains that can be watched.
pub const WATCHES_MAX: usize = 100_000;

/// Why a name is of interest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// It is the watched name.
    Exact,
    /// It is below the watched domain.
    Subdomain,
    /// It is a wildcard that the watched name is one of.
    Wildcard,
    /// Its domain looks like the watched one (UTS #39).
    Homoglyph,
    /// Its domain is so many edits from the watched one.
    EditDistance(u8),
}

/// A watch, by its place in the list, that a name matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Match {
    /// Place of the watch.
    pub watch: u32,
    /// Why.
    pub rule: Rule,
}

/// Memory for one name, kept between names.
#[derive(Debug, Default)]
pub struct Scratch {
    look: Look,
    edit: EditScratch,
}

/// Why patterns are no list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WatchlistError {
    /// More than [`WATCHES_MAX`].
    #[error("{0} watches, more than {WATCHES_MAX}")]
    Count(usize),
    /// Too many, or too long, domains with an edit distance.
    #[error(
        "edit distances of these domains need more than {EDIT_VARIANTS_MAX} entries of an index"
    )]
    Variants,
}

/// All watched domains.
#[derive(Debug, Default)]
pub struct Watchlist {
    patterns: Vec<WatchPattern>,
    /// Watches by their domain.
    domains: HashMap<Box<str>, Vec<u32>>,
    /// Watches of a name itself, by the domain above it.
    parents: HashMap<Box<str>, Vec<u32>>,
    /// Watches for homoglyphs, by what the domain looks like.
    skeletons: HashMap<Box<str>, Vec<u32>>,
    /// Numbers of labels that those have.
    skeleton_labels: Vec<usize>,
    edits: Vec<(usize, EditIndex)>,
}

impl Watchlist {
    /// Of these patterns.
    ///
    /// # Errors
    /// If there are too many.
    pub fn new(patterns: Vec<WatchPattern>) -> Result<Self, WatchlistError> {
        if patterns.len() > WATCHES_MAX {
            return Err(WatchlistError::Count(patterns.len()));
        }
        let mut list = Self::default();
        let mut look = Look::default();
        let mut edits: HashMap<usize, Vec<(Vec<char>, u8, u32)>> = HashMap::new();
        for (watch, pattern) in (0_u32..).zip(&patterns) {
            let domain = pattern.domain();
            add(&mut list.domains, domain, watch);
            if let (Scope::Exact | Scope::Whole, Some((_, parent))) =
                (pattern.scope(), domain.split_once('.'))
            {
                add(&mut list.parents, parent, watch);
            }
            look.take(domain);
            let labels = domain.split('.').count();
            if pattern.homoglyphs() {
                add(&mut list.skeletons, &look.skeleton, watch);
                if !list.skeleton_labels.contains(&labels) {
                    list.skeleton_labels.push(labels);
                }
            }
            if pattern.edit_distance() > 0 {
                let domain = (look.characters.clone(), pattern.edit_distance(), watch);
                edits.entry(labels).or_default().push(domain);
            }
        }
        let mut variants = 0;
        for (labels, domains) in edits {
            let index = EditIndex::new(domains).ok_or(WatchlistError::Variants)?;
            variants += index.variants();
            if variants > EDIT_VARIANTS_MAX {
                return Err(WatchlistError::Variants);
            }
            list.edits.push((labels, index));
        }
        list.patterns = patterns;
        Ok(list)
    }

    /// The watches, by their places.
    #[must_use]
    pub fn patterns(&self) -> &[WatchPattern] {
        &self.patterns
    }

    /// Adds to `out` what a name matches: in lower case, with `xn--` labels, without last dot, and possibly a wildcard.
    pub fn find(&self, name: &str, scratch: &mut Scratch, out: &mut Vec<Match>) {
        let is_own = self.find_own(name, out);
        let plain = name.strip_prefix("*.").unwrap_or(name);
        let has_looks = !self.skeletons.is_empty() || !self.edits.is_empty();
        // Names below a watched domain are its owner's: none of them is a look-alike of another.
        if is_own || !has_looks || plain.len() > DOMAIN_CHARACTERS_MAX {
            return;
        }
        scratch.look.take(plain);
        for labels in &self.skeleton_labels {
            let suffix = scratch.look.suffix(*labels);
            let alike = suffix.and_then(|(_, skeleton)| self.skeletons.get(skeleton));
            let rule = Rule::Homoglyph;
            out.extend(
                alike
                    .into_iter()
                    .flatten()
                    .map(|&watch| Match { watch, rule }),
            );
        }
        for (labels, index) in &self.edits {
            if let Some((characters, _)) = scratch.look.suffix(*labels) {
                index.find(characters, &mut scratch.edit, |watch, distance| {
                    let rule = Rule::EditDistance(distance);
                    out.push(Match { watch, rule });
                });
            }
        }
    }

    /// Matches by name; whether the name is a watched domain, or below one.
    fn find_own(&self, name: &str, out: &mut Vec<Match>) -> bool {
        let mut is_own = false;
        let mut suffix = Some(name);
        while let Some(domain) = suffix {
            let is_whole = domain.len() == name.len();
            for &watch in self.domains.get(domain).into_iter().flatten() {
                is_own = true;
                let rule = match self.patterns.get(watch as usize).map(WatchPattern::scope) {
                    Some(Scope::Exact | Scope::Whole) if is_whole => Rule::Exact,
                    Some(Scope::Below | Scope::Whole) if !is_whole => Rule::Subdomain,
                    _ => continue,
                };
                out.push(Match { watch, rule });
            }
            suffix = domain.split_once('.').map(|(_, rest)| rest);
        }
        if let Some(parent) = name.strip_prefix("*.") {
            let covered = self.parents.get(parent).into_iter().flatten();
            let rule = Rule::Wildcard;
            out.extend(covered.map(|&watch| Match { watch, rule }));
        }
        is_own
    }
}

fn add(map: &mut HashMap<Box<str>, Vec<u32>>, key: &str, watch: u32) {
    map.entry(key.into()).or_default().push(watch);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(patterns: &[(&str, bool, u8)]) -> Watchlist {
        let patterns = patterns.iter().map(|(text, homoglyphs, distance)| {
            WatchPattern::parse(text, *homoglyphs, *distance).unwrap()
        });
        Watchlist::new(patterns.collect()).unwrap()
    }

    fn find(list: &Watchlist, name: &str) -> Vec<(u32, Rule)> {
        let mut out = Vec::new();
        let ascii = idna::domain_to_ascii(name).unwrap_or_else(|_| name.to_owned());
        list.find(&ascii, &mut Scratch::default(), &mut out);
        out.sort_unstable();
        out.into_iter()
            .map(|found| (found.watch, found.rule))
            .collect()
    }

    #[test]
    fn scope_says_which_names_of_a_domain_are_watched() {
        let list = list(&[
            ("www.example.com", false, 0),
            ("*.example.net", false, 0),
            (".example.org", false, 0),
        ]);
        for (name, expected) in [
            ("www.example.com", vec![(0, Rule::Exact)]),
            ("*.example.com", vec![(0, Rule::Wildcard)]),
            ("a.www.example.com", vec![]),
            ("*.www.example.com", vec![]),
            ("example.com", vec![]),
            ("example.net", vec![]),
            ("a.example.net", vec![(1, Rule::Subdomain)]),
            ("*.example.net", vec![(1, Rule::Subdomain)]),
            ("*.a.example.net", vec![(1, Rule::Subdomain)]),
            ("example.org", vec![(2, Rule::Exact)]),
            ("a.b.example.org", vec![(2, Rule::Subdomain)]),
            ("notexample.org", vec![]),
            ("example.org.example", vec![]),
            ("*.org", vec![(2, Rule::Wildcard)]),
            ("", vec![]),
        ] {
            assert_eq!(find(&list, name), expected, "{name}");
        }
    }

    #[test]
    fn looks_and_edits_count_for_the_domain_of_a_name_and_not_for_its_owner() {
        let list = list(&[
            (".paypal.com", true, 1),
            ("example.co.uk", true, 2),
            ("plain.example", false, 0),
        ]);
        for (name, expected) in [
            (
                "login.paypa1.com",
                vec![(0, Rule::Homoglyph), (0, Rule::EditDistance(1))],
            ),
            ("раураl.com", vec![(0, Rule::Homoglyph)]),
            ("*.papyal.com", vec![(0, Rule::EditDistance(1))]),
            ("paypal.co", vec![(0, Rule::EditDistance(1))]),
            ("paypall.net", vec![]),
            ("login.paypal.com", vec![(0, Rule::Subdomain)]),
            (
                "a.exarnple.co.uk",
                vec![(1, Rule::Homoglyph), (1, Rule::EditDistance(2))],
            ),
            ("a.example.co.uk", vec![]),
            ("p1ain.example", vec![]),
        ] {
            assert_eq!(find(&list, name), expected, "{name}");
        }
    }

    #[test]
    fn too_many_watches_are_refused() {
        let pattern = WatchPattern::parse("a.example", false, 0).unwrap();
        let result = Watchlist::new(vec![pattern; WATCHES_MAX + 1]);
        assert!(matches!(result, Err(WatchlistError::Count(_))));
        let domain = ".".to_owned() + &"abcdefgh.".repeat(20) + "example";
        let pattern = WatchPattern::parse(&domain, false, 2).unwrap();
        let result = Watchlist::new(vec![pattern; 300]);
        assert!(matches!(result, Err(WatchlistError::Variants)));
    }
}
