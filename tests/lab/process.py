"""A child process in a namespace: started with its log in a file, ended by its pid."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import time
from pathlib import Path
from typing import Callable, Sequence

TERM_GRACE_S = 10.0
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = resource.getpagesize()


class LabError(Exception):
    """Something of the lab itself did not work; the text is for people."""


def wait_until(condition: Callable[[], object], timeout_s: float, what: str) -> float:
    """Polls until `condition` is true and returns the seconds it took; LabError after `timeout_s`."""
    started = time.monotonic()
    while True:
        if condition():
            return time.monotonic() - started
        if time.monotonic() - started > timeout_s:
            raise LabError(f"after {timeout_s:g} s still not: {what}")
        time.sleep(0.01)


def start_time(pid: int) -> int | None:
    """Start of a process in clock ticks since boot: with the pid it names one process for good."""
    fields = _stat_fields(pid)
    return int(fields[19]) if fields and fields[0] != "Z" else None


def _stat_fields(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return []


def cpu_seconds(pid: int) -> float:
    """User and system time so far, threads that ended included; softirqs in its context count too."""
    fields = _stat_fields(pid)
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS if fields else 0.0


def busy_seconds(pid: int) -> float:
    """Time that its threads, those that still run, have been on a CPU: what `cpu_seconds` counts in
    ticks, to the nanosecond."""
    total_ns = 0
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        try:
            total_ns += int(path.read_text().split()[0])
        except OSError:
            continue  # It has just ended.
    return total_ns / 1e9


def rss_bytes(pid: int) -> int:
    """Resident memory now."""
    fields = _stat_fields(pid)
    return int(fields[21]) * PAGE_BYTES if fields else 0


class Process:
    """One running program."""

    def __init__(self, name: str, command: Sequence[str], log: Path, *, outlives_us: bool) -> None:
        self.name = name
        self.command = list(command)
        self.log = log

        # Nothing of a lab that was killed may go on running.
        guard = [] if outlives_us else ["setpriv", "--pdeathsig", "KILL"]
        with log.open("ab") as out:
            self.popen = subprocess.Popen(
                [*guard, *self.command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Pid of the program itself: setpriv, taskset and `ip netns exec` become it by exec."""
        return self.popen.pid

    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self.popen.poll() is None

    def signal(self, number: int) -> None:
        """Sends a signal if it still runs."""
        if self.is_running():
            self.popen.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and waits until it is gone."""
        self.signal(signal.SIGKILL)
        self.popen.wait()

    def stop(self) -> int:
        """SIGTERM, SIGKILL after a grace; returns the exit status."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            return self.popen.wait(TERM_GRACE_S)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.popen.returncode

    def log_text(self) -> str:
        """All that it has printed so far."""
        return self.log.read_text(errors="replace")

    def log_tail(self, lines_max: int = 15) -> str:
        """The last lines of its log, for a person who wants to know what went wrong."""
        lines = self.log_text().splitlines()
        omitted = f"  … {len(lines) - lines_max} lines before\n" if len(lines) > lines_max else ""
        return omitted + "\n".join(f"  {line[:300]}" for line in lines[-lines_max:])

    def expect_running(self) -> None:
        """LabError with the end of its log if it has ended."""
        if not self.is_running():
            raise LabError(
                f"{self.name} ended with status {self.popen.returncode}:\n{self.log_tail()}"
            )
