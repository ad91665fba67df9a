"""What those get who are no members: nothing. Keys that nobody knows, nodes of another cluster, garbage,
floods."""

from __future__ import annotations

import json
import random
import secrets
import statistics
import threading
import time
from dataclasses import replace

from ..appliance import Appliance, gained
from ..frames import Flow, Wire
from ..hosts import End, Host
from ..mesh import CONSENSUS_PORT, Mesh, connected, connections, metrics
from ..process import wait_until
from ..run import Run
from ..runner import case, expect
from ..updates import Clients
from ..world import INTERFACE

PATIENCE_S = 20.0
INITIAL = (b"\xc3\x00\x00\x00\x01\x08" + b"\x5a" * 8 + b"\x08" + b"\x5a" * 8).ljust(1200, b"\x77")
DATAGRAM_BYTES_MAX = 1472
GARBAGE_COUNT = 3000
ROUNDS, ROUND_S = 3, 2.0


def refusals(mesh: Mesh, reason: str) -> int:
    """Connections that members refused for this reason."""
    name = f'nexus_mesh_refusals_total{{reason="{reason}"}}'
    return sum(metrics(node).get(name, 0) for node in mesh.appliances)


@case
def stranger_with_another_key_is_refused_and_counted(run: Run) -> str:
    """With the members' own list, in which it is not, and with a list in which it has put itself."""
    mesh = Mesh(run, strangers=1)
    (stranger,) = mesh.strangers
    members = mesh.appliances[0].settings["consensus"]["members"]
    mesh.start()
    mesh.wait_for_serial(1)
    # Who has the lower id dials: the stranger gets another key until it has.
    for _ in range(64):
        if node_id(stranger) < max(map(node_id, mesh.appliances)):
            break
        (stranger.folder / "node.key").unlink()
    mesh.wait_until_connected()
    before = [connections(node) for node in mesh.appliances]
    counted = []
    for reason, listed in (("unknown_peer", members), ("other_cluster", [*members, mesh.member(stranger)])):
        stranger.configure(consensus={"members": listed})
        mesh.start(stranger)
        wait_until(lambda reason=reason: refusals(mesh, reason) >= 3, PATIENCE_S, f"refused as {reason}")
        mesh.update_any()
        mesh.wait_until_equal()
        expect(connected(stranger) == 0, f"the stranger has {connected(stranger)} connections")
        expect(mesh.executed(stranger) == 0, "the stranger has executed something")
        mesh.kill(stranger)
        store = stranger.folder / "consensus"
        store.rename(store.with_name(reason))
        counted.append(f"{refusals(mesh, reason)} times {reason}")
    expect([connections(node) for node in mesh.appliances] == before, "somebody has connected with it")
    return ", ".join(counted)


def node_id(node: Appliance) -> str:
    """By which nodes know each other, in their order."""
    return json.loads(node.nexus("--json", "key", "show", node.address))["node"]


@case
def member_of_another_cluster_is_refused_and_counted(run: Run) -> str:
    """A known key and another list of members: another cluster. Its old store is not taken either."""
    mesh = Mesh(run)
    mesh.start()
    mesh.wait_for_serial(1)
    node, others = mesh.appliances[3], mesh.appliances[:3]
    mesh.kill(node)
    swapped = [dict(member) for member in node.settings["consensus"]["members"]]
    swapped[3]["role"] = "resolver"
    own = node.settings["consensus"]["members"]
    expect(swapped != own, "the lists are the same")
    node.configure(consensus={"members": swapped})
    process = node.start_control()
    status = process.popen.wait(15)
    said = process.log_text().strip().splitlines()[-1]
    expect(status == 2 and "cluster" in said, f"status {status}: {said}")
    (node.folder / "consensus").rename(node.folder / "consensus.old")
    mesh.start(node)
    refused = wait_until(
        lambda: refusals(mesh, "other_cluster") + metrics(node).get(
            'nexus_mesh_refusals_total{reason="other_cluster"}', 0) >= 3,
        PATIENCE_S, "the other cluster is refused",
    )  # fmt: skip
    mesh.update_any()
    mesh.wait_until_equal(nodes=others)
    expect(connected(node) == 0, "the other cluster's node has connections")
    assert node.control is not None
    node.control.kill()
    (node.folder / "consensus").rename(node.folder / "consensus.other")
    (node.folder / "consensus.old").rename(node.folder / "consensus")
    node.configure(consensus={"members": own})
    node.start_control()
    node.wait_until_serving()
    mesh.wait_until_equal()
    return f"refused three times within {refused:.1f} s; back under its own list it catches up"


def flow_to(mesh: Mesh, node: Appliance, source: str, mac: str) -> Flow:
    """From somebody to a node's consensus port."""
    own = node.host.hardware_address(INTERFACE)
    return Flow(mac, own, source, node.address, CONSENSUS_PORT, CONSENSUS_PORT)


def wire_to(mesh: Mesh, node: Appliance) -> Wire:
    """A node's own wire."""
    return Wire(mesh.switch.host, mesh.ports[mesh.appliances.index(node)])


def guard_drops(shown: dict[str, int]) -> int:
    """Packets that the guard of the consensus port has dropped."""
    return sum(value for name, value in shown.items() if name.startswith("nexus_consensus_guard_dropped_packets"))


@case
def garbage_at_the_consensus_port_is_dropped_without_effect(run: Run) -> str:
    """Empty, cut, oversized and random datagrams, of strangers and under a member's address, and a
    member's own packets once more and bent."""
    mesh = Mesh(run)
    mesh.start()
    mesh.wait_for_serial(1)
    mesh.wait_until_connected()
    node = mesh.primary()
    member = next(other for other in mesh.appliances if other is not node)
    chance = random.Random(seed := secrets.randbits(32))
    real = overheard(mesh, node, member)
    stranger = flow_to(mesh, node, "10.53.1.1", mesh.client.hardware_address(INTERFACE))
    forged = flow_to(mesh, node, member.address, member.host.hardware_address(INTERFACE))
    frames = []
    for flow in (stranger, forged):
        payloads = [b"", b"\x40", INITIAL[:700], INITIAL, INITIAL[:1] + bytes(DATAGRAM_BYTES_MAX - 1), *real]
        for payload in real:
            bent = bytearray(payload)
            bent[chance.randrange(len(bent))] ^= 1 << chance.randrange(8)
            payloads += [bytes(bent), payload[: chance.randrange(len(payload))]]
        while len(payloads) < GARBAGE_COUNT:
            payloads.append(chance.randbytes(chance.randrange(DATAGRAM_BYTES_MAX)))
        frames += [flow.frame(payload) for payload in payloads]
    chance.shuffle(frames)
    before, made = metrics(node), connections(node)
    with wire_to(mesh, node) as wire:
        wire.replay(frames)
    for _ in range(10):
        mesh.update_any()
    mesh.wait_until_equal()
    moved = gained(before, metrics(node))
    dropped = guard_drops(moved)
    expect(dropped > 0, f"the guard has dropped nothing: {moved}")
    expect(connections(node) == made, "connections were lost")
    for name, count in moved.items():
        harmless = not name.startswith(("nexus_mesh_bad_signatures", "nexus_consensus_stopped"))
        expect(harmless, f"{name} {count}: garbage came as far as messages")
    return f"seed {seed}: {len(frames)} datagrams, {dropped} dropped by the guard, no connection lost"


def overheard(mesh: Mesh, node: Appliance, member: Appliance) -> list[bytes]:
    """Some packets of a member to a node, as they were on the wire."""
    port = mesh.ports[mesh.appliances.index(member)]
    heard: list[bytes] = []
    with Wire(mesh.switch.host, port) as wire:
        for _ in range(5):
            mesh.update_any()
        for frame in wire.received(quiet_s=0.2):
            if frame[26:30] == ip(member) and frame[30:34] == ip(node) and frame[23] == 17:
                heard.append(frame[42:])
    expect(heard, "no packets of a member were seen")
    return heard[:200]


def ip(node: Appliance) -> bytes:
    """Its IPv4 address."""
    return bytes(int(part) for part in node.address.split("."))


@case
def flood_of_strangers_at_the_primary_does_not_stop_commits(run: Run) -> str:
    """Initials and garbage of forged addresses as fast as they go, beside the same without, and beside
    the same flood at a host that takes no part: here the flooder takes a processor from the nodes."""
    mesh = Mesh(run)
    bystander = Host(run, "bystander")
    port = mesh.switch.plug(End(bystander, INTERFACE, "02:00:00:00:04:01", ("10.53.4.1/16",)))
    mesh.start()
    mesh.wait_for_serial(1)
    node = mesh.primary()
    wires = {"at the primary": wire_to(mesh, node), "elsewhere": Wire(mesh.switch.host, port)}
    flood = Flood(flow_to(mesh, node, "198.51.100.1", mesh.client.hardware_address(INTERFACE)))
    rates: dict[str, list[float]] = {"none": [], "elsewhere": [], "at the primary": []}
    dropped = guard_drops(metrics(node))
    with flood, Clients(mesh, seed=secrets.randbits(32), writers=6, probers=0, readers=0) as clients:
        time.sleep(1)
        for place in list(rates) * ROUNDS:
            flood.turn(wires.get(place))
            time.sleep(0.3)
            begun, count = time.monotonic(), len(clients.history.acknowledged())
            time.sleep(ROUND_S)
            done = len(clients.history.acknowledged()) - count
            rates[place].append(done / (time.monotonic() - begun))
        flood.turn(None)
    dropped = guard_drops(metrics(node)) - dropped
    mesh.wait_until_equal()
    none, elsewhere, under = (statistics.median(one) for one in rates.values())
    expect(min(rates["at the primary"]) > 0, f"no commits under the flood: {rates}")
    sent = flood.sent[id(wires["at the primary"])]
    expect(dropped > sent / 2, f"{dropped} of {sent} dropped by the guard")
    return (
        f"{none:.0f} commits/s without, {elsewhere:.0f} while a bystander is flooded, {under:.0f} while the primary "
        f"is: {under / elsewhere:.2f} times; {sent / (ROUNDS * (ROUND_S + 0.3)):,.0f} frames/s, "
        f"{dropped} of {sent} dropped by the guard"
    )


class Flood:
    """A thread that sends Initials and garbage of forged addresses to wherever it is told."""

    SENDERS_COUNT = 500

    def __init__(self, base: Flow) -> None:
        self.frames: list[bytes] = []
        for index in range(self.SENDERS_COUNT):
            flow = replace(base, source=f"198.51.{index // 250}.{index % 250 + 1}", source_port=1024 + index)
            self.frames += [flow.frame(INITIAL), flow.frame(b"\x40" * 40), flow.frame(b"\xc3" * 40)]
        self.wire: Wire | None = None
        self.sent: dict[int, int] = {}
        self.changed, self.stopping = threading.Event(), False
        self.thread = threading.Thread(target=self._run, daemon=True)

    def turn(self, wire: Wire | None) -> None:
        """From now on there, or nowhere."""
        self.wire = wire
        self.changed.set()

    def __enter__(self) -> Flood:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping = True
        self.turn(None)
        self.thread.join()

    def _run(self) -> None:
        while not self.stopping:
            wire = self.wire
            if wire is None:
                self.changed.wait()
                self.changed.clear()
                continue
            wire.replay(self.frames)
            self.sent[id(wire)] = self.sent.get(id(wire), 0) + len(self.frames)
