"""A machine on which Nexus was installed: its usual paths, its user, and nothing configured."""

from __future__ import annotations

import re
from pathlib import Path

from .appliance import REPOSITORY, confined, program_folder
from .hosts import Host
from .process import LabError, Process, wait_until

USER = "nexus"
CONFIG = "/etc/nexus/nexus.yaml"
# /etc, /var/lib and /run as the host has them, with changes that only this machine sees: in a mount
# namespace of its own, which lives as long as the process.
_VIEW = """set -eu
mount -t tmpfs tmpfs "$1"
for path in /etc /var/lib; do
    mkdir -p "$1/upper$path" "$1/work$path"
    mount -t overlay overlay "$path" -o "lowerdir=$path,upperdir=$1/upper$path,workdir=$1/work$path"
done
mount -t tmpfs tmpfs /run
rm -rf /etc/nexus /var/lib/nexus
groupadd --system nexus
useradd --system --gid nexus --home-dir /var/lib/nexus --shell /usr/sbin/nologin nexus
install -d -o nexus -g nexus -m 0750 /var/lib/nexus
install -d -o nexus -g nexus -m 0755 /run/nexus
install -D -m 0644 "$2" /etc/nexus/nexus.yaml
echo installed
exec sleep infinity
"""


class Installed:
    """Such a machine. Its units are started by [`Installed.restart`]."""

    def __init__(self, host: Host, address: str) -> None:
        self.host = host
        self.address = address
        self.units: dict[str, Process] = {}
        layers = host.run.path(f"layers-{host.name}")
        layers.mkdir()
        packaged = str(REPOSITORY / "packaging" / "nexus.yaml")
        view = ["unshare", "--mount", "sh", "-c", _VIEW, "view", str(layers), packaged]
        self.view = host.start(f"view-{host.name}", view)
        wait_until(self._is_ready, 10, "a machine is installed")

    def _is_ready(self) -> bool:
        self.view.expect_running()
        return "installed" in self.view.log_text()

    def _enter(self, *arguments: str) -> list[str]:
        path = f"PATH={program_folder()}:/usr/sbin:/usr/bin:/sbin:/bin"
        return ["nsenter", f"--target={self.view.pid}", "--mount", "env", path, *arguments]

    def shell(self, line: str) -> str:
        """What root's shell prints for a line."""
        return self.host.command(*self._enter("sh", "-c", line))

    def write(self, path: str, text: str) -> None:
        """Makes a file."""
        self.shell(f"cat > {path} <<'END'\n{text}\nEND")

    def set(self, line: str, text: str) -> None:
        """Changes the one line of the configuration that matches, as an editor would."""
        before = self.shell(f"cat {CONFIG}")
        after, count = re.subn(f"^{line}", text, before, flags=re.MULTILINE)
        if count != 1:
            raise LabError(f"{CONFIG}: {count} lines are like {line}")
        self.write(CONFIG, after)

    def restart(self, unit: str) -> None:
        """As systemd does; the dataplane gives up its rights itself."""
        if unit in self.units:
            self.units[unit].stop()
        prefix = confined(USER, USER) if unit == "nexus-control" else []
        arguments = self._enter(*prefix, unit, "--config", CONFIG)
        self.units[unit] = self.host.start(f"{unit}-{self.host.name}-{len(self.host.run.processes)}", arguments)


def code_after(heading: str, document: Path = REPOSITORY / "README.md") -> list[str]:
    """Lines of the first block of code after a heading."""
    lines = iter(document.read_text().splitlines())
    for wanted in (heading, "```sh"):
        while next(lines) != wanted:
            pass
    block = []
    while (line := next(lines)) != "```":
        block.append(line)
    return block
