"""Four nodes agree: on zones, through crashes, and against liars."""

from __future__ import annotations

from ..mesh import MESH_ZONE, Mesh
from ..run import Run
from ..runner import case, expect


@case
def an_update_at_one_node_is_served_by_all(run: Run) -> str:
    """nsupdate is answered after the commit; every node serves the same serial and data."""
    mesh = Mesh(run)
    mesh.start()
    begun = mesh.wait_for_serial(1)
    mesh.update(mesh.appliances[1], f"update add new.{MESH_ZONE} 60 A 192.0.2.1")
    took = mesh.wait_for_serial(2)
    for node in mesh.appliances:
        shown = mesh.client.command("kdig", "+short", f"@{node.address}", f"new.{MESH_ZONE}", "A")
        expect(shown.strip() == "192.0.2.1", f"{node.host.name}: {shown!r}")
    return f"first contents after {begun:.2f} s, update everywhere after {took:.2f} s"
