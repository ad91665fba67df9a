//! The network: when, how often and whether a message arrives.

use crate::fault::{Fault, Plan};
use crate::random::Random;

/// All links.
#[derive(Debug)]
pub(crate) struct Network {
    random: Random,
    loss_percent: u64,
    duplicate_percent: u64,
    delay_us: u64,
    /// Clogs and partitions.
    stretches: Vec<Fault>,
    pub(crate) lost: u64,
    pub(crate) duplicated: u64,
    pub(crate) cut: u64,
    pub(crate) clogged: u64,
}

/// What a message takes at least, and at most where nothing is wrong.
const LATENCY_US: (u64, u64) = (100, 2_000);

impl Network {
    pub(crate) fn new(plan: &Plan) -> Self {
        let mut made = Self {
            random: Random::new(plan.seed, "network"),
            loss_percent: 0,
            duplicate_percent: 0,
            delay_us: 0,
            stretches: Vec::new(),
            lost: 0,
            duplicated: 0,
            cut: 0,
            clogged: 0,
        };
        for fault in &plan.faults {
            match *fault {
                Fault::Loss { percent } => made.loss_percent = percent,
                Fault::Duplicate { percent } => made.duplicate_percent = percent,
                Fault::Delay { most_us } => made.delay_us = most_us,
                Fault::Clog { .. } | Fault::Partition { .. } => made.stretches.push(*fault),
                _ => {}
            }
        }
        made
    }

    /// From now on nothing goes wrong.
    pub(crate) fn heal(&mut self) {
        self.loss_percent = 0;
        self.duplicate_percent = 0;
        self.delay_us = 0;
        self.stretches.clear();
    }

    /// When a message that is sent now arrives.
    pub(crate) fn arrivals(&mut self, now_us: u64, from: usize, to: usize) -> Vec<u64> {
        let is_now = |begin: u64, end: u64| begin <= now_us && now_us < end;
        let mut held_until = now_us;
        for stretch in &self.stretches {
            match *stretch {
                Fault::Partition {
                    side,
                    both_ways,
                    begin_us,
                    end_us,
                } if is_now(begin_us, end_us) => {
                    let (from_here, to_here) = (side >> from & 1 == 1, side >> to & 1 == 1);
                    if from_here != to_here && (both_ways || from_here) {
                        self.cut += 1;
                        return Vec::new();
                    }
                }
                Fault::Clog {
                    from: begin,
                    to: end,
                    begin_us,
                    end_us,
                } if (begin, end) == (from, to) && is_now(begin_us, end_us) => {
                    self.clogged += 1;
                    held_until = held_until.max(end_us);
                }
                _ => {}
            }
        }
        if self.random.chance(self.loss_percent) {
            self.lost += 1;
            return Vec::new();
        }
        let is_twice = self.random.chance(self.duplicate_percent);
        self.duplicated += u64::from(is_twice);
        let copies = if is_twice { 2 } else { 1 };
        (0..copies)
            .map(|_| {
                let base = self.random.between(LATENCY_US.0, LATENCY_US.1);
                held_until + base + self.random.below(self.delay_us + 1)
            })
            .collect()
    }
}
