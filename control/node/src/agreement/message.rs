//! What nodes say to each other about answers: one byte for the kind, then a bundle, or a vote on one.

use consensus::{DecodeError, Digest, Reader, Wire, Writer};
use ledger::{AnswerBundle, AnswerVote};

/// Most bytes of a message.
pub(super) const MESSAGE_BYTES_MAX: usize = 128 * 1024;

const KIND_BUNDLE: u8 = 1;
const KIND_VOTE: u8 = 2;

/// A message of an [`consensus::Message::Application`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// A proposal.
    Bundle(AnswerBundle),
    /// A vote on the bundle of this digest.
    Vote(Digest, AnswerVote),
}

impl Message {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        match self {
            Self::Bundle(bundle) => {
                out.u8(KIND_BUNDLE);
                bundle.write(&mut out);
            }
            Self::Vote(digest, vote) => {
                out.u8(KIND_VOTE);
                digest.write(&mut out);
                vote.write(&mut out);
            }
        }
        out.into_bytes()
    }

    /// Reads one message that the bytes hold alone. No signature has been looked at.
    ///
    /// # Errors
    /// They hold something else.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let unknown = |what, value| DecodeError::Unknown {
            what,
            value,
            offset: 0,
        };
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(unknown("message on answers of bytes", bytes.len() as u64));
        }
        let mut from = Reader::new(bytes);
        let message = match from.u8()? {
            KIND_BUNDLE => Self::Bundle(AnswerBundle::read(&mut from)?),
            KIND_VOTE => Self::Vote(Digest::read(&mut from)?, AnswerVote::read(&mut from)?),
            value => return Err(unknown("message on answers of kind", value.into())),
        };
        from.finish()?;
        Ok(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_bytes_are_they_are_one_message_or_none() {
        bolero::check!().for_each(|bytes: &[u8]| {
            if let Ok(message) = Message::decode(bytes) {
                assert_eq!(message.encode(), bytes);
            }
        });
    }
}
