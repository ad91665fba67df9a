//! A strict reader of DER over slices, and the writing of headers (X.690 §8, §10): what certificates need and no more.
//!
//! Lengths are definite, in their shortest form and below 2^24, the most that a log entry can hold (RFC 6962 §3.1). Nothing here
//! recurses: an element is opened only by code that names what is in it, so nesting is as deep as that code and no deeper.
//! Start at [`Reader::new`].

/// What is not DER, and where. Offsets count octets from the beginning of the certificate; of what stands in a key or in the
/// parameters of an algorithm, from the beginning of those.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DerError {
    /// An element reaches past the end of what holds it.
    #[error("at {offset}: {needed} octets needed, {left} left")]
    Truncated {
        /// Where the octets should begin.
        offset: usize,
        /// Octets that should be there.
        needed: usize,
        /// Octets that are there.
        left: usize,
    },
    /// Another element stands here.
    #[error("at {offset}: tag {found:#04x} where {expected:#04x} is due")]
    Tag {
        /// Of the element.
        offset: usize,
        /// Its tag by the syntax.
        expected: u8,
        /// The tag that is there.
        found: u8,
    },
    /// A length is indefinite, not in its shortest form, or 2^24 or more.
    #[error("at {offset}: length {first:#04x} is indefinite, not the shortest form, or too long")]
    Length {
        /// Of the length.
        offset: usize,
        /// Its first octet.
        first: u8,
    },
    /// Octets are left where the element should end.
    #[error("at {offset}: {octets} octets too many")]
    Trailing {
        /// Of the first octet that is too many.
        offset: usize,
        /// How many.
        octets: usize,
    },
    /// The contents are not a value of their type.
    #[error("at {offset}: not a valid {expected}")]
    Value {
        /// Of the contents.
        offset: usize,
        /// The type.
        expected: &'static str,
    },
}

/// Tags of X.680 §8.4 that certificates, and what revokes them, use.
pub mod tag {
    /// BOOLEAN.
    pub const BOOLEAN: u8 = 0x01;
    /// INTEGER.
    pub const INTEGER: u8 = 0x02;
    /// BIT STRING.
    pub const BIT_STRING: u8 = 0x03;
    /// OCTET STRING.
    pub const OCTET_STRING: u8 = 0x04;
    /// OBJECT IDENTIFIER.
    pub const OID: u8 = 0x06;
    /// ENUMERATED.
    pub const ENUMERATED: u8 = 0x0a;
    /// UTF8String.
    pub const UTF8_STRING: u8 = 0x0c;
    /// PrintableString.
    pub const PRINTABLE_STRING: u8 = 0x13;
    /// TeletexString.
    pub const TELETEX_STRING: u8 = 0x14;
    /// IA5String.
    pub const IA5_STRING: u8 = 0x16;
    /// UTCTime.
    pub const UTC_TIME: u8 = 0x17;
    /// GeneralizedTime.
    pub const GENERALIZED_TIME: u8 = 0x18;
    /// BMPString.
    pub const BMP_STRING: u8 = 0x1e;
    /// SEQUENCE and SEQUENCE OF.
    pub const SEQUENCE: u8 = 0x30;
    /// SET and SET OF.
    pub const SET: u8 = 0x31;

    /// `[number]` around or instead of a primitive type.
    #[must_use]
    pub const fn context(number: u8) -> u8 {
        0x80 | number
    }

    /// `[number]` around or instead of a constructed type.
    #[must_use]
    pub const fn context_constructed(number: u8) -> u8 {
        0xa0 | number
    }
}

/// One element.
#[derive(Debug, Clone, Copy)]
pub struct Element<'a> {
    /// The octet before the length.
    pub tag: u8,
    /// Header and contents.
    pub raw: &'a [u8],
    /// Without the header.
    pub contents: &'a [u8],
    /// Of the contents.
    pub offset: usize,
}

impl<'a> Element<'a> {
    /// Reads the contents as elements.
    #[must_use]
    pub fn open(&self) -> Reader<'a> {
        Reader::at(self.contents, self.offset)
    }

    /// That the contents are no value of this type.
    #[must_use]
    pub fn invalid(&self, expected: &'static str) -> DerError {
        DerError::Value {
            offset: self.offset,
            expected,
        }
    }

    /// IA5String that is text.
    ///
    /// # Errors
    /// If that is not what stands there.
    pub fn text(&self) -> Result<&'a str, DerError> {
        let text = core::str::from_utf8(self.contents).ok();
        text.filter(|text| text.is_ascii())
            .ok_or(self.invalid("IA5String"))
    }
}

/// A row of elements, read from front to back.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
    base: usize,
}

impl<'a> Reader<'a> {
    /// Of a whole.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self::at(bytes, 0)
    }

    /// Of bytes that lie at `base` of the whole.
    #[must_use]
    pub fn at(bytes: &'a [u8], base: usize) -> Self {
        Self {
            bytes,
            position: 0,
            base,
        }
    }

    fn offset(&self) -> usize {
        self.base + self.position
    }

    fn left(&self) -> &'a [u8] {
        self.bytes.get(self.position..).unwrap_or_default()
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.left().is_empty()
    }

    /// Octets that have been read.
    #[must_use]
    pub fn passed(&self) -> &'a [u8] {
        self.bytes.get(..self.position).unwrap_or_default()
    }

    /// Octets that have been read since `earlier`, a copy of this reader.
    #[must_use]
    pub fn passed_since(&self, earlier: &Self) -> &'a [u8] {
        self.bytes
            .get(earlier.position..self.position)
            .unwrap_or_default()
    }

    /// Refuses what is left.
    ///
    /// # Errors
    /// If that is not what stands there.
    pub fn end(&self) -> Result<(), DerError> {
        match self.left().len() {
            0 => Ok(()),
            octets => Err(DerError::Trailing {
                offset: self.offset(),
                octets,
            }),
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], DerError> {
        let left = self.left();
        let Some(bytes) = left.get(..count) else {
            return Err(DerError::Truncated {
                offset: self.offset(),
                needed: count,
                left: left.len(),
            });
        };
        self.position += count;
        Ok(bytes)
    }

    fn octet(&mut self) -> Result<u8, DerError> {
        let octets = self.take(1)?;
        Ok(octets.first().copied().unwrap_or_default())
    }

    /// X.690 §8.1.3, §10.1.
    fn length(&mut self) -> Result<usize, DerError> {
        let offset = self.offset();
        let first = self.octet()?;
        if first < 0x80 {
            return Ok(usize::from(first));
        }
        let octets = match first {
            0x81..=0x83 => self.take(usize::from(first & 0x7f))?,
            _ => return Err(DerError::Length { offset, first }),
        };
        let length = octets
            .iter()
            .fold(0, |length, octet| length << 8 | usize::from(*octet));
        let is_shortest = length >= 0x80 && octets.first() != Some(&0);
        is_shortest
            .then_some(length)
            .ok_or(DerError::Length { offset, first })
    }

    /// Tag of the next element.
    #[must_use]
    pub fn peek(&self) -> Option<u8> {
        self.left().first().copied()
    }

    /// The next element, whatever it is.
    ///
    /// # Errors
    /// If that is not what stands there.
    pub fn any(&mut self) -> Result<Element<'a>, DerError> {
        let start = *self;
        let tag = self.octet()?;
        if tag & 0x1f == 0x1f {
            return Err(DerError::Value {
                offset: start.offset(),
                expected: "tag of one octet",
            });
        }
        let length = self.length()?;
        let offset = self.offset();
        let contents = self.take(length)?;
        Ok(Element {
            tag,
            raw: self.passed_since(&start),
            contents,
            offset,
        })
    }

    /// The next element, which must have this tag.
    ///
    /// # Errors
    /// If that is not what stands there.
    pub fn element(&mut self, expected: u8) -> Result<Element<'a>, DerError> {
        let offset = self.offset();
        match self.peek() {
            Some(found) if found != expected => Err(DerError::Tag {
                offset,
                expected,
                found,
            }),
            _ => self.any(),
        }
    }

    /// The next element if it has this tag.
    ///
    /// # Errors
    /// If that is not what stands there.
    pub fn optional(&mut self, expected: u8) -> Result<Option<Element<'a>>, DerError> {
        if self.peek() == Some(expected) {
            return self.any().map(Some);
        }
        Ok(None)
    }

    /// The next element, which is opened and ends the row if `expected` is all that may stand here.
    ///
    /// # Errors
    /// If that is not what stands there.
    pub fn only(mut self, expected: u8) -> Result<Element<'a>, DerError> {
        let element = self.element(expected)?;
        self.end()?;
        Ok(element)
    }

    /// Opens the SEQUENCE that comes next.
    ///
    /// # Errors
    /// If that is not what stands there.
    pub fn sequence(&mut self) -> Result<Self, DerError> {
        self.element(tag::SEQUENCE).map(|element| element.open())
    }

    /// `DEFAULT FALSE`. FALSE that is written nevertheless is no DER, but is seen in certificates that logs take.
    ///
    /// # Errors
    /// If that is not what stands there.
    pub fn boolean_or_false(&mut self) -> Result<bool, DerError> {
        let Some(element) = self.optional(tag::BOOLEAN)? else {
            return Ok(false);
        };
        match element.contents {
            [0] => Ok(false),
            [0xff] => Ok(true),
            _ => Err(element.invalid("BOOLEAN")),
        }
    }

    /// Contents of an INTEGER in its shortest form.
    ///
    /// # Errors
    /// If that is not what stands there.
    pub fn integer(&mut self) -> Result<Element<'a>, DerError> {
        let element = self.element(tag::INTEGER)?;
        let is_shortest = match element.contents {
            [] => false,
            [0, next, ..] => *next >= 0x80,
            [0xff, next, ..] => *next < 0x80,
            [..] => true,
        };
        is_shortest
            .then_some(element)
            .ok_or(element.invalid("INTEGER"))
    }

    /// An INTEGER from 0 to 2^32 - 1.
    ///
    /// # Errors
    /// If that is not what stands there.
    pub fn small_integer(&mut self) -> Result<u32, DerError> {
        let element = self.integer()?;
        let is_negative = element.contents.first().is_some_and(|first| *first >= 0x80);
        let value = element.contents.iter().try_fold(0_u32, |value, octet| {
            Some(value.checked_mul(256)? | u32::from(*octet))
        });
        value
            .filter(|_| !is_negative)
            .ok_or(element.invalid("INTEGER below 2^32"))
    }

    /// Octets of a BIT STRING that has whole octets: keys and signatures.
    ///
    /// # Errors
    /// If that is not what stands there.
    pub fn whole_octets(&mut self) -> Result<&'a [u8], DerError> {
        let element = self.element(tag::BIT_STRING)?;
        match element.contents {
            [0, octets @ ..] => Ok(octets),
            _ => Err(element.invalid("BIT STRING of whole octets")),
        }
    }
}

/// Appends a tag and the length of contents that follow.
///
/// # Panics
/// With contents of 2^32 octets or more: nothing that was read here is near it.
pub fn write_header(tag: u8, length: usize, out: &mut Vec<u8>) {
    out.push(tag);
    if let Ok(short @ ..0x80) = u8::try_from(length) {
        out.push(short);
        return;
    }
    let octets = u32::try_from(length)
        .expect("contents are below 2^32 octets")
        .to_be_bytes();
    let zeros = octets.iter().take_while(|octet| **octet == 0).count();
    let significant = octets.get(zeros..).unwrap_or_default();
    out.push(match significant.len() {
        1 => 0x81,
        2 => 0x82,
        3 => 0x83,
        _ => 0x84,
    });
    out.extend_from_slice(significant);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(bytes: &[u8]) -> Result<Element<'_>, DerError> {
        let mut reader = Reader::new(bytes);
        let element = reader.any()?;
        reader.end()?;
        Ok(element)
    }

    #[test]
    fn lengths_that_are_not_the_shortest_definite_form_are_refused() {
        for header in [
            &[0x30, 0x80][..],
            &[0x30, 0x81, 0x7f],
            &[0x30, 0x82, 0x00, 0xff],
            &[0x30, 0x84, 0x01, 0x00, 0x00, 0x00],
            &[0x30, 0xff],
        ] {
            let mut bytes = header.to_vec();
            bytes.resize(70_000, 0);
            let result = Reader::new(&bytes).any();
            assert!(
                matches!(result, Err(DerError::Length { offset: 1, .. })),
                "{header:x?}: {result:?}"
            );
        }
    }

    #[test]
    fn element_that_reaches_past_its_end_says_where_and_by_how_much() {
        let error = Reader::new(&[0x30, 0x05, 0x02, 0x01]).any().unwrap_err();
        let expected = DerError::Truncated {
            offset: 2,
            needed: 5,
            left: 2,
        };
        assert_eq!(error, expected);
        let nested = Reader::new(&[0x30, 0x03, 0x02, 0x02, 0x01])
            .sequence()
            .unwrap()
            .integer()
            .unwrap_err();
        assert!(
            matches!(nested, DerError::Truncated { offset: 4, .. }),
            "{nested}"
        );
    }

    #[test]
    fn other_tag_trailing_octets_and_tags_of_many_octets_are_told_apart() {
        let tag = Reader::new(&[0x31, 0x00]).sequence().unwrap_err();
        let expected = DerError::Tag {
            offset: 0,
            expected: 0x30,
            found: 0x31,
        };
        assert_eq!(tag, expected);
        let trailing = DerError::Trailing {
            offset: 2,
            octets: 1,
        };
        assert_eq!(whole(&[0x05, 0x00, 0x00]).unwrap_err(), trailing);
        let long = whole(&[0x1f, 0x81, 0x01, 0x00]).unwrap_err();
        assert!(matches!(long, DerError::Value { offset: 0, .. }), "{long}");
    }

    #[test]
    fn integers_must_be_short_and_small_ones_in_range() {
        for (contents, small) in [
            (&[0][..], Some(0)),
            (&[0x7f], Some(127)),
            (&[0, 0x80], Some(128)),
            (&[0, 0xff, 0xff, 0xff, 0xff], Some(u32::MAX)),
            (&[1, 0, 0, 0, 0], None),
            (&[0x80], None),
            (&[], None),
            (&[0, 1], None),
            (&[0xff, 0x80], None),
        ] {
            let mut bytes = Vec::new();
            write_header(tag::INTEGER, contents.len(), &mut bytes);
            bytes.extend_from_slice(contents);
            assert_eq!(
                Reader::new(&bytes).small_integer().ok(),
                small,
                "{contents:x?}"
            );
        }
    }

    proptest! {
        #[test]
        fn header_that_was_written_is_read_again(length in 0_usize..200_000) {
            let mut bytes = Vec::new();
            write_header(tag::OCTET_STRING, length, &mut bytes);
            bytes.resize(bytes.len() + length, 7);
            prop_assert_eq!(whole(&bytes).unwrap().contents.len(), length);
            prop_assert_eq!(whole(&bytes).unwrap().raw, &bytes[..]);
        }
    }

    #[test]
    fn any_bytes_are_refused_or_have_one_form() {
        bolero::check!().for_each(|bytes: &[u8]| {
            let Ok(element) = whole(bytes) else { return };
            let mut again = Vec::new();
            write_header(element.tag, element.contents.len(), &mut again);
            again.extend_from_slice(element.contents);
            assert_eq!(again, bytes);
        });
    }
}
