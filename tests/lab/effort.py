"""What a client's question costs: messages to authorities, counted at both ends, and CPU time of control."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from .appliance import REPOSITORY, Appliance
from .hosts import Host
from .process import LabError, busy_seconds, wait_until

LIMITS_SOURCE = REPOSITORY / "control" / "resolver" / "src" / "iterate" / "config.rs"


def limits() -> dict[str, int]:
    """The resolver's bounds of work for one question, as its source has them."""
    text = LIMITS_SOURCE.read_text()
    body = text[text.index("impl Default for Limits") :]
    found = re.findall(r"(\w+_max): ([\d_]+),", body)
    if not found:
        raise LabError(f"no limits in {LIMITS_SOURCE}")
    return {name: int(value.replace("_", "")) for name, value in found}


def metric(node: Appliance, name: str) -> int:
    """One counter without labels."""
    for line in node.nexus("metrics").splitlines():
        if line.startswith(f"{name} "):
            return int(float(line.split()[1]))
    raise LabError(f"no metric {name}")


@dataclass(frozen=True)
class Work:
    """Sums since the start, or the difference of two."""

    sent_udp: int
    sent_tcp: int
    received_udp: int
    received_tcp: int
    cpu_s: float

    def __sub__(self, other: Work) -> Work:
        return Work(
            self.sent_udp - other.sent_udp,
            self.sent_tcp - other.sent_tcp,
            self.received_udp - other.received_udp,
            self.received_tcp - other.received_tcp,
            self.cpu_s - other.cpu_s,
        )

    @property
    def messages(self) -> int:
        """That the resolver says it sent."""
        return self.sent_udp + self.sent_tcp

    @property
    def received(self) -> int:
        """That the authorities got."""
        return self.received_udp + self.received_tcp


class Meter:
    """Reads both ends."""

    def __init__(self, node: Appliance, authorities: Host) -> None:
        self.node = node
        self.authorities = authorities

    def read(self) -> Work:
        """Now; waits until what is in flight has been counted."""
        wait_until(lambda: metric(self.node, "nexus_resolver_tasks") == 0, 15, "nothing is being resolved")
        time.sleep(0.05)
        control = self.node.control
        assert control is not None
        udp, tcp = self._received()
        return Work(
            metric(self.node, "nexus_resolver_sent_udp_total"),
            metric(self.node, "nexus_resolver_sent_tcp_total"),
            udp,
            tcp,
            busy_seconds(control.pid),
        )

    def _received(self) -> tuple[int, int]:
        """UDP datagrams and TCP connections (a question each) at the authorities, as their kernel counts."""
        show = self.authorities.command
        lines = [line.split() for line in show("cat", "/proc/net/snmp").splitlines()]

        def field(protocol: str, name: str) -> int:
            names, values = [line for line in lines if line[0] == f"{protocol}:"]
            return int(values[names.index(name)])

        v6 = dict(line.split() for line in show("cat", "/proc/net/snmp6").splitlines())
        udp = field("Udp", "InDatagrams") + field("Udp", "InErrors") + int(v6["Udp6InDatagrams"]) + int(v6["Udp6InErrors"])
        return udp, field("Tcp", "PassiveOpens")
