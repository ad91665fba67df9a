//! What headers of a reply ask of us: how long it stays fresh (RFC 9111 §4.2), and when to come again (RFC 9110 §10.2.3).

use std::time::SystemTime;

/// How long a reply stays fresh, in milliseconds, by its `Cache-Control` and `Age`. 0 if it does not say.
#[must_use]
pub fn fresh_ms(cache_control: Option<&str>, age: Option<&str>) -> u64 {
    let mut fresh_s = 0;
    for directive in cache_control.unwrap_or_default().split(',') {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "no-store" | "no-cache" => return 0,
            "max-age" => fresh_s = seconds(value.trim().trim_matches('"')).unwrap_or(0),
            _ => {}
        }
    }
    let age_s = age.and_then(seconds).unwrap_or(0);
    fresh_s.saturating_sub(age_s).saturating_mul(1_000)
}

/// How long `Retry-After` asks to be left alone, in milliseconds: a number of seconds or a date.
#[must_use]
pub fn retry_after_ms(value: &str, now: SystemTime) -> Option<u64> {
    let value = value.trim();
    if let Some(seconds) = seconds(value) {
        return Some(seconds.saturating_mul(1_000));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    let wait = date.duration_since(now).unwrap_or_default();
    Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
}

fn seconds(text: &str) -> Option<u64> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.trim().parse().ok().filter(|_| is_number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn freshness_is_max_age_without_the_age_it_has() {
        for (cache_control, age, expected) in [
            (None, None, 0),
            (Some("max-age=5"), None, 5_000),
            (Some("public, Max-Age=\"60\", immutable"), Some("59"), 1_000),
            (Some("max-age=5"), Some("7"), 0),
            (Some("no-cache, max-age=5"), None, 0),
            (Some("max-age=5, no-store"), None, 0),
            (Some("max-age=-5"), None, 0),
            (Some("max-age=99999999999999999999"), None, 0),
            (Some("s-maxage=9"), None, 0),
        ] {
            assert_eq!(fresh_ms(cache_control, age), expected, "{cache_control:?}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777 - 30);
        for (value, expected) in [
            ("120", Some(120_000)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(30_000)),
            ("Sun, 06 Nov 1994 08:40:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
            ("", None),
        ] {
            assert_eq!(retry_after_ms(value, now), expected, "{value}");
        }
    }
}
