//! What stands between a query and its response: cookies, and the limit on responses.
//!
//! A query without a COOKIE option costs one comparison here, a response without a limit another.

use config::Networks;
use guard::{Cookies, Limits, Permission, ResponseKind, ResponseLimiter, Standing};
use port::Port;
use wire::answer::{Age, Answer, write_answer, write_error};
use wire::query::{Query, QueryError};
use wire::{UDP_PAYLOAD_BYTES_MAX, rcode};

use crate::batch::Situation;
use crate::tally::Tally;

/// Checks cookies and counts responses.
#[derive(Debug)]
pub struct Gate {
    cookies: Option<Cookies>,
    requires_cookie: bool,
    limiter: ResponseLimiter,
    exempt: Networks,
}

/// A response that has no records.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure {
    /// Response code, extended ones too.
    pub(crate) rcode: u16,
    /// INFO-CODE of an extended error.
    pub(crate) extended_error: Option<u16>,
}

impl Gate {
    /// Without `cookies` the option is ignored. With `requires_cookie` a client cookie alone gets
    /// BADCOOKIE. `key` must be unpredictable.
    pub fn new(
        cookies: Option<Cookies>,
        requires_cookie: bool,
        limits: &Limits,
        exempt: Networks,
        key: u64,
    ) -> Self {
        Self {
            cookies,
            requires_cookie,
            limiter: ResponseLimiter::new(limits, key),
            exempt,
        }
    }

    /// Checks the cookies of a query that has some. False if it got BADCOOKIE, or nothing, for
    /// them (RFC 7873 §5.2.3, §5.2.4).
    #[inline(never)]
    pub(crate) fn admit<P: Port>(
        &mut self,
        port: &mut P,
        index: usize,
        query: &mut Query,
        situation: Situation,
        tally: &mut Tally,
    ) -> bool {
        let standing = self.check(port, index, query, situation, tally);
        if !self.requires_cookie || matches!(standing, Standing::Valid | Standing::Absent) {
            return true;
        }
        let failure = Failure {
            rcode: rcode::BADCOOKIE,
            extended_error: None,
        };
        if self.fail(port, index, Some(query), failure, situation, tally) {
            tally.errors_badcookie += 1;
        }
        false
    }

    /// Answers what is no well-formed query: a query for a cookie alone (RFC 7873 §5.4), an error,
    /// or silence.
    #[cold]
    pub(crate) fn refuse<P: Port>(
        &mut self,
        port: &mut P,
        index: usize,
        error: QueryError,
        situation: Situation,
        tally: &mut Tally,
    ) {
        if error == QueryError::QuestionCount(0)
            && self.cookies.is_some()
            && let Ok(mut query) = Query::parse_cookie_only(port.message(index))
        {
            let standing = self.check(port, index, &mut query, situation, tally);
            let failure = Failure {
                rcode: if standing == Standing::Invalid {
                    rcode::BADCOOKIE
                } else {
                    0
                },
                extended_error: None,
            };
            if self.fail(port, index, Some(&query), failure, situation, tally) {
                tally.answers_cookie += 1;
            }
            return;
        }
        let Some(rcode) = error.rcode() else {
            tally.count_refusal(error);
            return;
        };
        let failure = Failure {
            rcode,
            extended_error: None,
        };
        if self.fail(port, index, None, failure, situation, tally) {
            tally.count_refusal(error);
        }
    }

    /// Writes `answer` over its query. False if the limit left nothing of it but TC, or nothing.
    #[inline]
    pub(crate) fn answer<P: Port>(
        &mut self,
        port: &mut P,
        index: usize,
        query: &Query,
        (answer, age): (&Answer<'_>, Age),
        situation: Situation,
        tally: &mut Tally,
    ) -> bool {
        let limit = query.response_limit(UDP_PAYLOAD_BYTES_MAX);
        let permission = if self.limiter.is_on() {
            let kind = ResponseKind::of(answer.flags, answer.counts[0]);
            self.permit(port, index, Some(query), kind, situation, tally)
        } else {
            Permission::Send
        };
        if permission == Permission::Drop {
            return false;
        }
        port.reply(index, |room| match permission {
            Permission::Slip if ResponseKind::of(answer.flags, 0) != ResponseKind::Error => {
                write_answer(room, query, &Answer::TRUNCATED, age, limit)
            }
            _ => write_answer(room, query, answer, age, limit),
        });
        permission == Permission::Send
    }

    /// Writes a response without records over its query. False if the limit dropped it or let it
    /// slip.
    pub(crate) fn fail<P: Port>(
        &mut self,
        port: &mut P,
        index: usize,
        query: Option<&Query>,
        failure: Failure,
        situation: Situation,
        tally: &mut Tally,
    ) -> bool {
        let permission = if self.limiter.is_on() {
            self.permit(port, index, query, ResponseKind::Error, situation, tally)
        } else {
            Permission::Send
        };
        if permission == Permission::Drop {
            return false;
        }
        let query_bytes = port.message(index).len();
        let Failure {
            rcode,
            extended_error,
        } = failure;
        port.reply(index, |room| {
            write_error(room, query_bytes, query, rcode, extended_error)
        });
        permission == Permission::Send
    }

    fn check<P: Port>(
        &self,
        port: &P,
        index: usize,
        query: &mut Query,
        situation: Situation,
        tally: &mut Tally,
    ) -> Standing {
        let Some(cookies) = &self.cookies else {
            return Standing::Absent;
        };
        let client = port.source(index).client.ip();
        let standing = cookies.check(query, port.message(index), client, situation.unix_secs);
        match standing {
            Standing::Absent => {}
            Standing::ClientOnly => tally.cookies_client_only += 1,
            Standing::Invalid => tally.cookies_invalid += 1,
            Standing::Valid => tally.cookies_valid += 1,
        }
        standing
    }

    /// Counts a response against the limit, unless its client is exempt or has shown a server
    /// cookie, so that its address is not forged (RFC 7873 §5.2.5).
    #[inline(never)]
    fn permit<P: Port>(
        &mut self,
        port: &P,
        index: usize,
        query: Option<&Query>,
        kind: ResponseKind,
        situation: Situation,
        tally: &mut Tally,
    ) -> Permission {
        let client = port.source(index).client.ip();
        if query.is_some_and(Query::has_valid_cookie) || self.exempt.contain(client) {
            return Permission::Send;
        }
        let now_ms = situation.now.milliseconds();
        let permission = self.limiter.permit(client, kind, now_ms);
        match permission {
            Permission::Send => {}
            Permission::Slip => tally.answers_slipped += 1,
            Permission::Drop => tally.drops_response_limited += 1,
        }
        permission
    }
}
