//! Dates as Unbound writes them.

/// Unix time of `YYYYMMDDHHMMSS` in UTC, or of seconds as a plain number, as in signatures
/// (RFC 4034 §3.2).
pub(super) fn to_unix(text: &str) -> Option<u64> {
    if text.len() != 14 {
        return text.parse::<u32>().ok().map(u64::from);
    }
    let part = |from: usize, to: usize| text.get(from..to)?.parse::<u16>().ok().map(u64::from);
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let (hour, minute, second) = (part(8, 10)?, part(10, 12)?, part(12, 14)?);
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let february = if is_leap(year) { 29 } else { 28 };
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let before = usize::try_from(month.checked_sub(1)?).ok()?;
    let length = *lengths.get(before)?;
    let is_time = hour < 24 && minute < 60 && second <= 60;
    if year < 1970 || !(1..=length).contains(&day) || !is_time {
        return None;
    }
    let years: u64 = (1970..year)
        .map(|year| 365 + u64::from(is_leap(year)))
        .sum();
    let months: u64 = lengths.iter().take(before).sum();
    Some((((years + months + day - 1) * 24 + hour) * 60 + minute) * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_become_unix_time_and_others_nothing() {
        for (text, expected) in [
            ("19700101000000", Some(0)),
            ("20000229235959", Some(951_868_799)),
            ("20070916134226", Some(1_189_950_146)),
            ("21000301000000", Some(4_107_542_400)),
            ("1800000000", Some(1_800_000_000)),
            ("20010229000000", None),
            ("20011301000000", None),
            ("20010100000000", None),
            ("2001010100000x", None),
            ("soon", None),
        ] {
            assert_eq!(to_unix(text), expected, "{text}");
        }
    }
}
