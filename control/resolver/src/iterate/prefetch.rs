//! Names in use are resolved again before they expire, so that no client waits for that.
//!
//! An answer from the cache that has come to the last tenth of its life begins a resolution for which
//! nobody waits. It reads the cache as all do, except that what is in its last tenth counts as absent.

use super::ask::refusal;
use super::lookup::Look;
use super::message::Question;
use super::name::WireName;
use super::resolver::Resolver;
use super::task::{Task, TaskKey};

/// Resolutions for which nobody waits at the same time; further names are left to expire.
const PREFETCHES_MAX: usize = 256;
/// They may take this part of all places for resolutions: the rest is for clients.
const TASKS_SHARE: usize = 4;

impl Resolver {
    /// Begins to resolve a question anew whose cached answer nears its end. At most once at a time,
    /// and not again soon if that fails.
    pub(super) fn prefetch(&mut self, now_ms: u64, key: &TaskKey) {
        let limits = self.config.limits;
        // What checking clients bring is not judged, and must not take the place of what was.
        let is_unjudged = key.checking_disabled && self.trust.is_some();
        let room = self.prefetching < PREFETCHES_MAX
            && self.tasks.len() < limits.tasks_max / TASKS_SHARE
            && self.exchanges.len() < limits.exchanges_max / TASKS_SHARE;
        if !self.config.prefetch
            || is_unjudged
            || !room
            || self.tasks.find(key).is_some()
            || self.failures.find(now_ms, key).is_some()
        {
            return;
        }
        self.prefetching += 1;
        self.counters.prefetches += 1;
        let id = self.begin(now_ms, key.clone());
        if let Some(task) = self.tasks.get_mut(id) {
            task.refreshes = true;
        }
    }

    /// A question is answered elsewhere out of an answer that will soon expire.
    pub(super) fn on_refresh(&mut self, now_ms: u64, question: &Question) {
        if refusal(question).is_some() {
            return;
        }
        let key = self.key(question);
        self.cache.take_due();
        if self.cached(now_ms, &key).is_some() && self.cache.take_due() {
            self.prefetch(now_ms, &key);
        }
    }

    /// A task ended.
    pub(super) fn note_prefetched(&mut self, task: &Task) {
        self.prefetching -= usize::from(task.refreshes);
    }

    /// What the cache says for a task: to one that refreshes, what is about to expire is not there.
    pub(super) fn look_for(
        &mut self,
        task: &Task,
        look: impl FnOnce(&mut Self, &TaskKey, &WireName) -> Look,
    ) -> Look {
        self.cache.take_due();
        let found = look(self, &task.key, &task.sname);
        if task.refreshes && self.cache.take_due() {
            Look::Nothing
        } else {
            found
        }
    }
}
