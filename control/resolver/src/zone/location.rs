//! Data of LOC records: latitude, longitude, altitude and precision (RFC 1876).

use super::error::Fault;
use super::scanner::Token;
use super::words::Words;

const EQUATOR: u32 = 1 << 31;
const DEGREE_MILLISECONDS: u32 = 3_600_000;
const MINUTE_MILLISECONDS: u32 = 60_000;
/// The wire's altitude counts centimetres from 100 km below the reference.
const ALTITUDE_BASE_CENTIMETRES: i64 = 10_000_000;
/// 1 m, 10 km and 10 m: size and precisions when not given (RFC 1876 §3).
const PRECISION_DEFAULTS: [u8; 3] = [0x12, 0x16, 0x13];

/// Bytes of LOC data of version 0.
pub(super) const LOCATION_BYTES: usize = 16;

/// Appends the 16 bytes of a location.
pub(super) fn read_location(words: &mut Words<'_, '_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let latitude = read_angle(words, 90, [b'N', b'S'])?;
    let longitude = read_angle(words, 180, [b'E', b'W'])?;
    let altitude = read_altitude(words.take("an altitude in metres")?)?;
    let mut precisions = PRECISION_DEFAULTS;
    for (slot, token) in precisions.iter_mut().zip(words.rest_up_to(3)) {
        *slot = read_precision(token)?;
    }
    out.push(0);
    out.extend_from_slice(&precisions);
    out.extend_from_slice(&latitude.to_be_bytes());
    out.extend_from_slice(&longitude.to_be_bytes());
    out.extend_from_slice(&altitude.to_be_bytes());
    Ok(())
}

/// Writes a location of version 0 as text.
pub(super) fn write_location(data: &[u8; LOCATION_BYTES], out: &mut String) {
    let [
        _,
        size,
        horizontal,
        vertical,
        a,
        b,
        c,
        d,
        e,
        f,
        g,
        h,
        i,
        j,
        k,
        l,
    ] = *data;
    write_angle(u32::from_be_bytes([a, b, c, d]), ['N', 'S'], out);
    write_angle(u32::from_be_bytes([e, f, g, h]), ['E', 'W'], out);
    write_centimetres(
        i64::from(u32::from_be_bytes([i, j, k, l])) - ALTITUDE_BASE_CENTIMETRES,
        out,
    );
    for precision in [size, horizontal, vertical] {
        out.push(' ');
        write_centimetres(precision_centimetres(precision), out);
    }
}

/// Whether the nibbles of a precision byte are decimal digits (RFC 1876 §2).
pub(super) fn is_precision(byte: u8) -> bool {
    byte >> 4 <= 9 && byte & 15 <= 9
}

/// `degrees [minutes [seconds]] direction` in thousandths of an arc second from the equator or prime meridian.
fn read_angle(
    words: &mut Words<'_, '_>,
    degrees_max: u32,
    directions: [u8; 2],
) -> Result<u32, Fault> {
    let expected = if directions == *b"NS" {
        "a latitude as degrees, minutes, seconds and N or S"
    } else {
        "a longitude as degrees, minutes, seconds and E or W"
    };
    let degrees_token = words.take(expected)?;
    let degrees = degrees_token
        .number::<u32>()
        .filter(|&degrees| degrees <= degrees_max);
    let mut total =
        degrees.ok_or_else(|| degrees_token.unexpected(expected))? * DEGREE_MILLISECONDS;
    for unit in 0..3 {
        let token = words.take(expected)?;
        if let [letter] = token.raw {
            let letter = letter.to_ascii_uppercase();
            if let Some(direction) = directions.iter().position(|&direction| direction == letter) {
                if total > degrees_max * DEGREE_MILLISECONDS {
                    return Err(degrees_token.unexpected(expected));
                }
                return Ok(if direction == 0 {
                    EQUATOR + total
                } else {
                    EQUATOR - total
                });
            }
        }
        let part = match unit {
            0 => token
                .number::<u32>()
                .filter(|&minutes| minutes < 60)
                .map(|minutes| minutes * MINUTE_MILLISECONDS),
            1 => token
                .word()
                .and_then(|word| read_decimal(word, 3))
                .and_then(|milliseconds| u32::try_from(milliseconds).ok()),
            _ => None,
        };
        let part = part.filter(|&part| unit == 0 || part < MINUTE_MILLISECONDS);
        total += part.ok_or_else(|| token.unexpected(expected))?;
    }
    Err(words.missing(expected))
}

fn read_altitude(token: &Token<'_>) -> Result<u32, Fault> {
    let unexpected = || token.unexpected("an altitude from -100000.00m to 42849672.95m");
    let word = token.word().ok_or_else(unexpected)?;
    let word = word.strip_suffix(['m', 'M']).unwrap_or(word);
    let (negative, digits) = match word.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, word),
    };
    let centimetres = read_decimal(digits, 2)
        .and_then(|value| i64::try_from(value).ok())
        .ok_or_else(unexpected)?;
    let signed = if negative { -centimetres } else { centimetres };
    u32::try_from(signed + ALTITUDE_BASE_CENTIMETRES).map_err(|_| unexpected())
}

/// A length as one digit and a power of ten, in centimetres (RFC 1876 §2); digits that do not fit are cut off.
fn read_precision(token: &Token<'_>) -> Result<u8, Fault> {
    let unexpected = || token.unexpected("a length from 0m to 90000000.00m");
    let word = token.word().ok_or_else(unexpected)?;
    let mut mantissa =
        read_decimal(word.strip_suffix(['m', 'M']).unwrap_or(word), 2).ok_or_else(unexpected)?;
    let mut exponent = 0_u8;
    while mantissa > 9 {
        mantissa /= 10;
        exponent += 1;
    }
    let mantissa = u8::try_from(mantissa).map_err(|_| unexpected())?;
    if exponent > 9 {
        Err(unexpected())
    } else {
        Ok(mantissa << 4 | exponent)
    }
}

/// A decimal number without sign, times 10 to the power of `places`; more digits after the point are refused.
fn read_decimal(word: &str, places: usize) -> Option<u64> {
    let (whole, fraction) = word.split_once('.').unwrap_or((word, ""));
    let digits_only = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty()
        || whole.len() > 12
        || fraction.len() > places
        || !digits_only(whole)
        || !digits_only(fraction)
    {
        return None;
    }
    format!("{whole}{fraction:0<places$}").parse().ok()
}

fn precision_centimetres(precision: u8) -> i64 {
    i64::from(precision >> 4) * 10_i64.pow(u32::from(precision & 15).min(9))
}

fn write_angle(value: u32, [positive, negative]: [char; 2], out: &mut String) {
    let (distance, direction) = match value.checked_sub(EQUATOR) {
        Some(distance) => (distance, positive),
        None => (EQUATOR - value, negative),
    };
    let (degrees, rest) = (
        distance / DEGREE_MILLISECONDS,
        distance % DEGREE_MILLISECONDS,
    );
    let (minutes, rest) = (rest / MINUTE_MILLISECONDS, rest % MINUTE_MILLISECONDS);
    out.push_str(&format!(
        "{degrees} {minutes} {}.{:03} {direction} ",
        rest / 1_000,
        rest % 1_000
    ));
}

fn write_centimetres(centimetres: i64, out: &mut String) {
    let sign = if centimetres < 0 { "-" } else { "" };
    let positive = centimetres.unsigned_abs();
    out.push_str(&format!("{sign}{}.{:02}m", positive / 100, positive % 100));
}
