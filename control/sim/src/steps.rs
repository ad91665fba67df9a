//! What a replica is told, and what becomes of what it wants done.

use consensus::{Configuration, Effect, Input, Member, Observation, Signer as _};

use crate::disk::Done;
use crate::world::{Event, Sabotage, World};

impl World {
    pub(crate) fn step(&mut self, index: usize, input: Input) {
        let now_us = self.now_us;
        let process = &mut self.processes[index];
        let now = process.now(now_us);
        let Some(replica) = &mut process.replica else {
            return;
        };
        let mut effects = Vec::new();
        replica.step(now, input, &mut effects);
        self.report.steps += 1;
        self.perform(index, effects);
    }

    /// Looks at a replica after its step.
    fn judge(&mut self, index: usize) {
        let process = &self.processes[index];
        let Some(replica) = process
            .replica
            .as_ref()
            .filter(|_| self.is_honest(process.node))
        else {
            return;
        };
        let summary = replica.summary();
        self.report.view_max = self.report.view_max.max(summary.view.0);
        self.report.epoch_max = self.report.epoch_max.max(summary.epoch.0);
        if let Some(excess) = crate::bounds::excess(&summary, replica.configuration()) {
            let id = process.key.id();
            self.oracle
                .fail(format!("node {id} keeps too much: {excess}"));
        }
    }

    /// Takes over what a step wants done, unless the node crashes amid it. A state that has changed is
    /// published before anybody hears of the change, and behind the records that it rests on.
    pub(crate) fn perform(&mut self, index: usize, effects: Vec<Effect>) {
        self.judge(index);
        let (id, node) = (self.processes[index].key.id(), self.processes[index].node);
        let mut publication = self.processes[index].publication();
        let is_executed =
            |effect: &Effect| matches!(effect, Effect::Observe(Observation::Executed(_)));
        let mut rests_on = effects.iter().rposition(is_executed).unwrap_or(0);
        for (place, effect) in effects.iter().enumerate() {
            let tells = matches!(effect, Effect::Executed { .. } | Effect::ReadReady(_));
            if (tells || is_executed(effect))
                && let Some(publication) = publication.take()
            {
                rests_on = rests_on.max(place);
                let between = effects[place..rests_on].iter();
                let is_record = |effect: &&Effect| {
                    matches!(effect, Effect::Persist(_) | Effect::Install { .. })
                };
                let more = between.filter(is_record).count() as u64;
                self.processes[index].disk.publish(publication, more);
            }
            if self.is_honest(node) {
                self.oracle.on_wish(id, effect);
            }
            if self.processes[index].is_last_effect() {
                return self.crash(index);
            }
            self.processes[index].disk.push(effect.clone());
        }
        if let Some(publication) = publication {
            self.processes[index].disk.publish(publication, 0);
        }
        self.release(index);
    }

    /// Lets everything happen that needs not wait for the disk.
    pub(crate) fn release(&mut self, index: usize) {
        let early = self.options.sabotage == Sabotage::SendBeforeDurable;
        while let Some(done) = self.processes[index].disk.next(early) {
            if self.processes[index].is_last_effect() {
                return self.crash(index);
            }
            let process = &mut self.processes[index];
            let (id, is_honest) = (process.key.id(), self.liars[process.node].is_none());
            match done {
                Done::Published(publication) => {
                    process.values = publication.values;
                    let news = publication.news;
                    if is_honest {
                        self.oracle.on_entries(id, &publication.entries);
                    }
                    self.decide(index, news);
                }
                Done::Appended(item) if is_honest => self.oracle.on_append(id, &item),
                Done::Kept(body) if is_honest => self.oracle.on_body(id, &body),
                Done::Own | Done::Appended(_) | Done::Kept(_) => {}
                Done::Effect(effect) => self.act(index, *effect),
            }
        }
        let process = &mut self.processes[index];
        if process.disk.begin_sync() {
            let takes =
                process.random.between(100, 1_500) + process.random.below(process.disk_us + 1);
            let (life, at_us) = (process.life, self.now_us + takes);
            self.queue(at_us, Event::Synced(index, life));
        }
        self.schedule_tick(index);
    }

    fn schedule_tick(&mut self, index: usize) {
        let process = &mut self.processes[index];
        let Some(deadline) = process.replica.as_ref().and_then(|r| r.deadline_us()) else {
            return;
        };
        let at_us = process.clock.true_us(deadline).max(self.now_us + 1);
        if process.tick_us.is_none_or(|before| at_us < before) {
            process.tick_us = Some(at_us);
            let life = process.life;
            self.queue(at_us, Event::Tick(index, life));
        }
    }

    pub(crate) fn tick(&mut self, index: usize) {
        let process = &mut self.processes[index];
        if process.tick_us == Some(self.now_us) {
            process.tick_us = None;
        }
        let now = process.now(self.now_us);
        let deadline = process.replica.as_ref().and_then(|r| r.deadline_us());
        if deadline.is_some_and(|deadline| deadline <= now.monotonic_us) {
            self.step(index, Input::Tick);
        } else {
            self.schedule_tick(index);
        }
    }

    fn act(&mut self, index: usize, effect: Effect) {
        let configuration = self.processes[index]
            .replica
            .as_ref()
            .map(|r| r.configuration());
        let own = self.processes[index].key.id();
        match effect {
            Effect::Send(to, message) => self.send(index, &[to], &message),
            Effect::Broadcast(message) => {
                let voters: Vec<_> = configuration.map_or(Vec::new(), |c| c.voters().collect());
                let others: Vec<_> = voters.into_iter().filter(|id| *id != own).collect();
                self.send(index, &others, &message);
            }
            Effect::Announce(message) => {
                let without_vote = |c: &Configuration| {
                    let members = c.members().filter(|member| !member.role.votes());
                    members.map(Member::id).collect::<Vec<_>>()
                };
                let others: Vec<_> = configuration.map_or(Vec::new(), without_vote);
                self.send(index, &others, &message);
            }
            Effect::Executed {
                id,
                sequence,
                reply,
            } => {
                if self.is_honest(self.processes[index].node) {
                    self.oracle.on_reply(own, id, sequence, &reply);
                }
                self.on_executed(index, id);
            }
            Effect::ReadReady(token) => self.on_read(index, token, true),
            Effect::ReadFailed(token) => self.on_read(index, token, false),
            Effect::ServeLog {
                to,
                after,
                transitions,
            } => self.serve_log(index, to, after, transitions),
            Effect::ServeChunk {
                to,
                sequence,
                index: part,
            } => self.serve_chunk(index, to, sequence, part),
            Effect::Evidence(evidence) => {
                self.report.evidence += 1;
                let node = self.processes[index].node;
                self.trace(|| format!("{node} has evidence: {evidence:?}"));
            }
            Effect::Observe(what) => {
                self.report.observe(&what);
                let node = self.processes[index].node;
                self.trace(|| format!("{node}     {what:?}"));
            }
            Effect::Configured(configuration) => {
                let node = self.processes[index].node;
                self.trace(|| format!("{node} is in epoch {}", configuration.epoch()));
            }
            // The disk's, or an application's.
            _ => {}
        }
    }
}
