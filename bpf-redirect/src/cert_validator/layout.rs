//! What `cert_validator` and its reader exchange, byte for byte as `src/bpf/cert_validator.h` has it.
//!
//! Records come from the kernel, but what they carry was chosen by programs that are watched and by
//! servers: everything is checked, and a wrong record is a [`RecordError`].

use std::mem::{offset_of, size_of};

/// Bytes of a certificate or of a TCP segment in one record.
pub const PIECE_BYTES: usize = 4096;
/// Longest certificate that is reported, in bytes.
pub const CERTIFICATE_BYTES_MAX: usize = 4 * PIECE_BYTES;
/// Longest part of a connection's beginning that is read off the wire, in bytes.
pub const STREAM_BYTES_MAX: usize = 32 << 10;
/// How many verdicts `cert_status_map` holds; the least used one makes way for a new one.
pub const STATUSES_MAX: u32 = 65536;
/// Names for which a certificate is known to be valid.
pub const HOSTS: usize = 4;

const FLAG_LAST: u8 = 1;
const FLAG_KNOWN: u8 = 2;
const FLAG_HELD: u8 = 4;
const FLAG_BEGINS: u8 = 8;
const KIND_CERTIFICATE: u32 = 1;
const KIND_SEGMENT: u32 = 2;

/// SHA-256 of a certificate.
pub type Fingerprint = [u8; 32];

/// A value of `cert_status_map`; `struct cert_status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct CertStatus {
    /// [`Status`] as a number.
    pub status: u8,
    /// Why it is invalid; user space gives it a meaning.
    pub reason: u8,
    /// Zero.
    pub unused: [u8; 6],
    /// Until when it holds, in seconds since 1970.
    pub good_until_unix_secs: u64,
    /// When it was found, in seconds since 1970.
    pub checked_at_unix_secs: u64,
    /// Until when it holds, in nanoseconds of CLOCK_BOOTTIME: what the program goes by.
    pub good_until_boot_ns: u64,
    /// [`host_hash`] of the names that a valid certificate was judged for; 0 is none.
    pub hosts: [u64; HOSTS],
}

/// What is thought of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// It may be used.
    Valid = 1,
    /// It may not.
    Invalid = 2,
    /// It could not be found out. The program takes that for no verdict.
    Unknown = 3,
}

/// Who a process is in a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// It never said so.
    Unknown,
    /// The client: the certificate is a server's.
    Client,
    /// The server: the certificate is a client's.
    Server,
}

/// The fixed part of a record; `struct record` without `data`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Head {
    kind: u32,
    data_bytes: u32,
    cookie: u64,
    seen_ns: u64,
    message: u64,
    ssl: u64,
    cgroup_id: u64,
    pid: u32,
    tid: u32,
    sequence: u32,
    offset: u32,
    total_bytes: u32,
    direction: u8,
    flags: u8,
    status: u8,
    reason: u8,
    fingerprint: Fingerprint,
    comm: [u8; 16],
    host: [u8; 256],
}

/// Bytes in front of `data`; `RECORD_HEAD_BYTES`.
pub(super) const HEAD_BYTES: usize = size_of::<Head>();

const _: () = assert!(size_of::<CertStatus>() == 64);
const _: () = assert!(HEAD_BYTES == 376);

/// A record of the ring buffer.
#[derive(Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// A piece of a certificate that a program parsed, or word of one whose verdict is known.
    Certificate(CertificatePiece<'a>),
    /// A piece of a TCP segment.
    Segment(SegmentPiece<'a>),
}

/// A piece of a peer's certificate, and who parsed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificatePiece<'a> {
    /// Of the socket; `None` if it is not known.
    pub cookie: Option<u64>,
    /// When, in nanoseconds of CLOCK_MONOTONIC.
    pub seen_ns: u64,
    /// With `pid` and `ssl` the same for all certificates of one message.
    pub message: u64,
    /// Where the process keeps its connection.
    pub ssl: u64,
    /// Of the thread.
    pub cgroup_id: u64,
    /// Of the process.
    pub pid: u32,
    /// Of the thread.
    pub tid: u32,
    /// Place in the chain, the leaf being 0.
    pub index: u32,
    /// Of `data` in the certificate.
    pub offset: usize,
    /// Of the certificate.
    pub total_bytes: usize,
    /// Who the process is.
    pub direction: Direction,
    /// No further certificate follows in this message.
    pub is_last: bool,
    /// The flow is held until its verdict or the bound.
    pub is_held: bool,
    /// Of a leaf whose verdict was known, with its reason: then there is no data.
    pub known: Option<(Status, u8)>,
    /// Of a leaf.
    pub fingerprint: Fingerprint,
    /// Name of the thread.
    pub comm: String,
    /// The name that the client asks for, as it gave it.
    pub host: Option<String>,
    /// Part of the DER.
    pub data: &'a [u8],
}

/// A piece of what came over TCP to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentPiece<'a> {
    /// Of the socket.
    pub cookie: u64,
    /// When, in nanoseconds of CLOCK_MONOTONIC.
    pub seen_ns: u64,
    /// TCP's sequence number of the first byte.
    pub sequence: u32,
    /// A stream begins with it; what has come before on this socket belongs to another.
    pub begins: bool,
    /// Part of the payload.
    pub data: &'a [u8],
}

/// Bytes that are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Shorter than its own words say.
    #[error("a record of {bytes} bytes ends too soon")]
    Truncated {
        /// How many there are.
        bytes: usize,
    },
    /// A number that means nothing.
    #[error("a record with {what} {value}")]
    Unknown {
        /// Which.
        what: &'static str,
        /// The number.
        value: u32,
    },
    /// A piece that does not lie in its certificate, or a certificate above the bound.
    #[error("a piece at {offset} of a certificate of {total_bytes} bytes")]
    OutOfBounds {
        /// Where it begins.
        offset: u32,
        /// Bytes of the certificate.
        total_bytes: u32,
    },
}

impl CertStatus {
    /// As the map holds it.
    pub(super) fn to_bytes(self) -> [u8; size_of::<Self>()] {
        let mut bytes = [0; size_of::<Self>()];
        bytes[0] = self.status;
        bytes[1] = self.reason;
        let words = [
            self.good_until_unix_secs,
            self.checked_at_unix_secs,
            self.good_until_boot_ns,
        ];
        let words = words.into_iter().chain(self.hosts);
        for (place, word) in bytes[8..].chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }

    /// Out of the map's bytes; `None` if they are too few.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let word = |index: usize| {
            let bytes = bytes.get(8 * index..)?.first_chunk()?;
            Some(u64::from_ne_bytes(*bytes))
        };
        Some(Self {
            status: *bytes.first()?,
            reason: *bytes.get(1)?,
            unused: [0; 6],
            good_until_unix_secs: word(1)?,
            checked_at_unix_secs: word(2)?,
            good_until_boot_ns: word(3)?,
            hosts: [word(4)?, word(5)?, word(6)?, word(7)?],
        })
    }
}

impl Status {
    /// Out of its number.
    pub fn from_number(number: u8) -> Option<Self> {
        let all = [Self::Valid, Self::Invalid, Self::Unknown];
        all.into_iter().find(|status| *status as u8 == number)
    }
}

/// The first eight bytes of the SHA-256 of a name, as the program compares names by.
pub fn host_hash(digest: &[u8; 32]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *digest;
    u64::from_ne_bytes([a, b, c, d, e, f, g, h])
}

/// Words and bytes of a head, by their place in `struct record`.
struct Fields<'a>(&'a [u8; HEAD_BYTES]);

impl Fields<'_> {
    fn bytes<const COUNT: usize>(&self, at: usize) -> [u8; COUNT] {
        let bytes = self.0.get(at..).and_then(<[u8]>::first_chunk);
        bytes.copied().unwrap_or([0; COUNT])
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_ne_bytes(self.bytes(at))
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_ne_bytes(self.bytes(at))
    }

    fn byte(&self, at: usize) -> u8 {
        let [byte] = self.bytes(at);
        byte
    }

    /// Bytes before the first NUL.
    fn text<const COUNT: usize>(&self, at: usize) -> String {
        let bytes: [u8; COUNT] = self.bytes(at);
        let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(text).into_owned()
    }
}

impl<'a> Record<'a> {
    /// Reads what the ring buffer holds. There may be bytes behind the data.
    pub fn parse(record: &'a [u8]) -> Result<Self, RecordError> {
        let truncated = RecordError::Truncated {
            bytes: record.len(),
        };
        let (head, rest) = record.split_first_chunk().ok_or(truncated)?;
        let fields = Fields(head);
        let data_bytes = fields.u32(offset_of!(Head, data_bytes)) as usize;
        let data = rest.get(..data_bytes).ok_or(truncated)?;
        match fields.u32(offset_of!(Head, kind)) {
            KIND_CERTIFICATE => CertificatePiece::parse(&fields, data).map(Self::Certificate),
            KIND_SEGMENT => Ok(Self::Segment(SegmentPiece {
                cookie: fields.u64(offset_of!(Head, cookie)),
                seen_ns: fields.u64(offset_of!(Head, seen_ns)),
                sequence: fields.u32(offset_of!(Head, sequence)),
                begins: fields.byte(offset_of!(Head, flags)) & FLAG_BEGINS != 0,
                data,
            })),
            value => Err(RecordError::Unknown {
                what: "kind",
                value,
            }),
        }
    }
}

impl<'a> CertificatePiece<'a> {
    fn parse(fields: &Fields<'_>, data: &'a [u8]) -> Result<Self, RecordError> {
        let flags = fields.byte(offset_of!(Head, flags));
        let (offset, total_bytes) = (
            fields.u32(offset_of!(Head, offset)),
            fields.u32(offset_of!(Head, total_bytes)),
        );
        let known = if flags & FLAG_KNOWN == 0 {
            let end = (offset as usize).saturating_add(data.len());
            let fits = end <= total_bytes as usize && total_bytes as usize <= CERTIFICATE_BYTES_MAX;
            if !fits || data.is_empty() {
                return Err(RecordError::OutOfBounds {
                    offset,
                    total_bytes,
                });
            }
            None
        } else {
            let number = fields.byte(offset_of!(Head, status));
            let status = Status::from_number(number).ok_or(RecordError::Unknown {
                what: "status",
                value: number.into(),
            })?;
            Some((status, fields.byte(offset_of!(Head, reason))))
        };
        let host = fields.text::<256>(offset_of!(Head, host));
        Ok(Self {
            cookie: Some(fields.u64(offset_of!(Head, cookie))).filter(|cookie| *cookie != 0),
            seen_ns: fields.u64(offset_of!(Head, seen_ns)),
            message: fields.u64(offset_of!(Head, message)),
            ssl: fields.u64(offset_of!(Head, ssl)),
            cgroup_id: fields.u64(offset_of!(Head, cgroup_id)),
            pid: fields.u32(offset_of!(Head, pid)),
            tid: fields.u32(offset_of!(Head, tid)),
            index: fields.u32(offset_of!(Head, sequence)),
            offset: offset as usize,
            total_bytes: total_bytes as usize,
            direction: match fields.byte(offset_of!(Head, direction)) {
                1 => Direction::Client,
                2 => Direction::Server,
                _ => Direction::Unknown,
            },
            is_last: flags & FLAG_LAST != 0,
            is_held: flags & FLAG_HELD != 0,
            known,
            fingerprint: fields.bytes(offset_of!(Head, fingerprint)),
            comm: fields.text::<16>(offset_of!(Head, comm)),
            host: Some(host).filter(|host| !host.is_empty()),
            data,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_survives_the_way_through_the_map_and_a_short_value_is_none() {
        let status = CertStatus {
            status: Status::Invalid as u8,
            reason: 7,
            unused: [0; 6],
            good_until_unix_secs: 1,
            checked_at_unix_secs: 2,
            good_until_boot_ns: 3,
            hosts: [4, 5, 6, u64::MAX],
        };
        let bytes = status.to_bytes();
        assert_eq!(CertStatus::from_bytes(&bytes), Some(status));
        for length in 0..bytes.len() {
            assert_eq!(CertStatus::from_bytes(&bytes[..length]), None);
        }
    }

    #[test]
    fn any_bytes_are_a_record_within_its_bounds_or_an_error() {
        bolero::check!()
            .with_type::<Vec<u8>>()
            .for_each(|bytes| match Record::parse(bytes) {
                Ok(Record::Certificate(piece)) => {
                    let end = piece.offset + piece.data.len();
                    assert!(piece.known.is_some() || end <= CERTIFICATE_BYTES_MAX);
                }
                Ok(Record::Segment(piece)) => assert!(piece.data.len() <= bytes.len()),
                Err(error) => assert!(!error.to_string().is_empty()),
            });
    }

    #[test]
    fn piece_behind_the_end_of_its_certificate_is_out_of_bounds() {
        let record = |offset: u32, total_bytes: u32, data_bytes: u32| {
            let mut record = vec![0; HEAD_BYTES + PIECE_BYTES];
            record[..4].copy_from_slice(&KIND_CERTIFICATE.to_ne_bytes());
            record[4..8].copy_from_slice(&data_bytes.to_ne_bytes());
            let at = offset_of!(Head, offset);
            record[at..at + 4].copy_from_slice(&offset.to_ne_bytes());
            record[at + 4..at + 8].copy_from_slice(&total_bytes.to_ne_bytes());
            Record::parse(&record).map(|_| ())
        };
        assert_eq!(record(0, 100, 100), Ok(()));
        for (offset, total_bytes, data_bytes) in [
            (1, 100, 100),
            (u32::MAX, 100, 1),
            (0, u32::MAX, 1),
            (0, 9, 0),
        ] {
            let expected = RecordError::OutOfBounds {
                offset,
                total_bytes,
            };
            assert_eq!(record(offset, total_bytes, data_bytes), Err(expected));
        }
        let short = record(0, 9000, 5000);
        assert!(matches!(short, Err(RecordError::Truncated { .. })));
    }
}
