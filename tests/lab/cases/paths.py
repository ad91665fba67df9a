"""Real clients over every kind of frame, and proof that workers answered."""

from __future__ import annotations

import itertools
import signal
from dataclasses import replace

from .. import dns, load, peers, zones
from ..appliance import gained, hits, worker_answers
from ..frames import datagram
from ..hosts import End, Host
from ..process import wait_until
from ..run import Run
from ..runner import case, expect
from ..world import INTERFACE, NODE_V4, NODE_V6, VLAN_NODE_V4, VLAN_NODE_V6, World

# (question, what kdig +short must print), own zone and recursion.
QUESTIONS = (
    (("www.nexus.example", "A"), "192.0.2.80"),
    (("www.nexus.example", "AAAA"), "2001:db8::80"),
    (("anything.wild.nexus.example", "A"), "192.0.2.42"),
    (("alias.nexus.example", "A"), "www.nexus.example.\n192.0.2.80"),
    (("www.example.test", "A"), "198.51.100.80"),
    (("www.example.test", "AAAA"), "2001:db8:51::80"),
    (("alias.example.test", "A"), "www.plain.test.\n198.51.100.81"),
)
ROUNDS = 3


def _ask_all(world: World, server: str) -> None:
    for question, expected in QUESTIONS:
        shown = load.kdig(world.client, server, "+short", *question).strip()
        expect(shown == expected, f"{server} {question}: {shown!r} instead of {expected!r}")


def _expect_workers_answer(world: World, *servers: str) -> str:
    """Asks all servers and compares what the workers counted with what was asked."""
    node = world.node
    node.start()
    before = node.counters()
    for server in servers:
        for _ in range(ROUNDS):
            _ask_all(world, server)
    moved = gained(before, node.counters())
    asked = len(servers) * ROUNDS * len(QUESTIONS)
    expect(moved.get("queries", 0) >= asked, f"{asked} asked, workers saw {moved}")
    expect(worker_answers(moved) >= asked, f"{asked} asked, workers answered {moved}")
    # One miss a question; a question is the same over every address and family.
    expected_hits = asked - len(QUESTIONS)
    expect(hits(moved) >= expected_hits, f"{expected_hits} hits expected: {moved}")
    return f"{asked} queries, {hits(moved)} from memory, {moved.get('punts', 0)} punted"


@case
def kdig_over_ipv4_and_ipv6_is_answered_by_workers(run: Run) -> str:
    """IPv4 and IPv6 end to end; the workers' counters prove the path."""
    world = World(run)
    note = _expect_workers_answer(world, NODE_V4, NODE_V6)
    program = world.node.host.xdp_program(world.node.interface)
    expect(program is not None, "no XDP program is attached")
    mode = world.node.status()["dataplane"]["mode"]
    expect(mode == "copy", f"mode {mode} on veth, which can copy and nothing better")
    return f"{note}; program {program}, mode {mode}"


@case
def kdig_over_a_vlan_is_answered_by_workers(run: Run) -> str:
    """VLAN end to end, both families."""
    world = World(run)
    world.add_vlan()
    return _expect_workers_answer(world, VLAN_NODE_V4, VLAN_NODE_V6)


@case
def every_queue_of_an_interface_has_a_worker_that_answers(run: Run) -> str:
    """Two queues, two workers, both with queries. Which queue veth takes follows the sender's core
    or its socket's hash, so many sockets ask."""
    world = World(run, queues=2, authorities=False)
    world.node.start()
    status = world.node.status()["dataplane"]
    expect(len(status["workers"]) == 2, f"{len(status['workers'])} workers for 2 queues")
    for _ in range(64):
        for core in ("0", "1"):
            world.client.command(
                "taskset", "-c", core, "kdig", "+short", f"@{NODE_V4}", "www.nexus.example"
            )
        served = [worker["queries"] for worker in world.node.status()["dataplane"]["workers"]]
        if all(served):
            return f"queries by worker: {served}"
    raise AssertionError(f"queries by worker: {served}")


@case
def a_queue_without_a_worker_is_answered_by_the_kernel_path(run: Run) -> str:
    """Two queues, a worker on one: its queries it answers, those of the other queue control does."""
    world = World(run, queues=2, authorities=False, dataplane={"queues": [0]})
    node, name = world.node, f"www.{zones.OWN_ZONE}"
    node.start()
    world.warm([name])  # Makes both hosts known to each other, too.
    before, answered = node.counters(), []
    flow = world.flows()[0]
    # veth takes the queue by the hash of the flow.
    ports = range(20000, 20064)
    with world.wire_to_node() as wire:
        wire.replay([replace(flow, source_port=port).frame(dns.query(name)) for port in ports])
        for got in filter(None, map(datagram, wire.received())):
            if got.source_port == 53:
                answered.append(got.target_port)
    expect(sorted(answered) == list(ports), f"answers to the ports {sorted(answered)}")
    by_worker = worker_answers(gained(before, node.counters()))
    expect(0 < by_worker < len(ports), f"the worker answered {by_worker} of {len(ports)}")
    return f"{by_worker} by the worker, {len(ports) - by_worker} by the kernel path"


@case
def names_that_do_not_exist_are_denied_and_kept(run: Run) -> None:
    """NXDOMAIN and NODATA from the own zone and from recursion, the second time from memory."""
    world = World(run)
    world.node.start()
    for name in ("nothing.nexus.example", "nothing.example.test", "nothing.test"):
        answer = dns.ask(world.client, NODE_V4, name)
        expect(answer.rcode == dns.NXDOMAIN, f"{name}: rcode {answer.rcode}")
        expect([r.rtype for r in answer.authority if r.rtype == 6] == [6], f"{name}: no SOA")
    for name in ("www.plain.test", "empty.nexus.example"):
        answer = dns.ask(world.client, NODE_V4, name, "AAAA")
        expect((answer.rcode, answer.answer) == (dns.NOERROR, ()), f"{name}: {answer}")
    before = world.node.counters()
    answer = dns.ask(world.client, NODE_V4, "nothing.example.test")
    moved = gained(before, world.node.counters())
    expect(answer.rcode == dns.NXDOMAIN and hits(moved) == 1, f"second time: {moved}")


@case
def an_answer_that_does_not_fit_is_cut_and_tcp_has_all_of_it(run: Run) -> None:
    """TC with every size a client may say, nothing larger than it said, and the rest over TCP."""
    world = World(run)
    world.node.start()
    for name in (f"big.{zones.OWN_ZONE}", f"big.{zones.LEAF_ZONE}"):
        for size, limit in ((None, 512), (0, 512), (512, 512), (900, 900), (1232, 1232), (4096, 1232)):
            extra = () if size is None else (dns.opt(size),)
            for _ in range(2):  # From control, then from memory.
                with dns.Client(world.client, NODE_V4) as client:
                    raw = client.exchange(dns.query(name, "TXT", additional=extra), 5.0)
                expect(raw is not None, f"{name}, size {size}: no answer")
                answer = dns.decode(raw or b"")
                expect(len(raw or b"") <= limit, f"{name}, size {size}: {len(raw or b'')} bytes")
                expect(answer.truncated, f"{name}, size {size}: no TC")
        for server in (NODE_V4, NODE_V6):
            questions = [dns.query(name, "TXT", ident=n) for n in (1, 2, 3)]
            answers = [dns.decode(raw) for raw in dns.ask_tcp(world.client, server, questions)]
            expect(sorted(a.ident for a in answers) == [1, 2, 3], f"{name}: pipelined over TCP: {answers}")
            expect(all(len(a.answer) == 12 for a in answers), f"{name}: {len(answers[0].answer)} records")
    shown = load.kdig(world.client, NODE_V4, f"big.{zones.LEAF_ZONE}", "TXT", "+short").strip()
    expect(len(shown.splitlines()) == 12, f"kdig, which asks again over TCP: {shown}")


@case
def signed_zones_come_with_their_signatures(run: Run) -> None:
    """DO brings RRSIG from the leaf, from memory too; without DO there is none."""
    world = World(run)
    world.node.start()
    for _ in range(2):
        with_do = load.kdig(world.client, NODE_V4, "www.example.test", "A", "+dnssec", "+noall", "+answer")
        expect("RRSIG" in with_do, f"no RRSIG with DO:\n{with_do}")
        without = load.kdig(world.client, NODE_V4, "www.example.test", "A", "+noall", "+answer")
        expect("RRSIG" not in without, f"RRSIG without DO:\n{without}")


@case
def signed_names_are_authentic_and_a_bogus_one_is_refused_with_its_reason(run: Run) -> str:
    """AD fresh and from memory, none for an unsigned zone; SERVFAIL with EDE, but for CD."""
    world = World(run)
    world.node.start()

    def asked(name: str, *options: str) -> str:
        return load.kdig(world.client, NODE_V4, name, "A", "+dnssec", *options)

    def is_authentic(output: str) -> bool:
        return any("Flags:" in line and " ad;" in line for line in output.splitlines())

    for origin in ("fresh", "from memory"):
        for name in (f"www.{zones.LEAF_ZONE}", f"x.wild.{zones.LEAF_ZONE}", f"right.{zones.BOGUS_ZONE}"):
            output = asked(name)
            expect("NOERROR" in output and is_authentic(output), f"{origin}: {output}")
        output = asked(f"www.{zones.PLAIN_ZONE}")
        expect("NOERROR" in output and not is_authentic(output), f"{origin}: {output}")
    bogus = f"www.{zones.BOGUS_ZONE}"
    for _ in range(2):
        output = asked(bogus)
        expect("SERVFAIL" in output and "EDE: 6" in output and "198.51.100" not in output, output)
    query = dns.query(bogus, additional=(dns.opt(),))
    (raw,) = dns.ask_tcp(world.client, NODE_V4, [query])
    expect(b"its signature does not hold" in raw, f"no reason in {raw!r}")
    output = asked(bogus, "+cdflag")
    expect("198.51.100.66" in output and not is_authentic(output), output)
    world.node.nexus("cache", "flush", bogus)
    trace = world.node.nexus("lookup", "--trace", bogus, "A", check=False)
    expect("bogus www.bogus.test. A" in trace, trace)
    for result in ("secure", "insecure", "bogus"):
        name = f"nexus_resolver_{result}_total"
        lines = [line for line in world.node.nexus("metrics").splitlines() if line.startswith(name)]
        expect(bool(lines) and not lines[0].endswith(" 0"), f"{name}: {lines}")
    return next(line.strip("; ") for line in asked(bogus).splitlines() if "EDE" in line)


@case
def a_zone_change_is_seen_at_once_by_workers(run: Run) -> str:
    """`nexus zone reload`: the very next query has the new data although a worker knew the old."""
    world = World(run, authorities=False)
    node = world.node
    node.start()
    name = f"www.{zones.OWN_ZONE}"
    world.warm([name])
    with dns.Client(world.client, NODE_V4) as client:
        for serial in range(2, 22):
            address = f"192.0.2.{serial}"
            before = node.counters() if serial == 2 else {}
            old = client.ask(name).data("A")
            if serial == 2:
                expect(hits(gained(before, node.counters())) == 1, "the old answer was not in memory")
            node.zone_file.write_text(zones.own_zone(serial, www=address))
            node.nexus("zone", "reload", zones.OWN_ZONE)
            new = client.ask(name).data("A")
            expect(new == [address], f"after reload to serial {serial}: {new}, before: {old}")
        assert node.control is not None
        node.zone_file.write_text(zones.own_zone(99, www="192.0.2.99"))
        node.control.signal(signal.SIGHUP)
        wait_until(lambda: client.ask(name).data("A") == ["192.0.2.99"], 5, "SIGHUP reloads too")
    return "20 reloads and a SIGHUP"


@case
def a_broken_zone_file_is_refused_and_the_old_data_stay(run: Run) -> str:
    """A reload with an error names file and line, and changes nothing."""
    world = World(run, authorities=False)
    node = world.node
    node.start()
    lines = zones.own_zone(2).splitlines()
    lines.insert(6, "bad A 300.1.2.3")
    node.zone_file.write_text("\n".join(lines) + "\n")
    shown = node.nexus("--json", "zone", "reload", check=False)
    expect(f"{node.zone_file.name}:7" in shown, f"file and line 7 are not named: {shown}")
    answer = dns.ask(world.client, NODE_V4, f"www.{zones.OWN_ZONE}")
    expect(answer.data("A") == ["192.0.2.80"], f"old data are gone: {answer}")
    return shown.strip()[:300]


@case
def a_flushed_name_is_asked_again(run: Run) -> None:
    """`nexus cache flush` empties the table and every worker's own cache."""
    world = World(run)
    node = world.node
    node.start()
    world.warm(["www.example.test.", "www.plain.test."])
    node.nexus("cache", "flush", "example.test", "--subtree")
    # Workers take the order from their reply rings when they next look.
    before = node.counters()
    dns.ask(world.client, NODE_V4, "www.example.test.")
    moved = gained(before, node.counters())
    expect(moved.get("punts") == 1, f"after the flush: {moved}")
    before = node.counters()
    dns.ask(world.client, NODE_V4, "www.plain.test.")
    moved = gained(before, node.counters())
    expect(hits(moved) == 1, f"a name that was not flushed: {moved}")


UPSTREAM = "10.53.3.1"
DEAD_UPSTREAM = "10.53.3.9"


@case
def names_are_forwarded_past_an_upstream_that_is_dead(run: Run) -> str:
    """Two upstreams, one of them silent: every name is resolved, own zones are not forwarded."""
    world = World(run, resolver={"forward": [DEAD_UPSTREAM, UPSTREAM]})
    upstream = Host(run, "upstream")
    world.switch.plug(End(upstream, INTERFACE, "02:00:00:00:03:01", (f"{UPSTREAM}/16",)))
    config = peers.write_unbound(run.path("unbound"), UPSTREAM, world.node.folder / "root.hints")
    unbound = upstream.start("unbound", ["unbound", "-d", "-c", str(config)])
    peers.wait_for_answer(unbound, world.client, UPSTREAM, "www.example.test", "A")
    world.node.start()
    _ask_all(world, NODE_V4)
    shown = load.kdig(world.client, NODE_V4, f"big.{zones.LEAF_ZONE}", "TXT", "+short").strip()
    expect(len(shown.splitlines()) == 12, f"an answer that the upstream cuts: {shown}")
    # A server is down after a few failures in a row, and a slow one is seldom asked.
    new_names = (f"u{index}.wild.{zones.LEAF_ZONE}" for index in itertools.count())

    def health() -> dict[str, bool]:
        dns.ask(world.client, NODE_V4, next(new_names))
        upstreams = world.node.status()["control"]["resolver"]["upstreams"]
        return {one["address"]: one["healthy"] for one in upstreams}

    expected = {f"{UPSTREAM}:53": True, f"{DEAD_UPSTREAM}:53": False}
    took = wait_until(lambda: health() == expected, 60, f"status says {expected}")
    return f"{next(new_names).split('.')[0][1:]} names more until the dead one was known, {took:.1f} s"
