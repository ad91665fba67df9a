//! What stands between a client and its response, as in the workers: cookies, and the limit on
//! responses over UDP.

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use config::Networks;
use guard::{
    Cookies, Limits, Permission, Prefixes, ResponseKind, ResponseLimiter, Secrets, Standing,
};
use wire::answer::{Age, Answer, write_answer};
use wire::query::Query;
use wire::{HEADER_BYTES, UDP_PAYLOAD_BYTES_MAX};

use crate::clock;
use crate::counters::Counters;

/// Checks cookies for all threads.
#[derive(Debug)]
pub(crate) struct CookieKeeper {
    secrets: ArcSwap<Secrets>,
    requires: bool,
}

impl CookieKeeper {
    /// With `requires` a client cookie alone gets BADCOOKIE over UDP.
    pub(crate) fn new(secrets: Secrets, requires: bool) -> Self {
        Self {
            secrets: ArcSwap::from_pointee(secrets),
            requires,
        }
    }

    /// Takes the secrets of the dataplane that we have attached to, so that its cookies and ours are
    /// the same. Cookies that we have made before are still taken.
    pub(crate) fn adopt(&self, secrets: Secrets) {
        let own = self.secrets.load();
        let own = (own.current != secrets.current).then_some(own.current);
        self.secrets.store(Arc::new(Secrets {
            current: secrets.current,
            previous: secrets.previous.or(own),
        }));
    }

    /// Checks the cookies of a query and leaves in it what the response has to carry. `message` is
    /// what the query was parsed from.
    pub(crate) fn check(
        &self,
        query: &mut Query,
        message: &[u8],
        client: IpAddr,
        counters: &Counters,
    ) -> Standing {
        if !query.has_cookie() {
            return Standing::Absent;
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "cookies carry the time modulo 2^32"
        )]
        let unix_secs = clock::unix_secs() as u32;
        let cookies = Cookies::new(**self.secrets.load());
        let standing = cookies.check(query, message, client, unix_secs);
        match standing {
            Standing::Absent => {}
            Standing::ClientOnly => counters.cookies_client_only.increment(),
            Standing::Invalid => counters.cookies_invalid.increment(),
            Standing::Valid => counters.cookies_valid.increment(),
        }
        standing
    }

    /// Whether a query of this standing gets BADCOOKIE over UDP.
    pub(crate) fn rejects(&self, standing: Standing) -> bool {
        self.requires && matches!(standing, Standing::ClientOnly | Standing::Invalid)
    }
}

/// Counts responses over UDP.
#[derive(Debug)]
pub(crate) struct Gate {
    limiter: ResponseLimiter,
    exempt: Networks,
}

impl Gate {
    /// `key` must be unpredictable.
    pub(crate) fn new(limit: &config::ResponseRateLimit, key: u64) -> Self {
        let limits = Limits {
            per_second: limit.per_second,
            slip: limit.slip,
            prefixes: Prefixes {
                ipv4_bits: limit.ipv4_bits,
                ipv6_bits: limit.ipv6_bits,
            },
            table_entries: limit.table_entries,
        };
        Self {
            limiter: ResponseLimiter::new(&limits, key),
            exempt: limit.exempt.clone(),
        }
    }

    /// Counts `response`, to `query` if that could be read. [`Permission::Slip`] says to [`cut`] it.
    pub(crate) fn permit(
        &mut self,
        response: &[u8],
        query: Option<&Query>,
        client: IpAddr,
        counters: &Counters,
    ) -> Permission {
        let is_known = query.is_some_and(Query::has_valid_cookie);
        if !self.limiter.is_on() || is_known || self.exempt.contain(client) {
            return Permission::Send;
        }
        let kind = match (query, response.first_chunk::<HEADER_BYTES>()) {
            (Some(query), Some(&[_, _, high, low, _, _, count_high, count_low, ..]))
                if query.has_question() =>
            {
                let answer_count = u16::from_be_bytes([count_high, count_low]);
                ResponseKind::of(u16::from_be_bytes([high, low]), answer_count)
            }
            _ => ResponseKind::Error,
        };
        match self.limiter.permit(client, kind, clock::now_ms()) {
            Permission::Slip => {
                counters.answers_slipped.increment();
                // Errors, and answers to queries for a cookie alone, are short already.
                if kind == ResponseKind::Error {
                    Permission::Send
                } else {
                    Permission::Slip
                }
            }
            Permission::Drop => {
                counters.drops_response_limited.increment();
                Permission::Drop
            }
            Permission::Send => Permission::Send,
        }
    }
}

/// Leaves nothing of the response to `query` at the front of `buffer` but its question and TC.
/// Returns its length.
pub(crate) fn cut(buffer: &mut [u8], query: &Query) -> usize {
    let limit = query.response_limit(UDP_PAYLOAD_BYTES_MAX);
    write_answer(buffer, query, &Answer::TRUNCATED, Age::Fresh(0), limit)
}
