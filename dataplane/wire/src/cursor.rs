//! A reader over a DNS message that cannot leave it. Start at [`Cursor::new`].

use crate::{HEADER_BYTES, QNAME_BYTES_MAX};

/// Bytes ran out, or a name was malformed, at `offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CursorError {
    Truncated { offset: usize },
    Name { offset: usize },
}

/// Position in a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    message: &'a [u8],
    offset: usize,
}

impl<'a> Cursor<'a> {
    #[inline]
    pub(crate) fn new(message: &'a [u8], offset: usize) -> Self {
        Self { message, offset }
    }

    #[inline]
    pub(crate) fn offset(&self) -> usize {
        self.offset
    }

    #[inline]
    pub(crate) fn is_at_end(&self) -> bool {
        self.offset >= self.message.len()
    }

    /// The next `N` bytes, passed over.
    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], CursorError> {
        let rest = self.message.get(self.offset..).unwrap_or_default();
        let Some(bytes) = rest.first_chunk::<N>() else {
            return Err(CursorError::Truncated {
                offset: self.offset,
            });
        };
        self.offset += N;
        Ok(*bytes)
    }

    #[inline]
    pub(crate) fn u16(&mut self) -> Result<u16, CursorError> {
        self.array().map(u16::from_be_bytes)
    }

    /// The next `count` bytes, passed over.
    #[inline]
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], CursorError> {
        let rest = self.message.get(self.offset..).unwrap_or_default();
        let Some(bytes) = rest.get(..count) else {
            return Err(CursorError::Truncated {
                offset: self.offset,
            });
        };
        self.offset += count;
        Ok(bytes)
    }

    /// Passes over one name (RFC 1035 §4.1.4) and says whether it is the root, written out.
    /// Pointers are not followed, but must point backwards to after the header.
    #[inline]
    pub(crate) fn skip_name(&mut self) -> Result<bool, CursorError> {
        let start = self.offset;
        loop {
            let [length] = self.array()?;
            match length {
                0 => return Ok(self.offset == start + 1),
                1..=63 => {
                    self.take(usize::from(length))?;
                    if self.offset - start >= QNAME_BYTES_MAX {
                        return Err(CursorError::Name { offset: start });
                    }
                }
                0xc0.. => {
                    let [low] = self.array()?;
                    let target = usize::from(u16::from_be_bytes([length & 0x3f, low]));
                    if target < HEADER_BYTES || target >= start {
                        return Err(CursorError::Name { offset: start });
                    }
                    return Ok(false);
                }
                _ => return Err(CursorError::Name { offset: start }),
            }
        }
    }

    /// Passes over one resource record (RFC 1035 §4.1.3).
    #[inline]
    pub(crate) fn record(&mut self) -> Result<Record<'a>, CursorError> {
        let is_root = self.skip_name()?;
        let ttl_offset = self.offset + 4;
        // The fixed fields as one array: a single check of the length.
        let [t1, t0, c1, c0, a3, a2, a1, a0, l1, l0] = self.array()?;
        let rdata_offset = self.offset;
        let rdata = self.take(usize::from(u16::from_be_bytes([l1, l0])))?;
        Ok(Record {
            is_root,
            rtype: u16::from_be_bytes([t1, t0]),
            class: u16::from_be_bytes([c1, c0]),
            ttl_offset,
            ttl: u32::from_be_bytes([a3, a2, a1, a0]),
            rdata_offset,
            rdata,
        })
    }
}

/// One resource record; offsets count from the start of the message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    pub(crate) is_root: bool,
    pub(crate) rtype: u16,
    pub(crate) class: u16,
    pub(crate) ttl_offset: usize,
    pub(crate) ttl: u32,
    pub(crate) rdata_offset: usize,
    pub(crate) rdata: &'a [u8],
}

/// The options of an OPT record (RFC 6891 §6.1.2), each as code, offset of its data inside the
/// RDATA, and data. Ends with an error if one does not fit.
#[derive(Clone, Debug)]
pub(crate) struct Options<'a> {
    cursor: Cursor<'a>,
}

impl<'a> Options<'a> {
    pub(crate) fn new(rdata: &'a [u8]) -> Self {
        Self {
            cursor: Cursor::new(rdata, 0),
        }
    }

    fn option(&mut self) -> Result<(u16, usize, &'a [u8]), CursorError> {
        let code = self.cursor.u16()?;
        let data_bytes = self.cursor.u16()?;
        let offset = self.cursor.offset();
        let data = self.cursor.take(usize::from(data_bytes))?;
        Ok((code, offset, data))
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = Result<(u16, usize, &'a [u8]), CursorError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.cursor.is_at_end() {
            return None;
        }
        let option = self.option();
        if option.is_err() {
            self.cursor = Cursor::new(&[], 0);
        }
        Some(option)
    }
}
