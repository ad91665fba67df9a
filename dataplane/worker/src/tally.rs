//! What one batch did, counted in registers and added to the shared counters once.

use exchange::CountersWriter;
use wire::query::QueryError;
use wire::rcode;

/// Declares the tally and its transfer to the shared counters in one list.
macro_rules! tally {
    ($($(#[$doc:meta])* $field:ident;)*) => {
        /// Events of one batch.
        #[derive(Clone, Copy, Debug, Default)]
        pub struct Tally {
            $($(#[$doc])* pub $field: u64,)*
        }

        impl Tally {
            /// Adds what happened to the shared counters and starts again from zero.
            pub fn publish(&mut self, counters: &CountersWriter) {
                $(if self.$field != 0 { counters.$field.add(self.$field); })*
                *self = Self::default();
            }
        }
    };
}

tally! {
    /// Packets taken from the port.
    packets_received;
    /// Packets given to the kernel.
    packets_sent;
    /// Bytes taken.
    receive_bytes;
    /// Bytes given.
    send_bytes;
    /// Sleeps that ended.
    wakeups;
    /// Well-formed queries.
    queries;
    /// Answers out of this worker's own cache.
    answers_cache;
    /// Answers out of the shared table.
    answers_table;
    /// Answers past their TTL, served because control is silent.
    answers_stale;
    /// Answers that control made.
    answers_control;
    /// Responses over a client network's limit that were sent all the same: cut, or short errors.
    answers_slipped;
    /// Answers to queries for a cookie alone.
    answers_cookie;
    /// FORMERR responses.
    errors_formerr;
    /// NOTIMP responses.
    errors_notimp;
    /// BADVERS responses.
    errors_badvers;
    /// SERVFAIL responses.
    errors_servfail;
    /// BADCOOKIE responses.
    errors_badcookie;
    /// Packets whose headers did not parse.
    drops_frame;
    /// Messages too short for a DNS header.
    drops_short;
    /// Responses (QR=1) sent to a server.
    drops_response;
    /// Queries longer than a punt takes.
    drops_oversize;
    /// Misses lost since control does not keep up.
    drops_punt_full;
    /// Misses over the client's rate.
    drops_punt_limited;
    /// Messages for the query log that found no room.
    samples_dropped;
    /// Responses over the client network's rate.
    drops_response_limited;
    /// Slots of the reply ring, or replies, that made no sense.
    drops_reply_invalid;
    /// Datagrams of other nodes lost since control does not keep up.
    drops_mesh_full;
    /// Datagrams of other nodes that came while there was no control.
    drops_mesh_unheard;
    /// Replies lost since the kernel took no more.
    drops_tx_full;
    /// Queries with a client cookie alone.
    cookies_client_only;
    /// Queries with a server cookie that is not ours, or too old.
    cookies_invalid;
    /// Queries with a server cookie of ours.
    cookies_valid;
    /// Misses passed to control.
    punts;
    /// Datagrams of other nodes passed to control.
    mesh_received;
    /// Datagrams for other nodes, from control.
    mesh_sent;
    /// Messages from control.
    replies;
}

impl Tally {
    /// Counts a message that is no well-formed query, by the error response that it gets.
    pub fn count_refusal(&mut self, error: QueryError) {
        match (error.rcode(), error) {
            (None, QueryError::Response) => self.drops_response += 1,
            (None, _) => self.drops_short += 1,
            (Some(rcode::NOTIMP), _) => self.errors_notimp += 1,
            (Some(rcode::BADVERS), _) => self.errors_badvers += 1,
            (Some(_), _) => self.errors_formerr += 1,
        }
    }
}
