"""One run of the lab: a prefix of its own, a folder, and all that must be gone afterwards."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Iterator, Sequence

from .process import LabError, Process, start_time

FOLDER_PREFIX = "nexus-lab-"
STATE_FILE = "lab.json"
CLONE_NEWNET = 0x4000_0000

_libc = ctypes.CDLL(None, use_errno=True)


def command(*arguments: str, timeout_s: float = 30.0) -> str:
    """Runs a program to its end and returns what it printed; LabError if it fails."""
    result = subprocess.run(
        arguments, capture_output=True, text=True, timeout=timeout_s, check=False
    )
    if result.returncode != 0:
        output = (result.stderr or result.stdout).strip()
        raise LabError(f"{' '.join(arguments)}: status {result.returncode}: {output[-2000:]}")
    return result.stdout


def why_impossible() -> str:
    """Why there can be no lab here; empty if there can."""
    if os.geteuid() != 0:
        return "the lab makes network namespaces: run it as root"
    probe = f"nx{secrets.token_hex(3)}-probe"
    try:
        command("ip", "netns", "add", probe)
    except (LabError, OSError) as error:
        return f"this machine lets nobody make network namespaces: {error}"
    _delete_namespace(probe)
    return ""


class Run:
    """Owner of namespaces and processes. Use it as a context manager; `keep` leaves all running."""

    def __init__(self, *, keep: bool = False) -> None:
        if reason := why_impossible():
            raise LabError(reason)
        self.prefix = f"nx{secrets.token_hex(3)}"
        self.keep = keep
        self.folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX))
        self.folder.chmod(0o755)  # Servers that gave up root read their files here.
        self.namespaces: list[str] = []
        self.processes: list[Process] = []
        self._old_handlers: dict[int, object] = {}
        self._save()

    def __enter__(self) -> Run:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            self._old_handlers[number] = signal.signal(number, _exit_on_signal)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # A second signal must not cut the cleaning short.
        for number in self._old_handlers:
            signal.signal(number, signal.SIG_IGN)
        if self.keep and kind is None:
            self._save()
        else:
            self.clean(keep_logs=kind is not None and not issubclass(kind, SystemExit))
        for number, handler in self._old_handlers.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def clean(self, *, keep_logs: bool = False) -> None:
        """Ends every process and removes every namespace of this run; the folder unless kept."""
        for process in reversed(self.processes):
            process.stop()
        for namespace in self.namespaces:
            _delete_namespace(namespace)
        self.namespaces.clear()
        if keep_logs:
            print(f"logs are in {self.folder}", file=sys.stderr)
            self._save()
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    def add_namespace(self, name: str) -> str:
        """Makes a namespace with its loopback up and returns its full name."""
        namespace = f"{self.prefix}-{name}"
        self.namespaces.append(namespace)
        self._save()
        command("ip", "netns", "add", namespace)
        command("ip", "-n", namespace, "link", "set", "lo", "up")
        return namespace

    def start(self, name: str, namespace: str, arguments: Sequence[str]) -> Process:
        """Starts a program inside a namespace; its output goes to NAME.log in the folder."""
        return self.start_here(name, ["ip", "netns", "exec", namespace, *arguments])

    def start_here(self, name: str, arguments: Sequence[str]) -> Process:
        """The same outside of every namespace of the run."""
        log = self.folder / f"{name}.log"
        process = Process(name, arguments, log, outlives_us=self.keep)
        self.processes.append(process)
        self._save()
        return process

    def path(self, name: str) -> Path:
        """A path in the folder of this run."""
        return self.folder / name

    def _save(self) -> None:
        """Notes what there is to remove, for `lab down` after a run that was killed or kept."""
        state = {
            "prefix": self.prefix,
            "owner": [os.getpid(), start_time(os.getpid())],
            "kept": self.keep,
            "namespaces": self.namespaces,
            "processes": [[p.pid, start_time(p.pid), p.name] for p in self.processes],
        }
        temporary = self.folder / f"{STATE_FILE}.new"
        temporary.write_text(json.dumps(state, indent=1))
        temporary.rename(self.folder / STATE_FILE)


def _exit_on_signal(number: int, _frame: object) -> None:
    sys.exit(128 + number)


def _delete_namespace(namespace: str) -> None:
    with contextlib.suppress(LabError, subprocess.TimeoutExpired):
        command("ip", "netns", "delete", namespace)


@contextlib.contextmanager
def inside(namespace: str) -> Iterator[None]:
    """The calling thread is inside `namespace`; sockets made there stay there."""
    with open("/proc/thread-self/ns/net", "rb") as own, open(f"/run/netns/{namespace}", "rb") as other:
        _set_namespace(other.fileno())
        try:
            yield
        finally:
            _set_namespace(own.fileno())


def _set_namespace(descriptor: int) -> None:
    if _libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def leftovers() -> list[tuple[Path, dict]]:
    """Runs whose folder is still there: kept, or killed before they could clean."""
    found = []
    for state in sorted(Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*/{STATE_FILE}")):
        with contextlib.suppress(OSError, ValueError):
            found.append((state.parent, json.loads(state.read_text())))
    return found


def is_owned(state: dict) -> bool:
    """Whether the program that made this run still works on it."""
    pid, started = state["owner"]
    return not state["kept"] and started is not None and start_time(pid) == started


def remove(folder: Path, state: dict) -> None:
    """Removes what a run left: its own processes (not others that got their pids), namespaces, folder."""
    for pid, started, _name in state["processes"]:
        if started is not None and start_time(pid) == started:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    for namespace in state["namespaces"]:
        if namespace.startswith(state["prefix"]):
            _delete_namespace(namespace)
    shutil.rmtree(folder, ignore_errors=True)
