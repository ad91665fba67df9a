//! Times as JSON has them (RFC 3339), in milliseconds since 1970.

/// Reads `2025-03-04T05:06:07.089Z`, or with an offset from UTC. None before 1970, or if it is no such time.
pub(crate) fn parse_rfc3339_ms(text: &str) -> Option<u64> {
    let (date, time) = text.split_once(['T', 't'])?;
    let mut date = date.split('-').map(|part| (part.len(), digits(part)));
    let (4, Some(year)) = date.next()? else {
        return None;
    };
    let (2, Some(month @ 1..=12)) = date.next()? else {
        return None;
    };
    let (2, Some(day @ 1..=31)) = date.next()? else {
        return None;
    };
    let zone_at = time.rfind(['Z', 'z', '+', '-'])?;
    let (clock, zone) = time.split_at_checked(zone_at)?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut clock = clock.split(':').map(|part| (part.len(), digits(part)));
    let (2, Some(hour @ 0..=23)) = clock.next()? else {
        return None;
    };
    let (2, Some(minute @ 0..=59)) = clock.next()? else {
        return None;
    };
    // 60 is a leap second: the same instant as the next minute.
    let (2, Some(second @ 0..=60)) = clock.next()? else {
        return None;
    };
    if date.next().is_some() || clock.next().is_some() {
        return None;
    }
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second
        - offset_s(zone)?;
    let fraction_ms = fraction_ms(fraction)?;
    u64::try_from(seconds * 1_000 + fraction_ms).ok()
}

fn digits(text: &str) -> Option<i64> {
    let all_digits = !text.is_empty() && text.len() < 10;
    let all_digits = all_digits && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| all_digits)
}

/// The first three digits behind the point.
fn fraction_ms(text: &str) -> Option<i64> {
    digits(text)?;
    digits(format!("{text}00").get(..3)?)
}

fn offset_s(zone: &str) -> Option<i64> {
    let sign = match zone.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return (zone.len() == 1).then_some(0),
    };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    if hours.len() != 2 || minutes.len() != 2 {
        return None;
    }
    Some(sign * (digits(hours)? * 3_600 + digits(minutes)? * 60))
}

/// Days of the Gregorian calendar, counted in years that begin in March.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let leap_days = year / 4 - year / 100 + year / 400;
    const DAYS_TO_1970: i64 = 719_468;
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - DAYS_TO_1970
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
            ("2024-13-01T00:00:00Z", None),
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
