"""Dynamic updates of real clients (RFC 2136 with TSIG): dnsperf's, each of which waits for its answer."""

from __future__ import annotations

from pathlib import Path

from lab import dns
from lab.mesh import KEY_NAME, KEY_SECRET, MESH_ZONE
from lab.process import LabError
from lab.run import Run

from .mesh_bed import CLIENTS_MAX, MeshBed, cpu_by_kind
from .mesh_figures import CpuMeter, MeshFigures

PART = "updates by clients, answered when in force (four appliances)"
NAMES_COUNT = 2_000
# Passes over the names before an address comes again.
ADDRESSES_COUNT = 4
PROBES_COUNT = 20
KEY = f"hmac-sha256:{KEY_NAME}:{KEY_SECRET}"
UPDATING = ("-u", "-y", KEY)


class UpdatesBed:
    """A mesh with clients that update; the zone has all names before anything is measured."""

    def __init__(self, run: Run) -> None:
        clients = {"connections_per_client_max": 2 * CLIENTS_MAX}
        self.bed = MeshBed(run, resolver={"tcp": clients})
        self.samples = 0
        self.bed.start()
        node = self.bed.nodes[0]
        self.bed.ask_all({node.address: self._updates(0)}, 60, 100, *UPDATING, "-n", "1")

    def measure(self, figures: MeshFigures, seconds: float) -> None:
        """One round: at one node and at all four, over UDP and over TCP."""
        nodes = self.bed.nodes
        for transport in ("udp", "tcp"):
            for variant, asked in (("at one node", nodes[:1]), ("at all four", nodes)):
                self._sample(figures, f"{variant}, {transport.upper()}", transport, asked, seconds)

    def _sample(self, figures: MeshFigures, name: str, transport: str, asked: list, seconds: float) -> None:
        before = self.bed.mesh.serial(self.bed.nodes[0])
        files = {node.address: self._updates(index) for index, node in enumerate(asked)}
        cpu = CpuMeter(self.bed.cpu_groups())
        found = self.bed.ask_all(files, seconds, CLIENTS_MAX // len(asked), *UPDATING, "-m", transport)
        used = cpu.stop()
        self.bed.mesh.wait_until_equal()
        self._expect_served_alike()
        good, after = found.rcodes.get("NOERROR", 0), self.bed.mesh.serial(self.bed.nodes[0])
        if before is None or after is None or (after - before) % (1 << 32) < good:
            raise LabError(f"{good} updates were acknowledged, and the serial went from {before} to {after}")
        rate = found.rate * good / max(1, found.completed)
        figures.note(PART, f"{name}: acknowledged", rate, "updates/s", ">= 5,000")
        figures.note(PART, f"{name}: SERVFAIL or none", 100 * (1 - good / max(1, found.sent)), "%")
        kinds = cpu_by_kind(used)
        figures.note(PART, f"{name}: CPU of all controls", kinds["all controls"] / rate * 1e6 if rate else 0, "µs/update")
        sample = {"part": PART, "variant": name, "sent": found.sent, "rcodes": found.rcodes}
        figures.samples.append({**sample, "lost": found.lost, "cores": used})

    def _expect_served_alike(self) -> None:
        """Some of the names, at the workers of all nodes."""
        step = NAMES_COUNT // PROBES_COUNT
        for name in (f"n{index}.{MESH_ZONE}" for index in range(0, NAMES_COUNT, step)):
            shown = {tuple(dns.ask(self.bed.client, node.address, name).data("A")) for node in self.bed.nodes}
            if len(shown) != 1 or shown == {()}:
                raise LabError(f"{name} is not the same at all nodes: {shown}")

    def _updates(self, place: int) -> Path:
        """Each gives one name another address."""
        self.samples += 1
        return self.bed.file(updates_text(place, self.samples))


def updates_text(place: int, series: int) -> str:
    """Updates as dnsperf reads them; they may be repeated from the beginning. Those of two places, and of two
    series, give no name the same address: an update that changes nothing moves no serial."""
    lines = []
    for address in range(ADDRESSES_COUNT):
        for index in range(NAMES_COUNT):
            name = f"n{(index + place * NAMES_COUNT // 4) % NAMES_COUNT}"
            lines.append(f"{MESH_ZONE}\ndelete {name} A\nadd {name} 60 A 10.{place}.{series}.{address}\nsend\n")
    return "".join(lines)
