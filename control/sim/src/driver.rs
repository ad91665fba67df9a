//! What stands around a replica: crashes and other faults, clients, and answers from the disk.

use std::sync::Arc;

use consensus::{
    CHUNK_BYTES_MAX, Input, Message, NodeId, Request, RequestId, Sequence, SnapshotOffer,
    Transition, Verified,
};

use crate::fault::{Fault, Lie, Turn};
use crate::linear::{Action, Operation};
use crate::machine::{Change, Command, hash};
use crate::process::Pending;
use crate::world::{Event, Sabotage, World, member};

/// The lane of requests that change the members.
const TURN_LANE: u32 = 63;
/// A client asks its node again after this.
const RETRY_US: u64 = 700_000;
/// Bytes of history in one answer: small, so that it takes several.
const HISTORY_BYTES: usize = 6_000;

impl World {
    pub(crate) fn begin(&mut self, fault: Fault) {
        if self.is_healed {
            return;
        }
        self.report.count_fault(&fault);
        match fault {
            Fault::Crash {
                node,
                effects,
                down_us,
                torn,
                ..
            } => {
                let indices = self.processes_of(node);
                for index in indices {
                    let process = &mut self.processes[index];
                    if process.replica.is_some() && process.doom.is_none() {
                        process.doom = Some((effects, down_us, torn));
                    }
                }
            }
            Fault::SlowDisk { node, most_us, .. } => {
                self.each(node, |process| process.disk_us = most_us);
            }
            Fault::Clock {
                node,
                rate_ppm,
                offset_ms,
            } => self.each(node, |process| {
                process.clock.rate_ppm = rate_ppm;
                process.clock.offset_ms = offset_ms;
            }),
            Fault::ClockJump { node, by_ms, .. } => {
                self.each(node, |process| process.clock.jump_ms = by_ms);
            }
            Fault::Change { turn, .. } => self.turn(turn),
            // The network's, and the liars'.
            _ => return,
        }
        self.trace(|| format!("fault: {fault:?}"));
    }

    pub(crate) fn end(&mut self, fault: Fault) {
        match fault {
            Fault::SlowDisk { node, .. } => self.each(node, |process| process.disk_us = 0),
            Fault::ClockJump { node, .. } => self.each(node, |process| process.clock.jump_ms = 0),
            _ => {}
        }
    }

    fn each(&mut self, node: usize, change: impl Fn(&mut crate::process::Process)) {
        self.processes
            .iter_mut()
            .filter(|process| process.node == node)
            .for_each(change);
    }

    fn processes_of(&self, node: usize) -> Vec<usize> {
        let all = self.processes.iter().enumerate();
        all.filter(|(_, process)| process.node == node)
            .map(|(index, _)| index)
            .collect()
    }

    pub(crate) fn crash(&mut self, index: usize) {
        let node = self.processes[index].node;
        let forgets = self.options.sabotage == Sabotage::ForgetPromises && self.is_honest(node);
        let wipes = self.liars[node]
            .as_ref()
            .is_some_and(|liar| liar.does(Lie::Amnesia));
        self.crash_log(index);
        let process = &mut self.processes[index];
        let (_, down_us, torn) = process.doom.take().unwrap_or((0, 1_000, false));
        process.replica = None;
        process.disk.crash(torn, &mut process.random);
        if wipes {
            process.disk.wipe();
        }
        if forgets {
            process.disk.forget_log();
        }
        self.trace(|| format!("{node} crashes"));
        self.report.crashes += 1;
        self.queue(self.now_us + down_us, Event::Boot(index));
    }

    /// From now on nothing goes wrong but the liars.
    pub(crate) fn heal(&mut self) {
        self.trace(|| "all faults end".to_owned());
        self.is_healed = true;
        self.network.heal();
        for process in &mut self.processes {
            process.doom = None;
            process.disk_us = 0;
            process.clock.jump_ms = 0;
        }
        let down = (0..self.processes.len()).filter(|index| {
            let process = &self.processes[*index];
            process.life > 0 && process.replica.is_none()
        });
        for index in down.collect::<Vec<_>>() {
            self.queue(self.now_us, Event::Boot(index));
        }
        for index in 0..self.processes.len() {
            for lane in 0..self.processes[index].lanes.len() {
                self.wake(index, lane, 0);
            }
        }
    }

    /// Asks for other members in the name of some honest node.
    fn turn(&mut self, turn: Turn) {
        let reserve = self.plan.nodes() - 1;
        let newcomer = || member(&self.plan, &self.keys[reserve], reserve);
        let change = match turn {
            Turn::Rotate(by) => Change::Rotate(by),
            Turn::Isolate(node) => Change::Isolate(self.processes_id(node)),
            Turn::Release => Change::Release,
            Turn::Join => Change::Add(newcomer()),
            Turn::Leave(node) => Change::Remove(self.processes_id(node)),
            Turn::Rekey(node) => Change::Rekey(self.processes_id(node), newcomer()),
        };
        if matches!(turn, Turn::Join | Turn::Rekey(_)) {
            for index in self.processes_of(reserve) {
                self.queue(self.now_us + 1, Event::Boot(index));
            }
        }
        let able = (0..self.processes.len()).filter(|index| {
            let process = &self.processes[*index];
            process.replica.is_some() && self.is_honest(process.node)
        });
        let able: Vec<_> = able.collect();
        if !able.is_empty() {
            let index = *self.random.pick(&able);
            let request = self.request(index, TURN_LANE, self.now_us + 1, &Command::Change(change));
            self.step(index, Input::Request(Verified::vouch(request)));
        }
    }

    fn processes_id(&self, node: usize) -> NodeId {
        use consensus::Signer as _;
        self.keys[node].id()
    }

    pub(crate) fn request(
        &mut self,
        index: usize,
        lane: u32,
        timestamp: u64,
        command: &Command,
    ) -> Request {
        let bytes = command.bytes();
        let name = hash(&bytes);
        let process = &self.processes[index];
        let request = Request::sign(self.cluster, &process.key, lane, timestamp, bytes);
        if self.is_honest(process.node) {
            self.oracle.on_issued(request.id, name);
        }
        request
    }

    /// Whether clients of this process count: liars' do not.
    fn is_judged(&self, index: usize) -> bool {
        self.is_honest(self.processes[index].node)
    }

    pub(crate) fn start_clients(&mut self, index: usize) {
        let rest_us = self.plan.rest_us;
        for lane in 0..self.processes[index].lanes.len() {
            let process = &mut self.processes[index];
            // A client of before the crash asks again, or gives up and never learns.
            let gives_up = process.random.chance(50);
            let state = &mut process.lanes[lane];
            let is_read = matches!(state.pending, Some(Pending::Read(..)));
            if is_read || gives_up {
                state.pending = None;
                state.is_last = false;
            }
            state.asked_us = 0;
            let rest_us = process.random.below(rest_us);
            self.wake(index, lane, rest_us);
        }
    }

    pub(crate) fn on_client(&mut self, index: usize, lane: usize) {
        let process = &mut self.processes[index];
        // Only who has the state learns what became of a request.
        let holds = process.replica.as_ref().is_some_and(|replica| {
            let member = replica.configuration().member(replica_id(&process.key));
            member.is_none_or(|member| member.role.holds_state())
        });
        if !holds {
            process.lanes[lane].is_done = true;
            return;
        }
        let state = &process.lanes[lane];
        if state.is_done {
            return;
        }
        let is_due = self.now_us >= state.asked_us + RETRY_US;
        match state.pending.clone() {
            Some(Pending::Write(request, _)) if is_due => {
                process.lanes[lane].asked_us = self.now_us;
                self.step(index, Input::Request(Verified::vouch(request)));
                self.wake(index, lane, RETRY_US);
            }
            Some(Pending::Read(..)) if is_due && self.is_healed => {
                // A read that was never answered: the barrier must say so itself.
                self.wake(index, lane, RETRY_US);
            }
            Some(_) => self.wake(index, lane, RETRY_US),
            None => self.ask(index, lane),
        }
    }

    fn wake(&mut self, index: usize, lane: usize, after_us: u64) {
        let state = &mut self.processes[index].lanes[lane];
        state.ticket += 1;
        let event = Event::Client(index, lane, state.ticket);
        self.queue(self.now_us + after_us, event);
    }

    /// A new request. After the faults one write, and no more.
    fn ask(&mut self, index: usize, lane: usize) {
        let (is_healed, now_us) = (self.is_healed, self.now_us);
        let process = &mut self.processes[index];
        let unix_us = process.now(now_us).unix_ms * 1000;
        let is_read = !is_healed && process.random.chance(40);
        let key = process.random.small(4);
        let state = &mut process.lanes[lane];
        state.is_last = is_healed;
        state.asked_us = now_us;
        let place = self.oracle.history.len();
        let process_name = format!("{}.{}/{lane}", process.node, process.copy);
        let mut operation = Operation {
            process: process_name,
            op: Action::Read,
            key: key.to_string(),
            value: None,
            call: now_us,
            end: None,
        };
        let input = if is_read {
            process.next_token += 1;
            let token = process.next_token;
            process.lanes[lane].pending = Some(Pending::Read(token, place));
            Input::Read(token)
        } else {
            let timestamp = unix_us.max(state.last_timestamp + 1);
            state.last_timestamp = timestamp;
            let value = (place as u64) << 8 | process.node as u64;
            operation.op = Action::Write;
            operation.value = Some(value.to_string());
            let lane_number = u32::try_from(lane).unwrap_or(0);
            let command = Command::Write { key, value };
            let request = self.request(index, lane_number, timestamp, &command);
            self.processes[index].lanes[lane].pending =
                Some(Pending::Write(request.clone(), place));
            Input::Request(Verified::vouch(request))
        };
        // What liars' clients see is no history; what they write is.
        if !is_read || self.is_judged(index) {
            self.oracle.history.push(operation);
        }
        self.wake(index, lane, RETRY_US);
        self.step(index, input);
    }

    pub(crate) fn on_executed(&mut self, index: usize, id: RequestId) {
        let now_us = self.now_us;
        let process = &mut self.processes[index];
        if replica_id(&process.key) != id.client {
            return;
        }
        let lane = usize::try_from(id.lane).unwrap_or(usize::MAX);
        let Some(state) = process.lanes.get_mut(lane) else {
            return;
        };
        let is_it = |pending: &mut Pending| matches!(pending, Pending::Write(request, _) if request.id == id);
        let Some(Pending::Write(_, place)) = state.pending.take_if(is_it) else {
            return;
        };
        state.is_done = state.is_last;
        let rest_us = process.random.below(self.plan.rest_us);
        if self.is_judged(index) {
            self.oracle.history[place].end = Some(now_us);
        }
        self.wake(index, lane, rest_us);
    }

    pub(crate) fn on_read(&mut self, index: usize, token: u64, is_ready: bool) {
        let now_us = self.now_us;
        let process = &mut self.processes[index];
        let is_it = |pending: &mut Pending| matches!(pending, Pending::Read(of, _) if *of == token);
        let lanes = process.lanes.iter_mut().enumerate();
        let found = lanes
            .filter_map(|(lane, state)| Some((lane, state.pending.take_if(is_it)?)))
            .next();
        let Some((lane, Pending::Read(_, place))) = found else {
            return;
        };
        let rest_us = process.random.below(self.plan.rest_us);
        if is_ready && self.liars[process.node].is_none() {
            let operation = &mut self.oracle.history[place];
            let key = operation.key.parse().unwrap_or(0);
            operation.value = process.values.get(&key).map(u64::to_string);
            operation.end = Some(now_us);
            self.report.reads += 1;
        }
        self.wake(index, lane, rest_us);
    }

    pub(crate) fn serve_log(
        &mut self,
        index: usize,
        to: NodeId,
        after: Sequence,
        transitions: Vec<Transition>,
    ) {
        let disk = &self.processes[index].disk;
        let message = match (disk.history_after(after, HISTORY_BYTES), disk.snapshot()) {
            (Some(items), _) if items.is_empty() => return,
            (Some(items), _) => Message::Log(items),
            (None, Some((certificate, body, bytes))) => {
                Message::SnapshotOffer(Box::new(SnapshotOffer {
                    transitions,
                    certificate: certificate.clone(),
                    body: body.clone(),
                    bytes_count: bytes.len() as u64,
                }))
            }
            (None, None) => return,
        };
        self.send(index, &[to], &message);
    }

    pub(crate) fn serve_chunk(&mut self, index: usize, to: NodeId, sequence: Sequence, part: u32) {
        let Some((_, body, bytes)) = self.processes[index].disk.snapshot() else {
            return;
        };
        let mut parts = bytes.chunks(CHUNK_BYTES_MAX);
        let Some(bytes) = parts
            .nth(part as usize)
            .filter(|_| body.sequence == sequence)
        else {
            return;
        };
        let message = Arc::new(Message::Chunk {
            sequence,
            index: part,
            bytes: bytes.to_vec(),
        });
        self.send(index, &[to], &message);
    }
}

fn replica_id(key: &crate::keys::Key) -> NodeId {
    use consensus::Signer as _;
    key.id()
}
