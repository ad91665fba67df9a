"""Attacks on a resolver: what a client's question costs stays within the documented limits, clients get
an answer in time, and live names are resolved meanwhile."""

from __future__ import annotations

import contextlib
import random
import select
import socket
import time
from dataclasses import dataclass
from typing import Callable, Sequence

from .. import dns, load, traps
from ..effort import Meter, Work, limits, metric
from ..hosts import End, Host
from ..process import rss_bytes
from ..run import Run
from ..runner import case, expect
from ..tree import SECURE, Signing, Tree, Zone
from ..world import INTERFACE, NODE_V4, World

SERVERS = 6
SO_RCVBUFFORCE = 33
OTHER_CLIENT_V4 = "10.53.1.2"
# The resolver answers within `wall_ms_max`; a client waits a little longer.
WAIT_S = limits()["wall_ms_max"] / 1000 + 1
WWW = "www A 198.51.100.1\n"
LIVE = Zone("live.test.", "* A 198.51.100.99\n")
# Lookups of keys, delegations and servers' addresses that the first questions of a scene cost all together.
COLD_MESSAGES_MAX = 30
EDE_NSEC_MISSING = 12  # RFC 8914 §4.13.


class Scene:
    """Authorities with an attacker's and a victim's zones, a validating appliance, two clients."""

    def __init__(self, run: Run, zones: Sequence[Zone], *, test_body: str = "", **settings: dict) -> None:
        self.world = World(run, authorities=False, **settings)
        self.authorities = Host(run, "authorities")
        self.world.switch.plug(End(self.authorities, INTERFACE, "02:00:00:00:02:01"))
        self.other = Host(run, "other")
        self.world.switch.plug(End(self.other, INTERFACE, "02:00:00:00:01:02", (f"{OTHER_CLIENT_V4}/16",)))
        tree = Tree([Zone("."), Zone("test.", test_body, server=1), LIVE, *zones], SERVERS)
        tree.write(run.path("zones"))
        tree.serve(self.authorities, INTERFACE)
        self.node = self.world.node
        (self.node.folder / "root.hints").write_text(tree.hints())
        self.node.trust(tree.anchor)
        self.node.start()
        self.meter = Meter(self.node, self.authorities)
        self.live_asked = 0

    def expect_live(self) -> None:
        """A name that nobody has asked for is resolved."""
        self.live_asked += 1
        answer = dns.ask(self.other, NODE_V4, f"l{self.live_asked}.live.test")
        expect(answer.data("A") == ["198.51.100.99"], f"a live name: {answer}")

    def ask(self, names: Sequence[str], *, do: bool = True) -> Outcome:
        """Asks one after the other, and a live name now and then; what it cost."""
        self.expect_live()
        before = self.meter.read()
        answers, slowest = [], 0.0
        with dns.Client(self.world.client, NODE_V4) as client:
            for name in names:
                started = time.monotonic()
                raw = client.exchange(dns.query(name, additional=(dns.opt(do=do),)), WAIT_S)
                slowest = max(slowest, time.monotonic() - started)
                expect(raw is not None, f"{name}: no answer within {WAIT_S:g} s")
                answers.append(dns.decode(raw or b""))
        outcome = Outcome(answers, slowest, self.meter.read() - before)
        self.expect_live()
        work = outcome.work
        expect(work.messages == work.received, f"both ends do not agree: {work}")
        return outcome


@dataclass(frozen=True)
class Outcome:
    """Answers to a series of questions, and what they cost together."""

    answers: list[dns.Message]
    slowest_s: float
    work: Work

    @property
    def messages_each(self) -> float:
        """To authorities, for one question."""
        return self.work.messages / len(self.answers)

    @property
    def cpu_ms_each(self) -> float:
        """Of control, for one question."""
        return self.work.cpu_s * 1000 / len(self.answers)

    def expect_failures(self) -> None:
        """All are SERVFAIL and say why."""
        for answer in self.answers:
            expect(answer.rcode == dns.SERVFAIL, f"rcode {answer.rcode}: {answer}")
            expect(answer.extended_error is not None, f"no reason: {answer}")

    def text(self) -> str:
        """For the note of a test."""
        codes = sorted({str(answer.extended_error) for answer in self.answers})
        return (
            f"{self.messages_each:.1f} messages and {self.cpu_ms_each:.2f} ms of CPU a question, slowest "
            f"{self.slowest_s * 1000:.0f} ms, EDE {' '.join(codes)}"
        )


def _below(what: str, measured: float, bound: float) -> str:
    expect(measured <= bound, f"{what}: {measured:.2f}, at most {bound:.2f} expected")
    return f"{what} {measured:.1f} <= {bound:.1f}"


@case
def delegations_to_many_servers_elsewhere_cost_their_victim_little(run: Run) -> str:
    """NXNSAttack: each question leads to a new delegation with 60 name servers, all of them names
    in the victim's zone that do not exist and have no glue."""
    count, servers = 40, 60
    delegations = "\n".join(f"s{n} NS ns{i}.d{n}.victim.test." for n in range(count) for i in range(servers))
    attacker = Zone("attacker.test.", delegations, None, server=3)
    scene = Scene(run, [attacker, Zone("victim.test.", WWW, None, server=4)])
    outcome = scene.ask([f"www.s{n}.attacker.test" for n in range(count)])
    outcome.expect_failures()
    most = limits()
    # A name server's name costs two messages: it is two labels below the victim's zone, and asked
    # for label by label. Two more lead to the delegation.
    bound = most["subqueries_zone_max"] * 2 + 2 + COLD_MESSAGES_MAX / count
    expect(bound < servers, "the bound would hold without limits")
    note = _below("messages a question", outcome.messages_each, bound)
    _below("messages a question, any attack", outcome.messages_each, most["sends_max"])
    return f"{outcome.text()}; {note}"


@case
def many_keys_of_one_tag_and_many_signatures_cost_a_bounded_number_of_checks(run: Run) -> str:
    """KeyTrap (CVE-2023-50387): 60 keys of one tag, 60 signatures by that tag on each RRset; and the
    same on the DNSKEY RRset, which as many DS name."""
    chance = random.Random(1)
    count, many, ttl = 30, 60, 3600
    names = [f"n{index}.trap.test." for index in range(count)]
    body = "\n".join(f"n{index} A 198.51.100.1" for index in range(count))
    keys, tag = traps.colliding_keys(many, chance)
    trap = Zone(
        "trap.test.", f"{body}\n{traps.dnskey_lines('trap.test.', keys)}",
        edit=traps.trap_names(names, "trap.test.", tag, many, ttl, chance),
    )  # fmt: skip
    honest = Zone("honest.test.", body, Signing(keys=(("RSASHA256", True),)))
    scene = Scene(run, [trap, *_zones_with_many_ds(ZONES_WITH_DS, chance), honest])
    usual = scene.ask([f"n{index}.honest.test" for index in range(count)])
    expect(all(answer.rcode == dns.NOERROR and answer.flags & 0x20 for answer in usual.answers), "honest names fail")
    outcome = scene.ask(names)
    outcome.expect_failures()
    checks = limits()["signatures_max"]
    expect(checks < many * many, "the bound would hold without limits")
    # One check costs less than a whole honest answer, which contains one.
    note = [f"honest: {usual.text()}", f"data: {outcome.text()}"]
    note += [_below("CPU ms a question", outcome.cpu_ms_each, checks * usual.cpu_ms_each)]
    note += [_below("messages a question", outcome.messages_each, 8 + COLD_MESSAGES_MAX / count)]
    keyed = scene.ask([f"www.keys{index}.test" for index in range(ZONES_WITH_DS)])
    keyed.expect_failures()
    note += [f"keys: {keyed.text()}"]
    note += [_below("CPU ms a question", keyed.cpu_ms_each, checks * usual.cpu_ms_each)]
    return "\n".join(note)


ZONES_WITH_DS = 10
# As many as an RRset of this size can have within a message.
DS_COUNT, DNSKEY_SIGNATURES = 300, 40


def _zones_with_many_ds(count: int, chance: random.Random) -> list[Zone]:
    """Zones each of whose keys of one tag is named by a DS: whoever compares all with all, hashes
    90,000 times for one question."""
    keys, tag = traps.colliding_keys(DS_COUNT, chance, traps.SHORT_BYTES)
    names = [f"keys{index}.test." for index in range(count)]
    return [
        Zone(
            name, f"{WWW}{traps.dnskey_lines(name, keys)}",
            ds=lambda _, name=name: traps.ds_lines(name, keys)[::-1],
            edit=traps.trap_keys(name, tag, DNSKEY_SIGNATURES, 3600, chance),
        )
        for name in names
    ]  # fmt: skip


@case
def deep_names_in_a_zone_with_many_nsec3_iterations_cost_a_bounded_number_of_hashes(run: Run) -> str:
    """CVE-2023-50868: names of 100 labels that do not exist, where each label is hashed 151 times; and
    the same where the denial never holds, so that every server is asked and everything hashed again."""
    count, deep = 40, 100
    signing = Signing(options=("-n", "-t", "150"))
    hosts = "\n".join(f"h{index} A 198.51.100.1" for index in range(50))
    spoiled = Zone("spoiled.test.", hosts, signing, edit=traps.spoil_apex_denial)
    # Each name must be proven anew.
    scene = Scene(run, [Zone("deep.test.", WWW, signing), spoiled], resolver={"aggressive_nsec": False})
    usual = scene.ask([f"u{index}.deep.test" for index in range(count)])
    expect(all(answer.rcode == dns.NXDOMAIN for answer in usual.answers), "names of one label fail")
    tail = ".".join("a" * deep)
    outcome = scene.ask([f"{tail}.x{index}.deep.test" for index in range(count)])
    for answer in outcome.answers:
        proven = answer.rcode == dns.NXDOMAIN or (answer.rcode == dns.SERVFAIL and answer.extended_error is not None)
        expect(proven, f"neither denied nor refused with a reason: {answer}")
    # What the labels more have cost is the price of their hashes.
    hash_ms = max(0.0, outcome.cpu_ms_each - usual.cpu_ms_each) / deep
    note = [f"one label: {usual.text()}", f"{deep} labels: {outcome.text()}"]
    note += [_below("messages a question", outcome.messages_each, 2 + COLD_MESSAGES_MAX / count)]
    bad = scene.ask([f"{tail}.x{index}.spoiled.test" for index in range(count)])
    bad.expect_failures()
    # The first reason is told; the trace says that the second server's reply was not hashed to its end.
    codes = {answer.extended_error for answer in bad.answers}
    expect(codes == {EDE_NSEC_MISSING}, f"extended errors {codes}")
    trace = scene.node.nexus("lookup", "--trace", f"{tail}.x{count}.spoiled.test", "A", check=False)
    expect("too many keys, signatures or hashes" in trace, trace)
    most = limits()["hashes_max"]
    expect(most < 2 * deep, "the bound would hold without limits")
    # Its two servers are asked in vain, for a part and for the whole name, and the first one again.
    messages = 6 + COLD_MESSAGES_MAX / count
    note += [f"spoiled: {bad.text()}", _below("messages a question", bad.messages_each, messages)]
    note += [_below("CPU ms a question", bad.cpu_ms_each, most * hash_ms + messages * usual.cpu_ms_each)]
    return "\n".join(note)


@case
def long_chains_of_aliases_end_and_cost_no_more_than_their_limit(run: Run) -> str:
    """Chains of 40 over two signed zones, loops, and many aliases of one chain."""
    count, length = 20, 40

    def chains(own: str, other: str) -> str:
        lines = [f"c{n}x{i} CNAME c{n}x{i + 1}.{other}.test." for n in range(count) for i in range(length)]
        lines += [f"loop{n} CNAME loop{n}.{other}.test." for n in range(count)]
        return "\n".join([*lines, *(f"c{n}x{length} A 198.51.100.1" for n in range(count))])

    hub = 9
    wide = [f"f{n} CNAME hub0" for n in range(200)] + [f"hub{i} CNAME hub{i + 1}" for i in range(hub)]
    zones = [
        Zone("bomba.test.", chains("bomba", "bombb"), server=3),
        Zone("bombb.test.", chains("bombb", "bomba"), server=4),
        Zone("wide.test.", "\n".join([*wide, f"hub{hub} A 198.51.100.1"]), None),
    ]
    scene = Scene(run, zones)
    aliases = limits()["aliases_max"]
    chain = scene.ask([f"c{n}x0.bomba.test" for n in range(count)])
    chain.expect_failures()
    note = [f"chain: {chain.text()}", _below("messages", chain.messages_each, aliases + 1 + COLD_MESSAGES_MAX / count)]
    expect(aliases + 1 < length, "the bound would hold without limits")
    loop = scene.ask([f"loop{n}.bomba.test" for n in range(count)])
    loop.expect_failures()
    note += [f"loop: {loop.text()}", _below("messages", loop.messages_each, 2 + COLD_MESSAGES_MAX / count)]
    fan = scene.ask([f"f{n}.wide.test" for n in range(200)], do=False)
    for answer in fan.answers:
        expect(answer.data("A") == ["198.51.100.1"], f"an alias of the hub fails: {answer}")
    note += [f"fan: {fan.text()}", _below("messages", fan.messages_each, 1 + (hub + COLD_MESSAGES_MAX) / 200)]
    return "\n".join(note)


FLOOD_RATE, FLOOD_S = 6000, 4
# `dataplane.punts_per_second`, as configured by default.
PUNT_RATE, PUNT_BURST = 2000, 4000
LIVE_RATE = 100
# For 95 of 100 names; clients wait for some seconds (RFC 1035 §4.2.1), but people do not.
LIVE_MS_MAX = 1000
# This machine may have other work. Who is late asks again; nobody is told that a name fails.
LIVE_LATE_MAX = 0.02


def _flood(scene: Scene, zone: str) -> str:
    names = [f"r{random.getrandbits(60):015x}.{zone}" for _ in range(FLOOD_RATE * FLOOD_S)]
    queries = load.write_queries(scene.world.run.path(f"{zone}queries"), names)
    live = [f"live{zone.replace('.', '-')}{index}.live.test" for index in range(LIVE_RATE * (FLOOD_S + 4))]
    dns.ask(scene.world.client, NODE_V4, f"first.{zone}")  # Servers and keys are known from now on.
    before = scene.meter.read()
    resolved = scene.node.counters().get("punts", 0)
    with load.Prober(scene.other, NODE_V4, live, LIVE_RATE) as prober:
        process = load.start_dnsperf(scene.world.client, NODE_V4, queries, FLOOD_RATE, FLOOD_S)
        paced = load.finish_dnsperf(process)
    work = scene.meter.read() - before
    punts = scene.node.counters().get("punts", 0) - resolved
    latencies_ms = [us / 1000 for us in prober.latencies_us()]
    usual = latencies_ms[len(latencies_ms) * 95 // 100]
    refused = [rcode for _, rcode in prober.answered.values() if rcode != dns.NOERROR]
    late = len(prober.sent) - len(prober.answered)
    timeouts = metric(scene.node, "nexus_resolver_timeouts_total")
    told = f"{zone} {len(prober.sent)} live names, {usual:.0f} ms for 95 %, {timeouts} timeouts, {work}"
    expect(not refused, f"{told}: codes {refused}")
    expect(late <= LIVE_LATE_MAX * len(prober.sent), f"{told}: {late} were not answered in {prober.WAIT_S:g} s")
    expect(usual <= LIVE_MS_MAX, told)
    expect(punts > 1000, f"{zone}: only {punts} questions reached control")
    # One message denies one name; live names cost one each, too.
    note = _below(f"{zone} messages a question of control's", work.messages / punts, 1.05)
    rate = PUNT_RATE * (FLOOD_S + 1) + PUNT_BURST + len(prober.sent)
    _below(f"{zone} questions that reached control", punts, rate)
    # Datagrams may be lost in a flood, none may be made up.
    expect(work.received <= work.messages, f"{zone}: authorities got {work.received}, sent {work.messages}")
    return (
        f"{note}; {paced.sent} asked, {punts} reached control; "
        f"{len(prober.sent)} live names, 95 % within {usual:.0f} ms, CPU {work.cpu_s:.1f} s"
    )


@case
def floods_of_names_that_do_not_exist_leave_live_names_answered(run: Run) -> str:
    """Random names of an unsigned and of a signed zone at three times what one client may ask of
    control: another client's names, new ones each time, are all answered."""
    scene = Scene(run, [Zone("flood.test.", WWW, None), Zone("floodsigned.test.", WWW, SECURE)])
    return "\n".join(_flood(scene, zone) for zone in ("flood.test.", "floodsigned.test."))


@case
def silent_servers_keep_nobody_waiting_but_those_who_ask_for_their_names(run: Run) -> str:
    """Thousands of names of zones whose servers take each question and never answer: all clients are
    told SERVFAIL and why in time, and another client's names are resolved as ever."""
    zones_count, servers_count, questions = 200, 20, 6_000
    body = "".join(
        f"silent{index} NS ns.silent{index}\nns.silent{index} A {_silent_v4(index % servers_count)}\n"
        for index in range(zones_count)
    )
    many = {"questions_max": 80_000}
    scene = Scene(run, [], test_body=body, resolver=many, dataplane={"punts_per_second": {"rate": 0}})
    scene.expect_live()
    with contextlib.ExitStack() as stack:
        for index in range(servers_count):
            address = _silent_v4(index)
            scene.authorities.add_address(INTERFACE, f"{address}/16")
            with scene.authorities.inside():
                silent = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            silent.bind((address, 53))
        answered, slowest_s, waiting = _ask_at_once(scene, zones_count, questions)
        live = [_timed(scene.expect_live) for _ in range(20)]
    lost = [line for line in scene.node.nexus("metrics").splitlines() if "drops" in line and not line.endswith(" 0")]
    expect(len(answered) == questions, f"{questions - len(answered)} questions were not answered; {lost}")
    codes = {answer.extended_error for answer in answered}
    expect(all(answer.rcode == dns.SERVFAIL for answer in answered), "something else than SERVFAIL")
    expect(None not in codes, f"no reason: {codes}")
    note = [f"{questions} questions, {waiting} waiting at once, {_rss_mib(scene):.0f} MiB, EDE {sorted(map(str, codes))}"]
    note += [_below("seconds to SERVFAIL", slowest_s, WAIT_S), f"live names within {max(live) * 1000:.0f} ms"]
    return "\n".join(note)


def _silent_v4(index: int) -> str:
    return f"10.53.9.{index + 1}"


def _timed(act: Callable[[], None]) -> float:
    started = time.monotonic()
    act()
    return time.monotonic() - started


def _rss_mib(scene: Scene) -> float:
    assert scene.node.control is not None
    return rss_bytes(scene.node.control.pid) / 2**20


def _ask_at_once(scene: Scene, zones_count: int, questions: int) -> tuple[list[dns.Message], float, int]:
    """Asks for names of all silent zones, and for a live one now and then; answers, the longest time
    until one, and how many waited when all had been asked."""
    ask = dns.opt()
    answers: dict[int, dns.Message] = {}
    with scene.world.client.inside():
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with client:
        client.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
        client.connect((NODE_V4, 53))
        sent_s, slowest_s, waiting = {}, 0.0, 0
        for index in range(questions):
            name = f"n{index}.silent{index % zones_count}.test"
            sent_s[index] = time.monotonic()
            client.send(dns.query(name, ident=index, additional=(ask,)))
            if index % 200 == 199:
                scene.expect_live()
                waiting = max(waiting, int(metric(scene.node, "nexus_resolver_waiting_questions")))
        end = time.monotonic() + WAIT_S
        while len(answers) < questions and (left := end - time.monotonic()) > 0:
            if select.select([client], [], [], left)[0]:
                answer = dns.decode(client.recv(65535))
                answers[answer.ident] = answer
                slowest_s = max(slowest_s, time.monotonic() - sent_s[answer.ident])
    return list(answers.values()), slowest_s, waiting
