//! A ledger of a few nodes, and the commands that they send it. Signatures are no matter here: who checks them stands outside.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test takes what it needs, and must fail when that cannot be had"
)]

use std::net::SocketAddr;
use std::sync::Arc;

use consensus::{
    ApplyContext, Configuration, Digest, Epoch, Evidence, Member, NodeId, Phase, PublicKey,
    Request, RequestId, Role, Sequence, Signature, Signer, StateMachine, View, Vote, Wire,
};
use ct::{EntryKind, LogEntry};
use ledger::{
    Applications, Change, Command, Commands, CreateMode, CtCosignerKey, CtShard, CtSubmission,
    Event, Ledger, Measurement, Outcome, Outcomes, Parameters, Report,
};
use resolver::zone::{Update, Zone, ZoneContents};

pub const START_MS: u64 = 1_800_000_000_000;
pub const MINUTE_MS: u64 = 60_000;
pub const HOUR_MS: u64 = 60 * MINUTE_MS;

/// Signs with its id; nobody checks.
pub struct Key(pub NodeId);

impl Signer for Key {
    fn id(&self) -> NodeId {
        self.0
    }

    fn sign(&self, preimage: &[u8]) -> Signature {
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&Digest::of(preimage).0);
        bytes[32..40].copy_from_slice(&self.0.0.to_be_bytes());
        Signature(bytes)
    }
}

pub fn member(number: u8, role: Role) -> Member {
    Member {
        key: PublicKey([number; 32]),
        role,
        address: SocketAddr::from(([192, 0, 2, number], 4853)),
    }
}

pub fn genesis(voters: u8) -> Configuration {
    let members = (1..=voters).map(|number| member(number, Role::Authority));
    Configuration::new(Epoch(0), members.collect(), 100, 3).unwrap()
}

/// A ledger, its members by id, and where time and order stand.
pub struct Cluster {
    pub ledger: Ledger,
    pub ids: Vec<NodeId>,
    pub genesis: Configuration,
    pub sequence: u64,
    pub time_ms: u64,
}

impl Cluster {
    pub fn of(voters: u8) -> Self {
        Self::with(voters, Applications::default())
    }

    pub fn with(voters: u8, applications: Applications) -> Self {
        let genesis = genesis(voters);
        Self {
            ledger: Ledger::new(&genesis, Parameters::default(), applications),
            ids: genesis.ids().collect(),
            genesis,
            sequence: 0,
            time_ms: START_MS,
        }
    }

    /// Executes commands of a node in a batch of their own and holds the reply to its form.
    pub fn all(&mut self, client: NodeId, commands: Vec<Command>) -> Vec<Outcome> {
        self.sequence += 1;
        self.time_ms += 1;
        let request = request(client, self.sequence, commands);
        assert!(self.ledger.is_well_formed(&request));
        let context = ApplyContext {
            sequence: Sequence(self.sequence),
            time_ms: self.time_ms,
        };
        let reply = self.ledger.apply(context, &request);
        let commands = Commands::from_bytes(&request.command).unwrap();
        assert!(reply.len() <= commands.reply_bytes_max());
        Outcomes::from_bytes(&reply).unwrap().0
    }

    pub fn one(&mut self, client: NodeId, command: Command) -> Outcome {
        let outcomes = self.all(client, vec![command]);
        assert_eq!(outcomes.len(), 1);
        outcomes.into_iter().next().unwrap()
    }

    /// Lets time pass, with a batch at its end.
    pub fn wait(&mut self, ms: u64) {
        self.time_ms += ms;
        self.all(self.ids[0], Vec::new());
    }

    pub fn report(&mut self, reporter: usize, subject: usize, event: Event, count: u32) -> Outcome {
        let report = Report {
            subject: self.ids[subject],
            event,
            count,
            window: (self.time_ms + 1) / MINUTE_MS,
        };
        self.one(self.ids[reporter], Command::Report(report))
    }

    pub fn measure(&mut self, reporter: usize, subject: usize, latency_us: u32) -> Outcome {
        let measurement = Measurement {
            window: (self.time_ms + 1) / MINUTE_MS,
            latency_us,
            votes_expected: 100,
            votes_seen: 98,
            signatures_checked: 1000,
            signatures_failed: 0,
            up_micros: 1_000_000,
        };
        let command = Command::Measure(self.ids[subject], measurement);
        self.one(self.ids[reporter], command)
    }

    pub fn propose(&mut self, client: usize, change: &Change) -> Outcome {
        self.one(self.ids[client], Command::Propose(change.clone()))
    }

    pub fn wanted(&self) -> Configuration {
        self.ledger.wanted_configuration(&self.genesis)
    }

    pub fn micros(&self, node: usize) -> u32 {
        self.ledger.score(self.ids[node]).unwrap().micros()
    }

    /// The root, after a look that a copy made from the snapshot has the same.
    pub fn root(&mut self, applications: Applications) -> Digest {
        let snapshot = self.ledger.snapshot();
        let other = genesis(1);
        let mut copy = Ledger::new(&other, Parameters::default(), applications);
        copy.restore(&snapshot).unwrap();
        assert_eq!(copy.snapshot(), snapshot);
        assert_eq!(copy.root(), self.ledger.root());
        self.ledger.root()
    }
}

pub fn request(client: NodeId, timestamp: u64, commands: Vec<Command>) -> Request {
    let commands = Commands(commands);
    let bytes = commands.to_bytes();
    assert_eq!(Commands::from_bytes(&bytes), Ok(commands));
    Request {
        id: RequestId {
            client,
            lane: 0,
            timestamp,
        },
        command: bytes.into(),
        signature: Signature([0; 64]),
    }
}

/// Two commits of one node at one place.
pub fn evidence(genesis: &Configuration, culprit: NodeId, sequence: u64) -> Evidence {
    let vote = |digest: u8| {
        let vote = Vote {
            phase: Phase::Commit,
            epoch: Epoch(0),
            view: View(0),
            sequence: Sequence(sequence),
            digest: Digest([digest; 32]),
        };
        vote.sign(genesis.cluster(), &Key(culprit))
    };
    Evidence::find(&vote(1), &vote(2)).unwrap()
}

pub const APEX: &[u8] = b"\x07example\0";

pub fn zone_at(apex: &[u8], text: &str) -> ZoneContents {
    let read = Zone::read(
        apex,
        text.as_bytes(),
        "zone",
        &mut |_, _| Err(String::new()),
    );
    ZoneContents::from_zone(&read.unwrap().0)
}

pub fn plain() -> ZoneContents {
    zone_at(
        APEX,
        "@ 60 SOA ns host 7 3600 600 86400 60\n@ 60 NS ns\nns 60 A 192.0.2.1\nwww 60 A 192.0.2.2\n",
    )
}

pub fn create(contents: ZoneContents, mode: CreateMode) -> Command {
    Command::ZoneCreate { contents, mode }
}

/// A record of an update message: whether it is a prerequisite, label, class, type, TTL, data.
pub type Entry<'a> = (bool, &'a str, u16, u16, u32, &'a [u8]);

pub const IN: u16 = 1;
pub const NONE: u16 = 254;
pub const ANY: u16 = 255;
pub const A: u16 = 1;

pub fn update_at(apex: &[u8], entries: &[Entry<'_>]) -> Command {
    let count = |wanted| {
        let count = entries.iter().filter(|entry| entry.0 == wanted).count();
        u16::try_from(count).unwrap().to_be_bytes()
    };
    let mut out = vec![0, 1, 0x28, 0, 0, 1];
    out.extend([count(true), count(false), [0, 0]].concat());
    out.extend_from_slice(apex);
    out.extend_from_slice(&[0, 6, 0, 1]);
    for wanted in [true, false] {
        for (_, label, class, rtype, ttl, data) in entries.iter().filter(|e| e.0 == wanted) {
            if !label.is_empty() {
                out.push(u8::try_from(label.len()).unwrap());
                out.extend_from_slice(label.as_bytes());
            }
            out.extend_from_slice(apex);
            out.extend(rtype.to_be_bytes());
            out.extend(class.to_be_bytes());
            out.extend(ttl.to_be_bytes());
            out.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
            out.extend_from_slice(data);
        }
    }
    Command::ZoneUpdate(Box::new(Update::parse(&out).unwrap()))
}

pub fn update(entries: &[Entry<'_>]) -> Command {
    update_at(APEX, entries)
}

/// `label A 192.0.2.last` comes.
pub fn add(label: &str, last: u8) -> Command {
    update(&[(false, label, IN, A, 60, &[192, 0, 2, last])])
}

pub fn bytes(text: &str) -> Arc<[u8]> {
    text.as_bytes().into()
}

/// One value of DER.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
    let mut out = match (high, low) {
        (0, 0..0x80) => vec![tag, low],
        (0, _) => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    out.extend_from_slice(content);
    out
}

/// A certificate that says little and is signed by nobody: valid to the first second of `year`, a year of this century.
pub fn certificate(serial: u8, year: u8) -> Arc<[u8]> {
    let algorithm = der(0x30, &der(0x06, &[0x2b, 0x65, 0x70]));
    let name = der(0x30, &[]);
    let time = |year: u8| der(0x17, format!("{year:02}0101000000Z").as_bytes());
    let validity = der(0x30, &[time(20), time(year)].concat());
    let spki = der(0x30, &[algorithm.clone(), der(0x03, &[0; 33])].concat());
    let tbs = [
        der(0xa0, &der(0x02, &[2])),
        der(0x02, &[1, serial]),
        algorithm.clone(),
        name.clone(),
        validity,
        name,
        spki,
    ];
    let tbs = der(0x30, &tbs.concat());
    der(0x30, &[tbs, algorithm, der(0x03, &[0; 65])].concat()).into()
}

/// A shard of certificates that end in `year`, of this century.
pub fn shard(name: &str, year: u8) -> CtShard {
    let start_of = |year: u8| ct::unix_midnight(2000 + u16::from(year), 1, 1);
    let p256 = [
        der(0x06, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01]),
        der(0x06, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]),
    ];
    let point = [&[0, 4][..], &[year; 64]].concat();
    let spki = der(
        0x30,
        &[der(0x30, &p256.concat()), der(0x03, &point)].concat(),
    );
    CtShard {
        name: name.into(),
        origin: format!("log.example/{name}").into(),
        start: start_of(year),
        end: start_of(year + 1),
        spki: spki.into(),
    }
}

/// The key of a cosigner, made of one number, which says that it is a node's.
pub fn cosigner(cluster: &Cluster, number: u8, node: NodeId) -> CtCosignerKey {
    let key = ed25519_zebra::SigningKey::from([number; 32]);
    let statement = CtCosignerKey::statement(cluster.genesis.cluster(), node);
    CtCosignerKey {
        key: ed25519_zebra::VerificationKeyBytes::from(&key).into(),
        proof: key.sign(&statement).into(),
    }
}

/// The roots that a cluster of [`Cluster::with_log`] accepts.
pub const ROOTS: Digest = Digest([7; 32]);

/// Certificates for a shard, below one issuer that is sent along.
pub fn submission(shard: &str, certificates: &[Arc<[u8]>]) -> CtSubmission {
    let issuer = certificate(255, 49);
    let entries = certificates.iter().map(|der| LogEntry {
        kind: EntryKind::Certificate(Arc::clone(der)),
        chain: [ct::Hash::of(&issuer)].into(),
    });
    CtSubmission {
        shard: shard.into(),
        roots: ROOTS,
        entries: entries.collect(),
        issuers: vec![issuer],
    }
}

impl Cluster {
    /// Four nodes, and [`Cluster::agree_on_log`].
    pub fn with_log() -> Self {
        let mut cluster = Self::of(4);
        cluster.agree_on_log();
        cluster
    }

    /// Enough nodes ask for roots and for the shards `log27` and `log28`.
    pub fn agree_on_log(&mut self) {
        for change in [
            Change::CtRoots(ROOTS),
            Change::CtOpen(shard("log27", 27)),
            Change::CtOpen(shard("log28", 28)),
        ] {
            for node in 0..2 {
                self.one(self.ids[node], Command::Propose(change.clone()));
            }
        }
    }
}
