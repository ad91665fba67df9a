//! What the replica's thread does for the rest of the node: pass on, and never wait.

use crossbeam_channel::{Sender, TrySendError};
use ledger::Ledger;

use super::zone_keeper::{News, ZoneNews};
use crate::mesh::driver::{Event, Hooks, Publication};

/// The ledger's news go to the zone keeper, events to the watcher.
#[derive(Debug)]
pub(super) struct LedgerHooks {
    pub(super) zones: ZoneNews,
    pub(super) events: Sender<Event>,
}

impl Hooks<Ledger> for LedgerHooks {
    fn on_applied(&mut self, ledger: &mut Ledger) -> Option<Publication> {
        let news = News::of(ledger);
        if news.is_empty() {
            return None;
        }
        let zones = self.zones.clone();
        Some(Box::new(move || zones.say(news)))
    }

    fn on_event(&mut self, event: Event) {
        match self.events.try_send(event) {
            // Statistics can bear a gap; so can proposals of answers, which time out.
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }
}
