//! Type bit maps of NSEC and NSEC3 (RFC 4034 §4.1.2).

use hickory_proto::rr::RecordType;

/// Which types exist at a name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bitmap<'a>(&'a [u8]);

impl<'a> Bitmap<'a> {
    /// The rest of the RDATA; what is malformed there reads as absent types.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether the type is there.
    pub(super) fn has(self, rtype: RecordType) -> bool {
        let [window, low] = u16::from(rtype).to_be_bytes();
        let mut rest = self.0;
        while let [number, length, tail @ ..] = rest {
            let Some((block, next)) = tail.split_at_checked(usize::from(*length)) else {
                return false;
            };
            if *number == window {
                let byte = block.get(usize::from(low / 8)).copied().unwrap_or(0);
                return byte & (0x80 >> (low % 8)) != 0;
            }
            rest = next;
        }
        false
    }

    /// A cut that belongs to the parent: what lies at and below it is the child's.
    pub(super) fn is_delegation(self) -> bool {
        self.has(RecordType::NS) && !self.has(RecordType::SOA)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_each_window_are_found_and_no_others() {
        // RFC 4034 §4.3: A, MX, RRSIG, NSEC, TYPE1234.
        let mut bytes = vec![0, 6, 0x40, 0x01, 0, 0, 0, 0x03, 4, 27];
        bytes.extend([0; 26]);
        bytes.push(0x20);
        let bitmap = Bitmap::new(&bytes);
        for rtype in [1, 15, 46, 47, 1234] {
            assert!(bitmap.has(RecordType::from(rtype)), "{rtype}");
        }
        for rtype in [0, 2, 16, 48, 1233, 1235, 65535] {
            assert!(!bitmap.has(RecordType::from(rtype)), "{rtype}");
        }
    }

    #[test]
    fn block_that_is_cut_short_has_no_types() {
        assert!(!Bitmap::new(&[0, 6, 0x40]).has(RecordType::A));
        assert!(!Bitmap::new(&[0]).has(RecordType::A));
    }
}
