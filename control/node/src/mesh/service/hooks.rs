//! What the replica's thread does for the rest of the node: pass on, and never wait.

use consensus::Observation;
use crossbeam_channel::{Sender, TrySendError};
use ledger::Ledger;

use super::zone_keeper::{News, ZoneNews};
use crate::agreement::{AgreementHandle, Extension};
use crate::ct_log::{LogMessages, LogNews};
use crate::mesh::driver::{Event, Hooks, Publication, Settle};

/// The ledger's news go to the zone keeper, messages on answers to their thread, events to the watcher.
#[derive(Debug)]
pub(super) struct LedgerHooks {
    pub(super) zones: ZoneNews,
    pub(super) events: Sender<Event>,
    pub(super) answers: AgreementHandle,
    pub(super) extension: Extension,
    /// The certificate log, if this node has a part in one.
    pub(super) log: Option<(LogNews, LogMessages)>,
}

impl Hooks<Ledger> for LedgerHooks {
    fn on_applied(&mut self, ledger: &mut Ledger) -> Option<Publication> {
        let (news, of_log) = (News::of(ledger), ledger.take_ct_news());
        let log = self.log.as_ref().map(|(log, _)| log.clone());
        let log = log.filter(|_| !of_log.is_empty());
        if news.is_empty() && log.is_none() {
            return None;
        }
        let zones = self.zones.clone();
        Some(Box::new(move || {
            if !news.is_empty() {
                zones.say(news);
            }
            if let Some(log) = log {
                log.say(of_log);
            }
        }))
    }

    fn on_event(&mut self, event: Event) {
        let event = match event {
            Event::Message(from, bytes) => {
                let left = match &self.log {
                    Some((_, messages)) => messages.take(from, bytes),
                    None => Some(bytes),
                };
                if let Some(bytes) = left {
                    self.answers.on_message(from, bytes);
                }
                return;
            }
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

    fn settle(&self) -> Settle {
        match &self.log {
            Some((log, _)) => {
                let log = log.clone();
                Box::new(move || log.sync())
            }
            None => Box::new(|| Ok(())),
        }
    }
}
