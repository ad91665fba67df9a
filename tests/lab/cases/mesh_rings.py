"""Datagrams between two nodes take the workers' rings, and strangers' are dropped before those."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from ..appliance import MESH_ECHO, Appliance, gained, program_folder
from ..frames import Flow
from ..process import wait_until
from ..run import Run
from ..runner import Skipped, case, expect
from ..world import INTERFACE, NODE_V4, World

PORT = 4853
PATIENCE_S = 20.0
DATAGRAMS = 200
# Of the datagrams to and fro while nothing happens, so many may still take the kernel's way.
KERNEL_SHARE_MAX = 0.02
# The guard's limits: defaults of the configuration, and what one stranger that has begun may send.
INITIALS_PER_SECOND, INITIALS_BURST, NEWCOMER_PACKETS = 20, 40, 64
FLOOD_FRAMES = 200_000
QUIC_LONG_INITIAL = b"\xc3\x00\x00\x00\x01\x08" + b"\x5a" * 8 + b"\x08" + b"\x5a" * 8
INITIAL_BYTES_MIN = 1200


@dataclass
class Pair:
    """Two nodes; the first sends datagrams, the second sends them back."""

    world: World
    sender: Appliance
    echo: Appliance

    @staticmethod
    def start(run: Run, own: tuple[str, str]) -> Pair:
        if not (program_folder() / "examples" / MESH_ECHO).exists():
            raise Skipped(f"{MESH_ECHO} was not built")
        world = World(run, nodes=2, authorities=False)
        pair = Pair(world, *world.appliances)
        for node in world.appliances:
            node.start_dataplane()
        one, two = own
        pair.echo.start_mesh_echo(two, one)
        pair.sender.start_mesh_echo(one, two, "ping")
        for node in world.appliances:
            node.wait_until_serving()
            wait_until(lambda node=node: metrics(node)["guard_active"] == 1, PATIENCE_S, "the guard stands")
        return pair

    def wait_for_datagrams(self, way: str) -> dict[str, int]:
        """Waits until so many more went and came this way; what moved."""
        before = metrics(self.sender)

        def enough() -> bool:
            moved = gained(before, metrics(self.sender))
            return min(moved.get(f"{going}_{way}", 0) for going in ("sent", "received")) >= DATAGRAMS

        wait_until(enough, PATIENCE_S, f"{DATAGRAMS} datagrams to and fro by {way}")
        return gained(before, metrics(self.sender))


def metrics(node: Appliance) -> dict[str, int]:
    """Counters of datagrams and of the guard, by short names."""
    text = node.nexus("metrics", check=False)
    found = {"guard_active": 0}
    patterns = {
        r'nexus_control_mesh_datagrams_total\{direction="(\w+)",way="(\w+)"\} (\d+)': "{0}_{1}",
        r'nexus_consensus_guard_dropped_packets_total\{reason="(\w+)"\} (\d+)': "dropped_{0}",
        r'nexus_consensus_guard_passed_packets_total\{sender="(\w+)"\} (\d+)': "passed_{0}",
        r"nexus_consensus_guard_active (\d+)": "guard_active",
    }
    for pattern, name in patterns.items():
        for match in re.finditer(pattern, text):
            *words, value = match.groups()
            found[name.format(*words)] = int(value)
    return found


def _expect_rings(pair: Pair) -> str:
    # Both have heard each other by the rings once the first have come.
    pair.wait_for_datagrams("rings")
    moved = pair.wait_for_datagrams("rings")
    by_kernel = moved.get("sent_kernel", 0) + moved.get("received_kernel", 0)
    share = by_kernel / (by_kernel + moved["sent_rings"] + moved["received_rings"])
    expect(share <= KERNEL_SHARE_MAX, f"{share:.1%} took the kernel's way: {moved}")
    for node in pair.world.appliances:
        counters = node.counters()
        for name in ("mesh_received", "mesh_sent"):
            expect(counters[name] >= DATAGRAMS, f"{node.host.name}: {name} {counters[name]}")
    return f"{moved['sent_rings']} sent and {moved['received_rings']} received by rings, {by_kernel} by the kernel"


@case
def datagrams_between_two_nodes_take_the_rings_over_ipv4(run: Run) -> str:
    """Through veth and a switch; the workers' counters prove the path."""
    return _expect_rings(Pair.start(run, (f"10.53.0.1:{PORT}", f"10.53.0.2:{PORT}")))


@case
def datagrams_between_two_nodes_take_the_rings_over_ipv6(run: Run) -> str:
    """The same, with checksums that must be right."""
    return _expect_rings(Pair.start(run, (f"[fd53::1]:{PORT}", f"[fd53::2]:{PORT}")))


@case
def dataplane_killed_under_a_mesh_leaves_it_to_the_kernel_and_takes_it_back(run: Run) -> str:
    """The socket stays; only the way changes."""
    pair = Pair.start(run, (f"10.53.0.1:{PORT}", f"10.53.0.2:{PORT}"))
    pair.wait_for_datagrams("rings")
    assert pair.sender.dataplane is not None
    pair.sender.dataplane.kill()
    killed = time.monotonic()
    pair.wait_for_datagrams("kernel")
    by_kernel_s = time.monotonic() - killed
    pair.sender.start_dataplane()
    pair.sender.wait_until_serving()
    pair.wait_for_datagrams("rings")
    return f"{DATAGRAMS} more by the kernel {by_kernel_s:.1f} s after the kill, then by the rings again"


@case
def flood_of_strangers_at_the_consensus_port_is_dropped_and_peers_go_on(run: Run) -> str:
    """Garbage and Initials of forged addresses: the guard drops, the peer's datagrams come through."""
    pair = Pair.start(run, (f"10.53.0.1:{PORT}", f"10.53.0.2:{PORT}"))
    pair.wait_for_datagrams("rings")
    world = pair.world
    macs = (world.client.hardware_address(INTERFACE), world.node.host.hardware_address(INTERFACE))
    initial = QUIC_LONG_INITIAL.ljust(INITIAL_BYTES_MIN, b"\x77")
    frames = []
    for index in range(1000):
        source = f"198.51.{index // 250}.{index % 250 + 1}"
        flow = Flow(*macs, source, NODE_V4, source_port=1024 + index, target_port=PORT)
        # A short header of nobody's connection, garbage, an Initial.
        frames += [flow.frame(b"\x40" * 40), flow.frame(b"\xc3" * 40), flow.frame(initial)]
    flood = frames * (FLOOD_FRAMES // len(frames))
    before, started = metrics(pair.sender), time.monotonic()
    with world.wire_to_node() as wire:
        rate = wire.replay(flood)
    moved = gained(before, metrics(pair.sender))
    for reason in ("stranger", "shape", "initial_rate"):
        expect(moved.get(f"dropped_{reason}", 0) > 0, f"nothing dropped by {reason}: {moved}")
    passed = moved.get("passed_initial", 0) + moved.get("passed_newcomer", 0)
    dropped = sum(count for name, count in moved.items() if name.startswith("dropped_"))
    may_begin = INITIALS_BURST + INITIALS_PER_SECOND * (time.monotonic() - started + 1)
    expect(passed <= may_begin * (1 + NEWCOMER_PACKETS), f"{passed} passed and {dropped} dropped")
    pair.wait_for_datagrams("rings")
    return f"{rate:,.0f} frames/s: {dropped} dropped, {passed} passed, the peer's came through"
