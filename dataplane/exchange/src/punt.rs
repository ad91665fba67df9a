//! Punts: what a worker cannot answer, on its way to control.

use core::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::Arc;

use crate::claim::{Claim, Tenure};
use crate::mapped::Mapped;
use crate::ring::{Consumer, Producer, PushError, RingIndices, SLOT_WORDS, SlotError};
use crate::sync::AtomicU64;
use crate::words;

/// Bytes of a reply header template at most.
pub const HEADERS_BYTES_MAX: usize = wire::frame::HEADERS_BYTES_MAX;
/// Bytes of a message in a slot of either ring at most.
pub const MESSAGE_BYTES_MAX: usize = 1904;

/// Words of the fixed fields, of the template, and where the message begins, after the sequence.
const FIELD_WORDS: usize = 7;
pub(crate) const TEMPLATE_WORDS: usize = HEADERS_BYTES_MAX.div_ceil(8);
const MESSAGE_WORD: usize = FIELD_WORDS + TEMPLATE_WORDS;
const FIELD_BYTES: usize = FIELD_WORDS * 8;
const MESSAGE_BYTE: usize = MESSAGE_WORD * 8;
/// Bytes of a slot after its sequence number.
pub(crate) const BODY_BYTES: usize = (SLOT_WORDS - 1) * 8;

const _: () = assert!(MESSAGE_BYTE + MESSAGE_BYTES_MAX <= BODY_BYTES);
const _: () = assert!(MESSAGE_BYTES_MAX >= wire::UDP_PAYLOAD_BYTES_MAX as usize);

/// Flag: the client's and the local address are IPv4.
const FLAG_CLIENT_V4: u8 = 1;
const FLAG_LOCAL_V4: u8 = 2;
/// Where the two bits of ECN lie in the flags.
const ECN_SHIFT: u8 = 2;
const ECN_MASK: u8 = 3;

/// How the message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Transport {
    /// DNS in one UDP datagram.
    Udp = 1,
    /// A copy of a query that the worker has answered from its cache, out of an answer that will soon
    /// expire: control resolves it anew, and answers nothing.
    Refresh = 2,
    /// A copy of a query that the worker answers from its caches, for the query log alone.
    AnsweredQuery = 3,
    /// A copy of the response to the [`Transport::AnsweredQuery`] before it.
    Response = 4,
    /// One UDP datagram for the consensus port, untouched; what it holds is none of the worker's
    /// business.
    Mesh = 5,
}

impl Transport {
    fn parse(kind: u8) -> Option<Self> {
        [
            Self::Udp,
            Self::Refresh,
            Self::AnsweredQuery,
            Self::Response,
            Self::Mesh,
        ]
        .into_iter()
        .find(|transport| *transport as u8 == kind)
    }
}

/// A query on its way to control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Punt<'a> {
    /// How it came.
    pub transport: Transport,
    /// Who asked. An IPv6 scope survives, a flow label does not.
    pub client: SocketAddr,
    /// Which address of ours was asked.
    pub local: SocketAddr,
    /// The two bits of explicit congestion notification that it came with (RFC 3168 §5).
    pub ecn: u8,
    /// When the worker received it, microseconds of CLOCK_MONOTONIC.
    pub received_us: u64,
    /// What the worker needs to send the reply, opaque to control: at most
    /// [`HEADERS_BYTES_MAX`] bytes, returned unchanged with the reply.
    pub headers: &'a [u8],
    /// The message, at most [`MESSAGE_BYTES_MAX`] bytes.
    pub message: &'a [u8],
}

impl<'a> Punt<'a> {
    /// Reads the bytes of a slot after its sequence number. They may hold anything.
    pub fn parse(slot: &'a [u8]) -> Result<Self, SlotError> {
        let fields = Fields::parse(slot)?;
        let transport = Transport::parse(fields.kind).ok_or(SlotError::Kind(fields.kind))?;
        if fields.flags & !(FLAG_CLIENT_V4 | FLAG_LOCAL_V4 | ECN_MASK << ECN_SHIFT) != 0 {
            return Err(SlotError::Kind(fields.flags));
        }
        let Some(fixed) = slot.first_chunk::<FIELD_BYTES>() else {
            return Err(SlotError::Length {
                bytes: FIELD_BYTES,
                bytes_max: slot.len(),
            });
        };
        let scope = u32::from_le_bytes(array(fixed, 52));
        let client_v4 = fields.flags & FLAG_CLIENT_V4 != 0;
        let local_v4 = fields.flags & FLAG_LOCAL_V4 != 0;
        let client = address(array(fixed, 16), client_v4, array(fixed, 48), scope);
        let local = address(array(fixed, 32), local_v4, array(fixed, 50), scope);
        Ok(Self {
            transport,
            client,
            local,
            ecn: fields.flags >> ECN_SHIFT & ECN_MASK,
            received_us: u64::from_le_bytes(array(fixed, 8)),
            headers: slice(slot, FIELD_BYTES, fields.headers_bytes)?,
            message: slice(slot, MESSAGE_BYTE, fields.message_bytes)?,
        })
    }

    fn write(&self, body: &[AtomicU64]) {
        let mut fields = [0; FIELD_BYTES];
        let family = |address: SocketAddr, flag| if address.is_ipv4() { flag } else { 0 };
        let flags = family(self.client, FLAG_CLIENT_V4)
            | family(self.local, FLAG_LOCAL_V4)
            | (self.ecn & ECN_MASK) << ECN_SHIFT;
        let parts = Fields {
            headers_bytes: self.headers.len(),
            message_bytes: self.message.len(),
            kind: self.transport as u8,
            flags,
        };
        fields[..8].copy_from_slice(&parts.encode());
        fields[8..16].copy_from_slice(&self.received_us.to_le_bytes());
        fields[16..32].copy_from_slice(&octets(self.client.ip()));
        fields[32..48].copy_from_slice(&octets(self.local.ip()));
        fields[48..50].copy_from_slice(&self.client.port().to_le_bytes());
        fields[50..52].copy_from_slice(&self.local.port().to_le_bytes());
        fields[52..56].copy_from_slice(&scope(self.client).to_le_bytes());
        words::store(body, &fields);
        words::store(&body[FIELD_WORDS..MESSAGE_WORD], self.headers);
        words::store(&body[MESSAGE_WORD..], self.message);
    }
}

/// The word that both kinds of slot begin with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields {
    pub(crate) headers_bytes: usize,
    pub(crate) message_bytes: usize,
    pub(crate) kind: u8,
    pub(crate) flags: u8,
}

impl Fields {
    pub(crate) fn parse(slot: &[u8]) -> Result<Self, SlotError> {
        let Some(&[h0, h1, m0, m1, kind, flags, _, _]) = slot.first_chunk::<8>() else {
            return Err(SlotError::Length {
                bytes: 8,
                bytes_max: slot.len(),
            });
        };
        let headers_bytes = usize::from(u16::from_le_bytes([h0, h1]));
        let message_bytes = usize::from(u16::from_le_bytes([m0, m1]));
        check_length(headers_bytes, HEADERS_BYTES_MAX)?;
        check_length(message_bytes, MESSAGE_BYTES_MAX)?;
        Ok(Self {
            headers_bytes,
            message_bytes,
            kind,
            flags,
        })
    }

    /// The lengths were checked by [`check_push`] and fit 16 bits.
    pub(crate) fn encode(&self) -> [u8; 8] {
        #[expect(clippy::cast_possible_truncation, reason = "at most MESSAGE_BYTES_MAX")]
        let ([h0, h1], [m0, m1]) = (
            (self.headers_bytes as u16).to_le_bytes(),
            (self.message_bytes as u16).to_le_bytes(),
        );
        [h0, h1, m0, m1, self.kind, self.flags, 0, 0]
    }
}

fn check_length(bytes: usize, bytes_max: usize) -> Result<(), SlotError> {
    if bytes > bytes_max {
        Err(SlotError::Length { bytes, bytes_max })
    } else {
        Ok(())
    }
}

/// Refuses what does not fit a slot.
pub(crate) fn check_push(headers: &[u8], message: &[u8]) -> Result<(), PushError> {
    for (part, bytes_max) in [(headers, HEADERS_BYTES_MAX), (message, MESSAGE_BYTES_MAX)] {
        if part.len() > bytes_max {
            return Err(PushError::TooLong {
                bytes: part.len(),
                bytes_max,
            });
        }
    }
    Ok(())
}

/// Copies a slot's fields, template and message, not what lies behind them, to where the slot's
/// own bytes would be.
pub(crate) fn copy_out(
    body: &[AtomicU64],
    field_words: usize,
    scratch: &mut [u8; BODY_BYTES],
) -> Result<(), SlotError> {
    let template = field_words * 8;
    let message = (field_words + TEMPLATE_WORDS) * 8;
    words::load(body, &mut scratch[..template]);
    // From the private copy: what is checked here is what is used below and by the parser.
    let fields = Fields::parse(scratch)?;
    let headers = &mut scratch[template..template + fields.headers_bytes];
    words::load(&body[field_words..], headers);
    let message = &mut scratch[message..message + fields.message_bytes];
    words::load(&body[field_words + TEMPLATE_WORDS..], message);
    Ok(())
}

/// The worker's end of its punt ring.
#[derive(Debug)]
pub struct PuntProducer {
    ring: Producer<SLOT_WORDS>,
    _claim: Arc<Claim>,
}

impl PuntProducer {
    pub(crate) fn new(
        indices: Mapped<RingIndices>,
        words: Mapped<[AtomicU64]>,
        claim: Arc<Claim>,
    ) -> Self {
        Self {
            ring: Producer::new(indices, words),
            _claim: claim,
        }
    }

    /// Copies one punt into the ring. Control sees it after [`PuntProducer::publish`].
    pub fn push(&mut self, punt: &Punt<'_>) -> Result<(), PushError> {
        check_push(punt.headers, punt.message)?;
        self.ring.stage(|body| punt.write(body))
    }

    /// Makes everything pushed visible, once a batch. True: control sleeps, ring its bell.
    #[must_use = "a sleeping consumer must be kicked"]
    pub fn publish(&mut self) -> bool {
        self.ring.publish()
    }
}

/// Control's end of a worker's punt ring.
#[derive(Debug)]
pub struct PuntConsumer {
    ring: Consumer<SLOT_WORDS>,
    scratch: Box<[u8; BODY_BYTES]>,
    tenure: Tenure,
    _claim: Arc<Claim>,
}

impl PuntConsumer {
    pub(crate) fn new(
        indices: Mapped<RingIndices>,
        words: Mapped<[AtomicU64]>,
        tenure: Tenure,
        claim: Arc<Claim>,
    ) -> Self {
        Self {
            ring: Consumer::new(indices, words, tenure.token()),
            scratch: Box::new([0; BODY_BYTES]),
            tenure,
            _claim: claim,
        }
    }

    /// Takes the oldest punt; None when the ring is empty, or another control's. It is copied out
    /// and counts as consumed on return, so that one that kills control is not delivered again. A
    /// hostile worker can keep the ring full for ever: bound your batch.
    pub fn pop(&mut self) -> Option<Result<Punt<'_>, SlotError>> {
        if !self.tenure.holds() {
            return None;
        }
        let scratch = &mut self.scratch;
        let copied = self.ring.pop(|body| copy_out(body, FIELD_WORDS, scratch))?;
        Some(copied.and_then(|()| Punt::parse(&self.scratch[..])))
    }

    /// Before blocking on the punt bell. True: the ring is empty and the next publication
    /// kicks; block now. False: do not block, pop. Block with a time limit, that of the heartbeat:
    /// a control that was replaced, but has not noticed yet, may take a kick that was for its
    /// successor.
    #[must_use = "blocking when this is false loses a wake-up"]
    pub fn prepare_sleep(&mut self) -> bool {
        !self.tenure.holds() || self.ring.prepare_sleep()
    }

    /// After waking, for whatever reason: no more kicks, please.
    pub fn wake(&mut self) {
        if self.tenure.holds() {
            self.ring.wake();
        }
    }
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

fn scope(address: SocketAddr) -> u32 {
    match address {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(address) => address.scope_id(),
    }
}

fn address(octets: [u8; 16], v4: bool, port: [u8; 2], scope: u32) -> SocketAddr {
    let port = u16::from_le_bytes(port);
    if v4 {
        let [.., a, b, c, d] = octets;
        return SocketAddr::from(([a, b, c, d], port));
    }
    SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::from(octets), port, 0, scope))
}

/// `N` bytes of the fixed fields; `at` is one of our constants.
pub(crate) fn array<const N: usize, const FIELDS: usize>(
    fixed: &[u8; FIELDS],
    at: usize,
) -> [u8; N] {
    let mut result = [0; N];
    result.copy_from_slice(&fixed[at..at + N]);
    result
}

pub(crate) fn slice(slot: &[u8], at: usize, bytes: usize) -> Result<&[u8], SlotError> {
    let error = SlotError::Length {
        bytes,
        bytes_max: slot.len().saturating_sub(at),
    };
    slot.get(at..at + bytes).ok_or(error)
}
