"""Who is answered how often: DNS cookies with real clients, and the limit on responses."""

from __future__ import annotations

import json
import re
import time

from .. import load, zones
from ..appliance import Appliance, gained
from ..hosts import Host
from ..load import Prober
from ..run import Run
from ..runner import case, expect
from ..world import NODE_V4, NODE_V6, World

NAME = f"www.{zones.OWN_ZONE}"
ADDRESS = "192.0.2.80"
SECRET = "e5e973e5a6b2a43f48e7dc849e37bfcf"  # That of RFC 9018 appendix A.


def _kdig(host: Host, server: str, *options: str) -> tuple[str, str, str]:
    """Status and cookie of the last answer, and all that kdig prints when it asks for NAME."""
    shown = load.kdig(host, server, *options, NAME, "A")
    *_, status = ["", *re.findall(r"status: (\w+)", shown)]
    *_, cookie = ["", *re.findall(r" COOKIE: ([0-9A-Fa-f]+)", shown)]
    return status, cookie.lower(), shown


def _learn(host: Host, server: str) -> str:
    """The cookie that a server gives to kdig's client cookie, in hexadecimal digits."""
    status, cookie, shown = _kdig(host, server, "+cookie")
    expect(status == "NOERROR" and ADDRESS in shown, f"no answer to +cookie:\n{shown}")
    expect(len(cookie) == 48, f"cookie {cookie!r} instead of 24 bytes:\n{shown}")
    expect(cookie[16:24] == "01000000", f"version and reserved bytes: {cookie}")
    return cookie


def _control(node: Appliance, sample: str) -> int:
    stats = json.loads(node.nexus("--json", "stats", "--once"))
    return stats["control"].get(sample, 0)


@case
def cookie_learned_from_a_worker_is_taken_by_workers_and_control(run: Run) -> str:
    """RFC 7873 and RFC 9018 with kdig: the second query shows what the first one has learned, over
    both families, and after the dataplane's death the kernel path takes it as well."""
    world = World(run, authorities=False)
    node = world.node
    node.start()
    world.warm([NAME])
    before = node.counters()
    for server in (NODE_V4, NODE_V6):
        learned = _learn(world.client, server)
        status, again, shown = _kdig(world.client, server, f"+cookie={learned}")
        expect(status == "NOERROR" and again == learned, f"{learned} came back so:\n{shown}")
    moved = gained(before, node.counters())
    expected = {"cookies_client_only": 2, "cookies_valid": 2, "answers_cache": 4}
    found = {name: moved.get(name, 0) for name in expected}
    expect(found == expected, f"{found} instead of {expected}")

    learned = _learn(world.client, NODE_V4)
    assert node.dataplane is not None
    sample = 'nexus_control_cookies_total{standing="valid"}'
    taken = _control(node, sample)
    node.dataplane.kill()
    status, again, shown = _kdig(world.client, NODE_V4, f"+cookie={learned}")
    expect(status == "NOERROR" and again == learned, f"by control {learned} came back so:\n{shown}")
    expect(_control(node, sample) == taken + 1, "control did not count it as valid")
    return f"cookie {learned}"


@case
def cookie_of_one_server_is_taken_by_another_with_the_same_secret(run: Run) -> None:
    """An anycast set: one secret, given as digits and in a file; the cookie of one holds at the other."""
    world = World(run, nodes=2, authorities=False, resolver={"cookies": {"secret": SECRET}})
    one, other = world.appliances
    (other.folder / "cookie.secret").write_text(f"{SECRET}\n")
    other.configure(resolver={"cookies": {"secret": "cookie.secret"}})
    for node in (one, other):
        node.start()
    learned = _learn(world.client, one.address)
    before = other.counters()
    status, again, shown = _kdig(world.client, other.address, f"+cookie={learned}")
    expect(status == "NOERROR" and again == learned, f"{learned} came back so:\n{shown}")
    expect(gained(before, other.counters()).get("cookies_valid") == 1, "not counted as valid")


@case
def required_cookie_is_learned_by_a_client_from_badcookie(run: Run) -> None:
    """kdig gets BADCOOKIE with a cookie, and its answer when it asks again with that."""
    world = World(run, authorities=False, resolver={"cookies": {"require": True}})
    node = world.node
    node.start()
    before = node.counters()
    status, cookie, shown = _kdig(world.client, NODE_V4, "+cookie", "+nobadcookie")
    expect(status == "BADCOOKIE" and ADDRESS not in shown, f"not refused:\n{shown}")
    expect(len(cookie) == 48, f"BADCOOKIE teaches {cookie!r}:\n{shown}")
    status, _, shown = _kdig(world.client, NODE_V4, "+cookie", "+badcookie")
    expect(status == "NOERROR" and ADDRESS in shown, f"no answer in the end:\n{shown}")
    status, _, shown = _kdig(world.client, NODE_V4, "+nocookie")
    expect(status == "NOERROR" and ADDRESS in shown, f"no answer without cookies:\n{shown}")
    moved = gained(before, node.counters())
    expect(moved.get("errors_badcookie") == 2, f"two queries refused: {moved}")


PER_SECOND = 100
FLOOD_RATE = 5_000
FLOOD_S = 4


@case
def a_flood_is_limited_but_for_clients_that_are_real(run: Run) -> str:
    """Response rate limiting: the flooded network gets its rate and as many cut answers as slip says;
    meanwhile its clients are answered by TCP or with a cookie, and another network as ever."""
    limit = {"per_second": PER_SECOND, "slip": 2}
    world = World(run, dataplane={"response_rate_limit": limit})
    node = world.node
    node.start()
    names = zones.host_names(100)
    world.warm([NAME, *names[: PER_SECOND // 4]])
    time.sleep(1)  # What that took from the network's bucket is refilled.
    learned = _learn(world.client, NODE_V4)
    before = node.counters()
    queries = load.write_queries(run.path("flood.queries"), [NAME])
    flood = load.start_dnsperf(
        world.client, NODE_V4, queries, FLOOD_RATE, FLOOD_S, timeout_s=0.5
    )
    time.sleep(1)
    with Prober(world.authorities, NODE_V4, [NAME], PER_SECOND // 2) as other:
        _, _, by_cookie = _kdig(world.client, NODE_V4, f"+cookie={learned}", "+ignore")
        expect(ADDRESS in by_cookie, f"a valid cookie does not lift the limit:\n{by_cookie}")
        expect("(UDP)" in by_cookie, f"not by UDP:\n{by_cookie}")
        _, _, by_tcp = _kdig(world.client, NODE_V4, "+tcp")
        expect(ADDRESS in by_tcp, f"TCP is limited:\n{by_tcp}")
        time.sleep(1)
    load.finish_dnsperf(flood)
    moved = gained(before, node.counters())
    dropped, cut = moved.get("drops_response_limited", 0), moved.get("answers_slipped", 0)
    whole = moved.get("answers_cache", 0) - len(other.sent)
    over = FLOOD_RATE * FLOOD_S * 0.8
    expect(dropped + cut > over, f"the flood was not limited: {moved}")
    expect(abs(dropped - cut) <= 1 + dropped * 0.01, f"each second slips: {moved}")
    expect(whole <= PER_SECOND * (FLOOD_S + 3), f"{whole} whole answers to the flood: {moved}")
    lost = len(other.lost())
    expect(lost == 0, f"the other network lost {lost} of {len(other.sent)}")
    return f"{whole} whole, {cut} cut, {dropped} dropped; {len(other.sent)} of another network answered"
