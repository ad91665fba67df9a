"""The usual lab: a client, one or more appliances and authoritative servers around a switch."""

from __future__ import annotations

from pathlib import Path

from . import dns, load, peers, vlan, zones
from .appliance import Appliance
from .frames import Flow, Wire
from .hosts import End, Host, Switch
from .run import Run

INTERFACE = "dns0"
VLAN = 7
CLIENT_V4, CLIENT_V6 = "10.53.1.1", "fd53::1:1"
NODE_V4, NODE_V6 = "10.53.0.1", "fd53::1"
VLAN_CLIENT_V4, VLAN_CLIENT_V6 = "10.57.1.1", "fd57::1:1"
VLAN_NODE_V4, VLAN_NODE_V6 = "10.57.0.1", "fd57::1"


class World:
    """Hosts, wires and authorities; appliances are configured but not started."""

    def __init__(
        self, run: Run, *, nodes: int = 1, queues: int = 1, authorities: bool = True, **settings: dict
    ) -> None:
        self.run = run
        self.switch = Switch(run)
        self.client = Host(run, "client")
        self.switch.plug(
            End(self.client, INTERFACE, "02:00:00:00:01:01", (f"{CLIENT_V4}/16", f"{CLIENT_V6}/64"))
        )
        self.ports: list[str] = []
        self.appliances = [self._node(index, queues, settings) for index in range(1, nodes + 1)]
        self.trust_anchor = ""
        if authorities:
            self.authorities = Host(run, "authorities")
            self.switch.plug(End(self.authorities, INTERFACE, "02:00:00:00:02:01"))
            _, self.trust_anchor = peers.start_authorities(self.authorities, INTERFACE)
            for node in self.appliances:
                node.trust(self.trust_anchor)

    def _node(self, index: int, queues: int, settings: dict) -> Appliance:
        host = Host(self.run, f"node{index}")
        addresses = (f"10.53.0.{index}/16", f"fd53::{index}/64")
        end = End(host, INTERFACE, f"02:00:00:00:00:{index:02x}", addresses)
        self.ports.append(self.switch.plug(end, queues))
        return Appliance(host, INTERFACE, f"10.53.0.{index}", **settings)

    def wire_to_node(self) -> Wire:
        """The first appliance's own wire: frames that went through the switch would teach it their
        addresses, take longer, and where it has br_netfilter, not arrive if their IP header is wrong."""
        return Wire(self.switch.host, self.ports[0])

    def flows(self) -> list[Flow]:
        """From the client to the first appliance, IPv4 and IPv6."""
        macs = (self.client.hardware_address(INTERFACE), self.node.host.hardware_address(INTERFACE))
        return [Flow(*macs, CLIENT_V4, NODE_V4), Flow(*macs, CLIENT_V6, NODE_V6)]

    @property
    def node(self) -> Appliance:
        """The first appliance."""
        return self.appliances[0]

    def add_vlan(self) -> None:
        """Puts client and first appliance on a VLAN too. Call it before the appliance starts."""
        addresses = (f"{VLAN_CLIENT_V4}/16", f"{VLAN_CLIENT_V6}/64")
        self.client_vlan = vlan.join(self.client, INTERFACE, VLAN, addresses)
        host, own = self.node.host, (f"{VLAN_NODE_V4}/16", f"{VLAN_NODE_V6}/64")
        if vlan.has_devices(host):
            vlan.join(host, INTERFACE, VLAN, own)
            return
        # The workers take tagged frames all the same; only ARP needs the kernel's help.
        host.add_address(INTERFACE, *own)
        for address in (VLAN_NODE_V4, VLAN_NODE_V6):
            mac = host.hardware_address(INTERFACE)
            self.client.ip(
                "neigh", "replace", address, "lladdr", mac, "dev", f"{INTERFACE}.{VLAN}", "nud", "permanent"
            )  # fmt: skip

    def queries(self, count: int = zones.HOSTS_COUNT) -> Path:
        """A file with questions for names of the own zone."""
        return load.write_queries(self.run.path("own.queries"), zones.host_names(count))

    def warm(self, names: list[str]) -> None:
        """Asks for each name twice, so that workers have it; TimeoutError if one is not answered."""
        with dns.Client(self.client, NODE_V4) as client:
            for name in [*names, *names]:
                client.ask(name)
