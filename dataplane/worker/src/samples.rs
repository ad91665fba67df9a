//! Samples of answered queries for the query log, which control writes.
//!
//! Control never hears of what a worker answers from memory. One query in so many is copied to it with
//! its response, as two punts that it only logs. Bounded in time, so that the log never takes the
//! room of queries that wait for an answer.

use exchange::{PuntProducer, Transport};
use port::Port;

use crate::batch::{Situation, send_copy};
use crate::tally::Tally;

/// Samples in a millisecond at most.
const PER_MILLISECOND_MAX: u32 = 8;

/// Whose turn it is to be logged.
#[derive(Debug)]
pub struct Samples {
    /// One in so many; 0: none.
    every: u32,
    /// Answers until the next sample; 0 stands for never.
    left: u32,
    last_ms: u64,
    in_this_ms: u32,
}

impl Samples {
    /// One answer in `every`; none if that is 0.
    #[must_use]
    pub fn new(every: u32) -> Self {
        Self {
            every,
            left: every,
            last_ms: 0,
            in_this_ms: 0,
        }
    }

    /// Copies the query to control if its turn has come; to be called before its answer is written over it.
    /// True if the response is to be copied as well.
    #[inline]
    pub(crate) fn begin<P: Port>(
        &mut self,
        punts: &mut PuntProducer,
        port: &P,
        index: usize,
        situation: Situation,
        tally: &mut Tally,
    ) -> bool {
        if self.left > 1 {
            self.left -= 1;
            return false;
        }
        self.left == 1 && self.take_turn(punts, port, index, situation, tally)
    }

    #[cold]
    fn take_turn<P: Port>(
        &mut self,
        punts: &mut PuntProducer,
        port: &P,
        index: usize,
        situation: Situation,
        tally: &mut Tally,
    ) -> bool {
        self.left = self.every;
        let now_ms = situation.now.milliseconds();
        if self.last_ms != now_ms {
            (self.last_ms, self.in_this_ms) = (now_ms, 0);
        }
        let kind = Transport::AnsweredQuery;
        let query = port.message(index);
        // A control that is silent finds queries, not samples, when it is back.
        let is_sent = situation.control_alive
            && self.in_this_ms < PER_MILLISECOND_MAX
            && send_copy(punts, port, index, (kind, query), situation);
        self.in_this_ms += u32::from(is_sent);
        tally.samples_dropped += u64::from(!is_sent);
        is_sent
    }

    /// Copies the response to control; none was written if its client had too many.
    #[cold]
    pub(crate) fn end<P: Port>(
        punts: &mut PuntProducer,
        port: &P,
        index: usize,
        situation: Situation,
        tally: &mut Tally,
    ) {
        let Some(response) = port.replied(index) else {
            return;
        };
        let kind = Transport::Response;
        if !send_copy(punts, port, index, (kind, response), situation) {
            tally.samples_dropped += 1;
        }
    }
}
