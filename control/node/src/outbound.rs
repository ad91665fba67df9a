//! Replies on their way to one worker: into its ring, or into a bounded backlog while that is full.

use std::collections::VecDeque;

use exchange::{Doorbell, HEADERS_BYTES_MAX, PushError, Reply, ReplyMeta, ReplyProducer};

/// Replies that wait for room in the ring; further ones are lost, and the clients ask again. As many as
/// answers of the engine may come at once, when a server that thousands wait for turns out to be down.
const BACKLOG_MAX: usize = 16_384;
/// Replies behind which a name to forget does not wait: the caller makes all answers dead instead.
const FLUSH_BACKLOG_MAX: usize = 1024;
/// Replies behind which a datagram for another node does not wait: whoever sent it sends it again.
const MESH_BACKLOG_MAX: usize = 256;

/// A worker's reply header template, to be returned with the reply.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Template {
    bytes: [u8; HEADERS_BYTES_MAX],
    length: u8,
}

impl Template {
    /// A copy of `headers`, which came in a punt.
    pub(crate) fn new(headers: &[u8]) -> Self {
        let mut bytes = [0; HEADERS_BYTES_MAX];
        bytes[..headers.len()].copy_from_slice(headers);
        Self {
            bytes,
            length: u8::try_from(headers.len()).unwrap_or(0),
        }
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

/// What a worker is to do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outgoing<'a> {
    /// Send this, and keep it if there is `meta`.
    Answer {
        template: &'a Template,
        message: &'a [u8],
        meta: Option<ReplyMeta>,
    },
    /// Send this to another node.
    Mesh {
        template: &'a Template,
        message: &'a [u8],
    },
    /// Forget a name.
    Flush { qname: &'a [u8], subtree: bool },
}

/// An [`Outgoing`] that found no room.
#[derive(Debug)]
enum Held {
    Answer {
        template: Template,
        message: Box<[u8]>,
        meta: Option<ReplyMeta>,
    },
    Mesh {
        template: Template,
        message: Box<[u8]>,
    },
    Flush {
        qname: Box<[u8]>,
        subtree: bool,
    },
}

/// The reply was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lost;

/// The way to one worker.
#[derive(Debug)]
pub(crate) struct Outbound {
    replies: ReplyProducer,
    bell: Doorbell,
    unpublished: bool,
    backlog: VecDeque<Held>,
}

impl Outbound {
    /// Over this ring, waking the worker by this bell.
    pub(crate) fn new(replies: ReplyProducer, bell: Doorbell) -> Self {
        Self {
            replies,
            bell,
            unpublished: false,
            backlog: VecDeque::new(),
        }
    }

    /// Sends, or holds while the ring is full. The worker sees it after [`Outbound::publish`].
    pub(crate) fn send(&mut self, outgoing: Outgoing<'_>) -> Result<(), Lost> {
        if self.backlog.is_empty() {
            match self.push(outgoing) {
                Err(PushError::Full) => {}
                Ok(()) => return Ok(()),
                Err(_) => return Err(Lost),
            }
        }
        let backlog_max = match outgoing {
            Outgoing::Answer { .. } => BACKLOG_MAX,
            Outgoing::Mesh { .. } => MESH_BACKLOG_MAX,
            Outgoing::Flush { .. } => FLUSH_BACKLOG_MAX,
        };
        if self.backlog.len() >= backlog_max {
            return Err(Lost);
        }
        self.backlog.push_back(outgoing.hold());
        Ok(())
    }

    /// Sends what was held, in order. False: there is still no room, and whoever asks this worker's
    /// punts for more would only add to it.
    pub(crate) fn has_room(&mut self) -> bool {
        while let Some(held) = self.backlog.pop_front() {
            if self.push(held.outgoing()) == Err(PushError::Full) {
                self.backlog.push_front(held);
                return false;
            }
        }
        true
    }

    /// Whether replies wait for room.
    pub(crate) fn is_held_up(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// Shows the worker what it was sent.
    pub(crate) fn publish(&mut self) {
        if std::mem::take(&mut self.unpublished) && self.replies.publish() {
            self.bell.kick();
        }
    }

    fn push(&mut self, outgoing: Outgoing<'_>) -> Result<(), PushError> {
        self.replies.push(&outgoing.reply())?;
        self.unpublished = true;
        Ok(())
    }
}

impl<'a> Outgoing<'a> {
    fn reply(&self) -> Reply<'a> {
        match *self {
            Self::Answer {
                template,
                message,
                meta: Some(meta),
            } => Reply::Answer {
                headers: template.as_slice(),
                message,
                meta,
            },
            Self::Answer {
                template,
                message,
                meta: None,
            } => Reply::AnswerUncached {
                headers: template.as_slice(),
                message,
            },
            Self::Mesh { template, message } => Reply::Mesh {
                headers: template.as_slice(),
                message,
            },
            Self::Flush { qname, subtree } => Reply::Flush { qname, subtree },
        }
    }

    fn hold(&self) -> Held {
        match *self {
            Self::Answer {
                template,
                message,
                meta,
            } => Held::Answer {
                template: *template,
                message: message.into(),
                meta,
            },
            Self::Mesh { template, message } => Held::Mesh {
                template: *template,
                message: message.into(),
            },
            Self::Flush { qname, subtree } => Held::Flush {
                qname: qname.into(),
                subtree,
            },
        }
    }
}

impl Held {
    fn outgoing(&self) -> Outgoing<'_> {
        match self {
            Self::Answer {
                template,
                message,
                meta,
            } => Outgoing::Answer {
                template,
                message,
                meta: *meta,
            },
            Self::Mesh { template, message } => Outgoing::Mesh { template, message },
            Self::Flush { qname, subtree } => Outgoing::Flush {
                qname,
                subtree: *subtree,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use exchange::{Region, RegionConfig, WorkerSide};

    use super::*;

    const SLOTS: u32 = 4;

    fn ring() -> (WorkerSide, Outbound) {
        let config = RegionConfig {
            reply_slots: SLOTS,
            ..RegionConfig::default()
        };
        let region = Region::create(&config).unwrap();
        let mut side = region.attach_control().unwrap().control(1).unwrap();
        let outbound = Outbound::new(side.replies.remove(0), Doorbell::new().unwrap());
        (region.worker(0).unwrap(), outbound)
    }

    fn send(outbound: &mut Outbound, number: u16) -> Result<(), Lost> {
        let template = Template::new(&number.to_be_bytes());
        outbound.send(Outgoing::Answer {
            template: &template,
            message: b"message",
            meta: None,
        })
    }

    /// Takes all that is there and continues the count.
    fn receive(worker: &mut WorkerSide, next: &mut u16) {
        while let Some(reply) = worker.replies.pop() {
            let Ok(Reply::AnswerUncached {
                headers,
                message: b"message",
            }) = reply
            else {
                panic!("{reply:?}")
            };
            assert_eq!(headers, next.to_be_bytes());
            *next += 1;
        }
    }

    #[test]
    fn more_replies_than_the_ring_holds_arrive_in_order() {
        let (mut worker, mut outbound) = ring();
        for number in 0..20 {
            send(&mut outbound, number).unwrap();
        }
        assert!(outbound.is_held_up());
        let mut next = 0;
        while !outbound.has_room() || next < 20 {
            outbound.publish();
            receive(&mut worker, &mut next);
        }
        assert!(!outbound.is_held_up());
    }

    #[test]
    fn a_worker_that_takes_nothing_costs_a_bounded_backlog() {
        let (_worker, mut outbound) = ring();
        let taken = (0..20_000)
            .filter(|number| send(&mut outbound, *number).is_ok())
            .count();
        assert_eq!(taken, BACKLOG_MAX + usize::try_from(SLOTS).unwrap());
    }
}
