"""Figures as a table for people and as JSON for programs."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass, field
from typing import Sequence

from .latency import Latency
from .rate import Maximum, Sample


def thousands(value: float) -> str:
    """`712k`."""
    return f"{value / 1000:.0f}k"


@dataclass
class Figures:
    """What was measured of one server, a value for each round."""

    name: str
    group: str
    maxima: list[Maximum] = field(default_factory=list)
    curve: list[Sample] = field(default_factory=list)
    half: list[Sample] = field(default_factory=list)
    overload: list[Sample] = field(default_factory=list)
    latencies: list[Latency] = field(default_factory=list)
    misses: list[Maximum] = field(default_factory=list)
    rss: dict[str, int] = field(default_factory=dict)
    flood: dict[str, float] = field(default_factory=dict)

    @property
    def median(self) -> float:
        """Median of the rounds' maxima in answers a second."""
        return statistics.median(m.answered for m in self.maxima) if self.maxima else 0.0

    @property
    def is_generator_bound(self) -> bool:
        """Whether most rounds ended at the generator's limit and not at the server's."""
        return sum(m.is_generator_bound for m in self.maxima) * 2 > len(self.maxima)

    @property
    def spread(self) -> tuple[float, float]:
        """Lowest and highest round."""
        values = [m.answered for m in self.maxima] or [0.0]
        return min(values), max(values)

    def as_dict(self) -> dict:
        """For the JSON file, every sample included."""
        data = asdict(self)
        data["median_answers_per_second"] = self.median
        data["generator_bound"] = self.is_generator_bound
        return data


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they need; the first is left-aligned, the others right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])] + [cell.rjust(w) for cell, w in zip(row[1:], widths[1:])]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def rates(figures: Sequence[Figures]) -> str:
    """Maximum, ratio to Nexus's peers, CPU and memory."""
    rows = [["", "answers/s", "lowest", "highest", "Nexus is", "CPU s/M", "overload", "RSS MiB"]]
    for one in figures:
        nexus = next((f for f in figures if f.group == one.group and f.name.startswith("Nexus")), None)
        ratio = "" if nexus in (None, one) or not one.median else f"{nexus.median / one.median:.2f} ×"
        cpu = statistics.median(s.cpu_s_per_million for s in one.half) if one.half else 0.0
        over = statistics.median(s.answered for s in one.overload) if one.overload else 0.0
        bound = " (generator)" if one.is_generator_bound else ""
        rows.append(
            [
                one.name,
                thousands(one.median) + bound,
                thousands(one.spread[0]),
                thousands(one.spread[1]),
                ratio,
                f"{cpu:.2f}",
                thousands(over),
                " + ".join(f"{size / 2**20:.0f}" for size in one.rss.values()),
            ]
        )
    return table(rows)


def latencies(figures: Sequence[Figures]) -> str:
    """Percentiles by load."""
    rows = [["µs from question to answer", "load q/s", "p50", "p90", "p99", "max", "lost"]]
    for one in figures:
        for load in sorted({entry.load for entry in one.latencies}):
            same = [entry for entry in one.latencies if entry.load == load]

            def middle(name: str) -> str:
                return f"{statistics.median(getattr(entry, name) for entry in same):.0f}"

            lost = sum(entry.lost for entry in same)
            percentiles = [middle(n) for n in ("p50_us", "p90_us", "p99_us", "max_us")]
            rows.append([one.name, f"{load:.0f}", *percentiles, str(lost)])
    return table(rows)


def misses(figures: Sequence[Figures]) -> str:
    """Names that do not exist under the served zone."""
    rows = [["random names that do not exist", "answers/s", "lowest", "highest"]]
    for one in figures:
        if one.misses:
            values = [m.answered for m in one.misses]
            middle = statistics.median(values)
            rows.append([one.name, thousands(middle), thousands(min(values)), thousands(max(values))])
    return table(rows)


def to_json(facts: dict[str, str], settings: dict, figures: Sequence[Figures]) -> str:
    """Everything, so that a later reader can compute what this report left out."""
    data = {"machine": facts, "settings": settings, "servers": [one.as_dict() for one in figures]}
    return json.dumps(data, indent=1)
