//! Hexadecimal, base64 and base32hex digits (RFC 4648), read from words and written as text.

use super::error::{Fault, Problem, quote_word};
use super::scanner::Token;

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BASE32HEX: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends the bytes that hexadecimal digits in one or more words stand for; a byte may not be split over two words' ends
/// unless the next word goes on with it.
pub(super) fn read_hex(tokens: &[Token<'_>], out: &mut Vec<u8>) -> Result<(), Fault> {
    const EXPECTED: &str = "hexadecimal digits, two a byte";
    let mut high = None;
    for token in tokens {
        for (offset, &byte) in token.raw.iter().enumerate() {
            let Some(digit) = hex_digit(byte) else {
                return Err(bad_digit(token, offset, EXPECTED));
            };
            match high.take() {
                None => high = Some(digit << 4),
                Some(high) => out.push(high | digit),
            }
        }
    }
    match (high, tokens.last()) {
        (Some(_), Some(last)) => Err(last.unexpected(EXPECTED)),
        _ => Ok(()),
    }
}

/// Appends the bytes that base64 in one or more words stands for. Padding is needed (RFC 4648 §3.2), unused bits must be 0.
pub(super) fn read_base64(tokens: &[Token<'_>], out: &mut Vec<u8>) -> Result<(), Fault> {
    const EXPECTED: &str = "base64 with padding";
    let (mut bits, mut digits, mut padding) = (0_u32, 0_usize, 0_usize);
    for token in tokens {
        for (offset, &byte) in token.raw.iter().enumerate() {
            let value = match (byte, base64_digit(byte)) {
                (b'=', _) if padding < 2 && digits % 4 >= 2 => {
                    padding += 1;
                    0
                }
                (_, Some(value)) if padding == 0 => value,
                _ => return Err(bad_digit(token, offset, EXPECTED)),
            };
            bits = (bits << 6) | u32::from(value);
            digits += 1;
            if digits.is_multiple_of(4) {
                let [_, bytes @ ..] = bits.to_be_bytes();
                let (kept, unused) = bytes.split_at(3 - padding);
                if unused.iter().any(|&byte| byte != 0) {
                    return Err(bad_digit(token, offset, EXPECTED));
                }
                out.extend_from_slice(kept);
                bits = 0;
            }
        }
    }
    match tokens.last() {
        Some(last) if !digits.is_multiple_of(4) => Err(last.unexpected(EXPECTED)),
        _ => Ok(()),
    }
}

/// Appends the bytes of one word of unpadded base32hex (RFC 5155 §3.3). Unused bits must be 0.
pub(super) fn read_base32hex(token: &Token<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    const EXPECTED: &str = "base32 digits 0-9 and A-V without padding";
    match decode_base32hex(token.raw, out) {
        Ok(()) => Ok(()),
        Err(Some(offset)) => Err(bad_digit(token, offset, EXPECTED)),
        Err(None) => Err(token.unexpected(EXPECTED)),
    }
}

/// Appends the bytes of base32hex digits. The error is the offset of a bad digit, or none when the last digit has left-over bits.
pub(super) fn decode_base32hex(digits: &[u8], out: &mut Vec<u8>) -> Result<(), Option<usize>> {
    let (mut bits, mut count) = (0_u16, 0_u32);
    for (offset, &byte) in digits.iter().enumerate() {
        let value = match byte.to_ascii_lowercase() {
            digit @ b'0'..=b'9' => digit - b'0',
            letter @ b'a'..=b'v' => letter - b'a' + 10,
            _ => return Err(Some(offset)),
        };
        bits = (bits << 5) | u16::from(value);
        count += 5;
        if count >= 8 {
            count -= 8;
            let [_, byte] = (bits >> count).to_be_bytes();
            out.push(byte);
            bits &= (1 << count) - 1;
        }
    }
    if count < 5 && bits == 0 {
        Ok(())
    } else {
        Err(None)
    }
}

pub(super) fn write_hex(bytes: &[u8], out: &mut String) {
    for &byte in bytes {
        push_digit(HEX, u32::from(byte >> 4), out);
        push_digit(HEX, u32::from(byte & 15), out);
    }
}

pub(super) fn write_base64(bytes: &[u8], out: &mut String) {
    for chunk in bytes.chunks(3) {
        let mut group = [0; 4];
        group[1..=chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes(group);
        for index in 0..4 {
            if index <= chunk.len() {
                push_digit(BASE64, (bits >> (18 - 6 * index)) & 63, out);
            } else {
                out.push('=');
            }
        }
    }
}

pub(super) fn write_base32hex(bytes: &[u8], out: &mut String) {
    let (mut bits, mut count) = (0_u32, 0_u32);
    for &byte in bytes {
        bits = (bits << 8) | u32::from(byte);
        count += 8;
        while count >= 5 {
            count -= 5;
            push_digit(BASE32HEX, (bits >> count) & 31, out);
        }
        bits &= (1 << count) - 1;
    }
    if count > 0 {
        push_digit(BASE32HEX, (bits << (5 - count)) & 31, out);
    }
}

pub(super) fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

fn base64_digit(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

fn push_digit(alphabet: &[u8], value: u32, out: &mut String) {
    let digit = usize::try_from(value)
        .ok()
        .and_then(|index| alphabet.get(index));
    out.push(char::from(digit.copied().unwrap_or(b'?')));
}

fn bad_digit(token: &Token<'_>, offset: usize, expected: &'static str) -> Fault {
    let found = quote_word(token.raw.get(offset..=offset).unwrap_or(&[]));
    token.fault_at(offset, Problem::Unexpected { found, expected })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(raw: &[u8]) -> Token<'_> {
        Token {
            raw,
            quoted: false,
            joined: false,
            line: 1,
            column: 1,
        }
    }

    #[test]
    fn vectors_of_rfc_4648_are_read_and_written() {
        let cases = [
            ("", "", ""),
            ("f", "Zg==", "co"),
            ("fo", "Zm8=", "cpng"),
            ("foo", "Zm9v", "cpnmu"),
            ("foob", "Zm9vYg==", "cpnmuog"),
            ("fooba", "Zm9vYmE=", "cpnmuoj1"),
            ("foobar", "Zm9vYmFy", "cpnmuoj1e8"),
        ];
        for (plain, base64, base32) in cases {
            let (mut written64, mut written32) = (String::new(), String::new());
            write_base64(plain.as_bytes(), &mut written64);
            write_base32hex(plain.as_bytes(), &mut written32);
            assert_eq!((written64.as_str(), written32.as_str()), (base64, base32));
            let (mut read64, mut read32) = (Vec::new(), Vec::new());
            read_base64(&[token(base64.as_bytes())], &mut read64).expect("base64");
            read_base32hex(&token(base32.as_bytes()), &mut read32).expect("base32hex");
            assert_eq!(
                (read64, read32),
                (plain.as_bytes().to_vec(), plain.as_bytes().to_vec())
            );
        }
    }

    #[test]
    fn digits_may_be_spread_over_words() {
        let mut out = Vec::new();
        read_hex(&[token(b"0"), token(b"1aB"), token(b"ff")], &mut out).expect("hexadecimal");
        read_base64(&[token(b"Zm"), token(b"8=")], &mut out).expect("base64");
        assert_eq!(out, [0x01, 0xab, 0xff, b'f', b'o']);
    }

    #[test]
    fn bad_digit_is_reported_at_its_column() {
        let column = |fault: Result<(), Fault>| fault.expect_err("a fault").column;
        assert_eq!(column(read_hex(&[token(b"01g0")], &mut Vec::new())), 3);
        assert_eq!(column(read_hex(&[token(b"010")], &mut Vec::new())), 1);
        assert_eq!(column(read_base64(&[token(b"Zg=a")], &mut Vec::new())), 4);
        assert_eq!(
            column(read_base64(&[token(b"Zg==Zg==")], &mut Vec::new())),
            5
        );
        assert_eq!(column(read_base64(&[token(b"Z===")], &mut Vec::new())), 2);
        assert_eq!(column(read_base64(&[token(b"Zh==")], &mut Vec::new())), 4);
        assert_eq!(column(read_base64(&[token(b"Zg")], &mut Vec::new())), 1);
        assert_eq!(column(read_base32hex(&token(b"0w"), &mut Vec::new())), 2);
        assert_eq!(column(read_base32hex(&token(b"000"), &mut Vec::new())), 1);
    }
}
