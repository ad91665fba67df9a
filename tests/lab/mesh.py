"""A mesh: four to seven appliances that agree, each on a host of its own around a switch."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from pathlib import Path

from . import dns, zones
from .appliance import Appliance
from .process import LabError, wait_until
from .run import Run
from .updates import Updater, add, delete, text
from .world import World

CONSENSUS_PORT = 4853
MESH_ZONE = "mesh.example"
KEY_NAME, KEY_SECRET = "updates.", "bWVzaCBvZiBmb3VyIG5vZGVzIQ=="


def first_contents() -> str:
    """What the agreed zone begins with."""
    return (
        "$TTL 60\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\n"
        "ns A 10.53.0.1\nwww A 192.0.2.80\n"
    )


class Mesh(World):
    """Appliances that are members of one cluster; configured, not started."""

    zone = MESH_ZONE

    def __init__(
        self, run: Run, *, nodes: int = 4, strangers: int = 0, authorities: bool = False, **settings: dict
    ) -> None:
        super().__init__(run, nodes=nodes + strangers, authorities=authorities, **settings)
        self.strangers = self.appliances[nodes:]
        del self.appliances[nodes:]
        members = [self.member(node) for node in self.appliances]
        for node in self.appliances:
            contents = node.folder / "mesh.zone"
            contents.write_text(first_contents())
            secret = node.folder / "updates.key"
            secret.write_text(KEY_SECRET)
            own = {"name": zones.OWN_ZONE, "file": str(node.zone_file)}
            agreed = {
                "name": MESH_ZONE,
                "agreed": True,
                "file": str(contents),
                "allow_update": [KEY_NAME],
                "allow_transfer": ["10.53.0.0/16"],
            }
            node.configure(
                consensus={"members": members},
                tsig_keys=[{"name": KEY_NAME, "algorithm": "hmac-sha256", "secret_file": str(secret)}],
                zones=[own, agreed],
            )

    @staticmethod
    def member(node: Appliance) -> dict:
        """The node's line in the list of members; its key is made if there is none."""
        shown = json.loads(node.nexus("--json", "key", "show", node.address))
        return {key: shown[key] for key in ("key", "role", "address")}

    def configure_zone(self, **settings: object) -> None:
        """Sets keys of the agreed zone on all nodes; call it before they start."""
        for node in self.appliances:
            own, agreed = node.settings["zones"]
            node.configure(zones=[own, {**agreed, **settings}])

    def start(self, *nodes: Appliance) -> None:
        """Starts these nodes, or all, and waits until they serve."""
        for node in nodes or self.appliances:
            node.start_dataplane()
            node.start_control()
        for node in nodes or self.appliances:
            node.wait_until_serving()

    def wait_until_connected(self) -> float:
        """Seconds until each node has a connection with every other."""
        wanted = len(self.appliances) - 1
        return wait_until(lambda: all(connected(node) == wanted for node in self.appliances), 20, "all are connected")

    def serial(self, node: Appliance, name: str = MESH_ZONE) -> int | None:
        """The serial that a node serves, as a client sees it; None if it does not answer."""
        return self.serial_at(node.address, name)

    def serial_at(self, address: str, name: str = MESH_ZONE) -> int | None:
        """The same of any server."""
        with dns.Client(self.client, address) as client:
            answer = client.exchange(dns.query(name, "SOA"), 1.0)
        data = dns.decode(answer).data("SOA") if answer else []
        return int(data[0].split()[-1][:8], 16) if data else None

    def wait_for_serial(self, serial: int, timeout_s: float = 15.0, nodes: list[Appliance] | None = None) -> float:
        """Seconds until all nodes serve this serial."""

        def agrees() -> bool:
            return all(self.serial(node) == serial for node in nodes or self.appliances)

        try:
            return wait_until(agrees, timeout_s, f"serial {serial} on all nodes")
        except LabError as error:
            seen = {node.host.name: self.serial(node) for node in self.appliances}
            tails = "\n".join(node.log_tails() for node in self.appliances)
            raise LabError(f"{error}: {seen}\n{tails}") from None

    def update(self, node: Appliance, *lines: str) -> str:
        """`nsupdate` from the client to a node; what it printed."""
        script = self.run.path(f"update-{node.host.name}")
        script.write_text("\n".join([f"server {node.address}", f"zone {MESH_ZONE}", *lines, "send", ""]))
        return self.nsupdate(script)

    def nsupdate(self, script: Path) -> str:
        """Carries out a script of nsupdate on the client; what it printed."""
        key = f"hmac-sha256:{KEY_NAME}:{KEY_SECRET}"
        return self.client.command("nsupdate", "-t", "10", "-y", key, str(script))

    def updater(self, node: Appliance) -> Updater:
        """A client of one node that may update the zone."""
        return Updater(self.client, node.address, self.zone, (KEY_NAME, KEY_SECRET))

    @staticmethod
    def kill(*nodes: Appliance) -> None:
        """SIGKILL to both planes of each, all at once as far as a machine can."""
        processes = [p for node in nodes for p in (node.control, node.dataplane) if p is not None]
        for process in processes:
            process.signal(signal.SIGKILL)
        for process in processes:
            process.popen.wait()

    @staticmethod
    def problems(node: Appliance) -> str:
        """What `nexus cluster status` of a node says is wrong; empty if nothing is."""
        return "; ".join(cluster_status(node).get("problems", ["no answer"]))

    def zone_text(self, node: Appliance, timeout_s: float) -> str | None:
        """The agreed zone by `nexus zone show --linearizable`; None if the node could not say in time."""
        words = ["zone", "show", self.zone, "--linearizable"]
        try:
            shown = subprocess.run(
                node.nexus_command(*words), capture_output=True, text=True, timeout=timeout_s, check=False
            )
        except subprocess.TimeoutExpired:
            return None
        if shown.returncode == 2:
            raise LabError(f"nexus {' '.join(words)}: {shown.stderr}")
        return shown.stdout if shown.returncode == 0 else None

    def contents(self, node: Appliance) -> list[str]:
        """The agreed zone as a node gives it away, in an order of its own."""
        shown = self.client.command("kdig", "+noall", "+answer", f"@{node.address}", self.zone, "AXFR")
        return sorted(set(" ".join(line.split()) for line in shown.splitlines() if not line.startswith(";")))

    def executed(self, node: Appliance) -> int:
        """The last sequence that a node has executed, as it says itself; -1 if it does not answer."""
        return metrics(node).get("nexus_consensus_executed_sequence", -1)

    def wait_until_equal(self, timeout_s: float = 30.0, nodes: list[Appliance] | None = None) -> float:
        """Seconds until all nodes have executed equally far and serve the same serial."""
        nodes = nodes or self.appliances

        def equal() -> bool:
            heights = {self.executed(node) for node in nodes}
            return len(heights) == 1 and -1 not in heights and len({self.serial(node) for node in nodes}) == 1

        try:
            return wait_until(equal, timeout_s, "all nodes have executed equally far")
        except LabError as error:
            seen = {node.host.name: (self.executed(node), self.serial(node)) for node in nodes}
            tails = "\n".join(node.log_tails() for node in nodes)
            raise LabError(f"{error}: {seen}\n{tails}") from None

    def primary(self) -> Appliance:
        """Who leads, when all nodes say the same."""
        found: list[str] = []

        def agreed() -> bool:
            shown = [cluster_status(node) for node in self.appliances]
            found[:] = {one.get("primary", "") for one in shown}
            return len(found) == 1 and not any(one["is_changing"] for one in shown)

        wait_until(agreed, 15, "all say who leads")
        return next(node for node in self.appliances if cluster_status(node)["node"] == found[0])

    def update_any(self, timeout_s: float = 15.0, nodes: list[Appliance] | None = None) -> float:
        """Seconds until one of these nodes, or of all that run, has acknowledged a small update."""
        started = time.monotonic()
        running = [node for node in nodes or self.appliances if node.control and node.control.is_running()]
        value = text(str(time.monotonic_ns()))
        name = f"any.{self.zone}"

        def acknowledged() -> bool:
            for node in running:
                with self.updater(node) as client:
                    changes = (delete(name, "TXT"), add(name, "TXT", value))
                    if client.update(*changes, timeout_s=1.0) == dns.NOERROR:
                        return True
            return False

        wait_until(acknowledged, timeout_s, "an update is acknowledged")
        return time.monotonic() - started


def metrics(node: Appliance) -> dict[str, int]:
    """Whole numbers among a node's metrics, by name and labels as printed; empty if it does not answer."""
    found = re.findall(r"^(nexus_\S+) (\d+)$", node.nexus("metrics", check=False), re.MULTILINE)
    return {name: int(value) for name, value in found}


def connected(node: Appliance) -> int:
    """Members with whom a node has a connection."""
    return sum(value for name, value in metrics(node).items() if name.startswith("nexus_mesh_connected"))


def connections(node: Appliance) -> int:
    """Connections that came about with other nodes so far."""
    return sum(value for name, value in metrics(node).items() if name.startswith("nexus_mesh_connects_total"))


def cluster_status(node: Appliance) -> dict:
    """`nexus cluster status --json`; empty if the node does not answer."""
    shown = node.nexus("--json", "cluster", "status", check=False)
    return json.loads(shown) if shown.strip() else {}
