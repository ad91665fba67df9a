//! What goes wrong in a run: a list drawn up front from the seed, so that a part of it can be left out.

use std::fmt;
use std::str::FromStr;

use crate::random::Random;

/// A sort of fault, as the command line names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Messages are lost.
    Loss,
    /// Messages come more than once.
    Duplicate,
    /// Messages take long and overtake each other.
    Delay,
    /// A link holds everything back for a while.
    Clog,
    /// Nodes do not hear each other for a while, in both directions or one.
    Partition,
    /// A node ends between two effects and starts again with what was durable.
    Crash,
    /// A crash leaves a part of what was not durable, cut or flipped somewhere.
    Torn,
    /// A disk is slow.
    Disk,
    /// Clocks run fast or slow, are wrong, or jump.
    Clock,
    /// Nodes lie.
    Byzantine,
    /// Members, keys, leaders change and are shut out while it runs.
    Membership,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Loss,
        Self::Duplicate,
        Self::Delay,
        Self::Clog,
        Self::Partition,
        Self::Crash,
        Self::Torn,
        Self::Disk,
        Self::Clock,
        Self::Byzantine,
        Self::Membership,
    ];

    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Duplicate => "duplicate",
            Self::Delay => "delay",
            Self::Clog => "clog",
            Self::Partition => "partition",
            Self::Crash => "crash",
            Self::Torn => "torn",
            Self::Disk => "disk",
            Self::Clock => "clock",
            Self::Byzantine => "byzantine",
            Self::Membership => "membership",
        }
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == text);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("`{text}` is no sort of fault; there are {names}")
        })
    }
}

/// How a Byzantine node lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// Runs twice under one identity, each copy for a part of the others (Twins, OPODIS '21).
    Twins,
    /// Votes for and proposes other batches than it should.
    Digests,
    /// Certificates, VIEW-CHANGEs, NEW-VIEWs, histories with something left out or put in.
    Forgeries,
    /// Old messages of its own and of others, again.
    Replays,
    /// Not a word to some.
    Silence(u16),
    /// Bytes that are no message.
    Garbage,
    /// Batches from the past and the future.
    Times,
    /// Another progress than it has.
    Progress,
    /// Snapshots with wrong bytes.
    Chunks,
    /// Forgets all it has said when it starts again.
    Amnesia,
    /// Helps those behind in the smallest steps, and says the same part again and again.
    Drip,
    /// Its requests go to backups only, and not to all of them.
    Detours,
    /// Requests on lanes that nobody has, batches larger than any may be.
    Excess,
    /// Heads of the certificate log that were never decided, and what others have cosigned for others.
    Heads,
}

/// Something that changes the members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// The order of leaders is turned by so many.
    Rotate(u8),
    /// A node is shut out.
    Isolate(usize),
    /// Nobody is shut out any more.
    Release,
    /// The node in reserve becomes a member.
    Join,
    /// A node leaves.
    Leave(usize),
    /// The node in reserve takes another's place: a new key.
    Rekey(usize),
}

/// One thing that goes wrong. Times are microseconds since the beginning, nodes are numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the fields say it")]
pub enum Fault {
    Loss {
        percent: u64,
    },
    Duplicate {
        percent: u64,
    },
    Delay {
        most_us: u64,
    },
    Clog {
        from: usize,
        to: usize,
        begin_us: u64,
        end_us: u64,
    },
    Partition {
        /// Bit i: node i is on this side.
        side: u16,
        both_ways: bool,
        begin_us: u64,
        end_us: u64,
    },
    Crash {
        node: usize,
        at_us: u64,
        /// Effects that are still performed.
        effects: u64,
        down_us: u64,
        torn: bool,
    },
    SlowDisk {
        node: usize,
        begin_us: u64,
        end_us: u64,
        most_us: u64,
    },
    Clock {
        node: usize,
        rate_ppm: i64,
        offset_ms: i64,
    },
    ClockJump {
        node: usize,
        begin_us: u64,
        end_us: u64,
        by_ms: i64,
    },
    Byzantine {
        node: usize,
        lie: Lie,
    },
    Change {
        at_us: u64,
        turn: Turn,
    },
}

impl Fault {
    /// Of which sort.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Loss { .. } => Kind::Loss,
            Self::Duplicate { .. } => Kind::Duplicate,
            Self::Delay { .. } => Kind::Delay,
            Self::Clog { .. } => Kind::Clog,
            Self::Partition { .. } => Kind::Partition,
            Self::Crash { torn: true, .. } => Kind::Torn,
            Self::Crash { .. } => Kind::Crash,
            Self::SlowDisk { .. } => Kind::Disk,
            Self::Clock { .. } | Self::ClockJump { .. } => Kind::Clock,
            Self::Byzantine { .. } => Kind::Byzantine,
            Self::Change { .. } => Kind::Membership,
        }
    }
}

/// What a run is made of, beside the seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Where all chance comes from.
    pub seed: u64,
    /// Nodes that vote.
    pub voters: usize,
    /// Whether the last voter is a witness.
    pub has_witness: bool,
    /// Whether the nodes run a certificate log.
    pub has_log: bool,
    /// Whether a node follows without a vote.
    pub has_edge: bool,
    /// K.
    pub checkpoint_interval: u32,
    /// Batches on their way at once.
    pub pipeline_depth: u32,
    /// Most requests in a batch.
    pub batch_requests_max: usize,
    /// How long a primary waits for more requests.
    pub batch_timeout_us: u64,
    /// After this the slow path goes on.
    pub round_timeout_us: u64,
    /// After this a primary is given up.
    pub view_change_timeout_us: u64,
    /// Whether everybody's consent commits.
    pub fast_path: bool,
    /// How far a batch's time may be from a backup's clock.
    pub clock_skew_max_ms: u64,
    /// Checkpoints between two snapshots.
    pub snapshot_interval: u64,
    /// How much of a snapshot's bytes must be executed before the next, in percent.
    pub snapshot_wear_percent: u64,
    /// Zero bytes in a snapshot.
    pub padding: usize,
    /// Clients at a node.
    pub lanes: u32,
    /// A client rests so long between two requests, at most.
    pub rest_us: u64,
    /// When the faults end.
    pub heal_us: u64,
    /// What goes wrong.
    pub faults: Vec<Fault>,
}

const SECOND_US: u64 = 1_000_000;

impl Plan {
    /// Draws it. Only these sorts of faults occur; `liars` is the number of Byzantine nodes, by
    /// itself at most what the cluster must withstand.
    #[must_use]
    pub fn draw(seed: u64, kinds: &[Kind], liars: Option<usize>) -> Self {
        let mut random = Random::new(seed, "plan");
        let voters = *random.pick(&[4, 4, 4, 4, 5, 6, 7, 7]);
        let mut plan = Self {
            seed,
            voters,
            has_witness: random.chance(20),
            has_log: false,
            has_edge: random.chance(30),
            checkpoint_interval: u32::from(random.small(9)) + 2,
            pipeline_depth: u32::from(random.small(4)) + 1,
            batch_requests_max: random.index(5) + 1,
            batch_timeout_us: random.between(500, 10_000),
            round_timeout_us: random.between(50_000, 200_000),
            view_change_timeout_us: random.between(300_000, 1_000_000),
            fast_path: random.chance(60),
            clock_skew_max_ms: random.between(200, 5_000),
            snapshot_interval: random.between(1, 3),
            snapshot_wear_percent: *Random::new(seed, "wear").pick(&[0, 0, 25, 200]),
            padding: if random.chance(6) { 600_000 } else { 0 },
            lanes: u32::from(random.small(3)) + 1,
            rest_us: random.between(5_000, 200_000),
            heal_us: random.between(2 * SECOND_US, 8 * SECOND_US),
            faults: Vec::new(),
        };
        plan.draw_liars(liars);
        plan.draw_network();
        plan.draw_nodes();
        plan.draw_turns();
        plan.draw_lonely();
        plan.draw_settings();
        plan.faults.retain(|fault| kinds.contains(&fault.kind()));
        plan
    }

    /// The same run with a certificate log, about which all liars lie as well. All voters cosign, and nobody makes snapshots or
    /// changes the members. With more liars than it must withstand, they lie about the log alone.
    #[must_use]
    pub fn with_log(mut self) -> Self {
        let is_negative_control = self.lies_count() > self.faults_max();
        let is_liar = |node: &usize| self.lies(*node).next().is_some();
        let liars: Vec<_> = (0..self.voters).filter(is_liar).collect();
        self.faults.retain(|fault| match fault.kind() {
            Kind::Membership => false,
            Kind::Byzantine => !is_negative_control,
            _ => true,
        });
        let lie = Lie::Heads;
        let heads = liars.iter().map(|&node| Fault::Byzantine { node, lie });
        self.faults.extend(heads);
        Self {
            has_log: true,
            has_witness: false,
            snapshot_interval: u64::MAX,
            padding: 0,
            ..self
        }
    }

    /// Members of the beginning.
    #[must_use]
    pub fn members(&self) -> usize {
        self.voters + usize::from(self.has_edge)
    }

    /// All nodes; the last is in reserve.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.members() + 1
    }

    /// Most Byzantine nodes that it must withstand.
    #[must_use]
    pub fn faults_max(&self) -> usize {
        consensus::faults_max(self.voters)
    }

    /// How this node lies, if it does.
    pub fn lies(&self, of: usize) -> impl Iterator<Item = Lie> {
        self.faults.iter().filter_map(move |fault| match fault {
            Fault::Byzantine { node, lie } if *node == of => Some(*lie),
            _ => None,
        })
    }

    /// How many nodes lie.
    #[must_use]
    pub fn lies_count(&self) -> usize {
        (0..self.nodes())
            .filter(|node| self.lies(*node).next().is_some())
            .count()
    }

    fn draw_liars(&mut self, liars: Option<usize>) {
        let mut random = Random::new(self.seed, "liars");
        let count = liars.unwrap_or_else(|| {
            // Mostly as many as there may be.
            let some = random.index(self.faults_max() + 1);
            if random.chance(60) {
                self.faults_max()
            } else {
                some
            }
        });
        let mut nodes: Vec<_> = (0..self.voters).collect();
        for _ in 0..count.min(self.voters) {
            let node = nodes.remove(random.index(nodes.len()));
            let silence = u16::try_from(random.below(1 << self.nodes())).unwrap_or(0);
            let all = [
                Lie::Twins,
                Lie::Digests,
                Lie::Forgeries,
                Lie::Replays,
                Lie::Silence(silence),
                Lie::Garbage,
                Lie::Times,
                Lie::Progress,
                Lie::Chunks,
                Lie::Amnesia,
            ];
            let is_negative_control = liars.is_some_and(|liars| liars > self.faults_max());
            for lie in all {
                let is_taken = match lie {
                    Lie::Twins => is_negative_control || random.chance(50),
                    _ if is_negative_control => false,
                    Lie::Silence(_) => random.chance(15),
                    _ => random.chance(35),
                };
                if is_taken {
                    self.faults.push(Fault::Byzantine { node, lie });
                }
            }
            if !is_negative_control {
                self.draw_other_lies(node);
            }
        }
    }

    fn draw_other_lies(&mut self, node: usize) {
        let mut random = Random::new(self.seed, &format!("other lies {node}"));
        let all = [
            (Lie::Drip, 25),
            (Lie::Detours, 25),
            (Lie::Excess, 25),
            // Not a word to anybody, also while it leads.
            (Lie::Silence(u16::MAX), 8),
        ];
        for (lie, percent) in all {
            if random.chance(percent) {
                self.faults.push(Fault::Byzantine { node, lie });
            }
        }
    }

    /// A node that is only heard, or only hears, while others start again.
    fn draw_lonely(&mut self) {
        let mut random = Random::new(self.seed, "lonely");
        if !random.chance(30) {
            return;
        }
        let (begin_us, end_us) = self.stretch(&mut random, 4 * SECOND_US);
        let node = random.index(self.nodes());
        let (all, own) = ((1 << self.nodes()) - 1, 1 << node);
        let side = if random.chance(50) { own } else { all ^ own };
        self.faults.push(Fault::Partition {
            side,
            both_ways: false,
            begin_us,
            end_us,
        });
        for _ in 0..random.between(1, 3) {
            self.faults.push(Fault::Crash {
                node: random.index(self.nodes()),
                at_us: random.between(begin_us, end_us),
                effects: random.below(30),
                down_us: random.between(1_000, SECOND_US / 2),
                torn: random.chance(50),
            });
        }
    }

    /// Some clusters have little to do, and some snapshots come in parts.
    fn draw_settings(&mut self) {
        let mut random = Random::new(self.seed, "settings");
        if random.chance(15) {
            (self.rest_us, self.lanes) = (5 * SECOND_US, 1);
        }
        let drips = self.faults.iter().any(|fault| {
            matches!(
                fault,
                Fault::Byzantine {
                    lie: Lie::Drip | Lie::Chunks,
                    ..
                }
            )
        });
        if drips && random.chance(40) {
            self.padding = 600_000;
        }
    }

    /// A stretch of time within the time of faults, not longer than `most_us`.
    fn stretch(&self, random: &mut Random, most_us: u64) -> (u64, u64) {
        let begin = random.below(self.heal_us);
        let end = begin + random.between(20_000, most_us);
        (begin, end.min(self.heal_us))
    }

    fn draw_network(&mut self) {
        let mut random = Random::new(self.seed, "network faults");
        if random.chance(70) {
            let percent = random.between(1, 30);
            self.faults.push(Fault::Loss { percent });
        }
        if random.chance(70) {
            let percent = random.between(1, 50);
            self.faults.push(Fault::Duplicate { percent });
        }
        if random.chance(70) {
            let most_us = random.between(2_000, 150_000);
            self.faults.push(Fault::Delay { most_us });
        }
        for _ in 0..random.below(6) {
            let (begin_us, end_us) = self.stretch(&mut random, SECOND_US);
            self.faults.push(Fault::Clog {
                from: random.index(self.nodes()),
                to: random.index(self.nodes()),
                begin_us,
                end_us,
            });
        }
        for _ in 0..random.below(5) {
            let (begin_us, end_us) = self.stretch(&mut random, 3 * SECOND_US);
            self.faults.push(Fault::Partition {
                side: u16::try_from(random.between(1, (1 << self.nodes()) - 2)).unwrap_or(1),
                both_ways: random.chance(60),
                begin_us,
                end_us,
            });
        }
    }

    fn draw_nodes(&mut self) {
        let mut random = Random::new(self.seed, "node faults");
        for _ in 0..random.below(8) {
            self.faults.push(Fault::Crash {
                node: random.index(self.nodes()),
                at_us: random.below(self.heal_us),
                effects: random.below(24),
                down_us: random.between(1_000, 2 * SECOND_US),
                torn: random.chance(50),
            });
        }
        if random.chance(15) {
            // Everybody at once.
            let (at_us, down_us) = (random.below(self.heal_us), random.between(1_000, SECOND_US));
            for node in 0..self.nodes() {
                self.faults.push(Fault::Crash {
                    node,
                    at_us: at_us + random.below(2_000),
                    effects: random.below(24),
                    down_us: down_us + random.below(100_000),
                    torn: random.chance(50),
                });
            }
        }
        for _ in 0..random.below(4) {
            let (begin_us, end_us) = self.stretch(&mut random, 4 * SECOND_US);
            self.faults.push(Fault::SlowDisk {
                node: random.index(self.nodes()),
                begin_us,
                end_us,
                most_us: random.between(5_000, 300_000),
            });
        }
        let signed = |random: &mut Random, most: u64| {
            let size = i64::try_from(random.below(most + 1)).unwrap_or(0);
            if random.chance(50) { -size } else { size }
        };
        for node in 0..self.nodes() {
            if random.chance(50) {
                self.faults.push(Fault::Clock {
                    node,
                    rate_ppm: signed(&mut random, 100_000),
                    offset_ms: signed(&mut random, self.clock_skew_max_ms / 3),
                });
            }
        }
        // No more than f honest clocks are far from the truth: with a quorum of wrong clocks a wrong
        // time is agreed on, and nothing can be proposed until the right clocks reach it.
        let liars: Vec<_> = (0..self.voters)
            .filter(|n| self.lies(*n).next().is_some())
            .collect();
        let honest: Vec<_> = (0..self.voters).filter(|n| !liars.contains(n)).collect();
        for _ in 0..random.below(self.faults_max() as u64 + 1) {
            let (begin_us, end_us) = self.stretch(&mut random, 6 * SECOND_US);
            self.faults.push(Fault::ClockJump {
                node: *random.pick(&honest),
                begin_us,
                end_us,
                by_ms: signed(&mut random, 3_600_000),
            });
        }
    }

    fn draw_turns(&mut self) {
        let mut random = Random::new(self.seed, "membership");
        if !random.chance(50) {
            return;
        }
        let is_liar = |node: usize| self.lies(node).next().is_some();
        let liars = (0..self.voters).filter(|node| is_liar(*node)).count();
        let honest: Vec<_> = (0..self.voters).filter(|node| !is_liar(*node)).collect();
        let victim = *random.pick(&honest);
        let mut turns = vec![Turn::Rotate(random.small(6) + 1), Turn::Release];
        let suspects: Vec<_> = (0..self.voters).filter(|node| is_liar(*node)).collect();
        if !suspects.is_empty() {
            turns.push(Turn::Isolate(*random.pick(&suspects)));
        }
        // Only what leaves as many liars bearable as there are.
        let mut members = vec![Turn::Join, Turn::Rekey(victim)];
        if liars <= consensus::faults_max(self.voters - 1) && self.voters > 4 {
            members.push(Turn::Leave(victim));
        }
        turns.push(*random.pick(&members));
        for _ in 0..random.between(1, 3) {
            let turn = turns.remove(random.index(turns.len()));
            let at_us = random.below(self.heal_us);
            self.faults.push(Fault::Change { at_us, turn });
        }
        self.draw_more_turns(&honest);
    }

    /// Honest nodes that are shut out, as long as liars and they are no more than may be missing; and an
    /// epoch every few checkpoints.
    fn draw_more_turns(&mut self, honest: &[usize]) {
        let mut random = Random::new(self.seed, "more turns");
        let is_heavy = random.chance(30);
        if is_heavy {
            self.checkpoint_interval = u32::from(random.small(3)) + 2;
            self.snapshot_interval = random.between(1, 6);
        }
        let turns = self.faults.iter().filter_map(|fault| match fault {
            Fault::Change { turn, .. } => Some(*turn),
            _ => None,
        });
        let leaves = turns
            .clone()
            .any(|turn| matches!(turn, Turn::Leave(_) | Turn::Rekey(_)));
        let spare = self.faults_max() - (self.voters - honest.len()).min(self.faults_max());
        let spare = if leaves { 0 } else { spare };
        let mut victims = honest.to_vec();
        let victims: Vec<_> = (0..spare.min(honest.len()))
            .map(|_| victims.remove(random.index(victims.len())))
            .collect();
        let count = if is_heavy { random.between(5, 14) } else { 3 };
        for _ in 0..count {
            let turn = match random.below(4) {
                0 if !victims.is_empty() => Turn::Isolate(*random.pick(&victims)),
                1 if !victims.is_empty() => Turn::Release,
                _ if is_heavy => Turn::Rotate(random.small(6) + 1),
                _ => continue,
            };
            let at_us = random.below(self.heal_us);
            self.faults.push(Fault::Change { at_us, turn });
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { faults, .. } = self;
        let head = Self {
            faults: Vec::new(),
            ..self.clone()
        };
        writeln!(out, "{head:?}")?;
        faults
            .iter()
            .try_for_each(|fault| writeln!(out, "  {fault:?}"))
    }
}
