"""Updates of a zone (RFC 2136) under a key (RFC 8945) as a client sends them, and clients that write and
read registers at many nodes and note what they saw, for `sim check-history`."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import random
import re
import socket
import struct
import subprocess
import threading
import time
from pathlib import Path

from . import dns
from .appliance import program_folder
from .hosts import Host
from .runner import Failed, Skipped

YXRRSET, NXRRSET, NOTAUTH = 7, 8, 9
CLASS_IN, CLASS_NONE, CLASS_ANY = 1, 254, 255
UPDATE_FLAGS = 5 << 11
TSIG_TYPE, FUDGE_S = 250, 300
ALGORITHM = "hmac-sha256."
# An answer comes within the ten seconds of docs/operating.md; who waits longer has lost a datagram.
PATIENCE_S = 12.0


def record(name: str, rtype: str, data: bytes = b"", *, ttl: int = 0, rclass: int = CLASS_IN) -> bytes:
    """One record as it stands in an update."""
    return dns.encode_name(name) + struct.pack("!HHIH", dns.TYPES[rtype], rclass, ttl, len(data)) + data


def text(value: str) -> bytes:
    """Data of a TXT record."""
    return bytes([len(value)]) + value.encode()


def add(name: str, rtype: str, data: bytes) -> bytes:
    """Adds a record."""
    return record(name, rtype, data, ttl=60)


def delete(name: str, rtype: str) -> bytes:
    """Deletes a set."""
    return record(name, rtype, rclass=CLASS_ANY)


def absent(name: str, rtype: str) -> bytes:
    """Prerequisite: there is no such set."""
    return record(name, rtype, rclass=CLASS_NONE)


def equal(name: str, rtype: str, data: bytes) -> bytes:
    """Prerequisite: the set is this one record."""
    return record(name, rtype, data)


def message(zone: str, prerequisites: list[bytes], changes: list[bytes]) -> bytes:
    """An UPDATE without a signature."""
    ident = random.randrange(0x10000)
    header = dns.HEADER.pack(ident, UPDATE_FLAGS, 1, len(prerequisites), len(changes), 0)
    question = dns.encode_name(zone) + struct.pack("!HH", dns.TYPES["SOA"], CLASS_IN)
    return header + question + b"".join(prerequisites) + b"".join(changes)


def sign(unsigned: bytes, key: str, secret: str) -> bytes:
    """The same with a TSIG record behind it (RFC 8945 §4.3)."""
    now = int(time.time())
    name, algorithm = dns.encode_name(key), dns.encode_name(ALGORITHM)
    moment = struct.pack("!HIH", now >> 32, now & 0xFFFFFFFF, FUDGE_S)
    variables = name + struct.pack("!HI", CLASS_ANY, 0) + algorithm + moment + struct.pack("!HH", 0, 0)
    mac = hmac.new(base64.b64decode(secret), unsigned + variables, hashlib.sha256).digest()
    data = algorithm + moment + struct.pack("!H", len(mac)) + mac + unsigned[:2] + struct.pack("!HH", 0, 0)
    tsig = name + struct.pack("!HHIH", TSIG_TYPE, CLASS_ANY, 0, len(data)) + data
    (additional,) = struct.unpack_from("!H", unsigned, 10)
    return unsigned[:10] + struct.pack("!H", additional + 1) + unsigned[12:] + tsig


class Updater(dns.Client):
    """A client that updates one zone at one node."""

    def __init__(self, host: Host, server: str, zone: str, key: tuple[str, str]) -> None:
        super().__init__(host, server)
        self.zone, self.key = zone, key

    def update(
        self, *changes: bytes, prerequisites: tuple[bytes, ...] = (), timeout_s: float = PATIENCE_S
    ) -> int | None:
        """Sends once; the RCODE of the answer, None if none came."""
        signed = sign(message(self.zone, list(prerequisites), list(changes)), *self.key)
        answer = self.exchange(signed, timeout_s)
        return None if answer is None else answer[3] & 15


class History:
    """What clients did to registers and what they saw, a line an operation."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = threading.Lock()
        self.lines: list[dict] = []

    def note(self, process: str, op: str, key: str, value: str | None, call: int, end: int | None) -> None:
        """One operation; `end` is None if nobody knows whether it took place."""
        line = {"process": process, "op": op, "key": key, "value": value, "call": call, "return": end}
        with self.lock:
            self.lines.append(line)

    def acknowledged(self) -> list[dict]:
        """Writes that a client was told of, in the order of that."""
        with self.lock:
            done = [line for line in self.lines if line["op"] == "write" and line["return"] is not None]
        return sorted(done, key=lambda line: line["return"])

    def gap_s(self, since: int) -> float:
        """The first acknowledgement of a write that began after `since`: how much later it came."""
        later = [line["return"] for line in self.acknowledged() if line["call"] > since]
        return (min(later) - since) / 1e6 if later else float("inf")

    def judge(self) -> str:
        """What `sim check-history` says; Failed unless it could have happened one after the other."""
        sim = program_folder() / "sim"
        if not sim.exists():
            raise Skipped(f"{sim} was not built")
        with self.lock:
            self.path.write_text("".join(json.dumps(line) + "\n" for line in self.lines))
        judged = subprocess.run(
            [sim, "check-history", self.path], capture_output=True, text=True, timeout=60, check=False
        )
        if judged.returncode != 0:
            raise Failed(f"{judged.stdout}{judged.stderr}history: {self.path}")
        return judged.stdout.strip()


def now_us() -> int:
    """The clock of histories."""
    return time.monotonic_ns() // 1000


class Clients:
    """Threads that write and read TXT sets through any of the nodes until they are stopped.

    A write also leaves a name of its own behind, so that one that is lost is missed for ever. A reader asks
    `nexus zone show --linearizable` for all registers of a node at once. A prober's read is an update whose only part is the prerequisite that the set is what some node has just
    shown: it takes its place in the order, and its success says what was there then.
    """

    WAIT_S, READ_WAIT_S = 1.5, 3.0

    def __init__(
        self, mesh, *, seed: int, writers: int = 4, probers: int = 2, readers: int = 1, registers: int = 8,
        pause_s: float = 0.0,
    ) -> None:  # fmt: skip
        self.mesh, self.seed, self.registers, self.pause_s = mesh, seed, registers, pause_s
        self.history = History(mesh.run.path("history.jsonl"))
        self.stopping = threading.Event()
        self.errors: list[Exception] = []
        self.reads_unsure = self.reads_whole = 0
        bodies = [(self._write, f"w{index}") for index in range(writers)]
        bodies += [(self._probe, f"p{index}") for index in range(probers)]
        bodies += [(self._read, f"r{index}") for index in range(readers)]
        self.threads = [threading.Thread(target=self._run, args=body, daemon=True) for body in bodies]

    def __enter__(self) -> Clients:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends them; each has its answer or has given up. Raises what one of them fell over."""
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        if self.errors:
            raise self.errors[0]

    def trace(self, value: str) -> str:
        """The name that the write of a value leaves behind."""
        return f"{value}.log.{self.mesh.zone}"

    def name(self, register: int) -> str:
        """Where a register lies."""
        return f"reg{register}.{self.mesh.zone}"

    def _run(self, body, process: str) -> None:
        try:
            self._work(body, process)
        except Exception as error:  # Raised where they are stopped.
            self.errors.append(error)

    def _work(self, body, process: str) -> None:
        chance = random.Random(f"{self.seed}/{process}")
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(self.mesh.updater(node)) for node in self.mesh.appliances]
            count = 0
            while not self.stopping.is_set():
                count += 1
                body(process, count, chance, clients)
                time.sleep(self.pause_s)

    def _write(self, process: str, count: int, chance: random.Random, clients: list[Updater]) -> None:
        register, value = chance.randrange(self.registers), f"{process}-{count}"
        name, call = self.name(register), now_us()
        code = chance.choice(clients).update(
            delete(name, "TXT"),
            add(name, "TXT", text(value)),
            add(self.trace(value), "A", bytes(4)),
            timeout_s=self.WAIT_S,
        )
        end = now_us() if code == dns.NOERROR else None
        self.history.note(process, "write", f"reg{register}", value, call, end)

    def _read(self, process: str, _count: int, chance: random.Random, _clients: list[Updater]) -> None:
        node, call = chance.choice(self.mesh.appliances), now_us()
        zone = self.mesh.zone_text(node, self.READ_WAIT_S)
        if zone is None:
            return
        end = now_us()
        found = dict(re.findall(r"^(reg\d+)\S*\s.*\bTXT\s+\"?([^\"\s]+)", zone, re.MULTILINE))
        for register in range(self.registers):
            key = f"reg{register}"
            self.history.note(process, "read", key, found.get(key), call, end)
        self.reads_whole += 1

    def _probe(self, process: str, _count: int, chance: random.Random, clients: list[Updater]) -> None:
        register = chance.randrange(self.registers)
        name = self.name(register)
        shown = shown_text(chance.choice(clients), name)
        if shown is NOTHING:
            return
        wanted = absent(name, "TXT") if shown is None else equal(name, "TXT", text(shown))
        call = now_us()
        code = chance.choice(clients).update(prerequisites=(wanted,), timeout_s=self.WAIT_S)
        if code == dns.NOERROR:
            self.history.note(process, "read", f"reg{register}", shown, call, now_us())
        else:
            self.reads_unsure += 1

    def read_everywhere(self) -> None:
        """Reads each register at each node from what that serves, when all has come to rest."""
        for register in range(self.registers):
            for node in self.mesh.appliances:
                with self.mesh.updater(node) as client:
                    call = now_us()
                    shown = shown_text(client, self.name(register), tries=5)
                    if shown is NOTHING:
                        raise Failed(f"{node.host.name} does not answer for {self.name(register)}")
                    self.history.note("end", "read", f"reg{register}", shown, call, now_us())


NOTHING = object()


def shown_text(client: dns.Client, name: str, *, tries: int = 1) -> str | None | object:
    """The text of a TXT set; None if there is none, NOTHING if there was no answer."""
    try:
        answer = client.ask(name, "TXT", tries=tries, timeout_s=1.0)
    except (TimeoutError, socket.error, ValueError):
        return NOTHING
    if answer.rcode not in (dns.NOERROR, dns.NXDOMAIN):
        return NOTHING
    data = answer.data("TXT")
    return bytes.fromhex(data[0])[1:].decode() if data else None
