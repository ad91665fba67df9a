"""Commits without DNS around them: the example `mesh_bench`, four nodes in one process over QUIC."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

from lab.appliance import REPOSITORY, program_folder
from lab.process import LabError
from lab.run import Run, command

from .mesh_figures import MeshFigures

PART = "commits (four nodes in one process, no DNS)"
EXAMPLE = "mesh_bench"
LATENCY_TARGET = {"median_us": "< 10,000", "p99_us": "< 100,000"}


def build() -> None:
    """Builds the example, unless NEXUS_BIN names a folder that has it."""
    program = program_folder() / "examples" / EXAMPLE
    if "NEXUS_BIN" not in os.environ:
        words = ["cargo", "build", "--release", "--locked", "--quiet", "-p", "node", "--example", EXAMPLE]
        if subprocess.run(words, cwd=REPOSITORY, check=False).returncode != 0:
            raise LabError("cargo build failed")
    if not program.exists():
        raise LabError(f"there is no {program}")


def measure(run: Run, figures: MeshFigures, seconds: float, missed: int) -> None:
    """One round."""
    folder = run.path(EXAMPLE)
    program = program_folder() / "examples" / EXAMPLE
    arguments = [str(program), str(folder), str(max(1, round(seconds))), str(missed)]
    try:
        text = command(*arguments, timeout_s=seconds * 8 + 300)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    found = {line["what"]: line["found"] for line in map(json.loads, text.splitlines())}
    figures.samples.append({"part": PART, "found": found})
    for path in ("fast", "normal"):
        light, full = found[f"{path} path, light load"], found[f"{path} path, full load"]
        for key, target in LATENCY_TARGET.items():
            name = f"{path} path, light load, {key.removesuffix('_us')}"
            figures.note(PART, name, light[key], "µs", target)
        figures.note(PART, f"{path} path, full load", full["per_second"], "updates/s", ">= 5,000")
        figures.note(PART, f"{path} path, CPU of all four nodes", full["cpu_us_each_all_nodes"], "µs/update")
    gone, back = found["primary gone, next commit"], found["back and caught up"]
    figures.note(PART, "primary stopped, next commit after", gone["seconds"], "s", "< 3")
    figures.note(PART, f"caught up, {missed:,} updates behind", back["seconds"], "s", "< 30")
