//! Names in uncompressed wire form, as slices: which lies below which.

/// Whether `name` is `ancestor` or lies below it. Both in the same case.
#[inline]
#[must_use]
pub fn is_at_or_below(name: &[u8], ancestor: &[u8]) -> bool {
    let Some(cut) = name.len().checked_sub(ancestor.len()) else {
        return false;
    };
    if name.get(cut..) != Some(ancestor) {
        return false;
    }
    // The bytes agree; the cut must also be where a label starts, since `\003com` may lie inside a
    // label.
    let mut offset = 0;
    while offset < cut {
        offset += 1 + name.get(offset).map_or(0, |&length| usize::from(length));
    }
    offset == cut
}

/// The name itself, then each name above it, the root last. Of what is no name, as far as labels
/// can be read.
#[inline]
pub fn suffixes(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    let name = Some(name).filter(|name| !name.is_empty());
    core::iter::successors(name, |name| {
        let length = usize::from(*name.first()?);
        let above = name.get(1 + length..).filter(|_| length > 0)?;
        (!above.is_empty()).then_some(above)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const WWW: &[u8] = b"\x03www\x07example\0";
    const EXAMPLE: &[u8] = b"\x07example\0";

    #[test]
    fn names_are_below_themselves_and_all_above_but_not_below_look_alikes() {
        for ancestor in [WWW, EXAMPLE, b"\0"] {
            assert!(is_at_or_below(WWW, ancestor));
        }
        for (name, ancestor) in [
            (EXAMPLE, WWW),
            (b"\0", EXAMPLE),
            (b"\x03com\0", EXAMPLE),
            (b"\x0awwwexample\0", EXAMPLE),
            // Its bytes end with the ancestor's, inside a label.
            (b"\x0cwww\x07example\0", EXAMPLE),
            (b"\x3f", b"\0"),
        ] {
            assert!(!is_at_or_below(name, ancestor), "{name:?} {ancestor:?}");
        }
    }

    #[test]
    fn suffixes_of_any_bytes_end_and_are_what_lies_above() {
        assert!(suffixes(WWW).eq([WWW, EXAMPLE, b"\0"]));
        bolero::check!()
            .with_iterations(10_000)
            .for_each(|bytes: &[u8]| {
                let all: Vec<_> = suffixes(bytes).collect();
                assert!(all.is_sorted_by(|one, next| one.len() > next.len()));
                assert!(all.iter().all(|above| is_at_or_below(bytes, above)));
                let _ = is_at_or_below(bytes, EXAMPLE);
            });
    }
}
