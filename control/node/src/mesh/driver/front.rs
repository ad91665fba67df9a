//! Wishes of this node's clients: which wait, which are on their way on which lane.
//!
//! A lane has one request on its way. While all lanes are busy wishes gather, and the next free lane
//! takes many of them in one request.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use consensus::{COMMAND_BYTES_MAX, RequestId, Sequence};
use tokio::sync::oneshot;

/// Wishes that wait at most.
const WAITING_MAX: usize = 65_536;
/// Bytes of wishes that wait at most.
const WAITING_BYTES_MAX: usize = 64 << 20;
/// Wishes in one request.
const BUNDLE_MAX: usize = 512;
/// Bytes of a request that its wishes leave to what the bundler adds.
const BUNDLE_FRAME_BYTES: usize = 1024;
/// Most bytes of a wish.
pub const WISH_BYTES_MAX: usize = COMMAND_BYTES_MAX - BUNDLE_FRAME_BYTES;

/// How a state machine's commands are put into one request, and its reply taken apart.
pub trait Bundler: Send + 'static {
    /// The command of a request that asks for all of these, in their order.
    fn bundle(&self, wishes: &[Vec<u8>]) -> Vec<u8>;

    /// The replies to the wishes of a request, in their order. Missing ones count as empty.
    fn split(&self, reply: &[u8], count: usize) -> Vec<Vec<u8>>;
}

/// What became of a wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// In which batch it was executed.
    pub sequence: Sequence,
    /// The state machine's word.
    pub bytes: Vec<u8>,
}

/// Why there is no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Nobody knows yet what becomes of it.
    #[error("not committed within {} ms; it may still be", .0.as_millis())]
    Timeout(Duration),
    /// Too many wait. It was not passed on.
    #[error("too many requests wait at this node")]
    Busy,
    /// It is too long. It was not passed on.
    #[error("{bytes} bytes; at most {WISH_BYTES_MAX} are allowed")]
    Oversized {
        /// Its bytes.
        bytes: usize,
    },
    /// The state machine does not know such a request. It was not passed on.
    #[error("the cluster knows no such request")]
    Malformed,
    /// This node takes no part any more.
    #[error("this node takes no part in the cluster: {0}")]
    Stopped(String),
    /// A read heard too few voters.
    #[error("too few voters answer")]
    NoQuorum,
}

/// Where a reply goes.
pub(super) type ReplySender = oneshot::Sender<Result<Reply, SubmitError>>;

/// One wish.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) command: Vec<u8>,
    pub(super) sender: ReplySender,
    pub(super) since: Instant,
}

/// Those who wait for one request.
#[derive(Debug)]
pub(super) struct OnItsWay {
    timestamp: u64,
    deadline: Instant,
    pub(super) clients: Vec<(ReplySender, Instant)>,
}

/// A request to be made.
#[derive(Debug)]
pub(super) struct NextRequest {
    pub(super) lane: u32,
    pub(super) wishes: Vec<Wish>,
}

/// All lanes and all that wait for one.
#[derive(Debug)]
pub(super) struct Front {
    lanes: Vec<Option<OnItsWay>>,
    waiting: VecDeque<Wish>,
    waiting_bytes: usize,
    timeout: Duration,
}

impl Front {
    pub(super) fn new(lanes_count: usize, timeout: Duration) -> Self {
        Self {
            lanes: (0..lanes_count).map(|_| None).collect(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            timeout,
        }
    }

    /// Takes a wish, or says at once that it cannot.
    pub(super) fn push(&mut self, wish: Wish) {
        let bytes = wish.command.len();
        let refused = if bytes > WISH_BYTES_MAX {
            Some(SubmitError::Oversized { bytes })
        } else {
            let is_full = self.waiting.len() >= WAITING_MAX
                || self.waiting_bytes.saturating_add(bytes) > WAITING_BYTES_MAX;
            is_full.then_some(SubmitError::Busy)
        };
        if let Some(error) = refused {
            tell(wish.sender, Err(error));
            return;
        }
        self.waiting_bytes += bytes;
        self.waiting.push_back(wish);
    }

    /// What the next free lane takes.
    pub(super) fn next_request(&mut self) -> Option<NextRequest> {
        let lane = self.lanes.iter().position(Option::is_none)?;
        let (mut wishes, mut bytes) = (Vec::new(), 0);
        while wishes.len() < BUNDLE_MAX {
            let length = self.waiting.front().map(|wish| wish.command.len());
            // What a list adds to each is at most a length.
            let Some(length) = length.filter(|length| bytes + length + 4 <= WISH_BYTES_MAX + 4)
            else {
                break;
            };
            bytes += length + 4;
            self.waiting_bytes -= length;
            wishes.extend(self.waiting.pop_front());
        }
        let lane = u32::try_from(lane).ok()?;
        (!wishes.is_empty()).then_some(NextRequest { lane, wishes })
    }

    /// A lane's request is on its way.
    pub(super) fn start(&mut self, lane: u32, timestamp: u64, wishes: Vec<Wish>, now: Instant) {
        let clients = wishes.into_iter().map(|wish| (wish.sender, wish.since));
        let on_its_way = OnItsWay {
            timestamp,
            deadline: now + self.timeout,
            clients: clients.collect(),
        };
        if let Some(place) = self.lanes.get_mut(lane as usize) {
            *place = Some(on_its_way);
        }
    }

    /// A request of this node was executed: who waits for it.
    pub(super) fn finish(&mut self, id: RequestId) -> Option<OnItsWay> {
        let place = self.lanes.get_mut(id.lane as usize)?;
        place.take_if(|on_its_way| on_its_way.timestamp == id.timestamp)
    }

    /// Tells those who have waited too long. A lane is free then: should its request come after all,
    /// before the lane's next one, it is executed all the same.
    pub(super) fn expire(&mut self, now: Instant) {
        let error = SubmitError::Timeout(self.timeout);
        for place in &mut self.lanes {
            let Some(late) = place.take_if(|on_its_way| on_its_way.deadline <= now) else {
                continue;
            };
            for (client, _) in late.clients {
                tell(client, Err(error.clone()));
            }
        }
        while let Some(wish) = self
            .waiting
            .pop_front_if(|wish| wish.since + self.timeout <= now)
        {
            self.waiting_bytes -= wish.command.len();
            tell(wish.sender, Err(error.clone()));
        }
    }

    /// When someone will have waited too long.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let lanes = self.lanes.iter().flatten();
        let lanes = lanes.map(|on_its_way| on_its_way.deadline);
        let waiting = self.waiting.front().map(|wish| wish.since + self.timeout);
        lanes.chain(waiting).min()
    }

    /// Nobody will get a reply any more.
    pub(super) fn stop(&mut self, reason: &str) {
        let error = SubmitError::Stopped(reason.to_owned());
        let lanes = self.lanes.iter_mut().filter_map(Option::take);
        let lanes = lanes.flat_map(|on_its_way| on_its_way.clients);
        let waiting = self.waiting.drain(..).map(|wish| wish.sender);
        for client in lanes.map(|(client, _)| client).chain(waiting) {
            tell(client, Err(error.clone()));
        }
        self.waiting_bytes = 0;
    }

    pub(super) fn busy_count(&self) -> usize {
        self.lanes.iter().flatten().count()
    }

    pub(super) fn waiting_count(&self) -> usize {
        self.waiting.len()
    }
}

/// A client that has gone away needs no reply.
pub(super) fn tell<T>(client: oneshot::Sender<T>, word: T) {
    let _ = client.send(word);
}
