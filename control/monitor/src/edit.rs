//! [`EditIndex`]: which of many domains are at most two edits away from a name, without comparing it with each.
//!
//! Two texts that are k edits apart have in common what is left of each after at most k deletions. So the index holds a hash of
//! everything that is left of each domain after deletions, and a name is asked for everything that is left of it. Hashes of what
//! is left are sums of three parts of the whole, so that none of it is written out.

use crate::pattern::EDIT_DISTANCE_MAX;

/// Hashes that an index holds, of 12 bytes each, and two of filter.
pub const EDIT_VARIANTS_MAX: usize = 4 << 20;

const BASE: u64 = 0x9e37_79b9_7f4a_7c15;

/// Domains by what is left of them after deletions.
#[derive(Debug, Default)]
pub(crate) struct EditIndex {
    /// Hash and place of the domain, sorted.
    variants: Vec<(u64, u32)>,
    /// One bit for each hash, of 16 a variant: most questions end here.
    filter: Vec<u64>,
    domains: Vec<Domain>,
    length_min: usize,
    length_max: usize,
    distance_max: u8,
}

#[derive(Debug)]
struct Domain {
    characters: Vec<char>,
    distance_max: u8,
    watch: u32,
}

/// Memory for one name's hashes, kept between names.
#[derive(Debug, Default)]
pub(crate) struct EditScratch {
    /// Hash of the characters before each place.
    prefix: Vec<u64>,
    /// Powers of the base.
    powers: Vec<u64>,
    found: Vec<u32>,
    rows: [Vec<u8>; 3],
}

impl EditScratch {
    fn take(&mut self, characters: &[char]) {
        self.prefix.clear();
        self.prefix.push(0);
        let mut hash = 0_u64;
        for character in characters {
            hash = hash
                .wrapping_mul(BASE)
                .wrapping_add(u64::from(u32::from(*character)) + 1);
            self.prefix.push(hash);
        }
        while self.powers.len() <= characters.len() {
            let last = self.powers.last().copied();
            self.powers
                .push(last.map_or(1, |last| last.wrapping_mul(BASE)));
        }
    }

    /// Hash of the characters from `start` to `end`.
    fn part(&self, start: usize, end: usize) -> u64 {
        self.prefix[end].wrapping_sub(self.prefix[start].wrapping_mul(self.powers[end - start]))
    }

    /// Gives `on_variant` the hash of the text and of all that is left of it after `deletions` of its characters or fewer.
    fn each_variant(&self, deletions: u8, mut on_variant: impl FnMut(u64)) {
        let length = self.prefix.len() - 1;
        on_variant(mix(self.prefix[length]));
        if deletions == 0 {
            return;
        }
        for first in 0..length {
            let (before, rest) = (self.prefix[first], length - first - 1);
            let behind = self.part(first + 1, length);
            on_variant(mix(before
                .wrapping_mul(self.powers[rest])
                .wrapping_add(behind)));
            if deletions == 1 {
                continue;
            }
            for second in first + 1..length {
                let middle = self.part(first + 1, second);
                let joined = before
                    .wrapping_mul(self.powers[second - first - 1])
                    .wrapping_add(middle);
                let rest = length - second - 1;
                let behind = self.part(second + 1, length);
                on_variant(mix(joined
                    .wrapping_mul(self.powers[rest])
                    .wrapping_add(behind)));
            }
        }
    }
}

/// Spreads a sum over all bits.
fn mix(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    hash ^ (hash >> 32)
}

impl EditIndex {
    /// Of domains in Unicode, each with the edits it allows and the number it is found by. None if they have more variants than
    /// [`EDIT_VARIANTS_MAX`].
    pub(crate) fn new(domains: impl IntoIterator<Item = (Vec<char>, u8, u32)>) -> Option<Self> {
        let mut index = Self {
            length_min: usize::MAX,
            ..Self::default()
        };
        let mut scratch = EditScratch::default();
        for (characters, distance_max, watch) in domains {
            assert!(distance_max <= EDIT_DISTANCE_MAX);
            let place = u32::try_from(index.domains.len()).ok()?;
            scratch.take(&characters);
            let variants = &mut index.variants;
            scratch.each_variant(distance_max, |hash| variants.push((hash, place)));
            if index.variants.len() > EDIT_VARIANTS_MAX {
                return None;
            }
            index.length_min = index.length_min.min(characters.len());
            index.length_max = index.length_max.max(characters.len());
            index.distance_max = index.distance_max.max(distance_max);
            index.domains.push(Domain {
                characters,
                distance_max,
                watch,
            });
        }
        index.variants.sort_unstable();
        index.variants.dedup();
        let words = (index.variants.len() / 4).next_power_of_two();
        index.filter = vec![0; words];
        for (hash, _) in &index.variants {
            let (word, bit) = place(*hash, words);
            index.filter[word] |= bit;
        }
        Some(index)
    }

    /// Hashes in it.
    pub(crate) fn variants(&self) -> usize {
        self.variants.len()
    }

    /// Gives `on_near` the number of each domain that is near, and its distance.
    pub(crate) fn find(
        &self,
        name: &[char],
        scratch: &mut EditScratch,
        mut on_near: impl FnMut(u32, u8),
    ) {
        let reach = usize::from(self.distance_max);
        let is_in_reach = name.len() + reach >= self.length_min
            && name.len() <= self.length_max.saturating_add(reach);
        if self.domains.is_empty() || !is_in_reach {
            return;
        }
        scratch.take(name);
        let mut found = core::mem::take(&mut scratch.found);
        found.clear();
        scratch.each_variant(self.distance_max, |hash| {
            let (word, bit) = place(hash, self.filter.len());
            if self.filter[word] & bit == 0 {
                return;
            }
            let first = self.variants.partition_point(|(other, _)| *other < hash);
            let same = self.variants[first..].iter();
            let same = same.take_while(|(other, _)| *other == hash);
            found.extend(same.map(|(_, domain)| *domain));
        });
        found.sort_unstable();
        found.dedup();
        for place in &found {
            let domain = &self.domains[*place as usize];
            let distance = distance(name, &domain.characters, &mut scratch.rows);
            if (1..=domain.distance_max).contains(&distance) {
                on_near(domain.watch, distance);
            }
        }
        scratch.found = found;
    }
}

fn place(hash: u64, words: usize) -> (usize, u64) {
    let word = usize::try_from(hash >> 6).unwrap_or_default() & (words - 1);
    (word, 1 << (hash & 63))
}

/// Insertions, deletions, replacements and swaps of neighbours that turn one into the other, no part edited twice; 255 for more.
fn distance(one: &[char], other: &[char], rows: &mut [Vec<u8>; 3]) -> u8 {
    let [before, last, next] = rows;
    last.clear();
    last.extend((0..=other.len()).map(|cost| u8::try_from(cost).unwrap_or(u8::MAX)));
    before.clear();
    before.resize(other.len() + 1, u8::MAX);
    for (row, character) in one.iter().enumerate() {
        next.clear();
        next.push(u8::try_from(row + 1).unwrap_or(u8::MAX));
        for (column, wanted) in other.iter().enumerate() {
            let replaced = last[column].saturating_add(u8::from(character != wanted));
            let inserted = next[column].saturating_add(1);
            let deleted = last[column + 1].saturating_add(1);
            let mut cost = replaced.min(inserted).min(deleted);
            let is_swap =
                row > 0 && column > 0 && *character == other[column - 1] && one[row - 1] == *wanted;
            if is_swap {
                cost = cost.min(before[column - 1].saturating_add(1));
            }
            next.push(cost);
        }
        core::mem::swap(before, last);
        core::mem::swap(last, next);
    }
    last[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn characters(text: &str) -> Vec<char> {
        text.chars().collect()
    }

    fn distance_of(one: &str, other: &str) -> u8 {
        let mut rows = <[Vec<u8>; 3]>::default();
        distance(&characters(one), &characters(other), &mut rows)
    }

    #[test]
    fn distance_counts_edits() {
        for (one, other, expected) in [
            ("", "", 0),
            ("abc", "abc", 0),
            ("abc", "acb", 1),
            ("abc", "ab", 1),
            ("abc", "xabc", 1),
            ("abc", "axc", 1),
            ("ca", "abc", 3),
            ("example.com", "exmaple.co", 2),
            ("", "abc", 3),
            ("zürich", "zurich", 1),
        ] {
            assert_eq!(distance_of(one, other), expected, "{one} {other}");
            assert_eq!(distance_of(other, one), expected, "{other} {one}");
        }
    }

    #[test]
    fn index_finds_what_comparing_with_each_finds() {
        bolero::check!()
            .with_type::<(Vec<Vec<bool>>, Vec<Vec<bool>>)>()
            .for_each(|(domains, names)| {
                let text = |bits: &Vec<bool>| -> Vec<char> {
                    let bits = bits.iter().take(9);
                    bits.map(|bit| if *bit { 'a' } else { 'b' }).collect()
                };
                let domains: Vec<_> = (0_u32..)
                    .zip(domains.iter().take(6).map(text))
                    .map(|(number, domain)| (domain, u8::try_from(number % 3).unwrap(), number))
                    .collect();
                let index = EditIndex::new(domains.clone()).unwrap();
                let mut scratch = EditScratch::default();
                for name in names.iter().take(6).map(text) {
                    let mut found = Vec::new();
                    index.find(&name, &mut scratch, |watch, near| found.push((watch, near)));
                    let mut rows = <[Vec<u8>; 3]>::default();
                    let expected: Vec<_> = domains
                        .iter()
                        .map(|(domain, max, number)| {
                            (*number, *max, distance(&name, domain, &mut rows))
                        })
                        .filter(|(_, max, near)| (1..=*max).contains(near))
                        .map(|(number, _, near)| (number, near))
                        .collect();
                    assert_eq!(found, expected);
                }
            });
    }

    #[test]
    fn index_of_too_much_is_refused() {
        let long: Vec<char> = vec!['a'; 253];
        let domains = (0..200).map(|number| (long.clone(), 2, number));
        assert!(EditIndex::new(domains).is_none());
    }
}
