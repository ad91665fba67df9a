//! Lays sets out as they go into messages, while a zone is built.

use super::build::Builder;
use super::check_set::Group;
use super::data::{RECORD_HEADER_BYTES, Rrset, Shape, Span};
use super::error::{Problem, ZoneError, show};
use super::tree::APEX;
use super::types::{CLASS_IN, rtype, type_to_text};

/// Most bytes that one set with its signatures may take: a message of 65535 bytes also holds header, question and OPT.
pub(super) const RRSET_BYTES_MAX: usize = 65_200;

impl<'r> Builder<'r> {
    pub(super) fn encode_group(
        &mut self,
        owner: &[u8],
        group: &Group<'r>,
    ) -> Result<Rrset, ZoneError> {
        let encoded = |list: &[(&[u8], usize)]| -> usize {
            // Two bytes for the owner, which is a pointer in a message.
            list.iter()
                .map(|(data, _)| data.len() + RECORD_HEADER_BYTES + 2)
                .sum()
        };
        let bytes = encoded(&group.records) + encoded(&group.signatures);
        if bytes > RRSET_BYTES_MAX {
            let (owner, rtype) = (show(owner), type_to_text(group.rtype));
            let problem = Problem::RrsetBytes {
                owner,
                rtype,
                bytes,
                max: RRSET_BYTES_MAX,
            };
            return Err(self.error_at(group.first_index(), problem));
        }
        let records = self.encode_records(group.rtype, group.ttl, &group.records)?;
        let signatures = self.encode_records(rtype::RRSIG, group.ttl, &group.signatures)?;
        Ok(Rrset {
            rtype: group.rtype,
            shape: Shape::of(group.rtype),
            // At most 65200 bytes at 12 a record.
            records_count: u16::try_from(group.records.len()).unwrap_or(u16::MAX),
            signatures_count: u16::try_from(group.signatures.len()).unwrap_or(u16::MAX),
            ttl: group.ttl,
            records,
            signatures,
        })
    }

    fn encode_records(
        &mut self,
        rtype: u16,
        ttl: u32,
        list: &[(&[u8], usize)],
    ) -> Result<Span, ZoneError> {
        let start = self.bytes.len();
        for (data, _) in list {
            let data_bytes = u16::try_from(data.len()).unwrap_or(u16::MAX);
            self.bytes.extend_from_slice(&rtype.to_be_bytes());
            self.bytes.extend_from_slice(&CLASS_IN.to_be_bytes());
            self.bytes.extend_from_slice(&ttl.to_be_bytes());
            self.bytes.extend_from_slice(&data_bytes.to_be_bytes());
            self.bytes.extend_from_slice(data);
        }
        self.span_from(start)
    }

    pub(super) fn span_from(&self, start: usize) -> Result<Span, ZoneError> {
        match (u32::try_from(start), u32::try_from(self.bytes.len())) {
            (Ok(start), Ok(end)) => Ok(Span {
                start,
                bytes: end - start,
            }),
            _ => Err(self.whole_error(Problem::ZoneBytes)),
        }
    }

    /// The SOA set again with TTL = min(TTL, MINIMUM) for negative answers (RFC 2308 §3), and the serial.
    pub(super) fn encode_negative_soa(&mut self) -> Result<(Rrset, u32), ZoneError> {
        let apex = self.nodes[APEX as usize];
        let sets =
            apex.rrsets_start as usize..apex.rrsets_start as usize + usize::from(apex.rrsets_count);
        let soa = self.rrsets[sets]
            .iter()
            .find(|rrset| rrset.rtype == rtype::SOA)
            .copied();
        let mut soa = soa.ok_or_else(|| {
            self.whole_error(Problem::SoaMissing {
                apex: show(self.apex),
            })
        })?;
        let record = soa.records.start as usize..(soa.records.start + soa.records.bytes) as usize;
        let data = self.bytes.get(record).unwrap_or(&[]);
        // SERIAL, REFRESH, RETRY, EXPIRE and MINIMUM are the last 20 bytes (RFC 1035 §3.3.13).
        let numbers = data.last_chunk::<20>().copied().unwrap_or([0; 20]);
        let (numbers, _) = numbers.as_chunks::<4>();
        let number = |index: usize| {
            numbers
                .get(index)
                .map_or(0, |bytes| u32::from_be_bytes(*bytes))
        };
        let (serial, minimum) = (number(0), number(4));
        soa.ttl = soa.ttl.min(minimum);
        soa.records = self.copy_with_ttl(soa.records, soa.ttl)?;
        soa.signatures = self.copy_with_ttl(soa.signatures, soa.ttl)?;
        Ok((soa, serial))
    }

    fn copy_with_ttl(&mut self, span: Span, ttl: u32) -> Result<Span, ZoneError> {
        let start = self.bytes.len();
        let source = span.start as usize..(span.start + span.bytes) as usize;
        self.bytes.extend_from_within(source);
        let mut rest = &mut self.bytes[start..];
        while let Some(header) = rest.first_chunk_mut::<RECORD_HEADER_BYTES>() {
            header[4..8].copy_from_slice(&ttl.to_be_bytes());
            let bytes =
                RECORD_HEADER_BYTES + usize::from(u16::from_be_bytes([header[8], header[9]]));
            rest = rest
                .split_at_mut_checked(bytes)
                .map_or(&mut [], |(_, rest)| rest);
        }
        self.span_from(start)
    }
}
