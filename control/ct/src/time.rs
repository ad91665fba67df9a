//! The calendar in seconds since 1970, and the dates of certificates (RFC 5280 §4.1.2.5).

use crate::der::{DerError, Element, Reader, tag};

/// Seconds of a day.
pub const DAY_SECONDS: i64 = 86_400;

/// Midnight UTC at the beginning of a day of the Gregorian calendar, in seconds since 1970. The month is 1 to 12, the day 1 to 31.
#[must_use]
pub const fn unix_midnight(year: u16, month: u8, day: u8) -> i64 {
    // Years begin in March, so that the day of a leap year is their last.
    let year = year as i64 - (month <= 2) as i64;
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let month_from_march = (month as i64 + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day as i64 - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    (era * 146_097 + day_of_era - 719_468) * DAY_SECONDS
}

/// UTCTime or GeneralizedTime in seconds since 1970. Whole seconds and `Z`, as RFC 5280 demands; which of the two types a year
/// has is not judged.
///
/// # Errors
/// If something else stands there.
pub fn read_time(reader: &mut Reader<'_>) -> Result<i64, DerError> {
    let mut element = reader.any()?;
    let (date, expected) = match element.tag {
        tag::UTC_TIME => {
            let year = digits(&mut element).map(|year| match year {
                50.. => 1900 + u16::from(year),
                _ => 2000 + u16::from(year),
            });
            (year, "UTCTime")
        }
        tag::GENERALIZED_TIME => {
            let century = digits(&mut element);
            let year = digits(&mut element);
            let year = century
                .zip(year)
                .map(|(century, year)| u16::from(century) * 100 + u16::from(year));
            (year, "GeneralizedTime")
        }
        _ => (None, "UTCTime or GeneralizedTime"),
    };
    let whole = element;
    date.and_then(|year| seconds_of(year, &mut element))
        .ok_or(whole.invalid(expected))
}

/// Two digits from the front of the contents.
fn digits(element: &mut Element<'_>) -> Option<u8> {
    let (pair, rest) = element.contents.split_first_chunk::<2>()?;
    element.contents = rest;
    two_digits(*pair)
}

/// `MMDDhhmmssZ`.
fn seconds_of(year: u16, element: &mut Element<'_>) -> Option<i64> {
    let mut parts = [0; 5];
    for part in &mut parts {
        *part = digits(element)?;
    }
    unix_seconds(year, parts).filter(|_| element.contents == b"Z")
}

/// A number of two decimal digits.
pub(crate) fn two_digits(pair: [u8; 2]) -> Option<u8> {
    let [tens, ones] = pair.map(|digit| digit.wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| tens * 10 + ones)
}

/// Month, day, hour, minute and second of a year, in seconds since 1970. None if there is no such day, or no such time of one.
pub(crate) fn unix_seconds(year: u16, parts: [u8; 5]) -> Option<i64> {
    let [month, day, hour, minute, second] = parts;
    let is_date = (1..=12).contains(&month) && (1..=days_of(year, month)).contains(&day);
    let is_time = hour < 24 && minute < 60 && second < 60;
    let seconds = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
    (is_date && is_time).then(|| unix_midnight(year, month, day) + seconds)
}

fn days_of(year: u16, month: u8) -> u8 {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tag: u8, text: &str) -> Result<i64, DerError> {
        let mut bytes = vec![tag, u8::try_from(text.len()).unwrap()];
        bytes.extend_from_slice(text.as_bytes());
        read_time(&mut Reader::new(&bytes))
    }

    #[test]
    fn both_types_give_seconds_since_1970() {
        for (tag, text, seconds) in [
            (tag::UTC_TIME, "700101000000Z", 0),
            (tag::UTC_TIME, "500101000000Z", -631_152_000),
            (tag::UTC_TIME, "491231235959Z", 2_524_607_999),
            (tag::UTC_TIME, "000229120000Z", 951_825_600),
            (tag::GENERALIZED_TIME, "20500101000000Z", 2_524_608_000),
            (tag::GENERALIZED_TIME, "99991231235959Z", 253_402_300_799),
            (tag::GENERALIZED_TIME, "00000101000000Z", -62_167_219_200),
        ] {
            assert_eq!(read(tag, text), Ok(seconds), "{text}");
        }
    }

    #[test]
    fn dates_that_do_not_exist_or_are_in_another_form_are_refused() {
        for text in [
            "700101000000",
            "7001010000Z",
            "700101000000+0000",
            "700001000000Z",
            "701301000000Z",
            "700100000000Z",
            "700230000000Z",
            "010229000000Z",
            "700101240000Z",
            "700101006000Z",
            "700101000060Z",
            "70010100000aZ",
            "7001010000/0Z",
            "700101000000ZZ",
            "",
        ] {
            let result = read(tag::UTC_TIME, text);
            let expected = DerError::Value {
                offset: 2,
                expected: "UTCTime",
            };
            assert_eq!(result, Err(expected), "{text}");
        }
        assert!(read(tag::GENERALIZED_TIME, "19000229000000Z").is_err());
        assert!(read(tag::OCTET_STRING, "700101000000Z").is_err());
    }

    #[test]
    fn calendar_counts_every_day_of_eight_hundred_years() {
        let mut expected = unix_midnight(1600, 1, 1);
        for year in 1600..2400 {
            for month in 1..=12 {
                for day in 1..=days_of(year, month) {
                    assert_eq!(
                        unix_midnight(year, month, day),
                        expected,
                        "{year}-{month}-{day}"
                    );
                    expected += DAY_SECONDS;
                }
            }
        }
    }
}
