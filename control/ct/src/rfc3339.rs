//! Times as JSON has them (RFC 3339), in milliseconds since 1970.

use crate::time::{two_digits, unix_seconds};

/// Reads `2025-03-04T05:06:07.089Z`, or with an offset from UTC. None before 1970, or if it is no such time.
pub(crate) fn parse_rfc3339_ms(text: &str) -> Option<u64> {
    let (clock, rest) = text.as_bytes().split_first_chunk()?;
    #[rustfmt::skip]
    let [c1, c2, y1, y2, b'-', m1, m2, b'-', d1, d2, b'T' | b't', h1, h2, b':', n1, n2, b':', s1, s2] = *clock
    else {
        return None;
    };
    let year = u16::from(two_digits([c1, c2])?) * 100 + u16::from(two_digits([y1, y2])?);
    // 60 is a leap second: the same instant as the next minute.
    let (second, leap_s) = match two_digits([s1, s2])? {
        60 => (59, 1),
        second => (second, 0),
    };
    let (month, day) = (two_digits([m1, m2])?, two_digits([d1, d2])?);
    let (hour, minute) = (two_digits([h1, h2])?, two_digits([n1, n2])?);
    let (fraction_ms, zone) = split_fraction(rest)?;
    let seconds = unix_seconds(year, [month, day, hour, minute, second])? + leap_s;
    u64::try_from((seconds - offset_s(zone)?) * 1_000 + fraction_ms).ok()
}

/// The first three digits behind the point, if there is one, and what follows the last.
fn split_fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some(behind) = text.strip_prefix(b".") else {
        return Some((0, text));
    };
    let count = behind.iter().take_while(|byte| byte.is_ascii_digit());
    let (digits, zone) = behind.split_at_checked(count.count())?;
    let three = digits.iter().chain(b"00").take(3);
    let ms = three.fold(0, |ms, digit| ms * 10 + i64::from(digit - b'0'));
    (!digits.is_empty()).then_some((ms, zone))
}

fn offset_s(zone: &[u8]) -> Option<i64> {
    let (sign, hours, minutes) = match *zone {
        [b'Z' | b'z'] => return Some(0),
        [b'+', h1, h2, b':', m1, m2] => (1, two_digits([h1, h2])?, two_digits([m1, m2])?),
        [b'-', h1, h2, b':', m1, m2] => (-1, two_digits([h1, h2])?, two_digits([m1, m2])?),
        _ => return None,
    };
    let is_offset = hours < 24 && minutes < 60;
    is_offset.then(|| sign * (i64::from(hours) * 3_600 + i64::from(minutes) * 60))
}

#[cfg(test)]
mod tests {
    use super::parse_rfc3339_ms;

    #[test]
    fn time_is_that_of_the_calendar() {
        let cases = [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2022-04-15T00:00:00Z", Some(1_649_980_800_000)),
            ("2024-02-29T23:59:59.5Z", Some(1_709_251_199_500)),
            ("2024-03-01T00:00:00+01:00", Some(1_709_247_600_000)),
            ("2000-12-31T23:59:60Z", Some(978_307_200_000)),
            ("2026-01-02t03:04:05.123456z", Some(1_767_323_045_123)),
            ("1969-12-31T23:59:59Z", None),
            ("1970-01-01T01:00:00+01:00", Some(0)),
            ("1970-01-01T00:00:00-00:01", Some(60_000)),
            ("2024-01-01T00:00:00.07Z", Some(1_704_067_200_070)),
            ("2024-13-01T00:00:00Z", None),
            ("2024-02-31T00:00:00Z", None),
            ("2023-02-29T00:00:00Z", None),
            ("2024-03-00T00:00:00Z", None),
            ("2024-03-01T00:00:61Z", None),
            ("2024-03-01T00:00:00+01:60", None),
            ("2024-03-01T00:00:00+24:00", None),
            ("2024-03-01T00:00:00ZZ", None),
            ("2024-03-01T00:00:0/Z", None),
            ("2024-03-01T00:00:00", None),
            ("2024-03-01 00:00:00Z", None),
            ("2024-03-01T00:00Z", None),
            ("2024-03-01T24:00:00Z", None),
            ("2024-03-01T00:00:00.Z", None),
            ("2024-3-1T00:00:00Z", None),
            ("2024-03-01T00:00:00+1:00", None),
            ("2024-03-01T00:00:00Zé", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_rfc3339_ms(text), expected, "{text}");
        }
    }
}
