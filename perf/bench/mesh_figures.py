"""Figures of a mesh: a value a round, shown by median and range, and all that was seen besides."""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import asdict, dataclass, field
from typing import Callable

from lab.process import cpu_seconds

from . import machine
from .report import table


@dataclass
class Figure:
    """One thing that was measured."""

    part: str
    name: str
    unit: str
    target: str = ""
    values: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Of the rounds."""
        return statistics.median(self.values)


@dataclass
class MeshFigures:
    """All of them, in the order in which they came up first."""

    figures: list[Figure] = field(default_factory=list)
    # What stands behind them, a line a round and part.
    samples: list[dict] = field(default_factory=list)
    # Points of (offered, answered) for the plot, by series.
    curves: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def note(self, part: str, name: str, value: float, unit: str, target: str = "") -> None:
        """The value of a round."""
        for one in self.figures:
            if (one.part, one.name) == (part, name):
                one.values.append(value)
                return
        self.figures.append(Figure(part, name, unit, target, [value]))

    def to_table(self) -> str:
        """For people."""
        rows = [["", "median", "lowest", "highest", "unit", "target"]]
        part = ""
        for one in self.figures:
            if one.part != part:
                part = one.part
                rows.append([part, "", "", "", "", ""])
            values = [rounded(v) for v in (one.median, min(one.values), max(one.values))]
            rows.append([f"  {one.name}", *values, one.unit, one.target])
        return table(rows)

    def to_json(self, facts: dict[str, str], settings: dict) -> str:
        """For programs: each value and each sample."""
        figures = [{**asdict(one), "median": one.median} for one in self.figures]
        data = {"machine": facts, "settings": settings, "figures": figures, "samples": self.samples}
        return json.dumps({**data, "curves": self.curves}, indent=1)


def rounded(value: float) -> str:
    """Three digits that count, thousands apart."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


class CpuMeter:
    """Shares of a core that groups of processes use from now until `stop`, and all others together."""

    def __init__(self, groups: dict[str, Callable[[], list[int]]]) -> None:
        self.groups = {name: pids() for name, pids in groups.items()}
        self.before = self._read()
        self.busy = machine.busy_seconds()
        self.started = time.monotonic()

    def _read(self) -> dict[str, float]:
        return {name: sum(map(cpu_seconds, pids)) for name, pids in self.groups.items()}

    def stop(self) -> dict[str, float]:
        """Cores by group; `others` has the load generators and interrupts in nobody's time."""
        seconds = time.monotonic() - self.started
        busy, after = machine.busy_seconds() - self.busy, self._read()
        used = {name: (after[name] - before) / seconds for name, before in self.before.items()}
        used["others"] = max(0.0, busy / seconds - sum(used.values()))
        return used
