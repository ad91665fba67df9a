"""Cold resolutions that a quorum agrees on: four appliances, authorities of their own, a name asked once."""

from __future__ import annotations

from pathlib import Path

from lab import dns, peers, zones
from lab.hosts import End, Host
from lab.mesh import metrics
from lab.process import LabError
from lab.run import Run
from lab.world import INTERFACE

from .mesh_bed import MeshBed, cpu_by_kind
from .mesh_figures import CpuMeter, MeshFigures

PART = "cold resolutions that a quorum agrees on (four appliances)"
ZONES_COUNT = 50
LEAVES_V4 = [f"10.53.2.{number}" for number in range(11, 21)]
# What four resolvers ask at once while another has the core: the usual buffer loses some of it.
BUFFER_BYTES = 4 << 20
# Questions under way in all, and more names a second than are ever answered.
WINDOW = 400
RATE_MAX = 12_000
AGREED = 'nexus_validation_answers_total{verdict="agreed"}'
TARGET = ">= 2,000"
HEAD = "$ORIGIN {0}\n$TTL 3600\n@ SOA {1} hostmaster.{1} 1 3600 600 86400 60\n@ NS {1}\n"


class ColdBed:
    """A mesh under `validation: quorum` beside a small internet without signatures, whose leaves have every
    name: nothing is proven, so that each answer needs the word of three nodes."""

    def __init__(self, run: Run) -> None:
        self.bed = MeshBed(run, resolver={"allow": ["any"]})
        for node in self.bed.nodes:  # Not before it has members.
            node.configure(resolver={"validation": "quorum"})
        self.asked = 0
        host = Host(run, "authorities")
        self.bed.mesh.switch.plug(End(host, INTERFACE, "02:00:00:00:02:01"))
        for name, (address, files) in write_zones(run.path("zones")).items():
            host.add_address(INTERFACE, f"{address}/16")
            config = peers.write_nsd(run.path(f"nsd-{name}"), [address], files, buffer_bytes=BUFFER_BYTES)
            process = host.start(f"nsd-{name}", ["nsd", "-d", "-c", str(config)])
            peers.wait_for_answer(process, host, address, next(iter(files)))
            self.bed.servers.append(process)
        self.bed.start()
        for node in self.bed.nodes:
            with dns.Client(self.bed.client, node.address) as client:
                for zone in leaf_zones():
                    client.ask(f"warm.{zone}", tries=8)

    def measure(self, figures: MeshFigures, seconds: float) -> None:
        """One round: names asked at one node, then others at all four."""
        nodes = self.bed.nodes
        for variant, asked in (("asked at one node", nodes[:1]), ("asked at all four", nodes)):
            files = {node.address: self._names(int(RATE_MAX * seconds / len(asked))) for node in asked}
            agreed = sum(metrics(node).get(AGREED, 0) for node in asked)
            cpu = CpuMeter(self.bed.cpu_groups())
            found = self.bed.ask_all(files, seconds, WINDOW // len(asked), "-n", "1")
            used = cpu.stop()
            agreed = sum(metrics(node).get(AGREED, 0) for node in asked) - agreed
            good = found.rcodes.get("NOERROR", 0)
            if good > agreed:
                raise LabError(f"{good} answers, of which only {agreed} were agreed on")
            rate = found.rate * good / max(1, found.completed)
            figures.note(PART, f"{variant}: answered after agreement", rate, "answers/s", TARGET)
            figures.note(PART, f"{variant}: SERVFAIL or none", 100 * (1 - good / max(1, found.sent)), "%")
            for kind, cores in cpu_by_kind(used).items():
                figures.note(PART, f"{variant}: CPU of {kind}", cores, "cores")
            sample = {"part": PART, "variant": variant, "sent": found.sent, "rcodes": found.rcodes}
            figures.samples.append({**sample, "lost": found.lost, "agreed": agreed, "cores": used})

    def _names(self, count: int) -> Path:
        """Names that nobody has asked for."""
        first, self.asked = self.asked, self.asked + count
        leaves = leaf_zones()
        names = (f"c{index:x}.{leaves[index % ZONES_COUNT]} A\n" for index in range(first, first + count))
        return self.bed.file("".join(names))


def leaf_zones() -> list[str]:
    """Zones in which every name exists."""
    return [f"u{index:02}.test." for index in range(ZONES_COUNT)]


def write_zones(folder: Path) -> dict[str, tuple[str, dict[str, Path]]]:
    """Address and zone files of each server: root, TLD, and ten for the leaves. Each leaf has two of these, as
    zones have: one that is late now and then is not its end."""
    folder.mkdir()
    tld = f"test. NS ns.test.\nns.test. A {zones.TLD.v4}\n"
    texts = {".": HEAD.format(".", "root-server.") + f"root-server. A {zones.ROOT.v4}\n" + tld}
    texts["test."] = HEAD.format("test.", "ns.test.") + f"ns A {zones.TLD.v4}\n"
    servers: dict[str, tuple[str, list[str]]] = {"root": (zones.ROOT.v4, ["."]), "tld": (zones.TLD.v4, ["test."])}
    for index, address in enumerate(LEAVES_V4):
        texts["test."] += f"ns{index} A {address}\n"
        servers[f"ns{index}"] = (address, [])
    for index, zone in enumerate(leaf_zones()):
        first, second = (f"ns{(index + step) % len(LEAVES_V4)}" for step in range(2))
        texts["test."] += f"{zone} NS {first}.test.\n{zone} NS {second}.test.\n"
        texts[zone] = HEAD.format(zone, f"{first}.test.") + f"@ NS {second}.test.\n* A 192.0.2.2\n"
        servers[first][1].append(zone)
        servers[second][1].append(zone)
    for zone, text in texts.items():
        (folder / zones.file_name(zone)).write_text(text)
    return {
        name: (address, {zone: folder / zones.file_name(zone) for zone in served})
        for name, (address, served) in servers.items()
    }
