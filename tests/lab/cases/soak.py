"""Full rate for a while: nothing grows. NEXUS_SOAK_SECONDS=300 for the long form."""

from __future__ import annotations

import os
import threading
import time

from .. import load, zones
from ..appliance import gained, hits
from ..process import rss_bytes
from ..run import Run
from ..runner import case, expect
from ..world import CLIENT_V4, INTERFACE, NODE_V4, World

SECONDS = int(os.environ.get("NEXUS_SOAK_SECONDS", "15"))
WARM_UP_S = 3
RATE = 1_000_000
RSS_MAX_BYTES = 64 << 20
GROWTH_MAX_BYTES = 1 << 20


@case
def memory_does_not_grow_at_full_rate(run: Run) -> str:
    """Hits and misses at more than full rate: RSS of the dataplane within bounds and steady."""
    world = World(run, authorities=False)
    node = world.node
    node.start()
    names = zones.host_names()
    # A third of the names are new each time round: they are answered by control and evicted again.
    names += [f"s{index}.wild.{zones.OWN_ZONE}" for index in range(len(names) // 2)]
    queries = load.write_queries(run.path("soak.queries"), names)
    before = node.counters()
    bursts: list[load.Burst] = []

    def work() -> None:
        bursts.append(
            load.kxdpgun(world.client, INTERFACE, CLIENT_V4, NODE_V4, queries, RATE, SECONDS + WARM_UP_S)
        )

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(WARM_UP_S)
    assert node.dataplane is not None and node.control is not None
    processes = (node.dataplane, node.control)
    start = [rss_bytes(p.pid) for p in processes]
    while thread.is_alive():
        time.sleep(0.5)
        for process in processes:
            process.expect_running()
    thread.join()
    end = [rss_bytes(p.pid) for p in processes]
    moved = gained(before, node.counters())
    expect(hits(moved) > 100_000, f"little load: {moved}")
    expect(end[0] <= RSS_MAX_BYTES, f"dataplane has {end[0] >> 20} MiB")
    for process, first, last in zip(processes, start, end):
        grown = last - first
        expect(grown <= GROWTH_MAX_BYTES, f"{process.name} grew by {grown >> 10} KiB in {SECONDS} s")
    expect(not node.counters().get("frames_lost"), f"frames lost: {moved}")
    world.warm(zones.host_names(20))
    return (
        f"{SECONDS} s, {bursts[0].answered:.0f} answers/s; RSS dataplane {end[0] >> 20} MiB, "
        f"control {end[1] >> 20} MiB"
    )
