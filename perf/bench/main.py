"""The measurements in their order: rounds alternate between servers, so that drift meets all alike."""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from lab import appliance, zones
from lab.load import write_queries
from lab.run import Run

from . import latency, machine, plot, report
from .bed import Bed
from .contestants import Contestant, Nexus, all_contestants
from .rate import Generator, find_maximum
from .report import Figures

# Where the search begins in the first round; later rounds begin at the median so far.
FIRST_GUESS = {"XDP": 500_000.0, "sockets": 100_000.0}
CURVE_SHARES = (0.2, 0.4, 0.6, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 1.75)
OVERLOAD_SHARE = 1.5
LATENCY_RATES = (100.0, 10_000.0)
FLOOD_RATE = 100_000.0
MISSES_GUESS = 60_000.0
MISSES_MARGIN = 1.3


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    rounds: int
    sample_s: float
    tolerance: float
    probe_s: float
    soak_s: float
    parts: frozenset[str]
    patient: bool


PARTS = ("rate", "curve", "latency", "misses")


def parse() -> tuple[Plan, argparse.Namespace]:
    """Arguments of scripts/bench."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measure Nexus beside Knot DNS and NSD on this machine: one veth pair, one core for "
        "the server, one for the generator. Needs root and two idle cores.",
        epilog="scripts/bench --quick takes about 4 minutes, without it about 40. Figures go to stdout "
        "and, with every sample and a plot, to the output folder.",
    )
    parser.add_argument("--quick", action="store_true", help="one short round: to see that it works")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds instead of 5")
    parser.add_argument("--only", action="append", choices=PARTS, help="measure this part; repeatable")
    parser.add_argument("--servers", metavar="TEXT", help="only servers whose name contains TEXT, | between several")
    parser.add_argument(
        "--noisy", action="store_true", help="measure although the machine is busy with something else"
    )
    parser.add_argument("--soak", type=float, default=0, metavar="SECONDS", help="at the end, full rate for so long")
    parser.add_argument("--output", type=Path, default=Path("perf/results"), metavar="FOLDER")
    arguments = parser.parse_args()
    rounds = arguments.rounds or (1 if arguments.quick else 5)
    parts = frozenset(arguments.only or PARTS)
    if arguments.quick:
        return Plan(rounds, 1, 0.08, 3, arguments.soak, parts, not arguments.noisy), arguments
    return Plan(rounds, 3, 0.02, 20, arguments.soak, parts, not arguments.noisy), arguments


def main() -> int:
    """Measures, prints, writes."""
    plan, arguments = parse()
    with Run() as run:
        bed = Bed(run)
        servers = _chosen(all_contestants(bed), arguments.servers)
        if any(isinstance(server, Nexus) for server in servers):
            appliance.build(quiet=True)
        figures = [Figures(server.name, server.group) for server in servers]
        for number in range(plan.rounds):
            for server, found in zip(servers, figures):
                _note(f"round {number + 1} of {plan.rounds}: {server.name}")
                server.start()
                server.warm()
                _measure(Bench(bed, server, found, plan, number))
                server.stop()
        if plan.soak_s:
            _soak(bed, servers[0], figures[0], plan)
    _show(plan, figures, arguments.output)
    return 0


def _chosen(servers: list[Contestant], text: str | None) -> list[Contestant]:
    if text is None:
        return servers
    words = text.lower().split("|")
    chosen = [server for server in servers if any(word in server.name.lower() for word in words)]
    if not chosen:
        sys.exit(f"bench: no server matches {text}: {', '.join(s.name for s in servers)}")
    return chosen


def _note(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Bench:
    """One server in one round."""

    bed: Bed
    server: Contestant
    found: Figures
    plan: Plan
    number: int

    @property
    def generator(self) -> Generator:
        """kxdpgun for the length of a sample."""
        return Generator(self.bed, self.plan.sample_s, self.plan.patient)


def _measure(bench: Bench) -> None:
    parts = bench.plan.parts
    is_last = bench.number == bench.plan.rounds - 1
    if parts & {"rate", "curve", "latency"}:
        _rate(bench)
    if "curve" in parts and is_last:
        _curve(bench)
    if "latency" in parts:
        _latency(bench)
    if "misses" in parts:
        _misses(bench)
        if isinstance(bench.server, Nexus):
            _flood(bench)
    bench.found.rss.update(bench.server.rss())


def _rate(bench: Bench) -> None:
    found, generator = bench.found, bench.generator
    start = found.median * 0.9 or FIRST_GUESS[found.group]
    maximum = find_maximum(lambda rate: generator.sample(bench.server, rate), start, bench.plan.tolerance)
    found.maxima.append(maximum)
    found.half.append(generator.sample(bench.server, maximum.answered / 2))
    found.overload.append(generator.sample(bench.server, maximum.answered * OVERLOAD_SHARE))
    half, over = found.half[-1], found.overload[-1]
    noisy = " NOISY" if any(s.is_noisy for s in maximum.samples) else ""
    _note(
        f"  {maximum.answered:.0f} answers/s{' at the limit of the generator' * maximum.is_generator_bound}, "
        f"{half.cpu_s_per_million:.2f} CPU s/M at half, {over.answered:.0f} of {over.sent:.0f} in overload, "
        f"generator {over.generator_cpu:.2f} core{noisy}"
    )


def _curve(bench: Bench) -> None:
    rates = [share * bench.found.median for share in CURVE_SHARES]
    bench.found.curve = [bench.generator.sample(bench.server, rate) for rate in rates]


def _latency(bench: Bench) -> None:
    for rate in (*LATENCY_RATES, round(bench.found.median / 2, -3)):
        if bench.plan.patient:
            machine.wait_for_quiet(30)
        got = latency.measure(bench.bed, bench.server, rate, bench.plan.probe_s)
        bench.found.latencies.append(got)
        _note(f"  at {rate:.0f} q/s: p50 {got.p50_us:.0f} µs, p99 {got.p99_us:.0f} µs, {got.lost} lost")


def _misses(bench: Bench) -> None:
    """Every sample has names of its own, or the answers of the last would be hits."""
    generator, salt = bench.generator, iter(range(bench.number << 16, (bench.number + 1) << 16))

    def take(rate: float):
        count = int(rate * generator.seconds * MISSES_MARGIN)
        return generator.sample(bench.server, rate, bench.bed.write_misses(count, next(salt)))

    known = [m.answered for m in bench.found.misses]
    start = statistics.median(known) * 0.9 if known else MISSES_GUESS
    bench.found.misses.append(find_maximum(take, start, bench.plan.tolerance * 2))
    _note(f"  {bench.found.misses[-1].answered:.0f} misses answered/s")


def _flood(bench: Bench) -> None:
    """Hit rate of known names while as many unknown ones are asked."""
    seconds = bench.plan.sample_s
    known = zones.host_names()
    names = []
    for index in range(int(FLOOD_RATE * seconds * MISSES_MARGIN / 2)):
        names += [known[index % len(known)], f"f{bench.number}-{index:x}.{zones.OWN_ZONE}"]
    queries = write_queries(bench.bed.run.path("flood.queries"), names)
    before = bench.server.counters()
    sample = bench.generator.sample(bench.server, FLOOD_RATE, queries)
    after = bench.server.counters()
    moved = {name: after[name] - before.get(name, 0) for name in after}
    asked_known = moved["queries"] / 2
    share = (moved["answers_cache"] + moved["answers_table"]) / asked_known if asked_known else 0.0
    bench.found.flood = {"offered": sample.offered, "answered": sample.answered, "hit_share": share}
    _note(f"  flood: {share:.1%} of the known names answered from memory, {sample.loss:.1%} lost in all")


def _soak(bed: Bed, server: Contestant, found: Figures, plan: Plan) -> None:
    """Full rate for long: what grows?"""
    seconds = plan.soak_s
    _note(f"soak: {server.name} for {seconds:.0f} s")
    server.start()
    server.warm()
    Generator(bed, 3, plan.patient).sample(server, found.median)
    before = server.rss()
    sample = Generator(bed, seconds, plan.patient).sample(server, found.median * 1.2)
    after = server.rss()
    grown = {name: f"{(after[name] - before[name]) >> 10} KiB" for name in after}
    _note(f"  {sample.answered:.0f} answers/s, memory grew by {grown}")
    server.stop()


def _show(plan: Plan, figures: list[Figures], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    facts = machine.facts()
    settings = {"rounds": plan.rounds, "sample_s": plan.sample_s, "loss_max": 0.02, "probe_s": plan.probe_s}
    (folder / "bench.json").write_text(report.to_json(facts, settings, figures))
    print(f"{facts['cpu']}, kernel {facts['kernel']}, {facts['date']}, commit {facts['commit']}")
    print(f"{plan.rounds} alternated round(s), samples of {plan.sample_s:g} s, at most 2 % lost; medians\n")
    print(report.rates(figures) + "\n")
    if any(one.latencies for one in figures):
        print(report.latencies(figures) + "\n")
    if any(one.misses for one in figures):
        print(report.misses(figures) + "\n")
    for one in figures:
        if one.flood:
            print(f"{one.name}: {one.flood['hit_share']:.1%} of known names from memory during a flood of others")
    for group in dict.fromkeys(one.group for one in figures):
        series = {
            one.name: [(0.0, 0.0), *sorted((s.sent, s.answered) for s in one.curve)]
            for one in figures
            if one.group == group and one.curve
        }
        if series:
            path = folder / f"{group.lower()}.svg"
            path.write_text(plot.draw(f"Cached answers on one core, {group}", series))
            print(f"plot: {path}")
