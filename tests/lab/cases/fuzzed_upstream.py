"""Servers that answer anything: each client gets an answer in time, other names are resolved, nothing grows."""

from __future__ import annotations

import os
import random
import time

from .. import dns, hostile, load
from ..effort import limits
from ..process import rss_bytes, wait_until
from ..run import Run
from ..runner import case, expect
from ..tree import Tree
from ..world import INTERFACE, NODE_V4
from .attacks import Scene

SECONDS = int(os.environ.get("NEXUS_FUZZ_SECONDS", "12"))
# Hostile servers, and zones that have two of them each: what one answer spoils for long (a delegation,
# a DNAME, a server that counts as down) must not keep the rest from being tried.
SERVERS = tuple(range(10, 110))
ZONES = 400
RATE, LIVE_RATE = 150, 25
ANSWER_S_MAX = limits()["wall_ms_max"] / 1000 + 0.5
GROWTH_MAX_BYTES = 64 << 20
# So many answers of each kind at least, or the test has not seen them.
EACH_MIN = 5


def _delegations() -> str:
    """Every third zone has a DS that no key will fit."""
    lines = []
    for zone in range(ZONES):
        for turn in range(2):
            v4, _ = Tree.addresses(SERVERS[(zone + turn * 37) % len(SERVERS)])
            lines += [f"z{zone} NS ns{turn}.z{zone}", f"ns{turn}.z{zone} A {v4}"]
        if zone % 3 == 0:
            lines.append(f"z{zone} DS 1 13 2 {'ab' * 32}")
    return "\n".join(lines)


class PatientProber(load.Prober):
    """Waits for the last answers as long as the resolver may take."""

    WAIT_S = ANSWER_S_MAX + 1


@case
def servers_that_answer_anything_harm_nobody_else(run: Run) -> str:
    """Noise, halves, loops, wrong ids and questions, delays, and every way to end a TCP connection.
    NEXUS_FUZZ_SEED repeats a run."""
    seed = int(os.environ.get("NEXUS_FUZZ_SEED") or random.randrange(1 << 32))
    scene = Scene(run, [], test_body=_delegations())
    node, control = scene.node, scene.node.control
    assert control is not None
    names = [f"n{index}.z{index % ZONES}.test" for index in range(0x10000)]
    for server in SERVERS:
        scene.authorities.add_address(INTERFACE, f"{Tree.addresses(server)[0]}/16")
    addresses = [Tree.addresses(server)[0] for server in SERVERS]
    server = hostile.Server(scene.authorities, addresses, seed)
    scene.expect_live()
    before = rss_bytes(control.pid)
    with server:
        live = [f"live{index}.live.test" for index in range(LIVE_RATE * (SECONDS + 10))]
        with load.Prober(scene.other, NODE_V4, live, LIVE_RATE) as prober:
            with PatientProber(scene.world.client, NODE_V4, names, RATE) as fuzzed:
                time.sleep(SECONDS)
    told = f"seed {seed}"
    control.expect_running()
    expect("panicked" not in control.log_text(), f"{told}: control panicked")
    unanswered = len(fuzzed.sent) - len(fuzzed.answered)
    expect(unanswered == 0, f"{told}: {unanswered} of {len(fuzzed.sent)} questions have no answer")
    slowest_s = fuzzed.latencies_us()[-1] / 1e6
    expect(slowest_s <= ANSWER_S_MAX, f"{told}: an answer took {slowest_s:.1f} s")
    expect(not prober.lost(), f"{told}: {len(prober.lost())} of {len(prober.sent)} live names failed")
    scene.expect_live()
    wait_until(lambda: scene.meter.read(), 20, f"{told}: resolutions end")
    grown = rss_bytes(control.pid) - before
    expect(grown <= GROWTH_MAX_BYTES, f"{told}: control grew by {grown >> 10} KiB")
    used = server.used
    rare = [kind for kind in hostile.WAYS if used.get(kind, 0) < EACH_MIN]
    expect(not rare, f"{told}: hardly tried: {', '.join(rare)} in {used}")
    rcodes = [rcode for _, rcode in fuzzed.answered.values()]
    good = rcodes.count(dns.NOERROR)
    tcp = sum(count for kind, count in used.items() if kind.startswith("tcp "))
    return (
        f"{told}: {len(fuzzed.sent)} questions, {good} NOERROR, {rcodes.count(dns.SERVFAIL)} SERVFAIL, "
        f"slowest {slowest_s:.1f} s; "
        f"{sum(used.values())} hostile replies, {tcp} over TCP; {len(prober.sent)} live names, slowest "
        f"{prober.latencies_us()[-1] / 1000:.0f} ms; control grew by {grown >> 10} KiB"
    )
