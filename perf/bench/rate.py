"""How many queries a second a server answers, and at what cost in CPU time."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Callable

from lab import load
from lab.process import LabError

from . import machine
from .bed import CLIENT_V4, GENERATOR_CORE, INTERFACE, SERVER_V4, Bed, pinned
from .contestants import Contestant

LOSS_MAX = 0.02
# kxdpgun that sends less than this share of what it was told to has met its own limit.
GENERATOR_SHARE_MIN = 0.98
# What a higher rate must add to what kxdpgun sends, or it has met its limit.
GENERATOR_GAIN_MIN = 1.03
RATE_MIN = 1000
QUIET_TIMEOUT_S = 20
NOISY_RETRIES = 3
START_RETRIES = 10


@dataclass(frozen=True)
class Sample:
    """One run of the generator against one server. Rates are per second, CPU in shares of a core."""

    offered: float
    sent: float
    answered: float
    server_cpu: float
    generator_cpu: float
    softirq_cpu: float
    foreign_cpu: float

    @property
    def loss(self) -> float:
        """Share of queries sent that were not answered."""
        return 1 - self.answered / self.sent if self.sent else 1.0

    @property
    def is_noisy(self) -> bool:
        """Whether something else used the cores."""
        return self.foreign_cpu > machine.FOREIGN_MAX

    @property
    def is_generator_bound(self) -> bool:
        """Whether the generator could not send what it was told to."""
        return self.sent < GENERATOR_SHARE_MIN * self.offered

    @property
    def cpu_s_per_million(self) -> float:
        """CPU seconds of the server for a million answers."""
        return self.server_cpu / self.answered * 1e6 if self.answered else 0.0

    def as_dict(self) -> dict:
        """For the JSON file."""
        return asdict(self)


@dataclass(frozen=True)
class Generator:
    """kxdpgun on its core."""

    bed: Bed
    seconds: float
    patient: bool = True  # Whether it waits for a quiet machine.
    batch: int = 64

    def sample(self, server: Contestant, rate: float, queries: Path | None = None) -> Sample:
        """One run; taken again while the machine is busy with something else."""
        for _ in range(NOISY_RETRIES if self.patient else 1):
            if self.patient:
                machine.wait_for_quiet(QUIET_TIMEOUT_S)
            sample = self._run(server.pids(), rate, queries or self.bed.queries)
            if not sample.is_noisy:
                return sample
        return sample

    def _run(self, pids: list[int], rate: float, queries: Path) -> Sample:
        arguments = load.kxdpgun_arguments(
            INTERFACE, CLIENT_V4, SERVER_V4, queries, rate, self.seconds, self.batch, GENERATOR_CORE
        )
        inside = ["ip", "netns", "exec", self.bed.client.namespace, *pinned(GENERATOR_CORE)]
        for _ in range(START_RETRIES):
            usage = machine.Usage(pids)
            text, cpu_s = _run_to_end([*inside, *arguments])
            burst = load.read_kxdpgun(text, rate, self.seconds)
            if burst is None:  # The kernel still takes the last run's socket apart.
                time.sleep(0.5)
                continue
            server_s, softirq_s, foreign = usage.stop(cpu_s)
            return Sample(
                rate, burst.sent, burst.answered,
                server_s / self.seconds, cpu_s / self.seconds, softirq_s / self.seconds, foreign,
            )  # fmt: skip
        raise LabError(f"kxdpgun does not run:\n{text}")


def _run_to_end(command: list[str]) -> tuple[str, float]:
    """Output of a program and the CPU seconds it used."""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    text = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return text, usage.ru_utime + usage.ru_stime


@dataclass(frozen=True)
class Maximum:
    """The highest rate answered with at most LOSS_MAX lost."""

    answered: float
    is_generator_bound: bool
    samples: tuple[Sample, ...]


def find_maximum(take: Callable[[float], Sample], start: float, tolerance: float) -> Maximum:
    """Raises the offered rate until too much is lost, then halves the gap down to `tolerance`.

    `start` is a guess. One loss may be an accident, so a rate must fail twice to be too high.
    """
    samples: list[Sample] = []
    good: Sample | None = None
    too_high: float | None = None
    rate = start
    while rate >= RATE_MIN:
        for _ in range(2):
            samples.append(take(rate))
            if samples[-1].loss <= LOSS_MAX:
                break
        if samples[-1].loss > LOSS_MAX:
            too_high = rate
        else:
            before, good = good, samples[-1]
            # kxdpgun often sends a little less than it was told to and more when told more: its
            # limit is where that ends.
            if good.is_generator_bound and before and good.sent < GENERATOR_GAIN_MIN * before.sent:
                return Maximum(max(good.answered, before.answered), True, tuple(samples))
        if too_high is None:
            rate *= 1.2
        elif good is None:
            rate /= 1.4
        elif too_high / good.offered <= 1 + tolerance:
            break
        else:
            rate = (good.offered * too_high) ** 0.5
    return Maximum(good.answered if good else 0.0, False, tuple(samples))
