//! What the mesh counts, for metrics and for `Network::peers`.

use consensus::MessageKind;

use crate::counters::Counter;

/// Kinds of messages, at their numbers.
pub(super) const KINDS: [&str; 19] = [
    "none",
    "pre_prepare",
    "prepare",
    "commit",
    "checkpoint",
    "view_change",
    "new_view",
    "request",
    "fetch_batch",
    "batch_data",
    "status",
    "fetch_log",
    "log",
    "snapshot_offer",
    "fetch_chunk",
    "chunk",
    "read_index",
    "read_index_reply",
    "application",
];

macro_rules! reasons {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// All of them.
            pub(super) const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its word in metrics.
            #[must_use]
            pub(super) const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }
    };
}

reasons! {
    /// Why a message was dropped.
    Loss {
        /// Outgoing: the peer takes less than it is sent.
        QueueFull = "queue_full",
        /// Outgoing: there is no connection.
        NotConnected = "not_connected",
        /// Outgoing: it fits no datagram.
        NoDatagram = "no_datagram",
        /// Either way: longer than a message of its kind may be.
        Oversized = "oversized",
        /// Incoming: the stream ended inside it.
        Truncated = "truncated",
        /// Incoming: it did not come to its end in time.
        Slow = "slow",
        /// Incoming: its bytes are those of no message.
        Malformed = "malformed",
        /// Incoming: it says that another node made it, without a signature.
        WrongSigner = "wrong_signer",
        /// Incoming: somebody signed it who is no member and was none.
        UnknownSigner = "unknown_signer",
        /// Incoming: a signature does not hold, or is for another cluster.
        BadSignature = "bad_signature",
        /// Incoming: of an epoch, a view or a place that is over or far off, or an answer to nothing.
        Useless = "useless",
        /// Incoming: too much of this peer waits to be looked at.
        Overload = "overload",
    }
}

reasons! {
    /// Why there is no connection.
    Refusal {
        /// The certificate is over the key of no member.
        UnknownPeer = "unknown_peer",
        /// Another member answers at a member's address.
        WrongPeer = "wrong_peer",
        /// The certificate has ended or not begun: a clock is wrong by weeks.
        Expired = "expired",
        /// The certificate does not hold.
        BadCertificate = "bad_certificate",
        /// A committed decision shuts the peer out.
        Isolated = "isolated",
        /// The peer is of another cluster, or speaks another version.
        OtherCluster = "other_cluster",
        /// The peer is to be dialled and not to dial.
        Direction = "direction",
        /// The peer has sent garbage a moment ago.
        Barred = "barred",
        /// Too many handshakes are under way.
        Busy = "busy",
        /// Nobody answered in time.
        Timeout = "timeout",
        /// The handshake failed otherwise; when the other side refused it, that side knows why.
        Handshake = "handshake",
    }
}

/// Everything that the mesh of this node counts.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) sent: Kinds,
    pub(super) received: Kinds,
    drops: [Counter; Loss::ALL.len()],
    refusals: [Counter; Refusal::ALL.len()],
    /// Signatures checked, without those that were known.
    pub(super) signatures: Counter,
    /// Signatures that were known to hold.
    pub(super) signatures_known: Counter,
}

/// Messages and bytes by kind.
#[derive(Debug, Default)]
pub(super) struct Kinds {
    messages: [Counter; KINDS.len()],
    bytes: [Counter; KINDS.len()],
}

impl Kinds {
    pub(super) fn count(&self, kind: MessageKind, bytes: usize) {
        let index = usize::from(kind as u8);
        if let (Some(messages), Some(all)) = (self.messages.get(index), self.bytes.get(index)) {
            messages.increment();
            all.add(bytes as u64);
        }
    }

    /// Words, messages and bytes.
    pub(super) fn rows(&self) -> impl Iterator<Item = (&'static str, u64, u64)> {
        let rows = KINDS.into_iter().zip(&self.messages).zip(&self.bytes);
        rows.map(|((word, messages), bytes)| (word, messages.get(), bytes.get()))
            .skip(1)
    }
}

impl Counters {
    pub(super) fn lose(&self, reason: Loss, count: u64) {
        if let Some(counter) = self.drops.get(reason as usize) {
            counter.add(count);
        }
    }

    pub(super) fn refuse(&self, reason: Refusal) {
        if let Some(counter) = self.refusals.get(reason as usize) {
            counter.increment();
        }
    }

    pub(super) fn losses(&self) -> impl Iterator<Item = (Loss, u64)> {
        let rows = Loss::ALL.iter().zip(&self.drops);
        rows.map(|(reason, counter)| (*reason, counter.get()))
    }

    pub(super) fn refusals(&self) -> impl Iterator<Item = (Refusal, u64)> {
        let rows = Refusal::ALL.iter().zip(&self.refusals);
        rows.map(|(reason, counter)| (*reason, counter.get()))
    }
}

/// What is counted of one peer.
#[derive(Debug, Default)]
pub(super) struct PeerCounters {
    pub(super) sent: Counter,
    pub(super) received: Counter,
    pub(super) drops_sent: Counter,
    pub(super) drops_received: Counter,
    pub(super) bad_signatures: Counter,
    pub(super) useless: Counter,
    pub(super) connects: Counter,
}

#[cfg(test)]
mod tests {
    use super::*;
    use consensus::Wire as _;

    #[test]
    fn every_kind_has_its_word_and_no_other_has() {
        for number in 0..=u8::MAX {
            let is_kind = MessageKind::from_bytes(&[number]).is_ok();
            let has_word = number > 0 && KINDS.get(usize::from(number)).is_some();
            assert_eq!(is_kind, has_word, "{number}");
        }
    }
}
