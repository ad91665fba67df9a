"""Real servers from the distribution: NSD as authority, Knot and NSD to compare with, Unbound."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Sequence

from . import dns, zones
from .hosts import Host
from .process import LabError, Process, wait_until

START_TIMEOUT_S = 20.0


def answers(host: Host, server: str, name: str, qtype: str, port: int = 53) -> bool:
    """Whether a server gives any answer but SERVFAIL."""
    with dns.Client(host, server, port) as client:
        raw = client.exchange(dns.query(name, qtype), 0.2)
    return raw is not None and raw[3] & 15 != dns.SERVFAIL


def wait_for_answer(
    process: Process, host: Host, server: str, name: str, qtype: str = "SOA", port: int = 53
) -> float:
    """Seconds until `server` answered; LabError if the process ends instead."""

    def answered() -> bool:
        process.expect_running()
        return answers(host, server, name, qtype, port)

    try:
        return wait_until(answered, START_TIMEOUT_S, f"{process.name} answers {name} {qtype}")
    except LabError as error:
        raise LabError(f"{error}\n{process.log_tail()}") from None


def write_nsd(
    folder: Path, addresses: Sequence[str], zone_files: dict[str, Path], *, buffer_bytes: int = 0
) -> Path:
    """Configuration of one NSD that forks one server; its state stays in `folder`. `buffer_bytes` is how much
    may wait for each of its sockets; 0: what the system thinks fit."""
    folder.mkdir(exist_ok=True)
    lines = [
        "server:",
        "  server-count: 1",
        '  username: ""',
        '  chroot: ""',
        f'  zonesdir: "{folder}"',
        '  database: ""',
        "  rrl-ratelimit: 0",
        "  hide-version: yes",
        f'  pidfile: "{folder}/nsd.pid"',
        f'  xfrdfile: "{folder}/xfrd.state"',
        f'  xfrdir: "{folder}"',
        f'  zonelistfile: "{folder}/zone.list"',
        f"  receive-buffer-size: {buffer_bytes}",
    ]
    lines += [f"  ip-address: {address}" for address in addresses]
    lines += ["remote-control:", "  control-enable: no"]
    for zone, file in zone_files.items():
        lines += ["zone:", f'  name: "{zone}"', f'  zonefile: "{file}"']
    path = folder / "nsd.conf"
    path.write_text("\n".join(lines) + "\n")
    return path


def start_authorities(host: Host, interface: str) -> tuple[list[Process], str]:
    """NSD for root, TLD and leaf, each a process with addresses of its own; returns the trust anchor."""
    folder = host.run.path("zones")
    anchor = zones.write_authorities(folder)
    processes = []
    for authority in zones.AUTHORITIES:
        host.add_address(interface, f"{authority.v4}/16", f"{authority.v6}/64")
        files = {zone: folder / zones.file_name(zone) for zone in authority.zones}
        own = host.run.path(f"nsd-{authority.name}")
        config = write_nsd(own, (authority.v4, authority.v6), files)
        processes.append(host.start(f"nsd-{authority.name}", ["nsd", "-d", "-c", str(config)]))
    for process, authority in zip(processes, zones.AUTHORITIES):
        wait_for_answer(process, host, authority.v4, authority.zones[0])
    return processes, anchor


@dataclass(frozen=True)
class Knot:
    """Configuration of a knotd with one UDP worker: by XDP on an interface, or on sockets."""

    folder: Path
    zone: str
    file: Path
    address: str
    interface: str | None = None
    text: str = field(init=False, default="")

    def write(self) -> Path:
        """Writes knot.conf and returns its path."""
        self.folder.mkdir(exist_ok=True)
        # With XDP the sockets only have to exist: knotd does not start without.
        port = 5300 if self.interface else 53
        xdp = f"xdp:\n  listen: {self.interface}@53\n  udp: on\n  tcp: off\n" if self.interface else ""
        path = self.folder / "knot.conf"
        path.write_text(
            f"server:\n  rundir: {self.folder}\n  udp-workers: 1\n  tcp-workers: 1\n"
            f"  background-workers: 1\n  listen: {self.address}@{port}\n  version: \"\"\n{xdp}"
            f"database:\n  storage: {self.folder}\n"
            f"zone:\n  - domain: {self.zone}\n    file: {self.file}\n"
            "    journal-content: none\n    zonefile-load: whole\n"
            "log:\n  - target: stderr\n    any: info\n"
        )
        return path


def start_nsd_secondary(host: Host, address: str, zone: str, primary: str, told_by: Sequence[str]) -> Process:
    """NSD that copies a zone from `primary` and hears of changes from all of `told_by`."""
    folder = host.run.path("nsd-secondary")
    path = write_nsd(folder, (address,), {zone: folder / zones.file_name(zone)})
    lines = [f"  request-xfr: {primary} NOKEY", *(f"  allow-notify: {one} NOKEY" for one in told_by)]
    path.write_text(path.read_text() + "\n".join(lines) + "\n")
    return host.start("nsd-secondary", ["nsd", "-d", "-c", str(path)])


def start_knot_secondary(host: Host, address: str, zone: str, primary: str, told_by: Sequence[str]) -> Process:
    """knotd that does the same."""
    folder = host.run.path("knot-secondary")
    folder.mkdir()
    path = folder / "knot.conf"
    path.write_text(
        f"server:\n  rundir: {folder}\n  listen: {address}@53\n  udp-workers: 1\n  tcp-workers: 1\n"
        f"  background-workers: 1\ndatabase:\n  storage: {folder}\n"
        f"remote:\n  - id: primary\n    address: {primary}@53\n"
        f"acl:\n  - id: told\n    address: [{', '.join(told_by)}]\n    action: notify\n"
        f"zone:\n  - domain: {zone}\n    storage: {folder}\n    master: primary\n    acl: told\n"
        "log:\n  - target: stderr\n    any: info\n"
    )
    return host.start("knot-secondary", ["knotd", "-c", str(path)])


def write_unbound(folder: Path, address: str, hints: Path, anchor: Path | None = None) -> Path:
    """Configuration of an Unbound that resolves from the lab's root; it validates if given an anchor."""
    folder.mkdir(exist_ok=True)
    path = folder / "unbound.conf"
    modules = "validator iterator" if anchor else "iterator"
    trust = ""
    if anchor:
        trust = (
            f'  trust-anchor-file: "{anchor}"\n  ede: yes\n  val-log-level: 2\n'
            "  qname-minimisation: yes\n  aggressive-nsec: no\n  serve-expired: no\n"
        )
    path.write_text(
        "server:\n"
        f"  interface: {address}\n  access-control: 0.0.0.0/0 allow\n  access-control: ::/0 allow\n"
        f'  root-hints: "{hints}"\n  module-config: "{modules}"\n  do-daemonize: no\n{trust}'
        f'  username: ""\n  chroot: ""\n  directory: "{folder}"\n  pidfile: ""\n  use-syslog: no\n'
        '  local-zone: "test." nodefault\n  do-not-query-localhost: no\n'
        "remote-control:\n  control-enable: no\n"
    )
    return path
