"""An authoritative server that answers as no server should: each answer is one way of being wrong,
chosen by chance from a seed."""

from __future__ import annotations

import contextlib
import random
import select
import socket
import struct
import threading
import time
from typing import Callable

from . import dns
from .hosts import Host

ADDRESS = "198.51.100.7"
DELAY_S_MAX = 3.0
DUPLICATES = 50
TCP_WAIT_S = 2.0


def question_end(query: bytes) -> int:
    """Where the only question of a query ends."""
    offset = dns.HEADER.size
    while query[offset]:
        offset += 1 + query[offset]
    return offset + 5


def reply(
    query: bytes,
    *,
    flags: int = 0x8400,
    answer: bytes = b"",
    authority: bytes = b"",
    additional: bytes = b"",
    counts: tuple[int, int, int] = (0, 0, 0),
) -> bytes:
    """A reply with the question of the query and these records."""
    head = query[:2] + struct.pack("!5H", flags, 1, *counts)
    return head + query[dns.HEADER.size : question_end(query)] + answer + authority + additional


def record(owner: bytes, rtype: int, data: bytes, ttl: int = 300) -> bytes:
    """One record of class IN."""
    return owner + struct.pack("!HHIH", rtype, 1, ttl, len(data)) + data


QNAME = b"\xc0\x0c"  # A pointer to the question.


def zone_of(query: bytes) -> bytes:
    """The last two labels of the name that is asked for."""
    name = query[dns.HEADER.size : question_end(query) - 4]
    starts, offset = [], 0
    while name[offset]:
        starts.append(offset)
        offset += 1 + name[offset]
    return name[starts[-2] :] if len(starts) > 1 else name


def sound(query: bytes) -> bytes:
    """What a good server would say: an address, or that there is no such data."""
    (qtype,) = struct.unpack_from("!H", query, question_end(query) - 4)
    if qtype == 1:
        return reply(query, answer=record(QNAME, 1, socket.inet_aton(ADDRESS)), counts=(1, 0, 0))
    return reply(query, authority=record(QNAME, 6, b"\0\0" + struct.pack("!5I", 1, 2, 3, 4, 5)), counts=(0, 1, 0))


Way = Callable[[bytes, random.Random], list[bytes]]


def _flipped(query: bytes, chance: random.Random) -> list[bytes]:
    message = bytearray(sound(query))
    for _ in range(chance.randint(1, 8)):
        message[chance.randrange(2, len(message))] ^= 1 << chance.randrange(8)
    return [bytes(message)]


def _other_question(query: bytes, chance: random.Random) -> list[bytes]:
    other = dns.query(f"x{chance.randrange(1000)}.elsewhere.test", ident=int.from_bytes(query[:2], "big"))
    return [sound(other)]


def _alias(query: bytes, chance: random.Random) -> list[bytes]:
    targets = (QNAME, b"\x01a" + QNAME, b"\x01*\xc0\x0c", b"\x04test\0", b"\0")
    return [reply(query, answer=record(QNAME, 5, chance.choice(targets)), counts=(1, 0, 0))]


def _dname(query: bytes, _: random.Random) -> list[bytes]:
    """Into itself: each name leads to a longer one."""
    zone = zone_of(query)
    return [reply(query, answer=record(zone, 39, b"\x01x" + zone), counts=(1, 0, 0))]


def _referral(query: bytes, chance: random.Random) -> list[bytes]:
    zones = (QNAME, zone_of(query), b"\x04test\0", b"\0", b"\x01y" + QNAME)
    server = chance.choice((b"\x02ns" + QNAME, b"\x02ns" + zone_of(query), QNAME))
    glue = record(server, 1, chance.randbytes(4)) if chance.random() < 0.5 else b""
    authority = record(chance.choice(zones), 2, server)
    return [reply(query, flags=0x8000, authority=authority, additional=glue, counts=(0, 1, 1 if glue else 0))]


def _many(query: bytes, chance: random.Random) -> list[bytes]:
    count = chance.randint(100, 1500)
    records = b"".join(record(QNAME, 1, chance.randbytes(4)) for _ in range(count))
    return [reply(query, answer=records, counts=(count, 0, 0))]


def _loop(query: bytes, _: random.Random) -> list[bytes]:
    """A name that is a pointer to itself."""
    own = question_end(query)
    return [reply(query, answer=record(struct.pack("!H", 0xC000 | own), 1, bytes(4)), counts=(1, 0, 0))]


def _forged_signatures(query: bytes, chance: random.Random) -> list[bytes]:
    rrsig = struct.pack("!HBBIIIH", 1, 13, 2, 300, 2**31 - 1, 0, 1) + zone_of(query) + chance.randbytes(64)
    answer = record(QNAME, 1, bytes(4)) + b"".join(record(QNAME, 46, rrsig) for _ in range(5))
    nsec = record(QNAME, 47, b"\0" + chance.randbytes(chance.randint(0, 40)))
    return [reply(query, answer=answer, authority=nsec, counts=(6, 1, 0))]


WAYS: dict[str, Way] = {
    "sound": lambda query, _: [sound(query)],
    "nothing": lambda query, _: [],
    "noise": lambda _, chance: [chance.randbytes(chance.randint(0, 1500))],
    "noise behind id": lambda query, chance: [query[:2] + chance.randbytes(chance.randint(0, 1200))],
    "cut": lambda query, chance: [sound(query)[: chance.randint(0, 60)]],
    "flipped": _flipped,
    "other id": lambda query, chance: [chance.randbytes(2) + sound(query)[2:]],
    "other question": _other_question,
    "other case": lambda query, _: [sound(query).swapcase()],
    "the query itself": lambda query, _: [query],
    "truncated": lambda query, _: [reply(query, flags=0x8600)],
    "any code": lambda query, chance: [reply(query, flags=0x8400 | chance.randrange(16))],
    "counts that lie": lambda query, chance: [reply(query, counts=tuple(chance.randrange(0x10000) for _ in range(3)))],
    "duplicates": lambda query, _: [sound(query)] * DUPLICATES,
    "wrong, then right": lambda query, chance: [chance.randbytes(2) + sound(query)[2:], sound(query)],
    "behind the end": lambda query, chance: [sound(query) + chance.randbytes(20)],
    "alias": _alias,
    "dname": _dname,
    "referral": _referral,
    "many": _many,
    "loop": _loop,
    "signatures": _forged_signatures,
}
TCP_ENDS = ("whole", "close", "reset", "length only", "half", "dribble", "wrong length", "half-close", "silence")


class Server:
    """Answers on UDP and TCP at some addresses until it is closed."""

    def __init__(self, host: Host, addresses: list[str], seed: int) -> None:
        self.chance = random.Random(seed)
        self.used: dict[str, int] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._datagrams = [_bound(host, address, socket.SOCK_DGRAM) for address in addresses]
        self._listeners = [_bound(host, address, socket.SOCK_STREAM) for address in addresses]
        self._late: list[tuple[float, bytes, socket.socket, object]] = []
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        for one in (*self._datagrams, *self._listeners):
            one.close()

    def _choose(self) -> tuple[Way, random.Random]:
        """A way to be wrong, and the chance it takes: both follow from the seed and the count of questions."""
        with self._lock:
            name = self.chance.choice(list(WAYS))
            self.used[name] = self.used.get(name, 0) + 1
            return WAYS[name], random.Random(self.chance.getrandbits(64))

    def _work(self) -> None:
        while not self._stop.is_set():
            ready, _, _ = select.select([*self._datagrams, *self._listeners], [], [], 0.02)
            for one in ready:
                if one in self._datagrams:
                    self._on_datagram(one)
                    continue
                connection, _ = one.accept()
                threading.Thread(target=self._on_connection, args=(connection,), daemon=True).start()
            now = time.monotonic()
            for due in [late for late in self._late if late[0] <= now]:
                self._late.remove(due)
                _send(*due[1:])

    def _on_datagram(self, one: socket.socket) -> None:
        query, sender = one.recvfrom(65535)
        way, chance = self._choose()
        delay = chance.uniform(0, DELAY_S_MAX) if chance.random() < 0.1 else 0.0
        for message in way(query, chance):
            if delay:
                self._late.append((time.monotonic() + delay, message, one, sender))
            else:
                _send(message, one, sender)

    def _on_connection(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, struct.error):
            connection.settimeout(TCP_WAIT_S)
            stream = connection.makefile("rb")
            (length,) = struct.unpack("!H", stream.read(2))
            query = stream.read(length)
            way, chance = self._choose()
            message = b"".join(way(query, chance)[:1])[:65535]
            self._end(connection, struct.pack("!H", len(message)) + message, chance)

    def _end(self, connection: socket.socket, framed: bytes, chance: random.Random) -> None:
        end = chance.choice(TCP_ENDS)
        with self._lock:
            self.used[f"tcp {end}"] = self.used.get(f"tcp {end}", 0) + 1
        if end == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif end == "length only":
            connection.sendall(framed[:2])
        elif end == "half":
            connection.sendall(framed[: len(framed) // 2])
        elif end == "dribble":
            for byte in framed[:20]:
                connection.sendall(bytes([byte]))
                time.sleep(0.02)
        elif end == "wrong length":
            connection.sendall(struct.pack("!H", chance.randrange(0x10000)) + framed[2:])
        elif end == "half-close":
            connection.sendall(framed[: chance.randint(0, len(framed))])
            connection.shutdown(socket.SHUT_WR)
            connection.recv(1)
        elif end == "silence":
            connection.recv(1)
        elif end == "whole":
            connection.sendall(framed)


def _bound(host: Host, address: str, kind: int) -> socket.socket:
    with host.inside():
        one = socket.socket(socket.AF_INET, kind)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind((address, 53))
    if kind == socket.SOCK_STREAM:
        one.listen(64)
    return one


def _send(message: bytes, one: socket.socket, sender: object) -> None:
    with contextlib.suppress(OSError):  # Longer than a datagram can be, or nobody there.
        one.sendto(message, sender)
