"""TLS servers and clients on two hosts, and the cgroup in which the clients run."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, Sequence

from .appliance import GROUP, USER, program_folder, to_yaml
from .certificates import pem_to_der, to_pem
from .hosts import End, Host, connect
from .logs import LogMesh
from .mesh import metrics as control_metrics
from .process import LabError, Process, wait_until
from .run import Run, command
from .runner import Skipped
from .second_log import SecondLog

SERVER_V4, CLIENT_V4 = "10.54.0.1", "10.54.0.2"
PATIENCE_S = 10.0
PAGE, PAGE_TEXT = "page.txt", "a page of the lab"
# AmbientCapabilities= of packaging/nexus-certwatch.service; the last one may be taken out.
CAPABILITIES = ("bpf", "perfmon", "net_admin", "sys_ptrace")
# Puts copies in the place of the system's libraries, for one program.
REPLACE = 'from=$1 to=$2; shift 2; for file in "$from"/*; do mount --bind "$file" "$to/${file##*/}"; done; exec "$@"'


def confined(capabilities: Sequence[str]) -> list[str]:
    """What runs nexus-certwatch as its unit does."""
    kept = ",".join(["-all", *(f"+{name}" for name in capabilities)])
    return [
        "setpriv", f"--reuid={USER}", f"--regid={GROUP}", "--clear-groups", "--no-new-privs",
        f"--bounding-set={kept}", f"--inh-caps={kept}", f"--ambient-caps={kept}",
    ]  # fmt: skip


def cgroup_root() -> Path:
    """Where cgroup v2 is mounted."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, path, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(path)
    raise Skipped("no cgroup v2 is mounted")


@dataclass
class Site:
    """A server with a certificate of its own."""

    name: str
    port: int
    der: bytes
    # File of what it sends behind its certificate.
    issuer: Path
    process: Process | None = None

    @property
    def fingerprint(self) -> str:
        """SHA-256 of its certificate, in hexadecimal."""
        return hashlib.sha256(self.der).hexdigest()

    def requests(self) -> int:
        """How many requests have come to the server."""
        assert self.process is not None
        return self.process.log_text().count(f"FILE:{PAGE}")


class Client:
    """A program in the cgroup, on the client's host."""

    def __init__(self, arguments: list[str], popen: subprocess.Popen[str]) -> None:
        self.arguments, self.popen, self.started = arguments, popen, time.monotonic()

    def finish(self, timeout_s: float = PATIENCE_S) -> tuple[int, str, float]:
        """Its exit status, what it printed, and the seconds it took."""
        output, _ = self.popen.communicate(timeout=timeout_s)
        return self.popen.returncode, output, time.monotonic() - self.started


class Bed:
    """Everything around nexus-certwatch: a nexus-control that judges and, alone in its cluster, runs the log in which
    certificates have to be. Clients load copies of OpenSSL's libraries, and only these are probed: no other
    program of this machine meets a probe."""

    def __init__(self, run: Run) -> None:
        if not (program_folder() / "nexus-certwatch").exists():
            raise Skipped("nexus-certwatch was not built")
        self.run = run
        self.cgroup = cgroup_root() / f"nexus-lab-{run.prefix}"
        self.server, self.client = Host(run, "tls-server"), Host(run, "tls-client")
        ends = (
            End(self.server, "tls0", "02:00:00:00:03:01", (f"{SERVER_V4}/24",)),
            End(self.client, "tls0", "02:00:00:00:03:02", (f"{CLIENT_V4}/24",)),
        )
        connect(*ends)
        self.libraries = [self._copy_libraries(name) for name in ("watched", "unwatched")]
        self.mesh = LogMesh(run, nodes=1)
        self.second_log = SecondLog.make(run.path("second-log.pem"))
        self.root = self.mesh.authority.folder / "root.pem"
        self.ports, self.starts = itertools.count(4433), itertools.count(1)
        self.metrics_port = 0
        run.path(PAGE).write_text(PAGE_TEXT)

    @staticmethod
    @contextlib.contextmanager
    def open(run: Run) -> Iterator[Bed]:
        """A bed whose cgroup is removed, with whatever runs in it."""
        bed = Bed(run)
        bed._start_control()
        bed.cgroup.mkdir()
        try:
            yield bed
        finally:
            (bed.cgroup / "cgroup.kill").write_text("1")
            with contextlib.suppress(LabError):
                wait_until(lambda: not (bed.cgroup / "cgroup.procs").read_text(), PATIENCE_S, "an empty cgroup")
            bed.cgroup.rmdir()

    def _copy_libraries(self, name: str) -> Path:
        folder = self.run.path(name)
        folder.mkdir()
        linked = command("ldd", shutil.which("openssl") or "openssl")
        for line in linked.splitlines():
            words = line.split()
            if words[0].startswith(("libssl.so", "libcrypto.so")):
                shutil.copy(words[2], folder / words[0])
                self.system_folder = Path(words[2]).parent
        if not list(folder.iterdir()):
            raise Skipped("openssl is not linked with shared libraries")
        return folder

    def _start_control(self) -> None:
        """It trusts the authority as a public one, and learns of the logs when its own runs."""
        node = self.mesh.node
        node.configure(ct={"trust_anchors": str(self.root)})
        node.start_control()
        node.wait_until_serving()
        self.mesh.wait_until_log_runs()
        path = self.mesh.log_list(node)
        logs = json.loads(path.read_text())
        logs["operators"].append(self.second_log.operator(logs["operators"][0]["tiled_logs"][0]))
        path.write_text(json.dumps(logs))
        node.configure(ct={"log_list": str(path)})
        node.nexus("reload")

    def judged(self) -> dict[str, int]:
        """How many questions control has answered, by status; those that it was asked before count, too."""
        name = 'nexus_control_certificates_total{status="%s"}'
        counted = control_metrics(self.mesh.node)
        return {status: counted[name % status] for status in ("valid", "invalid", "unknown")}

    def add_site(self, name: str, *, is_logged: bool = True) -> Site:
        """Starts a server with a certificate for `name`, which it sends with the authority's. All is well with it,
        but for the log if it is not logged."""
        if is_logged:
            path = self.mesh.logged_certificate(self.mesh.node, name, others=[self.second_log])
        else:
            path = self.run.path(f"{name}.pem")
            path.write_text(to_pem(self.mesh.authority.issue(name)))
        site = Site(name, next(self.ports), pem_to_der(path.read_text()), self.root)
        self.restart(site)
        return site

    def restart(self, site: Site) -> None:
        """Starts the server of a site anew: it takes one client at a time, and a blocked one never ends."""
        if site.process is not None:
            site.process.kill()
        folder = self.run.folder
        process = self.server.start(
            f"server-{site.name}-{next(self.starts)}",
            [
                "env", "-C", str(folder), "openssl", "s_server", "-accept", f"{SERVER_V4}:{site.port}", "-WWW",
                "-cert", str(folder / f"{site.name}.pem"), "-key", str(self.mesh.authority.folder / "leaf.key"),
                "-cert_chain", str(site.issuer),
            ],
        )  # fmt: skip
        wait_until(lambda: "ACCEPT" in process.log_text(), PATIENCE_S, f"{site.name} accepts")
        site.process = process

    def spawn(self, *arguments: str, watched: bool = True) -> Client:
        """Starts a program on the client's host in the cgroup, with a copy of the libraries."""
        library = self.libraries[0 if watched else 1]
        script = f'echo $$ >{self.cgroup}/cgroup.procs && exec ip netns exec "$@"'
        words = [
            "sh", "-c", script, "sh", self.client.namespace, "env", f"LD_LIBRARY_PATH={library}", *arguments
        ]  # fmt: skip
        popen = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        return Client(words, popen)

    def curl(
        self, site: Site, *options: str, name: str = "", max_s: float = 3.0, watched: bool = True
    ) -> Client:
        """Fetches the page of a site, under its own name or another."""
        host = f"{name or site.name}:{site.port}"
        return self.spawn(
            "curl", "--silent", "--show-error", "--max-time", str(max_s), "--cacert", str(self.root),
            "--resolve", f"{host}:{SERVER_V4}", *options, f"https://{host}/{PAGE}", watched=watched,
        )  # fmt: skip

    def watch(self, enforce: str, **watch: object) -> Process:
        """Starts nexus-certwatch as its unit does."""
        libraries = sorted(str(path) for path in self.libraries[0].iterdir())
        return self._watch(enforce, libraries, confined(CAPABILITIES), watch)

    def watch_found(self, enforce: str) -> Process:
        """The same with libraries that it has to find. It finds the copies where the system's are, and,
        without CAP_SYS_PTRACE, none that programs of others have mapped."""
        replaced = ["unshare", "--mount", "sh", "-c", REPLACE, "sh", str(self.libraries[0]), str(self.system_folder)]
        return self._watch(enforce, "auto", [*replaced, *confined(CAPABILITIES[:-1])], {})

    def _watch(self, enforce: str, libraries: object, prefix: list[str], watch: dict[str, object]) -> Process:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.metrics_port = probe.getsockname()[1]
        settings = {
            "node": {"user": USER},
            "ct": {
                "enforce": enforce,
                "watch_cgroup": str(self.cgroup),
                "watch_libraries": libraries,
                "watch": {"listen": f"127.0.0.1:{self.metrics_port}", **watch},
            },
            "api": {"socket": self.mesh.node.settings["api"]["socket"]},
        }
        config = self.run.path("certwatch.yaml")
        config.write_text(to_yaml(settings))
        program = str(program_folder() / "nexus-certwatch")
        name = f"nexus-certwatch{next(self.starts)}"
        process = self.run.start_here(name, [*prefix, program, "--config", str(config)])
        wait_until(lambda: process.expect_running() or "watching" in process.log_text(), PATIENCE_S, "it watches")
        return process

    def metrics(self) -> dict[str, int]:
        """What nexus-certwatch counts, without the prefix of its names."""
        page = command("curl", "--silent", f"http://127.0.0.1:{self.metrics_port}/metrics")
        samples = [line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#")]
        return {name.removeprefix("nexus_certwatch_"): int(value) for name, value in samples}
