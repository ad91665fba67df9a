//! How a name looks: internationalized labels in Unicode, and the skeleton that it shares with all that looks the same
//! (UTS #39 §4).

use std::sync::LazyLock;

use unicode_security::skeleton;

/// A name label by label, in two forms that it can be compared in. Kept between names, for its memory.
#[derive(Debug, Default)]
pub(crate) struct Look {
    /// In Unicode, with dots.
    pub(crate) characters: Vec<char>,
    /// Where in `characters` each label begins.
    pub(crate) character_starts: Vec<usize>,
    /// What it looks like.
    pub(crate) skeleton: String,
    /// Where in `skeleton` each label begins.
    pub(crate) skeleton_starts: Vec<usize>,
}

/// Of each ASCII character, what it looks like.
static ASCII: LazyLock<[Box<str>; 128]> = LazyLock::new(|| {
    core::array::from_fn(|code| {
        let character = u8::try_from(code).unwrap_or_default();
        looks_like(&char::from(character).to_string()).into()
    })
});

impl Look {
    /// Takes another name, in lower case, with `xn--` labels.
    pub(crate) fn take(&mut self, name: &str) {
        self.characters.clear();
        self.character_starts.clear();
        self.skeleton.clear();
        self.skeleton_starts.clear();
        for (number, label) in name.split('.').enumerate() {
            if number > 0 {
                self.characters.push('.');
                self.skeleton.push('.');
            }
            self.character_starts.push(self.characters.len());
            self.skeleton_starts.push(self.skeleton.len());
            // Not everything that is registered is valid by IDNA: Punycode is enough.
            let decoded = label
                .strip_prefix("xn--")
                .and_then(idna::punycode::decode_to_string);
            if let Some(unicode) = decoded {
                self.characters.extend(unicode.chars());
                self.skeleton.push_str(&looks_like(&unicode));
                continue;
            }
            self.characters.extend(label.chars());
            for character in label.chars() {
                match ASCII.get(character as usize) {
                    Some(look) => self.skeleton.push_str(look),
                    None => self.skeleton.push(character),
                }
            }
        }
    }

    /// Where the last `labels` labels begin, in characters and in skeleton. None if there are not so many.
    pub(crate) fn suffix(&self, labels: usize) -> Option<(&[char], &str)> {
        let first = self.character_starts.len().checked_sub(labels)?;
        let characters = self.characters.get(*self.character_starts.get(first)?..)?;
        let skeleton = self.skeleton.get(*self.skeleton_starts.get(first)?..)?;
        Some((characters, skeleton))
    }
}

/// The skeleton without case: names have none, but the table takes 0 for O and not for o.
fn looks_like(text: &str) -> String {
    let once: String = skeleton(text).collect();
    let lower = once.to_lowercase();
    skeleton(&lower).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skeleton_of(name: &str) -> String {
        let mut look = Look::default();
        look.take(&idna::domain_to_ascii(name).unwrap_or_else(|_| name.to_owned()));
        look.skeleton
    }

    #[test]
    fn what_looks_the_same_has_one_skeleton() {
        for (one, other) in [
            ("paypal.com", "раураl.com"), // Cyrillic but for the l.
            ("paypal.com", "paypa1.com"),
            ("google.com", "g00gle.com"),
            ("example.com", "exarnple.com"),
            ("apple.com", "аррlе.com"),
            ("zürich.example", "zürich.example"),
        ] {
            assert_eq!(skeleton_of(one), skeleton_of(other), "{one} {other}");
        }
        for (one, other) in [("example.com", "example.net"), ("abc.com", "acb.com")] {
            assert_ne!(skeleton_of(one), skeleton_of(other));
        }
    }

    #[test]
    fn suffix_begins_at_a_label_in_both_forms() {
        let mut look = Look::default();
        look.take("m.xn--zrich-kva.example");
        let (characters, skeleton) = look.suffix(2).unwrap();
        assert_eq!(characters.iter().collect::<String>(), "zürich.example");
        assert_eq!(skeleton, skeleton_of("zürich.example"));
        assert!(look.suffix(3).is_some() && look.suffix(4).is_none());
    }
}
