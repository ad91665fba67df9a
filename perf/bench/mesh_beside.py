"""Cached answers of one node's worker while the mesh commits a thousand updates a second, and while it rests.

The worker of node 1 is on core 0; on core 1 are kxdpgun and, behind it by nice, everything else: node 1's control,
the other three nodes, the clients that update. A worker with a core of its own takes more than the generator can
send from a core that others need, too. So it shares: a program that never sleeps has half of core 0, and the worker's
limit comes while core 1 has room. What consensus takes of the worker weighs twice as much then; it is given by
itself, too. The same processes run in both states.
"""

from __future__ import annotations

import signal
import time

from lab import load, zones
from lab.hosts import End, Host
from lab.process import LabError, Process
from lab.run import Run

from .bed import GENERATOR_CORE, INTERFACE, SERVER_CORE, pinned
from .mesh_bed import MeshBed, pids
from .mesh_figures import MeshFigures
from .mesh_updates import UPDATING, updates_text
from .rate import Generator, Sample, find_maximum

PART = "cached answers of one worker beside updates (four appliances)"
UPDATES_RATE = 1_000
UPDATERS_V4 = "10.53.1.2"
CLIENTS_COUNT = 100
FIRST_GUESS = 100_000.0
TOLERANCE = 0.1
OVERLOAD_SHARE = 1.2
CURVE_SHARES = (0.25, 0.5, 0.75, 1.0, 1.25)
START_S = 1.0
# A third of the usual weight. Where sessions have weights of their own, that of nice counts within one (sched(7)).
BEHIND = ("sh", "-c", 'echo 5 >/proc/$$/autogroup; exec nice -n 5 "$@"', "sh")
BESIDE, ALONE = f"with {UPDATES_RATE:,} updates/s", "without updates"
# Longer than any search for a maximum.
UPDATES_S = 600.0


class BesideBed:
    """A mesh whose first node is asked for names that its worker knows."""

    def __init__(self, run: Run) -> None:
        self.bed = MeshBed(run)
        self.client = self.bed.client
        for index, node in enumerate(self.bed.nodes):
            node.configure(dataplane={"queues": [0], "cores": [GENERATOR_CORE if index else SERVER_CORE]})
        self.bed.start(*pinned(GENERATOR_CORE), *BEHIND)
        busy = [*pinned(SERVER_CORE), "sh", "-c", "while :; do :; done"]
        run.start("competitor", self.client.namespace, busy)
        # kxdpgun takes every answer that comes to its interface.
        self.updaters = Host(run, "updaters")
        self.bed.mesh.switch.plug(End(self.updaters, INTERFACE, "02:00:00:00:01:02", (f"{UPDATERS_V4}/16",)))
        self.bed.mesh.warm(zones.host_names())
        self.queries = self.bed.mesh.queries()
        self.updates = self.bed.file(updates_text(0, 0))
        # Answers a second without updates, at most 2 % lost.
        self.limit = 0.0

    def pids(self) -> list[int]:
        """Whose CPU time is a sample's: the worker's that answers."""
        return pids(self.bed.nodes[0].dataplane)

    def measure(self, figures: MeshFigures, seconds: float, number: int, *, is_last: bool) -> None:
        """One round: the worker is offered more than it can answer, in both states, in turns the first."""
        generator = Generator(self, seconds, patient=False)  # type: ignore[arg-type]
        if not self.limit:
            search = Generator(self, seconds / 2, patient=False)  # type: ignore[arg-type]
            self.limit = find_maximum(lambda rate: self._take(search, rate), FIRST_GUESS, TOLERANCE).answered
        states = (ALONE, BESIDE) if number % 2 == 0 else (BESIDE, ALONE)
        found = {state: self._in_state(state, figures, generator, is_last) for state in states}
        beside, alone = found[BESIDE], found[ALONE]
        if not alone.answered:
            raise LabError("the worker has answered nothing")
        figures.note(PART, "with, of without", beside.answered / alone.answered, "×", ">= 0.8")
        taken = beside.server_cpu - beside.answered * alone.server_cpu / alone.answered
        figures.note(PART, "what consensus takes of the worker", max(0.0, taken), "cores")

    def _take(self, generator: Generator, rate: float) -> Sample:
        return generator.sample(self, rate)  # type: ignore[arg-type]

    def _in_state(self, state: str, figures: MeshFigures, generator: Generator, is_last: bool) -> Sample:
        updating = self._start_updates() if state == BESIDE else None
        sample = self._take(generator, OVERLOAD_SHARE * self.limit)
        if is_last:
            curve = [self._take(generator, share * self.limit) for share in CURVE_SHARES]
            figures.curves[state] = [(0.0, 0.0), *sorted((one.sent, one.answered) for one in curve)]
        figures.note(PART, state, sample.answered, "answers/s")
        figures.note(PART, f"{state}: sent by the generator", sample.sent, "queries/s")
        figures.note(PART, f"{state}: CPU of the worker", sample.server_cpu, "cores")
        figures.note(PART, f"{state}: CPU of the generator", sample.generator_cpu, "cores")
        figures.samples.append({"part": PART, "state": state, "limit": self.limit, **sample.as_dict()})
        if updating:
            figures.note(PART, "updates acknowledged meanwhile", self._finish_updates(updating), "updates/s")
        return sample

    def _start_updates(self) -> Process:
        clients = ("-q", str(CLIENTS_COUNT), "-c", str(CLIENTS_COUNT), *UPDATING)
        process = load.start_dnsperf(
            self.updaters, self.bed.nodes[1].address, self.updates, UPDATES_RATE, UPDATES_S, timeout_s=5,
            options=clients, prefix=(*pinned(GENERATOR_CORE), *BEHIND),
        )  # fmt: skip
        time.sleep(START_S)
        process.expect_running()
        return process

    def _finish_updates(self, process: Process) -> float:
        """Acknowledged a second."""
        process.signal(signal.SIGINT)
        found = load.finish_dnsperf(process)
        self.bed.run.processes.remove(process)
        if not found.completed:
            raise LabError("no update was acknowledged")
        return found.rate * found.rcodes.get("NOERROR", 0) / found.completed
