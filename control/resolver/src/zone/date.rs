//! Signature times: `YYYYMMDDHHmmSS` in UTC, or seconds since 1970 (RFC 4034 §3.2).

const DAY_SECONDS: u64 = 86_400;

/// Seconds since 1970 modulo 2³² (RFC 4034 §3.1.5); `None` when the word is no time.
pub(super) fn read_time(word: &str) -> Option<u32> {
    if !word.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    if word.len() != 14 {
        return word.parse().ok();
    }
    let part = |start: usize, end: usize| word.get(start..end)?.parse::<u64>().ok();
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let (hour, minute, second) = (part(8, 10)?, part(10, 12)?, part(12, 14)?);
    if year < 1970
        || hour > 23
        || minute > 59
        || second > 59
        || day == 0
        || day > month_days(year, month)?
    {
        return None;
    }
    let days =
        days_before_year(year) - days_before_year(1970) + days_before_month(year, month)? + day - 1;
    let seconds = days * DAY_SECONDS + hour * 3_600 + minute * 60 + second;
    u32::try_from(seconds & u64::from(u32::MAX)).ok()
}

/// The time in the form with fourteen digits, read as a moment from 1970 to 2106.
pub(super) fn write_time(time: u32, out: &mut String) {
    let (mut days, rest) = (u64::from(time) / DAY_SECONDS, u64::from(time) % DAY_SECONDS);
    let (mut year, mut month) = (1970, 1);
    while days >= year_days(year) {
        days -= year_days(year);
        year += 1;
    }
    while let Some(length) = month_days(year, month).filter(|&length| days >= length) {
        days -= length;
        month += 1;
    }
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    out.push_str(&format!(
        "{year:04}{month:02}{:02}{hour:02}{minute:02}{second:02}",
        days + 1
    ));
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn year_days(year: u64) -> u64 {
    365 + u64::from(is_leap(year))
}

fn days_before_year(year: u64) -> u64 {
    let past = year - 1;
    past * 365 + past / 4 - past / 100 + past / 400
}

fn month_days(year: u64, month: u64) -> Option<u64> {
    match month {
        4 | 6 | 9 | 11 => Some(30),
        2 => Some(28 + u64::from(is_leap(year))),
        1..=12 => Some(31),
        _ => None,
    }
}

fn days_before_month(year: u64, month: u64) -> Option<u64> {
    (1..month).map(|month| month_days(year, month)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written_back() {
        let cases = [
            ("19700101000000", 0),
            ("20000229235959", 951_868_799),
            ("20240101000000", 1_704_067_200),
            ("20380119031408", 1 << 31),
            ("21060207062815", u32::MAX),
        ];
        for (text, seconds) in cases {
            assert_eq!(read_time(text), Some(seconds), "{text}");
            let mut written = String::new();
            write_time(seconds, &mut written);
            assert_eq!(written, text);
        }
        assert_eq!(read_time("1704067200"), Some(1_704_067_200));
        assert_eq!(
            read_time("21060207062816"),
            Some(0),
            "past 2106 the number wraps (RFC 4034 §3.1.5)"
        );
    }

    #[test]
    fn dates_that_do_not_exist_are_refused() {
        for text in [
            "20230229000000",
            "20240132000000",
            "20241301000000",
            "20240100000000",
            "20240101240000",
            "20240101006000",
            "19691231235959",
            "4294967296",
            "",
            "2024010100000x",
        ] {
            assert_eq!(read_time(text), None, "{text}");
        }
    }
}
