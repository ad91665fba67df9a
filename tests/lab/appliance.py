"""The appliance under test: its configuration, both planes as processes, its own counters."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

from . import zones
from .hosts import Host
from .peers import answers, wait_for_answer
from .process import LabError, Process, wait_until
from .run import command

# Examples that take the place of control: one whose mesh is an echo, and one that lies about the certificate log.
MESH_ECHO, MESH_LIAR = "mesh_echo", "mesh_liar"
PROGRAMS = ("nexus-dataplane", "nexus-control", "nexus", "nexus-certwatch")
# Exists on every Debian and owns nothing: what both planes run as after set-up.
USER, GROUP = "nobody", "nogroup"
# A new worker leaves packets to the kernel until it has seen a sign of life of control.
TAKE_OVER_S = 0.1
REPOSITORY = Path(__file__).resolve().parents[2]


def program_folder() -> Path:
    """Where the release programs are: NEXUS_BIN, or cargo's target folder."""
    if named := os.environ.get("NEXUS_BIN"):
        return Path(named).resolve()
    return Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target")) / "release"


def missing_programs() -> list[str]:
    """Programs that have not been built."""
    return [name for name in PROGRAMS if not (program_folder() / name).exists()]


def build(*, quiet: bool = False) -> None:
    """Builds the programs unless NEXUS_BIN names a folder that has them."""
    if "NEXUS_BIN" not in os.environ:
        options = ["--quiet"] if quiet else []
        packages = [word for name in ("worker", "node", "cli", "sim", "certwatch") for word in ("-p", name)]
        arguments = ["cargo", "build", "--release", "--locked", *options, *packages]
        examples = [word for name in (MESH_ECHO, MESH_LIAR) for word in ("--example", name)]
        in_place_of_control = ["cargo", "build", "--release", "--locked", *options, "-p", "node", *examples]
        for build_one in (arguments, in_place_of_control):
            if subprocess.run(build_one, cwd=REPOSITORY, check=False).returncode != 0:
                raise LabError("cargo build failed")
    if missing := missing_programs():
        raise LabError(f"not in {program_folder()}: {', '.join(missing)}")


def to_yaml(settings: dict) -> str:
    """Two levels of block style, JSON for the values: what a person would write, nearly."""
    lines = []
    for section, values in settings.items():
        if isinstance(values, dict):
            lines.append(f"{section}:")
            lines += [f"  {key}: {json.dumps(value)}" for key, value in values.items()]
        else:
            lines.append(f"{section}: {json.dumps(values)}")
    return "\n".join(lines) + "\n"


def confined(user: str, group: str) -> list[str]:
    """What runs nexus-control as its unit does: no user's rights but the port."""
    return [
        "setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "--no-new-privs",
        "--bounding-set=-all,+net_bind_service", "--inh-caps=-all,+net_bind_service",
        "--ambient-caps=-all,+net_bind_service",
    ]  # fmt: skip


class Appliance:
    """One Nexus node on a host. Nothing runs until a plane is started."""

    def __init__(
        self, host: Host, interface: str, address: str, *, folder: str = "", **settings: dict
    ) -> None:
        self.host = host
        self.interface = interface
        self.address = address
        self.folder = host.run.path(folder or f"nexus-{host.name}")
        self.folder.mkdir()
        shutil.chown(self.folder, USER, GROUP)
        self.zone_file = self.folder / zones.file_name(zones.OWN_ZONE)
        self.zone_file.write_text(zones.own_zone())
        hints = self.folder / "root.hints"
        hints.write_text(zones.root_hints())
        self.settings: dict = {
            "node": {"data_dir": str(self.folder), "user": USER},
            "dataplane": {
                "interface": interface,
                "mode": "auto",
                "socket": str(self.folder / "dataplane.sock"),
            },
            "resolver": {
                "listen": ["0.0.0.0", "::"],
                "root_hints": str(hints),
                "dnssec": "off",
                # The lab's own root has names there.
                "special_names_except": ["test."],
            },
            "zones": [{"name": zones.OWN_ZONE, "file": str(self.zone_file)}],
            "api": {"listen": "127.0.0.1:8053", "socket": str(self.folder / "control.sock")},
        }
        self.config = self.folder / "nexus.yaml"
        self.dataplane: Process | None = None
        self.control: Process | None = None
        self.starts = 0
        self.configure(**settings)

    def trust(self, anchor: str) -> None:
        """Validates from this DNSKEY or DS record down."""
        path = self.folder / "trust.anchors"
        path.write_text(anchor)
        self.configure(resolver={"dnssec": "validate", "trust_anchors": str(path)})

    def configure(self, **settings: object) -> None:
        """Changes sections of the configuration key by key and writes the file."""
        for section, values in settings.items():
            if isinstance(values, dict):
                self.settings.setdefault(section, {}).update(values)
            else:
                self.settings[section] = values
        self.config.write_text(to_yaml(self.settings))

    def start_dataplane(self, *prefix: str) -> Process:
        """Starts nexus-dataplane; `prefix` runs it by another program (taskset, setpriv)."""
        self.dataplane = self._start("nexus-dataplane", *prefix)
        return self.dataplane

    def start_control(self, *prefix: str) -> Process:
        """Starts nexus-control as its unit does."""
        self.control = self._start("nexus-control", *prefix, *confined(USER, GROUP))
        return self.control

    def start_mesh_echo(self, own: str, peer: str, *words: str) -> Process:
        """Starts the example in control's place: OWN and PEER are address:port."""
        return self._start_example(MESH_ECHO, [], own, peer, *words)

    def start_mesh_liar(self) -> Process:
        """Starts the example in control's place, with control's rights, keys and store."""
        return self._start_example(MESH_LIAR, confined(USER, GROUP))

    def _start_example(self, example: str, prefix: list[str], *words: str) -> Process:
        self.starts += 1
        program = str(program_folder() / "examples" / example)
        name = f"{example}-{self.host.name}-{self.starts}"
        self.control = self.host.start(name, [*prefix, program, str(self.config), *words])
        return self.control

    def start(self) -> None:
        """Starts both planes and waits until workers answer for the own zone."""
        self.start_dataplane()
        self.start_control()
        self.wait_until_serving()

    def _start(self, program: str, *prefix: str) -> Process:
        self.starts += 1
        arguments = [*prefix, str(program_folder() / program), "--config", str(self.config)]
        return self.host.start(f"{program}-{self.host.name}-{self.starts}", arguments)

    def wait_until_serving(self, timeout_s: float = 20.0) -> float:
        """Seconds until the running planes are attached to each other and zones are loaded."""

        def serves() -> bool:
            for process in (self.dataplane, self.control):
                if process is not None:
                    process.expect_running()
            status = self.status()
            control, dataplane = status.get("control"), status.get("dataplane")
            if self.control is None or self.dataplane is None:
                return control if self.control else dataplane and dataplane["running"]
            stats = self.nexus("--json", "stats", "--once", check=False)
            attached = control and json.loads(stats)["control"].get("nexus_control_attached")
            return attached and dataplane and dataplane["running"]

        try:
            waited = wait_until(serves, timeout_s, "both planes run")
            if self.control is not None and self.dataplane is not None:
                time.sleep(TAKE_OVER_S)
            return waited
        except LabError as error:
            raise LabError(f"{error}\n{self.log_tails()}") from None

    def log_tails(self) -> str:
        """The ends of both logs."""
        processes = [p for p in (self.dataplane, self.control) if p is not None]
        return "\n".join(f"{process.name}:\n{process.log_tail()}" for process in processes)

    def wait_for_answer(self, name: str = zones.OWN_ZONE) -> float:
        """Seconds until a question asked on the host itself (so by the kernel path) is answered."""
        process = self.control or self.dataplane
        assert process is not None
        return wait_for_answer(process, self.host, self.address, name)

    def answers_locally(self) -> bool:
        """Whether control's kernel sockets answer on the host itself."""
        return answers(self.host, self.address, zones.OWN_ZONE, "SOA")

    def nexus(self, *arguments: str, check: bool = True) -> str:
        """Runs the command line on the host; returns what it printed."""
        full = self.nexus_command(*arguments)
        if check:
            return command(*full)
        return subprocess.run(full, capture_output=True, text=True, timeout=30, check=False).stdout

    def nexus_command(self, *arguments: str) -> list[str]:
        """What runs the command line on the host."""
        inside = ["ip", "netns", "exec", self.host.namespace, str(program_folder() / "nexus")]
        return [*inside, "--config", str(self.config), *arguments]

    def status(self) -> dict:
        """`nexus status --json`; empty when neither plane runs."""
        text = self.nexus("--json", "status", check=False)
        return json.loads(text) if text.strip() else {}

    def counters(self) -> dict[str, int]:
        """The workers' counters, summed; read past control when that is dead."""
        stats = json.loads(self.nexus("--json", "stats", "--once"))
        total: dict[str, int] = {}
        for worker in stats["workers"]:
            for name, value in worker["counters"].items():
                total[name] = total.get(name, 0) + value
        return total

    def latency_ns(self) -> dict[int, int]:
        """Batches' times from receipt to sending since start: counts by upper bound in nanoseconds."""
        stats = json.loads(self.nexus("--json", "stats", "--once"))
        total: dict[int, int] = {}
        for worker in stats["workers"]:
            for bucket in worker["latency"]:
                bound = bucket["below_ns"]
                total[bound] = total.get(bound, 0) + bucket["count"]
        return total


def gained(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """The counters that moved, and by how much."""
    moved = {name: after[name] - before.get(name, 0) for name in after}
    return {name: count for name, count in moved.items() if count}


def hits(counters: dict[str, int]) -> int:
    """Answers that workers gave from their own memory."""
    return sum(counters.get(f"answers_{source}", 0) for source in ("cache", "table", "stale"))


def worker_answers(counters: dict[str, int]) -> int:
    """Everything that left through a worker's transmit ring as an answer."""
    errors = sum(count for name, count in counters.items() if name.startswith("errors_"))
    others = sum(counters.get(f"answers_{source}", 0) for source in ("control", "cookie", "slipped"))
    return hits(counters) + others + errors
