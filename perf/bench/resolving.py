"""Resolution measured beside Unbound: one core for the resolver, the other for authorities and clients.

Every sample begins with a new process, so that each question for a name is its first. Delegations
and keys of the zones are known by then: what is measured is one question to an authority for one
question of a client, as in the long tail of a resolver's day.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import time
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lab import appliance, dns, load, peers, zones
from lab.appliance import Appliance
from lab.process import LabError, Process, cpu_seconds, rss_bytes
from lab.run import Run

from . import machine, plot
from .bed import CLIENT_V4, GENERATOR_CORE, INTERFACE, SERVER_CORE, SERVER_V4, Bed, pinned
from .report import table, thousands

ROOT_V4, LEAVES_V4 = "10.53.2.1", "10.53.2.2"
ZONES_COUNT = 50
SIGNED_NAMES_COUNT = 4_000  # Of each signed zone.
WINDOW = 400  # Questions under way while the maximum is sought.
CACHED_NAMES_COUNT = 1_000
CURVE_SHARES = (0.25, 0.5, 0.75, 1.0, 1.25)
LATENCY_SHARE = 0.5
FIRST_RATE = 20_000


@dataclass(frozen=True)
class Workload:
    """Questions of one kind."""

    name: str
    zone: str  # `{}` is the number of the zone.
    fresh: bool  # Whether each question is for a name that was not asked before.

    def names(self, count: int) -> list[str]:
        """The first `count` names, zone by zone in turn."""
        count = count if self.fresh else CACHED_NAMES_COUNT
        return [f"h{index // ZONES_COUNT:05}.{self.zone.format(index % ZONES_COUNT)}" for index in range(count)]

    @property
    def names_max(self) -> int:
        """How many names there are."""
        return ZONES_COUNT * SIGNED_NAMES_COUNT


UNSIGNED = Workload("cold, unsigned", "u{:02}.test.", fresh=True)
SIGNED = Workload("cold, signed", "s{:02}.test.", fresh=True)
CACHED = Workload("cached", "s{:02}.test.", fresh=False)
WORKLOADS = (UNSIGNED, SIGNED, CACHED)


@dataclass(frozen=True)
class Sample:
    """One run of dnsperf against a new process."""

    offered: float  # Questions a second; 0 if as many as are answered.
    answered: float
    lost: int
    failures: int
    cpu_s_per_million: float
    rss_bytes: int
    p50_us: float
    p99_us: float


class Contestant(ABC):
    """A resolver under test."""

    name: str

    def __init__(self, bed: Bed, hints: Path, anchor: Path) -> None:
        self.bed, self.hints, self.anchor = bed, hints, anchor
        self.process: Process | None = None

    @abstractmethod
    def launch(self) -> Process:
        """Starts its process."""

    def start(self) -> None:
        """Starts it and has it learn all zones."""
        self.process = self.launch()
        peers.wait_for_answer(self.process, self.bed.client, SERVER_V4, ".", "NS")
        with dns.Client(self.bed.client, SERVER_V4) as client:
            for workload in (UNSIGNED, SIGNED):
                for index in range(ZONES_COUNT):
                    client.ask(f"warm.{workload.zone.format(index)}")

    def stop(self) -> None:
        """Ends its process."""
        assert self.process is not None
        self.process.stop()
        self.bed.run.processes.remove(self.process)


class Nexus(Contestant):
    """The control plane as a plain resolver, without dataplane."""

    name = "Nexus"

    def __init__(self, bed: Bed, hints: Path, anchor: Path) -> None:
        super().__init__(bed, hints, anchor)
        self.appliance = Appliance(bed.server, INTERFACE, SERVER_V4)
        resolver = {
            "root_hints": str(hints),
            "listen": [SERVER_V4],
            "allow": ["any"],
            "special_names_except": ["test."],
        }
        self.appliance.configure(
            dataplane={"mode": "copy"}, resolver=resolver, zones=[]
        )
        self.appliance.trust(anchor.read_text())

    def launch(self) -> Process:
        return self.appliance.start_control(*pinned(SERVER_CORE))


class Unbound(Contestant):
    """Unbound with one thread and caches that hold all names."""

    name = "Unbound"

    def launch(self) -> Process:
        folder = self.bed.run.path("unbound")
        folder.mkdir(exist_ok=True)
        config = folder / "unbound.conf"
        config.write_text(
            f"server:\n  interface: {SERVER_V4}\n  access-control: 0.0.0.0/0 allow\n"
            f'  root-hints: "{self.hints}"\n  trust-anchor-file: "{self.anchor}"\n'
            "  num-threads: 1\n  msg-cache-size: 128m\n  rrset-cache-size: 256m\n  key-cache-size: 16m\n"
            "  outgoing-range: 8192\n  num-queries-per-thread: 4096\n  so-rcvbuf: 4m\n"
            f'  username: ""\n  chroot: ""\n  directory: "{folder}"\n  pidfile: ""\n  use-syslog: no\n'
            '  do-daemonize: no\n  do-ip6: no\n  local-zone: "test." nodefault\n'
            "remote-control:\n  control-enable: no\n"
        )
        arguments = [*pinned(SERVER_CORE), "unbound", "-d", "-c", str(config)]
        return self.bed.server.start("unbound", arguments)


def write_zones(folder: Path) -> tuple[Path, Path, dict[str, dict[str, Path]]]:
    """Hints, trust anchor, and the zone files of each address."""
    folder.mkdir()
    head = "$ORIGIN {0}\n$TTL 3600\n@ SOA {1} hostmaster.{1} 1 3600 600 86400 60\n@ NS {1}\n"
    digests, leaves, delegations = [], {}, []
    for index in range(ZONES_COUNT):
        for workload in (UNSIGNED, SIGNED):
            zone = workload.zone.format(index)
            text = head.format(zone, "ns.test.") + "warm A 192.0.2.1\n"
            if workload is UNSIGNED:
                path = folder / zones.file_name(zone)
                path.write_text(text + "* A 192.0.2.2\n")
            else:
                hosts = (f"h{number:05} A 192.0.2.3\n" for number in range(SIGNED_NAMES_COUNT))
                _, digest = zones.sign(folder, zone, text + "".join(hosts))
                digests.append(digest)
            leaves[zone] = folder / zones.file_name(zone)
            delegations.append(f"{zone} NS ns.test.\n")
    parent = head.format("test.", "ns.test.") + f"ns A {LEAVES_V4}\n" + "".join(delegations + digests)
    _, digest = zones.sign(folder, "test.", parent)
    leaves["test."] = folder / zones.file_name("test.")
    root = head.format(".", "root-server.") + f"root-server. A {ROOT_V4}\ntest. NS ns.test.\nns.test. A {LEAVES_V4}\n"
    key, _ = zones.sign(folder, ".", root + digest)
    hints, anchor = folder / "root.hints", folder / "trust.anchors"
    hints.write_text(f". 3600000 NS root-server.\nroot-server. 3600000 A {ROOT_V4}\n")
    anchor.write_text(key)
    return hints, anchor, {ROOT_V4: {".": folder / zones.file_name(".")}, LEAVES_V4: leaves}


def start_authorities(bed: Bed, files: dict[str, dict[str, Path]]) -> None:
    """One NSD an address, on the generator's core."""
    for address, zone_files in files.items():
        bed.client.add_address(INTERFACE, f"{address}/16")
        config = peers.write_nsd(bed.run.path(f"nsd-{address}"), [address], zone_files)
        process = bed.client.start(f"nsd-{address}", [*pinned(GENERATOR_CORE), "nsd", "-d", "-c", str(config)])
        peers.wait_for_answer(process, bed.client, address, next(iter(zone_files)))


@dataclass(frozen=True)
class Asker:
    """dnsperf on its core."""

    bed: Bed
    seconds: float
    patient: bool

    def sample(self, server: Contestant, workload: Workload, rate: float = 0) -> Sample:
        """One run against a new process, each name asked once; `rate` 0: as fast as it answers."""
        count = min(int((rate or FIRST_RATE * 2) * self.seconds), workload.names_max)
        queries = load.write_queries(self.bed.run.path("cold.queries"), workload.names(count))
        server.start()
        if not workload.fresh:
            with dns.Client(self.bed.client, SERVER_V4) as client:
                for name in workload.names(0):
                    client.ask(name)
        try:
            if self.patient:
                machine.wait_for_quiet(20)
            return self._run(server, workload, queries, rate)
        finally:
            server.stop()

    def _run(self, server: Contestant, workload: Workload, queries: Path, rate: float) -> Sample:
        pace = ["-Q", str(int(rate)), "-q", "20000"] if rate else ["-q", str(WINDOW)]
        passes = ["-n", "1"] if workload.fresh else ["-l", f"{self.seconds:g}"]
        arguments = [
            *pinned(GENERATOR_CORE), "dnsperf", "-s", SERVER_V4, "-d", str(queries), *passes, *pace,
            "-c", "8", "-t", "5", "-v",
        ]  # fmt: skip
        assert server.process is not None
        pid = server.process.pid
        before = cpu_seconds(pid)
        text = self.bed.client.command(*arguments, timeout_s=self.seconds * 10 + 60)
        cpu_s = cpu_seconds(pid) - before

        def number(label: str) -> float:
            found = re.search(rf"{label}: +([\d.]+)", text)
            if not found:
                raise LabError(f"dnsperf printed no summary:\n{text[-500:]}")
            return float(found[1])

        times_us = sorted(float(t) * 1e6 for t in re.findall(r"^> [A-Z]+ \S+ \S+ ([\d.]+)", text, re.M))
        completed = number("Queries completed")
        codes = dict(re.findall(r"([A-Z]+) (\d+) \(", text))
        failures = sum(int(n) for code, n in codes.items() if code not in ("NOERROR", "NXDOMAIN"))
        return Sample(
            offered=rate,
            answered=number("Queries per second"),
            lost=int(number("Queries lost")),
            failures=failures,
            cpu_s_per_million=cpu_s / completed * 1e6 if completed else 0.0,
            rss_bytes=rss_bytes(pid),
            p50_us=_percentile(times_us, 0.5),
            p99_us=_percentile(times_us, 0.99),
        )


def _percentile(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


@dataclass
class Figures:
    """What was measured of one resolver under one workload."""

    server: str
    workload: str
    maxima: list[Sample] = field(default_factory=list)
    paced: list[Sample] = field(default_factory=list)
    curve: list[Sample] = field(default_factory=list)

    def middle(self, samples: list[Sample], name: str) -> float:
        """Median of one value over the rounds."""
        return statistics.median(getattr(sample, name) for sample in samples) if samples else float("nan")


def parse() -> argparse.Namespace:
    """Arguments of scripts/bench-resolver."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench-resolver",
        description="Measure how Nexus resolves beside Unbound: one core for the resolver, the other for "
        "authorities (NSD) and clients (dnsperf). Needs root and two idle cores.",
        epilog="Figures go to stdout and, with every sample and plots, to the output folder.",
    )
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="alternated rounds (5)")
    parser.add_argument("--seconds", type=float, default=4, metavar="S", help="length of a sample (4)")
    parser.add_argument("--no-curve", action="store_true", help="leave out answered against offered")
    parser.add_argument("--only", metavar="TEXT", help="only workloads whose name contains TEXT")
    parser.add_argument("--noisy", action="store_true", help="measure although the machine is busy")
    parser.add_argument("--output", type=Path, default=Path("perf/results"), metavar="FOLDER")
    return parser.parse_args()


def main() -> int:
    """Measures, prints, writes."""
    arguments = parse()
    workloads = [one for one in WORKLOADS if not arguments.only or arguments.only in one.name]
    appliance.build(quiet=True)
    with Run() as run:
        bed = Bed(run)
        _note("signing zones")
        hints, anchor, files = write_zones(run.path("zones"))
        start_authorities(bed, files)
        servers = [Nexus(bed, hints, anchor), Unbound(bed, hints, anchor)]
        asker = Asker(bed, arguments.seconds, not arguments.noisy)
        figures = {(s.name, w.name): Figures(s.name, w.name) for w in workloads for s in servers}
        for number in range(arguments.rounds):
            _round(number, arguments, workloads, servers, asker, figures)
        if not arguments.no_curve:
            _curves(workloads, servers, asker, figures)
    _show(arguments, list(figures.values()))
    return 0


def _round(number: int, arguments, workloads, servers, asker: Asker, figures) -> None:
    for workload in workloads:
        for server in servers:
            found = figures[server.name, workload.name]
            found.maxima.append(asker.sample(server, workload))
            best = found.maxima[-1]
            _note(
                f"round {number + 1} of {arguments.rounds}: {workload.name}: {server.name}: "
                f"{best.answered:.0f}/s, {best.cpu_s_per_million:.1f} CPU s/M, {best.lost} lost"
            )
        # Both at the same rate: half of what the slower one can do.
        slower = min(figures[server.name, workload.name].maxima[-1].answered for server in servers)
        for server in servers:
            found = figures[server.name, workload.name]
            found.paced.append(asker.sample(server, workload, slower * LATENCY_SHARE))
            paced = found.paced[-1]
            _note(f"  {server.name} at {paced.offered:.0f}/s: p50 {paced.p50_us:.0f} µs, p99 {paced.p99_us:.0f} µs")


def _curves(workloads, servers, asker: Asker, figures) -> None:
    for workload in workloads:
        peer = figures[servers[-1].name, workload.name]
        rates = [share * peer.middle(peer.maxima, "answered") for share in CURVE_SHARES]
        for server in servers:
            _note(f"curve: {workload.name}: {server.name}")
            figures[server.name, workload.name].curve = [asker.sample(server, workload, rate) for rate in rates]


def _show(arguments, figures: list[Figures]) -> None:
    folder: Path = arguments.output
    folder.mkdir(parents=True, exist_ok=True)
    facts = machine.facts()
    settings = {"rounds": arguments.rounds, "sample_s": arguments.seconds, "window": WINDOW}
    data = {"machine": facts, "settings": settings, "figures": [asdict(one) for one in figures]}
    (folder / "resolver.json").write_text(json.dumps(data, indent=1))
    print(f"{facts['cpu']}, kernel {facts['kernel']}, {facts['date']}, commit {facts['commit']}")
    rows = [["", "answers/s", "lowest", "highest", "Nexus is", "CPU s/M", "at q/s", "p50 µs", "p99 µs", "lost", "RSS MiB"]]
    for one in figures:
        best = one.middle(one.maxima, "answered")
        nexus = next(f for f in figures if f.workload == one.workload and f.server == Nexus.name)
        ratio = "" if nexus is one else f"{nexus.middle(nexus.maxima, 'answered') / best:.2f} ×"
        rates = [sample.answered for sample in one.maxima]
        rows.append(
            [
                f"{one.workload}: {one.server}", thousands(best), thousands(min(rates)), thousands(max(rates)), ratio,
                f"{one.middle(one.maxima, 'cpu_s_per_million'):.1f}", f"{one.middle(one.paced, 'offered'):.0f}",
                f"{one.middle(one.paced, 'p50_us'):.0f}", f"{one.middle(one.paced, 'p99_us'):.0f}",
                str(sum(sample.lost for sample in one.maxima + one.paced)),
                f"{one.middle(one.maxima, 'rss_bytes') / 2**20:.0f}",
            ]
        )  # fmt: skip
    print(table(rows))
    for workload in dict.fromkeys(one.workload for one in figures):
        series = {
            one.server: [(0.0, 0.0), *sorted((s.offered, s.answered) for s in one.curve)]
            for one in figures
            if one.workload == workload and one.curve
        }
        if series:
            path = folder / f"{workload.replace(', ', '-')}.svg"
            path.write_text(plot.draw(f"Resolution on one core, {workload}", series))
            print(f"plot: {path}")


def _note(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)
