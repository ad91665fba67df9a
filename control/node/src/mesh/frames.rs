//! Messages out of a stream: each header says how many bytes follow it.
//!
//! Fed with bytes in any pieces. What is too long is refused at its header, before anything is
//! kept for it, and memory grows with the bytes that came, not with those that were promised.

use consensus::{COMMAND_BYTES_MAX, HEADER_BYTES, Header, MESSAGE_BYTES_MAX, MessageKind};

/// Most bytes of a message whose parts are few and small.
const SMALL_BYTES_MAX: usize = 4096;
/// Most bytes of a checkpoint, which names all members.
const CHECKPOINT_BYTES_MAX: usize = 64 * 1024;
/// What stands around a command in a request.
const REQUEST_OVERHEAD_BYTES: usize = 4096;
/// Taken for a body at first.
const FIRST_BYTES: usize = 16 * 1024;

/// Most bytes of a message of this kind, header included.
fn bytes_max(kind: MessageKind) -> usize {
    match kind {
        MessageKind::Prepare
        | MessageKind::Commit
        | MessageKind::FetchBatch
        | MessageKind::Status
        | MessageKind::FetchLog
        | MessageKind::FetchChunk
        | MessageKind::ReadIndex
        | MessageKind::ReadIndexReply => SMALL_BYTES_MAX,
        MessageKind::Checkpoint => CHECKPOINT_BYTES_MAX,
        MessageKind::Request => COMMAND_BYTES_MAX + REQUEST_OVERHEAD_BYTES,
        _ => MESSAGE_BYTES_MAX,
    }
}

/// Why a stream cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    /// A message is longer than one of its kind may be.
    #[error("a message of {bytes} bytes")]
    Oversized {
        /// Its length.
        bytes: usize,
    },
    /// No header.
    #[error("no header of a message")]
    Header,
}

/// What came of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// More is wanted.
    More,
    /// A header is complete: its message has this many bytes.
    Header(usize),
    /// A message is complete.
    Message(Header, Vec<u8>),
}

/// One stream's state.
#[derive(Debug, Default)]
pub(super) struct Frames {
    buffer: Vec<u8>,
    header: Option<Header>,
}

impl Frames {
    /// Whether the last message was complete and the next has not begun.
    pub(super) fn is_between(&self) -> bool {
        self.buffer.is_empty()
    }

    /// How many bytes are wanted at most. Never 0.
    pub(super) fn wanted(&self) -> usize {
        self.end() - self.buffer.len()
    }

    fn end(&self) -> usize {
        let following = self.header.map_or(0, |header| header.following_bytes());
        HEADER_BYTES + following
    }

    /// Takes at most as many bytes as are wanted.
    ///
    /// # Errors
    /// The stream cannot be read on.
    ///
    /// # Panics
    /// There are more.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Progress, FrameError> {
        assert!(bytes.len() <= self.wanted());
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() < self.end() {
            return Ok(Progress::More);
        }
        if let Some(header) = self.header.take() {
            return Ok(Progress::Message(header, std::mem::take(&mut self.buffer)));
        }
        let header = check(&self.buffer)?;
        self.header = Some(header);
        let end = self.end();
        if end == HEADER_BYTES {
            self.header = None;
            return Ok(Progress::Message(header, std::mem::take(&mut self.buffer)));
        }
        self.buffer
            .reserve(end.min(FIRST_BYTES) - HEADER_BYTES.min(end.min(FIRST_BYTES)));
        Ok(Progress::Header(end))
    }
}

/// The header at the front of a message that may come.
///
/// # Errors
/// There is none, or the message would be too long.
pub(super) fn check(bytes: &[u8]) -> Result<Header, FrameError> {
    let first = bytes.first_chunk().ok_or(FrameError::Header)?;
    let header = Header::parse(first).map_err(|_| FrameError::Header)?;
    let bytes = header.following_bytes().saturating_add(HEADER_BYTES);
    if bytes > bytes_max(header.kind) {
        return Err(FrameError::Oversized { bytes });
    }
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use consensus::{Message, NodeId, Wire as _};

    fn read(mut bytes: &[u8], piece: usize) -> Result<(Vec<Vec<u8>>, bool), FrameError> {
        let (mut frames, mut messages) = (Frames::default(), Vec::new());
        while !bytes.is_empty() {
            let count = frames.wanted().min(piece).min(bytes.len());
            let (now, later) = bytes.split_at(count);
            if let Progress::Message(_, message) = frames.push(now)? {
                messages.push(message);
            }
            bytes = later;
        }
        Ok((messages, frames.is_between()))
    }

    #[test]
    fn messages_come_out_as_they_went_in_whatever_the_pieces() {
        let messages = [
            Message::ReadIndex { nonce: 7 }.encode(NodeId(1)),
            Message::Application(vec![9; 100_000]).encode(NodeId(1)),
            Message::ReadIndex { nonce: 8 }.encode(NodeId(1)),
        ];
        for piece in [1, 7, 24, 1000, usize::MAX] {
            let (read, is_between) = read(&messages.concat(), piece).unwrap();
            assert_eq!(read, messages, "piece={piece}");
            assert!(is_between);
        }
        let cut = messages.concat();
        let (read, is_between) = read(&cut[..cut.len() - 1], 100).unwrap();
        assert_eq!((read.len(), is_between), (2, false));
    }

    #[test]
    fn message_that_is_too_long_for_its_kind_is_refused_at_its_header() {
        let header = |kind, payload_bytes| {
            let header = Header {
                kind,
                round: 0,
                sequence: 0,
                node: NodeId(1),
                signature_bytes: 0,
                payload_bytes,
            };
            header.to_bytes()
        };
        let max = u32::try_from(MESSAGE_BYTES_MAX - HEADER_BYTES).unwrap();
        assert!(check(&header(MessageKind::Log, max)).is_ok());
        for (kind, bytes) in [
            (MessageKind::Log, max + 1),
            (MessageKind::Log, u32::MAX),
            (MessageKind::Commit, 4096),
        ] {
            let error = check(&header(kind, bytes)).unwrap_err();
            assert!(matches!(error, FrameError::Oversized { .. }), "{error}");
        }
        assert_eq!(check(&[0; HEADER_BYTES]), Err(FrameError::Header));
        assert_eq!(check(&[1; 3]), Err(FrameError::Header));
    }

    #[test]
    fn any_bytes_in_any_pieces_give_the_same_messages_or_the_same_error() {
        bolero::check!()
            .with_type()
            .for_each(|(piece, bytes): &(u8, Vec<u8>)| {
                let whole = read(bytes, usize::MAX);
                assert_eq!(read(bytes, usize::from(*piece) + 1), whole);
                if let Ok((messages, _)) = whole {
                    assert!(bytes.starts_with(&messages.concat()));
                }
            });
    }
}
