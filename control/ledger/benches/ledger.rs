//! What agreement costs the state machine: an update applied, the root at a checkpoint, a snapshot and its restoration.

use std::fmt::Write as _;
use std::hint::black_box;
use std::net::SocketAddr;

use consensus::{
    ApplyContext, Configuration, Epoch, Member, PublicKey, Request, RequestId, Role, Sequence,
    Signature, StateMachine, Wire,
};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ledger::{Applications, Command, Commands, CreateMode, Ledger, Parameters};
use resolver::zone::{Update, Zone, ZoneContents};

const APEX: &[u8] = b"\x07example\0";
/// Most names in one command of creation; the rest comes by updates.
const NAMES_A_ZONE: usize = 10_000;

fn genesis() -> Configuration {
    let members = (1..=4).map(|number| Member {
        key: PublicKey([number; 32]),
        role: Role::Authority,
        address: SocketAddr::from(([192, 0, 2, number], 4853)),
    });
    Configuration::new(Epoch(0), members.collect(), 100, 3).expect("four members")
}

fn request(commands: Vec<Command>) -> Request {
    Request {
        id: RequestId {
            client: genesis().ids().next().expect("a member"),
            lane: 0,
            timestamp: 1,
        },
        command: Commands(commands).to_bytes().into(),
        signature: Signature([0; 64]),
    }
}

fn zone(apex: &[u8], names: usize) -> ZoneContents {
    let mut text =
        "@ 60 SOA ns host 1 3600 600 86400 60\n@ 60 NS ns\nns 60 A 192.0.2.1\n".to_owned();
    for name in 0..names {
        writeln!(text, "host{name} 60 A 192.0.2.7").expect("memory");
    }
    let read = Zone::read(
        apex,
        text.as_bytes(),
        "zone",
        &mut |_, _| Err(String::new()),
    );
    ZoneContents::from_zone(&read.expect("a zone without faults").0)
}

/// A new address for a name.
fn update(number: usize) -> Command {
    let label = format!("host{}", number % NAMES_A_ZONE);
    let mut owner = vec![u8::try_from(label.len()).expect("a label")];
    owner.extend_from_slice(label.as_bytes());
    owner.extend_from_slice(APEX);
    let mut message = vec![0, 1, 0x28, 0, 0, 1, 0, 0, 0, 2, 0, 0];
    message.extend_from_slice(APEX);
    message.extend_from_slice(&[0, 6, 0, 1]);
    message.extend_from_slice(&owner);
    message.extend_from_slice(&[0, 1, 0, 255, 0, 0, 0, 0, 0, 0]);
    message.extend_from_slice(&owner);
    message.extend_from_slice(&[0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
    let [.., high, low] = number.to_be_bytes();
    message.extend_from_slice(&[10, 0, high, low]);
    Command::ZoneUpdate(Box::new(Update::parse(&message).expect("an update")))
}

/// A ledger with zones of so many names each, and the sequence at which it is.
struct Bench {
    ledger: Ledger,
    sequence: u64,
}

impl Bench {
    fn new(zones: usize) -> Self {
        let ledger = Ledger::new(&genesis(), Parameters::default(), Applications::default());
        let mut bench = Self {
            ledger,
            sequence: 0,
        };
        for number in 0..zones {
            let label = format!("zone{number}");
            let mut apex = vec![u8::try_from(label.len()).expect("a label")];
            apex.extend_from_slice(label.as_bytes());
            apex.extend_from_slice(APEX);
            let apex = if number == 0 { APEX } else { &apex };
            let contents = zone(apex, NAMES_A_ZONE);
            let mode = CreateMode::New;
            bench.apply(&request(vec![Command::ZoneCreate { contents, mode }]));
        }
        assert_eq!(bench.ledger.zones().count(), zones);
        bench.ledger.root();
        bench
    }

    fn apply(&mut self, request: &Request) {
        self.sequence += 1;
        let context = ApplyContext {
            sequence: Sequence(self.sequence),
            time_ms: 1_800_000_000_000 + self.sequence,
        };
        black_box(self.ledger.apply(context, request));
        self.ledger.take_changes();
    }
}

fn updates(c: &mut Criterion) {
    let mut group = c.benchmark_group("apply");
    // Whoever comes round again to a name brings another address.
    let numbers = 0..4 * NAMES_A_ZONE;
    let requests: Vec<_> = numbers
        .map(|number| request(vec![update(number)]))
        .collect();
    let mut bench = Bench::new(1);
    let mut all = requests.iter().cycle();
    group.throughput(Throughput::Elements(1));
    group.bench_function("update_in_10k_names", |b| {
        b.iter(|| bench.apply(all.next().expect("endless")));
    });
    group.bench_function("check_form_of_update", |b| {
        b.iter(|| bench.ledger.is_well_formed(all.next().expect("endless")));
    });
    group.finish();
}

fn root(c: &mut Criterion) {
    let mut group = c.benchmark_group("root");
    for zones in [1, 10] {
        let mut bench = Bench::new(zones);
        let mut number = 0;
        group.bench_function(format!("after_50_updates_in_{}k_names", zones * 10), |b| {
            b.iter_custom(|rounds| {
                let mut spent = std::time::Duration::ZERO;
                for _ in 0..rounds {
                    let commands = (0..50).map(|_| {
                        number += 1;
                        update(number)
                    });
                    bench.apply(&request(commands.collect()));
                    let start = std::time::Instant::now();
                    black_box(bench.ledger.root());
                    spent += start.elapsed();
                }
                spent
            });
        });
    }
    group.finish();
}

fn snapshot(c: &mut Criterion) {
    let mut group = c.benchmark_group("snapshot");
    group.sample_size(10);
    let bench = Bench::new(10);
    let bytes = bench.ledger.snapshot();
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("write_100k_records", |b| {
        b.iter(|| black_box(bench.ledger.snapshot()));
    });
    group.bench_function("restore_100k_records_with_root", |b| {
        let new = || Ledger::new(&genesis(), Parameters::default(), Applications::default());
        b.iter_batched_ref(
            new,
            |ledger| {
                ledger.restore(&bytes).expect("our own");
                black_box(ledger.root())
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, updates, root, snapshot);
criterion_main!(benches);
