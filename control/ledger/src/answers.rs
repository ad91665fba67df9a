//! [`Answers`]: what a quorum has validated, each until it expires.

use std::collections::{BTreeMap, BTreeSet};

use consensus::{DecodeError, Digest, Reader, Wire, Writer};

use crate::answer::{Question, Security};
use crate::codec::{read_map, write_map};

/// Most answers that are kept; the one that expires first goes for a new one.
pub const ANSWERS_MAX: usize = 65_536;
/// Longest time for which an answer is kept, seconds.
pub const ANSWER_TTL_SECONDS_MAX: u32 = 86_400;

/// An answer that a quorum has validated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Of the answer in the form in which nodes compare.
    pub digest: Digest,
    /// When, the ledger's time, milliseconds since 1970.
    pub validated_ms: u64,
    /// Until when it is kept.
    pub expires_ms: u64,
    /// What DNSSEC says.
    pub security: Security,
    /// How many voters agreed.
    pub agreed: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Answers {
    by_question: BTreeMap<Question, Answer>,
    by_expiry: BTreeSet<(u64, Question)>,
}

impl Answers {
    pub(crate) fn get(&self, question: &Question) -> Option<&Answer> {
        self.by_question.get(question)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Question, &Answer)> {
        self.by_question.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_question.len()
    }

    /// Keeps an answer in place of an older one; names the one that had to go for it.
    pub(crate) fn insert(&mut self, question: &Question, answer: Answer) -> Option<Question> {
        let old = self.by_question.insert(question.clone(), answer);
        if let Some(old) = old {
            self.by_expiry.remove(&(old.expires_ms, question.clone()));
        }
        self.by_expiry.insert((answer.expires_ms, question.clone()));
        if self.by_question.len() <= ANSWERS_MAX {
            return None;
        }
        let (_, first) = self.by_expiry.pop_first()?;
        self.by_question.remove(&first);
        Some(first)
    }

    /// Drops what has expired and names it.
    pub(crate) fn expire(&mut self, now_ms: u64) -> Vec<Question> {
        let mut expired = Vec::new();
        while let Some((at, _)) = self.by_expiry.first()
            && *at <= now_ms
            && let Some((_, question)) = self.by_expiry.pop_first()
        {
            self.by_question.remove(&question);
            expired.push(question);
        }
        expired
    }
}

impl Wire for Answer {
    fn write(&self, out: &mut Writer) {
        self.digest.write(out);
        out.u64(self.validated_ms);
        out.u64(self.expires_ms);
        self.security.write(out);
        out.u32(self.agreed);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            digest: Digest::read(from)?,
            validated_ms: from.u64()?,
            expires_ms: from.u64()?,
            security: Security::read(from)?,
            agreed: from.u32()?,
        })
    }
}

impl Wire for Answers {
    fn write(&self, out: &mut Writer) {
        write_map(&self.by_question, out);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let by_question: BTreeMap<Question, Answer> = read_map(from, "answers", ANSWERS_MAX)?;
        let by_expiry = by_question
            .iter()
            .map(|(question, answer)| (answer.expires_ms, question.clone()));
        Ok(Self {
            by_expiry: by_expiry.collect(),
            by_question,
        })
    }
}
