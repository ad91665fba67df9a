"""Load from the client: kxdpgun and dnsperf for much of it, and a prober that sees every gap."""

from __future__ import annotations

import re
import select
import struct
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from . import dns
from .hosts import Host
from .process import LabError, Process
from .run import command


def write_queries(path: Path, names: list[str], qtype: str = "A") -> Path:
    """A file of questions, as dnsperf and kxdpgun read it."""
    path.write_text("".join(f"{name} {qtype}\n" for name in names))
    return path


@dataclass(frozen=True)
class Burst:
    """What came of one run of kxdpgun."""

    offered: float
    sent: float
    answered: float
    cpu_s: float = 0.0

    @property
    def loss(self) -> float:
        """Share of queries without answer."""
        return 1 - self.answered / self.sent if self.sent else 1.0


KXDPGUN_RETRIES = 10


def kxdpgun_arguments(
    interface: str,
    source: str,
    server: str,
    queries: Path,
    rate: float,
    seconds: float,
    batch: int,
    core: int = 0,
) -> list[str]:
    """Command line of kxdpgun, which pins its thread to a core whatever taskset says."""
    return [
        "kxdpgun", "-F", str(core), "-I", interface, "-l", source, "-t", f"{seconds:g}", "-Q", str(int(rate)),
        "-b", str(batch), "-i", str(queries), "-p", "53", server,
    ]  # fmt: skip


def read_kxdpgun(text: str, rate: float, seconds: float) -> Burst | None:
    """The totals that kxdpgun prints; None if it could not start."""
    sent = re.search(r"total queries: +(\d+)", text)
    answered = re.search(r"total replies: +(\d+)", text)
    if not sent or not answered:
        return None
    return Burst(rate, int(sent[1]) / seconds, int(answered[1]) / seconds)


def kxdpgun(
    host: Host,
    interface: str,
    source: str,
    server: str,
    queries: Path,
    rate: float,
    seconds: float = 2,
    batch: int = 32,
) -> Burst:
    """Sends at a rate and counts answers. Retries while the kernel still tears down the last run."""
    arguments = kxdpgun_arguments(interface, source, server, queries, rate, seconds, batch)
    for _ in range(KXDPGUN_RETRIES):
        try:
            text = host.command(*arguments, timeout_s=seconds + 30)
        except LabError as error:
            text = str(error)
        burst = read_kxdpgun(text, rate, seconds)
        if burst:
            return burst
        time.sleep(0.5)
    raise LabError(f"kxdpgun did not run:\n{text}")


@dataclass(frozen=True)
class Paced:
    """What came of one run of dnsperf."""

    sent: int
    completed: int
    lost: int
    rcodes: dict[str, int]
    rate: float

    @property
    def failures(self) -> int:
        """Answers other than NOERROR and NXDOMAIN."""
        return sum(n for code, n in self.rcodes.items() if code not in ("NOERROR", "NXDOMAIN"))


def start_dnsperf(
    host: Host,
    server: str,
    queries: Path,
    rate: int,
    seconds: float,
    *,
    timeout_s: float = 2,
    options: tuple[str, ...] = (),
    prefix: tuple[str, ...] = (),
) -> Process:
    """Starts dnsperf; read the result with `finish_dnsperf`. `options` come last and win; with `-u` the file
    has updates. `prefix` runs it by another program (taskset)."""
    return host.start(
        f"dnsperf-{time.monotonic_ns()}",
        [
            *prefix, "dnsperf", "-s", server, "-d", str(queries), "-l", f"{seconds:g}", "-Q", str(rate),
            "-t", f"{timeout_s:g}", "-q", "65000", "-c", "4", "-T", "1", "-W", *options,
        ],
    )  # fmt: skip


def finish_dnsperf(process: Process, timeout_s: float = 120) -> Paced:
    """Waits for dnsperf and reads its summary."""
    process.popen.wait(timeout_s)
    text = process.log_text()

    def number(label: str) -> int:
        found = re.search(rf"(?:Queries|Updates) {label}: +(\d+)", text)
        if not found:
            raise LabError(f"dnsperf printed no summary:\n{process.log_tail()}")
        return int(found[1])

    rcodes = {code: int(n) for code, n in re.findall(r"([A-Z]+) (\d+) \(", text)}
    rate = re.search(r"(?:Queries|Updates) per second: +([\d.]+)", text)
    return Paced(
        number("sent"),
        number("completed"),
        number("lost"),
        rcodes,
        float(rate[1]) if rate else 0.0,
    )


@dataclass
class Prober:
    """Asks at a steady rate from a thread, names in turn, and notes when each question was answered.

    It never retries: a question without answer is a question lost, and its time is known.
    """

    host: Host
    server: str
    names: list[str]
    rate: int = 500
    sent: dict[int, float] = field(default_factory=dict)
    answered: dict[int, tuple[float, int]] = field(default_factory=dict)

    WAIT_S = 2.0

    def __post_init__(self) -> None:
        self._client = dns.Client(self.host, self.server)
        self._client.socket.setblocking(False)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Prober:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    def finish(self) -> None:
        """Stops asking, then waits for the last answers."""
        self._stop.set()
        self._thread.join()
        self._client.socket.close()

    def _work(self) -> None:
        started, index = time.monotonic(), 0
        while not self._stop.is_set():
            due = started + index / self.rate
            now = time.monotonic()
            if now < due:
                self._read(due - now)
                continue
            # The id is the index, so a run may have at most 65536 questions.
            message = dns.query(self.names[index % len(self.names)], ident=index & 0xFFFF)
            self.sent[index & 0xFFFF] = now
            dns.with_refusals_ignored(lambda: self._client.socket.send(message))
            index += 1
        end = time.monotonic() + self.WAIT_S
        while len(self.answered) < len(self.sent) and (left := end - time.monotonic()) > 0:
            self._read(left)

    def _read(self, wait_s: float) -> None:
        if not select.select([self._client.socket], [], [], wait_s)[0]:
            return
        answer = dns.with_refusals_ignored(lambda: self._client.socket.recv(65535))
        if answer and len(answer) >= 12:
            ident, flags = struct.unpack_from("!HH", answer)
            self.answered.setdefault(ident, (time.monotonic(), flags & 15))

    def lost(self) -> list[float]:
        """When the questions that got no good answer were sent. Call it when finished."""
        good = {i for i, (_, rcode) in self.answered.items() if rcode in (dns.NOERROR, dns.NXDOMAIN)}
        return sorted(at for index, at in self.sent.items() if index not in good)

    def latencies_us(self) -> list[float]:
        """Sorted times from question to answer."""
        return sorted((at - self.sent[i]) * 1e6 for i, (at, _) in self.answered.items())

    def gap(self, since: float, until: float = float("inf")) -> float:
        """Seconds from `since` to the sending of the last question lost before `until`; 0 if none was."""
        lost = [at for at in self.lost() if since <= at < until]
        return max(lost) - since if lost else 0.0


def kdig(host: Host, server: str, *arguments: str) -> str:
    """kdig on a host; returns what it printed."""
    return command(
        "ip", "netns", "exec", host.namespace, "kdig", "+time=2", "+retry=2", f"@{server}", *arguments
    )
