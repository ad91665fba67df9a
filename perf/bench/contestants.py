"""The servers that are compared. Each is started on the bed's server core and stopped again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from lab import dns, peers, zones
from lab.appliance import Appliance
from lab.process import LabError, Process, rss_bytes, wait_until

from .bed import GENERATOR_CORE, INTERFACE, SERVER_CORE, SERVER_V4, Bed, pinned

FIRST_NAME = f"h0000.{zones.OWN_ZONE}"


class Contestant(ABC):
    """A server under test."""

    name: str
    group: str  # Contestants of a group are compared with each other.

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self.processes: list[Process] = []

    @abstractmethod
    def launch(self) -> None:
        """Starts its processes."""

    def start(self) -> None:
        """Starts it and waits until it answers the generator's host."""
        self.launch()
        peers.wait_for_answer(self.processes[0], self.bed.client, SERVER_V4, FIRST_NAME, "A")

    def warm(self) -> None:
        """Makes every name known that will be asked; servers of zones know them."""

    def stop(self) -> None:
        """Ends its processes and waits until the wire is free of them."""
        for process in reversed(self.processes):
            process.stop()
            self.bed.run.processes.remove(process)
        self.processes.clear()
        wait_until(lambda: self.bed.server.xdp_program(INTERFACE) is None, 5, "XDP is detached")

    def pids(self) -> list[int]:
        """Processes whose CPU time counts."""
        return [process.pid for process in self.processes]

    def rss(self) -> dict[str, int]:
        """Resident bytes of each process."""
        return {process.name.split("-server")[0]: rss_bytes(process.pid) for process in self.processes}

    def counters(self) -> dict[str, int]:
        """Counters that explain where answers came from, if it has any."""
        return {}

    def _start(self, name: str, *arguments: str) -> None:
        self.processes.append(self.bed.server.start(name, [*pinned(SERVER_CORE), *arguments]))


class Nexus(Contestant):
    """Both planes; the workers on the server's core, control on the other."""

    def __init__(self, bed: Bed, mode: str) -> None:
        super().__init__(bed)
        self.mode = mode
        self.name = f"Nexus, {mode}"
        self.group = "XDP" if mode == "copy" else "sockets"
        dataplane = {
            "mode": mode,
            "queues": [0],
            "cores": [SERVER_CORE],
            # The generator is one client for all.
            "punts_per_second": {"rate": 0, "burst": 1},
        }
        self.appliance = Appliance(
            bed.server, INTERFACE, SERVER_V4, folder=f"nexus-{mode}", dataplane=dataplane
        )

    def launch(self) -> None:
        self.processes.append(self.appliance.start_dataplane())
        self.processes.append(self.appliance.start_control(*pinned(GENERATOR_CORE)))
        self.appliance.wait_until_serving()

    def warm(self) -> None:
        with dns.Client(self.bed.client, SERVER_V4) as client:
            for name in zones.host_names():
                # With RD, as the generators ask: it is part of the cache's key.
                for _ in range(3):
                    if client.exchange(dns.query(name), 1.0):
                        break
                else:
                    raise LabError(f"{self.name} does not answer {name}")

    def counters(self) -> dict[str, int]:
        return self.appliance.counters()


class Knot(Contestant):
    """knotd with one worker: XDP on the interface, or a UDP socket."""

    def __init__(self, bed: Bed, *, xdp: bool) -> None:
        super().__init__(bed)
        self.name = "knotd, XDP" if xdp else "knotd, UDP"
        self.group = "XDP" if xdp else "sockets"
        folder = bed.run.path("knot-xdp" if xdp else "knot-udp")
        interface = INTERFACE if xdp else None
        knot = peers.Knot(folder, zones.OWN_ZONE, bed.zone_file, SERVER_V4, interface)
        self.config = knot.write()

    def launch(self) -> None:
        self._start("knotd", "knotd", "-c", str(self.config))

    def stop(self) -> None:
        # knotd attaches for good: what ends it without its consent leaves its program there.
        for process in self.processes:
            process.stop()
        self.bed.server.ip("link", "set", INTERFACE, "xdp", "off")
        super().stop()


class Nsd(Contestant):
    """NSD with one server process."""

    name = "NSD"
    group = "sockets"

    def __init__(self, bed: Bed) -> None:
        super().__init__(bed)
        files = {zones.OWN_ZONE: bed.zone_file}
        self.config = peers.write_nsd(bed.run.path("nsd"), [SERVER_V4], files)

    def launch(self) -> None:
        self._start("nsd", "nsd", "-d", "-c", str(self.config))

    def pids(self) -> list[int]:
        # NSD forks a server that answers, and others that do not.
        own = self.processes[0].pid
        return [own, *descendants(own)]

    def rss(self) -> dict[str, int]:
        return {"nsd": sum(rss_bytes(pid) for pid in self.pids())}


def descendants(pid: int) -> list[int]:
    """Children of a process, and theirs."""
    found = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


def all_contestants(bed: Bed) -> list[Contestant]:
    """Everyone, Nexus first in its group."""
    return [Nexus(bed, "copy"), Knot(bed, xdp=True), Nexus(bed, "socket"), Knot(bed, xdp=False), Nsd(bed)]
