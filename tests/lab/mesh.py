"""A mesh: four to seven appliances that agree, each on a host of its own around a switch."""

from __future__ import annotations

import json

from . import zones
from .appliance import Appliance
from .process import LabError, wait_until
from .run import Run
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

    def __init__(self, run: Run, *, nodes: int = 4, authorities: bool = False, **settings: dict) -> None:
        super().__init__(run, nodes=nodes, authorities=authorities, **settings)
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

    def start(self, *nodes: Appliance) -> None:
        """Starts these nodes, or all, and waits until they serve."""
        for node in nodes or self.appliances:
            node.start_dataplane()
            node.start_control()
        for node in nodes or self.appliances:
            node.wait_until_serving()

    def serial(self, node: Appliance, name: str = MESH_ZONE) -> int | None:
        """The serial that a node serves, as a client sees it; None if it does not answer."""
        shown = self.client.command("kdig", "+short", "+time=1", "+retry=0", f"@{node.address}", name, "SOA")
        words = shown.split()
        return int(words[2]) if len(words) == 7 else None

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
        key = f"hmac-sha256:{KEY_NAME}:{KEY_SECRET}"
        return self.client.command("nsupdate", "-t", "10", "-y", key, str(script))
