//! [`Validators`]: who cosigns, and how many of them make a quorum.

use std::collections::BTreeSet;

use ct::{KeyKind, KeyName, Note, VerifierKey};

/// The cosigners in force.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Validators {
    keys: Vec<VerifierKey>,
    quorum: usize,
    faults_max: usize,
}

impl Validators {
    /// Of the keys by the names of their nodes, which are the last step of the cosigners' names below that of the log. A key that
    /// comes twice, or under a name that no note can hold, counts once, or not at all.
    /// `faults_max`: how many of all voters may lie, whether their keys are known or not.
    #[must_use]
    pub fn new(
        log: &KeyName,
        keys: &[(String, [u8; 32])],
        quorum: usize,
        faults_max: usize,
    ) -> Self {
        let mut seen = BTreeSet::new();
        let verifier = |(node, key): &(String, [u8; 32])| {
            let name = cosigner_name(log, node)?;
            let is_new = seen.insert(*key);
            is_new.then(|| VerifierKey::new(name, KeyKind::Cosignature, *key))
        };
        Self {
            keys: keys.iter().filter_map(verifier).collect(),
            quorum: quorum.max(1),
            faults_max,
        }
    }

    /// Their keys.
    #[must_use]
    pub fn keys(&self) -> &[VerifierKey] {
        &self.keys
    }

    /// How many must have cosigned.
    #[must_use]
    pub fn quorum(&self) -> usize {
        self.quorum
    }

    /// Whether at least one of those who say the same is honest: they are more than may lie. `nodes`: their names, without
    /// repetition.
    pub(crate) fn are_believed<'a>(
        &self,
        log: &KeyName,
        nodes: impl IntoIterator<Item = &'a str>,
    ) -> bool {
        let names = nodes
            .into_iter()
            .filter_map(|node| cosigner_name(log, node));
        let known = names.filter(|name| self.keys.iter().any(|key| key.name() == name));
        known.count() > self.faults_max
    }

    /// Whether a quorum has cosigned the note at this time, in seconds since 1970.
    #[must_use]
    pub fn is_quorum(&self, note: &Note, time_s: u64) -> bool {
        let has_signed = |key: &&VerifierKey| {
            let signed = key.verify(note, webpki::ALL_VERIFICATION_ALGS);
            signed == Ok(Some(time_s))
        };
        // Nobody has heard of validators yet: then nothing is a quorum.
        self.quorum > 0 && self.keys.iter().filter(has_signed).count() >= self.quorum
    }
}

/// Name of a node as a cosigner. None if no note can hold it.
pub(crate) fn cosigner_name(log: &KeyName, node: &str) -> Option<KeyName> {
    KeyName::new(&format!("{log}/{node}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_known_keys_make_no_liar_believed() {
        let log = KeyName::new("log").unwrap();
        let keys: Vec<_> = [("a", 1), ("b", 2), ("c", 3), ("d", 4)]
            .map(|(node, key)| (node.to_owned(), [key; 32]))
            .into();
        // Of four voters, one may lie: however many of their keys are known.
        for known in 0..=keys.len() {
            let validators = Validators::new(&log, &keys[..known], 3, 1);
            assert!(!validators.are_believed(&log, ["a"]), "{known}");
            assert_eq!(validators.are_believed(&log, ["a", "b"]), known >= 2);
            assert!(!validators.are_believed(&log, ["a", "x", "y"]), "{known}");
        }
        assert!(!Validators::default().are_believed(&log, ["a"]));
    }
}
