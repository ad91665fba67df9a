//! Bytes of messages and records: big-endian numbers, lengths before what they count, every bound checked.
//!
//! One value has one encoding, so that a digest over it means the value.

use alloc::vec::Vec;

/// Why bytes are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// They end too early.
    #[error("cut off: {wanted} bytes wanted at {offset}, {left} are there")]
    Truncated {
        /// Where reading stood.
        offset: usize,
        /// Bytes wanted.
        wanted: usize,
        /// Bytes left.
        left: usize,
    },
    /// Something follows where nothing should.
    #[error("{bytes} bytes too many at {offset}")]
    Trailing {
        /// Where they begin.
        offset: usize,
        /// How many.
        bytes: usize,
    },
    /// A number stands for nothing.
    #[error("{what} {value} at {offset} is not known")]
    Unknown {
        /// What it should be.
        what: &'static str,
        /// The number.
        value: u64,
        /// Where it stands.
        offset: usize,
    },
    /// More of something than allowed.
    #[error("{count} {what}; at most {max} are allowed")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        count: usize,
        /// How many there may be.
        max: usize,
    },
    /// Parts that must be in ascending order without repetition are not.
    #[error("{what} are not in ascending order")]
    Order {
        /// Which parts.
        what: &'static str,
    },
}

/// A value with one byte form.
pub trait Wire: Sized {
    /// Appends the value.
    fn write(&self, out: &mut Writer);

    /// Reads one value and leaves the reader behind it.
    ///
    /// # Errors
    /// The first thing that is not as it should be.
    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// The value alone.
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::default();
        self.write(&mut out);
        out.into_bytes()
    }

    /// Reads a value that the bytes hold alone.
    ///
    /// # Errors
    /// As [`Wire::read`], and if bytes are left.
    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut from = Reader::new(bytes);
        let value = Self::read(&mut from)?;
        from.finish()?;
        Ok(value)
    }
}

/// Collects bytes.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// Two bytes.
    pub fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    /// Four bytes.
    pub fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    /// Eight bytes.
    pub fn u64(&mut self, value: u64) {
        self.bytes(&value.to_be_bytes());
    }

    /// The bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// A length of four bytes, then the bytes.
    ///
    /// # Panics
    /// Longer than 4 GiB: every caller has a bound far below.
    pub fn block(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.bytes(bytes);
    }

    /// A count of four bytes, then each value.
    pub fn list<T: Wire>(&mut self, values: &[T]) {
        self.count(values.len());
        values.iter().for_each(|value| value.write(self));
    }

    /// A byte that says whether there is a value, then the value.
    pub fn option<T: Wire>(&mut self, value: Option<&T>) {
        self.u8(u8::from(value.is_some()));
        value.into_iter().for_each(|value| value.write(self));
    }

    /// Bytes so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// All of them.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn count(&mut self, count: usize) {
        let count = u32::try_from(count);
        assert!(count.is_ok(), "a list or block is bounded far below 4 GiB");
        self.u32(count.unwrap_or(0));
    }
}

/// Reads bytes from front to back.
#[derive(Debug, Clone)]
pub struct Reader<'b> {
    bytes: &'b [u8],
    offset: usize,
}

impl<'b> Reader<'b> {
    /// At the first byte.
    #[must_use]
    pub fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    /// Bytes read so far.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Bytes not yet read.
    #[must_use]
    pub fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.offset)
    }

    /// The next bytes.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn take(&mut self, count: usize) -> Result<&'b [u8], DecodeError> {
        let end = self.offset.checked_add(count);
        let taken = end.and_then(|end| self.bytes.get(self.offset..end));
        let truncated = DecodeError::Truncated {
            offset: self.offset,
            wanted: count,
            left: self.left(),
        };
        let taken = taken.ok_or(truncated)?;
        self.offset += count;
        Ok(taken)
    }

    /// The next bytes, as many as the array holds.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// One byte.
    ///
    /// # Errors
    /// None is left.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    /// Two bytes.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    /// Four bytes.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    /// Eight bytes.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// A count of four bytes that is at most `max`.
    ///
    /// # Errors
    /// It is larger, or cut off.
    pub fn count(&mut self, what: &'static str, max: usize) -> Result<usize, DecodeError> {
        let count = usize::try_from(self.u32()?).unwrap_or(usize::MAX);
        if count > max {
            return Err(DecodeError::TooMany { what, count, max });
        }
        Ok(count)
    }

    /// A length of four bytes, at most `max`, and the bytes.
    ///
    /// # Errors
    /// It is larger, or cut off.
    pub fn block(&mut self, what: &'static str, max: usize) -> Result<&'b [u8], DecodeError> {
        let count = self.count(what, max)?;
        self.take(count)
    }

    /// A count of four bytes, at most `max`, and the values. Memory is taken as values are read, so
    /// that a count alone costs nothing.
    ///
    /// # Errors
    /// The count is larger, or a value is not as it should be.
    pub fn list<T: Wire>(&mut self, what: &'static str, max: usize) -> Result<Vec<T>, DecodeError> {
        let count = self.count(what, max)?;
        let mut values = Vec::new();
        for _ in 0..count {
            values.push(T::read(self)?);
        }
        Ok(values)
    }

    /// A byte that says whether there is a value, then the value.
    ///
    /// # Errors
    /// The byte is neither 0 nor 1, or the value is not as it should be.
    pub fn option<T: Wire>(&mut self) -> Result<Option<T>, DecodeError> {
        Ok(if self.flag()? {
            Some(T::read(self)?)
        } else {
            None
        })
    }

    /// A byte that is 0 or 1.
    ///
    /// # Errors
    /// It is neither.
    pub fn flag(&mut self) -> Result<bool, DecodeError> {
        let offset = self.offset;
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            value => Err(DecodeError::Unknown {
                what: "flag",
                value: value.into(),
                offset,
            }),
        }
    }

    /// Nothing may be left.
    ///
    /// # Errors
    /// Something is.
    pub fn finish(&self) -> Result<(), DecodeError> {
        match self.left() {
            0 => Ok(()),
            bytes => Err(DecodeError::Trailing {
                offset: self.offset,
                bytes,
            }),
        }
    }
}
