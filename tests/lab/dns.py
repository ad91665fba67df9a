"""DNS messages as a client sees them: made, sent, taken apart. Only what tests ask about."""

from __future__ import annotations

import ipaddress
import random
import select
import socket
import struct
import time
from dataclasses import dataclass

from .hosts import Host

TYPES = {
    "A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "HINFO": 13, "MX": 15, "TXT": 16, "RP": 17, "AFSDB": 18,
    "AAAA": 28, "LOC": 29, "SRV": 33, "NAPTR": 35, "KX": 36, "DNAME": 39, "OPT": 41, "DS": 43, "SSHFP": 44,
    "RRSIG": 46, "NSEC": 47, "DNSKEY": 48, "NSEC3": 50, "NSEC3PARAM": 51, "TLSA": 52, "TYPE64": 64, "HTTPS": 65,
    "ANY": 255, "URI": 256, "CAA": 257, "TYPE65534": 65534,
}  # fmt: skip
# Octets before the names in their data, and how many names: those that may be compressed, or be
# spelled in any case (RFC 3597 §4, RFC 4034 §6.2).
NAMES_IN_DATA = {
    2: (0, 1), 5: (0, 1), 6: (0, 2), 12: (0, 1), 15: (2, 1), 17: (0, 2), 18: (2, 1), 33: (6, 1), 36: (2, 1),
    39: (0, 1),
}  # fmt: skip
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 2, 3, 4, 5, 16
HEADER = struct.Struct("!6H")


def encode_name(name: str) -> bytes:
    """Wire form of a name without escapes."""
    labels = [label.encode() for label in name.rstrip(".").split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def opt(size: int = 1232, *, version: int = 0, do: bool = False, options: bytes = b"") -> bytes:
    """An OPT record (RFC 6891 §6.1.2)."""
    flags = 0x8000 if do else 0
    return b"\0" + struct.pack("!HHBBHH", 41, size, 0, version, flags, len(options)) + options


def query(
    name: str,
    qtype: str = "A",
    *,
    ident: int | None = None,
    flags: int = 0x0100,
    additional: tuple[bytes, ...] = (),
) -> bytes:
    """A query with one question."""
    ident = random.randrange(0x10000) if ident is None else ident
    header = HEADER.pack(ident, flags, 1, 0, 0, len(additional))
    return header + encode_name(name) + struct.pack("!HH", TYPES[qtype], 1) + b"".join(additional)


@dataclass(frozen=True)
class Record:
    """One resource record; data as text for addresses and names, else as hexadecimal."""

    name: str
    rtype: int
    ttl: int
    data: str


@dataclass(frozen=True)
class Message:
    """A response."""

    ident: int
    flags: int
    rcode: int
    question: str
    answer: tuple[Record, ...]
    authority: tuple[Record, ...]
    additional: tuple[Record, ...]
    udp_size: int | None  # What its OPT says, if it has one.
    length: int
    extended_error: int | None = None  # INFO-CODE (RFC 8914).

    @property
    def truncated(self) -> bool:
        """The TC bit."""
        return bool(self.flags & 0x0200)

    @property
    def authoritative(self) -> bool:
        """The AA bit."""
        return bool(self.flags & 0x0400)

    def data(self, rtype: str) -> list[str]:
        """Data of the answers of one type."""
        return [record.data for record in self.answer if record.rtype == TYPES[rtype]]


def _name(message: bytes, offset: int) -> tuple[str, int]:
    labels, end, hops = [], None, 0
    while True:
        length = message[offset]
        if length >= 0xC0:
            end = end or offset + 2
            offset = struct.unpack_from("!H", message, offset)[0] & 0x3FFF
            hops += 1
            if hops > 64:
                raise ValueError("compression loop")
            continue
        offset += 1
        if length == 0:
            return ".".join(labels) + ".", end or offset
        labels.append(message[offset : offset + length].decode("latin-1"))
        offset += length


def _data_with_names(message: bytes, offset: int, end: int, before: int, names: int) -> str:
    """Names written out between the other octets, which are hexadecimal."""
    parts = [message[offset : offset + before].hex()] if before else []
    offset += before
    for _ in range(names):
        name, offset = _name(message, offset)
        parts.append(name)
    return " ".join([*parts, *([message[offset:end].hex()] if offset < end else [])])


def _record(message: bytes, offset: int) -> tuple[Record, int, int]:
    name, offset = _name(message, offset)
    rtype, rclass, ttl, length = struct.unpack_from("!HHIH", message, offset)
    start = offset + 10
    data = message[start : start + length]
    if len(data) != length:
        raise ValueError("record cut short")
    if rtype in (1, 28):
        text = str(ipaddress.ip_address(data))
    elif rtype in (2, 5):
        text = _name(message, start)[0]
    elif rtype in NAMES_IN_DATA:
        text = _data_with_names(message, start, start + length, *NAMES_IN_DATA[rtype])
    else:
        text = data.hex()
    return Record(name, rtype, ttl, text), rclass, start + length


def decode(message: bytes) -> Message:
    """Takes a whole message apart; ValueError, IndexError or struct.error if it is none."""
    ident, flags, questions, *counts = HEADER.unpack_from(message)
    offset, question, rcode, udp_size, extended_error = HEADER.size, "", flags & 15, None, None
    if questions:
        question, offset = _name(message, offset)
        offset += 4
    sections: list[tuple[Record, ...]] = []
    for count in counts:
        records = []
        for _ in range(count):
            record, rclass, offset = _record(message, offset)
            if record.rtype == 41:
                udp_size = rclass
                rcode |= (record.ttl >> 24) << 4
                extended_error = _extended_error(bytes.fromhex(record.data))
            else:
                records.append(record)
        sections.append(tuple(records))
    if offset != len(message):
        raise ValueError(f"{len(message) - offset} bytes behind the last record")
    return Message(ident, flags, rcode, question, *sections, udp_size, len(message), extended_error)


def _extended_error(options: bytes) -> int | None:
    """INFO-CODE of the first EXTENDED-ERROR option."""
    while len(options) >= 4:
        code, length = struct.unpack_from("!HH", options)
        if code == 15 and length >= 2:
            return struct.unpack_from("!H", options, 4)[0]
        options = options[4 + length :]
    return None


def udp_limit(query: bytes, most: int) -> int:
    """The largest answer to a query, of which the server sends `most` bytes at most (RFC 6891 §6.2.3)."""
    try:
        size = decode(query).udp_size
    except (ValueError, IndexError, struct.error):
        size = None  # Whoever cannot be understood has not said that he takes more.
    return max(512, min(most, size or 0))


class Client:
    """A UDP socket on a host, connected to one server."""

    def __init__(self, host: Host, server: str, port: int = 53) -> None:
        family = socket.AF_INET6 if ":" in server else socket.AF_INET
        with host.inside():
            self.socket = socket.socket(family, socket.SOCK_DGRAM)
            self.socket.connect((server, port))

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def exchange(self, message: bytes, timeout_s: float = 2.0) -> bytes | None:
        """Sends once; returns the answer with our id, or None when none came in time."""
        with_refusals_ignored(lambda: self.socket.send(message))
        deadline = time.monotonic() + timeout_s
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([self.socket], [], [], left)[0]:
                return None
            answer = with_refusals_ignored(lambda: self.socket.recv(65535))
            if answer and answer[:2] == message[:2]:
                return answer
        return None

    def ask(self, name: str, qtype: str = "A", *, tries: int = 3, timeout_s: float = 1.0) -> Message:
        """Asks up to `tries` times; TimeoutError if no answer came."""
        for _ in range(tries):
            answer = self.exchange(query(name, qtype, additional=(opt(),)), timeout_s)
            if answer is not None:
                return decode(answer)
        raise TimeoutError(f"no answer to {name} {qtype}")


def with_refusals_ignored(action):
    """A port that is closed for a moment answers with ICMP, which the next call reports."""
    try:
        return action()
    except OSError:
        return None


def ask(host: Host, server: str, name: str, qtype: str = "A", **options) -> Message:
    """One question from a fresh socket."""
    with Client(host, server) as client:
        return client.ask(name, qtype, **options)


def ask_tcp(host: Host, server: str, messages: list[bytes], timeout_s: float = 3.0) -> list[bytes]:
    """Sends messages on one TCP connection without waiting, and returns as many answers."""
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    with host.inside():
        connection = socket.socket(family, socket.SOCK_STREAM)
    with connection:
        connection.settimeout(timeout_s)
        connection.connect((server, 53))
        connection.sendall(b"".join(struct.pack("!H", len(m)) + m for m in messages))
        stream = connection.makefile("rb")
        answers = []
        for _ in messages:
            (length,) = struct.unpack("!H", stream.read(2))
            answers.append(stream.read(length))
        return answers
