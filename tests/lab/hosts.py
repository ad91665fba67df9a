"""Hosts and the wires between them: namespaces, veth pairs, a switch, VLANs."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Sequence

from .process import Process
from .run import Run, command, inside

# Offloads that leave a checksum, a tag or a boundary to hardware that veth does not have: with
# them an AF_XDP socket would see frames that no wire carries.
OFFLOADS_OFF = (
    "tx", "gro", "gso", "tso", "rxvlan", "txvlan", "rx-vlan-stag-hw-parse", "tx-vlan-stag-hw-insert"
)  # fmt: skip


@dataclass
class Host:
    """A machine of the lab."""

    run: Run
    name: str
    namespace: str = field(init=False)

    def __post_init__(self) -> None:
        self.namespace = self.run.add_namespace(self.name)

    def command(self, *arguments: str, timeout_s: float = 30.0) -> str:
        """Runs a program on this host to its end and returns what it printed."""
        return command("ip", "netns", "exec", self.namespace, *arguments, timeout_s=timeout_s)

    def start(self, name: str, arguments: Sequence[str]) -> Process:
        """Starts a program on this host."""
        return self.run.start(name, self.namespace, arguments)

    def ip(self, *arguments: str) -> None:
        """`ip` on this host."""
        command("ip", "-n", self.namespace, *arguments)

    def inside(self):
        """Context in which sockets are this host's."""
        return inside(self.namespace)

    def add_address(self, interface: str, *addresses: str) -> None:
        """Adds addresses with their prefix length; IPv6 ones are usable at once."""
        for address in addresses:
            nodad = ["nodad"] if ":" in address else []
            self.ip("address", "add", address, "dev", interface, *nodad)

    def interfaces(self) -> list[str]:
        """Names of its interfaces."""
        return [link["ifname"] for link in json.loads(command("ip", "-n", self.namespace, "-j", "link", "show"))]

    def hardware_address(self, interface: str) -> str:
        """MAC address, `02:…`."""
        shown = command("ip", "-n", self.namespace, "-j", "link", "show", interface)
        return json.loads(shown)[0]["address"]

    def packets_received(self, interface: str) -> int:
        """Frames that came in by an interface so far, taken by XDP or not."""
        return int(self.command("cat", f"/sys/class/net/{interface}/statistics/rx_packets"))

    def overflows(self) -> int:
        """UDP datagrams that came and found the buffer of their socket full, since the host exists."""
        names, values = [
            line.split() for line in self.command("cat", "/proc/net/snmp").splitlines() if line.startswith("Udp:")
        ]
        return int(values[names.index("RcvbufErrors")])

    def xdp_program(self, interface: str) -> str | None:
        """Name of the XDP program attached to an interface, if there is one."""
        shown = command("ip", "-n", self.namespace, "-j", "-d", "link", "show", interface)
        xdp = json.loads(shown)[0].get("xdp")
        return xdp["prog"].get("name", "?") if xdp else None


@dataclass(frozen=True)
class End:
    """One end of a wire."""

    host: Host
    interface: str
    mac: str
    addresses: Sequence[str] = ()


def connect(left: End, right: End, queues: int = 1) -> None:
    """A veth pair with `queues` receive and transmit queues at both ends, up, with addresses."""
    count = str(queues)
    command(
        "ip", "link", "add", left.interface, "netns", left.host.namespace,
        "numrxqueues", count, "numtxqueues", count, "address", left.mac, "type", "veth",
        "peer", "name", right.interface, "netns", right.host.namespace,
        "numrxqueues", count, "numtxqueues", count, "address", right.mac,
    )  # fmt: skip
    for end in (left, right):
        offloads = [word for name in OFFLOADS_OFF for word in (name, "off")]
        end.host.command("ethtool", "-K", end.interface, *offloads)
        end.host.ip("link", "set", end.interface, "up")
        end.host.add_address(end.interface, *end.addresses)


class Switch:
    """An Ethernet bridge on a host of its own."""

    def __init__(self, run: Run) -> None:
        self.host = Host(run, "switch")
        self.ports = 0
        self.host.ip("link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
        self.host.ip("link", "set", "br0", "up")

    def plug(self, end: End, queues: int = 1) -> str:
        """Connects one end of a wire to the switch; returns the name of the switch's port."""
        self.ports += 1
        port = End(self.host, f"port{self.ports}", f"02:00:00:00:ff:{self.ports:02x}")
        connect(end, port, queues)
        self.host.ip("link", "set", port.interface, "master", "br0")
        return port.interface

    def defer_polls(self, port: str, seconds: float) -> None:
        """A port takes what its peer sends only so many seconds later from now on; 0 ends that."""
        folder = f"/sys/class/net/{port}"
        values = {"napi_defer_hard_irqs": int(seconds > 0), "gro_flush_timeout": int(seconds * 1e9)}
        for name, value in values.items():
            self.host.command("sh", "-c", f"echo {value} >{folder}/{name}")
