"""The machine: whether it is quiet enough to measure on, and the facts that belong to a figure."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from pathlib import Path

from lab.process import CLOCK_TICKS, cpu_seconds

# Share of one core that everything but server and generator may use during a sample.
FOREIGN_MAX = 0.12
QUIET_LOOK_S = 0.4


def busy_seconds() -> float:
    """CPU time of the whole machine so far, in all processes and interrupts; also time stolen."""
    fields = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    user, nice, system, _idle, _wait, irq, softirq, steal = fields[:8]
    return (user + nice + system + irq + softirq + steal) / CLOCK_TICKS


def softirq_threads() -> list[int]:
    """Pids of the kernel threads that process packets when interrupts do not suffice."""
    found = []
    for comm in Path("/proc").glob("[0-9]*/comm"):
        try:
            if comm.read_text().startswith(("ksoftirqd/", "napi/")):
                found.append(int(comm.parent.name))
        except OSError:
            continue
    return found


class Usage:
    """CPU time of some processes, and of all others, between now and `stop`."""

    def __init__(self, pids: list[int]) -> None:
        self.pids = pids
        self.threads = softirq_threads()
        self.started = time.monotonic()
        self.own = {pid: cpu_seconds(pid) for pid in pids}
        self.softirq = sum(cpu_seconds(pid) for pid in self.threads)
        self.busy = busy_seconds()

    def stop(self, generator_s: float) -> tuple[float, float, float]:
        """Seconds of these processes, of softirq threads, and share of a core that others took."""
        busy = busy_seconds() - self.busy
        own = sum(cpu_seconds(pid) - before for pid, before in self.own.items())
        softirq = sum(cpu_seconds(pid) for pid in self.threads) - self.softirq
        foreign = max(0.0, busy - own - softirq - generator_s)
        return own, softirq, foreign / (time.monotonic() - self.started)


def wait_for_quiet(timeout_s: float) -> bool:
    """Waits until hardly anything else runs; false when the machine stays busy."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        before = busy_seconds()
        time.sleep(QUIET_LOOK_S)
        if (busy_seconds() - before) / QUIET_LOOK_S < FOREIGN_MAX:
            return True
    return False


def _first_line(*command: str) -> str:
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return "not installed"
    lines = (result.stdout + result.stderr).strip().splitlines()
    return lines[0] if lines else "unknown"


def facts() -> dict[str, str]:
    """What a reader must know to compare a figure with another."""
    cpu = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    here = str(Path(__file__).parent)
    return {
        "cpu": f"{len(cpu)} × {cpu[0] if cpu else platform.machine()}",
        "cores": str(len(os.sched_getaffinity(0))),
        "kernel": platform.release(),
        "knot": _first_line("knotd", "--version"),
        "nsd": _first_line("nsd", "-v"),
        "dnsperf": _first_line("sh", "-c", "dnsperf -h 2>&1 | grep -m1 -i version || dpkg-query -W dnsperf"),
        "commit": _first_line("git", "-C", here, "rev-parse", "--short", "HEAD"),
        "date": time.strftime("%Y-%m-%d"),
    }
