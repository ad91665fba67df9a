"""Full rate for a while: nothing grows. NEXUS_SOAK_SECONDS=300 for the long form."""

from __future__ import annotations

import os
import threading
import time

from .. import load, zones
from ..appliance import gained, hits
from ..process import rss_bytes, wait_until
from ..run import Run
from ..runner import case, expect
from ..world import CLIENT_V4, INTERFACE, NODE_V4, World

SECONDS = int(os.environ.get("NEXUS_SOAK_SECONDS", "15"))
WARM_UP_S = 8
RATE = 1_000_000
# Many times what the cache and the table hold, so that who comes round again has been evicted.
WILD_NAMES = 400_000
RSS_MAX_BYTES = 64 << 20
GROWTH_MAX_BYTES = 1 << 20


def _names() -> list[str]:
    """In turn a name of a thousand that stay in memory, and one that has not been there for long."""
    known, names = zones.host_names(), []
    for index in range(WILD_NAMES):
        names += (known[index % len(known)], f"s{index}.wild.{zones.OWN_ZONE}")
    return names


def _is_replaced(counters: dict[str, int]) -> bool:
    """Whether as many entries were evicted as the cache has."""
    return counters.get("cache_evictions", 0) > counters["cache_entries"] > 0


@case
def memory_does_not_grow_at_full_rate(run: Run) -> str:
    """Hits, misses and evictions at more than full rate: RSS within bounds and steady."""
    # The generator is one client for all: a limit on its misses would be one on the test.
    world = World(run, authorities=False, dataplane={"punts_per_second": {"rate": 0}})
    node = world.node
    node.start()
    queries = load.write_queries(run.path("soak.queries"), _names())
    bursts: list[load.Burst] = []

    def work() -> None:
        bursts.append(
            load.kxdpgun(world.client, INTERFACE, CLIENT_V4, NODE_V4, queries, RATE, SECONDS + WARM_UP_S)
        )

    thread = threading.Thread(target=work)
    thread.start()
    # From then on all memory has been used, and whatever grows is a leak.
    wait_until(lambda: _is_replaced(node.counters()), WARM_UP_S + SECONDS, "the cache is replaced")
    before = node.counters()
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
    entries = before["cache_entries"]
    for counter in ("punts", "cache_evictions"):
        expect(moved.get(counter, 0) > entries, f"{counter}: fewer than {entries} entries: {moved}")
    expect(hits(moved) > 100_000, f"little load: {moved}")
    expect(end[0] <= RSS_MAX_BYTES, f"dataplane has {end[0] >> 20} MiB")
    for process, first, last in zip(processes, start, end):
        grown = last - first
        expect(grown <= GROWTH_MAX_BYTES, f"{process.name} grew by {grown >> 10} KiB in {SECONDS} s")
    expect(not node.counters().get("frames_lost"), f"frames lost: {moved}")
    world.warm(zones.host_names(20))
    return (
        f"{SECONDS} s, {bursts[0].answered:.0f} answers/s, {moved['punts']} punts, "
        f"{moved['cache_evictions']} evictions; RSS dataplane {end[0] >> 20} MiB, control {end[1] >> 20} MiB"
    )
