"""Time from question to answer, at a load: each question's own, by the kernel's receive time stamp.

The question's time is taken just before it is sent, the answer's by the kernel when it arrives, so
that the prober's own wake-up is not measured; everything on the way and in the server is.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import subprocess
import time
from dataclasses import dataclass

from lab import dns, load

from .bed import CLIENT_V4, GENERATOR_CORE, INTERFACE, SERVER_V4, Bed, pinned
from .contestants import FIRST_NAME, Contestant

PROBES_PER_SECOND = 100
SO_TIMESTAMPNS = 35
# kxdpgun takes every UDP packet to port 2000 and above from the interface.
PROBE_PORTS = range(1100, 1900)
DNSPERF_RATE_MAX = 20_000
SETTLE_S = 0.5


@dataclass(frozen=True)
class Latency:
    """Percentiles in microseconds."""

    load: float
    probes: int
    lost: int
    p50_us: float
    p90_us: float
    p99_us: float
    max_us: float


def measure(bed: Bed, server: Contestant, rate: float, seconds: float) -> Latency:
    """Probes a server while the generator asks `rate` questions a second besides."""
    background = _background(bed, max(0.0, rate - PROBES_PER_SECOND), seconds + 2 * SETTLE_S + 1)
    # Wherever the scheduler puts the prober decides whether an answer wakes a sleeping core.
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {GENERATOR_CORE})
    try:
        time.sleep(SETTLE_S + (0.5 if background else 0))
        times, lost = _probe(bed, seconds)
    finally:
        os.sched_setaffinity(0, cores)
        if background:
            background.wait()
    times.sort()

    def percentile(share: float) -> float:
        return times[min(len(times) - 1, int(share * len(times)))] if times else float("nan")

    return Latency(
        rate, len(times) + lost, lost,
        percentile(0.5), percentile(0.9), percentile(0.99), percentile(1.0),
    )  # fmt: skip


def _background(bed: Bed, rate: float, seconds: float) -> subprocess.Popen | None:
    """dnsperf as far as it goes, since it spaces its questions evenly; kxdpgun beyond."""
    if rate <= 0:
        return None
    inside = ["ip", "netns", "exec", bed.client.namespace, *pinned(GENERATOR_CORE)]
    if rate <= DNSPERF_RATE_MAX:
        arguments = [
            "dnsperf", "-s", SERVER_V4, "-d", str(bed.queries), "-l", f"{seconds:g}",
            "-Q", str(int(rate)), "-q", "10000", "-c", "4",
        ]  # fmt: skip
    else:
        arguments = load.kxdpgun_arguments(
            INTERFACE, CLIENT_V4, SERVER_V4, bed.queries, rate, seconds, 10, GENERATOR_CORE
        )
    return subprocess.Popen(
        [*inside, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def _probe(bed: Bed, seconds: float) -> tuple[list[float], int]:
    """Asks for one name from changing ports, one question at a time; times in microseconds."""
    with bed.client.inside():
        probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with probe:
        probe.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        probe.bind((CLIENT_V4, PROBE_PORTS[time.monotonic_ns() % len(PROBE_PORTS)]))
        probe.connect((SERVER_V4, 53))
        started, times, lost = time.monotonic(), [], 0
        for index in range(int(seconds * PROBES_PER_SECOND)):
            time.sleep(max(0.0, started + index / PROBES_PER_SECOND - time.monotonic()))
            elapsed = _ask(probe, dns.query(FIRST_NAME, ident=index & 0xFFFF))
            if elapsed is None:
                lost += 1
            else:
                times.append(elapsed)
        return times, lost


def _ask(probe: socket.socket, message: bytes) -> float | None:
    sent_ns = time.clock_gettime_ns(time.CLOCK_REALTIME)
    probe.send(message)
    while select.select([probe], [], [], 0.5)[0]:
        answer, ancillary, _, _ = probe.recvmsg(2048, 64)
        if answer[:2] == message[:2]:
            for level, kind, data in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
                    seconds, nanoseconds = struct.unpack("qq", data)
                    return (seconds * 1_000_000_000 + nanoseconds - sent_ns) / 1000
    return None
