//! What control sends back: answers to pass on and remember, and names to forget.
//!
//! The ring is memory that another process writes, so every message is parsed as if it came from
//! the network; what makes no sense is counted and skipped.

use cache::{Cache, ENTRY_BYTES_MAX, Entry, EntryMeta, Hasher};
use exchange::{Reply, ReplyConsumer, ReplyMeta};
use port::{InjectError, Port};
use wire::QNAME_BYTES_MAX;
use wire::name::is_at_or_below;

use crate::tally::Tally;

/// Messages taken in one round at most, so that a busy control can't starve the receive ring.
const REPLIES_PER_ROUND_MAX: usize = 64;

/// The worker's end of the way back from control.
#[derive(Debug)]
pub struct Replies {
    ring: ReplyConsumer,
    scratch: Box<[u8; ENTRY_BYTES_MAX]>,
}

impl Replies {
    /// Takes over the ring.
    pub fn new(ring: ReplyConsumer) -> Self {
        Self {
            ring,
            scratch: Box::new([0; ENTRY_BYTES_MAX]),
        }
    }

    /// Announces sleep; false when something arrived meanwhile.
    pub fn prepare_sleep(&mut self) -> bool {
        self.ring.prepare_sleep()
    }

    /// Withdraws the announcement.
    pub fn wake(&mut self) {
        self.ring.wake();
    }

    /// Queues the replies on the port and keeps what is to be kept; returns how many there were.
    pub fn take<P: Port>(
        &mut self,
        port: &mut P,
        cache: &mut Cache,
        hasher: &Hasher,
        tally: &mut Tally,
    ) -> usize {
        let mut count = 0;
        while count < REPLIES_PER_ROUND_MAX {
            let Some(reply) = self.ring.pop() else { break };
            count += 1;
            tally.replies += 1;
            match reply {
                Ok(Reply::Answer {
                    headers,
                    message,
                    meta,
                }) => {
                    tally.answers_control += u64::from(send(port, headers, message, tally));
                    keep(cache, hasher, message, &meta, &mut self.scratch, tally);
                }
                Ok(Reply::AnswerUncached { headers, message }) => {
                    tally.answers_control += u64::from(send(port, headers, message, tally));
                }
                Ok(Reply::Mesh { headers, message }) => {
                    if send(port, headers, message, tally) {
                        tally.mesh_sent += 1;
                    }
                }
                Ok(Reply::Fill { message, meta }) => {
                    keep(cache, hasher, message, &meta, &mut self.scratch, tally);
                }
                Ok(Reply::Flush { qname, subtree }) => {
                    forget(cache, qname, subtree);
                    break; // It walks the whole cache; packets come before the next one.
                }
                Err(_) => tally.drops_reply_invalid += 1,
            }
        }
        count
    }
}

/// False if it was dropped, and counted as such.
fn send<P: Port>(port: &mut P, headers: &[u8], message: &[u8], tally: &mut Tally) -> bool {
    match port.inject(headers, message) {
        Ok(()) => return true,
        Err(InjectError::NoFrame) => tally.drops_tx_full += 1,
        Err(InjectError::Invalid) => tally.drops_reply_invalid += 1,
    }
    false
}

/// Encodes the message as an entry and puts it into the own cache.
fn keep(
    cache: &mut Cache,
    hasher: &Hasher,
    message: &[u8],
    meta: &ReplyMeta,
    scratch: &mut [u8; ENTRY_BYTES_MAX],
    tally: &mut Tally,
) {
    let mut qname = [0; QNAME_BYTES_MAX];
    let kept = question(message, &mut qname).and_then(|(qname, qtype, qclass)| {
        let key = hasher.key_of(qname, qtype, qclass, meta.key_flags);
        let meta = EntryMeta {
            stored_at: meta.stored_at,
            ttl: meta.ttl,
            zone: meta.zone,
            generation: meta.generation,
        };
        let length = cache::encode(message, &key, &meta, &mut scratch[..]).ok()?;
        let entry = Entry::parse(scratch.get(..length)?).ok()?;
        cache.insert(&entry);
        Some(())
    });
    if kept.is_none() {
        tally.drops_reply_invalid += 1;
    }
}

/// The question of a response: lower-cased qname, qtype, qclass.
fn question<'a>(
    message: &[u8],
    qname: &'a mut [u8; QNAME_BYTES_MAX],
) -> Option<(&'a [u8], u16, u16)> {
    let mut length = 0;
    loop {
        let label = *message.get(wire::HEADER_BYTES + length)?;
        if label > 63 {
            return None;
        }
        let end = length + 1 + usize::from(label);
        let from = message.get(wire::HEADER_BYTES + length..wire::HEADER_BYTES + end)?;
        let to = qname.get_mut(length..end)?;
        to.copy_from_slice(from);
        to.make_ascii_lowercase(); // Label lengths are below b'A'.
        length = end;
        if label == 0 {
            break;
        }
    }
    let fixed = message
        .get(wire::HEADER_BYTES + length..)?
        .first_chunk::<4>()?;
    let qtype = u16::from_be_bytes([fixed[0], fixed[1]]);
    let qclass = u16::from_be_bytes([fixed[2], fixed[3]]);
    Some((qname.get(..length)?, qtype, qclass))
}

/// Removes a name, or a name and all below it.
fn forget(cache: &mut Cache, name: &[u8], subtree: bool) {
    cache.remove_where(|entry| {
        let qname = entry.qname();
        if subtree {
            is_at_or_below(qname, name)
        } else {
            qname == name
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn question_cut_at_every_byte_is_refused() {
        let message = b"\0\0\x80\0\0\x01\0\0\0\0\0\0\x03WwW\x07eXample\0\0\x1c\0\x01";
        for cut in 0..message.len() {
            assert_eq!(
                question(&message[..cut], &mut [0; QNAME_BYTES_MAX]),
                None,
                "cut={cut}"
            );
        }
        let mut qname = [0; QNAME_BYTES_MAX];
        let found = question(message, &mut qname).unwrap();
        assert_eq!(found, (&b"\x03www\x07example\0"[..], 28, 1));
    }

    #[test]
    fn any_message_is_read_without_panic() {
        bolero::check!()
            .with_iterations(20_000)
            .with_type::<Vec<u8>>()
            .for_each(|bytes| {
                let mut qname = [0; QNAME_BYTES_MAX];
                let _ = question(bytes, &mut qname);
            });
    }
}
