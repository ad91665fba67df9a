//! Answers on their way to a TCP client, each behind its length (RFC 1035 §4.2.2).
//!
//! Holds [`UNSENT_BYTES_MAX`] and one message more, since a message comes whole, and half as much of
//! what the client has taken already.

/// From here on it is full.
const UNSENT_BYTES_MAX: usize = 64 << 10;
/// What was taken is dropped when it comes to this much: dropping it moves the rest.
const SENT_BYTES_MAX: usize = UNSENT_BYTES_MAX / 2;
/// Room that it keeps while it is empty.
const EMPTY_BYTES: usize = 4096;

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    /// Bytes at the front that the client has taken.
    sent: usize,
}

impl Outbox {
    /// What the client is to take.
    pub(crate) fn unsent(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.unsent().is_empty()
    }

    /// Whether the client shall take something before more is put in.
    pub(crate) fn is_full(&self) -> bool {
        self.unsent().len() >= UNSENT_BYTES_MAX
    }

    /// Puts a message in. One without bytes is none.
    pub(crate) fn push(&mut self, message: &[u8]) {
        let length = u16::try_from(message.len()).unwrap_or(0);
        if length > 0 {
            self.bytes.extend_from_slice(&length.to_be_bytes());
            self.bytes.extend_from_slice(message);
        }
    }

    /// The client has taken so many bytes.
    pub(crate) fn take(&mut self, bytes: usize) {
        self.sent += bytes;
        if self.is_empty() {
            self.bytes.clear();
            self.bytes.shrink_to(EMPTY_BYTES);
            self.sent = 0;
        } else if self.sent >= SENT_BYTES_MAX {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_reader_gets_everything_in_order_and_costs_bounded_memory() {
        let mut outbox = Outbox::default();
        let (mut taken, mut expected) = (Vec::new(), Vec::new());
        for number in 0..50_u8 {
            let message = vec![number; usize::from(u16::MAX) - usize::from(number)];
            expected.extend(u16::try_from(message.len()).unwrap().to_be_bytes());
            expected.extend_from_slice(&message);
            while outbox.is_full() {
                let part = outbox.unsent()[..1_000].to_vec();
                outbox.take(part.len());
                taken.extend(part);
            }
            outbox.push(&message);
            let bound = UNSENT_BYTES_MAX + 2 + usize::from(u16::MAX) + SENT_BYTES_MAX;
            assert!(outbox.bytes.len() <= bound, "{}", outbox.bytes.len());
        }
        taken.extend_from_slice(outbox.unsent());
        outbox.take(outbox.unsent().len());
        assert!(outbox.is_empty() && outbox.bytes.capacity() <= EMPTY_BYTES);
        assert!(taken == expected);
    }

    #[test]
    fn a_message_without_bytes_or_of_too_many_is_none() {
        let mut outbox = Outbox::default();
        outbox.push(&[]);
        outbox.push(&[0; 65_536]);
        assert!(outbox.is_empty());
    }
}
