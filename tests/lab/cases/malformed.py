"""Packets that are wrong, special or forged, sent raw: what the workers do, counted by reason."""

from __future__ import annotations

import random
import struct
from collections import Counter
from dataclasses import dataclass, replace

from .. import dns, zones
from ..appliance import gained, worker_answers
from ..dns import BADVERS, FORMERR, NOERROR, NOTIMP
from ..frames import ETH_P_8021AD, ETH_P_8021Q, Datagram, Flow, Wire, checksum, datagram
from ..run import Run
from ..runner import case, expect
from ..world import NODE_V4, NODE_V6, World

NAME = f"www.{zones.OWN_ZONE}"
WORKER, KERNEL, NOBODY = "worker", "kernel", "nobody"
DF, MF = 0x4000, 0x2000
UDP_MAX = 1232
ETHERNET_BYTES = 14
TTL_AT = ETHERNET_BYTES + 8


@dataclass(frozen=True)
class Sent:
    """One frame or more, and what must come back."""

    name: str
    frames: tuple[bytes, ...]
    by: str
    rcode: int | None = None
    counter: str | None = None
    tag: tuple[int, int] | None = None


def _message(*, header: tuple[int, ...] | None = None, tail: bytes = b"", question: bytes | None = None) -> bytes:
    """A query whose header words behind the id, question or tail are replaced."""
    words = header or (0x0100, 1, 0, 0, 0)
    body = dns.encode_name(NAME) + struct.pack("!HH", 1, 1) if question is None else question
    return struct.pack("!6H", random.randrange(0x10000), *words) + body + tail


def _frame_classes(flow: Flow) -> list[Sent]:
    """Frames, good, special and broken, around a good query."""
    query, version = _message(), 4 if "." in flow.source else 6
    tagged = flow.frame(query, tags=((ETH_P_8021Q, 7),))
    classes = [
        Sent("plain", (flow.frame(query),), WORKER, NOERROR),
        Sent("padded", (flow.frame(query, pad_to=400),), WORKER, NOERROR),
        Sent("one VLAN tag", (tagged,), WORKER, NOERROR, tag=(ETH_P_8021Q, 7)),
        Sent("VLAN tag with priority", (flow.frame(query, tags=((ETH_P_8021Q, 0xE007),)),), WORKER, NOERROR,
             tag=(ETH_P_8021Q, 0xE007)),
        Sent("QinQ", (flow.frame(query, tags=((ETH_P_8021AD, 7), (ETH_P_8021Q, 8))),), NOBODY),
        Sent("two 802.1Q tags", (flow.frame(query, tags=((ETH_P_8021Q, 7), (ETH_P_8021Q, 8))),), NOBODY),
        Sent("UDP length beyond the IP length", (flow.frame(query, udp_length=len(query) + 9),), NOBODY),
        Sent("UDP length below its header", (flow.frame(query, udp_length=7),), NOBODY),
        Sent("IP length beyond the frame", (flow.frame(query, ip_length=1400),), NOBODY),
        Sent("IP length below its headers", (flow.frame(query, ip_length=10 if version == 4 else 3),), NOBODY),
        Sent("foreign port", (replace(flow, target_port=5353).frame(query),), NOBODY),
        Sent("foreign address", (replace(flow, target="10.53.9.9" if version == 4 else "fd53::9:9").frame(query),),
             NOBODY),
        Sent("empty datagram", (flow.frame(b""),), NOBODY, counter="drops_short"),
    ]  # fmt: skip
    if version == 6:
        classes.append(Sent("extension header", (flow.frame(query, extension=True),), KERNEL, NOERROR))
        return classes
    whole = flow.frame(query)
    first, second = whole[14 + 20 : 14 + 20 + 24], whole[14 + 20 + 24 :]
    return classes + [
        Sent("IPv4 options", (flow.frame(query, ip_options=b"\x01\x01\x01\x00"),), KERNEL, NOERROR),
        Sent("don't fragment", (flow.frame(query, fragment=DF),), WORKER, NOERROR),
        Sent("first fragment alone", (_fragment(whole, first, MF, 7),), NOBODY),
        Sent("both fragments", (_fragment(whole, first, MF, 8), _fragment(whole, second, 3, 8)), KERNEL, NOERROR),
    ]


def _fragment(whole: bytes, part: bytes, field: int, ident: int) -> bytes:
    """A fragment of an IPv4 frame."""
    head = bytearray(whole[14:34])
    struct.pack_into("!HHH", head, 2, 20 + len(part), ident, field)
    head[10:12] = b"\0\0"
    struct.pack_into("!H", head, 10, checksum(bytes(head)))
    return whole[:14] + bytes(head) + part


def _message_classes(flow: Flow) -> list[Sent]:
    """Messages that no server may take for a query it can answer."""
    opt = dns.opt()
    pointer = b"\xc0\x0c\x00\x01\x00\x01"
    long_label = bytes([64]) + b"a" * 64 + b"\0\0\x01\0\x01"
    long_name = (bytes([63]) + b"a" * 63) * 4 + b"\0\0\x01\0\x01"
    named_opt = b"\x01a" + opt
    short_option = dns.opt(options=b"\0\x0a\0\x08abc")
    good = _message()

    def sent(name: str, message: bytes, rcode: int, counter: str) -> Sent:
        return Sent(name, (flow.frame(message),), WORKER, rcode, counter)

    return [
        Sent("response (QR=1)", (flow.frame(_message(header=(0x8180, 1, 0, 0, 0))),), NOBODY, None, "drops_response"),
        sent("opcode 1", _message(header=(0x0800, 1, 0, 0, 0)), NOTIMP, "errors_notimp"),
        sent("opcode 2", _message(header=(0x1000, 1, 0, 0, 0)), NOTIMP, "errors_notimp"),
        sent("opcode 15", _message(header=(0x7800, 1, 0, 0, 0)), NOTIMP, "errors_notimp"),
        sent("no question", _message(header=(0x0100, 0, 0, 0, 0), question=b""), FORMERR, "errors_formerr"),
        sent("two questions", _message(header=(0x0100, 2, 0, 0, 0), tail=good[12:]), FORMERR, "errors_formerr"),
        sent("question counted but not there", _message(question=b""), FORMERR, "errors_formerr"),
        sent("bytes behind the message", _message(tail=b"junk"), FORMERR, "errors_formerr"),
        sent("EDNS version 1", _message(header=(0x0100, 1, 0, 0, 1), tail=dns.opt(version=1)), BADVERS,
             "errors_badvers"),
        sent("two OPTs", _message(header=(0x0100, 1, 0, 0, 2), tail=opt + opt), FORMERR, "errors_formerr"),
        sent("OPT with a name", _message(header=(0x0100, 1, 0, 0, 1), tail=named_opt), FORMERR, "errors_formerr"),
        sent("option longer than its OPT", _message(header=(0x0100, 1, 0, 0, 1), tail=short_option), FORMERR,
             "errors_formerr"),
        sent("OPT counted but not there", _message(header=(0x0100, 1, 0, 0, 1)), FORMERR, "errors_formerr"),
        sent("compressed question", _message(question=pointer), FORMERR, "errors_formerr"),
        sent("label of 64 bytes", _message(question=long_label), FORMERR, "errors_formerr"),
        sent("name of 257 bytes", _message(question=long_name), FORMERR, "errors_formerr"),
        Sent("UDP length that cuts the question", (flow.frame(good, udp_length=len(good) + 4),), WORKER, FORMERR,
             "errors_formerr"),
    ]  # fmt: skip


def _ready(run: Run) -> World:
    world = World(run, authorities=False)
    world.node.start()
    world.warm([NAME])
    with dns.Client(world.client, NODE_V6) as client:
        client.ask(NAME)
    return world


def _answers(frames: list[bytes], flow: Flow) -> list[tuple[bytes, Datagram]]:
    """Frames that are answers to this flow."""
    found = []
    for frame in frames:
        got = datagram(frame)
        if got and got.target == flow.source and got.source_port == 53 and got.target_port == flow.source_port:
            found.append((frame, got))
    return found


def _check(world: World, wire: Wire, sent: Sent, flow: Flow) -> None:
    """Sends one class and compares answer, path and counter."""
    node, where = world.node, f"{sent.name} from {flow.source}"
    before = node.counters()
    for frame in sent.frames:
        wire.send(frame)
    came = _answers(wire.received(quiet_s=0.15), flow)
    moved = gained(before, node.counters())
    expect(len(came) == (0 if sent.by == NOBODY else 1), f"{where}: {len(came)} answers, {moved}")
    answered = worker_answers(moved)
    expect(answered == (1 if sent.by == WORKER else 0), f"{where}: workers answered {answered}: {moved}")
    if sent.counter:
        expect(moved.get(sent.counter) == 1, f"{where}: {sent.counter} not counted: {moved}")
    if not came:
        return
    frame, answer = came[0]
    expect(answer.checksum_good, f"{where}: wrong length or checksum in the answer")
    expect(answer.source == flow.target, f"{where}: answer from {answer.source}")
    message = dns.decode(answer.payload)
    expect(message.flags & 0x8000, f"{where}: the answer has QR=0")
    expect(message.rcode == sent.rcode, f"{where}: rcode {message.rcode} instead of {sent.rcode}")
    if sent.tag:
        expect(frame[12:16] == struct.pack("!HH", *sent.tag), f"{where}: answer without the tag")


@case
def every_class_of_frame_is_answered_passed_or_dropped(run: Run) -> str:
    """Padding, VLAN, QinQ, options, fragments, extension headers, wrong lengths, foreign targets."""
    world, count = _ready(run), 0
    with world.wire_to_node() as wire:
        for flow in world.flows():
            flow = replace(flow, source_port=20000)
            for sent in _frame_classes(flow):
                _check(world, wire, sent, flow)
                count += 1
    return f"{count} classes"


def _checksum_classes(flow: Flow) -> list[tuple[str, bytes, bool]]:
    """Frames around a good query with right and wrong checksums, and whether the kernel takes them."""
    query, is_v4 = _message(), "." in flow.source
    whole = flow.frame(query)
    classes = [
        ("right checksums", whole, True),
        ("wrong UDP checksum", _flipped(whole, len(whole) - len(query)), False),
        # "None" over IPv4; a receiver must discard it over IPv6 (RFC 8200 §8.1).
        ("UDP checksum 0", flow.frame(query, udp_checksum=0), is_v4),
    ]
    return classes + [("wrong IPv4 header checksum", _flipped(whole, TTL_AT), False)] * is_v4


def _flipped(frame: bytes, at: int) -> bytes:
    """The frame with one bit changed, and its checksums as they were."""
    return frame[:at] + bytes([frame[at] ^ 1]) + frame[at + 1 :]


@case
def wrong_checksums_are_answered_by_workers_and_not_by_the_kernel(run: Run) -> str:
    """Workers trust the link's own check, as knotd does in its XDP mode; the kernel path looks."""
    world = _ready(run)
    flows = [replace(flow, source_port=20003) for flow in world.flows()]
    sent = [(flow, *one) for flow in flows for one in _checksum_classes(flow)]
    with world.wire_to_node() as wire:
        for flow, name, frame, _ in sent:
            _check(world, wire, Sent(name, (frame,), WORKER, NOERROR), flow)
        assert world.node.dataplane is not None
        world.node.dataplane.stop()
        for flow, name, frame, by_kernel in sent:
            wire.send(frame)
            came = _answers(wire.received(quiet_s=0.15), flow)
            expect(len(came) == by_kernel, f"{name} from {flow.source}: the kernel path gave {len(came)} answers")
    return f"{len(sent)} classes on both paths"


@case
def a_frame_cut_at_every_byte_is_left_to_the_kernel(run: Run) -> str:
    """Inside its VLAN tag, IP or UDP header or the message: no worker sees it, nobody answers.
    Within the Ethernet header a packet socket cuts nothing."""
    world, count = _ready(run), 0
    host = world.node.host
    with world.wire_to_node() as wire:
        for flow in world.flows():
            for tags in ((), ((ETH_P_8021Q, 7),)):
                flow = replace(flow, source_port=20004)
                whole = flow.frame(_message(), tags=tags)
                cut = [whole[:size] for size in range(ETHERNET_BYTES, len(whole))]
                before, arrived = world.node.counters(), host.packets_received(world.node.interface)
                wire.replay(cut)
                came = _answers(wire.received(), flow)
                moved = gained(before, world.node.counters())
                arrived = host.packets_received(world.node.interface) - arrived
                expect(arrived >= len(cut), f"{arrived} of {len(cut)} frames arrived")
                expect(not came and "packets_received" not in moved, f"{len(came)} answers, {moved}")
                _check(world, wire, Sent("whole", (whole,), WORKER, NOERROR), flow)
                count += len(cut)
    return f"{count} frames"


@case
def every_class_of_message_is_refused_as_the_rfcs_say(run: Run) -> str:
    """FORMERR, NOTIMP, BADVERS or silence, each counted by reason."""
    world, count = _ready(run), 0
    with world.wire_to_node() as wire:
        for flow in world.flows():
            flow = replace(flow, source_port=20001)
            for sent in _message_classes(flow):
                _check(world, wire, sent, flow)
                count += 1
    return f"{count} classes"


@case
def a_query_cut_at_every_byte_is_formerr_or_silence(run: Run) -> str:
    """Below a header there is nothing to answer; from there on it is FORMERR until it is whole."""
    world = _ready(run)
    flow = replace(world.flows()[0], source_port=20002)
    whole = dns.query(NAME, additional=(dns.opt(options=b"\0\x0a\0\x08abcdefgh"),), ident=0)
    sizes = range(len(whole) + 1)
    before = world.node.counters()
    with world.wire_to_node() as wire:
        for size in sizes:
            wire.send(flow.frame((struct.pack("!H", size) + whole[2:])[:size]))
        came = {
            answer.payload[:2]: dns.decode(answer.payload).rcode
            for _, answer in _answers(wire.received(), flow)
        }
    moved = gained(before, world.node.counters())
    for size in sizes:
        rcode = came.get(struct.pack("!H", size))
        wanted = None if size < 12 else NOERROR if size == len(whole) else FORMERR
        expect(rcode == wanted, f"{size} of {len(whole)} bytes: rcode {rcode}, wanted {wanted}")
    expect(moved.get("drops_short") == 12, f"12 cut headers: {moved}")
    expect(moved.get("errors_formerr") == len(whole) - 12, f"{moved}")
    return f"{len(whole)} bytes"


FUZZ_FRAMES = 30_000
FUZZ_ROUNDS = 5
FUZZ_SLICE = 1000
FUZZ_SEED = 20261120


def _mutated(flow: Flow, random_: random.Random, ident: int) -> bytes:
    """A frame to the appliance with a few bytes changed, cut or added anywhere behind its hardware
    addresses (a switch learns from them); most of them only inside the DNS message, so that checks
    before it are passed."""
    extra = random_.choice([(), (dns.opt(random_.choice([0, 512, 1232, 4096])),)])
    label = random_.choice(["www", "middling", "big", f"x{random_.random()}"])
    qtype = random_.choice(["A", "TXT", "ANY"])
    query = dns.query(f"{label}.{zones.OWN_ZONE}", qtype, ident=ident, additional=extra)
    flow = replace(flow, source_port=random_.randrange(30000, 31000))
    inside = random_.random() < 0.7
    data = bytearray(query if inside else flow.frame(query))
    for _ in range(random_.randrange(1, 6)):
        at = random_.randrange(2 if inside else 12, len(data))
        match random_.randrange(4):
            case 0 | 1:
                data[at] = random_.randrange(256)
            case 2:
                del data[at : at + random_.randrange(1, 8)]
            case _:
                data[at:at] = random_.randbytes(random_.randrange(1, 8))
        if len(data) < 16:
            break
    frame = flow.frame(bytes(data)) if inside else bytes(data)
    return frame[:1514].ljust(14, b"\0")


def _limits(frames: list[bytes]) -> dict[tuple[str, int, bytes], list[int]]:
    """What may be answered: for each client, port and id of queries (QR=0) how long each answer may be."""
    limits: dict[tuple[str, int, bytes], list[int]] = {}
    for got in filter(None, map(datagram, frames)):
        if got.target_port == 53 and len(got.payload) >= 12 and not got.payload[2] & 0x80:
            key = (got.source, got.source_port, got.payload[:2])
            limits.setdefault(key, []).append(dns.udp_limit(got.payload, UDP_MAX))
    return limits


def _check_responses(responses: list[Datagram], limits: dict[tuple[str, int, bytes], list[int]]) -> None:
    """Each one answers a query that was sent, once, and is no longer than its client takes."""
    answered: Counter[tuple[str, int, bytes]] = Counter()
    for got in responses:
        size = len(got.payload)
        expect(got.checksum_good, f"answer with a wrong checksum: {got}")
        expect(size >= 12 and got.payload[2] & 0x80, f"not a response: {got.payload.hex()}")
        key = (got.target, got.target_port, got.payload[:2])
        expect(key in limits, f"an answer to what was no query: {got}")
        limit = max(limits[key])
        expect(size <= limit, f"{size} bytes for a client that takes {limit}: {got.payload.hex()}")
        answered[key] += 1
        expect(answered[key] <= FUZZ_ROUNDS * len(limits[key]), f"more answers than queries: {got}")


@case
def fuzzed_packets_at_full_rate_do_no_harm(run: Run) -> str:
    """No crash, no answer to QR=1, nothing larger than a client may get, no frame lost."""
    world = _ready(run)
    node, random_ = world.node, random.Random(FUZZ_SEED)
    flows = world.flows()
    frames = [_mutated(random_.choice(flows), random_, index) for index in range(FUZZ_FRAMES)]
    before = node.counters()
    answers, rates = [], []
    with world.wire_to_node() as wire:
        # Once at a pace at which they all arrive, then as fast as it goes.
        for start in range(0, FUZZ_FRAMES, FUZZ_SLICE):
            wire.replay(frames[start : start + FUZZ_SLICE])
            answers += wire.received(quiet_s=0.01)
        paced = gained(before, node.counters())
        expect(paced.get("errors_formerr", 0) > FUZZ_FRAMES / 2, f"little was tested: {paced}")
        for _ in range(FUZZ_ROUNDS - 1):
            rates.append(wire.replay(frames))
            answers += wire.received(quiet_s=0.5)
    responses = [got for got in map(datagram, answers) if got and got.source_port == 53]
    _check_responses(responses, _limits(frames))
    largest = max(len(got.payload) for got in responses)
    expect(largest > 512, f"no answer has more than {largest} bytes, so no limit was tested")
    for process in (node.dataplane, node.control):
        assert process is not None
        process.expect_running()
    world.warm([NAME])
    moved = gained(before, node.counters())
    expect(not node.counters().get("frames_lost"), f"frames lost: {moved}")
    return (
        f"seed {FUZZ_SEED}: {min(rates):.0f} to {max(rates):.0f} frames/s, {len(responses)} answers "
        f"to {FUZZ_ROUNDS * FUZZ_FRAMES} frames, {moved}"
    )


FORGED_FRAMES = 100_000


@case
def a_forged_response_is_never_answered(run: Run) -> str:
    """QR=1 at full rate, from port 53 of somebody else: silence, each one counted."""
    world = _ready(run)
    flow = replace(world.flows()[0], source_port=53)
    frame = flow.frame(_message(header=(0x8180, 1, 0, 0, 0)))
    before = world.node.counters()
    with world.wire_to_node() as wire:
        rate = wire.replay([frame] * FORGED_FRAMES)
        came = _answers(wire.received(), flow)
    moved = gained(before, world.node.counters())
    expect(not came, f"{len(came)} answers")
    expect(worker_answers(moved) == 0, f"{moved}")
    dropped = moved.get("drops_response", 0)
    expect(dropped == moved.get("packets_received") and dropped > FORGED_FRAMES / 10, f"{moved}")
    return f"{FORGED_FRAMES} sent at {rate:.0f} frames/s, {dropped} taken and dropped as responses"
