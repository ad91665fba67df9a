//! What the logs of two nodes say to each other: one byte for the kind, then a cosigned head, or a piece of a file asked
//! for or sent.

use consensus::{DecodeError, Reader, Wire, Writer};

/// Most bytes of a cosigned head: its text, and one signature.
const NOTE_BYTES_MAX: usize = 4096;
/// Most bytes of a shard's name.
const SHARD_BYTES_MAX: usize = 63;
/// Most bytes of a file's path in its shard.
const PATH_BYTES_MAX: usize = 96;
/// Most bytes of a file in one message.
pub(super) const PIECE_BYTES_MAX: usize = 1 << 20;

/// Most bytes of a message: a piece and what stands around it.
pub(super) const MESSAGE_BYTES_MAX: usize = PIECE_BYTES_MAX + 64;

const KIND_COSIGNED: u8 = 16;
const KIND_WANTED: u8 = 17;
const KIND_PIECE: u8 = 18;

/// A message of an [`consensus::Message::Application`]. The kinds are none of those on answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// A head with the sender's cosignature, as a signed note. Not checked yet.
    Cosigned(Vec<u8>),
    /// Asks for a file from an offset on.
    Wanted {
        /// The asker's number, repeated in the reply.
        ask: u64,
        /// Name of the shard.
        shard: String,
        /// As in static-ct-api.
        path: String,
        /// In bytes.
        offset: u64,
    },
    /// What is there from the offset on; nothing if there is no such file or it ends there.
    Piece {
        /// Of [`Message::Wanted`].
        ask: u64,
        /// Bytes of the whole file. 0: it is not there.
        total: u64,
        /// In their order.
        bytes: Vec<u8>,
    },
}

impl Message {
    /// Whether a message of an application is one of these, as far as its kind says.
    pub(super) fn is_kind(bytes: &[u8]) -> bool {
        matches!(bytes.first(), Some(KIND_COSIGNED..=KIND_PIECE))
    }

    /// Of a piece, the number of the ask, without reading the rest.
    pub(super) fn ask_of_piece(bytes: &[u8]) -> Option<u64> {
        let ask = bytes.strip_prefix(&[KIND_PIECE])?.first_chunk()?;
        Some(u64::from_be_bytes(*ask))
    }
}

impl Wire for Message {
    fn write(&self, out: &mut Writer) {
        match self {
            Self::Cosigned(note) => {
                out.u8(KIND_COSIGNED);
                out.block(note);
            }
            Self::Wanted {
                ask,
                shard,
                path,
                offset,
            } => {
                out.u8(KIND_WANTED);
                out.u64(*ask);
                out.block(shard.as_bytes());
                out.block(path.as_bytes());
                out.u64(*offset);
            }
            Self::Piece { ask, total, bytes } => {
                out.u8(KIND_PIECE);
                out.u64(*ask);
                out.u64(*total);
                out.block(bytes);
            }
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let offset = from.offset();
        Ok(match from.u8()? {
            KIND_COSIGNED => Self::Cosigned(from.block("bytes of a head", NOTE_BYTES_MAX)?.into()),
            KIND_WANTED => Self::Wanted {
                ask: from.u64()?,
                shard: text(from, SHARD_BYTES_MAX)?,
                path: text(from, PATH_BYTES_MAX)?,
                offset: from.u64()?,
            },
            KIND_PIECE => Self::Piece {
                ask: from.u64()?,
                total: from.u64()?,
                bytes: from.block("bytes of a file", PIECE_BYTES_MAX)?.into(),
            },
            value => {
                return Err(DecodeError::Unknown {
                    what: "message of the log of kind",
                    value: value.into(),
                    offset,
                });
            }
        })
    }
}

fn text(from: &mut Reader<'_>, bytes_max: usize) -> Result<String, DecodeError> {
    let offset = from.offset();
    let bytes = from.block("bytes of a name", bytes_max)?;
    let value = bytes.len() as u64;
    String::from_utf8(bytes.into()).map_err(|_| DecodeError::Unknown {
        what: "name of this many bytes",
        value,
        offset,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_read_back_and_are_told_from_those_on_answers() {
        let messages = [
            Message::Cosigned(b"note".to_vec()),
            Message::Wanted {
                ask: 7,
                shard: "one2026".to_owned(),
                path: "tile/data/x001/234".to_owned(),
                offset: 9,
            },
            Message::Piece {
                ask: 7,
                total: 12,
                bytes: vec![1, 2, 3],
            },
        ];
        for message in messages {
            let bytes = message.to_bytes();
            assert!(Message::is_kind(&bytes));
            assert_eq!(Message::from_bytes(&bytes), Ok(message));
        }
        let piece = Message::Piece {
            ask: 7,
            total: 1,
            bytes: vec![1],
        };
        assert_eq!(Message::ask_of_piece(&piece.to_bytes()), Some(7));
        assert_eq!(
            Message::ask_of_piece(&Message::Cosigned(vec![0; 9]).to_bytes()),
            None
        );
        assert!(!Message::is_kind(&[1]) && !Message::is_kind(&[2]) && !Message::is_kind(&[]));
    }

    #[test]
    fn whatever_the_bytes_are_they_are_one_message_or_none() {
        bolero::check!().for_each(|bytes: &[u8]| {
            if let Ok(message) = Message::from_bytes(bytes) {
                assert_eq!(message.to_bytes(), bytes);
            }
        });
    }
}
