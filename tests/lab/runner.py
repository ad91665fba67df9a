"""Runs tests one after the other, each in a run of its own, and says what came of it."""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
import time
import traceback
from dataclasses import dataclass, field
from typing import Callable

from . import cases
from .process import LabError
from .run import Run, why_impossible


class Failed(AssertionError):
    """What was expected did not happen."""


class Skipped(Exception):
    """This machine cannot show what the test is about; the text says why."""


def expect(condition: object, text: str) -> None:
    """Failed with `text` unless `condition`."""
    if not condition:
        raise Failed(text)


@dataclass(frozen=True)
class Case:
    """A test: its name says condition and outcome."""

    name: str
    body: Callable[[Run], object]
    group: str


@dataclass
class Registry:
    """All tests, in the order of their definition."""

    cases: list[Case] = field(default_factory=list)

    def __call__(self, body: Callable[[Run], object]) -> Callable[[Run], object]:
        self.cases.append(Case(body.__name__, body, body.__module__.rsplit(".", 1)[1]))
        return body


case = Registry()


def load_cases() -> list[Case]:
    """Imports every module of `cases`."""
    for module in pkgutil.iter_modules(cases.__path__):
        importlib.import_module(f"{cases.__name__}.{module.name}")
    return case.cases


def run_cases(chosen: list[Case]) -> bool:
    """Runs them, prints a line each and the count at the end; true if none failed.

    Where there can be no lab all are skipped, but not by continuous integration: tests that never
    run there would be green for ever.
    """
    if reason := why_impossible():
        must_run = os.environ.get("CI") == "true"
        failed, skipped = (len(chosen), 0) if must_run else (0, len(chosen))
        print(f"{reason}\n0 passed, {failed} failed, {skipped} skipped")
        return not must_run
    count = {"ok": 0, "FAILED": 0, "skipped": 0}
    for one in chosen:
        started = time.monotonic()
        print(f"{one.group}::{one.name} … ", end="", flush=True)
        verdict, text = run_case(one)
        print(f"{verdict} ({time.monotonic() - started:.1f} s)", flush=True)
        if text:
            print("\n".join(f"    {line}" for line in text.splitlines()), flush=True)
        count[verdict] += 1
    print(f"{count['ok']} passed, {count['FAILED']} failed, {count['skipped']} skipped")
    return not count["FAILED"]


def run_case(one: Case) -> tuple[str, str]:
    """Verdict and what to print below it."""
    run = None
    try:
        with Run() as run:
            try:
                note = one.body(run)
            except Skipped as reason:  # Inside, since nothing has failed whose logs were of use.
                return "skipped", str(reason)
        return "ok", note if isinstance(note, str) else ""
    except (Failed, LabError) as error:
        return "FAILED", f"{error}\n{_tails(run)}"
    except Exception:  # A broken test must not hide the others.
        return "FAILED", f"{traceback.format_exc()}\n{_tails(run)}"


def _tails(run: Run | None) -> str:
    """The ends of the logs of a run that failed."""
    if run is None:
        return ""
    interesting = [p for p in run.processes if p.name.startswith("nexus")]
    return "\n".join(f"{p.name}:\n{p.log_tail(12)}" for p in interesting if p.log.exists())


def main_test(names: list[str]) -> int:
    """`lab test`: all tests, or those whose names contain one of `names`."""
    everything = load_cases()
    chosen = [c for c in everything if not names or any(n in f"{c.group}::{c.name}" for n in names)]
    if not chosen:
        print(f"lab: no test matches {' '.join(names)}", file=sys.stderr)
        return 2
    return 0 if run_cases(chosen) else 1
