"""Nodes of a mesh are killed, stopped, cut off from their time or from each other while clients write and
read: nothing that was acknowledged is lost, and what clients saw could have happened one after the other."""

from __future__ import annotations

import random
import secrets
import signal
import time

from .. import dns
from ..appliance import Appliance
from ..clock import Clock
from ..mesh import MESH_ZONE, Mesh, cluster_status
from ..process import wait_until
from ..run import Run
from ..runner import case, expect
from ..updates import Clients, add, now_us, text

# By the issue the next commit comes within 3 s; a machine that is busy may need longer.
NEXT_COMMIT_S_MAX = 10.0
CAUGHT_UP_S_MAX = 30.0
FAULTS_S = 40.0
# Longer than a batch's time may differ from a backup's clock.
SLOW_S = 12.0


def ready(run: Run) -> Mesh:
    """Four nodes that have agreed on the first contents."""
    mesh = Mesh(run)
    mesh.start()
    mesh.wait_for_serial(1)
    return mesh


def settle(mesh: Mesh, clients: Clients) -> str:
    """All nodes become equal and have all that was acknowledged; then the history is judged, with what
    each of them serves."""
    clients.stop()
    took = mesh.wait_until_equal(CAUGHT_UP_S_MAX)
    clients.read_everywhere()
    writes = clients.history.acknowledged()
    expect(writes, "nothing was acknowledged")
    contents = [mesh.contents(node) for node in mesh.appliances]
    expect(all(one == contents[0] for one in contents), "nodes serve different zones")
    names = {row.split()[0] for row in contents[0]}
    lost = [line for line in writes if f"{clients.trace(line['value'])}." not in names]
    expect(not lost, f"{len(lost)} acknowledged writes are lost: {lost[:3]}")
    reads = f"{clients.reads_whole} reads of all registers, {clients.reads_unsure} probes unsure"
    return f"{len(writes)} writes acknowledged, {reads}, equal after {took:.2f} s, {clients.history.judge()}"


@case
def primary_killed_under_load_is_followed_by_another_and_loses_nothing(run: Run) -> str:
    """SIGKILL to both planes; it comes back and has all of it."""
    mesh = ready(run)
    primary = mesh.primary()
    with Clients(mesh, seed=secrets.randbits(32), pause_s=0.002) as clients:
        time.sleep(2)
        before = len(clients.history.acknowledged())
        expect(before > 20, f"only {before} writes acknowledged before the kill")
        view = cluster_status(primary)["view"]
        killed = now_us()
        mesh.kill(primary)
        gone = now_us()  # Until then it may have led one more batch to its end.
        wait_until(lambda: clients.history.gap_s(gone) < NEXT_COMMIT_S_MAX, NEXT_COMMIT_S_MAX, "the next commit")
        gap = clients.history.gap_s(gone) + (gone - killed) / 1e6
        left = next(node for node in mesh.appliances if node is not primary)
        expect(cluster_status(left)["view"] > view, "nobody else leads")
        time.sleep(2)
        mesh.start(primary)
        started = time.monotonic()
        wait_until(lambda: caught_up(mesh, primary), CAUGHT_UP_S_MAX, "the killed node has caught up")
        back_s = time.monotonic() - started
        time.sleep(1)
    return f"next commit {gap:.2f} s after the kill, caught up {back_s:.2f} s after serving; {settle(mesh, clients)}"


def caught_up(mesh: Mesh, node: Appliance) -> bool:
    """Whether a node has executed what the others had a moment ago."""
    others = max(mesh.executed(other) for other in mesh.appliances if other is not node)
    return mesh.executed(node) >= others


@case
def any_one_node_killed_or_stopped_at_random_leaves_a_linearizable_history(run: Run) -> str:
    """One fault at a time, of one or both planes; the next comes when the node has caught up."""
    mesh = ready(run)
    seed = secrets.randbits(32)
    chance = random.Random(seed)
    done: list[str] = []
    with Clients(mesh, seed=seed, pause_s=0.005) as clients:
        ends = time.monotonic() + FAULTS_S
        while time.monotonic() < ends:
            time.sleep(chance.uniform(0.05, 1.0))
            node = chance.choice(mesh.appliances)
            done.append(hurt(mesh, node, chance))
            wait_until(lambda node=node: caught_up(mesh, node), CAUGHT_UP_S_MAX, f"{done}: caught up (seed {seed})")
    text_ = settle(mesh, clients)
    expect(len(done) >= 5, f"only {len(done)} faults")
    return f"seed {seed}: {len(done)} faults ({', '.join(done)}); {text_}"


def hurt(mesh: Mesh, node: Appliance, chance: random.Random) -> str:
    """Kills or stops planes of a node for a while, and brings it back."""
    assert node.control is not None and node.dataplane is not None
    whole = chance.random() < 0.5
    planes = [node.control, node.dataplane] if whole else [node.control]
    duration_s = chance.uniform(0.1, 3.0)
    word = chance.choice(("killed", "stopped"))
    for plane in planes:
        plane.signal(signal.SIGKILL if word == "killed" else signal.SIGSTOP)
    time.sleep(duration_s)
    if word == "stopped":
        for plane in planes:
            plane.signal(signal.SIGCONT)
    else:
        for plane in planes:
            plane.popen.wait()
        if whole:
            node.start_dataplane()
        node.start_control()
    node.wait_until_serving()
    return f"{node.host.name} {word} {'whole' if whole else 'control'} {duration_s:.1f} s"


@case
def all_nodes_killed_at_once_and_started_again_have_lost_nothing(run: Run) -> str:
    """Whatever a client was told of is on enough disks."""
    mesh = ready(run)
    texts = []
    with Clients(mesh, seed=secrets.randbits(32), pause_s=0.002) as clients:
        for _ in range(2):
            time.sleep(2)
            mesh.kill(*mesh.appliances)
            mesh.start()
            texts.append(f"{mesh.update_any(CAUGHT_UP_S_MAX):.2f} s")
    return f"commits go on {' and '.join(texts)} after all serve again; {settle(mesh, clients)}"


@case
def both_planes_of_each_node_in_turn_killed_and_restarted_lose_nothing(run: Run) -> str:
    """A rolling restart of the rudest kind."""
    mesh = ready(run)
    with Clients(mesh, seed=secrets.randbits(32), pause_s=0.005) as clients:
        for node in mesh.appliances:
            time.sleep(0.3)
            mesh.kill(node)
            mesh.start(node)
            wait_until(lambda node=node: caught_up(mesh, node), CAUGHT_UP_S_MAX, f"{node.host.name} has caught up")
    return settle(mesh, clients)


@case
def two_of_four_down_stop_all_commits_until_one_is_back(run: Run) -> str:
    """More than f: SERVFAIL, nothing committed, no fork; DNS goes on from what is there."""
    mesh = ready(run)
    mesh.update(mesh.appliances[0], f"update add before.{MESH_ZONE} 60 A 192.0.2.1")
    mesh.wait_for_serial(2)
    down, left = mesh.appliances[:2], mesh.appliances[2:]
    mesh.kill(*down)
    time.sleep(1)  # What was on its way arrives, and is told.
    heights = [mesh.executed(node) for node in left]
    name = f"while.{MESH_ZONE}"
    with mesh.updater(left[0]) as one, mesh.updater(left[1]) as two:
        started = time.monotonic()
        code = one.update(add(name, "TXT", text("1")), timeout_s=15)
        waited = time.monotonic() - started
        expect(code == dns.SERVFAIL, f"an update without a quorum got {code}")
        shown = dns.ask(mesh.client, left[1].address, f"before.{MESH_ZONE}").data("A")
        expect(shown == ["192.0.2.1"], f"what was there is not served: {shown}")
        expect([mesh.executed(node) for node in left] == heights, "something was committed without a quorum")
        expect({mesh.serial(node) for node in left} == {2}, "a serial has moved without a quorum")
        for node in left:
            said = mesh.problems(node)
            expect("2 of 4 voters answer; 3 are needed" in said, f"{node.host.name} says: {said}")
        mesh.start(down[0])
        back = time.monotonic()
        mesh.update_any(30)
        back_s = time.monotonic() - back
        expect(two.update(add(f"after.{MESH_ZONE}", "TXT", text("1"))) == dns.NOERROR, "no commits with three")
    mesh.start(down[1])
    mesh.wait_until_equal()
    expect(mesh.problems(left[0]) == "", f"all are back: {mesh.problems(left[0])}")
    shown = {tuple(dns.ask(mesh.client, node.address, name, "TXT").data("TXT")) for node in mesh.appliances}
    expect(len(shown) == 1, f"nodes differ about the update that nobody could promise: {shown}")
    return f"SERVFAIL after {waited:.1f} s, commits {back_s:.2f} s after the third node serves"


@case
def clock_an_hour_off_at_one_node_costs_at_most_its_lead(run: Run) -> str:
    """Of a backup: nothing happens. Of the primary: another one leads. Forward and back."""
    mesh = Mesh(run)
    clocks = {node.host.name: Clock(run, node.host.name) for node in mesh.appliances}
    for node in mesh.appliances:
        node.start_dataplane()
        node.start_control(*clocks[node.host.name].prefix())
    for node in mesh.appliances:
        node.wait_until_serving()
    mesh.wait_for_serial(1)
    notes = []
    for hours in (1, -1):
        primary = mesh.primary()
        backup = next(node for node in mesh.appliances if node is not primary)
        for word, node in (("backup", backup), ("primary", primary)):
            others = [other for other in mesh.appliances if other is not node]
            clocks[node.host.name].jump(3600 * hours)
            started = time.monotonic()
            for other in others:
                with mesh.updater(other) as client:
                    wait_until(
                        lambda client=client: client.update(
                            add(f"t{time.monotonic_ns()}.{MESH_ZONE}", "TXT", text("x")), timeout_s=2.0
                        ) == dns.NOERROR,
                        NEXT_COMMIT_S_MAX,
                        f"an update while the {word}'s clock is {hours:+} h off",
                    )  # fmt: skip
            took = time.monotonic() - started
            mesh.wait_until_equal()
            notes.append(f"{word} {hours:+} h: three updates in {took:.2f} s")
            if (word, hours) == ("primary", -1):
                notes[-1] += f", the longest of more {longest_update(mesh, others):.2f} s"
            clocks[node.host.name].jump(0)
    mesh.update_any()
    mesh.wait_until_equal()
    return ", ".join(notes)


def longest_update(mesh: Mesh, nodes: list[Appliance]) -> float:
    """Updates until the ledger's time, which a slow primary hardly moves, is too far behind for the others."""
    ends, longest = time.monotonic() + SLOW_S, 0.0
    while time.monotonic() < ends:
        longest = max(longest, mesh.update_any(NEXT_COMMIT_S_MAX, nodes))
        time.sleep(0.2)
    return longest
