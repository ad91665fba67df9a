//! [`WatchPattern`]: one watched domain, and how far from it a name may be.

use thiserror::Error;

/// Most edits that a watch can allow: beyond two, everything is near everything.
pub const EDIT_DISTANCE_MAX: u8 = 2;

/// Characters of a domain (RFC 1035 §2.3.4, as text without its last dot).
pub const DOMAIN_CHARACTERS_MAX: usize = 253;

/// A domain that is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchPattern {
    domain: String,
    scope: Scope,
    homoglyphs: bool,
    edit_distance: u8,
}

/// Which names of a domain are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// `example.com`: the domain alone.
    Exact,
    /// `*.example.com`: every name below it.
    Below,
    /// `.example.com`: itself, and every name below.
    Whole,
}

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PatternError {
    /// Not a domain, even as an internationalized one.
    #[error("{0:?} is no domain")]
    Domain(String),
    /// A top-level domain alone, with everything below it.
    #[error("{0:?} has one label: everything below it would be watched")]
    TopLevel(String),
    /// More than [`EDIT_DISTANCE_MAX`].
    #[error("edit distance {0}, more than {EDIT_DISTANCE_MAX}")]
    Distance(u8),
    /// A domain of which everything short would be a look-alike.
    #[error("{domain:?} is too short for an edit distance of {edit_distance}")]
    Short {
        /// The domain.
        domain: String,
        /// Edits allowed.
        edit_distance: u8,
    },
}

impl WatchPattern {
    /// Reads `example.com`, `*.example.com` or `.example.com`, in Unicode or with `xn--` labels. `homoglyphs` also watches domains
    /// that look the same, and `edit_distance` those that are so many edits away.
    ///
    /// # Errors
    /// If it is no domain, or more is asked of it than it can give.
    pub fn parse(text: &str, homoglyphs: bool, edit_distance: u8) -> Result<Self, PatternError> {
        let no_domain = || PatternError::Domain(text.to_owned());
        let (scope, rest) = match (text.strip_prefix("*."), text.strip_prefix('.')) {
            (Some(rest), _) => (Scope::Below, rest),
            (None, Some(rest)) => (Scope::Whole, rest),
            (None, None) => (Scope::Exact, text),
        };
        let rest = rest.strip_suffix('.').unwrap_or(rest);
        let domain = idna::domain_to_ascii(rest).map_err(|_| no_domain())?;
        if !is_domain(&domain) {
            return Err(no_domain());
        }
        if scope != Scope::Exact && !domain.contains('.') {
            return Err(PatternError::TopLevel(domain));
        }
        if edit_distance > EDIT_DISTANCE_MAX {
            return Err(PatternError::Distance(edit_distance));
        }
        if domain.len() <= 4 * usize::from(edit_distance) {
            return Err(PatternError::Short {
                domain,
                edit_distance,
            });
        }
        Ok(Self {
            domain,
            scope,
            homoglyphs,
            edit_distance,
        })
    }

    /// In lower case, internationalized labels as `xn--`, without last dot.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Which names of it.
    #[must_use]
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// Whether domains that look the same are watched, too.
    #[must_use]
    pub fn homoglyphs(&self) -> bool {
        self.homoglyphs
    }

    /// Edits up to which another domain is watched, too.
    #[must_use]
    pub fn edit_distance(&self) -> u8 {
        self.edit_distance
    }
}

impl core::fmt::Display for WatchPattern {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let prefix = match self.scope {
            Scope::Exact => "",
            Scope::Below => "*.",
            Scope::Whole => ".",
        };
        write!(out, "{prefix}{}", self.domain)
    }
}

/// Labels of 1 to 63 letters, digits, hyphens and underscores.
fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=63).contains(&label.len()) && label.bytes().all(is_plain)
    };
    text.len() <= DOMAIN_CHARACTERS_MAX && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_read_in_any_case_and_script_and_written_in_one() {
        for (text, written, scope) in [
            ("Example.COM", "example.com", Scope::Exact),
            ("*.example.com.", "*.example.com", Scope::Below),
            (".example.com", ".example.com", Scope::Whole),
            (".Zürich.example", ".xn--zrich-kva.example", Scope::Whole),
            ("_dmarc.example", "_dmarc.example", Scope::Exact),
            ("localhost", "localhost", Scope::Exact),
        ] {
            let pattern = WatchPattern::parse(text, false, 0).unwrap();
            assert_eq!(
                (pattern.to_string().as_str(), pattern.scope()),
                (written, scope)
            );
        }
    }

    #[test]
    fn what_is_no_domain_or_asks_too_much_is_refused() {
        let long = "a.".repeat(127) + "com";
        for text in [
            "", ".", "*.", "a..b", "a b.com", "*.*.com", "a/b.com", &long,
        ] {
            let result = WatchPattern::parse(text, false, 0);
            assert!(matches!(result, Err(PatternError::Domain(_))), "{text}");
        }
        for text in ["*.com", ".com"] {
            let result = WatchPattern::parse(text, false, 0);
            assert!(matches!(result, Err(PatternError::TopLevel(_))), "{text}");
        }
        let parse = |distance| WatchPattern::parse("ab.c", false, distance);
        assert!(matches!(parse(3), Err(PatternError::Distance(3))));
        assert!(matches!(parse(1), Err(PatternError::Short { .. })));
        assert!(WatchPattern::parse("ab.co", false, 1).is_ok());
    }
}
