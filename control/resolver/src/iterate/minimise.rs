//! How much of a name each server sees (RFC 9156).

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;

use super::cache::Want;
use super::config::QnameMinimisation;
use super::lookup::{Denied, Look, Resolution};
use super::name::WireName;
use super::resolver::Resolver;
use super::task::Task;
use super::walk::Ending;

/// Queries for less than the whole name, and how many of them add one label (RFC 9156 §2.3).
const MINIMISED_MAX: u8 = 10;
const MINIMISED_ONE_LABEL: u8 = 4;
/// Messages to one server for a part of a name.
const ATTEMPTS_PART_MAX: u8 = 1;

impl Resolver {
    /// Skips the labels that the cache already knows about (RFC 9156 §3); ends the task if a part
    /// of the name does not exist and that is believed.
    pub(super) fn minimise(&mut self, now_ms: u64, task: &mut Task) -> Option<Ending> {
        while let Some(part) = self.part(task) {
            let want = Want {
                helpers: false,
                unchecked: false,
                stale: false,
            };
            match self.cache.look(now_ms, &part, RecordType::A, want) {
                Look::Nothing => return None,
                Look::Denied {
                    rcode: ResponseCode::NXDomain,
                    proof,
                    security,
                    ttl_secs,
                    ..
                } => {
                    if self.config.qname_minimisation == QnameMinimisation::Strict {
                        let chain = std::mem::take(&mut task.chain);
                        let rcode = ResponseCode::NXDomain;
                        let denied = Denied {
                            name: part,
                            security,
                        };
                        return Some(Ok(Resolution::denied(
                            rcode, chain, denied, proof, ttl_secs, false,
                        )));
                    }
                    self.show_whole(task);
                }
                Look::Data { .. } | Look::Denied { .. } | Look::Alias { .. } => {
                    self.show_more(task)
                }
            }
        }
        None
    }

    /// The part of the name to show to the servers of the current zone; `None` for all of it.
    pub(super) fn part(&self, task: &Task) -> Option<WireName> {
        let place = task.place.as_ref()?;
        let whole = self.config.qname_minimisation == QnameMinimisation::Off
            || place.forward.is_some()
            || place.whole_name;
        let labels = place.zone.label_count() + place.labels_shown;
        (!whole && labels < task.sname.label_count()).then(|| task.sname.last_labels(labels))
    }

    /// The type to ask the current servers for.
    pub(super) fn qtype(&self, task: &Task) -> RecordType {
        match self.part(task) {
            Some(_) => RecordType::A,
            None => task.key.rtype,
        }
    }

    /// How often a server is asked in this step. A part of the name is given up sooner, so that time
    /// is left to ask for the whole.
    pub(super) fn attempts_max(&self, task: &Task) -> u8 {
        let relaxed = self.config.qname_minimisation == QnameMinimisation::Relaxed;
        let attempts_max = self.config.limits.attempts_max;
        if relaxed && self.part(task).is_some() {
            attempts_max.min(ATTEMPTS_PART_MAX)
        } else {
            attempts_max
        }
    }

    /// Shows one label more, or several when many are left (RFC 9156 §2.3).
    pub(super) fn show_more(&self, task: &mut Task) {
        let Some(place) = &mut task.place else { return };
        task.minimised += 1;
        let shown = place.zone.label_count() + place.labels_shown;
        let left = task.sname.label_count().saturating_sub(shown);
        match MINIMISED_MAX.checked_sub(task.minimised) {
            None | Some(0) => place.whole_name = true,
            Some(_) if task.minimised <= MINIMISED_ONE_LABEL => place.labels_shown += 1,
            Some(steps) => place.labels_shown += left.div_ceil(usize::from(steps)).max(1),
        }
    }

    /// Gives up minimisation for this zone.
    pub(super) fn show_whole(&mut self, task: &mut Task) {
        if let Some(place) = &mut task.place {
            place.whole_name = true;
            self.counters.minimisation_fallbacks += 1;
        }
    }
}
