"""Four nodes agree on a zone: updates at any of them, prerequisites, nodes that were away."""

from __future__ import annotations

import threading

from .. import dns, peers
from ..hosts import End, Host
from ..mesh import MESH_ZONE, Mesh, connections, metrics
from ..process import wait_until
from ..run import Run
from ..runner import case, expect
from ..updates import NXRRSET, YXRRSET, absent, add, delete, text
from ..world import INTERFACE

CLIENTS_COUNT, UPDATES_COUNT = 8, 12
RACES_COUNT = 20


@case
def an_update_at_one_node_is_served_by_all(run: Run) -> str:
    """nsupdate is answered after the commit; every node serves the same serial and data."""
    mesh = Mesh(run)
    mesh.start()
    begun = mesh.wait_for_serial(1)
    for number, node in enumerate(mesh.appliances):
        mesh.update(node, f"update add n{number}.{MESH_ZONE} 60 A 192.0.2.{number}")
    took = mesh.wait_for_serial(5)
    for node in mesh.appliances:
        for number in range(4):
            shown = mesh.client.command("kdig", "+short", f"@{node.address}", f"n{number}.{MESH_ZONE}", "A")
            expect(shown.strip() == f"192.0.2.{number}", f"{node.host.name}: {shown!r}")
    return f"first contents after {begun:.2f} s, the last of four updates everywhere after {took:.2f} s"


@case
def many_nsupdates_at_once_at_different_nodes_are_all_carried_out(run: Run) -> str:
    """One order for all; a node that is away meanwhile has all of it afterwards."""
    mesh = Mesh(run)
    mesh.start()
    mesh.wait_for_serial(1)
    away, others = mesh.appliances[3], mesh.appliances[:3]
    mesh.kill(away)
    failures: list[str] = []

    def client(number: int) -> None:
        script = run.path(f"client-{number}")
        node = others[number % 3]
        for count in range(UPDATES_COUNT):
            lines = [f"server {node.address}", f"zone {MESH_ZONE}"]
            lines += [f"update add c{number}-{count}.{MESH_ZONE} 60 A 192.0.2.1", "send", ""]
            script.write_text("\n".join(lines))
            try:
                mesh.nsupdate(script)
            except Exception as error:  # Told by the main thread.
                failures.append(str(error))

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS_COUNT)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expect(not failures, "\n".join(failures[:3]))
    mesh.wait_for_serial(1 + CLIENTS_COUNT * UPDATES_COUNT, nodes=others)
    mesh.start(away)
    caught_up = mesh.wait_for_serial(1 + CLIENTS_COUNT * UPDATES_COUNT)
    missing = [
        f"{node.host.name}: c{number}-{count}"
        for node in mesh.appliances
        for number in range(CLIENTS_COUNT)
        for count in range(UPDATES_COUNT)
        if dns.ask(mesh.client, node.address, f"c{number}-{count}.{MESH_ZONE}").data("A") != ["192.0.2.1"]
    ]
    expect(not missing, f"not served: {missing[:5]}")
    return f"{CLIENTS_COUNT * UPDATES_COUNT} updates; the node that was away has them {caught_up:.2f} s after its start"


@case
def of_two_updates_with_the_same_prerequisite_at_two_nodes_one_succeeds(run: Run) -> str:
    """nxrrset is judged in the one order, not by what a node happens to have."""
    mesh = Mesh(run)
    mesh.start()
    mesh.wait_for_serial(1)
    codes: list[list[int | None]] = [[], []]
    gate = threading.Barrier(2)

    def racer(number: int) -> None:
        with mesh.updater(mesh.appliances[number + 1]) as client:
            for count in range(RACES_COUNT):
                name = f"race{count}.{MESH_ZONE}"
                gate.wait()
                change = add(name, "TXT", text(f"{number}"))
                codes[number].append(client.update(change, prerequisites=(absent(name, "TXT"),)))

    threads = [threading.Thread(target=racer, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    mesh.wait_for_serial(1 + RACES_COUNT)
    won = [0, 0]
    for count, pair in enumerate(zip(*codes)):
        expect(sorted(map(str, pair)) == sorted((str(dns.NOERROR), str(YXRRSET))), f"race {count}: {pair}")
        winner = pair.index(dns.NOERROR)
        won[winner] += 1
        for node in mesh.appliances:
            shown = dns.ask(mesh.client, node.address, f"race{count}.{MESH_ZONE}", "TXT").data("TXT")
            expect(shown == [text(f"{winner}").hex()], f"race {count}, {node.host.name}: {shown}")
    with mesh.updater(mesh.appliances[0]) as client:
        code = client.update(delete(f"race0.{MESH_ZONE}", "TXT"), prerequisites=(absent(f"www.{MESH_ZONE}", "A"),))
        expect(code == YXRRSET, f"a set that exists: {code}")
        code = client.update(prerequisites=(dns_exists(f"none.{MESH_ZONE}"),))
        expect(code == NXRRSET, f"a set that does not: {code}")
    return f"{won[0]} won at one node, {won[1]} at the other"


def dns_exists(name: str) -> bytes:
    """Prerequisite: there is a set of type A. On the wire it looks like a deletion."""
    return delete(name, "A")


@case
def datagrams_of_consensus_take_the_rings_and_without_them_the_kernel(run: Run) -> str:
    """A dataplane killed under a node: the same connections go on by another way."""
    mesh = Mesh(run)
    mesh.start()
    mesh.wait_for_serial(1)
    mesh.wait_until_connected()
    node = mesh.appliances[0]

    def moved(way: str) -> int:
        name = 'nexus_control_mesh_datagrams_total{{direction="{}",way="{}"}}'
        shown = metrics(node)
        return min(shown.get(name.format(direction, way), 0) for direction in ("sent", "received"))

    def wait_for(way: str) -> int:
        before = moved(way)

        def more() -> bool:
            mesh.update_any()
            return moved(way) >= before + 50

        wait_until(more, 20, f"consensus by {way}")
        return moved(way) - before

    by_rings = wait_for("rings")
    connects = connections(node)
    assert node.dataplane is not None
    node.dataplane.kill()
    by_kernel = wait_for("kernel")
    mesh.wait_until_equal()
    node.start_dataplane()
    node.wait_until_serving()
    wait_for("rings")
    mesh.wait_until_equal()
    expect(connections(node) == connects, f"connections made anew: {connects}, {connections(node)}")
    return f"{by_rings} datagrams each way by rings, {by_kernel} by the kernel after the kill, then rings again"


@case
def secondaries_of_another_kind_follow_the_agreed_zone(run: Run) -> str:
    """NSD and Knot are told of each change and fetch it by IXFR."""
    mesh = Mesh(run)
    nsd_address, knot_address = "10.53.3.1", "10.53.3.2"
    mesh.configure_zone(notify=[nsd_address, knot_address])
    mesh.start()
    mesh.wait_for_serial(1)
    primary = mesh.appliances[1].address
    hosts = []
    for index, (name, address) in enumerate((("nsd", nsd_address), ("knot", knot_address))):
        host = Host(run, name)
        mesh.switch.plug(End(host, INTERFACE, f"02:00:00:00:03:{index + 1:02x}", (f"{address}/16",)))
        hosts.append(host)
    followed = [node.address for node in mesh.appliances]
    nsd = peers.start_nsd_secondary(hosts[0], nsd_address, MESH_ZONE, primary, followed)
    knot = peers.start_knot_secondary(hosts[1], knot_address, MESH_ZONE, primary, followed)
    for process, host, address in ((nsd, hosts[0], nsd_address), (knot, hosts[1], knot_address)):
        peers.wait_for_answer(process, host, address, MESH_ZONE)

    def serials() -> set[int | None]:
        return {mesh.serial_at(address) for address in (nsd_address, knot_address)}

    wait_until(lambda: serials() == {1}, 10, "both secondaries have the zone")
    times = []
    for count in range(5):
        mesh.update(mesh.appliances[count % 4], f"update add s{count}.{MESH_ZONE} 60 A 192.0.2.9")
        times.append(wait_until(lambda count=count: serials() == {2 + count}, 15, f"serial {2 + count} at both"))
    for address in (nsd_address, knot_address):
        for count in range(5):
            shown = dns.ask(mesh.client, address, f"s{count}.{MESH_ZONE}").data("A")
            expect(shown == ["192.0.2.9"], f"{address}: {shown}")
    transfers = {
        outcome: metrics(mesh.appliances[1]).get(f'nexus_control_transfers_total{{outcome="{outcome}"}}', 0)
        for outcome in ("served", "incremental")
    }
    expect(transfers["served"] == 2 <= transfers["incremental"], f"{transfers}; {knot.log_tail()}")
    return f"followed within {max(times):.2f} s of the acknowledgement; whole and in steps: {transfers}"
