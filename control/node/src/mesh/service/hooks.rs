//! What the replica's thread does for the rest of the node: pass on, and never wait.

use consensus::Observation;
use crossbeam_channel::{Sender, TrySendError};
use ledger::Ledger;

use super::zone_keeper::{News, ZoneNews};
use crate::agreement::{AgreementHandle, Extension};
use crate::mesh::driver::{Event, Hooks, Publication};

/// The ledger's news go to the zone keeper, messages on answers to their thread, events to the watcher.
#[derive(Debug)]
pub(super) struct LedgerHooks {
    pub(super) zones: ZoneNews,
    pub(super) events: Sender<Event>,
    pub(super) answers: AgreementHandle,
    pub(super) extension: Extension,
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
        let event = match event {
            Event::Message(from, bytes) => return self.answers.on_message(from, bytes),
            Event::Configured(configuration) => {
                self.answers.configure(configuration.clone());
                Event::Configured(configuration)
            }
            Event::Observed(Observation::ViewEntered(view)) => {
                self.extension.set_view(view.0);
                Event::Observed(Observation::ViewEntered(view))
            }
            other => other,
        };
        match self.events.try_send(event) {
            // Statistics can bear a gap.
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }
}
