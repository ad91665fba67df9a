"""Four whole appliances in the lab, and dnsperf against one or all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

from lab import load
from lab.mesh import Mesh
from lab.process import LabError, Process
from lab.run import Run

from .contestants import descendants

# The generator is one client for all.
NO_PUNT_LIMIT = {"punts_per_second": {"rate": 0, "burst": 1}}
DRAIN_S = 30.0


class MeshBed:
    """A mesh, with the processes whose CPU time counts."""

    def __init__(self, run: Run, **settings: dict) -> None:
        self.run = run
        self.mesh = Mesh(run, dataplane=NO_PUNT_LIMIT, **settings)
        self.nodes = self.mesh.appliances
        self.client = self.mesh.client
        self.servers: list[Process] = []
        self.files = 0

    def start(self, *rest: str) -> None:
        """Until all serve the agreed zone and are connected. `rest` runs everything but the first node's
        dataplane by another program (taskset, nice)."""
        for node in self.nodes:
            node.start_dataplane(*(() if node is self.nodes[0] else rest))
            node.start_control(*rest)
        for node in self.nodes:
            node.wait_until_serving()
        self.mesh.wait_for_serial(1)
        self.mesh.wait_until_connected()

    def cpu_groups(self) -> dict[str, Callable[[], list[int]]]:
        """Each plane of each node, and servers besides."""
        groups: dict[str, Callable[[], list[int]]] = {}
        for node in self.nodes:
            groups[f"{node.host.name} control"] = lambda node=node: pids(node.control)
            groups[f"{node.host.name} dataplane"] = lambda node=node: pids(node.dataplane)
        if self.servers:
            groups["authorities"] = lambda: [pid for server in self.servers for pid in pids(server)]
        return groups

    def file(self, text: str) -> Path:
        """What a generator reads; each time another."""
        self.files += 1
        path = self.run.path(f"load-{self.files}")
        path.write_text(text)
        return path

    def ask_all(
        self, files: dict[str, Path], seconds: float, window: int, *options: str, rate: int = 10_000_000
    ) -> load.Paced:
        """dnsperf at each of these addresses at the same time, `window` questions under way at each; sums."""
        words = ("-q", str(window), "-c", str(min(window, CLIENTS_MAX)), *options)
        running = []
        for address, file in files.items():
            process = load.start_dnsperf(self.client, address, file, rate, seconds, timeout_s=5, options=words)
            running.append((process, file))
        found = []
        for process, file in running:
            found.append(load.finish_dnsperf(process, seconds + DRAIN_S))
            if process.popen.returncode != 0:
                raise LabError(f"dnsperf failed:\n{process.log_tail()}")
            self.run.processes.remove(process)
            process.log.unlink()
            file.unlink()
        rcodes: dict[str, int] = {}
        for one in found:
            for code, count in one.rcodes.items():
                rcodes[code] = rcodes.get(code, 0) + count
        sent, completed, lost = (sum(getattr(one, key) for one in found) for key in ("sent", "completed", "lost"))
        return load.Paced(sent, completed, lost, rcodes, sum(one.rate for one in found))


# Sockets of one dnsperf, a client each.
CLIENTS_MAX = 400


def pids(process: Process | None) -> list[int]:
    """Of a process and of what it has forked."""
    return [] if process is None else [process.pid, *descendants(process.pid)]


def cpu_by_kind(used: dict[str, float]) -> dict[str, float]:
    """Cores of all controls and of all dataplanes together, and the others'."""
    kinds: dict[str, float] = {}
    for name, cores in used.items():
        kind = f"all {name.split()[-1]}s" if name.startswith("node") else name
        kinds[kind] = kinds.get(kind, 0.0) + cores
    return kinds
