"""Either plane killed or stopped under load, or the way out blocked: who answers, how soon, and how it
comes back."""

from __future__ import annotations

import platform
import re
import signal
import time
from dataclasses import replace

from .. import dns, load, zones
from ..appliance import Appliance, gained, hits
from ..frames import datagram
from ..load import Prober
from ..process import wait_until
from ..run import Run
from ..runner import Skipped, case, expect
from ..world import INTERFACE, NODE_V4, World

LOAD_RATE = 5000
PROBE_RATE = 500
MISS_RATE = 200
RECOVERY_S = 1.0
STOPPED_S = 10.0
# The filter trusts a worker that shows no sign of life this long (DEADLINE_NS of the worker).
DEADLINE_S = 0.3


def _misses(seconds: float) -> list[str]:
    """Names that nobody has asked before."""
    return [f"m{index}.wild.{zones.OWN_ZONE}" for index in range(int(MISS_RATE * seconds) + 1000)]


def _ready(run: Run, **settings: dict) -> tuple[World, list[str]]:
    """A running appliance whose workers know 200 names."""
    world = World(run, authorities=False, **settings)
    world.node.start()
    names = zones.host_names(200)
    world.warm(names)
    return world, names


def _expect_program(world: World, wanted: bool) -> None:
    program = world.node.host.xdp_program(INTERFACE)
    expect((program is not None) == wanted, f"XDP program on {INTERFACE}: {program}")


@case
def control_killed_under_load_loses_no_cached_answer(run: Run) -> str:
    """Cached names go on without a gap; misses are answered within 1 s of the restart."""
    world, names = _ready(run)
    node = world.node
    queries = load.write_queries(run.path("cached.queries"), names)
    loaded = load.start_dnsperf(world.client, NODE_V4, queries, LOAD_RATE, 7)
    with Prober(world.client, NODE_V4, _misses(7), MISS_RATE) as misses:
        time.sleep(1.5)
        assert node.control is not None
        node.control.kill()
        killed = time.monotonic()
        time.sleep(2)
        node.start_control()
        restarted = time.monotonic()
        time.sleep(3)
    cached = load.finish_dnsperf(loaded)
    expect(cached.lost == 0 and cached.failures == 0, f"cached names: {cached}")
    while_dead = [at for at in misses.lost() if killed <= at < restarted]
    expect(while_dead, "misses were answered while control was dead: this proves nothing")
    gap = misses.gap(restarted)
    expect(gap <= RECOVERY_S, f"misses still lost {gap:.2f} s after the restart of control")
    return f"{cached.completed} cached answers, 0 lost; misses good {gap:.2f} s after restart"


@case
def control_stopped_for_10_s_loses_no_cached_answer(run: Run) -> str:
    """SIGSTOP: as dead, but nothing has to be attached again."""
    world, names = _ready(run)
    node = world.node
    queries = load.write_queries(run.path("cached.queries"), names)
    loaded = load.start_dnsperf(world.client, NODE_V4, queries, LOAD_RATE, STOPPED_S + 4)
    with Prober(world.client, NODE_V4, _misses(STOPPED_S + 5), MISS_RATE) as misses:
        time.sleep(1)
        assert node.control is not None
        node.control.signal(signal.SIGSTOP)
        time.sleep(STOPPED_S)
        node.control.signal(signal.SIGCONT)
        resumed = time.monotonic()
        time.sleep(2.5)
    cached = load.finish_dnsperf(loaded)
    expect(cached.lost == 0 and cached.failures == 0, f"cached names: {cached}")
    gap = misses.gap(resumed)
    expect(gap <= RECOVERY_S, f"misses still lost {gap:.2f} s after control went on")
    return f"{cached.completed} cached answers, 0 lost; misses good {gap:.2f} s after SIGCONT"


@case
def dataplane_killed_under_load_is_replaced_by_the_kernel_path(run: Run) -> str:
    """What is lost is less than one deadline's load, no program stays, and a restart takes over."""
    world, names = _ready(run)
    node = world.node
    queries = load.write_queries(run.path("cached.queries"), names)
    loaded = load.start_dnsperf(world.client, NODE_V4, queries, LOAD_RATE, 9)
    _expect_program(world, True)
    with Prober(world.client, NODE_V4, names, PROBE_RATE) as prober:
        time.sleep(1.5)
        assert node.dataplane is not None
        node.dataplane.kill()
        killed = time.monotonic()
        _expect_program(world, False)
        time.sleep(2.5)
        restarted = time.monotonic()
        node.start_dataplane()
        node.wait_until_serving()
        took_over = wait_until(
            lambda: hits(node.counters()) > LOAD_RATE, 10, "the new workers answer from memory"
        )
        _expect_program(world, True)
        time.sleep(2)
    cached = load.finish_dnsperf(loaded)
    gap = prober.gap(killed, restarted)
    expect(gap <= RECOVERY_S, f"probes lost until {gap:.2f} s after the kill")
    taking_over = [at for at in prober.lost() if at >= restarted]
    expect(not taking_over, f"{len(taking_over)} probes lost while the new workers took over")
    # dnsperf without a core for a while overflows its own sockets: that loss is not the appliance's.
    lost = cached.lost - world.client.overflows()
    expect(lost <= DEADLINE_S * LOAD_RATE and cached.failures == 0, f"{lost} queries lost: {cached}")
    return (
        f"gap {gap:.3f} s, {len(prober.lost())} of {len(prober.sent)} probes lost, "
        f"{cached.lost} of {cached.sent} queries; workers again after {took_over:.2f} s"
    )


@case
def dataplane_stopped_for_10_s_is_passed_by(run: Run) -> str:
    """SIGSTOP: the filter's deadline lets packets go to the kernel, and workers resume after it."""
    world, names = _ready(run)
    node = world.node
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
        time.sleep(1)
    gap = prober.gap(stopped, resumed)
    expect(gap <= RECOVERY_S, f"probes lost until {gap:.2f} s after SIGSTOP")
    after = prober.gap(resumed)
    expect(after == 0, f"probes lost until {after:.2f} s after SIGCONT")
    return f"gap {gap:.3f} s, {len(prober.lost())} of {len(prober.sent)} probes lost"


@case
def either_order_of_starting_serves(run: Run) -> None:
    """Control first, then the dataplane; stopping both leaves nothing attached."""
    world = World(run, authorities=False)
    node = world.node
    control = node.start_control()
    node.wait_for_answer()
    dataplane = node.start_dataplane()
    node.wait_until_serving()
    world.warm(zones.host_names(20))
    before = node.counters()
    world.warm(zones.host_names(20))
    expect(hits(gained(before, node.counters())) == 40, "workers do not answer from memory")
    status = dataplane.stop()
    expect(status == 0, f"dataplane ended with status {status}")
    _expect_program(world, False)
    world.warm(zones.host_names(20))
    status = control.stop()
    expect(status == 0, f"control ended with status {status}")


@case
def both_killed_and_started_again_serve(run: Run) -> None:
    """Nothing that a killed process leaves behind stops its successor."""
    world, names = _ready(run)
    node = world.node
    for _ in range(5):
        assert node.dataplane is not None and node.control is not None
        node.dataplane.kill()
        node.control.kill()
        _expect_program(world, False)
        node.start()
        world.warm(names[:20])
    _expect_program(world, True)


@case
def stale_answers_are_served_only_while_control_is_silent(run: Run) -> str:
    """RFC 8767: an expired name is still answered, with a short TTL, until control is back."""
    world = World(run, authorities=False)
    node = world.node
    node.start()
    name = f"short.{zones.OWN_ZONE}"  # Its TTL is 5 s.
    world.warm([name])
    assert node.control is not None
    node.control.kill()
    time.sleep(6.5)
    before = node.counters()
    answer = dns.ask(world.client, NODE_V4, name)
    moved = gained(before, node.counters())
    expect(answer.data("A") == ["192.0.2.5"], f"expired name: {answer}")
    expect(moved.get("answers_stale") == 1, f"not counted as stale: {moved}")
    expect(answer.answer[0].ttl <= 30, f"TTL {answer.answer[0].ttl} of a stale answer")
    node.start_control()
    node.wait_until_serving()
    before = node.counters()
    fresh = dns.ask(world.client, NODE_V4, name)
    moved = gained(before, node.counters())
    expect("answers_stale" not in moved, f"stale although control is there: {moved}")
    expect(fresh.data("A") == ["192.0.2.5"], f"fresh answer: {fresh}")
    return f"stale TTL {answer.answer[0].ttl}, fresh TTL {fresh.answer[0].ttl}"


FLOOD_RATE = 20_000


@case
def a_client_that_floods_with_misses_does_not_starve_others(run: Run) -> str:
    """The limit on what one client may send to control: its surplus is dropped, others are served."""
    world = World(run)
    node = world.node
    node.start()
    flood = [f"f{index}.wild.{zones.OWN_ZONE}" for index in range(FLOOD_RATE * 5)]
    queries = load.write_queries(run.path("flood.queries"), flood)
    before = node.counters()
    loaded = load.start_dnsperf(world.client, NODE_V4, queries, FLOOD_RATE, 4, timeout_s=0.5)
    time.sleep(0.5)
    with Prober(world.authorities, NODE_V4, _misses(3), 100) as other:
        time.sleep(2.5)
    flooded = load.finish_dnsperf(loaded)
    moved = gained(before, node.counters())
    expect(moved.get("drops_punt_limited", 0) > FLOOD_RATE, f"the flood was not limited: {moved}")
    lost = len(other.lost())
    expect(lost <= len(other.sent) * 0.01, f"the other client lost {lost} of {len(other.sent)}")
    return f"flood lost {flooded.lost} of {flooded.sent}, the other client {lost} of {len(other.sent)}"


BLOCKED_S = 2
BLOCKED_QUERIES = 20_000
# From then on a veth whose peer does not take its packets refuses more instead of dropping them.
BACK_PRESSURE_KERNEL = (6, 16)


def _while_blocked(node: Appliance, before: dict[str, int]) -> dict[str, int]:
    """What the counters gained by when frames had run out and answers waited; else what they gained at last."""
    until = time.monotonic() + BLOCKED_S
    while True:
        blocked = gained(before, node.counters())
        waits = blocked.get("packets_sent", 0) < blocked.get("packets_received", 0)
        if time.monotonic() > until or (waits and blocked.get("fill_ring_empty")):
            return blocked


@case
def a_full_transmit_ring_keeps_every_answer(run: Run) -> str:
    """While nothing can leave, the worker holds its answers and takes no more queries than it has
    frames for; then all of them leave, and not a frame is lost."""
    if tuple(map(int, re.findall(r"\d+", platform.release())[:2])) < BACK_PRESSURE_KERNEL:
        raise Skipped(f"veth of Linux {platform.release()} drops what its peer does not take")
    world, names = _ready(run)
    node, port = world.node, world.ports[0]
    node.host.command("tc", "qdisc", "add", "dev", INTERFACE, "root", "pfifo")  # Without, veth drops.
    world.switch.host.command("ethtool", "-K", port, "gro", "on")  # Gives the port a NAPI to be deferred.
    flow = world.flows()[0]
    frames = [
        replace(flow, source_port=1024 + index).frame(dns.query(names[index % len(names)]))
        for index in range(BLOCKED_QUERIES)
    ]
    before = node.counters()
    with world.wire_to_node() as wire:
        world.switch.defer_polls(port, BLOCKED_S)
        wire.replay(frames)
        blocked = _while_blocked(node, before)
        world.switch.defer_polls(port, 0)
        came = [got for got in map(datagram, wire.received(quiet_s=BLOCKED_S)) if got and got.source_port == 53]
    moved = gained(before, node.counters())
    taken, sent = blocked.get("packets_received", 0), blocked.get("packets_sent", 0)
    expect(sent < taken, f"the way out was not blocked: {blocked}")
    expect(blocked.get("fill_ring_empty"), f"frames did not run out: {blocked}")
    expect(moved.get("packets_received") == taken, f"queries came later: {blocked} {moved}")
    expect(len(came) == taken == len({got.target_port for got in came}), f"{len(came)} answers to {taken} queries")
    expect(not node.counters()["frames_lost"], f"frames lost: {moved}")
    world.warm(names)
    return f"{taken} queries taken, {sent} answers on the ring while blocked, {len(came)} answers in the end"
