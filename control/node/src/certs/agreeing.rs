//! [`Agreeing`]: how a verdict comes by the word of other nodes, and how they come by this node's.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use consensus::NodeId;
use ct::Hash;
use pki::Status;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::{Case, Judge};
use crate::agreement::{
    AgreementHandle, CertificateInquiry, Decided, Judging, Proposal, Verdict, request_digest,
};
use crate::inquiries::{Admission, Inquiries};

/// Chains of other nodes that are judged at the same time. None waits for another: most of their time they wait for strangers.
const INQUIRIES_MAX: usize = 64;
/// One that takes longer gives up its place. The proposer has asked again long before.
const INQUIRY_TIMEOUT: Duration = Duration::from_secs(10);

/// The way to other nodes and back.
pub(super) struct Agreeing {
    handle: AgreementHandle,
    /// Where chains of other nodes are judged.
    runtime: Handle,
    timeout: Duration,
    /// By digests of claims.
    waiting: Mutex<HashMap<[u8; 32], Vec<oneshot::Sender<Verdict>>>>,
    inquiries: Mutex<Tickets>,
}

struct Tickets {
    /// Tokens by proposer and all that is asked: nobody stands behind what somebody else has begun.
    inquiries: Inquiries<(NodeId, Hash), u64>,
    next: u64,
}

impl Agreeing {
    pub(super) fn new(handle: AgreementHandle, runtime: Handle, timeout: Duration) -> Self {
        Self {
            handle,
            runtime,
            timeout,
            waiting: Mutex::default(),
            inquiries: Mutex::new(Tickets {
                inquiries: Inquiries::new(INQUIRIES_MAX),
                next: 0,
            }),
        }
    }

    /// How long the word of the others is waited for.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Waits for the word of the others. Those who claim the same at the same time share a round.
    pub(super) async fn agree(&self, proposal: Proposal) -> Verdict {
        let digest = proposal.digest;
        let (sender, decided) = oneshot::channel();
        let is_first = {
            let mut waiting = self.waiting();
            let senders = waiting.entry(digest).or_default();
            senders.push(sender);
            senders.len() == 1
        };
        if is_first && !self.handle.propose(proposal) {
            self.decide(&digest, Verdict::Undecided);
        }
        let decided = tokio::time::timeout(self.timeout, decided).await;
        if let Ok(Ok(verdict)) = decided {
            return verdict;
        }
        // What is decided later finds nobody.
        let mut waiting = self.waiting();
        if let Some(senders) = waiting.get_mut(&digest) {
            senders.retain(|sender| !sender.is_closed());
            if senders.is_empty() {
                waiting.remove(&digest);
            }
        }
        Verdict::Undecided
    }

    fn decide(&self, digest: &[u8; 32], verdict: Verdict) {
        let senders = self.waiting().remove(digest);
        for sender in senders.into_iter().flatten() {
            let _ = sender.send(verdict); // Who has given up needs no word.
        }
    }

    /// Whether nobody waits.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.waiting().is_empty()
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<[u8; 32], Vec<oneshot::Sender<Verdict>>>> {
        // Whole between any two of its methods, as are the tickets.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tickets(&self) -> MutexGuard<'_, Tickets> {
        let tickets = self.inquiries.lock();
        tickets.unwrap_or_else(PoisonError::into_inner)
    }

    /// The ticket with which a chain is to be judged. `None`: it is being judged already, or there is no room.
    fn admit(&self, inquiry: &CertificateInquiry, digest: Hash) -> Option<u64> {
        let mut tickets = self.tickets();
        let ticket = tickets.next;
        tickets.next += 1;
        let (proposer, token) = (inquiry.proposer, inquiry.token);
        let subject = (proposer, digest);
        let admission = tickets.inquiries.admit(ticket, subject, proposer, token);
        drop(tickets);
        match admission {
            Admission::Begin => return Some(ticket),
            Admission::Joined => {}
            Admission::Full => self.handle.judged(token, None),
        }
        None
    }

    fn finish(&self, ticket: u64, status: Option<Status>) {
        let finished = self.tickets().inquiries.finish(ticket);
        for token in finished.into_iter().flat_map(|(_, tokens)| tokens) {
            self.handle.judged(token, status);
        }
    }
}

/// Without agreement it is asked nothing, and told nothing.
impl Judging for Judge {
    fn inquire(&self, inquiries: Vec<CertificateInquiry>) {
        let Some(agreeing) = self.agreeing() else {
            return;
        };
        for inquiry in inquiries {
            let digest = request_digest(&inquiry.request);
            if let Some(verdict) = self.0.stores.finding(&digest) {
                agreeing.handle.judged(inquiry.token, Some(verdict.status));
                continue;
            }
            let Some(ticket) = agreeing.admit(&inquiry, digest) else {
                continue;
            };
            let judge = self.clone();
            agreeing.runtime.spawn(async move {
                let case = Case {
                    setting: judge.setting(),
                    request: inquiry.request,
                    key: Some(digest),
                };
                // What comes too late for this vote is there for the next one.
                let found = judge.find(&case, Vec::new());
                let found = tokio::time::timeout(INQUIRY_TIMEOUT, found).await;
                let status = found.ok().and_then(Result::ok);
                if let Some(agreeing) = judge.agreeing() {
                    agreeing.finish(ticket, status.map(|verdict| verdict.status));
                }
            });
        }
    }

    fn decided(&self, decided: Vec<Decided>) {
        for (proposal, verdict) in decided {
            if let Some(agreeing) = self.agreeing() {
                agreeing.decide(&proposal.digest, verdict);
            }
        }
    }
}

impl fmt::Debug for Agreeing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Agreeing").finish_non_exhaustive()
    }
}
