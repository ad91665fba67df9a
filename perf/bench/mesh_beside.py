"""Cached answers of one node's worker while the mesh commits a thousand updates a second, and while it rests.

The worker of node 1 is on core 0; on core 1 are kxdpgun and, behind it by nice, everything else: node 1's control,
the other three nodes, the clients that update. A worker with a core of its own takes more than the generator can
send from a core that others need, too. So it shares: a program that never sleeps has three quarters of core 0, and
the worker's limit comes while core 1 has room. The same processes run in both states.
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
from .rate import Generator, Maximum, find_maximum

PART = "cached answers of one worker beside updates (four appliances)"
UPDATES_RATE = 1_000
UPDATERS_V4 = "10.53.1.2"
CLIENTS_COUNT = 100
FIRST_GUESS = 100_000.0
TOLERANCE = 0.05
CURVE_SHARES = (0.25, 0.5, 0.75, 1.0, 1.25)
START_S = 1.0
# Weights of 3 to 1 against what runs as usual; 1 to 3 for who is behind (sched(7)).
AHEAD, BEHIND = ("nice", "-n", "-5"), ("nice", "-n", "5")
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
        run.start("competitor", self.client.namespace, [*pinned(SERVER_CORE), *AHEAD, "sh", "-c", "while :; do :; done"])
        # kxdpgun takes every answer that comes to its interface.
        self.updaters = Host(run, "updaters")
        self.bed.mesh.switch.plug(End(self.updaters, INTERFACE, "02:00:00:00:01:02", (f"{UPDATERS_V4}/16",)))
        self.bed.mesh.warm(zones.host_names())
        self.queries = self.bed.mesh.queries()
        self.updates = self.bed.file(updates_text("beside", 1))
        self.answered: dict[str, list[float]] = {ALONE: [], BESIDE: []}

    def pids(self) -> list[int]:
        """Whose CPU time is a sample's: the worker's that answers."""
        return pids(self.bed.nodes[0].dataplane)

    def measure(self, figures: MeshFigures, seconds: float, number: int, *, is_last: bool) -> None:
        """One round: the highest rate of which at most 2 % is lost, in both states, in turns the first."""
        states = (ALONE, BESIDE) if number % 2 == 0 else (BESIDE, ALONE)
        for state in states:
            self._in_state(state, figures, seconds, is_last)
        with_, without = self.answered[BESIDE][-1], self.answered[ALONE][-1]
        figures.note(PART, "with, of without", with_ / without if without else 0.0, "×", ">= 0.8")

    def _in_state(self, state: str, figures: MeshFigures, seconds: float, is_last: bool) -> None:
        updating = self._start_updates() if state == BESIDE else None
        known = self.answered[state]
        generator = Generator(self, seconds, patient=False)  # type: ignore[arg-type]
        take = lambda rate: generator.sample(self, rate)  # type: ignore[arg-type]  # noqa: E731
        maximum = find_maximum(take, known[-1] * 0.9 if known else FIRST_GUESS, TOLERANCE)
        if is_last:
            base = self.answered[ALONE][0] if self.answered[ALONE] else maximum.answered
            curve = [take(share * base) for share in CURVE_SHARES]
            figures.curves[state] = [(0.0, 0.0), *sorted((one.sent, one.answered) for one in curve)]
        known.append(maximum.answered)
        self._note(figures, state, maximum)
        if updating:
            figures.note(PART, "updates acknowledged meanwhile", self._finish_updates(updating), "updates/s")

    def _note(self, figures: MeshFigures, state: str, maximum: Maximum) -> None:
        best = max(maximum.samples, key=lambda one: one.answered)
        figures.note(PART, state, maximum.answered, "answers/s")
        figures.note(PART, f"{state}: worker at its maximum", best.server_cpu, "cores")
        figures.note(PART, f"{state}: generator at its maximum", best.generator_cpu, "cores")
        samples = [one.as_dict() for one in maximum.samples]
        bound = maximum.is_generator_bound
        figures.samples.append({"part": PART, "state": state, "generator_bound": bound, "samples": samples})

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
