"""Submissions to the certificate log of four whole appliances: the example `log_load`, which makes its certificates itself."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Callable

from lab.appliance import REPOSITORY, Appliance, program_folder
from lab.logs import LogMesh
from lab.process import LabError
from lab.run import Run

from .mesh_bed import pids
from .mesh_figures import CpuMeter, MeshFigures

PART = "certificate log (four appliances, fsync on)"
EXAMPLE = "log_load"
# Of the plot.
SERIES = "timestamps"
LIGHT_RATE, FULL_RATE = 100, 1000
# The target holds for a minute; a sample is at least as long as others.
LIGHT_S, FULL_S = 10.0, 60.0
STEPS = (250, 500, 750, 1000, 1250, 1500, 2000)


def build() -> None:
    """Builds the example, unless NEXUS_BIN names a folder that has it."""
    program = program_folder() / "examples" / EXAMPLE
    if "NEXUS_BIN" not in os.environ:
        words = ["cargo", "build", "--release", "--locked", "--quiet", "-p", "ctlog", "--example", EXAMPLE]
        if subprocess.run(words, cwd=REPOSITORY, check=False).returncode != 0:
            raise LabError("cargo build failed")
    if not program.exists():
        raise LabError(f"there is no {program}")


class LogBed:
    """A mesh that runs a log, and a client of all its nodes."""

    def __init__(self, run: Run, *, is_quick: bool) -> None:
        self.mesh = LogMesh(run)
        self.mesh.start()
        self.mesh.wait_until_log_runs()
        self.is_quick = is_quick

    def measure(self, figures: MeshFigures, *, is_last: bool) -> None:
        """One round; the curve of the plot in the last one."""
        light_s, full_s = (3.0, 6.0) if self.is_quick else (LIGHT_S, FULL_S)
        light, _ = self.load(LIGHT_RATE, light_s, figures)
        figures.note(PART, f"{LIGHT_RATE}/s, submission to SCT, median", light["median_ms"], "ms", "< 50")
        figures.note(PART, f"{LIGHT_RATE}/s, submission to SCT, p99", light["p99_ms"], "ms", "< 100")
        before = self.disk_bytes()
        full, used = self.load(FULL_RATE, full_s, figures)
        entries = full["answered"]
        figures.note(PART, f"{FULL_RATE:,}/s for {full_s:g} s, SCTs", full["answered_per_second"], "/s", ">= 1,000")
        figures.note(PART, f"{FULL_RATE:,}/s, median", full["median_ms"], "ms")
        figures.note(PART, f"{FULL_RATE:,}/s, p99", full["p99_ms"], "ms")
        cores = sum(share for name, share in used.items() if name != "others")
        figures.note(PART, "CPU of all four controls", 1e6 * cores * full["seconds"] / entries, "µs/entry")
        figures.note(PART, "disk of the log, each node", (self.disk_bytes() - before) / entries, "bytes/entry")
        if is_last and not self.is_quick:
            figures.curves[SERIES] = [
                (rate, self.load(rate, 5.0, figures, may_refuse=True)[0]["answered_per_second"]) for rate in STEPS
            ]

    def load(
        self, rate: float, seconds: float, figures: MeshFigures, *, may_refuse: bool = False
    ) -> tuple[dict, dict[str, float]]:
        """What the generator found, and the cores of each node meanwhile. Beyond what it can do, the log refuses."""
        urls = [self.mesh.url(node) for node in self.mesh.appliances]
        program = program_folder() / "examples" / EXAMPLE
        words = [str(program), str(self.mesh.authority.folder), str(rate), str(seconds), *urls]
        cpu = CpuMeter(self.groups())
        found = json.loads(self.mesh.client.command(*words, timeout_s=seconds + 120))
        used = cpu.stop()
        if found["refused"] and not may_refuse:
            raise LabError(f"at {rate}/s: refused {found['refused']}")
        figures.samples.append({"part": PART, **found, "cores": used})
        return found, used

    def groups(self) -> dict[str, Callable[[], list[int]]]:
        """The control plane of each node."""

        def of(node: Appliance) -> Callable[[], list[int]]:
            return lambda: pids(node.control)

        return {f"{node.host.name} control": of(node) for node in self.mesh.appliances}

    def disk_bytes(self) -> int:
        """Of the first node's log."""
        return sum(bytes_of(path) for path in (self.mesh.appliances[0].folder / "ct").rglob("*"))


def bytes_of(path: Path) -> int:
    """What a file takes on the disk; nothing if it goes meanwhile."""
    try:
        return 512 * path.lstat().st_blocks
    except FileNotFoundError:
        return 0
