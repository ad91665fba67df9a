"""Socket mode: the same queries without XDP, and the sockets handed from plane to plane."""

from __future__ import annotations

import signal
import time

from .. import load, zones
from ..appliance import gained, hits, worker_answers
from ..load import Prober
from ..process import wait_until
from ..run import Run
from ..runner import case, expect
from ..world import INTERFACE, NODE_V4, NODE_V6, World
from .paths import QUESTIONS

SOCKET_MODE = {"dataplane": {"mode": "socket", "queues": [0]}}
PROBE_RATE = 500
MISS_RATE = 200
RECOVERY_S = 1.0
STOPPED_S = 10.0


@case
def kdig_in_socket_mode_is_answered_by_workers(run: Run) -> str:
    """IPv4 and IPv6 through io_uring; no XDP program is there."""
    world = World(run, **SOCKET_MODE)
    node = world.node
    node.start()
    expect(node.host.xdp_program(INTERFACE) is None, "an XDP program is attached")
    expect(node.status()["dataplane"]["mode"] == "socket", "status does not say socket")
    before = node.counters()
    for server in (NODE_V4, NODE_V6):
        for _ in range(2):
            for question, expected in QUESTIONS:
                shown = load.kdig(world.client, server, "+short", *question).strip()
                expect(shown == expected, f"{server} {question}: {shown!r}")
    moved = gained(before, node.counters())
    asked = 4 * len(QUESTIONS)
    expect(worker_answers(moved) >= asked, f"{asked} asked: {moved}")
    expect(hits(moved) >= asked - len(QUESTIONS), f"{asked} asked: {moved}")
    return f"{asked} queries, {hits(moved)} from memory"


@case
def dataplane_killed_in_socket_mode_is_replaced_by_control(run: Run) -> str:
    """Control reads the sockets that both held; a new dataplane takes over without a gap."""
    world = World(run, authorities=False, **SOCKET_MODE)
    node = world.node
    node.start()
    names = zones.host_names(100)
    world.warm(names)
    with Prober(world.client, NODE_V4, names, PROBE_RATE) as prober:
        time.sleep(1)
        assert node.dataplane is not None
        node.dataplane.kill()
        killed = time.monotonic()
        time.sleep(3)
        restarted = time.monotonic()
        node.start_dataplane()
        node.wait_until_serving()
        wait_until(lambda: hits(node.counters()) > PROBE_RATE, 10, "the new workers answer")
        time.sleep(1)
    gap = prober.gap(killed, restarted)
    expect(gap <= RECOVERY_S, f"probes lost until {gap:.2f} s after the kill")
    taking_over = prober.gap(restarted)
    expect(taking_over <= RECOVERY_S, f"probes lost until {taking_over:.2f} s after the restart")
    return f"gap {gap:.3f} s after the kill, {taking_over:.3f} s after the restart"


@case
def dataplane_stopped_in_socket_mode_is_replaced_by_control(run: Run) -> str:
    """SIGSTOP of the worker: control reads the sockets until the heartbeat is back."""
    world = World(run, authorities=False, **SOCKET_MODE)
    node = world.node
    node.start()
    names = zones.host_names(100)
    world.warm(names)
    with Prober(world.client, NODE_V4, names, PROBE_RATE) as prober:
        time.sleep(1)
        assert node.dataplane is not None
        node.dataplane.signal(signal.SIGSTOP)
        stopped = time.monotonic()
        time.sleep(STOPPED_S)
        before = node.counters()
        node.dataplane.signal(signal.SIGCONT)
        resumed = time.monotonic()
        wait_until(lambda: hits(gained(before, node.counters())) > PROBE_RATE, 5, "workers resumed")
    gap = prober.gap(stopped, resumed)
    expect(gap <= RECOVERY_S, f"probes lost until {gap:.2f} s after SIGSTOP")
    after = prober.gap(resumed)
    expect(after <= RECOVERY_S, f"probes lost until {after:.2f} s after SIGCONT")
    return f"{len(prober.lost())} of {len(prober.sent)} probes lost"


@case
def control_killed_in_socket_mode_loses_no_cached_answer(run: Run) -> str:
    """Workers go on with what they know."""
    world = World(run, authorities=False, **SOCKET_MODE)
    node = world.node
    node.start()
    names = zones.host_names(100)
    world.warm(names)
    with Prober(world.client, NODE_V4, names, PROBE_RATE) as prober:
        time.sleep(1)
        assert node.control is not None
        node.control.kill()
        time.sleep(1.5)
        node.start_control()
        time.sleep(1.5)
    expect(not prober.lost(), f"{len(prober.lost())} of {len(prober.sent)} probes lost")
    return f"{len(prober.sent)} probes, none lost"


@case
def control_stopped_in_socket_mode_loses_no_cached_answer(run: Run) -> str:
    """SIGSTOP for 10 s: it still holds the sockets, and must neither take from them nor stay silent."""
    world = World(run, authorities=False, **SOCKET_MODE)
    node = world.node
    node.start()
    names = zones.host_names(100)
    world.warm(names)
    unknown = [f"u{index}.wild.{zones.OWN_ZONE}" for index in range(5000)]
    cached = Prober(world.client, NODE_V4, names, PROBE_RATE)
    with cached, Prober(world.client, NODE_V4, unknown, MISS_RATE) as misses:
        time.sleep(1)
        assert node.control is not None
        node.control.signal(signal.SIGSTOP)
        stopped = time.monotonic()
        time.sleep(STOPPED_S)
        node.control.signal(signal.SIGCONT)
        resumed = time.monotonic()
        time.sleep(2)
    expect(not cached.lost(), f"{len(cached.lost())} of {len(cached.sent)} probes lost")
    expect(misses.gap(stopped, resumed) > STOPPED_S / 2, "misses were answered: control was not stopped")
    gap = misses.gap(resumed)
    expect(gap <= RECOVERY_S, f"misses still lost {gap:.2f} s after control went on")
    return f"{len(cached.sent)} probes, none lost; misses good {gap:.2f} s after SIGCONT"
