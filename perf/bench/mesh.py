"""A mesh of four nodes on this machine, measured part by part, each over several rounds."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from lab import appliance
from lab.run import Run

from . import machine, mesh_commits, mesh_log, plot
from .mesh_answers import ColdBed
from .mesh_beside import BesideBed
from .mesh_figures import MeshFigures
from .mesh_updates import UpdatesBed

PARTS = {
    "commits": "agreement without DNS around it: latency of a commit by either path, updates/s, CPU of an update, the "
    "next commit after the primary is stopped, how soon a node catches up that was away",
    "answers": "cold names that a quorum agrees on: answers/s at one node and at all four",
    "beside": "cached answers/s of one worker while the mesh commits 1,000 updates/s, beside those without",
    "log": "submissions to the certificate log: time to the timestamp at 100/s, a minute at 1,000/s, CPU and disk of an entry",
    "updates": "dynamic updates/s of clients that wait for their answers, at one node and at all four",
}
MISSED_COUNT = 100_000


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    rounds: int
    seconds: float
    missed: int
    is_quick: bool
    parts: tuple[str, ...]


def parse() -> tuple[Plan, argparse.Namespace]:
    """Arguments of scripts/bench-mesh."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench-mesh",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Measure a mesh of four nodes on this machine: real QUIC, fsync, and but for the first part\n"
        "whole appliances in network namespaces. Needs root and two idle cores.\n\n"
        + "\n".join(f"  {name:<9}{about}" for name, about in PARTS.items()),
        epilog="Each figure is the median of the rounds with the lowest and the highest. The table goes to stdout,\n"
        "progress to stderr; every value and a plot to the output folder. Where the stores lie on disk TMPDIR says.\n\n"
        "  scripts/bench-mesh                                     about 9 minutes\n"
        "  scripts/bench-mesh --quick                             about 2: to see that it works\n"
        "  scripts/bench-mesh --only updates --rounds 3 --json updates.json",
    )
    parser.add_argument("--quick", action="store_true", help="one short round; 10,000 updates to catch up with")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds instead of 5")
    parser.add_argument("--seconds", type=float, metavar="S", help="length of a sample instead of 3")
    parser.add_argument("--only", action="append", choices=PARTS, help="measure this part; repeatable")
    parser.add_argument("--noisy", action="store_true", help="begin although the machine is busy with something else")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file, too")
    parser.add_argument("--output", type=Path, default=Path("perf/results"), metavar="FOLDER")
    arguments = parser.parse_args()
    plan = Plan(
        rounds=arguments.rounds or (1 if arguments.quick else 5),
        seconds=arguments.seconds or (1.5 if arguments.quick else 3.0),
        missed=MISSED_COUNT // 10 if arguments.quick else MISSED_COUNT,
        is_quick=arguments.quick,
        parts=tuple(name for name in PARTS if not arguments.only or name in arguments.only),
    )
    return plan, arguments


def main() -> int:
    """Measures, prints, writes."""
    plan, arguments = parse()
    appliance.build(quiet=True)
    mesh_commits.build()
    if "log" in plan.parts:
        mesh_log.build()
    figures = MeshFigures()
    for part in plan.parts:
        if not arguments.noisy and not machine.wait_for_quiet(60):
            print("bench-mesh: this machine is busy; --noisy measures all the same", file=sys.stderr)
            return 1
        with Run() as run:
            measure = prepared(part, run, figures, plan)
            for number in range(plan.rounds):
                note(f"{part}: round {number + 1} of {plan.rounds}")
                measure(number)
    show(plan, figures, arguments)
    return 0


def prepared(part: str, run: Run, figures: MeshFigures, plan: Plan) -> Callable[[int], None]:
    """What measures a round of this part."""
    note(f"{part}: starting")
    if part == "commits":
        return lambda _: mesh_commits.measure(run, figures, plan.seconds, plan.missed)
    if part == "beside":
        beside = BesideBed(run)
        return lambda number: beside.measure(figures, plan.seconds, number, is_last=number == plan.rounds - 1)
    if part == "log":
        log = mesh_log.LogBed(run, is_quick=plan.is_quick)
        return lambda number: log.measure(figures, is_last=number == plan.rounds - 1)
    bed = ColdBed(run) if part == "answers" else UpdatesBed(run)
    return lambda _: bed.measure(figures, plan.seconds)


def show(plan: Plan, figures: MeshFigures, arguments: argparse.Namespace) -> None:
    """Table, JSON and plot."""
    folder: Path = arguments.output
    folder.mkdir(parents=True, exist_ok=True)
    facts = machine.facts()
    settings = {"rounds": plan.rounds, "sample_s": plan.seconds, "missed": plan.missed, "noisy": arguments.noisy}
    text = figures.to_json(facts, settings)
    for path in (folder / "mesh.json", *([arguments.json] if arguments.json else [])):
        path.write_text(text)
    print(f"{facts['cpu']}, kernel {facts['kernel']}, {facts['date']}, commit {facts['commit']}")
    print(f"{plan.rounds} round(s), samples of {plan.seconds:g} s\n")
    print(figures.to_table())
    of_log = {key: points for key, points in figures.curves.items() if key == mesh_log.SERIES}
    others = {key: points for key, points in figures.curves.items() if key != mesh_log.SERIES}
    for name, title, curves in (
        ("mesh.svg", "Cached answers of one worker in a mesh of four", others),
        ("log.svg", "Submissions to the certificate log of four nodes", of_log),
    ):
        if curves:
            (folder / name).write_text(plot.draw(title, curves))
            print(f"plot: {folder / name}")


def note(text: str) -> None:
    """Progress."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)
