"""The test bed: a generator and a server, one veth pair with one queue between them, one core each.

Where packets are processed on veth, for every server alike: sending runs the receiver's softirq in
the sender's context. So the XDP program in front of the server and the copy into its socket cost
the generator's core, and delivering answers to the generator costs the server's core. No threaded
NAPI and no RPS: with either every contestant is slower here.
"""

from __future__ import annotations

from pathlib import Path

from lab import load, zones
from lab.hosts import End, Host, connect
from lab.run import Run

SERVER_CORE, GENERATOR_CORE = 0, 1
INTERFACE = "dns0"
SERVER_V4, CLIENT_V4 = "10.53.0.1", "10.53.1.1"
SERVER_MAC, CLIENT_MAC = "02:00:00:00:00:01", "02:00:00:00:01:01"


class Bed:
    """Two hosts and a wire."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.server = Host(run, "server")
        self.client = Host(run, "client")
        connect(
            End(self.server, INTERFACE, SERVER_MAC, (f"{SERVER_V4}/16",)),
            End(self.client, INTERFACE, CLIENT_MAC, (f"{CLIENT_V4}/16",)),
        )
        # ARP in the middle of a sample would cost packets.
        for host, address, mac in (
            (self.client, SERVER_V4, SERVER_MAC),
            (self.server, CLIENT_V4, CLIENT_MAC),
        ):
            host.ip("neigh", "replace", address, "lladdr", mac, "dev", INTERFACE, "nud", "permanent")
        self.zone_file = run.path("bench.zone")
        self.zone_file.write_text(zones.own_zone())
        self.queries = load.write_queries(run.path("hits.queries"), zones.host_names())

    def write_misses(self, count: int, salt: int) -> Path:
        """A file of names that do not exist and that no other file has."""
        names = (f"x{salt:x}-{index:x}.{zones.OWN_ZONE}" for index in range(count))
        return load.write_queries(self.run.path("misses.queries"), list(names))


def pinned(core: int) -> list[str]:
    """Prefix of a command that stays on one core."""
    return ["taskset", "-c", str(core)]
