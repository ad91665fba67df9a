//! The basic words of an entry: names, strings, numbers with units, and taking them one by one.

use super::error::{Fault, Problem, quote_word};
use super::name::{LABEL_BYTES_MAX, NameBuffer, ROOT};
use super::scanner::{Entry, Token};

/// Largest TTL (RFC 2181 §8).
pub(super) const TTL_SECONDS_MAX: u32 = 0x7fff_ffff;

/// The words of one entry, taken from left to right.
pub(super) struct Words<'t, 'a> {
    tokens: &'t [Token<'a>],
    entry: Entry,
    /// What relative names are relative to.
    pub(super) origin: Option<&'t NameBuffer>,
}

impl<'t, 'a> Words<'t, 'a> {
    pub(super) fn new(
        tokens: &'t [Token<'a>],
        entry: Entry,
        origin: Option<&'t NameBuffer>,
    ) -> Self {
        Self {
            tokens,
            entry,
            origin,
        }
    }

    pub(super) fn peek(&self) -> Option<&'t Token<'a>> {
        self.tokens.first()
    }

    pub(super) fn take(&mut self, expected: &'static str) -> Result<&'t Token<'a>, Fault> {
        let Some((first, rest)) = self.tokens.split_first() else {
            return Err(self.missing(expected));
        };
        self.tokens = rest;
        Ok(first)
    }

    /// All words that are left.
    pub(super) fn rest(&mut self) -> &'t [Token<'a>] {
        std::mem::take(&mut self.tokens)
    }

    /// The words that are left, `count_max` at most.
    pub(super) fn rest_up_to(&mut self, count_max: usize) -> &'t [Token<'a>] {
        let (taken, rest) = self
            .tokens
            .split_at_checked(count_max)
            .unwrap_or((self.tokens, &[]));
        self.tokens = rest;
        taken
    }

    /// All words that are left, at least one.
    pub(super) fn rest_of_one_or_more(
        &mut self,
        expected: &'static str,
    ) -> Result<&'t [Token<'a>], Fault> {
        if self.tokens.is_empty() {
            return Err(self.missing(expected));
        }
        Ok(self.rest())
    }

    pub(super) fn name(&mut self, expected: &'static str) -> Result<NameBuffer, Fault> {
        let token = self.take(expected)?;
        read_name(token, self.origin, expected)
    }

    pub(super) fn number<T: std::str::FromStr>(
        &mut self,
        expected: &'static str,
    ) -> Result<T, Fault> {
        let token = self.take(expected)?;
        token.number().ok_or_else(|| token.unexpected(expected))
    }

    /// A word that the type itself can read.
    pub(super) fn parsed<T: std::str::FromStr>(
        &mut self,
        expected: &'static str,
    ) -> Result<T, Fault> {
        let token = self.take(expected)?;
        let parsed = token.word().and_then(|word| word.parse().ok());
        parsed.ok_or_else(|| token.unexpected(expected))
    }

    /// Refuses words after the last field.
    pub(super) fn finish(&self) -> Result<(), Fault> {
        match self.tokens.first() {
            None => Ok(()),
            Some(token) => Err(token.fault(Problem::Extra {
                found: quote_word(token.raw),
            })),
        }
    }

    pub(super) fn missing(&self, expected: &'static str) -> Fault {
        let problem = Problem::Missing { expected };
        Fault {
            line: self.entry.end_line,
            column: self.entry.end_column,
            problem,
        }
    }
}

/// Reads a name: `@`, absolute, or relative to `origin`. Its case is kept.
pub(super) fn read_name(
    token: &Token<'_>,
    origin: Option<&NameBuffer>,
    expected: &'static str,
) -> Result<NameBuffer, Fault> {
    if token.quoted || token.raw.is_empty() {
        return Err(token.unexpected(expected));
    }
    let without_origin = || {
        token.fault(Problem::OriginMissing {
            found: quote_word(token.raw),
        })
    };
    let mut name = NameBuffer::new();
    match token.raw {
        b"@" => return origin.copied().ok_or_else(without_origin),
        b"." => {
            name.extend(ROOT);
            return Ok(name);
        }
        _ => {}
    }
    let absolute = read_labels(token, &mut name)?;
    let end = if absolute {
        ROOT
    } else {
        origin.ok_or_else(without_origin)?.as_bytes()
    };
    if !name.extend(end) {
        return Err(token.fault(Problem::NameLength));
    }
    Ok(name)
}

/// Appends the labels of a word; true when it ends in a dot.
fn read_labels(token: &Token<'_>, name: &mut NameBuffer) -> Result<bool, Fault> {
    let mut label = [0_u8; LABEL_BYTES_MAX];
    let mut length = 0_usize;
    let mut offset = 0;
    while let Some(&byte) = token.raw.get(offset) {
        if byte == b'.' {
            if length == 0 {
                return Err(token.fault_at(offset, Problem::LabelEmpty));
            }
            push_label(token, &label[..length], name)?;
            length = 0;
            offset += 1;
            continue;
        }
        let (value, taken) = read_escaped(token, offset)?;
        let Some(slot) = label.get_mut(length) else {
            return Err(token.fault_at(offset, Problem::LabelLength));
        };
        *slot = value;
        length += 1;
        offset += taken;
    }
    if length > 0 {
        push_label(token, &label[..length], name)?;
    }
    Ok(length == 0)
}

fn push_label(token: &Token<'_>, label: &[u8], name: &mut NameBuffer) -> Result<(), Fault> {
    let length = u8::try_from(label.len()).unwrap_or(u8::MAX);
    if name.extend(&[length]) && name.extend(label) {
        return Ok(());
    }
    Err(token.fault(Problem::NameLength))
}

/// One byte at `offset` with its escape resolved, and how many bytes it took in the file.
pub(super) fn read_escaped(token: &Token<'_>, offset: usize) -> Result<(u8, usize), Fault> {
    let bad = || token.fault_at(offset, Problem::Escape);
    let rest = token.raw.get(offset..).unwrap_or(&[]);
    match rest {
        [b'\\', digits @ ..] if digits.first().is_some_and(u8::is_ascii_digit) => {
            let digits = digits
                .get(..3)
                .and_then(|digits| std::str::from_utf8(digits).ok());
            let digits = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()));
            let value = digits
                .and_then(|digits| digits.parse().ok())
                .ok_or_else(bad)?;
            Ok((value, 4))
        }
        [b'\\', byte, ..] => Ok((*byte, 2)),
        [b'\\'] | [] => Err(bad()),
        [byte, ..] => Ok((*byte, 1)),
    }
}

/// Appends the bytes of a string with its escapes resolved.
pub(super) fn read_octets(token: &Token<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let mut offset = 0;
    while offset < token.raw.len() {
        let (value, taken) = read_escaped(token, offset)?;
        out.push(value);
        offset += taken;
    }
    Ok(())
}

/// Appends a string of at most 255 bytes with its length in front (RFC 1035 §3.3).
pub(super) fn read_char_string(token: &Token<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let start = out.len();
    out.push(0);
    read_octets(token, out)?;
    let Ok(length) = u8::try_from(out.len() - start - 1) else {
        return Err(token.unexpected("a string of at most 255 bytes"));
    };
    if let Some(slot) = out.get_mut(start) {
        *slot = length;
    }
    Ok(())
}

/// Seconds as a plain number, or as numbers with the units w, d, h, m and s: `1h30m`. `None` for anything else.
pub(super) fn read_seconds(word: &str) -> Option<u32> {
    if let Ok(plain) = word.parse::<u32>() {
        return word
            .starts_with(|first: char| first.is_ascii_digit())
            .then_some(plain);
    }
    let (mut total, mut number) = (0_u32, None::<u32>);
    for byte in word.bytes() {
        let unit_seconds = match byte.to_ascii_lowercase() {
            digit @ b'0'..=b'9' => {
                let shifted = number.unwrap_or(0).checked_mul(10)?;
                number = Some(shifted.checked_add(u32::from(digit - b'0'))?);
                continue;
            }
            b's' => 1,
            b'm' => 60,
            b'h' => 3_600,
            b'd' => 86_400,
            b'w' => 604_800,
            _ => return None,
        };
        total = total.checked_add(number.take()?.checked_mul(unit_seconds)?)?;
    }
    // A number after the last unit has none of its own: `1h30`.
    (number.is_none() && !word.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(raw: &[u8]) -> Token<'_> {
        Token {
            raw,
            quoted: false,
            joined: false,
            line: 7,
            column: 5,
        }
    }

    fn name(text: &str) -> Result<Vec<u8>, Fault> {
        let origin = NameBuffer::from_wire(b"\x07example\0").expect("a name");
        read_name(&token(text.as_bytes()), Some(&origin), "a name")
            .map(|name| name.as_bytes().to_vec())
    }

    #[test]
    fn names_are_relative_unless_they_end_in_a_dot() {
        assert_eq!(
            name("www").as_deref(),
            Ok(b"\x03www\x07example\0".as_slice())
        );
        assert_eq!(name("www.").as_deref(), Ok(b"\x03www\0".as_slice()));
        assert_eq!(name("@").as_deref(), Ok(b"\x07example\0".as_slice()));
        assert_eq!(name("\\@").as_deref(), Ok(b"\x01@\x07example\0".as_slice()));
        assert_eq!(name(".").as_deref(), Ok(b"\0".as_slice()));
        assert_eq!(
            name("a\\.b.\\065\\\\.").as_deref(),
            Ok(b"\x03a.b\x02A\\\0".as_slice())
        );
    }

    #[test]
    fn faults_in_names_point_at_the_byte() {
        let long_label = "a".repeat(64);
        let long_name = "a.".repeat(128);
        let cases = [
            ("a..b", 7, Problem::LabelEmpty),
            (".a", 5, Problem::LabelEmpty),
            ("ab\\25x", 7, Problem::Escape),
            ("ab\\256", 7, Problem::Escape),
            ("ab\\", 7, Problem::Escape),
            (long_label.as_str(), 68, Problem::LabelLength),
            (long_name.as_str(), 5, Problem::NameLength),
        ];
        for (text, column, problem) in cases {
            assert_eq!(
                name(text),
                Err(Fault {
                    line: 7,
                    column,
                    problem
                }),
                "{text}"
            );
        }
    }

    #[test]
    fn name_of_255_bytes_is_read_and_one_byte_more_is_not() {
        let absolute = format!("{}{}.", "a.".repeat(126), "b");
        assert_eq!(name(&absolute).map(|name| name.len()), Ok(255));
        assert!(name(&format!("{}{}.", "a.".repeat(126), "bb")).is_err());
    }

    #[test]
    fn seconds_have_units_or_none() {
        let cases = [
            ("0", Some(0)),
            ("3600", Some(3600)),
            ("1h30m", Some(5400)),
            ("1W2d3H4m5S", Some(604_800 + 172_800 + 10_800 + 240 + 5)),
            ("4294967295", Some(u32::MAX)),
            ("4294967296", None),
            ("+5", None),
            ("1h30", None),
            ("h", None),
            ("", None),
            ("1x", None),
            ("99999999w", None),
        ];
        for (text, seconds) in cases {
            assert_eq!(read_seconds(text), seconds, "{text}");
        }
    }

    #[test]
    fn string_of_255_bytes_is_read_and_one_byte_more_is_not() {
        let mut out = Vec::new();
        read_char_string(&token(&[b'x'; 255]), &mut out).expect("a string");
        assert_eq!((out.len(), out[0]), (256, 255));
        assert!(read_char_string(&token(&[b'x'; 256]), &mut out).is_err());
    }
}
